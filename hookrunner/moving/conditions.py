"""What a trigger-rule asks of a request's values, as a JSON Schema such as `when` takes.

webhook compares texts: a payload's number or truth is written out first, an object as JSON. A
value that is not there is an error, which ends an `and` as false, is passed over by an `or`,
and makes a `not` true unless an `and` hears of it. All of that is kept; so each rule is two
schemas: when it is true, and when it is an error. Where a schema cannot judge as webhook
does (a pattern over a number), the delivery is not let through, also below a `not`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from hookrunner.model import Json
from hookrunner.moving.foreign import Argument

MOST_ITEMS = 100
"""Of a list that a rule counts along."""

NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,15})(?:\.[0-9]{1,15})?")
UNLIKE = re.compile(r"\\[pPQECzKgkuU]|\\x\{|\\[1-9]|\[\^?\[:|\[:|\(\?[=!<>(#a-zA-Z-]|[*+?}]\+")
"""What Go's patterns and Python's, which our schemas take, do not have alike."""

FLAGS = re.compile(r"\(\?([is]+)\)")
TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\$|.", re.DOTALL)

NUMBERS_AND_MORE = {"not": {"type": ["string", "boolean", "null"]}}


class CannotSay(Exception):
    """hooks.yaml has no words for it; str() is why."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A rule as schemas: `true` when it holds, `error` when a value is not there, `fatal` when
    a name leads on through null, of which webhook refuses the whole delivery."""

    true: Json
    error: Json
    fatal: Json = False
    sure: bool = True
    """True if it cannot be true and an error: only a `not` can."""

    clean: bool = True
    """True if it cannot be true and fatal."""

    @property
    def good(self) -> Json:
        """What an `and` wants of it."""
        return self.true if self.sure else all_of([self.true, negate(self.error)])

    @property
    def whole(self) -> Json:
        """What the delivery must be, if this is all of the rule."""
        return self.true if self.clean else all_of([self.true, negate(self.fatal)])


def of_all(parts: Sequence[Judged]) -> Judged:
    """webhook's `and`: it stops at the first that is not good."""
    errors: list[Json] = []
    fatal: list[Json] = []
    before: list[Json] = []
    for part in parts:
        errors.append(all_of([*before, part.error]))
        fatal.append(all_of([*before, part.fatal]))
        before.append(part.good)
    clean = all(part.clean for part in parts)
    return Judged(all_of(before), any_of(errors), any_of(fatal), clean=clean)


def of_any(parts: Sequence[Judged]) -> Judged:
    """webhook's `or`: it stops at the first that is true; an error is passed over."""
    fatal: list[Json] = []
    before: list[Json] = []
    for part in parts:
        fatal.append(all_of([*before, part.fatal]))
        before.append(negate(part.true))
    found = any_of(fatal)
    return Judged(any_of([part.true for part in parts]), False, found, clean=found is False)


def of_none(part: Judged) -> Judged:
    """webhook's `not`: what is an error stays one, and is true all the same."""
    return Judged(
        negate(part.true),
        part.error,
        part.fatal,
        sure=part.error is False,
        clean=part.fatal is False,
    )


def of_value(argument: Argument, value: str, *, gets: bool) -> Judged:
    """A value that is compared. `gets`: a GET, whose payload webhook does not have, may come."""
    return _at(
        argument, {"enum": _alike(value)} if len(_alike(value)) > 1 else {"const": value}, gets=gets
    )


def of_pattern(argument: Argument, pattern: str, *, holds: bool, gets: bool) -> Judged:
    """A value that a pattern is sought in. `holds` is False below a `not`, or any odd number."""
    if pattern in ("", ".*"):
        return _at(argument, True, gets=gets)
    pattern = as_ours(pattern)
    compiled = re.compile(pattern)
    kinds: list[Json] = [{"type": "string", "pattern": pattern}]
    if argument.source == "payload":
        words: list[tuple[Json, str]] = [(True, "true"), (False, "false"), (None, "<nil>")]
        found = [word for word, text in words if compiled.search(text)]
        kinds += [{"enum": found}] if found else []
        kinds += [] if holds else [NUMBERS_AND_MORE]
    return _at(argument, any_of(kinds), gets=gets)


def as_ours(pattern: str) -> str:
    """Go's pattern as a schema of ours takes it: `$` is the very end, a digit ASCII's."""
    flags = FLAGS.match(pattern)
    rest = pattern[flags.end() :] if flags else pattern
    tokens = TOKEN.findall(rest)
    outside = "".join("[]" if token.startswith("[") else token for token in tokens)
    if UNLIKE.search(outside.replace("(?:", "(")) or re.search(r"\[[^]]*\[:|\\[pP]", rest):
        raise CannotSay(f"the pattern {pattern!r} has what Go and Python do not have alike")
    ascii_only = re.search(r"\\[dDsSwWbB]", rest) is not None or flags is not None
    named = "".join(sorted({*("a" if ascii_only else ""), *(flags[1] if flags else "")}))
    ours = "".join(r"\Z" if token == "$" else token for token in tokens)
    ours = f"(?{named}){ours}" if named else ours
    try:
        re.compile(ours)
    except (re.error, OverflowError, RecursionError):
        raise CannotSay(f"the pattern {pattern!r} cannot be read") from None
    return ours


def _alike(value: str) -> list[Json]:
    """The values whose text webhook would compare with this one."""
    found: list[Json] = [value]
    words = {"true": True, "false": False, "<nil>": None}
    if value in words:
        found.append(words[value])
    elif NUMBER.fullmatch(value):
        found.append(json.loads(value))
    return found


def _at(argument: Argument, wanted: Json, *, gets: bool) -> Judged:
    """`wanted` of what an argument refers to."""
    name = argument.name
    if argument.source == "header":
        place = "headers"
        whole = _property(name.lower(), wanted)
        there = _property(name.lower(), True)
    elif argument.source in ("url", "query"):
        place, whole, there = "query", _within(name, wanted), _within(name, True)
    elif argument.source == "payload":
        place, whole, there = "payload", payload(name, wanted), payload(name, True)
    elif argument.source == "request" and name.lower() == "method":
        return Judged({"properties": {"method": wanted}}, False)
    else:
        raise CannotSay(f"a rule cannot look at the source {argument.source!r} here")
    guard = {"method": {"not": {"const": "GET"}}} if gets and place == "payload" else {}
    through = _through_null(name) if place == "payload" else False
    return Judged(
        {"properties": {**guard, place: whole}},
        negate({"properties": {**guard, place: there}}),
        through if through is False else {"properties": {**guard, place: through}},
    )


def _through_null(name: str) -> Json:
    """A dotted name that leads on through null."""
    first, dot, rest = name.partition(".")
    if not dot:
        return False
    inner = any_of([{"type": "null"}, _through_null(rest)])
    kinds: list[Json] = [{**_property(first, inner), "not": {"required": [name]}}]
    if first == "root" and (listed := _through_null(rest)):
        kinds.append(all_of([{"type": "array"}, listed]))
    if re.fullmatch(r"[0-9]{1,9}", first):
        kinds.append(_item(int(first), inner))
    return any_of(kinds)


def _item(number: int, wanted: Json) -> Json:
    """An item of a list. Raises CannotSay."""
    if number > MOST_ITEMS:
        raise CannotSay(f"a rule cannot count to item {number} of a list")
    items = [*[True] * number, wanted]
    return {"type": "array", "minItems": len(items), "prefixItems": items}


def payload(name: str, wanted: Json) -> Json:
    """The same of a payload, which is a list below `root` if it is one at all."""
    first, dot, rest = name.partition(".")
    if first != "root":
        return _within(name, wanted)
    whole = all_of([{"type": "array"}, _within(rest, wanted) if dot else wanted])
    return any_of([_within(name, wanted), whole])


def _within(name: str, wanted: Json) -> Json:
    """A dotted name: a key that is so called, dots and all, counts before what it leads to."""
    first, dot, rest = name.partition(".")
    kinds = [_called(name, wanted) if dot else _property(name, wanted)]
    if re.fullmatch(r"[0-9]{1,9}", first):
        kinds.append(_item(int(first), _within(rest, wanted) if dot else wanted))
    return any_of(kinds)


def _called(name: str, wanted: Json) -> Json:
    """A name with dots, as a key or as a path, of an object."""
    first, _, rest = name.partition(".")
    found: dict[str, Json] = {"type": "object", "if": {"required": [name]}}
    found["then"] = True if wanted is True else {"properties": {name: wanted}}
    further = _property(first, _within(rest, wanted))
    return {**found, "else": {key: further[key] for key in further if key != "type"}}


def _property(name: str, wanted: Json) -> Json:
    found: dict[str, Json] = {"type": "object", "required": [name]}
    return found if wanted is True else {**found, "properties": {name: wanted}}


def all_of(schemas: Sequence[Json]) -> Json:
    """What fits all of them."""
    flat = (each["allOf"] if _is_only("allOf", each) else [each] for each in schemas)
    kept = _distinct([each for some in flat for each in some if each is not True])
    if False in kept:
        return False
    return True if not kept else kept[0] if len(kept) == 1 else {"allOf": kept}


def any_of(schemas: Sequence[Json]) -> Json:
    """What fits one of them."""
    kept = _distinct([each for each in schemas if each is not False])
    if True in kept:
        return True
    return False if not kept else kept[0] if len(kept) == 1 else {"anyOf": kept}


def _is_only(keyword: str, schema: Json) -> bool:
    return isinstance(schema, dict) and list(schema) == [keyword]


def negate(schema: Json) -> Json:
    """What does not fit it."""
    if isinstance(schema, bool):
        return not schema
    return schema["not"] if _is_only("not", schema) else {"not": schema}


def _distinct(schemas: list[Json]) -> list[Json]:
    kept: list[Json] = []
    for each in schemas:
        if each not in kept:
            kept.append(each)
    return kept
