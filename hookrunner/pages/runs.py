"""The page /-/runs: runs, filtered."""

from __future__ import annotations

from hookrunner.pages.shown import Frame, RunList


def page(frame: Frame, shown: RunList) -> str:
    """Runs as HTML."""
    raise NotImplementedError
