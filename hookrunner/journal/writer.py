"""What is written to an SQLite file: group commit, and who waits for work.

Everything that is asked for at a moment goes into one transaction and is committed
once, so that a synced commit is shared by all who wait for it. A thread does that; but
to change threads costs more than most commits. So one other thread may lead: what it asks
for it does itself, all of one turn in one commit, while the disk is quick. Whoever looks for a run
that is due and finds none stays, and is served by the very transaction that makes one
due: a run is recorded and claimed in one commit, and nobody looks in vain again and
again. Nothing here knows the tables.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Generic, TypeVar

from hookrunner.counts import SHORT, Durations
from hookrunner.journal.look import Look
from hookrunner.model import Claim, Full, JournalUnavailable

T = TypeVar("T")

SLOW = 0.001
"""Seconds of a synced commit from which on it is the thread's: whoever leads has more to do."""

LATEST = 0.1
"""How much the latest commit counts, of what they are said to take."""

LOOK_EVERY = 5.0
"""Seconds after which who waits for work looks again, whatever the clock did."""

FOREVER = float("inf")

UNFIT = (Full, ValueError, TypeError, OverflowError, sqlite3.IntegrityError)
"""What one who asks for the impossible gets; the others' work is none the worse."""


class Job(Generic[T]):
    """Something for the writer to do, and whom to tell what came of it."""

    __slots__ = ("error", "quick", "result", "then", "unsynced", "work")

    def __init__(
        self,
        work: Callable[[sqlite3.Connection], T],
        then: Callable[[T | Full | JournalUnavailable], None],
        *,
        unsynced: bool = False,
        quick: bool = False,
    ) -> None:
        """`then` is called by the writer, after the commit, and must be quick.

        `unsynced`: nobody is told of it before something synced has come after it.
        `quick`: the thread that leads may do it itself.
        """
        self.work = work
        self.then = then
        self.unsynced = unsynced
        self.quick = quick
        self.result: T | None = None
        self.error: BaseException | None = None

    def tell(self) -> None:
        """Say what came of it."""
        if self.error is None:
            self.then(self.result)  # type: ignore[arg-type]  # set where no error is
        elif isinstance(self.error, Full):
            self.then(self.error)
        else:
            unavailable = JournalUnavailable(str(self.error))
            unavailable.__cause__ = self.error
            self.then(unavailable)


class Writer:
    """Does what is asked for, in order, and commits it."""

    def __init__(
        self,
        db: sqlite3.Connection,
        find: Callable[[sqlite3.Connection, Look], Claim | None],
        soonest: Callable[[sqlite3.Connection, float], float | None],
        touch: str,
    ) -> None:
        """`find` makes a claim for who looks, `soonest` says what comes due next after a time
        (Unix seconds both).

        `touch` is a statement that writes something and changes nothing.
        """
        self._db = db
        self._find = find
        self._soonest = soonest
        self._touch = touch
        self._jobs: deque[Job[Any]] = deque()
        self._arrived: deque[Look] = deque()
        self._looks: list[Look] = []
        self._look_at = 0.0
        self._barren: list[Look] = []
        self._stirred = self._stirs = True
        self._given: dict[int, Claim] = {}
        self._after: list[Callable[[], None]] = []
        self._synced = True
        self._behind = False
        self._dismissed = False
        self._closing = False
        self._leader = 0
        self._left = False
        """That the leader has asked for something, and has told nobody."""

        self._seconds = 0.0
        """What a synced commit takes, of late."""

        self.commits = Durations(SHORT)
        """What they have taken, all of them."""

        self._wakes_at = 0.0
        """When the thread, which sleeps, will wake (monotonic clock); 0 if it does not sleep."""

        self._turn = threading.Lock()
        """Held while a group is done: they come one after the other, in the order of asking."""

        self._asked = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()

    def do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Have it done, and return once it is committed. Raises Full, JournalUnavailable."""
        told: list[T | Full | JournalUnavailable] = []
        # A bare lock, let go when it is done, is cheaper than an Event.
        done = threading.Lock()
        done.acquire()

        def then(outcome: T | Full | JournalUnavailable) -> None:
            told.append(outcome)
            done.release()

        self.ask(Job(work, then))
        done.acquire()
        [outcome] = told
        if isinstance(outcome, Full | JournalUnavailable):
            raise outcome
        return outcome

    def ask(self, job: Job[Any]) -> None:
        """Have it done, soon."""
        with self._asked:
            if not self._closing:
                self._jobs.append(job)
                self._announce(quick=job.quick)
                return
        job.error = JournalUnavailable("the journal is closed")
        job.tell()

    def look(self, look: Look) -> None:
        """Serve it, now or when there is something."""
        with self._asked:
            if not self._closing:
                self._arrived.append(look)
                self._announce(quick=True)
                return
        look.then(JournalUnavailable("the journal is closed"))

    def _announce(self, *, quick: bool) -> None:
        """Something is asked for: have the thread do it, or see to it in our next turn."""
        if quick and self._leader == threading.get_ident():
            self._left = True
        else:
            self._asked.notify()

    def lead(self) -> None:
        """From now on this thread takes turns, and what is quick of what it asks for is its own."""
        self._leader = threading.get_ident()

    def follow(self) -> None:
        """It takes no more turns."""
        with self._asked:
            self._leader = 0
            self._asked.notify()

    def turn(self) -> bool:
        """Do what the leader has asked for, or leave it to the thread if that may take a while.

        True if who was told has asked for more.
        """
        if not self._left:
            return False
        self._left = False
        slow = self._seconds > SLOW or not all(job.quick for job in tuple(self._jobs))
        if slow or not self._turn.acquire(blocking=False):
            with self._asked:
                self._asked.notify()
            return False
        try:
            self._do_group()
        finally:
            self._turn.release()
        with self._asked:  # the thread keeps the time, also for those whom we have let in
            patience = self._patience()
            if patience is not None and time.monotonic() + patience < self._wakes_at:
                self._asked.notify()
        return self._left

    def afterwards(self, call: Callable[[], None]) -> None:
        """To be used by work: call it once the work is committed, unless it fails."""
        self._after.append(call)

    def stir_nothing(self) -> None:
        """To be used by work: it has made nothing due, so nobody need look because of it."""
        self._stirs = False

    def stir(self) -> None:
        """Somebody who looks may find something by now, though nothing has been written."""
        self._stirred = True

    def taker(self, hook: str) -> Look | None:
        """To be used by work: somebody who looks for runs of this hook, and has none yet."""
        if self._dismissed:
            return None
        now = time.monotonic()
        return next(
            (
                look
                for look in self._looks
                if hook in look.hooks and id(look) not in self._given and look.until > now
            ),
            None,
        )

    def give(self, look: Look, claim: Claim) -> None:
        """To be used by work: this is what they are told, once the work is committed."""
        self._given[id(look)] = claim

    def dismiss(self, *, for_good: bool) -> None:
        """Let all go who wait for work; `for_good`: nobody shall wait, or get any, again."""
        with self._asked:
            self._dismissed = self._dismissed or for_good
            for look in (*self._looks, *self._arrived):
                look.until = 0.0
            self._look_at = 0.0
            self._asked.notify()

    def close(self) -> None:
        """Do what has been asked for, and end. The connection is closed, too."""
        with self._asked:
            self._closing = True
            self._asked.notify()
        self._thread.join()
        self._db.close()

    def _work(self) -> None:
        while self._await_work():
            with self._turn:
                self._do_group()
        for look in (*self._looks, *self._arrived):
            look.then(None)

    def _await_work(self) -> bool:
        """Wait until there is something to do; False if that was all."""
        with self._asked:
            while not (self._jobs or self._arrived):
                if self._closing:
                    return False
                patience = self._patience()
                if patience is not None and patience <= 0:
                    break
                self._wakes_at = FOREVER if patience is None else time.monotonic() + patience
                self._asked.wait(patience)
            self._wakes_at = 0.0
            return True

    def _do_group(self) -> None:
        """Do all that is asked for by now, and say what came of it."""
        batch, before = self._take_all()
        # What is recorded for who waits, and claimed at once, may be synced with its end.
        unsynced = 0 < len(batch) <= before and all(job.unsynced for job in batch)
        if not batch and self._is_in_vain():
            return
        served = self._commit(batch, synced=not unsynced)
        for call in self._after:
            call()
        self._after.clear()
        for job in batch:
            job.tell()
        self._leave(served)

    def _take_all(self) -> tuple[list[Job[Any]], int]:
        """What is to be done, and how many looked for work before. Who has come now does, too."""
        with self._asked:  # so that whoever dismisses finds each of them in one place or the other
            batch = list(self._jobs)
            self._jobs.clear()
            before = len(self._looks)
            self._looks.extend(self._arrived)
            self._arrived.clear()
            return batch, before

    def _is_in_vain(self) -> bool:
        """True if nobody who looks would find anything, nor has lost patience."""
        if self._stirred or self._dismissed or time.time() >= self._look_at:
            return False
        now = time.monotonic()
        return all(
            look.until > now and any(map(look.asks_as, self._barren)) for look in self._looks
        )

    def _patience(self) -> float | None:
        """Seconds until those who look are to be served, or let go; None if nobody does."""
        if not self._looks:
            return None
        until = min(look.until for look in self._looks) - time.monotonic()
        return min(self._look_at - time.time(), until)

    def _commit(
        self, batch: list[Job[Any]], *, synced: bool
    ) -> dict[int, Claim | JournalUnavailable | None]:
        """Do it all in one transaction; what those who look are told, by their `id`."""
        db = self._db
        self._given.clear()
        try:
            self._set_synced(synced)
            db.execute("BEGIN IMMEDIATE")
            before = db.total_changes
            for job in batch:
                self._do_one(job, alone=len(batch) == 1)
            served = self._serve() if self._looks else {}
            writes = db.total_changes > before
            if self._behind and synced and batch and not writes:
                db.execute(self._touch)  # an empty commit would sync nothing
                writes = True
            self._end_transaction(synced=synced and writes)
            if writes:
                self._behind = not synced
            return served
        except Exception as error:  # the writer lives, whatever it was: all wait for it
            with suppress(sqlite3.Error):
                db.rollback()
            self._after.clear()
            self._stirred = True
            for job in batch:
                job.error = error
            unavailable = JournalUnavailable(str(error))
            return {id(look): unavailable for look in self._looks}

    def _end_transaction(self, *, synced: bool) -> None:
        """Commit, and keep in mind how long the disk takes."""
        began = time.perf_counter()
        self._db.execute("COMMIT")
        if synced:
            took = time.perf_counter() - began
            self._seconds += (took - self._seconds) * LATEST
            self.commits.add(took)

    def _set_synced(self, synced: bool) -> None:
        if synced is not self._synced:
            self._db.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
            self._synced = synced

    def _do_one(self, job: Job[Any], *, alone: bool) -> None:
        """Do it; if it cannot be done, leave no trace of it. One alone needs no savepoint."""
        after, given = len(self._after), set(self._given)
        self._stirs = True
        if not alone:
            self._db.execute("SAVEPOINT job")
        try:
            job.result = job.work(self._db)
        except UNFIT as error:
            self._db.execute("ROLLBACK" if alone else "ROLLBACK TO job")
            if alone:
                self._db.execute("BEGIN IMMEDIATE")
            job.error = error
            del self._after[after:]
            self._given = {look: self._given[look] for look in given}
        else:
            self._stirred = self._stirred or self._stirs
        if not alone:
            self._db.execute("RELEASE job")

    def _serve(self) -> dict[int, Claim | JournalUnavailable | None]:
        served: dict[int, Claim | JournalUnavailable | None] = {**self._given}
        began = time.time()
        if self._stirred or began >= self._look_at:
            self._barren.clear()
        known = len(self._barren)
        for look in self._looks:
            # Who asks for the same need not look where nothing was found.
            if self._dismissed or id(look) in served or any(map(look.asks_as, self._barren)):
                continue
            claim = self._find(self._db, look)
            if claim is None:
                self._barren.append(look)
            else:
                served[id(look)] = claim
        if len(self._barren) > known:
            # Counted from before the first looked: what came due since then may have been missed.
            soonest = self._soonest(self._db, began)
            latest = time.time() + LOOK_EVERY
            soonest = min(soonest or latest, latest)
            self._look_at = min(soonest, self._look_at) if known else soonest
        self._stirred = False
        return served

    def _leave(self, served: Mapping[int, Claim | JournalUnavailable | None]) -> None:
        """Tell those who look what they get, if it is something or they have no more time."""
        now = time.monotonic()
        stay = []
        for look in self._looks:
            if id(look) in served:
                look.then(served[id(look)])
            elif self._dismissed or look.until <= now:
                look.then(None)
            else:
                stay.append(look)
        self._looks = stay
