"""The nouns: what a hook, a delivery, a run and an outcome are, and how a run may move.

Everything else in the program imports this module and this module imports nothing of
ours. All values are frozen; what must change (the journal, the launchers) is not here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Literal, Protocol

Json = Any
"""A value that `json` reads or writes: what a payload is once it is parsed."""

Networks = tuple[IPv4Network | IPv6Network, ...]


class State(StrEnum):
    """Where a run stands. A queued run may be due later (a retry waits like that)."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


MOVES: Mapping[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.FAILED, State.CANCELLED}),
    State.RUNNING: frozenset({State.QUEUED, State.SUCCEEDED, State.FAILED, State.CANCELLED}),
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
}
"""The moves a run may make; a state with none is the end of it."""

ENDED = frozenset(state for state, moves in MOVES.items() if not moves)


class Why(StrEnum):
    """What ended an attempt that did not succeed."""

    EXIT = "exit"
    SIGNAL = "signal"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"
    LOST_HOOK = "lost hook"
    NOT_STARTED = "not started"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One HTTP request to a hook, before anything in it has been believed.

    `path` is percent-decoded, `query` is not; header names are lower case.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    remote_addr: str
    notes: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What has been found out about it, for others who would find out the same."""

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "")


@dataclass(frozen=True, slots=True)
class Verified:
    """What a scheme vouches for.

    Where the delivery's time is signed, `delivery_id` is signed, too, or empty; and `seal` is
    what a replay would have in common with it, and nothing else has. `fresh_for` is for how
    many seconds a replay would be believed.
    """

    scheme: str
    delivery_id: str = ""
    """The sender's own name for the delivery, so that a repeat is known."""

    event: str = ""
    seal: str = ""
    fresh_for: float = 0.0
    key: bytes = field(default=b"", repr=False, compare=False)
    """The key that has made the proof, where there may be several."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a scheme does not believe a delivery; for the log only."""

    why: str


@dataclass(frozen=True, slots=True)
class Greeting:
    """The runner's own answer to a sender's handshake; it makes no run. `said` is for the log."""

    said: str
    status: int = 200
    body: bytes = b""
    type: str = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Manners:
    """What a sender expects of an answer."""

    patience: float = 30.0
    """Seconds until it gives up waiting."""

    accepted: int = 202
    """The status that tells it that all is well, though the script has not ended yet."""

    bare: bool = False
    """True if it takes a body for the script's reply: then it gets none but the script's."""

    @property
    def wait(self) -> float:
        """Seconds that it can be kept waiting: the answer needs time to get there."""
        return self.patience - 0.5


Place = str
"""Where something stands in a delivery: a header's name in lower case, or `payload:/pointer`."""

Spot = Place | tuple[Place, ...]
"""A place, or several that only together say it."""


@dataclass(frozen=True, slots=True)
class Names:
    """Where a sender's own names for a delivery and for its event are; the first that is there
    counts."""

    id: tuple[Spot, ...] = ()
    event: tuple[Spot, ...] = ()


class Scheme(Protocol):
    """One way of proving who sent a delivery."""

    @property
    def name(self) -> str: ...

    @property
    def manners(self) -> Manners: ...

    @property
    def networks(self) -> Networks:
        """Where it may come from; empty for anywhere."""

    @property
    def signs_body(self) -> bool:
        """True if it vouches for the body and for nothing else, a query least of all."""

    @property
    def signs_address(self) -> bool:
        """True if it vouches for the path together with the body."""

    @property
    def asks_others(self) -> bool:
        """True if it may have to ask another machine, and so may take seconds."""

    @property
    def challenge(self) -> str:
        """The WWW-Authenticate value of a refusal (RFC 9110 §11.6.1)."""

    @property
    def credential_headers(self) -> frozenset[str]:
        """Headers that carry the proof: kept from journal and script. Lower case."""

    @property
    def credential_fields(self) -> frozenset[str]:
        """Query fields that carry the proof, kept away likewise."""

    def verify(self, delivery: Delivery, now: float) -> Verified | Rejection:
        """Check the raw bytes; `now` is Unix time in seconds.

        Raises Refused(503) if that cannot be told just now.
        """

    def greet_stranger(self, delivery: Delivery) -> Greeting | None:
        """The answer to a handshake that carries no proof; None if it is none.

        Raises Refused(403) if the handshake is not one that we take.
        """

    def greet(self, delivery: Delivery, value: Json, verified: Verified) -> Greeting | None:
        """The answer to a handshake that was believed; None if the delivery is none.

        Raises Refused(503) if it cannot be answered just now.
        """


@dataclass(frozen=True, slots=True)
class Misfit:
    """One place where a payload does not fit its schema."""

    pointer: str
    detail: str
    rule: str
    """The schema keyword that failed: safe to log, where `detail` may quote the payload."""

    missing: str = field(default="", compare=False)
    """The property that is required and not there. The schema names it, so it is safe, too."""

    branches: tuple[tuple[Misfit, ...], ...] = field(default=(), compare=False)
    """Of `oneOf` and `anyOf`: what is wrong with each, in the schema's order."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The types that a schema takes for a value, and for its items; empty: any."""

    types: frozenset[str] = frozenset()
    items: frozenset[str] = frozenset()


class Shape(Protocol):
    """A compiled JSON Schema."""

    def misfits(self, value: Json) -> list[Misfit]:
        """Every place where `value` does not fit; empty if it does."""

    def wanted(self, name: str) -> Wanted:
        """The JSON types that the schema takes for a property of the payload."""


class Template(Protocol):
    """A text of hooks.yaml with `{payload:/pointer}` and the like in it."""

    @property
    def written(self) -> str:
        """As hooks.yaml has it: config vars by their names, and not what they hold."""

    def fill(self, facts: Facts) -> str:
        """The text with everything filled in; what is absent becomes nothing."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a template may speak of."""

    payload: Json
    query: Mapping[str, Json]
    headers: Mapping[str, str]
    params: Mapping[str, str]


Mode = Literal["accepted", "status", "output"]


@dataclass(frozen=True, slots=True)
class Respond:
    """How a hook answers its sender. `wait` is in seconds."""

    mode: Mode = "status"
    wait: float = 8.0
    type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()
    exit_status: Mapping[int, int] = field(default_factory=dict)
    redirect: str | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """How a failed run is tried again: at most `attempts` in all, `delay` seconds after the
    first failure, each further one `factor` times as long, but `max` seconds at most."""

    attempts: int = 1
    delay: float = 10.0
    factor: float = 2.0
    max: float = 3600.0
    rerun: bool = True
    """Whether a run that a crash of ours interrupted may meet the script a second time."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many runs in so many seconds; they may come all at once."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Dedupe:
    """What makes two deliveries the same: a header, or a place in the payload; for how long.

    With neither, the sender's own delivery id, if its scheme has one; with no seconds,
    nothing makes them the same.
    """

    header: str = ""
    payload: str | None = None
    seconds: float = 86400.0


@dataclass(frozen=True, slots=True)
class Terms:
    """What the journal must know of a hook to record and to claim its runs."""

    concurrency: int | None = None
    strict: bool = False
    rerun: bool = True
    queue: int = 1000
    rate: Rate | None = None
    keep: float = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class Hook:
    """One entry of hooks.yaml: a path, who may post to it, the script, and how patiently.

    Times are in seconds, sizes in bytes. `missing` names the config vars that are not
    set: a hook with any is switched off, and it alone.
    """

    path: str
    script: Path
    command: tuple[str, ...]
    auth: tuple[Scheme, ...]
    schema: Shape | None
    methods: tuple[str, ...]
    when: Shape | None
    respond: Respond
    timeout: float
    args: tuple[Template, ...]
    env: Mapping[str, Template]
    pass_env: tuple[str, ...] | None
    max_body: int
    max_output: int
    memory: int | None
    shield: bool
    line: int
    missing: tuple[str, ...] = ()
    retry: Retry = Retry()
    dedupe: Dedupe = Dedupe()
    terms: Terms = Terms()
    on_failure: tuple[str, ...] = ()
    """The command of the script that is told of a failed run; empty for none."""

    warm: bool = True
    preload: tuple[str, ...] = ()
    """Modules that a warm start has loaded, beside those that the script is seen to import."""


@dataclass(frozen=True, slots=True)
class NewRun:
    """A delivery that was believed and fits: all the journal keeps of it.

    Headers and query are without credentials.
    """

    hook: str
    method: str
    path: str
    params: Mapping[str, str]
    query: str
    headers: Mapping[str, str]
    content_type: str
    body: bytes
    remote_addr: str
    delivery_id: str = ""
    event: str = ""
    dedupe_key: str = ""
    """What a repeat of this delivery would have in common with it; empty for nothing."""

    dedupe_for: float = 0.0
    seal: str = ""
    """What a replay of this signed delivery would have in common with it; empty if no time is
    signed. For `sealed_for` seconds it joins the run whatever `dedupe` says."""

    sealed_for: float = 0.0
    replaces: str = ""
    """The run that this one does again, if it is a replay or follows a failed one."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run that will happen. `joined`: the delivery is a repeat, and this its first run."""

    run_id: str
    joined: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """An attempt's lease on a run, with everything needed to make the attempt.

    `failures` are the attempts that failed before this one, `interruptions` those that a
    crash or a stop of ours cut off, which are not charged. `asked_at` is when the lease
    began at the earliest, on this machine's monotonic clock.
    """

    run_id: str
    seq: int
    attempt: int
    new: NewRun
    failures: int = 0
    interruptions: int = 0
    asked_at: float = field(default=0.0, compare=False)
    waited: float = field(default=0.0, compare=False)
    """Seconds from its recording to this claim, by the journal's own clock."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended. `seconds` is how long the script took."""

    state: State
    why: Why | None = None
    exit_code: int | None = None
    signal: int | None = None
    detail: str = ""
    stdout: bytes = b""
    stderr: bytes = b""
    seconds: float = 0.0

    def __str__(self) -> str:
        """A few words for a person: `exit 3`, `signal 9 (SIGKILL)`, `timed out`."""
        return self.detail or (f"exit {self.exit_code}" if self.exit_code is not None else "")


@dataclass(frozen=True, slots=True)
class Run:
    """What the journal says of a run. Times are Unix seconds."""

    run_id: str
    seq: int
    hook: str
    state: State
    attempt: int
    recorded_at: float
    ended_at: float | None
    outcome: Outcome | None
    """How its last ended attempt went; None while none has."""

    due: float | None = None
    """When it may start, if it is queued; when its lease ends, if it runs."""

    replaces: str = ""
    delivery_id: str = ""
    event: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One start of a run's script. `outcome` is None while it runs."""

    number: int
    started_at: float
    outcome: Outcome | None
    stdout: bytes = b""
    stderr: bytes = b""
    """What it has printed, or has so far, as `max_output` lets it be kept; or its beginning."""

    stdout_bytes: int = 0
    stderr_bytes: int = 0
    """How much of it is kept."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of what an attempt has printed. Places are bytes of all that it ever printed."""

    text: bytes
    start: int
    """The place of the first byte of `text`; it may be before the one asked for."""

    end: int
    """The end of all that it has printed so far."""

    left_out: int = 0
    """Bytes between `text` and what comes next that have not been kept."""


@dataclass(frozen=True, slots=True)
class Printed:
    """An attempt with a piece of either stream. `outcome` is None while it runs."""

    number: int
    started_at: float
    outcome: Outcome | None
    stdout: Piece
    stderr: Piece


@dataclass(frozen=True, slots=True)
class Query:
    """Which runs are asked for: the newest `most` of them, `before` a run's `seq`."""

    hook: str = ""
    state: State | None = None
    since: float = 0.0
    """Unix seconds: recorded then or later."""

    before: int | None = None
    most: int = 50
    unreplaced: bool = False
    """Only runs that none has replaced."""


@dataclass(frozen=True, slots=True)
class Search:
    """Which runs somebody looks for: the newest `most`, `before` a run's `seq`.

    `text` is in the id, event, delivery id, path or body; times are Unix seconds, `until`
    excluded. After `seconds` of looking it is enough for once.
    """

    hook: str = ""
    state: State | None = None
    text: str = ""
    since: float | None = None
    until: float | None = None
    before: int | None = None
    most: int = 50
    seconds: float = 0.06


@dataclass(frozen=True, slots=True)
class Found:
    """What a search has found, newest first."""

    runs: Sequence[Run]
    older: int | None = None
    """What the search goes on `before`; None if that was all."""

    searched_to: float | None = None
    """When the last run that it has looked at was recorded, if time was up before it had enough."""


@dataclass(frozen=True, slots=True)
class Activity:
    """What became of a hook's runs of the last 24 hours, and what is under way.

    `p50` and `p95` are percentiles of the seconds that its scripts took.
    """

    last: Run | None = None
    ended: Mapping[State, int] = field(default_factory=dict)
    p50: float | None = None
    p95: float | None = None
    queued: int = 0
    running: int = 0


@dataclass(frozen=True, slots=True)
class Overview:
    """What goes on: by hook, over time, and now."""

    hooks: Mapping[str, Activity]
    slots: Sequence[tuple[float, Mapping[State, int]]]
    """The last 24 hours in half hours: when each began, and how the runs that were recorded
    in it stand now."""

    live: Sequence[Run] = ()
    """What runs, then what is queued; the first of them."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a hook has under way. `waited` is for how many seconds the run that is longest due
    has been so; 0 if none is."""

    queued: int = 0
    running: int = 0
    waited: float = 0.0


@dataclass(frozen=True, slots=True)
class Spread:
    """How durations are spread: `numbers` are how many took at most each of the `bounds` in
    seconds, and more than the one before; the last is of all that took more. `total` is their
    sum."""

    bounds: Sequence[float]
    numbers: Sequence[int]
    total: float


@dataclass(frozen=True, slots=True)
class Glimpse:
    """An attempt with no more than the end of its output; and its beginning, if that is cut off."""

    attempt: Attempt
    stdout_head: bytes = b""
    stderr_head: bytes = b""


@dataclass(frozen=True, slots=True)
class Fresh:
    """What comes next of an output: `data`, after `left_out` bytes that have not been kept.

    `at` is how many bytes the script had printed at its end.
    """

    data: bytes
    at: int
    left_out: int = 0
    cut_off: bool = False
    """True if what the script printed next has not been kept."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How a run stands, and what is new of one of its attempts' output.

    `attempt` is the run's last one; `over` says that the one that was asked for has ended.
    """

    state: State
    attempt: int
    over: bool
    stdout: Fresh
    stderr: Fresh


@dataclass(frozen=True, slots=True)
class Refusal:
    """A delivery that was turned away, without what it carried. `size` is its body's, in bytes."""

    at: float
    method: str
    path: str
    status: int
    why: str
    address: str = ""
    size: int = 0


Reason = Literal[
    "other", "not readable", "credentials", "forbidden", "not found", "method", "ended",
    "too large", "media type", "unfit", "too fast", "queue full", "guessing", "stopping",
    "switched off", "journal unavailable", "unavailable",
]  # fmt: skip
"""Why something was refused, in words that are few enough to be counted."""

REASONS: Mapping[int, Reason] = {
    400: "not readable",
    401: "credentials",
    403: "forbidden",
    404: "not found",
    405: "method",
    409: "ended",
    413: "too large",
    415: "media type",
    422: "unfit",
    429: "too fast",
    503: "unavailable",
}
"""What a status says of it, where nobody says more."""


class Refused(Exception):
    """A delivery that makes no run. The caller reads `told`; only the log has `why`.

    `reason` is what it is counted by; what the status says if it is not given.
    """

    def __init__(
        self,
        status: int,
        told: str,
        why: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Misfit] = (),
        reason: Reason | None = None,
    ) -> None:
        super().__init__(why or told)
        self.status = status
        self.told = told
        self.why = why or told
        self.headers = dict(headers or {})
        self.errors = tuple(errors)
        self.reason = reason or REASONS.get(status, "other")


class BadConfig(Exception):
    """hooks.yaml cannot be used; `problems` has every complaint, a line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class Trouble(Exception):
    """Something the user can mend; str() says what and how. The program exits 1."""


class Full(Exception):
    """The journal takes no more runs of a hook just now; try again in `retry_after` seconds."""

    def __init__(self, why: str, retry_after: float, *, rate: bool = False) -> None:
        super().__init__(why)
        self.retry_after = retry_after
        self.rate = rate
        """True if they come too fast, False if too many wait."""


class JournalUnavailable(Exception):
    """The journal cannot take or give anything just now; str() says why, for the log."""
