"""hooks.yaml, and the .env beside it, made into hooks; or every complaint at once.

`_HookReader.read` is the list of settings: asking for one makes it known. Nothing unknown,
ambiguous or insecure is let through, and nothing is raised before all has been read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from hookrunner import about, envfile, files, respond, route, template, terms
from hookrunner.auth.schemes import read_auth
from hookrunner.model import (
    BadConfig,
    Dedupe,
    Hook,
    Json,
    Respond,
    Retry,
    Scheme,
    Shape,
    Template,
)
from hookrunner.schema import BadSchema, Schema, from_file
from hookrunner.sections import (
    UNSPACED,
    Section,
    Source,
    Value,
    Wrong,
    any_text,
    compose,
    duration,
    flag,
    hint,
    list_of,
    one_of,
    show,
    size,
    text,
)

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
OWN_SECRETS = frozenset({"ADMIN_TOKEN", "JOURNAL_URL"})
"""Config vars of the runner's own that no script sees."""

MASKED = (*OWN_SECRETS, "DATABASE_URL")
OWN_VARIABLES = re.compile(r"HOOK_.*|TMPDIR")
STEERING = re.compile(
    r"PATH|IFS|ENV|HOME|SHELL|SHELLOPTS|BASHOPTS|CDPATH|GLOBIGNORE|PS[0-4]|PROMPT_COMMAND|ZDOTDIR"
    r"|BASH_.*|LD_.*|DYLD_.*|GLIBC_TUNABLES|GCONV_PATH|LOCPATH|NLSPATH|MALLOC_.*"
    r"|PYTHON.*|NODE_(?:OPTIONS|PATH|EXTRA_CA_CERTS|REPL_.*|V8_COVERAGE)|PERL.*|RUBYOPT|RUBYLIB|LUA_.*|PHPRC|PHP_INI_SCAN_DIR|CLASSPATH"
    r"|_?JAVA_.*|JDK_JAVA_OPTIONS|GIT_.*|SSH_ASKPASS|EDITOR|VISUAL|PAGER"
)
"""Variables that say what shells, loaders and interpreters run: never what a sender says."""

JUDGED = ("method", "path", "query", "headers", "payload")
"""What a `when` may speak of."""


SETTINGS = frozenset(
    ("script", "auth", "schema", "methods", "when", "respond", "timeout", "args", "env", "retry")
)
"""Settings that may stand where a hook should; those that people begin with are enough."""


BESIDE = ("defaults", "info")
"""What may stand in the file beside the hooks."""


@dataclass(frozen=True, slots=True)
class Config:
    """All that hooks.yaml and .env say. `environ` is what the scripts' config vars come from."""

    hooks: Mapping[str, Hook]
    environ: Mapping[str, str] = field(repr=False)
    secret_names: frozenset[str]
    secrets: tuple[str, ...] = field(repr=False)
    """Values to be masked in the log."""

    shown_by: Mapping[str, str]
    """For secrets that their sender makes: the name of its scheme."""

    unusable: Mapping[str, str]
    """Secrets that are set to what cannot be one, and what is wrong with them."""

    root: Path
    """The project's folder: `scripts/` and `schemas/` are in it, and scripts run in it."""

    asking: frozenset[str] = frozenset()
    """The paths of hooks whose schemes may have to ask another machine."""

    info: about.Info = about.Info()


def load(path: Path, environ: Mapping[str, str], data: bytes | None = None) -> Config:
    """Read hooks.yaml and the .env beside it. Raises BadConfig with every problem.

    With `data`, as if that stood in the file.
    """
    problems: list[str] = []
    root = path.absolute().parent  # not resolved: a link that is swapped shall lead elsewhere
    full = {**envfile.read(root / ".env", problems), **environ}
    source = Source(path.name, full, problems)
    if data is None:
        data = _read(path, source)
    hooks, info = _read_hooks(data, source, root)
    if problems:
        raise BadConfig(problems)
    secret_names = OWN_SECRETS | source.secret_names
    values = {full.get(name, "") for name in (*secret_names, *MASKED)} | passwords(full)
    return Config(
        hooks=hooks,
        environ=full,
        secret_names=secret_names,
        secrets=tuple(sorted(values - {""})),
        shown_by=source.shown_by,
        unusable=source.unusable,
        root=root,
        asking=frozenset(
            path for path, hook in hooks.items() if any(s.asks_others for s in hook.auth)
        ),
        info=info,
    )


def passwords(environ: Mapping[str, str]) -> set[str]:
    """The passwords in the URLs of databases, which show up without the rest of it.

    One that is the user's name, as at many a desk, is no secret, and a word that is needed.
    """
    found = set()
    for name in ("JOURNAL_URL", "DATABASE_URL"):
        with suppress(ValueError):
            parts = urlsplit(environ.get(name, ""))
            if parts.password and parts.password != parts.username:
                found |= {parts.password, unquote(parts.password)}
            found.update(parse_qs(parts.query).get("password", ()))
    return found


def switched_off(config: Config, *, on_dyno: bool) -> list[str]:
    """For each hook that lacks a config var, a line with the command that sets it."""
    lines = []
    for hook in config.hooks.values():
        for name in hook.missing:
            sender = config.shown_by.get(name)
            made_up = name in config.secret_names and not sender
            value = "$(openssl rand -hex 32)" if made_up else "…"
            command = (
                f"heroku config:set {name}={value}"
                if on_dyno
                else envfile.appending(config.root / ".env", f"{name}={value}")
            )
            where = f" (what to put there: python runner.py senders {sender})" if sender else ""
            told = config.unusable.get(name) or f"is not set; set it: {command}"
            lines.append(f"{hook.path} is switched off: {name} {told}{where}")
    return lines


def _read(path: Path, source: Source) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        problem = f"{path}: there is no such file; name it with --config PATH"
    except OSError as error:
        problem = f"{path}: cannot be read: {error.strerror}"
    raise BadConfig([*source.problems, problem])


def _read_hooks(data: bytes, source: Source, root: Path) -> tuple[dict[str, Hook], about.Info]:
    top = compose(data, source)
    if top is None or not _maps_paths(top):
        return {}, about.Info()
    section = Section(top)
    info = section.take("info", about.read, default=about.Info())
    found = section.find("defaults")
    defaults = found.section() if found else None
    folders = _Folders(files.Folder(root / "scripts"), files.Folder(root / "schemas"))
    hooks: dict[str, Hook] = {}
    passed: list[Value] = []
    for key, value in _paths(section):
        source.missing = []
        reader = _HookReader(key, Section(value, defaults, key), folders)
        hooks[key.title] = reader.read()
        passed += reader.passed
    if not hooks and not source.problems:
        top.complain("there is no hook; a hook is a key that begins with '/'")
    if defaults:
        # By themselves too: a bad one that every hook overrides would lie in wait.
        alone = _DefaultsReader(defaults.value, defaults, folders)
        alone.read()
        passed += alone.passed
    _refuse_secrets(passed, source)
    return hooks, info


def _maps_paths(top: Value) -> bool:
    if isinstance(top.plain, dict):
        return True
    top.complain(f"the file must map paths to hooks, such as /hello:, not {show(top.plain)}")
    return False


def _paths(section: Section) -> Iterator[tuple[Value, Value]]:
    """Each path and its hook, after a complaint of every path that cannot be one."""
    known: dict[str, Value] = {}
    for key, value in section.pairs():
        if key.title.startswith("/"):
            _check_path(key, known)
            if value.is_mapping(_mend(value)):
                yield key, value
        elif key.title not in BESIDE:
            key.complain(f"unknown key {show(key.title)}{_meant(key.title, list(known.values()))}")


def _mend(value: Value) -> str:
    """What to write where a hook is no mapping."""
    if value.plain is None:
        return "indent its settings below it"
    found = UNSPACED.match(value.plain) if isinstance(value.plain, str) else None
    return f"put a space after {found[1]}:" if found else ""


def _meant(name: str, paths: list[Value]) -> str:
    if paths and name in SETTINGS:
        return f"; indent {name}: below {paths[-1].title}"
    if near := hint(name, BESIDE):
        return near
    if route.problem(f"/{name}"):
        return "; a hook is a key that begins with '/'"
    return f"; did you mean {show(f'/{name}')}?"


def _check_path(key: Value, known: dict[str, Value]) -> None:
    if told := route.problem(key.title):
        key.complain(f"{key.title}: {told}")
    other = known.setdefault(route.shape(key.title), key)
    if other is not key:
        key.complain(f"{key.title} matches what {other.title} on line {other.line} matches")


def _refuse_secrets(passed: list[Value], source: Source) -> None:
    for value in passed:
        name = value.plain
        if name in OWN_SECRETS:
            value.complain(f"pass_env names {name}, which no script gets")
        elif name in source.secret_names:
            value.complain(
                f"pass_env names {name}, which is a secret of the runner; "
                f"a script that must have it gets it by env: {{{name}: ${name}}}"
            )


def _module(value: Value) -> str:
    name = text(value)
    if not all(part.isidentifier() for part in name.split(".")):
        raise Wrong("the name of a module")
    return name


@dataclass(frozen=True, slots=True)
class _Folders:
    """Where the files are that a hook names."""

    scripts: files.Folder
    schemas: files.Folder


class _HookReader:
    """One entry of hooks.yaml on its way to a Hook."""

    def __init__(self, key: Value, section: Section, folders: _Folders) -> None:
        self.key = key
        self.section = section
        self.folders = folders
        self.params: tuple[str, ...] | None = route.params(key.title)
        self.passed: list[Value] = []

    def read(self) -> Hook:
        take = self.section.take
        script = self._script()
        auth = self._auth()
        methods = take("methods", _methods) or ("POST",)
        self._refuse_unsigned_get(methods, auth)
        retry = take("retry", terms.read_retry, default=Retry())
        dedupe = take("dedupe", terms.read_dedupe, default=Dedupe())
        on_failure = take("on_failure", self._startable)
        hook = Hook(
            path=self.key.title,
            script=script or Path(),
            command=files.command(script) if script else (),
            auth=auth,
            schema=take("schema", self._schema),
            methods=methods,
            when=take("when", self._when),
            respond=_patient(take("respond", respond.read, default=respond.DEFAULT), auth),
            timeout=take("timeout", duration, default=300.0),
            args=take("args", list_of(self._argument, "a list of texts"), default=()),
            env=take("env", self._env, default={}),
            pass_env=take("pass_env", self._pass_env),
            max_body=take("max_body", size, default=1024**2),
            max_output=take("max_output", size, default=1024**2),
            memory=take("memory", size),
            shield=take("shield", flag, default=False),
            line=self.key.line,
            retry=retry,
            dedupe=dedupe,
            terms=terms.read_terms(self.section, retry),
            on_failure=files.command(on_failure) if on_failure else (),
            warm=take("warm", flag, default=True),
            preload=take("preload", list_of(_module, "a list of modules' names"), default=()),
            missing=tuple(self.key.source.missing),
        )
        self.section.refuse_leftovers()
        return hook

    def _script(self) -> Path | None:
        return self.section.require("script", self._startable, "name a file of scripts/")

    def _auth(self) -> tuple[Scheme, ...]:
        found = self.section.find("auth")
        if found is None:
            self.key.complain(
                f"{self.key.title}: 'auth' is missing; say who may post, "
                "such as {github: $GITHUB_SECRET}, or auth: none for everybody"
            )
            return ()
        problems = len(found.source.problems)
        schemes = read_auth(found)
        if schemes is None and len(found.source.problems) == problems and not found.source.missing:
            found.complain("auth cannot be read")  # never be taken for none without a word
        self._refuse_named_path(schemes or ())
        return schemes or ()

    def _refuse_named_path(self, auth: tuple[Scheme, ...]) -> None:
        names = [scheme.name for scheme in auth if scheme.signs_address]
        if names and self.params:
            self.key.complain(
                f"{self.key.title}: {names[0]} signs path and fields as one text, so that a part "
                "of a field could pass for a name in the path; take a path without <names>"
            )

    def _refuse_unsigned_get(self, methods: tuple[str, ...], auth: tuple[Scheme, ...]) -> None:
        signing = [scheme.name for scheme in auth if scheme.signs_body]
        if "GET" in methods and signing:
            mend = "take GET out of methods" if len(methods) > 1 else "write methods: [POST]"
            self.key.complain(
                f"{self.key.title}: a GET's payload is its query, which {signing[0]} "
                f"does not sign; {mend}"
            )

    def _startable(self, value: Value) -> Path:
        name = text(value)
        try:
            path = self.folders.scripts.find(name)
        except files.NoFile as error:
            value.complain(str(error))
            return Path(name)
        for told in files.faults(path, f"scripts/{name}"):
            value.complain(told)
        return path

    def _schema(self, value: Value) -> Shape:
        if value.plain is None:
            raise Wrong("a file of schemas/, or a JSON Schema")
        folder = self.folders.schemas
        try:
            if isinstance(value.plain, str):
                return from_file(folder.find(value.plain), folder.path)
            return Schema(value.contents(), folder.path)
        except (files.NoFile, BadSchema) as error:
            value.complain(f"{value.title}: {error}")
        except ValueError:  # of `int`, which takes 4300 digits (sys.int_info)
            value.complain(f"{value.title}: {show(value.plain)} holds too large a number")
        return Schema(True, folder.path)

    def _when(self, value: Value) -> Shape:
        if not isinstance(value.plain, dict):
            raise Wrong("a JSON Schema over method, path, query, headers and payload")
        contents = value.contents()
        for name in _named(contents):
            if name not in JUDGED:
                told = f"{show(name)} is none of {', '.join(JUDGED)}{hint(name, JUDGED)}"
                value.complain(f"when: {told}")
        try:
            return Schema(_lower_headers(contents), self.folders.schemas.path)
        except BadSchema as error:
            value.complain(f"when: {error}")
            return Schema(True, self.folders.schemas.path)

    def _template(self, value: Value, setting: str) -> Template:
        found = any_text(value)
        if "\0" in found:
            value.complain(f"{value.title} holds the character NUL, which no script can be given")
        try:
            return template.read(found, value.source.variable, self.params)
        except template.NotInPath as error:
            # The line is that of the defaults; which of the hooks lacks the name, it cannot tell.
            whose = "" if setting in self.section.entries else f", for {self.key.title}"
            value.complain(f"{value.title}{whose}: {error}")
        except template.BadTemplate as error:
            value.complain(f"{value.title}: {error}")
        return template.Text(())

    def _argument(self, value: Value) -> Template:
        _refuse_unquoted(value, "")
        return self._template(value, "args")

    def _variable(self, value: Value) -> Template:
        _refuse_unquoted(value, f"{value.title}: ")
        return self._template(value, "env")

    def _env(self, value: Value) -> Mapping[str, Template]:
        found = {}
        for key, item in value.section().pairs():
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key.title):
                key.complain(
                    f"{show(key.title)} is no name of a variable; use letters, digits and _"
                )
            elif OWN_VARIABLES.fullmatch(key.title):
                key.complain(f"{key.title} is set by the runner; take another name")
            elif (read := item.read(self._variable)) is not None:
                if STEERING.fullmatch(key.title) and template.is_posted(read):
                    key.complain(
                        f"{key.title} says what the script runs, and its value would be what "
                        f"somebody posts; take another name, such as PAYLOAD_{key.title}"
                    )
                found[key.title] = read
        return found

    def _pass_env(self, value: Value) -> tuple[str, ...]:
        names = list_of(text, "a list of config vars such as [API_KEY]")(value)
        self.passed += [item for item in value.items() if item.plain in names]
        return names


class _DefaultsReader(_HookReader):
    """`defaults:` read by itself: a hook that may lack a script, auth and names in its path."""

    def __init__(self, key: Value, section: Section, folders: _Folders) -> None:
        super().__init__(key, section, folders)
        self.params = None

    def _script(self) -> None:
        self.section.find("script")
        if "script" in self.section.entries:
            key, _ = self.section.entries["script"]
            key.complain("script cannot be a default; each hook has its own")

    def _auth(self) -> tuple[Scheme, ...]:
        found = self.section.find("auth")
        return (read_auth(found) if found else None) or ()

    def _refuse_unsigned_get(self, methods: tuple[str, ...], auth: tuple[Scheme, ...]) -> None:
        """A hook may well override one of the two."""


def _patient(respond: Respond, auth: tuple[Scheme, ...]) -> Respond:
    """Never let a sender wait longer than it has patience: it would send again."""
    return replace(respond, wait=min([respond.wait, *(scheme.manners.wait for scheme in auth)]))


def _methods(value: Value) -> tuple[str, ...]:
    if value.plain == []:
        raise Wrong("a list such as [GET, POST]")
    if isinstance(value.plain, str) and value.plain.upper() in METHODS:
        raise Wrong("a list such as [GET, POST]", f"write [{value.plain.upper()}]")
    found = list_of(one_of(*METHODS), "a list such as [GET, POST]")(value)
    return tuple(dict.fromkeys(found))


def _refuse_unquoted(value: Value, name: str) -> None:
    """To YAML an unquoted {payload:/x} is a mapping of 'payload:/x' to nothing."""
    if isinstance(value.plain, dict) and len(value.plain) == 1:
        [(key, rest)] = value.plain.items()
        written = key if rest is None else f"{key}:{rest}"
        if written.partition(":")[0] in template.SOURCES:
            raise Wrong("text", f'quote it: {name}"{{{written}}}"')


def _named(contents: dict[str, Json]) -> Iterator[str]:
    """The properties that a schema speaks of."""
    for keyword, kind in (("properties", dict), ("required", list)):
        if isinstance(found := contents.get(keyword), kind):
            yield from (str(name) for name in found)


def _lower_headers(contents: Json) -> Json:
    """Header names of a `when` in lower case, as deliveries have them, wherever they stand.

    What a payload calls `headers` is left as it is.
    """
    if isinstance(contents, list):
        return [_lower_headers(part) for part in contents]
    if not isinstance(contents, dict):
        return contents
    lowered = {
        name: part if name == "properties" else _lower_headers(part)
        for name, part in contents.items()
    }
    properties = lowered.get("properties")
    if isinstance(properties, dict) and isinstance(headers := properties.get("headers"), dict):
        lowered["properties"] = {**properties, "headers": _lower_names(headers)}
    return lowered


def _lower_names(headers: dict[str, Json]) -> dict[str, Json]:
    lowered = dict(headers)
    if isinstance(named := headers.get("properties"), dict):
        lowered["properties"] = {name.lower(): part for name, part in named.items()}
    if isinstance(required := headers.get("required"), list):
        lowered["required"] = [str(name).lower() for name in required]
    return lowered
