"""The cold launcher: any script, started as a process from nothing.

The supervisor forks and keeps the time; this side, in the runner, hands it the ends of
pipes and reads. A script is the leader of its own session and process group; its
standard input is a file in memory, so no size of payload can block. It has ended when
its leader has: what it left running in its group is killed then, and cannot hold the
answer or the next attempt.

If the supervisor dies, the runner, a subreaper too, inherits every script, kills them
all, and starts another supervisor; the attempts count as interrupted.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hookrunner.launch import kin
from hookrunner.launch.output import Capture
from hookrunner.model import Outcome, State, Why
from hookrunner.seams import Emit, Start, Stream

CHUNK = 64 * 1024

MOST_LEFT = 1024 * 1024
"""Bytes that a pipe can hold at most for an unprivileged process: what a script may have
written before it ended. More than that comes from somebody who outlived it."""

NEEDED = ("PATH", "LANG", "LD_LIBRARY_PATH", "PYTHONHOME")
"""What a Python needs of the environment to start; the supervisor gets no more."""

ENDINGS = (os.CLD_EXITED, os.CLD_KILLED, os.CLD_DUMPED)
SHORTEST_RESTART, LONGEST_RESTART = 0.1, 5.0
"""Seconds before another supervisor is started, when one has not lived long."""

SECOND_THOUGHT = 1.0
"""Seconds that a death by TERM, which nobody here sent, waits for word of a stop: a
platform sends TERM to every process, and the script may be quicker to die than we to hear."""

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
    began: float
    report: int
    out: Capture
    err: Capture
    supervisor: int = 0
    streams: dict[int, tuple[Stream, Capture]] = field(default_factory=dict)


class ProcessLauncher:
    """Starts scripts as processes of their own; see `seams.Launcher`."""

    def __init__(
        self,
        say: Callable[[str], None] = lambda line: None,
        register: Path | None = None,
        held: tuple[int, ...] = (),
    ) -> None:
        """Start the supervisor.

        `register` is the file where it notes who runs; `held` are descriptors that it is
        to keep open, so that a lock is held until it, too, is gone.
        """
        self._say = say
        self._register = register
        self._held = held
        self._numbers = itertools.count(1)
        self._running: dict[int, _Running] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._terminated = False
        self._closing = False
        self._supervisors = 0
        self._replaced = threading.Condition(self._lock)
        kin.adopt_orphans()
        self._begin_supervisor()
        self._watcher = threading.Thread(target=self._watch_supervisor, name="watch", daemon=True)
        self._watcher.start()

    def run(self, start: Start, emit: Emit) -> Outcome:
        """Run the script to its end; see `seams.Launcher.run`."""
        try:
            running = self._order(start)
        except (OSError, ValueError) as error:
            return _not_started(start, getattr(error, "errno", errno.EINVAL), "")
        try:
            report = self._follow(running, emit)
        finally:
            with self._lock:
                del self._running[running.number]
            for fd in (*running.streams, running.report):
                os.close(fd)
        return self._outcome(running, report)

    def extend(self, run_id: str, lease: tuple[float, float]) -> None:
        """Its lease was renewed; see `seams.Launcher.extend`."""
        self._tell(run_id, {"do": "lease", "term": lease[0], "kill": lease[1]})

    def output(self, run_id: str) -> tuple[bytes, bytes] | None:
        """What a script has printed so far; see `seams.Launcher.output`."""
        with self._lock:
            found = [r for r in self._running.values() if r.start.run_id == run_id]
        return (found[0].out.result(), found[0].err.result()) if found else None

    def cancel(self, run_id: str) -> None:
        """TERM to one script, and KILL if that does not do."""
        self._tell(run_id, {"do": "end", "why": "cancel"})

    def begin_stop(self) -> None:
        """From now on a script that dies of TERM or KILL was interrupted, not at fault."""
        self._stopping.set()

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
        self._orders.close()

    def _order(self, start: Start) -> _Running:
        """Have the supervisor start the script. Raises OSError."""
        with ExitStack() as theirs, ExitStack() as ours:
            spec = _kept(theirs, _in_memory(_specification(start)))
            stdin = _kept(theirs, _in_memory(start.stdin))
            stdout, stderr, report = (_pipe(ours, theirs) for _ in range(3))
            running = _Running(
                number=next(self._numbers),
                start=start,
                began=time.monotonic(),
                report=report.ours,
                out=Capture(start.max_output),
                err=Capture(start.max_output),
            )
            running.streams = {
                stdout.ours: ("out", running.out),
                stderr.ours: ("err", running.err),
            }
            self._enrol(running, [spec, stdin, stdout.theirs, stderr.theirs, report.theirs])
            ours.pop_all()  # they are closed once the script has been followed to its end
            return running

    def _enrol(self, running: _Running, fds: list[int]) -> None:
        """Send the order, and count the script among those that run. Raises OSError."""
        order = {
            "do": "start",
            "number": running.number,
            "run": running.start.run_id,
            "timeout": running.began + running.start.timeout,
            "term": running.start.lease[0],
            "kill": running.start.lease[1],
        }
        with self._lock:
            self._send(order, fds)
            running.supervisor = self._supervisors
            self._running[running.number] = running
            if self._terminated:
                self._send({"do": "end", "number": running.number, "why": "stop"})

    def _send(self, order: dict[str, Any], fds: list[int] | None = None) -> None:
        # A supervisor that is dead reports nothing: the reader of its pipe finds out.
        if self._orders.fileno() == -1:
            return
        with suppress(BrokenPipeError, ConnectionResetError):
            socket.send_fds(self._orders, [json.dumps(order).encode() + b"\n"], fds or [])

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

    def _follow(self, running: _Running, emit: Emit) -> dict[str, Any] | None:
        """Read output until the supervisor reports the end; None if it never does."""
        poll = select.poll()
        for fd in (*running.streams, running.report):
            os.set_blocking(fd, False)
            poll.register(fd, select.POLLIN)
        while True:
            ready = [fd for fd, _ in poll.poll()]
            for fd in ready:
                if fd != running.report and not _read(running, fd, emit):
                    poll.unregister(fd)
            if running.report in ready:
                break
        line = os.read(running.report, 4096).partition(b"\n")[0]
        if not line:
            self._await_replacement(running.supervisor)
        for fd in list(running.streams):
            _drain(running, fd, emit)
        return json.loads(line) if line else None

    def _outcome(self, running: _Running, report: dict[str, Any] | None) -> Outcome:
        if report is not None and "errno" in report:
            return _not_started(running.start, report["errno"], report["file"])
        code = report["code"] if report else -int(signal.SIGKILL)
        why = report["why"] if report else "supervisor"
        if not why and self._was_stopped(code):
            why = "stop"
        state, reason, detail = _judge(running.start, code, why)
        return Outcome(
            state=state,
            why=reason,
            exit_code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            detail=detail,
            stdout=running.out.result(),
            stderr=running.err.result(),
            seconds=time.monotonic() - running.began,
        )

    def _was_stopped(self, code: int) -> bool:
        """True if the platform's own TERM or KILL, at a stop, is what the script died of."""
        if code == -signal.SIGTERM:
            return self._stopping.wait(SECOND_THOUGHT)
        return code == -signal.SIGKILL and self._stopping.is_set()

    def _begin_supervisor(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-c", PROGRAM, str(ROOT), str(theirs.fileno()),
                 str(self._register or "")],
                pass_fds=(theirs.fileno(), *self._held),
                stdin=subprocess.DEVNULL,
                env={name: os.environ[name] for name in NEEDED if name in os.environ},
                start_new_session=True,
            )  # fmt: skip
        self._orders = ours
        if self._register:
            kin.note(self._register.with_name(SUPERVISOR), self._process.pid)

    def _watch_supervisor(self) -> None:
        """Whenever the supervisor ends before its time, clear up after it and start another."""
        pause = SHORTEST_RESTART
        while True:
            began = time.monotonic()
            self._await_end()
            with self._lock:
                if self._closing:
                    return
            ended = kin.end_descendants()
            self._say(f"the supervisor ended unexpectedly; {ended} processes of scripts with it")
            if time.monotonic() - began < LONGEST_RESTART:
                time.sleep(pause)  # it may die at once, again and again
                pause = min(pause * 2, LONGEST_RESTART)
            else:
                pause = SHORTEST_RESTART
            with self._replaced:
                self._orders.close()
            while not self._begin_again():
                time.sleep(pause)
                pause = min(pause * 2, LONGEST_RESTART)

    def _await_end(self) -> None:
        """Wait until the supervisor has ended. One that was stopped might never go on."""
        while True:
            seen = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
            if seen is None or seen.si_code in ENDINGS:
                self._process.wait()
                return
            self._process.kill()

    def _begin_again(self) -> bool:
        """Start another supervisor; False if there is no process to be had just now."""
        with self._replaced:
            if self._closing:
                return True
            try:
                self._begin_supervisor()
            except OSError as error:
                self._say(f"no supervisor could be started: {error.strerror}; trying again")
                return False
            self._supervisors += 1
            self._replaced.notify_all()
            return True

    def _await_replacement(self, supervisor: int) -> None:
        """Wait until nothing is left of what this supervisor had started."""
        with self._replaced:
            while self._supervisors == supervisor and not self._closing:
                self._replaced.wait(0.1)


def _specification(start: Start) -> bytes:
    """What the supervisor needs to know to become the script. Raises ValueError."""
    if any("\0" in text for pair in start.env.items() for text in pair):
        raise ValueError("NUL")
    if any("\0" in part for part in start.command):
        raise ValueError("NUL")
    said = {
        "command": list(start.command),
        "env": dict(start.env),
        "cwd": str(start.cwd),
        "memory": start.memory,
        "shield": start.shield,
    }
    return json.dumps(said).encode()


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
}


@dataclass(frozen=True, slots=True)
class _Pipe:
    """Our end, to read from, and the script's."""

    ours: int
    theirs: int


def _pipe(ours: ExitStack, theirs: ExitStack) -> _Pipe:
    reading, writing = os.pipe()
    return _Pipe(_kept(ours, reading), _kept(theirs, writing))


def _kept(stack: ExitStack, fd: int) -> int:
    """The descriptor, to be closed with the stack."""
    stack.callback(os.close, fd)
    return fd


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


def _read(running: _Running, fd: int, emit: Emit) -> int:
    """Take what is there, at most a chunk; 0 if nobody can write to it any more."""
    try:
        data = os.read(fd, CHUNK)
    except BlockingIOError:
        return 1
    if not data:
        del running.streams[fd]
        os.close(fd)
        return 0
    stream, capture = running.streams[fd]
    capture.add(data)
    emit(stream, data)
    return len(data)


def _drain(running: _Running, fd: int, emit: Emit) -> None:
    """Take what the script had written before it ended."""
    left = MOST_LEFT
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while left > 0 and poll.poll(0):
        count = _read(running, fd, emit)
        if not count:
            return
        left -= count


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
