"""Runs, as people handle them on the command line: here, or at a server."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.serving import REPOSITORY, Project, Server, environment, wait_until
from tests.strangers import Answer, reply, stranger

TOKEN = "the administrator's"

HOOKS = """
/good: {script: good.sh, auth: none}
/bad: {script: bad.sh, auth: none}
/held: {script: held.sh, auth: none, respond: accepted}
"""
HELD = "echo begun; touch begun; until [ -e go ]; do sleep 0.02; done; echo done\n"


@dataclass
class Desk:
    """A project, its server, and what they have done so far."""

    project: Project
    server: Server
    good: str
    bad: str

    def ask(self, *words: str, **environ: str) -> CompletedProcess[str]:
        return self.project.command(*words, **{"ADMIN_TOKEN": TOKEN, **environ})

    def told(self, *words: str) -> str:
        done = self.ask(*words)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def refused(self, *words: str, **environ: str) -> str:
        done = self.ask(*words, **environ)
        assert (done.returncode, done.stdout) == (1, ""), done
        return done.stderr


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    project = Project(tmp_path / "project").hooks(HOOKS).script("held.sh", HELD)
    project.script("good.sh", "cat; echo; echo é >&2\n").script("bad.sh", "exit 3\n")
    with project.serve(ADMIN_TOKEN=TOKEN) as server:
        good = server.post_json("/good?q=1", {"a": "é"}).headers["Hook-Run"]
        bad = server.post_json("/bad", [1]).headers["Hook-Run"]
        yield Desk(project, server, good, bad)


def timeless(text: str) -> str:
    """The text without what is another each time."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", text).replace("TIME UTC", "TIME")
    return re.sub(r"\b0\.\d+s", "0.1s", text)


@pytest.fixture(params=["here", "at the server"])
def where(request: pytest.FixtureRequest, desk: Desk) -> list[str]:
    """The words that say where: the journal of this machine, or a server."""
    return [] if request.param == "here" else ["--url", f"http://127.0.0.1:{desk.server.port}"]


def test_runs_are_listed_newest_first(desk: Desk, where: list[str]) -> None:
    assert timeless(desk.told("runs", *where)) == (
        "RUN                   WHEN (UTC)           HOOK   EVENT  ATTEMPT  STATE      OUTCOME\n"
        f"{desk.bad}  TIME  /bad   -      1        failed     exit 3\n"
        f"{desk.good}  TIME  /good  -      1        succeeded  exit 0\n"
    )


def test_runs_are_picked_by_hook_state_and_time(desk: Desk, where: list[str]) -> None:
    def ids(*words: str) -> list[str]:
        return [run["run"] for run in json.loads(desk.told("runs", "--json", *words, *where))]

    assert ids("--state", "failed") == ids("--hook", "/bad") == [desk.bad]
    assert ids("--since", "1h") == ids("--since", "2020-01-01") == [desk.bad, desk.good]
    assert ids("--since", "2999-01-01T00:00Z") == []
    assert ids("--limit", "1") == [desk.bad]
    told = ", and no hook is at '/nothing'; there are /good, /bad, /held" if not where else ""
    assert desk.told("runs", "--hook", "/nothing", *where) == f"no run is like that{told}\n"


def test_all_of_a_run_is_shown(desk: Desk, where: list[str]) -> None:
    for part in (desk.good, desk.good[:8], desk.good[-8:], desk.good[:8].upper()):
        assert timeless(desk.told("show", part, *where)) == (
            f"run       {desk.good}\n"
            "hook      /good\n"
            "state     succeeded\n"
            "recorded  TIME\n"
            "ended     TIME\n"
            "request   POST /good?q=1 from 127.0.0.1\n"
            "payload   application/json\n"
            "    {\n"
            '      "a": "é"\n'
            "    }\n"
            "\n"
            "attempt 1, begun TIME: succeeded in 0.1s: exit 0\n"
            '    | {"a": "\\u00e9"}\n'
            "    ! é\n"
        )
    assert desk.told("show", desk.good, "--payload", *where) == '{"a": "\\u00e9"}'
    assert json.loads(desk.told("show", desk.bad, "--json", *where))["hook"] == "/bad"


def test_what_scripts_printed_is_shown_run_by_run(desk: Desk, where: list[str]) -> None:
    good = (
        f'{desk.good} /good | {{"a": "\\u00e9"}}\n'
        f"{desk.good} /good ! é\n"
        f"{desk.good} /good succeeded in 0.1s: exit 0\n"
    )
    assert timeless(desk.told("logs", desk.good, *where)) == good
    bad = f"{desk.bad} /bad failed in 0.1s: exit 3\n"
    assert timeless(desk.told("logs", *where)) == good + bad


def test_a_run_is_followed_to_its_end(desk: Desk, where: list[str]) -> None:
    run = desk.server.post_json("/held", {}).headers["Hook-Run"]
    # What it prints is in the journal a second after it has begun.
    wait_until(lambda: "begun" in desk.told("logs", run, *where), "its first line")
    follower = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "runner.py"), "logs", run, "--follow", *where],
        cwd=desk.project.folder,
        env=environment({"ADMIN_TOKEN": TOKEN, "PYTHONUNBUFFERED": "1"}),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert follower.stdout
    assert follower.stdout.readline() == f"{run} /held | begun\n"
    (desk.project.folder / "go").touch()
    rest = follower.communicate(timeout=20)[0]
    assert re.fullmatch(rf"{run} /held \| done\n{run} /held succeeded in [\d.]+s: exit 0\n", rest)
    assert follower.returncode == 0


def test_runs_are_done_again(desk: Desk, where: list[str]) -> None:
    told = desk.told("replay", desk.good[:9], desk.bad[-9:], *where).splitlines()
    assert [line.split()[:3] for line in told] == [
        [desk.good, "again", "as"],
        [desk.bad, "again", "as"],
    ]
    again = told[0].split()[-1]
    assert desk.server.wait_until_over(again)["state"] == "succeeded"
    assert f"replaces  {desk.good}\n" in desk.told("show", again, *where)


def test_all_that_failed_is_done_again(desk: Desk, where: list[str]) -> None:
    dry = desk.told("replay", "--failed", "--since", "1h", "--dry-run", *where)
    assert dry == f"{desk.bad} would be done again\n"
    told = desk.told("replay", "--failed", "--since", "1h", *where)
    assert re.fullmatch(rf"{desk.bad} again as [a-z2-7]{{20}}\n", told)
    none = desk.told("replay", "--failed", "--hook", "/good", *where)
    assert none == "no run has failed like that and is not done again already\n"
    assert (
        desk.told("replay", "--failed", "--since", "1h", "--dry-run", *where).count(desk.bad) == 0
    )


def test_a_run_is_cancelled(desk: Desk, where: list[str]) -> None:
    run = desk.server.post_json("/held", {}).headers["Hook-Run"]
    assert desk.told("cancel", run, *where) == f"{run} cancelled\n"
    assert desk.server.state(run)["state"] == "cancelled"
    assert "it has ended already" in desk.refused("cancel", run, *where)


def test_old_runs_are_forgotten(desk: Desk, where: list[str]) -> None:
    assert desk.told("prune", *where) == "0 runs forgotten\n"
    assert desk.told("prune", "--older", "1ms", *where) == "2 runs forgotten\n"
    assert desk.told("runs", *where) == "there is no run yet\n"
    assert desk.refused("show", "q7", *where) == (
        "no run begins or ends with 'q7'; there is none yet\n"
    )


def test_a_part_of_an_id_that_is_of_no_run_is_told_with_the_newest(
    desk: Desk, where: list[str]
) -> None:
    for part in ("0", "%", "q" * 21, "é", "../x"):
        assert desk.refused("show", part, *where) == (
            f"no run begins or ends with {part!r}; the newest is {desk.bad}\n"
        )


def test_a_part_of_several_ids_is_told_with_them(desk: Desk, where: list[str]) -> None:
    ids = [desk.good, desk.bad]
    while not (letter := next((i[0] for i in ids if sum(o[0] == i[0] for o in ids) > 1), "")):
        ids.append(desk.server.post_json("/good", {}).headers["Hook-Run"])
    told = desk.refused("show", letter, *where)
    assert told.startswith(f"several runs begin or end with '{letter}': ")
    assert told.endswith("; give more of one\n")


def test_without_a_server_the_journal_itself_is_changed(desk: Desk) -> None:
    desk.server.stop()
    told = desk.told("replay", desk.bad)
    again = told.split()[-1]
    assert desk.told("runs", "--state", "queued").splitlines()[1].split()[0] == again
    assert desk.told("cancel", again) == f"{again} cancelled\n"
    assert desk.told("prune", "--older", "1ms") == "3 runs forgotten\n"


@pytest.mark.parametrize("verb", ["replay", "cancel", "prune"])
def test_what_changes_a_server_s_runs_needs_its_token(desk: Desk, verb: str) -> None:
    url = f"http://127.0.0.1:{desk.server.port}"
    words = (verb, *([desk.bad] if verb != "prune" else []), "--url", url)
    assert desk.refused(*words, ADMIN_TOKEN="") == (
        f"{url} is asked as its administrator, and ADMIN_TOKEN is not set; set it to the "
        "server's (heroku config:get ADMIN_TOKEN), or in .env, and start it anew\n"
    )
    assert desk.refused(*words, ADMIN_TOKEN="wrong") == f"{url} answered 401: not authorised\n"


def test_the_owner_of_the_files_needs_no_token_while_the_server_runs(desk: Desk) -> None:
    token = desk.project.folder / "var" / "token"
    assert token.stat().st_mode & 0o777 == 0o600
    done = desk.ask("replay", desk.bad, ADMIN_TOKEN="")
    assert (done.returncode, done.stderr) == (0, "")
    assert desk.ask("prune", "--older", "1ms", ADMIN_TOKEN="").stdout.endswith(" forgotten\n")
    desk.server.stop()
    assert not token.exists()


def test_a_token_that_no_header_can_hold_is_named_and_not_shown(desk: Desk) -> None:
    told = desk.refused("runs", "--url", "http://127.0.0.1:1", ADMIN_TOKEN="s3cr\net")
    assert told == (
        "ADMIN_TOKEN cannot be sent: it begins or ends with a space, or has a line break or "
        "another control character in it; give it, and the server, another\n"
    )


def test_the_administrator_s_token_is_not_sent_to_others_over_http(desk: Desk) -> None:
    assert desk.refused("runs", "--url", "http://hooks.invalid") == (
        "ADMIN_TOKEN is not sent to hooks.invalid over http, where others can read it; "
        "name an address that begins with https://\n"
    )


def test_secrets_stay_masked_while_hooks_yaml_is_broken(desk: Desk) -> None:
    desk.project.script("good.sh", "echo the word is hunter-two\n")
    (desk.project.folder / ".env").write_text("WORD=hunter-two\n")
    run = desk.server.post_json("/good", {}).headers["Hook-Run"]
    desk.project.hooks("/good: {script: gone.sh}\n")
    assert f"{run} /good | the word is ****\n" in desk.told("logs", run)
    assert "    | the word is ****\n" in desk.told("show", run)


def test_what_could_turn_a_terminal_around_is_written_out(desk: Desk, where: list[str]) -> None:
    desk.project.script("good.sh", r"printf 'a\033]0;x\007b\302\233 \342\200\256c\n'" + "\n")
    run = desk.server.post_json("/good", {"a": "\x9b\u202e"}).headers["Hook-Run"]
    shown = r"a\x1b]0;x\x07b\x9b \u202ec"
    assert f"{run} /good | {shown}\n" in desk.told("logs", run, *where)
    assert f"    | {shown}\n" in desk.told("show", run, *where)
    assert r'"a": "\x9b\u202e"' in desk.told("show", run, *where)
    assert json.loads(desk.told("show", run, "--json", *where))["run"] == run


def test_output_longer_than_one_answer_is_shown_whole(desk: Desk, where: list[str]) -> None:
    desk.project.script("good.sh", "seq 100000 199999\n")
    run = desk.server.post_json("/good", {}).headers["Hook-Run"]
    numbers = [str(number) for number in range(100000, 200000)]
    logged = [line.split(" | ")[1] for line in desk.told("logs", run, *where).split("\n")[:-2]]
    assert logged == numbers
    [attempt] = json.loads(desk.told("show", run, "--json", *where))["attempts"]
    assert attempt["stdout"].split() == numbers
    shown = desk.told("show", run, *where).split("    | ")[1:]
    assert [line.strip() for line in shown] == numbers


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--url", "nonsense"],
         "--url must be an address such as https://app.herokuapp.com, not 'nonsense'\n"),
        (["--url", "ftp://a"],
         "--url must be an address such as https://app.herokuapp.com, not 'ftp://a'\n"),
        (["--since", "soon"],
         "--since must be a time ago such as 2h, or a time such as 2026-11-28T14:00Z, "
         "not 'soon'\n"),
        (["--limit", "0"], "--limit must be a whole number from 1 to 500, not '0'\n"),
        (["--data", "nowhere"],
         "there is no journal in {folder}/nowhere; start the server, or name another --data\n"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_told(desk: Desk, words: list[str], told: str) -> None:
    assert desk.refused("runs", *words) == told.format(folder=desk.project.folder)


def test_a_server_that_is_not_there_is_told(desk: Desk) -> None:
    told = desk.refused("runs", "--url", "http://127.0.0.1:1")
    assert told == "http://127.0.0.1:1 cannot be reached: Connection refused\n"


def test_a_one_off_dyno_says_that_its_disk_is_another(desk: Desk) -> None:
    assert desk.refused("runs", DYNO="run.1234") == (
        "a one-off dyno has a disk of its own, and not the server's journal; ask the server, "
        "on your own machine: ADMIN_TOKEN=$(heroku config:get ADMIN_TOKEN) "
        "python runner.py runs --url https://YOUR-APP.herokuapp.com\n"
    )


def test_all_that_failed_is_done_again_oldest_first_and_on_after_an_error(
    desk: Desk, where: list[str]
) -> None:
    desk.project.hooks(HOOKS + "/narrow: {script: bad.sh, auth: none}\n")
    desk.server.process.send_signal(signal.SIGHUP)
    desk.server.wait_for_line("hooks.yaml was reloaded")
    narrow = desk.server.post_json("/narrow", 1).headers["Hook-Run"]
    last = desk.server.post_json("/bad", 2).headers["Hook-Run"]
    desk.project.hooks(HOOKS)  # /narrow is gone, so that its run cannot be done again
    desk.server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: desk.server.get("/narrow").status == 404, "the end of /narrow")
    done = desk.ask("replay", "--failed", *where)
    assert done.returncode == 1
    assert re.fullmatch(
        rf"{desk.bad} again as [a-z2-7]{{20}}\n{last} again as [a-z2-7]{{20}}\n", done.stdout
    )
    assert done.stderr.startswith(f"{narrow} is not done again: ")
    assert len(done.stderr.splitlines()) == 1


def pruning(*portions: tuple[int, bool]) -> Answer:
    """A server that forgets so many runs at a time."""
    said = iter(portions)

    def answer(request: bytes) -> Iterator[bytes]:
        pruned, more = next(said)
        yield reply(json.dumps({"pruned": pruned, "more": more}).encode())

    return answer


def test_what_is_forgotten_in_portions_is_asked_for_to_the_end(project: Project) -> None:
    with stranger(pruning((1000, True), (1000, True), (1, False))) as there:
        done = project.command("prune", "--older", "1d", "--url", there.url, ADMIN_TOKEN=TOKEN)
    assert (done.returncode, done.stdout, done.stderr) == (0, "2001 runs forgotten\n", "")
    assert [got.split(b" ")[1] for got in there.got] == [b"/-/prune?older=86400.000"] * 3


def test_who_has_more_than_can_be_done_again_at_once_is_told(project: Project) -> None:
    row = {
        "hook": "/a", "state": "failed", "attempt": 1, "event": "", "delivery": "",
        "recorded_at": None, "ended_at": None, "due": None, "replaces": "", "outcome": None,
    }  # fmt: skip
    ids = {seq: f"{seq:020d}".translate(str.maketrans("0189", "abcd")) for seq in range(1, 503)}

    def answer(request: bytes) -> Iterator[bytes]:
        found = re.search(rb"before=(\d+)", request)
        before = int(found[1]) if found else 503
        page = sorted((seq for seq in ids if seq < before), reverse=True)[:500]
        yield reply(json.dumps({"runs": [{**row, "run": ids[s], "seq": s} for s in page]}).encode())

    with stranger(answer) as there:
        done = project.command(
            "replay", "--failed", "--dry-run", "--url", there.url, ADMIN_TOKEN=TOKEN
        )
    assert done.stdout.splitlines() == [f"{ids[s]} would be done again" for s in range(1, 501)]
    assert (done.returncode, done.stderr) == (0, "500 of 502, the oldest; say it again for more\n")


def test_the_owner_s_token_is_masked_and_no_script_is_given_it(desk: Desk) -> None:
    token = (desk.project.folder / "var" / "token").read_text().strip()
    desk.project.script("good.sh", f"env; echo it is {token}\n")
    run = desk.server.post_json("/good", 1).headers["Hook-Run"]
    assert f"{run} /good | it is ****\n" in desk.told("logs", run)
    assert f"{run} /good | it is ****\n" in desk.told(
        "logs", run, "--url", f"http://127.0.0.1:{desk.server.port}"
    )
    [(printed,)] = desk.project.journal("SELECT stdout FROM attempt JOIN run ON run = seq "
                                        "WHERE id = ?", run)  # fmt: skip
    assert printed.decode().count(token) == 1  # what it was told, and nothing of its own
    desk.server.wait_for_line("it is ****")
    assert token not in "\n".join(desk.server.lines)


def test_secrets_across_the_ends_of_pieces_are_masked_and_memory_is_bounded(
    tmp_path: Path,
) -> None:
    secret = "s3cret-" + "x" * 50
    project = Project(tmp_path / "project")
    project.hooks("/a: {script: a.py, auth: {bearer: $WORD}, max_output: 20MB, timeout: 60s}\n")
    project.script("a.py", f"import sys\nsys.stdout.write('{secret}abc' * 330_000)\n")
    with project.serve(WORD=secret, ADMIN_TOKEN=TOKEN) as server:
        run = server.post_json("/a", 1, Authorization=f"Bearer {secret}").headers["Hook-Run"]
        server.wait_until_over(run, 60)
    with project.serve(WORD=secret, ADMIN_TOKEN=TOKEN) as server:  # anew: it only reads
        done = project.command(
            "logs", run, "--url", f"http://127.0.0.1:{server.port}", ADMIN_TOKEN=TOKEN
        )
        status = Path(f"/proc/{server.process.pid}/status").read_text()
    said = "".join(line.partition(" | ")[2] for line in done.stdout.splitlines())
    assert said.replace("****abc", "").strip() == ""
    assert said.count("****abc") == 330_000
    memory = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert memory
    assert int(memory[1]) < 150 * 1024


def test_the_environment_wins_over_env_file_for_the_token(desk: Desk) -> None:
    url = f"http://127.0.0.1:{desk.server.port}"
    (desk.project.folder / ".env").write_text(f'ADMIN_TOKEN="{TOKEN}"\n')
    assert desk.project.command("runs", "--url", url).returncode == 0
    assert desk.refused("runs", "--url", url, ADMIN_TOKEN="wrong") == (
        f"{url} answered 401: not authorised\n"
    )


def on_a_terminal(project: Project, *words: str, **more: str) -> str:
    """What a verb shows to somebody who looks."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "runner.py"), *words],
        cwd=project.folder, env=environment({"TERM": "xterm", **more}), stdout=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # EIO: nobody has the other end any more
        while data := os.read(ours, 65536):
            shown += data
    os.close(ours)
    assert process.wait(20) == 0
    return shown.decode().replace("\r\n", "\n")


def test_a_terminal_has_the_colours_of_scripts_and_nothing_else(desk: Desk) -> None:
    text = r"\033[31mred\033[2J\033[1;32mgreen\033]0;x\007\033[?25l" + "\n" + "plain\n"
    desk.project.script("good.sh", f"printf '{text}'\n")
    run = desk.server.post_json("/good", 1).headers["Hook-Run"]
    begin = f"{run} /good | "
    seen = on_a_terminal(desk.project, "logs", run).splitlines()
    assert seen[:2] == [
        f"{begin}\x1b[31mred\\x1b[2J\x1b[1;32mgreen\\x1b]0;x\\x07\\x1b[?25l\x1b[0m",
        f"{begin}plain",
    ]
    assert seen[2].startswith(f"{run} /good \x1b[32msucceeded\x1b[0m in ")
    for plain in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in on_a_terminal(desk.project, "logs", run, **plain)
    assert "\x1b" not in desk.told("logs", run)


def test_a_payload_is_shown_masked_and_is_exact_where_it_is_asked_for_alone(tmp_path: Path) -> None:
    secret = "open/sesame é"
    body = json.dumps({"clientState": secret})  # as Microsoft Graph has it in each delivery
    project = Project(tmp_path / "project")
    project.hooks("/a: {script: a.sh, auth: {bearer: $WORD}}\n").script("a.sh", "cat")
    given = {"WORD": secret, "ADMIN_TOKEN": TOKEN}
    with project.serve(**given) as server:
        bearer = f"Bearer {secret}".encode().decode("latin-1")
        kind = "application/json"
        answer = server.post("/a", body, Content_Type=kind, Authorization=bearer)
        run = answer.headers["Hook-Run"]
        server.wait_until_over(run)
        for where in ([], ["--url", f"http://127.0.0.1:{server.port}"]):
            shown = project.command("show", run, *where, **given).stdout
            assert '"clientState": "****"' in shown
            assert "sesame" not in shown
            assert project.command("show", run, "--payload", *where, **given).stdout == body
            assert body in project.command("try", run, *where, **given).stdout
