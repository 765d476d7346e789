"""The small things that pages are made of: times, durations, states, tables, buttons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from hookrunner.model import Run, State
from hookrunner.pages import links
from hookrunner.pages.markup import Html, Inside, join, tag
from hookrunner.pages.shown import Frame

SIGNS = {
    State.QUEUED: "○",
    State.RUNNING: "◐",
    State.SUCCEEDED: "✓",
    State.FAILED: "✕",
    State.CANCELLED: "–",
}
"""A state's sign, so that it is not told by its colour alone."""

UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
NOTHING = tag("span", Html('<span aria-hidden="true">–</span>'), class_="none")


def moment(seconds: float) -> datetime | None:
    """A time in UTC; None if no calendar has it."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def ago(seconds: float, now: float) -> str:
    """How long ago that was, in words: `3 min ago`, `in 5 s`."""
    apart = abs(now - seconds)
    if apart < 1:
        return "just now"
    length, unit = next(pair for pair in UNITS if apart >= pair[0])
    words = f"{int(apart // length)} {unit}"
    return f"{words} ago" if seconds < now else f"in {words}"


def time(seconds: float | None, now: float, *, whole: bool = False) -> Html:
    """A time in UTC and how long ago it was; `whole` has the day and the milliseconds."""
    when = None if seconds is None else moment(seconds)
    if seconds is None or when is None:
        return NOTHING
    exact = when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if whole:
        said = f"{when:%Y-%m-%d %H:%M:%S}.{when.microsecond // 1000:03d} UTC"
    elif abs(now - seconds) < 43200:
        said = f"{when:%H:%M:%S}"
    else:
        said = f"{when.day} {when:%b %H:%M}"
    since = tag("span", ago(seconds, now), class_="ago")
    return tag("time", said, Html(" "), since, datetime=exact, title=exact)


def duration(seconds: float | None) -> Html:
    """A duration as people say it, on one line: `42 ms`, `3.1 s`, `2 min 5 s`."""
    return NOTHING if seconds is None else unbroken(_duration(seconds))


def unbroken(words: str) -> Html:
    """Words that stay on one line wherever there is room for them."""
    return tag("span", words, class_="unbroken")


def _duration(seconds: float) -> str:
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def size(count: int) -> str:
    """Bytes as people say them."""
    if count < 1024:
        return f"{count} byte" if count == 1 else f"{count} bytes"
    return f"{count / 1024:.1f} kB" if count < 1024**2 else f"{count / 1024**2:.1f} MB"


def share(part: int, whole: int) -> str:
    """A part in per cent, which is 100 only if it is the whole, and 0 only if it is nothing."""
    if not whole:
        return ""
    percent = 100 * part / whole
    if 0 < percent < 1:
        return "< 1 %"
    return f"{min(percent, 99.9) if part < whole else percent:.3g} %"


def badge(state: State) -> Html:
    """A state, as a sign and in words."""
    sign = tag("span", SIGNS[state], aria_hidden="true")
    return tag("span", sign, Html(" "), state.value, class_=f"badge {state.value}")


def how(run: Run) -> str:
    """What there is to say about a run beside its state, in a few words."""
    if run.outcome is None or run.state in (State.SUCCEEDED, State.CANCELLED):
        return ""
    return str(run.outcome)


def run_link(run_id: str, words: str = "") -> Html:
    """A link to a run."""
    shown = tag("code", words or run_id)
    return tag("a", shown, href=links.run(run_id), class_="id")


def hook_link(path: str) -> Html:
    """A link to a hook."""
    return tag("a", tag("code", path), href=links.hook(path))


def table(
    caption: str,
    headings: Sequence[str],
    rows: Iterable[Sequence[Inside]],
    *,
    hidden: bool = True,
    kind: str = "",
) -> Html:
    """A table; each row's first cell is its heading. On a narrow page a row becomes a card.

    The roles are what elements have by themselves, until a style sheet lays them out otherwise.
    """
    head = tag(
        "tr",
        *[tag("th", word, scope="col", role="columnheader") for word in headings],
        role="row",
    )
    return tag(
        "table",
        tag("caption", caption, class_="unseen" if hidden else None),
        tag("thead", head, role="rowgroup"),
        tag("tbody", *[_row(headings, row) for row in rows], role="rowgroup"),
        role="table",
        class_=f"cards {kind}".strip(),
    )


def _row(headings: Sequence[str], cells: Sequence[Inside]) -> Html:
    made = []
    for number, (heading, cell) in enumerate(zip(headings, cells, strict=True)):
        named = {"data_label": heading or None}
        # A cell's parts stay together where the cell is laid out as a line.
        inside = tag("div", cell)
        if number == 0:
            made.append(tag("th", inside, scope="row", role="rowheader", **named))
        else:
            made.append(tag("td", inside, role="cell", **named))
    return tag("tr", *made, role="row")


def pairs(rows: Iterable[tuple[Inside, Inside]], kind: str = "") -> Html:
    """Terms and what they are."""
    made = [tag("div", tag("dt", term), tag("dd", told)) for term, told in rows]
    return tag("dl", *made, class_=f"pairs {kind}".strip())


def hidden(name: str, value: str) -> Html:
    """A field of a form that nobody sees."""
    return tag("input", type="hidden", name=name, value=value)


def button(words: str, kind: str = "") -> Html:
    """What sends a form."""
    return tag("button", words, type="submit", class_=kind or None)


def confirmed(frame: Frame, action: str, word: str, question: str, kind: str = "") -> Html:
    """A button that asks again before it does something; it needs no script for that."""
    form = tag(
        "form",
        tag("p", question),
        hidden("csrf", frame.csrf),
        button(word, kind or "main"),
        method="post",
        action=action,
    )
    return tag("details", tag("summary", f"{word}…"), form, class_=f"confirm {kind}".strip())


def group(name: str, *inside: Inside) -> Html:
    """What may be wider than the page: it scrolls by itself, with the keyboard, too."""
    return tag("div", *inside, class_="scroll", tabindex=0, role="group", aria_label=name)


def runs_table(caption: str, runs: Iterable[Run], frame: Frame, *, hook: bool = True) -> Html:
    """Runs, a line each."""
    headings = ["Run", "Hook", "State", "Recorded", "Took", "Attempt", "Event"]
    rows: list[list[Inside]] = [
        [
            run_link(run.run_id),
            hook_link(run.hook),
            join([badge(run.state), Html(" "), tag("span", how(run), class_="how")]),
            time(run.recorded_at, frame.now),
            duration(run.outcome.seconds if run.outcome else None),
            str(run.attempt) if run.attempt else NOTHING,
            run.event or NOTHING,
        ]
        for run in runs
    ]
    if not hook:
        headings.remove("Hook")
        for row in rows:
            del row[1]
    return table(caption, headings, rows, kind="runs")


def pager(newest: str, older: str) -> Html:
    """Where the other pages of a list are."""
    inside = []
    if newest:
        inside.append(tag("a", "« Newest", href=newest))
    if older:
        inside.append(tag("a", "Older »", href=older, rel="next"))
    return tag("nav", *inside, aria_label="Pages", class_="pager") if inside else Html("")


def whereabouts(newest: str, times: Sequence[float], frame: Frame) -> Html | None:
    """On which page of a list one is, if that is not its first, and how one gets there."""
    if not newest:
        return None
    back = tag("a", "Back to the newest", href=newest)
    if not times:
        return tag("p", "There is nothing older than where you are. ", back, ".", class_="empty")
    first, last = (time(each, frame.now, whole=True) for each in (times[0], times[-1]))
    return tag("p", "Older ones: from ", first, " back to ", last, ". ", back, ".", class_="soft")
