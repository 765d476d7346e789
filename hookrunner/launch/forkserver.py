"""The fork-server: children that stand ready, with what Python scripts import already loaded.

    executed by the supervisor, with one thread and without secrets; it knows `child.py` alone

It is told on a socket which scripts it serves and what they import. It loads that, forks
a few children ahead, and hands each one's socket to the supervisor, which sends it a run:
the child then becomes that script's process, and ends with it. What a script may see of a
warm start is to be what it sees of a cold one (docs/warm.md); where a child finds that it
cannot be, it executes Python anew and so starts the script cold.

A script's imports are first tried in a child of their own: a module that dies there, or
leaves threads running, harms nobody, and the script is sent to the cold launcher. One
whose imports are heavy, or change what others would see, gets a server of its own.

It ends when the supervisor does: the socket closes, or the kernel sees to it.
"""

from __future__ import annotations

import _imp
import _io
import _signal
import _socket
import _thread
import _warnings
import _weakref
import array
import atexit
import builtins
import ctypes
import gc
import marshal
import os
import select
import sys
import time

from hookrunner.launch import child

TYPE_CHECKING = False
if TYPE_CHECKING:
    import types
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, NoReturn

    Imports = Iterable[tuple[str, list[str]]]
    Known = tuple[tuple[int, int, int, int], str, types.CodeType]

Module = type(sys)
SourceFileLoader: Any = type(child.__loader__)

HEAVY_SECONDS = 0.15
HEAVY_PAGES = 4096
"""What imports may take and leave in memory (pages) before they are for a server of their own:
every child that is forked pays for each page."""

MOST_COPIED = 5120
"""Pages that all children of a server that stand ready may have copied ahead: each takes memory."""

SLOT, HEAD, PAIR = 32 * 1024, 8, 16
"""Bytes in which a run tells what it has copied, of the state before it, of a pair within."""

TOLD_SOON, TOLD, EDITION = 1, 2, 3
"""What a run has told of a script's pages, added to a multiple of EDITION that moves on when
the script changes: a run of what it was before has nothing to tell."""

LONGEST_IMPORT = 60.0
"""Seconds after which a module that does not come to an end is left alone."""

ROOM = _socket.CMSG_LEN(4 * array.array("i").itemsize)
"""Bytes for the descriptors that come with a run: the three standard ones, and the report."""

MOST_SPEC = 200_000

BUILT_IN = sys.builtin_module_names
BUILTINS = frozenset(builtins.__dict__)

AT_EXIT = {"logging": 1, "multiprocessing.util": 1}
"""What of the standard library has something done at exit, which is nothing where it is not
used. Nearly everything imports one of them."""

GONE_AT_THE_END = (
    "path", "argv", "ps1", "ps2", "last_type", "last_value", "last_traceback", "last_exc",
    "path_hooks", "path_importer_cache", "meta_path", "__interactivehook__",
)  # fmt: skip
"""What Python takes out of `sys` before anything else ends."""


SAYS_WHERE = sys.version_info >= (3, 13)
AT_THREADS = "Exception ignored on threading shutdown"
AT_FLUSH = "Exception ignored on flushing sys.stdout"


class ForkServer:
    """The socket, what is loaded, and the children."""

    def __init__(self, control: _socket.socket, plan: Mapping[str, Any]) -> None:
        self.control = control
        self.scripts: dict[str, Mapping[str, Any]] = {s["path"]: s for s in plan["scripts"]}
        self.spares: int = plan["spares"]
        self.trial: bool = plan["trial"]
        self.ends: bytes = plan["ends"]
        self.supervisor = os.getppid()
        self.environ = dict(os.environ)
        self.zone = os.environ.get("TZ")
        if sys.path[:1] == [""]:
            del sys.path[0]  # where we are is no place to import from: a script's folder is
        self.known: dict[str, Known] = {}
        self.folders: dict[str, tuple[int, bool]] = {}
        self.children: set[int] = set()
        self.loaded: frozenset[str] = frozenset()
        self.copied = _Copied((), 0)
        self.inherited = _Inherited({}, self.copied)
        self.unraisable = _unraisable()
        self.wakes, wake = os.pipe()
        os.set_blocking(self.wakes, False)
        os.set_blocking(wake, False)
        _signal.signal(_signal.SIGCHLD, lambda *_: None)
        _signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def run(self) -> None:
        """Load, fork, and serve until the supervisor has no more use for us."""
        for script in list(self.scripts.values()):
            verdict, why = self._judge(script) if self.trial else ("light", "")
            if verdict == "light":
                load(script["imports"])
            else:
                del self.scripts[script["path"]]
            self._say(["verdict", script["path"], verdict, why])
        self.loaded = _loaded()
        self._compile()
        for name in [name for name in sys.modules if name.partition(".")[0] == "hookrunner"]:
            del sys.modules[name]
        self.copied = _Copied(tuple(self.scripts), MOST_COPIED // max(self.spares, 1))
        self.inherited = _Inherited(self.environ, self.copied)
        self.copied.begin()
        gc.collect()
        gc.disable()
        gc.freeze()
        self._fork(self.spares if self.scripts else 0)
        self._say(["ready"])
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(self.wakes, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == self.wakes:
                    self._see_who_ended()
                elif not self._obey(self.control.recv(64)):
                    return

    def _obey(self, order: bytes) -> bool:
        """False if there is nobody to serve any more."""
        what, _, number = order.partition(b" ")
        if what == b"fork":
            self._compile()
            self._fork(int(number))
        elif what == b"reap":
            os.waitpid(int(number), 0)
        return bool(what)

    def _see_who_ended(self) -> None:
        """Say who has ended. They stay until the supervisor, who kills by pid, lets them go."""
        os.read(self.wakes, 4096)
        for pid in tuple(self.children):
            seen = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if seen is not None:
                code = seen.si_status if seen.si_code == os.CLD_EXITED else -seen.si_status
                self.children.discard(pid)
                self._say(["ended", pid, code])

    def _fork(self, number: int) -> None:
        """Have so many more children ready: one after the other, before we change any memory.

        What we write to afterwards is copied once for all of them.
        """
        self.copied.gather()
        pairs, pids = _pairs(number), []
        for _, theirs in pairs:
            try:
                pid = os.fork()
            except OSError:
                break
            if pid == 0:
                self._stand_ready(theirs)
            pids.append(pid)
        self.children.update(pids)
        for pid, (ours, _) in zip(pids, pairs, strict=False):
            self._say(["spare", pid], ours.fileno())
        if len(pids) < number:
            self._say(["no fork", number - len(pids)])
        for pair in pairs:
            for end in pair:
                end.close()

    def _say(self, said: list[Any], fd: int | None = None) -> None:
        passed = []
        if fd is not None:
            passed = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", [fd]))]
        try:
            self.control.sendmsg([marshal.dumps(said)], passed)
        except OSError:
            pass  # nobody is there: the next order will be the last

    def _compile(self) -> None:
        """Have every script's code as the file has it now."""
        for path in self.scripts:
            try:
                now = _identity(path)
                if path not in self.known or self.known[path][0] != now:
                    folder = os.path.dirname(os.path.realpath(path))
                    self.known[path] = now, folder, _compiled(path)
                    self.copied.forget(path)
                    gc.freeze()
                folder = self.known[path][1]
                self.folders[folder] = _hiding(folder, self.loaded, self.folders.get(folder))
            except (OSError, SyntaxError, ValueError):
                self.known.pop(path, None)

    def _judge(self, script: Mapping[str, Any]) -> tuple[str, str]:
        """Try a script's imports in a child; `light`, `own` or `cold`, and why."""
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            _try(script, writing)
        os.close(writing)
        poll = select.poll()
        poll.register(reading, select.POLLIN)
        ended = bool(poll.poll(LONGEST_IMPORT * 1000))
        said = os.read(reading, 4096) if ended else b""
        os.close(reading)
        if not said:
            os.kill(pid, _signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if not ended:
            return "cold", f"its imports take longer than {LONGEST_IMPORT:g} s"
        if not said:
            code = os.waitstatus_to_exitcode(status)
            return "cold", "its imports end Python: " + (
                f"signal {-code}" if code < 0 else f"exit {code}"
            )
        verdict, why = marshal.loads(said)
        return verdict, why

    def _stand_ready(self, waiting: _socket.socket) -> NoReturn:
        """In the child: wait for a run, and become its process."""
        try:
            # A TERM that comes with the run must wait until we are the script's process.
            _signal.pthread_sigmask(_signal.SIG_BLOCK, (_signal.SIGTERM,))
            _signal.signal(_signal.SIGTERM, _signal.SIG_DFL)
            _signal.set_wakeup_fd(-1)
            fd = waiting.fileno()
            os.closerange(child.REPORT, fd)
            os.closerange(fd + 1, child.most_descriptors())
            os.setsid()
            child.show_memory()
            _renew_chance()
            self.copied.pid = os.getpid()
            if not _has_come(waiting):
                self.copied.ahead()
            sys.modules["__main__"] = Module(
                "__main__"
            )  # after gc.freeze: it is to end with the script
            data, sent, _, _ = waiting.recvmsg(MOST_SPEC, ROOM)
            if not data:
                os._exit(0)
            _take(array.array("i", sent[0][2]), waiting.detach())
            wanted = marshal.loads(data)
        except BaseException:
            os._exit(127)
        try:
            child.make_folder(wanted["folder"], wanted["request"])
            child.take_surroundings(wanted["cwd"], wanted["memory"])
            code, folder = self._code(wanted["command"][1])
            _drop_others_term(self.supervisor)
            if code is None:
                child.standard_signals(shield=wanted["shield"])
                child.execute(wanted["command"], wanted["env"])
            self._surround(wanted, folder)
        except BaseException as error:
            child.report_failure(wanted["number"], error)
        os.close(child.REPORT)
        _become(code, wanted, self.inherited, self.unraisable, self.ends)

    def _code(self, path: str) -> tuple[types.CodeType | None, str]:
        """The script's code, and its folder; None if it had better start cold."""
        try:
            now = _identity(path)
            known = self.known.get(path)
            if known and known[0] == now:
                _, folder, code = known
            else:
                folder, code = os.path.dirname(os.path.realpath(path)), _compiled(path)
            if _hiding(folder, self.loaded, self.folders.get(folder))[1]:
                return None, folder
            return code, folder
        except (OSError, SyntaxError, ValueError):
            return None, ""  # a cold Python says best what is wrong with it

    def _surround(self, wanted: Mapping[str, Any], folder: str) -> None:
        """Environment and arguments, as a Python that has just started has them."""
        command = wanted["command"]
        env: dict[str, str] = wanted["env"]
        self.inherited.replace(env)
        child.rename(command, env.get("HOOK_RUN", ""))
        if env.get("TZ") != self.zone:
            time.tzset()
        sys.argv = command[1:]
        sys.orig_argv = list(command)
        if not sys.flags.safe_path:
            sys.path.insert(0, folder)
        if "tempfile" in sys.modules:
            sys.modules["tempfile"].__dict__["tempdir"] = None
        if logging := sys.modules.get("logging"):
            whole = isinstance(logging.__dict__["_startTime"], int)  # since Python 3.13
            logging.__dict__["_startTime"] = time.time_ns() if whole else time.time()


class _Inherited:
    """What every child finds as it was in the fork-server: the environment, and modules.

    It is looked at beforehand, for a child that looks at an object copies its memory.
    """

    def __init__(self, before: Mapping[str, str], copied: _Copied) -> None:
        """`before` is the environment as it was before anything was imported."""
        self.copied = copied
        self.environ = dict(os.environ)
        now = self.environ
        self.unchanged = tuple(name for name, value in now.items() if before.get(name) == value)
        self.overruled = frozenset(n for n, value in before.items() if now.get(n) != value)
        self.loaded: dict[str, Any] = sys.modules
        """What Python itself goes by, whatever a script puts in its place."""

        self.modules = frozenset(sys.modules)
        self.newest = next(reversed(sys.modules))

    def replace(self, env: Mapping[str, str]) -> None:
        """Have the run's environment, but for what a module has set as it was imported.

        What it has put in another's place it would have put there now, too.
        """
        for name in self.unchanged:
            if name not in env:
                os.environ.pop(name, None)
        for name, value in env.items():
            if self.environ.get(name) != value and name not in self.overruled:
                os.environ[name] = value

    def own_modules(self) -> list[str]:
        """`__main__`, and the modules that are the script's alone, in the order they came in.

        They came after all others, which are not looked at unless the script took some out.
        """
        own: list[str] = []
        for seen, name in enumerate(reversed(self.loaded)):
            if name == self.newest and len(self.loaded) - seen == len(self.modules):
                break
            if name not in self.modules:
                own.append(name)
        if "__main__" in self.loaded:
            own.append("__main__")
        return own[::-1]


class _Copied:
    """Which pages of memory the run of each script has copied, for others to copy them ahead.

    The first write to a page that is shared copies it, which takes longer than most of what a
    script does. A child that waits for a run copies those that runs like it have copied. One run
    of each script tells them, at its end, in memory that all children share.
    """

    def __init__(self, paths: Sequence[str], most: int) -> None:
        """`most` is how many pages a child may copy ahead."""
        self.most = most
        self.slots: dict[str, memoryview] = {}
        self.memory: list[tuple[int, int]] = []
        self.known: dict[str, bytes] = {}
        self.untold = dict.fromkeys(paths, 0)
        self.pid = 0
        """Of the child that becomes the script."""

        self.pages = array.array("Q")
        if most and child.can_copy_ahead():
            try:
                whole = child.shared(len(paths) * SLOT)
            except OSError:
                return
            for number, path in enumerate(paths):
                self.slots[path] = whole[number * SLOT : (number + 1) * SLOT]

    def begin(self) -> None:
        """From now on there are children, who share the memory that is there by now."""
        if self.slots:
            self.memory = child.writable()

    def ahead(self) -> None:
        """In a child that waits: copy what runs have copied."""
        child.copy_ahead(self.pages)

    def tell(self, path: str) -> None:
        """In a child whose script has ended: say what has been copied, unless that is known."""
        slot, untold = self.slots.get(path), self.untold.get(path, 0)
        if slot is None or slot[0] != untold or os.getpid() != self.pid:
            return  # what a script has forked has copied little of what its run has
        slot[0] = untold + TOLD_SOON
        told = child.copied(self.memory).tobytes()[: (SLOT - HEAD) // PAIR * PAIR]
        slot[HEAD : HEAD + len(told)] = told
        slot[4:8] = len(told).to_bytes(4, sys.byteorder)
        slot[0] = untold + TOLD

    def forget(self, path: str) -> None:
        """The script has changed."""
        if path in self.slots:
            self.known.pop(path, None)
            untold = (self.untold[path] + EDITION) % (85 * EDITION)
            self.untold = {**self.untold, path: untold}
            self.slots[path][0] = untold

    def gather(self) -> None:
        """Take what has been told, as much of it as may be copied."""
        new = [
            path
            for path, slot in self.slots.items()
            if slot[0] == self.untold[path] + TOLD and path not in self.known
        ]
        if not new:
            return
        for path in new:
            slot = self.slots[path]
            size = min(int.from_bytes(slot[4:8], sys.byteorder), SLOT - HEAD)
            self.known[path] = bytes(slot[HEAD : HEAD + size // PAIR * PAIR])
        self.pages = _together(self.known.values(), self.most)


def _together(told: Iterable[bytes], most: int) -> array.array[int]:
    """Pairs of an address and a length, of `most` pages at the most, for all that was told."""
    wanted: set[int] = set()
    for each in told:
        pairs = array.array("Q", each)
        for place in range(0, len(pairs), 2):
            begin, length = pairs[place : place + 2]
            begin -= begin % child.PAGE  # a script may have written anything there
            room = (most - len(wanted)) * child.PAGE
            wanted.update(range(begin, begin + min(length, room), child.PAGE))
    pages = array.array("Q")
    for address in sorted(wanted):
        if pages and pages[-2] + pages[-1] == address:
            pages[-1] += child.PAGE
        else:
            pages.extend((address, child.PAGE))
    return pages


def _pairs(number: int) -> list[tuple[_socket.socket, _socket.socket]]:
    """So many pairs of sockets, or as many as there are descriptors for."""
    made: list[tuple[_socket.socket, _socket.socket]] = []
    try:
        while len(made) < number:
            made.append(_socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET))
    except OSError:
        pass
    return made


def _has_come(waiting: _socket.socket) -> bool:
    """Whether there is something to be received."""
    poll = select.poll()  # select() takes no descriptor beyond 1023
    poll.register(waiting, select.POLLIN)
    return bool(poll.poll(0))


def load(imports: Imports) -> None:
    """Import what can be; what cannot, the script will meet itself."""
    for name, wanted in imports:
        try:
            __import__(name)
            module = sys.modules[name]
        except Exception:
            continue
        for part in wanted:
            if not hasattr(module, part):
                try:
                    __import__(f"{name}.{part}")
                except Exception:
                    continue


def _identity(path: str) -> tuple[int, int, int, int]:
    """What changes with the file's content: where it lies, when it was written, its size."""
    stat = os.stat(path)
    return stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size


def _loaded() -> frozenset[str]:
    """What is loaded, but for modules that no file hides: those in Python itself come first."""
    names = {name.partition(".")[0] for name in sys.modules}
    return frozenset(n for n in names.difference(BUILT_IN) if not _imp.is_frozen(n))


def _try(script: Mapping[str, Any], answer: int) -> NoReturn:
    """In a child: import, see what that does, and say what is to be done with the script."""
    try:
        printed = os.memfd_create("printed")
        os.dup2(printed, 1)
        os.dup2(printed, 2)
        seen, pages, began = _visible(), _pages(), time.monotonic()
        load(script["imports"])
        seconds, pages = time.monotonic() - began, _pages() - pages
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        verdict = _verdict(seen, seconds, pages)
        hidden = _hidden(os.path.dirname(os.path.realpath(script["path"])), _loaded())
        if hidden:
            verdict = ("cold", f"{hidden} in its folder hides a module that is loaded already")
        elif size := os.fstat(printed).st_size:
            said = os.pread(printed, min(size, 200), 0).decode("utf-8", "replace")
            verdict = ("cold", f"its imports print {said.splitlines()[0]!r}")
    except BaseException as error:
        verdict = ("cold", f"its imports end Python: {error!r}"[:300])
    os.write(answer, marshal.dumps(verdict))
    os._exit(0)


def _verdict(before: Mapping[str, Any], seconds: float, pages: int) -> tuple[str, str]:
    threading = sys.modules.get("threading")
    running = threading.enumerate() if threading else []
    if len(running) > 1:
        names = ", ".join(thread.name for thread in running[1:])
        return "cold", f"its imports leave threads running ({names})"
    now = _visible()
    for what in ("signal handlers", "the working directory", "the umask"):
        if now[what] != before[what]:
            return "cold", f"its imports change {what}"
    changed = [what for what, value in now.items() if value != before[what]]
    if changed:
        return "own", f"its imports change {', '.join(changed)}"
    if seconds > HEAVY_SECONDS or pages > HEAVY_PAGES:
        size = pages * os.sysconf("SC_PAGESIZE") // 2**20
        return "own", f"its imports take {seconds:.2f} s and {size} MB"
    return "light", ""


def _visible() -> dict[str, Any]:
    """What a module may change as it is imported, and others would see."""
    umask = os.umask(0o022)
    os.umask(umask)
    usual = sum(count for name, count in AT_EXIT.items() if name in sys.modules)
    return {
        "signal handlers": [_signal.getsignal(n) for n in sorted(_signal.valid_signals())],
        "the working directory": os.getcwd(),
        "the umask": umask,
        "the environment": dict(os.environ),
        "sys.path": list(sys.path),
        "sys.excepthook": (sys.excepthook, sys.displayhook),
        "what is done at exit": atexit._ncallbacks() - usual,
        "warnings": list(_warnings.filters),
    }


def _pages() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1])


def _hiding(
    folder: str, loaded: frozenset[str], known: tuple[int, bool] | None
) -> tuple[int, bool]:
    """When the folder changed last (ns), and whether a file there should have been imported."""
    changed = os.stat(folder).st_mtime_ns
    if known and known[0] == changed:
        return known
    return changed, bool(_hidden(folder, loaded))


def _hidden(folder: str, loaded: frozenset[str]) -> str:
    """A file of the folder that a cold Python would have imported in place of what is loaded."""
    for entry in os.scandir(folder):
        stem, dot, kind = entry.name.partition(".")
        if stem in loaded and (
            (dot and kind.endswith(("py", "so"))) or (not dot and entry.is_dir())
        ):
            return entry.name
    return ""


def _compiled(path: str) -> types.CodeType:
    """Raises SyntaxError, too, for what makes the compiler warn: the script is to be told."""
    import warnings

    with open(path, "rb") as file, warnings.catch_warnings(record=True) as shown:
        code = compile(file.read(), path, "exec", dont_inherit=True)
    if shown:
        raise SyntaxError
    return code


def _renew_chance() -> None:
    """No two children may roll the same dice. (`random` and OpenSSL see to it themselves.)"""
    if numpy := sys.modules.get("numpy.random"):
        numpy.seed()
    if process := sys.modules.get("multiprocessing.process"):
        process.current_process()._config["authkey"] = process.AuthenticationString(os.urandom(32))
    if threading := sys.modules.get("threading"):
        threading.main_thread()._set_native_id()


def _take(fds: Iterable[int], waiting: int) -> None:
    """Put the run's descriptors where they belong; `waiting` is what they came through."""
    stdin, stdout, stderr, report = fds
    os.dup2(stdin, 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.dup2(report, child.REPORT, inheritable=False)
    os.closerange(child.REPORT + 1, max(waiting, stdin, stdout, stderr, report) + 1)


def _drop_others_term(supervisor: int) -> None:
    """Of a TERM that came while we waited: the supervisor's is for the run, others' were not."""
    seen = _signal.sigtimedwait((_signal.SIGTERM,), 0)
    if seen and seen.si_pid == supervisor:
        os.kill(os.getpid(), _signal.SIGTERM)  # it is blocked as yet


def _become(
    code: types.CodeType,
    wanted: Mapping[str, Any],
    inherited: _Inherited,
    unraisable: type,
    ends: bytes,
) -> NoReturn:
    """Run the script as `python script.py` does, and end as it does."""
    path = wanted["command"][1]
    space = sys.modules["__main__"].__dict__
    space.update(
        __file__=path,
        __cached__=None,
        __loader__=SourceFileLoader("__main__", path),
        __builtins__=builtins,
        __annotations__={},
    )
    child.python_signals(shield=wanted["shield"])
    gc.enable()
    status, error = 0, None
    try:
        exec(code, space)
    except BaseException as caught:
        error = caught  # whatever is called from here on sees no exception being handled
    sys.settrace(None)  # it is not to see us at work
    sys.setprofile(None)
    del space
    if error:
        status = _told(_ours_left_out(error), unraisable)
        error = None
    try:
        _finalize(status, path, inherited, unraisable, ends)
    except BaseException:  # the script has taken something from us that we need
        ctypes.pythonapi.Py_Exit(status if status >= 0 else 128 - status)
    os._exit(1)  # never reached


def _ours_left_out(error: BaseException) -> BaseException:
    """The same without the frames at the beginning of its traceback that are ours."""
    return error.with_traceback(_without_ours(error.__traceback__))


def _without_ours(trace: types.TracebackType | None) -> types.TracebackType | None:
    while trace and trace.tb_frame.f_globals is globals():
        trace = trace.tb_next
    return trace


def _told(error: BaseException, unraisable: type) -> int:
    """What Python says of an exception that nobody caught, and the exit status that follows.

    Negative for a signal, as KeyboardInterrupt ends Python by one.
    """
    if isinstance(error, SystemExit):
        return _status_of(error, unraisable)
    trace = error.__traceback__
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    other: BaseException | None = None
    try:
        if not hasattr(sys, "excepthook"):
            _write("sys.excepthook is missing\n")
            sys.excepthook = sys.__excepthook__
        sys.excepthook(type(error), error, trace)
    except BaseException as caught:
        other = _ours_left_out(caught)
    if isinstance(other, SystemExit):
        return _status_of(other, unraisable)
    if other:
        _write("Error in sys.excepthook:\n")
        sys.__excepthook__(type(other), other, other.__traceback__)
        _write("\nOriginal exception was:\n")
        sys.__excepthook__(type(error), error, trace)
    return -_signal.SIGINT if type(error) is KeyboardInterrupt else 1


def _status_of(error: SystemExit, unraisable: type) -> int:
    try:
        code = error.code
    except BaseException:
        code = error  # type: ignore[assignment]
    if code is None:
        return 0
    if isinstance(code, int):
        if -(2**63) <= code < 2**63:
            return code & 0xFF
        if SAYS_WHERE:
            beyond = OverflowError("Python int too large to convert to C long")
            _tell_ignored(unraisable, beyond, AT_THREADS)
        return 0xFF
    untold: BaseException | None = None
    try:
        _write(str(code))
    except BaseException as caught:
        untold = _ours_left_out(caught)
    _write("\n")
    if untold and SAYS_WHERE:
        _tell_ignored(unraisable, untold, AT_THREADS)
    return 1


def _write(text: str) -> None:
    """To standard error, or to its descriptor if it is not there any more."""
    try:
        sys.stderr.write(text)
    except BaseException:
        try:
            os.write(2, text.encode("utf-8", "backslashreplace"))
        except OSError:
            pass  # there is nowhere left to say it


def _finalize(
    status: int, path: str, inherited: _Inherited, unraisable: type, ends: bytes
) -> NoReturn:
    """What Python does at its end, but for the modules that were there before the script.

    To take those apart would touch, and so copy, all the memory that is shared. The order
    is that of Py_FinalizeEx.
    """
    if threading := inherited.loaded.get("threading"):
        _ignoring(unraisable, threading, threading._shutdown, AT_THREADS)
    _at_exit(unraisable)
    failed = not _flush(unraisable)
    if status >= 0 and _thread._count():
        # Only Python itself can stop the threads that are left, the daemons. It is slower.
        if failed:
            with _Unseen(unraisable):
                sys.stdout = None  # it has been told of
        ctypes.pythonapi.Py_Exit(120 if failed else status)
    with _Unseen(unraisable):
        _forget(inherited)
    failed = not _flush(unraisable) or failed
    if status < 0:
        _signal.signal(-status, _signal.SIG_DFL)
        os.kill(os.getpid(), -status)
        os._exit(128 - status)  # it is blocked
    os.closerange(0, child.most_descriptors())  # nobody hears what is called from here on
    try:
        inherited.copied.tell(path)
    except BaseException:
        pass  # its children copy when they have to
    _end(120 if failed else status, ends)


def _end(status: int, ends: bytes) -> NoReturn:
    """End, and have said so before the system takes our memory apart, which may take longer
    than all the script did.

    Nothing of the script is left by now: its files are closed, and the locks on them gone.
    Where the supervisor cannot be told it learns it from the system.
    """
    try:
        telling = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
        telling.sendto(b"%d" % status, _socket.MSG_DONTWAIT, ends)
    except OSError:
        pass
    os._exit(status)


def _at_exit(unraisable: type) -> None:
    """Call what the script wants called."""
    with _Unseen(unraisable):
        atexit._run_exitfuncs()


class _Unseen:
    """What nobody can catch is told with the frame of who calls, which is ours: leave it out."""

    def __init__(self, unraisable: type) -> None:
        self.unraisable = unraisable

    def __enter__(self) -> None:
        hook = getattr(sys, "unraisablehook", None) or sys.__unraisablehook__

        def tell(told: sys.UnraisableHookArgs) -> None:
            trace = _without_ours(told.exc_traceback)
            hook(self.unraisable((told.exc_type, told.exc_value, trace, told.err_msg, told.object)))

        self.hook, self.tell = hook, tell
        sys.unraisablehook = tell

    def __exit__(self, *_: object) -> None:
        if getattr(sys, "unraisablehook", None) is self.tell:
            sys.unraisablehook = self.hook


def _forget(inherited: _Inherited) -> None:
    """Let go of the script's own objects, so that files are written and `__del__` is called."""
    if gc.isenabled():
        gc.collect()  # it also puts what holds before what is held: a file before its buffer
    for name in GONE_AT_THE_END:
        if hasattr(sys, name):
            setattr(sys, name, None)
    sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__
    modules, left = inherited.loaded, []
    for name in inherited.own_modules():
        if isinstance(modules[name], Module):
            left.append(_weakref.ref(modules[name]))
        modules[name] = None
    modules["io"] = None  # no source is shown any more
    gc.collect()
    while left:
        if module := left.pop()():
            _clear(module.__dict__)
        del module
    if len(builtins.__dict__) > len(BUILTINS):
        for name in [name for name in builtins.__dict__ if name not in BUILTINS]:
            del builtins.__dict__[name]
    gc.collect()
    _close_files()


def _clear(space: dict[str, Any]) -> None:
    """As Python takes a module apart: private names first."""
    for private in (True, False):
        for name in list(space):
            if name != "__builtins__" and (name[:1] == "_" and name[1:2] != "_") >= private:
                space[name] = None


def _close_files() -> None:
    """Write what is in files that a module holds which we do not take apart."""
    left = [thing for thing in gc.get_objects() if isinstance(thing, _io._IOBase)]
    left.sort(key=lambda file: not isinstance(file, _io._TextIOBase))  # they write to others
    for file in left:
        try:
            file.close()
        except BaseException:
            pass  # nobody hears of it in a cold Python either


def _ignoring(unraisable: type, what: object, step: Callable[[], object], where: str) -> bool:
    """Take it; what it raises is told as Python tells it of what nobody can catch. False then.

    Python told of `what` it was about; since 3.13 it tells `where` it was.
    """
    try:
        step()
        return True
    except BaseException as caught:
        error = _ours_left_out(caught)
    if SAYS_WHERE:
        _tell_ignored(unraisable, error, where)
    else:
        _tell_ignored(unraisable, error, None, what)
    return False


def _tell_ignored(
    unraisable: type, error: BaseException, where: str | None, what: object = None
) -> None:
    hook = getattr(sys, "unraisablehook", None) or sys.__unraisablehook__
    try:
        hook(unraisable((type(error), error, error.__traceback__, where, what)))
    except BaseException:
        pass


def _flush(unraisable: type) -> bool:
    """Write what the script has printed; False if that is not to be had any more."""
    out: Any = getattr(sys, "stdout", None)
    err: Any = getattr(sys, "stderr", None)
    done = _closed(out) or _ignoring(unraisable, out, lambda: out.flush(), AT_FLUSH)
    try:
        if not _closed(err):
            err.flush()
    except BaseException:
        done = False
    return done


def _closed(stream: Any) -> bool:
    try:
        return stream is None or bool(stream.closed)
    except BaseException:
        return False


def _unraisable() -> type:
    """The type of what sys.unraisablehook is told: it has no name to be had by."""
    seen: list[type] = []

    class Fails:
        def __del__(self) -> None:
            raise ValueError

    sys.unraisablehook = lambda told: seen.append(type(told))
    Fails()
    sys.unraisablehook = sys.__unraisablehook__
    return seen[0]


def main(fd: int, restore: Callable[[], None]) -> None:
    """What the executed process does; `fd` is the socket to the supervisor."""
    for number in (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP):
        _signal.signal(number, _signal.SIG_IGN)
    child.die_with_parent()
    child.hide_memory()
    child.take_over_names()
    restore()
    control = _socket.socket(fileno=fd)
    data, sent, _, _ = control.recvmsg(16, _socket.CMSG_LEN(4))
    if data:
        [plan] = array.array("i", sent[0][2])
        wanted = marshal.loads(os.pread(plan, os.fstat(plan).st_size, 0))
        os.close(plan)
        ForkServer(control, wanted).run()
