"""Where an engine of the journal keeps its runs, for tests that run over each engine."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import psycopg

from hookrunner.journal.postgres import PostgresJournal
from hookrunner.journal.sqlite import SqliteJournal
from hookrunner.model import Terms
from hookrunner.seams import Journal
from tests import postgres

HOOKS: Mapping[str, Terms] = {"/hello": Terms(), "/deploy": Terms()}


def postgres_journal(folder: Path) -> PostgresJournal:
    """The journal of a database that belongs to this folder, as its one process has it."""
    return PostgresJournal(postgres.database_of(folder), name="dyno", lost_after=0.0)


def change_file(folder: Path, statements: Sequence[str]) -> None:
    with closing(sqlite3.connect(folder / "runs.sqlite")) as db, db:
        for statement in statements:
            db.execute(statement)


def change_database(folder: Path, statements: Sequence[str]) -> None:
    with psycopg.connect(postgres.database_of(folder)) as db:
        db.execute("SET search_path = hookrunner")
        for statement in statements:
            db.execute(statement)


ENGINES: Mapping[str, Callable[[Path], Journal]] = {
    "sqlite": SqliteJournal,
    "postgres": postgres_journal,
}
CHANGES: Mapping[str, Callable[[Path, Sequence[str]], None]] = {
    "sqlite": change_file,
    "postgres": change_database,
}


class Store:
    """Where an engine keeps its runs, to be opened again and again."""

    def __init__(self, engine: str, folder: Path) -> None:
        self.engine = ENGINES[engine]
        self.change_by = CHANGES[engine]
        self.folder = folder
        self.opened: Journal | None = None

    def open(self) -> Journal:
        """A journal of these runs; the one before it, if any, is closed."""
        self.close()
        self.opened = self.engine(self.folder)
        return self.opened

    def recovered(self, hooks: Mapping[str, Terms] = HOOKS) -> Journal:
        """The same, as a process opens it whose predecessor died."""
        journal = self.open()
        journal.recover(hooks)
        return journal

    def change(self, *statements: str) -> None:
        """Have the tables be as no promise makes them; the journal is closed."""
        self.close()
        self.change_by(self.folder, statements)

    def close(self) -> None:
        if self.opened:
            self.opened.close()
