"""What a verb prints: tables and colour on a terminal, plain text into a pipe, JSON when asked.

Much of it is by strangers: payloads, headers, what scripts have printed. What could move a
terminal's cursor, hide text or turn it around is shown as \\x1b or \\u202e; only a `Line`
goes out as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar

from hookrunner.model import Json, Trouble

T = TypeVar("T")

UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters (C0 but for tab and line feed, DEL, C1), those that turn text around
(https://trojansource.codes), and what no encoding has."""

SGR = re.compile("(\x1b\\[[0-9;]{0,32}m)")
"""A sequence that sets a colour and does nothing else (ECMA-48 §8.3.117)."""

COLOURS = {
    "succeeded": "32",
    "on": "32",
    "failed": "31",
    "off": "31",
    "running": "36",
    "queued": "33",
    "cancelled": "35",
}
"""ANSI colours (ECMA-48 §8.3.117) of a state, which also says it in words."""


class Line(str):
    """A text that may be printed as it is: what is a stranger's in it has been made visible."""


def line(*parts: str) -> Line:
    """One line of these parts; those that are no Line are made visible, line ends too."""
    return Line("".join(p if isinstance(p, Line) else visible(p, "\n") for p in parts))


def printed(text: str) -> Line:
    """A line that a script has printed: on a terminal it keeps its colours."""
    if not looked_at():
        return line(text)
    parts = [Line(part) if SGR.fullmatch(part) else part for part in SGR.split(text)]
    return line(*parts, Line("\x1b[0m") if len(parts) > 1 else "")


def visible(text: str, more: str = "") -> str:
    """The text with what is unsafe written out; `more` are further characters that are."""
    text = UNSAFE.sub(_written_out, text)
    return text.replace("\n", "\\n") if more else text


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def add_json(parser: argparse.ArgumentParser) -> None:
    """Let the verb be asked for JSON."""
    parser.add_argument("--json", action="store_true", help="print JSON, for programs to read")


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns, states in colour if somebody looks."""
    whole = [[line(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(map(len, column)) for column in zip(*whole, strict=True)]
    lines = []
    for number, row in enumerate(whole):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[-1] = cells[-1].rstrip()
        styled = [bold(cell) if number == 0 else coloured(cell) for cell in cells]
        lines.append(Line("  ".join(styled).rstrip()))
    show(lines)


def show(lines: Iterable[str]) -> None:
    """Print lines. Raises Trouble if nobody takes them, BrokenPipeError if nobody reads on."""
    for each in lines:
        with _out():
            print(each if isinstance(each, Line) else visible(each))
    with _out():
        print(end="", flush=True)


def show_raw(raw: bytes) -> None:
    """Print bytes as they are, for a file or a program."""
    with _out():
        sys.stdout.flush()
        sys.stdout.buffer.write(raw)
        sys.stdout.buffer.flush()


@contextmanager
def _out() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # Python flushes once more when it ends, and would fail with a traceback of its own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # `head` has seen enough
            raise
        raise Trouble(f"the output cannot be shown: {error.strerror}") from None


def show_json(said: Json) -> None:
    """Print a value as JSON."""
    text = json.dumps(said, ensure_ascii=False, indent=2)
    # What JSON lets stand for itself, a terminal may not.
    show([Line(UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text))])


def progress(done: Iterable[T], total: int) -> Iterator[T]:
    """What is done, with a bar on stderr if somebody looks."""
    from tqdm import tqdm  # imported late: only who sends many times needs it

    return iter(tqdm(done, total=total, disable=None, unit=" sent"))


def complain(lines: Iterable[str]) -> None:
    """Say what is wrong, on stderr."""
    with suppress(OSError):  # there is nobody left to be told
        for each in lines:
            print(visible(each), file=sys.stderr)


def coloured(text: str) -> Line:
    """A state in its colour, where there are colours."""
    colour = COLOURS.get(text.strip())
    return Line(f"\x1b[{colour}m{text}\x1b[0m") if colour and looked_at() else line(text)


def bold(text: str) -> Line:
    return line(Line("\x1b[1m"), text, Line("\x1b[0m")) if looked_at() else line(text)


def looked_at() -> bool:
    """True if stdout is a terminal whose user wants colours (https://no-color.org)."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not plain
