"""Whether the server could take a delivery in and carry it out, as /-/ready says."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.serving import Project, Response, Server, wait_until

HOOKS = """
/waits:
  script: waits.sh
  auth: none
  respond: accepted
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project").hooks(HOOKS)
    return project.script("waits.sh", "until [ -e go ]; do sleep 0.02; done")


@pytest.fixture
def server(project: Project) -> Iterator[Server]:
    with project.serve() as server:
        yield server


def test_a_server_that_can_do_its_work_is_ready(server: Server) -> None:
    answer = server.get("/-/ready")

    assert (answer.status, answer.json) == (200, {"status": "ready"})


def test_a_journal_that_cannot_be_written_is_told(project: Project, server: Server) -> None:
    file = project.folder / "var" / "runs.sqlite"
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        answer = server.get("/-/ready")
        assert server.get("/-/health").status == 200
        db.execute("ROLLBACK")

    assert answer.status == 503
    assert answer.json["detail"] == "journal: cannot be written"
    wait_until(lambda: server.get("/-/ready").status == 200, "readiness")


def test_however_many_ask_the_journal_is_written_once_a_second_at_most(
    project: Project, server: Server
) -> None:
    versions = set()
    began = time.monotonic()
    with closing(sqlite3.connect(project.folder / "var" / "runs.sqlite")) as db:
        for _ in range(200):
            assert server.get("/-/ready").status == 200
            versions.add(db.execute("PRAGMA data_version").fetchone())
    seconds = time.monotonic() - began

    assert len(versions) <= seconds + 2


def test_a_supervisor_that_is_gone_is_told_until_there_is_another(server: Server) -> None:
    wait_until(
        lambda: without_supervisor(server).status == 503, "an answer before there is another"
    )
    wait_until(lambda: server.get("/-/ready").status == 200, "another supervisor")


def without_supervisor(server: Server) -> Response:
    """What is said right after its end: unready, if the next has not been started yet."""
    if supervisor := server.supervisor():
        os.kill(supervisor, signal.SIGKILL)
    answer = server.get("/-/ready")
    assert answer.status == 200 or answer.json["detail"] == "supervisor: is being started anew"
    return answer


def test_a_server_that_is_stopping_takes_no_more(project: Project, server: Server) -> None:
    server.post("/waits", "{}", Content_Type="application/json")
    server.wait_for_line("accepted")
    server.process.send_signal(signal.SIGTERM)
    server.wait_for_line("stopping")

    answer = server.get("/-/ready")

    (project.folder / "go").touch()
    assert answer.status == 503
    assert answer.json["detail"] == "server: is stopping"
