"""Files written whole or not at all: new ones where nothing is, and one that takes another's place.

A program that reads a file while it is replaced reads the old one or the new one, never half
of it; a crash leaves one of the two. What is made can be undone.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def undone_on_failure() -> Iterator[list[Path]]:
    """Files and folders that are gone again if anything is raised, the newest first."""
    made: list[Path] = []
    try:
        yield made
    except BaseException:  # Ctrl-C, too, must leave nothing half done
        for path in reversed(made):
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        raise


def create(path: Path, data: bytes, made: list[Path], *, runs: bool = False) -> None:
    """A file where there is none, not even a link that leads nowhere. Raises OSError."""
    if not path.parent.is_dir():
        path.parent.mkdir()
        made.append(path.parent)
    # O_EXCL refuses a link at the end of the path, wherever it leads (open(2)).
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    number = os.open(path, flags, 0o777 if runs else 0o666)
    made.append(path)
    with os.fdopen(number, "wb") as stream:
        stream.write(data)


def replace(path: Path, data: bytes) -> None:
    """Give a file other contents, and keep its mode, and the link that leads to it. Raises OSError.

    One that is not there is made.
    """
    target = path.resolve()
    number, name = tempfile.mkstemp(prefix=f".{target.name[:50]}.", dir=target.parent)
    try:
        with os.fdopen(number, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fchmod(number, target.stat().st_mode & 0o7777 if target.exists() else 0o644)
            os.fsync(number)
        Path(name).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
