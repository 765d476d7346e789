"""What the pages cost with many runs in the journal: milliseconds each, as a browser waits.

    python benchmarks/pages.py [runs]

A journal of 1,000,000 runs (or as many as are asked for) of fifty hooks is made, the real
server started on it, and each page asked for twenty times. The exit status is 1 if any
took longer than 100 ms.
"""

from __future__ import annotations

import http.client
import re
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a script's path is its folder

RUNS = 1_000_000
TIMES = 20
MOST = 0.1
HOOK_COUNT = 50
TOKEN = "benchmark-token-of-some-length"
HOOKS = "".join(f"/hook-{n}: {{script: run.sh, auth: none}}\n" for n in range(HOOK_COUNT))

FILL = """
INSERT INTO run (id, hook, state, attempt, recorded_at, ended_at, method, path, params, query,
                 headers, content_type, remote_addr, delivery_id, event, body)
WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < :runs)
SELECT substr('aaaaaaaaaaaaaaaaaaaa' || replace(replace(replace(replace(CAST(n AS TEXT),
              '0', 'x'), '1', 'y'), '8', 'v'), '9', 'w'), -20),
       '/hook-' || iif(n % 50000 = 0, 49, n % 49),
       CASE WHEN n % 1000 = 0 THEN 'cancelled' WHEN n % 10 = 0 THEN 'failed' ELSE 'succeeded' END,
       1, unixepoch() - (:runs - n) * 0.6, NULL, 'POST', '/hook', '{}', '',
       '{"user-agent": "benchmark"}', 'application/json', '127.0.0.1', 'delivery-' || n, 'push',
       CAST('{"ref": "refs/heads/main", "number": ' || n || ', "more": "'
            || hex(zeroblob(200)) || '"}' AS BLOB)
FROM number
"""
ATTEMPTS = """
INSERT INTO attempt (run, number, started_at, exit_code, stdout)
SELECT seq, 1, recorded_at, iif(state = 'failed', 1, 0), CAST('done' || char(10) AS BLOB) FROM run
"""
# By themselves, so that the triggers count them, as they do where runs end one by one.
END = (
    "UPDATE run SET ended_at = recorded_at + 1",
    "UPDATE attempt SET state = (SELECT state FROM run WHERE seq = run), "
    "seconds = 0.005 * (1 + run % 400)",
)


def main() -> int:
    """Print what was measured; 1 if a page took too long."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    with tempfile.TemporaryDirectory() as folder:
        project = _project(Path(folder), runs)
        with closing(sqlite3.connect(project / "var" / "runs.sqlite")) as db:
            [run_id] = db.execute("SELECT id FROM run WHERE seq = ?", (runs // 2,)).fetchone()
        pages = {
            "overview": "/-/",
            "runs": "/-/runs",
            "runs of a hook": "/-/runs?hook=/hook-3",
            "runs of a rare hook": "/-/runs?hook=/hook-49",
            "runs that failed": "/-/runs?state=failed",
            "a hook's that failed": "/-/runs?hook=/hook-49&state=failed",
            "runs, a page deep down": f"/-/runs?before={runs // 3}",
            "runs, by time": "/-/runs?since=2001-01-01T00:00&until=2099-01-01T00:00",
            "runs, by a text": "/-/runs?text=no+run+has+it",
            "one run": f"/-/runs/{run_id}",
            "one hook": "/-/hook?path=/hook-49",
            "refusals": "/-/refusals",
        }
        with _server(project) as port:
            slow = [name for name, path in pages.items() if _measure(port, name, path) > MOST]
    if slow:
        print(f"longer than {MOST * 1000:.0f} ms: {', '.join(slow)}")
    return int(bool(slow))


def _measure(port: int, name: str, path: str) -> float:
    """Ask for a page again and again; print, and give the longest time that it took."""
    took = []
    for _ in range(TIMES):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        headers = {"Accept": "text/html", "Authorization": f"Bearer {TOKEN}"}
        began = time.perf_counter()
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        took.append(time.perf_counter() - began)
        assert answer.status == 200, (path, answer.status)
        connection.close()
    median = statistics.median(took)
    print(f"{name:24} {median * 1000:7.1f} ms   at most {max(took) * 1000:7.1f} ms", flush=True)
    return max(took)


def _project(folder: Path, runs: int) -> Path:
    from hookrunner.journal.looking import forget
    from hookrunner.journal.sqlite import SqliteJournal

    (folder / "scripts").mkdir()
    (folder / "scripts" / "run.sh").write_text("cat\n")
    (folder / "hooks.yaml").write_text("defaults: {keep: 365d}\n" + HOOKS)
    SqliteJournal(folder / "var").close()
    began = time.perf_counter()
    with closing(sqlite3.connect(folder / "var" / "runs.sqlite", isolation_level=None)) as db:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -400000"):
            db.execute(f"PRAGMA {pragma}")
        db.execute("BEGIN")
        db.execute(FILL, {"runs": runs})
        for statement in (ATTEMPTS, *END):
            db.execute(statement)
        forget(db, time.time())  # as the server does now and then, all along
        db.execute("COMMIT")
    print(f"{runs:,} runs were made in {time.perf_counter() - began:.0f} s", flush=True)
    return folder


@contextmanager
def _server(project: Path) -> Iterator[int]:
    command = [sys.executable, str(ROOT / "runner.py"), "--port", "0"]
    with subprocess.Popen(
        command, cwd=project, env={"ADMIN_TOKEN": TOKEN, "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        try:
            for line in process.stdout:
                if found := re.search(r"listens on http://\S+:(\d+)", line):
                    break
            assert found
            yield int(found[1])
        finally:
            process.terminate()


if __name__ == "__main__":
    sys.exit(main())
