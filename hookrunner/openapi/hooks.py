"""A hook as OpenAPI's operations: what it takes, from whom, and every answer that it may give."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from hookrunner import form, route, units
from hookrunner.auth import ANYBODY
from hookrunner.auth.scheme import NO_HANDSHAKE
from hookrunner.model import Hook, Json
from hookrunner.openapi import proofs
from hookrunner.openapi.answers import (
    JSON_TYPE,
    PROBLEMS,
    TEXT,
    UNREAD,
    answer,
    headers,
    linked,
    problems,
    schema,
)
from hookrunner.openapi.bundle import PLACE, Bundle
from hookrunner.openapi.proofs import Proofs
from hookrunner.payload import MULTIPART
from hookrunner.schema import Schema

RUN = "$response.header.Hook-Run"
FLAT = ("string", "integer", "number", "boolean")
"""The types that a field of a form can have."""

SEGMENT: Json = {
    "type": "string",
    "pattern": r"^[^/\u0000-\u001f\u007f]+$",
    "not": {"enum": [".", ".."]},
}
PREFER: Json = {
    "name": "Prefer",
    "in": "header",
    "description": "`respond-async`, or `wait=10` for so many seconds at most (RFC 7240).",
    "schema": TEXT,
}


def path_of(hook: Hook) -> str:
    """`/deploy/<env>` as OpenAPI writes it."""
    return route.NAME.sub(r"{\1}", hook.path)


def word_of(hook: Hook) -> str:
    """A word for a hook that can stand in names."""
    return re.sub(r"[^A-Za-z0-9]+", "_", hook.path).strip("_") or "root"


class Describer:
    """Makes operations of hooks; what they have in common is gathered beside them."""

    def __init__(self, taken: Collection[str] = ()) -> None:
        """`taken` are the names of other operations."""
        self.bundle = Bundle()
        self.proofs = Proofs()
        self._words: set[str] = set()
        self._taken = taken

    def operations(self, hook: Hook) -> dict[str, Json]:
        """The hook's operations by method, as an item of the document's `paths`."""
        word = self._word(hook)
        payload: Json = None
        if isinstance(hook.schema, Schema):
            payload = self.bundle.add(f"payload_{word}", hook.schema)
        item: dict[str, Json] = {
            method.lower(): self._operation(hook, method, word, payload) for method in hook.methods
        }
        if names := route.params(hook.path):
            item["parameters"] = [
                {"name": name, "in": "path", "required": True, "schema": SEGMENT} for name in names
            ]
        return item

    def _word(self, hook: Hook) -> str:
        word, number = word_of(hook), 1
        while word in self._words or any(_name(m, word) in self._taken for m in hook.methods):
            number += 1
            word = f"{word_of(hook)}_{number}"
        self._words.add(word)
        return word

    def _operation(self, hook: Hook, method: str, word: str, payload: Json) -> dict[str, Json]:
        taken = self._query(hook, payload) if method == "GET" else _body(hook, payload, self.bundle)
        parameters = [*taken.pop("parameters", ()), *_headers(hook), PREFER]
        return {
            "operationId": _name(method, word),
            "tags": ["hooks"],
            "summary": f"Runs {hook.script.name}",
            "description": " ".join(_told(hook)),
            "parameters": parameters,
            **taken,
            "security": self.proofs.of(hook.auth),
            "responses": dict(sorted(_responses(hook).items())),
        }

    def _query(self, hook: Hook, payload: Json) -> dict[str, Json]:
        """A GET's payload is its query: a parameter for each field that the schema names."""
        if payload is None:
            return {}
        whole = self.bundle.schemas[payload["$ref"].removeprefix(PLACE)]
        fields = whole.get("properties") if isinstance(whole, dict) else None
        hidden = {name for scheme in hook.auth for name in scheme.credential_fields}
        needed = whole.get("required", []) if fields else []
        return {
            "parameters": [
                {"name": name, "in": "query", "required": name in needed, "schema": each}
                for name, each in (fields or {}).items()
                if name not in hidden
            ]
        }


def _name(method: str, word: str) -> str:
    """What an operation is called, for those who make functions of it."""
    return f"{method.lower()}_{word}"


def _body(hook: Hook, payload: Json, bundle: Bundle) -> dict[str, Json]:
    kinds = [JSON_TYPE, *([form.TYPE, MULTIPART] if _is_flat(payload, bundle) else [])]
    takes_none = hook.schema is None or not hook.schema.misfits({})
    return {
        "requestBody": {
            "required": not takes_none,
            "description": f"At most {units.show_size(hook.max_body)}. JSON may be sent as "
            "`text/plain`, too, and fields as a form.",
            "content": {kind: {"schema": {} if payload is None else payload} for kind in kinds},
        }
    }


def _is_flat(payload: Json, bundle: Bundle) -> bool:
    """True if a form can hold whatever the schema lets through: fields that are no objects."""
    if payload is None:
        return False
    whole = bundle.schemas[payload["$ref"].removeprefix(PLACE)]
    if not isinstance(whole, dict) or whole.get("type") != "object":
        return False
    fields = whole.get("properties")
    return isinstance(fields, dict) and all(
        isinstance(each, dict) and each.get("type") in FLAT for each in fields.values()
    )


def _headers(hook: Hook) -> Iterator[Json]:
    if hook.dedupe.header:
        told = "What tells a delivery from others: one that repeats it joins its run."
        name = hook.dedupe.header.title()
        yield {"name": name, "in": "header", "description": told, "schema": TEXT}


def _told(hook: Hook) -> Iterator[str]:
    """What there is to know of the hook, a sentence each."""
    if hook.missing:
        yield "It is switched off, because its secret is not set."
    yield {
        "accepted": "It is answered at once.",
        "status": f"Its sender waits {units.show_duration(hook.respond.wait)} for the run's end.",
        "output": f"Its sender waits {units.show_duration(hook.respond.wait)} for what the "
        "script prints.",
    }[hook.respond.mode]
    if hook.when is not None:
        yield "Some deliveries are of no interest, and make no run."
    if any(_greets(scheme) for scheme in hook.auth):
        yield "It answers its sender's handshake by itself."
    yield from proofs.in_words(hook.auth)


def _greets(scheme: object) -> bool:
    return getattr(scheme, "handshake", NO_HANDSHAKE) is not NO_HANDSHAKE


def _responses(hook: Hook) -> dict[str, Json]:
    """Every answer that a sender may get."""
    said = problems(*UNREAD, 404, 405, 415, 422, 500, 503, 504)
    if hook.auth:
        said |= problems(401)
    if any(_greets(scheme) for scheme in hook.auth):
        said |= problems(403)
    if hook.terms.rate:
        said |= problems(429)
    for code in dict.fromkeys(hook.respond.exit_status.values()):
        done, status = _done(hook, "As the script's exit code says."), str(code)
        said[status] = _both(PROBLEMS[status], done) if status in said else done
    for status, each in _successes(hook).items():
        said[status] = _both(said[status], each) if status in said else each
    return said


def _successes(hook: Hook) -> dict[str, Json]:
    said: dict[str, Json] = {}
    if hook.respond.redirect is not None:
        told = "It has been taken in; a page to go to."
        said["303"] = linked(answer(told, "", None, "Location", "Hook-Run"), RUN)
    else:
        for manners in dict.fromkeys(scheme.manners for scheme in hook.auth or (ANYBODY,)):
            status, bare = manners.accepted, manners.bare
            told = "It will run; `Location` says where to look how it stands."
            named = ("Location", "Hook-Run", "Preference-Applied")
            kind, body = ("", None) if bare else (JSON_TYPE, schema("Accepted"))
            said[str(status)] = linked(answer(told, kind, body, *named), RUN)
        done = _done(hook, "The script has succeeded.")
        said["200"] = _both(said["200"], done) if "200" in said else done
    if hook.when is not None:
        ignored = answer("It is of no interest, and makes no run.", JSON_TYPE, schema("Ignored"))
        said["200"] = _both(said["200"], ignored) if "200" in said else ignored
    if any(_greets(scheme) for scheme in hook.auth):
        greeted = answer("A handshake's answer.", "text/plain", TEXT)
        said["200"] = _both(said["200"], greeted) if "200" in said else greeted
    return said


def _done(hook: Hook, told: str) -> dict[str, Json]:
    """How a run's end is told."""
    if hook.respond.mode == "output":
        kind = hook.respond.type
        said = answer(told, kind, TEXT if kind.startswith("text/") else {})
    else:
        said = answer(told, JSON_TYPE, schema("RunSummary"))
    own = {name: {"schema": TEXT} for name, _ in hook.respond.headers}
    named = {**headers("Hook-Run", "Preference-Applied"), **own}
    return linked({**said, "headers": named}, RUN)


def _both(one: Mapping[str, Json], other: Mapping[str, Json]) -> dict[str, Json]:
    """Two answers of one status: either may come, so that no header, and no run, has to."""
    contents = {**one.get("content", {})}
    for kind, body in other.get("content", {}).items():
        mine = contents.get(kind)
        both = {"schema": {"anyOf": [mine["schema"], body["schema"]]}} if mine else body
        both = body if mine == body else both
        contents[kind] = both
    told = f"{one['description']} Or: {other['description']}"
    return {"description": told, "content": contents}
