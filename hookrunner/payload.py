"""What a delivery says: its body, or a GET's query, as a JSON value and as the script's stdin.

JSON reaches the script byte for byte as it was sent; a form, a multipart form and a
query become a JSON object. The journal keeps the raw request, and this is done anew for
each attempt, so nothing here may depend on anything but its arguments.

Strict, because two readers of a sloppy text may read two things: no NaN, no number
beyond a double, no key twice, UTF-8 only, and a bounded depth (RFC 8259, RFC 7493).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from hookrunner.model import Json, Refused, Shape, Wanted

DEEPEST = 64
MOST_FIELDS = 1000
LONGEST_SAFE = 300
"""Digits of an integer that surely is within a double (which ends at 309 of them)."""

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
ADD_JSON = (
    "add the header Content-Type: application/json (curl: -H 'Content-Type: application/json')"
)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of a multipart form, to be written to `path` for the script."""

    path: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Payload:
    """A parsed delivery: the value, the bytes for stdin, the files that belong to it."""

    value: Json
    stdin: bytes
    uploads: tuple[Upload, ...] = ()


def refuse_encoded(encoding: str) -> None:
    """Raise Refused(415) for a body that is compressed: nobody here unpacks strangers' bytes."""
    if encoding.strip().lower() not in ("", "identity"):
        told = f"Content-Encoding {encoding[:40]!r} is not taken; send the body as it is"
        raise Refused(415, told)


def parse(
    method: str, content_type: str, query: str, body: bytes, shape: Shape | None, folder: str
) -> Payload:
    """Read a delivery. Uploads are to lie in `folder`. Raises Refused(400 or 415)."""
    if method == "GET":
        return _as_json(_fields_of(query, "the query"), shape)
    kind, _, _ = content_type.partition(";")
    kind = kind.strip().lower()
    if not kind and not body:
        return _as_json([], shape)
    if kind == "application/json" or kind.endswith("+json") or kind == "text/plain":
        _need_utf8(content_type)
        return Payload(read_json(body), body)
    if kind == FORM:
        return _parse_form(body, shape)
    if kind == MULTIPART:
        return _parse_multipart(content_type, body, shape, folder)
    if not kind:
        raise Refused(415, f"the body has no Content-Type; {ADD_JSON}")
    raise Refused(
        415,
        f"{kind[:100]!r} is not taken; send application/json, text/plain holding JSON, "
        f"{FORM} or {MULTIPART}",
    )


def query_fields(query: str) -> dict[str, Json]:
    """A query as an object; a repeated field is a list. Raises Refused(400)."""
    return _object(_fields_of(query, "the query"))


def read_json(body: bytes) -> Json:
    """The value of a JSON text. Raises Refused(400) with the place where it is not one."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(400, f"the body is not UTF-8 at byte {error.start}") from None
    if text.startswith("\ufeff"):
        raise Refused(400, "the body begins with a byte order mark; send JSON without one")
    if not text.strip():
        raise Refused(400, "the body is empty; send a JSON value")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_in_range,
        )
    except json.JSONDecodeError as error:
        raise Refused(
            400,
            f"the body is not JSON: {error.msg.removesuffix(' at')} "
            f"at line {error.lineno} column {error.colno}",
        ) from None
    except _Unfit as error:
        raise Refused(400, f"the body is not JSON that can be taken: {error}") from None
    except RecursionError:
        raise Refused(400, f"the body is nested more than {DEEPEST} deep") from None
    except ValueError:
        raise Refused(400, "the body holds a number of too many digits") from None
    if text.count("[") + text.count("{") > DEEPEST and _deeper_than(value, DEEPEST):
        raise Refused(400, f"the body is nested more than {DEEPEST} deep")
    return value


class _Unfit(Exception):
    """JSON by its grammar, but nothing two readers would read alike."""


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise _Unfit(f"the key {twice[:60]!r} stands twice in one object")
    return found


def _no_constant(name: str) -> Json:
    raise _Unfit(f"{name} is not a JSON number")


def _in_range(text: str) -> int:
    number = int(text)
    if len(text) > LONGEST_SAFE and math.isinf(float(text)):
        raise _Unfit(f"the number {text[:60]} is out of range")
    return number


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _Unfit(f"the number {text[:60]} is out of range")
    return number


def _deeper_than(value: Json, limit: int) -> bool:
    level: list[Json] = [value]
    for _ in range(limit):
        level = [inner for outer in level for inner in _members(outer)]
        if not level:
            return False
    return any(isinstance(value, dict | list) for value in level)


def _members(value: Json) -> Iterable[Json]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _need_utf8(content_type: str) -> None:
    found = re.search(r';\s*charset\s*=\s*"?([^";\s]+)', content_type, re.IGNORECASE)
    if found and found[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        raise Refused(415, f"charset {found[1][:40]!r} is not taken; send UTF-8")


def _parse_form(body: bytes, shape: Shape | None) -> Payload:
    if body.lstrip()[:1] in (b"{", b"["):
        raise Refused(415, f"the body looks like JSON but was sent as a form; {ADD_JSON}")
    try:
        text = body.decode("ascii")
    except UnicodeDecodeError as error:
        raise Refused(
            400, f"the form is not percent-encoded at byte {error.start}; encode it, in UTF-8"
        ) from None
    fields = _fields_of(text, "the form")
    if len(fields) == 1 and fields[0][0] == "payload" and fields[0][1][:1] in ("{", "["):
        stdin = fields[0][1].encode("utf-8")
        return Payload(read_json(stdin), stdin)
    return _as_json(fields, shape)


def _parse_multipart(content_type: str, body: bytes, shape: Shape | None, folder: str) -> Payload:
    # Imported late: most servers never see a multipart form, and all of them must start.
    from multipart import MultipartError, PushMultipartParser, parse_options_header

    boundary = parse_options_header(content_type)[1].get("boundary", "")
    if not boundary:
        raise Refused(400, "the multipart form names no boundary in its Content-Type")
    fields: list[tuple[str, Json]] = []
    uploads: list[Upload] = []
    try:
        with PushMultipartParser(
            boundary, content_length=len(body), max_segment_count=MOST_FIELDS, strict=True
        ) as parser:
            for part, data in _parts(parser, body):
                if part.filename is None:
                    fields.append((part.name, data.decode("utf-8")))
                elif part.filename or data:  # a browser sends a file field left empty, too
                    path = f"{folder}/{len(uploads) + 1}-{_safe_name(part.filename)}"
                    uploads.append(Upload(path, data))
                    fields.append((part.name, _described(part, path, len(data))))
    except MultipartError as error:
        told = str(error.args[0] if error.args else error)[:200]
        raise Refused(400, f"the multipart form cannot be read: {told}") from None
    except UnicodeDecodeError:
        raise Refused(400, "the multipart form has a field that is not UTF-8") from None
    return _as_json(fields, shape, tuple(uploads))


def _parts(parser: Json, body: bytes) -> Iterable[tuple[Json, bytes]]:
    """Each part of the form with all its bytes."""
    part: Json = None
    chunks: list[bytes] = []
    for event in parser.parse(body):
        if event is None:
            yield part, b"".join(chunks)
        elif isinstance(event, bytes | bytearray):
            chunks.append(bytes(event))
        else:
            part, chunks = event, []


def _described(part: Json, path: str, size: int) -> dict[str, Json]:
    kind = part.content_type or "application/octet-stream"
    return {"filename": part.filename, "path": path, "type": kind, "size": size}


def _safe_name(filename: str) -> str:
    """A name that is one plain file name in any folder; its end, with the suffix, is kept."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", filename)[-100:] or "file"


def _fields_of(text: str, what: str) -> list[tuple[str, Json]]:
    try:
        return list(
            parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
        )
    except UnicodeDecodeError:
        raise Refused(400, f"{what} is not UTF-8 once percent-decoded") from None
    except ValueError:
        raise Refused(400, f"{what} has more than {MOST_FIELDS} fields") from None


def _as_json(
    fields: list[tuple[str, Json]], shape: Shape | None, uploads: tuple[Upload, ...] = ()
) -> Payload:
    value = _object(fields)
    if shape:
        value = _typed(value, shape)
    return Payload(value, json.dumps(value, ensure_ascii=False).encode("utf-8"), uploads)


def _object(fields: list[tuple[str, Json]]) -> dict[str, Json]:
    found: dict[str, list[Json]] = {}
    for name, value in fields:
        found.setdefault(name, []).append(value)
    return {name: values if len(values) > 1 else values[0] for name, values in found.items()}


def _typed(fields: dict[str, Json], shape: Shape) -> dict[str, Json]:
    """Text made into what the schema asks for, where it can be; a form knows only text."""
    typed = {}
    for name, value in fields.items():
        wanted = shape.wanted(name)
        if value == "" and wanted.types and "string" not in wanted.types:
            continue  # a field left empty in a browser is sent all the same
        typed[name] = _as_wanted(value, wanted)
    return typed


def _as_wanted(value: Json, wanted: Wanted) -> Json:
    if isinstance(value, list):
        return [_as_type(item, wanted.items) for item in value]
    if "array" in wanted.types and "string" not in wanted.types:
        return [_as_type(value, wanted.items)]
    return _as_type(value, wanted.types)


def _as_type(value: Json, types: frozenset[str]) -> Json:
    if not isinstance(value, str) or "string" in types:
        return value
    if types & {"integer", "number"} and re.fullmatch(r"-?(?:0|[1-9][0-9]{0,17})", value):
        return int(value)
    if "number" in types and re.fullmatch(r"-?[0-9]{1,17}\.[0-9]{1,17}", value):
        return float(value)
    if "boolean" in types and value in BOOLEANS:
        return BOOLEANS[value]
    return value


BOOLEANS = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}
