"""Config vars while hooks are taken over: those that are there, and secrets that need a name."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from hookrunner.moving.conditions import CannotSay
from hookrunner.moving.foreign import MARK


@dataclass
class Vault:
    """`known` are config vars that are set; `new` is what is to be added to .env."""

    known: Mapping[str, str] = field(repr=False)
    new: dict[str, str] = field(default_factory=dict, repr=False)

    def name(self, base: str, secret: str) -> str:
        """The config var of a secret: its own, one that has it already, or a new one."""
        if marked := MARK.fullmatch(secret):
            return marked[1]
        return self._named(base, self.plain(secret))

    def made_up(self, base: str) -> str:
        """The config var of a secret that nobody has had so far."""
        return self._named(base, secrets.token_hex(32))

    def _named(self, base: str, secret: str) -> str:
        if "\0" in secret or secret.strip() in ("", "…", "..."):
            raise CannotSay("its secret is none that a config var can hold")
        word = re.sub(r"[^A-Z0-9]+", "_", base.upper()).strip("_")
        word = f"HOOK_{word}" if not word or word[0].isdigit() else word
        name, number = word, 1
        while {**self.known, **self.new}.get(name, secret) != secret:
            number += 1
            name = f"{word}_{number}"
        if name not in self.known:
            self.new[name] = secret
        return name

    def plain(self, text: str) -> str:
        """A text with the values of config vars in it. Raises CannotSay if one is not set."""

        def value(found: re.Match[str]) -> str:
            if found[1] not in self.known:
                raise CannotSay(f"{found[1]} is not set; set it while you import")
            return self.known[found[1]]

        return MARK.sub(value, text)


def lines(new: Mapping[str, str]) -> str:
    """Config vars as lines of .env."""
    return "".join(f"{name}={_quoted(value)}\n" for name, value in new.items())


def _quoted(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_./+=:-]+", value):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
