"""What a server does until its journal can be opened: it says so, and tries again.

A platform ends a process that does not listen in time, and counts one that ends as broken;
a database that is away for a minute is neither. So whoever posts meanwhile is told 503.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

from hookrunner import health
from hookrunner.answer import Answer, Environ, bug, problem, raw_path, status_line
from hookrunner.intake import SOON
from hookrunner.journal.where import Away
from hookrunner.log import Log
from hookrunner.loop import Loop
from hookrunner.model import Refused
from hookrunner.serving import Server
from hookrunner.units import show_duration

T = TypeVar("T")

SHORTEST, LONGEST = 1.0, 15.0
"""Seconds between two tries: twice as long each time, up to a quarter of a fail-over."""

LARGEST_BODY = 64 * 1024


def patiently(try_once: Callable[[], T], listener: socket.socket | None, log: Log) -> T:
    """What `try_once` returns, as soon as it does not raise Away; other errors are final.

    Whoever asks at the `listener` meanwhile is told to come back.
    """
    try:
        return try_once()
    except Away as error:
        told = str(error)
    pause = SHORTEST
    log.error(f"{told}; tried again in {show_duration(pause)}")
    with _turning_away(listener, log) if listener else nullcontext():
        while True:
            time.sleep(pause)
            pause = min(pause * 2, LONGEST)
            try:
                return try_once()
            except Away as error:
                log.error(f"{error}; tried again in {show_duration(pause)}")


class _Closed:
    """A WSGI application that has nothing to offer yet."""

    def __init__(self, log: Log) -> None:
        self.log = log

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = raw_path(environ)
        if path == "/-/health":
            answer = health.there()
        elif path == "/-/ready":
            answer = problem(Refused(503, "journal: cannot be reached", headers=SOON))
        else:
            answer = problem(Refused(503, "not recorded; try again soon", headers=SOON))
            self._say(environ, "the journal cannot be reached yet (503)")
        start_response(status_line(answer.status), list(answer.headers.items()))
        return [answer.body]

    def fault(self, error: Exception) -> Answer:
        return bug(error, self.log)

    def unread(self, environ: Environ, refused: Refused, *, closed: bool = False) -> Answer:
        ended = "closed" if closed else str(refused.status)
        self._say(environ, f"{refused.why} ({ended})")
        return problem(refused)

    def _say(self, environ: Environ, why: str) -> None:
        request = f"{environ['REQUEST_METHOD'][:20]} {raw_path(environ)[:200]}".strip()
        self.log.info(f"refused {request or 'a request'}: {why}")

    def hook_of(self, path: str) -> str:
        return path

    def asks_others(self, path: str) -> bool:
        return False


@contextmanager
def _turning_away(listener: socket.socket, log: Log) -> Iterator[None]:
    """Answer at the listener, on a thread; it is as it was afterwards."""
    app = _Closed(log)
    loop = Loop("closed", lambda error: None, driven=True)  # nobody asks it for anything
    # The server closes its own: who comes in the moment between waits in the same queue.
    server = Server(app, listener.dup(), 1, LARGEST_BODY, log, loop, lambda: False)
    over = threading.Event()

    def answer() -> None:
        while not over.is_set():
            server.turn()
        server.hang_up()
        server.close()
        loop.close()

    thread = threading.Thread(target=answer, name="closed", daemon=True)
    thread.start()
    log.info(f"until it can, 503 is answered on {server.near}")
    try:
        yield
    finally:
        over.set()
        server.wake()
        thread.join()
