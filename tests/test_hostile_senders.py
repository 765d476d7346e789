"""Senders who mean harm: what they have tried, and what came of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hookrunner.auth.contents import LARGEST_PROOF
from tests.amazon import HOST, TOPIC, Amazon
from tests.posts import FORM, JSON, SIGNERS, Post, graph, mailgun
from tests.serving import Project, Response, Server
from tests.test_sns import asked

SECRET = SIGNERS["slack"].secret
KEY = SECRET.encode()

HOOKS = f"""
defaults: {{script: cat.sh, respond: output}}
/sns: {{auth: {{aws-sns: {{topics: ["{TOPIC}"]}}}}}}
/mailgun: {{auth: {{mailgun: $SECRET}}}}
/graph: {{auth: {{microsoft-graph: $SECRET}}}}
/forms: {{auth: {{google-forms: $SECRET}}}}
/slack: {{auth: {{slack: $SECRET}}}}
/slack-by-header: {{auth: {{slack: $SECRET}}, dedupe: {{header: X-Req}}}}
/slack-by-place: {{auth: {{slack: $SECRET}}, dedupe: {{payload: /order}}}}
/slack-none: {{auth: {{slack: $SECRET}}, dedupe: none}}
/slack-short: {{auth: {{slack: $SECRET}}, dedupe: {{for: 1s}}, keep: 1s}}
/slack-fails: {{script: fail.sh, auth: {{slack: $SECRET}}, respond: status}}
/meta-far: {{auth: {{meta: {{secret: $SECRET, verify_token: $SECRET, ip: [192.0.2.0/24]}}}}}}
/graph-far: {{auth: {{microsoft-graph: {{secret: $SECRET, ip: [192.0.2.0/24]}}}}}}
"""
HOOKS = HOOKS.replace("defaults: {script: cat.sh, ", "defaults: {").replace(
    ": {auth", ": {script: cat.sh, auth"
)


@pytest.fixture(scope="module")
def served(
    amazon: Amazon, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Project, Server]]:
    project = Project(tmp_path_factory.mktemp("hostile")).hooks(HOOKS)
    project.script("cat.sh", "#!/bin/sh\nexec cat\n").script("fail.sh", "#!/bin/sh\nexit 3\n")
    with project.serve(SECRET=SECRET, **amazon.environ) as server:
        yield project, server


def runs(project: Project, path: str) -> int:
    [(count,)] = project.journal("SELECT count(*) FROM run WHERE hook = ?", path)
    return int(count)


def send(server: Server, path: str, post: Post, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return server.request("POST", path, post.body, {**post.all_headers, **named})


# --- one body, two readings


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data; boundary=B",
        "application/x-www-form-urlencoded",
        "application/octet-stream",
        "text/html",
        "",
    ],
)
def test_what_is_judged_is_what_the_script_gets(
    amazon: Amazon, served: tuple[Project, Server], kind: str
) -> None:
    """A proof in the body must not be found in one reading, for a script that gets another."""
    project, server = served
    message = amazon.message(amazon.certificate("good"), MessageId=f"read as {kind}")
    mail = mailgun(int(time.time()), KEY, "m" * 50)
    for path, body in (("/sns", message), ("/mailgun", mail.body), ("/graph", graph(SECRET).body)):
        answer = server.request("POST", path, body, {"Content-Type": kind})
        assert answer.status == 401, path
        assert runs(project, path) == 0


def test_a_message_of_sns_s_is_no_form(amazon: Amazon, served: tuple[Project, Server]) -> None:
    from urllib.parse import urlencode

    project, server = served
    message = json.loads(amazon.message(amazon.certificate("good"), MessageId="form"))
    form = urlencode(message).encode()
    evil = (
        b'--B\r\nContent-Disposition: form-data; name="Message"\r\n\r\nEVIL\r\n'
        b'--B\r\nContent-Disposition: form-data; name="z"\r\n\r\n&' + form + b"&z=\r\n--B--\r\n"
    )
    multipart = {"Content-Type": "multipart/form-data; boundary=B"}
    assert server.request("POST", "/sns", evil, multipart).status == 401
    quoted = {"Content-Type": "text/plain"}
    assert server.request("POST", "/sns", b'"&' + form + b'&z="', quoted).status == 401
    assert runs(project, "/sns") == 0


# --- one signature, two messages


def test_the_lines_that_sns_signs_cannot_be_cut_otherwise(
    amazon: Amazon, served: tuple[Project, Server]
) -> None:
    project, server = served
    before = runs(project, "/sns")
    url = amazon.certificate("good")
    message = json.loads(amazon.message(url, MessageId="cut", Subject="a subject"))
    cut = {**message, "MessageId": "cut\nSubject\na subject"}
    del cut["Subject"]
    answer = server.request("POST", "/sns", json.dumps(cut), {"Content-Type": "text/plain"})
    assert answer.status == 401
    server.wait_for_line("aws-sns: its MessageId has several lines")
    assert runs(project, "/sns") == before


def test_an_id_and_a_timestamp_cannot_take_from_one_another(
    served: tuple[Project, Server],
) -> None:
    """`answer1.T` and `T` and a body, or `answer1` and `T` and `T.` and the body."""
    _, server = served
    now = int(time.time())
    body = b'{"response": "x&admin=1&y"}'
    good = SIGNERS["google-forms"].post(now, body)
    assert send(server, "/forms", good).status == 200
    proof = {**good.proof, "webhook-id": "answer1"}
    cut = replace(good, body=b"%d." % now + body, proof=proof, headers=FORM)
    assert send(server, "/forms", cut).status == 401
    server.wait_for_line("the body begins as a timestamp does, which could be cut otherwise")


# --- replays


@pytest.mark.parametrize(
    "path", ["/slack", "/slack-by-header", "/slack-by-place", "/slack-none", "/slack-short"]
)
def test_a_replay_joins_its_first_run_whatever_the_hook_says_of_repeats(
    served: tuple[Project, Server], path: str
) -> None:
    project, server = served
    post = SIGNERS["slack"].post(int(time.time()))
    first = send(server, path, post, X_Req="1")
    for changed in ({"X_Req": "2"}, {}, {"Content_Type": "text/plain"}):
        again = send(server, path, post, **changed)
        assert again.headers["Hook-Run"] == first.headers["Hook-Run"]
    assert runs(project, path) == 1


def test_a_replay_cannot_have_a_failed_script_run_again(served: tuple[Project, Server]) -> None:
    project, server = served
    post = SIGNERS["slack"].post(int(time.time()))
    answers = [send(server, "/slack-fails", post) for _ in range(3)]
    assert len({answer.headers["Hook-Run"] for answer in answers}) == 1
    assert {answer.status for answer in answers} == {500}
    assert runs(project, "/slack-fails") == 1
    # What the sender itself sends again, it signs again.
    later = SIGNERS["slack"].post(int(time.time()) + 1)
    assert send(server, "/slack-fails", later).headers["Hook-Run"] != answers[0].headers["Hook-Run"]


# --- what costs us


def deep(size: int) -> bytes:
    one = b"[" * 60 + b"0" + b"]" * 60
    return b"[" + b",".join([one] * (size // (len(one) + 1))) + b"]"


@pytest.mark.parametrize("path", ["/mailgun", "/graph", "/sns"])
def test_a_body_is_not_searched_for_a_proof_however_large_it_is(
    served: tuple[Project, Server], path: str
) -> None:
    _, server = served
    answer = server.request("POST", path, deep(LARGEST_PROOF + 10_000), JSON)
    assert answer.status == 401
    server.wait_for_line("the body is larger than 512KB, and its proof is in it (401", 5.0)


@pytest.mark.parametrize("kind", [[], {}, 1, True, None, ""])
def test_a_type_that_is_no_text_is_no_bug_of_ours(
    served: tuple[Project, Server], kind: object
) -> None:
    _, server = served
    assert server.post_json("/sns", {"Type": kind}).status == 401
    assert not any("bug:" in line for line in server.lines)


def test_a_subscription_that_is_gone_is_refused(
    amazon: Amazon, served: tuple[Project, Server]
) -> None:
    _, server = served
    body = amazon.message(
        amazon.certificate("good"),
        Type="SubscriptionConfirmation",
        Subject=None,
        Token="spent",
        SubscribeURL=f"https://{HOST}/spent",
    )
    answer = server.request("POST", "/sns", body, {"Content-Type": "text/plain"})
    assert answer.status == 403
    server.wait_for_line("SubscribeURL: the answer was 404 (403 to")


def test_names_of_certificates_that_strangers_invent_are_not_all_asked_for(
    amazon: Amazon, tmp_path: Path
) -> None:
    project = Project(tmp_path).hooks(HOOKS.splitlines()[2] + "\n").script("cat.sh", "cat\n")
    with project.serve(**amazon.environ) as server:

        def post(url: str, name: str) -> int:
            body = amazon.message(url, MessageId=name)
            return server.request("POST", "/sns", body, {"Content-Type": "text/plain"}).status

        known = amazon.certificate("known")
        assert post(known, "before") in (200, 202)
        before = len(amazon.asked)
        urls = [f"https://{HOST}/SimpleNotificationService-made{n}.pem" for n in range(40)]
        statuses = [post(url, "invented") for url in urls]
        assert statuses == [401] * 20 + [503] * 20
        assert len(amazon.asked) - before == 20
        assert post(known, "after") in (200, 202)
    assert asked(amazon, known) == 1


# --- where it comes from


def test_a_handshake_is_for_those_only_who_may_post(served: tuple[Project, Server]) -> None:
    _, server = served
    meta = f"/meta-far?hub.mode=subscribe&hub.challenge=1&hub.verify_token={SECRET}"
    assert server.get(meta.replace(" ", "%20")).status == 405
    answer = server.request("POST", "/graph-far?validationToken=x", b"", JSON)
    assert (answer.status, answer.body == b"x") == (401, False)
