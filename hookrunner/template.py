"""Texts of hooks.yaml with places to fill: `{payload:/json/pointer}`, `$CONFIG_VAR`.

Read once, when the file is; filled for each attempt. What is absent becomes nothing.
`{{`, `}}` and `$$` stand for the signs themselves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hookrunner.model import Facts, Json

LONGEST = 128 * 1024 - 1
"""Bytes in one argument or variable, its name and NUL included: Linux's MAX_ARG_STRLEN."""

TOKEN = re.compile(
    r"(?P<literal>\{\{|\}\}|\$\$)"
    r"|\{(?P<source>[a-z]+):(?P<name>[^{}]*)\}"
    r"|\$(?P<variable>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<stray>[{}])"
)


class BadTemplate(Exception):
    """The text is no template; str() says what to write."""


Piece = str | tuple[str, str]


@dataclass(frozen=True, slots=True)
class Text:
    """A template: literal texts, and places as pairs of source and name."""

    pieces: tuple[Piece, ...]

    def fill(self, facts: Facts) -> str:
        """The text with everything filled in; what is absent becomes nothing."""
        return "".join(
            piece if isinstance(piece, str) else SOURCES[piece[0]](facts, piece[1])
            for piece in self.pieces
        )


def read(text: str, variable: Callable[[str], str], params: tuple[str, ...]) -> Text:
    """A template from a text. `variable` gives config vars. Raises BadTemplate."""
    pieces: list[Piece] = []
    end = 0
    for found in TOKEN.finditer(text):
        pieces += [text[end : found.start()], _piece(found, variable, params)]
        end = found.end()
    pieces.append(text[end:])
    return Text(tuple(piece for piece in pieces if piece))


def _piece(found: re.Match[str], variable: Callable[[str], str], params: tuple[str, ...]) -> Piece:
    if found["literal"]:
        return found["literal"][0]
    if found["variable"]:
        return variable(found["variable"])
    source, name = found["source"], found["name"]
    if source not in SOURCES:
        known = ", ".join(f"{{{source}:…}}" for source in SOURCES)
        plain = found[0][0]
        raise BadTemplate(f"{found[0]!r} is none of {known}; write {plain * 2} for a plain {plain}")
    if source == "payload" and not re.fullmatch(r"(?:/(?:[^~]|~[01])*)?", name):
        raise BadTemplate(f"{found[0]!r} needs a JSON Pointer such as {{payload:/user/email}}")
    if source == "path" and name not in params:
        raise BadTemplate(f"{found[0]!r} is not a name in the path; write <{name}> there")
    return source, name


def as_text(value: Json) -> str:
    """A JSON value as a script would want it: text bare, nothing as nothing, else JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def at(value: Json, pointer: str) -> Json:
    """What a JSON Pointer (RFC 6901) leads to; None if it leads nowhere."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and re.fullmatch(r"0|[1-9][0-9]{0,8}", key):
            value = value[int(key)] if int(key) < len(value) else None
        else:
            return None
    return value


SOURCES: Mapping[str, Callable[[Facts, str], str]] = {
    "payload": lambda facts, name: as_text(at(facts.payload, name)),
    "query": lambda facts, name: as_text(facts.query.get(name)),
    "header": lambda facts, name: facts.headers.get(name.lower(), ""),
    "path": lambda facts, name: facts.params.get(name, ""),
}
