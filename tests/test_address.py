"""Addresses and networks of both kinds."""

from __future__ import annotations

import pytest

from hookrunner.address import networks, within


def test_networks_are_a_list_with_commas_or_a_star() -> None:
    assert [str(n) for n in networks("10.0.0.0/8, ::1")] == ["10.0.0.0/8", "::1/128"]
    assert [str(n) for n in networks("*")] == ["0.0.0.0/0", "::/0"]
    assert networks("") == ()


@pytest.mark.parametrize("text", ["nonsense", "10.0.0.0/33", "10.0.0", "1.2.3.4;5.6.7.8"])
def test_what_is_no_network_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        networks(text)


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("192.0.2.1", True),
        ("192.0.3.1", False),
        ("::ffff:192.0.2.1", True),
        ("::ffff:192.0.3.1", False),
        ("2001:db8::1", True),
        ("2001:0DB8:0:0::1", True),
        ("2001:db9::1", False),
        ("::192.0.2.1", False),
        ("2001:db8::1%eth0", True),
        ("", False),
        ("unix:", False),
        ("192.0.2.1:80", False),
        ("0300.0.2.1", False),
    ],
)
def test_an_address_is_in_a_network_however_it_is_written(address: str, inside: bool) -> None:
    assert within(address, networks("192.0.2.0/24,2001:db8::/32")) is inside
