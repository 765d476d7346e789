"""Secrets in a text, replaced by `****`, however the text was cut."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from urllib.parse import quote, quote_plus

from hookrunner.model import Json
from hookrunner.spelling import readings

SHORTEST_LINE = 6
"""Characters of a line of a longer secret that is masked by itself."""

HIDDEN = b"****"
ESCAPED = re.compile(rb"[\\%+]")
BEGINNING = 16
"""Bytes of a secret's beginning that are masked in a text that may have been cut; of a short
secret, half of it."""

SHORTEST_BEGINNING = 8

SAID = frozenset({"title", "summary", "description", "$comment"})
GIVEN = frozenset({"default", "example", "examples", "const", "enum"})
"""Keywords of JSON Schema that hold a text, and a value, and not what a schema works by."""

NAMED = frozenset({"properties", "patternProperties", "dependentSchemas", "schemas"})
"""Those below which every key is a name, and none a keyword."""


class Masker:
    """Replaces every known secret in a text with `****`."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = {form for secret in secrets for form in _forms(secret)}
        self.longest = max(map(len, known), default=1)
        # Longest first, so that a secret that contains another is masked whole.
        ordered = sorted(known, key=len, reverse=True)
        self.pattern = _any_of(ordered)
        lower = [each.lower() for each in ordered]
        self._begun = [each for each in lower if _beginning(each)]
        self._words = _any_of([*lower, *{_beginning(each) for each in self._begun}])

    def __call__(self, text: bytes) -> bytes:
        return self.pattern.sub(HIDDEN, text) if self.pattern else text

    def payload(self, raw: bytes) -> bytes:
        """What a stranger has sent, masked as it is and as it will be read once it is decoded.

        JSON stays JSON, and a form a form.
        """
        return _without(raw, self._found) if self.pattern else raw

    def text(self, said: str) -> str:
        """The same for words that may be in another case, and cut: beginnings are masked, too."""
        if self._words is None:
            return said
        raw = said.encode("utf-8", "surrogatepass")
        return _without(raw, self._found_said).decode("utf-8", "surrogatepass")

    def schema(self, contents: Json) -> Json:
        """A JSON Schema, or what holds some, with what it says and gives as an example masked."""
        return self._schema(contents, named=False) if self._words else contents

    def _schema(self, contents: Json, *, named: bool) -> Json:
        if isinstance(contents, list):
            return [self._schema(each, named=False) for each in contents]
        if not isinstance(contents, dict):
            return contents
        return {
            key: self._value(each)
            if not named and (key in GIVEN or (key in SAID and isinstance(each, str)))
            else self._schema(each, named=not named and key in NAMED)
            for key, each in contents.items()
        }

    def _value(self, value: Json) -> Json:
        if isinstance(value, list):
            return [self._value(each) for each in value]
        if isinstance(value, dict):
            return {self.text(key): self._value(each) for key, each in value.items()}
        return self.text(value) if isinstance(value, str) else value

    def across(self, text: bytes, place: int) -> tuple[int, int]:
        """The part of a text that a secret fills which lies across a place; empty if none does."""
        start = end = place
        for begin in range(max(place - self.longest + 1, 0), place) if self.pattern else ():
            found = self.pattern.match(text, begin) if self.pattern else None
            if found and found.end() > place:
                start, end = min(start, begin), max(end, found.end())
        return start, end

    def cut(self, text: bytes) -> tuple[bytes, bytes]:
        """Most of the text, masked, and an unmasked rest that goes before what comes next.

        The rest begins where a secret might begin whose end is still to come: cut
        anywhere else, a secret could be logged in two halves.
        """
        end = len(text) - self.longest
        while end > 0 and text[end] & 0xC0 == 0x80:  # not inside a character
            end -= 1
        masked, done = [], 0
        for found in self.pattern.finditer(text) if self.pattern else ():
            if found.start() >= end:
                break
            masked += [text[done : found.start()], HIDDEN]
            done = found.end()
        end = max(end, done)
        return b"".join([*masked, text[done:end]]), text[end:]

    def between(self, text: bytes, start: int, end: int) -> tuple[bytes, int]:
        """This part of a text, masked, and where it ends.

        A secret that is only partly in it is masked as a whole, so that it may end later.
        """
        masked, done = [], start
        for found in self.pattern.finditer(text) if self.pattern else ():
            if found.start() >= end:
                break
            if found.end() > done:
                masked += [text[done : found.start()], HIDDEN]
                done = found.end()
        return b"".join([*masked, text[done:end]]), max(done, end)

    def _found(self, text: bytes) -> Iterator[tuple[int, int]]:
        for found in self.pattern.finditer(text) if self.pattern else ():
            yield found.span()

    def _found_said(self, text: bytes) -> Iterator[tuple[int, int]]:
        text = text.lower()  # of ASCII, so that no place changes
        for found in self._words.finditer(text) if self._words else ():
            there = text[found.start() : found.start() + self.longest]
            known = (_in_common(each, there) for each in self._begun)
            end = max(found.end(), found.start() + max(known, default=0))
            while end < len(text) and text[end] & 0xC0 == 0x80:  # not inside a character
                end += 1
            yield found.start(), end


def _any_of(known: Sequence[bytes]) -> re.Pattern[bytes] | None:
    return re.compile(b"|".join(map(re.escape, known))) if known else None


def _beginning(secret: bytes) -> bytes:
    """As much of a secret's beginning as is not to be seen; nothing of a very short one's."""
    size = min(BEGINNING, len(secret) // 2)
    return secret[:size] if size >= SHORTEST_BEGINNING else b""


def _in_common(one: bytes, other: bytes) -> int:
    """How many bytes both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def _without(raw: bytes, find: Callable[[bytes], Iterator[tuple[int, int]]]) -> bytes:
    """The bytes without the secrets that are found in them, as they are or once decoded."""
    if not ESCAPED.search(raw):
        return _masked(raw, find(raw))
    return _masked(
        raw,
        sorted(
            (reading.place(start), reading.place(end))
            for reading in readings(raw)
            for start, end in find(reading.text)
        ),
    )


def _masked(text: bytes, hidden: Iterable[tuple[int, int]]) -> bytes:
    """The text with these parts of it masked; they are in order, and may overlap."""
    kept, done = [], 0
    for start, end in hidden:
        if end <= done:
            continue
        if start >= done:
            kept += [text[done:start], HIDDEN]
        done = end
    return b"".join([*kept, text[done:]])


def _forms(secret: str) -> Iterable[bytes]:
    """The ways a secret may show up: it, or a line of it, as it is, in JSON, in an address."""
    # A line of a longer secret that is as short as a brace would mask every brace there is.
    lines = [line for line in secret.splitlines() if len(line.strip()) >= SHORTEST_LINE]
    for text in (secret, *lines):
        if text.strip():
            raw = text.encode("utf-8", "surrogateescape")
            yield from (raw, quote(raw).encode(), quote(raw, "").encode(), quote_plus(raw).encode())
            yield json.dumps(text)[1:-1].encode()
            yield json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "surrogateescape")
