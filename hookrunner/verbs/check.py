"""Say what is wrong with hooks.yaml, or show its hooks."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from hookrunner import units
from hookrunner.advice import advice
from hookrunner.config import switched_off
from hookrunner.journal.opening import check_url
from hookrunner.model import BadConfig, Hook, Trouble
from hookrunner.verbs import terminal
from hookrunner.verbs.context import Context, context

KEYS = ("path", "methods", "auth", "script", "respond", "state")
HEADINGS = ("PATH", "METHODS", "WHO MAY POST", "SCRIPT", "ANSWERS", "STATE")

EXAMPLES = """
  python runner.py check            what is wrong with hooks.yaml, or its hooks; exits 1 if
                                    one is switched off
  python runner.py check --json     for a program to read
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    terminal.add_json(parser)


def run(arguments: argparse.Namespace, given: Mapping[str, str]) -> int:
    project = context(arguments, given)
    problems = _problems(project)
    try:
        config = project.load()
    except BadConfig as error:
        problems += error.problems
    if problems:
        if not arguments.json:
            raise BadConfig(problems)
        terminal.show_json({"problems": problems})
        return 1
    lines = switched_off(config, on_dyno=project.on_dyno)
    warnings = list(advice(config))
    if arguments.json:
        rows = [_row(hook) for hook in config.hooks.values()]
        hooks = [dict(zip(KEYS, row, strict=True)) for row in rows]
        terminal.show_json({"hooks": hooks, "switched_off": lines, "warnings": warnings})
    else:
        terminal.table(HEADINGS, [_row(hook) for hook in config.hooks.values()])
        terminal.complain([*lines, *(f"warning: {line}" for line in warnings)])
    return 1 if lines else 0


def _problems(project: Context) -> list[str]:
    """What is wrong with the URL of the journal's database, if there is one."""
    try:
        if project.database:
            check_url(project.database)
    except Trouble as error:
        return [str(error)]
    return []


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
