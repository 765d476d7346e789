"""Add a hook: an entry of hooks.yaml, a script to begin with, a schema drafted from a payload."""

from __future__ import annotations

import argparse
import importlib.util
import keyword
import re
import shlex
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hookrunner import drafting, jsontext, route, writing
from hookrunner.auth.senders import SENDERS, Sender
from hookrunner.config import load, switched_off
from hookrunner.journal.reading import open_reader
from hookrunner.model import Json, Query, Refused, Trouble
from hookrunner.sections import Section, Source, compose, hint
from hookrunner.verbs import terminal
from hookrunner.verbs.context import PLACEHOLDER, Context, app_address, brief, context, number

EXAMPLES = """
  python runner.py new /deploy --bash                     posted to with a bearer token
  python runner.py new /github --from github              signed by GitHub
  python runner.py new /orders --from shopify --sample order.json
"""

LARGEST_SAMPLE = 1024**2
"""Bytes: what `max_body` lets through unless it is set."""

LONGEST_NAME = 60
"""Characters of a file's name that are taken of a path."""

PYTHON = '''\
"""{what}. It runs once for every delivery that hooks.yaml lets through."""

import json
import os
import sys

# The payload, as it was posted. {schema}
payload = json.load(sys.stdin)

# What is printed is in the log (heroku logs --tail; python runner.py logs).
print("delivery", os.environ["HOOK_DELIVERY"] or "without an id", os.environ["HOOK_EVENT"])
print(json.dumps(payload, indent=2, ensure_ascii=False))

# sys.exit("why") makes the run fail; `retry:` in hooks.yaml tries it again.
'''

BASH = """\
#!/usr/bin/env bash
# {what}. It runs once for every delivery that hooks.yaml lets through.
set -euo pipefail

# The payload is on standard input, as it was posted. {schema}
payload=$(cat)

# What is printed is in the log (heroku logs --tail; python runner.py logs).
echo "delivery ${{HOOK_DELIVERY:-without an id}} $HOOK_EVENT"
{shows}
# Another exit status than 0 makes the run fail; `retry:` in hooks.yaml tries it again.
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be written, in bytes: what cannot be encoded is known before the first file."""

    path: str
    auth: str
    entry: str
    script: Path
    text: bytes
    schema: Path | None
    draft: bytes


@dataclass(frozen=True, slots=True)
class Sample:
    """A payload to draft from."""

    value: Json
    file: str = ""
    """Where the user has it; empty if it is one that was posted."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="/PATH", help="such as /deploy, or '/deploy/<env>'")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--python", action="store_true", help="a Python script (the default)")
    kinds.add_argument("--bash", action="store_true", help="a Bash script")
    parser.add_argument("--from", dest="sender", metavar="SENDER", help="who posts: see `senders`")
    parser.add_argument("--sample", metavar="FILE", help="a payload, to draft the schema from")
    parser.add_argument("--url", help="where your app is; Twilio's signature needs it")


def run(arguments: argparse.Namespace, given: Mapping[str, str]) -> int:
    project = context(arguments, given)
    url = app_address(arguments.url) if arguments.url else PLACEHOLDER
    before = _before(project)
    _check(arguments, project, before)
    sample = _sample(arguments.sample, arguments.path, project)
    plan = _plan(arguments, project, sample)
    _write(plan, project, before)
    terminal.show(_next_steps(plan, arguments.sender, project, url, sample))
    return 0


def _before(project: Context) -> bytes:
    try:
        return project.config.read_bytes() if project.config.exists() else b""
    except OSError as error:
        raise Trouble(f"{project.config} cannot be read: {error.strerror}") from None


def _check(arguments: argparse.Namespace, project: Context, before: bytes) -> None:
    """Raises Trouble for a path that cannot be added, or a sender that nobody knows."""
    path, sender = arguments.path, arguments.sender
    if not path.startswith("/"):
        raise Trouble(f"a path begins with '/', such as /{path[:60]}")
    if told := route.problem(path):
        raise Trouble(f"{path}: {told}")
    if path in (_paths(before, project) or ()):
        raise Trouble(f"{path} is in {project.config.name} already")
    if sender is not None and sender not in SENDERS:
        known = hint(sender, SENDERS) or "; python runner.py senders lists those that there are"
        raise Trouble(f"no sender is called {brief(sender)}{known}")
    if sender and PLACEHOLDER in SENDERS[sender].example and not arguments.url:
        raise Trouble(f"{sender} signs the address that it posts to; give it: --url https://…")


def _paths(data: bytes, project: Context) -> list[str] | None:
    """The keys of a hooks.yaml; None if it has none, or cannot be read."""
    source = Source(project.config.name, {})
    top = compose(data, source)
    if top is None or not isinstance(top.plain, dict):
        return None
    keys = [key.title for key, _ in Section(top).pairs()]
    return None if source.problems else keys


def _plan(arguments: argparse.Namespace, project: Context, sample: Sample | None) -> Plan:
    path = arguments.path
    name = re.sub(r"[^a-z0-9]+", "_", re.sub(r"<[^>]*>", "", path).lower()).strip("_")
    name = name[:LONGEST_NAME].strip("_") or "root"
    file = f"{name}.sh" if arguments.bash else f"{_no_module(name)}.py"
    script = project.root / "scripts" / file
    schema = project.root / "schemas" / f"{name}.json" if sample else None
    for each in (script, schema):
        if each and (each.exists() or each.is_symlink()):
            where = each.relative_to(project.root)
            raise Trouble(f"{where} is there already; move it away, or take another path")
    env = drafting.variables(sample.value) if sample and arguments.bash else {}
    judged = f"It fits schemas/{name}.json." if schema else "No schema has looked at it."
    what = f"What {path} does"
    text = (
        BASH.format(what=what, schema=judged, shows=_shows(env))
        if arguments.bash
        else PYTHON.format(what=what, schema=judged)
    )
    draft = drafting.schema(sample.value, own=bool(sample.file)) if sample else ""
    auth = _auth(arguments, name)
    lines = [f"{path}:", f"  script: {file}", f"  auth: {auth}"]
    lines += [f"  schema: {name}.json"] if schema else []
    lines += ["  respond: accepted"] if arguments.sender == "google-forms" else []
    lines += ["  env:", *(f'    {name}: "{text}"' for name, text in env.items())] if env else []
    return Plan(path, auth, "\n".join(lines) + "\n", script, text.encode(), schema, draft.encode())


def _no_module(name: str) -> str:
    """The name, or one like it that hides no module from the scripts beside it.

    Senders' names are those of their packages, too, which may be installed tomorrow.
    """
    there = name in sys.stdlib_module_names or name in SENDERS or keyword.iskeyword(name)
    if not there:
        found = importlib.util.find_spec(name)
        # A folder without __init__.py, such as docs/, is hidden by any file and missed by none.
        there = found is not None and found.origin is not None
    return f"{name}_hook" if there else name


def _sample(name: str | None, path: str, project: Context) -> Sample | None:
    """The payload to draft from: of a file, or the newest that the path has had."""
    if name is None:
        return _newest(path, project)
    try:
        with Path(name).open("rb") as stream:
            data = stream.read(LARGEST_SAMPLE + 1)
        if len(data) > LARGEST_SAMPLE:
            raise Trouble(f"{name} is larger than 1MB, which is what a hook lets through")
        return Sample(jsontext.read(data), name)
    except OSError as error:
        raise Trouble(f"{name} cannot be read: {error.strerror}") from None
    except Refused as refused:
        raise Trouble(f"{name}: {refused.told}") from None


def _newest(path: str, project: Context) -> Sample | None:
    try:
        reader = open_reader(project.data)
    except Trouble:
        return None
    for run in reader.runs(Query(hook=path, most=1)):
        new = reader.recorded(run.run_id)
        try:
            small = new is not None and len(new.body) <= LARGEST_SAMPLE
            return Sample(jsontext.read(new.body)) if new and small else None
        except Refused:
            return None
    return None


def _auth(arguments: argparse.Namespace, name: str) -> str:
    own = f"{name.upper()}_"
    own = f"HOOK_{own}" if own[0].isdigit() else own  # no variable begins with a digit
    if arguments.sender is None:
        return f"{{bearer: ${own}TOKEN}}"
    example = SENDERS[arguments.sender].example.replace("$MY_", f"${own}")
    return example.replace(PLACEHOLDER, (arguments.url or "").rstrip("/"))


def _shows(env: Mapping[str, str]) -> str:
    if not env:
        return 'echo "$payload"\n'
    return "".join(f'echo "{name} is ${name}"\n' for name in env)


def _write(plan: Plan, project: Context, before: bytes) -> None:
    """Write all of it, or nothing. Raises Trouble, BadConfig."""
    ends = b"" if not before or before.endswith(b"\n") else b"\n"
    gap = ends + (b"\n" if before else b"")
    after = before + gap + plan.entry.encode()
    if _paths(after, project) != [*(_paths(before, project) or ()), plan.path]:
        if before:
            load(project.config, project.given)  # may well say what is wrong with it
        raise Trouble(
            f"{project.config.name} is in flow style ({{…}}), indented, or ended with '...', and "
            "new can only append to block style; nothing was written. Change that, or add "
            f"this entry yourself:\n\n{plan.entry}"
        )
    try:
        with writing.undone_on_failure() as made:
            writing.create(plan.script, plan.text, made, runs=plan.script.suffix == ".sh")
            if plan.schema:
                writing.create(plan.schema, plan.draft, made)
            load(project.config, project.given, after)
            writing.replace(project.config, after)
    except OSError as error:
        where = Path(error.filename or project.config).absolute()
        where = where.relative_to(project.root) if where.is_relative_to(project.root) else where
        raise Trouble(f"{where} cannot be written: {error.strerror}") from None


def _next_steps(
    plan: Plan, sender: str | None, project: Context, url: str, sample: Sample | None
) -> Iterator[str]:
    yield f"{project.config.name}: {plan.path} was added"
    for file in (plan.script, plan.schema):
        if file:
            yield f"{file.relative_to(project.root)} was written"
    yield ""
    config = project.load()
    secrets = list(dict.fromkeys(re.findall(r"\$([A-Z][A-Z0-9_]*)", plan.auth)))
    lacking = config.hooks[plan.path].missing
    for line in switched_off(config, on_dyno=False):
        if line.startswith(f"{plan.path} is switched off: "):
            yield f"It needs its secret: {line.partition(' is switched off: ')[2]}"
    for name in secrets:
        if name not in lacking:
            where = "set" if name in project.given else "in .env"
            yield f"Secret: the value of {name} ({where} already)"
    yield from _on_its_side(SENDERS[sender] if sender else None, plan, url, secrets)
    yield "Start the server (make run); one that runs without --reload, start anew."
    tried = shlex.quote(route.NAME.sub(r"\1", plan.path))
    yield f"Then try it: python runner.py send {tried}"
    if plan.auth.startswith("{bearer:") and (sample is None or sample.file):
        yield f"Or: {_curl(secrets[0], tried, project, sample)}"


def _curl(secret: str, path: str, project: Context, sample: Sample | None) -> str:
    """The command that posts to a hook of this machine with a bearer token."""
    port = number(None, project.environ, "PORT", 5000, 0, 65535)
    value = f"${secret}" if secret in project.given else f"$(sed -n s/^{secret}=//p .env)"
    payload = f"@{sample.file}" if sample else "{}"
    return (
        f'curl -H "Authorization: Bearer {value}" --json {shlex.quote(payload)} '
        f"localhost:{port}{path}"
    )


def _on_its_side(sender: Sender | None, plan: Plan, url: str, secrets: list[str]) -> list[str]:
    place = url + plan.path
    if sender is None:
        return [f"Who posts to {place} adds the header Authorization: Bearer and that token."]
    steps = sender.steps.replace("`", "")
    steps = steps.replace("form /PATH", f"form {shlex.quote(plan.path)}")
    steps = steps.replace("HOST/PATH", place.partition("://")[2])
    steps = steps.replace(PLACEHOLDER, url).replace("<URL>", place)
    steps = steps.replace("<SECRET>", f"the value of {secrets[0]}" if secrets else "that secret")
    return textwrap.wrap(f"On {sender.title}'s side: {steps}", 100, break_on_hyphens=False)
