"""What is shipped runs as it is shipped: a fresh copy, the README's commands, every example."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from hookrunner.config import _Folders, _HookReader
from hookrunner.files import Folder
from hookrunner.sections import Section, Source, compose
from tests.serving import REPOSITORY, SECONDS, Project, Server, environment

FORM_SECRET = "the secret of the form"
GITHUB_SECRET = "the secret of GitHub"


def copy_to(folder: Path) -> Path:
    """The project as a clone would have it: what git knows or is about to, and nothing else."""
    listed = subprocess.check_output(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=REPOSITORY, text=True
    )
    for name in listed.splitlines():
        if (REPOSITORY / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, target)
    return folder


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    project = Project(copy_to(tmp_path_factory.mktemp("shipped") / "hookrunner"))
    with project.serve(FORM_SECRET=FORM_SECRET, GITHUB_SECRET=GITHUB_SECRET) as server:
        yield server


@pytest.mark.timeout(300)
def test_make_run_serves_hello_from_nothing(tmp_path: Path) -> None:
    folder = copy_to(tmp_path / "hookrunner")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / ".env").write_text(f"PORT={port}\n")
    pip = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
    make = subprocess.Popen(
        ["make", "run", f"PYTHON={sys.executable}"],
        cwd=folder,
        env=environment(pip),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert make.stdout
    lines = []
    try:
        for line in make.stdout:
            lines.append(line)
            if "listens on" in line:
                break
        url = f"localhost:{port}/hello?name=Robert"
        answer = subprocess.check_output(["curl", "-s", url], text=True, timeout=SECONDS)
        assert answer == "Hello, Robert!\n", lines
    finally:
        os.killpg(make.pid, signal.SIGTERM)
        lines += make.communicate()[0].splitlines()
    assert [line for line in lines if line.endswith("/hello | Hello, Robert!")], lines
    assert [line for line in lines if "/github is switched off: GITHUB_SECRET is not set" in line]


def test_hello_greets_by_query_by_json_and_without_a_name(shipped: Server) -> None:
    assert shipped.get("/hello?name=Robert").text == "Hello, Robert!\n"
    assert shipped.post_json("/hello", {"name": "Zoë"}).text == "Hello, Zoë!\n"
    assert shipped.post("/hello").text == "Hello, stranger!\n"


def form_payload() -> dict[str, Any]:
    return {
        "form": {"id": "1FAIp", "title": "Participants"},
        "response": {
            "id": "2_ABaOnu",
            "timestamp": "2026-11-23T10:15:00.000Z",
            "payload": {"Name": "Zoë Ångström", "Email": "zoe@example.org"},
        },
    }


def signed_as_a_form(body: bytes) -> dict[str, str]:
    """What the form's Apps Script sends; the scheme's own library takes a base64 secret."""
    now = datetime.datetime.now(datetime.UTC)
    key = Webhook(FORM_SECRET.encode())
    return {
        "Content-Type": "application/json",
        "Webhook-Id": "2_ABaOnu.1",
        "Webhook-Timestamp": str(int(now.timestamp())),
        "Webhook-Signature": key.sign("2_ABaOnu.1", now, body.decode()),
    }


def test_a_google_form_enrols_a_participant(shipped: Server) -> None:
    body = json.dumps(form_payload(), ensure_ascii=False).encode()

    answer = shipped.request("POST", "/participants", body, signed_as_a_form(body))

    assert answer.status == 202
    run = answer.headers["Hook-Run"]
    shipped.wait_for_line(f"{run} /participants | enrolling Zoë Ångström <zoe@example.org>")
    assert shipped.wait_until_ended(run)["state"] == "succeeded"


def test_a_form_whose_answers_do_not_fit_is_told_which(shipped: Server) -> None:
    payload = form_payload()
    payload["response"]["payload"]["Email"] = "nobody"
    body = json.dumps(payload).encode()

    answer = shipped.request("POST", "/participants", body, signed_as_a_form(body))

    assert answer.status == 422
    assert answer.json["errors"] == [
        {"pointer": "/response/payload/Email", "detail": "'nobody' is not a 'email'"}
    ]


def as_github(event: str, body: bytes) -> dict[str, str]:
    digest = hmac.new(GITHUB_SECRET.encode(), body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "X-Hub-Signature-256": f"sha256={digest}",
    }


def test_a_push_to_github_is_shown(shipped: Server) -> None:
    push = {
        "ref": "refs/heads/main",
        "repository": {"full_name": "me/it"},
        "commits": [{"id": "0123456789", "message": "Mend it\n\nAt last."}],
    }
    body = json.dumps(push).encode()

    answer = shipped.request("POST", "/github", body, as_github("push", body))

    assert answer.status == 200
    run = answer.headers["Hook-Run"]
    shipped.wait_for_line(f"{run} /github | 1 commits to main of me/it")
    shipped.wait_for_line(f"{run} /github | 0123456 Mend it")


def test_a_ping_of_github_makes_no_run(shipped: Server) -> None:
    body = b'{"zen": "Keep it logically awesome.", "hook_id": 1}'

    answer = shipped.request("POST", "/github", body, as_github("ping", body))
    other = shipped.request("POST", "/github", body, as_github("issues", body))

    assert (answer.status, answer.json) == (200, {"status": "pong"})
    assert (other.status, other.json) == (200, {"status": "ignored"})


def test_an_html_form_gives_feedback(shipped: Server) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    answer = shipped.request("POST", "/feedback", "message=Nice%21&stars=5", form)
    assert (answer.status, answer.text) == (200, "Thank you for 5 stars: Nice!\n")

    # A browser sends a field that was left empty.
    answer = shipped.request("POST", "/feedback", "message=Nice%21&stars=", form)
    assert (answer.status, answer.text) == (200, "Thank you for no stars: Nice!\n")

    answer = shipped.request("POST", "/feedback", "message=Nice%21&stars=9", form)
    assert answer.json["errors"] == [
        {"pointer": "/stars", "detail": "9 is greater than the maximum of 5"}
    ]


def test_the_release_check_stops_a_release_that_lacks_a_secret(tmp_path: Path) -> None:
    project = Project(copy_to(tmp_path / "hookrunner"))

    lacking = project.command("check", DYNO="release.1", FORM_SECRET="0123456789")
    assert lacking.returncode == 1
    assert lacking.stderr.splitlines() == [
        "/github is switched off: GITHUB_SECRET is not set; "
        "set it: heroku config:set GITHUB_SECRET=$(openssl rand -hex 32)"
    ]
    assert project.command("check", FORM_SECRET="x", GITHUB_SECRET="y").returncode == 0


def test_the_settings_table_of_the_readme_is_the_list_of_settings() -> None:
    readme = (REPOSITORY / "README.md").read_text()
    table = readme.partition("## The settings of a hook")[2].partition("###")[0]
    told = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE))))
    empty = compose(b"{}", Source("", {}))
    assert empty
    section, folder = Section(empty), Folder(REPOSITORY)
    _HookReader(empty, section, _Folders(folder, folder)).read()

    assert told == set(section.known)


def test_herokus_buildpack_takes_the_runtime_and_one_package_manager() -> None:
    assert re.fullmatch(r"python-3\.(1[0-4])", (REPOSITORY / "runtime.txt").read_text().strip())
    others = ("Pipfile.lock", "poetry.lock", "uv.lock", ".python-version")
    assert not [name for name in others if (REPOSITORY / name).exists()]


def test_app_json_makes_up_every_secret_that_the_shipped_hooks_need() -> None:
    described = json.loads((REPOSITORY / "app.json").read_text())
    needed = set(re.findall(r"\$([A-Z_]+)", (REPOSITORY / "hooks.yaml").read_text()))

    assert {
        name for name, var in described["env"].items() if var["generator"] == "secret"
    } == needed
