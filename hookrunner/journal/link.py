"""The connections to PostgreSQL: a few, shared by all threads; and what is done when one is lost.

A pooler may stand between (PgBouncer, a connection for each transaction): then nothing is kept in
a session, and no statement is prepared. Whatever is done here is done again, once, if the
connection was lost in the middle; `work` is told so, because the first time may have counted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from hookrunner.journal.letters import read_row
from hookrunner.journal.where import LIKE, Away
from hookrunner.model import JournalUnavailable, Trouble

T = TypeVar("T")
Db = psycopg.Connection[tuple[Any, ...]]

PATIENCE = 3.0
"""Seconds that anybody waits for a connection, or for the database to be back."""

AGAIN = 0.05
"""Seconds until it is tried once more."""

WRITERS = 2
"""Connections that are never lent to who only reads."""

UNFIT = (psycopg.DataError, psycopg.IntegrityError, ValueError, TypeError, OverflowError)
"""What one who asks for the impossible gets; the others' work is none the worse."""

UNDONE = ("40001", "40P01")
"""SQLSTATEs of a transaction that was undone for another's sake."""

CONNECTION: dict[str, Any] = {
    "autocommit": True,
    "prepare_threshold": None,
    "application_name": "hookrunner",
    "connect_timeout": 5,
    # A fail-over may leave us with nobody at the other end: known within 20 seconds.
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}

# libpq says what it could not read, which may be a password.
UNREADABLE = f"the journal's URL cannot be read; {LIKE}"

HOPELESS = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
    "permission denied for database",
    "server does not support SSL",
)
"""What a server says to who will never be let in: there are no codes for it at this stage. In
another language than English it is waited for in vain."""

FROZEN = 5
"""Seconds without a word after which who is in a transaction is taken for dead."""

DIRECT: dict[str, Any] = {
    "prepare_threshold": 2,
    # A plan is made once, perhaps before there are any runs: it has to be good for a million.
    "options": "-c synchronous_commit=on -c plan_cache_mode=force_generic_plan "
    "-c enable_seqscan=off -c jit=off "
    # A machine that is paused between two statements holds rows that all others wait for.
    f"-c idle_in_transaction_session_timeout={FROZEN * 1000}",
}
"""What can be had besides of a connection that is ours alone: half the time of a claim is spent
planning it."""

# The pool has its say in what we raise; it need not print it.
logging.getLogger("psycopg").addHandler(logging.NullHandler())


class Link:
    """A bounded number of connections to one database. Any thread may use it."""

    def __init__(
        self, url: str, most: int, *, direct: bool = False, patience: float = PATIENCE
    ) -> None:
        """`most` connections at once; `patience` is in seconds.

        `direct`: there is no pooler in between, so sessions are ours, with what they remember.
        """
        self.url = url
        self.patience = patience
        self._most = most
        self._closed = False
        self._said = ""
        """What the database, or our system, said to our last try to connect, if that failed."""

        self._readers = threading.BoundedSemaphore(max(most - WRITERS, 1))
        self._pool = ConnectionPool(
            url,
            kwargs=CONNECTION | (DIRECT if direct else {}),
            min_size=0,
            max_size=most,
            open=False,
            timeout=patience,
            # Who waits has it tried anew; nobody waits longer than that.
            reconnect_timeout=1.0,
            num_workers=1,
            name="journal",
            connection_class=self._hearing(),
        )
        self._pool.open()

    def do(self, work: Callable[[Db, bool], T]) -> T:
        """Have it done. Raises JournalUnavailable, and what UNFIT names.

        `work` is told whether it may have been done before: then it makes sure.
        """
        give_up = time.monotonic() + self.patience
        again = False
        while True:
            try:
                with self._connection() as db:
                    return work(db, again)
            except PoolTimeout:
                raise JournalUnavailable(self._why_none()) from None
            except PoolClosed:
                raise JournalUnavailable("the journal is closed") from None
            except psycopg.Error as error:
                if isinstance(error, UNFIT):
                    raise
                if not _may_be_tried_again(error) or time.monotonic() > give_up:
                    raise JournalUnavailable(told(error)) from None
                again = again or error.sqlstate not in UNDONE
                with suppress(psycopg.Error, PoolClosed):
                    self._pool.check()  # the others are as lost as this one
                time.sleep(AGAIN)

    def ask(self, work: Callable[[Db], T]) -> T:
        """Have something read, without being in the way of those who write."""
        if not self._readers.acquire(timeout=self.patience):
            raise JournalUnavailable("too many are reading")
        try:
            return self.do(lambda db, again: work(db))
        except UNFIT as error:
            raise JournalUnavailable(str(error)) from None
        finally:
            self._readers.release()

    def close(self) -> None:
        """Let go of all connections; whoever asks later is told so."""
        self._closed = True
        self._pool.close()

    @contextmanager
    def _connection(self) -> Iterator[Db]:
        if self._closed:
            raise PoolClosed
        with self._pool.connection() as db:
            try:
                yield db
            except psycopg.errors.ReadOnlySqlTransaction:
                db.close()  # it leads to what was the primary until a moment ago
                raise

    def _hearing(self) -> type[Db]:
        """Connections of which it is heard why there are none: the pool keeps that to itself."""
        link = self

        class Heard(psycopg.Connection[tuple[Any, ...]]):
            @classmethod
            def connect(cls, conninfo: str = "", **given: Any) -> Any:
                try:
                    made = super().connect(conninfo, **given)
                except psycopg.Error as error:
                    link._said = told(error)
                    raise
                link._said = ""
                return made

        return Heard

    def _why_none(self) -> str:
        stats = self._pool.get_stats()
        if stats.get("pool_size", 0) >= self._most:
            return f"all {self._most} connections to the database are busy"
        said = f": {self._said}" if self._said else ""
        return f"the database gives no connection within {self.patience:g} s{said}"


def connect(url: str) -> Db:
    """A connection of one's own. Raises Trouble if there is none to be had: Away, if not yet."""
    try:
        return psycopg.connect(url, **CONNECTION)
    except psycopg.ProgrammingError:
        raise Trouble(UNREADABLE) from None
    except psycopg.Error as error:
        why = told(error)
        if any(word in why for word in HOPELESS):
            raise Trouble(
                f"the journal's database does not let us in: {why}; "
                "look at JOURNAL_URL, or DATABASE_URL"
            ) from None
        raise Away(
            f"the journal's database cannot be reached: {why}; look at JOURNAL_URL, or DATABASE_URL"
        ) from None


def check_url(url: str) -> None:
    """Raise Trouble if no connection could be asked for with this URL."""
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise Trouble(UNREADABLE) from None


def is_direct(db: Db) -> bool:
    """True if nobody stands between us and the server: a pooler has process ids of its own."""
    [pid] = rows(db, "SELECT pg_backend_pid()")[0]
    return bool(pid == db.info.backend_pid)


def rows(db: Db, statement: str, given: Any = None) -> list[tuple[Any, ...]]:
    """What a statement returns."""
    found = db.execute(statement, given, binary=True)
    return [read_row(row) for row in found.fetchall()]


def run(db: Db, statement: str, given: Any = None) -> int:
    """Have a statement executed; how many rows it changed."""
    return int(db.execute(statement, given).rowcount)


def told(error: BaseException) -> str:
    """What went wrong, in a line."""
    return " ".join(str(error).split()) or type(error).__name__


def _may_be_tried_again(error: psycopg.Error) -> bool:
    """True if it was the connection's fault, or another's with whom it collided."""
    state = error.sqlstate
    if isinstance(error, psycopg.InterfaceError | psycopg.errors.ReadOnlySqlTransaction):
        return True
    if isinstance(error, psycopg.InternalError) and state is None:
        return True  # of a connection that is cut, PgBouncer says so beside the server: two answers
    if not isinstance(error, psycopg.OperationalError):
        return False
    return state is None or state in UNDONE or state.startswith(("08", "57P"))
