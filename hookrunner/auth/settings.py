"""Readers for the settings of a scheme: its secrets, names of headers, what is left over."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network

from hookrunner.model import Networks
from hookrunner.sections import Section, Value, Wrong, secrets, show

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


def words(section: Section, name: str, such_as: str = "$MY_SECRET") -> tuple[str, ...]:
    """The secrets of a setting that must be there."""
    return section.require(name, secrets, f"write {name}: {such_as}") or ()


def refuse_leftovers(section: Section) -> None:
    """Name no key that has no value: in `{bearer: {hunter2}}` it is the secret."""
    section.find("ip")  # every scheme may have it, and `schemes` reads it
    settings = list(dict.fromkeys(section.known))
    for name, (key, value) in section.entries.items():
        if value.plain is None and name not in section.known:
            key.complain("a setting of a scheme has a value, such as secret: $MY_SECRET")
        elif name not in section.known:
            meant = key.source.hint(name, settings) or f"; there are {', '.join(settings)}"
            key.complain(f"{section.value.title} has no setting {show(name)}{meant}")


def raw(found: tuple[str, ...]) -> tuple[bytes, ...]:
    """Secrets as the bytes that they are in the environment."""
    return tuple(word.encode("utf-8", "surrogateescape") for word in found)


def networks(value: Value) -> Networks:
    """A list of addresses and networks, of IPv4 and IPv6 (RFC 4632, RFC 4291 §2.3)."""
    if isinstance(value.plain, list) and value.plain:
        found = [item.read(_network) for item in value.items()]
    else:
        found = [_network(value)]
    return tuple(network for network in found if network is not None)


def _network(value: Value) -> IPv4Network | IPv6Network:
    found = value.plain
    try:
        if not isinstance(found, str):
            raise ValueError
        named = ip_network(found if found != "*" else "0.0.0.0/0")
    except ValueError as error:
        mend = ""
        if "host bits" in str(error):
            mend = f"write {ip_network(found, strict=False)}, or the address alone"
        raise Wrong("addresses or networks such as [192.0.2.0/24, '2001:db8::/32']", mend) from None
    if named.prefixlen == 0:
        raise Wrong("some addresses", "a hook that is open to all of them says auth: none")
    return named
