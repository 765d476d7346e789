"""Hooks of adnanh/webhook, taken over: what they let in, what their commands see, what is told."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.foreign_hooks import CASES, LEFT_OUT, Ask, Case, guarded, mac, match, values
from tests.serving import Project, Response, Server, environment, wait_until

NO_WEBHOOK = "no webhook was found, so nothing was COMPARED with it; on Debian: apt install webhook"

SHOWS = """\
#!/usr/bin/env python3
import json, os, sys
seen = {n: v for n, v in os.environ.items() if n.startswith(("SEEN_", "HOOK_ref", "HOOK_pusher"))}
files = {n: open(v).read() for n, v in os.environ.items() if n.startswith("FILE_")}
said = {"args": sys.argv[1:], "env": seen, "files": files}
said |= {"cwd": os.getcwd(), "stdin": sys.stdin.read()}
with open(os.environ["SAYS"], "a") as stream:
    stream.write(json.dumps(said) + "\\n")
print("out", flush=True)
print("err", file=sys.stderr)
sys.exit(int(os.environ.get("SEEN_EXIT") or 0))
"""


@dataclass
class Moved:
    """Both servers, and what their commands have said."""

    folder: Path
    ours: Server
    theirs: int | None
    """The port of webhook, if it is installed."""

    tokens: Mapping[str, str]

    def said(self, whose: str) -> list[dict[str, Any]]:
        path = self.folder / whose
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text.splitlines() if line]


def hooks_file(folder: Path) -> list[dict[str, Any]]:
    command = folder / "elsewhere" / "shows"
    command.parent.mkdir()
    command.write_text(SHOWS)
    command.chmod(0o755)
    found = []
    for case in CASES:
        settings = dict(case.settings)
        if "command-working-directory" in settings:
            settings["command-working-directory"] = str(command.parent)
        found.append({"id": case.id, "execute-command": str(command), **settings})
    return found


def words(cases: list[Case]) -> list[str]:
    return [word for case in cases for flag in case.words for word in (flag, case.id)]


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moved]:
    folder = tmp_path_factory.mktemp("moved")
    project = Project(folder / "project")
    file = folder / "webhook.json"
    file.write_text(json.dumps(hooks_file(folder)))
    done = project.command("import", str(file), *words(CASES))
    assert done.returncode == 0, done.stdout + done.stderr
    kept = (project.folder / ".env").read_text().splitlines()
    tokens = dict(line.split("=", 1) for line in kept)
    port, process = start_webhook(file, folder)
    try:
        with project.serve("--slots", "4", SAYS=str(folder / "ours")) as server:
            yield Moved(folder, server, port, tokens)
    finally:
        if process:
            process.terminate()
            process.wait(20)


def start_webhook(file: Path, folder: Path) -> tuple[int | None, subprocess.Popen[bytes] | None]:
    program = shutil.which("webhook")
    if program is None:
        assert not os.environ.get("CI"), NO_WEBHOOK
        warnings.warn(NO_WEBHOOK, stacklevel=2)
        return None, None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    process = subprocess.Popen(
        [program, "-hooks", str(file), "-ip", "127.0.0.1", "-port", str(port)],
        env=environment({"SAYS": str(folder / "theirs")}),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: _listens(port), "webhook listens")
    return port, process


def _listens(port: int) -> bool:
    with socket.socket() as knocks:
        return knocks.connect_ex(("127.0.0.1", port)) == 0


def ask(port: int, case: Case, asked: Ask, **more: str) -> Response:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        path = f"/hooks/{case.id}" + (f"?{asked.query}" if asked.query else "")
        connection.request(asked.method, path, asked.body, {**asked.headers, **more})
        answer = connection.getresponse()
        return Response(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_hook_lets_in_what_it_let_in_there_and_its_command_sees_the_same(
    moved: Moved, case: Case
) -> None:
    for number, asked in enumerate(case.asks):
        before = len(moved.said("ours"))
        shown = {"Authorization": f"Bearer {moved.tokens[case.token]}"} if case.token else {}
        answer = ask(moved.ours.port, case, asked, **shown)
        assert ("Hook-Run" in answer.headers) == asked.let_in, (number, answer)
        if asked.let_in:
            wait_until(lambda n=before: len(moved.said("ours")) > n, "ours has run")  # type: ignore[misc]
        if moved.theirs is not None:
            compare(moved, case, asked, answer)


def compare(moved: Moved, case: Case, asked: Ask, ours: Response) -> None:
    assert moved.theirs
    before = len(moved.said("theirs"))
    theirs = ask(moved.theirs, case, asked)
    refused = b"Hook rules were not satisfied." in theirs.body or theirs.status in (405, 500)
    ran = not refused or b"out" in theirs.body
    assert ran == asked.let_in, theirs
    if case.settings.get("include-command-output-in-response"):
        assert sorted(ours.body.split()) == sorted(theirs.body.split())
        assert ours.status == (200 if theirs.status == 201 else theirs.status)
        assert ours.headers.get("X-A") == theirs.headers.get("X-A")
    if not asked.let_in:
        return
    wait_until(lambda: len(moved.said("theirs")) > before, "webhook's has run")
    if not case.unlike:
        assert plain(moved.said("ours")[-1], case) == plain(moved.said("theirs")[-1], case)


def plain(said: Mapping[str, Any], case: Case) -> dict[str, Any]:
    """What a command saw, JSON as what it says; of a folder that nobody named, nothing."""
    here = "command-working-directory" in case.settings
    return {
        "args": [_value(each) for each in said["args"]],
        "env": {name: _value(text) for name, text in said["env"].items()},
        "files": {name: _value(text) for name, text in said["files"].items()},
        "cwd": said["cwd"] if here else "",
        "stdin": said["stdin"],
    }


def _value(text: str) -> Any:
    return json.loads(text) if text[:1] in ("{", "[") else text


def test_at_least_28_hooks_are_compared() -> None:
    assert len(CASES) >= 28
    assert len({case.id for case in CASES}) == len(CASES)


def imported(
    tmp_path: Path, settings: Mapping[str, Any], *arguments: str, **environ: str
) -> tuple[Project, subprocess.CompletedProcess[str]]:
    project = Project(tmp_path / "project")
    file = tmp_path / "webhook.json"
    file.write_text(json.dumps([{"id": "one", "execute-command": "/bin/true", **settings}]))
    return project, project.command("import", str(file), *arguments, **environ)


def everything(project: Project) -> dict[str, str]:
    return {
        str(path.relative_to(project.folder)): path.read_text()
        for path in project.folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_cannot_be_said_is_left_out_and_told(tmp_path: Path, name: str) -> None:
    settings, why = LEFT_OUT[name]
    project, done = imported(tmp_path, settings)
    assert done.returncode == 1
    told = " ".join(done.stdout.split())
    assert (
        f"Cannot be said in hooks.yaml, and left out (--skip ID says that you know): - one: {why}"
        in told
    )
    assert everything(project) == {}
    _, done = imported(tmp_path, settings, "--skip", "one")
    assert done.returncode == 0
    assert done.stdout == "There is nothing to take over: each hook was skipped.\n"


DOUBTS: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "no rule": ({}, "it has no trigger-rule: whoever knows its address starts its command"),
    "no proof": (
        {"trigger-rule": match("payload", "ref", "x")},
        "its rule asks for nothing that only its sender knows",
    ),
    "everybody's address": (
        {"trigger-rule": {"match": {"type": "ip-whitelist", "ip-range": "0.0.0.0/0"}}},
        "its ip-range is that of everybody",
    ),
    "SHA-1": (
        {"trigger-rule": mac("sha1", "X-Sig")},
        "its signature is made with SHA-1; if its sender makes one with SHA-256, too (GitHub does, "
        "in X-Hub-Signature-256), write that into its rule and import again: few senders that sign "
        "can show a token",
    ),
    "soft failures": (
        {
            "trigger-rule": {"or": [mac("sha256", "A"), mac("sha256", "B")]},
            "trigger-signature-soft-failures": True,
        },
        "trigger-signature-soft-failures: one whose signature is wrong may try the next way in",
    ),
    "an injected command": (
        {
            **guarded(),
            "execute-command": "/bin/bash",
            "pass-arguments-to-command": [
                {"source": "string", "name": "-c"},
                {"source": "payload", "name": "run"},
            ],
        },
        "/bin/bash takes for its program what somebody posts (payload run): whoever may post "
        "may run anything",
    ),
}


@pytest.mark.parametrize("name", DOUBTS)
def test_nothing_is_written_before_somebody_has_a_word_for_what_was_insecure(
    tmp_path: Path, name: str
) -> None:
    settings, doubt = DOUBTS[name]
    project, done = imported(tmp_path, settings)
    assert done.returncode == 1
    assert done.stdout.startswith(
        "Nothing was written: these hooks were insecure there, and need a word of yours.\n\none:\n"
    )
    assert f"- {doubt}" in " ".join(done.stdout.split())
    assert everything(project) == {}

    project, done = imported(tmp_path, settings, "--accept-insecure", "one")
    assert done.returncode == 0, done.stderr
    assert f"- INSECURE: {doubt}" in " ".join(done.stdout.split())
    assert "/hooks/one:" in (project.folder / "hooks.yaml").read_text()


def test_the_command_that_is_offered_settles_what_is_undecided(tmp_path: Path) -> None:
    project, done = imported(tmp_path, {})
    command = done.stdout.splitlines()[-1].split()
    assert command[:3] == ["python", "runner.py", "import"]
    assert command[4:] == ["--bearer", "one"]
    assert project.command(*command[2:]).returncode == 0
    assert "auth: {bearer: $ONE_TOKEN}" in (project.folder / "hooks.yaml").read_text()
    assert project.command("check").returncode == 0


def test_a_secret_in_the_payload_is_not_taken_over_even_if_somebody_would(tmp_path: Path) -> None:
    settings = {"trigger-rule": match("payload", "token", "hush-hush")}
    project, done = imported(tmp_path, settings, "--accept-insecure", "one")
    assert done.returncode == 1
    assert "as it was it cannot be taken over; --bearer one or --skip" in done.stdout
    assert everything(project) == {}

    project, done = imported(tmp_path, settings, "--bearer", "one")
    assert done.returncode == 0, done.stdout
    assert not any("hush-hush" in text for text in everything(project).values())


def test_secrets_go_to_env_and_nowhere_else(tmp_path: Path) -> None:
    secret = 'it\'s a \\ "se$cret" #1'
    settings = {"trigger-rule": mac("sha256", "X-Sig", secret=secret)}
    project, done = imported(tmp_path, settings)
    assert done.returncode == 0, done.stderr
    assert secret not in done.stdout
    assert [name for name, text in everything(project).items() if "se$cret" in text] == [".env"]
    assert (project.folder / ".env").stat().st_mode & 0o777 == 0o600
    assert project.command("check").returncode == 0


def test_a_secret_that_webhook_had_of_the_environment_stays_there(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    file = tmp_path / "hooks.yaml"
    file.write_text(
        "# filled in by webhook -template\n"
        "- id: one\n"
        "  execute-command: '{{ getenv \"COMMAND\" }}'\n"
        "  trigger-rule: {match: {type: payload-hmac-sha256, "
        "secret: '{{- getenv \"DEPLOY_KEY\" | js -}}', parameter: {source: header, name: X-Sig}}}\n"
        "  pass-arguments-to-command:\n"
        "    - {source: string, name: 'to {{ getenv `TARGET` }}'}\n"
    )
    done = project.command("import", str(file), COMMAND="/bin/true")
    assert done.returncode == 0, done.stdout + done.stderr
    written = (project.folder / "hooks.yaml").read_text()
    assert "secret: $DEPLOY_KEY" in written
    assert 'args: ["to $TARGET"]' in written
    assert not (project.folder / ".env").exists()
    assert "DEPLOY_KEY is not set, here at least; until it is, the hook is off" in done.stdout

    done = Project(tmp_path / "other").command("import", str(file))
    assert "COMMAND is not set; set it while you import" in done.stdout


def test_more_of_a_template_than_getenv_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "hooks.json"
    file.write_text('[\n{"id": "a", {{ if true }}"execute-command": "b"{{ end }}}]')
    done = Project(tmp_path / "project").command("import", str(file))
    assert done.returncode == 1
    assert done.stderr.strip() == (
        'hooks.json:2: of a Go template only {{ getenv "NAME" }} is read; '
        "have webhook's template filled in before, and import what comes of it"
    )


def test_nothing_that_is_there_is_overwritten_and_then_nothing_is_written(tmp_path: Path) -> None:
    settings = {"trigger-rule": mac("sha256", "X-Sig")}
    project = Project(tmp_path / "project").script("one.sh", "mine")
    (project.folder / ".env").write_text("A=1")
    before = everything(project)
    _, done = imported(tmp_path, settings)
    assert done.returncode == 1
    assert done.stderr.strip() == "scripts/one.sh is there already; move it away"
    assert everything(project) == before


def test_a_hooks_yaml_that_is_there_gets_more_entries_and_env_more_lines(tmp_path: Path) -> None:
    settings = {"trigger-rule": mac("sha256", "X-Sig", secret="b")}
    project = Project(tmp_path / "project").script("mine.sh", "#!/bin/sh\n")
    project.hooks("/mine:\n  script: mine.sh\n  auth: none")
    (project.folder / ".env").write_text("ONE_SECRET=a")
    _, done = imported(tmp_path, settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project.folder / ".env").read_text() == "ONE_SECRET=a\nONE_SECRET_2=b\n"
    written = (project.folder / "hooks.yaml").read_text()
    assert written.startswith("/mine:\n  script: mine.sh\n  auth: none\n\n/hooks/one:\n")
    _, done = imported(tmp_path, settings)
    assert done.stderr.strip() == "/hooks/one is in hooks.yaml already; --skip one"


def test_ids_that_differ_in_a_sign_have_scripts_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "hooks.json"
    ids = ("a-b", "a/b", "a.b;c:d")
    hooks = [{"id": each, "execute-command": "/bin/true", **guarded()} for each in ids]
    file.write_text(json.dumps(hooks))
    project = Project(tmp_path / "project")
    done = project.command("import", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    scripts = sorted(path.name for path in (project.folder / "scripts").iterdir())
    assert scripts == ["a_b.sh", "a_b_2.sh", "a_b_c_d.sh"]
    assert project.command("check").returncode == 0


def test_a_command_of_scripts_needs_no_thin_script(tmp_path: Path) -> None:
    project = Project(tmp_path / "project").script("mine.py", "print(1)\n")
    settings = {
        **guarded(),
        "execute-command": str(project.folder / "scripts" / "mine.py"),
        "pass-arguments-to-command": values("payload", "a"),
    }
    _, done = imported(tmp_path, settings)
    assert done.returncode == 0, done.stdout
    assert [path.name for path in (project.folder / "scripts").iterdir()] == ["mine.py"]
    assert "script: mine.py\n" in (project.folder / "hooks.yaml").read_text()


@pytest.mark.parametrize("command", ["/opt/no/such.sh", "no-such-command"])
def test_a_command_that_is_not_here_is_told(tmp_path: Path, command: str) -> None:
    _, done = imported(tmp_path, {**guarded(), "execute-command": command})
    assert done.returncode == 0, done.stdout
    assert f"  - {command} is not on this machine\n" in done.stdout


def test_a_command_that_the_path_leads_to_is_here(tmp_path: Path) -> None:
    _, done = imported(tmp_path, {**guarded(), "execute-command": "true"})
    assert "is not on this machine" not in done.stdout


def test_of_each_hook_is_told_who_may_post_what_it_runs_and_what_is_answered_else(
    tmp_path: Path,
) -> None:
    _, done = imported(tmp_path, {**guarded(), "trigger-rule-mismatch-http-response-code": 403})
    assert done.stdout.startswith(
        "/hooks/one was added; auth: token, script: one.sh\n"
        "  - what does not fit its rule is answered 401, not 403\n"
    )
    (other := tmp_path / "other").mkdir()
    _, done = imported(other, {}, "--accept-insecure", "one")
    assert done.stdout.startswith("/hooks/one was added; auth: none, script: one.sh\n")


def test_what_webhook_does_not_know_is_told_for_it_may_be_a_rule_that_is_misspelt(
    tmp_path: Path,
) -> None:
    _, done = imported(tmp_path, {"trigger-rules": {}}, "--accept-insecure", "one")
    told = " ".join(done.stdout.split())
    assert (
        "webhook does not know 'trigger-rules'; did you mean 'trigger-rule'?, and neither is it "
        "taken over" in told
    )


BAD = {
    "{}": "hooks.json is no hooks file of adnanh/webhook, which is a list of hooks",
    "[1]": "hooks.json: hook 1 is a number, not a mapping",
    '[{"id": "a"}]': "hooks.json: hook 'a' lacks its execute-command",
    '[{"id":"a","execute-command":"b"},{"id":"a","execute-command":"b"}]': (
        "hooks.json: the id 'a' stands there twice"
    ),
    '[{"id":"a","execute-command":"b","trigger-rule":[]}]': (
        "hooks.json: hook 'a': trigger-rule is an empty list, not a mapping"
    ),
}


@pytest.mark.parametrize("text", BAD)
def test_a_file_that_is_none_is_told_what_is_wrong_with_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "hooks.json"
    file.write_text(text)
    done = Project(tmp_path / "project").command("import", str(file))
    assert done.returncode == 1
    assert done.stderr.replace(f"{tmp_path}/", "").strip() == BAD[text]


def test_a_word_for_a_hook_that_is_none_is_refused(tmp_path: Path) -> None:
    _, done = imported(tmp_path, guarded(), "--skip", "ones")
    assert done.stderr.strip() == "no hook of the file is called 'ones'; did you mean 'one'?"
