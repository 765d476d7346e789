"""Forms and queries: application/x-www-form-urlencoded text as fields."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qsl

from hookrunner.model import Json, Refused

TYPE = "application/x-www-form-urlencoded"
MOST_FIELDS = 1000


def text_of(body: bytes) -> str:
    """The text of a form's body. Raises Refused(400) if it is not percent-encoded."""
    try:
        return body.decode("ascii")
    except UnicodeDecodeError as error:
        raise Refused(
            400, f"the form is not percent-encoded at byte {error.start}; encode it, in UTF-8"
        ) from None


def fields(text: str, what: str) -> list[tuple[str, str]]:
    """The fields in their order; `what` names the text to its sender. Raises Refused(400)."""
    try:
        return list(
            parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
        )
    except UnicodeDecodeError:
        raise Refused(400, f"{what} is not UTF-8 once percent-decoded") from None
    except ValueError:
        raise Refused(400, f"{what} has more than {MOST_FIELDS} fields") from None


def query(text: str) -> dict[str, Json]:
    """A query as an object; a repeated field is a list. Raises Refused(400)."""
    return as_object(fields(text, "the query"))


def as_object(fields: Iterable[tuple[str, Json]]) -> dict[str, Json]:
    """The fields as an object; a repeated one is a list."""
    found: dict[str, list[Json]] = {}
    for name, value in fields:
        found.setdefault(name, []).append(value)
    return {name: values if len(values) > 1 else values[0] for name, values in found.items()}
