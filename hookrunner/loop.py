"""Many things waited for at once, and done one after the other.

Threads that each wait for one thing wake each other, and contend for the interpreter,
several times a run; one that waits for all of them does not. A Loop has a thread of its
own, or is driven by a thread that has more to wait for: it waits for `fileno` and takes
a `turn`. Whatever is asked of a Loop must be quick, for everything else waits meanwhile.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from heapq import heappop, heappush
from itertools import count

MOST_TIMEOUT = 3600.0
Step = Callable[[], object]


class Timers:
    """Steps to be taken later; for one thread."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, list[Step]]] = []
        self._numbers = count()

    def add(self, seconds: float, step: Step) -> Step:
        """Have it taken in so many seconds, unless what is returned is called before."""
        steps = [step]
        heappush(self._heap, (time.monotonic() + seconds, next(self._numbers), steps))
        return steps.clear

    def patience(self, most: float) -> float:
        """Seconds until the next is to be taken; `most` at most."""
        if not self._heap:
            return most
        return min(most, max(self._heap[0][0] - time.monotonic(), 0.0))

    def run(self) -> None:
        """Take those whose time has come."""
        now = time.monotonic()
        while self._heap and self._heap[0][0] <= now:
            for step in heappop(self._heap)[2]:
                step()


class Loop:
    """What is watched, and what is to be done."""

    def __init__(self, name: str, fault: Callable[[Exception], None], *, driven: bool = False):
        """Start it. `fault` is told what a step raises, which is a bug; the loop goes on.

        `driven`: there is no thread `name`; whoever made it takes turns.
        """
        self._fault = fault
        self._steps: deque[Step] = deque()
        self._timers = Timers()
        self._watched: dict[int, Step] = {}
        self._poll = select.epoll()
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._woken, False)
        self._poll.register(self._woken, select.EPOLLIN)
        self._asleep = False
        self._closing = False
        self._thread = None
        if not driven:
            self._thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._thread.start()

    def soon(self, step: Step) -> None:
        """Have a step taken; from any thread."""
        self._steps.append(step)
        if self._asleep:
            self._asleep = False
            os.write(self._wake, b"!")

    def after(self, seconds: float, step: Step) -> Step:
        """Have it taken in so many seconds, unless what is returned is called; from the loop."""
        return self._timers.add(seconds, step)

    def watch(self, fd: int, step: Step) -> None:
        """Take it whenever there is something to read, until `unwatch`; from the loop."""
        self._watched[fd] = step
        self._poll.register(fd, select.EPOLLIN)

    def unwatch(self, fd: int) -> None:
        """Before the descriptor is closed; from the loop."""
        if self._watched.pop(fd, None):
            self._poll.unregister(fd)

    def close(self) -> None:
        """Take the steps that have been asked for, and end."""
        self._closing = True
        self.soon(lambda: None)
        if self._thread is None:
            self._run()
        elif self._thread is not threading.current_thread():
            self._thread.join()

    def fileno(self) -> int:
        """What becomes readable when a turn is to be taken; who drives it waits for that."""
        return self._poll.fileno()

    def patience(self, most: float) -> float:
        """Seconds that who drives it may wait at most, having said so: from here on it is woken."""
        # Set before the steps are looked at: who adds one after that wakes us.
        self._asleep = True
        return 0.0 if self._steps else self._timers.patience(most)

    def turn(self, seconds: float) -> None:
        """Do what there is to do, or wait at most so long for something."""
        ready = self._poll.poll(self.patience(seconds))
        self._asleep = False
        for fd, _ in ready:
            if fd == self._woken:
                with suppress(BlockingIOError):
                    os.read(self._woken, 4096)
            elif step := self._watched.get(fd):
                self._take(step)
        self.take_steps()
        self.run_timers()

    def run_timers(self) -> None:
        """Take the steps whose time has come."""
        self._take(self._timers.run)

    def take_steps(self) -> None:
        """Take those that have been asked for by now, and look at nothing else."""
        self._asleep = False
        for _ in range(len(self._steps)):
            self._take(self._steps.popleft())

    def _run(self) -> None:
        while not self._closing or self._steps:
            self.turn(MOST_TIMEOUT)
        self._poll.close()
        os.close(self._woken)
        os.close(self._wake)

    def _take(self, step: Step) -> None:
        try:
            step()
        except Exception as error:
            self._fault(error)
