"""Bring the tables of the journal's database up to date; before a release goes live.

Two of them at once do no harm, nor does one beside servers of the version before.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from hookrunner.journal.opening import migrate
from hookrunner.journal.where import shown
from hookrunner.verbs import terminal
from hookrunner.verbs.context import context

EXAMPLES = """
  python runner.py check && python runner.py migrate         what a release does
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(arguments: argparse.Namespace, given: Mapping[str, str]) -> int:
    project = context(arguments, given)
    if not project.database:
        terminal.show(
            ["nothing to do: runs are kept in a file, which a server brings up to date by itself"]
        )
        return 0
    before, now = migrate(project.database)
    place = shown(project.database)
    if before == now:
        terminal.show([f"nothing to do: the tables in {place} are of version {now}"])
    elif before:
        terminal.show([f"the tables in {place} were brought from version {before} to {now}"])
    else:
        terminal.show([f"tables of version {now} were made in {place}"])
    return 0
