"""HTML that is escaped unless it says otherwise.

`Html` is text that is markup already; everything else that `tag` and `join` are given is
escaped, and what would not be seen in it is made visible. So a page can only be wrong by
calling something Html that is not, and that happens in this package alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

UNSEEN = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, but for tab and newline
    r"\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff"  # direction, and no width
    r"\u2028\u2029\ud800-\udfff\ufff9-\ufffb\ufffe\uffff"  # breaks, halves, what is no character
    r"\U000e0000-\U000e007f"  # tags
)
"""Characters that show nothing, or make others show differently; for a regular expression."""

RUN = re.compile(f"[{UNSEEN}]+")
VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})
HALVES = dict.fromkeys((0, *range(55296, 57344)), "�")
"""What can be in no HTML at all: NUL, and halves of characters."""

LONGEST = 2000
"""Characters of a text that are shown; longer ones are no names, and cut."""


class Html(str):
    """Text that is markup."""

    __slots__ = ()


Inside = str | None
"""What stands in an element: Html as it is, text escaped, nothing for None."""


def spell(characters: str) -> str:
    """Characters that cannot be seen, as Python would write them: `\\x1b`, `\\u202e`."""
    return "".join(_spelt(ord(character)) for character in characters)


def _spelt(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as `surrogateescape` keeps it
        return f"\\x{code - 0xDC00:02x}"
    if code == 0x0D:
        return "\\r"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def visible(text: str) -> Html:
    """Text escaped, with what would not be seen in it spelt out and marked."""
    return Html(RUN.sub(_marked, escape(text)))


def _marked(found: re.Match[str]) -> str:
    return f'<span class="ctl">{spell(found[0])}</span>'


def plain(text: str) -> Html:
    """The same for where there can be no elements: titles and options."""
    return Html(escape(RUN.sub(lambda found: spell(found[0]), text)))


def exact(text: str) -> Html:
    """Text escaped and otherwise as it is: for what a form sends back."""
    return Html(escape(text.translate(HALVES)))


def short(text: str, most: int = LONGEST) -> Html:
    """Text made visible, and cut if it is long."""
    if len(text) <= most:
        return visible(text)
    rest = len(text) - most
    return Html(f'{visible(text[:most])}<span class="cut">… {rest:,} more characters</span>')


def tag(kind: str, /, *inside: Inside, **attributes: str | int | bool | None) -> Html:
    """An element. `class_` is the attribute class, `aria_label` is aria-label.

    An attribute that is True stands by itself; one that is None or False is left out.
    """
    written = "".join(
        _attribute(key.rstrip("_").replace("_", "-"), value)
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if kind in VOID:
        return Html(f"<{kind}{written}>")
    return Html(f"<{kind}{written}>{join(inside)}</{kind}>")


def _attribute(name: str, value: str | int | bool) -> str:
    if value is True:
        return f" {name}"
    text = str(value)
    # Its value is what a form sends; in all else somebody may be misled.
    return f' {name}="{exact(text) if name == "value" else plain(text)}"'


def join(parts: Iterable[Inside]) -> Html:
    """Parts one after the other; text among them is escaped."""
    return Html("".join(map(_inside, parts)))


def _inside(part: Inside) -> str:
    if part is None:
        return ""
    return part if isinstance(part, Html) else short(part)
