"""A running server, asked over HTTP; the only import of urllib3.

What is sent may be secret, and so may the address that it is sent to: no complaint quotes
either. What comes back is a stranger's: it may be endless, packed, or no answer of ours.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import SplitResult, quote, urlencode, urlsplit

import urllib3

from hookrunner.model import Json, Query, Trouble
from hookrunner.verbs import shape
from hookrunner.verbs.context import brief

AT_ONCE = 16
"""Requests to a server at the same time."""

TIMEOUT = urllib3.Timeout(connect=10, read=40)
"""Seconds; Heroku's router gives up after 30."""

LONGEST = 120.0
"""Seconds for all of an answer."""

LARGEST = 128 * 1024 * 1024
"""Bytes of an answer about runs; a payload may be in it."""

FIELD = re.compile(r"[!-~\x80-\xff]([\t -~\x80-\xff]*[!-~\x80-\xff])?|")
"""The value of a header (RFC 9110 §5.5), its bytes as Latin-1."""

NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""The name of a header (RFC 9110 §5.1)."""


class Unreachable(Trouble):
    """No answer just now; there may be one later."""


class Missing(Unreachable):
    """Nobody listens there."""


class Gone(Trouble):
    """There is no such run, or not any more."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back; `body` is its beginning if it is `cut`."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cut: bool = False


class Server:
    """A server's own pages under /-/; `token` is its ADMIN_TOKEN, or what its owner has."""

    def __init__(
        self, url: str, token: str, *, named: str = "--url", secret: str = "ADMIN_TOKEN"
    ) -> None:
        """`named` is where the address is from, and `secret` what the token is called.

        Raises Trouble if the address is none, or the token cannot be one.
        """
        self.host = _host(url, named)
        self.url = url.rstrip("/")
        self.secret = secret
        self._token = wire(token)
        if not FIELD.fullmatch(self._token):
            raise Trouble(
                f"{secret} cannot be sent: it begins or ends with a space, or has a line break or "
                "another control character in it; give it, and the server, another"
            )
        self._pool = urllib3.PoolManager(maxsize=AT_ONCE, timeout=TIMEOUT, retries=False)

    @property
    def trusted(self) -> bool:
        """True if the token can be sent there without others reading it on its way."""
        return self.secret != "ADMIN_TOKEN" or self.url.startswith("https:") or _near(self.host)

    def runs(self, query: Query) -> list[dict[str, Json]]:
        asked = {
            "hook": query.hook,
            "state": query.state or "",
            "since": f"{query.since:.3f}" if query.since else "",
            "before": "" if query.before is None else str(query.before),
            "limit": str(query.most),
            "unreplaced": "1" if query.unreplaced else "",
        }
        given = urlencode({name: value for name, value in asked.items() if value})
        return self._listed(given)

    def named(self, part: str) -> list[str]:
        return [run["run"] for run in self._listed(f"id={quote(part, safe='')}")]

    def whole(self, run_id: str, *, exact: bool = False) -> dict[str, Json]:
        asked = "?exact=1" if exact else ""
        return self._ask("GET", f"/-/runs/{run_id}{asked}", shape.WHOLE)

    def printed(self, run_id: str, number: int, stdout: int, stderr: int) -> dict[str, Json]:
        asked = f"attempt={number}&stdout={stdout}&stderr={stderr}"
        return self._ask("GET", f"/-/runs/{run_id}?{asked}", shape.PRINTED)

    def replay(self, run_id: str) -> str:
        return str(self._ask("POST", f"/-/runs/{run_id}/replay", shape.RUN)["run"])

    def cancel(self, run_id: str) -> None:
        self._ask("POST", f"/-/runs/{run_id}/cancel", shape.RUN)

    def prune(self, older: float | None) -> int:
        given = "" if older is None else f"?older={older:.3f}"
        pruned, more = 0, True
        while more:
            said = self._ask("POST", f"/-/prune{given}", shape.PRUNED)
            if said["more"] and not said["pruned"]:
                raise self._strange(200)  # it would never end
            pruned, more = pruned + said["pruned"], said["more"]
        return pruned

    def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        largest: int = LARGEST,
    ) -> Answered:
        """An answer. `headers` are as PEP 3333 has them. Raises Unreachable if there is none."""
        for name, value in headers.items():
            if not NAME.fullmatch(name) or not FIELD.fullmatch(value):
                raise Trouble(f"the header {brief(name)} cannot be sent: {UNSENDABLE}")
        give_up = time.monotonic() + LONGEST
        try:
            answer = self._pool.request(
                method,
                self.url + path,
                headers=dict(headers),
                body=body,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
            try:
                return _read(answer, largest, give_up)
            finally:
                answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            why, refused = _why(error)
            kind = Missing if refused else Unreachable
            raise kind(f"{self.url} cannot be reached: {why}") from None

    def _listed(self, asked: str) -> list[dict[str, Json]]:
        return [*self._ask("GET", f"/-/runs?{asked}", shape.LISTED)["runs"]]

    def _ask(self, method: str, path: str, known: shape.Shape) -> dict[str, Json]:
        """What it says, which has this shape. Raises Trouble."""
        if not self._token:
            raise Trouble(
                f"{self.url} is asked as its administrator, and ADMIN_TOKEN is not set; set it to "
                "the server's (heroku config:get ADMIN_TOKEN), or in .env, and start it anew"
            )
        if not self.trusted:
            raise Trouble(
                f"{self.secret} is not sent to {self.host} over http, where others can read it; "
                "name an address that begins with https://"
            )
        answer = self.request(method, path, {"Authorization": f"Bearer {self._token}"}, b"")
        if 300 <= answer.status < 400:
            raise Trouble(f"{self.url} answered {answer.status}{elsewhere(answer)}")
        try:
            said = json.loads(answer.body)
        except (ValueError, RecursionError):
            said = None
        if answer.status >= 400 and isinstance(said, dict) and "detail" in said:
            kind = {404: Gone, 502: Unreachable, 503: Unreachable, 504: Unreachable}
            told = f"{self.url} answered {answer.status}: {said['detail']}"
            raise kind.get(answer.status, Trouble)(told)
        if answer.status >= 400 or not shape.fits(said, known):
            raise self._strange(answer.status)
        return dict(said)

    def _strange(self, status: int) -> Trouble:
        kind = Unreachable if status in (502, 503, 504) else Trouble
        return kind(f"{self.url} answered {status}, and not as a hookrunner does")


UNSENDABLE = (
    "it begins or ends with a space, or has a line break or another control character in it"
)


def wire(text: str) -> str:
    """A text as a header holds it: its bytes in UTF-8, as PEP 3333 shows them."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def elsewhere(answer: Answered) -> str:
    """Where an answer redirects to, to end a sentence with."""
    where = answer.headers.get("Location", "")
    return f", and is at {brief(where)}; name that address with --url" if where else ""


def _host(url: str, named: str) -> str:
    """The host of an address. Raises Trouble that does not quote what may be secret."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        parts, good = SplitResult("", "", "", "", ""), False
    if not good or not re.fullmatch(r"[!-~]+", url) or "@" in parts.netloc or "\\" in url:
        shown = "what is there" if "@" in url else brief(url)
        raise Trouble(f"{named} must be an address such as https://app.herokuapp.com, not {shown}")
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise Trouble(f"{named} must end before ? and #: name the server, not {brief(url)}")
    return str(parts.hostname)


def _near(host: str) -> bool:
    """True if what is sent there stays on this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read(answer: urllib3.BaseHTTPResponse, largest: int, give_up: float) -> Answered:
    """The answer, or as much of it as there is room and time for."""
    body, cut = bytearray(), False
    while chunk := answer.read1(65536):
        body += chunk
        if len(body) > largest or time.monotonic() > give_up:
            cut = True
            answer.close()  # nobody else is to read on
            break
    return Answered(answer.status, answer.headers, bytes(body[:largest]), cut)


def _why(error: urllib3.exceptions.HTTPError) -> tuple[str, bool]:
    """Why there is no answer, in words of our own: theirs may quote the address.

    And whether that is because nobody listens.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and (told := cause.strerror):
            return str(told), isinstance(cause, ConnectionRefusedError)
        inner = next((arg for arg in cause.args if isinstance(arg, BaseException)), None)
        cause = cause.__cause__ or inner
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return "it does not answer in time", False
    if isinstance(error, urllib3.exceptions.LocationParseError):
        return "its name cannot be one", False
    hung_up = isinstance(error, urllib3.exceptions.ProtocolError)
    return "it hung up" if hung_up else "no connection", False
