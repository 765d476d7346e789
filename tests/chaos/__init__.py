"""What must hold whatever is killed, and whenever."""

import pytest

pytest.register_assert_rewrite("tests.chaos.siege")  # so that a failure shows what it found
