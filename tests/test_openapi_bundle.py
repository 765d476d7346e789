"""Payload schemas in an OpenAPI document let through what they let through in their hooks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from hookrunner.openapi.bundle import Bundle
from hookrunner.schema import CHECKER, Schema, from_file
from tests.test_schema_suite import CASES, schema_of

# $dynamicRef means another thing wherever it is come from; here it is what it is first. A schema
# that judges by its own vocabulary has none of it any more; and draft 4's 1.0 was no integer.
OTHERWISE = {"dynamicRef", "recursiveRef", "vocabulary", "zeroTerminatedFloats"}
FILES = [
    (draft, name)
    for draft, files in CASES.items()
    for name in files
    if name.rpartition("/")[2] not in OTHERWISE
]


def bundled(schema: Schema) -> dict[str, Any]:
    """The schema as a document of its own, with all that it refers to."""
    bundle = Bundle()
    return {**bundle.add("payload", schema), "components": {"schemas": bundle.schemas}}


def lets(document: Any, value: Any) -> bool:
    return Draft202012Validator(document, format_checker=CHECKER).is_valid(value)


@pytest.mark.parametrize(("draft", "name"), FILES, ids=[f"{d} {n}" for d, n in FILES])
def test_what_a_schema_says_it_says_in_the_document_too(draft: str, name: str) -> None:
    compared = 0
    for group in CASES[draft][name]:
        schema = schema_of(group["schema"], draft)
        if schema is None:
            continue
        document = bundled(schema)
        for value, _ in group["cases"]:
            compared += 1
            wanted = not schema.misfits(value)
            assert lets(document, value) == wanted, (group["schema"], document, value)
    assert compared or all(schema_of(g["schema"], draft) is None for g in CASES[draft][name])


def test_files_that_refer_to_each_other_are_there_once(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        '{"properties": {"b": {"$ref": "b.json"}, "more": {"$ref": "b.json#/$defs/c"}}}'
    )
    (tmp_path / "b.json").write_text(
        '{"$defs": {"c": {"type": "integer"}}, "type": "object", '
        '"properties": {"a": {"$ref": "a.json"}, "b": {"$ref": "#"}, "c": {"$ref": "#/$defs/c"}}}'
    )

    document = bundled(from_file(tmp_path / "a.json", tmp_path))

    assert document["components"]["schemas"] == {
        "payload": {
            "properties": {
                "b": {"$ref": "#/components/schemas/payload.b"},
                "more": {"$ref": "#/components/schemas/payload.c"},
            }
        },
        "payload.b": {
            "type": "object",
            "properties": {
                "a": {"$ref": "#/components/schemas/payload"},
                "b": {"$ref": "#/components/schemas/payload.b"},
                "c": {"$ref": "#/components/schemas/payload.c"},
            },
        },
        "payload.c": {"type": "integer"},
    }


def test_what_cannot_be_said_is_told_so(tmp_path: Path) -> None:
    old = Schema({"$schema": "http://json-schema.org/draft-03/schema#", "type": "any"}, tmp_path)

    assert bundled(old)["components"]["schemas"] == {
        "payload": {
            "description": "The schema of this payload cannot be said here: "
            "it is written in draft 3 of JSON Schema."
        }
    }
