"""What a script prints is shown in its colours, as text, and never as anything else."""

from __future__ import annotations

import os
import re
import time
from html import unescape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookrunner.pages import ansi
from hookrunner.pages.ansi import CUT, FULL, LONGEST_LINE, Renderer
from tests.reading import Page

PIECES = st.sampled_from(
    [b"a", b"<script>", b"&amp;", b"\n", b"\r", b"\r\n", b"\x1b[31m", b"\x1b[0m", b"\x1b[1;42m",
     b"\x1b", b"[", b"\x1b[38;5;20", b"m", b"\x1b]8;;https://example.com\x1b\\", b"\x1b]0;t\x07",
     b"\xff", b"\xc3", b"\xa9", "é€😀".encode(), b"\x00", "\u202e\u2066".encode(), b"\x9b", b'"',
     b"x" * 1500, b"\x1b[2K", b"\x1b(B"]
)  # fmt: skip
OUTPUTS = st.lists(st.one_of(PIECES, st.binary(max_size=8)), max_size=30).map(b"".join)


def words(html: str) -> str:
    return unescape(re.sub("<[^>]*>", "", html))


@settings(max_examples=400, deadline=None)
@given(OUTPUTS)
def test_no_output_makes_an_element_of_its_own(output: bytes) -> None:
    page = Page(ansi.html(output))

    assert page.faults == []
    assert {element.name for element in page.elements} <= {"span"}
    for element in page.elements:
        assert element.given.keys() == {"class"}
        assert re.fullmatch(
            r"(ctl|cut|(bold|dim|italic|under|inverse|struck|[fb]([0-9]|1[0-5]))"
            r"( (bold|dim|italic|under|inverse|struck|[fb]([0-9]|1[0-5])))*)",
            element.given["class"],
        )
    page.html.encode()


@settings(max_examples=400, deadline=None)
@given(OUTPUTS, st.lists(st.integers(1, 20), max_size=40))
def test_output_in_pieces_says_what_it_says_whole(output: bytes, lengths: list[int]) -> None:
    renderer, made, rest = Renderer(), "", output
    for length in lengths:
        piece = renderer.feed(rest[:length])
        assert Page(piece).faults == []
        made, rest = made + piece, rest[length:]
    made += renderer.feed(rest) + renderer.end()

    assert words(made) == words(ansi.html(output))


@pytest.mark.parametrize(
    ("output", "html"),
    [
        (b"<b>&", "&lt;b&gt;&amp;"),
        (b"\x1b[31mred\x1b[0m plain", '<span class="f1">red</span> plain'),
        (b"\x1b[1;4;92mok\x1b[22m.", '<span class="bold under f10">ok</span>'
                                     '<span class="under f10">.</span>'),
        (b"\x1b[2;3mx\x1b[22my", '<span class="dim italic">x</span><span class="italic">y</span>'),
        (b"\x1b[1;2mx\x1b[22my", '<span class="bold dim">x</span>y'),
        (b"\x1b[41;97m!\x1b[49m?", '<span class="f15 b1">!</span><span class="f15">?</span>'),
        (b"\x1b[7mx\x1b[31my", '<span class="inverse">x</span><span class="b1">y</span>'),
        (b"\x1b[38;5;9mx", '<span class="f9">x</span>'),
        (b"\x1b[38;5;208mx", '<span class="f11">x</span>'),
        (b"\x1b[38;2;0;0;255mx", '<span class="f12">x</span>'),
        (b"\x1b[38:2::0:0:120mx", '<span class="f4">x</span>'),
        (b"\x1b[48;5;244mx", '<span class="b8">x</span>'),
        (b"\x1b[8mhush", "hush"),
        (b"\x1b[2J\x1b[Hx\x1b[K", "x"),
        (b"\x1b]8;;https://evil.example\x1b\\here\x1b]8;;\x07", "here"),
        (b"\x1bZ", '<span class="ctl">\\x1b</span>Z'),
        (b"\x1b[999999999;mx", "x"),
        (b"\x1b[4:3mx\x1b[4:0my", '<span class="under">x</span>y'),
        (b"1%\r2%\r\n", '1%<span class="ctl">\\r</span>\n2%\n'),
        (b"\xff\xc3(", '<span class="ctl">\\xff</span><span class="ctl">\\xc3</span>('),
        (b"\0\0", '<span class="ctl">\\x00</span><span class="ctl">\\x00</span>'),
        ("\u202eevil".encode(), '<span class="ctl">\\u202e</span>evil'),
        (b"\xed\xa0\x80", "".join(f'<span class="ctl">\\x{b}</span>' for b in ("ed", "a0", "80"))),
    ],
)  # fmt: skip
def test_a_terminal_is_understood(output: bytes, html: str) -> None:
    assert ansi.html(output) == html


def test_a_colour_goes_on_in_the_next_piece() -> None:
    renderer = Renderer()

    assert renderer.feed(b"\x1b[3") == ""
    assert renderer.feed(b"2mgr") == '<span class="f2">gr</span>'
    assert renderer.feed("ü".encode()[:1]) == ""
    assert renderer.feed("ü".encode()[1:]) == '<span class="f2">ü</span>'
    assert renderer.feed(b"\x1b[0") == ""
    assert renderer.end() == '<span class="ctl">\\x1b</span><span class="f2">[0</span>'


def test_a_long_line_is_cut_and_the_next_is_whole_in_its_colour() -> None:
    made = ansi.html(b"x" * 1_000_000 + b"\x1b[31m\nnext")

    assert made == f'{"x" * LONGEST_LINE}{CUT}<span class="f1">\nnext</span>'


def test_what_is_too_much_is_cut_and_said_so_once() -> None:
    renderer = Renderer()
    made = renderer.feed(b"x" * 10_000_000) + renderer.feed(b"y\nz") + renderer.end()

    assert made == f"{'x' * LONGEST_LINE}{CUT}{FULL}"


def test_a_long_line_in_pieces_says_once_that_it_goes_on() -> None:
    renderer = Renderer()
    made = "".join(renderer.feed(b"x" * 700) for _ in range(10)) + renderer.feed(b"\ny")

    assert made == f"{'x' * LONGEST_LINE}{CUT}\ny"


@pytest.mark.parametrize(
    ("name", "output", "most"),
    [
        ("plain", b"a line as most are\n" * 55_000, 1_100_000),
        ("one line", b"x" * 10_000_000, 3000),
        ("coloured", b"\x1b[31ma\x1b[0m\n" * 95_000, 600_000),
        ("binary", os.urandom(2**20), 1_500_000),
        ("escapes", b"\x1b[" * 500_000, 100_000),
        ("commands", b"\x1b]" * 500_000, 100_000),
        ("returns", b"\r" * 2**20, 1_500_000),
        ("elements", b"<script>\n" * 110_000, 2_000_000),
    ],
)
def test_a_megabyte_is_shown_soon_whatever_it_is(name: str, output: bytes, most: int) -> None:
    started = time.process_time()
    made = ansi.html(output)
    seconds = time.process_time() - started

    assert len(made) < most, name
    assert made.count("<span") < 25_000
    assert seconds < 1  # 0.02 to 0.1 on a machine that has nothing else to do
