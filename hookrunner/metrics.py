"""What Prometheus is told: the numbers that the program keeps, and the journal's, as families.

They are gathered when somebody asks, and only then: nothing is counted here. Names and units
follow https://prometheus.io/docs/practices/naming/; docs/metrics.md has each of them. Labels
are few whatever strangers send: a hook is named only while hooks.yaml has it, and reasons are
words of ours. The only module that knows prometheus_client, which takes a while to import.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, chain

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
from prometheus_client.utils import floatToGoString

from hookrunner import VERSION
from hookrunner.back import Back
from hookrunner.config import Config
from hookrunner.counts import LONG
from hookrunner.front import Front
from hookrunner.intake import Intake
from hookrunner.log import Log
from hookrunner.model import ENDED, Backlog, Hook, JournalUnavailable, Spread, State, Why
from hookrunner.refusing import RefusalBook
from hookrunner.seams import Journal, Launcher
from hookrunner.web import Web
from hookrunner.worker import ON_FAILURE, Workers, known

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


NONE_YET = Spread(LONG, (0,) * (len(LONG) + 1), 0.0)

MOST_FORMATS = 4
"""Formats whose lines are kept; Prometheus asks for one, and whoever looks by hand for another."""


class Metrics:
    """All that is measured of a program."""

    def __init__(
        self,
        journal: Journal,
        refused: RefusalBook,
        log: Log,
        front: Front | None,
        back: Back | None,
    ) -> None:
        """`front` records, and `back` carries runs out; None where other processes do."""
        self._journal = journal
        self._refused = refused
        self._log = log
        self._front = front
        self._back = back
        self._process = ProcessCollector(registry=None)
        self._config: Config | None = None
        self._formats: dict[str, Format] = {}

    def text(self, config: Config, accept: str) -> tuple[str, bytes]:
        """Everything, in the format that an Accept header asks for: its content type, and it."""
        asked = [part for part in accept.split(",") if not NO_VERSION.search(part)]
        encode, kind = choose_encoder(",".join(asked))
        if config is not self._config or len(self._formats) >= MOST_FORMATS:
            self._config, self._formats = config, {}  # hooks may have gone, and their lines
        written = self._formats.setdefault(kind, Format(encode))
        return kind, written.text(chain(self._families(config), self._process.collect()))

    def _families(self, config: Config) -> Iterator[Metric]:
        """Each family, as its numbers stand now."""
        runs = list(known(config))
        yield InfoMetricFamily("hookrunner", "Which version runs.", {"version": VERSION})
        yield from self._hooks(config.hooks)
        if self._front:
            yield from self._deliveries(config.hooks, self._front.intake)
            yield from self._waiting(self._front.web)
        mine = [hook for hook in runs if self._is_ours(hook)]
        yield from self._runs(mine)
        if self._back:
            yield from self._attempts(mine, self._back.workers)
            yield from self._scripts(self._back.workers, self._back.launcher)
        yield from self._backlog(runs)
        dropped: dict[Labels, float] = {(): self._log.dropped}
        yield _counter("log_lines_dropped", "Script lines that the log left out.", [], dropped)

    def _is_ours(self, hook: str) -> bool:
        """False for a hook whose runs are left to others."""
        only = self._back.only if self._back else ()
        return not only or hook.removeprefix(ON_FAILURE) in only

    def _hooks(self, hooks: Mapping[str, Hook]) -> Iterator[Metric]:
        off = {path: bool(hook.missing) for path, hook in hooks.items()}
        yield _gauge(
            "hook_switched_off", "Whether a config var of it is not set.", ["hook"], _by_name(off)
        )
        foreseen = _of(hooks, {}, FORESEEN) if self._front else {}
        yield _counter(
            "refusals",
            "Requests that were turned away; the hook is empty where none was meant.",
            ["hook", "status", "reason"],
            foreseen | _of([*hooks, ""], self._refused.seen()),
        )

    def _deliveries(self, hooks: Iterable[str], intake: Intake) -> Iterator[Metric]:
        for name, count, told in (
            ("deliveries_joined", intake.joined, "Deliveries that repeated one, and joined a run."),
            ("deliveries_ignored", intake.ignored, "Deliveries that 'when' is not met by."),
        ):
            yield _counter(name, told, ["hook"], _of(hooks, count.seen(), [()]))

    def _runs(self, hooks: Iterable[str]) -> Iterator[Metric]:
        intake = self._front.intake if self._front else None
        workers = self._back.workers if self._back else None
        recorded = {
            **(intake.recorded.seen() if intake else {}),
            **(workers.told.seen() if workers else {}),
        }
        yield _counter("runs_recorded", "Runs recorded.", ["hook"], _of(hooks, recorded, [()]))
        ended = dict(workers.ended_runs.seen()) if workers else {}
        for (hook,), number in intake.cancelled.seen().items() if intake else ():
            key = (hook, State.CANCELLED.value)
            ended[key] = ended.get(key, 0) + number
        yield _counter(
            "runs_ended",
            "Runs that have ended for good.",
            ["hook", "state"],
            _of(hooks, ended, [(state.value,) for state in State if state in ENDED]),
        )

    def _attempts(self, hooks: Sequence[str], workers: Workers) -> Iterator[Metric]:
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
            seen: dict[Labels, Spread] = {(hook,): spreads.get(hook, NONE_YET) for hook in hooks}
            yield _histogram(name, told, ["hook"], seen)

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

    def _waiting(self, web: Web) -> Iterator[Metric]:
        numbers = (
            ("waiters", "Senders that wait for a run's end.", web.waiters.taken),
            ("waiters_limit", "How many may.", web.waiters.most),
            ("listeners", "Pages that watch a run.", web.admin.live.listening()),
        )
        for name, told, number in numbers:
            yield _gauge(name, told, [], {(): number})


class Format:
    """A format of the library's, of which each line is written by it once.

    From then on only the number at its end is put in: names and labels stay as they are, and
    to escape them, again and again, is nearly all that a scrape would cost.
    """

    def __init__(self, encode: Callable[[CollectorRegistry], bytes]) -> None:
        self._encode = encode
        self._begun: dict[Labels, str] = {}
        """How a line begins, up to its number, by its name and its labels' values."""

        self._heads: dict[str, str] = {}
        """What stands above the lines of a family, by its name."""

    def text(self, families: Iterable[Metric]) -> bytes:
        """These, as the library would write them."""
        texts = [self._written(family) for family in families]
        return "".join(texts).encode() + self._encode(CollectorRegistry())

    def _written(self, family: Metric) -> str:
        keys = [(sample.name, *sample.labels.values()) for sample in family.samples]
        if family.name not in self._heads or not all(map(self._begun.__contains__, keys)):
            self._learn(family, keys)
        lines = [
            f"{self._begun[key]} {_number(sample.value)}\n"
            for key, sample in zip(keys, family.samples, strict=True)
        ]
        return self._heads[family.name] + "".join(lines)

    def _learn(self, family: Metric, keys: Sequence[Labels]) -> None:
        registry = CollectorRegistry()
        registry.register(_Alone(family))
        lines = self._encode(registry).decode().split("\n")[:-1]
        comments = [line for line in lines if line.startswith("#") and line != "# EOF"]
        self._heads[family.name] = "".join(f"{line}\n" for line in comments)
        begun = [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
        self._begun.update(zip(keys, begun, strict=True))


class _Alone(Collector):
    """A single family."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return [self._family]


@lru_cache(maxsize=1000)  # most are small, and many are 0
def _number(value: float) -> str:
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


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
