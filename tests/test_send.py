"""`send`, which plays a hook's sender, and `try`, which runs a script with no server."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from hookrunner.auth.senders import SENDERS
from tests.posts import SIGNERS
from tests.serving import REPOSITORY, SECONDS, Project, Server, alive, environment, wait_until
from tests.strangers import reply, stranger

TEXT = SIGNERS["slack"].secret
PRIVATE = ("discord", "sendgrid", "aws-sns")
"""Who sign with a key that nobody else has."""

MORE = """
/ref: {script: cat.sh, auth: none, schema: {type: object, required: [ref, n, of, on], properties:
  {ref: {enum: [main]}, n: {type: integer}, of: {type: array, minItems: 2}, on: {type: boolean}}}}
/get: {script: cat.sh, auth: {token: {query: key, value: $SECRET}}, methods: [GET]}
/deploy/<env>: {script: env.sh, auth: {bearer: $SECRET}, env: {WHERE: "{path:env}"}}
/fails: {script: fails.sh, auth: none, respond: accepted}
/off: {script: cat.sh, auth: {stripe: $UNSET}}
"""


def hooks() -> str:
    """A hook for every sender, each with the table's example."""
    text = ""
    for name, sender in SENDERS.items():
        example = sender.example.replace("YOUR-APP.herokuapp.com", "hooks.example.com")
        example = example.replace("192.0.2.0/24", "127.0.0.0/8")
        auth = re.sub(r"[$][A-Z_]+", f"${var(name)}", example)
        text += f"/{name}: {{script: cat.sh, auth: {auth}}}\n"
    return text + MORE


def var(name: str) -> str:
    return "V_" + name.upper().replace("-", "_")


def environ() -> dict[str, str]:
    known = {var(name): SIGNERS[name].secret if name in SIGNERS else TEXT for name in SENDERS}
    return {**known, "SECRET": TEXT}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, Server]]:
    project = Project(tmp_path_factory.mktemp("send")).hooks(hooks())
    project.script("cat.sh", "cat\n").script("fails.sh", "echo alas >&2; exit 3\n")
    project.script("env.sh", 'echo "to $WHERE on attempt $HOOK_ATTEMPT"; cat\n')
    with project.serve(**environ()) as server:
        yield project, server


def ask(project: Project, *words: str, **more: str) -> CompletedProcess[str]:
    return project.command(*words, **{**environ(), **more})


@pytest.mark.parametrize("name", [name for name in SENDERS if name not in PRIVATE])
def test_every_sender_whose_secret_we_share_can_be_played(
    served: tuple[Project, Server], name: str
) -> None:
    project, _ = served
    done = ask(project, "send", f"/{name}", "--data", '{"id": "é"}')
    assert done.returncode == 0, done
    first, *_ = done.stdout.splitlines()
    assert re.fullmatch(r"20[0-4] [A-Za-z ]+ in \d+ ms", first)
    assert re.search(rf"\n[a-z2-7]{{20}} /{name} succeeded in [\d.]+s: exit 0\n$", done.stdout)
    assert '"é"' in done.stdout
    # It is another delivery each time, and no repeat.
    again = ask(project, "send", f"/{name}", "--data", '{"id": "é2"}')
    assert run_of(done) != run_of(again)


def run_of(done: CompletedProcess[str]) -> str:
    found = re.search(r"^run ([a-z2-7]{20})$", done.stdout, re.MULTILINE)
    assert found, done
    return found[1]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("discord", "discord signs with a private key that only it has"),
        ("sendgrid", "sendgrid signs with a private key that only it has"),
        ("aws-sns", "aws-sns signs with a key that only it has"),
    ],
)
def test_who_signs_with_a_key_of_its_own_cannot_be_played(
    served: tuple[Project, Server], name: str, told: str
) -> None:
    project, _ = served
    done = ask(project, "send", f"/{name}", "--data", "{}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"{told}; to try the hook, let somebody else post to it, too: "
        f"auth: [{{{name}: …}}, {{bearer: $TRY_TOKEN}}]\n"
    )


def test_what_is_sent_is_shown_with_its_answer_run_and_log(served: tuple[Project, Server]) -> None:
    project, _ = served
    done = ask(project, "send", "/deploy/staging", "--data", '{"a": 1}')
    assert re.fullmatch(
        r"200 OK in \d+ ms\n"
        r'\{"run": "(?P<run>[a-z2-7]{20})", "state": "succeeded", .*\}\n'
        r"\n"
        r"run (?P=run)\n"
        r"(?P=run) /deploy/<env> \| to staging on attempt 1\n"
        r'(?P=run) /deploy/<env> \| \{"a": 1\}\n'
        r"(?P=run) /deploy/<env> succeeded in [\d.]+s: exit 0\n",
        done.stdout,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_run_that_fails_later_is_waited_for_and_fails_the_command(
    served: tuple[Project, Server],
) -> None:
    project, _ = served
    done = ask(project, "send", "/fails", "--data", "[]")
    assert done.returncode == 1
    assert done.stdout.startswith("202 Accepted in ")
    assert done.stdout.splitlines()[-2].endswith(" /fails ! alas")
    assert "/fails failed in " in done.stdout.splitlines()[-1]


def test_without_a_payload_one_is_made_up_or_the_newest_is_sent_again(
    served: tuple[Project, Server],
) -> None:
    project, _ = served
    made_up = ask(project, "send", "/ref")
    assert (made_up.returncode, made_up.stderr) == (
        0, "the payload is made up to fit the schema\n"
    )  # fmt: skip
    assert '| {"ref": "main", "n": 1, "of": ["text", "text"], "on": true}\n' in made_up.stdout
    other = '{"ref": "main", "n": 2, "of": [1, 2], "on": false}'
    sent = ask(project, "send", "/ref", "--data", other)
    again = ask(project, "send", "/ref")
    assert again.stderr == f"the payload is that of run {run_of(sent)}\n"
    assert f"| {other}\n" in again.stdout


def test_a_file_a_form_and_headers_can_be_sent(served: tuple[Project, Server]) -> None:
    project, _ = served
    (project.folder / "p.json").write_text('{"from": "a file"}')
    assert "a file" in ask(project, "send", "/bearer", "--file", "p.json").stdout
    form = ask(project, "send", "/bearer", "--form", "a=1 é", "--form", "b=2=3")
    assert '| {"a": "1 é", "b": "2=3"}' in form.stdout
    get = ask(project, "send", "/get", "--form", "a=1", "--form", "b=é")
    assert '| {"a": "1", "b": "é"}' in get.stdout
    named = ask(project, "send", "/github", "--data", "{}", "--header", "X-GitHub-Event: ping")
    assert named.stdout.splitlines()[1] == '{"status": "pong"}'
    assert named.returncode == 0


@pytest.mark.parametrize(
    ("path", "fields", "got"),
    [
        ("/slack", ["command=/x", "text=é"], {"command": "/x", "text": "é"}),
        ("/gitea", ['payload={"a": "é"}'], {"a": "é"}),  # what is signed is the field
        ("/forgejo", ['payload={"a": "é"}'], {"a": "é"}),
        ("/twilio", ["Body=é", "Empty="], {"Body": "é", "Empty": ""}),
        ("/bearer", ["a=1", "a=2"], {"a": ["1", "2"]}),
    ],
)
def test_a_form_is_signed_as_its_sender_signs_forms(
    served: tuple[Project, Server], path: str, fields: list[str], got: object
) -> None:
    project, _ = served
    words = [word for field in fields for word in ("--form", field)]
    done = ask(project, "send", path, *words)
    assert done.returncode == 0, done
    [line] = [line for line in done.stdout.splitlines() if f" {path} | " in line]
    assert json.loads(line.partition(" | ")[2]) == got


def test_a_form_whose_proof_is_among_its_fields_gets_them(served: tuple[Project, Server]) -> None:
    project, _ = served
    done = ask(project, "send", "/mailgun", "--form", "from=é", "--form", "token=mine")
    assert done.returncode == 0, done
    [line] = [line for line in done.stdout.splitlines() if " /mailgun | " in line]
    sent = json.loads(line.partition(" | ")[2])
    assert sorted(sent) == ["from", "signature", "timestamp", "token"]
    assert sent["from"] == "é"


def test_twilio_s_query_has_the_hash_of_json_and_none_of_a_form(
    served: tuple[Project, Server],
) -> None:
    project, _ = served
    queries = []
    for words in (["--form", "a=1"], ["--data", '{"a": 1}']):
        run = run_of(ask(project, "send", "/twilio", *words))
        queries += project.journal("SELECT query FROM run WHERE id = ?", run)
    digest = hashlib.sha256(b'{"a": 1}').hexdigest()
    assert queries == [("",), (f"bodySHA256={digest}",)]


@pytest.mark.parametrize(
    ("path", "header"), [("/github", "X-GitHub-Delivery"), ("/google-forms", "Webhook-Id")]
)
def test_a_delivery_s_id_that_was_given_is_kept(
    served: tuple[Project, Server], path: str, header: str
) -> None:
    project, _ = served
    run = run_of(
        ask(project, "send", path, "--data", "{}", "--header", f"{header}: mine-{path[1:]}")
    )
    assert project.journal("SELECT delivery_id FROM run WHERE id = ?", run) == [
        (f"mine-{path[1:]}",)
    ]


def test_what_is_refused_is_shown_and_fails(served: tuple[Project, Server]) -> None:
    project, _ = served
    done = ask(project, "send", "/ref", "--data", '{"ref": 7}')
    assert done.returncode == 1
    first, problem = done.stdout.splitlines()
    assert first.startswith("422 ")
    assert json.loads(problem)["detail"] == "the payload does not fit"


def test_with_no_server_it_is_said_how_to_start_one(tmp_path: Path) -> None:
    project = Project(tmp_path).hooks("/a: {script: a.sh, auth: none}\n").script("a.sh", "")
    for more in ([], ["--repeat", "3"]):
        done = project.command("send", "/a", "--data", "{}", *more, PORT="1")
        assert (done.returncode, done.stdout, done.stderr) == (
            1, "", "no server runs here; start it: make run (or name one: --url https://…)\n"
        )  # fmt: skip


def test_a_hook_that_only_this_machine_knows_is_told_for_its_server_alone(
    served: tuple[Project, Server], tmp_path: Path
) -> None:
    _, server = served
    here = Project(tmp_path).hooks("/new: {script: a.sh, auth: none}\n").script("a.sh", "")
    near = here.command("send", "/new", "--data", "{}", PORT=str(server.port))
    url = f"http://127.0.0.1:{server.port}"
    there = here.command("send", "/new", "--data", "{}", "--url", url)
    assert near.stdout.startswith("404 Not Found in ")
    assert near.stderr == (
        "the server that runs does not know /new yet: start it anew, or run it with --reload\n"
    )
    assert there.stdout.startswith("404 Not Found in ")
    assert (near.returncode, there.returncode, there.stderr) == (1, 1, "")


def test_p99_is_no_longer_than_the_longest(served: tuple[Project, Server]) -> None:
    project, _ = served
    for many in ("1", "2", "7"):
        done = ask(project, "send", "/hmac", "--data", "{}", "--repeat", many)
        took = [float(each) for each in re.findall(r"(?:p\d\d|max) ([\d.]+)", done.stdout)]
        assert took == sorted(took)
        assert len(took) == 4


def test_less_than_one_a_second_may_be_sent(served: tuple[Project, Server]) -> None:
    project, _ = served
    began = time.monotonic()
    done = ask(project, "send", "/hmac", "--data", "{}", "--repeat", "2", "--rate", "0.5")
    assert time.monotonic() - began > 2
    assert re.match(r"2 sent in 2\.\d\d s, 1 a second\n", done.stdout)
    assert done.returncode == 0


def test_many_of_which_some_are_refused_fail(served: tuple[Project, Server]) -> None:
    project, _ = served
    done = ask(project, "send", "/ref", "--data", '{"ref": 7}', "--repeat", "5")
    assert done.stdout.splitlines()[1:3] == ["answers   5 × 422", "runs      0"]
    assert (done.returncode, done.stderr) == (1, "")


def test_control_c_ends_many_at_once_and_sums_up_what_was_sent(
    served: tuple[Project, Server],
) -> None:
    project, _ = served
    answered = threading.Event()
    over = threading.Event()
    asked = count()

    def answer(request: bytes) -> Iterator[bytes]:
        if next(asked) >= 3:
            answered.set()
            over.wait(SECONDS)  # for ever, to who has asked
        yield reply(b"{}")

    with stranger(answer) as there:
        process = subprocess.Popen(
            [sys.executable, str(REPOSITORY / "runner.py"), "send", "/bearer", "--data", "{}",
             "--repeat", "100000", "--url", there.url],
            cwd=project.folder, env=environment(environ()), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert answered.wait(SECONDS)
        wait_until(lambda: len(there.got) >= 16 + 3, "all that is sent at the same time")
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        told, complaints = process.communicate(timeout=SECONDS)
        assert time.monotonic() - began < 3
        over.set()
    assert process.returncode == 130
    assert re.fullmatch(
        r"3 sent in [\d.]+ s, \d+ a second\n"
        r"answers   3 × 200\n"
        r"runs      0\n"
        r"ms        p50 [\d.]+, p90 [\d.]+, p99 [\d.]+, max [\d.]+\n",
        told,
    )
    assert complaints == ""


def test_many_are_summed_up(served: tuple[Project, Server]) -> None:
    project, _ = served
    done = ask(project, "send", "/hmac", "--data", "{}", "--repeat", "30", "--rate", "300")
    assert re.fullmatch(
        r"30 sent in [\d.]+ s, \d+ a second\n"
        r"answers   30 × 200\n"
        r"runs      30\n"
        r"ms        p50 [\d.]+, p90 [\d.]+, p99 [\d.]+, max [\d.]+\n",
        done.stdout,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["/nought-else"], "no hook is at '/nought-else'; there are /github, "),
        (["/gihtub"], "no hook is at '/gihtub'; did you mean '/github'?\n"),
        (["github"], "no hook is at 'github'; did you mean '/github'?\n"),
        (["/ref", "--data", "{}", "--rate", "1"], "--rate goes with --repeat\n"),
        (["/ref", "--data", "{}", "--repeat", "1", "--rate", "0"],
         "--rate must be a number above 0, to 100000, not '0'\n"),
        (["/ref", "--data", "{"], "--data: the body is not JSON: "),
        (["/ref", "--file", "gone.json"], "gone.json cannot be read: No such file or directory"),
        (["/ref", "--data", "{}", "--form", "a=1"], "give one of --data, --file and --form"),
        (["/ref", "--form", "a"], "--form must be NAME=VALUE, not 'a'"),
        (["/ref", "--data", "{}", "--header", "a"], "--header must be NAME:VALUE, not 'a'"),
        (["/ref", "--data", "{}", "--repeat", "x"], "--repeat must be a whole number from 1 to "),
        (["/ref", "--data", "{}", "--url", "x"], "--url must be an address such as "),
        (["/ref", "--data", "{}", "--url", "http://127.0.0.1:1"],
         "http://127.0.0.1:1 cannot be reached: "),
        (["/off", "--data", "{}"],
         "/off is switched off: UNSET is not set; set it: echo \"UNSET=…\" >> .env"),
        (["/linear", "--data", "[]"], "its proof stands in the payload, which must be a JSON ob"),
    ],
)  # fmt: skip
def test_what_cannot_be_sent_is_told(
    served: tuple[Project, Server], words: list[str], told: str
) -> None:
    project, _ = served
    done = ask(project, "send", *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(told)


def test_a_server_elsewhere_tells_of_the_run_if_it_knows_us(tmp_path: Path) -> None:
    there = Project(tmp_path / "there").hooks("/a: {script: a.sh, auth: {bearer: $SECRET}}\n")
    there.script("a.sh", "echo hello\n")
    here = Project(tmp_path / "here").hooks("/a: {script: a.sh, auth: {bearer: $SECRET}}\n")
    here.script("a.sh", "")
    with there.serve(SECRET="x1y2z3", ADMIN_TOKEN="t0ken") as server:
        url = f"http://127.0.0.1:{server.port}"
        words = ("send", "/a", "--data", "{}", "--url", url)
        known = here.command(*words, SECRET="x1y2z3", ADMIN_TOKEN="t0ken")
        assert f"{run_of(known)} /a | hello\n" in known.stdout
        unknown = here.command(*words, SECRET="x1y2z3")
        assert unknown.stdout.endswith("; set ADMIN_TOKEN to see what it prints\n")
        assert (known.returncode, unknown.returncode) == (0, 0)
        wrong = here.command(*words, SECRET="another")
        assert wrong.returncode == 1
        assert wrong.stdout.startswith("401 Unauthorized in ")


# --- try


@pytest.fixture
def tried(served: tuple[Project, Server]) -> tuple[Project, str]:
    """A project, and a run of it whose payload is to be tried again."""
    project, _ = served
    return project, run_of(ask(project, "send", "/deploy/live", "--data", '{"a": "é"}'))


def test_a_hook_s_script_is_tried_on_the_payload_of_a_run(tried: tuple[Project, str]) -> None:
    project, run = tried
    done = ask(project, "try", run[:12])
    assert done.stdout == 'to live on attempt 1\n{"a": "é"}'
    assert re.fullmatch(r"exit 0 in [\d.e-]+s\n", done.stderr)
    assert done.returncode == 0


def test_another_script_is_tried_on_it(tried: tuple[Project, str]) -> None:
    project, run = tried
    project.script("peek.py", (
        "import json, os, sys\n"
        "request = json.load(open(os.environ['HOOK_REQUEST_FILE']))\n"
        "print(json.load(sys.stdin)['a'], os.environ['HOOK_PATH'], 'SECRET' in os.environ)\n"
        "print(sorted(request), os.path.isdir(os.environ['TMPDIR']), os.getcwd())\n"
        "sys.exit('no')\n"
    ))  # fmt: skip
    done = ask(project, "try", run, "peek.py")
    assert done.stdout == (
        f"é /deploy/<env> False\n['headers', 'method', 'path', 'query'] True {project.folder}\n"
    )
    assert re.fullmatch(r"no\nexit 1 in [\d.e-]+s\n", done.stderr)
    assert done.returncode == 1


def test_a_script_may_be_named_as_a_shell_completes_it(tried: tuple[Project, str]) -> None:
    project, run = tried
    for name in ("env.sh", "scripts/env.sh", "./scripts/env.sh"):
        assert ask(project, "try", run, name).stdout == 'to live on attempt 1\n{"a": "é"}'


def test_a_script_that_takes_too_long_ends_with_all_that_it_has_started(tmp_path: Path) -> None:
    project = Project(tmp_path).hooks("/a: {script: a.sh, auth: none, timeout: 1s}\n")
    project.script("a.sh", "sleep 300 & echo $! > child; echo $$ > own; wait\n")
    (project.folder / "p.json").write_text("{}")
    done = project.command("try", "--file", "p.json", "a.sh")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"timed out after 1s in 1[\d.]*s\n", done.stderr)
    pids = [int(project.lines(name)[0]) for name in ("own", "child")]
    wait_until(lambda: not any(map(alive, pids)), "the end of both")


def test_a_script_is_tried_on_a_file_with_no_server_and_no_hook(tmp_path: Path) -> None:
    project = Project(tmp_path).hooks(
        "/a: {script: a.sh, auth: {bearer: $T}, schema: {required: [name]}}\n"
    )
    project.script("a.sh", "cat\n").script("b.sh", "kill -9 $$\n")
    (project.folder / "p.json").write_text('{"x": 1}')
    done = project.command("try", "--file", "p.json", "a.sh")
    assert (done.returncode, done.stdout) == (0, '{"x": 1}')
    assert done.stderr.splitlines()[0] == (
        "the payload does not fit the schema: (whole): 'name' is a required property"
    )
    dies = project.command("try", "--file", "p.json", "scripts/b.sh")
    assert (dies.returncode, dies.stdout) == (1, "")
    assert dies.stderr.startswith("signal 9 (SIGKILL) in ")
    assert not (project.folder / "var").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "name a run, and a script if it is not its hook's: try ID [SCRIPT]"),
        (["--file", "p.json"], "name the script: try --file payload.json SCRIPT"),
        (["--file", "gone.json", "cat.sh"], "gone.json cannot be read: No such file or directory"),
        (["--file", "p.json", "cta.sh"], "there is no scripts/cta.sh; did you mean 'cat.sh'?"),
        (["--file", "p.json", "../x"], "'../x' is outside scripts/; move it there"),
        (
            ["--file", "bad.json", "cat.sh"],
            "bad.json: the body is not JSON: Expecting value at line 1 column 7\n",
        ),
        (["0"], "no run begins or ends with '0'; "),
        (
            ["cat.sh"],
            "'cat.sh' is a script; say on which payload: try ID cat.sh, or "
            "try --file payload.json cat.sh\n",
        ),
        (["./scripts/cat.sh"], "'./scripts/cat.sh' is a script; say on which payload: "),
    ],
)
def test_what_cannot_be_tried_is_told(
    served: tuple[Project, Server], words: list[str], told: str
) -> None:
    project, _ = served
    (project.folder / "p.json").write_text("{}")
    (project.folder / "bad.json").write_text('{"a": oh}')
    done = ask(project, "try", *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(told)
