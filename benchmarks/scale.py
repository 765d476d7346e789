"""What PostgreSQL costs and carries: accepts, runs, claims; beside two queues of the field.

    python benchmarks/scale.py [rounds]

One real PostgreSQL of its own, synced as it comes out of the box, holds three databases: ours,
PgQueuer's and procrastinate's (`pip install -r requirements-bench.txt`; without them ours is
measured alone). In turns, in the same run:

- accepts: 32 threads record a body of 1 kB each, again and again, and are answered once it is
  committed; the others enqueue the same body by their sync API, each thread with a connection
  of its own.
- runs: what lies there is claimed and settled by one process that does nothing in between; the
  others' workers do the same with a task that does nothing.
- start: the time from a record to its claim by an idle worker of another journal.
- statements: those that the server has seen in all, of runs that come one after the other.
- claims: the time of one with 1,000,000 runs that have ended, against one with none.

The exit status is 1 if a limit is missed.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a script's path is its folder

import psycopg  # noqa: E402

from hookrunner.journal.postgres import PostgresJournal  # noqa: E402
from hookrunner.model import Claim, JournalUnavailable, NewRun, Outcome, State, Terms  # noqa: E402
from tests.postgres import Server  # noqa: E402

CLIENTS = 32
SECONDS = 3.0
JOBS = 3000
STARTS = 100
COUNTED = 50
CLAIMS = 200
FINISHED = 1_000_000
SLOTS = 20
LEASE = 90.0

LEAST_ACCEPTS = 1.5
LEAST_RUNS = 1.0
MOST_START = 0.015
MOST_STATEMENTS = 4.0
MOST_CLAIM = 1.5

BODY = json.dumps({"ref": "refs/heads/main", "more": "x" * 970}).encode()
TERMS = Terms(queue=10_000_000)
HOOKS = {"/bench": TERMS}
DONE = Outcome(state=State.SUCCEEDED, exit_code=0, stdout=b"done\n", seconds=0.001)
NUMBERS = count()

FILL = """
INSERT INTO hookrunner.run (id, hook, state, attempt, recorded_at, ended_at, method, path, params,
                            query, headers, content_type, remote_addr, delivery_id, event, body)
SELECT 'old' || n, '/bench', 'succeeded', 1, extract(epoch FROM now()) - n,
       extract(epoch FROM now()), 'POST', '/bench', '{}', '', '{}', 'application/json',
       '127.0.0.1', '', '', '{}'
FROM generate_series(1, %s) AS n
"""


def main() -> int:
    """Print what was measured; 1 if a limit was missed."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    server = Server(fsync="on", full_page_writes="on", autovacuum="on", log_statement="none")
    try:
        return _measure(server, rounds)
    finally:
        server.close()


def _measure(server: Server, rounds: int) -> int:
    ours, peers = Ours(server), [peer(server) for peer in PEERS if find_spec(peer.package)]
    contestants: list[Any] = [ours, *peers]
    accepts: dict[str, list[float]] = {each.name: [] for each in contestants}
    runs: dict[str, list[float]] = {each.name: [] for each in contestants}
    for _ in range(rounds):
        for each in contestants:
            each.clear()
            accepts[each.name].append(_rate(each.accept))
            each.clear()
            each.fill(JOBS)
            runs[each.name].append(JOBS / each.drain(JOBS))
    missed = []
    for what, seen, least in (("accepts", accepts, LEAST_ACCEPTS), ("runs", runs, LEAST_RUNS)):
        middle = {name: statistics.median(rates) for name, rates in seen.items()}
        for name, rate in middle.items():
            ratio = middle[ours.name] / rate
            print(f"{what:12} {name:14} {rate:8.0f} /s   ours : it {ratio:5.2f}", flush=True)
            if name != ours.name and ratio < least:
                missed.append(f"{what} against {name} (at least {least:g})")
    start = ours.start()
    print(f"start        p50 {start * 1000:.1f} ms from record to claim, another journal's")
    if start > MOST_START:
        missed.append(f"start (at most {MOST_START * 1000:g} ms)")
    statements = ours.statements()
    print(f"statements   {statements:.2f} a run, one after the other")
    if statements > MOST_STATEMENTS:
        missed.append(f"statements (at most {MOST_STATEMENTS:g})")
    few, many = ours.claims()
    print(f"claims       {few * 1000:.2f} ms among none, {many * 1000:.2f} among {FINISHED:,} "
          f"that have ended: {many / few:.2f}")  # fmt: skip
    if many / few > MOST_CLAIM:
        missed.append(f"claims (at most {MOST_CLAIM:g})")
    if missed:
        print(f"missed: {', '.join(missed)}")
    return int(bool(missed))


def _rate(accept: Callable[[], Callable[[], None]]) -> float:
    """How many a second 32 threads get recorded; `accept` makes what each of them does."""
    counts = [0] * CLIENTS
    ready, over = threading.Barrier(CLIENTS + 1), threading.Event()

    def client(number: int) -> None:
        record = accept()
        ready.wait()
        while not over.is_set():
            record()
            counts[number] += 1

    with ThreadPoolExecutor(CLIENTS) as pool:
        for number in range(CLIENTS):
            pool.submit(client, number)
        ready.wait()
        time.sleep(0.3)
        began, before = time.perf_counter(), sum(counts)
        time.sleep(SECONDS)
        done, took = sum(counts) - before, time.perf_counter() - began
        over.set()
    return done / took


class Ours:
    """Our journal."""

    name = "hookrunner"

    def __init__(self, server: Server) -> None:
        self.server = server
        self.url = server.database("ours")
        self.journal = PostgresJournal(self.url)

    def clear(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as db:
            db.execute("TRUNCATE hookrunner.run CASCADE")

    def accept(self) -> Callable[[], None]:
        return lambda: void(self.record(self.journal))

    def record(self, journal: PostgresJournal) -> str:
        new = NewRun(
            "/bench", "POST", "/bench", {}, "", {"user-agent": "benchmark"}, "application/json",
            BODY, "127.0.0.1", delivery_id=str(next(NUMBERS)),
        )  # fmt: skip
        return journal.record(new, TERMS).run_id

    def fill(self, jobs: int) -> None:
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(lambda _: self.record(self.journal), range(jobs)))

    def drain(self, jobs: int) -> float:
        """Seconds in which so many runs are claimed and settled."""
        left, over = jobs, threading.Event()
        lock = threading.Lock()
        journal = self.journal
        began = time.perf_counter()

        def claimed(claim: Claim | JournalUnavailable | None) -> None:
            assert isinstance(claim, Claim), claim
            journal.settle_soon(claim, DONE, settled)

        def settled(told: bool | JournalUnavailable) -> None:
            nonlocal left
            assert told is True, told
            with lock:
                left -= 1
                more = left >= SLOTS
                if not left:
                    over.set()
            if more:
                journal.claim_soon(HOOKS, LEASE, (), 10.0, claimed)

        for _ in range(SLOTS):
            journal.claim_soon(HOOKS, LEASE, (), 10.0, claimed)
        assert over.wait(120)
        return time.perf_counter() - began

    def start(self) -> float:
        """The median of the seconds from a record to a claim by an idle journal."""
        self.clear()
        took = []
        with closing(PostgresJournal(self.url)) as worker:
            for _ in range(STARTS):
                claims: list[float] = []
                got = threading.Event()

                def claimed(claim: Any, claims: list[float] = claims, got: Any = got) -> None:
                    claims.append(time.perf_counter())
                    worker.settle(claim, DONE) if isinstance(claim, Claim) else None
                    got.set()

                worker.claim_soon(HOOKS, LEASE, (), 30.0, claimed)
                time.sleep(0.05)  # until it waits
                began = time.perf_counter()
                self.record(self.journal)
                assert got.wait(30)
                took.append(claims[0] - began)
        return statistics.median(took)

    def statements(self) -> float:
        """Statements that the server has logged for each of some runs."""
        self.clear()
        self._set("log_statement", "all")
        with closing(PostgresJournal(self.url)) as journal:
            self._one(journal)
            time.sleep(0.2)
            log = self.server.folder / "log"
            before = log.stat().st_size
            for _ in range(COUNTED):
                self._one(journal)
            time.sleep(0.2)
            with log.open("rb") as file:
                file.seek(before)
                text = file.read()
        self._set("log_statement", "none")
        return (text.count(b"LOG:  statement:") + text.count(b"LOG:  execute")) / COUNTED

    def _one(self, journal: PostgresJournal) -> None:
        self.record(journal)
        claim = journal.claim(HOOKS, LEASE, (), wait=10.0)
        assert claim is not None
        assert journal.settle(claim, DONE)

    def claims(self) -> tuple[float, float]:
        """The median of a claim's seconds: with no runs beside it, and with many ended ones."""
        self.clear()
        few = self._claims()
        with psycopg.connect(self.url, autocommit=True) as db:
            db.execute(FILL, (FINISHED,))
            db.execute("VACUUM ANALYZE hookrunner.run")
        return few, self._claims()

    def _claims(self) -> float:
        self.fill(CLAIMS)
        took = []
        for _ in range(CLAIMS):
            began = time.perf_counter()
            claim = self.journal.claim(HOOKS, LEASE)
            took.append(time.perf_counter() - began)
            assert claim is not None
            self.journal.settle(claim, DONE)
        return statistics.median(took)

    def _set(self, name: str, value: str) -> None:
        with self.server.connect() as db:
            db.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            db.execute("SELECT pg_reload_conf()")
        time.sleep(0.2)


class PgQueuer:
    """PgQueuer, by its sync driver and its own worker."""

    name, package = "PgQueuer", "pgqueuer"

    def __init__(self, server: Server) -> None:
        with server.connect() as db:
            db.execute("CREATE DATABASE pgqueuer")
        self.url = server.url("pgqueuer")
        asyncio.run(self._install())

    async def _install(self) -> None:
        from pgqueuer import PsycopgDriver, Queries

        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as db:
            await Queries(PsycopgDriver(db)).install()

    def clear(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as db:
            db.execute("TRUNCATE pgqueuer, pgqueuer_log")

    def accept(self) -> Callable[[], None]:
        from pgqueuer.db import SyncPsycopgDriver
        from pgqueuer.queries import SyncQueries

        queries = SyncQueries(SyncPsycopgDriver(psycopg.connect(self.url, autocommit=True)))
        return lambda: void(queries.enqueue("bench", BODY))

    def fill(self, jobs: int) -> None:
        from pgqueuer.db import SyncPsycopgDriver
        from pgqueuer.queries import SyncQueries

        with psycopg.connect(self.url, autocommit=True) as db:
            queries = SyncQueries(SyncPsycopgDriver(db))
            queries.enqueue(["bench"] * jobs, [BODY] * jobs, [0] * jobs)

    def drain(self, jobs: int) -> float:
        return asyncio.run(self._drain(jobs))

    async def _drain(self, jobs: int) -> float:
        from pgqueuer import Job, PgQueuer, PsycopgDriver

        left = jobs
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as db:
            worker = PgQueuer(PsycopgDriver(db))

            async def bench(job: Job) -> None:
                nonlocal left
                left -= 1
                if not left:
                    worker.shutdown.set()

            worker.entrypoint("bench")(bench)
            began = time.perf_counter()
            await worker.run(batch_size=SLOTS, dequeue_timeout=timedelta(seconds=1))
            return time.perf_counter() - began


class Procrastinate:
    """procrastinate, by its sync connector and its own worker."""

    name, package = "procrastinate", "procrastinate"

    def __init__(self, server: Server) -> None:
        import procrastinate

        with server.connect() as db:
            db.execute("CREATE DATABASE procrastinate")
        self.url = server.url("procrastinate")
        connector = procrastinate.SyncPsycopgConnector(
            conninfo=self.url, min_size=CLIENTS, max_size=CLIENTS
        )
        self.app = procrastinate.App(connector=connector)
        self.app.open()
        self.app.schema_manager.apply_schema()
        self.task = self.app.task(name="bench")(void)

    def clear(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as db:
            db.execute("TRUNCATE procrastinate_jobs CASCADE")

    def accept(self) -> Callable[[], None]:
        body = BODY.decode()
        return lambda: void(self.task.defer(body=body))

    def fill(self, jobs: int) -> None:
        job: Any = {"body": BODY.decode()}
        self.task.batch_defer(*[job] * jobs)

    def drain(self, jobs: int) -> float:
        return asyncio.run(self._drain())

    async def _drain(self) -> float:
        import procrastinate

        connector = procrastinate.PsycopgConnector(conninfo=self.url)
        app = procrastinate.App(connector=connector)

        async def bench(body: str) -> None:
            pass

        app.task(name="bench")(bench)
        async with app.open_async():
            began = time.perf_counter()
            await app.run_worker_async(
                wait=False, concurrency=SLOTS, install_signal_handlers=False, listen_notify=False
            )
            return time.perf_counter() - began


PEERS: tuple[Any, ...] = (PgQueuer, Procrastinate)


def void(*anything: object, **more: object) -> None:
    """Nothing."""


if __name__ == "__main__":
    sys.exit(main())
