"""Durations and sizes: what is taken, what is refused, how they are shown."""

from __future__ import annotations

import pytest

from hookrunner import units


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("0s", 0.0),
        ("30s", 30.0),
        ("1.5s", 1.5),
        ("5m", 300.0),
        ("2h", 7200.0),
        ("7d", 604800.0),
        ("007s", 7.0),
    ],
)
def test_a_duration_is_a_number_and_its_unit(text: str, seconds: float) -> None:
    assert units.duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "count"),
    [("0B", 0), ("1B", 1), ("512KB", 524288), ("1.5KB", 1536), ("1MB", 1048576), ("2GB", 2**31)],
)
def test_a_size_is_a_number_and_its_unit_of_1024(text: str, count: int) -> None:
    assert units.size(text) == count


NEITHER = [
    "",
    "s",
    "5",
    " 5s",
    "5 s",
    "5s ",
    "5s\n",
    "-5s",
    "+5s",
    ".5s",
    "5.s",
    "5.1234s",
    "1e3s",
    "1_000s",
    "5S",
    "5sec",
    "5w",
    "5kb",
    "5K",
    "5M",
    "nan",
    "infs",
    "٣s",
    "³s",
    "0x1s",
    "1m30s",
    "5s\0",
    "9" * 10 + "s",
    "9" * 100_000 + "s",
]


@pytest.mark.parametrize("text", NEITHER, ids=lambda text: repr(text[:12]))
def test_anything_else_is_neither_a_duration_nor_a_size(text: str) -> None:
    with pytest.raises(ValueError):
        units.duration(text)
    with pytest.raises(ValueError):
        units.size(text)


def test_units_of_time_and_of_bytes_do_not_mix() -> None:
    with pytest.raises(ValueError):
        units.duration("5MB")
    with pytest.raises(ValueError):
        units.size("5m")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (0.04, "0.04s"),
        (0.12345, "0.123s"),
        (8.0, "8s"),
        (12.34, "12.3s"),
        (60, "1m"),
        (90, "90s"),
        (120, "2m"),
        (1234.5678, "1235s"),
        (3600, "1h"),
        (5400, "90m"),
        (86400, "1d"),
        (90000, "25h"),
        (604800, "7d"),
    ],
)
def test_a_duration_is_shown_the_shortest_way(seconds: float, shown: str) -> None:
    assert units.show_duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0B"), (1, "1B"), (1023, "1023B"), (1024, "1KB"), (1536, "1536B"), (1024**2, "1MB"),
     (1024**2 + 1, "1048577B"), (3 * 1024**3, "3GB")],
)  # fmt: skip
def test_a_size_is_shown_the_shortest_way(count: int, shown: str) -> None:
    assert units.show_size(count) == shown


@pytest.mark.parametrize("text", ["1s", "90s", "2m", "90m", "1h", "25h", "7d", "0.5s"])
def test_a_duration_that_was_shown_can_be_read_again(text: str) -> None:
    assert units.show_duration(units.duration(text)) == text


@pytest.mark.parametrize("text", ["1B", "1536B", "512KB", "1MB", "2GB"])
def test_a_size_that_was_shown_can_be_read_again(text: str) -> None:
    assert units.show_size(units.size(text)) == text
