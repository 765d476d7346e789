"""A database that is away: as a server starts, while it serves, and as it stops."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import postgres
from tests.serving import Project, Server, wait_until
from tests.test_roles import begun, ended, made, posted


@pytest.fixture(scope="module")
def database() -> Iterator[postgres.Server]:
    """A PostgreSQL of these tests' own, which they may stop."""
    server = postgres.Server()
    yield server
    server.close()


@pytest.fixture
def url(database: postgres.Server, project: Project) -> Iterator[str]:
    """The address of a new database; its server runs before and after."""
    yield database.database(postgres.name_of(project.folder))
    if database.process.poll() is not None:
        database.start()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return made(tmp_path / "project")


@pytest.fixture
def web(project: Project, url: str, database: postgres.Server) -> Iterator[Server]:
    """A server whose database is away as it starts."""
    database.stop()
    web = project.serve("web", JOURNAL_URL=url)
    web.begin()
    try:
        web.wait_for_line("error: the journal's database cannot be reached: ")
        yield web
    finally:
        web.__exit__(None, None, None)


def test_a_server_that_starts_without_its_database_turns_away_and_waits(
    project: Project, url: str, database: postgres.Server, web: Server
) -> None:
    line = web.wait_for_line("cannot be reached")
    assert line.endswith("; look at JOURNAL_URL, or DATABASE_URL; tried again in 1s")
    web.port = int(web.wait_for_line("until it can, 503 is answered on ").rpartition(":")[2])

    answer = web.post("/hello")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
    assert answer.json["detail"] == "not recorded; try again soon"
    assert web.get("/-/health").status == 200
    answer = web.get("/-/ready")
    assert (answer.status, answer.json["detail"]) == (503, "journal: cannot be reached")

    database.start()
    web.wait_for_line("listens on")
    wait_until(lambda: web.get("/-/ready").status == 200, "readiness")
    with project.work(JOURNAL_URL=url):
        ended(web, posted(web, "/hello"))


def test_a_worker_that_starts_without_its_database_waits_for_it(
    project: Project, url: str, database: postgres.Server
) -> None:
    database.stop()
    worker = project.work(JOURNAL_URL=url)
    worker.begin()
    try:
        worker.wait_for_line("error: the journal's database cannot be reached: ")
        database.start()
        worker.wait_for_line("runs what is recorded")
    finally:
        worker.__exit__(None, None, None)


def test_who_is_never_let_in_is_told_at_once(project: Project, url: str) -> None:
    nowhere = url.replace(postgres.name_of(project.folder), "nowhere")
    for role in ([], ["web"], ["worker"]):
        done = project.command(*(["--port", "0"] if role != ["worker"] else []), *role,
                               DATABASE_URL=nowhere)  # fmt: skip

        assert done.returncode == 1
        assert done.stderr.startswith("the journal's database does not let us in: ")
        assert done.stderr.endswith(
            'FATAL: database "nowhere" does not exist; look at JOURNAL_URL, or DATABASE_URL\n'
        )


def test_a_database_that_goes_away_is_told_of_and_waited_for(
    project: Project, url: str, database: postgres.Server
) -> None:
    with project.serve("web", JOURNAL_URL=url) as web, project.work(JOURNAL_URL=url):
        before = posted(web, "/waits")
        begun(project)
        database.stop()

        answer = web.post("/waits")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
        answer = web.get("/-/ready")
        assert (answer.status, answer.json["detail"]) == (503, "journal: cannot be written")
        assert web.get("/-/health").status == 200
        (project.folder / "go").touch()
        wait_until(lambda: bool(project.lines("ended")), "the end of the script")

        database.start()
        ended(web, before)
        ended(web, posted(web, "/waits"))
    assert [line.split()[1] for line in project.lines("ended")] == ["1", "1"]


def test_who_stops_without_a_database_does_so_in_time_and_loses_no_run(
    project: Project, url: str, database: postgres.Server
) -> None:
    with project.serve("web", JOURNAL_URL=url) as web:
        run_id = posted(web, "/waits")
        with project.work(JOURNAL_URL=url, GRACE="0.5") as worker:
            begun(project)
            database.stop()
            worker.process.send_signal(signal.SIGTERM)
            assert worker.process.wait(20) in (0, 1)

        database.start()
        with project.work(JOURNAL_URL=url):
            begun(project, 2)
            (project.folder / "go").touch()
            ended(web, run_id)
