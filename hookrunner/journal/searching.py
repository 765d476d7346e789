"""How a search goes from the newest run on, for so long and no longer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Protocol

from hookrunner.model import Search

FEW, MANY = 64, 8192
QUICKLY = 0.01
"""Runs that are looked at in one go: more, until that takes so many seconds."""


class Index(Protocol):
    """What a search walks along; `given` has all that is asked for."""

    def ends(self) -> tuple[int | None, int | None]:
        """The first seq and the last; None if there are no runs."""

    def first_after(self, seq: int) -> tuple[int, float] | None:
        """The first run from this seq on, and when it was recorded."""

    def walk(self, given: Mapping[str, object]) -> tuple[int, float] | None:
        """The seq and the time of the run `step` further on; None if there is none."""

    def pick(self, given: Mapping[str, object]) -> list[int]:
        """The runs that are looked for, from `before` to `last`; at most `most`."""


Stopped = tuple[list[int], int | None, float | None]
"""The runs found, what to go on before, and how far has been looked if time was up."""


def look(index: Index, search: Search) -> Stopped:
    """Find the newest that fit."""
    stop = time.perf_counter() + search.seconds
    first, end = _range(index, search)
    given: dict[str, object] = {
        "hook": search.hook,
        "state": search.state or "",
        "text": search.text.lower(),
        "since": search.since,
        "until": search.until,
        "first": first,
        "before": end if search.before is None else min(search.before, end),
    }
    found: list[int] = []
    step = FEW
    while True:
        began = time.perf_counter()
        last = index.walk({**given, "step": step - 1})
        given["last"] = last[0] if last else first
        # One more than is wanted tells whether there is any.
        found += index.pick({**given, "most": search.most + 1 - len(found)})
        now = time.perf_counter()
        if len(found) > search.most or last is None:
            break
        if now > stop:
            return found, *last
        given["before"] = last[0]
        step = min(step * 2, MANY) if now - began < QUICKLY else max(step // 2, FEW)
    more = len(found) > search.most
    found = found[: search.most]
    return found, found[-1] if more else None, None


def _range(index: Index, search: Search) -> tuple[int, int]:
    """The first seq that may be of interest, and the first that is so no more.

    Runs are recorded in the order of time; where the clock was set back, some are missed.
    """
    low, high = index.ends()
    if low is None or high is None:
        return 0, 0
    end = high + 1
    first = low if search.since is None else _first_at(index, low, end, search.since)
    return first, end if search.until is None else _first_at(index, first, end, search.until)


def _first_at(index: Index, low: int, high: int, moment: float) -> int:
    """The first seq, from `low` to `high`, that was recorded at this moment or later."""
    while low < high:
        middle = (low + high) // 2
        row = index.first_after(middle)
        if row is None or row[0] >= high or row[1] >= moment:
            high = middle
        else:
            low = row[0] + 1
    return low
