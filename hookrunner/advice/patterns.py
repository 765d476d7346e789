"""Patterns of a schema that can take exponential time: a repeat whose rounds are repeats alone.

In `(a+)+$` a row of n letters can be cut into rounds in 2^n ways, and Python's `re` tries them
all before it says no. `(-[a-z]+)*` is fine: each round begins with what tells it from the last.
There are other slow patterns; those that are told of here are so for certain.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from hookrunner.advice.schemas import parts
from hookrunner.model import Json
from hookrunner.schema import REFERENCES, Part, Schema

SHORT = 20
"""Characters of a text for which even two to that power is done in no time."""

REPEATS = ("MAX_REPEAT", "MIN_REPEAT")
ENDLESS = 100
"""Rounds that are as good as any number of them."""


def slow(schema: Schema) -> Iterator[str]:
    """What is wrong with each pattern that can take exponential time, and where it stands."""
    for place, part in _reached(schema.whole):
        here, pattern, most = place or "(whole)", part.get("pattern"), part.get("maxLength")
        short = isinstance(most, int | float) and most <= SHORT
        if isinstance(pattern, str) and not short and doubled(pattern):
            yield (
                f"the pattern {pattern[:60]!r} at {here} repeats what repeats: some "
                f"texts of 30 characters hold up every hook; take one + or * out of it, or write "
                f"maxLength: {SHORT} beside it"
            )
        named = part.get("patternProperties")
        for pattern in filter(doubled, named if isinstance(named, dict) else ()):
            yield (
                f"the pattern {pattern[:60]!r} for names of properties at {here} repeats what "
                "repeats: some names of 30 characters hold up every hook; take one + or * out of it"
            )


def _reached(whole: Part) -> Iterator[tuple[str, dict[str, Json]]]:
    """A schema and all that may judge a part of the same value, in whatever file; with its place.

    Each once, though several may refer to it.
    """
    todo, seen = deque([("", whole)]), dict[int, Json]()
    while todo:
        place, part = todo.popleft()
        contents = part.contents
        if not isinstance(contents, dict) or id(contents) in seen:
            continue
        seen[id(contents)] = contents  # an id is another's once its object is gone
        yield place, contents
        todo += [(f"{place}{name}", part.inside(inner)) for name, inner in parts(contents)]
        refs = [ref for keyword in REFERENCES if isinstance(ref := contents.get(keyword), str)]
        todo += [(place, part.target(ref)) for ref in refs]


def doubled(pattern: str) -> bool:
    """True if it repeats, for as long as it can, what may be nothing but a repeat itself."""
    try:
        return _doubled(import_module("re._parser").parse(pattern), followed=False)
    except (re.error, RecursionError, OverflowError):
        return False  # not ours to tell


def _doubled(items: Sequence[Any], *, followed: bool) -> bool:
    """`followed` by what may not fit; without that, the first way to cut it is taken."""
    for place, (name, given) in enumerate(items):
        follows = followed or not all(map(_can_be_nothing, list(items)[place + 1 :]))
        if follows and _is_endless(name, given) and _is_repeat_alone(given[2]):
            return True
        if any(_doubled(each, followed=follows) for each in _inside(name, given)):
            return True
    return False


def _is_endless(name: Any, given: Any) -> bool:
    return str(name) in REPEATS and int(given[1]) >= ENDLESS


def _is_repeat_alone(items: Sequence[Any]) -> bool:
    """True if a text may be an endless repeat of these, and nothing beside it."""
    for place, (name, given) in enumerate(items):
        others = [each for at, each in enumerate(items) if at != place]
        if not all(map(_can_be_nothing, others)):
            continue
        if _is_endless(name, given) and given[2].getwidth()[1] > 0:
            return True
        if str(name) in ("SUBPATTERN", "BRANCH") and any(
            _is_repeat_alone(each) for each in _inside(name, given)
        ):
            return True
    return False


def _can_be_nothing(item: Any) -> bool:
    """True for what is optional; not for what looks ahead, behind, or for an end."""
    name, given = item
    if str(name) in (*REPEATS, "POSSESSIVE_REPEAT"):
        return bool(given[0] == 0)
    return str(name) in ("SUBPATTERN", "BRANCH") and any(
        all(map(_can_be_nothing, each)) for each in _inside(name, given)
    )


def _inside(name: Any, given: Any) -> Sequence[Any]:
    """The patterns that an item of a pattern holds."""
    match str(name):
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            return [given[2]]
        case "SUBPATTERN":
            return [given[3]]
        case "BRANCH":
            return list(given[1])
        case "ASSERT" | "ASSERT_NOT":
            return [given[1]]
        case "ATOMIC_GROUP":
            return [given]
    return []
