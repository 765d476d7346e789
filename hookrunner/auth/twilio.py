"""Twilio signs the address that it posts to, and the fields of a form or a hash of JSON.

https://www.twilio.com/docs/usage/security#validating-requests. The address is the one that
Twilio was given, which a server behind a proxy cannot know: the hook says it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from hookrunner.auth.contents import Contents, Unbelievable, identify
from hookrunner.auth.scheme import Common
from hookrunner.model import Delivery, Rejection, Verified

HEADER = "x-twilio-signature"
SETTINGS = "x-twilio-webhooks-signature-settings"
ALGORITHMS = {"HMAC_SHA1": "sha1", "HMAC_SHA256": "sha256"}
HASH = "bodySHA256"
PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Twilio(Common):
    """A scheme that checks Twilio's HMAC-SHA1; `url` is what Twilio was given, less a query.

    It signs the query as well, so a GET may be believed.
    """

    keys: tuple[bytes, ...] = field(repr=False)
    url: str = ""
    name: str = "twilio"

    @property
    def signs_address(self) -> bool:
        return True

    @property
    def credential_headers(self) -> frozenset[str]:
        return frozenset({HEADER})

    def verify(self, delivery: Delivery, now: float) -> Verified | Rejection:
        offered = delivery.headers.get(HEADER, "")
        if not offered:
            return Rejection("twilio: the header X-Twilio-Signature is missing")
        try:
            params = _signed_params(delivery)
        except Unbelievable as error:
            return Rejection(f"twilio: {error}")
        algorithm = _algorithm(delivery)
        if not algorithm:
            return Rejection(
                "twilio: X-Twilio-Webhooks-Signature-Settings names no known algorithm"
            )
        raw = offered.encode("latin-1", "replace")
        urls = list(_spellings(address(self.url, delivery)))
        signed = [_sign(key, url + params, algorithm) for key in self.keys for url in urls]
        if not any([hmac.compare_digest(each, raw) for each in signed]):
            return Rejection(
                f"twilio: signature does not match {_shown(urls[0])} and its body; is that what "
                "Twilio was given, and the secret its Auth Token?"
            )
        return Verified("twilio", *identify(Contents.of(delivery), self.names))


def signature_of(scheme: Twilio, delivery: Delivery) -> str:
    """The header that Twilio would add to a delivery. Raises Unbelievable if it cannot be read."""
    text = address(scheme.url, delivery) + _signed_params(delivery)
    return _sign(scheme.keys[0], text, "sha1").decode()


def address(url: str, delivery: Delivery) -> str:
    """The address of a delivery as Twilio has it: one without a path has the delivery's."""
    whole = url.rstrip("/") + quote(delivery.path) if urlsplit(url).path in ("", "/") else url
    return f"{whole}?{delivery.query}" if delivery.query else whole


def _shown(url: str) -> str:
    """An address for the log: without a password, and without a query, which may hold one."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _signed_params(delivery: Delivery) -> str:
    """What is signed after the address. Raises Unbelievable if the body is not signed at all."""
    contents = Contents.of(delivery)
    if contents.is_form:
        return "".join(_sorted_params(contents.fields()))
    hashes = re.findall(rf"(?:^|&){HASH}=([^&]*)", delivery.query)
    if not hashes and not delivery.body:
        return ""
    if len(hashes) != 1:
        raise Unbelievable(f"the body is no form, and the query has no {HASH}, which signs others")
    digest = hashlib.sha256(delivery.body).hexdigest()
    if not hmac.compare_digest(digest.encode(), hashes[0].lower().encode("utf-8", "replace")):
        raise Unbelievable(f"{HASH} is not that of the body")
    return ""


def _sorted_params(fields: list[tuple[str, str]]) -> Iterator[str]:
    for name, value in sorted(set(fields)):
        yield name + value


def _spellings(url: str) -> Iterator[str]:
    """With the port and without: Twilio's products differ in whether they sign it."""
    yield url
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    if parts.port is not None:
        bare = host.rpartition(":")[0]
        yield parts._replace(netloc=parts.netloc.replace(host, bare)).geturl()
    else:
        port = PORTS[parts.scheme]
        yield parts._replace(netloc=f"{parts.netloc}:{port}").geturl()


def _algorithm(delivery: Delivery) -> str:
    """SHA-1 for an Auth Token, or what a shared key's header says; empty if it is not known."""
    settings = delivery.headers.get(SETTINGS, "")
    named = re.findall(r"(?:^|,)\s*algorithm\s*=\s*([^,\s]+)", settings)
    return ALGORITHMS.get(named[0] if named else "HMAC_SHA1", "")


def _sign(key: bytes, text: str, algorithm: str) -> bytes:
    digest = hmac.digest(key, text.encode("utf-8", "surrogateescape"), algorithm)
    return base64.b64encode(digest)
