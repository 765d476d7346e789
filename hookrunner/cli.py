"""The verbs for people: `serve` and `check`.

Exit status: 0 done, 1 the user can mend it, 2 wrong usage, 3 our bug.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hookrunner import VERSION, units
from hookrunner.model import BadConfig, Hook, Trouble

if TYPE_CHECKING:
    from hookrunner.log import Format
    from hookrunner.web import Networks

LOCAL = "127.0.0.1"

HEADINGS = ("PATH", "METHODS", "WHO MAY POST", "SCRIPT", "ANSWERS", "STATE")

EXAMPLES = """examples:
  python runner.py                  serve hooks.yaml on port 5000, or $PORT
  python runner.py --port 8080      serve on another port
  python runner.py check            say what is wrong with hooks.yaml, or show its hooks
"""

SETTINGS = """each setting can also be an environment variable: HOOKS (--config), DATA_DIR (--data),
HOST, PORT, THREADS, SLOTS, GRACE; LOG_FORMAT=text|logfmt|json; FORWARDED_ALLOW lists trusted
proxies. A flag wins over the environment."""


def main(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Do what the command line says; return the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        return VERBS[arguments.verb](arguments, environ)
    except BadConfig as error:
        _complain(error.problems)
        return 1
    except Trouble as error:
        _complain([str(error)])
        return 1
    except ModuleNotFoundError as error:
        _complain(
            [f"{error.name} is not installed; pip install -r requirements.txt, or use make run"]
        )
        return 1
    except KeyboardInterrupt:
        return 1
    except Exception:
        traceback.print_exc()
        _complain(["this is a bug of hookrunner's; please report it with the lines above"])
        return 3


def serve(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Serve until told to stop."""
    from hookrunner import app  # only this verb needs a server, and `check` should be quick

    config = _config(arguments, environ)
    on_dyno = "DYNO" in environ
    port = _number(arguments.port, environ, "PORT", 5000, 0, 65535)
    settings = app.Settings(
        config=config,
        data=Path(arguments.data or environ.get("DATA_DIR") or config.parent / "var").resolve(),
        # Whoever sets PORT is a platform that wants to reach it from outside.
        host=arguments.host or environ.get("HOST") or ("0.0.0.0" if "PORT" in environ else LOCAL),
        port=port,
        threads=_number(arguments.threads, environ, "THREADS", 40, 1, 1000),
        slots=_number(arguments.slots, environ, "SLOTS", 8, 1, 1000),
        grace=_grace(arguments, environ),
        log_format=_log_format(environ),
        on_dyno=on_dyno,
        trusted=_trusted(environ, app.networks, "*" if on_dyno else ""),
    )
    app.serve(settings, environ)
    return 0


def check(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Say what is wrong with hooks.yaml, or show its hooks."""
    from hookrunner.config import load, switched_off

    config = load(_config(arguments, environ), environ)
    rows: list[tuple[str, ...]] = [
        ("PATH", "METHODS", "WHO MAY POST", "SCRIPT", "ANSWERS", "STATE")
    ]
    rows += [_row(hook) for hook in config.hooks.values()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
    lines = switched_off(config, on_dyno="DYNO" in environ)
    _complain(lines)
    return 1 if lines else 0


VERBS: Mapping[str, Callable[[argparse.Namespace, Mapping[str, str]], int]] = {
    "serve": serve,
    "check": check,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="runner.py",
        description="Run the scripts of hooks.yaml for what is posted to its paths.",
        epilog=EXAMPLES + "\n" + SETTINGS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("verb", nargs="?", default="serve", choices=list(VERBS), metavar="VERB",
                        help="serve (the default) or check")  # fmt: skip
    parser.add_argument("--version", action="version", version=f"hookrunner {VERSION}")
    parser.add_argument("--config", metavar="PATH", help="the hooks.yaml to use")
    parser.add_argument("--data", metavar="DIR", help="where runs are kept; default var/")
    parser.add_argument("--host", help=f"address to listen on; default {LOCAL}")
    parser.add_argument("--port", help="port to listen on; default 5000, 0 for any free one")
    parser.add_argument("--threads", help="threads for requests; default 40")
    parser.add_argument("--slots", help="scripts that run at once; default 8")
    parser.add_argument("--grace", metavar="SECONDS", help="time to stop in; default 26")
    return parser


def _config(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Path:
    return Path(arguments.config or environ.get("HOOKS") or "hooks.yaml")


def _number(
    flag: str | None, environ: Mapping[str, str], name: str, default: int, least: int, most: int
) -> int:
    given = flag or environ.get(name) or str(default)
    if not given.isascii() or not given.isdigit() or not least <= int(given) <= most:
        where = f"--{name.lower()}" if flag else name
        raise Trouble(f"{where} must be a whole number from {least} to {most}, not {given!r}")
    return int(given)


def _grace(arguments: argparse.Namespace, environ: Mapping[str, str]) -> float:
    given = str(arguments.grace or environ.get("GRACE") or "26")
    try:
        return units.duration(given if given[-1:].isalpha() else f"{given}s")
    except ValueError:
        raise Trouble(f"--grace must be a time such as 26s, not {given!r}") from None


def _log_format(environ: Mapping[str, str]) -> Format:
    from hookrunner.log import FORMATS

    given = environ.get("LOG_FORMAT") or "text"
    for known in FORMATS:
        if given == known:
            return known
    raise Trouble(f"LOG_FORMAT must be text, logfmt or json, not {given!r}")


def _trusted(environ: Mapping[str, str], read: Callable[[str], Networks], default: str) -> Networks:
    given = environ.get("FORWARDED_ALLOW", default)
    try:
        return read(given)
    except ValueError:
        raise Trouble(
            f"FORWARDED_ALLOW must be *, or addresses such as 10.0.0.0/8,127.0.0.1, not {given!r}"
        ) from None


def _row(hook: Hook) -> tuple[str, ...]:
    answers: str = hook.respond.mode
    if hook.respond.wait:
        answers += f", waits {units.show_duration(hook.respond.wait)}"
    return (
        hook.path,
        ",".join(hook.methods),
        ", ".join(scheme.name for scheme in hook.auth) or "everybody",
        hook.script.name,
        answers,
        "off" if hook.missing else "on",
    )


def _complain(lines: Sequence[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr)
