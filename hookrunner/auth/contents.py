"""A delivery that is being judged: what stands where in it, its body read when that is asked for.

Most schemes ask for more than headers only once the signature is right. Where a sender puts
its proof into the body, that must be read before: strictly, and no more than `max_body`.

What stands in the body depends on its bytes alone. They are what is signed; a Content-Type
is not, and whoever replays a delivery could change it, to give it another id.
"""

from __future__ import annotations

import hashlib
import re

from hookrunner import form, jsontext, pointer
from hookrunner.model import Delivery, Json, Names, Place, Refused, Spot

PAYLOAD = "payload:"

PLAIN = re.compile(r"[\x21-\x7e]{1,256}")
LONGEST_EVENT = 200


class Unbelievable(Exception):
    """A delivery is not believed; str() is why, for the log."""


class Contents:
    """What stands at the places of a delivery."""

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self._payload: tuple[Json] | None = None

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
        if self._payload is None:
            try:
                self._payload = (self._read(),)
            except Refused as refused:
                raise Unbelievable(refused.told) from None
        return self._payload[0]

    def fields(self) -> list[tuple[str, str]]:
        """The body's fields, if it is a form. Raises Unbelievable if it cannot be read."""
        try:
            return form.fields(form.text_of(self.delivery.body), "the form")
        except Refused as refused:
            raise Unbelievable(refused.told) from None

    def _read(self) -> Json:
        body = self.delivery.body
        if body.lstrip()[:1] in (b"{", b"["):
            return jsontext.read(body)
        fields = self.fields()
        if [name for name, _ in fields] == ["payload"]:
            return jsontext.read(fields[0][1].encode("utf-8"))
        return form.as_object(fields)


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
