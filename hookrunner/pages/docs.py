"""The page /-/docs: every hook as whoever posts to it must know it, and what the server tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hookrunner.model import Json
from hookrunner.pages import fields, layout, links, parts
from hookrunner.pages.markup import Html, Inside, join, tag
from hookrunner.pages.shown import DocsHook, DocsPage, Frame

ANSWERS = ("Status", "When", "Body", "Headers")
OWN = ("Request", "What", "For")
OPENAPI = "/-/openapi.json"


def page(frame: Frame, shown: DocsPage) -> str:
    """The document as HTML."""
    info = shown.document["info"]
    whole = tag("a", "openapi.json", href=OPENAPI)
    told = info.get("description", "")
    return layout.page(
        frame,
        "API",
        layout.heading(info["title"], tag("span", "Version ", info["version"], class_="soft")),
        *[tag("p", line) for line in told.split("\n\n") if line.strip()],
        tag("p", "For programs that make clients, forms and tests of it: ", whole, class_="soft"),
        *[_hook(each, n, shown.document) for n, each in enumerate(shown.hooks, 1)],
        layout.section("The server itself", parts.table("Pages", OWN, _own(shown))),
        place="API",
    )


def _hook(hook: DocsHook, number: int, document: Json) -> Html:
    item = document["paths"][hook.described]
    methods = {method: each for method, each in item.items() if method != "parameters"}
    first = next(iter(methods.values()))
    form = tag("a", "Settings, and a form to try it", href=f"{links.hook(hook.path)}#try-it")
    facts: list[tuple[Inside, Inside]] = [
        ("Methods", ", ".join(method.upper() for method in methods)),
        ("Who may post", _proofs(first["security"], document)),
        ("Takes", _kinds(methods)),
    ]
    return layout.section(
        hook.path,
        tag("p", f"{first['summary']}. {first['description']}"),
        parts.pairs(facts, "wide"),
        fields.table(hook.schema) if hook.schema is not None else layout.empty("Any payload."),
        tag(
            "details",
            tag("summary", "Answers"),
            parts.table(f"Answers of {hook.path}", ANSWERS, _answers(first, document)),
        ),
        beside=form,
        anchor=f"hook-{number}",
    )


def _proofs(security: Json, document: Json) -> str:
    """Who may post, in words."""
    if not security:
        return "Anybody."
    schemes = document["components"]["securitySchemes"]
    told = []
    for each in security:
        for name in each:
            scheme = schemes[name]
            kind = ("in", "name") if "in" in scheme else ("type", "scheme")
            where = " ".join(scheme[word] for word in kind)
            told.append(f"{name} ({where}). {scheme.get('description', '')}".strip())
    return " Or: ".join(told) or "See above."


def _kinds(methods: Mapping[str, Json]) -> str:
    kinds = [
        kind for each in methods.values() for kind in each.get("requestBody", {}).get("content", ())
    ]
    query = ["the query of a GET"] if "get" in methods else []
    return ", ".join(dict.fromkeys([*query, *kinds]))


def _answers(operation: Json, document: Json) -> Iterator[list[Inside]]:
    common = document["components"]["responses"]
    for status, answer in operation["responses"].items():
        whole = common[status] if "$ref" in answer else answer
        yield [
            tag("code", status),
            whole["description"],
            ", ".join(whole.get("content", ())) or parts.NOTHING,
            ", ".join(whole.get("headers", ())) or parts.NOTHING,
        ]


def _own(shown: DocsPage) -> Iterator[list[Inside]]:
    of_hooks = {hook.described for hook in shown.hooks}
    for path, item in shown.document["paths"].items():
        if path in of_hooks:
            continue
        for method, operation in item.items():
            if method != "parameters":
                yield [
                    join([tag("code", method.upper(), " ", path)]),
                    f"{operation['summary']}.",
                    _whom(operation["security"]),
                ]


def _whom(security: Json) -> str:
    if not security:
        return "anybody"
    return "whoever knows the id" if {} in security else "the administrator"
