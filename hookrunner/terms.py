"""How a hook's runs are kept, started and tried again: the settings `retry` to `keep`, read."""

from __future__ import annotations

import re
from collections.abc import Callable

from hookrunner.auth.settings import header_name
from hookrunner.model import Dedupe, Rate, Retry, Terms
from hookrunner.pointer import FORM as POINTER
from hookrunner.sections import Section, Value, Wrong, duration, flag, one_of, whole
from hookrunner.units import SECONDS

MOST_ATTEMPTS = 1000
MOST_QUEUED = 1_000_000


def read_retry(value: Value) -> Retry:
    """`retry: {attempts: 5, delay: 10s}`. Raises Wrong."""
    if not isinstance(value.plain, dict):
        raise Wrong("a mapping such as {attempts: 3}")
    default = Retry()
    section = value.section()
    retry = Retry(
        attempts=section.take("attempts", whole(1, MOST_ATTEMPTS), default=default.attempts),
        delay=section.take("delay", duration, default=default.delay),
        factor=section.take("factor", number(1, 100), default=default.factor),
        max=section.take("max", duration, default=default.max),
        rerun=section.take("rerun", flag, default=default.rerun),
    )
    section.refuse_leftovers()
    return retry


def read_terms(section: Section, retry: Retry) -> Terms:
    """The settings of a hook that its journal must know."""
    default = Terms()
    return Terms(
        concurrency=section.take("concurrency", whole(1, 1000)),
        strict=section.take("order", one_of("strict")) == "strict",
        rerun=retry.rerun,
        queue=section.take("queue", whole(1, MOST_QUEUED), default=default.queue),
        rate=section.take("rate", read_rate),
        keep=section.take("keep", duration, default=default.keep),
    )


def read_rate(value: Value) -> Rate:
    """`rate: 60/m`. Raises Wrong."""
    found = value.plain
    parts = re.fullmatch(r"([1-9][0-9]{0,5})/([smhd])", found) if isinstance(found, str) else None
    if not parts:
        raise Wrong("a rate such as 60/m, 5/s or 1000/h")
    return Rate(int(parts[1]), SECONDS[parts[2]])


def read_dedupe(value: Value) -> Dedupe:
    """`dedupe: {header: X-Id, for: 1h}`, or `none`. Raises Wrong."""
    if value.plain == "none":
        return Dedupe(seconds=0.0)
    if not isinstance(value.plain, dict):
        raise Wrong("none, or a mapping such as {header: X-Request-Id} or {payload: /id}")
    section = value.section()
    dedupe = Dedupe(
        header=section.take("header", header_name, default=""),
        payload=section.take("payload", pointer),
        seconds=section.take("for", duration, default=Dedupe().seconds),
    )
    section.refuse_leftovers()
    if dedupe.header and dedupe.payload is not None:
        value.complain("dedupe takes header: or payload:, not both")
    return dedupe


def pointer(value: Value) -> str:
    """A JSON Pointer (RFC 6901) to a part of the payload. Raises Wrong."""
    found = value.plain
    if not isinstance(found, str) or not POINTER.fullmatch(found) or not found:
        raise Wrong("a JSON Pointer such as /order/id")
    return found


def number(least: float, most: float) -> Callable[[Value], float]:
    """A reader of numbers, whole or decimal."""

    def read(value: Value) -> float:
        found = value.plain
        if type(found) not in (int, float) or not least <= found <= most:
            raise Wrong(f"a number from {least:g} to {most:g}")
        return float(found)

    return read
