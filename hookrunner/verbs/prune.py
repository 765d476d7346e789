"""Forget runs that have ended longer ago than their hook keeps them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from hookrunner.verbs import terminal
from hookrunner.verbs.context import context, seconds
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
    older = arguments.older and seconds(arguments.older, "--older", 0.001, FOR_EVER)
    pruned = source(arguments, context(arguments, given)).prune(older or None)
    terminal.show([f"{pruned} run{'' if pruned == 1 else 's'} forgotten"])
    return 0
