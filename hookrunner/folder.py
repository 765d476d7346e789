"""The folder that a process has to itself on its machine, until it and its scripts are gone.

A lock on a file in it says so, which the system lets go of however a process ends. The
supervisor holds it, too: whoever comes next waits until it has ended what was left.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from hookrunner.launch import kin
from hookrunner.model import Trouble

LOCK = "runs.lock"
PREDECESSOR = 15.0
"""Seconds that a dead runner's supervisor is given to end its scripts."""

BOOT = Path("/proc/sys/kernel/random/boot_id")
NAME = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Own:
    """A folder of one's own, the descriptor that holds it, and what its process is called.

    Only who comes next into the same folder, on the same machine, has the same name.
    """

    path: Path
    lock: int
    name: str = ""


def hold(folder: Path) -> int:
    """Hold the folder for this process. Raises Trouble if another has it, or it is not ours."""
    lock = _open(folder)
    if not _wait(lock, folder):
        os.close(lock)
        raise Trouble(
            f"another runner works in {folder}; stop it, or name another folder with --data DIR"
        )
    return lock


def own(data: Path, supervisor: str) -> Own:
    """The first folder of `data` that no other process has: those of a database may be several.

    `supervisor` is the file in which a supervisor notes who it is: one that a script has
    stopped would hold the folder of its dead runner for ever. Raises Trouble.
    """
    for number in count(1):
        folder = data / f"process-{number}"
        lock = _open(folder)
        if not _try_lock(lock) and not _holder_lives(lock):
            kin.end_if_stopped(folder / supervisor)
        if _wait(lock, folder):
            return Own(folder, lock, _name(folder))
        os.close(lock)
    raise AssertionError  # it counts for ever


def _open(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Trouble(
            f"the folder {folder} cannot be written: {error.strerror}; "
            "name another with --data DIR or DATA_DIR"
        ) from None


def _wait(lock: int, folder: Path) -> bool:
    """True once it is ours; False if it is somebody's who lives."""
    give_up = time.monotonic() + PREDECESSOR
    while not _try_lock(lock):
        if _holder_lives(lock) or time.monotonic() > give_up:
            return False
        time.sleep(0.02)  # its supervisor is ending the scripts that it left
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return True


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _holder_lives(lock: int) -> bool:
    """True if the runner that wrote its pid into the lock is there; its supervisor is, anyway."""
    written = os.pread(lock, 20, 0)
    if not written.isdigit():
        return True  # it has only just come
    try:
        os.kill(int(written), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _name(folder: Path) -> str:
    """The same for who comes next here; another on another machine that has a copy of it."""
    file, known = folder / "name", ""
    with suppress(OSError):
        known = file.read_text("ascii", "replace").strip()
    if not NAME.fullmatch(known):
        known = secrets.token_hex(8)
        file.write_text(f"{known}\n")
    boot = ""
    with suppress(OSError):
        boot = BOOT.read_text().strip()
    return f"{socket.gethostname()}/{boot[:8]}/{known}"
