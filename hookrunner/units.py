"""Durations and sizes as people write them: `30s`, `5m`, `512KB`."""

from __future__ import annotations

import re

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BYTES = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}


def duration(text: str) -> float:
    """Seconds in `30s`, `5m`, `2h`, `7d` or `500ms`. Raises ValueError."""
    return _measure(text, SECONDS)


def size(text: str) -> int:
    """Bytes in `512KB`, `1MB` (1 KB is 1024 bytes). Raises ValueError."""
    return int(_measure(text, BYTES))


def show_duration(seconds: float) -> str:
    """The shortest way to write a duration: `90s`, `2m`, `0.04s`."""
    for unit in ("d", "h", "m"):
        if seconds >= SECONDS[unit] and seconds % SECONDS[unit] == 0:
            return f"{seconds / SECONDS[unit]:g}{unit}"
    return f"{seconds:.3g}s" if seconds < 100 else f"{seconds:.0f}s"


def show_size(count: int) -> str:
    """The shortest way to write a size: `1MB`, `1536B`."""
    for unit in ("GB", "MB", "KB"):
        if count >= BYTES[unit] and count % BYTES[unit] == 0:
            return f"{count // BYTES[unit]}{unit}"
    return f"{count}B"


def _measure(text: str, units: dict[str, float] | dict[str, int]) -> float:
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([A-Za-z]{1,2})", text)
    if not found or found[2] not in units:
        raise ValueError(text)
    return float(found[1]) * units[found[2]]
