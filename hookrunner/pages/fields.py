"""A JSON Schema as a table of fields."""

from __future__ import annotations

import json
from collections.abc import Iterator

from hookrunner.model import Json
from hookrunner.pages import parts
from hookrunner.pages.markup import Html, Inside, join, tag
from hookrunner.pages.tree import Node, grow, walk

MOST_VALUES = 12
"""Values of an `enum` that are named."""

LONGEST_VALUE = 60

RULES = {
    "format": "format {}",
    "const": "is {}",
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "multipleOf": "multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "pattern": "fits {}",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "minProperties": "at least {} fields",
    "maxProperties": "at most {} fields",
    "contentMediaType": "holds {}",
    "contentEncoding": "encoded as {}",
    "default": "if absent, {}",
    "$ref": "see {}",
}
"""What a keyword says of a value, in words."""

FLAGS = {"uniqueItems": "no item twice", "readOnly": "not to be sent", "deprecated": "deprecated"}
BRANCHES = {"oneOf": "one of", "anyOf": "any of", "allOf": "all of"}


def table(schema: Json) -> Html:
    """All fields of a schema, a row each."""
    root = grow(schema)
    nodes = list(walk(root))
    headings = ("Field", "Type", "Required", "Rules", "Description")
    rows = [_row(node) for node in nodes if node is not root or len(nodes) == 1 or _says(node)]
    made = parts.table("Fields of the payload", headings, rows, kind="fields")
    if any(node.cut for node in nodes):
        return join([made, tag("p", "There is more than is shown here.", class_="hint")])
    return made


def _says(root: Node) -> bool:
    """True if there is something to say of the payload as a whole."""
    return bool(root.description or list(_rules(root)) or root.kind != "object")


def _row(node: Node) -> list[Inside]:
    if node.is_branch:
        name: Inside = tag("span", "as ", node.title, class_="soft")
    elif not node.pointer:
        name = tag("span", "the payload", class_="soft")
    elif node.pointer.endswith("/-"):
        name = tag("span", "each item", class_="soft")
    else:
        name = tag("code", node.name, title=node.pointer)
    indent = f"deep-{min(node.depth - 1, 5)}" if node.depth > 1 else None
    title = node.schema.get("title")
    told = [title] if isinstance(title, str) and title != node.name else []
    needed = node.required and node.pointer and not node.is_branch
    return [
        tag("div", name, class_=indent),
        " or ".join(sorted(_types(node))) or "any",
        tag("span", "required", class_="needed") if needed else parts.NOTHING,
        join([tag("span", rule, class_="rule") for rule in _rules(node)]) or parts.NOTHING,
        " – ".join(filter(None, [*told, node.description])) or parts.NOTHING,
    ]


def _types(node: Node) -> frozenset[str]:
    """The types that a value may have; of several kinds, those of each, if all say one."""
    each = [_types(branch) for branch in node.branches]
    return frozenset().union(*each) if each and all(each) else node.types


def _rules(node: Node) -> Iterator[str]:
    schema = node.schema
    for keyword, words in RULES.items():
        if keyword in schema:
            yield words.format(_brief(schema[keyword]))
    values = schema.get("enum")
    if isinstance(values, list):
        named = ", ".join(map(_brief, values[:MOST_VALUES]))
        rest = len(values) - MOST_VALUES
        yield f"one of {named}" + (f" and {rest} more" if rest > 0 else "")
    for keyword, words in FLAGS.items():
        if schema.get(keyword) is True:
            yield words
    for keyword, words in BRANCHES.items():
        if keyword == node.branching:
            yield f"{words}: " + ", or ".join(branch.title for branch in node.branches)
        elif isinstance(schema.get(keyword), list):
            kinds = [_branch(branch) for branch in schema[keyword][:MOST_VALUES]]
            rest = len(schema[keyword]) - MOST_VALUES
            yield f"{words}: " + ", or ".join(kinds) + (f", or {rest} more" if rest > 0 else "")
    if schema.get("additionalProperties") is False:
        yield "no other fields"
    if schema.get("not") == {}:
        yield "never"


def _branch(schema: Json) -> str:
    """One of several that a value may be, in a few words."""
    if not isinstance(schema, dict):
        return "anything" if schema else "nothing"
    for keyword in ("title", "$ref", "type"):
        if keyword in schema:
            return _brief(schema[keyword]).strip('"')
    if "const" in schema:
        return _brief(schema["const"])
    if isinstance(schema.get("required"), list):
        return "with " + ", ".join(map(str, schema["required"][:MOST_VALUES]))
    return "…"


def _brief(value: Json) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"
