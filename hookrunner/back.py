"""The half of a process that carries runs out: the launcher, the workers, and how they stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from hookrunner.config import Config
from hookrunner.journal.opening import Opened
from hookrunner.launch.process import ProcessLauncher
from hookrunner.log import Log
from hookrunner.loop import Loop
from hookrunner.model import JournalUnavailable
from hookrunner.settings import Settings
from hookrunner.worker import Workers, known, standing_ready

REGISTER = "scripts.pids"
"""The file of our folder that names the scripts that run, for who comes after us."""


class Back:
    """Claims runs and starts their scripts, until told to stop."""

    def __init__(
        self, settings: Settings, config: Config, opened: Opened, loop: Loop, log: Log
    ) -> None:
        self.log = log
        self.only = settings.only
        self.grace = settings.grace
        self.journal = opened.journal
        place = opened.own
        self.launcher = ProcessLauncher(loop, log.say, place.path / REGISTER, held=(place.lock,))
        self.workers = Workers(
            loop,
            config,
            opened.journal,
            self.launcher,
            log,
            place.path / "runs",
            settings.slots,
            settings.lease,
            settings.only,
        )

    def begin(self) -> tuple[int, Sequence[str]]:
        """Take up what was cut off, and begin to claim; how many, and the runs that are lost."""
        recovered = self.journal.recover(known(self.workers.config))
        self.workers.start()
        return recovered

    def make_ready(self) -> None:
        """Have Python scripts start warm."""
        self.launcher.stand_ready(standing_ready(self.workers.config, self.only))

    def take_up(self, config: Config) -> Sequence[str]:
        """Go on with another hooks.yaml; the ids of the runs that are lost with the old one."""
        self.workers.config = config
        lost: Sequence[str] = ()
        try:
            lost = self.journal.fail_lost(known(config))
        except JournalUnavailable as error:
            self.log.error(f"the journal is unavailable: {error}")
        self.make_ready()
        self.journal.wake_workers()
        return lost

    def begin_stop(self) -> int:
        """Claim nothing more; how many scripts run."""
        self.launcher.begin_stop()
        self.workers.stop_claiming()
        return len(self.workers.attempts)

    def stop(self, begun: float, at_once: threading.Event) -> None:
        """Let what runs come to its end, for a time; then end it.

        Of Heroku's 30 s: TERM to scripts at 18, KILL at 23, gone by 26.
        """
        if not self._join(begun + self.grace * 18 / 26, at_once):
            self.launcher.terminate()
            if not self._join(begun + self.grace * 23 / 26, at_once):
                self.launcher.kill()
                self.workers.join(2.0)

    def _join(self, until: float, at_once: threading.Event) -> bool:
        """True once every run is settled; False at `until`, or when told to stop at once."""
        while time.monotonic() < until and not at_once.is_set():
            if self.workers.join(min(0.1, max(until - time.monotonic(), 0))):
                return True
        return False

    def fault(self) -> str:
        """What keeps scripts from being started; nothing if nothing does."""
        return "" if self.launcher.stands() else "is being started anew"

    def close(self) -> None:
        """End whatever still runs."""
        self.launcher.close()
