"""What people look for in the journal: by hook, by state, by text; what goes on; refusals.

All of it answers in milliseconds with a million runs: what is counted has been counted as
it happened (`tally`, `took`, kept by triggers), and whoever searches walks an index from
the newest on, for so long and no longer. It has a connection of its own, so that nobody
who waits for a run is kept by somebody who browses.
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TypeVar

from hookrunner.journal.reading import RUN, as_attempt, as_run
from hookrunner.model import (
    Activity,
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

SLOT = 1800
"""Seconds of a slot of `tally` and `took`."""

SLOTS = 48
KEPT_SLOTS = 2 * SLOTS

MOST_REFUSALS = 1000
MOST_NOTED = 100
NOTED_EVERY = 1.0
"""Refusals that are written down together, and how often, in seconds."""

MOST_LIVE = 20
MOST_COUNTED = 100_000
MOST_PLACED = 2000
"""Queued and running runs that find their place in time: each has to be looked up."""

FEW, MANY = 64, 8192
QUICKLY = 0.01
"""Runs that are looked at in one go: more, until that takes so many seconds."""

# A duration's two first digits, in milliseconds: no more than that is needed of a percentile,
# and so a day's durations are some dozens of rows.
ROUNDED = """
CASE WHEN {ms} < 100 THEN {ms} WHEN {ms} < 1000 THEN {ms} / 10 * 10
     WHEN {ms} < 10000 THEN {ms} / 100 * 100 WHEN {ms} < 100000 THEN {ms} / 1000 * 1000
     WHEN {ms} < 1000000 THEN {ms} / 10000 * 10000 WHEN {ms} < 10000000 THEN {ms} / 100000 * 100000
     ELSE {ms} / 1000000 * 1000000 END
"""


def _rounded(seconds: str) -> str:
    return ROUNDED.format(ms=f"CAST({seconds} * 1000 AS INTEGER)")


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
SELECT CAST(a.started_at / {SLOT} AS INTEGER), r.hook, {_rounded("a.seconds")}, count(*)
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
    SELECT CAST(NEW.started_at / {SLOT} AS INTEGER), hook, {_rounded("NEW.seconds")}, 1
    FROM run WHERE seq = NEW.run
    ON CONFLICT DO UPDATE SET n = n + 1;
END;
"""
"""What the third version of the tables adds."""

FORGET = tuple(f"DELETE FROM {table} WHERE slot < ?" for table in ("tally", "took"))

LAST = RUN.format(output="x'', x''", where="WHERE r.hook = ? ORDER BY r.seq DESC LIMIT 1")
CHOSEN = RUN.format(
    output="x'', x''",
    where="WHERE r.seq IN (SELECT value FROM json_each(?)) ORDER BY r.seq DESC",
)
LIVE = """
SELECT seq, hook, state, CAST(recorded_at / {slot} AS INTEGER) FROM run INDEXED BY run_{state}
WHERE state = '{state}' LIMIT {most}
"""
COUNT_LIVE = """
SELECT hook, count(*) FROM
    (SELECT hook FROM run INDEXED BY run_{state} WHERE state = '{state}' LIMIT {most})
GROUP BY hook
"""
TALLY = "SELECT slot, hook, state, n FROM tally WHERE slot > ?"
TOOK = "SELECT hook, ms, sum(n) FROM took WHERE slot > ? GROUP BY hook, ms"
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
LEFT_OUT = re.compile(rb"\n\[\.\.\. ([0-9]{1,15}) bytes left out \.\.\.\]\n")
LONGEST_LEFT_OUT = 64


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


class Notebook:
    """Refusals on their way into the journal: a bounded number at a time, once a second.

    However many are turned away, that is all that it costs.
    """

    def __init__(self, write: Callable[[Sequence[Refusal]], None]) -> None:
        """`write` is called by a thread of its own, and must return at once."""
        self._write = write
        self._notes: list[Refusal] = []
        self._left_out = 0
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()

    def add(self, refusal: Refusal) -> None:
        """Have it written down, or counted if there are too many."""
        if len(self._notes) >= MOST_NOTED:  # looked at without the lock: it is a bound, no promise
            self._left_out += 1
            return
        with self._lock:
            self._notes.append(refusal)
            if self._timer is None:
                self._timer = threading.Timer(NOTED_EVERY, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Have written down what there is."""
        with self._lock:
            notes, left_out = self._notes, self._left_out
            self._notes, self._left_out = [], 0
            if self._timer:
                self._timer.cancel()
                self._timer = None
        if notes and left_out:
            more = f"{notes[-1].why}; and {left_out} more at that time"
            notes[-1] = replace(notes[-1], why=more)
        if notes:
            self._write(notes)


def keep(db: sqlite3.Connection, refusals: Iterable[Refusal]) -> None:
    """Write refusals down, and forget the oldest."""
    rows = [(r.at, r.method, r.path, r.status, r.why, r.address, r.size) for r in refusals]
    db.executemany(REFUSE, rows)
    db.execute(FORGET_REFUSALS)


def forget(db: sqlite3.Connection, now: float) -> None:
    """Forget what was counted more than two days ago."""
    for statement in FORGET:
        db.execute(statement, (int(now / SLOT) - KEPT_SLOTS,))


def _search(db: sqlite3.Connection, search: Search) -> Found:
    stop = time.perf_counter() + search.seconds
    first, end = _range(db, search)
    given: dict[str, object] = {
        "hook": search.hook,
        "state": search.state or "",
        "text": search.text.lower(),
        "since": search.since,
        "until": search.until,
        "first": first,
        "before": end if search.before is None else min(search.before, end),
    }
    walk, pick = _statements(search)
    found: list[int] = []
    step = FEW
    while True:
        began = time.perf_counter()
        last = db.execute(walk, {**given, "step": step - 1}).fetchone()
        given["last"] = last[0] if last else first
        # One more than is wanted tells whether there is any.
        found += [
            seq for (seq,) in db.execute(pick, {**given, "most": search.most + 1 - len(found)})
        ]
        now = time.perf_counter()
        if len(found) > search.most or last is None:
            break
        if now > stop:
            return Found(_chosen(db, found), *last)
        given["before"] = last[0]
        step = min(step * 2, MANY) if now - began < QUICKLY else max(step // 2, FEW)
    more = len(found) > search.most
    found = found[: search.most]
    return Found(_chosen(db, found), found[-1] if more else None)


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


def _range(db: sqlite3.Connection, search: Search) -> tuple[int, int]:
    """The first seq that may be of interest, and the first that is so no more.

    Runs are recorded in the order of time; where the clock was set back, some are missed.
    """
    low, high = db.execute(ENDS).fetchone()
    if low is None:
        return 0, 0
    end = high + 1
    first = low if search.since is None else _first_at(db, low, end, search.since)
    return first, end if search.until is None else _first_at(db, first, end, search.until)


def _first_at(db: sqlite3.Connection, low: int, high: int, moment: float) -> int:
    """The first seq, from `low` to `high`, that was recorded at this moment or later."""
    while low < high:
        middle = (low + high) // 2
        row = db.execute(FIRST_AFTER, (middle,)).fetchone()
        if row is None or row[0] >= high or row[1] >= moment:
            high = middle
        else:
            low = row[0] + 1
    return low


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
        place = _place(sent[number], size, head, found)
        piece = Fresh(b"", place.at, place.left_out)
        if place.first < place.end:
            part = {**given, "first": place.first, "most": min(most, place.end - place.first)}
            [data] = db.execute(PART.format(stream=stream), part).fetchone()
            cut_off = place.is_head and place.first + len(data) == place.end
            piece = Fresh(data, place.at + len(data), place.left_out, cut_off)
        pieces.append(piece)
    over = attempt_state != State.RUNNING
    return Progress(State(state), last, over, *pieces)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in what is kept goes on what has been sent: from `first` to `end`; see Fresh."""

    first: int
    end: int
    at: int
    left_out: int = 0
    is_head: bool = False
    """True if what comes after `end` has not been kept."""


def _place(sent: int, size: int, head: int, marker: re.Match[bytes] | None) -> _Place:
    if marker is None:
        return _Place(min(sent, size), size, min(sent, size))
    if sent < head:
        return _Place(sent, head, sent, is_head=True)
    missing, written = int(marker[1]), len(marker[0])
    tail = head + missing
    if sent < tail:
        return _Place(head + written, size, tail, tail - sent)
    first = min(head + written + sent - tail, size)
    return _Place(first, size, first - head - written + tail)


def _overview(db: sqlite3.Connection, hooks: Collection[str]) -> Overview:
    now = int(time.time() / SLOT)
    slots: dict[int, dict[State, int]] = {now - ago: {} for ago in reversed(range(SLOTS))}
    ended: dict[str, dict[State, int]] = defaultdict(lambda: defaultdict(int))
    took: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for slot, hook, state, n in db.execute(TALLY, (now - SLOTS,)):
        ended[hook][State(state)] += n
        _count(slots, slot, State(state), n)
    for hook, ms, n in db.execute(TOOK, (now - SLOTS,)):
        took[hook].append((ms, n))
    counts, live = {}, []
    for state in (State.RUNNING, State.QUEUED):
        counts[state] = dict(
            db.execute(COUNT_LIVE.format(state=state, most=MOST_COUNTED)).fetchall()
        )
        for seq, _, _, slot in db.execute(LIVE.format(slot=SLOT, state=state, most=MOST_PLACED)):
            _count(slots, slot, state, 1)
            live.append(seq)
    shown = {run.seq: run for run in _chosen(db, live[:MOST_LIVE])}
    return Overview(
        {
            hook: Activity(
                next((as_run(row) for row in db.execute(LAST, (hook,))), None),
                dict(ended[hook]),
                percentile(took[hook], 0.5),
                percentile(took[hook], 0.95),
                counts[State.QUEUED].get(hook, 0),
                counts[State.RUNNING].get(hook, 0),
            )
            for hook in hooks
        },
        [(float(slot * SLOT), states) for slot, states in slots.items()],
        [shown[seq] for seq in live[:MOST_LIVE]],
    )


def _count(slots: Mapping[int, dict[State, int]], slot: int, state: State, n: int) -> None:
    if slot in slots:
        slots[slot][state] = slots[slot].get(state, 0) + n


def percentile(counted: Collection[tuple[int, int]], part: float) -> float | None:
    """The seconds that this part of them took at most: of milliseconds, and how often each."""
    total = sum(n for _, n in counted)
    if not total:
        return None
    ordered = sorted(counted)
    reached = accumulate(n for _, n in ordered)
    return next(ms for (ms, _), n in zip(ordered, reached, strict=True) if n >= part * total) / 1000
