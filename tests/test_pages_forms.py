"""A form is made from a schema, and what is posted with it becomes the payload it stands for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookrunner.model import Json
from hookrunner.pages import hook, posted
from hookrunner.pages.shown import Frame, HookLine, HookPage, Trial
from hookrunner.pages.tree import grow, walk
from hookrunner.schema import Schema
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


def read(given: Mapping[str, str], schema: Json = SCHEMA) -> Json:
    """The payload that was posted; it must be one."""
    found = posted.read(schema, fields(given))
    assert found.errors == {}
    return json.loads(found.text)


def fields(given: Mapping[str, str]) -> list[tuple[str, str]]:
    return [("as", "form"), ("/ref", "main"), *given.items()]


def complaints(given: Mapping[str, str], schema: Json = SCHEMA) -> dict[str, str]:
    """All that is wrong with what was posted, as the form says it."""
    pairs = fields(given)
    found = posted.read(schema, pairs)
    misfits = Schema(schema, Path()).misfits(json.loads(found.text))
    return {**found.errors, **posted.told(schema, pairs, misfits, found.errors)}


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
        ("/any~b0", "input", {"type": "text"}),
        ("/any~b1", "textarea", {"class": "code"}),
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
        ({"/any~b0": "word"}, {"any": "word"}),
        ({"/any~b0": "word", "/any~b": "1"}, {}),
        ({"/any~b": "1", "/any~b1": '{"x": [1, null]}'}, {"any": {"x": [1, None]}}),
        ({"/a~1b~0c": "x"}, {"a/b~c": "x"}),
        ({"/unknown": "x", "csrf": "y"}, {}),
    ],
)  # fmt: skip
def test_what_was_filled_in_has_the_type_of_the_schema(
    given: dict[str, str], value: dict[str, Json]
) -> None:
    assert read(given) == {"ref": "main", "notify": False, **value}


@pytest.mark.parametrize(
    ("given", "place", "told"),
    [
        ({"/ref": " "}, "/ref", "is required; fill it in"),
        ({"/count": "many"}, "/count", "must be a whole number, not 'many'"),
        ({"/count": "1.5"}, "/count", "must be a whole number, not '1.5'"),
        ({"/ratio": "NaN"}, "/ratio", "must be a number such as 3.5, not 'NaN'"),
        ({"/ratio": "1e999"}, "/ratio", "must be a number such as 3.5, not '1e999'"),
        ({"/stage": "x"}, "/stage", "is none of the values to choose from: 'x'"),
        ({"/sizes": "1\n\n \r\nx"}, "/sizes", "line 4 must be a whole number, not 'x'"),
        ({"/owner/email": "a@b.example"}, "/owner/name", "is required; fill it in"),
        ({"/any~b": "1", "/any~b1": "{"}, "/any",
         "is not JSON: Expecting property name enclosed in double quotes at line 1 column 2"),
        ({"/any~b": "1", "/any~b1": '{"a": 1, "a": 2}'}, "/any",
         "is not JSON that can be taken: the key 'a' stands twice in one object"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_at_its_field(given: dict[str, str], place: str, told: str) -> None:
    assert complaints(given) == {place: told}


def test_all_that_is_wrong_is_said_at_once() -> None:
    given = {"/ref": " ", "/count": "many", "/owner/email": "nobody", "/tags": "a",
             "/sizes": "x"}  # fmt: skip

    assert complaints(given) == {
        "/ref": "is required; fill it in",
        "/count": "must be a whole number, not 'many'",
        "/sizes": "line 1 must be a whole number, not 'x'",
        "/owner/name": "is required; fill it in",
        "/owner/email": "'nobody' is not a 'email'",
    }


PAYMENT: Json = {
    "type": "object",
    "properties": {
        "note": {"anyOf": [{"type": "string", "minLength": 2}, {"type": "null"}]},
        "meal": {"oneOf": [{"const": "fish"}, {"const": "none"}]},
        "kinds": {"oneOf": [{"type": "string", "maxLength": n} for n in range(9)]},
        "by": {
            "title": "Payment",
            "properties": {"kind": {"type": "string"}},
            "oneOf": [{"$ref": "#/$defs/card"}, {"$ref": "#/$defs/transfer"}, {"type": "null"}],
        },
    },
    "required": ["by"],
    "$defs": {
        "card": {
            "properties": {
                "kind": {"const": "card"},
                "number": {"type": "string", "minLength": 4},
                "year": {"type": "integer"},
            },
            "required": ["kind", "number"],
        },
        "transfer": {
            "title": "Bank transfer",
            "properties": {"kind": {"const": "transfer"}, "iban": {"type": "string"}},
            "required": ["kind", "iban"],
        },
    },
}


def test_of_several_kinds_of_value_the_one_that_is_chosen_is_sent() -> None:
    card = {"/by~b0/kind": '"card"', "/by~b0/number": "1234", "/by~b0/year": "2030"}
    other = {"/by~b1/kind": '"transfer"', "/by~b1/iban": "DE00"}

    assert read({**card, **other}, PAYMENT) == {
        "by": {"kind": "card", "number": "1234", "year": 2030}
    }
    assert read({**card, **other, "/by~b": "1"}, PAYMENT) == {
        "by": {"kind": "transfer", "iban": "DE00"}
    }
    assert read({**card, "/by~b": "2", "/note": "ok", "/meal": '"fish"'}, PAYMENT) == {
        "note": "ok",
        "meal": "fish",
        "by": None,
    }


def test_what_is_wrong_is_said_of_the_kind_that_is_chosen() -> None:
    card = {"/by~b0/kind": '"card"', "/by~b0/number": "123", "/by~b0/year": "soon"}
    wrong = {
        "/by/year": "must be a whole number, not 'soon'",
        "/by/number": "'123' is too short",
        "/note": "'x' is too short",
    }
    assert complaints({**card, "/note": "x"}, PAYMENT) == wrong
    given = {"/by~b": "1", "/by~b1/kind": '"transfer"'}
    assert complaints(given, PAYMENT) == {"/by/iban": "is required; fill it in"}
    page = written(PAYMENT, Trial(fields({**card, "/note": "x"}), wrong))
    assert [each.given["name"] for each in page.all("input", aria_invalid="true")] == [
        "/note",
        "/by~b0/number",
        "/by~b0/year",
    ]
    assert page.all("p", class_="error")[1].text == "Error: '123' is too short"


def test_several_kinds_of_value_are_a_choice_and_a_row_each() -> None:
    page = written(PAYMENT)

    picks = page.all("input", type="radio", name="/by~b")
    assert [("checked" in pick.given) for pick in picks] == [True, False, False]
    words = [page.one("label", for_=pick.given["id"]).text for pick in picks]
    assert words == ["kind card", "Bank transfer", "null"]
    kind = page.one("select", name="/by~b0/kind")
    assert [each.text for each in page.all("option", selected="")] == ["card", "transfer"]
    assert kind.given["aria-required"] == "true"
    assert page.one("input", name="/note").given["type"] == "text"
    assert "Written as JSON: it is one of 9 kinds of value." in page.text
    rows = [line.text for line in page.all("tr")]
    for row in (
        "notenull or string–at least 2 characters–",
        "mealstring–one of fish, none–",
        "bynull or objectrequiredone of: kind card, or Bank transfer, or nullPayment",
        "as Bank transferobject–––",
        "ibanstringrequired––",
    ):
        assert row in rows


def test_a_payload_of_several_kinds_has_a_form_too() -> None:
    schema = {"oneOf": [{"type": "object", "properties": {"a": {"type": "integer"}}},
                        {"type": "array", "items": {"type": "string"}}]}  # fmt: skip

    assert read({"~b0/a": "1"}, schema) == {"a": 1}
    assert read({"~b": "1", "~b1": "x\ny"}, schema) == ["x", "y"]
    assert complaints({"~b0/a": "x"}, schema) == {"/a": "must be a whole number, not 'x'"}
    page = written(schema, Trial(fields({"~b0/a": "x"}), {"/a": "is odd", "": "is lost"}))
    assert page.one("input", name="~b0/a").given["aria-invalid"] == "true"
    assert "Payload: is lost" in page.one("div", role="alert").text
    assert "the payloadarray or object–one of: with a, or array–" in [
        line.text for line in page.all("tr")
    ]


def test_kinds_that_say_only_which_fields_go_together_are_a_rule_and_no_choice() -> None:
    schema = {
        "properties": {"mail": {"type": "string"}, "phone": {"type": "string"}},
        "anyOf": [{"required": ["mail"]}, {"required": ["phone"]}],
    }
    page = written(schema)

    assert page.one("input", name="/mail")
    assert [each.given["name"] for each in page.all("input", type="radio")] == ["as", "as"]
    assert "the payloadobject–any of: with mail, or with phone–" in [
        line.text for line in page.all("tr")
    ]


@pytest.mark.parametrize("kind", ["string", "integer", "boolean", "array"], ids=str)
def test_what_must_be_there_and_may_be_null_is_null_if_it_is_left_empty(kind: str) -> None:
    schema = {
        "required": ["a"],
        "properties": {"a": {"type": [kind, "null"], "items": {"type": "string"}}},
    }

    assert read({"/a": " "}, schema) == {"a": None}
    inner = {"type": ["object", "null"], "properties": {"b": {"type": kind}}}
    assert read({"/a/b": ""}, {"required": ["a"], "properties": {"a": inner}}) == {"a": None}
    schema["required"] = []
    assert read({"/a": " "}, schema) == {}


def test_an_object_in_which_nothing_is_filled_in_is_left_out() -> None:
    inner = {"type": "object", "required": ["c"], "properties": {"c": {"type": "string"}}}
    outer = {"type": "object", "required": ["b"], "properties": {"b": inner, "k": {"const": 1}}}
    schema = {"properties": {"a": {**outer, "required": ["b", "k"]}}}

    assert read({"/a/k": "1"}, schema) == {}
    assert complaints({"/a/k": "1", "/a/b/c": "x"}, schema) == {}


def test_a_refusal_says_what_was_refused() -> None:
    page = written(trial=Trial(fields({}), {}, "its rate is used up; try again in 3 s"))

    alert = page.one("div", role="alert")
    assert alert.text == "Nothing was sent: its rate is used up; try again in 3 s."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"n": 1}', {}),
        (' { "b" : 1.10,\n"a":"\\ud800"} \n', {}),
        ("", {"json": "is empty; write the payload as JSON, if only {}"}),
        ("x", {"json": "is not JSON: Expecting value at line 1 column 1"}),
        ("[" * 100_000, {"json": "is nested more than 64 deep"}),
        (
            '{"a": 1, "a": 2}',
            {"json": "is not JSON that can be taken: the key 'a' stands twice in one object"},
        ),
    ],
)
@pytest.mark.parametrize("schema", [SCHEMA, None, True, {"type": "array"}])
def test_a_payload_that_is_written_as_json_stays_as_it_was_written(
    text: str, expected: dict[str, str], schema: Json
) -> None:
    pairs = [("as", "json"), ("json", text.replace("\n", "\r\n"))]
    assert posted.read(schema, pairs) == posted.Read(text, expected)


def test_json_and_numbers_within_a_form_stay_as_they_were_written() -> None:
    given = {"/ratio": "1.10", "/any~b": "1", "/any~b1": '{"b": 1.0, "a": "\\ud800"}'}
    found = posted.read(SCHEMA, fields(given))

    assert found.errors == {}
    assert '"ratio": 1.10' in found.text
    assert '"any": {"b": 1.0, "a": "\\ud800"}' in found.text


def test_an_error_stands_beside_its_field_and_is_linked_to() -> None:
    errors = {
        "/ref": "is too <short>",
        "/tags/1": "is not unique",
        "/sizes/0": "is odd, too",
        "/owner": "is odd",
        "/owner/name": "is required; fill it in",
        "/nowhere/x": "is lost",
        "": "Additional properties are not allowed",
        "param.target": "is missing",
    }
    fields = [("/ref", '<"x">'), ("/tags", "a\r\n\r\na"), ("param.target", "</textarea>")]
    page = written(trial=Trial([("as", "form"), *fields], errors), params=("target", "t.x"))

    ref = page.one("input", name="/ref")
    assert ref.given["value"] == '<"x">'
    assert ref.given["aria-invalid"] == "true"
    described = [page.one("p", id=name).text for name in ref.given["aria-describedby"].split()]
    assert described == ["Error: is too <short>", "What to <deploy>."]
    tags = page.one("textarea", name="/tags")
    assert tags.text == "\na\r\n\r\na"
    assert page.one("p", id=f"{tags.given['id']}-error").text == "Error: line 3: is not unique"
    assert page.one("input", name="param.target").given["value"] == "</textarea>"
    summary = page.one("div", role="alert")
    for line in (
        "Reference: is too <short>",
        "tags: line 3: is not unique",
        "sizes: line 1: is odd, too",
        "Payload: /nowhere/x: is lost",
        "Payload: Additional properties are not allowed",
        "<target> in the path: is missing",
    ):
        assert line in summary.text
    invalid = [item.given["name"] for item in page.all("input", aria_invalid="true")]
    assert invalid == ["param.target", "/ref", "/owner/name"]
    assert summary.given.items() >= {"tabindex": "-1", "autofocus": ""}.items()
    assert summary.text.startswith("Nothing was sent: mend this first:")
    assert page.one("title").text == "Error: /deploy · hookrunner"
    order = [element.given.get("id", element.name) for element in page.elements]
    assert order.index("h1") < order.index("wrong") < order.index("try-it")
    assert order.index("try-it") < order.index("last-runs")


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
    assert page.one("p", id="f-json-error").text == "Error: is no JSON; /x: is odd"


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
    posted.read(schema, [("as", "form"), (f"/{HOSTILE}", HOSTILE)])


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
    st.sampled_from(["/ref", "/count", "/stage", "/tags", "/sizes", "/any~b0", "/any~b",
                     "/owner", "/owner/name",
                     "as", "json", "", "/", "param.target", "/owner/boss/boss/boss"]),
    st.one_of(st.text(max_size=20), st.sampled_from(["1", "{}", "form", "json", "null", "<b>"])),
))  # fmt: skip
def test_whatever_is_posted_is_read_or_refused_and_shown_again(fields: dict[str, str]) -> None:
    pairs = list(fields.items())
    found = posted.read(SCHEMA, pairs)

    assert found.errors or json.loads(found.text) is not found
    posted.told(SCHEMA, pairs, Schema(SCHEMA, Path()).misfits([]), found.errors)
    written(trial=Trial(pairs, found.errors), params=("target",))
