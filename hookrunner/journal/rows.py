"""What a row of the journal's tables means, whichever engine keeps it."""

from __future__ import annotations

import base64
import json
import secrets
from typing import Any

from hookrunner.model import Attempt, Claim, NewRun, Outcome, Run, State, Why


def new_id() -> str:
    """20 base32 characters, 100 random bits: not to be guessed."""
    return base64.b32encode(secrets.token_bytes(13)).decode()[:20].lower()


def new_row(new: NewRun) -> tuple[object, ...]:
    """What is kept of a delivery, from its method to its body."""
    return (
        new.method,
        new.path,
        json.dumps(dict(new.params)),
        new.query,
        json.dumps(dict(new.headers)),
        new.content_type,
        new.remote_addr,
        new.delivery_id,
        new.event,
        new.body,
    )


def new_run(row: tuple[Any, ...]) -> NewRun:
    """The delivery of a row: its columns in the order of hook to replaces."""
    hook, method, path, params, query, headers, kind, body, address, delivery, event, was = row
    return NewRun(
        hook=hook,
        method=method,
        path=path,
        params=json.loads(params),
        query=query,
        headers=json.loads(headers),
        content_type=kind,
        body=body,
        remote_addr=address,
        delivery_id=delivery,
        event=event,
        replaces=was,
    )


def as_claim(row: tuple[Any, ...], asked_at: float, waited: float = 0.0) -> Claim:
    run_id, seq, attempt, *delivery, failures, interruptions = row
    new = new_run(tuple(delivery))
    return Claim(run_id, seq, attempt, new, failures, interruptions, asked_at, waited)


def as_run(row: tuple[Any, ...]) -> Run:
    """A run of a row, with how its last ended attempt went."""
    run_id, seq, hook, state, attempt, recorded_at, ended_at, due, replaces, *rest = row
    delivery_id, event, ended_as, *last = rest
    return Run(
        run_id,
        seq,
        hook,
        State(state),
        attempt,
        recorded_at,
        ended_at,
        None if ended_as is None else as_outcome(ended_as, *last),
        due,
        replaces,
        delivery_id,
        event,
    )


def as_attempt(row: tuple[Any, ...]) -> Attempt:
    """An attempt of a row, with how much of its output is kept."""
    number, started_at, state, *last, stdout_bytes, stderr_bytes = row
    stdout, stderr = last[4:6]
    outcome = None if state == State.RUNNING else as_outcome(state, *last)
    return Attempt(number, started_at, outcome, stdout, stderr, stdout_bytes, stderr_bytes)


def as_outcome(
    state: str,
    why: str | None,
    exit_code: int | None,
    signal: int | None,
    detail: str,
    stdout: bytes,
    stderr: bytes,
    seconds: float,
) -> Outcome:
    """How an attempt ended, of its columns."""
    return Outcome(
        state=State(state),
        why=Why(why) if why else None,
        exit_code=exit_code,
        signal=signal,
        detail=detail,
        stdout=stdout,
        stderr=stderr,
        seconds=seconds,
    )


def attempt_row(claim: Claim, outcome: Outcome) -> tuple[object, ...]:
    """How an attempt ended, and which."""
    return (
        outcome.state,
        outcome.why,
        outcome.exit_code,
        outcome.signal,
        outcome.detail,
        outcome.seconds,
        outcome.stdout,
        outcome.stderr,
        claim.seq,
        claim.attempt,
    )
