"""Who may see what, and do what, under /-/: the one place that decides it, for people and programs.

PAGES says of each page who may have it; nothing else is routed. A browser proves that it is
the administrator's by the cookie of a login, a program by `Authorization: Bearer`. A cookie
is sent by itself, so with one alone nothing is changed: what changes something then also has
to be a form of ours (`Admin` looks for its signature), and a program's order is not.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from enum import Enum

from hookrunner import form, session
from hookrunner.answer import Answer, Environ, client_address, raw_path, read_delivery
from hookrunner.auth import authenticate
from hookrunner.auth.credential import Bearer
from hookrunner.model import Networks, Refused


class Who(Enum):
    """Whom a page is for."""

    ANYBODY = "anybody"
    KNOWING = "whoever knows the run's id"
    """The run's state (`telling.summary`); all of the run if it is the administrator."""

    ADMINISTRATOR = "the administrator"


PAGES: Mapping[str, Mapping[str, Who]] = {
    "/-/health": {"GET": Who.ANYBODY},
    "/-/ready": {"GET": Who.ANYBODY},
    "/-/metrics": {"GET": Who.ADMINISTRATOR},
    "/-/assets/<name>": {"GET": Who.ANYBODY},
    "/-/login": {"GET": Who.ANYBODY, "POST": Who.ANYBODY},
    "/-/logout": {"POST": Who.ADMINISTRATOR},
    "/-/": {"GET": Who.ADMINISTRATOR},
    "/-/hooks": {"GET": Who.ADMINISTRATOR},
    "/-/hook": {"GET": Who.ADMINISTRATOR},
    "/-/hook/try": {"POST": Who.ADMINISTRATOR},
    "/-/refusals": {"GET": Who.ADMINISTRATOR},
    "/-/openapi.json": {"GET": Who.ADMINISTRATOR},
    "/-/docs": {"GET": Who.ADMINISTRATOR},
    "/-/runs": {"GET": Who.ADMINISTRATOR},
    "/-/runs/<run_id>": {"GET": Who.KNOWING},
    "/-/runs/<run_id>/live": {"GET": Who.ADMINISTRATOR},
    "/-/runs/<run_id>/<stream:re:stdout|stderr>": {"GET": Who.ADMINISTRATOR},
    "/-/runs/<run_id>/replay": {"POST": Who.ADMINISTRATOR},
    "/-/runs/<run_id>/cancel": {"POST": Who.ADMINISTRATOR},
    "/-/prune": {"POST": Who.ADMINISTRATOR},
}
"""Every page of ours, as Bottle writes paths; HEAD is as GET."""

VISIT = "hookrunner.visit"
"""The environment's key of a Visit, once somebody has been let in."""

CHALLENGE = {"WWW-Authenticate": "Bearer"}
UNSET = "this needs ADMIN_TOKEN to be set"
PAGES_OFF = "the pages are off: ADMIN_TOKEN is not set"
SAFE = ("GET", "HEAD")
FORMS = (form.TYPE, "multipart/form-data")


@dataclass(frozen=True, slots=True)
class Visit:
    """The administrator's. `session` is empty if a bearer token was sent instead."""

    session: str
    csrf: str


class Elsewhere(Exception):
    """The page is not for whoever asks, but another one is: its answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class Access:
    """Lets in who may come in."""

    def __init__(self, token: Callable[[], str], trusted: Networks) -> None:
        """`token` gives ADMIN_TOKEN; `trusted` are the proxies that are believed."""
        self._token = token
        self.trusted = trusted
        self.spare = ""
        """What ADMIN_TOKEN is taken to be if it is not set; empty for nothing."""

        self.owner = ""
        """A token for who can read our files, and so may do what the administrator may."""

        self.attempts = session.Attempts()
        self.counting = threading.Lock()

    def token(self) -> str:
        """What gets somebody in; empty if nothing does."""
        return self._token() or self.spare

    def let_in(self, environ: Environ, who: Who) -> Visit | None:
        """The administrator's visit; None for anybody else who may have the page.

        Raises Refused, or Elsewhere to the login.
        """
        if who is Who.ANYBODY or (who is Who.KNOWING and not self._says_who(environ)):
            return None
        if environ.get("HTTP_AUTHORIZATION"):
            self._need_bearer(environ)
            return Visit("", "")
        if not self.token() and wants_html(environ):
            raise Refused(403, PAGES_OFF)
        if environ["REQUEST_METHOD"] in SAFE or is_form(environ):
            if value := self.session(environ):
                return Visit(value, session.csrf(self.token(), value))
            if wants_html(environ):
                raise Elsewhere(to_login(environ))
        self._need_bearer(environ)
        return Visit("", "")

    def _says_who(self, environ: Environ) -> bool:
        """True if somebody says to be the administrator, or looks at a page for nobody else."""
        asked = "HTTP_AUTHORIZATION" in environ or bool(self.token() and wants_html(environ))
        return asked or bool(self.session(environ))

    def need_token(self) -> None:
        """Raise Refused unless there is a token to log in with."""
        if not self.token():
            raise Refused(403, PAGES_OFF)

    def session(self, environ: Environ) -> str:
        """The session that the cookie of a login holds; empty if it holds none."""
        value = session.in_cookies(environ.get("HTTP_COOKIE", ""))
        token = self.token()  # without one anybody could make a session
        return value if token and value and session.holds(token, value, time.time()) else ""

    def _need_bearer(self, environ: Environ) -> None:
        """Raise Refused unless the request carries ADMIN_TOKEN, or `owner`, as a bearer token."""
        token, owner = self.token(), self.owner
        known = [word.encode("utf-8", "surrogateescape") for word in (token, owner) if word]
        delivery = read_delivery(environ, self.trusted)
        kind = delivery.headers.get("authorization", "").partition(" ")[0]
        guesses = self.guessing(environ) if kind.lower() == "bearer" else None
        try:
            with guesses or nullcontext():
                authenticate((Bearer(tuple(known)),), delivery, time.time())
        except Refused:
            if token:
                raise
            raise Refused(403, UNSET, "ADMIN_TOKEN is not set") from None

    @contextmanager
    def guessing(self, environ: Environ) -> Iterator[None]:
        """Within it the token is guessed at; it raises if the guess is wrong, and that counts.

        Raises Refused if there were too many of late.
        """
        address = client_address(environ, self.trusted)
        with self.counting:
            wait = self.attempts.wait(address, time.monotonic(), token=self.token())
        if wait > 0:
            after = {"Retry-After": str(math.ceil(wait))}
            told = "too many attempts; wait a minute"
            raise Refused(429, told, headers=after, reason="guessing")
        yield
        with self.counting:
            self.attempts.pardon(address)


def is_form(environ: Environ) -> bool:
    """True if a form of ours may have been sent, and no program's order."""
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    return kind in FORMS and not environ.get("HTTP_AUTHORIZATION")


def wants_html(environ: Environ) -> bool:
    """True for a browser, where programs get JSON."""
    return prefers_html(environ.get("HTTP_ACCEPT", ""))


def prefers_html(accept: str) -> bool:
    """True if an Accept header would rather have a page than JSON: browsers name it first."""
    weights: dict[str, float] = {}
    for part in accept.split(","):
        kind, *rest = (piece.strip().lower() for piece in part.split(";"))
        try:
            weight = next((float(piece[2:]) for piece in rest if piece.startswith("q=")), 1.0)
        except ValueError:
            weight = 0.0
        weights[kind] = max(weight, weights.get(kind, 0.0))
    html = weights.get("text/html", 0.0)
    return html > 0 and html >= weights.get("application/json", 0.0)


def to_login(environ: Environ) -> Answer:
    """303 to the login, which leads back to what was asked for (RFC 9110 §15.4.4)."""
    query = environ.get("QUERY_STRING", "")
    asked = raw_path(environ) + (f"?{query}" if query else "")
    is_get = environ["REQUEST_METHOD"] in SAFE
    return see_other(session.login_from(asked if is_get else session.HOME))


def see_other(place: str, cookie: str = "") -> Answer:
    """303: to be got there."""
    headers = {"Location": place, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return Answer(303, b"", {**headers, **({"Set-Cookie": cookie} if cookie else {})})
