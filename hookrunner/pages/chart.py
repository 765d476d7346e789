"""Runs over time as a picture, and as the table that says the same."""

from __future__ import annotations

from collections.abc import Sequence

from hookrunner.model import State
from hookrunner.pages import parts
from hookrunner.pages.markup import Html, Inside, join, tag
from hookrunner.pages.shown import Bucket

ORDER = (State.SUCCEEDED, State.CANCELLED, State.QUEUED, State.RUNNING, State.FAILED)
"""From the bottom of a bar up."""

WIDE, HIGH = 15, 120
"""A bar's place, in the picture's own units."""

HATCH = Html(
    '<defs><pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><path d="M0 0v5" class="hatch"/></pattern></defs>'
)
"""Failures are hatched, so that it is not their colour alone that tells them."""


def chart(buckets: Sequence[Bucket]) -> Html:
    """Stacked bars, a bar for each bucket, with a legend and a table."""
    most = max((sum(bucket.counts.values()) for bucket in buckets), default=0)
    bars = [_bar(number, bucket, most) for number, bucket in enumerate(buckets)]
    told = _told(buckets)
    picture = tag(
        "svg",
        tag("title", "Runs over time, by state", id="chart-title"),
        tag("desc", told, id="chart-told"),
        HATCH,
        *bars,
        role="img",
        aria_labelledby="chart-title chart-told",
        viewBox=f"0 0 {max(1, len(buckets)) * WIDE} {HIGH}",
        preserveAspectRatio="none",
    )
    axis = tag("div", *_marks(buckets), class_="axis", aria_hidden="true")
    return tag("figure", _legend(buckets, most), picture, axis, _table(buckets), class_="chart")


def _bar(number: int, bucket: Bucket, most: int) -> Html:
    made: list[Inside] = [tag("title", f"{_when(bucket)}: {_counted(bucket)}")]
    # What the whole bar's place has a title for must be there to be pointed at.
    left, top = number * WIDE, float(HIGH)
    made.append(_box(left, 0, HIGH, fill="transparent", width=WIDE))
    made.append(_box(left + 1.5, HIGH - 1, 1, class_="bar-none"))
    for state in ORDER:
        if count := bucket.counts.get(state, 0):
            # The smallest count can still be seen.
            height = max(2.0, count / most * (HIGH - 4))
            top -= height
            made.append(_box(left + 1.5, top, height, class_=f"bar-{state.value}"))
            if state is State.FAILED:
                made.append(_box(left + 1.5, top, height, fill="url(#hatch)"))
    return tag("g", *made)


def _box(
    x: float, y: float, height: float, *, width: float = WIDE - 3, class_: str = "", fill: str = ""
) -> Html:
    return tag(
        "rect",
        x=f"{x:g}",
        y=f"{max(0.0, y):.1f}",
        width=f"{width:g}",
        height=f"{height:.1f}",
        class_=class_ or None,
        fill=fill or None,
    )


def _legend(buckets: Sequence[Bucket], most: int) -> Html:
    """Each state with what its colour is and how many there are; and how high the chart is."""
    made = []
    for state in reversed(ORDER):
        count = sum(bucket.counts.get(state, 0) for bucket in buckets)
        if count or state in (State.SUCCEEDED, State.FAILED):
            swatch = Html(
                f'<svg class="swatch" viewBox="0 0 12 12" width="12" height="12" '
                f'aria-hidden="true"><rect width="12" height="12" class="bar-{state.value}"/>'
                + ('<path d="M0 12 12 0" class="hatch"/>' if state is State.FAILED else "")
                + "</svg>"
            )
            made.append(tag("li", swatch, f"{state.value} {count:,}"))
    if most:
        made.append(tag("li", f"highest bar: {most:,}"))
    return tag("ul", *made, class_="legend")


def _marks(buckets: Sequence[Bucket]) -> list[Html]:
    """A few times below the bars."""
    if not buckets:
        return []
    last = buckets[-1]
    ends = last.start + last.seconds
    step = (ends - buckets[0].start) / 4
    return [tag("span", _clock(buckets[0].start + step * number)) for number in range(5)]


def _table(buckets: Sequence[Bucket]) -> Html:
    rows: list[list[Inside]] = [
        [_when(bucket), *[f"{bucket.counts.get(state, 0):,}" for state in State]]
        for bucket in buckets
        if sum(bucket.counts.values())
    ]
    if not rows:
        return Html("")
    heads = ["Time (UTC)", *[state.value.capitalize() for state in State]]
    shown = parts.table("Runs over time, by state", heads, rows)
    return tag("details", tag("summary", "As a table"), shown)


def _told(buckets: Sequence[Bucket]) -> str:
    if not buckets:
        return "No runs."
    whole = {state: sum(b.counts.get(state, 0) for b in buckets) for state in State}
    said = ", ".join(f"{count:,} {state.value}" for state, count in whole.items() if count)
    last = buckets[-1]
    return f"{_clock(buckets[0].start)} to {_clock(last.start + last.seconds)}: {said or 'no runs'}"


def _counted(bucket: Bucket) -> str:
    said = [f"{count:,} {state.value}" for state in State if (count := bucket.counts.get(state, 0))]
    return ", ".join(said) or "no runs"


def _when(bucket: Bucket) -> str:
    return f"{_clock(bucket.start)}–{_clock(bucket.start + bucket.seconds)}"


def _clock(seconds: float) -> str:
    when = parts.moment(seconds)
    return f"{when:%H:%M}" if when else "–"


def rate(succeeded: int, failed: int) -> Html:
    """How many of those that ended succeeded: a bar, and in words."""
    whole = succeeded + failed
    if not whole:
        return parts.NOTHING
    wide = 56 * succeeded / whole
    bar = Html(
        f'<svg viewBox="0 0 56 8" width="56" height="8" aria-hidden="true">'
        f'<rect width="56" height="8" class="bar-failed"/>'
        f'<rect width="{wide:.1f}" height="8" class="bar-succeeded"/></svg>'
    )
    words = f"{parts.share(succeeded, whole)} of {whole:,}"
    return tag("span", join([bar, tag("span", words)]), class_="rate")
