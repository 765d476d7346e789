"""A trigger-rule parted into who may post, which is `auth:`, and what is of interest, `when:`.

webhook has one rule for both, and reads the body before either. Here a proof is looked at
before anything else; so a rule can be said if it is an `and` of proofs and conditions, or an
`or` of proofs. A word that is compared is taken for a secret by its name, its look, or
because it came from the environment; a secret is no condition, which would stand in hooks.yaml.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Literal

from hookrunner.model import Json, Networks
from hookrunner.moving.conditions import (
    CannotSay,
    Judged,
    of_all,
    of_any,
    of_none,
    of_pattern,
    of_value,
)
from hookrunner.moving.foreign import MARK, Argument, Malformed, argument, as_text

HMAC = re.compile(r"payload-(?:hmac|hash)-(sha1|sha256|sha512)")
SECRET = re.compile(
    r"token|secret|passw|api[-_]?key|access[-_]?key|credential|signature|authori[sz]ation"
    r"|(?:^|[-_.])(?:auth|pw|pwd|pass)(?:$|[-_.])",
    re.IGNORECASE,
)
KEY = re.compile(r"(?<!event[-_])(?<![a-z0-9])key$", re.IGNORECASE)
"""In a header or a query, where no payload's `project.key` stands."""

MADE_UP = re.compile(r"(?=(?:.*[0-9]){3})(?=(?:.*[A-Za-z]){3})[A-Za-z0-9_+=-]{20,}|<(?!nil>)[^>]*>")
"""What nobody types: random, or a place to put something random."""

EVENT = re.compile(r"event|content-type|user-agent|action|hook-id|target-type", re.IGNORECASE)
HIDDEN = ("cookie", "proxy-authorization")
HEADER = re.compile(r"[!#$%&'*+.^`|~0-9A-Za-z-]{1,100}")


@dataclass(frozen=True, slots=True)
class Way:
    """One way in. `kind` is empty for a way that asks for an address and nothing else."""

    kind: Literal["", "hmac", "token", "bearer", "payload"] = ""
    secret: str = ""
    header: str = ""
    """Where the proof is; of kind `payload`, its place there."""

    query: str = ""
    algorithm: str = ""
    networks: Networks | None = None


@dataclass(frozen=True, slots=True)
class Parted:
    """A rule in two halves. No way at all: anybody may post."""

    ways: tuple[Way, ...] = ()
    conditions: tuple[Mapping[str, Json], ...] = ()
    chosen: bool = False
    """True if signatures stand in an `or`, so that `soft` failures mean something."""


def part(rule: Mapping[str, Json]) -> Parted:
    """The two halves of a rule. Raises CannotSay, Malformed."""
    kind, inner = _first(rule)
    if kind == "and":
        return _both([part(each) for each in inner])
    if kind == "or":
        return _either(rule, [part(each) for each in inner])
    if kind == "not":
        if part(inner).ways:
            raise CannotSay("a `not` over a proof: that it is wrong lets nobody in here")
        return Parted(conditions=(rule,))
    if kind == "match":
        way = _way(inner)
        return Parted(ways=(way,)) if way else Parted(conditions=(rule,))
    raise CannotSay("a rule without and, or, not or match, which webhook never finds satisfied")


def judge(conditions: Sequence[Mapping[str, Json]], *, alone: bool, gets: bool) -> Json:
    """Conditions as one schema. `alone`: they are the whole rule, under no `and`."""
    judged = [_judged(each, holds=True, gets=gets) for each in conditions]
    if alone and len(judged) == 1:
        return judged[0].whole
    return of_all(judged).whole


def _judged(rule: Mapping[str, Json], *, holds: bool, gets: bool) -> Judged:
    kind, inner = _first(rule)
    if kind == "and":
        return of_all([_judged(each, holds=holds, gets=gets) for each in inner])
    if kind == "or":
        return of_any([_judged(each, holds=holds, gets=gets) for each in inner])
    if kind == "not":
        return of_none(_judged(inner, holds=not holds, gets=gets))
    where = argument(inner.get("parameter") or {}, "trigger-rule")
    if inner.get("type") == "value":
        return of_value(where, as_text(inner.get("value"), "trigger-rule: value"), gets=gets)
    pattern = as_text(inner.get("regex"), "trigger-rule: regex")
    return of_pattern(where, pattern, holds=holds, gets=gets)


def _first(rule: Mapping[str, Json]) -> tuple[str, Json]:
    """What the rule is: webhook looks for its four words in this order, and at one only."""
    for kind, wanted in (("and", list), ("or", list), ("not", dict), ("match", dict)):
        inner = rule.get(kind)
        if inner is None:
            continue
        parts = inner if isinstance(inner, list) else [inner]
        if not isinstance(inner, wanted) or not all(isinstance(each, dict) for each in parts):
            raise Malformed(f"trigger-rule: {kind} is not what it should be")
        return kind, inner
    return "", None


def _both(parts: Sequence[Parted]) -> Parted:
    ways: tuple[Way, ...] = ()
    for each in parts:
        if ways and each.ways:
            ways = tuple(_joined(one, other) for one in ways for other in each.ways)
        else:
            ways = ways or each.ways
    conditions = tuple(rule for each in parts for rule in each.conditions)
    return Parted(ways, conditions, any(each.chosen for each in parts))


def _either(rule: Mapping[str, Json], parts: Sequence[Parted]) -> Parted:
    if not any(each.ways for each in parts):
        return Parted(conditions=(rule,))
    if not all(each.ways for each in parts):
        raise CannotSay(
            "an `or` of a proof and of what anybody can write: whoever knows the second "
            "needs no proof"
        )
    if any(each.conditions != parts[0].conditions for each in parts):
        raise CannotSay("an `or` whose proofs each come with a condition of their own")
    ways = tuple(way for each in parts for way in each.ways)
    chosen = len(parts) > 1 and any(way.kind == "hmac" for way in ways)
    return Parted(ways, parts[0].conditions, chosen or any(each.chosen for each in parts))


def _joined(one: Way, other: Way) -> Way:
    """What must hold together, as one way."""
    if one.kind and other.kind:
        raise CannotSay("two proofs that must both be right; a hook of ours asks for one")
    both = one if one.kind else replace(one, **_proof(other))
    if one.networks is None or other.networks is None:
        return replace(both, networks=one.networks or other.networks)
    common = _common(one.networks, other.networks)
    if not common:
        raise CannotSay("two ip-ranges that have no address in common")
    return replace(both, networks=common)


def _proof(way: Way) -> dict[str, Json]:
    names = ("kind", "secret", "header", "query", "algorithm")
    return {name: getattr(way, name) for name in names}


def _common(some: Networks, others: Networks) -> Networks:
    pairs = [(one, other) for one in some for other in others if one.version == other.version]
    inner = [
        one if one.prefixlen >= other.prefixlen else other
        for one, other in pairs
        if one.overlaps(other)
    ]
    return tuple(dict.fromkeys(inner))


def _way(match: Mapping[str, Json]) -> Way | None:
    """The proof that a `match` asks for; None if it is a condition."""
    kind = as_text(match.get("type"), "trigger-rule: type")
    if kind == "ip-whitelist":
        return Way(networks=_networks(as_text(match.get("ip-range"), "trigger-rule: ip-range")))
    if kind == "scalr-signature":
        raise CannotSay(
            "scalr-signature signs a date that is written out, which no `hmac` here can read"
        )
    where = argument(match.get("parameter") or {}, "trigger-rule")
    if signed := HMAC.fullmatch(kind):
        return _signature(signed[1], match, where)
    if kind == "value":
        return _word(where, as_text(match.get("value"), "trigger-rule: value"))
    if kind != "regex":
        raise CannotSay(f"the rule's type {kind!r} is none that is known here")
    pattern = as_text(match.get("regex"), "trigger-rule: regex")
    if is_secret(where, pattern) and pattern not in ("", ".*"):
        raise CannotSay(f"{where.source} {where.name} looks like a secret, and a pattern tells it")
    _refuse_hidden(where)
    return None


def _signature(algorithm: str, match: Mapping[str, Json], where: Argument) -> Way:
    secret = as_text(match.get("secret"), "trigger-rule: secret")
    if not secret:
        raise CannotSay("a signature with an empty secret, which webhook never finds right")
    if where.source != "header":
        raise CannotSay(f"a signature that stands in the {where.source}; here it is in a header")
    if where.signed_headers:
        raise CannotSay("headers-to-add-to-signature-payload: an `hmac` here signs no such header")
    return Way("hmac", secret, header=_header(where.name), algorithm=algorithm)


def _word(where: Argument, value: str) -> Way | None:
    """The proof that the comparison with a word is, if the word is a secret."""
    if not is_secret(where, value):
        _refuse_hidden(where)
        return None
    if not value:
        raise CannotSay(f"{where.source} {where.name} is a secret that is empty")
    if where.source == "header":
        kind, _, rest = value.partition(" ")
        authorization = where.name.lower() == "authorization"
        if authorization and kind == "Bearer" and rest.strip(" ") == rest != "":
            return Way("bearer", rest)
        if value != value.strip(" \t"):
            raise CannotSay(f"header {where.name} with spaces at its ends, which HTTP takes off")
        return Way("token", value, header=_header(where.name))
    if where.source in ("url", "query"):
        return Way("token", value, query=where.name)
    if where.source == "payload":
        return Way("payload", value, header=where.name)
    raise CannotSay(f"a secret in the source {where.source!r}")


def is_secret(where: Argument, value: str) -> bool:
    """True if what is compared with `value` must be one that only the sender knows."""
    if MARK.search(value) or MADE_UP.fullmatch(value):
        return True
    if where.source not in ("header", "url", "query", "payload"):
        return False
    if where.source == "header" and EVENT.search(where.name):
        return False
    last = where.name.rpartition(".")[2] if where.source == "payload" else where.name
    in_payload = where.source == "payload"
    return bool(SECRET.search(last)) or (not in_payload and bool(KEY.search(last)))


def _refuse_hidden(where: Argument) -> None:
    if where.source == "header" and where.name.lower() in HIDDEN:
        raise CannotSay(f"the header {where.name} is kept from `when`, which could not look at it")


def _header(name: str) -> str:
    if not HEADER.fullmatch(name):
        raise CannotSay(
            f"the header {name!r}: servers drop one with '_', or no header is so called"
        )
    return name


def _networks(text: str) -> Networks:
    """An ip-range: networks or addresses with spaces between; host bits do not count."""
    found: list[IPv4Network | IPv6Network] = []
    for each in text.split():
        try:
            found.append(ip_network(each, strict=False))
        except ValueError:
            raise CannotSay(f"the ip-range {each!r} is none") from None
    if not found:
        raise CannotSay("an ip-range that is empty lets nobody in")
    # `ip:` here takes no network of all addresses: by halves it is the same.
    halves = (n.subnets(1) if n.prefixlen == 0 else [n] for n in found)
    return tuple(network for each in halves for network in each)
