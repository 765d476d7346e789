"""What comes back: the schemas and headers of answers, and answers themselves, by status."""

from __future__ import annotations

from collections.abc import Mapping

from hookrunner.model import Json, State, Why

ID = "^[a-z2-7]{20}$"
PROBLEM_TYPE = "application/problem+json"
JSON_TYPE = "application/json"
TEXT: Json = {"type": "string"}
NUMBER: Json = {"type": "number"}
COUNT: Json = {"type": "integer", "minimum": 0}
RUN_ID: Json = {"type": "string", "pattern": ID}
STATE: Json = {"type": "string", "enum": [*map(str, State)]}
MAYBE_NUMBER: Json = {"type": ["number", "null"]}
MAYBE_INTEGER: Json = {"type": ["integer", "null"]}
MAYBE_TIME: Json = {"type": ["string", "null"], "format": "date-time"}
WHY: Json = {"type": ["string", "null"], "enum": [*map(str, Why), None]}
STATUS: Json = {"type": "integer", "minimum": 100, "maximum": 599}


def record(needed: Mapping[str, Json], more: Mapping[str, Json] | None = None) -> Json:
    """An object that has these, and may have more."""
    return {
        "type": "object",
        "required": [*needed],
        "properties": {**needed, **(more or {})},
    }


def schema(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def several(of: Json) -> Json:
    return {"type": "array", "items": of}


def maybe(of: Json) -> Json:
    return {"anyOf": [of, {"type": "null"}]}


_PROBLEM = {"type": TEXT, "title": TEXT, "status": STATUS, "detail": TEXT}
_SUMMARY = {"run": RUN_ID, "state": STATE, "attempt": COUNT}
_ENDED = {"exit_code": MAYBE_INTEGER, "signal": MAYBE_INTEGER, "why": WHY, "seconds": NUMBER}
_OUTCOME = {
    "state": STATE,
    "why": WHY,
    "exit_code": MAYBE_INTEGER,
    "signal": MAYBE_INTEGER,
    "detail": TEXT,
    "seconds": NUMBER,
}
_ROW = {
    "hook": TEXT,
    "event": TEXT,
    "delivery": TEXT,
    "recorded_at": MAYBE_TIME,
    "ended_at": MAYBE_TIME,
    "due": MAYBE_TIME,
    "replaces": TEXT,
    "seq": COUNT,
    "outcome": maybe(schema("Outcome")),
}
_PIECE = {
    "number": COUNT,
    "started_at": MAYBE_TIME,
    "outcome": maybe(schema("Outcome")),
    **dict.fromkeys(("stdout", "stderr"), TEXT),
    **{f"{stream}_{end}": COUNT for stream in ("stdout", "stderr") for end in ("next", "end")},
}
_HOOK = {
    "path": TEXT,
    "params": several(TEXT),
    "methods": several(TEXT),
    "auth": several(TEXT),
    "script": TEXT,
    "missing": several(TEXT),
    "last": maybe(schema("RunInList")),
    "queued": COUNT,
    "running": COUNT,
    "day": record(
        {
            **dict.fromkeys(("succeeded", "failed", "cancelled"), COUNT),
            **dict.fromkeys(("p50", "p95"), MAYBE_NUMBER),
        }
    ),
}
_NEXT: Json = {
    "type": ["string", "null"],
    "description": "Where the list goes on; null at its end.",
}
SCHEMAS: Mapping[str, Json] = {
    "Problem": {**record(_PROBLEM), "description": "RFC 9457."},
    "Misfit": record({**_PROBLEM, "errors": several(record({"pointer": TEXT, "detail": TEXT}))}),
    "FailedRun": record(_PROBLEM, {**_SUMMARY, **_ENDED}),
    "Accepted": record({"run": RUN_ID, "state": STATE, "location": TEXT}),
    "Ignored": record({"status": {"type": "string", "const": "ignored"}}),
    "RunSummary": record(_SUMMARY, _ENDED),
    "Outcome": record(_OUTCOME),
    "RunInList": record({**_SUMMARY, **_ROW}),
    "Attempt": record(
        {
            "number": COUNT,
            "started_at": MAYBE_TIME,
            "outcome": maybe(schema("Outcome")),
            "stdout": TEXT,
            "stderr": TEXT,
            "stdout_bytes": COUNT,
            "stderr_bytes": COUNT,
            "cut": {"type": "boolean"},
        }
    ),
    "Request": record(
        {
            **dict.fromkeys(("method", "path", "query", "content_type", "remote_addr"), TEXT),
            "params": {"type": "object", "additionalProperties": TEXT},
            "headers": {"type": "object", "additionalProperties": TEXT},
            "body": {
                "type": "object",
                "properties": {"text": TEXT, "base64": TEXT},
                "description": "Its bytes, as text where they are UTF-8.",
            },
        }
    ),
    "Run": {
        **record(
            _SUMMARY,
            {
                **_ENDED,
                **_ROW,
                "request": schema("Request"),
                "attempts": several(schema("Attempt")),
                "printed": maybe(record(_PIECE)),
            },
        ),
        "description": "How a run stands; more of it for the administrator.",
    },
    "RunList": record({"runs": several(schema("RunInList")), "next": _NEXT}),
    "Hook": record(_HOOK),
    "HookList": record({"hooks": several(schema("Hook"))}),
    "HookWhole": record(
        {
            **_HOOK,
            "settings": {"type": "object", "additionalProperties": TEXT},
            "schema": {"description": "A JSON Schema; null for none."},
            "runs": several(schema("RunInList")),
        }
    ),
    "Overview": record(
        {
            "hooks": several(schema("Hook")),
            "slots": several(
                record(
                    {
                        "start": MAYBE_TIME,
                        "counts": {"type": "object", "additionalProperties": COUNT},
                    }
                )
            ),
            "live": several(schema("RunInList")),
        }
    ),
    "Refusal": record(
        {
            "seq": COUNT,
            "at": MAYBE_TIME,
            "method": TEXT,
            "path": TEXT,
            "status": STATUS,
            "why": TEXT,
            "address": TEXT,
            "size": COUNT,
        }
    ),
    "RefusalList": record(
        {
            "refusals": several(schema("Refusal")),
            "since_start": {
                "type": "object",
                "additionalProperties": COUNT,
                "description": "How many there were since the server's start, by status.",
            },
            "kept": COUNT,
            "next": _NEXT,
        }
    ),
    "Pruned": record({"pruned": COUNT, "more": {"type": "boolean"}}),
    "Health": record({"status": TEXT}),
}


def _header(told: str, schema: Json, *, needed: bool = True) -> Json:
    return {"description": told, "required": needed, "schema": schema}


HEADERS: Mapping[str, Json] = {
    "Hook-Run": _header("The run's id.", RUN_ID),
    "Location": _header("Where to look how the run stands.", TEXT),
    "Retry-After": _header("Seconds after which to try again.", COUNT),
    "WWW-Authenticate": _header("How to prove who one is.", TEXT),
    "Allow": _header("The methods that are taken.", TEXT),
    "Preference-Applied": _header("What of `Prefer` was honoured.", TEXT, needed=False),
    "Link": _header('Where a list goes on, as `rel="next"`.', TEXT, needed=False),
}


def headers(*names: str) -> dict[str, Json]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def answer(told: str, kind: str = "", body: Json = None, *named: str) -> dict[str, Json]:
    """An answer with these headers; without a body if there is no `kind`."""
    said: dict[str, Json] = {"description": told}
    if named:
        said["headers"] = headers(*named)
    if kind:
        said["content"] = {kind: {"schema": body}}
    return said


def _problem(told: str, *named: str, body: str = "Problem") -> dict[str, Json]:
    return answer(told, PROBLEM_TYPE, schema(body), *named)


PROBLEMS: Mapping[str, Json] = {
    "400": _problem("It cannot be read."),
    "401": _problem("Credentials are missing, wrong or stale.", "WWW-Authenticate"),
    "403": _problem("It is not allowed, whoever asks."),
    "404": _problem("There is no such thing."),
    "405": _problem("The method is not taken.", "Allow"),
    "409": _problem("It has ended already."),
    "413": _problem("The body is too large."),
    "415": _problem("The kind of body is not taken."),
    "422": _problem("The payload does not fit; each place where.", body="Misfit"),
    "429": _problem("Too often.", "Retry-After"),
    "431": _problem("The head of the request is too large."),
    "500": _problem("The script failed; or an error of the server's.", body="FailedRun"),
    "501": _problem("The transfer coding is not known."),
    "503": _problem("Not just now.", "Retry-After"),
    "504": _problem("The script took too long.", body="FailedRun"),
}
"""Refusals and failures; a document has each as a component of this name."""

UNREAD = (400, 413, 431, 501)
"""What a request of any kind may get that the server cannot read. One that does not come to its
end (408, in the log) gets no answer: the connection is closed."""


def problems(*statuses: int) -> dict[str, Json]:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}


def linked(body: dict[str, Json], run: str) -> dict[str, Json]:
    """An answer that leads on to its run; `run` is where the id stands in it."""
    links = {
        name: {"operationId": name, "parameters": {"run_id": run}}
        for name in ("get_run", "replay_run", "cancel_run")
    }
    return {**body, "links": links}
