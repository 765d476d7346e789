"""Show what scripts have printed, run by run; with --follow, as they print it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping

from hookrunner.model import ENDED, Json, State
from hookrunner.verbs import terminal
from hookrunner.verbs.context import context
from hookrunner.verbs.source import Source, add_filters, add_url, find, picked, source

EXAMPLES = """
  python runner.py logs                 of the newest ten runs
  python runner.py logs k3x9            of one run
  python runner.py logs k3x9 --follow   of one run, until it has ended
  python runner.py logs --follow        of all runs to come, until Ctrl-C
"""

EVERY = 0.5
"""Seconds between two looks."""

NEWEST = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", nargs="?", help="of a run: how it begins or ends")
    parser.add_argument("--follow", "-f", action="store_true", help="go on as more is printed")
    add_filters(parser)
    add_url(parser)


def run(arguments: argparse.Namespace, given: Mapping[str, str]) -> int:
    runs = source(arguments, context(arguments, given))
    if arguments.id:
        shown = Shown(runs, [find(runs, arguments.id)])
        terminal.show(shown.news())
        while arguments.follow and shown.unended:
            time.sleep(EVERY)
            terminal.show(shown.news())
        return 0
    newest = runs.runs(picked(arguments, NEWEST))
    shown = Shown(runs, [each["run"] for each in reversed(newest)])
    terminal.show(shown.news())
    last = max((each["seq"] for each in newest), default=0)
    while arguments.follow:
        time.sleep(EVERY)
        come = [each for each in runs.runs(picked(arguments, 100)) if each["seq"] > last]
        last = max((each["seq"] for each in come), default=last)
        shown.unended += [each["run"] for each in reversed(come)]
        terminal.show(shown.news())
    return 0


class Shown:
    """Runs that have not ended as far as has been shown, and how much that is."""

    def __init__(self, runs: Source, ids: list[str]) -> None:
        self._runs = runs
        self.unended = ids
        self._seen: dict[tuple[str, int, str], int] = {}
        self._told: set[tuple[str, int]] = set()

    def news(self) -> Iterator[str]:
        """The lines that are new since it was last asked."""
        left = []
        for run_id in self.unended:
            whole = self._runs.whole(run_id)
            yield from self._of(whole)
            if State(whole["state"]) not in ENDED:
                left.append(run_id)
        self.unended = left

    def _of(self, whole: Mapping[str, Json]) -> Iterator[str]:
        name = f"{whole['run']} {whole['hook']}"
        for attempt in whole["attempts"]:
            number, outcome = attempt["number"], attempt["outcome"]
            for stream, sign in (("stdout", "|"), ("stderr", "!")):
                place = (whole["run"], number, stream)
                text = attempt[stream][self._seen.get(place, 0) :]
                if outcome is None:  # the last line may not be whole yet
                    text = text[: text.rfind("\n") + 1]
                self._seen[place] = self._seen.get(place, 0) + len(text)
                yield from (f"{name} {sign} {line}" for line in text.splitlines())
            if outcome and (whole["run"], number) not in self._told:
                self._told.add((whole["run"], number))
                state = terminal.coloured(outcome["state"])
                yield f"{name} {state} in {outcome['seconds']:g}s: {outcome['detail']}"
