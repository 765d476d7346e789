# ruff: noqa: E501 (scripts stand here as people write them)
"""A script that starts warm is what it is when it starts cold; and where it is not, we say so.

One battery of scripts, each run by a Python that starts for it and by one that stood ready,
and the outcomes compared whole: standard output, standard error, and how it ended. What
cannot be equal (docs/warm.md) has a test of its own that says in what it differs.

Every script notes the pid of its parent first: that is how a test knows for sure which of
the two it has seen. Nothing here sleeps, and nothing is measured.
"""

from __future__ import annotations

import array
import copy
import ctypes
import fcntl
import gzip
import mmap
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import pytest

from hookrunner.imports import imports_of
from hookrunner.launch import child, forkserver
from hookrunner.launch.process import SPARES
from hookrunner.log import Level
from hookrunner.model import Outcome, State, Why
from hookrunner.seams import Ready, Start, Stream
from tests.launching import Launching
from tests.serving import REPOSITORY, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a warm start is for Linux")

MB = 1024 * 1024
SECONDS = 30.0
"""How long anything here may take; the machine may be busy."""

PATH = os.environ.get("PATH", os.defpath)
ENV = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": "/nowhere", "HOOK_PATH": "/x", "A": "1"}
"""What fork-servers and scripts see."""

SIGN = (
    'print(__import__("os").getppid(), __import__("gc").get_freeze_count(), '
    'file=open(__import__("os").environ["SIGN"], "a"))\n'
)
"""The first line of every script: who is the parent, and was anything loaded beforehand?"""

How = Literal["cold", "warm"]
HOW: tuple[How, ...] = ("cold", "warm")


# --- the battery


@dataclass(frozen=True)
class Case:
    """A script, and what it is given."""

    text: str
    args: tuple[str, ...] = ()
    stdin: bytes = b""
    env: Mapping[str, str] = field(default_factory=dict)
    memory: int | None = None
    shield: bool = False
    needs: str = ""
    """A package that may be absent."""


BATTERY: dict[str, str | Case] = {
    # --- what it is called
    "its name": "print(__name__)",
    "its file": "print(__file__, __cached__, __doc__, __package__, __spec__, __loader__)",
    "its docstring": '"""What it is for."""\nprint(__doc__)',
    "its globals": "print(sorted(globals())); print(sorted(vars()) == sorted(dir()))",
    "its annotations": "x: int = 1\ny: 'str'\nprint(__annotations__)",
    "its builtins": "import builtins; print(__builtins__ is builtins)",
    "its loader": """
        print(type(__loader__).__module__, type(__loader__).__name__, __loader__.name)
        print(__loader__.path, __loader__.get_source("__main__") == open(__file__).read())
        print(__loader__.is_package("__main__"))
    """,
    "it is the main module": """
        import sys
        main = sys.modules["__main__"]
        print(main.__dict__ is globals(), main)
        import __main__
        print(__main__ is main)
    """,
    "functions know their module": """
        def f(): pass
        class C: pass
        print(f.__module__, C.__module__, C, f.__globals__ is globals())
    """,
    "its code": "import sys; c = sys._getframe().f_code; print(c.co_filename, c.co_name, c.co_flags)",
    "its compiled lines": "import sys; print(sys._getframe().f_lineno)",
    "future imports do not leak into it": """
        def f(x: int): pass
        print(f.__annotations__)
        print(compile("1", "x", "eval").co_flags)
    """,
    "no compiled file is left beside it": """
        import os
        print([n for n in os.listdir(os.path.dirname(__file__)) if "its" in n and "pyc" in n])
    """,
    # --- its arguments and its interpreter
    "argv": Case("import sys; print(sys.argv)", args=("a", "", "-x", "two words", "ü", "*")),
    "argv without arguments": "import sys; print(sys.argv)",
    "orig_argv": Case("import sys; print(sys.orig_argv)", args=("a", "b c")),
    "argv that is no text": Case(
        "import sys, os; print(sys.argv[1:], os.fsencode(sys.argv[1]))", args=("\udcff\udcfe",)
    ),
    "argparse": Case(
        """
        import argparse
        p = argparse.ArgumentParser()
        p.add_argument("--n", type=int)
        print(p.prog)
        p.parse_args()
        """,
        args=("--n", "x"),
    ),
    "path": "import sys; print(sys.path)",
    "flags": "import sys; print(sys.flags)",
    "options": "import sys; print(sys.warnoptions, sys._xoptions, sys.dont_write_bytecode)",
    "executable": """
        import sys
        print(sys.executable, sys.prefix, sys.base_prefix, sys.exec_prefix, sys.version)
        print(sys._base_executable, sys.platlibdir, sys.pycache_prefix, sys.implementation)
    """,
    "paths of the system": "import sysconfig, site; print(sysconfig.get_paths(), site.getsitepackages())",
    "interpreter settings": """
        import sys, threading
        print(sys.getrecursionlimit(), sys.getswitchinterval(), sys.getdefaultencoding())
        print(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors(), sys.gettrace())
        print(sys.getprofile(), threading.stack_size(), sys.is_finalizing(), sys.tracebacklimit
              if hasattr(sys, "tracebacklimit") else None, sys.int_info, sys.get_int_max_str_digits())
        print(sys.getallocatedblocks() > 0, sys.getdlopenflags(), sys.hash_info.algorithm)
        print(sys.get_asyncgen_hooks(), sys.get_coroutine_origin_tracking_depth())
    """,
    "hooks": """
        import sys
        print(sys.excepthook is sys.__excepthook__, sys.displayhook is sys.__displayhook__)
        print(sys.unraisablehook is sys.__unraisablehook__, sys.breakpointhook is sys.__breakpointhook__)
        print(hasattr(sys, "last_value"), hasattr(sys, "last_type"), hasattr(sys, "last_exc"))
        print(hasattr(sys, "ps1"), sys.exc_info(), len(sys.meta_path), len(sys.path_hooks))
    """,
    "garbage collection": """
        import gc
        print(gc.isenabled(), gc.get_threshold(), gc.get_debug(), gc.callbacks, gc.garbage)
    """,
    "cycles are collected": """
        import gc, weakref
        class C: pass
        c = C(); c.c = c
        ref = weakref.ref(c, lambda r: print("gone"))
        del c
        [[] for _ in range(3000)]
        x = [[] for _ in range(3000)]
        print(ref() is None)
    """,
    "recursion limit set": """
        import sys
        sys.setrecursionlimit(5000)
        def f(n): return n and f(n - 1)
        print(f(4000), sys.getrecursionlimit())
    """,
    "no context": """
        import sys, contextvars
        print(sys.exc_info(), sys.exception() if hasattr(sys, "exception") else None)
        print(list(contextvars.copy_context()))
        try:
            raise ValueError
        except ValueError as e:
            print(repr(e.__context__), repr(e.__cause__))
    """,
    # --- its streams
    "streams": """
        import sys
        for s in (sys.stdin, sys.stdout, sys.stderr):
            print(s.name, s.mode, s.encoding, s.errors, s.line_buffering, s.write_through, s.newlines)
            print(s.isatty(), s.fileno(), s.closed, s.readable(), s.writable(), s.seekable())
            print(type(s.buffer), type(getattr(s.buffer, "raw", s.buffer)), s.buffer.name, s.buffer.mode)
            print(getattr(s.buffer, "raw", s.buffer).closefd, s._CHUNK_SIZE)
        print(sys.stdin is sys.__stdin__, sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__)
    """,
    "stdin as text": Case(
        "import sys\nfor line in sys.stdin: print(repr(line))", stdin="one\r\ntwo\n\nthré".encode()
    ),
    "stdin as bytes": Case(
        "import sys; print(sys.stdin.buffer.read())", stdin=bytes(range(256)) * 3
    ),
    "stdin that is large": Case(
        "import sys, hashlib; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())",
        stdin=b"0123456789abcdef" * (MB // 4),
    ),
    "stdin that is not read": Case("print(1)", stdin=b"x" * MB),
    "stdin a line, then bytes": Case(
        "import sys; print(sys.stdin.readline(), sys.stdin.read(2), sys.stdin.buffer.read())",
        stdin=b"first\nsecond\nthird",
    ),
    "stdin through input": Case("print(input('? '), input()); input()", stdin=b"a\nb\n"),
    "stdin that is no UTF-8": Case(
        "import sys; print(ascii(sys.stdin.read()))", stdin=b"a\xff\xfe"
    ),
    "stdin through its descriptor": Case("import os; print(os.read(0, 5))", stdin=b"hello world"),
    "stdin is at its beginning": Case(
        "import os, sys; print(os.lseek(0, 0, 1), os.fstat(0).st_size, sys.stdin.tell())",
        stdin=b"hello",
    ),
    "stdin of JSON": Case(
        "import json, sys; print(json.load(sys.stdin))", stdin=b'{"a": [1, "\xc3\xbc"]}'
    ),
    "stdin for a child": Case("import subprocess; subprocess.run(['cat'])", stdin=b"for a child"),
    "stdin is closed": "import sys; sys.stdin.close(); print(sys.stdin.closed)",
    "output that is not ASCII": "import sys; print('ü€𝄞'); print('ü€𝄞', file=sys.stderr)",
    "output of surrogates": "import sys; print('\\udcff', file=sys.stderr); print('\\udcff')",
    "output of bytes": "import sys; sys.stdout.buffer.write(bytes(range(256))); sys.stderr.buffer.write(b'\\xff')",
    "output without a line end": "import sys; print('a', end=''); print('b', end='', file=sys.stderr)",
    "order of both streams": """
        import os, sys
        os.dup2(1, 2)
        sys.stdout.write("1 "); sys.stderr.write("2 "); sys.stdout.write("3 "); os.write(1, b"4 ")
        print("5", end=" "); sys.stdout.buffer.write(b"6 "); sys.stderr.write("7"); os.write(2, b" 8")
    """,
    "order with a child": """
        import subprocess
        print("one"); subprocess.run(["echo", "two"]); print("three")
        import os
        print("four", end=" "); os.system("printf five"); print(" six")
    """,
    "output that is large": "print('x' * 300000); import sys; print('y' * 300000, file=sys.stderr)",
    "newlines": "import sys; sys.stdout.write('a\\r\\nb\\rc\\n'); print(repr(sys.stdout.newlines))",
    "stdout reconfigured": """
        import sys
        sys.stdout.reconfigure(encoding="latin-1", errors="replace", line_buffering=True)
        print("ü€")
    """,
    "stdout buffered, not flushed": """
        import sys
        sys.stdout = open(1, "w", buffering=65536, closefd=False)
        sys.stdout.write("written at the end")
    """,
    "stdout redirected": """
        import contextlib, io, sys
        with contextlib.redirect_stdout(io.StringIO()) as f: print("kept")
        sys.stdout, keep = io.StringIO(), sys.stdout
        print("lost")
        keep.write(f.getvalue())
    """,
    "stdout None": "import sys; sys.stdout = None; print('nothing'); sys.stderr.write('end')",
    "stdout and stderr None": "import sys; sys.stdout = sys.stderr = None; 1/0",
    "stdout closed": "import sys; sys.stdout.close(); print(file=sys.stderr)",
    "stdout closed and written": "import sys; sys.stdout.close(); print('x')",
    "stderr closed": "import sys; sys.stderr.close(); 1/0",
    "descriptor 1 closed": "import os; os.close(1)",
    "descriptor 1 closed and written": "import os; os.close(1); print('x')",
    "descriptor 1 closed, written with a buffer": """
        import os, sys
        sys.stdout = open(1, "w", buffering=100)
        print("x")
        os.close(1)
    """,
    "descriptor 2 closed": "import os; os.close(2); 1/0",
    "descriptors 0, 1 and 2 closed": "import os; os.close(0); os.close(1); os.close(2); raise SystemExit(3)",
    "a flush that fails": """
        import sys
        class Out:
            closed = False
            def write(self, s): pass
            def flush(self): raise OSError("no")
        sys.stdout = Out()
    """,
    "a stream without flush": """
        import sys
        class Out:
            def write(self, s): pass
        sys.stdout = Out()
        print("x")
    """,
    "stderr that cannot be flushed": """
        import sys
        class Out:
            def write(self, s): pass
            def flush(self): raise OSError("no")
        sys.stderr = Out()
    """,
    # --- what is around it
    "environment": "import os; [print(repr(v)) for v in sorted(os.environ.items())]",
    "the order of its environment": Case(
        "import os; print(list(os.environ), os.environ)", env={"Z": "1", "A": "2", "B": "3"}
    ),
    "environment as bytes": "import os; [print(repr(v)) for v in sorted(os.environb.items())]",
    "environment of a child": "import subprocess; print(sorted(subprocess.run(['env', '-0'], capture_output=True).stdout.split(b'\\0')))",
    "environment in C": """
        import ctypes, os
        c = ctypes.CDLL(None); c.getenv.restype = ctypes.c_char_p
        print(c.getenv(b"A"), c.getenv(b"HOOK_RUN"), c.getenv(b"NO_SUCH"))
        os.environ["A"] = "2"; print(c.getenv(b"A"), os.getenv("A"))
        del os.environ["A"]; print(c.getenv(b"A"))
    """,
    "environment that is no text": Case(
        "import os; print(ascii(os.environ['ODD']), os.environb[b'ODD'], os.environ['NEW'])",
        env={"ODD": "ü\udcff", "NEW": "a\nb"},
    ),
    "its mark in /proc": "print('HOOK_RUN=k3x9' in open('/proc/self/environ').read().split(chr(0)))",
    "its command in /proc": Case(
        "print(open('/proc/self/cmdline').read().rstrip(chr(0)).split(chr(0)))",
        args=("a", "b c", "ü"),
    ),
    "its name in /proc": "print(open('/proc/self/comm').read(), open('/proc/self/stat').read().split()[1])",
    "its program in /proc": "import os; print(os.readlink('/proc/self/exe'))",
    "its folder": "import os; print(os.getcwd()); print(os.path.abspath('x'))",
    "umask": "import os; print(oct(os.umask(0)))",
    "descriptors": """
        import os
        for fd in sorted(os.listdir("/proc/self/fd"), key=int):
            try:
                os.fstat(int(fd))
            except OSError:
                continue
            print(fd, os.get_inheritable(int(fd)), os.get_blocking(int(fd)))
    """,
    "descriptors of a child": """
        import subprocess
        print(subprocess.run(["sh", "-c", "ls /proc/$$/fd"], close_fds=False, stdout=-1).stdout)
    """,
    "the next descriptor": "import os; print(os.open('/dev/null', os.O_RDONLY))",
    "kinds of its descriptors": """
        import os, stat, fcntl
        for fd in (0, 1, 2):
            print(stat.filemode(os.fstat(fd).st_mode)[0], fcntl.fcntl(fd, fcntl.F_GETFL))
    """,
    "limits": "import resource; print([resource.getrlimit(n) for n in range(16)])",
    "limits with memory": Case("import resource; print(resource.getrlimit(9))", memory=800 * MB),
    "too little memory": Case("bytearray(500 * 1024 ** 2)", memory=400 * MB),
    "nice": "import os; print(os.nice(0), os.sched_getscheduler(0), sorted(os.sched_getaffinity(0)))",
    "session and group": """
        import os
        print(os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid(), os.getpgrp() == os.getpid())
    """,
    "users": "import os; print(os.getresuid(), os.getresgid(), os.getgroups())",
    "threads of the kernel": "import os; print(len(os.listdir('/proc/self/task')))",
    "children": "import os; print(repr(open(f'/proc/self/task/{os.getpid()}/children').read()))",
    "nothing to wait for": "import os; os.wait()",
    "process settings": """
        import ctypes
        c = ctypes.CDLL(None)
        print([c.prctl(n, 0, 0, 0, 0) for n in (3, 7, 21, 23, 39)])
        v = ctypes.c_int(-1)
        print(c.prctl(2, ctypes.byref(v)), v.value, c.prctl(37, ctypes.byref(v)), v.value)
    """,
    "its capabilities and the like": """
        keep = ("Cap", "NoNewPrivs", "Seccomp", "Speculation", "Uid", "Gid", "Groups", "CoreDumping", "THP")
        print([l for l in open("/proc/self/status") if l.startswith(keep)])
        print(open("/proc/self/oom_score_adj").read(), open("/proc/self/coredump_filter").read())
    """,
    "other processes can look at it": """
        import os, subprocess
        print(subprocess.run(["sh", "-c", f"readlink /proc/{os.getpid()}/cwd"], stdout=-1).stdout)
        print(os.stat("/proc/self/environ").st_uid)
    """,
    # --- signals
    "signal handlers": """
        import signal
        for n in sorted(signal.valid_signals()):
            print(n, signal.getsignal(n))
        print(signal.getsignal(2) is signal.default_int_handler, signal.set_wakeup_fd(-1))
        print(signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.sigpending(), signal.getitimer(0))
    """,
    "signal handlers, as the kernel has them": """
        for line in open("/proc/self/status"):
            if line.startswith(("Sig", "Shd")) and not line.startswith("SigQ"):
                name, value = line.split()
                print(name, hex(int(value, 16) & ~(3 << 31)))
    """,
    "signal handlers of a child": """
        import subprocess
        print(subprocess.run(["grep", "^Sig[IB]", "/proc/self/status"], stdout=-1).stdout)
        print(subprocess.run(["grep", "^Sig[IB]", "/proc/self/status"], stdout=-1, restore_signals=False).stdout)
    """,
    "shield": Case(
        """
        import os, signal
        print(signal.getsignal(signal.SIGTERM))
        os.kill(os.getpid(), signal.SIGTERM)
        print("alive")
        """,
        shield=True,
    ),
    "TERM": "import os; print('x', flush=True); os.kill(os.getpid(), 15)",
    "KILL": "import os; os.kill(os.getpid(), 9)",
    "SEGV": "import os; os.kill(os.getpid(), 11)",
    "ABRT": "import os; os.abort()",
    "HUP": "import os; os.kill(os.getpid(), 1)",
    "USR1": "import os; os.kill(os.getpid(), 10)",
    "CHLD and WINCH": "import os; os.kill(os.getpid(), 17); os.kill(os.getpid(), 28); print('alive')",
    "INT": "import os; os.kill(os.getpid(), 2); print('not reached')",
    "INT, caught": """
        import os
        try:
            os.kill(os.getpid(), 2)
        except KeyboardInterrupt as e:
            print("caught", repr(e))
    """,
    "TERM, handled": """
        import os, signal, sys
        def handle(number, frame):
            print(number, frame.f_code.co_name)
            sys.exit(4)
        signal.signal(15, handle)
        os.kill(os.getpid(), 15)
        print("not reached")
    """,
    "a handler that raises": """
        import signal
        def handle(number, frame): raise ValueError(number)
        signal.signal(10, handle)
        signal.raise_signal(10)
    """,
    "alarm": "import signal; signal.alarm(1); signal.pause()",
    "alarm, handled": """
        import signal
        def late(*_): raise TimeoutError("late")
        signal.signal(signal.SIGALRM, late)
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        signal.pause()
    """,
    "sigwait": """
        import os, signal
        signal.pthread_sigmask(signal.SIG_BLOCK, [10])
        os.kill(os.getpid(), 10)
        print(signal.sigwait([10]))
    """,
    "PIPE is ignored": """
        import os
        r, w = os.pipe()
        os.close(r)
        os.write(w, b"x")
    """,
    "PIPE in a child": """
        import subprocess
        p = subprocess.run("yes | head -n 1; echo ${PIPESTATUS[@]}", shell=True, executable="/bin/bash", stdout=-1)
        print(p)
    """,
    "signals at its end": """
        import atexit, os, signal
        signal.signal(15, lambda n, f: print("handled", n))
        atexit.register(lambda: os.kill(os.getpid(), 15))
    """,
    # --- how it ends
    "nothing": "",
    "exit None": "import sys; sys.exit()",
    "exit 0": "import sys; sys.exit(0)",
    "exit 3": "import sys; sys.exit(3)",
    "exit 255": "import sys; sys.exit(255)",
    "exit 256": "import sys; sys.exit(256)",
    "exit 259": "import sys; sys.exit(259)",
    "exit -1": "import sys; sys.exit(-1)",
    "exit of a huge number": "import sys; sys.exit(2 ** 80)",
    "exit of a huge negative number": "import sys; sys.exit(-2 ** 80)",
    "exit 2 ** 32 + 5": "import sys; sys.exit(2 ** 32 + 5)",
    "exit True": "import sys; sys.exit(True)",
    "exit False": "import sys; sys.exit(False)",
    "exit of a text": "import sys; sys.exit('ü text')",
    "exit of an empty text": "import sys; sys.exit('')",
    "exit of a surrogate": "import sys; sys.exit('a\\udcff')",
    "exit of an object": """
        import sys
        class C:
            def __str__(self): return "an object"
            def __repr__(self): return "its repr"
        sys.exit(C())
    """,
    "exit of an object without a text": """
        import sys
        class C:
            def __str__(self): raise ValueError
        sys.exit(C())
    """,
    "exit of a tuple": "import sys; sys.exit((1, 2))",
    "exit of several": "raise SystemExit(1, 2)",
    "exit 1.5": "import sys; sys.exit(1.5)",
    "exit of an enum": "import sys, enum\nclass E(enum.IntEnum):\n    A = 7\nsys.exit(E.A)",
    "exit by the builtin": "exit(5)",
    "quit": "quit()",
    "exit closes stdin": Case(
        "import sys, atexit\natexit.register(lambda: print(sys.stdin.closed))\nexit()", stdin=b"x"
    ),
    "exit by raise": "raise SystemExit",
    "exit of a changed code": """
        try:
            raise SystemExit(1)
        except SystemExit as e:
            e.code = 9
            raise
    """,
    "exit of a subclass": "class E(SystemExit): pass\nraise E(6)",
    "exit of a subclass with its own code": "class E(SystemExit):\n    code = 8\nraise E",
    "exit of a code that raises": """
        class E(SystemExit):
            @property
            def code(self): raise ValueError("no code")
        raise E(3)
    """,
    "exit in a thread": """
        import sys, threading
        t = threading.Thread(target=lambda: sys.exit(3)); t.start(); t.join()
        print("alive")
    """,
    "exit in atexit": "import atexit, sys; atexit.register(sys.exit, 5); print('x')",
    "exit in atexit after an exit": "import atexit, sys; atexit.register(sys.exit, 5); sys.exit(4)",
    "exit with a text in atexit": "import atexit, sys; atexit.register(lambda: print('first')); atexit.register(sys.exit, 'late')",
    "exit while stdout is a closed file": "import sys; sys.stdout.close(); sys.exit(3)",
    "_exit": "import os; print('x', end=''); os._exit(9)",
    "_exit without flush": "import os, sys; sys.stdout = open(1, 'w'); print('lost', end=''); os._exit(0)",
    "120": """
        import os, sys
        sys.stdout = open(os.open("/dev/full", os.O_WRONLY), "w")
        print("x")
    """,
    "120 after exit 3": """
        import os, sys
        sys.stdout = open(os.open("/dev/full", os.O_WRONLY), "w")
        print("x")
        sys.exit(3)
    """,
    "120 after an exception": """
        import os, sys
        sys.stdout = open(os.open("/dev/full", os.O_WRONLY), "w")
        print("x")
        1 / 0
    """,
    "descriptor 1 on a full device": """
        import os
        os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
        print("x")
    """,
    "a pipe that nobody reads": """
        import os, sys
        r, w = os.pipe(); os.dup2(w, 1); os.close(w); os.close(r)
        print("x")
    """,
    "a buffered pipe that nobody reads": """
        import os, sys
        r, w = os.pipe(); os.dup2(w, 1); os.close(w); os.close(r)
        sys.stdout = open(1, "w")
        print("x")
    """,
    # --- exceptions that nobody catches
    "an exception": "def f(): return 1 / 0\nf()",
    "an exception at the top": "x = {}\nx['a']['b']",
    "an exception with a note": "e = ValueError('v'); e.add_note('a note'); raise e",
    "an exception with a cause": """
        try:
            try:
                1 / 0
            except ZeroDivisionError as e:
                raise KeyError("k") from e
        except KeyError:
            raise ValueError("v")
    """,
    "an exception from None": "try:\n    1 / 0\nexcept ZeroDivisionError:\n    raise ValueError from None",
    "a group of exceptions": """
        def f(): raise ValueError(1)
        try:
            f()
        except ValueError as e:
            raise ExceptionGroup("several", [e, TypeError(2), ExceptionGroup("inner", [OSError(3)])])
    """,
    "an exception without a text": """
        class E(Exception):
            def __str__(self): raise RuntimeError
        raise E
    """,
    "an exception of another module's name": "class E(Exception): pass\nE.__module__ = 'a.b'\nraise E('x')",
    "an exception that is no Exception": "class E(BaseException): pass\nraise E('x')",
    "an exception of not ASCII": "raise ValueError('ü€\\udcff')",
    "an exception in a nested function": """
        class C:
            def m(self):
                return [self.n(x) for x in range(2)]
            def n(self, x):
                return (lambda: x.nothing)()
        C().m()
    """,
    "an exception in exec": "exec(compile('\\n\\nx = 1 / 0', '<made>', 'exec'))",
    "an exception in a generator": "def g():\n    yield 1\n    raise StopIteration\nlist(g())",
    "a suggestion": "import json\njson.dunps({})",
    "a suggestion of a name": "value = 1\nprint(valeu)",
    "KeyboardInterrupt": "import atexit; atexit.register(print, 'at exit'); raise KeyboardInterrupt",
    "KeyboardInterrupt with a text": "raise KeyboardInterrupt('text')",
    "KeyboardInterrupt, a subclass": "class K(KeyboardInterrupt): pass\nraise K",
    "KeyboardInterrupt with its signal ignored": "import signal; signal.signal(2, signal.SIG_IGN); raise KeyboardInterrupt",
    "KeyboardInterrupt with its signal blocked": "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [2]); raise KeyboardInterrupt",
    "KeyboardInterrupt in atexit": "import atexit\n@atexit.register\ndef f(): raise KeyboardInterrupt",
    "a hook of its own": """
        import sys
        def hook(kind, value, tb):
            print("hook", kind.__name__, value, tb.tb_lineno, tb.tb_frame.f_code.co_name, tb.tb_next)
        sys.excepthook = hook
        raise ValueError("v")
    """,
    "a hook that raises": """
        import sys
        def hook(*a): raise TypeError("in the hook")
        sys.excepthook = hook
        raise ValueError("v")
    """,
    "a hook that exits": "import sys\ndef hook(*a): sys.exit(7)\nsys.excepthook = hook\nraise ValueError",
    "a hook that prints nothing": "import sys\nsys.excepthook = lambda *a: None\nraise ValueError",
    "no hook": "import sys\ndel sys.excepthook\nraise ValueError('v')",
    "a hook of None": "import sys\nsys.excepthook = None\nraise ValueError('v')",
    "a hook and KeyboardInterrupt": "import sys\nsys.excepthook = lambda *a: print(a[0])\nraise KeyboardInterrupt",
    "a limit to tracebacks": "import sys\nsys.tracebacklimit = 1\ndef f(): g()\ndef g(): 1 / 0\nf()",
    "no traceback at all": "import sys\nsys.tracebacklimit = 0\n1 / 0",
    "the last exception": """
        import atexit, sys, traceback
        @atexit.register
        def show():
            print(sys.last_type, sys.last_value, sys.last_traceback.tb_lineno)
            traceback.print_last(file=sys.stdout)
        raise ValueError("v")
    """,
    "the last exception of an exit": "import atexit, sys\natexit.register(lambda: print(hasattr(sys, 'last_type')))\nsys.exit(3)",
    "a traceback that is printed": """
        import traceback
        def f(): 1 / 0
        try:
            f()
        except ZeroDivisionError as e:
            traceback.print_exc()
            print(traceback.format_exc(), traceback.extract_tb(e.__traceback__))
            print(traceback.format_exception(e))
    """,
    "a traceback through a module": """
        import json
        json.loads("{")
    """,
    "a traceback through a helper": "import warmhelper\nwarmhelper.fail(3)",
    "a helper that cannot be imported": "import warmbroken",
    "a helper that raises": "import warmraising",
    "a helper that exits": "import warmexiting",
    "a module that does not exist": "import no_such_module",
    "a name that does not exist": "from json import no_such_name",
    "an exception in __del__": """
        class C:
            def __del__(self): raise ValueError("in del")
        c = C()
        del c
        print("alive")
    """,
    "an exception in __del__ at the end": """
        class C:
            def __del__(self): raise ValueError("in del")
        c = C()
    """,
    "a C function that raises at exit": "import atexit, os; atexit.register(os.remove, '/no/such')",
    "an exception at exit, and a hook": """
        import atexit, sys
        sys.unraisablehook = lambda u: print(u.exc_value, u.exc_traceback, u.object)
        atexit.register(int, "x")
    """,
    "an exception in a callback": """
        import weakref
        class C: pass
        c = C()
        def gone(r): raise ValueError("in a callback")
        r = weakref.ref(c, gone)
        del c
    """,
    "an unraisable hook": """
        import sys
        def hook(u): print("unraisable", u.exc_type, u.exc_value, u.err_msg)
        sys.unraisablehook = hook
        class C:
            def __del__(self): raise ValueError("in del")
        C()
    """,
    "an assertion": "x = 3\nassert x == 4, f'x is {x}'",
    "a recursion that is told briefly": """
        import sys
        def f(): f()
        try:
            f()
        except RecursionError as e:
            print(e)
    """,
    "an OSError": "open('/no/such/file')",
    "out of memory": Case("x = 'x' * (1 << 40)", memory=600 * MB),
    # --- a script that is no Python
    "no syntax": Case("def f(:\n    pass"),
    "no end of a text": "x = 'abc",
    "no indentation": "if True:\nprint(1)",
    "tabs and blanks": "if True:\n        x = 1\n\tprint(1)",
    "return outside": "return 3",
    "await outside": "await x",
    "a bad encoding": "# -*- coding: no-such -*-",
    "a null byte": "x = 1\0",
    "a syntax warning": "x = 1\nif x is 1: print('\\d')",
    # --- its end
    "atexit order": """
        import atexit
        for n in range(3): atexit.register(print, n, "at exit")
        print("main")
    """,
    "atexit that raises": """
        import atexit
        atexit.register(print, "first registered")
        @atexit.register
        def f(): raise ValueError("in atexit")
        atexit.register(print, "last registered")
    """,
    "atexit that registers": """
        import atexit
        atexit.register(lambda: (print(1), atexit.register(print, 2)))
    """,
    "atexit sees the module": "import atexit\nx = 5\natexit.register(lambda: print(x, __name__))",
    "atexit after an exception": "import atexit; atexit.register(print, 'at exit'); 1 / 0",
    "finalizers": """
        import weakref, atexit
        class C: pass
        c = C()
        atexit.register(print, "at exit 1")
        weakref.finalize(c, print, "finalized")
        weakref.finalize(c, print, "not at exit").atexit = False
        atexit.register(print, "at exit 2")
    """,
    "__del__ of globals": """
        class C:
            def __init__(self, n): self.n = n
            def __del__(self): print("del", self.n)
        a = C("a"); b = C("b"); _c = C("_c"); d = [C("in a list")]
        print("end")
    """,
    "__del__ of a cycle": """
        class C:
            def __del__(self): print("del")
        c = C(); c.c = c
    """,
    "__del__ sees other globals": """
        import os
        class C:
            def __del__(self): print(os is None, helper is None)
        def helper(): pass
        c = C()
    """,
    "__del__ of what a function holds": """
        class C:
            def __del__(self): print("del")
        def f(c=C()): pass
        f.c = C()
    """,
    "__del__ of what the builtins hold": """
        import builtins
        class C:
            def __del__(self): print("del")
        builtins.c = C()
    """,
    "__del__ of what sys holds": """
        import sys
        class C:
            def __del__(self): print("del")
        sys.c = C()
    """,
    "__del__ of what a helper holds": "import warmholding",
    "__del__ of a thread's": """
        import threading
        class C:
            def __del__(self): print("del")
        local = threading.local(); local.c = C()
    """,
    "__del__ of a generator": """
        def g():
            try:
                yield 1
            finally:
                print("closed")
        x = g(); next(x)
    """,
    "__del__ after an exception": """
        class C:
            def __del__(self): print("del")
        def f():
            c = C()
            1 / 0
        f()
    """,
    "__del__ after an exit": """
        import sys
        class C:
            def __del__(self): print("del")
        def f():
            c = C()
            sys.exit(2)
        f()
    """,
    "__del__ prints after stdout is replaced": """
        import io, sys
        class C:
            def __del__(self): print("del")
        c = C()
        sys.stdout = io.StringIO()
    """,
    "finalizing is said": """
        import sys, atexit
        atexit.register(lambda: print(sys.is_finalizing()))
    """,
    "an unclosed file": """
        import os
        path = os.path.join(os.environ["TMPDIR"], "unclosed")
        import atexit, subprocess
        f = open(path, "w")
        f.write("content")
        if os.fork() == 0:
            os._exit(0)
        os.wait()
        print(os.path.getsize(path))
    """,
    "a temporary folder not cleaned": """
        import tempfile, os
        t = tempfile.TemporaryDirectory()
        print(os.path.dirname(t.name) == os.environ["TMPDIR"])
    """,
    "a pool not closed": """
        import concurrent.futures
        pool = concurrent.futures.ThreadPoolExecutor(2)
        f = pool.submit(print, "in the pool")
    """,
    "a coroutine never awaited": """
        async def f(): pass
        c = f()
        del c
    """,
    # --- threads
    "threads that go on": """
        import threading
        go = threading.Event()
        def late():
            go.wait()
            print("late", flush=True)
        threading.Thread(target=late).start()
        class Set(threading.Thread): pass
        import atexit
        atexit.register(print, "at exit")
        threading._register_atexit(go.set) if hasattr(threading, "_register_atexit") else go.set()
        print("main")
    """,
    "a daemon is cut off": """
        import threading
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        print("main")
    """,
    "a daemon that prints without end": """
        import threading, sys
        said = threading.Event()
        def chatter():
            while True:
                sys.stderr.write("")
                said.set()
        threading.Thread(target=chatter, daemon=True).start()
        said.wait()
    """,
    "a daemon that uses the module": """
        import threading
        on = threading.Event()
        def g(): on.set()
        def f():
            while True:
                g()
        for _ in range(3): threading.Thread(target=f, daemon=True).start()
        on.wait()
        class C:
            def __del__(self): print("del")
        c = C()
        import sys
        sys.exit(3)
    """,
    "a daemon and 120": """
        import os, sys, threading
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        sys.stdout = open(os.open("/dev/full", os.O_WRONLY), "w")
        print("x")
    """,
    "a daemon and an exception": """
        import atexit, threading
        atexit.register(print, "at exit")
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        1 / 0
    """,
    "INT while a thread goes on": """
        import os, threading
        def late():
            threading.main_thread().join()
            print("late")
        threading.Thread(target=late).start()
        raise KeyboardInterrupt
    """,
    "the main thread": """
        import threading
        t = threading.main_thread()
        print(t.name, t is threading.current_thread(), t.ident == threading.get_ident(), t.is_alive())
        print(t.native_id == threading.get_native_id(), t.daemon, threading.active_count())
        print(threading.enumerate() == [t], t)
    """.replace(", t)", ")"),
    "the main thread is the process": "import os, threading; print(threading.get_native_id() == os.getpid())",
    "names of threads": "import threading; print(threading.Thread().name, threading.Thread(target=print).name)",
    "an exception in a thread": """
        import threading
        def f(): 1 / 0
        t = threading.Thread(target=f); t.start(); t.join()
        print("alive")
    """,
    "a hook for threads": """
        import threading
        threading.excepthook = lambda a: print(a.exc_type, a.thread.name)
        t = threading.Thread(target=lambda: 1 / 0, name="T"); t.start(); t.join()
    """,
    "a timer": "import threading; threading.Timer(0.01, print, ['timer']).start()",
    "an exit while a thread goes on": """
        import sys, threading
        go = threading.Event()
        def late():
            threading.main_thread().join()
            print("late")
        threading.Thread(target=late).start()
        sys.exit(3)
    """,
    "an exception while a thread goes on": """
        import threading
        def late():
            threading.main_thread().join()
            print("late")
        threading.Thread(target=late).start()
        1 / 0
    """,
    "a thread started at exit": """
        import atexit, threading
        @atexit.register
        def f():
            t = threading.Thread(target=print, args=("in a thread",)); t.start(); t.join()
    """,
    "_thread": """
        import _thread
        l = _thread.allocate_lock(); l.acquire()
        _thread.start_new_thread(l.release, ())
        l.acquire(); print(_thread._count())
    """,
    "context of a thread": "import threading, contextvars; print(threading.current_thread().name)",
    # --- other processes
    "subprocess.run": """
        import subprocess
        print(subprocess.run(["sh", "-c", "echo out; echo err >&2; exit 3"], capture_output=True, text=True))
        subprocess.run(["false"], check=True)
    """,
    "subprocess with input": "import subprocess; print(subprocess.check_output(['cat'], input=b'abc'))",
    "subprocess with a timeout": """
        import subprocess
        try:
            subprocess.run(["sleep", "1000"], timeout=0.05)
        except subprocess.TimeoutExpired as e:
            print(e.cmd)
    """,
    "Popen": """
        import subprocess
        p = subprocess.Popen(["cat"], stdin=-1, stdout=-1)
        print(p.communicate(b"x"), p.returncode)
        p = subprocess.Popen(["sleep", "1000"]); p.terminate(); print(p.wait())
    """,
    "Popen of Python": """
        import subprocess, sys
        code = "import sys, os; print(__name__, sys.argv, sys.path[1:], sys.flags, sorted(os.environ.items()))"
        subprocess.run([sys.executable, "-c", code, "x"])
    """,
    "fork": """
        import os, sys
        pid = os.fork()
        if pid == 0:
            print("child", __name__, os.getpid() != os.getpgrp())
            sys.exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """,
    "fork, and both come to the end": """
        import atexit, os
        class C:
            def __del__(self): print("del")
        c = C()
        atexit.register(print, "at exit")
        if os.fork():
            os.wait()
        print("end")
    """,
    "fork and an exception": "import os\nif os.fork():\n    print(os.wait()[1])\nelse:\n    1 / 0",
    "system": "import os; print(os.system('echo x; exit 3'), os.popen('echo y').read())",
    "exec": "import os, sys; print('before', flush=True); os.execvp('sh', ['sh', '-c', 'echo after; exit 5'])",
    "exec of Python": """
        import os, sys
        if len(sys.argv) > 1:
            print("again", sys.argv[1:])
        else:
            os.execv(sys.executable, [sys.executable, __file__, "x"])
    """,
    "posix_spawn": """
        import os
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 4"], os.environ)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """,
    "register_at_fork": """
        import os
        os.register_at_fork(before=lambda: print("before"), after_in_parent=lambda: print("parent"))
        if os.fork() == 0:
            os._exit(0)
        os.wait()
    """,
    "multiprocessing by fork": """
        import multiprocessing as mp, sys
        def f(q): q.put((__name__, mp.current_process().name, mp.parent_process().name)); sys.exit(3)
        if __name__ == "__main__":
            ctx = mp.get_context("fork")
            q = ctx.Queue(); p = ctx.Process(target=f, args=(q,)); p.start()
            print(q.get()); p.join(); print(p.exitcode, mp.current_process().name, mp.parent_process())
    """,
    "multiprocessing by spawn": """
        import multiprocessing as mp, sys
        print("at the top", __name__)
        def f(q): q.put((__name__, mp.current_process().name, sys.argv == [__file__, "x"], __file__))
        if __name__ == "__main__":
            ctx = mp.get_context("spawn")
            q = ctx.Queue(); p = ctx.Process(target=f, args=(q,)); p.start()
            print(q.get()); p.join(); print(p.exitcode)
    """,
    "multiprocessing by forkserver": """
        import multiprocessing as mp
        def f(q): q.put((__name__, mp.current_process().name))
        if __name__ == "__main__":
            ctx = mp.get_context("forkserver")
            q = ctx.Queue(); p = ctx.Process(target=f, args=(q,)); p.start()
            print(q.get()); p.join(); print(p.exitcode)
    """,
    "a pool of processes": """
        import multiprocessing as mp
        def f(x): return x * x
        if __name__ == "__main__":
            with mp.Pool(2) as pool: print(pool.map(f, range(5)))
            with mp.get_context("spawn").Pool(1) as pool: print(pool.map(f, range(5)))
    """,
    "the way of multiprocessing": """
        import multiprocessing as mp
        print(mp.get_start_method(allow_none=True), mp.get_start_method(), mp.active_children())
        mp.set_start_method("spawn", force=True)
        print(mp.current_process().name, mp.current_process().daemon, mp.get_logger().level)
        print(mp.Process().name)
    """,
    "a process that is not joined": """
        import multiprocessing as mp
        if __name__ == "__main__":
            mp.get_context("fork").Process(target=print, args=("child",)).start()
    """,
    "a process that raises": """
        import multiprocessing as mp
        def f(): raise ValueError("in the child")
        if __name__ == "__main__":
            p = mp.get_context("fork").Process(target=f, name="P"); p.start(); p.join(); print(p.exitcode)
    """,
    "a manager": """
        import multiprocessing as mp
        if __name__ == "__main__":
            with mp.get_context("fork").Manager() as m:
                d = m.dict(); d["a"] = 1; print(dict(d))
    """,
    "shared memory": """
        from multiprocessing import shared_memory
        m = shared_memory.SharedMemory(create=True, size=10); m.buf[0] = 5; print(m.buf[0])
        m.close(); m.unlink()
    """,
    "pools of concurrent.futures": """
        from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
        if __name__ == "__main__":
            with ThreadPoolExecutor(2) as p: print(list(p.map(abs, [-1, -2])))
            with ProcessPoolExecutor(2) as p: print(list(p.map(abs, [-1, -2])), p.submit(int, "5").result())
            with ThreadPoolExecutor(2) as p: p.submit(int, "x").result()
    """,
    # --- asyncio
    "asyncio": """
        import asyncio
        async def main():
            p = await asyncio.create_subprocess_exec("sh", "-c", "echo x; exit 3", stdout=-1)
            print(await p.communicate(), p.returncode)
            print(await asyncio.gather(*(asyncio.sleep(0, n) for n in range(3))))
            print(await asyncio.to_thread(int, "7"), asyncio.current_task().get_name())
        asyncio.run(main())
    """,
    "asyncio, an exception": "import asyncio\nasync def main(): 1 / 0\nasyncio.run(main())",
    "asyncio, an exception nobody fetches": """
        import asyncio
        async def f(): 1 / 0
        async def main():
            t = asyncio.create_task(f(), name="T")
            await asyncio.sleep(0)
        asyncio.run(main())
    """,
    "asyncio, INT": """
        import asyncio, os
        async def main():
            os.kill(os.getpid(), 2)
            await asyncio.sleep(1000)
        asyncio.run(main())
    """,
    "asyncio, TERM": """
        import asyncio, os, signal
        async def main():
            done = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(15, done.set)
            os.kill(os.getpid(), 15)
            await done.wait(); print("handled")
        asyncio.run(main())
    """,
    # --- modules
    "a helper beside it": "import warmhelper; print(warmhelper.VALUE, warmhelper.__file__, warmhelper.__name__)",
    "a package beside it": "from warmpackage.inner import NAME; import warmpackage; print(NAME, warmpackage.__path__)",
    "all of a module": "from json import *\nfrom os.path import *\nprint(dumps({}), join('a', 'b'))",
    "all of a helper": "from warmhelper import *\nprint(VALUE)",
    "itself, imported": """
        import importlib, sys
        print(__name__)
        if __name__ == "__main__":
            name = __file__.rpartition("/")[2][:-3]
            print(importlib.import_module(name) is sys.modules["__main__"])
    """,
    "reload": "import importlib, json, warmhelper; print(importlib.reload(json) is json, importlib.reload(warmhelper).VALUE)",
    "runpy": """
        import runpy, os
        print(runpy.run_path(os.path.join(os.path.dirname(__file__), "warmhelper.py"))["VALUE"])
        print(sorted(runpy.run_module("warmhelper", run_name="__main__")))
    """,
    "modules under its feet": "import sys; del sys.modules['os']; import os; print(os.getcwd())",
    "a module of its own at the end": """
        import sys
        mine = sys.modules["mine"] = type(sys)("mine")
        exec("class C:\\n    def __del__(self): print('del', one is None)\\none = C()", vars(mine))
        del mine
    """,
    "the same, when a known one was taken out": """
        import sys
        del sys.modules["codecs"], sys.modules["io"]
        mine = sys.modules["mine"] = type(sys)("mine")
        exec("class C:\\n    def __del__(self): print('del', one is None)\\none = C()", vars(mine))
        del mine
    """,
    "the same, when all known ones were put back behind it": """
        import sys
        mine = sys.modules["mine"] = type(sys)("mine")
        exec("class C:\\n    def __del__(self): print('del', one is None)\\none = C()", vars(mine))
        del mine
        for name in [name for name in sys.modules if name != "mine"]:
            sys.modules[name] = sys.modules.pop(name)
    """,
    "without its main module": "import sys; del sys.modules['__main__']; print(sorted(vars())[:3])",
    "sys.modules replaced": """
        import sys
        class C:
            def __del__(self): print("del", one is None)
        one = C()
        sys.modules = {}
    """,
    "sys.modules replaced by no dictionary": """
        import collections, sys
        class C:
            def __del__(self): print("del", one is None)
        one = C()
        sys.modules = collections.ChainMap({}, sys.modules)
    """,
    "without sys.modules": """
        import sys
        class C:
            def __del__(self): print("del", one is None)
        one = C()
        del sys.modules
    """,
    "without builtins that are needed at its end": """
        import builtins
        builtins.enumerate = None
        print("end")
    """,
    "opening files ends it": "import os\nos.open = lambda *a, **k: os._exit(5)",
    "no module of ours": "import sys; print([m for m in sys.modules if 'hookrunner' in m])",
    "importing us": "import hookrunner",
    "find_spec of itself": "import importlib.util\ntry:\n    importlib.util.find_spec('__main__')\nexcept ValueError as e:\n    print(e)",
    "pkgutil": "import pkgutil; print(pkgutil.get_data('json', '__init__.py')[:20])",
    "importlib.resources": "import importlib.resources as r; print(r.files('json').joinpath('decoder.py').is_file())",
    "importlib.metadata": "import importlib.metadata as m; print(m.version('pip'))",
    # --- what it knows of itself
    "inspect": """
        import inspect
        def own():
            '''Doc.'''
            return 1
        class C:
            x = 1
        print(inspect.getsource(own), inspect.getsource(C), inspect.getfile(own), inspect.getmodule(own))
        print(inspect.getsourcelines(own), inspect.signature(own), inspect.getsource(inspect.getmodule(own))[:20])
        print(inspect.currentframe().f_code.co_name, inspect.currentframe().f_locals is globals())
    """,
    "linecache": "import linecache; print(repr(linecache.getline(__file__, 2)))",
    "pickling": """
        import pickle
        class C:
            def __init__(self, x): self.x = x
        def f(): return 3
        print(pickle.loads(pickle.dumps(C(5))).x, pickle.loads(pickle.dumps(f))(), pickle.dumps(C))
    """,
    "a dataclass": """
        from __future__ import annotations
        import dataclasses, typing
        @dataclasses.dataclass(order=True)
        class D:
            x: int
            y: typing.ClassVar[int] = 3
            z: list[str] = dataclasses.field(default_factory=list)
        print(D(1), D(1) < D(2), dataclasses.asdict(D(1)), [f.name for f in dataclasses.fields(D)])
        print(typing.get_type_hints(D))
    """,
    "type hints": """
        from __future__ import annotations
        import typing
        class Node:
            next: Node | None
        def f(x: Node) -> "list[Node]": ...
        print(typing.get_type_hints(f), typing.get_type_hints(Node))
    """,
    "an enum and a named tuple": """
        import enum, collections, typing
        class E(enum.Enum):
            A = 1
        P = collections.namedtuple("P", "x y")
        class T(typing.NamedTuple):
            x: int
        print(E.A, repr(E.A), P(1, 2), P.__module__, T(1), T.__module__)
    """,
    "doctest": """
        '''
        >>> 1 + 1
        3
        '''
        import doctest
        print(doctest.testmod())
    """,
    "unittest": """
        import unittest, sys
        class T(unittest.TestCase):
            def test_a(self): self.assertEqual(1, 1)
        r = unittest.main(exit=False, verbosity=0, testRunner=unittest.TextTestRunner(stream=open("/dev/null", "w")))
        print(r.result)
    """,
    "doc of the main module": "'''Doc.'''\nimport pydoc; print(pydoc.getdoc(__import__('__main__')))",
    # --- modules with a memory
    "warnings": """
        import warnings, sys
        print(len(warnings.filters), warnings.showwarning is warnings._showwarning_orig)
        for _ in range(2): warnings.warn("a warning")
        warnings.warn("deprecated", DeprecationWarning)
        warnings.warn("other", ResourceWarning)
        print(sorted(__warningregistry__)[:1])
    """,
    "warnings as errors": "import warnings\nwarnings.simplefilter('error')\nwarnings.warn('w')",
    "filters of warnings": "import warnings; [print(f) for f in warnings.filters]",
    "logging": """
        import logging
        log = logging.getLogger()
        print(log.level, log.handlers, logging.lastResort, logging.root.manager.disable, sorted(log.manager.loggerDict))
        log.info("not seen"); log.warning("seen"); logging.getLogger("a.b").error("of a.b")
    """.replace(", sorted(log.manager.loggerDict)", ""),
    "logging, configured": """
        import logging, sys
        logging.basicConfig(level="INFO", format="%(levelname)s %(name)s %(processName)s %(threadName)s %(filename)s:%(lineno)d %(funcName)s %(message)s")
        logging.info("hello %s", "there")
        try:
            1 / 0
        except ZeroDivisionError:
            logging.exception("it failed")
    """,
    "logging to a stream": "import logging, sys; h = logging.StreamHandler(); print(h.stream is sys.stderr, h)",
    "logging's clock begins now": """
        import logging, time
        print(time.time() - logging._startTime < 5)
        f = logging.Formatter("%(relativeCreated)d")
        print(int(f.format(logging.makeLogRecord({"msg": ""}))) if False else "")
    """,
    "decimals": "import decimal; print(decimal.getcontext(), decimal.Decimal(1) / 3)",
    "locale": """
        import locale
        print(locale.setlocale(locale.LC_ALL), locale.getlocale(), locale.getpreferredencoding())
        print(locale.localeconv()["decimal_point"], locale.setlocale(locale.LC_ALL, ""))
    """,
    "time zone": Case(
        "import time, datetime; print(time.tzname, time.timezone, datetime.datetime.fromtimestamp(0), time.localtime(0).tm_hour)",
        env={"TZ": "Asia/Kolkata"},
    ),
    "no time zone": "import time, datetime; print(time.tzname, time.timezone, time.altzone, time.daylight, datetime.datetime.fromtimestamp(0).astimezone())",
    "time zone, set": "import os, time; os.environ['TZ'] = 'America/Lima'; time.tzset(); print(time.tzname, time.localtime(0).tm_hour)",
    "zoneinfo": "import zoneinfo, datetime; print(datetime.datetime(2020, 7, 1, tzinfo=zoneinfo.ZoneInfo('Europe/Berlin')))",
    "processor time begins now": "import time, os; print(time.process_time() < 5, sum(os.times()[2:4]))",
    "random with a seed": "import random; random.seed(5); print(random.random(), random.Random(3).random())",
    "re": "import re; print(re.sub(r'(?P<a>\\\\d)', '<\\\\g<a>>', 'a1b2'), re.compile('x', re.I))",
    "json and datetime": "import json, datetime; print(json.dumps({'d': str(datetime.date(2020, 1, 2))}))",
    "temporary files": """
        import os, tempfile
        print(tempfile.gettempdir() == os.environ["TMPDIR"], tempfile.tempdir == os.environ["TMPDIR"])
        with tempfile.NamedTemporaryFile() as f: print(os.path.dirname(f.name) == os.environ["TMPDIR"])
        print(tempfile.mkstemp()[0], tempfile.gettempprefix())
    """,
    "home": "import os, pathlib; print(os.path.expanduser('~'), pathlib.Path.home(), pathlib.Path.cwd())",
    "socket": "import socket; a, b = socket.socketpair(); a.send(b'x'); print(b.recv(5), socket.getdefaulttimeout())",
    "sqlite": "import sqlite3; print(sqlite3.connect(':memory:').execute('select 1 + 1').fetchall())",
    "urllib without network": "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:1/')",
    "urllib's proxies": Case(
        "import urllib.request; print(urllib.request.getproxies())",
        env={"http_proxy": "http://p:1"},
    ),
    "csv, io, collections": "import csv, io, collections; print(list(csv.reader(io.StringIO('a,b'))), csv.list_dialects(), collections.Counter('aab'))",
    "mimetypes": "import mimetypes; print(mimetypes.inited, mimetypes.guess_type('a.html'))",
    "faulthandler": "import faulthandler; print(faulthandler.is_enabled()); faulthandler.enable()",
    "a crash": "import ctypes; ctypes.string_at(0)",
    "tracemalloc": "import tracemalloc; print(tracemalloc.is_tracing())",
    "ctypes": "import ctypes; print(ctypes.CDLL(None).getpid() == __import__('os').getpid(), ctypes.get_errno())",
    "getpass and pwd": "import pwd, os; print(pwd.getpwuid(os.getuid()).pw_name)",
    "breakpoint without a terminal": Case("x = 1\nbreakpoint()\nprint(x)", stdin=b"p x\nc\n"),
    "code": Case("import code; code.interact(banner='hi', local={'x': 5})", stdin=b"x + 1\n"),
    "help": "help(len)",
    "copyright and the like": "print(type(exit), type(copyright), type(license))",
    "an audit hook that tells of files": """
        import sys
        def tell(event, args, write=sys.stdout.write):
            if event == "open": write(f"{args}\\n")
        sys.addaudithook(tell)
    """,
    "audit hooks": "import sys\nsys.addaudithook(lambda e, a: e == 'mine' and print(e, a))\nsys.audit('mine', 1)",
    "tracing": """
        import sys
        seen = []
        def trace(frame, event, arg):
            seen.append((event, frame.f_code.co_name)); return trace
        def f(): return 1
        sys.settrace(trace); f(); sys.settrace(None)
        print(seen)
    """,
    "tracing, to the end": """
        import sys
        def trace(frame, event, arg): print(frame.f_code.co_name, event, file=sys.__stdout__)
        def f(): return 1
        sys.settrace(trace)
        f()
    """,
    "cProfile": "import cProfile\np = cProfile.Profile()\np.runcall(len, '')\nprint(p.getstats()[0].callcount)",
    # --- heavy ones
    "numpy": Case(
        "import numpy as np; print(np.arange(6).reshape(2, 3) @ np.ones((3, 2)))", needs="numpy"
    ),
    "numpy, a large product": Case(
        "import numpy as np\na = np.ones((600, 600))\nprint((a @ a).sum(), (a @ a @ a).sum())",
        needs="numpy",
    ),
    "numpy in processes": Case(
        """
        import multiprocessing as mp
        import numpy as np
        def f(n):
            a = np.ones((n, n)); return (a @ a).sum()
        if __name__ == "__main__":
            print(f(300))
            with mp.get_context("fork").Pool(2) as p: print(p.map(f, [200, 300]))
            with mp.get_context("spawn").Pool(1) as p: print(p.map(f, [200]))
            print(f(300))
        """,
        needs="numpy",
    ),
    "numpy in threads": Case(
        """
        import threading
        import numpy as np
        def f(): a = np.ones((300, 300)); assert (a @ a).sum() == 300**3
        ts = [threading.Thread(target=f) for _ in range(3)]
        for t in ts: t.start()
        for t in ts: t.join()
        """,
        needs="numpy",
    ),
    "numpy, an exception": Case("import numpy as np\nnp.ones(3) @ np.ones(4)", needs="numpy"),
    "numpy's warnings": Case(
        "import numpy as np\nprint(np.array([1.0]) / 0, np.geterr(), np.get_printoptions()['precision'])",
        needs="numpy",
    ),
    "numpy with a seed": Case(
        "import numpy as np\nnp.random.seed(3); print(np.random.rand(), np.random.default_rng(3).random())",
        needs="numpy",
    ),
    "pandas": Case(
        """
        import io, sys
        import pandas as pd
        d = pd.read_csv(io.StringIO("a,b\\n1,x\\n2,y\\n")); print(d); print(d.a.sum(), d.groupby("b").a.sum().to_dict())
        d.to_csv(sys.stdout)
        print(d["nothing"])
        """,
        needs="pandas",
    ),
    "pandas reads stdin": Case(
        "import sys\nimport pandas as pd\nprint(pd.read_csv(sys.stdin).to_json())",
        stdin=b"a,b\n1,2\n",
        needs="pandas",
    ),
}

HELPERS = {
    "warmhelper.py": "VALUE = 1\ndef fail(n):\n    raise ValueError(n)\n",
    "warmbroken.py": "def f(:\n",
    "warmraising.py": "def f():\n    raise KeyError('k')\nf()\n",
    "warmexiting.py": "import sys\nsys.exit(7)\n",
    "warmholding.py": "class C:\n    def __del__(self): print('del', __name__)\nc = C()\n",
    "warmpackage/__init__.py": "",
    "warmpackage/inner.py": "NAME = __name__, __package__\n",
}


# --- how they are run


class Said:
    """What a launcher says, and whether it has."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.news = threading.Condition()

    def __call__(self, level: Level, line: str) -> None:
        with self.news:
            self.lines.append(line)
            self.news.notify_all()

    def wait(self, holds: Callable[[list[str]], bool]) -> None:
        """Wait until it holds of all lines."""
        with self.news:
            assert self.news.wait_for(lambda: holds(self.lines), SECONDS), self.lines

    def warm(self, *names: str) -> None:
        """Wait until these scripts start warm."""
        self.wait(lambda lines: all(any(is_warm(line, n) for line in lines) for n in names))

    def count(self, text: str) -> int:
        return sum(text in line for line in self.lines)


def is_warm(line: str, name: str) -> bool:
    _, found, names = line.partition("from now on warm: ")
    return bool(found) and name in names.partition(" (")[0].split(", ")


def nobody(stream: Stream, data: bytes) -> None:
    """An emit for output that is looked at in the outcome."""


@dataclass
class Place:
    """A folder with scripts, and a launcher that has been told of them."""

    folder: Path
    launcher: Launching
    said: Said

    @property
    def scripts(self) -> Path:
        return self.folder / "scripts"

    def write(self, name: str, text: str) -> Path:
        path = self.scripts / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def stand_ready(self, *names: str, env: Mapping[str, str] = ENV) -> None:
        paths = [self.scripts / name for name in names]
        ready = Ready({path: imports_of(path) for path in paths}, env, self.folder)
        self.launcher.stand_ready(ready)

    def start(
        self,
        name: str,
        case: Case | None = None,
        *,
        how: How = "warm",
        env: Mapping[str, str] = ENV,
    ) -> Start:
        given = case or Case("")
        more = {"PYTHONUNBUFFERED": "1", "HOOK_RUN": "k3x9", "SIGN": str(self.folder / "sign")}
        return Start(
            run_id="k3x9",
            command=(sys.executable, str(self.scripts / name), *given.args),
            env={**env, **more, "TMPDIR": str(self.folder / "tmp"), **given.env},
            cwd=self.folder,
            stdin=given.stdin,
            timeout=SECONDS,
            max_output=8 * MB,
            memory=given.memory,
            shield=given.shield,
            warm=how == "warm",
        )

    def run(
        self,
        name: str,
        case: Case | None = None,
        *,
        how: How = "warm",
        env: Mapping[str, str] = ENV,
    ) -> Outcome:
        """Run a script to its end, with a folder for temporary files, as the worker makes one."""
        temporary, sign = self.folder / "tmp", self.folder / "sign"
        temporary.mkdir()
        sign.unlink(missing_ok=True)
        try:
            return self.launcher.run(self.start(name, case, how=how, env=env), nobody)
        finally:
            shutil.rmtree(temporary)

    def was(self) -> How | None:
        """How the last script started; None if it never came to say so."""
        try:
            parent, loaded = (self.folder / "sign").read_text().split()[:2]
        except FileNotFoundError:
            return None
        if loaded == "0":
            return "cold"
        assert "forkserver" in Path(f"/proc/{parent}/cmdline").read_text()
        return "warm"


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[How, Place]]:
    """A launcher that nobody told of any script, and one that has all of the battery ready.

    They share their folder, so that what a script says of itself is the same in both.
    """
    folder = tmp_path_factory.mktemp("warm")
    made: dict[How, Place] = {}
    for how in HOW:
        said = Said()
        made[how] = Place(folder, Launching(say=said), said)
    for name, text in HELPERS.items():
        made["cold"].write(name, text)
    for name, case in CASES.items():
        made["cold"].write(file_of(name), signed(case.text))
    names = [
        file_of(name) for name, case in CASES.items() if not case.needs or find_spec(case.needs)
    ]
    made["warm"].stand_ready(*names)
    yield made
    for place in made.values():
        place.launcher.close()


def signed(text: str) -> str:
    """With the sign first, but for what must stand before it."""
    if text.startswith(("# -*-", "from __future__")):
        first, _, rest = text.partition("\n")
        return f"{first}\n{SIGN}{rest}"
    return SIGN + text


def dedented(text: str) -> str:
    return textwrap.dedent(text).lstrip("\n")


def file_of(name: str) -> str:
    return "its-" + re.sub(r"\W+", "-", name) + ".py"


CASES: dict[str, Case] = {
    name: replace(case, text=dedented(case.text))
    if isinstance(case, Case)
    else Case(dedented(case))
    for name, case in BATTERY.items()
}


def shown(outcome: Outcome) -> dict[str, object]:
    """All of an outcome but for its time; no two processes agree on addresses."""
    return {
        "ended": str(outcome),
        "why": outcome.why,
        "exit": (outcome.exit_code, outcome.signal),
        "out": ADDRESS.sub(b"0x...", outcome.stdout).decode("utf-8", "surrogateescape"),
        "err": ADDRESS.sub(b"0x...", outcome.stderr).decode("utf-8", "surrogateescape"),
    }


ADDRESS = re.compile(rb"0x[0-9a-f]{4,}|(?<=object refcount : )\d+")


@pytest.mark.parametrize("name", CASES)
def test_a_script_is_the_same_warm_and_cold(places: dict[How, Place], name: str) -> None:
    case = CASES[name]
    if case.needs:
        pytest.importorskip(case.needs)
    if name not in NEVER_WARM:
        places["warm"].said.warm(file_of(name))

    outcomes = {}
    for how in HOW:
        outcomes[how] = shown(places[how].run(file_of(name), case, how=how))
        assert places[how].was() == NEVER_WARM.get(name, how)

    assert outcomes["warm"] == outcomes["cold"]


NEVER_WARM: dict[str, How | None] = {
    "no syntax": None,
    "no end of a text": None,
    "no indentation": None,
    "tabs and blanks": None,
    "return outside": None,
    "await outside": None,
    "a bad encoding": None,
    "a null byte": None,
    "a syntax warning": "cold",
}
"""What the compiler says is said by a Python that starts cold; most of it never runs at all."""


# --- what is not the same twice


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A folder and a launcher of a test's own."""
    said = Said()
    made = Place(tmp_path, Launching(say=said), said)
    made.scripts.mkdir()
    yield made
    made.launcher.close()


def one_warm(
    place: Place, text: str, name: str = "one.py", env: Mapping[str, str] = ENV
) -> Outcome:
    """The outcome of a script that has just been written and stands ready."""
    place.write(name, SIGN + dedented(text))
    place.stand_ready(name, env=env)
    place.said.warm(name)
    outcome = place.run(name, env=env)
    assert place.was() == "warm"
    return outcome


CHANCES = {
    "random": "import random; print(random.random(), random.getrandbits(64), random.sample(range(99), 9))",
    "random.Random": "import random; print(random.Random().random(), random.SystemRandom().random())",
    "numpy.random": "import numpy; print(numpy.random.rand(3), numpy.random.default_rng().random(3))",
    "uuid4": "import uuid; print(uuid.uuid4())",
    "ssl": "import ssl; print(ssl.RAND_bytes(9))",
    "secrets": "import secrets; print(secrets.token_hex())",
    "urandom": "import os; print(os.urandom(9))",
    "names of temporary files": "import tempfile, os; print(os.path.basename(tempfile.mktemp()))",
    "temporary files": "import tempfile, os; print(os.path.basename(tempfile.mkdtemp()))",
    "authkey": "import multiprocessing; print(bytes(multiprocessing.current_process().authkey))",
    "hashlib's blake2 key": "import hashlib, os; print(hashlib.blake2b(key=os.urandom(9)).hexdigest())",
}


@pytest.mark.parametrize("what", CHANCES)
def test_no_two_warm_runs_draw_the_same(place: Place, what: str) -> None:
    if "numpy" in what:
        pytest.importorskip("numpy")
    drawn = [one_warm(place, CHANCES[what]).stdout]

    for _ in range(5):
        drawn.append(place.run("one.py").stdout)
        assert place.was() == "warm"

    assert len(set(drawn)) == 6


# --- what others have set


def test_what_whoever_started_us_ignores_is_not_ignored_by_a_warm_script(tmp_path: Path) -> None:
    """As by a shell that starts us with `&`."""
    ignored = (signal.SIGQUIT, signal.SIGINT, signal.SIGUSR1)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ignored}
    said = Said()
    place = Place(tmp_path, Launching(say=said), said)
    place.scripts.mkdir()
    try:
        outcome = one_warm(
            place,
            """
            import signal
            print([getattr(signal.getsignal(number), "name", "default_int_handler") for number in (3, 2, 10)])
        """,
        )
    finally:
        place.launcher.close()
        for number, handler in before.items():
            signal.signal(number, handler)

    assert outcome.stdout == b"['SIG_DFL', 'default_int_handler', 'SIG_DFL']\n"


# --- what changes between two runs


def test_an_edited_script_is_never_stale(place: Place) -> None:
    assert one_warm(place, "print('first')").stdout == b"first\n"

    for text in ("again", "third", "later"):  # of one length: its size tells nothing
        place.write("one.py", f"{SIGN}print({text!r})\n")
        outcome = place.run("one.py")
        assert (outcome.stdout.decode(), place.was()) == (f"{text}\n", "warm")


def test_a_script_that_is_replaced_by_an_older_file_is_never_stale(place: Place) -> None:
    assert one_warm(place, "print('first')").stdout == b"first\n"
    old = (place.scripts / "one.py").stat()
    new = place.write("new", f"{SIGN}print('other')\n")
    os.utime(new, ns=(old.st_atime_ns, old.st_mtime_ns))

    new.rename(place.scripts / "one.py")

    assert place.run("one.py").stdout == b"other\n"


def test_an_edited_helper_is_never_stale(place: Place) -> None:
    place.write("mine.py", "VALUE = 1\n")
    assert one_warm(place, "import mine; print(mine.VALUE)").stdout == b"1\n"

    for value in (23, 456, 7890):
        place.write("mine.py", f"VALUE = {value}\n")
        outcome = place.run("one.py")
        assert (outcome.stdout, place.was()) == (b"%d\n" % value, "warm")


def test_a_helper_of_a_helper_and_what_it_imports_from_elsewhere(place: Place) -> None:
    place.write("mine.py", "import deeper\nVALUE = deeper.VALUE\n")
    place.write("deeper.py", "import fractions\nVALUE = fractions.Fraction(1, 2)\n")
    text = "import sys; print('fractions' in sys.modules, 'deeper' in sys.modules)\nimport mine; print(mine.VALUE)"

    assert one_warm(place, text).stdout == b"True False\n1/2\n"


def test_a_script_that_becomes_no_python_is_told_by_a_cold_one(place: Place) -> None:
    one_warm(place, "print(1)")
    place.write("one.py", "def f(:\n")

    warm, cold = place.run("one.py"), place.run("one.py", how="cold")

    assert shown(warm) == shown(cold)
    assert warm.stderr.endswith(b"SyntaxError: invalid syntax\n")


def test_a_script_that_is_gone_is_told_by_a_cold_one(place: Place) -> None:
    one_warm(place, "print(1)")
    (place.scripts / "one.py").unlink()

    warm, cold = place.run("one.py"), place.run("one.py", how="cold")

    assert shown(warm) == shown(cold)
    assert warm.exit_code == 2


def test_a_script_reached_through_a_link(place: Place) -> None:
    place.write(
        "elsewhere/real.py", SIGN + "import sys, mine; print(__file__, sys.argv, sys.path, mine)"
    )
    place.write("elsewhere/mine.py", "")
    (place.scripts / "link.py").symlink_to(place.scripts / "elsewhere/real.py")
    place.stand_ready("link.py")
    place.said.warm("link.py")

    warm = place.run("link.py")
    assert place.was() == "warm"
    cold = place.run("link.py", how="cold")

    assert shown(warm) == shown(cold)
    assert str(place.scripts / "elsewhere").encode() in warm.stdout


def test_a_link_that_is_turned_elsewhere_is_never_stale(place: Place) -> None:
    place.write("a/real.py", SIGN + "import mine; print('a', mine.VALUE)\n")
    place.write("a/mine.py", "VALUE = 'a'\n")
    place.write("b/real.py", SIGN + "import mine; print('b', mine.VALUE)\n")
    place.write("b/mine.py", "VALUE = 'b'\n")
    link = place.scripts / "link.py"
    link.symlink_to("a/real.py")
    place.stand_ready("link.py")
    place.said.warm("link.py")
    assert place.run("link.py").stdout == b"a a\n"

    link.unlink()
    link.symlink_to("b/real.py")

    assert place.run("link.py").stdout == b"b b\n"


def test_a_file_left_open_is_written_though_a_module_holds_it(place: Place) -> None:
    text = """
        import json, gzip, logging
        json.kept = open("plain", "w"); json.kept.write("content")
        json.zipped = gzip.open("zipped", "wt"); json.zipped.write("content")
        held = open("held", "w"); held.write("content")
        class C:
            def __init__(self): self.file = open("inner", "wb"); self.file.write(b"content")
        kept = C()
    """
    one_warm(place, text)

    for name in ("plain", "held", "inner"):
        assert (place.folder / name).read_text() == "content"
    with gzip.open(place.folder / "zipped", "rt") as file:
        assert file.read() == "content"


def test_memory_without_end_is_refused_and_the_next_run_has_what_it_needs(place: Place) -> None:
    greedy = "import sys\nif len(sys.argv) > 1: bytearray(10 ** 9)\nprint('had it')"
    one_warm(place, greedy)

    limited = place.run("one.py", Case("", args=("x",), memory=500 * MB))
    free = place.run("one.py", Case("", args=("x",)))

    assert limited.stderr.endswith(b"MemoryError\n")
    assert free.stdout == b"had it\n"


# --- settings of Python in the environment

SETTINGS: dict[str, dict[str, str]] = {
    "warnings shown": {"PYTHONWARNINGS": "always"},
    "warnings raised": {"PYTHONWARNINGS": "error"},
    "no assertions": {"PYTHONOPTIMIZE": "2"},
    "no compiled files": {"PYTHONDONTWRITEBYTECODE": "1"},
    "another encoding": {"PYTHONIOENCODING": "latin-1:replace"},
    "no UTF-8": {"LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "a locale": {"LC_ALL": "C.UTF-8", "LANG": "de_DE.UTF-8"},
    "a seed of hashes": {"PYTHONHASHSEED": "7"},
    "folders": {"PYTHONPATH": "/no/such:/tmp"},
    "no folder of its own": {"PYTHONSAFEPATH": "1"},
    "no folder of the user": {"PYTHONNOUSERSITE": "1"},
    "development": {"PYTHONDEVMODE": "1"},
    "faults": {"PYTHONFAULTHANDLER": "1"},
    "memory traced": {"PYTHONTRACEMALLOC": "3"},
    "another time": {"TZ": "Asia/Tokyo"},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_python_reads_as_it_starts_hold_for_warm_scripts(
    place: Place, name: str
) -> None:
    text = """
        '''Doc.'''
        import faulthandler, os, sys, time, tracemalloc, warnings
        def f(): "doc of f"
        print(sys.flags, sys.warnoptions, sys.dont_write_bytecode, __debug__, __doc__, f.__doc__)
        print(sys.stdout.encoding, sys.stdout.errors, sys.stderr.errors, sys.stdin.encoding)
        print(sys.getfilesystemencoding(), time.tzname, faulthandler.is_enabled())
        print(tracemalloc.get_traceback_limit(), [p for p in sys.path], warnings.filters)
        print(hash("x") if sys.flags.hash_randomization == 0 or "PYTHONHASHSEED" in os.environ else "")
        print("\\xfc\\u20ac" if sys.stdout.errors != "strict" else "")
        try:
            warnings.warn("a warning", DeprecationWarning)
        finally:
            print(sorted(os.environ.items()))
    """
    env = {**ENV, **SETTINGS[name]}
    warm = one_warm(place, text, env=env)

    cold = place.run("one.py", how="cold", env=env)
    assert place.was() == "cold"

    assert shown(warm) == shown(cold)


# --- what cannot be equal (docs/warm.md)


def both(place: Place, text: str, case: Case | None = None) -> tuple[str, str]:
    """What a script prints warm, and cold."""
    warm = one_warm(place, text) if case is None else None
    if case is not None:
        one_warm(place, text)
        warm = place.run("one.py", case)
    cold = place.run("one.py", case, how="cold")
    assert warm is not None
    assert not warm.stderr + cold.stderr
    return warm.stdout.decode(), cold.stdout.decode()


def test_the_parent_of_a_warm_script_is_the_fork_server(place: Place) -> None:
    warm, cold = both(place, "import os; print(open(f'/proc/{os.getppid()}/cmdline').read())")

    assert "forkserver" in warm
    assert "supervisor" in cold


def test_warm_runs_of_one_server_share_the_seed_of_hashes(place: Place) -> None:
    text = "print([hash(str(n)) for n in range(9)])"

    warm = {one_warm(place, text).stdout, place.run("one.py").stdout}
    cold = {place.run("one.py", how="cold").stdout for _ in range(2)}

    assert (len(warm), len(cold)) == (1, 2)


def test_more_modules_are_loaded_than_the_script_has_imported(place: Place) -> None:
    text = "import sys; print('fractions' in sys.modules)\ndef f(): import fractions"

    assert both(place, text) == ("True\n", "False\n")


def test_frames_of_ours_lie_under_those_of_the_script(place: Place) -> None:
    text = "import sys, traceback; print(sys._getframe().f_back is None, len(traceback.extract_stack()))"

    warm, cold = both(place, text)

    assert cold == "True 1\n"
    assert warm.startswith("False ")


def test_a_recursion_may_go_a_few_frames_less_deep(place: Place) -> None:
    text = """
        def deep(n=1):
            try:
                return deep(n + 1)
            except RecursionError:
                return n
        print(deep())
    """
    warm, cold = (int(depth) for depth in both(place, text))

    assert 0 < cold - warm < 20


def test_what_was_loaded_is_out_of_the_garbage_collectors_sight(place: Place) -> None:
    warm, cold = both(place, "import gc; print(gc.get_freeze_count() > 0)")

    assert (warm, cold) == ("True\n", "False\n")


def test_others_see_of_its_environment_only_the_mark(place: Place) -> None:
    text = "print(open('/proc/self/environ').read().strip(chr(0)).split(chr(0)))"

    warm, cold = both(place, text)

    assert warm == "['HOOK_RUN=k3x9']\n"
    assert "HOOK_PATH=/x" in cold


def test_others_see_a_long_command_cut_short(place: Place) -> None:
    case = Case("", args=("x" * 5000,))

    warm, cold = both(place, "print(len(open('/proc/self/cmdline').read()) > 5000)", case)

    assert (warm, cold) == ("False\n", "True\n")


def test_what_a_loaded_module_holds_at_the_end_is_not_finalized(place: Place) -> None:
    text = """
        import json
        class C:
            def __del__(self): print("del")
        json.c = C()
    """
    assert both(place, text) == ("", "del\n")


def test_what_loaded_modules_have_done_at_exit_is_done_last(place: Place) -> None:
    text = """
        import atexit
        atexit.register(lambda: print(logging.root.handlers[0].stream is None))
        import logging
        logging.basicConfig(handlers=[logging.FileHandler("/dev/null")])
    """
    assert both(place, text) == ("False\n", "True\n")


def test_a_module_that_rolls_dice_as_it_is_imported_rolls_them_once(place: Place) -> None:
    place.write("../lib/dicey.py", "import random\nDICE = random.Random()\nROLL = DICE.random()\n")
    env = {**ENV, "PYTHONPATH": str(place.folder / "lib")}
    text = "import dicey; print(dicey.ROLL, dicey.DICE.random())"

    warm = {one_warm(place, text, env=env).stdout, place.run("one.py", env=env).stdout}
    cold = {place.run("one.py", how="cold", env=env).stdout for _ in range(2)}

    assert (len(warm), len(cold)) == (1, 2)


def test_it_is_older_than_its_run(place: Place) -> None:
    text = """
        import os
        began = int(open("/proc/self/stat").read().rpartition(")")[2].split()[19])
        folder = os.stat(os.environ["TMPDIR"]).st_mtime  # made for this run
        up = float(open("/proc/uptime").read().split()[0])
        import time
        print(began / os.sysconf("SC_CLK_TCK") - up + time.time() < folder + 0.02)
    """
    warm, _ = both(place, text)

    assert warm == "True\n"


# --- which scripts start warm, and which do not


@pytest.fixture
def library(place: Place) -> Callable[[str, str], dict[str, str]]:
    """Writes a module that scripts can import from elsewhere; the environment that has it."""

    def write(name: str, text: str) -> dict[str, str]:
        place.write(f"../lib/{name}.py", dedented(text))
        return {**ENV, "PYTHONPATH": str(place.folder / "lib")}

    return write


Library = Callable[[str, str], dict[str, str]]

COLD = {
    "prints": ("print('hello'); print('more')", "its imports print 'hello'"),
    "prints to stderr": ("import sys; sys.stderr.write('oh')", "its imports print 'oh'"),
    "prints by its descriptor": ("import os; os.write(1, b'x\\n')", "its imports print 'x'"),
    "prints by a child": ("import os; os.system('echo x')", "its imports print 'x'"),
    "prints without flush": ("import sys; sys.stdout.write('x')", "its imports print 'x'"),
    "warns": ("import warnings; warnings.warn('w')", None),
    "exits": ("import sys; sys.exit(3)", "its imports end Python: SystemExit(3)"),
    "is interrupted": ("raise KeyboardInterrupt", "its imports end Python: KeyboardInterrupt()"),
    "ends at once": ("import os; os._exit(3)", "its imports end Python: exit 3"),
    "ends at once, well": ("import os; os._exit(0)", "its imports end Python: exit 0"),
    "crashes": (
        "import faulthandler; faulthandler._sigsegv()",
        "its imports end Python: signal 11",
    ),
    "kills itself": ("import os; os.kill(os.getpid(), 9)", "its imports end Python: signal 9"),
    "runs a thread": (
        """
        import threading
        threading.Thread(target=threading.Event().wait, name="ticker", daemon=True).start()
        """,
        "its imports leave threads running (ticker)",
    ),
    "handles a signal": (
        "import signal; signal.signal(signal.SIGUSR1, lambda *a: None)",
        "its imports change signal handlers",
    ),
    "ignores a signal": (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_DFL)",
        "its imports change signal handlers",
    ),
    "goes elsewhere": ("import os; os.chdir('/tmp')", "its imports change the working directory"),
    "masks modes": ("import os; os.umask(0o077)", "its imports change the umask"),
}


@pytest.mark.parametrize("what", COLD)
def test_a_script_whose_imports_do_something_starts_cold(
    place: Place, library: Library, what: str
) -> None:
    text, why = COLD[what]
    env = library("odd", text)
    place.write("one.py", SIGN + "import odd")
    place.write("other.py", SIGN + "print('fine')")

    place.stand_ready("one.py", "other.py", env=env)
    place.said.warm("other.py")

    told = [line for line in place.said.lines if line.startswith("one.py starts cold: ")]
    assert len(told) == 1
    if why:
        assert told == [f"one.py starts cold: {why}"]
    outcomes = [shown(place.run("one.py", how=how, env=env)) for how in HOW]
    assert outcomes[0] == outcomes[1]
    assert place.was() == "cold"
    assert place.run("other.py", env=env).stdout == b"fine\n"
    assert place.was() == "warm"


OWN = {
    "sets the environment": (
        "import os; os.environ['SET_BY_ODD'] = '1'", "the environment", "SET_BY_ODD"
    ),
    "adds a folder": ("import sys; sys.path.append('/odd')", "sys.path", "/odd"),
    "does something at exit": ("import atexit; atexit.register(print, 'odd')", "what is done at exit", "odd"),
    "filters warnings": (
        "import warnings; warnings.filterwarnings('ignore', 'odd')", "warnings", "odd"
    ),
    "sets a hook": ("import sys; sys.excepthook = lambda *a: print('odd')", "sys.excepthook", ""),
}  # fmt: skip


@pytest.mark.parametrize("what", OWN)
def test_a_script_whose_imports_change_what_others_see_has_a_server_of_its_own(
    place: Place, library: Library, what: str
) -> None:
    text, changed, seen = OWN[what]
    env = library("odd", text)
    look = "import os, sys, warnings; print(sorted(os.environ.items()), sys.path, warnings.filters)"
    place.write("one.py", SIGN + "import odd\n" + look)
    place.write("other.py", SIGN + look)

    place.stand_ready("one.py", "other.py", env=env)
    place.said.warm("one.py", "other.py")

    assert place.said.count(f"from now on warm: one.py (its imports change {changed})") == 1
    for name in ("one.py", "other.py"):
        warm = place.run(name, env=env)
        assert place.was() == "warm"
        cold = place.run(name, how="cold", env=env)
        assert shown(warm) == shown(cold)
        assert (seen in warm.stdout.decode()) == (name == "one.py" or not seen)


def test_what_a_module_did_to_the_environment_yields_to_what_the_run_brings(
    place: Place, library: Library
) -> None:
    env = library(
        "odd", "import os; os.environ['A'] = 'set'; os.environ.setdefault('B', 'default')"
    )
    text = "import odd, os; print(os.environ['A'], os.environ['B'])"
    one_warm(place, text, env=env)

    case = Case("", env={"B": "given"})
    warm, cold = (place.run("one.py", case, how=how, env=env) for how in ("warm", "cold"))

    assert cold.stdout == b"set given\n"
    assert warm.stdout == cold.stdout


def test_heavy_imports_have_a_server_of_their_own(place: Place, library: Library) -> None:
    env = library("odd", "HEAVY = bytes(64) * 1024 * 1024")
    place.write("one.py", SIGN + "import odd; print(len(odd.HEAVY))")

    place.stand_ready("one.py", env=env)
    place.said.warm("one.py")

    [line] = [line for line in place.said.lines if "one.py" in line]
    assert re.fullmatch(
        r"from now on warm: one\.py \(its imports take \d\.\d\d s and 6\d MB\)", line
    )
    assert place.run("one.py", env=env).stdout == b"67108864\n"
    assert place.was() == "warm"


def test_imports_that_do_not_come_to_an_end_are_left_alone(tmp_path: Path) -> None:
    # In a process of its own: sixty seconds would be a long time to wait.
    (tmp_path / "endless.py").write_text("while True: pass\n")
    script = {"path": str(tmp_path / "one.py"), "imports": [["endless", []]]}
    code = dedented(f"""
        import socket
        from hookrunner.launch import forkserver
        forkserver.LONGEST_IMPORT = 0.5
        server = forkserver.ForkServer(
            socket.socketpair()[0], {{"scripts": [], "spares": 0, "trial": True, "ends": b""}}
        )
        print(server._judge({script!r}))
    """)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**ENV, "PYTHONPATH": f"{REPOSITORY}:{tmp_path}"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("('cold', 'its imports take longer than 0.5 s')\n", "")


def test_another_process_cannot_say_that_a_script_has_ended(place: Place) -> None:
    text = """
        import subprocess, sys
        saying = '''
        import re, socket
        told = 0
        for name in re.findall(" @([0-9a-f]+)$", open("/proc/net/unix").read(), re.M):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
                try:
                    told += one.sendto(b"0", bytes(1) + name.encode())
                except OSError:
                    pass
        print("told", told > 0)
        '''
        from textwrap import dedent
        print(subprocess.run([sys.executable, "-c", dedent(saying)], capture_output=True).stdout)
        sys.exit(3)
    """
    outcome = one_warm(place, text)

    assert (outcome.stdout, outcome.exit_code) == (b"b'told True\\n'\n", 3)


def test_of_a_script_that_is_said_to_have_ended_no_file_is_locked(
    place: Place, tmp_path: Path
) -> None:
    text = f"""
        import ctypes, fcntl, os
        c = ctypes.CDLL(None)
        c.malloc.restype = ctypes.c_void_p
        # Memory for the system to take apart, which it does before it closes files.
        ctypes.memset(c.malloc(ctypes.c_size_t(2**28)), 1, 2**28)
        held = os.open({str(tmp_path / "lock")!r}, os.O_RDWR | os.O_CREAT)
        fcntl.flock(held, fcntl.LOCK_EX)
    """
    assert one_warm(place, text).exit_code == 0

    with (tmp_path / "lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_module_that_cannot_be_imported_is_met_by_the_script_itself(place: Place) -> None:
    text = """
        try:
            import no_such_module
        except ImportError as e:
            print(e)
        import json
        print(json.loads("[]"))
    """
    assert one_warm(place, text).stdout == b"No module named 'no_such_module'\n[]\n"


def test_a_module_that_fails_once_is_tried_again_by_the_script(
    place: Place, library: Library
) -> None:
    env = library(
        "odd", "import os\nif 'HOOK_RUN' not in os.environ: raise RuntimeError\nVALUE = 5"
    )

    assert one_warm(place, "import odd; print(odd.VALUE)", env=env).stdout == b"5\n"


def test_a_helper_that_hides_a_loaded_module_makes_its_script_start_cold(place: Place) -> None:
    place.write("json.py", "VALUE = 'mine'\n")
    place.write("one.py", SIGN + "import json; print(json.VALUE)\nimport logging.config")
    place.write("lib/other.py", SIGN + "import json; print(json.loads('1'))")

    place.stand_ready("one.py", "lib/other.py")
    place.said.warm("other.py")
    place.said.wait(lambda lines: any("one.py" in line for line in lines))

    assert (
        place.said.lines.count(
            "one.py starts cold: json.py in its folder hides a module that is loaded already"
        )
        <= 1
    )
    assert place.run("one.py").stdout == b"mine\n"
    assert place.run("lib/other.py").stdout == b"1\n"


def test_a_helper_that_hides_a_module_later_is_imported_as_in_a_cold_start(place: Place) -> None:
    text = "import json; print(getattr(json, 'VALUE', 'the usual'))"
    assert one_warm(place, text).stdout == b"the usual\n"

    helper = place.write("json.py", "VALUE = 'mine'\n")
    hidden = place.run("one.py")
    assert (hidden.stdout, place.was()) == (b"mine\n", "cold")

    helper.unlink()
    shutil.rmtree(place.scripts / "__pycache__", ignore_errors=True)
    assert place.run("one.py").stdout == b"the usual\n"
    assert place.was() == "warm"


def test_a_file_with_the_name_of_a_module_that_nothing_hides_changes_nothing(place: Place) -> None:
    for name in ("time.py", "_thread.py", "os.py", "io.py"):
        place.write(name, "raise RuntimeError(__name__)")
    text = "import time, os, io, _thread; print(os.sep)"

    assert one_warm(place, text).stdout == b"/\n"
    assert place.run("one.py", how="cold").stdout == b"/\n"


def test_a_package_that_hides_a_module_later_is_imported_as_in_a_cold_start(place: Place) -> None:
    text = "import json; print(getattr(json, 'VALUE', 'the usual'))"
    assert one_warm(place, text).stdout == b"the usual\n"

    place.write("json/__init__.py", "VALUE = 'mine'\n")

    assert place.run("one.py").stdout == b"mine\n"


def test_scripts_that_are_served_no_more_start_cold(place: Place) -> None:
    one_warm(place, "print(1)")
    place.write("other.py", SIGN + "print(2)")

    place.stand_ready("other.py")
    place.said.warm("other.py")

    assert place.run("one.py").stdout == b"1\n"
    assert place.was() == "cold"
    assert place.run("other.py").stdout == b"2\n"
    assert place.was() == "warm"


def test_a_fork_server_that_is_killed_is_replaced(place: Place) -> None:
    assert one_warm(place, "import os; print(os.getppid())").stdout

    server = int(place.run("one.py").stdout)
    os.kill(server, signal.SIGKILL)
    place.said.wait(lambda lines: sum(is_warm(line, "one.py") for line in lines) == 2)

    assert int(place.run("one.py").stdout) != server
    assert place.was() == "warm"
    assert place.said.count("a fork-server ended unexpectedly") == 1


def test_a_script_whose_fork_server_is_killed_is_interrupted(place: Place) -> None:
    text = """
        import os, sys, threading
        if len(sys.argv) > 1:
            os.kill(os.getppid(), 9); threading.Event().wait()
    """
    one_warm(place, text)

    outcome = place.run("one.py", Case("", args=("x",)))

    assert (outcome.state, outcome.why) == (State.FAILED, Why.INTERRUPTED)
    assert str(outcome) == "interrupted: the fork-server ended"


def test_many_warm_runs_at_once_keep_their_own_input_and_output(place: Place) -> None:
    place.write("one.py", SIGN + "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())")
    place.stand_ready("one.py")
    place.said.warm("one.py")
    inputs = [os.urandom(100_000) for _ in range(24)]
    (place.folder / "tmp").mkdir()

    with ThreadPoolExecutor(8) as pool:
        starts = [place.start("one.py", Case("", stdin=data)) for data in inputs]
        outcomes = list(pool.map(lambda start: place.launcher.run(start, nobody), starts))

    assert [outcome.stdout for outcome in outcomes] == inputs
    signs = [line.split() for line in (place.folder / "sign").read_text().splitlines()]
    assert len({parent for parent, _ in signs}) == 1
    assert "0" not in {loaded for _, loaded in signs}


# --- memory that is copied ahead


TOUCHES = """
    import resource
    import big
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for place in range(0, len(big.DATA), 4096):
        big.DATA[place] += 1
    print(big.DATA[-4096], resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


Touching = Callable[..., Iterator[int]]


@pytest.fixture
def touching(place: Place, library: Library) -> Touching:
    """Runs of a script that writes to so many MB of what was loaded; faults of each."""
    if not child.can_copy_ahead():
        pytest.skip("this system cannot copy pages ahead")

    def runs(size: int, last: str = "") -> Iterator[int]:
        env = library("big", f"DATA = bytearray({size} << 20)")
        place.write("one.py", SIGN + dedented(TOUCHES) + last)
        place.stand_ready("one.py", env=env)
        place.said.warm("one.py")
        for _ in range(60):
            told, faults = place.run("one.py", env=env).stdout.split()
            assert (told, place.was()) == (b"1", "warm")  # another run's writes are not seen
            yield int(faults)

    return runs


def test_what_a_script_has_forked_does_not_tell_for_it(place: Place, touching: Touching) -> None:
    runs = touching(1, "import os\nif pid := os.fork(): os.waitpid(pid, 0)\n")
    assert next(runs) >= 256

    assert any(faults < 100 for faults in runs)


def test_a_child_that_waits_copies_what_runs_of_the_script_have_copied(
    touching: Touching,
) -> None:
    runs = touching(1)
    assert next(runs) >= 256

    assert any(faults < 100 for faults in runs)


def test_a_script_that_has_changed_is_learned_anew(place: Place, touching: Touching) -> None:
    runs = touching(1)
    next(runs)
    text = place.scripts / "one.py"
    text.write_text(f"{SIGN}print(1, 0)\n")
    assert {next(runs) for _ in range(20)} == {0}

    text.write_text(SIGN + dedented(TOUCHES))

    assert next(runs) >= 256
    assert any(faults < 100 for faults in runs)


def test_a_run_of_a_script_as_it_was_does_not_tell_for_what_it_is_now() -> None:
    if not child.can_copy_ahead():
        pytest.skip("this system cannot copy pages ahead")
    server = forkserver._Copied(["one.py"], 100)
    server.begin()
    server.pid = os.getpid()
    older = copy.copy(server)  # as a fork has it
    server.forget("one.py")

    older.tell("one.py")
    server.gather()
    assert not server.known

    copy.copy(server).tell("one.py")
    server.gather()
    assert list(server.known) == ["one.py"]


def test_no_child_copies_more_ahead_than_it_may(
    touching: Touching,
) -> None:
    pages = 6 * 256

    least = min(touching(6))

    assert pages - forkserver.MOST_COPIED // SPARES <= least < pages


def test_what_a_script_writes_where_its_pages_are_told_harms_nobody() -> None:
    last = 2**64 - child.PAGE
    beyond = array.array("Q", (last, 2 * child.PAGE, last + 96, child.PAGE)).tobytes()
    for told in (b"\xff" * 160, bytes(range(160)), bytes(160), os.urandom(160), beyond):
        pages = forkserver._together([told], 100)
        assert sum(pages[1::2]) <= 100 * child.PAGE
        child.copy_ahead(pages)


def test_memory_that_is_only_reserved_takes_none_to_be_looked_through() -> None:
    size = 8 << 30
    mine = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)
    begin = ctypes.addressof(here := ctypes.c_char.from_buffer(mine))
    touched = [*range(0, 64 << 20, 16 << 20), size - 2 * child.PAGE, size - child.PAGE]
    for place in touched:
        mine[place] = 1
    tracemalloc.start()
    try:
        found = child.copied([(begin, begin + size)])
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        del here
        mine.close()

    lone = [number for place in touched[:-2] for number in (begin + place, child.PAGE)]
    assert list(found) == [*lone, begin + touched[-2], 2 * child.PAGE]
    assert most < MB


def test_a_server_with_many_files_open_has_children_all_the_same(
    place: Place, library: Library
) -> None:
    text = """
        import os, resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (1500, resource.getrlimit(7)[1]))
        KEPT = [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]
    """

    assert (
        one_warm(place, "import many; print(len(many.KEPT))", env=library("many", text)).stdout
        == b"1100\n"
    )


def test_a_server_that_may_open_few_files_has_fewer_children(
    place: Place, library: Library
) -> None:
    text = "import resource; resource.setrlimit(7, (16, resource.getrlimit(7)[1]))"

    assert one_warm(place, "import few; print(1)", env=library("few", text)).stdout == b"1\n"


def test_a_variable_that_forking_takes_away_is_not_missed(place: Place, library: Library) -> None:
    text = "import os; os.register_at_fork(after_in_child=lambda: os.environ.pop('MORE', None))"
    env = {**library("forking", text), "MORE": "1"}
    place.write("one.py", SIGN + "import forking; print(1)\n")
    place.stand_ready("one.py", env=env)
    place.said.warm("one.py")
    del env["MORE"]

    assert place.run("one.py", env=env).stdout == b"1\n"


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_a_platform_sends_to_every_process_leaves_the_next_runs_alone(
    place: Place, number: signal.Signals
) -> None:
    server = int(one_warm(place, "import os; print(os.getppid())").stdout)

    for _ in range(3):
        for pid in (server, *children_of(server)):
            with suppress(ProcessLookupError):  # what said that it ends may do so by now
                os.kill(pid, number)
        outcome = place.run("one.py")
        assert (str(outcome), int(outcome.stdout), place.was()) == ("exit 0", server, "warm")


def test_children_that_are_killed_as_they_wait_are_replaced(place: Place) -> None:
    server = int(one_warm(place, "import os; print(os.getppid())").stdout)

    for _ in range(3):
        killed = children_of(server)
        for pid in killed:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda killed=killed: not {*killed} & {*children_of(server)}, "their end")  # type: ignore[misc]
        outcome = place.run("one.py")
        assert (str(outcome), int(outcome.stdout), place.was()) == ("exit 0", server, "warm")


def test_a_fork_server_that_a_script_stops_does_not_hold_the_others(place: Place) -> None:
    text = """
        import os, sys
        if len(sys.argv) > 1:
            os.kill(os.getppid(), 19)
        print("here")
    """
    one_warm(place, text)

    stopper = place.run("one.py", Case("", args=("x",)))

    assert stopper.why in (None, Why.INTERRUPTED)  # it may have come to its end before
    assert [place.run("one.py").stdout for _ in range(9)] == [b"here\n"] * 9


@pytest.mark.parametrize("size", [150_000, 900_000])
def test_an_environment_that_is_large_is_all_there(place: Place, size: int) -> None:
    one_warm(place, "import os; print(sum(len(os.environ.get(f'BIG{n}', '')) for n in range(9)))")
    case = Case("", env={f"BIG{n}": "x" * (size // 9) for n in range(9)})

    outcomes = [shown(place.run("one.py", case, how=how)) for how in HOW]

    assert outcomes[0] == outcomes[1]
    assert outcomes[0]["out"] == f"{size // 9 * 9}\n"


def test_an_environment_that_is_too_large_is_refused_as_it_is_cold(place: Place) -> None:
    one_warm(place, "print(1)")
    case = Case("", env={"BIG": "x" * (3 * MB)})

    outcomes = [shown(place.run("one.py", case, how=how)) for how in HOW]

    assert outcomes[0] == outcomes[1]
    assert outcomes[0]["why"] is Why.NOT_STARTED
