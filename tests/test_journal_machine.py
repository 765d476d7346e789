"""What no example thinks of: long random lives of a journal, beside a model of its promises.

The model is a list of runs in memory. It does not say which run a claim must return where
the promise leaves that open; it says which it may. After every step each run that was
acknowledged must stand in the journal as it stands in the model.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hookrunner.model import ENDED, Claim, Full, Outcome, State, Terms
from hookrunner.seams import Journal
from tests.storing import ENGINES, Store
from tests.test_journal import (
    CUT_OFF,
    DONE,
    FAILED,
    FOR_EVER,
    HELLO,
    LOST,
    NOT_AGAIN,
    TOO_OFTEN,
    known,
)

TERMS: Mapping[str, Terms] = {
    "/free": Terms(),
    "/few": Terms(concurrency=2, queue=4),
    "/lane": Terms(strict=True),
    "/once": Terms(rerun=False, concurrency=1),
}
KEPT_NOT = {hook: replace(terms, keep=0.0) for hook, terms in TERMS.items()}

LIVES = settings(
    deadline=None,
    stateful_step_count=40,
    derandomize=os.environ.get("CI") == "true",
    database=None,
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow],  # each step is a synced commit
)

EXAMPLES = {"sqlite": 60, "postgres": 20}

hooks = st.sampled_from(sorted(TERMS))
leases = st.sampled_from([FOR_EVER, 0.0])
places = st.integers(0, 6)
"""Which of the claims, or runs, that there are by then: counted back from the newest."""

times = st.integers(1, 3)
endings = st.sampled_from(
    ["nothing", "succeed", "fail", "retry", "retry later", "interrupt", "interrupt", "stop"]
)


@dataclass(eq=False)
class Life:
    """A run as it must be."""

    run_id: str
    hook: str
    key: str
    replaces: str
    state: State = State.QUEUED
    attempt: int = 0
    failures: int = 0
    interruptions: int = 0
    due: bool = True
    """If it is queued: whether it may start. If it runs: whether its lease has lapsed."""

    outcome: Outcome | None = None
    told: set[int] = field(default_factory=set)
    """The attempts whose end has been written down."""

    superseded: bool = False
    """Whether a later delivery of the same name has made a run of its own."""

    @property
    def live(self) -> bool:
        return self.state not in ENDED

    untold: bool = False

    def end(self, state: State, outcome: Outcome | None) -> None:
        self.state, self.outcome = state, outcome
        self.untold = state is State.FAILED


class JournalMachine(RuleBasedStateMachine):
    """A journal, what it must be, and everything that may happen to it."""

    engine: str

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="journal-"))
        self.store = Store(self.engine, self.folder / "data")
        self.journal: Journal = self.store.open()
        self.lives: list[Life] = []
        """In the order of their seq."""

        self.claims: list[tuple[Claim, Life]] = []
        """Every claim there ever was, late ones too."""

        self.served = set(TERMS)
        self.pruned: set[str] = set()
        self.succeeded: list[str] = []

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)

    # --- what may happen

    @rule(hook=hooks, key=st.sampled_from(["", "a", "b"]), fresh=st.booleans(), times=times)
    def record(self, hook: str, key: str, fresh: bool, times: int) -> None:
        for _ in range(times):
            self.record_one(hook, key, fresh)

    def record_one(self, hook: str, key: str, fresh: bool) -> None:
        new = replace(
            HELLO, hook=hook, dedupe_key=key, dedupe_for=FOR_EVER if fresh else 0.0, event=key
        )
        same = [life for life in self.lives if key and (life.hook, life.key) == (hook, key)]
        first = same[-1] if same and fresh and not same[-1].superseded else None
        if first and first.state not in (State.FAILED, State.CANCELLED):
            recorded = self.journal.record(new, TERMS[hook])
            assert (recorded.run_id, recorded.joined) == (first.run_id, True)
            return
        waiting = [life for life in self.of(hook) if life.state is State.QUEUED]
        try:
            recorded = self.journal.record(new, TERMS[hook])
        except Full as full:
            assert not full.rate
            assert len(waiting) >= TERMS[hook].queue
            return
        # What was under way may have come back to a queue that had been filled meanwhile.
        came_back = [life for life in waiting if life.attempt]
        assert len(waiting) - len(came_back) < TERMS[hook].queue
        assert not recorded.joined
        for life in same:
            life.superseded = True
        self.lives.append(Life(recorded.run_id, hook, key, first.run_id if first else ""))

    @rule(turns=st.lists(st.tuples(leases, endings), min_size=1, max_size=5))
    def work(self, turns: list[tuple[float, str]]) -> None:
        """Claim, and do with it what is chosen."""
        for lease, ending in turns:
            if self.claim_one(lease, set(), set()):
                self.end(0, ending)

    @precondition(lambda self: self.claims)
    @rule(place=places, ending=endings)
    def end(self, place: int, ending: str) -> None:
        match ending:
            case "succeed" | "fail":
                self.settle(place, ending == "succeed")
            case "retry" | "retry later":
                self.retry(place, ending == "retry")
            case "interrupt" | "stop":
                self.interrupt(place, ending == "interrupt")

    @rule(lease=leases, mine=st.sets(places, max_size=2), unserved=st.sets(hooks, max_size=1))
    def claim(self, lease: float, mine: set[int], unserved: set[str]) -> None:
        self.claim_one(lease, mine, unserved)

    def claim_one(self, lease: float, mine: set[int], unserved: set[str]) -> bool:
        """`mine` are runs of a process that was paused, so that leases may have lapsed."""
        terms = {hook: TERMS[hook] for hook in self.served - unserved}
        ours = {self.past(place)[1].run_id for place in mine if self.claims}
        for life in self.lives:
            lapsed = life.state is State.RUNNING and life.due
            if lapsed and life.run_id not in ours and life.hook in terms:
                self.cut_off(life, rerun=terms[life.hook].rerun)
        may = self.may_start(terms, ours)

        claim = self.journal.claim(terms, lease, ours)

        assert (claim is None) == (not may)
        if claim is None:
            return False
        [life] = [life for life in may if life.run_id == claim.run_id]
        self.begin(life, claim, lapsed=lease == 0)
        return True

    def settle(self, place: int, succeeds: bool) -> None:
        claim, life = self.past(place)
        outcome = replace(DONE if succeeds else FAILED, stdout=b"%d" % claim.attempt)
        ours = self.current(claim, life)

        assert self.journal.settle(claim, outcome) == ours

        if ours:
            life.end(outcome.state, outcome)
            life.told.add(claim.attempt)
            if succeeds:
                self.succeeded.append(life.run_id)
        else:
            self.say_late(claim, life, outcome)

    def retry(self, place: int, at_once: bool) -> None:
        claim, life = self.past(place)
        outcome = replace(FAILED, stdout=b"%d" % claim.attempt)
        ours = self.current(claim, life)

        told = self.journal.settle(claim, outcome, again_in=0.0 if at_once else FOR_EVER)

        assert told == ours
        if ours:
            life.end(State.QUEUED, outcome)
            life.told.add(claim.attempt)
            life.failures += 1
            life.due = at_once
        else:
            self.say_late(claim, life, outcome)

    @precondition(lambda self: self.claims)
    @rule(some=st.sets(places, min_size=1, max_size=5), lease=leases)
    def renew(self, some: set[int], lease: float) -> None:
        chosen = [self.past(place) for place in some]
        ours = [life for claim, life in chosen if self.current(claim, life)]

        told = self.journal.renew([claim for claim, _ in chosen], lease)

        assert told == {life.run_id for life in ours}
        for life in ours:
            life.due = lease == 0

    @precondition(lambda self: self.claims)
    @rule(place=places)
    def append(self, place: int) -> None:
        claim, life = self.past(place)

        assert self.journal.append(claim, b"", b"") == self.current(claim, life)

    def interrupt(self, place: int, counted: bool) -> None:
        claim, life = self.past(place)
        ours, rerun = self.current(claim, life), TERMS[life.hook].rerun
        if ours:
            self.cut_off(life, rerun=rerun, counted=counted)

        told = self.journal.interrupt(claim, rerun=rerun, counted=counted)

        assert told == (life.state if ours else None)

    @precondition(lambda self: self.lives)
    @rule(place=places)
    def cancel(self, place: int) -> None:
        life = self.lives[-1 - place % len(self.lives)]

        assert self.journal.cancel(life.run_id) == (life.state if life.live else None)

        if life.live:
            life.state = State.CANCELLED

    @rule()
    def crash(self) -> None:
        lost = [life for life in self.lives if life.live and life.hook not in self.served]
        for life in lost:
            self.lose(life)
        running = [life for life in self.lives if life.state is State.RUNNING]
        for life in running:
            self.cut_off(life, rerun=TERMS[life.hook].rerun)
        again = [life for life in running if life.live]

        self.journal = self.store.open()
        told = self.journal.recover({hook: TERMS[hook] for hook in self.served})

        assert (told[0], sorted(told[1])) == (len(again), sorted(life.run_id for life in lost))

    @rule(served=st.sets(hooks, min_size=3))
    def change_hooks(self, served: set[str]) -> None:
        self.served = served
        lost = [
            life
            for life in self.lives
            if life.hook not in served
            and (life.state is State.QUEUED or (life.state is State.RUNNING and life.due))
        ]

        told = self.journal.fail_lost({hook: TERMS[hook] for hook in served})
        assert sorted(told) == sorted(life.run_id for life in lost)

        for life in lost:
            self.lose(life)

    @precondition(lambda self: self.lives)
    @rule(place=places, wanted=st.booleans())
    def tell(self, place: int, wanted: bool) -> None:
        untold = [life for life in self.lives if life.untold]
        life = untold[place] if place < len(untold) else self.lives[-1 - place % len(self.lives)]
        then = replace(HELLO, hook="/free", replaces=life.run_id)

        told = self.journal.tell(life.run_id, then if wanted else None)

        assert bool(told) == (life.untold and wanted)
        if told:
            self.lives.append(Life(told, "/free", "", life.run_id))
        life.untold = False

    @rule(most=st.integers(1, 3))
    def prune(self, most: int) -> None:
        ended = [life for life in self.lives if not life.live and not life.untold]

        assert self.journal.prune(TERMS, most) == 0  # they are kept for a week
        assert self.journal.prune(KEPT_NOT, most) == min(most, len(ended))

        gone = {life.run_id for life in ended if self.journal.run(life.run_id) is None}
        assert len(gone) == min(most, len(ended))
        self.pruned |= gone
        self.lives = [life for life in self.lives if life.run_id not in gone]

    # --- what must be so

    @invariant()
    def every_run_stands_as_it_must(self) -> None:
        for life in self.lives:
            run = known(self.journal, life.run_id)
            assert (run.state, run.attempt, run.outcome, run.replaces) == (
                life.state,
                life.attempt,
                life.outcome,
                life.replaces,
            )
            assert (run.ended_at is None) == life.live
            assert (run.due is None) == (not life.live)
        assert self.journal.unfinished() == [life.run_id for life in self.lives if life.live]
        assert self.journal.untold() == [life.run_id for life in self.lives if life.untold]

    @invariant()
    def nothing_succeeds_twice(self) -> None:
        assert len(self.succeeded) == len(set(self.succeeded))

    @invariant()
    def a_delivery_has_one_run_that_lives_or_has_succeeded(self) -> None:
        for life in self.lives:
            before = self.journal.run(life.replaces) if life.replaces else None
            assert before is None or before.state in (State.FAILED, State.CANCELLED)

    @invariant()
    def no_hook_has_more_under_way_than_it_allows(self) -> None:
        for hook, terms in TERMS.items():
            limit = 1 if terms.strict else terms.concurrency
            assert limit is None or self.under_way(hook) <= limit

    # --- the model

    def past(self, place: int) -> tuple[Claim, Life]:
        return self.claims[-1 - place % len(self.claims)]

    def of(self, hook: str) -> list[Life]:
        return [life for life in self.lives if life.hook == hook]

    def under_way(self, hook: str, mine: Collection[str] = ()) -> int:
        """A run of ours that was cancelled has a script that is not dead yet."""
        running = [life for life in self.of(hook) if life.state is State.RUNNING]
        dying = [life for life in self.of(hook) if life.state is State.CANCELLED]
        return len(running) + sum(life.run_id in mine for life in dying)

    def current(self, claim: Claim, life: Life) -> bool:
        """Whether it is this claim's to say what becomes of the run."""
        return (
            life.state is State.RUNNING
            and life.attempt == claim.attempt
            and life.run_id not in self.pruned
        )

    def may_start(self, terms: Mapping[str, Terms], mine: Collection[str]) -> list[Life]:
        """The runs that may be claimed: of the hooks with the fewest under way."""
        found: dict[int, list[Life]] = {}
        for hook in terms:
            live = [life for life in self.of(hook) if life.live]
            waiting = live[:1] if terms[hook].strict else live
            may = [
                life
                for life in waiting
                if life.state is State.QUEUED and life.due and life.run_id not in mine
            ]
            limit = 1 if terms[hook].strict else terms[hook].concurrency
            count = self.under_way(hook, mine)
            if may and (limit is None or count < limit):
                found.setdefault(count, []).extend(may)
        return found[min(found)] if found else []

    def begin(self, life: Life, claim: Claim, *, lapsed: bool) -> None:
        life.state, life.due = State.RUNNING, lapsed
        life.attempt += 1
        assert claim.attempt == life.attempt
        assert (claim.failures, claim.interruptions) == (life.failures, life.interruptions)
        assert (claim.new.hook, claim.new.event) == (life.hook, life.key)
        self.claims.append((claim, life))

    def cut_off(self, life: Life, *, rerun: bool, counted: bool = True) -> None:
        life.told.add(life.attempt)
        interruptions = life.interruptions + counted
        if not rerun:
            life.end(State.FAILED, NOT_AGAIN)
        elif interruptions >= 5:
            life.end(State.FAILED, TOO_OFTEN)
        else:
            life.end(State.QUEUED, CUT_OFF)
            life.due, life.interruptions = True, interruptions

    def lose(self, life: Life) -> None:
        """Its hook is gone; what its last attempt printed is kept."""
        before = life.outcome if life.attempt in life.told and life.outcome else LOST
        life.told.add(life.attempt)
        life.end(State.FAILED, replace(before, why=LOST.why, detail=LOST.detail))

    def say_late(self, claim: Claim, life: Life, outcome: Outcome) -> None:
        """A cancelled run's attempt may still say, once, how it ended."""
        last = life.attempt == claim.attempt and claim.attempt not in life.told
        if life.state is State.CANCELLED and last and life.run_id not in self.pruned:
            life.outcome = outcome
            life.told.add(claim.attempt)


@pytest.mark.timeout(600)  # a counterexample is made shorter before it is shown
@pytest.mark.parametrize("engine_name", ENGINES)
def test_a_journal_keeps_its_promises_whatever_happens_to_it(engine_name: str) -> None:
    class Machine(JournalMachine):
        engine = engine_name

    lives = settings(LIVES, max_examples=EXAMPLES[engine_name])
    run_state_machine_as_test(Machine, settings=lives)
