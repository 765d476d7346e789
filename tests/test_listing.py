"""The list of senders: on a terminal, and as a page."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hookrunner.auth import listing
from hookrunner.auth.senders import SENDERS
from tests.serving import REPOSITORY, Project

SLACK = """\
slack: Slack
    auth: {slack: $SLACK_SIGNING_SECRET}
    set up      api.slack.com/apps, your app. Basic Information, App
                Credentials, Signing Secret: the config var's value. Event
                Subscriptions, Slash Commands or Interactivity, Request URL:
                <URL>.
    secret      the sender shows it
    replay      refused after 5m; within that it joins the first run
    waits       3s; a run that takes longer is answered before, with 200
    handshake   answered by the runner
    note        What a script prints within 2.5s with respond: output is Slack's
                reply to a slash command; otherwise the answer is an empty 200,
                and a slower script posts to the payload's response_url.

<URL> is the address of your hook, https://YOUR-APP.herokuapp.com/PATH; <SECRET>
is the value of the config var that auth: names, to be set with heroku
config:set NAME=VALUE, or in .env on your own machine.
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_a_sender_is_told_with_what_to_paste_where(project: Project) -> None:
    done = project.command("senders", "slack")
    assert (done.returncode, done.stdout, done.stderr) == (0, SLACK, "")


def test_all_senders_are_listed_with_what_to_paste_where(project: Project) -> None:
    done = project.command("senders")
    assert done.returncode == 0
    for name, sender in SENDERS.items():
        assert f"\n{name}: {sender.title}\n    auth: {sender.example}\n" in "\n" + done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 110
    assert "`" not in done.stdout


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["slak"], "no sender is called 'slak'; did you mean 'slack'?\n"),
        (
            ["slack", "carrier-pigeon"],
            "no sender is called 'carrier-pigeon'; "
            "python runner.py senders lists those that there are\n",
        ),
    ],
)
def test_a_sender_that_is_not_there_is_told(project: Project, names: list[str], told: str) -> None:
    done = project.command("senders", *names)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", told)


def test_the_page_of_senders_is_what_the_table_says() -> None:
    page = (REPOSITORY / "docs" / "senders.md").read_text()
    assert page == listing.markdown(), "python -m hookrunner.auth.listing > docs/senders.md"


def test_the_command_on_the_page_makes_the_page() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hookrunner.auth.listing"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == listing.markdown()


@pytest.mark.parametrize("name", SENDERS)
def test_what_is_told_of_a_sender_names_its_places(name: str) -> None:
    sender = SENDERS[name]
    facts = dict(listing.facts(sender))
    assert sender.steps.count("`") % 2 == sender.note.count("`") % 2 == 0
    if sender.kind == "sender":
        assert "<URL>" in facts["set up"]
        # A secret is either made up, and pasted there; or shown there, and pasted here.
        if "secret" in facts:
            assert ("<SECRET>" in sender.steps) is not sender.shown
