"""Secrets in what people see, however they are spelt and wherever the text was cut."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest

from hookrunner.mask import Masker

SECRET = "It's a/Secret+to é=Everybody"
ESCAPED = "".join(f"\\u{ord(sign):04x}" for sign in SECRET)
PERCENT = "".join(f"%{byte:02x}" for byte in SECRET.encode())


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        (SECRET, "****"),
        (json.dumps({"a": SECRET, SECRET: 1}), '{"a": "****", "****": 1}'),
        (f'{{"a": "{ESCAPED}"}}', '{"a": "****"}'),
        (json.dumps({"a": SECRET}).replace("/", "\\/"), '{"a": "****"}'),
        (json.dumps({"a": f'{{"b": "{ESCAPED}"}}'}), '{"a": "{\\"b\\": \\"****\\"}"}'),
        (f"a={quote(SECRET)}&{quote_plus(SECRET)}=b", "a=****&****=b"),
        (f"a={PERCENT}&b=c", "a=****&b=c"),
        (f"a={PERCENT.replace('%20', '+')}&b=c", "a=****&b=c"),
        ("a=" + quote_plus(f'{{"b": "{ESCAPED}"}}'), "a=%7B%22b%22%3A+%22****%22%7D"),
        ("a\\nb%20c+d", "a\\nb%20c+d"),
    ],
    ids=str,
)
def test_a_secret_in_a_payload_is_masked_however_it_is_spelt(sent: str, seen: str) -> None:
    assert Masker([SECRET]).payload(sent.encode()).decode() == seen


def test_a_payload_that_is_all_escapes_is_read_in_no_time_to_speak_of() -> None:
    for unit in (b"%41", b"\\\\", b"\\u0041", b"%5c", b"%25"):
        sent = unit * 50_000
        assert Masker([SECRET, "\\" * 9 + "x"]).payload(sent) == sent


def test_secrets_that_lie_in_each_other_are_masked_once() -> None:
    assert Masker(["open sesame", "sesame street"]).payload(b"%6fpen sesame street") == b"****"


@pytest.mark.parametrize("size", [16, 20, 27])
def test_words_that_were_cut_in_a_secret_show_no_half_of_it(size: int) -> None:
    assert Masker([SECRET]).text(f"'{SECRET[:size]}' is none") == "'****' is none"


def test_words_are_masked_whatever_their_case() -> None:
    assert Masker([SECRET]).text(f"{SECRET.lower()}, {SECRET[:17].upper()}") == "****, ****"


def test_words_that_begin_as_a_secret_by_chance_stay() -> None:
    mask = Masker([SECRET, "short"])
    assert mask.text("It's a boy; sho\ud800 é") == "It's a boy; sho\ud800 é"


def test_a_secret_across_a_place_is_found_beside_others() -> None:
    mask = Masker(["abab", "bc"])
    assert mask.across(b"xababab", 5) == (3, 7)
    assert mask.across(b"ababc", 4) == (3, 5)
    assert mask.across(b"xabab", 5) == (5, 5)
    assert Masker().across(b"abc", 1) == (1, 1)


def test_a_schema_works_as_before_and_gives_no_secret_away() -> None:
    contents = {
        "title": "of s3cret-word",
        "required": ["s3cret-word"],
        "properties": {
            "title": {"$ref": "#/$defs/s3cret-word"},
            "enum": {"enum": ["s3cret-word", 5], "type": "string"},
        },
        "anyOf": [{"const": {"s3cret-word": ["s3cret-word"]}}, True],
    }

    assert Masker(["s3cret-word"]).schema(contents) == {
        "title": "of ****",
        "required": ["s3cret-word"],
        "properties": {
            "title": {"$ref": "#/$defs/s3cret-word"},
            "enum": {"enum": ["****", 5], "type": "string"},
        },
        "anyOf": [{"const": {"****": ["****"]}}, True],
    }
