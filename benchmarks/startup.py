"""How long from process start to the first 200, and how much memory all of it takes idle.

    python benchmarks/startup.py [rounds]

The limit is this machine's own, measured in the same run: a bare Python that imports
Bottle, waitress, PyYAML and jsonschema and ends. Both are medians, taken in turns.
Memory is PSS (proportional set size) over every process of the program.
"""

from __future__ import annotations

import http.client
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST_TIMES = 1.5
MOST_MEGABYTES = 80.0
RUNS = 30
"""How many runs there are before memory is looked at: children copy ahead what runs have copied."""


def main() -> int:
    """Print both ratios; 1 if one is over its limit."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    imports, starts, memory = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        project = _clone(Path(folder) / "project")
        for _ in range(rounds + 1):  # the first, which compiles, is left out below
            imports.append(_import_seconds())
            seconds, megabytes = _start(project)
            starts.append(seconds)
            memory.append(megabytes)
    bare, start = statistics.median(imports[1:]), statistics.median(starts[1:])
    print(f"bare import of the four libraries   {bare * 1000:7.0f} ms")
    print(f"process start to the first 200      {start * 1000:7.0f} ms")
    print(f"ratio                               {start / bare:7.2f}    (limit {MOST_TIMES})")
    idle = statistics.median(memory[1:])
    print(f"idle memory of all processes, PSS   {idle:7.1f} MB (limit {MOST_MEGABYTES:.0f})")
    return int(start / bare > MOST_TIMES or idle > MOST_MEGABYTES)


def _clone(target: Path) -> Path:
    for name in ("hookrunner", "scripts", "schemas"):
        shutil.copytree(ROOT / name, target / name)
    for name in ("runner.py", "hooks.yaml"):
        shutil.copy(ROOT / name, target / name)
    return target


def _import_seconds() -> float:
    began = time.perf_counter()
    command = [sys.executable, "-c", "import bottle, waitress, yaml, jsonschema"]
    subprocess.run(command, check=True)
    return time.perf_counter() - began


def _start(project: Path) -> tuple[float, float]:
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "runner.py", "--port", "0"], cwd=project, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    try:
        port = _port(process.stdout.readline())
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/-/health")
        answer = connection.getresponse()
        assert answer.read() and answer.status == 200
        seconds = time.perf_counter() - began
        for _ in range(RUNS):
            connection.request("GET", "/hello?name=Robert")
            answer = connection.getresponse()
            assert answer.read() and answer.status == 200
        connection.close()
        time.sleep(1)  # until it idles
        return seconds, sum(map(_pss, _tree(process.pid)))
    finally:
        process.terminate()
        process.communicate()


def _port(line: str) -> int:
    found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
    assert found, line
    return int(found[1])


def _tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    children = [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    return [pid, *(descendant for child in children for descendant in _tree(child))]


def _pss(pid: int) -> float:
    """Megabytes. The program hides its memory from all but root: for others RSS, which is more."""
    try:
        text, name = Path(f"/proc/{pid}/smaps_rollup").read_text(), "Pss"
    except PermissionError:
        text, name = Path(f"/proc/{pid}/status").read_text(), "VmRSS"
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    assert found, text
    return int(found[1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
