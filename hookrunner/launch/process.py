"""The runner's side of starting a script: pipes, orders to the supervisor, and its reports.

The supervisor starts scripts and keeps the time; this side hands it the ends of pipes and
reads, for all scripts in one thread, the loop's. A script is the leader of its own session
and process group; its standard input is a file in memory, so no size of payload can block.
It has ended when its leader has: what it left running in its group is killed then, and
cannot hold the answer or the next attempt.

If the supervisor dies, the runner, a subreaper too, inherits every script, kills them
all, and starts another supervisor; the attempts count as interrupted.
"""

from __future__ import annotations

import errno
import itertools
import json
import marshal
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from hookrunner.counts import Count
from hookrunner.launch import kin
from hookrunner.launch.output import Capture
from hookrunner.log import Level
from hookrunner.loop import Loop
from hookrunner.model import Outcome, State, Why
from hookrunner.seams import Emit, Ended, Ready, Start, Stream

CHUNK = 16 * 1024
"""Bytes that are read of an output, or a report, before all others are looked after."""

MOST_LEFT = 1024 * 1024
"""Bytes that a pipe can hold at most for an unprivileged process: what a script may have
written before it ended. More than that comes from somebody who outlived it."""

NEEDED = ("PATH", "LANG", "LD_LIBRARY_PATH", "PYTHONHOME")
"""What a Python needs of the environment to start; the supervisor gets no more."""

SPARES = 8
"""Children of each fork-server that stand ready: as many as there are slots, by default."""

ENDINGS = (os.CLD_EXITED, os.CLD_KILLED, os.CLD_DUMPED)
SHORTEST_RESTART, LONGEST_RESTART = 0.1, 5.0
"""Seconds before another supervisor is started, when one has not lived long."""

SECOND_THOUGHT = 1.0
"""Seconds that a death by TERM, which nobody here sent, waits for word of a stop: a
platform sends TERM to every process, and the script may be quicker to die than we to hear."""

SOON_TOLD = 0.5
"""Seconds that the supervisor is given to say something; what it said before counts then."""

Say = Callable[[Level, str], None]

SUPERVISOR = "supervisor.pid"
"""The file, beside the register, that names the supervisor itself."""

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from hookrunner.launch.supervisor import main; main(int(sys.argv[2]), sys.argv[3])"
)


@dataclass(eq=False)
class _Running:
    """A script that the supervisor was told to start, and our ends of its pipes."""

    number: int
    start: Start
    emit: Emit
    ended: Ended
    began: float
    supervisor: int
    out: Capture
    err: Capture
    streams: dict[int, tuple[Stream, Capture]] = field(default_factory=dict)


class ProcessLauncher:
    """Starts scripts as processes of their own; see `seams.Launcher`."""

    def __init__(
        self,
        loop: Loop,
        say: Say = lambda level, line: None,
        register: Path | None = None,
        held: tuple[int, ...] = (),
    ) -> None:
        """Start the supervisor; `say` is told, as a line of the log, what befalls it.

        `register` is the file where it notes who runs; `held` are descriptors that it is
        to keep open, so that a lock is held until it, too, is gone.
        """
        self._loop = loop
        self._say = say
        self._register = register
        self._held = held
        self._numbers = itertools.count(1)
        self._running: dict[int, _Running] = {}
        self._lock = threading.Lock()
        self._stopping = False
        self._undecided: list[Callable[[], None]] = []
        self._terminated = False
        self._closing = False
        self._supervisors = 0
        self._ready: bytes | None = None
        self._unread = b""
        self._starts = Count()
        self._spares = 0
        self._asking: list[threading.Event] = []
        self._others = frozenset(kin.descendants(os.getpid()) if sys.platform == "linux" else ())
        """Children that were there before us, and are none of ours to end."""

        kin.adopt_orphans()
        self._begin_supervisor()
        self._watcher = threading.Thread(target=self._watch_supervisor, name="watch", daemon=True)
        self._watcher.start()

    def start(self, start: Start, emit: Emit, ended: Ended) -> None:
        """Start a script; see `seams.Launcher.start`."""
        try:
            self._order(start, emit, ended)
        except (OSError, ValueError) as error:
            ended(_not_started(start, getattr(error, "errno", errno.EINVAL), ""))

    def stand_ready(self, ready: Ready) -> None:
        """Have these scripts start warm; see `seams.Launcher.stand_ready`."""
        with self._lock:
            self._ready = json.dumps(_plan(ready)).encode()
            self._send_ready()

    def extend(self, run_id: str, lease: tuple[float, float]) -> None:
        """Its lease was renewed; see `seams.Launcher.extend`."""
        self._tell(run_id, {"do": "lease", "term": lease[0], "kill": lease[1]})

    def output(self, run_id: str) -> tuple[bytes, bytes] | None:
        """What a script has printed so far; see `seams.Launcher.output`."""
        with self._lock:
            found = [r for r in self._running.values() if r.start.run_id == run_id]
        return (found[0].out.result(), found[0].err.result()) if found else None

    def starts(self) -> Mapping[str, int]:
        """How many were started warm, cold, and missed; see `seams.Launcher.starts`."""
        seen = self._starts.seen()
        return {kind: seen.get((kind,), 0) for kind in ("warm", "cold", "missed")}

    def spares(self) -> int:
        """How many stand ready; not to be called on the loop's thread, which hears of it."""
        told = threading.Event()
        with self._lock:
            self._asking.append(told)
            self._send({"do": "count"})
        told.wait(SOON_TOLD)
        return self._spares

    def cancel(self, run_id: str) -> None:
        """TERM to one script, and KILL if that does not do."""
        self._tell(run_id, {"do": "end", "why": "cancel"})

    def stands(self) -> bool:
        """True while there is a supervisor that could start a script."""
        fields = kin.stat_fields(self._process.pid)
        return bool(fields) and fields[0] not in "ZX"

    def begin_stop(self) -> None:
        """From now on a script that dies of TERM or KILL was interrupted, not at fault."""
        self._stopping = True
        self._loop.soon(self._decide)

    def terminate(self) -> None:
        """TERM to every script; how they end after that counts as interrupted."""
        self._tell_all("end")

    def kill(self) -> None:
        """KILL likewise."""
        self._tell_all("kill")

    def close(self) -> None:
        """End the supervisor, and with it whatever still runs."""
        with self._lock:
            self._closing = True
        with suppress(OSError):
            self._orders.shutdown(socket.SHUT_RDWR)
        self._watcher.join(kin.UNKILLABLE)
        if self._watcher.is_alive():
            self._process.kill()
            self._watcher.join()

    def _order(self, start: Start, emit: Emit, ended: Ended) -> None:
        """Have the supervisor start the script. Raises OSError, ValueError."""
        began, theirs, ours = time.monotonic(), [_in_memory(start.stdin)], []
        try:
            for _ in ("stdout", "stderr"):
                reading, writing = os.pipe2(os.O_CLOEXEC)
                ours.append(reading)
                theirs.append(writing)
                os.set_blocking(reading, False)
            running = _Running(
                number=next(self._numbers),
                start=start,
                emit=emit,
                ended=ended,
                began=began,
                supervisor=self._supervisors,
                out=Capture(start.max_output, start.secrets),
                err=Capture(start.max_output, start.secrets),
            )
            self._enrol(running, theirs)
        except (OSError, ValueError):
            _close(ours)
            raise
        finally:
            _close(theirs)
        streams: list[tuple[Stream, Capture]] = [("out", running.out), ("err", running.err)]
        running.streams = dict(zip(ours, streams, strict=True))
        for fd in ours:
            self._loop.watch(fd, partial(self._read, running, fd))

    def _enrol(self, running: _Running, fds: list[int]) -> None:
        """Send the order, and count the script among those that run. Raises OSError."""
        start = running.start
        spec = _specification(start, running.number)
        order = {
            "do": "start",
            "number": running.number,
            "run": start.run_id,
            "script": start.command[1] if start.warm else "",
            "folder": str(start.folder or ""),
            "timeout": running.began + start.timeout,
            "term": start.lease[0],
            "kill": start.lease[1],
        }
        with self._lock:
            running.supervisor = self._supervisors
            self._send(order, fds, spec)
            self._running[running.number] = running
            if self._terminated:
                self._send({"do": "end", "number": running.number, "why": "stop"})

    def _send(self, order: dict[str, Any], fds: Iterable[int] = (), more: bytes = b"") -> None:
        # A supervisor that is dead reports nothing: whoever watches it finds out.
        if self._orders.fileno() == -1:
            return
        if more:
            order["size"] = len(more)
        data = json.dumps(order).encode() + b"\n" + more
        with suppress(BrokenPipeError, ConnectionResetError):
            sent = socket.send_fds(self._orders, [data], list(fds))
            if sent < len(data):
                self._orders.sendall(data[sent:])

    def _send_ready(self) -> None:
        if self._ready is not None:
            self._send({"do": "serve"}, (), self._ready)

    def _tell(self, run_id: str, order: dict[str, Any]) -> None:
        with self._lock:
            for number, running in self._running.items():
                if running.start.run_id == run_id:
                    self._send({**order, "number": number})

    def _tell_all(self, what: str) -> None:
        with self._lock:
            self._terminated = True
            for number in self._running:
                self._send({"do": what, "number": number, "why": "stop"})

    def _read(self, running: _Running, fd: int) -> int:
        """Take what a script has printed, at most a chunk; how much there was."""
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return 0
        if not data:  # nobody can write to it any more
            self._loop.unwatch(fd)
            del running.streams[fd]
            os.close(fd)
            return 0
        stream, capture = running.streams[fd]
        capture.add(data)
        running.emit(stream, data)
        return len(data)

    def _hear(self, orders: socket.socket) -> None:
        """Take what the supervisor reports."""
        try:
            data = orders.recv(CHUNK)
        except OSError:
            data = b""
        if not data:
            self._loop.unwatch(orders.fileno())  # `_watch_supervisor` does the rest
            return
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            said = json.loads(line)
            if "say" in said:
                self._say(*said["say"])
            elif "left" in said:
                _remove(said["left"])
            elif "spares" in said:
                self._take_count(said["spares"])
            elif running := self._running.get(said["number"]):
                self._see_end(running, said)

    def _take_count(self, spares: int) -> None:
        self._spares = spares
        with self._lock:
            asking, self._asking = self._asking, []
        for told in asking:
            told.set()

    def _see_end(self, running: _Running, report: dict[str, Any] | None) -> None:
        """A script has ended, or its supervisor has, and has not said how the script did."""
        for fd in list(running.streams):
            left = MOST_LEFT
            while left > 0 and (count := self._read(running, fd)):
                left -= count
            if fd in running.streams:
                self._loop.unwatch(fd)
                os.close(fd)
        running.streams.clear()
        with self._lock:
            del self._running[running.number]
        if report is not None and "errno" in report:
            running.ended(_not_started(running.start, report["errno"], report["file"]))
            return
        if report is not None:
            self._starts.add(_kind(running.start, warm=report.get("warm", False)))
        code = report["code"] if report else -int(signal.SIGKILL)
        why = report["why"] if report else "supervisor"
        seconds = time.monotonic() - running.began
        if code == -signal.SIGTERM and not why and not self._stopping:
            self._undecided.append(lambda: self._end(running, code, "", seconds))
            self._loop.after(SECOND_THOUGHT, self._decide)
        else:
            self._end(running, code, why, seconds)

    def _decide(self) -> None:
        """Those who died of a TERM that was not ours have waited long enough for a stop."""
        undecided, self._undecided = self._undecided, []
        for decide in undecided:
            decide()

    def _end(self, running: _Running, code: int, why: str, seconds: float) -> None:
        if not why and self._stopping and code in (-signal.SIGTERM, -signal.SIGKILL):
            why = "stop"  # the platform's own, which nobody here sent
        state, reason, detail = _judge(running.start, code, why)
        running.ended(
            Outcome(
                state=state,
                why=reason,
                exit_code=code if code >= 0 else None,
                signal=-code if code < 0 else None,
                detail=detail,
                stdout=running.out.result(),
                stderr=running.err.result(),
                seconds=seconds,
            )
        )

    def _begin_supervisor(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-X", "utf8", "-c", PROGRAM, str(ROOT), str(theirs.fileno()),
                 str(self._register or "")],
                pass_fds=(theirs.fileno(), *self._held),
                stdin=subprocess.DEVNULL,
                env={name: os.environ[name] for name in NEEDED if name in os.environ},
                start_new_session=True,
            )  # fmt: skip
        self._orders = ours
        self._unread = b""
        self._loop.soon(lambda: self._loop.watch(ours.fileno(), lambda: self._hear(ours)))
        if self._register:
            kin.note(self._register.with_name(SUPERVISOR), self._process.pid)

    def _watch_supervisor(self) -> None:
        """Whenever the supervisor ends before its time, clear up after it and start another."""
        pause = SHORTEST_RESTART
        while True:
            began = time.monotonic()
            self._await_end()
            with self._lock:
                self._loop.soon(partial(self._close, self._orders))
                if self._closing:
                    return
            ended = kin.end_descendants(self._others)
            self._say(
                "error", f"the supervisor ended unexpectedly; {ended} processes of scripts with it"
            )
            if time.monotonic() - began < LONGEST_RESTART:
                time.sleep(pause)  # it may die at once, again and again
                pause = min(pause * 2, LONGEST_RESTART)
            else:
                pause = SHORTEST_RESTART
            while not self._begin_again():
                time.sleep(pause)
                pause = min(pause * 2, LONGEST_RESTART)

    def _await_end(self) -> None:
        """Wait until the supervisor has ended. One that was stopped might never go on."""
        while True:
            try:
                seen = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
            except ChildProcessError:  # whoever ends all descendants has reaped it
                seen = None
            if seen is None or seen.si_code in ENDINGS:
                self._process.wait()
                return
            self._process.kill()

    def _begin_again(self) -> bool:
        """Start another supervisor; False if there is no process to be had just now."""
        with self._lock:
            if self._closing:
                return True
            try:
                self._begin_supervisor()
            except OSError as error:
                self._say(
                    "error", f"no supervisor could be started: {error.strerror}; trying again"
                )
                return False
            self._supervisors += 1
            self._send_ready()
            self._loop.soon(self._end_the_lost)
            return True

    def _end_the_lost(self) -> None:
        """Nothing is left of what earlier supervisors had started."""
        for running in list(self._running.values()):
            if running.supervisor < self._supervisors:
                _remove(str(running.start.folder or ""))
                self._see_end(running, None)

    def _close(self, orders: socket.socket) -> None:
        self._loop.unwatch(orders.fileno())
        orders.close()


def _specification(start: Start, number: int) -> bytes:
    """What is needed to become the script. Raises ValueError."""
    if "\0" in "".join((*start.env, *start.env.values(), *start.command)):
        raise ValueError("NUL")
    said = {
        "number": number,
        "command": list(start.command),
        "env": dict(start.env),
        "cwd": str(start.cwd),
        "memory": start.memory,
        "shield": start.shield,
        "folder": str(start.folder or ""),
        "request": start.request,
    }
    return marshal.dumps(said)  # both ends are the same Python


def _kind(start: Start, *, warm: bool) -> str:
    """How a script was started, as `seams.Launcher.starts` has it."""
    if warm:
        return "warm"
    return "missed" if start.warm else "cold"


def _plan(ready: Ready) -> dict[str, Any]:
    """The same, for the supervisor."""
    return {
        "python": sys.executable,
        "env": {**ready.env, "PYTHONUNBUFFERED": "1"},
        "cwd": str(ready.cwd),
        "spares": SPARES,
        "scripts": [
            {"path": str(path), "imports": [[name, list(taken)] for name, taken in imports]}
            for path, imports in ready.scripts.items()
        ],
    }


def _judge(start: Start, code: int, why: str) -> tuple[State, Why | None, str]:
    """What an attempt came to; `why` is what the supervisor had ended it for, if it had."""
    if why == "timeout":
        return State.FAILED, Why.TIMEOUT, f"timed out after {start.timeout:g} s"
    if code == 0:
        return State.SUCCEEDED, None, "exit 0"
    if why == "cancel":
        return State.CANCELLED, None, "cancelled"
    if why:
        return State.FAILED, Why.INTERRUPTED, INTERRUPTED[why]
    if code < 0:
        return State.FAILED, Why.SIGNAL, f"signal {-code} ({_signal_name(-code)})"
    return State.FAILED, Why.EXIT, f"exit {code}"


INTERRUPTED = {
    "stop": "interrupted: the runner is stopping",
    "lease": "interrupted: its lease ran out",
    "supervisor": "interrupted: the supervisor ended",
    "server": "interrupted: the fork-server ended",
}


def _remove(folder: str) -> None:
    """Remove what a script has left in its folder, however much that is."""
    if folder:
        remove = partial(shutil.rmtree, folder, ignore_errors=True)
        threading.Thread(target=remove, name="remove", daemon=True).start()


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)


def _in_memory(data: bytes) -> int:
    """A descriptor to read the data from; the payload never lies on a disk."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("stdin", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _not_started(start: Start, number: int, file: str) -> Outcome:
    script = Path(file or start.command[0]).name
    told = {
        errno.EINVAL: "a value for its environment or arguments holds a NUL character",
        errno.E2BIG: "its environment and arguments together are too large",
    }.get(number, f"{script}: {os.strerror(number)}")
    return Outcome(State.FAILED, Why.NOT_STARTED, detail=f"not started: {told}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
