"""What can be told from one payload: a schema that others like it fit, and variables for Bash."""

from __future__ import annotations

import json
import re

from hookrunner.model import Json

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MOST_VARIABLES = 8
PREFIX = "PAYLOAD_"
"""Whoever posts chooses the keys of a payload: PATH or BASH_ENV may be one of them."""

LONGEST_EXAMPLE = 10_000
"""Bytes of a sample that stands in its schema, too."""

UNFIT = frozenset('{}$"\\')
"""What a key cannot hold that is to stand in a template, in YAML's double quotes."""

LONGEST_KEY = 60


def variables(sample: Json) -> dict[str, str]:
    """Templates for the plain values of a payload: what Bash can use without a JSON reader."""
    found: dict[str, str] = {}
    for name, value in sample.items() if isinstance(sample, dict) else ():
        word = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")
        simple = len(name) <= LONGEST_KEY and name.isprintable() and not UNFIT & set(name)
        if word and simple and isinstance(value, str | int | float | bool):
            pointer = name.replace("~", "~0").replace("/", "~1")
            found.setdefault(PREFIX + word, f"{{payload:/{pointer}}}")
        if len(found) == MOST_VARIABLES:
            break
    return found


def schema(sample: Json, *, own: bool) -> str:
    """A JSON Schema that the sample fits, and others like it.

    The sample stands in it if it is the user's own: what somebody has posted may be personal.
    """
    from genson import SchemaBuilder  # imported late: only who drafts needs it

    builder = SchemaBuilder(schema_uri=DIALECT)
    builder.add_object(sample)
    drafted = _open(builder.to_schema())
    if own and len(json.dumps(sample)) <= LONGEST_EXAMPLE:
        drafted["examples"] = [sample]
    text = json.dumps(drafted, indent=2, ensure_ascii=False)
    if re.search("[\ud800-\udfff]", text):  # half a character, which UTF-8 has no bytes for
        text = json.dumps(drafted, indent=2)
    return text + "\n"


def _open(drafted: dict[str, Json]) -> dict[str, Json]:
    """The schema without `type: null`: that nothing was there tells not what may be."""
    kept = {name: part for name, part in drafted.items() if (name, part) != ("type", "null")}
    if "properties" in kept:
        kept["properties"] = {name: _open(part) for name, part in kept["properties"].items()}
    if "items" in kept:
        kept["items"] = _open(kept["items"])
    return kept
