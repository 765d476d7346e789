"""A hook of webhook's, made into an entry of hooks.yaml, its script, its schema and its secrets.

Whatever cannot be said is either a `note`, if the hook does no less and lets in no more
without it, or raises CannotSay. What was insecure there is a `doubt`, which somebody must
have a word for before anything is written.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from hookrunner import route
from hookrunner.config import METHODS, OWN_VARIABLES, STEERING
from hookrunner.drafting import DIALECT
from hookrunner.model import Json, Networks
from hookrunner.moving import rules, thin
from hookrunner.moving.conditions import CannotSay
from hookrunner.moving.foreign import MARK, Argument, Foreign, Malformed
from hookrunner.moving.rules import Parted, Way
from hookrunner.moving.vault import Vault
from hookrunner.respond import FRAMING, VISIBLE

TIMEOUT = "1h"
"""webhook waits for ever; ours for five minutes, if nothing is said."""

SOURCES = ("header", "url", "query", "payload", "request", "string", "entire-payload", *thin.WHOLE)
POSTED = frozenset(SOURCES) - {"string"}
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SHELLS = re.compile(
    r"(?:ba|da|z|k|a|c|tc|fi)?sh|python[0-9.]*|perl|ruby|node|php|lua|ssh|env|sudo|eval|xargs|su|awk"
)
"""Commands that take an argument of theirs for a program."""

LIKE_OF_ALL = "0.0.0.0/1", "::/1"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be written for a hook."""

    id: str
    name: str
    """What its files are called, but for their endings."""

    path: str
    settings: Mapping[str, Json]
    script: str = ""
    text: str = ""
    schema: str = ""
    contents: Json = None
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    """What was insecure there."""

    bearer_only: bool = False
    """True if it cannot be taken as it was: only a bearer token will do."""

    runs_posted: bool = False
    """True if no proof makes it secure: what is posted is run."""


@dataclass
class _Making:
    hook: Foreign
    vault: Vault
    notes: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)


def plan(
    hook: Foreign, root: Path, vault: Vault, taken: Collection[str], *, prefix: str, bearer: bool
) -> Plan:
    """What a hook becomes in the project at `root`. Raises CannotSay, Malformed.

    `taken` are names of files that other hooks have been given.
    """
    hook = replace(hook, id=vault.plain(hook.id), command=vault.plain(hook.command))
    hook = replace(_unwrapped(hook), directory=vault.plain(hook.directory))
    path = f"/{prefix}/{hook.id}" if prefix else f"/{hook.id}"
    if told := route.problem(path) or ("<" in path and "a name"):
        raise CannotSay(f"its path {path} is none here: {told}")
    if any(each.startswith("'pre-hook-command'") for each in hook.unknown):
        raise CannotSay("pre-hook-command: nothing is run here before a delivery is believed")
    making = _Making(hook, vault)
    parted = rules.part(hook.rule) if hook.rule is not None else Parted()
    bearer_only = any(way.kind == "payload" for way in parted.ways)
    parted = _with_bearer(parted) if bearer else parted
    _weigh(making, parted)
    methods = _methods(making, parted)
    settings: dict[str, Json] = {"script": ""}
    settings["auth"] = _auth(making, parted, bearer=bearer)
    settings["methods"] = methods
    name = _name(hook.id, taken)
    schema = _conditions(making, parted, methods, settings, f"{name}.json")
    settings["respond"] = _respond(making)
    settings["timeout"] = TIMEOUT
    script, text = _script(making, root, settings, name)
    _passed_over(making, parted, methods, settings)
    settings["script"] = script
    if MARK.search(f"{settings}{text}{schema}"):
        raise CannotSay("a config var where no text of hooks.yaml can name one")
    return Plan(
        id=hook.id,
        name=name,
        path=path,
        settings=settings,
        script=script if text else "",
        text=text,
        schema=f"{name}.json" if schema is not None else "",
        contents=schema,
        notes=tuple(dict.fromkeys(making.notes)),
        doubts=tuple(making.doubts),
        bearer_only=bearer_only and not bearer,
        runs_posted=bool(_injected(hook)),
    )


def _name(given: str, taken: Collection[str]) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", given.lower()).strip("_")[:60] or "hook"
    number = 1
    found = name
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found


def _unwrapped(hook: Foreign) -> Foreign:
    """The hook as if `payload`, a form's only field, had been read as JSON from the first: ours is.

    Raises CannotSay for what else is to be read as JSON and looked into.
    """
    if not hook.as_json:
        return hook
    named = [*hook.args, *hook.env, *hook.files, *_parameters(hook.rule or {})]
    wrapped = any(a.source == "payload" and a.name == "payload" for a in hook.as_json)
    for each in hook.as_json:
        into = [a for a in named if a.source == each.source and a.name.startswith(each.name + ".")]
        if into and not (wrapped and each.name == "payload" and each.source == "payload"):
            raise CannotSay(
                f"parse-parameters-as-json of {each.source} {each.name}: only a form whose one "
                "field is called payload is read so here"
            )
    if not wrapped:
        return hook
    if any(a.source == "payload" and not (a.name + ".").startswith("payload.") for a in named):
        raise CannotSay("a form with other fields beside `payload`, which is read as JSON")
    args, env, files = (
        tuple(_inner(each) for each in every) for every in (hook.args, hook.env, hook.files)
    )
    rule = _inner_rule(hook.rule) if hook.rule else hook.rule
    return replace(hook, args=args, env=env, files=files, rule=rule)


def _inner(argument: Argument) -> Argument:
    if argument.source != "payload":
        return argument
    if argument.name == "payload":
        envname = argument.envname or "HOOK_payload"
        return replace(argument, source="entire-payload", name="", envname=envname)
    envname = argument.envname or f"HOOK_{argument.name}"
    return replace(argument, name=argument.name.removeprefix("payload."), envname=envname)


def _inner_rule(rule: Json) -> Json:
    if isinstance(rule, list):
        return [_inner_rule(each) for each in rule]
    if not isinstance(rule, dict):
        return rule
    if rule.get("source") == "payload":
        name = str(rule.get("name"))
        if not name.startswith("payload."):
            raise CannotSay("a rule on the whole of what is read as JSON")
        return {**rule, "name": name.removeprefix("payload.")}
    return {key: _inner_rule(inner) for key, inner in rule.items()}


def _parameters(rule: Json) -> Iterator[Argument]:
    """Every value that a rule looks at."""
    if isinstance(rule, list):
        for each in rule:
            yield from _parameters(each)
    elif isinstance(rule, dict):
        if "source" in rule:
            yield Argument(str(rule.get("source")), str(rule.get("name")))
        for inner in rule.values():
            yield from _parameters(inner)


def _weigh(making: _Making, parted: Parted) -> None:
    """What was insecure there."""
    hook, doubts = making.hook, making.doubts
    kinds = {way.kind for way in parted.ways}
    if hook.rule is None and not parted.ways:
        doubts.append("it has no trigger-rule: whoever knows its address starts its command")
    elif not parted.ways:
        doubts.append("its rule asks for nothing that only its sender knows")
    elif any(not way.kind and way.networks and _is_all(way.networks) for way in parted.ways):
        doubts.append("its ip-range is that of everybody")
    if "payload" in kinds:
        names = ", ".join(way.header for way in parted.ways if way.kind == "payload")
        doubts.append(
            f"its secret is compared in the payload ({names}), where nothing signs it and "
            "whatever keeps payloads keeps it, too; hooks.yaml has no words for that"
        )
    if any(way.algorithm == "sha1" for way in parted.ways):
        doubts.append(
            "its signature is made with SHA-1; if its sender makes one with SHA-256, too (GitHub "
            "does, in X-Hub-Signature-256), write that into its rule and import again: few "
            "senders that sign can show a token"
        )
    if hook.soft and parted.chosen and "bearer" not in kinds:
        doubts.append(
            "trigger-signature-soft-failures: one whose signature is wrong may try the next way in"
        )
    if injected := _injected(hook):
        doubts.append(
            f"{hook.command} takes for its program what somebody posts ({injected}): whoever "
            "may post may run anything"
        )


def _is_all(networks: Networks) -> bool:
    return any(str(network) in LIKE_OF_ALL for network in networks)


def _injected(hook: Foreign) -> str:
    """The posted value that the command takes for a program, or for a part of its command line."""
    if not SHELLS.fullmatch(PurePosixPath(hook.command).name):
        return ""
    for each in hook.args:
        if each.source in POSTED:
            return f"{each.source} {each.name}".strip()
        if not each.name.startswith("-") and PurePosixPath(hook.command).name not in (
            "ssh",
            "env",
            "sudo",
            "eval",
            "xargs",
            "su",
        ):
            return ""  # a program of its own, and what comes behind it are its arguments
    return ""


def _with_bearer(parted: Parted) -> Parted:
    """The same conditions behind a bearer token."""
    networks = {way.networks for way in parted.ways}
    if len(networks) > 1:
        raise CannotSay("a bearer token in place of ways in from several networks")
    return replace(parted, ways=(Way("bearer", networks=next(iter(networks), None)),))


def _methods(making: _Making, parted: Parted) -> list[str]:
    """The methods to take: webhook takes every one if none is named."""
    named = making.hook.methods
    if strange := [each for each in named if each not in METHODS]:
        making.notes.append(f"{', '.join(strange)} is no method that a hook here takes")
    found = [each for each in METHODS if each in named or not named]
    if "GET" in found and any(way.kind == "hmac" for way in parted.ways):
        found.remove("GET")
        making.notes.append(
            "GET is not taken: its payload here is its query, which the signature does not cover"
        )
    if not found:
        raise CannotSay(
            f"it takes {', '.join(named)} and nothing else, and no hook here takes that"
        )
    return found


def _auth(making: _Making, parted: Parted, *, bearer: bool) -> Json:
    if not parted.ways:
        return "none"
    made = [scheme for way in parted.ways for scheme in _schemes(making, way, made_up=bearer)]
    kept = [each for number, each in enumerate(made) if each not in made[:number]]
    return kept[0] if len(kept) == 1 else kept


def _schemes(making: _Making, way: Way, *, made_up: bool) -> Iterator[dict[str, Json]]:
    hook, vault = making.hook, making.vault
    limits: dict[str, Json] = {"ip": [str(n) for n in way.networks]} if way.networks else {}
    if not way.kind:
        yield limits
        return
    if way.kind == "payload":  # nothing is written before a word has put another in its place
        yield {"bearer": f"${hook.id}"}
        return
    base = f"{hook.id}_{'SECRET' if way.kind == 'hmac' else 'TOKEN'}"
    name = vault.made_up(base) if made_up else vault.name(base, way.secret)
    if name not in vault.known and name not in vault.new:
        making.notes.append(f"{name} is not set, here at least; until it is, the hook is off")
    if way.kind == "bearer":
        yield {"bearer": {"value": f"${name}", **limits} if limits else f"${name}"}
    elif way.kind == "token":
        where = {"header": way.header} if way.header else {"query": way.query}
        yield {"token": {**where, "value": f"${name}", **limits}}
        if way.query:
            making.notes.append(f"its token is in the query ({way.query}), which logs are full of")
    else:
        # webhook takes it with and without its prefix, and several of them with it.
        plain = {"header": way.header, "secret": f"${name}"}
        kind = {} if way.algorithm == "sha256" else {"algorithm": way.algorithm}
        prefixed = {"prefix": f"{way.algorithm}=", "separator": ","}
        yield {"hmac": {**plain, **prefixed, **kind, **limits}}
        yield {"hmac": {**plain, **kind, **limits}}


def _conditions(
    making: _Making, parted: Parted, methods: Sequence[str], settings: dict[str, Json], file: str
) -> Json:
    """Put the conditions into `when`, or into a schema, which is given back."""
    if not parted.conditions:
        return None
    _refuse_unseen(parted)
    alone = making.hook.rule == parted.conditions[0]
    # Without GET, webhook's payload and ours are the same; with it, `when` must see to that.
    judged = rules.judge(parted.conditions, alone=alone, gets="GET" in methods)
    if judged is True:
        return None
    if judged is False:
        raise CannotSay("its rule is never satisfied")
    sources = {each.source for each in _parameters(list(parted.conditions))}
    if making.hook.mismatch >= 400 and sources == {"payload"} and "GET" not in methods:
        settings["schema"] = file
        return {"$schema": DIALECT, **_of_payload(judged)}
    settings["when"] = judged
    return None


def _of_payload(schema: Json) -> Json:
    """A schema over the delivery, of which it looks at the payload alone, as one over that."""
    if isinstance(schema, list):
        return [_of_payload(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if list(schema) == ["properties"] and list(schema["properties"]) == ["payload"]:
        inner = schema["properties"]["payload"]
        return inner if isinstance(inner, dict) else {"allOf": [inner]}
    return {key: _of_payload(inner) for key, inner in schema.items()}


def _refuse_unseen(parted: Parted) -> None:
    """A `when` sees no proof: it would find nothing there, and a `not` be content with that."""
    headers = {way.header.lower() for way in parted.ways if way.kind in ("hmac", "token")}
    headers |= {"authorization"} if any(w.kind == "bearer" for w in parted.ways) else set()
    fields = {way.query for way in parted.ways if way.query}
    for each in _parameters(list(parted.conditions)):
        hidden = headers if each.source == "header" else fields
        name = each.name.lower() if each.source == "header" else each.name
        if each.source in ("header", "url", "query") and name in hidden:
            raise CannotSay(f"a condition on the {each.source} {each.name}, which is a proof")
        if each.source == "header" and "_" in each.name:
            raise CannotSay(f"a condition on the header {each.name}: servers drop one with '_'")


def _respond(making: _Making) -> Json:
    hook, notes = making.hook, making.notes
    wanted = 200 if hook.output else 202
    if hook.success not in (0, wanted):
        notes.append(f"success is answered {wanted}, not {hook.success}")
    if not hook.output:
        if hook.message:
            notes.append("its response-message is not sent: the answer is JSON about the run")
        if hook.headers:
            notes.append("its response-headers are not sent with an answer that waits for nothing")
        return "accepted"
    respond: dict[str, Json] = {"mode": "output"}
    headers = {}
    for name, value in ((making.vault.plain(n), making.vault.plain(v)) for n, v in hook.headers):
        kind = name.lower()
        fits = rules.HEADER.fullmatch(name) and VISIBLE.fullmatch(value)
        if not fits or (kind in FRAMING and kind != "content-type"):
            notes.append(f"the response-header {name!r} cannot be set here")
        elif kind == "content-type":
            respond["type"] = value
        else:
            headers[name] = value
    respond |= {"headers": headers} if headers else {}
    respond |= {"exit_status": {"1": 500}} if hook.output_on_error else {}
    return respond if len(respond) > 1 else "output"


def _script(making: _Making, root: Path, settings: dict[str, Json], name: str) -> tuple[str, str]:
    """The script's name and text; no text for one that is in scripts/ already."""
    hook = making.hook
    for each in (*hook.args, *hook.env, *hook.files):
        if each.source not in SOURCES:
            raise CannotSay(f"what is passed on comes from the source {each.source!r}")
    env = dict(_named(each, each.envname or f"HOOK_{each.name}") for each in hook.env)
    files = dict(_named(e, e.envname or f"HOOK_{e.name.upper()}") for e in hook.files)
    own = _in_scripts(root, hook)
    errand = _errand(making, _command(making, root, own), env)
    if thin.needs_python([*hook.args, *hook.env], hook.files):
        # Not by its bare name, which may be that of a module that other scripts import.
        return f"{name}_hook.py", thin.python(_with_values(making, errand, env, files))
    _pass_on(making, errand, env, settings)
    requests = any(each.source == "request" for each in hook.args)
    if own and not (errand.env or requests or hook.output or hook.directory):
        return own, ""
    return f"{name}.sh", thin.bash(errand)


def _errand(making: _Making, command: str, env: Mapping[str, Argument]) -> thin.Errand:
    """What a script has to see to itself, where hooks.yaml cannot say it."""
    hook = making.hook
    own = {
        name: argument
        for name, argument in env.items()
        if not IDENTIFIER.fullmatch(name) or OWN_VARIABLES.fullmatch(name)
    }
    own |= {name: argument for name, argument in env.items() if argument.source == "request"}
    return thin.Errand(
        id=hook.id,
        command=command,
        directory=hook.directory,
        args=hook.args,
        env=tuple(own.items()),
        files=(),
        given={n: f"PASSED_{i}_{re.sub(r'[^A-Za-z0-9_]', '_', n)}" for i, n in enumerate(own, 1)},
        both=hook.output,
        fails_as_one=hook.output and hook.output_on_error,
    )


def _with_values(
    making: _Making,
    errand: thin.Errand,
    env: Mapping[str, Argument],
    files: Mapping[str, Argument],
) -> thin.Errand:
    """The same for a script that finds all values itself."""
    return replace(
        errand,
        args=_plain(making, making.hook.args),
        env=tuple(zip(env, _plain(making, tuple(env.values())), strict=True)),
        files=tuple(zip(files, _plain(making, tuple(files.values())), strict=True)),
    )


def _pass_on(
    making: _Making, errand: thin.Errand, env: Mapping[str, Argument], settings: dict[str, Json]
) -> None:
    """Have hooks.yaml pass on what it can."""
    passed = [each for each in making.hook.args if each.source != "request"]
    if passed:
        settings["args"] = [_template(making, each) for each in passed]
    given = {
        errand.given.get(name, name): _template(making, argument)
        for name, argument in env.items()
        if argument.source != "request"
    }
    if given:
        settings["env"] = given


def _named(argument: Argument, name: str) -> tuple[str, Argument]:
    if not name or re.search(r"[=\0/\n]", name):
        raise CannotSay(f"a variable cannot be called {name!r}")
    if STEERING.fullmatch(name) and argument.source in POSTED:
        raise CannotSay(
            f"{name} may say what the command runs, and would be set to what somebody posts; take "
            f"another envname, such as PAYLOAD_{name}, there and in the command"
        )
    return name, argument


def _plain(making: _Making, arguments: Sequence[Argument]) -> tuple[Argument, ...]:
    """Arguments with the values of config vars in their texts, for a script."""
    return tuple(
        replace(each, name=making.vault.plain(each.name)) if each.source == "string" else each
        for each in arguments
    )


def _in_scripts(root: Path, hook: Foreign) -> str:
    """The command's name below scripts/, if it is there."""
    scripts = (root / "scripts").resolve()
    for base in (root, Path(hook.directory or root)):
        found = (base / hook.command).resolve()
        if found.is_file() and found.is_relative_to(scripts):
            return found.relative_to(scripts).as_posix()
    return ""


def _command(making: _Making, root: Path, own: str) -> str:
    """The command as a script in the command's folder can start it."""
    hook = making.hook
    if own and not hook.directory:
        return f"scripts/{own}"
    if own and not Path(hook.command).is_absolute():
        return str((root / "scripts" / own).resolve())
    beside = Path(hook.directory) / hook.command
    if "/" not in hook.command and hook.directory and beside.is_file():
        return f"./{hook.command}"
    if "/" in hook.command:
        here = Path(hook.directory or root, hook.command).is_file()
    else:
        here = shutil.which(hook.command) is not None
    if not here:
        making.notes.append(f"{hook.command} is not on this machine")
    return hook.command


def _template(making: _Making, argument: Argument) -> str:
    """A value of the request as a template of ours. Raises CannotSay."""
    source, name = argument.source, argument.name
    if source == "string":
        return _literal(making, name)
    if source == "entire-payload":
        return "{payload:}"
    if re.search(r"[{}]", name) or not name:
        raise CannotSay(f"the {source} {name!r}, which no template here can name")
    if source == "header":
        return f"{{header:{name}}}"
    if source in ("url", "query"):
        return f"{{query:{name}}}"
    parts = name.split(".")
    if parts[0] == "root" and len(parts) > 1 and parts[1].isdigit():
        parts = parts[1:]  # what webhook calls a payload that is a list
    return "{payload:" + "".join(f"/{p.replace('~', '~0').replace('/', '~1')}" for p in parts) + "}"


def _literal(making: _Making, text: str) -> str:
    pieces, end = [], 0
    for found in MARK.finditer(text):
        glued = re.match(r"[A-Za-z0-9_]", text[found.end() :])
        named = _escaped(making.vault.plain(found[0])) if glued else f"${found[1]}"
        pieces += [_escaped(text[end : found.start()]), named]
        end = found.end()
    return "".join([*pieces, _escaped(text[end:])])


def _escaped(text: str) -> str:
    return text.replace("$", "$$").replace("{", "{{").replace("}", "}}")


def _passed_over(
    making: _Making, parted: Parted, methods: Sequence[str], settings: Mapping[str, Json]
) -> None:
    """Notes of what else is not as it was."""
    hook, notes = making.hook, making.notes
    if hook.mismatch:
        says = "401" if parted.ways else ""
        other = "422" if "schema" in settings else "200 and `ignored`"
        says = " or ".join(filter(None, [says, other if parted.conditions else ""]))
        if says:
            notes.append(f"what does not fit its rule is answered {says}, not {hook.mismatch}")
    kind = hook.content_type
    if kind and not re.search(r"json|x-www-form-urlencoded|multipart/form-data", kind):
        raise CannotSay(f"its payload is read as {kind}; here as JSON or a form")
    if kind:
        notes.append(f"a delivery must itself say that it is {kind}, or it is answered 415")
    if hook.soft and not parted.chosen:
        notes.append("trigger-signature-soft-failures means nothing without an `or` of signatures")
    if parted.chosen and not hook.soft:
        notes.append("of several proofs any one suffices; webhook gave up at the first wrong one")
    if hook.keeps_files:
        notes.append("keep-file-environment: a file goes with its attempt")
    passed = [*hook.args, *hook.env, *hook.files]
    if "GET" in methods and any(each.source == "payload" for each in passed):
        notes.append("a GET has its query for a payload here; webhook passed nothing of it on")
    _passed_on_otherwise(making, parted)
    notes.extend(
        f"webhook does not know {each}, and neither is it taken over" for each in hook.unknown
    )


def _passed_on_otherwise(making: _Making, parted: Parted) -> None:
    """Notes of what the command gets in another way."""
    hook, notes = making.hook, making.notes
    hidden = {way.header.lower() for way in parted.ways if way.kind in ("hmac", "token")}
    hidden |= {"authorization", *rules.HIDDEN}
    fields = {way.query for way in parted.ways if way.query}
    for each in (*hook.args, *hook.env, *hook.files):
        if each.source == "header" and ("_" in each.name or each.name.lower() in hidden):
            notes.append(f"the header {each.name} is kept from the command, or dropped")
        if each.source in ("url", "query") and each.name in fields:
            notes.append(f"the query's {each.name} is a proof, and kept from the command")
        if each.source == "entire-headers":
            notes.append("entire-headers is without credentials")
        if each.source == "raw-request-body":
            notes.append(
                "raw-request-body is the body if it is JSON; of a form, its fields as JSON"
            )
        if each.source == "request" and each.name.lower() == "remote-addr":
            notes.append("remote-addr is without a port")


__all__ = ["CannotSay", "Malformed", "Plan", "plan"]
