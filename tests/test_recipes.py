"""docs/recipes/: each page's files put in place, its commands typed, its sender played.

What is not ours and would be far away has a stand-in on this machine: a mail server, an
address of Slack's, a web page of the user's, MATLAB.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlencode

import pytest
import stripe
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from playwright.sync_api import Browser
from slack_sdk.signature import SignatureVerifier

from tests.amazon import Identity
from tests.documents import files, fits, page, session, typed
from tests.serving import REPOSITORY, SECONDS, Project, Server, wait_until
from tests.test_examples import copy_to

RECIPES = REPOSITORY / "docs" / "recipes"

BY_RECIPE = {
    "github-deploy.md": "test_a_push_to_main_is_deployed",
    "slack-command.md": "test_a_slash_command_is_answered_at_once_and_later",
    "stripe.md": "test_a_payment_is_booked_once",
    "ifttt-zapier.md": "test_senders_that_sign_nothing_show_a_token",
    "html-form.md": "test_a_browser_sends_a_form_and_is_led_to_the_page_of_thanks",
    "mail-on-failure.md": "test_there_is_mail_when_a_run_has_failed",
    "ordered-ledger.md": "test_entries_are_booked_in_their_order_though_the_books_are_closed",
    "long-job.md": "test_a_long_job_goes_on_where_it_was_when_the_runner_is_killed",
    "secrets.md": "test_a_script_sees_the_secrets_that_are_its_own",
    "other-languages.md": "test_node_r_and_matlab_take_the_payload_from_standard_input",
}
"""Each page, and the test that does what it says."""

PATH = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
NEEDS_NO_SERVER = re.compile(r"(echo|git|chmod|touch|python runner\.py check)\b")
LOOKS_BACK = re.compile(r"(cat|python runner\.py (logs|runs|show))\b")
UNENDED = "SELECT count(*) FROM run WHERE state IN ('queued', 'running')"


@dataclass
class Reader:
    """Somebody who has just cloned the project and does what a recipe says."""

    recipe: str
    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    replacing: dict[str, str] = field(default_factory=dict)
    """Words of the page that stand for something of the reader's own."""

    passing_over: tuple[str, ...] = ()
    """Parts of commands that this machine lacks the means for."""

    warned: tuple[str, ...] = ()
    """What `check` warns of on this machine, and would not where all is there."""

    awaiting: dict[str, str] = field(default_factory=dict)
    """What the log must say before a command: a reader takes longer to type it."""

    def __post_init__(self) -> None:
        self.text = page(f"docs/recipes/{self.recipe}")
        self.project = Project(copy_to(self.folder / "hookrunner"))
        self.home = self.folder / "home"
        self.home.mkdir()
        self.environ = {"PATH": PATH, "HOME": str(self.home), **self.environ}
        # The shipped hooks have theirs already, so that `check` is content.
        (self.project.folder / ".env").write_text(
            "FORM_SECRET=the-form-s\nGITHUB_SECRET=github-s\n"
        )
        for name, contents in files(self.text).items():
            for word, own in self.replacing.items():
                contents = contents.replace(word, own)
            with (self.project.folder / name).open("a") as file:
                file.write(contents)

    @contextmanager
    def followed(self) -> Iterator[Server]:
        """The server, once all that the page says has been done."""
        commands = [
            (command, printed)
            for command, printed in session(self.text)
            if not any(part in command for part in self.passing_over)
        ]
        first = next(
            place
            for place, (command, _) in enumerate(commands)
            if not NEEDS_NO_SERVER.match(command)
        )
        for command, printed in commands[:first]:
            self.type(command, printed, 5000)
        with self.serve() as server:
            for command, printed in commands[first:]:
                if command in self.awaiting:
                    server.wait_for_line(self.awaiting[command])
                if LOOKS_BACK.match(command):
                    self.wait_until_all_is_over()
                self.type(command, printed, server.port)
            yield server

    def serve(self) -> Server:
        return self.project.serve(**self.environ)

    def type(self, command: str, printed: str, port: int) -> None:
        """Type a command, and see what the page says."""
        for word, own in self.replacing.items():
            command, printed = command.replace(word, own), printed.replace(word, own)
        command = command.replace("localhost:5000", f"localhost:{port}")
        if re.search(r"\bID\b", command):
            command = re.sub(r"\bID\b", self.newest(), command)
        ran = typed(command, self.project.folder, **self.environ)
        if command == "python runner.py check":
            assert ran.returncode == 0, ran.stdout
            warned = [line for line in ran.stdout.splitlines() if line.startswith("warning:")]
            assert warned == list(self.warned), ran.stdout
        assert command.startswith("git ") or fits(ran.stdout, printed), (command, ran.stdout)

    def newest(self) -> str:
        [(run_id,)] = self.project.journal("SELECT id FROM run ORDER BY seq DESC LIMIT 1")
        return str(run_id)

    def wait_until_all_is_over(self) -> None:
        wait_until(lambda: self.project.journal(UNENDED) == [(0,)], "the end of every run")

    def secret(self, name: str) -> str:
        """What .env says."""
        text = (self.project.folder / ".env").read_text()
        return str(re.findall(rf"(?m)^{name}=(.*)$", text)[-1])


@dataclass
class Elsewhere:
    """A server of somebody else's: keeps what is posted, and shows one page for each path."""

    pages: dict[str, bytes] = field(default_factory=dict)

    def __enter__(self) -> Elsewhere:
        self.posted: SimpleQueue[bytes] = SimpleQueue()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(outer.pages.get(self.path, b""))

            def do_POST(self) -> None:
                outer.posted.put(self.rfile.read(int(self.headers["Content-Length"])))
                self._answer(b"ok")

            def _answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def test_every_recipe_has_a_test_and_stands_in_the_list() -> None:
    names = {path.name for path in RECIPES.glob("*.md")} - {"README.md"}
    assert names == set(BY_RECIPE)
    assert all(test in globals() for test in BY_RECIPE.values())
    listed = re.findall(r"(?m)^\| \[(.*?)\]\(\1\)", page("docs/recipes/README.md"))
    assert sorted(listed) == sorted(names)


# --- GitHub


def git(*words: str, cwd: Path) -> str:
    given = ["-c", "user.name=Zoë", "-c", "user.email=zoe@example.com"]
    done = subprocess.run(
        ["git", *given, *words], cwd=cwd, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit(origin: Path, message: str) -> str:
    (origin / "index.html").write_text(message)
    git("add", ".", cwd=origin)
    git("commit", "-q", "-m", message, cwd=origin)
    return git("rev-parse", "HEAD", cwd=origin)


def test_a_push_to_main_is_deployed(tmp_path: Path, node: Path) -> None:
    origin = tmp_path / "origin"
    origin.mkdir()
    git("init", "-q", "-b", "main", cwd=origin)
    commit(origin, "the first")
    reader = Reader(
        "github-deploy.md", tmp_path, replacing={"ADDRESS-OF-YOUR-REPOSITORY": str(origin)}
    )
    with reader.followed() as server:
        pushed = commit(origin, "the second")
        body = json.dumps({"ref": "refs/heads/main", "after": pushed})
        headers = {"X-GitHub-Event": "push", "X-GitHub-Delivery": "72d3162e-cc78"}
        signed = by_node(node, "github", reader.secret("DEPLOY_SECRET"), body)
        answer = server.post("/deploy", body, Content_Type="application/json", **headers, **signed)
        server.wait_until_ended(answer.headers["Hook-Run"])
        assert (reader.home / "site" / "index.html").read_text() == "the second"

        again = server.post("/deploy", body, Content_Type="application/json", **headers, **signed)
        assert again.headers["Hook-Run"] == answer.headers["Hook-Run"]
        forged = by_node(node, "github", "another secret", body)
        refused = server.post("/deploy", body, Content_Type="application/json", **headers, **forged)
        assert refused.status == 401


def by_node(node: Path, sender: str, secret: str, body: str) -> dict[str, str]:
    """The header that the sender's own library for Node signs with."""
    given = json.dumps({"secret": secret, "body": body, "at": int(time.time())})
    done = subprocess.run(
        ["node", "sign.mjs"], cwd=node, input=given, capture_output=True, check=True, text=True
    )
    return dict(json.loads(done.stdout)[sender])


# --- Slack


def test_a_slash_command_is_answered_at_once_and_later(tmp_path: Path) -> None:
    reader = Reader("slack-command.md", tmp_path)
    with reader.followed() as server, Elsewhere() as slack:
        stood_in = reader.project.journal(
            "SELECT CAST(body AS TEXT) FROM run WHERE hook = '/hello' ORDER BY seq"
        )
        assert [json.loads(body)["text"] for (body,) in stood_in] == [
            "The report on April is being made.",
            "The report on April is ready.",
        ]

        verifier = SignatureVerifier(reader.secret("SLACK_SIGNING_SECRET"))
        command = {"command": "/report", "text": "Mai", "response_url": f"{slack.url}/1"}
        body = urlencode({**command, "trigger_id": "398738663015.47445629121"})
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Slack-Request-Timestamp": (now := str(int(time.time()))),
            "X-Slack-Signature": verifier.generate_signature(timestamp=now, body=body) or "",
        }
        answer = server.request("POST", "/slack/report", body, headers)
        assert (answer.status, answer.body) == (200, b"")
        told = [json.loads(slack.posted.get(timeout=SECONDS)) for _ in range(2)]
        assert told == [
            {"response_type": "ephemeral", "text": "The report on Mai is being made."},
            {"response_type": "ephemeral", "text": "The report on Mai is ready."},
        ]


# --- Stripe


def test_a_payment_is_booked_once(tmp_path: Path, node: Path) -> None:
    reader = Reader("stripe.md", tmp_path)
    secret = ""

    def by_python(body: str, at: float) -> dict[str, str]:
        make = stripe.WebhookSignature.generate_signature_header
        return {"Stripe-Signature": make(body, secret, int(at))}

    with reader.followed() as server:
        secret = reader.secret("STRIPE_WEBHOOK_SECRET")
        event = json.loads((reader.project.folder / "event.json").read_text())
        second = json.dumps({**event, "id": "evt_2"})
        third = json.dumps({**event, "id": "evt_3"})
        first = post(server, "/stripe", second, by_python(second, time.time()))
        repeat = post(server, "/stripe", second, by_python(second, time.time() - 60))
        assert repeat.headers["Hook-Run"] == first.headers["Hook-Run"]
        assert post(server, "/stripe", third, by_node(node, "stripe", secret, third)).status == 202
        stale = by_python(second, time.time() - 400)
        assert post(server, "/stripe", second, stale).status == 401
        assert post(server, "/stripe", third, by_python(second, time.time())).status == 401

        reader.wait_until_all_is_over()
        typed(f"python runner.py replay {first.headers['Hook-Run']}", reader.project.folder,
              **reader.environ)  # fmt: skip
        server.wait_for_line("| cs_test_1: was booked already")
    with closing(sqlite3.connect(reader.project.folder / "paid.sqlite")) as books:
        rows = books.execute("SELECT event, amount, currency FROM paid ORDER BY event").fetchall()
    assert rows == [(f"evt_{number}", 2000, "eur") for number in (1, 2, 3)]


def post(server: Server, path: str, body: str, proof: dict[str, str]) -> Any:
    return server.post(path, body, Content_Type="application/json", **proof)


# --- IFTTT, Zapier


def test_senders_that_sign_nothing_show_a_token(tmp_path: Path) -> None:
    reader = Reader("ifttt-zapier.md", tmp_path)
    with reader.followed() as server:
        token = reader.secret("NOTE_TOKEN")
        assert not [line for line in server.lines if token in line]
        kept = reader.project.journal("SELECT headers, body FROM run WHERE hook = '/note'")
    assert len(kept) == 3
    assert token not in repr(kept)


# --- a form


def test_a_browser_sends_a_form_and_is_led_to_the_page_of_thanks(
    tmp_path: Path, chromium: Browser
) -> None:
    with Elsewhere({"/thanks.html": b"<!doctype html><h1>Thank you</h1>"}) as site:
        own = {"https://www.example.com": site.url}
        reader = Reader("html-form.md", tmp_path, replacing=own)
        with reader.followed() as server, chromium.new_context() as context:
            form = (reader.project.folder / "contact.html").read_text()
            site.pages["/contact.html"] = form.replace(
                "localhost:5000", f"localhost:{server.port}"
            ).encode()
            tab = context.new_page()
            tab.goto(f"{site.url}/contact.html")
            tab.get_by_label("E-mail").fill("zoe@example.com")
            tab.get_by_label("Message").fill("Grüße,\nZoë")
            tab.get_by_label("Copies").fill("2")
            tab.get_by_role("button").click()
            tab.wait_for_url("**/thanks.html")
            assert tab.get_by_role("heading").text_content() == "Thank you"
            reader.wait_until_all_is_over()
    last = reader.project.lines("messages.jsonl")[-1]
    assert json.loads(last) == {
        "email": "zoe@example.com", "message": "Grüße,\r\nZoë", "copies": 2, "website": ""
    }  # fmt: skip


# --- mail


class Mailbox:
    """What a mail server has taken in, and by whom it was logged in."""

    def __init__(self) -> None:
        self.mails: SimpleQueue[Message] = SimpleQueue()
        self.users: list[object] = []

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:
        self.mails.put(message_from_bytes(envelope.content))
        return "250 OK"

    def login(self, *given: Any) -> AuthResult:
        data = given[-1]
        self.users.append((data.login, data.password))
        return AuthResult(success=True)


@contextmanager
def mail_server(mailbox: Mailbox, **more: Any) -> Iterator[str]:
    """The port of a mail server on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(mailbox, hostname="127.0.0.1", port=port, **more)
    controller.start()
    try:
        yield str(port)
    finally:
        controller.stop()


def test_there_is_mail_when_a_run_has_failed(tmp_path: Path) -> None:
    mailbox = Mailbox()
    with mail_server(mailbox) as port:
        reader = Reader("mail-on-failure.md", tmp_path, replacing={"8025": port})
        with reader.followed():
            mails = [mailbox.mails.get(timeout=SECONDS) for _ in range(2)]
            reader.wait_until_all_is_over()
        assert {mail["Subject"] for mail in mails} == {"/nightly failed: exit 3"}
        assert {mail["To"] for mail in mails} == {"you@example.com"}
        told = str(mails[-1].get_payload())
        assert "no space left" in told
        [run] = re.findall(r"python runner\.py show (\w+)", told)
        shown = typed(f"python runner.py show {run}", reader.project.folder, **reader.environ)
        assert "the backup is due" in shown.stdout


def test_mail_goes_over_tls_to_a_server_that_asks_who_sends(tmp_path: Path) -> None:
    mailbox = Mailbox()
    authority = Identity("authority")
    trusted = tmp_path / "authority.pem"
    trusted.write_bytes(authority.pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(Identity("localhost", authority).write(tmp_path / "host.pem"))
    login = {"tls_context": context, "auth_required": True, "authenticator": mailbox.login}
    with mail_server(mailbox, **login) as port:
        reader = Reader(
            "mail-on-failure.md",
            tmp_path,
            {
                "SMTP_USER": "zoe",
                "SMTP_PASSWORD": "swordfish",
                "SSL_CERT_FILE": str(trusted),
                "NIGHTLY_TOKEN": "a token of some length",
                "MAIL_TO": "you@example.com",
                "SMTP_HOST": "localhost",
                "SMTP_PORT": port,
            },
        )
        with reader.serve() as server:
            server.post("/nightly", Authorization="Bearer a token of some length")
            assert mailbox.mails.get(timeout=SECONDS)["Subject"] == "/nightly failed: exit 3"
    assert mailbox.users == [(b"zoe", b"swordfish")]


# --- a ledger


def test_entries_are_booked_in_their_order_though_the_books_are_closed(tmp_path: Path) -> None:
    closed = {"rm ledger.closed": "the books are closed"}
    reader = Reader("ordered-ledger.md", tmp_path, awaiting=closed)
    with reader.followed() as server:
        token = reader.secret("LEDGER_TOKEN")
        entry = {"number": 2, "amount": 100}
        again = server.post_json("/ledger", entry, Authorization=f"Bearer {token}")
        server.wait_for_line(f"{again.headers['Hook-Run']} /ledger is joined by a repeat")
    printed = [found[1] for line in server.lines if (found := re.search("/ledger [|!] (.*)", line))]
    booked = [f"number {number}, balance {number * 100}" for number in (1, 2, 3)]
    assert printed[-3:] == booked
    assert set(printed[:-3]) == {"the books are closed"}
    failed = [line.split()[1] for line in server.lines if "the books are closed" in line]
    assert len(set(failed)) == 1  # the first holds up the others


# --- a long job


def test_a_long_job_goes_on_where_it_was_when_the_runner_is_killed(tmp_path: Path) -> None:
    reader = Reader("long-job.md", tmp_path)
    with reader.followed() as server:
        token = reader.secret("TRAIN_TOKEN")
        sent = server.post_json("/train", {"steps": 8}, Authorization=f"Bearer {token}")
        run = sent.headers["Hook-Run"]
        server.wait_for_line("step 4 of 8")
        server.kill()
    with reader.serve() as server:
        server.wait_for_line("| attempt 2: going on after step ")
        assert server.wait_until_ended(run)["state"] == "succeeded"
        steps = [line.rpartition("| ")[2] for line in server.lines if " step " in line]
        assert "step 1 of 8" not in steps
        assert steps[-1] == "step 8 of 8"
    assert not (reader.project.folder / f"train-{run}.step").exists()


# --- secrets


def test_a_script_sees_the_secrets_that_are_its_own(tmp_path: Path) -> None:
    reader = Reader("secrets.md", tmp_path)
    with reader.followed() as server:
        hidden = [reader.secret(name) for name in ("WEATHER_API_KEY", "WEATHER_TOKEN")]
        assert not [line for line in server.lines if any(secret in line for secret in hidden)]
    hooks = (reader.project.folder / "hooks.yaml").read_text()
    reader.project.hooks(hooks.replace("  respond: accepted\n", "  respond: output\n"))
    with reader.serve() as server:
        token = reader.secret("WEATHER_TOKEN")
        answer = server.post_json("/weather", {}, Authorization=f"Bearer {token}")
    assert f"token of the hook: {token}\n" in answer.text


# --- other languages

MATLAB = """#!/bin/sh
# Stands in for MATLAB: does what the page's own lines of MATLAB say.
[ "$1" = -batch ] && [ "$2" = "addpath('scripts'); mean_of_payload" ] || exit 9
grep -q "fullfile(getenv('TMPDIR'), 'payload.json')" scripts/mean_of_payload.m || exit 8
exec python3 -c 'import json, os, statistics
print("    ", statistics.mean(json.load(open(os.environ["TMPDIR"] + "/payload.json"))["values"]))'
"""


def test_node_r_and_matlab_take_the_payload_from_standard_input(tmp_path: Path) -> None:
    if not shutil.which("node"):
        pytest.skip("there is no Node")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "matlab").write_text(MATLAB)
    (programs / "matlab").chmod(0o755)
    environ = {"PATH": f"{programs}:{PATH}"}
    reader = Reader("other-languages.md", tmp_path, environ)
    paths = ["/mean-node", "/mean-r"]
    if not shutil.which("Rscript"):
        reader.passing_over = ("localhost:5000/mean-r",)
        needs = "warning: scripts/mean.R needs Rscript, as its #! line says, and there is none here"
        reader.warned = (needs,)
        paths.remove("/mean-r")
    with reader.followed() as server:
        token = reader.secret("MEAN_TOKEN")
        for path in paths:
            answer = server.post_json(path, {"values": []}, Authorization=f"Bearer {token}")
            assert answer.status == 422
    assert os.access(reader.project.folder / "scripts" / "mean.R", os.X_OK)
