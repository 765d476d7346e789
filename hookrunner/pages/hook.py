"""The page /-/hook?path=…: one hook, its settings and its schema, and a form for trying it."""

from __future__ import annotations

from hookrunner.pages import fields, layout, links, parts, tryform
from hookrunner.pages.chart import rate
from hookrunner.pages.markup import Html, tag
from hookrunner.pages.overview import last_run
from hookrunner.pages.shown import Filter, Frame, HookPage


def page(frame: Frame, shown: HookPage) -> str:
    """A hook as HTML."""
    line = shown.line
    off = tag("p", "Switched off: ", line.off, class_="off") if line.off else None
    wrong = tryform.summary(shown)
    form = layout.section("Try it", tryform.form(frame, shown))
    activity = [_figures(frame, shown), _runs(frame, shown)]
    return layout.page(
        frame,
        f"Error: {line.path}" if wrong else line.path,
        layout.heading(tag("code", line.path)),
        wrong,
        off,
        # Whoever has something to mend wants to see that first.
        *([form, *activity] if wrong else [*activity, form]),
        _schema(shown),
        layout.section("Settings", parts.pairs(shown.settings, "wide settings")),
        place="",
    )


def _figures(frame: Frame, shown: HookPage) -> Html:
    line = shown.line
    return tag(
        "div",
        parts.pairs(
            [
                ("Script", tag("code", line.script)),
                ("Last run", last_run(frame, line)),
                ("Succeeded, 24 h", rate(line.succeeded, line.failed)),
                ("Cancelled, 24 h", f"{line.cancelled:,}"),
                ("Half within (p50)", parts.duration(line.p50)),
                ("Most within (p95)", parts.duration(line.p95)),
                ("Queued", f"{line.queued:,}"),
                ("Running", f"{line.running:,}"),
            ],
            "wide",
        ),
        class_="panel",
    )


def _runs(frame: Frame, shown: HookPage) -> Html:
    path = shown.line.path
    if not shown.runs:
        return layout.section("Last runs", layout.empty("No run of this hook is kept."))
    every = tag("a", "All its runs", href=links.runs(Filter(hook=path)))
    listed = parts.runs_table(f"The last runs of {path}", shown.runs, frame, hook=False)
    return layout.section("Last runs", listed, beside=every)


def _schema(shown: HookPage) -> Html:
    if shown.schema is None:
        nothing = layout.empty("The hook has no schema: any payload is taken.")
        return layout.section("Payload", nothing)
    return layout.section("Payload", fields.table(shown.schema))
