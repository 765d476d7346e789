"""Do runs again, from their stored deliveries, under today's hooks."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace

from hookrunner.model import State, Trouble
from hookrunner.verbs import terminal
from hookrunner.verbs.context import context
from hookrunner.verbs.remote import Unreachable
from hookrunner.verbs.source import (
    Source,
    add_filters,
    add_url,
    all_of,
    find,
    picked,
    refuse_filters,
    source,
)

EXAMPLES = """
  python runner.py replay k3x9 p2m7                 these two
  python runner.py replay --failed --since 1h       all that failed in the last hour
  python runner.py replay --failed --hook /deploy --dry-run
"""

MOST = 500
"""Runs that one command does again; whoever has more may want to look first."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", metavar="ID", nargs="*", help="of runs: how they begin or end")
    parser.add_argument("--failed", action="store_true", help="all that failed; narrow it down")
    parser.add_argument("--dry-run", action="store_true", help="only say which")
    add_filters(parser)
    add_url(parser)


def run(arguments: argparse.Namespace, given: Mapping[str, str]) -> int:
    if bool(arguments.ids) == arguments.failed:
        raise Trouble("name the runs, or say --failed: python runner.py replay ID…")
    if arguments.ids:
        refuse_filters(arguments, "goes with --failed, and not with an id")
    elif arguments.state not in (None, State.FAILED):
        raise Trouble(f"--state {arguments.state} and --failed exclude each other")
    query = replace(picked(arguments, MOST), state=State.FAILED, unreplaced=True)
    project = context(arguments, given)
    runs = source(arguments, project)
    if arguments.ids:
        ids = [find(runs, part) for part in arguments.ids]
    else:
        ids = [row["run"] for row in all_of(runs, query)][::-1]
        if not ids:
            terminal.show(["no run has failed like that and is not done again already"])
    status = max([_replay(runs, run_id, dry=arguments.dry_run) for run_id in ids[:MOST]], default=0)
    if len(ids) > MOST:
        terminal.complain([f"{MOST} of {len(ids)}, the oldest; say it again for more"])
    return status


def _replay(runs: Source, run_id: str, *, dry: bool) -> int:
    """Do a run again, and say so, or why not; 1 for that."""
    try:
        again = "would be done again" if dry else f"again as {runs.replay(run_id)}"
    except Unreachable:
        raise  # nor will the others be
    except Trouble as error:
        terminal.complain([f"{run_id} is not done again: {error}"])
        return 1
    terminal.show([f"{run_id} {again}"])
    return 0
