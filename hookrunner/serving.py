"""waitress with bounds: sockets to the WSGI application, and nothing that can be starved.

The only module that knows waitress, whose defaults are traps for us: four threads, 100
connections, select, a gigabyte of body, an idle timeout that dripping bytes reset, and
a shutdown that gives running requests five seconds and cuts them on a second SIGTERM.
So its event loop is run here, one turn at a time, and the stop is the caller's.
"""

from __future__ import annotations

import errno
import logging
import re
import resource
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, Task, ThreadedTaskDispatcher, WSGITask

from hookrunner.log import Log
from hookrunner.model import Refused, Trouble
from hookrunner.units import show_size
from hookrunner.web import LATER, Answer, Web, problem, status_line

MOST_CONNECTIONS = 1500
MOST_DESCRIPTORS = 4096

REQUEST_SECONDS = 30.0
"""A request that is not here whole by then is closed, however it drips."""

IDLE_SECONDS = 120.0
"""A connection without a request is closed then; Heroku's router keeps its own for 90."""

CROWDED = MOST_CONNECTIONS * 3 // 4
IDLE_SECONDS_IN_A_CROWD = 5.0
"""With so many connections, one that has nothing to say makes room sooner."""

QUICK_BODY = 64 * 1024
"""Bytes of a body with which the loop deals itself."""

SLOW, SLOW_FOR, MOST_SLOW = 0.02, 60.0, 1000
"""Seconds of processor time after which a path is a thread's business, for how long, and of
how many paths that is remembered (a path may be a stranger's invention)."""

TOO_BLANK = re.compile(rb"[ \t]{32}")
MOST_HEADER = 32 * 1024
"""Bytes of a request's head; 1500 that are never finished must fit a small dyno, too."""

IN_MEMORY = 128 * 1024
"""Bytes of a half-received body kept in memory; 1500 of them must fit a small dyno."""


class Server:
    """A listening socket, the threads that answer, and the loop that reads and writes."""

    def __init__(
        self, web: Web, listener: socket.socket, threads: int, largest_body: int, log: Log
    ) -> None:
        """`largest_body` is in bytes: what no hook takes need not be read."""
        _allow_descriptors()
        _forward_warnings(log)
        self._waitress = _waitress(web, listener, threads, largest_body)
        self._waitress.log = log

    @property
    def address(self) -> str:
        """Where it listens, for people."""
        host, port = self._waitress.effective_host, self._waitress.effective_port
        shown = f"[{host}]" if ":" in host else host
        local = host in ("127.0.0.1", "::1")
        note = " (this machine only; --host 0.0.0.0 opens it)" if local else ""
        return f"http://{shown}:{port}{note}"

    def turn(self, seconds: float) -> None:
        """Read and write what is there to be, or wait at most so long for something."""
        self._waitress.turn(seconds)

    def wake(self) -> None:
        """End a `turn` that waits; from any thread."""
        self._waitress.pull_trigger()

    def quiet(self) -> bool:
        """True if no request is being answered and no answer is still being sent."""
        return not any(
            channel.requests or channel.total_outbufs_len
            for channel in self._waitress.active_channels.values()
        )

    def take_bodies_of(self, largest: int) -> None:
        """The largest body that is read from now on, in bytes."""
        # waitress refuses what reaches its limit, our hooks what exceeds theirs.
        self._waitress.adj.max_request_body_size = largest + 1

    def close(self) -> None:
        """Let go of the port."""
        self._waitress.close()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises Trouble if the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Trouble(
                f"port {port} is taken; choose another with --port {port + 1}, "
                f"or PORT={port + 1} make run; or stop the program that has it"
            ) from None
        raise Trouble(f"cannot listen on {host}:{port}: {error.strerror}") from None


def _is_page(request: HTTPRequestParser) -> bool:
    return bool(request.path.startswith("/-/"))


class _Parser(HTTPRequestParser):  # type: ignore[misc]
    """waitress's parser, kept from what takes it long or out of its stride.

    Its pattern for a header looks at blanks again and again: 250 kB of them in one header
    would hold up the loop, and so everybody, for minutes.
    """

    def parse_header(self, header_plus: bytes) -> None:
        if TOO_BLANK.search(header_plus):
            raise ParsingError("Too many blanks in the header")
        try:
            super().parse_header(header_plus)
        except ValueError as error:  # a Content-Length of 5000 digits, a target that is no URI
            raise ParsingError("Invalid request line or header") from error


class _ProblemTask(ErrorTask):  # type: ignore[misc]
    """How waitress answers what is no HTTP it takes: as all our refusals, and logged."""

    def execute(self) -> None:
        error = self.request.error
        # waitress quotes the offending line, which may be a credential's.
        told = error.body.partition('"')[0].strip()
        if error.code == 413:
            most = show_size(self.channel.adj.max_request_body_size - 1)
            told = f"the body is larger than the largest max_body in hooks.yaml, {most}"
        answer = problem(Refused(error.code, told))
        self.channel.say_refused(f"{told} ({error.code} to {self.channel.addr[0]})")
        self.status = f"{error.code} {error.reason}"
        self.response_headers.extend(answer.headers.items())
        self.set_close_on_finish()
        self.content_length = len(answer.body)
        self.write(answer.body)


class _Call(WSGITask):  # type: ignore[misc]
    """A request before the application, which answers it now or later (`web.Later`)."""

    held = False

    def begin(self) -> None:
        """Ask the application."""
        environ = self.get_environment()
        environ[LATER] = self
        said: list[Any] = []
        body = b"".join(self.channel.server.application(environ, lambda *all_: said.extend(all_)))
        if not self.held:
            status, headers = said[:2]
            self.answer(Answer(int(status[:3]), body, dict(headers)))

    def hold(self) -> None:
        self.held = True

    def soon(self, then: Callable[[], None]) -> None:
        self.channel.server.soon(then)

    def after(self, seconds: float, then: Callable[[], None]) -> Callable[[], None]:
        return self.channel.server.after(seconds, then)  # type: ignore[no-any-return]

    def answer(self, answer: Answer) -> None:
        self.channel.answer = answer
        self.channel.server.soon(self.channel.service)


class _Answering(Task):  # type: ignore[misc]
    """How an answer is sent that the application has given to a `_Call`."""

    complete = True

    def execute(self) -> None:
        answer = self.channel.take_answer()
        self.status = status_line(answer.status)
        for name, value in answer.headers.items():
            if "\n" in name + value or "\r" in name + value:
                raise ValueError("a header of an answer holds a line break")
            if name.lower() == "content-length":
                self.content_length = int(value)  # of a HEAD's body, which is not sent
            else:
                self.response_headers.append((name, value))
        if self.content_length is None:
            self.content_length = len(answer.body)
        silent = self.request.command == "HEAD" or not self.has_body
        self.write(b"" if silent else answer.body)


class _Channel(HTTPChannel):  # type: ignore[misc]
    """A connection that knows since when a request has been on its way."""

    parser_class = _Parser
    error_task_class = _ProblemTask
    answer: Answer | None = None

    def __init__(self, *args: Any, **named: Any) -> None:
        self.begun = time.monotonic()
        self.served: float | None = None
        super().__init__(*args, **named)

    def received(self, data: bytes) -> bool:
        before = self.request
        result = super().received(data)
        if self.requests:
            self.served = time.monotonic()
        elif self.request is not None and self.request is not before and self.served:
            self.begun = time.monotonic()
        return bool(result)

    def service(self) -> None:
        """Take the first request a step further: to the application, or its answer back."""
        request = self.requests[0]
        if self.answer:
            self.task_class = _Answering
            super().service()
        elif request.error or _is_page(request):
            self.task_class = WSGITask
            super().service()
        else:
            began = time.thread_time()
            _Call(self, request).begin()
            self.server.note(request.path, time.thread_time() - began)

    def take_answer(self) -> Answer:
        """The answer to the first request; the next may have its own as soon as it is sent."""
        answer, self.answer = self.answer, None
        return answer or self.server.application.fault(RuntimeError("there is no answer"))

    def _flush_outbufs_below_high_watermark(self) -> None:
        # It waits for the loop to send, and the loop must not wait for itself.
        if threading.get_ident() != self.server.loop_thread:
            super()._flush_outbufs_below_high_watermark()

    def overdue(self, now: float, idle: float) -> bool:
        """True if a request, the first or the next, has been on its way for too long.

        Blank lines, which may stand before a request, are none; they would keep a
        connection alive for ever if waitress's own idle timeout had the last word.
        """
        if self.requests:
            return False
        if self.request is not None or self.served is None:
            return now - self.begun > REQUEST_SECONDS
        return now - self.served > idle

    def say_refused(self, told: str) -> None:
        """A line in the log for a request that never reached a hook."""
        request = self.request or next(iter(self.requests), None)
        method = getattr(request, "command", "") or "a request"
        path = str(getattr(request, "path", ""))[:200]
        self.server.log.info(f"refused {method} {path}".rstrip() + f": {told}")


class _Waitress(TcpWSGIServer):  # type: ignore[misc]
    """waitress's server, with a deadline for whole requests."""

    channel_class = _Channel
    log: Log

    def __init__(self, *args: Any, **named: Any) -> None:
        self.loop_thread = 0
        self._todo: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, list[Callable[[], None]]]] = []
        self._numbers = count()
        self._asleep = False
        self._slow: dict[str, float] = {}
        super().__init__(*args, **named)

    def turn(self, seconds: float) -> None:
        """Read, write and do what there is to do, or wait at most so long for something."""
        self.loop_thread = threading.get_ident()
        # Set before anything is looked at: what changes from here on pulls the trigger.
        self._asleep = True
        if self._todo:
            seconds = 0
        elif self._timers:
            seconds = min(seconds, max(self._timers[0][0] - time.monotonic(), 0))
        wasyncore.loop(timeout=seconds, use_poll=True, map=self._map, count=1)
        self._asleep = False
        for _ in range(len(self._todo)):
            self._todo.popleft()()
        while self._timers and self._timers[0][0] <= time.monotonic():
            _, _, calls = heappop(self._timers)
            for call in calls:
                call()

    def soon(self, then: Callable[[], None]) -> None:
        """Have it called by the loop; from any thread."""
        self._todo.append(then)
        self.pull_trigger()

    def after(self, seconds: float, then: Callable[[], None]) -> Callable[[], None]:
        """Have it called by the loop in so many seconds, unless what is returned is, before."""
        calls = [then]
        heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), calls))
        return calls.clear

    def pull_trigger(self) -> None:
        """Wake the loop, if it sleeps."""
        if self._asleep:
            self._asleep = False
            super().pull_trigger()

    def add_task(self, channel: _Channel) -> None:
        """Have a request served: by the loop itself if that takes no time, or by a thread.

        To change threads costs more than most deliveries do. What takes long would hold up
        everybody: large bodies, pages, and what a hook has shown to be slow with.
        """
        if self._is_quick(channel.requests[0]):
            self._todo.append(channel.service)
        else:
            super().add_task(channel)

    def _is_quick(self, request: HTTPRequestParser) -> bool:
        if request.error:
            return True
        size = len(request.body_rcv) if request.body_rcv else 0
        return size <= QUICK_BODY and not _is_page(request) and not self._is_slow(request.path)

    def note(self, path: str, seconds: float) -> None:
        """Remember a path whose delivery took that much of the processor's time, if it was long."""
        if seconds > SLOW and len(self._slow) < MOST_SLOW:
            self._slow[path] = time.monotonic() + SLOW_FOR

    def _is_slow(self, path: str) -> bool:
        until = self._slow.get(path)
        if until is not None and until < time.monotonic():
            del self._slow[path]
            return False
        return until is not None

    def maintenance(self, now: float) -> None:
        super().maintenance(now)
        crowded = len(self.active_channels) > CROWDED
        idle = IDLE_SECONDS_IN_A_CROWD if crowded else IDLE_SECONDS
        for channel in self.active_channels.values():
            if channel.overdue(time.monotonic(), idle) and not channel.will_close:
                channel.will_close = True
                if channel.request is not None or channel.served is None:
                    limit = f"{REQUEST_SECONDS:g} s"
                    channel.say_refused(f"not complete within {limit} (closed, {channel.addr[0]})")


def _waitress(web: Web, listener: socket.socket, threads: int, largest_body: int) -> _Waitress:
    adjustments = Adjustments(
        threads=threads,
        connection_limit=MOST_CONNECTIONS,
        asyncore_use_poll=True,
        cleanup_interval=5,
        max_request_body_size=largest_body + 1,
        max_request_header_size=MOST_HEADER,
        inbuf_overflow=IN_MEMORY,
        recv_bytes=64 * 1024,
        clear_untrusted_proxy_headers=False,  # web.client_address believes only whom it should
        ident="hookrunner",
        log_socket_errors=False,
    )
    dispatcher = ThreadedTaskDispatcher()
    dispatcher.set_thread_count(threads)
    return _Waitress(
        web,
        {},
        _sock=listener,
        dispatcher=dispatcher,
        adj=adjustments,
        sockinfo=(listener.family, listener.type, listener.proto, listener.getsockname()),
        bind_socket=False,
    )


class _Warnings(logging.Handler):
    """waitress's warnings as lines of our log."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self.log = log

    def emit(self, record: logging.LogRecord) -> None:
        cause = record.exc_info[1] if record.exc_info else None
        self.log.warning(f"waitress: {record.getMessage()}" + (f": {cause!r}" if cause else ""))


def _forward_warnings(log: Log) -> None:
    logger = logging.getLogger("waitress")
    logger.addHandler(_Warnings(log))
    logger.propagate = False
    # "Task queue depth": with 40 threads a short queue is no news.
    logging.getLogger("waitress.queue").disabled = True


def _allow_descriptors() -> None:
    """As many descriptors as the system lets us have: each connection takes one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(MOST_DESCRIPTORS, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
