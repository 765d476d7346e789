"""List runs, newest first. Times are in UTC."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from hookrunner.model import Json
from hookrunner.verbs import terminal
from hookrunner.verbs.context import context, number
from hookrunner.verbs.source import add_filters, add_url, nothing, picked, source

HEADINGS = ("RUN", "WHEN (UTC)", "HOOK", "EVENT", "ATTEMPT", "STATE", "OUTCOME")

EXAMPLES = """
  python runner.py runs                             the newest fifty
  python runner.py runs --state failed --since 2h   what failed in the last two hours
  python runner.py runs --hook /deploy --json       for a program to read
  ADMIN_TOKEN=… python runner.py runs --url https://YOUR-APP.herokuapp.com
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_filters(parser)
    parser.add_argument("--limit", metavar="N", help="how many at most; default 50")
    add_url(parser)
    terminal.add_json(parser)


def run(arguments: argparse.Namespace, given: Mapping[str, str]) -> int:
    project = context(arguments, given)
    most = number(arguments.limit, {}, "LIMIT", 50, 1, 500)
    found = source(arguments, project).runs(picked(arguments, most))
    if arguments.json:
        terminal.show_json(found)
    elif found:
        terminal.table(HEADINGS, [row(each) for each in found])
    else:
        terminal.show([nothing(arguments, project)])
    return 0


def row(said: Mapping[str, Json]) -> tuple[str, ...]:
    """A run as a row of a table."""
    outcome = said["outcome"] or {}
    why = str(outcome.get("detail") or "")
    if said["state"] == "queued" and said["due"] and outcome:
        why += f"; next at {when(said['due'])}"
    return (
        said["run"],
        when(said["recorded_at"]),
        said["hook"],
        said["event"] or "-",
        str(said["attempt"]),
        said["state"],
        why or "-",
    )


def when(moment: str | None) -> str:
    """A time as people read it, to the second."""
    return (moment or "").replace("T", " ").partition(".")[0]
