"""The names that `auth:` may use, and what each stands for.

To add a sender that signs with HMAC, add its Recipe to RECIPES; nothing else changes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from hookrunner.auth import credential
from hookrunner.auth.signature import ALGORITHMS, Recipe, Signature, read_secret
from hookrunner.model import Json, Scheme
from hookrunner.sections import (
    Section,
    Value,
    Wrong,
    duration,
    hint,
    kind_of,
    one_of,
    secrets,
    show,
    text,
)

RECIPES: Mapping[str, Recipe] = {
    # https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    "github": Recipe(
        header="x-hub-signature-256",
        prefix="sha256=",
        also_secret=("x-hub-signature",),
        id="x-github-delivery",
        event="x-github-event",
        patience=9.0,
    ),
    # https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    "standard-webhooks": (
        standard := Recipe(
            header="webhook-signature",
            prefix="v1,",
            separator=" ",
            encoding="base64",
            secret_encoding="whsec",
            message="{id}.{timestamp}.{body}",
            timestamp="webhook-timestamp",
            id="webhook-id",
            patience=14.0,
        )
    ),
    # Apps Script signs as Standard Webhooks does; its key is the secret's text as it is,
    # because `Utilities.computeHmacSha256Signature` takes text most readily.
    "google-forms": replace(standard, secret_encoding="text", patience=29.0),
}

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")


def read_auth(value: Value) -> tuple[Scheme, ...] | None:
    """The schemes of a hook's `auth:`; empty for `none`, None after a complaint."""
    found = value.plain
    if found == "none":
        return ()
    if isinstance(found, list) and found:
        read = [read_scheme(item) for item in value.items()]
    else:
        read = [read_scheme(value)]
    schemes = tuple(scheme for scheme in read if scheme is not None)
    return schemes if len(schemes) == len(read) else None


def read_scheme(value: Value) -> Scheme | None:
    """One scheme, `{name: its settings}`; None after a complaint."""
    found = value.plain
    if not isinstance(found, dict) or len(found) != 1:
        value.complain(_no_scheme(found))
        return None
    [(key, settings)] = value.section().pairs()
    if key.title not in BUILDERS:
        known = hint(key.title, BUILDERS) or f"; known are {', '.join(BUILDERS)}"
        # Without a value it may be the secret itself: `{hunter2}` is a mapping to YAML.
        name = "" if settings.plain is None else f" {show(key.title)}"
        key.complain(f"unknown scheme{name} in auth{known}")
        return None
    return BUILDERS[key.title](key.title, settings)


def _no_scheme(found: Json) -> str:
    """Why it is not one scheme. A secret may stand where a scheme should: it is not quoted."""
    if found == "none":
        return "auth: none stands alone; in a list it would let everybody in"
    if isinstance(found, dict) and len(found.keys() & BUILDERS.keys()) > 1:
        return "auth names several schemes; write a list, one '- {scheme: $SECRET}' per line"
    return (
        "auth must be none, or a scheme and its secret such as "
        f"{{github: $GITHUB_SECRET}}, not {kind_of(found)}"
    )


def _preset(name: str, value: Value) -> Scheme | None:
    recipe = RECIPES[name]
    if not isinstance(value.plain, dict):
        return _signature(name, recipe, value, secrets(value))
    section = value.section()
    words = _words(section, "secret")
    if recipe.timestamp:
        recipe = replace(
            recipe, tolerance=section.take("tolerance", duration, default=recipe.tolerance)
        )
    _refuse_leftovers(section)
    return _signature(name, recipe, value, words)


def _hmac(name: str, value: Value) -> Scheme | None:
    section = _mapping(value, "{hmac: {header: X-Signature, secret: $MY_SECRET}}")
    if section is None:
        return None
    words = _words(section, "secret")
    given: dict[str, Any] = {
        "header": section.require("header", header_name, "name the header of the signature") or "x",
        "prefix": section.take("prefix", text, default=""),
        "separator": section.take("separator", text, default=""),
        "encoding": section.take("encoding", one_of("hex", "base64", "base64url"), default="hex"),
        "algorithm": section.take("algorithm", one_of(*ALGORITHMS), default="sha256"),
        "secret_encoding": section.take(
            "secret_encoding", one_of("text", "hex", "base64", "whsec"), default="text"
        ),
        "message": section.take("message", text, default="{body}"),
        "timestamp": section.take("timestamp", header_name, default=""),
        "unit": {"s": 1, "ms": 1000}[section.take("unit", one_of("s", "ms"), default="s")],
        "tolerance": section.take("tolerance", duration, default=300.0),
        "id": section.take("id", header_name, default=""),
        "event": section.take("event", header_name, default=""),
    }
    _refuse_leftovers(section)
    recipe = Recipe(**given)
    _check_message(recipe, value)
    return _signature(name, recipe, value, words)


def _check_message(recipe: Recipe, value: Value) -> None:
    """A message that leaves out what it should cover would be believed for nothing."""
    for name in re.findall(r"\{([^}]*)\}", recipe.message):
        if name not in ("body", "timestamp", "id"):
            value.complain(f"message may hold {{body}}, {{timestamp}} and {{id}}, not {{{name}}}")
    if "{body}" not in recipe.message:
        value.complain("message must hold {body}, or anything could be posted with it")
    for name, header in (("timestamp", recipe.timestamp), ("id", recipe.id)):
        if f"{{{name}}}" in recipe.message and not header:
            value.complain(f"message holds {{{name}}}, so {name!r} must name its header")
    if recipe.timestamp and "{timestamp}" not in recipe.message:
        value.complain(
            "timestamp is not part of what is signed, so it proves nothing; "
            "add {timestamp} to message as your sender does, or leave timestamp out"
        )


def _bearer(name: str, value: Value) -> Scheme | None:
    if isinstance(value.plain, dict):
        section = value.section()
        words = _words(section, "value")
        _refuse_leftovers(section)
    else:
        words = secrets(value)
    return credential.Bearer(_raw(words))


def _token(name: str, value: Value) -> Scheme | None:
    section = _mapping(value, "{token: {header: X-Token, value: $MY_TOKEN}}")
    if section is None:
        return None
    words = _words(section, "value")
    header = section.take("header", header_name, default="")
    query = section.take("query", text, default="")
    _refuse_leftovers(section)
    if bool(header) == bool(query):
        value.complain("token needs either header: X-Token or query: token, to say where it is")
        return None
    return credential.Token(_raw(words), header=header, query=query)


def _basic(name: str, value: Value) -> Scheme | None:
    section = _mapping(value, "{basic: {user: me, password: $MY_PASSWORD}}")
    if section is None:
        return None
    words = _words(section, "password")
    user = section.require("user", _user) or ""
    _refuse_leftovers(section)
    return credential.Basic(_raw(words), user=user)


BUILDERS: Mapping[str, Callable[[str, Value], Scheme | None]] = {
    **dict.fromkeys(RECIPES, _preset),
    "hmac": _hmac,
    "bearer": _bearer,
    "token": _token,
    "basic": _basic,
}


def header_name(value: Value) -> str:
    """A header's name (RFC 9110 §5.1), in lower case."""
    found = value.plain
    if not isinstance(found, str) or not HEADER_NAME.fullmatch(found):
        raise Wrong("a header's name such as X-Signature")
    if "_" in found:
        # waitress drops them: WSGI could not tell X_Token from X-Token.
        raise Wrong("a header's name without '_'", "proxies and servers drop such headers")
    return found.lower()


def _mapping(value: Value, example: str) -> Section | None:
    if isinstance(value.plain, dict):
        return value.section()
    value.complain(f"{value.title} needs its settings, such as {example}")
    return None


def _words(section: Section, name: str) -> tuple[str, ...]:
    return section.require(name, secrets, f"write {name}: $MY_SECRET") or ()


def _refuse_leftovers(section: Section) -> None:
    """Name no key that has no value: in `{bearer: {hunter2}}` it is the secret."""
    for name, (key, value) in section.entries.items():
        if value.plain is None and name not in section.known:
            key.complain("a setting of a scheme has a value, such as secret: $MY_SECRET")
            section.known.append(name)
    section.refuse_leftovers()


def _user(value: Value) -> str:
    found = text(value)
    if ":" in found:
        raise Wrong("text without ':'")
    return found


def _raw(words: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(word.encode("utf-8", "surrogateescape") for word in words)


def _signature(name: str, recipe: Recipe, value: Value, words: tuple[str, ...]) -> Signature | None:
    try:
        keys = tuple(read_secret(recipe.secret_encoding, word) for word in words)
    except ValueError:
        value.complain(
            f"the secret of {name} is not {SPELT[recipe.secret_encoding]}; "
            "copy it again as the sender shows it"
        )
        return None
    return Signature(name, recipe, keys)


SPELT = {"hex": "hexadecimal", "base64": "base64", "whsec": "whsec_ and base64", "text": "text"}
