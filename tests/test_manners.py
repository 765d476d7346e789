"""How each sender is answered: what it takes for success, and how long it is kept waiting."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hookrunner.auth.senders import SENDERS
from hookrunner.config import load
from tests.posts import SIGNERS, Post
from tests.serving import Project, Response, Server

SECRET = SIGNERS["slack"].secret

PATIENCE = {"slack": 3, "zoom": 3, "discord": 3, "shopify": 5, "linear": 5, "paddle": 5} | {
    "gitea": 5, "forgejo": 5, "github": 10, "gitlab": 10, "microsoft-graph": 3
}  # fmt: skip


def send(server: Server, path: str, post: Post, **more: str) -> Response:
    headers = {**post.all_headers, **{n.replace("_", "-"): v for n, v in more.items()}}
    query = f"?{post.query}" if post.query else ""
    return server.request("POST", path + query, post.body, headers)


@pytest.mark.parametrize(("name", "patience"), PATIENCE.items())
@pytest.mark.parametrize("respond", ["output", "{wait: 25s}", "{wait: 1s}"])
def test_nobody_waits_longer_than_its_sender_less_half_a_second(
    tmp_path: Path, name: str, patience: float, respond: str
) -> None:
    project = Project(tmp_path).script("run.sh", "true")
    project.hooks(f"/h: {{script: run.sh, auth: {{{name}: $S}}, respond: {respond}}}\n")
    config = load(project.folder / "hooks.yaml", {"S": SIGNERS.get(name, SIGNERS["github"]).secret})
    longest = 1.0 if "1s" in respond else 25.0
    assert config.hooks["/h"].respond.wait == min(longest, patience - 0.5)
    assert SENDERS[name].manners.patience == patience


STATUS = {"slack": 200, "zoom": 200, "shopify": 200, "paddle": 200, "discord": 204,
          "twilio": 204, "github": 202, "stripe": 202, "meta": 200}  # fmt: skip
BARE = ("slack", "discord", "twilio")

HOLD = """#!/bin/sh
echo begun >> begun
while [ ! -e go ]; do sleep 0.02; done
echo done
"""


def auth_of(name: str) -> str:
    auth = SIGNERS[name].auth.replace("$SECRET", f"${name.upper()}").replace("$VERIFY", "$META")
    return f"{{{name}: {auth}}}"


def test_a_run_that_takes_longer_is_answered_with_what_its_sender_takes_for_success(
    tmp_path: Path,
) -> None:
    project = Project(tmp_path).script("hold.sh", HOLD)
    modes = ["{mode: status, wait: 1s}", "accepted", "{mode: output, wait: 1s}"] * 3
    project.hooks(
        "".join(
            f"/{name}: {{script: hold.sh, auth: {auth_of(name)}, respond: {mode}}}\n"
            for name, mode in zip(STATUS, modes, strict=True)
        )
    )
    environ = {name.upper(): SIGNERS[name].secret for name in STATUS}
    now = int(time.time())
    with project.serve(**environ) as server:
        with ThreadPoolExecutor(len(STATUS)) as pool:
            sent = {
                name: pool.submit(send, server, f"/{name}", SIGNERS[name].post(now))
                for name in STATUS
            }
        answers = {name: future.result() for name, future in sent.items()}
        (project.folder / "go").touch()

    assert {name: answer.status for name, answer in answers.items()} == STATUS
    for name, answer in answers.items():
        place = f"/-/runs/{answer.headers['Hook-Run']}"
        assert answer.headers["Location"] == place
        if name in BARE:
            assert answer.body == b""
        else:
            assert answer.json["location"] == place


def test_slack_is_answered_before_it_gives_up_though_the_hook_would_wait(tmp_path: Path) -> None:
    project = Project(tmp_path).script("hold.sh", HOLD)
    project.hooks("/slack: {script: hold.sh, auth: {slack: $S}, respond: {wait: 25s}}\n")
    with project.serve(S=SECRET) as server:
        answer = send(server, "/slack", SIGNERS["slack"].post(int(time.time())))
        run = answer.headers["Hook-Run"]
        state = server.state(run)["state"]
        (project.folder / "go").touch()
        assert server.wait_until_over(run)["state"] == "succeeded"
    assert (answer.status, answer.body, state) == (200, b"", "running")


def test_prefer_does_not_make_a_sender_wait_longer_than_it_can(tmp_path: Path) -> None:
    project = Project(tmp_path).script("run.sh", "true")
    project.hooks("/slack: {script: run.sh, auth: {slack: $S}}\n")
    with project.serve(S=SECRET) as server:
        post = SIGNERS["slack"].post(int(time.time()))
        answer = send(server, "/slack", post, Prefer="wait=20")
    assert answer.headers["Preference-Applied"] == "wait=2.5"


def test_whoever_reads_the_body_as_a_reply_gets_the_script_s_or_none(tmp_path: Path) -> None:
    project = Project(tmp_path).script("say.sh", "echo hello\n").script("fail.sh", "exit 3\n")
    project.hooks(
        "/said: {script: say.sh, auth: {slack: $S}, respond: output}\n"
        "/status: {script: say.sh, auth: {slack: $S}}\n"
        "/mapped: {script: fail.sh, auth: {slack: $S}, respond: {exit_status: {3: 409}}}\n"
        "/failed: {script: fail.sh, auth: {slack: $S}}\n"
        "/two: {script: say.sh, auth: [{slack: $S}, {bearer: $T}]}\n"
    )
    with project.serve(S=SECRET, T="t0ken") as server:
        post = SIGNERS["slack"].post(int(time.time()))
        paths = ("/said", "/status", "/mapped", "/failed", "/two")
        answers = [send(server, path, post) for path in paths]
        other = server.post_json("/two", {}, Authorization="Bearer t0ken")

    assert [(a.status, a.body) for a in answers[:3]] == [(200, b"hello\n"), (200, b""), (409, b"")]
    assert (answers[3].status, answers[3].json["detail"]) == (500, "the script failed: exit 3")
    # What its sender expects is known by the scheme that has believed it.
    assert answers[4].body == b""
    assert other.json["state"] == "succeeded"


def test_what_is_not_of_interest_is_no_reply_either(tmp_path: Path) -> None:
    project = Project(tmp_path).script("run.sh", "true")
    never = "when: {properties: {method: {const: PUT}}}"
    project.hooks(
        "".join(f"/{name}: {{script: run.sh, auth: {auth_of(name)}, {never}}}\n" for name in STATUS)
    )
    environ = {name.upper(): SIGNERS[name].secret for name in STATUS}
    with project.serve(**environ) as server:
        for name in STATUS:
            answer = send(server, f"/{name}", SIGNERS[name].post(int(time.time())))
            if name in BARE:
                assert (answer.status, answer.body) == (STATUS[name], b"")
            else:
                assert (answer.status, answer.json) == (200, {"status": "ignored"})


def test_a_finished_run_without_a_reply_is_answered_as_its_sender_likes_it(tmp_path: Path) -> None:
    project = Project(tmp_path).script("run.sh", "echo said")
    project.hooks(
        "".join(f"/{name}: {{script: run.sh, auth: {auth_of(name)}}}\n" for name in STATUS)
    )
    environ = {name.upper(): SIGNERS[name].secret for name in STATUS}
    with project.serve(**environ) as server:
        for name in STATUS:
            answer = send(server, f"/{name}", SIGNERS[name].post(int(time.time())))
            assert answer.status == (STATUS[name] if name in BARE else 200), name


@pytest.mark.parametrize("name", SENDERS)
def test_a_hook_has_the_manners_that_the_table_tells_of(tmp_path: Path, name: str) -> None:
    project = Project(tmp_path).script("run.sh", "true")
    example = SENDERS[name].example.replace("YOUR-APP", "my-app")
    project.hooks(f"/h: {{script: run.sh, auth: {example}}}\n")
    [hook] = load(project.folder / "hooks.yaml", {}).hooks.values()
    assert {scheme.manners for scheme in hook.auth} == {SENDERS[name].manners}


# --- addresses


def test_only_listed_addresses_may_post_also_behind_a_trusted_proxy(tmp_path: Path) -> None:
    project = Project(tmp_path).script("run.sh", "true")
    project.hooks(
        "/near: {script: run.sh, auth: {ip: [127.0.0.0/8, '::1']}}\n"
        "/far: {script: run.sh, auth: {ip: [192.0.2.0/24, '2001:db8::/32']}}\n"
        "/both: {script: run.sh, auth: {bearer: {value: $T, ip: [192.0.2.7]}}}\n"
    )
    token = {"Authorization": "Bearer t0ken"}

    def post(server: Server, path: str, forwarded: str = "", **headers: str) -> int:
        more = {"X-Forwarded-For": forwarded} if forwarded else {}
        return server.post_json(path, {}, **more, **headers).status

    with project.serve(T="t0ken") as server:
        assert post(server, "/near") == 200
        assert post(server, "/far") == 401
        # Nobody is trusted to speak for others.
        assert post(server, "/far", "192.0.2.1") == 401
        assert post(server, "/near", "192.0.2.1") == 200
        server.wait_for_line("refused POST /far: ip: 127.0.0.1 is none of its addresses (401 to")

    with project.serve(T="t0ken", FORWARDED_ALLOW="127.0.0.1") as server:
        for address in ("192.0.2.1", "203.0.113.9, 192.0.2.1", "2001:DB8::5", "::ffff:192.0.2.1"):
            assert post(server, "/far", address) == 200, address
        for address in ("192.0.3.1", "192.0.2.1, 203.0.113.9", "2001:db9::1", "nonsense"):
            assert post(server, "/far", address) == 401, address
        assert post(server, "/both", "192.0.2.7", **token) == 200
        assert post(server, "/both", "192.0.2.8", **token) == 401
        assert post(server, "/both", "192.0.2.7") == 401
