"""Whether a failed run is tried again, and when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hookrunner.model import Outcome, Retry, State, Why
from hookrunner.retry import SPREAD, delay

FAILED = Outcome(State.FAILED, Why.EXIT, exit_code=3)
PATIENT = Retry(attempts=100, delay=10.0, factor=2.0, max=3600.0)


def middling() -> float:
    """The chance that leaves a delay as it is."""
    return 0.5


def delays(retry: Retry, *failures: int, chance: float = 0.5) -> list[float | None]:
    """The delay after each of so many failures."""
    return [delay(retry, count, FAILED, lambda: chance) for count in failures]


def test_a_run_is_not_tried_again_unless_its_hook_says_so() -> None:
    assert delay(Retry(), 1, FAILED) is None


def test_the_first_retry_comes_after_the_delay() -> None:
    assert delays(PATIENT, 1) == [10.0]


def test_each_further_delay_is_longer_by_the_factor() -> None:
    assert delays(PATIENT, 1, 2, 3, 4) == [10.0, 20.0, 40.0, 80.0]
    assert delays(replace(PATIENT, factor=1.5), 1, 2, 3) == [10.0, 15.0, 22.5]


def test_a_factor_of_one_leaves_every_delay_alike() -> None:
    assert delays(replace(PATIENT, factor=1.0), 1, 2, 99) == [10.0] * 3


def test_a_small_factor_still_counts_after_many_failures() -> None:
    slow = Retry(attempts=1000, delay=1.0, factor=1.01, max=3600.0)

    [after_500] = delays(slow, 500)

    assert after_500 == pytest.approx(1.01**499)


def test_there_are_as_many_attempts_as_the_hook_allows() -> None:
    assert delays(replace(PATIENT, attempts=3), 1, 2, 3, 4) == [10.0, 20.0, None, None]


@pytest.mark.parametrize("why", [why for why in Why if why is not Why.INTERRUPTED])
def test_a_failure_is_tried_again_whatever_its_cause(why: Why) -> None:
    assert delay(PATIENT, 1, Outcome(State.FAILED, why), middling) == 10.0


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.CANCELLED])
def test_what_has_not_failed_is_not_tried_again(state: State) -> None:
    assert delay(PATIENT, 1, Outcome(state)) is None


def test_chance_moves_a_delay_by_a_fifth_at_most() -> None:
    assert SPREAD == 0.2
    assert delays(PATIENT, 1, chance=0.0) == [pytest.approx(8.0)]
    assert delays(PATIENT, 1, chance=1.0) == [pytest.approx(12.0)]


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_no_delay_is_longer_than_the_longest(chance: float) -> None:
    waits = delays(PATIENT, *range(1, 100), chance=chance)

    assert all(wait is not None and 0 < wait <= PATIENT.max + 1e-9 for wait in waits)


def test_the_longest_delays_too_are_left_to_chance() -> None:
    [shortest], [longest] = delays(PATIENT, 99, chance=0.0), delays(PATIENT, 99, chance=1.0)

    assert longest == pytest.approx(3600.0)
    assert shortest == pytest.approx(2400.0)


def test_a_first_delay_beyond_the_longest_is_cut_too() -> None:
    assert delays(replace(PATIENT, max=6.0), 1, chance=1.0) == [pytest.approx(6.0)]


@pytest.mark.parametrize("factor", [1e3, 1e10, 1e300])
def test_a_huge_factor_is_no_more_than_the_longest_delay(factor: float) -> None:
    retry = Retry(attempts=10_000, delay=10.0, factor=factor, max=60.0)

    assert delays(retry, 2, 3, 50, 9_999, chance=1.0) == [pytest.approx(60.0)] * 4


def test_without_a_delay_no_factor_makes_one() -> None:
    retry = Retry(attempts=10_000, delay=0.0, factor=1e10)

    assert delays(retry, 1, 2, 9_999) == [0.0] * 3


def test_chance_is_taken_anew_for_each_delay() -> None:
    assert len({delay(PATIENT, 1, FAILED) for _ in range(20)}) > 1
