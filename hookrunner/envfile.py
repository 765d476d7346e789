"""`.env`: config vars for a machine of one's own, a line each.

A value may be a secret, so no complaint quotes anything but names and the number of the line.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dotenv.parser import Binding

SHORTEST_NAME = 4
"""Characters of a name that no secret in base64, such as `…A=`, ends with by chance."""


def read(path: Path, problems: list[str]) -> dict[str, str]:
    """The config vars of the file; none if there is no such file."""
    try:
        text = path.read_text(encoding="utf-8-sig") if path.is_file() else ""
    except UnicodeDecodeError:
        problems.append(".env:1: the file is not UTF-8; save it as UTF-8")
        return {}
    except OSError as error:
        problems.append(f".env: cannot be read: {error.strerror}")
        return {}
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        problems.append(f".env:{line}: the character U+0000 is not allowed; take it out")
        return {}
    return _parse(text, problems) if text else {}


def appending(path: Path, line: str) -> str:
    """The command that adds a line to the file, and not to the last line that is there."""
    return ("" if _is_ended(path) else "echo >> .env; ") + f'echo "{line}" >> .env'


def doubts(path: Path, names: Collection[str]) -> Iterator[str]:
    """What is likely to be a mistake; `names` are config vars that somebody needs."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return
    bindings = list(_bindings(text))
    known = {*names, *(binding.key for _, binding in bindings if binding.key)}
    for line, binding in bindings:
        for name in sorted(known):
            glued = rf"(?<![?&;\s]){name}="
            if len(name) >= SHORTEST_NAME and re.search(glued, binding.value or ""):
                yield (
                    f".env:{line}: the value of {binding.key} contains {f'{name}='!r}; "
                    "is a line end missing?"
                )
    if not _is_ended(path):
        yield (
            ".env does not end with a line end, so that what is added becomes part of its last "
            "line; echo >> .env"
        )


def _is_ended(path: Path) -> bool:
    """False if the file's last line has no line end."""
    with suppress(OSError):
        data = path.read_bytes()
        return not data or data.endswith(b"\n")
    return True


def _bindings(text: str) -> Iterator[tuple[int, Binding]]:
    """What stands in the file, with the number of its line."""
    # Imported late: on a dyno there is no .env, and start-up counts.
    from dotenv.parser import parse_stream

    for binding in parse_stream(StringIO(text)):
        # The parser counts from the end of the last one: blank lines come before it.
        string = binding.original.string
        blank = string[: len(string) - len(string.lstrip())].count("\n")
        yield binding.original.line + blank, binding


def _parse(text: str, problems: list[str]) -> dict[str, str]:
    found = {}
    for line, binding in _bindings(text):
        if binding.error or (binding.key and binding.value is None):
            problems.append(f".env:{line}: write NAME=value, a line each")
        elif binding.key:
            found[binding.key] = binding.value or ""
    return found
