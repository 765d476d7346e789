"""The table of senders as people read it: for `python runner.py senders`, and docs/senders.md.

python -m hookrunner.auth.listing > docs/senders.md
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from hookrunner.auth.scheme import NO_HANDSHAKE
from hookrunner.auth.senders import SENDERS, UNTIMED, InHeader, Sender
from hookrunner.auth.signature import Recipe
from hookrunner.units import show_duration

WIDTH = 80
INDENT = 16
MAKE_ONE = "make one up, such as with: openssl rand -hex 32"

HEAD = """# Who can post, and what to paste where

This page is made from the table in `hookrunner/auth/senders.py` by
`python -m hookrunner.auth.listing > docs/senders.md`. The same, for one sender, on your terminal:
`python runner.py senders github`.

How a sender that is not here signs can be described: [auth.md](auth.md).
"""

PLACES = (
    "`<URL>` is the address of your hook, https://YOUR-APP.herokuapp.com/PATH; `<SECRET>` is "
    "the value of the config var that `auth:` names, to be set with "
    "`heroku config:set NAME=VALUE`, or in `.env` on your own machine."
)


def lines(names: Sequence[str]) -> Iterator[str]:
    """What a terminal is to show of these senders; of all if none is named."""
    for name in names or SENDERS:
        sender = SENDERS[name]
        yield f"{name}: {sender.title}"
        yield f"    auth: {sender.example}"
        for title, told in facts(sender):
            yield from _wrapped(title, told)
        yield ""
    yield from textwrap.wrap(PLACES.replace("`", ""), WIDTH)


def _wrapped(title: str, told: str) -> list[str]:
    """A fact in lines of which the first has its title in front."""
    return textwrap.wrap(
        told.replace("`", ""),
        WIDTH,
        initial_indent=f"    {title}".ljust(INDENT),
        subsequent_indent=" " * INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def markdown() -> str:
    """The page docs/senders.md."""
    parts = [HEAD, *textwrap.wrap(PLACES, 100, break_on_hyphens=False), ""]
    for kind, title in (("sender", "Senders"), ("scheme", "Everybody else")):
        parts.append(f"## {title}\n")
        for name, sender in SENDERS.items():
            if sender.kind == kind:
                parts.append(_section(name, sender))
    return "\n".join(parts)


def _section(name: str, sender: Sender) -> str:
    told = [f"### `{name}`: {sender.title}\n", f"    auth: {sender.example}\n"]
    rows = [f"- {title}: {text}" for title, text in facts(sender)]
    return "\n".join([*told, *rows, ""])


def facts(sender: Sender) -> Iterator[tuple[str, str]]:
    """What there is to know of a sender: a word for it, and the text."""
    yield "set up", sender.steps
    if "$" in sender.example:
        yield "secret", "the sender shows it" if sender.shown else MAKE_ONE
    yield "replay", _replay(sender)
    yield "waits", _waits(sender)
    if sender.handshake is not NO_HANDSHAKE:
        yield "handshake", "answered by the runner"
    if sender.note:
        yield "note", sender.note


def _replay(sender: Sender) -> str:
    """What is promised to whoever fears that a delivery is seen, and sent again."""
    recipes = [way for way in sender.ways if isinstance(way, Recipe)]
    timed = [recipe for recipe in recipes if recipe.timestamp]
    if sender.replay:
        return sender.replay
    if timed:
        most = show_duration(max(recipe.tolerance for recipe in timed))
        unless = " (not so for a secret token)" if _shows_secret(sender) else ""
        return f"refused after {most}; within that it joins the first run{unless}"
    if any(recipe.id for recipe in recipes):
        return (
            "not refused: nothing signed tells when it was sent; an unchanged repeat joins its run"
        )
    return UNTIMED


def _shows_secret(sender: Sender) -> bool:
    return any(isinstance(way, InHeader) for way in sender.ways)


def _waits(sender: Sender) -> str:
    manners = sender.manners
    told = f"{show_duration(manners.patience)}; a run that takes longer is answered before"
    return told + ("" if manners.accepted == 202 else f", with {manners.accepted}")


if __name__ == "__main__":
    print(markdown(), end="")
