"""A delivery's body as people read it: JSON indented, forms as tables, other bytes as such."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence

from hookrunner import form
from hookrunner.model import NewRun, Refused
from hookrunner.pages import parts
from hookrunner.pages.markup import Html, join, short, tag, visible

MOST = 200_000
"""Characters of a body that are shown."""

MOST_TOKENS = 20_000
"""Parts of a JSON text that are coloured; a browser is slow with more elements than that."""

MOST_FIELDS = 300
LONGEST_VALUE = 4000
"""Characters of one value that are shown."""

DEEPEST = 24
"""Indents that are made; what is nested deeper goes no further to the right."""

HEX_BYTES = 512

JSON = re.compile(r'("(?:[^"\\]|\\.)*+")|([-0-9][-+.0-9eE]*)|(true|false|null)|([\[\]{}:,])')
SECRET = re.compile(r"authorization|cookie|signature|token|secret|password|api-?key|hmac", re.I)
"""What in a header's name says that its value proves something."""


def shown(new: NewRun) -> Html:
    """What the payload says, read by its content type."""
    if not new.body:
        if new.query:
            return _fields(new.query, "The query", secret=True)
        return tag("p", "The delivery has no body.", class_="empty")
    kind = new.content_type.partition(";")[0].strip().lower()
    try:
        text = new.body.decode("utf-8")
    except UnicodeDecodeError:
        return _bytes(new.body)
    if kind == form.TYPE:
        return _fields(text, "The form")
    if (pretty := indented(text)) is not None:
        return tag("pre", pretty, tabindex=0, role="group", aria_label="Payload")
    return tag("pre", short(text, MOST), tabindex=0, role="group", aria_label="Payload")


def indented(text: str) -> Html | None:
    """JSON with a line for each value, everything else in it as it was sent; None if it is none."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    return Html("".join(_tokens(text)))


def _tokens(text: str) -> Iterator[str]:
    """The text's tokens in their order: what a parser would drop, as a double key, stays."""
    depth, used = 0, 0
    found = list(_found(text))
    for number, (token, kind) in enumerate(found):
        after = found[number + 1][0] if number + 1 < len(found) else ""
        if kind != 4:
            yield _coloured(token, kind, is_key=after == ":")
            used += min(len(token), LONGEST_VALUE)
        elif token in "[{":
            depth += 1
            yield token if after in ("]", "}") else token + _line(depth)
        elif token in "]}":
            depth -= 1
            begun = number and found[number - 1][0] in ("[", "{")
            yield token if begun else _line(depth) + token
        else:
            yield ": " if token == ":" else "," + _line(depth)
        used += 2 * min(depth, DEEPEST)
        if number >= MOST_TOKENS or used > MOST:
            yield '\n<span class="cut">… there is more than is shown here</span>'
            return


def _found(text: str) -> Iterator[tuple[str, int]]:
    for number, found in enumerate(JSON.finditer(text)):
        if number > MOST_TOKENS + 1:
            return
        yield found[0], found.lastindex or 4


def _line(depth: int) -> str:
    return "\n" + "  " * min(depth, DEEPEST)


def _coloured(token: str, kind: int, *, is_key: bool) -> str:
    if kind == 1:
        if "\\u" in token:  # what a sender has spelt in ASCII is read as it is meant
            token = json.dumps(json.loads(token), ensure_ascii=False)
        name = "key" if is_key else "str"
    else:
        name = "num-lit" if kind == 2 else "lit"
    return f'<span class="{name}">{short(token, LONGEST_VALUE)}</span>'


def _fields(text: str, what: str, *, secret: bool = False) -> Html:
    try:
        fields = form.fields(text, what.lower())
    except Refused:
        return tag("pre", short(text, MOST), tabindex=0, role="group", aria_label="Payload")
    rows = [
        [tag("code", name), "****" if secret and SECRET.search(name) else _value(value)]
        for name, value in fields[:MOST_FIELDS]
    ]
    made = parts.table(what, ("Field", "Value"), rows)
    if (rest := len(fields) - MOST_FIELDS) > 0:
        return join([made, tag("p", f"… {rest:,} more fields", class_="cut")])
    return made


def _value(value: str) -> Html:
    """A field's value; JSON in it, as some senders put it there, is indented."""
    if value[:1] in ("{", "[") and (pretty := indented(value)) is not None:
        return tag("pre", pretty, tabindex=0, role="group", aria_label="Value")
    return short(value, LONGEST_VALUE)


def _bytes(body: bytes) -> Html:
    """What is no text: as text where it is, if that is most of it, else the first bytes."""
    text = body[:MOST].decode("utf-8", "surrogateescape")
    strange = sum(character > "\udc7f" and character < "\udd00" for character in text)
    if strange * 10 < len(text):
        rest = len(body) - MOST
        more = tag("span", f"… {rest:,} more bytes", class_="cut") if rest > 0 else None
        return tag("pre", visible(text), more, tabindex=0, role="group", aria_label="Payload")
    said = tag("p", f"{parts.size(len(body))} that are no text; the first of them:", class_="soft")
    lines = "\n".join(_hex(body[:HEX_BYTES]))
    return join([said, tag("pre", visible(lines), tabindex=0, role="group", aria_label="Bytes")])


def _hex(data: bytes) -> Iterator[str]:
    for start in range(0, len(data), 16):
        piece = data[start : start + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in piece)
        yield f"{start:04x}  {piece.hex(' '):<47}  {text}"


def headers(pairs: Iterable[tuple[str, str]]) -> Html:
    """Headers, those that prove something without their value."""
    rows = [
        [tag("code", name), "****" if SECRET.search(name) else short(value, LONGEST_VALUE)]
        for name, value in pairs
    ]
    return parts.table("Headers", ("Header", "Value"), rows)


def query(text: str) -> str:
    """A query without the values that prove something."""
    fields: Sequence[str] = text.split("&")
    return "&".join(_kept(field) for field in fields)


def _kept(field: str) -> str:
    name, equals, _ = field.partition("=")
    return f"{name}=****" if equals and SECRET.search(name) else field
