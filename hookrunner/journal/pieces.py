"""Where in what is kept of an output something stands: head, a line about a gap, tail."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hookrunner.model import Piece

GAP = re.compile(rb"\n\[\.\.\. (\d+) bytes left out \.\.\.\]\n")
LEFT_OUT = re.compile(rb"\n\[\.\.\. ([0-9]{1,15}) bytes left out \.\.\.\]\n")
LONGEST_LEFT_OUT = 64


MIDDLE = 80
"""Bytes in the middle of an output, where a line says what was left out."""


def middle_at(length: int) -> int:
    """Where the middle of what is kept begins."""
    return max(length // 2 - 39, 1) - 1


class Kept:
    """How what is kept of an output lies in it: head, perhaps a line about a gap, tail.

    `launch.output` makes them of the same length, which tells that line from one of a script's.
    """

    def __init__(self, length: int, middle: bytes) -> None:
        """`middle` are up to 80 bytes of it, of which the 40th is the middle one."""
        self.head, self.line, self.left_out = length, 0, 0
        before = middle_at(length)
        for found in GAP.finditer(middle):
            head = before + found.start()
            tail = length - before - found.end()
            if tail - head in (0, 1):
                self.head, self.line, self.left_out = head, len(found[0]), int(found[1])
        self.end = length - self.line + self.left_out


class Cut:
    """Which bytes of what is kept hold the output from a place on."""

    def __init__(self, kept: Kept, place: int, lead: int, most: int) -> None:
        self.end = kept.end
        place = min(place, kept.end)  # SQLite counts to 2**31
        self.start = max(place - lead, 0)
        tail = kept.head + kept.left_out
        if place < kept.head or not kept.left_out:
            self.first = min(self.start, kept.head)
            self.size = max(min(place + most, kept.head) - self.first, 0)
            self.left_out = kept.left_out if self.first + self.size == kept.head else 0
        elif place < tail:  # nothing but to say how much is missing from there on
            self.first, self.size, self.start, self.left_out = 0, 0, place, tail - place
        else:
            self.start = max(self.start, tail)
            self.first = self.start - kept.left_out + kept.line
            self.size = max(place + most - self.start, 0)
            self.left_out = 0

    def piece(self, text: bytes) -> Piece:
        return Piece(text, self.start, self.end, self.left_out)


@dataclass(frozen=True, slots=True)
class Place:
    """Where in what is kept goes on what has been sent: from `first` to `end`; see Fresh."""

    first: int
    end: int
    at: int
    left_out: int = 0
    is_head: bool = False
    """True if what comes after `end` has not been kept."""


def place(sent: int, size: int, head: int, marker: re.Match[bytes] | None) -> Place:
    if marker is None:
        return Place(min(sent, size), size, min(sent, size))
    if sent < head:
        return Place(sent, head, sent, is_head=True)
    missing, written = int(marker[1]), len(marker[0])
    tail = head + missing
    if sent < tail:
        return Place(head + written, size, tail, tail - sent)
    first = min(head + written + sent - tail, size)
    return Place(first, size, first - head - written + tail)
