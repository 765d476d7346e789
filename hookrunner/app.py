"""The running program: builds everything, starts and stops it in order.

Signals, reload, the timetable of a stop: what concerns all parts at once is here, and
nothing else is.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hookrunner import VERSION
from hookrunner.back import REGISTER, Back
from hookrunner.config import Config, load, switched_off
from hookrunner.front import Front
from hookrunner.hatch import METRICS, Hatch
from hookrunner.journal.opening import Opened, open_journal
from hookrunner.journal.reading import open_reader
from hookrunner.journal.where import shown
from hookrunner.launch import child, kin
from hookrunner.launch.process import SUPERVISOR
from hookrunner.log import Log, place_of
from hookrunner.loop import Loop
from hookrunner.model import BadConfig, JournalUnavailable, Trouble
from hookrunner.sections import hint
from hookrunner.serving import Server, listen
from hookrunner.settings import Settings
from hookrunner.waiting import patiently

if TYPE_CHECKING:
    from hookrunner.metrics import Metrics

LOOK_EVERY = 1.0
"""Seconds between two looks at the files, with --reload."""

FIRST_MOMENTS = 0.2
"""Seconds after the start before Python scripts are made ready to start warm."""

LAST_ANSWERS = 2.0
"""Seconds after all is settled in which a worker still answers who asks how it does."""

LAST_MOMENTS = 2.0
"""Seconds beyond the grace after which we end, whatever a journal that is away still waits for."""


def serve(settings: Settings, environ: Mapping[str, str]) -> None:
    """Run until told to stop. Raises BadConfig and Trouble for what the user can mend."""
    log = Log(form=settings.log_format, stamped=not settings.on_dyno)
    try:
        config = load(settings.config, environ)
        log.know(config.secrets)
        refuse_unknown(settings.only, config)
        child.hide_memory()
        listener = _listener(settings)
        if not settings.database:
            kin.end_if_stopped(settings.data / SUPERVISOR)
        opened = patiently(lambda: _open(settings, log), listener, log)
        _end_the_left(opened, log)
        _Program(settings, environ, config, log, listener, opened).run()
    finally:
        log.close()


def _listener(settings: Settings) -> socket.socket | None:
    """Where it listens, if it does. Raises Trouble."""
    if settings.port is None:
        return None
    if settings.records:
        return listen(settings.host, settings.port)
    return listen(settings.host, settings.port, "--metrics-port {0}, or METRICS_PORT={0}")


def refuse_unknown(only: Sequence[str], config: Config) -> None:
    """Raise Trouble if a worker is to run hooks that there are not."""
    for path in only:
        if path not in config.hooks:
            meant = hint(path, config.hooks) or f"; there are {', '.join(config.hooks)}"
            raise Trouble(f"--hooks names {path!r}, which is not in hooks.yaml{meant}")


def _open(settings: Settings, log: Log) -> Opened:
    return open_journal(settings.database, settings.data, SUPERVISOR, log.info)


def _end_the_left(opened: Opened, log: Log) -> None:
    """End what a runner and a supervisor before us have both left behind."""
    place = opened.own
    # Of a database, others run scripts, too, perhaps on this machine; ours have our folder.
    marks = (
        [f"TMPDIR={place.path}/runs/"]
        if place.name
        else [f"HOOK_RUN={run}\0" for run in opened.journal.unfinished()]
    )
    left = kin.end_recorded(place.path / REGISTER, marks)
    if left:
        log.warning(f"{_count(left, 'process', 'processes')} of scripts had outlived us; ended")


class _Program:
    """All the parts, and the order in which they start and stop."""

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        config: Config,
        log: Log,
        listener: socket.socket | None,
        opened: Opened,
    ) -> None:
        self.settings = settings
        self.environ = environ
        self.config = config
        self.log = log
        self.journal = journal = opened.journal
        self.loop = loop = Loop(
            "runs",
            lambda error: log.error(f"bug: {place_of(error)}; please report it"),
            driven=True,
        )
        self.back = Back(settings, config, opened, loop, log) if settings.runs else None
        self.front: Front | None = None
        self.hatch: Hatch | None = None
        self.server: Server | None = None
        if listener and settings.records:
            end_script = self.back.workers.cancel if self.back else lambda run_id: None
            fault = self.back.fault if self.back else None
            self.front = Front(settings, config, journal, loop, log, listener, end_script, fault)
            self.front.web.measure = self._measure
            self.server = self.front.server
        elif listener and self.back:
            fault, measure = self.back.fault, self._measure
            self.hatch = Hatch(settings, config, journal, loop, log, listener, fault, measure)
            self.server = self.hatch.server
        self.metrics: Metrics | None = None
        self.secrets = {*config.secrets, *(self.front.secrets if self.front else ())}
        log.know(self.secrets)
        self.reload_asked = threading.Event()
        self.stop_asked = threading.Event()
        self.stop_at_once = threading.Event()
        self.settled = threading.Event()
        self.stop_by = self.answer_by = 0.0

    def run(self) -> None:
        """Start, serve until a signal, stop."""
        recovered, lost = self.back.begin() if self.back else (0, ())
        stopper = threading.Thread(target=self._stop_when_asked, name="stop", daemon=True)
        stopper.start()
        threading.Thread(
            target=self._hear_signals, args=(_signals(),), name="signals", daemon=True
        ).start()
        threading.Thread(target=self._reload_when_asked, name="reload", daemon=True).start()
        with self.front.address() if self.front else nullcontext():
            self._say_hello(recovered, lost)
            self._serve(stopper)
        self.log.info("stopped")

    def _serve(self, stopper: threading.Thread) -> None:
        """Take deliveries and carry out runs until a signal; then let go of everything."""
        threading.Thread(target=self._make_ready, name="ready", daemon=True).start()
        gc.freeze()
        gc.enable()
        self.journal.lead()
        while not self._over():
            self.server.turn() if self.server else self.loop.turn(1.0)
        self.journal.follow()
        stopper.join()  # it may be about to wake the loop, whose descriptor close() gives away
        if self.server:
            self.server.close()
        if self.back:
            self.back.close()
        self.loop.close()
        self.journal.close()

    def _over(self) -> bool:
        """True once all is said."""
        if not self.settled.is_set():
            return False
        return not self.server or self.server.quiet.is_set() or time.monotonic() > self.answer_by

    def _say_hello(self, recovered: int, lost: Sequence[str]) -> None:
        settings, hooks = self.settings, _hooks(self.config)
        if not self.front:
            if settings.only:
                hooks = ", ".join(settings.only)
            slots = _count(settings.slots, "script")
            asked = f"; metrics at {self.server.address(METRICS)}" if self.server else ""
            self.log.info(
                f"hookrunner {VERSION} runs what is recorded for {hooks}, {slots} at once{asked}"
            )
            if self.server and not self.config.environ.get("ADMIN_TOKEN"):
                self.log.warning("nobody can have the metrics, for ADMIN_TOKEN is not set")
        else:
            others = "" if self.back else "; workers run what it records"
            place = self.front.server.address()
            self.log.info(f"hookrunner {VERSION} listens on {place} with {hooks}{others}")
        if settings.database:
            self.log.info(f"runs are kept in the database {shown(settings.database)}")
            self._tell_of_file()
        if not settings.durable:
            self.log.warning(
                "runs are kept on this dyno's disk, which goes with the dyno: a restart loses "
                "what has not run (README.md, 'What is not promised on a dyno'); to keep them: "
                "heroku addons:create heroku-postgresql:essential-0"
            )
        if self.front and settings.spare_token and not self.config.environ.get("ADMIN_TOKEN"):
            # Not by the log, which would mask it, and may be kept.
            link = f"{self.front.server.near}/-/login?token={settings.spare_token}"
            print(f"to see what happens, until this server stops: {link}", flush=True)
        if recovered:
            self.log.info(f"{_count(recovered, 'run')} had been interrupted; running again")
        self._warn(lost)

    def _tell_of_file(self) -> None:
        """Say what waits in a file that was the journal before there was a database."""
        with suppress(Trouble, JournalUnavailable):
            with closing(open_reader(self.settings.data)) as reader:
                waiting = len(reader.unfinished())
            if waiting:
                self.log.warning(
                    f"{_count(waiting, 'run waits', 'runs wait')} in {self.settings.data}, where "
                    "they were kept before; to have them run, start once without "
                    "JOURNAL_URL and DATABASE_URL"
                )

    def _make_ready(self) -> None:
        """Have Python scripts start warm; who posts in our first moments is not to wait for it."""
        if self.back and not self.stop_asked.wait(FIRST_MOMENTS):
            self.back.make_ready()

    def _measure(self, accept: str) -> tuple[str, bytes]:
        # Imported when somebody asks: it takes a quarter as long as all the rest of a start.
        from hookrunner.metrics import Metrics

        if self.metrics is None:
            asked = self.front.web if self.front else self.hatch
            assert asked  # whose page it is
            self.metrics = Metrics(self.journal, asked.refused, self.log, self.front, self.back)
        return self.metrics.text(self.config, accept)

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
        self.config = config
        if self.front:
            self.front.take_up(config)
        if self.hatch:
            self.hatch.config = config
        lost = self.back.take_up(config) if self.back else ()
        self.log.info(f"hooks.yaml was reloaded: {_hooks(config)}")
        self._warn(lost)
        return []

    def _warn(self, lost: Sequence[str]) -> None:
        for line in switched_off(self.config, on_dyno=self.settings.on_dyno):
            self.log.warning(line)
        for ids in _lines(lost):
            self.log.warning(f"failed, for their path has left hooks.yaml: {ids}")

    def _stop_when_asked(self) -> None:
        """Let what runs, and who waits, come to an end, for a time; then end it."""
        self.stop_asked.wait()
        begun = time.monotonic()
        self.stop_by = self.answer_by = begun + self.settings.grace
        if self.settings.database:
            threading.Thread(target=self._leave, name="leave", daemon=True).start()
        if self.front:
            self.front.refuse()
        if self.hatch:
            self.hatch.stopping = True
        if self.back:
            self._say_stopping(self.back.begin_stop())
            self.back.stop(begun, self.stop_at_once)
        elif self.front:
            self.log.info("stopping")
            self.front.let_wait(self._is_late)
        if self.front:
            self.front.end_waits()
        elif self.server:
            self.answer_by = min(self.stop_by, time.monotonic() + LAST_ANSWERS)
            self.server.end()
        if not self.settings.durable:
            self._name_the_lost()
        self.settled.set()
        self.server.wake() if self.server else self.loop.soon(lambda: None)

    def _say_stopping(self, running: int) -> None:
        self.log.info(
            f"stopping: {_count(running, 'script')} may finish, for "
            f"{self.settings.grace * 18 / 26:.0f} s "
            "at most; Ctrl-C ends them now; they run again at the next start"
            if running
            else "stopping"
        )

    def _is_late(self) -> bool:
        """True once nobody is to wait any longer: of Heroku's 30 s, after 18."""
        late = self.stop_by - self.settings.grace * 8 / 26
        return self.stop_at_once.is_set() or time.monotonic() > late

    def _leave(self) -> None:
        """End, though the journal cannot be closed: what is not in it by now is run again."""
        time.sleep(max(self.stop_by + LAST_MOMENTS - time.monotonic(), 0))
        self.log.error("the journal cannot be closed; what it does not know yet is run again")
        self.log.close(0.5)
        os._exit(1)

    def _name_the_lost(self) -> None:
        """List what was acknowledged and goes with the dyno's disk."""
        try:
            lost = self.journal.unfinished()
        except JournalUnavailable as error:
            self.log.error(f"the journal is unavailable: {error}")
            return
        for ids in _lines(lost):
            self.log.error(f"acknowledged, and lost with this dyno's disk: {ids}")


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
