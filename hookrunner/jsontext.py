"""JSON texts, read strictly, because two readers of a sloppy one may read two things.

No NaN, no number beyond a double, no key twice, UTF-8 only, and a bounded depth (RFC 8259,
RFC 7493).
"""

from __future__ import annotations

import json
import math
import re

from hookrunner.model import Json, Refused

DEEPEST = 64
STRINGS = re.compile(rb'"[^"\\\\]*(?:\\\\.[^"\\\\]*)*"', re.DOTALL)
NO_BRACKETS = bytes(each for each in range(256) if each not in b"[]{}")
AS_SQUARE = bytes.maketrans(b"{}", b"[]")
LONGEST_SAFE = 300
"""Digits of an integer that surely is within a double (which ends at 309 of them)."""


def read(body: bytes) -> Json:
    """The value of a JSON text. Raises Refused(400) with the place where it is not one."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(400, f"the body is not UTF-8 at byte {error.start}") from None
    if text.startswith("\ufeff"):
        raise Refused(400, "the body begins with a byte order mark; send JSON without one")
    if not text.strip():
        raise Refused(400, "the body is empty; send a JSON value")
    if _deeper_than(body, DEEPEST):
        raise Refused(400, f"the body is nested more than {DEEPEST} deep")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_in_range,
        )
    except json.JSONDecodeError as error:
        raise Refused(
            400,
            f"the body is not JSON: {error.msg.removesuffix(' at')} "
            f"at line {error.lineno} column {error.colno}",
        ) from None
    except _Unfit as error:
        raise Refused(400, f"the body is not JSON that can be taken: {error}") from None
    except RecursionError:
        raise Refused(400, f"the body is nested more than {DEEPEST} deep") from None
    except ValueError:
        raise Refused(400, "the body holds a number of too many digits") from None
    return value


class _Unfit(Exception):
    """JSON by its grammar, but nothing two readers would read alike."""


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise _Unfit(f"the key {twice[:60]!r} stands twice in one object")
    return found


def _no_constant(name: str) -> Json:
    raise _Unfit(f"{name} is not a JSON number")


def _in_range(text: str) -> int:
    number = int(text)
    if len(text) > LONGEST_SAFE and math.isinf(float(text)):
        raise _Unfit(f"the number {text[:60]} is out of range")
    return number


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _Unfit(f"the number {text[:60]} is out of range")
    return number


def _deeper_than(body: bytes, limit: int) -> bool:
    """True if lists and objects are nested deeper; before anybody has to build them.

    In what is left of a text without its strings and all but its brackets, a pair that
    holds nothing is the innermost there is. What is no JSON may seem to be deep.
    """
    if body.count(b"[") + body.count(b"{") <= limit:
        return False
    brackets = STRINGS.sub(b"", body).translate(AS_SQUARE, NO_BRACKETS)
    for _ in range(limit):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return b"[]" in brackets or brackets.count(b"[") > limit
