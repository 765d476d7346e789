"""The verbs as a user has them: what they print, where, and their exit status."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest

from hookrunner import VERSION, cli
from tests.serving import REPOSITORY, SECONDS, Project, environment

HOOKS = """\
/hello: {script: hello.py, auth: none, methods: [GET, POST], respond: output}
/deploy/<env>: {script: deploy.sh, auth: [{github: $S}, {bearer: $T}], respond: accepted}
"""

TABLE = """\
PATH           METHODS   WHO MAY POST    SCRIPT     ANSWERS            STATE
/hello         GET,POST  everybody       hello.py   output, waits 25s  on
/deploy/<env>  POST      github, bearer  deploy.sh  accepted           {state}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with two hooks, one of which needs two secrets."""
    project = Project(tmp_path / "project")
    return project.script("hello.py", "").script("deploy.sh", "").hooks(HOOKS)


# --- check


def test_check_shows_every_hook(project: Project) -> None:
    done = project.command("check", S="the secret", T="the token")

    assert (done.returncode, done.stdout, done.stderr) == (0, TABLE.format(state="on"), "")


def test_check_names_the_command_that_sets_what_is_missing(project: Project) -> None:
    done = project.command("check", T="the token")

    assert done.returncode == 1
    assert done.stdout == TABLE.format(state="off")
    assert done.stderr == (
        "/deploy/<env> is switched off: S is not set; "
        'set it: echo "S=$(openssl rand -hex 32)" >> .env\n'
    )


def test_check_names_the_command_that_sets_it_on_a_dyno(project: Project) -> None:
    project.hooks("/hello: {script: hello.py, auth: {bearer: $S}, env: {REGION: $R}}\n")
    done = project.command("check", DYNO="run.1")

    assert done.returncode == 1
    assert done.stderr == (
        "/hello is switched off: S is not set; "
        "set it: heroku config:set S=$(openssl rand -hex 32)\n"
        "/hello is switched off: R is not set; set it: heroku config:set R=…\n"
    )


def test_check_takes_secrets_from_the_env_file(project: Project) -> None:
    (project.folder / ".env").write_text("S=secret\nT=token\n")

    assert project.command("check").returncode == 0


def test_check_tells_every_problem_on_stderr_and_shows_no_hooks(project: Project) -> None:
    project.hooks(HOOKS + "/bad: {script: helo.py, auth: none, tiemout: 5s}\n")
    done = project.command("check", S="secret", T="token")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "hooks.yaml:3: there is no scripts/helo.py; did you mean 'hello.py'?\n"
        "hooks.yaml:3: unknown setting 'tiemout'; did you mean 'timeout'?\n"
    )


def test_a_file_full_of_mistakes_is_told_while_one_waits(project: Project) -> None:
    project.hooks("".join(f"{number}:\n" for number in range(100_000)))
    done = project.command("check")

    assert done.returncode == 1
    assert done.stderr.startswith("hooks.yaml:1: unknown key '0'; did you mean '/0'?\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no /dev/full")
def test_check_that_cannot_be_printed_is_no_bug_of_ours(project: Project) -> None:
    with Path("/dev/full").open("wb") as full:
        status, told = check_into(project, full.fileno())

    assert (status, told) == (1, "the output cannot be shown: No space left on device\n")


def test_check_that_nobody_reads_is_no_bug_of_ours(project: Project) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    status, told = check_into(project, writer)
    os.close(writer)

    assert (status, told) == (141, "")


def check_into(project: Project, output: int) -> tuple[int, str]:
    """The status of `check`, whose table goes to a file that is open already; its stderr."""
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "runner.py"), "check"],
        cwd=project.folder,
        env=environment({"S": "secret", "T": "token"}),
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.returncode, done.stderr


def test_a_data_folder_that_is_a_link_to_itself_is_no_bug_of_ours(project: Project) -> None:
    (project.folder / "loop").symlink_to("loop")
    done = project.command("--port", "0", "--data", "loop", S="secret", T="token")

    assert (done.returncode, "Traceback" in done.stderr) == (1, False)


def test_check_leaves_nothing_behind(project: Project) -> None:
    before = sorted(project.folder.rglob("*"))
    project.command("check", S="secret", T="token")

    assert sorted(project.folder.rglob("*")) == before


def test_a_secret_is_in_nothing_that_check_prints(project: Project) -> None:
    done = project.command("check", S="hunter2-s", ADMIN_TOKEN="hunter2-a")

    assert "hunter2" not in done.stdout + done.stderr


# --- which file


def test_another_hooks_yaml_is_named_by_flag_or_environment(project: Project) -> None:
    elsewhere = Project(project.folder / "elsewhere").script("x.py", "")
    elsewhere.hooks("/x: {script: x.py, auth: none}\n")
    path = str(elsewhere.folder / "hooks.yaml")
    expected = (
        "PATH  METHODS  WHO MAY POST  SCRIPT  ANSWERS           STATE\n"
        "/x    POST     everybody     x.py    status, waits 8s  on\n"
    )

    assert project.command("check", "--config", path).stdout == expected
    assert project.command("check", HOOKS=path).stdout == expected
    assert project.command("check", HOOKS="elsewhere/hooks.yaml").stdout == expected


def test_the_flag_wins_over_the_environment(project: Project) -> None:
    done = project.command("check", "--config", "nope.yaml", HOOKS="hooks.yaml")

    assert done.returncode == 1
    assert done.stderr == "nope.yaml: there is no such file; name it with --config PATH\n"


@pytest.mark.parametrize("verb", ["check", "serve"])
@pytest.mark.parametrize("name", ["nope.yaml", "no/such/folder.yaml", "scripts", "loop", ""])
def test_a_file_that_is_not_there_is_told_without_a_traceback(
    project: Project, verb: str, name: str
) -> None:
    (project.folder / "loop").symlink_to("loop")
    (project.folder / "hooks.yaml").unlink()
    done = project.command(verb, "--config", name)

    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"{name or 'hooks.yaml'}: ")


# --- serve does not start


def test_serve_does_not_start_on_a_bad_file(project: Project) -> None:
    project.hooks("/hello: {script: hello.py}\n")
    done = project.command("--port", "0")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "hooks.yaml:1: /hello: 'auth' is missing; say who may post, such as "
        "{github: $GITHUB_SECRET}, or auth: none for everybody\n"
    )
    assert not (project.folder / "var").exists()


@pytest.mark.parametrize(
    ("flags", "environ", "told"),
    [
        (["--port", "x"], {}, "--port must be a whole number from 0 to 65535, not 'x'"),
        (["--port", "65536"], {}, "--port must be a whole number from 0 to 65535, not '65536'"),
        (["--port", "1e3"], {}, "--port must be a whole number from 0 to 65535, not '1e3'"),
        (["--port", "-1"], {}, "--port must be a whole number from 0 to 65535, not '-1'"),
        (["--port", "٣"], {}, "--port must be a whole number from 0 to 65535, not '٣'"),
        ([], {"PORT": "x"}, "PORT must be a whole number from 0 to 65535, not 'x'"),
        (["--port", "x"], {"PORT": "0"}, "--port must be a whole number from 0 to 65535, not 'x'"),
        (["--threads", "0"], {}, "--threads must be a whole number from 1 to 1000, not '0'"),
        ([], {"THREADS": "many"}, "THREADS must be a whole number from 1 to 1000, not 'many'"),
        (["--slots", "0"], {}, "--slots must be a whole number from 1 to 1000, not '0'"),
        ([], {"SLOTS": "1001"}, "SLOTS must be a whole number from 1 to 1000, not '1001'"),
        (["--grace", "soon"], {}, "--grace must be a time such as 26s, not 'soon'"),
        ([], {"GRACE": "soon"}, "GRACE must be a time such as 26s, not 'soon'"),
        (["--grace", "2d"], {"GRACE": "1s"}, "--grace must be from 0.1s to 1d, not '2d'"),
        (
            ["--slots", "7" * 99],
            {},
            f"--slots must be a whole number from 1 to 1000, not '{'7' * 60}'…",
        ),
        ([], {"LOG_FORMAT": "xml"}, "LOG_FORMAT must be text, logfmt or json, not 'xml'"),
        (
            [],
            {"FORWARDED_ALLOW": "heroku"},
            "FORWARDED_ALLOW must be *, or addresses such as 10.0.0.0/8,127.0.0.1, not 'heroku'",
        ),
    ],
)
def test_a_bad_value_is_told_by_the_name_that_the_user_gave_it(
    project: Project, flags: list[str], environ: Mapping[str, str], told: str
) -> None:
    done = project.command(*flags, **environ)

    assert (done.returncode, done.stdout, done.stderr) == (1, "", told + "\n")


def test_a_number_of_five_thousand_digits_is_no_bug_of_ours(project: Project) -> None:
    done = project.command("--port", "9" * 5000)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr


# --- wrong usage


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["chekc"],
            "there is no verb 'chekc'; did you mean 'check'?",
        ),
        (["qqq"], f"there is no verb 'qqq'; there are {', '.join(cli.VERBS)}"),
        (["check", "more"], "unrecognized arguments: more"),
        (["check", "--verbose"], "unrecognized arguments: --verbose"),
        (["-x"], "unrecognized arguments: -x"),
        (["check", "--config"], "argument --config: expected one argument"),
        (["check", "--conf", "hooks.yaml"], "unrecognized arguments: --conf hooks.yaml"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_is_wrong(
    project: Project, arguments: list[str], told: str
) -> None:
    done = project.command(*arguments, S="secret", T="token")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: runner.py ")
    assert done.stderr.splitlines()[-1].partition(": error: ")[2] == told


def test_a_misspelt_flag_is_named_though_its_value_looks_like_a_verb(project: Project) -> None:
    done = project.command("--prot", "8080")

    assert (done.returncode, done.stdout) == (2, "")
    assert "--prot" in done.stderr.splitlines()[-1]


# --- help


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["check", "--help"]])
def test_help_is_on_stdout_and_exits_0(project: Project, arguments: list[str]) -> None:
    done = project.command(*arguments)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: runner.py ")


@pytest.mark.parametrize(
    "word",
    ["serve", "check", "--config PATH", "--data DIR", "--host", "--port", "--threads", "--slots",
     "--grace SECONDS", "--version", "HOOKS", "DATA_DIR", "PORT", "THREADS", "SLOTS", "GRACE",
     "LOG_FORMAT", "FORWARDED_ALLOW", "python runner.py check"],
)  # fmt: skip
def test_help_knows_every_verb_flag_and_variable(
    capsys: pytest.CaptureFixture[str], word: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--help"], {})

    assert caught.value.code == 0
    assert word in capsys.readouterr().out


def test_version_is_one_line(project: Project) -> None:
    done = project.command("--version")

    assert (done.returncode, done.stdout) == (0, f"hookrunner {VERSION}\n")


def test_a_bug_of_ours_exits_3_and_asks_for_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    nonsense = cast(Mapping[str, str], None)

    assert cli.main(["check"], nonsense) == 3
    assert capsys.readouterr().err.splitlines()[-1] == (
        "this is a bug of hookrunner's; please report it with the lines above"
    )
