"""What is SQLite's own: the file, its lock, its disk. What every journal promises: test_journal."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest

from hookrunner.journal.sqlite import MIGRATIONS, SqliteJournal
from hookrunner.journal.tally import COARSE, KEPT_SLOTS, SLOT, SLOTS
from hookrunner.model import JournalUnavailable, Run, Search, State, Trouble
from tests.serving import REPOSITORY, SECONDS
from tests.storing import HOOKS
from tests.test_journal import (
    CUT_OFF,
    DONE,
    FAILED,
    FOR_EVER,
    HELLO,
    KEPT_NOT,
    NAMED,
    PLAIN,
    claimed,
    known,
    made,
    nothing_due,
    outcome,
)

T = TypeVar("T")

FULL = 2
"""What `PRAGMA synchronous` says where every commit is synced."""

needs_denial = pytest.mark.skipif(os.geteuid() == 0, reason="nothing can be denied to root")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for a journal; it is not there yet."""
    return tmp_path / "var" / "data"


@pytest.fixture
def journal(folder: Path) -> Iterator[SqliteJournal]:
    """An open journal, with nothing in it."""
    made = SqliteJournal(folder)
    yield made
    made.close()


PROGRAM = """
import os, resource, subprocess, sys
from pathlib import Path
import hookrunner.folder
from hookrunner.journal.sqlite import SqliteJournal
from hookrunner.model import JournalUnavailable, Trouble
from tests.test_journal import claimed, made
folder = Path(sys.argv[1])

def say_when_asking(event, given):
    if event == "fcntl.flock":
        os.write(1, b"asking\\n")
"""
OPEN = """
sys.addaudithook(say_when_asking)
try:
    print("opened", *SqliteJournal(folder).unfinished())
except Trouble as error:
    print(error)
"""


def command(text: str, folder: Path) -> list[str]:
    """What runs Python with a journal's folder as its argument."""
    return [sys.executable, "-c", PROGRAM + text, str(folder)]


def in_another_process(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python to its end."""
    return subprocess.run(
        command(text, folder),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def begin(text: str, folder: Path) -> subprocess.Popen[str]:
    """Run Python beside the test."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command(text, folder), cwd=REPOSITORY, stdin=pipe, stdout=pipe, text=True
    )


def trouble(folder: Path) -> str:
    """What is said of a journal that cannot be opened."""
    try:
        SqliteJournal(folder).close()
    except Trouble as error:  # not pytest.raises: it would keep what the error holds on to
        return str(error)
    raise AssertionError("it was opened")


def open_files(folder: Path) -> list[str]:
    """The files of the folder that this process has open, deleted ones included."""
    found = []
    for link in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError):  # the descriptor they were listed with
            found.append(str(link.readlink()))
    return [name for name in found if name.startswith(f"{folder}/")]


# --- one process


def test_a_second_process_is_refused_at_once_and_told_what_to_do(
    journal: SqliteJournal, folder: Path
) -> None:
    second = in_another_process(OPEN, folder)

    assert second.stderr == ""
    assert second.stdout == (
        "asking\n"
        f"another runner works in {folder}; stop it, or name another folder with --data DIR\n"
    )
    assert known(journal, made(journal)).state is State.QUEUED


LEAVE_A_SUPERVISOR = """
journal = SqliteJournal(folder)
print(made(journal), flush=True)
waits = "import sys; print('here', flush=True); sys.stdin.read()"
subprocess.Popen([sys.executable, "-c", waits], pass_fds=[journal.lock])
sys.stdout.close()
os.kill(os.getpid(), 9)
"""


@contextmanager
def dead_runners_supervisor(folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """A process that holds the lock of a runner that is no more; the run, and how to end it."""
    with begin(LEAVE_A_SUPERVISOR, folder) as runner:
        assert runner.stdin
        assert runner.stdout
        run_id = runner.stdout.readline().strip()
        assert runner.stdout.readline() == "here\n"
        assert runner.wait(SECONDS) == -signal.SIGKILL
        yield run_id, runner.stdin.close


def test_a_dead_runners_supervisor_is_waited_for(folder: Path) -> None:
    with (
        dead_runners_supervisor(folder) as (run_id, end_it),
        begin(OPEN, folder) as second,
    ):
        assert second.stdout
        # Who asks again was not given it, and has not gone away.
        assert [second.stdout.readline() for _ in range(3)] == ["asking\n"] * 3
        end_it()
        last = [line for line in second.stdout if line != "asking\n"]

    assert last == [f"opened {run_id}\n"]


def test_a_dead_runners_supervisor_is_not_waited_for_for_ever(folder: Path) -> None:
    with dead_runners_supervisor(folder):
        second = in_another_process(f"hookrunner.folder.PREDECESSOR = 0.01\n{OPEN}", folder)

    assert second.stdout.splitlines()[-1] == (
        f"another runner works in {folder}; stop it, or name another folder with --data DIR"
    )


def test_a_second_journal_in_the_same_process_is_refused_too(
    journal: SqliteJournal, folder: Path
) -> None:
    assert trouble(folder) == (
        f"another runner works in {folder}; stop it, or name another folder with --data DIR"
    )


def test_two_folders_have_two_journals(journal: SqliteJournal, tmp_path: Path) -> None:
    run_id = made(journal)

    with closing(SqliteJournal(tmp_path / "other")) as other:
        assert other.run(run_id) is None


def test_a_process_killed_outright_leaves_its_runs_and_no_lock(folder: Path) -> None:
    text = """
journal = SqliteJournal(folder)
ids = [made(journal) for _ in range(3)]
claim = claimed(journal)
print(*ids, flush=True)
os.kill(os.getpid(), 9)
"""
    killed = in_another_process(text, folder)

    assert killed.returncode == -signal.SIGKILL
    with closing(SqliteJournal(folder)) as journal:
        first, *others = (known(journal, run_id) for run_id in killed.stdout.split())
        assert first.state is State.RUNNING
        assert [run.state for run in others] == [State.QUEUED] * 2
        assert journal.recover(HOOKS) == (1, [])


# --- a file that cannot be had


def test_a_file_that_is_no_database_is_not_opened_and_left_as_it_is(folder: Path) -> None:
    folder.mkdir(parents=True)
    path = folder / "runs.sqlite"
    path.write_bytes(b"this is no database\n" * 500)

    told = trouble(folder)

    assert told == (
        f"the journal {path} cannot be opened: file is not a database; "
        "if the file is damaged, move it away and start again"
    )
    assert path.read_bytes() == b"this is no database\n" * 500


def test_a_file_damaged_in_its_middle_makes_the_journal_unavailable(folder: Path) -> None:
    with closing(SqliteJournal(folder)) as journal:
        run_id = made(journal)
    path = folder / "runs.sqlite"
    with closing(sqlite3.connect(path)) as db:
        [size] = db.execute("PRAGMA page_size").fetchone()
        roots = db.execute("SELECT rootpage FROM sqlite_schema WHERE rootpage > 0").fetchall()
    with path.open("r+b") as file:
        for (page,) in roots:
            file.seek((page - 1) * size)
            file.write(b"\xa5" * size)

    with closing(SqliteJournal(folder)) as journal:
        for call in (
            lambda: made(journal),
            lambda: journal.claim(HOOKS, FOR_EVER),
            lambda: journal.run(run_id),
        ):
            with pytest.raises(JournalUnavailable, match="database disk image is malformed"):
                call()


def test_a_newer_schema_is_not_touched(folder: Path) -> None:
    SqliteJournal(folder).close()
    path = folder / "runs.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 1000")

    told = trouble(folder)

    assert told == (
        f"the journal {path} cannot be opened: "
        "it was written by a newer version (schema 1000); "
        "install that version again, or name another folder with --data DIR"
    )
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1000,)


def test_a_folder_in_place_of_the_file_is_told(folder: Path) -> None:
    path = folder / "runs.sqlite"
    path.mkdir(parents=True)

    assert trouble(folder) == (
        f"the journal {path} cannot be opened: unable to open database file; "
        "if the file is damaged, move it away and start again"
    )


def test_a_file_in_place_of_the_folder_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "var"
    folder.write_text("")

    assert trouble(folder) == (
        f"the folder {folder} cannot be written: File exists; "
        "name another with --data DIR or DATA_DIR"
    )


def test_a_file_in_place_of_the_folder_above_is_told(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("")
    folder = tmp_path / "var" / "data"

    assert trouble(folder) == (
        f"the folder {folder} cannot be written: Not a directory; "
        "name another with --data DIR or DATA_DIR"
    )


@needs_denial
def test_a_folder_that_may_not_be_written_is_told(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o500)

    assert trouble(folder) == (
        f"the folder {folder} cannot be written: Permission denied; "
        "name another with --data DIR or DATA_DIR"
    )


@needs_denial
def test_a_file_that_may_not_be_written_is_told(folder: Path) -> None:
    SqliteJournal(folder).close()
    path = folder / "runs.sqlite"
    path.chmod(0o400)

    assert trouble(folder).startswith(f"the journal {path} cannot be opened: attempt to write")


def test_a_journal_that_could_not_be_opened_holds_neither_lock_nor_descriptor(
    folder: Path,
) -> None:
    folder.mkdir(parents=True)
    path = folder / "runs.sqlite"
    path.write_bytes(b"this is no database\n" * 500)

    trouble(folder)

    assert open_files(folder) == []
    path.unlink()
    SqliteJournal(folder).close()


def test_a_closed_journal_holds_no_descriptor(folder: Path) -> None:
    with closing(SqliteJournal(folder)) as journal:
        journal.run(made(journal))
        assert open_files(folder)

    assert open_files(folder) == []


# --- whom the files are for


@pytest.fixture
def open_umask() -> Iterator[None]:
    """New files may be read and written by all who are not kept out."""
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


@pytest.mark.usefixtures("open_umask")
def test_nobody_else_may_read_what_the_journal_holds(folder: Path) -> None:
    with closing(SqliteJournal(folder)) as journal:
        made(journal)

        names = ("runs.lock", "runs.sqlite", "runs.sqlite-shm", "runs.sqlite-wal")
        assert modes(folder) == dict.fromkeys(names, 0o600)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_file_that_others_could_read_is_closed_to_them(folder: Path) -> None:
    SqliteJournal(folder).close()
    (folder / "runs.sqlite").chmod(0o644)

    SqliteJournal(folder).close()

    assert modes(folder)["runs.sqlite"] == 0o600


# --- the disk


@contextmanager
def no_file_grows_beyond(size: int) -> Iterator[None]:
    """A write further out fails, as it does on a disk that cannot take it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_takes_no_more_refuses_a_run_and_keeps_those_before_it(
    folder: Path, journal: SqliteJournal
) -> None:
    kept = made(journal)

    with no_file_grows_beyond(500_000), pytest.raises(JournalUnavailable) as raised:
        made(journal, replace(HELLO, body=bytes(1_000_000)))

    assert str(raised.value) == "disk I/O error"
    after = made(journal)
    assert [claimed(journal).run_id for _ in range(2)] == [kept, after]
    assert nothing_due(journal)  # nothing is left of the refused one
    journal.close()
    with closing(SqliteJournal(folder)) as again:
        assert again.recover(HOOKS) == (2, [])


def test_a_full_database_refuses_runs_and_takes_them_again_when_there_is_room(
    journal: SqliteJournal,
) -> None:
    # SQLite's own limit says what a full disk says; it holds for one connection only.
    journal._write.execute("PRAGMA max_page_count = 20")
    ids = []

    with pytest.raises(JournalUnavailable) as raised:
        for _ in range(100):
            ids.append(made(journal, replace(HELLO, body=bytes(5000))))  # noqa: PERF401

    assert str(raised.value) == "database or disk is full"
    journal._write.execute("PRAGMA max_page_count = 1000000")
    ids.append(made(journal))
    assert [claimed(journal).run_id for _ in ids] == ids
    assert nothing_due(journal)


def test_a_run_that_cannot_be_settled_is_still_running(journal: SqliteJournal) -> None:
    run_id = made(journal)
    claim = claimed(journal)

    with no_file_grows_beyond(500_000), pytest.raises(JournalUnavailable):
        journal.settle(claim, replace(DONE, stdout=bytes(1_000_000)))

    assert known(journal, run_id).state is State.RUNNING
    assert known(journal, run_id).outcome is None
    assert journal.settle(claim, DONE)
    assert known(journal, run_id).outcome == DONE


def test_when_the_disk_fails_whoever_got_an_id_has_a_run_and_nobody_else(
    folder: Path, journal: SqliteJournal
) -> None:
    def record(_: int) -> str | None:
        with suppress(JournalUnavailable):
            return made(journal, replace(HELLO, body=bytes(10_000)))
        return None

    with no_file_grows_beyond(1_000_000), ThreadPoolExecutor(20) as pool:
        ids = list(pool.map(record, range(400)))

    acknowledged = {run_id for run_id in ids if run_id}
    assert 0 < len(acknowledged) < 400
    journal.close()
    with closing(SqliteJournal(folder)) as again:
        assert {claimed(again).run_id for _ in acknowledged} == acknowledged
        assert nothing_due(again)


class Disk:
    """A disk on which one write fails: the `fails_at`-th, counted from when it is set.

    SQLite may have rolled the transaction back by then, or leave that to us.
    """

    def __init__(self, *, rolls_back: bool) -> None:
        self.rolls_back = rolls_back
        self.fails_at = 0

    def connect(self, *args: Any, **kwargs: Any) -> sqlite3.Connection:
        disk = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
                if not sql.lstrip().startswith("SELECT"):
                    disk.write(self)
                return super().execute(sql, parameters)

        return sqlite3.connect(*args, **kwargs, factory=Connection)

    def write(self, db: sqlite3.Connection) -> None:
        self.fails_at -= 1
        if self.fails_at == 0:
            if self.rolls_back:
                db.rollback()
            raise sqlite3.OperationalError("disk I/O error")


class Witness:
    """Does what is asked for on a disk that may fail, and looks at what a failure leaves."""

    def __init__(self, folder: Path, journal: SqliteJournal) -> None:
        self.folder = folder
        self.journal = journal
        self.ids: list[str] = []
        self.failures = 0

    def do(self, act: Callable[[], T]) -> T:
        """Do it. If the disk fails, nothing has happened, and it can be done again."""
        before = self.known(self.journal)
        try:
            return act()
        except JournalUnavailable as error:
            assert str(error) == "disk I/O error"
        self.failures += 1
        assert self.known(self.journal) == before
        assert self.left_by_a_crash() == before
        return act()

    def record(self, *, named: bool = False) -> None:
        self.ids.append(self.do(lambda: made(self.journal, NAMED if named else HELLO)))

    def known(self, journal: SqliteJournal) -> tuple[list[Run | None], list[str], list[str]]:
        """All that was acknowledged, all that would still be run, and be told of."""
        runs = [journal.run(run_id) for run_id in self.ids]
        return runs, journal.unfinished(), journal.untold()

    def left_by_a_crash(self) -> tuple[list[Run | None], list[str], list[str]]:
        """What a process would find that began now, after this one was killed."""
        copy = self.folder.with_name("copy")
        shutil.copytree(self.folder, copy)
        try:
            with closing(SqliteJournal(copy)) as found:
                return self.known(found)
        finally:
            shutil.rmtree(copy)


def live_a_whole_life(witness: Witness) -> None:
    """Everything that can happen to three runs, and what must then be known of them."""
    journal, do = witness.journal, witness.do
    witness.record(named=True)
    witness.record()
    witness.record()
    first, second, third = witness.ids

    claim = do(lambda: claimed(journal))
    assert do(lambda: journal.renew([claim], FOR_EVER)) == {first}
    assert do(lambda: journal.append(claim, b"h", b""))
    assert do(lambda: journal.settle(claim, DONE))

    claim = do(lambda: claimed(journal))
    assert do(lambda: journal.settle(claim, FAILED, again_in=FOR_EVER))

    claim = do(lambda: claimed(journal, lease=0))
    assert do(lambda: journal.append(claim, b"so far\n", b""))
    assert do(lambda: journal.interrupt(claim, rerun=True)) is State.QUEUED
    assert outcome(journal, third) == replace(CUT_OFF, stdout=b"so far\n")
    do(lambda: claimed(journal, lease=0))
    claim = do(lambda: claimed(journal))
    assert (claim.run_id, claim.attempt, claim.interruptions) == (third, 3, 2)

    assert do(lambda: journal.cancel(second)) is State.QUEUED
    assert do(lambda: journal.cancel(third)) is State.RUNNING
    assert not do(lambda: journal.settle(claim, FAILED))
    assert do(lambda: journal.record(NAMED, PLAIN)).run_id == first
    states = [known(journal, run_id).state for run_id in witness.ids]
    assert states == [State.SUCCEEDED, State.CANCELLED, State.CANCELLED]
    assert [outcome(journal, run_id) for run_id in witness.ids] == [DONE, FAILED, FAILED]

    assert do(lambda: journal.prune(KEPT_NOT, 1)) == 1
    witness.record(named=True)
    assert do(lambda: journal.fail_lost({})) == witness.ids[-1:]
    witness.ids.append(do(lambda: journal.tell(witness.ids[-1], HELLO)))
    assert journal.untold() == []
    do(lambda: claimed(journal))
    assert do(lambda: journal.recover(HOOKS)) == (1, [])
    assert journal.unfinished() == witness.ids[-1:]


@pytest.mark.parametrize("rolls_back", [False, True])
def test_whichever_write_fails_nothing_acknowledged_is_lost_and_all_goes_on(
    tmp_path: Path, rolls_back: bool
) -> None:
    for nth in count(1):
        folder = tmp_path / str(nth) / "data"
        disk = Disk(rolls_back=rolls_back)
        with closing(SqliteJournal(folder, disk.connect)) as journal:
            disk.fails_at = nth
            witness = Witness(folder, journal)
            live_a_whole_life(witness)
            last = witness.known(journal)
        with closing(SqliteJournal(folder)) as again:
            assert witness.known(again) == last
        if not witness.failures:
            break
        assert witness.failures == 1

    assert nth > 80  # so many writes there were, and each has failed


def test_a_process_on_a_full_disk_that_is_killed_has_kept_what_it_acknowledged(
    folder: Path,
) -> None:
    text = """
journal = SqliteJournal(folder)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
try:
    while True:
        print(made(journal), flush=True)
except JournalUnavailable as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(made(journal), flush=True)
os.kill(os.getpid(), 9)
"""
    killed = in_another_process(text, folder)

    assert killed.stderr == ""
    *ids, told, after = killed.stdout.splitlines()
    assert len(ids) > 5
    assert told == "disk I/O error"
    with closing(SqliteJournal(folder)) as journal:
        assert journal.unfinished() == [*ids, after]


def test_every_commit_is_synced(journal: SqliteJournal) -> None:
    # What a power cut would take cannot be tried here; the setting that prevents it can be read.
    assert journal._write.execute("PRAGMA synchronous").fetchone() == (FULL,)
    assert journal._write.execute("PRAGMA journal_mode").fetchone() == ("wal",)


# --- many at once


def test_all_that_20_threads_record_at_once_is_kept(folder: Path, journal: SqliteJournal) -> None:
    def record(thread: int) -> list[str]:
        return [made(journal, replace(HELLO, body=b"%d" % thread)) for _ in range(25)]

    with ThreadPoolExecutor(20) as pool:
        recorded = list(pool.map(record, range(20)))

    ids = [run_id for of_thread in recorded for run_id in of_thread]
    assert len(set(ids)) == 500
    journal.close()
    with closing(SqliteJournal(folder)) as again:
        claims = {claim.run_id: claim for claim in (claimed(again) for _ in ids)}
        assert nothing_due(again)
    for thread, of_thread in enumerate(recorded):
        assert [claims[run_id].new.body for run_id in of_thread] == [b"%d" % thread] * 25
        seqs = [claims[run_id].seq for run_id in of_thread]
        assert seqs == sorted(seqs)  # each thread's runs in the order in which it made them


def test_who_reads_does_not_wait_for_who_writes(journal: SqliteJournal, folder: Path) -> None:
    run_id = made(journal)

    with closing(sqlite3.connect(folder / "runs.sqlite")) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE run SET state = 'failed'")

        assert known(journal, run_id).state is State.QUEUED


# --- what is forgotten


def test_a_forgotten_run_leaves_no_attempts_behind(journal: SqliteJournal, folder: Path) -> None:
    made(journal)
    for _ in range(3):
        journal.settle(claimed(journal), FAILED, again_in=0)
    journal.settle(claimed(journal), DONE)
    kept = known(journal, made(journal))
    journal.settle(claimed(journal), FAILED)

    assert journal.prune(KEPT_NOT, 1) == 1

    with closing(sqlite3.connect(folder / "runs.sqlite")) as db:
        assert db.execute("SELECT run, number FROM attempt").fetchall() == [(kept.seq, 1)]


def test_the_room_of_forgotten_runs_is_given_back(journal: SqliteJournal, folder: Path) -> None:
    for _ in range(4):
        made(journal, replace(HELLO, body=bytes(1_000_000)))
        journal.settle(claimed(journal), DONE)

    while journal.prune(KEPT_NOT, 1):
        pass
    journal.close()

    assert (folder / "runs.sqlite").stat().st_size < 500_000


def test_nothing_is_asked_that_reads_every_run_there_is(folder: Path) -> None:
    # All who record wait for what the writer asks, and a table may hold a million runs.
    heard: dict[str, Any] = {}

    class Connection(sqlite3.Connection):
        def execute(self, sql: str, given: Any = (), /) -> sqlite3.Cursor:
            heard[sql] = given
            return super().execute(sql, given)

    def connect(*args: Any, **named: Any) -> sqlite3.Connection:
        return sqlite3.connect(*args, **named, factory=Connection)

    with closing(SqliteJournal(folder, connect)) as journal:
        live_a_whole_life(Witness(folder, journal))

    asked = {sql: given for sql, given in heard.items() if "run" in sql.split()}
    assert len(asked) > 20
    with closing(sqlite3.connect(folder / "runs.sqlite")) as db:
        for sql, given in asked.items():
            plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", given)]
            assert "SCAN run" not in plan, sql  # with an index it is but a part of them


# --- the last line of defence


def test_the_file_itself_takes_no_second_run_of_a_delivery(
    journal: SqliteJournal, folder: Path
) -> None:
    made(journal, NAMED)
    columns = "hook, state, recorded_at, dedupe_key, method, path, params, query, headers"
    columns += ", content_type, remote_addr, delivery_id, event, body"
    twice = f"INSERT INTO run (id, {columns}) SELECT 'another', {columns} FROM run"

    with closing(sqlite3.connect(folder / "runs.sqlite")) as db:
        with pytest.raises(sqlite3.IntegrityError, match=r"run\.hook, run\.dedupe_key"):
            db.execute(twice)
        db.execute("UPDATE run SET current = 0")
        db.execute(twice)


def test_a_journal_that_is_busy_for_too_long_cannot_be_written(
    journal: SqliteJournal, folder: Path
) -> None:
    with closing(sqlite3.connect(folder / "runs.sqlite", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalUnavailable, match=r"has not written anything for 0\.05 s"):
            journal.try_writing(0.05)
        db.execute("ROLLBACK")
    journal.try_writing(FOR_EVER)


def test_a_journal_of_the_version_before_is_taken_over_with_its_counts(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    now = time.time()
    with closing(sqlite3.connect(folder / "runs.sqlite")) as db, db:
        db.executescript("".join(MIGRATIONS[:2]) + "PRAGMA user_version = 2;")
        for seq, at in enumerate((now - 3 * 86400, now - 60, now - 60), 1):
            db.execute(
                "INSERT INTO run (id, hook, state, recorded_at, ended_at, method, path, params, "
                "query, headers, content_type, remote_addr, delivery_id, event, body) VALUES "
                "(?, '/hello', 'failed', ?, ?, '', '', '{}', '', '{}', '', '', '', '', x'')",
                (f"r{seq}", at, at + 1),
            )
            db.execute(
                "INSERT INTO attempt (run, number, started_at, state, seconds) "
                "VALUES (?, 1, ?, 'failed', 2.5)",
                (seq, at),
            )
    said: list[str] = []
    with closing(SqliteJournal(folder, say=said.append)) as journal:
        hello = journal.overview(["/hello"]).hooks["/hello"]
        found = [run.run_id for run in journal.search(Search(state=State.FAILED)).runs]

    assert said == [
        "the journal is brought from version 2 to 4; with many runs in it that takes a while"
    ]
    assert (hello.ended, hello.p95) == ({State.FAILED: 2}, 2.4)
    assert found == ["r3", "r2", "r1"]


def test_a_new_journal_says_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    SqliteJournal(tmp_path / "data", say=said.append).close()

    assert said == []


def test_what_ended_more_than_a_day_ago_counts_no_more(
    journal: SqliteJournal, folder: Path
) -> None:
    now = int(time.time() / SLOT)
    with closing(sqlite3.connect(folder / "runs.sqlite")) as db, db:
        for slot, state, ms in (
            (now - SLOTS, "failed", 9000),
            (now - SLOTS + 1, "succeeded", 10),
            (now, "succeeded", 10),
        ):
            db.execute("INSERT INTO tally VALUES (?, '/hello', ?, 1)", (slot, state))
            coarse = (slot - COARSE if ms > 10 else slot) // COARSE * COARSE
            db.execute("INSERT INTO took VALUES ('/hello', ?, ?, 1)", (ms, coarse))

    seen = journal.overview(["/hello"])

    assert seen.hooks["/hello"].ended == {State.SUCCEEDED: 2}
    assert seen.hooks["/hello"].p95 == 0.01
    assert len(seen.slots) == SLOTS


def test_counts_of_long_before_the_last_day_are_forgotten(
    journal: SqliteJournal, folder: Path
) -> None:
    now = int(time.time() / SLOT)
    with closing(sqlite3.connect(folder / "runs.sqlite")) as db:
        for slot in (now - KEPT_SLOTS - 1, now - KEPT_SLOTS):
            db.execute("INSERT INTO tally VALUES (?, '/hello', 'failed', 1)", (slot,))
            db.execute("INSERT INTO took VALUES ('/hello', 10, ?, 1)", (slot,))
        db.commit()

        journal.prune({}, 10)

        assert db.execute("SELECT slot FROM tally").fetchall() == [(now - KEPT_SLOTS,)]
        assert db.execute("SELECT slot FROM took").fetchall() == [(now - KEPT_SLOTS,)]
