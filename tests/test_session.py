"""Sessions that a browser keeps, and how often somebody may try to begin one."""

from __future__ import annotations

import pytest

from hookrunner import session

TOKEN = "a token"
NOW = 1_000_000.0


def test_a_session_holds_until_its_end() -> None:
    value = session.begin(TOKEN, NOW)

    assert session.holds(TOKEN, value, NOW)
    assert session.holds(TOKEN, value, NOW + session.SECONDS - 1)
    assert not session.holds(TOKEN, value, NOW + session.SECONDS)


def test_a_session_is_of_one_token() -> None:
    assert not session.holds("another", session.begin(TOKEN, NOW), NOW)


def test_a_session_cannot_be_prolonged() -> None:
    end, rest = session.begin(TOKEN, NOW).split(".", 1)

    assert not session.holds(TOKEN, f"{int(end) + 1}.{rest}", NOW)


def test_no_two_sessions_are_alike() -> None:
    assert session.begin(TOKEN, NOW) != session.begin(TOKEN, NOW)


def test_a_form_is_of_one_session() -> None:
    one, other = session.begin(TOKEN, NOW), session.begin(TOKEN, NOW)

    assert session.is_csrf(TOKEN, one, session.csrf(TOKEN, one))
    assert not session.is_csrf(TOKEN, one, session.csrf(TOKEN, other))
    assert not session.is_csrf(TOKEN, one, "")
    assert not session.is_csrf(TOKEN, one, "\udcff")


def test_the_cookie_is_found_among_others() -> None:
    assert session.in_cookies("a=b; hookrunner=x.y.z; c=d") == "x.y.z"
    assert session.in_cookies("nothookrunner=x") == ""


@pytest.mark.parametrize(
    ("asked", "led"),
    [
        ("/-/runs?hook=%2Fa&state=failed", "/-/runs?hook=%2Fa&state=failed"),
        ("/-/", "/-/"),
        ("//evil.example", "/-/"),
        ("/-//evil.example", "/-/"),
        ("/-/\r\nSet-Cookie: x=y", "/-/"),
        ("/-/login?next=/-/", "/-/"),
        ("/elsewhere", "/-/"),
        ("", "/-/"),
    ],
)
def test_onward_leads_to_our_pages_only(asked: str, led: str) -> None:
    assert session.onward(asked) == led


def test_five_attempts_a_minute_from_an_address() -> None:
    attempts = session.Attempts()

    assert [attempts.wait("a", NOW + n) for n in range(6)] == [0, 0, 0, 0, 0, 55]
    assert attempts.wait("b", NOW + 6) == 0
    assert attempts.wait("a", NOW + 60) == 0


def test_what_was_right_is_not_counted() -> None:
    attempts = session.Attempts()

    for n in range(20):
        assert attempts.wait("a", NOW + n) == 0
        attempts.pardon("a")


def test_a_network_of_64_bits_is_one_address() -> None:
    attempts = session.Attempts()

    waits = [attempts.wait(f"2001:db8::{n:x}", NOW) for n in range(6)]
    assert waits == [0, 0, 0, 0, 0, 60]
    assert attempts.wait("2001:db8:0:1::1", NOW) == 0


def test_who_has_a_long_token_is_kept_out_by_nobody_elsewhere() -> None:
    attempts = session.Attempts()

    waits = [attempts.wait(f"192.0.2.{n}", NOW, token="x" * 16) for n in range(100)]
    assert set(waits) == {0}


def test_thirty_attempts_a_minute_in_all() -> None:
    attempts = session.Attempts()

    assert [attempts.wait(str(n), NOW) for n in range(31)] == [0.0] * 30 + [60.0]
