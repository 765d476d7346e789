"""Who waits for the end of a run."""

from __future__ import annotations

import threading
from collections.abc import Callable

from hookrunner.model import ENDED, Run, State

Then = Callable[[Run | None], None]


class Watchers:
    """Those to be told, each once, when an attempt of a run has ended. Any thread may call."""

    def __init__(self) -> None:
        self._watched: dict[str, list[Then]] = {}
        self._lock = threading.Lock()

    def add(self, run_id: str, then: Then) -> None:
        """Call it when the run is told of."""
        with self._lock:
            self._watched.setdefault(run_id, []).append(then)

    def remove(self, run_id: str, then: Then) -> None:
        """Do not call it any more."""
        with self._lock:
            watchers = self._watched.get(run_id, [])
            if then in watchers:
                watchers.remove(then)
            if not watchers:
                self._watched.pop(run_id, None)

    def watched(self) -> list[str]:
        """The runs for which somebody waits."""
        with self._lock:
            return list(self._watched)

    def tell(self, *run_ids: str, run: Run | None = None) -> None:
        """Tell all who wait for these; with no `run`, they are to ask themselves."""
        if not self._watched:
            return
        with self._lock:
            told = [then for run_id in run_ids for then in self._watched.pop(run_id, ())]
        for then in told:
            then(run)

    def tell_all(self) -> None:
        """Tell everybody."""
        self.tell(*self.watched())


def is_over(run: Run | None, now: float) -> bool:
    """True if nobody waits for the run any longer: nobody waits for a retry, either."""
    if run and run.state is State.QUEUED:
        return (run.due or 0.0) > now
    return run is None or run.state in ENDED
