"""Text becomes HTML escaped, and what cannot be seen in it can be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookrunner.pages.markup import Html, exact, join, plain, short, spell, tag, visible
from tests.reading import Page

ANYTHING = st.text(st.characters(), max_size=60)  # halves of characters, too


@given(ANYTHING)
def test_no_text_makes_an_element_or_an_attribute(text: str) -> None:
    page = Page(tag("p", text, title=text, data_x=text))

    assert page.faults == []
    assert {element.name for element in page.elements} <= {"p", "span"}
    assert page.elements[0].given.keys() == {"title", "data-x"}
    for span in page.elements[1:]:
        assert span.given == {"class": "ctl"}


@given(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=60))
def test_text_that_can_be_seen_is_shown_as_it_is(text: str) -> None:
    made = Page(tag("p", text, title=text))

    if "ctl" not in made.html:
        assert made.text == text
        assert made.elements[0].given["title"] == text


@given(ANYTHING)
def test_every_piece_of_html_can_be_sent_as_utf_8(text: str) -> None:
    join([visible(text), plain(text), exact(text), short(text), tag("a", value=text)]).encode()


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("<b>&\"'", "&lt;b&gt;&amp;&quot;&#x27;"),
        ("a\x00b", 'a<span class="ctl">\\x00</span>b'),
        ("a\rb\n\tc", 'a<span class="ctl">\\r</span>b\n\tc'),
        ("\u202egnp.exe", '<span class="ctl">\\u202e</span>gnp.exe'),
        ("\u2066\u061c\u200f", '<span class="ctl">\\u2066\\u061c\\u200f</span>'),
        ("\udcff\udc80", '<span class="ctl">\\xff\\x80</span>'),
        ("\ud800", '<span class="ctl">\\ud800</span>'),
        ("\U000e0041", '<span class="ctl">\\U000e0041</span>'),
        ("שלום 👩‍🚀", "שלום 👩‍🚀"),
    ],
)
def test_what_cannot_be_seen_is_spelt_out(text: str, html: str) -> None:
    assert visible(text) == html


def test_what_a_form_sends_back_is_not_spelt_out() -> None:
    assert exact("a\u202e<\x00\ud800") == "a\u202e&lt;\ufffd\ufffd"
    assert tag("input", value="\u202e") == '<input value="\u202e">'
    assert tag("input", title="\u202e") == '<input title="\\u202e">'


def test_a_text_too_long_says_how_much_of_it_is_missing() -> None:
    assert short("a" * 5000, 10) == 'aaaaaaaaaa<span class="cut">… 4,990 more characters</span>'


def test_attributes_are_left_out_or_stand_by_themselves() -> None:
    made = tag("a", None, Html("<b>"), "<", href="/?a&b", hidden=True, class_=None, open=False)

    assert made == '<a href="/?a&amp;b" hidden><b>&lt;</a>'


def test_every_character_has_a_spelling() -> None:
    assert spell("\x1b\r\x85\u2028") == "\\x1b\\r\\x85\\u2028"
