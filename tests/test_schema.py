"""What a schema promises: compiled once and whole, never from elsewhere, and briefly told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hookrunner.formats import CHECKS
from hookrunner.jsontext import DEEPEST
from hookrunner.model import Json, Misfit, Wanted
from hookrunner.schema import BadSchema, Schema, from_file, pointer
from tests.test_formats import BAD, GOOD

DRAFTS = {
    "4": "http://json-schema.org/draft-04/schema#",
    "6": "http://json-schema.org/draft-06/schema#",
    "7": "http://json-schema.org/draft-07/schema#",
    "2019-09": "https://json-schema.org/draft/2019-09/schema",
    "2020-12": "https://json-schema.org/draft/2020-12/schema",
}
NOWHERE = "leads nowhere; references stay inside schemas/"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """schemas/, with a few files that others may refer to."""
    schemas = tmp_path / "schemas"
    write(schemas / "whole.json", {"type": "integer"})
    write(schemas / "defs.json", {"$defs": {"name": {"$anchor": "n", "type": "string"}}})
    write(schemas / "sub/order.json", {"properties": {"item": {"$ref": "item.json"}}})
    write(schemas / "sub/item.json", {"properties": {"count": {"$ref": "../whole.json"}}})
    write(schemas / "named.json", {"$id": "https://example.com/named", "type": "boolean"})
    write(tmp_path / "outside.json", {"type": "integer"})
    return schemas


def write(path: Path, contents: Json) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(contents))
    return path


def problem(contents: Json, folder: Path) -> str:
    with pytest.raises(BadSchema) as caught:
        Schema(contents, folder)
    return str(caught.value)


def fits(contents: Json, value: Json, folder: Path = Path("/nowhere")) -> bool:
    return not Schema(contents, folder).misfits(value)


# --- what is said of a value


def test_a_value_that_fits_has_no_misfits() -> None:
    assert Schema({"type": "object"}, Path("/nowhere")).misfits({"a": 1}) == []


def test_a_misfit_names_its_place_what_is_wrong_and_the_rule() -> None:
    shape = Schema({"properties": {"ref": {"type": "string"}}}, Path("/nowhere"))
    assert shape.misfits({"ref": 7}) == [Misfit("/ref", "7 is not of type 'string'", "type")]


def test_every_misfit_is_named_not_only_the_first() -> None:
    shape = Schema(
        {"required": ["a"], "properties": {"b": {"minimum": 3}, "c": {"maxLength": 1}}},
        Path("/nowhere"),
    )
    found = {(misfit.pointer, misfit.rule) for misfit in shape.misfits({"b": 1, "c": "xx"})}
    assert found == {("", "required"), ("/b", "minimum"), ("/c", "maxLength")}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ([], ""),
        (["a"], "/a"),
        (["a", 0, "b"], "/a/0/b"),
        ([""], "/"),
        (["a/b"], "/a~1b"),
        (["m~n"], "/m~0n"),
        (["~1"], "/~01"),
        (["~/"], "/~0~1"),
        (["é ", '"', "\\"], '/é /"/\\'),
    ],
)
def test_a_place_is_written_as_rfc_6901_says(path: list[str | int], expected: str) -> None:
    value: Json = "no number"
    schema: Json = {"type": "number"}
    for step in reversed(path):
        value = {step: value} if isinstance(step, str) else [value]
        inner = "properties" if isinstance(step, str) else "prefixItems"
        schema = {inner: {step: schema} if isinstance(step, str) else [schema]}
    assert pointer(path) == expected
    [misfit] = Schema(schema, Path("/nowhere")).misfits(value)
    assert misfit.pointer == expected


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer"}, "v" * 25_000),
        ({"type": "integer"}, ["v" * 25_000]),
        ({"type": "integer"}, {"v" * 25_000: 1}),
        ({"const": 1}, {"a": list(range(6_000))}),
        ({"enum": ["x" * 25_000]}, "v" * 25_000),
        ({"pattern": "^x"}, "v" * 25_000),
        ({"maxLength": 3}, "v" * 25_000),
        ({"format": "date"}, "v" * 25_000),
        ({"not": {}}, "v" * 25_000),
        ({"uniqueItems": True}, ["v" * 25_000] * 2),
        ({"additionalProperties": False}, {"v" * 25_000: 1}),
        ({"propertyNames": {"maxLength": 3}}, {"v" * 25_000: 1}),
        ({"required": ["r" * 25_000]}, {}),
        ({"multipleOf": 7}, 10**300),
        (False, "v" * 25_000),
    ],
    ids=lambda item: repr(item)[:40],
)
def test_a_long_value_is_not_echoed(schema: Json, value: Json) -> None:
    misfits = Schema(schema, Path("/nowhere")).misfits(value)
    assert misfits
    for misfit in misfits:
        assert len(misfit.detail) <= 301


def test_a_long_value_is_shown_by_its_beginning() -> None:
    [misfit] = Schema({"type": "integer"}, Path("/nowhere")).misfits("v" * 25_000)
    assert misfit.detail == "'" + "v" * 59 + "… is not of type 'integer'"


@pytest.mark.parametrize("count", [1, 20, 21, 10_000])
def test_at_most_twenty_misfits_are_told(count: int) -> None:
    shape = Schema({"items": {"type": "string"}}, Path("/nowhere"))
    assert len(shape.misfits([1] * count)) == min(count, 20)


# --- what counts as a schema


def test_true_lets_everything_through() -> None:
    assert Schema(True, Path("/nowhere")).misfits({"a": [1]}) == []


def test_false_lets_nothing_through_and_says_so_by_its_own_name() -> None:
    [misfit] = Schema(False, Path("/nowhere")).misfits(1)
    assert misfit == Misfit("", "False schema does not allow 1", "false")


@pytest.mark.parametrize("contents", [None, 7, "text", [], 1.5])
def test_anything_else_is_no_schema(contents: Json, folder: Path) -> None:
    told = problem(contents, folder)
    assert told == f"a schema is a mapping or true/false, not {contents!r}"


@pytest.mark.parametrize(
    ("contents", "told"),
    [
        ({"type": "strin"}, "/type: 'strin' is no type; did you mean 'string'?"),
        ({"properties": {"a": {"type": ["null", "text"]}}},
         "/properties/a/type: 'text' is no type; there are string, integer, number, boolean, "
         "object, array, null"),
        ({"properties": []}, "/properties: [] is not of type 'object'"),
        ({"properties": {"a/b": {"minimum": "3"}}}, "/properties/a~1b/minimum: '3' is not of type "
            "'number'"),
        ({"required": "name"}, "/required: 'name' is not of type 'array'"),
        ({"pattern": "["}, "/pattern: '[' is not a 'regex'"),
        ({"patternProperties": {"[": {}}}, "/patternProperties: '[' is not a 'regex'"),
        ({"$id": 3}, "/$id: 3 is not of type 'string'"),
    ],
)  # fmt: skip
def test_a_schema_that_is_wrong_is_refused_with_the_place(
    contents: Json, told: str, folder: Path
) -> None:
    assert problem(contents, folder) == told


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize("rule", [{"pattern": "["}, {"patternProperties": {"[": {}}}])
def test_a_regex_that_does_not_compile_is_found_before_any_payload(
    draft: str, rule: dict[str, Json], folder: Path
) -> None:
    assert "'['" in problem({"$schema": DRAFTS[draft], **rule}, folder)


def test_a_schema_nested_too_deeply_is_refused(folder: Path) -> None:
    contents: Json = {}
    for _ in range(500):
        contents = {"not": contents}
    assert problem(contents, folder) == "the schema is nested too deeply"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": 1,\n"a": 2}', "bad.json: the key 'a' stands twice in one object"),
        ('{"a":\n 1,,', "bad.json:2 is not JSON: Expecting property name enclosed in double "
            "quotes"),
        ("", "bad.json:1 is not JSON: Expecting value"),
        ("[" * 100_000, "bad.json is not JSON: nested too deeply"),
        ("[]", "a schema is a mapping or true/false, not []"),
        ('{"maximum": Infinity}', "bad.json is not JSON that can be taken: Infinity is no number "
            "there"),
        ('{"const": NaN}', "bad.json is not JSON that can be taken: NaN is no number there"),
        ('{"maximum": 1e400}', "bad.json is not JSON that can be taken: 1e400 is beyond a double"),
        (f'{{"maximum": {"9" * 5000}}}', "bad.json holds a number of too many digits"),
    ],
    ids=range(9),
)  # fmt: skip
def test_a_file_that_is_no_schema_is_refused_with_its_name(
    text: str, told: str, folder: Path
) -> None:
    path = folder / "bad.json"
    path.write_text(text)
    with pytest.raises(BadSchema) as caught:
        from_file(path, folder)
    assert str(caught.value) == told


def test_a_file_in_another_charset_is_refused(folder: Path) -> None:
    path = folder / "bad.json"
    path.write_bytes(b'{"title": "\xe9"}')
    with pytest.raises(BadSchema, match=r"^bad\.json is not UTF-8; save it as UTF-8$"):
        from_file(path, folder)


def test_a_file_that_cannot_be_read_is_refused(folder: Path) -> None:
    with pytest.raises(BadSchema, match=r"^gone\.json cannot be read: No such file or directory$"):
        from_file(folder / "gone.json", folder)


# --- drafts

TUPLE: dict[str, Json] = {
    **{draft: {"items": [{"type": "integer"}]} for draft in ("4", "6", "7", "2019-09")},
    "2020-12": {"prefixItems": [{"type": "integer"}]},
}


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize("ending", ["", "#"])
def test_a_schema_is_read_by_the_draft_that_it_names(draft: str, ending: str) -> None:
    contents = {"$schema": DRAFTS[draft].rstrip("#") + ending, **TUPLE[draft]}
    assert fits(contents, [1, "x"])
    assert not fits(contents, ["x"])


def test_without_a_name_it_is_draft_2020_12() -> None:
    assert not fits({"prefixItems": [{"type": "integer"}]}, ["x"])
    assert not fits({"dependentRequired": {"a": ["b"]}}, {"a": 1})


def test_draft_4_has_its_own_exclusive_maximum() -> None:
    contents = {"$schema": DRAFTS["4"], "maximum": 3, "exclusiveMaximum": True}
    assert fits(contents, 2)
    assert not fits(contents, 3)


@pytest.mark.parametrize(
    "named",
    [
        "",
        "2020-12",
        "draft-07",
        "https://example.com/mine",
        "http://[",
        "x" * 9999,
        7,
        [],
        {},
        True,
    ],
    ids=lambda item: repr(item)[:40],
)
def test_a_draft_that_is_not_known_is_refused(named: Json, folder: Path) -> None:
    told = problem({"$schema": named}, folder)
    shown = repr(named) if len(repr(named)) <= 60 else repr(named)[:60] + "…"
    assert told == (
        f"$schema {shown} is not a draft that is known here; leave it out for draft 2020-12"
    )


@pytest.mark.parametrize("draft", ["4", "7", "2019-09"])
def test_a_file_of_another_draft_may_be_referred_to(draft: str, folder: Path) -> None:
    write(folder / "old.json", {"$schema": DRAFTS[draft], **TUPLE[draft]})
    contents = {"properties": {"a": {"$ref": "old.json"}}}
    assert fits(contents, {"a": [1, "x"]}, folder)
    assert not fits(contents, {"a": ["x"]}, folder)


# --- format


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("draft", [None, *DRAFTS])
def test_a_format_is_asserted(name: str, draft: str | None) -> None:
    contents: dict[str, Any] = {"items": {"format": name}}
    if draft:
        contents["$schema"] = DRAFTS[draft]
    shape = Schema(contents, Path("/nowhere"))
    good, bad = list(GOOD[name]), list(BAD[name])[:20]
    assert shape.misfits([*good, 7, None, ["x"]]) == []
    found = shape.misfits(bad)
    assert [misfit.pointer for misfit in found] == [f"/{n}" for n in range(len(bad))]
    assert {misfit.rule for misfit in found} == {"format"}


def test_a_format_that_is_not_known_forbids_nothing() -> None:
    assert fits({"format": "phone"}, "x")


# --- references


@pytest.mark.parametrize(
    ("contents", "good", "bad"),
    [
        ({"$ref": "whole.json"}, 1, "x"),
        ({"$ref": "whole.json#"}, 1, "x"),
        ({"$ref": "./whole.json"}, 1, "x"),
        ({"$ref": "defs.json#/$defs/name"}, "x", 1),
        ({"$ref": "defs.json#n"}, "x", 1),
        ({"$ref": "sub/order.json"}, {"item": {"count": 1}}, {"item": {"count": "x"}}),
        ({"$ref": "https://example.com/named"}, True, 1),
        ({"$ref": "https://example.com/named#"}, True, 1),
        ({"$id": "https://example.com/other", "$ref": "whole.json"}, 1, "x"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "integer"}}}, 1, "x"),
        ({"$ref": "#/$defs/a~1b%25", "$defs": {"a/b%": {"type": "integer"}}}, 1, "x"),
        ({"allOf": [{"$ref": "#a"}], "$defs": {"x": {"$anchor": "a", "minimum": 3}}}, 3, 2),
        ({"properties": {"a": {"$id": "sub/", "$ref": "item.json"}}}, {}, {"a": {"count": "x"}}),
    ],
    ids=lambda item: repr(item)[:40],
)
def test_a_reference_is_followed_inside_the_folder(
    contents: Json, good: Json, bad: Json, folder: Path
) -> None:
    assert fits(contents, good, folder)
    assert not fits(contents, bad, folder)
    Schema(contents, folder).wanted("a")


def test_a_file_in_a_subfolder_refers_from_where_it_lies(folder: Path) -> None:
    shape = from_file(folder / "sub/order.json", folder)
    [misfit] = shape.misfits({"item": {"count": "x"}})
    assert misfit.pointer == "/item/count"


def test_a_file_name_with_a_space_may_be_written_as_a_uri_has_it(folder: Path) -> None:
    write(folder / "my schema.json", {"type": "integer"})
    assert not fits({"$ref": "my%20schema.json"}, "x", folder)


def test_an_id_changes_nothing_of_what_a_file_refers_to(folder: Path) -> None:
    write(folder / "sub/own.json", {"$id": "https://example.com/own", "$ref": "item.json"})
    assert not fits({"$ref": "sub/own.json"}, {"count": "x"}, folder)


def test_a_schema_that_refers_to_itself_by_its_file_name_works(folder: Path) -> None:
    path = write(folder / "self.json", {"properties": {"a": {"$ref": "self.json"}}, "minimum": 3})
    [misfit] = from_file(path, folder).misfits({"a": {"a": 1}})
    assert misfit.pointer == "/a/a"


@pytest.mark.parametrize(
    "ref",
    [
        "gone.json",
        "sub",
        "whole.json#/nothing",
        "#/nothing",
        "#nothing",
        "sub/gone.json",
        "http://example.com/schema.json",
        "https://json-schema.org/draft/2020-12/nothing",
        "//example.com/schema.json",
        "file:///etc/passwd",
        "/etc/passwd",
        "../outside.json",
        "sub/../../outside.json",
        "..%2Foutside.json",
        "urn:uuid:8d0c4b2e-0b1f-4a7c-9f0e-3a4f5b6c7d8e",
        "a\x00b",
        "é",
        "x" * 5000,
    ],
    ids=lambda item: repr(item)[:40],
)
def test_a_reference_that_leads_nowhere_is_found_before_any_payload(ref: str, folder: Path) -> None:
    shown = repr(ref) if len(repr(ref)) <= 60 else repr(ref)[:60] + "…"
    assert problem({"properties": {"a": {"$ref": ref}}}, folder) == f"$ref {shown} {NOWHERE}"


@pytest.mark.parametrize("ref", ["http://[", "#/allOf/x", "#/allOf/9", "#/minimum/x", "#/title/x"])
def test_a_reference_that_makes_no_sense_leads_nowhere_either(ref: str, folder: Path) -> None:
    contents = {"allOf": [{}], "minimum": 3, "title": "t", "not": {"$ref": ref}}
    assert problem(contents, folder) == f"$ref {ref!r} {NOWHERE}"


def test_a_symbolic_link_does_not_lead_out_of_the_folder(folder: Path) -> None:
    (folder / "link.json").symlink_to(folder.parent / "outside.json")
    assert problem({"$ref": "link.json"}, folder) == f"$ref 'link.json' {NOWHERE}"


def test_a_reference_that_dangles_in_another_file_is_found_too(folder: Path) -> None:
    write(folder / "one.json", {"properties": {"a": {"$ref": "two.json"}}})
    write(folder / "two.json", {"items": {"$ref": "three.json"}})
    assert problem({"$ref": "one.json"}, folder) == f"$ref 'three.json' {NOWHERE}"


@pytest.mark.parametrize("others", range(1, 40, 3))
def test_it_is_found_among_many_files_of_the_same_form(others: int, folder: Path) -> None:
    for number in range(others):
        write(folder / f"{number}.json", {"properties": {"a": {"type": "integer"}}})
    write(folder / "last.json", {"properties": {"a": {"$ref": "gone.json"}}})
    names = [*(f"{number}.json" for number in range(others)), "last.json"]
    contents = {"properties": {name: {"$ref": name} for name in names}}
    assert problem(contents, folder) == f"$ref 'gone.json' {NOWHERE}"


def test_a_reference_to_a_broken_file_says_what_is_wrong_with_it(folder: Path) -> None:
    (folder / "broken.json").write_text("{,}")
    told = problem({"$ref": "broken.json"}, folder)
    assert told.startswith("$ref 'broken.json': broken.json:1 is not JSON: ")


def test_a_reference_to_a_file_that_is_no_schema_says_where(folder: Path) -> None:
    write(folder / "wrong.json", {"properties": {"a": {"type": "strin"}}})
    told = problem({"$ref": "wrong.json"}, folder)
    assert told == ("wrong.json/properties/a/type: 'strin' is no type; did you mean 'string'?")


def test_a_broken_file_does_not_hide_one_that_is_asked_for_by_id(folder: Path) -> None:
    (folder / "aaa.json").write_text("{,}")
    assert fits({"$ref": "https://example.com/named"}, True, folder)


@pytest.mark.parametrize(
    "contents",
    [
        {"$ref": "#"},
        {"$ref": ""},
        {"allOf": [{"$ref": "#"}]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
    ],
    ids=repr,
)
def test_references_that_only_go_round_in_circles_are_refused(contents: Json, folder: Path) -> None:
    assert "$ref" in problem(contents, folder)


# --- recursion


def nested(depth: int, *, leaf: Json, in_lists: bool = False) -> Json:
    value = leaf
    for _ in range(depth):
        value = [value] if in_lists else {"child": value}
    return value


NODE = "#/$defs/node"
TREES: dict[str, Json] = {
    "itself": {"type": "object", "properties": {"child": {"$ref": "#"}}},
    "a definition": {
        "$ref": NODE,
        "$defs": {"node": {"type": "object", "properties": {"child": {"$ref": NODE}}}},
    },
    "a roundabout way": {
        "$ref": NODE,
        "$defs": {
            "node": {"allOf": [{"anyOf": [{"$ref": "#/$defs/inner"}]}]},
            "inner": {"type": "object", "additionalProperties": {"$ref": NODE}},
        },
    },
    "$dynamicRef": {
        "$dynamicAnchor": "node",
        "type": "object",
        "properties": {"child": {"$dynamicRef": "#node"}},
    },
    "$recursiveRef": {
        "$schema": DRAFTS["2019-09"],
        "$recursiveAnchor": True,
        "type": "object",
        "properties": {"child": {"$recursiveRef": "#"}},
    },
    "draft 7": {
        "$schema": DRAFTS["7"],
        "type": "object",
        "properties": {"child": {"$ref": "#"}},
    },
}


@pytest.mark.parametrize("name", TREES)
def test_a_recursive_schema_goes_as_deep_as_a_payload_may(name: str) -> None:
    shape = Schema(TREES[name], Path("/nowhere"))
    assert shape.misfits(nested(DEEPEST - 1, leaf={})) == []
    [misfit] = shape.misfits(nested(DEEPEST, leaf=7))[:1]
    if name != "a roundabout way":
        assert misfit.pointer == "/child" * DEEPEST


def test_lists_in_lists_go_as_deep() -> None:
    shape = Schema({"type": "array", "items": {"$ref": "#"}}, Path("/nowhere"))
    assert shape.misfits(nested(DEEPEST - 1, leaf=[], in_lists=True)) == []
    assert shape.misfits(nested(DEEPEST, leaf=7, in_lists=True))[0].pointer == "/0" * DEEPEST


# --- uniqueItems, which is ours so that it does not compare each item with each


@pytest.mark.parametrize(
    ("items", "unique"),
    [
        ([1, 2, "1", None, True, [], {}, [1], {"a": 1}], True),
        ([1, 1.0], False),
        ([1, True, 0, False], True),
        ([[1], [True], True, ["bool", True], ["bool", 1]], True),
        ([{"a": [1], "b": 2}, {"b": 2, "a": [1.0]}], False),
        ([{"a": 1}, {"a": True}], True),
        (["list", ["list"], [["list"]]], True),
        ([[], []], False),
    ],
)
@pytest.mark.parametrize("draft", [None, *DRAFTS])
def test_items_are_unique_as_json_holds_them_equal(
    draft: str | None, items: Json, unique: bool
) -> None:
    contents: dict[str, Json] = {"uniqueItems": True}
    if draft:
        contents["$schema"] = DRAFTS[draft]
    assert (Schema(contents, Path("/nowhere")).misfits(items) == []) is unique


# --- numbers that arithmetic finds hard


@pytest.mark.parametrize(
    "rule",
    [{"multipleOf": 0.5}, {"multipleOf": 1e-300}, {"maximum": 1.5}, {"multipleOf": 3}],
    ids=repr,
)
@pytest.mark.parametrize("value", [10**400, -(10**400), 1e308, 5e-324, 0], ids=range(5))
def test_no_number_is_an_exception(rule: Json, value: float) -> None:
    assert len(Schema(rule, Path("/nowhere")).misfits(value)) <= 1


# --- what a form's text should become

INTEGER, STRING = frozenset({"integer"}), frozenset({"string"})


@pytest.mark.parametrize(
    ("contents", "wanted"),
    [
        ({"properties": {"a": {"type": "integer"}}}, Wanted(INTEGER)),
        ({"properties": {"a": {"type": ["integer", "string"]}}}, Wanted(INTEGER | STRING)),
        (
            {"properties": {"a": {"type": "array", "items": {"type": "integer"}}}},
            Wanted(frozenset({"array"}), INTEGER),
        ),
        ({"properties": {"a": {"$ref": "whole.json"}}}, Wanted(INTEGER)),
        ({"properties": {"a": {"allOf": [{"$ref": "whole.json"}]}}}, Wanted(INTEGER)),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"properties": {"a": {"type": "integer"}}}}},
            Wanted(INTEGER)),
        ({"allOf": [{"properties": {"a": {"type": "integer"}}}]}, Wanted(INTEGER)),
        ({"properties": {"b": {"type": "integer"}}}, Wanted()),
        ({"properties": {"a": True}}, Wanted()),
        ({"properties": {"a": {"minimum": 3}}}, Wanted()),
        ({}, Wanted()),
        (True, Wanted()),
        (False, Wanted()),
    ],
    ids=lambda item: "" if isinstance(item, Wanted) else repr(item)[:60],
)  # fmt: skip
def test_the_types_of_a_property_are_found_through_references(
    contents: Json, wanted: Wanted, folder: Path
) -> None:
    assert Schema(contents, folder).wanted("a") == wanted


def test_types_are_found_relative_to_where_the_reference_stands(folder: Path) -> None:
    write(folder / "sub/count.json", {"properties": {"a": {"$ref": "kind.json"}}})
    write(folder / "sub/kind.json", {"type": "string"})
    write(folder / "kind.json", {"type": "integer"})
    assert Schema({"$ref": "sub/count.json"}, folder).wanted("a") == Wanted(STRING)


def test_types_are_found_below_an_id_as_the_validator_finds_them(folder: Path) -> None:
    write(folder / "sub/kind.json", {"type": "integer"})
    contents = {"allOf": [{"$id": "sub/", "properties": {"a": {"$ref": "kind.json"}}}]}
    shape = Schema(contents, folder)
    assert shape.misfits({"a": "x"})
    assert shape.wanted("a") == Wanted(INTEGER)


def test_what_is_missing_and_what_is_wrong_with_each_kind_is_told() -> None:
    kinds = [
        {"type": "object", "required": ["a'b", "c"]},
        {"anyOf": [{"const": 1}, {"type": "string"}]},
    ]
    shape = Schema({"oneOf": kinds}, Path("/nowhere"))

    [misfit] = shape.misfits({"c": 1})

    assert misfit.rule == "oneOf"
    first, second = misfit.branches
    assert [(each.rule, each.missing) for each in first] == [("required", "a'b")]
    assert [[each.rule for each in branch] for branch in second[0].branches] == [
        ["const"],
        ["type"],
    ]


@pytest.mark.parametrize("keyword", ["anyOf", "oneOf"])
def test_a_choice_that_is_just_false_is_one_that_nothing_fits(keyword: str) -> None:
    choices: list[Json] = [False, {"type": "integer"}, False]
    [misfit] = Schema({keyword: choices}, Path("/nowhere")).misfits("x")

    assert misfit.rule == keyword
    assert [[each.rule for each in branch] for branch in misfit.branches] == [
        ["false"],
        ["type"],
        ["false"],
    ]


@pytest.mark.parametrize("wrap", ["{}", "not"])
def test_a_pattern_is_not_looked_for_in_a_text_that_is_too_long_anyway(
    wrap: str, folder: Path
) -> None:
    # It would take years: 2 to the power of 60 ways.
    inner: Json = {"pattern": "^(a+)+$", "maxLength": 20}
    schema = Schema({"not": {"not": inner}} if wrap == "not" else inner, folder)
    assert [misfit.rule for misfit in schema.misfits("a" * 60 + "!")] == [
        "not" if wrap == "not" else "maxLength"
    ]
    assert not schema.misfits("a" * 20)
