"""What a script printed, as HTML: its colours kept, everything else made visible.

Colours are classes, for our pages allow no style of their own: `f1` is red, `f9` bright red,
`b1` on red, as in ECMA-48 §8.3.117. 256 colours and true colours become the nearest of these
sixteen, of which the style sheet knows that they can be read, by day and by night. Whatever
else a terminal would obey is left out, and whatever is not even that is spelt out. Concealed
text is shown: nobody is to be misled here.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from html import escape

from hookrunner.pages.markup import UNSEEN, Html, spell

LONGEST_LINE = 2000
"""Characters of a line that are shown: browsers are slow with longer ones, and nobody reads on."""

MOST_CHARACTERS = 2**21
"""Characters that one renderer shows."""

MOST_MARKS = 10_000
"""Elements that one renderer makes; what comes after is shown without colours."""

MOST_SPELT = 50_000
"""Characters that are spelt out after that; what has more of them is no text."""

BEYOND = "\ud800"
"""Stands for what is cut off a line: half a character, which no decoder gives."""

CUT = '<span class="cut">… this line goes on</span>'
FULL = '<span class="cut">… there is more than is shown here</span>\n'

# Each is bounded, so that what never ends is soon taken for text.
OBEYED = (
    r"\x1b\[[0-?]{0,64}[ -/]{0,8}[@-~]|\x1b\][^\x07\x1b\n]{0,2000}(?:\x07|\x1b\\)|\x1b[()][0AB]"
)
SGR = re.compile(r"\x1b\[([0-9;:]{0,64})m")
SPECIAL = re.compile(f"[{UNSEEN}]")
TOKEN = re.compile(rf"\x1b\[(?P<sgr>[0-9;:]{{0,64}})m|{OBEYED}|(?P<unseen>.)")
ESCAPE = re.compile(OBEYED)
OTHERS = re.compile(f"[{UNSEEN}]+")
UNFINISHED = re.compile(
    r"(?:\r|\x1b(?:\[[0-?]{0,64}[ -/]{0,8}|\][^\x07\x1b\n]{0,2000}\x1b?|[()])?)\Z"
)
LONG = re.compile(rf"^[^\n]{{{LONGEST_LINE}}}([^\n]+)", re.MULTILINE)

ATTRIBUTES = {1: "bold", 2: "dim", 3: "italic", 4: "under", 7: "inverse", 9: "struck"}
ENDED_BY = {22: ("bold", "dim"), 23: ("italic",), 24: ("under",), 27: ("inverse",), 29: ("struck",)}
HUES = (1, 3, 2, 6, 4, 5)
"""Red, yellow, green, cyan, blue, magenta: the colours around the wheel, a sixth each."""


class Renderer:
    """Makes HTML of output that comes in pieces; what is cut in two waits for the other half."""

    def __init__(self) -> None:
        self.decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self.held = ""
        self.column = 0
        self.left = MOST_CHARACTERS
        self.marks = self.spelt = 0
        self.style = Style()

    def feed(self, chunk: bytes) -> Html:
        """The HTML of a piece, whole in itself."""
        text = self.held + self.decoder.decode(chunk)
        found = UNFINISHED.search(text, max(0, len(text) - 2100))
        self.held = text[found.start() :] if found else ""
        return self._shown(text[: found.start()] if found else text)

    def end(self) -> Html:
        """The HTML of what is left waiting."""
        text, self.held = self.held + self.decoder.decode(b"", True), ""
        return self._shown(text)

    def _shown(self, text: str) -> Html:
        if not text or self.left < 0:
            return Html("")
        if len(text) > self.left:
            text, self.left = text[: self.left], -1
            return Html(self._coloured(self._narrow(text)) + FULL)
        self.left -= len(text)
        return Html(self._coloured(self._narrow(text)))

    def _narrow(self, text: str) -> str:
        """The text without what is beyond the longest line; BEYOND is in its place."""
        # A lone return would have a terminal write over the line; here it begins a new one.
        text = text.replace("\r\n", "\n").replace("\r", "\r\n")
        begun = self.column
        last = text.rfind("\n")
        self.column = len(text) - last - 1 if last >= 0 else begun + len(text)
        if begun:
            first, newline, rest = text.partition("\n")
            room = max(0, LONGEST_LINE - begun)
            if len(first) > room:
                # Said once: when the line has gone beyond before, it has been.
                mark = BEYOND if begun <= LONGEST_LINE else ""
                first = f"{first[:room]}{mark}{_colours(first[room:])}"
            return first + newline + LONG.sub(_cut, rest)
        return LONG.sub(_cut, text)

    def _coloured(self, text: str) -> str:
        return "".join(self._pieces(escape(text, quote=False)))

    def _pieces(self, text: str) -> Iterator[str]:
        done = 0
        # One set of characters is looked for faster than what they may begin.
        while special := SPECIAL.search(text, done):
            yield self._styled(text[done : special.start()])
            if self.marks > MOST_MARKS:
                yield from self._bare(text[special.start() :])
                return
            found = TOKEN.match(text, special.start())
            assert found, "a special character is a token at least by itself"
            done = found.end()
            if (codes := found["sgr"]) is not None:
                self.style.turn(codes)
            elif found["unseen"] == BEYOND:
                yield CUT
            elif found["unseen"]:
                self.marks += 1
                yield f'<span class="ctl">{spell(found[0])}</span>'
        yield self._styled(text[done:])

    def _bare(self, text: str) -> Iterator[str]:
        """Escaped text without colours and without elements, as much of it as is text."""
        text = ESCAPE.sub("", text)
        done = 0
        for found in OTHERS.finditer(text):
            yield text[done : found.start()]
            done = found.end()
            if found[0] == BEYOND:
                yield CUT
                continue
            yield spell(found[0].replace(BEYOND, ""))
            self.spelt += done - found.start()
            if self.spelt > MOST_SPELT:
                self.left = -1
                yield FULL
                return
        yield text[done:]

    def _styled(self, text: str) -> str:
        classes = self.style.classes
        if not classes or not text:
            return text
        self.marks += 1
        return f'<span class="{classes}">{text}</span>'


def html(output: bytes) -> Html:
    """The HTML of an output that is all there."""
    renderer = Renderer()
    return Html(renderer.feed(output) + renderer.end())


def _cut(found: re.Match[str]) -> str:
    start = found.start(1) - found.start()
    return f"{found[0][:start]}{BEYOND}{_colours(found[1])}"


def _colours(text: str) -> str:
    """The changes of colour in a text that is not shown: they hold for what follows it."""
    return "".join(f"\x1b[{codes}m" for codes in SGR.findall(text)[-100:])


class Style:
    """How text is to look just now, by what a terminal has been told."""

    def __init__(self) -> None:
        self.on: dict[str, bool] = {}
        self.fore: int | None = None
        self.back: int | None = None
        self.classes = ""

    def turn(self, codes: str) -> None:
        """Follow an SGR sequence; what is not understood changes nothing."""
        numbers = _numbers(codes)
        for number in numbers:
            if number == 0:
                self.on, self.fore, self.back = {}, None, None
            elif number in ATTRIBUTES:
                self.on[ATTRIBUTES[number]] = True
            elif number in ENDED_BY:
                for name in ENDED_BY[number]:
                    self.on.pop(name, None)
            elif number in (38, 48):
                self._paint(number == 38, _extended(numbers))
            elif number in (39, 49):
                self._paint(number == 39, None)
            elif 30 <= number <= 37 or 40 <= number <= 47:
                self._paint(number < 40, number % 10)
            elif 90 <= number <= 97 or 100 <= number <= 107:
                self._paint(number < 100, number % 10 + 8)
        self.classes = self._classes()

    def _paint(self, fore: bool, colour: int | None) -> None:
        if fore:
            self.fore = colour
        else:
            self.back = colour

    def _classes(self) -> str:
        fore, back = self.fore, self.back
        names = [name for name in self.on if name != "inverse"]
        if "inverse" in self.on:
            fore, back = back, fore
            if back is None:
                names.append("inverse")
        if fore is not None:
            names.append(f"f{fore}")
        if back is not None:
            names.append(f"b{back}")
        return " ".join(names)


def _numbers(codes: str) -> Iterator[int]:
    """The numbers of an SGR sequence. With colons (ITU-T T.416) one stands for itself."""
    for code in codes.split(";"):
        first, *rest = [int(part or 0) for part in code.split(":")]
        if first not in (38, 48):
            yield 24 if first == 4 and rest == [0] else first
            continue
        if len(rest) > 4 and rest[0] == 2:
            del rest[1]  # which space the colour is of
        yield from (first, *rest)


def _extended(numbers: Iterator[int]) -> int | None:
    """The colour after 38 or 48: `5;N` or `2;R;G;B`."""
    kind = next(numbers, 0)
    if kind == 5:
        return _of_256(next(numbers, 0))
    if kind == 2:
        red, green, blue = (min(next(numbers, 0), 255) for _ in range(3))
        return nearest(red, green, blue)
    return None


def _of_256(number: int) -> int:
    if number < 16:
        return number
    if number >= 232:
        return nearest(*[8 + 10 * (min(number, 255) - 232)] * 3)
    number -= 16
    steps = (0, 95, 135, 175, 215, 255)
    return nearest(steps[number // 36], steps[number // 6 % 6], steps[number % 6])


def nearest(red: int, green: int, blue: int) -> int:
    """The one of sixteen colours that is most like this one: its hue, or how grey it is."""
    high, low = max(red, green, blue), min(red, green, blue)
    span = high - low
    if span < 40:
        return 0 if high < 64 else 8 if high < 150 else 7 if high < 225 else 15
    if high == red:
        turn = (green - blue) / span % 6
    elif high == green:
        turn = (blue - red) / span + 2
    else:
        turn = (red - green) / span + 4
    return HUES[round(turn) % 6] + (8 if high > 200 else 0)
