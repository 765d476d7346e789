"""Who waits for work, where others may make some without our knowing.

A thread asks for all who wait: at once when one comes or something has been made here, or when
the bell rings; and by itself when the next run comes due, and every so often: seldom while the
bell can be heard, else ever less often, up to once a second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence

from hookrunner.journal.look import Look
from hookrunner.model import Claim, JournalUnavailable

SOON, SELDOM = 0.02, 1.0
"""Seconds between two looks that find nothing, at first and at last, if no bell is heard."""

HEARING = 5.0
"""Seconds between two looks if one is."""

RACED = 0.005
"""Seconds after which it is looked again, where others took what there was."""

Find = Callable[[Look, int], tuple[Sequence[Claim], float | None]]


class Seeker:
    """Finds runs for all who wait for one."""

    def __init__(self, find: Find, hears: Callable[[], bool]) -> None:
        """`find` claims so many for who looks; and says in how many seconds there may be more.

        It may raise JournalUnavailable. `hears` says whether the others can be heard.
        """
        self._find = find
        self._hears = hears
        self._looks: list[Look] = []
        self._stirred = False
        self._dismissed = False
        self._closing = False
        self._pause = SOON
        self._look_at = 0.0
        self._asked = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="seek", daemon=True)
        self._thread.start()

    def look(self, look: Look) -> None:
        """Serve it, now or when there is something."""
        with self._asked:
            if not self._closing:
                # Where others have just found nothing and wait, it waits beside them.
                patient = look.until > time.monotonic() and any(map(look.asks_as, self._looks))
                self._looks.append(look)
                if not patient:
                    self._stir()
                return
        look.then(JournalUnavailable("the journal is closed"))

    def stir(self) -> None:
        """Who waits may find something by now."""
        with self._asked:
            self._stir()

    def waiting(self, hooks: Collection[str]) -> int:
        """How many wait for runs of all these hooks."""
        with self._asked:
            return sum(all(hook in look.hooks for hook in hooks) for look in self._looks)

    def dismiss(self, *, for_good: bool) -> None:
        """Let all go who wait; `for_good`: nobody shall wait, or get any, again."""
        with self._asked:
            self._dismissed = self._dismissed or for_good
            for look in self._looks:
                look.until = 0.0
            self._stir()

    def close(self) -> None:
        """Let all go, and end."""
        with self._asked:
            self._closing = True
            self._asked.notify()
        self._thread.join()

    def _stir(self) -> None:
        self._stirred = True
        self._pause = SOON
        self._asked.notify()

    def _run(self) -> None:
        while looks := self._take():
            for alike in _alike(looks):
                self._serve(alike)
        for look in self._looks:
            look.then(None)

    def _take(self) -> list[Look]:
        """Wait until it is time to look; for whom. Nobody, if that was all."""
        with self._asked:
            while not self._closing:
                now = time.monotonic()
                patience = min([look.until for look in self._looks], default=None)
                if patience is not None:
                    patience = min(patience, self._look_at) - now
                if self._looks and (self._stirred or (patience or 0.0) <= 0):
                    looks, self._looks = self._looks, []
                    self._stirred = False
                    self._look_at = now + self._next_pause()
                    return looks
                self._asked.wait(patience)
            return []

    def _next_pause(self) -> float:
        if self._hears():
            return HEARING
        pause, self._pause = self._pause, min(self._pause * 2, SELDOM)
        return pause

    def _serve(self, looks: Sequence[Look]) -> None:
        """Tell these, who look for the same, what they get; who gets nothing yet stays."""
        claims: Sequence[Claim] = ()
        if not self._dismissed:
            try:
                claims, more_in = self._find(looks[0], len(looks))
            except JournalUnavailable as error:
                for look in looks:
                    look.then(error)
                return
            if more_in is not None:
                self._look_at = min(self._look_at, time.monotonic() + more_in)
        for look, claim in zip(looks, claims, strict=False):
            look.then(claim)
        gone = []
        with self._asked:  # whoever dismisses finds each of them in one place or the other
            now = time.monotonic()
            for look in looks[len(claims) :]:
                if self._dismissed or look.until <= now:
                    gone.append(look)
                else:
                    self._looks.append(look)
        for look in gone:
            look.then(None)


def _alike(looks: Sequence[Look]) -> list[list[Look]]:
    """Those who look for the same, together."""
    found: list[list[Look]] = []
    for look in looks:
        same = next((some for some in found if look.asks_as(some[0])), None)
        if same is None:
            found.append([look])
        else:
            same.append(look)
    return found
