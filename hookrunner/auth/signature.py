"""Signatures with a shared secret or a public key: one engine, described by data.

Senders differ in where they put the signature, how they write it, what exactly they sign,
and whether a time is signed with it. All of that is a Recipe; the engine below reads it. A
new sender is a new Recipe and no code.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from hookrunner.auth import publickey
from hookrunner.auth.contents import PAYLOAD, Contents, Unbelievable, identify, the, title
from hookrunner.auth.scheme import Common
from hookrunner.model import Delivery, Names, Place, Rejection, Spot, Verified
from hookrunner.units import show_duration

Hmac = Literal["sha1", "sha256", "sha512"]
Algorithm = Literal["sha1", "sha256", "sha512", "ed25519", "ecdsa-p256"]
Encoding = Literal["hex", "base64", "base64url"]
SecretEncoding = Literal["text", "hex", "base64", "whsec", "whpk"]

PLAIN_ID = re.compile(r"[A-Za-z0-9_.:-]{1,256}")
"""What an id may be that is signed with the body. `ID.TIMESTAMP.BODY` can be cut in more
than one way; were an id anything, part of a signed body could be passed off as one."""

LIKE_A_TIMESTAMP = re.compile(rb"[0-9]{1,15}[.:|]")
"""What no body may begin with that is signed behind a timestamp, for the same reason."""

MOST_PARTS = 50
MOST_SIGNATURES = 10
"""Of one header: a sender that rotates its secret makes two."""

ALGORITHMS = ("sha1", "sha256", "sha512")
CENTURY = 100 * 365 * 86400.0
ITEM = "item:"
"""A place in the signature's own header: `item:t=` is the `1` of `t=1,v1=…`."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a sender signs. Header names are lower case.

    `message` is what is signed, with `{body}`, `{timestamp}` and `{id}` in it.
    `separator` parts several signatures in one header and `prefix` is what stands before
    the one that counts (`sha256=`, `v1,`). `tolerance` is in seconds, both ways, and
    `unit` is how many timestamp units a second has.
    """

    signature: Place
    prefix: str = ""
    separator: str = ""
    encoding: Encoding = "hex"
    algorithm: Algorithm = "sha256"
    secret_encoding: SecretEncoding = "text"
    secret_prefix: str = ""
    """What a secret begins with that is for this recipe, where its sender has several."""

    message: str = "{body}"
    form_field: str = ""
    """If the body is a form, the field whose text is signed in its place; the only one there is."""

    timestamp: Place = ""
    unit: int = 1
    tolerance: float = 300.0
    id: tuple[Spot, ...] = ()
    event: tuple[Spot, ...] = ()
    also_secret: tuple[str, ...] = ()
    """Other headers that prove the same, and are kept from journal and script with it."""

    @property
    def names(self) -> Names:
        """Where the delivery's names are. Where its time is signed, an id that is not could be
        changed by who replays it, to pass for another delivery."""
        if not self.timestamp:
            return Names(self.id, self.event)
        return Names(tuple(spot for spot in self.id if self._signs(spot)), self.event)

    def _signs(self, spot: Spot) -> bool:
        if spot == self.id[0] and "{id}" in self.message:
            return True
        places = (spot,) if isinstance(spot, str) else spot
        return "{body}" in self.message and all(place.startswith(PAYLOAD) for place in places)


def _b64(text: str) -> bytes:
    # Padding is often left out; what is not of the alphabet is refused, not skipped.
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def _b64url(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


READ: Mapping[Encoding, Callable[[str], bytes]] = {
    "hex": bytes.fromhex,
    "base64": _b64,
    "base64url": _b64url,
}
SHORTEST: Mapping[SecretEncoding, int] = {"text": 1, "hex": 1, "base64": 1, "whsec": 16, "whpk": 32}
"""Bytes of a key; Standard Webhooks asks for 24 at least."""

FORMS: Mapping[Encoding, str] = {
    "hex": "HEXADECIMAL",
    "base64": "BASE64",
    "base64url": "BASE64URL",
}
SECRET: Mapping[SecretEncoding, Callable[[str], bytes]] = {
    "text": lambda text: text.encode("utf-8", "surrogateescape"),
    "hex": bytes.fromhex,
    "base64": _b64,
    # Standard Webhooks: base64, with or without the prefix and the padding.
    "whsec": lambda text: _b64(text.removeprefix("whsec_")),
    "whpk": lambda text: _b64(text.removeprefix("whpk_")),
}


def read_secret(recipe: Recipe, text: str) -> bytes:
    """The key that a secret's text stands for.

    Raises ValueError, or ImportError if it is a public key and cryptography is missing.
    """
    key = SECRET[recipe.secret_encoding](text)
    if len(key) < SHORTEST[recipe.secret_encoding]:
        raise ValueError("too few bytes")
    if recipe.algorithm not in ALGORITHMS:
        publickey.load(recipe.algorithm, key)
    return key


@dataclass(frozen=True, slots=True)
class Signature(Common):
    """A scheme that checks what its recipe says: an HMAC (RFC 2104), or a public key's."""

    name: str
    recipe: Recipe
    keys: tuple[bytes, ...] = field(repr=False)
    of: str = ""
    """The config vars that hold the keys, for the log."""

    yields_to: frozenset[str] = frozenset()
    """Headers with which another way of its sender's counts, and this one does not: a forger
    who sends several proofs is to cost one HMAC."""

    @property
    def signs_body(self) -> bool:
        return True

    @property
    def credential_headers(self) -> frozenset[str]:
        own = {self.recipe.signature} if not self.recipe.signature.startswith(PAYLOAD) else set()
        return frozenset({*own, *self.recipe.also_secret})

    def verify(self, delivery: Delivery, now: float) -> Verified | Rejection:
        """Believe it if any key made any of the signatures, and in time."""
        try:
            return self._verify(Contents.of(delivery), now)
        except Unbelievable as error:
            return Rejection(f"{self.name}: {error}")

    def _verify(self, contents: Contents, now: float) -> Verified:
        recipe = self.recipe
        for header in self.yields_to & contents.delivery.headers.keys():
            raise Unbelievable(f"the header {title(header)} is there, and counts alone")
        if recipe.signature.startswith(PAYLOAD):
            contents.proof()
        offered = self._offered(contents)
        signed = {
            "{timestamp}": _timestamp if "{timestamp}" in recipe.message else None,
            "{id}": _identity if "{id}" in recipe.message else None,
        }
        parts = {
            name: read(recipe, contents, offered).encode("latin-1", "replace")
            for name, read in signed.items()
            if read
        }
        signatures = list(islice(_signatures(offered, recipe), MOST_SIGNATURES))
        if not signatures:
            form = f"{recipe.prefix}{FORMS[recipe.encoding]}"
            raise Unbelievable(
                f"{_called(recipe.signature)} holds no signature of its form, {form}"
            )
        if parts and LIKE_A_TIMESTAMP.match(contents.delivery.body):
            raise Unbelievable("the body begins as a timestamp does, which could be cut otherwise")
        message = signed_message(recipe, {"{body}": _signed_body(recipe, contents), **parts})
        made = [key for key in self.keys if _made(key, message, recipe, signatures)]
        if not made:
            raise Unbelievable(self._mismatch())
        if recipe.timestamp:
            _refuse_stale(recipe, _timestamp(recipe, contents, offered), now)
        identity, event = identify(contents, recipe.names)
        if not recipe.timestamp:
            return Verified(self.name, identity, event, key=made[0])
        seal = hashlib.sha256(message).hexdigest()
        return Verified(self.name, identity, event, seal, 2 * recipe.tolerance, made[0])

    def _offered(self, contents: Contents) -> str:
        try:
            return contents.need(self.recipe.signature)
        except Unbelievable as error:
            hint = "; has its sender the secret?" if self.of else ""
            raise Unbelievable(f"{error}{hint}") from None

    def _mismatch(self) -> str:
        plain = self.recipe.message == "{body}"
        what = "the body" if plain else f"the body, signed as {self.recipe.message}"
        return f"signature does not match {what}" + (
            f"; is {self.of} what its sender has?" if self.of else ""
        )


def signed_message(recipe: Recipe, parts: Mapping[str, bytes]) -> bytes:
    """The bytes that are signed: the message template, filled in."""
    cut = re.split(r"(\{(?:body|timestamp|id)\})", recipe.message)
    return b"".join(parts.get(piece, piece.encode()) for piece in cut)


def _signed_body(recipe: Recipe, contents: Contents) -> bytes:
    if not recipe.form_field or not contents.is_form:
        return contents.delivery.body
    if b"&" in contents.delivery.body:  # seen before anything is decoded
        raise Unbelievable(
            f"the form has more than {recipe.form_field}, which is all that is signed"
        )
    fields = contents.fields()
    if [name for name, _ in fields] != [recipe.form_field]:
        raise Unbelievable(
            f"the form has more than {recipe.form_field}, which is all that is signed"
        )
    return fields[0][1].encode("utf-8")


def _identity(recipe: Recipe, contents: Contents, offered: str) -> str:
    spot = recipe.id[0]
    place = spot if isinstance(spot, str) else spot[0]
    identity = contents.need(place)
    if not PLAIN_ID.fullmatch(identity):
        raise Unbelievable(f"{_called(place)} is not a plain id")
    return identity


def _timestamp(recipe: Recipe, contents: Contents, offered: str) -> str:
    if not recipe.timestamp.startswith(ITEM):
        return contents.need(recipe.timestamp)
    name = recipe.timestamp.removeprefix(ITEM)
    items = [part.strip(" \t") for part in offered.split(recipe.separator)]
    found = [item.removeprefix(name) for item in items if item.startswith(name)]
    if len(found) != 1:
        raise Unbelievable(f"{_called(recipe.signature)} has no {name}, or several")
    return found[0]


def _signatures(offered: str, recipe: Recipe) -> Iterator[bytes]:
    """Every signature in the header that has the recipe's form, as bytes."""
    parts = offered.split(recipe.separator, MOST_PARTS) if recipe.separator else [offered]
    for part in parts[:MOST_PARTS]:
        text = part.strip(" \t")
        if not text.startswith(recipe.prefix) or not text.isascii():
            continue
        try:
            yield READ[recipe.encoding](text.removeprefix(recipe.prefix))
        except (ValueError, binascii.Error):
            continue


def _made(key: bytes, message: bytes, recipe: Recipe, signatures: list[bytes]) -> bool:
    """True if the key made one of the signatures; as slow for the first as for none."""
    if recipe.algorithm in ALGORITHMS:
        digest = hmac.digest(key, message, recipe.algorithm)
        return any([hmac.compare_digest(digest, signature) for signature in signatures])
    # Nothing here is secret, and each costs more than an HMAC: two are a rotation.
    return any(
        publickey.verifies(recipe.algorithm, key, message, signature)
        for signature in signatures[:2]
    )


def _refuse_stale(recipe: Recipe, text: str, now: float) -> None:
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise Unbelievable(f"{_called(recipe.timestamp)} is not a Unix time")
    refuse_stale(int(text) / recipe.unit, recipe.tolerance, now)


def refuse_stale(then: float, tolerance: float, now: float) -> None:
    """Raise Unbelievable if the signed time is further away than the tolerance, in seconds."""
    away = now - then
    if away < -CENTURY:
        raise Unbelievable("the timestamp is far in the future; does it count milliseconds?")
    if abs(away) > tolerance:
        direction = "old" if away > 0 else "in the future"
        raise Unbelievable(
            f"the timestamp is {show_duration(abs(round(away)))} {direction}, "
            f"more than {show_duration(tolerance)}"
        )


def _called(place: Place) -> str:
    if place.startswith(ITEM):
        return f"its {place.removeprefix(ITEM)}"
    return the(place) if place.startswith(PAYLOAD) else title(place)
