"""What Prometheus is told: the numbers that the program keeps, and the journal's, as families.

They are gathered when somebody asks, and only then: nothing is counted here. Names and units
follow https://prometheus.io/docs/practices/naming/; docs/metrics.md has each of them. Labels
are few whatever strangers send: a hook is named only while hooks.yaml has it, and reasons are
words of ours. The only module that knows prometheus_client, which takes a while to import.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from hookrunner import VERSION
from hookrunner.back import Back
from hookrunner.intake import Intake
from hookrunner.log import Log
from hookrunner.model import ENDED, Backlog, Hook, JournalUnavailable, Spread, State, Why
from hookrunner.seams import Journal, Launcher
from hookrunner.web import Web
from hookrunner.worker import Workers, known

Labels = tuple[str, ...]

LIVE = (State.QUEUED, State.RUNNING)

NO_VERSION = re.compile(r"version=(?![0-9]{1,3}(?:\.[0-9]{1,3}){0,2}\s*(?:;|$))")
"""A version of a format that is none; the library would compare it all the same, and fail."""

FORESEEN = (
    ("401", "credentials"),
    ("422", "unfit"),
    ("429", "too fast"),
    ("503", "queue full"),
    ("503", "journal unavailable"),
)
"""Refusals that are there from the beginning: somebody may want to be woken by the first."""


class Metrics(Collector):
    """All that is measured of a program."""

    def __init__(
        self,
        intake: Intake,
        web: Web,
        journal: Journal,
        back: Back | None,
        log: Log,
    ) -> None:
        """`back` is what carries runs out; None where other processes do."""
        self._intake = intake
        self._web = web
        self._journal = journal
        self._back = back
        self._log = log

    def text(self, accept: str) -> tuple[str, bytes]:
        """Everything, in the format that an Accept header asks for: its content type, and it."""
        registry = CollectorRegistry()
        registry.register(self)
        ProcessCollector(registry=registry)
        known = [part for part in accept.split(",") if not NO_VERSION.search(part)]
        encode, kind = choose_encoder(",".join(known))
        return kind, encode(registry)

    def describe(self) -> Iterable[Metric]:
        """None: what there is, is known once it is asked for; and nobody else uses our names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Each family, as its numbers stand now."""
        config = self._intake.config
        yield InfoMetricFamily("hookrunner", "Which version runs.", {"version": VERSION})
        yield from self._hooks(config.hooks)
        yield from self._runs(known(config))
        yield from self._backlog(list(known(config)))
        if self._back:
            yield from self._attempts(known(config), self._back.workers)
            yield from self._scripts(self._back.workers, self._back.launcher)
        yield from self._process()

    def _hooks(self, hooks: Mapping[str, Hook]) -> Iterator[Metric]:
        intake, refused = self._intake, self._web.refused.seen()
        off = {path: bool(hook.missing) for path, hook in hooks.items()}
        yield _gauge(
            "hook_switched_off", "Whether a config var of it is not set.", ["hook"], _by_name(off)
        )
        for name, count, told in (
            ("deliveries_joined", intake.joined, "Deliveries that repeated one, and joined a run."),
            ("deliveries_ignored", intake.ignored, "Deliveries that 'when' is not met by."),
        ):
            yield _counter(name, told, ["hook"], _of(hooks, count.seen(), [()]))
        yield _counter(
            "refusals",
            "Requests that were turned away; the hook is empty where none was meant.",
            ["hook", "status", "reason"],
            _of(hooks, {}, FORESEEN) | _of([*hooks, ""], refused),
        )

    def _runs(self, hooks: Iterable[str]) -> Iterator[Metric]:
        intake, workers = self._intake, self._back.workers if self._back else None
        recorded = {**intake.recorded.seen(), **(workers.told.seen() if workers else {})}
        yield _counter("runs_recorded", "Runs recorded.", ["hook"], _of(hooks, recorded, [()]))
        ended = dict(workers.ended_runs.seen()) if workers else {}
        for (hook,), number in intake.cancelled.seen().items():
            key = (hook, State.CANCELLED.value)
            ended[key] = ended.get(key, 0) + number
        yield _counter(
            "runs_ended",
            "Runs that have ended for good.",
            ["hook", "state"],
            _of(hooks, ended, [(state.value,) for state in State if state in ENDED]),
        )

    def _attempts(self, hooks: Iterable[str], workers: Workers) -> Iterator[Metric]:
        yield _counter(
            "attempts_failed",
            "Attempts that failed or were cut off.",
            ["hook", "why"],
            _of(
                hooks,
                workers.failed_attempts.seen(),
                [(why.value,) for why in Why if why is not Why.LOST_HOOK],
            ),
        )
        for name, told, spreads in (
            ("start_delay_seconds", "From recording to the first start.", workers.waited.spreads()),
            ("script_duration_seconds", "How long scripts took.", workers.took.spreads()),
        ):
            yield _histogram(
                name, told, ["hook"], {(h,): spreads[h] for h in hooks if h in spreads}
            )

    def _backlog(self, hooks: Sequence[str]) -> Iterator[Metric]:
        """What the journal says, which is the same whichever process is asked."""
        found: Mapping[str, Backlog] = {}
        up = True
        try:
            found = self._journal.backlog(hooks)
        except JournalUnavailable:
            up = False
        live: dict[Labels, float] = {}
        for hook, backlog in found.items():
            numbers = (backlog.queued, backlog.running)
            live |= {(hook, s.value): n for s, n in zip(LIVE, numbers, strict=True)}
        waited = {hook: backlog.waited for hook, backlog in found.items()}
        yield _gauge("journal_up", "Whether the journal could be read for this.", [], {(): up})
        yield _gauge("runs", "Runs that have not ended yet.", ["hook", "state"], live)
        yield _gauge(
            "queue_oldest_seconds",
            "For how long the run that is longest due has been so.",
            ["hook"],
            _by_name(waited),
        )
        yield _histogram(
            "journal_commit_seconds",
            "How long synced commits of this process took.",
            [],
            {(): self._journal.commits()},
        )

    def _scripts(self, workers: Workers, launcher: Launcher) -> Iterator[Metric]:
        yield _counter(
            "script_starts",
            "Scripts that have ended, by how they were started.",
            ["start"],
            _by_name(launcher.starts()),
        )
        numbers: tuple[tuple[str, str, Callable[[], float]], ...] = (
            ("spares", "Children of Python that stand ready.", launcher.spares),
            ("slots", "Attempts that this process makes at once.", lambda: workers.slots),
            ("slots_busy", "Those under way.", lambda: len(workers.attempts)),
        )
        for name, told, number in numbers:
            yield _gauge(name, told, [], {(): number()})

    def _process(self) -> Iterator[Metric]:
        waiters = self._web.waiters
        numbers = (
            ("waiters", "Senders that wait for a run's end.", waiters.taken),
            ("waiters_limit", "How many may.", waiters.most),
            ("listeners", "Pages that watch a run.", self._web.admin.live.listening()),
        )
        for name, told, number in numbers:
            yield _gauge(name, told, [], {(): number})
        yield _counter(
            "log_lines_dropped",
            "Script lines that the log left out.",
            [],
            {(): self._log.dropped},
        )


def _of(
    hooks: Iterable[str], seen: Mapping[Labels, float], rest: Sequence[Labels] = ()
) -> dict[Labels, float]:
    """What was seen of these hooks; with each of `rest` as their other labels, be it 0.

    A number that begins with 1 has never risen, for Prometheus.
    """
    hooks = set(hooks)
    zeros: dict[Labels, float] = {(hook, *more): 0 for hook in sorted(hooks) for more in rest}
    return zeros | {labels: number for labels, number in seen.items() if labels[0] in hooks}


def _by_name(seen: Mapping[str, float]) -> dict[Labels, float]:
    """What has a single label."""
    return {(name,): number for name, number in seen.items()}


def _counter(
    name: str, told: str, labels: Sequence[str], seen: Mapping[Labels, float]
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"hookrunner_{name}", told, labels=labels)
    for values, number in seen.items():
        family.add_metric(values, number)
    return family


def _gauge(
    name: str, told: str, labels: Sequence[str], seen: Mapping[Labels, float]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"hookrunner_{name}", told, labels=labels)
    for values, number in seen.items():
        family.add_metric(values, number)
    return family


def _histogram(
    name: str, told: str, labels: Sequence[str], seen: Mapping[Labels, Spread]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(f"hookrunner_{name}", told, labels=labels)
    for values, spread in seen.items():
        names = [*map(str, spread.bounds), "+Inf"]
        buckets = list(zip(names, accumulate(spread.numbers), strict=True))
        family.add_metric(values, buckets, spread.total)
    return family
