"""A form made from a JSON Schema, and what was posted with it read back into a payload.

A field's name is the JSON Pointer of its value. Beside these: `csrf`, `path` (the hook),
`param.NAME` (names in its path), `as` (`form` or `json`), and `json` (the payload as JSON).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hookrunner.model import Json


@dataclass(frozen=True, slots=True)
class Read:
    """A payload as it was posted. With `errors` (by JSON Pointer) there is none."""

    value: Json
    errors: Mapping[str, str]


def read(schema: Json | None, posted: Sequence[tuple[str, str]]) -> Read:
    """The payload that was posted, by the types that the schema gives its fields."""
    raise NotImplementedError
