"""The journal in one SQLite file: the embedded engine, for one process on one machine.

One thread writes. It takes everything that is asked for at that moment into one
transaction and commits once, so that a synced commit is shared by all who wait for it.
Readers have a connection of their own and never wait for the writer (WAL). A file lock
keeps a second process out; the supervisor holds it too, so that whoever comes after us
waits until our last script is gone.

A claim moves a run's `due` to the end of its lease. So a run whose worker died is simply
due again, and nothing else in the program has to notice the death.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from hookrunner.folder import hold
from hookrunner.journal.look import Look
from hookrunner.journal.looking import FEWER_ROWS, TABLES, Looker, forget, keep
from hookrunner.journal.notebook import Notebook
from hookrunner.journal.reading import Reader
from hookrunner.journal.rows import as_claim, attempt_row, new_id, new_row
from hookrunner.journal.rules import LOST_HOOK, Room, cut_off, joins, paced
from hookrunner.journal.watchers import Watchers, is_over
from hookrunner.journal.writer import Job, Writer
from hookrunner.model import (
    ENDED,
    Attempt,
    Backlog,
    Claim,
    Found,
    Full,
    Glimpse,
    JournalUnavailable,
    NewRun,
    Outcome,
    Overview,
    Printed,
    Progress,
    Query,
    Recorded,
    Refusal,
    Run,
    Search,
    Spread,
    State,
    Terms,
    Trouble,
    Why,
)
from hookrunner.seams import ALL

MIGRATIONS = (
    """
CREATE TABLE run (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT NOT NULL UNIQUE,
    hook          TEXT NOT NULL,
    state         TEXT NOT NULL,
    attempt       INTEGER NOT NULL DEFAULT 0,
    failures      INTEGER NOT NULL DEFAULT 0,
    interruptions INTEGER NOT NULL DEFAULT 0,
    due           REAL,
    recorded_at   REAL NOT NULL,
    ended_at      REAL,
    current       INTEGER NOT NULL DEFAULT 1,
    untold        INTEGER NOT NULL DEFAULT 0,
    dedupe_key    TEXT NOT NULL DEFAULT '',
    replaces      TEXT NOT NULL DEFAULT '',
    method        TEXT NOT NULL,
    path          TEXT NOT NULL,
    params        TEXT NOT NULL,
    query         TEXT NOT NULL,
    headers       TEXT NOT NULL,
    content_type  TEXT NOT NULL,
    remote_addr   TEXT NOT NULL,
    delivery_id   TEXT NOT NULL,
    event         TEXT NOT NULL,
    body          BLOB NOT NULL
);
CREATE INDEX run_queued ON run (hook, due, seq) WHERE state = 'queued';
CREATE INDEX run_running ON run (hook, due) WHERE state = 'running';
CREATE INDEX run_live ON run (hook, seq) WHERE state IN ('queued', 'running');
CREATE INDEX run_ended ON run (hook, ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX run_untold ON run (seq) WHERE untold;
CREATE UNIQUE INDEX run_delivery ON run (hook, dedupe_key) WHERE current AND dedupe_key <> '';
CREATE TABLE attempt (
    run        INTEGER NOT NULL REFERENCES run (seq) ON DELETE CASCADE,
    number     INTEGER NOT NULL,
    started_at REAL NOT NULL,
    state      TEXT NOT NULL DEFAULT 'running',
    why        TEXT,
    exit_code  INTEGER,
    signal     INTEGER,
    detail     TEXT NOT NULL DEFAULT '',
    seconds    REAL NOT NULL DEFAULT 0,
    stdout     BLOB NOT NULL DEFAULT x'',
    stderr     BLOB NOT NULL DEFAULT x'',
    PRIMARY KEY (run, number)
);
CREATE TABLE pace (
    hook    TEXT PRIMARY KEY,
    free_at REAL NOT NULL
);
""",
    """
CREATE TABLE seal (
    hook  TEXT NOT NULL,
    seal  TEXT NOT NULL,
    run   TEXT NOT NULL,
    until REAL NOT NULL,
    PRIMARY KEY (hook, seal)
) WITHOUT ROWID;
CREATE INDEX seal_until ON seal (until);
""",
    TABLES,
    FEWER_ROWS,
)
"""What made each version of the tables from the one before it."""

JOIN = """
SELECT id, state, recorded_at FROM run
WHERE hook = ? AND dedupe_key = ? AND current AND dedupe_key <> ''
"""
SEALED = "SELECT run FROM seal WHERE hook = ? AND seal = ? AND until >= ?"
SEAL = """
INSERT INTO seal VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET run = excluded.run, until = excluded.until
"""
UNSEAL = "DELETE FROM seal WHERE until < ?"
RECORD = """
INSERT INTO run (id, hook, state, attempt, due, recorded_at, dedupe_key, replaces, method, path,
                 params, query, headers, content_type, remote_addr, delivery_id, event, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
WAITING = """
SELECT count(*) FROM (SELECT 1 FROM run WHERE hook = ? AND state = 'queued' LIMIT ?)
"""

ANY_QUEUED = "SELECT EXISTS (SELECT 1 FROM run WHERE state = 'queued')"

# How many attempts each hook has under way. What lapsed counts too until it is swept.
UNDER_WAY = "SELECT hook, count(*) FROM run WHERE state = 'running' GROUP BY hook"
# A run that was cancelled has ended, but its script takes a moment to die.
DYING = """
SELECT hook, count(*) FROM run
WHERE id IN (SELECT value FROM json_each(?)) AND state = 'cancelled' GROUP BY hook
"""
NEXT = """
SELECT due, seq, id, state FROM run WHERE hook = ? AND state = 'queued' AND due <= ?
ORDER BY due, seq LIMIT ?
"""
# In a strict lane only the first that has not ended may start; while it runs or waits for
# its retry, nobody does.
NEXT_IN_LANE = """
SELECT due, seq, id, state FROM run WHERE hook = ? AND state IN ('queued', 'running')
ORDER BY seq LIMIT 1
"""
CLAIM = """
UPDATE run SET state = 'running', attempt = attempt + 1, due = ? WHERE seq = ?
RETURNING id, seq, attempt, hook, method, path, params, query, headers, content_type,
          body, remote_addr, delivery_id, event, replaces, failures, interruptions, recorded_at
"""
BEGIN_ATTEMPT = "INSERT INTO attempt (run, number, started_at) VALUES (?, ?, ?)"

# The attempt number fences: a worker that comes too late changes nothing.
OURS = "id = ? AND attempt = ? AND state = 'running'"
RENEW = f"UPDATE run SET due = ? WHERE {OURS}"
SETTLE = f"""
UPDATE run SET state = ?, due = NULL, ended_at = ?, untold = ? WHERE {OURS} RETURNING recorded_at
"""
TRY_AGAIN = f"""
UPDATE run SET state = 'queued', due = ?, failures = failures + 1 WHERE {OURS}
RETURNING recorded_at
"""
AGAIN = "UPDATE run SET state = 'queued', due = ?, interruptions = ? WHERE seq = ?"
END_ATTEMPT = """
UPDATE attempt SET state = ?, why = ?, exit_code = ?, signal = ?, detail = ?, seconds = ?,
                   stdout = ?, stderr = ?
WHERE run = ? AND number = ?
"""
# A cancelled run's attempt may still say what it had printed.
END_CANCELLED = f"""
{END_ATTEMPT} AND state = 'running'
    AND EXISTS (SELECT 1 FROM run WHERE seq = attempt.run AND state = 'cancelled'
                AND run.attempt = attempt.number)
"""
APPEND = "UPDATE attempt SET stdout = ?, stderr = ? WHERE run = ? AND number = ?"
CUT_OFF = """
UPDATE attempt SET state = 'failed', why = 'interrupted', detail = ?
WHERE run = ? AND number = ? AND state = 'running'
"""
FAIL = """
UPDATE run SET state = 'failed', due = NULL, ended_at = ?, untold = 1
WHERE seq = ? AND state IN ('queued', 'running')
"""
FAIL_ATTEMPT = """
INSERT INTO attempt (run, number, started_at, state, why, detail)
VALUES (?, ?, ?, 'failed', ?, ?)
ON CONFLICT DO UPDATE SET state = 'failed', why = excluded.why, detail = excluded.detail
"""
CANCEL = """
UPDATE run SET state = 'cancelled', due = NULL, ended_at = ?
WHERE id = ? AND state IN ('queued', 'running')
"""

# Hook by hook: each look goes straight to its place in run_queued, however much is queued.
SOONEST = """
WITH RECURSIVE waiting (name) AS (
    SELECT min(hook) FROM run WHERE state = 'queued'
    UNION ALL
    SELECT (SELECT min(hook) FROM run WHERE state = 'queued' AND hook > name)
    FROM waiting WHERE name IS NOT NULL
)
SELECT min(coalesce((SELECT min(due) FROM waiting, run
                     WHERE hook = name AND state = 'queued' AND due > :now), 1e300),
           coalesce((SELECT min(due) FROM run WHERE state = 'running' AND due > :now), 1e300))
"""
LAPSED = (
    "SELECT seq, id, hook, attempt, interruptions FROM run WHERE state = 'running' AND due <= ?"
)
TOLD = "UPDATE run SET untold = 0 WHERE id = ? AND untold"
LIVE_HOOKS = "SELECT DISTINCT hook FROM run WHERE state IN ('queued', 'running')"
OVERDUE_OF = """
SELECT seq, id, attempt FROM run
WHERE hook = ? AND (state = 'queued' OR state = 'running' AND due <= ?)
"""

PRUNE = """
DELETE FROM run WHERE seq IN
    (SELECT seq FROM run WHERE hook = ? AND ended_at IS NOT NULL AND ended_at <= ?
     AND NOT untold LIMIT ?)
"""
# As SOONEST does: DISTINCT would read the whole table, and all who record would wait for it.
ENDED_HOOKS = """
WITH RECURSIVE ended (name) AS (
    SELECT min(hook) FROM run WHERE ended_at IS NOT NULL
    UNION ALL
    SELECT (SELECT min(hook) FROM run WHERE ended_at IS NOT NULL AND hook > name)
    FROM ended WHERE name IS NOT NULL
)
SELECT name FROM ended WHERE name IS NOT NULL
"""

INFINITY = float("inf")
TOUCH = f"PRAGMA user_version = {len(MIGRATIONS)}"

QUICK = 64 * 1024
"""Bytes of a body or an output that are written in no time worth mentioning."""

FREE_PAGES = 256
"""Pages given back to the file system with each round of pruning: a full vacuum would hold
up every delivery for as long as it takes to copy the file."""


class SqliteJournal:
    """The journal of `folder`; see `seams.Journal` for what each method promises."""

    def __init__(
        self,
        folder: Path,
        connect: Callable[..., sqlite3.Connection] = sqlite3.connect,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Open, or make, `runs.sqlite` in the folder. Raises Trouble if it cannot be had.

        `say` is told what may take a while.
        """
        self.path = folder / "runs.sqlite"
        self.lock = hold(folder)
        opened: list[sqlite3.Connection] = []
        try:
            # SQLite makes its -wal and -shm files with the mode that this one has then.
            self.path.touch(mode=0o600)
            for _ in ("to write", "to read"):
                opened.append(connect(self.path, **CONNECTION))
                _prepare(opened[-1], say)
            self.path.chmod(0o600)
        except (sqlite3.Error, OSError, _Newer) as error:
            for db in opened:
                db.close()
            os.close(self.lock)
            mend = (
                "install that version again, or name another folder with --data DIR"
                if isinstance(error, _Newer)
                else "if the file is damaged, move it away and start again"
            )
            raise Trouble(f"the journal {self.path} cannot be opened: {error}; {mend}") from None
        self._write = opened[0]
        self._reader = Reader(opened[1])
        self._looker = Looker(lambda: _prepared(connect(self.path, **CONNECTION)))
        self._notebook = Notebook(self._keep)
        self._closed = False
        self._none_queued = False
        """That no run is queued, as far as the writer's thread knows; False if it does not."""

        self._room = Room()
        self._watchers = Watchers()
        self._writer = Writer(self._write, self._find, _soonest, TOUCH)

    def record(self, new: NewRun, terms: Terms) -> Recorded:
        return self._writer.do(lambda db: self._record(db, new, terms))

    def record_soon(
        self,
        new: NewRun,
        terms: Terms,
        then: Callable[[Recorded | Full | JournalUnavailable], None],
        ended: Callable[[Run | None], None] | None = None,
    ) -> None:
        def tell(outcome: Recorded | Full | JournalUnavailable) -> None:
            # The writer calls us before its next commit: until then nothing of it can end.
            if ended and isinstance(outcome, Recorded):
                self._watchers.add(outcome.run_id, ended)
            then(outcome)
            if ended and isinstance(outcome, Recorded) and outcome.joined:
                self._tell_if_ended(outcome.run_id)

        work = partial(self._record, new=new, terms=terms)
        quick = len(new.body) <= QUICK
        self._writer.ask(Job(work, tell, unsynced=ended is not None, quick=quick))

    def sync_soon(self, then: Callable[[JournalUnavailable | None], None]) -> None:
        def tell(outcome: object) -> None:
            then(outcome if isinstance(outcome, JournalUnavailable) else None)

        self._writer.ask(Job(lambda db: None, tell, quick=True))

    def _record(self, db: sqlite3.Connection, new: NewRun, terms: Terms) -> Recorded:
        now = time.time()
        if first := _replayed(db, new, now):
            return Recorded(first, joined=True)
        first, replaces = _join(db, new, now)
        if first:
            _seal(db, new, first, now)
            return Recorded(first, joined=True)
        _pace(db, new.hook, terms, now)
        new = replace(new, replaces=new.replaces or replaces)
        if (run_id := self._record_and_claim(db, new, now)) is None:
            self._room.take(new.hook, terms.queue, lambda: _waiting(db, new.hook, terms.queue))
            run_id = _insert(db, new, now)
            self._none_queued = False
        _seal(db, new, run_id, now)
        return Recorded(run_id)

    def _record_and_claim(self, db: sqlite3.Connection, new: NewRun, now: float) -> str | None:
        """Record a run as one that is claimed, if somebody waits and nobody is before it."""
        if not self._none_queued or (look := self._writer.taker(new.hook)) is None:
            return None
        terms = look.hooks[new.hook]
        if terms.strict or terms.concurrency is not None:
            return None
        asked_at = time.monotonic()
        run_id = _insert(db, new, now, lease=look.lease)
        [seq] = db.execute("SELECT last_insert_rowid()").fetchone()
        db.execute(BEGIN_ATTEMPT, (seq, 1, now))
        new = replace(new, dedupe_key="", dedupe_for=0.0)
        self._writer.give(look, Claim(run_id, seq, 1, new, asked_at=asked_at))
        self._writer.stir_nothing()
        return run_id

    def claim(
        self,
        hooks: Mapping[str, Terms],
        lease: float,
        mine: Collection[str] = (),
        *,
        wait: float = 0.0,
    ) -> Claim | None:
        answer: SimpleQueue[Claim | JournalUnavailable | None] = SimpleQueue()
        self.claim_soon(hooks, lease, mine, wait, answer.put)
        claim = answer.get()
        if isinstance(claim, JournalUnavailable):
            raise claim
        return claim

    def claim_soon(
        self,
        hooks: Mapping[str, Terms],
        lease: float,
        mine: Collection[str],
        wait: float,
        then: Callable[[Claim | JournalUnavailable | None], None],
    ) -> None:
        self._writer.look(Look(hooks, lease, mine, time.monotonic() + wait, then))

    def _find(self, db: sqlite3.Connection, look: Look) -> Claim | None:
        asked_at, now, mine = time.monotonic(), time.time(), set(look.mine)
        _, ended = _sweep(db, look.hooks, mine, lapsed=now, now=now)
        if ended:
            self._writer.afterwards(lambda: self._watchers.tell(*ended))
        self._none_queued = not db.execute(ANY_QUEUED).fetchone()[0]
        seq = None if self._none_queued else _pick(db, look.hooks, now, mine)
        if seq is None:
            return None
        *row, recorded_at = db.execute(CLAIM, (now + look.lease, seq)).fetchone()
        claim = as_claim(tuple(row), asked_at, max(now - recorded_at, 0.0))
        db.execute(BEGIN_ATTEMPT, (seq, claim.attempt, now))
        return claim

    def renew(self, claims: Collection[Claim], lease: float) -> set[str]:
        def work(db: sqlite3.Connection) -> set[str]:
            until = time.time() + lease
            return {
                claim.run_id
                for claim in claims
                if db.execute(RENEW, (until, claim.run_id, claim.attempt)).rowcount
            }

        return self._writer.do(work)

    def append(self, claim: Claim, stdout: bytes, stderr: bytes) -> bool:
        row = (stdout, stderr, claim.seq, claim.attempt)
        return self._writer.do(
            lambda db: _is_ours(db, claim) and db.execute(APPEND, row).rowcount == 1
        )

    def settle(self, claim: Claim, outcome: Outcome, *, again_in: float | None = None) -> bool:
        return self._writer.do(lambda db: self._settle(db, claim, outcome, again_in))

    def settle_soon(
        self,
        claim: Claim,
        outcome: Outcome,
        then: Callable[[bool | JournalUnavailable], None],
        *,
        again_in: float | None = None,
    ) -> None:
        def tell(told: bool | Full | JournalUnavailable) -> None:
            then(told if isinstance(told, JournalUnavailable) else told is True)

        quick = len(outcome.stdout) + len(outcome.stderr) <= QUICK
        work = partial(self._settle, claim=claim, outcome=outcome, again_in=again_in)
        self._writer.ask(Job(work, tell, quick=quick))

    def _settle(
        self, db: sqlite3.Connection, claim: Claim, outcome: Outcome, again_in: float | None
    ) -> bool:
        now, fence = time.time(), (claim.run_id, claim.attempt)
        if again_in is None:
            state, due = outcome.state, None
            untold = outcome.state is State.FAILED
            row = db.execute(SETTLE, (outcome.state, now, untold, *fence)).fetchone()
        else:
            state, due = State.QUEUED, now + again_in
            row = db.execute(TRY_AGAIN, (due, *fence)).fetchone()
        db.execute(END_ATTEMPT if row else END_CANCELLED, attempt_row(claim, outcome))
        if self._none_queued and again_in is None:
            self._writer.stir_nothing()  # there is room for another, and no other
        run = None
        if row:
            ended_at = None if due else now
            run = Run(
                claim.run_id,
                claim.seq,
                claim.new.hook,
                state,
                claim.attempt,
                row[0],
                ended_at,
                outcome,
                due,
                claim.new.replaces,
                claim.new.delivery_id,
                claim.new.event,
            )
        else:  # it was cancelled, and had a place until its script was dead
            self._writer.afterwards(self._writer.stir)
        self._writer.afterwards(partial(self._watchers.tell, claim.run_id, run=run))
        return row is not None

    def interrupt(self, claim: Claim, *, rerun: bool, counted: bool = True) -> State | None:
        def work(db: sqlite3.Connection) -> State | None:
            if not _is_ours(db, claim):
                return None
            interruptions = claim.interruptions + counted
            state = _cut_off(db, claim.seq, claim.attempt, interruptions, rerun, time.time())
            if state in ENDED:
                self._tell_afterwards(claim.run_id)
            return state

        return self._writer.do(work)

    def cancel(self, run_id: str) -> State | None:
        def work(db: sqlite3.Connection) -> State | None:
            row = db.execute("SELECT state FROM run WHERE id = ?", (run_id,)).fetchone()
            ended = db.execute(CANCEL, (time.time(), run_id)).rowcount == 1
            self._tell_afterwards(run_id)
            return State(row[0]) if row and ended else None

        return self._writer.do(work)

    def run(self, run_id: str) -> Run | None:
        return self._reader.run(run_id)

    def standing(self, run_id: str) -> Run | None:
        return self._reader.standing(run_id)

    def recorded(self, run_id: str) -> NewRun | None:
        return self._reader.recorded(run_id)

    def unfinished(self) -> list[str]:
        return self._reader.unfinished()

    def runs(self, query: Query) -> list[Run]:
        return self._reader.runs(query)

    def named(self, part: str) -> list[str]:
        return self._reader.named(part)

    def attempts(self, run_id: str, most: int = ALL) -> list[Attempt]:
        return self._reader.attempts(run_id, most)

    def printed(
        self, run_id: str, number: int, stdout: int, stderr: int, lead: int, most: int
    ) -> Printed | None:
        return self._reader.printed(run_id, number, stdout, stderr, lead, most)

    def search(self, search: Search) -> Found:
        return self._looker.search(search)

    def overview(self, hooks: Collection[str]) -> Overview:
        return self._looker.overview(hooks)

    def backlog(self, hooks: Collection[str]) -> Mapping[str, Backlog]:
        return self._looker.backlog(hooks)

    def commits(self) -> Spread:
        return self._writer.commits.spread()

    def glimpses(self, run_id: str, most: int) -> list[Glimpse]:
        return self._looker.glimpses(run_id, most)

    def progress(
        self, run_id: str, attempt: int, sent: tuple[int, int], head: int, most: int
    ) -> Progress | None:
        return self._looker.progress(run_id, attempt, sent, head, most)

    def replaced_by(self, run_id: str) -> str:
        return self._looker.replaced_by(run_id)

    def note(self, refusal: Refusal) -> None:
        self._notebook.add(refusal)

    def refusals(self, before: int | None, most: int) -> list[tuple[int, Refusal]]:
        self._notebook.flush()
        self._writer.do(lambda db: self._writer.stir_nothing())  # what is before it is committed
        return self._looker.refusals(before, most)

    def _keep(self, refusals: Sequence[Refusal]) -> None:
        def work(db: sqlite3.Connection) -> None:
            keep(db, refusals)
            self._writer.stir_nothing()

        self._writer.ask(Job(work, lambda outcome: None, unsynced=True))

    def try_writing(self, patience: float) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute(TOUCH)
            self._writer.stir_nothing()

        told: SimpleQueue[object] = SimpleQueue()
        self._writer.ask(Job(work, told.put))
        try:
            outcome = told.get(timeout=patience)
        except Empty:
            raise JournalUnavailable(f"it has not written anything for {patience:g} s") from None
        if isinstance(outcome, JournalUnavailable):
            raise outcome

    def recover(self, hooks: Mapping[str, Terms]) -> tuple[int, list[str]]:
        def work(db: sqlite3.Connection) -> tuple[int, list[str]]:
            now = time.time()
            # The lock says that nobody else runs anything: every lease has lapsed.
            lost = _fail_lost(db, hooks, lapsed=INFINITY, now=now)
            again, _ = _sweep(db, hooks, (), lapsed=INFINITY, now=now)
            return len(again), lost

        return self._writer.do(work)

    def untold(self) -> list[str]:
        return self._reader.untold()

    def tell(self, run_id: str, then: NewRun | None) -> str:
        def work(db: sqlite3.Connection) -> str:
            first = db.execute(TOLD, (run_id,)).rowcount == 1
            return _insert(db, then, time.time()) if first and then else ""

        return self._writer.do(work)

    def fail_lost(self, hooks: Mapping[str, Terms]) -> list[str]:
        def work(db: sqlite3.Connection) -> list[str]:
            now = time.time()
            lost = _fail_lost(db, hooks, lapsed=now, now=now)
            self._tell_afterwards(*lost)
            return lost

        return self._writer.do(work)

    def prune(self, hooks: Mapping[str, Terms], most: int) -> int:
        def work(db: sqlite3.Connection) -> int:
            now, pruned = time.time(), 0
            db.execute(UNSEAL, (now,))
            forget(db, now)
            for (hook,) in db.execute(ENDED_HOOKS).fetchall():
                keep = hooks.get(hook, Terms()).keep
                pruned += db.execute(PRUNE, (hook, now - keep, most - pruned)).rowcount
                if pruned >= most:
                    break
            [free] = db.execute("PRAGMA freelist_count").fetchone()
            for _ in range(min(free, FREE_PAGES)):
                # One page at a time: Python takes a single step, and a step frees a page.
                db.execute("PRAGMA incremental_vacuum(1)")
            return pruned

        return self._writer.do(work)

    def watch(self, run_id: str, then: Callable[[Run | None], None]) -> None:
        self._watchers.add(run_id, then)
        # Looked up after it is watched, so that an end in between is not missed.
        self._tell_if_ended(run_id)

    def unwatch(self, run_id: str, then: Callable[[Run | None], None]) -> None:
        self._watchers.remove(run_id, then)

    def lead(self) -> None:
        """Have this thread do itself what it asks for, whenever it takes a `turn`."""
        self._writer.lead()

    def follow(self) -> None:
        """This thread takes no more turns."""
        self._writer.follow()

    def turn(self) -> bool:
        """Commit what the thread that leads has asked for since its last turn.

        True if whoever was told of it has asked for more.
        """
        return self._writer.turn()

    def wake_workers(self, *, for_good: bool = False) -> None:
        self._writer.dismiss(for_good=for_good)

    def wake_senders(self) -> None:
        self._watchers.tell_all()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._notebook.flush()
        self._writer.close()
        self._reader.close()
        self._looker.close()
        os.close(self.lock)

    def _tell_afterwards(self, *run_ids: str) -> None:
        self._writer.afterwards(lambda: self._watchers.tell(*run_ids))

    def _tell_if_ended(self, run_id: str) -> None:
        found = None
        with suppress(JournalUnavailable):  # whoever watches asks again, and hears of it
            found = self.standing(run_id)
        if is_over(found, time.time()):
            self._watchers.tell(run_id)


def _replayed(db: sqlite3.Connection, new: NewRun, now: float) -> str:
    """The run of the very delivery that this one repeats, however that ended; or nothing."""
    if not new.seal:
        return ""
    row = db.execute(SEALED, (new.hook, new.seal, now)).fetchone()
    return str(row[0]) if row else ""


def _seal(db: sqlite3.Connection, new: NewRun, run_id: str, now: float) -> None:
    """Remember a signed delivery for as long as a replay of it would be believed."""
    if new.seal:
        db.execute(SEAL, (new.hook, new.seal, run_id, now + new.sealed_for))


def _join(db: sqlite3.Connection, new: NewRun, now: float) -> tuple[str, str]:
    """The run that a repeat joins, else the one that this delivery does again; or neither."""
    row = db.execute(JOIN, (new.hook, new.dedupe_key)).fetchone() if new.dedupe_key else None
    if row is None:
        return "", ""
    run_id, state, recorded_at = row
    joined, again = joins(state, now - recorded_at, new.dedupe_for)
    if joined:
        return run_id, ""
    db.execute("UPDATE run SET current = 0 WHERE id = ?", (run_id,))
    return "", run_id if again else ""


def _insert(db: sqlite3.Connection, new: NewRun, now: float, *, lease: float | None = None) -> str:
    """Keep a run, due now, or with a `lease` in seconds claimed; its id."""
    run_id = new_id()
    held = ("queued", 0, now) if lease is None else ("running", 1, now + lease)
    db.execute(RECORD, (run_id, new.hook, *held, now, new.dedupe_key, new.replaces, *new_row(new)))
    return run_id


def _pace(db: sqlite3.Connection, hook: str, terms: Terms, now: float) -> None:
    """Keep the hook's rate: the generic cell rate algorithm, one row a hook. Raises Full."""
    if terms.rate is None:
        return
    row = db.execute("SELECT free_at FROM pace WHERE hook = ?", (hook,)).fetchone()
    free_at = paced(terms.rate, row[0] if row else None, now)
    db.execute(
        "INSERT INTO pace VALUES (?, ?) ON CONFLICT DO UPDATE SET free_at = excluded.free_at",
        (hook, free_at),
    )


def _waiting(db: sqlite3.Connection, hook: str, most: int) -> int:
    [waiting] = db.execute(WAITING, (hook, most)).fetchone()
    return int(waiting)


def _sweep(
    db: sqlite3.Connection,
    hooks: Mapping[str, Terms],
    mine: Collection[str],
    *,
    lapsed: float,
    now: float,
) -> tuple[list[str], list[str]]:
    """Make due again what ran under a lease that had lapsed by then.

    The ids of the runs that are due, and of those that have failed for good. What is of no
    hook here is left to whoever knows its terms.
    """
    again: list[str] = []
    ended: list[str] = []
    for seq, run_id, hook, attempt, interruptions in db.execute(LAPSED, (lapsed,)).fetchall():
        if run_id not in mine and hook in hooks:
            state = _cut_off(db, seq, attempt, interruptions + 1, hooks[hook].rerun, now)
            (ended if state in ENDED else again).append(run_id)
    return again, ended


def _cut_off(
    db: sqlite3.Connection, seq: int, attempt: int, interruptions: int, rerun: bool, now: float
) -> State:
    """An attempt came to no end of its own: the run is due again, or that was one too many."""
    db.execute(CUT_OFF, ("interrupted", seq, attempt))
    told = cut_off(interruptions, rerun)
    if not told:
        db.execute(AGAIN, (now, interruptions, seq))
        return State.QUEUED
    db.execute(FAIL, (now, seq))
    db.execute(FAIL_ATTEMPT, (seq, attempt, now, Why.INTERRUPTED, told))
    return State.FAILED


def _fail_lost(
    db: sqlite3.Connection, hooks: Mapping[str, Terms], *, lapsed: float, now: float
) -> list[str]:
    """Fail what belongs to no hook (no other machine could know it); the ids of the runs.

    An attempt whose lease has not lapsed may come to its end.
    """
    lost: list[str] = []
    for (hook,) in db.execute(LIVE_HOOKS).fetchall():
        if hook in hooks:
            continue
        for seq, run_id, attempt in db.execute(OVERDUE_OF, (hook, lapsed)).fetchall():
            db.execute(FAIL, (now, seq))
            db.execute(FAIL_ATTEMPT, (seq, attempt, now, Why.LOST_HOOK, LOST_HOOK))
            lost.append(run_id)
    return lost


def _pick(
    db: sqlite3.Connection, hooks: Mapping[str, Terms], now: float, mine: Collection[str]
) -> int | None:
    """The run to start next: of the hook with the fewest under way, the longest due."""
    under_way = Counter(dict(db.execute(UNDER_WAY).fetchall()))
    under_way += Counter(dict(db.execute(DYING, (json.dumps(list(mine)),)).fetchall()))
    by_load: dict[int, list[str]] = {}
    for hook, terms in hooks.items():
        count = under_way.get(hook, 0)
        # A lane may have several under way only if it was not strict when they started.
        limit = 1 if terms.strict else terms.concurrency
        if limit is None or count < limit:
            by_load.setdefault(count, []).append(hook)
    for _, equals in sorted(by_load.items()):
        due = [found for hook in equals for found in _due(db, hook, hooks[hook], now, mine)]
        if due:
            return min(due)[1]
    return None


def _due(
    db: sqlite3.Connection, hook: str, terms: Terms, now: float, mine: Collection[str]
) -> Iterator[tuple[float, int]]:
    """When the hook's next run was due, and its seq; nothing if none may start."""
    if terms.strict:
        found = db.execute(NEXT_IN_LANE, (hook,)).fetchall()
    else:
        found = db.execute(NEXT, (hook, now, len(mine) + 1)).fetchall()
    for due, seq, run_id, state in found:
        if state == State.QUEUED and due <= now and run_id not in mine:
            yield due, seq
            return


def _soonest(db: sqlite3.Connection, now: float) -> float:
    """When the next run comes due, or the next lease lapses, after `now`."""
    [soonest] = db.execute(SOONEST, {"now": now}).fetchone()
    return float(soonest)


def _is_ours(db: sqlite3.Connection, claim: Claim) -> bool:
    found = db.execute(f"SELECT 1 FROM run WHERE {OURS}", (claim.run_id, claim.attempt))
    return found.fetchone() is not None


CONNECTION: Any = {"isolation_level": None, "check_same_thread": False, "timeout": 10}


class _Newer(Exception):
    """The file is of a version of the tables that came after ours."""


def _prepared(db: sqlite3.Connection) -> sqlite3.Connection:
    _prepare(db, lambda line: None)
    return db


def _prepare(db: sqlite3.Connection, say: Callable[[str], None]) -> None:
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # has its effect while the file is empty
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    [version] = db.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise _Newer(f"it was written by a newer version (schema {version})")
    if steps := MIGRATIONS[version:]:  # in one commit: each waits for the disk
        if version:
            say(
                f"the journal is brought from version {version} to {len(MIGRATIONS)}; "
                "with many runs in it that takes a while"
            )
        db.executescript(f"BEGIN;{''.join(steps)}PRAGMA user_version = {len(MIGRATIONS)};COMMIT;")
