"""What is counted without a lock is not lost, and durations are spread as they are."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from hookrunner.counts import Count, Durations, DurationsBy
from hookrunner.model import Spread

THREADS, TIMES = 4, 50_000


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads that take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def crowd(work: Callable[[], None]) -> None:
    """Have it done by several threads at once, many times by each."""

    def often() -> None:
        for _ in range(TIMES):
            work()

    threads = [threading.Thread(target=often) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.usefixtures("restless")
def test_nothing_that_several_threads_count_is_lost() -> None:
    count = Count()

    crowd(lambda: count.add("/hello", "succeeded"))

    assert count.seen() == {("/hello", "succeeded"): THREADS * TIMES}


@pytest.mark.usefixtures("restless")
def test_no_duration_that_several_threads_add_is_lost() -> None:
    took = Durations((1.0, 2.0))

    crowd(lambda: took.add(1.5))

    assert took.spread() == Spread((1.0, 2.0), (0, THREADS * TIMES, 0), 1.5 * THREADS * TIMES)


def test_what_has_not_happened_is_not_there() -> None:
    assert Count().seen() == {}


def test_labels_are_counted_each_for_itself() -> None:
    count = Count()
    for labels in (("a", "b"), ("a", "c"), ("a", "b")):
        count.add(*labels)

    assert count.seen() == {("a", "b"): 2, ("a", "c"): 1}


@pytest.mark.parametrize(
    ("seconds", "numbers"),
    [(0.0, (1, 0, 0)), (1.0, (1, 0, 0)), (1.1, (0, 1, 0)), (2.0, (0, 1, 0)), (2.1, (0, 0, 1))],
)
def test_a_duration_counts_where_it_took_at_most_so_long(
    seconds: float, numbers: tuple[int, ...]
) -> None:
    took = Durations((1.0, 2.0))

    took.add(seconds)

    assert took.spread() == Spread((1.0, 2.0), numbers, seconds)


def test_durations_of_each_name_are_kept_apart() -> None:
    took = DurationsBy((1.0,))
    took.add("a", 0.5)
    took.add("b", 3.0)
    took.add("a", 2.0)

    assert took.spreads() == {
        "a": Spread((1.0,), (1, 1), 2.5),
        "b": Spread((1.0,), (0, 1), 3.0),
    }
