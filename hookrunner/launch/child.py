"""What a forked child does to become a script's process: the last of our code that runs in it.

Called between fork and exec (or, in the fork-server, between fork and the script), in a
process that had one thread and knows no secret. What is imported here is found loaded by
every script that starts warm, and each page of memory that it takes is copied for it: so
modules written in C are used in place of what wraps them, and the rest when it is needed.
"""

from __future__ import annotations

import _signal
import array
import ctypes
import errno
import fcntl
import os
import resource
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import NoReturn

REPORT = 3
"""The descriptor on which a child tells why it could not become the script; exec closes it."""

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4

POPULATE_WRITE = 23
"""What madvise(2) is asked for to have pages copied."""

OURS = 1 << 63 | 1 << 56
"""Bits of a page in pagemap: it is there, and nobody else has it."""

PAGE = os.sysconf("SC_PAGESIZE")
PORTION = 4096
"""Pages that are looked at together: of what a library has but reserved there may be millions."""

_open, _pread, _close = os.open, os.pread, os.close  # a script may have put others in their place

REQUEST = "request.json"
"""The file of an attempt's folder that tells of the request."""

ROOM = 32
"""Processes of the user's limit that scripts leave to the runner."""

MARK_ROOM = 64
"""Bytes of HOOK_RUN's value in a fork-server's environment: a run's id must fit there."""

_names: tuple[int, int, int, int] | None = None
"""Where this process's arguments and environment were put when it was executed: begin, end,
begin, end. Other processes read them there (proc(5)), whatever it has set since."""


def take_descriptors(stdio: tuple[int, int, int], report: int) -> None:
    """Put these at 0, 1, 2 and REPORT, wherever they were, and close all others."""
    # Out of each other's way first: one of them may lie where another is to go.
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (*stdio, report)]
    for target, fd in enumerate(moved):
        os.dup2(fd, target, inheritable=target != REPORT)
    os.closerange(REPORT + 1, most_descriptors())


def most_descriptors() -> int:
    """One more than the highest descriptor there can be."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def lead_session(*, shield: bool) -> None:
    """Give this process a session and signals of its own."""
    os.setsid()
    standard_signals(shield=shield)


def make_folder(folder: str, request: bytes) -> None:
    """Make the attempt's folder, if it is not there, with what it is to hold. Raises OSError."""
    if not folder:
        return
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    file = os.open(f"{folder}/{REQUEST}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, request)
    finally:
        os.close(file)


def take_surroundings(cwd: str, memory: int | None) -> None:
    """Give this process its folder and its limit, in bytes. Raises OSError."""
    os.chdir(cwd)
    if memory is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    if (most := most_processes()) is not None:
        resource.setrlimit(resource.RLIMIT_NPROC, (most, most))


def most_processes() -> int | None:
    """How many processes there may be before a script can start no more; None for no limit.

    The system counts all of a user's, and lets root have any number. A script that forks
    without end must leave us room to end it, and to start others.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    if hard == resource.RLIM_INFINITY or os.getuid() == 0:
        return None
    return max(hard - ROOM, hard // 2)


def standard_signals(*, shield: bool) -> None:
    """Every signal as a program expects to find it; with `shield`, TERM ignored."""
    for number in _signal.valid_signals() - {_signal.SIGKILL, _signal.SIGSTOP}:
        if _signal.getsignal(number) not in (_signal.SIG_DFL, None):
            _signal.signal(number, _signal.SIG_DFL)
    if shield:
        _signal.signal(_signal.SIGTERM, _signal.SIG_IGN)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def python_signals(*, shield: bool) -> None:
    """Signals as Python has them once it has started, in a child of the fork-server.

    With `shield`, TERM is ignored.
    """
    for number in (_signal.SIGHUP, _signal.SIGCHLD):
        _signal.signal(number, _signal.SIG_DFL)
    _signal.signal(_signal.SIGTERM, _signal.SIG_IGN if shield else _signal.SIG_DFL)
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def execute(command: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Become another program. Raises OSError."""
    environ = {encoded(name): encoded(value) for name, value in env.items()}
    os.execvpe(encoded(command[0]), [encoded(part) for part in command], environ)


def report_failure(number: int, error: BaseException) -> NoReturn:
    """Say on REPORT why there is no script, and end."""
    import json

    said = {
        "number": number,
        "errno": error.errno if isinstance(error, OSError) else errno.EINVAL,
        "file": os.fsdecode(getattr(error, "filename", None) or b""),
    }
    try:
        os.write(REPORT, json.dumps(said).encode() + b"\n")
    finally:
        os._exit(127)


def hide_memory() -> None:
    """Keep scripts, which run as the same user, from reading our secrets in /proc."""
    prctl(PR_SET_DUMPABLE, 0)


def show_memory() -> None:
    """Be as open as a program usually is: a script may look at itself in /proc."""
    prctl(PR_SET_DUMPABLE, 1)


def die_with_parent() -> None:
    """Be killed when the thread that started us ends: for children of a single thread."""
    prctl(PR_SET_PDEATHSIG, _signal.SIGKILL)


def prctl(option: int, value: int) -> None:
    """prctl(2), where there is such a thing."""
    if _libc is not None:
        _libc.prctl(option, value, 0, 0, 0)


def take_over_names() -> None:
    """Clear what others can read of our environment, and remember where it was."""
    global _names
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    begin, end, env_begin, env_end = (int(field) for field in fields[45:49])
    _names = begin, end, env_begin, env_end
    os.environ.pop("HOOK_RUN", None)
    for name, value in list(os.environ.items()):
        os.environ[name] = value  # the C library copies it elsewhere
    ctypes.memset(env_begin, 0, env_end - env_begin)


def rename(command: Sequence[str], run_id: str) -> None:
    """Let others see this command and HOOK_RUN, in ps(1) and in /proc/PID/environ."""
    if _names is None:
        return
    begin, end, env_begin, _ = _names
    shown = b"\0".join(encoded(part) for part in command)[: end - begin - 1]
    ctypes.memmove(begin, shown.ljust(end - begin, b"\0"), end - begin)
    mark = b"HOOK_RUN=" + encoded(run_id)[:MARK_ROOM] + b"\0"
    ctypes.memmove(env_begin, mark, len(mark))


def writable() -> list[tuple[int, int]]:
    """Where this process has memory of its own that it can write to (proc(5), maps)."""
    found = []
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        for line in file:
            span, rights, _ = line.split(" ", 2)
            if rights[1:4:2] == "wp":
                begin, _, end = span.partition("-")
                found.append((int(begin, 16), int(end, 16)))
    return found


def copied(memory: Iterable[tuple[int, int]]) -> array.array[int]:
    """Of this memory, the pages that are ours alone, in pairs of an address and a length.

    What a forked process has written to has been copied for it (proc(5), pagemap). Raises OSError.
    """
    found = array.array("Q")
    pages = _open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        for begin, end in memory:
            for start in range(begin, end, PORTION * PAGE):
                number = min(PORTION, (end - start) // PAGE)
                told = _pread(pages, number * 8, start // PAGE * 8)
                if told.strip(b"\0"):
                    _add_ours(found, start, array.array("Q", told))
    finally:
        _close(pages)
    return found


def _add_ours(found: array.array[int], address: int, told: Iterable[int]) -> None:
    for page in told:
        if page & OURS == OURS:
            if found and found[-2] + found[-1] == address:
                found[-1] += PAGE
            else:
                found.extend((address, PAGE))
        address += PAGE


def can_copy_ahead() -> bool:
    """Whether this system knows how to (Linux 5.14)."""
    return _libc is not None and not _libc.madvise(None, ctypes.c_size_t(0), POPULATE_WRITE)


def copy_ahead(pages: Sequence[int]) -> None:
    """Have these pages copied as the first write to each would, where they are still there."""
    if _libc is not None:
        for place in range(0, len(pages), 2):
            address, length = pages[place : place + 2]
            _libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(length), POPULATE_WRITE)


def shared(size: int) -> memoryview:
    """So many bytes, all 0, that this process has in common with what it forks. Raises OSError."""
    assert _libc is not None
    _libc.mmap.restype = ctypes.c_void_p
    rights, kind = 1 | 2, 1 | 0x20  # PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS
    none, begin = ctypes.c_int(-1), ctypes.c_long(0)
    address = _libc.mmap(None, ctypes.c_size_t(size), rights, kind, none, begin)
    if address == ctypes.c_void_p(-1).value:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    return memoryview((ctypes.c_char * size).from_address(address)).cast("B")


def encoded(text: str) -> bytes:
    """As the system takes names, values and arguments."""
    return text.encode("utf-8", "surrogateescape")
