"""Which module may import which: only from rows above its own (docs: the design's table)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import REPOSITORY

PACKAGE = "hookrunner"
ENGINES = ("journal", "launch")

# Top to bottom. Modules of one row do not import each other.
ROWS: tuple[tuple[str, ...], ...] = (
    ("hookrunner",),  # the package itself: its version
    ("model",),
    ("seams",),
    ("spelling", "counts"),
    ("mask",),
    ("log",),
    ("loop",),
    ("units",),
    ("sections",),
    ("jsontext", "form", "pointer"),
    ("address",),
    ("answer",),
    ("asking", "health"),
    ("auth.scheme", "auth.contents", "auth.publickey"),
    ("auth.signature", "auth.credential", "auth.allowed"),
    ("auth.handshake", "auth.twilio", "auth.sns", "auth.graph", "auth.settings"),
    ("auth.senders",),
    ("auth.schemes", "auth.listing", "auth.outgoing"),
    ("auth",),
    ("formats",),
    ("fastschema",),
    ("schema",),
    ("payload", "madeup"),
    ("route",),
    ("template",),
    ("retry", "session"),
    ("access",),
    ("imports", "drafting", "writing"),
    ("about", "envfile", "files", "respond", "terms"),
    ("config",),
    ("moving", "moving.foreign", "moving.written"),
    ("moving.conditions",),
    ("moving.rules", "moving.thin", "moving.vault"),
    ("moving.entries",),
    ("advice.schemas", "advice.scripts"),
    ("advice.patterns",),
    ("advice",),
    ("pages", "telling", "openapi"),
    ("listed",),
    ("openapi.bundle", "openapi.answers", "openapi.proofs"),
    ("openapi.hooks", "openapi.own"),
    ("openapi.document",),
    ("pages.shown", "pages.assets", "pages.markup"),
    ("pages.ansi", "pages.links", "pages.tree"),
    ("pages.parts",),
    ("pages.layout",),
    ("pages.control",),
    ("pages.posted",),
    ("pages.body", "pages.chart", "pages.fields", "pages.tryform", "pages.door"),
    ("pages.overview", "pages.refusals", "pages.settings"),
    ("pages.runs", "pages.run", "pages.hook", "pages.docs"),
    ("launch.child",),
    ("launch.output", "launch.kin"),
    ("folder",),
    ("launch.nursery",),
    ("journal.rows", "journal.pieces", "journal.rules", "journal.watchers", "journal.notebook"),
    ("journal.searching", "journal.tally", "journal.look", "journal.where", "journal.letters"),
    ("journal.writer", "journal.reading"),
    ("journal.looking",),
    ("journal.link", "journal.groups"),
    ("journal.tables", "journal.seeker", "journal.bell"),
    ("journal.records", "journal.claims", "journal.looks"),
    ENGINES,  # and all that is in them, but for rows of their own
    ("journal.opening",),
    ("intake", "worker"),
    ("live", "refusing"),
    ("admin",),
    ("api",),
    ("web",),
    ("serving",),
    ("settings",),
    ("waiting", "front", "back", "hatch"),
    ("metrics",),
    ("app",),
    ("verbs", "verbs.terminal", "verbs.context", "verbs.shape"),
    ("verbs.remote",),
    ("verbs.source",),
    ("verbs.runs", "verbs.logs", "verbs.roles"),
    ("verbs.*",),
    ("cli",),
    ("runner",),
)
RANK = {module: rank for rank, row in enumerate(ROWS) for module in row}

# Rows say "may"; here is what may even less.
ONLY_THIS = {"seams": "model", "runner": "cli"}

# What is foreign and hard to replace is known to one module alone.
ONLY_IMPORTER = {
    "bottle": "web",
    "waitress": "serving",
    "yaml": "sections",
    "cryptography": "auth.publickey",
    "urllib3": "verbs.remote",
    "tqdm": "verbs.terminal",
    "genson": "drafting",
    "prometheus_client": "metrics",
}


def name_of(path: Path) -> str:
    """`hookrunner/auth/schemes.py` is `auth.schemes`; the package itself is `hookrunner`."""
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    if parts[-1] == "__init__":
        parts = parts[:-1]
    return ".".join(parts[1:]) if parts[1:] else parts[0]


FILES = {
    name_of(path): path
    for path in [*sorted((REPOSITORY / PACKAGE).rglob("*.py")), REPOSITORY / "runner.py"]
}


def rank_of(module: str) -> int | None:
    if module in RANK:
        return RANK[module]
    if module.startswith("verbs."):
        return RANK["verbs.*"]
    return RANK.get(module.partition(".")[0]) if module.startswith(ENGINES) else None


def imported(source: str) -> Iterator[str]:
    """The full names of all that is imported, wherever in the file it stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write imports out from {PACKAGE}"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(source: str) -> set[str]:
    """The modules of ours that are imported: `units` for `from hookrunner import units`."""
    found = set()
    for name in imported(source):
        first, _, rest = name.partition(".")
        if first == PACKAGE:
            # The last part may be a module, or a name in one.
            module = rest if rest in FILES else rest.rpartition(".")[0]
            found.add(module or PACKAGE)
    return found


def faults(module: str, source: str) -> list[str]:
    """Every import of a module that its row does not allow."""
    rank = rank_of(module)
    if rank is None:
        return [f"{module} is in no row; give it one"]
    found = []
    for other in sorted(ours(source)):
        above = rank_of(other)
        if above is None or above >= rank:
            found.append(f"{module} imports {other}, which is not above it")
        elif other not in (PACKAGE, ONLY_THIS.get(module, other)):
            found.append(f"{module} imports {other}, but may import {ONLY_THIS[module]} alone")
    foreign = sorted({name.partition(".")[0] for name in imported(source)})
    return found + [
        f"{module} imports {name}, which only {ONLY_IMPORTER[name]} may"
        for name in foreign
        if ONLY_IMPORTER.get(name, module) != module
    ]


@pytest.mark.parametrize("module", FILES)
def test_a_module_imports_only_from_rows_above_its_own(module: str) -> None:
    assert faults(module, FILES[module].read_text()) == []


def test_every_module_that_a_row_names_is_there() -> None:
    assert set(RANK) - set(FILES) == {"verbs.*"}


@pytest.mark.parametrize(("foreign", "importer"), ONLY_IMPORTER.items())
def test_what_only_one_module_may_import_it_does_import(foreign: str, importer: str) -> None:
    assert foreign in {name.partition(".")[0] for name in imported(FILES[importer].read_text())}


@pytest.mark.parametrize(
    ("module", "source", "told"),
    [
        ("worker", "from hookrunner.intake import Intake", "worker imports intake, which is not"),
        ("intake", "from hookrunner import worker", "intake imports worker, which is not"),
        ("route", "import hookrunner.config", "route imports config, which is not above it"),
        ("seams", "from hookrunner import VERSION, units", "seams imports units, which is not"),
        ("model", "def f():\n    from hookrunner.log import Log", "model imports log, which is"),
        ("journal.postgres", "from hookrunner.launch.process import X", "journal.postgres imports"),
        ("journal.x", "from hookrunner.journal.sqlite import X", "journal.x imports journal.sqlit"),
        (
            "runner",
            "from hookrunner.app import serve",
            "runner imports app, but may import cli alone",
        ),
        ("config", "if TYPE_CHECKING:\n    import yaml", "config imports yaml, which only sect"),
        ("cli", "from waitress.server import X", "cli imports waitress, which only serving may"),
        ("newcomer", "", "newcomer is in no row; give it one"),
    ],
)
def test_a_wrong_import_is_seen_wherever_it_stands(module: str, source: str, told: str) -> None:
    [fault] = faults(module, source)

    assert fault.startswith(told)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("launch.warm", "from hookrunner.launch.output import Capture"),
        ("journal.postgres", "from hookrunner.model import Run\nimport json"),
        ("auth.schemes", "from hookrunner.auth import credential"),
        ("cli", "from hookrunner import VERSION"),
    ],
)
def test_an_import_from_above_is_in_order(module: str, source: str) -> None:
    assert faults(module, source) == []


def test_the_architecture_page_names_every_module() -> None:
    page = (REPOSITORY / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`([a-z_/]+)`", page))
    packages = {
        *("hookrunner", "auth", "journal", "launch", "moving", "openapi", "pages", "runner"),
        "verbs",
    }
    assert {module.replace(".", "/") for module in FILES} - packages <= named
