"""Who is believed and who is not: published vectors first, then everything that goes wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from standardwebhooks.webhooks import Webhook

from hookrunner.auth import authenticate
from hookrunner.auth.credential import Basic, Bearer, Token
from hookrunner.auth.senders import SENDERS
from hookrunner.auth.signature import (
    ALGORITHMS,
    Recipe,
    SecretEncoding,
    Signature,
    read_secret,
)
from hookrunner.model import Delivery, Refused, Rejection, Scheme, Verified
from tests.signing import recipe_of, sign

NOW = 1_700_000_000.0
BODY = b'{"a": 1}'

SECRET = "It's a Secret to Everybody"
GITHUB_SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"

STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STANDARD_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
STANDARD_TIME = "1614265330"
STANDARD_BODY = b'{"test": 2432232314}'
STANDARD_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

SLACK = Recipe(
    signature="x-slack-signature",
    prefix="v0=",
    message="v0:{timestamp}:{body}",
    timestamp="x-slack-request-timestamp",
)
SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow"
    b"&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner"
    b"&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands"
    b"%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)


def key_of(encoding: SecretEncoding, text: str) -> bytes:
    return read_secret(Recipe("x", secret_encoding=encoding), text)


VECTORS: Mapping[str, tuple[Signature, dict[str, str], bytes, float]] = {
    "github": (
        Signature("github", recipe_of("github"), (SECRET.encode(),)),
        {"x-hub-signature-256": GITHUB_SIGNATURE},
        b"Hello, World!",
        NOW,
    ),
    "standard-webhooks": (
        Signature(
            "standard-webhooks",
            recipe_of("standard-webhooks"),
            (key_of("whsec", STANDARD_SECRET),),
        ),
        {
            "webhook-id": STANDARD_ID,
            "webhook-timestamp": STANDARD_TIME,
            "webhook-signature": STANDARD_SIGNATURE,
        },
        STANDARD_BODY,
        float(STANDARD_TIME),
    ),
    "slack": (
        Signature("hmac", SLACK, (b"8f742231b10e8888abcd99yyyzzz85a5",)),
        {
            "x-slack-request-timestamp": "1531420618",
            "x-slack-signature": (
                "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
            ),
        },
        SLACK_BODY,
        1531420618.0,
    ),
    "bitbucket": (
        Signature(
            "hmac", Recipe(signature="x-hub-signature", prefix="sha256="), (SECRET.encode(),)
        ),
        {
            "x-hub-signature": (
                "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"
            )
        },
        b"Hello World!",
        NOW,
    ),
}


def delivery(
    headers: Mapping[str, str] | None = None, body: bytes = BODY, query: str = ""
) -> Delivery:
    return Delivery("POST", "/hook", query, dict(headers or {}), body, "192.0.2.1")


def why(said: Verified | Rejection) -> str:
    assert isinstance(said, Rejection), said
    return said.why


def believed(said: Verified | Rejection) -> tuple[str, str]:
    assert isinstance(said, Verified), said
    return said.scheme, said.delivery_id


def github(*keys: bytes) -> Signature:
    return Signature("github", recipe_of("github"), keys or (SECRET.encode(),))


def standard(*keys: bytes) -> Signature:
    return Signature("standard-webhooks", recipe_of("standard-webhooks"), keys or (b"key",))


def signed(scheme: Signature, key: bytes = b"key", at: float = NOW) -> dict[str, str]:
    """The headers of a Standard Webhooks sender."""
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(at))}
    headers[scheme.recipe.signature] = sign(scheme.recipe, key, headers, BODY)
    return headers


# --- signatures


@pytest.mark.parametrize("sender", VECTORS)
def test_the_published_vector_is_believed(sender: str) -> None:
    scheme, headers, body, now = VECTORS[sender]
    assert isinstance(scheme.verify(delivery(headers, body), now), Verified)


@pytest.mark.parametrize("sender", VECTORS)
def test_we_sign_the_published_vector_as_its_sender_does(sender: str) -> None:
    scheme, headers, body, _ = VECTORS[sender]
    header = scheme.recipe.signature
    assert sign(scheme.recipe, scheme.keys[0], headers, body) == headers[header]


@pytest.mark.parametrize("sender", VECTORS)
@pytest.mark.parametrize("body", [b"", b"Hello, world!", SLACK_BODY + b"\n", b"\x00\xff"])
def test_a_vector_s_signature_does_not_fit_another_body(sender: str, body: bytes) -> None:
    scheme, headers, _, now = VECTORS[sender]
    told = why(scheme.verify(delivery(headers, body), now))
    assert told.partition(", signed as ")[0] == (
        f"{scheme.name}: signature does not match the body"
    )


def test_what_the_sender_calls_the_delivery_is_kept() -> None:
    headers = {
        "x-hub-signature-256": GITHUB_SIGNATURE,
        "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "x-github-event": "push",
    }
    assert github().verify(delivery(headers, b"Hello, World!"), NOW) == Verified(
        "github", "72d3162e-cc78-11e3-81ab-4c9367dc0958", "push"
    )


def test_google_forms_takes_its_secret_as_the_text_that_it_is() -> None:
    text = f"{STANDARD_ID}.{STANDARD_TIME}.".encode() + STANDARD_BODY
    digest = hmac.new(STANDARD_SECRET.encode(), text, hashlib.sha256).digest()
    headers = {
        "webhook-id": STANDARD_ID,
        "webhook-timestamp": STANDARD_TIME,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }
    recipe = recipe_of("google-forms")
    scheme = Signature("google-forms", recipe, (key_of("text", STANDARD_SECRET),))
    decoded = Signature("google-forms", recipe, (key_of("whsec", STANDARD_SECRET),))
    sent = delivery(headers, STANDARD_BODY)

    assert believed(scheme.verify(sent, float(STANDARD_TIME))) == ("google-forms", STANDARD_ID)
    assert isinstance(decoded.verify(sent, float(STANDARD_TIME)), Rejection)
    assert recipe.secret_encoding == "text"


@pytest.mark.parametrize("body", ["", '{"name": "Ada"}', '{"name": "Zoë 日本 🎉"}', "x" * 100_000])
def test_the_senders_own_library_signs_what_we_verify(body: str) -> None:
    headers = {
        "webhook-id": "msg_2",
        "webhook-timestamp": str(int(NOW)),
        "webhook-signature": Webhook(STANDARD_SECRET).sign(
            "msg_2", datetime.fromtimestamp(NOW, UTC), body
        ),
    }
    scheme = standard(key_of("whsec", STANDARD_SECRET))
    said = believed(scheme.verify(delivery(headers, body.encode()), NOW))
    assert said == ("standard-webhooks", "msg_2")


def test_the_senders_own_library_verifies_what_we_sign() -> None:
    headers = {"webhook-id": "msg_3", "webhook-timestamp": str(int(time.time()))}
    headers["webhook-signature"] = sign(
        recipe_of("standard-webhooks"), key_of("whsec", STANDARD_SECRET), headers, BODY
    )
    assert Webhook(STANDARD_SECRET).verify(BODY, headers) == {"a": 1}


@pytest.mark.parametrize("secret", [STANDARD_SECRET, STANDARD_SECRET.removeprefix("whsec_")])
@pytest.mark.parametrize("size", [24, 31, 32, 64])
def test_a_whsec_secret_does_without_prefix_and_padding(secret: str, size: int) -> None:
    key = bytes(range(size))
    padded = base64.b64encode(key).decode()
    spelt = {padded, padded.rstrip("="), "whsec_" + padded, "whsec_" + padded.rstrip("=")}
    assert {key_of("whsec", text) for text in spelt} == {key}
    assert key_of("whsec", secret) == base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("whsec", "whsec_"),
        ("whsec", "whsec_no base64!"),
        ("base64", "é"),
        ("base64", ""),
        ("hex", "abc"),
        ("hex", "xyz0"),
        ("hex", ""),
        ("text", ""),
    ],
)
def test_a_secret_that_stands_for_no_bytes_is_an_error(encoding: SecretEncoding, text: str) -> None:
    with pytest.raises(ValueError):
        key_of(encoding, text)


RECIPE_LIST = [
    *(
        way
        for sender in SENDERS.values()
        for way in sender.ways
        if isinstance(way, Recipe) and way.algorithm in ALGORITHMS and "payload:" not in str(way)
    ),
    SLACK,
    Recipe(signature="x-shopify-hmac-sha256", encoding="base64"),
    Recipe(signature="typeform-signature", prefix="sha256=", encoding="base64"),
    Recipe(signature="x-vercel-signature", algorithm="sha1"),
    Recipe(signature="x", algorithm="sha512", encoding="base64url"),
    Recipe(signature="x", message="{id}{timestamp}{body}", id=("i",), timestamp="t", unit=1000),
    Recipe(signature="x", message="é{body}\x00{{body}}", separator=";", prefix="v="),
]


@pytest.mark.parametrize("recipe", RECIPE_LIST, ids=lambda recipe: recipe.signature)
@pytest.mark.parametrize(
    "body", [b"", b"{}", b"{body}{timestamp}{id}", b"\x00\xff\r\n", b"a" * 9999]
)
@pytest.mark.parametrize("key", [b"k", b"\x00\xff", b"long" * 100])
def test_what_is_signed_by_a_recipe_is_verified_by_it(
    recipe: Recipe, body: bytes, key: bytes
) -> None:
    headers = {
        str(recipe.id[0]) if recipe.id else "i": "msg_1.2:3-4",
        recipe.timestamp or "t": str(int(NOW) * recipe.unit),
    }
    headers[recipe.signature] = sign(recipe, key, headers, body)
    scheme = Signature("hmac", recipe, (b"another", key))

    assert isinstance(scheme.verify(delivery(headers, body), NOW), Verified)
    assert isinstance(scheme.verify(delivery(headers, body + b" "), NOW), Rejection)
    assert isinstance(
        Signature("hmac", recipe, (key + b"x",)).verify(delivery(headers, body), NOW), Rejection
    )


@pytest.mark.parametrize("key", [b"old", b"new", b"newest"])
def test_while_a_secret_is_rotated_each_of_them_is_good(key: bytes) -> None:
    scheme = standard(b"newest", b"new", b"old")
    assert isinstance(scheme.verify(delivery(signed(scheme, key)), NOW), Verified)


def test_a_secret_that_was_rotated_out_is_no_longer_good() -> None:
    scheme = standard(b"newest", b"new")
    assert isinstance(scheme.verify(delivery(signed(scheme, b"old")), NOW), Rejection)


def test_a_scheme_without_keys_believes_nobody() -> None:
    scheme = Signature("github", recipe_of("github"), ())
    unkeyed = "sha256=" + hmac.digest(b"", BODY, "sha256").hex()
    assert isinstance(scheme.verify(delivery({"x-hub-signature-256": unkeyed}), NOW), Rejection)


@pytest.mark.parametrize("away", [0, 1, 299, 300, -1, -299, -300])
def test_a_timestamp_within_the_tolerance_is_believed_both_ways(away: int) -> None:
    scheme = standard()
    assert isinstance(scheme.verify(delivery(signed(scheme, at=NOW + away)), NOW), Verified)


@pytest.mark.parametrize(
    ("away", "told"),
    [
        (-301, "the timestamp is 301s old, more than 5m"),
        (-3600, "the timestamp is 1h old, more than 5m"),
        (301, "the timestamp is 301s in the future, more than 5m"),
        (86400, "the timestamp is 1d in the future, more than 5m"),
    ],
)
def test_a_timestamp_beyond_the_tolerance_is_not(away: int, told: str) -> None:
    scheme = standard()
    said = scheme.verify(delivery(signed(scheme, at=NOW + away)), NOW)
    assert why(said) == f"standard-webhooks: {told}"


def test_a_timestamp_may_count_milliseconds() -> None:
    recipe = replace(SLACK, unit=1000)
    headers = {"x-slack-request-timestamp": str(int(NOW) * 1000 + 123)}
    headers["x-slack-signature"] = sign(recipe, b"key", headers, BODY)
    scheme = Signature("hmac", recipe, (b"key",))
    assert isinstance(scheme.verify(delivery(headers), NOW), Verified)
    assert isinstance(scheme.verify(delivery(headers), NOW + 301), Rejection)


def test_a_timestamp_that_was_changed_afterwards_no_longer_fits() -> None:
    scheme = standard()
    headers = signed(scheme, at=NOW - 3600) | {"webhook-timestamp": str(int(NOW))}
    told = why(scheme.verify(delivery(headers), NOW))
    assert told == (
        "standard-webhooks: signature does not match the body, signed as {id}.{timestamp}.{body}"
    )


@pytest.mark.parametrize(
    "stamp", ["soon", "-1", "1e9", "1700000000.0", " 1700000000", "١٧٠٠٠٠٠٠٠٠", "9" * 400, "0x1"]
)
def test_a_timestamp_that_is_no_unix_time_is_a_rejection(stamp: str) -> None:
    scheme = standard()
    headers = {"webhook-id": "m", "webhook-timestamp": stamp}
    headers["webhook-signature"] = sign(scheme.recipe, b"key", headers, BODY)
    told = why(scheme.verify(delivery(headers), NOW))
    assert told == "standard-webhooks: Webhook-Timestamp is not a Unix time"


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_good_signature_among_several_is_enough(place: int) -> None:
    scheme = standard()
    headers = signed(scheme)
    listed = ["v1,AAAA", "v1a,c29tZXRoaW5n"]
    listed.insert(place, headers["webhook-signature"])
    headers["webhook-signature"] = " ".join(listed)
    assert isinstance(scheme.verify(delivery(headers), NOW), Verified)


def test_a_good_signature_under_another_version_does_not_count() -> None:
    scheme = standard()
    headers = signed(scheme)
    headers["webhook-signature"] = "v2" + headers["webhook-signature"].removeprefix("v1")
    told = why(scheme.verify(delivery(headers), NOW))
    assert told == "standard-webhooks: Webhook-Signature holds no signature of its form, v1,BASE64"


def test_a_sender_of_one_signature_is_not_searched_for_several() -> None:
    headers = {"x-hub-signature-256": f"{GITHUB_SIGNATURE} {GITHUB_SIGNATURE}"}
    assert isinstance(github().verify(delivery(headers, b"Hello, World!"), NOW), Rejection)


GOOD_HEX = GITHUB_SIGNATURE.removeprefix("sha256=")


@pytest.mark.parametrize(
    "offered",
    [
        "",
        " ",
        "sha256=",
        "sha256",
        "=",
        GOOD_HEX,
        "SHA256=" + GOOD_HEX,
        "sha1=" + GOOD_HEX,
        "sha256=sha256=" + GOOD_HEX,
        "sha256=" + GOOD_HEX[:-1],
        "sha256=" + GOOD_HEX[:-2],
        "sha256=" + GOOD_HEX + "00",
        "sha256=" + GOOD_HEX + "g",
        "sha256=0x" + GOOD_HEX,
        "sha256=" + "z" * 64,
        "sha256=" + "0" * 64,
        "sha256=" + "é" * 64,
        "sha256=" + "\u0660" * 64,
        "sha256=\x00\x7f",
        "sha256=\udcff\ud800",
        "sha256=" + "a" * 1_000_000,
        "é" * 100_000,
        "sha256=,,,,  \t",
        GITHUB_SIGNATURE + "\x00",
    ],
)
def test_a_malformed_hex_signature_is_a_rejection_and_no_exception(offered: str) -> None:
    sent = delivery({"x-hub-signature-256": offered}, b"Hello, World!")
    assert isinstance(github().verify(sent, NOW), Rejection)


GOOD_BASE64 = STANDARD_SIGNATURE.removeprefix("v1,")


@pytest.mark.parametrize(
    "offered",
    [
        "",
        "v1,",
        "v1",
        ",",
        GOOD_BASE64,
        "V1," + GOOD_BASE64,
        "v1=" + GOOD_BASE64,
        "v1," + GOOD_BASE64.swapcase(),
        "v1," + GOOD_BASE64[:-2],
        "v1," + GOOD_BASE64[4:],
        "v1," + GOOD_BASE64[:8] + "*" + GOOD_BASE64[8:],
        "v1," + "=" * 44,
        "v1," + "A" * 43 + "=",
        "v1," + "é" * 44,
        "v1,\x00",
        "v1,\udcff",
        "v1," + "A" * 1_000_001,
        "v1,AAAA " * 10_000,
    ],
)
def test_a_malformed_base64_signature_is_a_rejection_and_no_exception(offered: str) -> None:
    scheme, headers, body, now = VECTORS["standard-webhooks"]
    sent = delivery(headers | {"webhook-signature": offered}, body)
    assert isinstance(scheme.verify(sent, now), Rejection)


def test_a_hex_signature_in_capitals_is_the_same_number() -> None:
    sent = delivery({"x-hub-signature-256": "sha256=" + GOOD_HEX.upper()}, b"Hello, World!")
    assert isinstance(github().verify(sent, NOW), Verified)


@pytest.mark.parametrize("absent", ["webhook-id", "webhook-timestamp", "webhook-signature"])
@pytest.mark.parametrize("empty", [True, False])
def test_a_missing_or_empty_header_is_a_rejection_that_names_it(absent: str, empty: bool) -> None:
    scheme = standard()
    headers = signed(scheme)
    if empty:
        headers[absent] = ""
    else:
        del headers[absent]
    told = why(scheme.verify(delivery(headers), NOW))
    assert told == f"standard-webhooks: the header {absent.title()} is missing"


@pytest.mark.parametrize("identity", ["é", "日本", "\udcff", "x" * 100_000, "\x00", "a.b"])
def test_a_strange_delivery_id_is_no_exception(identity: str) -> None:
    scheme = standard()
    headers = signed(scheme) | {"webhook-id": identity}
    assert isinstance(scheme.verify(delivery(headers), NOW), Rejection)


@pytest.mark.parametrize("identity", ['msg1.1700000000.{"a":"b', "a b", "", "é", "x" * 257])
def test_an_id_that_could_be_part_of_a_body_is_not_believed(identity: str) -> None:
    """`ID.TIMESTAMP.BODY` can be cut in more than one way."""
    scheme = standard()
    headers = {"webhook-id": identity, "webhook-timestamp": str(int(NOW))}
    headers["webhook-signature"] = sign(scheme.recipe, b"key", headers, b"{}")

    assert isinstance(scheme.verify(delivery(headers, b"{}"), NOW), Rejection)


def test_no_key_shows_in_what_python_prints_of_a_scheme() -> None:
    schemes: list[Scheme] = [github(b"hunter2"), Bearer((b"hunter2",)), Basic((b"hunter2",))]
    assert "hunter2" not in repr(schemes)


@pytest.mark.parametrize(
    ("scheme", "headers", "fields", "signs"),
    [
        (github(), {"x-hub-signature-256", "x-hub-signature"}, set(), True),
        (standard(), {"webhook-signature"}, set(), True),
        (Bearer((b"t",)), {"authorization"}, set(), False),
        (Basic((b"t",), user="me"), {"authorization"}, set(), False),
        (Token((b"t",), header="x-token"), {"x-token"}, set(), False),
        (Token((b"t",), query="key"), set(), {"key"}, False),
    ],
)
def test_a_scheme_names_what_carries_its_proof(
    scheme: Scheme, headers: set[str], fields: set[str], signs: bool
) -> None:
    assert scheme.credential_headers == headers
    assert scheme.credential_fields == fields
    assert scheme.signs_body is signs


# --- credentials


def wire(text: str) -> str:
    """A header as WSGI shows it: each byte of its UTF-8 as a character."""
    return text.encode().decode("latin-1")


def basic(user_and_password: bytes) -> str:
    return "Basic " + base64.b64encode(user_and_password).decode()


@pytest.mark.parametrize("word", ["s3cret", "Zoë", "日本", "a b", "=="])
@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER"])
def test_a_bearer_token_is_believed(word: str, kind: str) -> None:
    scheme = Bearer((b"old", word.encode()))
    sent = delivery({"authorization": f"{kind} {wire(word)}"})
    assert scheme.verify(sent, NOW) == Verified("bearer")


@pytest.mark.parametrize(
    ("offered", "told"),
    [
        (None, "the header Authorization: Bearer is missing"),
        ("", "the header Authorization: Bearer is missing"),
        ("s3cret", "the header Authorization: Bearer is missing"),
        ("Basic s3cret", "the header Authorization: Bearer is missing"),
        ("Bearer", "the token is not the right one"),
        ("Bearer ", "the token is not the right one"),
        ("Bearer S3CRET", "the token is not the right one"),
        ("Bearer s3cre", "the token is not the right one"),
        ("Bearer s3crets", "the token is not the right one"),
        ("Bearer s3cret, s3cret", "the token is not the right one"),
        ("Bearer \udcff日本", "the token is not the right one"),
        ("Bearer " + "x" * 1_000_000, "the token is not the right one"),
    ],
)
def test_any_other_bearer_token_is_a_rejection(offered: str | None, told: str) -> None:
    headers = {} if offered is None else {"authorization": offered}
    assert why(Bearer((b"s3cret",)).verify(delivery(headers), NOW)) == f"bearer: {told}"


@pytest.mark.parametrize("word", ["s3cret", "Zoë", "a&b=c%20d", "+"])
def test_a_token_in_its_header_or_in_the_query_is_believed(word: str) -> None:
    in_header = Token((word.encode(),), header="x-token")
    in_query = Token((word.encode(),), query="key")
    assert in_header.verify(delivery({"x-token": wire(word)}), NOW) == Verified("token")
    sent = delivery(query=f"a=1&key={quote(word, safe='')}&b=2")
    assert in_query.verify(sent, NOW) == Verified("token")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("", "is missing"),
        ("key", "is missing"),
        ("key=", "is missing"),
        ("KEY=s3cret", "is missing"),
        ("key=s3cret&key=s3cret", "stands there more than once"),
        ("key=no&key=s3cret", "stands there more than once"),
        ("key=s3cre", "is not the right one"),
        ("key=%FF%00", "is not the right one"),
        ("key=%ED%A0%80", "is not the right one"),
        ("key=%", "is not the right one"),
        ("key=" + "x" * 1_000_000, "is not the right one"),
    ],
)
def test_any_other_token_in_the_query_is_a_rejection(query: str, told: str) -> None:
    said = Token((b"s3cret",), query="key").verify(delivery(query=query), NOW)
    assert why(said) == f"token: the query field key {told}"


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({}, "is missing"),
        ({"x-token": ""}, "is missing"),
        ({"authorization": "s3cret"}, "is missing"),
        ({"x-token": "s3cret "}, "is not the right one"),
        ({"x-token": "S3cret"}, "is not the right one"),
        ({"x-token": "\udcff\u20ac"}, "is not the right one"),
    ],
)
def test_any_other_token_in_the_header_is_a_rejection(headers: dict[str, str], told: str) -> None:
    said = Token((b"s3cret",), header="x-token").verify(delivery(headers), NOW)
    assert why(said) == f"token: the header X-Token {told}"


def test_a_token_is_looked_for_in_its_own_place_only() -> None:
    in_header = Token((b"s3cret",), header="x-token")
    in_query = Token((b"s3cret",), query="x-token")
    assert isinstance(in_header.verify(delivery(query="x-token=s3cret"), NOW), Rejection)
    assert isinstance(in_query.verify(delivery({"x-token": "s3cret"}), NOW), Rejection)


@pytest.mark.parametrize("password", ["s3cret", "Zoë 日本 🎉", "with:colon", ":", " "])
@pytest.mark.parametrize("user", ["me", "Zoë"])
def test_a_user_and_password_in_utf_8_are_believed(user: str, password: str) -> None:
    scheme = Basic((b"old", password.encode()), user=user)
    sent = delivery({"authorization": basic(f"{user}:{password}".encode())})
    assert scheme.verify(sent, NOW) == Verified("basic")


@pytest.mark.parametrize(
    ("offered", "told"),
    [
        ("", "the header Authorization: Basic is missing"),
        ("Bearer bWU6czNjcmV0", "the header Authorization: Basic is missing"),
        ("Basic", "user or password is not the right one"),
        ("Basic !!!", "the header Authorization is not base64"),
        ("Basic bWU6czNjcmV", "the header Authorization is not base64"),
        ("Basic é", "the header Authorization is not base64"),
        ("Basic \udcff", "the header Authorization is not base64"),
        ("Basic bWU6 czNjcmV0", "the header Authorization is not base64"),
        (basic(b"me"), "user or password is not the right one"),
        (basic(b"me:"), "user or password is not the right one"),
        (basic(b":s3cret"), "user or password is not the right one"),
        (basic(b"ME:s3cret"), "user or password is not the right one"),
        (basic(b"me:S3CRET"), "user or password is not the right one"),
        (basic(b"me:s3cret\x00"), "user or password is not the right one"),
        (basic(b"\xff\xfe:\xff"), "user or password is not the right one"),
        (basic(b"x" * 1_000_000), "user or password is not the right one"),
    ],
)
def test_any_other_user_or_password_is_a_rejection(offered: str, told: str) -> None:
    said = Basic((b"s3cret",), user="me").verify(delivery({"authorization": offered}), NOW)
    assert why(said) == f"basic: {told}"


def test_credentials_without_a_secret_believe_nobody() -> None:
    assert isinstance(Bearer(()).verify(delivery({"authorization": "Bearer "}), NOW), Rejection)
    assert isinstance(Token((), query="k").verify(delivery(query="k=x"), NOW), Rejection)
    assert isinstance(Token((), header="k").verify(delivery({"k": "x"}), NOW), Rejection)
    sent = delivery({"authorization": basic(b":")})
    assert isinstance(Basic(()).verify(sent, NOW), Rejection)


# --- authenticate


def refused(schemes: Sequence[Scheme], sent: Delivery) -> Refused:
    with pytest.raises(Refused) as caught:
        authenticate(schemes, sent, NOW)
    return caught.value


def test_auth_none_lets_everybody_in() -> None:
    assert authenticate((), delivery(), NOW)[1] == Verified("none")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_any_one_scheme_of_a_list_suffices(place: int) -> None:
    schemes: list[Scheme] = [github(), Basic((b"x",), user="me")]
    schemes.insert(place, Bearer((b"s3cret",)))
    sent = delivery({"authorization": "Bearer s3cret"})
    assert authenticate(schemes, sent, NOW)[1] == Verified("bearer")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": "rubbish", "webhook-id": "m", "webhook-timestamp": "1"},
        signed(standard(), b"another key"),
        signed(standard(), at=NOW - 3600),
        signed(standard()) | {"webhook-timestamp": "soon"},
        {"webhook-signature": "\udcff"},
    ],
)
def test_every_reason_is_worded_alike_for_the_caller(headers: dict[str, str]) -> None:
    error = refused((standard(),), delivery(headers))
    assert (error.status, error.told) == (401, "not authorised")
    assert error.headers == {"WWW-Authenticate": "Signature"}
    assert error.errors == ()
    assert error.why.startswith("standard-webhooks: ")


def test_the_log_is_told_each_scheme_s_reason() -> None:
    schemes = (github(), Bearer((b"x",)), Token((b"x",), query="key"))
    error = refused(schemes, delivery({"authorization": "Bearer y"}))
    assert error.told == "not authorised"
    assert error.why == (
        "github: the header X-Hub-Signature-256 is missing; "
        "bearer: the token is not the right one; "
        "token: the query field key is missing"
    )


def test_a_refusal_names_each_challenge_once() -> None:
    schemes = (github(), standard(), Bearer((b"x",)), Basic((b"x",), user="me"))
    assert refused(schemes, delivery()).headers == {
        "WWW-Authenticate": 'Signature, Bearer, Basic realm="hook", charset="UTF-8"'
    }


@pytest.mark.parametrize("scheme", [Bearer((b"s3cret",)), Basic((b"s3cret",), user="me")])
def test_no_reason_holds_what_the_caller_offered(scheme: Scheme) -> None:
    error = refused((scheme,), delivery({"authorization": "Bearer almost-s3cret"}))
    assert "s3cret" not in error.why + error.told
