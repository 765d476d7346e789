"""The thin script that starts a command which lies elsewhere, as webhook would have.

Bash where arguments and variables suffice; Python where the request as a whole is wanted, or
files. In the Python one all that webhook passes is taken from the request there, so
hooks.yaml has neither `args` nor `env`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hookrunner.moving.conditions import CannotSay
from hookrunner.moving.foreign import Argument

REQUEST = {"method": "HOOK_METHOD", "remote-addr": "HOOK_REMOTE_ADDR"}
"""What the source `request` has, by our own variables."""

WHOLE = ("entire-headers", "entire-query", "raw-request-body")
"""Sources that no template of hooks.yaml can name."""

BASH = """\
#!/usr/bin/env bash
# Starts what webhook started for its hook {id}; written by `runner.py import`.
{lines}
"""

PYTHON = '''\
"""Starts what webhook started for its hook {id}; written by `runner.py import`."""

import base64
import json
import os
import subprocess
import sys

with open(os.environ["HOOK_REQUEST_FILE"], encoding="utf-8") as stream:
    request = json.load(stream)
body = sys.stdin.buffer.read()
payload = json.loads(body) if request["method"] != "GET" else {{}}


def text(value):
    """A value as webhook passes it on: text bare, anything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def at(name):
    """What a dotted name leads to in the payload."""
    value = payload if isinstance(payload, dict) else {{"root": payload}}
    while isinstance(value, dict | list):
        if isinstance(value, dict) and name in value:
            return text(value[name])
        first, dot, name = name.partition(".")
        if isinstance(value, dict):
            value = value.get(first)
        else:
            value = value[int(first)] if first.isdigit() and int(first) < len(value) else None
        if not dot:
            return text(value)
    return ""


def headers():
    """All headers but credentials, as JSON."""
    found = request["headers"].items()
    return text({{"-".join(map(str.capitalize, name.split("-"))): value for name, value in found}})


def query():
    """The query as JSON, of a repeated field the first."""
    fields = request["query"].items()
    return text({{name: value[0] if isinstance(value, list) else value for name, value in fields}})


def decoded(value):
    """The bytes that base64 stands for; none if it is not base64."""
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        print("what was to be a file is not base64", file=sys.stderr)
        return b""


def file(name, data):
    """A file in the attempt's own folder, which is removed with it."""
    path = os.path.join(os.environ["TMPDIR"], name)
    with open(path, "wb") as stream:
        stream.write(data)
    return path


env = dict(os.environ)
{lines}
'''


@dataclass(frozen=True, slots=True)
class Errand:
    """What is to be started, and how. `given` has the variables of hooks.yaml for those that
    only the script can set."""

    id: str
    command: str
    directory: str
    args: Sequence[Argument]
    env: Sequence[tuple[str, Argument]]
    files: Sequence[tuple[str, Argument]]
    given: Mapping[str, str]
    both: bool = False
    """stderr goes where stdout does."""

    fails_as_one: bool = False
    """Whatever exit status it fails with is 1."""


def needs_python(arguments: Sequence[Argument], files: Sequence[Argument]) -> bool:
    """True if templates and Bash do not get at what is to be passed."""
    return bool(files) or any(each.source in WHOLE for each in arguments)


def bash(errand: Errand) -> str:
    """The script in Bash."""
    lines = [f"cd {shlex.quote(errand.directory)} || exit 1"] if errand.directory else []
    sets = [f'{shlex.quote(name)}="${_variable(name, a, errand)}"' for name, a in errand.env]
    words = ["env", *sets] if sets else []
    words += [shlex.quote(errand.command), *_words(errand.args), "< /dev/null"]
    words += ["2>&1"] if errand.both else []
    line = " ".join(words)
    lines.append(f"{line} || exit 1" if errand.fails_as_one else f"exec {line}")
    return BASH.format(id=errand.id, lines="\n".join(lines))


def _variable(name: str, argument: Argument, errand: Errand) -> str:
    if argument.source == "request":
        return requested(argument)
    return errand.given[name]


def _words(args: Sequence[Argument]) -> list[str]:
    if not args:
        return []
    if not any(each.source == "request" for each in args):
        return ['"$@"']
    words, number = [], 0
    for each in args:
        if each.source == "request":
            words.append(f'"${requested(each)}"')
        else:
            number += 1
            words.append(f'"${{{number}}}"')
    return words


def requested(argument: Argument) -> str:
    """The variable of ours for a value of the source `request`. Raises CannotSay."""
    try:
        return REQUEST[argument.name.lower()]
    except KeyError:
        raise CannotSay(f"the request's {argument.name!r}, which webhook does not know") from None


def python(errand: Errand) -> str:
    """The script in Python."""
    lines = [f"env[{name!r}] = {_expression(each)}" for name, each in errand.env]
    for name, each in errand.files:
        data = f"decoded({_expression(each)})" if each.base64 else _data(each)
        lines.append(f"env[{name!r}] = file({name!r}, {data})")
    words = "".join(f", {_expression(each)}" for each in errand.args)
    lines += [f"command = [{errand.command!r}{words}]"]
    lines += [f"os.chdir({errand.directory!r})"] if errand.directory else []
    lines += ["os.dup2(os.open(os.devnull, os.O_RDONLY), 0)"]
    lines += ["os.dup2(1, 2)"] if errand.both else []
    if errand.fails_as_one:
        lines.append(
            "sys.exit(1 if subprocess.run(command, env=env, check=False).returncode else 0)"
        )
    else:
        lines.append("os.execvpe(command[0], command, env)")
    return PYTHON.format(id=errand.id, lines="\n".join(lines))


def _data(argument: Argument) -> str:
    if argument.source == "raw-request-body":
        return "body"
    return f"{_expression(argument)}.encode()"


def _expression(argument: Argument) -> str:
    source, name = argument.source, argument.name
    known = {
        "header": f"request['headers'].get({name.lower()!r}, '')",
        "url": f"text(request['query'].get({name!r}))",
        "query": f"text(request['query'].get({name!r}))",
        "payload": f"at({name!r})",
        "string": repr(name),
        "raw-request-body": "body.decode('utf-8', 'replace')",
        "entire-payload": "text(payload)",
        "entire-headers": "headers()",
        "entire-query": "query()",
    }
    if source == "request":
        return f"os.environ[{requested(argument)!r}]"
    return known[source]
