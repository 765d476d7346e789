"""What a process says of its own state, to whoever asks: that it is there, that it can work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from hookrunner.answer import Answer, as_json
from hookrunner.log import Log
from hookrunner.model import JournalUnavailable, Refused
from hookrunner.seams import Journal

Checks = Mapping[str, Callable[[], str]]
"""By name, what keeps a process from its work; nothing if nothing does."""

FRESH = 1.0
"""Seconds for which what was found out holds."""

PATIENCE = 2.0
"""Seconds in which a journal that can be written has been written."""


def there() -> Answer:
    """That it is there and answers."""
    return as_json(200, {"status": "ok"})


def ready(checks: Checks) -> Answer:
    """That it can do its work. Raises Refused with what is wrong, if it cannot."""
    wrong = {name: told for name, check in checks.items() if (told := check())}
    if wrong:
        raise Refused(503, "; ".join(f"{name}: {told}" for name, told in wrong.items()))
    return as_json(200, {"status": "ready"})


class JournalCheck:
    """Whether the journal can be written, found out at most once a second: anybody may ask."""

    def __init__(self, journal: Journal, log: Log) -> None:
        self._journal = journal
        self._log = log
        self._lock = threading.Lock()
        self._told = ""
        self._told_at = -FRESH

    def __call__(self) -> str:
        """What is wrong with it; nothing if nothing is."""
        with self._lock:  # who asks meanwhile is told the same
            if time.monotonic() - self._told_at >= FRESH:
                self._told = self._try()
                self._told_at = time.monotonic()
            return self._told

    def _try(self) -> str:
        try:
            self._journal.try_writing(PATIENCE)
        except JournalUnavailable as error:
            self._log.error(f"the journal is unavailable: {error}")
            return "cannot be written"
        return ""
