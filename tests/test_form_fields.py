"""Form fields are what the standard library makes of them, and sooner."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote_plus, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookrunner import form
from hookrunner.form import FEW
from hookrunner.model import Refused

PIECES = st.sampled_from(
    ["a", "=", "&", "+", "%", "%20", "%3D", "%26", "%2B", "%25", "%C3%A9", "%F0%9F%98%80", "%c3%a9",
     "%0A", "%0D%0A", "%00", "%zz", "%4", "%FF", "%C3", "_", ".", "%41" * (FEW + 1), " ", "=41",
     "%3D" * (FEW + 1)]
)  # fmt: skip


def standard(text: str) -> object:
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        return "not UTF-8"


def ours(text: str) -> object:
    try:
        return form.fields(text, "the form")
    except Refused:
        return "not UTF-8"


@settings(max_examples=1000, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join))
def test_fields_are_read_as_the_standard_library_reads_them(text: str) -> None:
    assert ours(text) == standard(text)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.text(), st.text()), max_size=5))
def test_what_is_encoded_is_decoded_again(fields: list[tuple[str, str]]) -> None:
    assert form.fields(urlencode(fields), "the form") == fields
    every = "".join(f"%{byte:02x}" for byte in "é 日 = & + %".encode()) * FEW
    assert form.fields(f"a={every}", "the form") == [("a", "é 日 = & + %" * FEW)]


@pytest.mark.parametrize("count", [999, 1000, 1001])
def test_a_thousand_fields_are_the_most(count: int) -> None:
    text = "&".join([f"a={quote_plus('é')}"] * count)
    if count <= 1000:
        assert len(form.fields(text, "the form")) == count
    else:
        with pytest.raises(Refused) as caught:
            form.fields(text, "the form")
        assert caught.value.told == "the form has more than 1000 fields"
