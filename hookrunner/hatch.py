"""Where a process that only runs what others record may be asked how it does, and nothing else.

Its port is for Prometheus, and for who looks after processes. No delivery is taken in there:
whoever posts one is told where hooks are.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import Any

from hookrunner import health
from hookrunner.access import CHALLENGE, PAGES, Access, Elsewhere
from hookrunner.answer import Answer, Environ, bug, problem, raw_path, status_line
from hookrunner.api import PRIVATE
from hookrunner.config import Config
from hookrunner.log import Log
from hookrunner.loop import Loop
from hookrunner.model import Refused
from hookrunner.refusing import RefusalBook
from hookrunner.seams import Journal
from hookrunner.serving import Server
from hookrunner.settings import Settings

METRICS = "/-/metrics"
TOLD = (
    "this process only runs what others record, and takes no deliveries; "
    "hooks are taken where python runner.py web listens"
)

THREADS = 4
"""Twice as many as a database may hold up: it lends two connections to who reads."""

LARGEST_BODY = 64 * 1024
"""Bytes; what asks here has none."""


class Hatch:
    """Answers who asks, as often as `server` is given a turn."""

    def __init__(
        self,
        settings: Settings,
        config: Config,
        journal: Journal,
        loop: Loop,
        log: Log,
        listener: socket.socket,
        fault: Callable[[], str],
        measure: Callable[[str], tuple[str, bytes]],
    ) -> None:
        """`loop` is driven from ours. `fault` says what keeps scripts from being started;
        `measure` gives the metrics for an Accept header: their content type, and the text."""
        self.config = config
        self.log = log
        self.stopping = False
        self.measure = measure
        self.access = Access(lambda: self.config.environ.get("ADMIN_TOKEN", ""), settings.trusted)
        self.refused = RefusalBook(journal, log, settings.trusted)
        self.checks: health.Checks = {
            "journal": health.JournalCheck(journal, log),
            "worker": lambda: "is stopping" if self.stopping else "",
            "supervisor": fault,
        }
        self.server = Server(self, listener, THREADS, LARGEST_BODY, log, loop, journal.turn)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request (PEP 3333)."""
        try:
            answer = self._page(environ)
        except Refused as refused:
            answer = self.unread(environ, refused)
        start_response(status_line(answer.status), list(answer.headers.items()))
        return [answer.body]

    def _page(self, environ: Environ) -> Answer:
        """What is asked for. Raises Refused."""
        path = raw_path(environ)
        pages = {"/-/health": self._health, "/-/ready": self._ready, METRICS: self._metrics}
        if path not in pages:
            raise Refused(404, TOLD)
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            raise Refused(405, "use GET", headers={"Allow": "GET"})
        try:
            self.access.let_in(environ, PAGES[path]["GET"])
            return pages[path](environ)
        except Elsewhere:  # to a login, which is not here
            raise Refused(401, "not authorised", headers=CHALLENGE) from None

    def _health(self, environ: Environ) -> Answer:
        return health.there()

    def _ready(self, environ: Environ) -> Answer:
        return health.ready(self.checks)

    def _metrics(self, environ: Environ) -> Answer:
        kind, text = self.measure(environ.get("HTTP_ACCEPT", ""))
        return Answer(200, text, {"Content-Type": kind, **PRIVATE})

    def fault(self, error: Exception) -> Answer:
        """What is told of a bug, after it has been logged."""
        return bug(error, self.log)

    def unread(self, environ: Environ, refused: Refused, *, closed: bool = False) -> Answer:
        """What is said of a request that was turned away, after that has been noted."""
        if refused.status == 413:  # it would be no better if it were smaller
            refused = Refused(404, TOLD)
        self.refused.add(environ, refused, "", closed=closed)
        return problem(refused)

    def hook_of(self, path: str) -> str:
        """None is taken here."""
        return ""

    def asks_others(self, path: str) -> bool:
        """Nobody has to be asked."""
        return False
