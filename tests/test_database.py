"""The verbs where the journal is a database: on any machine that has its URL, no server needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests import postgres
from tests.serving import REPOSITORY, Project, alive, environment, wait_until
from tests.test_roles import begun, made, posted

UNLIKE = "it should look like postgres://USER:PASSWORD@HOST:5432/DATABASE"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return made(tmp_path / "project")


@pytest.fixture
def desk(tmp_path: Path) -> Project:
    """The same project on a machine where nothing has ever run."""
    return made(tmp_path / "desk")


@pytest.fixture
def url(project: Project) -> str:
    return postgres.database_of(project.folder)


@pytest.fixture
def empty(project: Project) -> str:
    """A database without our tables."""
    url = postgres.database_of(project.folder)
    with psycopg.connect(url) as db:
        db.execute("DROP SCHEMA hookrunner CASCADE")
    return url


def place(url: str) -> str:
    return f"{url.partition('@/')[2].partition('?')[0]} at {url.partition('host=')[2]}"


# --- verbs that look into the journal, and change it


def test_runs_are_seen_and_done_again_without_a_server(
    project: Project, desk: Project, url: str
) -> None:
    with project.serve(JOURNAL_URL=url) as server:
        run_id = server.post("/hello").headers["Hook-Run"]

    listed = desk.command("runs", "--json", JOURNAL_URL=url)
    assert [row["run"] for row in json.loads(listed.stdout)] == [run_id]
    assert "    | hello\n" in desk.command("show", run_id[:8], JOURNAL_URL=url).stdout
    assert f"{run_id} /hello | hello\n" in desk.command("logs", JOURNAL_URL=url).stdout

    again = desk.command("replay", run_id, JOURNAL_URL=url)
    assert (again.returncode, again.stderr) == (0, "")
    new = again.stdout.split()[-1]
    assert again.stdout == f"{run_id} again as {new}\n"
    assert desk.command("cancel", new, JOURNAL_URL=url).stdout == f"{new} cancelled\n"
    assert desk.command("prune", "--older", "1s", JOURNAL_URL=url).returncode == 0
    assert not (desk.folder / "var").exists()


def test_what_a_command_does_again_or_ends_a_worker_hears_of(
    project: Project, desk: Project, url: str
) -> None:
    with project.serve("web", JOURNAL_URL=url) as web, project.work(JOURNAL_URL=url) as worker:
        first = web.post("/hello").headers["Hook-Run"]
        again = desk.command("replay", first, JOURNAL_URL=url).stdout.split()[-1]
        assert web.wait_until_over(again)["state"] == "succeeded"
        waits = posted(web, "/waits")
        [[_, _, pid]] = begun(project)

        assert desk.command("cancel", waits, JOURNAL_URL=url).stdout == f"{waits} cancelled\n"

        wait_until(lambda: not alive(int(pid)), "the end of the script")
        worker.wait_for_line(f"{waits} /waits ended, and counts for nothing")


def test_a_one_off_dyno_sees_the_database(project: Project, desk: Project, url: str) -> None:
    done = desk.command("runs", DYNO="run.1", DATABASE_URL=url)

    assert (done.returncode, done.stdout, done.stderr) == (0, "there is no run yet\n", "")


def test_send_shows_the_run_from_the_database(project: Project, url: str) -> None:
    with project.serve(JOURNAL_URL=url):
        done = project.command("send", "/hello", JOURNAL_URL=url)

    assert done.returncode == 0, done.stderr
    assert " /hello | hello\n" in done.stdout


# --- migrate


def test_migrate_makes_the_tables_and_then_finds_nothing_to_do(
    project: Project, empty: str
) -> None:
    told = [project.command("migrate", JOURNAL_URL=empty) for _ in range(2)]

    assert [each.returncode for each in told] == [0, 0]
    assert [each.stdout for each in told] == [
        f"tables of version 1 were made in {place(empty)}\n",
        f"nothing to do: the tables in {place(empty)} are of version 1\n",
    ]


def test_two_releases_may_migrate_at_once(project: Project, empty: str) -> None:
    command = [sys.executable, str(REPOSITORY / "runner.py"), "migrate"]
    both = [
        subprocess.Popen(
            command, cwd=project.folder, env=environment({"JOURNAL_URL": empty}),
            stdout=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    told = sorted(each.communicate(timeout=30)[0] for each in both)

    assert [each.returncode for each in both] == [0, 0]
    assert told == [
        f"nothing to do: the tables in {place(empty)} are of version 1\n",
        f"tables of version 1 were made in {place(empty)}\n",
    ]


def test_migrate_has_nothing_to_do_where_runs_are_in_a_file(project: Project) -> None:
    done = project.command("migrate")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "nothing to do: runs are kept in a file, which a server brings up to date by itself\n"
    )


def test_migrate_tells_who_may_not_make_tables(project: Project, empty: str) -> None:
    with psycopg.connect(empty, autocommit=True) as db:
        db.execute("DROP ROLE IF EXISTS guest")
        db.execute("CREATE ROLE guest LOGIN")
    done = project.command("migrate", JOURNAL_URL=empty.replace("postgres@", "guest@"))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("the journal's tables cannot be made: permission denied for ")
    assert done.stderr.endswith(
        "GRANT CREATE ON DATABASE … TO its user, or let its owner: python runner.py migrate\n"
    )


def test_a_server_makes_the_tables_that_a_command_only_asks_for(
    project: Project, empty: str
) -> None:
    done = project.command("runs", JOURNAL_URL=empty)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "the journal's tables are not there yet; a server makes them as it starts, "
        "or: python runner.py migrate\n"
    )

    with project.serve(JOURNAL_URL=empty) as server:
        assert server.post("/hello").text == "hello\n"
    assert project.command("runs", JOURNAL_URL=empty).returncode == 0


# --- the URL


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"JOURNAL_URL": "mysql://u@h/d"}, f"JOURNAL_URL names no PostgreSQL database; {UNLIKE}"),
        (
            {"DATABASE_URL": "postgres://u:s3cr/et@h/d"},
            "DATABASE_URL cannot be read: a / ? or # in the user's name or the password is "
            "written %2F %3F %23",
        ),
        (
            {"JOURNAL_URL": "postgres://u:s3cret@h/d?sslmod=require"},
            f"the journal's URL cannot be read; {UNLIKE}",
        ),
    ],
)
def test_check_says_what_is_wrong_with_the_url_and_quotes_nothing_of_it(
    project: Project, environ: dict[str, str], told: str
) -> None:
    done = project.command("check", **environ)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{told}\n")

    done = project.command("check", "--json", **environ)
    assert (done.returncode, json.loads(done.stdout)) == (1, {"problems": [told]})

    project.hooks(f"{(project.folder / 'hooks.yaml').read_text()}\n/bad: {{script: no.sh}}\n")
    done = project.command("check", **environ)
    assert done.stderr.startswith(f"{told}\nhooks.yaml:")


def test_check_takes_a_url_as_heroku_sets_it(project: Project) -> None:
    url = "postgres://u:p4ss@ec2-1-2-3-4.compute-1.amazonaws.com:5432/d8k"

    assert project.command("check", DATABASE_URL=url).returncode == 0


def test_a_database_that_does_not_answer_is_told_without_its_password(project: Project) -> None:
    url = "postgres://me:p@ss@127.0.0.1:1/d"
    for verb in ("runs", "migrate"):
        done = project.command(verb, JOURNAL_URL=url)

        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("the journal's database cannot be reached: ")
        assert done.stderr.endswith("; look at JOURNAL_URL, or DATABASE_URL\n")
        assert "ss@" not in done.stderr


def test_the_url_may_stand_in_the_env_file(project: Project, url: str) -> None:
    (project.folder / ".env").write_text(f"JOURNAL_URL={url}\n")

    assert project.command("runs").stdout == "there is no run yet\n"
