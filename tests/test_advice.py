"""What `check` says of hooks that are in order, and likely to be a mistake all the same."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hookrunner.advice.patterns import doubled
from hookrunner.advice.schemas import misspelt, unmatchable
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


@pytest.mark.parametrize("wait", ["29.9s", "30s"])
def test_thirty_seconds_are_too_many(project: Project, wait: str) -> None:
    project.hooks(f"/a: {{script: a.sh, auth: none, respond: {{wait: {wait}}}}}\n")
    told = [
        "warning: /a waits 30s for its script; Heroku's router gives up after 30s; "
        "write respond: {wait: 25s}, or accepted"
    ]
    assert warnings(project) == (told if wait == "30s" else [])


def test_who_is_not_waited_for_may_take_long(project: Project) -> None:
    project.hooks("/a: {script: a.sh, auth: none, respond: accepted}\n")
    assert warnings(project) == []


def test_paths_with_names_that_meet_are_told(project: Project) -> None:
    project.hooks(
        "/x/<m>/z: {script: a.sh, auth: none}\n/x/y/<n>: {script: a.sh, auth: none}\n"
        # The plainer of two wins, as README says: no warning.
        "/deploy/<env>: {script: a.sh, auth: none}\n/deploy/live: {script: a.sh, auth: none}\n"
        "/deploy/<env>/<to>: {script: a.sh, auth: none}\n"
        "/deploy/<env>/now: {script: a.sh, auth: none}\n"
    )
    assert warnings(project) == [
        "warning: /x/y/z is answered by /x/y/<n>, though /x/<m>/z matches it, too"
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
        ({"$schema": "https://json-schema.org/draft/2020-12/schema", "$ref": "#/x", "enum": []},
         "(whole): enum is empty"),
        ({"type": ["integer", "number"], "minimum": 3, "maximum": 2},
         "(whole): minimum 3 is more than maximum 2"),
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
        {"type": "string", "minimum": 3, "maximum": 2},
        {"type": ["number", "string"], "minimum": 3, "maximum": 2},
        {"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/x", "enum": []},
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


# --- schemas


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"requird": ["a"]}, ["'requird' at (whole) is no keyword; did you mean 'required'?"]),
        ({"properties": {"a": {"propertes": {}}}},
         ["'propertes' at /a is no keyword; did you mean 'properties'?"]),
        ({"items": {"allOf": [{"enums": [1]}]}},
         ["'enums' at (whole) is no keyword; did you mean 'enum'?"]),
        ({"properties": {"requird": {}, "itmes": True}}, []),  # names of the payload's own
        ({"x-note": 1, "example": 1, "nullable": True, "enum": [{"requird": 1}]}, []),
        (True, []),
    ],
)  # fmt: skip
def test_a_misspelt_keyword_is_told(schema: Any, told: list[str]) -> None:
    assert list(misspelt(schema)) == told


def test_a_misspelt_keyword_is_told_with_its_hook(project: Project) -> None:
    project.hooks("/a: {script: a.sh, auth: none, schema: {requird: [a]}}\n")
    assert warnings(project) == [
        "warning: /a: in its schema 'requird' at (whole) is no keyword; did you mean 'required'?"
    ]


# --- scripts


def test_what_may_fail_to_import_is_not_told(project: Project) -> None:
    project.script("a.py", (
        "import sys, __main__\n"
        "from typing import TYPE_CHECKING\n"
        "from contextlib import suppress\n"
        "try:\n    import missing1\nexcept ImportError:\n    import missing2\n"
        "try:\n    import missing3\nexcept (KeyError, ModuleNotFoundError):\n    pass\n"
        "if sys.version_info < (3, 11):\n    import missing4\nelse:\n    import tomllib\n"
        "if TYPE_CHECKING:\n    import missing5\n"
        "with suppress(ImportError):\n    import missing6\n"
    ))  # fmt: skip
    assert warnings(project) == []
    project.script("a.py", "try:\n    import missing\nexcept KeyError:\n    pass\n")
    assert len(warnings(project)) == 1


def test_a_script_that_says_where_its_modules_are_is_left_alone(project: Project) -> None:
    project.script("a.py", "import sys\nsys.path.insert(0, 'lib')\nimport of_the_lib\n")
    assert warnings(project) == []


@pytest.mark.parametrize(
    "text",
    [
        "jsonschema==4.26.0\n",  # which brings attrs
        "attrs @ https://a.example/attrs.whl\n",
        "git+https://a.example/attrs.git\n", "https://a.example/attrs.whl\n", "./vendored/attrs\n",
        "attrs-1.0-py3-none-any.whl\n",
    ],
)  # fmt: skip
def test_what_requirements_txt_brings_in_some_other_way_is_not_told(
    project: Project, text: str
) -> None:
    project.script("a.py", "import attrs\n")
    (project.folder / "requirements.txt").write_text(text)
    assert warnings(project) == []


def test_what_no_requirement_brings_is_told(project: Project) -> None:
    project.script("a.py", "import attrs\n")
    (project.folder / "requirements.txt").write_text("# attrs\nPyYAML\nno-such-package\n")
    assert warnings(project) == [
        "warning: scripts/a.py imports attrs, which requirements.txt does not name, so that a dyno "
        "lacks it; add attrs"
    ]


def test_a_script_by_its_first_line_is_looked_at_for_its_imports(project: Project) -> None:
    project.script("tool", "#!/usr/bin/env python3\nimport no_such_module\n")
    project.hooks("/a: {script: tool, auth: none}\n")
    assert warnings(project) == [
        "warning: scripts/tool imports no_such_module, which is not installed here; name its "
        "package in requirements.txt, and pip install -r requirements.txt"
    ]


@pytest.mark.parametrize(
    ("line", "program"),
    [
        ("#!/usr/bin/env no-such-ruby", "no-such-ruby"),
        ("#!/usr/bin/env -S no-such-ruby -w", "no-such-ruby"),
        ("#!/opt/no-such/perl -w", "/opt/no-such/perl"),
    ],
)
def test_an_interpreter_that_is_not_there_is_told(
    project: Project, line: str, program: str
) -> None:
    project.script("tool", f"{line}\n").hooks("/a: {script: tool, auth: none}\n")
    assert warnings(project) == [
        f"warning: scripts/tool needs {program}, as its #! line says, and there is none here"
    ]


@pytest.mark.parametrize(
    "line", ["#!/bin/sh -e", "#! /usr/bin/env bash", "#!/usr/bin/env -S A=1 bash"]
)
def test_an_interpreter_that_is_there_is_not_told(project: Project, line: str) -> None:
    project.script("tool", f"{line}\n").hooks("/a: {script: tool, auth: none}\n")
    assert warnings(project) == []


def test_what_is_no_python_or_no_bash_is_told_once_for_all_hooks(project: Project) -> None:
    project.script("a.py", "x = 1\nreturn x\n").script("a.sh", "if true\nfi\n")
    project.script("b.py", "x = '\\d'\n")  # a SyntaxWarning, and no mistake of ours to tell
    project.hooks(
        "/a: {script: a.sh, auth: none}\n/b: {script: a.sh, auth: none}\n"
        "/p: {script: b.py, auth: none, on_failure: a.py}\n"
    )
    assert warnings(project) == [
        "warning: scripts/a.sh is not Bash: line 2: syntax error near unexpected token `fi'",
        "warning: scripts/a.py is not Python: line 2: 'return' outside function",
    ]


def test_a_script_that_hides_a_module_is_told(project: Project) -> None:
    project.script("json.py", "").script("yaml.py", "").script("other.py", "")
    (project.folder / "scripts" / "email").mkdir()
    (project.folder / "scripts" / "email" / "__init__.py").touch()
    (project.folder / "scripts" / "csv").mkdir()  # no package: it hides nothing
    beside = "from every Python script beside it; call it"
    assert warnings(project) == [
        f"warning: scripts/email hides Python's own email {beside} email_hook",
        f"warning: scripts/json.py hides Python's own json {beside} json_hook.py",
        f"warning: scripts/yaml.py hides the installed yaml {beside} yaml_hook.py",
    ]
    project.hooks("/a: {script: a.sh, auth: none}\n")  # no Python, nobody to hide it from
    assert warnings(project) == []


def test_one_line_end_of_windows_is_none_of_the_file(project: Project) -> None:
    project.script("a.sh", "true\ntrue\nprintf 'a\r\n'\n")
    assert warnings(project) == []


# --- secrets


@pytest.mark.parametrize(
    ("auth", "value", "told"),
    [
        ("bearer", "seven77", ["is shorter than 8 characters, and can be guessed; make one with: "
                               "openssl rand -hex 32"]),
        ("bearer", "eight888", []),
        ("bearer", "ChangeMe", ["is one that everybody tries; make one with: "
                                "openssl rand -hex 32"]),
        ("stripe", "sk_live_0123456789", [
            "is no signing secret of Stripe's, which begins with whsec_; "
            "what to put there: python runner.py senders stripe"]),
        ("stripe", "whsec_0123456789", []),
        ("slack", "short", ["is shorter than 8 characters, and can be guessed"]),
    ],
)  # fmt: skip
def test_a_secret_that_is_none_is_told(
    project: Project, auth: str, value: str, told: list[str]
) -> None:
    project.hooks(f"/a: {{script: a.sh, auth: {{{auth}: $T}}}}\n")
    done = project.command("check", T=value)
    assert done.stderr.splitlines() == [f"warning: the value of T {line}" for line in told]


# --- .env


def test_a_missing_line_end_in_env_is_told(project: Project) -> None:
    project.hooks("/a: {script: a.sh, auth: {github: $GITHUB_SECRET}}\n")
    (project.folder / ".env").write_text("A=1\n\nGITHUB_SECRET=0123456789BUILD_TOKEN=abc\n"
                                         "BUILD_TOKEN=x\nURL='https://a.example/?BUILD_TOKEN=1'\n"
                                         "PADDED=xA=\n")  # fmt: skip
    assert warnings(project) == [
        "warning: .env:3: the value of GITHUB_SECRET contains 'BUILD_TOKEN='; "
        "is a line end missing?"
    ]


def test_a_last_line_without_its_end_is_told_and_what_is_to_be_added_heeds_it(
    project: Project,
) -> None:
    project.hooks("/a: {script: a.sh, auth: {github: $GITHUB_SECRET}}\n")
    (project.folder / ".env").write_text("A=1")
    done = project.command("check")
    command = 'echo >> .env; echo "GITHUB_SECRET=$(openssl rand -hex 32)" >> .env'
    assert done.stderr.splitlines() == [
        f"/a is switched off: GITHUB_SECRET is not set; set it: {command}",
        "warning: .env does not end with a line end, so that what is added becomes part of its "
        "last line; echo >> .env",
    ]
    subprocess.run(["bash", "-c", command], cwd=project.folder, check=True)
    assert project.command("check").stderr == ""
    assert (project.folder / ".env").read_text().startswith("A=1\nGITHUB_SECRET=")


def test_problems_can_be_had_as_json(project: Project) -> None:
    project.hooks("/a: {scrpt: a.sh, auth: none}\n")
    done = project.command("check", "--json")
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(done.stdout) == {
        "problems": [
            "hooks.yaml:1: /a: 'script' is missing; name a file of scripts/",
            "hooks.yaml:1: unknown setting 'scrpt'; did you mean 'script'?",
        ]
    }


# --- patterns that hold up


def test_a_pattern_that_repeats_what_repeats_is_told(project: Project) -> None:
    slow = {"type": "string", "pattern": "^(a+)+$"}
    contents = {
        "properties": {"name": slow, "short": {**slow, "maxLength": 20}, "pattern": {"const": 1}},
    }
    project.schema("a.json", contents)
    project.hooks("/a: {script: a.sh, auth: none, schema: a.json}\n")
    assert warnings(project) == [
        "warning: /a: in its schema the pattern '^(a+)+$' at /name repeats what repeats: some "
        "texts of 30 characters hold up every hook; take one + or * out of it, or write "
        "maxLength: 20 beside it"
    ]


def test_patterns_are_looked_for_wherever_a_payload_meets_them(project: Project) -> None:
    def slow(letter: str) -> dict[str, str]:
        return {"pattern": f"^({letter}+)+$"}

    project.schema(
        "a.json",
        {
            "patternProperties": {"^(k+)+$": {}, "^x-": slow("b")},
            "properties": {
                "to": {"$ref": "parts/address.json"},
                "of": {"$ref": "#/$defs/used"},
                "at": {"$ref": "#/$defs/used"},
            },
            "allOf": [slow("g"), slow("g")],
            "$dynamicRef": "#/$defs/twin",
            "$defs": {"used": slow("c"), "unused": slow("d"), "twin": slow("h")},
        },
    )
    (project.folder / "schemas" / "parts").mkdir()
    project.schema(
        "parts/address.json",
        {
            "$defs": {"zip": slow("e")},
            "properties": {
                "zip": {"$ref": "#/$defs/zip"},
                "owner": {"$ref": "address.json"},
                "within": {"$ref": "../a.json"},
            },
        },
    )
    project.hooks(
        "/a:\n  script: a.sh\n  auth: none\n  schema: a.json\n"
        "  when: {properties: {payload: {properties: {n: {pattern: '^(f+)+$'}}}}}\n"
    )

    told = warnings(project)

    assert [line.partition(" repeats")[0] for line in told] == [
        "warning: /a: in its schema the pattern '^(k+)+$' for names of properties at (whole)",
        "warning: /a: in its schema the pattern '^(b+)+$' at /^x-",
        "warning: /a: in its schema the pattern '^(g+)+$' at (whole)",
        "warning: /a: in its schema the pattern '^(h+)+$' at (whole)",
        "warning: /a: in its schema the pattern '^(c+)+$' at /of",
        "warning: /a: in its schema the pattern '^(e+)+$' at /to/zip",
        "warning: /a: in its when the pattern '^(f+)+$' at /payload/n",
    ]
    assert told[0].endswith(
        " repeats what repeats: some names of 30 characters hold up every hook; take one + or * "
        "out of it"
    )


@pytest.mark.parametrize(
    "pattern",
    ["^(a+)+$", "(a*)*b", r"^(\w+\s?)*$", r"^([a-z]+\.?)+x", "((a+)b?)*$", "(?:(?:a|b+))+$",
     "^(a{2,}){5,}$", "^(.*?)+?$", "((a+)+)$", "^(?=(a+)+$)", "x|(a+)+$"],
)  # fmt: skip
def test_a_repeat_whose_rounds_are_repeats_alone_is_found(pattern: str) -> None:
    assert doubled(pattern)


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+", "^[a-z0-9]+(-[a-z0-9]+)*$", "^(a+b)+$", "^(a++)+$", "^(a+)++$", "^((?>a+))+$",
     "^(ab*)+$", "^(a+){3}$", r"^(?:\d{1,3}\.){3}\d{1,3}$", "^(a?)+$", "^(a+(?=b))+$", "[", ""],
)  # fmt: skip
def test_one_whose_rounds_begin_with_what_tells_them_apart_is_not(pattern: str) -> None:
    assert not doubled(pattern)
