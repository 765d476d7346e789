"""What a script gets from the worker, and what becomes of the run; with all parts real.

A delivery is accepted, recorded, claimed and launched as in the program; only HTTP is
left out. Scripts say what they were given on their output, which the journal keeps.
"""

from __future__ import annotations

import hmac
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hookrunner.config import load
from hookrunner.intake import Accepted, Intake
from hookrunner.journal.sqlite import SqliteJournal
from hookrunner.log import Log
from hookrunner.model import Delivery, NewRun, Outcome, Run, State, Terms, Why
from hookrunner.worker import Workers
from tests.launching import Launching
from tests.serving import SECONDS, Project, wait_until
from tests.waiting import accept, await_end

JSON = "application/json"
ENVIRON = {"PATH": os.environ.get("PATH", os.defpath), "HOME": "/home/ada", "LANG": "C.UTF-8"}

SHOW = """#!/usr/bin/env python3
import json, os, sys
stdin = sys.stdin.buffer.read().decode()
folder = os.environ["TMPDIR"]
request = open(os.environ["HOOK_REQUEST_FILE"], encoding="utf-8").read()
files = {name: open(os.path.join(folder, name), "rb").read().hex() for name in os.listdir(folder)}
print(json.dumps({
    "argv": sys.argv, "env": dict(os.environ), "stdin": stdin, "cwd": os.getcwd(),
    "files": files, "request": json.loads(request), "mode": oct(os.stat(folder).st_mode & 0o777),
}))
"""
"""A script that prints all that it was given, as JSON."""


class Works:
    """A journal, a launcher and workers over a project; no server before them."""

    def __init__(self, project: Project, environ: Mapping[str, str]) -> None:
        self.project = project
        self.folder = project.folder / "var" / "runs"
        self.log_file = (project.folder / "log").open("w+b")
        self.log = Log(self.log_file.fileno(), stamped=False)
        config = load(project.folder / "hooks.yaml", {**ENVIRON, **environ})
        self.log.know(config.secrets)
        self.journal = SqliteJournal(project.folder / "var")
        self.launcher = Launching()
        self.intake = Intake(config, self.journal, self.log)
        self.workers = Workers(
            self.launcher.loop, config, self.journal, self.launcher, self.log, self.folder, 2
        )

    def __enter__(self) -> Works:
        self.workers.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.launcher.terminate()
        self.stop()
        self.launcher.close()
        self.journal.close()
        self.log_file.close()

    def stop(self) -> None:
        """Let what runs come to its end, and the log be written."""
        self.workers.stop_claiming()
        assert self.workers.join(SECONDS)
        self.log.close()

    def record(self, delivery: Delivery) -> str:
        """Accept a delivery; its run's id."""
        accepted = accept(self.intake, delivery)
        assert isinstance(accepted, Accepted)
        return accepted.run_id

    def run(self, delivery: Delivery) -> Run:
        """Accept a delivery and see its run to the end."""
        run = await_end(self.journal, self.record(delivery), SECONDS)
        assert run is not None
        return run

    def shown(self, delivery: Delivery) -> Any:
        """What SHOW printed."""
        outcome = ended(self.run(delivery))
        assert outcome.state is State.SUCCEEDED, outcome
        return json.loads(outcome.stdout)

    def lines(self) -> list[str]:
        """The log, once all is said."""
        self.stop()
        return (self.project.folder / "log").read_text().splitlines()


def ended(run: Run) -> Outcome:
    """The outcome of a run that must have one."""
    assert run.outcome is not None, run
    return run.outcome


def post(path: str = "/show", body: bytes | str = b"{}", kind: str = JSON, **more: Any) -> Delivery:
    """A delivery."""
    data = body.encode() if isinstance(body, str) else body
    headers = {"content-type": kind, **more.pop("headers", {})}
    whole = Delivery("POST", path, "", headers, data, "192.0.2.7")
    return replace(whole, **more)


@pytest.fixture
def shows(project: Project) -> Project:
    """A project with a script that prints all that it was given."""
    return project.script("show.py", SHOW).hooks("/show: {script: show.py, auth: none}\n")


@pytest.fixture
def works(shows: Project) -> Iterator[Works]:
    """Workers over one hook, whose script prints all that it was given."""
    with Works(shows, {}) as made:
        yield made


# --- stdin


def test_json_reaches_the_script_byte_for_byte(works: Works) -> None:
    body = '{ "b":1.0,\r\n"a" : "\\u00fc ü" }\n\n'

    assert works.shown(post(body=body))["stdin"] == body


def test_a_form_reaches_the_script_as_a_json_object(works: Works) -> None:
    form = post(body=b"a=1&b=x&b=%C3%BC", kind="application/x-www-form-urlencoded")

    assert json.loads(works.shown(form)["stdin"]) == {"a": "1", "b": ["x", "ü"]}


# --- environment


def test_the_hook_variables_say_what_the_delivery_was(project: Project) -> None:
    project.script("show.py", SHOW)
    project.hooks("/show/<name>: {script: show.py, auth: {github: $GITHUB_SECRET}}\n")
    headers = {
        "x-hub-signature-256": "sha256=" + hmac.new(b"secret", b"{}", "sha256").hexdigest(),
        "x-github-delivery": "72d3162e",
        "x-github-event": "push",
    }
    with Works(project, {"GITHUB_SECRET": "secret"}) as works:
        run = works.run(post("/show/ada", headers=headers, kind="application/json; charset=utf-8"))
    env = json.loads(ended(run).stdout)["env"]

    assert {name: value for name, value in env.items() if name.startswith("HOOK_")} == {
        "HOOK_PATH": "/show/<name>",
        "HOOK_RUN": run.run_id,
        "HOOK_ATTEMPT": "1",
        "HOOK_METHOD": "POST",
        "HOOK_CONTENT_TYPE": "application/json; charset=utf-8",
        "HOOK_DELIVERY": "72d3162e",
        "HOOK_EVENT": "push",
        "HOOK_REMOTE_ADDR": "192.0.2.7",
        "HOOK_REQUEST_FILE": f"{env['TMPDIR']}/request.json",
    }


def test_a_script_sees_every_config_var_those_of_dotenv_included(shows: Project) -> None:
    (shows.folder / ".env").write_text("FROM_FILE=1\nBOTH=file\n")
    with Works(shows, {"API_KEY": "k", "BOTH": "environment"}) as works:
        env = works.shown(post())["env"]

    assert set(env) == {
        *ENVIRON, "API_KEY", "BOTH", "FROM_FILE", "TMPDIR", "PYTHONUNBUFFERED",
        "HOOK_PATH", "HOOK_RUN", "HOOK_ATTEMPT", "HOOK_METHOD", "HOOK_CONTENT_TYPE",
        "HOOK_DELIVERY", "HOOK_EVENT", "HOOK_REMOTE_ADDR", "HOOK_REQUEST_FILE",
    }  # fmt: skip
    assert (env["API_KEY"], env["FROM_FILE"], env["BOTH"]) == ("k", "1", "environment")
    assert {name: env[name] for name in ENVIRON} == ENVIRON


def test_pass_env_passes_what_it_names_and_what_any_program_needs(project: Project) -> None:
    project.script("show.py", SHOW)
    project.hooks("/show: {script: show.py, auth: none, pass_env: [API_KEY, NOT_SET]}\n")
    with Works(project, {"API_KEY": "k", "OTHER": "o", "LC_ALL": "C.UTF-8"}) as works:
        env = works.shown(post())["env"]

    ours = {name for name in env if not name.startswith("HOOK_")}
    assert ours == {*ENVIRON, "LC_ALL", "API_KEY", "TMPDIR", "PYTHONUNBUFFERED"}


def test_secrets_are_absent_from_the_environment_of_every_script(project: Project) -> None:
    project.script("show.py", SHOW)
    project.hooks("""
/github: {script: show.py, auth: {github: [$NEW_SECRET, $OLD_SECRET]}}
/token: {script: show.py, auth: {token: {header: X-Token, value: $TOKEN}}}
/show: {script: show.py, auth: none}
""")
    secrets = {
        "NEW_SECRET": "s1", "OLD_SECRET": "s2", "TOKEN": "s3",
        "ADMIN_TOKEN": "s4", "JOURNAL_URL": "s5",
    }  # fmt: skip
    with Works(project, {**secrets, "DATABASE_URL": "postgres://x"}) as works:
        env = works.shown(post())["env"]

    assert not env.keys() & secrets.keys()
    assert not set(env.values()) & set(secrets.values())
    assert env["DATABASE_URL"] == "postgres://x"


def test_a_secret_reaches_the_one_script_that_is_given_it_by_env(project: Project) -> None:
    project.script("show.py", SHOW)
    project.hooks("""
/github: {script: show.py, auth: {github: $GITHUB_SECRET}}
/show: {script: show.py, auth: none, env: {GIVEN: $GITHUB_SECRET}}
""")
    with Works(project, {"GITHUB_SECRET": "s"}) as works:
        env = works.shown(post())["env"]

    assert env["GIVEN"] == "s"
    assert "GITHUB_SECRET" not in env


def test_no_config_var_passes_for_a_variable_of_the_runners(shows: Project) -> None:
    with Works(shows, {"HOOK_RUN": "forged", "HOOK_EVENT": "forged", "TMPDIR": "/tmp"}) as works:
        run = works.run(post())
        env = json.loads(ended(run).stdout)["env"]

    assert (env["HOOK_RUN"], env["HOOK_EVENT"]) == (run.run_id, "")
    assert env["TMPDIR"] == str(works.folder / f"{run.run_id}.1")


def test_python_is_unbuffered_and_nothing_else_is_told_of_it(project: Project) -> None:
    project.script("show.py", SHOW)
    project.script("show", SHOW)
    project.script("show.sh", 'echo "${PYTHONUNBUFFERED-none}"\n')
    project.hooks("""
/show: {script: show.py, auth: none}
/bash: {script: show.sh, auth: none}
/mark: {script: show, auth: none}
""")
    with Works(project, {}) as works:
        assert works.shown(post())["env"]["PYTHONUNBUFFERED"] == "1"
        assert ended(works.run(post("/bash"))).stdout == b"none\n"
        assert "PYTHONUNBUFFERED" not in works.shown(post("/mark"))["env"]


def test_a_script_works_in_the_projects_folder(works: Works) -> None:
    assert works.shown(post())["cwd"] == str(works.project.folder.resolve())


# --- templates

TEMPLATES = """
/show/<env>:
  script: show.py
  auth: none
  args: ["{payload:/user/name}", "--env={path:env}", "{query:q}", "{header:X-One}", $REGION,
         "{payload:/none}", "{payload:/user}", "{{literal}}"]
  env:
    NAME: "{payload:/user/name}"
    ALL: "{path:env} {query:q} {header:X-One} $REGION {payload:/none}{payload:/n}"
"""


def test_args_and_env_are_filled_from_the_delivery(project: Project) -> None:
    project.script("show.py", SHOW).hooks(TEMPLATES)
    body = '{"user": {"name": "ada; $(id) `id` \'\\""}, "n": 1.5}'
    delivery = post("/show/Zürich", body, query="q=a%20b&q=c", headers={"x-one": "1"})
    with Works(project, {"REGION": "eu"}) as works:
        shown = works.shown(delivery)

    name = "ada; $(id) `id` '\""
    assert shown["argv"] == [
        str(project.folder.resolve() / "scripts" / "show.py"),
        name,
        "--env=Zürich",
        '["a b","c"]',
        "1",
        "eu",
        "",
        json.dumps({"name": name}, separators=(",", ":")),
        "{literal}",
    ]
    assert shown["env"]["NAME"] == name
    assert shown["env"]["ALL"] == 'Zürich ["a b","c"] 1 eu 1.5'


def test_half_a_surrogate_pair_becomes_a_question_mark_in_args_and_env(project: Project) -> None:
    project.script("show.py", SHOW).hooks(TEMPLATES)
    with Works(project, {"REGION": "eu"}) as works:
        shown = works.shown(post("/show/x", '{"user": {"name": "a\\ud800b"}}'))

    assert (shown["argv"][1], shown["env"]["NAME"]) == ("a?b", "a?b")


def test_nothing_of_the_payload_enters_a_command_line_unasked(works: Works) -> None:
    shown = works.shown(post(body='{"name": "ada"}', query="name=ada", headers={"x-name": "ada"}))

    assert shown["argv"] == [str(works.project.folder.resolve() / "scripts" / "show.py")]
    assert "ada" not in {value for name, value in shown["env"].items() if name != "HOME"}


# --- the run's own folder


def multipart(*parts: tuple[str, str, bytes]) -> Delivery:
    """A form with a field for each (disposition, content type, data)."""
    body = b"".join(
        b"--sep\r\nContent-Disposition: form-data; %s\r\nContent-Type: %s\r\n\r\n%s\r\n"
        % (disposition.encode(), kind.encode(), data)
        for disposition, kind, data in parts
    )
    return post(body=body + b"--sep--\r\n", kind="multipart/form-data; boundary=sep")


def test_uploads_lie_in_the_runs_folder_and_their_paths_in_the_json(works: Works) -> None:
    binary = bytes(range(256))
    shown = works.shown(
        multipart(
            ('name="title"', "text/plain", "Grüße".encode()),
            ('name="photo"; filename="me.png"', "image/png", binary),
            ('name="photo"; filename="me.png"', "image/png", b""),
            ('name="cv"; filename="../../etc/request.json"', "application/json", b"[]"),
        )
    )

    stdin, folder = json.loads(shown["stdin"]), shown["env"]["TMPDIR"]
    [first, second], hostile = stdin["photo"], stdin["cv"]
    assert stdin["title"] == "Grüße"
    assert (first["filename"], first["type"], first["size"]) == ("me.png", "image/png", 256)
    assert (second["filename"], second["type"], second["size"]) == ("me.png", "image/png", 0)
    assert (hostile["filename"], hostile["size"]) == ("../../etc/request.json", 2)
    for upload, data in ((first, binary), (second, b""), (hostile, b"[]")):
        path = Path(upload["path"])
        assert str(path.parent) == folder
        assert bytes.fromhex(shown["files"][path.name]) == data
    assert shown["request"]["method"] == "POST"
    assert len(shown["files"]) == 4


def test_the_folder_is_the_runs_alone_and_holds_nothing_but_the_request(works: Works) -> None:
    one, two = works.shown(post()), works.shown(post())

    assert one["env"]["TMPDIR"] != two["env"]["TMPDIR"]
    assert (one["mode"], list(one["files"])) == ("0o700", ["request.json"])


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("mkdir -p $TMPDIR/a/b; echo > $TMPDIR/a/b/c", id="succeeded"),
        pytest.param("echo > $TMPDIR/a; exit 3", id="failed"),
        pytest.param("echo > $TMPDIR/a; kill -9 $$", id="killed"),
        pytest.param("rm -r $TMPDIR", id="removed by itself"),
    ],
)
def test_the_folder_is_gone_once_the_run_has_ended(project: Project, script: str) -> None:
    project.script("run.sh", script).hooks("/run: {script: run.sh, auth: none}\n")
    with Works(project, {}) as works:
        run = works.run(post("/run"))

        assert run.attempt == 1
        wait_until(lambda: not list(works.folder.iterdir()), "the folder is gone")


def test_a_folder_that_a_script_put_in_place_of_its_own_is_not_emptied(project: Project) -> None:
    (project.folder / "kept").mkdir()
    (project.folder / "kept" / "file").write_text("")
    project.script("run.sh", 'rm -r "$TMPDIR"; ln -s "$PWD/kept" "$TMPDIR"')
    project.hooks("/run: {script: run.sh, auth: none}\n")
    with Works(project, {}) as works:
        assert ended(works.run(post("/run"))).state is State.SUCCEEDED

    assert (project.folder / "kept" / "file").exists()


def test_what_a_dead_process_left_of_its_folders_is_removed_at_the_start(shows: Project) -> None:
    left = shows.folder / "var" / "runs" / "k3x9.1"
    left.mkdir(parents=True)
    (left / "photo").write_text("private")

    with Works(shows, {}) as works:
        wait_until(lambda: not list(works.folder.iterdir()), "the folder is gone")
        works.shown(post())


# --- request.json


def test_request_json_tells_the_query_and_the_headers(works: Works) -> None:
    delivery = post(query="a=1&b=x&b=%C3%BC&c", headers={"x-one": "1", "user-agent": "curl"})

    assert works.shown(delivery)["request"] == {
        "method": "POST",
        "path": "/show",
        "query": {"a": "1", "b": ["x", "ü"], "c": ""},
        "headers": {"content-type": JSON, "x-one": "1", "user-agent": "curl"},
    }


@pytest.mark.parametrize(
    ("auth", "proof"),
    [
        ("{token: {query: key, value: $SECRET}}", {"query": "key=abracadabra&a=1"}),
        ("{token: {header: X-Key, value: $SECRET}}", {"headers": {"x-key": "abracadabra"}}),
        ("{bearer: $SECRET}", {"headers": {"authorization": "Bearer abracadabra"}}),
        ("none", {"headers": {"authorization": "abracadabra", "cookie": "abracadabra"}}),
    ],
    ids=["query", "header", "bearer", "none"],
)
def test_credentials_are_neither_in_request_json_nor_in_the_journal(
    project: Project, auth: str, proof: dict[str, Any]
) -> None:
    project.script("show.py", SHOW).hooks(f"/show: {{script: show.py, auth: {auth}}}\n")
    headers = {**proof.get("headers", {}), "x-one": "1"}
    with Works(project, {"SECRET": "abracadabra"} if auth != "none" else {}) as works:
        shown = works.shown(post(query=proof.get("query", "a=1"), headers=headers))
        kept = b"".join(path.read_bytes() for path in works.journal.path.parent.glob("runs.*"))

    assert shown["request"]["query"] == {"a": "1"}
    assert shown["request"]["headers"] == {"content-type": JSON, "x-one": "1"}
    assert "abracadabra" not in json.dumps(shown)
    assert b"x-one" in kept
    assert b"abracadabra" not in kept


# --- how runs end


def test_a_run_is_told_in_the_log_from_beginning_to_end(project: Project) -> None:
    project.script("run.sh", "echo out; echo err >&2; printf last; exit 3")
    project.hooks("/run: {script: run.sh, auth: none}\n")
    with Works(project, {}) as works:
        run = works.run(post("/run"))
        *lines, last = works.lines()

    said = f"{run.run_id} /run"
    assert lines[0] == f"{said} accepted from 192.0.2.7"
    assert sorted(lines[1:]) == [f"{said} ! err", f"{said} | last", f"{said} | out"]
    assert re.fullmatch(rf"{said} failed in [0-9.e-]+s: exit 3", last)


def test_timeout_and_max_output_are_the_hooks(project: Project) -> None:
    project.script("run.sh", "printf 0123456789; sleep 1000")
    project.hooks("/run: {script: run.sh, auth: none, timeout: 500ms, max_output: 4B}\n")
    with Works(project, {}) as works:
        outcome = ended(works.run(post("/run")))

    assert (outcome.why, outcome.detail) == (Why.TIMEOUT, "timed out after 0.5 s")
    assert outcome.stdout == b"01\n[... 6 bytes left out ...]\n89"


def test_memory_and_shield_are_the_hooks(project: Project) -> None:
    project.script("run.sh", "ulimit -v; kill -TERM $$; echo alive")
    project.hooks("/run: {script: run.sh, auth: none, memory: 512MB, shield: true}\n")
    with Works(project, {}) as works:
        outcome = ended(works.run(post("/run")))

    assert outcome.stdout == b"524288\nalive\n"


def test_a_script_that_was_deleted_since_fails_visibly(works: Works) -> None:
    (works.project.folder / "scripts" / "show.py").unlink()

    run = works.run(post())

    told = "not started: show.py: the file is gone"
    assert run.outcome == Outcome(State.FAILED, Why.NOT_STARTED, detail=told)
    assert works.lines()[-1] == f"{run.run_id} /show failed in 0s: {told}"
    assert list(works.folder.iterdir()) == []


def test_a_script_that_lost_its_run_bit_since_fails_visibly(project: Project) -> None:
    project.script("run", "#!/bin/sh\n").hooks("/run: {script: run, auth: none}\n")
    with Works(project, {}) as works:
        (project.folder / "scripts" / "run").chmod(0o644)
        run = works.run(post("/run"))

        assert ended(run).why is Why.NOT_STARTED
        assert ended(run).detail == "not started: run: Permission denied"


def test_a_payload_that_cannot_be_read_any_more_fails_visibly(works: Works) -> None:
    # Nothing of the kind is taken in; another version of the runner may have.
    new = NewRun("/show", "POST", "/show", {}, "", {}, "image/png", b"\x89PNG", "192.0.2.7")
    run = await_end(works.journal, works.journal.record(new, Terms()).run_id, SECONDS)

    assert run is not None
    assert ended(run).why is Why.NOT_STARTED
    assert ended(run).detail == (
        "not started: 'image/png' is not taken; send application/json, text/plain holding JSON, "
        "application/x-www-form-urlencoded or multipart/form-data"
    )


def test_a_run_of_a_hook_that_is_switched_off_waits(project: Project) -> None:
    project.script("show.py", SHOW)
    project.hooks("""
/off: {script: show.py, auth: {bearer: $NOT_SET}}
/show: {script: show.py, auth: none}
""")
    new = NewRun("/off", "POST", "/off", {}, "", {}, JSON, b"{}", "192.0.2.7")
    with Works(project, {}) as works:
        run_id = works.journal.record(new, Terms()).run_id
        works.shown(post())  # which was recorded later, and so claimed later
        run = works.journal.run(run_id)

    assert run is not None
    assert (run.state, run.attempt) == (State.QUEUED, 0)


# --- attempts that do not count

WAITS_ONCE = """
echo "attempt $HOOK_ATTEMPT"
[ "$HOOK_ATTEMPT" = 2 ] || cat "$FIFO"
"""


@pytest.fixture
def fifo(project: Project) -> Path:
    """A FIFO; the first attempt of /run waits until it is written to."""
    path = project.folder / "fifo"
    os.mkfifo(path)
    project.script("run.sh", WAITS_ONCE).hooks("/run: {script: run.sh, auth: none}\n")
    return path


def test_an_interrupted_run_is_handed_back_and_run_again(project: Project, fifo: Path) -> None:
    with Works(project, {"FIFO": str(fifo)}) as works:
        run_id = works.record(post("/run"))
        with fifo.open("w"):  # opens once the script has opened it, and so runs
            works.launcher.begin_stop()
            works.workers.stop_claiming()
            works.launcher.terminate()
            last = works.lines()[-1]
        run = works.journal.run(run_id)
        wait_until(lambda: not list(works.folder.iterdir()), "the folder is gone")

    assert run is not None
    assert (run.state, ended(run).why) == (State.QUEUED, Why.INTERRUPTED)
    assert last == (
        f"{run_id} /run interrupted: the runner is stopping; handed back, to be run again"
    )
    with Works(project, {"FIFO": str(fifo)}) as works:
        again = await_end(works.journal, run_id, SECONDS)
    assert again is not None
    assert (again.state, ended(again).stdout) == (State.SUCCEEDED, b"attempt 2\n")


def test_an_attempt_that_ends_after_another_has_begun_does_not_count(
    project: Project, fifo: Path
) -> None:
    with Works(project, {"FIFO": str(fifo)}) as works:
        run_id = works.record(post("/run"))
        with fifo.open("w"):  # opens once the first attempt runs
            works.journal.recover({"/run": Terms()})
            second = works.journal.claim({"/run": Terms()}, lease=90)
        lines = works.lines()
        now = works.journal.run(run_id)

    assert second is not None
    assert (second.run_id, second.attempt) == (run_id, 2)
    assert now is not None
    assert (now.state, now.attempt) == (State.RUNNING, 2)
    assert lines[-1] == (
        f"{run_id} /run ended, and counts for nothing: it was cancelled, or begun again"
    )
