"""The files that hooks.yaml names: below `scripts/` or `schemas/`, and nowhere else."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from hookrunner.sections import hint, show

LOOP = "it is a link that leads round in a circle"


class NoFile(Exception):
    """The name is not one of a file that may be used; str() says why, and what to do."""


class Folder:
    """A folder of the project's; links that lead out of it are not followed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def find(self, name: str) -> Path:
        """The file of that name. Raises NoFile."""
        try:
            return self._find(name)
        except OSError as error:
            looping = error.errno == errno.ELOOP  # a RuntimeError before Python 3.13
            why = LOOP if looping else error.strerror or "it cannot be read"
        except ValueError:
            why = "the character NUL is in no file's name"
        except RuntimeError:
            why = LOOP
        raise NoFile(f"{show(name)} is no file of {self.path.name}/: {why}")

    def _find(self, name: str) -> Path:
        path = self.path / name
        if not path.resolve().is_relative_to(self.path.resolve()):
            raise NoFile(f"{show(name)} is outside {self.path.name}/; move it there")
        with suppress(FileNotFoundError):  # that one has a better message
            path.stat()
        if not path.is_file():
            inner = name.removeprefix(f"{self.path.name}/")
            meant = hint(name, self._names)
            if inner != name and (self.path / inner).is_file():
                meant = f"; write {inner}, without {self.path.name}/"
            raise NoFile(f"there is no {self.path.name}/{name}{meant}")
        return path

    @cached_property
    def _names(self) -> list[str]:
        there = (path for path in self.path.rglob("*") if path.is_file())
        return [path.relative_to(self.path).as_posix() for path in there]


def faults(path: Path, name: str) -> Iterator[str]:
    """Why a script could not be started; `name` is what it is called."""
    if not os.access(path, os.R_OK):
        yield f"{name} cannot be read; chmod +r {shlex.quote(name)}"
    elif path.suffix == ".sh" and not shutil.which("bash"):
        yield f"{name} needs bash, which is not installed here"
    elif path.suffix not in (".py", ".sh"):
        yield from _unfit_to_execute(path, name)


def _unfit_to_execute(path: Path, name: str) -> Iterator[str]:
    with path.open("rb") as stream:
        marked = stream.read(2)
    if marked != b"#!" and marked != b"\x7fE":
        yield f"{name} is neither .py nor .sh and has no #! line; add one"
    if not os.access(path, os.X_OK):
        yield f"{name} is not executable; chmod +x {shlex.quote(name)}, and commit that"


def command(script: Path) -> tuple[str, ...]:
    """What starts a script: by its suffix, else by its own `#!` line."""
    starters: Mapping[str, tuple[str, ...]] = {
        ".py": (sys.executable,),
        ".sh": (shutil.which("bash") or "bash",),
    }
    return (*starters.get(script.suffix, ()), str(script))
