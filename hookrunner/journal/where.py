"""Where the journal is: in a database that the environment names, or in a file."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import parse_qs, urlsplit

from hookrunner.model import Trouble

SCHEMES = ("postgres", "postgresql")


def database(environ: Mapping[str, str]) -> str:
    """The URL of the PostgreSQL database that JOURNAL_URL or DATABASE_URL names; empty for a file.

    TLS as Heroku has it: required of a host elsewhere, if the URL says nothing of `sslmode`.
    A DATABASE_URL of another kind of database is none of ours. Raises Trouble.
    """
    for name in ("JOURNAL_URL", "DATABASE_URL"):
        url = environ.get(name, "").strip()
        if not url:
            continue
        if urlsplit(url).scheme in SCHEMES:
            return _with_tls(url, name, environ)
        if name == "JOURNAL_URL":
            raise Trouble(_told(name))
    return ""


def _with_tls(url: str, name: str, environ: Mapping[str, str]) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise Trouble(_told(name)) from None
    said = parse_qs(parts.query)
    host = said.get("host", [host])[-1]
    _, _, rest = url.partition("://")
    if not ("sslmode" in said or environ.get("PGSSLMODE") or _is_local(host)):
        rest += f"{'&' if parts.query else '?'}sslmode=require"
    return f"postgresql://{rest}"


def _is_local(host: str) -> bool:
    if not host or host.startswith("/") or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _told(name: str) -> str:
    return (
        f"{name} names no PostgreSQL database; "
        "it should look like postgres://USER:PASSWORD@HOST:5432/DATABASE"
    )
