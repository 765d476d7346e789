"""Deliveries made into runs in PostgreSQL, many in one statement.

What is plain (nothing of it is signed with a time, its hook has no `rate`) is inserted straight
away; if a run of the same delivery is there already, the unique index keeps it out, and it is
looked at more closely with the rest: in a transaction that finds what a repeat joins, holds the
row of each `rate`, and is done anew if another machine was quicker.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hookrunner.journal.letters import kept
from hookrunner.journal.link import Db, rows, run
from hookrunner.journal.rows import new_id
from hookrunner.journal.rules import joins, paced
from hookrunner.journal.tables import NOW
from hookrunner.model import Full, JournalUnavailable, NewRun, Recorded, Run, Terms

MOST_RACES = 10

INSERT = f"""
INSERT INTO hookrunner.run
    (id, hook, state, due, recorded_at, awaited_by, dedupe_key, replaces, method, path, params,
     query, headers, content_type, remote_addr, delivery_id, event, body)
SELECT n.id, n.hook, 'queued', {NOW}, {NOW}, n.awaited_by, n.dedupe_key, n.replaces, n.method,
       n.path, n.params, n.query, n.headers, n.content_type, n.remote_addr, n.delivery_id,
       n.event, b.body
FROM jsonb_to_recordset(%(new)s::jsonb) AS n (
        n integer, id text, hook text, awaited_by text, dedupe_key text, replaces text,
        method text, path text, params text, query text, headers text, content_type text,
        remote_addr text, delivery_id text, event text)
JOIN unnest(%(bodies)b::bytea[]) WITH ORDINALITY AS b (body, n) ON b.n = n.n
ORDER BY n.n
ON CONFLICT DO NOTHING RETURNING id
"""
PRESENT = "SELECT id FROM hookrunner.run WHERE id = ANY(%s)"
CLOCK = f"SELECT {NOW}"
SEALED = """
SELECT hook, seal, run FROM hookrunner.seal
JOIN unnest(%s::text[], %s::text[]) AS a (hook, seal) USING (hook, seal) WHERE until >= %s
"""
JOINED = """
SELECT hook, dedupe_key, id, state, recorded_at FROM hookrunner.run
JOIN unnest(%s::text[], %s::text[]) AS a (hook, dedupe_key) USING (hook, dedupe_key)
WHERE current AND dedupe_key <> ''
"""
# Made if it is not there, and held until the end of the transaction, by one machine at a time.
PACES = """
INSERT INTO hookrunner.pace SELECT hook, 0 FROM unnest(%s::text[]) AS a (hook) ORDER BY hook
ON CONFLICT (hook) DO UPDATE SET free_at = pace.free_at RETURNING hook, free_at
"""
PACED = """
UPDATE hookrunner.pace SET free_at = a.free_at
FROM unnest(%s::text[], %s::float8[]) AS a (hook, free_at) WHERE pace.hook = a.hook
"""
SUPERSEDE = "UPDATE hookrunner.run SET current = false WHERE id = ANY(%s)"
SEAL = """
INSERT INTO hookrunner.seal
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::float8[]) AS a (hook, seal, run, until)
ORDER BY hook, seal
ON CONFLICT (hook, seal) DO UPDATE SET run = excluded.run, until = excluded.until
WHERE seal.until < %s OR seal.run = excluded.run
RETURNING run
"""
WAITING = """
SELECT count(*) FROM
    (SELECT 1 FROM hookrunner.run WHERE hook = %s AND state = 'queued' LIMIT %s) AS waiting
"""


@dataclass(eq=False, slots=True)
class Recording:
    """A delivery on its way to be a run, and whom to tell."""

    new: NewRun
    terms: Terms
    then: Callable[[Recorded | Full | JournalUnavailable], None]
    ended: Callable[[Run | None], None] | None = None
    run_id: str = field(default_factory=new_id)
    told: Recorded | Full | None = None
    """What came of it; None while that is not known."""

    answered: bool = False
    """That whoever asks has been told, or given up."""

    @property
    def key(self) -> tuple[str, str]:
        return self.new.hook, self.new.dedupe_key

    @property
    def seal(self) -> tuple[str, str]:
        return self.new.hook, self.new.seal


class Room:
    """Keeps the bound of each hook's queue, and counts what waits as seldom as it can.

    Other machines record too. So a count is good for a tenth of the room that there was, and
    the bound is passed by no more than that, for each of them.
    """

    def __init__(self) -> None:
        self._left: dict[str, tuple[int, int]] = {}
        """The bound when it was counted, and for how many more that will do."""

    def take(self, hook: str, queue: int, count: Callable[[], int]) -> None:
        """Count one more; `count` says how many wait, up to `queue`. Raises Full."""
        bound, left = self._left.pop(hook, (queue, 0))
        if bound != queue or left <= 0:
            waiting = count()
            if waiting >= queue:
                raise Full(f"{waiting} runs of it are waiting", 10.0)
            left = max((queue - waiting) // 10, 1)
        self._left[hook] = queue, left - 1


class _Raced(Exception):
    """Another machine has recorded the same delivery just now."""


def record(db: Db, jobs: Sequence[Recording], room: Room, by: str, *, again: bool) -> None:
    """Keep runs; what came of each is `told`. `by` is who waits for some of them.

    With `again`, some may have been kept before.
    """
    if again:
        there = {run_id for (run_id,) in rows(db, PRESENT, ([job.run_id for job in jobs],))}
        for job in jobs:
            if job.run_id in there:
                job.told = Recorded(job.run_id)
    left = [job for job in jobs if job.told is None]
    plain = [job for job in left if not job.new.seal and job.terms.rate is None]
    _record_plain(db, plain, room, by)
    left = [job for job in left if job.told is None]
    for _ in range(MOST_RACES):
        if not left:
            return
        try:
            with db.transaction():
                closely = _Closely(db, left, room, by)
                told = [closely.take(job) for job in left]
                closely.write()
        except _Raced:
            continue
        for job, one in zip(left, told, strict=True):
            job.told = one
        return
    raise JournalUnavailable("other machines record the same deliveries")


def insert(db: Db, new: NewRun, run_id: str) -> None:
    """Keep a run, whatever else there is."""
    _insert(db, [(run_id, new, "")])


def _record_plain(db: Db, jobs: Sequence[Recording], room: Room, by: str) -> None:
    """Insert what no other is like; what is left is to be looked at more closely."""
    chosen: list[Recording] = []
    keys: set[tuple[str, str]] = set()
    pending: Counter[str] = Counter()
    for job in jobs:
        if job.new.dedupe_key and job.key in keys:
            continue
        try:
            _take_room(db, job, room, pending)
        except Full as full:
            if not job.new.dedupe_key:
                job.told = full
            continue
        keys.add(job.key)
        chosen.append(job)
    kept_ids = _insert(db, [(job.run_id, job.new, by if job.ended else "") for job in chosen])
    for job in chosen:
        if job.run_id in kept_ids:
            job.told = Recorded(job.run_id)


class _Closely:
    """Deliveries that may be repeats, sealed or paced, looked at in one transaction."""

    def __init__(self, db: Db, jobs: Sequence[Recording], room: Room, by: str) -> None:
        self.db, self.room, self.by = db, room, by
        [[self.now]] = rows(db, CLOCK)
        self.seals = _sealed(db, jobs, self.now)
        self.firsts = _joined(db, jobs)
        self.paces = _paces(db, jobs)
        self.fresh: dict[str, tuple[str, NewRun, str]] = {}
        self.superseded: list[str] = []
        self.sealed: dict[tuple[str, str], tuple[str, float]] = {}
        self.pending: Counter[str] = Counter()

    def take(self, job: Recording) -> Recorded | Full:
        """What comes of a delivery once the transaction is committed."""
        new = job.new
        if new.seal and job.seal in self.seals:
            return Recorded(self.seals[job.seal], joined=True)
        first, state, recorded_at = self.firsts.get(job.key, ("", "", 0.0))
        joined = repeats = False
        if first:
            joined, repeats = joins(state, self.now - recorded_at, new.dedupe_for)
        if not joined:
            try:
                self._make_room(job)
            except Full as full:
                return full
            self._add(job, first, replaces=first if repeats else "")
        run_id = first if joined else job.run_id
        if new.seal:
            self.seals[job.seal] = run_id
            self.sealed[job.seal] = run_id, self.now + new.sealed_for
        return Recorded(run_id, joined=joined)

    def write(self) -> None:
        """Write down what has been taken. Raises _Raced."""
        if self.superseded:
            run(self.db, SUPERSEDE, (sorted(self.superseded),))
        # The same order everywhere: who waits for another's row must not be waited for.
        in_order = sorted(self.fresh.values(), key=lambda row: (row[1].hook, row[1].dedupe_key))
        kept_ids = _insert(self.db, in_order)
        if len(kept_ids) < len(self.fresh) or not _seal(self.db, self.sealed, self.now):
            raise _Raced
        if self.paces:
            run(self.db, PACED, (list(self.paces), list(self.paces.values())))

    def _make_room(self, job: Recording) -> None:
        """Count one more of its hook. Raises Full."""
        hook, rate = job.new.hook, job.terms.rate
        free_at = paced(rate, self.paces.get(hook), self.now) if rate else None
        _take_room(self.db, job, self.room, self.pending)
        if free_at is not None:
            self.paces[hook] = free_at

    def _add(self, job: Recording, first: str, *, replaces: str) -> None:
        """A run of its own, in the place of the `first` of its name, if there is one."""
        if first in self.fresh:  # it has a name, and lives no more than a moment
            old_id, old, waits = self.fresh[first]
            self.fresh[first] = old_id, replace(old, dedupe_key=""), waits
        elif first:
            self.superseded.append(first)
        new = replace(job.new, replaces=job.new.replaces or replaces)
        self.fresh[job.run_id] = job.run_id, new, self.by if job.ended else ""
        if new.dedupe_key:
            self.firsts[job.key] = job.run_id, "queued", self.now


def _take_room(db: Db, job: Recording, room: Room, pending: Counter[str]) -> None:
    hook, queue = job.new.hook, job.terms.queue

    def count() -> int:
        [[waiting]] = rows(db, WAITING, (hook, queue))
        return min(int(waiting) + pending[hook], queue)

    room.take(hook, queue, count)
    pending[hook] += 1


def _sealed(db: Db, jobs: Sequence[Recording], now: float) -> dict[tuple[str, str], str]:
    seals = [job.seal for job in jobs if job.new.seal]
    found = rows(db, SEALED, (*_columns(seals, 2), now)) if seals else []
    return {(hook, seal): run_id for hook, seal, run_id in found}


def _joined(db: Db, jobs: Sequence[Recording]) -> dict[tuple[str, str], tuple[str, str, float]]:
    """Each delivery's first run, by what a repeat has in common with it."""
    keys = [(job.new.hook, kept(job.new.dedupe_key)) for job in jobs if job.new.dedupe_key]
    found = rows(db, JOINED, _columns(sorted(set(keys)), 2)) if keys else []
    return {(hook, key): (run_id, state, at) for hook, key, run_id, state, at in found}


def _paces(db: Db, jobs: Sequence[Recording]) -> dict[str, float]:
    hooks = sorted({job.new.hook for job in jobs if job.terms.rate})
    return dict(rows(db, PACES, (hooks,))) if hooks else {}


def _seal(db: Db, sealed: dict[tuple[str, str], tuple[str, float]], now: float) -> bool:
    """Remember signed deliveries; False if another machine has one of them."""
    if not sealed:
        return True
    found = [(*key, *value) for key, value in sealed.items()]
    return len(rows(db, SEAL, (*_columns(found, 4), now))) == len(sealed)


def _insert(db: Db, fresh: Collection[tuple[str, NewRun, str]]) -> set[str]:
    """Which of the runs were kept: all, but those of which there is one by the same name."""
    if not fresh:
        return set()
    new = [_row(n, *each) for n, each in enumerate(fresh, 1)]
    given = {
        "new": json.dumps(new, ensure_ascii=False),
        "bodies": [new.body for _, new, _ in fresh],
    }
    return {run_id for (run_id,) in rows(db, INSERT, given)}


def _row(n: int, run_id: str, new: NewRun, awaited_by: str) -> dict[str, object]:
    return {
        "n": n,
        "id": run_id,
        "hook": new.hook,
        "awaited_by": awaited_by,
        "dedupe_key": kept(new.dedupe_key),
        "replaces": new.replaces,
        "method": new.method,
        "path": kept(new.path),
        "params": json.dumps(dict(new.params)),
        "query": kept(new.query),
        "headers": json.dumps(dict(new.headers)),
        "content_type": kept(new.content_type),
        "remote_addr": new.remote_addr,
        "delivery_id": kept(new.delivery_id),
        "event": kept(new.event),
    }


def _columns(found: Sequence[tuple[Any, ...]], most: int) -> list[list[Any]]:
    """Rows turned into columns, for `unnest`."""
    return [[row[n] for row in found] for n in range(most)]
