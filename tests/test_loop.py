"""One thread that waits for many things, and does one after the other."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from hookrunner.loop import Loop, Timers

SECONDS = 20.0


class Faults(list[Exception]):
    """What steps have raised."""


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def loop(faults: Faults) -> Iterator[Loop]:
    loop = Loop("loop", faults.append)
    yield loop
    loop.close()


def answer_of(told: SimpleQueue[object]) -> object:
    return told.get(timeout=SECONDS)


def test_steps_are_taken_in_the_order_in_which_they_were_asked_for(loop: Loop) -> None:
    told: SimpleQueue[object] = SimpleQueue()
    for number in range(100):
        loop.soon(lambda number=number: told.put(number))  # type: ignore[misc]

    assert [answer_of(told) for _ in range(100)] == list(range(100))


def test_every_step_is_taken_by_the_one_thread(loop: Loop) -> None:
    told: SimpleQueue[object] = SimpleQueue()

    def ask() -> None:
        for _ in range(200):
            loop.soon(lambda: told.put(threading.get_ident()))

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()

    assert len({answer_of(told) for _ in range(800)}) == 1


def test_a_step_may_ask_for_another(loop: Loop) -> None:
    told: SimpleQueue[object] = SimpleQueue()
    loop.soon(lambda: loop.soon(lambda: told.put("second")))

    assert answer_of(told) == "second"


def test_what_is_written_to_a_watched_descriptor_is_noticed(loop: Loop) -> None:
    told: SimpleQueue[object] = SimpleQueue()
    reading, writing = os.pipe()
    loop.soon(lambda: loop.watch(reading, lambda: told.put(os.read(reading, 10))))

    for word in (b"one", b"two"):
        os.write(writing, word)
        assert answer_of(told) == word

    loop.soon(lambda: loop.unwatch(reading))
    loop.soon(lambda: told.put("not watched"))
    assert answer_of(told) == "not watched"
    os.write(writing, b"three")
    loop.soon(lambda: told.put("nothing else"))
    assert answer_of(told) == "nothing else"
    os.close(reading)
    os.close(writing)


def test_what_is_to_be_done_later_is_done_in_the_order_of_its_time(loop: Loop) -> None:
    told: SimpleQueue[object] = SimpleQueue()

    def ask() -> None:
        for seconds in (0.02, 0.0, 0.01):
            loop.after(seconds, lambda seconds=seconds: told.put(seconds))  # type: ignore[misc]

    loop.soon(ask)
    assert [answer_of(told) for _ in range(3)] == [0.0, 0.01, 0.02]


def test_what_was_called_off_is_not_done(loop: Loop) -> None:
    told: SimpleQueue[object] = SimpleQueue()

    def ask() -> None:
        loop.after(0.0, lambda: told.put("called off"))()
        loop.after(0.001, lambda: told.put("done"))

    loop.soon(ask)
    assert answer_of(told) == "done"


def test_a_step_that_raises_is_told_of_and_the_next_is_taken(loop: Loop, faults: Faults) -> None:
    told: SimpleQueue[object] = SimpleQueue()
    loop.soon(lambda: 1 / 0)
    loop.soon(lambda: loop.after(0.0, lambda: [][1]))
    loop.soon(lambda: loop.after(0.001, lambda: told.put("goes on")))

    assert answer_of(told) == "goes on"
    assert [type(fault) for fault in faults] == [ZeroDivisionError, IndexError]


def test_what_was_asked_for_before_the_end_is_done(faults: Faults) -> None:
    told: list[int] = []
    loop = Loop("loop", faults.append)
    for number in range(1000):
        loop.soon(lambda number=number: told.append(number))  # type: ignore[misc]
    loop.close()

    assert told == list(range(1000))


def test_a_loop_leaves_no_descriptor_open(faults: Faults) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    Loop("loop", faults.append).close()

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_patience_ends_with_the_first_timer() -> None:
    timers = Timers()
    assert timers.patience(5.0) == 5.0
    timers.add(1000.0, lambda: None)
    assert timers.patience(5.0) == 5.0
    timers.add(0.0, lambda: None)
    assert timers.patience(5.0) == 0.0
