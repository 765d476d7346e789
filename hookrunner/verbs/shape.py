"""The shapes of what a hookrunner tells of its runs (see `telling`), to know others' answers by.

More than a shape asks for may be there: a newer server may tell more.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from hookrunner.model import Json

Shape = Any
"""A type, a pattern, a test; what stands under each name, or in a list; one of several; null."""


def _number(said: Json) -> bool:
    return type(said) in (int, float) and abs(said) < 1e15


def _place(said: Json) -> bool:
    return type(said) is int and 0 <= said < 10**15


def _text(said: Json) -> bool:
    try:
        return isinstance(said, str) and said.encode() is not None
    except UnicodeEncodeError:
        return False


def _base64(said: Json) -> bool:
    try:
        return isinstance(said, str) and base64.b64decode(said) is not None
    except ValueError:
        return False


ID = re.compile(r"[a-z2-7]{20}")
TIME = (str, None)
OUTCOME = ({"state": str, "seconds": _number, "detail": str}, None)
RUN = {"run": ID}
STANDING = {
    "run": ID,
    "hook": str,
    "state": str,
    "attempt": _place,
    "event": str,
    "delivery": str,
    "recorded_at": TIME,
    "ended_at": TIME,
    "due": TIME,
    "replaces": str,
    "seq": _place,
    "outcome": OUTCOME,
}
LISTED = {"runs": [STANDING]}
REQUEST = {
    **dict.fromkeys(("method", "path", "query", "content_type", "remote_addr"), str),
    "params": dict,
    "headers": dict,
    "body": ({"text": _text}, {"base64": _base64}),
}
ATTEMPT = {
    "number": _place,
    "started_at": TIME,
    "outcome": OUTCOME,
    "stdout": str,
    "stderr": str,
    "cut": bool,
}
WHOLE = {**STANDING, "request": REQUEST, "attempts": [ATTEMPT]}
PIECE = {
    "outcome": OUTCOME,
    **dict.fromkeys(("stdout", "stderr"), str),
    **dict.fromkeys(("stdout_next", "stdout_end", "stderr_next", "stderr_end"), _place),
}
PRINTED = {**STANDING, "printed": (PIECE, None)}
PRUNED = {"pruned": _place, "more": bool}


def fits(said: Json, shape: Shape) -> bool:
    """True if a value has this shape."""
    match shape:
        case None:
            return said is None
        case tuple():
            return any(fits(said, each) for each in shape)
        case list():
            return isinstance(said, list) and all(fits(each, shape[0]) for each in said)
        case Mapping():
            return isinstance(said, dict) and all(
                name in said and fits(said[name], each) for name, each in shape.items()
            )
        case re.Pattern():
            return isinstance(said, str) and shape.fullmatch(said) is not None
        case type():
            return type(said) is shape
    return bool(shape(said))
