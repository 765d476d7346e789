"""Runs as JSON: what the pages under /-/runs say, and what the command line reads and shows.

Times are RFC 3339, in UTC. Bytes are text where they are UTF-8, and base64 where not.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from hookrunner.model import ENDED, Attempt, Json, NewRun, Outcome, Run

Mask = Callable[[bytes], bytes]
"""Takes secrets out of what a script has printed."""


def summary(run: Run) -> dict[str, Json]:
    """What anybody who knows a run's id may know of it: no payload and no output."""
    said: dict[str, Json] = {"run": run.run_id, "state": run.state, "attempt": run.attempt}
    if run.outcome is not None and run.state in ENDED:
        said |= {
            "exit_code": run.outcome.exit_code,
            "signal": run.outcome.signal,
            "why": run.outcome.why,
            "seconds": round(run.outcome.seconds, 3),
        }
    return said


def row(run: Run) -> dict[str, Json]:
    """A run in a list, for the administrator."""
    return {
        "run": run.run_id,
        "hook": run.hook,
        "state": run.state,
        "attempt": run.attempt,
        "event": run.event,
        "delivery": run.delivery_id,
        "recorded_at": moment(run.recorded_at),
        "ended_at": moment(run.ended_at),
        "due": moment(run.due),
        "replaces": run.replaces,
        "seq": run.seq,
        "outcome": outcome(run.outcome),
    }


def whole(run: Run, new: NewRun, attempts: Sequence[Attempt], mask: Mask) -> dict[str, Json]:
    """All that the journal has of a run."""
    return {
        **row(run),
        "request": {
            "method": new.method,
            "path": new.path,
            "params": dict(new.params),
            "query": new.query,
            "headers": dict(new.headers),
            "content_type": new.content_type,
            "remote_addr": new.remote_addr,
            "body": _bytes(new.body),
        },
        "attempts": [_attempt(attempt, mask) for attempt in attempts],
    }


def outcome(ended: Outcome | None) -> dict[str, Json] | None:
    """How an attempt ended, without what it printed; None while none has."""
    if ended is None:
        return None
    return {
        "state": ended.state,
        "why": ended.why,
        "exit_code": ended.exit_code,
        "signal": ended.signal,
        "detail": str(ended),
        "seconds": round(ended.seconds, 3),
    }


def moment(seconds: float | None) -> str | None:
    """A time for people and programs, to the millisecond; None for none."""
    if seconds is None:
        return None
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def unix(text: str) -> float:
    """The Unix time of an RFC 3339 time; without a zone it is of UTC. Raises ValueError."""
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _attempt(attempt: Attempt, mask: Mask) -> dict[str, Json]:
    return {
        "number": attempt.number,
        "started_at": moment(attempt.started_at),
        "outcome": outcome(attempt.outcome),
        "stdout": mask(attempt.stdout).decode("utf-8", "replace"),
        "stderr": mask(attempt.stderr).decode("utf-8", "replace"),
    }


def _bytes(raw: bytes) -> dict[str, str]:
    try:
        return {"text": raw.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode()}


def body_of(said: dict[str, str]) -> bytes:
    """The bytes that a body in JSON stands for."""
    if "text" in said:
        return said["text"].encode("utf-8")
    return base64.b64decode(said["base64"])
