"""Twilio, which signs the address that it posts to: its own library signs, we look."""

from __future__ import annotations

import hashlib
from urllib.parse import quote, urlencode

import pytest
from twilio.request_validator import RequestValidator

from hookrunner.auth.twilio import Twilio
from hookrunner.model import Delivery, Rejection, Verified
from tests.posts import FORM, JSON

TOKEN = "12345"
FIELDS = [("Body", "Hi é & more"), ("From", "+14158675309"), ("Empty", "")]


class Many(dict[str, str]):
    """Fields that may stand there more than once, as Twilio's library takes them."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        super().__init__(fields)
        self.fields = fields

    def getlist(self, name: str) -> list[str]:
        return [value for other, value in self.fields if other == name]


def signed(url: str, params: object, algorithm: str | None = None) -> str:
    return str(RequestValidator(TOKEN).compute_signature(url, params, algorithm))


def delivery(
    signature: str,
    body: bytes = b"",
    query: str = "",
    method: str = "POST",
    headers: dict[str, str] = FORM,
    path: str = "/sms",
) -> Delivery:
    named = {name.lower(): value for name, value in headers.items()}
    return Delivery(method, path, query, {**named, "x-twilio-signature": signature}, body, "::1")


def verify(url: str, sent: Delivery) -> Verified | Rejection:
    return Twilio((b"another", TOKEN.encode()), url=url).verify(sent, 0)


BODY = urlencode(FIELDS).encode()


@pytest.mark.parametrize(
    "signed_url",
    [
        "https://example.com/sms",
        "https://example.com:443/sms",
    ],
)
@pytest.mark.parametrize(
    "url", ["https://example.com", "https://example.com/", "https://example.com/sms",
            "https://example.com:443"]
)  # fmt: skip
def test_the_address_may_have_its_port_or_not(signed_url: str, url: str) -> None:
    made = signed(signed_url, Many(FIELDS))
    assert isinstance(verify(url, delivery(made, BODY)), Verified)


def test_another_port_is_part_of_the_address() -> None:
    made = signed("https://example.com:8443/sms", Many(FIELDS))
    assert isinstance(verify("https://example.com:8443", delivery(made, BODY)), Verified)
    assert isinstance(verify("https://example.com:8444", delivery(made, BODY)), Rejection)


def test_a_user_in_the_address_is_signed_with_it() -> None:
    made = signed("https://me:pass@example.com/sms", Many(FIELDS))
    assert isinstance(verify("https://me:pass@example.com", delivery(made, BODY)), Verified)


def test_the_query_is_signed_as_it_stands() -> None:
    made = signed("https://example.com/sms?b=2&a=%20x", Many(FIELDS))
    assert isinstance(verify("https://example.com", delivery(made, BODY, "b=2&a=%20x")), Verified)
    for query in ("", "a=%20x&b=2", "b=2&a=+x", "b=2&a=%20x&c=3"):
        assert isinstance(verify("https://example.com", delivery(made, BODY, query)), Rejection)


@pytest.mark.parametrize(
    "fields",
    [
        [("a", "2"), ("a", "1"), ("a", "2"), ("A", "x")],
        [("MediaUrl0", "x"), ("MediaUrl10", "y"), ("MediaUrl1", "z")],
        [("é", "日本"), ("z", "🎉")],
        [],
    ],
)
def test_fields_are_signed_in_their_order_each_value_once(fields: list[tuple[str, str]]) -> None:
    made = signed("https://example.com/sms", Many(fields))
    sent = delivery(made, urlencode(fields).encode())
    assert isinstance(verify("https://example.com", sent), Verified)


def test_a_get_has_all_that_is_signed_in_its_address() -> None:
    query = urlencode(FIELDS)
    made = signed(f"https://example.com/sms?{query}", {})
    sent = delivery(made, b"", query, "GET", {})
    assert isinstance(verify("https://example.com", sent), Verified)


def test_json_is_signed_by_its_hash_in_the_address() -> None:
    body = '{"property": "value", "boolean": true}'
    digest = hashlib.sha256(body.encode()).hexdigest()
    assert digest == "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
    query = f"bodySHA256={digest}"
    made = signed(f"https://example.com/sms?{query}", {})
    assert RequestValidator(TOKEN).validate(f"https://example.com/sms?{query}", body, made)

    def send(raw: bytes, asked: str = query) -> Verified | Rejection:
        return verify("https://example.com", delivery(made, raw, asked, headers=JSON))

    assert isinstance(send(body.encode()), Verified)
    # The two of an address are two, however they are written.
    twice = f"{query}&bodySHA256={'0' * 64}"
    made_twice = signed(f"https://example.com/sms?{twice}", {})
    sent = delivery(made_twice, body.encode(), twice, headers=JSON)
    assert isinstance(verify("https://example.com", sent), Rejection)
    upper = f"bodySHA256={digest.upper()}"
    made_upper = signed(f"https://example.com/sms?{upper}", {})
    sent = delivery(made_upper, body.encode(), upper, headers=JSON)
    assert isinstance(verify("https://example.com", sent), Verified)
    for other in (b"", b"{}", body.encode() + b" "):
        assert send(other) == Rejection("twilio: bodySHA256 is not that of the body")


def test_a_body_that_nothing_signs_is_not_believed() -> None:
    """A signed address alone must not vouch for whatever is posted to it."""
    made = signed("https://example.com/sms", {})
    sent = delivery(made, b'{"admin": true}', headers=JSON)
    told = "twilio: the body is no form, and the query has no bodySHA256, which signs others"
    assert verify("https://example.com", sent) == Rejection(told)


def test_a_shared_key_signs_with_sha_256() -> None:
    headers = {**FORM, "X-Twilio-Webhooks-Signature-Settings": "key=k_1,algorithm=HMAC_SHA256"}
    made = signed("https://example.com/sms", Many(FIELDS), "HMAC_SHA256")
    sent = delivery(made, BODY, headers=headers)
    assert isinstance(verify("https://example.com", sent), Verified)
    assert isinstance(verify("https://example.com", delivery(made, BODY)), Rejection)
    headers["X-Twilio-Webhooks-Signature-Settings"] = "algorithm=HMAC_MD5"
    told = "twilio: X-Twilio-Webhooks-Signature-Settings names no known algorithm"
    assert verify("https://example.com", delivery(made, BODY, headers=headers)) == Rejection(told)


def test_a_path_is_signed_percent_encoded() -> None:
    made = signed("https://example.com/" + quote("é a"), {})
    sent = delivery(made, path="/é a")
    assert isinstance(verify("https://example.com", sent), Verified)


def test_the_log_is_told_which_address_was_looked_at() -> None:
    said = verify("https://example.com", delivery("AAAA", BODY, "a=1"))
    assert said == Rejection(
        "twilio: signature does not match https://example.com/sms and its body; is that what "
        "Twilio was given, and the secret its Auth Token?"
    )
    secret = verify("https://me:hunter2@example.com", delivery("AAAA", BODY, "key=hunter2"))
    assert "hunter2" not in str(secret)


@pytest.mark.parametrize("body", [b"\xff", b"a=%FF", b"&".join([b"a=1"] * 1001)])
def test_a_form_that_cannot_be_read_is_a_rejection(body: bytes) -> None:
    assert isinstance(verify("https://example.com", delivery("AAAA", body)), Rejection)


def test_a_signature_that_is_not_there_is_a_rejection() -> None:
    said = verify("https://example.com", delivery("", BODY))
    assert said == Rejection("twilio: the header X-Twilio-Signature is missing")


def test_its_signature_is_kept_from_journal_and_script() -> None:
    assert Twilio((b"x",), url="https://a").credential_headers == {"x-twilio-signature"}
