"""How many deliveries a second are accepted for good, and whether claiming stays flat.

    python benchmarks/accept.py [rounds] [--scrape]

The limits are this machine's own, measured in the same run, in turns: a bare Bottle
application on waitress with the same settings, which reads the body and answers 202, and
a bare SQLite loop that commits rows in groups (WAL, synchronous=FULL). Ours does what a
real delivery asks for: a token, a schema, a body of 1 kB, a synced commit before the 202.

No accepted run is started while we measure, or we would measure the starts of scripts: the
hook is `order: strict`, its first run lasts longer than the benchmark, and `queue` is
large enough for the rest. Each round has a server and a journal of its own.

With --scrape it measures something else instead: the same deliveries, without anybody who scrapes
/-/metrics and with somebody who does four times a second (Prometheus does once a minute, unless
it is told otherwise), in turns on the same server, and the ratio.

Then, a claim from a table of 1,000,000 finished runs against one from an empty table,
with the disk's share taken out, which is the same for both and would hide the rest.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import re
import select
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # for the processes started here; a script's path is its folder

LEAST_RATE = 0.5
MOST_P99 = 2.0
MOST_CLAIM = 1.5
JUDGED = 32
CLIENTS = (1, 8, JUDGED)
SECONDS = 1.5
WARM_UP = 0.3
THREADS = 40
FINISHED = 1_000_000
CLAIMS = 1000
SCRAPE_EVERY = 0.25
KINDS = ("alone", "again", "scraped")
"""Again is alone, too: how far they lie apart is what the machine's mood makes of nothing."""

LEAST_SCRAPED = 0.95

HOOKS = """
/accept:
  script: hold.sh
  auth: {token: {header: X-Token, value: $TOKEN}}
  schema: accept.json
  respond: accepted
  order: strict
  queue: 1000000
  timeout: 1h
"""
HOLD = "#!/bin/sh\nexec sleep 3600\n"
SCHEMA = {
    "type": "object",
    "required": ["ref", "number"],
    "properties": {
        "ref": {"type": "string", "pattern": "^refs/"},
        "number": {"type": "integer", "minimum": 1},
        "commits": {"type": "array", "maxItems": 100},
    },
}
COMMITS = [{"id": f"{n:040x}", "message": f"change {n}: " + "x" * 100} for n in range(5)]
BODY = json.dumps({"ref": "refs/heads/main", "number": 17, "commits": COMMITS}).encode()
TOKEN = "benchmark-token-of-some-length"
ADMIN_TOKEN = "administrator-of-the-benchmark"
REQUEST = (
    "POST /accept HTTP/1.1\r\n"
    "Host: 127.0.0.1\r\n"
    "User-Agent: benchmark\r\n"
    "Accept: */*\r\n"
    f"X-Token: {TOKEN}\r\n"
    "Content-Type: application/json\r\n"
    f"Content-Length: {len(BODY)}\r\n\r\n"
).encode() + BODY

SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Load:
    """What some clients saw of a server; latencies in seconds."""

    rate: float
    p50: float
    p99: float


def main() -> int:
    """Print what was measured; 1 if a limit is missed."""
    asked = [argument for argument in sys.argv[1:] if argument != "--scrape"]
    rounds = int(asked[0]) if asked else 5
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(1, mp_context=SPAWN) as other,
    ):
        if "--scrape" in sys.argv:
            return int(not _scrapes(Path(folder), other, rounds))
        accepts = _accepts(Path(folder), other, rounds)
        claims = other.submit(_claims, Path(folder)).result()
    return int(not (accepts and claims))


def _accepts(folder: Path, other: ProcessPoolExecutor, rounds: int) -> bool:
    """Measure deliveries in turns and print them; True if within the limits."""
    project = _project(folder / "project")
    commits: dict[int, list[float]] = {clients: [] for clients in CLIENTS}
    bare: dict[int, list[Load]] = {clients: [] for clients in CLIENTS}
    ours: dict[int, list[Load]] = {clients: [] for clients in CLIENTS}
    with _bare_server() as bare_port:
        for number in range(rounds):
            with _our_server(project, folder / f"data-{number}") as port:
                for clients in CLIENTS:
                    file = folder / "commits.sqlite"
                    commits[clients].append(other.submit(_commits, file, clients).result())
                    bare[clients].append(other.submit(_load, bare_port, clients).result())
                    ours[clients].append(other.submit(_load, port, clients).result())
    print("                 deliveries a second       p50, ms       p99, ms   bare group commit")
    print("clients          bare    ours   ratio    bare   ours    bare   ours       rows a second")
    for clients in CLIENTS:
        one, two = _median(bare[clients]), _median(ours[clients])
        print(
            f"{clients:7}       {one.rate:7.0f} {two.rate:7.0f}   {two.rate / one.rate:5.2f}"
            f"   {one.p50 * 1000:5.2f}  {two.p50 * 1000:5.2f}"
            f"   {one.p99 * 1000:5.2f}  {two.p99 * 1000:5.2f}"
            f"   {statistics.median(commits[clients]):17.0f}"
        )
    rate, p99 = two.rate / one.rate, two.p99 / one.p99
    print(f"rate at {JUDGED} clients, to the bare one's     {rate:5.2f}  (at least {LEAST_RATE})")
    print(f"p99 at {JUDGED} clients, to the bare one's      {p99:5.2f}  (at most {MOST_P99})")
    return rate >= LEAST_RATE and p99 <= MOST_P99


def _scrapes(folder: Path, other: ProcessPoolExecutor, rounds: int) -> bool:
    """Measure deliveries with and without scrapes, and print them; True if within the limit."""
    project = _project(folder / "project")
    loads: dict[str, list[Load]] = {kind: [] for kind in KINDS}
    costs: dict[str, list[float]] = {kind: [] for kind in KINDS}
    took: list[float] = []
    for number in range(rounds):
        with _our_server(project, folder / f"data-{number}") as port:
            # Who comes later has the longer queue: so each comes first in turn.
            for place in range(len(KINDS)):
                kind = KINDS[(number + place) % len(KINDS)]
                before = _scrape(port)  # the first loads the library
                load = other.submit(_load, port, JUDGED)
                while kind == "scraped" and not load.done():
                    began = time.perf_counter()
                    _scrape(port)
                    took.append(time.perf_counter() - began)
                    time.sleep(SCRAPE_EVERY)
                loads[kind].append(load.result())
                costs[kind].append(_cost(before, _scrape(port)))
    print(f"{JUDGED} clients  a second   p50, ms   p99, ms   processor, ms a delivery")
    for kind in KINDS:
        load_, cost = _median(loads[kind]), statistics.median(costs[kind]) * 1000
        print(
            f"{kind:10}  {load_.rate:8.0f}  {load_.p50 * 1000:8.2f}  {load_.p99 * 1000:8.2f}"
            f"  {cost:25.3f}"
        )
    took.sort()
    p50, most = took[len(took) // 2] * 1000, took[-1] * 1000
    print(f"{len(took)} scrapes, p50 {p50:.1f} ms, at most {most:.1f} ms")
    _ratios(loads, "alone", "again")
    ratio = _ratios(loads, "alone", "scraped")
    print(f"the latter is to be at least {LEAST_SCRAPED}")
    return ratio >= LEAST_SCRAPED


def _ratios(loads: Mapping[str, Sequence[Load]], one: str, two: str) -> float:
    """The median of the rounds' ratios of two rates, which is printed with all of them."""
    each = sorted(b.rate / a.rate for a, b in zip(loads[one], loads[two], strict=True))
    ratio = statistics.median(each)
    print(f"{two} : {one}, {ratio:.2f} of", " ".join(f"{number:.2f}" for number in each))
    return ratio


def _scrape(port: int) -> str:
    """The metrics."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/-/metrics", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert answer.status == 200, text
    return text


def _cost(before: str, after: str) -> float:
    """Seconds of the processor that each delivery between two scrapes has taken the server."""
    spent, recorded = (
        [float(number) for text in (before, after) for number in re.findall(pattern, text)]
        for pattern in (
            r"(?m)^process_cpu_seconds_total (\S+)$",
            r'(?m)^hookrunner_runs_recorded_total\{hook="/accept"\} (\S+)$',
        )
    )
    return (spent[1] - spent[0]) / (recorded[1] - recorded[0])


def _median(loads: list[Load]) -> Load:
    return Load(
        statistics.median(load.rate for load in loads),
        statistics.median(load.p50 for load in loads),
        statistics.median(load.p99 for load in loads),
    )


def _project(target: Path) -> Path:
    shutil.copytree(ROOT / "hookrunner", target / "hookrunner")
    shutil.copy(ROOT / "runner.py", target)
    for name, text in (
        ("hooks.yaml", HOOKS),
        ("scripts/hold.sh", HOLD),
        ("schemas/accept.json", json.dumps(SCHEMA)),
        (".env", f"TOKEN={TOKEN}\nADMIN_TOKEN={ADMIN_TOKEN}\n"),
    ):
        (target / name).parent.mkdir(exist_ok=True)
        (target / name).write_text(text)
    return target


@contextmanager
def _bare_server() -> Iterator[int]:
    """The port of the bare application, in a process of its own."""
    ours, its = SPAWN.Pipe()
    process = SPAWN.Process(target=_serve_bare, args=(its,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _serve_bare(ready: Connection) -> None:
    import bottle
    from waitress.server import create_server

    app = bottle.Bottle()

    @app.post("/accept")  # type: ignore[untyped-decorator]
    def accept() -> dict[str, str]:
        body = bottle.request.body.read()
        assert len(body) == len(BODY)
        bottle.response.status = 202
        return {"state": "accepted"}

    server = create_server(
        app, host="127.0.0.1", port=0, threads=THREADS, asyncore_use_poll=True, backlog=1024
    )
    ready.send(server.effective_port)
    server.run()


@contextmanager
def _our_server(project: Path, data: Path) -> Iterator[int]:
    """The port of our server, which holds a run in its lane for as long as it lasts."""
    data.mkdir()
    command = [sys.executable, "runner.py", "--port", "0", "--data", str(data), "--grace", "1"]
    log = data / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=project, stdout=file)
    try:
        yield _port(process, log)
    finally:
        process.terminate()
        process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    while process.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())
        if found:
            return int(found[1])
        time.sleep(0.02)
    raise RuntimeError(log.read_text())


def _load(port: int, clients: int) -> Load:
    """Post as fast as they are answered, from so many keep-alive connections."""
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(clients)]
    by_fd = {connection.fileno(): connection for connection in connections}
    poll = select.epoll()
    sent: dict[int, float] = {}
    took: list[float] = []
    for fd, connection in by_fd.items():
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poll.register(fd, select.EPOLLIN)
        sent[fd] = time.perf_counter()
        connection.sendall(REQUEST)
    counted_from = time.perf_counter() + WARM_UP
    end = counted_from + SECONDS
    now = 0.0
    while now < end:
        for fd, _ in poll.poll():
            connection = by_fd[fd]
            _read_answer(connection)
            now = time.perf_counter()
            if now >= counted_from:
                took.append(now - sent[fd])
            sent[fd] = now
            connection.sendall(REQUEST)
    for connection in connections:
        _read_answer(connection)  # nothing is left for the next measurement to wait for
        connection.close()
    took.sort()
    return Load(len(took) / (now - counted_from), took[len(took) // 2], took[len(took) * 99 // 100])


def _read_answer(connection: socket.socket) -> None:
    data = connection.recv(4096)
    head, found, body = data.partition(b"\r\n\r\n")
    while not found:
        data += _more(connection)
        head, found, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 202 "), data
    length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += _more(connection)


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(4096)
    assert data, "the server closed the connection"
    return data


def _commits(file: Path, rows: int) -> float:
    """Rows a second that SQLite takes in synced commits of so many rows, and nothing else."""
    db = sqlite3.connect(file, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE IF NOT EXISTS run (seq INTEGER PRIMARY KEY, body BLOB)")
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < WARM_UP:
        db.execute("BEGIN IMMEDIATE")
        for _ in range(rows):
            db.execute("INSERT INTO run (body) VALUES (?)", (BODY,))
        db.execute("COMMIT")
        done += rows
    rate = done / (time.perf_counter() - began)
    db.close()
    return rate


def _claims(folder: Path) -> bool:
    """Time claims from both tables in turns and print them; True if within the limit."""
    from hookrunner.journal.sqlite import SqliteJournal
    from hookrunner.model import NewRun, Outcome, State, Terms

    SqliteJournal(folder / "full").close()
    _fill(folder / "full" / "runs.sqlite")
    journals = {name: SqliteJournal(folder / name) for name in ("empty", "full")}
    took: dict[str, list[float]] = {name: [] for name in journals}
    new = NewRun("/accept", "POST", "/accept", {}, "", {}, "application/json", BODY, "127.0.0.1")
    hooks = {"/accept": Terms()}
    for journal in journals.values():
        journal._write.execute("PRAGMA synchronous = OFF")
    for _ in range(CLAIMS):
        for name, journal in journals.items():
            journal.record(new, hooks["/accept"])
            began = time.perf_counter()
            claim = journal.claim(hooks, 90.0)
            took[name].append(time.perf_counter() - began)
            assert claim
            journal.settle(claim, Outcome(State.SUCCEEDED))
    for journal in journals.values():
        journal.close()
    empty, full = (statistics.median(took[name]) for name in ("empty", "full"))
    print(f"claim from an empty table               {empty * 1000:7.3f} ms")
    print(f"claim with {FINISHED:,} finished runs    {full * 1000:7.3f} ms")
    print(f"ratio                                      {full / empty:5.2f}  (limit {MOST_CLAIM})")
    return full / empty <= MOST_CLAIM


FILL = """
INSERT INTO run (id, hook, state, attempt, recorded_at, ended_at, method, path, params, query,
                 headers, content_type, remote_addr, delivery_id, event, body)
WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < ?)
SELECT lower(hex(randomblob(10))), '/accept', iif(n % 10, 'succeeded', 'failed'), 1,
       unixepoch() - n * 0.6, unixepoch() - n * 0.6 + 1, 'POST', '/accept', '{}', '', '{}',
       'application/json', '127.0.0.1', '', '', '{"ref": "refs/heads/main"}'
FROM number
"""
FILL_ATTEMPTS = """
INSERT INTO attempt (run, number, started_at, state, exit_code)
SELECT seq, 1, recorded_at, state, iif(state = 'failed', 1, 0) FROM run
"""


def _fill(file: Path) -> None:
    db = sqlite3.connect(file, isolation_level=None)
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -400000"):
        db.execute(f"PRAGMA {pragma}")
    db.execute("BEGIN")
    db.execute(FILL, (FINISHED,))
    db.execute(FILL_ATTEMPTS)
    db.execute("COMMIT")
    db.close()


if __name__ == "__main__":
    sys.exit(main())
