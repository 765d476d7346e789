"""A running server, asked over HTTP as its administrator; the only import of urllib3."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import quote, urlencode, urlsplit

import urllib3

from hookrunner.model import Json, Query, Trouble

TIMEOUT = urllib3.Timeout(connect=10, read=40)
"""Seconds; Heroku's router gives up after 30."""


class Server:
    """A server's own pages under /-/; `token` is its ADMIN_TOKEN."""

    def __init__(self, url: str, token: str) -> None:
        """Raises Trouble if the address is none."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise Trouble(
                f"--url must be an address such as https://app.herokuapp.com, not {url!r}"
            )
        self.url = url.rstrip("/")
        self._token = token
        self._pool = urllib3.PoolManager(timeout=TIMEOUT, retries=False)

    def runs(self, query: Query) -> list[dict[str, Json]]:
        asked = {
            "hook": query.hook,
            "state": query.state or "",
            "since": f"{query.since:.3f}" if query.since else "",
            "before": "" if query.before is None else str(query.before),
            "limit": str(query.most),
        }
        given = urlencode({name: value for name, value in asked.items() if value})
        return list(self._ask("GET", f"/-/runs?{given}")["runs"])

    def named(self, part: str) -> list[str]:
        found = self._ask("GET", f"/-/runs?id={quote(part, safe='')}")["runs"]
        return [run["run"] for run in found]

    def whole(self, run_id: str) -> dict[str, Json]:
        return self._ask("GET", f"/-/runs/{run_id}")

    def replay(self, run_id: str) -> str:
        return str(self._ask("POST", f"/-/runs/{run_id}/replay")["run"])

    def cancel(self, run_id: str) -> None:
        self._ask("POST", f"/-/runs/{run_id}/cancel")

    def prune(self, older: float | None) -> int:
        given = "" if older is None else f"?older={older:.3f}"
        return int(self._ask("POST", f"/-/prune{given}")["pruned"])

    def _ask(self, method: str, path: str) -> dict[str, Json]:
        if not self._token:
            raise Trouble(
                f"{self.url} is asked as its administrator, and ADMIN_TOKEN is not set; set it to "
                "the server's (heroku config:get ADMIN_TOKEN), or in .env, and start it anew"
            )
        status, body = self.post(method, path, {"Authorization": f"Bearer {self._token}"}, b"")
        try:
            said = json.loads(body)
        except ValueError:
            raise Trouble(f"{self.url} answered {status}, and not as a hookrunner does") from None
        if status >= 400:
            raise Trouble(f"{self.url} answered {status}: {_detail(said)}")
        return dict(said)

    def post(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes]:
        """The status and the body of an answer. Raises Trouble if there is none."""
        answer = self.request(method, path, headers, body)
        return answer.status, answer.data

    def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> urllib3.BaseHTTPResponse:
        """An answer. Raises Trouble if there is none."""
        try:
            return self._pool.request(
                method, self.url + path, headers=dict(headers), body=body, redirect=False
            )
        except urllib3.exceptions.HTTPError as error:
            told = str(error).rpartition(": ")[2] or type(error).__name__
            raise Trouble(f"{self.url} cannot be reached: {told}") from None


def _detail(said: Json) -> str:
    return str(said.get("detail", "")) if isinstance(said, dict) else ""
