"""The running program: builds everything, starts and stops it in order.

The only module that knows waitress, whose defaults are traps for us: four threads, 100
connections, select, a gigabyte of body, an idle timeout that dripping bytes reset, and
a shutdown that gives running requests five seconds and cuts them on a second SIGTERM.
So its event loop is run here, and the stop is ours.
"""

from __future__ import annotations

import errno
import logging
import resource
import signal
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher

from hookrunner import VERSION
from hookrunner.config import Config, load, switched_off
from hookrunner.intake import Intake
from hookrunner.journal.sqlite import SqliteJournal
from hookrunner.launch import kin
from hookrunner.launch.process import ProcessLauncher
from hookrunner.log import Format, Log
from hookrunner.model import Refused, Trouble
from hookrunner.web import Networks, Web, problem
from hookrunner.worker import Workers

MOST_CONNECTIONS = 1500
REQUEST_SECONDS = 30.0
"""A request that is not here whole by then is closed, however it drips."""

IN_MEMORY = 128 * 1024
"""Bytes of a half-received body kept in memory; 1500 of them must fit a small dyno."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line and the environment say. Times are in seconds."""

    config: Path
    data: Path
    host: str
    port: int
    threads: int = 40
    slots: int = 8
    grace: float = 26.0
    log_format: Format = "text"
    on_dyno: bool = False
    trusted: Networks = ()


def serve(settings: Settings, environ: Mapping[str, str]) -> None:
    """Run until told to stop. Raises BadConfig and Trouble for what the user can mend."""
    log = Log(form=settings.log_format, stamped=not settings.on_dyno)
    try:
        config = load(settings.config, environ)
        log.know(config.secrets)
        kin.hide_memory()
        _allow_descriptors()
        listener = listen(settings.host, settings.port)
        journal = SqliteJournal(settings.data)
        _Program(settings, config, log, listener, journal).run()
    finally:
        log.close()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises Trouble if the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Trouble(
                f"port {port} is taken; choose another with --port {port + 1}, "
                "or stop the program that has it"
            ) from None
        raise Trouble(f"cannot listen on {host}:{port}: {error.strerror}") from None


class _Program:
    """All the parts, and the order in which they start and stop."""

    def __init__(
        self,
        settings: Settings,
        config: Config,
        log: Log,
        listener: socket.socket,
        journal: SqliteJournal,
    ) -> None:
        self.settings = settings
        self.config = config
        self.log = log
        self.journal = journal
        self.launcher = ProcessLauncher(
            log.error, settings.data / "scripts.pids", held=(journal.lock,)
        )
        self.intake = Intake(config, journal, log)
        self.workers = Workers(
            config, journal, self.launcher, log, settings.data / "runs", settings.slots
        )
        web = Web(self.intake, journal, log, settings.trusted, durable=not settings.on_dyno)
        self.server = _server(web, listener, settings, config, log)
        self.stop_asked = threading.Event()
        self.stop_at_once = threading.Event()
        self.settled = threading.Event()
        self.stop_by = 0.0

    def run(self) -> None:
        """Start, serve until a signal, stop."""
        _forward_warnings(self.log)
        recovered, lost = self.journal.recover(self.config.hooks)
        self.workers.start()
        threading.Thread(target=self._stop_when_asked, name="stop", daemon=True).start()
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        self._say_hello(recovered, lost)
        self._loop()
        self.server.close()
        self.launcher.close()
        self.journal.close()
        self.log.info("stopped")

    def _say_hello(self, recovered: int, lost: int) -> None:
        on = sum(not hook.missing for hook in self.config.hooks.values())
        where = _address(self.server)
        self.log.info(f"hookrunner {VERSION} listens on {where} with {_count(on, 'hook')}")
        for line in switched_off(self.config, on_dyno=self.settings.on_dyno):
            self.log.warning(line)
        if self.settings.on_dyno:
            self.log.warning(
                "runs are kept on this dyno's disk, which goes with the dyno: a restart loses "
                "what is queued; do not rely on more until the journal can be a database"
            )
        if recovered:
            self.log.info(f"{_count(recovered, 'run')} had been interrupted; running again")
        if lost:
            self.log.warning(f"{_count(lost, 'queued run')} failed: the path left hooks.yaml")

    def _on_signal(self, number: int, frame: object) -> None:
        # Heroku may send TERM several times: the drain must not mind. A second Ctrl-C is
        # somebody at a keyboard who means it.
        if number == signal.SIGINT and self.stop_asked.is_set():
            self.stop_at_once.set()
        self.stop_asked.set()

    def _loop(self) -> None:
        """Be waitress's event loop until all is said."""
        while not self._over():
            pause = 0.02 if self.settled.is_set() else 1.0
            wasyncore.loop(timeout=pause, use_poll=True, map=self.server._map, count=1)

    def _over(self) -> bool:
        if not self.settled.is_set():
            return False
        return self.server.quiet() or time.monotonic() > self.stop_by

    def _stop_when_asked(self) -> None:
        """Let what runs come to its end, for a time; then end it."""
        self.stop_asked.wait()
        begun = time.monotonic()
        grace = self.settings.grace
        self.stop_by = begun + grace
        self.intake.stopping = True
        self.launcher.begin_stop()
        self.workers.stop_claiming()
        self.log.info("stopping: what runs may finish, what comes now is told to come again")
        # Of Heroku's 30 s: TERM to scripts at 18, KILL at 23, gone by 26.
        if not self._join(begun + grace * 18 / 26):
            self.launcher.terminate()
            if not self._join(begun + grace * 23 / 26):
                self.launcher.kill()
                self.workers.join(2.0)
        self.journal.wake_senders()
        self.settled.set()
        self.server.pull_trigger()

    def _join(self, until: float) -> bool:
        """True once every worker is done; False at `until`, or when told to stop at once."""
        while time.monotonic() < until and not self.stop_at_once.is_set():
            if self.workers.join(min(0.1, max(until - time.monotonic(), 0))):
                return True
        return False


class _Channel(HTTPChannel):  # type: ignore[misc]
    """A connection that knows when the request began that it is receiving."""

    def __init__(self, *args: Any, **named: Any) -> None:
        self.begun = time.monotonic()
        self.heard = False
        super().__init__(*args, **named)

    def received(self, data: bytes) -> bool:
        before = self.request
        self.heard = True
        result = super().received(data)
        if self.request is not None and self.request is not before:
            self.begun = time.monotonic()
        return bool(result)

    def overdue(self, now: float) -> bool:
        """True if a request, or the first word of one, has been on its way for too long."""
        on_its_way = self.request is not None or not self.heard
        return on_its_way and not self.requests and now - self.begun > REQUEST_SECONDS


class _Server(TcpWSGIServer):  # type: ignore[misc]
    """waitress's server, with a deadline for whole requests."""

    channel_class = _Channel

    def maintenance(self, now: float) -> None:
        super().maintenance(now)
        for channel in self.active_channels.values():
            if channel.overdue(time.monotonic()):
                channel.will_close = True

    def quiet(self) -> bool:
        """True if no request is being answered and no answer is still being sent."""
        return not any(
            channel.requests or channel.total_outbufs_len
            for channel in self.active_channels.values()
        )


def _server(
    web: Web, listener: socket.socket, settings: Settings, config: Config, log: Log
) -> _Server:
    adjustments = Adjustments(
        threads=settings.threads,
        connection_limit=MOST_CONNECTIONS,
        asyncore_use_poll=True,
        cleanup_interval=5,
        # One more, because waitress refuses what reaches the limit and we what exceeds it.
        max_request_body_size=max(hook.max_body for hook in config.hooks.values()) + 1,
        inbuf_overflow=IN_MEMORY,
        recv_bytes=64 * 1024,
        clear_untrusted_proxy_headers=False,  # web.client_address believes only whom it should
        ident="hookrunner",
        log_socket_errors=False,
    )
    dispatcher = ThreadedTaskDispatcher()
    dispatcher.set_thread_count(settings.threads)
    sockinfo = (listener.family, listener.type, listener.proto, listener.getsockname())
    server = _Server(
        web,
        {},
        _sock=listener,
        dispatcher=dispatcher,
        adj=adjustments,
        sockinfo=sockinfo,
        bind_socket=False,
    )
    _Channel.error_task_class = _problem_task(log)
    return server


def _problem_task(log: Log) -> type:
    """How waitress answers what is no HTTP it takes: as all our refusals, and logged."""

    class ProblemTask(ErrorTask):  # type: ignore[misc]
        def execute(self) -> None:
            error = self.request.error
            # waitress quotes the offending line, which may be a credential's.
            told = error.body.partition('"')[0].strip()
            answer = problem(Refused(error.code, told))
            log.info(f"refused: {error.reason}: {told} ({error.code})", status=error.code)
            self.status = f"{error.code} {error.reason}"
            self.response_headers.extend(answer.headers.items())
            self.set_close_on_finish()
            self.content_length = len(answer.body)
            self.write(answer.body)

    return ProblemTask


def networks(text: str) -> Networks:
    """Trusted proxies: `*`, or addresses and networks with commas. Raises ValueError."""
    if text.strip() == "*":
        text = "0.0.0.0/0,::/0"
    return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


def _address(server: _Server) -> str:
    host, port = server.effective_host, server.effective_port
    if ":" in host:
        host = f"[{host}]"
    note = " (this machine only; --host 0.0.0.0 opens it)" if host in ("127.0.0.1", "[::1]") else ""
    return f"http://{host}:{port}{note}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


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
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
