"""Payloads that nobody has sent: a sender's as it may look, or as little as a schema asks for."""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from referencing.exceptions import Unresolvable

from hookrunner.model import Json, Shape

if TYPE_CHECKING:
    from referencing._core import Resolver

DEEPEST = 20
"""Schemas inside schemas; one that asks for itself has no end."""

MOST_ITEMS = 100
LONGEST = 1024**2
"""Characters of a text; a hook takes no more unless it says so."""

FORMATS: Mapping[str, str] = {
    "date-time": "2026-01-31T10:00:00Z",
    "date": "2026-01-31",
    "time": "10:00:00Z",
    "duration": "PT1H",
    "email": "somebody@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uri-reference": "https://example.com/",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
    "json-pointer": "/text",
    "regex": "^text$",
}

COMMON = (
    "text", "Text", "TEXT", "1", "12", "123", "1234", "12345", "a", "A", "AB", "ABC", "a1",
    "main", "refs/heads/main", "refs/tags/v1.0.0", "v1.0.0", "1.0.0", "1.50", "10:00", "9:05",
    "1:05:00", "01-31", "2026-01-31 9:05", "+491701234567", "some-text", "some_text", "me/project",
    "#ffffff", "0123456789abcdef", "0123456789abcdef0123456789abcdef01234567", *FORMATS.values(),
)  # fmt: skip
"""What a pattern may well want."""


def _push() -> Json:
    commit = {
        "id": "0123456789abcdef0123456789abcdef01234567",
        "message": "A made-up commit",
        "author": {"name": "Zoë", "email": "zoe@example.com"},
    }
    return {
        "ref": "refs/heads/main",
        "before": "0" * 40,
        "after": commit["id"],
        "repository": {"name": "project", "full_name": "me/project", "default_branch": "main"},
        "pusher": {"name": "zoe", "email": "zoe@example.com"},
        "commits": [commit],
        "head_commit": commit,
    }


def _answer() -> Json:
    return {
        "form": {"id": "made-up", "title": "A made-up form"},
        "response": {
            "id": f"made-up-{secrets.token_hex(5)}",
            "timestamp": FORMATS["date-time"],
            "email": "",
            "payload": {"Name": "Zoë", "Email": "zoe@example.com"},
        },
        "items": [],
    }


def _stripe() -> Json:
    paid = {"id": "pi_made_up", "object": "payment_intent", "amount": 1000, "currency": "eur"}
    return {
        "id": f"evt_{secrets.token_hex(10)}",
        "object": "event",
        "type": "payment_intent.succeeded",
        "created": 1769853600,
        "livemode": False,
        "data": {"object": paid},
    }


def _slack() -> Json:
    return {
        "type": "event_callback",
        "event_id": f"Ev{secrets.token_hex(5).upper()}",
        "team_id": "T00000000",
        "event": {"type": "app_mention", "user": "U00000000", "text": "a made-up message"},
    }


def _order() -> Json:
    return {
        "id": secrets.randbelow(10**12),
        "email": "zoe@example.com",
        "currency": "EUR",
        "total_price": "10.00",
        "line_items": [{"title": "A made-up thing", "quantity": 1, "price": "10.00"}],
    }


SENDERS: Mapping[str, Callable[[], Json]] = {
    "github": _push,
    "gitea": _push,
    "forgejo": _push,
    "gitlab": lambda: {**_push(), "object_kind": "push", "project": {"name": "project"}},
    "google-forms": _answer,
    "stripe": _stripe,
    "slack": _slack,
    "shopify": _order,
}
"""What a delivery of theirs looks like, with an id of its own."""


def payload(shape: Shape | None, sender: str) -> tuple[Json, str]:
    """A payload, and why it does not fit the schema; that is empty if it does."""
    typical = SENDERS[sender]() if sender in SENDERS else {}
    if shape is None:
        return typical, ""
    contents = getattr(shape, "contents", True)
    try:
        made = {} if contents is True else _made(contents, getattr(shape, "resolver", None), 0)
    except OverflowError:  # of numbers beyond what a double holds
        made = {}
    misfits = shape.misfits(made)
    if not misfits:
        return made, ""
    if not shape.misfits(typical):
        return typical, ""
    return made, f"{misfits[0].pointer or '(whole)'}: {misfits[0].detail}"


def _made(contents: Json, resolver: Resolver[Json] | None, depth: int) -> Json:
    if not isinstance(contents, dict) or depth > DEEPEST:
        return "text"
    for name in ("examples", "enum"):
        if isinstance(found := contents.get(name), list) and found:
            return found[0]
    for name in ("const", "default"):
        if name in contents:
            return contents[name]
    if resolver and isinstance(ref := contents.get("$ref"), str):
        try:
            found = resolver.lookup(ref)
        except Unresolvable:
            return "text"
        if isinstance(found.contents, dict):
            rest = {name: part for name, part in contents.items() if name != "$ref"}
            return _made(_both(found.contents, rest), found.resolver, depth + 1)
    for name, taken in (("allOf", None), ("anyOf", 1), ("oneOf", 1)):
        if isinstance(parts := contents.get(name), list) and parts:
            whole = {each: part for each, part in contents.items() if each != name}
            for part in parts[:taken]:
                whole = _both(whole, part if isinstance(part, dict) else {})
            return _made(whole, resolver, depth + 1)
    return _of_kind(_kind(contents), contents, lambda part: _made(part, resolver, depth + 1))


def _both(one: dict[str, Json], two: dict[str, Json]) -> dict[str, Json]:
    """A schema that asks for both, as far as it is simple."""
    both = {**one, **two}
    if "properties" in one and "properties" in two:
        both["properties"] = {**one["properties"], **two["properties"]}
    if "required" in one and "required" in two:
        both["required"] = [*one["required"], *two["required"]]
    return both


def _kind(contents: dict[str, Json]) -> str:
    found = contents.get("type")
    if isinstance(found, list):
        return str(next((name for name in found if name != "null"), "null"))
    if isinstance(found, str):
        return found
    told = {"properties": "object", "required": "object", "items": "array", "minimum": "number"}
    return next((kind for word, kind in told.items() if word in contents), "string")


def _of_kind(kind: str, contents: dict[str, Json], made: Callable[[Json], Json]) -> Json:
    if kind == "object":
        properties = contents.get("properties", {})
        names = dict.fromkeys(contents.get("required", []))
        return {name: made(properties.get(name)) for name in names}
    if kind == "array":
        return _items(contents, made)
    if kind in ("integer", "number"):
        return _number(contents, whole=kind == "integer")
    return {"boolean": True, "null": None}.get(kind) if kind != "string" else _text(contents)


def _items(contents: dict[str, Json], made: Callable[[Json], Json]) -> Json:
    count = min(int(contents.get("minItems", 0)), MOST_ITEMS)
    first = [made(part) for part in contents.get("prefixItems", [])]
    if "contains" in contents:
        first.append(made(contents["contains"]))
    rest = [made(contents.get("items")) for _ in range(count - len(first))]
    if contents.get("uniqueItems"):
        rest = [_another(item, place) for place, item in enumerate(rest)]
    return [*first, *rest]


def _another(item: Json, place: int) -> Json:
    """The item, unlike those of other places if that is easy."""
    if not place or isinstance(item, bool):
        return item
    if isinstance(item, str):
        return f"{item} {place + 1}"
    return item + place if isinstance(item, int | float) else item


def _number(contents: dict[str, Json], *, whole: bool) -> Json:
    step: Any = contents.get("multipleOf", 1 if whole else 0.5)
    value: Any = step if "multipleOf" in contents else 1 if whole else 1.5
    low, high = contents.get("minimum"), contents.get("maximum")
    above, below = contents.get("exclusiveMinimum"), contents.get("exclusiveMaximum")
    if type(above) in (int, float):
        low = max(above + step, above if low is None else low)
    if type(below) in (int, float):
        high = min(below - step, below if high is None else high)
    if low is not None and value < low:
        value = math.ceil(low / step) * step
    if high is not None and value > high:
        value = math.floor(high / step) * step
    return int(value) if whole else value


def _text(contents: dict[str, Json]) -> str:
    least = min(int(contents.get("minLength", 0)), LONGEST)
    most = min(int(contents.get("maxLength", LONGEST)), LONGEST)
    pattern = contents.get("pattern")
    if isinstance(pattern, str):
        plain = re.sub(r"^\^|\$$|\\(?=\W)", "", pattern)
        for text in (*COMMON, *(letter * least for letter in "a0A"), plain):
            if least <= len(text) <= most and re.search(pattern, text):
                return text
    known = FORMATS.get(str(contents.get("format")))
    return known or ("text" * (least // 4 + 1))[: max(least, min(most, 4))]
