"""Servers that are no hookrunner: what they answer is the test's, and may be hostile."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Answer = Callable[[bytes], Iterable[bytes]]
"""What goes back for a request, piece by piece; then the stranger hangs up."""


@dataclass
class Stranger:
    """Where it listens, and each request that it got, whole."""

    url: str
    got: list[bytes] = field(default_factory=list)
    sent: int = 0

    @property
    def heads(self) -> bytes:
        """The requests in lower case, to look for what must not be in them."""
        return b"".join(self.got).lower()


@contextmanager
def stranger(answer: Answer, port: int = 0) -> Iterator[Stranger]:
    """A server on loopback that answers so, each connection on a thread of its own."""
    listening = socket.create_server(("127.0.0.1", port))
    host, bound = listening.getsockname()[:2]
    known = Stranger(f"http://{host}:{bound}")
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            request = _request(connection)
            known.got.append(request)
            for piece in answer(request):
                connection.sendall(piece)
                known.sent += len(piece)
                if over.is_set():
                    return

    def listen() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=listen, daemon=True).start()
    try:
        yield known
    finally:
        over.set()
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def reply(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """An answer of HTTP/1.1 after which the connection ends."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def always(*pieces: bytes) -> Answer:
    """The same for everybody."""
    return lambda request: pieces


def _request(connection: socket.socket) -> bytes:
    got = b""
    while b"\r\n\r\n" not in got:
        got += _more(connection)
    head, _, body = got.partition(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    while len(body) < length:
        body += _more(connection)
    return head + b"\r\n\r\n" + body


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("the client has hung up")
    return data
