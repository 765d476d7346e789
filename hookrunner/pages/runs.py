"""The page /-/runs: runs, filtered, a page at a time."""

from __future__ import annotations

from collections.abc import Iterable

from hookrunner.model import State
from hookrunner.pages import layout, parts
from hookrunner.pages.markup import Html, Inside, plain, tag
from hookrunner.pages.shown import Filter, Frame, RunList


def page(frame: Frame, shown: RunList) -> str:
    """Runs as HTML."""
    if shown.runs:
        listed = parts.runs_table("Runs, the newest first", shown.runs, frame)
    elif shown.searched_to is not None:
        listed = layout.empty("Nothing found so far.")
    elif shown.newest:
        listed = Html("")
    elif shown.filter != Filter():
        all_runs = tag("a", "See all runs", href="/-/runs")
        listed = layout.empty("No run fits the filter. ", all_runs, ".")
    else:
        listed = layout.empty("No run is kept. As soon as a hook is called, its run is here.")
    further = _further(shown, frame)
    older = "" if further else shown.older
    where = parts.whereabouts(shown.newest, [run.recorded_at for run in shown.runs], frame)
    if not shown.runs and shown.searched_to is not None:
        where = None
    return layout.page(
        frame,
        "Error: Runs" if shown.wrong else "Runs",
        layout.heading("Runs"),
        tag("div", _filter(shown), class_="panel"),
        tag(
            "div",
            where,
            listed,
            further,
            parts.pager("" if where and not shown.runs else shown.newest, older),
            class_="panel",
        ),
        place="Runs",
    )


def _further(shown: RunList, frame: Frame) -> Html | None:
    """Where a search stopped, and how it goes on."""
    if shown.searched_to is None:
        return None
    reached = parts.time(shown.searched_to, frame.now, whole=True)
    onward = tag("a", "Look further", href=shown.older) if shown.older else None
    return tag("p", "Looked back to ", reached, ". ", onward, class_="off", role="status")


def _filter(shown: RunList) -> Html:
    chosen = shown.filter
    hooks = [("", "All hooks"), *((path, path) for path in shown.hooks)]
    if chosen.hook and chosen.hook not in shown.hooks:
        hooks.append((chosen.hook, chosen.hook))
    states = [("", "All states"), *((state.value, state.value) for state in State)]
    wrong = (
        tag("p", shown.wrong, class_="wrong", role="alert", id="filter-wrong")
        if shown.wrong
        else None
    )
    return tag(
        "form",
        wrong,
        _labelled("Hook", "hook", select("hook", "hook", hooks, chosen.hook)),
        _labelled("State", "state", select("state", "state", states, chosen.state)),
        _labelled(
            "Text", "text", _input("text", "search", chosen.text, "In id, event, path or payload")
        ),
        _labelled("From (UTC)", "since", _input("since", "datetime-local", chosen.since)),
        _labelled("Until (UTC)", "until", _input("until", "datetime-local", chosen.until)),
        tag("div", parts.button("Filter", "main"), _reset(chosen), class_="go"),
        method="get",
        action="/-/runs",
        role="search",
        class_="filter",
        aria_label="Runs",
        aria_describedby="filter-wrong" if shown.wrong else None,
    )


def _reset(chosen: Filter) -> Html | None:
    return tag("a", "Reset", href="/-/runs") if chosen != Filter() else None


def _labelled(words: str, control: str, inside: Inside) -> Html:
    return tag("div", tag("label", words, for_=control), inside)


def _input(name: str, kind: str, value: str, example: str = "") -> Html:
    return tag(
        "input", type=kind, id=name, name=name, value=value or None, placeholder=example or None
    )


def select(
    identity: str,
    name: str,
    options: Iterable[tuple[str, str]],
    chosen: str,
    **attributes: str | bool | None,
) -> Html:
    """A list of values to choose from, each with its words."""
    made = [
        tag("option", Html(plain(words)), value=value, selected=value == chosen)
        for value, words in options
    ]
    return tag("select", *made, id=identity, name=name, **attributes)
