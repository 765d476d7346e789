"""What is turned away: a line in the log, a count, and a note that the journal keeps for a while.

Everything that refuses comes here: `web` for what intake says, and the server itself for what
never gets that far. Of what was carried nothing is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from hookrunner.counts import Count
from hookrunner.log import Log
from hookrunner.model import REASONS, Reason, Refusal
from hookrunner.seams import Journal

LONGEST_PATH = 200
LONGEST_METHOD = 20
LONGEST_WHY = 300


class RefusalBook:
    """Writes down what was turned away; any thread may."""

    def __init__(self, journal: Journal, log: Log) -> None:
        self.journal = journal
        self.log = log
        self._count = Count()

    def add(
        self, refusal: Refusal, hook: str = "", reason: Reason | None = None, *, ended: str = ""
    ) -> None:
        """Note a refusal, whose texts may be of any length and hold secrets.

        `path` is as PEP 3333 has it. `hook` is empty for what is no hook's, `ended` is for the
        log, where there was no answer.
        """
        status = refusal.status
        self._count.add(hook, str(status), reason or REASONS.get(status, "other"))
        # Masked before they are cut: half of a secret is not known for one.
        mask = self.log.mask
        method = mask.text(refusal.method)[:LONGEST_METHOD]
        path = mask.payload(refusal.path.encode("latin-1", "replace")).decode("latin-1")
        path = path[:LONGEST_PATH]
        why = mask.text(refusal.why.encode("utf-8", "replace").decode())[:LONGEST_WHY]
        request = f"{method} {path}".strip() or "a request"
        told = ended or f"{status} to {refusal.address}"
        self.log.info(
            f"refused {request}: {refusal.why} ({told})",
            status=status,
            path=path,
            address=refusal.address,
        )
        self.journal.note(replace(refusal, method=method, path=path, why=why))

    def seen(self) -> Mapping[tuple[str, ...], int]:
        """How often something was turned away, by hook, status and reason."""
        return self._count.seen()

    def by_status(self) -> Mapping[int, int]:
        """How many there were since the start, by status; all of them, whatever is kept."""
        found: Counter[int] = Counter()
        for (_, status, _), number in self.seen().items():
            found[int(status)] += number
        return dict(sorted(found.items()))
