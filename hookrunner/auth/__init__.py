"""Who sent it? Schemes that answer, on the raw bytes, before anybody parses them.

`schemes.py` is the table of names that hooks.yaml may use; `signature.py` is the one
engine behind every HMAC scheme, `credential.py` the shared passwords.
"""

from __future__ import annotations

from collections.abc import Sequence

from hookrunner.model import Delivery, Refused, Rejection, Scheme, Verified

ANONYMOUS = Verified(scheme="none")


def authenticate(schemes: Sequence[Scheme], delivery: Delivery, now: float) -> Verified:
    """What the first scheme that believes the delivery says of it.

    No scheme at all is `auth: none`. Raises Refused(401), worded alike for every
    reason: a stranger learns nothing, and the log has each scheme's why.
    """
    if not schemes:
        return ANONYMOUS
    reasons = []
    for scheme in schemes:
        said = scheme.verify(delivery, now)
        if isinstance(said, Verified):
            return said
        reasons.append(said.why)
    raise Refused(
        401,
        "not authorised",
        "; ".join(reasons),
        headers={"WWW-Authenticate": ", ".join(dict.fromkeys(s.challenge for s in schemes))},
    )


__all__ = ["Rejection", "authenticate"]
