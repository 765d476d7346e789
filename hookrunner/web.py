"""HTTP to intake and back: what a request says, and how its run's fate is told.

The only module that knows Bottle. Bottle's own ways of reading a body are left alone
(they cap JSON at 100 kB, take a form for anything and answer in HTML): the raw bytes
go to intake.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import bottle

from hookrunner import form, pages, route, telling
from hookrunner.admin import Admin
from hookrunner.answer import (
    LATER,
    Answer,
    Environ,
    Later,
    as_json,
    client_address,
    problem,
    raw_path,
    read_delivery,
    status_line,
)
from hookrunner.auth import authenticate
from hookrunner.auth.credential import Bearer
from hookrunner.counts import Count
from hookrunner.intake import SOON, Accepted, Ignored, Intake, Judged, unavailable
from hookrunner.log import Log, place_of
from hookrunner.model import (
    ENDED,
    Delivery,
    Greeting,
    Hook,
    JournalUnavailable,
    Json,
    Networks,
    Outcome,
    Query,
    Refusal,
    Refused,
    Run,
    State,
    Why,
)
from hookrunner.seams import Journal

T = TypeVar("T")

MOST_WAITERS = 32
"""Senders that may wait at once; who comes then is told 202 instead."""

LONGEST_WAIT = 25.0
"""Seconds that `Prefer: wait` may ask for: Heroku's router gives up after 30."""

OWN_PAGES = {
    r"/-/": "GET",
    r"/-/(health|ready|metrics|hook|refusals)": "GET",
    r"/-/login": "GET, POST",
    r"/-/(logout|hook/try)": "POST",
    r"/-/assets/[^/]+": "GET",
    r"/-/runs/[^/]+/(live|stdout|stderr)": "GET",
    r"/-/runs": "GET",
    r"/-/runs/[^/]+": "GET",
    r"/-/runs/[^/]+/(replay|cancel)": "POST",
    r"/-/prune": "POST",
}

PATIENCE = 2.0
"""Seconds in which a journal that can be written has been written."""

LONGEST_WHY = 300
MOST_LISTED = 500
SECONDS = r"[0-9]{1,12}(\.[0-9]{1,6})?"
PLACE = (r"[0-9]{1,15}", "the place of a byte")
Queries = Mapping[str, tuple[str, str]]
"""What a page may be asked with: the pattern of each value, and what it is."""

QUERIES: Queries = {
    "id": (r"(?s:.*)", "how an id begins or ends"),
    "hook": (r"(?s:.*)", "a path of hooks.yaml"),
    "state": ("|".join(State), f"one of {', '.join(State)}"),
    "since": (SECONDS, "in Unix seconds"),
    "before": (r"[0-9]{1,18}", "the seq of a run"),
    "limit": (r"[1-9][0-9]{0,8}", "a whole number from 1"),
    "unreplaced": ("1", "1, for runs that none has replaced"),
}
OLDER: Queries = {"older": (SECONDS, "in seconds")}
PLACES: Queries = {
    "attempt": (r"[1-9][0-9]{0,8}", "the number of an attempt"),
    "stdout": PLACE,
    "stderr": PLACE,
    "exact": ("1", "1, for what was sent as it was, secrets and all; with nothing else"),
}

RUN_ID = re.compile(r"[a-z2-7]{20}")


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
        checks: Mapping[str, Callable[[], str]] | None = None,
    ) -> None:
        """`trusted` are the proxies whose X-Forwarded-For is believed; `end_script` ends
        the script of a run that has been cancelled.

        `durable` says whether a run that is queued when we stop will be found by who
        comes after us. `checks` say, by name, what keeps us from being ready; nothing if
        nothing does.
        """
        self.intake = intake
        self.durable = durable
        self.end_script = end_script
        self.journal = journal
        self.log = log
        self.trusted = trusted
        self.waiters = Places(MOST_WAITERS)
        self.waits_over = False
        self.checks = {"journal": self._journal_fault, **(checks or {})}
        self.admin = Admin(
            intake, journal, lambda: log.mask, trusted, self._need_admin, self.end_script
        )
        self.owner = ""
        """A token for who can read our files, and so may do what the administrator may."""

        self.refused = Count()
        """What was turned away, by hook (empty for what is none's), status and reason."""

        self.measure: Callable[[str], tuple[str, bytes]] | None = None
        """The metrics for an Accept header: their content type, and the text."""

        self.app = self._routes()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request (PEP 3333). A bug of ours is a plain 500 and a line in the log."""
        try:
            return self.app(environ, start_response)  # type: ignore[no-any-return]
        except Exception as error:
            answer = self.fault(error)
            start_response(status_line(answer.status), list(answer.headers.items()))
            return [answer.body]

    def fault(self, error: Exception) -> Answer:
        """What a sender is told of a bug of ours, after it has been logged."""
        self.log.error(f"bug: {place_of(error)}; please report it")
        return problem(Refused(500, "an error of the server; it has been logged"))

    def unread(self, path: str, accept: str, refused: Refused) -> Answer:
        """What is said of a request that was not read to its end, and has been logged."""
        self.count_refusal("", refused)
        page = self.admin.unread(accept, refused) if path.startswith("/-/") else None
        return page or problem(refused)

    def hook_of(self, path: str) -> str:
        """The path in hooks.yaml of the hook that PEP 3333's path leads to; empty if none."""
        decoded = path.encode("latin-1", "replace").decode("utf-8", "replace")
        found = route.find("/" + decoded.lstrip("/"), self.intake.config.hooks)
        return found[0].path if found else ""

    def asks_others(self, path: str) -> bool:
        """True if the hook that the path leads to may have to ask another machine who posts."""
        asking = self.intake.config.asking
        return bool(asking) and self.hook_of(path) in asking

    def end_waits(self) -> None:
        """Tell all who wait how their runs stand, now; nobody shall wait any more."""
        self.waits_over = True
        self.admin.live.end_all()
        self.journal.wake_senders()

    def _routes(self) -> Any:
        app = bottle.Bottle()
        app.catchall = False
        app.route("/-/health", "GET", self._answering(self.health))
        app.route("/-/ready", "GET", self._answering(self.ready))
        app.route("/-/metrics", "GET", self._answering(self.metrics))
        admin = self.admin
        for path, method, page in (
            ("/-/", "GET", admin.overview),
            ("/-/hook", "GET", admin.hook),
            ("/-/hook/try", "POST", admin.trial),
            ("/-/refusals", "GET", admin.refusals),
            ("/-/login", "GET", admin.login_page),
            ("/-/login", "POST", admin.login),
            ("/-/logout", "POST", admin.logout),
            ("/-/assets/<name>", "GET", admin.asset),
            ("/-/runs/<run_id>/<stream:re:stdout|stderr>", "GET", admin.output),
        ):
            app.route(path, method, self._answering(page, always_html=True))
        app.route("/-/runs/<run_id>/live", "GET", self._answering(admin.listen))
        app.route("/-/runs", "GET", self._answering(self.runs))
        app.route("/-/runs/<run_id>", "GET", self._answering(self.state))
        app.route("/-/runs/<run_id>/replay", "POST", self._answering(self.replay))
        app.route("/-/runs/<run_id>/cancel", "POST", self._answering(self.cancel))
        app.route("/-/prune", "POST", self._answering(self.prune))
        app.route("<path:re:(?s:.*)>", "ANY", self._answering(self.deliver))
        return app

    def _answering(
        self, page: Callable[..., Answer | None], *, always_html: bool = False
    ) -> Callable[..., Any]:
        guarded = self.admin.guarded(page)

        def answer(**named: str) -> Any:
            environ = bottle.request.environ
            try:
                _refuse_no_text(environ)
                given = guarded(environ, **named)
            except Refused as refused:
                self.log_refusal(environ, refused)
                given = problem(refused)
                if always_html or self._is_page(environ):
                    given = self.admin.refusal(environ, refused)
            if given is None:
                environ[LATER].hold()
                return b""
            return bottle.HTTPResponse(given.body, given.status, dict(given.headers))

        return answer

    def _is_page(self, environ: Environ) -> bool:
        """True if somebody looks at a page of ours, and would rather read why not than parse it."""
        return raw_path(environ).startswith("/-/") and self.admin.wants_page(environ)

    def ready(self, environ: Environ) -> Answer:
        """That deliveries can be taken in and carried out; what is wrong, if they cannot."""
        wrong = {name: told for name, check in self.checks.items() if (told := check())}
        if wrong:
            raise Refused(503, "; ".join(f"{name}: {told}" for name, told in wrong.items()))
        return as_json(200, {"status": "ready"})

    def _journal_fault(self) -> str:
        try:
            self.journal.try_writing(PATIENCE)
        except JournalUnavailable as error:
            self.log.error(f"the journal is unavailable: {error}")
            return "cannot be written"
        return ""

    def health(self, environ: Environ) -> Answer:
        """That the process is there and answers."""
        return as_json(200, {"status": "ok"})

    def metrics(self, environ: Environ) -> Answer:
        """Numbers for Prometheus; for the administrator."""
        self._need_admin(environ)
        if self.measure is None:
            raise Refused(404, "there is no such page")
        kind, text = self.measure(environ.get("HTTP_ACCEPT", ""))
        return Answer(200, text, {"Content-Type": kind, "Cache-Control": "no-store"})

    def runs(self, environ: Environ) -> Answer:
        """The runs that a query asks for, newest first; for the administrator."""
        if self.admin.wants_page(environ):
            return self.admin.runs(environ)
        self._need_admin(environ)
        asked = asked_of(environ, QUERIES)
        try:
            if part := asked.pop("id", ""):
                if asked:
                    raise Refused(400, f"id goes with nothing else, and not with {min(asked)}")
                named = [self.journal.standing(run_id) for run_id in self.journal.named(part)]
                found = [run for run in named if run]
            else:
                found = self.journal.runs(read_query(asked))
        except JournalUnavailable as error:
            raise unavailable(error) from None
        return as_json(200, {"runs": [telling.row(run, self.log.mask) for run in found]})

    def state(self, environ: Environ, run_id: str) -> Answer:
        """How a run stands, for whoever knows its unguessable id; all for the administrator."""
        if self.admin.wants_page(environ):
            return self.admin.run(environ, run_id)
        asked, told = asked_of(environ, PLACES), telling.summary
        if asked or environ.get("HTTP_AUTHORIZATION"):
            self._need_admin(environ)
            told = partial(self._printed, asked) if asked else self._whole
            if asked.pop("exact", ""):
                if asked:
                    raise Refused(400, f"exact goes with nothing else, and not with {min(asked)}")
                told = partial(self._whole, exact=True)
        try:
            run = self.journal.standing(run_id) if RUN_ID.fullmatch(run_id) else None
            if run is None:
                raise Refused(404, "there is no such run")
            return as_json(200, told(run))
        except JournalUnavailable as error:
            raise unavailable(error) from None

    def _whole(self, run: Run, *, exact: bool = False) -> dict[str, Json]:
        new = self.journal.recorded(run.run_id)
        if new is None:  # it was pruned at this moment
            raise Refused(404, "there is no such run")
        attempts = self.journal.attempts(run.run_id, telling.WHOLE)
        return telling.whole(run, new, attempts, self.log.mask, exact=exact)

    def _printed(self, asked: Mapping[str, str], run: Run) -> dict[str, Json]:
        number, mask = int(asked.get("attempt", run.attempt)), self.log.mask
        places = int(asked.get("stdout", 0)), int(asked.get("stderr", 0))
        found = self.journal.printed(run.run_id, number, *places, mask.longest, telling.PIECE)
        return telling.printed(run, found, places, mask)

    def replay(self, environ: Environ, run_id: str) -> Answer:
        """Do a run again, by order of the administrator."""
        if self.admin.is_form(environ):
            return self.admin.replay(environ, run_id)
        self._need_admin(environ)
        asked_of(environ, {})
        return _in_progress(self.intake.replay(run_id), None)

    def cancel(self, environ: Environ, run_id: str) -> Answer:
        """End a run, by order of the administrator."""
        if self.admin.is_form(environ):
            return self.admin.cancel(environ, run_id)
        self._need_admin(environ)
        asked_of(environ, {})
        if self.intake.cancel(run_id) is State.RUNNING:
            self.end_script(run_id)
        return self.state(environ, run_id)

    def prune(self, environ: Environ) -> Answer:
        """Forget what has ended, by order of the administrator; how many runs that were.

        Some of it, if it takes long: `more` says so.
        """
        self._need_admin(environ)
        older = asked_of(environ, OLDER).get("older")
        try:
            pruned, more = self.intake.prune(float(older) if older else None)
        except JournalUnavailable as error:
            raise unavailable(error) from None
        return as_json(200, {"pruned": pruned, "more": more})

    def _need_admin(self, environ: Environ) -> None:
        """Raise Refused unless the request carries ADMIN_TOKEN, or `owner`, as a bearer token."""
        token, owner = self.admin.token(), self.owner
        known = [word.encode("utf-8", "surrogateescape") for word in (token, owner) if word]
        delivery = read_delivery(environ, self.trusted)
        guesses = self.admin.guessing(environ) if "authorization" in delivery.headers else None
        try:
            with guesses or nullcontext():
                authenticate((Bearer(tuple(known)),), delivery, time.time())
        except Refused:
            if token:
                raise
            told = "this needs ADMIN_TOKEN to be set"
            raise Refused(403, told, "ADMIN_TOKEN is not set") from None

    def deliver(self, environ: Environ, path: str) -> Answer | None:
        """A delivery to a hook, or the landing page. None if the answer comes later."""
        delivery = read_delivery(environ, self.trusted)
        if delivery.path.startswith("/-/") or delivery.path == "/-":
            raise _no_page(delivery.path)
        if delivery.path == "/" and "/" not in self.intake.config.hooks:
            return _landing(delivery)
        judged = self.intake.judge(delivery)
        if isinstance(judged, Ignored):
            if judged.manners.bare:
                return Answer(judged.manners.accepted, b"", {})
            return as_json(200, {"status": "ignored"})
        if isinstance(judged, Greeting):
            return _greeting(judged)
        wait = _wait(judged.hook, preferences(delivery.headers.get("prefer", "")))
        _Sender(self, environ, wait).record(judged)
        return None

    def doomed(self, run: Run | None) -> Answer | None:
        """503 for a run that ends with this process and its disk, before it has been done."""
        if self.durable or not self.intake.stopping or (run and run.state in ENDED):
            return None
        return problem(Refused(503, "stopping; send it again soon", headers=SOON))

    def count_refusal(self, hook: str, refused: Refused) -> None:
        """Count a refusal; `hook` is empty for what is no hook's."""
        self.refused.add(hook, str(refused.status), refused.reason)

    def log_refusal(self, environ: Environ, refused: Refused) -> None:
        """Have a refusal counted, in the log, and in the journal."""
        asked = raw_path(environ)
        self.count_refusal("" if asked.startswith("/-") else self.hook_of(asked), refused)
        # Masked before they are cut: half of a secret is not known for one.
        mask = self.log.mask
        method = mask.text(environ.get("REQUEST_METHOD", ""))[:20]
        path = mask.payload(asked.encode("latin-1", "replace")).decode("latin-1")
        address = client_address(environ, self.trusted)
        self.log.info(
            f"refused {method} {path[:200]}: {refused.why} ({refused.status} to {address})",
            status=refused.status,
            path=path[:200],
            address=address,
        )
        size = environ.get("CONTENT_LENGTH", "")
        size = int(size) if size.isdigit() else 0
        why = mask.text(refused.why.encode("utf-8", "replace").decode())[:LONGEST_WHY]
        self.journal.note(
            Refusal(time.time(), method, path[:200], refused.status, why, address, size)
        )


class Places:
    """So many places, of which some are taken."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take one; False if there is none."""
        with self._lock:
            free = self.taken < self.most
            self.taken += free
            return free

    def leave(self) -> None:
        """Give it back."""
        with self._lock:
            self.taken -= 1


class _Sender:
    """Who has sent a delivery, from its recording to its answer."""

    def __init__(self, web: Web, environ: Environ, wait: _Wait) -> None:
        self.web = web
        self.environ = environ
        self.wait = wait
        self.waits = wait.seconds > 0 and web.waiters.take()
        self.later: Later = environ[LATER]
        self.accepted: Accepted | None = None
        self.stop_timer: Callable[[], None] | None = None

    def record(self, judged: Judged) -> None:
        """Have the delivery recorded; what follows happens on the server's thread."""
        then = self._on_loop(self._recorded)
        ended = self._called if self.waits else None
        self._try(lambda: self.web.intake.record(judged, then, ended))

    def _recorded(self, accepted: Callable[[], Accepted]) -> None:
        self.accepted = accepted()
        if not self.waits:
            if self.accepted.joined:
                self._ask_beside()
            else:
                self._tell(None)
            return
        end_wait = partial(self._try, self._end_wait)
        self.stop_timer = self.later.after(self.wait.seconds, end_wait)
        self.later.if_gone(end_wait)
        if self.web.waits_over:  # they may have ended just before this one began
            self._end_wait()

    def _called(self, run: Run | None) -> None:
        self.later.soon(partial(self._try, partial(self._end_wait, run)))

    def _end_wait(self, run: Run | None = None) -> None:
        """An attempt has ended, or the time to wait, or the sender has gone; the first counts."""
        if self.stop_timer and self.accepted:
            self.stop_timer()
            self.stop_timer = None
            self.web.journal.unwatch(self.accepted.run_id, self._called)
            if run:
                self._ended(run)
            else:
                self._ask_beside()

    def _ask_beside(self) -> None:
        """Ask beside the server's thread: a journal that is away takes seconds to say so."""
        threading.Thread(target=self._ask, name="ask", daemon=True).start()

    def _ask(self) -> None:
        """Have it told how the run stands."""
        self._on_loop(self._ended)(self._run())

    def _run(self) -> Run | None:
        try:
            return self.web.journal.run(self.accepted.run_id) if self.accepted else None
        except JournalUnavailable as error:
            self.web.log.error(f"the journal is unavailable: {error}")
            return None

    def _ended(self, run: Run | None) -> None:
        if run and run.state in ENDED:
            self._tell(run)
        else:
            # 202 is a promise, and what was recorded for who waits may not be synced yet.
            self.web.journal.sync_soon(self._on_loop(partial(self._synced, run)))

    def _synced(self, run: Run | None, error: JournalUnavailable | None) -> None:
        if error:
            raise unavailable(error)
        self._tell(run)

    def _tell(self, run: Run | None) -> None:
        if self.accepted:
            answer = self.web.doomed(run) or (told if self.waits else _in_progress)(
                self.accepted, run
            )
            applied = self.wait.applied if self.waits or not self.wait.seconds else {}
            extra = {"Hook-Run": self.accepted.run_id, **applied}
            self._answer(Answer(answer.status, answer.body, {**answer.headers, **extra}))

    def _answer(self, answer: Answer) -> None:
        if self.waits:
            self.waits = False
            self.web.waiters.leave()
        self.later.answer(answer)

    def _on_loop(self, step: Callable[[T], None]) -> Callable[[T], None]:
        """The step as one that any thread may ask for."""
        return lambda given: self.later.soon(partial(self._try, partial(step, given)))

    def _try(self, step: Callable[[], None]) -> None:
        """Take a step; what it raises becomes the answer."""
        try:
            step()
        except Refused as refused:
            self.web.log_refusal(self.environ, refused)
            self._answer(problem(refused))
        except Exception as error:
            self._answer(self.web.fault(error))


def asked_of(environ: Environ, known: Queries) -> dict[str, str]:
    """What a page is asked with. Raises Refused(400) with what is wrong, and would be right."""
    asked = {}
    for name, value in form.query(environ.get("QUERY_STRING", "")).items():
        if name not in known:
            may = f"is none of {', '.join(known)}" if known else "cannot be asked for here"
            raise Refused(400, f"{name[:40]!r} {may}")
        pattern, told = known[name]
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise Refused(400, f"{name} cannot be {str(value)[:40]!r}; it is {told}")
        asked[name] = value
    return asked


def read_query(asked: Mapping[str, str]) -> Query:
    """The query of a list of runs."""
    return Query(
        hook=asked.get("hook", ""),
        state=State(asked["state"]) if "state" in asked else None,
        since=float(asked.get("since", 0.0)),
        before=int(asked["before"]) if "before" in asked else None,
        most=min(int(asked.get("limit", 50)), MOST_LISTED),
        unreplaced="unreplaced" in asked,
    )


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
        patience = min([LONGEST_WAIT, *(scheme.manners.wait for scheme in hook.auth)])
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
        return _redirect(hook) or _ended(accepted, 200, run, outcome)
    mapped = hook.respond.exit_status.get(outcome.exit_code or 0)
    if outcome.why is Why.EXIT and mapped:
        return _ended(accepted, mapped, run, outcome)
    if outcome.why is Why.TIMEOUT:
        return problem(Refused(504, f"the script {outcome}"), telling.summary(run))
    return problem(Refused(500, f"the script failed: {outcome}"), telling.summary(run))


def _refuse_no_text(environ: Environ) -> None:
    """Bottle looks for a page without the bytes that are not UTF-8. Raises Refused."""
    try:
        raw_path(environ).encode("latin-1").decode()
    except UnicodeError:
        raise Refused(400, "the path is not UTF-8") from None


def _in_progress(accepted: Accepted, run: Run | None) -> Answer:
    redirect = _redirect(accepted.hook)
    if redirect:
        return redirect
    place = f"/-/runs/{accepted.run_id}"
    state = run.state if run else State.QUEUED
    manners = accepted.manners
    if manners.bare:
        return Answer(manners.accepted, b"", {"Location": place})
    said = {"run": accepted.run_id, "state": state, "location": place}
    return as_json(manners.accepted, said, Location=place)


def _ended(accepted: Accepted, status: int, run: Run, outcome: Outcome) -> Answer:
    """What the script printed, or JSON about the run, with the hook's own headers."""
    hook, manners = accepted.hook, accepted.manners
    if hook.respond.mode == "output":
        headers = {"Content-Type": hook.respond.type, "X-Content-Type-Options": "nosniff"}
        return Answer(status, outcome.stdout, headers | dict(hook.respond.headers))
    if manners.bare:
        return Answer(
            manners.accepted if status == 200 else status, b"", dict(hook.respond.headers)
        )
    answer = as_json(status, telling.summary(run))
    return Answer(status, answer.body, {**answer.headers, **dict(hook.respond.headers)})


def _greeting(greeting: Greeting) -> Answer:
    """The answer to a handshake; a browser is to take its text for text."""
    headers = {"X-Content-Type-Options": "nosniff"}
    if greeting.body:
        headers["Content-Type"] = greeting.type
    return Answer(greeting.status, greeting.body, headers)


def _redirect(hook: Hook) -> Answer | None:
    """303: the browser that sent a form is to GET the page named there (RFC 9110 §15.4.4)."""
    if hook.respond.redirect is None:
        return None
    return Answer(303, b"", {"Location": hook.respond.redirect, **dict(hook.respond.headers)})


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
