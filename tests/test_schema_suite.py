"""The compiled schema and jsonschema, held against each other on the official test suite.

The suite's own verdict is not what is asked for: `format` is asserted here, references stay
in a folder, and jsonschema is the authority. What counts is that the two never differ.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hookrunner.schema import BadSchema, Schema

CASES: dict[str, dict[str, list[dict[str, Any]]]] = json.loads(
    (Path(__file__).parent / "json_schema_test_suite" / "cases.json").read_text()
)
NOWHERE = Path("/nowhere")
DIALECTS = {
    "draft4": "http://json-schema.org/draft-04/schema#",
    "draft6": "http://json-schema.org/draft-06/schema#",
    "draft7": "http://json-schema.org/draft-07/schema#",
    "draft2019-09": "https://json-schema.org/draft/2019-09/schema",
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
}
FILES = [(draft, name) for draft, files in CASES.items() for name in files]


def schema_of(contents: Any, draft: str) -> Schema | None:
    """The schema, of this draft unless it names one; None if we refuse it."""
    if isinstance(contents, dict):
        contents = {"$schema": DIALECTS[draft], **contents}
    try:
        return Schema(contents, NOWHERE)
    except BadSchema:
        return None


def compare(draft: str, name: str) -> Counter[str]:
    """How many cases were decided by whom; asserts that both say the same."""
    seen: Counter[str] = Counter()
    for group in CASES[draft][name]:
        schema = schema_of(group["schema"], draft)
        for value, _ in group["cases"]:
            if schema is None:
                seen["refused"] += 1
            elif schema._fits is None:
                seen["jsonschema's"] += 1
            else:
                seen["compiled"] += 1
                judged = not schema.judged(value)
                assert schema._fits(value) == judged, (group["schema"], value, judged)
    return seen


@pytest.mark.parametrize(("draft", "name"), FILES, ids=[f"{d} {n}" for d, n in FILES])
def test_the_compiled_schema_says_what_jsonschema_says(draft: str, name: str) -> None:
    assert compare(draft, name).total() > 0


@pytest.mark.parametrize("draft", DIALECTS)
def test_most_of_the_suite_is_decided_by_what_is_compiled(draft: str) -> None:
    seen = sum((compare(draft, name) for name in CASES[draft]), Counter[str]())

    assert seen["compiled"] > seen.total() * 0.7, seen


@pytest.mark.parametrize("draft", DIALECTS)
def test_what_the_suite_says_of_required_files_is_what_we_say(draft: str) -> None:
    """All but what we refuse as a schema, and what `format` and content are told to ignore."""
    wrong = [
        (name, group["schema"], value)
        for name, groups in CASES[draft].items()
        if "/" not in name and name not in ("format", "content")
        for group in groups
        if (schema := schema_of(group["schema"], draft))
        for value, valid in group["cases"]
        if (not schema.misfits(value)) != valid
    ]

    assert wrong == []
