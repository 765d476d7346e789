"""The page /-/hook?path=…: one hook, and a form for trying it."""

from __future__ import annotations

from hookrunner.pages.shown import Frame, HookPage


def page(frame: Frame, shown: HookPage) -> str:
    """A hook as HTML."""
    raise NotImplementedError
