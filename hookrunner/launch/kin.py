"""The processes that descend from this one, and how to be rid of every one of them.

A script may leave processes behind that lead a session of their own: no process group
reaches those. A subreaper's descendants cannot get away, though: an orphan becomes its
child. So whoever is a subreaper can find them all in /proc, and kill until none is left.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from hookrunner.launch import child

PR_SET_CHILD_SUBREAPER = 36

TICKS = os.sysconf("SC_CLK_TCK")
MOST_GONE = 64 * 1024
"""Bytes of a register that may be about processes that are gone."""

UNKILLABLE = 5.0
"""Seconds after which a process that KILL does not end is left alone."""


def adopt_orphans() -> None:
    """Become a subreaper (prctl(2)): descendants whose parent ends become our children."""
    child.prctl(PR_SET_CHILD_SUBREAPER, 1)


def descendants(of: int, spared: Collection[int] = ()) -> list[int]:
    """The pids of all that descend from a process, parents before their children.

    Without those that are `spared`, and what descends from them.
    """
    children: dict[int, list[int]] = {}
    for pid in _processes():
        if (parent := parent_of(pid)) is not None:
            children.setdefault(parent, []).append(pid)
    found = [pid for pid in children.get(of, ()) if pid not in spared]
    for pid in found:  # grows while we walk it
        found += (child for child in children.get(pid, ()) if child not in spared)
    return found


def parent_of(pid: int) -> int | None:
    """A process's parent; None if it is gone."""
    fields = stat_fields(pid)
    return int(fields[1]) if fields else None


def started_at(pid: int) -> int | None:
    """When a process started, in clock ticks since boot: with the pid, it names one process."""
    fields = stat_fields(pid)
    return int(fields[19]) if fields else None


def stat_fields(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on (proc(5), field 3); empty if it is gone."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        text = os.read(fd, 4096).decode("ascii", "replace")
    except OSError:
        return []
    finally:
        os.close(fd)
    return text.rpartition(")")[2].split()  # a name may hold spaces and parentheses


def ticks() -> int:
    """Clock ticks since boot, as `started_at` counts them."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS)


def end_descendants(spared: Collection[int] = ()) -> int:
    """KILL and reap all that descend from us, until none is left; return how many there were.

    But for those that are `spared`.
    """
    ended: set[int] = set()
    give_up = time.monotonic() + UNKILLABLE
    while sys.platform == "linux" and (alive := descendants(os.getpid(), spared)):
        ended.update(alive)
        for pid in alive:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        reap()
        if time.monotonic() > give_up:
            break  # stuck in the kernel, or another user's: not ours to wait for
        time.sleep(0.001)  # a killed process takes a moment to be gone
    return len(ended)


def end_marked(mark: bytes) -> None:
    """KILL those of our descendants whose environment has this in it.

    What led a session of its own was out of reach of its group; once its parents are
    gone it is our child, or a child's child.
    """
    give_up = time.monotonic() + UNKILLABLE
    while time.monotonic() < give_up:
        left = [pid for pid in _orphans() if _belongs(pid, set(), (mark + b"\0",))]
        if not left:
            return
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)


def _orphans() -> list[int]:
    """All our descendants; none, at the price of one small read, if we have no child at all."""
    try:
        if not Path(f"/proc/self/task/{os.getpid()}/children").read_bytes():
            return []
    except OSError:
        pass  # a kernel without that file
    return descendants(os.getpid()) if sys.platform == "linux" else []


def end_recorded(register: Path, marked: Collection[str]) -> int:
    """KILL what a runner and a supervisor that both died have left behind; return how many.

    The register has each script's pid and start time, which together name one process;
    with it goes its session. What has left even that session still has a variable in its
    environment that begins as one of `marked` (or is it, if that ends with a NUL), unless it
    took pains to lose it.
    """
    leaders = _recorded(register)
    marks = tuple(mark.encode() for mark in marked)
    ended: set[int] = set()
    give_up = time.monotonic() + UNKILLABLE
    while sys.platform == "linux" and time.monotonic() < give_up:
        left = [pid for pid in _processes() if _belongs(pid, leaders, marks)]
        if not left:
            break
        ended.update(left)
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    register.unlink(missing_ok=True)
    return len(ended)


def end_if_stopped(noted: Path) -> None:
    """KILL the supervisor of a runner before us, if a script has stopped it: it holds our lock."""
    for pid in _recorded(noted):
        fields = stat_fields(pid)
        if fields and fields[0] == "T":
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


class Register:
    """A file that names who runs, for whoever comes after us if we and the runner both die."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.size = 0

    def note(self, pid: int, first: int, last: int) -> None:
        """Add a process that has started between the two, in ticks.

        To ask the system would be to wait for it: of one that is being executed it tells
        nothing before that is done.
        """
        with suppress(OSError):
            self.size += os.write(self.fd, f"{pid} {first} {last}\n".encode())

    def clear(self) -> None:
        """Nobody of these runs any more. Who is gone does no harm, so that is not done often."""
        if self.size > MOST_GONE:
            with suppress(OSError):
                os.ftruncate(self.fd, 0)
            self.size = 0

    def close(self) -> None:
        """Nobody runs, and nobody will."""
        self.path.unlink(missing_ok=True)
        os.close(self.fd)


def note(register: Path, pid: int) -> None:
    """Write down a single pid and its start time."""
    with suppress(OSError):
        register.write_text(f"{pid} {started_at(pid)} {started_at(pid)}\n")


def _recorded(register: Path) -> set[int]:
    """The leaders in the register that are still the processes they were."""
    try:
        lines = register.read_text().split("\n")
    except OSError:
        return set()
    noted = [line.split() for line in lines]
    return {int(pid) for pid, *times in filter(None, noted) if _started_between(int(pid), *times)}


def _started_between(pid: int, first: str = "", last: str = "") -> bool:
    """Times as they were noted; what was not noted whole, or by another version, is nobody's."""
    started = started_at(pid)
    known = started is not None and first.isdigit() and last.isdigit()
    return known and int(first) <= (started or 0) <= int(last)


def _belongs(pid: int, leaders: set[int], marks: tuple[bytes, ...]) -> bool:
    fields = stat_fields(pid)
    if not fields or fields[0] in "ZX" or pid == os.getpid():
        return False
    if pid in leaders or int(fields[3]) in leaders:
        return True
    if not marks:
        return False
    try:
        environ = b"\0" + Path(f"/proc/{pid}/environ").read_bytes()
        return any(b"\0" + mark in environ for mark in marks)
    except OSError:
        return False


def _processes() -> list[int]:
    names = os.listdir("/proc")  # noqa: PTH208 (a thousand Path objects would be slow)
    return [int(name) for name in names if name.isdigit()]


def reap() -> None:
    """Wait for whichever of our children have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
