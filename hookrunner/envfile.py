"""`.env`: config vars for a machine of one's own, a line each.

A value may be a secret, so no complaint quotes anything but the number of the line.
"""

from __future__ import annotations

from io import StringIO
from pathlib import Path


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


def _parse(text: str, problems: list[str]) -> dict[str, str]:
    # Imported late: on a dyno there is no .env, and start-up counts.
    from dotenv.parser import parse_stream

    found = {}
    for binding in parse_stream(StringIO(text)):
        if binding.error or (binding.key and binding.value is None):
            # The parser counts from the end of the last one: blank lines come before it.
            string = binding.original.string
            blank = string[: len(string) - len(string.lstrip())].count("\n")
            line = binding.original.line + blank
            problems.append(f".env:{line}: write NAME=value, a line each")
        elif binding.key:
            found[binding.key] = binding.value or ""
    return found
