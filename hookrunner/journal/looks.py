"""What is read in PostgreSQL: runs, their deliveries and attempts, and all that pages show.

All of it answers in milliseconds with a million runs, as the file's reading does: what is
counted has been counted as it happened, and a search walks an index for so long and no longer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from hookrunner.journal.letters import kept
from hookrunner.journal.link import Db, Link, rows, run
from hookrunner.journal.notebook import MOST_REFUSALS
from hookrunner.journal.pieces import (
    LEFT_OUT,
    LONGEST_LEFT_OUT,
    MIDDLE,
    Cut,
    Kept,
    middle_at,
    place,
)
from hookrunner.journal.rows import as_attempt, as_outcome, as_run, new_run
from hookrunner.journal.searching import look
from hookrunner.journal.tables import NOW
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
)
from hookrunner.model import (
    Attempt,
    Backlog,
    Found,
    Fresh,
    Glimpse,
    NewRun,
    Overview,
    Piece,
    Printed,
    Progress,
    Query,
    Refusal,
    Run,
    Search,
    State,
)
from hookrunner.seams import ALL

T = TypeVar("T")

MOST_NAMED = 10

RUN = """
SELECT r.id, r.seq, r.hook, r.state, r.attempt, r.recorded_at, r.ended_at, r.due, r.replaces,
       r.delivery_id, r.event,
       a.state, a.why, a.exit_code, a.signal, a.detail, {output}, a.seconds
FROM hookrunner.run r
LEFT JOIN hookrunner.attempt a ON a.run = r.seq AND a.number =
    (SELECT max(number) FROM hookrunner.attempt WHERE run = r.seq AND state <> 'running')
{where}
"""
NOTHING = "''::bytea, ''::bytea"
READ = RUN.format(output="a.stdout, a.stderr", where="WHERE r.id = %s")
STANDING = RUN.format(output=NOTHING, where="WHERE r.id = %s")
LIST = RUN.format(output=NOTHING, where="WHERE {} ORDER BY r.seq DESC LIMIT %(most)s")
LAST = RUN.format(output=NOTHING, where="WHERE r.hook = %s ORDER BY r.seq DESC LIMIT 1")
CHOSEN = RUN.format(output=NOTHING, where="WHERE r.seq = ANY(%s::bigint[]) ORDER BY r.seq DESC")
UNREPLACED = (
    "NOT EXISTS (SELECT 1 FROM hookrunner.run n WHERE n.replaces = r.id AND n.replaces <> '')"
)
NAMED = """
SELECT id FROM hookrunner.run WHERE id LIKE %s OR id LIKE %s ORDER BY seq DESC LIMIT %s
"""
READ_NEW = """
SELECT hook, method, path, params, query, headers, content_type, body, remote_addr,
       delivery_id, event, replaces
FROM hookrunner.run WHERE id = %s
"""
ATTEMPTS = """
SELECT number, started_at, a.state, why, exit_code, signal, detail,
       substr(stdout, 1, (%(most)s::bigint / (2 * count(*) OVER ()))::integer),
       substr(stderr, 1, (%(most)s::bigint / (2 * count(*) OVER ()))::integer),
       seconds, length(stdout), length(stderr)
FROM hookrunner.attempt a JOIN hookrunner.run r ON r.seq = a.run WHERE r.id = %(run)s
ORDER BY number
"""
PRINTED = f"""
SELECT run, number, started_at, a.state, why, exit_code, signal, detail, {NOTHING}, seconds,
       length(stdout), length(stderr)
FROM hookrunner.attempt a JOIN hookrunner.run r ON r.seq = a.run WHERE r.id = %s AND number = %s
"""
PART = """
SELECT substr({stream}, %s::integer, %s::integer) FROM hookrunner.attempt
WHERE run = %s AND number = %s
"""
UNFINISHED = "SELECT id FROM hookrunner.run WHERE state IN ('queued', 'running') ORDER BY seq"
# What another worker knows is for that one to tell of.
UNTOLD = f"""
SELECT id FROM hookrunner.run WHERE untold AND (hook = ANY(%s) OR NOT EXISTS (
    SELECT 1 FROM hookrunner.worker WHERE name <> %s AND seen_at > {NOW} - 60
    AND hook = ANY(hooks)))
ORDER BY seq
"""
# What was recorded a moment ago, by another connection, may be due a moment after ours has begun.
OVER = f"""
SELECT id FROM unnest(%s::text[]) AS w (id) LEFT JOIN hookrunner.run r USING (id)
WHERE r.seq IS NULL OR r.ended_at IS NOT NULL OR r.state = 'queued' AND r.failures > 0
    AND r.due > {NOW}
"""

# States are written out: an index of some states is not used for one that is filled in later.
LIVE = """
SELECT seq, floor(recorded_at / {slot})::bigint FROM hookrunner.run WHERE state = '{state}'
LIMIT {most}
"""
COUNT_LIVE = """
SELECT hook, count(*) FROM
    (SELECT hook FROM hookrunner.run WHERE state = '{state}' LIMIT {most}) AS live
GROUP BY hook
"""
BACKLOG = f"""
SELECT h.hook,
    (SELECT count(*) FROM (SELECT 1 FROM hookrunner.run r
        WHERE r.hook = h.hook AND r.state = 'queued' LIMIT {MOST_COUNTED}) AS queued),
    (SELECT count(*) FROM hookrunner.run r WHERE r.hook = h.hook AND r.state = 'running'),
    {NOW} - (SELECT min(r.due) FROM hookrunner.run r WHERE r.hook = h.hook AND r.state = 'queued')
FROM unnest(%s::text[]) AS h (hook)
"""
SLOT_NOW = f"SELECT floor({NOW} / {SLOT})::bigint"
TALLY = """
SELECT {by}, state, sum(n)::bigint FROM hookrunner.tally WHERE slot > %s GROUP BY {by}, state
"""
TOOK = """
SELECT hook, ms, sum(n)::bigint FROM hookrunner.took WHERE hook = ANY(%s) AND slot > %s
GROUP BY hook, ms
"""
FIRST_AFTER = "SELECT seq, recorded_at FROM hookrunner.run WHERE seq >= %s ORDER BY seq LIMIT 1"
ENDS = "SELECT (SELECT min(seq) FROM hookrunner.run), (SELECT max(seq) FROM hookrunner.run)"
WALK = """
SELECT seq, recorded_at FROM hookrunner.run
WHERE {where} AND seq < %(before)s AND seq >= %(first)s ORDER BY seq DESC LIMIT 1 OFFSET %(step)s
"""
PICK = """
SELECT seq FROM hookrunner.run WHERE {where} AND seq < %(before)s AND seq >= %(last)s
  AND (%(state)s = '' OR state = %(state)s)
  AND (%(since)s::float8 IS NULL OR recorded_at >= %(since)s)
  AND (%(until)s::float8 IS NULL OR recorded_at < %(until)s)
  {holds}
ORDER BY seq DESC LIMIT %(most)s
"""
HOLDS = """
AND (strpos(id, %(text)s) > 0 OR strpos(lower(event), %(text)s) > 0
     OR strpos(lower(delivery_id), %(text)s) > 0 OR strpos(lower(path), %(text)s) > 0
     OR strpos(lower(encode(body, 'escape')),
               encode(convert_to(%(text)s, 'UTF8'), 'escape')) > 0)
"""
REFUSE = """
INSERT INTO hookrunner.refusal (at, method, path, status, why, address, size)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
FORGET_REFUSALS = f"""
DELETE FROM hookrunner.refusal
WHERE seq <= (SELECT max(seq) FROM hookrunner.refusal) - {MOST_REFUSALS}
"""
REFUSALS = """
SELECT seq, at, method, path, status, why, address, size FROM hookrunner.refusal
WHERE seq < %s ORDER BY seq DESC LIMIT %s
"""
GLIMPSES = """
SELECT number, started_at, a.state, why, exit_code, signal, detail,
       {stdout}, {stderr}, seconds, length(stdout), length(stderr), {stdout_head}, {stderr_head}
FROM hookrunner.attempt a JOIN hookrunner.run r ON r.seq = a.run WHERE r.id = %(id)s
ORDER BY number
""".format(
    **{
        name: f"CASE WHEN length({name}) > %(most)s::bigint THEN "
        f"substr({name}, length({name}) - %(most)s::integer / 2 + 1) ELSE {name} END"
        for name in ("stdout", "stderr")
    },
    **{
        f"{name}_head": f"CASE WHEN length({name}) > %(most)s::bigint THEN "
        f"substr({name}, 1, %(most)s::integer / 2) ELSE ''::bytea END"
        for name in ("stdout", "stderr")
    },
)
REPLACED_BY = """
SELECT id FROM hookrunner.run WHERE replaces = %s AND replaces <> '' ORDER BY seq DESC LIMIT 1
"""
PROGRESS = """
SELECT r.seq, r.state, r.attempt, a.state, length(a.stdout), length(a.stderr),
       substr(a.stdout, %(head)s::integer + 1, %(marker)s::integer),
       substr(a.stderr, %(head)s::integer + 1, %(marker)s::integer)
FROM hookrunner.run r
LEFT JOIN hookrunner.attempt a ON a.run = r.seq AND a.number = %(attempt)s WHERE r.id = %(id)s
"""
ONE_MOMENT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"

ENDED_HOOKS = """
WITH RECURSIVE ended (name) AS (
    SELECT min(hook) FROM hookrunner.run WHERE ended_at IS NOT NULL
    UNION ALL
    SELECT (SELECT min(hook) FROM hookrunner.run WHERE ended_at IS NOT NULL AND hook > name)
    FROM ended WHERE name IS NOT NULL
)
SELECT name FROM ended WHERE name IS NOT NULL
"""
# What another is deleting, or looking at to do so, is left to it.
PRUNE = f"""
WITH gone AS (
    DELETE FROM hookrunner.run WHERE seq IN (
        SELECT seq FROM hookrunner.run
        WHERE hook = %s AND ended_at IS NOT NULL AND ended_at <= {NOW} - %s AND NOT untold
        LIMIT %s FOR UPDATE SKIP LOCKED)
    RETURNING seq
), attempts AS (DELETE FROM hookrunner.attempt WHERE run IN (SELECT seq FROM gone))
SELECT count(*) FROM gone
"""
FORGET = (
    f"DELETE FROM hookrunner.seal WHERE until < {NOW}",
    f"DELETE FROM hookrunner.tally WHERE slot < floor({NOW} / {SLOT}) - {KEPT_SLOTS}",
    f"DELETE FROM hookrunner.took WHERE slot < floor({NOW} / {SLOT}) - {KEPT_SLOTS}",
    f"UPDATE hookrunner.run SET held_until = NULL WHERE held_until < {NOW} - 3600",
)


class Looks:
    """Looks things up; see `seams.Journal` for what each method promises. Any thread may ask."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def run(self, run_id: str) -> Run | None:
        return next(map(as_run, self._rows(READ, (kept(run_id),))), None)

    def standing(self, run_id: str) -> Run | None:
        return next(map(as_run, self._rows(STANDING, (kept(run_id),))), None)

    def recorded(self, run_id: str) -> NewRun | None:
        return next(map(new_run, self._rows(READ_NEW, (kept(run_id),))), None)

    def runs(self, query: Query) -> list[Run]:
        asked = {
            "r.hook = %(hook)s": query.hook,
            f"r.state = '{query.state}'": query.state,
            "r.recorded_at >= %(since)s": query.since,
            "r.seq < %(before)s": query.before is not None,
            UNREPLACED: query.unreplaced,
        }
        where = " AND ".join(part for part, is_asked in asked.items() if is_asked) or "true"
        given = {
            "hook": kept(query.hook),
            "since": query.since,
            "before": query.before,
            "most": query.most,
        }
        return [as_run(row) for row in self._rows(LIST.format(where), given)]

    def named(self, part: str) -> list[str]:
        if not part or not part.isascii() or not part.isalnum():
            return []
        given = (f"{part.lower()}%", f"%{part.lower()}", MOST_NAMED)
        return [run_id for (run_id,) in self._rows(NAMED, given)]

    def attempts(self, run_id: str, most: int) -> list[Attempt]:
        given = {"run": kept(run_id), "most": min(most, ALL)}
        return [as_attempt(row) for row in self._rows(ATTEMPTS, given)]

    def printed(
        self, run_id: str, number: int, stdout: int, stderr: int, lead: int, most: int
    ) -> Printed | None:
        def look(db: Db) -> Printed | None:
            found = rows(db, PRINTED, (kept(run_id), number))
            if not found:
                return None
            [(seq, _, started_at, state, *ended, out, err)] = found
            attempt = seq, number
            pieces = (
                _cut(db, attempt, "stdout", out, stdout, lead, most),
                _cut(db, attempt, "stderr", err, stderr, lead, most),
            )
            outcome = None if state == State.RUNNING else as_outcome(state, *ended)
            return Printed(number, started_at, outcome, *pieces)

        return self._at_one_moment(look)

    def unfinished(self) -> list[str]:
        return [run_id for (run_id,) in self._rows(UNFINISHED)]

    def untold(self, hooks: Collection[str], worker: str) -> list[str]:
        """Those that are this worker's to tell of, which knows these hooks."""
        return [run_id for (run_id,) in self._rows(UNTOLD, (list(hooks), worker))]

    def over(self, run_ids: Collection[str]) -> list[str]:
        """Which of these runs have ended, or wait for a retry, or are gone."""
        return [run_id for (run_id,) in self._rows(OVER, ([kept(name) for name in run_ids],))]

    def search(self, search: Search) -> Found:
        def work(db: Db) -> Found:
            found, older, searched_to = look(_Index(db, search), search)
            return Found(_chosen(db, found), older, searched_to)

        return self._at_one_moment(work)

    def overview(self, hooks: Collection[str]) -> Overview:
        return self._at_one_moment(lambda db: _overview(db, hooks))

    def backlog(self, hooks: Collection[str]) -> Mapping[str, Backlog]:
        found = self._at_one_moment(lambda db: rows(db, BACKLOG, (list(hooks),)))
        return {
            hook: Backlog(queued, running, max(waited or 0.0, 0.0))
            for hook, queued, running, waited in found
        }

    def glimpses(self, run_id: str, most: int) -> list[Glimpse]:
        given = {"id": kept(run_id), "most": min(most, ALL)}
        return [Glimpse(as_attempt(row[:-2]), *row[-2:]) for row in self._rows(GLIMPSES, given)]

    def progress(
        self, run_id: str, attempt: int, sent: tuple[int, int], head: int, most: int
    ) -> Progress | None:
        return self._at_one_moment(lambda db: _progress(db, run_id, attempt, sent, head, most))

    def replaced_by(self, run_id: str) -> str:
        return next((str(found) for (found,) in self._rows(REPLACED_BY, (kept(run_id),))), "")

    def refusals(self, before: int | None, most: int) -> list[tuple[int, Refusal]]:
        found = self._rows(REFUSALS, (2**62 if before is None else before, most))
        return [(row[0], Refusal(*row[1:])) for row in found]

    def _rows(self, statement: str, given: Any = None) -> list[tuple[Any, ...]]:
        return self._link.ask(lambda db: rows(db, statement, given))

    def _at_one_moment(self, work: Callable[[Db], T]) -> T:
        """Have what is read be of one moment."""

        def read(db: Db) -> T:
            with db.transaction():
                run(db, ONE_MOMENT)
                return work(db)

        return self._link.ask(read)


def keep(db: Db, refusals: Sequence[Refusal]) -> None:
    """Write refusals down, and forget the oldest."""
    with db.transaction():
        for r in refusals:
            why, path = kept(r.why), kept(r.path)
            run(db, REFUSE, (r.at, kept(r.method), path, r.status, why, r.address, r.size))
        run(db, FORGET_REFUSALS)


def prune(db: Db, keeps: Callable[[str], float], most: int) -> int:
    """Forget what ended longer ago than its hook `keeps` it, in seconds; how many runs."""
    pruned = 0
    for statement in FORGET:
        run(db, statement)
    for (hook,) in rows(db, ENDED_HOOKS):
        [[some]] = rows(db, PRUNE, (hook, keeps(hook), most - pruned))
        pruned += some
        if pruned >= most:
            break
    return pruned


def _cut(
    db: Db, attempt: tuple[int, int], stream: str, length: int, start: int, lead: int, most: int
) -> Piece:
    part = PART.format(stream=stream)

    def read(first: int, size: int) -> bytes:
        if size <= 0:
            return b""
        [[text]] = rows(db, part, (first + 1, min(size, ALL - first - 1), *attempt))
        return bytes(text)

    cut = Cut(Kept(length, read(middle_at(length), MIDDLE)), start, lead, most)
    return cut.piece(read(cut.first, cut.size))


class _Index:
    """The index that a search walks along; see `searching.Index`."""

    def __init__(self, db: Db, search: Search) -> None:
        self._db = db
        where = []
        if search.state in (State.FAILED, State.CANCELLED):
            where.append(f"state = '{search.state}'")
        elif search.state in (State.QUEUED, State.RUNNING) and search.hook:
            where.append("state IN ('queued', 'running')")
        if search.hook:
            where.append("hook = %(hook)s")
        named = {"where": " AND ".join(where) or "true", "holds": HOLDS if search.text else ""}
        self._walk, self._pick = WALK.format(**named), PICK.format(**named)

    def ends(self) -> tuple[int | None, int | None]:
        [[low, high]] = rows(self._db, ENDS)
        return low, high

    def first_after(self, seq: int) -> tuple[int, float] | None:
        return self._first(FIRST_AFTER, (seq,))

    def walk(self, given: Mapping[str, object]) -> tuple[int, float] | None:
        return self._first(self._walk, given)

    def pick(self, given: Mapping[str, object]) -> list[int]:
        return [seq for (seq,) in rows(self._db, self._pick, _kept(given))]

    def _first(self, statement: str, given: Any) -> tuple[int, float] | None:
        return next(((seq, at) for seq, at in rows(self._db, statement, given)), None)


def _kept(given: Mapping[str, object]) -> dict[str, object]:
    return {name: kept(said) if isinstance(said, str) else said for name, said in given.items()}


def _chosen(db: Db, seqs: Collection[int]) -> list[Run]:
    return [as_run(row) for row in rows(db, CHOSEN, (list(seqs),))] if seqs else []


def _progress(
    db: Db, run_id: str, attempt: int, sent: tuple[int, int], head: int, most: int
) -> Progress | None:
    head = min(head, ALL - LONGEST_LEFT_OUT)
    given = {"id": kept(run_id), "attempt": attempt, "head": head, "marker": LONGEST_LEFT_OUT}
    found = rows(db, PROGRESS, given)
    if not found:
        return None
    seq, state, last, attempt_state, *known = found[0]
    pieces = []
    for number, stream in enumerate(("stdout", "stderr")):
        size, marker = known[number] or 0, known[2 + number] or b""
        at = place(sent[number], size, head, LEFT_OUT.match(marker))
        piece = Fresh(b"", at.at, at.left_out)
        if at.first < at.end:
            size = min(most, at.end - at.first)
            [[data]] = rows(db, PART.format(stream=stream), (at.first + 1, size, seq, attempt))
            cut_off = at.is_head and at.first + len(data) == at.end
            piece = Fresh(data, at.at + len(data), at.left_out, cut_off)
        pieces.append(piece)
    over = attempt_state != State.RUNNING
    return Progress(State(state), last, over, *pieces)


def _overview(db: Db, hooks: Collection[str]) -> Overview:
    [[now]] = rows(db, SLOT_NOW)
    waiting, live = {}, []
    for state in (State.RUNNING, State.QUEUED):
        waiting[state] = dict(rows(db, COUNT_LIVE.format(state=state, most=MOST_COUNTED)))
        placed = rows(db, LIVE.format(slot=SLOT, state=state, most=MOST_PLACED))
        live += [(state, seq, slot) for seq, slot in placed]
    first = [seq for _, seq, _ in live[:MOST_LIVE]]
    shown = {run.seq: run for run in _chosen(db, first)}
    counted = Counted(
        now,
        rows(db, TALLY.format(by="slot"), (now - SLOTS,)),
        rows(db, TALLY.format(by="hook"), (now - SLOTS,)),
        rows(db, TOOK, (list(hooks), now - SLOTS - COARSE)),
        waiting,
        [(state, slot) for state, _, slot in live],
    )
    last = {hook: next(map(as_run, rows(db, LAST, (hook,))), None) for hook in hooks}
    return overview(counted, last, [shown[seq] for seq in first])
