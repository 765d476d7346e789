"""Schemas of hooks as an OpenAPI document holds them: draft 2020-12, and all in one place.

Every schema that a reference leads to, in whatever file, becomes a component by itself; so
ids, anchors and folders are gone. What older drafts wrote otherwise is written as the
document's own dialect has it; what says nothing of a value to its own draft is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from jsonschema import (
    Draft3Validator,
    Draft4Validator,
    Draft6Validator,
    Draft7Validator,
    Draft201909Validator,
)

from hookrunner.model import Json
from hookrunner.schema import Part, Schema

DRAFTS: dict[Any, int] = {
    Draft3Validator: 3,
    Draft4Validator: 4,
    Draft6Validator: 6,
    Draft7Validator: 7,
    Draft201909Validator: 2019,
}
NEWEST = 2020

ANY_DRAFT = frozenset(
    {
        *("type", "enum", "format", "title", "description", "default", "pattern", "required"),
        *("multipleOf", "maximum", "minimum", "exclusiveMaximum", "exclusiveMinimum"),
        *("maxLength", "minLength", "maxItems", "minItems", "uniqueItems"),
        *("maxProperties", "minProperties"),
    }
)
SINCE = {
    **dict.fromkeys(("const", "examples"), 6),
    **dict.fromkeys(("contentMediaType", "contentEncoding", "readOnly", "writeOnly"), 7),
    **dict.fromkeys(("minContains", "maxContains", "dependentRequired", "deprecated"), 2019),
}
"""Keywords that are copied as they are, from which draft on."""

IN_ONE = {
    **dict.fromkeys(("not", "additionalProperties", "items"), 4),
    **dict.fromkeys(("contains", "propertyNames"), 6),
    **dict.fromkeys(("if", "then", "else"), 7),
    **dict.fromkeys(("unevaluatedItems", "unevaluatedProperties", "contentSchema"), 2019),
}
IN_LIST = {**dict.fromkeys(("allOf", "anyOf", "oneOf"), 4), "prefixItems": 2020}
IN_MAP = {"properties": 4, "patternProperties": 4, "dependentSchemas": 2019}
"""Keywords that hold a schema, several, or one under each name; from which draft on."""

REFERENCES = {"$ref": 3, "$recursiveRef": 2019, "$dynamicRef": 2020}
PLACE = "#/components/schemas/"
UNSAID = "The schema of this payload cannot be said here: {}."


class Bundle:
    """Schemas under names that refer to each other; `schemas` becomes the document's components."""

    def __init__(self) -> None:
        self.schemas: dict[str, Json] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._texts: dict[int, str] = {}
        self._alive: list[Json] = []

    def add(self, name: str, schema: Schema) -> Json:
        """Take a hook's schema in; a reference to it."""
        try:
            return {"$ref": PLACE + self._named(schema.whole, name, name)}
        except RecursionError:
            self.schemas[name] = {"description": UNSAID.format("it is nested too deeply")}
            return {"$ref": PLACE + name}

    def _named(self, part: Part, wish: str, prefix: str) -> str:
        # A file that is named twice is read twice; what is in it is the same all the same.
        root = part.resolver.lookup("#").contents
        key = self._text(root), self._text(part.contents)
        if key not in self._names:
            self._names[key] = name = self._free(wish)
            self.schemas[name] = {}
            self.schemas[name] = _Conversion(self, part, prefix).converted()
        return self._names[key]

    def refer(self, part: Part, ref: str, prefix: str) -> Json:
        """A reference to what a reference leads to."""
        last = re.split(r"[/#]", ref.rstrip("/#"))[-1].removesuffix(".json")
        wish = f"{prefix}.{re.sub('[^A-Za-z0-9_-]+', '_', last) or 'part'}"
        return {"$ref": PLACE + self._named(part.target(ref), wish, prefix)}

    def _text(self, contents: Json) -> str:
        if id(contents) not in self._texts:
            self._alive.append(contents)  # an id is another's once its object is gone
            self._texts[id(contents)] = json.dumps(contents, sort_keys=True)
        return self._texts[id(contents)]

    def _free(self, wish: str) -> str:
        name, number = wish, 1
        while name in self.schemas:
            number += 1
            name = f"{wish}-{number}"
        return name


class _Conversion:
    """One schema on its way."""

    def __init__(self, bundle: Bundle, part: Part, prefix: str) -> None:
        self.bundle = bundle
        self.part = part
        self.prefix = prefix
        self.draft = DRAFTS.get(part.kind, NEWEST)

    def converted(self) -> Json:
        contents = self.part.contents
        if not isinstance(contents, dict):
            return contents
        if self.draft == 3:
            return {"description": UNSAID.format("it is written in draft 3 of JSON Schema")}
        if "$ref" in contents and self.draft <= 7:  # what stands beside it does not count there
            return self._refer(contents["$ref"])
        said = {key: value for key, value in contents.items() if self._is_known(key)}
        for keywords, convert in self._holders():
            for key, since in keywords.items():
                if key in contents and since <= self.draft:
                    said[key] = convert(contents[key])
        return self._with_references(contents, self._renewed(contents, said))

    def _is_known(self, key: str) -> bool:
        return key in ANY_DRAFT or SINCE.get(key, NEWEST + 1) <= self.draft

    def _holders(self) -> Iterable[tuple[dict[str, int], Callable[[Json], Json]]]:
        yield (
            IN_ONE,
            lambda value: self._list(value) if isinstance(value, list) else self._in(value),
        )
        yield IN_LIST, self._list
        yield IN_MAP, lambda value: {name: self._in(each) for name, each in value.items()}

    def _in(self, contents: Json) -> Json:
        inner = self.part.inside(contents)
        return _Conversion(self.bundle, inner, self.prefix).converted()

    def _list(self, contents: Json) -> list[Json]:
        return [self._in(each) for each in contents]

    def _refer(self, ref: str) -> Json:
        return self.bundle.refer(self.part, ref, self.prefix)

    def _with_references(self, contents: dict[str, Json], said: dict[str, Json]) -> Json:
        refs = [
            contents[k] for k, since in REFERENCES.items() if k in contents and since <= self.draft
        ]
        made = [self._refer(ref) for ref in refs]
        if len(made) == 1:
            return {**made[0], **said}
        return {**said, "allOf": [*said.get("allOf", ()), *made]} if made else said

    def _renewed(self, contents: dict[str, Json], said: dict[str, Json]) -> dict[str, Json]:
        """What draft 2020-12 writes otherwise."""
        if self.draft < NEWEST and isinstance(said.get("items"), list):
            said["prefixItems"] = said.pop("items")
            if "additionalItems" in contents:
                said["items"] = self._in(contents["additionalItems"])
        if self.draft == 4:
            for bound in ("Minimum", "Maximum"):
                limit = said.get(bound.lower())
                if said.pop(f"exclusive{bound}", False) is True and limit is not None:
                    said[f"exclusive{bound}"] = said.pop(bound.lower())
        if self.draft <= 7:
            for name, needed in contents.get("dependencies", {}).items():
                if isinstance(needed, list):
                    said.setdefault("dependentRequired", {})[name] = needed
                else:
                    said.setdefault("dependentSchemas", {})[name] = self._in(needed)
        return said
