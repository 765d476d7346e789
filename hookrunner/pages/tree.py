"""A JSON Schema as a tree of fields, for what shows it and for what asks for its values.

References within the schema are followed, and `allOf` is put together, as far as that
goes: a schema may name itself, and then it ends where it is deep enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from hookrunner import pointer
from hookrunner.model import Json

DEEPEST = 5
"""Levels below the payload itself."""

MOST_NODES = 300
MOST_HOPS = 16
"""References one after the other, before there is something."""

MOST_READ = 5000
"""Schemas that are looked into, however often they name each other."""


@dataclass(frozen=True, slots=True)
class Node:
    """A place in a payload, and what its schema says of it."""

    pointer: str
    name: str
    schema: Mapping[str, Json]
    types: frozenset[str]
    """The types it may have; empty for any."""

    required: bool = False
    depth: int = 0
    inside: Sequence[Node] = ()
    """An object's properties."""

    item: Node | None = None
    """What each item of an array is; its pointer ends in `/-`."""

    cut: bool = False
    """True if there is more below than the tree goes."""

    @property
    def kind(self) -> str:
        """The type it has but for null, if there is just one; else empty."""
        types = self.types - {"null"}
        if types == {"integer", "number"}:
            return "number"
        return next(iter(types)) if len(types) == 1 else ""

    @property
    def title(self) -> str:
        """What a person would call it."""
        said = self.schema.get("title")
        return said if isinstance(said, str) and said.strip() else self.name

    @property
    def description(self) -> str:
        said = self.schema.get("description")
        return said if isinstance(said, str) else ""


def grow(schema: Json) -> Node:
    """The tree of a whole schema."""
    return _Tree(schema).node("", "", schema, required=True, depth=0)


def walk(node: Node) -> Iterator[Node]:
    """A node and all below it, in the schema's order."""
    yield node
    for child in node.inside:
        yield from walk(child)
    if node.item is not None:
        yield from walk(node.item)


@dataclass(slots=True)
class _Tree:
    root: Json
    made: int = field(default=0)
    read: int = field(default=0)

    def node(self, place: str, name: str, schema: Json, *, required: bool, depth: int) -> Node:
        self.made += 1
        whole = self.resolved(schema)
        properties = whole.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        items = whole.get("items")
        below = bool(properties) or isinstance(items, dict)
        deep_enough = depth >= DEEPEST
        inside: list[Node] = []
        item = None
        cut = below and deep_enough
        if not deep_enough:
            needed = whole.get("required")
            needed = needed if isinstance(needed, list) else []
            for key, value in properties.items():
                if self.made >= MOST_NODES:
                    cut = True
                    break
                inside.append(
                    self.node(
                        f"{place}/{escaped(key)}",
                        key,
                        value,
                        required=key in needed,
                        depth=depth + 1,
                    )
                )
            if isinstance(items, dict):
                item = self.node(f"{place}/-", "each", items, required=False, depth=depth + 1)
        return Node(place, name, whole, types(whole), required, depth, inside, item, cut)

    def resolved(self, schema: Json, hops: int = MOST_HOPS) -> Mapping[str, Json]:
        """A schema with its references, and all of its `allOf`, put into it."""
        self.read += 1
        if schema is False:
            return {"not": {}}
        if not isinstance(schema, dict) or self.read > MOST_READ:
            return {}
        whole = dict(schema)
        target = self.referred(whole.get("$ref")) if hops else None
        if target is not None:
            del whole["$ref"]
            whole = {**self.resolved(target, hops - 1), **whole}
        every = whole.get("allOf")
        if isinstance(every, list) and hops:
            del whole["allOf"]
            for part in every[:MOST_HOPS]:
                whole = _together(whole, self.resolved(part, hops // 2))
        return whole

    def referred(self, reference: Json) -> Json:
        """What a reference within the schema leads to; None if it leads out, or nowhere."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            return None
        place = unquote(reference[1:])
        if not place or place.startswith("/"):
            return pointer.at(self.root, place)
        for name in ("$defs", "definitions"):
            known = self.root.get(name) if isinstance(self.root, dict) else None
            for schema in known.values() if isinstance(known, dict) else ():
                if isinstance(schema, dict) and schema.get("$anchor") == place:
                    return schema
        return None


def escaped(key: str) -> str:
    """A key as a JSON Pointer has it."""
    return key.replace("~", "~0").replace("/", "~1")


def _together(one: Mapping[str, Json], other: Mapping[str, Json]) -> dict[str, Json]:
    """Two schemas that both hold, in one; where they say the same thing twice, the first."""
    whole = {**other, **one}
    mine, its = one.get("properties"), other.get("properties")
    if isinstance(mine, dict) and isinstance(its, dict):
        whole["properties"] = {**its, **mine}
    mine, its = one.get("required"), other.get("required")
    if isinstance(mine, list) and isinstance(its, list):
        whole["required"] = [*mine, *its]
    return whole


def types(schema: Mapping[str, Json]) -> frozenset[str]:
    """The types a schema takes, as it says or as can be told from what else it says."""
    said = schema.get("type")
    if isinstance(said, str):
        return frozenset({said})
    if isinstance(said, list):
        return frozenset(name for name in said if isinstance(name, str))
    if "const" in schema:
        return frozenset({type_of(schema["const"])})
    if isinstance(schema.get("enum"), list):
        return frozenset(map(type_of, schema["enum"]))
    if isinstance(schema.get("properties"), dict):
        return frozenset({"object"})
    if "items" in schema or "prefixItems" in schema:
        return frozenset({"array"})
    return frozenset()


def type_of(value: Json) -> str:
    """The JSON type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "integer" if isinstance(value, int) else "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"
