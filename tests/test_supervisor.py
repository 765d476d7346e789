"""No script outlives its runner, its supervisor or its lease; nor does anything it started."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from hookrunner.launch import kin
from hookrunner.model import State, Why
from hookrunner.seams import Start
from tests.launching import Launching
from tests.serving import Project, Server, alive, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has subreapers")

HOOKS = """
/family:
  script: family.sh
  auth: none
  respond: accepted
/hello:
  script: hello.sh
  auth: none
  respond: output
"""

# Its first attempt has a child in its own group, one with a session of its own, and one
# that nobody is the parent of any more; none of them ever ends. Later ones look who is left.
FAMILY = r"""#!/bin/bash
if [ "$HOOK_ATTEMPT" -gt 1 ]; then
  for pid in $(cat pids); do
    grep -q "^State:.[^ZX]" "/proc/$pid/status" 2>/dev/null && echo "$pid is alive" >>overlaps
  done
  exit 0
fi
sleep 1000 & echo $! >>pids
setsid bash -c 'trap "" TERM; echo $$ >>pids; while :; do sleep 1000; done' &
(setsid bash -c 'echo $$ >>pids; sleep 1000' &)
until [ "$(wc -l <pids)" = 3 ]; do sleep 0.01; done
echo $$ >>pids
sleep 1000
"""


@pytest.fixture
def family(project: Project) -> Project:
    """A project with a script that leaves children of every kind."""
    project.hooks(HOOKS)
    return project.script("family.sh", FAMILY).script("hello.sh", "echo hello\n")


def begin(project: Project, server: Server) -> str:
    """A run whose script and its three children are there; its id."""
    run = server.post("/family").headers["Hook-Run"]
    wait_until(lambda: len(project.lines("pids")) == 4, "a script with three children")
    assert len(left(project)) == 4
    return run


def left(project: Project) -> list[int]:
    """Which of them are alive."""
    return [pid for pid in map(int, project.lines("pids")) if alive(pid)]


def test_when_the_runner_is_killed_no_script_stays_alive_nor_what_it_started(
    family: Project,
) -> None:
    with family.serve() as server:
        begin(family, server)
        server.kill()
        wait_until(lambda: left(family) == [], "the end of every script")


def test_when_the_supervisor_is_killed_scripts_end_and_run_again_under_another(
    family: Project,
) -> None:
    with family.serve() as server:
        run = begin(family, server)
        first = server.supervisor()
        assert first
        os.kill(first, signal.SIGKILL)

        server.wait_for_line(f"{run} /family interrupted: the supervisor ended")
        server.wait_for_line("error: the supervisor ended unexpectedly; ")
        state = server.wait_until_over(run)
        assert (state["state"], state["attempt"]) == ("succeeded", 2)
        assert left(family) == []
        assert family.lines("overlaps") == []
        assert server.supervisor() not in (None, first)
        assert server.post("/hello").text == "hello\n"


def test_when_both_are_killed_the_next_start_ends_what_is_left_before_it_claims(
    family: Project,
) -> None:
    with family.serve() as server:
        run = begin(family, server)
        supervisor = server.supervisor()
        assert supervisor
        os.kill(server.process.pid, signal.SIGSTOP)  # or it would notice
        wait_until(lambda: kin.stat_fields(server.process.pid)[0] == "T", "its standing still")
        os.kill(supervisor, signal.SIGKILL)
        server.kill()
        wait_until(lambda: not alive(supervisor), "the end of the supervisor")
        assert len(left(family)) == 4

    with family.serve() as server:
        server.wait_for_line("of scripts had outlived us; ended")
        state = server.wait_until_over(run)
    assert (state["state"], state["attempt"]) == ("succeeded", 2)
    assert left(family) == []
    assert family.lines("overlaps") == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_supervisor_alone_does_nothing(
    family: Project, number: signal.Signals
) -> None:
    with family.serve() as server:
        begin(family, server)
        supervisor = server.supervisor()
        assert supervisor
        os.kill(supervisor, number)

        assert server.post("/hello").text == "hello\n"
        assert server.supervisor() == supervisor
        assert len(left(family)) == 4


def test_a_script_ends_with_its_lease_though_the_runner_is_paused(family: Project) -> None:
    with family.serve("--lease", "2s") as server:
        run = begin(family, server)
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            *_, leader = map(int, family.lines("pids"))
            wait_until(lambda: not alive(leader), "the end of the script")
            assert server.process.poll() is None
        finally:
            os.kill(server.process.pid, signal.SIGCONT)

        server.wait_for_line(f"{run} /family interrupted: its lease ran out")
        assert server.wait_until_over(run)["attempt"] == 2


def test_what_a_script_started_ends_with_its_lease_whatever_session_it_has(
    family: Project,
) -> None:
    with family.serve("--lease", "2s") as server:
        run = begin(family, server)
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            wait_until(lambda: left(family) == [], "the end of the script and of its children")
        finally:
            os.kill(server.process.pid, signal.SIGCONT)

        server.wait_until_over(run)
        assert family.lines("overlaps") == []


def test_a_lease_that_is_renewed_holds(family: Project) -> None:
    with family.serve("--lease", "1s") as server:
        begin(family, server)
        began = family.journal("SELECT due FROM run")[0][0]
        wait_until(
            lambda: family.journal("SELECT due FROM run")[0][0] > began + 2, "renewals of the lease"
        )
        assert len(left(family)) == 4
        assert family.journal("SELECT attempt, state FROM run") == [(1, "running")]


def test_a_script_whose_lease_has_ended_is_not_started_at_all(tmp_path: Path) -> None:
    # A runner that was paused between its claim and its order, for longer than the lease.
    launcher = Launching()
    past = time.monotonic() - 1
    late = Start(
        run_id="k3x9",
        command=("/bin/sh", "-c", "trap '' TERM; echo begun"),
        env={"PATH": os.environ["PATH"]},
        cwd=tmp_path,
        stdin=b"",
        timeout=20.0,
        max_output=1024,
        lease=(past, past),
    )
    try:
        outcomes = [launcher.run(late, lambda stream, data: None) for _ in range(20)]
    finally:
        launcher.close()

    assert {(o.state, o.why, o.stdout) for o in outcomes} == {(State.FAILED, Why.INTERRUPTED, b"")}
