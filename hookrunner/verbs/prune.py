"""Forget runs that have ended longer ago than their hook keeps them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from hookrunner.model import Trouble
from hookrunner.units import duration
from hookrunner.verbs import terminal
from hookrunner.verbs.context import brief, context
from hookrunner.verbs.source import add_url, source

EXAMPLES = """
  python runner.py prune                what `keep` says; the server does that by itself
  python runner.py prune --older 1d     what ended more than a day ago, whatever `keep` says
"""

FOR_EVER = 100 * 365 * 86400.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--older", metavar="TIME", help="such as 12h or 3d, in place of `keep`")
    add_url(parser)


def run(arguments: argparse.Namespace, given: Mapping[str, str]) -> int:
    older = arguments.older and _older(arguments.older)
    pruned = source(arguments, context(arguments, given)).prune(older or None)
    terminal.show([f"{pruned} run{'' if pruned == 1 else 's'} forgotten"])
    return 0


def _older(text: str) -> float:
    try:
        found = duration(text)
    except ValueError:
        found = 0.0
    if not 0 < found <= FOR_EVER:
        raise Trouble(f"--older must be a time such as 12h or 3d, not {brief(text)}")
    return found
