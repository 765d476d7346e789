"""A JSON Schema, compiled once: what a payload must look like, and what to say if it does not.

Draft 2020-12 unless `$schema` names another. `format` is asserted. A `$ref` is resolved
among the files of `schemas/` and nowhere else: the library would otherwise fetch it
from the network or from any file, and would find a dangling one only at the first
payload. Messages are bounded, because the library quotes the value that does not fit,
and that may be the whole payload.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend, validator_for
from referencing import Registry, Resource, Specification
from referencing.exceptions import CannotDetermineSpecification, NoSuchResource, Unresolvable
from referencing.jsonschema import DRAFT202012, specification_with

from hookrunner import fastschema, formats
from hookrunner.model import Json, Misfit, Wanted
from hookrunner.sections import hint

if TYPE_CHECKING:
    from referencing._core import Resolved, Resolver

MOST_ERRORS = 20
LONGEST_DETAIL = 300
LONGEST_VALUE = 60
LONGEST_POINTER = 1000
MOST_HOPS = 8
MOST_CHOICES = 3
"""Levels of `oneOf` within `oneOf` whose branches' errors are told."""

HOME = "file:///"
"""The address that files of `schemas/` have inside a registry; nothing is read from `/`."""


class BadSchema(Exception):
    """The schema cannot be used; str() says where and why."""


def _checker() -> FormatChecker:
    checker = FormatChecker(formats=())
    for name in formats.CHECKS:
        checker.checks(name)(lambda value, name=name: formats.fits(name, value))
    return checker


CHECKER = _checker()


class Schema:
    """A compiled schema; see the module for what it promises."""

    def __init__(self, contents: Json, folder: Path, address: str = HOME) -> None:
        """Compile `contents`; relative references are files of `folder`. Raises BadSchema."""
        if not isinstance(contents, dict | bool):
            raise BadSchema(f"a schema is a mapping or true/false, not {_brief(contents)}")
        self.contents = contents
        kind = _dialect(contents)
        _check(kind, contents, "")
        self.kind = kind
        resource = Resource.from_contents(contents, default_specification=_specification(kind))
        known = [(address, resource)]
        if (own := resource.id()) is not None:
            known.append((own, resource))
        registry: Registry[Json] = Registry(retrieve=_Folder(folder).retrieve)  # type: ignore[call-arg]
        registry = registry.with_resources(known)
        self.resolver = registry.resolver().lookup(address).resolver
        try:
            _Walk().visit(contents, self.resolver, kind)
        except RecursionError:
            raise BadSchema("the schema is nested too deeply") from None
        # By reference, so that the validator's base is `address`: relative references
        # then mean files of the folder, as they did in the line above.
        self.validator = _quick(kind)({"$ref": address}, registry=registry, format_checker=CHECKER)

    def misfits(self, value: Json) -> list[Misfit]:
        """Every place where `value` does not fit, at most twenty of them."""
        return [] if self.accepts(value) else self.judged(value)

    def accepts(self, value: Json) -> bool:
        """True if `value` fits for certain; if not, jsonschema has to be asked."""
        try:
            return self._fits is not None and self._fits(value)
        except RecursionError:
            return False

    @cached_property
    def _fits(self) -> fastschema.Fits | None:
        """Compiled at the first payload, which is soon enough: starting should not wait."""
        return fastschema.compiled(self.contents, self.resolver, self.validator, self.kind)

    def judged(self, value: Json) -> list[Misfit]:
        """What `misfits` gives, by jsonschema alone."""
        errors: Iterator[ValidationError] = self.validator.iter_errors(value)
        try:
            return [_misfit(error) for error in islice(errors, MOST_ERRORS)]
        except OverflowError:
            return [Misfit("", "a number in it is too large to be compared", "multipleOf")]
        except RecursionError:
            return [Misfit("", "it is nested too deeply for its schema", "$ref")]

    @property
    def whole(self) -> Part:
        """All of it, to be looked into."""
        return Part(self.contents, self.resolver, self.kind)

    def wanted(self, name: str) -> Wanted:
        """The types that the schema's own `properties` (or those it refers to) take."""
        types: set[str] = set()
        items: set[str] = set()
        for whole in _all_of(self.contents, self.resolver, self.kind):
            for part in _all_of_member(whole, "properties", name):
                types |= _types(part.contents)
                for item in _all_of_member(part, "items"):
                    items |= _types(item.contents)
        return Wanted(frozenset(types), frozenset(items))


def from_file(path: Path, folder: Path) -> Schema:
    """The schema in a file of `folder`. Raises BadSchema."""
    return Schema(_read(path), folder, HOME + path.relative_to(folder).as_posix())


def pointer(path: Any) -> str:
    """RFC 6901: the place that a path of keys and indexes leads to."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


class _Folder:
    """Finds the schemas that others refer to: by file name, or by their own `$id`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def retrieve(self, uri: str) -> Resource[Json]:
        path = self._by_name(uri) if uri.startswith(HOME) else self._by_id(uri)
        if path is None:
            raise NoSuchResource(ref=uri)  # type: ignore[call-arg]
        return Resource.from_contents(_read(path), default_specification=DRAFT202012)

    def _by_name(self, uri: str) -> Path | None:
        path = (self.folder / unquote(uri.removeprefix(HOME))).resolve()
        return path if path.is_file() and path.is_relative_to(self.folder.resolve()) else None

    def _by_id(self, uri: str) -> Path | None:
        for path in sorted(self.folder.rglob("*.json")):
            if _id(path) == uri:
                return path
        return None


def _id(path: Path) -> str:
    try:
        contents = _read(path)
    except BadSchema:
        return ""  # not the one that is asked for; its own hook complains of it
    return str(contents.get("$id", "")).rstrip("#") if isinstance(contents, dict) else ""


def _read(path: Path) -> Json:
    try:
        return json.loads(path.read_bytes(), object_pairs_hook=_unique, **NUMBERS)
    except _Twice as error:
        raise BadSchema(f"{path.name}: the key {str(error)!r} stands twice in one object") from None
    except _NoNumber as error:
        raise BadSchema(f"{path.name} is not JSON that can be taken: {error}") from None
    except OSError as error:
        raise BadSchema(f"{path.name} cannot be read: {error.strerror}") from None
    except (json.JSONDecodeError, RecursionError) as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        told = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        raise BadSchema(f"{path.name}{line} is not JSON: {told}") from None
    except UnicodeDecodeError:
        raise BadSchema(f"{path.name} is not UTF-8; save it as UTF-8") from None
    except ValueError:
        raise BadSchema(f"{path.name} holds a number of too many digits") from None


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Twice(twice)
    return found


class _NoNumber(Exception):
    """A number that no JSON text can hold once it has been read."""


def _constant(text: str) -> float:
    raise _NoNumber(f"{text} is no number there")


def _finite(text: str) -> float:
    if math.isinf(number := float(text)):
        raise _NoNumber(f"{text[:40]} is beyond a double")
    return number


NUMBERS: Mapping[str, Any] = {"parse_constant": _constant, "parse_float": _finite}


class _Twice(Exception):
    """A key that stands twice in a JSON object; str() is the key."""


def _dialect(contents: Json) -> Any:
    named = contents.get("$schema") if isinstance(contents, dict) else None
    if named is None:
        return Draft202012Validator
    kind: Any = None
    with suppress(ValueError):  # it need not even be a URI
        if isinstance(named, str):
            kind = validator_for({"$schema": named}, default=None)  # type: ignore[arg-type]
    if kind is None:
        raise BadSchema(
            f"$schema {_brief(named)} is not a draft that is known here; "
            "leave it out for draft 2020-12"
        )
    return kind


@cache
def _quick(kind: Any) -> Any:
    """The draft's validator, without what takes long: each item compared with each, and a
    pattern looked for in a text that is too long anyway."""
    found = kind.VALIDATORS["pattern"]

    def pattern(validator: Any, wanted: Json, text: Json, schema: Json) -> Any:
        too_long = isinstance(text, str) and len(text) > schema.get("maxLength", math.inf)
        return () if too_long else found(validator, wanted, text, schema)

    return extend(kind, {"uniqueItems": _unique_items, "pattern": pattern})  # type: ignore[no-untyped-call]


def _unique_items(
    validator: Any, wanted: Json, instance: Json, schema: Json
) -> Iterator[ValidationError]:
    if wanted and validator.is_type(instance, "array"):
        frozen = [_frozen(item) for item in instance]
        if len(set(frozen)) < len(frozen):
            yield ValidationError(f"{instance!r} has non-unique elements")


def _frozen(value: Json) -> object:
    """Equal for values that JSON Schema holds equal: 1 and 1.0, but not 1 and true."""
    if isinstance(value, dict):
        return frozenset((key, _frozen(part)) for key, part in value.items())
    if isinstance(value, list):
        return ("list", *map(_frozen, value))
    return ("bool", value) if isinstance(value, bool) else value


def _specification(kind: Any) -> Specification[Json]:
    return specification_with(kind.META_SCHEMA["$schema"], default=DRAFT202012)


def _check(kind: Any, contents: Json, where: str) -> None:
    try:
        kind.check_schema(contents)
    except SchemaError as error:
        place = where + pointer(error.absolute_path)
        told = _no_type(error) or _detail(error)
        raise BadSchema(f"{place or 'the schema'}: {told}") from None
    except RecursionError:
        raise BadSchema(f"{where or 'the schema'} is nested too deeply") from None


def _no_type(error: SchemaError) -> str:
    """What to say of a `type` that is none; empty for anything else."""
    if list(error.absolute_path)[-1:] != ["type"] or error.validator != "anyOf":
        return ""
    named = error.instance if isinstance(error.instance, list) else [error.instance]
    for name in named:
        if isinstance(name, str) and name not in TYPES:
            meant = hint(name, TYPES) or f"; there are {', '.join(TYPES)}"
            return f"{_brief(name)} is no type{meant}"
    return ""


TYPES = ("string", "integer", "number", "boolean", "object", "array", "null")
REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
IN_PLACE_ONE = ("not", "if", "then", "else")
IN_PLACE_SEVERAL = ("allOf", "anyOf", "oneOf")
"""Keywords whose schemas judge the same value, not a part of it."""


class _Walk:
    """Visits every schema that can be reached, by keyword or by reference."""

    def __init__(self) -> None:
        self.alive: list[Json] = []  # an id is another's once its object is gone
        self.seen: set[int] = set()
        self.unwinding: set[int] = set()
        self.straight: set[int] = set()

    def visit(self, contents: Json, resolver: Resolver[Json], kind: Any) -> None:
        """Complain of the first reference that dangles or circles, or pattern that is none."""
        if not isinstance(contents, dict) or id(contents) in self.seen:
            return
        self.seen.add(id(contents))
        self.alive.append(contents)
        _check_patterns(contents)
        self._unwind(contents, resolver, kind)
        for ref in _references(contents):
            found, its_kind = _lookup(ref, resolver, kind)
            _check(its_kind, found.contents, ref)
            self.visit(found.contents, found.resolver, its_kind)
        self.kind = kind
        resource = Resource.from_contents(contents, default_specification=_specification(kind))
        for sub in resource.subresources():
            self.visit(sub.contents, resolver.in_subresource(sub), kind)

    def _unwind(self, contents: Json, resolver: Resolver[Json], kind: Any) -> None:
        """Follow all that judges the same value; it must come to an end."""
        if not isinstance(contents, dict) or id(contents) in self.straight:
            return
        if id(contents) in self.unwinding:
            ref = next(iter(_references(contents)), "#")
            raise BadSchema(f"$ref {_brief(ref)} leads round in a circle, to no end")
        self.unwinding.add(id(contents))
        self.alive.append(contents)
        for ref in _references(contents):
            found, its_kind = _lookup(ref, resolver, kind)
            self._unwind(found.contents, found.resolver, its_kind)
        for part in _in_place(contents):
            self._unwind(part, _inside(part, resolver, kind), kind)
        self.unwinding.discard(id(contents))
        self.straight.add(id(contents))


def _references(contents: dict[str, Json]) -> list[str]:
    return [ref for key in REFERENCES if isinstance(ref := contents.get(key), str)]


def _in_place(contents: dict[str, Json]) -> Iterator[Json]:
    for key in IN_PLACE_ONE:
        yield contents.get(key)
    for key in IN_PLACE_SEVERAL:
        yield from contents.get(key) or ()


def _inside(contents: Json, resolver: Resolver[Json], kind: Any) -> Resolver[Json]:
    """The resolver for a schema inside a schema, which may have an `$id` of its own."""
    if not isinstance(contents, dict):
        return resolver
    return resolver.in_subresource(_specification(kind).create_resource(contents))


def _lookup(ref: str, resolver: Resolver[Json], kind: Any) -> tuple[Resolved[Json], Any]:
    """What a reference leads to, and the draft that it is written in. Raises BadSchema."""
    try:
        found = resolver.lookup(ref)
        file, _, _ = ref.partition("#")
        root = resolver.lookup(file).contents if file else None
    except (
        Unresolvable,
        CannotDetermineSpecification,
        ValueError,
        TypeError,
        LookupError,
    ) as error:
        raise _dangling(ref, error) from None
    named = isinstance(root, dict) and "$schema" in root
    return found, _dialect(root) if named else kind


def _check_patterns(contents: dict[str, Json]) -> None:
    """Old drafts' own schemas let a regex through that Python cannot compile."""
    patterns = [contents.get("pattern"), *_keys(contents.get("patternProperties"))]
    for pattern in patterns:
        try:
            re.compile(pattern if isinstance(pattern, str) else "")
        except (re.error, RecursionError, OverflowError):
            raise BadSchema(f"{_brief(pattern)} is not a regex") from None


def _keys(value: Json) -> list[str]:
    return list(value) if isinstance(value, dict) else []


def _dangling(ref: str, error: BaseException) -> BadSchema:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, BadSchema):
            return BadSchema(f"$ref {_brief(ref)}: {cause}")
        cause = cause.__cause__
    return BadSchema(f"$ref {_brief(ref)} leads nowhere; references stay inside schemas/")


@dataclass(frozen=True, slots=True)
class Part:
    """A schema inside the schema, with what its own references are relative to."""

    contents: Json
    resolver: Resolver[Json]
    kind: Any

    def inside(self, contents: Json) -> Part:
        """A schema that stands in this one."""
        return Part(contents, _inside(contents, self.resolver, self.kind), self.kind)

    def target(self, ref: str) -> Part:
        """What a reference in it leads to. Raises BadSchema."""
        found, kind = _lookup(ref, self.resolver, self.kind)
        return Part(found.contents, found.resolver, kind)


def _all_of(contents: Json, resolver: Resolver[Json], kind: Any, depth: int = 0) -> Iterator[Part]:
    """The schemas that a value must fit all at once: this, what it refers to, `allOf`."""
    if not isinstance(contents, dict) or depth > MOST_HOPS:
        return
    yield Part(contents, resolver, kind)
    for ref in _references(contents):
        found, its_kind = _lookup(ref, resolver, kind)
        yield from _all_of(found.contents, found.resolver, its_kind, depth + 1)
    for part in contents.get("allOf", ()):
        yield from _all_of(part, _inside(part, resolver, kind), kind, depth + 1)


def _all_of_member(part: Part, *keys: str) -> Iterator[Part]:
    contents: Json = part.contents
    for key in keys:
        contents = contents.get(key) if isinstance(contents, dict) else None
    if isinstance(contents, dict):
        resolver = _inside(contents, part.resolver, part.kind)
        yield from _all_of(contents, resolver, part.kind)


def _types(contents: dict[str, Json]) -> set[str]:
    named = contents.get("type", [])
    return {named} if isinstance(named, str) else set(named)


def _misfit(error: ValidationError, choices: int = MOST_CHOICES) -> Misfit:
    return Misfit(
        pointer(error.absolute_path)[:LONGEST_POINTER],
        _detail(error),
        str(error.validator or "false"),  # a schema that is just `false` has no keyword
        _missing(error),
        _branches(error, choices - 1) if choices and error.context else (),
    )


def _missing(error: ValidationError) -> str:
    """The property that is required and not there; empty for any other error."""
    names = error.validator_value if error.validator == "required" else ()
    for name in names if isinstance(names, list) else ():
        if error.message.startswith(f"{name!r} is"):
            return str(name)
    return ""


def _branches(error: ValidationError, choices: int) -> tuple[tuple[Misfit, ...], ...]:
    """What is wrong with each schema of an `anyOf` or `oneOf`."""
    schemas = error.validator_value if isinstance(error.validator_value, list) else []
    found: list[list[Misfit]] = [[] for _ in schemas]
    # What a schema that is just `false` says does not say which one that was.
    nothing = (at for at, each in enumerate(schemas) if each is False)
    for part in error.context or ():
        path = part.relative_schema_path
        at = path[0] if path else next(nothing, None)
        if isinstance(at, int) and at < len(found) and len(found[at]) < MOST_ERRORS:
            found[at].append(_misfit(part, choices))
    return tuple(map(tuple, found))


def _detail(error: ValidationError | SchemaError) -> str:
    quoted = repr(error.instance)
    told = error.message
    if len(quoted) > LONGEST_VALUE:
        told = told.replace(quoted, quoted[:LONGEST_VALUE] + "…")
    return told if len(told) <= LONGEST_DETAIL else told[:LONGEST_DETAIL] + "…"


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…"
