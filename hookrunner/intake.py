"""The first half of a run's life: a delivery is believed, understood, judged and recorded.

    route -> authenticate -> parse -> of interest? -> fits? -> journal.record

The order is the security model. Nobody parses a body before its signature is checked
(but for the few senders who put their proof into it), because parsers are where hostile
bytes do their harm; and nobody is told 2xx before the
journal has the run, because then we could lose it. Nothing here knows of HTTP servers,
scripts or SQL.
"""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from urllib.parse import parse_qsl, urlencode

from hookrunner import form, payload, pointer, route, template, units
from hookrunner.auth import authenticate, comes_from
from hookrunner.config import Config
from hookrunner.counts import Count
from hookrunner.log import Log
from hookrunner.model import (
    Delivery,
    Facts,
    Full,
    Greeting,
    Hook,
    JournalUnavailable,
    Json,
    Manners,
    Misfit,
    NewRun,
    Query,
    Recorded,
    Refused,
    Run,
    State,
    Terms,
    Verified,
)
from hookrunner.payload import Payload
from hookrunner.seams import Journal

SOON = {"Retry-After": "10"}
LATER = {"Retry-After": "60"}

ALWAYS_SECRET = frozenset({"authorization", "proxy-authorization", "cookie"})
"""Headers that are kept from journal and script whatever the hook's scheme is."""

PRUNED_AT_ONCE = 1000
"""Runs that are forgotten in one transaction: all who record wait for it."""

MOST_PRUNED = 20_000
LONGEST_PRUNING = 10.0
"""Runs and seconds after which whoever wants more forgotten asks again."""

MOST_LISTED = 10_000
MOST_PLACES = 5
"""Places where a payload does not fit that the log names."""

CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Accepted:
    """A run that will happen."""

    run_id: str
    hook: Hook
    joined: bool = False
    """True if the delivery is a repeat, and the run the one that its first made."""

    manners: Manners = Manners()


@dataclass(frozen=True, slots=True)
class Judged:
    """A delivery that was believed, understood and fits: what a run is to be made of."""

    hook: Hook
    new: NewRun
    manners: Manners = Manners()
    """What its sender expects of an answer."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """A delivery that the hook's `when` has no interest in; it makes no run."""

    hook: Hook
    manners: Manners = Manners()


Then = Callable[[Callable[[], Accepted]], None]
Ended = Callable[[Run | None], None]


class Intake:
    """Makes runs. `config` may be replaced at any time; a delivery sees one or the other."""

    def __init__(self, config: Config, journal: Journal, log: Log) -> None:
        self.config = config
        self.journal = journal
        self.log = log
        self.stopping = False
        self.recorded, self.joined, self.ignored = Count(), Count(), Count()
        """By hook: the runs that were recorded; the deliveries that joined one, or made none."""

        self.cancelled = Count()

    def judge(self, delivery: Delivery) -> Judged | Ignored | Greeting:
        """What a run is to be made of, or why there is to be none; raises Refused."""
        hook, params = find_hook(delivery, self.config.hooks)
        if greeting := greet_stranger(hook, delivery):
            self._greeted(hook, delivery, greeting)
            return greeting
        check_method(hook, delivery)
        self._admit(hook, delivery)
        scheme, verified = authenticate(hook.auth, delivery, time.time())
        parsed = parse(hook, delivery)
        if greeting := scheme.greet(delivery, parsed.value, verified):
            self._greeted(hook, delivery, greeting)
            return greeting
        if not of_interest(hook, delivery, parsed.value):
            self.log.info(f"ignored {delivery.method} {hook.path}: 'when' is not met")
            self.ignored.add(hook.path)
            return Ignored(hook, scheme.manners)
        check(hook, delivery, params, parsed)
        new = new_run(hook, delivery, params, verified, parsed.value)
        return Judged(hook, new, scheme.manners)

    def record(self, judged: Judged, then: Then, ended: Ended | None = None) -> None:
        """Have the run recorded.

        `then` is called by a thread of the journal's, with a function that returns the
        Accepted, or raises Refused. `ended` is for a sender who waits, and is told nothing
        before; see `seams.Journal.record_soon`.
        """
        hook, new = judged.hook, judged.new
        self.journal.record_soon(
            new,
            hook.terms,
            lambda recorded: then(lambda: self._accepted(hook, new, recorded, judged.manners)),
            ended,
        )

    def trial(self, delivery: Delivery) -> Accepted:
        """Record a run for the administrator, whom somebody has authenticated; or raise Refused.

        It repeats nothing, whatever `dedupe` says: each trial is one.
        """
        hook, params = find_hook(delivery, self.config.hooks)
        check_method(hook, delivery)
        self._admit(hook, delivery)
        parsed = parse(hook, delivery)
        if not of_interest(hook, delivery, parsed.value):
            raise Refused(
                422, "'when' is not met: a delivery like this is answered 200, and ignored"
            )
        check(hook, delivery, params, parsed)
        new = new_run(hook, delivery, params, Verified("administrator"), parsed.value)
        return self._record_now(hook, replace(new, dedupe_key=""))

    def replay(self, run_id: str) -> Accepted:
        """Record a run that does an earlier one again, under today's hook; or raise Refused.

        Whoever asks has been authenticated, and the delivery was when it came; but today's
        schema may be another.
        """
        new = self._recorded(run_id)
        hook = self.config.hooks.get(new.hook)
        if hook is None:
            raise Refused(404, f"its path, {new.hook}, is not in hooks.yaml any more")
        delivery = Delivery(
            new.method,
            new.path,
            new.query,
            {**new.headers, "content-type": new.content_type},
            new.body,
            new.remote_addr,
        )
        self._admit(hook, delivery)
        check(hook, delivery, new.params, parse(hook, delivery))
        return self._record_now(hook, replace(new, replaces=run_id, dedupe_key=""))

    def _record_now(self, hook: Hook, new: NewRun) -> Accepted:
        try:
            return self._accepted(hook, new, self.journal.record(new, hook.terms))
        except (Full, JournalUnavailable) as error:
            return self._accepted(hook, new, error)

    def cancel(self, run_id: str) -> State:
        """End a run; the state it was in. Raises Refused(404 or 409)."""
        try:
            run = self.journal.standing(run_id)
            if run is None:
                raise Refused(404, "there is no such run")
            was = self.journal.cancel(run_id)
        except JournalUnavailable as error:
            raise unavailable(error) from None
        if was is None:
            raise Refused(409, "it has ended already")
        self.cancelled.add(run.hook)
        self.log.info(f"{run_id} cancelled; it was {was}", run=run_id)
        return was

    def prune(self, older: float | None) -> tuple[int, bool]:
        """Forget runs that ended longer ago than their hooks keep them, or than so many seconds.

        How many, and whether there may be more. Raises JournalUnavailable.
        """
        give_up = time.monotonic() + LONGEST_PRUNING
        terms = {path: hook.terms for path, hook in self.config.hooks.items()}
        if older is not None:
            known = {run.hook for run in self.journal.runs(Query(most=MOST_LISTED))} | set(terms)
            terms = {path: replace(terms.get(path, Terms()), keep=older) for path in known}
        pruned = 0
        while some := self.journal.prune(terms, PRUNED_AT_ONCE):
            pruned += some
            if pruned >= MOST_PRUNED or time.monotonic() > give_up:
                return pruned, True
        return pruned, False

    def _recorded(self, run_id: str) -> NewRun:
        try:
            new = self.journal.recorded(run_id)
        except JournalUnavailable as error:
            raise unavailable(error) from None
        if new is None:
            raise Refused(404, "there is no such run")
        return new

    def _admit(self, hook: Hook, delivery: Delivery) -> None:
        if self.stopping:
            raise Refused(503, "stopping; try again soon", headers=SOON, reason="stopping")
        if hook.missing:
            names = ", ".join(hook.missing)
            raise Refused(
                503,
                "this hook is switched off",
                f"switched off: {names} not set, or not usable",
                headers=LATER,
                reason="switched off",
            )
        if len(delivery.body) > hook.max_body:
            raise Refused(413, f"the body is larger than {units.show_size(hook.max_body)}")

    def _greeted(self, hook: Hook, delivery: Delivery, greeting: Greeting) -> None:
        self.log.info(
            f"{hook.path} answered a handshake from {delivery.remote_addr}: {greeting.said}",
            hook=hook.path,
            address=delivery.remote_addr,
        )

    def _accepted(
        self,
        hook: Hook,
        new: NewRun,
        recorded: Recorded | Full | JournalUnavailable,
        manners: Manners = Manners(),
    ) -> Accepted:
        """What the journal's word means for the sender. Raises Refused."""
        if isinstance(recorded, JournalUnavailable):
            raise unavailable(recorded)
        if isinstance(recorded, Full):
            after = {"Retry-After": str(max(1, math.ceil(recorded.retry_after)))}
            told = "too much at once; try again later"
            if recorded.rate:
                raise Refused(429, told, str(recorded), headers=after)
            raise Refused(503, told, str(recorded), headers=after, reason="queue full")
        (self.joined if recorded.joined else self.recorded).add(hook.path)
        what = "is joined by a repeat" if recorded.joined else "accepted"
        again = f", to do {new.replaces} again" if new.replaces else ""
        self.log.info(
            f"{recorded.run_id} {hook.path} {what} from {new.remote_addr}{again}",
            run=recorded.run_id,
            hook=hook.path,
            address=new.remote_addr,
        )
        return Accepted(recorded.run_id, hook, recorded.joined, manners)


def unavailable(error: JournalUnavailable) -> Refused:
    """503 for whatever the journal cannot do just now."""
    why = f"the journal is unavailable: {error}"
    told = "not recorded; try again soon"
    return Refused(503, told, why, headers=SOON, reason="journal unavailable")


def find_hook(delivery: Delivery, hooks: Mapping[str, Hook]) -> tuple[Hook, dict[str, str]]:
    """The hook of the delivery's path. Raises Refused(400, 404)."""
    if CONTROL.search(delivery.path):
        raise Refused(400, "the path holds a control character")
    found = route.find(delivery.path, hooks)
    if found is None:
        near = get_close_matches(delivery.path[:100], list(hooks)[:100], n=1)
        hint = f"; the nearest is {near[0]}" if near else ""
        raise Refused(404, "there is no such hook", f"there is no such hook{hint}")
    return found


def check_method(hook: Hook, delivery: Delivery) -> None:
    """Raise Refused(405) if the hook does not take the delivery's method."""
    if delivery.method not in hook.methods:
        allowed = ", ".join(hook.methods)
        raise Refused(405, f"use {allowed}", headers={"Allow": allowed})


def greet_stranger(hook: Hook, delivery: Delivery) -> Greeting | None:
    """The answer to a handshake without proof, if that is what it is. Raises Refused(403)."""
    if hook.missing:
        return None
    refusal: Refused | None = None
    for scheme in hook.auth:
        try:
            if comes_from(scheme, delivery) and (greeting := scheme.greet_stranger(delivery)):
                return greeting
        except Refused as refused:  # another app's, perhaps, which another scheme knows
            refusal = refused
    if refusal:
        raise refusal
    return None


def parse(hook: Hook, delivery: Delivery) -> Payload:
    """The delivery's payload, its uploads not yet in any folder. Raises Refused(400, 415)."""
    payload.refuse_encoded(delivery.headers.get("content-encoding", ""))
    return payload.parse(
        delivery.method,
        delivery.content_type,
        public_query(hook, delivery.query),
        delivery.body,
        hook.schema,
        "",
    )


def of_interest(hook: Hook, delivery: Delivery, value: Json) -> bool:
    """True if the hook's `when` is met, or there is none."""
    if hook.when is None:
        return True
    seen = {
        "method": delivery.method,
        "path": delivery.path,
        "query": form.query(public_query(hook, delivery.query)),
        "headers": public_headers(hook, delivery.headers),
        "payload": value,
    }
    return not hook.when.misfits(seen)


def check(hook: Hook, delivery: Delivery, params: Mapping[str, str], parsed: Payload) -> None:
    """Raise Refused(422) if the payload does not fit, or could not be handed to the script."""
    errors = hook.schema.misfits(parsed.value) if hook.schema else []
    if errors:
        places = "; ".join(map(_place, errors[:MOST_PLACES]))
        rest = f"; and {len(errors) - MOST_PLACES} more" if len(errors) > MOST_PLACES else ""
        why = f"the payload does not fit the schema: {places}{rest}"
        raise Refused(422, "the payload does not fit", why, errors=errors)
    errors = _unfit_texts(hook, facts(hook, delivery, params, parsed.value))
    if errors:
        why = "; ".join(error.detail for error in errors[:5])
        raise Refused(422, "the payload does not fit", why, errors=errors)


def _place(error: Misfit) -> str:
    """Where a payload does not fit, and which rule of the schema, without the payload's words."""
    missing = f" {error.missing[:60]!r}" if error.missing else ""
    return f"{error.pointer[:100] or '(whole)'}: {error.rule}{missing}"


def facts(hook: Hook, delivery: Delivery, params: Mapping[str, str], value: Json) -> Facts:
    """What the hook's templates may speak of."""
    query = form.query(public_query(hook, delivery.query))
    return Facts(value, query, public_headers(hook, delivery.headers), params)


def _unfit_texts(hook: Hook, known: Facts) -> list[Misfit]:
    """Texts for the script that no operating system would pass on: better said now than later."""
    named = [(f"args {n}", arg) for n, arg in enumerate(hook.args, 1)]
    named += [(f"env {name}", text) for name, text in hook.env.items()]
    errors = []
    for name, text in named:
        filled = text.fill(known)
        if "\0" in filled:
            errors.append(Misfit("", f"{name} would hold a NUL character", name))
        elif len(filled.encode("utf-8", "replace")) + len(name) > template.LONGEST:
            errors.append(Misfit("", f"{name} would be longer than 128KB", name))
    return errors


def new_run(
    hook: Hook,
    delivery: Delivery,
    params: Mapping[str, str],
    verified: Verified,
    value: Json,
) -> NewRun:
    """All that is kept of a delivery, without credentials."""
    return NewRun(
        hook=hook.path,
        method=delivery.method,
        path=delivery.path,
        params=params,
        query=public_query(hook, delivery.query),
        headers=public_headers(hook, delivery.headers),
        content_type=delivery.content_type,
        body=delivery.body,
        remote_addr=delivery.remote_addr,
        delivery_id=verified.delivery_id,
        event=verified.event,
        dedupe_key=dedupe_key(hook, delivery, verified, value),
        dedupe_for=hook.dedupe.seconds,
        seal=verified.seal,
        sealed_for=verified.fresh_for,
    )


def dedupe_key(hook: Hook, delivery: Delivery, verified: Verified, value: Json) -> str:
    """What a repeat of the delivery would have in common with it; empty for nothing.

    Hashed: it may be of any length, and of a payload that is nobody's business.
    """
    if not hook.dedupe.seconds:
        return ""
    if hook.dedupe.header:
        told = delivery.headers.get(hook.dedupe.header, "")
    elif hook.dedupe.payload is not None:
        told = pointer.as_text(pointer.at(value, hook.dedupe.payload))
    else:
        told = verified.delivery_id
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest() if told else ""


def public_headers(hook: Hook, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers without those that prove who the sender is."""
    hidden = ALWAYS_SECRET.union(*(scheme.credential_headers for scheme in hook.auth))
    return {name: value for name, value in headers.items() if name not in hidden}


def public_query(hook: Hook, query: str) -> str:
    """The query without the fields that prove who the sender is."""
    if not query:
        return query
    hidden: frozenset[str] = frozenset().union(*(s.credential_fields for s in hook.auth))
    if not hidden:
        return query
    fields = parse_qsl(query, keep_blank_values=True, errors="surrogateescape")
    kept = [(name, value) for name, value in fields if name not in hidden]
    return urlencode(kept, errors="surrogateescape")
