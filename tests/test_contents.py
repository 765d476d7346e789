"""What stands where in a delivery, and what its sender calls it."""

from __future__ import annotations

import hashlib

import pytest

from hookrunner.auth.contents import Contents, Unbelievable, identify
from hookrunner.model import Delivery, Names


def contents(body: bytes = b"", **headers: str) -> Contents:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Contents(Delivery("POST", "/h", "", named, body, "::1"))


@pytest.mark.parametrize(
    ("body", "place", "text"),
    [
        (b'{"a": {"b": "c"}}', "payload:/a/b", "c"),
        (b' \r\n{"a": 1}', "payload:/a", "1"),
        (b'[{"a": true}]', "payload:/0/a", "true"),
        (b"payload=%7B%22a%22%3A1%7D", "payload:/a", "1"),
        (b"a=1&b=2", "payload:/b", "2"),
        (b"a=1&a=2", "payload:/a/1", "2"),
        (b"payload=1", "payload:/payload", ""),
        (b"payload=%7B%7D&a=1", "payload:/a", "1"),
        (b'{"a": null}', "payload:/a", ""),
        (b"{}", "payload:/a", ""),
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data", ""])
def test_what_stands_in_a_body_depends_on_its_bytes_alone(
    body: bytes, place: str, text: str, kind: str
) -> None:
    if body == b"payload=1":
        with pytest.raises(Unbelievable):  # its text is JSON, and has no such place
            contents(body, content_type=kind).need(place)
    else:
        assert contents(body, content_type=kind).at(place) == text


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"{", "the body is not JSON: Expecting property name enclosed in double quotes "
               "at line 1 column 2"),
        (b"\xff", "the form is not percent-encoded at byte 0; encode it, in UTF-8"),
        (b'{"a": 1, "a": 2}', "the body is not JSON that can be taken: the key 'a' stands twice "
                              "in one object"),
        (b"[" * 10_000, "the body is nested more than 64 deep"),
        (b"a=%ff", "the form is not UTF-8 once percent-decoded"),
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_read_is_not_believed(body: bytes, told: str) -> None:
    with pytest.raises(Unbelievable) as caught:
        contents(body).at("payload:/a")
    assert str(caught.value) == told


def test_what_is_missing_is_called_by_its_name() -> None:
    for place, told in (
        ("x-event-key", "the header X-Event-Key is missing"),
        ("payload:/a/b", "the payload's /a/b is missing"),
    ):
        with pytest.raises(Unbelievable) as caught:
            contents(b"{}").need(place)
        assert str(caught.value) == told


NAMES = Names(("x-id", ("payload:/a", "payload:/b"), "payload:/c"), ("payload:/e",))


@pytest.mark.parametrize(
    ("body", "header", "identity"),
    [
        (b'{"a": "1", "b": "2", "c": "3"}', "0", "0"),
        (b'{"a": "1", "b": "2", "c": "3"}', "", "1:2"),
        (b'{"a": "1", "c": "3"}', "", "3"),
        (b'{"a": "1"}', "", ""),
        (b"{", "", ""),
        (b"{", "0", "0"),
    ],
)
def test_the_first_name_that_is_whole_counts(body: bytes, header: str, identity: str) -> None:
    assert identify(contents(body, x_id=header), NAMES) == (identity, "")


@pytest.mark.parametrize("strange", ["a b", "\\u0000", "é", "x" * 257, "\\ud800"])
def test_an_id_that_no_environment_would_take_is_hashed(strange: str) -> None:
    raw = strange.encode("ascii", "backslashreplace").decode()
    text = {"\\u0000": "\0", "\\ud800": "\ud800"}.get(strange, strange)
    body = b'{"c": "%s"}' % (raw if raw != "\\xe9" else "\\u00e9").encode()
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    assert identify(contents(body), NAMES) == (digest, "")


def test_an_event_is_cut_and_holds_nothing_that_cannot_be_printed() -> None:
    body = b'{"e": "a\\u0000b\\n\\ud800 \\u00e9%s"}' % (b"x" * 300)
    assert identify(contents(body), NAMES) == ("", "a?b?? é" + "x" * 193)
