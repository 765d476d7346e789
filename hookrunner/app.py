"""The running program: builds everything, starts and stops it in order.

Signals, reload, the timetable of a stop: what concerns all parts at once is here, and
nothing else is.
"""

from __future__ import annotations

import gc
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from hookrunner import VERSION
from hookrunner.config import Config, load, switched_off
from hookrunner.intake import Intake
from hookrunner.journal.sqlite import SqliteJournal
from hookrunner.launch import child, kin
from hookrunner.launch.process import SUPERVISOR, ProcessLauncher
from hookrunner.log import Format, Log, place_of
from hookrunner.loop import Loop
from hookrunner.model import BadConfig, JournalUnavailable, Networks
from hookrunner.serving import Server, listen
from hookrunner.web import Web
from hookrunner.worker import Workers, known, standing_ready

LOOK_EVERY = 1.0
"""Seconds between two looks at the files, with --reload."""


ADDRESS = "address"
"""The file of the journal's folder that says where the server is."""

TOKEN = "token"
"""The file beside it with which its owner may ask the server."""

FIRST_MOMENTS = 0.2
"""Seconds after the start before Python scripts are made ready to start warm."""


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
    lease: float = 90.0
    reload: bool = False
    log_format: Format = "text"
    on_dyno: bool = False
    trusted: Networks = ()
    spare_token: str = field(default="", repr=False)
    """What ADMIN_TOKEN is taken to be if it is not set: made up for whoever sits at a terminal."""


def serve(settings: Settings, environ: Mapping[str, str]) -> None:
    """Run until told to stop. Raises BadConfig and Trouble for what the user can mend."""
    log = Log(form=settings.log_format, stamped=not settings.on_dyno)
    try:
        config = load(settings.config, environ)
        log.know(config.secrets)
        child.hide_memory()
        listener = listen(settings.host, settings.port)
        kin.end_if_stopped(settings.data / SUPERVISOR)
        journal = SqliteJournal(settings.data, say=log.info)
        left = kin.end_recorded(settings.data / "scripts.pids", journal.unfinished())
        if left:
            log.warning(f"{_count(left, 'process', 'processes')} of scripts had outlived us; ended")
        _Program(settings, environ, config, log, listener, journal).run()
    finally:
        log.close()


class _Program:
    """All the parts, and the order in which they start and stop."""

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        config: Config,
        log: Log,
        listener: socket.socket,
        journal: SqliteJournal,
    ) -> None:
        self.settings = settings
        self.environ = environ
        self.config = config
        self.log = log
        self.journal = journal
        self.loop = Loop(
            "runs",
            lambda error: log.error(f"bug: {place_of(error)}; please report it"),
            driven=True,
        )
        self.launcher = ProcessLauncher(
            self.loop, log.say, settings.data / "scripts.pids", held=(journal.lock,)
        )
        self.intake = Intake(config, journal, log)
        self.workers = Workers(
            self.loop,
            config,
            journal,
            self.launcher,
            log,
            settings.data / "runs",
            settings.slots,
            settings.lease,
        )
        self.web = web = Web(
            self.intake,
            journal,
            log,
            settings.trusted,
            durable=not settings.on_dyno,
            end_script=self.workers.cancel,
            checks={
                "supervisor": lambda: "" if self.launcher.stands() else "is being started anew",
                "server": lambda: "is stopping" if self.intake.stopping else "",
            },
        )
        web.access.spare = settings.spare_token
        self.server = Server(
            web, listener, settings.threads, largest_body(config), log, self.loop, journal.turn
        )
        web.access.owner = secrets.token_urlsafe(32)
        self.secrets = {*config.secrets, web.access.owner, *filter(None, [settings.spare_token])}
        log.know(self.secrets)
        self.reload_asked = threading.Event()
        self.stop_asked = threading.Event()
        self.stop_at_once = threading.Event()
        self.settled = threading.Event()
        self.stop_by = 0.0

    def run(self) -> None:
        """Start, serve until a signal, stop."""
        recovered, lost = self.journal.recover(known(self.config))
        self.workers.start()
        stopper = threading.Thread(target=self._stop_when_asked, name="stop", daemon=True)
        stopper.start()
        threading.Thread(
            target=self._hear_signals, args=(_signals(),), name="signals", daemon=True
        ).start()
        threading.Thread(target=self._reload_when_asked, name="reload", daemon=True).start()
        with self._address():
            self._say_hello(recovered, lost)
            self._serve(stopper)
        self.log.info("stopped")

    @contextmanager
    def _address(self) -> Iterator[None]:
        """Have the server's address where the command line finds it, as long as it serves.

        And a token with which the owner of the files may do what the administrator may.
        """
        place, token = self.settings.data / ADDRESS, self.settings.data / TOKEN
        token.unlink(missing_ok=True)  # it may be anybody's, and open to anybody
        with os.fdopen(os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{self.web.access.owner}\n")
        place.write_text(f"{self.server.near}\n")
        try:
            yield
        finally:
            place.unlink(missing_ok=True)
            token.unlink(missing_ok=True)
            self.web.access.owner = ""

    def _serve(self, stopper: threading.Thread) -> None:
        """Take deliveries and carry out runs until a signal; then let go of everything."""
        threading.Thread(target=self._make_ready, name="ready", daemon=True).start()
        gc.freeze()
        gc.enable()
        self.journal.lead()
        self._loop()
        self.journal.follow()
        stopper.join()  # it may be about to wake the loop, whose descriptor close() gives away
        self.server.close()
        self.launcher.close()
        self.loop.close()
        self.journal.close()

    def _say_hello(self, recovered: int, lost: Sequence[str]) -> None:
        self.log.info(
            f"hookrunner {VERSION} listens on {self.server.address} with {_hooks(self.config)}"
        )
        if self.settings.on_dyno:
            self.log.warning(
                "runs are kept on this dyno's disk, which goes with the dyno: a restart loses "
                "what has not run (README.md, 'What is not promised on a dyno')"
            )
        if self.settings.spare_token and not self.config.environ.get("ADMIN_TOKEN"):
            # Not by the log, which would mask it, and may be kept.
            link = f"{self.server.near}/-/login?token={self.settings.spare_token}"
            print(f"to see what happens, until this server stops: {link}", flush=True)
        if recovered:
            self.log.info(f"{_count(recovered, 'run')} had been interrupted; running again")
        self._warn(lost)

    def _make_ready(self) -> None:
        """Have Python scripts start warm; who posts in our first moments is not to wait for it."""
        if not self.stop_asked.wait(FIRST_MOMENTS):
            self.launcher.stand_ready(standing_ready(self.config))

    def _hear_signals(self, numbers: int) -> None:
        """Do what signals ask for.

        Heroku may send TERM several times: the drain must not mind. A second Ctrl-C is
        somebody at a keyboard who means it.
        """
        while True:
            for number in os.read(numbers, 64):
                if number == signal.SIGHUP:
                    self.reload_asked.set()
                    continue
                if number == signal.SIGINT and self.stop_asked.is_set():
                    self.stop_at_once.set()
                self.stop_asked.set()

    def _reload_when_asked(self) -> None:
        """Reload on SIGHUP; with --reload, also when a file has changed."""
        seen, wrong = watched(self.settings.config), list[str]()
        while not self.stop_asked.is_set():
            asked = self.reload_asked.wait(LOOK_EVERY if self.settings.reload else None)
            self.reload_asked.clear()
            now = watched(self.settings.config)
            if asked or now != seen:
                seen, wrong = now, self._reload()
            elif wrong:  # which may be a script's run bit, and scripts are not looked at
                wrong = self._reload(told=wrong)

    def _reload(self, told: Sequence[str] = ()) -> list[str]:
        """Read hooks.yaml anew, aside; then swap. What is bad leaves everything as it was.

        What is bad is returned, and logged unless it has been `told` already.
        """
        try:
            config = load(self.settings.config, self.environ)
        except BadConfig as error:
            if list(error.problems) != list(told):
                for line in error.problems:
                    self.log.error(line)
                self.log.error("hooks.yaml was not reloaded; the hooks are as they were")
            return list(error.problems)
        except Exception as error:
            self.log.error(f"bug: {place_of(error)}; please report it; hooks are as they were")
            return []
        # Old secrets stay masked: scripts that have them may still be running.
        self.secrets |= set(config.secrets)
        self.log.know(self.secrets)
        self.config = self.intake.config = self.workers.config = config
        self.server.take_bodies_of(largest_body(config))
        try:
            lost = self.journal.fail_lost(known(config))
        except JournalUnavailable as error:
            self.log.error(f"the journal is unavailable: {error}")
            lost = []
        self.launcher.stand_ready(standing_ready(config))
        self.journal.wake_workers()
        self.log.info(f"hooks.yaml was reloaded: {_hooks(config)}")
        self._warn(lost)
        return []

    def _warn(self, lost: Sequence[str]) -> None:
        for line in switched_off(self.config, on_dyno=self.settings.on_dyno):
            self.log.warning(line)
        for ids in _lines(lost):
            self.log.warning(f"failed, for their path has left hooks.yaml: {ids}")

    def _loop(self) -> None:
        """Serve until all is said."""
        while not self._over():
            self.server.turn(0.02 if self.settled.is_set() else 1.0)

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
        running = len(self.workers.attempts)
        self.log.info(
            f"stopping: {_count(running, 'script')} may finish, for {grace * 18 / 26:.0f} s "
            "at most; Ctrl-C ends them now; they run again at the next start"
            if running
            else "stopping"
        )
        # Of Heroku's 30 s: TERM to scripts at 18, KILL at 23, gone by 26.
        if not self._join(begun + grace * 18 / 26):
            self.launcher.terminate()
            if not self._join(begun + grace * 23 / 26):
                self.launcher.kill()
                self.workers.join(2.0)
        self.web.end_waits()
        if self.settings.on_dyno:
            self._name_the_lost()
        self.settled.set()
        self.server.wake()

    def _name_the_lost(self) -> None:
        """List what was acknowledged and goes with the dyno's disk."""
        try:
            lost = self.journal.unfinished()
        except JournalUnavailable as error:
            self.log.error(f"the journal is unavailable: {error}")
            return
        for ids in _lines(lost):
            self.log.error(f"acknowledged, and lost with this dyno's disk: {ids}")

    def _join(self, until: float) -> bool:
        """True once every worker is done; False at `until`, or when told to stop at once."""
        while time.monotonic() < until and not self.stop_at_once.is_set():
            if self.workers.join(min(0.1, max(until - time.monotonic(), 0))):
                return True
        return False


def _signals() -> int:
    """A descriptor from which the numbers of TERM, INT and HUP can be read as they come.

    A handler would run in the middle of the main thread's work, and again in the middle
    of itself when a second signal comes: the lock that it held then, of an Event, say,
    would be waited for by the only thread that could give it back.
    """
    numbers, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return numbers


def largest_body(config: Config) -> int:
    """The largest body, in bytes, that any hook takes."""
    return max(hook.max_body for hook in config.hooks.values())


def watched(path: Path) -> list[tuple[str, int, int, int]]:
    """What tells whether hooks.yaml, .env or a schema is another than before."""
    root = path.absolute().parent
    files = [path.absolute(), root / ".env", *sorted((root / "schemas").rglob("*.json"))]
    found = []
    for file in files:
        with suppress(OSError):  # follows links: a swapped one is a change
            stat = file.stat()
            found.append((str(file), stat.st_ino, stat.st_mtime_ns, stat.st_size))
    return found


def _lines(ids: Sequence[str]) -> list[str]:
    """Ids of runs, as many in a line as the log takes."""
    return [" ".join(ids[first : first + 100]) for first in range(0, len(ids), 100)]


def _hooks(config: Config) -> str:
    """How many hooks there are, and are not."""
    off = sum(bool(hook.missing) for hook in config.hooks.values())
    on = _count(len(config.hooks) - off, "hook")
    return f"{on}, and {off} switched off" if off else on


def _count(number: int, noun: str, several: str = "") -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {several or noun + 's'}"
