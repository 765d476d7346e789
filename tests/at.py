"""The runner at a time of the test's choosing: python tests/at.py UNIX-SECONDS ARGUMENTS.

The clock goes on from there, for this process alone.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hookrunner import cli

_true = time.time
_away = float(sys.argv[1]) - _true()


def _at_that_time() -> float:
    return _true() + _away


if __name__ == "__main__":
    time.time = _at_that_time
    sys.exit(cli.main(sys.argv[2:]))
