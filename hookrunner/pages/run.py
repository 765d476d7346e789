"""The page /-/runs/ID: one run, whole."""

from __future__ import annotations

from hookrunner.pages.shown import Frame, RunPage


def page(frame: Frame, shown: RunPage) -> str:
    """A run as HTML."""
    raise NotImplementedError
