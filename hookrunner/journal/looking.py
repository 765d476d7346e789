"""What people look for in the journal: by hook, by state, by text; what goes on; refusals.

All of it answers in milliseconds with a million runs: what is counted has been counted as
it happened (`tally`, `took`, kept by triggers), and whoever searches walks an index from
the newest on, for so long and no longer. It has a connection of its own, so that nobody
who waits for a run is kept by somebody who browses.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeVar

from hookrunner.journal.notebook import MOST_REFUSALS
from hookrunner.journal.pieces import LEFT_OUT, LONGEST_LEFT_OUT, place
from hookrunner.journal.reading import RUN
from hookrunner.journal.rows import as_attempt, as_run
from hookrunner.journal.searching import look
from hookrunner.journal.tally import (
    COARSE,
    KEPT_SLOTS,
    MOST_COUNTED,
    MOST_LIVE,
    MOST_PLACED,
    SLOT,
    SLOTS,
    Counted,
    overview,
    rounded,
)
from hookrunner.model import (
    Backlog,
    Found,
    Fresh,
    Glimpse,
    JournalUnavailable,
    Overview,
    Progress,
    Refusal,
    Run,
    Search,
    State,
)

T = TypeVar("T")

MS = "CAST({}.seconds * 1000 AS INTEGER)"

# The INSERTs make up for what ended before there were triggers.
TABLES = f"""
CREATE INDEX run_of_hook ON run (hook, seq);
CREATE INDEX run_failed ON run (seq) WHERE state = 'failed';
CREATE INDEX run_failed_of_hook ON run (hook, seq) WHERE state = 'failed';
CREATE INDEX run_cancelled ON run (seq) WHERE state = 'cancelled';
CREATE INDEX run_replaces ON run (replaces, seq) WHERE replaces <> '';
CREATE TABLE tally (
    slot  INTEGER NOT NULL,
    hook  TEXT NOT NULL,
    state TEXT NOT NULL,
    n     INTEGER NOT NULL,
    PRIMARY KEY (slot, hook, state)
) WITHOUT ROWID;
CREATE TABLE took (
    slot INTEGER NOT NULL,
    hook TEXT NOT NULL,
    ms   INTEGER NOT NULL,
    n    INTEGER NOT NULL,
    PRIMARY KEY (slot, hook, ms)
) WITHOUT ROWID;
CREATE TABLE refusal (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    at      REAL NOT NULL,
    method  TEXT NOT NULL,
    path    TEXT NOT NULL,
    status  INTEGER NOT NULL,
    why     TEXT NOT NULL,
    address TEXT NOT NULL,
    size    INTEGER NOT NULL
);
INSERT INTO tally
SELECT CAST(recorded_at / {SLOT} AS INTEGER) AS slot, hook, state, count(*) FROM run
WHERE ended_at IS NOT NULL AND recorded_at > strftime('%s', 'now') - {SLOT * SLOTS}
GROUP BY 1, 2, 3;
INSERT INTO took
SELECT CAST(a.started_at / {SLOT} AS INTEGER), r.hook, {rounded(MS.format("a"))}, count(*)
FROM run r JOIN attempt a ON a.run = r.seq
WHERE r.ended_at IS NOT NULL AND r.recorded_at > strftime('%s', 'now') - {SLOT * SLOTS}
  AND a.state <> 'running' AND a.seconds > 0
GROUP BY 1, 2, 3;
CREATE TRIGGER run_tally AFTER UPDATE OF ended_at ON run
WHEN NEW.ended_at IS NOT NULL AND OLD.ended_at IS NULL
BEGIN
    INSERT INTO tally VALUES (CAST(NEW.recorded_at / {SLOT} AS INTEGER), NEW.hook, NEW.state, 1)
    ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER attempt_took AFTER UPDATE OF seconds ON attempt
WHEN OLD.state = 'running' AND NEW.state <> 'running' AND NEW.seconds > 0
BEGIN
    INSERT INTO took
    SELECT CAST(NEW.started_at / {SLOT} AS INTEGER), hook, {rounded(MS.format("NEW"))}, 1
    FROM run WHERE seq = NEW.run
    ON CONFLICT DO UPDATE SET n = n + 1;
END;
"""
"""What the third version of the tables adds."""

# By hook and duration first, so that a day of one is read in order and added up on the way; and
# a quarter of the slots, since a percentile of the last 24 hours may be one of the last 26.
FEWER_ROWS = f"""
DROP TRIGGER attempt_took;
ALTER TABLE took RENAME TO took_by_slot;
CREATE TABLE took (
    hook TEXT NOT NULL,
    ms   INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    n    INTEGER NOT NULL,
    PRIMARY KEY (hook, ms, slot)
) WITHOUT ROWID;
INSERT INTO took
SELECT hook, ms, slot / {COARSE} * {COARSE}, sum(n) FROM took_by_slot GROUP BY 1, 2, 3;
DROP TABLE took_by_slot;
CREATE TRIGGER attempt_took AFTER UPDATE OF seconds ON attempt
WHEN OLD.state = 'running' AND NEW.state <> 'running' AND NEW.seconds > 0
BEGIN
    INSERT INTO took
    SELECT hook, {rounded(MS.format("NEW"))},
           CAST(NEW.started_at / {SLOT * COARSE} AS INTEGER) * {COARSE}, 1
    FROM run WHERE seq = NEW.run
    ON CONFLICT DO UPDATE SET n = n + 1;
END;
"""
"""What the fourth version of the tables changes."""

FORGET = tuple(f"DELETE FROM {table} WHERE slot < ?" for table in ("tally", "took"))

LAST = RUN.format(output="x'', x''", where="WHERE r.hook = ? ORDER BY r.seq DESC LIMIT 1")
CHOSEN = RUN.format(
    output="x'', x''",
    where="WHERE r.seq IN (SELECT value FROM json_each(?)) ORDER BY r.seq DESC",
)
LIVE = """
SELECT seq, CAST(recorded_at / {slot} AS INTEGER) FROM run INDEXED BY run_{state}
WHERE state = '{state}' LIMIT {most}
"""
COUNT_LIVE = """
SELECT hook, count(*) FROM
    (SELECT hook FROM run INDEXED BY run_{state} WHERE state = '{state}' LIMIT {most})
GROUP BY hook
"""
TALLY = "SELECT {by}, state, sum(n) FROM tally WHERE slot > ? GROUP BY {by}, state"
TOOK = """
SELECT hook, ms, sum(n) FROM took WHERE hook IN (SELECT value FROM json_each(?)) AND slot > ?
GROUP BY hook, ms
"""
# For each hook straight to its place in run_queued and run_running.
BACKLOG = """
SELECT value,
    (SELECT count(*) FROM
        (SELECT 1 FROM run WHERE hook = value AND state = 'queued' LIMIT :most)),
    (SELECT count(*) FROM run WHERE hook = value AND state = 'running'),
    (SELECT min(due) FROM run WHERE hook = value AND state = 'queued')
FROM json_each(:hooks)
"""
FIRST_AFTER = "SELECT seq, recorded_at FROM run WHERE seq >= ? ORDER BY seq LIMIT 1"
ENDS = "SELECT (SELECT min(seq) FROM run), (SELECT max(seq) FROM run)"

# NOT INDEXED keeps SQLite from walking all that has ended, say, to sort it afterwards.
WALK = """
SELECT seq, recorded_at FROM run {index} WHERE {where} AND seq < :before AND seq >= :first
ORDER BY seq DESC LIMIT 1 OFFSET :step
"""
PICK = """
SELECT seq FROM run {index} WHERE {where} AND seq < :before AND seq >= :last
  AND (:state = '' OR state = :state)
  AND (:since IS NULL OR recorded_at >= :since) AND (:until IS NULL OR recorded_at < :until)
  {holds}
ORDER BY seq DESC LIMIT :most
"""
HOLDS = """
AND (instr(id, :text) OR instr(lower(event), :text) OR instr(lower(delivery_id), :text)
     OR instr(lower(path), :text) OR instr(lower(CAST(body AS TEXT)), :text))
"""

REFUSE = """
INSERT INTO refusal (at, method, path, status, why, address, size) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
FORGET_REFUSALS = f"""
DELETE FROM refusal WHERE seq <= (SELECT max(seq) FROM refusal) - {MOST_REFUSALS}
"""
REFUSALS = """
SELECT seq, at, method, path, status, why, address, size FROM refusal
WHERE seq < ? ORDER BY seq DESC LIMIT ?
"""
GLIMPSES = """
SELECT number, started_at, a.state, why, exit_code, signal, detail,
       {stdout}, {stderr}, seconds, length(stdout), length(stderr), {stdout_head}, {stderr_head}
FROM attempt a JOIN run r ON r.seq = a.run WHERE r.id = :id ORDER BY number
""".format(
    **{
        name: f"CASE WHEN length({name}) > :most THEN substr({name}, -:most / 2) ELSE {name} END"
        for name in ("stdout", "stderr")
    },
    **{
        f"{name}_head": f"CASE WHEN length({name}) > :most THEN substr({name}, 1, :most / 2) "
        "ELSE x'' END"
        for name in ("stdout", "stderr")
    },
)
REPLACED_BY = "SELECT id FROM run WHERE replaces = ? AND replaces <> '' ORDER BY seq DESC LIMIT 1"
PROGRESS = """
SELECT r.state, r.attempt, a.state, length(a.stdout), length(a.stderr),
       substr(a.stdout, :head + 1, :marker), substr(a.stderr, :head + 1, :marker)
FROM run r LEFT JOIN attempt a ON a.run = r.seq AND a.number = :attempt WHERE r.id = :id
"""
PART = """
SELECT substr({stream}, :first + 1, :most) FROM attempt
WHERE run = (SELECT seq FROM run WHERE id = :id) AND number = :attempt
"""


class Looker:
    """Looks things up; see `seams.Journal` for what each method promises. Any thread may ask."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        """`connect` is called when somebody looks for the first time."""
        self._connect = connect
        self._db: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    def search(self, search: Search) -> Found:
        return self._do(lambda db: _search(db, search))

    def overview(self, hooks: Collection[str]) -> Overview:
        return self._do(lambda db: _overview(db, hooks))

    def backlog(self, hooks: Collection[str]) -> Mapping[str, Backlog]:
        now, given = time.time(), {"hooks": json.dumps(list(hooks)), "most": MOST_COUNTED}
        rows = self._do(lambda db: db.execute(BACKLOG, given).fetchall())
        return {
            hook: Backlog(queued, running, max(now - due, 0.0) if due is not None else 0.0)
            for hook, queued, running, due in rows
        }

    def glimpses(self, run_id: str, most: int) -> list[Glimpse]:
        rows = self._do(lambda db: db.execute(GLIMPSES, {"id": run_id, "most": most}).fetchall())
        return [Glimpse(as_attempt(row[:-2]), *row[-2:]) for row in rows]

    def progress(
        self, run_id: str, attempt: int, sent: tuple[int, int], head: int, most: int
    ) -> Progress | None:
        return self._do(lambda db: _progress(db, run_id, attempt, sent, head, most))

    def replaced_by(self, run_id: str) -> str:
        row = self._do(lambda db: db.execute(REPLACED_BY, (run_id,)).fetchone())
        return str(row[0]) if row else ""

    def refusals(self, before: int | None, most: int) -> list[tuple[int, Refusal]]:
        given = (2**62 if before is None else before, most)
        rows = self._do(lambda db: db.execute(REFUSALS, given).fetchall())
        return [(row[0], Refusal(*row[1:])) for row in rows]

    def close(self) -> None:
        with self._lock:
            if self._db:
                self._db.close()
            self._connect = _closed

    def _do(self, look: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with self._lock:
                if self._db is None:
                    self._db = self._connect()
                # In one transaction: all that is read is of the same moment.
                self._db.execute("BEGIN")
                try:
                    return look(self._db)
                finally:
                    self._db.execute("COMMIT")
        except (sqlite3.Error, UnicodeError) as error:
            raise JournalUnavailable(str(error)) from None


def _closed() -> sqlite3.Connection:
    raise sqlite3.ProgrammingError("the journal is closed")


def keep(db: sqlite3.Connection, refusals: Iterable[Refusal]) -> None:
    """Write refusals down, and forget the oldest."""
    rows = [(r.at, r.method, r.path, r.status, r.why, r.address, r.size) for r in refusals]
    db.executemany(REFUSE, rows)
    db.execute(FORGET_REFUSALS)


def forget(db: sqlite3.Connection, now: float) -> None:
    """Forget what was counted long before the last 24 hours."""
    for statement in FORGET:
        db.execute(statement, (int(now / SLOT) - KEPT_SLOTS,))


def _statements(search: Search) -> tuple[str, str]:
    """How to walk from the newest on, and how to pick from what was walked."""
    states = {
        (State.FAILED, False): ("run_failed", "state = 'failed'"),
        (State.FAILED, True): ("run_failed_of_hook", "state = 'failed'"),
        (State.CANCELLED, False): ("run_cancelled", "state = 'cancelled'"),
    }
    index, where = "", "true"
    if search.state in (State.QUEUED, State.RUNNING) and search.hook:
        index, where = "run_live", "state IN ('queued', 'running')"
    elif search.state and (search.state, bool(search.hook)) in states:
        index, where = states[search.state, bool(search.hook)]
    elif search.hook:
        index = "run_of_hook"
    named = {
        "index": f"INDEXED BY {index}" if index else "NOT INDEXED",
        "where": f"{where} AND hook = :hook" if search.hook else where,
        "holds": HOLDS if search.text else "",
    }
    return WALK.format(**named), PICK.format(**named)


class _Index:
    """The index that a search walks along; see `searching.Index`."""

    def __init__(self, db: sqlite3.Connection, search: Search) -> None:
        self._db = db
        self._walk, self._pick = _statements(search)

    def ends(self) -> tuple[int | None, int | None]:
        low, high = self._db.execute(ENDS).fetchone()
        return low, high

    def first_after(self, seq: int) -> tuple[int, float] | None:
        found: tuple[int, float] | None = self._db.execute(FIRST_AFTER, (seq,)).fetchone()
        return found

    def walk(self, given: Mapping[str, object]) -> tuple[int, float] | None:
        found: tuple[int, float] | None = self._db.execute(self._walk, given).fetchone()
        return found

    def pick(self, given: Mapping[str, object]) -> list[int]:
        return [seq for (seq,) in self._db.execute(self._pick, given)]


def _search(db: sqlite3.Connection, search: Search) -> Found:
    found, older, searched_to = look(_Index(db, search), search)
    return Found(_chosen(db, found), older, searched_to)


def _chosen(db: sqlite3.Connection, seqs: Collection[int]) -> list[Run]:
    return [as_run(row) for row in db.execute(CHOSEN, (json.dumps(list(seqs)),))]


def _progress(
    db: sqlite3.Connection, run_id: str, attempt: int, sent: tuple[int, int], head: int, most: int
) -> Progress | None:
    given = {"id": run_id, "attempt": attempt, "head": head, "marker": LONGEST_LEFT_OUT}
    row = db.execute(PROGRESS, given).fetchone()
    if row is None:
        return None
    state, last, attempt_state, *known = row
    pieces = []
    for number, stream in enumerate(("stdout", "stderr")):
        size, marker = known[number] or 0, known[2 + number] or b""
        found = LEFT_OUT.match(marker)
        at = place(sent[number], size, head, found)
        piece = Fresh(b"", at.at, at.left_out)
        if at.first < at.end:
            part = {**given, "first": at.first, "most": min(most, at.end - at.first)}
            [data] = db.execute(PART.format(stream=stream), part).fetchone()
            cut_off = at.is_head and at.first + len(data) == at.end
            piece = Fresh(data, at.at + len(data), at.left_out, cut_off)
        pieces.append(piece)
    over = attempt_state != State.RUNNING
    return Progress(State(state), last, over, *pieces)


def _overview(db: sqlite3.Connection, hooks: Collection[str]) -> Overview:
    now = int(time.time() / SLOT)
    waiting, live = {}, []
    for state in (State.RUNNING, State.QUEUED):
        waiting[state] = dict(
            db.execute(COUNT_LIVE.format(state=state, most=MOST_COUNTED)).fetchall()
        )
        live += [
            (state, seq, slot)
            for seq, slot in db.execute(LIVE.format(slot=SLOT, state=state, most=MOST_PLACED))
        ]
    last = {hook: next((as_run(row) for row in db.execute(LAST, (hook,))), None) for hook in hooks}
    first = [seq for _, seq, _ in live[:MOST_LIVE]]
    shown = {run.seq: run for run in _chosen(db, first)}
    counted = Counted(
        now,
        db.execute(TALLY.format(by="slot"), (now - SLOTS,)),
        db.execute(TALLY.format(by="hook"), (now - SLOTS,)),
        db.execute(TOOK, (json.dumps(list(hooks)), now - SLOTS - COARSE)),
        waiting,
        [(state, slot) for state, _, slot in live],
    )
    return overview(counted, last, [shown[seq] for seq in first])
