"""Post to a hook as its sender would, and show what comes of it."""

from __future__ import annotations

import argparse
import json
import re
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from http.client import responses
from pathlib import Path
from queue import Empty, SimpleQueue
from urllib.parse import urlencode

from hookrunner import form, jsontext, madeup, route
from hookrunner.auth.outgoing import CannotSign, prove
from hookrunner.config import Config, switched_off
from hookrunner.front import ADDRESS
from hookrunner.model import Delivery, Hook, Query, Refused, State, Trouble
from hookrunner.sections import hint
from hookrunner.verbs import terminal
from hookrunner.verbs.context import Context, brief, context, number
from hookrunner.verbs.logs import Shown, lines_of
from hookrunner.verbs.remote import (
    AT_ONCE,
    FIELD,
    NAME,
    UNSENDABLE,
    Missing,
    Server,
    elsewhere,
    wire,
)
from hookrunner.verbs.source import Source, local, near

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

LARGEST = 16 * 1024 * 1024
"""Bytes of an answer that are shown."""

INTERRUPTED = 130
"""The exit status of who was ended by Ctrl-C, as shells have it."""

NO_SERVER = "no server runs here; start it: make run (or name one: --url https://…)"

RUN_ID = re.compile(r"[a-z2-7]{20}")


@dataclass(frozen=True, slots=True)
class Sent:
    """What came back: the status, the run if there is one, and how long it took in seconds."""

    status: int
    body: bytes
    run_id: str
    seconds: float
    elsewhere: str = ""
    cut: bool = False


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
    server = _server(arguments, project)
    delivery = _delivery(arguments, hook, project)
    if arguments.rate and not arguments.repeat:
        raise Trouble("--rate goes with --repeat")
    try:
        if arguments.repeat:
            return _many(arguments, hook, delivery, server)
        sent = _send(server, hook, delivery)
    except Missing:
        if arguments.url:
            raise
        raise Trouble(NO_SERVER) from None
    _show(sent)
    terminal.complain(_hints(sent, hook, here=not arguments.url))
    if not sent.run_id:
        return int(sent.status >= 300)
    return _watch(sent, server, project, here=not arguments.url)


def _hook(path: str, config: Config, project: Context) -> Hook:
    found = route.find(path, config.hooks) if path.startswith("/") else None
    if found is None:
        meant = hint(f"/{path.lstrip('/')}", config.hooks)
        raise Trouble(
            f"no hook is at {brief(path)}{meant or '; there are ' + ', '.join(config.hooks)}"
        )
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
    named = dict(_header(each) for each in arguments.header)
    kind = JSON
    if arguments.form is not None:
        fields = [_pair(each, "=", "--form") for each in arguments.form]
        body = urlencode(fields, errors="surrogateescape").encode()
        kind = form.TYPE
    elif arguments.file is not None:
        body = _file(arguments.file)
    elif arguments.payload is not None:
        body = _json(arguments.payload.encode("utf-8", "surrogateescape"), "--data")
    else:
        body, kind = _newest(hook, project) or _made_up(hook)
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


def _header(text: str) -> tuple[str, str]:
    name, value = _pair(text, ":", "--header")
    value = wire(value.strip(" \t"))
    if not NAME.fullmatch(name) or not FIELD.fullmatch(value):
        raise Trouble(f"--header {brief(text)} cannot be sent: its name is letters, digits and -, "
                      "and its value has no control characters")  # fmt: skip
    return name.lower(), value


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
        reader = local(project).reader
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


def _server(arguments: argparse.Namespace, project: Context) -> Server:
    """The server that is named, or this machine's."""
    if arguments.url:
        return Server(arguments.url, "")
    if url := near(project):
        return Server(url, "", named=str(project.data / ADDRESS))
    port = number(None, project.environ, "PORT", 5000, 1, 65535)
    return Server(f"http://127.0.0.1:{port}", "", named="PORT")


def _send(server: Server, hook: Hook, delivery: Delivery) -> Sent:
    proven = _proven(hook, delivery)
    for name, value in proven.headers.items():
        if not FIELD.fullmatch(value):
            raise Trouble(f"the secret of {hook.path} cannot be sent as {name}: {UNSENDABLE}")
    path = proven.path + (f"?{proven.query}" if proven.query else "")
    began = time.perf_counter()
    answer = server.request(proven.method, path, proven.headers, proven.body, LARGEST)
    took = time.perf_counter() - began
    run_id = answer.headers.get("Hook-Run", "")
    return Sent(
        answer.status,
        answer.body,
        run_id if RUN_ID.fullmatch(run_id) else "",  # it becomes part of an address
        took,
        elsewhere(answer) if 300 <= answer.status < 400 else "",
        answer.cut,
    )


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
    terminal.show(terminal.line(each) for each in lines_of(text))


def _hints(sent: Sent, hook: Hook, *, here: bool) -> Iterator[str]:
    """What may be behind an answer."""
    if sent.cut:
        yield f"the answer goes on; these are its first {len(sent.body)} bytes"
    if sent.status == 404 and here:
        yield (
            f"the server that runs does not know {hook.path} yet: start it anew, "
            "or run it with --reload"
        )
    if sent.status == 401 and hook.auth:
        yield (
            "it was signed with the secret that is set here; the server has another if it was "
            "set, or .env changed, since it was started"
        )
    if sent.status == 200 and b'"status": "ignored"' in sent.body[:100]:
        yield f"what `when` of {hook.path} asks for was not met; try --header or other --data"
    if sent.elsewhere:
        yield f"the server answered {sent.status}{sent.elsewhere}"


def _watch(sent: Sent, server: Server, project: Context, *, here: bool) -> int:
    """Show the run's log as it grows, and its end; 1 if it has failed."""
    runs = _source(server, project, here=here)
    if runs is None:
        mend = "name it with https://" if project.environ.get("ADMIN_TOKEN") else "set ADMIN_TOKEN"
        terminal.show([f"run {sent.run_id}; {mend} to see what it prints"])
        return int(sent.status >= 400)
    shown = Shown(runs, [sent.run_id])
    terminal.show(["", f"run {sent.run_id}"])
    give_up = time.monotonic() + LONGEST
    while True:
        terminal.show(shown.news())
        if not shown.unended or time.monotonic() > give_up:
            break
        time.sleep(0.1)
    return int(shown.states.get(sent.run_id) != State.SUCCEEDED)


def _source(server: Server, project: Context, *, here: bool) -> Source | None:
    """Who can tell of the run: this machine's journal, or the server if we are trusted."""
    if here:
        return local(project)
    token = project.environ.get("ADMIN_TOKEN", "")
    known = Server(server.url, token)
    return known if token and known.trusted else None


def _many(arguments: argparse.Namespace, hook: Hook, delivery: Delivery, server: Server) -> int:
    """Send it again and again, and sum up; 1 if any was refused."""
    count = number(arguments.repeat, {}, "REPEAT", 1, 1, 1_000_000)
    rate = _rate(arguments.rate)
    began = time.perf_counter()
    asked: SimpleQueue[int] = SimpleQueue()
    done: SimpleQueue[Sent | Exception] = SimpleQueue()

    def send_for_ever() -> None:
        while True:
            try:
                sent = _send(server, hook, _another(delivery, asked.get()))
                done.put(replace(sent, body=b""))
            except Exception as error:
                done.put(error)

    for _ in range(min(AT_ONCE, count)):
        # Daemons: who presses Ctrl-C is not to wait for those that are under way.
        threading.Thread(target=send_for_ever, daemon=True).start()
    sent: list[Sent] = []
    status = 0
    try:
        for each in terminal.progress(_paced(count, rate, asked, done), count):
            if isinstance(each, Exception):
                raise each
            sent.append(each)
    except KeyboardInterrupt:
        status = INTERRUPTED
    finally:
        if sent:
            terminal.show(_summary(sent, time.perf_counter() - began))
    return status or int(any(each.status >= 300 for each in sent))


def _rate(text: str | None) -> float:
    """How many a second; 0 for as many as may be. Raises Trouble."""
    if text is None:
        return 0.0
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) or not 0 < float(text) <= 100_000:
        raise Trouble(f"--rate must be a number above 0, to 100000, not {brief(text)}")
    return float(text)


def _paced(
    count: int, rate: float, asked: SimpleQueue[int], done: SimpleQueue[Sent | Exception]
) -> Iterator[Sent | Exception]:
    """What comes back, as it does; few are asked for ahead, and none before its time."""
    began, out, back = time.perf_counter(), 0, 0
    while back < count:
        wait = None
        if out < count and out - back < 2 * AT_ONCE:
            wait = began + out / rate - time.perf_counter() if rate else 0.0
            if wait <= 0:
                asked.put(out)
                out += 1
                continue
        with suppress(Empty):
            each = done.get(timeout=wait)
            back += 1
            yield each


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
    cuts = statistics.quantiles(took, n=100, method="inclusive") if took[1:] else took * 99
    yield (
        f"ms        p50 {cuts[49]:.1f}, p90 {cuts[89]:.1f}, p99 {cuts[98]:.1f}, max {took[-1]:.1f}"
    )
