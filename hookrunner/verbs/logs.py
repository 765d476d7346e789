"""Show what scripts have printed, run by run; with --follow, as they print it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from hookrunner.model import ENDED, JournalUnavailable, Json, Query, State
from hookrunner.verbs import terminal
from hookrunner.verbs.context import context
from hookrunner.verbs.remote import Gone, Unreachable
from hookrunner.verbs.source import (
    Source,
    add_filters,
    add_url,
    all_of,
    find,
    nothing,
    picked,
    refuse_filters,
    source,
)

EXAMPLES = """
  python runner.py logs                 of the newest ten runs
  python runner.py logs k3x9            of one run
  python runner.py logs k3x9 --follow   of one run, until it has ended
  python runner.py logs --follow        of all runs to come, until Ctrl-C
"""

EVERY = 0.5
"""Seconds between two looks."""

NEWEST = 10

NO_ATTEMPT = 999_999_999
"""The number of an attempt that there is not: for how a run stands, and nothing else."""

LIVE = (State.QUEUED, State.RUNNING)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", nargs="?", help="of a run: how it begins or ends")
    parser.add_argument("--follow", "-f", action="store_true", help="go on as more is printed")
    add_filters(parser)
    add_url(parser)


def run(arguments: argparse.Namespace, given: Mapping[str, str]) -> int:
    if arguments.id:
        refuse_filters(arguments, "picks from all runs; leave it out, or the id")
    query = picked(arguments, NEWEST)
    project = context(arguments, given)
    runs = source(arguments, project)
    if arguments.id:
        shown = Shown(runs, [find(runs, arguments.id)])
        terminal.show(shown.news())
        _again_and_again(shown.news, lambda: bool(arguments.follow and shown.unended))
        return 0
    follower = _Follower(runs, query)
    if not follower.shown.unended:
        terminal.complain([nothing(arguments, project)])
    terminal.show(follower.shown.news())
    _again_and_again(follower.news, lambda: bool(arguments.follow))
    return 0


def _again_and_again(news: Callable[[], Iterator[str]], goes_on: Callable[[], bool]) -> None:
    """Show news as it comes; while the server cannot be reached, say so once and go on."""
    told = ""
    while goes_on():
        time.sleep(EVERY)
        try:
            terminal.show(news())
            told = ""
        except (Unreachable, JournalUnavailable) as error:
            if not told:
                terminal.complain([f"{error}; it is asked again until it answers"])
            told = str(error)


class _Follower:
    """The runs of a query as they come; of a query for a state, as they come to be in it."""

    def __init__(self, runs: Source, query: Query) -> None:
        self._runs = runs
        self._state = query.state
        self._all = replace(query, state=None)
        # Asked for first, so that what comes while the others are asked for is not missed.
        last = runs.runs(replace(self._all, most=1))
        self._last = max((row["seq"] for row in last), default=0)
        live = self._live() if self._state else {}
        newest = [row for row in runs.runs(query) if self._state or row["seq"] <= self._last]
        self._taken = {row["run"] for row in newest}
        self._watched = {run: state for run, state in live.items() if run not in self._taken}
        self.shown = Shown(runs, [row["run"] for row in reversed(newest)])

    def news(self) -> Iterator[str]:
        """The lines that are new since it was last asked."""
        for row in reversed(list(all_of(self._runs, self._all, after=self._last))):
            self._last = row["seq"]
            if self._state is None:
                self.shown.unended.append(row["run"])
            elif row["run"] not in self._taken:
                self._watched[row["run"]] = row["state"]
        if self._watched:
            self._take_up()
        yield from self.shown.news()

    def _take_up(self) -> None:
        """Show those of the watched that are in the state; forget those that never will be."""
        live = self._live()
        for run_id, was in list(self._watched.items()):
            state = live.get(run_id) or (was if was in ENDED else self._now(run_id))
            if state == self._state:
                self.shown.unended.append(run_id)
            if state == self._state or state in ENDED:
                del self._watched[run_id]

    def _live(self) -> dict[str, str]:
        """The runs that have not ended, oldest first, each with its state."""
        rows = [row for s in LIVE for row in all_of(self._runs, replace(self._all, state=s))]
        return {row["run"]: row["state"] for row in sorted(rows, key=lambda row: row["seq"])}

    def _now(self, run_id: str) -> str:
        try:
            return str(self._runs.printed(run_id, NO_ATTEMPT, 0, 0)["state"])
        except Gone:
            return State.CANCELLED


@dataclass(slots=True)
class _Place:
    """How far a run has been shown: so far of an attempt's streams."""

    attempt: int = 1
    stdout: int = 0
    stderr: int = 0


class Shown:
    """Runs that have not ended as far as has been shown, and how much that is."""

    def __init__(self, runs: Source, ids: list[str]) -> None:
        self._runs = runs
        self.unended = ids
        self.states: dict[str, str] = {}
        self._places: dict[str, _Place] = {}

    def news(self) -> Iterator[str]:
        """The lines that are new since it was last asked."""
        for run_id in list(self.unended):
            try:
                yield from self._of(run_id)
            except Gone:  # it was pruned, and nothing of it is left to show
                self.states[run_id] = State.CANCELLED
            if self.states[run_id] in ENDED:
                self.unended.remove(run_id)
                self._places.pop(run_id, None)

    def _of(self, run_id: str) -> Iterator[str]:
        place = self._places.setdefault(run_id, _Place())
        more = True
        while more:
            said = self._runs.printed(run_id, place.attempt, place.stdout, place.stderr)
            name, printed = f"{said['run']} {said['hook']}", said["printed"]
            # What it says of the run may be older than what it says of the attempt, not newer.
            self.states[run_id] = said["state"]
            if printed is None:
                if place.attempt >= said["attempt"]:
                    return
                place.attempt += 1  # cancelled before it began
                continue
            yield from _lines(name, printed)
            more = printed["stdout_next"] > place.stdout or printed["stderr_next"] > place.stderr
            place.stdout, place.stderr = printed["stdout_next"], printed["stderr_next"]
            if printed["outcome"] and not _left(printed):
                yield _end(name, printed["outcome"])
                place.attempt, place.stdout, place.stderr = place.attempt + 1, 0, 0
                more = said["attempt"] >= place.attempt


def _left(printed: Mapping[str, Json]) -> bool:
    """True if the attempt has printed more than has been told."""
    return any(printed[f"{name}_next"] < printed[f"{name}_end"] for name in ("stdout", "stderr"))


def _lines(name: str, printed: Mapping[str, Json]) -> Iterator[str]:
    for stream, sign in (("stdout", "|"), ("stderr", "!")):
        for each in lines_of(printed[stream]):
            yield terminal.line(f"{name} {sign} ", terminal.printed(each))


def lines_of(text: str) -> list[str]:
    """The lines of what a script has printed; a carriage return alone ends none."""
    if not text:
        return []
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def _end(name: str, outcome: Mapping[str, Json]) -> str:
    state = terminal.coloured(outcome["state"])
    return terminal.line(f"{name} ", state, f" in {outcome['seconds']:g}s: {outcome['detail']}")
