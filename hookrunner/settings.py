"""What the command line and the environment say of a process that serves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hookrunner.log import Format
from hookrunner.model import Networks

Role = Literal["all", "web", "worker"]
"""What a process does: record deliveries and carry runs out, or one of the two."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line and the environment say. Times are in seconds."""

    config: Path
    data: Path
    host: str
    port: int | None
    """What it listens on: for deliveries, or a worker for who asks for its metrics; None for
    nothing."""

    role: Role = "all"
    database: str = field(default="", repr=False)
    """The URL of the database that has the journal; empty for a file in `data`."""

    only: tuple[str, ...] = ()
    """The hooks whose runs it carries out; all, if it names none."""

    threads: int = 40
    slots: int = 8
    grace: float = 26.0
    lease: float = 90.0
    reload: bool = False
    log_format: Format = "text"
    on_dyno: bool = False
    trusted: Networks = ()
    spare_token: str = field(default="", repr=False)
    """What ADMIN_TOKEN is taken to be if it is not set: made up for whoever sits at a terminal."""

    @property
    def records(self) -> bool:
        return self.role != "worker"

    @property
    def runs(self) -> bool:
        return self.role != "web"

    @property
    def durable(self) -> bool:
        """That what is in the journal will be found by who comes after us."""
        return bool(self.database) or not self.on_dyno
