"""What the verbs that serve have in common: their flags, and the settings made of them."""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from hookrunner.model import Networks, Trouble
from hookrunner.verbs.context import Context, brief, context, number, seconds

if TYPE_CHECKING:
    from hookrunner.log import Format
    from hookrunner.settings import Role

LOCAL = "127.0.0.1"

SHORTEST, LONGEST = 0.1, 86400.0
"""Seconds: longer than any platform waits, and short enough for every clock."""

ADD_DATABASE = "heroku addons:create heroku-postgresql:essential-0"


def add_listening(parser: argparse.ArgumentParser) -> None:
    """What a process that records can be told."""
    _add_host(parser)
    parser.add_argument("--port", help="port to listen on; default 5000, 0 for any free one")
    parser.add_argument("--threads", help="threads for requests; default 40")


def add_metrics(parser: argparse.ArgumentParser) -> None:
    """What a process can be told that listens for nothing but who asks how it does."""
    parser.add_argument(
        "--metrics-port",
        metavar="PORT",
        help="port for /-/metrics, /-/ready and /-/health; default none, 0 for any free one",
    )
    _add_host(parser)


def _add_host(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help=f"address to listen on; default {LOCAL}, on a dyno 0.0.0.0")


def add_running(parser: argparse.ArgumentParser) -> None:
    """What a process that carries runs out can be told."""
    parser.add_argument("--slots", help="scripts that run at once; default 8")
    parser.add_argument(
        "--lease",
        metavar="SECONDS",
        help="a run whose runner is gone is run again then; default 90",
    )


def add_serving(parser: argparse.ArgumentParser) -> None:
    """What every process that serves can be told."""
    parser.add_argument("--grace", metavar="SECONDS", help="time to stop in; default 26")
    parser.add_argument(
        "--reload", action="store_true", help="take up changes of hooks.yaml as they are made"
    )


def serve(arguments: argparse.Namespace, given: Mapping[str, str], role: Role) -> int:
    """Do what a role does until told to stop. Raises Trouble, BadConfig."""
    from hookrunner import address, app  # only these verbs need a server
    from hookrunner.settings import Settings

    project = context(arguments, given)
    environ, on_dyno = project.environ, project.on_dyno
    settings = Settings(
        config=project.config,
        data=project.data,
        host=_flag(arguments, "host") or environ.get("HOST") or ("0.0.0.0" if on_dyno else LOCAL),
        port=_port(arguments, environ, role),
        role=role,
        database=_database(project, role),
        only=_only(_flag(arguments, "hooks")),
        threads=number(_flag(arguments, "threads"), environ, "THREADS", 40, 1, 1000),
        slots=number(_flag(arguments, "slots"), environ, "SLOTS", 8, 1, 1000),
        grace=_seconds(arguments.grace, environ, "GRACE", "26"),
        lease=_seconds(_flag(arguments, "lease"), environ, "LEASE", "90"),
        reload=arguments.reload,
        log_format=_log_format(environ),
        on_dyno=on_dyno,
        # The router stands before what takes deliveries, and before nothing else.
        trusted=_trusted(environ, address.networks, "*" if on_dyno and role != "worker" else ""),
        spare_token="" if on_dyno or not sys.stdout.isatty() else secrets.token_urlsafe(18),
    )
    app.serve(settings, environ)
    return 0


def _port(arguments: argparse.Namespace, environ: Mapping[str, str], role: Role) -> int | None:
    """Where it is to listen; a worker need not. Raises Trouble."""
    if role != "worker":
        return number(_flag(arguments, "port"), environ, "PORT", 5000, 0, 65535)
    flag = _flag(arguments, "metrics_port")
    if not (flag or environ.get("METRICS_PORT")):
        return None
    return number(flag, environ, "METRICS_PORT", 0, 0, 65535)


def _flag(arguments: argparse.Namespace, name: str) -> str | None:
    """What a flag says; None too if the role has no such flag."""
    return getattr(arguments, name, None)


def _database(project: Context, role: Role) -> str:
    """Where the journal is. Raises Trouble if it cannot be where two processes need it."""
    url = project.database
    if not url and role != "all":
        others = {"web": "carry its runs out", "worker": "record anything for it"}[role]
        mend = ADD_DATABASE if project.on_dyno else "JOURNAL_URL=postgres://…"
        raise Trouble(
            f"python runner.py {role} needs a PostgreSQL database: without one runs are kept in a "
            f"file, which is this process's alone, and nobody else could {others}; name one "
            f"({mend}), or start python runner.py, which does both"
        )
    return url


def _only(hooks: str | None) -> tuple[str, ...]:
    """The hooks of a list such as /a,/b."""
    if hooks is None:
        return ()
    named = tuple(path.strip() for path in hooks.split(",") if path.strip())
    if not named:
        raise Trouble("--hooks must name hooks, such as /a,/b")
    return named


def _seconds(flag: str | None, environ: Mapping[str, str], name: str, default: str) -> float:
    given = str(flag or environ.get(name) or default)
    return seconds(given, f"--{name.lower()}" if flag else name, SHORTEST, LONGEST)


def _log_format(environ: Mapping[str, str]) -> Format:
    from hookrunner.log import FORMATS

    given = environ.get("LOG_FORMAT") or "text"
    for known in FORMATS:
        if given == known:
            return known
    raise Trouble(f"LOG_FORMAT must be text, logfmt or json, not {brief(given)}")


def _trusted(environ: Mapping[str, str], read: Callable[[str], Networks], default: str) -> Networks:
    given = environ.get("FORWARDED_ALLOW", default)
    try:
        return read(given)
    except ValueError:
        raise Trouble(
            f"FORWARDED_ALLOW must be *, or addresses such as 10.0.0.0/8,127.0.0.1, "
            f"not {brief(given)}"
        ) from None
