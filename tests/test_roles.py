"""web records, worker runs, on one PostgreSQL: what processes do for each other."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests import postgres
from tests.serving import REPOSITORY, Project, Response, Server, alive, wait_until

TOKEN = "the administrator's"
ADMIN = {"Authorization": f"Bearer {TOKEN}"}

HOOKS = """
/hello: {script: hello.sh, auth: none, respond: output}
/waits: {script: waits.sh, auth: none, respond: accepted}
/slow: {script: waits.sh, auth: none, respond: output}
/fails: {script: fails.sh, auth: none, respond: accepted, on_failure: tell.sh}
"""

# Says that it runs, and which attempt it is, and goes on until it may end.
WAITS = """
echo "$HOOK_RUN $HOOK_ATTEMPT $$" >>begun
echo here
until [ -e go ]; do sleep 0.02; done
echo "$HOOK_RUN $HOOK_ATTEMPT" >>ended
echo done
"""


def made(folder: Path) -> Project:
    project = Project(folder).hooks(HOOKS).script("waits.sh", WAITS)
    project.script("hello.sh", "echo hello").script("fails.sh", "exit 3")
    return project.script("tell.sh", "cat >told")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return made(tmp_path / "project")


@pytest.fixture
def url(project: Project) -> str:
    """A database with nothing in it but our tables."""
    return postgres.database_of(project.folder)


@pytest.fixture
def web(project: Project, url: str) -> Iterator[Server]:
    with project.serve("web", JOURNAL_URL=url, ADMIN_TOKEN=TOKEN) as web:
        yield web


def posted(web: Server, path: str) -> str:
    """The id of a run of this hook, which somebody has posted to and not waited for."""
    answer = web.post(path, "{}", Content_Type="application/json", Prefer="respond-async")
    assert answer.status == 202, answer
    return answer.headers["Hook-Run"]


def begun(project: Project, count: int = 1) -> list[list[str]]:
    """What scripts have said as they began, once so many have: run, attempt, pid."""
    wait_until(lambda: len(project.lines("begun")) >= count, "scripts that run")
    return [line.split() for line in project.lines("begun")]


def ended(web: Server, run_id: str, state: str = "succeeded") -> None:
    assert web.wait_until_over(run_id)["state"] == state


def listening(server: Server) -> list[str]:
    """The sockets of a process, and of those it has started, on which somebody can come."""
    found = []
    for pid in server.tree():
        inodes = set()
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # it has been closed since
                inodes.add(str(link.readlink()))
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                    found.append(fields[1])
    return found


# --- what is recorded here runs there


def test_who_waits_at_a_web_process_gets_what_a_workers_script_has_printed(
    project: Project, url: str, web: Server
) -> None:
    with project.work(JOURNAL_URL=url) as worker:
        answer = web.post("/hello")

    assert (answer.status, answer.text) == (200, "hello\n")
    assert any(" | hello" in line for line in worker.lines)
    assert not any(" | hello" in line for line in web.lines)


def test_a_web_process_starts_no_scripts_and_has_nobody_who_could(web: Server) -> None:
    run_id = posted(web, "/hello")

    assert web.tree() == [web.process.pid]
    assert web.state(run_id)["state"] == "queued"
    assert web.get("/-/ready").json == {"status": "ready"}
    assert web.lines[0].endswith(" with 4 hooks; workers run what it records")


def test_a_worker_has_no_port(project: Project, url: str, web: Server) -> None:
    with project.work("--slots", "2", JOURNAL_URL=url) as worker:
        assert listening(worker) == []
        assert len(listening(web)) == 1
        assert worker.lines[0].endswith(" runs what is recorded for 4 hooks, 2 scripts at once")


def test_what_was_recorded_while_no_worker_was_there_runs_once_one_is(
    project: Project, url: str, web: Server
) -> None:
    run_id = posted(web, "/hello")

    with project.work(JOURNAL_URL=url):
        ended(web, run_id)


def test_one_process_may_do_both_beside_others(project: Project, url: str, web: Server) -> None:
    with project.serve(JOURNAL_URL=url) as both:
        assert both.post("/hello").text == "hello\n"
        assert web.post("/hello").text == "hello\n"


def test_output_is_seen_at_a_web_process_while_a_worker_runs_the_script(
    project: Project, url: str, web: Server
) -> None:
    with project.work(JOURNAL_URL=url):
        run_id = posted(web, "/waits")

        def printed() -> Response:
            return web.get(f"/-/runs/{run_id}?attempt=1&stdout=0&stderr=0", **ADMIN)

        wait_until(lambda: bool(printed().json["printed"]), "an attempt")
        wait_until(lambda: printed().json["printed"]["stdout"] == "here\n", "its output")
        assert printed().json["state"] == "running"
        (project.folder / "go").touch()
        ended(web, run_id)


def test_a_run_that_is_cancelled_elsewhere_loses_its_script(
    project: Project, url: str, web: Server
) -> None:
    # Its lease would tell, too, but not today.
    with project.work("--lease", "20h", JOURNAL_URL=url) as worker:
        run_id = posted(web, "/waits")
        [[_, _, pid]] = begun(project)

        assert web.request("POST", f"/-/runs/{run_id}/cancel", headers=ADMIN).status == 200

        wait_until(lambda: not alive(int(pid)), "the end of the script")
        worker.wait_for_line(f"{run_id} /waits ended, and counts for nothing")
    assert web.state(run_id)["state"] == "cancelled"
    assert project.lines("ended") == []


def test_a_script_is_told_of_a_failure_wherever_that_was(
    project: Project, url: str, web: Server
) -> None:
    with project.work(JOURNAL_URL=url):
        run_id = posted(web, "/fails")

        wait_until((project.folder / "told").exists, "the script that tells")
        ended(web, run_id, "failed")


# --- who runs what


def test_a_worker_leaves_the_runs_of_other_hooks_to_others(
    project: Project, url: str, web: Server
) -> None:
    with project.work("--hooks", "/hello,/fails", JOURNAL_URL=url) as some:
        waits = posted(web, "/waits")
        ended(web, posted(web, "/hello"))
        ended(web, posted(web, "/fails"), "failed")
        assert web.state(waits)["state"] == "queued"
        assert "runs what is recorded for /hello, /fails, 8 scripts at once" in some.lines[0]
        with project.work("--hooks", "/waits", JOURNAL_URL=url):
            begun(project)
            (project.folder / "go").touch()
            ended(web, waits)


def test_a_worker_is_told_of_a_hook_that_there_is_not(project: Project, url: str) -> None:
    done = project.command("worker", "--hooks", "/hello,/wait", JOURNAL_URL=url)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "--hooks names '/wait', which is not in hooks.yaml; did you mean '/waits'?\n"
    )


def test_a_machine_with_another_hooks_yaml_claims_only_what_is_in_it(
    project: Project, url: str, web: Server, tmp_path: Path
) -> None:
    older = made(tmp_path / "older").hooks("/hello: {script: hello.sh, auth: none}\n")
    with older.work(JOURNAL_URL=url) as worker:
        waits = posted(web, "/waits")
        ended(web, posted(web, "/hello"))
        assert web.state(waits)["state"] == "queued"

        older.hooks(HOOKS)
        worker.process.send_signal(signal.SIGHUP)

        begun(older)
        (older.folder / "go").touch()
        ended(web, waits)


@pytest.mark.parametrize(
    ("role", "others", "dyno", "mend"),
    [
        ("web", "carry its runs out", {}, "JOURNAL_URL=postgres://…"),
        (
            "worker",
            "record anything for it",
            {"DYNO": "worker.1"},
            "heroku addons:create heroku-postgresql:essential-0",
        ),
    ],
)
def test_a_role_of_its_own_needs_a_database(
    project: Project, role: str, others: str, dyno: dict[str, str], mend: str
) -> None:
    done = project.command(role, **dyno)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"python runner.py {role} needs a PostgreSQL database: without one runs are kept in a "
        f"file, which is this process's alone, and nobody else could {others}; name one "
        f"({mend}), or start python runner.py, which does both\n"
    )


# --- how they stop


def test_who_waits_at_a_stopping_web_process_still_gets_the_outcome(
    project: Project, url: str
) -> None:
    with ExitStack() as stack:
        web = stack.enter_context(project.serve("web", JOURNAL_URL=url))
        stack.enter_context(project.work(JOURNAL_URL=url))
        answers: list[Response] = []
        sender = threading.Thread(target=lambda: answers.append(web.post("/slow")))
        sender.start()
        begun(project)

        web.process.send_signal(signal.SIGTERM)
        web.wait_for_line("stopping")
        assert web.post("/hello").status == 503
        (project.folder / "go").touch()
        sender.join()

        assert web.process.wait(20) == 0
    assert [(answer.status, answer.text) for answer in answers] == [(200, "here\ndone\n")]


def test_who_waits_too_long_at_a_stopping_web_process_is_told_where_to_ask(
    project: Project, url: str
) -> None:
    with project.serve("web", JOURNAL_URL=url, GRACE="0.5") as web:
        answers: list[Response] = []
        sender = threading.Thread(target=lambda: answers.append(web.post("/slow")))
        sender.start()
        web.wait_for_line("accepted")

        assert web.stop() == 0
        sender.join()
    assert [answer.status for answer in answers] == [202]
    assert answers[0].headers["Location"].startswith("/-/runs/")


def test_what_a_stopping_worker_cannot_finish_another_runs(
    project: Project, url: str, web: Server
) -> None:
    with project.work(JOURNAL_URL=url, GRACE="0.5") as worker:
        run_id = posted(web, "/waits")
        begun(project)
        assert worker.stop() == 0
        assert web.state(run_id)["state"] == "queued"

    with project.work(JOURNAL_URL=url):
        assert [line[:2] for line in begun(project, 2)] == [[run_id, "1"], [run_id, "2"]]
        (project.folder / "go").touch()
        ended(web, run_id)


def test_a_worker_that_was_killed_is_succeeded_at_once_in_the_same_folder(
    project: Project, url: str, web: Server
) -> None:
    with project.work(JOURNAL_URL=url) as worker:
        run_id = posted(web, "/waits")
        [[_, _, pid]] = begun(project)
        worker.kill()

        with project.work(JOURNAL_URL=url) as second:
            second.wait_for_line("1 run had been interrupted; running again")
            assert not alive(int(pid))
            begun(project, 2)
            (project.folder / "go").touch()
            ended(web, run_id)


def test_who_succeeds_one_worker_leaves_the_scripts_of_another_alone(
    project: Project, url: str, web: Server
) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(project.work("--slots", "1", JOURNAL_URL=url))
        mine = posted(web, "/waits")
        begun(project)
        stack.enter_context(project.work("--slots", "1", JOURNAL_URL=url))
        others = posted(web, "/waits")
        pids = {run: int(pid) for run, _, pid in begun(project, 2)}
        supervisor = first.supervisor()
        assert supervisor
        # The runner first, which would end a supervisor that is stopped, and start another.
        for pid in (first.process.pid, supervisor):
            os.kill(pid, signal.SIGSTOP)
        for pid in (supervisor, first.process.pid):
            os.kill(pid, signal.SIGKILL)
        first.process.wait()

        third = stack.enter_context(project.work("--slots", "1", JOURNAL_URL=url))
        third.wait_for_line("of scripts had outlived us; ended")
        assert not alive(pids[mine])
        assert alive(pids[others])
        (project.folder / "go").touch()
        ended(web, mine)
        ended(web, others)


# --- a database, or a file


ONLY_A_FILE = """
import sys
def refuse(event, given):
    if event == "import" and given[0].partition(".")[0] in ("psycopg", "psycopg_pool"):
        raise AssertionError("a driver is imported")
sys.addaudithook(refuse)
from hookrunner.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_who_keeps_runs_in_a_file_imports_no_driver(project: Project) -> None:
    environ = {"PYTHONPATH": str(REPOSITORY)}
    with Server(project.folder, environ=environ, program=("-c", ONLY_A_FILE)) as server:
        assert server.post("/hello").text == "hello\n"
        for verb in ("runs", "check", "migrate"):
            told = Server(project.folder, (verb,), environ, [], 0, ("-c", ONLY_A_FILE), ())
            told.begin()
            wait_until(lambda told=told: told.process.poll() is not None, verb)  # type: ignore[misc]
            with_it = told.lines
            told.__exit__(None, None, None)
            assert told.process.returncode == 0, with_it


def test_runs_that_wait_in_a_file_are_told_of_where_there_is_a_database_now(
    project: Project, url: str
) -> None:
    with project.serve(GRACE="0.1") as before:
        posted(before, "/waits")
        begun(project)
        before.stop()

    with project.serve(JOURNAL_URL=url) as now:
        now.wait_for_line(
            f"warning: 1 run waits in {project.folder / 'var'}, where they were kept before; to "
            "have them run, start once without JOURNAL_URL and DATABASE_URL"
        )
        assert now.post("/hello").text == "hello\n"


def test_a_dyno_with_a_database_loses_nothing_and_does_not_say_so(
    project: Project, url: str
) -> None:
    with project.serve(DYNO="web.1", PORT="0", DATABASE_URL=url) as server:
        assert server.lines[1].startswith("runs are kept in the database ")
        assert not any("which goes with the dyno" in line for line in server.lines)


def test_the_password_of_the_database_is_in_no_line_of_the_log(project: Project, url: str) -> None:
    secret = "cor%20rect"
    given = url.replace("postgres@", f"postgres:{secret}@")
    project.script("hello.sh", 'echo "$DATABASE_URL"; echo "cor rect"')
    with project.serve(DATABASE_URL=given) as server:
        assert server.post("/hello").text == f"{given}\ncor rect\n"

    log = "\n".join(server.lines)
    assert "| ****" in log
    assert secret not in log
    assert "cor rect" not in log
