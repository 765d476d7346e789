"""The journal in one SQLite file: the embedded engine, for one process on one machine.

One thread writes. It takes everything that is asked for at that moment into one
transaction and commits once, so a synced commit is shared by all who wait for it.
Readers have a connection of their own and never wait for the writer (WAL).
A file lock keeps a second process out.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

from hookrunner.model import (
    ENDED,
    Claim,
    JournalUnavailable,
    NewRun,
    Outcome,
    Run,
    State,
    Trouble,
    Why,
)

T = TypeVar("T")

VERSION = 1

SCHEMA = """
CREATE TABLE run (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT NOT NULL UNIQUE,
    hook         TEXT NOT NULL,
    state        TEXT NOT NULL,
    attempt      INTEGER NOT NULL DEFAULT 0,
    due          REAL,
    recorded_at  REAL NOT NULL,
    ended_at     REAL,
    method       TEXT NOT NULL,
    path         TEXT NOT NULL,
    params       TEXT NOT NULL,
    query        TEXT NOT NULL,
    headers      TEXT NOT NULL,
    content_type TEXT NOT NULL,
    remote_addr  TEXT NOT NULL,
    delivery_id  TEXT NOT NULL,
    event        TEXT NOT NULL,
    body         BLOB NOT NULL
);
CREATE INDEX run_due ON run (due, seq) WHERE due IS NOT NULL;
CREATE TABLE attempt (
    run       INTEGER NOT NULL REFERENCES run (seq) ON DELETE CASCADE,
    number    INTEGER NOT NULL,
    state     TEXT NOT NULL,
    why       TEXT,
    exit_code INTEGER,
    signal    INTEGER,
    detail    TEXT NOT NULL DEFAULT '',
    seconds   REAL NOT NULL DEFAULT 0,
    stdout    BLOB NOT NULL DEFAULT x'',
    stderr    BLOB NOT NULL DEFAULT x'',
    PRIMARY KEY (run, number)
);
"""

RECORD = """
INSERT INTO run (id, hook, state, due, recorded_at, method, path, params, query, headers,
                 content_type, remote_addr, delivery_id, event, body)
VALUES (?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

# `due` orders the queue and `seq` breaks ties, so what was recorded first starts first.
CLAIM = """
UPDATE run SET state = 'running', attempt = attempt + 1, due = NULL
WHERE seq = (SELECT seq FROM run
             WHERE due <= :now AND state = 'queued'
               AND hook IN (SELECT value FROM json_each(:hooks))
             ORDER BY due, seq LIMIT 1)
RETURNING id, seq, attempt, hook, method, path, params, query, headers, content_type,
          body, remote_addr, delivery_id, event
"""

# The attempt number fences: a worker that comes too late changes nothing.
SETTLE = """
UPDATE run SET state = ?, due = NULL, ended_at = ?
WHERE id = ? AND attempt = ? AND state = 'running'
"""
SETTLE_ATTEMPT = """
INSERT INTO attempt (run, number, state, why, exit_code, signal, detail, seconds, stdout, stderr)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
HAND_BACK = """
UPDATE run SET state = 'queued', due = ?
WHERE id = ? AND attempt = ? AND state = 'running'
"""
RECOVER = "UPDATE run SET state = 'queued', due = ? WHERE state = 'running'"

# No other machine could know the hook: this engine serves one process alone.
LOST_ATTEMPT = """
INSERT OR REPLACE INTO attempt (run, number, state, why, detail)
SELECT seq, attempt, 'failed', 'lost hook', 'its path left hooks.yaml' FROM run
WHERE state IN ('queued', 'running') AND hook NOT IN (SELECT value FROM json_each(?))
"""
LOST = """
UPDATE run SET state = 'failed', due = NULL, ended_at = ?
WHERE state IN ('queued', 'running') AND hook NOT IN (SELECT value FROM json_each(?))
"""

READ = """
SELECT r.id, r.seq, r.hook, r.state, r.attempt, r.recorded_at, r.ended_at,
       a.state, a.why, a.exit_code, a.signal, a.detail, a.stdout, a.stderr, a.seconds
FROM run r
LEFT JOIN attempt a
  ON a.run = r.seq AND a.number = (SELECT max(number) FROM attempt WHERE run = r.seq)
WHERE r.id = ?
"""

MOST_WAKES = 64


class _Job(Generic[T]):
    """Something for the writer to do, and what came of it."""

    def __init__(self, work: Callable[[sqlite3.Connection], T]) -> None:
        self.work = work
        self.done = threading.Event()
        self.result: T | None = None
        self.error: BaseException | None = None


class SqliteJournal:
    """The journal of `folder`; see `seams.Journal` for what each method promises."""

    def __init__(self, folder: Path) -> None:
        """Open, or make, `runs.sqlite` in the folder. Raises Trouble if it cannot be had."""
        self.path = folder / "runs.sqlite"
        self.lock = _lock(folder)
        opened: list[sqlite3.Connection] = []
        try:
            for _ in ("to write", "to read"):
                opened.append(sqlite3.connect(self.path, **CONNECTION))
                _prepare(opened[-1])
        except sqlite3.Error as error:
            for db in opened:
                db.close()
            os.close(self.lock)
            raise Trouble(
                f"the journal {self.path} cannot be opened: {error}; "
                "if the file is damaged, move it away and start again"
            ) from None
        self._write, self._read = opened
        self._reading = threading.Lock()
        self._jobs: deque[_Job[Any]] = deque()
        self._asked = threading.Condition()
        self._closing = False
        self._wakes = threading.Semaphore(0)
        self._waiting: dict[str, list[threading.Event]] = {}
        self._waiting_lock = threading.Lock()
        self._writer = threading.Thread(target=self._write_for_ever, name="journal", daemon=True)
        self._writer.start()

    def record(self, new: NewRun) -> str:
        run_id = _new_id()
        row = (
            run_id,
            new.hook,
            now := time.time(),
            now,
            new.method,
            new.path,
            json.dumps(dict(new.params)),
            new.query,
            json.dumps(dict(new.headers)),
            new.content_type,
            new.remote_addr,
            new.delivery_id,
            new.event,
            new.body,
        )
        self._do(lambda db: db.execute(RECORD, row))
        self._wake_worker()
        return run_id

    def claim(self, hooks: Collection[str]) -> Claim | None:
        asked = {"now": time.time(), "hooks": json.dumps(list(hooks))}
        row = self._do(lambda db: db.execute(CLAIM, asked).fetchone())
        return _claim(row) if row else None

    def settle(self, claim: Claim, outcome: Outcome) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            fence = (outcome.state, time.time(), claim.run_id, claim.attempt)
            ours = db.execute(SETTLE, fence).rowcount == 1
            if ours:
                db.execute(SETTLE_ATTEMPT, _attempt_row(claim, outcome))
            return ours

        ours = self._do(work)
        self._wake_senders_of(claim.run_id)
        return ours

    def hand_back(self, claim: Claim) -> bool:
        fence = (time.time(), claim.run_id, claim.attempt)
        ours = self._do(lambda db: db.execute(HAND_BACK, fence).rowcount == 1)
        self._wake_worker()
        return ours

    def run(self, run_id: str) -> Run | None:
        try:
            with self._reading:
                row = self._read.execute(READ, (run_id,)).fetchone()
        except sqlite3.Error as error:
            raise JournalUnavailable(str(error)) from None
        return _run(row) if row else None

    def recover(self, hooks: Collection[str]) -> tuple[int, int]:
        now, names = time.time(), json.dumps(list(hooks))

        def work(db: sqlite3.Connection) -> tuple[int, int]:
            db.execute(LOST_ATTEMPT, (names,))
            lost = db.execute(LOST, (now, names)).rowcount
            return db.execute(RECOVER, (now,)).rowcount, lost

        return self._do(work)

    def await_due(self, timeout: float) -> None:
        self._wakes.acquire(timeout=timeout)

    def await_end(self, run_id: str, timeout: float) -> Run | None:
        ended = threading.Event()
        with self._waiting_lock:
            self._waiting.setdefault(run_id, []).append(ended)
        try:
            # Looked up after the event stands ready, so that an end in between is not missed.
            found = self.run(run_id)
            if found is None or found.state in ENDED or not ended.wait(timeout):
                return found
            return self.run(run_id)
        finally:
            with self._waiting_lock:
                events = self._waiting[run_id]
                events.remove(ended)
                if not events:
                    del self._waiting[run_id]

    def wake_workers(self) -> None:
        self._wakes.release(MOST_WAKES)

    def wake_senders(self) -> None:
        with self._waiting_lock:
            for events in self._waiting.values():
                for event in events:
                    event.set()

    def close(self) -> None:
        with self._asked:
            if self._closing:
                return
            self._closing = True
            self._asked.notify()
        self._writer.join()
        with self._reading:
            self._read.close()
        self._write.close()
        os.close(self.lock)

    def _wake_worker(self) -> None:
        # A wake for somebody who was awake anyway stays; some are enough to empty the queue.
        if self._wakes._value < MOST_WAKES:
            self._wakes.release()

    def _wake_senders_of(self, run_id: str) -> None:
        with self._waiting_lock:
            for event in self._waiting.get(run_id, ()):
                event.set()

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Have the writer do it, and return once it is committed."""
        job = _Job(work)
        with self._asked:
            if self._closing:
                raise JournalUnavailable("the journal is closed")
            self._jobs.append(job)
            self._asked.notify()
        job.done.wait()
        if job.error is not None:
            raise JournalUnavailable(str(job.error)) from job.error
        return job.result  # type: ignore[return-value]  # set by the writer where no error is

    def _write_for_ever(self) -> None:
        while True:
            with self._asked:
                while not self._jobs:
                    if self._closing:
                        return
                    self._asked.wait()
                batch = list(self._jobs)
                self._jobs.clear()
            try:
                self._commit(batch)
            except Exception as error:  # the writer lives, whatever it was: all wait for it
                with suppress(sqlite3.Error):
                    self._write.rollback()
                for job in batch:
                    job.error = error
            for job in batch:
                job.done.set()

    def _commit(self, batch: list[_Job[Any]]) -> None:
        self._write.execute("BEGIN IMMEDIATE")
        for job in batch:
            self._write.execute("SAVEPOINT job")
            try:
                job.result = job.work(self._write)
            except (ValueError, TypeError, OverflowError, sqlite3.IntegrityError) as error:
                # What one asks for cannot be kept; the others' work is none the worse.
                self._write.execute("ROLLBACK TO job")
                job.error = error
            self._write.execute("RELEASE job")
        self._write.execute("COMMIT")


CONNECTION: Any = {"isolation_level": None, "check_same_thread": False, "timeout": 10}


def _prepare(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    [version] = db.execute("PRAGMA user_version").fetchone()
    if version == VERSION:
        return
    if version > VERSION:
        raise sqlite3.DatabaseError(f"it was written by a newer version (schema {version})")
    db.executescript(f"BEGIN;{SCHEMA}PRAGMA user_version = {VERSION};COMMIT;")


def _lock(folder: Path) -> int:
    """Hold the folder for this process; the system lets go of it however we end."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "runs.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Trouble(
            f"the folder {folder} cannot be written: {error.strerror}; "
            "name another with --data DIR or DATA_DIR"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise Trouble(
            f"another runner works in {folder}; stop it, or name another folder with --data DIR"
        ) from None
    return lock


def _new_id() -> str:
    """20 base32 characters, 100 random bits: not to be guessed."""
    return base64.b32encode(secrets.token_bytes(13)).decode()[:20].lower()


def _claim(row: tuple[Any, ...]) -> Claim:
    run_id, seq, attempt, hook, method, path, params, query, headers, kind, body, *rest = row
    remote_addr, delivery_id, event = rest
    new = NewRun(
        hook=hook,
        method=method,
        path=path,
        params=json.loads(params),
        query=query,
        headers=json.loads(headers),
        content_type=kind,
        body=body,
        remote_addr=remote_addr,
        delivery_id=delivery_id,
        event=event,
    )
    return Claim(run_id=run_id, seq=seq, attempt=attempt, new=new)


def _attempt_row(claim: Claim, outcome: Outcome) -> tuple[object, ...]:
    return (
        claim.seq,
        claim.attempt,
        outcome.state,
        outcome.why,
        outcome.exit_code,
        outcome.signal,
        outcome.detail,
        outcome.seconds,
        outcome.stdout,
        outcome.stderr,
    )


def _run(row: tuple[Any, ...]) -> Run:
    run_id, seq, hook, state, attempt, recorded_at, ended_at, ended_as, why, *rest = row
    outcome = None
    if ended_as is not None:
        exit_code, signal, detail, stdout, stderr, seconds = rest
        outcome = Outcome(
            state=State(ended_as),
            why=Why(why) if why else None,
            exit_code=exit_code,
            signal=signal,
            detail=detail,
            stdout=stdout,
            stderr=stderr,
            seconds=seconds,
        )
    return Run(run_id, seq, hook, State(state), attempt, recorded_at, ended_at, outcome)
