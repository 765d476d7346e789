"""What reads the journal's file: runs, their deliveries, their attempts.

On a connection of its own, which never waits for the writer (WAL). The command line reads
a running server's journal so, too.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hookrunner.journal.pieces import MIDDLE, Cut, Kept, middle_at
from hookrunner.journal.rows import as_attempt, as_outcome, as_run, new_run
from hookrunner.model import (
    Attempt,
    JournalUnavailable,
    NewRun,
    Piece,
    Printed,
    Query,
    Run,
    State,
    Trouble,
)
from hookrunner.seams import ALL

MOST_NAMED = 10

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
        outcome = None if state == State.RUNNING else as_outcome(state, *ended)
        return Printed(number, started_at, outcome, *pieces)

    def _cut(self, row: int, stream: str, place: int, lead: int, most: int) -> Piece:
        # Not substr(), for which SQLite has all of an output in memory, however little is asked.
        with self._db.blobopen("attempt", stream, row, readonly=True) as blob:
            middle = _part(blob, middle_at(len(blob)), MIDDLE)
            cut = Cut(Kept(len(blob), middle), place, lead, most)
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


def _part(blob: sqlite3.Blob, first: int, size: int) -> bytes:
    blob.seek(first)
    return blob.read(size) if size else b""
