"""The OpenAPI document: valid whatever the hooks are, and true to what they say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from hookrunner.access import PAGES
from hookrunner.auth.senders import SENDERS
from hookrunner.config import load
from hookrunner.openapi import document, own
from tests.serving import Project

# What an example of `senders` needs to be usable.
WORDS = {"YOUR-APP": "an-app", "PATH": "path"}
HOOKS = """
info: {title: Ours, version: "1.2", description: What we take.}
/:
  script: a.sh
  auth: none
/form/<name>/<of>:
  script: a.sh
  auth: [{basic: {user: me, password: $S}}, {token: {query: key, value: $S}}, {bearer: $S}]
  methods: [GET, POST, DELETE]
  rate: 5/m
  when: {properties: {query: {required: [x]}}}
  respond: {mode: output, type: text/csv, exit_status: {3: 409}, headers: {X-Mine: "1"}}
  dedupe: {header: X-Id}
  schema:
    type: object
    required: [a]
    properties: {a: {type: integer}, key: {type: string}}
/form-name-of:
  script: a.sh
  auth: {github: $S}
  respond: accepted
  schema: {$ref: "deep.json#/$defs/x"}
/redirects:
  script: a.sh
  auth: none
  respond: {redirect: /thanks}
  max_body: 16KB
"""


@pytest.fixture
def ours(project: Project) -> dict[str, Any]:
    """The document of HOOKS."""
    project.hooks(HOOKS).script("a.sh", "").schema("deep.json", {"$defs": {"x": {"type": "array"}}})
    return described(project, {"S": "s3cret"})


def described(project: Project, environ: Mapping[str, str]) -> dict[str, Any]:
    said = document.of(load(project.folder / "hooks.yaml", environ))
    return dict(json.loads(json.dumps(said)))


def faults(said: dict[str, Any]) -> list[str]:
    return [str(error) for error in OpenAPIV31SpecValidator(said).iter_errors()]


def test_it_is_valid(ours: dict[str, Any]) -> None:
    assert faults(ours) == []
    assert ours["info"] == {"title": "Ours", "version": "1.2", "description": "What we take."}


def test_what_is_not_valid_is_seen(ours: dict[str, Any]) -> None:
    del ours["info"]["version"]

    assert faults(ours) != []


def test_without_info_it_has_a_title_and_a_version_all_the_same(project: Project) -> None:
    project.hooks("/a: {script: a.sh, auth: none}\n").script("a.sh", "")

    said = described(project, {})

    assert said["info"] == {"title": "hookrunner", "version": "0"}
    assert faults(said) == []


@pytest.mark.parametrize("name", [name for name in SENDERS if name != "none"])
def test_it_is_valid_whoever_posts(name: str, project: Project) -> None:
    example = SENDERS[name].example
    for word, mended in WORDS.items():
        example = example.replace(word, mended)
    project.hooks(f"/a:\n  script: a.sh\n  auth: {example}\n").script("a.sh", "")

    said = described(project, {})

    assert faults(said) == []
    post = said["paths"]["/a"]["post"]
    assert post["security"], "it would be open to all"
    assert "401" in post["responses"]
    for each in post["security"]:
        assert set(each) <= set(said["components"]["securitySchemes"])
        assert each or "cannot be said here" in post["description"]


def test_every_page_of_ours_is_in_it_or_for_browsers_alone(ours: dict[str, Any]) -> None:
    asked = {f"{method} {page}" for page, methods in PAGES.items() for method in methods}

    assert asked == {*own.ANSWERS, *own.OF_BROWSERS, f"GET {own.STREAM}"}
    for each in own.ANSWERS:
        method, _, page = each.partition(" ")
        path = page.replace("<run_id>", "{run_id}")
        assert ours["paths"][path][method.lower()]["operationId"] == own.ANSWERS[each].name


def test_every_name_of_an_operation_is_one_s_own(ours: dict[str, Any]) -> None:
    names = [
        operation["operationId"]
        for item in ours["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]

    assert len(set(names)) == len(names)
    assert names[:5] == [
        "post_root",
        "get_form_name_of",
        "post_form_name_of",
        "delete_form_name_of",
        "post_form_name_of_2",
    ]


def test_no_hook_s_operation_is_called_as_one_of_our_own(project: Project) -> None:
    hooks = "".join(
        f"/{name}: {{script: a.sh, auth: none, methods: [GET, POST]}}\n"
        for name in ("run", "run_2", "stdout", "orders")
    )
    project.hooks(hooks).script("a.sh", "")

    said = described(project, {})

    assert faults(said) == []
    names = [said["paths"][f"/{name}"]["get"]["operationId"] for name in ("run", "run_2", "stdout")]
    assert names == ["get_run_2", "get_run_2_2", "get_stdout_2"]
    assert said["paths"]["/orders"]["get"]["operationId"] == "get_orders"
    assert said["paths"]["/-/runs/{run_id}"]["get"]["operationId"] == "get_run"


def test_a_status_that_says_two_things_is_told_with_both(project: Project) -> None:
    codes = "{3: 422, 4: 202, 5: 200, 6: 409, 7: 409}"
    project.hooks(f"/a: {{script: a.sh, auth: none, respond: {{exit_status: {codes}}}}}\n")
    project.script("a.sh", "")

    said = described(project, {})["paths"]["/a"]["post"]["responses"]

    def bodies(status: str) -> dict[str, Any]:
        return {kind: each["schema"] for kind, each in said[status]["content"].items()}

    place = "#/components/schemas/"
    assert bodies("422") == {
        "application/problem+json": {"$ref": f"{place}Misfit"},
        "application/json": {"$ref": f"{place}RunSummary"},
    }
    assert bodies("202") == {
        "application/json": {
            "anyOf": [{"$ref": f"{place}RunSummary"}, {"$ref": f"{place}Accepted"}]
        }
    }
    assert bodies("200") == bodies("409") == {"application/json": {"$ref": f"{place}RunSummary"}}


def test_a_hook_s_answers_are_those_that_it_may_give(ours: dict[str, Any]) -> None:
    def statuses(path: str) -> list[str]:
        return [*ours["paths"][path]["post"]["responses"]]

    common = ["400", "404", "405", "413", "415", "422", "431", "500", "501", "503", "504"]
    assert statuses("/") == sorted(["200", "202", *common])
    assert statuses("/redirects") == sorted(["303", *common])
    assert statuses("/form/{name}/{of}") == sorted(["200", "202", "401", "409", "429", *common])
    # GitHub's ping is a handshake; others' may be refused.
    assert statuses("/form-name-of") == sorted(["200", "202", "401", "403", *common])


def test_a_hook_says_who_may_post_and_how(ours: dict[str, Any]) -> None:
    schemes = ours["components"]["securitySchemes"]

    assert ours["paths"]["/"]["post"]["security"] == []
    security = ours["paths"]["/form/{name}/{of}"]["get"]["security"]
    assert security == [{"basic": []}, {"token.key": []}, {"bearer": []}]
    assert schemes["basic"] == {"type": "http", "scheme": "basic"}
    assert (schemes["token.key"]["in"], schemes["token.key"]["name"]) == ("query", "key")
    assert schemes["github.X-Hub-Signature-256"] == {
        "type": "apiKey",
        "in": "header",
        "name": "X-Hub-Signature-256",
        "description": "GitHub: the HMAC-SHA256 of `{body}` in hexadecimal, after `sha256=`.",
    }
    assert "s3cret" not in json.dumps(ours)


def test_a_get_takes_its_fields_as_a_query_and_others_take_a_body(ours: dict[str, Any]) -> None:
    item = ours["paths"]["/form/{name}/{of}"]

    assert [each["name"] for each in item["parameters"]] == ["name", "of"]
    # `key` is the token's.
    names = [(each["name"], each.get("required", False)) for each in item["get"]["parameters"]]
    assert names == [("a", True), ("X-Id", False), ("Prefer", False)]
    body = item["post"]["requestBody"]
    assert [*body["content"]] == [
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ]
    assert body["required"]
    assert not ours["paths"]["/redirects"]["post"]["requestBody"]["required"]
    assert "At most 16KB." in ours["paths"]["/redirects"]["post"]["requestBody"]["description"]
    [array] = ours["paths"]["/form-name-of"]["post"]["requestBody"]["content"].values()
    assert array["schema"] == {"$ref": "#/components/schemas/payload_form_name_of_2"}


def test_the_shipped_hooks_are_described(tmp_path: Path) -> None:
    said = document.of(load(Path(__file__).parent.parent / "hooks.yaml", {}))

    assert faults(said) == []
    assert "switched off" in said["paths"]["/github"]["post"]["description"]
