"""JSON Pointers (RFC 6901): a place in a payload, and what stands there, as text."""

from __future__ import annotations

import json
import re

from hookrunner.model import Json

FORM = re.compile(r"(?:/(?:[^~]|~[01])*)?")
"""What is a pointer at all; an empty one is the whole."""


def as_text(value: Json) -> str:
    """A JSON value as a script would want it: text bare, nothing as nothing, else JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def at(value: Json, pointer: str) -> Json:
    """What a JSON Pointer (RFC 6901) leads to; None if it leads nowhere."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and re.fullmatch(r"0|[1-9][0-9]{0,8}", key):
            value = value[int(key)] if int(key) < len(value) else None
        else:
            return None
    return value
