"""What pages load beside themselves: a style sheet and a script, read once."""

from __future__ import annotations

from collections.abc import Mapping

ASSETS: Mapping[str, tuple[str, bytes]] = {}
"""Name to content type and contents."""


def asset(name: str) -> str:
    """The address of an asset; it changes with the contents, so it may be kept for ever."""
    raise NotImplementedError
