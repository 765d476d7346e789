"""Who looks for a run, whichever engine has it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from hookrunner.model import Claim, JournalUnavailable, Terms


@dataclass(eq=False, slots=True)
class Look:
    """Somebody who looks for a run of these hooks that is due.

    The claim lasts `lease` seconds; `until` is when to go without one (monotonic clock).
    """

    hooks: Mapping[str, Terms]
    lease: float
    mine: Collection[str]
    until: float
    then: Callable[[Claim | JournalUnavailable | None], None]

    def asks_as(self, other: Look) -> bool:
        """True if what the other was not found is not there for this one either."""
        same = self.hooks is other.hooks or self.hooks == other.hooks
        return self.mine is other.mine and same
