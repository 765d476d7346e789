"""Post to a hook as its sender would, and show what comes of it."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from http.client import responses
from pathlib import Path
from urllib.parse import urlencode

from hookrunner import form, jsontext, madeup, route
from hookrunner.app import ADDRESS
from hookrunner.auth.outgoing import CannotSign, prove
from hookrunner.config import Config, switched_off
from hookrunner.journal.reading import open_reader
from hookrunner.model import Delivery, Hook, Query, Refused, Trouble
from hookrunner.verbs import terminal
from hookrunner.verbs.context import Context, brief, context, number
from hookrunner.verbs.logs import Shown
from hookrunner.verbs.remote import Server
from hookrunner.verbs.source import Local, Source

EXAMPLES = """
  python runner.py send /hello --data '{"name": "Robert"}'
  python runner.py send /hello --form name=Robert
  python runner.py send /github --file push.json --header X-GitHub-Event:push
  python runner.py send /hello                       its newest payload again, or a made-up one
  python runner.py send /hello --url https://YOUR-APP.herokuapp.com
  python runner.py send /hello --repeat 100 --rate 20
"""

JSON = "application/json"
LONGEST = 600.0
"""Seconds that a run is watched."""

AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Sent:
    """What came back: the status, the run if there is one, and how long it took in seconds."""

    status: int
    body: bytes
    run_id: str
    seconds: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="/PATH", help="of the hook; with values for its <names>")
    parser.add_argument("--data", dest="payload", metavar="JSON", help="the payload")
    parser.add_argument("--file", metavar="FILE", help="a file with the payload: JSON")
    parser.add_argument(
        "--form", metavar="NAME=VALUE", action="append", help="a field of a form; any number"
    )
    parser.add_argument(
        "--header", metavar="NAME:VALUE", action="append", default=[], help="a header; any number"
    )
    parser.add_argument("--url", help="where the server is; default this machine's")
    parser.add_argument("--repeat", metavar="N", help="send it so often, and sum up")
    parser.add_argument("--rate", metavar="N", help="so many a second; default as fast as may be")


def run(arguments: argparse.Namespace, given: Mapping[str, str]) -> int:
    project = context(arguments, given)
    config = project.load()
    hook = _hook(arguments.path, config, project)
    delivery = _delivery(arguments, hook, project)
    server = Server(arguments.url or _near(project), "")
    if arguments.repeat:
        return _many(arguments, hook, delivery, server)
    sent = _send(server, hook, delivery)
    _show(sent)
    if not sent.run_id:
        return int(sent.status >= 400)
    return _watch(sent, server, project, here=not arguments.url)


def _hook(path: str, config: Config, project: Context) -> Hook:
    found = route.find(path, config.hooks) if path.startswith("/") else None
    if found is None:
        known = ", ".join(config.hooks)
        raise Trouble(f"no hook is at {brief(path)}; there are {known}")
    hook = found[0]
    if hook.missing:
        told = [
            line
            for line in switched_off(config, on_dyno=False)
            if line.startswith(f"{hook.path} is switched off")
        ]
        raise Trouble("\n".join(told))
    return hook


def _delivery(arguments: argparse.Namespace, hook: Hook, project: Context) -> Delivery:
    """What is to be posted, without a proof."""
    if sum(each is not None for each in (arguments.payload, arguments.file, arguments.form)) > 1:
        raise Trouble("give one of --data, --file and --form")
    kind = JSON
    if arguments.form is not None:
        body = urlencode([_pair(each, "=", "--form") for each in arguments.form]).encode()
        kind = form.TYPE
    elif arguments.file is not None:
        body = _file(arguments.file)
    elif arguments.payload is not None:
        body = _json(arguments.payload.encode("utf-8", "surrogateescape"), "--data")
    else:
        body, kind = _newest(hook, project) or _made_up(hook)
    headers = dict(_pair(each, ":", "--header") for each in arguments.header)
    named = {name.lower(): value.strip() for name, value in headers.items()}
    method, query = hook.methods[0], ""
    if "POST" in hook.methods:
        method = "POST"
    elif method == "GET":
        query = body.decode() if kind == form.TYPE else _as_query(body)
        body = b""
    typed = {"content-type": kind} if body else {}
    return Delivery(method, arguments.path, query, {**typed, **named}, body, "")


def _pair(text: str, sign: str, flag: str) -> tuple[str, str]:
    name, found, value = text.partition(sign)
    if not found or not name:
        raise Trouble(f"{flag} must be NAME{sign}VALUE, not {brief(text)}")
    return name, value


def _file(name: str) -> bytes:
    try:
        return _json(Path(name).read_bytes(), name)
    except OSError as error:
        raise Trouble(f"{name} cannot be read: {error.strerror}") from None


def _json(body: bytes, what: str) -> bytes:
    try:
        jsontext.read(body)
    except Refused as refused:
        raise Trouble(f"{what}: {refused.told}") from None
    return body


def _as_query(body: bytes) -> str:
    value = json.loads(body)
    return urlencode(value if isinstance(value, dict) else {}, doseq=True)


def _newest(hook: Hook, project: Context) -> tuple[bytes, str] | None:
    """The hook's newest payload, if this machine's journal has one."""
    try:
        reader = open_reader(project.data)
    except Trouble:
        return None
    for run in reader.runs(Query(hook=hook.path, most=1)):
        new = reader.recorded(run.run_id)
        if new and new.body:
            terminal.complain([f"the payload is that of run {run.run_id}"])
            return new.body, new.content_type
    return None


def _made_up(hook: Hook) -> tuple[bytes, str]:
    value, misfit = madeup.payload(hook.schema, hook.auth[0].name if hook.auth else "")
    if misfit:
        raise Trouble(
            f"no payload could be made up that fits the schema: {misfit}; give one: --data '…'"
        )
    terminal.complain(["the payload is made up" + (" to fit the schema" if hook.schema else "")])
    return json.dumps(value, ensure_ascii=False).encode(), JSON


def _near(project: Context) -> str:
    """Where the server of this machine is."""
    try:
        return (project.data / ADDRESS).read_text().strip()
    except OSError:
        return f"http://127.0.0.1:{number(None, project.environ, 'PORT', 5000, 0, 65535)}"


def _send(server: Server, hook: Hook, delivery: Delivery) -> Sent:
    proven = _proven(hook, delivery)
    path = proven.path + (f"?{proven.query}" if proven.query else "")
    began = time.perf_counter()
    answer = server.request(proven.method, path, proven.headers, proven.body)
    took = time.perf_counter() - began
    return Sent(answer.status, answer.data, answer.headers.get("Hook-Run", ""), took)


def _proven(hook: Hook, delivery: Delivery) -> Delivery:
    """With the proof of the first of the hook's schemes that can be played."""
    told = []
    for scheme in hook.auth:
        try:
            return prove(scheme, delivery, time.time())
        except CannotSign as error:
            told.append(str(error))
    if told:
        raise Trouble(
            f"{'; '.join(told)}; to try the hook, let somebody else post to it, too: "
            f"auth: [{{{hook.auth[0].name}: …}}, {{bearer: $TRY_TOKEN}}]"
        )
    return delivery


def _show(sent: Sent) -> None:
    phrase = responses.get(sent.status, "")
    terminal.show([f"{sent.status} {phrase} in {sent.seconds * 1000:.0f} ms"])
    text = sent.body.decode("utf-8", "replace").rstrip("\n")
    terminal.show(text.splitlines())


def _watch(sent: Sent, server: Server, project: Context, *, here: bool) -> int:
    """Show the run's log as it grows, and its end; 1 if it has failed."""
    runs = _source(server, project, here=here)
    if runs is None:
        terminal.show([f"run {sent.run_id}; set ADMIN_TOKEN to see what it prints"])
        return int(sent.status >= 400)
    shown = Shown(runs, [sent.run_id])
    terminal.show(["", f"run {sent.run_id}"])
    give_up = time.monotonic() + LONGEST
    while True:
        terminal.show(shown.news())
        if not shown.unended or time.monotonic() > give_up:
            break
        time.sleep(0.1)
    state = runs.whole(sent.run_id)["state"]
    return int(state != "succeeded")


def _source(server: Server, project: Context, *, here: bool) -> Source | None:
    """Who can tell of the run: this machine's journal, or the server if we are trusted."""
    if here:
        return Local(project, open_reader(project.data))
    token = project.environ.get("ADMIN_TOKEN", "")
    return Server(server.url, token) if token else None


def _many(arguments: argparse.Namespace, hook: Hook, delivery: Delivery, server: Server) -> int:
    """Send it again and again, and sum up; 1 if any was refused."""
    count = number(arguments.repeat, {}, "REPEAT", 1, 1, 1_000_000)
    rate = number(arguments.rate, {}, "RATE", 0, 0, 100_000)
    began = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asked: list[Future[Sent]] = []
        for place in range(count):
            if rate:
                time.sleep(max(0.0, began + place / rate - time.perf_counter()))
            asked.append(pool.submit(_send, server, hook, _another(delivery, place)))
        sent = [future.result() for future in terminal.progress(asked)]
    terminal.show(_summary(sent, time.perf_counter() - began))
    return int(any(each.status >= 400 for each in sent))


def _another(delivery: Delivery, place: int) -> Delivery:
    """The delivery with an id of its own where senders give one, so that it is no repeat."""
    return replace(delivery, headers={**delivery.headers, "x-send-number": str(place)}, notes={})


def _summary(sent: Sequence[Sent], seconds: float) -> Iterator[str]:
    statuses = Counter(each.status for each in sent)
    yield f"{len(sent)} sent in {seconds:.2f} s, {len(sent) / seconds:.0f} a second"
    yield "answers   " + ", ".join(f"{n} × {status}" for status, n in sorted(statuses.items()))
    runs = {each.run_id for each in sent if each.run_id}
    yield f"runs      {len(runs)}"
    took = sorted(each.seconds * 1000 for each in sent)
    cuts = statistics.quantiles(took, n=100) if len(took) > 1 else took * 99
    yield (
        f"ms        p50 {cuts[49]:.1f}, p90 {cuts[89]:.1f}, p99 {cuts[98]:.1f}, max {took[-1]:.1f}"
    )
