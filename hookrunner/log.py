"""The log: one line an event on standard output, which is what `heroku logs --tail` shows.

Callers put lines in a queue and go on; one thread writes them. So a blocked stdout
stalls nobody. The queue is bounded for script lines, which are then dropped and
counted; event lines are never dropped. Every line is masked, made printable and kept
under Heroku's 10,000 bytes before it is queued: no secret that the configuration knows
and no control character of a stranger's gets any further.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

from hookrunner.mask import Masker

Format = Literal["text", "logfmt", "json"]
FORMATS: tuple[Format, ...] = ("text", "logfmt", "json")
Stream = Literal["out", "err"]
Level = Literal["info", "warning", "error"]

ROOM = 8 * 1024 * 1024
"""Bytes that may wait for a slow stdout before script lines are dropped."""

PIECE = {"text": 9_000, "logfmt": 8_000, "json": 8_000}
"""Bytes of a message in one line, as it is written there. The prefix and the fields come
on top; Heroku cuts lines at 10,000 bytes wherever that falls."""

GATHER = 0.005
"""Seconds that lines are gathered before they are written: nobody sees so short a delay, and
a busy server need not change threads for every line."""

HELD = 64 * 1024
"""An output line without an end is logged in pieces once it is this long."""

MARK: Mapping[Stream, str] = {"out": "|", "err": "!"}

# Colour (SGR) sequences are let through; every other control character could move a
# reader's cursor, retitle the terminal or pass for a line of ours.
CONTROL = re.compile(
    r"(\x1b\[[0-9;]{0,32}m)|[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)


class Log:
    """What the program and its scripts have to say, in order, on one descriptor."""

    def __init__(
        self, fd: int = 1, form: Format = "text", *, stamped: bool = True, room: int = ROOM
    ) -> None:
        self.fd = fd
        self.form = form
        self.stamped = stamped
        self.room = room
        self.mask = Masker()
        self.dropped = 0
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._unreported = 0
        self._closed = False
        self._idle = True
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write_for_ever, name="log", daemon=True)
        self._thread.start()

    def know(self, secrets: Iterable[str]) -> None:
        """Mask these from now on."""
        self.mask = Masker(secrets)

    def say(self, level: Level, message: str) -> None:
        """Say something of this weight."""
        self._event(level, message, {})

    def info(self, message: str, **fields: object) -> None:
        """Say that something happened."""
        self._event("info", message, fields)

    def warning(self, message: str, **fields: object) -> None:
        """Say that something wants an eye on it."""
        self._event("warning", message, fields)

    def error(self, message: str, **fields: object) -> None:
        """Say that something went wrong that should not have."""
        self._event("error", message, fields)

    def script(self, run_id: str, hook: str) -> ScriptLog:
        """A listener for one attempt's output."""
        return ScriptLog(self, run_id, hook)

    def close(self, timeout: float = 2.0) -> None:
        """Write what waits, for at most `timeout` seconds."""
        end = time.monotonic() + timeout
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            while not (self._idle and not self._waiting):
                left = end - time.monotonic()
                if left <= 0:
                    return
                self._changed.wait(left)

    def full(self) -> bool:
        """True if script lines are being dropped just now."""
        return self._bytes > self.room

    def script_line(self, run_id: str, hook: str, stream: Stream, text: str) -> None:
        """Queue one line of a script, or drop and count it."""
        if self.full():
            self.drop(1)
            return
        fields = {"run": run_id, "hook": hook, "stream": stream}
        head = f"{run_id} {hook} {MARK[stream]} "
        self._put(self._line("info", head, text, fields))

    def pieces(self, text: str) -> list[str]:
        """The text in parts that each fit a line of this log's form."""
        return pieces(text, PIECE[self.form], WEIGH[self.form])

    def drop(self, lines: int) -> None:
        """Count script lines that nobody will see."""
        with self._changed:
            self.dropped += lines
            self._unreported += lines

    def _event(self, level: Level, message: str, fields: dict[str, object]) -> None:
        text = self._plain(message)
        if self.form == "text":
            fields = {}  # it shows none
        clean = {
            name: value if isinstance(value, int | float) else self._plain(str(value))
            for name, value in fields.items()
        }
        head = "" if level == "info" else f"{level}: "
        first, *rest = self.pieces(text)
        self._put(self._line(level, head, first + "…" if rest else first, clean))

    def _plain(self, text: str) -> str:
        """A stranger's words may be in it: masked, and without even a colour."""
        masked = self.mask.text(text[:HELD]).encode("utf-8", "backslashreplace")
        return printable(masked).replace("\x1b", "\\x1b")

    def _line(self, level: str, head: str, text: str, fields: Mapping[str, object]) -> bytes:
        stamp = _now() if self.stamped else ""
        if self.form == "text":
            line = f"{stamp} {head}{text}" if stamp else f"{head}{text}"
        else:
            record: dict[str, object] = {"time": stamp} if stamp else {}
            record |= {"level": level, "message": text}
            record |= {name: _short(value) for name, value in fields.items()}
            line = RENDER[self.form](record)
        return line.encode("utf-8", "backslashreplace") + b"\n"

    def _put(self, line: bytes) -> None:
        with self._changed:
            self._waiting.append(line)
            self._bytes += len(line)
            if self._idle:
                self._changed.notify_all()

    def _write_for_ever(self) -> None:
        while True:
            with self._changed:
                self._idle = True
                self._changed.notify_all()
                while not self._waiting:
                    if self._closed:
                        return
                    self._changed.wait()
                self._idle = False
            time.sleep(GATHER)
            with self._changed:
                batch = b"".join(self._waiting)
                self._waiting.clear()
            self._write(batch)
            self._report(len(batch))

    def _report(self, written: int) -> None:
        with self._changed:
            self._bytes -= written
            lost, self._unreported = self._unreported, 0
        if lost:
            self.warning(
                f"{lost} lines of script output were left out: stdout does not keep up",
                dropped=lost,
            )

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self.fd, view) :]
            except BlockingIOError:
                time.sleep(0.01)  # an inherited non-blocking stdout; this thread may wait
            except OSError:
                return  # nobody reads us any more; the runs matter more than the log


class ScriptLog:
    """Cuts one attempt's output into lines for the log, stdout and stderr each for itself."""

    def __init__(self, log: Log, run_id: str, hook: str) -> None:
        self.log = log
        self.run_id = run_id
        self.hook = hook
        self.held: dict[Stream, bytes] = {"out": b"", "err": b""}
        self.cut: dict[Stream, bool] = {"out": False, "err": False}

    def feed(self, stream: Stream, data: bytes) -> None:
        """Log the lines that this output completes."""
        *lines, rest = (self.held[stream] + data).split(b"\n")
        for line in lines:
            self._line(stream, line, more=False)
        if len(rest) > HELD:
            begin, rest = self.log.mask.cut(rest)
            self._line(stream, begin, more=True)
        self.held[stream] = rest

    def end(self) -> None:
        """Log what came last without a line end."""
        for stream in MARK:
            if self.held[stream]:
                self._line(stream, self.held[stream], more=False)
                self.held[stream] = b""

    def _line(self, stream: Stream, line: bytes, *, more: bool) -> None:
        if self.log.full():
            self.log.drop(1)
            return
        text = printable(self.log.mask(line.removesuffix(b"\r")))
        parts = self.log.pieces(text)
        for number, part in enumerate(parts):
            begun = "…" if number or self.cut[stream] else ""
            open_ended = "…" if more or number + 1 < len(parts) else ""
            self.log.script_line(self.run_id, self.hook, stream, begun + part + open_ended)
        self.cut[stream] = more


def printable(text: bytes) -> str:
    """The text as one line that is safe on a terminal; other bytes become `\\xNN`."""
    decoded = text.decode("utf-8", "backslashreplace")
    return CONTROL.sub(lambda found: found[1] or _escape(found[0]), decoded)


def pieces(text: str, limit: int, weigh: Callable[[str], int] | None = None) -> list[str]:
    """The text in parts that each weigh at most `limit`; at least one part.

    Weight is bytes of UTF-8 unless `weigh` says otherwise. A colour sequence stays whole.
    """
    weigh = weigh or _bytes
    parts = []
    while weigh(text) > limit and len(text) > 1:
        end = _longest_fit(text, limit, weigh)
        escape = text.rfind("\x1b", max(end - 40, 1), end)
        if escape > 0 and "m" not in text[escape:end]:
            end = escape
        parts.append(text[:end])
        text = text[end:]
    return [*parts, text] if text or not parts else parts


def _longest_fit(text: str, limit: int, weigh: Callable[[str], int]) -> int:
    """How many characters of it weigh at most `limit`; at least one."""
    least, most = 1, min(len(text), limit + 1)
    while least < most:
        middle = (least + most + 1) // 2
        if weigh(text[:middle]) <= limit:
            least = middle
        else:
            most = middle - 1
    return least


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "backslashreplace"))


def place_of(error: BaseException) -> str:
    """An exception in one line: what, and the three innermost places."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames))
    return f"{type(error).__name__}: {error} at {places}"


class Render(Protocol):
    def __call__(self, record: dict[str, object]) -> str: ...


def _logfmt(record: dict[str, object]) -> str:
    record = {"at": record.pop("level"), **record}
    return " ".join(f"{name}={_quoted(value)}" for name, value in record.items())


def _json(record: dict[str, object]) -> str:
    return json.dumps(record, ensure_ascii=False)


RENDER: dict[str, Render] = {"logfmt": _logfmt, "json": _json}
WEIGH: Mapping[str, Callable[[str], int]] = {
    "text": _bytes,
    "logfmt": lambda text: _bytes(_quoted(text)),
    "json": lambda text: _bytes(json.dumps(text, ensure_ascii=False)),
}


def _quoted(value: object) -> str:
    text = str(value)
    if text and not re.search(r'[\s"=\\]', text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _short(value: object) -> object:
    return pieces(value, 200)[0] if isinstance(value, str) else value


def _escape(character: str) -> str:
    number = ord(character)
    named = {"\n": "\\n", "\r": "\\r"}.get(character)
    return named or (f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
