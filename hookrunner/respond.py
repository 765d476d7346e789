"""The setting `respond:`, how a hook answers its sender: read, and nothing more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast, get_args

from hookrunner.auth.settings import HEADER_NAME
from hookrunner.model import Mode, Respond
from hookrunner.sections import (
    HOUR,
    Section,
    Value,
    Wrong,
    duration_up_to,
    one_of,
    show,
    text,
    whole,
)

WAIT = {"accepted": 0.0, "status": 8.0, "output": 25.0}
DEFAULT = Respond(mode="status", wait=WAIT["status"])

FRAMING = {"content-length", "transfer-encoding", "connection", "content-type", "hook-run", "date"}
VISIBLE = re.compile(r"[\x20-\x7e]+")


def read(value: Value) -> Respond:
    """`accepted`, `status` or `output`; or a mapping that says more."""
    mode = one_of(*get_args(Mode))
    if not isinstance(value.plain, dict):
        found = cast(Mode, mode(value))
        return Respond(mode=found, wait=WAIT[found])
    section = value.section()
    named = cast(Mode, section.take("mode", mode, default="status"))
    respond = Respond(
        mode=named,
        wait=_wait(section, named),
        type=section.take("type", _visible, default="text/plain; charset=utf-8"),
        headers=section.take("headers", _headers, default=()),
        exit_status=section.take("exit_status", _exit_status, default={}),
        redirect=section.take("redirect", _visible),
    )
    section.refuse_leftovers()
    return respond


def _wait(section: Section, mode: Mode) -> float:
    found = section.find("wait")
    if found and mode == "accepted":
        found.complain("mode: accepted answers at once and waits for nothing; take wait out")
        return WAIT[mode]
    # An hour: each that waits keeps one of the places.
    return section.take("wait", duration_up_to(HOUR), default=WAIT[mode])


def _headers(value: Value) -> tuple[tuple[str, str], ...]:
    found = []
    for key, item in value.section().pairs():
        if not HEADER_NAME.fullmatch(key.title) or key.title.lower() in FRAMING:
            key.complain(f"{show(key.title)} is not a header that can be set here")
        elif (read := item.read(_visible)) is not None:
            found.append((key.title, read))
    return tuple(found)


def _exit_status(value: Value) -> Mapping[int, int]:
    found = {}
    for key, item in value.section().pairs():
        # Without leading zeros, or 3 and 03 would be two keys for one code.
        if not re.fullmatch(r"[1-9][0-9]{0,2}", key.title) or int(key.title) > 255:
            key.complain(f"exit_status: {show(key.title)} is no exit code from 1 to 255")
        elif (read := item.read(whole(200, 599))) is not None:
            found[int(key.title)] = read
    return found


def _visible(value: Value) -> str:
    found = text(value)
    if not VISIBLE.fullmatch(found):
        raise Wrong("plain ASCII text")
    return found
