"""Shared passwords: a bearer token, a token in a header or the query, HTTP Basic.

They prove that the sender knows a word, not that the body is the sender's; over TLS
that is what most small services offer.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from hookrunner.auth.contents import Contents, identify, title
from hookrunner.auth.scheme import Common
from hookrunner.model import Delivery, Rejection, Verified


@dataclass(frozen=True, slots=True)
class _Password(Common):
    """What the schemes of this module share. `secrets` are the raw words."""

    secrets: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Bearer(_Password):
    """`Authorization: Bearer TOKEN` (RFC 6750 §2.1)."""

    name: str = "bearer"

    @property
    def challenge(self) -> str:
        return "Bearer"

    @property
    def credential_headers(self) -> frozenset[str]:
        return frozenset({"authorization"})

    def verify(self, delivery: Delivery, now: float) -> Verified | Rejection:
        kind, _, token = delivery.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return Rejection("bearer: the header Authorization: Bearer is missing")
        if not matches(_raw(token.strip(" ")), self.secrets):
            return Rejection("bearer: the token is not the right one")
        return Verified("bearer")


@dataclass(frozen=True, slots=True)
class Token(_Password):
    """A token in a header or a query field of the hook's choosing."""

    header: str = ""
    query: str = ""
    name: str = "token"

    @property
    def challenge(self) -> str:
        return "Token"

    @property
    def credential_headers(self) -> frozenset[str]:
        return frozenset({self.header} - {""})

    @property
    def credential_fields(self) -> frozenset[str]:
        return frozenset({self.query} - {""})

    def verify(self, delivery: Delivery, now: float) -> Verified | Rejection:
        where = f"header {title(self.header)}" if self.header else f"query field {self.query}"
        offered = self._offered(delivery)
        if not offered:
            return Rejection(f"{self.name}: the {where} is missing")
        if len(offered) > 1:
            return Rejection(f"{self.name}: the {where} stands there more than once")
        if not matches(offered[0], self.secrets):
            return Rejection(f"{self.name}: the {where} is not the right one")
        return Verified(self.name, *identify(Contents.of(delivery), self.names))

    def _offered(self, delivery: Delivery) -> list[bytes]:
        if self.header:
            value = delivery.headers.get(self.header)
            return [_raw(value)] if value else []
        fields = parse_qsl(delivery.query, encoding="utf-8", errors="surrogateescape")
        return [v.encode("utf-8", "surrogateescape") for name, v in fields if name == self.query]


@dataclass(frozen=True, slots=True)
class Basic(_Password):
    """`Authorization: Basic`, user and password in UTF-8 (RFC 7617)."""

    user: str = ""
    name: str = "basic"

    @property
    def challenge(self) -> str:
        return 'Basic realm="hook", charset="UTF-8"'

    @property
    def credential_headers(self) -> frozenset[str]:
        return frozenset({"authorization"})

    def verify(self, delivery: Delivery, now: float) -> Verified | Rejection:
        kind, _, encoded = delivery.headers.get("authorization", "").partition(" ")
        if kind.lower() != "basic":
            return Rejection("basic: the header Authorization: Basic is missing")
        try:
            offered = base64.b64decode(_raw(encoded.strip(" ")), validate=True)
        except (ValueError, binascii.Error):
            return Rejection("basic: the header Authorization is not base64")
        right = tuple(self.user.encode() + b":" + secret for secret in self.secrets)
        if not matches(offered, right):
            return Rejection("basic: user or password is not the right one")
        return Verified("basic")


def matches(offered: bytes, secrets: Iterable[bytes]) -> bool:
    """True if it is one of the secrets; takes as long for the first as for none.

    Both sides are hashed first, so that not even the length shows in the time.
    """
    digest = hashlib.sha256(offered).digest()
    return any([hmac.compare_digest(digest, hashlib.sha256(secret).digest()) for secret in secrets])


def _raw(text: str) -> bytes:
    """The bytes that arrived: WSGI shows them as Latin-1 (PEP 3333)."""
    return text.encode("latin-1", "replace")
