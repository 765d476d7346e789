"""An accepted delivery is never lost, whatever is killed, and whenever.

CHAOS_KILLS=500 kills longer, CHAOS_SEED=7 at other moments.
"""

from __future__ import annotations

import os
import sys

import pytest

from tests.chaos.siege import Siege, reckon
from tests.serving import Project

KILLS = int(os.environ.get("CHAOS_KILLS", "30"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))

pytestmark = [
    pytest.mark.timeout(120 + 10 * KILLS),
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps these promises"),
]


def test_nothing_is_lost_doubled_or_overlapped_when_the_runner_is_killed(project: Project) -> None:
    with Siege(project, SEED) as siege:
        for _ in range(KILLS):
            siege.kill("runner")
        siege.finish()
    reckon(siege)


def test_nothing_is_lost_doubled_or_overlapped_when_the_supervisor_is_killed(
    project: Project,
) -> None:
    with Siege(project, SEED) as siege:
        for _ in range(KILLS // 5):
            siege.kill("supervisor")
        siege.finish()
    reckon(siege)


def test_nothing_is_lost_doubled_or_overlapped_when_both_are_killed(project: Project) -> None:
    with Siege(project, SEED) as siege:
        for _ in range(KILLS // 3):
            siege.kill("runner", "supervisor")
        siege.finish()
    reckon(siege)


def test_nothing_is_lost_doubled_or_overlapped_when_the_runner_is_stopped_past_its_lease(
    project: Project,
) -> None:
    with Siege(project, SEED) as siege:
        for _ in range(KILLS // 10):
            siege.stop_past_the_lease()
        siege.finish()
    reckon(siege)
