"""Our own pages as OpenAPI's operations: what programs may ask the server itself."""

from __future__ import annotations

from collections.abc import Mapping

from hookrunner import asking
from hookrunner.access import PAGES, Who
from hookrunner.asking import Queries
from hookrunner.model import Json
from hookrunner.openapi.answers import (
    JSON_TYPE,
    RUN_ID,
    TEXT,
    UNREAD,
    answer,
    linked,
    problems,
    schema,
)
from hookrunner.openapi.proofs import ADMIN

RUN = "$response.body#/run"
TEXT_TYPE = "text/plain; charset=utf-8"


def _told(summary: str, body: str, *named: str) -> dict[str, Json]:
    return {"200": answer(summary, JSON_TYPE, schema(body), *named)}


class _Page:
    """An operation on a page of ours."""

    def __init__(
        self,
        name: str,
        summary: str,
        answers: Mapping[str, Json],
        queries: Queries = asking.NOTHING,
        *refusals: int,
    ) -> None:
        self.name = name
        self.summary = summary
        self.answers = answers
        self.queries = queries
        self.refusals = refusals


STREAM = "/-/runs/<run_id>/<stream:re:stdout|stderr>"
ANSWERS: Mapping[str, _Page] = {
    "GET /-/health": _Page("health", "Whether the process answers", _told("It does.", "Health")),
    "GET /-/ready": _Page(
        "ready",
        "Whether deliveries can be taken in and carried out",
        {
            **_told("They can.", "Health"),
            "503": answer("What is wrong.", "application/problem+json", schema("Problem")),
        },
    ),
    "GET /-/metrics": _Page(
        "get_metrics",
        "All numbers as Prometheus reads them",
        {"200": answer("They, or in OpenMetrics to whoever asks for it.", TEXT_TYPE, TEXT)},
    ),
    "GET /-/": _Page("overview", "What goes on", _told("All hooks, and what runs.", "Overview")),
    "GET /-/hooks": _Page(
        "list_hooks", "All hooks, with their last 24 hours", _told("All of them.", "HookList")
    ),
    "GET /-/hook": _Page("get_hook", "One hook", _told("The hook.", "HookWhole"), asking.HOOK, 404),
    "GET /-/runs": _Page(
        "list_runs", "Runs, newest first", _told("A page of them.", "RunList", "Link"), asking.RUNS
    ),
    "GET /-/runs/<run_id>": _Page(
        "get_run",
        "How a run stands; all of it for the administrator",
        {"200": linked(answer("The run.", JSON_TYPE, schema("Run")), RUN)},
        asking.PLACES,
        404,
    ),
    "POST /-/runs/<run_id>/replay": _Page(
        "replay_run",
        "Do a run again, under today's hook and schema",
        {"202": linked(answer("The new run.", JSON_TYPE, schema("Accepted"), "Location"), RUN)},
        asking.NOTHING,
        404,
        415,
        422,
    ),
    "POST /-/runs/<run_id>/cancel": _Page(
        "cancel_run",
        "End a run",
        {"200": linked(answer("The run.", JSON_TYPE, schema("Run")), RUN)},
        asking.NOTHING,
        404,
        409,
    ),
    "POST /-/prune": _Page(
        "prune", "Forget runs that have ended", _told("How many.", "Pruned"), asking.OLDER
    ),
    "GET /-/refusals": _Page(
        "list_refusals",
        "What was turned away, newest first",
        _told("A page of it.", "RefusalList", "Link"),
        asking.REFUSALS,
    ),
    "GET /-/openapi.json": _Page(
        "describe",
        "This document",
        {"200": answer("An OpenAPI document.", JSON_TYPE, {"type": "object"})},
    ),
}
"""What programs are told; pages that are for browsers alone are not here."""

NAMES = frozenset({*(page.name for page in ANSWERS.values()), "get_stdout", "get_stderr"})
"""Of the operations; no hook's may be called so."""

OF_BROWSERS = frozenset(
    {
        "GET /-/assets/<name>",
        "GET /-/login",
        "POST /-/login",
        "POST /-/logout",
        "POST /-/hook/try",
        "GET /-/docs",
        "GET /-/runs/<run_id>/live",
    }
)
RUN_PARAMETER: Json = {"name": "run_id", "in": "path", "required": True, "schema": RUN_ID}


def paths() -> dict[str, Json]:
    """Our own pages, as items of the document's `paths`."""
    made: dict[str, dict[str, Json]] = {}
    for page, methods in PAGES.items():
        for method, who in methods.items():
            asked = f"{method} {page}"
            if page == STREAM:
                for stream in ("stdout", "stderr"):
                    path = f"/-/runs/{{run_id}}/{stream}"
                    made[path] = {"get": _operation(_output(stream), who), **_run_parameter(path)}
            elif asked not in OF_BROWSERS:
                path = page.replace("<run_id>", "{run_id}")
                item = made.setdefault(path, _run_parameter(path))
                item[method.lower()] = _operation(ANSWERS[asked], who)
    return made


def _run_parameter(path: str) -> dict[str, Json]:
    return {"parameters": [RUN_PARAMETER]} if "{run_id}" in path else {}


def _output(stream: str) -> _Page:
    told = {"200": answer("As it was printed, secrets masked.", TEXT_TYPE, TEXT)}
    summary = f"All that an attempt has printed on {stream}"
    return _Page(f"get_{stream}", summary, told, asking.ATTEMPT, 404)


def _operation(page: _Page, who: Who) -> dict[str, Json]:
    security: list[Json] = {
        Who.ANYBODY: [],
        Who.KNOWING: [{ADMIN: []}, {}],
        Who.ADMINISTRATOR: [{ADMIN: []}],
    }[who]
    guarded = () if who is Who.ANYBODY else (401, 403, 429, 503)
    refusals = problems(*UNREAD, 405, 500, *guarded, *page.refusals)
    said: dict[str, Json] = {
        "operationId": page.name,
        "tags": ["server"],
        "summary": page.summary,
        "security": security,
        "responses": dict(sorted({**refusals, **page.answers}.items())),
    }
    if page.queries:
        said["parameters"] = [
            {
                "name": name,
                "in": "query",
                "required": asked.needed,
                "description": asked.told[:1].upper() + asked.told[1:] + ".",
                "schema": asked.schema,
            }
            for name, asked in page.queries.items()
        ]
    return said
