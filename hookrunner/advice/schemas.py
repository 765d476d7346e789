"""JSON Schemas that are in order, and likely to be a mistake: nothing fits, or a misspelt word."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

from hookrunner.model import Json

COMPARED = (
    ("minimum", "maximum", {"integer", "number"}),
    ("minLength", "maxLength", {"string"}),
    ("minItems", "maxItems", {"array"}),
    ("minProperties", "maxProperties", {"object"}),
)
"""Bounds, and the types that they are for: a value of another type is not bounded by them."""

KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list,),
    "object": (dict,),
}

OLD_DRAFT = re.compile(r"https?://json-schema\.org/draft-0[3-7]/schema#?")
"""Drafts in which what stands beside a `$ref` means nothing."""

PARTS = ("properties", "patternProperties", "dependentSchemas")
NAMED = ("$defs", "definitions")
SEVERAL = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
ONE = (
    "items", "additionalItems", "additionalProperties", "unevaluatedItems",
    "unevaluatedProperties", "propertyNames", "contains", "not", "if", "then", "else",
    "contentSchema",
)  # fmt: skip
KEYWORDS = frozenset(
    (*PARTS, *NAMED, *SEVERAL, *ONE,
       "$schema", "$id", "id", "$ref", "$anchor", "$comment", "$dynamicRef", "$dynamicAnchor",
       "$recursiveRef", "$recursiveAnchor", "$vocabulary", "type", "enum", "const", "required",
       "dependencies", "dependentRequired", "minimum", "maximum", "exclusiveMinimum",
       "exclusiveMaximum", "multipleOf", "divisibleBy", "minLength", "maxLength", "pattern",
       "format", "minItems", "maxItems", "uniqueItems", "minContains", "maxContains",
       "minProperties", "maxProperties", "title", "description", "default", "deprecated",
       "readOnly", "writeOnly", "examples", "contentEncoding", "contentMediaType", "extends",
       "disallow",
       "example", "nullable", "discriminator", "externalDocs", "xml")  # OpenAPI's
)  # fmt: skip
NEAR = 0.8
"""How like a keyword (difflib's ratio) another word is that was meant to be one."""


def misspelt(schema: Json) -> Iterator[str]:
    """Words that mean nothing in a schema, and are nearly a keyword."""
    for place, part in below(schema):
        for word in part:
            if word not in KEYWORDS and (near := get_close_matches(word[:100], KEYWORDS, 1, NEAR)):
                yield f"{word!r} at {place or '(whole)'} is no keyword; did you mean {near[0]!r}?"


def below(schema: Json, place: str = "") -> Iterator[tuple[str, dict[str, Json]]]:
    """A schema and all that are in it, each with the place of what it judges."""
    if not isinstance(schema, dict):
        return
    yield place, schema
    for name, part in parts(schema, (*PARTS, *NAMED)):
        yield from below(part, f"{place}{name}")


def parts(schema: Mapping[str, Json], named: Iterable[str] = PARTS) -> Iterator[tuple[str, Json]]:
    """The schemas that stand in one, each with the place below its own of what it judges.

    Those that judge only what a reference leads there (`NAMED`) only if they are asked for.
    """
    for keyword in named:
        if isinstance(found := schema.get(keyword), dict):
            for name in found:
                yield f"/{name}", found[name]
    for keyword in SEVERAL:
        if isinstance(found := schema.get(keyword), list):
            for part in found:
                yield "", part
    for keyword in ONE:
        yield "", schema.get(keyword)


def unmatchable(schema: Json) -> str:
    """Why nothing can match a JSON Schema; empty if something may."""
    named = schema.get("$schema") if isinstance(schema, dict) else None
    old = isinstance(named, str) and OLD_DRAFT.fullmatch(named) is not None
    return _unmatchable(schema, "", old=old)


def _unmatchable(schema: Json, place: str, *, old: bool) -> str:
    here = place or "(whole)"
    if schema is False:
        return f"{here} is false"
    if not isinstance(schema, dict) or (old and "$ref" in schema):
        return ""
    if schema.get("enum") == []:
        return f"{here}: enum is empty"
    for least, most, bounded in COMPARED:
        low, high = schema.get(least), schema.get(most)
        if not _types(schema) <= bounded:
            continue
        if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
            return f"{here}: {least} {low:g} is more than {most} {high:g}"
    return _unfit_values(schema, here) or _unfit_parts(schema, place, old=old)


def _types(schema: Mapping[str, Json]) -> set[str]:
    """The types that a schema names; none if it takes any."""
    named = schema.get("type", [])
    return {named} if isinstance(named, str) else set(named)


def _unfit_values(schema: Mapping[str, Json], here: str) -> str:
    kinds = schema.get("type")
    names = [kinds] if isinstance(kinds, str) else kinds
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(names, list) or not isinstance(values, list) or not values:
        return ""
    if any(_is_of(value, name) for value in values for name in names):
        return ""
    word = "const" if "const" in schema else "enum"
    return f"{here}: no value of {word} is of type {', '.join(map(str, names))}"


def _is_of(value: Json, kind: Json) -> bool:
    if isinstance(value, bool):
        return bool(kind == "boolean")
    if kind == "integer" and isinstance(value, float):
        return bool(value.is_integer())
    return isinstance(value, KINDS.get(str(kind), (object,)))


def _unfit_parts(schema: Mapping[str, Json], place: str, *, old: bool) -> str:
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    if isinstance(properties, dict) and isinstance(required, list) and _asks_for_object(schema):
        for name in required:
            if name in properties:
                if why := _unmatchable(properties[name], f"{place}/{name}", old=old):
                    return why
            elif schema.get("additionalProperties") is False and "patternProperties" not in schema:
                return f"{place or '(whole)'}: {name!r} is required, and no property of it"
    for part in schema.get("allOf", []) if isinstance(schema.get("allOf"), list) else []:
        if why := _unmatchable(part, place, old=old):
            return why
    return ""


def _asks_for_object(schema: Mapping[str, Json]) -> bool:
    """True if only an object fits; anything else would not need what is required."""
    return schema.get("type") == "object" or "type" not in schema
