"""hooks.yaml, and the .env beside it, made into hooks; or every complaint at once.

`_read_hook` is the list of settings: asking for one makes it known. Nothing unknown,
ambiguous or insecure is let through, and nothing is raised before all has been read.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import cast, get_args

from hookrunner import route, template
from hookrunner.auth.schemes import HEADER_NAME, read_auth
from hookrunner.model import (
    BadConfig,
    Hook,
    Json,
    Mode,
    Respond,
    Scheme,
    Shape,
    Template,
)
from hookrunner.schema import BadSchema, Schema, from_file
from hookrunner.sections import (
    Section,
    Source,
    Value,
    Wrong,
    compose,
    duration,
    flag,
    list_of,
    one_of,
    size,
    text,
    whole,
)

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
WAIT = {"accepted": 0.0, "status": 8.0, "output": 25.0}
NOT_YET = (
    "retry",
    "concurrency",
    "order",
    "queue",
    "rate",
    "dedupe",
    "warm",
    "preload",
    "keep",
    "on_failure",
)
"""Settings of the contract whose engine is still to come: refused, never ignored."""

OWN_SECRETS = frozenset({"ADMIN_TOKEN", "JOURNAL_URL"})
"""Config vars of the runner's own that no script sees."""

MASKED = (*OWN_SECRETS, "DATABASE_URL")
OWN_VARIABLES = re.compile(r"HOOK_.*|TMPDIR")
FRAMING = {"content-length", "transfer-encoding", "connection", "content-type", "hook-run", "date"}
VISIBLE = re.compile(r"[\x20-\x7e]+")


@dataclass(frozen=True, slots=True)
class Config:
    """All that hooks.yaml and .env say. `environ` is what the scripts' config vars come from."""

    hooks: Mapping[str, Hook]
    environ: Mapping[str, str] = field(repr=False)
    secret_names: frozenset[str]
    secrets: tuple[str, ...] = field(repr=False)
    """Values to be masked in the log."""

    root: Path
    """The project's folder: `scripts/` and `schemas/` are in it, and scripts run in it."""


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """Read hooks.yaml and the .env beside it. Raises BadConfig with every problem."""
    problems: list[str] = []
    root = path.resolve().parent
    full = {**_dotenv(root / ".env", problems), **environ}
    source = Source(path.name, full, problems)
    hooks = _read_hooks(_read(path, source), source, root)
    if problems:
        raise BadConfig(problems)
    secret_names = OWN_SECRETS | source.secret_names
    values = {full.get(name, "") for name in (*secret_names, *MASKED)}
    return Config(
        hooks=hooks,
        environ=full,
        secret_names=secret_names,
        secrets=tuple(sorted(values - {""})),
        root=root,
    )


def switched_off(config: Config, *, on_dyno: bool) -> list[str]:
    """For each hook that lacks a config var, a line with the command that sets it."""
    lines = []
    for hook in config.hooks.values():
        for name in hook.missing:
            value = "$(openssl rand -hex 32)" if name in config.secret_names else "…"
            command = (
                f"heroku config:set {name}={value}" if on_dyno else f'echo "{name}={value}" >> .env'
            )
            lines.append(f"{hook.path} is switched off: {name} is not set; set it: {command}")
    return lines


def _read(path: Path, source: Source) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        problem = f"{path}: there is no such file; name it with --config PATH"
    except OSError as error:
        problem = f"{path}: cannot be read: {error.strerror}"
    raise BadConfig([*source.problems, problem])


def _dotenv(path: Path, problems: list[str]) -> dict[str, str]:
    if not path.is_file():
        return {}
    # Imported late: on a dyno there is no .env, and start-up counts.
    from dotenv.parser import parse_stream

    found = {}
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for binding in parse_stream(stream):
                if binding.error:
                    problems.append(f".env:{binding.original.line}: write NAME=value, a line each")
                elif binding.key:
                    found[binding.key] = binding.value or ""
    except UnicodeDecodeError:
        problems.append(".env:1: the file is not UTF-8; save it as UTF-8")
    except OSError as error:
        problems.append(f".env: cannot be read: {error.strerror}")
    return found


def _read_hooks(data: bytes, source: Source, root: Path) -> dict[str, Hook]:
    top = compose(data, source)
    if top is None:
        return {}
    if not isinstance(top.plain, dict):
        top.complain(f"the file must map paths to hooks, such as /hello:, not {_a(top.plain)}")
        return {}
    section = Section(top)
    defaults = section.find("defaults")
    fallback = defaults.section() if defaults else None
    if fallback and "script" in fallback.entries:
        fallback.entries["script"][0].complain("script cannot be a default; each hook has its own")
    hooks: dict[str, Hook] = {}
    known: list[str] = []
    passed: dict[str, Value] = {}
    for key, value in section.pairs():
        if key.title.startswith("/"):
            _check_path(key, hooks)
            if not value.is_mapping():
                continue
            source.missing = []
            hook = _HookReader(key, value, fallback, root)
            hooks[key.title] = hook.read()
            known = hook.section.known
            passed |= hook.passed
        elif key.title != "defaults":
            near = get_close_matches(key.title, ["defaults"], n=1) or [f"/{key.title}"]
            key.complain(f"unknown key {key.title!r}; did you mean {near[0]!r}?")
    if not hooks and not source.problems:
        top.complain("there is no hook; a hook is a key that begins with '/'")
    if fallback and known:
        fallback.refuse_leftovers(known)
    for name, value in passed.items():
        if name in OWN_SECRETS | source.secret_names:
            value.complain(
                f"pass_env names {name}, which is a secret of the runner; "
                f"a script that must have it gets it by env: {{{name}: ${name}}}"
                if name not in OWN_SECRETS
                else f"pass_env names {name}, which no script gets"
            )
    return hooks


def _a(value: Json) -> str:
    return "a list" if isinstance(value, list) else repr(value)


def _check_path(key: Value, hooks: Mapping[str, Hook]) -> None:
    told = route.problem(key.title)
    if told:
        key.complain(f"{key.title}: {told}")
    for other, hook in hooks.items():
        if route.same(other, key.title):
            key.complain(f"{key.title} matches what {other} on line {hook.line} matches")


class _HookReader:
    """One entry of hooks.yaml on its way to a Hook."""

    def __init__(self, key: Value, value: Value, fallback: Section | None, root: Path) -> None:
        self.key = key
        self.root = root
        self.section = Section(value, fallback, key)
        self.params = route.params(key.title)
        self.passed: dict[str, Value] = {}

    def read(self) -> Hook:
        take = self.section.take
        script = self.section.require("script", self._script, "name a file of scripts/")
        auth = self._auth()
        methods = take("methods", _methods) or ("POST",)
        self._refuse_unsigned_get(methods, auth)
        hook = Hook(
            path=self.key.title,
            script=script or Path(),
            command=_command(script) if script else (),
            auth=auth,
            schema=take("schema", self._schema),
            methods=methods,
            when=take("when", self._when),
            respond=self._patient(take("respond", _respond, default=_DEFAULT_RESPOND), auth),
            timeout=take("timeout", duration, default=300.0),
            args=take("args", list_of(self._template, "a list of texts"), default=()),
            env=take("env", self._env, default={}),
            pass_env=take("pass_env", self._pass_env),
            max_body=take("max_body", size, default=1024**2),
            max_output=take("max_output", size, default=1024**2),
            memory=take("memory", size),
            shield=take("shield", flag, default=False),
            line=self.key.line,
            missing=tuple(self.key.source.missing),
        )
        for name in NOT_YET:
            if (found := self.section.find(name)) is not None:
                found.complain(f"{name} is not yet available in this version; take it out")
        self.section.refuse_leftovers()
        return hook

    def _auth(self) -> tuple[Scheme, ...]:
        found = self.section.find("auth")
        if found is None:
            self.key.complain(
                f"{self.key.title}: 'auth' is missing; say who may post, "
                "such as {github: $GITHUB_SECRET}, or auth: none for everybody"
            )
            return ()
        return read_auth(found) or ()

    def _refuse_unsigned_get(self, methods: tuple[str, ...], auth: tuple[Scheme, ...]) -> None:
        signing = [scheme.name for scheme in auth if scheme.signs_body]
        if "GET" in methods and signing:
            self.key.complain(
                f"{self.key.title}: a GET's payload is its query, which {signing[0]} "
                "does not sign; take GET out of methods"
            )

    def _script(self, value: Value) -> Path:
        name = text(value)
        folder = self.root / "scripts"
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            value.complain(f"script {name!r} is outside scripts/; move it there")
        elif not path.is_file():
            value.complain(f"there is no scripts/{name}{_near(name, folder)}")
        elif not os.access(path, os.R_OK):
            value.complain(f"scripts/{name} cannot be read; chmod +r scripts/{name}")
        elif path.suffix == ".sh" and not shutil.which("bash"):
            value.complain(f"scripts/{name} needs bash, which is not installed here")
        elif path.suffix not in (".py", ".sh"):
            _check_executable(value, path)
        return path

    def _schema(self, value: Value) -> Shape:
        folder = self.root / "schemas"
        try:
            if not isinstance(value.plain, str):
                return Schema(value.plain, folder)
            path = folder / value.plain
            if not path.resolve().is_relative_to(folder.resolve()):
                raise BadSchema(f"{value.plain!r} is outside schemas/; move it there")
            if not path.is_file():
                raise BadSchema(f"there is no schemas/{value.plain}{_near(value.plain, folder)}")
            return from_file(path, folder)
        except BadSchema as error:
            value.complain(f"{value.title}: {error}")
            return Schema(True, folder)

    def _when(self, value: Value) -> Shape:
        contents = value.plain
        if not isinstance(contents, dict):
            raise Wrong("a JSON Schema over method, path, query, headers and payload")
        try:
            return Schema(_lower_headers(contents), self.root / "schemas")
        except BadSchema as error:
            value.complain(f"when: {error}")
            return Schema(True, self.root / "schemas")

    def _template(self, value: Value) -> Template:
        found = text(value)
        try:
            return template.read(found, value.source.variable, self.params)
        except template.BadTemplate as error:
            value.complain(f"{value.title}: {error}")
            return template.Text(())

    def _env(self, value: Value) -> Mapping[str, Template]:
        found = {}
        for key, item in value.section().pairs():
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key.title):
                key.complain(f"{key.title!r} is no name of a variable; use letters, digits and _")
            elif OWN_VARIABLES.fullmatch(key.title):
                key.complain(f"{key.title} is set by the runner; take another name")
            elif (read := item.read(self._template)) is not None:
                found[key.title] = read
        return found

    def _pass_env(self, value: Value) -> tuple[str, ...]:
        names = list_of(text, "a list of config vars such as [API_KEY]")(value)
        if isinstance(value.plain, list):
            self.passed |= {item.plain: item for item in value.items() if item.plain in names}
        return names

    def _patient(self, respond: Respond, auth: tuple[Scheme, ...]) -> Respond:
        """Never let a sender wait longer than it has patience: it would send again."""
        wait = min([respond.wait, *(scheme.patience for scheme in auth)])
        return Respond(
            respond.mode,
            wait,
            respond.type,
            respond.headers,
            respond.exit_status,
            respond.redirect,
        )


def _methods(value: Value) -> tuple[str, ...]:
    found = list_of(one_of(*METHODS), "a list such as [GET, POST]")(value)
    if not found:
        raise Wrong("a list such as [GET, POST]")
    return tuple(dict.fromkeys(found))


_DEFAULT_RESPOND = Respond(mode="status", wait=WAIT["status"])


def _respond(value: Value) -> Respond:
    mode = one_of(*get_args(Mode))
    if not isinstance(value.plain, dict):
        found = cast(Mode, mode(value))
        return Respond(mode=found, wait=WAIT[found])
    section = value.section()
    named = cast(Mode, section.take("mode", mode, default="status"))
    respond = Respond(
        mode=named,
        wait=section.take("wait", duration, default=WAIT[named]),
        type=section.take("type", _visible, default="text/plain; charset=utf-8"),
        headers=section.take("headers", _headers, default=()),
        exit_status=section.take("exit_status", _exit_status, default={}),
        redirect=section.take("redirect", _visible),
    )
    section.refuse_leftovers()
    return respond


def _headers(value: Value) -> tuple[tuple[str, str], ...]:
    found = []
    for key, item in value.section().pairs():
        if not HEADER_NAME.fullmatch(key.title) or key.title.lower() in FRAMING:
            key.complain(f"{key.title!r} is not a header that can be set here")
        elif (read := item.read(_visible)) is not None:
            found.append((key.title, read))
    return tuple(found)


def _exit_status(value: Value) -> Mapping[int, int]:
    found = {}
    for key, item in value.section().pairs():
        if not re.fullmatch(r"[0-9]{1,3}", key.title) or not 1 <= int(key.title) <= 255:
            key.complain(f"exit_status: {key.title!r} is no exit code from 1 to 255")
        elif (read := item.read(whole(200, 599))) is not None:
            found[int(key.title)] = read
    return found


def _visible(value: Value) -> str:
    found = text(value)
    if not VISIBLE.fullmatch(found):
        raise Wrong("plain ASCII text")
    return found


def _check_executable(value: Value, path: Path) -> None:
    name = f"scripts/{path.name}"
    with path.open("rb") as stream:
        marked = stream.read(2)
    if marked != b"#!" and marked != b"\x7fE":
        value.complain(f"{name} is neither .py nor .sh and has no #! line; add one")
    if not os.access(path, os.X_OK):
        value.complain(f"{name} is not executable; chmod +x {name}, and commit that")


def _command(script: Path) -> tuple[str, ...]:
    """What starts a script: by its suffix, else by its own `#!` line."""
    starters: Mapping[str, tuple[str, ...]] = {
        ".py": (sys.executable,),
        ".sh": (shutil.which("bash") or "bash",),
    }
    return (*starters.get(script.suffix, ()), str(script))


def _near(name: str, folder: Path) -> str:
    there = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
    near = get_close_matches(name, there, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _lower_headers(contents: dict[str, Json]) -> dict[str, Json]:
    """Header names of a `when` in lower case, as deliveries have them."""
    properties = contents.get("properties")
    headers = properties.get("headers") if isinstance(properties, dict) else None
    if not isinstance(properties, dict) or not isinstance(headers, dict):
        return contents
    lowered = dict(headers)
    if isinstance(headers.get("properties"), dict):
        lowered["properties"] = {k.lower(): v for k, v in headers["properties"].items()}
    if isinstance(headers.get("required"), list):
        lowered["required"] = [str(name).lower() for name in headers["required"]]
    return {**contents, "properties": {**properties, "headers": lowered}}
