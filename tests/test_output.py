"""What is kept of a script's output, whatever the portions in which it comes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hookrunner.launch.output import Capture
from hookrunner.mask import Masker


def kept(data: bytes, limit: int, portion: int) -> bytes:
    capture = Capture(limit)
    for part in portions(data, portion):
        capture.add(part)
    return capture.result()


def portions(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def numbered(size: int) -> bytes:
    """Bytes of which each tells where it stood."""
    return bytes(n % 251 for n in range(size))


def test_nothing_is_kept_of_nothing() -> None:
    capture = Capture(10)
    assert capture.result() == b""
    capture.add(b"")
    assert capture.result() == b""


@pytest.mark.parametrize("limit", [1, 2, 3, 10, 99, 100])
@pytest.mark.parametrize("portion", [1, 2, 7, 1000])
def test_output_up_to_the_limit_is_kept_whole(limit: int, portion: int) -> None:
    for size in range(limit + 1):
        assert kept(numbered(size), limit, portion) == numbered(size)


@pytest.mark.parametrize("limit", [2, 3, 10, 99])
@pytest.mark.parametrize("over", [1, 2, 50, 10_000])
@pytest.mark.parametrize("portion", [1, 7, 64, 100_000])
def test_beyond_it_head_and_tail_are_kept_and_a_line_says_how_much_is_gone(
    limit: int, over: int, portion: int
) -> None:
    data = numbered(limit + over)
    head, tail = data[: limit // 2], data[-(limit - limit // 2) :]
    assert kept(data, limit, portion) == (head + b"\n[... %d bytes left out ...]\n" % over + tail)


def test_a_limit_of_one_byte_keeps_the_last_one() -> None:
    assert kept(b"abc", 1, 1) == b"\n[... 2 bytes left out ...]\nc"


def test_the_result_may_be_asked_for_again_and_in_between() -> None:
    capture = Capture(4)
    capture.add(b"abcd")
    assert capture.result() == b"abcd"
    capture.add(b"efgh")
    assert capture.result() == capture.result() == b"ab\n[... 4 bytes left out ...]\ngh"


def test_one_portion_larger_than_everything_is_cut_likewise() -> None:
    data = numbered(1_000_000)
    assert kept(data, 1000, len(data)) == kept(data, 1000, 4096)


def test_no_more_is_held_than_was_to_be_kept_and_one_portion() -> None:
    capture = Capture(1000)
    for part in portions(numbered(1_000_000), 100):
        capture.add(part)
        assert len(capture.head) + sum(map(len, capture.tail)) <= 1100


SECRET = b"sesame"


@pytest.mark.parametrize("portion", [1, 5, 64, 1000])
@pytest.mark.parametrize("middle", [1, 3, 5, 20, 500])
def test_no_half_of_a_secret_stays_beside_what_is_left_out(middle: int, portion: int) -> None:
    limit = 40
    for place in range(limit + middle):
        data = bytearray(b"." * (limit + middle))
        data[place : place + len(SECRET)] = SECRET
        data = data[: limit + middle]
        capture = Capture(limit, Masker([SECRET.decode()]))
        for part in portions(bytes(data), portion):
            capture.add(part)
        head, line, tail = capture.result().partition(b"\n[... %d bytes left out ...]\n" % middle)
        assert line
        assert (len(head), len(tail)) == (20, 20)
        for end in (head, tail):
            left = end.replace(SECRET, b"").replace(b"*", b"").replace(b".", b"")
            ended = place + len(SECRET) > len(data)  # the script itself printed no more
            assert left == b"" or (ended and left == SECRET[: len(data) - place]), place


def test_what_only_looks_like_half_of_a_secret_stays() -> None:
    capture = Capture(12, Masker([SECRET.decode()]))
    capture.add(b"sesamsesam" + b"." * 10 + b"esame ame")
    assert capture.result() == b"sesams\n[... 17 bytes left out ...]\nme ame"
