"""How machines wake each other: LISTEN and NOTIFY, where there is a way for them.

It makes nothing true and is never waited for: whoever waits looks again by itself, only less
often while it can be rung. A NOTIFY is a transaction of its own and tells of all that has come
meanwhile, for in those that record it would have each wait for the other's commit.
"""

from __future__ import annotations

import json
import os
import select
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial

import psycopg

from hookrunner.journal.link import CONNECTION, Db, Link, run
from hookrunner.model import JournalUnavailable

CHANNEL = "hookrunner"
NOTIFY = f"SELECT pg_notify('{CHANNEL}', %s)"

GAP = 0.005
"""Seconds between two rings of one process."""

MOST_NAMED = 250
"""Runs named in a ring: what a NOTIFY carries has to be shorter than 8000 bytes."""

AGAIN = 2.0
"""Seconds until a connection that was lost is tried again."""


class Bell:
    """Rings for other processes, and hears them ring."""

    def __init__(
        self,
        link: Link,
        name: str,
        url: str,
        on_due: Callable[[], None],
        on_ended: Callable[[Collection[str]], None],
    ) -> None:
        """`name` is this process's; `url` of a direct connection, empty if there is none.

        `on_due` is called when runs may be due, `on_ended` with those that have ended.
        """
        self._link = link
        self._name = name
        self._url = url
        self._on_due = on_due
        self._on_ended = on_ended
        self.hears = False
        """That whoever rings is heard."""

        self._due = False
        self._ended: set[str] = set()
        self._closing = False
        self._asked = threading.Condition()
        self._ringer: threading.Thread | None = None
        self._listener: threading.Thread | None = None
        self._woken, self._wake = os.pipe()

    def ring(self, *, due: bool = False, ended: Collection[str] = ()) -> None:
        """Tell the others, soon, that runs are due, or have ended."""
        if not (due or ended):
            return
        with self._asked:
            self._due = self._due or due
            self._ended.update(ended)
            if self._ringer is None and not self._closing:
                self._ringer = threading.Thread(target=self._ring, name="ring", daemon=True)
                self._ringer.start()
            self._asked.notify()

    def listen(self) -> None:
        """From now on, hear the others."""
        if self._listener is None and self._url:
            with self._asked:
                if self._listener is None and not self._closing:
                    self._listener = threading.Thread(
                        target=self._listen, name="listen", daemon=True
                    )
                    self._listener.start()

    def close(self) -> None:
        """Ring for what there is, and end."""
        with self._asked:
            self._closing = True
            self._asked.notify()
        os.write(self._wake, b".")
        for thread in (self._ringer, self._listener):
            if thread:
                thread.join()
        os.close(self._wake)
        os.close(self._woken)

    def _ring(self) -> None:
        while True:
            with self._asked:
                while not (self._due or self._ended or self._closing):
                    self._asked.wait()
                if not (self._due or self._ended):
                    return
                due, ended = self._due, list(self._ended)[:MOST_NAMED]
                self._due = False
                self._ended.difference_update(ended)
            said = json.dumps({"from": self._name, "due": due, "ended": ended})
            with suppress(JournalUnavailable):  # they look by themselves
                self._link.do(partial(_notify, said=said))
            time.sleep(GAP)

    def _listen(self) -> None:
        while not self._closing:
            try:
                with psycopg.connect(self._url, **CONNECTION) as db:
                    run(db, f"LISTEN {CHANNEL}")
                    self.hears = True
                    self._on_due()  # what was rung for meanwhile was not heard
                    self._hear(db)
            except psycopg.Error:
                pass
            finally:
                self.hears = False
            if not self._closing:
                self._on_due()  # who has slept because of us must not do so now
                self._ready(self._woken).poll(AGAIN * 1000)

    def _hear(self, db: Db) -> None:
        """Hear until the connection is lost, or we are closed."""
        ready = self._ready(db.fileno(), self._woken)
        while not self._closing:
            ready.poll()
            db.pgconn.consume_input()
            due, ended = False, set[str]()
            while notice := db.pgconn.notifies():
                name, there, over = _read(notice.extra)
                if name != self._name:
                    due = due or there
                    ended.update(over)
            if due:
                self._on_due()
            if ended:
                self._on_ended(ended)

    @staticmethod
    def _ready(*descriptors: int) -> select.poll:
        """To wait for these; `select` knows no more than 1024, and a server has as many senders."""
        ready = select.poll()
        for each in descriptors:
            ready.register(each, select.POLLIN)
        return ready


def _read(said: bytes) -> tuple[str, bool, Collection[str]]:
    """Who rings, whether runs are due, and which have ended."""
    try:
        told = json.loads(said)
        return str(told["from"]), bool(told["due"]), [str(each) for each in told["ended"]]
    except (ValueError, LookupError, TypeError, RecursionError):
        return "", True, ()  # a newer version's, or a stranger's: looking does no harm


def _notify(db: Db, again: bool, said: str) -> None:
    run(db, NOTIFY, (said,))
