"""Payloads that `send` makes up: they fit the schema, or it is said that they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hookrunner import formats, madeup
from hookrunner.schema import Schema
from tests.serving import Project

FITTING: list[tuple[Any, Any]] = [
    (True, {}),
    ({}, "text"),
    ({"type": "object"}, {}),
    ({"type": "object", "required": ["a", "b"], "properties": {"a": {"type": "integer"}}},
     {"a": 1, "b": "text"}),
    ({"type": ["null", "string"]}, "text"),
    ({"type": "null"}, None),
    ({"type": "boolean"}, True),
    ({"examples": [{"a": 1}]}, {"a": 1}),
    ({"type": "integer", "minimum": 5}, 5),
    ({"type": "integer", "exclusiveMinimum": 5}, 6),
    ({"type": "integer", "maximum": -5}, -5),
    ({"type": "integer", "exclusiveMaximum": -5}, -6),
    ({"type": "integer", "minimum": 10, "multipleOf": 7}, 14),
    ({"type": "number", "maximum": 0.7, "minimum": 0.2}, 0.5),
    ({"type": "string", "minLength": 10}, "texttextte"),
    ({"type": "string", "minLength": 2.0, "maxLength": 3}, "tex"),
    ({"type": "string", "maxLength": 0}, ""),
    ({"type": "string", "pattern": "^refs/heads/"}, "refs/heads/main"),
    ({"type": "string", "pattern": "^[0-9]{4}$"}, "1234"),
    ({"type": "string", "pattern": "^[A-Z]+$", "minLength": 7}, "AAAAAAA"),
    ({"type": "string", "pattern": "^only\\.this$"}, "only.this"),
    ({"type": "string", "format": "email", "pattern": "example"}, "somebody@example.com"),
    ({"type": "array", "minItems": 2, "items": {"type": "integer"}}, [1, 1]),
    ({"type": "array", "minItems": 3, "uniqueItems": True}, ["text", "text 2", "text 3"]),
    ({"type": "array", "minItems": 2, "uniqueItems": True, "items": {"type": "number"}},
     [1.5, 2.5]),
    ({"type": "array", "contains": {"const": 7}}, [7]),
    ({"type": "array", "prefixItems": [{"const": 1}], "minItems": 2}, [1, "text"]),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "object", "required": ["x"]}}}, {"x": "text"}),
    ({"allOf": [{"type": "object", "required": ["a"]},
                {"required": ["b"], "properties": {"b": {"const": 2}}}]}, {"a": "text", "b": 2}),
    ({"anyOf": [{"type": "integer"}, {"type": "string"}], "minimum": 3}, 3),
    ({"oneOf": [{"const": 1}, {"const": 2}]}, 1),
    *(({"type": "string", "format": name}, text) for name, text in madeup.FORMATS.items()),
]  # fmt: skip


@pytest.mark.parametrize(("contents", "made"), FITTING)
def test_what_is_made_up_fits(contents: Any, made: Any, tmp_path: Path) -> None:
    assert madeup.payload(Schema(contents, tmp_path), "") == (made, "")


def test_every_format_that_is_asserted_can_be_made_up() -> None:
    assert set(madeup.FORMATS) <= set(formats.CHECKS) | {"duration"}
    assert all(formats.fits(name, text) for name, text in madeup.FORMATS.items())


@pytest.mark.parametrize(
    ("contents", "why"),
    [
        (False, "(whole): False schema does not allow 'text'"),
        ({"type": "object", "required": ["a"], "properties": {"a": {"pattern": "^q{3}z$"}}},
         "/a: 'text' does not match '^q{3}z$'"),
        ({"type": "string", "not": {"type": "string"}}, "(whole): 'text' should not be valid under "
                                      "{'type': 'string'}"),
        ({"type": "number", "minimum": 1e308, "multipleOf": 1e-300},
         "(whole): {} is not of type 'number'"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_up_is_told(contents: Any, why: str, tmp_path: Path) -> None:
    assert madeup.payload(Schema(contents, tmp_path), "")[1] == why


def test_a_schema_that_asks_for_itself_comes_to_an_end(tmp_path: Path) -> None:
    contents = {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}}
    _, why = madeup.payload(Schema(contents, tmp_path), "")
    assert why.endswith("'text' is not of type 'object'")


@pytest.mark.parametrize("name", ["github", "google-forms", "stripe", "slack", "shopify"])
def test_a_sender_s_payload_is_like_its_own(name: str, tmp_path: Path) -> None:
    sent: Any
    sent, why = madeup.payload(None, name)
    assert why == ""
    wanted = {"github": "commits", "google-forms": "response", "stripe": "type",
              "slack": "event", "shopify": "line_items"}  # fmt: skip
    assert wanted[name] in sent
    # Where the schema is beyond us, the sender's own may fit.
    odd = Schema({"required": [wanted[name]], "not": {"maxProperties": 1}}, tmp_path)
    assert madeup.payload(odd, name)[1] == ""


def test_send_tells_that_nothing_could_be_made_up(tmp_path: Path) -> None:
    project = Project(tmp_path).script("a.sh", "cat\n").hooks(
        "/a: {script: a.sh, auth: none, schema: {type: string, pattern: '^q{3}z$'}}\n"
    )  # fmt: skip
    done = project.command("send", "/a")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "no payload could be made up that fits the schema: "
        "(whole): 'text' does not match '^q{3}z$'; give one: --data '…'\n"
    )
