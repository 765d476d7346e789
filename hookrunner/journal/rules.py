"""What is decided about runs, whichever engine keeps them: values in, values out."""

from __future__ import annotations

from collections.abc import Callable

from hookrunner.model import Full, Rate, State

MOST_INTERRUPTIONS = 5
INTERRUPTED_TOO_OFTEN = f"interrupted {MOST_INTERRUPTIONS} times; it may be what ends the machine"
NOT_TO_RERUN = "interrupted; 'rerun: false' keeps it from meeting the script again"
LOST_HOOK = "its path left hooks.yaml"


def joins(state: str, age: float, dedupe_for: float) -> tuple[bool, bool]:
    """Whether a repeat joins the run it repeats; if not, whether it does that one again."""
    fresh = age <= dedupe_for
    joined = fresh and state not in (State.FAILED, State.CANCELLED)
    return joined, fresh and not joined


def cut_off(interruptions: int, rerun: bool) -> str:
    """What is told of a run that was interrupted for good; empty if it is due again."""
    if not rerun:
        return NOT_TO_RERUN
    return INTERRUPTED_TOO_OFTEN if interruptions >= MOST_INTERRUPTIONS else ""


def paced(rate: Rate, free_at: float | None, now: float) -> float:
    """Keep a rate: the generic cell rate algorithm. Raises Full.

    `free_at` is what was returned last for this hook; times are Unix seconds.
    """
    step = rate.seconds / rate.count
    # A clock that was set back must not shut the hook for longer than its whole period.
    since = now if free_at is None else min(max(free_at, now), now + rate.seconds)
    wait = since + step - now - rate.seconds
    if wait > 1e-3:  # a float that counts seconds since 1970 resolves no more than 2e-7
        raise Full("its rate is used up", wait, rate=True)
    return since + step


class Room:
    """Keeps the bound of each hook's queue, and counts what waits as seldom as it can.

    Counting takes as long as the queue is. So a count stands, and what is recorded comes on
    top, until the bound is reached; only then is it worth another. Claims made it too high
    meanwhile; too low it is by no more than was under way when it was made, and came back.
    """

    def __init__(self) -> None:
        self.waiting: dict[str, int] = {}

    def take(self, hook: str, queue: int, count: Callable[[], int]) -> None:
        """Count one more; `count` says how many wait, up to `queue`. Raises Full."""
        waiting = self.waiting.get(hook, queue)
        if waiting >= queue:
            waiting = count()
            if waiting >= queue:
                raise Full(f"{waiting} runs of it are waiting", 10.0)
        self.waiting[hook] = waiting + 1
