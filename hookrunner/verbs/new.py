"""Add a hook: an entry of hooks.yaml, a script to begin with, a schema drafted from a payload."""

from __future__ import annotations

import argparse
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hookrunner import jsontext, route
from hookrunner.auth.senders import SENDERS, Sender
from hookrunner.config import switched_off
from hookrunner.journal.reading import open_reader
from hookrunner.model import BadConfig, Json, Query, Refused, Trouble
from hookrunner.sections import hint
from hookrunner.verbs import terminal
from hookrunner.verbs.context import Context, brief, context

EXAMPLES = """
  python runner.py new /deploy --bash                     posted to with a bearer token
  python runner.py new /github --from github              signed by GitHub
  python runner.py new /orders --from shopify --sample order.json
"""

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MOST_VARIABLES = 8

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
    """What is to be written."""

    path: str
    auth: str
    script: Path
    text: str
    schema: Path | None
    draft: str
    env: Mapping[str, str]
    respond: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="/PATH", help="such as /deploy, or /deploy/<env>")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--python", action="store_true", help="a Python script (the default)")
    kinds.add_argument("--bash", action="store_true", help="a Bash script")
    parser.add_argument("--from", dest="sender", metavar="SENDER", help="who posts: see `senders`")
    parser.add_argument("--sample", metavar="FILE", help="a payload, to draft the schema from")
    parser.add_argument("--url", help="where your app is; Twilio's signature needs it")


def run(arguments: argparse.Namespace, given: Mapping[str, str]) -> int:
    project = context(arguments, given)
    plan = _plan(arguments, project)
    _write(plan, project)
    place = (arguments.url or "https://YOUR-APP.herokuapp.com").rstrip("/") + plan.path
    terminal.show(_next_steps(plan, arguments.sender, project, place))
    return 0


def _plan(arguments: argparse.Namespace, project: Context) -> Plan:
    path = arguments.path
    if not path.startswith("/"):
        raise Trouble(f"a path begins with '/', such as /{path[:60]}")
    if told := route.problem(path):
        raise Trouble(f"{path}: {told}")
    sample = _sample(arguments.sample, path, project)
    name = re.sub(r"[^a-z0-9]+", "_", re.sub(r"<[^>]*>", "", path).lower()).strip("_") or "root"
    script = project.root / "scripts" / f"{name}.{'sh' if arguments.bash else 'py'}"
    schema = project.root / "schemas" / f"{name}.json" if sample is not None else None
    for file in (script, schema):
        if file and file.exists():
            where = file.relative_to(project.root)
            raise Trouble(f"{where} is there already; move it away, or take another path")
    env = _variables(sample[0]) if sample is not None and arguments.bash else {}
    judged = f"It fits schemas/{name}.json." if schema else "No schema has looked at it."
    what = f"What {path} does"
    text = (
        BASH.format(what=what, schema=judged, shows=_shows(env))
        if arguments.bash
        else PYTHON.format(what=what, schema=judged)
    )
    draft = _draft(sample[0]) if sample is not None else ""
    respond = "accepted" if arguments.sender == "google-forms" else ""
    auth = _auth(arguments.sender, name, arguments.url)
    return Plan(path, auth, script, text, schema, draft, env, respond)


def _sample(name: str | None, path: str, project: Context) -> tuple[Json] | None:
    """The payload to draft from: of a file, or the newest that the path has had."""
    if name is None:
        return _newest(path, project)
    try:
        return (jsontext.read(Path(name).read_bytes()),)
    except OSError as error:
        raise Trouble(f"{name} cannot be read: {error.strerror}") from None
    except Refused as refused:
        raise Trouble(f"{name}: {refused.told}") from None


def _newest(path: str, project: Context) -> tuple[Json] | None:
    try:
        reader = open_reader(project.data)
    except Trouble:
        return None
    for run in reader.runs(Query(hook=path, most=1)):
        new = reader.recorded(run.run_id)
        try:
            return (jsontext.read(new.body),) if new else None
        except Refused:
            return None
    return None


def _auth(sender: str | None, name: str, url: str | None) -> str:
    if sender is None:
        return f"{{bearer: ${name.upper()}_TOKEN}}"
    if sender not in SENDERS:
        known = hint(sender, SENDERS) or "; python runner.py senders lists those that there are"
        raise Trouble(f"no sender is called {brief(sender)}{known}")
    example = SENDERS[sender].example
    if "https://YOUR-APP.herokuapp.com" in example:
        if not url:
            raise Trouble(f"{sender} signs the address that it posts to; give it: --url https://…")
        example = example.replace("https://YOUR-APP.herokuapp.com", url.rstrip("/"))
    return example


def _variables(sample: Json) -> dict[str, str]:
    """Variables for the plain values of a payload: what Bash can use without a JSON reader."""
    found: dict[str, str] = {}
    for name, value in sample.items() if isinstance(sample, dict) else ():
        variable = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")
        plain = isinstance(value, str | int | float | bool)
        if plain and re.fullmatch(r"[A-Z][A-Z0-9_]*", variable) and len(found) < MOST_VARIABLES:
            pointer = name.replace("~", "~0").replace("/", "~1")
            if not variable.startswith("HOOK_") and not set(pointer) & set('{}$"\\'):
                found.setdefault(variable, f"{{payload:/{pointer}}}")
    return found


def _shows(env: Mapping[str, str]) -> str:
    if not env:
        return 'echo "$payload"\n'
    return "".join(f'echo "{name} is ${name}"\n' for name in env)


def _draft(sample: Json) -> str:
    """A JSON Schema that the sample fits, and others like it."""
    from genson import SchemaBuilder  # imported late: only who drafts needs it

    builder = SchemaBuilder(schema_uri=DIALECT)
    builder.add_object(sample)
    schema = {**builder.to_schema(), "examples": [sample]}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _entry(plan: Plan) -> str:
    lines = [f"{plan.path}:", f"  script: {plan.script.name}", f"  auth: {plan.auth}"]
    if plan.schema:
        lines.append(f"  schema: {plan.schema.name}")
    if plan.respond:
        lines.append(f"  respond: {plan.respond}")
    if plan.env:
        lines += ["  env:", *(f'    {name}: "{text}"' for name, text in plan.env.items())]
    return "\n".join(lines) + "\n"


def _write(plan: Plan, project: Context) -> None:
    """Write all of it, or nothing. Raises Trouble, BadConfig."""
    before = project.config.read_bytes() if project.config.exists() else b""
    if re.search(rf"^{re.escape(plan.path)}\s*:", before.decode("utf-8", "replace"), re.MULTILINE):
        raise Trouble(f"{plan.path} is in {project.config.name} already")
    made: list[Path] = []
    try:
        for file, text in ((plan.script, plan.text), (plan.schema, plan.draft)):
            if file:
                file.parent.mkdir(exist_ok=True)
                file.write_text(text, encoding="utf-8")
                made.append(file)
        if plan.script.suffix == ".sh":
            plan.script.chmod(0o755)
        gap = b"" if not before else b"\n" if before.endswith(b"\n") else b"\n\n"
        project.config.write_bytes(before + gap + _entry(plan).encode())
        project.load()
    except (OSError, BadConfig) as error:
        for file in made:
            file.unlink(missing_ok=True)
        if before:
            project.config.write_bytes(before)
        else:
            project.config.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise Trouble(f"{error.filename} cannot be written: {error.strerror}") from None
        raise


def _next_steps(plan: Plan, sender: str | None, project: Context, place: str) -> Iterator[str]:
    yield f"{project.config.name}: {plan.path} was added"
    for file in (plan.script, plan.schema):
        if file:
            yield f"{file.relative_to(project.root)} was written"
    yield ""
    lacking = [
        line
        for line in switched_off(project.load(), on_dyno=False)
        if line.startswith(f"{plan.path} is switched off: ")
    ]
    for line in lacking:
        yield f"It needs its secret: {line.partition(' is switched off: ')[2]}"
    yield from _on_its_side(SENDERS[sender] if sender else None, place)
    yield "Start the server (make run); one that runs without --reload, start anew."
    yield f"Then try it: python runner.py send {plan.path}"


def _on_its_side(sender: Sender | None, place: str) -> list[str]:
    if sender is None:
        return [f"Who posts to {place} adds the header Authorization: Bearer and that token."]
    steps = sender.steps.replace("`", "").replace("<URL>", place).replace("<SECRET>", "that secret")
    return textwrap.wrap(f"On {sender.title}'s side: {steps}", 100, break_on_hyphens=False)
