"""Runs as JSON: what the pages under /-/runs say, and what the command line reads and shows.

Times are RFC 3339, in UTC. Bytes are text where they are UTF-8, and base64 where not. What a
script has printed may be far more than can be told at once: all of a run has the beginning of
it, and who wants more asks for one piece after another.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime

from hookrunner.mask import Masker
from hookrunner.model import ENDED, Attempt, Json, NewRun, Outcome, Piece, Printed, Run

PIECE = 256 * 1024
"""Bytes of an output that are told at once."""

WHOLE = 4 * PIECE
"""Bytes of output that are told with all of a run."""


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


def row(run: Run, mask: Masker) -> dict[str, Json]:
    """A run in a list, for the administrator."""
    return {
        "run": run.run_id,
        "hook": run.hook,
        "state": run.state,
        "attempt": run.attempt,
        "event": mask.text(run.event),
        "delivery": mask.text(run.delivery_id),
        "recorded_at": moment(run.recorded_at),
        "ended_at": moment(run.ended_at),
        "due": moment(run.due),
        "replaces": run.replaces,
        "seq": run.seq,
        "outcome": outcome(run.outcome, mask),
    }


def whole(
    run: Run, new: NewRun, attempts: Sequence[Attempt], mask: Masker, *, exact: bool = False
) -> dict[str, Json]:
    """All that the journal has of a run, but for the end of what is long.

    `exact` is for who will do it again: what was sent is told as it was, secrets and all.
    """
    sent = Masker() if exact else mask
    return {
        **row(run, mask),
        "event": sent.text(run.event),
        "delivery": sent.text(run.delivery_id),
        "request": {
            "method": new.method,
            "path": sent.text(new.path),
            "params": {name: sent.text(value) for name, value in new.params.items()},
            "query": sent.text(new.query),
            "headers": {name: sent.text(value) for name, value in new.headers.items()},
            "content_type": sent.text(new.content_type),
            "remote_addr": new.remote_addr,
            "body": _bytes(sent.payload(new.body)),
        },
        "attempts": [_attempt(attempt, mask) for attempt in attempts],
    }


def printed(
    run: Run, found: Printed | None, places: tuple[int, int], mask: Masker
) -> dict[str, Json]:
    """A run with what an attempt has printed from these places of its streams on.

    Lines that have an end, while it runs. None for an attempt that has not begun.
    """
    said: dict[str, Json] = {**row(run, mask), "printed": None}
    if found is not None:
        ended = found.outcome is not None
        said["printed"] = {
            "number": found.number,
            "started_at": moment(found.started_at),
            "outcome": outcome(found.outcome, mask),
            **_piece("stdout", found.stdout, places[0], mask, ended=ended),
            **_piece("stderr", found.stderr, places[1], mask, ended=ended),
        }
    return said


def outcome(ended: Outcome | None, mask: Masker) -> dict[str, Json] | None:
    """How an attempt ended, without what it printed; None while none has."""
    if ended is None:
        return None
    return {
        "state": ended.state,
        "why": ended.why,
        "exit_code": ended.exit_code,
        "signal": ended.signal,
        "detail": mask.text(str(ended)),
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


def _piece(stream: str, piece: Piece, place: int, mask: Masker, *, ended: bool) -> dict[str, Json]:
    """What is told of a piece, and from which place on to ask for the next."""
    lead = min(max(place - piece.start, 0), len(piece.text))
    last = piece.start + len(piece.text)
    whole = bool(piece.left_out) or (ended and last >= piece.end)
    end = len(piece.text) if whole else _end(piece, lead, mask)
    text, end = mask.between(piece.text, lead, end)
    after = piece.start + end
    if piece.left_out and end >= len(piece.text):
        text += b"\n" * (end > lead) + b"[... %d bytes left out ...]\n" % piece.left_out
        after = last + piece.left_out
    return {
        stream: text.decode("utf-8", "replace"),
        f"{stream}_next": max(after, place),
        f"{stream}_end": piece.end,
    }


def _end(piece: Piece, lead: int, mask: Masker) -> int:
    """Where to cut a piece that more will follow: after a line, so that no secret is halved."""
    text = piece.text
    if (line := text.rfind(b"\n") + 1) > lead:
        return line
    if piece.start + len(text) >= piece.end:
        return lead  # the rest of the line is yet to be printed
    safe = len(text) - mask.longest
    while safe > lead and text[safe] & 0xC0 == 0x80:  # not inside a character
        safe -= 1
    return safe if safe > lead else len(text)


def _attempt(attempt: Attempt, mask: Masker) -> dict[str, Json]:
    return {
        "number": attempt.number,
        "started_at": moment(attempt.started_at),
        "outcome": outcome(attempt.outcome, mask),
        "stdout": _beginning(attempt.stdout, attempt.stdout_bytes, mask),
        "stderr": _beginning(attempt.stderr, attempt.stderr_bytes, mask),
        "stdout_bytes": attempt.stdout_bytes,
        "stderr_bytes": attempt.stderr_bytes,
        "cut": len(attempt.stdout) < attempt.stdout_bytes
        or len(attempt.stderr) < attempt.stderr_bytes,
    }


def _beginning(raw: bytes, size: int, mask: Masker) -> str:
    masked = mask(raw) if len(raw) >= size else mask.cut(raw)[0]
    return masked.decode("utf-8", "replace")


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
