"""Microsoft Graph's change notifications: each item carries the subscription's `clientState`.

https://learn.microsoft.com/graph/change-notifications-delivery-webhooks. It is a shared
word in the body, and so must be read before the sender is believed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hookrunner.auth.contents import Contents, Unbelievable, identify
from hookrunner.auth.credential import matches
from hookrunner.auth.scheme import Common
from hookrunner.model import Delivery, Json, Rejection, Verified


@dataclass(frozen=True, slots=True)
class ClientState(Common):
    """A scheme that believes a delivery all of whose items say one of the secrets."""

    secrets: tuple[bytes, ...] = field(repr=False)
    name: str = "microsoft-graph"

    @property
    def signs_body(self) -> bool:
        return True

    def verify(self, delivery: Delivery, now: float) -> Verified | Rejection:
        contents = Contents.of(delivery)
        try:
            payload = contents.proof()
        except Unbelievable as error:
            return Rejection(f"{self.name}: {error}")
        items = payload.get("value") if isinstance(payload, dict) else None
        if not isinstance(items, list) or not items:
            return Rejection(f"{self.name}: the payload has no list 'value'")
        if not all(self._knows(item) for item in items):
            return Rejection(f"{self.name}: a clientState is not the right one")
        return Verified(self.name, *identify(contents, self.names))

    def _knows(self, item: Json) -> bool:
        said = item.get("clientState") if isinstance(item, dict) else None
        return isinstance(said, str) and matches(said.encode("utf-8", "replace"), self.secrets)
