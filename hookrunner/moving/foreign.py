"""A hooks file of adnanh/webhook, JSON or YAML, as values: what stands there, no more.

In its Go-template form only `{{ getenv "NAME" }}` is read, a pipe through `js` allowed; the
place is marked, so that a secret stays the name of a config var. What its own program would
refuse to load is Trouble here, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hookrunner import jsontext
from hookrunner.model import BadConfig, Json, Refused, Trouble
from hookrunner.sections import Source, compose, hint, kind_of

T = TypeVar("T", bound=str | bool | int)

ACTION = re.compile(r"(\s*\{\{-|\{\{)(.*?)(-\}\}\s*|\}\})", re.DOTALL)
GETENV = re.compile(
    r"\s*(?:getenv\s+(?:\"([A-Za-z_]\w*)\"|`([A-Za-z_]\w*)`)"
    r"|\(\s*getenv\s+\"([A-Za-z_]\w*)\"\s*\))\s*(?:\|\s*js\s*)?"
)
COMMENT = re.compile(r"\s*/\*.*\*/\s*", re.DOTALL)

# Characters for private use, which no hooks file has a reason to hold.
OPENS, CLOSES = "\ue000", "\ue001"
MARK = re.compile(f"{OPENS}([A-Za-z_][A-Za-z0-9_]*){CLOSES}")
"""Where a config var is to stand."""

LARGEST = 1024**2


@dataclass(frozen=True, slots=True)
class Argument:
    """A value of the request, as webhook refers to it."""

    source: str
    name: str = ""
    envname: str = ""
    base64: bool = False
    signed_headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Foreign:
    """A hook of webhook's."""

    id: str
    command: str
    directory: str = ""
    message: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    output: bool = False
    output_on_error: bool = False
    env: tuple[Argument, ...] = ()
    args: tuple[Argument, ...] = ()
    files: tuple[Argument, ...] = ()
    as_json: tuple[Argument, ...] = ()
    rule: Mapping[str, Json] | None = None
    mismatch: int = 0
    soft: bool = False
    content_type: str = ""
    success: int = 0
    methods: tuple[str, ...] = ()
    keeps_files: bool = False
    unknown: tuple[str, ...] = ()
    """Settings that webhook does not know, and passes over."""


KNOWN = (
    "id",
    "execute-command",
    "command-working-directory",
    "response-message",
    "response-headers",
    "include-command-output-in-response",
    "include-command-output-in-response-on-error",
    "pass-environment-to-command",
    "pass-arguments-to-command",
    "pass-file-to-command",
    "parse-parameters-as-json",
    "trigger-rule",
    "trigger-rule-mismatch-http-response-code",
    "trigger-signature-soft-failures",
    "incoming-payload-content-type",
    "success-http-response-code",
    "http-methods",
    "keep-file-environment",
    "pre-hook-command",
)


class Malformed(Exception):
    """A setting is not of the kind it should be; str() says which and why."""


def read(path: Path) -> list[Foreign]:
    """The hooks of a file. Raises Trouble, BadConfig."""
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        raise Trouble(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > LARGEST:
        raise Trouble(f"{path} is larger than 1MB; is this the right file?")
    found = _values(_without_actions(data, path.name), path.name)
    if isinstance(found, dict) and any(str(key).startswith("/") for key in found):
        raise Trouble(
            f"{path} is a hooks.yaml of this program's own; import takes adnanh/webhook's"
        )
    if not isinstance(found, list) or not found:
        raise Trouble(f"{path} is no hooks file of adnanh/webhook, which is a list of hooks")
    problems: list[str] = []
    hooks = []
    for number, each in enumerate(found, 1):
        try:
            hooks.append(_hook(each, number))
        except Malformed as error:
            problems.append(f"{path.name}: {error}")
    ids = [hook.id for hook in hooks]
    problems += [
        f"{path.name}: the id {each!r} stands there twice"
        for each in dict.fromkeys(ids)
        if ids.count(each) > 1
    ]
    if problems:
        raise BadConfig(problems)
    return hooks


def _without_actions(data: bytes, file: str) -> bytes:
    """The file with a mark in place of each `{{ getenv "NAME" }}`. Raises Trouble."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Trouble(f"{file}:{line}: the file is not UTF-8; save it as UTF-8") from None
    if OPENS in text or CLOSES in text:
        raise Trouble(f"{file} holds the character U+E000 or U+E001; take it out")

    def marked(found: re.Match[str]) -> str:
        if COMMENT.fullmatch(found[2]):
            return ""
        if named := GETENV.fullmatch(found[2]):
            return OPENS + next(name for name in named.groups() if name) + CLOSES
        line = text.count("\n", 0, found.start(2)) + 1
        raise Trouble(
            f'{file}:{line}: of a Go template only {{{{ getenv "NAME" }}}} is read; '
            "have webhook's template filled in before, and import what comes of it"
        )

    return ACTION.sub(marked, text).encode()


def _values(data: bytes, file: str) -> Json:
    """The file's value. Raises BadConfig."""
    try:
        return jsontext.read(data)
    except Refused:
        # webhook reads everything as YAML, and so takes JSON with a comma too many.
        source = Source(file, {})
        top = compose(data, source)
        if top is None or source.problems:
            raise BadConfig(source.problems) from None
        return top.plain


def _hook(found: Json, number: int) -> Foreign:
    if not isinstance(found, dict):
        raise Malformed(f"hook {number} is {kind_of(found)}, not a mapping")
    name = _take(found, "id", str, "", f"hook {number}")
    where = f"hook {name!r}" if name else f"hook {number}"
    command = _take(found, "execute-command", str, "", where)
    if not name or not command:
        raise Malformed(f"{where} lacks its {'execute-command' if name else 'id'}")
    rule = found.get("trigger-rule")
    if rule is not None and not isinstance(rule, dict):
        raise Malformed(f"{where}: trigger-rule is {kind_of(rule)}, not a mapping")
    methods = _list(found, "http-methods", where)
    return Foreign(
        id=name,
        command=command,
        directory=_take(found, "command-working-directory", str, "", where),
        message=_take(found, "response-message", str, "", where),
        headers=tuple(_header(each, where) for each in _list(found, "response-headers", where)),
        output=_take(found, "include-command-output-in-response", bool, False, where),
        output_on_error=_take(
            found, "include-command-output-in-response-on-error", bool, False, where
        ),
        env=_arguments(found, "pass-environment-to-command", where),
        args=_arguments(found, "pass-arguments-to-command", where),
        files=_arguments(found, "pass-file-to-command", where),
        as_json=_arguments(found, "parse-parameters-as-json", where),
        rule=rule,
        mismatch=_take(found, "trigger-rule-mismatch-http-response-code", int, 0, where),
        soft=_take(found, "trigger-signature-soft-failures", bool, False, where),
        content_type=_take(found, "incoming-payload-content-type", str, "", where),
        success=_take(found, "success-http-response-code", int, 0, where),
        methods=tuple(as_text(each, f"{where}: http-methods").strip().upper() for each in methods),
        keeps_files=_take(found, "keep-file-environment", bool, False, where),
        unknown=tuple(f"{key!r}{hint(str(key), KNOWN)}" for key in found if key not in KNOWN[:-1]),
    )


def _take(found: Mapping[str, Json], name: str, kind: type[T], default: T, where: str) -> T:
    value = found.get(name)
    if value is None:
        return default
    if kind is str:
        value = as_text(value, f"{where}: {name}")
    if kind is bool and value in ("yes", "on", "true", "no", "off", "false"):
        value = value in ("yes", "on", "true")  # YAML 1.1, which webhook reads
    if type(value) is not kind:
        raise Malformed(f"{where}: {name} is {kind_of(value)}, and cannot be")
    return value


def as_text(value: Json, where: str) -> str:
    """A text, also where webhook's YAML has a number or a truth for one. Raises Malformed."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if value is None:
        return ""
    raise Malformed(f"{where} is {kind_of(value)}, not a text")


def _list(found: Mapping[str, Json], name: str, where: str) -> list[Json]:
    value = found.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise Malformed(f"{where}: {name} is {kind_of(value)}, not a list")
    return value


def _header(found: Json, where: str) -> tuple[str, str]:
    if not isinstance(found, dict):
        raise Malformed(f"{where}: a header of response-headers is {kind_of(found)}")
    called = f"{where}: response-headers"
    return as_text(found.get("name"), called), as_text(found.get("value"), called)


def _arguments(found: Mapping[str, Json], name: str, where: str) -> tuple[Argument, ...]:
    return tuple(argument(each, f"{where}: {name}") for each in _list(found, name, where))


def argument(found: Json, where: str) -> Argument:
    """A reference to a value of the request. Raises Malformed."""
    if not isinstance(found, dict):
        raise Malformed(f"{where}: a value of the request is {kind_of(found)}, not a mapping")
    headers = found.get("headers-to-add-to-signature-payload") or []
    if not isinstance(headers, list):
        raise Malformed(f"{where}: headers-to-add-to-signature-payload is no list")
    return Argument(
        source=as_text(found.get("source"), where),
        name=as_text(found.get("name"), where),
        envname=as_text(found.get("envname"), where),
        base64=found.get("base64decode") is True,
        signed_headers=tuple(as_text(each, where) for each in headers),
    )
