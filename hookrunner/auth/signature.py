"""HMAC signatures: one engine, described by data.

Senders differ in where they put the signature, how they write it, what exactly they
sign, and whether a timestamp guards against replay. All of that is a Recipe; the
engine below reads it. A new HMAC sender is a new Recipe and no code.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from hookrunner.model import Delivery, Rejection, Verified
from hookrunner.units import show_duration

Algorithm = Literal["sha1", "sha256", "sha512"]
Encoding = Literal["hex", "base64", "base64url"]
SecretEncoding = Literal["text", "hex", "base64", "whsec"]

PLAIN_ID = re.compile(r"[A-Za-z0-9_.:-]{1,256}")
"""What an id may be that is signed with the body. `ID.TIMESTAMP.BODY` can be cut in more
than one way; were an id anything, part of a signed body could be passed off as one."""

ALGORITHMS = ("sha1", "sha256", "sha512")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a sender signs. Header names are lower case.

    `message` is what is signed, with `{body}`, `{timestamp}` and `{id}` in it.
    `separator` parts several signatures in one header and `prefix` is what stands before
    the one that counts (`sha256=`, `v1,`). `tolerance` is in seconds, both ways, and
    `unit` is how many timestamp units a second has.
    """

    header: str
    prefix: str = ""
    separator: str = ""
    encoding: Encoding = "hex"
    algorithm: Algorithm = "sha256"
    secret_encoding: SecretEncoding = "text"
    message: str = "{body}"
    timestamp: str = ""
    unit: int = 1
    tolerance: float = 300.0
    id: str = ""
    event: str = ""
    patience: float = 30.0
    also_secret: tuple[str, ...] = ()
    """Other headers that prove the same, and are kept from journal and script with it."""


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
WRITE: Mapping[Encoding, Callable[[bytes], str]] = {
    "hex": bytes.hex,
    "base64": lambda raw: base64.b64encode(raw).decode(),
    "base64url": lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("="),
}
SECRET: Mapping[SecretEncoding, Callable[[str], bytes]] = {
    "text": lambda text: text.encode("utf-8", "surrogateescape"),
    "hex": bytes.fromhex,
    "base64": _b64,
    # Standard Webhooks: base64, with or without the prefix and the padding.
    "whsec": lambda text: _b64(text.removeprefix("whsec_")),
}


def read_secret(encoding: SecretEncoding, text: str) -> bytes:
    """The key that a secret's text stands for. Raises ValueError."""
    key = SECRET[encoding](text)
    if not key:
        raise ValueError("no bytes")
    return key


@dataclass(frozen=True, slots=True)
class Signature:
    """A scheme that checks an HMAC (RFC 2104) over what its recipe says."""

    name: str
    recipe: Recipe
    keys: tuple[bytes, ...] = field(repr=False)
    challenge: str = "Signature"

    @property
    def patience(self) -> float:
        return self.recipe.patience

    @property
    def signs_body(self) -> bool:
        return True

    @property
    def credential_headers(self) -> frozenset[str]:
        return frozenset({self.recipe.header, *self.recipe.also_secret})

    @property
    def credential_fields(self) -> frozenset[str]:
        return frozenset()

    def verify(self, delivery: Delivery, now: float) -> Verified | Rejection:
        """Believe it if any key made any of the signatures, and in time."""
        headers, recipe = delivery.headers, self.recipe
        offered = headers.get(recipe.header)
        if not offered:
            return Rejection(f"{self.name}: the header {_title(recipe.header)} is missing")
        for needed in (recipe.timestamp, recipe.id if "{id}" in recipe.message else ""):
            if needed and not headers.get(needed):
                return Rejection(f"{self.name}: the header {_title(needed)} is missing")
        identity = headers.get(recipe.id, "")
        if "{id}" in recipe.message and not PLAIN_ID.fullmatch(identity):
            return Rejection(f"{self.name}: {_title(recipe.id)} is not a plain id")
        signatures = list(_signatures(offered, recipe))
        if not signatures:
            return Rejection(f"{self.name}: {_title(recipe.header)} holds no signature of its form")
        message = signed_message(recipe, headers, delivery.body)
        if not any([_made(key, message, recipe, signatures) for key in self.keys]):
            return Rejection(f"{self.name}: signature does not match the body")
        late = _lateness(recipe, headers, now)
        if late:
            return Rejection(f"{self.name}: {late}")
        return Verified(self.name, headers.get(recipe.id, ""), headers.get(recipe.event, ""))


def sign(recipe: Recipe, key: bytes, headers: Mapping[str, str], body: bytes) -> str:
    """The header value that a sender with this key puts on the delivery."""
    digest = hmac.digest(key, signed_message(recipe, headers, body), recipe.algorithm)
    return recipe.prefix + WRITE[recipe.encoding](digest)


def signed_message(recipe: Recipe, headers: Mapping[str, str], body: bytes) -> bytes:
    """The bytes that are signed: the message template, filled in."""
    parts = {
        "{body}": body,
        "{timestamp}": headers.get(recipe.timestamp, "").encode("latin-1", "replace"),
        "{id}": headers.get(recipe.id, "").encode("latin-1", "replace"),
    }
    cut = re.split(r"(\{(?:body|timestamp|id)\})", recipe.message)
    return b"".join(parts.get(piece, piece.encode()) for piece in cut)


def _signatures(offered: str, recipe: Recipe) -> Iterator[bytes]:
    """Every signature in the header that has the recipe's form, as bytes."""
    for part in offered.split(recipe.separator) if recipe.separator else [offered]:
        text = part.strip(" \t")
        if not text.startswith(recipe.prefix) or not text.isascii():
            continue
        try:
            yield READ[recipe.encoding](text.removeprefix(recipe.prefix))
        except (ValueError, binascii.Error):
            continue


def _made(key: bytes, message: bytes, recipe: Recipe, signatures: list[bytes]) -> bool:
    """True if the key made one of the signatures; as slow for the first as for none."""
    digest = hmac.digest(key, message, recipe.algorithm)
    return any([hmac.compare_digest(digest, signature) for signature in signatures])


def _lateness(recipe: Recipe, headers: Mapping[str, str], now: float) -> str:
    if not recipe.timestamp:
        return ""
    text = headers[recipe.timestamp]
    if not re.fullmatch(r"[0-9]{1,15}", text):
        return f"{_title(recipe.timestamp)} is not a Unix time"
    away = now - int(text) / recipe.unit
    if abs(away) <= recipe.tolerance:
        return ""
    direction = "old" if away > 0 else "in the future"
    return (
        f"the timestamp is {show_duration(abs(round(away)))} {direction}, "
        f"more than {show_duration(recipe.tolerance)}"
    )


def _title(header: str) -> str:
    return "-".join(part.capitalize() for part in header.split("-"))
