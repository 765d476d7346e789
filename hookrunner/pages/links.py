"""Where our own pages are."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from hookrunner.pages.shown import Filter


def run(run_id: str) -> str:
    """The address of a run's page."""
    return f"/-/runs/{quote(run_id, safe='', errors='replace')}"


def hook(path: str) -> str:
    """The address of a hook's page."""
    return f"/-/hook?{urlencode({'path': path}, errors='replace')}"


def runs(chosen: Filter, before: int | None = None) -> str:
    """The address of the runs that are looked for, from one on."""
    given = {name: getattr(chosen, name) for name in ("hook", "state", "text", "since", "until")}
    if before is not None:
        given["before"] = str(before)
    query = urlencode({k: v for k, v in given.items() if v}, errors="replace")
    return f"/-/runs?{query}" if query else "/-/runs"


def output(run_id: str, stream: str, attempt: int) -> str:
    """The address of what an attempt printed, as it is; `stream` is stdout or stderr."""
    return f"{run(run_id)}/{stream}?attempt={attempt}"


def login(onward: str) -> str:
    """The address of the login that leads to a page."""
    return f"/-/login?{urlencode({'next': onward}, errors='replace')}"
