"""A request as the server gives it, and what goes back: an answer, at once or later.

Nothing here knows a framework, nor what is asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import responses
from ipaddress import ip_address
from typing import Any, Protocol

from hookrunner.address import within
from hookrunner.log import Log, place_of
from hookrunner.model import Delivery, Json, Networks, Refused

Environ = dict[str, Any]
"""What PEP 3333 says of a request."""

CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f]")


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back over HTTP."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class Later(Protocol):
    """What the server gives a request beside PEP 3333, so that nobody need sleep to answer it.

    It stands in the environment as LATER. What a request asks for here is done on the
    server's own thread, one thing after another.
    """

    def hold(self) -> None:
        """Send nothing of what the application returns; `answer` will be called."""

    def soon(self, then: Callable[[], None]) -> None:
        """Call it on the server's thread; from any thread."""

    def after(self, seconds: float, then: Callable[[], None]) -> Callable[[], None]:
        """Call it there in so many seconds, unless what is returned is called before."""

    def if_gone(self, then: Callable[[], None]) -> None:
        """Call it if the sender hangs up before it has been answered; from the server's thread."""

    def answer(self, answer: Answer) -> None:
        """Send the answer, in place of what the application returned."""

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Begin an answer that goes on until `end`, instead of `answer`; from any thread.

        Who does not take what is sent is hung up on, and counts as gone.
        """

    def send(self, data: bytes) -> None:
        """Send some more of it; from any thread, and at once, for nothing is waited for."""

    def end(self) -> None:
        """That was all; from any thread."""


LATER = "hookrunner.later"
"""The environment's key of a Later."""


def read_delivery(environ: Environ, trusted: Networks) -> Delivery:
    """The request as a Delivery. Raises Refused(400) if its path is not UTF-8."""
    try:
        path = raw_path(environ).encode("latin-1").decode("utf-8")
    except UnicodeError:
        raise Refused(400, "the path is not UTF-8 once percent-decoded") from None
    headers = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    for name, value in headers.items():
        if CONTROL.search(value):
            raise Refused(400, f"the header {name} holds a control character")
    return Delivery(
        method=environ["REQUEST_METHOD"],
        path=path,
        query=environ.get("QUERY_STRING", ""),
        headers=headers,
        body=environ["wsgi.input"].read(),
        remote_addr=client_address(environ, trusted),
    )


def client_address(environ: Environ, trusted: Networks) -> str:
    """Who posted: the peer, or what a trusted proxy says its peer was.

    A proxy appends to X-Forwarded-For, so only the right-most entry is its word; all to
    the left of it is the client's own invention.
    """
    peer = str(environ.get("REMOTE_ADDR", ""))
    forwarded = environ.get("HTTP_X_FORWARDED_FOR", "")
    if not forwarded or not within(peer, trusted):
        return peer
    last = forwarded.rpartition(",")[2].strip()
    try:
        return str(ip_address(last))
    except ValueError:
        return peer


def problem(refused: Refused, more: Mapping[str, Json] | None = None) -> Answer:
    """A refusal as RFC 9457 problem details."""
    said: dict[str, Json] = {
        "type": "about:blank",
        "title": responses[refused.status],
        "status": refused.status,
        "detail": refused.told,
    }
    if refused.errors:
        said["errors"] = [{"pointer": e.pointer, "detail": e.detail} for e in refused.errors]
    headers = {"Content-Type": "application/problem+json"} | refused.headers
    return Answer(refused.status, _json(said | dict(more or {})), headers)


def bug(error: Exception, log: Log) -> Answer:
    """What is told of a bug of ours, after it has been logged."""
    log.error(f"bug: {place_of(error)}; please report it")
    return problem(Refused(500, "an error of the server; it has been logged"))


def as_json(status: int, said: Json, **headers: str) -> Answer:
    """An answer in JSON."""
    return Answer(status, _json(said), {"Content-Type": "application/json", **headers})


def _json(said: Json) -> bytes:
    # Half of a surrogate pair is no UTF-8, but may stand in JSON, escaped as Python escapes it.
    return json.dumps(said, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def status_line(status: int) -> str:
    """With its phrase; a status that has none is to be taken as x00 of its class (RFC 9110 §15)."""
    return f"{status} {responses.get(status) or responses[status // 100 * 100]}"


def raw_path(environ: Environ) -> str:
    """The path that was asked for, percent-decoded, its bytes as Latin-1."""
    # Bottle drops bytes that are not UTF-8 from PATH_INFO, which would make /hel%fflo a hook.
    return str(environ.get("bottle.raw_path", environ.get("PATH_INFO", "")))
