"""Start, stop and the limits of the whole program, as a process."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.serving import REPOSITORY, SECONDS, Project, environment

HOOKS = """
/wait:
  script: wait.sh
  auth: none
  respond: {mode: output, wait: 25s}
/stubborn:
  script: stubborn.sh
  auth: none
  respond: {mode: status, wait: 25s}
/later:
  script: wait.sh
  auth: none
  respond: accepted
"""


@pytest.fixture
def waiting(project: Project) -> Project:
    """A project whose scripts run until the file `go` is in its folder."""
    project.hooks(HOOKS)
    loop = "echo begun; while [ ! -e go ]; do sleep 0.05; done; echo done\n"
    project.script("wait.sh", loop)
    project.script("stubborn.sh", "trap '' TERM\n" + loop)
    return project


def test_a_stop_lets_a_waiting_sender_have_its_answer(waiting: Project) -> None:
    with waiting.serve() as server, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(server.post, "/wait")
        server.wait_for_line("| begun")
        for _ in range(100):  # a handler that is not reentrant would lock itself up
            server.process.send_signal(signal.SIGTERM)
        server.wait_for_line(
            "stopping: 1 script may finish, for 18 s at most; "
            "Ctrl-C ends them now; they run again at the next start"
        )
        server.process.send_signal(signal.SIGTERM)

        late = server.post("/wait")
        assert (late.status, late.headers["Retry-After"]) == (503, "10")
        assert late.json["detail"] == "stopping; try again soon"

        (waiting.folder / "go").touch()
        assert (answer.result().status, answer.result().text) == (200, "begun\ndone\n")
        assert server.process.wait(SECONDS) == 0
        server.wait_for_line("stopped")


def test_a_script_that_outlasts_the_grace_is_run_again_at_the_next_start(waiting: Project) -> None:
    with waiting.serve("--grace", "1s") as server:
        run = server.post("/later").headers["Hook-Run"]
        server.wait_for_line("| begun")
        assert server.stop() == 0
        server.wait_for_line(
            f"{run} /later interrupted: the runner is stopping; handed back, to be run again"
        )

    (waiting.folder / "go").touch()
    with waiting.serve() as server:
        state = server.wait_until_ended(run)
    assert (state["state"], state["attempt"]) == ("succeeded", 2)


def test_a_waiting_sender_whose_script_outlasts_the_grace_gets_202(waiting: Project) -> None:
    with waiting.serve("--grace", "1s") as server, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(server.post, "/stubborn")
        server.wait_for_line("| begun")
        assert server.stop() == 0
        assert answer.result().status == 202


def test_on_a_dyno_it_gets_503_because_the_disk_goes_too(waiting: Project) -> None:
    with waiting.serve("--grace", "1s", DYNO="web.1") as server, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(server.post, "/stubborn")
        server.wait_for_line("| begun")
        assert server.stop() == 0
        assert (answer.result().status, answer.result().headers["Retry-After"]) == (503, "10")


LOST = "lost with this dyno's disk"


def test_on_a_dyno_a_stop_names_the_runs_that_go_with_its_disk(waiting: Project) -> None:
    with waiting.serve("--slots", "1", "--grace", "1s", DYNO="web.1") as server:
        runs = [server.post("/later").headers["Hook-Run"] for _ in range(3)]
        server.wait_for_line("| begun")
        assert server.stop() == 0
        server.wait_for_line("stopped")

    # The first was under way and has been handed back; the others had yet to begin.
    assert [line for line in server.lines if LOST in line] == [
        f"error: acknowledged, and {LOST}: {' '.join(runs)}"
    ]


def test_on_a_dyno_a_stop_that_leaves_nothing_names_nothing(waiting: Project) -> None:
    (waiting.folder / "go").touch()
    with waiting.serve(DYNO="web.1") as server:
        server.wait_until_ended(server.post("/later").headers["Hook-Run"])
        assert server.stop() == 0
        server.wait_for_line("stopped")

    assert [line for line in server.lines if LOST in line] == []


def test_where_the_disk_stays_a_stop_names_nothing(waiting: Project) -> None:
    with waiting.serve("--slots", "1", "--grace", "1s") as server:
        for _ in range(2):
            server.post("/later")
        server.wait_for_line("| begun")
        assert server.stop() == 0
        server.wait_for_line("stopped")

    assert [line for line in server.lines if LOST in line] == []


def test_a_second_interrupt_from_the_keyboard_stops_at_once(waiting: Project) -> None:
    with waiting.serve("--grace", "1h") as server:
        server.post("/later")
        server.wait_for_line("| begun")
        server.process.send_signal(signal.SIGINT)
        server.wait_for_line("stopping")
        assert server.stop(signal.SIGINT) == 0


def test_a_run_that_was_under_way_when_the_runner_was_killed_is_run_again(
    waiting: Project,
) -> None:
    with waiting.serve() as server:
        run = server.post("/later").headers["Hook-Run"]
        server.wait_for_line("| begun")
        server.process.kill()
        server.process.wait()

    (waiting.folder / "go").touch()
    with waiting.serve() as server:
        server.wait_for_line("1 run had been interrupted; running again")
        assert server.wait_until_ended(run)["attempt"] == 2


def test_a_queued_run_whose_path_left_hooks_yaml_fails_visibly(waiting: Project) -> None:
    with waiting.serve() as server:
        run = server.post("/later").headers["Hook-Run"]
        server.wait_for_line("| begun")
        server.process.kill()
        server.process.wait()

    waiting.hooks(HOOKS.replace("/later:", "/renamed:"))
    with waiting.serve() as server:
        server.wait_for_line(f"failed, for their path has left hooks.yaml: {run}")
        assert server.state(run)["why"] == "lost hook"


def test_a_second_runner_in_the_same_folder_is_refused(waiting: Project) -> None:
    with waiting.serve():
        second = waiting.command("--port", "0")

    assert second.returncode == 1
    assert second.stderr.splitlines() == [
        f"another runner works in {waiting.folder}/var; stop it, "
        "or name another folder with --data DIR"
    ]


def test_a_port_that_is_taken_is_named_with_the_flag_to_change_it(waiting: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = waiting.command("--port", str(port))

    assert found.returncode == 1
    assert found.stderr.splitlines() == [
        f"port {port} is taken; choose another with --port {port + 1}, "
        f"or PORT={port + 1} make run; or stop the program that has it"
    ]


def test_a_bad_hooks_yaml_does_not_start_a_server(waiting: Project) -> None:
    waiting.hooks("/a:\n  scrpt: x.py\n  auth: none\n")

    found = waiting.command("--port", "0")

    assert found.returncode == 1
    assert found.stderr.splitlines() == [
        "hooks.yaml:1: /a: 'script' is missing; name a file of scripts/",
        "hooks.yaml:2: unknown setting 'scrpt'; did you mean 'script'?",
    ]


def test_on_a_dyno_it_says_what_the_disk_is_worth_and_leaves_times_to_heroku(
    waiting: Project,
) -> None:
    with waiting.serve(DYNO="web.1", PORT="0") as server:
        assert re.match(r"hookrunner \S+ listens on http://0.0.0.0:", server.lines[0])
        server.wait_for_line("warning: runs are kept on this dyno's disk, which goes with the dyno")


def test_a_request_that_is_not_whole_in_time_is_closed_however_it_drips(project: Project) -> None:
    project.hooks("/a:\n  script: a.sh\n  auth: none\n").script("a.sh", "")
    shortened = (
        "import sys, hookrunner.serving, hookrunner.cli\n"
        "hookrunner.serving.REQUEST_SECONDS = 0.2\n"
        "sys.exit(hookrunner.cli.main(['--port', '0']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", shortened],
        cwd=project.folder,
        env=environment({"PYTHONPATH": str(REPOSITORY)}),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        found = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
        assert found
        address = ("127.0.0.1", int(found[1]))
        with socket.create_connection(address, timeout=SECONDS) as silent:
            with socket.create_connection(address, timeout=SECONDS) as dripping:
                assert closed_while_dripping(dripping)
            assert silent.recv(1) == b""
    finally:
        process.terminate()
        process.communicate()


def closed_while_dripping(connection: socket.socket) -> bool:
    """Send a byte of a body at a time until the other side has had enough."""
    connection.sendall(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
    end = time.monotonic() + SECONDS
    connection.settimeout(0.05)
    while time.monotonic() < end:
        try:
            connection.sendall(b"x")
            if connection.recv(1) == b"":
                return True
        except TimeoutError:
            continue
        except ConnectionError:
            return True
    return False


def test_honcho_runs_the_procfile_and_a_stop_still_delivers_the_answer(project: Project) -> None:
    project.hooks("/five:\n  script: five.sh\n  auth: none\n  respond: output\n")
    project.script("five.sh", "echo begun; sleep 5; echo done\n")
    procfile = (REPOSITORY / "Procfile").read_text()
    procfile = procfile.replace("python runner.py", f"{sys.executable} {REPOSITORY}/runner.py")
    # honcho would run `release` beside `web`; Heroku runs it before.
    (project.folder / "Procfile").write_text(procfile)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    honcho = subprocess.Popen(
        [str(Path(sys.executable).parent / "honcho"), "start", "web"],
        cwd=project.folder,
        env=environment({"PORT": str(port), "PYTHONUNBUFFERED": "1"}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert honcho.stdout
    try:
        read_until(honcho, "listens on")
        with ThreadPoolExecutor(1) as pool:
            curl = ["curl", "-s", "-X", "POST", f"http://127.0.0.1:{port}/five"]
            answer = pool.submit(subprocess.check_output, curl, text=True, timeout=SECONDS)
            read_until(honcho, "| begun")
            honcho.terminate()
            assert answer.result() == "begun\ndone\n"
    finally:
        honcho.terminate()
        honcho.communicate()


def read_until(process: subprocess.Popen[str], part: str) -> None:
    assert process.stdout
    for line in process.stdout:
        if part in line:
            return
    raise AssertionError(f"it ended without a line with {part!r}")


def test_a_script_cannot_read_the_runners_memory_or_environment(project: Project) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    project.hooks("/a:\n  script: a.sh\n  auth: none\n  respond: output\n")
    project.script("a.sh", 'cat "/proc/$PPID/environ" 2>&1 || true\n')
    with project.serve(SECRET="hidden") as server:
        assert "hidden" not in server.post("/a").text
