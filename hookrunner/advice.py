"""What newcomers get wrong though hooks.yaml is in order: said by `check`, with how to mend it.

None of it keeps a server from starting; all of it has cost somebody an evening.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

from hookrunner import route
from hookrunner.config import Config
from hookrunner.imports import imports_of
from hookrunner.model import Hook, Json

ROUTER_SECONDS = 30.0
"""After which Heroku's router answers 503 in our place (H12)."""

COMPARED = (("minimum", "maximum"), ("minLength", "maxLength"), ("minItems", "maxItems"),
            ("minProperties", "maxProperties"))  # fmt: skip
KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list,),
    "object": (dict,),
}


def advice(config: Config) -> Iterator[str]:
    """A line for everything that is likely to be a mistake."""
    scripts: dict[Path, None] = {}
    for hook in config.hooks.values():
        scripts.setdefault(hook.script)
        yield from _of_hook(hook)
    yield from _of_paths(list(config.hooks))
    for script in scripts:
        yield from _of_script(script, config.root)


def _of_hook(hook: Hook) -> Iterator[str]:
    if hook.respond.mode != "accepted" and hook.respond.wait >= ROUTER_SECONDS:
        yield (
            f"{hook.path} waits {hook.respond.wait:g}s for its script; Heroku's router gives up "
            "after 30s; write respond: {wait: 25s}, or accepted"
        )
    contents = getattr(hook.schema, "contents", True)
    if why := unmatchable(contents):
        yield f"{hook.path}: no payload fits its schema: {why}"


def _of_paths(paths: list[str]) -> Iterator[str]:
    for path in paths:
        for other in paths:
            names = route.NAME.search(path)
            if names and not route.NAME.search(other) and route.find(other, {path: other}):
                yield f"{other} is never answered by {path}, for it has a hook of its own"


def _of_script(script: Path, root: Path) -> Iterator[str]:
    name = script.relative_to(root) if script.is_relative_to(root) else script
    try:
        text = script.read_bytes()
    except OSError:
        return
    if script.suffix != ".py" and b"\r\n" in text:
        yield (
            f"{name} has the line ends of Windows, which are part of the last word to "
            f"{'Bash' if script.suffix == '.sh' else 'its #! line'}; sed -i 's/\\r$//' {name}"
        )
    if script.suffix == ".py":
        yield from _of_imports(script, name, root)


def _of_imports(script: Path, name: Path, root: Path) -> Iterator[str]:
    required = _required(root / "requirements.txt")
    for module in dict.fromkeys(module.partition(".")[0] for module, _ in imports_of(script)):
        if module in sys.stdlib_module_names:
            continue
        if not _is_there(module):
            yield (
                f"{name} imports {module}, which is not installed here; name its package in "
                "requirements.txt, and pip install -r requirements.txt"
            )
        elif required is not None and not required & _packages(module):
            package = next(iter(sorted(_packages(module))), module)
            yield (
                f"{name} imports {module}, which requirements.txt does not name, so that a dyno "
                f"lacks it; add {package}"
            )


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _packages(module: str) -> set[str]:
    return {_plain(name) for name in _distributions().get(module, [])}


@cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


def _required(path: Path) -> set[str] | None:
    """The packages that a requirements.txt names; None if there is none, or it leads on."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    if any(line.lstrip().startswith("-") for line in lines):
        return None  # -r another.txt: what is there is not looked for
    found = (re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", line) for line in lines)
    return {_plain(each[1]) for each in found if each}


def _plain(name: str) -> str:
    """A package's name as all its spellings have it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def unmatchable(schema: Json, place: str = "") -> str:
    """Why nothing can match a JSON Schema; empty if something may."""
    here = place or "(whole)"
    if schema is False:
        return f"{here} is false"
    if not isinstance(schema, dict):
        return ""
    if schema.get("enum") == []:
        return f"{here}: enum is empty"
    for least, most in COMPARED:
        low, high = schema.get(least), schema.get(most)
        if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
            return f"{here}: {least} {low:g} is more than {most} {high:g}"
    return _unfit_values(schema, here) or _unfit_parts(schema, place)


def _unfit_values(schema: Mapping[str, Json], here: str) -> str:
    kinds = schema.get("type")
    names = [kinds] if isinstance(kinds, str) else kinds
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(names, list) or not isinstance(values, list) or not values:
        return ""
    if any(_is_of(value, name) for value in values for name in names):
        return ""
    word = "const" if "const" in schema else "enum"
    return f"{here}: no value of {word} is of type {', '.join(map(str, names))}"


def _is_of(value: Json, kind: Json) -> bool:
    if isinstance(value, bool):
        return bool(kind == "boolean")
    if kind == "integer" and isinstance(value, float):
        return bool(value.is_integer())
    return isinstance(value, KINDS.get(str(kind), (object,)))


def _unfit_parts(schema: Mapping[str, Json], place: str) -> str:
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    if isinstance(properties, dict) and isinstance(required, list) and _asks_for_object(schema):
        for name in required:
            if name in properties:
                if why := unmatchable(properties[name], f"{place}/{name}"):
                    return why
            elif schema.get("additionalProperties") is False and "patternProperties" not in schema:
                return f"{place or '(whole)'}: {name!r} is required, and no property of it"
    for part in schema.get("allOf", []) if isinstance(schema.get("allOf"), list) else []:
        if why := unmatchable(part, place):
            return why
    return ""


def _asks_for_object(schema: Mapping[str, Json]) -> bool:
    """True if only an object fits; anything else would not need what is required."""
    return schema.get("type") == "object" or "type" not in schema
