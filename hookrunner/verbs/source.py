"""Where runs are read and handled: in the journal of this machine, or at a running server.

A server holds its journal for itself; reading needs nobody's leave, but what changes it is
asked of the server.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

from hookrunner import telling
from hookrunner.app import ADDRESS
from hookrunner.intake import Intake
from hookrunner.journal.reading import Reader, open_reader
from hookrunner.journal.sqlite import SqliteJournal
from hookrunner.log import Log
from hookrunner.mask import Masker
from hookrunner.model import BadConfig, Json, Query, Refused, State, Trouble
from hookrunner.units import duration
from hookrunner.verbs.context import Context, brief
from hookrunner.verbs.remote import Server


class Source(Protocol):
    """Runs, as JSON says them (see `telling`)."""

    def runs(self, query: Query) -> list[dict[str, Json]]:
        """The runs that are asked for, newest first."""

    def named(self, part: str) -> list[str]:
        """The ids that begin or end with this."""

    def whole(self, run_id: str) -> dict[str, Json]:
        """All of a run."""

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
    if project.environ.get("DYNO", "").startswith("run."):
        raise Trouble(
            "a one-off dyno has a disk of its own, and not the server's journal; ask the server, "
            "on your own machine: ADMIN_TOKEN=$(heroku config:get ADMIN_TOKEN) "
            "python runner.py runs --url https://YOUR-APP.herokuapp.com"
        )
    return Local(project, open_reader(project.data))


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


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Let runs be picked."""
    parser.add_argument("--hook", metavar="/PATH", default="", help="of this hook")
    parser.add_argument("--state", choices=[*State], help="in this state")
    parser.add_argument(
        "--since", metavar="TIME", help="recorded since: 30m, 2h, 7d ago, or 2026-11-28T14:00Z"
    )


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


class Local:
    """The journal of this machine."""

    def __init__(self, project: Context, reader: Reader) -> None:
        self._project = project
        self._reader = reader

    def runs(self, query: Query) -> list[dict[str, Json]]:
        return [telling.row(run) for run in self._reader.runs(query)]

    def named(self, part: str) -> list[str]:
        return self._reader.named(part)

    def whole(self, run_id: str) -> dict[str, Json]:
        run, new = self._reader.standing(run_id), self._reader.recorded(run_id)
        if run is None or new is None:
            raise Trouble(f"run {run_id} is gone; it was pruned just now")
        return telling.whole(run, new, self._reader.attempts(run_id), self._mask())

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
            return _asked(intake).prune(older)

    @contextmanager
    def _changing(self) -> Iterator[tuple[Server | None, Intake | None]]:
        """The server that has the journal; or if none has, an intake of our own."""
        try:
            journal = SqliteJournal(self._project.data)
        except Trouble:
            yield self._server(), None
            return
        with (
            Path(os.devnull).open("wb") as nowhere,
            closing(journal),
            closing(Log(nowhere.fileno())) as log,
        ):
            try:
                yield None, Intake(self._project.load(), journal, log)
            except Refused as refused:
                raise Trouble(refused.why) from None

    def _server(self) -> Server:
        try:
            url = (self._project.data / ADDRESS).read_text().strip()
        except OSError:
            raise Trouble(
                f"another runner works in {self._project.data}, and has not begun to serve"
            ) from None
        return Server(url, self._project.environ.get("ADMIN_TOKEN", ""))

    def _mask(self) -> telling.Mask:
        try:
            return Masker(self._project.load().secrets)
        except BadConfig:
            return Masker()


def _asked(intake: Intake | None) -> Intake:
    assert intake is not None
    return intake
