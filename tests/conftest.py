"""What every test may ask for."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from hookrunner.seams import Journal
from tests.amazon import Amazon
from tests.serving import REPOSITORY, Project
from tests.storing import ENGINES, Store

NO_CHROMIUM = "no Chromium was found, so the pages are NOT tested; on Debian: apt install chromium"


@pytest.fixture(scope="module")
def amazon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Amazon]:
    """A host that a server takes for Amazon's, with Amazon.environ."""
    with Amazon(tmp_path_factory.mktemp("amazon")) as amazon:
        yield amazon


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project folder of the test's own, with no hooks yet."""
    return Project(tmp_path / "project")


@pytest.fixture(params=ENGINES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store of each engine, with nothing in it."""
    made = Store(request.param, tmp_path / "data")
    yield made
    made.close()


@pytest.fixture
def journal(store: Store) -> Journal:
    """An open journal of each engine, with nothing in it."""
    return store.open()


@pytest.fixture(scope="session")
def node() -> Path:
    """A folder with the libraries for Node; it stays, beside those of Python."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("there is no Node")
    folder = Path(sys.prefix) / "node"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:  # of the processes that run tests, one sees to it
        fcntl.flock(lock, fcntl.LOCK_EX)
        _install_for_node(folder)
    return folder


def _install_for_node(folder: Path) -> None:
    """Have what tests/node names in a folder, unless it is there."""
    sources = sorted((REPOSITORY / "tests" / "node").iterdir())
    wanted = b"".join(file.read_bytes() for file in sources)
    done = folder / "installed"
    if done.exists() and done.read_bytes() == wanted:
        return
    done.unlink(missing_ok=True)
    for file in sources:
        shutil.copy(file, folder)
    subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=110,
    )
    done.write_bytes(wanted)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A real browser. Without one its tests are skipped, but where CI is set they fail."""
    with sync_playwright() as play:
        browser = open_chromium(play)
        if browser is None:
            assert not os.environ.get("CI"), NO_CHROMIUM
            pytest.skip(NO_CHROMIUM)
        yield browser
        browser.close()


def open_chromium(play: Playwright) -> Browser | None:
    """The machine's own Chromium, started; None if it has none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    # A sandbox of its own needs rights that a container's root does not have.
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    return play.chromium.launch(executable_path=found, args=flags) if found else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say aloud that the pages were not tested."""
    if any(
        NO_CHROMIUM in str(report.longrepr) for report in terminalreporter.getreports("skipped")
    ):
        terminalreporter.write_line(NO_CHROMIUM.upper(), red=True, bold=True)
