"""Runs claimed, renewed and settled in PostgreSQL, over all machines that share it.

A claim moves a run's `due` to the end of its lease. Who claims skips what another is about to
claim (SKIP LOCKED). Hooks that are limited have a row in `lane`: it is held while their
attempts are counted and begun, so that no two machines count at the same time.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hookrunner.journal.letters import kept
from hookrunner.journal.link import Db, rows, run
from hookrunner.journal.rules import LOST_HOOK, cut_off
from hookrunner.journal.tables import NOW
from hookrunner.journal.tally import COARSE, SLOT, rounded
from hookrunner.model import ENDED, Claim, Outcome, State, Terms, Why

LIVE_WORKER = 60.0
"""Seconds for which a worker that has said which hooks it knows is believed to live."""

MOST_SWEPT = 200

LANES = """
INSERT INTO hookrunner.lane SELECT hook FROM unnest(%s::text[]) AS a (hook) ORDER BY hook
ON CONFLICT DO NOTHING
"""
LOCK = """
SELECT hook FROM hookrunner.lane l WHERE hook = ANY(%s)
AND EXISTS (SELECT 1 FROM hookrunner.run r WHERE r.hook = l.hook AND r.state = 'queued')
ORDER BY hook FOR UPDATE
"""
DELIVERY = """
hook, method, path, params, query, headers, content_type, body, remote_addr, delivery_id, event,
replaces
"""
# A run that was cancelled has ended, but its script takes a moment to die: until its worker says
# that it has, or its lease is over. Of ours we know better.
UNDER_WAY = """
(SELECT count(*) FROM hookrunner.run r WHERE r.hook = a.hook AND r.state = 'running')
+ (SELECT count(*) FROM hookrunner.run r WHERE r.hook = a.hook AND r.held_until IS NOT NULL
   AND (r.id = ANY(%(mine)s::text[]) OR r.held_until > now AND r.worker <> %(worker)s))
"""
# Each hook's next runs, the n-th of them as if n - 1 were under way more: sorted by that, they
# are in the order in which they would be claimed one by one.
CLAIM = f"""
WITH at AS MATERIALIZED (SELECT {NOW} AS now),
asked AS MATERIALIZED (
    SELECT a.hook, a.most, a.strict, now, {UNDER_WAY} AS n
    FROM unnest(%(hooks)s::text[], %(most)s::bigint[], %(strict)s::boolean[])
        AS a (hook, most, strict), at
),
lapsed AS MATERIALIZED (
    SELECT %(sweep)s AND EXISTS (
        SELECT 1 FROM hookrunner.run r WHERE r.state = 'running' AND r.hook = ANY(%(all)s)
        AND r.due <= (SELECT now FROM at) AND r.id <> ALL(%(mine)s::text[])) AS is_so
),
next AS MATERIALIZED (
    SELECT w.seq, w.due, a.n + row_number() OVER (PARTITION BY a.hook ORDER BY w.due, w.seq) AS load
    FROM asked a CROSS JOIN LATERAL (
        SELECT r.seq, r.due FROM hookrunner.run r
        WHERE r.hook = a.hook AND r.state = 'queued' AND r.due <= a.now
        AND r.id <> ALL(%(mine)s::text[])
        ORDER BY r.due, r.seq LIMIT greatest(least(a.most - a.n, %(look)s), 0)
    ) w WHERE NOT a.strict
    UNION ALL
    SELECT w.seq, w.due, a.n + 1
    FROM asked a CROSS JOIN LATERAL (
        SELECT r.seq, r.due, r.state, r.id FROM hookrunner.run r
        WHERE r.hook = a.hook AND r.state IN ('queued', 'running') ORDER BY r.seq LIMIT 1
    ) w WHERE a.strict AND a.n < 1 AND w.state = 'queued' AND w.due <= a.now
    AND w.id <> ALL(%(mine)s::text[])
),
chosen AS MATERIALIZED (
    SELECT r.seq, n.load FROM next n JOIN hookrunner.run r ON r.seq = n.seq
    WHERE r.state = 'queued' AND NOT (SELECT is_so FROM lapsed)
    ORDER BY n.load, n.due, n.seq LIMIT %(wanted)s FOR UPDATE OF r SKIP LOCKED
),
claimed AS (
    UPDATE hookrunner.run r SET state = 'running', attempt = r.attempt + 1,
        due = (SELECT now FROM at) + %(lease)s, worker = %(worker)s, taken = %(taken)s
    FROM chosen c WHERE r.seq = c.seq
    RETURNING c.load, r.due AS until, r.id, r.seq, r.attempt, {DELIVERY}, failures, interruptions,
        (SELECT now FROM at) - r.recorded_at AS waited
),
begun AS (
    INSERT INTO hookrunner.attempt (run, number, started_at)
    SELECT seq, attempt, (SELECT now FROM at) FROM claimed
)
SELECT (SELECT is_so FROM lapsed), EXISTS (SELECT 1 FROM next),
    CASE WHEN NOT EXISTS (SELECT 1 FROM claimed) THEN
        (SELECT min(s.due) - (SELECT now FROM at)
         FROM unnest(%(all)s::text[]) AS h (hook) CROSS JOIN LATERAL (
            SELECT least(
                (SELECT min(due) FROM hookrunner.run r WHERE r.hook = h.hook
                 AND r.state = 'queued' AND r.due > (SELECT now FROM at)),
                (SELECT min(due) FROM hookrunner.run r WHERE r.hook = h.hook
                 AND r.state = 'running' AND r.due > (SELECT now FROM at))) AS due) s)
    END, c.*
FROM (SELECT 1) AS one LEFT JOIN claimed c ON true ORDER BY c.load, c.seq
"""
# What was taken by a claim of ours whose answer was cut off; nobody else can know of it.
TAKEN = f"""
UPDATE hookrunner.run SET due = {NOW} + %(lease)s WHERE state = 'running' AND taken = %(taken)s
AND worker = %(worker)s AND hook = ANY(%(all)s)
RETURNING 0, due, id, seq, attempt, {DELIVERY}, failures, interruptions, {NOW} - recorded_at
"""

# The attempt number fences: a worker that comes too late changes nothing.
OURS = "seq = %s AND attempt = %s AND state = 'running'"
RENEW = f"""
UPDATE hookrunner.run r SET due = {NOW} + %s
FROM unnest(%s::bigint[], %s::integer[]) AS c (seq, attempt)
WHERE r.seq = c.seq AND r.attempt = c.attempt AND r.state = 'running' RETURNING r.id
"""
APPEND = f"""
UPDATE hookrunner.attempt SET stdout = %b, stderr = %b WHERE run = %s AND number = %s
AND EXISTS (SELECT 1 FROM hookrunner.run WHERE {OURS})
"""
TALLY = """
INSERT INTO hookrunner.tally AS t (slot, hook, state, by, n)
SELECT floor(recorded_at / {slot})::bigint, hook, state, pg_backend_pid(), count(*) FROM {ended}
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
ON CONFLICT (slot, hook, state, by) DO UPDATE SET n = t.n + excluded.n
"""
TOOK = """
INSERT INTO hookrunner.took AS t (hook, ms, slot, by, n)
SELECT hook, {ms}, floor(started_at / {slot} / {coarse})::bigint * {coarse}, pg_backend_pid(),
       count(*)
FROM {ended} WHERE seconds > 0 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
ON CONFLICT (hook, ms, slot, by) DO UPDATE SET n = t.n + excluded.n
"""
MS = rounded("floor(seconds * 1000)::bigint")
HOW = """
state = s.state, why = s.why, exit_code = s.exit_code, signal = s.signal, detail = s.detail,
seconds = s.seconds, stdout = s.stdout, stderr = s.stderr
"""
SAID = """
said AS MATERIALIZED (
    SELECT s.*, o.stdout, o.stderr
    FROM jsonb_to_recordset(%(said)s::jsonb) AS s (
        n integer, seq bigint, attempt integer, state text, again_in float8, why text,
        exit_code integer, signal integer, detail text, seconds float8, settled bigint)
    JOIN unnest(%(stdout)b::bytea[], %(stderr)b::bytea[]) WITH ORDINALITY AS o (stdout, stderr, n)
        ON o.n = s.n
)
"""
SETTLE = f"""
WITH {SAID},
ours AS (
    UPDATE hookrunner.run r SET
        state = CASE WHEN s.again_in IS NULL THEN s.state ELSE 'queued' END,
        due = {NOW} + s.again_in,
        ended_at = CASE WHEN s.again_in IS NULL THEN {NOW} END,
        untold = s.again_in IS NULL AND s.state = 'failed',
        failures = failures + CASE WHEN s.again_in IS NULL THEN 0 ELSE 1 END
    FROM said s WHERE r.seq = s.seq AND r.attempt = s.attempt AND r.state = 'running'
    RETURNING s.n, r.hook, r.state, r.recorded_at, r.due, r.ended_at, r.awaited_by
),
timed AS (
    UPDATE hookrunner.attempt a SET {HOW}, settled = s.settled
    FROM said s JOIN ours o ON o.n = s.n WHERE a.run = s.seq AND a.number = s.attempt
    RETURNING a.started_at, a.seconds, o.hook
),
tallied AS ({TALLY.format(slot=SLOT, ended="ours WHERE ended_at IS NOT NULL")}),
took AS ({TOOK.format(slot=SLOT, coarse=COARSE, ms=MS, ended="timed")})
SELECT n, recorded_at, due, ended_at, awaited_by FROM ours
"""
SETTLED = """
SELECT s.n, r.recorded_at, r.due, r.ended_at, r.awaited_by
FROM unnest(%s::bigint[], %s::integer[], %s::bigint[]) WITH ORDINALITY
    AS s (seq, attempt, settled, n)
JOIN hookrunner.attempt a ON a.run = s.seq AND a.number = s.attempt AND a.settled = s.settled
JOIN hookrunner.run r ON r.seq = s.seq
"""
# A cancelled run's attempt may still say what it had printed.
END_CANCELLED = f"""
WITH {SAID},
timed AS (
    UPDATE hookrunner.attempt a SET {HOW} FROM said s, hookrunner.run r
    WHERE a.run = s.seq AND a.number = s.attempt AND a.state = 'running'
    AND r.seq = s.seq AND r.attempt = s.attempt AND r.state = 'cancelled'
    RETURNING a.started_at, a.seconds, r.hook, r.seq
),
took AS ({TOOK.format(slot=SLOT, coarse=COARSE, ms=MS, ended="timed")})
UPDATE hookrunner.run r SET held_until = NULL FROM said s
WHERE r.seq = s.seq AND r.attempt = s.attempt AND r.state = 'cancelled'
"""
CUT_OFF = """
UPDATE hookrunner.attempt SET state = 'failed', why = 'interrupted', detail = 'interrupted'
WHERE run = %s AND number = %s AND state = 'running'
"""
AGAIN = f"""
UPDATE hookrunner.run SET state = 'queued', due = {NOW}, interruptions = %s WHERE seq = %s
"""
FAIL = f"""
UPDATE hookrunner.run SET state = 'failed', due = NULL, ended_at = {NOW}, untold = true
WHERE seq = %s AND state IN ('queued', 'running')
"""
FAIL_ATTEMPT = f"""
INSERT INTO hookrunner.attempt (run, number, started_at, state, why, detail)
VALUES (%s, %s, {NOW}, 'failed', %s, %s)
ON CONFLICT (run, number) DO UPDATE SET state = 'failed', why = excluded.why,
    detail = excluded.detail
"""
COUNT_ENDED = TALLY.format(slot=SLOT, ended="hookrunner.run WHERE seq = ANY(%s)")
FIND_OURS = f"SELECT seq FROM hookrunner.run WHERE {OURS} FOR UPDATE"
STATE_NOW = "SELECT state FROM hookrunner.run WHERE seq = %s AND attempt = %s"
LAPSED = f"""
SELECT seq, id, hook, attempt, interruptions FROM hookrunner.run
WHERE state = 'running' AND hook = ANY(%(hooks)s) AND id <> ALL(%(mine)s::text[])
AND (due <= {NOW} OR worker = %(dead)s)
ORDER BY seq LIMIT {MOST_SWEPT} FOR UPDATE SKIP LOCKED
"""
CANCEL = f"""
UPDATE hookrunner.run r SET state = 'cancelled', due = NULL, ended_at = {NOW},
    held_until = CASE WHEN was.state = 'running' THEN was.due END
FROM (SELECT seq, state, due FROM hookrunner.run WHERE id = %s
      AND state IN ('queued', 'running') FOR UPDATE) AS was
WHERE r.seq = was.seq RETURNING r.seq, was.state
"""
ANNOUNCE = f"""
INSERT INTO hookrunner.worker VALUES (%s, %s, {NOW})
ON CONFLICT (name) DO UPDATE SET hooks = excluded.hooks, seen_at = excluded.seen_at
"""
KNOWN = f"""
SELECT DISTINCT unnest(hooks) FROM hookrunner.worker WHERE seen_at > {NOW} - {LIVE_WORKER}
"""
FORGET_WORKERS = f"DELETE FROM hookrunner.worker WHERE seen_at < {NOW} - 86400"
# Hook by hook, as an index has them: DISTINCT would read all that is live.
LIVE_HOOKS = """
WITH RECURSIVE live (name) AS (
    SELECT min(hook) FROM hookrunner.run WHERE state IN ('queued', 'running')
    UNION ALL
    SELECT (SELECT min(hook) FROM hookrunner.run
            WHERE state IN ('queued', 'running') AND hook > name)
    FROM live WHERE name IS NOT NULL
)
SELECT name FROM live WHERE name IS NOT NULL
"""
OVERDUE = f"""
SELECT seq, id, attempt FROM hookrunner.run
WHERE hook = %(hook)s AND state IN ('queued', 'running')
AND (due + %(after)s <= {NOW} OR %(after)s <= 0 AND (state = 'queued' OR worker = %(dead)s))
ORDER BY seq LIMIT {MOST_SWEPT} FOR UPDATE SKIP LOCKED
"""


@dataclass(frozen=True, slots=True)
class Claiming:
    """Who asks for runs, and how many."""

    hooks: Mapping[str, Terms]
    lease: float
    mine: Collection[str]
    wanted: int
    worker: str
    taken: int
    """A number of this claim's own."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What a claim has found: rows of runs; else in how many seconds to look again."""

    found: Sequence[tuple[Any, ...]] = ()
    soonest: float | None = None
    raced: bool = False
    """That there was something, and others took it."""

    ended: Sequence[str] = ()
    """Runs that have failed for good meanwhile."""


@dataclass(frozen=True, slots=True)
class Settling:
    """What there is to say of an attempt; `settled` is a number of this word's own."""

    claim: Claim
    outcome: Outcome
    again_in: float | None
    settled: int


@dataclass(frozen=True, slots=True)
class Settled:
    """How a run stands after its attempt was settled; times are the database's."""

    recorded_at: float
    due: float | None
    ended_at: float | None
    awaited_by: str


def limits(terms: Terms) -> int | None:
    """How many attempts of a hook may be under way."""
    return 1 if terms.strict else terms.concurrency


def claim(db: Db, ask: Claiming, *, again: bool) -> Looked:
    """Take runs that are due. With `again`, some may have been taken before."""
    if again and (found := retake(db, ask)):
        return Looked(found)
    looked, lapsed = _claim(db, ask, sweep=True)
    if not lapsed:
        return looked
    with db.transaction():
        _, ended = sweep(db, ask.hooks, ask.mine)
    looked, _ = _claim(db, ask, sweep=False)
    return Looked(looked.found, looked.soonest, looked.raced, ended)


def retake(db: Db, ask: Claiming) -> list[tuple[Any, ...]]:
    """What a claim has taken whose answer was lost."""
    given = {"lease": ask.lease, "taken": ask.taken, "worker": ask.worker, "all": list(ask.hooks)}
    return [row[2:] for row in rows(db, TAKEN, given)]


def _claim(db: Db, ask: Claiming, *, sweep: bool) -> tuple[Looked, bool]:
    """What is found, and whether leases have lapsed: then those come first."""
    limited = [hook for hook, terms in ask.hooks.items() if limits(terms) is not None]
    if not limited:
        return _look(db, ask, list(ask.hooks), sweep=sweep)
    with db.transaction():
        held = {hook for (hook,) in rows(db, LOCK, (limited,))}
        may = [hook for hook in ask.hooks if hook in held or limits(ask.hooks[hook]) is None]
        return _look(db, ask, may, sweep=sweep)


def _look(db: Db, ask: Claiming, may: Sequence[str], *, sweep: bool) -> tuple[Looked, bool]:
    given = {
        "hooks": may,
        "most": [2**31 if (most := limits(ask.hooks[hook])) is None else most for hook in may],
        "strict": [ask.hooks[hook].strict for hook in may],
        "all": list(ask.hooks),
        "mine": list(ask.mine),
        "sweep": sweep,
        "wanted": ask.wanted,
        "look": ask.wanted * 2 + 8,  # of which others may hold some
        "lease": ask.lease,
        "worker": ask.worker,
        "taken": ask.taken,
    }
    found = rows(db, CLAIM, given)
    lapsed, some, soonest, _, until, *_ = found[0]
    if until is None:
        return Looked((), soonest, some and not lapsed), lapsed
    return Looked([row[5:] for row in found]), lapsed


def make_lanes(db: Db, hooks: Collection[str]) -> None:
    """Have a row for each of these hooks, to be held while their attempts are counted."""
    run(db, LANES, (sorted(hooks),))


def renew(db: Db, claims: Collection[Claim], lease: float) -> set[str]:
    """Which are still ours, and have a new lease."""
    given = (lease, [claim.seq for claim in claims], [claim.attempt for claim in claims])
    return {run_id for (run_id,) in rows(db, RENEW, given)}


def append(db: Db, claim: Claim, stdout: bytes, stderr: bytes) -> bool:
    """Show what an attempt has printed; False if it is no longer ours."""
    fence = claim.seq, claim.attempt
    return run(db, APPEND, (stdout, stderr, *fence, *fence)) == 1


def settle(db: Db, jobs: Sequence[Settling], *, again: bool) -> dict[int, Settled]:
    """Which attempts were ours to settle, by their place. With `again`, some may be so already."""
    done = _settled(db, jobs) if again else {}
    left = [n for n in range(1, len(jobs) + 1) if n not in done]
    if left:
        found = rows(db, SETTLE, _said([jobs[n - 1] for n in left]))
        done |= {left[place - 1]: Settled(*row) for place, *row in found}
    if late := [job for n, job in enumerate(jobs, 1) if n not in done]:
        run(db, END_CANCELLED, _said(late))
    return done


def _settled(db: Db, jobs: Sequence[Settling]) -> dict[int, Settled]:
    given = (
        [job.claim.seq for job in jobs],
        [job.claim.attempt for job in jobs],
        [job.settled for job in jobs],
    )
    return {row[0]: Settled(*row[1:]) for row in rows(db, SETTLED, given)}


def _said(jobs: Sequence[Settling]) -> dict[str, object]:
    said = [
        {
            "n": n,
            "seq": job.claim.seq,
            "attempt": job.claim.attempt,
            "state": job.outcome.state,
            "again_in": job.again_in,
            "why": job.outcome.why,
            "exit_code": job.outcome.exit_code,
            "signal": job.outcome.signal,
            "detail": kept(job.outcome.detail),
            "seconds": job.outcome.seconds,
            "settled": job.settled,
        }
        for n, job in enumerate(jobs, 1)
    ]
    return {
        "said": json.dumps(said, ensure_ascii=False),
        "stdout": [job.outcome.stdout for job in jobs],
        "stderr": [job.outcome.stderr for job in jobs],
    }


def interrupt(db: Db, claim: Claim, *, rerun: bool, counted: bool, again: bool) -> State | None:
    """An attempt was cut off: how its run stands now; None if it was no longer ours."""
    fence = claim.seq, claim.attempt
    with db.transaction():
        if rows(db, FIND_OURS, fence):
            return _cut_off(db, *fence, claim.interruptions + counted, rerun)
    # If our first word has counted, it stands as that has left it, or has gone on from there.
    found = rows(db, STATE_NOW, fence) if again else []
    return State(found[0][0]) if found and found[0][0] in (State.QUEUED, State.FAILED) else None


def cancel(db: Db, run_id: str) -> State | None:
    """End a run; the state it was in."""
    with db.transaction():
        found = rows(db, CANCEL, (run_id,))
        for seq, _ in found:
            run(db, COUNT_ENDED, ([seq],))
    return State(found[0][1]) if found else None


def sweep(
    db: Db, hooks: Mapping[str, Terms], mine: Collection[str], dead: str | None = None
) -> tuple[list[str], list[str]]:
    """Make due again what ran under a lease that has lapsed, or was a `dead` worker's.

    The ids of the runs that are due, and of those that have failed for good. What is of no hook
    here is left to whoever knows its terms.
    """
    again: list[str] = []
    ended: list[str] = []
    given = {"hooks": list(hooks), "mine": list(mine), "dead": dead}
    for seq, run_id, hook, attempt, interruptions in rows(db, LAPSED, given):
        state = _cut_off(db, seq, attempt, interruptions + 1, hooks[hook].rerun)
        (ended if state in ENDED else again).append(run_id)
    return again, ended


def _cut_off(db: Db, seq: int, attempt: int, interruptions: int, rerun: bool) -> State:
    """An attempt came to no end of its own: the run is due again, or that was one too many."""
    run(db, CUT_OFF, (seq, attempt))
    told = cut_off(interruptions, rerun)
    if not told:
        run(db, AGAIN, (interruptions, seq))
        return State.QUEUED
    _fail(db, seq, attempt, Why.INTERRUPTED, told)
    return State.FAILED


def _fail(db: Db, seq: int, attempt: int, why: Why, told: str) -> None:
    run(db, FAIL, (seq,))
    run(db, FAIL_ATTEMPT, (seq, attempt, why, told))
    run(db, COUNT_ENDED, ([seq],))


def announce(db: Db, worker: str, hooks: Collection[str]) -> None:
    """Say which hooks a worker knows; to be said again before LIVE_WORKER is over."""
    run(db, ANNOUNCE, (worker, sorted(hooks)))
    run(db, FORGET_WORKERS)


def leave(db: Db, worker: str) -> None:
    """A worker that ends knows no hooks any more."""
    run(db, "DELETE FROM hookrunner.worker WHERE name = %s", (worker,))


def fail_lost(db: Db, after: float, dead: str | None = None) -> list[str]:
    """Fail what has been due for `after` seconds and is of no hook that any worker knows.

    The ids of the runs. What was a `dead` worker's has no lease any more.
    """
    lost: list[str] = []
    known = {hook for (hook,) in rows(db, KNOWN)}
    for (hook,) in rows(db, LIVE_HOOKS):
        if hook in known:
            continue
        given = {"hook": hook, "after": after, "dead": dead}
        for seq, run_id, attempt in rows(db, OVERDUE, given):
            _fail(db, seq, attempt, Why.LOST_HOOK, LOST_HOOK)
            lost.append(run_id)
    return lost
