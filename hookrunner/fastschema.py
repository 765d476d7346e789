"""A JSON Schema as one Python function that says yes or no, for payloads that fit.

    compiled(contents, resolver, validator, kind) -> fits(value) -> True or False

jsonschema stays the authority. It makes an object for every schema that a value meets,
which is slow, but it says what is wrong. Here the same rules become closures, once. A
schema with any keyword that RULES does not have is not compiled at all: jsonschema judges
it alone, as it does whatever is found not to fit here. Yes and no must both be right, for
under `not`, `if` and `oneOf` a wrong no would become a wrong yes.

What keeps the two at one: references are resolved by jsonschema's own resolver; a keyword
that looks at one value and no further is jsonschema's own function (LEAVES), but for a
few that are met everywhere; and the rest, which lead into a value or join verdicts, stand
below, each short enough to be read beside its original in `jsonschema/_keywords.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from jsonschema import (
    Draft4Validator,
    Draft6Validator,
    Draft7Validator,
    Draft201909Validator,
    Draft202012Validator,
)
from jsonschema.validators import validator_for

from hookrunner import formats
from hookrunner.model import Json

if TYPE_CHECKING:
    from referencing._core import Resolver

Fits = Callable[[Any], bool]

REF_ALONE = (Draft4Validator, Draft6Validator, Draft7Validator)
"""Drafts in which `$ref` hides every keyword beside it."""

KINDS = (*REF_ALONE, Draft201909Validator, Draft202012Validator)

EXACT = 2**53
"""A whole number up to here is a double, too, so that `%` by it fails for no number."""


def compiled(contents: Json, resolver: Resolver[Json], validator: Any, kind: Any) -> Fits | None:
    """The function that says whether a value fits; None if only jsonschema can say.

    `validator` is jsonschema's for the same schema, which is known to be valid by its
    draft `kind` and to have no reference that dangles.
    """
    if kind not in KINDS:
        return None
    try:
        return _Compiler(validator, kind).whole(contents, resolver)
    except (_NotCompiled, RecursionError):
        return None


class _NotCompiled(Exception):
    """Something here is jsonschema's alone to judge; str() is what."""


class _Later:
    """The function of a schema that is still being made, when it refers to itself."""

    def __init__(self, contents: Json) -> None:
        self.contents = contents  # kept, for an id is another's once its object is gone
        self.fits: Fits | None = None

    def __call__(self, value: Any) -> bool:
        assert self.fits
        return self.fits(value)


class _Compiler:
    """Makes the functions, one for each schema that is referred to, which may be in itself."""

    def __init__(self, validator: Any, kind: Any) -> None:
        self.validator = validator
        self.kind = kind
        self.made: dict[tuple[int, str], _Later] = {}

    def whole(self, contents: Json, resolver: Resolver[Json]) -> Fits:
        """The function of a schema that a reference leads to."""
        key = (id(contents), resolver._base_uri)  # relative references depend on the base
        if (later := self.made.get(key)) is None:
            later = self.made[key] = _Later(contents)
            later.fits = self._joined(contents, resolver)
        return later.fits or later

    def part(self, contents: Json, resolver: Resolver[Json]) -> Fits:
        """The function of a schema inside a schema."""
        # jsonschema heeds an id there in most places, but not under `not` and `if`.
        if isinstance(contents, dict) and self.kind.ID_OF(contents) is not None:
            raise _NotCompiled("an id inside a schema")
        return self._joined(contents, resolver)

    def _joined(self, contents: Json, resolver: Resolver[Json]) -> Fits:
        if isinstance(contents, bool):
            return _anything if contents else _nothing
        if not isinstance(contents, dict) or not self._same_draft(contents):
            raise _NotCompiled("another draft, or no schema")
        names = [name for name in contents if name in self.kind.VALIDATORS]
        if self.kind in REF_ALONE and contents.get("$ref") is not None:
            names = ["$ref"]
        if unknown := set(names) - RULES.keys():
            raise _NotCompiled(", ".join(unknown))
        here = _Here(self, contents, resolver)
        # Without repetition: one rule does all three that concern an object's members.
        return _all([rule(here) for rule in dict.fromkeys(RULES[name] for name in names)])

    def _same_draft(self, contents: Mapping[str, Json]) -> bool:
        if "$schema" not in contents:
            return True
        named = contents["$schema"]
        return isinstance(named, str) and validator_for(contents, default=None) is self.kind  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class _Here:
    """A schema that is being compiled, and what its rules need to know."""

    compiler: _Compiler
    contents: dict[str, Any]
    resolver: Resolver[Json]

    def part(self, contents: Json) -> Fits:
        return self.compiler.part(contents, self.resolver)

    def parts(self, several: Sequence[Json]) -> list[Fits]:
        return [self.part(each) for each in several]

    def referred(self, ref: Json) -> Fits:
        if not isinstance(ref, str):
            raise _NotCompiled("$ref")
        found = self.resolver.lookup(ref)
        return self.compiler.whole(found.contents, found.resolver)

    def knows(self, name: str) -> bool:
        """Whether a keyword means anything in this draft."""
        return name in self.compiler.kind.VALIDATORS


# --- verdicts


def _anything(_: Any) -> bool:
    return True


def _nothing(_: Any) -> bool:
    return False


def _all(several: Sequence[Fits]) -> Fits:
    checks = [fits for fits in several if fits is not _anything]
    if not checks:
        return _anything
    first, *others = checks
    if not others:
        return first
    if len(others) == 1:
        [second] = others
        return lambda value: first(value) and second(value)

    def all_fit(value: Any) -> bool:
        for fits in checks:  # not all(): a generator costs as much as three checks
            if not fits(value):
                return False
        return True

    return all_fit


def _any(several: Sequence[Fits]) -> Fits:
    if len(several) == 1:
        return several[0]

    def one_fits(value: Any) -> bool:
        for fits in several:
            if fits(value):
                return True
        return False

    return one_fits


def _not(here: _Here) -> Fits:
    fits = here.part(here.contents["not"])
    return lambda value: not fits(value)


def _one_of(here: _Here) -> Fits:
    several = here.parts(here.contents["oneOf"])

    def just_one_fits(value: Any) -> bool:
        found = False
        for fits in several:
            if fits(value):
                if found:
                    return False
                found = True
        return found

    return just_one_fits


def _if(here: _Here) -> Fits:
    condition = here.part(here.contents["if"])
    then = here.part(here.contents.get("then", True))
    otherwise = here.part(here.contents.get("else", True))
    return lambda value: then(value) if condition(value) else otherwise(value)


# --- one value, and no further

LEAVES = (
    "const",
    "dependentRequired",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
)
"""Judged by jsonschema's own functions of the draft, called without what is dear around them."""


def _leaf(name: str, here: _Here) -> Fits:
    rule = here.compiler.kind.VALIDATORS[name]
    wanted, contents, validator = here.contents[name], here.contents, here.compiler.validator
    return lambda value: next(rule(validator, wanted, value, contents), None) is None


def _multiple_of(here: _Here) -> Fits:
    wanted = here.contents["multipleOf"]
    if not isinstance(wanted, int) or wanted > EXACT:
        # Arithmetic may overflow, on which jsonschema gives up wherever in the schema it is.
        raise _NotCompiled("multipleOf with a fraction")
    return _leaf("multipleOf", here)


def _enum(here: _Here) -> Fits:
    wanted = here.contents["enum"]
    if not all(isinstance(each, str | None) for each in wanted):
        return _leaf("enum", here)
    known = frozenset(wanted)
    return lambda value: (isinstance(value, str) or value is None) and value in known


def _const(here: _Here) -> Fits:
    wanted = here.contents["const"]
    if not isinstance(wanted, str):
        return _leaf("const", here)
    return lambda value: isinstance(value, str) and value == wanted


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool)
    return isinstance(value, float) and value.is_integer()


TYPES: Mapping[str, Fits] = {
    "array": lambda value: isinstance(value, list),
    "boolean": lambda value: isinstance(value, bool),
    "integer": _is_integer,
    "null": lambda value: value is None,
    "number": _is_number,
    "object": lambda value: isinstance(value, dict),
    "string": lambda value: isinstance(value, str),
}


def _type(here: _Here) -> Fits:
    wanted = here.contents["type"]
    names = [wanted] if isinstance(wanted, str) else wanted
    if here.compiler.kind is Draft4Validator and "integer" in names:
        return _leaf("type", here)  # 1.0 is none there
    return _any([TYPES[name] for name in names])


def _format(here: _Here) -> Fits:
    check = formats.CHECKS.get(here.contents["format"])
    return (lambda value: not isinstance(value, str) or check(value)) if check else _anything


def _pattern(here: _Here) -> Fits:
    search, most = (
        re.compile(here.contents["pattern"]).search,
        here.contents.get("maxLength", math.inf),
    )
    # A pattern may take exponential time: what is too long is not to be looked at.
    return lambda value: (
        not isinstance(value, str) or (len(value) <= most and search(value) is not None)
    )


# --- into the value


def _members(here: _Here) -> Fits:
    parts = {name: here.part(each) for name, each in here.contents.get("properties", {}).items()}
    required = frozenset(here.contents.get("required", ()))
    others = here.part(here.contents.get("additionalProperties", True))

    def named_fit(value: Any) -> bool:
        if not isinstance(value, dict):
            return True
        if not required <= value.keys():
            return False
        for name, fits in parts.items():
            if name in value and not fits(value[name]):
                return False
        return True

    def all_fit(value: Any) -> bool:
        if not isinstance(value, dict):
            return True
        if not required <= value.keys():
            return False
        for name, each in value.items():
            if not parts.get(name, others)(each):
                return False
        return True

    return named_fit if others is _anything else all_fit


def _items(here: _Here) -> Fits:
    given = here.contents.get("items", True)
    in_a_list = isinstance(given, list)  # as older drafts write `prefixItems`
    known = here.knows("prefixItems")
    first = here.parts(
        given if in_a_list else here.contents.get("prefixItems", ()) if known else ()
    )
    others = here.part(True if in_a_list else given)

    def items_fit(value: Any) -> bool:
        if not isinstance(value, list):
            return True
        for fits, each in zip(first, value, strict=False):
            if not fits(each):
                return False
        for each in value[len(first) :] if first else value:
            if not others(each):
                return False
        return True

    return items_fit


Rule = Callable[[_Here], Fits]

RULES: Mapping[str, Rule] = {
    **{name: partial(_leaf, name) for name in LEAVES},
    "$ref": lambda here: here.referred(here.contents["$ref"]),
    "additionalProperties": _members,
    "allOf": lambda here: _all(here.parts(here.contents["allOf"])),
    "anyOf": lambda here: _any(here.parts(here.contents["anyOf"])),
    "const": _const,
    "enum": _enum,
    "format": _format,
    "if": _if,
    "items": _items,
    "multipleOf": _multiple_of,
    "not": _not,
    "oneOf": _one_of,
    "pattern": _pattern,
    "prefixItems": _items,
    "properties": _members,
    "required": _members,
    "type": _type,
}
"""Every keyword that is compiled. Any other that the draft knows leaves all to jsonschema:
those that depend on what others have judged (`unevaluated...`) or on the way there
(`$dynamicRef`), and those that are rare and not worth a second telling."""
