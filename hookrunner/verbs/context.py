"""Where a verb works: which hooks.yaml, which journal, which config vars."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hookrunner import envfile, units
from hookrunner.config import MASKED, Config, load, passwords
from hookrunner.journal import where
from hookrunner.model import BadConfig, Trouble

PLACEHOLDER = "https://YOUR-APP.herokuapp.com"
"""Where an app is whose address nobody has told us."""

APP = re.compile(
    r"(?i:https?)://(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~%/+-]*)?"
)
"""An address that can stand in a script, its comments and its texts as it is."""

SUPERFLUOUS = {"?": "query", "#": "fragment", "@": "user and password"}


@dataclass(frozen=True, slots=True)
class Context:
    """A project as the command line and the environment name it.

    `environ` has what the .env beside hooks.yaml adds; `given` has not.
    """

    config: Path
    data: Path
    environ: Mapping[str, str] = field(repr=False)
    given: Mapping[str, str] = field(repr=False)

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.config.absolute().parent

    @property
    def on_dyno(self) -> bool:
        return "DYNO" in self.environ

    @property
    def database(self) -> str:
        """The URL of the database that has the journal; empty for a file. Raises Trouble."""
        return where.database(self.environ)

    def load(self) -> Config:
        """What hooks.yaml says. Raises BadConfig."""
        return load(self.config, self.given)

    def secrets(self) -> set[str]:
        """What is to be masked; more than that if hooks.yaml does not tell what is secret."""
        try:
            return set(self.load().secrets)
        except BadConfig:
            pass
        try:
            named = re.findall(r"\$\{?([A-Za-z_]\w*)", self.config.read_text("utf-8", "replace"))
        except OSError:
            named = []
        in_file = envfile.read(self.root / ".env", [])
        values = {self.environ.get(name, "") for name in (*named, *MASKED)}
        return (values | set(in_file.values()) | passwords(self.environ)) - {""}


def context(arguments: argparse.Namespace, given: Mapping[str, str]) -> Context:
    """The project that a command line means."""
    config = Path(arguments.config or given.get("HOOKS") or "hooks.yaml")
    # What is wrong with .env is told with hooks.yaml.
    environ = {**envfile.read(config.absolute().parent / ".env", []), **given}
    data = arguments.data or environ.get("DATA_DIR") or config.parent / "var"
    return Context(config, Path(data).absolute(), environ, given)


def number(
    flag: str | None, environ: Mapping[str, str], name: str, default: int, least: int, most: int
) -> int:
    """A whole number from a flag or a variable. Raises Trouble."""
    given = flag or environ.get(name) or str(default)
    if not re.fullmatch(r"[0-9]{1,9}", given) or not least <= int(given) <= most:
        where = f"--{name.lower().replace('_', '-')}" if flag else name
        raise Trouble(f"{where} must be a whole number from {least} to {most}, not {brief(given)}")
    return int(given)


def seconds(text: str, where: str, least: float, most: float) -> float:
    """A time such as 26s, or 26. Raises Trouble."""
    try:
        found = units.duration(text if text[-1:].isalpha() else f"{text}s")
    except ValueError:
        raise Trouble(f"{where} must be a time such as 26s, not {brief(text)}") from None
    if not least <= found <= most:
        within = f"from {units.show_duration(least)} to {units.show_duration(most)}"
        raise Trouble(f"{where} must be {within}, not {brief(text)}")
    return found


def brief(given: str) -> str:
    """What somebody has written, quoted, and not too long."""
    return repr(given) if len(given) <= 60 else f"{given[:60]!r}…"


def app_address(url: str) -> str:
    """Where the app is, as --url says, without a slash at its end. Raises Trouble."""
    if APP.fullmatch(url) and "YOUR-APP" not in url:
        return url.rstrip("/")
    more = next(
        (f"; leave out its {told}" for sign, told in SUPERFLUOUS.items() if sign in url), ""
    )
    raise Trouble(
        "--url must be the address of your app, such as https://my-app.herokuapp.com, "
        f"not {brief(url)}{''.join(more)}"
    )
