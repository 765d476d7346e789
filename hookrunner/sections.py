"""YAML read strictly, with the line of everything: what `config` is made from.

Only plain kinds: text, whole and decimal numbers, true/false, nothing, lists, mappings.
YAML 1.1's surprises (`on` is true, `012` is ten, `22:22` is 1342, a date is an object,
the second of two equal keys wins, an alias bomb) are text or a complaint. Complaints
are collected, never raised, so that all of them can be mended in one go. They are short,
on one line, and quote nothing that may be a secret.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TypeVar, overload

import yaml

from hookrunner import units
from hookrunner.model import Json

T = TypeVar("T")

# libyaml where PyYAML was built with it: ten times faster, and start-up counts.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

LARGEST = 1024 * 1024
DEEPEST = 50

LONGEST_COMPLAINT = 500
"""Longer than any that quotes nothing long; the log and a terminal can show it."""

MOST_HINTS = 1000
"""Searching for what was meant takes time, and with so many complaints nobody reads them."""

YEAR = 365 * 86400.0
HOUR = 3600.0

NULL = re.compile(r"~|null|Null|NULL|")
TRUE = re.compile(r"true|True|TRUE")
FALSE = re.compile(r"false|False|FALSE")
WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
LARGE = re.compile(r"[-+]?[1-9][0-9]{18,}")
DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+]?[0-9]{1,3})?")

UNSPACED = re.compile(r"\s*([a-z_]{2,20}):(?!//)[^\s:]")
PATH_ALONE = re.compile(r"(/[A-Za-z0-9._/<>-]{0,100})\s*(?:#.*)?$")
MOST_LINES_BACK = 3

NO_VALUES = ("", "…", "...")
"""What is no value: nothing, and what a command of ours was pasted with as it stood."""

VARIABLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
BRACED = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass
class Source:
    """A file being read: its name, what is wrong with it, and the config vars it names."""

    file: str
    environ: Mapping[str, str]
    problems: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    secret_names: set[str] = field(default_factory=set)
    shown_by: dict[str, str] = field(default_factory=dict)
    """Secrets that nobody can make up: the config var, and the scheme whose sender shows it."""

    unusable: dict[str, str] = field(default_factory=dict)
    """Config vars that are set to what cannot be used, and what is wrong with them."""

    told: set[str] = field(default_factory=set)

    def complain(self, line: int, what: str) -> None:
        """Note a problem; the same one twice (a default, read for each hook) is one."""
        told = f"{self.file}:{line}: {_one_line(what)}"
        if told not in self.told:
            self.told.add(told)
            self.problems.append(told)

    def hint(self, name: str, known: Collection[str]) -> str:
        """What may have been meant, to end a complaint with."""
        return "" if len(self.problems) > MOST_HINTS else hint(name, known)

    def variable(self, name: str) -> str:
        """A config var's value; the hook that needs an unset or empty one is switched off."""
        value = self.environ.get(name, "")
        if value.strip() in NO_VALUES:
            value = ""
        if not value and name not in self.missing:
            self.missing.append(name)
        return value

    def spoil(self, words: Collection[str], told: str) -> None:
        """Switch the hook off whose secrets, of these words, cannot be used, and say why."""
        for name in sorted(self.secret_names):
            if self.environ.get(name) in words and name not in self.missing:
                self.missing.append(name)
                self.unusable[name] = told


class Wrong(Exception):
    """A value is not of the kind it should be; str() is the kind, `mend` what to write."""

    def __init__(self, kind: str, mend: str = "") -> None:
        super().__init__(kind)
        self.mend = mend


class Value:
    """A YAML node: a value that knows its line and its name in the file."""

    def __init__(self, node: yaml.Node, source: Source, title: str) -> None:
        self.node = node
        self.source = source
        self.title = title

    @property
    def line(self) -> int:
        return int(self.node.start_mark.line) + 1

    @property
    def plain(self) -> Json:
        """The value as Python has it."""
        return _plain(self.node)

    def complain(self, what: str) -> None:
        self.source.complain(self.line, what)

    def contents(self) -> Json:
        """The value as JSON would have it, and a complaint of all that JSON could not say."""
        if isinstance(self.node, yaml.MappingNode):
            for _, value in Section(self).pairs():
                value.contents()
        elif isinstance(self.node, yaml.SequenceNode):
            for item in self.items():
                item.contents()
        elif _is_bare(self.node) and _too_large(self.node.value):
            self.complain(f"{show(self.node.value)} is too large a number; quote it if it is text")
        return self.plain

    def read(self, reader: Callable[[Value], T]) -> T | None:
        """What the reader makes of it; None, and a complaint, if it is of another kind."""
        try:
            return reader(self)
        except Wrong as wrong:
            mend = f"; {wrong.mend}" if wrong.mend else ""
            self.complain(f"{self.title} must be {wrong}, not {show(self.plain)}{mend}")
            return None

    def items(self) -> list[Value]:
        """The parts of a list."""
        assert isinstance(self.node, yaml.SequenceNode)
        return [Value(node, self.source, self.title) for node in self.node.value]

    def section(self) -> Section:
        """The mapping that it must be; an empty one, and a complaint, if it is not."""
        return Section(self if self.is_mapping() else self.as_empty())

    def is_mapping(self, mend: str = "") -> bool:
        """True, or False and a complaint; `mend` is what to write."""
        if isinstance(self.node, yaml.MappingNode):
            return True
        more = f"; {mend}" if mend else ""
        self.complain(f"{self.title} must be a mapping, not {show(self.plain)}{more}")
        return False

    def as_empty(self) -> Value:
        """An empty mapping in its place."""
        node = yaml.MappingNode("", [], self.node.start_mark, self.node.end_mark)
        return Value(node, self.source, self.title)


class Section:
    """A mapping that hands out checked values and notes what was wrong.

    Asking for a setting makes it known; what was never asked for is refused at the end.
    """

    def __init__(
        self, value: Value, fallback: Section | None = None, key: Value | None = None
    ) -> None:
        """What is missing is complained of at `key`; what is absent is sought in `fallback`."""
        self.value = value
        self.fallback = fallback
        self.key = key or value
        self.known: list[str] = []
        self.entries = self._entries()

    def _entries(self) -> dict[str, tuple[Value, Value]]:
        found: dict[str, tuple[Value, Value]] = {}
        for key, node in self.value.node.value:
            source = self.value.source
            if not isinstance(key, yaml.ScalarNode):
                source.complain(key.start_mark.line + 1, "a key must be text")
                continue
            if key.value in found:
                first = found[key.value][0].line
                source.complain(
                    key.start_mark.line + 1,
                    f"{show(key.value)} stands here a second time; the first is on line {first}",
                )
                continue
            found[key.value] = (Value(key, source, key.value), Value(node, source, key.value))
        return found

    @overload
    def take(self, name: str, reader: Callable[[Value], T]) -> T | None: ...
    @overload
    def take(self, name: str, reader: Callable[[Value], T], default: T) -> T: ...
    def take(self, name: str, reader: Callable[[Value], T], default: T | None = None) -> T | None:
        """The setting as `reader` has it, or `default` if it is absent or wrong."""
        found = self.find(name)
        if found is None:
            return default
        value = found.read(reader)
        return default if value is None else value

    def require(self, name: str, reader: Callable[[Value], T], mend: str = "") -> T | None:
        """The same for a setting that must be there; None, and a complaint, if it is not."""
        found = self.find(name)
        if found is None:
            hint = f"; {mend}" if mend else ""
            self.key.complain(f"{self.key.title}: {name!r} is missing{hint}")
            return None
        return found.read(reader)

    def find(self, name: str) -> Value | None:
        """The setting's value, here or in the defaults."""
        self.known.append(name)
        if name in self.entries:
            return self.entries[name][1]
        if self.fallback and name in self.fallback.entries:
            return self.fallback.entries[name][1]
        return None

    def pairs(self) -> Iterator[tuple[Value, Value]]:
        """Every key and its value, in the order of the file."""
        return iter(self.entries.values())

    def refuse_leftovers(self) -> None:
        """Complain of every setting that nobody asked for."""
        for name, (key, _) in self.entries.items():
            if name not in self.known:
                meant = key.source.hint(name, self.known)
                key.complain(f"unknown setting {show(name)}{meant}")


def compose(data: bytes, source: Source) -> Value | None:
    """The file's one document; None, and a complaint, if there is none to be had."""
    text = _decode(data, source)
    if text is None:
        return None
    try:
        if not _plain_only(text, source):
            return None
        node = yaml.compose(text, LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line if mark else 0
        where, told = _slip(text.splitlines(), line) or (line, _told(error, text))
        source.complain(where + 1, told)
        return None
    if node is None:
        source.complain(1, "the file is empty; a hook is a key that begins with '/'")
        return None
    return Value(node, source, source.file)


def _decode(data: bytes, source: Source) -> str | None:
    if len(data) > LARGEST:
        source.complain(1, f"larger than {units.show_size(LARGEST)}; is this the right file?")
        return None
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        source.complain(1, "the file is UTF-16; save it as UTF-8")
        return None
    try:
        text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        source.complain(line, "the file is not UTF-8; save it as UTF-8")
        return None
    if found := yaml.reader.Reader.NON_PRINTABLE.search(text):
        line = text.count("\n", 0, found.start()) + 1
        source.complain(line, f"the character U+{ord(found[0]):04X} is not allowed; take it out")
        return None
    return text


def _plain_only(text: str, source: Source) -> bool:
    """Complain of what only YAML's cleverer half has, before it is built."""
    before = len(source.problems)
    depth = documents = 0
    anchors: set[str] = set()
    for event in yaml.parse(text, LOADER):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if told := _too_clever(event, anchors):
            source.complain(line, told)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        if documents == 2:
            source.complain(line, "a second document begins here; keep to one")
            return False
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            source.complain(line, f"nested more than {DEEPEST} deep")
            return False
    return len(source.problems) == before


def _too_clever(event: yaml.Event, anchors: set[str]) -> str:
    """What is wrong with an alias or a tag; empty for anything else.

    A secret may begin with `*` or `!`: only the name of an alias that really is one is told.
    """
    name = getattr(event, "anchor", None)
    if isinstance(event, yaml.AliasEvent):
        if name in anchors:
            return f"the alias *{name} is not taken; write it out, or use defaults:"
        return "what begins with '*' is an alias, and none is taken; quote it if it is text"
    if name:
        anchors.add(name)
    if getattr(event, "tag", None) is not None:
        return "what begins with '!' is a tag, and none is taken; quote it if it is text"
    return ""


def _slip(lines: list[str], last: int) -> tuple[int, str] | None:
    """A slip of the pen that makes a file no YAML, and the line, from 0, where it stands.

    The parser notices it only on a later line: it may still have been a text.
    """
    for line in range(min(last, len(lines) - 1), max(last - MOST_LINES_BACK, -1), -1):
        text = lines[line]
        if found := UNSPACED.match(text):
            return line, f"put a space after {found[1]}:"
        if found := PATH_ALONE.match(text):
            return line, f"{found[1]} lacks its colon; write {found[1]}:"
        if found := BRACED.search(text):
            return line, f"a config var is written without braces; write ${found[1]}"
    return None


def _told(error: yaml.MarkedYAMLError, text: str) -> str:
    mark = error.problem_mark
    lines = text.splitlines()
    here = lines[mark.line] if mark and mark.line < len(lines) else ""
    if "\t" in here and ("\\t" in (error.problem or "") or here.lstrip(" ").startswith("\t")):
        return "a tab where YAML wants spaces; indent with spaces"
    told = error.problem or error.context or "cannot be read"
    if mark and told.startswith("mapping values") and (slip := _step(lines, mark.line)):
        return slip
    if told.startswith("did not find expected ',' or"):
        return f"the {told[-3:]} that ends a list or mapping is missing, here or in a line above"
    # PyYAML without libyaml quotes the handle of `!secret!`, which may be just that.
    told = re.sub(r"\bhandle '.*'", "handle", told)
    return f"this is not YAML: {told}"


def _step(lines: Sequence[str], at: int) -> str:
    """What is wrong with a key that begins further right than the one above it; or nothing."""
    keys = [re.match(r"( *)([\w/<>.-]+):", line) for line in lines[: at + 1] if line.strip()]
    if len(keys) < 2 or not (above := keys[-2]) or not (here := keys[-1]):
        return ""
    if len(here[1]) <= len(above[1]):
        return ""
    return f"{here[2]}: is indented further than {above[2]}: above it; begin both in one column"


def _plain(node: yaml.Node) -> Json:
    if isinstance(node, yaml.MappingNode):
        return {
            key.value if isinstance(key, yaml.ScalarNode) else str(_plain(key)): _plain(value)
            for key, value in node.value
        }
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    return _scalar(str(node.value)) if _is_bare(node) else str(node.value)


def _is_bare(node: yaml.Node) -> bool:
    """True for a scalar without quotes, which may be more than text."""
    return isinstance(node, yaml.ScalarNode) and not node.style


def _scalar(text: str) -> Json:
    if NULL.fullmatch(text):
        return None
    if TRUE.fullmatch(text):
        return True
    if FALSE.fullmatch(text):
        return False
    if WHOLE.fullmatch(text):
        return int(text)
    if DECIMAL.fullmatch(text):
        return float(text)
    return text


def _too_large(text: str) -> bool:
    """True for a number that would be text, or infinite, by the rules above."""
    if DECIMAL.fullmatch(text):
        return math.isinf(float(text))
    return LARGE.fullmatch(text) is not None


def show(value: Json) -> str:
    """A value in a complaint: short, and as the file's author would say it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        return kind_of(value)
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"


def kind_of(value: Json) -> str:
    """What a value is, where it may be a secret that must not be quoted."""
    for kind, called in CALLED.items():
        if isinstance(value, kind):
            return called if value or kind not in (dict, list) else f"an empty {called[2:]}"
    return "nothing"


CALLED = {
    dict: "a mapping",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
}


def hint(name: str, known: Collection[str]) -> str:
    """What may have been meant, to end a complaint with; empty if nothing is near."""
    near = get_close_matches(name[:100], known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _one_line(what: str) -> str:
    """A complaint without its middle, if it is long: the mend stands at the end."""
    if len(what) > LONGEST_COMPLAINT:
        what = f"{what[: LONGEST_COMPLAINT - 200]}…{what[-200:]}"
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in what)


# --- readers: each takes a Value and returns what it means, or raises Wrong


def any_text(value: Value) -> str:
    """A text, which may be empty."""
    found = value.plain
    if not isinstance(found, str):
        # As it stands there: for 1.50, '1.5' would be another text.
        scalar = isinstance(value.node, yaml.ScalarNode)
        raise Wrong("text", f"quote it: {value.node.value!r}" if scalar else "")
    return found


def text(value: Value) -> str:
    """A text that is not empty."""
    if value.plain is None or value.plain == "":
        raise Wrong("text")
    return any_text(value)


def flag(value: Value) -> bool:
    found = value.plain
    if not isinstance(found, bool):
        raise Wrong("true or false")
    return found


def whole(least: int, most: int) -> Callable[[Value], int]:
    def read(value: Value) -> int:
        found = value.plain
        if type(found) is not int or not least <= found <= most:
            raise Wrong(f"a whole number from {least} to {most}")
        return found

    return read


def duration_up_to(most: float) -> Callable[[Value], float]:
    """Seconds. Without a bound, a clock's arithmetic would overflow when it is too late."""

    def read(value: Value) -> float:
        found = value.plain
        try:
            seconds = units.duration(found) if isinstance(found, str) else 0.0
        except ValueError:
            seconds = 0.0
        if not seconds:
            mend = f"write {found}s for seconds" if type(found) is int and found > 0 else ""
            raise Wrong("a duration such as 30s, 5m, 2h or 7d", mend)
        if seconds > most:
            raise Wrong(f"at most {units.show_duration(most)}")
        return seconds

    return read


duration = duration_up_to(YEAR)


def size(value: Value) -> int:
    """Bytes."""
    found = value.plain
    try:
        count = units.size(found) if isinstance(found, str) else 0
    except ValueError:
        count = 0
    if not count:
        mend = f"write {found}B for bytes" if type(found) is int and found > 0 else ""
        raise Wrong("a size such as 512KB or 1MB", mend)
    return count


def one_of(*choices: str) -> Callable[[Value], str]:
    def read(value: Value) -> str:
        found = value.plain
        if found not in choices:
            raise Wrong(_either(choices), hint(str(found), choices).removeprefix("; "))
        return str(found)

    return read


def list_of(reader: Callable[[Value], T], kind: str) -> Callable[[Value], tuple[T, ...]]:
    """A list whose parts `reader` takes; `kind` names the whole, such as `a list of texts`."""

    def read(value: Value) -> tuple[T, ...]:
        if not isinstance(value.plain, list):
            raise Wrong(kind)
        return tuple(found for item in value.items() if (found := item.read(reader)) is not None)

    return read


def secrets(value: Value) -> tuple[str, ...]:
    """The secrets that `$NAME`, or a list of them, stands for. Never quotes the value."""
    if isinstance(value.plain, list) and value.plain:
        return tuple(secret for item in value.items() for secret in secrets(item))
    found = VARIABLE.fullmatch(value.plain) if isinstance(value.plain, str) else None
    if found is None:
        value.complain(_no_variable(value))
        return ()
    value.source.secret_names.add(found[1])
    secret = value.source.variable(found[1])
    return (secret,) if secret else ()


def _no_variable(value: Value) -> str:
    if value.plain is None:
        return f"{value.title} lacks its config var; write {value.title}: $MY_SECRET"
    if isinstance(value.plain, str) and (braced := BRACED.fullmatch(value.plain)):
        return f"{value.title} must be a config var without braces; write ${braced[1]}"
    return (
        f"{value.title} must be a config var such as $MY_SECRET, not the secret itself; "
        "set it with 'heroku config:set MY_SECRET=…', or in .env on your own machine"
    )


def _either(choices: tuple[str, ...]) -> str:
    return ", ".join(choices[:-1]) + f" or {choices[-1]}" if len(choices) > 1 else choices[0]
