"""What every launcher promises: one suite, run over each of them.

Nothing here sleeps to wait for a script. A script that must be caught in the act says so
on its output, or opens a FIFO; a process that must be dead holds a FIFO's writing end,
which reads as ended when the last holder has died.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import signal
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

import pytest

from hookrunner.model import Outcome, State, Why
from hookrunner.seams import Emit, Ready, Start, Stream
from tests.launching import Launching

BECOMES = """
import gc, os, signal, sys
assert gc.get_freeze_count(), "it has started cold"
for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python itself ignores these
    signal.signal(number, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""


class Warm(Launching):
    """The launcher with a Python script that stands ready, and becomes what is to be started.

    So what a command finds around itself, and how it is seen to its end, is what a warm
    start gives. What is Python's own is for test_warm.py.
    """

    def __init__(self) -> None:
        warm = threading.Event()
        super().__init__(say=lambda level, line: warm.set())
        self.folder = TemporaryDirectory()
        self.script = Path(self.folder.name) / "becomes.py"
        self.script.write_text(BECOMES)
        self.stand_ready(Ready({self.script: ()}, {"PATH": PATH}, Path("/")))
        assert warm.wait(SECONDS)

    def start(self, start: Start, emit: Emit, ended: Callable[[Outcome], None]) -> None:
        command = (sys.executable, str(self.script), *start.command)
        super().start(replace(start, command=command, warm=True), emit, ended)

    def close(self) -> None:
        super().close()
        self.folder.cleanup()


LAUNCHERS: Mapping[str, Callable[[], Launching]] = {
    "cold": Launching,
    "warm": Warm,
}

ONLY_COLD = pytest.mark.parametrize("launcher", ["cold"], indirect=True)
"""For a command that cannot be executed, which no Python script can be; and where a script's
parent is the supervisor."""

MB = 1024 * 1024
SECONDS = 20.0
"""How long a script may take here; only one that will never end takes as long."""

PATH = os.environ.get("PATH", os.defpath)


@pytest.fixture(params=LAUNCHERS)
def launcher(request: pytest.FixtureRequest) -> Iterator[Launching]:
    """A launcher of each kind; nothing has been started by it."""
    launcher = LAUNCHERS[request.param]()
    yield launcher
    launcher.close()


EACH_WAY = pytest.mark.parametrize(
    ("memory", "shield"),
    [
        pytest.param(None, False, id="plain"),
        pytest.param(1024 * MB, False, id="memory"),
        pytest.param(None, True, id="shield"),
    ],
)
"""The ways in which a script may be started."""


class Leash:
    """A FIFO that processes hold open for writing: once they have let go, they are dead."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def let_go(self) -> bool:
        """True as soon as nobody holds it."""
        poll = select.poll()
        poll.register(self.fd, 0)
        return bool(poll.poll(SECONDS * 1000))


@pytest.fixture
def leash(tmp_path: Path) -> Iterator[Leash]:
    """For scripts to hold: `exec 9>"$LEASH"`."""
    made = Leash(tmp_path / "leash")
    yield made
    os.close(made.fd)


def nobody(stream: Stream, data: bytes) -> None:
    """An emit for output that no test looks at."""


class Heard:
    """An emit that keeps what it is told, and does something at the first sight of a word."""

    def __init__(self, word: bytes = b"", act: Callable[[], object] | None = None) -> None:
        self.word = word
        self.act = act
        self.all: dict[Stream, bytearray] = {"out": bytearray(), "err": bytearray()}

    def __call__(self, stream: Stream, data: bytes) -> None:
        self.all[stream] += data
        if self.act and self.word in self.all[stream]:
            act, self.act = self.act, None
            act()

    @property
    def out(self) -> bytes:
        return bytes(self.all["out"])

    @property
    def err(self) -> bytes:
        return bytes(self.all["err"])


def start(
    *command: str,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    cwd: Path | str = "/",
    timeout: float = SECONDS,
    max_output: int = MB,
    memory: int | None = None,
    shield: bool = False,
) -> Start:
    """A start of this command, patient and with plenty of room."""
    return Start(
        run_id="k3x9",
        command=command,
        env={"PATH": PATH} if env is None else env,
        cwd=Path(cwd),
        stdin=stdin,
        timeout=timeout,
        max_output=max_output,
        memory=memory,
        shield=shield,
    )


def shell(
    launcher: Launching,
    text: str,
    emit: Emit = nobody,
    *,
    timeout: float = SECONDS,
    max_output: int = MB,
    shield: bool = False,
    **env: str,
) -> Outcome:
    """Run a shell script to its end."""
    given = start(
        "/bin/sh",
        "-c",
        text,
        env={"PATH": PATH, **env},
        timeout=timeout,
        max_output=max_output,
        shield=shield,
    )
    return launcher.run(given, emit)


def python(
    launcher: Launching, text: str, emit: Emit = nobody, *, memory: int | None = None
) -> Outcome:
    """Run a Python script to its end."""
    return launcher.run(start(sys.executable, "-c", text, memory=memory), emit)


def open_descriptors() -> set[str]:
    """The descriptors that this process has open."""
    found = set()
    for path in list(Path("/proc/self/fd").iterdir()):
        with contextlib.suppress(OSError):  # the one they were listed with
            os.fstat(int(path.name))
            found.add(path.name)
    return found


@contextlib.contextmanager
def signals(handler: signal.Handlers, blocked: set[signal.Signals]) -> Iterator[None]:
    """The signals of a runner, however it was started, whatever it does with them itself."""
    numbers = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
    before = {number: signal.signal(number, handler) for number in numbers}
    mask = signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, its_own in before.items():
            signal.signal(number, its_own)


# --- standard input


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"no line end", id="no line end"),
        pytest.param(bytes(range(256)) * 7 + b"\r\n\0", id="binary"),
        pytest.param(os.urandom(5 * MB), id="5MB"),
    ],
)
def test_a_script_reads_its_stdin_byte_for_byte_and_then_its_end(
    launcher: Launching, data: bytes
) -> None:
    outcome = launcher.run(start("cat", stdin=data, max_output=6 * MB), nobody)

    assert outcome.state is State.SUCCEEDED
    assert hashlib.sha256(outcome.stdout).digest() == hashlib.sha256(data).digest()


def test_a_script_need_not_read_its_stdin(launcher: Launching) -> None:
    outcome = launcher.run(start("true", stdin=bytes(5 * MB)), nobody)

    assert outcome.state is State.SUCCEEDED


# --- standard output and standard error


def test_stdout_and_stderr_are_told_apart(launcher: Launching) -> None:
    heard = Heard()

    outcome = shell(launcher, "echo one; echo two >&2; printf three", heard)

    assert (outcome.stdout, outcome.stderr) == (b"one\nthree", b"two\n")
    assert (heard.out, heard.err) == (b"one\nthree", b"two\n")


def test_output_is_handed_on_while_the_script_still_runs(
    launcher: Launching, tmp_path: Path
) -> None:
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    heard = Heard(b"no line end yet", lambda: fifo.write_text("go on\n"))

    outcome = shell(launcher, 'printf "no line end yet"; cat "$FIFO"', heard, FIFO=str(fifo))

    assert outcome.state is State.SUCCEEDED
    assert heard.out == b"no line end yetgo on\n"


def test_a_script_may_fill_one_pipe_before_it_writes_to_the_other(launcher: Launching) -> None:
    text = """
import os
for size in (3_000_000, 1):
    for stream in (2, 1):
        left = size
        while left:
            left -= os.write(stream, bytes(left))
"""
    heard = Heard()

    outcome = python(launcher, text, heard)

    assert outcome.state is State.SUCCEEDED
    assert (len(heard.out), len(heard.err)) == (3_000_001, 3_000_001)


def test_what_a_script_wrote_just_before_its_end_is_kept(launcher: Launching) -> None:
    for _ in range(20):
        outcome = shell(launcher, "head -c 60000 /dev/zero; head -c 60000 /dev/zero >&2")

        assert (len(outcome.stdout), len(outcome.stderr)) == (60_000, 60_000)


def test_a_pipe_that_a_script_filled_before_it_died_is_read_to_its_end(launcher: Launching) -> None:
    text = f"""
import fcntl, os
for fd in (1, 2):
    fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, {MB})
for fd in (1, 2):
    os.write(fd, bytes({MB}))
os.kill(os.getpid(), 9)
"""
    for _ in range(10):
        outcome = python(launcher, text)

        assert (len(outcome.stdout), len(outcome.stderr)) == (MB, MB)


def test_output_of_the_limit_is_kept_whole(launcher: Launching) -> None:
    outcome = shell(launcher, "printf 0123456789; printf abcdefghij >&2", max_output=10)

    assert (outcome.stdout, outcome.stderr) == (b"0123456789", b"abcdefghij")


def test_output_beyond_the_limit_loses_its_middle_and_says_how_much(launcher: Launching) -> None:
    heard = Heard()

    outcome = shell(launcher, "printf 0123456789ABC; printf err >&2", heard, max_output=11)

    assert outcome.stdout == b"01234\n[... 2 bytes left out ...]\n789ABC"
    assert outcome.stderr == b"err"
    assert heard.out == b"0123456789ABC"


def test_a_line_of_60_mb_takes_little_memory_and_is_kept_head_and_tail(
    launcher: Launching,
) -> None:
    handed_on = 0

    def count(stream: Stream, data: bytes) -> None:
        nonlocal handed_on
        handed_on += len(data)

    text = "printf HEAD; head -c 60000000 /dev/zero | tr '\\0' x; printf TAIL"
    tracemalloc.start()
    try:
        outcome = shell(launcher, text, count, max_output=MB)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    half = MB // 2
    assert outcome.stdout == (
        b"HEAD"
        + b"x" * (half - 4)
        + b"\n[... %d bytes left out ...]\n" % (60_000_008 - MB)
        + b"x" * (half - 4)
        + b"TAIL"
    )
    assert handed_on == 60_000_008
    assert peak < 8 * MB


# --- how a script ends


@pytest.mark.parametrize("code", [1, 3, 126, 127, 128, 137, 255])
def test_a_script_fails_by_its_exit_code(launcher: Launching, code: int) -> None:
    outcome = shell(launcher, f"exit {code}")

    assert (outcome.state, outcome.why) == (State.FAILED, Why.EXIT)
    assert (outcome.exit_code, outcome.signal) == (code, None)
    assert str(outcome) == f"exit {code}"


def test_a_script_succeeds_by_exit_0_whatever_it_says_on_stderr(launcher: Launching) -> None:
    outcome = shell(launcher, "echo alas >&2")

    assert (outcome.state, outcome.why) == (State.SUCCEEDED, None)
    assert (outcome.exit_code, outcome.signal) == (0, None)
    assert str(outcome) == "exit 0"
    assert outcome.seconds > 0


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (signal.SIGTERM, "signal 15 (SIGTERM)"),
        (signal.SIGKILL, "signal 9 (SIGKILL)"),
        (signal.SIGPIPE, "signal 13 (SIGPIPE)"),
        (40, "signal 40 (unknown)"),
    ],
)
def test_a_script_that_dies_of_a_signal_failed_by_it(
    launcher: Launching, number: int, told: str
) -> None:
    outcome = shell(launcher, f"kill -{int(number)} $$")

    assert (outcome.state, outcome.why) == (State.FAILED, Why.SIGNAL)
    assert (outcome.exit_code, outcome.signal) == (None, number)
    assert str(outcome) == told


# --- a timeout


def test_a_script_out_of_time_gets_a_term(launcher: Launching) -> None:
    outcome = launcher.run(start("sleep", "1000", timeout=0.2), nobody)

    assert (outcome.state, outcome.why) == (State.FAILED, Why.TIMEOUT)
    assert (outcome.exit_code, outcome.signal) == (None, signal.SIGTERM)
    assert str(outcome) == "timed out after 0.2 s"


def test_a_script_out_of_time_has_failed_even_if_it_then_exits_0(launcher: Launching) -> None:
    outcome = shell(launcher, "trap 'exit 0' TERM; sleep 1000 & wait", timeout=1)

    assert (outcome.state, outcome.why) == (State.FAILED, Why.TIMEOUT)
    assert str(outcome) == "timed out after 1 s"


def test_a_script_that_has_closed_its_output_is_out_of_time_all_the_same(
    launcher: Launching,
) -> None:
    outcome = shell(launcher, "exec >&- 2>&-; sleep 1000", timeout=0.2)

    assert outcome.why is Why.TIMEOUT


def test_a_script_that_never_stops_talking_is_out_of_time_all_the_same(
    launcher: Launching,
) -> None:
    outcome = shell(launcher, "exec cat /dev/zero", timeout=0.2)

    assert outcome.why is Why.TIMEOUT


def test_a_group_that_ignores_the_term_of_a_timeout_is_killed_and_its_output_kept(
    launcher: Launching, leash: Leash
) -> None:
    text = """
trap '' TERM
exec 9>"$LEASH"
sh -c 'echo child; while :; do sleep 1000; done' &
echo leader
while :; do sleep 1000; done
"""
    outcome = shell(launcher, text, timeout=1, LEASH=str(leash.path))

    assert (outcome.state, outcome.why) == (State.FAILED, Why.TIMEOUT)
    assert (outcome.exit_code, outcome.signal) == (None, signal.SIGKILL)
    assert sorted(outcome.stdout.splitlines()) == [b"child", b"leader"]
    assert leash.let_go()


# --- what a script leaves running


def test_what_a_script_leaves_running_in_its_group_cannot_hold_the_answer_and_dies(
    launcher: Launching, leash: Leash
) -> None:
    text = """exec 9>"$LEASH"; trap '' TERM HUP; sleep 1000 & echo done"""

    outcome = shell(launcher, text, LEASH=str(leash.path))

    assert (outcome.state, outcome.stdout) == (State.SUCCEEDED, b"done\n")
    assert leash.let_go()


def test_what_a_failed_script_leaves_running_in_its_group_dies_too(
    launcher: Launching, leash: Leash
) -> None:
    outcome = shell(launcher, 'exec 9>"$LEASH"; sleep 1000 & kill -9 $$', LEASH=str(leash.path))

    assert outcome.signal == signal.SIGKILL
    assert leash.let_go()


def test_what_has_a_session_of_its_own_cannot_hold_the_answer_by_an_open_pipe(
    launcher: Launching,
) -> None:
    text = """
import subprocess
print(subprocess.Popen(["sleep", "1000"], start_new_session=True).pid, flush=True)
"""
    outcome = python(launcher, text)

    with contextlib.suppress(ProcessLookupError):  # a launcher may have seen to it
        os.kill(int(outcome.stdout), signal.SIGKILL)
    assert outcome.state is State.SUCCEEDED


def test_what_floods_the_pipe_from_a_session_of_its_own_cannot_hold_the_answer(
    launcher: Launching,
) -> None:
    text = """
import subprocess, sys
print(subprocess.Popen(["cat", "/dev/zero"], stdout=2, start_new_session=True).pid, flush=True)
"""
    outcome = python(launcher, text)

    with contextlib.suppress(ProcessLookupError):
        os.kill(int(outcome.stdout), signal.SIGKILL)
    assert outcome.state is State.SUCCEEDED


# --- what a script finds around it


def test_a_script_works_in_the_folder_it_is_given(launcher: Launching, tmp_path: Path) -> None:
    outcome = launcher.run(start("pwd", "-P", cwd=tmp_path), nobody)

    assert outcome.stdout.decode() == f"{tmp_path.resolve()}\n"


@pytest.mark.parametrize(
    "env",
    [
        pytest.param({}, id="none"),
        pytest.param({"B": "2\n2", "A": "", "not-a.name": "ü\udcff"}, id="some"),
    ],
)
@EACH_WAY
def test_a_script_has_exactly_the_environment_it_is_given(
    launcher: Launching, env: dict[str, str], memory: int | None, shield: bool
) -> None:
    given = start("/usr/bin/env", "-0", env=env, memory=memory, shield=shield)

    outcome = launcher.run(given, nobody)

    found = outcome.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]
    assert sorted(found) == sorted(f"{name}={value}" for name, value in env.items())


@EACH_WAY
def test_a_script_gets_its_arguments_as_they_are(
    launcher: Launching, memory: int | None, shield: bool
) -> None:
    arguments = ("", "two words", "$HOME `id` $(id) ; id", "-n", "*", "a\nb", "ü")
    given = start("printf", "%s\\0", *arguments, memory=memory, shield=shield)

    assert launcher.run(given, nobody).stdout.decode() == "".join(f"{a}\0" for a in arguments)


def test_a_script_leads_a_session_and_a_process_group_of_its_own(launcher: Launching) -> None:
    outcome = python(launcher, "import os; print(os.getpid(), os.getsid(0), os.getpgid(0))")

    assert len(set(outcome.stdout.split())) == 1
    assert int(outcome.stdout.split()[0]) != os.getpid()


def test_a_script_inherits_no_descriptor_but_the_standard_three(launcher: Launching) -> None:
    text = """
import os
for fd in os.listdir("/proc/self/fd"):
    try:
        os.fstat(int(fd))
        print(fd)
    except OSError:
        pass  # the one they were listed with
"""
    ours = os.dup2(os.open("/dev/null", os.O_RDONLY), 77, inheritable=True)
    try:
        outcome = python(launcher, text)
    finally:
        os.close(ours)

    assert sorted(outcome.stdout.split()) == [b"0", b"1", b"2"]


def signals_seen(launcher: Launching, *, shield: bool = False) -> dict[str, int]:
    """The sets of signals that a script finds ignored and blocked at its start."""
    command = ("grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status")
    outcome = launcher.run(start(*command, shield=shield), nobody)
    lines = (line.split(":") for line in outcome.stdout.decode().splitlines())
    # 32 and 33 are the C library's own; nobody else can set them.
    return {name: int(value, 16) & ~(0b11 << 31) for name, value in lines}


def test_a_script_starts_with_standard_signals(launcher: Launching) -> None:
    with signals(signal.SIG_DFL, blocked=set()):
        assert signals_seen(launcher) == {"SigIgn": 0, "SigBlk": 0}


def test_a_script_starts_with_standard_signals_though_the_runner_ignores_and_blocks_some(
    launcher: Launching,
) -> None:
    with signals(signal.SIG_IGN, blocked={signal.SIGUSR1}):
        assert signals_seen(launcher) == {"SigIgn": 0, "SigBlk": 0}


def test_a_script_cannot_take_more_memory_than_its_limit(launcher: Launching) -> None:
    text = "bytearray(300 * 1024 ** 2); print('had it')"

    limited = python(launcher, text, memory=200 * MB)
    free = python(launcher, text)

    assert (limited.why, limited.exit_code, limited.stdout) == (Why.EXIT, 1, b"")
    assert limited.stderr.endswith(b"MemoryError\n")
    assert free.stdout == b"had it\n"


def test_a_shielded_script_starts_with_term_ignored_and_nothing_else(launcher: Launching) -> None:
    with signals(signal.SIG_DFL, blocked=set()):
        seen = signals_seen(launcher, shield=True)

    assert seen == {"SigIgn": 1 << (signal.SIGTERM - 1), "SigBlk": 0}


def test_a_shielded_script_outlives_a_term(launcher: Launching) -> None:
    outcome = shell(launcher, "kill -TERM $$; echo alive", shield=True)

    assert (outcome.state, outcome.stdout) == (State.SUCCEEDED, b"alive\n")


# --- a script that cannot be started


def broken(folder: Path, name: str, text: str, mode: int = 0o755) -> str:
    """A script that is broken in one way or other."""
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def not_started(outcome: Outcome) -> str:
    """The detail of an outcome that is in every other respect a script not started."""
    assert (outcome.state, outcome.why) == (State.FAILED, Why.NOT_STARTED)
    assert (outcome.exit_code, outcome.signal) == (None, None)
    assert (outcome.stdout, outcome.stderr) == (b"", b"")
    return str(outcome)


@ONLY_COLD
@EACH_WAY
def test_a_missing_script_is_not_started(
    launcher: Launching, tmp_path: Path, memory: int | None, shield: bool
) -> None:
    given = start(str(tmp_path / "gone"), memory=memory, shield=shield)

    told = not_started(launcher.run(given, nobody))

    assert told == "not started: gone: No such file or directory"


@ONLY_COLD
@EACH_WAY
def test_a_script_without_its_run_bit_is_not_started(
    launcher: Launching, tmp_path: Path, memory: int | None, shield: bool
) -> None:
    script = broken(tmp_path, "plain", "#!/bin/sh\n", mode=0o644)
    given = start(script, memory=memory, shield=shield)

    assert not_started(launcher.run(given, nobody)) == "not started: plain: Permission denied"


@ONLY_COLD
@EACH_WAY
def test_a_script_whose_interpreter_is_missing_is_not_started(
    launcher: Launching, tmp_path: Path, memory: int | None, shield: bool
) -> None:
    script = broken(tmp_path, "odd", "#!/no/such/interpreter\n")
    given = start(script, memory=memory, shield=shield)

    assert not_started(launcher.run(given, nobody)) == "not started: odd: No such file or directory"


@ONLY_COLD
def test_a_script_that_is_no_program_is_not_started(launcher: Launching, tmp_path: Path) -> None:
    given = start(broken(tmp_path, "text", "no interpreter is named\n"))

    assert not_started(launcher.run(given, nobody)) == "not started: text: Exec format error"


@ONLY_COLD
def test_a_supervisor_that_a_script_stops_or_kills_is_replaced(launcher: Launching) -> None:
    for number in ("STOP", "KILL"):
        outcome = shell(launcher, f"kill -{number} $PPID; sleep 1000")
        assert (outcome.state, outcome.why) == (State.FAILED, Why.INTERRUPTED)
        assert outcome.detail == "interrupted: the supervisor ended"

        assert shell(launcher, "echo still here").stdout == b"still here\n"


def test_a_script_whose_folder_is_gone_is_not_started(launcher: Launching, tmp_path: Path) -> None:
    given = start("true", cwd=tmp_path / "nowhere")

    told = not_started(launcher.run(given, nobody))

    assert told == "not started: nowhere: No such file or directory"


@pytest.mark.parametrize("where", ["env", "arguments"])
def test_a_script_with_a_nul_in_what_it_gets_is_not_started(
    launcher: Launching, where: str
) -> None:
    given = start("true", env={"A": "a\0b"}) if where == "env" else start("true", "a\0b")

    assert not_started(launcher.run(given, nobody)) == (
        "not started: a value for its environment or arguments holds a NUL character"
    )


@EACH_WAY
def test_a_script_with_too_large_an_environment_is_not_started(
    launcher: Launching, memory: int | None, shield: bool
) -> None:
    given = start("true", env={"A": "x" * (3 * MB)}, memory=memory, shield=shield)

    assert not_started(launcher.run(given, nobody)) == (
        "not started: its environment and arguments together are too large"
    )


@ONLY_COLD
def test_a_script_that_was_not_started_says_nothing(launcher: Launching, tmp_path: Path) -> None:
    heard = Heard()

    launcher.run(start(str(tmp_path / "gone")), heard)

    assert (heard.out, heard.err) == (b"", b"")


# --- the runner is stopping

TRAPS = "trap 'exit {code}' TERM; echo ready; sleep 1000 & wait"


def test_begin_stop_lets_what_runs_come_to_its_end(launcher: Launching, tmp_path: Path) -> None:
    fifo = tmp_path / "go"
    os.mkfifo(fifo)

    def stop_and_go_on() -> None:
        launcher.begin_stop()
        fifo.write_text("go on\n")

    heard = Heard(b"ready", stop_and_go_on)

    outcome = shell(launcher, 'echo ready; cat "$FIFO"; exit 3', heard, FIFO=str(fifo))

    assert (outcome.why, outcome.exit_code) == (Why.EXIT, 3)
    assert outcome.stdout == b"ready\ngo on\n"


@pytest.mark.parametrize("name", ["TERM", "KILL"])
def test_a_script_that_dies_of_a_strangers_signal_while_stopping_was_interrupted(
    launcher: Launching, name: str
) -> None:
    launcher.begin_stop()

    outcome = shell(launcher, f"echo so far; kill -{name} $$")

    assert (outcome.state, outcome.why) == (State.FAILED, Why.INTERRUPTED)
    assert outcome.signal == signal.Signals[f"SIG{name}"]
    assert str(outcome) == "interrupted: the runner is stopping"
    assert outcome.stdout == b"so far\n"


def test_a_script_that_dies_of_any_other_signal_while_stopping_is_at_fault(
    launcher: Launching,
) -> None:
    launcher.begin_stop()

    outcome = shell(launcher, "kill -SEGV $$")

    assert (outcome.why, str(outcome)) == (Why.SIGNAL, "signal 11 (SIGSEGV)")


def test_a_script_that_times_out_while_stopping_has_timed_out(launcher: Launching) -> None:
    launcher.begin_stop()

    outcome = launcher.run(start("sleep", "1000", timeout=0.2), nobody)

    assert outcome.why is Why.TIMEOUT


def test_terminate_sends_term_to_the_whole_group(launcher: Launching) -> None:
    # The child is not asked before its trap stands, nor the leader: it says ready for both.
    text = """
trap 'wait; exit 4' TERM
sh -c 'trap "echo child had TERM; exit" TERM; echo ready; sleep 1000 & wait' &
wait
"""
    outcome = shell(launcher, text, Heard(b"ready", launcher.terminate))

    assert outcome.stdout == b"ready\nchild had TERM\n"
    assert outcome.exit_code == 4


def test_a_script_that_fails_of_terminate_was_interrupted(launcher: Launching) -> None:
    outcome = shell(launcher, TRAPS.format(code=3), Heard(b"ready", launcher.terminate))

    assert (outcome.state, outcome.why) == (State.FAILED, Why.INTERRUPTED)
    assert (outcome.exit_code, outcome.signal) == (3, None)
    assert str(outcome) == "interrupted: the runner is stopping"


def test_a_script_that_is_told_to_terminate_and_exits_0_succeeded(launcher: Launching) -> None:
    outcome = shell(launcher, TRAPS.format(code=0), Heard(b"ready", launcher.terminate))

    assert (outcome.state, outcome.why) == (State.SUCCEEDED, None)


def test_a_script_that_is_started_after_terminate_is_interrupted(launcher: Launching) -> None:
    launcher.terminate()

    outcome = launcher.run(start("sleep", "1000"), nobody)

    assert (outcome.why, outcome.signal) == (Why.INTERRUPTED, signal.SIGTERM)


def test_kill_ends_a_whole_group_that_ignores_term_as_interrupted(
    launcher: Launching, leash: Leash
) -> None:
    text = """exec 9>"$LEASH"; trap '' TERM; sleep 1000 & echo ready; wait"""

    def stop() -> None:
        launcher.begin_stop()
        launcher.terminate()
        launcher.kill()

    outcome = shell(launcher, text, Heard(b"ready", stop), LEASH=str(leash.path))

    assert (outcome.why, outcome.signal) == (Why.INTERRUPTED, signal.SIGKILL)
    assert leash.let_go()


def test_kill_interrupts_even_if_nothing_came_before_it(launcher: Launching) -> None:
    outcome = shell(launcher, "echo ready; sleep 1000", Heard(b"ready", launcher.kill))

    assert (outcome.why, outcome.signal) == (Why.INTERRUPTED, signal.SIGKILL)


@pytest.mark.parametrize("order", ["terminate", "kill"])
def test_every_script_that_runs_is_told_to_end(launcher: Launching, order: str) -> None:
    ready: SimpleQueue[None] = SimpleQueue()

    def run() -> Outcome:
        return shell(launcher, "echo ready; sleep 1000", Heard(b"ready", lambda: ready.put(None)))

    launcher.begin_stop()
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(run) for _ in range(4)]
        for _ in runs:
            ready.get(timeout=SECONDS)
        getattr(launcher, order)()

    assert [run.result().why for run in runs] == [Why.INTERRUPTED] * 4


# --- many scripts


def test_scripts_that_run_at_once_keep_their_own_input_and_output(launcher: Launching) -> None:
    inputs = [os.urandom(200_000) for _ in range(16)]

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(
            pool.map(lambda data: launcher.run(start("cat", stdin=data), nobody), inputs)
        )

    assert [outcome.stdout for outcome in outcomes] == inputs


def test_runs_leave_no_descriptor_open(launcher: Launching, tmp_path: Path) -> None:
    shell(launcher, "true")  # what a launcher opens once and for all
    before = open_descriptors()

    for _ in range(5):
        shell(launcher, "echo; sleep 1000 & exit 3")
        launcher.run(start(str(tmp_path / "gone")), nobody)
        launcher.run(start("sleep", "1000", timeout=0.01), nobody)

    assert open_descriptors() == before
