"""A text as whoever decodes it will read it, and where in the text each part of that stands.

Escapes are those of JSON strings (RFC 8259 §7) and of forms (percent-encoding, `+`), and one
within the other: a form may hold JSON, and a JSON string may hold JSON.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

JSON = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|\\u[0-9a-fA-F]{4}"
    rb'|\\["\\/bfnrt]'
)
PERCENT = re.compile(rb"%[0-9a-fA-F]{2}")
FORM = re.compile(rb"%[0-9a-fA-F]{2}|\+")


@dataclass(slots=True)
class Reading:
    """A text that has been decoded, once or twice."""

    text: bytes
    before: Reading | None = None
    """What it was decoded from; None for the text itself."""

    ends: list[int] = field(default_factory=lambda: [0])
    """Places at which an escape begins or ends, in order; and the same places before."""

    ends_before: list[int] = field(default_factory=lambda: [0])

    def place(self, place: int) -> int:
        """Where in the text itself something stands."""
        if self.before is None:
            return place
        at = bisect_right(self.ends, place) - 1
        return self.before.place(self.ends_before[at] + place - self.ends[at])


def readings(text: bytes) -> Iterator[Reading]:
    """The text itself, and the ways to decode it if there is anything to be decoded."""
    yield (itself := Reading(text))
    for escapes, meaning in ((JSON, _of_json), (PERCENT, _of_form), (FORM, _of_form)):
        if escapes is FORM and b"+" not in text:
            continue  # the same as percent-encoding
        if once := _read(itself, escapes, meaning):
            yield once
            if twice := _read(once, JSON, _of_json):
                yield twice


def _read(
    before: Reading, escapes: re.Pattern[bytes], meaning: Callable[[bytes], bytes]
) -> Reading | None:
    """The text with these escapes decoded; None if there are none."""
    read = Reading(b"", before)
    parts, size, done = [], 0, 0
    for found in escapes.finditer(before.text):
        meant = meaning(found[0])
        parts += [before.text[done : found.start()], meant]
        size += found.start() - done
        read.ends += [size, size + len(meant)]
        read.ends_before += found.span()
        size, done = size + len(meant), found.end()
    if not done:
        return None
    read.text = b"".join([*parts, before.text[done:]])
    return read


def _of_json(escape: bytes) -> bytes:
    return str(json.loads(b'"%s"' % escape)).encode("utf-8", "surrogatepass")


def _of_form(escape: bytes) -> bytes:
    return b" " if escape == b"+" else bytes.fromhex(escape[1:].decode())
