"""Who sent it? Schemes that answer on the raw bytes, before anything is made of them.

`senders.py` is the table of those that `auth:` may name, `schemes.py` reads what it says of
them; `signature.py` is the one engine behind every sender that signs, `credential.py` the
shared passwords. Beside them stand those that are like no other: `twilio.py`, `sns.py`,
`graph.py`. `handshake.py` answers senders that only ask whether we are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hookrunner import address
from hookrunner.auth.scheme import Common
from hookrunner.model import Delivery, Refused, Rejection, Scheme, Verified


@dataclass(frozen=True, slots=True)
class _Anybody(Common):
    name: str = "none"

    def verify(self, delivery: Delivery, now: float) -> Verified | Rejection:
        return Verified("none")


ANYBODY = _Anybody()
"""The scheme of a hook that is open to all."""


def comes_from(scheme: Scheme, delivery: Delivery) -> bool:
    """True if the delivery comes from where the scheme lets it come from."""
    return not scheme.networks or address.within(delivery.remote_addr, scheme.networks)


def authenticate(
    schemes: Sequence[Scheme], delivery: Delivery, now: float
) -> tuple[Scheme, Verified]:
    """The first scheme that believes the delivery, and what it says of it.

    No scheme at all is `auth: none`. Raises Refused(401), worded alike for every
    reason: a stranger learns nothing, and the log has each scheme's why; and
    Refused(503) if none believes it and one could not tell just now.
    """
    if not schemes:
        return ANYBODY, Verified("none")
    reasons = []
    untold: Refused | None = None
    for scheme in schemes:
        if not comes_from(scheme, delivery):
            reasons.append(f"{scheme.name}: {delivery.remote_addr} is none of its addresses")
            continue
        try:
            said = scheme.verify(delivery, now)
        except Refused as refused:
            untold = refused
            continue
        if isinstance(said, Verified):
            return scheme, said
        reasons.append(said.why)
    if untold:
        raise untold
    raise Refused(
        401,
        "not authorised",
        "; ".join(dict.fromkeys(reasons)),  # two ways of one sender may lack the same
        headers={"WWW-Authenticate": ", ".join(dict.fromkeys(s.challenge for s in schemes))},
    )


__all__ = ["Rejection", "authenticate", "comes_from"]
