"""A real server process for a test, in a project folder of the test's own."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

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


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """A plain environment: nothing of the desk's own settings reaches the server."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, **more}


@dataclass
class Server:
    """A runner that serves, and every line it has logged."""

    folder: Path
    arguments: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    port: int = 0

    def __enter__(self) -> Server:
        self.process = subprocess.Popen(
            [sys.executable, str(REPOSITORY / "runner.py"), "--port", "0", *self.arguments],
            cwd=self.folder,
            env=environment(self.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._logged = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        found = re.search(r":(\d+)", self.wait_for_line("listens on").partition("listens on")[2])
        assert found
        self.port = int(found[1])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
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

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(SECONDS + 20)

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._logged:
                self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                self._logged.notify_all()
        with self._logged:
            self._logged.notify_all()


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
