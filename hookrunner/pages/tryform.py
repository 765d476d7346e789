"""A form made from a JSON Schema, and what was posted with it read back into a payload.

A field's name is the JSON Pointer of its value. Beside these: `csrf`, `path` (the hook),
`param.NAME` (names in its path), `as` (`form` or `json`), and `json` (the payload as JSON).

What is left empty is left out of the payload, but that a checkbox left empty is false. The
browser is asked to check nothing: the schema is what decides, and says so beside the field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hookrunner.model import Json
from hookrunner.pages import parts
from hookrunner.pages.markup import Html, Inside, exact, join, plain, tag
from hookrunner.pages.shown import Frame, HookPage, Trial
from hookrunner.pages.tree import Node, grow, type_of, walk

DEEPEST = 3
"""Levels of fields within fields; what is below is asked for as JSON."""

SCALARS = frozenset({"string", "integer", "number", "boolean"})
INPUTS = {"date": "date", "time": "text", "email": "email", "uri": "url"}
"""A text's `format` to the control that asks for it; for others it is a plain one."""

EXAMPLES = {
    "date-time": "2026-01-31T09:30:00Z",
    "time": "09:30:00Z",
    "email": "name@example.com",
    "uri": "https://example.com/",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
}
LONG_TEXT = 200
"""Characters from which on a text gets several lines."""

TRUTHS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Read:
    """A payload as it was posted. With `errors` (by JSON Pointer) there is none."""

    value: Json
    errors: Mapping[str, str]


class Absent(Exception):
    """Nothing was filled in."""


class Unreadable(Exception):
    """What was filled in cannot be what the schema asks for; str() says why not."""


def read(schema: Json | None, posted: Sequence[tuple[str, str]]) -> Read:
    """The payload that was posted, by the types that the schema gives its fields."""
    given = dict(posted)
    root = _root(schema)
    if root is None or given.get("as") == "json":
        return _read_json(given.get("json", ""))
    errors: dict[str, str] = {}
    try:
        value = _value(root, given, errors)
    except Absent:
        value = {}
    return Read(None if errors else value, errors)


def _root(schema: Json | None) -> Node | None:
    """The tree of a schema that a form can be made from; None if there is no such schema."""
    if not isinstance(schema, dict):
        return None
    root = grow(schema)
    return root if root.inside and root.kind in ("object", "") and not root.cut else None


def _read_json(text: str) -> Read:
    if not text.strip():
        return Read(None, {"json": "is empty; write the payload as JSON, if only {}"})
    try:
        return Read(json.loads(text, parse_constant=_no_number), {})
    except RecursionError:
        return Read(None, {"json": "is nested too deeply"})
    except json.JSONDecodeError as error:
        told = f"is no JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        return Read(None, {"json": told})
    except ValueError as error:
        return Read(None, {"json": f"is no JSON: {error}"})


def _no_number(text: str) -> Json:
    raise ValueError(f"{text} is no number there")


def _value(node: Node, given: Mapping[str, str], errors: dict[str, str]) -> Json:
    """What was filled in for a place and all below it. Raises Absent."""
    if control(node) == "fields":
        return _object(node, given, errors)
    text = given.get(node.pointer, "").replace("\r\n", "\n")
    try:
        return _scalar(node, text)
    except Unreadable as error:
        errors[node.pointer] = str(error)
        return None


def _object(node: Node, given: Mapping[str, str], errors: dict[str, str]) -> Json:
    found: dict[str, Json] = {}
    wanting: dict[str, str] = {}
    ticked = False
    for child in node.inside:
        try:
            found[child.name] = _value(child, given, errors)
        except Absent:
            if child.required:
                wanting[child.pointer] = "is required; fill it in"
        else:
            # An empty checkbox is a value, but nobody has filled it in.
            ticked = ticked or control(child) != "check" or found[child.name] is True
    if not ticked and not node.required and not _filled(node, given):
        raise Absent
    errors.update(wanting)
    return found


def _filled(node: Node, given: Mapping[str, str]) -> bool:
    return any(given.get(child.pointer, "") for child in walk(node))


def _scalar(node: Node, text: str) -> Json:
    """What a control's text stands for. Raises Absent and Unreadable."""
    kind = control(node)
    if kind == "check":
        return text != ""
    if not text.strip() and kind != "lines":
        if node.required and "null" in node.types:
            return None
        raise Absent
    if kind == "choice":
        return _chosen(node, text)
    if kind == "lines":
        return _lines(node, text)
    if kind == "json":
        read = _read_json(text)
        if read.errors:
            raise Unreadable(read.errors["json"])
        return read.value
    return _plain(node.kind, text)


def _plain(kind: str, text: str) -> Json:
    """A text as a value of a type. Raises Unreadable."""
    if kind == "boolean":
        if text.strip() in TRUTHS:
            return TRUTHS[text.strip()]
        raise Unreadable("is neither true nor false")
    if kind in ("integer", "number"):
        return _number(kind, text.strip())
    return text


def _number(kind: str, text: str) -> Json:
    whole = re.fullmatch(r"[+-]?[0-9]{1,400}", text)
    if whole:
        return int(text)
    if kind == "integer":
        raise Unreadable(f"must be a whole number, not {text[:40]!r}")
    if re.fullmatch(r"[+-]?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,3})?", text):
        number = float(text)
        if abs(number) != float("inf"):
            return number
    raise Unreadable(f"must be a number such as 3.5, not {text[:40]!r}")


def _lines(node: Node, text: str) -> Json:
    """An item for each line. Raises Absent and Unreadable."""
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        if node.required:
            return []
        raise Absent
    kind = node.item.kind if node.item else "string"
    made = []
    for number, line in enumerate(lines, 1):
        try:
            made.append(_plain(kind, line))
        except Unreadable as error:
            raise Unreadable(f"line {number} {error}") from None
    return made


def _chosen(node: Node, text: str) -> Json:
    for value in choices(node):
        if _spelt(value) == text:
            return value
    raise Unreadable(f"is none of the values to choose from: {text[:40]!r}")


def choices(node: Node) -> list[Json]:
    """The values that a place may have, if its schema lists them and none is an object or list."""
    values = [node.schema["const"]] if "const" in node.schema else node.schema.get("enum")
    if node.kind == "boolean" and values is None:
        return [True, False]
    if not isinstance(values, list) or any(isinstance(value, dict | list) for value in values):
        return []
    return values


def _spelt(value: Json) -> str:
    """A value as an option's: JSON, so that 1 and "1" are told apart."""
    return json.dumps(value, ensure_ascii=False)


def control(node: Node) -> str:
    """What asks for a value: `fields`, `check`, `choice`, `lines`, `text` or `json`."""
    if node.inside and node.kind == "object" and node.depth <= DEEPEST and not node.cut:
        return "fields"
    if not node.pointer:
        return "fields"
    if node.kind == "boolean" and node.required and "null" not in node.types:
        return "check" if not isinstance(node.schema.get("enum"), list) else "choice"
    if choices(node):
        return "choice"
    if node.kind == "array" and node.item is not None and node.item.kind in SCALARS:
        return "lines"
    return "text" if node.kind in ("string", "integer", "number") else "json"


def form(frame: Frame, shown: HookPage) -> Html:
    """The form that sends a test payload to a hook."""
    root = _root(shown.schema)
    writer = _Writer(shown.trial, root, shown.params)
    if root is not None:
        fields: list[Inside] = [writer.write(child) for child in root.inside]
    raw = writer.raw(root)
    params = [writer.param(name) for name in shown.params]
    asked = raw if root is None else _either(fields, raw, writer.given.get("as") == "json")
    return join(
        [
            writer.summary(),
            tag(
                "form",
                parts.hidden("csrf", frame.csrf),
                parts.hidden("path", shown.line.path),
                parts.hidden("as", "json") if root is None else None,
                *params,
                asked,
                parts.button("Send test payload", "main"),
                method="post",
                action="/-/hook/try",
                novalidate=True,
                class_="try",
                aria_label="Test payload",
            ),
        ]
    )


def _either(fields: Sequence[Inside], raw: Html, as_json: bool) -> Html:
    """A choice of two ways; the style sheet shows the one that is chosen."""
    return tag(
        "div",
        tag("input", type="radio", name="as", value="form", id="as-form", checked=not as_json),
        tag("label", "Fill in fields", for_="as-form"),
        tag("input", type="radio", name="as", value="json", id="as-json", checked=as_json),
        tag("label", "Write JSON", for_="as-json"),
        tag("div", *fields, class_="as-form"),
        tag("div", raw, class_="as-json"),
        class_="ways",
        role="group",
        aria_label="How to write the payload",
    )


@dataclass(slots=True)
class _Writer:
    """Writes controls, each with its label, what was filled in, and what is wrong with that."""

    trial: Trial
    root: Node | None
    params: Sequence[str] = ()
    given: Mapping[str, str] = field(init=False)
    errors: dict[str, list[str]] = field(init=False)
    known: dict[str, str] = field(init=False)
    """Names of fields to the ids of their controls."""

    def __post_init__(self) -> None:
        self.given = dict(self.trial.posted)
        self.known = {"json": "f-json"}
        self.known |= {f"param.{name}": f"p-{at}" for at, name in enumerate(self.params)}
        nodes = self._asked(self.root) if self.root else ()
        self.known |= {node.pointer: f"f-{number}" for number, node in enumerate(nodes)}
        self.errors = {}
        for place, told in self.trial.errors.items():
            name, inside = self._nearest(place)
            self.errors.setdefault(name, []).append(f"{inside}{told}")

    def _asked(self, node: Node) -> Iterator[Node]:
        """Every place that has a control, or a group of controls, of its own."""
        for child in node.inside:
            yield child
            if control(child) == "fields":
                yield from self._asked(child)

    def _nearest(self, place: str) -> tuple[str, str]:
        """The field that a place in the payload belongs to, and where in it the place is."""
        if place in self.known:
            return place, ""
        if self.given.get("as") == "json" or self.root is None:
            return "json", f"{place}: " if place else ""
        parent = place
        while "/" in parent:
            parent = parent.rpartition("/")[0]
            if parent in self.known:
                rest = place[len(parent) + 1 :]
                told = f"line {int(rest) + 1}: " if re.fullmatch("[0-9]{1,6}", rest) else ""
                return parent, told or f"{rest}: "
        return "", f"{place}: " if place else ""

    def summary(self) -> Html:
        """What is wrong, all of it, with links to where."""
        if not self.errors:
            return Html("")
        named = {node.pointer: node.title for node in walk(self.root)} if self.root else {}
        lines = []
        for place, told in self.errors.items():
            identity = self._identity(place)
            words = named.get(place) or ("Payload" if place in ("", "json") else place)
            name: Inside = tag("a", words, href=f"#{identity}") if identity else words
            lines += [tag("li", name, ": ", each) for each in told]
        head = tag("strong", "Nothing was sent: the payload does not fit.")
        return tag("div", head, tag("ul", *lines), class_="wrong", role="alert", id="try-wrong")

    def _identity(self, place: str) -> str:
        return self.known.get(place, "")

    def write(self, node: Node) -> Html:
        """What asks for a place in the payload."""
        kind = control(node)
        if kind == "fields":
            legend = tag("legend", node.title, _needed(node.required))
            told = self._told(node.pointer, node.description)
            inside = [self.write(child) for child in node.inside]
            described = self._common(node.pointer, node.description)["aria_describedby"]
            identity = self.known[node.pointer]
            return tag("fieldset", legend, told, *inside, id=identity, aria_describedby=described)
        label = tag("label", node.title, _needed(node.required), for_=self.known[node.pointer])
        told = self._told(node.pointer, _hint(node, kind))
        if kind == "check":
            return tag("div", self._control(node, kind), label, told, class_="field check")
        return tag("div", label, told, self._control(node, kind), class_="field")

    def _told(self, place: str, hint: str) -> Html:
        identity = self._identity(place)
        made: list[Inside] = []
        if hint:
            made.append(tag("p", hint, class_="hint", id=f"{identity}-hint"))
        if told := self.errors.get(place):
            made.append(tag("p", "; ".join(told), class_="error", id=f"{identity}-error"))
        return join(made)

    def _common(self, place: str, hint: str, *, required: bool = False) -> dict[str, str | None]:
        """Attributes that every control has."""
        identity, wrong = self._identity(place), place in self.errors
        described = [f"{identity}-error"] if wrong else []
        described += [f"{identity}-hint"] if hint else []
        return {
            "id": identity,
            "name": place,
            "aria_invalid": "true" if wrong else None,
            "aria_describedby": " ".join(described) or None,
            "aria_required": "true" if required else None,
        }

    def _control(self, node: Node, kind: str) -> Html:
        common = self._common(
            node.pointer, _hint(node, kind), required=node.required and kind != "check"
        )
        value = self._filled(node, kind)
        if kind == "check":
            ticked = value not in ("", "false")
            return tag("input", type="checkbox", value="true", checked=ticked, **common)
        if kind == "choice":
            return _select(node, value, common)
        if kind in ("lines", "json"):
            return area(value, 3 if kind == "lines" else 4, kind == "json", common)
        if node.kind != "string":
            mode = "numeric" if node.kind == "integer" else "decimal"
            return tag("input", type="text", inputmode=mode, value=value or None, **common)
        longest = node.schema.get("maxLength")
        if "\n" in value or (isinstance(longest, int) and longest >= LONG_TEXT):
            return area(value, 4, False, common)
        form = str(node.schema.get("format", ""))
        return tag(
            "input",
            type=INPUTS.get(form, "text"),
            placeholder=EXAMPLES.get(form),
            value=value or None,
            **common,
        )

    def _filled(self, node: Node, kind: str) -> str:
        """What stands in a control: what was posted, else what the schema has by default."""
        if self.trial.posted:
            return self.given.get(node.pointer, "")
        return _as_posted(node.schema.get("default"), kind)

    def param(self, name: str) -> Html:
        """What asks for a name in the hook's path."""
        place = f"param.{name}"
        common = self._common(place, "", required=True)
        value = self.given.get(place) or None
        label = tag(
            "label", tag("code", f"<{name}>"), " in the path", _needed(True), for_=common["id"]
        )
        control = tag("input", type="text", value=value, **common)
        return tag("div", label, self._told(place, ""), control, class_="field")

    def raw(self, root: Node | None) -> Html:
        """What asks for the payload as JSON."""
        value = self.given.get("json")
        if value is None:
            example = {} if root is None else _example(root)
            value = json.dumps(example, ensure_ascii=False, indent=2)
        common = self._common("json", "")
        label = tag("label", "Payload as JSON", for_="f-json")
        told = self._told("json", "")
        return tag("div", label, told, area(value, 10, True, common), class_="field")


def area(value: str, rows: int, code: bool, common: Mapping[str, str | None]) -> Html:
    """A control of several lines."""
    # The first line break after the tag is not part of the text.
    inside = Html("\n" + exact(value))
    return tag(
        "textarea",
        inside,
        rows=rows,
        class_="code" if code else None,
        spellcheck="false" if code else None,
        **common,
    )


def _select(node: Node, value: str, common: Mapping[str, str | None]) -> Html:
    options = [tag("option", Html("–"), value="")]
    for choice in choices(node):
        words = choice if isinstance(choice, str) else _spelt(choice)
        spelt = _spelt(choice)
        options.append(tag("option", Html(plain(words)), value=spelt, selected=spelt == value))
    return tag("select", *options, **common)


def _needed(required: bool) -> Html | None:
    return tag("span", " required", class_="needed") if required else None


def _hint(node: Node, kind: str) -> str:
    """What helps to fill in a control."""
    said = [node.description] if node.description else []
    if kind == "lines":
        said.append("One item on each line.")
    elif kind == "json":
        said.append("Written as JSON.")
    elif kind == "text" and node.schema.get("format") == "date-time":
        said.append("A time with its zone.")
    return " ".join(said)


def _as_posted(value: Json, kind: str) -> str:
    """A value as its control would post it."""
    if value is None:
        return ""
    if kind == "check":
        return "true" if value is True else ""
    if kind == "lines" and isinstance(value, list):
        return "\n".join(item if isinstance(item, str) else _spelt(item) for item in value)
    if kind == "text" and isinstance(value, str):
        return value
    return _spelt(value)


def _example(node: Node) -> Json:
    """A value that looks like what the schema asks for: what is required, as far as it says."""
    schema = node.schema
    for given in (schema.get("default"), schema.get("const")):
        if given is not None:
            return given
    for listed in (schema.get("examples"), schema.get("enum")):
        if isinstance(listed, list) and listed:
            return listed[0]
    if node.inside:
        return {child.name: _example(child) for child in node.inside if child.required}
    kind = node.kind
    plain_ones: dict[str, Json] = {"array": [], "object": {}, "boolean": False, "string": ""}
    if kind == "string":
        return EXAMPLES.get(str(schema.get("format", "")), "")
    if kind in ("integer", "number"):
        least = schema.get("minimum", 0)
        return least if type_of(least) in ("integer", "number") else 0
    return plain_ones.get(kind)
