"""Show all of a run: its payload, its attempts, and what they printed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from functools import partial

from hookrunner import telling
from hookrunner.model import Json, Trouble
from hookrunner.verbs import terminal
from hookrunner.verbs.context import context
from hookrunner.verbs.logs import lines_of
from hookrunner.verbs.runs import when
from hookrunner.verbs.source import Source, add_url, find, source

STREAMS = {"stdout": "|", "stderr": "!"}
"""What a script prints to, each with its sign."""

BEYOND = 10**14
"""A place that no output reaches."""

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
    if arguments.json and arguments.payload:
        raise Trouble("say --json or --payload, not both")
    runs = source(arguments, context(arguments, given))
    whole = runs.whole(find(runs, arguments.id), exact=arguments.payload)
    if arguments.payload:
        terminal.show_raw(telling.body_of(whole["request"]["body"]))
    elif arguments.json:
        attempts = [*map(partial(_full, runs, whole), whole["attempts"])]
        terminal.show_json({**whole, "attempts": attempts})
    else:
        terminal.show(_lines(whole, runs))
    return 0


def _full(runs: Source, whole: Mapping[str, Json], attempt: Mapping[str, Json]) -> dict[str, Json]:
    """The attempt with all that it has printed."""
    texts = {stream: "".join(_pieces(runs, whole, attempt, stream)) for stream in STREAMS}
    return {**attempt, **texts, "cut": False}


def _pieces(
    runs: Source, whole: Mapping[str, Json], attempt: Mapping[str, Json], stream: str
) -> Iterator[str]:
    """What the attempt has printed, a piece after the other."""
    if not attempt["cut"]:
        yield attempt[stream]
        return
    place, end = 0, 1
    while place < end:
        places = {name: place if name == stream else BEYOND for name in STREAMS}
        printed = runs.printed(whole["run"], attempt["number"], **places)["printed"]
        if printed is None or printed[f"{stream}_next"] == place:
            return
        yield printed[stream]
        place, end = printed[f"{stream}_next"], printed[f"{stream}_end"]


def _lines(whole: Mapping[str, Json], runs: Source) -> Iterator[str]:
    request = whole["request"]
    yield terminal.line(f"run       {whole['run']}")
    yield terminal.line(f"hook      {whole['hook']}")
    yield terminal.line("state     ", terminal.coloured(whole["state"]))
    yield terminal.line(f"recorded  {when(whole['recorded_at'])} UTC")
    for name, title in (("ended_at", "ended"), ("due", "due")):
        if whole[name] and not (name == "due" and whole["state"] == "running"):
            yield terminal.line(f"{title.ljust(9)} {when(whole[name])} UTC")
    for name, title in (("event", "event"), ("delivery", "delivery"), ("replaces", "replaces")):
        if whole[name]:
            yield terminal.line(f"{title.ljust(9)} {whole[name]}")
    query = f"?{request['query']}" if request["query"] else ""
    came = f"{request['method']} {request['path']}{query} from {request['remote_addr']}"
    yield terminal.line(f"request   {came}")
    yield terminal.line(f"payload   {request['content_type'] or 'none'}")
    yield from (terminal.line(f"    {each}") for each in _payload(request))
    for attempt in whole["attempts"]:
        yield ""
        begun = f"attempt {attempt['number']}, begun {when(attempt['started_at'])} UTC: "
        yield terminal.line(begun, _ended(attempt))
        for stream, sign in STREAMS.items():
            for piece in _pieces(runs, whole, attempt, stream):
                for each in lines_of(piece):
                    yield terminal.line(f"    {sign} ", terminal.printed(each))


def _payload(request: Mapping[str, Json]) -> list[str]:
    body = request["body"]
    if "base64" in body:
        return [f"{len(telling.body_of(body))} bytes that are no text"]
    try:
        text = json.dumps(json.loads(body["text"]), ensure_ascii=False, indent=2)
    except ValueError:
        text = body["text"]
    return lines_of(text)


def _ended(attempt: Mapping[str, Json]) -> str:
    outcome = attempt["outcome"]
    if outcome is None:
        return "it runs"
    return f"{outcome['state']} in {outcome['seconds']:g}s: {outcome['detail']}"
