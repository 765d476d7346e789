"""What reads the journal's file: runs, their deliveries, their attempts.

On a connection of its own, which never waits for the writer (WAL). The command line reads
a running server's journal so, too.
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hookrunner.model import (
    Attempt,
    JournalUnavailable,
    NewRun,
    Outcome,
    Piece,
    Printed,
    Query,
    Run,
    State,
    Trouble,
    Why,
)
from hookrunner.seams import ALL

MOST_NAMED = 10
GAP = re.compile(rb"\n\[\.\.\. (\d+) bytes left out \.\.\.\]\n")

RUN = """
SELECT r.id, r.seq, r.hook, r.state, r.attempt, r.recorded_at, r.ended_at, r.due, r.replaces,
       r.delivery_id, r.event,
       a.state, a.why, a.exit_code, a.signal, a.detail, {output}, a.seconds
FROM run r
LEFT JOIN attempt a ON a.run = r.seq AND a.number =
    (SELECT max(number) FROM attempt WHERE run = r.seq AND state <> 'running')
{where}
"""
READ = RUN.format(output="a.stdout, a.stderr", where="WHERE r.id = ?")
READ_STANDING = RUN.format(output="x'', x''", where="WHERE r.id = ?")
LIST = RUN.format(
    output="x'', x''",
    where="""
WHERE (:hook = '' OR r.hook = :hook) AND (:state = '' OR r.state = :state)
  AND r.recorded_at >= :since AND r.seq < :before
  AND (NOT :unreplaced OR r.id NOT IN (SELECT replaces FROM run WHERE replaces <> ''))
ORDER BY r.seq DESC LIMIT :most
""",
)
NAMED = "SELECT id FROM run WHERE id LIKE ? OR id LIKE ? ORDER BY seq DESC LIMIT ?"
READ_NEW = """
SELECT hook, method, path, params, query, headers, content_type, body, remote_addr,
       delivery_id, event, replaces
FROM run WHERE id = ?
"""
# To SQLite, a part of nothing is NULL.
ATTEMPTS = """
SELECT number, started_at, a.state, why, exit_code, signal, detail,
       coalesce(substr(stdout, 1, :most / (2 * count(*) OVER ())), x''),
       coalesce(substr(stderr, 1, :most / (2 * count(*) OVER ())), x''),
       seconds, length(stdout), length(stderr)
FROM attempt a JOIN run r ON r.seq = a.run WHERE r.id = :run ORDER BY number
"""
PRINTED = """
SELECT a.rowid, number, started_at, a.state, why, exit_code, signal, detail, x'', x'', seconds
FROM attempt a JOIN run r ON r.seq = a.run WHERE r.id = ? AND number = ?
"""
UNFINISHED = """
SELECT id FROM run INDEXED BY run_live WHERE state IN ('queued', 'running') ORDER BY seq
"""
UNTOLD = "SELECT id FROM run WHERE untold ORDER BY seq"


class Reader:
    """Reads; see `seams.Journal` for what each method promises. Any thread may ask."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._lock = threading.Lock()

    def run(self, run_id: str) -> Run | None:
        row = self._fetch(READ, run_id)
        return as_run(row) if row else None

    def standing(self, run_id: str) -> Run | None:
        row = self._fetch(READ_STANDING, run_id)
        return as_run(row) if row else None

    def runs(self, query: Query) -> list[Run]:
        given = {
            "hook": query.hook,
            "state": query.state or "",
            "since": query.since,
            "before": query.before if query.before is not None else 2**62,
            "most": query.most,
            "unreplaced": query.unreplaced,
        }
        return [as_run(row) for row in self._fetch_all(LIST, given)]

    def named(self, part: str) -> list[str]:
        if not part or not part.isascii() or not part.isalnum():
            return []
        found = self._fetch_all(NAMED, (f"{part.lower()}%", f"%{part.lower()}", MOST_NAMED))
        return [run_id for (run_id,) in found]

    def attempts(self, run_id: str, most: int = ALL) -> list[Attempt]:
        given = {"run": run_id, "most": most}
        return [as_attempt(row) for row in self._fetch_all(ATTEMPTS, given)]

    def printed(
        self, run_id: str, number: int, stdout: int, stderr: int, lead: int, most: int
    ) -> Printed | None:
        with self._snapshot():
            found = self._db.execute(PRINTED, (run_id, number)).fetchone()
            if found is None:
                return None
            row, _, started_at, state, *ended = found
            pieces = (
                self._cut(row, "stdout", stdout, lead, most),
                self._cut(row, "stderr", stderr, lead, most),
            )
        outcome = None if state == State.RUNNING else _outcome(state, *ended)
        return Printed(number, started_at, outcome, *pieces)

    def _cut(self, row: int, stream: str, place: int, lead: int, most: int) -> Piece:
        # Not substr(), for which SQLite has all of an output in memory, however little is asked.
        with self._db.blobopen("attempt", stream, row, readonly=True) as blob:
            before = max(len(blob) // 2 - 39, 1) - 1
            # The middle is where a line says what was left out.
            cut = _Cut(_Kept(len(blob), _part(blob, before, 80)), place, lead, most)
            return cut.piece(_part(blob, cut.first, cut.size))

    def recorded(self, run_id: str) -> NewRun | None:
        row = self._fetch(READ_NEW, run_id)
        return new_run(row) if row else None

    def unfinished(self) -> list[str]:
        return [run_id for (run_id,) in self._fetch_all(UNFINISHED)]

    def untold(self) -> list[str]:
        return [run_id for (run_id,) in self._fetch_all(UNTOLD)]

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """Have what is read in here be of one moment."""
        try:
            with self._lock:
                self._db.execute("BEGIN")
                try:
                    yield
                finally:
                    self._db.execute("COMMIT")
        except (sqlite3.Error, UnicodeError) as error:
            raise JournalUnavailable(str(error)) from None

    def _fetch(self, query: str, run_id: str) -> tuple[Any, ...] | None:
        return next(iter(self._fetch_all(query, (run_id,))), None)

    def _fetch_all(self, query: str, given: Any = ()) -> list[tuple[Any, ...]]:
        try:
            with self._lock:
                return self._db.execute(query, given).fetchall()
        except (sqlite3.Error, UnicodeError) as error:
            raise JournalUnavailable(str(error)) from None


def open_reader(folder: Path) -> Reader:
    """The journal of a folder, to be read only, whoever else works with it.

    Raises Trouble if there is none, or it cannot be read.
    """
    path = folder / "runs.sqlite"
    if not path.exists():
        raise Trouble(f"there is no journal in {folder}; start the server, or name another --data")
    try:
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False, timeout=10
        )
        db.execute("SELECT id FROM run LIMIT 1").fetchone()
    except sqlite3.Error as error:
        raise Trouble(f"the journal {path} cannot be read: {error}") from None
    return Reader(db)


def new_run(row: tuple[Any, ...]) -> NewRun:
    """The delivery of a row: its columns in the order of READ_NEW."""
    hook, method, path, params, query, headers, kind, body, address, delivery, event, was = row
    return NewRun(
        hook=hook,
        method=method,
        path=path,
        params=json.loads(params),
        query=query,
        headers=json.loads(headers),
        content_type=kind,
        body=body,
        remote_addr=address,
        delivery_id=delivery,
        event=event,
        replaces=was,
    )


def as_run(row: tuple[Any, ...]) -> Run:
    run_id, seq, hook, state, attempt, recorded_at, ended_at, due, replaces, *rest = row
    delivery_id, event, ended_as, *last = rest
    return Run(
        run_id,
        seq,
        hook,
        State(state),
        attempt,
        recorded_at,
        ended_at,
        None if ended_as is None else _outcome(ended_as, *last),
        due,
        replaces,
        delivery_id,
        event,
    )


def as_attempt(row: tuple[Any, ...]) -> Attempt:
    number, started_at, state, *last, stdout_bytes, stderr_bytes = row
    stdout, stderr = last[4:6]
    outcome = None if state == State.RUNNING else _outcome(state, *last)
    return Attempt(number, started_at, outcome, stdout, stderr, stdout_bytes, stderr_bytes)


def _part(blob: sqlite3.Blob, first: int, size: int) -> bytes:
    blob.seek(first)
    return blob.read(size) if size else b""


class _Kept:
    """How what is kept of an output lies in it: head, perhaps a line about a gap, tail.

    `launch.output` makes them of the same length, which tells that line from one of a script's.
    """

    def __init__(self, length: int, middle: bytes) -> None:
        """`middle` are up to 80 bytes of it, of which the 40th is the middle one."""
        self.head, self.line, self.left_out = length, 0, 0
        before = max(length // 2 - 39, 1) - 1
        for found in GAP.finditer(middle):
            head = before + found.start()
            tail = length - before - found.end()
            if tail - head in (0, 1):
                self.head, self.line, self.left_out = head, len(found[0]), int(found[1])
        self.end = length - self.line + self.left_out


class _Cut:
    """Which bytes of what is kept hold the output from a place on."""

    def __init__(self, kept: _Kept, place: int, lead: int, most: int) -> None:
        self.end = kept.end
        place = min(place, kept.end)  # SQLite counts to 2**31
        self.start = max(place - lead, 0)
        tail = kept.head + kept.left_out
        if place < kept.head or not kept.left_out:
            self.first = min(self.start, kept.head)
            self.size = max(min(place + most, kept.head) - self.first, 0)
            self.left_out = kept.left_out if self.first + self.size == kept.head else 0
        elif place < tail:  # nothing but to say how much is missing from there on
            self.first, self.size, self.start, self.left_out = 0, 0, place, tail - place
        else:
            self.start = max(self.start, tail)
            self.first = self.start - kept.left_out + kept.line
            self.size = max(place + most - self.start, 0)
            self.left_out = 0

    def piece(self, text: bytes) -> Piece:
        return Piece(text, self.start, self.end, self.left_out)


def _outcome(
    state: str,
    why: str | None,
    exit_code: int | None,
    signal: int | None,
    detail: str,
    stdout: bytes,
    stderr: bytes,
    seconds: float,
) -> Outcome:
    return Outcome(
        state=State(state),
        why=Why(why) if why else None,
        exit_code=exit_code,
        signal=signal,
        detail=detail,
        stdout=stdout,
        stderr=stderr,
        seconds=seconds,
    )
