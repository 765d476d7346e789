"""What asks for each place of a payload in a form made from its schema.

A field's name is the key of its node: the JSON Pointer of its value, and for one of several
kinds of value a name of its own (`tree.Node.key`). Which kind is meant is a field, too. Beside
these a form has `csrf`, `path` (the hook), `param.NAME` (names in its path), `as` (`form` or
`json`), and `json` (the payload as JSON).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from hookrunner.model import Json
from hookrunner.pages.tree import Node, grow

DEEPEST = 3
"""Levels of fields within fields; what is below is asked for as JSON."""

SCALARS = frozenset({"string", "integer", "number", "boolean"})
Control = Literal["fields", "branches", "nothing", "check", "choice", "lines", "text", "json"]


def root_of(schema: Json | None) -> Node | None:
    """The tree of a schema that a form can be made from; None if there is no such schema."""
    if not isinstance(schema, dict):
        return None
    root = grow(schema)
    fits = root.branches or (root.inside and root.kind in ("object", ""))
    return root if fits and not root.cut else None


def control(node: Node) -> Control:
    """What asks for a value: fields of its own, a choice of what it is, or one control."""
    if node.branches and node.depth <= DEEPEST:
        return "branches"
    is_object = node.kind == "object" or not node.key
    if node.inside and is_object and node.depth <= DEEPEST and not node.cut:
        return "fields"
    if node.types == {"null"}:
        return "nothing"
    if node.kind == "boolean" and node.required and "null" not in node.types:
        return "check" if not isinstance(node.schema.get("enum"), list) else "choice"
    if choices(node):
        return "choice"
    if node.kind == "array" and node.item is not None and node.item.kind in SCALARS:
        return "lines"
    return "text" if node.kind in ("string", "integer", "number") else "json"


def choices(node: Node) -> list[Json]:
    """The values that a place may have, if its schema lists them and none is an object or list."""
    values = [node.schema["const"]] if "const" in node.schema else node.schema.get("enum")
    if node.kind == "boolean" and values is None:
        return [True, False]
    if not isinstance(values, list) or any(isinstance(value, dict | list) for value in values):
        return []
    return values


def only(node: Node) -> Json | None:
    """The one value that a place can have if it must have any; None if there are others."""
    values = choices(node)
    return values[0] if node.required and len(values) == 1 else None


def below(node: Node) -> Sequence[Node]:
    """The nodes whose controls stand within a node's."""
    kind = control(node)
    return node.inside if kind == "fields" else node.branches if kind == "branches" else ()


def which(node: Node) -> str:
    """The name of the field that says which branch of a node is meant."""
    return f"{node.key}~b"


def picked(node: Node, given: Mapping[str, str]) -> int:
    """The number of the branch that is meant; the first if none was chosen."""
    said = given.get(which(node), "")
    known = [str(number) for number in range(len(node.branches))]
    return known.index(said) if said in known else 0


def asked(node: Node, given: Mapping[str, str]) -> Iterator[Node]:
    """All nodes within a node whose values count: of branches, those that are meant."""
    meant = control(node) == "branches"
    for child in [node.branches[picked(node, given)]] if meant else below(node):
        yield child
        yield from asked(child, given)


def spelt(value: Json) -> str:
    """A value as JSON, so that 1 and "1" are told apart; it can be encoded whatever it holds."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value)
    return text
