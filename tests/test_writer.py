"""The thread that writes: who shares a commit, whom a failure hurts, and what is synced when.

The first half is about the Writer alone, on a real file with a table of its own; the
second about the journal on it, whose every commit is listened to.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from hookrunner.journal import writer
from hookrunner.journal.look import Look
from hookrunner.journal.sqlite import SqliteJournal
from hookrunner.journal.writer import Job, Writer
from hookrunner.model import Claim, Full, JournalUnavailable, Recorded, Run, State, Terms
from hookrunner.seams import Journal
from tests.storing import HOOKS
from tests.test_journal import (
    DEPLOY,
    DONE,
    FAILED,
    FOR_EVER,
    HELLO,
    NAMED,
    PLAIN,
    SECONDS,
    Call,
    claimed,
    known,
    made,
)
from tests.test_sqlite import no_file_grows_beyond

LEVELS = {1: "NORMAL", 2: "FULL"}
"""What `PRAGMA synchronous` says; a FULL commit has reached the disk when it returns."""


class Ear:
    """Hears what connections say to SQLite, and what each commit does to the file."""

    def __init__(self) -> None:
        self.transactions: list[list[str]] = []
        """The statements of each transaction that was committed."""

        self.written: list[str] = []
        """How far each commit was synced that wrote something."""

        self._committed = threading.Condition()

    def connect(self, path: Path, **named: Any) -> sqlite3.Connection:
        ear, wal, said = self, path.with_name(f"{path.name}-wal"), list[str]()

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, given: Any = (), /) -> sqlite3.Cursor:
                if sql == "COMMIT":
                    [level] = super().execute("PRAGMA synchronous").fetchone()
                    before = wal.stat().st_size
                    done = super().execute(sql)
                    wrote = wal.stat().st_size > before
                    ear.hear_commit([*said], LEVELS[level] if wrote else "")
                    return done
                if sql == "BEGIN IMMEDIATE":
                    said.clear()
                else:
                    said.append(sql.strip())
                return super().execute(sql, given)

        return sqlite3.connect(path, **named, factory=Connection)

    def hear_commit(self, said: list[str], level: str) -> None:
        with self._committed:
            self.transactions.append(said)
            if level:
                self.written.append(level)
            self._committed.notify_all()

    def await_transactions(self, number: int) -> None:
        """Return when there have been so many."""
        with self._committed:
            assert self._committed.wait_for(lambda: len(self.transactions) >= number, SECONDS)


TAKE = """
UPDATE thing SET taken = 1 WHERE name =
    (SELECT min(name) FROM thing WHERE NOT taken AND hook IN (SELECT value FROM json_each(?)))
RETURNING rowid, name
"""
TOUCH = "PRAGMA user_version = 1"


class Shop:
    """A writer on a file of things. Who looks, looks for one that nobody has taken."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ear = Ear()
        path.touch()
        self.db = self.ear.connect(path, isolation_level=None, check_same_thread=False)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("CREATE TABLE thing (name TEXT UNIQUE, hook TEXT, taken INT DEFAULT 0)")
        self.looked: list[tuple[Look, float]] = []
        """Who looked, and when."""

        self.nothing_before: list[float] = []
        """The times from which on it was asked what comes next."""

        self.writer = Writer(self.db, self.find, self.soonest, TOUCH)

    def find(self, db: sqlite3.Connection, look: Look) -> Claim | None:
        self.looked.append((look, time.time()))
        found = db.execute(TAKE, (json.dumps(list(look.hooks)),)).fetchall()
        return Claim(found[0][1], found[0][0], 1, HELLO) if found else None

    def soonest(self, db: sqlite3.Connection, since: float) -> float | None:
        self.nothing_before.append(since)
        return None

    def names(self) -> list[str]:
        """What is in the file, to somebody else who reads it."""
        with closing(sqlite3.connect(self.path)) as other:
            return [name for (name,) in other.execute("SELECT name FROM thing ORDER BY name")]

    def ask(self, work: Callable[[sqlite3.Connection], object]) -> SimpleQueue[object]:
        """Have it done; where it is told what came of it."""
        told: SimpleQueue[object] = SimpleQueue()
        self.writer.ask(Job(work, told.put))
        return told

    def look(
        self,
        hooks: Mapping[str, Terms] = HOOKS,
        mine: Mapping[str, None] | None = None,
        patience: float = FOR_EVER,
    ) -> SimpleQueue[object]:
        """Look for a thing; where it is told which."""
        told: SimpleQueue[object] = SimpleQueue()
        until = time.monotonic() + patience
        mine = NOBODYS if mine is None else mine
        self.writer.look(Look(hooks, FOR_EVER, mine, until, told.put))
        return told

    def parked(self, hooks: Mapping[str, Terms] = HOOKS) -> SimpleQueue[object]:
        """The same, by somebody who has looked in vain and stays."""
        told = self.look(hooks)
        self.writer.do(lambda db: None)
        assert told.empty()
        return told

    @contextmanager
    def busy(self) -> Iterator[None]:
        """What is asked for meanwhile is all there when the writer comes to it."""
        begun, go = threading.Event(), threading.Event()

        def hold(db: sqlite3.Connection) -> None:
            begun.set()
            assert go.wait(SECONDS)

        told = self.ask(hold)
        assert begun.wait(SECONDS)
        try:
            yield
        finally:
            go.set()
        assert got(told) is None

    def shared(self, statement: str = "INSERT") -> list[int]:
        """How many of these statements each commit had that had any."""
        counts = (
            sum(said.startswith(statement) for said in transaction)
            for transaction in self.ear.transactions
        )
        return [count for count in counts if count]


NOBODYS: Mapping[str, None] = {}


def got(told: SimpleQueue[object]) -> object:
    return told.get(timeout=SECONDS)


def named(found: object) -> str:
    """The name of the thing that somebody got who looked for one."""
    assert isinstance(found, Claim), found
    return found.run_id


def refusal(told: SimpleQueue[object]) -> str:
    """What somebody was told for whom the writer could do nothing."""
    error = got(told)
    assert isinstance(error, JournalUnavailable), error
    return str(error)


def add(name: str, hook: str = "/hello") -> Callable[[sqlite3.Connection], str]:
    """Work that adds a thing."""

    def work(db: sqlite3.Connection) -> str:
        db.execute("INSERT INTO thing (name, hook) VALUES (?, ?)", (name, hook))
        return name

    return work


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    opened = Shop(tmp_path / "things.sqlite")
    yield opened
    opened.writer.close()


# --- group commit


def test_what_is_asked_for_together_shares_one_commit(shop: Shop) -> None:
    with shop.busy():
        told = [shop.ask(add(name)) for name in "abc"]

    assert [got(one) for one in told] == ["a", "b", "c"]
    assert shop.shared() == [3]


def test_what_is_asked_for_one_after_the_other_does_not_wait_for_company(shop: Shop) -> None:
    assert [shop.writer.do(add(name)) for name in "abc"] == ["a", "b", "c"]

    assert shop.shared() == [1, 1, 1]


def test_who_is_told_finds_all_of_the_group_in_the_file(shop: Shop) -> None:
    found: SimpleQueue[object] = SimpleQueue()
    with shop.busy():
        for name in "abc":
            shop.writer.ask(Job(add(name), lambda _: found.put(shop.names())))

    assert [got(found) for _ in "abc"] == [["a", "b", "c"]] * 3


def test_afterwards_is_after_the_commit_and_before_anybody_is_told(shop: Shop) -> None:
    order: SimpleQueue[object] = SimpleQueue()

    def work(db: sqlite3.Connection) -> str:
        shop.writer.afterwards(lambda: order.put(shop.names()))
        return add("a")(db)

    shop.writer.ask(Job(work, order.put))

    assert [got(order), got(order)] == [["a"], "a"]


def fill_up(db: sqlite3.Connection) -> None:
    raise Full("2 runs of it are waiting", 10.0)


UNFIT: Mapping[str, Callable[[sqlite3.Connection], object]] = {
    "2 runs of it are waiting": fill_up,
    "UNIQUE constraint failed: thing.name": add("a"),
    "invalid literal for int() with base 10: 'x'": lambda db: int("x"),
}


@pytest.mark.parametrize("told", UNFIT)
def test_a_job_that_fails_hurts_nobody_else_of_its_group(shop: Shop, told: str) -> None:
    called: list[str] = []

    def work(db: sqlite3.Connection) -> object:
        shop.writer.afterwards(lambda: called.append("failed"))
        add("half")(db)
        return UNFIT[told](db)

    def with_afterwards(name: str) -> Callable[[sqlite3.Connection], str]:
        def work(db: sqlite3.Connection) -> str:
            shop.writer.afterwards(lambda: called.append(name))
            return add(name)(db)

        return work

    with shop.busy():
        before = shop.ask(with_afterwards("a"))
        failed = shop.ask(work)
        after = shop.ask(with_afterwards("b"))

    error = got(failed)
    assert isinstance(error, Full | JournalUnavailable)
    assert (str(error), isinstance(error, Full)) == (told, told.startswith("2 runs"))
    assert (got(before), got(after)) == ("a", "b")
    assert called == ["a", "b"]
    assert shop.names() == ["a", "b"]  # and nothing of what the one that failed had done
    assert len(shop.shared()) == 1


def test_what_the_unfit_gets_is_raised_where_somebody_waits_for_it(shop: Shop) -> None:
    with pytest.raises(Full) as full:
        shop.writer.do(fill_up)
    with pytest.raises(JournalUnavailable) as unfit:
        shop.writer.do(lambda db: int("x"))

    assert (str(full.value), full.value.retry_after) == ("2 runs of it are waiting", 10.0)
    assert str(unfit.value) == "invalid literal for int() with base 10: 'x'"


def test_an_error_of_commit_fails_all_of_the_group_and_the_next_works(shop: Shop) -> None:
    called: list[str] = []

    def large(db: sqlite3.Connection) -> str:
        shop.writer.afterwards(lambda: called.append("large"))
        return add("x" * 300_000)(db)

    def small(db: sqlite3.Connection) -> str:
        shop.writer.afterwards(lambda: called.append("small"))
        return add("a")(db)

    with no_file_grows_beyond(200_000):
        with shop.busy():
            told = [shop.ask(work) for work in (small, large, fill_up)]
        assert [refusal(one) for one in told] == ["disk I/O error"] * 3

    assert (called, shop.names(), shop.shared()) == ([], [], [])
    with shop.busy():
        told = [shop.ask(add(name)) for name in "ab"]
    assert [got(one) for one in told] == ["a", "b"]
    assert (called, shop.names(), shop.shared()) == ([], ["a", "b"], [2])


def test_who_looks_when_a_commit_fails_is_told_so_and_may_look_again(shop: Shop) -> None:
    looking = shop.parked()

    with no_file_grows_beyond(200_000):
        assert refusal(shop.ask(add("x" * 300_000))) == "disk I/O error"
        assert refusal(looking) == "disk I/O error"

    looking = shop.parked()
    shop.writer.do(add("a"))
    assert named(got(looking)) == "a"


def test_a_bug_in_work_fails_its_group_and_not_the_writer(shop: Shop) -> None:
    def work(db: sqlite3.Connection) -> None:
        raise KeyError("k3x9")

    with shop.busy():
        told = [shop.ask(work) for work in (add("a"), work, add("b"))]

    assert [refusal(one) for one in told] == ["'k3x9'"] * 3
    assert shop.writer.do(add("c")) == "c"
    assert shop.names() == ["c"]


# --- who looks for work


def test_who_looks_is_served_by_the_very_commit_that_brings_something(shop: Shop) -> None:
    looking = shop.parked()

    shop.writer.do(add("a"))

    assert named(got(looking)) == "a"
    assert [said.split()[0] for said in shop.ear.transactions[-1]] == [
        "INSERT",
        "UPDATE",
    ]


def test_who_looks_is_served_by_what_comes_with_it_too(shop: Shop) -> None:
    with shop.busy():
        looking = shop.look()
        shop.ask(add("a"))

    assert named(got(looking)) == "a"
    assert (shop.shared(), shop.shared("UPDATE")) == ([1], [1])


def test_everybody_who_looks_gets_one_of_what_a_commit_brings(shop: Shop) -> None:
    looking = [shop.parked() for _ in range(3)]

    with shop.busy():
        for name in "ab":
            shop.ask(add(name))

    assert [named(got(one)) for one in looking[:2]] == ["a", "b"]
    shop.writer.do(add("c"))
    assert named(got(looking[2])) == "c"


def test_where_one_found_nothing_nobody_looks_for_the_same_in_that_commit(shop: Shop) -> None:
    # Each worker makes a mapping of its own from hooks.yaml; what is in it is what counts.
    looking = [shop.parked(dict(HOOKS)) for _ in range(3)]
    other = shop.parked({"/deploy": PLAIN})
    mine = shop.look(HOOKS, {"k3x9": None})
    shop.writer.do(lambda db: None)
    shop.looked.clear()

    shop.writer.do(add("a"))

    assert named(got(looking[0])) == "a"
    assert [(look.hooks, list(look.mine)) for look, _ in shop.looked] == [
        (HOOKS, []),  # has found it
        (HOOKS, []),  # has found nothing, and spares the third the trouble
        ({"/deploy": PLAIN}, []),
        (HOOKS, ["k3x9"]),
    ]
    assert [told.empty() for told in (*looking[1:], other, mine)] == [True] * 4


def test_what_comes_due_while_they_look_is_looked_for_again(shop: Shop) -> None:
    shop.parked()

    assert shop.nothing_before
    looked = [at for _, at in shop.looked]
    assert all(since <= at for since, at in zip(shop.nothing_before, looked, strict=True))


def test_who_has_no_more_patience_is_let_go_with_nothing(shop: Shop) -> None:
    assert got(shop.look(patience=0.0)) is None


def test_who_has_no_patience_gets_what_is_there(shop: Shop) -> None:
    shop.writer.do(add("a"))

    assert named(got(shop.look(patience=0.0))) == "a"


# --- dismissal


def test_dismissed_is_who_looks_and_not_who_comes_after(shop: Shop) -> None:
    looking = [shop.parked() for _ in range(2)]

    shop.writer.dismiss(for_good=False)

    assert [got(one) for one in looking] == [None, None]
    later = shop.parked()
    shop.writer.do(add("a"))
    assert named(got(later)) == "a"


def test_dismissed_is_also_who_has_come_while_the_writer_was_busy(shop: Shop) -> None:
    with shop.busy():
        looking = shop.look()
        shop.writer.dismiss(for_good=False)

    assert got(looking) is None


def test_who_is_dismissed_for_good_gets_nothing_though_there_is_something(shop: Shop) -> None:
    with shop.busy():
        looking = shop.look()
        shop.ask(add("a"))
        shop.writer.dismiss(for_good=True)

    assert got(looking) is None
    assert got(shop.look()) is None
    assert (shop.names(), shop.shared("UPDATE")) == (["a"], [])


def test_a_dismissal_for_good_is_not_taken_back_by_another(shop: Shop) -> None:
    shop.writer.dismiss(for_good=True)
    shop.writer.dismiss(for_good=False)

    assert got(shop.look()) is None


# --- the end


def test_who_leads_has_nothing_done_before_its_turn_and_all_of_it_then(shop: Shop) -> None:
    shop.writer.lead()
    told: list[object] = []
    for number in range(3):
        shop.writer.ask(Job(lambda db, n=number: n, told.append, quick=True))  # type: ignore[misc]

    assert told == []
    shop.writer.turn()
    assert told == [0, 1, 2]
    shop.writer.follow()


def test_what_may_take_a_while_is_the_threads_though_who_leads_asks_for_it(shop: Shop) -> None:
    shop.writer.lead()
    told: SimpleQueue[int] = SimpleQueue()
    shop.writer.ask(Job(lambda db: threading.get_ident(), told.put))  # type: ignore[arg-type]

    assert told.get(timeout=SECONDS) != threading.get_ident()
    shop.writer.follow()


def test_on_a_slow_disk_all_is_the_threads(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "SLOW", -1.0)
    shop.writer.lead()
    told: SimpleQueue[int] = SimpleQueue()
    shop.writer.ask(Job(lambda db: threading.get_ident(), told.put, quick=True))  # type: ignore[arg-type]
    shop.writer.turn()

    assert told.get(timeout=SECONDS) != threading.get_ident()
    shop.writer.follow()


def test_who_looks_in_the_turn_of_who_leads_is_let_go_in_time(shop: Shop) -> None:
    shop.writer.lead()
    told: SimpleQueue[object] = SimpleQueue()
    shop.writer.look(Look({}, 1.0, (), time.monotonic() + 0.05, told.put))
    shop.writer.turn()

    assert told.get(timeout=SECONDS) is None
    shop.writer.follow()


def test_what_was_asked_for_before_the_end_is_done_and_told(shop: Shop) -> None:
    with shop.busy():
        told = [shop.ask(add(name)) for name in "abc"]
        closing_it = Call(shop.writer.close)
        while shop.ask(lambda db: None).empty():
            pass  # until nobody is let in any more

    assert closing_it.returned()
    assert [got(one) for one in told] == ["a", "b", "c"]
    assert shop.names() == ["a", "b", "c"]


def test_who_looks_at_the_end_is_let_go_with_nothing(shop: Shop) -> None:
    parked = shop.parked()
    with shop.busy():
        come = shop.look()
        closing_it = Call(shop.writer.close)
        while shop.ask(lambda db: None).empty():
            pass

    assert closing_it.returned()
    assert (got(parked), got(come)) == (None, None)


def test_after_the_end_everybody_is_told_that_it_is_closed(shop: Shop) -> None:
    shop.writer.close()

    assert refusal(shop.ask(add("a"))) == "the journal is closed"
    assert refusal(shop.look()) == "the journal is closed"
    with pytest.raises(JournalUnavailable, match="the journal is closed"):
        shop.writer.do(add("a"))
    with pytest.raises(sqlite3.ProgrammingError, match="Cannot operate on a closed database"):
        shop.db.execute("SELECT 1")
    assert shop.names() == []


# --- what is synced when


Told = tuple[Recorded | Full | JournalUnavailable, list[str]]
Synced = tuple[JournalUnavailable | None, list[str]]


class Desk:
    """A journal to whose commits somebody listens."""

    def __init__(self, folder: Path) -> None:
        self.ear = Ear()
        self.journal = SqliteJournal(folder, self.ear.connect)

    @property
    def written(self) -> list[str]:
        """How far each commit was synced that has written something."""
        return list(self.ear.written)

    def parked(self, hooks: Mapping[str, Terms] = HOOKS) -> Call:
        """A worker that has looked for a run in vain, and waits for one."""
        before = len(self.ear.transactions)
        worker = Call(lambda: self.journal.claim(hooks, FOR_EVER, wait=FOR_EVER))
        self.ear.await_transactions(before + 1)
        return worker

    def record(self, *, waits: bool, key: str = "") -> SimpleQueue[Told]:
        """Record a delivery; where it is told what came of it, and what had been written then."""
        told: SimpleQueue[Told] = SimpleQueue()
        new = replace(NAMED, dedupe_key=key)
        self.journal.record_soon(
            new,
            PLAIN,
            lambda recorded: told.put((recorded, self.written)),
            (lambda run: None) if waits else None,
        )
        return told

    def unsynced(self, key: str = "") -> tuple[str, Claim]:
        """A run that was recorded for a sender who waits, and the claim of it."""
        worker = self.parked()
        recorded, _ = outcome_of(self.record(waits=True, key=key))
        claim = claim_of(worker)
        assert claim.run_id == recorded.run_id
        assert self.written[-1] == "NORMAL"
        return recorded.run_id, claim

    def sync(self) -> Synced:
        """Have all synced; what was told, and what had been written by then."""
        return self.sync_later().get(timeout=SECONDS)

    def sync_later(self) -> SimpleQueue[Synced]:
        told: SimpleQueue[Synced] = SimpleQueue()
        self.journal.sync_soon(lambda error: told.put((error, self.written)))
        return told

    @contextmanager
    def busy(self) -> Iterator[None]:
        """What is asked for meanwhile is all there when the writer comes to it."""
        begun, go = threading.Event(), threading.Event()

        def hold(run: Run | None) -> None:
            begun.set()
            assert go.wait(SECONDS)

        held = made(self.journal, replace(HELLO, hook="/other"))
        self.journal.watch(held, hold)  # it is the writer who calls
        cancelling = Call(lambda: self.journal.cancel(held))
        assert begun.wait(SECONDS)
        self.ear.written.clear()
        try:
            yield
        finally:
            go.set()
        assert cancelling.returned()


def outcome_of(told: SimpleQueue[Told]) -> tuple[Recorded, list[str]]:
    recorded, written = told.get(timeout=SECONDS)
    assert isinstance(recorded, Recorded)
    return recorded, written


def claim_of(worker: Call) -> Claim:
    assert worker.returned()
    assert isinstance(worker.result, Claim)
    return worker.result


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = Desk(tmp_path / "data")
    yield opened
    opened.journal.close()


def test_what_is_recorded_for_who_waits_and_claimed_at_once_is_not_synced(desk: Desk) -> None:
    worker = desk.parked()

    recorded, written = outcome_of(desk.record(waits=True))

    assert written == ["NORMAL"]
    assert claim_of(worker).run_id == recorded.run_id
    assert desk.written == ["NORMAL"]  # the claim is in that very commit


def test_what_is_recorded_for_who_does_not_wait_is_synced_before_it_is_told(desk: Desk) -> None:
    worker = desk.parked()

    recorded, written = outcome_of(desk.record(waits=False))

    assert written == ["FULL"]
    assert claim_of(worker).run_id == recorded.run_id


def test_what_nobody_waits_to_claim_is_synced_before_it_is_told(desk: Desk) -> None:
    assert outcome_of(desk.record(waits=True))[1] == ["FULL"]


def test_what_a_worker_comes_to_claim_together_with_it_is_synced(desk: Desk) -> None:
    with desk.busy():
        worker = Call(lambda: desk.journal.claim(HOOKS, FOR_EVER, wait=FOR_EVER))
        told = desk.record(waits=True)

    assert outcome_of(told)[1] == ["FULL"]
    assert claim_of(worker)


def test_more_than_there_are_workers_to_claim_it_is_synced(desk: Desk) -> None:
    workers = [desk.parked()]
    with desk.busy():
        told = [desk.record(waits=True) for _ in range(2)]

    assert [outcome_of(one)[1] for one in told] == [["FULL"]] * 2
    assert claim_of(workers[0])


def test_as_much_as_there_are_workers_to_claim_it_is_not_synced(desk: Desk) -> None:
    workers = [desk.parked(), desk.parked()]
    with desk.busy():
        told = [desk.record(waits=True) for _ in workers]

    ids = {outcome_of(one)[0].run_id for one in told}
    assert desk.written == ["NORMAL"]
    assert {claim_of(worker).run_id for worker in workers} == ids


def test_one_who_does_not_wait_has_all_synced_that_shares_the_commit(desk: Desk) -> None:
    workers = [desk.parked(), desk.parked()]
    with desk.busy():
        told = [desk.record(waits=True), desk.record(waits=False)]

    assert [outcome_of(one)[1] for one in told] == [["FULL"]] * 2
    assert all(claim_of(worker) for worker in workers)


ENDS: Mapping[str, Callable[[Journal, Claim], object]] = {
    "succeeded": lambda journal, claim: journal.settle(claim, DONE),
    "failed": lambda journal, claim: journal.settle(claim, FAILED),
    "tried again": lambda journal, claim: journal.settle(claim, FAILED, again_in=FOR_EVER),
    "interrupted": lambda journal, claim: journal.interrupt(claim, rerun=False),
    "cancelled": lambda journal, claim: journal.cancel(claim.run_id),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_the_end_of_an_attempt_is_synced_before_who_waits_is_told_it(
    desk: Desk, end: Callable[[Journal, Claim], object]
) -> None:
    run_id, claim = desk.unsynced()
    told: SimpleQueue[list[str]] = SimpleQueue()
    desk.journal.watch(run_id, lambda run: told.put(desk.written))

    end(desk.journal, claim)

    assert told.get(timeout=SECONDS) == ["NORMAL", "FULL"]


def test_a_sync_writes_so_that_what_was_not_synced_is(desk: Desk) -> None:
    desk.unsynced()

    assert desk.sync() == (None, ["NORMAL", "FULL"])


def test_one_sync_does_for_all_that_was_not_synced(desk: Desk) -> None:
    for _ in range(3):
        desk.unsynced()

    assert desk.sync() == (None, ["NORMAL", "NORMAL", "NORMAL", "FULL"])


def test_a_sync_of_what_is_synced_writes_nothing(desk: Desk) -> None:
    _, claim = desk.unsynced()
    desk.journal.settle(claim, DONE)

    assert desk.sync() == (None, ["NORMAL", "FULL"])


def test_who_looks_in_vain_has_nothing_synced_and_leaves_it_to_be(desk: Desk) -> None:
    desk.unsynced()

    desk.parked()

    assert desk.written == ["NORMAL"]
    assert desk.sync() == (None, ["NORMAL", "FULL"])


def test_a_sync_that_shares_the_commit_of_a_record_has_it_synced(desk: Desk) -> None:
    desk.unsynced()
    worker = desk.parked()
    with desk.busy():
        told = desk.record(waits=True)
        synced = desk.sync_later()

    assert outcome_of(told)[1] == ["FULL"]
    assert synced.get(timeout=SECONDS) == (None, ["FULL"])
    assert claim_of(worker)


def test_a_repeat_for_who_does_not_wait_has_the_run_synced_that_it_joins(desk: Desk) -> None:
    run_id, _ = desk.unsynced(key="d-1")

    # It writes nothing of its own, and there is a promise to be kept all the same.
    repeat, written = outcome_of(desk.record(waits=False, key="d-1"))

    assert repeat == Recorded(run_id, joined=True)
    assert written == ["NORMAL", "FULL"]


def test_a_repeat_for_who_waits_is_told_nothing_either_before_a_sync(desk: Desk) -> None:
    run_id, _ = desk.unsynced(key="d-1")
    desk.parked()

    repeat, _ = outcome_of(desk.record(waits=True, key="d-1"))

    assert repeat == Recorded(run_id, joined=True)
    assert desk.sync() == (None, ["NORMAL", "FULL"])


def test_what_is_looked_for_after_an_unsynced_commit_is_synced(desk: Desk) -> None:
    made(desk.journal, DEPLOY)
    desk.ear.written.clear()
    worker = desk.parked({"/hello": PLAIN})
    outcome_of(desk.record(waits=True))
    claim_of(worker)

    claimed(desk.journal)

    assert desk.written == ["NORMAL", "FULL"]


def test_a_sync_that_fails_is_told_and_made_up_for_by_the_next(desk: Desk) -> None:
    run_id, _ = desk.unsynced()

    with no_file_grows_beyond(0):
        error, written = desk.sync()
    assert (str(error), written) == ("disk I/O error", ["NORMAL"])

    assert desk.sync() == (None, ["NORMAL", "FULL"])
    assert known(desk.journal, run_id).state is State.RUNNING


def test_a_process_that_is_killed_keeps_what_was_not_synced(desk: Desk, tmp_path: Path) -> None:
    """A copy of the files is what a process finds that comes after us."""
    run_id, _ = desk.unsynced()

    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "data", copy)
    with closing(SqliteJournal(copy)) as found:
        assert found.recover(HOOKS) == (1, [])
        assert found.unfinished() == [run_id]
