"""What a script printed, as HTML: its colours kept, everything else made visible."""

from __future__ import annotations


class Renderer:
    """Makes HTML of output that comes in pieces; what is cut in two waits for the other half."""

    def feed(self, chunk: bytes) -> str:
        """The HTML of a piece, whole in itself."""
        raise NotImplementedError

    def end(self) -> str:
        """The HTML of what is left waiting."""
        raise NotImplementedError
