"""What people look for in a journal: filters, text, what goes on, progress, refusals."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from hookrunner.journal.notebook import MOST_NOTED, MOST_REFUSALS
from hookrunner.journal.tally import percentile
from hookrunner.model import (
    Backlog,
    Found,
    Fresh,
    JournalUnavailable,
    Outcome,
    Progress,
    Refusal,
    Search,
    State,
)
from hookrunner.seams import Journal
from tests.storing import HOOKS, Store
from tests.test_journal import (
    DEPLOY,
    DONE,
    FAILED,
    FOR_EVER,
    HELLO,
    PLAIN,
    claimed,
    made,
)

NO_TIME = 0.0
REFUSAL = Refusal(1000.0, "POST", "/hello", 401, "no token", "192.0.2.7", 12)


def ids(found: Found) -> list[str]:
    return [run.run_id for run in found.runs]


def ended(journal: Journal, outcome: Outcome) -> str:
    """The id of a run of /hello that has ended so."""
    run_id = made(journal)
    assert journal.settle(claimed(journal), outcome)
    return run_id


def test_a_search_finds_a_hooks_runs_newest_first(journal: Journal) -> None:
    first, _, second = made(journal), made(journal, DEPLOY), made(journal)

    assert ids(journal.search(Search(hook="/hello"))) == [second, first]


@pytest.mark.parametrize("hook", ["", "/hello"])
@pytest.mark.parametrize("state", State)
def test_a_search_finds_what_is_in_a_state(journal: Journal, hook: str, state: State) -> None:
    run_ids = {State.SUCCEEDED: ended(journal, DONE), State.FAILED: ended(journal, FAILED)}
    run_ids[State.CANCELLED] = made(journal)
    journal.cancel(run_ids[State.CANCELLED])
    run_ids[State.RUNNING] = made(journal)
    claimed(journal)
    run_ids[State.QUEUED] = made(journal)

    assert ids(journal.search(Search(hook=hook, state=state))) == [run_ids[state]]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event", "issue.OPENED"),
        ("delivery_id", "x-opened-1"),
        ("path", "/hello/Opened"),
        ("body", b'\xff{"a": "OPENED"}'),
    ],
)
def test_a_search_for_a_text_looks_everywhere_whatever_its_case(
    journal: Journal, field: str, value: str | bytes
) -> None:
    made(journal)
    run_id = made(journal, replace(HELLO, **{field: value}))  # type: ignore[arg-type]

    assert ids(journal.search(Search(text="opeNed"))) == [run_id]


def test_a_search_for_a_text_finds_an_id(journal: Journal) -> None:
    run_id = made(journal)
    made(journal)

    assert ids(journal.search(Search(text=run_id[3:15].upper()))) == [run_id]


def test_a_text_is_no_pattern(journal: Journal) -> None:
    made(journal, replace(HELLO, body=b"100 percent"))

    assert ids(journal.search(Search(text="100%"))) == []


def test_a_search_is_turned_over_page_by_page(journal: Journal) -> None:
    runs = [made(journal) for _ in range(5)]
    pages, before = [], None
    while True:
        found = journal.search(Search(before=before, most=2))
        pages.append(ids(found))
        before = found.older
        if before is None:
            break

    assert pages == [[runs[4], runs[3]], [runs[2], runs[1]], [runs[0]]]


def test_a_full_last_page_is_known_to_be_the_last(journal: Journal) -> None:
    made(journal), made(journal)

    assert journal.search(Search(most=2)).older is None


def test_a_search_that_runs_out_of_time_says_how_far_back_it_has_looked(journal: Journal) -> None:
    needle = made(journal, replace(HELLO, body=b"needle"))
    for _ in range(200):
        made(journal, HELLO, replace(PLAIN, queue=1000))

    found = journal.search(Search(text="needle", seconds=NO_TIME))
    steps = 1
    assert not found.runs
    assert found.searched_to is not None
    while not found.runs:
        assert found.older is not None
        found = journal.search(Search(text="needle", seconds=NO_TIME, before=found.older))
        steps += 1
    assert ids(found) == [needle]
    assert steps > 2
    assert (found.older, found.searched_to) == (None, None)


def test_a_search_keeps_to_a_time(store: Store) -> None:
    journal = store.open()
    runs = [made(journal) for _ in range(9)]
    store.change("UPDATE run SET recorded_at = 1000 + seq", "DELETE FROM run WHERE seq = 5")
    journal = store.open()

    assert ids(journal.search(Search(since=1003, until=1008))) == [
        runs[6],
        runs[5],
        runs[3],
        runs[2],
    ]
    assert ids(journal.search(Search(since=1010))) == []
    assert ids(journal.search(Search(until=1001))) == []
    assert ids(journal.search(Search(since=1009))) == [runs[8]]


def test_a_search_of_nothing_finds_nothing(journal: Journal) -> None:
    assert journal.search(Search(text="x", since=1.0)) == Found([])


def test_the_overview_counts_a_hooks_runs_by_how_they_stand(journal: Journal) -> None:
    ended(journal, DONE), ended(journal, DONE), ended(journal, FAILED)
    journal.cancel(made(journal))
    made(journal)
    claimed(journal)
    last = made(journal)
    made(journal, DEPLOY)

    seen = journal.overview(["/hello", "/new"])

    hello = seen.hooks["/hello"]
    assert hello.ended == {State.SUCCEEDED: 2, State.FAILED: 1, State.CANCELLED: 1}
    assert (hello.queued, hello.running) == (1, 1)
    assert hello.last
    assert hello.last.run_id == last
    assert seen.hooks["/new"].last is None
    assert len(seen.slots) == 48
    total = {state: sum(counts.get(state, 0) for _, counts in seen.slots) for state in State}
    assert total == {
        State.SUCCEEDED: 2,
        State.FAILED: 1,
        State.CANCELLED: 1,
        State.QUEUED: 2,
        State.RUNNING: 1,
    }
    assert sum(seen.slots[-1][1].values()) + sum(seen.slots[-2][1].values()) == 7
    assert [run.state for run in seen.live] == [State.RUNNING, State.QUEUED, State.QUEUED]


def test_the_overview_knows_how_long_scripts_take(journal: Journal) -> None:
    for seconds in (0.01, 0.02, 0.03, 12.34, 987.0):
        ended(journal, replace(DONE, seconds=seconds))

    hello = journal.overview(["/hello"]).hooks["/hello"]

    assert (hello.p50, hello.p95) == (0.03, 950.0)


def test_a_retry_counts_as_one_run_but_both_of_its_attempts_took_time(journal: Journal) -> None:
    made(journal)
    journal.settle(claimed(journal), replace(FAILED, seconds=4.0), again_in=0.0)
    assert not journal.overview(["/hello"]).hooks["/hello"].ended
    journal.settle(claimed(journal), replace(DONE, seconds=0.05))

    hello = journal.overview(["/hello"]).hooks["/hello"]

    assert hello.ended == {State.SUCCEEDED: 1}
    assert (hello.p50, hello.p95) == (0.05, 4.0)


def test_what_was_pruned_has_been_counted(journal: Journal) -> None:
    ended(journal, DONE)
    assert journal.prune({"/hello": replace(PLAIN, keep=0.0)}, 10) == 1

    assert journal.overview(["/hello"]).hooks["/hello"].ended == {State.SUCCEEDED: 1}


def test_a_percentile_of_nothing_is_none() -> None:
    assert percentile([], 0.5) is None
    assert percentile([(30, 1), (10, 2), (20, 1)], 0.5) == 0.01


def test_a_glimpse_has_both_ends_of_an_output_and_its_size(journal: Journal) -> None:
    run_id = ended(journal, replace(DONE, stdout=b"0123456789", stderr=b"abc"))

    [glimpse] = journal.glimpses(run_id, 4)

    assert (glimpse.stdout_head, glimpse.attempt.stdout) == (b"01", b"89")
    assert (glimpse.stderr_head, glimpse.attempt.stderr) == (b"", b"abc")
    assert (glimpse.attempt.stdout_bytes, glimpse.attempt.stderr_bytes) == (10, 3)
    assert glimpse.attempt.outcome
    assert glimpse.attempt.outcome.exit_code == 0


def progress(journal: Journal, run_id: str, out: int, most: int = 100) -> Progress:
    found = journal.progress(run_id, 1, (out, 0), 8, most)
    assert found
    return found


def test_progress_is_what_has_not_been_sent_yet(journal: Journal) -> None:
    run_id = made(journal)
    claim = claimed(journal)
    journal.append(claim, b"one\ntwo\n", b"alas\n")

    assert progress(journal, run_id, 4) == Progress(
        State.RUNNING, 1, over=False, stdout=Fresh(b"two\n", 8), stderr=Fresh(b"alas\n", 5)
    )
    assert progress(journal, run_id, 0, most=3).stdout == Fresh(b"one", 3)
    assert progress(journal, run_id, 99).stdout == Fresh(b"", 8)
    journal.settle(claim, DONE)
    assert progress(journal, run_id, 3).over


def test_progress_counts_what_is_left_out(journal: Journal) -> None:
    run_id = made(journal)
    journal.append(claimed(journal), b"headhead\n[... 5 bytes left out ...]\ntailtail", b"")

    assert progress(journal, run_id, 4).stdout == Fresh(b"head", 8, cut_off=True)
    assert progress(journal, run_id, 4, most=3).stdout == Fresh(b"hea", 7)
    assert progress(journal, run_id, 8).stdout == Fresh(b"tailtail", 21, 5)
    assert progress(journal, run_id, 10).stdout == Fresh(b"tailtail", 21, 3)
    assert progress(journal, run_id, 13).stdout == Fresh(b"tailtail", 21)
    assert progress(journal, run_id, 17).stdout == Fresh(b"tail", 21)
    assert progress(journal, run_id, 21).stdout == Fresh(b"", 21)
    assert progress(journal, run_id, 10**9).stdout == Fresh(b"", 21)


def test_progress_of_what_has_not_begun_is_none_yet(journal: Journal) -> None:
    run_id = made(journal)

    assert journal.progress(run_id, 0, (0, 0), 8, 9) == Progress(
        State.QUEUED, 0, over=True, stdout=Fresh(b"", 0), stderr=Fresh(b"", 0)
    )
    assert journal.progress("nobody", 1, (0, 0), 8, 9) is None


def test_the_newest_replay_of_a_run_is_known(journal: Journal) -> None:
    run_id = made(journal)
    assert journal.replaced_by(run_id) == ""
    made(journal, replace(HELLO, replaces=run_id))
    newest = made(journal, replace(HELLO, replaces=run_id))

    assert journal.replaced_by(run_id) == newest
    assert journal.replaced_by("") == ""


def test_a_refusal_that_was_noted_is_found(journal: Journal) -> None:
    journal.note(REFUSAL)
    later = replace(REFUSAL, at=1001.0, why="a bad signature")
    journal.note(later)

    [(newest, first), (oldest, second)] = journal.refusals(None, 10)

    assert (first, second) == (later, REFUSAL)
    assert journal.refusals(newest, 10) == [(oldest, REFUSAL)]
    assert journal.refusals(None, 1) == [(newest, later)]


def test_refusals_are_written_down_by_themselves(store: Store) -> None:
    store.open().note(REFUSAL)
    store.close()

    assert [refusal for _, refusal in store.open().refusals(None, 10)] == [REFUSAL]


def test_a_flood_of_refusals_is_counted_and_not_kept(journal: Journal) -> None:
    for _ in range(MOST_NOTED + 7):
        journal.note(REFUSAL)

    found = [refusal for _, refusal in journal.refusals(None, 1000)]

    assert len(found) <= MOST_NOTED + 7
    if len(found) == MOST_NOTED:  # and a second has not passed meanwhile
        assert found[0].why == "no token; and 7 more at that time"
        assert found[1] == REFUSAL


def test_only_so_many_refusals_are_kept(journal: Journal) -> None:
    for number in range(MOST_REFUSALS + MOST_NOTED):
        journal.note(replace(REFUSAL, at=float(number)))
        if number % MOST_NOTED == MOST_NOTED - 1:
            journal.refusals(None, 1)

    found = [refusal.at for _, refusal in journal.refusals(None, 5000)]

    assert found == [float(n) for n in reversed(range(MOST_NOTED, MOST_REFUSALS + MOST_NOTED))]


def test_a_journal_that_can_be_written_says_so(journal: Journal) -> None:
    journal.try_writing(FOR_EVER)


def test_a_journal_that_is_closed_cannot_be_written(journal: Journal) -> None:
    journal.close()

    with pytest.raises(JournalUnavailable, match="closed"):
        journal.try_writing(FOR_EVER)


def test_a_claim_still_works_after_a_try(journal: Journal) -> None:
    run_id = made(journal)
    journal.try_writing(FOR_EVER)

    assert claimed(journal, HOOKS).run_id == run_id


# --- what is measured


def test_the_backlog_counts_what_waits_and_what_runs_of_the_hooks_that_are_asked_for(
    journal: Journal,
) -> None:
    for new in (HELLO, HELLO, HELLO, DEPLOY):
        made(journal, new)
    claimed(journal, {"/hello": PLAIN})

    seen = journal.backlog(["/hello", "/none"])

    assert {hook: replace(of, waited=0.0) for hook, of in seen.items()} == {
        "/hello": Backlog(queued=2, running=1),
        "/none": Backlog(),
    }
    assert seen["/none"].waited == 0.0


def test_the_backlog_says_for_how_long_the_run_that_is_longest_due_has_waited(
    journal: Journal,
) -> None:
    before = time.time()
    made(journal)
    made(journal)
    first = journal.backlog(["/hello"])["/hello"].waited
    second = journal.backlog(["/hello"])["/hello"].waited

    assert 0.0 <= first < second <= time.time() - before


def test_a_retry_that_is_not_due_yet_is_queued_and_has_waited_for_nothing(
    journal: Journal,
) -> None:
    made(journal)
    journal.settle(claimed(journal), FAILED, again_in=60.0)

    assert journal.backlog(["/hello"]) == {"/hello": Backlog(queued=1)}


def test_a_claim_says_how_long_ago_its_run_was_recorded(journal: Journal) -> None:
    made(journal)
    second = made(journal)
    first_claim, second_claim = claimed(journal), claimed(journal)
    run = journal.run(second)

    assert run is not None and second_claim.run_id == second
    assert first_claim.waited >= 0.0
    assert 0.0 <= second_claim.waited <= time.time() - run.recorded_at
    journal.settle(first_claim, FAILED, again_in=0.0)
    assert claimed(journal).waited > first_claim.waited


def test_synced_commits_are_timed(journal: Journal) -> None:
    before = sum(journal.commits().numbers)
    made(journal)
    after = journal.commits()

    assert sum(after.numbers) == before + 1
    assert len(after.numbers) == len(after.bounds) + 1
    assert after.total > 0
