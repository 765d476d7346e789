"""What becomes of accepted deliveries, from one end to the other: docs/runs.md, sentence by
sentence, against a real server."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import re
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hookrunner.asking import PLACES, RUNS
from tests.serving import SECONDS, Project, Response, Server, wait_until

ADMIN = {"Authorization": "Bearer the administrator's"}
TOKEN = "the administrator's"

# Runs until the file `go` is there.
HOLD = "echo begun >>begun; until [ -e go ]; do sleep 0.02; done; echo done\n"


def hooks(**settings: str) -> str:
    """hooks.yaml: each path's name and its settings, as YAML's flow style writes them."""
    return "".join(
        f"/{name}: {{script: {name}.sh, auth: none, {more}}}\n" for name, more in settings.items()
    )


def accepted(answer: Response) -> str:
    """The run of a delivery that was accepted."""
    assert answer.status in (200, 202), answer
    return answer.headers["Hook-Run"]


def begun(project: Project, count: int = 1) -> None:
    """Wait until so many scripts that hold have begun."""
    wait_until(lambda: len(project.lines("begun")) >= count, f"{count} scripts that have begun")


def reload(server: Server, told: str = "hooks.yaml was reloaded") -> None:
    """Have hooks.yaml read again, and wait until the log says this."""
    before = len(server.lines)
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: any(told in line for line in server.lines[before:]), told)


# --- retry


def test_a_failing_script_is_tried_again_and_told_which_attempt_it_is(project: Project) -> None:
    project.hooks(hooks(a="respond: accepted, retry: {attempts: 5, delay: 10ms}"))
    project.script("a.sh", 'echo "$HOOK_ATTEMPT" >>attempts; [ "$HOOK_ATTEMPT" = 3 ] || exit 7\n')
    with project.serve() as server:
        run = accepted(server.post("/a"))
        state = server.wait_until_over(run)
        server.wait_for_line("exit 7; tried again in")
    assert (state["state"], state["attempt"]) == ("succeeded", 3)
    assert project.lines("attempts") == ["1", "2", "3"]


def test_it_fails_for_good_when_its_attempts_are_used_up(project: Project) -> None:
    project.hooks(hooks(a="respond: accepted, retry: {attempts: 2, delay: 10ms}"))
    project.script("a.sh", "exit 7\n")
    with project.serve() as server:
        state = server.wait_until_over(accepted(server.post("/a")))
    assert (state["state"], state["attempt"], state["exit_code"]) == ("failed", 2, 7)


def test_a_waiting_sender_gets_202_as_soon_as_an_attempt_fails_that_will_be_retried(
    project: Project,
) -> None:
    # Were it to wait for longer than that, this test would give up on it.
    project.hooks(
        hooks(a="respond: {mode: status, wait: 1h}, retry: {attempts: 2, delay: 1h, max: 2h}")
    )
    project.script("a.sh", "exit 7\n")
    with project.serve() as server:
        answer = server.post("/a")
    assert (answer.status, answer.json["state"]) == (202, "queued")
    assert answer.headers["Location"] == f"/-/runs/{answer.headers['Hook-Run']}"


def test_a_run_that_waits_for_its_retry_blocks_nobody(project: Project) -> None:
    project.hooks(hooks(a="concurrency: 1, retry: {attempts: 2, delay: 1h}"))
    project.script("a.sh", "mkdir first 2>/dev/null && exit 1 || exit 0\n")
    with project.serve() as server:
        assert server.post("/a").status == 202
        assert server.post("/a").status == 200


def test_a_run_that_was_cut_off_by_a_crash_is_not_charged_an_attempt(project: Project) -> None:
    project.hooks(hooks(a="respond: accepted, retry: {attempts: 2, delay: 10ms}"))
    project.script(
        "a.sh",
        "echo begun >>begun\ncase $HOOK_ATTEMPT in 1) sleep 1000 ;; 2) exit 1 ;; esac\n",
    )
    with project.serve() as server:
        run = accepted(server.post("/a"))
        begun(project)
        server.kill()
    with project.serve() as server:
        state = server.wait_until_over(run)
    assert (state["state"], state["attempt"]) == ("succeeded", 3)


def test_a_run_that_must_not_be_run_twice_fails_as_interrupted(project: Project) -> None:
    project.hooks(hooks(a="respond: accepted, retry: {rerun: false}"))
    project.script("a.sh", HOLD)
    with project.serve() as server:
        run = accepted(server.post("/a"))
        begun(project)
        server.kill()
    with project.serve() as server:
        state = server.wait_until_over(run)
    assert (state["state"], state["why"], state["attempt"]) == ("failed", "interrupted", 1)
    assert project.lines("begun") == ["begun"]


def test_the_fifth_crash_ends_a_run_that_may_be_what_crashes_us(project: Project) -> None:
    project.hooks(hooks(a="respond: accepted", b=""))
    # Not by our hand: it kills the runner, which is the parent of the supervisor.
    project.script(
        "a.sh", 'echo begun >>begun; kill -KILL $(cut -d" " -f4 "/proc/$PPID/stat"); sleep 1000\n'
    )
    project.script("b.sh", "")
    run = ""
    for count in range(1, 6):
        server = project.serve()
        server.begin()
        if count == 1:
            server.wait_for_line("listens on")
            run = accepted(server.post("/a"))
        server.process.wait(SECONDS)
        server.__exit__(None, None, None)
        assert len(project.lines("begun")) == count
    with project.serve() as server:
        state = server.wait_until_over(run)
        assert (state["state"], state["why"], state["attempt"]) == ("failed", "interrupted", 5)
        assert server.post("/b").status == 200


# --- on_failure


def test_on_failure_gets_the_failed_run_as_json(project: Project) -> None:
    project.hooks(hooks(a="on_failure: tell.sh, retry: {attempts: 2, delay: 10ms}"))
    project.script("a.sh", "echo some; echo wrong >&2; exit 7\n")
    project.script("tell.sh", 'cat >told.json; echo >>told.json; echo "$HOOK_PATH" >>paths\n')
    with project.serve() as server:
        run = accepted(server.post_json("/a", {"who": "me"}))
        wait_until(lambda: project.lines("paths") != [], "on_failure")
        server.wait_until_over(run)
    assert project.lines("paths") == ["/a"]
    assert json.loads(project.lines("told.json")[0]) == {
        "run": run,
        "hook": "/a",
        "why": "exit 7",
        "exit_code": 7,
        "signal": None,
        "stdout": "some\n",
        "stderr": "wrong\n",
        "method": "POST",
        "path": "/a",
        "event": "",
        "body": '{"who": "me"}',
    }


def test_on_failure_is_told_of_a_run_that_a_crash_has_ended(project: Project) -> None:
    project.hooks(hooks(a="respond: accepted, on_failure: tell.sh, retry: {rerun: false}"))
    project.script("a.sh", HOLD).script("tell.sh", "cat >told.json; echo >>told.json\n")
    with project.serve() as server:
        run = accepted(server.post("/a"))
        begun(project)
        server.kill()
    with project.serve() as server:
        server.wait_until_over(run)
        wait_until(lambda: project.lines("told.json") != [], "on_failure")
    assert json.loads(project.lines("told.json")[0])["run"] == run


# --- dedupe


def test_twenty_identical_deliveries_at_one_instant_make_one_run_and_all_get_its_answer(
    project: Project,
) -> None:
    project.hooks(hooks(a="respond: output, dedupe: {header: X-Id}"))
    project.script("a.sh", 'echo "$HOOK_RUN" | tee -a ran\n')
    together = threading.Barrier(20)
    with project.serve() as server, ThreadPoolExecutor(20) as pool:

        def post(_: int) -> Response:
            together.wait(SECONDS)
            return server.post("/a", X_Id="the same")

        answers = list(pool.map(post, range(20)))
    assert len(project.lines("ran")) == 1
    [run] = project.lines("ran")
    assert {(a.status, a.text, a.headers["Hook-Run"]) for a in answers} == {(200, f"{run}\n", run)}


def test_a_repeat_that_does_not_wait_is_told_how_the_first_run_stands(project: Project) -> None:
    project.hooks(hooks(a="respond: accepted, dedupe: {header: X-Id}")).script("a.sh", "true\n")
    with project.serve() as server:
        first = server.post("/a", X_Id="1")
        server.wait_until_over(accepted(first))
        again = server.post("/a", X_Id="1")
    assert (first.status, first.json["state"]) == (202, "queued")
    place = f"/-/runs/{accepted(first)}"
    assert (again.status, again.json) == (
        202, {"run": accepted(first), "state": "succeeded", "location": place}
    )  # fmt: skip


def test_a_repeat_after_a_crash_and_a_restart_joins_the_first(project: Project) -> None:
    project.hooks(hooks(a="respond: output, dedupe: {header: X-Id}"))
    project.script("a.sh", "echo ran | tee -a ran\n")
    with project.serve() as server:
        first = server.post("/a", X_Id="1")
        server.kill()
    with project.serve() as server:
        again = server.post("/a", X_Id="1")
        other = server.post("/a", X_Id="2")
    assert (again.status, again.text) == (200, "ran\n")
    assert accepted(again) == accepted(first) != accepted(other)
    assert len(project.lines("ran")) == 2


def test_a_repeat_of_what_was_cut_off_joins_it_and_gets_its_answer(project: Project) -> None:
    project.hooks(hooks(a="respond: output, dedupe: {header: X-Id}"))
    project.script("a.sh", HOLD)
    with project.serve() as server, ThreadPoolExecutor(1) as pool:
        cut = pool.submit(server.post, "/a", X_Id="1")
        begun(project)
        server.kill()
        assert isinstance(cut.exception(), OSError | http.client.HTTPException)
    with project.serve() as server, ThreadPoolExecutor(1) as pool:
        again = pool.submit(server.post, "/a", X_Id="1")
        server.wait_for_line("/a is joined by a repeat")
        (project.folder / "go").touch()
        assert (again.result().status, again.result().text) == (200, "done\n")
    assert project.journal("SELECT count(*) FROM run") == [(1,)]


def test_a_place_in_the_payload_tells_deliveries_apart(project: Project) -> None:
    project.hooks(hooks(a="dedupe: {payload: /order/number}"))
    project.script("a.sh", "echo ran >>ran\n")
    with project.serve() as server:
        runs = [
            accepted(server.post_json("/a", {"order": order, "sent": sent}))
            for sent, order in enumerate(({"number": 1}, {"number": 2}, {"number": 1}, {}, {}))
        ]
    assert runs[2] == runs[0]
    assert len(set(runs)) == len(project.lines("ran")) == 4  # what has no number is like no other


def test_a_repeat_of_what_has_failed_makes_a_new_run_that_names_the_old(project: Project) -> None:
    project.hooks(hooks(a="dedupe: {header: X-Id}"))
    project.script("a.sh", "mkdir first 2>/dev/null && exit 1 || exit 0\n")
    with project.serve() as server:
        first, second, third = (server.post("/a", X_Id="1") for _ in range(3))
        old, new = first.headers["Hook-Run"], second.headers["Hook-Run"]
    assert [first.status, second.status, third.status] == [500, 200, 200]
    assert old != new == third.headers["Hook-Run"]
    assert project.journal("SELECT replaces FROM run WHERE id = ?", new) == [(old,)]


# --- order, concurrency, queue, rate

LANE = r"""
exec 8>>lane
say() { echo "$1 $HOOK_RUN $HOOK_ATTEMPT" >>marks; }
flock -n 8 || say overlap
say start
if [ $((N % 20)) = 7 ] && mkdir "failed.$N" 2>/dev/null; then say failed; exit 1; fi
say end
"""


def test_a_strict_lane_never_overlaps_and_starts_in_order_through_failures_and_crashes(
    project: Project,
) -> None:
    settings = "respond: accepted, order: strict, retry: {attempts: 2, delay: 20ms}"
    project.hooks(hooks(lane=settings + ', env: {N: "{payload:/n}"}')).script("lane.sh", LANE)
    posted: list[str] = []
    victims = itertools.cycle([("runner",), ("runner", "supervisor"), ("supervisor",)])
    for ends in (25, 60, 95, 130, 165, 200):
        with project.serve() as server:
            while len(posted) < min(2 * ends, 200):
                posted.append(accepted(server.post_json("/lane", {"n": len(posted)})))
            wait_until_completed(project, ends)
            if ends < 200:
                kill(server, *next(victims))
                continue
            for run in posted:
                assert server.wait_until_over(run)["state"] == "succeeded"

    marks = [line.split() for line in project.lines("marks")]
    assert [mark for mark in marks if mark[0] == "overlap"] == []
    started = [run for run, _ in itertools.groupby(run for what, run, _ in marks)]
    assert started == posted
    assert started == [run for (run,) in project.journal("SELECT id FROM run ORDER BY seq")]
    assert sum(what == "failed" for what, *_ in marks) == 10


def wait_until_completed(project: Project, count: int) -> None:
    """Wait until so many runs of the lane have come to their end."""

    def completed() -> set[str]:
        return {line for line in project.lines("marks") if line.startswith("end ")}

    wait_until(lambda: len(completed()) >= count, f"{count} runs that have ended", 3 * SECONDS)


def kill(server: Server, *victims: str) -> None:
    """SIGKILL to the runner, the supervisor, or both."""
    pids = {"runner": server.process.pid, "supervisor": server.supervisor()}
    for victim in victims:
        pid = pids[victim]
        assert pid
        os.kill(pid, signal.SIGKILL)
    if "runner" in victims:
        server.process.wait()


def test_concurrency_is_never_exceeded(project: Project) -> None:
    settings = "respond: accepted, concurrency: 2, retry: {attempts: 2, delay: 1ms}"
    project.hooks(hooks(two=settings))
    # One of two locks must be free at once.
    project.script(
        "two.sh",
        "exec 8>>lock.1 9>>lock.2\nflock -n 8 || flock -n 9 || echo overlap >>marks\n"
        'echo start >>marks; sleep 0.0$((RANDOM % 5)); echo end >>marks; [ "$HOOK_ATTEMPT" = 2 ]\n',
    )
    with project.serve() as server, ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: accepted(server.post("/two")), range(40)))
        for run in runs:
            assert server.wait_until_over(run)["attempt"] == 2
    marks = project.lines("marks")
    assert "overlap" not in marks
    under_way = list(itertools.accumulate(1 if mark == "start" else -1 for mark in marks))
    assert max(under_way) == 2
    assert len(marks) == 160


@pytest.mark.parametrize("limit", ["concurrency: 1", "order: strict"])
def test_a_cancelled_script_counts_until_it_is_dead(project: Project, limit: str) -> None:
    project.hooks(hooks(a=f"respond: accepted, {limit}"))
    project.script(
        "a.sh",
        "exec 8>>lane; flock -n 8 || echo overlap >>overlaps\ntrap 'echo told >>told' TERM\n"
        "echo begun >>begun; until [ -e go ]; do sleep 0.02; done\n",
    )
    with project.serve(ADMIN_TOKEN=TOKEN) as server:
        first, second = (accepted(server.post("/a")) for _ in range(2))
        begun(project)
        assert server.request("POST", f"/-/runs/{first}/cancel", headers=ADMIN).status == 200
        begun(project, 2)
        (project.folder / "go").touch()
        assert server.wait_until_over(second)["state"] == "succeeded"
    assert project.lines("told") == ["told"]
    assert project.lines("overlaps") == []


def test_beyond_the_rate_a_sender_gets_429_and_when_to_come_again(project: Project) -> None:
    project.hooks(hooks(a="respond: accepted, rate: 2/h", b=""))
    project.script("a.sh", "").script("b.sh", "")
    with project.serve() as server:
        answers = [server.post("/a") for _ in range(3)]
        assert [answer.status for answer in answers] == [202, 202, 429]
        assert 1 <= int(answers[2].headers["Retry-After"]) <= 1800
        assert answers[2].headers["Content-Type"] == "application/problem+json"
        assert "Hook-Run" not in answers[2].headers
        server.wait_for_line("refused POST /a: its rate is used up (429 to 127.0.0.1)")
        assert server.post("/b").status == 200
        server.kill()
    with project.serve() as server:  # a crash is no way round it
        assert server.post("/a").status == 429


def test_beyond_the_queue_a_sender_gets_503_until_there_is_room(project: Project) -> None:
    project.hooks(hooks(a="respond: accepted, queue: 2, concurrency: 1, dedupe: {header: X-Id}"))
    project.script("a.sh", HOLD)
    with project.serve() as server:
        runs = [accepted(server.post("/a", X_Id="0"))]
        begun(project)
        runs += [accepted(server.post("/a", X_Id=name)) for name in "12"]
        beyond = server.post("/a", X_Id="3")
        assert (beyond.status, beyond.headers["Retry-After"]) == (503, "10")
        server.wait_for_line("refused POST /a: 2 runs of it are waiting (503 to 127.0.0.1)")
        assert accepted(server.post("/a", X_Id="1")) == runs[1]  # a repeat needs no room
        (project.folder / "go").touch()
        for run in runs:
            assert server.wait_until_over(run)["state"] == "succeeded"
        assert server.wait_until_over(accepted(server.post("/a", X_Id="3")))["attempt"] == 1


# --- by hand


def test_a_queued_run_is_cancelled_and_never_starts(project: Project) -> None:
    project.hooks(hooks(a="respond: accepted, concurrency: 1")).script("a.sh", HOLD)
    with project.serve(ADMIN_TOKEN=TOKEN) as server:
        first = accepted(server.post("/a"))
        begun(project)
        queued = accepted(server.post("/a"))
        answer = server.request("POST", f"/-/runs/{queued}/cancel", headers=ADMIN)
        assert (answer.status, answer.json["state"]) == (200, "cancelled")
        server.wait_for_line(f"{queued} cancelled; it was queued")
        (project.folder / "go").touch()
        assert server.wait_until_over(first)["state"] == "succeeded"
        assert server.post("/a").status == 202
        begun(project, 2)
        assert server.state(queued) == {"run": queued, "state": "cancelled", "attempt": 0}
    assert project.lines("begun") == ["begun"] * 2


def test_a_running_script_that_is_cancelled_gets_term(project: Project) -> None:
    project.hooks(hooks(a="respond: accepted, retry: {attempts: 5, delay: 1ms}"))
    project.script("a.sh", "trap 'echo told >>told; exit 1' TERM\n" + HOLD)
    with project.serve(ADMIN_TOKEN=TOKEN) as server:
        run = accepted(server.post("/a"))
        begun(project)
        answer = server.request("POST", f"/-/runs/{run}/cancel", headers=ADMIN)
        assert (answer.status, answer.json["state"]) == (200, "cancelled")
        wait_until(lambda: project.lines("told") == ["told"], "TERM to the script")
        server.wait_for_line(f"{run} /a ended, and counts for nothing: it was cancelled")
        assert server.state(run)["state"] == "cancelled"
        again = server.request("POST", f"/-/runs/{run}/cancel", headers=ADMIN)
        assert (again.status, again.json["detail"]) == (409, "it has ended already")


@pytest.mark.parametrize("verb", ["cancel", "replay"])
@pytest.mark.parametrize(
    ("environ", "headers", "status", "detail"),
    [
        ({"ADMIN_TOKEN": TOKEN}, {}, 401, "not authorised"),
        ({"ADMIN_TOKEN": TOKEN}, {"Authorization": "Bearer wrong"}, 401, "not authorised"),
        ({}, ADMIN, 403, "this needs ADMIN_TOKEN to be set"),
        (
            {"ADMIN_TOKEN": ""},
            {"Authorization": "Bearer "},
            403,
            "this needs ADMIN_TOKEN to be set",
        ),
    ],
)
def test_only_the_administrator_cancels_and_replays(
    project: Project,
    verb: str,
    environ: Mapping[str, str],
    headers: Mapping[str, str],
    status: int,
    detail: str,
) -> None:
    project.hooks(hooks(a="")).script("a.sh", "")
    with project.serve(**environ) as server:
        run = accepted(server.post("/a"))
        answer = server.request("POST", f"/-/runs/{run}/{verb}", headers=headers)
    assert (answer.status, answer.json["detail"]) == (status, detail)
    assert project.journal("SELECT count(*) FROM run") == [(1,)]


def test_a_replay_is_a_new_run_of_the_same_delivery_that_names_the_old(project: Project) -> None:
    project.hooks(hooks(a="respond: output, dedupe: {header: X-Id}"))
    project.script("a.sh", "cat >>seen; echo >>seen\n")
    with project.serve(ADMIN_TOKEN=TOKEN) as server:
        old = accepted(server.post_json("/a", {"n": 1}, X_Id="1"))
        answer = server.request("POST", f"/-/runs/{old}/replay", headers=ADMIN)
        assert answer.status == 202
        new = answer.json["run"]
        assert server.wait_until_over(new)["state"] == "succeeded"
        server.wait_for_line(f"{new} /a accepted from 127.0.0.1, to do {old} again")
        assert accepted(server.post_json("/a", {"n": 1}, X_Id="1")) == old
    assert new != old
    assert project.lines("seen") == ['{"n": 1}'] * 2
    assert project.journal("SELECT replaces FROM run WHERE id = ?", new) == [(old,)]


def test_a_replay_goes_through_todays_schema_and_script(project: Project) -> None:
    project.hooks(hooks(a="")).script("a.sh", "echo old >>ran\n")
    with project.serve(ADMIN_TOKEN=TOKEN) as server:
        run = accepted(server.post_json("/a", {"n": 1}))
        project.hooks(hooks(a="schema: {properties: {n: {type: string}}}"))
        reload(server)
        answer = server.request("POST", f"/-/runs/{run}/replay", headers=ADMIN)
        assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, "/n")

        project.hooks(hooks(a="schema: {properties: {n: {type: integer}}}"))
        project.script("a.sh", "echo new >>ran\n")
        reload(server)
        answer = server.request("POST", f"/-/runs/{run}/replay", headers=ADMIN)
        assert server.wait_until_over(answer.json["run"])["state"] == "succeeded"
    assert project.lines("ran") == ["old", "new"]


# --- reload


def test_a_hook_that_a_reload_brings_answers(project: Project) -> None:
    project.hooks(hooks(a="")).script("a.sh", "").script("b.sh", "echo b\n")
    with project.serve() as server:
        assert server.post("/b").status == 404
        project.hooks(hooks(a="", b="respond: output"))
        reload(server, "hooks.yaml was reloaded: 2 hooks")
        assert (server.post("/a").status, server.post("/b").text) == (200, "b\n")


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            "/a:\n  scrpt: x\n  auth: none\n/b:\n  script: gone.sh\n  auth: none\n",
            [
                "error: hooks.yaml:1: /a: 'script' is missing; name a file of scripts/",
                "error: hooks.yaml:2: unknown setting 'scrpt'; did you mean 'script'?",
                "error: hooks.yaml:5: there is no scripts/gone.sh",
            ],
        ),
        ("", ["error: hooks.yaml"]),
        ("/a: {", ["error: hooks.yaml"]),
        (None, ["hooks.yaml: there is no such file; name it with --config PATH"]),
    ],
    ids=["bad", "empty", "half", "missing"],
)
def test_a_bad_file_keeps_the_hooks_as_they_were_and_says_every_problem(
    project: Project, text: str | None, problems: list[str]
) -> None:
    project.hooks(hooks(a="respond: output")).script("a.sh", "echo a\n")
    with project.serve() as server:
        if text is None:
            (project.folder / "hooks.yaml").unlink()
        else:
            project.hooks(text)
        reload(server, "error: hooks.yaml was not reloaded; the hooks are as they were")
        for problem in problems:
            server.wait_for_line(problem)
        assert server.post("/a").text == "a\n"

        project.hooks(hooks(a="respond: output, methods: [PUT]"))
        reload(server)
        assert server.request("PUT", "/a").text == "a\n"


def test_a_swapped_link_to_the_whole_project_brings_its_hooks_and_scripts(tmp_path: Path) -> None:
    for name in ("one", "two"):
        release = Project(tmp_path / name).hooks(hooks(a="respond: output, schema: a.json"))
        release.script("a.sh", f"echo {name}; cat version\n")
        release.schema("a.json", {"required": [name]})
        (release.folder / "version").write_text(name)
    current = tmp_path / "current"
    current.symlink_to("one")
    server = Server(tmp_path, ("--config", str(current / "hooks.yaml"), "--data", str(tmp_path)))
    with server:
        assert server.post_json("/a", {"one": 1}).text == "one\none"

        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").replace(current)
        reload(server)
        shutil.rmtree(tmp_path / "one")

        assert server.post_json("/a", {"one": 1}).status == 422
        assert server.post_json("/a", {"two": 2}).text == "two\ntwo"


def test_a_path_that_is_gone_fails_its_queued_runs_and_lets_the_running_one_end(
    project: Project,
) -> None:
    project.hooks(hooks(a="respond: accepted, concurrency: 1", b="")).script("a.sh", HOLD)
    project.script("b.sh", "")
    with project.serve() as server:
        running = accepted(server.post("/a"))
        begun(project)
        queued = accepted(server.post("/a"))
        project.hooks(hooks(b=""))
        reload(server, f"warning: failed, for their path has left hooks.yaml: {queued}")

        state = server.state(queued)
        assert (state["state"], state["why"]) == ("failed", "lost hook")
        (project.folder / "go").touch()
        assert server.wait_until_over(running)["state"] == "succeeded"


def test_a_path_that_is_gone_fails_a_running_run_once_it_is_cut_off(project: Project) -> None:
    project.hooks(hooks(a="respond: accepted", b="")).script("a.sh", HOLD).script("b.sh", "")
    with project.serve() as server:
        run = accepted(server.post("/a"))
        begun(project)
        project.hooks(hooks(b=""))
        reload(server)
        kill(server, "supervisor")
        assert server.wait_until_over(run)["state"] == "failed"


def test_queued_runs_use_the_script_of_today(project: Project) -> None:
    project.hooks(hooks(a="respond: accepted, concurrency: 1")).script("a.sh", HOLD)
    project.script("new.sh", "echo new >>ran\n")
    with project.serve() as server:
        accepted(server.post("/a"))
        begun(project)
        queued = accepted(server.post("/a"))
        project.hooks("/a: {script: new.sh, auth: none}\n")
        reload(server)
        (project.folder / "go").touch()
        assert server.wait_until_over(queued)["state"] == "succeeded"
    assert project.lines("ran") == ["new"]


def test_a_script_that_is_mended_is_taken_up_though_hooks_yaml_stays_as_it_is(
    project: Project,
) -> None:
    project.hooks(hooks(a="respond: output")).script("a.sh", "echo a")
    with project.serve("--reload") as server:
        plain = project.folder / "scripts" / "plain"
        plain.write_text("#!/bin/sh\necho plain\n")
        project.hooks("/a: {script: plain, auth: none, respond: output}\n")
        server.wait_for_line("hooks.yaml was not reloaded; the hooks are as they were")
        plain.chmod(0o755)
        server.wait_for_line("hooks.yaml was reloaded: ")
        assert server.post("/a").text == "plain\n"
    assert sum("was not reloaded" in line for line in server.lines) == 1


def test_with_reload_a_change_is_noticed(project: Project) -> None:
    project.hooks(hooks(a="schema: a.json")).script("a.sh", "").schema("a.json", True)
    with project.serve("--reload") as server:
        assert server.post_json("/a", 1).status == 200
        project.schema("a.json", {"type": "string"})
        server.wait_for_line("hooks.yaml was reloaded: 1 hook")
        assert server.post_json("/a", 1).status == 422


def test_a_secret_stays_masked_while_a_script_of_before_the_reload_has_it(
    project: Project,
) -> None:
    text = "/a:\n  script: a.sh\n  auth: {token: {header: X-Token, value: $SECRET}}\n"
    project.hooks(text + "  respond: accepted\n  env: {MINE: $SECRET}\n")
    project.script("a.sh", HOLD + 'echo "it is $MINE"\n').script("b.sh", "")
    with project.serve(SECRET="hidden-before") as server:
        accepted(server.post("/a", X_Token="hidden-before"))
        begun(project)
        project.hooks(hooks(b=""))
        reload(server)
        reload(server)  # the one before it does not know the secret either
        (project.folder / "go").touch()
        assert "hidden-before" not in server.wait_for_line("/a | it is ")


# --- stop


@pytest.mark.parametrize("times", [1, 5])
def test_term_to_every_process_at_once_runs_again_what_died_of_it(
    project: Project, times: int
) -> None:
    project.hooks(hooks(a="respond: accepted", b="respond: output, shield: true"))
    project.script("a.sh", HOLD).script("b.sh", HOLD.replace("go", "go.b"))
    with project.serve() as server, ThreadPoolExecutor(1) as pool:
        run = accepted(server.post("/a"))
        shielded = pool.submit(server.post, "/b")
        begun(project, 2)
        for _ in range(times):
            terminate_tree(server)
        server.wait_for_line(f"{run} /a interrupted: the runner is stopping; handed back")
        (project.folder / "go.b").touch()
        assert (shielded.result().status, shielded.result().text) == (200, "done\n")
        assert server.process.wait(SECONDS) == 0

    (project.folder / "go").touch()
    with project.serve() as server:
        state = server.wait_until_over(run)
    assert (state["state"], state["attempt"]) == ("succeeded", 2)


def terminate_tree(server: Server) -> None:
    """TERM to every process of it, as Heroku sends it."""
    for pid in server.tree():
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            continue


def test_stops_do_not_count_towards_the_five_interruptions(project: Project) -> None:
    project.hooks(hooks(a="respond: accepted")).script("a.sh", HOLD)
    run = ""
    for count in range(1, 7):
        with project.serve() as server:
            run = run or accepted(server.post("/a"))
            begun(project, count)
            terminate_tree(server)
            assert server.process.wait(SECONDS) == 0
    (project.folder / "go").touch()
    with project.serve() as server:
        state = server.wait_until_over(run)
    assert (state["state"], state["attempt"]) == ("succeeded", 7)


def test_the_timetable_term_then_kill_then_gone(project: Project) -> None:
    project.hooks(hooks(mild="respond: output", wild="respond: {mode: status, wait: 25s}"))
    project.script("mild.sh", "trap 'echo told; exit 0' TERM\n" + HOLD)
    project.script("wild.sh", "trap 'echo ignored >>ignored' TERM\n" + HOLD)
    with project.serve("--grace", "2s") as server, ThreadPoolExecutor(2) as pool:
        mild, wild = pool.submit(server.post, "/mild"), pool.submit(server.post, "/wild")
        begun(project, 2)
        server.process.send_signal(signal.SIGTERM)
        # Told at 18/26 of the grace, it ends in order, and its sender gets what it said.
        assert (mild.result().status, mild.result().text) == (200, "told\n")
        # Killed at 23/26, it is handed back; that its sender can rely on it is a 202.
        assert wild.result().status == 202
        assert server.process.wait(SECONDS) == 0
        run = wild.result().headers["Hook-Run"]
        server.wait_for_line(f"{run} /wild interrupted: the runner is stopping; handed back")
    assert project.lines("ignored") == ["ignored"]

    (project.folder / "go").touch()
    with project.serve() as server:
        assert server.wait_until_over(run)["attempt"] == 2


def test_what_is_queued_at_a_stop_runs_after_the_next_start(project: Project) -> None:
    project.hooks(hooks(a="respond: accepted, concurrency: 1")).script("a.sh", HOLD)
    with project.serve() as server:
        runs = [accepted(server.post("/a"))]
        begun(project)
        runs += [accepted(server.post("/a")) for _ in range(3)]
        server.process.send_signal(signal.SIGTERM)
        server.wait_for_line("stopping: 1 script may finish")
        (project.folder / "go").touch()
        assert server.process.wait(SECONDS) == 0
    assert project.lines("begun") == ["begun"]
    with project.serve() as server:
        for run in runs:
            assert server.wait_until_over(run)["state"] == "succeeded"
    assert len(project.lines("begun")) == 4


# --- what the administrator may ask

STATES = "one of queued, running, succeeded, failed, cancelled"

LISTED = """
/a:
  script: a.sh
  auth: {token: {header: X-Token, value: $WORD}}
  retry: {attempts: 2, delay: 1h}
/b: {script: b.sh, auth: none}
"""


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str, str]]:
    project = Project(tmp_path_factory.mktemp("listed")).hooks(LISTED)
    project.script("a.sh", 'cat; echo "my $WORD2" >&2; exit 3\n').script("b.sh", "cat\n")
    with project.serve(ADMIN_TOKEN=TOKEN, WORD="s3cret-word", WORD2="s3cret-word") as server:
        headers = {"Content-Type": "application/json", "X-Token": "s3cret-word"}
        a = server.request("POST", "/a?q=1", '{"a": "é"}'.encode(), headers)
        b = server.request("POST", "/b", b'{"b": "\xff"}', {"Content-Type": "text/plain"})
        assert (a.status, b.status) == (202, 400)
        b = server.post_json("/b", [1])
        yield server, a.headers["Hook-Run"], b.headers["Hook-Run"]


def test_runs_are_listed_for_the_administrator(listed: tuple[Server, str, str]) -> None:
    server, a, b = listed
    answer = server.request("GET", "/-/runs", headers=ADMIN)
    assert answer.status == 200
    assert [run["run"] for run in answer.json["runs"]] == [b, a]
    newest, oldest = answer.json["runs"]
    assert (newest["hook"], newest["state"], newest["attempt"]) == ("/b", "succeeded", 1)
    assert newest["outcome"] == {
        "state": "succeeded", "why": None, "exit_code": 0, "signal": None, "detail": "exit 0",
        "seconds": newest["outcome"]["seconds"],
    }  # fmt: skip
    assert (oldest["state"], oldest["outcome"]["detail"]) == ("queued", "exit 3")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", oldest["due"])


@pytest.mark.parametrize(
    ("query", "which"),
    [
        ("hook=/a", "a"),
        ("state=succeeded", "b"),
        ("state=failed", ""),
        ("limit=1", "b"),
        ("since=0", "ba"),
        ("since=99999999999", ""),
        ("before=2", "a"),
    ],
)
def test_a_list_is_of_what_is_asked_for(
    listed: tuple[Server, str, str], query: str, which: str
) -> None:
    server, a, b = listed
    answer = server.request("GET", f"/-/runs?{query}", headers=ADMIN)
    assert [run["run"] for run in answer.json["runs"]] == [{"a": a, "b": b}[one] for one in which]


def test_a_run_is_found_by_a_part_of_its_id(listed: tuple[Server, str, str]) -> None:
    server, a, _ = listed
    for part in (a, a[:10], a[-10:]):
        answer = server.request("GET", f"/-/runs?id={part}", headers=ADMIN)
        assert [run["run"] for run in answer.json["runs"]] == [a]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("state=done", f"state cannot be 'done'; it is {STATES}"),
        ("limit=0", "limit cannot be '0'; it is a whole number from 1"),
        ("limit=x", "limit cannot be 'x'; it is a whole number from 1"),
        ("since=2h", "since cannot be '2h'; it is in Unix seconds"),
        ("before=-1", "before cannot be '-1'; it is the seq of a run"),
        ("before=" + "9" * 19, f"before cannot be '{'9' * 19}'; it is the seq of a run"),
        (
            "hok=/a",
            "'hok' is none of id, hook, state, text, since, until, before, limit, unreplaced",
        ),
        ("state=failed&state=queued", f"state cannot be \"['failed', 'queued']\"; it is {STATES}"),
    ],
)
def test_a_list_that_cannot_be_asked_for_is_refused_with_why(
    listed: tuple[Server, str, str], query: str, told: str
) -> None:
    server, _, _ = listed
    answer = server.request("GET", f"/-/runs?{query}", headers=ADMIN)
    assert (answer.status, answer.json["detail"]) == (400, told)


def test_all_of_a_run_is_for_the_administrator_alone(listed: tuple[Server, str, str]) -> None:
    server, a, _ = listed
    answer = server.request("GET", f"/-/runs/{a}", headers=ADMIN)
    whole = answer.json
    assert whole["request"]["body"] == {"text": '{"a": "é"}'}
    assert (whole["request"]["method"], whole["request"]["query"]) == ("POST", "q=1")
    [attempt] = whole["attempts"]
    assert (attempt["number"], attempt["outcome"]["detail"]) == (1, "exit 3")
    assert attempt["stdout"] == '{"a": "é"}'
    # A config var that the hook uses as a secret, whoever prints it.
    assert attempt["stderr"] == "my ****\n"
    assert "s3cret" not in answer.text

    assert set(server.state(a)) == {"run", "state", "attempt"}
    wrong = server.request("GET", f"/-/runs/{a}", headers={"Authorization": "Bearer x"})
    assert wrong.status == 401
    assert server.get("/-/runs").status == 401
    gone = server.request("GET", f"/-/runs/{'a' * 20}", headers=ADMIN)
    assert gone.status == 404


def test_a_list_needs_the_administrator_s_token_to_be_set(project: Project) -> None:
    project.hooks("/a: {script: a.sh, auth: none}\n").script("a.sh", "true\n")
    with project.serve() as server:
        answer = server.request("GET", "/-/runs", headers=ADMIN)
        assert (answer.status, answer.json["detail"]) == (403, "this needs ADMIN_TOKEN to be set")


@pytest.mark.parametrize(
    ("method", "page", "told"),
    [
        ("GET", "/-/runs?x=1", f"'x' is none of {', '.join(RUNS)}"),
        ("GET", "/-/runs/{run}?x=1", f"'x' is none of {', '.join(PLACES)}"),
        ("POST", "/-/runs/{run}/replay?x=1", "'x' cannot be asked for here"),
        ("POST", "/-/runs/{run}/cancel?x=1", "'x' cannot be asked for here"),
        ("POST", "/-/prune?older=1&x=1", "'x' is none of older"),
        ("POST", "/-/prune?oldr=1", "'oldr' is none of older"),
        ("POST", "/-/prune?older=soon", "older cannot be 'soon'; it is in seconds"),
        ("GET", "/-/runs/{run}?attempt=0", "attempt cannot be '0'; it is the number of an attempt"),
        ("GET", "/-/runs/{run}?stdout=-1", "stdout cannot be '-1'; it is the place of a byte"),
    ],
)
def test_what_no_page_is_asked_with_is_refused_with_what_may_be(
    listed: tuple[Server, str, str], method: str, page: str, told: str
) -> None:
    server, _, run = listed
    answer = server.request(method, page.format(run=run), headers=ADMIN)
    assert (answer.status, answer.json["detail"]) == (400, told)
    assert server.state(run)["state"] == "succeeded"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
@pytest.mark.parametrize("query", ["", "?older=0.001", "?x=1"])
def test_who_has_no_token_prunes_nothing(
    listed: tuple[Server, str, str], headers: dict[str, str], query: str
) -> None:
    server, _, run = listed
    answer = server.request("POST", f"/-/prune{query}", headers=headers)
    assert (answer.status, answer.json["detail"]) == (401, "not authorised")
    assert server.state(run)["state"] == "succeeded"


def test_where_no_token_is_set_nobody_prunes(project: Project) -> None:
    project.hooks("/a: {script: a.sh, auth: none}\n").script("a.sh", "true\n")
    with project.serve() as server:
        run = server.post_json("/a", 1).headers["Hook-Run"]
        for headers in ({}, ADMIN):
            answer = server.request("POST", "/-/prune?older=0.001", headers=headers)
            assert (answer.status, answer.json["detail"]) == (
                403, "this needs ADMIN_TOKEN to be set"
            )  # fmt: skip
        assert server.state(run)["state"] == "succeeded"
