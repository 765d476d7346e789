"""Amazon SNS: what it signs is believed, and nobody else makes us fetch anything."""

from __future__ import annotations

import datetime
import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.amazon import HOST, TOPIC, Amazon, Identity, http, timestamp
from tests.serving import REPOSITORY, SECONDS, Project, Response, Server

TEXT = {"Content-Type": "text/plain; charset=UTF-8", "x-amz-sns-message-type": "Notification"}

HOOKS = f"""
/sns: {{script: cat.sh, auth: {{aws-sns: {{topics: ["{TOPIC}", $MORE]}}}}, respond: output}}
/open: {{script: cat.sh, auth: none, respond: output}}
/either:
  script: cat.sh
  auth: [{{aws-sns: {{topics: ["{TOPIC}"]}}}}, {{bearer: $TOKEN}}]
  respond: output
"""


@pytest.fixture(scope="module")
def served(
    amazon: Amazon, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Project, Server]]:
    project = Project(tmp_path_factory.mktemp("sns")).script("cat.sh", "#!/bin/sh\nexec cat\n")
    project.hooks(HOOKS)
    more = "arn:aws:sns:eu-central-1:123456789012:more"
    with project.serve(MORE=more, TOKEN="t0ken", **amazon.environ) as server:
        yield project, server


def send(server: Server, body: bytes, path: str = "/sns") -> Response:
    return server.request("POST", path, body, TEXT)


def asked(amazon: Amazon, url: str) -> int:
    """How often an address has been asked for."""
    return amazon.asked.count(url.removeprefix("https://"))


def runs(project: Project) -> int:
    [(count,)] = project.journal("SELECT count(*) FROM run")
    return int(count)


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("subject", ["My First Message", None])
def test_a_signed_notification_runs_the_script_once_and_its_certificate_is_kept(
    amazon: Amazon, served: tuple[Project, Server], version: str, subject: str | None
) -> None:
    project, server = served
    url = amazon.certificate(f"good{version}{bool(subject)}")
    identity = f"id-{version}-{subject is None}"
    body = amazon.message(url, MessageId=identity, SignatureVersion=version, Subject=subject)
    first, again = send(server, body), send(server, body)

    assert (first.status, first.body) == (200, body)
    assert again.headers["Hook-Run"] == first.headers["Hook-Run"]
    run = project.journal(
        "SELECT delivery_id, event FROM run WHERE id = ?", first.headers["Hook-Run"]
    )
    assert run == [(identity, subject or "")]
    assert asked(amazon, url) == 1


def test_a_topic_may_stand_in_a_config_var(amazon: Amazon, served: tuple[Project, Server]) -> None:
    _, server = served
    more = "arn:aws:sns:eu-central-1:123456789012:more"
    body = amazon.message(amazon.certificate("more"), TopicArn=more, MessageId="more")
    assert send(server, body).status == 200


def confirmation(amazon: Amazon, subscribe: str, **more: object) -> bytes:
    fields: dict[str, object] = {
        "Type": "SubscriptionConfirmation",
        "Subject": None,
        "Token": "2336412f37",
        "SubscribeURL": subscribe,
        "Message": "You have chosen to subscribe",
        **more,
    }
    return amazon.message(amazon.certificate("good"), **fields)


def test_a_subscription_is_confirmed_by_the_runner(
    amazon: Amazon, served: tuple[Project, Server]
) -> None:
    project, server = served
    before = runs(project)
    path = f"/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37"
    amazon.answers[path] = http(200, b"<ConfirmSubscriptionResponse/>")
    answer = send(server, confirmation(amazon, f"https://{HOST}{path}"))

    assert (answer.status, answer.body) == (200, b"")
    assert asked(amazon, HOST + path) == 1
    assert runs(project) == before
    server.wait_for_line(f"/sns answered a handshake from 127.0.0.1: subscription to {TOPIC}")


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example.com/?Action=ConfirmSubscription",
        f"http://{HOST}/x",
        f"https://{HOST}:8443/x",
        f"https://{HOST}@evil.example.com/x",
        f"https://me@{HOST}/x",
        f"https://{HOST}.evil.example.com/x",
        "https://sns.us-east-1.amazonaws.com/x",
        "https://s3.eu-central-1.amazonaws.com/x",
        f"https://{HOST}/x\r\nHost: evil",
        f"HTTPS://{HOST.upper()}/x",
        "file:///etc/passwd",
        "",
    ],
)
def test_even_a_signed_message_leads_nowhere_but_to_its_topic_s_region(
    amazon: Amazon, served: tuple[Project, Server], url: str
) -> None:
    _, server = served
    send(server, amazon.message(amazon.certificate("good"), MessageId="fetched"))
    before = list(amazon.asked)
    assert send(server, confirmation(amazon, url)).status in (401, 403)
    assert amazon.asked == before


def test_a_subscription_that_cannot_be_confirmed_now_is_to_be_tried_again(
    amazon: Amazon, served: tuple[Project, Server]
) -> None:
    _, server = served
    amazon.answers["/later"] = http(500, b"")
    answer = send(server, confirmation(amazon, f"https://{HOST}/later"))
    assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
    server.wait_for_line("SNS could not be asked: the answer was 500 (503 to")


def test_the_end_of_a_subscription_makes_no_run(
    amazon: Amazon, served: tuple[Project, Server]
) -> None:
    project, server = served
    before = runs(project)
    body = confirmation(amazon, f"https://{HOST}/again", Type="UnsubscribeConfirmation")
    assert send(server, body).status == 200
    assert asked(amazon, f"https://{HOST}/again") == 0
    assert runs(project) == before
    server.wait_for_line(f"127.0.0.1: end of the subscription to {TOPIC}")


CHANGED: dict[str, dict[str, object]] = {
    "another message": {"Message": "rm -rf"},
    "another id": {"MessageId": "another"},
    "another subject": {"Subject": "x"},
    "no subject": {"Subject": None},
    "another time": {"Timestamp": "2012-05-02T00:54:06.655Z"},
    "another topic": {"TopicArn": "arn:aws:sns:eu-central-1:123456789012:more"},
    "a topic of nobody": {"TopicArn": "arn:aws:sns:eu-central-1:123456789012:other"},
    "no topic": {"TopicArn": None},
    "a topic that is no text": {"TopicArn": [TOPIC]},
    "another type": {"Type": "UnsubscribeConfirmation", "Token": "x", "SubscribeURL": "x"},
    "an unknown type": {"Type": "Else"},
    "no type": {"Type": None},
    "another version": {"SignatureVersion": "1"},
    "an unknown version": {"SignatureVersion": "3"},
    "a version that is a number": {"SignatureVersion": 2},
    "no signature": {"Signature": None},
    "an empty signature": {"Signature": ""},
    "a signature of zeros": {"Signature": "A" * 344},
    "a signature that is no base64": {"Signature": "!!!"},
    "no certificate": {"SigningCertURL": None},
    "a message that is no text": {"Message": {"a": 1}},
}


@pytest.mark.parametrize("what", CHANGED)
def test_no_forgery_of_sns_s_is_believed(
    amazon: Amazon, served: tuple[Project, Server], what: str
) -> None:
    project, server = served
    before = runs(project)
    message = json.loads(amazon.message(amazon.certificate("good"), MessageId="forged"))
    changed = {**message, **CHANGED[what]}
    body = json.dumps({name: value for name, value in changed.items() if value is not None})
    assert send(server, body.encode()).status == 401
    assert runs(project) == before


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b"Type=Notification"])
def test_what_is_no_message_is_not_believed(served: tuple[Project, Server], body: bytes) -> None:
    _, server = served
    assert send(server, body).status == 401


def test_a_topic_that_the_hook_does_not_name_is_not_believed_and_nothing_is_fetched(
    amazon: Amazon, served: tuple[Project, Server]
) -> None:
    _, server = served
    before = list(amazon.asked)
    other = "arn:aws:sns:eu-central-1:123456789012:other"
    body = amazon.message(amazon.certificate("other-topic"), TopicArn=other)
    assert send(server, body).status == 401
    server.wait_for_line(f"aws-sns: the topic {other} is none of the hook's")
    assert amazon.asked == before


def test_another_signer_is_not_believed(amazon: Amazon, served: tuple[Project, Server]) -> None:
    _, server = served
    body = amazon.message(amazon.certificate("good"), Identity("sns.amazonaws.com"))
    assert send(server, body).status == 401
    server.wait_for_line("aws-sns: signature does not match the message")


def test_a_message_is_believed_for_two_hours(
    amazon: Amazon, served: tuple[Project, Server]
) -> None:
    _, server = served
    url = amazon.certificate("good")
    for away, status in ((-7000, 200), (-7300, 401), (7000, 200), (7300, 401)):
        body = amazon.message(url, Timestamp=timestamp(away), MessageId=f"at{away}")
        assert send(server, body).status == status, away
    server.wait_for_line("aws-sns: the timestamp is 7300s old, more than 2h")
    for text in ("soon", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "1"):
        assert send(server, amazon.message(url, Timestamp=text)).status == 401


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example.com/SimpleNotificationService-a.pem",
        f"http://{HOST}/SimpleNotificationService-a.pem",
        f"https://{HOST}:444/SimpleNotificationService-a.pem",
        f"https://{HOST}/SimpleNotificationService-a.pem?x",
        f"https://{HOST}/SimpleNotificationService-a.pem#x",
        f"https://{HOST}/SimpleNotificationService-a.txt",
        f"https://{HOST}/../SimpleNotificationService-a.pem",
        f"https://{HOST}/user/SimpleNotificationService-a.pem",
        f"https://{HOST}@evil.example.com/SimpleNotificationService-a.pem",
        f"https://x@{HOST}/SimpleNotificationService-a.pem",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-a.pem",
        "https://sns.eu-central-1.amazonaws.com.cn/SimpleNotificationService-a.pem",
        "https://bucket.s3.eu-central-1.amazonaws.com/SimpleNotificationService-a.pem",
        "https://[::1/SimpleNotificationService-a.pem",
        "file:///etc/SimpleNotificationService-a.pem",
        "",
    ],
)
def test_a_certificate_from_elsewhere_is_not_even_asked_for(
    amazon: Amazon, served: tuple[Project, Server], url: str
) -> None:
    _, server = served
    amazon.certificate("a")
    before = list(amazon.asked)
    assert send(server, amazon.message(url)).status == 401
    assert amazon.asked == before


def elliptic() -> bytes:
    """A certificate whose key is not of RSA."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns.amazonaws.com")])
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


@pytest.mark.parametrize(
    ("name", "answer", "told"),
    [
        ("gone", None, "its certificate is not there: the answer was 404"),
        ("moved", http(302, b"", f"Location: https://{HOST}/SimpleNotificationService-good.pem"),
         "its certificate is not there: the answer was 302"),
        ("huge", http(200, b"x" * 70_000), "it is larger than 65536 bytes"),
        ("text", http(200, b"no certificate"), "its certificate is none: "),
        ("late", http(200, Identity("old", begins=-9, ends=-8).pem), "is not valid now"),
        ("curve", http(200, elliptic()), "its certificate is none: its key is not of RSA"),
        ("soon", http(200, Identity("new", begins=8, ends=9).pem), "is not valid now"),
    ],
)  # fmt: skip
def test_a_certificate_that_is_not_good_is_asked_for_once(
    amazon: Amazon, served: tuple[Project, Server], name: str, answer: bytes | None, told: str
) -> None:
    _, server = served
    url = amazon.certificate(name)
    path = url.removeprefix(f"https://{HOST}")
    del amazon.answers[path]
    if answer is not None:
        amazon.answers[path] = answer
    body = amazon.message(url, MessageId=name)
    assert [send(server, body).status for _ in range(3)] == [401] * 3
    server.wait_for_line(told)
    assert asked(amazon, url) == 1


@pytest.mark.parametrize("answer", [http(503, b""), b"no HTTP\r\n\r\n", b""])
def test_a_host_that_fails_leaves_the_message_to_be_sent_again(
    amazon: Amazon, served: tuple[Project, Server], answer: bytes
) -> None:
    project, server = served
    before = runs(project)
    url = amazon.certificate(f"fails{len(answer)}")
    path = url.removeprefix(f"https://{HOST}")
    good, amazon.answers[path] = amazon.answers[path], answer
    body = amazon.message(url, MessageId=f"fails{len(answer)}")
    failed = send(server, body)
    assert (failed.status, failed.headers["Retry-After"]) == (503, "10")
    assert runs(project) == before

    amazon.answers[path] = good
    assert send(server, body).status == 200


def test_one_thing_is_asked_for_at_a_time_and_nobody_else_waits(
    amazon: Amazon, served: tuple[Project, Server]
) -> None:
    _, server = served
    begun, go_on = threading.Event(), threading.Event()

    def held(secure: ssl.SSLSocket) -> None:
        begun.set()
        go_on.wait(SECONDS)
        secure.sendall(http(200, amazon.signer.pem))

    slow, other = amazon.certificate("slow"), amazon.certificate("other")
    good = amazon.message(amazon.certificate("good"), MessageId="meanwhile")
    send(server, good)  # its certificate is known from here on
    amazon.answers[slow.removeprefix(f"https://{HOST}")] = held
    with ThreadPoolExecutor() as pool:
        first = pool.submit(send, server, amazon.message(slow, MessageId="slow"))
        assert begun.wait(SECONDS)
        second = send(server, amazon.message(other, MessageId="other"))
        known = send(server, amazon.message(amazon.certificate("good"), MessageId="known"))
        plain = server.post_json("/open", {"a": 1})
        bearer = server.post_json("/either", {"a": 1}, Authorization="Bearer t0ken")
        go_on.set()
        assert first.result(SECONDS).status == 200
        # Another scheme of the hook may believe what SNS cannot tell now.
        assert server.post_json("/either", {"a": 1}, Authorization="Bearer t0ken").status == 200

    assert (second.status, second.headers["Retry-After"]) == (503, "10")
    assert asked(amazon, other) == 0
    assert (known.status, plain.status, bearer.status) == (200, 200, 200)


def test_an_answer_that_drips_is_given_up(amazon: Amazon, served: tuple[Project, Server]) -> None:
    _, server = served
    url = amazon.certificate("drip")

    def drip(secure: ssl.SSLSocket) -> None:
        secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
        end = time.monotonic() + 2 * SECONDS
        while time.monotonic() < end:
            secure.sendall(b"x")
            time.sleep(0.2)

    amazon.answers[url.removeprefix(f"https://{HOST}")] = drip
    answer = send(server, amazon.message(url, MessageId="drip"))
    assert answer.status == 503
    server.wait_for_line("SNS could not be asked: no whole answer in 8 s")


def test_a_host_that_cannot_prove_to_be_amazon_is_not_believed(
    amazon: Amazon, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project = Project(tmp_path_factory.mktemp("untrusting")).script("cat.sh", "#!/bin/sh\n")
    project.hooks(HOOKS.replace(", $MORE", ""))
    environ = {**amazon.environ, "TOKEN": "t0ken"}
    del environ["SSL_CERT_FILE"]
    with project.serve(**environ) as server:
        answer = send(server, amazon.message(amazon.certificate("good")))
        assert answer.status == 503
        server.wait_for_line("CERTIFICATE_VERIFY_FAILED")
    assert runs(project) == 0


@pytest.mark.parametrize(
    ("auth", "loads"),
    [("{github: $S}", False), (f'{{aws-sns: {{topics: ["{TOPIC}"]}}}}', True)],
)
def test_cryptography_is_loaded_only_for_a_hook_that_needs_it(
    tmp_path_factory: pytest.TempPathFactory, auth: str, loads: bool
) -> None:
    project = Project(tmp_path_factory.mktemp("loads")).script("run.sh", "#!/bin/sh\n")
    project.hooks(f"/h: {{script: run.sh, auth: {auth}}}\n")
    code = (
        "import sys; from pathlib import Path; from hookrunner import app, cli\n"
        "from hookrunner.config import load\n"
        f"load(Path({str(project.folder / 'hooks.yaml')!r}), {{'S': 'x'}})\n"
        "print('cryptography' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{loads}\n"
