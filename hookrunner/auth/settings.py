"""Readers for the settings of a scheme: its secrets, names of headers, what is left over."""

from __future__ import annotations

import re

from hookrunner import address
from hookrunner.model import Networks
from hookrunner.sections import Section, Value, Wrong, secrets

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")


def header_name(value: Value) -> str:
    """A header's name (RFC 9110 §5.1), in lower case."""
    found = value.plain
    if not isinstance(found, str) or not HEADER_NAME.fullmatch(found):
        raise Wrong("a header's name such as X-Signature")
    if "_" in found:
        # waitress drops them: WSGI could not tell X_Token from X-Token.
        raise Wrong("a header's name without '_'", "proxies and servers drop such headers")
    return found.lower()


def mapping(value: Value, example: str) -> Section | None:
    """The settings of a scheme that cannot do without; None after a complaint."""
    if isinstance(value.plain, dict):
        return value.section()
    value.complain(f"{value.title} needs its settings, such as {example}")
    return None


def words(section: Section, name: str) -> tuple[str, ...]:
    """The secrets of a setting that must be there."""
    return section.require(name, secrets, f"write {name}: $MY_SECRET") or ()


def refuse_leftovers(section: Section) -> None:
    """Name no key that has no value: in `{bearer: {hunter2}}` it is the secret."""
    section.find("ip")  # every scheme may have it, and `schemes` reads it
    for name, (key, value) in section.entries.items():
        if value.plain is None and name not in section.known:
            key.complain("a setting of a scheme has a value, such as secret: $MY_SECRET")
            section.known.append(name)
    section.refuse_leftovers()


def raw(found: tuple[str, ...]) -> tuple[bytes, ...]:
    """Secrets as the bytes that they are in the environment."""
    return tuple(word.encode("utf-8", "surrogateescape") for word in found)


def networks(value: Value) -> Networks:
    """A list of addresses and networks, of IPv4 and IPv6 (RFC 4632, RFC 4291 §2.3)."""
    found = value.plain if isinstance(value.plain, list) else [value.plain]
    try:
        if not found or not all(isinstance(part, str) and part.strip() for part in found):
            raise ValueError
        named = tuple(network for part in found for network in address.networks(part))
    except ValueError:
        raise Wrong("addresses or networks such as [192.0.2.0/24, '2001:db8::/32']") from None
    if any(network.prefixlen == 0 for network in named):
        raise Wrong("some addresses", "a hook that is open to all of them says auth: none")
    return named
