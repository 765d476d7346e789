"""The cold launcher: any script, started as a process from nothing.

A script is the leader of its own session and process group; its standard input is a
file in memory, so no size of payload can block; its output is read as it comes. It has
ended when its leader has: what it left running in its group is killed then, and cannot
hold the answer or the next attempt. A timeout is TERM to the group, 5 s, KILL.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from hookrunner.launch.output import Capture
from hookrunner.model import Outcome, State, Why
from hookrunner.seams import Emit, Start, Stream

CHUNK = 64 * 1024
PATIENCE = 5.0
"""Seconds between TERM and KILL."""

MOST_LEFT = 1024 * 1024
"""Bytes that a pipe can hold at most for an unprivileged process: what a script may have
written before it ended. More than that comes from somebody who outlived it."""


@dataclass(eq=False)
class _Running:
    """A started script. `told` is when it was told to end, by monotonic clock."""

    process: subprocess.Popen[bytes]
    start: Start
    began: float
    out: Capture
    err: Capture
    timed_out: bool = False
    interrupted: bool = False
    kill_at: float | None = None
    streams: dict[int, tuple[Stream, Capture]] = field(default_factory=dict)

    @property
    def deadline(self) -> float:
        return self.kill_at if self.kill_at is not None else self.began + self.start.timeout

    def send(self, number: signal.Signals) -> None:
        """Signal the whole group; it may be gone."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


class ProcessLauncher:
    """Starts scripts as processes of their own; see `seams.Launcher`."""

    def __init__(self) -> None:
        self._running: set[_Running] = set()
        self._lock = threading.Lock()
        self._stopping = False
        self._terminated = False

    def run(self, start: Start, emit: Emit) -> Outcome:
        """Run the script to its end; see `seams.Launcher.run`."""
        began = time.monotonic()
        try:
            process = _spawn(start)
        except (OSError, ValueError) as error:
            return Outcome(State.FAILED, Why.NOT_STARTED, detail=_not_started(start, error))
        running = _Running(
            process, start, began, Capture(start.max_output), Capture(start.max_output)
        )
        self._add(running)
        try:
            self._watch(running, emit)
        finally:
            self._remove(running)
            running.send(signal.SIGKILL)
            process.wait()
            _close(process)
        return self._outcome(running)

    def begin_stop(self) -> None:
        """From now on a script that dies of TERM or KILL was interrupted, not at fault."""
        self._stopping = True

    def terminate(self) -> None:
        """TERM to every script; how they end after that counts as interrupted."""
        self._terminated = True
        with self._lock:
            for running in self._running:
                running.send(signal.SIGTERM)

    def kill(self) -> None:
        """KILL likewise."""
        self._terminated = True
        with self._lock:
            for running in self._running:
                running.send(signal.SIGKILL)

    def _add(self, running: _Running) -> None:
        with self._lock:
            self._running.add(running)
            if self._terminated:
                running.send(signal.SIGTERM)

    def _remove(self, running: _Running) -> None:
        # Before the leader is reaped: nobody may signal a pid that could be another's by then.
        with self._lock:
            self._running.discard(running)

    def _watch(self, running: _Running, emit: Emit) -> None:
        """Read output and keep the time until the leader has ended."""
        process = running.process
        assert process.stdout and process.stderr
        running.streams = {
            process.stdout.fileno(): ("out", running.out),
            process.stderr.fileno(): ("err", running.err),
        }
        poll = select.poll()
        for fd in running.streams:
            os.set_blocking(fd, False)
            poll.register(fd, select.POLLIN)
        exit_fd = _exit_descriptor(process.pid)
        try:
            poll.register(exit_fd, select.POLLIN)
            while True:
                ready = [fd for fd, _ in poll.poll(_milliseconds(running.deadline))]
                for fd in ready:
                    if fd != exit_fd and not _read(running, fd, emit):
                        poll.unregister(fd)
                if exit_fd in ready:
                    break
                if time.monotonic() >= running.deadline:
                    _out_of_time(running)
        finally:
            os.close(exit_fd)
        running.send(signal.SIGKILL)  # what it left running
        for fd in list(running.streams):
            _drain(running, fd, emit)

    def _outcome(self, running: _Running) -> Outcome:
        code = running.process.returncode
        died_of = -code if code < 0 else None
        stopped = self._terminated or (
            self._stopping and died_of in (signal.SIGTERM, signal.SIGKILL)
        )
        state, why, detail = _judge(running, code, stopped)
        return Outcome(
            state=state,
            why=why,
            exit_code=code if code >= 0 else None,
            signal=died_of,
            detail=detail,
            stdout=running.out.result(),
            stderr=running.err.result(),
            seconds=time.monotonic() - running.began,
        )


def _judge(running: _Running, code: int, stopped: bool) -> tuple[State, Why | None, str]:
    if running.timed_out:
        return State.FAILED, Why.TIMEOUT, f"timed out after {running.start.timeout:g} s"
    if code == 0:
        return State.SUCCEEDED, None, "exit 0"
    if stopped:
        return State.FAILED, Why.INTERRUPTED, "interrupted: the runner is stopping"
    if code < 0:
        return State.FAILED, Why.SIGNAL, f"signal {-code} ({_signal_name(-code)})"
    return State.FAILED, Why.EXIT, f"exit {code}"


def _spawn(start: Start) -> subprocess.Popen[bytes]:
    stdin = _in_memory(start.stdin)
    try:
        return subprocess.Popen(
            _limited(start),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=dict(start.env),
            cwd=start.cwd,
            start_new_session=True,
        )
    finally:
        os.close(stdin)


def _limited(start: Start) -> list[str]:
    """The command, behind a shell that sets what only the process itself can set."""
    steps = []
    if start.memory is not None:
        steps.append(f"ulimit -v {max(start.memory // 1024, 1)} || exit 126")
    if start.shield:
        steps.append("trap '' TERM")
    if not steps:
        return list(start.command)
    return ["/bin/sh", "-c", "; ".join([*steps, 'exec "$@"']), "sh", *start.command]


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


def _exit_descriptor(pid: int) -> int:
    """A descriptor that is readable once the process has ended, and before it is reaped."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # macOS, or a sandbox that does not know the call
        ended, ending = os.pipe()

        def wait() -> None:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            os.close(ending)

        threading.Thread(target=wait, name=f"exit-{pid}", daemon=True).start()
        return ended


def _milliseconds(deadline: float) -> int:
    return max(0, min(int((deadline - time.monotonic()) * 1000) + 1, 3_600_000))


def _out_of_time(running: _Running) -> None:
    if running.kill_at is None:
        running.timed_out = True
        running.kill_at = time.monotonic() + PATIENCE
        running.send(signal.SIGTERM)
    else:
        running.kill_at = time.monotonic() + PATIENCE
        running.send(signal.SIGKILL)


def _read(running: _Running, fd: int, emit: Emit) -> int:
    """Take what is there, at most a chunk; 0 if nobody can write to it any more."""
    try:
        data = os.read(fd, CHUNK)
    except BlockingIOError:
        return 1
    if not data:
        del running.streams[fd]
        return 0
    stream, capture = running.streams[fd]
    capture.add(data)
    emit(stream, data)
    return len(data)


def _drain(running: _Running, fd: int, emit: Emit) -> None:
    """Take what the script had written before it ended."""
    left = MOST_LEFT
    while left > 0 and select.select([fd], [], [], 0)[0]:
        count = _read(running, fd, emit)
        if not count:
            return
        left -= count


def _close(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()


def _not_started(start: Start, error: OSError | ValueError) -> str:
    if isinstance(error, ValueError):
        return "not started: a value for its environment or arguments holds a NUL character"
    if error.errno == errno.E2BIG:
        return "not started: its environment and arguments together are too large"
    script = Path(error.filename or start.command[0]).name
    return f"not started: {script}: {error.strerror}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
