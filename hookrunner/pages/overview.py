"""The page /-/: every hook at a glance, and what goes on."""

from __future__ import annotations

from hookrunner.pages import layout, links, parts
from hookrunner.pages.chart import chart, rate
from hookrunner.pages.markup import Html, Inside, join, tag
from hookrunner.pages.shown import Frame, HookLine, Overview

HEADINGS = ("Hook", "Last run", "Succeeded, 24 h", "p50", "p95", "Queued", "Running")


def page(frame: Frame, shown: Overview) -> str:
    """The overview as HTML."""
    return layout.page(
        frame,
        "Overview",
        layout.heading("Overview"),
        _figures(shown),
        layout.section("Runs of the last 24 hours", chart(shown.buckets)),
        _live(frame, shown),
        _hooks(frame, shown),
        place="Overview",
    )


def _figures(shown: Overview) -> Html:
    """What there is to know at the first glance."""
    failed = sum(line.failed for line in shown.hooks)
    succeeded = sum(line.succeeded for line in shown.hooks)
    ended = failed + succeeded
    figures = [
        ("Running now", f"{sum(line.running for line in shown.hooks):,}", ""),
        ("Queued", f"{sum(line.queued for line in shown.hooks):,}", ""),
        ("Succeeded, 24 h", parts.share(succeeded, ended) or "–", ""),
        ("Failed, 24 h", f"{failed:,}", "bad" if failed else ""),
    ]
    made = [
        tag("div", tag("dt", name), tag("dd", figure), class_=kind or None)
        for name, figure, kind in figures
    ]
    return tag("dl", *made, class_="figures")


def _live(frame: Frame, shown: Overview) -> Html:
    if not shown.live:
        return Html("")
    rows: list[list[Inside]] = [
        [
            parts.run_link(run.run_id),
            parts.hook_link(run.hook),
            parts.badge(run.state),
            parts.time(run.recorded_at, frame.now),
            str(run.attempt) if run.attempt else parts.NOTHING,
        ]
        for run in shown.live
    ]
    headings = ("Run", "Hook", "State", "Recorded", "Attempt")
    return layout.section(
        "Now", parts.table("What runs and what is queued now", headings, rows, kind="runs")
    )


def _hooks(frame: Frame, shown: Overview) -> Html:
    if not shown.hooks:
        nothing = layout.empty("There is no hook yet. Name one in ", tag("code", "hooks.yaml"), ".")
        return layout.section("Hooks", nothing)
    rows = [_row(frame, line) for line in shown.hooks]
    return layout.section("Hooks", parts.table("Hooks", HEADINGS, rows, kind="hooks"))


def _row(frame: Frame, line: HookLine) -> list[Inside]:
    off = tag("span", "switched off", class_="badge paused", title=line.off) if line.off else None
    script = tag("div", line.script, class_="soft ago")
    return [
        join([parts.hook_link(line.path), Html(" "), off, script]),
        last_run(frame, line),
        rate(line.succeeded, line.failed),
        parts.duration(line.p50),
        parts.duration(line.p95),
        f"{line.queued:,}",
        f"{line.running:,}",
    ]


def last_run(frame: Frame, line: HookLine) -> Html:
    """A hook's last run: how it went, when, and where to see it."""
    run = line.last
    if run is None:
        return tag("span", "never", class_="soft")
    badge = tag("a", parts.badge(run.state), href=links.run(run.run_id))
    return join([badge, Html(" "), parts.time(run.recorded_at, frame.now)])
