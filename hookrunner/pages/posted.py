"""What was posted with a form made from a schema, read back into a payload.

The payload is made as text, and what was written as JSON goes into it as it was written: no
reader of ours stands between the form and the script. What is left empty is left out, but
that a checkbox left empty is false, and what must be there and may be null is null.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hookrunner import jsontext
from hookrunner.model import Json, Misfit, Refused
from hookrunner.pages.control import asked, choices, control, only, picked, root_of, spelt
from hookrunner.pages.tree import Node, escaped

TRUTHS = ("true", "false")
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,400})(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,3})?")
WHOLE = re.compile(r"[+-]?[0-9]{1,400}")
LOOSE = re.compile(r"[+-]?[0-9]{1,400}(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,3})?")
"""What is a number to people: with a plus, or noughts, before it."""

MISSING = "is required; fill it in"
OF_WHOLES = frozenset({"required", "additionalProperties", "unevaluatedProperties", "propertyNames",
                       "dependentRequired", "minProperties", "maxProperties"})  # fmt: skip
"""Rules that look at an object's keys alone, and so hold whatever one of its values is."""

OF_KIND = frozenset({"type", "const", "enum"})


@dataclass(frozen=True, slots=True)
class Read:
    """A payload as JSON, as it was written. What has an error stands in it as a text."""

    text: str
    errors: Mapping[str, str]
    """By JSON Pointer, or `json` for the whole, if that was written as JSON."""


class Absent(Exception):
    """Nothing was filled in."""


class Unreadable(Exception):
    """What was filled in cannot be what the schema asks for; str() says why not."""


def read(schema: Json | None, posted: Sequence[tuple[str, str]]) -> Read:
    """The payload that was posted, by the types that the schema gives its fields."""
    given = dict(posted)
    root = root_of(schema)
    if root is None or given.get("as") == "json":
        text = _lines(given.get("json", ""))
        told = fault(text) if text.strip() else "is empty; write the payload as JSON, if only {}"
        return Read(text, {"json": told} if told else {})
    errors: dict[str, str] = {}
    try:
        text = _text(root, given, errors)
    except Absent:
        text = "{}"
    return Read(text, errors)


def fault(text: str) -> str:
    """What is wrong with a JSON text; empty for nothing."""
    try:
        jsontext.read(text.encode("utf-8", "surrogatepass"))
    except Refused as refused:
        return refused.told.removeprefix("the body ")
    return ""


def _lines(text: str) -> str:
    """A text as it was written: browsers send each end of a line as CR LF."""
    return text.replace("\r\n", "\n")


def _text(node: Node, given: Mapping[str, str], errors: dict[str, str]) -> str:
    """The JSON of a place and all below it. Raises Absent."""
    kind = control(node)
    if kind in ("fields", "branches") and not _is_filled(node, given):
        if not node.required:
            raise Absent
        if "null" in node.types:
            return "null"
    if kind == "branches":
        return _text(node.branches[picked(node, given)], given, errors)
    if kind == "fields":
        return _object(node, given, errors)
    written = _lines(given.get(node.key, ""))
    try:
        return _scalar(node, written)
    except Unreadable as error:
        errors[node.pointer] = str(error)
        return spelt(written)


def _object(node: Node, given: Mapping[str, str], errors: dict[str, str]) -> str:
    found = []
    for child in node.inside:
        try:
            found.append(f"{spelt(child.name)}: {_text(child, given, errors)}")
        except Absent:
            continue
    return "{" + ", ".join(found) + "}"


def _is_filled(node: Node, given: Mapping[str, str]) -> bool:
    """True if somebody has filled something in, or chosen something that is not there by itself."""
    kind = control(node)
    if kind == "branches":
        number = picked(node, given)
        branch = node.branches[number]
        return (number > 0 and control(branch) == "nothing") or _is_filled(branch, given)
    if kind == "fields":
        return any(_is_filled(child, given) for child in node.inside)
    return only(node) is None and given.get(node.key, "").strip() != ""


def _scalar(node: Node, text: str) -> str:
    """The JSON that a control's text stands for. Raises Absent and Unreadable."""
    kind = control(node)
    if kind == "nothing":
        return "null"
    if kind == "check":
        return "true" if text else "false"
    if not text.strip():
        if node.required and "null" in node.types:
            return "null"
        if node.required and kind == "lines":
            return "[]"
        raise Absent
    if kind == "choice":
        return _chosen(node, text)
    if kind == "lines":
        return _items(node, text)
    if kind == "json":
        if told := fault(text):
            raise Unreadable(told)
        return text
    return _plain(node.kind, text)


def _plain(kind: str, text: str) -> str:
    """A text as the JSON of a type. Raises Unreadable."""
    if kind == "boolean":
        if text.strip() in TRUTHS:
            return text.strip()
        raise Unreadable("is neither true nor false")
    if kind in ("integer", "number"):
        return _number(kind, text.strip())
    return spelt(text)


def _number(kind: str, text: str) -> str:
    if WHOLE.fullmatch(text) and not fault(made := str(int(text))):
        return made
    if kind == "integer":
        raise Unreadable(f"must be a whole number, not {text[:40]!r}")
    if NUMBER.fullmatch(text) and not fault(text):
        return text
    if LOOSE.fullmatch(text) and not fault(made := repr(float(text))):
        return made
    raise Unreadable(f"must be a number such as 3.5, not {text[:40]!r}")


def _items(node: Node, text: str) -> str:
    """A list of an item for each line that is not blank. Raises Unreadable."""
    kind = node.item.kind if node.item else "string"
    made = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            made.append(_plain(kind, line))
        except Unreadable as error:
            raise Unreadable(f"line {number} {error}") from None
    return f"[{', '.join(made)}]"


def line_of(text: str, item: int) -> int:
    """The line, from 1, on which an item stands that is counted from 0."""
    lines = [number for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    return lines[item] if item < len(lines) else item + 1


def _chosen(node: Node, text: str) -> str:
    for value in choices(node):
        if spelt(value) == text:
            return text
    raise Unreadable(f"is none of the values to choose from: {text[:40]!r}")


def told(
    schema: Json | None,
    posted: Sequence[tuple[str, str]],
    misfits: Iterable[Misfit],
    unread: Collection[str] = (),
) -> dict[str, str]:
    """What is wrong with a payload that was posted, by the place to mend it.

    `unread` are places of which more is known than that they do not fit.
    """
    given = dict(posted)
    root = root_of(schema) if given.get("as") != "json" else None
    nodes = [root, *asked(root, given)] if root else []
    meant = {
        (node.pointer, node.branching): picked(node, given)
        for node in nodes
        if control(node) == "branches"
    }
    places = {node.pointer for node in nodes}
    found: dict[str, list[str]] = {}
    for misfit in _of_what_is_meant(misfits, meant):
        place, words = misfit.pointer, misfit.detail
        missing = f"{place}/{escaped(misfit.missing)}"
        if misfit.missing and missing in places:
            place, words = missing, MISSING
        if not _is_known(place, misfit.rule, unread) and words not in found.get(place, ()):
            found.setdefault(place, []).append(words)
    return {place: "; ".join(words) for place, words in found.items()}


def _of_what_is_meant(
    misfits: Iterable[Misfit], meant: Mapping[tuple[str, str], int]
) -> Iterator[Misfit]:
    """What is wrong, and of several kinds of value, what is wrong with the one that is meant."""
    for misfit in misfits:
        number = meant.get((misfit.pointer, misfit.rule))
        if number is None:
            number = _likely(misfit)
        if number is not None and number < len(misfit.branches) and misfit.branches[number]:
            yield from _of_what_is_meant(misfit.branches[number], meant)
        else:
            yield misfit


def _likely(misfit: Misfit) -> int | None:
    """The one branch of whose kind a value is, though it does not fit; None if that is not one."""
    likely = [
        number
        for number, branch in enumerate(misfit.branches)
        if not any(each.pointer == misfit.pointer and each.rule in OF_KIND for each in branch)
    ]
    return likely[0] if len(likely) == 1 else None


def _is_known(place: str, rule: str, unread: Collection[str]) -> bool:
    """True if it may be said of a place only because something could not be read."""
    for each in unread:
        if place == each or place.startswith(f"{each}/"):
            return True
        if each.startswith(f"{place}/") and rule not in OF_WHOLES:
            return True
    return False
