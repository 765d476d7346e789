"""What a delivery says: its body, or a GET's query, as a JSON value and as the script's stdin.

JSON reaches the script byte for byte as it was sent; a form, a multipart form and a
query become a JSON object. The journal keeps the raw request, and this is done anew for
each attempt, so nothing here may depend on anything but its arguments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from hookrunner import form, jsontext
from hookrunner.model import Json, Refused, Shape, Wanted

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
        return _as_json(list(form.fields(query, "the query")), shape)
    kind, _, _ = content_type.partition(";")
    kind = kind.strip().lower()
    if not kind and not body:
        return _as_json([], shape)
    if kind == "application/json" or kind.endswith("+json") or kind == "text/plain":
        _need_utf8(content_type)
        return Payload(jsontext.read(body), body)
    if kind == form.TYPE:
        return _parse_form(body, shape)
    if kind == MULTIPART:
        return _parse_multipart(content_type, body, shape, folder)
    if not kind:
        raise Refused(415, f"the body has no Content-Type; {ADD_JSON}")
    raise Refused(
        415,
        f"{kind[:100]!r} is not taken; send application/json, text/plain holding JSON, "
        f"{form.TYPE} or {MULTIPART}",
    )


def _need_utf8(content_type: str) -> None:
    found = re.search(r';\s*charset\s*=\s*"?([^";\s]+)', content_type, re.IGNORECASE)
    if found and found[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        raise Refused(415, f"charset {found[1][:40]!r} is not taken; send UTF-8")


def _parse_form(body: bytes, shape: Shape | None) -> Payload:
    if body.lstrip()[:1] in (b"{", b"["):
        raise Refused(415, f"the body looks like JSON but was sent as a form; {ADD_JSON}")
    fields = form.fields(form.text_of(body), "the form")
    if len(fields) == 1 and fields[0][0] == "payload" and fields[0][1][:1] in ("{", "["):
        stdin = fields[0][1].encode("utf-8")
        return Payload(jsontext.read(stdin), stdin)
    return _as_json(list(fields), shape)


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
            boundary, content_length=len(body), max_segment_count=form.MOST_FIELDS, strict=True
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


def _as_json(
    fields: list[tuple[str, Json]], shape: Shape | None, uploads: tuple[Upload, ...] = ()
) -> Payload:
    value = form.as_object(fields)
    if shape:
        value = _typed(value, shape)
    return Payload(value, json.dumps(value, ensure_ascii=False).encode("utf-8"), uploads)


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
