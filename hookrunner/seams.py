"""The two places where the program can be cut: what keeps runs, and what starts scripts.

Both are in our own words; no caller can tell which engine it has.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from hookrunner.model import Claim, NewRun, Outcome, Run


class Journal(Protocol):
    """Runs that survive a crash. A method that has returned has committed.

    Any method raises JournalUnavailable if the engine cannot do its work just now.
    """

    def record(self, new: NewRun) -> str:
        """Keep a run that will happen; return its id."""

    def claim(self, hooks: Collection[str]) -> Claim | None:
        """Take the run of these hooks that is longest due; None if none is."""

    def settle(self, claim: Claim, outcome: Outcome) -> bool:
        """Say how an attempt ended. False if it was no longer ours to say."""

    def hand_back(self, claim: Claim) -> bool:
        """Return a run that did not get its attempt; it is due at once."""

    def run(self, run_id: str) -> Run | None:
        """What is known of a run."""

    def recover(self, hooks: Collection[str]) -> tuple[int, int]:
        """Make due what a dead process left running, and fail what belongs to no hook.

        Returns how many of each. To be called before the first claim.
        """

    def await_due(self, timeout: float) -> None:
        """Sleep until a run may be due, or `timeout` seconds."""

    def await_end(self, run_id: str, timeout: float) -> Run | None:
        """Sleep until the run's attempt has ended, or `timeout` seconds; how it stands then."""

    def wake_workers(self) -> None:
        """End every `await_due` now."""

    def wake_senders(self) -> None:
        """End every `await_end` now; what has not ended by then is told as it stands."""

    def close(self) -> None:
        """Finish what was asked for and let go of the file."""


Stream = Literal["out", "err"]
Emit = Callable[[Stream, bytes], None]


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
    memory: int | None = None
    shield: bool = False


class Launcher(Protocol):
    """Starts scripts, each as a process group of its own, and sees them to their end."""

    def run(self, start: Start, emit: Emit) -> Outcome:
        """Run a script to its end; hand its output to `emit` as it comes. Never raises."""

    def begin_stop(self) -> None:
        """From now on a script that dies of TERM or KILL was interrupted, not at fault."""

    def terminate(self) -> None:
        """Send TERM to every script that runs; their attempts end as interrupted."""

    def kill(self) -> None:
        """Send KILL likewise."""

    def close(self) -> None:
        """End whatever still runs, and let go of everything."""
