"""What each page is given to show. Times are Unix seconds; secrets have been masked before.

A page is a function of a Frame and of one of these: `overview.page`, `runs.page`, `run.page`,
`hook.page`, `refusals.page`; `door.login` and `door.error` need no more than words.

Forms post, each with a hidden field `csrf`, to `/-/runs/ID/replay`, `/-/runs/ID/cancel`,
`/-/logout` and `/-/hook/try` (what `posted.read` reads); the login posts `token` and `next`
to `/-/login`. Runs are filtered by a GET of `/-/runs` with the fields of Filter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hookrunner.model import Attempt, Json, NewRun, Run, State
from hookrunner.model import Refusal as Refusal


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around every page."""

    now: float
    csrf: str
    notice: str = ""
    """A sentence on what has just been done; empty for none."""


@dataclass(frozen=True, slots=True)
class HookLine:
    """A hook in short. Counts and durations are those of the last 24 hours."""

    path: str
    script: str
    off: str = ""
    """Why it is switched off; empty if it is on."""

    last: Run | None = None
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    p50: float | None = None
    p95: float | None = None
    queued: int = 0
    running: int = 0


@dataclass(frozen=True, slots=True)
class Bucket:
    """Runs that were recorded in the `seconds` from `start` on, by where they stand now."""

    start: float
    seconds: float
    counts: Mapping[State, int]


@dataclass(frozen=True, slots=True)
class Overview:
    """All hooks, and what goes on."""

    hooks: Sequence[HookLine]
    buckets: Sequence[Bucket]
    """In the order of time, without gaps."""

    live: Sequence[Run] = ()
    """What runs and what is queued now; not all, if there are many."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What runs are looked for, as the form has it: text, to be shown again as it was given."""

    hook: str = ""
    state: str = ""
    text: str = ""
    since: str = ""
    until: str = ""
    """As `<input type=datetime-local>` writes it, `2026-11-28T05:19`; of UTC."""


@dataclass(frozen=True, slots=True)
class RunList:
    """One page of runs, the newest first."""

    runs: Sequence[Run]
    hooks: Sequence[str]
    """Paths to choose from."""

    filter: Filter = Filter()
    older: str = ""
    """The address of what comes after these; empty for nothing."""

    newest: str = ""
    """The address of the first page, if this is another; else empty. The same of refusals."""

    searched_to: float | None = None
    """How far back a search has looked if it stopped there, and `older` goes on from it."""

    wrong: str = ""
    """What is wrong with the filter; empty for nothing."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An attempt with what is to be seen of its output, and how much there is of it."""

    attempt: Attempt
    stdout_size: int = 0
    stderr_size: int = 0
    """Bytes in the journal, where `attempt` has but the end of them; 0 if it has them all."""

    stdout_head: bytes = b""
    stderr_head: bytes = b""
    """The beginning, where `attempt` has but the end."""


@dataclass(frozen=True, slots=True)
class RunPage:
    """One run, whole."""

    run: Run
    new: NewRun
    attempts: Sequence[Shown]
    hook_exists: bool = True
    live: str = ""
    """Where listening begins, `ATTEMPT.OUT.ERR`; empty if the run changes no more.

    That is the number of the last attempt, and how many bytes of its stdout and stderr, as the
    journal has them, this page shows. The page then listens to `/-/runs/ID/live?from=…`, whose
    events have such an id, too: `out` and `err` with the JSON `{"html": …}` of
    `ansi.Renderer.feed`, to be appended, and `end` when the page is to be shown anew, because
    the run has ended, started, or begun another attempt.
    """

    size: int | None = None
    """Bytes of the payload as it was sent; in `new` its secrets are masked."""

    can_replay: bool = False
    can_cancel: bool = False
    replaced_by: str = ""
    """The id of the run that does this one again; empty for none."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A test payload that was posted and not taken: what was written, and what is wrong."""

    posted: Sequence[tuple[str, str]] = ()
    errors: Mapping[str, str] = field(default_factory=dict)
    """By JSON Pointer into the payload, or by a field's name; "" for the whole."""

    refused: str = ""
    """Why it was not taken, if that is not for what was written; a sentence without its stop."""


@dataclass(frozen=True, slots=True)
class HookPage:
    """One hook, its settings in words, and a form for trying it."""

    line: HookLine
    settings: Sequence[tuple[str, str]]
    schema: Json | None = None
    """The JSON Schema itself; None if there is none."""

    params: Sequence[str] = ()
    """The names in a path like `/deploy/<target>`; the form has a field `param.NAME` for each."""

    runs: Sequence[Run] = ()
    trial: Trial = Trial()


@dataclass(frozen=True, slots=True)
class RefusalList:
    """One page of refusals, the newest first."""

    refusals: Sequence[Refusal]
    most: int
    """How many are kept."""

    counts: Mapping[int, int] = field(default_factory=dict)
    """How many there were since the start, by status."""

    older: str = ""
    newest: str = ""


@dataclass(frozen=True, slots=True)
class DocsHook:
    """A hook by its path, the path that OpenAPI has for it, and its JSON Schema; None for none."""

    path: str
    described: str
    schema: Json | None = None


@dataclass(frozen=True, slots=True)
class DocsPage:
    """An OpenAPI document, and the hooks that are in it."""

    document: Json
    hooks: Sequence[DocsHook]
