"""What a script imports is found in its source; what lies beside it is followed, not named."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from hookrunner.imports import MOST_FILES, Imports, imports_of

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file of the scripts' folder."""

    def write(text: str | bytes, name: str = "one.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(text, str):
            text = textwrap.dedent(text).encode()
        path.write_bytes(text)
        return path

    return write


FOUND: dict[str, tuple[str, Imports]] = {
    "nothing": ("", ()),
    "a module": ("import json", (("json", ()),)),
    "several": ("import os, json\nimport re", (("os", ()), ("json", ()), ("re", ()))),
    "one of a package": ("import os.path", (("os.path", ()),)),
    "one by another name": ("import numpy as np", (("numpy", ()),)),
    "what is taken": ("from json import loads, dumps as d", (("json", ("loads", "dumps")),)),
    "all of it": ("from json import *", (("json", ()),)),
    "twice": ("import json\nfrom json import loads\nimport json", (("json", ("loads",)),)),
    "the same name twice": ("from a import b\nfrom a import c, b", (("a", ("b", "c")),)),
    "in a function": ("def f():\n    import json", (("json", ()),)),
    "in a class": ("class C:\n    import json", (("json", ()),)),
    "in an attempt": (
        "try:\n    import orjson\nexcept ImportError:\n    import json\nfinally:\n    import re",
        (("orjson", ()), ("json", ()), ("re", ())),
    ),
    "under a condition": (
        "import sys\nif sys.argv[1:] and x or y:\n    import json\nelse:\n    import re",
        (("sys", ()), ("json", ()), ("re", ())),
    ),
    "under a call": ("if f():\n    import json", (("json", ()),)),
    "in its main part": ("if __name__ == '__main__':\n    import json", (("json", ()),)),
    "in a loop, a with and a match": (
        "for x in y:\n    import a\nwith z:\n    import b\nmatch q:\n    case 1:\n        import c",
        (("a", ()), ("b", ()), ("c", ())),
    ),
    "not for type checkers": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a\nelse:\n    import b",
        (("typing", ("TYPE_CHECKING",)), ("b", ())),
    ),
    "not for type checkers, by attribute": (
        "import typing\nif typing.TYPE_CHECKING:\n    import a", (("typing", ()),)
    ),
    "not the future": ("from __future__ import annotations\nimport json", (("json", ()),)),
    "not from a package of its own": ("from . import a\nfrom .b import c\nfrom ..d import e", ()),
    "not what is said in a text": ("'import a'\n# import b\nx = '''\nimport c\n'''", ()),
    "not what is no Python": ("import json\nimport (", ()),
    "not what is indented wrongly": ("import json\n  import re", ()),
}  # fmt: skip


@pytest.mark.parametrize("what", FOUND)
def test_a_script_names_what_it_imports(write: Write, what: str) -> None:
    text, found = FOUND[what]

    assert sorted(imports_of(write(text))) == sorted(found)


def test_top_level_imports_come_in_the_order_of_the_source(write: Write) -> None:
    names = [
        name for name, _ in imports_of(write("import c\nimport a, b\nfrom d import e\nimport b"))
    ]

    assert names == ["c", "a", "b", "d"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"import json\0", id="a null byte"),
        pytest.param(b"# -*- coding: no-such -*-\nimport json", id="no such encoding"),
        pytest.param(b"import json\n\xff", id="not its encoding"),
        pytest.param(b"import json\nx = " + b"(" * 5000 + b")" * 5000, id="too deep"),
        pytest.param(b"\x7fELF" + bytes(range(256)), id="a program"),
    ],
)
def test_what_python_cannot_read_imports_nothing(write: Write, text: bytes) -> None:
    assert imports_of(write(text)) == ()


def test_an_encoding_is_heeded(write: Write) -> None:
    text = "# -*- coding: latin-1 -*-\nimport json; x = 'ü'".encode("latin-1")

    assert imports_of(write(text)) == (("json", ()),)


def test_a_script_that_is_not_there_imports_nothing(tmp_path: Path) -> None:
    assert imports_of(tmp_path / "gone.py") == ()
    assert imports_of(tmp_path) == ()


def test_a_helper_is_followed_and_not_named(write: Write) -> None:
    write("import json\nimport deeper", "helper.py")
    write("import re\nfrom csv import reader", "deeper.py")

    found = imports_of(write("import helper\nimport os"))

    assert dict(found) == {"os": (), "json": (), "re": (), "csv": ("reader",)}


def test_helpers_that_import_each_other_and_the_script_come_to_an_end(write: Write) -> None:
    write("import b, one, json", "a.py")
    write("import a, one, re", "b.py")

    assert dict(imports_of(write("import a"))) == {"json": (), "re": ()}


def test_a_package_is_followed_as_far_as_it_is_imported(write: Write) -> None:
    write("import a", "package/__init__.py")
    write("import b", "package/inner/__init__.py")
    write("import c", "package/inner/deep.py")
    write("import d", "package/taken.py")
    write("import e", "package/left.py")
    write("import f", "package/also/__init__.py")

    found = imports_of(write("import package.inner.deep\nfrom package import taken, also, NAME"))

    assert {name for name, _ in found} == {"a", "b", "c", "d", "f"}


def test_a_folder_without_an_init_is_a_package_too(write: Write) -> None:
    write("import json", "package/inner.py")

    assert dict(imports_of(write("from package.inner import x\nimport package"))) == {"json": ()}


def test_a_helper_with_the_name_of_a_module_hides_it(write: Write) -> None:
    write("import re", "json.py")

    assert dict(imports_of(write("import json, csv"))) == {"re": (), "csv": ()}


def test_a_file_is_preferred_to_a_folder_only_where_python_does_so(write: Write) -> None:
    write("import of_the_file", "both.py")
    write("import of_the_package", "both/__init__.py")

    assert dict(imports_of(write("import both"))) == {"of_the_package": ()}


def test_helpers_lie_where_a_link_leads(write: Write, tmp_path: Path) -> None:
    write("import json", "elsewhere/helper.py")
    real = write("import helper", "elsewhere/real.py")
    link = tmp_path / "link.py"
    link.symlink_to(real)

    assert imports_of(link) == (("json", ()),)


def test_a_helper_that_is_no_python_imports_nothing_and_the_rest_is_found(write: Write) -> None:
    write("import (", "helper.py")

    assert imports_of(write("import helper, json")) == (("json", ()),)


def test_no_more_than_so_many_helpers_are_followed(write: Write) -> None:
    for number in range(MOST_FILES + 50):
        write(f"import module{number}", f"helper{number}.py")

    found = imports_of(write("\n".join(f"import helper{n}" for n in range(MOST_FILES + 50))))

    assert len(found) == MOST_FILES - 1


def test_nothing_is_run_that_is_looked_at(write: Write, tmp_path: Path) -> None:
    write(f"open({str(tmp_path / 'ran')!r}, 'w')", "helper.py")

    imports_of(write(f"import helper\nopen({str(tmp_path / 'ran')!r}, 'w')"))

    assert "ran" not in os.listdir(tmp_path)  # noqa: PTH208
