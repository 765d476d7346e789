"""Take over the hooks of adnanh/webhook: their entries, thin scripts, schemas, secrets in .env.

Nothing is written while a hook that was insecure there has no word of yours, nothing that is
there is overwritten, and it is all files or none."""

from __future__ import annotations

import argparse
import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from hookrunner import envfile, writing
from hookrunner.config import load, switched_off
from hookrunner.model import Trouble
from hookrunner.moving import foreign, vault, written
from hookrunner.moving.entries import CannotSay, Malformed, Plan, plan
from hookrunner.moving.foreign import Foreign
from hookrunner.moving.vault import Vault
from hookrunner.sections import Section, Source, compose, hint
from hookrunner.verbs import terminal
from hookrunner.verbs.context import Context, brief, context

EXAMPLES = """
  python runner.py import /etc/webhook.conf              what is to be decided, or it is done
  python runner.py import hooks.json --bearer deploy     deploy with a bearer token, made up
  python runner.py import hooks.json --accept-insecure ping --skip old
"""


@dataclass
class _Words:
    """What somebody has said of hooks, by their ids."""

    accepted: Sequence[str]
    bearer: Sequence[str]
    skipped: Sequence[str]


@dataclass
class _Taken:
    """What is to become of each hook."""

    plans: list[Plan] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """Hooks that cannot be said, and why."""

    undecided: list[Plan] = field(default_factory=list)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="webhook's hooks.json or hooks.yaml")
    parser.add_argument(
        "--accept-insecure",
        action="append",
        default=[],
        metavar="ID",
        help="take this hook as insecure as it was",
    )
    parser.add_argument(
        "--bearer",
        action="append",
        default=[],
        metavar="ID",
        help="have its sender show a bearer token in place of its proof",
    )
    parser.add_argument("--skip", action="append", default=[], metavar="ID", help="leave it out")
    parser.add_argument(
        "--prefix", default="hooks", help="what addresses begin with; default hooks, as webhook's"
    )


def run(arguments: argparse.Namespace, given: Mapping[str, str]) -> int:
    project = context(arguments, given)
    hooks = foreign.read(Path(arguments.file))
    words = _Words(arguments.accept_insecure, arguments.bearer, arguments.skip)
    _check_words(words, hooks)
    kept = Vault(project.environ)
    taken = _take(hooks, words, project, kept, arguments.prefix.strip("/"))
    if taken.undecided:
        terminal.show(_asked(taken, arguments))
        return 1
    if not taken.plans and not taken.left_out:
        terminal.show(["There is nothing to take over: each hook was skipped."])
        return 0
    if taken.plans:
        _write(taken.plans, kept, project)
    terminal.show(_told(taken, kept, project))
    return 1 if taken.left_out else 0


def _check_words(words: _Words, hooks: Sequence[Foreign]) -> None:
    """Raises Trouble for an id that is none: a word must not be lost."""
    ids = [hook.id for hook in hooks]
    for each in (*words.accepted, *words.bearer, *words.skipped):
        if each not in ids:
            raise Trouble(f"no hook of the file is called {brief(each)}{hint(each, ids)}")


def _take(
    hooks: Sequence[Foreign], words: _Words, project: Context, kept: Vault, prefix: str
) -> _Taken:
    taken = _Taken()
    for hook in hooks:
        if hook.id in words.skipped:
            continue
        before = dict(kept.new)
        try:
            bearer = hook.id in words.bearer
            names = [each.name for each in (*taken.plans, *taken.undecided)]
            made = plan(hook, project.root, kept, names, prefix=prefix, bearer=bearer)
        except (CannotSay, Malformed) as error:
            kept.new = before
            taken.left_out[hook.id] = str(error)
            continue
        accepted = hook.id in words.accepted and not made.bearer_only
        settled = accepted or (bearer and not made.runs_posted) or not made.doubts
        (taken.plans if settled else taken.undecided).append(made)
    return taken


def _asked(taken: _Taken, arguments: argparse.Namespace) -> Iterator[str]:
    """What is to be decided, and the command that decides it."""
    yield "Nothing was written: these hooks were insecure there, and need a word of yours."
    for each in taken.undecided:
        yield ""
        yield f"{each.id}:"
        for doubt in each.doubts:
            yield from _item(doubt)
        if each.bearer_only:
            yield from _item(f"as it was it cannot be taken over; --bearer {each.id} or --skip")
    yield ""
    yield from _of_left_out(taken)
    yield "Say of each: --bearer ID (its sender shows a token that is made up now, and put into"
    yield ".env), --accept-insecure ID (as it was), or --skip ID. The safest of each:"
    yield ""
    words = [f"{_safest(each)} {shlex.quote(each.id)}" for each in taken.undecided]
    for flag, ids in (
        ("--bearer", arguments.bearer),
        ("--accept-insecure", arguments.accept_insecure),
        ("--skip", arguments.skip),
    ):
        words += [f"{flag} {shlex.quote(each)}" for each in ids]
    yield f"  python runner.py import {shlex.quote(arguments.file)} {' '.join(words)}"


def _safest(made: Plan) -> str:
    return "--skip" if made.runs_posted else "--bearer"


def _of_left_out(taken: _Taken) -> Iterator[str]:
    if taken.left_out:
        yield "Cannot be said in hooks.yaml, and left out (--skip ID says that you know):"
        for name, why in taken.left_out.items():
            yield from _item(f"{name}: {why}")
        yield ""


def _item(text: str) -> list[str]:
    return textwrap.wrap(
        text, 100, initial_indent="  - ", subsequent_indent="    ", break_on_hyphens=False
    )


def _write(plans: Sequence[Plan], kept: Vault, project: Context) -> None:
    """Write all of it, or nothing. Raises Trouble, BadConfig."""
    before = _bytes(project.config)
    secrets_before = _bytes(project.root / ".env")
    there = _paths(before, project)
    for each in plans:
        if each.path in there:
            raise Trouble(f"{each.path} is in {project.config.name} already; --skip {each.id}")
    entries = "\n".join(written.entry(each.path, each.settings) for each in plans)
    after = _joined(before, b"\n" if before else b"", entries.encode())
    if _paths(after, project) != [*there, *(each.path for each in plans)]:
        raise Trouble(
            f"{project.config.name} is in flow style ({{…}}), indented, or ended with '...', and "
            "import can only append to block style; nothing was written"
        )
    try:
        with writing.undone_on_failure() as made:
            for file, data in _files(plans, project):
                writing.create(file, data, made, runs=file.suffix == ".sh")
            _keep(project.root / ".env", secrets_before, kept, made)
            try:
                load(project.config, project.given, after)
                writing.replace(project.config, after)
            except BaseException:
                if secrets_before and kept.new:
                    writing.replace(project.root / ".env", secrets_before)
                raise
    except FileExistsError as error:
        raise Trouble(f"{_inner(error, project)} is there already; move it away") from None
    except OSError as error:
        raise Trouble(f"{_inner(error, project)} cannot be written: {error.strerror}") from None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise Trouble(f"{path} cannot be read: {error.strerror}") from None


def _joined(before: bytes, gap: bytes, more: bytes) -> bytes:
    return before + (b"" if not before or before.endswith(b"\n") else b"\n") + gap + more


def _paths(data: bytes, project: Context) -> list[str]:
    """The keys of a hooks.yaml; none if it cannot be read, which `load` then tells of."""
    source = Source(project.config.name, {})
    top = compose(data, source) if data.strip() else None
    if top is None or not isinstance(top.plain, dict):
        return []
    return [key.title for key, _ in Section(top).pairs()]


def _files(plans: Sequence[Plan], project: Context) -> Iterator[tuple[Path, bytes]]:
    for each in plans:
        if each.text:
            yield project.root / "scripts" / each.script, each.text.encode()
        if each.schema:
            yield project.root / "schemas" / each.schema, written.schema(each.contents)


def _keep(path: Path, before: bytes, kept: Vault, made: list[Path]) -> None:
    """Put new secrets into .env, which nobody else need read if it is new."""
    if not kept.new:
        return
    more = vault.lines(kept.new).encode()
    if path.exists() or path.is_symlink():
        writing.replace(path, _joined(before, b"", more))
    else:
        writing.create(path, b"", made)
        path.chmod(0o600)
        path.write_bytes(more)
    told: list[str] = []
    read = envfile.read(path, told)
    if told or any(read.get(name) != value for name, value in kept.new.items()):
        raise Trouble(".env does not hold what was put there; nothing was written")


def _inner(error: OSError, project: Context) -> Path:
    where = Path(error.filename or project.config).absolute()
    with suppress(ValueError):
        return where.relative_to(project.root)
    return where


def _told(taken: _Taken, kept: Vault, project: Context) -> Iterator[str]:
    config = project.load() if taken.plans else None
    for each in taken.plans:
        hook = config.hooks[each.path] if config else None
        names = dict.fromkeys(scheme.name for scheme in hook.auth) if hook else {}
        script = each.settings["script"]
        yield f"{each.path} was added; auth: {', '.join(names) or 'none'}, script: {script}"
        for told in (*(f"INSECURE: {doubt}" for doubt in each.doubts), *each.notes):
            yield from _item(told)
    if kept.new and taken.plans:
        yield ""
        yield f".env has {', '.join(kept.new)}; a dyno gets them by heroku config:set"
    for line in switched_off(config, on_dyno=False) if config else ():
        if line.startswith(tuple(f"{each.path} is" for each in taken.plans)):
            yield line
    yield ""
    yield from _of_left_out(taken)
    if not taken.plans:
        yield "Nothing was written."
        return
    yield "What is different here for all hooks: docs/import.md. Look at it: python runner.py check"
