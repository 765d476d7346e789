"""The compiled schema says what jsonschema says, or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hookrunner.formats import CHECKS
from hookrunner.schema import Schema
from tests.test_formats import BAD, GOOD

NOWHERE = Path("/nowhere")
DRAFTS = [
    "http://json-schema.org/draft-04/schema#",
    "http://json-schema.org/draft-06/schema#",
    "http://json-schema.org/draft-07/schema#",
    "https://json-schema.org/draft/2019-09/schema",
    "https://json-schema.org/draft/2020-12/schema",
]

NAMES = st.sampled_from(["a", "b", "c", ""])
NUMBERS = st.sampled_from(
    [0, 1, -1, 2, 3, 10, 0.0, -0.0, 1.0, 1.5, 2**53, 2**53 + 1, 2**64, -(2**70), 1e300, 1e-9]
)
TEXTS = st.sampled_from(
    ["", "a", "b", "ab", "1", "ü", "\U0001d11e", "\ud800", "2020-01-02", "x@y.z"]
)
PLAIN = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
COUNTS = st.integers(0, 3)
TYPES = ["array", "boolean", "integer", "null", "number", "object", "string"]
BOUNDS = st.sampled_from([0, 1, -1, 1.5, 2, 10, 2**53, 2**64])


def keywords(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Schemas of every keyword that is compiled, as all drafts since 6 write them."""
    several = st.lists(inner, min_size=1, max_size=3)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(TYPES)
            | st.lists(st.sampled_from(TYPES), min_size=1, max_size=3, unique=True),
            "const": VALUES,
            "enum": st.lists(VALUES, min_size=1, max_size=3),
            "properties": st.dictionaries(NAMES, inner, max_size=3),
            "required": st.lists(NAMES, max_size=2, unique=True),
            "additionalProperties": inner,
            "items": inner,
            "allOf": several,
            "anyOf": several,
            "oneOf": several,
            "not": inner,
            "if": inner,
            "then": inner,
            "else": inner,
            "minimum": BOUNDS,
            "maximum": BOUNDS,
            "multipleOf": st.sampled_from([1, 2, 3, 0.5, 0.1, 2**60]),
            "minLength": COUNTS,
            "maxLength": COUNTS,
            "minItems": COUNTS,
            "maxItems": COUNTS,
            "minProperties": COUNTS,
            "maxProperties": COUNTS,
            "pattern": st.sampled_from(["a", "^a", "b$", "^[ab]*$", "\\d", "^.$", ""]),
            "format": st.sampled_from(sorted(CHECKS)),
            "$ref": st.sampled_from(["#/definitions/one", "#/definitions/two"]),
            "title": st.just("of no meaning"),
            "default": VALUES,
            # What is left to jsonschema alone.
            "uniqueItems": st.booleans(),
            "patternProperties": st.dictionaries(st.sampled_from(["a", "^b"]), inner, max_size=1),
            "propertyNames": inner,
            "contains": inner,
        },
    )


SCHEMAS = st.recursive(st.booleans(), keywords, max_leaves=6)


def agree(schema: Schema, value: Any) -> bool | None:
    """What the compiled schema says; None if it is not compiled. It never differs."""
    compiled = schema._fits
    if compiled is None:
        return None
    said = compiled(value)
    assert said == (not schema.judged(value))
    return said


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    draft=st.sampled_from(DRAFTS[1:]),
    contents=keywords(SCHEMAS),
    one=SCHEMAS,
    two=SCHEMAS,
    values=st.lists(VALUES, min_size=1, max_size=6),
)
def test_the_compiled_schema_agrees_with_jsonschema(
    draft: str, contents: dict[str, Any], one: Any, two: Any, values: list[Any]
) -> None:
    try:
        schema = Schema(
            {"$schema": draft, **contents, "definitions": {"one": one, "two": two}}, NOWHERE
        )
    except Exception as error:
        assert type(error).__name__ == "BadSchema", error
        return
    for value in values:
        agree(schema, value)


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize(
    "contents",
    [
        {"type": "integer"},
        {"type": ["integer", "string"]},
        {"type": "number", "minimum": 1, "maximum": 2**64},
        {"enum": [1, "a", None]},
        {"enum": [True]},
        {"enum": ["a", None]},
        {"enum": [[1], {"a": 1}]},
        {"items": {"type": "string"}},
        {"properties": {"a": {"type": "string"}}, "additionalProperties": False, "required": ["a"]},
        {"not": {"type": "string"}},
        {"oneOf": [{"type": "integer"}, {"minimum": 1}]},
        {"anyOf": [{"type": "string"}, {"enum": [1]}]},
        {"pattern": "^a"},
        {"maxLength": 1},
        {"multipleOf": 2},
    ],
    ids=str,
)
def test_they_agree_about_what_is_easily_taken_for_something_else(
    draft: str, contents: dict[str, Any]
) -> None:
    schema = Schema({"$schema": draft, **contents}, NOWHERE)
    for value in (
        0, 1, 1.0, 1.5, 2, -0.0, True, False, None, "", "a", "ab", "1", "\ud800", "\U0001d11e",
        2**53 + 1, 2**64, 2**64 + 1, -(2**64), 1e300, [], [1], [True], ["a"], ["a", 1], {},
        {"a": 1}, {"a": True}, {"a": "x"}, {"a": "x", "b": 1}, {"b": 1},
    ):  # fmt: skip
        assert agree(schema, value) is not None


def test_exclusive_bounds_agree_though_draft_4_writes_them_otherwise() -> None:
    older = Schema({"$schema": DRAFTS[0], "minimum": 1, "exclusiveMinimum": True}, NOWHERE)
    newer = Schema({"exclusiveMinimum": 1, "exclusiveMaximum": 3}, NOWHERE)
    assert [agree(older, value) for value in (0, 1, 2, "a")] == [False, False, True, True]
    assert [agree(newer, value) for value in (1, 2, 3, "a")] == [False, True, False, True]


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_formats_are_asserted_as_jsonschema_asserts_them(name: str) -> None:
    schema = Schema({"format": name}, NOWHERE)
    texts = [*GOOD[name], *BAD[name]]
    assert {agree(schema, text) for text in texts} == {True, False}


def test_a_schema_that_refers_to_itself_is_compiled_once() -> None:
    tree = {
        "type": "object",
        "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}},
        "additionalProperties": False,
    }
    schema = Schema(tree, NOWHERE)
    assert agree(schema, {"left": {"right": {}}, "right": {}}) is True
    assert agree(schema, {"left": {"right": {"middle": {}}}}) is False


def test_beside_a_reference_older_drafts_see_nothing() -> None:
    contents = {"$ref": "#/definitions/a", "type": "string", "definitions": {"a": {"minimum": 1}}}
    older = Schema({"$schema": DRAFTS[2], **contents}, NOWHERE)
    newer = Schema({"$schema": DRAFTS[4], **contents}, NOWHERE)
    assert [agree(older, value) for value in (2, "a")] == [True, True]
    assert [agree(newer, value) for value in (2, "a")] == [False, True]


@pytest.mark.parametrize(
    "contents",
    [
        {"uniqueItems": True},
        {"patternProperties": {"a": True}},
        {"propertyNames": {"maxLength": 1}},
        {"contains": True},
        {"multipleOf": 0.1},
        {"dependentSchemas": {"a": True}},
        {"unevaluatedProperties": False},
        {"properties": {"a": {"$id": "https://example.com/a", "type": "string"}}},
    ],
    ids=str,
)
def test_what_is_not_compiled_is_left_to_jsonschema(contents: dict[str, Any]) -> None:
    assert Schema(contents, NOWHERE)._fits is None


def test_a_payload_nested_too_deeply_for_it_is_left_to_jsonschema() -> None:
    schema = Schema({"items": {"$ref": "#"}}, NOWHERE)
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    assert not schema.accepts(value)
    while value:
        value = value[0]  # let go of it step by step: Python itself would recurse
