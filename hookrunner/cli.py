"""The verbs for people: `serve`, `check` and `senders`.

Exit status: 0 done, 1 the user can mend it, 2 wrong usage, 3 our bug.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hookrunner import VERSION, units
from hookrunner.model import BadConfig, Hook, Trouble

if TYPE_CHECKING:
    from hookrunner.log import Format
    from hookrunner.model import Networks

LOCAL = "127.0.0.1"

SHORTEST, LONGEST = 0.1, 86400.0
"""Seconds: longer than any platform waits, and short enough for every clock."""

HEADINGS = ("PATH", "METHODS", "WHO MAY POST", "SCRIPT", "ANSWERS", "STATE")

EXAMPLES = """examples:
  python runner.py                  serve hooks.yaml on port 5000, or $PORT
  python runner.py --port 8080      serve on another port
  python runner.py check            say what is wrong with hooks.yaml, or show its hooks
  python runner.py senders          list the senders that `auth:` knows
  python runner.py senders slack    what to paste where, for Slack
"""

SETTINGS = """each setting can also be an environment variable: HOOKS (--config), DATA_DIR (--data),
HOST, PORT, THREADS, SLOTS, GRACE; LOG_FORMAT=text|logfmt|json; FORWARDED_ALLOW lists trusted
proxies. A flag wins over the environment."""


def main(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Do what the command line says; return the exit status."""
    arguments = _arguments(argv)
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
    from hookrunner import (  # only this verb needs a server, and `check` should be quick
        address,
        app,
    )

    config = _config(arguments, environ)
    environ = _with_dotenv(config, environ)
    on_dyno = "DYNO" in environ
    port = _number(arguments.port, environ, "PORT", 5000, 0, 65535)
    settings = app.Settings(
        config=config,
        data=Path(arguments.data or environ.get("DATA_DIR") or config.parent / "var").absolute(),
        host=arguments.host or environ.get("HOST") or ("0.0.0.0" if on_dyno else LOCAL),
        port=port,
        threads=_number(arguments.threads, environ, "THREADS", 40, 1, 1000),
        slots=_number(arguments.slots, environ, "SLOTS", 8, 1, 1000),
        grace=_seconds(arguments.grace, environ, "GRACE", "26"),
        lease=_seconds(arguments.lease, environ, "LEASE", "90"),
        reload=arguments.reload,
        log_format=_log_format(environ),
        on_dyno=on_dyno,
        trusted=_trusted(environ, address.networks, "*" if on_dyno else ""),
    )
    app.serve(settings, environ)
    return 0


def check(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Say what is wrong with hooks.yaml, or show its hooks."""
    from hookrunner.config import load, switched_off

    config = load(_config(arguments, environ), environ)
    _print_table([HEADINGS, *(_row(hook) for hook in config.hooks.values())])
    lines = switched_off(config, on_dyno="DYNO" in environ)
    _complain(lines)
    return 1 if lines else 0


def senders(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """List the senders that `auth:` knows, or tell all of those that are named."""
    from hookrunner.auth.listing import lines
    from hookrunner.auth.senders import SENDERS
    from hookrunner.sections import hint

    unknown = [name for name in arguments.names if name not in SENDERS]
    for name in unknown:
        known = hint(name, SENDERS) or "; python runner.py senders lists those that there are"
        _complain([f"no sender is called {_brief(name)}{known}"])
    if unknown:
        return 1
    _print_lines(list(lines(arguments.names)))
    return 0


VERBS: Mapping[str, Callable[[argparse.Namespace, Mapping[str, str]], int]] = {
    "serve": serve,
    "check": check,
    "senders": senders,
}


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = _parser()
    # In two steps: of `--prot 8080`, argparse would say that 8080 is no verb.
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if arguments.verb not in VERBS:
        known = ", ".join(map(repr, VERBS))
        parser.error(f"argument VERB: invalid choice: {arguments.verb!r} (choose from {known})")
    if arguments.names and arguments.verb != "senders":
        parser.error(f"unrecognized arguments: {' '.join(arguments.names)}")
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="runner.py",
        allow_abbrev=False,  # what is short today is ambiguous with the next flag
        description="Run the scripts of hooks.yaml for what is posted to its paths.",
        epilog=EXAMPLES + "\n" + SETTINGS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("verb", nargs="?", default="serve", metavar="VERB",
                        help="serve (the default), check or senders")  # fmt: skip
    parser.add_argument("names", nargs="*", metavar="NAME", help="of senders: which to tell of")
    parser.add_argument("--version", action="version", version=f"hookrunner {VERSION}")
    parser.add_argument("--config", metavar="PATH", help="the hooks.yaml to use")
    parser.add_argument("--data", metavar="DIR", help="where runs are kept; default var/")
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
    return parser


def _config(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Path:
    return Path(arguments.config or environ.get("HOOKS") or "hooks.yaml")


def _number(
    flag: str | None, environ: Mapping[str, str], name: str, default: int, least: int, most: int
) -> int:
    given = flag or environ.get(name) or str(default)
    if not re.fullmatch(r"[0-9]{1,9}", given) or not least <= int(given) <= most:
        where = f"--{name.lower()}" if flag else name
        raise Trouble(f"{where} must be a whole number from {least} to {most}, not {_brief(given)}")
    return int(given)


def _with_dotenv(config: Path, environ: Mapping[str, str]) -> Mapping[str, str]:
    """The environment, and what the .env beside hooks.yaml adds; it is judged with the file."""
    from hookrunner import envfile

    return {**envfile.read(config.absolute().parent / ".env", []), **environ}


def _seconds(flag: str | None, environ: Mapping[str, str], name: str, default: str) -> float:
    given = str(flag or environ.get(name) or default)
    where = f"--{name.lower()}" if flag else name
    try:
        seconds = units.duration(given if given[-1:].isalpha() else f"{given}s")
    except ValueError:
        raise Trouble(f"{where} must be a time such as 26s, not {_brief(given)}") from None
    if not SHORTEST <= seconds <= LONGEST:
        within = f"from {units.show_duration(SHORTEST)} to {units.show_duration(LONGEST)}"
        raise Trouble(f"{where} must be {within}, not {_brief(given)}")
    return seconds


def _log_format(environ: Mapping[str, str]) -> Format:
    from hookrunner.log import FORMATS

    given = environ.get("LOG_FORMAT") or "text"
    for known in FORMATS:
        if given == known:
            return known
    raise Trouble(f"LOG_FORMAT must be text, logfmt or json, not {_brief(given)}")


def _trusted(environ: Mapping[str, str], read: Callable[[str], Networks], default: str) -> Networks:
    given = environ.get("FORWARDED_ALLOW", default)
    try:
        return read(given)
    except ValueError:
        raise Trouble(
            f"FORWARDED_ALLOW must be *, or addresses such as 10.0.0.0/8,127.0.0.1, "
            f"not {_brief(given)}"
        ) from None


def _row(hook: Hook) -> tuple[str, ...]:
    answers: str = hook.respond.mode
    if hook.respond.wait:
        answers += f", waits {units.show_duration(hook.respond.wait)}"
    return (
        hook.path,
        ",".join(hook.methods),
        ", ".join(dict.fromkeys(scheme.name for scheme in hook.auth)) or "everybody",
        hook.script.name,
        answers,
        "off" if hook.missing else "on",
    )


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    spread = (zip(row, widths, strict=True) for row in rows)
    _print_lines(["  ".join(cell.ljust(width) for cell, width in row).rstrip() for row in spread])


def _print_lines(lines: Sequence[str]) -> None:
    try:
        for line in lines:
            print(line)
        print(end="", flush=True)
    except OSError as error:
        # Python flushes once more when it ends, and would fail with a traceback of its own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise Trouble(f"the hooks cannot be shown: {error.strerror}") from None


def _complain(lines: Sequence[str]) -> None:
    with suppress(OSError):  # there is nobody left to be told
        for line in lines:
            print(line, file=sys.stderr)


def _brief(given: str) -> str:
    return repr(given) if len(given) <= 60 else f"{given[:60]!r}…"
