"""Refusals on their way into the journal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from hookrunner.model import Refusal

MOST_REFUSALS = 1000
MOST_NOTED = 100
NOTED_EVERY = 1.0
"""Refusals that are written down together, and how often, in seconds."""


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
