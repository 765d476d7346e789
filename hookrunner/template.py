"""Texts of hooks.yaml with places to fill: `{payload:/json/pointer}`, `$CONFIG_VAR`.

Read once, when the file is; filled for each attempt. What is absent becomes nothing.
`{{`, `}}` and `$$` stand for the signs themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hookrunner import pointer, route
from hookrunner.model import Facts, Template
from hookrunner.sections import show

LONGEST = 128 * 1024 - 1
"""Bytes in one argument or variable, its name and NUL included: Linux's MAX_ARG_STRLEN."""

TOKEN = re.compile(
    r"(?P<literal>\{\{|\}\}|\$\$)"
    r"|\{(?P<source>[a-z]+):(?P<name>[^{}]*)\}"
    r"|\$(?P<variable>[A-Za-z_][A-Za-z0-9_]*)"
    r"|\$\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)\}"
    r"|(?P<stray>\{[^{}]*\}|[{}])"
)


class BadTemplate(Exception):
    """The text is no template; str() says what to write."""


class NotInPath(BadTemplate):
    """The template is one, but not for a hook whose path lacks a name."""


Piece = str | tuple[str, str]


@dataclass(frozen=True, slots=True)
class Text:
    """A template: literal texts, and places as pairs of source and name."""

    pieces: tuple[Piece, ...]
    written: str = field(default="", compare=False)

    def fill(self, facts: Facts) -> str:
        """The text with everything filled in; what is absent becomes nothing."""
        return "".join(
            piece if isinstance(piece, str) else SOURCES[piece[0]](facts, piece[1])
            for piece in self.pieces
        )


def is_posted(text: Template) -> bool:
    """True if any of it comes from the delivery."""
    return isinstance(text, Text) and not all(isinstance(piece, str) for piece in text.pieces)


Params = tuple[str, ...] | None
"""The names of a hook's path; None if there is no hook yet, as for a default."""


def read(text: str, variable: Callable[[str], str], params: Params) -> Text:
    """A template from a text. `variable` gives config vars. Raises BadTemplate."""
    pieces: list[Piece] = []
    end = 0
    for found in TOKEN.finditer(text):
        pieces += [text[end : found.start()], _piece(found, variable, params)]
        end = found.end()
    pieces.append(text[end:])
    return Text(tuple(piece for piece in pieces if piece), text)


def _piece(found: re.Match[str], variable: Callable[[str], str], params: Params) -> Piece:
    if found["literal"]:
        return found["literal"][0]
    if found["variable"]:
        return variable(found["variable"])
    if found["braced"]:
        raise BadTemplate(f"{show(found[0])} is not how a config var is named; {_unbraced(found)}")
    source, name = found["source"], found["name"]
    if source not in SOURCES:
        known = ", ".join(f"{{{source}:…}}" for source in SOURCES)
        sign = found[0][0]
        raise BadTemplate(
            f"{show(found[0])} is none of {known}; write {sign * 2} for a plain {sign}"
        )
    if source == "path":
        _check_param(name, params)
    elif told := _fault(source, name):
        raise BadTemplate(f"{show(found[0])} needs {told}")
    return source, name


def _unbraced(found: re.Match[str]) -> str:
    glued = re.match(r"[A-Za-z0-9_]", found.string[found.end() :])
    return f"write ${found['braced']}" + (
        ", with no letter, digit or _ right after it" if glued else ""
    )


def _fault(source: str, name: str) -> str:
    if source == "payload":
        return (
            "" if pointer.FORM.fullmatch(name) else "a JSON Pointer such as {payload:/user/email}"
        )
    return "" if name else f"a name such as {{{source}:{NAMES[source]}}}"


NAMES: Mapping[str, str] = {"query": "page", "header": "X-Kind"}


def _check_param(name: str, params: Params) -> None:
    place = show(f"{{path:{name}}}")
    if not route.NAME.fullmatch(f"<{name}>"):
        legal = name.lower() if route.NAME.fullmatch(f"<{name.lower()}>") else "env"
        raise BadTemplate(
            f"{place} is no name that a path can have; "
            f"write {{path:{legal}}} here and <{legal}> there"
        )
    if params is not None and name not in params:
        raise NotInPath(f"{place} is not a name in the path; write <{name}> there")


SOURCES: Mapping[str, Callable[[Facts, str], str]] = {
    "payload": lambda facts, name: pointer.as_text(pointer.at(facts.payload, name)),
    "query": lambda facts, name: pointer.as_text(facts.query.get(name)),
    "header": lambda facts, name: facts.headers.get(name.lower(), ""),
    "path": lambda facts, name: facts.params.get(name, ""),
}
