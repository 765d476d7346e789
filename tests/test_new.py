"""`new`: from nothing to a hook that runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
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
        "Then try it: python runner.py send /deploy/env\n"
        'Or: curl -H "Authorization: Bearer $(sed -n s/^DEPLOY_TOKEN=//p .env)" '
        "--json '{}' localhost:5000/deploy/env\n"
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
        assert " | PAYLOAD_E_MAIL is é@b.c\n" in sent.stdout
        assert " | PAYLOAD_TOTAL is 1.5\n" in sent.stdout
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
    assert schema["required"] == ["kept"]
    # Somebody's data: not for a file that is committed.
    assert "examples" not in schema


@pytest.mark.parametrize("name", SENDERS)
def test_a_hook_is_made_for_every_sender(project: Project, name: str) -> None:
    done = new(project, f"/{name}", "--from", name, "--url", "https://my-app.herokuapp.com")
    assert (done.returncode, done.stderr) == (0, "")
    words = " ".join(done.stdout.split())
    steps = " ".join(SENDERS[name].steps.replace("`", "").split())
    steps = steps.replace("<URL>", f"https://my-app.herokuapp.com/{name}")
    entry = (project.folder / "hooks.yaml").read_text()
    secrets = re.findall(r"\$([A-Z][A-Z0-9_]*)", entry)
    steps = steps.replace("<SECRET>", f"the value of {secrets[0]}" if secrets else "that secret")
    steps = steps.replace("form /PATH", f"form /{name}").replace("YOUR-APP", "my-app")
    steps = steps.replace("HOST/PATH", f"my-app.herokuapp.com/{name}")
    assert f"On {SENDERS[name].title}'s side: {steps}" in words
    environ = dict.fromkeys(secrets, SIGNERS[name].secret if name in SIGNERS else "x y z")
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
        (["/a.sh/", "--bash"], "/a.sh/: "),
        (["/a_", "--bash"], "scripts/a.sh is there already; move it away, or take another path\n"),
        (["/zebra", "--bash", "--sample", "gone.json", "--from", "gihub"],
         "/zebra is in hooks.yaml already\n"),
        (["/x", "--url", "https://a.example?b=c"],
         "--url must be the address of your app, such as https://my-app.herokuapp.com, "
         "not 'https://a.example?b=c'; leave out its query\n"),
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


# --- names


@pytest.mark.parametrize(
    ("path", "script"),
    [
        ("/json", "json_hook.py"),  # Python's own
        ("/yaml", "yaml_hook.py"),  # installed
        ("/stripe", "stripe_hook.py"),  # a sender's package, which may be installed tomorrow
        ("/github", "github_hook.py"),
        ("/import", "import_hook.py"),
        ("/docs", "docs.py"),
        ("/2fa", "2fa.py"),
        ("/" + "a" * 300, "a" * 60 + ".py"),
    ],
)
def test_a_script_has_the_name_of_no_module(project: Project, path: str, script: str) -> None:
    assert f"scripts/{script} was written\n" in new(project, path).stdout
    assert (project.folder / "scripts" / script).exists()


def test_a_bash_script_hides_no_module(project: Project) -> None:
    assert "scripts/json.sh was written\n" in new(project, "/json", "--bash").stdout


@pytest.mark.parametrize(
    ("words", "auth"),
    [
        (["/2fa"], "{bearer: $HOOK_2FA_TOKEN}"),
        (["/curl", "--from", "bearer"], "{bearer: $CURL_TOKEN}"),
        (["/x", "--from", "token"], "{token: {header: X-Token, value: $X_TOKEN}}"),
        (["/2x", "--from", "hmac"], "{hmac: {header: X-Signature, secret: $HOOK_2X_SECRET}}"),
    ],
)
def test_a_secret_is_named_after_its_path(project: Project, words: list[str], auth: str) -> None:
    done = new(project, *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"  auth: {auth}\n" in (project.folder / "hooks.yaml").read_text()


# --- samples


def drafted(project: Project, sample: object, *words: str) -> str:
    (project.folder / "sample.json").write_text(json.dumps(sample))
    done = new(project, "/orders", "--sample", "sample.json", *words)
    assert (done.returncode, done.stderr) == (0, "")
    return (project.folder / "hooks.yaml").read_text()


def test_no_key_of_a_payload_becomes_a_variable_that_steers_the_shell(project: Project) -> None:
    keys = ["PATH", "bash-env", "LD_PRELOAD", "IFS", "HOME", "HOOK_RUN", "2fa"]
    text = drafted(project, dict.fromkeys(keys, "x"), "--bash")
    assert text.partition("  env:\n")[2] == (
        '    PAYLOAD_PATH: "{payload:/PATH}"\n'
        '    PAYLOAD_BASH_ENV: "{payload:/bash-env}"\n'
        '    PAYLOAD_LD_PRELOAD: "{payload:/LD_PRELOAD}"\n'
        '    PAYLOAD_IFS: "{payload:/IFS}"\n'
        '    PAYLOAD_HOME: "{payload:/HOME}"\n'
        '    PAYLOAD_HOOK_RUN: "{payload:/HOOK_RUN}"\n'
        '    PAYLOAD_2FA: "{payload:/2fa}"\n'
    )


def test_so_many_variables_are_enough(project: Project) -> None:
    text = drafted(project, {f"k{n}": n for n in range(20)}, "--bash")
    assert re.findall("PAYLOAD_K[0-9]+", text) == [f"PAYLOAD_K{n}" for n in range(8)]


def test_a_key_that_no_template_can_hold_is_left_out(project: Project) -> None:
    keys = ["a\nb", "\ud800", "{x}", '"', "$", "\x7f", "é", "a~/", "a\u2028b", "\ufeffa", "a" * 99]
    text = drafted(project, dict.fromkeys(keys, "x") | {"n": None, "l": [], "--": 1}, "--bash")
    assert re.findall("{payload:.*}", text) == ["{payload:/a~0~1}"]
    assert re.findall("PAYLOAD_[^:]*", text) == ["PAYLOAD_A"]


def test_half_a_character_in_a_sample_is_written_as_json_has_it(project: Project) -> None:
    drafted(project, {"a": "\ud800"})
    text = (project.folder / "schemas" / "orders.json").read_text()
    assert json.loads(text)["examples"] == [{"a": "\ud800"}]


def test_what_was_nothing_may_be_anything(project: Project) -> None:
    drafted(project, {"a": None, "b": [None], "c": {"d": None}, "type": "null", "e": [None, 1]})
    properties = json.loads((project.folder / "schemas" / "orders.json").read_text())["properties"]
    assert properties["a"] == {}
    assert properties["b"] == {"type": "array", "items": {}}
    assert properties["c"]["properties"] == {"d": {}}
    assert properties["type"] == {"type": "string"}
    assert properties["e"]["items"] == {"type": ["integer", "null"]}


def test_a_large_sample_does_not_stand_in_its_schema(project: Project) -> None:
    drafted(project, {"a": "x" * 10_000})
    text = (project.folder / "schemas" / "orders.json").read_text()
    assert "examples" not in json.loads(text)


def test_a_sample_that_no_hook_would_take_is_refused(project: Project) -> None:
    (project.folder / "big.json").write_text(f'"{"x" * 1024**2}"')
    done = new(project, "/orders", "--sample", "big.json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "big.json is larger than 1MB, which is what a hook lets through\n"


# --- files


@pytest.mark.parametrize(
    "text",
    [
        "{/zebra: {script: a.sh, auth: none}}\n",
        "  /zebra: {script: a.sh, auth: none}\n",
        "/zebra: {script: a.sh, auth: none}\n...\n",
        "{}\n",
    ],
)
def test_what_cannot_be_added_to_is_told_with_the_entry(project: Project, text: str) -> None:
    if text != "{}\n":
        project.hooks(text)
        assert project.command("check").returncode == 0
    project.hooks(text)
    before = sorted(project.folder.rglob("*"))
    done = new(project, "/b", "--bash")
    assert (done.returncode, done.stdout) == (1, "")
    if text != "{}\n":
        assert done.stderr == (
            "hooks.yaml is in flow style ({…}), indented, or ended with '...', and new can only "
            "append to block style; nothing was written. Change that, or add this entry yourself:\n"
            "\n/b:\n  script: b.sh\n  auth: {bearer: $B_TOKEN}\n\n"
        )
    assert sorted(project.folder.rglob("*")) == before
    assert (project.folder / "hooks.yaml").read_text() == text


def test_a_link_and_a_mode_are_kept(project: Project) -> None:
    real = project.folder / "real.yaml"
    real.write_text(COMMENTED)
    real.chmod(0o640)
    (project.folder / "hooks.yaml").symlink_to("real.yaml")
    assert new(project, "/b").returncode == 0
    assert (project.folder / "hooks.yaml").is_symlink()
    assert "/b:\n  script: b.py\n" in real.read_text()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert [path.name for path in project.folder.iterdir() if path.name.startswith(".")] == []


def test_a_bash_script_can_be_run_and_a_python_script_need_not(project: Project) -> None:
    new(project, "/b", "--bash")
    new(project, "/c")
    modes = [
        (project.folder / "scripts" / name).stat().st_mode & 0o111 for name in ("b.sh", "c.py")
    ]
    assert modes == [0o111, 0]


def test_a_link_that_leads_nowhere_is_not_followed(project: Project, tmp_path: Path) -> None:
    (project.folder / "scripts" / "b.py").symlink_to(tmp_path / "elsewhere")
    done = new(project, "/b")
    assert done.returncode == 1
    assert done.stderr == "scripts/b.py is there already; move it away, or take another path\n"
    assert not (tmp_path / "elsewhere").exists()


def test_a_hooks_yaml_that_is_a_folder_is_told(project: Project) -> None:
    (project.folder / "hooks.yaml").mkdir()
    done = new(project, "/b")
    assert (done.returncode, done.stderr) == (1, "hooks.yaml cannot be read: Is a directory\n")


def test_what_was_made_is_undone_if_the_rest_cannot_be(project: Project) -> None:
    project.hooks("/x/<a>: {script: a.sh, auth: none}\n")
    shutil.rmtree(project.folder / "schemas")
    (project.folder / "s.json").write_text("{}")
    before = sorted(project.folder.rglob("*"))
    done = new(project, "/x/<b>", "--sample", "s.json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "hooks.yaml:3: /x/<b> matches what /x/<a> on line 1 matches\n"
    assert sorted(project.folder.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to_is_told(project: Project) -> None:
    (project.folder / "schemas").chmod(0o555)
    (project.folder / "s.json").write_text("{}")
    done = new(project, "/b", "--sample", "s.json")
    assert done.stderr == "schemas/b.json cannot be written: Permission denied\n"
    assert not (project.folder / "scripts" / "b.py").exists()


def test_schemas_that_is_a_file_is_told_and_the_script_is_gone_again(project: Project) -> None:
    (project.folder / "schemas").rmdir()
    (project.folder / "schemas").write_text("")
    (project.folder / "s.json").write_text("{}")
    done = new(project, "/b", "--sample", "s.json")
    assert (done.returncode, done.stderr) == (1, "schemas cannot be written: File exists\n")
    assert not (project.folder / "scripts" / "b.py").exists()
    assert not (project.folder / "hooks.yaml").exists()


# --- what is said


def test_a_secret_that_is_set_is_named(project: Project) -> None:
    (project.folder / ".env").write_text("GITHUB_SECRET=0123456789\n")
    done = new(project, "/gh", "--from", "github", "--url", "https://my-app.herokuapp.com/")
    assert done.stdout == (
        "hooks.yaml: /gh was added\n"
        "scripts/gh.py was written\n"
        "\n"
        "Secret: the value of GITHUB_SECRET (in .env already)\n"
        "On GitHub's side: Settings of the repository or organisation, Webhooks, Add webhook. "
        "Payload URL:\nhttps://my-app.herokuapp.com/gh. Content type: application/json. Secret: "
        "the value of GITHUB_SECRET.\n"
        "Start the server (make run); one that runs without --reload, start anew.\n"
        "Then try it: python runner.py send /gh\n"
    )
    again = new(project, "/other", "--from", "github", GITHUB_SECRET="0123456789")
    assert "Secret: the value of GITHUB_SECRET (set already)\n" in again.stdout


def test_a_form_s_path_and_address_stand_in_what_is_said(project: Project) -> None:
    done = new(project, "/sign*ups", "--from", "google-forms", "--url", "https://a.example")
    words = " ".join(done.stdout.split())
    assert "python runner.py form '/sign*ups' --url https://a.example prints" in words
    assert "It posts to https://a.example/sign*ups and" in words
    assert "Then try it: python runner.py send '/sign*ups'" in words


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")
@pytest.mark.parametrize("sample", [False, True])
def test_the_curl_line_that_is_printed_works(project: Project, sample: bool) -> None:
    (project.folder / "s.json").write_text('{"a": 1}')
    done = new(project, "/build", *(["--sample", "s.json"] if sample else []))
    secret = done.stdout.partition("set it: ")[2].splitlines()[0]
    subprocess.run(["bash", "-c", secret], cwd=project.folder, check=True)
    line = done.stdout.splitlines()[-1]
    assert line == (
        'Or: curl -H "Authorization: Bearer $(sed -n s/^BUILD_TOKEN=//p .env)" '
        + ("--json @s.json" if sample else "--json '{}'")
        + " localhost:5000/build"
    )
    with project.serve() as server:
        command = line.removeprefix("Or: ").replace(":5000", f":{server.port}")
        ran = subprocess.run(
            ["bash", "-c", command], cwd=project.folder, capture_output=True, text=True, check=False
        )
    assert json.loads(ran.stdout)["state"] == "succeeded"
