"""The event loop that deals with deliveries itself: order, threads, places, and what it sends.

Most of it against a real server process. Who judges a delivery, the loop or a thread,
cannot be seen from without: for that a server runs in this process, with a schema that
says which thread it was asked in.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hookrunner import serving
from hookrunner.config import load
from hookrunner.intake import Intake
from hookrunner.journal.sqlite import SqliteJournal
from hookrunner.log import Log
from hookrunner.loop import Loop
from hookrunner.model import BadConfig, Json, Misfit, Respond, Wanted
from hookrunner.serving import QUICK_BODY, SLOW, listen
from hookrunner.web import MOST_WAITERS, Web
from tests.serving import REPOSITORY, SECONDS, Project, Response, Server

HOOKS = """
defaults: {auth: none}
/held:
  script: held.sh
  respond: {mode: output, wait: 25s}
/briefly:
  script: held.sh
  respond: {mode: output, wait: 50ms}
/later:
  script: true.sh
  respond: accepted
/digest:
  script: digest.sh
  respond: output
/nothing:
  script: three.sh
  respond: {mode: output, exit_status: {3: 204}}
"""
LITTLE = 4096
"""Bytes that the system keeps for who does not read them, where that is tried."""

JSON = {"Content-Type": "application/json"}


def write_project(project: Project) -> Project:
    project.hooks(HOOKS)
    # Ends when the file is there that its payload names.
    project.script("held.sh", 'f=$(cat); until [ -e "${f//\\"/}" ]; do sleep 0.02; done; echo ok\n')
    project.script("true.sh", "")
    project.script("digest.sh", "sha256sum | cut -d ' ' -f 1\n")
    project.script("three.sh", "echo nobody reads this; exit 3\n")
    return project


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    project = write_project(Project(tmp_path_factory.mktemp("loop") / "project"))
    with project.serve() as server:
        yield server


def request(method: str, path: str, body: bytes | str = b"", **headers: str) -> bytes:
    """A request as it goes over the wire."""
    body = body.encode() if isinstance(body, str) else body
    named = {"Host": "x", "Content-Length": str(len(body)), **JSON, **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def chunked(path: str, chunks: list[bytes]) -> bytes:
    """A request whose body says its length as it goes."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    parts = [b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in [*chunks, b""]]
    return head.encode() + b"Content-Type: application/json\r\n\r\n" + b"".join(parts)


class Wire:
    """A connection on which requests and answers are bytes, one after the other."""

    def __init__(self, port: int, room: int = 0) -> None:
        """`room` is how many bytes may be on their way to us, if it is to be few."""
        self.socket = socket.socket()
        self.socket.settimeout(SECONDS)
        if room:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self.socket.connect(("127.0.0.1", port))
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, *, silent: bool = False) -> Response:
        """The next answer; `silent`: its body is only spoken of."""
        status = int(self.file.readline().split()[1])
        headers = http.client.parse_headers(self.file)
        length = 0 if silent else int(headers.get("Content-Length", "0"))
        return Response(status, headers, self.file.read(length))

    def closed(self) -> bool:
        """True if the other side has nothing more to say; it has said all that was read."""
        return self.file.read(1) == b""

    def hang_up(self, *, reset: bool = False) -> None:
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.file.close()
        self.socket.close()


def begun(server: Server, path: str) -> int:
    return sum(f" {path} accepted from " in line for line in server.lines)


def ended(server: Server, path: str) -> int:
    return sum(f" {path} succeeded in " in line for line in server.lines)


# --- one after the other


def test_requests_in_a_row_are_answered_in_order_though_the_first_has_to_wait(
    server: Server, tmp_path: Path
) -> None:
    go, later = tmp_path / "go", begun(server, "/later")
    with Wire(server.port) as wire:
        wire.send(
            request("POST", "/held", f'"{go}"')
            + request("POST", "/later", "{}")
            + request("GET", "/-/health")
            + request("GET", "/none")
        )
        server.wait_for_line(" /held accepted from ")
        assert server.get("/-/health").status == 200  # others do not wait with it
        assert begun(server, "/later") == later
        go.touch()
        answers = [wire.answer() for _ in range(4)]

    assert [answer.status for answer in answers] == [200, 202, 200, 404]
    assert answers[0].text == "ok\n"
    assert answers[1].json["state"] == "queued"
    assert answers[2].json == {"status": "ok"}
    assert answers[3].json["detail"] == "there is no such hook"


def test_one_connection_serves_for_what_the_loop_does_and_what_threads_do(server: Server) -> None:
    large = b'"' + b"x" * QUICK_BODY + b'"'
    asked: list[tuple[str, str, bytes, int]] = [
        ("GET", "/-/health", b"", 200),  # a thread
        ("POST", "/later", b"{}", 202),  # the loop
        ("POST", "/digest", large, 200),  # a thread, and the loop when its script has ended
        ("GET", "/none", b"", 404),  # the loop
        ("POST", "/digest", b"{}", 200),  # the loop, twice
        ("GET", f"/-/runs/{'a' * 20}", b"", 404),  # a thread
        ("GET", "/", b"", 200),  # the loop
    ]
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
    with closing(connection):
        connection.connect()
        first = connection.sock
        for method, path, body, status in asked * 2:
            connection.request(method, path, body, JSON)
            answer = connection.getresponse()
            answer.read()
            assert (path, answer.status) == (path, status)
            assert connection.sock is first  # or a new one would be made unasked


def test_a_connection_that_is_to_be_closed_is_closed_after_its_answer(server: Server) -> None:
    for path, status in (("/later", 202), ("/digest", 200)):
        with Wire(server.port) as wire:
            wire.send(request("POST", path, "{}", Connection="close"))
            assert (wire.answer().status, wire.closed()) == (status, True)


# --- what is said about a body and not sent


def test_a_head_is_answered_as_a_get_without_its_body(server: Server) -> None:
    with Wire(server.port) as wire:
        wire.send(request("HEAD", "/") + request("GET", "/"))
        head, get = wire.answer(silent=True), wire.answer()

    assert (head.status, get.status) == (200, 200)
    assert int(head.headers["Content-Length"]) == len(get.body) > 0
    assert head.headers["Content-Type"] == get.headers["Content-Type"]


def test_a_head_of_a_hook_is_refused_without_a_body(server: Server) -> None:
    with Wire(server.port) as wire:
        wire.send(request("HEAD", "/later") + request("GET", "/later"))
        head, get = wire.answer(silent=True), wire.answer()

    assert [head.status, get.status] == [405, 405]
    assert [head.headers["Allow"], get.headers["Allow"]] == ["POST", "POST"]
    assert int(head.headers["Content-Length"]) == len(get.body) > 0


def test_an_exit_code_that_stands_for_204_is_answered_without_a_body(server: Server) -> None:
    with Wire(server.port) as wire:
        wire.send(request("POST", "/nothing", "{}", Connection="close"))
        answer = wire.answer()
        assert wire.closed()  # and what the script printed has not been sent

    assert answer.status == 204
    assert "Content-Length" not in answer.headers
    assert "Transfer-Encoding" not in answer.headers
    state = server.state(answer.headers["Hook-Run"])
    assert (state["state"], state["exit_code"]) == ("failed", 3)


# --- bodies


@pytest.mark.parametrize("more", [-1, 0, 1, QUICK_BODY, 8 * QUICK_BODY])
def test_a_body_reaches_the_script_whole_whether_the_loop_or_a_thread_takes_it(
    server: Server, more: int
) -> None:
    body = b'"' + b"x" * (QUICK_BODY + more - 2) + b'"'

    answer = server.post("/digest", body, Content_Type="application/json")

    assert (answer.status, answer.text.strip()) == (200, hashlib.sha256(body).hexdigest())


@pytest.mark.parametrize("size", [1, 1000, QUICK_BODY - 2, QUICK_BODY - 1, 8 * QUICK_BODY])
def test_a_chunked_body_reaches_the_script_whole_however_large(server: Server, size: int) -> None:
    body = b'"' + b"y" * size + b'"'
    pieces = [body[at : at + 10_000] for at in range(0, len(body), 10_000)]
    with Wire(server.port) as wire:
        wire.send(chunked("/digest", pieces) + request("GET", "/-/health"))
        answers = [wire.answer(), wire.answer()]

    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].text.strip() == hashlib.sha256(body).hexdigest()


# --- those who wait


@pytest.mark.parametrize("reset", [False, True], ids=["hangs up", "is cut off"])
def test_who_goes_while_it_waits_leaves_its_place_and_its_run_ends(
    project: Project, tmp_path: Path, reset: bool
) -> None:
    write_project(project)
    go, again = tmp_path / "go", tmp_path / "again"
    with project.serve() as server, ThreadPoolExecutor(MOST_WAITERS) as pool:
        wires = [Wire(server.port) for _ in range(MOST_WAITERS)]
        for wire in wires:
            wire.send(request("POST", "/held", f'"{go}"'))
        server.wait_for(lambda _: begun(server, "/held") == MOST_WAITERS, "all that wait")
        for wire in wires:
            wire.hang_up(reset=reset)
        go.touch()
        server.wait_for(lambda _: ended(server, "/held") == MOST_WAITERS, "the end of all")
        assert server.get("/").status == 200  # the loop is done with them

        posts = [
            pool.submit(server.post, "/held", f'"{again}"', Content_Type="application/json")
            for _ in range(MOST_WAITERS)
        ]
        server.wait_for(lambda _: begun(server, "/held") == 2 * MOST_WAITERS, "as many again")
        again.touch()
        answers = [post.result() for post in posts]

    # Had a place not been free, somebody would have got 202.
    assert [(answer.status, answer.text) for answer in answers] == [(200, "ok\n")] * MOST_WAITERS
    assert not [line for line in server.lines if "bug: " in line or "waitress: " in line]


def test_who_has_waited_long_enough_is_told_how_its_run_stands_and_leaves_its_place(
    project: Project, tmp_path: Path
) -> None:
    write_project(project)
    go = tmp_path / "go"
    with project.serve() as server, ThreadPoolExecutor(MOST_WAITERS) as pool:

        def post(path: str) -> Response:
            return server.post(path, f'"{go}"', Content_Type="application/json")

        early = [one.result() for one in [pool.submit(post, "/briefly") for _ in range(8)]]
        for answer in early:
            run = answer.headers["Hook-Run"]
            assert (answer.status, answer.headers["Location"]) == (202, f"/-/runs/{run}")
            said = answer.json
            assert said.pop("state") in ("queued", "running")
            assert said == {"run": run, "location": f"/-/runs/{run}"}

        late = [pool.submit(post, "/held") for _ in range(MOST_WAITERS)]
        server.wait_for(lambda _: begun(server, "/held") == MOST_WAITERS, "all that wait")
        go.touch()
        assert [one.result().status for one in late] == [200] * MOST_WAITERS
        assert {server.wait_until_ended(a.headers["Hook-Run"])["state"] for a in early} == {
            "succeeded"
        }


# --- headers


@pytest.mark.parametrize(
    ("respond", "told"),
    [
        (
            r'{headers: {X-A: "a\r\nSet-Cookie: b"}}',
            r"X-A must be plain ASCII text, not 'a\r\nSet-Cookie: b'",
        ),
        (
            r'{headers: {"X-A: a\r\nSet-Cookie": b}}',
            r"'X-A: a\r\nSet-Cookie' is not a header that can be set here",
        ),
        (
            r'{mode: output, type: "text/plain\nSet-Cookie: b"}',
            r"type must be plain ASCII text, not 'text/plain\nSet-Cookie: b'",
        ),
        (
            r'{mode: accepted, redirect: "/thanks\rSet-Cookie: b"}',
            r"redirect must be plain ASCII text, not '/thanks\rSet-Cookie: b'",
        ),
    ],
)
def test_hooks_yaml_cannot_put_a_line_break_into_a_header(
    project: Project, respond: str, told: str
) -> None:
    project.hooks(f"/a:\n  script: a.sh\n  auth: none\n  respond: {respond}\n").script("a.sh", "")

    with pytest.raises(BadConfig) as caught:
        load(project.folder / "hooks.yaml", {})

    assert caught.value.problems == (f"hooks.yaml:4: {told}",)


# --- who judges


class Judge:
    """A schema that everything fits, after as long as it is told to take.

    It says in which thread it was asked; for a payload of `slow` it takes the loop more of
    the processor's time than it should, and any thread until `go` is set.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[Json, int]] = []
        self.loop = 0
        self.go = threading.Event()
        self.held = threading.Event()

    def misfits(self, value: Json) -> list[Misfit]:
        me = threading.get_ident()
        self.asked.append((value, me))
        if value == "slow" and me == self.loop:
            began = time.thread_time()
            while time.thread_time() - began <= SLOW:
                pass
        elif value == "slow":
            self.held.set()
            assert self.go.wait(SECONDS)
        return []

    def wanted(self, name: str) -> Wanted:
        return Wanted()

    def by_loop(self) -> list[bool]:
        """Of each delivery that it was asked about, whether the loop itself asked."""
        return [thread == self.loop for _, thread in self.asked]


class House:
    """A server in this process, whose loop is a thread of the test's."""

    def __init__(self, project: Project) -> None:
        project.hooks(
            "defaults: {auth: none}\n"
            "/a: {script: a.sh, respond: accepted}\n"
            "/b: {script: a.sh, respond: accepted}\n"
        )
        project.script("a.sh", "")
        self.judge = Judge()
        self.faults: list[Exception] = []
        self.said, self.saying = os.pipe()
        self.log = Log(self.saying, stamped=False)
        self.journal = SqliteJournal(project.folder / "var")
        config = load(project.folder / "hooks.yaml", {})
        hooks = {path: replace(hook, schema=self.judge) for path, hook in config.hooks.items()}
        self.intake = Intake(replace(config, hooks=hooks), self.journal, self.log)
        web = Web(
            self.intake, self.journal, self.log, (), durable=True, end_script=lambda run_id: None
        )
        listener = listen("127.0.0.1", 0)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LITTLE)
        self.port = listener.getsockname()[1]
        self.beside = Loop("beside", self.faults.append, driven=True)
        commit = self.journal.turn
        self.server = serving.Server(web, listener, 2, 1_000_000, self.log, self.beside, commit)
        self.lines: list[str] = []
        self.over = threading.Event()
        self.loop = threading.Thread(target=self.run, daemon=True)
        self.loop.start()

    def run(self) -> None:
        self.judge.loop = threading.get_ident()
        # Who is gone has to be noticed, too, or a socket is left.
        while not self.over.is_set() or self.server._waitress.active_channels:
            self.server.turn(0.05)

    def change(self, **settings: Any) -> None:
        """Give the hooks what hooks.yaml would not."""
        config = self.intake.config
        hooks = {path: replace(hook, **settings) for path, hook in config.hooks.items()}
        self.intake.config = replace(config, hooks=hooks)

    def post(self, path: str, body: str) -> Response:
        with Wire(self.port) as wire:
            wire.send(request("POST", path, body))
            return wire.answer()

    def close(self) -> list[str]:
        """End it; what it has logged."""
        if self.over.is_set():
            return self.lines
        self.judge.go.set()
        self.over.set()
        self.server.wake()
        self.loop.join(SECONDS)
        self.server.close()
        self.beside.close()
        self.journal.close()
        self.log.close()
        os.close(self.saying)
        with os.fdopen(self.said, "rb") as said:
            self.lines = said.read().decode().splitlines()
        return self.lines


@pytest.fixture
def house(project: Project) -> Iterator[House]:
    opened = House(project)
    with ExitStack() as stack:
        stack.callback(logging.getLogger("waitress").handlers.clear)
        stack.callback(opened.close)
        yield opened


def test_the_loop_judges_what_is_quick_itself(house: House) -> None:
    assert [house.post("/a", "{}").status for _ in range(3)] == [202] * 3

    assert house.judge.by_loop() == [True] * 3


def test_a_body_of_64_kb_is_the_loops_and_a_larger_one_a_threads(house: House) -> None:
    for more in (0, 1):
        body = f'"{"x" * (QUICK_BODY - 2 + more)}"'
        assert house.post("/a", body).status == 202

    assert house.judge.by_loop() == [True, False]


def test_a_hook_that_has_been_slow_is_left_to_threads_and_the_loop_goes_on(house: House) -> None:
    with ThreadPoolExecutor(1) as pool:
        assert house.post("/a", '"slow"').status == 202
        slow = pool.submit(house.post, "/a", '"slow"')
        assert house.judge.held.wait(SECONDS)

        # A thread is in the midst of it.
        assert house.post("/b", "{}").status == 202
        assert not slow.done()
        house.judge.go.set()
        assert slow.result().status == 202

    assert house.judge.by_loop() == [True, False, True]
    # What is quick now stays where it is, for a time.
    assert house.post("/a", "{}").status == 202
    assert house.judge.by_loop()[-1] is False


def test_slowness_is_forgotten_after_a_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "SLOW_FOR", -1.0)
    for _ in range(2):
        assert house.post("/a", '"slow"').status == 202

    assert house.judge.by_loop() == [True, True]


def test_who_does_not_read_its_answers_holds_up_nobody(house: House) -> None:
    # With more than that to be sent a thread of waitress's waits; the loop must not.
    house.server._waitress.adj.outbuf_high_watermark = LITTLE
    with Wire(house.port, LITTLE) as wire:
        wire.send(request("POST", "/a", "{}") * 300)
        # So many that the loop has long come to what it cannot send.
        assert {house.post("/b", "{}").status for _ in range(100)} == {202}

        assert {wire.answer().status for _ in range(300)} == {202}


def test_who_does_not_read_its_answers_does_not_keep_us_from_stopping(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "STALLED_SECONDS", -1.0)
    with Wire(house.port, LITTLE) as wire:
        wire.send(request("POST", "/a", "{}") * 300)
        assert {house.post("/b", "{}").status for _ in range(100)} == {202}

        house.server.end()

        assert house.server.quiet.wait(SECONDS)
        assert {wire.answer().status for _ in range(300)} == {202}


def test_an_accepted_head_would_be_answered_without_a_body_too(house: House) -> None:
    house.change(methods=("HEAD", "POST"))
    with Wire(house.port) as wire:
        wire.send(request("HEAD", "/a", "{}") + request("POST", "/a", "{}"))
        head, post = wire.answer(silent=True), wire.answer()

    assert [head.status, post.status] == [202, 202]
    assert int(head.headers["Content-Length"]) == len(post.body) > 0


def test_an_answer_whose_header_holds_a_line_break_is_not_sent(house: House) -> None:
    broken = (("X-A", "a\r\nSet-Cookie: b"),)
    house.change(respond=Respond("accepted", 0.0, redirect="/thanks", headers=broken))

    answer = house.post("/a", "{}")

    assert answer.status == 500
    assert "Set-Cookie" not in answer.headers
    assert sum("a header of an answer holds a line break" in line for line in house.close()) == 1


class _Narrow(Server):
    """A runner that may have 256 descriptors, its connections included."""

    prefix = ("prlimit", "--nofile=256:256")


def test_however_many_connections_there_are_scripts_can_be_started(project: Project) -> None:
    write_project(project)
    with ExitStack() as stack:
        server = stack.enter_context(_Narrow(project.folder))
        wire = stack.enter_context(Wire(server.port))
        wire.send(request("POST", "/digest", '"first"'))
        assert wire.answer().status == 200
        for _ in range(300):
            stack.enter_context(Wire(server.port))

        wire.send(request("POST", "/digest", '"then"'))

        assert wire.answer().status == 200


CROWDED = """
import os, sys
sys.path.insert(0, {repository!r})
from hookrunner import cli, serving

awaits = serving._Waitress._await

def await_late(self, channel):
    # As if time for the upkeep of all connections came between two looks at the socket.
    found = awaits(self, channel)
    untouched = set(self.active_channels.values()) - self.touched
    if channel is self and self in self.touched and untouched:
        self.next_channel_cleanup = 0
    return found

serving._Waitress._await = await_late
sys.exit(cli.main(sys.argv[1:], os.environ))
"""


def test_upkeep_that_falls_between_two_looks_ends_nothing(project: Project, tmp_path: Path) -> None:
    program = tmp_path / "late.py"
    program.write_text(CROWDED.format(repository=str(REPOSITORY)))
    write_project(project)
    server = Server(project.folder, program=(str(program),))
    with server, ExitStack() as idle:
        for _ in range(20):
            connection = socket.create_connection(("127.0.0.1", server.port), SECONDS)
            idle.enter_context(closing(connection))
            assert server.get("/-/health").status == 200
