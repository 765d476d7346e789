"""A delivery that is being judged: what stands where in it, its body read when that is asked for.

Most schemes ask for more than headers only once the signature is right. Where a sender puts
its proof into the body, that must be read before: strictly, and no more than `max_body`.

What stands in the body depends on its bytes alone. They are what is signed; a Content-Type
is not, and whoever replays a delivery could change it, to give it another id.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from hookrunner import form, jsontext, pointer
from hookrunner.model import Delivery, Json, Names, Place, Refused, Spot
from hookrunner.units import show_size

PAYLOAD = "payload:"

PLAIN = re.compile(r"[\x21-\x7e]{1,256}")
LONGEST_EVENT = 200
UNREAD: Json = object()

LARGEST_PROOF = 512 * 1024
"""Bytes of a body that is searched for a proof. SNS's messages are of 256 kB at most; a second
of the interpreter's is what a hostile one of 1 MB could take."""

SMALL = 64 * 1024
"""Bytes of a body that takes no time worth mentioning to read, however it is made."""

_READING = threading.Lock()


class Unbelievable(Exception):
    """A delivery is not believed; str() is why, for the log."""


class Contents:
    """What stands at the places of a delivery; to be had by `of`, so that all share one."""

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self._payload: Json | Unbelievable = UNREAD
        self._fields: list[tuple[str, str]] | None = None

    @classmethod
    def of(cls, delivery: Delivery) -> Contents:
        """The contents of a delivery, whoever asks: what one scheme has read, others need not."""
        found: Contents = delivery.notes.setdefault("contents", cls(delivery))
        return found

    @property
    def is_form(self) -> bool:
        kind, _, _ = self.delivery.content_type.partition(";")
        return kind.strip().lower() == form.TYPE

    def at(self, place: Place) -> str:
        """The text at a place; empty if there is nothing. Raises Unbelievable."""
        if place.startswith(PAYLOAD):
            return pointer.as_text(pointer.at(self.payload(), place.removeprefix(PAYLOAD)))
        return self.delivery.headers.get(place, "")

    def need(self, place: Place) -> str:
        """The same. Raises Unbelievable if there is nothing."""
        found = self.at(place)
        if not found:
            raise Unbelievable(f"{the(place)} is missing")
        return found

    def payload(self) -> Json:
        """The body as its JSON or its form says. Raises Unbelievable if it is neither."""
        if self._payload is UNREAD:
            self._payload = self._tried()
        if isinstance(self._payload, Unbelievable):
            raise self._payload
        return self._payload

    def proof(self) -> Json:
        """The same, for a scheme that finds its proof in it.

        Raises Unbelievable also if the Content-Type would have the script get another reading
        of the same bytes than the one that is judged here.
        """
        kind, _, _ = self.delivery.content_type.partition(";")
        kind = kind.strip().lower()
        is_json = kind in ("application/json", "text/plain") or kind.endswith("+json")
        if not self.is_form and not (is_json and self._looks_like_json()):
            raise Unbelievable(f"its Content-Type {kind[:60]!r} is not that of its body")
        if self.is_form and self._looks_like_json():
            raise Unbelievable("it is JSON that was sent as a form")
        if len(self.delivery.body) > LARGEST_PROOF:
            most = show_size(LARGEST_PROOF)
            raise Unbelievable(f"the body is larger than {most}, and its proof is in it")
        return self.payload()

    def fields(self) -> list[tuple[str, str]]:
        """The body's fields, if it is a form. Raises Unbelievable if it cannot be read."""
        if self._fields is None:
            try:
                with _one_at_a_time(self.delivery.body):
                    self._fields = form.fields(form.text_of(self.delivery.body), "the form")
            except Refused as refused:
                raise Unbelievable(refused.told) from None
        return self._fields

    def _looks_like_json(self) -> bool:
        return self.delivery.body[:100].lstrip()[:1] in (b"{", b"[")

    def _tried(self) -> Json | Unbelievable:
        try:
            return self._read()
        except Refused as refused:
            return Unbelievable(refused.told)
        except Unbelievable as error:
            return error

    def _read(self) -> Json:
        if self._looks_like_json():
            with _one_at_a_time(self.delivery.body):
                return jsontext.read(self.delivery.body)
        fields = self.fields()
        if [name for name, _ in fields] == ["payload"]:
            return jsontext.read(fields[0][1].encode("utf-8"))
        return form.as_object(fields)


@contextmanager
def _one_at_a_time(body: bytes) -> Iterator[None]:
    """Wait for others who read a large body: nobody has vouched for it, and all of us have one
    interpreter."""
    if len(body) <= SMALL:
        yield
        return
    with _READING:
        yield


def identify(contents: Contents, names: Names) -> tuple[str, str]:
    """The sender's names for the delivery and for its event, each empty if there is none.

    Both go to the script's environment: what is too long or too strange for it is hashed, or
    cut.
    """
    identity = _first(contents, names.id)
    if identity and not PLAIN.fullmatch(identity):
        identity = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()
    event = _first(contents, names.event)[:LONGEST_EVENT]
    return identity, "".join(sign if sign.isprintable() else "?" for sign in event)


def _first(contents: Contents, spots: tuple[Spot, ...]) -> str:
    for spot in spots:
        places = (spot,) if isinstance(spot, str) else spot
        try:
            found = [contents.at(place) for place in places]
        except Unbelievable:  # the body cannot be read, which its sender will hear of later
            continue
        if all(found):
            return ":".join(found)
    return ""


def the(place: Place) -> str:
    """What a place is called in the log."""
    if place.startswith(PAYLOAD):
        return f"the payload's {place.removeprefix(PAYLOAD)}"
    return f"the header {title(place)}"


def title(header: str) -> str:
    """A header's name as people write it."""
    return "-".join(part.capitalize() for part in header.split("-"))
