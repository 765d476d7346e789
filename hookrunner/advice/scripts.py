"""Scripts that can be started, and are likely to fail all the same."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from hookrunner.imports import needed_imports

PYTHON = re.compile(rb"#!.*/(?:env (?:-S )?)?python[0-9.]*\b")
STARTED = re.compile(r"#!\s*(\S+)(?:\s+(?:-S\s+)?([^\s=-][^\s=]*)(?=\s|$))?")
"""A `#!` line: its interpreter, and its first argument that is neither a flag nor a variable."""

SECONDS = 10.0
"""How long Bash may look at a script; it takes milliseconds."""

ELSEWHERE = re.compile(r"^\s*(?:[a-z+]+://|\.{0,2}/|git\+|\S+\.(?:whl|zip|tar\.gz)\b)")
"""A requirement that names a place and no package."""


def doubts(script: Path, root: Path) -> Iterator[str]:
    """A line for everything that is likely to be a mistake in it."""
    name = script.relative_to(root) if script.is_relative_to(root) else script
    try:
        text = script.read_bytes()
    except OSError:
        return
    python = script.suffix == ".py"
    if not python and 2 * text.count(b"\r\n") > text.count(b"\n"):
        yield (
            f"{name} has the line ends of Windows, which are part of the last word to "
            f"{'Bash' if script.suffix == '.sh' else 'its #! line'}; sed -i 's/\\r$//' {name}"
        )
        return  # all else that would be told is due to that
    if script.suffix not in (".py", ".sh"):
        yield from _of_interpreter(text, name)
    if script.suffix == ".sh":
        yield from _of_bash(script, name)
    if python or PYTHON.match(text):
        yield from _of_python(script, text, name, root)


def hidden(folder: Path, root: Path) -> Iterator[str]:
    """A line for every file of a folder that Python scripts beside it get for a module."""
    for path in sorted(folder.iterdir()):
        module = path.stem if path.suffix == ".py" else path.name
        if path.suffix != ".py" and not (path / "__init__.py").is_file():
            continue
        whose = "Python's own" if module in sys.stdlib_module_names else "the installed"
        if module in sys.stdlib_module_names or module in _distributions():
            name = path.relative_to(root) if path.is_relative_to(root) else path
            yield (
                f"{name} hides {whose} {module} from every Python script beside it; "
                f"call it {module}_hook{path.suffix}"
            )


def _of_interpreter(text: bytes, name: Path) -> Iterator[str]:
    line = text.partition(b"\n")[0].decode("utf-8", "replace")
    found = STARTED.match(line)
    if not found:
        return
    by_env = found[1].endswith("/env")
    program = found[2] if by_env else found[1]
    if program and not shutil.which(program):
        yield f"{name} needs {program}, as its #! line says, and there is none here"


def _of_bash(script: Path, name: Path) -> Iterator[str]:
    try:
        done = subprocess.run(
            ["bash", "-n", str(script)],
            capture_output=True,
            timeout=SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return
    told = done.stderr.decode("utf-8", "replace").splitlines()
    if done.returncode and told:
        yield f"{name} is not Bash: {told[0].removeprefix(f'{script}: ')}"


def _of_python(script: Path, text: bytes, name: Path, root: Path) -> Iterator[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, str(script), "exec", dont_inherit=True)
    except SyntaxError as error:
        where = f"line {error.lineno}: " if error.lineno else ""
        yield f"{name} is not Python: {where}{error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        yield f"{name} is not Python: {error}"
    else:
        yield from _of_imports(script, name, root)


def _of_imports(script: Path, name: Path, root: Path) -> Iterator[str]:
    needed = needed_imports(script)
    if needed is None:
        return  # it says itself where its modules are
    required = _required(root / "requirements.txt")
    for module in needed:
        if module in sys.stdlib_module_names or module == "__main__":
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
    """The packages that a requirements.txt brings; None if it leads on, or there is none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    if any(line.lstrip().startswith("-") or ELSEWHERE.match(line) for line in lines):
        return None  # -r another.txt, or a place: what is there is not looked for
    todo = [line for line in lines if not line.lstrip().startswith("#")]
    found: dict[str, None] = {}
    for line in todo:  # grows while we walk it
        named = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", line)
        if named and (package := _plain(named[1])) not in found:
            found[package] = None
            todo += _needs(package, extras="[" in line)
    return set(found)


def _needs(package: str, *, extras: bool) -> list[str]:
    """What an installed package brings with it: those of its extras, if any are asked for."""
    try:
        named = requires(package) or []
    except PackageNotFoundError:
        return []
    return [line for line in named if extras or not re.search(r";.*\bextra\b", line)]


def _plain(name: str) -> str:
    """A package's name as all its spellings have it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
