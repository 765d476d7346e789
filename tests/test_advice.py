"""What `check` says of hooks that are in order, and likely to be a mistake all the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hookrunner.advice import unmatchable
from tests.serving import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project").script("a.sh", "true\n").script("a.py", "import json\n")
    return project.hooks("/a: {script: a.sh, auth: none}\n/p: {script: a.py, auth: none}\n")


def warnings(project: Project) -> list[str]:
    done = project.command("check")
    assert done.returncode == 0, done
    return done.stderr.splitlines()


def test_where_all_is_well_nothing_is_said(project: Project) -> None:
    assert warnings(project) == []


def test_line_ends_of_windows_are_told_where_they_do_harm(project: Project) -> None:
    project.script("a.sh", "#!/bin/bash\r\ntrue\r\n").script("a.py", "import json\r\n")
    assert warnings(project) == [
        "warning: scripts/a.sh has the line ends of Windows, which are part of the last word to "
        "Bash; sed -i 's/\\r$//' scripts/a.sh"
    ]


def test_a_wait_that_heroku_s_router_does_not_wait_is_told(project: Project) -> None:
    project.hooks("/a: {script: a.sh, auth: none, respond: {wait: 45s}}\n")
    assert warnings(project) == [
        "warning: /a waits 45s for its script; Heroku's router gives up after 30s; "
        "write respond: {wait: 25s}, or accepted"
    ]


def test_a_path_that_another_has_taken_is_told(project: Project) -> None:
    project.hooks(
        "/deploy/<env>: {script: a.sh, auth: none}\n/deploy/live: {script: a.sh, auth: none}\n"
        "/deploy/<env>/now: {script: a.sh, auth: none}\n"
    )
    assert warnings(project) == [
        "warning: /deploy/live is never answered by /deploy/<env>, for it has a hook of its own"
    ]


def test_an_import_that_is_not_installed_is_told(project: Project) -> None:
    project.script(
        "a.py", "import os, beside\nimport no_such_module.inner\nfrom yaml import load\n"
    )
    project.script("beside.py", "import another_that_is_missing\n")
    told = "which is not installed here; name its package in requirements.txt, and pip install"
    assert warnings(project) == [
        f"warning: scripts/a.py imports {name}, {told} -r requirements.txt"
        for name in ("no_such_module", "another_that_is_missing")
    ]


def test_an_import_that_requirements_txt_does_not_name_is_told(project: Project) -> None:
    project.script("a.py", "import yaml, numpy, jsonschema\n")
    (project.folder / "requirements.txt").write_text("# mine\njsonschema==4.26.0\nNumPy >= 2\n")
    assert warnings(project) == [
        "warning: scripts/a.py imports yaml, which requirements.txt does not name, so that a dyno "
        "lacks it; add pyyaml"
    ]
    (project.folder / "requirements.txt").write_text("-r other.txt\n")
    assert warnings(project) == []


def test_a_schema_that_nothing_fits_is_told(project: Project) -> None:
    project.hooks("/a: {script: a.sh, auth: none, schema: {minimum: 3, maximum: 2}}\n")
    assert warnings(project) == [
        "warning: /a: no payload fits its schema: (whole): minimum 3 is more than maximum 2"
    ]


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (False, "(whole) is false"),
        ({"enum": []}, "(whole): enum is empty"),
        ({"type": "string", "const": 1}, "(whole): no value of const is of type string"),
        ({"type": ["string", "null"], "enum": [1, {}]},
         "(whole): no value of enum is of type string, null"),
        ({"type": "integer", "enum": [1.5, True]}, "(whole): no value of enum is of type integer"),
        ({"minLength": 2, "maxLength": 1}, "(whole): minLength 2 is more than maxLength 1"),
        ({"required": ["a"], "properties": {"a": False}}, "/a is false"),
        ({"type": "object", "required": ["a"], "properties": {"b": {}},
          "additionalProperties": False}, "(whole): 'a' is required, and no property of it"),
        ({"allOf": [{}, {"enum": []}]}, "(whole): enum is empty"),
        ({"type": "object", "required": ["a"],
          "properties": {"a": {"required": ["b"], "properties": {"b": {"enum": []}}}}},
         "/a/b: enum is empty"),
    ],
)  # fmt: skip
def test_why_nothing_fits_a_schema_is_said(schema: Any, why: str) -> None:
    assert unmatchable(schema) == why


@pytest.mark.parametrize(
    "schema",
    [
        True, {}, {"enum": [1]}, {"type": "number", "const": 1}, {"type": "integer", "enum": [2.0]},
        {"type": "boolean", "enum": [True]}, {"properties": {"a": False}}, {"minimum": 1},
        {"type": "object", "required": ["a"], "patternProperties": {"^a$": {}},
         "additionalProperties": False},
        {"type": "array", "required": ["a"], "additionalProperties": False},
        {"minimum": 2, "maximum": 2}, {"allOf": [{}]}, {"type": "null", "const": None},
    ],
)  # fmt: skip
def test_what_something_fits_is_left_alone(schema: Any) -> None:
    assert unmatchable(schema) == ""


def test_all_of_it_can_be_had_as_json(project: Project) -> None:
    project.hooks("/a: {script: a.sh, auth: {bearer: $T}, respond: {wait: 45s}}\n")
    done = project.command("check", "--json")
    said = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (1, "")
    assert said["hooks"] == [
        {"path": "/a", "methods": "POST", "auth": "bearer", "script": "a.sh",
         "respond": "status, waits 29.5s", "state": "off"}
    ]  # fmt: skip
    assert said["switched_off"][0].startswith("/a is switched off: T is not set")
    assert said["warnings"] == []
