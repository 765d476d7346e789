"""What every test may ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.serving import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project folder of the test's own, with no hooks yet."""
    return Project(tmp_path / "project")
