"""What is kept of a script's output: the head and the tail, and a line between them.

What is kept is as it was printed, and whoever shows it masks its secrets. But one that lies
across an end of what is left out would not be known by its half: that half is starred here,
byte for byte, where the other one is still at hand.
"""

from __future__ import annotations

import threading
from collections import deque

from hookrunner.seams import Secrets


class Capture:
    """Takes any amount of output and keeps at most `limit` bytes of it; for several threads."""

    def __init__(self, limit: int, secrets: Secrets | None = None) -> None:
        self.limit = limit
        self.secrets = secrets
        self.reach = secrets.longest if secrets else 0
        """Bytes on the other side of a cut that may belong to a secret on this one."""

        self.head = bytearray()
        self.after_head = bytearray()
        self.tail: deque[bytes] = deque()
        self.tail_size = 0
        self.left_out = 0
        self.lock = threading.Lock()

    def add(self, data: bytes) -> None:
        """Take some more."""
        with self.lock:
            self._add(data)

    def result(self) -> bytes:
        """What was kept; where the middle is missing, a line says how much."""
        with self.lock:
            return self._result()

    def _add(self, data: bytes) -> None:
        room = self.limit // 2 - len(self.head)
        if room > 0:
            self.head += data[:room]
            data = data[room:]
        if not data:
            return
        if len(self.after_head) < self.reach:
            self.after_head += data[: self.reach - len(self.after_head)]
        self.tail.append(data)
        self.tail_size += len(data)
        most = self.limit - self.limit // 2 + self.reach
        while self.tail_size - len(self.tail[0]) >= most:
            dropped = len(self.tail.popleft())
            self.tail_size -= dropped
            self.left_out += dropped

    def _result(self) -> bytes:
        tail = b"".join(self.tail)
        over = max(len(tail) - (self.limit - self.limit // 2), 0)
        left_out = self.left_out + over
        if not left_out:
            return bytes(self.head) + tail
        # If no portion was dropped yet, what comes before the tail may be of the head.
        before = (b"" if self.left_out else bytes(self.head[-self.reach :])) + tail[:over]
        head, tail = self._starred(bytes(self.head), bytes(self.after_head), before, tail[over:])
        return head + b"\n[... %d bytes left out ...]\n" % left_out + tail

    def _starred(
        self, head: bytes, after: bytes, before: bytes, tail: bytes
    ) -> tuple[bytes, bytes]:
        """Head and tail without the halves of secrets that they end and begin with."""
        if self.secrets is None:
            return head, tail
        near, far = head[-self.reach :], before[-self.reach :]
        start, _ = self.secrets.across(near + after, len(near))
        _, end = self.secrets.across(far + tail[: self.reach], len(far))
        hidden, begun = len(near) - start, end - len(far)
        return head[: len(head) - hidden] + b"*" * hidden, b"*" * begun + tail[begun:]
