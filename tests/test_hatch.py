"""The port of a worker: what may be asked there, by whom, and that nothing is taken in."""

from __future__ import annotations

import http.client
import select
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg
import pytest

from hookrunner import VERSION
from hookrunner.access import PAGES
from hookrunner.hatch import LARGEST_BODY
from hookrunner.intake import SOON
from tests import postgres
from tests.serving import Project, Server, wait_until
from tests.test_metrics import NAMED, Scrape, families, moved, numbers, scraped
from tests.test_ready import without_supervisor
from tests.test_roles import begun, ended, listening, made, posted
from tests.test_serving_loop import Wire

TOKEN = "the administrator's token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
NOT_HERE = (
    "this process only runs what others record, and takes no deliveries; "
    "hooks are taken where python runner.py web listens"
)
OF_FRONT = {
    "hookrunner_deliveries_joined_total",
    "hookrunner_deliveries_ignored_total",
    "hookrunner_waiters",
    "hookrunner_waiters_limit",
    "hookrunner_listeners",
}
"""What is counted only where deliveries are recorded."""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return made(tmp_path / "project")


@pytest.fixture
def url(project: Project) -> str:
    return postgres.database_of(project.folder)


@pytest.fixture
def web(project: Project, url: str) -> Iterator[Server]:
    with project.serve("web", JOURNAL_URL=url, ADMIN_TOKEN=TOKEN) as web:
        yield web


@pytest.fixture
def worker(project: Project, url: str) -> Iterator[Server]:
    with project.work("--metrics-port", "0", JOURNAL_URL=url, ADMIN_TOKEN=TOKEN) as worker:
        yield worker


# --- what may be asked


def test_it_says_where_its_metrics_are(project: Project, url: str) -> None:
    with project.work("--slots", "2", JOURNAL_URL=url, METRICS_PORT="0") as worker:
        assert len(listening(worker)) == 1
        assert worker.lines[0].endswith(
            f"hookrunner {VERSION} runs what is recorded for 4 hooks, 2 scripts at once; metrics "
            f"at http://127.0.0.1:{worker.port}/-/metrics "
            "(this machine only; --host 0.0.0.0 opens it)"
        )


def test_anybody_may_ask_whether_it_is_there_and_can_work(worker: Server) -> None:
    for path, state in (("health", "ok"), ("ready", "ready")):
        answer = worker.get(f"/-/{path}")
        assert (answer.status, answer.json) == (200, {"status": state})
        assert worker.request("HEAD", f"/-/{path}").status == 200


def test_its_metrics_are_for_the_administrator(worker: Server) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, BROWSER):
        answer = worker.get("/-/metrics", **headers)
        assert (answer.status, answer.json["detail"]) == (401, "not authorised")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    answer = worker.get("/-/metrics", **BEARER)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"


def test_where_no_token_is_set_nobody_has_them_until_there_is_one(
    project: Project, url: str
) -> None:
    with project.work("--metrics-port", "0", JOURNAL_URL=url) as worker:
        worker.wait_for_line("warning: nobody can have the metrics, for ADMIN_TOKEN is not set")
        answer = worker.get("/-/metrics", **BEARER)
        assert (answer.status, answer.json["detail"]) == (403, "this needs ADMIN_TOKEN to be set")
        assert worker.get("/-/metrics", **BROWSER).status == 403

        (project.folder / ".env").write_text(f'ADMIN_TOKEN="{TOKEN}"\n')
        worker.process.send_signal(signal.SIGHUP)
        worker.wait_for_line("hooks.yaml was reloaded")
        assert worker.get("/-/metrics", **BEARER).status == 200


def test_it_says_that_it_is_not_ready_once_it_stops_and_answers_to_the_end(
    project: Project, web: Server, worker: Server
) -> None:
    run_id = posted(web, "/waits")
    begun(project)
    idle = http.client.HTTPConnection("127.0.0.1", worker.port, timeout=20)
    with closing(idle):
        idle.request("GET", "/-/health")
        idle.getresponse().read()
        worker.process.send_signal(signal.SIGTERM)
        worker.wait_for_line("stopping")

        answer = worker.get("/-/ready")
        assert (answer.status, answer.json["detail"]) == (503, "worker: is stopping")
        assert worker.get("/-/metrics", **BEARER).status == 200

        (project.folder / "go").touch()
        assert worker.process.wait(20) == 0
    ended(web, run_id)


def test_it_is_not_ready_while_its_journal_cannot_be_written(url: str, worker: Server) -> None:
    with psycopg.connect(url) as db:
        db.execute("LOCK TABLE hookrunner.pulse")
        answer = worker.get("/-/ready")
        assert worker.get("/-/health").status == 200

    assert (answer.status, answer.json["detail"]) == (503, "journal: cannot be written")


@pytest.mark.parametrize("path", ["/-/metrics", "//-/metrics"])
def test_scrapes_that_the_database_holds_up_hold_up_nobody_else(
    url: str, worker: Server, path: str
) -> None:
    asked = f"GET {path} HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    with Wire(worker.port) as one, Wire(worker.port) as other:
        with psycopg.connect(url) as db:
            db.execute("LOCK TABLE hookrunner.run")
            one.send(asked)
            other.send(asked)

            assert worker.get("/-/health").status == 200
            # Nor has it waited until one of them was given up.
            assert select.select([one.socket, other.socket], [], [], 0)[0] == []
            assert worker.get("/-/ready").status in (200, 503)
        assert [wire.answer().status for wire in (one, other)] == [200, 200]


def test_who_asks_on_and_on_does_not_keep_it_from_stopping(project: Project, url: str) -> None:
    flags = ("--metrics-port", "0", "--grace", "86400")
    asked = f"GET /-/metrics HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode() * 5000
    with ExitStack() as stack:
        worker = stack.enter_context(project.work(*flags, JOURNAL_URL=url, ADMIN_TOKEN=TOKEN))
        wires = [stack.enter_context(Wire(worker.port)) for _ in range(4)]
        pool = stack.enter_context(ThreadPoolExecutor(8))
        for wire in wires:
            pool.submit(wire.send, asked)
            assert wire.answer().status == 200
            pool.submit(wire.file.read)

        worker.process.send_signal(signal.SIGTERM)

        assert worker.process.wait(20) == 0


def test_on_a_dyno_it_believes_nobody_who_names_another_address(project: Project, url: str) -> None:
    given = {"JOURNAL_URL": url, "ADMIN_TOKEN": TOKEN, "DYNO": "worker.1"}
    with project.work("--metrics-port", "0", **given) as worker:
        answers = [
            worker.get("/-/metrics", Authorization="Bearer wrong", X_Forwarded_For=f"10.0.0.{n}")
            for n in range(6)
        ]

    assert [answer.status for answer in answers] == [401] * 5 + [429]
    assert sum("(401 to 127.0.0.1)" in line for line in worker.lines) == 5


def test_it_is_not_ready_without_who_starts_scripts(worker: Server) -> None:
    wait_until(
        lambda: without_supervisor(worker).status == 503, "an answer before there is another"
    )
    wait_until(lambda: worker.get("/-/ready").status == 200, "another supervisor")


# --- what may not


ELSEWHERE = [
    ("POST", "/hello"),
    ("GET", "/hello"),
    ("POST", "/-/health/"),
    ("GET", "/"),
    ("GET", "/%ff"),
    ("GET", "/-/metrics%00"),
    *((method, page) for page, methods in PAGES.items() for method in methods),
]


def test_of_all_our_pages_only_three_are_there_and_no_hook(worker: Server) -> None:
    there = [
        (method, path)
        for method, path in ELSEWHERE
        for answer in [worker.request(method, path, headers={**BEARER, **BROWSER})]
        if (answer.status, answer.json.get("detail") if answer.status == 404 else "")
        != (404, NOT_HERE)
    ]

    assert there == [("GET", "/-/health"), ("GET", "/-/ready"), ("GET", "/-/metrics")]


def test_its_pages_are_only_read(worker: Server) -> None:
    for path in ("/-/health", "/-/ready", "/-/metrics"):
        answer = worker.request("POST", path, headers=BEARER)

        assert (answer.status, answer.headers["Allow"]) == (405, "GET")
        assert answer.json["detail"] == "use GET"


def test_a_delivery_makes_no_run_and_is_told_where_to_go(web: Server, worker: Server) -> None:
    small = worker.post_json("/hello", {})
    large = worker.post_json("/hello", "x" * LARGEST_BODY)

    for answer in (small, large):
        assert (answer.status, answer.json["detail"]) == (404, NOT_HERE)
        assert answer.headers["Content-Type"] == "application/problem+json"
    ended(web, posted(web, "/hello"))
    assert len(web.get("/-/runs", **BEARER).json["runs"]) == 1
    noted = worker.wait_for_line("refused POST /hello: ")
    assert noted.endswith(f"{NOT_HERE} (404 to 127.0.0.1)")
    told = scraped(worker)
    assert told["hookrunner_refusals_total", "", "not found", "404"] == 2


def test_before_its_database_is_there_it_says_so(project: Project) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as nobody:
        away = f"postgres://postgres@127.0.0.1:{nobody.getsockname()[1]}/x"
    worker = project.work("--metrics-port", "0", JOURNAL_URL=away)
    worker.begin()
    try:
        line = worker.wait_for_line("until it can, 503 is answered on ")
        worker.port = int(line.rpartition(":")[2])
        assert worker.get("/-/health").status == 200
        assert worker.get("/-/ready").json["detail"] == "journal: cannot be reached"
        answer = worker.post_json("/hello", {})
        assert (answer.status, answer.headers["Retry-After"]) == (503, SOON["Retry-After"])
    finally:
        worker.__exit__(None, None, None)


# --- what is told


def test_its_runs_are_in_its_metrics_and_what_it_records_nothing_of_is_not(
    web: Server, worker: Server
) -> None:
    before = scraped(worker)
    ended(web, posted(web, "/hello"))
    ended(web, posted(web, "/fails"), "failed")
    worker.wait_for_line("on_failure /fails succeeded")
    text = worker.get("/-/metrics", **BEARER).text

    counted: Scrape = {
        (f"hookrunner_{name}_seconds_count", hook): 1
        for name in ("start_delay", "script_duration")
        for hook in ("/hello", "/fails", "on_failure /fails")
    }
    ends: Scrape = {
        ("hookrunner_runs_recorded_total", "on_failure /fails"): 1,
        ("hookrunner_runs_ended_total", "/hello", "succeeded"): 1,
        ("hookrunner_runs_ended_total", "/fails", "failed"): 1,
        ("hookrunner_runs_ended_total", "on_failure /fails", "succeeded"): 1,
        ("hookrunner_attempts_failed_total", "/fails", "exit"): 1,
        ("hookrunner_script_starts_total", "cold"): 3,
    }
    assert moved(before, numbers(text)) == ends | counted
    assert families(text) == {name: kind for name, kind in NAMED.items() if name not in OF_FRONT}
    asked = web.get("/-/metrics", **BEARER).text
    assert families(text) | families(asked) == NAMED
    assert numbers(asked)["hookrunner_runs_recorded_total", "/hello"] == 1
    assert ("hookrunner_script_duration_seconds_count", "/hello") not in numbers(asked)


def test_of_hooks_that_it_leaves_to_others_it_counts_nothing(project: Project, url: str) -> None:
    some = project.work(
        "--metrics-port", "0", "--hooks", "/fails", JOURNAL_URL=url, ADMIN_TOKEN=TOKEN
    )
    with some as worker:
        told = scraped(worker)

    assert not [key for key in told if key[0] == "hookrunner_refusals_total"]
    ends = {key[1] for key in told if key[0] == "hookrunner_runs_ended_total"}
    assert ends == {"/fails", "on_failure /fails"}
    assert ("hookrunner_runs", "/hello", "queued") in told


# --- where it is


def test_a_flag_wins_over_the_variable(project: Project, url: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        with project.work("--metrics-port", "0", JOURNAL_URL=url, METRICS_PORT=port) as worker:
            assert worker.get("/-/health").status == 200


def test_it_listens_where_it_is_told(project: Project, url: str) -> None:
    with project.work("--metrics-port", "0", "--host", "0.0.0.0", JOURNAL_URL=url) as worker:
        assert worker.lines[0].endswith(f"; metrics at http://0.0.0.0:{worker.port}/-/metrics")


def test_a_port_that_is_taken_is_named_with_the_flag_to_change_it(
    project: Project, url: str
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        done = project.command("worker", "--metrics-port", str(port), JOURNAL_URL=url)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"port {port} is taken; choose another with --metrics-port {port + 1}, or "
        f"METRICS_PORT={port + 1}; or stop the program that has it\n"
    )


@pytest.mark.parametrize(
    ("flags", "variable", "where"),
    [(("--metrics-port", "x"), {}, "--metrics-port"), ((), {"METRICS_PORT": "x"}, "METRICS_PORT")],
)
def test_a_port_that_is_none_is_refused(
    project: Project, url: str, flags: tuple[str, ...], variable: dict[str, str], where: str
) -> None:
    done = project.command(*flags, "worker", JOURNAL_URL=url, **variable)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{where} must be a whole number from 0 to 65535, not 'x'\n"


def test_a_web_process_and_one_that_does_both_know_no_such_port(project: Project, url: str) -> None:
    for verb in (("web",), ()):
        done = project.command(*verb, "--metrics-port", "0", JOURNAL_URL=url)
        assert done.returncode == 2
        assert "unrecognized arguments: --metrics-port 0" in done.stderr
    with project.serve("web", JOURNAL_URL=url, METRICS_PORT="1") as web:
        assert len(listening(web)) == 1


def test_the_command_line_does_not_take_it_for_a_server(
    project: Project, web: Server, worker: Server
) -> None:
    address = project.folder / "var" / "address"
    assert address.read_text() == f"http://127.0.0.1:{web.port}\n"
    assert web.stop() == 0
    assert not address.exists()
    assert not (project.folder / "var" / "token").exists()
    assert worker.get("/-/health").status == 200
