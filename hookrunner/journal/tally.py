"""What goes on, counted: how runs ended, and how long scripts took, by the half hour."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from hookrunner.model import Activity, Overview, Run, State

SLOT = 1800
"""Seconds of a slot of `tally` and `took`."""

SLOTS = 48
KEPT_SLOTS = 2 * SLOTS

MOST_LIVE = 20
MOST_COUNTED = 100_000
MOST_PLACED = 2000
"""Queued and running runs that find their place in time: each has to be looked up."""

# A duration's two first digits, in milliseconds: no more than that is needed of a percentile,
# and so a day's durations are some dozens of rows.
ROUNDED = """
CASE WHEN {ms} < 100 THEN {ms} WHEN {ms} < 1000 THEN {ms} / 10 * 10
     WHEN {ms} < 10000 THEN {ms} / 100 * 100 WHEN {ms} < 100000 THEN {ms} / 1000 * 1000
     WHEN {ms} < 1000000 THEN {ms} / 10000 * 10000 WHEN {ms} < 10000000 THEN {ms} / 100000 * 100000
     ELSE {ms} / 1000000 * 1000000 END
"""


def rounded(ms: str) -> str:
    """SQL for a duration rounded so, of SQL for whole milliseconds."""
    return ROUNDED.format(ms=ms)


@dataclass(frozen=True, slots=True)
class Counted:
    """What has been counted, as it stands in the tables."""

    now: int
    """The slot of this moment."""

    tally: Iterable[tuple[int, str, str, int]]
    """By slot, hook and state: how many runs have ended."""

    took: Iterable[tuple[str, int, int]]
    """By hook and milliseconds: how many attempts took so long."""

    waiting: Mapping[State, Mapping[str, int]]
    """How many run, and are queued, by hook."""

    live: Iterable[tuple[State, int]]
    """The state and the slot of those that run, or are queued."""


def overview(counted: Counted, last: Mapping[str, Run | None], shown: Sequence[Run]) -> Overview:
    """What goes on with the hooks of which these are the last runs."""
    slots: dict[int, dict[State, int]] = {counted.now - ago: {} for ago in reversed(range(SLOTS))}
    ended: dict[str, dict[State, int]] = defaultdict(lambda: defaultdict(int))
    took: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for slot, hook, state, n in counted.tally:
        ended[hook][State(state)] += n
        _count(slots, slot, State(state), n)
    for hook, ms, n in counted.took:
        took[hook].append((ms, n))
    for live, slot in counted.live:
        _count(slots, slot, live, 1)
    return Overview(
        {
            hook: Activity(
                run,
                dict(ended[hook]),
                percentile(took[hook], 0.5),
                percentile(took[hook], 0.95),
                counted.waiting[State.QUEUED].get(hook, 0),
                counted.waiting[State.RUNNING].get(hook, 0),
            )
            for hook, run in last.items()
        },
        [(float(slot * SLOT), states) for slot, states in slots.items()],
        shown,
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
