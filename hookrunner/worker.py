"""The second half of a run's life: claim it, launch its script, settle.

Every worker thread does one thing, for ever:

    journal.claim -> launcher.run -> journal.settle

It may die between any two of those arrows. Then the run is claimed again, so a script
can meet the same payload twice; HOOK_ATTEMPT tells it so. Nothing here knows of HTTP,
YAML or SQL.
"""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from hookrunner import payload
from hookrunner.config import Config
from hookrunner.log import Log, place_of
from hookrunner.model import (
    Claim,
    Facts,
    Hook,
    JournalUnavailable,
    NewRun,
    Outcome,
    Refused,
    State,
    Why,
)
from hookrunner.payload import Payload
from hookrunner.seams import Journal, Launcher, Start
from hookrunner.units import show_duration

IDLE = 5.0
"""Seconds between two looks at the journal when nobody calls."""

ALWAYS_PASSED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_[A-Z]+|TZ|TERM|DYNO|"
    r"PYTHONHOME|PYTHONPATH|LD_LIBRARY_PATH|LIBRARY_PATH|VIRTUAL_ENV|"
    r"SSL_CERT_FILE|SSL_CERT_DIR"
)
"""What a program needs to run at all, whatever `pass_env` names."""


class Workers:
    """`slots` threads that carry out runs. `config` may be replaced at any time."""

    def __init__(
        self,
        config: Config,
        journal: Journal,
        launcher: Launcher,
        log: Log,
        folder: Path,
        slots: int,
    ) -> None:
        """`folder` is where each attempt gets a folder of its own."""
        self.config = config
        self.journal = journal
        self.launcher = launcher
        self.log = log
        self.folder = folder
        self.stopping = threading.Event()
        self.threads = [
            threading.Thread(target=self._work, name=f"worker-{n}", daemon=True)
            for n in range(slots)
        ]

    def start(self) -> None:
        """Begin to claim; what a process before us left of its folders is removed first."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, mode=0o700)
        for thread in self.threads:
            thread.start()

    def stop_claiming(self) -> None:
        """Finish what runs and claim nothing more."""
        self.stopping.set()
        self.journal.wake_workers()

    def join(self, timeout: float) -> bool:
        """Wait for the last attempt to be settled, `timeout` seconds at most; True if it is."""
        end = time.monotonic() + timeout
        for thread in self.threads:
            thread.join(max(end - time.monotonic(), 0))
        return not any(thread.is_alive() for thread in self.threads)

    def _work(self) -> None:
        while not self.stopping.is_set():
            try:
                claim = self.journal.claim(self._served())
                if claim is None:
                    self.journal.await_due(IDLE)
                else:
                    self._attempt(claim)
            except JournalUnavailable as error:
                self.log.error(f"the journal is unavailable: {error}; trying again")
                self.stopping.wait(1.0)
            except Exception as error:  # a slot that is lost would be missed for ever
                self.log.error(f"bug: {place_of(error)}; please report it")
                self.stopping.wait(1.0)

    def _served(self) -> list[str]:
        return [path for path, hook in self.config.hooks.items() if not hook.missing]

    def _attempt(self, claim: Claim) -> None:
        config = self.config
        hook = config.hooks.get(claim.new.hook)
        if hook is None:
            outcome = Outcome(State.FAILED, Why.LOST_HOOK, detail="its path left hooks.yaml")
        else:
            outcome = self._run(claim, hook, config)
        if outcome.why is Why.INTERRUPTED:
            self.journal.hand_back(claim)
            self._say(claim, "interrupted; it is run again at the next start")
            return
        if not self.journal.settle(claim, outcome):
            self._say(claim, "ended too late to count: another attempt has begun")
            return
        self._say(claim, f"{outcome.state} in {show_duration(outcome.seconds)}: {outcome}")

    def _run(self, claim: Claim, hook: Hook, config: Config) -> Outcome:
        folder = self.folder / f"{claim.run_id}.{claim.attempt}"
        listener = self.log.script(claim.run_id, hook.path)
        try:
            start = prepare(claim, hook, config, folder)
            return self.launcher.run(start, listener.feed)
        except Refused as error:
            # It was taken in under another hooks.yaml, and today's cannot read it.
            return Outcome(State.FAILED, Why.NOT_STARTED, detail=f"not started: {error.told}")
        except OSError as error:
            told = f"not started: {error.filename or folder}: {error.strerror}"
            return Outcome(State.FAILED, Why.NOT_STARTED, detail=told)
        except Exception as error:
            self.log.error(f"bug: {place_of(error)}; please report it")
            told = "not started: an error of the runner's; it has been logged"
            return Outcome(State.FAILED, Why.NOT_STARTED, detail=told)
        finally:
            listener.end()
            shutil.rmtree(folder, ignore_errors=True)

    def _say(self, claim: Claim, what: str) -> None:
        hook = claim.new.hook
        self.log.info(f"{claim.run_id} {hook} {what}", run=claim.run_id, hook=hook)


def prepare(claim: Claim, hook: Hook, config: Config, folder: Path) -> Start:
    """Make the attempt's folder, and everything that the script gets. Raises OSError, Refused."""
    new = claim.new
    if not hook.script.is_file():
        raise FileNotFoundError(2, "the file is gone", hook.script.name)
    folder.mkdir(mode=0o700)
    parsed = payload.parse(
        new.method, new.content_type, new.query, new.body, hook.schema, str(folder)
    )
    _write_files(new, parsed, folder)
    facts = Facts(parsed.value, payload.query_fields(new.query), new.headers, new.params)
    return Start(
        run_id=claim.run_id,
        command=(*hook.command, *(_clean(arg.fill(facts)) for arg in hook.args)),
        env=environment(claim, hook, config, facts, folder),
        cwd=config.root,
        stdin=parsed.stdin,
        timeout=hook.timeout,
        max_output=hook.max_output,
        memory=hook.memory,
        shield=hook.shield,
    )


def environment(
    claim: Claim, hook: Hook, config: Config, facts: Facts, folder: Path
) -> dict[str, str]:
    """The script's environment: config vars it may see, the hook's `env`, ours."""
    new = claim.new
    env = passed(config.environ, hook.pass_env, config.secret_names)
    if hook.command[0] != str(hook.script) and hook.script.suffix == ".py":
        env["PYTHONUNBUFFERED"] = "1"
    env |= {name: _clean(text.fill(facts)) for name, text in hook.env.items()}
    return env | {
        "TMPDIR": str(folder),
        "HOOK_PATH": hook.path,
        "HOOK_RUN": claim.run_id,
        "HOOK_ATTEMPT": str(claim.attempt),
        "HOOK_METHOD": new.method,
        "HOOK_CONTENT_TYPE": _clean(new.content_type),
        "HOOK_DELIVERY": _clean(new.delivery_id),
        "HOOK_EVENT": _clean(new.event),
        "HOOK_REMOTE_ADDR": new.remote_addr,
        "HOOK_REQUEST_FILE": str(folder / "request.json"),
    }


def passed(
    environ: Mapping[str, str], names: tuple[str, ...] | None, secret_names: frozenset[str]
) -> dict[str, str]:
    """The config vars that a script may see: those named, or all; secrets never."""
    return {
        name: value
        for name, value in environ.items()
        if name not in secret_names
        and (names is None or name in names or ALWAYS_PASSED.fullmatch(name))
    }


def _write_files(new: NewRun, parsed: Payload, folder: Path) -> None:
    for upload in parsed.uploads:
        Path(upload.path).write_bytes(upload.data)
    request = {
        "method": new.method,
        "path": new.path,
        "query": payload.query_fields(new.query),
        "headers": dict(new.headers),
    }
    (folder / "request.json").write_text(
        json.dumps(request, ensure_ascii=False), "utf-8", "replace"
    )


def _clean(text: str) -> str:
    """A text that an environment can hold: half a surrogate pair has no UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")
