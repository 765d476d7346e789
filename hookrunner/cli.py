"""The command line: which verb is meant, what it takes, and how it ends.

Exit status: 0 done, 1 the user can mend it, 2 wrong usage, 3 our bug; 130 and 141 are those of
shells for Ctrl-C and for a pipe that nobody reads from.
"""

from __future__ import annotations

import argparse
import os
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import NoReturn

from hookrunner import VERSION
from hookrunner.model import BadConfig, JournalUnavailable, Trouble
from hookrunner.sections import hint
from hookrunner.verbs.context import brief
from hookrunner.verbs.terminal import complain

SERVE = "serve"

VERBS: Mapping[str, str] = {
    SERVE: "serve hooks.yaml (the default): record, and run",
    "web": "record, and show the pages; with PostgreSQL",
    "worker": "run what others record; with PostgreSQL",
    "migrate": "bring the tables in PostgreSQL up to date",
    "check": "say what is wrong with hooks.yaml, or show its hooks",
    "new": "add a hook: its entry, a script to begin with, a schema from a sample",
    "import": "take over the hooks of adnanh/webhook",
    "senders": "what to paste where, for every sender that auth: knows",
    "form": "print the Apps Script that sends a Google Form's answers to a hook",
    "send": "post to a hook as its sender would, and show what comes of it",
    "try": "run a script once on a stored payload, without a server",
    "runs": "list runs, newest first",
    "show": "all of a run: its payload, its attempts, what they printed",
    "logs": "what scripts have printed; --follow, as they print it",
    "replay": "do runs again",
    "cancel": "end runs that are queued or running",
    "prune": "forget old runs",
}
"""The verbs, each a module of `hookrunner.verbs`, which is imported when it is asked for."""

MODULES = {"try": "once", "import": "import_"}
"""The modules of verbs whose names are words of Python's."""

SETTINGS = """each setting can also be an environment variable: HOOKS (--config), DATA_DIR (--data),
HOST, PORT, THREADS, SLOTS, GRACE, LEASE, and METRICS_PORT of a worker; JOURNAL_URL, else
DATABASE_URL, is the PostgreSQL database that has the journal, in place of a file;
LOG_FORMAT=text|logfmt|json; FORWARDED_ALLOW lists trusted proxies; ADMIN_TOKEN lets runs be
listed, replayed and cancelled. A flag wins over the environment."""

TAKES_VALUE = frozenset(
    {
        "--config",
        "--data",
        "--host",
        "--port",
        "--metrics-port",
        "--threads",
        "--slots",
        "--grace",
        "--lease",
        "--hooks",
    }
)
"""Flags that may stand before the verb with a value after them."""


def main(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Do what the command line says; return the exit status."""
    try:
        verb, rest = _split(argv)
        module = import_module(f"hookrunner.verbs.{MODULES.get(verb, verb)}")
        return int(module.run(_arguments(verb, module, rest), environ))
    except BadConfig as error:
        complain(error.problems)
        return 1
    except Trouble as error:
        complain([str(error)])
        return 1
    except JournalUnavailable as error:
        complain([f"the journal is unavailable: {error}"])
        return 1
    except ModuleNotFoundError as error:
        complain(
            [f"{error.name} is not installed; pip install -r requirements.txt, or use make run"]
        )
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # as `head` does to whoever it has read enough of
        return 141
    except Exception:
        traceback.print_exc()
        complain(["this is a bug of hookrunner's; please report it with the lines above"])
        return 3


def _split(argv: Sequence[str]) -> tuple[str, list[str]]:
    """The verb, and all other arguments; flags may stand before it."""
    place = 0
    while place < len(argv) and argv[place].startswith("-"):
        place += 2 if argv[place] in TAKES_VALUE else 1
    if place >= len(argv):
        return SERVE, list(argv)
    if argv[place] not in VERBS:
        _refuse(argv, place)
    return argv[place], [*argv[:place], *argv[place + 1 :]]


def _refuse(argv: Sequence[str], place: int) -> NoReturn:
    """Say that what stands there is no verb; ends the program with 2."""
    parser = argparse.ArgumentParser(prog="runner.py", usage="runner.py [VERB] [--flags]")
    if place and "=" not in argv[place - 1]:
        # Of `--prot 8080` one must not say that 8080 is no verb.
        parser.error(f"unrecognized arguments: {' '.join(argv[place - 1 : place + 1])}")
    meant = hint(argv[place], VERBS) or f"; there are {', '.join(VERBS)}"
    parser.error(f"there is no verb {brief(argv[place])}{meant}")


def _arguments(verb: str, module: ModuleType, rest: list[str]) -> argparse.Namespace:
    serves = verb == SERVE
    parser = argparse.ArgumentParser(
        prog="runner.py" if serves else f"runner.py {verb}",
        usage=None if not serves else "runner.py [VERB] [--flags]",
        allow_abbrev=False,  # what is short today is ambiguous with the next flag
        description=module.__doc__ if not serves else HEAD,
        epilog=_epilog(module, serves=serves),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        conflict_handler="resolve",  # to `send`, --data is the payload, as it is to curl
    )
    parser.set_defaults(data=None)
    parser.add_argument("--version", action="version", version=f"hookrunner {VERSION}")
    parser.add_argument("--config", metavar="PATH", help="the hooks.yaml to use")
    parser.add_argument("--data", metavar="DIR", help="where runs are kept; default var/")
    module.add_arguments(parser)
    return parser.parse_args(rest)


HEAD = "Run the scripts of hooks.yaml for what is posted to its paths.\n\nverbs:\n" + "\n".join(
    f"  {verb.ljust(9)} {told}" for verb, told in VERBS.items()
)


def _epilog(module: ModuleType, *, serves: bool) -> str:
    examples = f"examples:\n{module.EXAMPLES.strip(chr(10))}\n"
    if not serves:
        return examples
    more = "  python runner.py check            is all well?\n"
    return f"{examples}{more}  python runner.py VERB --help      of another verb\n\n{SETTINGS}"
