"""The administrator's pages: what each is given, and what their forms do.

The HTML itself is made in `pages`, of the values that are gathered here. A change is made
by a POST with the session's cookie, and with a signature over it that only our own forms
carry. Who may come in is for `access` to say, before anything here is called.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlencode

from hookrunner import form, jsontext, pages, pointer, route, session, units
from hookrunner.access import CHALLENGE, VISIT, Access, Visit, see_other
from hookrunner.address import within
from hookrunner.answer import LATER, Answer, Environ, client_address, raw_path, read_delivery
from hookrunner.intake import Intake
from hookrunner.live import Live, Place, place, ready
from hookrunner.mask import Masker
from hookrunner.model import (
    ENDED,
    Activity,
    Delivery,
    Glimpse,
    Hook,
    Misfit,
    Outcome,
    Refusal,
    Refused,
    Run,
    Search,
    State,
)
from hookrunner.openapi import document
from hookrunner.openapi.hooks import path_of
from hookrunner.pages import assets, door, links, posted, settings, shown
from hookrunner.pages import docs as docs_page
from hookrunner.pages import hook as hook_page
from hookrunner.pages import overview as overview_page
from hookrunner.pages import refusals as refusals_page
from hookrunner.pages import run as run_page
from hookrunner.pages import runs as runs_page
from hookrunner.pages.shown import Filter, Frame, HookLine, HookPage, Shown, Trial
from hookrunner.refusing import RefusalBook
from hookrunner.seams import Journal

OFF = "Set ADMIN_TOKEN, in the environment or in .env, to a long random text, and start again."
TO_LOG_IN = "that was not the token"
MOST_SHOWN = 128 * 1024
"""Bytes of each output on a run's page, and of all of them together; the rest is a download."""

LONGEST_SECRET = 4096
"""Bytes of the tail of a line without an end that may be a secret's second half."""

LONGEST_LOGIN = 4096
"""Bytes of what the login posts."""

NO_PART = "must be a part of a path, without a slash"
TOO_LARGE = (
    "Go back: what you wrote should still be there. Shorten it, or raise max_body of the hook "
    "in hooks.yaml; what is that large is easier sent by python runner.py send."
)

MOST_RUNS = 50
MOST_OF_A_HOOK = 10
MOST_REFUSALS = 50
MOST_KEPT = 1000
LONGEST_TEXT = 200
FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
TRIAL_AGENT = "hookrunner (a trial)"

NEXT = {403: OFF, 413: TOO_LARGE}
"""What to do after a refusal of a page, by its status."""

DONE = {
    "replayed": "This run does the other one again.",
    "cancelled": "The run has been cancelled.",
    "tried": "The test payload has been taken in.",
}
"""What a page says of what has just been done; an address can ask for these words only."""


class Admin:
    """The pages below /-/; each method answers a request to one of them."""

    def __init__(
        self,
        intake: Intake,
        journal: Journal,
        masker: Callable[[], Masker],
        access: Access,
        refused: RefusalBook,
        end_script: Callable[[str], None],
    ) -> None:
        """`masker` gives what masks the secrets of the moment."""
        self.intake = intake
        self.journal = journal
        self.masker = masker
        self.access = access
        self.refused = refused
        self.trusted = access.trusted
        self.end_script = end_script
        self.live = Live(journal, masker)

    def overview(self, environ: Environ) -> Answer:
        """What goes on."""
        visit = environ[VISIT]
        hooks = self.intake.config.hooks
        seen, mask = self.journal.overview(hooks), self.masker()
        given = shown.Overview(
            [_line(hook, seen.hooks[path], mask) for path, hook in hooks.items()],
            _buckets(seen.slots),
            [_masked(run, mask) for run in seen.live],
        )
        return _page(overview_page.page(_frame(environ, visit), given))

    def runs(self, environ: Environ) -> Answer:
        """Runs, filtered."""
        visit = environ[VISIT]
        asked = {n: str(value).replace("\0", "") for n, value in _query(environ).items()}
        chosen = Filter(
            *(asked.get(name, "")[:LONGEST_TEXT] for name in Filter.__dataclass_fields__)
        )
        hooks = list(self.intake.config.hooks)
        try:
            search = _search(chosen, asked.get("before", ""))
        except ValueError as error:
            given = shown.RunList([], hooks, chosen, wrong=str(error))
            return _page(runs_page.page(_frame(environ, visit), given), 400)
        found, mask = self.journal.search(search), self.masker()
        given = shown.RunList(
            [_masked(run, mask) for run in found.runs],
            hooks,
            chosen,
            older=links.runs(chosen, found.older) if found.older is not None else "",
            newest=links.runs(chosen) if search.before is not None else "",
            searched_to=found.searched_to,
        )
        return _page(runs_page.page(_frame(environ, visit), given))

    def run(self, environ: Environ, run_id: str) -> Answer:
        """One run, whole."""
        visit = environ[VISIT]
        run, new = self.journal.standing(run_id), self.journal.recorded(run_id)
        if run is None or new is None:
            raise Refused(404, "there is no such run")
        mask = self.masker()
        attempts, live = self._attempts(run, mask)
        exists = run.hook in self.intake.config.hooks
        given = shown.RunPage(
            _masked(run, mask),
            replace(
                new,
                body=mask.payload(new.body),
                path=mask.text(new.path),
                query=mask.text(new.query),
                headers={name: mask.text(value) for name, value in new.headers.items()},
                content_type=mask.text(new.content_type),
            ),
            attempts,
            exists,
            live=live,
            size=len(new.body),
            can_replay=exists and run.state in ENDED,
            can_cancel=run.state not in ENDED,
            replaced_by=self.journal.replaced_by(run_id),
        )
        return _page(run_page.page(_frame(environ, visit), given))

    def _attempts(self, run: Run, mask: Masker) -> tuple[list[Shown], str]:
        """What is shown of its attempts, and the place from which listening begins."""
        most = MOST_SHOWN // max(run.attempt, 1)
        glimpses = self.journal.glimpses(run.run_id, max(most, 1024))
        each, at, held = [], Place(run.attempt), (0, 0)
        for glimpse in glimpses:
            final = glimpse.attempt.outcome is not None or run.state in ENDED
            attempt, sizes = _seen(glimpse, mask, final=final)
            each.append(attempt)
            if glimpse.attempt.number == run.attempt:
                at = Place(run.attempt, *sizes)
                printed = glimpse.attempt
                held = (printed.stdout_bytes - sizes[0], printed.stderr_bytes - sizes[1])
        if run.state in ENDED:
            return each, ""
        if max(at.out, at.err) > 2 * self._head(run):
            # The middle is not kept, so that places are not what they seem; all that is
            # there by now has been shown, but for what may be half of a secret.
            full = (2**50, 2**50)
            far = self.journal.progress(run.run_id, run.attempt, full, self._head(run), 0)
            if far:
                out, err = far.stdout.at - held[0], far.stderr.at - held[1]
                at = Place(run.attempt, out, err)
        return each, str(at)

    def _head(self, run: Run) -> int:
        hook = self.intake.config.hooks.get(run.hook)
        return hook.max_output // 2 if hook else 2**40

    def listen(self, environ: Environ, run_id: str) -> Answer | None:
        """What a run prints, as it comes."""
        asked = environ.get("HTTP_LAST_EVENT_ID") or str(_query(environ).get("from", "0.0.0"))
        start = place(asked)
        if start is None:
            raise Refused(400, "from is the id of an event, such as 1.0.0")
        run = self.journal.standing(run_id)
        if run is None:
            raise Refused(404, "there is no such run")
        if not self.live.listen(environ[LATER], run_id, start, self._head(run)):
            told = "others listen already; try again later"
            raise Refused(503, told, headers={"Retry-After": "15"})
        return None

    def output(self, environ: Environ, run_id: str, stream: str) -> Answer:
        """All that an attempt has printed, as a file."""
        number = str(_query(environ).get("attempt", ""))
        for glimpse in self.journal.glimpses(run_id, 2**40):
            if number in ("", str(glimpse.attempt.number)):
                printed = getattr(glimpse.attempt, stream)
                name = f"{run_id}-{glimpse.attempt.number}.{stream}.txt"
                headers = {
                    **pages.STRICT,
                    "Content-Type": "text/plain; charset=utf-8",
                    "Content-Disposition": f'attachment; filename="{name}"',
                }
                return Answer(200, self.masker()(printed), headers)
        raise Refused(404, "there is no such attempt")

    def hook(self, environ: Environ) -> Answer:
        """One hook, and a form to try it."""
        visit = environ[VISIT]
        hook = self._hook(str(_query(environ).get("path", "")))
        return self._hook_page(environ, visit, hook, Trial(), 200)

    def _hook(self, path: str) -> Hook:
        hook = self.intake.config.hooks.get(path)
        if hook is None:
            raise Refused(404, "there is no such hook")
        return hook

    def _hook_page(
        self, environ: Environ, visit: Visit, hook: Hook, trial: Trial, status: int
    ) -> Answer:
        mask = self.masker()
        found = self.journal.search(Search(hook=hook.path, most=MOST_OF_A_HOOK))
        given = HookPage(
            _line(hook, self.journal.overview([hook.path]).hooks[hook.path], mask),
            [(name, mask.text(told)) for name, told in settings.told(hook)],
            getattr(hook.schema, "contents", None),
            route.params(hook.path),
            [_masked(run, mask) for run in found.runs],
            trial,
        )
        return _page(hook_page.page(_frame(environ, visit), given), status)

    def trial(self, environ: Environ) -> Answer:
        """Take a test payload in, as if it had been delivered."""
        visit, fields = self._changing(environ)
        given = dict(fields)
        hook = self._hook(given.get("path", ""))
        contents = getattr(hook.schema, "contents", None)
        read = posted.read(contents, fields)
        params = {name: given.get(f"param.{name}", "") for name in route.params(hook.path)}
        errors = {f"param.{name}": NO_PART for name, value in params.items() if not _is_part(value)}
        errors |= read.errors
        if errors:
            # All that is wrong at once: nobody likes to mend one thing after another.
            misfits = _misfits(hook, read.text)
            errors |= posted.told(contents, fields, misfits, read.errors)
            return self._hook_page(environ, visit, hook, Trial(fields, errors), 422)
        path = route.NAME.sub(lambda found: params[found[1]], hook.path)
        try:
            delivery = _delivery(hook, path, read.text, client_address(environ, self.trusted))
            accepted = self.intake.trial(delivery)
        except Refused as refused:
            errors = posted.told(contents, fields, refused.errors)
            kept = Trial(fields, errors, "" if errors else _why_not(hook, refused))
            return self._hook_page(environ, visit, hook, kept, refused.status)
        return see_other(f"{links.run(accepted.run_id)}?done=tried")

    def refusals(self, environ: Environ) -> Answer:
        """What was turned away."""
        visit = environ[VISIT]
        try:
            before = _before(str(_query(environ).get("before", "")))
        except ValueError as error:
            raise Refused(400, str(error)) from None
        found, older = self.turned_away(before, MOST_REFUSALS)
        given = shown.RefusalList(
            [refusal for _, refusal in found],
            MOST_KEPT,
            self.refused.counts(),
            older=f"/-/refusals?before={older}" if older is not None else "",
            newest="/-/refusals" if before is not None else "",
        )
        return _page(refusals_page.page(_frame(environ, visit), given))

    def docs(self, environ: Environ) -> Answer:
        """Every hook as whoever posts to it must know it."""
        config, mask = self.intake.config, self.masker()
        hooks = [
            shown.DocsHook(path, path_of(hook), mask.schema(getattr(hook.schema, "contents", None)))
            for path, hook in config.hooks.items()
        ]
        given = shown.DocsPage(mask.schema(document.of(config)), hooks)
        return _page(docs_page.page(_frame(environ, environ[VISIT]), given))

    def turned_away(
        self, before: int | None, most: int
    ) -> tuple[list[tuple[int, Refusal]], int | None]:
        """Refusals, each with its number, and what to go on `before`, if there are more."""
        found = self.journal.refusals(before, most + 1)
        mask = self.masker()
        shown = [(seq, _masked_refusal(refusal, mask)) for seq, refusal in found[:most]]
        return shown, shown[-1][0] if len(found) > most else None

    def login_page(self, environ: Environ) -> Answer:
        """The form to log in with; or, with the token in the address, the login itself."""
        self.access.need_token()
        asked = _query(environ)
        to = session.onward(str(asked.get("next", "")))
        if "token" in asked:
            return self._log_in(environ, str(asked["token"]), to)
        if self.access.session(environ):
            return see_other(to)
        return _page(door.login("", to))

    def login(self, environ: Environ) -> Answer:
        """Let somebody in who has the token."""
        self.access.need_token()
        self._need_own_site(environ)
        if int(environ.get("CONTENT_LENGTH") or 0) > LONGEST_LOGIN:
            raise Refused(413, "that is too long for a token")
        given = dict(self._posted(environ))
        return self._log_in(environ, given.get("token", ""), _next(environ))

    def _log_in(self, environ: Environ, given: str, to: str) -> Answer:
        token = self.access.token()
        with self.access.guessing(environ):
            if not session.is_token(token, given):
                why = "login: the token is not the right one"
                raise Refused(401, TO_LOG_IN, why, headers=CHALLENGE)
        value = session.begin(token, time.time())
        return see_other(to, session.cookie(value, secure=self._is_secure(environ)))

    def logout(self, environ: Environ) -> Answer:
        """End the session, in this browser."""
        self._changing(environ)
        return see_other(session.LOGIN, session.cookie("", secure=self._is_secure(environ)))

    def replay(self, environ: Environ, run_id: str) -> Answer:
        """Do a run again."""
        self._changing(environ)
        accepted = self.intake.replay(run_id)
        return see_other(f"{links.run(accepted.run_id)}?done=replayed")

    def cancel(self, environ: Environ, run_id: str) -> Answer:
        """End a run."""
        self._changing(environ)
        if self.intake.cancel(run_id) is State.RUNNING:
            self.end_script(run_id)
        return see_other(f"{links.run(run_id)}?done=cancelled")

    def asset(self, environ: Environ, name: str) -> Answer:
        """A style sheet, a script or an icon: no secret, and the same for all."""
        if name not in assets.ASSETS:
            raise Refused(404, "there is no such page")
        kind, contents = assets.ASSETS[name]
        fixed = "v=" in environ.get("QUERY_STRING", "")
        cached = FOR_EVER if fixed else {"Cache-Control": "no-cache"}
        return Answer(200, contents, {**pages.STRICT, "Content-Type": kind, **cached})

    def refusal(self, environ: Environ, refused: Refused) -> Answer:
        """A refusal as a page: the login again where that was refused."""
        path = raw_path(environ)
        if path == session.LOGIN and refused.status == 401:
            text = door.login(refused.told, _next(environ))
        else:
            title = refused.told[:1].upper() + refused.told[1:]
            text = door.error(refused.status, title, NEXT.get(refused.status, ""))
        page = _page(text, refused.status)
        return replace(page, headers={**page.headers, **refused.headers})

    def _changing(self, environ: Environ) -> tuple[Visit, list[tuple[str, str]]]:
        """The visit of who may change something, with what was posted. Raises Refused."""
        visit = environ[VISIT]
        self._need_own_site(environ)
        posted = self._posted(environ)
        if visit.session:
            given = dict(posted).get("csrf", "")
            if not session.is_csrf(self.access.token(), visit.session, given):
                raise Refused(400, "the form has grown old; load the page again", "no CSRF token")
        return visit, posted

    def _posted(self, environ: Environ) -> list[tuple[str, str]]:
        return form.fields(form.text_of(read_delivery(environ, self.trusted).body), "the form")

    def _need_own_site(self, environ: Environ) -> None:
        if environ.get("HTTP_SEC_FETCH_SITE", "") not in session.OURS:
            raise Refused(400, "this was sent from another site")

    def _is_secure(self, environ: Environ) -> bool:
        """True if the browser speaks TLS: with us, or with a proxy that we believe."""
        told = environ.get("HTTP_X_FORWARDED_PROTO", "").rpartition(",")[2].strip().lower()
        believed = within(str(environ.get("REMOTE_ADDR", "")), self.trusted)
        return environ.get("wsgi.url_scheme") == "https" or (believed and told == "https")


def _query(environ: Environ) -> Mapping[str, object]:
    return form.query(environ.get("QUERY_STRING", ""))


def _next(environ: Environ) -> str:
    try:
        return session.onward(str(_query(environ).get("next", "")))
    except Refused:
        return session.HOME


def _frame(environ: Environ, visit: Visit) -> Frame:
    return Frame(time.time(), visit.csrf, DONE.get(str(_query(environ).get("done", "")), ""))


def _page(text: str, status: int = 200) -> Answer:
    headers = {**pages.STRICT, "Content-Type": "text/html; charset=utf-8"}
    return Answer(status, text.encode("utf-8", "replace"), headers)


def _search(chosen: Filter, before: str) -> Search:
    """What a filter asks for. Raises ValueError with what is wrong with it."""
    if chosen.state and chosen.state not in list(State):
        raise ValueError(f"a state is one of {', '.join(State)}")
    return Search(
        hook=chosen.hook,
        state=State(chosen.state) if chosen.state else None,
        text=chosen.text.strip(),
        since=_moment(chosen.since),
        until=_moment(chosen.until),
        before=_before(before),
        most=MOST_RUNS,
    )


def _before(text: str) -> int | None:
    """Where a page of a list begins; None for the newest. Raises ValueError."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ValueError("before is a number, as the links to older ones have it")
    return int(text)


def _moment(text: str) -> float | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError("a time is written as 2026-01-31T09:30, in UTC") from None


def _line(hook: Hook, seen: Activity, mask: Masker) -> HookLine:
    ended = seen.ended
    return HookLine(
        hook.path,
        hook.script.name,
        f"{', '.join(hook.missing)} not set, or not usable" if hook.missing else "",
        seen.last and _masked(seen.last, mask),
        ended.get(State.SUCCEEDED, 0),
        ended.get(State.FAILED, 0),
        ended.get(State.CANCELLED, 0),
        seen.p50,
        seen.p95,
        seen.queued,
        seen.running,
    )


def _buckets(slots: Sequence[tuple[float, Mapping[State, int]]]) -> list[shown.Bucket]:
    width = slots[1][0] - slots[0][0]
    return [shown.Bucket(start, width, counts) for start, counts in slots]


def _is_part(value: str) -> bool:
    return bool(value) and "/" not in value and value not in (".", "..")


def _misfits(hook: Hook, text: str) -> Sequence[Misfit]:
    """Where a JSON text does not fit the hook's schema; nowhere if it is no JSON."""
    if hook.schema is None or posted.fault(text):
        return ()
    return hook.schema.misfits(jsontext.read(text.encode("utf-8", "surrogatepass")))


def _why_not(hook: Hook, refused: Refused) -> str:
    """Why a test payload was refused, and what to do; a sentence without its stop."""
    if refused.status == 413:
        most = units.show_size(hook.max_body)
        return f"the payload is larger than {most}; shorten it, or raise max_body in hooks.yaml"
    if refused.why.startswith("switched off"):
        return f"this hook is {refused.why}; set it, and start again"
    again = refused.headers.get("Retry-After")
    told = refused.why.partition(":")[0] if refused.why.startswith("the journal") else refused.why
    return f"{told}; try again in {again} s" if again else told


def _delivery(hook: Hook, path: str, text: str, address: str) -> Delivery:
    """A test payload as its sender would have sent it. Raises Refused if it cannot be sent so."""
    headers = {"user-agent": TRIAL_AGENT}
    method = next((m for m in ("POST", "PUT", "PATCH") if m in hook.methods), hook.methods[0])
    body = text.encode("utf-8", "surrogatepass")
    if method != "GET":
        headers["content-type"] = "application/json"
        return Delivery(method, path, "", headers, body, address)
    fields = jsontext.read(body)
    if not isinstance(fields, dict):
        raise Refused(422, "a GET’s payload is its query; write an object")
    every = {name: each if isinstance(each, list) else [each] for name, each in fields.items()}
    pairs = [(name, pointer.as_text(item)) for name, items in every.items() for item in items]
    return Delivery(method, path, urlencode(pairs), headers, b"", address)


def _seen(glimpse: Glimpse, mask: Masker, *, final: bool) -> tuple[Shown, tuple[int, int]]:
    """What is shown of an attempt, and how much of each output has been, or is before it."""
    attempt = glimpse.attempt
    heads = (glimpse.stdout_head, glimpse.stderr_head)
    whole = (attempt.stdout_bytes, attempt.stderr_bytes)
    texts, sizes, seen = [], [], []
    for data, head, size in zip((attempt.stdout, attempt.stderr), heads, whole, strict=True):
        # A secret of which only the second half is there would not be known.
        rest = data[(data.find(b"\n") + 1) or min(LONGEST_SECRET, len(data)) :] if head else data
        text, used = ready(rest, mask, final=final)
        texts += [text, ready(head, mask, final=False)[0]]
        sizes.append(size if head else 0)
        seen.append(size - len(rest) + used)
    stdout, stdout_head, stderr, stderr_head = texts
    outcome = _masked_outcome(attempt.outcome, mask)
    ends = replace(attempt, stdout=stdout, stderr=stderr, outcome=outcome)
    cut = Shown(ends, sizes[0], sizes[1], stdout_head, stderr_head)
    return cut, (seen[0], seen[1])


def _masked_outcome(outcome: Outcome | None, mask: Masker) -> Outcome | None:
    return outcome and replace(outcome, detail=mask.text(outcome.detail))


def _masked(run: Run, mask: Masker) -> Run:
    outcome = _masked_outcome(run.outcome, mask)
    event, delivery_id = mask.text(run.event), mask.text(run.delivery_id)
    return replace(run, event=event, delivery_id=delivery_id, outcome=outcome)


def _masked_refusal(refusal: Refusal, mask: Masker) -> Refusal:
    path = refusal.path.encode("latin-1", "replace").decode("utf-8", "replace")
    return replace(refusal, path=mask.text(path), why=mask.text(refusal.why))
