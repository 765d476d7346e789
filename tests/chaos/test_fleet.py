"""With several machines on one database, too, nothing is lost, doubled, overlapped or disordered.

CHAOS_FAULTS=50 goes on longer, CHAOS_SEED=7 at other moments.
"""

from __future__ import annotations

import os
import sys

import pytest

from tests.chaos.fleet import Fleet, reckon
from tests.serving import Project

FAULTS = int(os.environ.get("CHAOS_FAULTS", "8"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))

pytestmark = [
    pytest.mark.timeout(240 + 20 * FAULTS),
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps these promises"),
]


def test_nothing_is_lost_doubled_overlapped_or_disordered_whichever_machine_is_killed(
    project: Project,
) -> None:
    with Fleet(project, SEED) as fleet:
        for fault in range(FAULTS):
            fleet.kill(fleet.chance.choice((fleet.webs, fleet.workers, fleet.workers)))
            if fault == FAULTS // 2:
                fleet.restart_database()
        fleet.stop_past_the_lease()
        fleet.finish()
        reckon(fleet)
