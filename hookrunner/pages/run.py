"""The page /-/runs/ID: one run, whole; what it prints is seen while it runs."""

from __future__ import annotations

from hookrunner.model import State
from hookrunner.pages import ansi, body, layout, links, parts
from hookrunner.pages.markup import Html, Inside, join, tag
from hookrunner.pages.shown import Frame, RunPage, Shown

MOST = 2**20
"""Bytes of an output that are shown whole."""

MOST_BEFORE = 2**16
"""The same of attempts before the last, which few look at."""


def page(frame: Frame, shown: RunPage) -> str:
    """A run as HTML."""
    run = shown.run
    return layout.page(
        frame,
        f"Run {run.run_id}",
        layout.heading(
            join(["Run ", tag("code", run.run_id, class_="id")]), *_buttons(frame, shown)
        ),
        _facts(frame, shown),
        _attempts(frame, shown),
        _payload(shown),
        _request(shown),
        place="Runs",
        changing=bool(shown.live),
    )


def _buttons(frame: Frame, shown: RunPage) -> list[Html]:
    address = links.run(shown.run.run_id)
    made = []
    if shown.can_cancel:
        question = "Its script is ended, and it is not tried again."
        if shown.run.state is State.QUEUED:
            question = "It will not be started any more."
        made.append(parts.confirmed(frame, f"{address}/cancel", "Cancel run", question, "danger"))
    if shown.can_replay:
        question = "The same payload goes to the script once more, in a new run."
        made.append(parts.confirmed(frame, f"{address}/replay", "Replay", question))
    return made


def _facts(frame: Frame, shown: RunPage) -> Html:
    run = shown.run
    hook = parts.hook_link(run.hook) if shown.hook_exists else join([tag("code", run.hook)])
    gone = None if shown.hook_exists else tag("span", " is not in hooks.yaml", class_="soft")
    facts: list[tuple[str, Inside]] = [
        ("State", join([parts.badge(run.state), Html(" "), tag("span", parts.how(run))])),
        ("Hook", join([hook, gone])),
        ("Recorded", parts.time(run.recorded_at, frame.now, whole=True)),
    ]
    if run.ended_at is not None:
        facts.append(("Ended", parts.time(run.ended_at, frame.now, whole=True)))
    if run.state is State.QUEUED and run.due is not None:
        facts.append(("Due", parts.time(run.due, frame.now, whole=True)))
    if run.outcome is not None:
        facts.append(("Took", parts.duration(run.outcome.seconds)))
    if run.event:
        facts.append(("Event", tag("code", run.event)))
    if run.delivery_id:
        facts.append(("Delivery", tag("code", run.delivery_id)))
    if run.replaces:
        facts.append(("Done again from", parts.run_link(run.replaces)))
    if shown.replaced_by:
        facts.append(("Done again by", parts.run_link(shown.replaced_by)))
    return tag("div", parts.pairs(facts, "wide"), class_="panel")


def _attempts(frame: Frame, shown: RunPage) -> Html:
    """Each attempt with its output, the last first: it is what one comes for."""
    live: dict[str, str] = {}
    note = None
    if shown.live:
        live = {"data_live": f"{links.run(shown.run.run_id)}/live", "data_from": shown.live}
        note = tag("p", "", class_="live-note", id="live-note", role="status")
    if not shown.attempts:
        waiting = shown.run.state is State.QUEUED
        made: list[Html] = [
            layout.empty("It waits to be started." if waiting else "It was never started.")
        ]
    else:
        last = max(each.attempt.number for each in shown.attempts)
        ordered = sorted(shown.attempts, key=lambda each: -each.attempt.number)
        made = [_attempt(frame, shown, each, each.attempt.number == last) for each in ordered]
    inside = tag("div", *made, **live)
    return layout.section("Attempts", inside, beside=note)


def _attempt(frame: Frame, shown: RunPage, each: Shown, last: bool) -> Html:
    attempt = each.attempt
    outcome = attempt.outcome
    state = outcome.state if outcome else State.RUNNING
    live = last and bool(shown.live) and outcome is None
    said: list[Inside] = [parts.badge(state)]
    if outcome:
        said += [Html(" "), tag("span", str(outcome), class_="how")]
        said += [Html(" "), tag("span", "in ", parts.duration(outcome.seconds), class_="how")]
    head = tag("summary", tag("h3", f"Attempt {attempt.number}"), Html(" "), *said)
    streams = [
        _stream(shown, each, "stdout", live=live, last=last),
        _stream(shown, each, "stderr", live=live, last=last),
    ]
    silent = None
    if not any(streams):
        silent = layout.empty("It printed nothing.")
    started = tag("p", "Started ", parts.time(attempt.started_at, frame.now, whole=True))
    return tag("details", head, started, *streams, silent, class_="attempt", open=last or None)


def _stream(shown: RunPage, each: Shown, name: str, *, live: bool, last: bool) -> Html | None:
    """What an attempt printed to stdout or to stderr."""
    out = name == "stdout"
    data = each.attempt.stdout if out else each.attempt.stderr
    head = each.stdout_head if out else each.stderr_head
    whole = max(len(data), each.stdout_size if out else each.stderr_size)
    if not data and not live:
        return None
    kind, words = ("out", "Standard output") if out else ("err", "Standard error")
    number = each.attempt.number
    mark = tag("span", "|" if out else "!", class_="mark", aria_hidden="true")
    raw = tag(
        "a",
        # While it grows nobody would tell how much it has become.
        f"Raw, {parts.size(whole)}" if whole and not live else "Raw",
        tag("span", f" ({name} of attempt {number})", class_="unseen"),
        href=links.output(shown.run.run_id, name, number),
        class_="ago",
    )
    heading = tag("div", tag("h4", mark, words), raw, class_="heading")
    output = tag(
        "pre",
        _output(head, data, whole, MOST if last else MOST_BEFORE, live=live),
        id=f"live-{kind}" if live else None,
        class_=f"output {kind}",
        tabindex=0,
        role="log" if live else "group",
        aria_label=f"{words} of attempt {number}",
    )
    box = tag("div", output, class_=f"box {kind}")
    return tag("div", heading, box, class_=f"stream {kind}", hidden=live and not data)


def _output(head: bytes, data: bytes, whole: int, most: int, *, live: bool) -> Html:
    """An output's HTML: if it is long, its head and its tail."""
    if not head and not live and len(data) > most:
        half = most // 2
        head, data = data[:half], data[-half:]
    # What a live one ends in may be half of something, whose other half will come.
    tail = ansi.Renderer().feed(data) if live else ansi.html(data)
    missing = whole - len(head) - len(data)
    if not head or missing <= 0:
        return tail
    between = _cut(f"… {parts.size(missing)} between are in the raw output")
    return join([ansi.html(head), Html("\n"), between, Html("\n"), tail])


def _cut(words: str) -> Html:
    return tag("span", words, class_="cut")


def _payload(shown: RunPage) -> Html:
    new = shown.new
    kind = new.content_type or "no content type"
    size = len(new.body) if shown.size is None else shown.size
    said = tag("span", f"{kind}, {parts.size(size)}", class_="soft ago")
    return layout.section("Payload", body.shown(new), beside=said)


def _request(shown: RunPage) -> Html:
    new = shown.new
    line = f"{new.method} {new.path}"
    if new.query:
        line += f"?{body.query(new.query)}"
    facts: list[tuple[str, Inside]] = [("Request", tag("code", line))]
    if new.remote_addr:
        facts.append(("From", tag("code", new.remote_addr)))
    if not new.headers:
        return layout.section("Request", parts.pairs(facts))
    heads = tag(
        "details",
        tag("summary", f"Headers ({len(new.headers)}, without credentials)"),
        body.headers(new.headers.items()),
        class_="more",
        open=True,
    )
    return layout.section("Request", parts.pairs(facts), heads)
