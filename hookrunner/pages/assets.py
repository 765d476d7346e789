"""What pages load beside themselves: a style sheet, a script, an icon; read once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
FOLDER = Path(__file__).with_name("static")

ASSETS: Mapping[str, tuple[str, bytes]] = {
    path.name: (TYPES[path.suffix], path.read_bytes())
    for path in sorted(FOLDER.iterdir())
    if path.suffix in TYPES
}
"""Name to content type and contents."""

VERSIONS = {name: hashlib.sha256(data).hexdigest()[:12] for name, (_, data) in ASSETS.items()}


def asset(name: str) -> str:
    """The address of an asset; it changes with the contents, so it may be kept for ever."""
    return f"/-/assets/{name}?v={VERSIONS[name]}"
