"""What all schemes have in common, most of which most of them have nothing of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from hookrunner.model import Delivery, Greeting, Json, Manners, Names, Networks, Verified


@dataclass(frozen=True, slots=True)
class Known:
    """What a handshake may need: the key of its proof, and words of the scheme's own settings."""

    key: bytes = field(default=b"", repr=False)
    words: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict, repr=False)
    flags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Handshake:
    """How a sender asks whether we are there: with its proof, or as a `stranger` without."""

    proven: Callable[[Delivery, Json, Known], Greeting | None] | None = None
    stranger: Callable[[Delivery, Known], Greeting | None] | None = None


NO_HANDSHAKE = Handshake()
NOTHING = Known()


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """A scheme but for its name and its `verify`."""

    manners: Manners = Manners()
    names: Names = Names()
    """Where its sender's names are, to be looked at by `verify`."""

    networks: Networks = ()
    handshake: Handshake = NO_HANDSHAKE
    known: Known = NOTHING

    @property
    def signs_body(self) -> bool:
        return False

    @property
    def signs_address(self) -> bool:
        return False

    @property
    def asks_others(self) -> bool:
        return False

    @property
    def challenge(self) -> str:
        return "Signature"

    @property
    def credential_headers(self) -> frozenset[str]:
        return frozenset()

    @property
    def credential_fields(self) -> frozenset[str]:
        return frozenset()

    def greet_stranger(self, delivery: Delivery) -> Greeting | None:
        stranger = self.handshake.stranger
        return stranger(delivery, self.known) if stranger else None

    def greet(self, delivery: Delivery, value: Json, verified: Verified) -> Greeting | None:
        proven = self.handshake.proven
        return proven(delivery, value, replace(self.known, key=verified.key)) if proven else None
