"""What is PostgreSQL's own: several machines at once, and a database that goes away.

A machine is a journal of its own, with a name and connections of its own. Where a lease or a
clock would have to be waited for, the tables are changed instead.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import psycopg
import pytest

from hookrunner.journal import claims, link, tables
from hookrunner.journal.claims import Claiming
from hookrunner.journal.letters import kept, read
from hookrunner.journal.postgres import PostgresJournal
from hookrunner.model import (
    Claim,
    Full,
    JournalUnavailable,
    NewRun,
    Rate,
    Recorded,
    Run,
    Search,
    State,
    Terms,
    Trouble,
)
from tests import postgres
from tests.serving import REPOSITORY
from tests.storing import HOOKS
from tests.test_journal import (
    CUT_OFF,
    DEPLOY,
    DONE,
    FAILED,
    FOR_EVER,
    HELLO,
    LOST,
    NAMED,
    PLAIN,
    SEALED,
    SECONDS,
    WITHOUT_DEPLOY,
    Call,
    claimed,
    claimed_by,
    known,
    made,
    nothing_due,
    outcome,
    refusal,
    waiting_claim,
)
from tests.waiting import await_end

MANY = 24
Settings = Mapping[str, Any]


class Machines:
    """A database, and the machines that share it."""

    def __init__(self, server: postgres.Server, name: str, opened: ExitStack) -> None:
        self.server = server
        self.name = name
        self.url = server.database(name)
        self.opened = opened

    def start(self, name: str = "", url: str = "", **settings: Any) -> PostgresJournal:
        """Another machine."""
        made = PostgresJournal(url or self.url, name=name, **settings)
        self.opened.callback(made.close)
        return made

    def change(self, statement: str, *given: object) -> list[tuple[object, ...]]:
        """Look into the tables, or have them be as time would make them."""
        with self.server.connect(self.name) as db:
            db.execute("SET search_path = hookrunner")
            done = db.execute(statement, given)
            return done.fetchall() if done.description else []

    def cut(self) -> None:
        """Cut every connection of the machines."""
        self.change(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'hookrunner'"
        )

    def waits_for_a_lock(self) -> bool:
        """True if a machine waits for what another holds."""
        asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        [[waiting]] = self.change(asked + "AND wait_event_type = 'Lock'")
        return waiting != 0


def wait_for(so: Callable[[], bool]) -> None:
    """Look again and again until it is so; for what no event tells of."""
    give_up = time.monotonic() + SECONDS
    while not so():
        assert time.monotonic() < give_up


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    """A database with nothing in it, and no machine yet."""
    with ExitStack() as opened:
        server = postgres.server()
        yield Machines(server, postgres.name_of(tmp_path), opened)


@pytest.fixture
def server_of_its_own() -> Iterator[postgres.Server]:
    """A server that may be stopped, for this test alone."""
    with closing(postgres.Server()) as server:
        yield server


@pytest.fixture
def own(server_of_its_own: postgres.Server) -> Iterator[Machines]:
    """The same, with a database."""
    with ExitStack() as opened:
        yield Machines(server_of_its_own, "own", opened)


@pytest.fixture
def two(machines: Machines) -> tuple[PostgresJournal, PostgresJournal]:
    """Two machines."""
    return machines.start("one"), machines.start("two")


def at_once(calls: list[Callable[[], object]]) -> list[object]:
    """What these return, all called in the same moment."""
    together = threading.Barrier(len(calls))

    def call(one: Callable[[], object]) -> object:
        together.wait(SECONDS)
        return one()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))


# --- what is imported


def test_a_journal_in_a_file_imports_nothing_of_postgresql() -> None:
    program = (
        "import sys; from hookrunner import app, cli; from hookrunner.journal import where; "
        "where.database({}); print(*[m for m in sys.modules if 'psycopg' in m])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("\n", "")


# --- limits, over all machines


@pytest.mark.parametrize(
    ("terms", "most"), [(Terms(concurrency=2), 2), (Terms(strict=True), 1)], ids=["2", "strict"]
)
def test_machines_that_claim_at_once_keep_to_what_the_hook_allows(
    machines: Machines, terms: Terms, most: int
) -> None:
    hooks = {"/hello": terms}
    journals = [machines.start() for _ in range(4)]
    for _ in range(20):
        made(journals[0])

    for _ in range(5):
        told = at_once([lambda j=j: j.claim(hooks, FOR_EVER) for j in journals * 3])  # type: ignore[misc]

        got = [claim for claim in told if isinstance(claim, Claim)]
        assert len(got) <= most
        running = machines.change("SELECT count(*) FROM run WHERE state = 'running'")
        assert running == [(len(got),)]
        for claim in got:
            assert journals[0].settle(claim, DONE)


@pytest.mark.parametrize("terms", [Terms(concurrency=1), Terms(strict=True)], ids=["1", "strict"])
def test_who_counts_what_is_under_way_waits_for_who_is_about_to_begin_an_attempt(
    machines: Machines, terms: Terms
) -> None:
    hooks = {"/hello": terms}
    journal = machines.start()
    assert nothing_due(journal, hooks)
    first, _ = made(journal), made(journal)
    with link.connect(machines.url) as other, other.transaction():
        ask = Claiming(hooks, FOR_EVER, (), 1, "other", 1)
        assert [row[0] for row in claims.claim(other, ask, again=False).found] == [first]
        # One that it still runs it would not have claimed: it looks at the next.
        counting = Call(lambda: journal.claim(hooks, FOR_EVER, [first]))
        wait_for(lambda: machines.waits_for_a_lock() or not counting.thread.is_alive())

    assert counting.returned()
    assert counting.result is None


def test_a_machine_that_is_paused_within_a_transaction_holds_up_the_others_for_seconds_only(
    two: tuple[PostgresJournal, PostgresJournal],
) -> None:
    hooks = {"/hello": Terms(concurrency=1)}
    paused, other = two
    assert nothing_due(paused, hooks)
    run_id = made(other)
    holds, over = threading.Event(), threading.Event()

    def hold(db: link.Db, again: bool) -> None:
        with db.transaction():
            assert link.rows(db, claims.LOCK, (list(hooks),))
            holds.set()
            over.wait(SECONDS)

    def pause() -> str:
        try:
            paused._link.do(hold)
        except JournalUnavailable as error:
            return str(error)
        return "it went on as if nothing had been"

    pausing = Call(pause)
    assert holds.wait(SECONDS)
    try:
        claim = other.claim(hooks, FOR_EVER, wait=SECONDS)
    finally:
        over.set()

    assert claim is not None and claim.run_id == run_id
    assert pausing.returned()
    assert pausing.result == "terminating connection due to idle-in-transaction timeout"


def test_machines_that_claim_at_once_never_get_the_same_run(
    two: tuple[PostgresJournal, PostgresJournal],
) -> None:
    ids = [made(two[0]) for _ in range(MANY)]

    def all_there_is(journal: PostgresJournal) -> list[str]:
        got = []
        while claim := journal.claim(HOOKS, FOR_EVER, wait=0.2):
            got.append(claim.run_id)
        return got

    first, second = at_once([lambda j=j: all_there_is(j) for j in two])  # type: ignore[misc]

    assert sorted(first + second) == sorted(ids)  # type: ignore[operator]


def test_an_attempt_on_one_machine_counts_on_the_other(
    two: tuple[PostgresJournal, PostgresJournal],
) -> None:
    one, other = two
    hooks = {"/hello": Terms(concurrency=1), "/deploy": PLAIN}
    made(one)
    made(one)
    deploy = made(one, DEPLOY)
    claimed(one, hooks)

    assert claimed(other, hooks).run_id == deploy
    assert nothing_due(other, hooks)


def test_a_lane_is_run_in_its_order_by_machines_in_turn(
    two: tuple[PostgresJournal, PostgresJournal],
) -> None:
    lane = {"/hello": Terms(strict=True)}
    ids = [made(two[n % 2]) for n in range(6)]

    for n, run_id in enumerate(ids):
        claim = claimed(two[n % 2], lane)
        assert claim.run_id == run_id
        assert nothing_due(two[1 - n % 2], lane)
        two[n % 2].settle(claim, DONE)


@pytest.mark.parametrize("terms", [Terms(concurrency=1), Terms(strict=True)], ids=["1", "strict"])
def test_a_cancelled_run_holds_its_place_until_its_machine_says_that_the_script_is_dead(
    two: tuple[PostgresJournal, PostgresJournal], terms: Terms
) -> None:
    one, other = two
    hooks = {"/hello": terms}
    first, second = made(one), made(one)
    claim = claimed(one, hooks)
    other.cancel(first)

    assert nothing_due(other, hooks)
    assert not one.settle(claim, DONE)
    assert claimed(other, hooks).run_id == second


def test_a_cancelled_run_holds_no_place_once_its_lease_is_over(machines: Machines) -> None:
    one, other = machines.start("one"), machines.start("two")
    hooks = {"/hello": Terms(concurrency=1)}
    first, second = made(one), made(one)
    claimed(one, hooks, lease=0.0)
    other.cancel(first)

    assert claimed(other, hooks).run_id == second


def test_a_rate_holds_over_all_machines(machines: Machines) -> None:
    terms = Terms(rate=Rate(10, 3600.0))
    journals = [machines.start() for _ in range(3)]

    def record(journal: PostgresJournal) -> bool:
        try:
            journal.record(HELLO, terms)
        except Full as full:
            assert full.rate
            return False
        return True

    told = at_once([lambda j=j: record(j) for j in journals * 8])  # type: ignore[misc]

    assert told.count(True) == 10


def test_a_queue_that_others_fill_is_full_for_all_before_long(
    two: tuple[PostgresJournal, PostgresJournal],
) -> None:
    terms = Terms(queue=10)
    for _ in range(10):
        made(two[0], HELLO, terms)

    assert str(refusal(two[1], HELLO, terms)) == "10 runs of it are waiting"


# --- dedupe, over all machines


@pytest.mark.parametrize("new", [NAMED, SEALED], ids=["named", "sealed"])
@pytest.mark.parametrize("time", range(5))
def test_one_delivery_that_machines_record_at_once_makes_one_run(
    machines: Machines, new: NewRun, time: int
) -> None:
    journals = [machines.start() for _ in range(4)]

    told = at_once([lambda j=j: j.record(new, PLAIN) for j in journals * 4])  # type: ignore[misc]

    recorded = [each for each in told if isinstance(each, Recorded)]
    assert len({each.run_id for each in recorded}) == 1
    assert [each.joined for each in recorded].count(False) == 1


def test_a_failed_delivery_that_machines_repeat_at_once_makes_one_run(machines: Machines) -> None:
    journals = [machines.start() for _ in range(4)]
    first = made(journals[0], NAMED)
    journals[0].settle(claimed(journals[0]), FAILED)

    told = at_once([lambda j=j: j.record(NAMED, PLAIN) for j in journals * 4])  # type: ignore[misc]

    recorded = [each for each in told if isinstance(each, Recorded)]
    assert [each.joined for each in recorded].count(False) == 1
    [second] = {each.run_id for each in recorded}
    assert known(journals[1], second).replaces == first


# --- the lease and the fence


def test_a_run_whose_machine_died_is_done_by_another_and_the_late_word_means_nothing(
    two: tuple[PostgresJournal, PostgresJournal],
) -> None:
    one, other = two
    run_id = made(one)
    late = claimed(one, lease=0)

    current = claimed(other)

    assert (current.run_id, current.attempt) == (run_id, 2)
    assert not one.settle(late, FAILED)
    assert one.renew([late], FOR_EVER) == set()
    assert not one.append(late, b"late", b"")
    assert one.interrupt(late, rerun=True) is None
    assert other.settle(current, DONE)
    assert outcome(one, run_id) == DONE


def test_a_lease_is_renewed_by_the_clock_of_the_database(
    two: tuple[PostgresJournal, PostgresJournal], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two
    made(one)
    claim = claimed(one, lease=0)
    true = time.time
    # One machine's clock is an hour fast, and nobody asks it.
    monkeypatch.setattr(time, "time", lambda: true() + 3600)

    assert one.renew([claim], 60.0) == {claim.run_id}
    assert nothing_due(other)
    due = known(other, claim.run_id).due
    assert due is not None
    assert due < true() + 90


def test_recover_makes_due_what_a_process_of_the_same_name_left_and_nothing_else(
    machines: Machines,
) -> None:
    one, other = machines.start("one"), machines.start("two")
    mine, others = made(one), made(one)
    assert claimed(one).run_id == mine
    assert claimed(other).run_id == others
    one.close()

    successor = machines.start("one")

    assert successor.recover(HOOKS) == (1, [])
    assert known(successor, mine).outcome == CUT_OFF
    assert known(successor, others).state is State.RUNNING


# --- hooks that not every machine knows


def test_a_run_is_lost_only_if_no_worker_that_lives_knows_its_hook(machines: Machines) -> None:
    old, new = machines.start("old", lost_after=0.0), machines.start("new", lost_after=0.0)
    run_id = made(old, DEPLOY)
    new.recover(HOOKS)

    assert old.fail_lost(WITHOUT_DEPLOY) == []
    machines.change("UPDATE worker SET seen_at = seen_at - 61 WHERE name = 'new'")
    assert old.fail_lost(WITHOUT_DEPLOY) == [run_id]
    assert outcome(old, run_id) == LOST


def test_a_worker_that_ends_knows_no_hooks_any_more(machines: Machines) -> None:
    old, new = machines.start("old", lost_after=0.0), machines.start("new")
    run_id = made(old, DEPLOY)
    new.recover(HOOKS)
    new.close()

    assert old.fail_lost(WITHOUT_DEPLOY) == [run_id]


def test_a_hook_that_nobody_knows_is_waited_for_a_quarter_of_an_hour(machines: Machines) -> None:
    journal = machines.start()
    run_id = made(journal, DEPLOY)

    machines.change("UPDATE run SET due = due - 880")
    assert journal.fail_lost(WITHOUT_DEPLOY) == []
    machines.change("UPDATE run SET due = due - 21")
    assert journal.fail_lost(WITHOUT_DEPLOY) == [run_id]


def test_of_a_failure_a_worker_tells_that_knows_the_hook(machines: Machines) -> None:
    old, new = machines.start("old"), machines.start("new")
    old.recover(WITHOUT_DEPLOY)
    new.recover(HOOKS)
    run_id = made(new, DEPLOY)
    new.settle(claimed(new), FAILED)

    assert (old.untold(), new.untold()) == ([], [run_id])
    new.close()
    assert old.untold() == [run_id]


# --- the bell, and what there is without it


@pytest.fixture(params=[True, False], ids=["bell", "polling"])
def far(request: pytest.FixtureRequest, machines: Machines) -> tuple[Machines, Settings]:
    """Machines that hear each other, or do not."""
    return machines, {"listen": request.param}


def test_who_waits_for_a_run_gets_one_that_another_machine_has_recorded(
    far: tuple[Machines, Settings],
) -> None:
    machines, settings = far
    web, worker = machines.start("web", **settings), machines.start("worker", **settings)
    told: SimpleQueue[object] = SimpleQueue()
    worker.claim_soon(HOOKS, FOR_EVER, (), FOR_EVER, told.put)
    assert nothing_due(worker)  # by then the one before it has looked, too, and waits

    run_id = made(web)

    claim = told.get(timeout=SECONDS)
    assert isinstance(claim, Claim)
    assert claim.run_id == run_id


def test_a_sender_is_told_the_end_of_a_run_that_another_machine_did(
    far: tuple[Machines, Settings],
) -> None:
    machines, settings = far
    web, worker = machines.start("web", **settings), machines.start("worker", **settings)
    told: SimpleQueue[object] = SimpleQueue()
    web.record_soon(HELLO, PLAIN, told.put, told.put)
    recorded = told.get(timeout=SECONDS)
    assert isinstance(recorded, Recorded)
    watching = Call(lambda: await_end(web, recorded.run_id, FOR_EVER))

    worker.settle(claimed(worker), DONE)

    assert told.get(timeout=SECONDS) is None  # it is to be asked for
    assert watching.returned()
    assert isinstance(watching.result, Run)
    assert watching.result.outcome == DONE


def test_a_run_that_is_being_recorded_is_not_taken_for_one_that_is_gone(
    far: tuple[Machines, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hookrunner.journal.postgres.POLLED_HEARING", 0.05)
    machines, settings = far
    web, worker = machines.start("web", **settings), machines.start("worker", **settings)
    first = made(web)
    web.watch(first, lambda run: None)
    told: SimpleQueue[object] = SimpleQueue()
    ended: SimpleQueue[object] = SimpleQueue()
    with machines.server.connect(machines.name) as db, db.transaction():
        db.execute("LOCK TABLE hookrunner.run IN EXCLUSIVE MODE")  # who reads may
        web.record_soon(HELLO, PLAIN, told.put, ended.put)
        wait_for(machines.waits_for_a_lock)
        looks = set[object]()
        while len(looks) < 3:
            looks.update(
                machines.change(
                    "SELECT query_start FROM pg_stat_activity "
                    "WHERE starts_with(trim(E'\\n' FROM query), 'SELECT id FROM unnest')"
                )
            )
    assert isinstance(told.get(timeout=SECONDS), Recorded)
    made(web)  # after whatever comes with the first
    assert ended.empty()

    assert claimed(worker).run_id == first
    worker.settle(claimed(worker), DONE)
    assert ended.get(timeout=SECONDS) is None


def test_a_place_that_one_machine_frees_is_taken_by_another_that_waits(
    far: tuple[Machines, Settings],
) -> None:
    machines, settings = far
    one, other = machines.start("one", **settings), machines.start("two", **settings)
    lane = {"/hello": Terms(strict=True)}
    made(one)
    second = made(one)
    claim = claimed(one, lane)
    told: SimpleQueue[object] = SimpleQueue()
    other.claim_soon(lane, FOR_EVER, (), FOR_EVER, told.put)
    assert nothing_due(other, lane)

    one.settle(claim, DONE)

    next_one = told.get(timeout=SECONDS)
    assert isinstance(next_one, Claim)
    assert next_one.run_id == second


def test_what_is_printed_on_one_machine_is_seen_on_another(
    two: tuple[PostgresJournal, PostgresJournal],
) -> None:
    worker, web = two
    run_id = made(web)
    claim = claimed(worker)
    worker.append(claim, b"so far\n", b"")

    seen = web.progress(run_id, 1, (0, 0), 8, 100)

    assert seen
    assert (seen.stdout.data, seen.over) == (b"so far\n", False)


def test_a_note_is_one_for_all_that_was_recorded_meanwhile(machines: Machines) -> None:
    web = machines.start("web")
    with psycopg.connect(machines.url, autocommit=True) as ear:
        ear.execute("LISTEN hookrunner")
        for _ in range(200):
            made(web)
        web.close()
        heard = list(ear.notifies(timeout=0.2))

    assert 1 <= len(heard) < 200
    assert json.loads(heard[0].payload) == {"from": "web", "due": True, "ended": []}


def listening(machines: Machines) -> bool:
    """True if a machine hears the others."""
    asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    return machines.change(asked + "AND query = 'LISTEN hookrunner'") == [(1,)]


@pytest.mark.parametrize(
    "said",
    ["", "7", "what?", '{"from": "web"}', "[" * 7000],
    ids=["nothing", "number", "words", "less", "deep"],
)
def test_a_note_that_cannot_be_read_is_no_reason_to_hear_no_more(
    machines: Machines, said: str
) -> None:
    web, worker = machines.start("web"), machines.start("worker")
    waiting = waiting_claim(worker)
    wait_for(lambda: listening(machines))

    machines.change("SELECT pg_notify('hookrunner', %s)", said)

    run_id = made(web)
    assert claimed_by(waiting) == run_id
    assert listening(machines)


def test_a_process_with_thousands_of_descriptors_hears_the_others(machines: Machines) -> None:
    with ExitStack() as opened:
        for _ in range(1100):
            opened.enter_context(Path(os.devnull).open())
        web, worker = machines.start("web"), machines.start("worker")
        waiting = waiting_claim(worker)
        wait_for(lambda: listening(machines))

        run_id = made(web)
        assert claimed_by(waiting) == run_id
        assert listening(machines)


# --- through a pooler


class Pooler:
    """What PgBouncer does to a client in transaction mode, as far as we can tell it: another
    process id than the server's, and no LISTEN. It passes on everything else."""

    def __init__(self, folder: Path) -> None:
        self.to = folder / ".s.PGSQL.5432"
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.seen = b""
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self.to))
            threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, to: socket.socket, masks: bool) -> None:
        try:
            while data := source.recv(1 << 16):
                if masks and (at := data.find(b"K\0\0\0\x0c")) >= 0:  # BackendKeyData
                    data = data[: at + 5] + b"\0\0\0\x01" + data[at + 9 :]
                self.seen += b"" if masks else data
                to.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, to):
                end.close()

    def close(self) -> None:
        self.listener.close()


def test_behind_a_pooler_nothing_is_prepared_and_nobody_listens(machines: Machines) -> None:
    with closing(Pooler(machines.server.folder)) as pooler:
        url = f"postgresql://postgres@127.0.0.1:{pooler.port}/{machines.name}"
        far, near = machines.start(url=url), machines.start()
        ids = [made(far) for _ in range(8)]
        for _ in ids[1:]:
            assert far.settle(claimed(far), DONE)
        waiting = Call(lambda: await_end(far, ids[-1], FOR_EVER))
        near.settle(claimed(near), DONE)
        assert waiting.returned()
        far.close()

    assert b"LISTEN" not in pooler.seen
    assert b"_pg3_" not in pooler.seen  # psycopg's name for what it prepares
    assert b"options" not in pooler.seen


PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")


@pytest.fixture
def pgbouncer(machines: Machines, tmp_path: Path) -> Iterator[str]:
    """The address of the database behind a PgBouncer in transaction mode."""
    if not PGBOUNCER:
        pytest.skip("there is no pgbouncer; apt-get install pgbouncer")
    server = machines.server
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    given = server.folder / f"{machines.name}.ini"
    given.write_text(
        f"[databases]\n* = host={server.folder} user=postgres pool_size=3\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        "auth_type = any\npool_mode = transaction\nserver_login_retry = 1\n"
    )
    process = subprocess.Popen(
        [PGBOUNCER, given], user=server.user, cwd=server.folder, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(lambda: answers(port))
        yield f"postgresql://postgres@127.0.0.1:{port}/{machines.name}"
    finally:
        process.terminate()
        process.wait(SECONDS)


def answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def test_through_a_pgbouncer_nothing_is_lost_doubled_or_left(
    machines: Machines, pgbouncer: str
) -> None:
    web, worker = machines.start("web", url=pgbouncer), machines.start("worker", url=pgbouncer)
    worker.recover(HOOKS)
    told: SimpleQueue[object] = SimpleQueue()
    ended: SimpleQueue[object] = SimpleQueue()
    hooks = {**HOOKS, "/hello": Terms(concurrency=2)}

    for _ in range(MANY):
        web.record_soon(HELLO, PLAIN, told.put, ended.put)
    for n in range(MANY):
        if n == MANY // 2:
            machines.cut()  # what the pooler has is not ours by name, and gone all the same
        claim = worker.claim(hooks, FOR_EVER, wait=SECONDS)
        assert claim
        assert worker.renew([claim], FOR_EVER) == {claim.run_id}
        assert worker.settle(claim, DONE)

    recorded = [told.get(timeout=SECONDS) for _ in range(MANY)]
    assert all(isinstance(each, Recorded) for each in recorded)
    for _ in range(MANY):
        ended.get(timeout=SECONDS)
    assert web.unfinished() == []
    assert machines.change("SELECT count(*), max(number) FROM attempt") == [(MANY, 1)]
    assert not listening(machines)


# --- a database that goes away


def test_a_journal_outlives_a_restart_of_its_database(own: Machines) -> None:
    journal = own.start("dyno")
    first, claim = made(journal), claimed(journal)
    waiting = waiting_claim(journal)

    own.server.restart()

    second = made(journal)
    assert journal.settle(claim, DONE)
    assert outcome(journal, first) == DONE
    assert waiting.returned()
    if isinstance(waiting.result, JournalUnavailable | None):
        waiting = waiting_claim(journal)
    assert claimed_by(waiting) == second


def test_a_server_that_was_killed_has_all_that_was_acknowledged(own: Machines) -> None:
    journal = own.start()
    ids = [made(journal) for _ in range(MANY)]

    own.server.stop(signal.SIGKILL)
    own.server.start()

    assert journal.unfinished() == ids


def test_while_the_database_is_away_the_journal_is_unavailable_and_comes_back_with_it(
    own: Machines,
) -> None:
    journal = own.start("dyno")
    run_id = made(journal)
    claim = claimed(journal)
    own.server.stop()

    calls: list[Callable[[], object]] = [
        lambda: journal.record(HELLO, PLAIN),
        lambda: journal.settle(claim, DONE),
        lambda: journal.claim(HOOKS, FOR_EVER),
        lambda: journal.renew([claim], FOR_EVER),
        lambda: journal.run(run_id),
        lambda: journal.try_writing(SECONDS),
    ]
    told = at_once([lambda c=c: unavailable(c) for c in calls])  # type: ignore[misc]
    for each in told:
        assert str(each).startswith("the database gives no connection within 3 s: connection ")
        assert str(each).endswith(
            "Is the server running locally and accepting connections on that socket?"
        )

    own.server.start()
    journal.try_writing(SECONDS)
    assert journal.settle(claim, DONE)
    assert [run.run_id for run in journal.search(Search()).runs] == [run_id]


def unavailable(call: Callable[[], object]) -> str:
    with pytest.raises(JournalUnavailable) as raised:
        call()
    return str(raised.value)


def test_who_delivers_to_a_database_that_does_not_answer_is_told_so_in_time(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hookrunner.journal.postgres.STALLED", 0.1)
    journal = machines.start()
    ended: SimpleQueue[object] = SimpleQueue()
    told: SimpleQueue[object] = SimpleQueue()
    with machines.server.connect(machines.name) as db, db.transaction():
        db.execute("LOCK TABLE hookrunner.run")
        journal.record_soon(HELLO, PLAIN, told.put, ended.put)
        assert str(told.get(timeout=SECONDS)) == "the database has not answered for 0.1 s"
        assert unavailable(lambda: journal.record(HELLO, PLAIN)) == (
            "the database has not answered for 0.1 s"
        )

    monkeypatch.undo()
    run_id = made(journal)

    # The first was under way, and nobody can know; the second is not done behind one's back.
    [first, last] = journal.unfinished()
    assert (claimed(journal).run_id, last) == (first, run_id)
    assert (told.empty(), ended.empty()) == (True, True)


class Cutter:
    """Lets a statement be done, and has its answer never arrive."""

    def __init__(self, machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
        self.machines = machines
        self.like = ""
        self.times = 0
        true = link.rows

        def rows(db: link.Db, statement: str, given: object = None) -> list[tuple[object, ...]]:
            found = true(db, statement, given)
            if self.times and self.like in statement:
                self.times -= 1
                self._cut(db)
            return found

        for module in ("claims", "records"):
            monkeypatch.setattr(f"hookrunner.journal.{module}.rows", rows)

    def cut(self, like: str, times: int = 1) -> None:
        self.like, self.times = like, times

    def _cut(self, db: link.Db) -> None:
        self.machines.change("SELECT pg_terminate_backend(%s)", db.info.backend_pid)
        db.execute("SELECT 1")  # raises what whoever waits for a lost answer is told
        raise AssertionError("it was not cut")


@pytest.fixture
def cutter(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> Cutter:
    """Cuts connections of the machines."""
    return Cutter(machines, monkeypatch)


@pytest.mark.parametrize("new", [HELLO, NAMED, SEALED], ids=["plain", "named", "sealed"])
def test_a_delivery_whose_commit_was_not_answered_is_recorded_once(
    machines: Machines, cutter: Cutter, new: NewRun
) -> None:
    journal = machines.start()
    cutter.cut("INSERT INTO hookrunner.run")

    recorded = journal.record(new, PLAIN)

    assert cutter.times == 0
    assert not recorded.joined
    assert journal.unfinished() == [recorded.run_id]


def test_an_attempt_whose_end_was_not_answered_is_known_to_have_been_settled(
    machines: Machines, cutter: Cutter
) -> None:
    journal = machines.start()
    run_id, failed = made(journal), made(journal)
    first, second = claimed(journal), claimed(journal)
    cutter.cut("UPDATE hookrunner.run r SET\n        state", times=2)

    assert journal.settle(first, DONE)
    assert journal.settle(second, FAILED, again_in=FOR_EVER)

    assert cutter.times == 0
    assert outcome(journal, run_id) == DONE
    assert (known(journal, failed).state, outcome(journal, failed)) == (State.QUEUED, FAILED)
    assert not journal.settle(first, FAILED)


def test_a_run_whose_claim_was_not_answered_is_claimed_all_the_same(
    machines: Machines, cutter: Cutter
) -> None:
    journal = machines.start()
    run_id = made(journal)
    cutter.cut("SET state = 'running'")

    claim = claimed(journal)

    assert cutter.times == 0
    assert (claim.run_id, claim.attempt, claim.new) == (run_id, 1, HELLO)
    assert nothing_due(journal)
    assert journal.settle(claim, DONE)


def test_a_claim_that_was_given_up_is_had_by_who_looks_next(
    machines: Machines, cutter: Cutter, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = machines.start()
    run_id = made(journal)
    monkeypatch.setattr(journal._link, "patience", -1.0)
    cutter.cut("SET state = 'running'")
    assert "terminating connection" in unavailable(lambda: journal.claim(HOOKS, FOR_EVER))
    monkeypatch.undo()

    claim = claimed(journal)

    assert (claim.run_id, claim.attempt) == (run_id, 1)


def test_every_connection_may_be_cut_at_any_time(machines: Machines) -> None:
    web, worker = machines.start("web"), machines.start("worker")
    worker.recover(HOOKS)
    stop = threading.Event()

    def cut() -> None:
        for _ in range(8):
            machines.cut()
            stop.wait(0.2)

    def record(_: int) -> list[str]:
        return [made(web) for _ in range(30)]

    def work() -> list[str]:
        done = []
        while not stop.is_set():
            try:
                claim = worker.claim(HOOKS, FOR_EVER, wait=0.2)
                if claim and worker.settle(claim, DONE):
                    done.append(claim.run_id)
            except JournalUnavailable:
                continue
        return done

    with ThreadPoolExecutor(12) as pool:
        cutting = pool.submit(cut)
        working = [pool.submit(work) for _ in range(4)]
        recorded = [run_id for some in pool.map(record, range(6)) for run_id in some]
        give_up = time.monotonic() + SECONDS
        while time.monotonic() < give_up and any(
            state != "succeeded" for (state,) in machines.change("SELECT DISTINCT state FROM run")
        ):
            stop.wait(0.1)
        stop.set()
        cutting.result()
    done = [run_id for call in working for run_id in call.result()]

    assert sorted(done) == sorted(recorded)  # each once, and nothing that was acknowledged is lost
    attempts = machines.change("SELECT count(*), max(number) FROM attempt")
    assert attempts == [(len(recorded), 1)]


def test_what_a_database_cannot_take_just_now_is_not_recorded(machines: Machines) -> None:
    journal = machines.start()
    made(journal)
    read_only(machines, "SET default_transaction_read_only = on")
    machines.cut()

    assert "read-only transaction" in unavailable(lambda: journal.record(HELLO, PLAIN))

    read_only(machines, "RESET default_transaction_read_only")
    made(journal)


def read_only(machines: Machines, how: str) -> None:
    """As a database is to who still holds a connection to the primary of a moment ago."""
    with machines.server.connect() as db:
        db.execute(f'ALTER DATABASE "{machines.name}" {how}')


# --- connections


def test_a_process_has_no_more_connections_than_it_may(machines: Machines) -> None:
    journal = machines.start(connections=4)
    waiting = [waiting_claim(journal) for _ in range(4)]

    with ThreadPoolExecutor(20) as pool:
        ids = list(pool.map(lambda _: made(journal), range(40)))
        list(pool.map(journal.run, ids))
        open_now = machines.change(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'hookrunner' "
            "AND datname = current_database()"
        )
    assert open_now <= [(4,)]
    assert all(call.returned() for call in waiting)


def test_who_reads_leaves_room_for_who_writes(machines: Machines) -> None:
    journal = machines.start()
    run_id = made(journal)
    with machines.server.connect(machines.name) as db, db.transaction():
        db.execute("LOCK TABLE hookrunner.attempt IN ACCESS EXCLUSIVE MODE")
        reading = [Call(lambda: journal.run(run_id)) for _ in range(3)]
        assert made(journal) != run_id
        made(journal, NAMED)
    assert all(call.thread is not None for call in reading)
    for call in reading:
        call.thread.join(SECONDS)


def test_a_journal_that_is_busy_for_too_long_cannot_be_written(machines: Machines) -> None:
    journal = machines.start()
    with machines.server.connect(machines.name) as db, db.transaction():
        db.execute("LOCK TABLE hookrunner.pulse")
        assert unavailable(lambda: journal.try_writing(0.05)) == (
            "it has not written anything for 0.05 s"
        )
    journal.try_writing(FOR_EVER)


def test_a_database_that_has_no_connection_left_says_so_and_is_asked_again() -> None:
    with (
        closing(postgres.Server(max_connections="5", superuser_reserved_connections="0")) as server,
        ExitStack() as opened,
    ):
        journal = Machines(server, "own", opened).start()
        made(journal)
        with ExitStack() as others:
            with server.connect() as db:
                db.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                    "application_name = 'hookrunner'"
                )
            with suppress(psycopg.OperationalError):
                while True:
                    others.enter_context(server.connect())

            why = unavailable(lambda: journal.record(HELLO, PLAIN))

            assert why.startswith("the database gives no connection within 3 s: connection ")
            assert why.endswith("FATAL: sorry, too many clients already")
        made(journal)


# --- retention


def test_pruning_holds_up_no_claim_and_is_held_up_by_none(machines: Machines) -> None:
    journal = machines.start()
    ended = made(journal, DEPLOY)
    journal.settle(claimed(journal), DONE)
    run_id = made(journal)
    with machines.server.connect(machines.name) as db, db.transaction():
        db.execute("DELETE FROM hookrunner.run WHERE state = 'succeeded'")
        assert journal.prune({"/deploy": Terms(keep=0.0)}, 10) == 0  # that one is another's
        assert claimed(journal).run_id == run_id
    assert journal.run(ended) is None


def test_two_machines_that_prune_forget_each_run_once(
    two: tuple[PostgresJournal, PostgresJournal], machines: Machines
) -> None:
    for _ in range(MANY):
        made(two[0])
        two[0].settle(claimed(two[0]), DONE)

    pruned = at_once([lambda j=j: j.prune({"/hello": Terms(keep=0.0)}, 100) for j in two])  # type: ignore[misc]

    assert sum(map(int, map(str, pruned))) == MANY
    assert machines.change("SELECT count(*) FROM run") == [(0,)]
    assert machines.change("SELECT count(*) FROM attempt") == [(0,)]


# --- tables


def test_two_that_make_the_tables_at_once_make_them_once(own: Machines) -> None:
    with own.server.connect() as db:
        db.execute("CREATE DATABASE bare")
    url = own.server.url("bare")

    journals = at_once([lambda: own.start(url=url) for _ in range(4)])

    assert isinstance(journals[0], PostgresJournal)
    made(journals[0])
    with own.server.connect("bare") as db:
        assert db.execute("SELECT version FROM hookrunner.version").fetchall() == [(1,)]


def test_tables_that_a_newer_release_has_added_to_do(machines: Machines) -> None:
    journal = machines.start()
    made(journal)
    machines.change("ALTER TABLE run ADD colour text DEFAULT 'red'")
    machines.change("UPDATE version SET version = 7")

    run_id = made(journal)  # the older version goes on while the newer is deployed
    assert made(machines.start()) != run_id  # and starts again if it must


def test_tables_that_this_release_cannot_work_with_are_told(machines: Machines) -> None:
    machines.change("UPDATE version SET version = 7, oldest = 7")

    with pytest.raises(Trouble) as raised:
        machines.start()

    assert str(raised.value) == (
        "the journal's tables are of a newer version (7), which this one (1) cannot work with; "
        "deploy the newer version again"
    )
    machines.change("UPDATE version SET version = 1, oldest = 1")


def test_a_migration_takes_up_where_the_one_before_it_ended(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = machines.start()
    made(older)
    said: list[str] = []
    step = "ALTER TABLE hookrunner.run ADD colour text"
    monkeypatch.setattr(tables, "MIGRATIONS", (*tables.MIGRATIONS, step))

    newer = machines.start(say=said.append)

    assert said == ["the journal's tables were brought from version 1 to 2"]
    assert made(older) != made(newer)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (
            "postgresql://u:secret@127.0.0.1:1/d",
            "the journal's database cannot be reached: connection failed: ",
        ),
        (
            "postgresql://u:secret@127.0.0.1/d?nonsense=1",
            "the journal's URL cannot be read; it should look like postgres://USER",
        ),
    ],
)
def test_a_database_that_cannot_be_had_is_told_without_its_password(url: str, told: str) -> None:
    with pytest.raises(Trouble) as raised:
        PostgresJournal(url)

    assert str(raised.value).startswith(told)
    assert "secret" not in str(raised.value)


# --- letters


@pytest.mark.parametrize("text", ["", "a\0b", "\0\0", "\U000f0000", "\U000f00000\0", "ü"])
def test_any_text_is_kept_as_it_is(machines: Machines, text: str) -> None:
    assert "\0" not in kept(text)
    assert read(kept(text)) == text
    journal = machines.start()
    new = replace(NAMED, event=text, delivery_id=text, path=text, dedupe_key=f"d{text}", query=text)
    run_id = made(journal, new)

    assert journal.record(new, PLAIN) == Recorded(run_id, joined=True)
    assert claimed(journal).new == replace(new, dedupe_key="", dedupe_for=0.0)
    assert known(journal, run_id).event == text
