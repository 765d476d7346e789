"""What a sender does: signs as its recipe says."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Mapping

from hookrunner.auth.senders import SENDERS
from hookrunner.auth.signature import Encoding, Recipe

WRITE: Mapping[Encoding, Callable[[bytes], str]] = {
    "hex": bytes.hex,
    "base64": lambda raw: base64.b64encode(raw).decode(),
    "base64url": lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("="),
}


def recipe_of(name: str, number: int = 0) -> Recipe:
    """A sender's recipe."""
    way = SENDERS[name].ways[number]
    assert isinstance(way, Recipe)
    return way


def sign(recipe: Recipe, key: bytes, headers: Mapping[str, str], body: bytes) -> str:
    """The header that a sender with this key adds to the delivery."""
    stamp = headers.get(recipe.timestamp, "") if recipe.timestamp else ""
    place = recipe.id[0] if recipe.id else ""
    identity = headers.get(place, "") if isinstance(place, str) else ""
    message = recipe.message.encode()
    for name, part in (("{timestamp}", stamp), ("{id}", identity)):
        message = message.replace(name.encode(), part.encode("latin-1", "replace"))
    message = body.join(message.split(b"{body}"))
    return recipe.prefix + WRITE[recipe.encoding](hmac.digest(key, message, recipe.algorithm))
