"""What goes on, counted: how runs ended, and how long scripts took, by the half hour."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from hookrunner.model import Activity, Overview, Run, State

SLOT = 1800
"""Seconds of a slot of `tally`; those of `took` bear the number of the first that they hold."""

SLOTS = 48
COARSE = 4
"""Slots of `tally` that are one of `took`."""

KEPT_SLOTS = SLOTS + 2 * COARSE

MOST_LIVE = 20
MOST_COUNTED = 100_000
MOST_PLACED = 2000
"""Queued and running runs that find their place in time: each has to be looked up."""

# Durations are rounded down by less than a tenth: no more than that is needed of a percentile,
# and so a day's are some dozens of rows.
STEPS = {
    20: 1, 50: 2, 100: 5, 200: 10, 500: 20, 1000: 50, 2000: 100, 5000: 200, 10_000: 500,
    20_000: 1000, 50_000: 2000, 100_000: 5000, 1_000_000: 50_000, 10_000_000: 500_000,
}  # fmt: skip
"""Up to how many milliseconds they are rounded to how many."""

LONGEST_STEP = 1_000_000


def rounded(ms: str) -> str:
    """SQL for a duration rounded so, of SQL for whole milliseconds."""
    cases = " ".join(
        f"WHEN {ms} < {top} THEN {ms} / {step} * {step}" for top, step in STEPS.items()
    )
    return f"CASE {cases} ELSE {ms} / {LONGEST_STEP} * {LONGEST_STEP} END"


@dataclass(frozen=True, slots=True)
class Counted:
    """What has been counted, as it stands in the tables."""

    now: int
    """The slot of this moment."""

    slots: Iterable[tuple[int, str, int]]
    """By slot and state: how many runs have ended."""

    ended: Iterable[tuple[str, str, int]]
    """By hook and state: how many runs have ended."""

    took: Iterable[tuple[str, int, int]]
    """By hook and milliseconds: how many attempts took so long."""

    waiting: Mapping[State, Mapping[str, int]]
    """How many run, and are queued, by hook."""

    live: Iterable[tuple[State, int]]
    """The state and the slot of those that run, or are queued."""


def overview(counted: Counted, last: Mapping[str, Run | None], shown: Sequence[Run]) -> Overview:
    """What goes on with the hooks of which these are the last runs."""
    slots: dict[int, dict[State, int]] = {counted.now - ago: {} for ago in reversed(range(SLOTS))}
    ended: dict[str, dict[State, int]] = defaultdict(dict)
    took: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for slot, state, n in counted.slots:
        _count(slots, slot, State(state), n)
    for hook, state, n in counted.ended:
        ended[hook][State(state)] = n
    for hook, ms, n in counted.took:
        took[hook].append((ms, n))
    for live, slot in counted.live:
        _count(slots, slot, live, 1)
    return Overview(
        {
            hook: Activity(
                run,
                ended[hook],
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
