"""Which engine a journal has, and where it is opened: a file, unless a database is named.

The engine for a database is imported when one is named: whoever has a file needs no driver.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hookrunner.folder import Own, own
from hookrunner.journal.sqlite import SqliteJournal
from hookrunner.model import Trouble
from hookrunner.seams import Journal

VISITORS = 3
"""Connections of who looks in: the database may have few, and others need them more."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A journal, and the folder that the process has to itself."""

    journal: Journal = field(repr=False)
    own: Own


def open_journal(
    database: str, data: Path, supervisor: str, say: Callable[[str], None] = lambda line: None
) -> Opened:
    """The journal of a database, or if there is none of a file in `data`; made, if it is new.

    `supervisor` is as for `folder.own`; `say` is told what an operator should know. Raises
    Trouble, and Away if there may be one later.
    """
    if not database:
        journal = SqliteJournal(data, say=say)
        return Opened(journal, Own(data, journal.lock))
    from hookrunner.journal.postgres import PostgresJournal

    place = own(data, supervisor)
    try:
        return Opened(PostgresJournal(database, name=place.name, say=say), place)
    except Trouble:
        os.close(place.lock)
        raise


def open_database(database: str) -> Journal:
    """The journal of a database for somebody who looks in, and changes a little.

    Raises Trouble if it cannot be had, or has no tables that we know.
    """
    from hookrunner.journal.postgres import PostgresJournal
    from hookrunner.journal.tables import require

    require(database)
    return PostgresJournal(database, connections=VISITORS, listen=False)


def check_url(database: str) -> None:
    """Raise Trouble if the URL of a database cannot be one."""
    from hookrunner.journal.link import check_url as check

    check(database)


def migrate(database: str) -> tuple[int, int]:
    """Bring a database's tables up to date; the version before, and after. Raises Trouble."""
    from hookrunner.journal.tables import brought

    return brought(database)
