"""Every sender of the table, over HTTP: its published vectors, its own library, and forgers."""

from __future__ import annotations

import hmac
import json
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
from nacl.signing import SigningKey
from twilio.request_validator import RequestValidator

from hookrunner.auth.senders import SENDERS
from hookrunner.auth.signature import Recipe
from tests.posts import (
    FORM,
    JSON,
    OTHER,
    SIGNERS,
    Post,
    Signer,
    graph,
    linear,
    mailgun,
    mailgun_form,
)
from tests.serving import REPOSITORY, Project, Response, Server, at


@cache
def now() -> int:
    """When the first test of this module ran, which may be long after it was collected."""
    return int(time.time())


SECRET = SIGNERS["slack"].secret
KEY = SECRET.encode()

# --- the vectors that the senders publish, each at its own time


@dataclass(frozen=True)
class Vector:
    """What a sender has published: a secret, a delivery, and its proof."""

    auth: str
    secret: str
    headers: Mapping[str, str]
    body: bytes
    at: int = 1_700_000_000
    query: str = ""


EVERYBODY = "It's a Secret to Everybody"
SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow"
    b"&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner"
    b"&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands"
    b"%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
SENDGRID_EVENT = {
    "email": "hello@world.com",
    "event": "dropped",
    "reason": "Bounced Address",
    "sg_event_id": "ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",
    "sg_message_id": "LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",
    "smtp-id": "<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>",
    "timestamp": 1600112492,
}
STANDARD = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

TWILIO_HASH = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"

VECTORS: Mapping[str, Vector] = {
    "github": Vector(
        "github: $SECRET",
        EVERYBODY,
        {
            "Content-Type": "text/plain",
            "X-Hub-Signature-256": "sha256="
            "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        },
        b"Hello, World!",
    ),
    "bitbucket": Vector(
        "bitbucket: $SECRET",
        EVERYBODY,
        {
            "Content-Type": "text/plain",
            "X-Hub-Signature": "sha256="
            "a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9",
        },
        b"Hello World!",
    ),
    "jira": Vector(
        "jira: $SECRET",
        EVERYBODY,
        {
            "Content-Type": "text/plain",
            "X-Hub-Signature": "sha256="
            "a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9",
        },
        b"Hello World!",
    ),
    "slack": Vector(
        "slack: $SECRET",
        "8f742231b10e8888abcd99yyyzzz85a5",
        {
            **FORM,
            "X-Slack-Request-Timestamp": "1531420618",
            "X-Slack-Signature": "v0="
            "a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        },
        SLACK_BODY,
        1531420618,
    ),
    "standard-webhooks": Vector(
        "standard-webhooks: $SECRET",
        STANDARD_SECRET,
        {**JSON, **STANDARD},
        b'{"test": 2432232314}',
        1614265330,
    ),
    "svix": Vector(
        "svix: $SECRET",
        STANDARD_SECRET,
        {**JSON, **{name.replace("webhook", "svix"): value for name, value in STANDARD.items()}},
        b'{"test": 2432232314}',
        1614265330,
    ),
    "svix with the other names": Vector(
        "svix: $SECRET",
        STANDARD_SECRET,
        {**JSON, **STANDARD},
        b'{"test": 2432232314}',
        1614265330,
    ),
    "gitlab": Vector(
        "gitlab: $SECRET",
        STANDARD_SECRET,
        {**JSON, **STANDARD},
        b'{"test": 2432232314}',
        1614265330,
    ),
    "twilio": Vector(
        'twilio: {secret: $SECRET, url: "https://mycompany.com/myapp.php"}',
        "12345",
        {**FORM, "X-Twilio-Signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="},
        b"CallSid=CA1234567890ABCDE&Digits=1234&From=%2B14158675309&To=%2B18005551212"
        b"&Caller=%2B14158675309",
        query="foo=1&bar=2",
    ),
    "twilio's JSON": Vector(
        'twilio: {secret: $SECRET, url: "https://mycompany.com/myapp.php"}',
        "12345",
        {
            **JSON,
            "X-Twilio-Signature": RequestValidator("12345").compute_signature(
                f"https://mycompany.com/myapp.php?bodySHA256={TWILIO_HASH}", {}
            ),
        },
        b'{"property": "value", "boolean": true}',
        query=f"bodySHA256={TWILIO_HASH}",
    ),
    "sendgrid": Vector(
        "sendgrid: $SECRET",
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62g"
        "w+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==",
        {
            **JSON,
            "X-Twilio-Email-Event-Webhook-Timestamp": "1600112502",
            "X-Twilio-Email-Event-Webhook-Signature": "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0"
            "u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=",
        },
        json.dumps([SENDGRID_EVENT], sort_keys=True, separators=(",", ":")).encode() + b"\r\n",
        1600112502,
    ),
}

QUIET = "#!/bin/sh\nexit 0\n"


def hook(path: str, auth: str, more: str = "respond: accepted") -> str:
    return f"{path}: {{script: run.sh, auth: {{{auth}}}, {more}}}\n"


@pytest.mark.parametrize("name", VECTORS)
def test_what_a_sender_has_published_is_believed_over_http(name: str, tmp_path: Path) -> None:
    vector = VECTORS[name]
    project = Project(tmp_path).script("run.sh", QUIET)
    project.hooks(hook("/hook", vector.auth))
    server = replace(project.serve(SECRET=vector.secret), program=at(vector.at))
    path = "/hook" + (f"?{vector.query}" if vector.query else "")
    with server:
        answer = server.request("POST", path, vector.body, vector.headers)
        other = server.request("POST", path, vector.body + b" ", vector.headers)
        said = server.wait_for_line("401 to")

    # GitHub's and Bitbucket's vectors are no JSON: believed, and then not understood.
    is_text = vector.headers["Content-Type"] == "text/plain"
    expected = 400 if is_text else SENDERS[vector.auth.partition(":")[0]].manners.accepted
    assert (answer.status, other.status) == (expected, 401), said
    assert project.journal("SELECT count(*) FROM run") == [(0 if is_text else 1,)]


@pytest.mark.parametrize("name", [name for name, vector in VECTORS.items() if vector.at < 1.7e9])
@pytest.mark.parametrize("away", [-301, 301])
def test_a_published_delivery_is_stale_five_minutes_away(
    name: str, away: int, tmp_path: Path
) -> None:
    vector = VECTORS[name]
    project = Project(tmp_path).script("run.sh", QUIET)
    project.hooks(hook("/hook", vector.auth))
    # What is in the future gets nearer while the server starts.
    begin = at(vector.at + away - (20 if away < 0 else 0))
    server = replace(project.serve(SECRET=vector.secret), program=begin)
    with server:
        answer = server.request("POST", "/hook", vector.body, vector.headers)
        server.wait_for_line("the timestamp is ")

    assert answer.status == 401
    assert project.journal("SELECT count(*) FROM run") == [(0,)]


# --- all senders at once


def hooks() -> str:
    text = "".join(hook(f"/{name}", f"{name}: {s.auth.replace('SECRET', var(name))}")
                   for name, s in SIGNERS.items())  # fmt: skip
    text += hook("/linear", "linear: $TEXT") + hook("/mailgun", "mailgun: $TEXT")
    text += hook("/microsoft-graph", "microsoft-graph: $TEXT")
    text += hook("/gitlab-token", "gitlab: $TEXT_2")
    text += hook("/key", "standard-webhooks: [$KEY, $STANDARD_WEBHOOKS]")
    text += hook("/svix-key", "svix: $KEY")
    return text


def var(name: str) -> str:
    return name.upper().replace("-", "_")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, Server]]:
    environ = {var(name): signer.secret for name, signer in SIGNERS.items()}
    key = "whpk_" + b64encode(bytes(SigningKey(SIGNERS["discord"].key).verify_key)).decode()
    environ |= {"TEXT": SECRET, "TEXT_2": "the token", "KEY": key, "VERIFY": "v3rify"}
    project = Project(tmp_path_factory.mktemp("senders")).script("run.sh", QUIET).hooks(hooks())
    with project.serve(**environ) as server:
        yield project, server


def send(server: Server, path: str, post: Post) -> Response:
    query = f"?{post.query}" if post.query else ""
    return server.request("POST", f"{path}{query}", post.body, post.all_headers)


def test_every_sender_of_the_table_is_tried_here() -> None:
    tried = {*SIGNERS, "linear", "mailgun", "microsoft-graph", "aws-sns"}
    assert {name for name, sender in SENDERS.items() if sender.kind == "sender"} == tried


@pytest.mark.parametrize("name", SIGNERS)
def test_what_a_sender_signs_is_believed_and_a_repeat_joins_it(
    served: tuple[Project, Server], name: str
) -> None:
    project, server = served
    signer = SIGNERS[name]
    post = signer.post(now() - 1)
    first, again = send(server, f"/{name}", post), send(server, f"/{name}", post)

    rows = project.journal("SELECT id, delivery_id, event FROM run WHERE hook = ?", f"/{name}")
    identity = f"answer1.{now() - 1}" if name == "google-forms" else signer.id
    assert first.status == SENDERS[name].manners.accepted
    assert rows[0] == (first.headers["Hook-Run"], identity, signer.event)
    # Neither a time nor a name for the delivery: Meta and Dropbox.
    joins = bool(signer.timed or signer.id)
    assert len(rows) == (1 if joins else 2)
    assert (again.headers["Hook-Run"] == first.headers["Hook-Run"]) is joins


@pytest.mark.parametrize("name", [name for name, signer in SIGNERS.items() if signer.timed])
def test_who_replays_a_delivery_cannot_make_it_look_like_another(
    served: tuple[Project, Server], name: str
) -> None:
    """Whatever is not signed may be changed: headers with names, the kind of content."""
    project, server = served
    signer = SIGNERS[name]
    first = send(server, f"/{name}", signer.post(now() - 2))
    before = project.journal("SELECT count(*) FROM run WHERE hook = ?", f"/{name}")
    changed = {
        "X-Request-Id": "another",
        "X-GitHub-Delivery": "another",
        "X-Gitlab-Event-UUID": "another",
        "Idempotency-Key": "another",
        "Linear-Delivery": "another",
    }
    post = signer.post(now() - 2)
    for kind in ("application/json", "text/plain", "application/vnd.x+json"):
        headers = {**post.headers, **changed, "Content-Type": kind}
        again = send(server, f"/{name}", replace(post, headers=headers))
        assert again.headers["Hook-Run"] == first.headers["Hook-Run"], kind
    form = send(server, f"/{name}", replace(post, headers={**post.headers, **FORM}))
    assert form.status == 415
    assert project.journal("SELECT count(*) FROM run WHERE hook = ?", f"/{name}") == before


def flipped(text: str) -> str:
    """Another character of the same alphabet in the middle."""
    middle = len(text) * 2 // 3
    return text[:middle] + ("0" if text[middle] != "0" else "1") + text[middle + 1 :]


BODIES: Mapping[str, Callable[[bytes], bytes]] = {
    "a byte changed": lambda b: (
        b[: len(b) // 2] + bytes([b[len(b) // 2] ^ 1]) + b[len(b) // 2 + 1 :]
    ),
    "the first byte changed": lambda b: bytes([b[0] ^ 1]) + b[1:],
    "a space after": lambda b: b + b" ",
    "a space before": lambda b: b" " + b,
    "a line end after": lambda b: b + b"\r\n",
    "a NUL after": lambda b: b + b"\0",
    "the last byte gone": lambda b: b[:-1],
    "the half of it": lambda b: b[: len(b) // 2],
    "nothing": lambda b: b"",
    "twice": lambda b: b + b,
    "another body": lambda b: b'{"admin": true}',
}

PROOFS: Mapping[str, Callable[[str], str | None]] = {
    "missing": lambda v: None,
    "empty": lambda v: "",
    "a space": lambda v: " ",
    "a character changed": flipped,
    "cut short": lambda v: v[:-8],
    "cut in front": lambda v: v[1:],
    "the half of it": lambda v: v[: len(v) // 2],
    "longer": lambda v: v + "00",
    "another prefix": lambda v: "x" + v,
    "a word": lambda v: "null",
    "zeros": lambda v: "0" * len(v),
    "not ASCII": lambda v: v[:-1] + "\xe9",
}


def forgeries(signer: Signer) -> Iterator[tuple[str, Post]]:
    """A good delivery in ever so many ways not as its sender made it."""
    good = signer.post(now())
    for what, change in BODIES.items():
        yield f"body: {what}", replace(good, body=change(good.body))
    for name, value in good.proof.items():
        for what, alter in PROOFS.items():
            rest = {other: kept for other, kept in good.proof.items() if other != name}
            altered = alter(value)
            proof = rest if altered is None else {**rest, name: altered}
            yield f"{name}: {what}", replace(good, proof=proof)
    yield "another key", signer.post(now(), key=signer.other)
    yield "no proof", replace(good, proof={})
    another = signer.post(now(), b'{"another": 1}').proof
    yield "another's proof", replace(good, proof=another)
    if signer.timed:
        for away in (-3600, -310, 400, 3600, 10**9):
            yield f"{away} s away", signer.post(now() + away)
        later = signer.post(now() + 1).proof
        for name in good.proof.keys() & later.keys():
            if good.proof[name] != later[name] and "signature" not in name.lower():
                yield (
                    f"{name}: a second later",
                    replace(good, proof={**good.proof, name: later[name]}),
                )


@pytest.mark.parametrize("name", SIGNERS)
def test_no_forgery_is_believed_and_none_makes_a_run(
    served: tuple[Project, Server], name: str
) -> None:
    project, server = served
    signer = SIGNERS[name]
    before = project.journal("SELECT count(*) FROM run WHERE hook = ?", f"/{name}")
    made = list(forgeries(signer))
    answers = {what: send(server, f"/{name}", post) for what, post in made}

    assert len(answers) >= 20
    assert {what: answer.status for what, answer in answers.items() if answer.status != 401} == {}
    assert {answer.body for answer in answers.values()} == {answers["no proof"].body}
    assert project.journal("SELECT count(*) FROM run WHERE hook = ?", f"/{name}") == before


# --- a public key of Standard Webhooks


@pytest.mark.parametrize(("path", "prefix"), [("/key", "webhook"), ("/svix-key", "svix")])
def test_standard_webhooks_may_sign_with_a_key_pair(
    served: tuple[Project, Server], path: str, prefix: str
) -> None:
    def signed(key: bytes, at: int) -> dict[str, str]:
        message = b"msg_9.%d." % at + b"{}"
        made = b64encode(SigningKey(key).sign(message).signature).decode()
        names = {"id": "msg_9", "timestamp": str(at), "signature": f"v1,AAAA v1a,{made}"}
        return {**JSON, **{f"{prefix}-{name}": value for name, value in names.items()}}

    _, server = served
    key = SIGNERS["discord"].key
    assert server.request("POST", path, b"{}", signed(key, now())).status == 202
    assert server.request("POST", path, b"{} ", signed(key, now())).status == 401
    assert server.request("POST", path, b"{}", signed(OTHER, now())).status == 401
    assert server.request("POST", path, b"{}", signed(key, now() - 400)).status == 401


def test_a_public_key_is_no_secret_to_sign_with(served: tuple[Project, Server]) -> None:
    """Whoever reads the key must not pass for its owner by an HMAC with it."""
    _, server = served
    public = bytes.fromhex(SIGNERS["discord"].secret)
    proof = SIGNERS["standard-webhooks"].post(now(), b"{}", public).proof
    assert server.request("POST", "/svix-key", b"{}", {**JSON, **proof}).status == 401


# --- GitLab's older token


def test_gitlab_may_show_its_token_in_place_of_signing(served: tuple[Project, Server]) -> None:
    project, server = served
    headers = {
        **JSON,
        "X-Gitlab-Token": "the token",
        "X-Gitlab-Event": "Push Hook",
        "Idempotency-Key": "k-1",
    }
    answer = server.request("POST", "/gitlab-token", b"{}", headers)
    again = server.request("POST", "/gitlab-token", b"{}", headers)

    assert (answer.status, again.headers["Hook-Run"]) == (202, answer.headers["Hook-Run"])
    rows = project.journal(
        "SELECT delivery_id, event, headers FROM run WHERE hook = '/gitlab-token'"
    )
    assert [row[:2] for row in rows] == [("k-1", "Push Hook")]
    assert "the token" not in rows[0][2]
    for word in ("", "the toke", "the tokenx", "THE TOKEN", "the token,the token"):
        wrong = {**headers, "X-Gitlab-Token": word}
        assert server.request("POST", "/gitlab-token", b"{}", wrong).status == 401


def test_a_signing_token_of_gitlab_s_is_never_believed_as_it_is(
    served: tuple[Project, Server],
) -> None:
    _, server = served
    headers = {**JSON, "X-Gitlab-Token": SIGNERS["gitlab"].secret}
    assert server.request("POST", "/gitlab", b"{}", headers).status == 401


# --- proof in the body


def test_linear_signs_the_time_in_its_body(served: tuple[Project, Server]) -> None:
    project, server = served
    first = send(server, "/linear", linear(now(), KEY))
    # Linear tries again with another time; its header is not signed.
    again = linear(now() + 1, KEY)
    joined = send(server, "/linear", replace(again, headers={**JSON, "Linear-Delivery": "x"}))

    assert (first.status, joined.headers["Hook-Run"]) == (200, first.headers["Hook-Run"])
    assert project.journal("SELECT delivery_id, event FROM run WHERE hook = '/linear'") == [
        ("Issue:create:i-1:2026-01-01T00:00:00.000Z", "Issue")
    ]


def test_no_forgery_of_linear_s_is_believed(served: tuple[Project, Server]) -> None:
    project, server = served
    before = project.journal("SELECT count(*) FROM run WHERE hook = '/linear'")
    good = linear(now(), KEY)
    made = [replace(good, body=change(good.body)) for change in BODIES.values()]
    signature = good.proof["Linear-Signature"]
    for alter in PROOFS.values():
        altered = alter(signature)
        made.append(replace(good, proof={"Linear-Signature": altered} if altered else {}))
    made += [linear(now(), b"another"), linear(now() - 70, KEY), linear(now() + 75, KEY)]
    made += [linear(now(), KEY, webhookTimestamp=stamp) for stamp in ("soon", None, now(), -1, 1.5)]
    statuses = [send(server, "/linear", post).status for post in made]

    assert statuses == [401] * len(made)
    assert project.journal("SELECT count(*) FROM run WHERE hook = '/linear'") == before


def test_mailgun_s_proof_is_in_its_json_or_in_a_form(served: tuple[Project, Server]) -> None:
    project, server = served
    for post, event in ((mailgun(now(), KEY), "opened"), (mailgun_form(now(), KEY), "")):
        first, again = send(server, "/mailgun", post), send(server, "/mailgun", post)
        run = first.headers["Hook-Run"]
        assert (first.status, again.headers["Hook-Run"]) == (200, run)
        assert project.journal("SELECT event FROM run WHERE id = ?", run) == [(event,)]


def test_mailgun_s_token_makes_one_run_even_with_another_event(
    served: tuple[Project, Server],
) -> None:
    """It is not signed what has happened: so a token that was seen counts once."""
    _, server = served
    first = send(server, "/mailgun", mailgun(now(), KEY, "u" * 50))
    other = mailgun(now(), KEY, "u" * 50)
    other = replace(other, body=other.body.replace(b"opened", b"failed"))
    assert send(server, "/mailgun", other).headers["Hook-Run"] == first.headers["Hook-Run"]


@pytest.mark.parametrize(
    "changed",
    [
        *({"signature": made} for made in ("", "0" * 64, "x", None, 1, [1])),
        *({"token": token} for token in ("w" * 50, "", None, 1, "v" * 49, "a b")),
        *({"timestamp": stamp} for stamp in ("", "soon", None, "1", "9" * 20)),
    ],
)
def test_no_changed_proof_of_mailgun_s_is_believed(
    served: tuple[Project, Server], changed: dict[str, object]
) -> None:
    project, server = served
    before = project.journal("SELECT count(*) FROM run")
    assert send(server, "/mailgun", mailgun(now(), KEY, "v" * 50, **changed)).status == 401
    assert project.journal("SELECT count(*) FROM run") == before


def test_no_forgery_of_mailgun_s_is_believed(served: tuple[Project, Server]) -> None:
    project, server = served
    before = project.journal("SELECT count(*) FROM run")
    posts = [
        *(mailgun(now(), KEY, "v" * 50, timestamp=str(now() + s)) for s in (-1, 1, 10, 100)),
        *(mailgun(now() + s, KEY, "v" * 50) for s in (-40_000, 40_000, 10**9)),
        mailgun(now(), b"another", "v" * 50),
        Post(b"{}", JSON, {}),
        Post(b'{"signature": []}', JSON, {}),
        Post(b'{"signature": {"signature": "x"', JSON, {}),
        Post(b"", JSON, {}),
        Post(b"\xff\xfe", FORM, {}),
        Post(b"signature=1&timestamp=2&token=3", FORM, {}),
    ]
    assert [send(server, "/mailgun", post).status for post in posts] == [401] * len(posts)
    assert project.journal("SELECT count(*) FROM run") == before


def test_every_item_of_microsoft_graph_s_says_the_client_state(
    served: tuple[Project, Server],
) -> None:
    project, server = served
    answer = send(server, "/microsoft-graph", graph(SECRET, SECRET))
    assert answer.status == 202
    run = answer.headers["Hook-Run"]
    assert project.journal("SELECT event FROM run WHERE id = ?", run) == [("created",)]


@pytest.mark.parametrize(
    "post",
    [
        graph(),
        *(graph(state) for state in ("", "x", SECRET[:-1], SECRET + " ", SECRET.upper(), None)),
        *(graph(state) for state in (1, True, [SECRET], {"a": SECRET}, "é")),
        graph(SECRET, "x"),
        graph("x", SECRET),
        graph(SECRET, SECRET, None),
        Post(b'{"value": {}}', JSON, {}),
        Post(b'{"value": [1]}', JSON, {}),
        Post(b'{"value": [null]}', JSON, {}),
        Post(json.dumps({"clientState": SECRET}).encode(), JSON, {}),
        Post(json.dumps([{"clientState": SECRET}]).encode(), JSON, {}),
        Post(b"value=" + KEY, FORM, {}),
        Post(b"", JSON, {}),
        Post(b"not JSON", JSON, {}),
    ],
)
def test_no_forgery_of_microsoft_graph_s_is_believed(
    served: tuple[Project, Server], post: Post
) -> None:
    _, server = served
    assert send(server, "/microsoft-graph", post).status == 401


# --- what else they may send


def hexed(message: bytes) -> str:
    return hmac.new(KEY, message, "sha256").hexdigest()


OTHERS: Mapping[str, tuple[str, Mapping[str, object], Mapping[str, str], str, str]] = {
    "slack's slash command": ("slack", {"trigger_id": "T1", "command": "/go"}, {}, "T1", "/go"),
    "paddle without a notification": (
        "paddle", {"event_id": "evt_9", "event_type": "x"}, {}, "evt_9", "x",
    ),
    "discord's event": (
        "discord", {"type": 1, "event": {"type": "ENTITLEMENT_CREATE"}}, {}, "",
        "ENTITLEMENT_CREATE",
    ),
    "bitbucket's data center": (
        "bitbucket", {"a": 1}, {"X-Event-Key": "pr:opened", "X-Request-Id": "r-9"}, "r-9",
        "pr:opened",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", OTHERS)
def test_a_sender_s_other_deliveries_have_their_names_too(
    served: tuple[Project, Server], what: str
) -> None:
    project, server = served
    name, value, headers, identity, event = OTHERS[what]
    post = SIGNERS[name].post(now(), json.dumps(value).encode())
    answer = send(server, f"/{name}", replace(post, headers={**JSON, **headers}))
    run = answer.headers["Hook-Run"]
    kept = project.journal("SELECT delivery_id, event FROM run WHERE id = ?", run)
    assert kept == [(identity, event)]


def test_shopify_s_newer_headers_have_no_x(served: tuple[Project, Server]) -> None:
    project, server = served
    old = SIGNERS["shopify"].post(now(), b'{"new": 1}')
    headers = {**JSON, "shopify-topic": "orders/paid", "shopify-webhook-id": "n-1"}
    proof = {"shopify-hmac-sha256": old.proof["X-Shopify-Hmac-Sha256"]}
    answer = server.request("POST", "/shopify", old.body, {**headers, **proof})
    run = answer.headers["Hook-Run"]
    kept = project.journal("SELECT delivery_id, event FROM run WHERE id = ?", run)
    assert kept == [("n-1", "orders/paid")]


def test_svix_s_key_pair_may_sign_under_either_name(served: tuple[Project, Server]) -> None:
    _, server = served
    message = b"msg_10.%d.{}" % now()
    made = b64encode(SigningKey(SIGNERS["discord"].key).sign(message).signature).decode()
    names = {"id": "msg_10", "timestamp": str(now()), "signature": f"v1a,AAAA v1a,{made}"}
    headers = {**JSON, **{f"webhook-{name}": value for name, value in names.items()}}
    assert server.request("POST", "/svix-key", b"{}", headers).status == 202


def test_of_two_sets_of_headers_the_first_counts_alone(served: tuple[Project, Server]) -> None:
    """So that whoever forges both costs one HMAC; Svix's own library looks at one, too."""
    _, server = served
    good = SIGNERS["svix"].post(now(), b'{"both": 1}')
    bad = SIGNERS["svix"].post(now(), b'{"both": 1}', b"another key, of 32 bytes or so..")

    def other(proof: Mapping[str, str]) -> dict[str, str]:
        return {name.replace("svix", "webhook"): value for name, value in proof.items()}

    both = replace(good, proof={**good.proof, **other(bad.proof)})
    assert send(server, "/svix", both).status == 202
    forged = replace(good, proof={**bad.proof, **other(good.proof)})
    assert send(server, "/svix", forged).status == 401
    server.wait_for_line("svix: the header Svix-Signature is there, and counts alone")


PROVING = {
    "gitea": {"X-Gogs-Signature", "X-Hub-Signature", "X-Hub-Signature-256", "X-Gitea-Signature"},
    "gitlab": {"X-Gitlab-Token", "webhook-signature"},
    "github": {"X-Hub-Signature", "X-Hub-Signature-256"},
    "twilio": {"X-Twilio-Signature"},
}


@pytest.mark.parametrize("name", PROVING)
def test_nothing_that_proves_is_kept(served: tuple[Project, Server], name: str) -> None:
    project, server = served
    body = b"Body=kept" if name == "twilio" else b'{"kept": 1}'
    post = SIGNERS[name].post(now(), body)
    proving = dict.fromkeys(PROVING[name], "sha1=proof")
    headers = {**post.headers, **proving, **post.proof, "X-GitHub-Delivery": "kept"}
    answer = send(server, f"/{name}", replace(post, headers=headers, proof={}))
    run = answer.headers["Hook-Run"]
    [(kept,)] = project.journal("SELECT headers FROM run WHERE id = ?", run)
    assert {header.lower() for header in PROVING[name]} & set(json.loads(kept)) == set()


# --- settings that change what is believed


def test_a_tolerance_is_as_long_as_the_hook_says(tmp_path: Path) -> None:
    project = Project(tmp_path).script("run.sh", QUIET)
    project.hooks(
        hook("/short", "slack: {secret: $S, tolerance: 30s}")
        + hook("/long", "slack: {secret: $S, tolerance: 1h}")
        + hook("/own", "hmac: {header: X-Sig, secret: $S, message: '{timestamp}{body}', "
               "timestamp: X-At}")
        + hook("/ms", "hmac: {header: X-Sig, secret: $S, message: '{timestamp}{body}', "
               "timestamp: X-At, unit: ms}")
    )  # fmt: skip
    at_once = int(time.time())

    def own(stamp: int) -> dict[str, str]:
        return {**JSON, "X-At": str(stamp), "X-Sig": hexed(b"%d{}" % stamp)}

    with project.serve(S=SECRET) as server:
        for path, away, status in (("/short", 60, 401), ("/short", 1, 200), ("/long", 3000, 200),
                                   ("/long", 4000, 401)):  # fmt: skip
            answer = send(server, path, SIGNERS["slack"].post(at_once - away))
            assert answer.status == status, (path, away)
        assert server.request("POST", "/own", b"{}", own(at_once - 250)).status == 202
        assert server.request("POST", "/own", b"{}", own(at_once - 400)).status == 401
        assert server.request("POST", "/ms", b"{}", own(at_once * 1000)).status == 202
        assert server.request("POST", "/ms", b"{}", own(at_once)).status == 401
        assert server.request("POST", "/own", b"{}", own(at_once * 1000)).status == 401
        server.wait_for_line("the timestamp is far in the future; does it count milliseconds?")


def test_a_replay_is_known_for_as_long_as_it_would_be_believed(
    served: tuple[Project, Server],
) -> None:
    project, server = served
    answer = send(server, "/zoom", SIGNERS["zoom"].post(now(), b'{"event": "sealed"}'))
    run = answer.headers["Hook-Run"]
    [(left,)] = project.journal(
        "SELECT until - recorded_at FROM seal JOIN run ON run.id = seal.run WHERE id = ?", run
    )
    # From five minutes in the future to five in the past.
    assert 599 < left < 601


def test_several_timestamps_are_none(served: tuple[Project, Server]) -> None:
    _, server = served
    good = SIGNERS["stripe"].post(now())
    header = good.proof["Stripe-Signature"]
    for forged in (f"t=1,{header}", f"{header},t={now()}"):
        post = replace(good, proof={"Stripe-Signature": forged})
        assert send(server, "/stripe", post).status == 401
    server.wait_for_line("stripe: Stripe-Signature has no t=, or several")


# --- the table itself


@pytest.mark.parametrize("name", SENDERS)
def test_the_example_of_every_sender_can_be_used_as_it_stands(name: str, tmp_path: Path) -> None:
    project = Project(tmp_path).script("run.sh", QUIET)
    example = SENDERS[name].example
    project.hooks(f"/hook: {{script: run.sh, auth: {example.replace('YOUR-APP', 'my-app')}}}\n")
    signer = SIGNERS.get(name)
    secret = signer.secret if signer else "a secret"
    names = [part.rstrip("}],: ") for part in example.split("$")[1:]]
    done = project.command("check", **{n.partition(",")[0]: secret for n in names})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1].split()[2] == name


@pytest.mark.parametrize("name", SENDERS)
def test_no_id_that_anybody_could_change_stands_for_a_delivery_whose_time_is_signed(
    name: str,
) -> None:
    for way in SENDERS[name].ways:
        if isinstance(way, Recipe) and way.timestamp:
            assert way.names.id == way.id


MADE_UP = """
import sys
sys.path.insert(0, {root!r})
from hookrunner import cli
from hookrunner.auth.senders import SENDERS, Sender
from hookrunner.auth.signature import Recipe

SENDERS["acme"] = Sender(
    title="Acme",
    example="{{acme: $ACME_SECRET}}",
    steps="Anvils, Hooks. Address: `<URL>`.",
    ways=(Recipe(
        signature="x-acme", prefix="a=", separator=",", algorithm="sha512", encoding="base64url",
        message="{{timestamp}}|{{body}}", timestamp="item:at=", unit=1000, id=("payload:/no",),
    ),),
)
sys.exit(cli.main(sys.argv[1:]))
"""


def test_a_made_up_sender_needs_one_entry_in_the_table(tmp_path: Path) -> None:
    project = Project(tmp_path).script("run.sh", QUIET)
    project.hooks(hook("/acme", "acme: $ACME_SECRET"))
    (project.folder / "acme.py").write_text(MADE_UP.format(root=str(REPOSITORY)))

    def signed(body: bytes) -> dict[str, str]:
        stamp = f"{now()}123"
        made = hmac.new(b"anvil", stamp.encode() + b"|" + body, "sha512").digest()
        value = urlsafe_b64encode(made).decode().rstrip("=")
        return {**JSON, "X-Acme": f"at={stamp}, a={value}"}

    program = (str(project.folder / "acme.py"),)
    with replace(project.serve(ACME_SECRET="anvil"), program=program) as server:
        body = b'{"no": 17}'
        good = server.request("POST", "/acme", body, signed(body))
        bad = server.request("POST", "/acme", body, signed(b'{"no": 18}'))
    assert (good.status, bad.status) == (202, 401)
    assert project.journal("SELECT delivery_id FROM run") == [("17",)]
