"""What is seen before, or instead of, a page: the login, and errors."""

from __future__ import annotations

from hookrunner.pages import layout, links, parts
from hookrunner.pages.markup import Html, Inside, tag

BRAND = tag("p", Html(layout.SIGN), "hookrunner", class_="brand")


def login(wrong: str = "", onward: str = "/-/") -> str:
    """The login form. `wrong` says why one is here again; `onward` is where to go afterwards."""
    told = tag("p", wrong, class_="wrong", role="alert", id="wrong") if wrong else None
    token = tag(
        "input",
        type="password",
        id="token",
        name="token",
        required=True,
        autocomplete="current-password",
        autofocus=True,
        aria_invalid="true" if wrong else None,
        aria_describedby="wrong hint" if wrong else "hint",
    )
    form = tag(
        "form",
        told,
        tag("label", "Token", for_="token"),
        token,
        tag("p", "The value of ", tag("code", "ADMIN_TOKEN"), ".", class_="hint", id="hint"),
        parts.button("Log in", "main"),
        method="post",
        action=links.login(onward),
    )
    return _alone("Error: Log in" if wrong else "Log in", tag("h1", "Log in"), form)


def error(status: int, title: str, detail: str) -> str:
    """A page that says what went wrong."""
    back = tag("p", tag("a", "To the overview", href="/-/"))
    code = tag("p", f"Error {status}", class_="soft")
    return _alone(title, code, tag("h1", title), tag("p", detail), back)


def _alone(title: str, *inside: Inside) -> str:
    panel = tag("div", *inside, class_="panel")
    return layout.document(title, tag("main", BRAND, panel, id="main", tabindex=-1, class_="door"))
