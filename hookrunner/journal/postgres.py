"""The journal in PostgreSQL: for any number of machines that record, and that run.

Every promise that machines make each other is kept by the database: its transactions, its row
locks, its clock. What is recorded, and what is settled, within the time of one commit shares
the next one; a claim takes as many runs as are asked for. Who waits, for work or for the end of
a run, is woken by a bell, and looks by himself all the same.

A process has a name. Runs say whose they are, so that `recover` can make due at once what a
dead process of the same name has left; of others their leases tell.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import psycopg

from hookrunner.counts import SHORT, Durations
from hookrunner.journal import claims, records
from hookrunner.journal.bell import Bell
from hookrunner.journal.claims import Claiming, Settled, Settling
from hookrunner.journal.groups import Group
from hookrunner.journal.link import UNFIT, Db, Link, connect, is_direct, rows, run, told
from hookrunner.journal.look import Look
from hookrunner.journal.looks import Looks, keep, prune
from hookrunner.journal.notebook import Notebook
from hookrunner.journal.records import Recording, Room
from hookrunner.journal.rows import as_claim, new_id
from hookrunner.journal.seeker import RACED, Seeker
from hookrunner.journal.tables import migrate, unmade
from hookrunner.journal.watchers import Watchers
from hookrunner.model import (
    ENDED,
    Attempt,
    Backlog,
    Claim,
    Found,
    Full,
    Glimpse,
    JournalUnavailable,
    NewRun,
    Outcome,
    Overview,
    Printed,
    Progress,
    Query,
    Recorded,
    Refusal,
    Run,
    Search,
    Spread,
    State,
    Terms,
    Trouble,
)
from hookrunner.seams import ALL

CONNECTIONS = 4
"""Heroku's smallest database has 20, for all dynos and whoever else."""

LEAST = 3
LOST_AFTER = 900.0
"""Seconds that a run of which no worker knows the hook is kept for one that may be deployed."""

BEAT = 15.0
"""Seconds between two times that a worker says which hooks it knows."""

BEATS = 4
"""Of which every so-many-th looks for runs that are lost."""

STALLED = 8.0
"""Seconds that a database which holds a connection, and says nothing, has to record a delivery:
a sender such as GitHub hangs up after 10."""

POLLED, POLLED_AT_LAST, POLLED_HEARING = 0.05, 1.0, 2.0
"""Seconds between two looks at runs whose end somebody waits for."""

TOUCH = "UPDATE hookrunner.pulse SET at = at"
TOLD = "UPDATE hookrunner.run SET untold = false WHERE id = %s AND untold"
SYNC = "SELECT current_setting('synchronous_commit')"

T = TypeVar("T")
Then = Callable[[Run | None], None]


class PostgresJournal:
    """The journal of a database; see `seams.Journal` for what each method promises."""

    def __init__(
        self,
        url: str,
        *,
        name: str = "",
        connections: int = CONNECTIONS,
        listen: bool = True,
        lost_after: float = LOST_AFTER,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Open it, and bring its tables up to date. Raises Trouble if it cannot be had.

        `name` is the process's own, and its successor's, but no two may have it at a time; with
        none, nobody succeeds it. At most
        so many `connections` are open at once, at least LEAST; one of them listens, unless a
        pooler is in between, or `listen` says no. `say` is told what an operator should know.
        """
        direct = _prepare(url, say)
        self.name = name or new_id()
        self._say = say
        self._lost_after = lost_after
        hears = direct and listen
        self._link = Link(url, max(connections, LEAST) - hears, direct=direct)
        self._looks = Looks(self._link)
        self._room = Room()
        self._watchers = Watchers()
        self._unborn: frozenset[str] = frozenset()
        """Runs that are watched, and not there yet: not to be taken for what is gone."""

        self._commits = Durations(SHORT)
        self._notebook = Notebook(self._keep)
        self._keeping = threading.Lock()
        self._known: Mapping[str, Terms] | None = None
        self._limited: tuple[Mapping[str, Terms], frozenset[str]] = {}, frozenset()
        self._doubtful: list[int] = []
        """Claims that may have taken runs, of which the answer was lost."""

        self._spare: list[Claim] = []
        """What they had taken, for who comes next."""

        self._closed = threading.Event()
        self._watching = threading.Event()
        self._lock = threading.Lock()
        self._answering = threading.Lock()
        self._threads: dict[str, threading.Thread] = {}
        self._bell = Bell(
            self._link, self.name, url if hears else "", self._stir, self._told_elsewhere
        )
        self._seeker = Seeker(self._find, lambda: self._bell.hears)
        self._records: Group[Recording | _Touch] = Group(
            "record", self._record, _size, self._give_up, STALLED
        )
        self._settles: Group[_Settle] = Group("settle", self._settle, _size)

    def record(self, new: NewRun, terms: Terms) -> Recorded:
        answer: SimpleQueue[Recorded | Full | JournalUnavailable] = SimpleQueue()
        self.record_soon(new, terms, answer.put)
        outcome = answer.get()
        if isinstance(outcome, Full | JournalUnavailable):
            raise outcome
        return outcome

    def record_soon(
        self,
        new: NewRun,
        terms: Terms,
        then: Callable[[Recorded | Full | JournalUnavailable], None],
        ended: Then | None = None,
    ) -> None:
        job = Recording(new, terms, then, ended and _AfterThen(ended))
        if not self._records.ask(job):
            then(JournalUnavailable("the journal is closed"))

    def sync_soon(self, then: Callable[[JournalUnavailable | None], None]) -> None:
        # Whatever is told here has been committed, and synced.
        then(JournalUnavailable("the journal is closed") if self._closed.is_set() else None)

    def try_writing(self, patience: float) -> None:
        answer: SimpleQueue[JournalUnavailable | None] = SimpleQueue()
        if not self._records.ask(_Touch(answer.put)):
            raise JournalUnavailable("the journal is closed")
        try:
            unavailable = answer.get(timeout=patience)
        except Empty:
            raise JournalUnavailable(f"it has not written anything for {patience:g} s") from None
        if unavailable:
            raise unavailable

    def _record(self, batch: Sequence[Recording | _Touch]) -> None:
        """Keep what is asked for, and say what came of it."""
        jobs = [job for job in batch if isinstance(job, Recording) and not job.answered]
        touches = [job for job in batch if isinstance(job, _Touch)]

        def work(db: Db, again: bool) -> None:
            if jobs:
                records.record(db, jobs, self._room, self.name, again=again)
            if touches:
                run(db, TOUCH)

        self._unborn = frozenset(job.run_id for job in jobs)
        for job in jobs:  # watched before it is there, and so before it can end
            if job.ended:
                self._watchers.add(job.run_id, job.ended)
        error: Exception | None = None
        began = time.monotonic()
        try:
            self._link.do(work)
            self._commits.add(time.monotonic() - began)
        except JournalUnavailable as unavailable:
            error = unavailable
        except Exception as other:  # the thread lives, whatever it was: all wait for it
            if len(batch) > 1:
                self._unwatch(jobs)
                for one in batch:
                    self._record([one])
                return
            error = other
        self._unborn = frozenset()
        self._announce([job for job in jobs if _is_fresh(job)])
        for job in jobs:
            if self._is_to_be_answered(job):
                self._tell_recorded(job, error)
        for touch in touches:
            touch.then(_unavailable(error) if error else None)

    def _give_up(self, batch: Sequence[Recording | _Touch]) -> None:
        """Tell who waits for what a database does not answer; it may be recorded all the same."""
        unavailable = JournalUnavailable(f"the database has not answered for {STALLED:g} s")
        for job in batch:
            if isinstance(job, _Touch):
                job.then(unavailable)
            elif self._is_to_be_answered(job):
                self._unwatch([job])
                job.then(unavailable)

    def _is_to_be_answered(self, job: Recording) -> bool:
        """True once: for who is to tell what came of it."""
        with self._answering:
            answered, job.answered = job.answered, True
        return not answered

    def _announce(self, fresh: Collection[Recording]) -> None:
        """There is something to be claimed: by us, if we look for as much, or by others."""
        if not fresh:
            return
        hooks = {job.new.hook for job in fresh}
        if self._seeker.waiting(hooks) < len(fresh):
            self._bell.ring(due=True)
        self._seeker.stir()

    def _unwatch(self, jobs: Collection[Recording]) -> None:
        for job in jobs:
            if job.ended:
                self._watchers.remove(job.run_id, job.ended)

    def _tell_recorded(self, job: Recording, error: Exception | None) -> None:
        told = job.told
        fresh = _is_fresh(job)
        if job.ended and not fresh:
            self._watchers.remove(job.run_id, job.ended)
        if told is None:
            job.then(_unavailable(error or JournalUnavailable("it was not recorded")))
            return
        if job.ended and isinstance(told, Recorded) and told.joined:
            self._watchers.add(told.run_id, job.ended)
        job.then(told)
        if isinstance(job.ended, _AfterThen) and isinstance(told, Recorded):
            job.ended.begin()
            self._watch_others()
            if told.joined:
                self._tell_if_over(told.run_id)

    def claim(
        self,
        hooks: Mapping[str, Terms],
        lease: float,
        mine: Collection[str] = (),
        *,
        wait: float = 0.0,
    ) -> Claim | None:
        answer: SimpleQueue[Claim | JournalUnavailable | None] = SimpleQueue()
        self.claim_soon(hooks, lease, mine, wait, answer.put)
        claim = answer.get()
        if isinstance(claim, JournalUnavailable):
            raise claim
        return claim

    def claim_soon(
        self,
        hooks: Mapping[str, Terms],
        lease: float,
        mine: Collection[str],
        wait: float,
        then: Callable[[Claim | JournalUnavailable | None], None],
    ) -> None:
        if wait > 0:
            self._bell.listen()
        self._seeker.look(Look(hooks, lease, mine, time.monotonic() + wait, then))

    def _find(self, look: Look, wanted: int) -> tuple[list[Claim], float | None]:
        """Claims for who looks, at most `wanted`; else in how many seconds to look again."""
        ask = Claiming(look.hooks, look.lease, list(look.mine), wanted, self.name, _number())
        try:
            self._make_lanes(look.hooks)
            self._retake(ask)
            if self._spare:
                given, self._spare = self._spare[:wanted], self._spare[wanted:]
                return given, None
            asked_at = time.monotonic()
            self._doubtful.append(ask.taken)
            looked = self._link.do(lambda db, again: claims.claim(db, ask, again=again))
            self._doubtful.remove(ask.taken)
        except Exception as error:  # as above
            raise _unavailable(error) from None
        if looked.ended:
            self._tell_all(*looked.ended)
        found = [_claimed(row, asked_at) for row in looked.found]
        return found, RACED if looked.raced else looked.soonest

    def _retake(self, ask: Claiming) -> None:
        """Have what an earlier claim has taken, if its answer was lost."""
        for taken in list(self._doubtful):
            asked_at = time.monotonic()
            lost = Claiming(ask.hooks, ask.lease, (), 0, self.name, taken)
            found = self._link.do(partial(_retake, ask=lost))
            self._spare += [_claimed(row, asked_at) for row in found]
            self._doubtful.remove(taken)

    def _make_lanes(self, hooks: Mapping[str, Terms]) -> None:
        known, before = self._limited
        if known is hooks:
            return
        limited = frozenset(name for name, terms in hooks.items() if claims.limits(terms))
        if new := limited - before:
            self._link.do(lambda db, again: claims.make_lanes(db, new))
        self._limited = hooks, limited | before

    def renew(self, claims_: Collection[Claim], lease: float) -> set[str]:
        return self._do(lambda db, again: claims.renew(db, claims_, lease))

    def append(self, claim: Claim, stdout: bytes, stderr: bytes) -> bool:
        return self._do(lambda db, again: claims.append(db, claim, stdout, stderr))

    def settle(self, claim: Claim, outcome: Outcome, *, again_in: float | None = None) -> bool:
        answer: SimpleQueue[bool | JournalUnavailable] = SimpleQueue()
        self.settle_soon(claim, outcome, answer.put, again_in=again_in)
        told = answer.get()
        if isinstance(told, JournalUnavailable):
            raise told
        return told

    def settle_soon(
        self,
        claim: Claim,
        outcome: Outcome,
        then: Callable[[bool | JournalUnavailable], None],
        *,
        again_in: float | None = None,
    ) -> None:
        job = _Settle(Settling(claim, outcome, again_in, _number()), then)
        if not self._settles.ask(job):
            then(JournalUnavailable("the journal is closed"))

    def _settle(self, batch: Sequence[_Settle]) -> None:
        said = [job.said for job in batch]
        began = time.monotonic()
        try:
            done = self._link.do(lambda db, again: claims.settle(db, said, again=again))
            self._commits.add(time.monotonic() - began)
        except JournalUnavailable as error:
            for job in batch:
                job.then(error)
            return
        except Exception as error:  # as above
            if len(batch) > 1:
                for job in batch:
                    self._settle([job])
            else:
                batch[0].then(_unavailable(error))
            return
        self._room_is_made(batch, done)
        for n, job in enumerate(batch, 1):
            settled = done.get(n)
            self._watchers.tell(
                job.said.claim.run_id, run=_as_it_stands(job.said, settled) if settled else None
            )
            job.then(settled is not None)

    def _room_is_made(self, batch: Sequence[_Settle], done: Mapping[int, Settled]) -> None:
        """Others may start now, or are to be told of an end."""
        due, ended = False, []
        for n, job in enumerate(batch, 1):
            settled, claim = done.get(n), job.said.claim
            # One that was cancelled had a place until its script was dead.
            again = settled is None or job.said.again_in is not None
            due = due or again or claim.new.hook in self._limited[1]
            if settled and settled.awaited_by not in ("", self.name):
                ended.append(claim.run_id)
        if due:
            self._seeker.stir()
        self._bell.ring(due=due, ended=ended)

    def interrupt(self, claim: Claim, *, rerun: bool, counted: bool = True) -> State | None:
        state = self._do(
            lambda db, again: claims.interrupt(db, claim, rerun=rerun, counted=counted, again=again)
        )
        self._stir()
        self._bell.ring(due=True)
        if state in ENDED:
            self._tell_all(claim.run_id)
        return state

    def cancel(self, run_id: str) -> State | None:
        state = self._do(lambda db, again: claims.cancel(db, run_id))
        self._stir()
        self._bell.ring(due=state is not None)
        self._tell_all(run_id)
        return state

    def run(self, run_id: str) -> Run | None:
        return self._looks.run(run_id)

    def standing(self, run_id: str) -> Run | None:
        return self._looks.standing(run_id)

    def recorded(self, run_id: str) -> NewRun | None:
        return self._looks.recorded(run_id)

    def unfinished(self) -> list[str]:
        return self._looks.unfinished()

    def runs(self, query: Query) -> list[Run]:
        return self._looks.runs(query)

    def named(self, part: str) -> list[str]:
        return self._looks.named(part)

    def attempts(self, run_id: str, most: int = ALL) -> list[Attempt]:
        return self._looks.attempts(run_id, most)

    def printed(
        self, run_id: str, number: int, stdout: int, stderr: int, lead: int, most: int
    ) -> Printed | None:
        return self._looks.printed(run_id, number, stdout, stderr, lead, most)

    def search(self, search: Search) -> Found:
        return self._looks.search(search)

    def overview(self, hooks: Collection[str]) -> Overview:
        return self._looks.overview(hooks)

    def backlog(self, hooks: Collection[str]) -> Mapping[str, Backlog]:
        return self._looks.backlog(hooks)

    def commits(self) -> Spread:
        return self._commits.spread()

    def glimpses(self, run_id: str, most: int) -> list[Glimpse]:
        return self._looks.glimpses(run_id, most)

    def progress(
        self, run_id: str, attempt: int, sent: tuple[int, int], head: int, most: int
    ) -> Progress | None:
        return self._looks.progress(run_id, attempt, sent, head, most)

    def replaced_by(self, run_id: str) -> str:
        return self._looks.replaced_by(run_id)

    def note(self, refusal: Refusal) -> None:
        self._notebook.add(refusal)

    def refusals(self, before: int | None, most: int) -> list[tuple[int, Refusal]]:
        self._notebook.flush()
        with self._keeping:  # what is before it is committed
            return self._looks.refusals(before, most)

    def _keep(self, refusals: Sequence[Refusal]) -> None:
        with self._keeping, suppress(JournalUnavailable, *UNFIT):  # they are no promise
            self._link.do(lambda db, again: keep(db, refusals))

    def recover(self, hooks: Mapping[str, Terms]) -> tuple[int, list[str]]:
        def work(db: Db, again: bool) -> tuple[int, list[str]]:
            with db.transaction():
                claims.announce(db, self.name, hooks)
                lost = claims.fail_lost(db, self._lost_after, dead=self.name)
                due: list[str] = []
                ended: list[str] = []
                while True:
                    some, over = claims.sweep(db, hooks, (), dead=self.name)
                    due += some
                    ended += over
                    if len(some) + len(over) < claims.MOST_SWEPT:
                        break
                return len(due), lost

        self._known = hooks
        count, lost = self._do(work)
        self._start("beat", self._beat)
        self._stir()
        self._bell.ring(due=count > 0)
        return count, lost

    def fail_lost(self, hooks: Mapping[str, Terms]) -> list[str]:
        self._known = hooks
        lost = self._fail_lost(hooks)
        self._start("beat", self._beat)
        return lost

    def _fail_lost(self, hooks: Mapping[str, Terms]) -> list[str]:
        def work(db: Db, again: bool) -> list[str]:
            with db.transaction():
                claims.announce(db, self.name, hooks)
                return claims.fail_lost(db, self._lost_after)

        lost = self._do(work)
        self._tell_all(*lost)
        return lost

    def untold(self) -> list[str]:
        return self._looks.untold(list(self._known or ()), self.name)

    def tell(self, run_id: str, then: NewRun | None) -> str:
        made = new_id()

        def work(db: Db, again: bool) -> str:
            if again and rows(db, records.PRESENT, ([made],)):
                return made
            with db.transaction():
                first = run(db, TOLD, (run_id,)) == 1
                if first and then:
                    records.insert(db, then, made)
            return made if first and then else ""

        told = self._do(work)
        if told:
            self._stir()
            self._bell.ring(due=True)
        return told

    def prune(self, hooks: Mapping[str, Terms], most: int) -> int:
        def keeps(hook: str) -> float:
            return hooks.get(hook, Terms()).keep

        return self._do(lambda db, again: prune(db, keeps, most))

    def watch(self, run_id: str, then: Then) -> None:
        self._watchers.add(run_id, then)
        self._watch_others()
        # Looked up after it is watched, so that an end in between is not missed.
        self._tell_if_over(run_id)

    def unwatch(self, run_id: str, then: Then) -> None:
        self._watchers.remove(run_id, then)

    def lead(self) -> None:
        """All is done by threads of its own."""

    def follow(self) -> None:
        """See `lead`."""

    def turn(self) -> bool:
        return False

    def wake_workers(self, *, for_good: bool = False) -> None:
        self._seeker.dismiss(for_good=for_good)

    def wake_senders(self) -> None:
        self._watchers.tell_all()

    def close(self) -> None:
        with self._lock:
            if self._closed.is_set():
                return
            self._closed.set()
        self._notebook.flush()
        self._seeker.close()
        self._records.close()
        self._settles.close()
        self._watching.set()
        for thread in self._threads.values():
            thread.join()
        self._bell.close()
        if self._known is not None:
            with suppress(JournalUnavailable):
                self._link.do(lambda db, again: claims.leave(db, self.name))
        self._link.close()

    def _do(self, work: Callable[[Db, bool], T]) -> T:
        try:
            return self._link.do(work)
        except UNFIT as error:
            raise _unavailable(error) from None

    def _stir(self) -> None:
        self._seeker.stir()

    def _start(self, name: str, work: Callable[[], None]) -> None:
        """Have a thread of this name, that ends when the journal is closed."""
        with self._lock:
            if name not in self._threads and not self._closed.is_set():
                self._threads[name] = threading.Thread(target=work, name=name, daemon=True)
                self._threads[name].start()

    def _beat(self) -> None:
        """Say every so often which hooks we know, and what is lost because nobody does."""
        beats = 0
        while not self._closed.wait(BEAT):
            beats += 1
            hooks = self._known or {}
            with suppress(JournalUnavailable):
                if beats % BEATS:
                    self._do(partial(_announce, name=self.name, hooks=hooks))
                    continue
                for run_id in self._fail_lost(hooks):
                    self._say(f"{run_id} failed: its path has left hooks.yaml on every machine")

    def _watch_others(self) -> None:
        """Have it noticed if a run ends somewhere else."""
        self._bell.listen()
        self._start("watch", self._poll)
        self._watching.set()

    def _poll(self) -> None:
        pause = POLLED
        while not self._closed.is_set():
            if self._watching.is_set():
                pause = POLLED
                self._watching.clear()
            if not self._watchers.watched():
                self._watching.wait()
                continue
            self._closed.wait(POLLED_HEARING if self._bell.hears else pause)
            pause = min(pause * 2, POLLED_AT_LAST)
            with suppress(JournalUnavailable):  # it is looked again
                watched = set(self._watchers.watched())
                self._watchers.tell(*self._looks.over(sorted(watched - self._unborn)))

    def _told_elsewhere(self, run_ids: Collection[str]) -> None:
        self._watchers.tell(*run_ids)

    def _tell_if_over(self, run_id: str) -> None:
        try:
            over = self._looks.over([run_id])
        except JournalUnavailable:  # whoever watches asks again, and hears of it
            over = [run_id]
        self._watchers.tell(*over)

    def _tell_all(self, *run_ids: str) -> None:
        """These have ended: tell whoever waits for that, here and elsewhere."""
        self._watchers.tell(*run_ids)
        self._bell.ring(ended=run_ids)


class _AfterThen:
    """Tells of an end, but not before it has been told that there is a run."""

    def __init__(self, ended: Then) -> None:
        self._ended = ended
        self._begun = False
        self._waits: list[Run | None] = []
        self._lock = threading.Lock()

    def __call__(self, run: Run | None) -> None:
        with self._lock:
            if not self._begun:
                self._waits.append(run)
                return
        self._ended(run)

    def begin(self) -> None:
        with self._lock:
            self._begun = True
        for ended in self._waits:
            self._ended(ended)


@dataclass(frozen=True, slots=True)
class _Touch:
    """Somebody wants to know whether anything can be written."""

    then: Callable[[JournalUnavailable | None], None]


@dataclass(frozen=True, slots=True)
class _Settle:
    said: Settling
    then: Callable[[bool | JournalUnavailable], None]


def _claimed(row: tuple[Any, ...], asked_at: float) -> Claim:
    """What was claimed, from a row that ends in the seconds since it was recorded."""
    return as_claim(row[:-1], asked_at, max(row[-1], 0.0))


def _prepare(url: str, say: Callable[[str], None]) -> bool:
    """Have the tables ready; True if the connection is direct. Raises Trouble."""
    with connect(url) as db:
        try:
            before, now = migrate(db)
            [[synced]] = rows(db, SYNC)
            direct = is_direct(db)
        except psycopg.Error as error:
            raise unmade(error) from None
    if before and before < now:
        say(f"the journal's tables were brought from version {before} to {now}")
    if synced == "off" and not direct:
        raise Trouble(
            "the database has synchronous_commit = off, so what is acknowledged could be lost; "
            "ALTER ROLE CURRENT_USER SET synchronous_commit = on"
        )
    return direct


def _retake(db: Db, again: bool, ask: Claiming) -> list[tuple[Any, ...]]:
    return claims.retake(db, ask)


def _announce(db: Db, again: bool, name: str, hooks: Collection[str]) -> None:
    claims.announce(db, name, hooks)


def _is_fresh(job: Recording) -> bool:
    return isinstance(job.told, Recorded) and not job.told.joined


def _as_it_stands(said: Settling, settled: Settled) -> Run:
    claim, outcome = said.claim, said.outcome
    return Run(
        claim.run_id,
        claim.seq,
        claim.new.hook,
        outcome.state if said.again_in is None else State.QUEUED,
        claim.attempt,
        settled.recorded_at,
        settled.ended_at,
        outcome,
        settled.due,
        claim.new.replaces,
        claim.new.delivery_id,
        claim.new.event,
    )


def _size(job: Recording | _Touch | _Settle) -> int:
    if isinstance(job, Recording):
        return len(job.new.body)
    if isinstance(job, _Settle):
        return len(job.said.outcome.stdout) + len(job.said.outcome.stderr)
    return 0


def _unavailable(error: Exception) -> JournalUnavailable:
    if isinstance(error, JournalUnavailable):
        return error
    unavailable = JournalUnavailable(told(error))
    unavailable.__cause__ = error
    return unavailable


def _number() -> int:
    """A number that no other claim, or word about an attempt, has: 62 random bits."""
    return secrets.randbits(62)
