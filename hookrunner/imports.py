"""What a Python script imports, found in its source: what a warm start has loaded already.

Modules that lie beside the script are followed and not named, so that an edited helper is
never stale. Every import statement counts, those in functions too (but for what only type
checkers see): at worst something is loaded that this run does not need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ast

MOST_FILES = 200
"""Files beside the script that are followed; more than that is no script."""

Passed = Callable[["ast.AST"], bool]
"""Says whether nothing of a node of the source counts."""

Imports = tuple[tuple[str, tuple[str, ...]], ...]
"""Modules, each with the names that are taken from it, which may be modules, too."""


def imports_of(script: Path) -> Imports:
    """The modules from elsewhere that it imports, directly or through files beside it.

    In the order of the source. What cannot be read or is no Python imports nothing.
    """
    found: dict[str, dict[str, None]] = {}
    for module, names in _elsewhere(script, _never):
        found.setdefault(module, {}).update(dict.fromkeys(names))
    return tuple((module, tuple(names)) for module, names in found.items())


def needed_imports(script: Path) -> list[str] | None:
    """The modules and packages from elsewhere that it cannot do without, each once.

    What is imported in an attempt, or under a condition of the Python it meets, it can do
    without. None if it says itself where modules are to be sought (`sys.path`).
    """
    try:
        found = [module.partition(".")[0] for module, _ in _elsewhere(script, _dispensable)]
    except _OwnPath:
        return None
    return list(dict.fromkeys(found))


def _elsewhere(script: Path, passed: Passed) -> Iterator[tuple[str, list[str]]]:
    """What script and files beside it import that lies elsewhere."""
    folder = script.resolve().parent
    files, seen = [script], {script}
    for file in files:  # grows while we walk it
        for module, names in _statements(file, passed):
            beside = _beside(folder, module, names)
            files += [path for path in beside if path not in seen][: MOST_FILES - len(files)]
            seen.update(beside)
            if not beside:
                yield module, names


def _statements(file: Path, passed: Passed) -> Iterator[tuple[str, list[str]]]:
    import ast  # it takes milliseconds, and nobody waits for us when we are called

    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    todo: list[ast.AST] = [tree]
    for node in todo:
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module and not node.level and node.module != "__future__":
                yield node.module, [alias.name for alias in node.names if alias.name != "*"]
        elif isinstance(node, ast.If) and _for_type_checkers(node.test):
            todo += node.orelse
        elif not passed(node):
            todo += ast.iter_child_nodes(node)


def _never(node: ast.AST) -> bool:
    """Every import counts."""
    return False


class _OwnPath(Exception):
    """The script changes where modules are sought."""


def _dispensable(node: ast.AST) -> bool:
    """True for what may fail to import, or is not for every Python. Raises _OwnPath."""
    import ast

    if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.path":
        raise _OwnPath
    if isinstance(node, ast.Try):
        caught = [handler.type for handler in node.handlers]
        return any(each is None or _names(each) & MISSING for each in caught)
    if isinstance(node, ast.With):
        return any("suppress" in _names(item.context_expr) for item in node.items)
    return isinstance(node, ast.If) and bool(_names(node.test) & PLATFORM)


def _names(node: ast.AST) -> set[str]:
    """All that is named in an expression."""
    import ast

    found = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    return found | {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}


MISSING = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
PLATFORM = {"version_info", "platform", "system", "hexversion", "implementation"}


def _for_type_checkers(test: ast.expr) -> bool:
    import ast

    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"


def _beside(folder: Path, module: str, names: list[str]) -> list[Path]:
    """The files of the script's folder that this import reads; none if it is of elsewhere."""
    top, *inner = module.split(".")
    package = (folder / top / "__init__.py").is_file()
    if not package and (folder / f"{top}.py").is_file():
        return [folder / f"{top}.py"]
    if not (folder / top).is_dir():
        return []
    found, place = [folder / top / "__init__.py"], folder / top
    for part in inner:
        found += [place / f"{part}.py", place / part / "__init__.py"]
        place /= part
    for name in names:
        found += [place / f"{name}.py", place / name / "__init__.py"]
    return [path for path in found if path.is_file()] or [folder / top]
