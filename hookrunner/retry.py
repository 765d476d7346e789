"""Whether a failed run is tried again, and when.

A retry is for scripts that fail. A run that was cut off by a crash or a stop of ours did
not fail: the journal runs it again by itself, without charging an attempt.
"""

from __future__ import annotations

from collections.abc import Callable
from random import random

from hookrunner.model import Outcome, Retry, State

SPREAD = 0.2
"""How much of a delay is left to chance, either way: runs that failed together, because
the same thing was down, must not all come back together."""


def delay(
    retry: Retry, failures: int, outcome: Outcome, chance: Callable[[], float] = random
) -> float | None:
    """Seconds until the next attempt, after `failures` in all; None if there is to be none.

    `chance` gives a number from 0 to 1.
    """
    if outcome.state is not State.FAILED or failures >= retry.attempts:
        return None
    # The longest is aimed at from below, so that chance does not carry it beyond `max`.
    wait = min(_grown(retry, failures), retry.max / (1 + SPREAD))
    return wait * (1 - SPREAD + 2 * SPREAD * chance())


def _grown(retry: Retry, failures: int) -> float:
    try:
        return retry.delay * retry.factor ** (failures - 1)
    except OverflowError:  # a factor to the 5000th power is no float
        return retry.max if retry.delay else 0.0
