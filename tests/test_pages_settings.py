"""Every setting of a hook is shown on its page; no secret is."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from hookrunner import config
from hookrunner.model import BadConfig, Dedupe, Hook, Rate, Respond, Retry, Terms
from hookrunner.pages import settings
from hookrunner.schema import Schema
from hookrunner.template import Text
from tests.serving import Project

ANY = Schema({"required": ["payload"]}, Path())
OTHERS: dict[str, object] = {
    "script": Path("other.sh"),
    "auth": (),
    "schema": ANY,
    "methods": ("GET",),
    "when": ANY,
    "timeout": 7.0,
    "args": (Text(("x",), "x"),),
    "env": {"NAME": Text(("x",), "x")},
    "pass_env": ("NAME",),
    "max_body": 7,
    "max_output": 7,
    "memory": 7,
    "shield": True,
    "on_failure": ("bash", "/x/tell.sh"),
    "warm": False,
    "preload": ("pandas",),
}
"""For each setting another value than that of a hook that says nothing."""

PARTS: dict[str, dict[str, object]] = {
    "respond": {
        "mode": "accepted",
        "wait": 3.0,
        "type": "text/html",
        "headers": (("X-A", "b"),),
        "exit_status": {3: 409},
        "redirect": "/thanks",
    },
    "retry": {"attempts": 9, "delay": 7.0, "factor": 3.0, "max": 77.0, "rerun": False},
    "dedupe": {"header": "x-id", "payload": "/id", "seconds": 0.0},
    "terms": {
        "concurrency": 3,
        "strict": True,
        "queue": 7,
        "rate": Rate(7, 60.0),
        "keep": 7.0,
    },
}
OF_THE_HOOK_ITSELF = {"path", "command", "line", "missing"}
SAME_AS_ANOTHER = {"rerun"}
"""Of the terms: `retry` has it."""


def loaded(project: Project, hooks: str, **environ: str) -> Hook:
    path = project.hooks(hooks).script("x.sh", "").folder / "hooks.yaml"
    return config.load(path, environ).hooks["/x"]


@pytest.fixture
def plain(project: Project) -> Hook:
    return loaded(project, "/x: {script: x.sh, auth: {bearer: $T}}", T="a-token-of-some-length")


def test_no_setting_was_forgotten_here() -> None:
    named = {field.name for field in fields(Hook)}
    assert named - OF_THE_HOOK_ITSELF == OTHERS.keys() | PARTS.keys()
    for name, kind in (
        ("respond", Respond), ("retry", Retry), ("dedupe", Dedupe), ("terms", Terms)
    ):  # fmt: skip
        known = {field.name for field in fields(kind)}
        assert known - PARTS[name].keys() == (SAME_AS_ANOTHER if name == "terms" else set())


@pytest.mark.parametrize("name", OTHERS)
def test_each_setting_is_seen_to_change(name: str, plain: Hook) -> None:
    assert settings.told(replace(plain, **{name: OTHERS[name]})) != settings.told(plain)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "part"), [(k, part) for k, parts in PARTS.items() for part in parts]
)
def test_each_part_of_a_setting_is_seen_to_change(name: str, part: str, plain: Hook) -> None:
    base = replace(plain, retry=Retry(attempts=3), respond=Respond(mode="output"))
    whole = getattr(base, name)
    other = replace(base, **{name: replace(whole, **{part: PARTS[name][part]})})

    assert settings.told(other) != settings.told(base)


def test_settings_have_the_names_that_hooks_yaml_has_for_them(
    plain: Hook, project: Project
) -> None:
    known = {name for name, _ in settings.told(plain)}
    lines = ", ".join(f"{name}: []" for name in sorted(known))
    project.hooks(f"/x: {{{lines}}}")
    with pytest.raises(BadConfig) as caught:
        config.load(project.folder / "hooks.yaml", {})
    assert not [told for told in caught.value.problems if "unknown setting" in told]


def test_settings_are_told_in_words_and_without_secrets(project: Project) -> None:
    hook = loaded(
        project,
        """
/x:
  script: x.sh
  auth: {bearer: $T}
  when: {properties: {method: {const: POST}}}
  respond: {mode: output, wait: 3s, exit_status: {3: 409}, headers: {X-Token: hush, X-A: b}}
  retry: {attempts: 5, delay: 10s, rerun: false}
  dedupe: {payload: /id, for: 1h}
  args: [--password, hush, --token=hush, "{payload:/ref}", --key, $K]
  env: {API_TOKEN: hush, PASSWORD: $K, REF: "x {payload:/ref}", PLAIN: word}
""",
        T="hush-hush-hush-hush",
        K="hush-hush",
    )
    told = dict(settings.told(hook))

    assert "hush" not in str(told)
    assert told["when"] == '{"properties": {"method": {"const": "POST"}}}'
    assert told["respond"] == (
        "output, waits 3s, text/plain; charset=utf-8, exit 3 is 409\nX-Token: ****\nX-A: b"
    )
    assert told["retry"] == (
        "5 attempts, the second after 10s, each further 2 times as late, 1h at most; "
        "never after an interruption"
    )
    assert told["dedupe"] == "by the payload’s /id, for 1h"
    assert told["args"] == "--password\n****\n****\n{payload:/ref}\n--key\n$K"
    assert told["env"] == "API_TOKEN: ****\nPASSWORD: $K\nREF: x {payload:/ref}\nPLAIN: word"
    assert (told["pass_env"], told["memory"], told["warm"]) == (
        "all but secrets",
        "no limit",
        "yes",
    )
