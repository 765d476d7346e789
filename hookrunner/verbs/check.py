"""Say what is wrong with hooks.yaml, or show its hooks."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from hookrunner import units
from hookrunner.config import switched_off
from hookrunner.model import Hook
from hookrunner.verbs import terminal
from hookrunner.verbs.context import context

HEADINGS = ("PATH", "METHODS", "WHO MAY POST", "SCRIPT", "ANSWERS", "STATE")

EXAMPLES = """
  python runner.py check            say what is wrong with hooks.yaml, or show its hooks
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing but what every verb takes."""


def run(arguments: argparse.Namespace, given: Mapping[str, str]) -> int:
    project = context(arguments, given)
    config = project.load()
    terminal.table(HEADINGS, [_row(hook) for hook in config.hooks.values()])
    lines = switched_off(config, on_dyno=project.on_dyno)
    terminal.complain(lines)
    return 1 if lines else 0


def _row(hook: Hook) -> tuple[str, ...]:
    answers: str = hook.respond.mode
    if hook.respond.wait:
        answers += f", waits {units.show_duration(hook.respond.wait)}"
    return (
        hook.path,
        ",".join(hook.methods),
        ", ".join(dict.fromkeys(scheme.name for scheme in hook.auth)) or "everybody",
        hook.script.name,
        answers,
        "off" if hook.missing else "on",
    )
