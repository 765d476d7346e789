"""waitress with bounds: sockets to the WSGI application, and nothing that can be starved.

The only module that knows waitress, whose defaults are traps for us: four threads, 100
connections, select, a gigabyte of body, an idle timeout that dripping bytes reset, and
a shutdown that gives running requests five seconds and cuts them on a second SIGTERM.
So the event loop is ours, one turn at a time, and the stop is the caller's; waitress's are
the parser, the buffers, the environment of a request, and the threads.
"""

from __future__ import annotations

import errno
import logging
import re
import resource
import select
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from functools import partial
from typing import Any, Protocol

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.buffers import OverflowableBuffer
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher, WSGITask
from waitress.utilities import build_http_date

from hookrunner.answer import LATER, Answer, Environ, status_line
from hookrunner.log import Log
from hookrunner.loop import Loop, Step, Timers
from hookrunner.model import Refused, Trouble
from hookrunner.units import show_size

MOST_CONNECTIONS = 1500
MOST_DESCRIPTORS = 4096
FOR_CONNECTIONS = 0.5
"""How much of the descriptors that we may have; the rest is for scripts and the journal."""

REQUEST_SECONDS = 30.0
"""A request that is not here whole by then is closed, however it drips."""

IDLE_SECONDS = 120.0
"""A connection without a request is closed then; Heroku's router keeps its own for 90. So is
one whose peer takes nothing of its answer for so long."""

CROWDED = 0.75
IDLE_SECONDS_IN_A_CROWD = 5.0
"""With so much of all connections taken, one that has nothing to say makes room sooner."""

QUICK_BODY = 64 * 1024
"""Bytes of a body with which the loop deals itself."""

SLOW, SLOW_FOR = 0.02, 60.0
"""Seconds of processor time after which a hook is a thread's business, and for how long."""

PASSES = 2
"""How often what has been asked for is done before anything is waited for: a commit asks for
more, and what follows from it need not wait for another turn."""

MOST_STEPS = 100
"""Steps that the loop takes before it looks whether anybody has sent something."""

HALF_CLOSED_SECONDS = 5.0
"""Who has said so long ago that it will send nothing more is taken to have gone: some do say
so, and then wait for the answer."""

MOST_UNREAD = 256 * 1024
"""Bytes that wait for somebody who listens; who is so far behind does not read."""

STALLED_SECONDS = 2.0
"""Who has taken nothing of its answer for so long is not waited for when we stop."""

HEAD_TOO_LARGE = 431
BODILESS = (204, 304)
"""Statuses of an answer that ends with its head (RFC 9110 §6.4.1)."""

TOO_BLANK = re.compile(rb"[ \t]{32}")
MOST_HEADER = 32 * 1024
"""Bytes of a request's head; 1500 that are never finished must fit a small dyno, too."""

CODED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
HEALTH = "/-/health"
"""The page that takes no time: who asks whether we are there is not to wait for a thread."""

TRIAL = "/-/hook/try"
ENCODED, BESIDE = 4, 64 * 1024
"""A form has three bytes for most signs of a payload, and six for the end of a line; and some
fields beside it. So the one that tries a hook may be so many times as large as the largest
payload, and so much larger."""

UNCERTAIN = (
    "where the body ends is not certain: Transfer-Encoding goes with HTTP/1.1, "
    "names chunked, and excludes Content-Length"
)
"""RFC 9112 §6.1 and §11.2."""

IN_MEMORY = 128 * 1024
"""Bytes of a half-received body kept in memory; 1500 of them must fit a small dyno."""


class Application(Protocol):
    """What answers: a WSGI application (PEP 3333) that knows a little more."""

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]: ...

    def fault(self, error: Exception) -> Answer:
        """What is told of a bug, after it has been logged."""

    def unread(self, environ: Environ, refused: Refused, *, closed: bool = False) -> Answer:
        """What is said of a request that was not read to its end, after that has been noted.

        Of PEP 3333's environment there is what is known of it. If `closed` nothing is said.
        """

    def hook_of(self, path: str) -> str:
        """The hook that PEP 3333's path leads to; empty if none."""

    def asks_others(self, path: str) -> bool:
        """True if to answer there may take another machine's answer."""


class Server:
    """A listening socket, the threads that answer, and the loop that reads and writes."""

    def __init__(
        self,
        web: Application,
        listener: socket.socket,
        threads: int,
        largest_body: int,
        log: Log,
        beside: Loop,
        commit: Callable[[], bool],
    ) -> None:
        """`largest_body` is in bytes: what no hook takes need not be read.

        `beside` is a loop that is driven from ours; `commit` is called when everything has been
        done that there was to do, and may bring about more.
        """
        connections = min(MOST_CONNECTIONS, int(_allow_descriptors() * FOR_CONNECTIONS))
        _forward_warnings(log)
        self._waitress = _waitress(web, listener, threads, connections, largest_body)
        self._waitress.log = log
        self._waitress.drive(beside, commit)
        self._ending = threading.Event()
        self.quiet = threading.Event()
        """Set, once `end` has been asked for, when nobody waits for an answer."""

    def address(self, path: str = "") -> str:
        """Where it listens, or has a page, for people."""
        local = self._waitress.effective_host in ("127.0.0.1", "::1")
        note = " (this machine only; --host 0.0.0.0 opens it)" if local else ""
        return f"{self._url(self._waitress.effective_host)}{path}{note}"

    @property
    def near(self) -> str:
        """Its address from this machine."""
        host = str(self._waitress.effective_host)
        return self._url({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host))

    def _url(self, host: str) -> str:
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{self._waitress.effective_port}"

    def turn(self, seconds: float = 1.0) -> None:
        """Read, write and do what there is to do, or wait at most so long for something."""
        ending = self._ending.is_set()
        self._waitress.turn(min(seconds, 0.02) if ending else seconds)
        if ending and self._is_quiet():
            self.quiet.set()

    def end(self) -> None:
        """Have `quiet` set as soon as it is so; from any thread."""
        self.quiet.clear()
        self._ending.set()
        self.wake()

    def wake(self) -> None:
        """End a `turn` that waits; from any thread."""
        self._waitress.pull_trigger()

    def _is_quiet(self) -> bool:
        """True if no request is being answered and no answer is still being sent and taken."""
        return not any(channel.is_owed() for channel in self._waitress.active_channels.values())

    def take_bodies_of(self, largest: int) -> None:
        """The largest body that is read from now on, in bytes."""
        # waitress refuses what reaches its limit, our hooks what exceeds theirs.
        self._waitress.adj.max_request_body_size = largest + 1

    def hang_up(self) -> None:
        """Close all connections, whatever is under way; from the thread that takes turns."""
        for channel in list(self._waitress.active_channels.values()):
            channel.handle_close()
        self._waitress.task_dispatcher.set_thread_count(0)

    def close(self) -> None:
        """Let go of the port."""
        self._waitress.close()


def listen(host: str, port: int, told: str = "--port {0}, or PORT={0} make run") -> socket.socket:
    """A listening socket. Raises Trouble if the address is taken or not ours.

    `told` is how another port is chosen.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Trouble(
                f"port {port} is taken; choose another with {told.format(port + 1)}; "
                "or stop the program that has it"
            ) from None
        raise Trouble(f"cannot listen on {host}:{port}: {error.strerror}") from None


def _is_page(request: HTTPRequestParser) -> bool:
    return bool(request.path.startswith("/-/"))


class _Parser(HTTPRequestParser):  # type: ignore[misc]
    """waitress's parser, kept from what takes it long or out of its stride.

    Its pattern for a header looks at blanks again and again: 250 kB of them in one header
    would hold up the loop, and so everybody, for minutes.
    """

    adj: Adjustments
    path: str

    def received(self, data: bytes) -> int:
        consumed = super().received(data)
        if self.completed:
            self.expect_continue = False  # there is no body to ask for, or it is not wanted
        return int(consumed)

    def parse_header(self, header_plus: bytes) -> None:
        if TOO_BLANK.search(header_plus):
            raise ParsingError("Too many blanks in the header")
        try:
            super().parse_header(header_plus)
        except ValueError as error:  # a Content-Length of 5000 digits, a target that is no URI
            raise ParsingError("Invalid request line or header") from error
        if CODED.search(header_plus) and (not self.chunked or "CONTENT_LENGTH" in self.headers):
            # A proxy before us may see another end, and the rest as the next request.
            raise ParsingError(UNCERTAIN)
        if self.path.startswith("/"):
            self.path = "/" + self.path.lstrip("/")  # as the application will have it
        if self.path == TRIAL:
            roomy: Adjustments = copy(self.adj)
            roomy.max_request_body_size = roomy.max_request_body_size * ENCODED + BESIDE
            self.adj = roomy


class _Call(WSGITask):  # type: ignore[misc]
    """A request before the application, which answers it now or later (`answer.Later`).

    What a thread does for a connection goes through here: the connection itself is the loop's.
    """

    def __init__(self, channel: _Channel, request: HTTPRequestParser) -> None:
        super().__init__(channel, request)
        self.server: _Waitress = channel.server
        self.held = False
        self.gone: Step | None = None

    def service(self) -> None:
        """Ask the application; in the loop, or in a thread."""
        began = time.thread_time()
        try:
            self._ask()
        except Exception as error:
            self.answer(self.server.application.fault(error))
        if not _is_page(self.request):
            self.server.note(self.request.path, time.thread_time() - began)

    def cancel(self) -> None:
        """waitress's threads end with the process, and with nothing else."""

    def _ask(self) -> None:
        environ = self.get_environment()
        self.environ = None  # as `environ` holds us: a circle would have to wait for the collector
        environ[LATER] = self
        said: list[Any] = []
        body = b"".join(self.server.application(environ, lambda *all_: said.extend(all_)))
        if not self.held:
            status, headers = said[:2]
            self.answer(Answer(int(status[:3]), body, dict(headers)))

    def hold(self) -> None:
        self.held = True

    def soon(self, then: Step) -> None:
        self.server.soon(self.channel, then)

    def after(self, seconds: float, then: Step) -> Step:
        return self.server.after(seconds, self.channel, then)

    def answer(self, answer: Answer) -> None:
        self.soon(lambda: self.channel.tell(self, answer))

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        self.soon(lambda: self.channel.begin(self, Answer(status, b"", headers)))

    def send(self, data: bytes) -> None:
        self.soon(lambda: self.channel.send_more(self, data))

    def end(self) -> None:
        self.soon(lambda: self.channel.end(self))

    def if_gone(self, then: Step) -> None:
        self.gone = then
        if not self.channel.connected:
            self.leave()

    def leave(self) -> None:
        """Say that the sender has gone, if anybody wants to know."""
        if self.gone:
            self.soon(self.gone)
            self.gone = None


class _Channel(HTTPChannel):  # type: ignore[misc]
    """A connection: a request is read, answered, and the answer sent, before the next is begun.

    So whoever sends and does not read gets no further, and costs one request. It is
    touched by the loop alone.
    """

    parser_class = _Parser

    def __init__(self, *args: Any, **named: Any) -> None:
        self.begun = time.monotonic()
        self.served: float | None = None
        self.unread = b""
        self.call: _Call | None = None
        self.request: _Parser | None = None
        self.requests: list[_Parser] = []
        super().__init__(*args, **named)

    def received(self, data: bytes) -> bool:
        self.unread += data
        self.go_on()
        return True

    def handle_write(self) -> None:
        super().handle_write()
        self.go_on()

    def go_on(self) -> None:
        """Read up to the end of a request and have it served, if there is no other to finish."""
        while self.connected and not (self.requests or self.writable()):
            if self.request is None:
                self.unread = self.unread.lstrip()  # blank lines before a request are nothing
            if not self.unread:
                break
            self._read_on()

    def _read_on(self) -> None:
        if self.request is None:
            self.request = self.parser_class(self.adj)
            if self.served is not None:
                self.begun = time.monotonic()
        self.unread = self.unread[self.request.received(self.unread) :]
        if self.request.completed:
            self.requests.append(self.request)
            self.request = None
            self._serve(self.requests[0])
        elif self.request.expect_continue and self.request.headers_finished:
            self.request.expect_continue = False
            self.write_soon(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _serve(self, request: HTTPRequestParser) -> None:
        self.call = call = _Call(self, request)
        if request.error:
            call.answer(self._refusal(request))
        else:
            self.server.add_task(call)

    def _refusal(self, request: HTTPRequestParser) -> Answer:
        """How what is no HTTP that we take is answered: as all our refusals, and noted."""
        error = request.error
        # waitress quotes the offending line, which may be a credential's.
        told = error.body.partition('"')[0].strip()
        if error.code == 413:
            most = show_size(self.adj.max_request_body_size - 1)
            told = f"the body is larger than the largest max_body in hooks.yaml, {most}"
            if getattr(request, "path", "") == TRIAL:
                told = "the form is larger than what any hook takes"
        return self._unread(Refused(error.code, told))

    def tell(self, call: _Call, answer: Answer) -> None:
        """Send the answer to the request that is being served."""
        if call is not self.call or not self.connected:
            return
        request = call.request
        known = request.version in ("1.0", "1.1")
        closes = bool(request.error or request.connection_close or not known)
        try:
            head = _head(answer, request.version, closes=closes)
        except ValueError as error:
            answer = self.server.application.fault(error)
            head = _head(answer, request.version, closes=closes)
        silent = getattr(request, "command", "") == "HEAD" or answer.status in BODILESS
        body = b"" if silent else answer.body
        self.call, self.requests, call.gone = None, [], None
        self.served = time.monotonic()
        request.close()
        # In one piece if that is cheap: each is a call of the system, and a packet.
        for piece in (head + body,) if len(body) <= QUICK_BODY else (head, body):
            self.write_soon(piece)
        self.close_when_flushed = closes
        self.go_on()

    def begin(self, call: _Call, answer: Answer) -> None:
        """Send the head of an answer that goes on until the connection is closed."""
        if call is self.call and self.connected:
            self.served = time.monotonic()
            self.write_soon(_head(answer, call.request.version, closes=True, endless=True))

    def send_more(self, call: _Call, data: bytes) -> None:
        """Send some more of it, unless nothing of it is read."""
        if call is not self.call or not self.connected or call.request.command == "HEAD":
            return
        if self.total_outbufs_len > MOST_UNREAD:
            self.server.log.info(f"closed {self.addr[0]}: it listens, and does not read")
            self.handle_close()
            return
        self.write_soon(data)

    def end(self, call: _Call) -> None:
        """Close the connection once all is sent."""
        if call is self.call and self.connected:
            self.call, self.requests, call.gone = None, [], None
            call.request.close()
            self.close_when_flushed = True

    def _flush_some(self, do_close: bool = True) -> bool:
        sent = super()._flush_some(do_close)
        if sent and self.served is not None:
            self.served = time.monotonic()
        if not self.total_outbufs_len and self.outbufs[0].buf:
            # A file, or memory that never shrinks; an idle connection needs neither.
            self.outbufs.pop().close()
            self.outbufs.append(OverflowableBuffer(self.adj.outbuf_overflow))
        return bool(sent)

    def _flush_outbufs_below_high_watermark(self) -> None:
        """waitress waits here for the loop to send, and the loop must not wait for itself."""

    def look_after(self, now: float, idle: float) -> None:
        """Close it if nothing has come or gone for too long; free the place of who has gone."""
        if self.call:
            if now - self.begun > HALF_CLOSED_SECONDS and self._hung_up():
                self.call.leave()
            elif self.total_outbufs_len and self.served and now - self.served > IDLE_SECONDS:
                self.handle_close()
        elif self.request is not None or self.served is None:
            if now - self.begun > REQUEST_SECONDS:
                limit = f"{REQUEST_SECONDS:g} s"
                if self.request is None:  # it may be a browser's, which opens some for later
                    self.server.log.info(f"closed {self.addr[0]}: nothing came within {limit}")
                else:
                    self._unread(Refused(408, f"not complete within {limit}"), closed=True)
                self.handle_close()
        elif self.total_outbufs_len:
            patience = max(idle, REQUEST_SECONDS)
            if now - self.served > patience:
                why = f"nothing of its answer was taken for {patience:g} s"
                self.server.log.info(f"closed {self.addr[0]}: {why}")
                self.handle_close()
        elif now - self.served > idle:
            self.handle_close()

    def is_owed(self) -> bool:
        """True while it is being answered, unless it does not take what is sent."""
        if not self.total_outbufs_len:
            return bool(self.requests)
        return time.monotonic() - (self.served or self.begun) <= STALLED_SECONDS

    def _hung_up(self) -> bool:
        """True if whoever waits for an answer has said that it will send nothing more."""
        try:
            return not self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def handle_close(self) -> None:
        super().handle_close()
        if self.call:
            self.call.leave()

    def add_channel(self, map: Any = None) -> None:
        super().add_channel(map)
        self.server.touched.add(self)

    def del_channel(self, map: Any = None) -> None:
        self.server.forget(self._fileno)
        super().del_channel(map)

    def handle_error(self) -> None:
        _log_current(self.server)
        self.handle_close()

    def _unread(self, refused: Refused, *, closed: bool = False) -> Answer:
        """Have noted that a request never reached a hook; `closed` if it has no answer."""
        request = self.request or next(iter(self.requests), None)
        # waitress reads another request in place of one whose head is too large.
        known = request if refused.status != HEAD_TOO_LARGE else None
        headers = getattr(request, "headers", {})
        environ = {
            "REQUEST_METHOD": getattr(known, "command", ""),
            "PATH_INFO": str(getattr(known, "path", "")),  # of what has no first line there is none
            "CONTENT_LENGTH": str(getattr(request, "content_length", 0)),
            "REMOTE_ADDR": self.addr[0],
            "HTTP_X_FORWARDED_FOR": headers.get("X_FORWARDED_FOR", ""),
            "HTTP_ACCEPT": headers.get("ACCEPT", ""),
        }
        application: Application = self.server.application
        return application.unread(environ, refused, closed=closed)


def _head(answer: Answer, version: str, *, closes: bool, endless: bool = False) -> bytes:
    """The first lines of an answer; an `endless` one ends with the connection.

    Raises ValueError if one of them cannot be sent.
    """
    headers = {
        "Server": "hookrunner",
        "Date": build_http_date(time.time()),
        "Content-Length": str(len(answer.body)),  # the application's own is of a HEAD's body
        **{name.title(): value for name, value in answer.headers.items()},
    }
    if answer.status in BODILESS or endless:
        del headers["Content-Length"]
    if closes:
        headers["Connection"] = "close"
    elif version == "1.0":
        headers["Connection"] = "Keep-Alive"
    first = f"HTTP/{'1.1' if version == '1.1' else '1.0'} {status_line(answer.status)}"
    lines = [first, *(f"{name}: {value}" for name, value in headers.items())]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header of an answer holds a line break")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class _Waitress(TcpWSGIServer):  # type: ignore[misc]
    """waitress's server on a loop that looks only at connections where something happens.

    waitress asks each, every time round, what it waits for: a thousand that are idle would
    make everything three times as dear. Here a connection is asked when it has been touched.
    """

    channel_class = _Channel
    application: Application
    log: Log

    def __init__(self, *args: Any, **named: Any) -> None:
        self._poll = select.epoll()
        self._awaited: dict[int, int] = {}
        self._todo: deque[tuple[_Channel, Step]] = deque()
        self._timers = Timers()
        self._asleep = False
        self._slow: dict[str, float] = {}
        super().__init__(*args, **named)
        self.touched: set[Any] = {self.trigger}

    def drive(self, beside: Loop, commit: Callable[[], bool]) -> None:
        """Take that loop's turns between ours, and commit at the end of each.

        `commit` says whether more has been asked for since.
        """
        self._beside, self._commit, self._asked = beside, commit, False
        self._poll.register(beside, select.EPOLLIN)

    def turn(self, seconds: float) -> None:
        """Read, write and do what there is to do, or wait at most so long for something."""
        # Set before anything is looked at: what changes from here on pulls the trigger.
        self._asleep = True
        self._await(self)
        # To ask the listening socket, which may be among them, may touch others: every few
        # seconds it looks after all connections.
        while self.touched:
            self._await(self.touched.pop())
        patience = self._beside.patience(self._timers.patience(seconds))
        ready = self._poll.poll(0 if self._todo or self._asked else patience)
        self._asleep = False
        beside = self._beside.fileno()
        for fd, flags in ready:
            if channel := self._map.get(fd):
                wasyncore.readwrite(channel, flags)
                self.touched.add(channel)
            elif fd == beside:
                self._beside.turn(0)
        # Before the commits, which they may ask for.
        self._timers.run()
        self._beside.run_timers()
        for _ in range(PASSES):
            self._take_steps()
            try:
                self._asked = self._commit()
            except Exception as error:  # a bug in what somebody does when told; others are served
                self.application.fault(error)

    def _take_steps(self) -> None:
        for _ in range(MOST_STEPS):  # one asks for the next, but the others are to be heard, too
            if not self._todo:
                break
            self._take(*self._todo.popleft())
        self._beside.take_steps()

    def _await(self, channel: Any) -> None:
        """Have the system tell us of what it waits for now."""
        fd = channel._fileno
        if fd is None:
            return
        awaited = (select.EPOLLIN if channel.readable() else 0) | (
            select.EPOLLOUT if channel.writable() else 0
        )
        before = self._awaited.get(fd)
        if before is None:
            self._poll.register(fd, awaited)
        elif awaited != before:
            self._poll.modify(fd, awaited)
        self._awaited[fd] = awaited

    def forget(self, fd: int | None) -> None:
        """A connection is about to be closed."""
        if fd in self._awaited:
            del self._awaited[fd]
            self._poll.unregister(fd)

    def _take(self, channel: _Channel, step: Step) -> None:
        """A step for a connection; a bug in it costs that one."""
        try:
            step()
        except Exception as error:
            self.application.fault(error)
            channel.handle_close()
        self.touched.add(channel)

    def soon(self, channel: _Channel, step: Step) -> None:
        """Have a step taken by the loop; from any thread."""
        self._todo.append((channel, step))
        self.pull_trigger()

    def after(self, seconds: float, channel: _Channel, step: Step) -> Step:
        """Have it taken in so many seconds, unless what is returned is called; from the loop."""
        return self._timers.add(seconds, lambda: self._take(channel, step))

    def pull_trigger(self) -> None:
        """Wake the loop, if it sleeps."""
        if self._asleep:
            self._asleep = False
            super().pull_trigger()

    def add_task(self, call: _Call) -> None:
        """Have a request served: by the loop itself if that takes no time, or by a thread.

        To change threads costs more than most deliveries do. What takes long would hold up
        everybody: large bodies, pages, and hooks that have shown to be slow.
        """
        if self._is_quick(call.request):
            call.soon(call.service)
        else:
            super().add_task(call)

    def _is_quick(self, request: HTTPRequestParser) -> bool:
        size = len(request.body_rcv) if request.body_rcv else 0
        if size > QUICK_BODY or self._is_slow(request.path):
            return False
        if _is_page(request):
            return bool(request.path == HEALTH)
        return not self.application.asks_others(request.path)

    def note(self, path: str, seconds: float) -> None:
        """Remember the hook whose delivery took that much of the processor's time, if it is much.

        The hook and not the path, which may hold a stranger's inventions.
        """
        if seconds > SLOW:
            self._slow[self.application.hook_of(path)] = time.monotonic() + SLOW_FOR

    def _is_slow(self, path: str) -> bool:
        if not self._slow:
            return False
        return self._slow.get(self.application.hook_of(path), 0.0) > time.monotonic()

    def maintenance(self, now: float) -> None:
        crowded = len(self.active_channels) > self.adj.connection_limit * CROWDED
        idle = IDLE_SECONDS_IN_A_CROWD if crowded else IDLE_SECONDS
        for channel in list(self.active_channels.values()):
            self._take(channel, partial(channel.look_after, time.monotonic(), idle))

    def handle_error(self) -> None:
        _log_current(self)

    def close(self) -> None:
        super().close()
        self._poll.close()


def _log_current(server: _Waitress) -> None:
    error = sys.exc_info()[1]
    if isinstance(error, Exception):
        server.application.fault(error)


def _waitress(
    web: Application, listener: socket.socket, threads: int, connections: int, largest_body: int
) -> _Waitress:
    adjustments = Adjustments(
        threads=threads,
        connection_limit=connections,
        asyncore_use_poll=True,
        cleanup_interval=5,
        max_request_body_size=largest_body + 1,
        max_request_header_size=MOST_HEADER,
        inbuf_overflow=IN_MEMORY,
        recv_bytes=64 * 1024,
        clear_untrusted_proxy_headers=False,  # answer.client_address believes only whom it should
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
    logger.handlers = [_Warnings(log)]
    logger.propagate = False
    # "Task queue depth": with 40 threads a short queue is no news.
    logging.getLogger("waitress.queue").disabled = True


def _allow_descriptors() -> int:
    """Have as many descriptors as the system lets us: each connection takes one; how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(MOST_DESCRIPTORS, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(soft, wanted)
