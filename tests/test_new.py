"""`new`: from nothing to a hook that runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from hookrunner.auth.senders import SENDERS
from tests.posts import SIGNERS
from tests.serving import REPOSITORY, Project

SAMPLE = {"order": {"id": 1}, "e-mail": "é@b.c", "total": 1.5, "ok": True, "tags": ["a"], "{x}": 1}

COMMENTED = """\
# My hooks. Keep this comment.
defaults: {timeout: 2m}   # and this one

/zebra:                   # the order of the file is kept, too
    script: a.sh
    auth: none
/ant: {script: a.sh, auth: none}"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project").script("a.sh", "true\n")


def new(project: Project, *words: str, **environ: str) -> CompletedProcess[str]:
    return project.command("new", *words, **environ)


def test_a_hook_is_added_and_the_rest_of_the_file_stays_as_it_is(project: Project) -> None:
    project.hooks(COMMENTED)
    done = new(project, "/deploy/<env>")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "hooks.yaml: /deploy/<env> was added\n"
        "scripts/deploy.py was written\n"
        "\n"
        "It needs its secret: DEPLOY_TOKEN is not set; "
        'set it: echo "DEPLOY_TOKEN=$(openssl rand -hex 32)" >> .env\n'
        "Who posts to https://YOUR-APP.herokuapp.com/deploy/<env> adds the header "
        "Authorization: Bearer and that token.\n"
        "Start the server (make run); one that runs without --reload, start anew.\n"
        "Then try it: python runner.py send /deploy/<env>\n"
    )
    assert (project.folder / "hooks.yaml").read_text() == COMMENTED + (
        "\n\n/deploy/<env>:\n  script: deploy.py\n  auth: {bearer: $DEPLOY_TOKEN}\n"
    )


def test_a_file_that_is_not_there_is_made(project: Project) -> None:
    assert new(project, "/").returncode == 0
    text = (project.folder / "hooks.yaml").read_text()
    assert text == "/:\n  script: root.py\n  auth: {bearer: $ROOT_TOKEN}\n"


@pytest.mark.parametrize("kind", ["--python", "--bash"])
def test_a_new_hook_runs_its_sample(project: Project, kind: str) -> None:
    (project.folder / "sample.json").write_text(json.dumps(SAMPLE))
    done = new(project, "/orders", kind, "--sample", "sample.json")
    assert done.returncode == 0, done
    environ = {"ORDERS_TOKEN": "t0ken"}
    with project.serve(**environ):
        sent = project.command("send", "/orders", **environ)
        assert sent.returncode == 0, sent
        unfit = project.command("send", "/orders", "--data", '{"order": 7}', **environ)
    assert sent.stderr == "the payload is made up to fit the schema\n"
    if kind == "--bash":
        assert " | E_MAIL is é@b.c\n" in sent.stdout
        assert " | TOTAL is 1.5\n" in sent.stdout
    else:
        assert ' |   "e-mail": "é@b.c",\n' in sent.stdout
    assert unfit.stdout.startswith("422 ")


def test_a_schema_is_drafted_from_the_sample(project: Project) -> None:
    (project.folder / "sample.json").write_text(json.dumps(SAMPLE))
    new(project, "/orders", "--sample", "sample.json")
    schema = json.loads((project.folder / "schemas" / "orders.json").read_text())
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["properties"]["total"] == {"type": "number"}
    assert schema["required"] == sorted(SAMPLE)
    assert schema["examples"] == [SAMPLE]


def test_a_schema_is_drafted_from_the_newest_payload_of_the_path(project: Project) -> None:
    project.hooks("/orders: {script: a.sh, auth: none}\n/other: {script: a.sh, auth: none}\n")
    with project.serve() as server:
        server.post_json("/orders", {"old": 1})
        server.post_json("/orders", {"kept": 1})
        server.post_json("/other", {"other": 1})
    project.hooks("/other: {script: a.sh, auth: none}\n")
    assert "schemas/orders.json was written" in new(project, "/orders").stdout
    schema = json.loads((project.folder / "schemas" / "orders.json").read_text())
    assert schema["examples"] == [{"kept": 1}]


@pytest.mark.parametrize("name", SENDERS)
def test_a_hook_is_made_for_every_sender(project: Project, name: str) -> None:
    done = new(project, f"/{name}", "--from", name, "--url", "https://my-app.herokuapp.com")
    assert (done.returncode, done.stderr) == (0, "")
    words = " ".join(done.stdout.split())
    steps = " ".join(SENDERS[name].steps.replace("`", "").split())
    steps = steps.replace("<URL>", f"https://my-app.herokuapp.com/{name}")
    steps = steps.replace("<SECRET>", "that secret")
    assert f"On {SENDERS[name].title}'s side: {steps}" in words
    environ = {
        part.partition(",")[0].rstrip("}]"): SIGNERS[name].secret if name in SIGNERS else "x y z"
        for part in SENDERS[name].example.split("$")[1:]
    }
    assert project.command("check", **environ).returncode == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["orders"], "a path begins with '/', such as /orders\n"),
        (["/a//b"], "/a//b: "),
        (["/zebra"], "/zebra is in hooks.yaml already\n"),
        (["/a.sh", "--bash"], ""),
        (["/x", "--from", "gihub"], "no sender is called 'gihub'; did you mean 'github'?\n"),
        (["/x", "--from", "twilio"],
         "twilio signs the address that it posts to; give it: --url https://…\n"),
        (["/x", "--sample", "gone.json"], "gone.json cannot be read: No such file or directory\n"),
        (["/x", "--sample", "hooks.yaml"], "hooks.yaml: the body is not JSON: "),
        (["/a", "--bash"], "scripts/a.sh is there already; move it away, or take another path\n"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_is_told_and_nothing_is_written(
    project: Project, words: list[str], told: str
) -> None:
    project.hooks(COMMENTED)
    before = sorted(path for path in project.folder.rglob("*"))
    done = new(project, *words)
    if not told:
        assert done.returncode == 0
        return
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(told)
    assert sorted(path for path in project.folder.rglob("*")) == before
    assert (project.folder / "hooks.yaml").read_text() == COMMENTED


def test_a_file_with_a_mistake_is_left_as_it_was(project: Project) -> None:
    text = "/a: {scrpt: a.sh, auth: none}\n"
    project.hooks(text)
    done = new(project, "/b")
    assert done.returncode == 1
    assert "unknown setting 'scrpt'" in done.stderr
    assert (project.folder / "hooks.yaml").read_text() == text
    assert not (project.folder / "scripts" / "b.py").exists()


def test_a_script_that_was_made_is_good_python_and_good_bash(project: Project) -> None:
    new(project, "/one")
    new(project, "/two", "--bash")
    script = str(project.folder / "scripts" / "one.py")
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", script]
    assert subprocess.run(ruff, cwd=REPOSITORY, capture_output=True, check=False).returncode == 0
    bash = ["bash", "-n", str(project.folder / "scripts" / "two.sh")]
    assert subprocess.run(bash, capture_output=True, check=False).returncode == 0
