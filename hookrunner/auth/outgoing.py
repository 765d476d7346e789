"""What a sender adds to a delivery, so that its hook believes it: for `send`, which tries a hook.

Only a sender whose key we share can be played; who signs with a key of its own cannot.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode

from hookrunner import form, jsontext
from hookrunner.auth.allowed import Allowed
from hookrunner.auth.contents import PAYLOAD
from hookrunner.auth.credential import Basic, Bearer, Token
from hookrunner.auth.graph import ClientState
from hookrunner.auth.scheme import Common
from hookrunner.auth.signature import ALGORITHMS, ITEM, Encoding, Recipe, Signature, signed_message
from hookrunner.auth.twilio import HASH, Twilio, signature_of
from hookrunner.model import Delivery, Json, Refused, Scheme

WRITE: Mapping[Encoding, Callable[[bytes], str]] = {
    "hex": bytes.hex,
    "base64": lambda raw: base64.b64encode(raw).decode(),
    "base64url": lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("="),
}


class CannotSign(Exception):
    """No delivery of this sender's can be made here; str() says why."""


def prove(scheme: Scheme, delivery: Delivery, now: float) -> Delivery:
    """The delivery as its sender would make it at that Unix time. Raises CannotSign."""
    for kind, proving in PROVING.items():
        if isinstance(scheme, kind):
            return proving(scheme, delivery, now)
    raise CannotSign(f"{scheme.name} signs with a key that only it has")


def _with(delivery: Delivery, **headers: str) -> Delivery:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return replace(delivery, headers={**delivery.headers, **named})


def _sign(scheme: Signature, delivery: Delivery, now: float) -> Delivery:
    recipe = scheme.recipe
    if recipe.algorithm not in ALGORITHMS:
        raise CannotSign(f"{scheme.name} signs with a private key that only it has")
    stamp = str(int(now * recipe.unit))
    identity = secrets.token_hex(10)
    if recipe.signature.startswith(PAYLOAD):
        return _sign_inside(recipe, scheme.keys[0], delivery, stamp, identity)
    if recipe.timestamp.startswith(PAYLOAD):
        delivery = _set(delivery, {recipe.timestamp: int(stamp)})
    headers = {}
    if recipe.id and isinstance(recipe.id[0], str) and not recipe.id[0].startswith(PAYLOAD):
        headers[recipe.id[0]] = delivery.headers.get(recipe.id[0], f"send-{identity}")
    parts = {
        "{body}": _signed_body(recipe, delivery),
        "{timestamp}": stamp.encode(),
        "{id}": next(iter(headers.values()), "").encode(),
    }
    digest = hmac.digest(scheme.keys[0], signed_message(recipe, parts), recipe.algorithm)
    value = recipe.prefix + WRITE[recipe.encoding](digest)
    if recipe.timestamp.startswith(ITEM):
        value = f"{recipe.timestamp.removeprefix(ITEM)}{stamp}{recipe.separator}{value}"
    elif recipe.timestamp and not recipe.timestamp.startswith(PAYLOAD):
        headers[recipe.timestamp] = stamp
    return _with(delivery, **headers, **{recipe.signature: value})


def _signed_body(recipe: Recipe, delivery: Delivery) -> bytes:
    if recipe.form_field and delivery.content_type == form.TYPE:
        return dict(parse_qsl(delivery.body.decode())).get(recipe.form_field, "").encode()
    return delivery.body


def _sign_inside(
    recipe: Recipe, key: bytes, delivery: Delivery, stamp: str, identity: str
) -> Delivery:
    """A sender whose proof stands in its JSON."""
    parts = {"{body}": b"", "{timestamp}": stamp.encode(), "{id}": identity.encode()}
    digest = hmac.digest(key, signed_message(recipe, parts), recipe.algorithm)
    [place] = recipe.id[:1]
    assert isinstance(place, str)
    made = {recipe.timestamp: stamp, place: identity}
    return _set(delivery, {**made, recipe.signature: WRITE[recipe.encoding](digest)})


def _set(delivery: Delivery, values: Mapping[str, Json]) -> Delivery:
    """The delivery with these places of its object set. Raises CannotSign."""
    if delivery.content_type == form.TYPE:
        return _set_fields(delivery, values)
    try:
        whole = jsontext.read(delivery.body)
    except Refused as refused:
        raise CannotSign(f"its proof stands in the payload, and {refused.told}") from None
    for place, value in values.items():
        inner = whole
        *way, last = place.removeprefix(PAYLOAD).split("/")[1:]
        for name in way:
            inner = inner.setdefault(name, {}) if isinstance(inner, dict) else None
        if not isinstance(inner, dict):
            raise CannotSign("its proof stands in the payload, which must be a JSON object")
        inner[last] = value
    return replace(delivery, body=json.dumps(whole, ensure_ascii=False).encode())


def _set_fields(delivery: Delivery, values: Mapping[str, Json]) -> Delivery:
    """The form with these fields. Raises CannotSign if one is to stand inside of another."""
    named = {place.removeprefix(f"{PAYLOAD}/"): str(value) for place, value in values.items()}
    if any("/" in name for name in named):
        raise CannotSign("its proof stands inside of the payload, which must be JSON")
    kept = parse_qsl(delivery.body.decode(), keep_blank_values=True)
    fields = [pair for pair in kept if pair[0] not in named] + list(named.items())
    return replace(delivery, body=urlencode(fields).encode())


def _bear(scheme: Bearer, delivery: Delivery, now: float) -> Delivery:
    return _with(delivery, authorization=f"Bearer {_wire(scheme.secrets[0])}")


def _show_token(scheme: Token, delivery: Delivery, now: float) -> Delivery:
    if scheme.header:
        return _with(delivery, **{scheme.header: _wire(scheme.secrets[0])})
    more = urlencode({scheme.query: scheme.secrets[0]})
    return replace(delivery, query="&".join(part for part in (delivery.query, more) if part))


def _basic(scheme: Basic, delivery: Delivery, now: float) -> Delivery:
    raw = scheme.user.encode() + b":" + scheme.secrets[0]
    return _with(delivery, authorization=f"Basic {base64.b64encode(raw).decode()}")


def _twilio(scheme: Twilio, delivery: Delivery, now: float) -> Delivery:
    if delivery.content_type != form.TYPE and delivery.body:
        more = f"{HASH}={hashlib.sha256(delivery.body).hexdigest()}"
        query = "&".join(part for part in (delivery.query, more) if part)
        delivery = replace(delivery, query=query)
    return _with(delivery, x_twilio_signature=signature_of(scheme, delivery))


def _client_state(scheme: ClientState, delivery: Delivery, now: float) -> Delivery:
    try:
        whole = jsontext.read(delivery.body)
    except Refused as refused:
        raise CannotSign(f"its proof stands in the payload, and {refused.told}") from None
    items = whole.get("value") if isinstance(whole, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        items = [whole if isinstance(whole, dict) else {}]
    state = scheme.secrets[0].decode("utf-8", "replace")
    said = {"value": [{**item, "clientState": state} for item in items]}
    return replace(delivery, body=json.dumps(said, ensure_ascii=False).encode())


def _as_it_is(scheme: Common, delivery: Delivery, now: float) -> Delivery:
    return delivery


PROVING: Mapping[type, Callable[..., Delivery]] = {
    Signature: _sign,
    Bearer: _bear,
    Token: _show_token,
    Basic: _basic,
    Twilio: _twilio,
    ClientState: _client_state,
    Allowed: _as_it_is,
}


def _wire(raw: bytes) -> str:
    """Bytes as a header holds them (PEP 3333)."""
    return raw.decode("latin-1")
