"""Where runs are read and handled: in the journal of this machine, or at a running server.

A server holds its journal's file for itself; reading needs nobody's leave, but what changes
it is asked of the server. A database is anybody's who has its URL.
"""

from __future__ import annotations

import argparse
import atexit
import os
import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from hookrunner import telling
from hookrunner.app import watched
from hookrunner.front import ADDRESS, TOKEN
from hookrunner.intake import Intake
from hookrunner.journal.opening import open_database
from hookrunner.journal.reading import open_reader
from hookrunner.journal.sqlite import SqliteJournal
from hookrunner.log import Log
from hookrunner.mask import Masker
from hookrunner.model import (
    Attempt,
    BadConfig,
    Json,
    NewRun,
    Printed,
    Query,
    Refused,
    Run,
    State,
    Trouble,
)
from hookrunner.seams import ALL, Journal
from hookrunner.sections import hint
from hookrunner.units import duration
from hookrunner.verbs.context import Context, brief
from hookrunner.verbs.remote import Gone, Server

PAGE = 500
"""Runs of a list that are asked for at once."""


class Source(Protocol):
    """Runs, as JSON says them (see `telling`)."""

    def runs(self, query: Query) -> list[dict[str, Json]]:
        """The runs that are asked for, newest first."""

    def named(self, part: str) -> list[str]:
        """The ids that begin or end with this."""

    def whole(self, run_id: str, *, exact: bool = False) -> dict[str, Json]:
        """All of a run, but for the end of what is long. Raises Gone if there is none such.

        `exact`: what was sent as it was, secrets and all.
        """

    def printed(self, run_id: str, number: int, stdout: int, stderr: int) -> dict[str, Json]:
        """A run, and what an attempt has printed from these places on. Raises Gone."""

    def replay(self, run_id: str) -> str:
        """Do a run again; the id of the new one."""

    def cancel(self, run_id: str) -> None:
        """End a run."""

    def prune(self, older: float | None) -> int:
        """Forget what ended longer ago than its hook keeps it, or than so many seconds."""


def add_url(parser: argparse.ArgumentParser) -> None:
    """Let the verb be asked of a running server."""
    parser.add_argument(
        "--url",
        help="ask this server, with ADMIN_TOKEN, and not the journal of this machine",
    )


def source(arguments: argparse.Namespace, project: Context) -> Source:
    """The source that a command line means. Raises Trouble if it cannot be had."""
    if arguments.url:
        return Server(arguments.url, project.environ.get("ADMIN_TOKEN", ""))
    if not project.database and project.environ.get("DYNO", "").startswith("run."):
        raise Trouble(
            "a one-off dyno has a disk of its own, and not the server's journal; ask the server, "
            "on your own machine: ADMIN_TOKEN=$(heroku config:get ADMIN_TOKEN) "
            "python runner.py runs --url https://YOUR-APP.herokuapp.com"
        )
    return local(project)


def local(project: Context) -> Local:
    """The journal of this machine, or the database. Raises Trouble if it cannot be had."""
    if not project.database:
        return Local(project, open_reader(project.data))
    journal = open_database(project.database)
    atexit.register(journal.close)
    return Local(project, journal, journal)


def find(source: Source, part: str) -> str:
    """The id of the one run that begins or ends so. Raises Trouble if there is not one."""
    named = source.named(part) if re.fullmatch(r"[A-Za-z2-7]{1,20}", part) else []
    if len(named) == 1:
        return named[0]
    if named:
        listed = ", ".join(named[:5])
        raise Trouble(f"several runs begin or end with {brief(part)}: {listed}; give more of one")
    newest = source.runs(Query(most=1))
    hint = f"the newest is {newest[0]['run']}" if newest else "there is none yet"
    raise Trouble(f"no run begins or ends with {brief(part)}; {hint}")


def all_of(source: Source, query: Query, after: int = 0) -> Iterator[dict[str, Json]]:
    """All runs that are asked for and came after a `seq`, newest first, a page at a time."""
    page = source.runs(replace(query, most=PAGE))
    while page:
        for row in page:
            if row["seq"] <= after:
                return
            yield row
        if len(page) < PAGE:
            return
        page = source.runs(replace(query, most=PAGE, before=page[-1]["seq"]))


def nothing(arguments: argparse.Namespace, project: Context) -> str:
    """What to say if no run is as the filters say: there may be no such hook."""
    if not (arguments.hook or arguments.state or arguments.since):
        return "there is no run yet"
    try:
        hooks = {} if arguments.url else project.load().hooks
    except BadConfig:
        hooks = {}
    if not arguments.hook or not hooks or arguments.hook in hooks:
        return "no run is like that"
    near = hint(arguments.hook, hooks) or f"; there are {', '.join(hooks)}"
    return f"no run is like that, and no hook is at {brief(arguments.hook)}{near}"


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Let runs be picked."""
    parser.add_argument("--hook", metavar="/PATH", default="", help="of this hook")
    parser.add_argument("--state", choices=[str(state) for state in State], help="in this state")
    parser.add_argument(
        "--since",
        metavar="TIME",
        help="recorded since: 30m, 2h, 7d ago, or 2026-11-28T14:00Z; in UTC",
    )


def refuse_filters(arguments: argparse.Namespace, why: str) -> None:
    """Raise Trouble if runs are picked where they are named already."""
    for name in ("hook", "state", "since"):
        if getattr(arguments, name):
            raise Trouble(f"--{name} {why}")


def picked(arguments: argparse.Namespace, most: int) -> Query:
    """The runs that the filters pick. Raises Trouble."""
    state = State(arguments.state) if arguments.state else None
    since = _since(arguments.since) if arguments.since else 0.0
    return Query(hook=arguments.hook, state=state, since=since, most=most)


def _since(text: str) -> float:
    """A time ago, or a time (RFC 3339), as Unix seconds."""
    try:
        return time.time() - duration(text)
    except ValueError:
        pass
    try:
        return telling.unix(text)
    except ValueError:
        raise Trouble(
            f"--since must be a time ago such as 2h, or a time such as 2026-11-28T14:00Z, "
            f"not {brief(text)}"
        ) from None


class Readable(Protocol):
    """What a journal and a reader of its file have in common."""

    def runs(self, query: Query) -> list[Run]: ...
    def named(self, part: str) -> list[str]: ...
    def standing(self, run_id: str) -> Run | None: ...
    def recorded(self, run_id: str) -> NewRun | None: ...
    def attempts(self, run_id: str, most: int = ALL) -> list[Attempt]: ...
    def printed(
        self, run_id: str, number: int, stdout: int, stderr: int, lead: int, most: int
    ) -> Printed | None: ...


class Local:
    """The journal of this machine, or of a database."""

    def __init__(self, project: Context, reader: Readable, journal: Journal | None = None) -> None:
        """With a `journal`, what changes it need not be asked of a server."""
        self._project = project
        self.reader = reader
        self._journal = journal
        self._masker = Masker()
        self._seen: object = None

    def runs(self, query: Query) -> list[dict[str, Json]]:
        mask = self._mask()
        return [telling.row(run, mask) for run in self.reader.runs(query)]

    def named(self, part: str) -> list[str]:
        return self.reader.named(part)

    def whole(self, run_id: str, *, exact: bool = False) -> dict[str, Json]:
        run, new = self.reader.standing(run_id), self.reader.recorded(run_id)
        if run is None or new is None:
            raise Gone(f"run {run_id} is gone; it was pruned just now")
        attempts = self.reader.attempts(run_id, telling.WHOLE)
        return telling.whole(run, new, attempts, self._mask(), exact=exact)

    def printed(self, run_id: str, number: int, stdout: int, stderr: int) -> dict[str, Json]:
        run, mask = self.reader.standing(run_id), self._mask()
        if run is None:
            raise Gone(f"run {run_id} is gone; it was pruned just now")
        found = self.reader.printed(run_id, number, stdout, stderr, mask.longest, telling.PIECE)
        return telling.printed(run, found, (stdout, stderr), mask)

    def replay(self, run_id: str) -> str:
        with self._changing() as (server, intake):
            return server.replay(run_id) if server else _asked(intake).replay(run_id).run_id

    def cancel(self, run_id: str) -> None:
        with self._changing() as (server, intake):
            if server:
                server.cancel(run_id)
            else:
                _asked(intake).cancel(run_id)

    def prune(self, older: float | None) -> int:
        with self._changing() as (server, intake):
            if server:
                return server.prune(older)
            pruned, more = 0, True
            while more:
                some, more = _asked(intake).prune(older)
                pruned += some
            return pruned

    @contextmanager
    def _changing(self) -> Iterator[tuple[Server | None, Intake | None]]:
        """The server that has the journal; or if none has, an intake of our own."""
        if self._journal:
            with self._intake(self._journal) as intake:
                yield None, intake
            return
        try:
            journal = SqliteJournal(self._project.data)
        except Trouble:
            yield self._server(), None
            return
        with closing(journal), self._intake(journal) as intake:
            yield None, intake

    @contextmanager
    def _intake(self, journal: Journal) -> Iterator[Intake]:
        with Path(os.devnull).open("wb") as nowhere, closing(Log(nowhere.fileno())) as log:
            try:
                yield Intake(self._project.load(), journal, log)
            except Refused as refused:
                raise Trouble(refused.why) from None

    def _server(self) -> Server:
        url = near(self._project)
        if url is None:
            raise Trouble(
                f"another runner works in {self._project.data}, and has not begun to serve"
            )
        place = str(self._project.data / ADDRESS)
        if token := _token(self._project):
            return Server(url, token, named=place, secret=str(self._project.data / TOKEN))
        return Server(url, self._project.environ.get("ADMIN_TOKEN", ""), named=place)

    def _mask(self) -> Masker:
        seen = (watched(self._project.config), token := _token(self._project))
        if seen != self._seen:
            self._masker = Masker({*self._project.secrets(), token} - {""})
            self._seen = seen
        return self._masker


def near(project: Context) -> str | None:
    """Where the server of this machine says it is; None if it says nothing."""
    try:
        return (project.data / ADDRESS).read_text("utf-8", "replace").strip()
    except OSError:
        return None


def _token(project: Context) -> str:
    """What a server lets the owner of its files ask with; empty if none serves, or is ours."""
    try:
        return (project.data / TOKEN).read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def _asked(intake: Intake | None) -> Intake:
    assert intake is not None
    return intake
