"""A real server process for a test, in a project folder of the test's own."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

from hookrunner.launch import kin

REPOSITORY = Path(__file__).resolve().parent.parent
SECONDS = 20.0
"""How long anything here may take before the test gives up on it."""


@dataclass(frozen=True)
class Response:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Project:
    """A folder with hooks.yaml, scripts/ and schemas/, as a user has one."""

    folder: Path

    def __post_init__(self) -> None:
        for name in ("scripts", "schemas"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def hooks(self, text: str) -> Project:
        """Write hooks.yaml."""
        (self.folder / "hooks.yaml").write_text(text)
        return self

    def script(self, name: str, text: str) -> Project:
        """Write a script with its run bit."""
        path = self.folder / "scripts" / name
        path.write_text(text)
        path.chmod(0o755)
        return self

    def schema(self, name: str, contents: object) -> Project:
        """Write a schema."""
        (self.folder / "schemas" / name).write_text(json.dumps(contents))
        return self

    def lines(self, name: str) -> list[str]:
        """The whole lines that scripts have written to a file of the folder so far."""
        path = self.folder / name
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def journal(self, query: str, *given: object) -> list[tuple[Any, ...]]:
        """Ask the journal's file itself, and change nothing in it."""
        file = f"file:{self.folder}/var/runs.sqlite?mode=ro"
        with closing(sqlite3.connect(file, uri=True, timeout=SECONDS)) as db:
            return db.execute(query, given).fetchall()

    def command(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a verb to its end."""
        return subprocess.run(
            [sys.executable, str(REPOSITORY / "runner.py"), *arguments],
            cwd=self.folder,
            env=environment(environ),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def serve(self, *arguments: str, **environ: str) -> Server:
        """Start the server on a free port; use it in a `with`."""
        return Server(self.folder, arguments, environ)

    def work(self, *arguments: str, **environ: str) -> Server:
        """Start a worker, which has no port unless it is told; use it in a `with`."""
        return Server(self.folder, ("worker", *arguments), environ, listening=())


def at(seconds: float) -> Sequence[str]:
    """A Server's `program` whose clock begins at this Unix time."""
    return (str(REPOSITORY / "tests" / "at.py"), str(seconds))


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """A plain environment: nothing of the desk's own settings reaches the server."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, **more}


def wait_until(holds: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
    """Look again and again until it holds; for what no event tells of."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"it never came to be: {what}")
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """True if this process still does something; what only waits to be reaped does not."""
    fields = kin.stat_fields(pid)
    return bool(fields) and fields[0] not in "ZX"


@dataclass
class Server:
    """A runner that serves, and every line it has logged."""

    folder: Path
    arguments: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    port: int = 0
    program: Sequence[str] = (str(REPOSITORY / "runner.py"),)
    listening: Sequence[str] = ("--port", "0")
    prefix: ClassVar[Sequence[str]] = ()
    """What its command begins with."""

    def __enter__(self) -> Server:
        self.begin()
        self.wait_for(_says_hello, "a greeting")
        return self

    def begin(self) -> None:
        """Start it, and do not wait until it listens."""
        self.process = subprocess.Popen(
            [
                *self.prefix,
                sys.executable,
                *self.program,
                *self.listening,
                *self.arguments,
            ],
            cwd=self.folder,
            env=environment(self.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._logged = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        give_up = time.monotonic() + SECONDS
        while self.process.poll() is None:
            # Twice means at once; two that come together are one to the kernel.
            self.process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(0.2)
            if time.monotonic() > give_up:
                self.process.kill()
        self._reader.join(SECONDS)
        assert self.process.stdout
        self.process.stdout.close()
        if kind is not None:
            print("--- the server's log ---", *self.lines, sep="\n")

    def request(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Response(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Response:
        return self.request("GET", path, headers=_named(headers))

    def post(self, path: str, body: bytes | str = b"", **headers: str) -> Response:
        return self.request("POST", path, body, _named(headers))

    def post_json(self, path: str, value: object, **headers: str) -> Response:
        named = {"Content-Type": "application/json", **_named(headers)}
        return self.request("POST", path, json.dumps(value), named)

    def state(self, run_id: str) -> dict[str, Any]:
        """What /-/runs/ID says."""
        answer = self.get(f"/-/runs/{run_id}")
        assert answer.status == 200, answer
        return dict(answer.json)

    def wait_for_line(self, part: str, seconds: float = SECONDS) -> str:
        """The first line of the log that holds `part`, as soon as it is there."""
        return self.wait_for(lambda line: part in line, f"a line with {part!r}", seconds)

    def wait_for(self, fits: Callable[[str], bool], what: str, seconds: float = SECONDS) -> str:
        end = time.monotonic() + seconds
        with self._logged:
            while True:
                for line in self.lines:
                    if fits(line):
                        return line
                left = end - time.monotonic()
                if left <= 0 or (self.process.poll() is not None and not self._reader.is_alive()):
                    log = "\n".join(self.lines)
                    raise AssertionError(f"the log never had {what}:\n{log}")
                self._logged.wait(min(left, 0.5))

    def wait_until_ended(self, run_id: str) -> dict[str, Any]:
        """The run's state once it has ended."""
        self.wait_for(
            lambda line: run_id in line and re.search(r" (succeeded|failed) in ", line) is not None,
            f"the end of {run_id}",
        )
        return self.state(run_id)

    def wait_until_over(self, run_id: str, seconds: float = SECONDS) -> dict[str, Any]:
        """The run's state once there is no attempt of it to come."""
        ended = ("succeeded", "failed", "cancelled")
        wait_until(lambda: self.state(run_id)["state"] in ended, f"the end of {run_id}", seconds)
        return self.state(run_id)

    def supervisor(self) -> int | None:
        """The pid of the process that starts the scripts."""
        pid = self.process.pid
        return next(
            (p for p in kin.descendants(pid) if kin.parent_of(p) == pid and _serves(p)), None
        )

    def logging(self) -> bool:
        """True while any process of the server may still say something."""
        return self._reader.is_alive()

    def tree(self) -> list[int]:
        """The pids of all processes of the server, parents before their children."""
        return [self.process.pid, *kin.descendants(self.process.pid)]

    def kill(self) -> None:
        """SIGKILL to the runner; the rest of the tree is left to its own devices."""
        self.process.kill()
        self.process.wait()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(SECONDS + 20)

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            text = line.decode("utf-8", "replace").rstrip("\n")
            if found := re.search(r"hookrunner \S+ .*(?:on|at) http://[^/ ]+:(\d+)", text):
                self.port = int(found[1])
            with self._logged:
                self.lines.append(text)
                self._logged.notify_all()
        with self._logged:
            self._logged.notify_all()


def _says_hello(line: str) -> bool:
    return re.search(r"hookrunner \S+ (listens on|runs what is recorded for) ", line) is not None


def _serves(pid: int) -> bool:
    try:
        return b"hookrunner.launch.supervisor" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
