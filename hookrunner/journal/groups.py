"""Work that is done together: what is asked for while some is being done is done next, at once.

So a commit, and the way to the database and back, are shared by all who wait for them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

J = TypeVar("J")

MOST = 500
MOST_BYTES = 8 * 1024 * 1024
"""What is done at once, at the most."""


class Group(Generic[J]):
    """Does jobs on a thread of its own, many at a time, in the order of asking."""

    def __init__(
        self, name: str, work: Callable[[Sequence[J]], None], size: Callable[[J], int]
    ) -> None:
        """`work` must not raise; `size` says how many bytes a job is about."""
        self._work = work
        self._size = size
        self._jobs: deque[J] = deque()
        self._closing = False
        self._asked = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

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

    def _run(self) -> None:
        while batch := self._take():
            self._work(batch)

    def _take(self) -> list[J]:
        with self._asked:
            while not self._jobs and not self._closing:
                self._asked.wait()
            batch: list[J] = []
            size = 0
            while self._jobs and len(batch) < MOST and (not batch or size < MOST_BYTES):
                batch.append(self._jobs.popleft())
                size += self._size(batch[-1])
            return batch
