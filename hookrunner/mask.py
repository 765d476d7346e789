"""Secrets in a text, replaced by `****`, however the text was cut."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

SHORTEST_LINE = 6
"""Characters of a line of a longer secret that is masked by itself."""


class Masker:
    """Replaces every known secret in a text with `****`."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = {form for secret in secrets for form in _forms(secret)}
        self.longest = max(map(len, known), default=1)
        # Longest first, so that a secret that contains another is masked whole.
        ordered = sorted(known, key=len, reverse=True)
        self.pattern = re.compile(b"|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, text: bytes) -> bytes:
        return self.pattern.sub(b"****", text) if self.pattern else text

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
            masked += [text[done : found.start()], b"****"]
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
                masked += [text[done : found.start()], b"****"]
                done = found.end()
        return b"".join([*masked, text[done:end]]), max(done, end)


def _forms(secret: str) -> Iterable[bytes]:
    """The ways a secret may show up: as it is, each of its lines, and as JSON writes it."""
    # A line of a longer secret that is as short as a brace would mask every brace there is.
    lines = [line for line in secret.splitlines() if len(line.strip()) >= SHORTEST_LINE]
    for text in (secret, *lines):
        if text.strip():
            yield text.encode("utf-8", "surrogateescape")
            yield json.dumps(text)[1:-1].encode()
            yield json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "surrogateescape")
