"""Do runs again, from their stored deliveries, under today's hooks."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from hookrunner.model import State, Trouble
from hookrunner.verbs import terminal
from hookrunner.verbs.context import context
from hookrunner.verbs.source import add_filters, add_url, find, picked, source

EXAMPLES = """
  python runner.py replay k3x9 p2m7                 these two
  python runner.py replay --failed --since 1h       all that failed in the last hour
  python runner.py replay --failed --hook /deploy --dry-run
"""

MOST = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", metavar="ID", nargs="*", help="of runs: how they begin or end")
    parser.add_argument("--failed", action="store_true", help="all that failed; narrow it down")
    parser.add_argument("--dry-run", action="store_true", help="only say which")
    add_filters(parser)
    add_url(parser)


def run(arguments: argparse.Namespace, given: Mapping[str, str]) -> int:
    runs = source(arguments, context(arguments, given))
    if bool(arguments.ids) == arguments.failed:
        raise Trouble("name the runs, or say --failed: python runner.py replay ID…")
    if arguments.failed:
        arguments.state = State.FAILED
        ids = [each["run"] for each in reversed(runs.runs(picked(arguments, MOST)))]
    else:
        ids = [find(runs, part) for part in arguments.ids]
    if not ids:
        terminal.show(["no run has failed like that"])
    for run_id in ids:
        again = "would be done again" if arguments.dry_run else f"again as {runs.replay(run_id)}"
        terminal.show([f"{run_id} {again}"])
    return 0
