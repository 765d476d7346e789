"""A project under load whose processes are killed: the load, the killing, the reckoning.

Scripts append a line to `marks` when they start and when they end. Each holds a lock of
its run's for as long as it, or anything that it started, is alive: a later attempt that
cannot have the lock at once says so. So an overlap is found by the operating system and
not by comparing clocks.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

from tests.serving import SECONDS, Project, Server, alive, wait_until

CLIENTS = 6
LOAD = 50
"""Runs that are acknowledged at least, however slow the machine."""
LIFE = 1.4
"""Seconds that a server lives at most before something is killed: of these it needs about
a third to start, so some are killed before they have listened."""

HOOKS = """
defaults:
  auth: none
  retry: {attempts: 3, delay: 20ms}
  queue: 100
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
/held:
  script: work.sh
  respond: accepted
"""

WORK = r"""#!/bin/bash
exec 8>>"locks/$HOOK_RUN"
say() { echo "$1 $HOOK_RUN $HOOK_ATTEMPT ${EPOCHREALTIME/./} $BASHPID" >>marks; }
flock -n 8 || say overlap
say start
case $KIND in
  slow) sleep 0.$((RANDOM % 3)) ;;
  flaky) [ "$HOOK_ATTEMPT" -gt 1 ] || { say failed; exit 1; } ;;
  brood | *-brood)
    export -f say
    done="locks/$HOOK_RUN.$HOOK_ATTEMPT"
    setsid bash -c 'until [ -e "$0" ]; do say child; sleep 0.05; done' "$done" &
    sleep 0.1 ;;&
  long*) [ "$HOOK_ATTEMPT" -gt 1 ] || sleep 3 ;;
  held*) [ "$HOOK_ATTEMPT" -gt 1 ] || sleep 1000 ;;
esac
[ -z "$done" ] || : >"$done"
say end
"""

# What is long is still there when the next server is, if nobody has ended it.
KINDS = (*("quick", "quick", "slow", "slow", "flaky", "brood") * 6, "long", "long-brood")
PATHS = ("/now", "/wait", "/wait", "/once")
GONE = (OSError, http.client.HTTPException)


@dataclass(frozen=True)
class Mark:
    """A line that a script wrote."""

    what: str
    run: str
    attempt: int
    pid: int


def read_marks(project: Project) -> list[Mark]:
    """What the scripts of a project have written so far, in the order in which they did."""
    found = []
    for line in project.lines("marks"):
        what, run, attempt, _, pid = line.split()
        found.append(Mark(what, run, int(attempt), int(pid)))
    return found


class Siege:
    """Clients that post without end, and a server that is never let alone; use it in a `with`."""

    def __init__(self, project: Project, seed: int) -> None:
        self.project = project
        self.chance = random.Random(seed)
        self.named: dict[int, set[str]] = defaultdict(set)
        self.odd: list[str] = []
        self.numbers = itertools.count()
        self.over = threading.Event()
        self.former: list[Server] = []
        self.clients = [
            threading.Thread(target=self._post_for_ever, args=(random.Random(seed + n),))
            for n in range(1, CLIENTS + 1)
        ]

    def __enter__(self) -> Siege:
        (self.project.folder / "locks").mkdir()
        self.project.hooks(HOOKS).script("work.sh", WORK)
        self.server = self._server()
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
        for server in (*self.former, self.server):
            server.__exit__(kind, error, trace)

    def kill(self, *victims: str) -> None:
        """SIGKILL at a moment of chance's choosing; a runner is started again at once."""
        if victims == ("supervisor",):  # it is not replaced at once
            wait_until(lambda: self.server.supervisor() is not None, "a supervisor")
        self._await_a_moment()
        pids = {"runner": self.server.process.pid, "supervisor": self.server.supervisor()}
        for victim in self.chance.sample(victims, len(victims)):
            if pid := pids[victim]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if "runner" in victims:
            self.server.process.wait()
            self._start()

    def stop_past_the_lease(self) -> None:
        """SIGSTOP to the runner until every lease has lapsed, then SIGCONT."""
        runs = [self.post("/held", kind) for kind in ("held", "held", "held-brood")]
        wait_until(lambda: set(runs) <= {m.run for m in self.marks()}, "held scripts that run")
        runner = self.server.process.pid
        os.kill(runner, signal.SIGSTOP)
        try:
            wait_until(self._lapsed, "leases that have lapsed")
            wait_until(lambda: not self._alive(), "the end of what had a lease")
        finally:
            os.kill(runner, signal.SIGCONT)

    def finish(self) -> None:
        """Once there was load enough, no more deliveries; the last run ends, and the server."""
        wait_until(lambda: len(self.acknowledged()) > LOAD, "a load", 3 * SECONDS)
        self.over.set()
        for client in self.clients:
            client.join()
        self.server.wait_for_line("listens on")
        left = "SELECT id, state, interruptions FROM run WHERE state IN ('queued', 'running')"
        wait_until(lambda: not self.project.journal(left), "an empty queue", 3 * SECONDS)
        assert self.server.stop() == 0

    def marks(self) -> list[Mark]:
        """What the scripts have written so far, in the order in which they did."""
        return read_marks(self.project)

    def acknowledged(self) -> set[str]:
        """The runs whose senders have been told of them."""
        return {run for runs in list(self.named.values()) for run in list(runs)}

    def post(self, path: str, kind: str) -> str:
        """A delivery of the besieger's own; its run."""
        self.server.wait_for_line("listens on")
        number = next(self.numbers)
        run = self.server.post_json(path, {"n": number, "kind": kind}).headers["Hook-Run"]
        self.named[number].add(run)
        return run

    def _server(self) -> Server:
        server = self.project.serve("--lease", "3s")
        server.begin()
        return server

    def _start(self) -> None:
        for server in [s for s in self.former if not s.logging()]:
            server.__exit__(None, None, None)
            self.former.remove(server)
        self.former.append(self.server)
        self.server = self._server()

    def _await_a_moment(self) -> None:
        try:
            status = self.server.process.wait(self.chance.uniform(0, LIFE))
        except subprocess.TimeoutExpired:
            # The fifth interruption ends a run, as it should: not what is tried here.
            wait_until(lambda: not self._worn(), "no run that was interrupted four times")
            return
        log = "\n".join(self.server.lines)
        raise AssertionError(f"the runner ended by itself, with {status}:\n{log}")

    def _worn(self) -> bool:
        worn = "SELECT 1 FROM run WHERE interruptions >= 4 AND state IN ('queued', 'running')"
        return self.server.port != 0 and bool(self.project.journal(worn))

    def _alive(self) -> set[Mark]:
        return {mark for mark in self.marks() if alive(mark.pid)}

    def _lapsed(self) -> bool:
        live = "SELECT 1 FROM run WHERE state = 'running' AND due > ?"
        return not self.project.journal(live, time.time())

    def _post_for_ever(self, chance: random.Random) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self.over.is_set():
            number, path, kind = next(self.numbers), chance.choice(PATHS), chance.choice(KINDS)
            # A sender that has an id sends again until it has an answer, and sometimes after it.
            wanted = chance.choice((1, 1, 2)) if path == "/once" else 1
            while wanted and not self.over.is_set():
                if connection and connection.port != self.server.port:
                    connection.close()
                    connection = None
                connection = connection or self._connect()
                try:
                    told = self._post(connection, path, number, kind)
                except GONE:
                    connection.close()
                    connection, told = None, False
                if told or path != "/once":
                    wanted -= 1
        if connection:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        wait_until(lambda: self.server.port != 0 or self.over.is_set(), "a server that listens")
        return http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=SECONDS)

    def _post(
        self, connection: http.client.HTTPConnection, path: str, number: int, kind: str
    ) -> bool:
        """One delivery; True if it has been acknowledged."""
        headers = {"Content-Type": "application/json", "X-Delivery": f"delivery-{number}"}
        connection.request("POST", path, json.dumps({"n": number, "kind": kind}), headers)
        with connection.getresponse() as answer:
            run = answer.headers["Hook-Run"]
            acknowledged = answer.status in (200, 202) and bool(run)
            if acknowledged:
                self.named[number].add(run)  # whatever comes of the rest of the answer
            said = answer.read()
        if not acknowledged and not (answer.status == 503 and b"too much at once" in said):
            self.odd.append(f"{answer.status} to {path}")
        return acknowledged


def reckon(siege: Siege) -> None:
    """What must hold once the queue is empty."""
    assert siege.odd == [], "neither accepted, nor cut off, nor too much"
    marks = siege.marks()
    assert [m for m in marks if m.what == "overlap"] == []
    assert list(late(marks)) == [], "something of an earlier attempt was alive after the next began"
    query = """
        SELECT id, hook, json_extract(body, '$.n'), state,
               (SELECT count(*) FROM attempt WHERE run = seq AND state = 'succeeded')
        FROM run
    """
    rows = siege.project.journal(query)
    assert [row for row in rows if row[3:] != ("succeeded", 1)] == []

    acknowledged = siege.acknowledged()
    assert acknowledged - {run for run, *_ in rows} == set(), "acknowledged, and lost"
    assert acknowledged - {m.run for m in marks if m.what == "end"} == set(), "never completed"
    assert [runs for runs in siege.named.values() if len(runs) > 1] == [], "one id, two runs"
    once = [number for _, hook, number, *_ in rows if hook == "/once"]
    assert len(once) == len(set(once)), "one id, two runs"


def late(marks: list[Mark]) -> Iterator[Mark]:
    """What was written by an attempt after a later one of its run had begun."""
    latest: dict[str, int] = {}
    for mark in marks:
        if mark.attempt < latest.get(mark.run, 0):
            yield mark
        latest[mark.run] = max(latest.get(mark.run, 0), mark.attempt)
