"""Ours beside adnanh/webhook: how soon a script's output is in the sender's hands.

    python benchmarks/peer.py [rounds]

Both servers run side by side in one run, on the same scripts, and are asked in turns, so
that what else the machine does meets both. Both answer with what the script printed; ours
has also recorded the run for good before it starts the script or answers. Needed: Debian's
`webhook`; `hey` makes the load. Printed besides: what a process costs here at the least.

Without pandas in this Python, the pandas script is left out.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

HELLO_PY = 'import sys\nname = "world"\nprint(f"hello, {name}")\n'
HELLO_SH = 'name=world\necho "hello, $name"\n'
PANDAS_PY = (
    "import pandas\n"
    'frame = pandas.DataFrame({"n": range(100)})\n'
    'print("the sum is", int(frame.n.sum()))\n'
)
SCRIPTS = {"hello.py": HELLO_PY, "frame.py": PANDAS_PY, "hello.sh": HELLO_SH}
SAYS = {"hello.py": "hello, world", "frame.py": "the sum is 4950", "hello.sh": "hello, world"}

CLIENTS = (1, 8)
SECONDS = 3
LIMITS = {  # p50 at 1 client at most, requests a second at 8 clients at least: ours to theirs
    "hello.py": (0.10, 10.0),
    "frame.py": (0.02, 40.0),
    "hello.sh": (1.0, 0.8),
}


@dataclass(frozen=True, slots=True)
class Load:
    """What some clients saw of a server; latencies in seconds."""

    rate: float
    p50: float
    p99: float


def main() -> int:
    """Print the table; 1 if a ratio is missed, 2 if the peer is not installed."""
    if not shutil.which("webhook") or not shutil.which("hey"):
        print("webhook and hey are needed: apt-get install webhook hey", file=sys.stderr)
        return 2
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    scripts = [name for name in SCRIPTS if name != "frame.py" or _has_pandas()]
    with tempfile.TemporaryDirectory() as folder:
        seen = _measure(Path(folder), scripts, rounds)
    print("                            webhook            ours          ours : webhook")
    print("script     clients     p50    p99   /s     p50    p99   /s     p50    rate")
    missed = False
    for script in scripts:
        for clients in CLIENTS:
            theirs, ours = (_median(seen[who, script, clients]) for who in ("theirs", "ours"))
            p50, rate = ours.p50 / theirs.p50, ours.rate / theirs.rate
            print(
                f"{script:10} {clients:7}  {_row(theirs)}  {_row(ours)}   {p50:5.3f}  {rate:6.2f}"
            )
            most, least = LIMITS[script]
            missed |= p50 > most if clients == 1 else rate < least
    print(f"(times in ms, medians of {rounds} rounds of {SECONDS} s; limits {LIMITS})")
    _print_floor()
    return int(missed)


def _measure(
    folder: Path, scripts: list[str], rounds: int
) -> dict[tuple[str, str, int], list[Load]]:
    seen: dict[tuple[str, str, int], list[Load]] = {}
    project = _project(folder / "project", scripts)
    with _their_server(folder, project, scripts) as theirs, _our_server(project) as ours:
        ports = {"theirs": theirs, "ours": ours}
        for script in scripts:
            for who, port in ports.items():
                _await_answer(_url(who, port, script), SAYS[script])
        for _ in range(rounds):
            for script in scripts:
                for clients in CLIENTS:
                    for who, port in ports.items():
                        load = _load(_url(who, port, script), clients)
                        seen.setdefault((who, script, clients), []).append(load)
    return seen


def _has_pandas() -> bool:
    return importlib.util.find_spec("pandas") is not None


def _url(who: str, port: int, script: str) -> str:
    return f"http://127.0.0.1:{port}/{'hooks/' if who == 'theirs' else ''}{script}"


def _project(target: Path, scripts: list[str]) -> Path:
    shutil.copytree(ROOT / "hookrunner", target / "hookrunner")
    shutil.copy(ROOT / "runner.py", target)
    (target / "scripts").mkdir()
    hooks = ""
    for name in scripts:
        shell = "/bin/bash" if name.endswith(".sh") else sys.executable
        (target / "scripts" / name).write_text(f"#!{shell}\n{SCRIPTS[name]}")
        (target / "scripts" / name).chmod(0o755)
        hooks += f"/{name}:\n  script: {name}\n  auth: none\n  respond: output\n"
    (target / "hooks.yaml").write_text(hooks)
    return target


@contextmanager
def _our_server(project: Path) -> Iterator[int]:
    log = project / "log"
    command = [sys.executable, "runner.py", "--port", "0", "--grace", "1"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=project, stdout=file)
    try:
        while not (found := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())):
            if process.poll() is not None:
                raise RuntimeError(log.read_text())
            time.sleep(0.02)
        yield int(found[1])
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _their_server(folder: Path, project: Path, scripts: list[str]) -> Iterator[int]:
    hooks = [
        {
            "id": name,
            "execute-command": str(project / "scripts" / name),
            "command-working-directory": str(project),
            "include-command-output-in-response": True,
        }
        for name in scripts
    ]
    (folder / "hooks.json").write_text(json.dumps(hooks))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["webhook", "-hooks", str(folder / "hooks.json"), "-ip", "127.0.0.1"]
    with (folder / "their-log").open("wb") as log:
        process = subprocess.Popen([*command, "-port", str(port)], stdout=log, stderr=log)
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


def _await_answer(url: str, says: str) -> None:
    """Wait until the server is there, says what it should, and has had time to warm up."""
    end = time.monotonic() + 30
    while True:
        answer = subprocess.run(
            ["curl", "-s", "-X", "POST", url], capture_output=True, text=True, check=False
        )
        if answer.stdout.strip() == says:
            return
        if time.monotonic() > end:
            raise RuntimeError(f"{url}: {answer.stdout!r}")
        time.sleep(0.1)


def _load(url: str, clients: int) -> Load:
    command = ["hey", "-z", f"{SECONDS}s", "-c", str(clients), "-m", "POST", "-o", "csv"]
    command += ["-T", "application/json", "-d", '{"name": "world"}', url]
    began = time.perf_counter()
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = list(csv.DictReader(io.StringIO(printed)))
    assert rows, printed
    assert all(row["status-code"] == "200" for row in rows), printed[:2000]
    took = sorted(float(row["response-time"]) for row in rows)
    ended = max(float(row["offset"]) + float(row["response-time"]) for row in rows)
    seconds = min(ended, time.perf_counter() - began)
    return Load(len(rows) / seconds, took[len(took) // 2], took[len(took) * 99 // 100])


def _median(loads: list[Load]) -> Load:
    return Load(
        statistics.median(load.rate for load in loads),
        statistics.median(load.p50 for load in loads),
        statistics.median(load.p99 for load in loads),
    )


def _row(load: Load) -> str:
    return f"{load.p50 * 1000:6.1f} {load.p99 * 1000:6.1f} {load.rate:5.0f}"


FORKS = """
import gc, os, sys, time
sys.path.insert(0, sys.argv[1])
import hookrunner.launch.forkserver
code = compile(sys.argv[2], "script", "exec")
for name in sys.argv[3:]:
    __import__(name)
os.dup2(os.open("/dev/null", os.O_WRONLY), 3)
os.dup2(1, 4)
os.dup2(3, 1)
gc.collect(); gc.freeze(); took = []
for _ in range(100):
    began = time.perf_counter()
    pid = os.fork()
    if not pid:
        exec(code, {"__name__": "__main__"})
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(pid, 0)
    took.append(time.perf_counter() - began)
os.write(4, str(sorted(took)[50]).encode())
"""


def _print_floor() -> None:
    """What any runner here must pay at least, one after another."""
    print("the floor, each alone:")
    _print_time("posix_spawn of /bin/true", _spawn_time("/bin/true"))
    _print_time("posix_spawn of bash -c :", _spawn_time("/bin/bash", "-c", ":"))
    _print_time("fork and exit, warm server", _fork_time(""))
    _print_time("the same and hello.py", _fork_time(HELLO_PY))
    if _has_pandas():
        _print_time("fork and exit, with pandas", _fork_time("", "pandas"))
        _print_time("the same and frame.py", _fork_time(PANDAS_PY, "pandas"))


def _print_time(what: str, seconds: float) -> None:
    print(f"  {what:28} {seconds * 1000:6.2f} ms")


def _spawn_time(*command: str) -> float:
    took = []
    for _ in range(200):
        began = time.perf_counter()
        os.waitpid(os.posix_spawn(command[0], command, {}), 0)
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def _fork_time(script: str, *modules: str) -> float:
    """Of a process that has loaded what a fork-server has, and these modules; seconds."""
    command = [sys.executable, "-c", FORKS, str(ROOT), script, *modules]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    sys.exit(main())
