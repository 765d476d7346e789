"""Show all of a run: its payload, its attempts, and what they printed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping

from hookrunner import telling
from hookrunner.model import Json
from hookrunner.verbs import terminal
from hookrunner.verbs.context import context
from hookrunner.verbs.runs import when
from hookrunner.verbs.source import add_url, find, source

EXAMPLES = """
  python runner.py show k3x9          the run whose id begins or ends so
  python runner.py show k3x9 --payload > payload.json    its payload alone, byte for byte
  python runner.py show k3x9 --json   for a program to read
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="of the run: how it begins or ends will do")
    parser.add_argument("--payload", action="store_true", help="print the payload and nothing else")
    add_url(parser)
    terminal.add_json(parser)


def run(arguments: argparse.Namespace, given: Mapping[str, str]) -> int:
    runs = source(arguments, context(arguments, given))
    whole = runs.whole(find(runs, arguments.id))
    if arguments.payload:
        sys.stdout.buffer.write(telling.body_of(whole["request"]["body"]))
        sys.stdout.buffer.flush()
    elif arguments.json:
        terminal.show_json(whole)
    else:
        terminal.show(_lines(whole))
    return 0


def _lines(whole: Mapping[str, Json]) -> Iterator[str]:
    request = whole["request"]
    yield f"run       {whole['run']}"
    yield f"hook      {whole['hook']}"
    yield f"state     {terminal.coloured(whole['state'])}"
    yield f"recorded  {when(whole['recorded_at'])}"
    for name, title in (("ended_at", "ended"), ("due", "due")):
        if whole[name] and not (name == "due" and whole["state"] == "running"):
            yield f"{title.ljust(9)} {when(whole[name])}"
    for name, title in (("event", "event"), ("delivery", "delivery"), ("replaces", "replaces")):
        if whole[name]:
            yield f"{title.ljust(9)} {whole[name]}"
    query = f"?{request['query']}" if request["query"] else ""
    yield f"request   {request['method']} {request['path']}{query} from {request['remote_addr']}"
    yield f"payload   {request['content_type'] or 'none'}"
    yield from (f"    {line}" for line in _payload(request))
    for attempt in whole["attempts"]:
        yield ""
        yield f"attempt {attempt['number']}, begun {when(attempt['started_at'])}: {_ended(attempt)}"
        yield from (f"    | {line}" for line in attempt["stdout"].splitlines())
        yield from (f"    ! {line}" for line in attempt["stderr"].splitlines())


def _payload(request: Mapping[str, Json]) -> list[str]:
    body = request["body"]
    if "base64" in body:
        return [f"{len(telling.body_of(body))} bytes that are no text"]
    try:
        text = json.dumps(json.loads(body["text"]), ensure_ascii=False, indent=2)
    except ValueError:
        text = body["text"]
    return text.splitlines()


def _ended(attempt: Mapping[str, Json]) -> str:
    outcome = attempt["outcome"]
    if outcome is None:
        return "it runs"
    return f"{outcome['state']} in {outcome['seconds']:g}s: {outcome['detail']}"
