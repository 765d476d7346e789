"""What a process says of its own state, to whoever asks: that it is there, that it can work."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hookrunner.answer import Answer, as_json
from hookrunner.log import Log
from hookrunner.model import JournalUnavailable, Refused
from hookrunner.seams import Journal

Checks = Mapping[str, Callable[[], str]]
"""By name, what keeps a process from its work; nothing if nothing does."""

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


def of_journal(journal: Journal, log: Log) -> str:
    """What is wrong with the journal."""
    try:
        journal.try_writing(PATIENCE)
    except JournalUnavailable as error:
        log.error(f"the journal is unavailable: {error}")
        return "cannot be written"
    return ""
