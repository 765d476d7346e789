"""Every page is well formed, says what it was given, and shows what is hostile as text."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hookrunner.model import Attempt, NewRun, Outcome, Refusal, Run, State, Why
from hookrunner.pages import (
    LANDING,
    STRICT,
    body,
    chart,
    docs,
    door,
    hook,
    links,
    overview,
    parts,
    refusals,
    run,
    runs,
)
from hookrunner.pages.assets import ASSETS, asset
from hookrunner.pages.shown import (
    Bucket,
    DocsHook,
    DocsPage,
    Filter,
    Frame,
    HookLine,
    HookPage,
    Overview,
    RefusalList,
    RunList,
    RunPage,
    Shown,
)
from tests.reading import Page, faults

NOW = 1_800_000_000.0
FRAME = Frame(NOW, "a-token")
HOSTILE = (
    "</textarea></pre></title>\"'><script>alert(1)</script><img src=x onerror=alert(1)>\u202e\0"
)
FAILED = Outcome(State.FAILED, Why.EXIT, 3, detail="exit 3", seconds=2.31)
RUN = Run(
    "k3x9k3x9k3x9k3x9k3x9", 7, "/deploy/<target>", State.FAILED, 2, NOW - 90, NOW - 60, FAILED
)
NEW = NewRun(
    hook="/deploy/<target>",
    method="POST",
    path="/deploy/prod",
    params={"target": "prod"},
    query="a=1&token=hush",
    headers={"host": "example.com", "authorization": "Bearer hush", "x-hub-signature": "hush"},
    content_type="application/json",
    body=b'{"ref": "main", "n": 1.50}',
    remote_addr="192.0.2.7",
)


def sent(content: bytes, content_type: str = "application/json", query: str = "") -> NewRun:
    return replace(NEW, body=content, content_type=content_type, query=query)


def shown_run(**given: object) -> Page:
    attempt = Shown(Attempt(2, NOW - 80, FAILED, b"said\n", b"\x1b[31mcried\n"))
    shown = RunPage(RUN, NEW, [Shown(Attempt(1, NOW - 89, FAILED)), attempt])
    html = run.page(FRAME, replace(shown, **given))  # type: ignore[arg-type]
    assert faults(html) == []
    return Page(html)


def described(text: str) -> dict[str, Any]:
    """As much of an OpenAPI document as is shown, with a text in it."""
    operation = {
        "summary": text,
        "description": text,
        "security": [{text: []}],
        "requestBody": {"content": {text: {}}},
        "responses": {
            "200": {"description": text, "content": {text: {}}, "headers": {text: {}}},
            "404": {"$ref": "#/components/responses/404"},
        },
    }
    return {
        "info": {"title": text, "version": text, "description": f"{text}\n\n{text}"},
        "paths": {text: {"post": operation}, f"/{text}": {"get": operation}},
        "components": {
            "securitySchemes": {text: {"type": "http", "scheme": text, "description": text}},
            "responses": {"404": {"description": text}},
        },
    }


def every_page(text: str) -> dict[str, str]:
    """Each page, with a text wherever somebody else may have put one."""
    raw = text.encode("utf-8", "surrogatepass")
    outcome = Outcome(State.FAILED, Why.EXIT, 3, detail=text)
    one = Run(text, 1, text, State.FAILED, 1, NOW, NOW, outcome, NOW, text, text, text)
    new = NewRun(text, text, text, {text: text}, text, {text: text}, text, raw, text)
    line = HookLine(text, text, text, one, 1, 1, 1, 0.1, 2.0, 3, 4)
    frame = Frame(NOW, text, text)
    schema = {"properties": {text: {"title": text, "description": text, "enum": [text]}}}
    refusal = Refusal(at=NOW, method=text, path=text, status=401, why=text, address=text, size=1)
    chosen = Filter(text, text, text, text, text)
    attempts = [Shown(Attempt(1, NOW, outcome, raw, raw), 10**9, 10**9)]
    return {
        "overview": overview.page(frame, Overview([line], [Bucket(NOW, 1800, {})], [one])),
        "runs": runs.page(frame, RunList([one], [text], chosen, searched_to=NOW, wrong=text)),
        "run": run.page(
            frame, RunPage(one, new, attempts, live=text, can_replay=True, can_cancel=True)
        ),
        "hook": hook.page(frame, HookPage(line, [(text, text)], schema, [text], [one])),
        "refusals": refusals.page(frame, RefusalList([refusal], 1000, {401: 7})),
        "docs": docs.page(frame, DocsPage(described(text), [DocsHook(text, text, schema)])),
        "login": door.login(text, text),
        "error": door.error(404, text, text),
    }


@pytest.mark.parametrize("name", every_page(""))
def test_a_page_is_well_formed_and_shows_what_is_hostile_as_text(name: str) -> None:
    html = every_page(HOSTILE)[name]
    page = Page(html)

    assert faults(html) == []
    assert not page.all("img")
    assert [script.given for script in page.all("script")] in (
        [],
        [{"src": asset("live.js"), "defer": ""}],
    )
    assert "<script>alert(1)</script>" in page.text
    assert "\u202e" not in page.text
    assert "\0" not in html


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(), max_size=30))
@example("\ud800\udcff<")
def test_no_text_whatever_spoils_a_page(text: str) -> None:
    for html in every_page(text).values():
        page = Page(html)
        assert page.faults == []
        assert not page.all("style")
        html.encode()


def test_a_run_says_what_became_of_it() -> None:
    page = shown_run(can_replay=True, replaced_by="other")

    assert page.one("title").text == "Run k3x9k3x9k3x9k3x9k3x9 · hookrunner"
    facts = [row.text for row in page.all("dd")]
    assert facts[:5] == [
        "✕ failed exit 3",
        "/deploy/<target>",
        "2027-01-15 07:58:30.000 UTC 1 min ago",
        "2027-01-15 07:59:00.000 UTC 1 min ago",
        "2.3 s",
    ]
    assert [moment.given["datetime"] for moment in page.all("time")][:2] == [
        "2027-01-15T07:58:30.000Z",
        "2027-01-15T07:59:00.000Z",
    ]
    assert [item.text for item in page.all("h3")] == ["Attempt 2", "Attempt 1"]
    assert [item.text for item in page.all("pre")][:2] == ["said\n", "cried\n"]
    assert page.one("span", class_="f1").text == "cried\n"
    assert [item.given["href"] for item in page.all("a", class_="ago")] == [
        "/-/runs/k3x9k3x9k3x9k3x9k3x9/stdout?attempt=2",
        "/-/runs/k3x9k3x9k3x9k3x9k3x9/stderr?attempt=2",
    ]
    replay = page.one("form", action="/-/runs/k3x9k3x9k3x9k3x9k3x9/replay")
    assert replay.given["method"] == "post"
    assert "cancel" not in page.html
    assert "noscript" not in page.html


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_times_are_of_utc_wherever_the_server_stands(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert time.localtime(0).tm_hour != 0
        whole = Page(parts.time(NOW - 90, NOW, whole=True))
        short = Page(parts.time(NOW - 90, NOW))
        bars = Page(chart.chart([Bucket(NOW - 3600, 1800, {State.RUNNING: 1})]))
    finally:
        monkeypatch.undo()
        time.tzset()

    assert whole.text == "2027-01-15 07:58:30.000 UTC 1 min ago"
    assert whole.one("time").given["datetime"] == "2027-01-15T07:58:30.000Z"
    assert short.text == "07:58:30 1 min ago"
    assert bars.one("desc").text == "07:00 to 07:30: 1 running"


def test_the_payload_is_as_large_as_it_was_sent() -> None:
    page = shown_run(new=sent(b'"****"'), size=1234)

    assert page.all("span", class_="soft ago")[-1].text == "application/json, 1.2 kB"


def test_credentials_are_not_shown() -> None:
    assert "hush" not in shown_run().html
    assert "a=1&token=****" in shown_run().text
    page = Page(str(body.shown(sent(b"", query="token=hush&q=x"))))
    assert [row.text for row in page.all("tr")] == ["FieldValue", "token****", "qx"]


def test_a_run_that_runs_is_listened_to() -> None:
    running = replace(RUN, state=State.RUNNING, ended_at=None, outcome=None)
    attempt = Shown(Attempt(1, NOW - 3, None, b"half \xc3", b""))
    page = shown_run(run=running, attempts=[attempt], live="1.6.0", can_cancel=True)

    place = page.one("div", data_from="1.6.0")
    assert place.given["data-live"] == "/-/runs/k3x9k3x9k3x9k3x9k3x9/live"
    assert page.one("pre", id="live-out").text == "half "
    raw = [link.text for link in page.all("a", class_="ago")]
    assert raw == ["Raw (stdout of attempt 1)", "Raw (stderr of attempt 1)"]  # it grows
    assert page.one("pre", id="live-err").text == ""
    assert page.one("meta", http_equiv="refresh").given["content"] == "5"
    assert "<noscript><meta" in page.html
    assert page.one("form", action="/-/runs/k3x9k3x9k3x9k3x9k3x9/cancel")


def test_a_long_output_is_shown_by_its_head_and_its_tail() -> None:
    output = b"first\n" + b"in between\n" * 300_000 + b"last\n"
    started = time.process_time()
    page = shown_run(attempts=[Shown(Attempt(1, NOW, FAILED, output, b""))])

    text = page.one("pre", class_="output out").text
    assert text.startswith("first\n")
    assert text.endswith("last\n")
    assert "… 2.1 MB between are in the raw output" in text
    assert time.process_time() - started < 2


def test_an_output_that_was_cut_before_says_so() -> None:
    cut = Shown(Attempt(1, NOW, FAILED, b"tail", b""), 5 * 2**20, stdout_head=b"head")
    page = shown_run(attempts=[cut])

    told = "head\n… 5.0 MB between are in the raw output\ntail"
    assert page.one("pre", class_="output out").text == told
    assert page.one("a", class_="ago").text == "Raw, 5.0 MB (stdout of attempt 1)"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b'{"a":[1,2.50,{"b":null}],"e":{},"l":[],"a":true}',
         '{\n  "a": [\n    1,\n    2.50,\n    {\n      "b": null\n    }\n  ],\n  "e": {},\n'
         '  "l": [],\n  "a": true\n}'),
        (b'"\\u003cscript\\u003e \\u00e9 \\u202e"', '"<script> é \\u202e"'),
        (b'"\\ud800"', '"\\ud800"'),
        (b'["a: {b}, \\"[c]\\""]', '[\n  "a: {b}, \\"[c]\\""\n]'),
        (b"1e400", "1e400"),
        (b"12345678901234567890123", "12345678901234567890123"),
        (b"no json {", "no json {"),
        (b"[" * 5000, None),
        (b"[" * 100_000 + b"]" * 100_000, None),
    ],
)  # fmt: skip
def test_json_is_indented_and_otherwise_as_it_was_sent(content: bytes, text: str | None) -> None:
    page = Page(body.shown(sent(content)))

    assert page.faults == []
    if text is not None:
        assert page.one("pre").text == text


def test_a_form_is_a_table_and_json_in_it_is_indented() -> None:
    content = b"name=Zo%C3%AB&x=%3Cb%3E&payload=%7B%22a%22%3A1%7D"
    page = Page(body.shown(sent(content, "application/x-www-form-urlencoded; charset=utf-8")))

    assert [row.text for row in page.all("tr")] == [
        "FieldValue",
        "nameZoë",
        "x<b>",
        'payload{\n  "a": 1\n}',
    ]


def test_what_is_no_text_is_shown_in_bytes() -> None:
    page = Page(body.shown(sent(bytes(range(256)) * 4, "application/octet-stream")))

    lines = page.one("pre").text.splitlines()
    assert page.one("p").text == "1.0 kB that are no text; the first of them:"
    assert lines[4] == f"0040  {bytes(range(64, 80)).hex(' ')}  @ABCDEFGHIJKLMNO"
    assert len(lines) == 32
    mostly = Page(body.shown(sent(b"caf\xe9 au lait, and more", "text/plain")))
    assert mostly.one("pre").text == "caf\\xe9 au lait, and more"


@pytest.mark.parametrize(
    "content",
    [
        json.dumps([{"k": "<v>"}] * 60_000).encode(),
        b"[" + b"1," * 500_000 + b"1]",
        b'"' + b"x" * 10_000_000 + b'"',
        b"&".join(b"a%d=<" % number for number in range(900)),
        b"<" * 10_000_000,
    ],
    ids=["objects", "numbers", "text", "form", "no json"],
)
@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_a_large_payload_is_shown_in_part(content: bytes, content_type: str) -> None:
    started = time.process_time()
    made = body.shown(sent(content, content_type))

    assert time.process_time() - started < 3  # half a second, for ten megabytes
    assert len(made) < 1_600_000
    assert made.count("<span") < 25_000
    assert Page(made).faults == []


def test_the_overview_says_how_each_hook_does() -> None:
    lines = [
        HookLine("/a", "a.py", "", RUN, 999, 1, 0, 0.0421, 75.0, 2, 1),
        HookLine("/b", "b.sh", "SECRET is not set"),
    ]
    buckets = [Bucket(NOW - 3600, 1800, {State.SUCCEEDED: 9, State.FAILED: 1}),
               Bucket(NOW - 1800, 1800, {State.RUNNING: 1})]  # fmt: skip
    html = overview.page(FRAME, Overview(lines, buckets, [replace(RUN, state=State.RUNNING)]))
    page = Page(html)

    assert faults(html) == []
    assert [(a.text, b.text) for a, b in zip(page.all("dt"), page.all("dd"), strict=True)] == [
        ("Running now", "1"),
        ("Queued", "2"),
        ("Succeeded, 24 h", "99.9 %"),
        ("Failed, 24 h", "1"),
    ]
    told = page.one("desc").text
    assert told == "07:00 to 08:00: 1 running, 9 succeeded, 1 failed"
    rows = [row.text for row in page.all("tr")]
    assert "/a a.py✕ failed 07:58:30 1 min ago99.9 % of 1,00042 ms1 min 15 s21" in rows
    assert "/b switched offb.shnever–––00" in rows
    assert "07:00–07:3000910" in rows
    assert page.one("a", aria_current="page").text == "Overview"


def test_a_chart_of_nothing_and_of_too_much_is_still_one() -> None:
    assert "No runs." in chart.chart([])
    page = Page(chart.chart([Bucket(NOW, 60, {State.FAILED: 10**9, State.QUEUED: 1})]))

    heights = [float(bar.given["height"]) for bar in page.all("rect", class_="bar-queued")]
    assert page.faults == []
    assert max(heights) == 12 or min(heights) >= 2
    assert all(float(bar.given["y"]) >= 0 for bar in page.all("rect") if "y" in bar.given)


def test_runs_keep_what_was_looked_for_and_lead_on() -> None:
    chosen = Filter("/gone", "failed", "<b>", "2026-11-28T05:19", "")
    shown = RunList([RUN], ["/a"], chosen, older="/-/runs?before=3", newest="/-/runs")
    html = runs.page(FRAME, shown)
    page = Page(html)

    assert faults(html) == []
    assert [option.given["value"] for option in page.all("option", selected="")] == [
        "/gone",
        "failed",
    ]
    assert page.one("input", id="text").given["value"] == "<b>"
    assert page.one("input", id="since").given["value"] == "2026-11-28T05:19"
    assert page.one("a", rel="next").given["href"] == "/-/runs?before=3"
    told = "Older ones: from 2027-01-15 07:58:30.000 UTC 1 min ago back to 2027-01-15 07:58:30.000 "
    assert f"{told}UTC 1 min ago. Back to the newest." in page.text
    further = Page(runs.page(FRAME, replace(shown, runs=[], searched_to=NOW - 86400)))
    assert "Nothing found so far." in further.text
    assert "Looked back to 2027-01-14 08:00:00.000 UTC 1 d ago. Look further" in further.text
    assert not further.all("a", rel="next")


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (runs.page(FRAME, RunList([], [])), "No run is kept."),
        (runs.page(FRAME, RunList([], [], Filter(text="x"))), "No run fits the filter."),
        (
            runs.page(FRAME, RunList([], [], newest="/-/runs")),
            "There is nothing older than where you are. Back to the newest.",
        ),
        (
            refusals.page(FRAME, RefusalList([], 10, newest="/-/refusals")),
            "There is nothing older than where you are. Back to the newest.",
        ),
        (refusals.page(FRAME, RefusalList([], 10)), "Nothing has been turned away."),
        (overview.page(FRAME, Overview([], [])), "There is no hook yet."),
        (hook.page(FRAME, HookPage(HookLine("/a", "a.py"), ())), "No run of this hook is kept."),
        (run.page(FRAME, RunPage(RUN, sent(b""), [])), "It was never started."),
    ],
)
def test_where_there_is_nothing_it_is_said(shown: str, said: str) -> None:
    assert faults(shown) == []
    assert said in Page(shown).text


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "–"), (0.0004, "0 ms"), (0.042, "42 ms"), (0.9996, "1.0 s"), (59.9, "59.9 s"),
     (59.96, "1 min"), (125, "2 min 5 s"), (3600, "1 h"), (7300, "2 h 1 min")],
)  # fmt: skip
def test_durations_are_said_as_people_say_them(seconds: float | None, said: str) -> None:
    assert Page(parts.duration(seconds)).text == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(NOW, "just now"), (NOW - 5, "5 s ago"), (NOW - 60, "1 min ago"), (NOW - 90_000, "1 d ago"),
     (NOW + 3700, "in 1 h")],
)  # fmt: skip
def test_times_are_told_from_now(seconds: float, said: str) -> None:
    assert parts.ago(seconds, NOW) == said


@pytest.mark.parametrize("seconds", [1e300, -1e300, float("nan"), float("inf")])
def test_a_time_that_no_calendar_has_spoils_no_page(seconds: float) -> None:
    assert Page(parts.time(seconds, NOW)).text == "–"


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [(0, 0, ""), (0, 5, "0 %"), (5, 5, "100 %"), (9999, 10_000, "99.9 %"), (1, 10_000, "< 1 %")],
)
def test_a_hundred_per_cent_are_all(part: int, whole: int, said: str) -> None:
    assert parts.share(part, whole) == said


def test_addresses_hold_whatever_a_name_holds() -> None:
    assert links.hook("/a<b>&c") == "/-/hook?path=%2Fa%3Cb%3E%26c"
    assert links.run("a/b?") == "/-/runs/a%2Fb%3F"
    assert links.runs(Filter(hook="/a", text="&"), 7) == "/-/runs?hook=%2Fa&text=%26&before=7"
    assert links.runs(Filter()) == "/-/runs"


def test_assets_are_served_by_an_address_that_changes_with_them() -> None:
    assert set(ASSETS) == {"icon.svg", "live.js", "style.css"}
    for name, (kind, contents) in ASSETS.items():
        assert re.fullmatch(rf"/-/assets/{re.escape(name)}\?v=[0-9a-f]{{12}}", asset(name))
        assert kind.partition(";")[0] in ("text/css", "text/javascript", "image/svg+xml")
        assert contents


def test_no_page_may_load_or_run_anything_but_what_we_ship() -> None:
    policy = STRICT["Content-Security-Policy"]

    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "<script" not in LANDING


def test_colours_can_be_read_by_day_and_by_night() -> None:
    """Every colour of text on every ground it may stand on: 4.5 to 1 (WCAG 2.2, 1.4.3)."""
    style = ASSETS["style.css"][1].decode()
    by_day, by_night = (
        dict(re.findall(r"--([a-z0-9-]+): ?(#[0-9a-f]{6})", part))
        for part in (style[: style.index("@media")], style[style.index("@media") :])
    )
    for colours in (by_day, by_night):
        pairs = [("ink", "ground"), ("soft", "ground"), ("soft", "card"), ("on-accent", "accent")]
        pairs += [("accent", ground) for ground in ("card", "ground")]
        pairs += [(f"c{number}", "sunk") for number in range(16)]
        pairs += [("card", f"c{number}") for number in range(16)]
        for name in ("good", "bad", "busy", "wait", "gone"):
            pairs += [(name, f"{name}-ground")]
        pairs += [("bad", "card"), ("bad", "sunk"), ("ink", "gone-ground"), ("card", "ink")]
        pairs += [("soft", "gone-ground"), ("busy", "card"), ("ink", "card"), ("ink", "sunk")]
        poor = [pair for pair in pairs if contrast(colours[pair[0]], colours[pair[1]]) < 4.5]
        assert poor == []
        assert contrast(colours["edge"], colours["card"]) >= 3  # of a control (1.4.11)


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
