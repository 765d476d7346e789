"""The page /-/: every hook at a glance, and what goes on."""

from __future__ import annotations

from hookrunner.pages.shown import Frame, Overview


def page(frame: Frame, shown: Overview) -> str:
    """The overview as HTML."""
    raise NotImplementedError
