"""Who may see the pages: sessions that are kept by the browser alone, and attempts to get in.

A session is a moment of its end and some random bits, signed with a key that is derived from
the administrator's token; so nothing is stored, any process of the same token knows it, and
another token ends them all. Every form carries a second signature, over the session, which
another site's page cannot know (CSRF).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections import deque
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from urllib.parse import urlencode

COOKIE = "hookrunner"
SECONDS = 12 * 3600
HOME = "/-/"
LOGIN = "/-/login"

SHAPE = re.compile(r"([0-9]{1,12})\.([A-Za-z0-9_-]{22})\.([0-9a-f]{64})")
ONWARD = re.compile(r"/-/[A-Za-z0-9._~/?&=%+:@!$'()*,;-]*")
LEADS_OUT = re.compile(r"//|/\.|%2[ef]", re.IGNORECASE)
OURS = ("same-origin", "none", "")
"""What a browser says of where a request comes from, if it is not from another site."""

MINUTE = 60.0
MOST_OF_ADDRESS = 5
MOST_KNOWN = 10_000
MOST_IN_ALL = 30
LONG = 16
"""Characters of a token that nobody guesses, however many try."""


def begin(token: str, now: float, random: Callable[[int], str] = secrets.token_urlsafe) -> str:
    """A new session: the cookie's value."""
    said = f"{int(now) + SECONDS}.{random(16)}"
    return f"{said}.{_sign(token, 'session', said)}"


def holds(token: str, value: str, now: float) -> bool:
    """True if the session was begun with this token, and has not ended."""
    found = SHAPE.fullmatch(value)
    if found is None:
        return False
    said, _, signature = value.rpartition(".")
    right = hmac.compare_digest(signature, _sign(token, "session", said))
    return right and now < int(found[1])


def csrf(token: str, value: str) -> str:
    """What every form of a session carries."""
    return _sign(token, "form", value)


def is_csrf(token: str, value: str, given: str) -> bool:
    """True if a form carries what it should."""
    return hmac.compare_digest(csrf(token, value).encode(), given.encode("utf-8", "replace"))


def is_token(token: str, given: str) -> bool:
    """True if somebody has given the token itself."""
    mine, theirs = (text.encode("utf-8", "surrogateescape") for text in (token, given))
    return hmac.compare_digest(hashlib.sha256(mine).digest(), hashlib.sha256(theirs).digest())


def in_cookies(header: str) -> str:
    """The session in a Cookie header; empty if there is none."""
    for pair in header.split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            return value
    return ""


def cookie(value: str, *, secure: bool) -> str:
    """The Set-Cookie header of a session; of none, which ends it, if empty."""
    age = SECONDS if value else 0
    flags = "HttpOnly; SameSite=Strict" + ("; Secure" if secure else "")
    return f"{COOKIE}={value}; Path={HOME}; Max-Age={age}; {flags}"


def onward(asked: str) -> str:
    """Where to go after the login: a page of ours, whatever was asked for."""
    path = asked.partition("?")[0]
    fine = ONWARD.fullmatch(asked) and not LEADS_OUT.search(path) and not asked.startswith(LOGIN)
    return asked if fine else HOME


def login_from(path: str) -> str:
    """The address of the login that leads back to a page."""
    back = onward(path)
    return LOGIN if back == HOME else f"{LOGIN}?{urlencode({'next': back})}"


class Attempts:
    """Counts who guesses the token: a few a minute from an address, and some more in all."""

    def __init__(self) -> None:
        self._made: deque[tuple[float, str]] = deque()

    def wait(self, address: str, now: float, *, token: str = "") -> float:
        """Count an attempt; or how many seconds it comes too early (monotonic clock).

        Of a long `token` those in all do not count: they would only keep out who has it.
        """
        made, address = self._made, _network(address)
        while made and made[0][0] <= now - MINUTE:
            made.popleft()
        own = [at for at, who in made if who == address]
        if len(own) >= MOST_OF_ADDRESS:
            return own[0] + MINUTE - now
        if len(made) >= MOST_IN_ALL and len(token) < LONG:
            return made[0][0] + MINUTE - now
        made.append((now, address))
        while len(made) > MOST_KNOWN:
            made.popleft()
        return 0.0

    def pardon(self, address: str) -> None:
        """The latest attempt from there was right, and does not count."""
        address = _network(address)
        latest = next((each for each in reversed(self._made) if each[1] == address), None)
        if latest:
            self._made.remove(latest)


def _network(address: str) -> str:
    """What one person has: an IPv4 address, or all of an IPv6 network of 64 bits."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return address if found.version == 4 else str(ip_network((found, 64), strict=False))


def _sign(token: str, use: str, said: str) -> str:
    key = hmac.digest(token.encode("utf-8", "surrogateescape"), use.encode(), "sha256")
    return hmac.new(key, said.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
