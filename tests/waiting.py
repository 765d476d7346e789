"""Sleeping until the program has done what it does in its own time."""

from __future__ import annotations

import threading
from queue import SimpleQueue

from hookrunner.intake import Accepted, Ignored, Intake
from hookrunner.model import Delivery, Greeting, Run
from hookrunner.seams import Journal

SECONDS = 20.0


def accept(intake: Intake, delivery: Delivery) -> Accepted | Ignored | Greeting:
    """What comes of a delivery, once the journal has it; or raise Refused."""
    judged = intake.judge(delivery)
    if isinstance(judged, Ignored | Greeting):
        return judged
    told: SimpleQueue[object] = SimpleQueue()
    intake.record(judged, told.put)
    accepted = told.get(timeout=SECONDS)
    assert callable(accepted)
    result = accepted()
    assert isinstance(result, Accepted)
    return result


def await_end(journal: Journal, run_id: str, timeout: float) -> Run | None:
    """How a run stands once an attempt of it has ended, or after so many seconds."""
    ended = threading.Event()

    def tell(run: Run | None) -> None:
        ended.set()

    journal.watch(run_id, tell)
    ended.wait(timeout)
    journal.unwatch(run_id, tell)
    return journal.run(run_id)
