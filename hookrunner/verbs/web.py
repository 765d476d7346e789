"""Record what is posted, answer, and show the pages; workers carry it out, on any machine."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from hookrunner.verbs import roles

EXAMPLES = """
  JOURNAL_URL=postgres://… python runner.py web              on port 5000, or $PORT
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    roles.add_listening(parser)
    roles.add_serving(parser)


def run(arguments: argparse.Namespace, given: Mapping[str, str]) -> int:
    return roles.serve(arguments, given, "web")
