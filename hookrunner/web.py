"""HTTP to intake and back: what a request says, and how its run's fate is told.

The only module that knows Bottle. Bottle's own ways of reading a body are left alone
(they cap JSON at 100 kB, take a form for anything and answer in HTML): the raw bytes
go to intake.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

import bottle

from hookrunner import pages
from hookrunner.auth import authenticate
from hookrunner.auth.credential import Bearer
from hookrunner.intake import SOON, Accepted, Intake, unavailable
from hookrunner.log import Log, place_of
from hookrunner.model import (
    ENDED,
    Delivery,
    Hook,
    JournalUnavailable,
    Json,
    Outcome,
    Refused,
    Run,
    State,
    Why,
)
from hookrunner.seams import Journal

Environ = dict[str, Any]
Networks = tuple[IPv4Network | IPv6Network, ...]

MOST_WAITERS = 32
"""Senders that may wait at once. The other threads stay free for those who do not."""

LONGEST_WAIT = 25.0
"""Seconds that `Prefer: wait` may ask for: Heroku's router gives up after 30."""

OWN_PAGES = {
    r"/-/health": "GET",
    r"/-/runs/[^/]+": "GET",
    r"/-/runs/[^/]+/(replay|cancel)": "POST",
}

RUN_ID = re.compile(r"[a-z2-7]{20}")
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f]")


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back over HTTP."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class Web:
    """The WSGI application: hooks, health, a run's state, the landing page."""

    def __init__(
        self,
        intake: Intake,
        journal: Journal,
        log: Log,
        trusted: Networks,
        *,
        durable: bool,
        end_script: Callable[[str], None],
    ) -> None:
        """`trusted` are the proxies whose X-Forwarded-For is believed; `end_script` ends
        the script of a run that has been cancelled.

        `durable` says whether a run that is queued when we stop will be found by who
        comes after us.
        """
        self.intake = intake
        self.durable = durable
        self.end_script = end_script
        self.journal = journal
        self.log = log
        self.trusted = trusted
        self.waiters = threading.BoundedSemaphore(MOST_WAITERS)
        self.app = self._routes()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request (PEP 3333). A bug of ours is a plain 500 and a line in the log."""
        try:
            return self.app(environ, start_response)  # type: ignore[no-any-return]
        except Exception as error:
            self.log.error(f"bug: {place_of(error)}; please report it")
            answer = problem(Refused(500, "an error of the server; it has been logged"))
            start_response(_status(answer.status), list(answer.headers.items()))
            return [answer.body]

    def _routes(self) -> Any:
        app = bottle.Bottle()
        app.catchall = False
        app.route("/-/health", "GET", self._answering(self.health))
        app.route("/-/runs/<run_id>", "GET", self._answering(self.state))
        app.route("/-/runs/<run_id>/replay", "POST", self._answering(self.replay))
        app.route("/-/runs/<run_id>/cancel", "POST", self._answering(self.cancel))
        app.route("<path:re:(?s:.*)>", "ANY", self._answering(self.deliver))
        return app

    def _answering(self, page: Callable[..., Answer]) -> Callable[..., Any]:
        def answer(**named: str) -> Any:
            environ = bottle.request.environ
            try:
                given = page(environ, **named)
            except Refused as refused:
                self._log_refusal(environ, refused)
                given = problem(refused)
            return bottle.HTTPResponse(given.body, given.status, dict(given.headers))

        return answer

    def health(self, environ: Environ) -> Answer:
        """That the process is there and answers."""
        return _json(200, {"status": "ok"})

    def state(self, environ: Environ, run_id: str) -> Answer:
        """How a run stands, for whoever knows its unguessable id."""
        try:
            run = self.journal.run(run_id) if RUN_ID.fullmatch(run_id) else None
        except JournalUnavailable as error:
            raise unavailable(error) from None
        if run is None:
            raise Refused(404, "there is no such run")
        return _json(200, summary(run))

    def replay(self, environ: Environ, run_id: str) -> Answer:
        """Do a run again, by order of the administrator."""
        self._need_admin(environ)
        return _in_progress(self.intake.replay(run_id), None)

    def cancel(self, environ: Environ, run_id: str) -> Answer:
        """End a run, by order of the administrator."""
        self._need_admin(environ)
        if self.intake.cancel(run_id) is State.RUNNING:
            self.end_script(run_id)
        return self.state(environ, run_id)

    def _need_admin(self, environ: Environ) -> None:
        """Raise Refused unless the request carries ADMIN_TOKEN as a bearer token."""
        token = self.intake.config.environ.get("ADMIN_TOKEN", "")
        if not token:
            raise Refused(403, "this needs ADMIN_TOKEN to be set", "ADMIN_TOKEN is not set")
        scheme = Bearer((token.encode("utf-8", "surrogateescape"),))
        authenticate((scheme,), read_delivery(environ, self.trusted), time.time())

    def deliver(self, environ: Environ, path: str) -> Answer:
        """A delivery to a hook, or the landing page."""
        delivery = read_delivery(environ, self.trusted)
        if delivery.path.startswith("/-/") or delivery.path == "/-":
            raise _no_page(delivery.path)
        if delivery.path == "/" and "/" not in self.intake.config.hooks:
            return _landing(delivery)
        accepted = self.intake.accept(delivery)
        if not isinstance(accepted, Accepted):
            return _json(200, {"status": "ignored"})
        wait = _wait(accepted.hook, preferences(delivery.headers.get("prefer", "")))
        run = self._await(accepted.run_id, wait.seconds)
        answer = self._doomed(run) or told(accepted, run)
        extra = {"Hook-Run": accepted.run_id, **wait.applied}
        return Answer(answer.status, answer.body, {**answer.headers, **extra})

    def _await(self, run_id: str, wait: float) -> Run | None:
        """How the run stands after at most `wait` seconds; None if nobody waited."""
        if not wait or not self.waiters.acquire(blocking=False):
            return None
        try:
            return self.journal.await_end(run_id, wait)
        except JournalUnavailable as error:
            self.log.error(f"the journal is unavailable: {error}")
            return None  # it is recorded all the same: 202 is the truth
        finally:
            self.waiters.release()

    def _doomed(self, run: Run | None) -> Answer | None:
        """503 for a sender who waited, where its run ends with this process and its disk."""
        if self.durable or not self.intake.stopping or run is None or run.state in ENDED:
            return None
        return problem(Refused(503, "stopping; send it again soon", headers=SOON))

    def _log_refusal(self, environ: Environ, refused: Refused) -> None:
        method, path = environ.get("REQUEST_METHOD", "")[:20], _raw_path(environ)
        address = client_address(environ, self.trusted)
        self.log.info(
            f"refused {method} {path[:200]}: {refused.why} ({refused.status} to {address})",
            status=refused.status,
            path=path[:200],
            address=address,
        )


def read_delivery(environ: Environ, trusted: Networks) -> Delivery:
    """The request as a Delivery. Raises Refused(400) if its path is not UTF-8."""
    try:
        path = _raw_path(environ).encode("latin-1").decode("utf-8")
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
    if not forwarded or not _within(peer, trusted):
        return peer
    last = forwarded.rpartition(",")[2].strip()
    try:
        return str(ip_address(last))
    except ValueError:
        return peer


def _within(address: str, networks: Networks) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in networks)


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a `Prefer` header (RFC 7240) asks of us. `wait` is in seconds."""

    respond_async: bool = False
    wait: float | None = None


@dataclass(frozen=True, slots=True)
class _Wait:
    """How long a sender waits, and what of its preferences that honours."""

    seconds: float
    applied: Mapping[str, str]


def preferences(header: str) -> Preferences:
    """Read `Prefer: respond-async, wait=10`; what is not understood is ignored, as it says."""
    respond_async, wait = False, None
    for part in header.split(","):
        name, _, value = (piece.strip().lower() for piece in part.partition(";")[0].partition("="))
        if name == "respond-async":
            respond_async = True
        elif name == "wait" and re.fullmatch(r'("?)[0-9]{1,6}\1', value):
            wait = float(value.strip('"'))
    return Preferences(respond_async, wait)


def _wait(hook: Hook, prefer: Preferences) -> _Wait:
    """How long to wait for the outcome. RFC 7240 §4.3: `wait` says how long before a 202."""
    if prefer.wait is not None:
        patience = min([LONGEST_WAIT, *(scheme.patience for scheme in hook.auth)])
        seconds = min(prefer.wait, max(patience, hook.respond.wait))
        return _Wait(seconds, {"Preference-Applied": f"wait={seconds:g}"})
    if prefer.respond_async:
        return _Wait(0.0, {"Preference-Applied": "respond-async"})
    return _Wait(hook.respond.wait if hook.respond.mode != "accepted" else 0.0, {})


def told(accepted: Accepted, run: Run | None) -> Answer:
    """How a recorded delivery is answered: by the hook's `respond`, as its run stands."""
    hook = accepted.hook
    if run is None or run.state not in ENDED or run.outcome is None:
        return _in_progress(accepted, run)
    outcome = run.outcome
    if run.state is State.SUCCEEDED:
        return _redirect(hook) or _ended(hook, 200, run, outcome)
    mapped = hook.respond.exit_status.get(outcome.exit_code or 0)
    if outcome.why is Why.EXIT and mapped:
        return _ended(hook, mapped, run, outcome)
    if outcome.why is Why.TIMEOUT:
        return problem(Refused(504, f"the script {outcome}"), summary(run))
    return problem(Refused(500, f"the script failed: {outcome}"), summary(run))


def _in_progress(accepted: Accepted, run: Run | None) -> Answer:
    redirect = _redirect(accepted.hook)
    if redirect:
        return redirect
    place = f"/-/runs/{accepted.run_id}"
    state = run.state if run else State.QUEUED
    return _json(202, {"run": accepted.run_id, "state": state, "location": place}, Location=place)


def _ended(hook: Hook, status: int, run: Run, outcome: Outcome) -> Answer:
    """What the script printed, or JSON about the run, with the hook's own headers."""
    if hook.respond.mode == "output":
        headers = {"Content-Type": hook.respond.type, "X-Content-Type-Options": "nosniff"}
        return Answer(status, outcome.stdout, headers | dict(hook.respond.headers))
    answer = _json(status, summary(run))
    return Answer(status, answer.body, {**answer.headers, **dict(hook.respond.headers)})


def _redirect(hook: Hook) -> Answer | None:
    """303: the browser that sent a form is to GET the page named there (RFC 9110 §15.4.4)."""
    if hook.respond.redirect is None:
        return None
    return Answer(303, b"", {"Location": hook.respond.redirect, **dict(hook.respond.headers)})


def summary(run: Run) -> dict[str, Json]:
    """What anybody who knows a run's id may know of it: no payload and no output."""
    said: dict[str, Json] = {"run": run.run_id, "state": run.state, "attempt": run.attempt}
    if run.outcome is not None and run.state in ENDED:
        said |= {
            "exit_code": run.outcome.exit_code,
            "signal": run.outcome.signal,
            "why": run.outcome.why,
            "seconds": round(run.outcome.seconds, 3),
        }
    return said


def problem(refused: Refused, more: Mapping[str, Json] | None = None) -> Answer:
    """A refusal as RFC 9457 problem details."""
    said: dict[str, Json] = {
        "type": "about:blank",
        "title": HTTPStatus(refused.status).phrase,
        "status": refused.status,
        "detail": refused.told,
    }
    if refused.errors:
        said["errors"] = [{"pointer": e.pointer, "detail": e.detail} for e in refused.errors]
    body = json.dumps(said | dict(more or {}), ensure_ascii=False).encode("utf-8", "replace")
    return Answer(
        refused.status, body + b"\n", {"Content-Type": "application/problem+json"} | refused.headers
    )


def _no_page(path: str) -> Refused:
    """404, or 405 if there is such a page, but not for this method."""
    for pattern, method in OWN_PAGES.items():
        if re.fullmatch(pattern, path):
            return Refused(405, f"use {method}", headers={"Allow": method})
    return Refused(404, "there is no such page")


def _landing(delivery: Delivery) -> Answer:
    if delivery.method not in ("GET", "HEAD"):
        raise Refused(405, "use GET", headers={"Allow": "GET"})
    headers = {"Content-Type": "text/html; charset=utf-8", **pages.SECURITY}
    return Answer(200, pages.LANDING.encode(), headers)


def _json(status: int, said: Json, **headers: str) -> Answer:
    body = json.dumps(said, ensure_ascii=False).encode() + b"\n"
    return Answer(status, body, {"Content-Type": "application/json", **headers})


def _status(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"


def _raw_path(environ: Environ) -> str:
    # Bottle drops bytes that are not UTF-8 from PATH_INFO, which would make /hel%fflo a hook.
    return str(environ.get("bottle.raw_path", environ.get("PATH_INFO", "")))
