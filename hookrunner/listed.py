"""Hooks and refusals as JSON, and lists of which one page is told at a time (see `telling`).

A list says in `next` where it goes on: an address, and null at its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from hookrunner import route, telling
from hookrunner.mask import Masker
from hookrunner.model import Activity, Hook, Json, Overview, Refusal, Run, State
from hookrunner.telling import moment


def hook(hook: Hook, seen: Activity, mask: Masker) -> dict[str, Json]:
    """A hook in short, with what became of its runs in the last 24 hours."""
    return {
        "path": hook.path,
        "params": list(route.params(hook.path)),
        "methods": list(hook.methods),
        "auth": [scheme.name for scheme in hook.auth],
        "script": hook.script.name,
        "missing": list(hook.missing),
        "last": telling.row(seen.last, mask) if seen.last else None,
        "queued": seen.queued,
        "running": seen.running,
        "day": {
            **{str(state): seen.ended.get(state, 0) for state in ENDS},
            "p50": seen.p50,
            "p95": seen.p95,
        },
    }


ENDS = (State.SUCCEEDED, State.FAILED, State.CANCELLED)


def overview(hooks: Mapping[str, Hook], seen: Overview, mask: Masker) -> dict[str, Json]:
    """What goes on."""
    return {
        "hooks": [hook(each, seen.hooks[path], mask) for path, each in hooks.items()],
        "slots": [
            {"start": moment(start), "counts": {str(state): n for state, n in counts.items()}}
            for start, counts in seen.slots
        ],
        "live": [telling.row(run, mask) for run in seen.live],
    }


def one_hook(
    each: Hook,
    seen: Activity,
    settings: Sequence[tuple[str, str]],
    runs: Sequence[Run],
    mask: Masker,
) -> dict[str, Json]:
    """One hook with its settings in words, its schema, and its last runs."""
    return {
        **hook(each, seen, mask),
        "settings": {name: mask.text(told) for name, told in settings},
        "schema": mask.schema(getattr(each.schema, "contents", None)),
        "runs": [telling.row(run, mask) for run in runs],
    }


def runs(found: Sequence[Run], onward: str | None, mask: Masker) -> dict[str, Json]:
    """A page of runs."""
    return {"runs": [telling.row(run, mask) for run in found], "next": onward}


def refusals(
    found: Sequence[tuple[int, Refusal]],
    counts: Mapping[int, int],
    kept: int,
    onward: str | None,
) -> dict[str, Json]:
    """A page of refusals; how many there were since the start, by status, and how many are kept."""
    return {
        "refusals": [_refusal(seq, refusal) for seq, refusal in found],
        "since_start": {str(status): count for status, count in counts.items()},
        "kept": kept,
        "next": onward,
    }


def _refusal(seq: int, refusal: Refusal) -> dict[str, Json]:
    return {
        "seq": seq,
        "at": moment(refusal.at),
        "method": refusal.method,
        "path": refusal.path,
        "status": refusal.status,
        "why": refusal.why,
        "address": refusal.address,
        "size": refusal.size,
    }


def onward(path: str, asked: Mapping[str, str], before: int | None) -> str | None:
    """Where a list goes on that was asked for like this; None at its end."""
    if before is None:
        return None
    return f"{path}?{urlencode({**asked, 'before': str(before)}, errors='replace')}"
