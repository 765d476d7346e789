"""The page /-/refusals: what was turned away."""

from __future__ import annotations

from hookrunner.pages.shown import Frame, RefusalList


def page(frame: Frame, shown: RefusalList) -> str:
    """Refusals as HTML."""
    raise NotImplementedError
