"""Each format by example, then what is true of all of them: hostile texts included."""

import sys
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hookrunner.formats import CHECKS, fits

GOOD: Mapping[str, Sequence[str]] = {
    "date": [
        "2024-07-01",
        "2024-02-29",
        "2000-02-29",
        "0000-02-29",
        "9999-12-31",
    ],
    "time": [
        "09:05:00Z",
        "09:05:00z",
        "23:59:59.999999999999+23:59",
        "00:00:00-00:00",
        "23:59:60Z",
        "23:59:60.5-00:00",
        "00:59:60+01:00",
        "05:29:60+05:30",
        "18:59:60-05:00",
        "00:00:60-23:59",
    ],
    "date-time": [
        "2024-07-01T09:05:00Z",
        "2024-07-01t09:05:00z",
        "2024-07-01T09:05:00.25+02:00",
        "0000-01-01T00:00:00Z",
        "2016-12-31T23:59:60Z",
        "2017-01-01T08:59:60+09:00",
    ],
    "duration": [
        "P1Y",
        "P1Y2M",
        "P1Y2M3D",
        "P2M3D",
        "P007D",
        "P6W",
        "PT1H",
        "PT1H0M2S",
        "PT90M",
        "PT5M6S",
        "PT0S",
        "P1Y2M3DT4H5M6S",
        "P1MT1M",
        "P99999999999999999999D",
    ],
    "email": [
        "ada@example.org",
        "ada+hooks@mail.example.org",
        "a.b.c@localhost",
        "!#$%&'*+-/=?^_`{|}~@example.org",
        '"ada lovelace"@example.org',
        '"a\\"b\\\\c"@example.org',
        '"@"@example.org',
        '""@example.org',
        "ada@[192.0.2.7]",
        "ada@[IPv6:2001:db8::7]",
        "ada@[ipv6:::1]",
        f"{'bounce-' * 12}x@example.org",
        "7@7.example",
    ],
    "hostname": [
        "example.org",
        "EXAMPLE.ORG",
        "localhost",
        "x",
        "7",
        "3com.com",
        "a-b--c.example",
        "xn--bcher-kva.example",
        "a" * 63,
        ".".join(["a" * 63] * 3 + ["a" * 61]),
    ],
    "ipv4": [
        "0.0.0.0",
        "9.10.99.100",
        "192.0.2.199",
        "255.255.249.250",
    ],
    "ipv6": [
        "::",
        "::1",
        "2001:db8::",
        "2001:DB8:0:0:8:800:200C:417A",
        "2001:0db8:0000:0000:0000:0000:0000:0001",
        "::ffff:192.0.2.1",
        "64:ff9b::192.0.2.33",
        "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
    ],
    "uuid": [
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "01890A5D-AC96-774B-BCCE-B302099A8057",
        "c232ab00-9414-11ec-b3c8-9f6bdeced846",
    ],
    "uri": [
        "https://example.org",
        "https://ada:secret@example.org:8443/a/b;c=1?d=e&f=/?#g/?",
        "HTTP://EXAMPLE.ORG:/",
        "file:///etc/hosts",
        "urn:isbn:0451450523",
        "mailto:ada@example.org",
        "data:,hello%20world",
        "git+ssh://git@[2001:db8::1]:22/repo.git",
        "http://[v7.a:b]/",
        "http://[::ffff:192.0.2.1]",
        "x:",
        "x:?#",
        "x:////",
        "a1+-.:b:c",
        "http://%e2%82%ac.example/%E2%82%AC",
        "http://999.999.999.999/",
    ],
    "uri-reference": [
        "",
        "https://example.org/a?b#c",
        "//example.org:80/a",
        "///a",
        "/a/b",
        "/a:b",
        "a/b:c",
        "./a:b",
        "../a",
        "?a=b",
        "#",
        "a%2Fb",
        "@",
    ],
    "json-pointer": [
        "",
        "/",
        "//",
        "/a/0/-",
        "/a~0b/c~1d",
        "/~01",
        "/ ",
        "/Zürich/১",
        "/a\nb\n",
        "/\0",
    ],
    "regex": [
        "",
        "^[a-z]+$",
        r"\d{3}-\d{4}",
        r"(a|b)*?\1",
        r"(?:a)(?=b)(?!c)(?<=d)(?<!e)",
        r"^\(?min\)?$",
        r"[(?i]",
        r"[](?i]",
        r"[^](?i]",
        r"[]\]()?a-z]",
        r"[^\\]",
        r"[[a]",
        "[a&&b]",
        r"\\Z",
        r"\\\\a",
        r"\/",
        "a\n",
        "\0",
        "é",
        "a" * 10_000,
    ],
}

BAD: Mapping[str, Sequence[str]] = {
    "date": [
        "",
        "2024-7-1",
        "24-07-01",
        "12024-07-01",
        "2024-00-01",
        "2024-13-01",
        "2024-07-00",
        "2024-07-32",
        "2024-06-31",
        "2023-02-29",
        "1900-02-29",
        "2024-02-30",
        "20240701",
        "2024-183",
        "2024-W27-1",
        "2024/07/01",
        "2024-07-01Z",
        " 2024-07-01",
        "2024-07-01T00:00:00Z",
        "-024-07-01",
    ],
    "time": [
        "",
        "09:05:00",
        "09:05Z",
        "9:05:00Z",
        "24:00:00Z",
        "09:60:00Z",
        "09:05:61Z",
        "09:05:00.Z",
        "09:05:00,5Z",
        "09:05:00+2:00",
        "09:05:00+0200",
        "09:05:00+24:00",
        "09:05:00+02:60",
        "09:05:00 Z",
        "09:05:00Z+02:00",
        "09:05:00−02:00",
        "09:05:60Z",
        "23:58:60Z",
        "23:59:60+01:00",
        "00:59:60-01:00",
        "00:59:60Z",
        "T09:05:00Z",
    ],
    "date-time": [
        "",
        "2024-07-01",
        "2024-07-01T",
        "2024-07-01T09:05:00",
        "2024-07-01 09:05:00Z",
        "2024-07-01_09:05:00Z",
        "2024-07-0109:05:00Z",
        "2023-02-29T09:05:00Z",
        "2024-07-01T24:00:00Z",
        "2016-12-31T23:59:60+09:00",
        "20240701T090500Z",
        "2024-07-01T09:05:00Z ",
    ],
    "duration": [
        "",
        "P",
        "T",
        "PT",
        "P1YT",
        "1Y",
        "P1",
        "PY",
        "P1S",
        "P1H",
        "PT1Y",
        "PT1D",
        "PT1W",
        "P1W2D",
        "P1Y1W",
        "P1WT1H",
        "P1D1M",
        "P1M1Y",
        "PT1S1M",
        "P1Y2D",
        "PT1H2S",
        "P1.5D",
        "PT1,5S",
        "-P1D",
        "P-1D",
        "P+1D",
        "p1d",
        "P1D ",
        "P1DT1HT1M",
    ],
    "email": [
        "",
        "@",
        "ada",
        "ada@",
        "@example.org",
        ".ada@example.org",
        "ada.@example.org",
        "ada..lovelace@example.org",
        "ada lovelace@example.org",
        "ada@lovelace@example.org",
        "ada(comment)@example.org",
        "Ada <ada@example.org>",
        '"ada@example.org',
        '"a"b"@example.org',
        '"ada\\"@example.org',
        '"a".b@example.org',
        '"\t"@example.org',
        "zoë@example.org",
        "ada@exämple.org",
        "ada@example_1.org",
        "ada@-example.org",
        "ada@example.org.",
        "ada@example..org",
        "ada@192.0.2.7]",
        "ada@[192.0.2.7",
        "ada@[192.0.2.256]",
        "ada@[2001:db8::7]",
        "ada@[IPv6:192.0.2.7]",
        "ada@[IPv6:fe80::1%eth0]",
        "ada@[]",
        "ada@[",
        "ada@[x-tag:anything]",
    ],
    "hostname": [
        "",
        ".",
        "example.org.",
        ".example.org",
        "example..org",
        "-example.org",
        "example-.org",
        "example.-org",
        "exa_mple.org",
        "exa mple.org",
        "bücher.example",
        "example。org",
        "example.org:80",
        "[::1]",
        "\N{KELVIN SIGN}elvin.example",
        "a" * 64,
        ".".join(["a" * 63] * 3 + ["a" * 62]),
    ],
    "ipv4": [
        "",
        "192.0.2",
        "192.0.2.1.1",
        "192.0.2.256",
        "192.0.2.1000",
        "192.0.2.01",
        "00.0.0.0",
        "192.0.2.",
        ".192.0.2",
        "192..0.2",
        "0xc0.0.2.1",
        "3221225985",
        "192.0.2.1/24",
        "192.0.2.1:80",
        "192.0.2.-1",
        " 192.0.2.1",
        "::1",
    ],
    "ipv6": [
        "",
        ":",
        ":::",
        "1",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1::2::3",
        ":1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:",
        "::12345",
        "::g",
        "::-1",
        "::192.0.2",
        "::192.0.2.256",
        "::192.0.2.01",
        "192.0.2.1",
        "1:2:3:4:5:6:7:192.0.2.1",
        "[::1]",
        "::1/64",
        "fe80::1%eth0",
        "fe80::1%",
        " ::1",
        "::1 ",
    ],
    "uuid": [
        "",
        "c232ab0094141 1ecb3c89f6bdeced846",
        "c232ab00941411ecb3c89f6bdeced846",
        "{c232ab00-9414-11ec-b3c8-9f6bdeced846}",
        "urn:uuid:c232ab00-9414-11ec-b3c8-9f6bdeced846",
        "c232ab00-9414-11ec-b3c8-9f6bdeced84",
        "c232ab00-9414-11ec-b3c8-9f6bdeced8466",
        "c232ab00-9414-11ec-b3c89-f6bdeced846",
        "g232ab00-9414-11ec-b3c8-9f6bdeced846",
        "c232ab00-9414-11ec-b3c8-9f6bdeced84_",
        "c232ab00_9414_11ec_b3c8_9f6bdeced846",
    ],
    "uri": [
        "",
        "example.org",
        "/a",
        "//example.org",
        "#a",
        "1http://example.org",
        "ht_tp://example.org",
        ":a",
        "https://exa mple.org",
        "https://exämple.org",
        "https://example.org/<a>",
        'https://example.org/"',
        "https://example.org/a\\b",
        "https://example.org/{a}",
        "https://example.org/a|b",
        "https://example.org/a^b",
        "https://example.org/`",
        "https://example.org/%",
        "https://example.org/%4",
        "https://example.org/%zz",
        "https://example.org/?[a]",
        "https://example.org/#a#b",
        "https://example.org:80a",
        "https://example.org:80:80",
        "https://a@b@example.org",
        "https://[::1",
        "https://::1]",
        "https://[192.0.2.1]",
        "https://[::1]a",
        "https://a[::1]",
        "https://[a@::1]",
        "https://[fe80::1%25eth0]",
        "https://[v.a]",
        "https://[v7.]",
        "https://[v7.%41]",
        "https://[]",
        "mailto:[ada]@example.org",
        "https://example.org/\t",
    ],
    "uri-reference": [
        "1:a",
        ":",
        ":a",
        "a_b:c/d",
        "a b",
        "é",
        "\\a",
        "//[::1",
        "//a:b:c",
        "//a@b@c",
        "%",
        "%a",
        "##",
        "[a]",
        "<a>",
        "/a?b#c%g0",
    ],
    "json-pointer": [
        "a",
        "a/b",
        "#/a",
        " /a",
        "~0",
        "/~",
        "/a~",
        "/~2",
        "/~~0",
        "/a/~/b",
        "/~১",
    ],
    "regex": [
        "(",
        ")",
        "a)",
        "[",
        "[]",
        "[z-a]",
        "*",
        "a**",
        "a{2,1}",
        "a{99999999999999999999}",
        "\\",
        r"\a",
        r"\Z",
        r"^a\Z",
        r"\\\Z",
        r"[\a]",
        r"[^]\a]",
        "(?i)a",
        "(?i:a)",
        "(?s-i:a)",
        "(?-i:a)",
        "a" * 10_001,
    ],
}

MANY = 1_000_000  # characters, or as near as the unit repeated allows
HOSTILE_GOOD: Mapping[str, Sequence[str]] = {
    "date-time": ["2024-07-01T09:05:00." + "0" * MANY + "Z"],
    "duration": ["P" + "9" * MANY + "Y", "PT" + "9" * MANY + "H" + "9" * MANY + "M"],
    "email": [
        "a." * (MANY // 2) + "a@example.org",
        '"' + '\\"' * (MANY // 2) + '"@example.org',
    ],
    "json-pointer": ["/" * MANY, "/" + "~0" * (MANY // 2)],
    "time": ["09:05:00." + "0" * MANY + "+00:00"],
    "uri": [
        "a:" * (MANY // 2),
        "https://" + "a" * MANY,
        "https://" + ":" * MANY + "@a",
        "https://[v" + "f" * MANY + "." + ":" * MANY + "]",
        "x:" + "%41" * (MANY // 3),
    ],
    "uri-reference": ["/" * MANY, "a" * MANY, "?" * MANY],
}
HOSTILE_BAD: Mapping[str, Sequence[str]] = {
    "date": ["0" * MANY, "2024-07-" + "0" * MANY],
    "date-time": ["2024-07-01T09:05:00." + "0" * MANY, "T" * MANY],
    "duration": ["P" + "9" * MANY, "P" + "1M" * (MANY // 2), "PT" + "9" * MANY + "D"],
    "email": [
        "a" * MANY,
        "@" * MANY,
        "a." * (MANY // 2) + "@example.org",
        '"' + '\\"' * (MANY // 2) + "@example.org",
        "ada@" + "a." * (MANY // 2),
        "ada@[IPv6:" + ":" * MANY + "]",
    ],
    "hostname": ["a" * MANY, "a-" * (MANY // 2), "a." * (MANY // 2) + "a"],
    "ipv4": ["1" * MANY, "1." * (MANY // 2), "0" * MANY + "1.1.1.1"],
    "ipv6": [":" * MANY, "1:" * (MANY // 2), "::" + "0" * MANY],
    "json-pointer": ["~" * MANY, "/" + "~0" * (MANY // 2) + "~"],
    "regex": ["(" * MANY, "(" * 5_000, "[" * MANY, "a{" + "9" * 5_000 + "}", "[]]" * 3_333 + "["],
    "time": ["09:05:00." + "0" * MANY, "09:05:00." + "0" * MANY + "+24:00"],
    "uri": [
        "a" * MANY,
        "https://" + "a" * MANY + "^",
        "https://" + ":" * MANY,
        "https://" + "@" * MANY,
        "https://" + "[" * MANY,
        "https://[" + ":" * MANY + "]",
        "x:" + "/" * MANY + "^",
        "x:" + "%41" * (MANY // 3) + "%",
    ],
    "uri-reference": ["//" + "a" * MANY + "^", "a:" * (MANY // 2) + "\\", "#" * MANY],
    "uuid": ["0" * MANY, "-" * MANY, "00000000-0000-0000-0000-" + "0" * MANY],
}

# Their own words let these hold any character there is.
ANY_CHARACTER = {"json-pointer", "regex"}
NARROW = {name: texts for name, texts in GOOD.items() if name not in ANY_CHARACTER}
BENGALI = str.maketrans("0123456789", "০১২৩৪৫৬৭৮৯")


STRAY = ["\n", "\r\n", "\0", "\u2028", "\ud800"]


def each(table: Mapping[str, Sequence[str]]) -> list[Any]:
    return [
        pytest.param(name, text, id=f"{name} {shown(text)}")
        for name, texts in table.items()
        for text in texts
    ]


def shown(text: str) -> str:
    return ascii(text if len(text) <= 48 else f"{text[:32]}...{text[-12:]}")


def test_every_format_has_examples_of_both_kinds() -> None:
    assert GOOD.keys() == BAD.keys() == CHECKS.keys()


@pytest.mark.parametrize(("name", "text"), each(GOOD))
def test_a_text_of_the_format_fits(name: str, text: str) -> None:
    assert CHECKS[name](text) is True


@pytest.mark.parametrize(("name", "text"), each(BAD))
def test_a_text_of_another_form_does_not_fit(name: str, text: str) -> None:
    assert CHECKS[name](text) is False


@pytest.mark.parametrize(("name", "text"), each(HOSTILE_GOOD))
def test_a_very_long_text_of_the_format_fits(name: str, text: str) -> None:
    assert CHECKS[name](text) is True


@pytest.mark.parametrize(("name", "text"), each(HOSTILE_BAD))
def test_a_very_long_text_of_another_form_does_not_fit(name: str, text: str) -> None:
    assert CHECKS[name](text) is False


@pytest.mark.parametrize(("name", "text"), each(NARROW))
def test_a_stray_character_at_either_end_spoils_the_text(name: str, text: str) -> None:
    spoilt = [text + stray for stray in STRAY] + [stray + text for stray in STRAY]
    assert [text for text in spoilt if CHECKS[name](text)] == []


@pytest.mark.parametrize(("name", "text"), each(NARROW))
def test_digits_of_other_scripts_are_not_digits(name: str, text: str) -> None:
    foreign = text.translate(BENGALI)
    assert foreign == text or not CHECKS[name](foreign)


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_no_check_raises_at_a_text_meant_for_another(name: str) -> None:
    texts = [text for table in (GOOD, BAD) for texts in table.values() for text in texts]
    assert {CHECKS[name](text) for text in texts + STRAY} == {True, False}


def test_every_uri_is_a_uri_reference() -> None:
    assert all(CHECKS["uri-reference"](uri) for uri in GOOD["uri"])


def test_a_leap_second_is_placed_by_utc_and_not_by_the_local_clock() -> None:
    assert fits("date-time", "1990-12-31T15:59:60-08:00")
    assert not fits("date-time", "1990-12-31T23:59:60-08:00")


def test_a_flag_that_makes_compiling_dear_is_refused_before_compiling() -> None:
    assert not fits("regex", "(?i)" + "[!-\uffff]" * 1_999)


def test_threads_that_check_patterns_side_by_side_leave_the_warnings_as_they_were() -> None:
    patterns = [f"[[{number}]" for number in range(2_000)]
    filters = list(warnings.filters)
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # else a thread is done before the next one begins
    try:
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(CHECKS["regex"], patterns))
    finally:
        sys.setswitchinterval(usual)
    assert list(warnings.filters) == filters


@pytest.mark.parametrize("value", [7, 1.5, True, None, [], {}, b"7"], ids=repr)
@pytest.mark.parametrize("name", sorted(CHECKS))
def test_a_value_that_is_no_string_fits_every_format(name: str, value: object) -> None:
    assert fits(name, value)


@pytest.mark.parametrize("name", ["iri", "Date", "", "colour"])
def test_an_unknown_format_forbids_nothing(name: str) -> None:
    assert fits(name, "anything")


def test_fits_asks_the_check_of_that_name() -> None:
    assert fits("ipv4", "192.0.2.1")
    assert not fits("ipv6", "192.0.2.1")
