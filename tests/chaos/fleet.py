"""Several machines on one database under load, of which any is killed, stopped, or cut off.

What scripts write, and how an overlap is found, is as in `siege`. Beside that, `/two` allows
two at once, and each of its scripts holds one of two locks while it is alive: one that finds
both taken says `crowd`. `/ledger` keeps to the order of recording: one lock, and the marks
tell the order.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import random
import signal
import threading
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import psycopg

from tests import postgres
from tests.chaos.siege import GONE, WORK, Mark, late, read_marks
from tests.serving import REPOSITORY, SECONDS, Project, Server, alive, wait_until

CLIENTS = 6
LOAD = 150
"""Runs that are acknowledged at least."""

LEASE = 3
HOOKS = """
defaults:
  auth: none
  retry: {attempts: 3, delay: 20ms}
  queue: 30
  env: {KIND: "{payload:/kind}"}
/now:
  script: work.sh
  respond: accepted
/wait:
  script: work.sh
  respond: status
/once:
  script: work.sh
  respond: accepted
  dedupe: {header: X-Delivery}
/two:
  script: two.sh
  respond: accepted
  concurrency: 2
/ledger:
  script: ledger.sh
  respond: accepted
  order: strict
/held:
  script: work.sh
  respond: accepted
"""
LOCKED = "exec 8>>" + WORK.partition("exec 8>>")[2].partition("say start")[0]
TWO = f"""#!/bin/bash
{LOCKED}
exec 6>>locks/two-one 7>>locks/two-other
flock -n 6 || flock -n 7 || say crowd
say start
sleep 0.0$((RANDOM % 9))
say end
"""
LEDGER = f"""#!/bin/bash
{LOCKED}
exec 6>>locks/ledger
flock -n 6 || say crowd
say start
[ "$KIND" != flaky ] || [ "$HOOK_ATTEMPT" -gt 1 ] || {{ say failed; exit 1; }}
say end
"""
PATHS = ("/now", "/wait", "/once", "/two", "/two", "/ledger", "/ledger")
KINDS = ("quick", "quick", "slow", "flaky", "brood")


@dataclass
class Machine(Server):
    """One of them: a web that records, or a worker that runs."""

    role: str = "web"

    def __post_init__(self) -> None:
        self.program = (str(REPOSITORY / "runner.py"), self.role)
        self.listening = ("--port", "0") if self.role == "web" else ()


class Fleet:
    """Two that record, three that run, a database, and clients that post; use it in a `with`."""

    def __init__(self, project: Project, seed: int) -> None:
        self.project = project
        self.chance = random.Random(seed)
        self.database = postgres.Server()
        self.url = self.database.database("fleet")
        self.named: dict[int, set[str]] = defaultdict(set)
        self.odd: list[str] = []
        self.numbers = itertools.count()
        self.over = threading.Event()
        self.former: list[Machine] = []
        self.webs = [self._machine("web", number) for number in range(2)]
        self.workers = [self._machine("worker", number) for number in range(3)]
        self.clients = [
            threading.Thread(target=self._post_for_ever, args=(random.Random(seed + n),))
            for n in range(1, CLIENTS + 1)
        ]

    def _machine(self, role: str, number: int) -> Machine:
        data = str(self.project.folder / f"{role}-{number}")
        arguments = ("--data", data, *(("--lease", f"{LEASE}") if role == "worker" else ()))
        return Machine(self.project.folder, arguments, {"JOURNAL_URL": self.url}, role=role)

    def __enter__(self) -> Fleet:
        (self.project.folder / "locks").mkdir()
        self.project.hooks(HOOKS).script("work.sh", WORK)
        self.project.script("two.sh", TWO).script("ledger.sh", LEDGER)
        for machine in (*self.webs, *self.workers):
            machine.begin()
        for client in self.clients:
            client.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.over.set()
        for client in self.clients:
            client.join()
        for machine in (*self.former, *self.webs, *self.workers):
            machine.__exit__(kind, error, trace)
        self.database.close()

    def kill(self, machines: list[Machine]) -> None:
        """SIGKILL to one of them; it is started again at once."""
        place = self.chance.randrange(len(machines))
        self._await_runs(self.chance.randrange(2, 12))
        machine = machines[place]
        log = "\n".join(machine.lines[-9:])
        assert machine.process.poll() is None, f"a {machine.role} ended by itself:\n{log}"
        machine.kill()
        self.former.append(machine)
        machines[place] = Machine(
            machine.folder, machine.arguments, machine.environ, role=machine.role
        )
        machines[place].begin()

    def stop_past_the_lease(self) -> None:
        """SIGSTOP to a worker until its leases have lapsed, and others do its work; SIGCONT."""
        runs = [self.post("/held", kind) for kind in ("held", "held-brood") * 3]
        wait_until(lambda: set(runs) <= {mark.run for mark in self.marks()}, "held scripts")
        worker, its = self._who_holds(runs)
        worker.process.send_signal(signal.SIGSTOP)
        try:
            # Whoever has a second attempt was taken over; the first was dead by then.
            wait_until(lambda: its <= self._second_attempts(), "runs that others take over")
        finally:
            worker.process.send_signal(signal.SIGCONT)
        for run in runs:
            self._end(run)

    def _who_holds(self, runs: list[str]) -> tuple[Machine, set[str]]:
        """A worker, and those of the runs whose scripts are its own."""
        for worker in self.chance.sample(self.workers, len(self.workers)):
            tree = set(worker.tree())
            if its := {m.run for m in self.marks() if m.run in runs and m.pid in tree}:
                return worker, its
        raise AssertionError("nobody holds any")

    def _second_attempts(self) -> set[str]:
        return {mark.run for mark in self.marks() if mark.attempt > 1}

    def _end(self, run: str) -> None:
        """Kill the script of a held run, which would go on for ever; its next attempt will not."""
        held = [m.pid for m in self.marks() if m.run == run and m.what == "start"]
        for pid in held:
            if alive(pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def restart_database(self) -> None:
        """End it without a word, and start it again."""
        self._await_runs(5)
        self.database.restart()

    def finish(self) -> None:
        """Once there was load enough, no more deliveries; and the last run ends."""
        wait_until(lambda: len(self.acknowledged()) > LOAD, "a load", 3 * SECONDS)
        self.over.set()
        for client in self.clients:
            client.join()
        left = "SELECT 1 FROM hookrunner.run WHERE state IN ('queued', 'running') LIMIT 1"
        wait_until(lambda: not self.rows(left), "an empty queue", 3 * SECONDS)
        for machine in (*self.webs, *self.workers):
            assert machine.stop() == 0, machine.role

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the database itself."""
        with psycopg.connect(self.url, autocommit=True) as db:
            return db.execute(query.encode()).fetchall()

    def marks(self) -> list[Mark]:
        """What the scripts have written so far, in the order in which they did."""
        return read_marks(self.project)

    def acknowledged(self) -> set[str]:
        """The runs whose senders have been told of them."""
        return {run for runs in list(self.named.values()) for run in list(runs)}

    def post(self, path: str, kind: str) -> str:
        """A delivery of the besieger's own; its run."""
        web = self.webs[0]
        web.wait_for_line("listens on")
        number = next(self.numbers)
        run = web.post_json(path, {"n": number, "kind": kind}).headers["Hook-Run"]
        self.named[number].add(run)
        return run

    def _await_runs(self, more: int) -> None:
        """Wait until so many more have been acknowledged: a moment of chance's choosing."""
        wanted = len(self.acknowledged()) + more
        wait_until(lambda: len(self.acknowledged()) >= wanted, "more deliveries", 3 * SECONDS)

    def _post_for_ever(self, chance: random.Random) -> None:
        while not self.over.is_set():
            number, path, kind = next(self.numbers), chance.choice(PATHS), chance.choice(KINDS)
            # A sender that has an id sends again, perhaps elsewhere, until it has an answer.
            wanted = chance.choice((1, 1, 2)) if path == "/once" else 1
            while wanted and not self.over.is_set():
                web = chance.choice(self.webs)
                told = web.port != 0 and self._post(web.port, path, number, kind)
                if told or path != "/once":
                    wanted -= 1
            self.over.wait(chance.uniform(0, 0.1))

    def _post(self, port: int, path: str, number: int, kind: str) -> bool:
        """One delivery; True if it has been acknowledged."""
        headers = {"Content-Type": "application/json", "X-Delivery": f"delivery-{number}"}
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        try:
            connection.request("POST", path, json.dumps({"n": number, "kind": kind}), headers)
            answer = connection.getresponse()
            run = answer.headers["Hook-Run"]
            acknowledged = answer.status in (200, 202) and bool(run)
            if acknowledged:
                self.named[number].add(run)
            elif not (answer.status == 503 and answer.headers["Retry-After"]):
                self.odd.append(f"{answer.status} to {path}")
            return acknowledged
        except GONE:
            return False
        finally:
            connection.close()


def reckon(fleet: Fleet) -> None:
    """What must hold once the queue is empty; `fleet` still has its database."""
    assert fleet.odd == [], "neither accepted, nor cut off, nor told to come again"
    marks = fleet.marks()
    assert [m for m in marks if m.what == "overlap"] == [], "attempts of one run at once"
    assert [m for m in marks if m.what == "crowd"] == [], "more at once than the hook allows"
    assert list(late(marks)) == [], "something of an earlier attempt lived when the next began"
    rows = fleet.rows(
        """
        SELECT id, hook, convert_from(body, 'UTF8')::json ->> 'n', state,
               (SELECT count(*) FROM hookrunner.attempt WHERE run = seq AND state = 'succeeded')
        FROM hookrunner.run ORDER BY seq
        """
    )
    assert [row for row in rows if row[3:] != ("succeeded", 1)] == []
    acknowledged = fleet.acknowledged()
    assert acknowledged - {run for run, *_ in rows} == set(), "acknowledged, and lost"
    assert acknowledged - {m.run for m in marks if m.what == "end"} == set(), "never completed"
    assert [runs for runs in fleet.named.values() if len(runs) > 1] == [], "one id, two runs"
    once = [number for _, hook, number, *_ in rows if hook == "/once"]
    assert len(once) == len(set(once)), "one id, two runs"
    ledger = [run for run, hook, *_ in rows if hook == "/ledger"]
    written = [run for run, _ in itertools.groupby(m.run for m in marks if m.run in set(ledger))]
    assert written == [run for run in ledger if run in set(written)], "out of order"
