"""The half of a process that records: intake, the pages, the server, and where to find it."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hookrunner.config import Config
from hookrunner.intake import Intake
from hookrunner.log import Log
from hookrunner.loop import Loop
from hookrunner.seams import Journal
from hookrunner.serving import Server
from hookrunner.settings import Settings
from hookrunner.web import Web

ADDRESS = "address"
"""The file of the data folder that says where the server is."""

TOKEN = "token"
"""The file beside it with which its owner may ask the server."""


class Front:
    """Takes deliveries in, and answers who asks, as often as `server` is given a turn."""

    def __init__(
        self,
        settings: Settings,
        config: Config,
        journal: Journal,
        loop: Loop,
        log: Log,
        listener: socket.socket,
        end_script: Callable[[str], None],
        fault: Callable[[], str] | None,
    ) -> None:
        """`loop` is driven from ours. `end_script` is as for Web; `fault` says what keeps
        scripts from being started, if that is our business."""
        self.data = settings.data
        self.intake = Intake(config, journal, log)
        checks = {"server": lambda: "is stopping" if self.intake.stopping else ""}
        self.web = Web(
            self.intake,
            journal,
            log,
            settings.trusted,
            durable=settings.durable,
            end_script=end_script,
            checks=checks | ({"supervisor": fault} if fault else {}),
        )
        self.web.access.spare = settings.spare_token
        self.web.access.owner = secrets.token_urlsafe(32)
        self.server = Server(
            self.web, listener, settings.threads, largest_body(config), log, loop, journal.turn
        )

    @property
    def secrets(self) -> set[str]:
        """What of ours is to be masked."""
        return {self.web.access.owner, self.web.access.spare} - {""}

    def take_up(self, config: Config) -> None:
        """Go on with another hooks.yaml."""
        self.intake.config = config
        self.server.take_bodies_of(largest_body(config))

    def refuse(self) -> None:
        """Take nothing more in."""
        self.intake.stopping = True

    def let_wait(self, until: Callable[[], bool]) -> None:
        """Let those who wait have their answers, for as long as it is not `until`."""
        self.web.admin.live.end_all()
        self.server.end()
        while not (self.server.quiet.wait(0.1) or until()):
            pass

    def end_waits(self) -> None:
        """Answer all who still wait, now."""
        self.web.end_waits()
        self.server.end()

    @contextmanager
    def address(self) -> Iterator[None]:
        """Have the server's address where the command line finds it, as long as it serves.

        And a token with which the owner of the files may do what the administrator may.
        """
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        place, token = self.data / ADDRESS, self.data / TOKEN
        token.unlink(missing_ok=True)  # it may be anybody's, and open to anybody
        with os.fdopen(os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{self.web.access.owner}\n")
        place.write_text(f"{self.server.near}\n")
        try:
            yield
        finally:
            place.unlink(missing_ok=True)
            token.unlink(missing_ok=True)
            self.web.access.owner = ""


def largest_body(config: Config) -> int:
    """The largest body, in bytes, that any hook takes."""
    return max(hook.max_body for hook in config.hooks.values())
