"""What is seen before, or instead of, a page: the login, and errors."""

from __future__ import annotations


def login(wrong: str = "", onward: str = "/-/") -> str:
    """The login form. `wrong` says why one is here again; `onward` is where to go afterwards."""
    raise NotImplementedError


def error(status: int, title: str, detail: str) -> str:
    """A page that says what went wrong."""
    raise NotImplementedError
