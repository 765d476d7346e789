"""What every journal promises: one suite, run over each engine; each promise is a name.

An engine is opened again where a process would have died: what is then found had been
committed, for nothing else survives. A lease of 0 has lapsed, so nothing here sleeps.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from queue import SimpleQueue

import pytest

from hookrunner.model import (
    Claim,
    Full,
    JournalUnavailable,
    NewRun,
    Outcome,
    Query,
    Rate,
    Recorded,
    Run,
    State,
    Terms,
    Why,
)
from hookrunner.seams import Journal
from tests.storing import HOOKS, Store
from tests.waiting import await_end

SECONDS = 20.0
"""How long anything here may take before the test gives up on it."""

FOR_EVER = 1000.0
"""A patience, a lease and a delay that no test waits out."""

PLAIN = Terms()
STRICT = Terms(strict=True)
LANE: Mapping[str, Terms] = {"/hello": STRICT, "/deploy": PLAIN}
NO_RERUN: Mapping[str, Terms] = {"/hello": Terms(rerun=False), "/deploy": PLAIN}
WITHOUT_DEPLOY: Mapping[str, Terms] = {"/hello": PLAIN}

DONE = Outcome(State.SUCCEEDED, exit_code=0, detail="exit 0", stdout=b"hi\n", seconds=0.5)
FAILED = Outcome(State.FAILED, Why.EXIT, exit_code=3, detail="exit 3", stderr=b"alas\n")
STOPPED = Outcome(State.FAILED, Why.SIGNAL, signal=15, detail="signal 15", stdout=b"so far\n")
CUT_OFF = Outcome(State.FAILED, Why.INTERRUPTED, detail="interrupted")
LOST = Outcome(State.FAILED, Why.LOST_HOOK, detail="its path left hooks.yaml")
TOO_OFTEN = replace(CUT_OFF, detail="interrupted 5 times; it may be what ends the machine")
NOT_AGAIN = replace(
    CUT_OFF, detail="interrupted; 'rerun: false' keeps it from meeting the script again"
)

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
NAMED = replace(HELLO, dedupe_key="d-1", dedupe_for=FOR_EVER)


def made(journal: Journal, new: NewRun = HELLO, terms: Terms = PLAIN) -> str:
    """The id of a run that a delivery has made."""
    recorded = journal.record(new, terms)
    assert not recorded.joined
    return recorded.run_id


def claimed(
    journal: Journal,
    hooks: Mapping[str, Terms] = HOOKS,
    lease: float = FOR_EVER,
    mine: Collection[str] = (),
) -> Claim:
    """A claim that must be there to be had."""
    claim = journal.claim(hooks, lease, mine)
    assert claim is not None
    return claim


def known(journal: Journal, run_id: str) -> Run:
    """A run that must be known."""
    run = journal.run(run_id)
    assert run is not None
    return run


def outcome(journal: Journal, run_id: str) -> Outcome:
    """How the last attempt of a run ended; one must have."""
    ended = known(journal, run_id).outcome
    assert ended is not None
    return ended


def nothing_due(journal: Journal, hooks: Mapping[str, Terms] = HOOKS) -> bool:
    """True if nobody can have a run now."""
    return journal.claim(hooks, FOR_EVER) is None


def refusal(journal: Journal, new: NewRun, terms: Terms) -> Full:
    """What is said to a delivery that there is no room for."""
    with pytest.raises(Full) as raised:
        journal.record(new, terms)
    return raised.value


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
        replaces="k3x9",
    )
    run_id = made(journal, new)

    claim = claimed(journal)

    assert claim.new == new
    assert (claim.run_id, claim.attempt) == (run_id, 1)
    assert (claim.failures, claim.interruptions) == (0, 0)
    assert journal.recorded(run_id) == new
    assert known(journal, run_id).replaces == "k3x9"


def test_a_delivery_can_be_had_again_after_its_run_has_ended(store: Store) -> None:
    journal = store.open()
    run_id = made(journal, replace(DEPLOY, body=b"\0\xff"))
    journal.settle(claimed(journal), FAILED)

    assert store.open().recorded(run_id) == replace(DEPLOY, body=b"\0\xff")


@pytest.mark.parametrize("body", [b"", b"\0", bytes(3_000_000)])
def test_a_body_of_any_size_is_kept(journal: Journal, body: bytes) -> None:
    made(journal, replace(HELLO, body=body))

    assert claimed(journal).new.body == body


def test_an_id_is_20_base32_characters_and_no_two_are_alike(journal: Journal) -> None:
    ids = [made(journal) for _ in range(50)]

    assert all(re.fullmatch("[a-z2-7]{20}", run_id) for run_id in ids)
    assert len({run_id[:8] for run_id in ids}) == 50  # nothing is counted up from the left,
    assert len({run_id[-8:] for run_id in ids}) == 50  # nor from the right


def test_a_recorded_run_is_queued_and_has_had_no_attempt(journal: Journal) -> None:
    run_id = made(journal)

    run = known(journal, run_id)

    assert (run.run_id, run.hook) == (run_id, "/hello")
    assert (run.state, run.attempt) == (State.QUEUED, 0)
    assert (run.ended_at, run.outcome, run.replaces) == (None, None, "")
    assert run.due == run.recorded_at


def test_a_later_run_has_a_greater_seq(journal: Journal) -> None:
    seqs = [known(journal, made(journal)).seq for _ in range(10)]

    assert seqs == sorted(set(seqs))


def test_a_recorded_run_outlives_the_process(store: Store) -> None:
    run_id = made(store.open())

    journal = store.open()

    assert known(journal, run_id).state is State.QUEUED
    assert claimed(journal).run_id == run_id


def test_the_seq_goes_on_where_a_process_left_it(store: Store) -> None:
    journal = store.open()
    before = known(journal, made(journal)).seq

    journal = store.open()

    assert known(journal, made(journal)).seq > before


def test_a_run_that_cannot_be_kept_does_no_harm_to_those_after_it(journal: Journal) -> None:
    # Half a surrogate pair has no UTF-8, so no engine can take it as text.
    def record() -> str:
        try:
            return made(journal, replace(HELLO, event="\ud800"))
        except Exception as error:
            return type(error).__name__

    impossible = Call(record)
    assert impossible.returned(), "its caller waits for ever"

    possible = Call(lambda: made(journal))
    assert possible.returned(), "the next caller waits for ever"
    assert known(journal, str(possible.result)).state is State.QUEUED


def test_nothing_is_known_of_an_unknown_run(journal: Journal) -> None:
    assert journal.run("k3x9") is None
    assert journal.recorded("k3x9") is None


# --- dedupe


def test_a_repeat_joins_the_run_that_is_queued(journal: Journal) -> None:
    first = made(journal, NAMED)

    assert journal.record(NAMED, PLAIN) == Recorded(first, joined=True)
    assert claimed(journal).run_id == first
    assert nothing_due(journal)


def test_a_repeat_joins_the_run_that_is_running(journal: Journal) -> None:
    first = made(journal, NAMED)
    claimed(journal)

    assert journal.record(NAMED, PLAIN) == Recorded(first, joined=True)
    assert known(journal, first).state is State.RUNNING


def test_a_repeat_joins_the_run_that_waits_for_its_retry(journal: Journal) -> None:
    first = made(journal, NAMED)
    journal.settle(claimed(journal), FAILED, again_in=FOR_EVER)

    assert journal.record(NAMED, PLAIN) == Recorded(first, joined=True)
    assert known(journal, first).state is State.QUEUED


def test_a_repeat_joins_the_run_that_succeeded(journal: Journal) -> None:
    first = made(journal, NAMED)
    journal.settle(claimed(journal), DONE)

    assert journal.record(NAMED, PLAIN) == Recorded(first, joined=True)
    assert outcome(journal, first) == DONE
    assert nothing_due(journal)


def test_a_repeat_after_a_failed_run_makes_another_that_names_it(journal: Journal) -> None:
    first = made(journal, NAMED)
    journal.settle(claimed(journal), FAILED)

    second = made(journal, NAMED)

    assert (known(journal, first).state, known(journal, first).replaces) == (State.FAILED, "")
    assert known(journal, second).replaces == first
    assert claimed(journal).new.replaces == first
    assert journal.record(NAMED, PLAIN) == Recorded(second, joined=True)


def test_a_repeat_after_a_cancelled_run_makes_another_that_names_it(journal: Journal) -> None:
    first = made(journal, NAMED)
    journal.cancel(first)

    second = made(journal, NAMED)

    assert known(journal, second).replaces == first
    assert journal.record(NAMED, PLAIN) == Recorded(second, joined=True)


def test_each_repeat_of_failing_runs_names_the_one_before_it(journal: Journal) -> None:
    chain = [""]
    for _ in range(3):
        chain.append(made(journal, NAMED))
        journal.settle(claimed(journal), FAILED)

    assert [known(journal, run_id).replaces for run_id in chain[1:]] == chain[:-1]


def test_a_repeat_that_comes_after_its_time_makes_a_run_of_its_own(journal: Journal) -> None:
    late = replace(NAMED, dedupe_for=0.0)
    first = made(journal, NAMED)

    second = made(journal, late)
    journal.settle(claimed(journal), FAILED)
    journal.settle(claimed(journal), FAILED)
    third = made(journal, late)

    assert [known(journal, run_id).replaces for run_id in (first, second, third)] == [""] * 3


def test_the_same_name_means_nothing_to_another_hook(journal: Journal) -> None:
    of_hello = made(journal, NAMED)
    of_deploy = made(journal, replace(NAMED, hook="/deploy"))

    assert of_hello != of_deploy


def test_deliveries_without_a_name_never_join(journal: Journal) -> None:
    nameless = replace(NAMED, dedupe_key="")

    assert len({made(journal, nameless) for _ in range(3)}) == 3


def test_what_was_recorded_is_remembered_by_the_next_process(store: Store) -> None:
    first = made(store.open(), NAMED)
    assert store.open().record(NAMED, PLAIN) == Recorded(first, joined=True)

    journal = store.open()
    journal.settle(claimed(journal), FAILED)

    journal = store.open()
    assert known(journal, made(journal, NAMED)).replaces == first


def test_a_replay_names_the_run_that_it_was_made_of(journal: Journal) -> None:
    first = made(journal, NAMED)
    journal.settle(claimed(journal), FAILED)

    second = made(journal, replace(NAMED, replaces="k3x9"))

    assert known(journal, second).replaces == "k3x9"
    assert known(journal, first).state is State.FAILED


def test_one_delivery_that_20_threads_record_at_once_makes_one_run(journal: Journal) -> None:
    together = threading.Barrier(20)

    def record(_: int) -> Recorded:
        together.wait(SECONDS)
        return journal.record(NAMED, PLAIN)

    with ThreadPoolExecutor(20) as pool:
        recorded = list(pool.map(record, range(20)))

    assert len({one.run_id for one in recorded}) == 1
    assert [one.joined for one in recorded].count(False) == 1
    claimed(journal)
    assert nothing_due(journal)


def test_a_failed_delivery_that_20_threads_repeat_at_once_makes_one_run(
    journal: Journal,
) -> None:
    first = made(journal, NAMED)
    journal.settle(claimed(journal), FAILED)

    with ThreadPoolExecutor(20) as pool:
        recorded = list(pool.map(lambda _: journal.record(NAMED, PLAIN), range(20)))

    assert [one.joined for one in recorded].count(False) == 1
    [second] = {one.run_id for one in recorded}
    assert known(journal, second).replaces == first


# --- queue


def test_a_full_queue_takes_no_more(journal: Journal) -> None:
    terms = Terms(queue=2)
    ids = [made(journal, HELLO, terms) for _ in range(2)]

    full = refusal(journal, HELLO, terms)

    assert (str(full), full.rate) == ("2 runs of it are waiting", False)
    assert full.retry_after > 0
    assert journal.unfinished() == ids


def test_what_runs_does_not_wait(journal: Journal) -> None:
    terms = Terms(queue=1)
    made(journal, HELLO, terms)
    claimed(journal)

    made(journal, HELLO, terms)

    refusal(journal, HELLO, terms)


def test_a_run_that_waits_for_its_retry_is_in_the_queue(journal: Journal) -> None:
    terms = Terms(queue=1)
    made(journal, HELLO, terms)
    journal.settle(claimed(journal), FAILED, again_in=FOR_EVER)

    refusal(journal, HELLO, terms)


def test_a_queue_has_room_again_when_a_run_was_cancelled(journal: Journal) -> None:
    terms = Terms(queue=1)
    journal.cancel(made(journal, HELLO, terms))

    made(journal, HELLO, terms)


def fill(journal: Journal, terms: Terms) -> int:
    """Record until the queue takes no more; how many it took."""
    for taken in range(100):
        try:
            journal.record(HELLO, terms)
        except Full as full:
            assert str(full) == f"{terms.queue} runs of it are waiting"
            return taken
    raise AssertionError("it takes whatever comes")


def test_a_queue_that_a_reload_makes_shorter_takes_no_more_until_it_is(journal: Journal) -> None:
    for _ in range(5):
        made(journal, HELLO, Terms(queue=10))

    assert fill(journal, Terms(queue=3)) == 0
    for _ in range(2):
        claimed(journal)
    assert fill(journal, Terms(queue=3)) == 0
    claimed(journal)
    assert fill(journal, Terms(queue=3)) == 1


def test_a_queue_that_a_reload_makes_longer_takes_as_many_more(journal: Journal) -> None:
    assert fill(journal, Terms(queue=3)) == 3

    assert fill(journal, Terms(queue=5)) == 2


def test_a_queue_that_was_made_shorter_and_longer_again_takes_as_many_as_ever(
    journal: Journal,
) -> None:
    assert fill(journal, Terms(queue=5)) == 5
    for _ in range(4):
        claimed(journal)

    assert fill(journal, Terms(queue=2)) == 1
    assert fill(journal, Terms(queue=1)) == 0
    assert fill(journal, Terms(queue=5)) == 3


def test_a_queue_that_takes_none_takes_some_after_a_reload(journal: Journal) -> None:
    assert fill(journal, Terms(queue=0)) == 0
    assert fill(journal, Terms(queue=1)) == 1
    assert fill(journal, Terms(queue=0)) == 0


@pytest.mark.parametrize("claims", [0, 1, 3])
def test_whatever_reloads_make_of_a_queue_it_is_full_at_the_bound_of_today(
    journal: Journal, claims: int
) -> None:
    waiting = 0
    for bound in (3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8):
        assert fill(journal, Terms(queue=bound)) == max(bound - waiting, 0)
        waiting = max(bound, waiting)
        for _ in range(min(claims, waiting)):
            claimed(journal)
            waiting -= 1


def test_each_hook_has_a_queue_of_its_own(journal: Journal) -> None:
    terms = Terms(queue=1)
    made(journal, HELLO, terms)

    made(journal, DEPLOY, terms)


def test_a_repeat_joins_its_run_though_the_queue_is_full(journal: Journal) -> None:
    terms = Terms(queue=1)
    first = made(journal, NAMED, terms)

    assert journal.record(NAMED, terms) == Recorded(first, joined=True)


def test_a_repeat_that_was_refused_may_come_again(journal: Journal) -> None:
    terms = Terms(queue=1)
    first = made(journal, NAMED, terms)
    journal.settle(claimed(journal), FAILED)
    other = made(journal, HELLO, terms)

    refusal(journal, NAMED, terms)

    journal.cancel(other)
    assert known(journal, made(journal, NAMED, terms)).replaces == first


# --- rate


def test_a_rate_lets_a_burst_through_and_then_no_more(journal: Journal) -> None:
    terms = Terms(rate=Rate(3, 3600.0))
    ids = [made(journal, HELLO, terms) for _ in range(3)]

    full = refusal(journal, HELLO, terms)

    assert (str(full), full.rate) == ("its rate is used up", True)
    assert 0 < full.retry_after <= 1200
    assert journal.unfinished() == ids


@pytest.mark.parametrize("count", [1, 7, 60, 333])
def test_a_burst_may_be_the_whole_rate_and_come_all_at_once(journal: Journal, count: int) -> None:
    terms = Terms(rate=Rate(count, 36000.0))

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: journal.record(HELLO, terms), range(count)))

    assert refusal(journal, HELLO, terms).rate


def test_a_rate_has_room_again_when_its_time_has_come(journal: Journal) -> None:
    terms = Terms(rate=Rate(1, 0.05))
    made(journal, HELLO, terms)
    give_up = time.monotonic() + SECONDS
    recorded = None

    while recorded is None:
        assert time.monotonic() < give_up
        try:
            recorded = journal.record(HELLO, terms)
        except Full as full:
            assert full.rate


def test_each_hook_has_a_rate_of_its_own(journal: Journal) -> None:
    terms = Terms(rate=Rate(1, 3600.0))
    made(journal, HELLO, terms)

    made(journal, DEPLOY, terms)


def test_a_rate_is_remembered_by_the_next_process(store: Store) -> None:
    terms = Terms(rate=Rate(1, 3600.0))
    made(store.open(), HELLO, terms)

    assert refusal(store.open(), HELLO, terms).rate


def test_what_the_queue_refuses_uses_up_no_rate(journal: Journal) -> None:
    terms = Terms(queue=1, rate=Rate(2, 3600.0))
    first = made(journal, HELLO, terms)
    for _ in range(5):
        assert not refusal(journal, HELLO, terms).rate
    journal.cancel(first)

    made(journal, HELLO, terms)


def test_a_repeat_that_joins_uses_up_no_rate(journal: Journal) -> None:
    terms = Terms(rate=Rate(2, 3600.0))
    first = made(journal, NAMED, terms)

    for _ in range(5):
        assert journal.record(NAMED, terms) == Recorded(first, joined=True)
    made(journal, HELLO, terms)
    assert journal.record(NAMED, terms) == Recorded(first, joined=True)


# --- claim


def test_there_is_nothing_to_claim_in_an_empty_journal(journal: Journal) -> None:
    assert nothing_due(journal)


def test_runs_are_claimed_in_the_order_in_which_they_were_recorded(journal: Journal) -> None:
    ids = [made(journal) for _ in range(5)]

    assert [claimed(journal).run_id for _ in ids] == ids


def test_the_hook_with_the_fewest_attempts_under_way_goes_first(journal: Journal) -> None:
    hello = [made(journal, HELLO) for _ in range(4)]
    deploy = [made(journal, DEPLOY) for _ in range(2)]

    order = [claimed(journal).run_id for _ in range(6)]

    assert order == [hello[0], deploy[0], hello[1], deploy[1], hello[2], hello[3]]


def test_what_has_ended_is_not_under_way(journal: Journal) -> None:
    made(journal, HELLO)
    claim = claimed(journal)
    first, _ = made(journal, HELLO), made(journal, DEPLOY)
    journal.settle(claim, DONE)

    assert claimed(journal).run_id == first


def test_of_two_hooks_alike_the_one_that_has_waited_longer_goes_first(journal: Journal) -> None:
    ids = [made(journal, new) for new in (DEPLOY, HELLO)]

    assert [claimed(journal).run_id for _ in ids] == ids


def test_a_run_is_claimed_once(journal: Journal) -> None:
    made(journal)
    claimed(journal)

    assert nothing_due(journal)


def test_a_claimed_run_is_running_until_its_lease_ends(journal: Journal) -> None:
    run_id = made(journal)
    before = time.time()
    claim = claimed(journal, lease=500)
    after = time.time()

    run = known(journal, run_id)

    assert (run.state, run.attempt, run.seq) == (State.RUNNING, 1, claim.seq)
    assert (run.ended_at, run.outcome) == (None, None)
    assert run.due is not None
    assert before <= run.due - 500 <= after


def test_only_runs_of_the_hooks_that_are_asked_for_are_claimed(journal: Journal) -> None:
    made(journal, HELLO)
    run_id = made(journal, DEPLOY)

    assert nothing_due(journal, {})
    assert nothing_due(journal, {"/other": PLAIN, "/hell": PLAIN, "/hello/": PLAIN})
    assert claimed(journal, {"/other": PLAIN, "/deploy": PLAIN}).run_id == run_id


def test_a_hook_may_have_any_path(journal: Journal) -> None:
    path = "/a/<b>/'\"\\%_ü"
    run_id = made(journal, replace(HELLO, hook=path))

    assert claimed(journal, {path: PLAIN}).run_id == run_id


def test_workers_that_claim_at_once_never_get_the_same_run(journal: Journal) -> None:
    ids = [made(journal) for _ in range(60)]

    with ThreadPoolExecutor(20) as pool:
        claims = list(pool.map(lambda _: claimed(journal), ids))

    assert sorted(claim.run_id for claim in claims) == sorted(ids)


# --- lease


def test_a_run_whose_lease_has_lapsed_is_due_again(journal: Journal) -> None:
    run_id = made(journal)
    claimed(journal, lease=0)

    again = claimed(journal)

    assert (again.run_id, again.attempt) == (run_id, 2)
    assert (again.failures, again.interruptions) == (0, 1)
    assert outcome(journal, run_id) == CUT_OFF


def test_a_lease_that_was_renewed_has_not_lapsed(journal: Journal) -> None:
    run_id = made(journal)
    claim = claimed(journal, lease=0)

    assert journal.renew([claim], FOR_EVER) == {run_id}

    assert nothing_due(journal)
    assert journal.settle(claim, DONE)


def test_renew_tells_which_are_still_ours(journal: Journal) -> None:
    claims = []
    for _ in range(4):
        made(journal)
        claims.append(claimed(journal))
    kept, settled, cancelled, retried = claims
    journal.settle(settled, DONE)
    journal.cancel(cancelled.run_id)
    journal.settle(retried, FAILED, again_in=0)
    claimed(journal)

    assert journal.renew(claims, FOR_EVER) == {kept.run_id}
    assert journal.renew([], FOR_EVER) == set()


def test_a_process_never_claims_a_run_that_it_still_runs(journal: Journal) -> None:
    run_id = made(journal)
    late = claimed(journal, lease=0)

    assert journal.claim(HOOKS, FOR_EVER, [run_id]) is None

    assert known(journal, run_id).attempt == 1
    assert journal.settle(late, DONE)


def test_a_process_that_still_runs_one_claims_the_others(journal: Journal) -> None:
    first, second, third = (made(journal) for _ in range(3))
    claimed(journal, lease=0)
    claimed(journal, lease=0, mine=[first])

    again = [claimed(journal, mine=[first]).run_id for _ in range(2)]

    assert sorted(again) == sorted([second, third])
    assert known(journal, first).attempt == 1


def test_a_retry_is_not_claimed_by_a_process_that_is_not_done_with_it(journal: Journal) -> None:
    first = made(journal)
    journal.settle(claimed(journal), FAILED, again_in=0)

    assert journal.claim(HOOKS, FOR_EVER, [first]) is None
    second = made(journal)
    assert claimed(journal, mine=[first]).run_id == second
    assert claimed(journal).run_id == first


def test_in_a_lane_too_a_process_never_claims_a_run_that_it_still_runs(journal: Journal) -> None:
    first, _ = made(journal), made(journal)
    journal.interrupt(claimed(journal, LANE), rerun=True)

    assert journal.claim(LANE, FOR_EVER, [first]) is None
    assert claimed(journal, LANE).run_id == first


def test_a_lapsed_lease_of_a_hook_that_is_switched_off_is_left_to_who_knows_its_terms(
    journal: Journal,
) -> None:
    run_id = made(journal, HELLO)
    claimed(journal, lease=0)

    assert nothing_due(journal, {"/deploy": PLAIN})
    assert known(journal, run_id).state is State.RUNNING
    assert nothing_due(journal, NO_RERUN)
    assert outcome(journal, run_id) == NOT_AGAIN


# --- the fence


def begun_again(store: Store, late: Claim) -> Journal:
    """Another worker has begun the run again."""
    journal = store.recovered()
    assert claimed(journal).run_id == late.run_id
    return journal


def due_again(store: Store, late: Claim) -> Journal:
    """The run waits for its next attempt."""
    return store.recovered()


def done_again(store: Store, late: Claim) -> Journal:
    """Another worker has done the run."""
    journal = begun_again(store, late)
    journal.settle(replace(late, attempt=2), DONE)
    return journal


def waits_for_retry(store: Store, late: Claim) -> Journal:
    """Another worker has failed at the run."""
    journal = begun_again(store, late)
    journal.settle(replace(late, attempt=2), FAILED, again_in=FOR_EVER)
    return journal


def is_cancelled(store: Store, late: Claim) -> Journal:
    """Somebody has cancelled the run under another worker."""
    journal = begun_again(store, late)
    journal.cancel(late.run_id)
    return journal


def is_lost(store: Store, late: Claim) -> Journal:
    """The run's hook has gone."""
    return store.recovered({})


LATE_CALLS: Mapping[str, Callable[[Journal, Claim], object]] = {
    "settle": lambda journal, late: journal.settle(late, replace(DONE, stdout=b"late")),
    "fail": lambda journal, late: journal.settle(late, FAILED),
    "retry": lambda journal, late: journal.settle(late, FAILED, again_in=0),
    "renew": lambda journal, late: journal.renew([late], FOR_EVER),
    "append": lambda journal, late: journal.append(late, b"late", b"late"),
    "interrupt": lambda journal, late: journal.interrupt(late, rerun=True),
    "interrupt for good": lambda journal, late: journal.interrupt(late, rerun=False),
}


@pytest.mark.parametrize("call", LATE_CALLS.values(), ids=LATE_CALLS)
@pytest.mark.parametrize(
    "meanwhile",
    [begun_again, due_again, done_again, waits_for_retry, is_cancelled, is_lost],
    ids=lambda step: step.__name__,
)
def test_a_worker_that_comes_too_late_changes_nothing(
    store: Store,
    meanwhile: Callable[[Store, Claim], Journal],
    call: Callable[[Journal, Claim], object],
) -> None:
    run_id = made(store.open())
    journal = store.open()
    late = claimed(journal)
    journal = meanwhile(store, late)
    before = known(journal, run_id)

    assert not call(journal, late)

    assert known(journal, run_id) == before


def test_a_worker_whose_lease_lapsed_cannot_settle_the_run(journal: Journal) -> None:
    run_id = made(journal)
    late = claimed(journal, lease=0)
    current = claimed(journal)

    assert not journal.settle(late, DONE)
    assert known(journal, run_id).state is State.RUNNING
    assert journal.settle(current, FAILED)
    assert outcome(journal, run_id) == FAILED


def test_what_is_written_late_leaves_no_output_behind(journal: Journal) -> None:
    run_id = made(journal)
    late = claimed(journal, lease=0)
    current = claimed(journal)
    assert not journal.append(late, b"late", b"late")
    assert not journal.settle(late, replace(DONE, stdout=b"late"))

    journal.interrupt(current, rerun=True)

    assert outcome(journal, run_id) == CUT_OFF


# --- settle


@pytest.mark.parametrize(
    "ended",
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
def test_a_settled_run_has_ended_as_its_attempt_did(journal: Journal, ended: Outcome) -> None:
    run_id = made(journal)

    assert journal.settle(claimed(journal), ended)

    run = known(journal, run_id)
    assert (run.state, run.attempt, run.outcome) == (ended.state, 1, ended)
    assert run.due is None
    assert run.ended_at is not None
    assert run.ended_at >= run.recorded_at


def test_a_settled_run_outlives_the_process(store: Store) -> None:
    journal = store.open()
    run_id = made(journal)
    journal.settle(claimed(journal), DONE)
    before = known(journal, run_id)

    assert known(store.open(), run_id) == before


def test_a_settled_run_is_not_claimed_again(journal: Journal) -> None:
    made(journal)
    journal.settle(claimed(journal), FAILED)

    assert nothing_due(journal)


def test_an_attempt_is_settled_once(journal: Journal) -> None:
    run_id = made(journal)
    claim = claimed(journal)

    assert journal.settle(claim, FAILED)
    assert not journal.settle(claim, DONE)
    assert outcome(journal, run_id) == FAILED


def test_20_threads_that_settle_an_attempt_at_once_settle_it_once(journal: Journal) -> None:
    made(journal)
    claim = claimed(journal)

    with ThreadPoolExecutor(20) as pool:
        told = list(pool.map(lambda _: journal.settle(claim, DONE), range(20)))

    assert told.count(True) == 1


def test_settling_one_run_leaves_the_others_as_they_are(journal: Journal) -> None:
    queued, running, settled = (made(journal, new) for new in (HELLO, DEPLOY, DEPLOY))
    claimed(journal, {"/deploy": PLAIN})
    claim = claimed(journal, {"/deploy": PLAIN})
    before = [known(journal, queued), known(journal, running)]

    journal.settle(claim, DONE)

    assert known(journal, settled).state is State.SUCCEEDED
    assert [known(journal, queued), known(journal, running)] == before


# --- retry


def test_a_failed_attempt_is_tried_again_when_its_delay_is_over(journal: Journal) -> None:
    run_id = made(journal)

    assert journal.settle(claimed(journal), FAILED, again_in=0)

    again = claimed(journal)
    assert (again.run_id, again.attempt) == (run_id, 2)
    assert (again.failures, again.interruptions) == (1, 0)


def test_a_failed_attempt_is_not_tried_again_before_its_delay_is_over(journal: Journal) -> None:
    run_id = made(journal)
    before = time.time()
    journal.settle(claimed(journal), FAILED, again_in=500)
    after = time.time()

    run = known(journal, run_id)

    assert (run.state, run.attempt, run.outcome) == (State.QUEUED, 1, FAILED)
    assert run.ended_at is None
    assert run.due is not None
    assert before <= run.due - 500 <= after
    assert nothing_due(journal)


def test_failures_are_counted_until_one_attempt_succeeds(journal: Journal) -> None:
    run_id = made(journal)
    for failures in range(4):
        claim = claimed(journal)
        assert (claim.attempt, claim.failures) == (failures + 1, failures)
        journal.settle(claim, FAILED, again_in=0)

    journal.settle(claimed(journal), DONE)

    run = known(journal, run_id)
    assert (run.state, run.attempt, run.outcome) == (State.SUCCEEDED, 5, DONE)


def test_failures_and_interruptions_are_counted_apart(journal: Journal) -> None:
    made(journal)
    journal.settle(claimed(journal), FAILED, again_in=0)
    journal.interrupt(claimed(journal), rerun=True)
    journal.settle(claimed(journal), FAILED, again_in=0)

    claim = claimed(journal)

    assert (claim.attempt, claim.failures, claim.interruptions) == (4, 2, 1)


def test_a_retry_outlives_the_process(store: Store) -> None:
    journal = store.open()
    waiting, due = made(journal), made(journal)
    journal.settle(claimed(journal), FAILED, again_in=FOR_EVER)
    journal.settle(claimed(journal), FAILED, again_in=0)
    before = known(journal, waiting)

    journal = store.open()

    assert journal.recover(HOOKS) == (0, [])
    assert known(journal, waiting) == before
    again = claimed(journal)
    assert (again.run_id, again.failures) == (due, 1)
    assert nothing_due(journal)


def test_a_retry_that_waits_does_not_hold_up_the_others(journal: Journal) -> None:
    made(journal)
    other = made(journal)
    journal.settle(claimed(journal), FAILED, again_in=FOR_EVER)

    assert claimed(journal).run_id == other


# --- interrupt


def test_an_interrupted_run_is_due_at_once(journal: Journal) -> None:
    run_id = made(journal)

    assert journal.interrupt(claimed(journal), rerun=True) is State.QUEUED

    run = known(journal, run_id)
    assert (run.state, run.attempt, run.outcome) == (State.QUEUED, 1, CUT_OFF)
    assert run.ended_at is None
    assert claimed(journal).run_id == run_id


def test_each_claim_of_a_run_has_an_attempt_number_of_its_own(journal: Journal) -> None:
    made(journal)
    attempts = []
    for _ in range(3):
        claim = claimed(journal)
        attempts.append(claim.attempt)
        journal.interrupt(claim, rerun=True)

    assert attempts == [1, 2, 3]


def test_a_run_that_must_not_be_run_again_has_failed_when_it_is_interrupted(
    journal: Journal,
) -> None:
    run_id = made(journal)

    assert journal.interrupt(claimed(journal), rerun=False) is State.FAILED

    run = known(journal, run_id)
    assert (run.state, run.attempt, run.outcome) == (State.FAILED, 1, NOT_AGAIN)
    assert run.ended_at is not None
    assert nothing_due(journal)


def test_a_stop_too_ends_a_run_that_must_not_be_run_again(journal: Journal) -> None:
    run_id = made(journal)

    told = journal.interrupt(claimed(journal), rerun=False, counted=False)

    assert told is State.FAILED
    assert outcome(journal, run_id) == NOT_AGAIN


def test_a_run_that_must_not_be_run_again_has_failed_when_its_lease_lapses(
    journal: Journal,
) -> None:
    run_id = made(journal)
    claimed(journal, NO_RERUN, lease=0)

    assert nothing_due(journal, NO_RERUN)

    assert known(journal, run_id).state is State.FAILED
    assert outcome(journal, run_id) == NOT_AGAIN


def test_a_run_that_must_not_be_run_again_has_failed_when_its_process_died(store: Store) -> None:
    journal = store.open()
    run_id = made(journal)
    claimed(journal, NO_RERUN)
    journal = store.open()

    assert journal.recover(NO_RERUN) == (0, [])

    assert known(journal, run_id).state is State.FAILED
    assert outcome(journal, run_id) == NOT_AGAIN


def test_the_fifth_interruption_of_a_run_is_its_end(journal: Journal) -> None:
    run_id = made(journal)
    told = []
    for interruptions in range(5):
        claim = claimed(journal)
        assert claim.interruptions == interruptions
        told.append(journal.interrupt(claim, rerun=True))

    assert told == [State.QUEUED] * 4 + [State.FAILED]
    assert known(journal, run_id).state is State.FAILED
    assert outcome(journal, run_id) == TOO_OFTEN
    assert nothing_due(journal)


def test_the_fifth_lapse_of_a_lease_is_the_end_of_the_run(journal: Journal) -> None:
    run_id = made(journal)
    for interruptions in range(5):
        assert claimed(journal, lease=0).interruptions == interruptions

    assert nothing_due(journal)

    assert known(journal, run_id).state is State.FAILED
    assert outcome(journal, run_id) == TOO_OFTEN


def test_the_fifth_death_of_a_process_is_the_end_of_the_run(store: Store) -> None:
    journal = store.open()
    run_id = made(journal)
    counts = []
    for _ in range(5):
        claimed(journal)
        journal = store.open()
        counts.append(journal.recover(HOOKS))

    assert counts == [(1, [])] * 4 + [(0, [])]
    assert known(journal, run_id).state is State.FAILED
    assert outcome(journal, run_id) == TOO_OFTEN


def test_an_interruption_that_is_not_counted_does_not_count(journal: Journal) -> None:
    made(journal)

    for _ in range(10):
        claim = claimed(journal)
        assert claim.interruptions == 0
        assert journal.interrupt(claim, rerun=True, counted=False) is State.QUEUED


# --- append


def test_what_an_attempt_had_printed_is_kept_when_it_is_interrupted(journal: Journal) -> None:
    run_id = made(journal)
    claim = claimed(journal)
    assert journal.append(claim, b"one\n", b"")
    assert journal.append(claim, b"one\ntwo\n", b"\xff\0")
    journal.interrupt(claim, rerun=True)

    assert outcome(journal, run_id) == replace(CUT_OFF, stdout=b"one\ntwo\n", stderr=b"\xff\0")


def test_what_an_attempt_had_printed_is_kept_when_its_lease_lapses(journal: Journal) -> None:
    run_id = made(journal)
    journal.append(claimed(journal, lease=0), b"so far\n", b"")
    claimed(journal)

    assert outcome(journal, run_id) == replace(CUT_OFF, stdout=b"so far\n")


def test_what_an_attempt_had_printed_outlives_the_process(store: Store) -> None:
    journal = store.open()
    run_id = made(journal)
    journal.append(claimed(journal), b"so far\n", b"")

    journal = store.recovered()

    assert outcome(journal, run_id) == replace(CUT_OFF, stdout=b"so far\n")


def test_an_attempt_that_prints_has_not_ended(journal: Journal) -> None:
    run_id = made(journal)
    before = claimed(journal)
    journal.append(before, b"so far\n", b"")

    run = known(journal, run_id)

    assert (run.state, run.outcome) == (State.RUNNING, None)


def test_how_an_attempt_ended_says_all_that_it_printed(journal: Journal) -> None:
    run_id = made(journal)
    claim = claimed(journal)
    journal.append(claim, b"h", b"half\n")
    journal.settle(claim, DONE)

    assert outcome(journal, run_id) == DONE


# --- concurrency


def test_no_more_attempts_of_a_hook_are_under_way_than_it_allows(journal: Journal) -> None:
    hooks = {"/hello": Terms(concurrency=2)}
    for _ in range(4):
        made(journal)
    first, _ = claimed(journal, hooks), claimed(journal, hooks)

    assert nothing_due(journal, hooks)
    journal.settle(first, DONE)
    claimed(journal, hooks)
    assert nothing_due(journal, hooks)


@pytest.mark.parametrize(
    "end",
    [
        lambda journal, claim: journal.settle(claim, FAILED),
        lambda journal, claim: journal.settle(claim, FAILED, again_in=FOR_EVER),
        lambda journal, claim: journal.interrupt(claim, rerun=False),
        lambda journal, claim: journal.cancel(claim.run_id),
        lambda journal, claim: journal.renew([claim], 0),
    ],
    ids=["failed", "waits for its retry", "interrupted", "cancelled", "lapsed"],
)
def test_a_run_that_is_not_under_way_any_more_makes_room_for_another(
    journal: Journal, end: Callable[[Journal, Claim], object]
) -> None:
    hooks = {"/hello": Terms(concurrency=1)}
    made(journal)
    other = made(journal)

    end(journal, claimed(journal, hooks))

    assert claimed(journal, hooks).run_id == other


def test_a_run_that_this_process_still_runs_is_under_way_whatever_its_lease_says(
    journal: Journal,
) -> None:
    hooks = {"/hello": Terms(concurrency=1)}
    first, _ = made(journal), made(journal)
    claimed(journal, hooks, lease=0)

    assert journal.claim(hooks, FOR_EVER, [first]) is None


@pytest.mark.parametrize("terms", [Terms(concurrency=1), STRICT], ids=["limited", "strict"])
def test_a_cancelled_run_whose_script_is_not_dead_yet_is_under_way(
    journal: Journal, terms: Terms
) -> None:
    hooks = {"/hello": terms}
    first, second = made(journal), made(journal)
    claimed(journal, hooks)
    journal.cancel(first)

    assert journal.claim(hooks, FOR_EVER, [first]) is None
    assert claimed(journal, hooks).run_id == second


def test_a_hook_that_may_not_start_holds_up_no_other(journal: Journal) -> None:
    hooks = {"/hello": Terms(concurrency=1), "/deploy": PLAIN}
    made(journal)
    made(journal)
    other = made(journal, DEPLOY)
    claimed(journal, hooks)

    assert claimed(journal, hooks).run_id == other


def test_20_workers_that_claim_at_once_keep_to_what_the_hook_allows(journal: Journal) -> None:
    hooks = {"/hello": Terms(concurrency=3)}
    for _ in range(20):
        made(journal)

    with ThreadPoolExecutor(20) as pool:
        claims = list(pool.map(lambda _: journal.claim(hooks, FOR_EVER), range(20)))

    assert sum(claim is not None for claim in claims) == 3


# --- order


def test_a_lane_is_run_one_at_a_time_and_by_seq(journal: Journal) -> None:
    ids = [made(journal) for _ in range(3)]
    for run_id in ids:
        claim = claimed(journal, LANE)
        assert claim.run_id == run_id
        assert nothing_due(journal, LANE)
        journal.settle(claim, DONE)


def test_a_retry_holds_the_lane(journal: Journal) -> None:
    first, second = made(journal), made(journal)
    journal.settle(claimed(journal, LANE), FAILED, again_in=FOR_EVER)

    assert nothing_due(journal, LANE)
    journal.cancel(first)
    assert claimed(journal, LANE).run_id == second


def test_a_retry_goes_before_what_has_been_due_for_longer_in_its_lane(journal: Journal) -> None:
    first, second = made(journal), made(journal)
    journal.settle(claimed(journal, LANE), FAILED, again_in=0)

    again = claimed(journal, LANE)
    assert again.run_id == first
    journal.settle(again, FAILED)
    assert claimed(journal, LANE).run_id == second


@pytest.mark.parametrize(
    "cut_off",
    [
        lambda journal, claim: journal.interrupt(claim, rerun=True),
        lambda journal, claim: journal.renew([claim], 0),
        lambda journal, claim: journal.recover(LANE),
    ],
    ids=["interrupted", "lapsed", "recovered"],
)
def test_an_interruption_holds_the_lane(
    journal: Journal, cut_off: Callable[[Journal, Claim], object]
) -> None:
    first, _ = made(journal), made(journal)
    cut_off(journal, claimed(journal, LANE))

    again = claimed(journal, LANE)

    assert (again.run_id, again.attempt) == (first, 2)
    assert nothing_due(journal, LANE)


def test_an_interruption_that_ends_a_run_frees_its_lane(journal: Journal) -> None:
    _, second = made(journal), made(journal)
    journal.interrupt(claimed(journal, LANE), rerun=False)

    assert claimed(journal, LANE).run_id == second


def test_a_cancelled_run_frees_its_lane(journal: Journal) -> None:
    first, second = made(journal), made(journal)
    claimed(journal, LANE)
    journal.cancel(first)

    assert claimed(journal, LANE).run_id == second


def test_a_lane_that_is_held_holds_up_no_other_hook(journal: Journal) -> None:
    made(journal)
    made(journal)
    other = made(journal, DEPLOY)
    claimed(journal, LANE)

    assert claimed(journal, LANE).run_id == other


def test_a_hook_that_becomes_strict_starts_none_beside_what_it_runs(journal: Journal) -> None:
    first, _ = made(journal), made(journal)
    retried, running = claimed(journal), claimed(journal)
    journal.settle(retried, FAILED, again_in=0)

    assert nothing_due(journal, LANE)
    journal.settle(running, DONE)
    assert claimed(journal, LANE).run_id == first


# --- cancel


def test_a_cancelled_run_that_was_queued_is_never_claimed(journal: Journal) -> None:
    run_id = made(journal)

    assert journal.cancel(run_id) is State.QUEUED

    run = known(journal, run_id)
    assert (run.state, run.attempt, run.outcome) == (State.CANCELLED, 0, None)
    assert (run.ended_at is None, run.due) == (False, None)
    assert nothing_due(journal)


def test_a_cancelled_run_that_waited_for_its_retry_is_never_claimed(journal: Journal) -> None:
    run_id = made(journal)
    journal.settle(claimed(journal), FAILED, again_in=0)

    assert journal.cancel(run_id) is State.QUEUED

    run = known(journal, run_id)
    assert (run.state, run.attempt, run.outcome) == (State.CANCELLED, 1, FAILED)
    assert nothing_due(journal)


def test_a_cancelled_run_that_was_running_is_nobodys(journal: Journal) -> None:
    run_id = made(journal)
    claim = claimed(journal, lease=0)

    assert journal.cancel(run_id) is State.RUNNING

    assert known(journal, run_id).state is State.CANCELLED
    assert journal.renew([claim], FOR_EVER) == set()
    assert journal.interrupt(claim, rerun=True) is None
    assert nothing_due(journal)


def test_the_attempt_of_a_cancelled_run_may_still_say_what_it_printed(journal: Journal) -> None:
    run_id = made(journal)
    claim = claimed(journal)
    journal.cancel(run_id)
    ended_at = known(journal, run_id).ended_at

    assert not journal.settle(claim, STOPPED)

    run = known(journal, run_id)
    assert (run.state, run.outcome, run.ended_at) == (State.CANCELLED, STOPPED, ended_at)
    assert not journal.settle(claim, DONE)
    assert known(journal, run_id) == run


def test_a_cancelled_run_is_not_tried_again(journal: Journal) -> None:
    run_id = made(journal)
    claim = claimed(journal)
    journal.cancel(run_id)

    assert not journal.settle(claim, STOPPED, again_in=0)

    run = known(journal, run_id)
    assert (run.state, run.outcome) == (State.CANCELLED, STOPPED)
    assert nothing_due(journal)


@pytest.mark.parametrize("ended", [DONE, FAILED, Outcome(State.CANCELLED)])
def test_a_run_that_has_ended_is_not_cancelled(journal: Journal, ended: Outcome) -> None:
    run_id = made(journal)
    journal.settle(claimed(journal), ended)
    before = known(journal, run_id)

    assert journal.cancel(run_id) is None

    assert known(journal, run_id) == before


def test_a_run_is_cancelled_once(journal: Journal) -> None:
    run_id = made(journal)

    assert [journal.cancel(run_id), journal.cancel(run_id)] == [State.QUEUED, None]


def test_an_unknown_run_is_not_cancelled(journal: Journal) -> None:
    assert journal.cancel("k3x9") is None


def test_a_cancelled_run_outlives_the_process(store: Store) -> None:
    journal = store.open()
    queued, running = made(journal, DEPLOY), made(journal)
    claimed(journal, {"/hello": PLAIN})
    journal.cancel(queued)
    journal.cancel(running)
    before = [known(journal, queued), known(journal, running)]

    journal = store.open()

    assert journal.recover(HOOKS) == (0, [])
    assert [known(journal, queued), known(journal, running)] == before


# --- recover


def test_a_dead_process_left_nothing_to_recover_in_an_empty_journal(journal: Journal) -> None:
    assert journal.recover(HOOKS) == (0, [])


def test_what_a_dead_process_left_running_is_due_again(store: Store) -> None:
    journal = store.open()
    ids = [made(journal) for _ in range(3)]
    claimed(journal)
    claimed(journal)
    journal = store.open()

    assert journal.recover(HOOKS) == (2, [])

    again = [claimed(journal) for _ in ids]
    assert {claim.run_id: claim.attempt for claim in again} == dict(
        zip(ids, (2, 2, 1), strict=True)
    )
    assert [claim.new for claim in again] == [HELLO] * 3


def test_what_was_left_running_is_not_claimed_before_it_is_recovered(store: Store) -> None:
    journal = store.open()
    made(journal)
    claimed(journal)

    assert nothing_due(store.open())


def test_a_queued_run_whose_hook_is_gone_has_failed(store: Store) -> None:
    journal = store.open()
    lost, kept = made(journal, DEPLOY), made(journal, HELLO)
    journal = store.open()

    assert journal.recover(WITHOUT_DEPLOY) == (0, [lost])

    run = known(journal, lost)
    assert (run.state, run.attempt, run.outcome) == (State.FAILED, 0, LOST)
    assert run.ended_at is not None
    assert known(journal, kept).state is State.QUEUED
    assert claimed(journal).run_id == kept


def test_a_running_run_whose_hook_is_gone_has_failed_and_counts_as_lost_alone(
    store: Store,
) -> None:
    journal = store.open()
    lost = made(journal, DEPLOY)
    journal.append(claimed(journal), b"so far\n", b"")
    journal = store.open()

    assert journal.recover(WITHOUT_DEPLOY) == (0, [lost])

    run = known(journal, lost)
    assert (run.state, run.attempt) == (State.FAILED, 1)
    assert run.outcome == replace(LOST, stdout=b"so far\n")


def test_runs_that_have_ended_are_left_alone_by_recover(store: Store) -> None:
    journal = store.open()
    ids = [made(journal, DEPLOY) for _ in range(3)]
    journal.settle(claimed(journal), DONE)
    journal.settle(claimed(journal), FAILED)
    journal.cancel(ids[2])
    before = [known(journal, run_id) for run_id in ids]
    journal = store.open()

    assert journal.recover({}) == (0, [])
    assert [known(journal, run_id) for run_id in ids] == before


def test_recovering_twice_is_no_different_from_once(store: Store) -> None:
    journal = store.open()
    made(journal, HELLO)
    made(journal, DEPLOY)
    claimed(journal)
    journal = store.recovered(WITHOUT_DEPLOY)

    assert journal.recover(WITHOUT_DEPLOY) == (0, [])
    assert claimed(journal).attempt == 2


def test_the_unfinished_are_those_queued_or_running_in_their_order(store: Store) -> None:
    journal = store.open()
    ids = [made(journal, new) for new in (DEPLOY, HELLO, HELLO, HELLO, HELLO, HELLO)]
    succeeded, failed, _, retried = (claimed(journal, WITHOUT_DEPLOY) for _ in range(4))
    journal.settle(succeeded, DONE)
    journal.settle(failed, FAILED)
    journal.settle(retried, FAILED, again_in=FOR_EVER)
    journal.cancel(ids[5])

    assert journal.unfinished() == [ids[0], ids[3], ids[4]]
    assert store.open().unfinished() == [ids[0], ids[3], ids[4]]


# --- a hook that leaves hooks.yaml


def test_what_waits_for_a_hook_that_is_gone_has_failed(journal: Journal) -> None:
    lost, kept = made(journal, DEPLOY), made(journal, HELLO)

    assert journal.fail_lost(WITHOUT_DEPLOY) == [lost]

    run = known(journal, lost)
    assert (run.state, run.attempt, run.outcome) == (State.FAILED, 0, LOST)
    assert known(journal, kept).state is State.QUEUED
    assert journal.fail_lost(WITHOUT_DEPLOY) == []


def test_a_retry_of_a_hook_that_is_gone_has_failed(journal: Journal) -> None:
    lost = made(journal, DEPLOY)
    journal.settle(claimed(journal), FAILED, again_in=FOR_EVER)

    assert journal.fail_lost(WITHOUT_DEPLOY) == [lost]

    assert known(journal, lost).state is State.FAILED
    assert outcome(journal, lost).why is Why.LOST_HOOK
    assert outcome(journal, lost).stderr == FAILED.stderr


def test_an_attempt_under_way_may_end_though_its_hook_is_gone(journal: Journal) -> None:
    run_id = made(journal, DEPLOY)
    claim = claimed(journal)

    assert journal.fail_lost(WITHOUT_DEPLOY) == []

    assert journal.renew([claim], FOR_EVER) == {run_id}
    assert journal.settle(claim, DONE)
    assert outcome(journal, run_id) == DONE


def test_a_lapsed_attempt_whose_hook_is_gone_has_failed(journal: Journal) -> None:
    run_id = made(journal, DEPLOY)
    claim = claimed(journal, lease=0)

    assert journal.fail_lost(WITHOUT_DEPLOY) == [run_id]

    assert outcome(journal, run_id) == LOST
    assert not journal.settle(claim, DONE)
    assert outcome(journal, run_id) == LOST


def test_a_sender_is_told_that_the_hook_of_its_run_is_gone(journal: Journal) -> None:
    run_id = made(journal, DEPLOY)
    waiting = Call(lambda: await_end(journal, run_id, FOR_EVER))

    journal.fail_lost(WITHOUT_DEPLOY)

    assert waiting.returned()
    assert waiting.result == known(journal, run_id)


# --- telling of failures


FAILURES: Mapping[str, Callable[[Journal, Claim], object]] = {
    "failed": lambda journal, claim: journal.settle(claim, FAILED),
    "interrupted": lambda journal, claim: journal.interrupt(claim, rerun=False),
    "lapsed": lambda journal, claim: (journal.renew([claim], 0), nothing_due(journal, NO_RERUN)),
    "recovered": lambda journal, claim: journal.recover(NO_RERUN),
    "lost": lambda journal, claim: (journal.renew([claim], 0), journal.fail_lost({})),
}


@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES)
def test_a_run_that_failed_for_good_is_yet_to_be_told_of(
    store: Store, fail: Callable[[Journal, Claim], object]
) -> None:
    journal = store.open()
    run_id = made(journal)

    fail(journal, claimed(journal, NO_RERUN))

    assert known(journal, run_id).state is State.FAILED
    assert journal.untold() == [run_id]
    assert store.open().untold() == [run_id]


@pytest.mark.parametrize(
    "end",
    [
        lambda journal, claim: journal.settle(claim, DONE),
        lambda journal, claim: journal.settle(claim, FAILED, again_in=FOR_EVER),
        lambda journal, claim: journal.interrupt(claim, rerun=True),
        lambda journal, claim: journal.cancel(claim.run_id),
    ],
    ids=["succeeded", "tried again", "run again", "cancelled"],
)
def test_of_a_run_that_did_not_fail_for_good_nobody_is_told(
    journal: Journal, end: Callable[[Journal, Claim], object]
) -> None:
    made(journal)

    end(journal, claimed(journal))

    assert journal.untold() == []


def failed_run(journal: Journal) -> str:
    """A run that failed for good."""
    run_id = made(journal)
    journal.settle(claimed(journal), FAILED)
    return run_id


def test_a_failure_is_told_of_by_a_run_and_once(store: Store) -> None:
    journal = store.open()
    run_id = failed_run(journal)

    told = journal.tell(run_id, replace(DEPLOY, replaces=run_id))

    assert (journal.untold(), journal.tell(run_id, DEPLOY)) == ([], "")
    journal = store.open()
    assert journal.untold() == []
    assert journal.unfinished() == [told]
    assert claimed(journal).new == replace(DEPLOY, replaces=run_id)


def test_a_failure_of_which_nobody_wants_to_know_is_told_of_all_the_same(
    journal: Journal,
) -> None:
    run_id = failed_run(journal)

    assert journal.tell(run_id, None) == ""

    assert (journal.untold(), journal.unfinished()) == ([], [])


def test_of_what_has_not_failed_nobody_can_tell(journal: Journal) -> None:
    run_id = made(journal)

    assert journal.tell(run_id, DEPLOY) == ""
    assert journal.tell("k3x9", DEPLOY) == ""

    assert journal.unfinished() == [run_id]


def test_20_threads_that_tell_of_a_failure_at_once_tell_of_it_once(journal: Journal) -> None:
    run_id = failed_run(journal)

    with ThreadPoolExecutor(20) as pool:
        told = list(pool.map(lambda _: journal.tell(run_id, DEPLOY), range(20)))

    assert [one for one in told if one] == journal.unfinished()
    assert len(journal.unfinished()) == 1


# --- prune


KEPT_NOT = {"/hello": Terms(keep=0.0), "/deploy": Terms(keep=0.0)}


def test_a_run_that_ended_is_forgotten_when_it_has_been_kept(store: Store) -> None:
    journal = store.open()
    ids = [made(journal, new) for new in (HELLO, HELLO, DEPLOY)]
    journal.settle(claimed(journal, WITHOUT_DEPLOY), DONE)
    journal.settle(claimed(journal, WITHOUT_DEPLOY), FAILED)
    journal.tell(ids[1], None)
    journal.cancel(ids[2])

    assert journal.prune(KEPT_NOT, 100) == 3

    journal = store.open()
    assert [journal.run(run_id) for run_id in ids] == [None] * 3
    assert [journal.recorded(run_id) for run_id in ids] == [None] * 3


def test_a_run_that_ended_is_kept_until_its_time(journal: Journal) -> None:
    run_id = made(journal)
    journal.settle(claimed(journal), DONE)

    assert journal.prune({"/hello": Terms(keep=FOR_EVER)}, 100) == 0
    assert journal.prune({}, 100) == 0  # a hook that is gone keeps its runs as any other does
    assert outcome(journal, run_id) == DONE


@pytest.mark.parametrize("wanted", [None, DEPLOY], ids=["nobody", "somebody"])
def test_a_failed_run_is_not_forgotten_before_it_has_been_told_of(
    store: Store, wanted: NewRun | None
) -> None:
    journal = store.open()
    run_id = failed_run(journal)

    assert journal.prune(KEPT_NOT, 100) == 0

    journal = store.open()
    assert journal.untold() == [run_id]
    assert (outcome(journal, run_id), journal.recorded(run_id)) == (FAILED, HELLO)
    assert bool(journal.tell(run_id, wanted)) == (wanted is not None)
    assert journal.prune(KEPT_NOT, 100) == 1
    assert journal.run(run_id) is None


def test_what_is_yet_to_be_told_of_holds_up_no_forgetting_of_others(journal: Journal) -> None:
    untold = [failed_run(journal) for _ in range(3)]
    done = made(journal)
    journal.settle(claimed(journal), DONE)

    assert journal.prune(KEPT_NOT, 1) == 1

    assert journal.run(done) is None
    assert journal.untold() == untold


def test_a_run_that_has_not_ended_is_never_forgotten(journal: Journal) -> None:
    ids = [made(journal) for _ in range(3)]
    claimed(journal)
    journal.settle(claimed(journal), FAILED, again_in=FOR_EVER)

    assert journal.prune(KEPT_NOT, 100) == 0
    assert journal.unfinished() == ids


def test_each_hook_keeps_its_runs_for_its_own_time(journal: Journal) -> None:
    kept, forgotten = made(journal, HELLO), made(journal, DEPLOY)
    for _ in range(2):
        journal.settle(claimed(journal), DONE)

    assert journal.prune({"/hello": PLAIN, "/deploy": Terms(keep=0.0)}, 100) == 1
    assert journal.run(forgotten) is None
    assert outcome(journal, kept) == DONE


def test_no_more_runs_are_forgotten_at_once_than_are_asked_for(journal: Journal) -> None:
    ids = [made(journal, new) for new in (HELLO, DEPLOY, HELLO, DEPLOY, HELLO)]
    for _ in ids:
        journal.settle(claimed(journal), DONE)

    pruned, left = [], []
    for _ in range(4):
        pruned.append(journal.prune(KEPT_NOT, 2))
        left.append(sum(journal.run(run_id) is not None for run_id in ids))

    assert (pruned, left) == ([2, 2, 1, 0], [3, 1, 0, 0])


def test_a_delivery_whose_run_was_forgotten_makes_another_of_its_own(journal: Journal) -> None:
    first = made(journal, NAMED)
    journal.settle(claimed(journal), FAILED)
    journal.tell(first, None)
    assert journal.prune(KEPT_NOT, 100) == 1

    assert known(journal, made(journal, NAMED)).replaces == ""


def test_the_seq_of_a_forgotten_run_is_not_given_again(store: Store) -> None:
    journal = store.open()
    seq = known(journal, made(journal)).seq
    journal.settle(claimed(journal), DONE)
    journal.prune(KEPT_NOT, 100)

    journal = store.open()

    assert known(journal, made(journal)).seq > seq


# --- waiting


def waiting_claim(journal: Journal, hooks: Mapping[str, Terms] = HOOKS) -> Call:
    """Somebody who waits for a run that is due."""
    return Call(lambda: journal.claim(hooks, FOR_EVER, wait=FOR_EVER))


def claimed_by(call: Call) -> str:
    """The id of the run that somebody got who waited for one."""
    assert call.returned()
    assert isinstance(call.result, Claim)
    return call.result.run_id


def test_who_waits_for_a_run_gets_a_new_one(journal: Journal) -> None:
    waiting = waiting_claim(journal)

    run_id = made(journal)

    assert claimed_by(waiting) == run_id


def test_who_comes_after_the_run_does_not_wait(journal: Journal) -> None:
    run_id = made(journal)

    assert claimed_by(waiting_claim(journal)) == run_id


def test_who_waits_gets_all_that_was_recorded(journal: Journal) -> None:
    new = replace(
        NAMED,
        params={"env": "ü"},
        query="a=b",
        headers={"x-a": "b"},
        body=bytes(range(256)),
        delivery_id="d",
        event="push",
        replaces="k3x9",
    )
    waiting = waiting_claim(journal)

    run_id = made(journal, new)

    assert claimed_by(waiting) == run_id
    assert isinstance(waiting.result, Claim)
    assert waiting.result.new == journal.recorded(run_id)
    assert waiting.result == Claim(
        run_id, known(journal, run_id).seq, 1, replace(new, dedupe_key="", dedupe_for=0.0)
    )
    assert known(journal, run_id).state is State.RUNNING
    assert journal.settle(waiting.result, DONE)
    assert outcome(journal, run_id) == DONE


def test_who_waits_gets_the_longest_due_before_the_newest(journal: Journal) -> None:
    first = made(journal)
    journal.settle(claimed(journal), FAILED, again_in=0.2)
    waiting = [waiting_claim(journal) for _ in range(2)]

    second = made(journal)

    assert {claimed_by(call) for call in waiting} == {first, second}


@pytest.mark.parametrize("terms", [STRICT, Terms(concurrency=1)], ids=["strict", "concurrency"])
def test_who_waits_gets_no_more_of_a_hook_than_may_run_at_once(
    journal: Journal, terms: Terms
) -> None:
    told: SimpleQueue[Claim | JournalUnavailable | None] = SimpleQueue()
    for _ in range(3):
        journal.claim_soon({"/hello": terms}, FOR_EVER, (), FOR_EVER, told.put)
    ids = [made(journal, HELLO, terms) for _ in range(3)]

    for run_id in ids:
        claim = told.get(timeout=SECONDS)
        assert isinstance(claim, Claim)
        assert claim.run_id == run_id
        running = [known(journal, run_id).state for run_id in ids].count(State.RUNNING)
        assert running == 1
        journal.settle(claim, DONE)


def test_each_who_waits_gets_a_run_of_its_own(journal: Journal) -> None:
    waiting = [waiting_claim(journal) for _ in range(8)]

    ids = [made(journal) for _ in waiting]

    assert sorted(claimed_by(call) for call in waiting) == sorted(ids)


def test_who_waits_for_other_hooks_gets_nothing_of_these(journal: Journal) -> None:
    other = waiting_claim(journal, {"/deploy": PLAIN})
    mine = waiting_claim(journal, {"/hello": PLAIN})

    hello, deploy = made(journal), made(journal, DEPLOY)

    assert (claimed_by(mine), claimed_by(other)) == (hello, deploy)


def test_who_waits_never_gets_what_its_process_still_runs(journal: Journal) -> None:
    first = made(journal)
    running = {claimed(journal, lease=0).run_id: None}
    waiting = Call(lambda: journal.claim(HOOKS, FOR_EVER, running, wait=FOR_EVER))

    second = made(journal)

    assert claimed_by(waiting) == second
    running.clear()
    assert claimed(journal).run_id == first


@pytest.mark.parametrize(
    "end",
    [
        lambda journal, claim: journal.settle(claim, DONE),
        lambda journal, claim: journal.settle(claim, FAILED, again_in=0),
        lambda journal, claim: journal.interrupt(claim, rerun=True),
        lambda journal, claim: journal.cancel(claim.run_id),
    ],
    ids=["settled", "retried", "interrupted", "cancelled"],
)
def test_who_waits_for_a_run_gets_one_when_an_attempt_ends(
    journal: Journal, end: Callable[[Journal, Claim], object]
) -> None:
    # Its lane has the next to run, or the same again.
    made(journal)
    made(journal)
    claim = claimed(journal, LANE)
    assert nothing_due(journal, LANE)
    waiting = waiting_claim(journal, LANE)

    end(journal, claim)

    assert claimed_by(waiting)


def test_who_waits_for_a_run_gets_a_retry_when_it_is_due(journal: Journal) -> None:
    run_id = made(journal)
    journal.settle(claimed(journal), FAILED, again_in=0.2)

    assert claimed_by(waiting_claim(journal)) == run_id


def test_who_waits_for_a_run_gets_one_whose_lease_lapses(journal: Journal) -> None:
    run_id = made(journal)
    claimed(journal, lease=0.2)

    assert claimed_by(waiting_claim(journal)) == run_id


def test_waiting_for_a_run_has_an_end(journal: Journal) -> None:
    assert journal.claim(HOOKS, FOR_EVER, wait=0.01) is None


def test_a_claim_says_when_its_lease_began_at_the_earliest(journal: Journal) -> None:
    waiting = waiting_claim(journal)
    before = time.monotonic()
    made(journal)

    claimed_by(waiting)

    assert isinstance(waiting.result, Claim)
    assert before <= waiting.result.asked_at <= time.monotonic()


def test_what_is_recorded_soon_is_told_when_it_is_kept(store: Store) -> None:
    told: SimpleQueue[object] = SimpleQueue()
    store.open().record_soon(HELLO, PLAIN, told.put, lambda run: None)
    recorded = told.get(timeout=SECONDS)

    assert isinstance(recorded, Recorded)
    assert known(store.open(), recorded.run_id).state is State.QUEUED


def test_what_cannot_be_recorded_is_told_and_not_raised(journal: Journal) -> None:
    told: SimpleQueue[object] = SimpleQueue()
    journal.record_soon(HELLO, Terms(queue=0), told.put)
    assert isinstance(told.get(timeout=SECONDS), Full)

    journal.close()
    journal.record_soon(HELLO, PLAIN, told.put)
    assert isinstance(told.get(timeout=SECONDS), JournalUnavailable)
    journal.sync_soon(told.put)
    assert isinstance(told.get(timeout=SECONDS), JournalUnavailable)


def test_a_sync_is_told(journal: Journal) -> None:
    told: SimpleQueue[object] = SimpleQueue()
    journal.sync_soon(told.put)
    assert told.get(timeout=SECONDS) is None


def test_who_waits_for_the_end_of_a_run_is_told_it(journal: Journal) -> None:
    run_id = made(journal)
    claim = claimed(journal)
    waiting = [Call(lambda: await_end(journal, run_id, FOR_EVER)) for _ in range(4)]

    journal.settle(claim, DONE)

    assert all(call.returned() for call in waiting)
    assert [call.result for call in waiting] == [known(journal, run_id)] * 4


def test_every_sender_is_told_the_end_of_its_own_run(journal: Journal) -> None:
    ids = [made(journal) for _ in range(30)]

    def work() -> None:
        claim = claimed(journal)
        journal.settle(claim, replace(DONE, stdout=claim.run_id.encode()))

    with ThreadPoolExecutor(60) as pool:
        ends = [pool.submit(await_end, journal, run_id, FOR_EVER) for run_id in ids]
        for _ in ids:
            pool.submit(work)

    told = [end.result() for end in ends]
    assert [run and run.outcome and run.outcome.stdout.decode() for run in told] == ids


def call_until_returned(wake: Callable[[], object], waiting: Sequence[Call]) -> bool:
    """Wake until everybody has been: nobody can say whether a thread sleeps yet."""
    for call in waiting:
        for _ in range(int(SECONDS * 100)):
            wake()
            call.thread.join(0.01)
            if not call.thread.is_alive():
                break
    return all(call.returned() for call in waiting)


def test_who_waits_is_told_of_an_attempt_that_is_tried_again_later(journal: Journal) -> None:
    run_id = made(journal)
    waiting = [Call(lambda: await_end(journal, run_id, FOR_EVER))]

    def fail() -> None:
        journal.settle(claimed(journal), FAILED, again_in=0)

    assert call_until_returned(fail, waiting)
    told = waiting[0].result
    assert isinstance(told, Run)
    assert (told.state, told.outcome) == (State.QUEUED, FAILED)


def test_who_waits_is_told_that_the_run_was_cancelled(journal: Journal) -> None:
    run_id = made(journal)
    waiting = Call(lambda: await_end(journal, run_id, FOR_EVER))

    journal.cancel(run_id)

    assert waiting.returned()
    assert waiting.result == known(journal, run_id)


def test_who_waits_is_told_of_an_interruption_that_ended_the_run(journal: Journal) -> None:
    run_id = made(journal)
    claim = claimed(journal)
    waiting = Call(lambda: await_end(journal, run_id, FOR_EVER))

    journal.interrupt(claim, rerun=False)

    assert waiting.returned()
    assert waiting.result == known(journal, run_id)


def test_who_waits_is_told_of_a_lapsed_lease_that_ended_the_run(journal: Journal) -> None:
    run_id = made(journal)
    claimed(journal, NO_RERUN, lease=0)
    waiting = Call(lambda: await_end(journal, run_id, FOR_EVER))

    assert nothing_due(journal, NO_RERUN)

    assert waiting.returned()
    assert waiting.result == known(journal, run_id)


def test_who_waits_for_a_run_that_has_ended_is_told_at_once(journal: Journal) -> None:
    run_id = made(journal)
    journal.settle(claimed(journal), FAILED)

    assert await_end(journal, run_id, FOR_EVER) == known(journal, run_id)


def test_who_waits_too_short_is_told_how_the_run_stands(journal: Journal) -> None:
    run_id = made(journal)
    queued = await_end(journal, run_id, 0.01)
    claimed(journal)
    running = await_end(journal, run_id, 0.01)

    assert queued is not None
    assert running is not None
    assert (queued.state, running.state) == (State.QUEUED, State.RUNNING)


def test_who_waits_is_handed_the_run_as_it_stands(journal: Journal) -> None:
    told: SimpleQueue[Run | None] = SimpleQueue()
    run_ids = [made(journal), made(journal)]
    for run_id in run_ids:
        journal.watch(run_id, told.put)

    journal.settle(claimed(journal), DONE)
    assert told.get(timeout=SECONDS) == known(journal, run_ids[0])
    journal.settle(claimed(journal), FAILED, again_in=FOR_EVER)
    assert told.get(timeout=SECONDS) == known(journal, run_ids[1])


def test_who_is_recorded_to_wait_is_told_of_the_end(journal: Journal) -> None:
    told: SimpleQueue[object] = SimpleQueue()
    journal.record_soon(HELLO, PLAIN, told.put, told.put)
    recorded = told.get(timeout=SECONDS)
    assert isinstance(recorded, Recorded)

    journal.settle(claimed(journal), DONE)

    assert told.get(timeout=SECONDS) == known(journal, recorded.run_id)


def test_a_repeat_that_waits_for_what_has_ended_is_told_at_once(journal: Journal) -> None:
    told: SimpleQueue[object] = SimpleQueue()
    run_id = made(journal, NAMED)
    journal.settle(claimed(journal), DONE)

    journal.record_soon(NAMED, PLAIN, told.put, told.put)

    assert told.get(timeout=SECONDS) == Recorded(run_id, joined=True)
    assert told.get(timeout=SECONDS) is None


def test_who_waits_for_a_run_that_will_be_tried_again_is_told_at_once(journal: Journal) -> None:
    told: SimpleQueue[Run | None] = SimpleQueue()
    run_id = made(journal)
    journal.settle(claimed(journal), FAILED, again_in=FOR_EVER)

    journal.watch(run_id, told.put)

    assert told.get(timeout=SECONDS) is None


def test_how_a_run_stands_is_told_without_its_output(journal: Journal) -> None:
    run_id = made(journal)
    journal.settle(claimed(journal), DONE)

    run = known(journal, run_id)
    assert run.outcome
    assert journal.standing(run_id) == replace(run, outcome=replace(run.outcome, stdout=b""))
    assert journal.standing("k3x9") is None


def test_nobody_waits_for_an_unknown_run(journal: Journal) -> None:
    assert await_end(journal, "k3x9", FOR_EVER) is None


def test_wake_workers_lets_everybody_go_who_waits_for_a_run(journal: Journal) -> None:
    waiting = [waiting_claim(journal) for _ in range(8)]

    assert call_until_returned(journal.wake_workers, waiting)
    assert [call.result for call in waiting] == [None] * 8
    run_id = made(journal)
    assert claimed(journal).run_id == run_id


def test_once_woken_for_good_nobody_waits_for_a_run_or_gets_one(journal: Journal) -> None:
    waiting = [waiting_claim(journal) for _ in range(8)]

    journal.wake_workers(for_good=True)
    made(journal)
    waiting.append(waiting_claim(journal))

    assert all(call.returned() for call in waiting)
    assert waiting[-1].result is None


def test_wake_senders_tells_everybody_who_waits_for_an_end_how_the_run_stands(
    journal: Journal,
) -> None:
    ids = [made(journal) for _ in range(2)]
    claimed(journal)
    waiting = [Call(partial(await_end, journal, run_id, FOR_EVER)) for run_id in ids * 4]

    assert call_until_returned(journal.wake_senders, waiting)
    assert [call.result for call in waiting] == [known(journal, run_id) for run_id in ids * 4]
    assert [known(journal, run_id).state for run_id in ids] == [State.RUNNING, State.QUEUED]


# --- close


def test_a_closed_journal_is_unavailable(journal: Journal) -> None:
    run_id = made(journal)
    claim = claimed(journal)
    journal.close()
    calls: list[Callable[[], object]] = [
        lambda: journal.record(HELLO, PLAIN),
        lambda: journal.claim(HOOKS, FOR_EVER),
        lambda: journal.renew([claim], FOR_EVER),
        lambda: journal.append(claim, b"", b""),
        lambda: journal.settle(claim, DONE),
        lambda: journal.interrupt(claim, rerun=True),
        lambda: journal.cancel(run_id),
        lambda: journal.run(run_id),
        lambda: journal.recorded(run_id),
        journal.unfinished,
        lambda: journal.recover(HOOKS),
        lambda: journal.fail_lost(HOOKS),
        journal.untold,
        lambda: journal.tell(run_id, DEPLOY),
        lambda: journal.prune(HOOKS, 1),
        lambda: journal.claim(HOOKS, FOR_EVER, wait=FOR_EVER),
        lambda: journal.standing(run_id),
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
    endless = Terms(queue=10**9)

    def record_many() -> list[str]:
        ids = [made(journal, HELLO, endless)]
        some_are_in.wait(SECONDS)
        try:
            while True:
                ids.append(made(journal, HELLO, endless))
        except JournalUnavailable:
            return ids

    with ThreadPoolExecutor(20) as pool:
        calls = [pool.submit(record_many) for _ in range(20)]
        some_are_in.wait(SECONDS)
        journal.close()
    ids = [run_id for call in calls for run_id in call.result()]

    again = store.open()
    assert len(ids) >= 20
    assert sorted(again.unfinished()) == sorted(ids)  # and nobody who was refused has one


# --- what can be asked


def ids(runs: Sequence[Run]) -> list[str]:
    return [run.run_id for run in runs]


def test_runs_are_listed_newest_first_and_without_what_they_printed(journal: Journal) -> None:
    first, second = made(journal), made(journal, replace(DEPLOY, delivery_id="d", event="push"))
    journal.settle(claimed(journal), DONE)
    runs = journal.runs(Query())

    assert ids(runs) == [second, first]
    assert (runs[0].delivery_id, runs[0].event, runs[0].outcome) == ("d", "push", None)
    assert runs[1].state is State.SUCCEEDED
    assert runs[1].outcome == replace(DONE, stdout=b"", stderr=b"")


def test_a_list_is_of_a_hook_or_of_a_state_or_from_a_time_on(journal: Journal) -> None:
    hello, deploy = made(journal), made(journal, DEPLOY)
    journal.settle(claimed(journal, {"/deploy": PLAIN}), FAILED)
    at = known(journal, deploy).recorded_at

    assert ids(journal.runs(Query(hook="/hello"))) == [hello]
    assert ids(journal.runs(Query(state=State.FAILED))) == [deploy]
    assert ids(journal.runs(Query(hook="/hello", state=State.FAILED))) == []
    assert ids(journal.runs(Query(since=at))) in ([deploy], [deploy, hello])
    assert ids(journal.runs(Query(since=at + FOR_EVER))) == []
    assert ids(journal.runs(Query(hook="' OR 1 = 1 --"))) == []


def test_a_long_list_is_read_in_parts(journal: Journal) -> None:
    all_of_them = [made(journal) for _ in range(7)]
    seen: list[str] = []
    before = None
    while runs := journal.runs(Query(before=before, most=3)):
        assert len(runs) <= 3
        seen += ids(runs)
        before = runs[-1].seq
    assert seen == all_of_them[::-1]


def test_a_run_is_found_by_how_its_id_begins_or_ends(journal: Journal) -> None:
    run_id = made(journal)
    made(journal)
    assert journal.named(run_id) == journal.named(run_id[:12]) == [run_id]
    assert journal.named(run_id[-12:]) == journal.named(run_id[-12:].upper()) == [run_id]
    for nothing in ("", "%", "_" * 20, "é", run_id[1:-1], run_id + "a", "'"):
        assert journal.named(nothing) == []


def test_of_many_that_begin_alike_ten_are_named(journal: Journal) -> None:
    many = [made(journal) for _ in range(400)]
    letter = max("abcdefghijklmnopqrstuvwxyz234567", key=lambda s: sum(i[0] == s for i in many))
    assert len(journal.named(letter)) == 10


def test_every_attempt_of_a_run_is_kept_with_what_it_printed(journal: Journal) -> None:
    run_id = made(journal)
    journal.settle(claimed(journal), FAILED, again_in=0)
    claim = claimed(journal)
    journal.append(claim, b"so far", b"!")
    first, second = journal.attempts(run_id)

    assert (first.number, first.outcome, first.stderr) == (1, FAILED, b"alas\n")
    assert (second.number, second.outcome) == (2, None)
    assert (second.stdout, second.stderr) == (b"so far", b"!")
    assert 0 <= second.started_at - first.started_at < FOR_EVER
    journal.settle(claim, DONE)
    assert journal.attempts(run_id)[1].outcome == DONE
    assert journal.attempts("a" * 20) == []


# --- replays of what is signed

SEALED = replace(NAMED, seal="s-1", sealed_for=FOR_EVER)


@pytest.mark.parametrize("ended", [None, DONE, FAILED])
def test_a_replay_joins_the_first_run_however_that_ended(
    journal: Journal, ended: Outcome | None
) -> None:
    run_id = made(journal, SEALED)
    if ended:
        journal.settle(claimed(journal), ended)
    # Another id, or none at all, makes no other delivery of it.
    for new in (SEALED, replace(SEALED, dedupe_key="other"), replace(SEALED, dedupe_key="")):
        assert journal.record(new, PLAIN) == Recorded(run_id, joined=True)


def test_a_replay_of_a_repeat_that_was_signed_anew_joins_too(journal: Journal) -> None:
    run_id = made(journal, SEALED)
    again = replace(SEALED, seal="s-2")
    assert journal.record(again, PLAIN) == Recorded(run_id, joined=True)
    replay = replace(again, dedupe_key="other")
    assert journal.record(replay, PLAIN) == Recorded(run_id, joined=True)


def test_a_repeat_that_is_signed_anew_after_a_failure_makes_a_run(journal: Journal) -> None:
    run_id = made(journal, SEALED)
    journal.settle(claimed(journal), FAILED)
    other = journal.record(replace(SEALED, seal="s-2"), PLAIN)
    assert other.run_id != run_id
    assert not other.joined


def test_a_seal_is_remembered_though_its_run_is_forgotten(store: Store) -> None:
    journal = store.open()
    run_id = made(journal, SEALED)
    journal.settle(claimed(journal), DONE)
    assert journal.prune({"/hello": Terms(keep=0)}, 10) == 1
    assert store.recovered().record(SEALED, PLAIN) == Recorded(run_id, joined=True)


def test_a_seal_that_is_no_longer_believed_is_forgotten(journal: Journal) -> None:
    gone = replace(SEALED, dedupe_key="", sealed_for=-1.0)
    first = made(journal, gone)
    journal.prune(HOOKS, 10)
    assert made(journal, gone) != first


def test_a_seal_of_one_hook_says_nothing_of_another(journal: Journal) -> None:
    made(journal, SEALED)
    made(journal, replace(SEALED, hook="/deploy", path="/deploy"))


def test_one_replay_that_20_threads_record_at_once_makes_one_run(journal: Journal) -> None:
    many = [replace(SEALED, dedupe_key=str(n)) for n in range(20)]
    with ThreadPoolExecutor(20) as pool:
        recorded = list(pool.map(lambda new: journal.record(new, PLAIN), many))
    assert len({each.run_id for each in recorded}) == 1
    assert sum(not each.joined for each in recorded) == 1
