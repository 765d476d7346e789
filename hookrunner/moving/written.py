"""A hook's entry as a person would write it: YAML in blocks, short lists and mappings on a line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from hookrunner.model import Json

PLAIN = re.compile(r"[A-Za-z_$/][A-Za-z0-9_./$-]*|[1-9][0-9]*[smhd]")
WORDS = {"true", "false", "null", "~"}
LONGEST = 88
"""Characters of a line with a mapping or list in it."""


def entry(path: str, settings: Mapping[str, Json]) -> str:
    """A hook, to stand in hooks.yaml."""
    return "\n".join([f"{_scalar(path)}:", *_block(settings, 2)]) + "\n"


def schema(contents: Json) -> bytes:
    """A schema, to be a file of schemas/."""
    return (json.dumps(contents, indent=2) + "\n").encode()


def _block(value: Json, indent: int) -> Iterator[str]:
    space = " " * indent
    if isinstance(value, list):
        for item in value:
            if _is_short(item, indent):
                yield f"{space}- {_flow(item)}"
            else:
                first, *rest = _block(item, indent + 2)
                yield f"{space}- {first.lstrip(' ')}"
                yield from rest
        return
    for name, inner in value.items():
        if _is_short(inner, indent + len(name)):
            yield f"{space}{_scalar(name)}: {_flow(inner)}"
        else:
            yield f"{space}{_scalar(name)}:"
            yield from _block(inner, indent + 2)


def _is_short(value: Json, indent: int) -> bool:
    return not isinstance(value, dict | list) or not value or indent + len(_flow(value)) < LONGEST


def _flow(value: Json) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(k)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    return _scalar(value)


def _scalar(value: Json) -> str:
    if isinstance(value, str) and PLAIN.fullmatch(value) and value.lower() not in WORDS:
        return value
    text = json.dumps(value, ensure_ascii=False)
    return "".join(sign if sign.isprintable() else f"\\U{ord(sign):08x}" for sign in text)
