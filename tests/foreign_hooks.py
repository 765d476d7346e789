"""Hooks of adnanh/webhook as its documentation describes them, and requests to each.

Each rule, each source of values and each answer that it documents is in one of them. A
request says whether it is let in; `unlike` says what of an accepted one the command is
known to see otherwise here.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SECRET = "correct horse"
PUSH = {"ref": "refs/heads/main", "commits": [{"id": "c1", "n": 7}], "pusher": {"name": "Ann"}}
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Ask:
    """A request, and whether it is let in."""

    let_in: bool
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    query: str = ""
    method: str = "POST"


@dataclass(frozen=True)
class Case:
    """A hook, the words that it needs, what is asked of it."""

    id: str
    settings: Mapping[str, Any]
    asks: Sequence[Ask]
    words: Sequence[str] = ()
    unlike: str = ""
    """Why what the command sees is not compared."""

    token: str = ""
    """The config var that a bearer token has been put into, which ours is then shown."""


def yes(value: object = PUSH, **more: Any) -> Ask:
    return _ask(True, value, more)


def no(value: object = PUSH, **more: Any) -> Ask:
    return _ask(False, value, more)


def _ask(let_in: bool, value: object, more: dict[str, Any]) -> Ask:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    headers = {"Content-Type": JSON, **more.pop("headers", {})}
    return Ask(let_in, body, {k: v for k, v in headers.items() if v}, **more)


def signed(
    header: str, algorithm: str, prefix: str, value: object = PUSH, secret: str = SECRET
) -> dict[str, str]:
    body = json.dumps(value).encode()
    return {header: prefix + hmac.new(secret.encode(), body, algorithm).hexdigest()}


def match(source: str, name: str, value: object, kind: str = "value") -> dict[str, Any]:
    what = {"value": "value", "regex": "regex"}[kind]
    return {"match": {"type": kind, what: value, "parameter": {"source": source, "name": name}}}


def mac(algorithm: str, header: str, kind: str = "hmac", secret: str = SECRET) -> dict[str, Any]:
    where = {"source": "header", "name": header}
    return {"match": {"type": f"payload-{kind}-{algorithm}", "secret": secret, "parameter": where}}


def network(text: str) -> dict[str, Any]:
    return {"match": {"type": "ip-whitelist", "ip-range": text}}


def form(text: str) -> tuple[bytes, dict[str, str]]:
    return text.encode(), {"Content-Type": FORM}


OPEN = ("--accept-insecure",)
MAIN = match("payload", "ref", "refs/heads/main")
OTHER = {**PUSH, "ref": "refs/heads/dev"}
SHA256 = signed("X-Sig", "sha256", "sha256=")
BARE256 = signed("X-Sig", "sha256", "")
GUARD = match("header", "X-Guard-Token", "let me in, please")
GUARDED = {"X-Guard-Token": "let me in, please"}


def guarded(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"trigger-rule": {"and": [GUARD, *rules]}}


def g(value: object = PUSH, *, let_in: bool = True, **more: Any) -> Ask:
    """A request with the guard's token."""
    headers = {**GUARDED, **more.pop("headers", {})}
    return _ask(let_in, value, {"headers": headers, **more})


def values(source: str, *names: str) -> list[dict[str, str]]:
    return [{"source": source, "name": name} for name in names]


RULES = [
    Case("no-rule", {}, [yes(), yes(b"", headers={"Content-Type": ""}, method="GET")], OPEN),
    Case("empty-and", {"trigger-rule": {"and": []}}, [yes()], OPEN),
    Case("value", {"trigger-rule": MAIN}, [yes(), no(OTHER), no({})], OPEN),
    Case(
        "number-and-truth",
        guarded(match("payload", "a", "42"), match("payload", "b", "true")),
        [
            g({"a": 42, "b": True}),
            g({"a": "42", "b": "true"}),
            g({"a": 43, "b": True}, let_in=False),
        ],
    ),
    Case(
        "dotted",
        guarded(match("payload", "commits.0.id", "c1")),
        [
            g(),
            g({"commits.0.id": "c1"}),
            g({**PUSH, "commits.0.id": "no"}, let_in=False),
            g({"commits": {"0.id": "c1"}}),
            g({"commits": []}, let_in=False),
        ],
    ),
    Case(
        "root",
        guarded(match("payload", "root.1", "b")),
        [g(["a", "b"]), g(["a"], let_in=False), g({"root": ["a", "b"]})],
    ),
    Case(
        "regex",
        guarded(match("payload", "ref", r"^refs/(heads|tags)/\w+$", "regex")),
        [g(), g({"ref": "x"}, let_in=False), g({"ref": "refs/heads/a\n"}, let_in=False)],
    ),
    Case(
        "regex-any",
        guarded(match("payload", "pusher.name", ".*", "regex")),
        [g(), g({"pusher": {}}, let_in=False)],
    ),
    Case(
        "not",
        guarded({"not": match("payload", "ref", "refs/heads/main")}),
        [g(OTHER), g(let_in=False), g({}, let_in=False)],
    ),
    Case(
        "not-alone",
        {"trigger-rule": {"not": match("payload", "n", "^[0-4]", "regex")}},
        [yes({"n": "7"}), no({"n": "3"}), no({"n": 3}), yes({})],
        OPEN,
    ),
    Case(
        "or",
        guarded({"or": [MAIN, match("header", "X-Event", "ping")]}),
        [g(), g(OTHER, headers={"X-Event": "ping"}), g(OTHER, let_in=False)],
    ),
    Case(
        "or-of-nots",
        guarded({"or": [{"not": match("payload", "x", "a")}, MAIN]}),
        [g({}), g({"x": "a"}, let_in=False), g({"x": "b"}), g({**PUSH, "x": "a"})],
    ),
    Case(
        "through-null",
        guarded({"or": [MAIN, {"not": match("payload", "head.id", "x")}]}),
        [g({"head": {"id": "y"}}), g({**PUSH, "head": None}), g({"head": None}, let_in=False)],
    ),
    Case(
        "multi-level",
        {
            "trigger-rule": {
                "and": [mac("sha256", "X-Sig"), {"or": [MAIN, match("header", "X-Event", "ping")]}]
            }
        },
        [
            yes(headers=SHA256),
            no(OTHER, headers=SHA256),
            no(OTHER, headers=signed("X-Sig", "sha256", "sha256=", OTHER)),
            yes(OTHER, headers={**signed("X-Sig", "sha256", "", OTHER), "X-Event": "ping"}),
        ],
    ),
    Case(
        "sha256",
        {"trigger-rule": mac("sha256", "X-Sig")},
        [
            yes(headers=SHA256),
            yes(headers=BARE256),
            yes(headers={"X-Sig": f"sha256=00,{SHA256['X-Sig']}"}),
            no(headers={"X-Sig": f"00,{BARE256['X-Sig']}"}),
            no(headers=signed("X-Sig", "sha256", "sha256=", secret="wrong")),
            no(OTHER, headers=SHA256),
            no(),
        ],
    ),
    Case(
        "sha512-old-name",
        {"trigger-rule": mac("sha512", "X-Sig", "hash")},
        [yes(headers=signed("X-Sig", "sha512", "sha512=")), no(headers=SHA256)],
    ),
    Case(
        "sha1",
        {"trigger-rule": mac("sha1", "X-Hub-Signature")},
        [yes(headers=signed("X-Hub-Signature", "sha1", "sha1=")), no()],
        OPEN,
    ),
    Case(
        "either-signature",
        {
            "trigger-rule": {"or": [mac("sha256", "X-New"), mac("sha256", "X-Old", secret="old")]},
            "trigger-signature-soft-failures": True,
        },
        [
            yes(headers=signed("X-New", "sha256", "")),
            yes(headers=signed("X-Old", "sha256", "", secret="old")),
            yes(headers={"X-New": "0", **signed("X-Old", "sha256", "", secret="old")}),
            no(headers={"X-New": "0"}),
            no(),
        ],
        OPEN,
    ),
    Case("ip", {"trigger-rule": network("10.0.0.0/8 127.0.0.1")}, [yes()]),
    Case("ip-elsewhere", {"trigger-rule": network("192.0.2.9/24")}, [no()]),
    Case(
        "ip-and-signature",
        {"trigger-rule": {"and": [network("127.0.0.0/8"), mac("sha256", "X-Sig")]}},
        [yes(headers=SHA256), no()],
    ),
    Case(
        "header-token",
        {"trigger-rule": match("header", "X-Gitlab-Token", "s3cret")},
        [yes(headers={"X-Gitlab-Token": "s3cret"}), no(headers={"X-Gitlab-Token": "S3cret"}), no()],
    ),
    Case(
        "bearer-token",
        {"trigger-rule": match("header", "Authorization", "Bearer abc123")},
        [yes(headers={"Authorization": "Bearer abc123"}), no(headers={"Authorization": "abc123"})],
    ),
    Case(
        "query-token",
        {"trigger-rule": match("url", "token", "42")},
        [
            yes(query="token=42"),
            no(query="token=43"),
            yes(b"", headers={"Content-Type": ""}, query="token=42", method="GET"),
            no(),
        ],
    ),
    Case(
        "payload-secret",
        {"trigger-rule": {"and": [match("payload", "secret", "hush"), MAIN]}},
        [yes({**PUSH, "secret": "hush"}), no({**OTHER, "secret": "hush"})],
        ("--bearer",),
        token="PAYLOAD_SECRET_TOKEN",
    ),
    Case(
        "method",
        {"trigger-rule": {"and": [GUARD, match("request", "method", "PUT")]}},
        [g(method="PUT"), g(let_in=False)],
    ),
    Case(
        "query-condition",
        guarded(match("query", "env", "prod")),
        [g(query="env=prod"), g(query="env=dev", let_in=False), g(let_in=False)],
    ),
    Case(
        "get-has-no-payload",
        guarded(MAIN),
        [g(), g(b"", let_in=False, query="ref=refs/heads/main", method="GET")],
    ),
    Case(
        "headers-in-payload",
        guarded({"not": match("payload", "headers.X-Kind", "a")}),
        [g({"headers": {"X-Kind": "b"}}), g({"headers": {"X-Kind": "a"}}, let_in=False)],
    ),
]

VALUES = [
    Case(
        "arguments",
        {
            **guarded(),
            "pass-arguments-to-command": [
                *values("payload", "ref", "commits.0.n", "pusher", "absent"),
                *values("header", "X-Kind"),
                *values("url", "q"),
                *values("query", "r"),
                *values("string", "a $HOME {b} `c`", ""),
                {"source": "entire-payload"},
            ],
        },
        [g(query="q=1&r=%C3%A9", headers={"X-Kind": 'it\'s "so"'})],
    ),
    Case(
        "environment",
        {
            **guarded(),
            "pass-environment-to-command": [
                *values("payload", "ref", "pusher.name"),
                {"source": "payload", "name": "commits.0.id", "envname": "SEEN_COMMIT"},
                {"source": "string", "name": "${X}", "envname": "SEEN_TEXT"},
                {"source": "header", "name": "X-Kind", "envname": "SEEN_KIND"},
            ],
        },
        [g(headers={"X-Kind": "k"})],
    ),
    Case(
        "request",
        {
            **guarded(),
            "pass-arguments-to-command": [
                *values("request", "method"),
                *values("payload", "ref"),
            ],
            "pass-environment-to-command": [
                {"source": "request", "name": "method", "envname": "SEEN_METHOD"}
            ],
        },
        [g(), g(method="PUT")],
    ),
    Case(
        "whole-request",
        {
            **guarded(),
            "pass-arguments-to-command": [
                {"source": "entire-query"},
                {"source": "raw-request-body"},
                *values("payload", "commits.0.id"),
            ],
        },
        [g(query="a=1&b=&a=2")],
    ),
    Case(
        "entire-headers",
        {**guarded(), "pass-arguments-to-command": [{"source": "entire-headers"}]},
        [g()],
        unlike="headers are without credentials here, and with Host",
    ),
    Case(
        "files",
        {
            **guarded(),
            "pass-file-to-command": [
                {"source": "payload", "name": "bin", "envname": "FILE_B", "base64decode": True},
                {"source": "entire-payload", "envname": "FILE_P"},
            ],
        },
        [g({"bin": "aGkK"})],
    ),
    Case(
        "json-in-a-form",
        {
            "trigger-rule": {"and": [GUARD, match("payload", "payload.state", "passed")]},
            "parse-parameters-as-json": values("payload", "payload"),
            "pass-arguments-to-command": values("payload", "payload.n"),
        },
        [
            g(b"payload=%7B%22state%22:%22passed%22,%22n%22:1%7D", headers={"Content-Type": FORM}),
            g(b"payload=%7B%22state%22:%22x%22%7D", headers={"Content-Type": FORM}, let_in=False),
        ],
    ),
    Case(
        "form",
        {
            **guarded(match("payload", "a", "1")),
            "pass-arguments-to-command": values("payload", "b"),
        },
        [
            g(b"a=1&b=x+y%21", headers={"Content-Type": FORM}),
            g(b"a=2", headers={"Content-Type": FORM}, let_in=False),
        ],
    ),
]

ANSWERS = [
    Case(
        "methods",
        {**guarded(), "http-methods": ["put", " POST "]},
        [g(), g(method="PUT"), g(method="DELETE", let_in=False)],
    ),
    Case("message", {**guarded(), "response-message": "on its way"}, [g()]),
    Case(
        "headers-and-code",
        {
            **guarded(),
            "include-command-output-in-response": True,
            "response-headers": [{"name": "X-A", "value": "b"}],
            "success-http-response-code": 201,
        },
        [g()],
    ),
    Case("output", {**guarded(), "include-command-output-in-response": True}, [g()]),
    Case(
        "output-on-error",
        {
            **guarded(),
            "include-command-output-in-response": True,
            "include-command-output-in-response-on-error": True,
            "pass-environment-to-command": [
                {"source": "payload", "name": "exit", "envname": "SEEN_EXIT"}
            ],
        },
        [g({"exit": 0}), g({"exit": 3})],
    ),
    Case(
        "mismatch",
        {
            **guarded(MAIN),
            "http-methods": ["POST"],
            "trigger-rule-mismatch-http-response-code": 400,
        },
        [g(), g(OTHER, let_in=False), no()],
    ),
    Case(
        "content-type",
        {**guarded(MAIN), "incoming-payload-content-type": "application/json"},
        [g(), g(OTHER, let_in=False)],
    ),
    Case("folder", {**guarded(), "command-working-directory": "WORK"}, [g()]),
    Case("kept", {**guarded(), "keep-file-environment": True}, [g()]),
]

CASES = [*RULES, *VALUES, *ANSWERS]

LEFT_OUT: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "scalr": (
        {"trigger-rule": {"match": {"type": "scalr-signature", "secret": "s"}}},
        "scalr-signature signs a date that is written out, which no `hmac` here can read",
    ),
    "signature-or-value": (
        {"trigger-rule": {"or": [mac("sha256", "X-Sig"), MAIN]}},
        "an `or` of a proof and of what anybody can write: whoever knows the second needs no proof",
    ),
    "not-signed": (
        {"trigger-rule": {"not": mac("sha256", "X-Sig")}},
        "a `not` over a proof: that it is wrong lets nobody in here",
    ),
    "two-proofs": (
        {"trigger-rule": {"and": [mac("sha256", "X-Sig"), GUARD]}},
        "two proofs that must both be right; a hook of ours asks for one",
    ),
    "teams": (
        {"trigger-rule": {"match": {"type": "msteams", "secret": "s"}}},
        "the rule's type 'msteams' is none that is known here",
    ),
    "more-signed": (
        {
            "trigger-rule": {
                "match": {
                    "type": "payload-hmac-sha256",
                    "secret": "s",
                    "parameter": {
                        "source": "header",
                        "name": "X-Sig",
                        "headers-to-add-to-signature-payload": ["Date"],
                    },
                }
            }
        },
        "headers-to-add-to-signature-payload: an `hmac` here signs no such header",
    ),
    "xml": (
        {**guarded(), "incoming-payload-content-type": "text/xml"},
        "its payload is read as text/xml; here as JSON or a form",
    ),
    "pattern": (
        guarded(match("payload", "ref", r"^\p{Greek}+$", "regex")),
        r"the pattern '^\\p{Greek}+$' has what Go and Python do not have alike",
    ),
    "go-template": (
        {**guarded(), "pass-arguments-to-command": values("template", "{.Payload.x}")},
        "what is passed on comes from the source 'template'",
    ),
    "loader": (
        {
            **guarded(),
            "pass-environment-to-command": [
                {"source": "payload", "name": "x", "envname": "LD_PRELOAD"}
            ],
        },
        "LD_PRELOAD may say what the command runs, and would be set to what somebody posts; take "
        "another envname, such as PAYLOAD_LD_PRELOAD, there and in the command",
    ),
    "empty-rule": (
        {"trigger-rule": {}},
        "a rule without and, or, not or match, which webhook never finds satisfied",
    ),
}
"""Hooks that hooks.yaml has no words for, and why."""
