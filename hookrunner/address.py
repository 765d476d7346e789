"""Addresses and networks of IPv4 and IPv6, as settings name them and as peers have them."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

from hookrunner.model import Networks


def networks(text: str) -> Networks:
    """`*` for all, or addresses and networks with commas. Raises ValueError."""
    if text.strip() == "*":
        text = "0.0.0.0/0,::/0"
    return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


def within(address: str, networks: Networks) -> bool:
    """True if the address is in one of the networks; False for what is no address.

    An IPv4 peer of a socket that takes both is `::ffff:192.0.2.1` (RFC 4291 §2.5.5.2), and
    is meant by 192.0.2.1.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return any(found in network for network in networks)
