"""A JSON Schema as a tree of fields, for what shows it and for what asks for its values.

References within the schema are followed, and `allOf` is put together, as far as that
goes: a schema may name itself, and then it ends where it is deep enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from hookrunner import pointer
from hookrunner.model import Json

DEEPEST = 5
"""Levels below the payload itself."""

MOST_NODES = 300
MOST_HOPS = 16
"""References one after the other, before there is something."""

MOST_BRANCHES = 8
"""Kinds of value, by `oneOf` or `anyOf`, that are told apart; of more, the rule is named alone."""

MOST_NAMED = 3
"""Fields that a kind of value is called after, if it has no other name."""

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

    key: str = ""
    """The name of its field in a form: its pointer, but that each branch has fields of its own.

    A `~` that neither 0 nor 1 follows is in no pointer, so that no two keys are the same.
    """

    branches: Sequence[Node] = ()
    """What it is one of (`oneOf`), or any of (`anyOf`): each with what it has in common with
    the others. All of them stand for the same place."""

    branching: str = ""
    """The keyword that has the branches."""

    @property
    def kind(self) -> str:
        """The type it has but for null, if there is just one; else empty."""
        types = self.types - {"null"}
        if types == {"integer", "number"}:
            return "number"
        return next(iter(types)) if len(types) == 1 else ""

    @property
    def is_branch(self) -> bool:
        """True if it is one of the kinds that another node may be."""
        return "~b" in self.key.rpartition("/")[2]

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
    return _Tree(schema).node("", "", "", schema, required=True, depth=0)


def walk(node: Node) -> Iterator[Node]:
    """A node and all below it, in the schema's order."""
    yield node
    for child in (*node.inside, *node.branches):
        yield from walk(child)
    if node.item is not None:
        yield from walk(node.item)


@dataclass(slots=True)
class _Tree:
    root: Json
    made: int = field(default=0)
    read: int = field(default=0)

    def node(
        self, place: str, key: str, name: str, schema: Json, *, required: bool, depth: int
    ) -> Node:
        self.made += 1
        whole = self.of_one_kind(self.resolved(schema))
        made = Node(place, name, whole, types(whole), required, depth, key=key)
        branching = self.branching(whole)
        if depth >= DEEPEST:
            below = bool(_properties(whole)) or isinstance(whole.get("items"), dict)
            return replace(made, cut=below or bool(branching))
        if branching:
            branches = self.branches(place, key, whole, branching, required, depth + 1)
            kind = branching if branches else ""
            return replace(made, cut=not branches, branches=branches, branching=kind)
        inside = self.inside(made)
        return replace(
            made,
            inside=inside,
            item=self.item(made),
            cut=len(inside) < len(_properties(whole)),
        )

    def inside(self, parent: Node) -> list[Node]:
        """The properties of an object; not all of them, if the tree would become too large."""
        needed = parent.schema.get("required")
        needed = needed if isinstance(needed, list) else []
        inside: list[Node] = []
        for name, schema in _properties(parent.schema).items():
            if self.made >= MOST_NODES:
                break
            at = f"{parent.pointer}/{escaped(name)}", f"{parent.key}/{escaped(name)}", name
            required = name in needed
            inside.append(self.node(*at, schema, required=required, depth=parent.depth + 1))
        return inside

    def item(self, parent: Node) -> Node | None:
        """What each item of a list is."""
        items = parent.schema.get("items")
        if not isinstance(items, dict):
            return None
        at = f"{parent.pointer}/-", f"{parent.key}/-", "each"
        return self.node(*at, items, required=False, depth=parent.depth + 1)

    def of_one_kind(self, whole: Mapping[str, Json], hops: int = MOST_HOPS) -> Mapping[str, Json]:
        """A schema of several kinds of value as one without: if all but one of them is null, as
        many a generator writes what may be null, or if all are single values."""
        keyword = _branching(whole)
        if not keyword or not hops:
            return whole
        rest = {name: value for name, value in whole.items() if name != keyword}
        parts = [self.resolved(part) for part in whole[keyword][: MOST_BRANCHES + 1]]
        some = [part for part in parts if types(part) != {"null"}]
        if len(some) == 1:
            one = self.of_one_kind(_together(rest, some[0]), hops - 1)
            return _or_null(one) if len(parts) > 1 else one
        if all("const" in part for part in parts) and len(parts) == len(whole[keyword]):
            return {**rest, "enum": [part["const"] for part in parts]}
        return whole

    def branching(self, whole: Mapping[str, Json]) -> str:
        """The keyword by which a value is one of several kinds; empty if it is not, if they are
        too many, or if they say no more than which fields go together."""
        keyword = _branching(whole)
        parts = whole.get(keyword, ())
        if len(parts) > MOST_BRANCHES:
            return ""
        return keyword if any(_has_shape(self.resolved(part)) for part in parts) else ""

    def branches(
        self,
        place: str,
        key: str,
        whole: Mapping[str, Json],
        keyword: str,
        required: bool,
        depth: int,
    ) -> Sequence[Node]:
        """A node for each kind; none at all if the tree has grown too large for them."""
        own = (keyword, "title", "description", "default", "examples")
        common = {name: value for name, value in whole.items() if name not in own}
        made: list[Node] = []
        names: set[str] = set()
        for at, part in enumerate(whole[keyword]):
            if self.made >= MOST_NODES:
                return ()
            schema: Mapping[str, Json] = self.resolved(part)
            if not types(schema) or "object" in types(schema):
                schema = _together(schema, common)
            name = _called(part, schema)
            name = f"{name} ({at + 1})" if name in names else name
            names.add(name)
            made.append(
                self.node(place, f"{key}~b{at}", name, schema, required=required, depth=depth)
            )
        return made

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


def _properties(whole: Mapping[str, Json]) -> Mapping[str, Json]:
    said = whole.get("properties")
    return said if isinstance(said, dict) else {}


def _branching(whole: Mapping[str, Json]) -> str:
    return next(
        (name for name in ("oneOf", "anyOf") if isinstance(whole.get(name), list) and whole[name]),
        "",
    )


def _has_shape(schema: Mapping[str, Json]) -> bool:
    """True if a schema says what a value is made of, and not just what goes together."""
    return any(name in schema for name in ("type", "properties", "const", "enum", "items"))


def _or_null(schema: Mapping[str, Json]) -> Mapping[str, Json]:
    """The schema, or null."""
    known = types(schema)
    if not known or "null" in known:
        return schema
    whole = {**schema, "type": sorted(known | {"null"})}
    if "const" in whole:
        whole["enum"] = [whole.pop("const")]
    if isinstance(whole.get("enum"), list):
        whole["enum"] = [*whole["enum"], None]
    return whole


def _called(part: Json, schema: Mapping[str, Json]) -> str:
    """What one of several kinds of value may be called: by the field that tells it from the
    others, by what it is defined as, by its type or its fields."""
    title = schema.get("title")
    if isinstance(title, str) and title.strip():
        return title
    fields = _properties(schema)
    for name, value in fields.items():
        if isinstance(value, dict) and isinstance(value.get("const"), str):
            return f"{name} {value['const']}"
    reference = part.get("$ref") if isinstance(part, dict) else None
    if isinstance(reference, str) and (last := reference.rpartition("/")[2]):
        return unquote(last)
    if fields:
        return "with " + ", ".join(list(fields)[:MOST_NAMED])
    if isinstance(schema.get("const"), str):
        return str(schema["const"])
    return " or ".join(sorted(types(schema))) or "anything else"


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
