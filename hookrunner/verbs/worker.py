"""Carry out what others record, on as many machines as there are workers.

It takes no deliveries, and has a port only if --metrics-port names one: for Prometheus.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from hookrunner.verbs import roles

EXAMPLES = """
  JOURNAL_URL=postgres://… python runner.py worker           the runs of all hooks
  JOURNAL_URL=postgres://… python runner.py worker --hooks /a,/b --slots 2
  JOURNAL_URL=postgres://… python runner.py worker --metrics-port 9100
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--hooks", metavar="/A,/B", help="carry out the runs of these alone")
    roles.add_metrics(parser)
    roles.add_running(parser)
    roles.add_serving(parser)


def run(arguments: argparse.Namespace, given: Mapping[str, str]) -> int:
    return roles.serve(arguments, given, "worker")
