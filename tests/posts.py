"""Deliveries as their senders make them: signed by the sender's own library where it has one.

Where it has none, by what its documentation says, written down here a second time: nothing
below knows of the program's own recipes.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlencode

import stripe
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from nacl.signing import SigningKey
from slack_sdk.signature import SignatureVerifier
from standardwebhooks.webhooks import Webhook
from svix.webhooks import Webhook as SvixWebhook
from twilio.request_validator import RequestValidator

URL = "https://hooks.example.com"

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


Sign = Callable[[bytes, int, bytes], Mapping[str, str]]
"""The headers that prove a body, at a Unix time, by a key."""


@dataclass(frozen=True)
class Post:
    """A delivery; `proof` are the headers that prove whose it is."""

    body: bytes
    headers: Mapping[str, str]
    proof: Mapping[str, str]
    query: str = ""

    @property
    def all_headers(self) -> dict[str, str]:
        return {**self.headers, **self.proof}


@dataclass(frozen=True)
class Signer:
    """A sender: `secret` is what the config var holds, `key` what it signs with."""

    sign: Sign
    body: bytes
    secret: str
    key: bytes
    other: bytes
    """Another key of the same kind, that nobody has told us of."""

    headers: Mapping[str, str]
    id: str = ""
    event: str = ""
    timed: bool = False
    auth: str = "$SECRET"
    query: str = ""

    def post(self, at: int, body: bytes | None = None, key: bytes | None = None) -> Post:
        """A delivery that is signed at this Unix time."""
        body = self.body if body is None else body
        return Post(body, self.headers, self.sign(body, at, key or self.key), self.query)


def _hex(key: bytes, message: bytes, algorithm: str = "sha256") -> str:
    return hmac.new(key, message, algorithm).hexdigest()


def _base64(key: bytes, message: bytes, algorithm: str = "sha256") -> str:
    return base64.b64encode(hmac.new(key, message, algorithm).digest()).decode()


def _text(sign: Sign, body: object, **more: object) -> Signer:
    """A sender whose key is its secret's text, and who posts JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    secret = "whsec_the secret that both know"
    signer = Signer(sign, raw, secret, secret.encode(), b"what nobody knows", JSON)
    return replace(signer, **more)  # type: ignore[arg-type]


def _standard(sign: Sign, **more: object) -> Signer:
    key, other = bytes(range(32)), bytes(range(1, 33))
    secret = "whsec_" + base64.b64encode(key).decode()
    signer = Signer(sign, b'{"a": "\xc3\xa9"}', secret, key, other, JSON, id="msg_1", timed=True)
    return replace(signer, **more)  # type: ignore[arg-type]


def _by_standardwebhooks(body: bytes, at: int, key: bytes) -> Mapping[str, str]:
    signed = Webhook(key).sign("msg_1", datetime.fromtimestamp(at, UTC), body.decode())
    return {"webhook-id": "msg_1", "webhook-timestamp": str(at), "webhook-signature": signed}


def _by_svix(body: bytes, at: int, key: bytes) -> Mapping[str, str]:
    signed = SvixWebhook(key).sign("msg_1", datetime.fromtimestamp(at, UTC), body.decode())
    return {"svix-id": "msg_1", "svix-timestamp": str(at), "svix-signature": signed}


def _by_slack(body: bytes, at: int, key: bytes) -> Mapping[str, str]:
    signed = SignatureVerifier(key.decode()).generate_signature(timestamp=str(at), body=body)
    assert signed
    return {"X-Slack-Request-Timestamp": str(at), "X-Slack-Signature": signed}


def _by_stripe(body: bytes, at: int, key: bytes) -> Mapping[str, str]:
    header = stripe.WebhookSignature.generate_signature_header(body.decode(), key.decode(), at)
    return {"Stripe-Signature": header}


def _by_twilio(body: bytes, at: int, key: bytes) -> Mapping[str, str]:
    params = dict(parse_qsl(body.decode(), keep_blank_values=True))
    signed = RequestValidator(key.decode()).compute_signature(f"{URL}/twilio?a=1", params)
    return {"X-Twilio-Signature": signed}


def _by_nacl(body: bytes, at: int, key: bytes) -> Mapping[str, str]:
    signed = SigningKey(key).sign(str(at).encode() + body).signature
    return {"X-Signature-Timestamp": str(at), "X-Signature-Ed25519": signed.hex()}


def _by_ecdsa(body: bytes, at: int, key: bytes) -> Mapping[str, str]:
    private = ec.derive_private_key(int.from_bytes(key, "big"), ec.SECP256R1())
    signed = base64.b64encode(private.sign(str(at).encode() + body, ec.ECDSA(SHA256()))).decode()
    name = "X-Twilio-Email-Event-Webhook"
    return {f"{name}-Timestamp": str(at), f"{name}-Signature": signed}


def _as_github(header: str) -> Sign:
    return lambda body, at, key: {header: f"sha256={_hex(key, body)}"}


def _in_items(header: str, time: str, signature: str, between: str, colon: str) -> Sign:
    def sign(body: bytes, at: int, key: bytes) -> Mapping[str, str]:
        signed = _hex(key, f"{at}{colon}".encode() + body)
        return {header: f"{time}={at}{between}{signature}={signed}"}

    return sign


def _zoom(body: bytes, at: int, key: bytes) -> Mapping[str, str]:
    signed = _hex(key, b"v0:%d:" % at + body)
    return {"x-zm-request-timestamp": str(at), "x-zm-signature": f"v0={signed}"}


def _google_forms(body: bytes, at: int, key: bytes) -> Mapping[str, str]:
    signed = _base64(key, b"answer1.%d.%d." % (at, at) + body)
    return {
        "webhook-id": f"answer1.{at}",
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{signed}",
    }


def ed25519_secret(key: bytes) -> str:
    """The hexadecimal public key of a private one."""
    return bytes(SigningKey(key).verify_key).hex()


def p256_secret(key: bytes) -> str:
    """The base64 SPKI public key of a private one."""
    private = ec.derive_private_key(int.from_bytes(key, "big"), ec.SECP256R1())
    spki = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(spki).decode()


KEY, OTHER = bytes(range(1, 33)), bytes(range(2, 34))

SIGNERS: Mapping[str, Signer] = {
    "github": _text(
        _as_github("X-Hub-Signature-256"),
        {"ref": "refs/heads/main"},
        headers={**JSON, "X-GitHub-Event": "push", "X-GitHub-Delivery": "g-1"},
        id="g-1",
        event="push",
    ),
    "gitlab": _standard(
        _by_standardwebhooks, headers={**JSON, "X-Gitlab-Event": "Push Hook"}, event="Push Hook"
    ),
    "bitbucket": _text(
        _as_github("X-Hub-Signature"),
        {"push": {}},
        headers={**JSON, "X-Event-Key": "repo:push", "X-Request-UUID": "b-1"},
        id="b-1",
        event="repo:push",
    ),
    "jira": _text(
        _as_github("X-Hub-Signature"),
        {"webhookEvent": "jira:issue_created"},
        headers={**JSON, "X-Atlassian-Webhook-Identifier": "j-1"},
        id="j-1",
        event="jira:issue_created",
    ),
    "gitea": _text(
        lambda body, at, key: {"X-Gitea-Signature": _hex(key, body)},
        {"ref": "main"},
        headers={**JSON, "X-Gitea-Event": "push", "X-Gitea-Delivery": "t-1"},
        id="t-1",
        event="push",
    ),
    "forgejo": _text(
        lambda body, at, key: {"X-Forgejo-Signature": _hex(key, body)},
        {"ref": "main"},
        headers={**JSON, "X-Forgejo-Event": "push", "X-Forgejo-Delivery": "f-1"},
        id="f-1",
        event="push",
    ),
    "slack": _text(
        _by_slack,
        {"type": "event_callback", "event_id": "Ev1", "event": {"type": "app_mention"}},
        id="Ev1",
        event="app_mention",
        timed=True,
    ),
    "stripe": _text(
        _by_stripe,
        {"id": "evt_1", "type": "charge.succeeded"},
        id="evt_1",
        event="charge.succeeded",
        timed=True,
    ),
    "standard-webhooks": _standard(_by_standardwebhooks),
    "svix": _standard(_by_svix),
    "shopify": _text(
        lambda body, at, key: {"X-Shopify-Hmac-Sha256": _base64(key, body)},
        {"id": 1},
        headers={**JSON, "X-Shopify-Topic": "orders/create", "X-Shopify-Webhook-Id": "s-1"},
        id="s-1",
        event="orders/create",
    ),
    "woocommerce": _text(
        lambda body, at, key: {"X-WC-Webhook-Signature": _base64(key, body)},
        {"id": 1},
        headers={**JSON, "X-WC-Webhook-Topic": "order.created", "X-WC-Webhook-Delivery-ID": "w1"},
        id="w1",
        event="order.created",
    ),
    "zoom": _text(_zoom, {"event": "meeting.started"}, event="meeting.started", timed=True),
    "typeform": _text(
        lambda body, at, key: {"Typeform-Signature": f"sha256={_base64(key, body)}"},
        {"event_id": "y-1", "event_type": "form_response"},
        id="y-1",
        event="form_response",
    ),
    "calendly": _text(
        _in_items("Calendly-Webhook-Signature", "t", "v1", ",", "."),
        {"event": "invitee.created"},
        event="invitee.created",
        timed=True,
    ),
    "meta": _text(
        _as_github("X-Hub-Signature-256"),
        b'{"object":"page","entry":[{"text":"\\u00e4 \\/ \\u003C \\u0025 \\u0040"}]}',
        event="page",
        auth="{secret: $SECRET, verify_token: $VERIFY}",
    ),
    "dropbox": _text(
        lambda body, at, key: {"X-Dropbox-Signature": _hex(key, body)}, {"list_folder": {}}
    ),
    "paddle": _text(
        _in_items("Paddle-Signature", "ts", "h1", ";", ":"),
        {"notification_id": "ntf_1", "event_type": "transaction.paid"},
        id="ntf_1",
        event="transaction.paid",
        timed=True,
    ),
    "vercel": _text(
        lambda body, at, key: {"x-vercel-signature": _hex(key, body, "sha1")},
        {"id": "v-1", "type": "deployment.ready"},
        id="v-1",
        event="deployment.ready",
    ),
    "google-forms": _text(_google_forms, {"response": "é"}, timed=True),
    "twilio": _text(
        _by_twilio,
        b"Body=Hi+%C3%A9&From=%2B14158675309&Empty=&MessageStatus=sent",
        headers={**FORM, "I-Twilio-Idempotency-Token": "i-1"},
        id="i-1",
        event="sent",
        auth=f'{{secret: $SECRET, url: "{URL}"}}',
        query="a=1",
    ),
    "discord": Signer(
        _by_nacl,
        b'{"type":2,"id":"987","data":{"name":"greet"}}',
        ed25519_secret(KEY),
        KEY,
        OTHER,
        JSON,
        id="987",
        event="greet",
        timed=True,
    ),
    "sendgrid": Signer(
        _by_ecdsa,
        b'[{"email":"a@example.com","event":"dropped"}]\r\n',
        p256_secret(KEY),
        KEY,
        OTHER,
        JSON,
        event="dropped",
        timed=True,
    ),
}
"""Senders whose proof is in headers."""


def linear(at: int, key: bytes, **more: object) -> Post:
    """A change in Linear, whose time stands in the body."""
    body = json.dumps(
        {
            "type": "Issue",
            "action": "create",
            "data": {"id": "i-1"},
            "createdAt": "2026-01-01T00:00:00.000Z",
            "webhookTimestamp": at * 1000,
            **more,
        }
    ).encode()
    headers = {**JSON, "Linear-Delivery": "d-1", "Linear-Event": "Issue"}
    return Post(body, headers, {"Linear-Signature": _hex(key, body)})


def mailgun(at: int, key: bytes, seed: str = "t" * 50, /, **more: object) -> Post:
    """An event of Mailgun's, whose proof stands in the body."""
    made = _hex(key, f"{at}{seed}".encode())
    signature = {"timestamp": str(at), "token": seed, "signature": made, **more}
    body = {"signature": signature, "event-data": {"event": "opened"}}
    return Post(json.dumps(body).encode(), JSON, {})


def mailgun_form(at: int, key: bytes, token: str = "f" * 50) -> Post:
    """A mail that a route of Mailgun's forwards."""
    signature = _hex(key, f"{at}{token}".encode())
    fields = {"timestamp": str(at), "token": token, "signature": signature, "subject": "Hi é"}
    return Post(urlencode(fields).encode(), FORM, {})


def graph(*states: object) -> Post:
    """Change notifications of Microsoft Graph's."""
    value = [{"clientState": state, "changeType": "created"} for state in states]
    return Post(json.dumps({"value": value}).encode(), JSON, {})
