"""Serve hooks.yaml until told to stop."""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from hookrunner.model import Networks, Trouble
from hookrunner.verbs.context import brief, context, number, seconds

if TYPE_CHECKING:
    from hookrunner.log import Format

LOCAL = "127.0.0.1"

SHORTEST, LONGEST = 0.1, 86400.0
"""Seconds: longer than any platform waits, and short enough for every clock."""

EXAMPLES = """
  python runner.py                  serve hooks.yaml on port 5000, or $PORT
  python runner.py --port 8080      serve on another port
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help=f"address to listen on; default {LOCAL}, on a dyno 0.0.0.0")
    parser.add_argument("--port", help="port to listen on; default 5000, 0 for any free one")
    parser.add_argument("--threads", help="threads for requests; default 40")
    parser.add_argument("--slots", help="scripts that run at once; default 8")
    parser.add_argument("--grace", metavar="SECONDS", help="time to stop in; default 26")
    parser.add_argument(
        "--lease",
        metavar="SECONDS",
        help="a run whose runner is gone is run again then; default 90",
    )
    parser.add_argument(
        "--reload", action="store_true", help="take up changes of hooks.yaml as they are made"
    )


def run(arguments: argparse.Namespace, given: Mapping[str, str]) -> int:
    from hookrunner import address, app  # only this verb needs a server

    project = context(arguments, given)
    environ, on_dyno = project.environ, project.on_dyno
    settings = app.Settings(
        config=project.config,
        data=project.data,
        host=arguments.host or environ.get("HOST") or ("0.0.0.0" if on_dyno else LOCAL),
        port=number(arguments.port, environ, "PORT", 5000, 0, 65535),
        threads=number(arguments.threads, environ, "THREADS", 40, 1, 1000),
        slots=number(arguments.slots, environ, "SLOTS", 8, 1, 1000),
        grace=_seconds(arguments.grace, environ, "GRACE", "26"),
        lease=_seconds(arguments.lease, environ, "LEASE", "90"),
        reload=arguments.reload,
        log_format=_log_format(environ),
        on_dyno=on_dyno,
        trusted=_trusted(environ, address.networks, "*" if on_dyno else ""),
        spare_token="" if on_dyno or not sys.stdout.isatty() else secrets.token_urlsafe(18),
    )
    app.serve(settings, environ)
    return 0


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
