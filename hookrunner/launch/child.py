"""What a forked child does to become a script's process: the last of our code that runs in it.

Called between fork and exec (or, in the fork-server, between fork and the script), in a
process that had one thread and knows no secret.
"""

from __future__ import annotations

import fcntl
import os
import resource
import signal
from dataclasses import dataclass

REPORT = 3
"""The descriptor on which a child tells why it could not become the script; exec closes it."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a script's process is to have. `memory` is in bytes."""

    cwd: str
    memory: int | None
    shield: bool


def take_descriptors(stdio: tuple[int, int, int], report: int) -> None:
    """Put these at 0, 1, 2 and REPORT, wherever they were, and close all others."""
    # Out of each other's way first: one of them may lie where another is to go.
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (*stdio, report)]
    for target, fd in enumerate(moved):
        os.dup2(fd, target, inheritable=target != REPORT)
    os.closerange(REPORT + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def settle_in(surroundings: Surroundings) -> None:
    """Give this process its session, signals, folder and limits. Raises OSError."""
    os.setsid()
    _standard_signals(shield=surroundings.shield)
    os.chdir(surroundings.cwd)
    if surroundings.memory is not None:
        resource.setrlimit(resource.RLIMIT_AS, (surroundings.memory, surroundings.memory))


def _standard_signals(*, shield: bool) -> None:
    """Every signal as a program expects to find it; with `shield`, TERM ignored."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) not in (signal.SIG_DFL, None):
            signal.signal(number, signal.SIG_DFL)
    if shield:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
