"""End runs that are queued or running."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from hookrunner.verbs import terminal
from hookrunner.verbs.context import context
from hookrunner.verbs.source import add_url, find, source

EXAMPLES = """
  python runner.py cancel k3x9      a queued run never starts; a running script gets TERM
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", metavar="ID", nargs="+", help="of runs: how they begin or end")
    add_url(parser)


def run(arguments: argparse.Namespace, given: Mapping[str, str]) -> int:
    runs = source(arguments, context(arguments, given))
    for run_id in [find(runs, part) for part in arguments.ids]:
        runs.cancel(run_id)
        terminal.show([f"{run_id} cancelled"])
    return 0
