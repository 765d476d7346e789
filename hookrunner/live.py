"""Watching a run: what it prints, as server-sent events, for a few listeners at a time.

One thread reads the journal for all of them, and is there only while somebody listens; what
it has found is sent by the server's loop. So nobody who listens holds up who posts, and who
does not read is hung up on. Each event's id says how far it goes, and whoever comes back
with it goes on from there.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from hookrunner.answer import Later
from hookrunner.mask import Masker
from hookrunner.model import ENDED, Fresh, JournalUnavailable, Progress
from hookrunner.pages.ansi import Renderer
from hookrunner.seams import Journal

MOST_LISTENERS = 4
EVERY = 0.3
"""Seconds between two looks into the journal."""

HEARTBEAT = 15.0
"""Heroku's router hangs up on who says nothing for 55 seconds."""

AT_ONCE = 32 * 1024
"""Bytes of an output that are made into HTML at a time; others want the processor, too."""

PLACE = re.compile(r"([0-9]{1,9})\.([0-9]{1,15})\.([0-9]{1,15})")
HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Place:
    """An attempt, and how much of its stdout and stderr has been seen."""

    attempt: int
    out: int = 0
    err: int = 0

    def __str__(self) -> str:
        return f"{self.attempt}.{self.out}.{self.err}"


def place(text: str) -> Place | None:
    """The place that an event's id names; None if it names none."""
    found = PLACE.fullmatch(text)
    return Place(*map(int, found.groups())) if found else None


def ready(data: bytes, mask: Masker, *, final: bool, lead: int = 0) -> tuple[bytes, int]:
    """What of an output can be shown, masked, and how many of its bytes that is.

    What comes after the last line may be a secret's first half, unless it is `final`. The
    `lead` is not shown: it is there for the secrets that begin in it.
    """
    end = data.rfind(b"\n") + 1
    shown, rest = (mask(data[end:]), b"") if final else mask.cut(data[end:])
    size = len(data) - len(rest)
    if lead:
        return mask.between(data, min(lead, size), size)
    return mask(data[:end]) + shown, size


@dataclass(eq=False)
class _Listener:
    later: Later
    run_id: str
    head: int
    """Bytes at the beginning of an output that are kept in any case."""

    start: Place
    """What it has asked for."""

    sent: dict[str, int]
    """How much of each output has been dealt with."""

    spoke_at: float
    begun: bool = False
    """That the attempt was seen while it ran, so that its end is news."""

    renderers: dict[str, Renderer] = field(
        default_factory=lambda: {"out": Renderer(), "err": Renderer()}
    )

    def begin(self, stream: str) -> int:
        """The place of an output from which on it is to be shown."""
        return self.start.out if stream == "out" else self.start.err


class Live:
    """Those who listen, and the thread that reads for them."""

    def __init__(self, journal: Journal, masker: Callable[[], Masker]) -> None:
        """`masker` gives what masks the secrets of the moment."""
        self._journal = journal
        self._masker = masker
        self._listeners: list[_Listener] = []
        self._lock = threading.Lock()
        self._nudged = threading.Event()
        self._closed = False
        self._reading = False

    def listen(self, later: Later, run_id: str, start: Place, head: int) -> bool:
        """Send what an attempt prints from a place on; False if there are too many already.

        Of an output of which the middle is not kept, the first `head` bytes are.
        """
        lead = self._masker().longest  # a secret may have begun before the place
        sent = {"out": max(start.out - lead, 0), "err": max(start.err - lead, 0)}
        listener = _Listener(later, run_id, head, start, sent, time.monotonic())
        with self._lock:
            if self._closed or len(self._listeners) >= MOST_LISTENERS:
                return False
            self._listeners.append(listener)
            later.hold()
            later.begin(200, HEADERS)
            later.send(b"retry: 2000\n\n")
            later.if_gone(lambda: self._leave(listener))
            if not self._reading:
                self._reading = True
                threading.Thread(target=self._read, name="live", daemon=True).start()
        self._nudged.set()
        return True

    def end_all(self) -> None:
        """Hang up on everybody; nobody can listen any more."""
        with self._lock:
            self._closed = True
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.later.end()

    def listening(self) -> int:
        """How many listen just now."""
        return len(self._listeners)

    def _leave(self, listener: _Listener) -> None:
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)
        listener.later.end()

    def _read(self) -> None:
        while True:
            self._nudged.wait(EVERY)
            self._nudged.clear()
            with self._lock:
                listeners = list(self._listeners)
                if not listeners:
                    self._reading = False
                    return
            for listener in listeners:
                try:
                    self._look(listener)
                except JournalUnavailable:
                    pass  # it says so itself; and it may be back at the next look
                except Exception:
                    self._leave(listener)
                    raise

    def _look(self, listener: _Listener) -> None:
        """Send what is new to somebody."""
        sent = (listener.sent["out"], listener.sent["err"])
        found = self._journal.progress(
            listener.run_id, listener.start.attempt, sent, listener.head, AT_ONCE
        )
        if found is None:
            self._end(listener)
            return
        more = [
            self._tell(listener, stream, piece, over=found.over)
            for stream, piece in (("out", found.stdout), ("err", found.stderr))
        ]
        if any(more):
            self._nudged.set()
        elif _is_news(listener, found):
            self._end(listener)
        elif time.monotonic() - listener.spoke_at > HEARTBEAT:
            self._say(listener, b": still here\n\n")
        listener.begun = listener.begun or not found.over

    def _tell(self, listener: _Listener, stream: str, piece: Fresh, *, over: bool) -> bool:
        """Send what is new of an output; True if there may be more of it already."""
        if not piece.data and not piece.left_out:
            return False
        at = piece.at - len(piece.data)
        begin = listener.begin(stream)
        shown, size = ready(
            piece.data, self._masker(), final=over or piece.cut_off, lead=max(begin - at, 0)
        )
        if (left_out := min(piece.left_out, at - begin)) > 0:
            shown = b"\n[... %d bytes left out ...]\n" % left_out + shown
        listener.sent[stream] = at + size
        if shown:
            html = listener.renderers[stream].feed(shown)
            self._event(listener, stream, json.dumps({"html": html}))
        return size > 0 and (over or len(piece.data) == AT_ONCE)

    def _end(self, listener: _Listener) -> None:
        for stream, renderer in listener.renderers.items():
            if rest := renderer.end():
                self._event(listener, stream, json.dumps({"html": rest}))
        self._event(listener, "end", "{}")
        self._leave(listener)

    def _event(self, listener: _Listener, name: str, data: str) -> None:
        sent = (max(listener.sent[each], listener.begin(each)) for each in ("out", "err"))
        at = Place(listener.start.attempt, *sent)
        self._say(listener, f"id: {at}\nevent: {name}\ndata: {data}\n\n".encode())

    def _say(self, listener: _Listener, text: bytes) -> None:
        listener.spoke_at = time.monotonic()
        listener.later.send(text)


def _is_news(listener: _Listener, found: Progress) -> bool:
    """True if the page is to be shown anew."""
    if found.state in ENDED or found.attempt != listener.start.attempt:
        return True
    return listener.begun and found.over
