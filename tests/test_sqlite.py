"""What is SQLite's own: the file, its lock, its disk. What every journal promises: test_journal."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from hookrunner.journal.sqlite import SqliteJournal
from hookrunner.model import JournalUnavailable, Outcome, State, Trouble
from tests.serving import REPOSITORY, SECONDS
from tests.test_journal import HELLO, HOOKS, claimed, known

FULL = 2
"""What `PRAGMA synchronous` says where every commit is synced."""

DONE = Outcome(State.SUCCEEDED, exit_code=0, detail="exit 0")

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


def in_another_process(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with a journal's folder as its argument."""
    program = f"""
import os, sys
from pathlib import Path
from hookrunner.journal.sqlite import SqliteJournal
from hookrunner.model import Trouble
from tests.test_journal import HELLO, HOOKS
folder = Path(sys.argv[1])
{text}
"""
    return subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
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


def test_a_second_process_is_refused_and_told_what_to_do(
    journal: SqliteJournal, folder: Path
) -> None:
    text = """
try:
    SqliteJournal(folder)
except Trouble as error:
    print(error)
"""
    second = in_another_process(text, folder)

    assert second.stderr == ""
    assert second.stdout == (
        f"another runner works in {folder}; stop it, or name another folder with --data DIR\n"
    )
    assert known(journal, journal.record(HELLO)).state is State.QUEUED


def test_a_second_journal_in_the_same_process_is_refused_too(
    journal: SqliteJournal, folder: Path
) -> None:
    assert trouble(folder) == (
        f"another runner works in {folder}; stop it, or name another folder with --data DIR"
    )


def test_two_folders_have_two_journals(journal: SqliteJournal, tmp_path: Path) -> None:
    run_id = journal.record(HELLO)

    with closing(SqliteJournal(tmp_path / "other")) as other:
        assert other.run(run_id) is None


def test_a_process_killed_outright_leaves_its_runs_and_no_lock(folder: Path) -> None:
    text = """
journal = SqliteJournal(folder)
ids = [journal.record(HELLO) for _ in range(3)]
claim = journal.claim(HOOKS)
print(*ids, flush=True)
os.kill(os.getpid(), 9)
"""
    killed = in_another_process(text, folder)

    assert killed.returncode == -signal.SIGKILL
    with closing(SqliteJournal(folder)) as journal:
        first, *others = (known(journal, run_id) for run_id in killed.stdout.split())
        assert first.state is State.RUNNING
        assert [run.state for run in others] == [State.QUEUED] * 2
        assert journal.recover(HOOKS) == (1, 0)


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
        run_id = journal.record(HELLO)
    path = folder / "runs.sqlite"
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xa5" * (len(data) - 4096))

    with closing(SqliteJournal(folder)) as journal:
        for call in (
            lambda: journal.record(HELLO),
            lambda: journal.claim(HOOKS),
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
        "if the file is damaged, move it away and start again"
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
        journal.run(journal.record(HELLO))
        assert open_files(folder)

    assert open_files(folder) == []


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
    kept = journal.record(HELLO)

    with no_file_grows_beyond(500_000), pytest.raises(JournalUnavailable) as raised:
        journal.record(replace(HELLO, body=bytes(1_000_000)))

    assert str(raised.value) == "disk I/O error"
    after = journal.record(HELLO)
    assert [claimed(journal).run_id for _ in range(2)] == [kept, after]
    assert journal.claim(HOOKS) is None  # nothing is left of the refused one
    journal.close()
    with closing(SqliteJournal(folder)) as again:
        assert again.recover(HOOKS) == (2, 0)


def test_a_full_database_refuses_runs_and_takes_them_again_when_there_is_room(
    journal: SqliteJournal,
) -> None:
    # SQLite's own limit says what a full disk says; it holds for one connection only.
    journal._write.execute("PRAGMA max_page_count = 20")
    ids = []

    with pytest.raises(JournalUnavailable) as raised:
        for _ in range(100):
            ids.append(journal.record(replace(HELLO, body=bytes(5000))))  # noqa: PERF401

    assert str(raised.value) == "database or disk is full"
    journal._write.execute("PRAGMA max_page_count = 1000000")
    ids.append(journal.record(HELLO))
    assert [claimed(journal).run_id for _ in ids] == ids
    assert journal.claim(HOOKS) is None


def test_a_run_that_cannot_be_settled_is_still_running(journal: SqliteJournal) -> None:
    run_id = journal.record(HELLO)
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
            return journal.record(replace(HELLO, body=bytes(10_000)))
        return None

    with no_file_grows_beyond(1_000_000), ThreadPoolExecutor(20) as pool:
        ids = list(pool.map(record, range(400)))

    acknowledged = {run_id for run_id in ids if run_id}
    assert 0 < len(acknowledged) < 400
    journal.close()
    with closing(SqliteJournal(folder)) as again:
        assert {claimed(again).run_id for _ in acknowledged} == acknowledged
        assert again.claim(HOOKS) is None


def test_every_commit_is_synced(journal: SqliteJournal) -> None:
    # What a power cut would take cannot be tried here; the setting that prevents it can be read.
    assert journal._write.execute("PRAGMA synchronous").fetchone() == (FULL,)
    assert journal._write.execute("PRAGMA journal_mode").fetchone() == ("wal",)


# --- many at once


def test_all_that_20_threads_record_at_once_is_kept(folder: Path, journal: SqliteJournal) -> None:
    def record(thread: int) -> list[str]:
        return [journal.record(replace(HELLO, body=b"%d" % thread)) for _ in range(25)]

    with ThreadPoolExecutor(20) as pool:
        recorded = list(pool.map(record, range(20)))

    ids = [run_id for of_thread in recorded for run_id in of_thread]
    assert len(set(ids)) == 500
    journal.close()
    with closing(SqliteJournal(folder)) as again:
        claims = {claim.run_id: claim for claim in (claimed(again) for _ in ids)}
        assert again.claim(HOOKS) is None
    for thread, of_thread in enumerate(recorded):
        assert [claims[run_id].new.body for run_id in of_thread] == [b"%d" % thread] * 25
        seqs = [claims[run_id].seq for run_id in of_thread]
        assert seqs == sorted(seqs)  # each thread's runs in the order in which it made them


def test_who_reads_does_not_wait_for_who_writes(journal: SqliteJournal, folder: Path) -> None:
    run_id = journal.record(HELLO)

    with closing(sqlite3.connect(folder / "runs.sqlite")) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE run SET state = 'failed'")

        assert known(journal, run_id).state is State.QUEUED
