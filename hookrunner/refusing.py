"""What is turned away: a line in the log, a count, and a note that the journal keeps for a while.

Everything that refuses comes here: `web` for what intake says, and for what the server itself
could not read. Of what was carried nothing is kept.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from hookrunner.answer import Environ, client_address, raw_path
from hookrunner.counts import Count
from hookrunner.log import Log
from hookrunner.model import Networks, Refusal, Refused
from hookrunner.seams import Journal

LONGEST_PATH = 200
LONGEST_METHOD = 20
LONGEST_WHY = 300


class RefusalBook:
    """Writes down what was turned away; any thread may."""

    def __init__(self, journal: Journal, log: Log, trusted: Networks) -> None:
        """`trusted` are the proxies that are believed."""
        self.journal = journal
        self.log = log
        self.trusted = trusted
        self._count = Count()

    def add(self, environ: Environ, refused: Refused, hook: str, *, closed: bool = False) -> None:
        """Note that a request was turned away; its texts may be of any length and hold secrets.

        `hook` is empty for what is no hook's. `closed` if there was no answer.
        """
        self._count.add(hook, str(refused.status), refused.reason)
        size = environ.get("CONTENT_LENGTH", "")
        refusal = Refusal(
            time.time(),
            environ.get("REQUEST_METHOD", ""),
            raw_path(environ),
            refused.status,
            refused.why,
            client_address(environ, self.trusted),
            int(size) if size.isdigit() else 0,
        )
        # Masked before they are cut: half of a secret is not known for one.
        mask = self.log.mask
        method = mask.text(refusal.method)[:LONGEST_METHOD]
        path = mask.payload(refusal.path.encode("latin-1", "replace")).decode("latin-1")
        path = path[:LONGEST_PATH]
        why = mask.text(refusal.why.encode("utf-8", "replace").decode())[:LONGEST_WHY]
        request = f"{method} {path}".strip() or "a request"
        ended = "closed," if closed else f"{refusal.status} to"
        self.log.info(
            f"refused {request}: {refusal.why} ({ended} {refusal.address})",
            status=refusal.status,
            path=path,
            address=refusal.address,
        )
        self.journal.note(replace(refusal, method=method, path=path, why=why))

    def seen(self) -> Mapping[tuple[str, ...], int]:
        """How many there were since the start, by hook, status and reason; whatever is kept."""
        return self._count.seen()

    def counts(self) -> Mapping[int, int]:
        """The same by status alone."""
        by_status = Counter[int]()
        for (_, status, _), number in self.seen().items():
            by_status[int(status)] += number
        return dict(sorted(by_status.items()))
