"""What has happened so far, counted where it happens, for whoever asks now and then.

To count takes no lock, since everybody who posts would wait for it: a number is changed in
place, with nothing called between reading it and writing it, and CPython changes threads at
calls and jumps alone (`tests/test_counts.py` holds it to that).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from hookrunner.model import Spread

SHORT = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Seconds between which a disk's work is told apart."""

LONG = (0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""The same of scripts, and of what waits for them."""


class Count:
    """How often things have happened, each named by some labels, which must be few."""

    def __init__(self) -> None:
        self._cells: dict[tuple[str, ...], list[int]] = {}

    def add(self, *labels: str) -> None:
        """It has happened once more; from any thread."""
        cell = self._cells.get(labels) or self._cells.setdefault(labels, [0])
        cell[0] += 1

    def seen(self) -> Mapping[tuple[str, ...], int]:
        """How often each has happened."""
        return {labels: cell[0] for labels, cell in list(self._cells.items())}


class Durations:
    """How long something has taken, each time."""

    __slots__ = ("_bounds", "_numbers", "_total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` are the seconds between which they are told apart."""
        self._bounds = tuple(bounds)
        self._numbers = [0] * (len(bounds) + 1)
        self._total = 0.0

    def add(self, seconds: float) -> None:
        """It has taken so long once more; from any thread."""
        place = bisect_left(self._bounds, seconds)
        self._numbers[place] += 1
        self._total += seconds

    def spread(self) -> Spread:
        """How they are spread by now."""
        return Spread(self._bounds, tuple(self._numbers), self._total)


class DurationsBy:
    """The same, for each of a few names."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._each: dict[str, Durations] = {}

    def add(self, name: str, seconds: float) -> None:
        """It has taken so long once more; from any thread."""
        each = self._each.get(name) or self._each.setdefault(name, Durations(self._bounds))
        each.add(seconds)

    def spreads(self) -> Mapping[str, Spread]:
        """How those of each name are spread by now."""
        return {name: each.spread() for name, each in list(self._each.items())}
