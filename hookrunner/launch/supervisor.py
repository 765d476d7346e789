"""The supervisor: a small process of its own that starts every script and owns every child.

    python supervisor.py FD REGISTER      executed, single-threaded, without secrets

It hears orders on a socket from the runner, starts scripts, and reports each attempt's end
there; output goes from the script straight to the runner. It keeps the time: an attempt's
timeout and the end of its lease are absolute times of the monotonic clock, which all
processes of a machine share, so a runner that is paused or cut off cannot make an attempt
outlive its lease.

It is a subreaper, and so is the runner. When the runner dies, however it dies, the
socket closes and every descendant is killed, those with a session of their own
included; when the supervisor dies, the runner does the same. Signals are for the
runner: TERM, INT and HUP, which a platform may send to every process, are ignored here.
"""

from __future__ import annotations

import array
import json
import marshal
import os
import select
import signal
import socket
import struct
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from hookrunner.launch import child, kin
from hookrunner.launch.nursery import Nursery

PATIENCE = 5.0
"""Seconds between TERM and KILL."""

MOST_LEFT = 32
"""Folders that may wait to be removed."""

GIVEN = 3
"""Descriptors that come with an order to start: standard input, output and error."""

WHO = struct.Struct("3i")
"""Pid, user and group of who sent a message (struct ucred of unix(7))."""

ROOM = socket.CMSG_SPACE(GIVEN * array.array("i").itemsize)
FOREVER = float("inf")


@dataclass(eq=False)
class _Script:
    """A script that runs. Times are of the monotonic clock.

    `why` is what it was told to end for, and `kill_at` when it must have.
    """

    number: int
    pid: int
    folder: str
    timeout_at: float
    lease_term: float
    lease_kill: float
    mark: bytes
    """What the environment of all that it starts has in it, and of nothing else."""

    server: int = 0
    """The pid of the fork-server that it is a child of; 0 if it is ours."""

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
        """TERM, and KILL in a while; once, however many ask for it with the same reason."""
        if self.why == why:
            return
        self.why = self.why or why
        self.kill_at = min(self.kill_at, now + PATIENCE)
        self.send(signal.SIGTERM)


class Supervisor:
    """The orders, the scripts, and the clock."""

    def __init__(self, orders: socket.socket, register: kin.Register | None) -> None:
        """`register` is where each script's pid and start time are noted."""
        self.orders = orders
        self.register = register
        self.scripts: dict[int, _Script] = {}
        self.unread = b""
        self.received: list[int] = []
        self.left: deque[str] = deque()
        """Folders of attempts that have ended, to be removed when there is nothing better to do."""

        self.poll = select.poll()
        self.ends = _socket_for_ends()
        self.nursery = Nursery(
            self.poll,
            orders.fileno(),
            self.ends.getsockname(),
            self._say,
            self._start_cold,
            self._started,
            self._ended_elsewhere,
        )
        self.wakes, wake = os.pipe()
        for fd in (self.wakes, wake):
            os.set_blocking(fd, False)
        # Python's ones and ours, and what whoever started us may have ignored.
        self.ignored = {
            number
            for number in signal.valid_signals()
            if signal.getsignal(number) not in (signal.SIG_DFL, None)
        }
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def run(self) -> None:
        """Serve until the runner is gone; then leave nobody behind."""
        self.poll.register(self.orders, select.POLLIN)
        self.poll.register(self.wakes, select.POLLIN)
        self.poll.register(self.ends, select.POLLIN)
        while True:
            ready = dict(self.poll.poll(0 if self.left else self._pause()))
            if self.left and (not ready or len(self.left) > MOST_LEFT):
                self._clear(self.left.popleft())
            if self.wakes in ready:
                with suppress(BlockingIOError):
                    while os.read(self.wakes, 4096):
                        pass
                self._reap()
            if self.ends.fileno() in ready:
                self._hear_of_an_end()
            if self.orders.fileno() in ready and not self._hear():
                break
            for fd in ready:
                self.nursery.hear(fd)
            self._keep_time()
            self.nursery.keep_time()
        kin.end_descendants()
        while self.left:
            self._clear(self.left.popleft())
        if self.register:
            self.register.close()

    def _pause(self) -> int | None:
        """Milliseconds until the clock has something to say."""
        soonest = min((script.next for script in self.scripts.values()), default=FOREVER)
        soonest = min(soonest, self.nursery.next)
        if soonest == FOREVER:
            return None
        return max(0, min(int((soonest - time.monotonic()) * 1000) + 1, 60_000))

    def _hear(self) -> bool:
        """Take what orders have come; False if the runner is gone."""
        try:
            # Not socket.recv_fds, which takes flags and ignores them: a script started by
            # another order would inherit these descriptors.
            data, sent, _, _ = self.orders.recvmsg(65536, ROOM, socket.MSG_CMSG_CLOEXEC)
        except InterruptedError:
            return True
        except OSError:
            return False
        if not data:
            return False
        for _, _, fds in sent:
            self.received += array.array("i", fds)
        self.unread += data
        while True:
            line, found, rest = self.unread.partition(b"\n")
            order = json.loads(line) if found else {}
            size = order.get("size", 0)
            if not found or len(rest) < size:
                return True
            self.unread = rest[size:]
            self._obey(order, rest[:size])

    def _obey(self, order: dict[str, Any], more: bytes) -> None:
        if order["do"] == "start":
            self._start(order, more)
            return
        if order["do"] == "serve":
            self.nursery.serve(json.loads(more))
            return
        if order["do"] == "count":
            self._tell({"spares": self.nursery.spares()})
            return
        number, now = order["number"], time.monotonic()
        if (script := self.scripts.get(number)) is None:
            return  # it has ended in the meantime
        if order["do"] == "lease":
            script.lease_term, script.lease_kill = order["term"], order["kill"]
        elif order["do"] == "end":
            script.end(order["why"], now)
        elif order["do"] == "kill":
            script.why = script.why or order["why"]
            script.send(signal.SIGKILL)

    def _start(self, order: dict[str, Any], spec: bytes) -> None:
        fds, self.received = self.received[:GIVEN], self.received[GIVEN:]
        if time.monotonic() >= order["term"]:  # the runner was paused: the run is another's by now
            self._tell({"number": order["number"], "code": -signal.SIGKILL, "why": "lease"})
            _close(fds)
        elif not order["script"] or not self.nursery.start(order, spec, fds):
            self._start_cold(order, spec, fds)

    def _start_cold(self, order: dict[str, Any], spec: bytes, fds: list[int]) -> None:
        wanted, before = marshal.loads(spec), kin.ticks()
        try:
            pid = self._fork(wanted, fds) if self._is_limited(wanted) else self._spawn(wanted, fds)
        except OSError as error:  # this script's trouble, nobody else's
            file = os.fsdecode(error.filename or b"")
            self._tell({"number": order["number"], "errno": error.errno, "file": file})
            self._clear(order["folder"])
        else:
            self._started(order, pid, 0, (before, kin.ticks()))
        finally:
            _close(fds)

    def _started(self, order: dict[str, Any], pid: int, server: int, born: tuple[int, int]) -> None:
        """Count it among the scripts that run; `born` between these two ticks."""
        if self.register:
            self.register.note(pid, *born)
        self.scripts[order["number"]] = _Script(
            number=order["number"],
            pid=pid,
            folder=order["folder"],
            timeout_at=order["timeout"],
            lease_term=order["term"],
            lease_kill=order["kill"],
            mark=f"HOOK_RUN={order['run']}".encode(),
            server=server,
        )

    def _is_limited(self, wanted: dict[str, Any]) -> bool:
        """True if a limit is to be set that we do not have ourselves."""
        return wanted["memory"] is not None or child.most_processes() is not None

    def _spawn(self, wanted: dict[str, Any], fds: list[int]) -> int:
        """Start the script's process without a copy of ourselves; its pid. Raises OSError."""
        child.make_folder(wanted["folder"], wanted["request"])
        os.chdir(wanted["cwd"])
        command = wanted["command"]
        return os.posix_spawnp(
            command[0],
            command,
            wanted["env"],  # our Python is in UTF-8 mode, and so encodes it as `child.encoded` does
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate(fds)],
            setsid=True,
            setsigmask=(),
            # What it may not inherit from us; TERM it does, for we ignore it.
            setsigdef=self.ignored - {signal.SIGTERM} if wanted["shield"] else self.ignored,
        )

    def _fork(self, wanted: dict[str, Any], fds: list[int]) -> int:
        """The same, where a limit is to be set before the script begins. Raises OSError."""
        report = os.dup(self.orders.fileno())
        # A TERM that comes before the child has handlers of its own must wait for it, not
        # be ignored as we ignore it: blocked signals are kept.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            pid = os.fork()
            if pid == 0:
                _become(wanted, fds, report)
            return pid
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            os.close(report)

    def _say(self, level: str, line: str) -> None:
        """Have the runner log it."""
        self._tell({"say": [level, line]})

    def _tell(self, said: dict[str, Any]) -> None:
        """Report to the runner, who may be gone."""
        with suppress(OSError):
            self.orders.sendall(json.dumps(said).encode() + b"\n")

    def _clear(self, folder: str) -> None:
        """Remove an attempt's folder; one that the script has left things in is the runner's."""
        if folder:
            with suppress(OSError):
                os.unlink(f"{folder}/{child.REQUEST}")
            try:
                os.rmdir(folder)
            except FileNotFoundError:
                pass
            except OSError:
                self._tell({"left": folder})

    def _reap(self) -> None:
        """See which children have ended: scripts, and orphans that became ours."""
        self.nursery.end_stopped()
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
            script = self._script(ended.si_pid)
            if script:
                # Before the leader is reaped: afterwards its pid could be another's.
                script.send(signal.SIGKILL)
            os.waitpid(ended.si_pid, 0)
            if script:
                self._report(script, code)
            elif self.nursery.died(ended.si_pid):
                self._end_children_of(ended.si_pid)

    def _script(self, pid: int) -> _Script | None:
        return next((script for script in self.scripts.values() if script.pid == pid), None)

    def _hear_of_an_end(self) -> None:
        """A child of a fork-server says how its script has ended, before it ends itself.

        The system says who it is; another's word counts for nothing. It stays a process until its
        fork-server is told to let it go, so its pid is its own.
        """
        with suppress(OSError):
            said, about, _, _ = self.ends.recvmsg(16, socket.CMSG_SPACE(WHO.size))
            for _, kind, who in about:
                if kind == socket.SCM_CREDENTIALS and said.isdigit():
                    pid, _, _ = WHO.unpack(who)
                    script = self._script(pid)
                    if script and script.server:
                        self._ended_elsewhere(pid, int(said))

    def _ended_elsewhere(self, pid: int, code: int) -> None:
        """A fork-server tells of the end of a child, and keeps its pid from becoming another's."""
        script = self._script(pid)
        if script:
            script.send(signal.SIGKILL)
            self._report(script, code)

    def _end_children_of(self, server: int) -> None:
        """What a fork-server leaves behind is ours now; nobody may trust what it does."""
        for script in self.scripts.values():
            if script.server == server:
                script.why = script.why or "server"
                script.send(signal.SIGKILL)

    def _report(self, script: _Script, code: int) -> None:
        if script.why or code:
            # It may be run again: nothing of it shall be there to meet the next.
            kin.end_marked(script.mark)
        del self.scripts[script.number]
        warm = bool(script.server)
        self._tell({"number": script.number, "code": code, "why": script.why, "warm": warm})
        if script.folder:
            self.left.append(script.folder)
        if not self.scripts and self.register:
            self.register.clear()

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


def _socket_for_ends() -> socket.socket:
    """Where children say that they end: at an address of no file system, with who they are."""
    ends = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    ends.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    ends.bind("")  # the system finds a name that is free (unix(7), autobind)
    return ends


def _become(wanted: dict[str, Any], fds: list[int], report: int) -> NoReturn:
    """In the child: become the script, or report why not."""
    try:
        child.take_descriptors((fds[0], fds[1], fds[2]), report)
        child.lead_session(shield=wanted["shield"])
        child.make_folder(wanted["folder"], wanted["request"])
        child.take_surroundings(wanted["cwd"], wanted["memory"])
        child.execute(wanted["command"], wanted["env"])
    except BaseException as error:
        child.report_failure(wanted["number"], error)


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


def main(fd: int, register: str) -> None:
    """What the executed process does; `fd` is the socket that orders come from."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    kin.adopt_orphans()
    child.hide_memory()
    for inherited in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            os.set_inheritable(int(inherited), int(inherited) < child.REPORT)
    with socket.socket(fileno=fd) as orders:
        Supervisor(orders, kin.Register(Path(register)) if register else None).run()
