"""Amazon SNS signs with a certificate that it names in the message itself.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html. So a
stranger's message makes us fetch something: only from the host of the region of a topic
that the hook names, over TLS, bounded in time and size, and one thing at a time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from hookrunner.auth import publickey
from hookrunner.auth.contents import Contents, Unbelievable, identify
from hookrunner.auth.publickey import Certificate, NoKey
from hookrunner.auth.scheme import Common
from hookrunner.auth.signature import refuse_stale
from hookrunner.model import Delivery, Greeting, Json, Refused, Rejection, Verified

ARN = re.compile(
    r"arn:aws(?P<cn>-cn)?[a-z-]*:sns:(?P<region>[a-z0-9-]{3,}):[0-9]{12}:[A-Za-z0-9_.-]{1,256}"
)
CERTIFICATE = re.compile(r"/SimpleNotificationService-[A-Za-z0-9]{1,64}\.pem")

CONFIRMED = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
SIGNED: Mapping[str, tuple[str, ...]] = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": CONFIRMED,
    "UnsubscribeConfirmation": CONFIRMED,
}
"""The fields that are signed, by type, in their order; Subject only if there is one."""

TOLERANCE = 7200.0
"""Seconds: a delivery policy of SNS's may try for an hour."""

FETCH_SECONDS = 8.0
"""Of SNS's 15 seconds of patience."""

LARGEST = 64 * 1024
KEPT_FOR = 86400.0
FAILED_FOR = 60.0
MOST_KEPT = 32
MINUTE = 60.0
MOST_FAILED = 20
"""Names that may lead nowhere in a minute, before only those are asked for that are known."""

SOON = {"Retry-After": "10"}


@dataclass(frozen=True, slots=True)
class Sns(Common):
    """A scheme that believes the messages of its topics."""

    topics: tuple[str, ...] = ()
    tolerance: float = TOLERANCE
    name: str = "aws-sns"

    @property
    def signs_body(self) -> bool:
        return True

    @property
    def asks_others(self) -> bool:
        return True

    def verify(self, delivery: Delivery, now: float) -> Verified | Rejection:
        try:
            return self._verify(Contents.of(delivery), now)
        except Unbelievable as error:
            return Rejection(f"aws-sns: {error}")

    def _verify(self, contents: Contents, now: float) -> Verified:
        message = _texts(contents.proof())
        if message["TopicArn"] not in self.topics:
            raise Unbelievable(f"the topic {message['TopicArn'][:300]} is none of the hook's")
        signature = _signature(message)
        certificate = CERTIFICATES.get(_certificate_url(message))
        if not certificate.begins <= now <= certificate.ends:
            raise Unbelievable("its certificate is not valid now")
        sha1 = message["SignatureVersion"] == "1"
        if not certificate.verifies(signed_text(message), signature, sha1=sha1):
            raise Unbelievable("signature does not match the message")
        refuse_stale(_unix_time(message["Timestamp"]), self.tolerance, now)
        seal = hashlib.sha256(signed_text(message)).hexdigest()
        names = identify(contents, self.names)
        return Verified("aws-sns", *names, seal, 2 * self.tolerance)

    def greet(self, delivery: Delivery, value: Json, verified: Verified) -> Greeting | None:
        """Confirm a subscription; say that one has ended."""
        message = _texts(value)
        if message["Type"] == "SubscriptionConfirmation":
            url = message["SubscribeURL"]
            if not _is_of_region(url, message["TopicArn"]):
                raise Refused(403, "no address of SNS", f"SubscribeURL is {url[:200]}")
            try:
                fetch(url)
            except _NotThere as error:
                raise Refused(403, "not confirmed", f"SubscribeURL: {error}") from None
            return Greeting(f"subscription to {message['TopicArn']}")
        if message["Type"] == "UnsubscribeConfirmation":
            return Greeting(f"end of the subscription to {message['TopicArn']}")
        return None


def signed_text(message: Mapping[str, str]) -> bytes:
    """What SNS signs of a message: names and values, a line each."""
    names = [name for name in SIGNED[message["Type"]] if name in message]
    return "".join(f"{name}\n{message[name]}\n" for name in names).encode("utf-8", "surrogatepass")


def _texts(payload: Json) -> dict[str, str]:
    """The message's fields that are text. Raises Unbelievable if one that it needs is missing."""
    kind = payload.get("Type") if isinstance(payload, dict) else None
    if not isinstance(kind, str) or kind not in SIGNED:
        raise Unbelievable("this is no message of SNS; raw message delivery is not signed")
    texts = {name: value for name, value in payload.items() if isinstance(value, str)}
    for name in SIGNED[kind]:
        # What is signed is a line for each, and could be cut into others.
        if name != "Message" and "\n" in texts.get(name, ""):
            raise Unbelievable(f"its {name} has several lines")
    needed = {*SIGNED[kind], "Signature", "SignatureVersion", "SigningCertURL"}
    for name in sorted(needed - {"Subject"}):
        if name not in texts:
            raise Unbelievable(f"the message has no {name}")
    return texts


def _signature(message: Mapping[str, str]) -> bytes:
    if message["SignatureVersion"] not in ("1", "2"):
        raise Unbelievable("its SignatureVersion is neither 1 nor 2")
    try:
        return base64.b64decode(message["Signature"], validate=True)
    except (ValueError, binascii.Error):
        raise Unbelievable("its Signature is not base64") from None


def _certificate_url(message: Mapping[str, str]) -> str:
    url = message["SigningCertURL"]
    path = url.partition("//")[2].partition("/")[2]
    if not _is_of_region(url, message["TopicArn"]) or not CERTIFICATE.fullmatch(f"/{path}"):
        raise Unbelievable(f"its certificate is not where SNS has them: {url[:200]}")
    return url


def _is_of_region(url: str, topic: str) -> bool:
    """True for an https address of SNS's in the topic's own region, and on no port of its own."""
    found = ARN.fullmatch(topic)
    if found is None or not re.fullmatch(r"[\x21-\x7e]{1,2000}", url):
        return False
    host = f"sns.{found['region']}.amazonaws.com" + (".cn" if found["cn"] else "")
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and parts.netloc == host


def _unix_time(text: str) -> float:
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", text, re.ASCII):
        raise Unbelievable("its Timestamp is no time")
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise Unbelievable("its Timestamp is no time") from None


class _Certificates:
    """What has been fetched, and for a while what could not be."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Certificate | None, float]] = {}
        self._good: deque[str] = deque(maxlen=MOST_KEPT)
        """Names that have led to a certificate, which may be asked for at any time."""

        self._failed: deque[float] = deque()
        """When a name was asked for in vain, of late."""
        self._lock = threading.Lock()

    def get(self, url: str) -> Certificate:
        """The certificate of an address.

        Raises Unbelievable if there is none, Refused(503) if it cannot be had just now.
        """
        with self._lock:
            kept, until = self._kept.get(url, (None, 0.0))
        if time.monotonic() < until:
            if kept is None:
                raise Unbelievable("its certificate could not be had a moment ago")
            return kept
        self._refuse_inventions(url)
        try:
            found = publickey.certificate(fetch(url))
        except NoKey as error:
            self._keep(url, None, FAILED_FOR)
            raise Unbelievable(f"its certificate is none: {error}") from None
        except _NotThere as error:
            self._keep(url, None, FAILED_FOR)
            raise Unbelievable(f"its certificate is not there: {error}") from None
        self._keep(url, found, KEPT_FOR)
        return found

    def _refuse_inventions(self, url: str) -> None:
        """Ask for no more names if many have led nowhere: strangers can make them up.

        Raises Refused(503).
        """
        now = time.monotonic()
        with self._lock:
            while self._failed and now - self._failed[0] > MINUTE:
                self._failed.popleft()
            if len(self._failed) >= MOST_FAILED and url not in self._good:
                why = f"{MOST_FAILED} certificates that were asked for in a minute are none"
                raise Refused(503, "try again soon", why, headers=SOON)

    def _keep(self, url: str, found: Certificate | None, seconds: float) -> None:
        with self._lock:
            if len(self._kept) >= MOST_KEPT:
                del self._kept[self._least()]
            self._kept[url] = (found, time.monotonic() + seconds)
            if not found:
                self._failed.append(time.monotonic())
            elif url not in self._good:
                self._good.append(url)

    def _least(self) -> str:
        """What is best forgotten: a failure before a certificate, and what ends soonest."""
        return min(self._kept, key=lambda url: (self._kept[url][0] is not None, self._kept[url][1]))


CERTIFICATES = _Certificates()
_FETCHING = threading.Lock()


class _NotThere(Exception):
    """The other side has answered, and not with what was asked for."""


def fetch(url: str) -> bytes:
    """What an https address of SNS's gives, in a bounded time and size, one at a time.

    Raises Refused(503) if that is not to be had just now, _NotThere if it is a 4xx.
    """
    if not _FETCHING.acquire(blocking=False):
        raise Refused(503, "try again soon", "another message has SNS asked just now", headers=SOON)
    got: list[bytes | Exception] = []
    thread = threading.Thread(target=_fetch, args=(url, got), name="sns", daemon=True)
    try:
        thread.start()
    except BaseException:
        _FETCHING.release()
        raise
    # A name server may take its time, and no timeout of a socket bounds that.
    thread.join(FETCH_SECONDS + 1)
    answer = got[0] if got else TimeoutError(f"no answer in {FETCH_SECONDS:g} s")
    if isinstance(answer, bytes):
        return answer
    if isinstance(answer, _NotThere):
        raise answer
    why = f"SNS could not be asked: {answer}"
    raise Refused(503, "try again soon", why, headers=SOON)


def _fetch(url: str, got: list[bytes | Exception]) -> None:
    """Append what the address gives, or why it cannot; in a thread of its own."""
    try:
        got.append(_get(url, time.monotonic() + FETCH_SECONDS))
    except Exception as error:
        got.append(error)
    finally:
        _FETCHING.release()


def _get(url: str, give_up: float) -> bytes:
    # Imported late: it takes longer than all of the rest, and hardly any hook needs it.
    from urllib.error import HTTPError
    from urllib.request import HTTPRedirectHandler, build_opener

    class NoRedirect(HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            return None

    try:
        with build_opener(NoRedirect).open(url, timeout=FETCH_SECONDS) as answer:
            whole = b""
            while piece := answer.read1(LARGEST):
                whole += piece
                if len(whole) > LARGEST:
                    raise _NotThere(f"it is larger than {LARGEST} bytes")
                if time.monotonic() > give_up:
                    raise TimeoutError(f"no whole answer in {FETCH_SECONDS:g} s")
            return whole
    except HTTPError as error:
        with error:
            if 300 <= error.code < 500:
                raise _NotThere(f"the answer was {error.code}") from None
            raise ConnectionError(f"the answer was {error.code}") from None
