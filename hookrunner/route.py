"""Which hook a path belongs to. A path of hooks.yaml may hold names: `/deploy/<env>`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")

NAME = re.compile(r"<([a-z_][a-z0-9_]*)>")
LITERAL = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]+")
"""What a segment may hold unencoded (RFC 3986 §3.3, pchar)."""

OWN = "/-"
"""Our own pages lie below it."""


def problem(path: str) -> str:
    """What is wrong with a hook's path; empty if nothing is."""
    if path == OWN or path.startswith(OWN + "/"):
        return "paths below /-/ are the runner's own; take another"
    if path == "/":
        return ""
    if path.endswith("/"):
        mended = path.rstrip("/") or "/"
        return problem(mended) or f"a path does not end with '/'; write {mended}"
    names = []
    for segment in path[1:].split("/"):
        found = NAME.fullmatch(segment)
        if found:
            names.append(found[1])
        elif not LITERAL.fullmatch(segment) or segment in (".", ".."):
            return (
                f"the segment {segment!r} is neither plain (letters, digits, - . _ ~) "
                "nor a name such as <env>"
            )
    if len(set(names)) < len(names):
        return "a name stands twice in the path"
    return ""


def params(path: str) -> tuple[str, ...]:
    """The names in a hook's path."""
    return tuple(NAME.findall(path))


def shape(path: str) -> str:
    """What two paths have in common that match exactly the same requests."""
    return NAME.sub("<>", path)


def find(path: str, hooks: Mapping[str, T]) -> tuple[T, dict[str, str]] | None:
    """The hook of a request's path with what its names stand for; literal paths win."""
    if path in hooks and not NAME.search(path):
        return hooks[path], {}
    segments = path.split("/")
    best: tuple[list[bool], T, dict[str, str]] | None = None
    for pattern, hook in hooks.items():
        if "<" not in pattern:
            continue
        named = _match(pattern.split("/"), segments)
        if named is None:
            continue
        # The leftmost literal segment decides: False (literal) sorts before True (name).
        rank = [bool(NAME.fullmatch(part)) for part in pattern.split("/")]
        if best is None or rank < best[0]:
            best = rank, hook, named
    return (best[1], best[2]) if best else None


def _match(pattern: list[str], segments: list[str]) -> dict[str, str] | None:
    if len(pattern) != len(segments):
        return None
    named = {}
    for part, segment in zip(pattern, segments, strict=True):
        found = NAME.fullmatch(part)
        if found and segment and segment not in (".", ".."):
            named[found[1]] = segment
        elif part != segment:
            return None
    return named
