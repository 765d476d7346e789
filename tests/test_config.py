"""hooks.yaml and .env: what every setting takes, and every complaint, word for word."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from hookrunner.about import Info
from hookrunner.auth.senders import SENDERS
from hookrunner.config import Config, load, switched_off
from hookrunner.model import (
    BadConfig,
    Dedupe,
    Facts,
    Hook,
    Json,
    Rate,
    Respond,
    Retry,
    Terms,
)
from hookrunner.sections import LARGEST, Source, compose
from tests.serving import Project

HELLO = "/h:\n  script: hello.py\n  auth: none\n"
"""A good hook; what is added to it stands on line 4."""

EXAMPLE = """\
defaults:
  timeout: 2m

/hello:
  script: hello.py
  auth: none
  methods: [GET, POST]
  respond: output

/participants:
  script: enrol.sh
  schema: participants.json
  auth: {google-forms: $FORM_SECRET}
  respond: accepted
  retry: {attempts: 5, delay: 10s}
  env:
    EMAIL: "{payload:/response/payload/Email}"
"""
"""The file that the design shows, as it stands there."""

WORD = "hunter2-do-not-quote-me"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with a script of every kind and two schemas."""
    project = Project(tmp_path / "project")
    for name in ("hello.py", "enrol.sh", "sub/deep.py"):
        (project.folder / "scripts" / name).parent.mkdir(exist_ok=True)
        project.script(name, "")
    project.script("binary", "#!/bin/true\n")
    project.schema("participants.json", {"type": "object", "required": ["response"]})
    project.schema("refers.json", {"$ref": "participants.json"})
    return project


def write(project: Project, data: str | bytes) -> Path:
    path = project.folder / "hooks.yaml"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def read(project: Project, data: str | bytes, **environ: str) -> Config:
    return load(write(project, data), environ)


def read_hook(project: Project, settings: str, **environ: str) -> Hook:
    """The hook that HELLO is with these settings."""
    return read(project, f"{HELLO}  {settings}\n", **environ).hooks["/h"]


def problems(project: Project, data: str | bytes, **environ: str) -> list[str]:
    """Every complaint about hooks.yaml."""
    with pytest.raises(BadConfig) as caught:
        read(project, data, **environ)
    return list(caught.value.problems)


# --- a good file


def test_the_example_of_the_design_is_read_as_it_is_meant(project: Project) -> None:
    config = read(project, EXAMPLE, FORM_SECRET="s3cret")
    hello, participants = config.hooks.values()

    assert config.root == project.folder
    assert hello.path == "/hello"
    assert hello.command == (sys.executable, str(project.folder / "scripts/hello.py"))
    assert hello.auth == ()
    assert hello.methods == ("GET", "POST")
    assert hello.respond == Respond(mode="output", wait=25.0)
    assert hello.timeout == 120.0
    assert participants.script == project.folder / "scripts/enrol.sh"
    assert participants.command[0].endswith("/bash")
    assert [scheme.name for scheme in participants.auth] == ["google-forms"]
    assert participants.respond == Respond(mode="accepted", wait=0.0)
    assert participants.timeout == 120.0
    assert participants.retry == Retry(attempts=5, delay=10)
    assert participants.schema
    assert [misfit.rule for misfit in participants.schema.misfits({})] == ["required"]
    facts = Facts({"response": {"payload": {"Email": "ada@example.org"}}}, {}, {}, {})
    assert participants.env["EMAIL"].fill(facts) == "ada@example.org"
    assert config.secrets == ("s3cret",)
    assert config.secret_names == {"ADMIN_TOKEN", "JOURNAL_URL", "FORM_SECRET"}


DEFAULTS: Mapping[str, object] = {
    "path": "/h",
    "auth": (),
    "schema": None,
    "methods": ("POST",),
    "when": None,
    "respond": Respond(mode="status", wait=8.0),
    "timeout": 300.0,
    "args": (),
    "env": {},
    "pass_env": None,
    "max_body": 1024**2,
    "max_output": 1024**2,
    "memory": None,
    "shield": False,
    "line": 1,
    "missing": (),
}


@pytest.mark.parametrize(("setting", "value"), DEFAULTS.items())
def test_a_setting_that_is_not_there_has_its_default(
    project: Project, setting: str, value: object
) -> None:
    assert getattr(read(project, HELLO).hooks["/h"], setting) == value


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("methods: [GET]", ("GET",)),
        ("methods: [PUT, POST, PUT]", ("PUT", "POST")),
        ("methods: [GET, POST, PUT, PATCH, DELETE]", ("GET", "POST", "PUT", "PATCH", "DELETE")),
        ("timeout: 500ms", 0.5),
        ("timeout: 30s", 30.0),
        ("timeout: 2h", 7200.0),
        ("timeout: '5m'", 300.0),
        ("max_body: 512B", 512),
        ("max_body: 10MB", 10 * 1024**2),
        ("max_output: 64KB", 64 * 1024),
        ("memory: 1GB", 1024**3),
        ("shield: true", True),
        ("shield: false", False),
        ("pass_env: []", ()),
        ("pass_env: [API_KEY, DATABASE_URL]", ("API_KEY", "DATABASE_URL")),
        ("timeout: 365d", 365 * 86400.0),
        ("respond: {wait: 1h}", Respond("status", 3600.0)),
        ("respond: accepted", Respond("accepted", 0.0)),
        ("respond: status", Respond("status", 8.0)),
        ("respond: output", Respond("output", 25.0)),
        ("respond: {}", Respond("status", 8.0)),
        ("respond: {mode: output}", Respond("output", 25.0)),
        ("respond: {mode: output, wait: 3s}", Respond("output", 3.0)),
        ("respond: {type: text/html}", Respond(type="text/html")),
        ("respond: {headers: {X-A: b}}", Respond(headers=(("X-A", "b"),))),
        ("respond: {exit_status: {3: 409, 4: 422}}", Respond(exit_status={3: 409, 4: 422})),
        ("respond: {redirect: /thanks}", Respond(redirect="/thanks")),
    ],
)
def test_a_good_value_is_read_as_what_it_means(
    project: Project, written: str, value: object
) -> None:
    assert getattr(read_hook(project, written), written.partition(":")[0]) == value


@pytest.mark.parametrize(
    ("written", "starter"),
    [("hello.py", sys.executable), ("sub/deep.py", sys.executable), ("binary", "")],
)
def test_a_script_is_started_by_its_suffix_or_its_own_first_line(
    project: Project, written: str, starter: str
) -> None:
    hook = read(project, f"/h: {{script: {written}, auth: none}}").hooks["/h"]

    script = project.folder / "scripts" / written
    assert hook.script == script
    assert hook.command == ((starter, str(script)) if starter else (str(script),))


def test_an_argument_and_a_variable_may_be_empty(project: Project) -> None:
    hook = read_hook(project, "args: ['']\n  env: {X: ''}")
    nothing = Facts({}, {}, {}, {})

    assert [arg.fill(nothing) for arg in hook.args] == [""]
    assert {name: value.fill(nothing) for name, value in hook.env.items()} == {"X": ""}


def test_args_and_env_are_templates(project: Project) -> None:
    text = (
        "/d/<env>:\n  script: hello.py\n  auth: none\n"
        "  args: ['--env={path:env}', '{query:n}']\n"
        "  env: {WHO: '{payload:/who}', KIND: '{header:X-Kind}', AT: $REGION}\n"
    )
    hook = read(project, text, REGION="eu").hooks["/d/<env>"]
    facts = Facts({"who": "Ada"}, {"n": "2"}, {"x-kind": "push"}, {"env": "prod"})

    assert [arg.fill(facts) for arg in hook.args] == ["--env=prod", "2"]
    assert {name: value.fill(facts) for name, value in hook.env.items()} == {
        "WHO": "Ada",
        "KIND": "push",
        "AT": "eu",
    }


@pytest.mark.parametrize(
    "schema",
    ["participants.json", "refers.json", "{$ref: participants.json}", "{required: [response]}"],
)
def test_a_schema_is_a_file_or_stands_there_itself(project: Project, schema: str) -> None:
    hook = read_hook(project, f"schema: {schema}")

    assert hook.schema
    assert [misfit.rule for misfit in hook.schema.misfits({})] == ["required"]
    assert hook.schema.misfits({"response": 1}) == []


def test_when_is_a_schema_whose_header_names_are_of_any_case(project: Project) -> None:
    hook = read_hook(
        project,
        "when: {properties: {headers: {required: [X-Kind], properties: {X-KIND: {const: a}}}}}",
    )

    assert hook.when
    assert hook.when.misfits({"headers": {"x-kind": "a"}}) == []
    assert hook.when.misfits({"headers": {"x-kind": "b"}}) != []
    assert hook.when.misfits({"headers": {}}) != []


@pytest.mark.parametrize(
    ("auth", "names"),
    [
        ("none", []),
        ("{github: $S}", ["github"]),
        ("{github: [$S, $OLD]}", ["github"]),
        ("{github: {secret: $S}}", ["github"]),
        ("{google-forms: $S}", ["google-forms"]),
        ("{standard-webhooks: {secret: $W, tolerance: 10m}}", ["standard-webhooks"]),
        ("{bearer: $S}", ["bearer"]),
        ("{bearer: {value: [$S, $OLD]}}", ["bearer"]),
        ("{token: {header: X-Token, value: $S}}", ["token"]),
        ("{token: {query: token, value: $S}}", ["token"]),
        ("{basic: {user: me, password: $S}}", ["basic"]),
        ("{hmac: {header: X-Sig, secret: $S, encoding: base64, algorithm: sha1}}", ["hmac"]),
        ("[{github: $S}, {bearer: $OLD}]", ["github", "bearer"]),
        ("{github: {secret: $S, ping: true, ip: 192.0.2.1}}", ["github"]),
        ("{gitlab: [$S, $W]}", ["gitlab", "gitlab"]),
        ("{gitlab: $W}", ["gitlab"]),
        ("{svix: $W}", ["svix", "svix"]),
        (
            "{hmac: {header: X-Sig, secret: $S, separator: ',', prefix: v1=, timestamp: 'item:t=',"
            " message: '{timestamp}.{body}', id: 'payload:/id', event: 'payload:/a/b'}}",
            ["hmac"],
        ),
        ("{hmac: {header: X-Sig, secret: $S, timestamp: 'payload:/at', unit: ms}}", ["hmac"]),
        ('{twilio: {secret: [$S, $OLD], url: "https://example.com:8443/a"}}', ["twilio"]),
        (
            "{aws-sns: {topics: [arn:aws-cn:sns:cn-north-1:123456789012:a], tolerance: 1h}}",
            ["aws-sns"],
        ),
        ("{microsoft-graph: {secret: $S}}", ["microsoft-graph"]),
        ("{ip: [192.0.2.0/24, '2001:db8::/32']}", ["ip"]),
        ("{ip: 192.0.2.7}", ["ip"]),
    ],
)
def test_auth_is_none_one_scheme_or_a_list(project: Project, auth: str, names: list[str]) -> None:
    text = f"/h:\n  script: hello.py\n  auth: {auth}\n"
    hook = read(project, text, S="new", OLD="old", W="whsec_c2VjcmV0IG9mIHNpeHRlZW4=").hooks["/h"]

    assert [scheme.name for scheme in hook.auth] == names
    assert hook.missing == ()


@pytest.mark.parametrize(
    ("auth", "respond", "wait"),
    [
        ("{github: $S}", "output", 9.5),
        ("{github: $S}", "{wait: 1m}", 9.5),
        ("{github: $S}", "status", 8.0),
        ("{google-forms: $S}", "{mode: output, wait: 1m}", 29.5),
        ("[{google-forms: $S}, {github: $S}]", "output", 9.5),
        ("{bearer: $S}", "output", 25.0),
    ],
)
def test_nobody_waits_longer_than_the_most_impatient_sender(
    project: Project, auth: str, respond: str, wait: float
) -> None:
    text = f"/h:\n  script: hello.py\n  auth: {auth}\n  respond: {respond}\n"

    assert read(project, text, S="x").hooks["/h"].respond.wait == wait


def test_info_says_what_the_hooks_are_together(project: Project) -> None:
    assert read(project, HELLO).info == Info("hookrunner", "0", "")

    said = read(project, 'info: {title: Ours, version: "1.10", description: More.}\n' + HELLO)

    assert said.info == Info("Ours", "1.10", "More.")
    assert [*said.hooks] == ["/h"]


@pytest.mark.parametrize(
    ("info", "told"),
    [
        ("{version: 1.10}", "version must be text, not 1.1; quote it: '1.10'"),
        ("{titel: Ours}", "unknown setting 'titel'; did you mean 'title'?"),
        ("{title: ''}", "title must be text, not ''"),
        ("Ours", "info must be a mapping, not 'Ours'"),
    ],
)
def test_an_info_that_is_none_is_told(project: Project, info: str, told: str) -> None:
    assert problems(project, f"info: {info}\n" + HELLO) == [f"hooks.yaml:1: {told}"]


def test_defaults_are_for_every_hook_that_does_not_say_otherwise(project: Project) -> None:
    text = (
        "defaults: {auth: {github: $S}, timeout: 9s, max_body: 1KB}\n"
        "/a: {script: hello.py}\n"
        "/b: {script: hello.py, auth: none, timeout: 1s}\n"
    )
    a, b = read(project, text, S="x").hooks.values()

    assert (len(a.auth), a.timeout, a.max_body) == (1, 9.0, 1024)
    assert (len(b.auth), b.timeout, b.max_body) == (0, 1.0, 1024)


def test_hooks_keep_the_order_of_the_file_and_know_their_lines(project: Project) -> None:
    text = "# first a comment\n\n" + HELLO.replace("/h", "/z") + "\n" + HELLO.replace("/h", "/a")

    assert [(hook.path, hook.line) for hook in read(project, text).hooks.values()] == [
        ("/z", 3),
        ("/a", 7),
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + HELLO.encode(),
        HELLO.replace("\n", "\r\n").encode(),
        b"---\n" + HELLO.encode(),
        HELLO.encode() + b"...\n",
        b'{"/h": {"script": "hello.py", "auth": "none"}}',
        HELLO.rstrip("\n").encode(),
    ],
    ids=["byte order mark", "CRLF", "begin mark", "end mark", "JSON", "no last newline"],
)
def test_every_common_way_of_saving_the_file_is_taken(project: Project, data: bytes) -> None:
    assert list(read(project, data).hooks) == ["/h"]


# --- YAML's surprises are text


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *((text, text) for text in ("on", "off", "yes", "No", "y", "012", "0o17", "0x1F")),
        *((text, text) for text in ("22:22", "190:20:30", "2024-01-01", "2001-12-14t21:59:43Z")),
        *((text, text) for text in ("1_000", ".inf", "-.INF", ".nan", "1e3", "1.", ".5", "=")),
        *((text, text) for text in ("9" * 19, "tRUE", "0b11", "+.5", "--1")),
        *((f"'{text}'", text) for text in ("1", "true", "null", "")),
        ("0", 0),
        ("-17", -17),
        ("+3", 3),
        ("9" * 18, 10**18 - 1),
        ("1.50", 1.5),
        ("-0.25e-3", -0.00025),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("[1, {a: b}]", [1, {"a": "b"}]),
    ],
)
def test_only_what_looks_plainly_like_a_number_or_a_truth_is_one(written: str, value: Json) -> None:
    source = Source("f.yaml", {})
    found = compose(f"x: {written}\n".encode(), source)

    assert source.problems == []
    assert found
    assert found.plain == {"x": value}
    assert type(found.plain["x"]) is type(value)


def test_on_is_a_key_like_any_other(project: Project) -> None:
    assert list(read_hook(project, "env: {on: 'off', 'no': x}").env) == ["on", "no"]


# --- bad files: every complaint, whole


NEEDS = "auth must be none, or a scheme and its secret such as {github: $GITHUB_SECRET}, not"
LITERAL = (
    "must be a config var such as $MY_SECRET, not the secret itself; "
    "set it with 'heroku config:set MY_SECRET=…', or in .env on your own machine"
)
NO_AUTH = (
    "'auth' is missing; say who may post, such as {github: $GITHUB_SECRET}, "
    "or auth: none for everybody"
)
ALIAS = "what begins with '*' is an alias, and none is taken; quote it if it is text"
TAG = "what begins with '!' is a tag, and none is taken; quote it if it is text"
DURATION = "must be a duration such as 30s, 5m, 2h or 7d, not"
SIZE = "must be a size such as 512KB or 1MB, not"
JUDGED = "is none of method, path, query, headers, payload"
NOWHERE = "leads nowhere; references stay inside schemas/"
SCHEMES = f"{', '.join(SENDERS)}; `python runner.py senders` tells of each"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("tiemout: 3s", ["unknown setting 'tiemout'; did you mean 'timeout'?"]),
        ("colour: red", ["unknown setting 'colour'"]),
        ("on: push", ["unknown setting 'on'"]),
        ("<<: {timeout: 5s}", ["unknown setting '<<'"]),
        ("auth: none", ["'auth' stands here a second time; the first is on line 3"]),
        ("? [a]\n  : b", ["a key must be text"]),
        ("timeout: 30", [f"timeout {DURATION} 30; write 30s for seconds"]),
        ("timeout: 0s", [f"timeout {DURATION} '0s'"]),
        ("timeout: 22:22", [f"timeout {DURATION} '22:22'"]),
        ("timeout: 2024-01-01", [f"timeout {DURATION} '2024-01-01'"]),
        ("timeout: soon", [f"timeout {DURATION} 'soon'"]),
        ("timeout: true", [f"timeout {DURATION} true"]),
        ("timeout:", [f"timeout {DURATION} nothing"]),
        ("timeout: [5s]", [f"timeout {DURATION} a list"]),
        ("timeout: []", [f"timeout {DURATION} an empty list"]),
        ("timeout: 366d", ["timeout must be at most 365d, not '366d'"]),
        ("timeout: 999999999d", ["timeout must be at most 365d, not '999999999d'"]),
        ("timeout: {s: 5}", [f"timeout {DURATION} a mapping"]),
        ("max_body: 1024", [f"max_body {SIZE} 1024; write 1024B for bytes"]),
        ("max_output: 1_000", [f"max_output {SIZE} '1_000'"]),
        ("memory: 1GiB", [f"memory {SIZE} '1GiB'"]),
        ("memory: " + "9" * 80, [f"memory {SIZE} '{'9' * 59}…"]),
        ("shield: yes", ["shield must be true or false, not 'yes'"]),
        ("shield: 1", ["shield must be true or false, not 1"]),
        ("methods: GET", ["methods must be a list such as [GET, POST], not 'GET'; write [GET]"]),
        (
            "methods: [GET, PSOT]",
            ["methods must be GET, POST, PUT, PATCH or DELETE, not 'PSOT'; did you mean 'POST'?"],
        ),
        (
            "methods: [POSTS]",
            ["methods must be GET, POST, PUT, PATCH or DELETE, not 'POSTS'; did you mean 'POST'?"],
        ),
        ("methods: post", ["methods must be a list such as [GET, POST], not 'post'; write [POST]"]),
        ("methods: []", ["methods must be a list such as [GET, POST], not an empty list"]),
        (
            "respond: outptu",
            ["respond must be accepted, status or output, not 'outptu'; did you mean 'output'?"],
        ),
        ("respond: {mode: 1}", ["mode must be accepted, status or output, not 1"]),
        ("respond: {weit: 3s}", ["unknown setting 'weit'; did you mean 'wait'?"]),
        ("respond: {wait: 5}", [f"wait {DURATION} 5; write 5s for seconds"]),
        ("respond: {wait: 61m}", ["wait must be at most 1h, not '61m'"]),
        (
            "respond: {mode: accepted, wait: 5s}",
            ["mode: accepted answers at once and waits for nothing; take wait out"],
        ),
        ('respond: {type: "a\\nb"}', ["type must be plain ASCII text, not 'a\\nb'"]),
        (
            "respond: {headers: {Content-Length: '5', 'X Y': a}}",
            [
                "'Content-Length' is not a header that can be set here",
                "'X Y' is not a header that can be set here",
            ],
        ),
        ('respond: {headers: {X: "a\\r\\nSet-Cookie: b"}}',
         ["X must be plain ASCII text, not 'a\\r\\nSet-Cookie: b'"]),
        (
            "respond: {exit_status: {0: 200, x: 200, 3: 99}}",
            [
                "exit_status: '0' is no exit code from 1 to 255",
                "exit_status: 'x' is no exit code from 1 to 255",
                "3 must be a whole number from 200 to 599, not 99",
            ],
        ),
        (
            "respond: {exit_status: {3: 400, 03: 409}}",
            ["exit_status: '03' is no exit code from 1 to 255"],
        ),
        ("args: x", ["args must be a list of texts, not 'x'"]),
        ("args: [8080]", ["args must be text, not 8080; quote it: '8080'"]),
        ("args: ['{path:x}']", ["args: '{path:x}' is not a name in the path; write <x> there"]),
        (
            "args: ['{paylod:/x}']",
            [
                "args: '{paylod:/x}' is none of {payload:…}, {query:…}, {header:…}, {path:…}; "
                "write {{ for a plain {"
            ],
        ),
        (
            "env: {MAIL: '{payload:mail}'}",
            ["MAIL: '{payload:mail}' needs a JSON Pointer such as {payload:/user/email}"],
        ),
        ("env: [A]", ["env must be a mapping, not a list"]),
        ("env: {PORT: 8080}", ["PORT must be text, not 8080; quote it: '8080'"]),
        ("env: {ON: true}", ["ON must be text, not true; quote it: 'true'"]),
        ("env: {V: ~}", ["V must be text, not nothing; quote it: '~'"]),
        ("env: {V: }", ["V must be text, not nothing; quote it: ''"]),
        (
            "env: {EMAIL: {payload:/x}}",
            ["EMAIL must be text, not a mapping; quote it: EMAIL: \"{payload:/x}\""],
        ),
        (
            "env: {KIND: {header: X-Kind}}",
            ["KIND must be text, not a mapping; quote it: KIND: \"{header:X-Kind}\""],
        ),
        (
            "args: [{payload:/x}]",
            ["args must be text, not a mapping; quote it: \"{payload:/x}\""],
        ),
        ("args: [{a: b}]", ["args must be text, not a mapping"]),
        ('args: ["a\\0b"]', ["args holds the character NUL, which no script can be given"]),
        ("args: ['${HOME}']",
         ["args: '${HOME}' is not how a config var is named; write $HOME"]),
        ("env: {V: 1.50}", ["V must be text, not 1.5; quote it: '1.50'"]),
        (
            "env: {A-B: x, HOOK_RUN: x, TMPDIR: x}",
            [
                "'A-B' is no name of a variable; use letters, digits and _",
                "HOOK_RUN is set by the runner; take another name",
                "TMPDIR is set by the runner; take another name",
            ],
        ),
        *(
            (
                f"env: {{{name}: '{value}'}}",
                [f"{name} says what the script runs, and its value would be what somebody posts; "
                 f"take another name, such as PAYLOAD_{name}"],
            )
            for name, value in [
                ("PATH", "{payload:/PATH}"), ("PATH", "/opt:{query:p}"), ("IFS", "{header:X-I}"),
                *((name, "{payload:/x}") for name in (
                    "ENV", "SHELLOPTS", "BASHOPTS", "PS4", "PROMPT_COMMAND", "BASH_ENV", "HOME",
                    "LD_PRELOAD", "LD_AUDIT", "PYTHONPATH", "PYTHONSTARTUP", "NODE_OPTIONS",
                    "PERL5LIB", "PERL5OPT", "RUBYOPT", "RUBYLIB", "GIT_SSH_COMMAND",
                )),
            ]
        ),
        ("pass_env: A", ["pass_env must be a list of config vars such as [API_KEY], not 'A'"]),
        ("pass_env: [ADMIN_TOKEN]", ["pass_env names ADMIN_TOKEN, which no script gets"]),
        ("pass_env: [JOURNAL_URL]", ["pass_env names JOURNAL_URL, which no script gets"]),
        ("schema: zzz.json", ["schema: there is no schemas/zzz.json"]),
        (
            "schema: participant.json",
            ["schema: there is no schemas/participant.json; did you mean 'participants.json'?"],
        ),
        ("schema: ../x.json", ["schema: '../x.json' is outside schemas/; move it there"]),
        ("schema: 5", ["schema: a schema is a mapping or true/false, not 5"]),
        ("schema:", ["schema must be a file of schemas/, or a JSON Schema, not nothing"]),
        ("schema: loop", ["schema: 'loop' is no file of schemas/: "
                          "it is a link that leads round in a circle"]),
        ("schema: {const: 1.0e999}",
         ["'1.0e999' is too large a number; quote it if it is text"]),
        ("schema: {enum: [12345678901234567890]}",
         ["'12345678901234567890' is too large a number; quote it if it is text"]),
        ("schema: {title: a, title: b}",
         ["'title' stands here a second time; the first is on line 4"]),
        ("schema: {$ref: nope.json}", [f"schema: $ref 'nope.json' {NOWHERE}"]),
        ("schema: {$ref: '#/$defs/x'}", [f"schema: $ref '#/$defs/x' {NOWHERE}"]),
        (
            "schema: {items: {$ref: 'https://example.org/s.json'}}",
            [f"schema: $ref 'https://example.org/s.json' {NOWHERE}"],
        ),
        ("schema: {$ref: 'file:///etc/passwd'}", [f"schema: $ref 'file:///etc/passwd' {NOWHERE}"]),
        ("when: true", ["when must be a JSON Schema over method, path, query, headers and payload, "
                        "not true"]),
        (
            "when: {properties: {payloads: {const: 1}}}",
            [f"when: 'payloads' {JUDGED}; did you mean 'payload'?"],
        ),
        ("when: {required: [body]}", [f"when: 'body' {JUDGED}"]),
        ("when: {$ref: nope.json}", [f"when: $ref 'nope.json' {NOWHERE}"]),
        ("retry: 5", ["retry must be a mapping such as {attempts: 3}, not 5"]),
        ("retry: {attempts: 0}", ["attempts must be a whole number from 1 to 1000, not 0"]),
        ("retry: {factor: 0.5}", ["factor must be a number from 1 to 100, not 0.5"]),
        ("retry: {rerun: never}", ["rerun must be true or false, not 'never'"]),
        (
            "retry: {atempts: 3}",
            ["unknown setting 'atempts'; did you mean 'attempts'?"],
        ),
        ("concurrency: 0", ["concurrency must be a whole number from 1 to 1000, not 0"]),
        ("order: loose", ["order must be strict, not 'loose'"]),
        ("queue: none", ["queue must be a whole number from 1 to 1000000, not 'none'"]),
        ("rate: 60", ["rate must be a rate such as 60/m, 5/s or 1000/h, not 60"]),
        ("rate: 0/m", ["rate must be a rate such as 60/m, 5/s or 1000/h, not '0/m'"]),
        (
            "dedupe: X-Id",
            [
                "dedupe must be none, or a mapping such as {header: X-Request-Id} or "
                "{payload: /id}, not 'X-Id'"
            ],
        ),
        ("dedupe: {payload: id}", ["payload must be a JSON Pointer such as /order/id, not 'id'"]),
        (
            "dedupe: {header: X-Id, payload: /id}",
            ["dedupe takes header: or payload:, not both"],
        ),
        ("on_failure: tel.py", ["there is no scripts/tel.py; did you mean 'hello.py'?"]),
    ],
)  # fmt: skip
def test_a_bad_setting_is_told_with_its_line_and_the_mend(
    project: Project, settings: str, told: list[str]
) -> None:
    (project.folder / "schemas/loop").symlink_to("loop")

    assert problems(project, f"{HELLO}  {settings}\n") == [f"hooks.yaml:4: {what}" for what in told]


def test_warm_and_preload_say_how_a_python_script_starts(project: Project) -> None:
    usual, other = read_hook(project, ""), read_hook(project, "warm: false")
    assert (usual.warm, usual.preload, other.warm) == (True, (), False)
    assert read_hook(project, "preload: [json, xml.dom]").preload == ("json", "xml.dom")


@pytest.mark.parametrize("name", ["os; import evil", "a..b", "1st"])
def test_what_is_preloaded_are_modules(project: Project, name: str) -> None:
    assert problems(project, f"{HELLO}  preload: [{json.dumps(name)}]\n") == [
        f"hooks.yaml:4: preload must be the name of a module, not {name!r}"
    ]


@pytest.mark.parametrize(
    ("auth", "told"),
    [
        (WORD, f"{NEEDS} text"),
        ("", f"{NEEDS} nothing"),
        ("[]", f"{NEEDS} an empty list"),
        ("[[]]", f"{NEEDS} an empty list"),
        ("{}", f"{NEEDS} an empty mapping"),
        ("{github: $S, secret: $S}", f"{NEEDS} a mapping"),
        (
            "{github: $S, bearer: $S}",
            "auth names several schemes; write a list, one '- {scheme: $SECRET}' per line",
        ),
        ("{githbu}", "unknown scheme in auth; did you mean 'github'?"),
        ("{gitub: $S}", "unknown scheme 'gitub' in auth; did you mean 'github'?"),
        ("{oauth: $S}", f"unknown scheme 'oauth' in auth; known are {SCHEMES}"),
        (
            "[{bearer: $S}, none]",
            "auth: none stands alone; in a list it would let everybody in",
        ),
        ("{github: hunter2}", f"github {LITERAL}"),
        ("{github: [$S, hunter2]}", f"github {LITERAL}"),
        ("{github: []}", f"github {LITERAL}"),
        ("{github: 12345}", f"github {LITERAL}"),
        (
            "{github: {secret: $S, tolerance: 5s}}",
            "github has no setting 'tolerance'; there are secret, ping, ip",
        ),
        ("{github: {}}", "github: 'secret' is missing; write secret: $MY_SECRET"),
        ("{basic: $S}", "basic needs its settings, such as {basic: {user: me, "
                        "password: $MY_PASSWORD}}"),
        ("{basic: {user: 'a:b', password: $S}}", "user must be text without ':', not 'a:b'"),
        (
            "{token: {value: $S}}",
            "token needs either header: X-Token or query: token, to say where it is",
        ),
        (
            "{hmac: {header: X_Sig, secret: $S}}",
            "header must be a header's name without '_', not 'X_Sig'; "
            "proxies and servers drop such headers",
        ),
        (
            "{hmac: {header: X-Sig, secret: $S, message: '{timestamp}'}}",
            "message must hold {body}, or anything could be posted with it\n"
            "message holds {timestamp}, so 'timestamp' must name its header",
        ),
        (
            "{hmac: {header: X-Sig, secret: $S, timestamp: X-Time}}",
            "timestamp is not part of what is signed, so it proves nothing; "
            "add {timestamp} to message as your sender does, or leave timestamp out",
        ),
        (
            "{hmac: {header: X-Sig, secret: $S, message: '{timestamp}.{body}', "
            "timestamp: X-Time, id: X-Id}}",
            "id is not part of what is signed, so whoever replays a delivery could change it; "
            "add {id} to message as your sender does, name a place of the payload such as "
            "payload:/id, or leave id out",
        ),
        (
            "{hmac: {header: X-Sig, secret: $S, message: '{timestamp}.{body}', "
            "timestamp: 'item:t='}}",
            "timestamp is an item of the header, so separator must say what parts them",
        ),
        (
            "{hmac: {header: X-Sig, secret: $S, id: 'payload:id', event: 'payload:'}}",
            "id must be a header's name, or a place such as payload:/created/at, "
            "not 'payload:id'\n"
            "event must be a header's name, or a place such as payload:/created/at, "
            "not 'payload:'",
        ),
        (
            "{meta: $S}",
            "meta needs its settings, such as "
            "{meta: {secret: $META_APP_SECRET, verify_token: $META_VERIFY_TOKEN}}",
        ),
        (
            "{meta: {secret: $S}}",
            "meta: 'verify_token' is missing; write verify_token: $META_VERIFY_TOKEN",
        ),
        ("{meta: {secret: $S, verify_token: hunter2}}", f"verify_token {LITERAL}"),
        ("{github: {secret: $S, ping: maybe}}", "ping must be true or false, not 'maybe'"),
        (
            "{slack: {secret: $S, ping: true}}",
            "slack has no setting 'ping'; there are secret, tolerance, ip",
        ),
        (
            "{slack: {secret: $S, tolerence: 1m}}",
            "slack has no setting 'tolerence'; did you mean 'tolerance'?",
        ),
        (
            "{twilio: $S}",
            "twilio needs its settings, such as {twilio: {secret: $TWILIO_AUTH_TOKEN, "
            'url: "https://YOUR-APP.herokuapp.com"}}',
        ),
        (
            "{twilio: {secret: $S}}",
            "twilio: 'url' is missing; write url: \"https://YOUR-APP.herokuapp.com\"",
        ),
        *(
            (
                f"{{twilio: {{secret: $S, url: '{url}'}}}}",
                "url must be an address such as https://example.com/sms, without a query, "
                f"not '{url}'",
            )
            for url in ("example.com", "ftp://example.com", "https://", "https://a?b=1",
                        "https://a#b", "https://a:0", "https://a:b", "https://[a")
        ),
        (
            "{aws-sns: $S}",
            'aws-sns needs its settings, such as {aws-sns: {topics: '
            '["arn:aws:sns:eu-central-1:123456789012:orders"]}}',
        ),
        (
            "{aws-sns: {}}",
            "aws-sns: 'topics' is missing; write topics: "
            '["arn:aws:sns:REGION:ACCOUNT:NAME"]',
        ),
        ("{aws-sns: {topics: []}}", "aws-sns believes only the topics that it names; name one"),
        (
            "{aws-sns: {topics: [orders]}}",
            "topics must be a topic's ARN such as "
            "arn:aws:sns:eu-central-1:123456789012:orders, not 'orders'",
        ),
        *(
            (
                f"{{ip: {value}}}",
                "ip must be addresses or networks such as [192.0.2.0/24, '2001:db8::/32'], "
                f"not {shown}",
            )
            for value, shown in (("[]", "an empty list"), ("nonsense", "'nonsense'"),
                                 ("[1.2.3.4, 1.2.3.4/33]", "'1.2.3.4/33'"), ("''", "''"),
                                 ("','", "','"), ("[',']", "','"), ("7", "7"),
                                 ("[[1.2.3.4]]", "a list"), ("[1.2.3.400]", "'1.2.3.400'"))
        ),
        (
            "{ip: 192.0.2.7/24}",
            "ip must be addresses or networks such as [192.0.2.0/24, '2001:db8::/32'], "
            "not '192.0.2.7/24'; write 192.0.2.0/24, or the address alone",
        ),
        *(
            (
                f"{{ip: {value}}}",
                f"ip must be some addresses, not {shown}; "
                "a hook that is open to all of them says auth: none",
            )
            for value, shown in (("'*'", "'*'"), ("0.0.0.0/0", "'0.0.0.0/0'"),
                                 ("[1.2.3.4, '::/0']", "'::/0'"))
        ),
        (
            "{hmac: {header: X-Sig, secret: $S, tolerance: 5m}}",
            "tolerance needs a timestamp, to say how far away it may be",
        ),
        (
            "{hmac: {header: X-Sig, secret: $S, separator: ',', prefix: 'v1,'}}",
            "prefix holds ',', at which the header is parted",
        ),
        ("{github: }", "github lacks its config var; write github: $MY_SECRET"),
        ("{github: '${S}'}", "github must be a config var without braces; write $S"),
        ("{github:$S}", "write a space after the colon: {github: $MY_SECRET}"),
        (
            "{twilio: {secret: $S, url: 'https://YOUR-APP.herokuapp.com'}}",
            "url must be the address of your own app, not 'https://YOUR-APP.herokuapp.com'",
        ),
        (
            "{bearer: {value: $S, ip: nowhere}}",
            "ip must be addresses or networks such as [192.0.2.0/24, '2001:db8::/32'], "
            "not 'nowhere'",
        ),
    ],
)  # fmt: skip
def test_a_bad_auth_is_told_with_its_line_and_the_mend(
    project: Project, auth: str, told: str
) -> None:
    text = f"/h:\n  script: hello.py\n  auth: {auth}\n"

    assert problems(project, text, S="not hex") == [
        f"hooks.yaml:3: {line}" for line in told.split("\n")
    ]


@pytest.mark.parametrize(
    "auth",
    [
        WORD,
        f"[{WORD}]",
        f"[[{WORD}]]",
        f"{{github: {WORD}}}",
        f"{{github: '{WORD}'}}",
        f"{{github: $S {WORD}}}",
        f"{{github: [$S, {WORD}]}}",
        f"{{github: {{secret: {WORD}}}}}",
        f"{{github: {{secret: {{text: {WORD}}}}}}}",
        f"{{github: *{WORD}}}",
        f"{{github: !{WORD}}}",
        f"{{github: @{WORD}}}",
        f"{{github: '{WORD}",
        f"{{gitub: {WORD}}}",
        f"{{{WORD}}}",
        f"{{bearer: {{{WORD}}}}}",
        f"{{bearer: {{value: {{{WORD}}}}}}}",
        f"*{WORD}",
        f"!{WORD}",
        f"!!{WORD} x",
        f"!{WORD}!x",
        f"{{github: !{WORD} }}",
        f"{{hmac: {WORD}}}",
        f"{{hmac: {{header: X, secret: {WORD}}}}}",
        f"{{token: {{header: X, value: {WORD}}}}}",
        f"{{token: {{header: X, vaule: {WORD}}}}}",
        f"{{bearer: {WORD}}}",
        f"{{bearer: {{value: [{WORD}]}}}}",
        f"{{basic: {{user: me, password: {WORD}}}}}",
        f"{{basic: {{user: me, password: !!str {WORD}}}}}",
    ],
)
def test_a_literal_secret_is_refused_and_never_quoted(project: Project, auth: str) -> None:
    told = problems(project, f"/h:\n  script: hello.py\n  auth: {auth}\n", S="x")

    assert WORD not in "\n".join(told)


def test_a_secret_of_the_wrong_form_is_not_quoted(project: Project) -> None:
    text = "/h:\n  script: hello.py\n  auth: {standard-webhooks: $S}\n"

    told = switched_off(read(project, text, S=WORD), on_dyno=False)
    assert len(told) == 1
    assert WORD not in told[0]


def test_a_configuration_that_is_printed_shows_no_secret(project: Project) -> None:
    text = "/h: {script: hello.py, auth: [{github: $S}, {bearer: $S}]}\n"
    config = read(project, text, S=WORD, ADMIN_TOKEN=WORD)

    assert WORD not in repr(config)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ["1: the file is empty; a hook is a key that begins with '/'"]),
        ("# nothing\n", ["1: the file is empty; a hook is a key that begins with '/'"]),
        ("~\n", ["1: the file must map paths to hooks, such as /hello:, not nothing"]),
        ("hello\n", ["1: the file must map paths to hooks, such as /hello:, not 'hello'"]),
        ("- /a\n", ["1: the file must map paths to hooks, such as /hello:, not a list"]),
        ("defaults: {}\n", ["1: there is no hook; a hook is a key that begins with '/'"]),
        ("b c: {}\n" + HELLO, ["1: unknown key 'b c'; a hook is a key that begins with '/'"]),
        ('"/a\\nb": {script: hello.py, auth: none}\n',
         ["1: /a\\nb: the segment 'a\\nb' is neither plain (letters, digits, - . _ ~) "
          "nor a name such as <env>"]),
        ("on: {script: hello.py}\n" + HELLO, ["1: unknown key 'on'; did you mean '/on'?"]),
        ("h: {}\n" + HELLO, ["1: unknown key 'h'; did you mean '/h'?"]),
        ("default: {}\n" + HELLO, ["1: unknown key 'default'; did you mean 'defaults'?"]),
        ("infos: {}\n" + HELLO, ["1: unknown key 'infos'; did you mean 'info'?"]),
        ("defaults: 5\n" + HELLO, ["1: defaults must be a mapping, not 5"]),
        (
            "defaults:\n  tiemout: 5s\n" + HELLO,
            ["2: unknown setting 'tiemout'; did you mean 'timeout'?"],
        ),
        (
            "defaults:\n  script: hello.py\n" + HELLO,
            ["2: script cannot be a default; each hook has its own"],
        ),
        (
            "defaults:\n  timeout: soon\n" + HELLO + "/i: {script: hello.py, auth: none}\n",
            [f"2: timeout {DURATION} 'soon'"],
        ),
        (
            "defaults:\n  timeout: soon\n" + HELLO + "  timeout: 5s\n",
            [f"2: timeout {DURATION} 'soon'"],
        ),
        (
            "defaults:\n  script: hello.py\n  auth: hunter2\n  pass_env: [A, 5]\n"
            + HELLO + "  pass_env: []\n",
            ["2: script cannot be a default; each hook has its own",
             f"3: {NEEDS} text",
             "4: pass_env must be text, not 5; quote it: '5'"],
        ),
        (
            "defaults: {args: ['{path:env}']}\n"
            "/<env>: {script: hello.py, auth: none}\n"
            "/a: {script: hello.py, auth: none}\n"
            "/b: {script: hello.py, auth: none}\n"
            "/c: {script: hello.py, auth: none, args: []}\n",
            ["1: args, for /a: '{path:env}' is not a name in the path; write <env> there",
             "1: args, for /b: '{path:env}' is not a name in the path; write <env> there"],
        ),
        (
            "defaults: {args: ['{path:Env}'], env: {A: '{body}'}}\n" + HELLO
            + "  args: []\n  env: {}\n",
            ["1: args: '{path:Env}' is no name that a path can have; "
             "write {path:env} here and <env> there",
             "1: A: '{body}' is none of {payload:…}, {query:…}, {header:…}, {path:…}; "
             "write {{ for a plain {"],
        ),
        ("/a:\n  script:hello.py\n  auth: none\n", ["2: put a space after script:"]),
        ("/a:\n  auth: none\n  script:hello.py\n", ["3: put a space after script:"]),
        (
            "/a:\n  script:hello.py\n",
            ["2: /a must be a mapping, not 'script:hello.py'; put a space after script:"],
        ),
        ("/a\n  script: hello.py\n", ["1: /a lacks its colon; write /a:"]),
        (
            "/a:\n  script: hello.py\n\n   auth: none\n",
            ["4: auth: is indented further than script: above it; begin both in one column"],
        ),
        (
            "/a:\n  script: hello.py\n  auth: none\n  methods: [GET\n",
            ["5: the ']' that ends a list or mapping is missing, here or in a line above"],
        ),
        (
            "/a:\n  script: hello.py\n  auth: {bearer: $A\n  methods: [GET]\n",
            ["4: the '}' that ends a list or mapping is missing, here or in a line above"],
        ),
        (
            HELLO + "/d/<env>  # live\n  script: x\n",
            ["4: /d/<env> lacks its colon; write /d/<env>:"],
        ),
        (
            HELLO + "/a:\nscript: hello.py\n",
            ["4: /a must be a mapping, not nothing; indent its settings below it",
             "5: unknown key 'script'; indent script: below /a"],
        ),
        ("script: hello.py\n" + HELLO, ["1: unknown key 'script'; did you mean '/script'?"]),
        (
            "/a:\n  script: hello.py\n  auth: {bearer: ${TOK}}\n",
            ["3: a config var is written without braces; write $TOK"],
        ),
        (
            # The slip is looked for where the parser stopped, and nowhere else.
            "# script:x\n/a:\n\n\n  script: hello.py\n  auth: {url: https://x, b: [}\n",
            ["6: this is not YAML: did not find expected node content"],
        ),
        (HELLO + HELLO, ["4: '/h' stands here a second time; the first is on line 1"]),
        (HELLO + "/i: hello.py\n", ["4: /i must be a mapping, not 'hello.py'"]),
        (HELLO + "/i:\n", ["4: /i must be a mapping, not nothing; indent its settings below it"]),
        (HELLO + "/i: [hello.py]\n", ["4: /i must be a mapping, not a list"]),
        ("/h:\n  auth: none\n", ["1: /h: 'script' is missing; name a file of scripts/"]),
        ("/h:\n  script: hello.py\n", [f"1: /h: {NO_AUTH}"]),
        (
            "/h:\n  script: hello.py\n  auth: {github: $S}\n  methods: [GET, POST]\n",
            ["1: /h: a GET's payload is its query, which github does not sign; "
             "take GET out of methods"],
        ),
        (
            HELLO.replace("/h", "/-/runs"),
            ["1: /-/runs: paths below /-/ are the runner's own; take another"],
        ),
        (HELLO.replace("/h", "/h/"), ["1: /h/: a path does not end with '/'; write /h"]),
        (HELLO.replace("/h", "/<a>/<a>"), ["1: /<a>/<a>: a name stands twice in the path"]),
        (
            HELLO.replace("/h", "/x/<a>") + HELLO.replace("/h", "/x/<b>"),
            ["4: /x/<b> matches what /x/<a> on line 1 matches"],
        ),
        (
            HELLO + "  pass_env:\n    - HOME\n    - S\n"
            "/i: {script: hello.py, auth: {github: $S}}\n",
            ["6: pass_env names S, which is a secret of the runner; "
             "a script that must have it gets it by env: {S: $S}"],
        ),
        (
            "/g: {script: hello.py, auth: {github: $S}, pass_env: [S]}\n"
            "/h: {script: hello.py, auth: none, pass_env: [S]}\n",
            ["1: pass_env names S, which is a secret of the runner; "
             "a script that must have it gets it by env: {S: $S}",
             "2: pass_env names S, which is a secret of the runner; "
             "a script that must have it gets it by env: {S: $S}"],
        ),
        (
            "defaults: {pass_env: [ADMIN_TOKEN]}\n" + HELLO + "  pass_env: []\n",
            ["1: pass_env names ADMIN_TOKEN, which no script gets"],
        ),
        ("/h:\n\tscript: hello.py\n", ["2: a tab where YAML wants spaces; indent with spaces"]),
        (
            "/h:\n  script: hello.py\n\tauth: none\n",
            ["3: a tab where YAML wants spaces; indent with spaces"],
        ),
        (
            HELLO + "  env: &e {A: b}\n/i:\n  script: hello.py\n  auth: none\n  env: *e\n",
            ["8: the alias *e is not taken; write it out, or use defaults:"],
        ),
        (
            "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n",
            ["2: the alias *a is not taken; write it out, or use defaults:",
             "3: the alias *b is not taken; write it out, or use defaults:",
             "4: the alias *c is not taken; write it out, or use defaults:"],
        ),
        (
            HELLO + "  timeout: !!python/object/apply:os.system [id]\n",
            [f"4: {TAG}"],
        ),
        (HELLO + "  args: [*glob]\n", [f"4: {ALIAS}"]),
        (HELLO + "  timeout: !t 5s\n", [f"4: {TAG}"]),
        (HELLO + "---\n" + HELLO, ["4: a second document begins here; keep to one"]),
        (HELLO + "  x: y: z\n",
         ["4: this is not YAML: mapping values are not allowed in this context"]),
    ],
)  # fmt: skip
def test_a_bad_file_is_told_line_by_line(project: Project, text: str, told: list[str]) -> None:
    assert problems(project, text, S="x") == [f"hooks.yaml:{what}" for what in told]


def test_all_complaints_come_at_once(project: Project) -> None:
    text = (
        "defaults:\n"
        "  max_bdy: 1KB\n"
        "/a:\n"
        "  script: ../a.py\n"
        "  auth: {gitub: $S}\n"
        "  timeout: 5\n"
        "  warm: yes\n"
        "b: {}\n"
        "/c/:\n"
        "  script: helo.py\n"
        "  schema: {$ref: nope.json}\n"
        "  colour: red\n"
    )
    (project.folder / ".env").write_text("not a line\n")

    assert problems(project, text) == [
        ".env:1: write NAME=value, a line each",
        "hooks.yaml:4: '../a.py' is outside scripts/; move it there",
        "hooks.yaml:5: unknown scheme 'gitub' in auth; did you mean 'github'?",
        f"hooks.yaml:6: timeout {DURATION} 5; write 5s for seconds",
        "hooks.yaml:7: warm must be true or false, not 'yes'",
        "hooks.yaml:8: unknown key 'b'; did you mean '/b'?",
        "hooks.yaml:9: /c/: a path does not end with '/'; write /c",
        "hooks.yaml:10: there is no scripts/helo.py; did you mean 'hello.py'?",
        f"hooks.yaml:9: /c/: {NO_AUTH}",
        f"hooks.yaml:11: schema: $ref 'nope.json' {NOWHERE}",
        "hooks.yaml:12: unknown setting 'colour'",
        "hooks.yaml:2: unknown setting 'max_bdy'; did you mean 'max_body'?",
    ]


def test_the_complaint_names_the_file_as_it_is_called(project: Project) -> None:
    path = project.folder / "other.yml"
    path.write_text("")

    with pytest.raises(BadConfig) as caught:
        load(path, {})

    assert caught.value.problems == (
        "other.yml:1: the file is empty; a hook is a key that begins with '/'",
    )


# --- files that hooks.yaml names


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("../hooks.yaml", "'../hooks.yaml' is outside scripts/; move it there"),
        ("sub/../../x", "'sub/../../x' is outside scripts/; move it there"),
        ("/bin/sh", "'/bin/sh' is outside scripts/; move it there"),
        ("away", "'away' is outside scripts/; move it there"),
        ("away-folder/x.py", "'away-folder/x.py' is outside scripts/; move it there"),
        ("nope.py", "there is no scripts/nope.py"),
        (
            "scripts/hello.py",
            "there is no scripts/scripts/hello.py; write hello.py, without scripts/",
        ),
        ("scripts/nope.py", "there is no scripts/scripts/nope.py"),
        ("hallo.py", "there is no scripts/hallo.py; did you mean 'hello.py'?"),
        ("deep.py", "there is no scripts/deep.py; did you mean 'sub/deep.py'?"),
        ("sub", "there is no scripts/sub"),
        ("dangling", "there is no scripts/dangling"),
        ("loop", "'loop' is no file of scripts/: it is a link that leads round in a circle"),
        ('"a\\0b"', "'a\\x00b' is no file of scripts/: the character NUL is in no file's name"),
        ("a" * 300, f"'{'a' * 59}… is no file of scripts/: File name too long"),
        (
            "two words",
            "scripts/two words is not executable; chmod +x 'scripts/two words', and commit that",
        ),
        ("5", "script must be text, not 5; quote it: '5'"),
        ("[hello.py]", "script must be text, not a list"),
        (
            "plain",
            "scripts/plain is neither .py nor .sh and has no #! line; add one",
        ),
        (
            "idle",
            "scripts/idle is not executable; chmod +x scripts/idle, and commit that",
        ),
        (
            "sub/idle",
            "scripts/sub/idle is not executable; chmod +x scripts/sub/idle, and commit that",
        ),
    ],
)
def test_a_script_that_cannot_be_started_is_told(project: Project, name: str, told: str) -> None:
    scripts = project.folder / "scripts"
    outside = project.folder.parent / "outside"
    outside.mkdir()
    (outside / "x.py").write_text("")
    (scripts / "away").symlink_to(outside / "x.py")
    (scripts / "away-folder").symlink_to(outside)
    (scripts / "dangling").symlink_to(scripts / "gone")
    project.script("plain", "echo hello\n")
    (scripts / "loop").symlink_to("loop")
    for idle in ("idle", "sub/idle", "two words"):
        project.script(idle, "#!/bin/sh\n")
        (scripts / idle).chmod(0o644)

    assert problems(project, f"/h:\n  script: {name}\n  auth: none\n") == [f"hooks.yaml:2: {told}"]


def test_a_link_that_stays_inside_scripts_is_taken(project: Project) -> None:
    (project.folder / "scripts" / "link.py").symlink_to("hello.py")

    assert read(project, "/h: {script: link.py, auth: none}").hooks["/h"].script.name == "link.py"


def test_a_script_without_run_bit_and_first_line_lacks_both(project: Project) -> None:
    project.script("bare", "hello")
    (project.folder / "scripts/bare").chmod(0o644)

    assert problems(project, "/h:\n  script: bare\n  auth: none\n") == [
        "hooks.yaml:2: scripts/bare is neither .py nor .sh and has no #! line; add one",
        "hooks.yaml:2: scripts/bare is not executable; chmod +x scripts/bare, and commit that",
    ]


@pytest.mark.parametrize(
    ("contents", "told"),
    [
        (b'{"type": "object",\n,', "s.json:2 is not JSON: "
         "Expecting property name enclosed in double quotes"),
        (b"", "s.json:1 is not JSON: Expecting value"),
        (b'"\xff"', "s.json is not UTF-8; save it as UTF-8"),
        (b'{"type": 1, "type": 2}', "s.json: the key 'type' stands twice in one object"),
        (b"[" * 100_000, "s.json is not JSON: nested too deeply"),
        (b"5", "a schema is a mapping or true/false, not 5"),
        (b'{"type": "objekt"}',
         "/type: 'objekt' is no type; did you mean 'object'?"),
        (b'{"pattern": "("}', "/pattern: '(' is not a 'regex'"),
        (b'{"$schema": "urn:x"}', "$schema 'urn:x' is not a draft that is known here; "
         "leave it out for draft 2020-12"),
    ],
)  # fmt: skip
def test_a_schema_file_that_cannot_be_used_is_told(
    project: Project, contents: bytes, told: str
) -> None:
    (project.folder / "schemas" / "s.json").write_bytes(contents)

    assert problems(project, f"{HELLO}  schema: s.json\n") == [f"hooks.yaml:4: schema: {told}"]


def test_a_schema_that_a_link_has_outside_is_not_read(project: Project) -> None:
    (project.folder / "secret.json").write_text("true")
    (project.folder / "schemas" / "s.json").symlink_to("../secret.json")

    assert problems(project, f"{HELLO}  schema: s.json\n") == [
        "hooks.yaml:4: schema: 's.json' is outside schemas/; move it there"
    ]
    assert problems(project, f"{HELLO}  schema: {{$ref: s.json}}\n") == [
        f"hooks.yaml:4: schema: $ref 's.json' {NOWHERE}"
    ]


# --- .env and the environment


GITHUB = "/h: {script: hello.py, auth: {github: $S}}\n"


def missing(config: Config) -> dict[str, tuple[str, ...]]:
    return {path: hook.missing for path, hook in config.hooks.items()}


@pytest.mark.parametrize(
    ("dotenv", "value"),
    [
        ("S=plain\n", "plain"),
        ("S=plain", "plain"),
        ("# a comment\n\nexport S=plain  # why\n", "plain"),
        ("S = 'with # sign'\n", "with # sign"),
        ('S="two\\nlines"\n', "two\nlines"),
        ("S=$NOT_FILLED_IN\n", "$NOT_FILLED_IN"),
        ("S=first\nS=last\n", "last"),
        ("\ufeffS=marked\n", "marked"),
        ("S=crlf\r\n", "crlf"),
    ],
)
def test_the_env_file_beside_hooks_yaml_is_read(project: Project, dotenv: str, value: str) -> None:
    (project.folder / ".env").write_text(dotenv)
    config = read(project, GITHUB)

    assert missing(config) == {"/h": ()}
    assert config.environ["S"] == value
    assert config.secrets == (value,)


def test_the_real_environment_wins_over_the_env_file(project: Project) -> None:
    (project.folder / ".env").write_text("S=from-file\nT=from-file\n")
    config = read(project, GITHUB, S="real")

    assert (config.environ["S"], config.environ["T"]) == ("real", "from-file")
    assert config.secrets == ("real",)


def test_every_bad_line_of_the_env_file_is_named(project: Project) -> None:
    (project.folder / ".env").write_text("A=1\n= no name\n\n# next\n\ntwo words\nB='open\nC=3\n")

    assert problems(project, HELLO) == [
        ".env:2: write NAME=value, a line each",
        ".env:6: write NAME=value, a line each",
        ".env:7: write NAME=value, a line each",
    ]


def test_a_name_without_a_value_is_a_bad_line_of_the_env_file(project: Project) -> None:
    (project.folder / ".env").write_text("S=1\nJUST_A_NAME\n")

    assert problems(project, GITHUB) == [".env:2: write NAME=value, a line each"]


@pytest.mark.parametrize("data", ["S=1\n".encode("utf-16"), b"S=\xff\n"])
def test_an_env_file_that_is_not_utf_8_is_told(project: Project, data: bytes) -> None:
    (project.folder / ".env").write_bytes(data)

    assert problems(project, GITHUB) == [".env:1: the file is not UTF-8; save it as UTF-8"]


@pytest.mark.parametrize("environ", [{}, {"S": ""}])
def test_a_hook_with_an_unset_or_empty_secret_is_off_and_it_alone(
    project: Project, environ: dict[str, str]
) -> None:
    text = GITHUB + "/i: {script: hello.py, auth: {bearer: $T}}\n/j: {script: hello.py, auth: none}"

    assert missing(read(project, text, T="set", **environ)) == {"/h": ("S",), "/i": (), "/j": ()}


def test_every_config_var_that_a_hook_lacks_is_named_once(project: Project) -> None:
    text = (
        "/h:\n  script: hello.py\n  auth: [{github: [$A, $B]}, {bearer: $A}]\n"
        "  args: ['$C$A']\n  env: {X: '$D $$NOT'}\n"
    )

    assert missing(read(project, text, D="set")) == {"/h": ("A", "B", "C")}


@pytest.mark.parametrize(
    ("auth", "hint"),
    [
        ("{stripe: $S}", "… (what to put there: python runner.py senders stripe)"),
        ("{twilio: {secret: $S, url: 'https://a'}}",
         "… (what to put there: python runner.py senders twilio)"),
        ("{gitlab: $S}", "$(openssl rand -hex 32)"),
        ("{bearer: $S}", "$(openssl rand -hex 32)"),
        ("{svix: {secret: [$S]}}", "… (what to put there: python runner.py senders svix)"),
    ],
)  # fmt: skip
def test_a_secret_that_its_sender_makes_is_not_to_be_made_up(
    project: Project, auth: str, hint: str
) -> None:
    config = read(project, f"/h: {{script: hello.py, auth: {auth}}}\n")
    value, _, more = hint.partition(" (")
    more = f" ({more}" if more else ""
    assert switched_off(config, on_dyno=True) == [
        f"/h is switched off: S is not set; set it: heroku config:set S={value}{more}"
    ]
    assert switched_off(config, on_dyno=False) == [
        f'/h is switched off: S is not set; set it: echo "S={value}" >> .env{more}'
    ]


COPY = "copy it again as the sender shows it"


@pytest.mark.parametrize(
    ("auth", "told"),
    [
        ("{hmac: {header: X-S, secret: $S, secret_encoding: hex}}", f"is not hexadecimal; {COPY}"),
        ("{standard-webhooks: $S}", f"is not whsec_ and base64; {COPY}"),
        ("{gitlab: [$OLD, $SHORT]}", f"is not whsec_ and base64; {COPY}"),
        ("{discord: $S}", f"is not hexadecimal; {COPY}"),
        ("{discord: $HEX}", f"is no public key of Ed25519; {COPY}"),
        ("{sendgrid: $HEX}", f"is no public key of ECDSA on P-256; {COPY}"),
        ("{svix: {secret: $PUBLIC}}", f"is not whpk_ and base64; {COPY}"),
    ],
)
def test_a_secret_that_cannot_be_one_switches_off_its_hook_alone(
    project: Project, auth: str, told: str
) -> None:
    environ = {"S": "not hex", "HEX": "abcd", "PUBLIC": "whpk_abcd", "SHORT": "whsec_AA=="}
    text = f"/h: {{script: hello.py, auth: {auth}}}\n/i: {{script: hello.py, auth: none}}\n"
    config = read(project, text, OLD="x", **environ)
    [name] = config.hooks["/h"].missing
    [line] = switched_off(config, on_dyno=True)

    assert line.partition(" (")[0] == f"/h is switched off: {name} {told}"
    assert config.hooks["/i"].missing == ()
    assert name == "S" or environ[name] not in line


@pytest.mark.parametrize("value", ["…", "...", " ", "\t\n"])
def test_what_a_command_was_pasted_with_is_no_secret(project: Project, value: str) -> None:
    assert missing(read(project, GITHUB, S=value)) == {"/h": ("S",)}


def test_twilio_is_not_taken_on_a_path_with_names(project: Project) -> None:
    text = "/sms/<who>: {script: hello.py, auth: {twilio: {secret: $S, url: 'https://a.example'}}}"
    assert problems(project, text, S="x") == [
        "hooks.yaml:1: /sms/<who>: twilio signs path and fields as one text, so that a part of a "
        "field could pass for a name in the path; take a path without <names>"
    ]


@pytest.mark.parametrize("auth", ["{aws-sns: {topics: [$S]}}", "{gitlab: $S}", "{svix: $S}"])
def test_what_is_not_set_yet_switches_a_hook_off_and_is_no_mistake(
    project: Project, auth: str
) -> None:
    assert missing(read(project, f"/h: {{script: hello.py, auth: {auth}}}\n")) == {"/h": ("S",)}


def test_a_secret_of_the_defaults_switches_off_only_those_that_use_it(project: Project) -> None:
    text = (
        "defaults: {auth: {github: $S}}\n"
        "/a: {script: hello.py}\n"
        "/b: {script: hello.py, auth: none}\n"
        "/c: {script: hello.py}\n"
    )

    assert missing(read(project, text)) == {"/a": ("S",), "/b": (), "/c": ("S",)}


# --- hostile input


def ends_in_a_complaint(told: list[str]) -> bool:
    """Complaints, each with a file and a line, and of a length that can be read."""
    return bool(told) and all(
        line.startswith(("hooks.yaml:", ".env:")) and len(line) < 1000 for line in told
    )


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"#" * (LARGEST + 1), "1: larger than 1MB; is this the right file?"),
        (b"\0" * (LARGEST * 3), "1: larger than 1MB; is this the right file?"),
        (HELLO.encode("utf-16"), "1: the file is UTF-16; save it as UTF-8"),
        (HELLO.encode("utf-16-be"), "1: the character U+0000 is not allowed; take it out"),
        (HELLO.encode() + b"  x: \xff\n", "4: the file is not UTF-8; save it as UTF-8"),
        (HELLO.encode() + b"  x: \xed\xa0\x80\n", "4: the file is not UTF-8; save it as UTF-8"),
        (HELLO.encode() + b"  x: \xc3\n", "4: the file is not UTF-8; save it as UTF-8"),
        (HELLO.encode() + b"# \xc3\xa4\n\0", "5: the character U+0000 is not allowed; take it out"),
        (HELLO.encode() + b"\x1b[2J", "4: the character U+001B is not allowed; take it out"),
        (b"\x7fELF", "1: the character U+007F is not allowed; take it out"),
        (b"[" * 10_000, "1: nested more than 50 deep"),
        (b"/h: " + b"[" * 10_000 + b"]" * 10_000, "1: nested more than 50 deep"),
        (b"{a: " * 10_000, "1: nested more than 50 deep"),
        (b"- " * 10_000, "1: nested more than 50 deep"),
        (b"? " * 10_000, "1: nested more than 50 deep"),
        (b"".join(b" " * n + b"a:\n" for n in range(1000)), "51: nested more than 50 deep"),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, bytes) else None,
)
def test_a_hostile_file_gets_one_complaint(project: Project, data: bytes, told: str) -> None:
    assert problems(project, data) == [f"hooks.yaml:{told}"]


@pytest.mark.parametrize(
    "text",
    [
        HELLO + '  x: "\\UFFFFFFFF"\n',
        HELLO + '  x: "\\ud800"\n',
        "%YAML 1." + "1" * 5000 + "\n---\n" + HELLO,
        "%TAG ! %ZZ\n---\n" + HELLO,
        "&" + "a" * 5000 + "\n",
        "/h: " + "x" * 900_000 + "\n",
        "? " + "x" * 900_000 + "\n: y\n",
        "? /" + "x" * 900_000 + "\n: y\n",
        "? /" + "<x>" * 300_000 + "\n: y\n",
        HELLO + "  timeout: " + "9" * 900_000 + "\n",
        HELLO + "  auth: [" + "none, " * 1000 + "]\n",
        HELLO + "  args: ['" + "{" * 100_001 + "']\n",
        HELLO + "  args: ['{payload:" + "/a" * 100_000 + "~}']\n",
        HELLO + "  schema: '" + "a" * 100_000 + "'\n",
        '/h: {script: "a\\0b", auth: none}\n',
        "/h: {script: " + "a" * 300 + ", auth: none}\n",
        "/h: {script: loop, auth: none}\n",
        HELLO + '  schema: "a\\0b"\n',
        HELLO + "  schema: loop\n",
        HELLO + "  schema: {$ref: 'http://['}\n",
        HELLO + "  schema: {$schema: [x]}\n",
        HELLO + "  schema: number.json\n",
        HELLO + '  args: ["a\\0b"]\n',
        HELLO + '  env: {X: "a\\0b"}\n',
        HELLO + "  respond: {wait: 999999999d}\n",
    ],
    ids=lambda text: repr(text.removeprefix(HELLO)[:32]),
)
def test_whatever_stands_in_the_file_it_gets_a_complaint_and_no_traceback(
    project: Project, text: str
) -> None:
    for folder in ("scripts", "schemas"):
        (project.folder / folder / "loop").symlink_to("loop")
    (project.folder / "schemas/number.json").write_text('{"maximum": %s}' % ("1" * 5000))

    assert ends_in_a_complaint(problems(project, text))


def test_a_nul_in_the_env_file_is_told(project: Project) -> None:
    (project.folder / ".env").write_bytes(b"A=1\nB=a\0b\n")

    assert problems(project, HELLO) == [".env:2: the character U+0000 is not allowed; take it out"]


def test_a_long_complaint_keeps_its_mend(project: Project) -> None:
    [told] = problems(project, f"? /{'x' * 100_000}\n: {{script: hello.py}}\n")

    assert told.startswith("hooks.yaml:1: /xxx")
    assert told.endswith(NO_AUTH)


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"/h{number}: {{script: hello.py, auth: none}}\n" for number in range(10_000)),
        HELLO + "".join(f"  k{number}:\n" for number in range(80_000)),
    ],
    ids=["hooks", "settings"],
)
@pytest.mark.timeout(20)
def test_a_file_of_any_size_is_read_while_one_waits(project: Project, text: str) -> None:
    with suppress(BadConfig):
        read(project, text)


def missing_file(path: Path) -> str:
    return "there is no such file; name it with --config PATH"


def folder_instead(path: Path) -> str:
    path.mkdir()
    return "cannot be read: Is a directory"


def link_to_itself(path: Path) -> str:
    path.symlink_to(path.name)
    return "cannot be read: Too many levels of symbolic links"


@pytest.mark.parametrize("prepare", [missing_file, folder_instead, link_to_itself])
def test_a_file_that_cannot_be_read_is_told(
    project: Project, prepare: Callable[[Path], str]
) -> None:
    path = project.folder / "hooks.yaml"
    told = prepare(path)

    with pytest.raises(BadConfig) as caught:
        load(path, {})

    assert caught.value.problems == (f"{path}: {told}",)


def test_the_complaints_about_both_files_come_together(project: Project) -> None:
    (project.folder / ".env").write_text("no line\n")
    path = project.folder / "hooks.yaml"

    with pytest.raises(BadConfig) as caught:
        load(path, {})

    assert caught.value.problems == (
        ".env:1: write NAME=value, a line each",
        f"{path}: there is no such file; name it with --config PATH",
    )


def test_a_file_in_json_with_a_repeated_key_is_refused_too(project: Project) -> None:
    hook: dict[str, Any] = {"script": "hello.py", "auth": "none"}
    text = f'{{"/h": {json.dumps(hook)}, "/h": {json.dumps(hook)}}}'

    assert problems(project, text) == [
        "hooks.yaml:1: '/h' stands here a second time; the first is on line 1"
    ]


def test_what_steers_a_script_may_be_set_by_the_file_itself(project: Project) -> None:
    project.hooks(
        "/d/<env>: {script: hello.py, auth: none, env: {PATH: '/opt:/bin', GIT_DIR: $DIR, "
        "NODE_ENV: '{path:env}', PAYLOAD_PATH: '{payload:/PATH}', path: '{payload:/PATH}'}}\n"
    )
    config = load(project.folder / "hooks.yaml", {"DIR": "/repo"})
    facts = Facts({"PATH": "x"}, {}, {}, {"env": "live"})
    filled = {name: text.fill(facts) for name, text in config.hooks["/d/<env>"].env.items()}
    assert filled == {
        "PATH": "/opt:/bin", "GIT_DIR": "/repo", "NODE_ENV": "live", "PAYLOAD_PATH": "x",
        "path": "x",
    }  # fmt: skip


def test_how_runs_are_kept_and_tried_again_is_read(project: Project) -> None:
    project.script("tell.py", "")
    hook = read_hook(
        project,
        "retry: {attempts: 5, delay: 1s, factor: 3, max: 1m, rerun: false}\n"
        "  concurrency: 2\n"
        "  order: strict\n"
        "  queue: 10\n"
        "  rate: 60/m\n"
        "  dedupe: {header: X-Id, for: 1h}\n"
        "  keep: 1d\n"
        "  on_failure: tell.py",
    )

    assert hook.retry == Retry(attempts=5, delay=1, factor=3, max=60, rerun=False)
    assert hook.terms == Terms(
        concurrency=2, strict=True, rerun=False, queue=10, rate=Rate(60, 60), keep=86400
    )
    assert hook.dedupe == Dedupe(header="x-id", seconds=3600)
    assert hook.on_failure[-1] == str(project.folder / "scripts/tell.py")


def test_by_default_a_run_is_tried_once_and_repeats_are_told_by_the_senders_id(
    project: Project,
) -> None:
    hook = read_hook(project, "")

    assert (hook.retry.attempts, hook.retry.rerun) == (1, True)
    assert hook.terms == Terms(queue=1000, keep=7 * 86400)
    assert hook.dedupe == Dedupe(seconds=86400)
    assert read_hook(project, "dedupe: none").dedupe == Dedupe(seconds=0)


def test_header_names_of_a_when_mean_any_case_wherever_they_stand(project: Project) -> None:
    judged = "{properties: {headers: {required: [X-Kind]}}}"
    hook = read_hook(project, f"when: {{anyOf: [{judged}]}}")

    assert hook.when is not None
    assert hook.when.misfits({"headers": {"x-kind": "a"}}) == []
    assert hook.when.misfits({"headers": {}}) != []
