"""The form that sends a test payload to a hook, made from its JSON Schema.

`control` says what asks for each place; `posted` reads what comes back. The browser is asked to
check nothing: the schema is what decides, and says so beside the field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hookrunner.model import Json
from hookrunner.pages import parts
from hookrunner.pages.control import (
    asked,
    below,
    choices,
    control,
    only,
    picked,
    root_of,
    spelt,
    which,
)
from hookrunner.pages.markup import Html, Inside, exact, join, plain, tag
from hookrunner.pages.posted import line_of
from hookrunner.pages.shown import Frame, HookPage, Trial
from hookrunner.pages.tree import Node, type_of

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

SUMMARY = "wrong"
"""The id of what says all that is wrong."""


def summary(shown: HookPage) -> Html | None:
    """Why nothing was sent, with links to what is to be mended; None if all is well.

    It is where the page begins to be read, with or without a script.
    """
    trial = shown.trial
    if not (trial.errors or trial.refused):
        return None
    lines = _Writer(trial, root_of(shown.schema), shown.params).lines()
    words = f"Nothing was sent: {trial.refused or 'mend this first'}"
    return tag(
        "div",
        tag("h2", words + (":" if lines else ".")),
        tag("ul", *lines) if lines else None,
        class_="wrong",
        role="alert",
        id=SUMMARY,
        tabindex=-1,
        autofocus=True,
    )


def form(frame: Frame, shown: HookPage) -> Html:
    """The form that sends a test payload to a hook."""
    root = root_of(shown.schema)
    writer = _Writer(shown.trial, root, shown.params)
    raw = writer.raw(root, shown.schema)
    ways = raw
    if root is not None:
        ways = _either(writer.fields(root), raw, writer.given.get("as") == "json")
    return tag(
        "form",
        parts.hidden("csrf", frame.csrf),
        parts.hidden("path", shown.line.path),
        parts.hidden("as", "json") if root is None else None,
        *[writer.param(name) for name in shown.params],
        ways,
        parts.button("Send test payload", "main"),
        method="post",
        action="/-/hook/try",
        novalidate=True,
        class_="try",
        aria_label="Test payload",
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

    lists: set[str] = field(init=False)
    """Names of what takes an item on each line."""

    places: dict[str, str] = field(init=False)
    """Places in the payload to the names of what asks for them."""

    def __post_init__(self) -> None:
        self.given = dict(self.trial.posted)
        self.known = {"json": "f-json"}
        self.known |= {f"param.{name}": f"p-{at}" for at, name in enumerate(self.params)}
        nodes = self._asked(self.root) if self.root else ()
        self.known |= {node.key: f"f-{number}" for number, node in enumerate(nodes)}
        self.places, self.lists = {}, set()
        for node in asked(self.root, self.given) if self.root else ():
            # A branch that is one control stands for the place; one of several fields does not.
            if not (node.is_branch and below(node)):
                self.places[node.pointer] = node.key
            if control(node) == "lines":
                self.lists.add(node.key)
        self.errors = {}
        for place, told in self.trial.errors.items():
            name, inside = self._nearest(place)
            self.errors.setdefault(name, []).append(f"{inside}{told}")

    def _asked(self, node: Node) -> Iterator[Node]:
        """Every place that has a control, or a group of controls, of its own."""
        for child in below(node):
            yield child
            yield from self._asked(child)

    def _nearest(self, place: str) -> tuple[str, str]:
        """The field that a place in the payload belongs to, and where in it the place is."""
        if place == "json" or (place in self.known and place.startswith("param.")):
            return place, ""
        if self.given.get("as") == "json" or self.root is None:
            return "json", f"{place}: " if place else ""
        parent, rest = place, ""
        while parent not in self.places and "/" in parent:
            parent = parent.rpartition("/")[0]
            rest = place[len(parent) + 1 :]
        if parent not in self.places:
            return "", f"{place}: " if place else ""
        key = self.places[parent]
        if key in self.lists and re.fullmatch("[0-9]{1,6}", rest):
            return key, f"line {line_of(self.given.get(key, ''), int(rest))}: "
        return key, f"{rest}: " if rest else ""

    def lines(self) -> list[Html]:
        """What is wrong, all of it, with links to where."""
        nodes = self._asked(self.root) if self.root else ()
        named = {node.key: node.title for node in nodes}
        lines = []
        for place, told in self.errors.items():
            identity = self._identity(place)
            words = named.get(place) or ("Payload" if place in ("", "json") else _param(place))
            name: Inside = tag("a", words, href=f"#{identity}") if identity else words
            lines += [tag("li", name, ": ", each) for each in told]
        return lines

    def _identity(self, place: str) -> str:
        return self.known.get(place, "")

    def fields(self, node: Node) -> list[Inside]:
        """What asks for all that is in a node."""
        if control(node) == "branches":
            return [self._branches(node)]
        return [self.write(child) for child in node.inside]

    def write(self, node: Node) -> Html:
        """What asks for a place in the payload."""
        kind = control(node)
        if kind == "branches":
            return self._branches(node)
        if kind == "fields":
            return self._fieldset(node, *self.fields(node))
        identity = self.known[node.key]
        if kind == "nothing":
            return tag("p", "It is null.", class_="hint", id=identity)
        told = self._told(node.key, _hint(node, kind))
        needed = _needed(node.required)
        label = tag("label", node.title, needed, for_=identity)
        if node.is_branch:  # the choice of it has named it already
            label = tag("label", node.title, for_=identity, class_="unseen")
        if kind == "check":
            return tag("div", self._control(node, kind), label, told, class_="field check")
        return tag("div", label, told, self._control(node, kind), class_="field")

    def _fieldset(self, node: Node, *inside: Inside, kind: str | None = None) -> Html:
        title = node.title if node.key else "The payload"
        legend = tag("legend", title, _needed(node.required and bool(node.key)))
        told = self._told(node.key, node.description)
        described = self._common(node.key, node.description)["aria_describedby"]
        identity = self.known.get(node.key)
        return tag(
            "fieldset", legend, told, *inside, id=identity, aria_describedby=described, class_=kind
        )

    def _branches(self, node: Node) -> Html:
        """A choice of what a value is; the style sheet shows the fields of the one chosen."""
        chosen = picked(node, self.given)
        made = []
        for number, branch in enumerate(node.branches):
            identity = f"{self.known[branch.key]}-pick"
            pick = tag(
                "input",
                type="radio",
                name=which(node),
                value=str(number),
                id=identity,
                checked=number == chosen,
            )
            within = self.fields(branch) if below(branch) else [self.write(branch)]
            said = tag("p", branch.description, class_="hint") if below(branch) else None
            inside = tag("div", said if branch.description else None, *within, class_="inside")
            label = tag("label", branch.title, for_=identity)
            made.append(tag("div", pick, label, inside, class_="branch"))
        return self._fieldset(node, *made, kind="branches")

    def _told(self, place: str, hint: str) -> Html:
        identity = self._identity(place)
        made: list[Inside] = []
        if hint:
            made.append(tag("p", hint, class_="hint", id=f"{identity}-hint"))
        if told := self.errors.get(place):
            unseen = tag("span", "Error: ", class_="unseen")
            words = "; ".join(told)
            made.append(tag("p", unseen, words, class_="error", id=f"{identity}-error"))
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
            node.key, _hint(node, kind), required=node.required and kind != "check"
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
            return self.given.get(node.key, "")
        default = node.schema.get("default")
        return _as_posted(only(node) if default is None else default, kind)

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

    def raw(self, root: Node | None, schema: Json | None) -> Html:
        """What asks for the payload as JSON."""
        value = self.given.get("json")
        if value is None:
            example = {} if root is None else _example(root)
            value = json.dumps(example, ensure_ascii=False, indent=2)
        hint = "It arrives as it is written here."
        if root is None and schema is not None:
            hint = f"The schema names no fields that a form could ask for. {hint}"
        common = self._common("json", hint)
        label = tag("label", "Payload as JSON", for_="f-json")
        told = self._told("json", hint)
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
        words = choice if isinstance(choice, str) else spelt(choice)
        is_chosen = spelt(choice) == value
        options.append(tag("option", Html(plain(words)), value=spelt(choice), selected=is_chosen))
    return tag("select", *options, **common)


def _needed(required: bool) -> Html | None:
    return tag("span", " required", class_="needed") if required else None


def _hint(node: Node, kind: str) -> str:
    """What helps to fill in a control."""
    said = [node.description] if node.description else []
    if kind == "lines":
        said.append("One item on each line.")
    elif kind == "json":
        said.append(f"Written as JSON{_why_json(node)}.")
    elif kind == "text" and node.schema.get("format") == "date-time":
        said.append("A time with its zone.")
    return " ".join(said)


def _why_json(node: Node) -> str:
    """Why there are no fields for a value, after "Written as JSON"."""
    keyword = next((name for name in ("oneOf", "anyOf") if name in node.schema), "")
    if node.cut or node.inside or node.branches:
        return ", for there is more within it than fields can show"
    if keyword:
        return f": it is one of {len(node.schema[keyword])} kinds of value"
    if node.kind == "array":
        return ": a list of anything but plain values" if node.item else ": a list"
    if node.kind == "object":
        return ": an object whose fields the schema does not name"
    return ": it may be " + (" or ".join(sorted(node.types)) or "any value")


def _param(place: str) -> str:
    """What a field that is no part of the payload is called."""
    return f"<{place.removeprefix('param.')}> in the path"


def _as_posted(value: Json, kind: str) -> str:
    """A value as its control would post it."""
    if value is None:
        return ""
    if kind == "check":
        return "true" if value is True else ""
    if kind == "lines" and isinstance(value, list):
        return "\n".join(item if isinstance(item, str) else spelt(item) for item in value)
    if kind == "text" and isinstance(value, str):
        return value
    return spelt(value)


def _example(node: Node) -> Json:
    """A value that looks like what the schema asks for: what is required, as far as it says."""
    schema = node.schema
    for given in (schema.get("default"), schema.get("const")):
        if given is not None:
            return given
    for listed in (schema.get("examples"), schema.get("enum")):
        if isinstance(listed, list) and listed:
            return listed[0]
    if node.branches:
        return _example(node.branches[0])
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
