"""Who posts from certain networks. It proves where a delivery comes from, not who made it."""

from __future__ import annotations

from dataclasses import dataclass

from hookrunner.auth.scheme import Common
from hookrunner.model import Delivery, Rejection, Verified


@dataclass(frozen=True, slots=True)
class Allowed(Common):
    """Everybody from its networks, which `authenticate` has looked at."""

    name: str = "ip"

    def verify(self, delivery: Delivery, now: float) -> Verified | Rejection:
        return Verified("ip") if self.networks else Rejection("ip: there is no network")
