"""What all pages have in common: the head, the way about, and the frame of what they say."""

from __future__ import annotations

from hookrunner.pages import parts
from hookrunner.pages.assets import asset
from hookrunner.pages.markup import Html, Inside, join, plain, tag
from hookrunner.pages.shown import Frame

PLACES = (("/-/", "Overview"), ("/-/runs", "Runs"), ("/-/refusals", "Refusals"), ("/-/docs", "API"))
REFRESHED = 5
"""Seconds after which a page that changes is asked for again, where no script can listen."""

SIGN = (
    '<svg class="sign" viewBox="0 0 16 16" width="20" height="20" aria-hidden="true">'
    '<path d="M10 2v7.5a3.5 3.5 0 1 1-7 0V8l2.2 2.2" fill="none" stroke="currentColor" '
    'stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round"/>'
    '<path d="M12.5 2.2v2.6M11.2 3.5h2.6" stroke="currentColor" stroke-width="1.4" '
    'stroke-linecap="round"/></svg>'
)


def page(frame: Frame, title: str, *inside: Inside, place: str = "", changing: bool = False) -> str:
    """A whole page. `place` is where it belongs in the navigation."""
    main = tag("main", _notice(frame), *inside, id="main", tabindex=-1)
    return document(title, _header(frame, place), main, _footer(frame), changing=changing)


def document(title: str, *body: Inside, changing: bool = False) -> str:
    """An HTML document with our style sheet and script."""
    again = tag("meta", http_equiv="refresh", content=REFRESHED)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="robots", content="noindex"),
        Html(f"<title>{plain(title)} · hookrunner</title>"),
        tag("link", rel="icon", href=asset("icon.svg"), type="image/svg+xml"),
        tag("link", rel="stylesheet", href=asset("style.css")),
        tag("noscript", again) if changing else None,
        tag("script", src=asset("live.js"), defer=True) if changing else None,
    )
    skip = tag("a", "Skip to the content", href="#main", class_="skip")
    return f"<!doctype html>\n{tag('html', head, tag('body', skip, *body), lang='en')}\n"


def _header(frame: Frame, place: str) -> Html:
    ways = [
        tag(
            "li",
            tag("a", words, href=address, aria_current="page" if words == place else None),
        )
        for address, words in PLACES
    ]
    out = tag(
        "form",
        parts.hidden("csrf", frame.csrf),
        parts.button("Log out", "quiet"),
        method="post",
        action="/-/logout",
    )
    return tag(
        "header",
        tag("a", Html(SIGN), "hookrunner", href="/-/", class_="brand"),
        tag("nav", tag("ul", *ways), aria_label="Main"),
        out,
        class_="top",
    )


def _notice(frame: Frame) -> Html:
    return tag("p", frame.notice, class_="notice", role="status") if frame.notice else Html("")


def _footer(frame: Frame) -> Html:
    shown = parts.moment(frame.now)
    when = f"As of {shown:%Y-%m-%d %H:%M:%S} UTC." if shown else ""
    return tag("footer", tag("p", when, " All times are UTC."))


def heading(words: Inside, *beside: Inside) -> Html:
    """The page's title, and what stands beside it."""
    inside = [part for part in beside if part]
    aside = tag("div", *inside, class_="beside") if inside else None
    return tag("div", tag("h1", words), aside, class_="heading")


def section(name: str, *inside: Inside, beside: Inside = None, anchor: str = "") -> Html:
    """A part of a page with a heading of its own; `anchor` is its id, if not that of its name."""
    anchor = anchor or name.lower().replace(" ", "-")
    head = tag("div", tag("h2", name, id=anchor), beside, class_="heading")
    return tag("section", head, *inside, aria_labelledby=anchor)


def empty(*words: Inside) -> Html:
    """What is said where there is nothing."""
    return tag("p", join(words), class_="empty")
