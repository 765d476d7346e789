"""What senders cannot do to the event loop: each has its bounds, and a bug costs one connection.

The server runs in this process, on a journal of its own, and no worker takes its runs: a
test ends a run when it wants to, and says what its script printed.
"""

from __future__ import annotations

import gc
import http.client
import logging
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

import pytest

from hookrunner import answer, serving
from hookrunner.config import load
from hookrunner.intake import Intake
from hookrunner.journal.sqlite import SqliteJournal
from hookrunner.log import Log
from hookrunner.loop import Loop
from hookrunner.model import Json, Misfit, Outcome, Query, Run, State, Wanted, Why
from hookrunner.serving import Server, listen
from hookrunner.web import MOST_WAITERS, Web
from tests.serving import SECONDS, Project, Response, wait_until

HOOKS = """
defaults: {auth: none, methods: [GET, POST]}
/waits: {script: a.sh, respond: {mode: output, wait: 60s, exit_status: {3: 299, 4: 204, 5: 304}}}
/later: {script: a.sh, respond: accepted}
/slow/<name>: {script: a.sh, respond: accepted}
"""
LARGE = 20_000_000
"""Bytes of an answer that no socket's buffers hold."""


class Slow:
    """A schema that everything fits, after more of the processor's time than the loop has."""

    def __init__(self) -> None:
        self.asked_in: list[int] = []

    def misfits(self, value: Json) -> list[Misfit]:
        self.asked_in.append(threading.get_ident())
        began = time.thread_time()
        while time.thread_time() - began <= serving.SLOW:
            pass
        return []

    def wanted(self, name: str) -> Wanted:
        return Wanted()


class House:
    """A server in this process, and its journal."""

    def __init__(self, project: Project, *, leads: bool = False) -> None:
        """With `leads`, the loop commits itself, and looks at nothing that nobody told it of."""
        self.leads = leads
        project.hooks(HOOKS).script("a.sh", "")
        self.said = (project.folder / "log").open("w+")
        self.log = Log(self.said.fileno(), stamped=False)
        self.journal = SqliteJournal(project.folder / "var")
        config = load(project.folder / "hooks.yaml", {})
        self.slow = Slow()
        hooks = dict(config.hooks)
        hooks["/slow/<name>"] = replace(hooks["/slow/<name>"], schema=self.slow)
        config = replace(config, hooks=hooks)
        self.terms = {path: hook.terms for path, hook in hooks.items()}
        self.web = Web(
            Intake(config, self.journal, self.log),
            self.journal,
            self.log,
            (),
            durable=True,
            end_script=lambda run_id: None,
        )
        listener = listen("127.0.0.1", 0)
        self.port = listener.getsockname()[1]
        self.faults: list[Exception] = []
        self.beside = Loop("beside", self.faults.append, driven=True)
        commit = self.journal.turn
        self.server = Server(self.web, listener, 2, 1_000_000, self.log, self.beside, commit)
        self.turns = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.loop, daemon=True)
        self.thread.start()

    def loop(self) -> None:
        if self.leads:
            self.journal.lead()
        while not self.over.is_set():
            self.server.turn(1000.0 if self.leads else 1.0)
            self.turns += 1
        self.journal.follow()

    def look_after(self) -> None:
        """Have the connections looked at now that are looked at every few seconds."""
        self.server._waitress.next_channel_cleanup = 0
        assert self.get("/-/health").status == 200

    def get(self, path: str, **headers: str) -> Response:
        with Wire(self.port) as wire:
            wire.ask(path, **headers)
            return wire.answer()

    def end(self, outcome: Outcome | None = None) -> str:
        """End the run that is longest due, as soon as there is one."""
        claim = self.journal.claim(self.terms, 60.0, wait=5.0)
        assert claim
        assert self.journal.settle(claim, outcome or Outcome(State.SUCCEEDED))
        return claim.run_id

    def runs(self, path: str) -> int:
        return len(self.journal.runs(Query(path, most=10_000)))

    def close(self) -> list[str]:
        """End it; what it has logged."""
        self.over.set()
        self.server.wake()
        self.thread.join(SECONDS)
        assert not self.thread.is_alive()
        for channel in list(self.server._waitress.active_channels.values()):
            channel.handle_close()
        self.server.close()
        self.beside.close()
        self.journal.close()
        self.log.close()
        with self.said:
            self.said.seek(0)
            return self.said.read().splitlines()


class Wire:
    """A connection on which requests and answers are bytes, one after the other."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, path: str, **headers: str) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())

    def answer(self) -> Response:
        status = int(self.file.readline().split()[1])
        headers = http.client.parse_headers(self.file)
        length = int(headers.get("Content-Length", "0"))
        return Response(status, headers, self.file.read(length))

    def closed(self) -> bool:
        """True once the other side has hung up; it has said all that was read."""
        return self.file.read(1) == b""

    def cut(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.file.close()
        self.socket.close()


@pytest.fixture
def house(project: Project) -> Iterator[House]:
    opened = House(project)
    with ExitStack() as stack:
        stack.callback(logging.getLogger("waitress").handlers.clear)
        stack.callback(lambda: None if opened.over.is_set() else opened.close())
        yield opened


def parsers() -> int:
    gc.collect()
    return sum(isinstance(thing, serving._Parser) for thing in gc.get_objects())


def test_a_bug_at_the_end_of_a_turn_ends_nothing(house: House) -> None:
    commit, house.server._waitress._commit = house.server._waitress._commit, lambda: bool(1 // 0)
    try:
        assert [house.get("/-/health").status for _ in range(2)] == [200, 200]
    finally:
        house.server._waitress._commit = commit
    assert house.get("/-/health").status == 200


# --- what a stranger may send


def test_an_urgent_byte_keeps_nobody_busy(house: House) -> None:
    with Wire(house.port) as wire:
        wire.ask("/none")
        assert wire.answer().status == 404
        wire.socket.send(b"x", socket.MSG_OOB)
        assert house.get("/-/health").status == 200
        before = house.turns
        time.sleep(0.3)
        assert house.turns - before < 10

        wire.ask("/none")
        assert wire.answer().status == 404
    assert len(house.close()) == 2


def test_requests_in_a_row_are_parsed_one_at_a_time(house: House) -> None:
    before = parsers()  # of tests before this one some may be left
    with Wire(house.port) as wire:
        wire.ask("/waits")
        wire.send(b"GET /none HTTP/1.1\r\n\r\n" * 2000)
        wait_until(lambda: house.runs("/waits") == 1, "the run")
        assert house.get("/-/health").status == 200
        assert parsers() - before < 5

        house.end()
        assert wire.answer().status == 200
        assert [wire.answer().status for _ in range(2000)] == [404] * 2000


def test_who_does_not_read_has_no_further_request_begun(house: House) -> None:
    with Wire(house.port) as wire:
        for _ in range(3):
            wire.ask("/waits")
        house.end(Outcome(State.SUCCEEDED, stdout=b"x" * LARGE))
        assert wire.socket.recv(1) == b"H"
        assert house.get("/later").status == 202
        assert house.runs("/waits") == 1

        http.client.parse_headers(wire.file)
        assert len(wire.file.read(LARGE)) == LARGE
        wait_until(lambda: house.runs("/waits") == 2, "the second request")


def test_who_takes_nothing_of_its_answer_for_too_long_is_closed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Wire(house.port) as wire:
        wire.ask("/waits")
        wire.ask("/waits")
        house.end(Outcome(State.SUCCEEDED, stdout=b"x" * LARGE))
        assert wire.socket.recv(1) == b"H"
        [channel] = house.server._waitress.active_channels.values()
        house.look_after()
        assert channel.connected
        monkeypatch.setattr(serving, "REQUEST_SECONDS", 0.0)
        monkeypatch.setattr(serving, "IDLE_SECONDS", 0.0)
        house.server._waitress.next_channel_cleanup = 0
        house.server.wake()
        wait_until(lambda: not channel.connected, "its end")
    assert "closed 127.0.0.1: nothing of its answer was taken for 0 s" in house.close()


def test_who_reads_slowly_gets_all(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with Wire(house.port) as wire:
        wire.ask("/waits")
        house.end(Outcome(State.SUCCEEDED, stdout=b"x" * LARGE))
        wire.file.readline()
        http.client.parse_headers(wire.file)
        monkeypatch.setattr(serving, "REQUEST_SECONDS", 0.5)
        monkeypatch.setattr(serving, "IDLE_SECONDS", 0.5)
        for _ in range(10):
            assert len(wire.file.read(LARGE // 10)) == LARGE // 10
            house.server._waitress.next_channel_cleanup = 0
            time.sleep(0.1)


def test_blank_lines_keep_no_connection_open(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with Wire(house.port) as wire:
        wire.ask("/none")
        assert wire.answer().status == 404
        [channel] = house.server._waitress.active_channels.values()
        monkeypatch.setattr(serving, "IDLE_SECONDS", 0.5)
        until = time.monotonic() + 1.0
        with suppress(OSError):
            while time.monotonic() < until:
                wire.send(b"\n\r\n\r")
                house.server._waitress.next_channel_cleanup = 0
                time.sleep(0.05)
        assert not channel.connected


def test_a_blank_line_after_a_body_is_not_the_beginning_of_a_request(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Wire(house.port) as wire:
        wire.ask("/none")
        assert wire.answer().status == 404
        wire.send(b"\r\n")
        assert house.get("/later").status == 202
        monkeypatch.setattr(serving, "REQUEST_SECONDS", 0.0)
        house.server._waitress.next_channel_cleanup = 0
        wire.ask("/none")
        assert wire.answer().status == 404


def test_what_is_slow_is_remembered_by_its_hook_and_not_by_its_path(house: House) -> None:
    for name in ("a", "b", "c"):
        assert house.get(f"/slow/{name}").status == 202

    assert [asked == house.thread.ident for asked in house.slow.asked_in] == [True, False, False]


def test_who_is_idle_costs_the_others_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[Any] = []
    readable = serving._Channel.readable

    def noting(self: Any) -> bool:
        looked_at.append(self)
        return bool(readable(self))

    with ExitStack() as stack:
        idle = [stack.enter_context(Wire(house.port)) for _ in range(20)]
        for wire in idle:
            wire.ask("/none")
            assert wire.answer().status == 404
        own = set(house.server._waitress.active_channels.values())
        with Wire(house.port) as wire:
            wire.ask("/later")
            assert wire.answer().status == 202
            monkeypatch.setattr(serving._Channel, "readable", noting)
            house.server._waitress.next_channel_cleanup = time.time() + 60
            looked_at.clear()
            for _ in range(20):
                wire.ask("/later")
                assert wire.answer().status == 202
    assert not own.intersection(looked_at[1:])
    assert len(looked_at) <= 20 * 3


# --- what is said before a body


def test_who_expects_to_be_asked_for_a_body_and_has_none_is_answered(house: House) -> None:
    with Wire(house.port) as wire:
        wire.ask("/none", Expect="100-continue")
        wire.ask("/-/health")
        assert [wire.answer().status for _ in range(2)] == [404, 200]


def test_a_body_that_is_too_large_is_not_asked_for(house: House) -> None:
    with Wire(house.port) as wire:
        wire.ask("/later", **{"Content-Length": "99999999", "Expect": "100-continue"})
        answer = wire.answer()
        assert (answer.status, answer.headers["Connection"]) == (413, "close")
        assert wire.closed()


def test_a_body_is_asked_for_once_it_is_its_turn(house: House) -> None:
    with Wire(house.port) as wire:
        wire.ask("/waits")
        wire.ask(
            "/later",
            **{"Content-Type": "application/json", "Content-Length": "2", "Expect": "100-continue"},
        )
        house.end()
        assert wire.answer().status == 200
        assert wire.answer().status == 100
        wire.send(b"{}")
        assert wire.answer().status == 202


# --- who touches a connection


def test_no_thread_but_the_loops_touches_a_connection(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[int | None] = set()
    write = serving._Channel.write_soon

    def noting(self: Any, data: bytes) -> Any:
        threads.add(threading.get_ident())
        return write(self, data)

    monkeypatch.setattr(serving._Channel, "write_soon", noting)
    assert house.get("/-/health").status == 200
    assert house.get("/later").status == 202
    assert house.get("/-/runs/none").status == 404

    assert threads == {house.thread.ident}


# --- bugs


def test_a_bug_while_somebody_waits_is_answered_500_and_leaves_the_place(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def broken(run: Run | None) -> None:
        begun.set()
        raise MemoryError

    monkeypatch.setattr(house.web, "doomed", broken)
    for _ in range(MOST_WAITERS + 1):
        with Wire(house.port) as wire:
            wire.ask("/waits")
            house.end()
            answer = wire.answer()
            assert answer.status == 500
            assert answer.json["detail"] == "an error of the server; it has been logged"
    assert begun.is_set()
    monkeypatch.undo()
    assert house.get("/-/health").status == 200
    assert sum("bug: MemoryError" in line for line in house.close()) == MOST_WAITERS + 1


def test_a_journal_that_breaks_as_a_wait_ends_costs_one_answer(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Wire(house.port) as wire:
        wire.ask("/waits")
        wait_until(lambda: house.runs("/waits") == 1, "the run")
        assert house.get("/later").status == 202  # so the other is being waited for

        def broken(*_: object) -> None:
            raise MemoryError

        monkeypatch.setattr(house.journal, "unwatch", broken)
        house.end()
        assert wire.answer().status == 500
        monkeypatch.undo()
        assert house.get("/-/health").status == 200


def test_a_bug_in_the_loop_itself_costs_one_connection(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Any, data: bytes) -> None:
        raise MemoryError("no answer of this")

    with Wire(house.port) as wire, Wire(house.port) as other:
        monkeypatch.setattr(serving._Channel, "write_soon", broken)
        wire.ask("/later")
        assert wire.closed()
        monkeypatch.undo()
        other.ask("/later")
        assert other.answer().status == 202
    assert any("bug: MemoryError: no answer of this" in line for line in house.close())


# --- how it is answered


@pytest.mark.parametrize("version", ["", " HTTP/0.9", " HTTP/1.0", " HTTP/2.0"])
def test_who_speaks_no_http_1_1_is_hung_up_on(house: House, version: str) -> None:
    with Wire(house.port) as wire:
        wire.send(f"GET /-/health{version}\r\n\r\n".encode())
        assert (wire.answer().status, wire.closed()) == (200, True)


def test_who_speaks_http_1_0_may_ask_to_stay(house: House) -> None:
    with Wire(house.port) as wire:
        for _ in range(2):
            wire.send(b"GET /-/health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            answer = wire.answer()
            assert (answer.status, answer.headers["Connection"]) == (200, "Keep-Alive")


@pytest.mark.parametrize(("code", "status"), [(3, 299), (4, 204), (5, 304)])
def test_an_unusual_status_is_sent_and_the_connection_stays(
    house: House, code: int, status: int
) -> None:
    with Wire(house.port) as wire:
        wire.ask("/waits")
        run = house.end(Outcome(State.FAILED, Why.EXIT, exit_code=code))
        answer = wire.answer()
        assert (answer.status, answer.headers["Hook-Run"]) == (status, run)
        assert "Connection" not in answer.headers
        assert ("Content-Length" in answer.headers) == (status == 299)
        wire.ask("/-/health")
        assert wire.answer().status == 200


# --- who waits


def test_who_is_cut_off_leaves_its_place_at_once(house: House) -> None:
    wires = [Wire(house.port) for _ in range(MOST_WAITERS)]
    for number, wire in enumerate(wires, 1):
        wire.ask("/waits")
        wait_until(lambda number=number: house.runs("/waits") == number, "the run")  # type: ignore[misc]
    assert house.get("/waits").status == 202
    for wire in wires:
        wire.cut()
    wait_until(lambda: house.web.waiters.taken == 0, "free places")

    assert house.runs("/waits") == MOST_WAITERS + 1  # they go on


def test_who_hangs_up_leaves_its_place_soon(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(MOST_WAITERS):
        with Wire(house.port) as wire:
            wire.ask("/waits")
    wait_until(lambda: house.runs("/waits") == MOST_WAITERS, "all runs")
    house.look_after()
    assert house.get("/waits").status == 202  # it may be only half closed, to hear the answer
    monkeypatch.setattr(serving, "HALF_CLOSED_SECONDS", 0.0)
    house.look_after()
    wait_until(lambda: house.web.waiters.taken == 0, "free places")


def test_a_preference_is_said_to_be_applied_only_if_it_is(house: House) -> None:
    assert house.get("/waits", Prefer="wait=0").headers["Preference-Applied"] == "wait=0"
    with ExitStack() as stack:
        for number in range(2, MOST_WAITERS + 2):
            stack.enter_context(Wire(house.port)).ask("/waits")
            wait_until(lambda number=number: house.runs("/waits") == number, "it")  # type: ignore[misc]
        answer = house.get("/waits", Prefer="wait=9")
        assert answer.status == 202
        assert "Preference-Applied" not in answer.headers


def test_nobody_begins_to_wait_once_all_waits_are_over(house: House) -> None:
    with Wire(house.port) as early:
        early.ask("/waits")
        wait_until(lambda: house.runs("/waits") == 1, "the run")
        house.web.end_waits()
        assert early.answer().status == 202

    late = house.get("/waits")

    assert late.status == 202


def test_a_status_without_a_name_has_that_of_its_class() -> None:
    assert [answer.status_line(status) for status in (204, 299, 499, 599)] == [
        "204 No Content",
        "299 OK",
        "499 Bad Request",
        "599 Internal Server Error",
    ]


def test_a_sender_whose_time_is_up_is_told_so_though_nothing_else_happens(
    project: Project,
) -> None:
    """Its 202 waits for a commit, which the loop must not wait for something to begin."""
    house = House(project, leads=True)
    try:
        answer = house.get("/waits", Prefer="wait=1")
        assert (answer.status, answer.json["state"]) == (202, "queued")
    finally:
        house.close()
