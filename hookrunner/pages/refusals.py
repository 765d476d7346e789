"""The page /-/refusals: what was turned away, when and why; without what it carried."""

from __future__ import annotations

from hookrunner.pages import layout, parts
from hookrunner.pages.markup import Html, Inside, join, tag
from hookrunner.pages.shown import Frame, Refusal, RefusalList

HEADINGS = ("When", "Request", "Status", "Why", "From", "Body")


def page(frame: Frame, shown: RefusalList) -> str:
    """Refusals as HTML."""
    kept = f"The last {shown.most:,} are kept; what they carried is not."
    if shown.refusals:
        rows = [_row(refusal, frame) for refusal in shown.refusals]
        listed = parts.table("Refused deliveries, the newest first", HEADINGS, rows)
    elif shown.newest:
        listed = Html("")
    else:
        listed = layout.empty("Nothing has been turned away.")
    where = parts.whereabouts(shown.newest, [each.at for each in shown.refusals], frame)
    return layout.page(
        frame,
        "Refusals",
        layout.heading("Refusals"),
        tag("p", "Deliveries that were turned away. ", kept, class_="soft"),
        _counts(shown),
        tag(
            "div",
            where,
            listed,
            parts.pager(shown.newest if shown.refusals else "", shown.older),
            class_="panel",
        ),
        place="Refusals",
    )


def _counts(shown: RefusalList) -> Html | None:
    """How many there were since the start, whatever is kept."""
    if not shown.counts:
        return None
    by_status = ", ".join(f"{count:,} × {status}" for status, count in shown.counts.items())
    total = sum(shown.counts.values())
    return tag("p", f"Since the start: {total:,} ({by_status}).", class_="soft")


def _row(refusal: Refusal, frame: Frame) -> list[Inside]:
    return [
        parts.time(refusal.at, frame.now),
        tag("code", refusal.method, " ", refusal.path),
        join([tag("span", str(refusal.status), class_="badge failed")]),
        refusal.why,
        tag("code", refusal.address, class_="unbroken") if refusal.address else parts.NOTHING,
        parts.unbroken(parts.size(refusal.size)) if refusal.size else parts.NOTHING,
    ]
