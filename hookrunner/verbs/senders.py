"""List the senders that `auth:` knows, with what to paste where on their side."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from hookrunner.auth.listing import lines
from hookrunner.auth.senders import SENDERS
from hookrunner.model import Trouble
from hookrunner.sections import hint
from hookrunner.verbs import terminal
from hookrunner.verbs.context import brief

EXAMPLES = """
  python runner.py senders          what to paste where, for every sender
  python runner.py senders slack    the same, for Slack
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="SENDER", help="which to tell of; default all")


def run(arguments: argparse.Namespace, given: Mapping[str, str]) -> int:
    for name in arguments.names:
        if name not in SENDERS:
            known = hint(name, SENDERS) or "; python runner.py senders lists those that there are"
            raise Trouble(f"no sender is called {brief(name)}{known}")
    terminal.show(lines(arguments.names))
    return 0
