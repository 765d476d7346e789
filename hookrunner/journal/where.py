"""Where the journal is: in a database that the environment names, or in a file."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

from hookrunner.model import Trouble

SCHEMES = ("postgres", "postgresql")
LIKE = "it should look like postgres://USER:PASSWORD@HOST:5432/DATABASE"


class Away(Trouble):
    """There is no connection to the database just now; there may be one later."""


def database(environ: Mapping[str, str]) -> str:
    """The URL of the PostgreSQL database that JOURNAL_URL or DATABASE_URL names; empty for a file.

    TLS as Heroku has it: required of a host elsewhere, if the URL says nothing of `sslmode`.
    A DATABASE_URL of another kind of database is none of ours. Raises Trouble.
    """
    for name in ("JOURNAL_URL", "DATABASE_URL"):
        url = environ.get(name, "").strip()
        if not url:
            continue
        if url.partition("://")[0].lower() in SCHEMES:
            return _with_tls(url, name, environ)
        if name == "JOURNAL_URL":
            raise Trouble(_told(name))
    return ""


def shown(url: str) -> str:
    """The database, and where it is, for people."""
    parts = urlsplit(url)
    host = parse_qs(parts.query).get("host", [", ".join(_hosts(parts))])[-1]
    name = unquote(parts.path.lstrip("/")) or "its user's database"
    return f"{name} at {host}" if host else name


def _with_tls(url: str, name: str, environ: Mapping[str, str]) -> str:
    try:
        parts = urlsplit(url)
        if _is_broken(parts):
            raise Trouble(
                f"{name} cannot be read: a / ? or # in the user's name or the password is written "
                "%2F %3F %23"
            )
        hosts = _hosts(parts)
    except ValueError:
        raise Trouble(_told(name)) from None
    said = parse_qs(parts.query)
    if "host" in said:
        hosts = said["host"][-1].split(",")
    rest = _quoted(parts.netloc) + url.partition("://")[2].removeprefix(parts.netloc)
    if not ("sslmode" in said or environ.get("PGSSLMODE") or all(map(_is_local, hosts))):
        rest += f"{'&' if parts.query else '?'}sslmode=require"
    return f"postgresql://{rest}"


def _hosts(parts: SplitResult) -> list[str]:
    """The hosts of which the database may be on any, as after a fail-over. Raises ValueError."""
    places = [urlsplit(f"//{each}") for each in parts.netloc.rpartition("@")[2].split(",")]
    # Whoever asks for a port that is none is told so.
    return [place.hostname or "" for place in places if place.port is None or place.port]


def _is_broken(parts: SplitResult) -> bool:
    """True if what stands before the host has a character that ends it."""
    if "@" in parts.netloc:
        return False
    rest = parts.path if parts.path else parts.query
    return bool(parts.netloc) and "@" in rest + parts.fragment


def _quoted(place: str) -> str:
    """With a user and a password that libpq reads as we do: it takes the first @ for the last."""
    user, at, host = place.rpartition("@")
    written = ":".join(quote(unquote(part), safe="~") for part in user.split(":", 1))
    return f"{written}{at}{host}"


def _is_local(host: str) -> bool:
    if not host or host.startswith("/") or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _told(name: str) -> str:
    return f"{name} names no PostgreSQL database; {LIKE}"
