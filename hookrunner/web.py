"""HTTP to intake and back: what a request says, and how its run's fate is told.

The only module that knows Bottle. Bottle's own ways of reading a body are left alone
(they cap JSON at 100 kB, take a form for anything and answer in HTML): the raw bytes
go to intake.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import bottle

from hookrunner import asking, health, pages, route, telling
from hookrunner.access import PAGES, VISIT, Access, Elsewhere, Who, wants_html
from hookrunner.admin import Admin
from hookrunner.answer import (
    LATER,
    Answer,
    Environ,
    Later,
    as_json,
    bug,
    problem,
    raw_path,
    read_delivery,
    status_line,
)
from hookrunner.api import PRIVATE, Api
from hookrunner.asking import asked_of
from hookrunner.intake import SOON, Accepted, Ignored, Intake, Judged, unavailable
from hookrunner.log import Log
from hookrunner.model import (
    ENDED,
    Delivery,
    Greeting,
    Hook,
    JournalUnavailable,
    Json,
    Networks,
    Outcome,
    Refused,
    Run,
    State,
    Why,
)
from hookrunner.refusing import RefusalBook
from hookrunner.seams import Journal

T = TypeVar("T")

MOST_WAITERS = 32
"""Senders that may wait at once; who comes then is told 202 instead."""

LONGEST_WAIT = 25.0
"""Seconds that `Prefer: wait` may ask for: Heroku's router gives up after 30."""

RUN_ID = re.compile(r"[a-z2-7]{20}")
NAMED = re.compile(r"<[a-z_]+(?::re:(.*?))?>")
"""A name in a page's path, as Bottle writes it."""

Page = Callable[[Environ], Answer]


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
        self.checks: health.Checks = {
            "journal": health.JournalCheck(journal, log),
            **(checks or {}),
        }
        self.access = Access(lambda: intake.config.environ.get("ADMIN_TOKEN", ""), trusted)
        self.refused = RefusalBook(journal, log, trusted)
        self.admin = Admin(
            intake, journal, lambda: log.mask, self.access, self.refused, self.end_script
        )
        self.api = Api(intake, journal, self.admin)
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
        return bug(error, self.log)

    def unread(self, environ: Environ, refused: Refused, *, closed: bool = False) -> Answer:
        """What is said of a request that was not read to its end, after that has been noted."""
        self.refused.add(environ, refused, "", closed=closed)
        return self._told(environ, refused)

    def hook_of(self, path: str) -> str:
        """The path in hooks.yaml of the hook that PEP 3333's path leads to; empty if none."""
        decoded = path.encode("latin-1", "replace").decode("utf-8", "replace")
        decoded = "/" + decoded.lstrip("/")
        if _is_own(decoded):
            return ""
        found = route.find(decoded, self.intake.config.hooks)
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
        for path, methods in PAGES.items():
            for method, who in methods.items():
                app.route(path, method, self._answering(self._page(path, method), who))
        app.route("<path:re:(?s:.*)>", "ANY", self._answering(self.deliver, Who.ANYBODY))
        return app

    def _page(self, path: str, method: str) -> Callable[..., Answer | None]:
        """What answers a request to a page of ours."""
        admin, api = self.admin, self.api
        pages: Mapping[str, Callable[..., Answer | None]] = {
            "GET /-/health": self.health,
            "GET /-/ready": self.ready,
            "GET /-/metrics": self.metrics,
            "GET /-/assets/<name>": admin.asset,
            "GET /-/login": admin.login_page,
            "POST /-/login": admin.login,
            "POST /-/logout": admin.logout,
            "GET /-/": _either(admin.overview, api.overview),
            "GET /-/hooks": _either(admin.overview, api.hook_list),
            "GET /-/hook": _either(admin.hook, api.hook),
            "POST /-/hook/try": admin.trial,
            "GET /-/refusals": _either(admin.refusals, api.refusals),
            "GET /-/openapi.json": api.description,
            "GET /-/docs": _either(admin.docs, api.description),
            "GET /-/runs": _either(admin.runs, api.runs),
            "GET /-/runs/<run_id>": self.state,
            "GET /-/runs/<run_id>/live": admin.listen,
            "GET /-/runs/<run_id>/<stream:re:stdout|stderr>": admin.output,
            "POST /-/runs/<run_id>/replay": self.replay,
            "POST /-/runs/<run_id>/cancel": self.cancel,
            "POST /-/prune": self.prune,
        }
        return pages[f"{method} {path}"]

    def _answering(self, page: Callable[..., Answer | None], who: Who) -> Callable[..., Any]:
        def answer(**named: str) -> Any:
            environ = bottle.request.environ
            try:
                _refuse_no_text(environ)
                given = self._let_in(page, who, environ, named)
            except Refused as refused:
                self.log_refusal(environ, refused)
                given = self._told(environ, refused)
            if given is None:
                environ[LATER].hold()
                return b""
            return bottle.HTTPResponse(given.body, given.status, dict(given.headers))

        return answer

    def _let_in(
        self,
        page: Callable[..., Answer | None],
        who: Who,
        environ: Environ,
        named: Mapping[str, str],
    ) -> Answer | None:
        """The page's answer to who may have it. Raises Refused."""
        try:
            environ[VISIT] = self.access.let_in(environ, who)
            if "run_id" in named and not RUN_ID.fullmatch(named["run_id"]):
                raise Refused(404, "there is no such run")  # no journal need be asked for it
            return page(environ, **named)
        except Elsewhere as elsewhere:
            return elsewhere.answer
        except JournalUnavailable as error:
            raise unavailable(error) from None

    def _told(self, environ: Environ, refused: Refused) -> Answer:
        """A refusal; as a page to whoever looks at one, and would rather read it than parse it."""
        if raw_path(environ).startswith("/-/") and wants_html(environ):
            return self.admin.refusal(environ, refused)
        return problem(refused)

    def ready(self, environ: Environ) -> Answer:
        """That deliveries can be taken in and carried out; what is wrong, if they cannot."""
        return health.ready(self.checks)

    def health(self, environ: Environ) -> Answer:
        """That the process is there and answers."""
        return health.there()

    def metrics(self, environ: Environ) -> Answer:
        """Numbers for Prometheus."""
        if self.measure is None:
            raise Refused(404, "there is no such page")
        kind, text = self.measure(environ.get("HTTP_ACCEPT", ""))
        return Answer(200, text, {"Content-Type": kind, **PRIVATE})

    def state(self, environ: Environ, run_id: str) -> Answer:
        """How a run stands, for whoever knows its unguessable id; all for the administrator."""
        visit = environ[VISIT]
        if visit and wants_html(environ):
            return self.admin.run(environ, run_id)
        asked = asked_of(environ, asking.PLACES)
        visit = visit or (asked and self.access.let_in(environ, Who.ADMINISTRATOR))
        exact = asked.pop("exact", "")
        if exact and asked:
            raise Refused(400, f"exact goes with nothing else, and not with {min(asked)}")
        run = self.journal.standing(run_id)
        if run is None:
            raise Refused(404, "there is no such run")
        if not visit:
            return as_json(200, telling.summary(run), **PRIVATE)
        told = self._printed(asked, run) if asked else self._whole(run, exact=bool(exact))
        return as_json(200, told, **PRIVATE)

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
        if environ[VISIT].session:
            return self.admin.replay(environ, run_id)
        asked_of(environ, asking.NOTHING)
        return _promised(self.intake.replay(run_id), None)

    def cancel(self, environ: Environ, run_id: str) -> Answer:
        """End a run, by order of the administrator."""
        if environ[VISIT].session:
            return self.admin.cancel(environ, run_id)
        asked_of(environ, asking.NOTHING)
        if self.intake.cancel(run_id) is State.RUNNING:
            self.end_script(run_id)
        return self.state(environ, run_id)

    def prune(self, environ: Environ) -> Answer:
        """Forget what has ended, by order of the administrator; how many runs that were.

        Some of it, if it takes long: `more` says so.
        """
        if environ[VISIT].session:
            raise Refused(400, "no form does this; send Authorization: Bearer")
        older = asked_of(environ, asking.OLDER).get("older")
        pruned, more = self.intake.prune(float(older) if older else None)
        return as_json(200, {"pruned": pruned, "more": more})

    def deliver(self, environ: Environ, path: str) -> Answer | None:
        """A delivery to a hook, or the landing page. None if the answer comes later."""
        delivery = read_delivery(environ, self.trusted)
        if _is_own(delivery.path):
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

    def log_refusal(self, environ: Environ, refused: Refused) -> None:
        """Have a refusal noted."""
        self.refused.add(environ, refused, self.hook_of(raw_path(environ)))


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
    if accepted.manners.bare:
        place = f"/-/runs/{accepted.run_id}"
        return Answer(accepted.manners.accepted, b"", {"Location": place})
    return _promised(accepted, run)


def _promised(accepted: Accepted, run: Run | None) -> Answer:
    """That it will happen, and where to look how it stands."""
    place = f"/-/runs/{accepted.run_id}"
    state = run.state if run else State.QUEUED
    said = {"run": accepted.run_id, "state": state, "location": place}
    return as_json(accepted.manners.accepted, said, Location=place)


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


def _is_own(path: str) -> bool:
    """True for a page of ours, be there one of that name or not."""
    return path == route.OWN or path.startswith(f"{route.OWN}/")


def _no_page(path: str) -> Refused:
    """404, or 405 if there is such a page, but not for this method."""
    for page, methods in PAGES.items():
        if re.fullmatch(NAMED.sub(_pattern, page), path):
            allowed = ", ".join(methods)
            return Refused(405, f"use {allowed}", headers={"Allow": allowed})
    return Refused(404, "there is no such page")


def _pattern(named: re.Match[str]) -> str:
    """What a name in a page's path stands for."""
    return f"(?:{named[1]})" if named[1] else "[^/]+"


def _either(page: Page, told: Page) -> Page:
    """The page for browsers, and what programs are told in its place."""
    return lambda environ: (page if wants_html(environ) else told)(environ)


def _landing(delivery: Delivery) -> Answer:
    if delivery.method not in ("GET", "HEAD"):
        raise Refused(405, "use GET", headers={"Allow": "GET"})
    headers = {"Content-Type": "text/html; charset=utf-8", **pages.SECURITY}
    return Answer(200, pages.LANDING.encode(), headers)
