"""How senders prove who they are, as OpenAPI's security schemes; and in words where it has none.

A signature is not what OpenAPI knows: it stands there as the header that carries it, with
what is signed in words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from hookrunner.auth.contents import PAYLOAD, title
from hookrunner.auth.credential import Basic, Bearer, Token
from hookrunner.auth.senders import SENDERS
from hookrunner.auth.signature import ALGORITHMS, FORMS, Recipe, Signature
from hookrunner.model import Json, Scheme
from hookrunner.units import show_duration

ADMIN = "ADMIN_TOKEN"
ADMINISTRATOR: Json = {
    "type": "http",
    "scheme": "bearer",
    "description": "The administrator's token, as the server's ADMIN_TOKEN has it.",
}


class Proofs:
    """The security schemes of a document, by name; `schemes` becomes its components."""

    def __init__(self) -> None:
        self.schemes: dict[str, Json] = {ADMIN: ADMINISTRATOR}

    def of(self, auth: Sequence[Scheme]) -> list[Json]:
        """What a hook asks for: any one of these. `{}` stands for what only words can say."""
        found: dict[str, Json] = {}
        for scheme in auth:
            described = _described(scheme)
            name = self._named(scheme, described) if described else ""
            found.setdefault(name, {name: []} if name else {})
        return list(found.values())

    def _named(self, scheme: Scheme, described: Json) -> str:
        place = described.get("name", "")
        wish = scheme.name if place.lower() in ("", "authorization") else f"{scheme.name}.{place}"
        wish = re.sub(r"[^A-Za-z0-9._-]+", "_", wish)
        name, number = wish, 1
        while self.schemes.setdefault(name, described) != described:
            number += 1
            name = f"{wish}-{number}"
        return name


def in_words(auth: Sequence[Scheme]) -> Iterator[str]:
    """What is asked for beside a security scheme, or in its place; a sentence each."""
    for scheme in auth:
        if not scheme.credential_headers and not scheme.credential_fields:
            what = "by its address" if scheme.name == "ip" else "in the body"
            yield f"A sender may prove itself {what} (`{scheme.name}`), which cannot be said here."
        if scheme.networks and scheme.name != "ip":
            yield f"`{scheme.name}` counts from some addresses only."


def _described(scheme: Scheme) -> Json | None:
    """The security scheme; None for a proof that is none of OpenAPI's."""
    known: Any = SENDERS.get(scheme.name)
    told = known.title if known and known.kind == "sender" else ""
    match scheme:
        case Bearer():
            return {"type": "http", "scheme": "bearer"}
        case Basic():
            return {"type": "http", "scheme": "basic"}
        case Token(header=header, query=query):
            place = (
                {"in": "header", "name": title(header)}
                if header
                else {"in": "query", "name": query}
            )
            return {"type": "apiKey", **place, "description": told or "A token."}
        case Signature(recipe=recipe) if not recipe.signature.startswith(PAYLOAD):
            return _key(title(recipe.signature), f"{told}: {_signed(recipe)}".removeprefix(": "))
    if scheme.credential_headers:
        return _key(title(min(scheme.credential_headers)), f"{told}: a signature")
    return None


def _key(header: str, told: str) -> Json:
    return {"type": "apiKey", "in": "header", "name": header, "description": f"{told}."}


def _signed(recipe: Recipe) -> str:
    """How it is signed, in a few words."""
    kind = recipe.algorithm.upper()
    made = f"HMAC-{kind}" if recipe.algorithm in ALGORITHMS else f"signature with {kind}"
    prefix = f", after `{recipe.prefix}`" if recipe.prefix else ""
    told = f"the {made} of `{recipe.message}` in {FORMS[recipe.encoding].lower()}{prefix}"
    if not recipe.timestamp:
        return told
    return f"{told}; stale after {show_duration(recipe.tolerance)}"
