"""What a verb prints: tables and colour on a terminal, plain text into a pipe, JSON when asked."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from hookrunner.model import Json, Trouble

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")

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


def add_json(parser: argparse.ArgumentParser) -> None:
    """Let the verb be asked for JSON."""
    parser.add_argument("--json", action="store_true", help="print JSON, for programs to read")


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns, states in colour if somebody looks."""
    whole = [headings, *rows]
    widths = [max(map(len, column)) for column in zip(*whole, strict=True)]
    lines = []
    for number, row in enumerate(whole):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[-1] = cells[-1].rstrip()
        lines.append("  ".join(bold(c) if number == 0 else coloured(c) for c in cells).rstrip())
    show(lines)


def show(lines: Iterable[str]) -> None:
    """Print lines. Raises Trouble if nobody takes them."""
    try:
        for line in lines:
            print(line)
        print(end="", flush=True)
    except OSError as error:
        # Python flushes once more when it ends, and would fail with a traceback of its own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise Trouble(f"the output cannot be shown: {error.strerror}") from None


def show_json(said: Json) -> None:
    """Print a value as JSON."""
    show([json.dumps(said, ensure_ascii=False, indent=2)])


def progress(asked: Sequence[Future[T]]) -> Iterator[Future[T]]:
    """The futures as they are done, with a bar on stderr if somebody looks."""
    # Imported late: only who sends many times needs them.
    from concurrent.futures import as_completed

    from tqdm import tqdm

    return iter(tqdm(as_completed(asked), total=len(asked), disable=None, unit=" sent"))


def complain(lines: Iterable[str]) -> None:
    """Say what is wrong, on stderr."""
    with suppress(OSError):  # there is nobody left to be told
        for line in lines:
            print(line, file=sys.stderr)


def coloured(text: str) -> str:
    """A state in its colour, where there are colours."""
    colour = COLOURS.get(text.strip())
    return f"\x1b[{colour}m{text}\x1b[0m" if colour and _looked_at() else text


def bold(text: str) -> str:
    return f"\x1b[1m{text}\x1b[0m" if _looked_at() else text


def _looked_at() -> bool:
    """True if stdout is a terminal whose user wants colours (https://no-color.org)."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not plain
