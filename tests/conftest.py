"""What every test may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.amazon import Amazon
from tests.serving import Project


@pytest.fixture(scope="module")
def amazon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Amazon]:
    """A host that a server takes for Amazon's, with Amazon.environ."""
    with Amazon(tmp_path_factory.mktemp("amazon")) as amazon:
        yield amazon


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project folder of the test's own, with no hooks yet."""
    return Project(tmp_path / "project")
