"""The two places where the program can be cut: what keeps runs, and what starts scripts.

Both are in our own words; no caller can tell which engine it has.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from hookrunner.model import (
    Attempt,
    Backlog,
    Claim,
    Found,
    Full,
    Glimpse,
    JournalUnavailable,
    NewRun,
    Outcome,
    Overview,
    Printed,
    Progress,
    Query,
    Recorded,
    Refusal,
    Run,
    Search,
    Spread,
    State,
    Terms,
)

ALL = 2**31 - 1
"""Bytes: more than SQLite keeps in a row, and as many as it can count."""


class Journal(Protocol):
    """Runs that survive a crash. A method that has returned has committed.

    A claim moves a run's `due` to the end of its lease, so a run whose worker died is
    simply due again; the attempt's number fences: who comes late changes nothing. Any
    method raises JournalUnavailable if the engine cannot do its work just now.
    """

    def record(self, new: NewRun, terms: Terms) -> Recorded:
        """Keep a run that will happen. A repeat of a delivery joins the run it made.

        A replay of a signed one, known by its `seal`, does so however that run has ended.

        Raises Full if the hook's rate or queue has no room.
        """

    def record_soon(
        self,
        new: NewRun,
        terms: Terms,
        then: Callable[[Recorded | Full | JournalUnavailable], None],
        ended: Callable[[Run | None], None] | None = None,
    ) -> None:
        """The same, without waiting for it; `then` is told by a thread of the journal's.

        It is called once all is committed, and must be quick: the next commit waits for it.
        `ended` is for a sender who waits: it is called as by `watch`, after `then`. What is
        recorded for one may be lost with the machine (not with the process) until its
        attempt is settled, or `sync_soon` has told so.
        """

    def sync_soon(self, then: Callable[[JournalUnavailable | None], None]) -> None:
        """Make sure of all that has been recorded, before a sender who waited is told 202."""

    def claim(
        self,
        hooks: Mapping[str, Terms],
        lease: float,
        mine: Collection[str] = (),
        *,
        wait: float = 0.0,
    ) -> Claim | None:
        """Take a run of these hooks that is due, for `lease` seconds; None if none is.

        The hook with the fewest attempts under way goes first. `mine` are runs that this
        process still runs: it never claims one of them, whatever its lease says. If none
        is due, one that comes due within `wait` seconds is taken as soon as it does.
        """

    def claim_soon(
        self,
        hooks: Mapping[str, Terms],
        lease: float,
        mine: Collection[str],
        wait: float,
        then: Callable[[Claim | JournalUnavailable | None], None],
    ) -> None:
        """The same, without waiting for it; see `record_soon`."""

    def renew(self, claims: Collection[Claim], lease: float) -> set[str]:
        """Move the end of these leases to `lease` seconds from now; which are still ours."""

    def append(self, claim: Claim, stdout: bytes, stderr: bytes) -> bool:
        """Show what an attempt has printed so far. False if it is no longer ours."""

    def settle(self, claim: Claim, outcome: Outcome, *, again_in: float | None = None) -> bool:
        """Say how an attempt ended; with `again_in`, the run is due again in so many seconds.

        False if it was no longer ours to say.
        """

    def settle_soon(
        self,
        claim: Claim,
        outcome: Outcome,
        then: Callable[[bool | JournalUnavailable], None],
        *,
        again_in: float | None = None,
    ) -> None:
        """The same, without waiting for it; see `record_soon`."""

    def interrupt(self, claim: Claim, *, rerun: bool, counted: bool = True) -> State | None:
        """Say that an attempt was cut off: the run is due at once, or has failed for good.

        `counted` towards the five that end it. The state it is in now; None if it was no
        longer ours to say.
        """

    def cancel(self, run_id: str) -> State | None:
        """End a run that has not ended; the state it was in, None if there is none such."""

    def run(self, run_id: str) -> Run | None:
        """What is known of a run."""

    def standing(self, run_id: str) -> Run | None:
        """The same without what it has printed, which may be much."""

    def recorded(self, run_id: str) -> NewRun | None:
        """The delivery that made a run, to make another of it."""

    def runs(self, query: Query) -> list[Run]:
        """The runs that are asked for, newest first, without what they have printed."""

    def named(self, part: str) -> list[str]:
        """The ids, at most ten, that begin or end with this, newest first."""

    def attempts(self, run_id: str, most: int = ALL) -> list[Attempt]:
        """All attempts of a run in their order, with what they have printed.

        At most so many bytes of it, which all of them share.
        """

    def printed(
        self, run_id: str, number: int, stdout: int, stderr: int, lead: int, most: int
    ) -> Printed | None:
        """What an attempt has printed from these places on: at most so many bytes of each.

        With up to `lead` bytes from before them. A piece ends where bytes were left out.
        """

    def search(self, search: Search) -> Found:
        """The runs that are looked for; however many there are, in about the time it is given."""

    def overview(self, hooks: Collection[str]) -> Overview:
        """What goes on with these hooks, and what went on in the last 24 hours."""

    def backlog(self, hooks: Collection[str]) -> Mapping[str, Backlog]:
        """What each of these hooks has under way now, of all processes; at little cost."""

    def commits(self) -> Spread:
        """How long this process's synced commits have taken, since it opened the journal."""

    def glimpses(self, run_id: str, most: int) -> list[Glimpse]:
        """All attempts of a run in their order, with at most `most` bytes of each output."""

    def progress(
        self, run_id: str, attempt: int, sent: tuple[int, int], head: int, most: int
    ) -> Progress | None:
        """How a run stands, and what an attempt has printed beyond what has been `sent`.

        At most `most` bytes of each output. Once it has printed more than is kept, the first
        `head` bytes are there, and the last; places count what is left out between them.
        """

    def replaced_by(self, run_id: str) -> str:
        """The id of the newest run that does this one again; empty if none does."""

    def note(self, refusal: Refusal) -> None:
        """Keep for a while that a delivery was turned away; at once, and at no cost to speak of.

        Written soon; lost, perhaps, with the process. Of many at once only some are kept.
        """

    def refusals(self, before: int | None, most: int) -> list[tuple[int, Refusal]]:
        """What was turned away, newest first, each with a number that pages go on `before`."""

    def try_writing(self, patience: float) -> None:
        """Write something, which changes nothing. Raises JournalUnavailable, after `patience`
        seconds at the latest."""

    def unfinished(self) -> list[str]:
        """The ids of all runs that are queued or running, in their order."""

    def recover(self, hooks: Mapping[str, Terms]) -> tuple[int, list[str]]:
        """Make due what a dead process left running, and fail what belongs to no hook.

        Returns how many, and the ids of the lost. To be called before the first claim.
        """

    def fail_lost(self, hooks: Mapping[str, Terms]) -> list[str]:
        """Fail what belongs to no hook, after hooks.yaml has changed; the ids of the runs."""

    def untold(self) -> list[str]:
        """The runs that have failed for good, and of which nobody has been told yet."""

    def tell(self, run_id: str, then: NewRun | None) -> str:
        """Note that a failed run has been told of, in one step with the run that does it.

        The id of that run; empty if there is none, or somebody else has told.
        """

    def prune(self, hooks: Mapping[str, Terms], most: int) -> int:
        """Forget runs that ended longer ago than their hook keeps them; `most` at a time.

        A failed run of which nobody has been told yet stays.
        """

    def watch(self, run_id: str, then: Callable[[Run | None], None]) -> None:
        """Call it, once, when an attempt of the run has ended, with how the run stands then.

        At once if the run has ended, or waits for another attempt. None says that it is to
        be asked for. Any thread may be the one that calls, this one too.
        """

    def unwatch(self, run_id: str, then: Callable[[Run | None], None]) -> None:
        """Do not call it any more; it may be about to be called already."""

    def wake_workers(self, *, for_good: bool = False) -> None:
        """Let every `claim` that waits go; `for_good`: no run is claimed ever after."""

    def wake_senders(self) -> None:
        """Call whoever watches a run, now, whether it has ended or not."""

    def lead(self) -> None:
        """Have this thread do itself what it asks for, whenever it takes a `turn`."""

    def follow(self) -> None:
        """This thread takes no more turns."""

    def turn(self) -> bool:
        """Commit what the thread that leads has asked for since its last turn.

        True if whoever was told of it has asked for more. An engine that has threads for
        that has nothing to do here.
        """

    def close(self) -> None:
        """Finish what was asked for and let go of the runs."""


class Secrets(Protocol):
    """What is never to be shown."""

    longest: int
    """Bytes of the longest one."""

    def across(self, text: bytes, place: int) -> tuple[int, int]:
        """The part of a text that a secret fills which lies across a place; empty if none does."""


Stream = Literal["out", "err"]
Emit = Callable[[Stream, bytes], None]
Ended = Callable[[Outcome], None]


@dataclass(frozen=True, slots=True)
class Start:
    """A script to be started once, with all it gets.

    `timeout` is in seconds, `max_output` and `memory` in bytes.
    """

    run_id: str
    command: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    stdin: bytes
    timeout: float
    max_output: int
    folder: Path | None = None
    """A folder of the attempt's own: made, if it is not there yet, with `request` in its
    request.json, and removed once the attempt has ended."""

    request: bytes = b"{}"
    memory: int | None = None
    shield: bool = False
    warm: bool = False
    """Whether it may be started by a Python that stands ready: `command` is Python and a script."""

    lease: tuple[float, float] = (float("inf"), float("inf"))
    """When it gets TERM, and KILL, because its lease is about to end: monotonic clock."""

    secrets: Secrets | None = None
    """Of which no half may stay where the middle of an output is left out."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Python scripts that are to start warm, each with the modules that it imports.

    Modules are named with what is taken from them. `env` is what they see as they are
    imported: nothing that any of the scripts may not see.
    """

    scripts: Mapping[Path, tuple[tuple[str, tuple[str, ...]], ...]]
    env: Mapping[str, str]
    cwd: Path


class Launcher(Protocol):
    """Starts scripts, each as a process group of its own, and sees them to their end."""

    def stand_ready(self, ready: Ready) -> None:
        """Have these scripts start warm, as soon as may be; others, and until then, cold."""

    def start(self, start: Start, emit: Emit, ended: Ended) -> None:
        """Start a script, hand its output to `emit` as it comes, and tell how it `ended`.

        To be called on the loop's thread, which also calls back; never raises.
        """

    def extend(self, run_id: str, lease: tuple[float, float]) -> None:
        """Its lease was renewed: the new times of `Start.lease`."""

    def output(self, run_id: str) -> tuple[bytes, bytes] | None:
        """What a script has printed so far on stdout and stderr; None if it does not run."""

    def starts(self) -> Mapping[str, int]:
        """How many scripts that have ended were started `warm`, `cold`, and `missed`.

        Missed is who was to start warm, and there was nothing to start it from.
        """

    def spares(self) -> int:
        """How many children of Python stand ready to become a script just now."""

    def cancel(self, run_id: str) -> None:
        """End the script: TERM, and KILL if that does not do."""

    def begin_stop(self) -> None:
        """From now on a script that dies of TERM or KILL was interrupted, not at fault."""

    def terminate(self) -> None:
        """Send TERM to every script that runs; their attempts end as interrupted."""

    def kill(self) -> None:
        """Send KILL likewise."""

    def close(self) -> None:
        """End whatever still runs, and let go of everything."""
