"""Senders' questions whether we are there: answered by the runner, so that no script need be.

A function here looks at a delivery and answers it, or returns None: then it is a delivery
like any other. Those for strangers see what nobody has vouched for, and say no more than it
did itself: as plain text, which no browser takes for a page.
"""

from __future__ import annotations

import hmac
import json
import re
from urllib.parse import parse_qs

from hookrunner.auth.credential import matches
from hookrunner.auth.scheme import Handshake, Known
from hookrunner.model import Delivery, Greeting, Json, Refused

LONGEST_CHALLENGE = 4096
MOST_FIELDS = 20


def _ping(delivery: Delivery, value: Json, known: Known) -> Greeting | None:
    if delivery.headers.get("x-github-event") != "ping" or "ping" in known.flags:
        return None
    return Greeting("ping", body=b'{"status": "pong"}\n', type="application/json")


def _url_verification(delivery: Delivery, value: Json, known: Known) -> Greeting | None:
    if not isinstance(value, dict) or value.get("type") != "url_verification":
        return None
    return _echo("URL verification", value.get("challenge"))


def _url_validation(delivery: Delivery, value: Json, known: Known) -> Greeting | None:
    if not isinstance(value, dict) or value.get("event") != "endpoint.url_validation":
        return None
    payload = value.get("payload")
    token = payload.get("plainToken") if isinstance(payload, dict) else None
    if not isinstance(token, str):
        return None
    raw = token.encode("utf-8", "replace")
    digest = hmac.digest(known.key, raw, "sha256").hex()
    said = json.dumps({"plainToken": token, "encryptedToken": digest})
    return Greeting("URL validation", body=said.encode(), type="application/json")


def _discord_ping(delivery: Delivery, value: Json, known: Known) -> Greeting | None:
    kind = value.get("type") if isinstance(value, dict) else None
    if type(kind) is not int:
        return None
    if kind == 0:
        return Greeting("PING of its events", 204)
    # An event of Discord's is of type 1, too, and says which.
    if kind == 1 and "event" not in value:
        return Greeting("PING", body=b'{"type":1}', type="application/json")
    return None


def _hub_challenge(delivery: Delivery, known: Known) -> Greeting | None:
    query = _query(delivery, "GET", "hub.mode")
    if "hub.mode" not in query:
        return None
    if query["hub.mode"] != "subscribe":
        raise Refused(403, "not a subscription", "hub.mode is not subscribe")
    offered = query.get("hub.verify_token", "").encode("utf-8", "replace")
    if not matches(offered, known.words.get("verify_token", ())):
        raise Refused(403, "not the verify token", "hub.verify_token is not the right one")
    return _echo("subscription", query.get("hub.challenge"))


def _dropbox_challenge(delivery: Delivery, known: Known) -> Greeting | None:
    query = _query(delivery, "GET", "challenge")
    return _echo("challenge", query["challenge"]) if "challenge" in query else None


def _validation_token(delivery: Delivery, known: Known) -> Greeting | None:
    query = _query(delivery, "POST", "validationToken")
    return _echo("validation", query["validationToken"]) if "validationToken" in query else None


def _woocommerce_ping(delivery: Delivery, known: Known) -> Greeting | None:
    """What WooCommerce posts when a webhook is saved: unsigned, and only 200 will do."""
    if delivery.method != "POST" or "x-wc-webhook-signature" in delivery.headers:
        return None
    if not re.fullmatch(rb"webhook_id=\d{1,20}", delivery.body):
        return None
    return Greeting("ping of a webhook that was saved")


def _query(delivery: Delivery, method: str, asks: str) -> dict[str, str]:
    """The query's fields, the first of each name; none if it does not ask for anything."""
    if delivery.method != method or asks not in delivery.query:
        return {}
    try:
        found = parse_qs(delivery.query, True, max_num_fields=MOST_FIELDS)
    except ValueError:
        return {}
    return {name: values[0] for name, values in found.items()}


def _echo(said: str, challenge: Json) -> Greeting | None:
    if not isinstance(challenge, str) or not 0 < len(challenge) <= LONGEST_CHALLENGE:
        return None
    return Greeting(said, body=challenge.encode("utf-8", "replace"))


GITHUB = Handshake(proven=_ping)
SLACK = Handshake(proven=_url_verification)
ZOOM = Handshake(proven=_url_validation)
DISCORD = Handshake(proven=_discord_ping)
META = Handshake(stranger=_hub_challenge)
DROPBOX = Handshake(stranger=_dropbox_challenge)
MICROSOFT_GRAPH = Handshake(stranger=_validation_token)
SNS = Handshake()
"""What `sns.Sns` does itself, for it must fetch something; as a value, so that it is listed."""
WOOCOMMERCE = Handshake(stranger=_woocommerce_ping)
