"""What our own pages may be asked with, in their query: read here, and described from here.

What is not known, or cannot be, is refused with what would be right: a filter that is
misspelt must not find everything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hookrunner import form
from hookrunner.answer import Environ
from hookrunner.model import Json, Refused, State

MOST_LISTED = 500
MOST_AT_ONCE = 50

NUMBER: Json = {"type": "integer", "minimum": 1, "maximum": 999_999_999}
SEQ: Json = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}
BYTE: Json = {"type": "integer", "minimum": 0, "maximum": 10**15 - 1}
SECONDS: Json = {"type": "number", "minimum": 0, "maximum": 999_999_999_999}


@dataclass(frozen=True, slots=True)
class Asked:
    """A field of a query: the pattern of its value, what that is in words, and as JSON Schema."""

    pattern: str
    told: str
    schema: Json
    needed: bool = False


Queries = Mapping[str, Asked]

WHOLE = r"[0-9]{1,12}"
TIME = rf"{WHOLE}(\.[0-9]{{1,6}})?"
ANY = r"[^\x00]*"
"""PostgreSQL has no text with a NUL."""

TEXT: Json = {"type": "string", "pattern": r"^[^\u0000]*$"}

RUNS: Queries = {
    "id": Asked(ANY, "how an id begins or ends", TEXT),
    "hook": Asked(ANY, "a path of hooks.yaml", TEXT),
    "state": Asked("|".join(State), f"one of {', '.join(State)}", {"enum": [*map(str, State)]}),
    "text": Asked(ANY, "what is in id, event, delivery id, path or body", TEXT),
    "since": Asked(TIME, "in Unix seconds", SECONDS),
    "until": Asked(TIME, "in Unix seconds", SECONDS),
    "before": Asked(r"[0-9]{1,18}", "the seq of a run", SEQ),
    "limit": Asked(r"[1-9][0-9]{0,8}", "a whole number from 1", NUMBER),
    "unreplaced": Asked("1", "1, for runs that none has replaced", {"const": 1}),
}
REFUSALS: Queries = {
    "before": Asked(r"[0-9]{1,18}", "the seq of a refusal", SEQ),
    "limit": Asked(r"[1-9][0-9]{0,8}", "a whole number from 1", NUMBER),
}
HOOK: Queries = {"path": Asked(ANY, "a path of hooks.yaml", TEXT, needed=True)}
OLDER: Queries = {"older": Asked(TIME, "in seconds", SECONDS)}
PLACES: Queries = {
    "attempt": Asked(r"[1-9][0-9]{0,8}", "the number of an attempt", NUMBER),
    "stdout": Asked(r"[0-9]{1,15}", "the place of a byte", BYTE),
    "stderr": Asked(r"[0-9]{1,15}", "the place of a byte", BYTE),
    "exact": Asked(
        "1", "1, for what was sent as it was, secrets and all; with nothing else", {"const": 1}
    ),
}
ATTEMPT: Queries = {"attempt": PLACES["attempt"]}
NOTHING: Queries = {}


def asked_of(environ: Environ, known: Queries) -> dict[str, str]:
    """What a page is asked with. Raises Refused(400) with what is wrong, and would be right."""
    asked = {}
    for name, value in form.query(environ.get("QUERY_STRING", "")).items():
        if name not in known:
            may = f"is none of {', '.join(known)}" if known else "cannot be asked for here"
            raise Refused(400, f"{name[:40]!r} {may}")
        may_be = known[name]
        if not isinstance(value, str) or not re.fullmatch(may_be.pattern, value):
            raise Refused(400, f"{name} cannot be {str(value)[:40]!r}; it is {may_be.told}")
        asked[name] = value
    for name, may_be in known.items():
        if may_be.needed and name not in asked:
            raise Refused(400, f"{name} is missing; it is {may_be.told}")
    return asked


def most_of(asked: Mapping[str, str]) -> int:
    """How many of a list are wanted at once."""
    return min(int(asked.get("limit", MOST_AT_ONCE)), MOST_LISTED)


def before_of(asked: Mapping[str, str]) -> int | None:
    """The number before which a list goes on."""
    return int(asked["before"]) if "before" in asked else None
