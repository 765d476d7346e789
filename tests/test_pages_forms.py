"""A form is made from a schema, and what is posted with it becomes the payload it stands for."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookrunner.model import Json
from hookrunner.pages import hook, tryform
from hookrunner.pages.shown import Frame, HookLine, HookPage, Trial
from hookrunner.pages.tree import grow, walk
from hookrunner.pages.tryform import Read
from tests.reading import Page, faults

PERSON = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string"},
        "email": {"type": "string", "format": "email"},
        "boss": {"$ref": "#/$defs/person"},
    },
}
SCHEMA: Json = {
    "type": "object",
    "required": ["ref", "notify"],
    "properties": {
        "ref": {"type": "string", "title": "Reference", "description": "What to <deploy>."},
        "count": {"type": "integer", "default": 2},
        "ratio": {"type": ["number", "null"]},
        "stage": {"enum": ["test", "prod", 3, None]},
        "notify": {"type": "boolean"},
        "quiet": {"type": "boolean"},
        "when": {"type": "string", "format": "date"},
        "note": {"type": "string", "maxLength": 2000},
        "tags": {"type": "array", "items": {"type": "string"}},
        "sizes": {"type": "array", "items": {"type": "integer"}},
        "owner": {"$ref": "#/$defs/person"},
        "any": {"oneOf": [{"type": "string"}, {"type": "object"}]},
        "a/b~c": {"type": "string"},
    },
    "$defs": {"person": PERSON},
}
UNTRIED = Trial()
FRAME = Frame(1_800_000_000.0, "a-token")


def written(
    schema: Json | None = SCHEMA, trial: Trial = UNTRIED, params: tuple[str, ...] = ()
) -> Page:
    html = hook.page(
        FRAME, HookPage(HookLine("/deploy", "deploy.sh"), (), schema, params, (), trial)
    )
    assert faults(html) == []
    return Page(html)


def read(given: Mapping[str, str]) -> Read:
    return tryform.read(SCHEMA, [("as", "form"), ("/ref", "main"), *given.items()])


@pytest.mark.parametrize(
    ("name", "kind", "attributes"),
    [
        ("/ref", "input", {"type": "text", "aria-required": "true"}),
        ("/count", "input", {"inputmode": "numeric", "value": "2"}),
        ("/ratio", "input", {"inputmode": "decimal"}),
        ("/stage", "select", {}),
        ("/notify", "input", {"type": "checkbox"}),
        ("/quiet", "select", {}),
        ("/when", "input", {"type": "date"}),
        ("/note", "textarea", {}),
        ("/tags", "textarea", {}),
        ("/owner/name", "input", {"type": "text"}),
        ("/owner/email", "input", {"type": "email"}),
        ("/owner/boss/boss/boss", "textarea", {"class": "code"}),
        ("/any", "textarea", {"class": "code"}),
        ("/a~1b~0c", "input", {"type": "text"}),
        ("json", "textarea", {"class": "code"}),
    ],
)
def test_each_type_has_its_control(name: str, kind: str, attributes: dict[str, str]) -> None:
    control = written().one(kind, name=name)

    assert attributes.items() <= control.given.items()


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({}, {}),
        ({"/count": "7"}, {"count": 7}),
        ({"/count": " -7 "}, {"count": -7}),
        ({"/ratio": "2.50"}, {"ratio": 2.5}),
        ({"/ratio": "1e3"}, {"ratio": 1000.0}),
        ({"/ratio": ""}, {}),
        ({"/stage": '"prod"'}, {"stage": "prod"}),
        ({"/stage": "3"}, {"stage": 3}),
        ({"/stage": "null"}, {"stage": None}),
        ({"/notify": "true"}, {"notify": True}),
        ({"/quiet": "false"}, {"quiet": False}),
        ({"/note": "one\r\ntwo"}, {"note": "one\ntwo"}),
        ({"/tags": "a\r\n\r\nb c\r\n"}, {"tags": ["a", "b c"]}),
        ({"/sizes": "1\n2"}, {"sizes": [1, 2]}),
        ({"/owner/name": "Zoë"}, {"owner": {"name": "Zoë"}}),
        ({"/owner/name": "Z", "/owner/boss/name": "Y"},
         {"owner": {"name": "Z", "boss": {"name": "Y"}}}),
        ({"/any": '{"x": [1, null]}'}, {"any": {"x": [1, None]}}),
        ({"/a~1b~0c": "x"}, {"a/b~c": "x"}),
        ({"/unknown": "x", "csrf": "y"}, {}),
    ],
)  # fmt: skip
def test_what_was_filled_in_has_the_type_of_the_schema(
    given: dict[str, str], value: dict[str, Json]
) -> None:
    assert read(given) == Read({"ref": "main", "notify": False, **value}, {})


@pytest.mark.parametrize(
    ("given", "place", "told"),
    [
        ({"/ref": " "}, "/ref", "is required; fill it in"),
        ({"/count": "many"}, "/count", "must be a whole number, not 'many'"),
        ({"/count": "1.5"}, "/count", "must be a whole number, not '1.5'"),
        ({"/ratio": "NaN"}, "/ratio", "must be a number such as 3.5, not 'NaN'"),
        ({"/ratio": "1e999"}, "/ratio", "must be a number such as 3.5, not '1e999'"),
        ({"/stage": "x"}, "/stage", "is none of the values to choose from: 'x'"),
        ({"/sizes": "1\nx"}, "/sizes", "line 2 must be a whole number, not 'x'"),
        ({"/owner/email": "a@b.example"}, "/owner/name", "is required; fill it in"),
        ({"/any": "{"}, "/any",
         "is no JSON: Expecting property name enclosed in double quotes at line 1, column 2"),
        ({"/any": "NaN"}, "/any", "is no JSON: NaN is no number there"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_at_its_field(given: dict[str, str], place: str, told: str) -> None:
    assert read(given) == Read(None, {place: told})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"n": 1}', Read({"n": 1}, {})),
        ("[1, 2]", Read([1, 2], {})),
        ("", Read(None, {"json": "is empty; write the payload as JSON, if only {}"})),
        ("x", Read(None, {"json": "is no JSON: Expecting value at line 1, column 1"})),
        ("[" * 100_000, Read(None, {"json": "is nested too deeply"})),
    ],
)
@pytest.mark.parametrize("schema", [SCHEMA, None, True, {"type": "array"}])
def test_a_payload_can_be_written_as_json(text: str, expected: Read, schema: Json) -> None:
    assert tryform.read(schema, [("as", "json"), ("json", text)]) == expected


def test_an_error_stands_beside_its_field_and_is_linked_to() -> None:
    errors = {
        "/ref": "is too <short>",
        "/tags/1": "is not unique",
        "/owner": "is odd",
        "/owner/name": "is required; fill it in",
        "/nowhere/x": "is lost",
        "": "Additional properties are not allowed",
        "param.target": "is missing",
    }
    fields = [("/ref", '<"x">'), ("/tags", "a\r\na"), ("param.target", "</textarea>")]
    page = written(trial=Trial([("as", "form"), *fields], errors), params=("target", "t.x"))

    ref = page.one("input", name="/ref")
    assert ref.given["value"] == '<"x">'
    assert ref.given["aria-invalid"] == "true"
    described = [page.one("p", id=name).text for name in ref.given["aria-describedby"].split()]
    assert described == ["is too <short>", "What to <deploy>."]
    tags = page.one("textarea", name="/tags")
    assert tags.text == "\na\r\na"
    assert page.one("p", id=f"{tags.given['id']}-error").text == "line 2: is not unique"
    assert page.one("input", name="param.target").given["value"] == "</textarea>"
    summary = page.one("div", role="alert")
    for line in (
        "Reference: is too <short>",
        "tags: line 2: is not unique",
        "Payload: /nowhere/x: is lost",
        "Payload: Additional properties are not allowed",
        "param.target: is missing",
    ):
        assert line in summary.text
    invalid = [item.given["name"] for item in page.all("input", aria_invalid="true")]
    assert invalid == ["param.target", "/ref", "/owner/name"]


def test_what_was_posted_is_shown_again() -> None:
    fields = [
        ("as", "json"),
        ("/count", ""),
        ("/notify", "true"),
        ("/stage", "3"),
        ("json", "{</textarea><script>"),
    ]
    page = written(trial=Trial(fields, {"json": "is no JSON", "/x": "is odd"}))

    assert "value" not in page.one("input", name="/count").given
    assert "checked" in page.one("input", name="/notify").given
    assert [option.given["value"] for option in page.all("option", selected="")] == ["3"]
    assert page.one("textarea", name="json").text == "\n{</textarea><script>"
    assert "checked" in page.one("input", id="as-json").given
    assert page.one("p", id="f-json-error").text == "is no JSON; /x: is odd"


def test_without_a_schema_there_is_json_alone() -> None:
    page = written(None)

    assert [area.given["name"] for area in page.all("textarea")] == ["json"]
    assert page.one("input", name="as").given["value"] == "json"
    assert page.one("textarea", name="json").text == "\n{}"


def test_json_begins_as_what_the_schema_requires() -> None:
    assert written().one("textarea", name="json").text == '\n{\n  "ref": "",\n  "notify": false\n}'


HOSTILE = '"><script>alert(1)</script>\u202e\x00'
NASTY: list[Json] = [
    True,
    False,
    {},
    {"$ref": "#"},
    {"$ref": "#/nowhere", "properties": {"a": {"$ref": "other.json"}}},
    {"properties": {"a": {"$ref": "#/properties/a"}}},
    {"allOf": [{"$ref": "#"}] * 16, "properties": {"a": {"$ref": "#"}}},
    {"properties": {name: {"$ref": "#"} for name in "abcdef"}},
    {"properties": {f"p{n}": {"type": "string"} for n in range(2000)}},
    {"properties": {HOSTILE: {"title": HOSTILE, "description": HOSTILE, "default": HOSTILE,
                              "type": "string"}}, "required": [HOSTILE]},
    {"properties": {"a": {"enum": [HOSTILE, None, 1], "pattern": HOSTILE, "const": HOSTILE}}},
    {"properties": {HOSTILE: {"properties": {"": {"title": "", "type": ["string", "object"]}}}}},
    {"properties": 7, "required": 7, "type": [7], "enum": 7, "allOf": 7, "$ref": 7, "title": 7},
    {"properties": {"a": {"type": "array", "items": {"type": "object", "properties": {
        "b": {"$anchor": "x"}}}}}, "anyOf": [True, {"required": ["a"]}, {"const": {}}]},
]  # fmt: skip


@pytest.mark.parametrize("schema", NASTY, ids=range(len(NASTY)))
def test_whatever_a_schema_says_is_shown_as_text(schema: Json) -> None:
    page = written(schema, Trial([], {f"/{HOSTILE}/0": HOSTILE, HOSTILE: HOSTILE}), (HOSTILE,))

    assert not page.all("script")
    assert sum(1 for _ in walk(grow(schema))) <= 301
    tryform.read(schema, [("as", "form"), (f"/{HOSTILE}", HOSTILE)])


def test_a_schema_is_a_table_of_its_fields() -> None:
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["n"],
        "properties": {
            "n": {"type": "integer", "minimum": 1, "maximum": 9, "title": "Number"},
            "list": {"type": "array", "items": {"type": "string", "pattern": "^<"}},
            "who": {"allOf": [{"$ref": "#person"}, {"required": ["name"]}]},
        },
        "$defs": {"p": {"$anchor": "person", "properties": {"name": {"const": "Zoë"}}}},
    }
    page = written(schema)

    for row in (
        "the payloadobject–no other fields–",
        "nintegerrequired≥ 1≤ 9Number",
        "listarray–––",
        "each itemstring–fits ^<–",
        "whoobject–––",
        "namestringrequiredis Zoë–",
    ):
        assert row in [line.text for line in page.all("tr")]


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(
    st.sampled_from(["/ref", "/count", "/stage", "/tags", "/sizes", "/any", "/owner", "/owner/name",
                     "as", "json", "", "/", "param.target", "/owner/boss/boss/boss"]),
    st.one_of(st.text(max_size=20), st.sampled_from(["1", "{}", "form", "json", "null", "<b>"])),
))  # fmt: skip
def test_whatever_is_posted_is_read_or_refused_and_shown_again(fields: dict[str, str]) -> None:
    pairs = list(fields.items())
    found = tryform.read(SCHEMA, pairs)

    assert found.value is None or found.errors == {}
    written(trial=Trial(pairs, found.errors), params=("target",))
