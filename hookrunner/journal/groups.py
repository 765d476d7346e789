"""Work that is done together: what is asked for while some is being done is done next, at once.

So a commit, and the way to the database and back, are shared by all who wait for them.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

J = TypeVar("J")

MOST = 500
MOST_BYTES = 8 * 1024 * 1024
"""What is done at once, at the most."""

LOOK = 1.0
"""Seconds between two looks whether anything comes of what is being done."""


class Group(Generic[J]):
    """Does jobs on a thread of its own, many at a time, in the order of asking."""

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[J]], None],
        size: Callable[[J], int],
        give_up: Callable[[Sequence[J]], None] | None = None,
        patience: float = 0.0,
    ) -> None:
        """`work` must not raise; `size` says how many bytes a job is about.

        If it has worked on some for longer than `patience`, `give_up` is called with those, again
        and again until something comes of them, and with what waits behind them: that is not
        done any more.
        """
        self._work = work
        self._size = size
        self._give_up = give_up
        self._patience = patience
        self._batch: list[J] = []
        self._began = 0.0
        self._over = threading.Event()
        self._jobs: deque[J] = deque()
        self._closing = False
        self._asked = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        if give_up:
            threading.Thread(target=self._watch, name=f"{name} watch", daemon=True).start()

    def ask(self, job: J) -> bool:
        """Have it done, soon. False if nothing is done any more."""
        with self._asked:
            if self._closing:
                return False
            self._jobs.append(job)
            self._asked.notify()
            return True

    def close(self) -> None:
        """Do what has been asked for, and end."""
        with self._asked:
            self._closing = True
            self._asked.notify()
        self._thread.join()
        self._over.set()

    def _run(self) -> None:
        while batch := self._take():
            self._work(batch)

    def _watch(self) -> None:
        while not self._over.wait(min(self._patience, LOOK)):
            with self._asked:
                if not self._batch or time.monotonic() - self._began < self._patience:
                    continue
                given_up = [*self._batch, *self._jobs]
                self._jobs.clear()
            if self._give_up:
                self._give_up(given_up)

    def _take(self) -> list[J]:
        with self._asked:
            self._batch = []
            while not self._jobs and not self._closing:
                self._asked.wait()
            batch: list[J] = []
            size = 0
            while self._jobs and len(batch) < MOST and (not batch or size < MOST_BYTES):
                batch.append(self._jobs.popleft())
                size += self._size(batch[-1])
            self._batch, self._began = batch, time.monotonic()
            return batch
