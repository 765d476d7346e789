"""The supervisor: a small process of its own that starts every script and owns every child.

    python supervisor.py FD REGISTER      executed, single-threaded, without secrets

It hears orders on a socket from the runner, forks, and tells each attempt's end on a pipe
that came with the order; output goes from the script straight to the runner. It keeps
the time: an attempt's timeout and the end of its lease are absolute times of the
monotonic clock, which all processes of a machine share, so a runner that is paused or
cut off cannot make an attempt outlive its lease.

It is a subreaper, and so is the runner. When the runner dies, however it dies, the
socket closes and every descendant is killed, those with a session of their own
included; when the supervisor dies, the runner does the same. Signals are for the
runner: TERM, INT and HUP, which a platform may send to every process, are ignored here.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from hookrunner.launch import kin
from hookrunner.launch.child import REPORT, Surroundings, settle_in, take_descriptors

PATIENCE = 5.0
"""Seconds between TERM and KILL."""

MOST_DESCRIPTORS = 8
FOREVER = float("inf")


@dataclass(eq=False)
class _Script:
    """A script that runs. Times are of the monotonic clock.

    `why` is what it was told to end for, and `kill_at` when it must have.
    """

    number: int
    pid: int
    report: int
    timeout_at: float
    lease_term: float
    lease_kill: float
    mark: bytes
    """What the environment of all that it starts has in it, and of nothing else."""

    why: str = ""
    kill_at: float = FOREVER

    @property
    def next(self) -> float:
        """When something is to be done about it."""
        if self.why:
            return min(self.kill_at, self.lease_kill)
        return min(self.timeout_at, self.lease_term)

    def send(self, number: signal.Signals) -> None:
        """Signal the whole group. The leader is not reaped yet, so the pid is still its own."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:  # it has not come to lead a group yet
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
        except PermissionError:
            pass

    def end(self, why: str, now: float) -> None:
        """TERM, and KILL in a while."""
        self.why = self.why or why
        self.kill_at = min(self.kill_at, now + PATIENCE)
        self.send(signal.SIGTERM)


class Supervisor:
    """The orders, the scripts, and the clock."""

    def __init__(self, orders: socket.socket, register: Path | None) -> None:
        """`register` is the file where each script's pid and start time are noted."""
        self.orders = orders
        self.register = register
        self.scripts: dict[int, _Script] = {}
        self.unread = b""
        self.received: list[int] = []
        self.wakes, wake = os.pipe()
        for fd in (self.wakes, wake):
            os.set_blocking(fd, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def run(self) -> None:
        """Serve until the runner is gone; then leave nobody behind."""
        poll = select.poll()
        poll.register(self.orders, select.POLLIN)
        poll.register(self.wakes, select.POLLIN)
        while True:
            ready = dict(poll.poll(self._pause()))
            if self.wakes in ready:
                with suppress(BlockingIOError):
                    while os.read(self.wakes, 4096):
                        pass
            self._reap()
            if self.orders.fileno() in ready and not self._hear():
                break
            self._keep_time()
        kin.end_descendants()
        if self.register:
            self.register.unlink(missing_ok=True)

    def _pause(self) -> int | None:
        """Milliseconds until the clock has something to say."""
        soonest = min((script.next for script in self.scripts.values()), default=FOREVER)
        if soonest == FOREVER:
            return None
        return max(0, min(int((soonest - time.monotonic()) * 1000) + 1, 60_000))

    def _hear(self) -> bool:
        """Take what orders have come; False if the runner is gone."""
        try:
            data, fds, _, _ = socket.recv_fds(self.orders, 65536, MOST_DESCRIPTORS)
        except InterruptedError:
            return True
        except OSError:
            return False
        if not data:
            return False
        self.received += fds
        self.unread += data
        *lines, self.unread = self.unread.split(b"\n")
        for line in lines:
            self._obey(json.loads(line))
        return True

    def _obey(self, order: dict[str, Any]) -> None:
        number, now = order["number"], time.monotonic()
        if order["do"] == "start":
            self._start(order)
        elif (script := self.scripts.get(number)) is None:
            return  # it has ended in the meantime
        elif order["do"] == "lease":
            script.lease_term, script.lease_kill = order["term"], order["kill"]
        elif order["do"] == "end":
            script.end(order["why"], now)
        elif order["do"] == "kill":
            script.why = script.why or order["why"]
            script.send(signal.SIGKILL)

    def _start(self, order: dict[str, Any]) -> None:
        fds, self.received = self.received[:5], self.received[5:]
        spec, stdin, stdout, stderr, report = fds
        if time.monotonic() >= order["term"]:  # the runner was paused: the run is another's by now
            _tell(report, {"code": -signal.SIGKILL, "why": "lease"})
            for fd in fds:
                os.close(fd)
            return
        try:
            pid = self._fork(spec, (stdin, stdout, stderr), report)
        except OSError as error:  # no process to be had: this script's trouble, nobody else's
            _tell(report, {"errno": error.errno, "file": ""})
            os.close(report)
            return
        finally:
            for fd in (stdin, stdout, stderr):
                os.close(fd)
        self._note(pid)
        self.scripts[order["number"]] = _Script(
            number=order["number"],
            pid=pid,
            report=report,
            timeout_at=order["timeout"],
            lease_term=order["term"],
            lease_kill=order["kill"],
            mark=f"HOOK_RUN={order['run']}".encode(),
        )

    def _fork(self, spec: int, stdio: tuple[int, int, int], report: int) -> int:
        """Start the script's process; its pid. Raises OSError."""
        with open(spec, "rb") as file:
            wanted = json.loads(file.read())
        # A TERM that comes before the child has handlers of its own must wait for it, not
        # be ignored as we ignore it: blocked signals are kept.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            pid = os.fork()
            if pid == 0:
                _become(wanted, stdio, report)
            return pid
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def _note(self, pid: int) -> None:
        """Write down who runs, for whoever comes after us if we and the runner both die."""
        if self.register:
            kin.note(self.register, pid, "a")

    def _reap(self) -> None:
        """See which children have ended: scripts, and orphans that became ours."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            script = next((s for s in self.scripts.values() if s.pid == ended.si_pid), None)
            if script:
                # Before the leader is reaped: afterwards its pid could be another's.
                script.send(signal.SIGKILL)
            os.waitpid(ended.si_pid, 0)
            if script:
                if script.why or ended.si_code != os.CLD_EXITED or ended.si_status:
                    # It may be run again: nothing of it shall be there to meet the next.
                    kin.end_marked(script.mark)
                self._report(script, ended)

    def _report(self, script: _Script, ended: os.waitid_result) -> None:
        del self.scripts[script.number]
        code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        _tell(script.report, {"code": code, "why": script.why})
        os.close(script.report)
        if not self.scripts and self.register:
            self.register.unlink(missing_ok=True)

    def _keep_time(self) -> None:
        now = time.monotonic()
        for script in self.scripts.values():
            if now < script.next:
                continue
            if script.why:
                script.kill_at = now + PATIENCE
                script.lease_kill = FOREVER
                script.send(signal.SIGKILL)
            else:
                script.end("timeout" if now >= script.timeout_at else "lease", now)


def _become(wanted: dict[str, Any], stdio: tuple[int, int, int], report: int) -> NoReturn:
    """In the child: become the script, or report why not."""
    try:
        take_descriptors(stdio, report)
        surroundings = Surroundings(wanted["cwd"], wanted["memory"], wanted["shield"])
        settle_in(surroundings)
        command = [_bytes(part) for part in wanted["command"]]
        env = {_bytes(name): _bytes(value) for name, value in wanted["env"].items()}
        os.execvpe(command[0], command, env)
    except BaseException as error:
        number = error.errno if isinstance(error, OSError) else errno.EINVAL
        file = os.fsdecode(getattr(error, "filename", None) or b"")
        _tell(REPORT, {"errno": number, "file": file})
    os._exit(127)


def _tell(report: int, said: dict[str, Any]) -> None:
    """Write a line to the runner, who may be gone."""
    with suppress(OSError):
        os.write(report, json.dumps(said).encode() + b"\n")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def main(fd: int, register: str) -> None:
    """What the executed process does; `fd` is the socket that orders come from."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    kin.adopt_orphans()
    kin.hide_memory()
    with socket.socket(fileno=fd) as orders:
        Supervisor(orders, Path(register) if register else None).run()
