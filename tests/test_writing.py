"""Files are written whole or not at all, and never through a link that nobody looked at."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from hookrunner import writing


@pytest.mark.parametrize("there", ["a file", "a link", "a link that leads nowhere"])
def test_a_new_file_takes_nobody_s_place(tmp_path: Path, there: str) -> None:
    other, path = tmp_path / "other", tmp_path / "new"
    if there == "a file":
        path.write_text("old")
    else:
        path.symlink_to(other)
    if there == "a link":
        other.write_text("old")
    with pytest.raises(FileExistsError):
        writing.create(path, b"new", [])
    assert not other.exists() or other.read_text() == "old"
    assert path.is_symlink() or path.read_text() == "old"


def test_what_was_made_is_gone_again_if_anything_is_raised(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    with pytest.raises(KeyboardInterrupt), writing.undone_on_failure() as made:
        writing.create(tmp_path / "folder" / "a", b"a", made)
        writing.create(tmp_path / "kept" / "b", b"b", made)
        raise KeyboardInterrupt
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "kept"]


def test_a_file_is_replaced_and_its_mode_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o604)
    reader = path.open("rb")
    writing.replace(path, b"new")
    # Who has it open reads on in the old one.
    with reader:
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


def test_a_file_that_cannot_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    (path / "inner").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        writing.replace(path, b"new")
    assert list(tmp_path.iterdir()) == [path]
