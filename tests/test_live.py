"""Output that is watched while it is printed: real listeners, over HTTP."""

from __future__ import annotations

import http.client
import json
import queue
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from hookrunner import live as module
from hookrunner.journal.sqlite import SqliteJournal
from hookrunner.live import MOST_LISTENERS, Live, Place, place, ready
from hookrunner.mask import Masker
from tests.serving import SECONDS, Project, Server, wait_until
from tests.test_journal import claimed, made

TOKEN = "an-administrators-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
SECRET = "It's a Secret to Everybody"
HOOKS = """
/steps:
  script: steps.sh
  auth: none
  respond: accepted
/much:
  script: much.py
  auth: none
  respond: accepted
  max_output: 100KB
/retried:
  script: retried.sh
  auth: none
  respond: accepted
  retry: {attempts: 2, delay: 1s}
/halves:
  script: halves.py
  auth: none
  respond: accepted
  max_output: 100B
/signed:
  script: steps.sh
  auth: {github: $SECRET}
"""
# Each step waits until it is let go on.
STEPS = f"""
echo "one <b> {SECRET}"; echo alas >&2
until [ -e go-2 ]; do sleep 0.02; done
echo two
until [ -e go-3 ]; do sleep 0.02; done
echo three
"""
RETRIED = """
echo "attempt $HOOK_ATTEMPT"
until [ -e go-$((HOOK_ATTEMPT + 1)) ]; do sleep 0.02; done
exit 1
"""
MUCH = """
import pathlib, time
print(("x" * 63 + "\\n") * 1120 + "first", flush=True)
while not pathlib.Path("go-2").exists(): time.sleep(0.02)
print(("y" * 63 + "\\n") * 16384 + "last", flush=True)
while not pathlib.Path("go-3").exists(): time.sleep(0.02)
"""

# The first half of a secret waits for its second one, at the end of the head; and then no
# more than the ends are kept.
HALVES = f"""
import pathlib, time
print("x" * 35, end="{SECRET[:15]}", flush=True)
print("aside", flush=True, file=__import__("sys").stderr)
while not pathlib.Path("go-2").exists(): time.sleep(0.02)
print("{SECRET[15:]}" + "y" * 500 + "{SECRET}", end="z" * 40, flush=True)
while not pathlib.Path("go-3").exists(): time.sleep(0.02)
"""


@dataclass
class Event:
    name: str
    id: str
    html: str


class Listener:
    """An EventSource, as simple as can be."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.answer = answer
        self.seen: list[Event] = []

    def until(self, part: str) -> Event:
        """The first event that shows this, or has this name."""
        while True:
            event = self.next()
            if part in event.html or part == event.name:
                return event

    def next(self) -> Event:
        fields: dict[str, str] = {}
        while True:
            line = self.answer.readline().decode()
            assert line, f"it ended; seen was {self.seen}"
            name, _, value = line.rstrip("\n").partition(": ")
            if name:
                fields[name] = value
            elif "data" in fields:
                html = unescape(json.loads(fields["data"]).get("html", ""))
                self.seen.append(Event(fields["event"], fields["id"], html))
                return self.seen[-1]
            else:
                fields.clear()


@contextmanager
def listening(server: Server, run_id: str, start: str = "1.0.0", **more: str) -> Iterator[Any]:
    """An answer to somebody who listens."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
    headers = {**BEARER, **{name.replace("_", "-"): value for name, value in more.items()}}
    connection.request("GET", f"/-/runs/{run_id}/live?from={start}", headers=headers)
    answer = connection.getresponse()
    try:
        yield answer
    finally:
        answer.close()
        connection.close()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project").hooks(HOOKS)
    project.script("retried.sh", RETRIED).script("halves.py", HALVES)
    return project.script("steps.sh", STEPS).script("much.py", MUCH)


@pytest.fixture
def server(project: Project) -> Iterator[Server]:
    with project.serve(ADMIN_TOKEN=TOKEN, SECRET=SECRET) as server:
        yield server


def begun(server: Server, hook: str = "/steps") -> str:
    """The id of a run whose script has been started."""
    run_id = str(server.post(hook, "{}", Content_Type="application/json").json["run"])
    wait_until(lambda: server.state(run_id)["state"] == "running", "a start")
    return run_id


def go(project: Project, step: int) -> None:
    (project.folder / f"go-{step}").touch()


def test_lines_come_before_the_script_ends_and_then_the_end(
    project: Project, server: Server
) -> None:
    run_id = begun(server)
    with listening(server, run_id) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/event-stream"
        listener = Listener(answer)

        listener.until("one")
        assert server.state(run_id)["state"] == "running"
        go(project, 2)
        listener.until("two")
        assert server.state(run_id)["state"] == "running"
        go(project, 3)
        listener.until("end")
        assert answer.read() == b""

    out = "".join(event.html for event in listener.seen if event.name == "out")
    err = "".join(event.html for event in listener.seen if event.name == "err")
    assert re.sub(r"<span[^>]*>|</span>", "", out) == "one <b> ****\ntwo\nthree\n"
    assert err.strip() == "alas"


def test_whoever_comes_back_goes_on_from_where_it_was(project: Project, server: Server) -> None:
    run_id = begun(server)
    with listening(server, run_id) as answer:
        seen = Listener(answer).until("one")
    go(project, 2)
    go(project, 3)
    with listening(server, run_id, Last_Event_ID=seen.id) as answer:
        listener = Listener(answer)
        listener.until("end")

    out = "".join(event.html for event in listener.seen if event.name == "out")
    assert out == "two\nthree\n"


def test_who_comes_when_all_is_over_hears_the_end(project: Project, server: Server) -> None:
    go(project, 2)
    go(project, 3)
    run_id = str(server.post("/steps", "{}", Content_Type="application/json").json["run"])
    server.wait_until_over(run_id)

    with listening(server, run_id) as answer:
        listener = Listener(answer)
        listener.until("end")

    assert "three" in "".join(event.html for event in listener.seen)


def test_who_watches_an_attempt_that_failed_is_led_to_the_next_one(
    project: Project, server: Server
) -> None:
    run_id = begun(server, "/retried")
    with listening(server, run_id) as answer:
        listener = Listener(answer)
        listener.until("attempt 1")
        go(project, 2)
        listener.until("end")

    def page() -> str:
        return server.get(f"/-/runs/{run_id}", Accept="text/html", **BEARER).body.decode()

    wait_until(lambda: 'data-from="2.' in page(), "a page of the second attempt")
    with listening(server, run_id, "2.0.0") as answer:
        listener = Listener(answer)
        listener.until("attempt 2")
        go(project, 3)
        listener.until("end")

    assert server.state(run_id)["state"] == "failed"


def test_what_is_left_out_is_marked(project: Project, server: Server) -> None:
    run_id = begun(server, "/much")
    with listening(server, run_id) as answer:
        listener = Listener(answer)
        listener.until("first")
        go(project, 2)
        event = listener.until("bytes left out")
        last = event if "last" in event.html else listener.until("last")
        go(project, 3)
        listener.until("end")

    total = 70 * 1024 + len("first\n") + 1024 * 1024 + len("last\n")
    assert last.id == f"1.{total}.0"


def test_only_so_many_listen_and_the_page_is_there_all_the_same(
    project: Project, server: Server
) -> None:
    assert MOST_LISTENERS == 4
    run_id = begun(server)
    with ExitStack() as listeners:
        for _ in range(MOST_LISTENERS - 1):
            assert listeners.enter_context(listening(server, run_id)).status == 200
        with listening(server, run_id) as last:
            assert last.status == 200
            with listening(server, run_id) as one_more:
                assert one_more.status == 503
                assert int(one_more.headers["Retry-After"]) > 0
            assert server.get(f"/-/runs/{run_id}", Accept="text/html", **BEARER).status == 200

        def is_free() -> bool:
            with listening(server, run_id) as answer:
                return int(answer.status) == 200

        wait_until(is_free, "a place of who has gone")


def test_who_does_not_read_is_hung_up_on_and_nobody_else_waits(
    project: Project, server: Server
) -> None:
    project.script(
        "much.py", 'import time; print(("<" * 99 + "\\n") * 40_000, flush=True); time.sleep(600)'
    )
    project.hooks(HOOKS.replace("max_output: 100KB", "max_output: 50MB"))
    server.process.send_signal(1)
    server.wait_for_line("was reloaded")
    run_id = begun(server, "/much")
    with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as idle:
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        idle.sendall(
            f"GET /-/runs/{run_id}/live?from=1.0.0 HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {TOKEN}\r\n\r\n".encode()
        )

        server.wait_for_line("it listens, and does not read", 60)
        assert server.get("/-/health").status == 200
    server.post(f"/-/runs/{run_id}/cancel", **BEARER)


def test_a_stop_waits_for_nobody_who_listens(project: Project, server: Server) -> None:
    go(project, 2)
    run_id = begun(server)
    with listening(server, run_id) as answer:
        listener = Listener(answer)
        listener.until("two")
        go(project, 3)
        assert server.stop() == 0


def test_a_stranger_cannot_listen(server: Server) -> None:
    run_id = begun(server)

    assert server.get(f"/-/runs/{run_id}/live").status == 401
    assert server.get("/-/runs/" + "a" * 20 + "/live?from=1.0.0", **BEARER).status == 404
    assert server.get(f"/-/runs/{run_id}/live?from=x", **BEARER).status == 400


def test_a_place_is_written_as_it_is_read() -> None:
    assert place(str(Place(3, 14, 15))) == Place(3, 14, 15)
    assert place("1.2") is None
    assert place("1.2.-3") is None


def test_half_a_secret_is_not_shown() -> None:
    mask = Masker(["open sesame"])

    assert ready(b"say\nopen ses", mask, final=False) == (b"say\n", 4)
    assert ready(b"say open sesame\n", mask, final=False) == (b"say ****\n", 16)
    assert ready(b"open ses", mask, final=True) == (b"open ses", 8)

    assert ready(b"open sesame, open", mask, final=True, lead=5) == (b"****, open", 17)
    assert ready(b"open sesame, open", mask, final=False, lead=9) == (b"****", 11)


def shown(listener: Listener, stream: str = "out") -> str:
    """What somebody has seen of an output."""
    html = "".join(event.html for event in listener.seen if event.name == stream)
    return re.sub(r"<span[^>]*>|</span>", "", html)


def test_half_a_secret_that_is_printed_last_is_not_shown_until_the_rest_comes(
    project: Project, server: Server
) -> None:
    run_id = begun(server, "/halves")
    with listening(server, run_id) as answer:
        listener = Listener(answer)
        listener.until("aside")
        assert set(shown(listener)) <= {"x"}
        go(project, 2)
        go(project, 3)
        listener.until("end")

    left_out = "\n[... 527 bytes left out ...]\n"
    assert shown(listener) == "x" * 35 + "*" * 15 + left_out + "*" * 10 + "z" * 40


@pytest.mark.parametrize("place", [5, 8, 9, 20, 33, 34, 37])
def test_a_place_within_a_secret_shows_no_rest_of_it(
    project: Project, server: Server, place: int
) -> None:
    run_id = begun(server)
    go(project, 2)
    go(project, 3)
    server.wait_until_over(run_id)
    whole = f"one <b> {SECRET}\ntwo\nthree\n"
    with listening(server, run_id, f"1.{place}.0") as answer:
        listener = Listener(answer)
        listener.until("end")

    after = whole[place:].partition("\n")[2]
    begun_at = len("one <b> ")
    first = whole[place:begun_at] + "****" * (place < begun_at + len(SECRET))
    assert shown(listener) == f"{first}\n{after}" if place <= 34 else whole[place:]
    said = server.get(f"/-/runs/{run_id}?stdout={place}", **BEARER).json["printed"]
    assert said["stdout"] == shown(listener)


@pytest.mark.parametrize(
    ("place", "seen"),
    [
        (0, "x" * 35 + "*" * 15 + "\n[... 527 bytes left out ...]\n" + "*" * 10 + "z" * 40),
        (60, "\n[... 517 bytes left out ...]\n" + "*" * 10 + "z" * 40),
        (580, "*" * 7 + "z" * 40),
    ],
)
def test_a_secret_whose_middle_is_left_out_shows_neither_half_anywhere(
    project: Project, server: Server, place: int, seen: str
) -> None:
    go(project, 2)
    go(project, 3)
    run_id = begun_and_over(server, "/halves")
    with listening(server, run_id, f"1.{place}.0") as answer:
        listener = Listener(answer)
        listener.until("end")

    assert shown(listener) == seen
    page = server.get(f"/-/runs/{run_id}", Accept="text/html", **BEARER).text
    raw = server.get(f"/-/runs/{run_id}/stdout", **BEARER).text
    [attempt] = server.get(f"/-/runs/{run_id}", **BEARER).json["attempts"]
    pieces = [server.get(f"/-/runs/{run_id}?stdout={at}", **BEARER).json for at in (0, 577)]
    piece = "".join(each["printed"]["stdout"] for each in pieces)
    for text in (unescape(page), raw, attempt["stdout"], piece):
        assert SECRET[:3] not in text
        assert SECRET[-6:] not in text
        assert "*" * 15 in text
        assert "*" * 10 + "z" in text


def begun_and_over(server: Server, hook: str) -> str:
    """The id of a run that has ended."""
    run_id = str(server.post(hook, "{}", Content_Type="application/json").json["run"])
    server.wait_until_over(run_id)
    return run_id


class Kept:
    """A connection that keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def hold(self) -> None:
        pass

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        self.sent.put(str(status).encode())

    def if_gone(self, then: Callable[[], None]) -> None:
        pass

    def send(self, data: bytes) -> None:
        self.sent.put(data)

    def end(self) -> None:
        self.sent.put(b"the end")

    def until(self, part: bytes) -> None:
        while part not in self.sent.get(timeout=SECONDS):
            pass


@pytest.fixture
def live(tmp_path: Path) -> Iterator[tuple[Live, str]]:
    """What goes on in a journal of one run, which goes on for ever; and its id."""
    with closing(SqliteJournal(tmp_path / "data")) as journal:
        made(journal)
        run_id = claimed(journal).run_id
        live = Live(journal, lambda: Masker([]))
        yield live, run_id
        live.end_all()


def test_a_silent_script_keeps_no_proxy_waiting(
    live: tuple[Live, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    watched, run_id = live
    assert module.HEARTBEAT * 3 < 55  # Heroku's router hangs up after as many seconds of silence
    monkeypatch.setattr(module, "HEARTBEAT", 0.01)
    kept = Kept()

    assert watched.listen(kept, run_id, Place(1), 1000)  # type: ignore[arg-type]

    kept.until(b"200")
    kept.until(b": still here\n\n")
    kept.until(b": still here\n\n")


def test_at_the_end_everybody_is_hung_up_on_and_nobody_comes_in(live: tuple[Live, str]) -> None:
    watched, run_id = live
    kept = Kept()
    assert watched.listen(kept, run_id, Place(1), 1000)  # type: ignore[arg-type]

    watched.end_all()

    kept.until(b"the end")
    assert not watched.listen(Kept(), run_id, Place(1), 1000)  # type: ignore[arg-type]
