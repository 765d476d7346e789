"""What every journal promises: one suite, run over each engine; each promise is a name.

An engine is opened again where a process would have died: what is then found had been
committed, for nothing else survives.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from hookrunner.journal.sqlite import SqliteJournal
from hookrunner.model import (
    Claim,
    JournalUnavailable,
    NewRun,
    Outcome,
    Run,
    State,
    Why,
)
from hookrunner.seams import Journal

T = TypeVar("T")

ENGINES: Mapping[str, Callable[[Path], Journal]] = {
    "sqlite": SqliteJournal,
}

SECONDS = 20.0
"""How long anything here may take before the test gives up on it."""

FOR_EVER = 1000.0
"""A patience that no test waits out."""

HOOKS = ("/hello", "/deploy")
DONE = Outcome(State.SUCCEEDED, exit_code=0, detail="exit 0", stdout=b"hi\n", seconds=0.5)
FAILED = Outcome(State.FAILED, Why.EXIT, exit_code=3, detail="exit 3", stderr=b"alas\n")

HELLO = NewRun(
    hook="/hello",
    method="POST",
    path="/hello",
    params={},
    query="",
    headers={},
    content_type="application/json",
    body=b"{}",
    remote_addr="192.0.2.7",
)
DEPLOY = replace(HELLO, hook="/deploy", path="/deploy")


class Store:
    """Where an engine keeps its runs, to be opened again and again."""

    def __init__(self, engine: Callable[[Path], Journal], folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self.opened: Journal | None = None

    def open(self) -> Journal:
        """A journal of these runs; the one before it, if any, is closed."""
        self.close()
        self.opened = self.engine(self.folder)
        return self.opened

    def close(self) -> None:
        if self.opened:
            self.opened.close()


@pytest.fixture(params=ENGINES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store of each engine, with nothing in it."""
    made = Store(ENGINES[request.param], tmp_path / "data")
    yield made
    made.close()


@pytest.fixture
def journal(store: Store) -> Journal:
    """An open journal, with nothing in it."""
    return store.open()


def claimed(journal: Journal) -> Claim:
    """A claim that must be there to be had."""
    claim = journal.claim(HOOKS)
    assert claim is not None
    return claim


def known(journal: Journal, run_id: str) -> Run:
    """A run that must be known."""
    run = journal.run(run_id)
    assert run is not None
    return run


class Call:
    """A call in a thread of its own, and what it returned."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.result: object = None
        self.thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        self.thread.start()

    def _run(self, call: Callable[[], object]) -> None:
        self.result = call()

    def returned(self) -> bool:
        """True once it has; False if it takes far too long."""
        self.thread.join(SECONDS)
        return not self.thread.is_alive()


# --- record


def test_what_was_recorded_is_claimed_as_it_was(journal: Journal) -> None:
    new = NewRun(
        hook="/deploy",
        method="PUT",
        path="/deploy/Zürich",
        params={"env": "Zürich", "": '"'},
        query="a=1&a=%FF&b",
        headers={"x-one": "ü\xff", "x-two": "it's, \\ and \""},
        content_type="multipart/form-data; boundary=x",
        body=bytes(range(256)) * 3,
        remote_addr="2001:db8::7",
        delivery_id="d-1",
        event="push",
    )
    run_id = journal.record(new)

    claim = claimed(journal)

    assert claim.new == new
    assert (claim.run_id, claim.attempt) == (run_id, 1)


@pytest.mark.parametrize("body", [b"", b"\0", bytes(3_000_000)])
def test_a_body_of_any_size_is_kept(journal: Journal, body: bytes) -> None:
    journal.record(replace(HELLO, body=body))

    assert claimed(journal).new.body == body


def test_an_id_is_20_base32_characters_and_no_two_are_alike(journal: Journal) -> None:
    ids = [journal.record(HELLO) for _ in range(50)]

    assert all(re.fullmatch("[a-z2-7]{20}", run_id) for run_id in ids)
    assert len({run_id[:8] for run_id in ids}) == 50  # nothing is counted up from the left,
    assert len({run_id[-8:] for run_id in ids}) == 50  # nor from the right


def test_a_recorded_run_is_queued_and_has_had_no_attempt(journal: Journal) -> None:
    run_id = journal.record(HELLO)

    run = known(journal, run_id)

    assert (run.run_id, run.hook) == (run_id, "/hello")
    assert (run.state, run.attempt) == (State.QUEUED, 0)
    assert (run.ended_at, run.outcome) == (None, None)


def test_a_later_run_has_a_greater_seq(journal: Journal) -> None:
    seqs = [known(journal, journal.record(HELLO)).seq for _ in range(10)]

    assert seqs == sorted(set(seqs))


def test_a_recorded_run_outlives_the_process(store: Store) -> None:
    run_id = store.open().record(HELLO)

    journal = store.open()

    assert known(journal, run_id).state is State.QUEUED
    assert claimed(journal).run_id == run_id


def test_the_seq_goes_on_where_a_process_left_it(store: Store) -> None:
    journal = store.open()
    before = known(journal, journal.record(HELLO)).seq

    journal = store.open()

    assert known(journal, journal.record(HELLO)).seq > before


def test_a_run_that_cannot_be_kept_does_no_harm_to_those_after_it(journal: Journal) -> None:
    # Half a surrogate pair has no UTF-8, so no engine can take it as text.
    def record() -> str:
        try:
            return journal.record(replace(HELLO, event="\ud800"))
        except Exception as error:
            return type(error).__name__

    impossible = Call(record)
    assert impossible.returned(), "its caller waits for ever"

    possible = Call(lambda: journal.record(HELLO))
    assert possible.returned(), "the next caller waits for ever"
    assert known(journal, str(possible.result)).state is State.QUEUED


def test_an_unknown_run_is_none(journal: Journal) -> None:
    assert journal.run("k3x9") is None


# --- claim


def test_there_is_nothing_to_claim_in_an_empty_journal(journal: Journal) -> None:
    assert journal.claim(HOOKS) is None


def test_runs_are_claimed_in_the_order_in_which_they_were_recorded(journal: Journal) -> None:
    ids = [journal.record(new) for new in (HELLO, DEPLOY, HELLO, HELLO, DEPLOY)]

    assert [claimed(journal).run_id for _ in ids] == ids


def test_a_run_is_claimed_once(journal: Journal) -> None:
    journal.record(HELLO)
    claimed(journal)

    assert journal.claim(HOOKS) is None


def test_a_claimed_run_is_running(journal: Journal) -> None:
    run_id = journal.record(HELLO)
    claim = claimed(journal)

    run = known(journal, run_id)

    assert (run.state, run.attempt, run.seq) == (State.RUNNING, 1, claim.seq)
    assert (run.ended_at, run.outcome) == (None, None)


def test_only_runs_of_the_hooks_that_are_asked_for_are_claimed(journal: Journal) -> None:
    journal.record(HELLO)
    run_id = journal.record(DEPLOY)

    assert journal.claim([]) is None
    assert journal.claim(["/other", "/hell", "/hello/"]) is None
    claim = journal.claim(["/other", "/deploy"])
    assert claim is not None
    assert claim.run_id == run_id


def test_a_hook_may_have_any_path(journal: Journal) -> None:
    path = "/a/<b>/'\"\\%_ü"
    run_id = journal.record(replace(HELLO, hook=path))

    claim = journal.claim([path])

    assert claim is not None
    assert claim.run_id == run_id


def test_workers_that_claim_at_once_never_get_the_same_run(journal: Journal) -> None:
    ids = [journal.record(HELLO) for _ in range(60)]

    with ThreadPoolExecutor(20) as pool:
        claims = list(pool.map(lambda _: claimed(journal), ids))

    assert sorted(claim.run_id for claim in claims) == sorted(ids)


# --- settle


@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param(
            Outcome(
                State.SUCCEEDED,
                exit_code=0,
                detail="exit 0",
                stdout=bytes(range(256)),
                stderr=b"\xff\0\n",
                seconds=0.1,
            ),
            id="succeeded",
        ),
        *(
            pytest.param(
                Outcome(State.FAILED, why, exit_code=3, signal=9, detail="exit 3, ü", seconds=1e-9),
                id=why,
            )
            for why in Why
        ),
        pytest.param(Outcome(State.CANCELLED), id="cancelled"),
    ],
)
def test_a_settled_run_has_ended_as_its_attempt_did(journal: Journal, outcome: Outcome) -> None:
    run_id = journal.record(HELLO)

    assert journal.settle(claimed(journal), outcome)

    run = known(journal, run_id)
    assert (run.state, run.attempt, run.outcome) == (outcome.state, 1, outcome)
    assert run.ended_at is not None
    assert run.ended_at >= run.recorded_at


def test_a_settled_run_outlives_the_process(store: Store) -> None:
    journal = store.open()
    run_id = journal.record(HELLO)
    journal.settle(claimed(journal), DONE)
    before = known(journal, run_id)

    assert known(store.open(), run_id) == before


def test_a_settled_run_is_not_claimed_again(journal: Journal) -> None:
    journal.record(HELLO)
    journal.settle(claimed(journal), FAILED)

    assert journal.claim(HOOKS) is None


def test_an_attempt_is_settled_once(journal: Journal) -> None:
    run_id = journal.record(HELLO)
    claim = claimed(journal)

    assert journal.settle(claim, FAILED)
    assert not journal.settle(claim, DONE)
    assert known(journal, run_id).outcome == FAILED


def test_settling_one_run_leaves_the_others_as_they_are(journal: Journal) -> None:
    queued, running, settled = (journal.record(new) for new in (HELLO, DEPLOY, DEPLOY))
    journal.claim(["/deploy"])
    claim = journal.claim(["/deploy"])
    assert claim is not None
    before = [known(journal, queued), known(journal, running)]

    journal.settle(claim, DONE)

    assert known(journal, settled).state is State.SUCCEEDED
    assert [known(journal, queued), known(journal, running)] == before


def test_a_late_worker_cannot_settle_a_run_that_another_attempt_has_begun(store: Store) -> None:
    journal = store.open()
    run_id = journal.record(HELLO)
    late = claimed(journal)
    journal = store.open()
    journal.recover(HOOKS)
    current = claimed(journal)

    assert not journal.settle(late, DONE)
    assert known(journal, run_id).state is State.RUNNING
    assert journal.settle(current, FAILED)
    assert known(journal, run_id).outcome == FAILED


def test_a_late_worker_cannot_settle_a_run_that_waits_for_its_next_attempt(store: Store) -> None:
    journal = store.open()
    run_id = journal.record(HELLO)
    late = claimed(journal)
    journal = store.open()
    journal.recover(HOOKS)

    assert not journal.settle(late, DONE)
    assert (known(journal, run_id).state, known(journal, run_id).outcome) == (State.QUEUED, None)


def test_a_late_worker_cannot_settle_a_run_that_was_settled_after_it(store: Store) -> None:
    journal = store.open()
    run_id = journal.record(HELLO)
    late = claimed(journal)
    journal = store.open()
    journal.recover(HOOKS)
    journal.settle(claimed(journal), FAILED)

    assert not journal.settle(late, DONE)
    assert known(journal, run_id).outcome == FAILED


# --- hand back


def test_a_run_that_was_handed_back_is_due_at_once(journal: Journal) -> None:
    run_id = journal.record(HELLO)

    assert journal.hand_back(claimed(journal))

    assert known(journal, run_id).state is State.QUEUED
    assert claimed(journal).run_id == run_id


def test_each_claim_of_a_run_has_an_attempt_number_of_its_own(journal: Journal) -> None:
    journal.record(HELLO)
    attempts = []
    for _ in range(3):
        claim = claimed(journal)
        attempts.append(claim.attempt)
        journal.hand_back(claim)

    assert attempts == [1, 2, 3]


def test_who_handed_a_run_back_cannot_settle_it(journal: Journal) -> None:
    run_id = journal.record(HELLO)
    claim = claimed(journal)
    journal.hand_back(claim)

    assert not journal.settle(claim, DONE)
    claimed(journal)
    assert not journal.settle(claim, DONE)
    assert known(journal, run_id).state is State.RUNNING


def test_a_settled_run_cannot_be_handed_back(journal: Journal) -> None:
    run_id = journal.record(HELLO)
    claim = claimed(journal)
    journal.settle(claim, DONE)

    assert not journal.hand_back(claim)
    assert known(journal, run_id).outcome == DONE
    assert journal.claim(HOOKS) is None


def test_a_late_worker_cannot_hand_back_a_run_that_another_attempt_has_begun(
    store: Store,
) -> None:
    journal = store.open()
    run_id = journal.record(HELLO)
    late = claimed(journal)
    journal = store.open()
    journal.recover(HOOKS)
    current = claimed(journal)

    assert not journal.hand_back(late)
    assert known(journal, run_id).state is State.RUNNING
    assert journal.settle(current, DONE)


# --- recover


def test_a_dead_process_left_nothing_to_recover_in_an_empty_journal(journal: Journal) -> None:
    assert journal.recover(HOOKS) == (0, 0)


def test_what_a_dead_process_left_running_is_due_again(store: Store) -> None:
    journal = store.open()
    ids = [journal.record(HELLO) for _ in range(3)]
    claimed(journal)
    claimed(journal)
    journal = store.open()

    assert journal.recover(HOOKS) == (2, 0)

    again = [claimed(journal) for _ in ids]
    assert {claim.run_id: claim.attempt for claim in again} == dict(
        zip(ids, (2, 2, 1), strict=True)
    )
    assert [claim.new for claim in again] == [HELLO] * 3


def test_what_was_left_running_is_not_claimed_before_it_is_recovered(store: Store) -> None:
    journal = store.open()
    journal.record(HELLO)
    claimed(journal)

    assert store.open().claim(HOOKS) is None


def test_a_queued_run_whose_hook_is_gone_has_failed(store: Store) -> None:
    journal = store.open()
    lost, kept = journal.record(DEPLOY), journal.record(HELLO)
    journal = store.open()

    assert journal.recover(["/hello"]) == (0, 1)

    run = known(journal, lost)
    assert run.outcome == Outcome(State.FAILED, Why.LOST_HOOK, detail="its path left hooks.yaml")
    assert (run.state, run.attempt) == (State.FAILED, 0)
    assert run.ended_at is not None
    assert known(journal, kept).state is State.QUEUED
    assert claimed(journal).run_id == kept


def test_a_running_run_whose_hook_is_gone_has_failed_and_counts_as_lost_alone(
    store: Store,
) -> None:
    journal = store.open()
    lost = journal.record(DEPLOY)
    claimed(journal)
    journal = store.open()

    counted = journal.recover(["/hello"])

    run = known(journal, lost)
    assert (run.state, run.attempt) == (State.FAILED, 1)
    assert run.outcome is not None
    assert run.outcome.why is Why.LOST_HOOK
    assert counted == (0, 1)


def test_runs_that_have_ended_are_left_alone_by_recover(store: Store) -> None:
    journal = store.open()
    ids = [journal.record(DEPLOY) for _ in range(2)]
    journal.settle(claimed(journal), DONE)
    journal.settle(claimed(journal), FAILED)
    before = [known(journal, run_id) for run_id in ids]
    journal = store.open()

    assert journal.recover([]) == (0, 0)
    assert [known(journal, run_id) for run_id in ids] == before


def test_recovering_twice_is_no_different_from_once(store: Store) -> None:
    journal = store.open()
    journal.record(HELLO)
    journal.record(DEPLOY)
    claimed(journal)
    journal = store.open()
    journal.recover(["/hello"])

    assert journal.recover(["/hello"]) == (0, 0)
    assert claimed(journal).attempt == 2


# --- waiting


def test_who_waits_for_a_due_run_is_woken_by_a_new_one(journal: Journal) -> None:
    waiting = Call(lambda: journal.await_due(FOR_EVER))
    journal.record(HELLO)

    assert waiting.returned()


def test_who_comes_after_the_run_does_not_wait(journal: Journal) -> None:
    journal.record(HELLO)

    assert Call(lambda: journal.await_due(FOR_EVER)).returned()


def test_every_new_run_wakes_somebody(journal: Journal) -> None:
    waiting = [Call(lambda: journal.await_due(FOR_EVER)) for _ in range(8)]
    for _ in waiting:
        journal.record(HELLO)

    assert all(call.returned() for call in waiting)


def test_who_waits_for_a_due_run_is_woken_by_one_handed_back(journal: Journal) -> None:
    journal.record(HELLO)
    claim = claimed(journal)
    journal.await_due(FOR_EVER)  # the call of the new run
    waiting = Call(lambda: journal.await_due(FOR_EVER))

    journal.hand_back(claim)

    assert waiting.returned()


def test_waiting_for_a_due_run_has_an_end(journal: Journal) -> None:
    journal.await_due(0.01)


def test_who_waits_for_the_end_of_a_run_is_told_it(journal: Journal) -> None:
    run_id = journal.record(HELLO)
    claim = claimed(journal)
    waiting = [Call(lambda: journal.await_end(run_id, FOR_EVER)) for _ in range(4)]

    journal.settle(claim, DONE)

    assert all(call.returned() for call in waiting)
    assert [call.result for call in waiting] == [known(journal, run_id)] * 4


def test_every_sender_is_told_the_end_of_its_own_run(journal: Journal) -> None:
    ids = [journal.record(HELLO) for _ in range(30)]

    def work() -> None:
        claim = claimed(journal)
        journal.settle(claim, replace(DONE, stdout=claim.run_id.encode()))

    with ThreadPoolExecutor(60) as pool:
        ends = [pool.submit(journal.await_end, run_id, FOR_EVER) for run_id in ids]
        for _ in ids:
            pool.submit(work)

    told = [end.result() for end in ends]
    assert [run and run.outcome and run.outcome.stdout.decode() for run in told] == ids


def test_who_waits_for_a_run_that_has_ended_is_told_at_once(journal: Journal) -> None:
    run_id = journal.record(HELLO)
    journal.settle(claimed(journal), FAILED)

    assert journal.await_end(run_id, FOR_EVER) == known(journal, run_id)


def test_who_waits_too_short_is_told_how_the_run_stands(journal: Journal) -> None:
    run_id = journal.record(HELLO)
    queued = journal.await_end(run_id, 0.01)
    claimed(journal)
    running = journal.await_end(run_id, 0.01)

    assert queued is not None
    assert running is not None
    assert (queued.state, running.state) == (State.QUEUED, State.RUNNING)


def test_nobody_waits_for_an_unknown_run(journal: Journal) -> None:
    assert journal.await_end("k3x9", FOR_EVER) is None


def call_until_returned(wake: Callable[[], None], waiting: Sequence[Call]) -> bool:
    """Wake until everybody has been: nobody can say whether a thread sleeps yet."""
    for call in waiting:
        for _ in range(int(SECONDS * 100)):
            wake()
            call.thread.join(0.01)
            if not call.thread.is_alive():
                break
    return all(call.returned() for call in waiting)


def test_wake_workers_wakes_everybody_who_waits_for_a_due_run(journal: Journal) -> None:
    waiting = [Call(lambda: journal.await_due(FOR_EVER)) for _ in range(8)]

    assert call_until_returned(journal.wake_workers, waiting)


def test_wake_senders_tells_everybody_who_waits_for_an_end_how_the_run_stands(
    journal: Journal,
) -> None:
    ids = [journal.record(HELLO) for _ in range(2)]
    claimed(journal)
    waiting = [Call(partial(journal.await_end, run_id, FOR_EVER)) for run_id in ids * 4]

    assert call_until_returned(journal.wake_senders, waiting)
    assert [call.result for call in waiting] == [known(journal, run_id) for run_id in ids * 4]
    assert [known(journal, run_id).state for run_id in ids] == [State.RUNNING, State.QUEUED]


# --- close


def test_a_closed_journal_is_unavailable(journal: Journal) -> None:
    run_id = journal.record(HELLO)
    claim = claimed(journal)
    journal.close()
    calls: list[Callable[[], object]] = [
        lambda: journal.record(HELLO),
        lambda: journal.claim(HOOKS),
        lambda: journal.settle(claim, DONE),
        lambda: journal.hand_back(claim),
        lambda: journal.recover(HOOKS),
        lambda: journal.run(run_id),
        lambda: journal.await_end(run_id, FOR_EVER),
    ]

    for call in calls:
        with pytest.raises(JournalUnavailable):
            call()


def test_a_journal_may_be_closed_twice(journal: Journal) -> None:
    journal.close()
    journal.close()


def test_whoever_records_while_it_closes_has_a_kept_run_or_is_refused(store: Store) -> None:
    journal = store.open()
    some_are_in = threading.Barrier(21)

    def record_many() -> list[str]:
        ids = [journal.record(HELLO)]
        some_are_in.wait(SECONDS)
        try:
            while True:
                ids.append(journal.record(HELLO))
        except JournalUnavailable:
            return ids

    with ThreadPoolExecutor(20) as pool:
        calls = [pool.submit(record_many) for _ in range(20)]
        some_are_in.wait(SECONDS)
        journal.close()
    ids = [run_id for call in calls for run_id in call.result()]

    again = store.open()
    assert len(ids) >= 20
    assert all(again.run(run_id) for run_id in ids)
    for _ in ids:
        claimed(again)
    assert again.claim(HOOKS) is None  # and nobody who was refused has one
