"""What is kept of a script's output: the head and the tail, and a line between them."""

from __future__ import annotations

import threading
from collections import deque


class Capture:
    """Takes any amount of output and keeps at most `limit` bytes of it; for several threads."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.head = bytearray()
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
        self.tail.append(data)
        self.tail_size += len(data)
        while self.tail_size - len(self.tail[0]) >= self.limit - self.limit // 2:
            dropped = len(self.tail.popleft())
            self.tail_size -= dropped
            self.left_out += dropped

    def _result(self) -> bytes:
        tail = b"".join(self.tail)
        over = len(tail) - (self.limit - self.limit // 2)
        if over > 0:
            tail = tail[over:]
        left_out = self.left_out + max(over, 0)
        if not left_out:
            return bytes(self.head) + tail
        return bytes(self.head) + b"\n[... %d bytes left out ...]\n" % left_out + tail
