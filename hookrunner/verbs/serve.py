"""Serve hooks.yaml until told to stop: record what is posted, and run it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from hookrunner.verbs import roles

EXAMPLES = """
  python runner.py                  serve hooks.yaml on port 5000, or $PORT
  python runner.py --port 8080      serve on another port
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    roles.add_listening(parser)
    roles.add_running(parser)
    roles.add_serving(parser)


def run(arguments: argparse.Namespace, given: Mapping[str, str]) -> int:
    return roles.serve(arguments, given, "all")
