"""`logs --follow`: what scripts print, as they print it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.serving import REPOSITORY, SECONDS, Project, Server, environment, wait_until

TOKEN = "the administrator's"
HOOKS = """
/say: {script: say.sh, auth: none}
/held/<name>: {script: held.sh, auth: none, respond: accepted, env: {NAME: "{path:name}"}}
/much: {script: much.sh, auth: none, max_output: 100KB}
"""


@dataclass
class Follower:
    """`logs --follow`, and what it has printed so far."""

    process: subprocess.Popen[str]
    lines: list[str]
    complaints: list[str]

    def wait_for(self, part: str, of: list[str] | None = None) -> str:
        lines = self.lines if of is None else of
        wait_until(lambda: any(part in line for line in lines), f"{part!r} in {lines}")
        return next(line for line in lines if part in line)


@contextmanager
def following(project: Project, *words: str) -> Iterator[Follower]:
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "runner.py"), "logs", "--follow", *words],
        cwd=project.folder,
        env=environment({"ADMIN_TOKEN": TOKEN}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines: list[str] = []
    complaints: list[str] = []
    assert process.stdout
    assert process.stderr
    threads = [
        threading.Thread(target=_keep, args=each, daemon=True)
        for each in ((process.stdout, lines), (process.stderr, complaints))
    ]
    for thread in threads:
        thread.start()
    try:
        yield Follower(process, lines, complaints)
    finally:
        process.kill()
        process.wait()
        for thread in threads:
            thread.join(SECONDS)
        process.stdout.close()
        process.stderr.close()


def _keep(stream: Iterator[str], lines: list[str]) -> None:
    for line in stream:
        text = line.rstrip("\n")
        lines.append(text)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project").hooks(HOOKS)
    project.script("say.sh", "read -r n; echo out $n; echo err $n >&2\n")
    project.script(
        "held.sh", "echo begun $NAME; until [ -e go-$NAME ]; do sleep 0.02; done; exit 3\n"
    )
    return project.script("much.sh", "seq 100000 199999\n")


@pytest.fixture(params=["here", "at the server"])
def at(request: pytest.FixtureRequest) -> bool:
    """True for a follower who asks the server."""
    return bool(request.param == "at the server")


def url(server: Server, at: bool) -> Sequence[str]:
    return ["--url", f"http://127.0.0.1:{server.port}"] if at else []


def test_many_runs_while_it_follows_are_shown_with_each_line_once(
    project: Project, at: bool
) -> None:
    with project.serve(ADMIN_TOKEN=TOKEN) as server:
        first = server.post("/say", b"0\n", Content_Type="application/json")
        with following(project, *url(server, at)) as follower:
            follower.wait_for("/say succeeded in ")
            ids = [first.headers["Hook-Run"]]
            for number in range(1, 60):
                posted = server.post("/say", b"%d\n" % number, Content_Type="application/json")
                ids.append(posted.headers["Hook-Run"])
            for run in ids:
                follower.wait_for(f"{run} /say succeeded in ")
    expected = []
    for number, run in enumerate(ids):
        expected += [f"{run} /say | out {number}", f"{run} /say ! err {number}"]
    assert [line for line in follower.lines if " succeeded in " not in line] == expected
    assert len(follower.lines) == 3 * len(ids)
    assert follower.complaints == []


def test_a_run_that_fails_after_younger_ones_is_shown_with_its_state(
    project: Project, at: bool
) -> None:
    with project.serve(ADMIN_TOKEN=TOKEN) as server:
        old = server.post_json("/held/old", {}).headers["Hook-Run"]
        with following(project, "--state", "failed", *url(server, at)) as follower:
            follower.wait_for("no run is like that", follower.complaints)
            new = server.post_json("/held/new", {}).headers["Hook-Run"]
            server.post_json("/say", 1)
            (project.folder / "go-new").touch()
            follower.wait_for(f"{new} /held/<name> failed in ")
            (project.folder / "go-old").touch()
            follower.wait_for(f"{old} /held/<name> failed in ")
    shown = [re.sub(r"in [\d.]+s", "in 1s", line) for line in follower.lines]
    assert shown == [
        f"{new} /held/<name> | begun new",
        f"{new} /held/<name> failed in 1s: exit 3",
        f"{old} /held/<name> | begun old",
        f"{old} /held/<name> failed in 1s: exit 3",
    ]


LEFT_OUT = re.compile(r"^\[\.\.\. (\d+) bytes left out \.\.\.\]$")


def test_what_was_left_out_of_the_middle_is_marked_and_the_end_is_shown(
    project: Project, at: bool
) -> None:
    with project.serve(ADMIN_TOKEN=TOKEN) as server:
        with following(project, *url(server, at)) as follower:
            follower.wait_for("there is no run yet", follower.complaints)
            run = server.post_json("/much", {}).headers["Hook-Run"]
            follower.wait_for("/much succeeded in ")
        again = project.command(
            "logs", run, *url(server, at), ADMIN_TOKEN=TOKEN
        ).stdout.splitlines()
    assert again[-1] == follower.lines[-1]
    for lines in (again, follower.lines):
        said = [line.removeprefix(f"{run} /much | ") for line in lines[:-1]]
        assert (said[0], said[-1]) == ("100000", "199999")
        marks = [line for line in said if line.startswith("[...")]
        left_out = [int(number) for mark in marks for number in LEFT_OUT.findall(mark)]
        shown = sum(len(line) + 1 for line in said if line not in marks)
        # A mark stands in a line of its own, wherever it is: it may end another.
        assert sum(left_out) + shown - 700_000 in range(len(marks) + 1)
    # Who follows may have seen some of the middle, if it lasted.
    [mark] = [line for line in again if "[..." in line]
    assert mark == f"{run} /much | [... {700_000 - 100 * 1024} bytes left out ...]"


def test_it_goes_on_when_the_server_is_back(project: Project) -> None:
    with project.serve(ADMIN_TOKEN=TOKEN) as server:
        before = server.post("/say", b"1\n", Content_Type="application/json").headers["Hook-Run"]
        where = f"http://127.0.0.1:{server.port}"
        port = server.port
        with following(project, "--url", where) as follower:
            follower.wait_for(f"{before} /say succeeded in ")
            server.stop()
            follower.wait_for("it is asked again", follower.complaints)
            with project.serve("--port", str(port), ADMIN_TOKEN=TOKEN) as server:
                posted = server.post("/say", b"2\n", Content_Type="application/json")
                after = posted.headers["Hook-Run"]
                follower.wait_for(f"{after} /say succeeded in ")
    assert [line.split(" /say ")[0] for line in follower.lines] == [before] * 3 + [after] * 3
    assert follower.complaints == [
        f"{where} cannot be reached: Connection refused; it is asked again until it answers"
    ]


def test_it_ends_with_control_c_and_says_nothing(project: Project) -> None:
    with (
        project.serve(ADMIN_TOKEN=TOKEN),
        following(project) as follower,
    ):
        follower.wait_for("there is no run yet", follower.complaints)
        follower.process.send_signal(signal.SIGINT)
        assert follower.process.wait(SECONDS) == 130
    assert (follower.lines, follower.complaints) == ([], ["there is no run yet"])
