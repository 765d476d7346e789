"""Metrics as Prometheus sees them: each that docs/metrics.md names is there, and moves."""

from __future__ import annotations

import http.client
import json
import math
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_text
from prometheus_client.registry import Collector

from hookrunner import VERSION
from hookrunner.metrics import Format
from hookrunner.model import REASONS
from tests import documents
from tests.serving import REPOSITORY, Project, Response, Server, wait_until

TOKEN = "the administrator's token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
DOCUMENT = documents.page("docs/metrics.md")
NAMED = dict(re.findall(r"(?m)^\| `(\w+)` \| (\w+) \|", DOCUMENT))
"""What the page names, and of what kind it is."""

SCRAPED, SCRAPED_APART, RULES = re.findall(r"(?ms)^```yaml\n(.*?)^```", DOCUMENT)
OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5"

HOOKS = """
/works:
  script: works.py
  auth: none
  dedupe: {header: X-Id}
  env: {BIG: "{payload:/big}"}
/fails:
  script: fails.sh
  auth: none
  on_failure: works.py
/wanted:
  script: fails.sh
  auth: none
  when: {properties: {payload: {const: 1}}}
/fits:
  script: fails.sh
  auth: none
  schema: {const: 1}
  max_body: 10B
/holds:
  script: holds.sh
  auth: none
  concurrency: 1
  queue: 1
  respond: {mode: status, wait: 20s}
/kept/<name>:
  script: fails.sh
  auth: {github: $SECRET}
/off:
  script: fails.sh
  auth: {github: $NOT_SET}
"""
LEAVES = """
/leaves:
  script: works.py
  auth: none
"""
LOUD = """
/loud:
  script: loud.py
  auth: none
  respond: {mode: status, wait: 20s}
"""
HOLDS = "until [ -e let-go ]; do sleep 0.02; done\n"

Scrape = dict[tuple[str, ...], float]
"""Each number, by its name and its labels' values in the order of their names."""


def write(project: Project, hooks: str = HOOKS) -> Project:
    project.hooks(hooks)
    project.script("works.py", "print('done')\n")
    project.script("fails.sh", "exit 3\n")
    project.script("holds.sh", HOLDS)
    return project


@pytest.fixture
def server(project: Project) -> Iterator[Server]:
    with write(project).serve(ADMIN_TOKEN=TOKEN, SECRET="s" * 20) as server:
        yield server


def asked(server: Server, accept: str = "text/plain") -> Response:
    answer = server.get("/-/metrics", Accept=accept, **BEARER)
    assert answer.status == 200, answer
    return answer


def numbers(text: str) -> Scrape:
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in read_text(text)
        for sample in family.samples
    }


def scraped(server: Server) -> Scrape:
    return numbers(asked(server).text)


def families(text: str) -> dict[str, str]:
    """The name, as the page has it, and kind of each family."""
    return {
        f"{family.name}_total" if family.type == "counter" else family.name: family.type
        for family in read_text(text)
    }


def moved(before: Scrape, after: Scrape) -> Scrape:
    """What has become another number, but for what a process does in any case, and times."""
    return {
        key: number - before.get(key, 0)
        for key, number in after.items()
        if number != before.get(key, 0)
        and not key[0].startswith("process_")
        and not key[0].endswith(("_bucket", "_sum"))
        and key[0] != "hookrunner_journal_commit_seconds_count"
        and key[0] != "hookrunner_spares"
    }


def test_each_metric_of_the_page_is_there_and_no_other(server: Server) -> None:
    server.post_json("/works", {})
    assert families(asked(server).text) == NAMED


def test_promtool_takes_the_metrics_and_finds_nothing_to_mend(server: Server) -> None:
    server.post_json("/works", {})
    text = asked(server).text
    assert len(list(read_text(text))) == len(NAMED)
    if promtool := shutil.which("promtool"):
        told = subprocess.run(
            [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


def test_whoever_asks_for_openmetrics_gets_it(server: Server) -> None:
    plain, answer = asked(server), asked(server, OPENMETRICS)

    kind = plain.headers["Content-Type"]
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0;")
    assert answer.text.endswith("\n# EOF\n")
    parsed = list(read_openmetrics(answer.text))  # type: ignore[no-untyped-call]
    assert len(parsed) == len(list(read_text(plain.text)))


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/openmetrics-text; version=x", "text/plain; version=0.0.4; charset=utf-8"),
        ('text/plain;version=1.0.0"><x', "text/plain; version=0.0.4; charset=utf-8"),
        (f"text/plain; version={'9' * 5000}", "text/plain; version=0.0.4; charset=utf-8"),
        (
            "text/plain;version=\xe9, application/openmetrics-text; version=1.0.0",
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores",
        ),
    ],
)
def test_a_format_s_version_that_is_none_is_not_asked_for(
    shared: Server, accept: str, kind: str
) -> None:
    assert asked(shared, accept).headers["Content-Type"] == kind


def test_a_hook_beside_our_own_pages_is_counted_as_any_other(shared: Server) -> None:
    for path in ("/-kept", "//-kept", "/-/kept"):
        shared.get(path)
    told = scraped(shared)
    assert told["hookrunner_refusals_total", "/-kept", "method", "405"] == 2
    assert told["hookrunner_refusals_total", "", "not found", "404"] == 1
    assert ("hookrunner_refusals_total", "/<any>/<thing>", "not found", "404") not in told


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for several tests, with paths that are nearly our own."""
    hooks = (
        "/-kept: {script: fails.sh, auth: none}\n/<any>/<thing>: {script: fails.sh, auth: none}\n"
    )
    project = write(Project(tmp_path_factory.mktemp("shared") / "project"), hooks)
    with project.serve(ADMIN_TOKEN=TOKEN) as server:
        yield server


def test_a_run_that_succeeds_moves_its_numbers(server: Server) -> None:
    server.wait_for_line("from now on warm: works.py")
    before = scraped(server)
    server.post_json("/works", {}, X_Id="1")
    server.post_json("/works", {}, X_Id="1")
    after = scraped(server)

    assert moved(before, after) == {
        ("hookrunner_runs_recorded_total", "/works"): 1,
        ("hookrunner_deliveries_joined_total", "/works"): 1,
        ("hookrunner_runs_ended_total", "/works", "succeeded"): 1,
        ("hookrunner_start_delay_seconds_count", "/works"): 1,
        ("hookrunner_script_duration_seconds_count", "/works"): 1,
        ("hookrunner_script_starts_total", "warm"): 1,
    }
    took = after["hookrunner_script_duration_seconds_sum", "/works"]
    assert server.state(server.post_json("/works", {}, X_Id="1").headers["Hook-Run"])[
        "seconds"
    ] == pytest.approx(took, abs=0.001)
    for name in ("start_delay", "journal_commit"):
        total = next(n for key, n in after.items() if key[0] == f"hookrunner_{name}_seconds_sum")
        assert 0 < total < 20
    commits = ("hookrunner_journal_commit_seconds_count",)
    assert after[commits] > before[commits]
    assert 0 < after["hookrunner_spares",] <= 8


def test_a_warm_start_that_could_not_be_is_told_from_a_cold_one(server: Server) -> None:
    server.wait_for_line("from now on warm: works.py")
    before = scraped(server)
    server.post_json("/works", {"big": "x" * 110_000})  # more than is handed over at once
    server.post_json("/kept", {})
    server.post_json("/wanted", 1)
    change = moved(before, scraped(server))

    assert change["hookrunner_script_starts_total", "missed"] == 1
    assert change["hookrunner_script_starts_total", "cold"] == 1
    assert ("hookrunner_script_starts_total", "warm") not in change


def test_a_run_that_fails_moves_its_numbers_and_those_of_who_is_told(server: Server) -> None:
    before = scraped(server)
    server.post_json("/fails", {})
    server.wait_for_line("on_failure /fails succeeded")
    change = moved(before, scraped(server))

    for of_script in [key for key in change if key[0] == "hookrunner_script_starts_total"]:
        del change[of_script]
    assert change == {
        ("hookrunner_runs_recorded_total", "/fails"): 1,
        ("hookrunner_runs_recorded_total", "on_failure /fails"): 1,
        ("hookrunner_runs_ended_total", "/fails", "failed"): 1,
        ("hookrunner_runs_ended_total", "on_failure /fails", "succeeded"): 1,
        ("hookrunner_attempts_failed_total", "/fails", "exit"): 1,
        ("hookrunner_start_delay_seconds_count", "/fails"): 1,
        ("hookrunner_start_delay_seconds_count", "on_failure /fails"): 1,
        ("hookrunner_script_duration_seconds_count", "/fails"): 1,
        ("hookrunner_script_duration_seconds_count", "on_failure /fails"): 1,
    }


def test_what_makes_no_run_is_counted_by_why_and_names_no_stranger_s_path(server: Server) -> None:
    before = scraped(server)
    server.post_json("/wanted", 2)
    server.post_json("/fits", 2)
    server.post_json("/kept/a-stranger-s", 2)
    server.post_json("/kept/another-s", 2)
    server.post_json("/a-stranger-s", 2)
    server.get("/-/a-stranger-s")
    server.get("/works")
    server.post("/works", "[", Content_Type="application/json")
    server.post("/works", "[]")
    server.post_json("/fits", "more than 10 bytes")
    server.post_json("/off", 1)
    server.post("/works", "", Content_Length=str(2**31))
    server.get("/-/metrics")
    text = asked(server).text

    refused = "hookrunner_refusals_total"
    assert moved(before, numbers(text)) == {
        ("hookrunner_deliveries_ignored_total", "/wanted"): 1,
        (refused, "/fits", "unfit", "422"): 1,
        (refused, "/kept/<name>", "credentials", "401"): 2,
        (refused, "", "not found", "404"): 2,
        (refused, "/works", "method", "405"): 1,
        (refused, "/works", "not readable", "400"): 1,
        (refused, "/works", "media type", "415"): 1,
        (refused, "/fits", "too large", "413"): 1,
        (refused, "", "too large", "413"): 1,
        (refused, "/off", "switched off", "503"): 1,
        (refused, "", "credentials", "401"): 1,
    }
    assert "stranger" not in text
    assert before["hookrunner_hook_switched_off", "/off"] == 1
    assert before["hookrunner_hook_switched_off", "/works"] == 0


def test_what_runs_what_waits_and_who_waits_are_seen_while_they_do(
    project: Project, server: Server, opened: ExitStack
) -> None:
    before = scraped(server)
    holding = hanging(opened, server, "POST", "/holds")
    first = server.wait_for_line(" /holds accepted").split()[1]
    wait_until(lambda: server.state(first)["state"] == "running", "the first run")
    waiting = hanging(opened, server, "POST", "/holds")
    wait_until(lambda: scraped(server)["hookrunner_waiters",] == 2, "the second sender")
    assert server.post_json("/holds", {}).status == 503  # its queue is full
    listening = hanging(opened, server, "GET", f"/-/runs/{first}/live?from=1.0.0", **BEARER)
    page = listening.getresponse()
    assert page.status == 200
    seen = scraped(server)
    waited = seen.pop(("hookrunner_queue_oldest_seconds", "/holds"))
    change = moved(before, seen)
    change.pop(("hookrunner_start_delay_seconds_count", "/holds"))

    assert change == {
        ("hookrunner_runs_recorded_total", "/holds"): 2,
        ("hookrunner_runs", "/holds", "running"): 1,
        ("hookrunner_runs", "/holds", "queued"): 1,
        ("hookrunner_slots_busy",): 1,
        ("hookrunner_waiters",): 2,
        ("hookrunner_listeners",): 1,
        ("hookrunner_refusals_total", "/holds", "queue full", "503"): 1,
    }
    assert scraped(server)["hookrunner_queue_oldest_seconds", "/holds"] > waited > 0
    second = next(line.split()[1] for line in reversed(server.lines) if "/holds accepted" in line)
    assert server.post(f"/-/runs/{second}/cancel", **BEARER).status == 200
    assert answered(waiting) == 202
    (project.folder / "let-go").touch()
    assert answered(holding) == 200
    page.close()
    listening.close()
    wait_until(lambda: scraped(server)["hookrunner_listeners",] == 0, "nobody who listens")
    after = moved(before, scraped(server))
    assert {key: n for key, n in after.items() if "runs" in key[0] or len(key) == 1} == {
        ("hookrunner_runs_recorded_total", "/holds"): 2,
        ("hookrunner_runs_ended_total", "/holds", "succeeded"): 1,
        ("hookrunner_runs_ended_total", "/holds", "cancelled"): 1,
    }


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """What is closed when the test is over."""
    with ExitStack() as stack:
        yield stack


def answered(connection: http.client.HTTPConnection) -> int:
    """The answer's status, once it is there."""
    answer = connection.getresponse()
    answer.read()
    return answer.status


def hanging(
    opened: ExitStack, server: Server, method: str, path: str, **headers: str
) -> http.client.HTTPConnection:
    """A request whose answer nobody waits for yet."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    opened.callback(connection.close)
    body = "{}" if method == "POST" else None
    connection.request(method, path, body, {"Content-Type": "application/json", **headers})
    return connection


def test_every_number_of_a_hook_is_there_at_zero_before_it_counts_anything(
    server: Server,
) -> None:
    told = scraped(server)

    for name in ("start_delay", "script_duration"):
        for hook in ("/works", "/fails", "on_failure /fails", "/off", "/kept/<name>"):
            assert told[f"hookrunner_{name}_seconds_bucket", hook, "+Inf"] == 0
            assert told[f"hookrunner_{name}_seconds_count", hook] == 0
            assert told[f"hookrunner_{name}_seconds_sum", hook] == 0
    there = set(told)
    server.post_json("/works", {}, X_Id="1")
    server.post_json("/works", {}, X_Id="1")
    server.post_json("/wanted", 2)
    server.post_json("/fails", {})
    server.wait_for_line("on_failure /fails succeeded")
    assert set(scraped(server)) == there


@pytest.mark.parametrize("accept", ["", OPENMETRICS, "text/plain;version=1.0.0"])
def test_what_is_written_is_what_the_library_would_write(accept: str) -> None:
    encode, _ = choose_encoder(accept)
    written = Format(encode)

    for given in ([0.0, 1], [0.0, 1], [2.5, 10**9], [2.5, 10**9, -1], [math.inf], []):
        assert written.text(odd_families(given)) == encode(collected(odd_families(given)))


def odd_families(given: list[float]) -> list[Metric]:
    """A family of each kind, with labels such as a path can be."""
    counter = CounterMetricFamily("a", "Ways; \\ and \n.", labels=["hook", "why"])
    histogram = HistogramMetricFamily("b", "Times.", labels=["hook"])
    for place, number in enumerate(given):
        counter.add_metric([f'/a "\\ \n# EOF\u2028{place} ', "x y"], number)
        histogram.add_metric([f"/{place}"], [("0.1", number), ("+Inf", number + 1)], number)
    gauge = GaugeMetricFamily("c", "One.", value=len(given))
    return [counter, histogram, gauge, InfoMetricFamily("d", "Words.", {"version": "1"})]


def collected(families: list[Metric]) -> CollectorRegistry:
    class Collected(Collector):
        def collect(self) -> list[Metric]:
            return families

    registry = CollectorRegistry()
    registry.register(Collected())
    return registry


def test_a_hook_that_leaves_hooks_yaml_takes_its_numbers_along(
    project: Project, server: Server
) -> None:
    def reload(hooks: str, count: int) -> None:
        write(project, hooks)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_line(f"hooks.yaml was reloaded: {count} hooks")

    reload(HOOKS + LEAVES, 7)
    server.post_json("/leaves", {})
    assert server.get("/leaves").status == 405
    there = [key for key in scraped(server) if "/leaves" in key]
    assert ("hookrunner_refusals_total", "/leaves", "method", "405") in there
    reload(HOOKS, 6)
    assert not [key for key in scraped(server) if "/leaves" in key]


def test_a_journal_that_cannot_be_read_spoils_no_scrape(project: Project, server: Server) -> None:
    assert scraped(server)["hookrunner_journal_up",] == 1

    def rename(old: str, new: str) -> None:
        with closing(sqlite3.connect(project.folder / "var" / "runs.sqlite", timeout=20)) as db:
            db.execute(f"ALTER TABLE {old} RENAME TO {new}")

    rename("run", "gone")
    spoilt = scraped(server)
    rename("gone", "run")

    assert spoilt["hookrunner_journal_up",] == 0
    assert not [key for key in spoilt if key[0] == "hookrunner_runs"]
    assert ("hookrunner_runs_recorded_total", "/works") in spoilt
    assert scraped(server)["hookrunner_journal_up",] == 1


def test_script_lines_that_a_slow_stdout_costs_are_counted(project: Project) -> None:
    project = write(project, HOOKS + LOUD)
    project.script("loud.py", "for _ in range(1500): print('x' * 8000)\n")
    with project.serve(ADMIN_TOKEN=TOKEN) as server:
        assert scraped(server)["hookrunner_log_lines_dropped_total",] == 0
        with server._logged:  # so nobody reads what it says
            assert server.post_json("/loud", {}).status == 200
            dropped = scraped(server)["hookrunner_log_lines_dropped_total",]
        told = server.wait_for_line("lines of script output were left out")
    assert 0 < dropped < 1500
    assert f" {dropped:.0f} lines of script output" in told


def test_what_is_set_once_is_told_as_it_is(project: Project) -> None:
    with write(project).serve("--slots", "3", ADMIN_TOKEN=TOKEN) as server:
        told = scraped(server)

    assert told["hookrunner_info", VERSION] == 1
    assert told["hookrunner_slots",] == 3
    assert told["hookrunner_waiters_limit",] == 32
    for name in NAMED:
        if name.startswith("process_"):
            assert told[name,] > 0, name


def test_nobody_sees_them_without_the_token(project: Project) -> None:
    with write(project).serve(ADMIN_TOKEN=TOKEN) as server:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            answer = server.get("/-/metrics", **headers)
            assert (answer.status, answer.json["detail"]) == (401, "not authorised")
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        answer = server.request("POST", "/-/metrics", headers=BEARER)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET")
    with project.serve() as server:
        answer = server.get("/-/metrics", **BEARER)
        assert (answer.status, answer.json["detail"]) == (403, "this needs ADMIN_TOKEN to be set")


def test_nothing_of_prometheus_is_loaded_before_somebody_asks() -> None:
    loads = "import sys, hookrunner.verbs.serve, hookrunner.app; print([*sys.modules])"
    told = subprocess.run(
        [sys.executable, "-c", loads], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert "'hookrunner.web'" in told.stdout
    assert "prometheus_client" not in told.stdout


# --- the page


def test_the_page_names_every_reason() -> None:
    reasons = DOCUMENT.partition("\nReasons: ")[2].partition("\n\n")[0]
    for status, reason in REASONS.items():
        assert re.search(rf"`{reason}`[^(]*\({status}\)", reasons), reason


def test_every_metric_of_a_rule_is_one_of_the_page() -> None:
    parts = {name for kind in ("bucket", "sum", "count") for name in [f"_{kind}"]}
    used = set(re.findall(r"\b(?:hookrunner|process)_[a-z_]+", RULES))
    assert used
    for name in used:
        base = next((name.removesuffix(part) for part in parts if name.endswith(part)), name)
        assert base in NAMED, name


@pytest.fixture
def promtool() -> str:
    """Prometheus' own tool."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("there is no promtool; on Debian: apt install prometheus")
    return found


@pytest.mark.parametrize("shown", [SCRAPED, SCRAPED_APART])
def test_prometheus_takes_the_page_s_scrape_configs(
    promtool: str, tmp_path: Path, shown: str
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    config = shown.replace("/etc/prometheus/hookrunner-token", str(tmp_path / "token"))
    (tmp_path / "prometheus.yml").write_text(config)
    told = run(promtool, "check", "config", str(tmp_path / "prometheus.yml"))
    assert told.returncode == 0, told.stdout + told.stderr


def test_prometheus_takes_the_page_s_rules(promtool: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(RULES)
    told = run(promtool, "check", "rules", str(tmp_path / "rules.yml"))
    assert told.returncode == 0, told.stdout + told.stderr
    assert f"SUCCESS: {RULES.count('- alert: ')} rules found" in told.stdout


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


FIRES = {
    "HookrunnerDown": {'up{job="hookrunner"}': "0x60"},
    "HookrunnerRestarts": {'process_start_time_seconds{job="hookrunner"}': "0+600x60"},
    "HookrunnerJournal": {
        'hookrunner_refusals_total{hook="/a", reason="journal unavailable"}': "0x55 1x5"
    },
    "HookrunnerQueueFull": {
        'hookrunner_refusals_total{hook="/a", reason="queue full"}': "0x55 1x5"
    },
    "HookrunnerQueueWaits": {'hookrunner_queue_oldest_seconds{hook="/a"}': "0+60x60"},
    "HookrunnerRunsFail": {
        'hookrunner_runs_ended_total{hook="/a", state="succeeded"}': "0+3x60",
        'hookrunner_runs_ended_total{hook="/a", state="failed"}': "0+1x60",
    },
    "HookrunnerSenderNotBelieved": {
        'hookrunner_refusals_total{hook="/a", reason="credentials"}': "0+1x60",
        'hookrunner_runs_recorded_total{hook="/a"}': "7x60",
    },
    "HookrunnerHookSwitchedOff": {'hookrunner_hook_switched_off{hook="/a"}': "1x60"},
    "HookrunnerNoSlotFree": {"hookrunner_slots_busy": "8x60", "hookrunner_slots": "8x60"},
    "HookrunnerWaitersFull": {"hookrunner_waiters": "32x60", "hookrunner_waiters_limit": "32x60"},
    "HookrunnerDiskSlow": {
        'hookrunner_journal_commit_seconds_bucket{le="0.1"}': "0+9x60",
        'hookrunner_journal_commit_seconds_bucket{le="0.25"}': "0+10x60",
        'hookrunner_journal_commit_seconds_bucket{le="+Inf"}': "0+10x60",
    },
    "HookrunnerColdStarts": {
        'hookrunner_script_starts_total{start="missed"}': "0+1x60",
        'hookrunner_script_starts_total{start="warm"}': "0+3x60",
    },
    "HookrunnerLogLeavesOut": {"hookrunner_log_lines_dropped_total": "0x55 9x5"},
    "HookrunnerFiles": {
        'process_open_fds{job="hookrunner"}': "900x60",
        'process_max_fds{job="hookrunner"}': "1000x60",
    },
    "": {
        'up{job="hookrunner"}': "1x60",
        "hookrunner_journal_up": "1x60",
        'hookrunner_refusals_total{hook="/a", reason="credentials"}': "0+9x60",
        'hookrunner_refusals_total{hook="/a", reason="queue full"}': "5x60",
        'hookrunner_runs_recorded_total{hook="/a"}': "0+1x60",
        'hookrunner_runs_ended_total{hook="/a", state="succeeded"}': "0+9x60",
        'hookrunner_runs_ended_total{hook="/a", state="failed"}': "0+1x60",
        'hookrunner_queue_oldest_seconds{hook="/a"}': "500x60",
        'hookrunner_hook_switched_off{hook="/a"}': "0x60",
        "hookrunner_slots_busy": "7x60",
        "hookrunner_slots": "8x60",
        'hookrunner_script_starts_total{start="missed"}': "0+1x60",
        'hookrunner_script_starts_total{start="warm"}': "0+9x60",
        'hookrunner_script_starts_total{start="cold"}': "0+9x60",
    },
}
"""Numbers, minute by minute, at the end of which this alert fires, and no other; or none."""

WEB, WORKER = 'instance="web:5000"', 'instance="worker:9100"'
APART: list[tuple[str, dict[str, str]]] = [
    (
        "HookrunnerRunsFail",
        {
            f'hookrunner_runs_ended_total{{{WEB}, hook="/a", state="cancelled"}}': "0x60",
            f'hookrunner_runs_ended_total{{{WEB}, hook="/a", state="failed"}}': "0x60",
            f'hookrunner_runs_ended_total{{{WORKER}, hook="/a", state="succeeded"}}': "0+3x60",
            f'hookrunner_runs_ended_total{{{WORKER}, hook="/a", state="failed"}}': "0+1x60",
        },
    ),
    (
        "HookrunnerJournal",
        {
            f"hookrunner_journal_up{{{WEB}}}": "1x60",
            f"hookrunner_journal_up{{{WORKER}}}": "0x60",
        },
    ),
    (
        "HookrunnerNoSlotFree",
        {
            f"hookrunner_slots_busy{{{WORKER}}}": "8x60",
            f"hookrunner_slots{{{WORKER}}}": "8x60",
            f"hookrunner_waiters{{{WEB}}}": "8x60",
            f"hookrunner_waiters_limit{{{WEB}}}": "32x60",
        },
    ),
    (
        "HookrunnerColdStarts",
        {
            f'hookrunner_script_starts_total{{{WORKER}, start="missed"}}': "0+1x60",
            f'hookrunner_script_starts_total{{{WORKER}, start="warm"}}': "0+3x60",
        },
    ),
    (
        "",
        {
            # The same queue, seen by both.
            f'hookrunner_queue_oldest_seconds{{{WEB}, hook="/a"}}': "500x60",
            f'hookrunner_queue_oldest_seconds{{{WORKER}, hook="/a"}}': "500x60",
            f'hookrunner_refusals_total{{{WEB}, hook="/a", reason="credentials"}}': "0+9x60",
            f'hookrunner_runs_recorded_total{{{WEB}, hook="/a"}}': "0+1x60",
            f'hookrunner_runs_recorded_total{{{WORKER}, hook="/a"}}': "0x60",
            f'hookrunner_hook_switched_off{{{WEB}, hook="/a"}}': "0x60",
            f'hookrunner_hook_switched_off{{{WORKER}, hook="/a"}}': "0x60",
        },
    ),
]
"""The same, of what a web process and a worker tell."""


def test_each_alert_of_the_page_fires_when_it_should_and_alone(
    promtool: str, tmp_path: Path
) -> None:
    assert set(FIRES) - {""} == set(re.findall(r"- alert: (\w+)", RULES))
    (tmp_path / "rules.yml").write_text(RULES)
    groups = [
        {
            "interval": "1m",
            "input_series": [
                {"series": series, "values": values} for series, values in told.items()
            ],
            "promql_expr_test": [
                {
                    "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                    "eval_time": "60m",
                    "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1}]
                    if alert
                    else [],
                }
            ],
        }
        for alert, told in [*FIRES.items(), *APART]
    ]
    test = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": groups}
    (tmp_path / "test.yml").write_text(json.dumps(test))  # JSON is YAML, too
    told = run(promtool, "test", "rules", str(tmp_path / "test.yml"))
    assert told.returncode == 0, told.stdout + told.stderr
