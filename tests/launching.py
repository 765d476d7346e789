"""A launcher with a loop of its own, whose scripts can be waited for."""

from __future__ import annotations

from pathlib import Path
from queue import SimpleQueue

from hookrunner.launch.process import ProcessLauncher, Say
from hookrunner.loop import Loop
from hookrunner.model import Outcome
from hookrunner.seams import Emit, Start

SECONDS = 60.0


class Launching(ProcessLauncher):
    """The launcher as it is, and `run`, which returns when the script has ended."""

    def __init__(
        self,
        say: Say = lambda level, line: None,
        register: Path | None = None,
        held: tuple[int, ...] = (),
    ) -> None:
        self.faults: list[Exception] = []
        self.loop = Loop("scripts", self.faults.append)
        super().__init__(self.loop, say, register, held)

    def run(self, start: Start, emit: Emit) -> Outcome:
        """Run a script to its end."""
        told: SimpleQueue[Outcome] = SimpleQueue()
        self.loop.soon(lambda: self.start(start, emit, told.put))
        return told.get(timeout=SECONDS)

    def close(self) -> None:
        super().close()
        self.loop.close()
        assert not self.faults, self.faults
