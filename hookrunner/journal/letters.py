"""Texts as PostgreSQL can keep them: it has no NUL in a text, and a sender may send one."""

from __future__ import annotations

from typing import Any

ESCAPE = "\U000f0000"
"""For private use (Unicode, chapter 23.5): nobody sends it, and if somebody does, it is kept."""


def kept(text: str) -> str:
    """The text without NUL; `read` gives it back."""
    if "\0" in text or ESCAPE in text:
        return text.replace(ESCAPE, ESCAPE + "1").replace("\0", ESCAPE + "0")
    return text


def read(text: str) -> str:
    """The text that was `kept`."""
    return text.replace(ESCAPE + "0", "\0").replace(ESCAPE + "1", ESCAPE)


def read_row(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row with all its texts read."""
    if any([type(value) is str and ESCAPE in value for value in row]):
        return tuple(read(value) if type(value) is str else value for value in row)
    return row
