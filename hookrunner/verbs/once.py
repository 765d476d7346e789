"""Run a script once, here and now, on a stored payload or a file: to develop it."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hookrunner import files, jsontext, telling
from hookrunner.config import Config
from hookrunner.intake import check, parse
from hookrunner.model import Claim, Delivery, Hook, Json, NewRun, Refused, Trouble
from hookrunner.seams import Start
from hookrunner.verbs import terminal
from hookrunner.verbs.context import brief, context
from hookrunner.verbs.source import add_url, find, source
from hookrunner.worker import prepare

EXAMPLES = """
  python runner.py try k3x9                          the script of that run's hook
  python runner.py try k3x9 enrol.py                 another script of scripts/, on its payload
  python runner.py try --file payload.json enrol.py  on a payload of your own
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", metavar="ID | SCRIPT", nargs="*", help="a run, and a script")
    parser.add_argument("--file", metavar="FILE", help="the payload, in place of a run's")
    add_url(parser)


def run(arguments: argparse.Namespace, given: Mapping[str, str]) -> int:
    project = context(arguments, given)
    config = project.load()
    words = list(arguments.what)
    if arguments.file is None:
        if not 1 <= len(words) <= 2:
            raise Trouble("name a run, and a script if it is not its hook's: try ID [SCRIPT]")
        if _is_script(words[0], config):
            raise Trouble(
                f"{brief(words[0])} is a script; say on which payload: try ID {words[0]}, or "
                f"try --file payload.json {words[0]}"
            )
        runs = source(arguments, project)
        new = _stored(runs.whole(find(runs, words[0]), exact=True))
        hook = config.hooks.get(new.hook)
        if hook is None and len(words) < 2:
            raise Trouble(f"its path, {new.hook}, is not in hooks.yaml any more; name a script")
        script = _script(config, words[1]) if len(words) == 2 else None
        hook = hook or _hook_of(config, script)
    else:
        if len(words) != 1:
            raise Trouble("name the script: try --file payload.json SCRIPT")
        script = _script(config, words[0])
        hook = _hook_of(config, script)
        new = _of_file(Path(arguments.file), hook)
    if script:
        hook = replace(hook, script=script, command=files.command(script))
    _say_misfits(hook, new)
    return _run(hook, new, config)


def _script(config: Config, name: str) -> Path:
    try:
        path = files.Folder(config.root / "scripts").find(_inside(name))
    except files.NoFile as error:
        raise Trouble(str(error)) from None
    if told := list(files.faults(path, f"scripts/{path.name}")):
        raise Trouble("\n".join(told))
    return path


def _inside(name: str) -> str:
    """The name of a script as hooks.yaml has it, of one as a shell completes it."""
    return name.removeprefix("./").removeprefix("scripts/")


def _is_script(word: str, config: Config) -> bool:
    """True if the word names a script; no id has a dot, nor a slash."""
    named = "." in word or "/" in word
    return named and (config.root / "scripts" / _inside(word)).is_file()


def _hook_of(config: Config, script: Path | None) -> Hook:
    """The hook that runs this script; or if none does, one that asks for nothing."""
    for hook in config.hooks.values():
        if hook.script == script:
            return hook
    some = next(iter(config.hooks.values()))
    return replace(some, path="/try", schema=None, args=(), env={}, pass_env=None, memory=None)


def _stored(whole: Mapping[str, Json]) -> NewRun:
    request = whole["request"]
    return NewRun(
        hook=whole["hook"],
        method=request["method"],
        path=request["path"],
        params=request["params"],
        query=request["query"],
        headers=request["headers"],
        content_type=request["content_type"],
        body=telling.body_of(request["body"]),
        remote_addr=request["remote_addr"],
        delivery_id=whole["delivery"],
        event=whole["event"],
    )


def _of_file(path: Path, hook: Hook) -> NewRun:
    try:
        body = path.read_bytes()
    except OSError as error:
        raise Trouble(f"{path} cannot be read: {error.strerror}") from None
    try:
        jsontext.read(body)
    except Refused as refused:
        raise Trouble(f"{path}: {refused.told}") from None
    return NewRun(
        hook=hook.path,
        method="POST",
        path=hook.path,
        params={},
        query="",
        headers={},
        content_type="application/json",
        body=body,
        remote_addr="127.0.0.1",
    )


def _say_misfits(hook: Hook, new: NewRun) -> None:
    """Say what the server would have refused; the script may be tried on it all the same."""
    headers = {**new.headers, "content-type": new.content_type}
    delivery = Delivery(new.method, new.path, new.query, headers, new.body, new.remote_addr)
    try:
        check(hook, delivery, new.params, parse(hook, delivery))
    except Refused as refused:
        if not refused.errors:
            raise Trouble(refused.told) from None
        terminal.complain(
            f"the payload does not fit the schema: {each.pointer or '(whole)'}: {each.detail}"
            for each in refused.errors
        )


def _run(hook: Hook, new: NewRun, config: Config) -> int:
    claim = Claim("try", 0, 1, new)
    never = (float("inf"), float("inf"))
    with tempfile.TemporaryDirectory(prefix="hookrunner-try-") as outer:
        folder = Path(outer) / "run"
        try:
            start = prepare(claim, hook, config, folder, never)
        except FileNotFoundError as error:
            raise Trouble(f"scripts/{error.filename}: {error.strerror}") from None
        folder.mkdir(exist_ok=True)
        (folder / "request.json").write_bytes(start.request)
        return _see_through(start)


def _see_through(start: Start) -> int:
    """The script, with what it prints going where ours goes; 1 if it fails."""
    began = time.monotonic()
    process = subprocess.Popen(
        start.command, cwd=start.cwd, env=dict(start.env), stdin=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    try:
        process.communicate(start.stdin, timeout=start.timeout)
        told = f"exit {process.returncode}"
        if process.returncode < 0:
            told = f"signal {-process.returncode} ({signal.Signals(-process.returncode).name})"
    except subprocess.TimeoutExpired:
        told = f"timed out after {start.timeout:g}s"
    finally:
        with suppress(ProcessLookupError):  # and what it has left running
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    sys.stdout.flush()
    terminal.complain([f"{told} in {time.monotonic() - began:.3g}s"])
    return int(process.returncode != 0)
