"""The setting `info:` of hooks.yaml: what the hooks are together, for whoever writes a client."""

from __future__ import annotations

from dataclasses import dataclass

from hookrunner.sections import Value, text


@dataclass(frozen=True, slots=True)
class Info:
    """A title, a version that the project gives its hooks, and a text (CommonMark)."""

    title: str = "hookrunner"
    version: str = "0"
    description: str = ""


def read(value: Value) -> Info:
    """`info: {title: Our hooks, version: "1.2"}`; what is left out is as for no `info:`."""
    default, section = Info(), value.section()
    info = Info(
        title=section.take("title", text, default=default.title),
        version=section.take("version", text, default=default.version),
        description=section.take("description", text, default=default.description),
    )
    section.refuse_leftovers()
    return info
