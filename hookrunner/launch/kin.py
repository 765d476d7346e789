"""The processes that descend from this one, and how to be rid of every one of them.

A script may leave processes behind that lead a session of their own: no process group
reaches those. A subreaper's descendants cannot get away, though: an orphan becomes its
child. So whoever is a subreaper can find them all in /proc, and kill until none is left.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36

UNKILLABLE = 5.0
"""Seconds after which a process that KILL does not end is left alone."""


def adopt_orphans() -> None:
    """Become a subreaper (prctl(2)): descendants whose parent ends become our children."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def hide_memory() -> None:
    """Keep scripts, which run as the same user, from reading our secrets in /proc."""
    _prctl(PR_SET_DUMPABLE, 0)


def descendants(of: int) -> list[int]:
    """The pids of all that descend from a process, parents before their children."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 (a thousand Path objects would be slow)
        if entry.isdigit() and (parent := parent_of(int(entry))) is not None:
            children.setdefault(parent, []).append(int(entry))
    found = list(children.get(of, ()))
    for pid in found:  # grows while we walk it
        found += children.get(pid, ())
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
        text = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()  # a name may hold spaces and parentheses


def end_descendants() -> int:
    """KILL and reap all that descend from us, until none is left; return how many there were."""
    ended: set[int] = set()
    give_up = time.monotonic() + UNKILLABLE
    while sys.platform == "linux" and (alive := descendants(os.getpid())):
        ended.update(alive)
        for pid in alive:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        reap()
        if time.monotonic() > give_up:
            break  # stuck in the kernel, or another user's: not ours to wait for
        time.sleep(0.001)  # a killed process takes a moment to be gone
    return len(ended)


def reap() -> None:
    """Wait for whichever of our children have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
