"""The fork-servers of the supervisor: which scripts they serve, and who stands ready.

One server tries what every Python script imports and keeps what is light; scripts whose
imports are heavy get a server of their own, one for each set of imports. A run is handed
to a child that stands ready, or waits for the next; where there is no server (yet, or any
more), the script starts cold. A server that dies is replaced after a while, unless it
dies again and again.
"""

from __future__ import annotations

import array
import marshal
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hookrunner.launch import kin

SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 30.0
"""Seconds before a server that has died is replaced: longer each time."""

LIVELY = 60.0
"""Seconds after which a server's death is no sign that it will die again."""

OWN_SPARES = 4
"""Children of a server of its own that stand ready: each takes more memory than others do."""

MOST_DEATHS = 5
MOST_SPEC = 100_000
"""Bytes of a specification that can be handed over as one message."""

FOREVER = float("inf")

STANDARD = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
"""Signals that a Python is to find as a program usually does."""

ROOT = Path(__file__).resolve().parent.parent.parent
# The long line is room for the command of a script: ps(1) shows it there (child.rename).
PROGRAM = (
    "import sys; root, fd = sys.argv[1:3]; sys.path.insert(0, root); "
    "from hookrunner.launch.forkserver import main; "
    "main(int(fd), lambda: sys.path.remove(root))  # " + "." * 400
)

Order = tuple[dict[str, Any], bytes, list[int]]
"""What is to be started: the order, the specification, the standard descriptors."""


@dataclass(eq=False)
class _Server:
    """One process, and what it has told."""

    key: str
    plan: dict[str, Any]
    pid: int
    control: socket.socket
    printed: int
    began: float
    why: str = ""
    ready: bool = False
    coming: int = 0
    """Children that have been ordered and have not come yet."""

    spares: deque[tuple[int, socket.socket, int]] = field(default_factory=deque)
    waiting: deque[Order] = field(default_factory=deque)
    own: list[tuple[dict[str, Any], str]] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        return [script["path"] for script in self.plan["scripts"]]


class Nursery:
    """Starts servers, keeps them going, and hands out their children."""

    def __init__(
        self,
        poll: select.poll,
        report: int,
        ends: bytes,
        say: Callable[[str, str], None],
        start_cold: Callable[[dict[str, Any], bytes, list[int]], None],
        started: Callable[[dict[str, Any], int, int, tuple[int, int]], None],
        ended: Callable[[int, int], None],
    ) -> None:
        """`report` is the descriptor on which a child says why it could not become a script,
        `ends` the address of the socket on which it says how the script ended.

        `start_cold` starts what no server can; `started` and `ended` are told of the rest.
        """
        self._poll = poll
        self._report = report
        self._ends = ends
        self._say = say
        self._start_cold = start_cold
        self._started = started
        self._ended = ended
        self._plan: dict[str, Any] = {"scripts": []}
        self._servers: dict[int, _Server] = {}
        self._routes: dict[str, _Server] = {}
        self._by_pid: dict[int, _Server] = {}
        self._deaths: dict[str, int] = {}
        self._again: list[tuple[float, str, list[dict[str, Any]]]] = []

    def serve(self, plan: dict[str, Any]) -> None:
        """Have these scripts served from now on. What served before does until then."""
        self._plan = plan
        self._again.clear()
        self._deaths.clear()
        wanted = {script["path"] for script in plan["scripts"]}
        self._routes = {path: s for path, s in self._routes.items() if path in wanted}
        for server in list(self._servers.values()):
            if not server.ready or not set(server.paths) & set(self._routes):
                self._retire(server)
        if plan["scripts"]:
            self._begin("", plan["scripts"])

    def start(self, order: dict[str, Any], spec: bytes, fds: list[int]) -> bool:
        """Hand a run to a child that stands ready, or have it wait for one; False if none will."""
        server = self._routes.get(order["script"])
        if server is None or len(spec) > MOST_SPEC:
            return False
        server.waiting.append((order, spec, fds))
        self._hand_out(server)
        self._order_children(server)
        return True

    def spares(self) -> int:
        """How many children stand ready."""
        return sum(len(server.spares) for server in self._servers.values())

    def hear(self, fd: int) -> bool:
        """A descriptor is ready; False if it is none of ours."""
        server = self._servers.get(fd)
        if server is None:
            printing = next((s for s in self._servers.values() if s.printed == fd), None)
            if printing:
                self._show(printing)
            return printing is not None
        try:
            data, sent, _, _ = server.control.recvmsg(
                4096, socket.CMSG_LEN(4), socket.MSG_CMSG_CLOEXEC
            )
        except OSError:
            data, sent = b"", []
        if data:
            [passed] = array.array("i", sent[0][2]) if sent else [-1]
            self._take_word(server, marshal.loads(data), passed)
        else:
            self._poll.unregister(fd)  # it is dying; SIGCHLD follows
            self._unroute(server)
        return True

    def end_stopped(self) -> None:
        """KILL a server that somebody has stopped: it might never go on."""
        for pid in list(self._by_pid):
            with suppress(ChildProcessError):
                if os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG):
                    os.kill(pid, signal.SIGKILL)

    def died(self, pid: int) -> bool:
        """A child of the supervisor has ended; False if it was no server."""
        server = self._by_pid.pop(pid, None)
        if server is None:
            return False
        self._unroute(server)
        wanted = self._close(server)
        deaths = self._deaths.get(server.key, 0)
        if time.monotonic() - server.began > LIVELY:
            deaths = 0
        self._deaths[server.key] = deaths + 1
        if not wanted:
            return True
        if deaths + 1 >= MOST_DEATHS:
            names = ", ".join(Path(path).name for path in server.paths)
            self._say("error", f"the fork-server dies again and again; from now on cold: {names}")
            return True
        self._say(
            "error",
            "a fork-server ended unexpectedly; its scripts start cold until there is another",
        )
        pause = min(SHORTEST_PAUSE * 2**deaths, LONGEST_PAUSE)
        self._again.append((time.monotonic() + pause, server.key, server.plan["scripts"]))
        return True

    @property
    def next(self) -> float:
        """When there is something to be done (monotonic clock)."""
        return min((at for at, _, _ in self._again), default=FOREVER)

    def keep_time(self) -> None:
        """Start what is to be started again by now."""
        now = time.monotonic()
        due = [again for again in self._again if again[0] <= now]
        self._again = [again for again in self._again if again[0] > now]
        for _, key, scripts in due:
            self._begin(key, scripts)

    def _begin(self, key: str, scripts: list[dict[str, Any]], why: str = "") -> None:
        """Start a server. The one without a key tries what it is given; others know."""
        spares = self._plan["spares"] if not key else OWN_SPARES
        plan = {"scripts": scripts, "spares": spares, "trial": not key, "ends": self._ends}
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        printed, printing = os.pipe()
        with theirs:
            theirs.set_inheritable(True)
            python = self._plan["python"]
            env = {**self._plan["env"], "HOOK_RUN": "." * 64}
            try:
                pid = os.posix_spawn(
                    python,
                    [python, "-c", PROGRAM, str(ROOT), str(theirs.fileno())],
                    {_bytes(name): _bytes(value) for name, value in env.items()},
                    file_actions=[
                        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                        (os.POSIX_SPAWN_DUP2, printing, 1),
                        (os.POSIX_SPAWN_DUP2, printing, 2),
                    ],
                    setsid=True,
                    setsigmask=(),
                    setsigdef=STANDARD,  # whoever has started us may ignore some
                )  # fmt: skip
            except OSError as error:
                self._say(
                    "error",
                    f"no fork-server could be started: {error.strerror}; scripts start cold",
                )
                ours.close()
                os.close(printed)
                return
            finally:
                os.close(printing)
        server = _Server(key, plan, pid, ours, printed, time.monotonic(), why)
        server.coming = spares
        self._servers[ours.fileno()] = self._by_pid[pid] = server
        self._poll.register(ours, select.POLLIN)
        self._poll.register(printed, select.POLLIN)
        spec = os.memfd_create("plan")
        os.write(spec, marshal.dumps(plan))
        with suppress(OSError):
            socket.send_fds(ours, [b"plan"], [spec])
        os.close(spec)

    def _take_word(self, server: _Server, said: list[Any], fd: int) -> None:
        what, *about = said
        if what == "spare":
            server.coming -= 1
            born = kin.started_at(about[0]) or 0
            server.spares.append((about[0], socket.socket(fileno=fd), born))
            self._hand_out(server)
        elif what == "ended":
            pid, code = about
            for spare in [spare for spare in server.spares if spare[0] == pid]:
                server.spares.remove(spare)  # somebody has killed it while it waited
                spare[1].close()
            self._ended(pid, code)
            _tell(server, b"reap %d" % pid)
            self._order_children(server)
        elif what == "verdict":
            self._judge(server, *about)
        elif what == "no fork":
            server.coming -= about[0]
            self._start_waiting_cold(server)
        elif what == "ready":
            self._make_ready(server)

    def _judge(self, server: _Server, path: str, verdict: str, why: str) -> None:
        if verdict == "light":
            return
        script = next(s for s in server.plan["scripts"] if s["path"] == path)
        server.plan["scripts"].remove(script)
        if verdict == "own":
            server.own.append((script, why))
        else:
            self._say("warning", f"{Path(path).name} starts cold: {why}")

    def _make_ready(self, server: _Server) -> None:
        server.ready = True
        new = set(server.paths)
        for path in new:
            self._routes[path] = server
        for old in list(self._servers.values()):
            if old.ready and old is not server and old not in self._routes.values():
                self._retire(old)
        if new:
            names = ", ".join(sorted(Path(path).name for path in new))
            self._say("info", f"from now on warm: {names}{server.why}")
        groups: dict[str, list[tuple[dict[str, Any], str]]] = {}
        for script, why in server.own:
            groups.setdefault(_key(script), []).append((script, why))
        for key, group in groups.items():
            self._begin(key, [script for script, _ in group], f" ({group[0][1]})")
        if not server.plan["scripts"]:
            self._retire(server)

    def _hand_out(self, server: _Server) -> None:
        while server.waiting and server.spares:
            pid, spare, born = server.spares.popleft()
            order, spec, fds = server.waiting.popleft()
            try:
                with spare:
                    socket.send_fds(spare, [spec], [*fds, self._report])
            except OSError:  # it has been killed meanwhile; the server will tell
                server.waiting.appendleft((order, spec, fds))
                continue
            self._started(order, pid, server.pid, (born, born))
            for fd in fds:
                os.close(fd)

    def _order_children(self, server: _Server) -> None:
        """Have as many ready as wait, and half as many as there should be at the least.

        They are ordered in numbers, for a server that forks changes less memory so.
        """
        most = server.plan["spares"]
        short = len(server.waiting) - len(server.spares) - server.coming
        if short >= 0 or len(server.spares) + server.coming <= most // 2:
            number = max(short, most - len(server.spares) - server.coming)
            server.coming += number
            _tell(server, b"fork %d" % number)

    def _start_waiting_cold(self, server: _Server) -> None:
        while server.waiting:
            self._start_cold(*server.waiting.popleft())

    def _unroute(self, server: _Server) -> None:
        for path in [path for path, at in self._routes.items() if at is server]:
            del self._routes[path]
        self._start_waiting_cold(server)

    def _retire(self, server: _Server) -> None:
        """Let a server end that nobody needs; what its children run goes on."""
        self._unroute(server)
        self._by_pid.pop(server.pid, None)
        self._close(server)

    def _close(self, server: _Server) -> bool:
        """Close what belongs to a server; False if that has been done before."""
        for _, spare, _ in server.spares:
            spare.close()
        server.spares.clear()
        if server.control.fileno() == -1:
            return False
        for fd in (server.control.fileno(), server.printed):
            with suppress(KeyError):
                self._poll.unregister(fd)
        del self._servers[server.control.fileno()]
        server.control.close()
        os.close(server.printed)
        return True

    def _show(self, server: _Server) -> None:
        """What a module printed after all, when it was imported for everybody."""
        data = os.read(server.printed, 4096)
        if not data:
            self._poll.unregister(server.printed)
        for line in data.decode("utf-8", "replace").splitlines():
            self._say("info", f"fork-server: {line}")


def _key(script: dict[str, Any]) -> str:
    """What scripts that share a server have in common: packages that do not come with Python."""
    packages = {name.partition(".")[0] for name, _ in script["imports"]}
    return " ".join(sorted(packages - sys.stdlib_module_names)) or str(script["imports"])


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _tell(server: _Server, what: bytes) -> None:
    # One that does not listen is stuck in an import, or dead: never wait for it.
    with suppress(OSError):
        server.control.send(what, socket.MSG_DONTWAIT)
