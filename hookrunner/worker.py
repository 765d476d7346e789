"""The second half of a run's life: claim it, launch its script, decide, settle.

On the loop's thread, for each of `slots` runs at once:

    journal.claim_soon -> launcher.start -> retry.delay -> journal.settle_soon

The process may die between any two of those arrows. Then the run's lease lapses and it is
claimed again, so a script can meet the same payload twice; HOOK_ATTEMPT tells it so. A
thread, the keeper, renews leases, shows what long attempts have printed so far, tells of
failures, and forgets old runs. Nothing here knows of HTTP, YAML or SQL.
"""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hookrunner import form, payload, retry
from hookrunner.config import Config
from hookrunner.counts import LONG, Count, DurationsBy
from hookrunner.imports import Imports, imports_of
from hookrunner.log import Log, place_of
from hookrunner.loop import Loop, Step
from hookrunner.model import (
    Claim,
    Facts,
    Hook,
    JournalUnavailable,
    NewRun,
    Outcome,
    Refused,
    Run,
    State,
    Terms,
    Why,
)
from hookrunner.seams import Emit, Ended, Journal, Launcher, Ready, Secrets, Start
from hookrunner.units import show_duration

IDLE = 5.0
"""Seconds that a slot waits for a run before it is looked whether hooks.yaml has changed."""

AGAIN = 1.0
"""Seconds after which a journal that was unavailable is asked once more."""

TELL_EVERY = 15.0
"""Seconds between two lines of the log that say so."""

QUICK_BODY = 64 * 1024
"""Bytes of a body that are made ready for a script in no time worth mentioning."""

BEAT = 1.0
"""Seconds between two rounds of the keeper; shorter where the lease is."""

RENEWALS = 6
"""How often a lease is renewed before it would have ended."""

TERM_AT, KILL_AT = 80 / 90, 85 / 90
"""Parts of a lease after which its script gets TERM, and KILL: of 90 s, the last ten."""

PRUNE_EVERY = 60.0
PRUNE_AT_ONCE = 500
"""Runs forgotten in one transaction: more would hold up deliveries."""

ON_FAILURE = "on_failure "
"""Before a hook's path, the name under which its `on_failure` script has runs of its own."""

ALWAYS_PASSED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_[A-Z]+|TZ|TERM|DYNO|"
    r"PYTHONHOME|PYTHONPATH|LD_LIBRARY_PATH|LIBRARY_PATH|VIRTUAL_ENV|"
    r"SSL_CERT_FILE|SSL_CERT_DIR"
)
"""What a program needs to run at all, whatever `pass_env` names."""


READ_AT_START = re.compile(
    r"PYTHON.*|LC_.*|LANG|LANGUAGE|LD_.*|MALLOC_.*|GLIBC_.*|"
    r"OMP_.*|OPENBLAS_.*|MKL_.*|NUMEXPR_.*|MPLBACKEND"
)
"""What Python, or a module as it is imported, reads and keeps: a hook whose `env` sets any
of it has its script started cold."""


@dataclass(eq=False)
class _Attempt:
    """A claim that this process is working on."""

    claim: Claim
    hook: Hook | None
    began: float
    shown: int = 0
    """Bytes of output that the journal has been shown."""

    is_told: bool = False
    """That its script has been told to end."""

    unwatch: Step | None = None
    """Ends our hearing of its end, if that was somebody else's doing."""


class Workers:
    """Carries out runs, `slots` at once. `config` may be replaced at any time."""

    def __init__(
        self,
        loop: Loop,
        config: Config,
        journal: Journal,
        launcher: Launcher,
        log: Log,
        folder: Path,
        slots: int,
        lease: float = 90.0,
        only: Collection[str] = (),
    ) -> None:
        """`folder` is where each attempt gets a folder of its own; `lease` is in seconds.

        With `only`, the runs of other hooks are left to others.
        """
        self.loop = loop
        self.config = config
        self.journal = journal
        self.launcher = launcher
        self.log = log
        self.folder = folder
        self.slots = slots
        self.lease = lease
        self.only = only
        self.stopping = threading.Event()
        self.finished = threading.Event()
        self.ended = threading.Event()
        self.nudged = threading.Event()
        self.attempts: dict[str, _Attempt] = {}
        self.ended_runs, self.failed_attempts, self.told = Count(), Count(), Count()
        """By hook and state, by hook and why; the runs recorded to tell of a failure, by hook."""

        self.waited, self.took = DurationsBy(LONG), DurationsBy(LONG)
        """Seconds from recording to start, and of the scripts; by hook."""

        self.doubtful: deque[_Attempt] = deque()
        """Attempts of which somebody has said that they have ended."""

        self.looking = 0
        self.told_at: float | None = None
        """When it was last said that the journal is unavailable; None if it is not."""

        self.known_hooks: tuple[Config, dict[str, Terms]] | None = None
        self.keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)

    def start(self) -> None:
        """Begin to claim; what a process before us left of its folders is removed first."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, mode=0o700)
        self.keeper.start()
        self.loop.soon(self._look)

    def stop_claiming(self) -> None:
        """Finish what runs and claim nothing more."""
        self.stopping.set()
        self.journal.wake_workers(for_good=True)
        self.loop.soon(self._look)

    def join(self, timeout: float) -> bool:
        """Wait for the last attempt to be settled, `timeout` seconds at most; True if it is."""
        if not self.finished.wait(timeout):
            return False
        self.ended.set()
        self.nudged.set()
        return True

    def cancel(self, run_id: str) -> None:
        """End a run's script if it runs here; the journal has it as cancelled already."""
        self.loop.soon(lambda: self._end(self.attempts.get(run_id)))

    def _look(self) -> None:
        """Ask for as many runs as there are free slots."""
        if self.stopping.is_set():
            if not self.looking and not self.attempts:
                self.finished.set()
            return
        while self.looking + len(self.attempts) < self.slots:
            self.looking += 1
            self.journal.claim_soon(
                self._served(),
                self.lease,
                self.attempts,
                IDLE,
                lambda claim: self.loop.soon(lambda: self._got(claim)),
            )

    def _served(self) -> dict[str, Terms]:
        """The same mapping for the same configuration: the journal need not look at it anew."""
        if self.known_hooks is None or self.known_hooks[0] is not self.config:
            self.known_hooks = self.config, served(self.config, self.only)
        return self.known_hooks[1]

    def _got(self, claim: Claim | JournalUnavailable | None) -> None:
        self.looking -= 1
        if isinstance(claim, JournalUnavailable):
            self._say_unavailable(claim)
            self.loop.after(AGAIN, self._look)
            return
        self._say_available()
        if claim is not None:
            self._begin(claim, self.config)
        self._look()

    def _begin(self, claim: Claim, config: Config) -> None:
        hook = config.hooks.get(claim.new.hook.removeprefix(ON_FAILURE))
        attempt = self.attempts[claim.run_id] = _Attempt(claim, hook, time.monotonic())
        if claim.attempt > 1:
            self._say(claim, f"attempt {claim.attempt} begins")
        if hook is None:
            lost = Outcome(State.FAILED, Why.LOST_HOOK, detail="its path left hooks.yaml")
            self._settle(attempt, lost)
            return
        if len(claim.new.body) <= QUICK_BODY:
            self._make_ready(attempt, hook, config)()
            return

        def make_ready() -> None:
            self.loop.soon(self._make_ready(attempt, hook, config))

        # The loop is everybody's: what takes a while to read is read beside it.
        threading.Thread(target=make_ready, name="prepare", daemon=True).start()

    def _make_ready(self, attempt: _Attempt, hook: Hook, config: Config) -> Step:
        """Prepare what the script gets; the step that starts it, or says why it cannot be."""
        claim = attempt.claim
        folder = self.folder / f"{claim.run_id}.{claim.attempt}"
        try:
            lease = ends(claim.asked_at, self.lease)
            start = prepare(claim, hook, config, folder, lease, self.log.mask)
        except Refused as error:
            # It was taken in under another hooks.yaml, and today's cannot read it.
            told = error.told
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            told = f"{error.filename or folder}: {error.strerror}"
        except Exception as error:
            self.log.error(f"bug: {place_of(error)}; please report it")
            told = "an error of the runner's; it has been logged"
        else:
            listener = self.log.script(claim.run_id, claim.new.hook)

            def ended(outcome: Outcome) -> None:
                listener.end()
                self._settle(attempt, outcome)

            return partial(self._launch, claim, start, listener.feed, ended)
        return partial(self._settle, attempt, not_started(told))

    def _launch(self, claim: Claim, start: Start, emit: Emit, ended: Ended) -> None:
        if claim.attempt == 1:  # what comes later has waited for other things, too
            waited = claim.waited + time.monotonic() - claim.asked_at
            self.waited.add(claim.new.hook, waited)
        self.launcher.start(start, emit, ended)

    def _settle(self, attempt: _Attempt, outcome: Outcome) -> None:
        """Write down how it went, once the journal takes it: until then the lease protects it."""
        claim = attempt.claim
        if outcome.why is Why.INTERRUPTED:
            hand_back = partial(self._hand_back, attempt, outcome)
            # Beside the loop, which must not wait for a journal that is away.
            threading.Thread(target=hand_back, name="hand back", daemon=True).start()
            return
        again_in = self._retry_delay(claim, attempt.hook, outcome)
        self.journal.settle_soon(
            claim,
            outcome,
            lambda told: self.loop.soon(lambda: self._settled(attempt, outcome, again_in, told)),
            again_in=again_in,
        )

    def _hand_back(self, attempt: _Attempt, outcome: Outcome) -> None:
        claim = attempt.claim
        try:
            self._interrupted(claim, attempt.hook, outcome)
        except JournalUnavailable as unavailable:
            error = unavailable
            self.loop.soon(lambda: self._settle_later(attempt, outcome, error))
        else:
            self.loop.soon(lambda: self._done(claim))

    def _settled(
        self,
        attempt: _Attempt,
        outcome: Outcome,
        again_in: float | None,
        told: bool | JournalUnavailable,
    ) -> None:
        claim = attempt.claim
        if isinstance(told, JournalUnavailable):
            self._settle_later(attempt, outcome, told)
            return
        self._done(claim)
        self._count(claim.new.hook, outcome, ended=told and again_in is None)
        if not told:
            self._say(claim, "ended, and counts for nothing: it was cancelled, or begun again")
            return
        again = "" if again_in is None else f"; tried again in {show_duration(round(again_in, 1))}"
        took = show_duration(outcome.seconds)
        self._say(claim, f"{outcome.state} in {took}: {outcome}{again}")
        if outcome.state is State.FAILED and again_in is None:
            self.nudged.set()

    def _count(self, hook: str, outcome: Outcome, *, ended: bool) -> None:
        """An attempt has ended; and its run with it, perhaps."""
        if outcome.seconds and outcome.why is not Why.INTERRUPTED:
            self.took.add(hook, outcome.seconds)
        if outcome.state is State.FAILED and outcome.why:
            self.failed_attempts.add(hook, outcome.why.value)
        if ended:
            self.ended_runs.add(hook, outcome.state.value)

    def _settle_later(self, attempt: _Attempt, outcome: Outcome, error: JournalUnavailable) -> None:
        claim = attempt.claim
        self.log.error(
            f"{claim.run_id} {claim.new.hook} ended, but the journal is unavailable: "
            f"{error}; trying again",
            run=claim.run_id,
        )
        if not self.ended.is_set():
            self.loop.after(AGAIN, lambda: self._settle(attempt, outcome))

    def _done(self, claim: Claim) -> None:
        attempt = self.attempts.pop(claim.run_id)
        if attempt.unwatch:
            attempt.unwatch()
        self._look()

    def _retry_delay(self, claim: Claim, hook: Hook | None, outcome: Outcome) -> float | None:
        if hook is None or claim.new.hook.startswith(ON_FAILURE):
            return None
        return retry.delay(hook.retry, claim.failures + 1, outcome)

    def _interrupted(self, claim: Claim, hook: Hook | None, outcome: Outcome) -> None:
        if claim.new.hook.removeprefix(ON_FAILURE) not in self.config.hooks:
            lost = Outcome(State.FAILED, Why.LOST_HOOK, detail="cut off; its path left hooks.yaml")
            self.journal.settle(claim, lost)
            self._say(claim, str(lost))
            return
        rerun = hook is None or hook.retry.rerun
        counted = not self.stopping.is_set()
        state = self.journal.interrupt(claim, rerun=rerun, counted=counted)
        self._count(claim.new.hook, outcome, ended=state is State.FAILED)
        if state is State.QUEUED:
            self._say(claim, f"{outcome}; handed back, to be run again")
        elif state is State.FAILED:
            self._say(claim, f"{outcome}; it has failed for good, and is not run again")
            self.nudged.set()
        else:
            self._say(claim, f"{outcome}; it has been cancelled, or begun again")

    def _tell_of_failures(self) -> None:
        """Have each hook's `on_failure` script run for what has failed, however it did."""
        for run_id in self.journal.untold():
            new, run = self.journal.recorded(run_id), self.journal.run(run_id)
            hook = self.config.hooks.get(new.hook) if new else None
            if new is None or run is None or hook is None or not hook.on_failure:
                self.journal.tell(run_id, None)
            elif told := self.journal.tell(run_id, failure_run(run, new)):
                self.told.add(ON_FAILURE + hook.path)
                self.log.info(f"{told} {ON_FAILURE}{hook.path} accepted, to tell of {run_id}")

    def _keep(self) -> None:
        """Renew, show, prune; until the last attempt has ended."""
        beat = min(BEAT, self.lease / RENEWALS)
        renew_at, prune_at = time.monotonic() + self.lease / RENEWALS, time.monotonic()
        while not self.ended.is_set():
            self.nudged.wait(beat)
            self.nudged.clear()
            try:
                now = time.monotonic()
                if now >= renew_at:
                    self._renew()  # again and again, if it cannot be: scripts' lives hang on it
                    renew_at = now + self.lease / RENEWALS
                self._show()
                self._look_after_the_doubtful()
                self._tell_of_failures()
                if now >= prune_at and not self.stopping.is_set():
                    pruned = self.journal.prune(known(self.config), PRUNE_AT_ONCE)
                    prune_at = now + (PRUNE_EVERY if pruned < PRUNE_AT_ONCE else 0)
            except JournalUnavailable as error:
                self._say_unavailable(error)
                self.ended.wait(1.0)
            except Exception as error:
                self.log.error(f"bug: {place_of(error)}; please report it")
                self.ended.wait(1.0)

    def _renew(self) -> None:
        """Keep our leases; a run that is no longer ours loses its script."""
        attempts = list(self.attempts.values())
        if not attempts:
            return
        asked = time.monotonic()
        ours = self.journal.renew([attempt.claim for attempt in attempts], self.lease)
        for attempt in attempts:
            if attempt.claim.run_id in ours:
                self.launcher.extend(attempt.claim.run_id, ends(asked, self.lease))
            else:
                self.loop.soon(partial(self._end, attempt))

    def _show(self) -> None:
        """Let the journal have what attempts of some length have printed so far."""
        for attempt in list(self.attempts.values()):
            if time.monotonic() - attempt.began < BEAT:
                continue
            self._watch(attempt)
            printed = self.launcher.output(attempt.claim.run_id)
            if printed and (size := len(printed[0]) + len(printed[1])) != attempt.shown:
                attempt.shown = size
                self.journal.append(attempt.claim, *printed)

    def _watch(self, attempt: _Attempt) -> None:
        """Hear of it if somebody ends the run, on whatever machine.

        Not of a short one, of which this would be the most part; its lease tells at last.
        """
        if attempt.unwatch is None:
            run_id = attempt.claim.run_id

            def then(run: Run | None) -> None:
                self.doubtful.append(attempt)
                self.nudged.set()

            attempt.unwatch = partial(self.journal.unwatch, run_id, then)
            self.journal.watch(run_id, then)

    def _look_after_the_doubtful(self) -> None:
        """End the scripts of runs that somebody has ended, or taken from us."""
        while self.doubtful:
            attempt = self.doubtful[0]
            claim = attempt.claim
            run = self.journal.standing(claim.run_id)
            if run and run.state is State.RUNNING and run.attempt == claim.attempt:
                attempt.unwatch = None  # it was called for another reason, and is watched again
            else:
                self.loop.soon(partial(self._end, attempt))
            self.doubtful.popleft()

    def _end(self, attempt: _Attempt | None) -> None:
        """End an attempt's script, once, whoever says so: a second TERM could be mistaken."""
        if attempt is None or attempt.is_told:
            return
        run_id = attempt.claim.run_id
        if self.attempts.get(run_id) is attempt:  # not one that has begun since
            # One that is about to be started is told of by its lease, or whoever watches it.
            attempt.is_told = self.launcher.output(run_id) is not None
            self.launcher.cancel(run_id)

    def _say_unavailable(self, error: JournalUnavailable) -> None:
        """Once in a while: each slot asks for a run every second or so."""
        now = time.monotonic()
        if self.told_at is None or now - self.told_at > TELL_EVERY:
            self.told_at = now
            self.log.error(f"the journal is unavailable: {error}; trying again")

    def _say_available(self) -> None:
        if self.told_at is not None:
            self.told_at = None
            self.log.info("the journal is available again")

    def _say(self, claim: Claim, what: str) -> None:
        hook = claim.new.hook
        self.log.info(f"{claim.run_id} {hook} {what}", run=claim.run_id, hook=hook)


def served(config: Config, only: Collection[str] = ()) -> dict[str, Terms]:
    """The hooks that are switched on, and their `on_failure` scripts, as the journal has them.

    `only` those that it names, if it names any.
    """
    on = _on(config, only)
    return {hook.path: hook.terms for hook in on} | {
        ON_FAILURE + hook.path: Terms() for hook in on if hook.on_failure
    }


def known(config: Config) -> dict[str, Terms]:
    """The same with those that are switched off: their runs wait, and are not lost."""
    return {hook.path: hook.terms for hook in config.hooks.values()} | {
        ON_FAILURE + hook.path: Terms() for hook in config.hooks.values() if hook.on_failure
    }


def _on(config: Config, only: Collection[str]) -> list[Hook]:
    hooks = config.hooks.values()
    return [hook for hook in hooks if not hook.missing and (not only or hook.path in only)]


def standing_ready(config: Config, only: Collection[str] = ()) -> Ready:
    """The Python scripts that are to start warm, and what they import.

    Modules are imported once for all: with what every one of these scripts may see of the
    config vars, which is all of them unless a `pass_env` says otherwise.
    """
    hooks = _on(config, only)
    scripts: dict[Path, Imports] = {}
    env = passed(config.environ, None, config.secret_names)
    for hook in hooks:
        for command in (hook.command, hook.on_failure):
            if starts_warm(hook, command):
                script = Path(command[1])
                named = tuple((module, ()) for module in hook.preload)
                scripts[script] = named + imports_of(script)
                allowed = passed(config.environ, hook.pass_env, config.secret_names)
                env = {name: value for name, value in env.items() if name in allowed}
    return Ready(scripts, env, config.root)


def starts_warm(hook: Hook, command: tuple[str, ...]) -> bool:
    """True if a script's command may be carried out by a Python that stands ready."""
    return (
        hook.warm
        and bool(command)
        and command[-1].endswith(".py")
        and not any(READ_AT_START.fullmatch(name) for name in hook.env)
    )


def ends(asked: float, lease: float) -> tuple[float, float]:
    """When a script gets TERM, and KILL, whose lease was asked for then (monotonic clock)."""
    return asked + lease * TERM_AT, asked + lease * KILL_AT


def not_started(told: str) -> Outcome:
    """The outcome of an attempt for which there could be no script."""
    return Outcome(State.FAILED, Why.NOT_STARTED, detail=f"not started: {told}")


def failure_run(run: Run, new: NewRun) -> NewRun:
    """The run of an `on_failure` script, with the failed run as its payload."""
    outcome = run.outcome or Outcome(State.FAILED)
    said = {
        "run": run.run_id,
        "hook": new.hook,
        "why": str(outcome),
        "exit_code": outcome.exit_code,
        "signal": outcome.signal,
        "stdout": outcome.stdout.decode("utf-8", "replace"),
        "stderr": outcome.stderr.decode("utf-8", "replace"),
        "method": new.method,
        "path": new.path,
        "event": new.event,
        "body": new.body.decode("utf-8", "replace"),
    }
    return NewRun(
        hook=ON_FAILURE + new.hook,
        method="POST",
        path=new.path,
        params={},
        query="",
        headers={},
        content_type="application/json",
        body=json.dumps(said, ensure_ascii=False).encode("utf-8", "replace"),
        remote_addr=new.remote_addr,
        event="failure",
        replaces=run.run_id,
    )


def prepare(
    claim: Claim,
    hook: Hook,
    config: Config,
    folder: Path,
    lease: tuple[float, float],
    secrets: Secrets | None = None,
) -> Start:
    """Make the attempt's folder, and everything that the script gets. Raises OSError, Refused."""
    new = claim.new
    of_failure = new.hook.startswith(ON_FAILURE)
    command = hook.on_failure if of_failure else hook.command
    if not Path(command[-1]).is_file():
        raise FileNotFoundError(2, "the file is gone", Path(command[-1]).name)
    schema = None if of_failure else hook.schema
    parsed = payload.parse(new.method, new.content_type, new.query, new.body, schema, str(folder))
    if parsed.uploads:
        folder.mkdir(mode=0o700)
        for upload in parsed.uploads:
            Path(upload.path).write_bytes(upload.data)
    facts = Facts(parsed.value, form.query(new.query), new.headers, new.params)
    args = () if of_failure else hook.args
    return Start(
        run_id=claim.run_id,
        command=(*command, *(_clean(arg.fill(facts)) for arg in args)),
        env=environment(claim, hook, config, facts, folder),
        cwd=config.root,
        stdin=parsed.stdin,
        timeout=hook.timeout,
        max_output=hook.max_output,
        folder=folder,
        request=_request(new),
        memory=hook.memory,
        shield=hook.shield,
        warm=starts_warm(hook, command),
        lease=lease,
        secrets=secrets,
    )


def environment(
    claim: Claim, hook: Hook, config: Config, facts: Facts, folder: Path
) -> dict[str, str]:
    """The script's environment: config vars it may see, the hook's `env`, ours."""
    new = claim.new
    of_failure = new.hook.startswith(ON_FAILURE)
    env = passed(config.environ, hook.pass_env, config.secret_names)
    if (hook.on_failure if of_failure else hook.command)[-1].endswith(".py"):
        env["PYTHONUNBUFFERED"] = "1"
    if not of_failure:
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


def _request(new: NewRun) -> bytes:
    """What HOOK_REQUEST_FILE tells of the request."""
    said = {
        "method": new.method,
        "path": new.path,
        "query": form.query(new.query),
        "headers": dict(new.headers),
    }
    return json.dumps(said, ensure_ascii=False).encode("utf-8", "replace")


def _clean(text: str) -> str:
    """A text that an environment can hold: half a surrogate pair has no UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")
