"""Templates: what they may hold, and what becomes of it when they are filled."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from hookrunner import template
from hookrunner.model import Facts, Json
from hookrunner.pointer import at
from hookrunner.template import BadTemplate

VARIABLES = {"REGION": "eu", "TRICKY": "{payload:/user} $REGION {{", "EMPTY": ""}

FACTS = Facts(
    payload={
        "user": {"name": "Ada", "e-mail": "ada@example.org"},
        "list": [1, [2.5], {"a": None}],
        "yes": True,
        "no": False,
        "none": None,
        "big": 12345678901234567890,
        "zero": 0,
        "empty": "",
        "umlaut": ["ä"],
        "sneaky": "$REGION {query:page} }}",
        "a/b": "slash",
        "m~n": "tilde",
        "~1": "both",
        "": "nameless",
    },
    query={"page": "2", "tag": ["x", "y"]},
    headers={"x-github-event": "push"},
    params={"env": "prod"},
)


def filled(text: str, facts: Facts = FACTS) -> str:
    return template.read(text, lambda name: VARIABLES.get(name, ""), ("env",)).fill(facts)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{payload:/user/name}", "Ada"),
        ("<{payload:/user/name}> at {query:page}!", "<Ada> at 2!"),
        ("{payload:/user/e-mail}", "ada@example.org"),
        ("{payload:/list/0}", "1"),
        ("{payload:/list/1}", "[2.5]"),
        ("{payload:/list/2}", '{"a":null}'),
        ("{payload:/list/1/0}", "2.5"),
        ("{payload:/yes}{payload:/no}", "truefalse"),
        ("{payload:/none}", ""),
        ("{payload:/big}", "12345678901234567890"),
        ("{payload:/zero}", "0"),
        ("{payload:/empty}", ""),
        ("{payload:/umlaut}", '["ä"]'),
        ("{payload:/a~1b} {payload:/m~0n} {payload:/~01}", "slash tilde both"),
        ("{payload:/}", "nameless"),
        ("{query:page}", "2"),
        ("{query:tag}", '["x","y"]'),
        ("{header:X-GitHub-Event}", "push"),
        ("{header:x-github-event}", "push"),
        ("{path:env}", "prod"),
        ("$REGION", "eu"),
        ("$REGION-1", "eu-1"),
        ("{{}}", "{}"),
        ("{{payload:/user}}", "{payload:/user}"),
        ("$$REGION", "$REGION"),
        ("costs 5$ or $5", "costs 5$ or $5"),
    ],
)
def test_a_template_is_filled_from_the_delivery(text: str, expected: str) -> None:
    assert filled(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "{payload:/nope}",
        "{payload:/user/name/deeper}",
        "{payload:/list/3}",
        "{payload:/list/-1}",
        "{payload:/list/-}",
        "{payload:/list/00}",
        "{payload:/list/999999999999999999999}",
        "{payload:/list/٠}",
        "{query:nope}",
        "{header:Nope}",
        "$UNSET",
        "$EMPTY",
    ],
)
def test_what_is_absent_becomes_nothing(text: str) -> None:
    assert filled(text) == ""


def test_an_empty_pointer_is_the_whole_payload() -> None:
    facts = Facts(payload={"b": [1, "ä"], "a": None}, query={}, headers={}, params={})

    assert filled("{payload:}", facts) == '{"b":[1,"ä"],"a":null}'


@pytest.mark.parametrize("payload", ["text", 7, None, True, [], "a/b"])
def test_a_payload_that_is_no_object_has_nothing_inside(payload: Json) -> None:
    assert filled("{payload:/user/name}", Facts(payload, {}, {}, {})) == ""


def test_what_was_filled_in_is_never_read_as_a_template_again() -> None:
    assert filled("{payload:/sneaky}") == "$REGION {query:page} }}"
    assert filled("$TRICKY") == "{payload:/user} $REGION {{"


def test_a_template_can_be_filled_again_and_again() -> None:
    read = template.read("{query:page}", lambda name: "", ())
    pages: list[Mapping[str, Json]] = [{"page": "1"}, {"page": "2"}, {}]

    assert [read.fill(Facts(None, query, {}, {})) for query in pages] == ["1", "2", ""]


KNOWN = "{payload:…}, {query:…}, {header:…}, {path:…}"
OPENING = f"is none of {KNOWN}; write {{{{ for a plain {{"
ILLEGAL = "is no name that a path can have"
POINTER = "needs a JSON Pointer such as {payload:/user/email}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{body:/x}", f"'{{body:/x}}' {OPENING}"),
        ("a { b", f"'{{' {OPENING}"),
        ("{", f"'{{' {OPENING}"),
        ("{payload:/a", f"'{{' {OPENING}"),
        ("{}", f"'{{}}' {OPENING}"),
        ("{payload}", f"'{{payload}}' {OPENING}"),
        ("{Payload:/x}", f"'{{Payload:/x}}' {OPENING}"),
        ("at ${HOME}", "'${HOME}' is not how a config var is named; write $HOME"),
        (
            "${A}b",
            "'${A}' is not how a config var is named; "
            "write $A, with no letter, digit or _ right after it",
        ),
        ("{query:}", "'{query:}' needs a name such as {query:page}"),
        ("{header:}", "'{header:}' needs a name such as {header:X-Kind}"),
        ("{path:}", f"'{{path:}}' {ILLEGAL}; write {{path:env}} here and <env> there"),
        (
            "{path:Stage}",
            f"'{{path:Stage}}' {ILLEGAL}; write {{path:stage}} here and <stage> there",
        ),
        ("{path:a-b}", f"'{{path:a-b}}' {ILLEGAL}; write {{path:env}} here and <env> there"),
        ("}", f"'}}' is none of {KNOWN}; write }}}} for a plain }}"),
        ("{payload:user}", f"'{{payload:user}}' {POINTER}"),
        ("{payload:#/user}", f"'{{payload:#/user}}' {POINTER}"),
        ("{payload:/a~2}", f"'{{payload:/a~2}}' {POINTER}"),
        ("{payload:/a~}", f"'{{payload:/a~}}' {POINTER}"),
        ("{path:nope}", "'{path:nope}' is not a name in the path; write <nope> there"),
    ],
)
def test_a_text_that_is_no_template_is_refused_with_what_to_write(text: str, told: str) -> None:
    with pytest.raises(BadTemplate) as caught:
        filled(text)

    assert str(caught.value) == told


def test_a_template_of_no_hook_yet_may_speak_of_any_name_that_a_path_can_have() -> None:
    read = template.read("{path:stage}", lambda name: "", None)

    assert read.fill(Facts(None, {}, {}, {"stage": "prod"})) == "prod"


def test_a_template_asks_for_each_config_var_it_names_and_for_no_other() -> None:
    asked: list[str] = []

    def variable(name: str) -> str:
        asked.append(name)
        return ""

    template.read("$A {payload:/x} $$NOT $_b2/$A $5", variable, ())

    assert asked == ["A", "_b2", "A"]


DOCUMENT = {
    "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3,
    "g|h": 4, "i\\j": 5, 'k"l': 6, " ": 7, "m~n": 8,
}  # fmt: skip


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", DOCUMENT),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
    ],
)
def test_a_pointer_leads_where_rfc_6901_section_5_says(pointer: str, value: Json) -> None:
    assert at(DOCUMENT, pointer) == value


def test_a_pointer_of_ten_thousand_parts_leads_nowhere_in_peace() -> None:
    assert at(DOCUMENT, "/foo" * 10_000) is None
