"""What is turned away: a line in the log, a count, and a note that the journal keeps for a while.

Everything that refuses comes here: `web` for what intake says, and the server itself for what
never gets that far. Of what was carried nothing is kept.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from hookrunner.log import Log
from hookrunner.model import Refusal
from hookrunner.seams import Journal

LONGEST_PATH = 200
LONGEST_METHOD = 20
LONGEST_WHY = 300


class RefusalBook:
    """Writes down what was turned away; any thread may."""

    def __init__(self, journal: Journal, log: Log) -> None:
        self.journal = journal
        self.log = log
        self._counts: Counter[int] = Counter()
        self._lock = threading.Lock()

    def add(self, refusal: Refusal, ended: str = "") -> None:
        """Note a refusal, whose texts may be of any length and hold secrets.

        `path` is as PEP 3333 has it. `ended` is for the log, where there was no answer.
        """
        with self._lock:
            self._counts[refusal.status] += 1
        # Masked before it is cut: half of a secret is not known for one.
        path = self.log.mask(refusal.path.encode("latin-1", "replace")).decode("latin-1")
        why = self.log.mask(refusal.why.encode("utf-8", "replace")).decode("utf-8", "replace")
        method, path = refusal.method[:LONGEST_METHOD], path[:LONGEST_PATH]
        told = ended or f"{refusal.status} to {refusal.address}"
        request = f"{method} {path}".strip() or "a request"
        self.log.info(
            f"refused {request}: {refusal.why} ({told})",
            status=refusal.status,
            path=path,
            address=refusal.address,
        )
        kept = replace(refusal, method=method, path=path, why=why[:LONGEST_WHY])
        self.journal.note(kept)

    def counts(self) -> Mapping[int, int]:
        """How many there were since the start, by status; all of them, whatever is kept."""
        with self._lock:
            return dict(sorted(self._counts.items()))
