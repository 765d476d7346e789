"""Senders that ask whether we are there: the runner answers, and no script runs."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterator

import pytest

from tests.posts import FORM, JSON, SIGNERS, ed25519_secret
from tests.serving import Project, Response, Server

SECRET = SIGNERS["slack"].secret

AUTH = {
    "slack": "$SECRET",
    "zoom": "$SECRET",
    "meta": "{secret: $SECRET, verify_token: [$VERIFY, $OLD]}",
    "dropbox": "$SECRET",
    "microsoft-graph": "$SECRET",
    "woocommerce": "$SECRET",
    "github": "$SECRET",
    "discord": "$DISCORD",
}
HOOKS = "defaults: {respond: accepted}\n" + "".join(
    f"/{name}: {{script: run.sh, auth: {{{name}: {auth}}}, schema: {{required: [never]}}}}\n"
    for name, auth in AUTH.items()
)
HOOKS += "/pinged: {script: run.sh, auth: {github: {secret: $SECRET, ping: true}}}\n"
HOOKS += "/rotating: {script: run.sh, auth: {zoom: [$VERIFY, $SECRET]}}\n"
HOOKS += (
    "/two-apps: {script: run.sh, auth: [{meta: {secret: $OLD, verify_token: $OLD}}, "
    "{meta: {secret: $SECRET, verify_token: $VERIFY}}]}\n"
)
HOOKS += "/off: {script: run.sh, auth: {dropbox: $UNSET}}\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, Server]]:
    project = Project(tmp_path_factory.mktemp("handshakes")).script("run.sh", "#!/bin/sh\n")
    project.hooks(HOOKS)
    environ = {"SECRET": SECRET, "VERIFY": "v3r&fy", "OLD": "0ld"}
    with project.serve(DISCORD=ed25519_secret(SIGNERS["discord"].key), **environ) as server:
        yield project, server


def signed(server: Server, name: str, body: object, path: str = "") -> Response:
    raw = json.dumps(body).encode()
    post = SIGNERS[name].post(int(time.time()), raw)
    return server.request("POST", path or f"/{name}", raw, {**JSON, **post.proof})


def test_slack_s_url_verification_is_answered_with_its_challenge(
    served: tuple[Project, Server],
) -> None:
    project, server = served
    body = {"token": "t", "challenge": "3eZbrw1aB", "type": "url_verification"}
    answer = signed(server, "slack", body)

    assert (answer.status, answer.text) == (200, "3eZbrw1aB")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    server.wait_for_line("/slack answered a handshake from 127.0.0.1: URL verification")
    assert project.journal("SELECT count(*) FROM run WHERE hook = '/slack'") == [(0,)]


def test_a_challenge_that_is_not_signed_is_not_answered(served: tuple[Project, Server]) -> None:
    _, server = served
    body = {"challenge": "3eZbrw1aB", "type": "url_verification"}
    assert server.post_json("/slack", body).status == 401
    asked = {"event": "endpoint.url_validation", "payload": {"plainToken": "q"}}
    assert server.post_json("/zoom", asked).status == 401
    assert server.post_json("/discord", {"type": 1}).status == 401


def test_zoom_s_url_validation_is_answered_with_its_token_signed(
    served: tuple[Project, Server],
) -> None:
    _, server = served
    body = {"event": "endpoint.url_validation", "payload": {"plainToken": "qgg8vlvZRS6UYooatFL8A"}}
    answer = signed(server, "zoom", body)

    digest = hmac.new(SECRET.encode(), b"qgg8vlvZRS6UYooatFL8A", hashlib.sha256).hexdigest()
    assert answer.status == 200
    assert answer.json == {"plainToken": "qgg8vlvZRS6UYooatFL8A", "encryptedToken": digest}
    assert answer.headers["Content-Type"] == "application/json"
    server.wait_for_line("/zoom answered a handshake from 127.0.0.1: URL validation")


def test_zoom_s_token_is_signed_with_the_key_that_it_uses_itself(
    served: tuple[Project, Server],
) -> None:
    _, server = served
    body = {"event": "endpoint.url_validation", "payload": {"plainToken": "q"}}
    answer = signed(server, "zoom", body, "/rotating")
    digest = hmac.new(SECRET.encode(), b"q", hashlib.sha256).hexdigest()
    assert answer.json["encryptedToken"] == digest


def test_the_second_of_two_apps_of_meta_s_is_answered_too(served: tuple[Project, Server]) -> None:
    _, server = served
    asked = "/two-apps?hub.mode=subscribe&hub.challenge=7&hub.verify_token"
    assert server.get(f"{asked}=v3r%26fy").text == "7"
    assert server.get(f"{asked}=0ld").text == "7"
    assert server.get(f"{asked}=x").status == 403


def test_discord_s_pings_are_answered_each_in_its_own_way(served: tuple[Project, Server]) -> None:
    _, server = served
    ping = signed(server, "discord", {"type": 1, "id": "1", "version": 1})
    events = signed(server, "discord", {"version": 1, "type": 0})

    assert (ping.status, ping.json) == (200, {"type": 1})
    assert ping.headers["Content-Type"] == "application/json"
    assert (events.status, events.body) == (204, b"")
    server.wait_for_line("/discord answered a handshake from 127.0.0.1: PING of its events")
    server.wait_for(lambda line: line.endswith("handshake from 127.0.0.1: PING"), "the other")


@pytest.mark.parametrize("body", [{"type": 1, "event": {"type": "X"}}, {"type": 2}, {"type": True}])
def test_what_is_no_ping_of_discord_s_goes_on_to_the_schema(
    served: tuple[Project, Server], body: object
) -> None:
    _, server = served
    assert signed(server, "discord", body).status == 422


@pytest.mark.parametrize("token", ["v3r%26fy", "0ld"])
def test_meta_s_challenge_is_answered_if_its_verify_token_is_right(
    served: tuple[Project, Server], token: str
) -> None:
    _, server = served
    asked = f"/meta?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={token}"
    answer = server.get(asked)

    assert (answer.status, answer.text) == (200, "1158201444")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    server.wait_for_line("/meta answered a handshake from 127.0.0.1: subscription")


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("hub.mode=subscribe&hub.challenge=1", "hub.verify_token is not the right one"),
        ("hub.mode=subscribe&hub.challenge=1&hub.verify_token=x", "is not the right one"),
        ("hub.mode=subscribe&hub.challenge=1&hub.verify_token=", "is not the right one"),
        ("hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=0ld", "hub.mode is not subscribe"),
    ],
)
def test_meta_s_challenge_is_not_answered_otherwise(
    served: tuple[Project, Server], query: str, why: str
) -> None:
    _, server = served
    answer = server.get(f"/meta?{query}")
    assert answer.status == 403
    assert "1" not in answer.json["detail"]
    server.wait_for_line(why)


def test_dropbox_s_challenge_is_echoed_as_text_that_no_browser_takes_for_a_page(
    served: tuple[Project, Server],
) -> None:
    _, server = served
    answer = server.get("/dropbox?challenge=%3Cscript%3Ealert(1)%3C/script%3E")

    assert (answer.status, answer.text) == (200, "<script>alert(1)</script>")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    server.wait_for_line("/dropbox answered a handshake from 127.0.0.1: challenge")


def test_microsoft_graph_s_validation_token_is_echoed_decoded(
    served: tuple[Project, Server],
) -> None:
    _, server = served
    answer = server.request(
        "POST",
        "/microsoft-graph?validationToken=Validation%3A+Testing+%26+more",
        b"",
        {"Content-Type": "text/plain; charset=utf-8"},
    )
    assert (answer.status, answer.text) == (200, "Validation: Testing & more")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    server.wait_for_line("/microsoft-graph answered a handshake from 127.0.0.1: validation")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/dropbox", 405),
        ("GET", "/dropbox?challenge=", 405),
        ("GET", "/dropbox?challenge=" + "x" * 4097, 405),
        ("GET", "/dropbox?Challenge=x", 405),
        ("PUT", "/dropbox?challenge=x", 405),
        ("POST", "/dropbox?challenge=x", 401),
        ("GET", "/meta", 405),
        ("GET", "/meta?challenge=x", 405),
        ("GET", "/microsoft-graph?validationToken=x", 405),
        ("POST", "/microsoft-graph?validationtoken=x", 401),
        ("GET", "/slack?challenge=x", 405),
        ("GET", "/github?challenge=x&hub.mode=subscribe&hub.verify_token=x", 405),
        ("GET", "/off?challenge=x", 405),
    ],
)
def test_what_is_no_handshake_of_the_hook_s_own_sender_is_a_delivery_like_any_other(
    served: tuple[Project, Server], method: str, path: str, status: int
) -> None:
    _, server = served
    answer = server.request(method, path, b"{}" if method != "GET" else None, JSON)
    assert answer.status == status
    assert b"x" * 10 not in answer.body


def test_a_ping_of_github_s_makes_no_run_unless_the_hook_asks_for_it(
    served: tuple[Project, Server],
) -> None:
    project, server = served
    body = json.dumps({"zen": "Keep it logically awesome.", "hook_id": 1}).encode()
    proof = SIGNERS["github"].post(0, body).proof
    headers = {**JSON, **proof, "X-GitHub-Event": "ping", "X-GitHub-Delivery": "p"}
    answer = server.request("POST", "/github", body, headers)
    unsigned = server.request("POST", "/github", body, {**JSON, "X-GitHub-Event": "ping"})
    asked = server.request("POST", "/pinged", body, headers)

    assert (answer.status, answer.json) == (200, {"status": "pong"})
    assert (unsigned.status, asked.status) == (401, 202)
    assert project.journal("SELECT hook, event FROM run WHERE hook IN ('/github', '/pinged')") == [
        ("/pinged", "ping")
    ]
    server.wait_for_line("/github answered a handshake from 127.0.0.1: ping")


def test_woocommerce_s_unsigned_ping_is_answered_200(served: tuple[Project, Server]) -> None:
    project, server = served
    answer = server.request("POST", "/woocommerce", b"webhook_id=17", FORM)
    assert (answer.status, answer.body) == (200, b"")
    server.wait_for_line("127.0.0.1: ping of a webhook that was saved")
    for body in (b"webhook_id=", b"webhook_id=1&a=2", b"webhook_id=x", b"webhook_id=1\n", b"{}"):
        assert server.request("POST", "/woocommerce", body, FORM).status == 401
    forged = {**FORM, "X-WC-Webhook-Signature": "AAAA"}
    assert server.request("POST", "/woocommerce", b"webhook_id=17", forged).status == 401
    assert project.journal("SELECT count(*) FROM run WHERE hook = '/woocommerce'") == [(0,)]
