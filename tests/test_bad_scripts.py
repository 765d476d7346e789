"""Scripts that do their worst: the run fails with the reason, and the next is unharmed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.serving import Project, Server, wait_until

NOBODY = 65534


OK = """
defaults: {auth: none, respond: status}
/ok: {script: ok.py}
/ok.sh: {script: ok.sh}
"""


def project_with(folder: Path, hooks: str, scripts: Mapping[str, str]) -> Project:
    """A project of these hooks, each of a script of its name, and of some that do no harm."""
    project = Project(folder)
    project.script("ok.py", "print('ok')\n").script("ok.sh", "echo ok\n")
    for name, text in scripts.items():
        project.script(name, text)
    text = (
        "defaults: {auth: none, respond: status}\n/ok: {script: ok.py}\n/ok.sh: {script: ok.sh}\n"
    )
    project.hooks(text + hooks)
    return project


def all_is_well(server: Server) -> None:
    """Scripts of either kind are run as if nothing had happened."""
    for path in ("/ok", "/ok.sh"):
        answer = server.post(path)
        assert (answer.status, answer.json["state"]) == (200, "succeeded"), answer.text


def warm(server: Server, *names: str) -> None:
    """Wait until these scripts start warm."""
    server.wait_for_line("from now on warm: " + ", ".join(sorted(("ok.py", *names))))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("import no_such_module\n", "exit 1", id="dies in an import"),
        pytest.param("1 +\n", "exit 1", id="is no Python"),
        pytest.param("import os; os.close(1); os.close(2); 1/0\n", "exit 1", id="closes stdout"),
        pytest.param("import os; os.abort()\n", "signal 6 (SIGABRT)", id="aborts"),
        pytest.param(
            "import ctypes; ctypes.string_at(0)\n", "signal 11 (SIGSEGV)", id="crashes Python"
        ),
        pytest.param(
            "import os\nif os.fork() == 0:\n    os.setsid()\n"
            "    os.execvp('sleep', ['sleep', '60'])\nraise SystemExit(3)\n",
            "exit 3",
            id="leaves a daemon",
        ),
    ],
)
def test_a_script_that_fails_fails_alone(tmp_path: Path, text: str, why: str) -> None:
    project = project_with(tmp_path / "project", "/bad: {script: bad.py}\n", {"bad.py": text})
    with project.serve() as server:
        server.wait_for_line("ok.py")
        for _ in range(2):
            answer = server.post("/bad")
            assert (answer.status, answer.json["detail"]) == (500, f"the script failed: {why}")
            all_is_well(server)


def test_a_script_that_prints_for_ever_is_ended_and_its_output_cut(tmp_path: Path) -> None:
    hooks = "/bad: {script: bad.py, timeout: 1s, max_output: 10KB}\n"
    bad = "while True: print('x' * 1000)\n"
    project = project_with(tmp_path / "project", hooks, {"bad.py": bad})
    with project.serve() as server:
        warm(server, "bad.py")
        answer = server.post("/bad")
        assert (answer.status, answer.json["detail"]) == (504, "the script timed out after 1 s")
        all_is_well(server)
    [(size,)] = project.journal("SELECT length(stdout) FROM attempt WHERE why = 'timeout'")
    assert 10_000 < size < 11_000


def test_a_script_that_kills_its_parent_is_interrupted_and_no_other(tmp_path: Path) -> None:
    hooks = "/bad: {script: bad.py, retry: {rerun: false}}\n"
    bad = "import os, signal; os.kill(os.getppid(), signal.SIGKILL); signal.pause()\n"
    project = project_with(tmp_path / "project", hooks, {"bad.py": bad})
    with project.serve() as server:
        warm(server, "bad.py")
        answer = server.post("/bad")
        assert (answer.status, answer.json["why"]) == (500, "interrupted")
        assert "interrupted" in answer.json["detail"]
        all_is_well(server)
        before = len(server.lines)
        wait_until(
            lambda: any("from now on warm" in line for line in server.lines[before:]),
            "another fork-server",
        )
        all_is_well(server)


@contextmanager
def own_disk(size: str) -> Iterator[Path]:
    """A small file system of its own; skips where none can be had."""
    folder = Path(tempfile.mkdtemp())
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("no file system can be mounted here")
        try:
            yield folder
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=True)
    finally:
        folder.rmdir()


def test_a_script_that_fills_the_disk_has_intake_say_503_until_there_is_space(
    tmp_path: Path,
) -> None:
    fill = (
        'cat /dev/zero >"$TMPDIR/all" 2>/dev/null\necho >full\n'
        "while [ ! -e go ]; do sleep 0.05; done\n"
    )
    hooks = "/fill: {script: fill.sh, respond: accepted}\n"
    project = project_with(tmp_path / "project", hooks, {"fill.sh": fill})
    with own_disk("6m") as data, project.serve("--data", str(data)) as server:
        server.post("/fill")
        wait_until((project.folder / "full").exists, "the disk is full")
        refused = [server.post_json("/ok", {"x": "x" * 5000}) for _ in range(20)][-1]
        assert (refused.status, refused.json["detail"]) == (503, "not recorded; try again soon")
        assert refused.headers["Retry-After"] == "10"

        (project.folder / "go").touch()
        wait_until(lambda: server.post("/ok").status == 200, "there is space again")
        all_is_well(server)


def test_a_script_that_forks_without_end_leaves_the_runner_room(tmp_path: Path) -> None:
    if os.getuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("to become somebody who may not fork without end needs root and setpriv")
    bomb = (
        "import os, time\nopen('bombed', 'w').close()\n"
        "while True:\n    try:\n        os.fork()\n    except OSError:\n        time.sleep(0.05)\n"
    )
    place = Path(tempfile.mkdtemp())
    try:
        hooks = "/bomb: {script: bomb.py, timeout: 4s, respond: accepted}\n"
        project = project_with(place / "project", hooks, {"bomb.py": bomb})
        for path in (place, *place.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        with _Unprivileged(project.folder) as server:
            warm(server, "bomb.py")
            run = server.post("/bomb").headers["Hook-Run"]
            wait_until((project.folder / "bombed").exists, "the bomb goes off")
            answer = server.post("/ok.sh")
            assert (answer.status, answer.json["state"]) == (200, "succeeded"), answer.text
            assert server.wait_until_over(run)["why"] == "timeout"
            all_is_well(server)
    finally:
        shutil.rmtree(place)


class _Unprivileged(Server):
    """A runner of a user who may have 250 processes, threads included."""

    # Whom the tests belong to may keep their Python where nobody else can read it.
    prefix = (
        f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups "
        "--inh-caps=+dac_override --ambient-caps=+dac_override prlimit --nproc=250"
    ).split()
