"""What a delivery says: JSON byte for byte, forms as objects, and what is not taken."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

import pytest

from hookrunner.form import MOST_FIELDS
from hookrunner.form import query as query_fields
from hookrunner.jsontext import DEEPEST
from hookrunner.model import Json, Refused, Shape
from hookrunner.payload import Payload, Upload, parse
from hookrunner.schema import Schema

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=X"
NOT_JSON = "the body is not JSON"
UNFIT = "the body is not JSON that can be taken"
TOO_DEEP = "the body is nested more than 64 deep"
TOO_LONG = "the body holds a number of too many digits"
NO_NAME = "Expecting property name enclosed in double quotes"


def post(
    content_type: str, body: bytes, shape: Shape | None = None, folder: str = "/run"
) -> Payload:
    return parse("POST", content_type, "", body, shape, folder)


def get(query: str, shape: Shape | None = None) -> Payload:
    return parse("GET", "", query, b"", shape, "/run")


def refusal(content_type: str, body: bytes) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        post(content_type, body)
    return caught.value.status, caught.value.told


def shape(**properties: Json) -> Schema:
    return Schema({"properties": properties}, Path("/nowhere"))


# --- JSON

GOOD_JSON: Mapping[str, tuple[bytes, Json]] = {
    "object": (b'{"a": [1, 2.5, true, null, "x"]}', {"a": [1, 2.5, True, None, "x"]}),
    "list": (b"[]", []),
    "text": (b'"x"', "x"),
    "number": (b"7", 7),
    "null": (b"null", None),
    "spaces and line ends": (b' \r\n{\t"a" :\n1 } \n', {"a": 1}),
    "not ASCII": ('{"é": "日本 🎉"}'.encode(), {"é": "日本 🎉"}),
    "escapes": (b'"\\ud83c\\udf89\\u0000\\/"', "🎉\x00/"),
    "a key twice, but not in one object": (b'[{"a":1},{"a":{"a":2}}]', [{"a": 1}, {"a": {"a": 2}}]),
    "the deepest": (b"[" * DEEPEST + b"]" * DEEPEST, json.loads("[" * DEEPEST + "]" * DEEPEST)),
    "many brackets side by side": (b"[" + b"[],{}," * 100 + b"[]]", [[], {}] * 100 + [[]]),
    "brackets in a text": (b'"' + b"[{" * 1000 + b'"', "[{" * 1000),
    "beyond 2^53": (b"12345678901234567890", 12345678901234567890),
    "nearly infinite": (b"1.7976931348623157e308", 1.7976931348623157e308),
    "nearly nothing": (b"1e-999", 0.0),
}


@pytest.mark.parametrize("name", GOOD_JSON)
@pytest.mark.parametrize("content_type", [JSON, "text/plain", "application/vnd.api+json"])
def test_json_is_read_and_reaches_the_script_byte_for_byte(name: str, content_type: str) -> None:
    body, value = GOOD_JSON[name]
    assert post(content_type, body) == Payload(value, body)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "the body is empty; send a JSON value"),
        (b" \r\n\t", "the body is empty; send a JSON value"),
        (b"NaN", f"{UNFIT}: NaN is not a JSON number"),
        (b'{"a": NaN}', f"{UNFIT}: NaN is not a JSON number"),
        (b"Infinity", f"{UNFIT}: Infinity is not a JSON number"),
        (b"[-Infinity]", f"{UNFIT}: -Infinity is not a JSON number"),
        (b'{"a":1,"a":1}', f"{UNFIT}: the key 'a' stands twice in one object"),
        (b'{"a":1,"\\u0061":2}', f"{UNFIT}: the key 'a' stands twice in one object"),
        (b'[{"b":{"":1,"c":2,"":3}}]', f"{UNFIT}: the key '' stands twice in one object"),
        (b'{"%b":1,"%b":2}' % (b"k" * 99, b"k" * 99), f"{UNFIT}: the key '{'k' * 60}' stands "
            "twice in one object"),
        (b"1e999", f"{UNFIT}: the number 1e999 is out of range"),
        (b'{"a":[-1e999]}', f"{UNFIT}: the number -1e999 is out of range"),
        (b"1." + b"0" * 999 + b"e999", f"{UNFIT}: the number 1.{'0' * 58} is out of range"),
        (b"9" * 5000, TOO_LONG),
        (b"[-%b]" % (b"9" * 5000), TOO_LONG),
        (b"[" * 65 + b"]" * 65, TOO_DEEP),
        (b'{"a":' * 65 + b"1" + b"}" * 65, TOO_DEEP),
        (b'[{"a":' * 33 + b"1" + b"}]" * 33, TOO_DEEP),
        (b"[" * 100_000 + b"]" * 100_000, TOO_DEEP),
        (b"[" * 100_000, TOO_DEEP),
        (b'{"a":' * 100_000, TOO_DEEP),
        (b"\xef\xbb\xbf{}", "the body begins with a byte order mark; send JSON without one"),
        ('{"a":1}'.encode("utf-16"), "the body is not UTF-8 at byte 0"),
        ('{"a":1}'.encode("utf-16-le"), f"{NOT_JSON}: {NO_NAME} at line 1 column 2"),
        ('"é"'.encode("latin-1"), "the body is not UTF-8 at byte 1"),
        (b"\x80", "the body is not UTF-8 at byte 0"),
        (b'{"a": "\xc0\xaf"}', "the body is not UTF-8 at byte 7"),
        (b'"\xed\xa0\x80"', "the body is not UTF-8 at byte 1"),
        (b'"\xe2\x82', "the body is not UTF-8 at byte 1"),
        (b"[1,,]", f"{NOT_JSON}: Expecting value at line 1 column 4"),
        (b'{"a":1,,', f"{NOT_JSON}: {NO_NAME} at line 1 column 8"),
        (b"{'a':1}", f"{NOT_JSON}: {NO_NAME} at line 1 column 2"),
        (b"{a:1}", f"{NOT_JSON}: {NO_NAME} at line 1 column 2"),
        (b"{1:2}", f"{NOT_JSON}: {NO_NAME} at line 1 column 2"),
        (b"{", f"{NOT_JSON}: {NO_NAME} at line 1 column 2"),
        (b'{\n"a" 1}', f"{NOT_JSON}: Expecting ':' delimiter at line 2 column 5"),
        (b"[1 2]", f"{NOT_JSON}: Expecting ',' delimiter at line 1 column 4"),
        (b"1 2", f"{NOT_JSON}: Extra data at line 1 column 3"),
        (b"{}{}", f"{NOT_JSON}: Extra data at line 1 column 3"),
        (b"01", f"{NOT_JSON}: Extra data at line 1 column 2"),
        (b"1.", f"{NOT_JSON}: Extra data at line 1 column 2"),
        (b"+1", f"{NOT_JSON}: Expecting value at line 1 column 1"),
        (b".5", f"{NOT_JSON}: Expecting value at line 1 column 1"),
        (b"-", f"{NOT_JSON}: Expecting value at line 1 column 1"),
        (b"True", f"{NOT_JSON}: Expecting value at line 1 column 1"),
        (b"undefined", f"{NOT_JSON}: Expecting value at line 1 column 1"),
        (b"// so\n1", f"{NOT_JSON}: Expecting value at line 1 column 1"),
        (b"a=1&b=2", f"{NOT_JSON}: Expecting value at line 1 column 1"),
        (b"<a/>", f"{NOT_JSON}: Expecting value at line 1 column 1"),
        (b"\x00", f"{NOT_JSON}: Expecting value at line 1 column 1"),
        (b'"a\nb"', f"{NOT_JSON}: Invalid control character at line 1 column 3"),
        (b'"\x00"', f"{NOT_JSON}: Invalid control character at line 1 column 2"),
        (b'"abc', f"{NOT_JSON}: Unterminated string starting at line 1 column 1"),
        (b'"\\x41"', f"{NOT_JSON}: Invalid \\escape at line 1 column 2"),
        (b'"\\u12"', f"{NOT_JSON}: Invalid \\uXXXX escape at line 1 column 3"),
    ],
    ids=lambda item: repr(item)[:40],
)  # fmt: skip
def test_what_is_not_strictly_json_is_a_400_that_says_where(body: bytes, told: str) -> None:
    assert refusal(JSON, body) == (400, told)


@pytest.mark.parametrize("body", [b"9" * 310, b"-1" + b"0" * 400, b"[1%b]" % (b"0" * 4000)])
def test_an_integer_beyond_a_double_is_out_of_range_as_a_decimal_is(body: bytes) -> None:
    status, told = refusal(JSON, body)
    assert status == 400
    assert len(told) < 200


def test_a_lone_half_of_a_surrogate_pair_is_passed_on_as_it_was_sent() -> None:
    assert post(JSON, b'"\\ud800"') == Payload("\ud800", b'"\\ud800"')


# --- kinds


@pytest.mark.parametrize(
    "content_type",
    [
        JSON,
        "APPLICATION/JSON",
        " application/json ",
        "application/json;charset=utf-8",
        'application/json; Charset = "UTF-8"',
        "application/json; charset=UTF8",
        "application/json; charset=us-ascii",
        "application/json; v=1; charset=utf-8",
        "application/cloudevents+json; charset=utf-8",
        "application/vnd.github.v3+JSON",
        "text/plain",
        "text/plain; charset=UTF-8",
    ],
)
def test_json_may_be_called_many_things(content_type: str) -> None:
    assert post(content_type, b'{"a": 1}') == Payload({"a": 1}, b'{"a": 1}')


@pytest.mark.parametrize("charset", ["latin-1", "ISO-8859-1", "utf-16", "utf-7", "windows-1252"])
@pytest.mark.parametrize("kind", [JSON, "text/plain", "application/ld+json"])
def test_json_in_another_charset_is_a_415(kind: str, charset: str) -> None:
    told = f"charset {charset!r} is not taken; send UTF-8"
    assert refusal(f"{kind}; charset={charset}", b"{}") == (415, told)


@pytest.mark.parametrize(
    ("content_type", "shown"),
    [
        ("application/xml", "application/xml"),
        ("TEXT/HTML; charset=utf-8", "text/html"),
        ("application/octet-stream", "application/octet-stream"),
        ("multipart/mixed; boundary=X", "multipart/mixed"),
        ("json", "json"),
        ("application/json, application/json", "application/json, application/json"),
        ("x" * 5000, "x" * 100),
    ],
)
def test_an_unknown_kind_is_a_415_that_names_what_is_taken(content_type: str, shown: str) -> None:
    assert refusal(content_type, b"{}") == (
        415,
        f"{shown!r} is not taken; send application/json, text/plain holding JSON, "
        "application/x-www-form-urlencoded or multipart/form-data",
    )


@pytest.mark.parametrize("content_type", ["", " ", ";charset=utf-8"])
def test_a_body_without_a_kind_is_a_415_that_names_the_header(content_type: str) -> None:
    assert refusal(content_type, b"{}") == (
        415,
        "the body has no Content-Type; add the header Content-Type: application/json "
        "(curl: -H 'Content-Type: application/json')",
    )


def test_neither_a_body_nor_a_kind_is_an_empty_object() -> None:
    assert post("", b"") == Payload({}, b"{}")


# --- forms


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"", {}),
        (b"a=1", {"a": "1"}),
        (b"a=1&b=&c", {"a": "1", "b": "", "c": ""}),
        (b"a=1&b=2&a=3&a=1", {"a": ["1", "3", "1"], "b": "2"}),
        (b"a+b=c+d%2B%26", {"a b": "c d+&"}),
        (b"n=Zo%C3%AB+%F0%9F%8E%89", {"n": "Zoë 🎉"}),
        (b"a=%00", {"a": "\x00"}),
        (b"a=%ZZ&%=1", {"a": "%ZZ", "%": "1"}),
        (b"&&a=1&&", {"a": "1"}),
        (b"a;b=1", {"a;b": "1"}),
        (b"a=b=c", {"a": "b=c"}),
        (b"a=1\r\n", {"a": "1\r\n"}),
        (b"&".join([b"a=1"] * MOST_FIELDS), {"a": ["1"] * MOST_FIELDS}),
    ],
    ids=lambda item: repr(item)[:40],
)
def test_a_form_becomes_an_object(body: bytes, value: Json) -> None:
    parsed = post(FORM, body)
    assert parsed.value == value
    assert json.loads(parsed.stdin) == value
    assert post(f"{FORM}; charset=UTF-8", body) == parsed


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"a=%FF", "the form is not UTF-8 once percent-decoded"),
        (b"%C3=1", "the form is not UTF-8 once percent-decoded"),
        (b"a=%ED%A0%80", "the form is not UTF-8 once percent-decoded"),
        ("a=é".encode(), "the form is not percent-encoded at byte 2; encode it, in UTF-8"),
        (b"a=1&\xff", "the form is not percent-encoded at byte 4; encode it, in UTF-8"),
        (b"&".join([b"a=1"] * (MOST_FIELDS + 1)), "the form has more than 1000 fields"),
    ],
    ids=lambda item: repr(item)[:40],
)
def test_a_form_that_cannot_be_read_is_a_400(body: bytes, told: str) -> None:
    assert refusal(FORM, body) == (400, told)


@pytest.mark.parametrize("body", [b'{"a": 1}', b"[1]", b' \n{"a": 1}', b"{"])
def test_json_sent_as_a_form_is_a_415_that_names_the_header(body: bytes) -> None:
    assert refusal(FORM, body) == (
        415,
        "the body looks like JSON but was sent as a form; add the header Content-Type: "
        "application/json (curl: -H 'Content-Type: application/json')",
    )


@pytest.mark.parametrize("text", ['{"ref": "main", "n": 1.50, "é": "🎉"}', "[1, 2]", '{"a":  1}'])
def test_a_lone_payload_field_holding_json_is_the_payload(text: str) -> None:
    body = urlencode({"payload": text}).encode()
    assert post(FORM, body) == Payload(json.loads(text), text.encode())


@pytest.mark.parametrize("text", ["{", '{"a":1,"a":2}', "[NaN]"])
def test_a_lone_payload_field_is_read_as_strictly_as_a_body(text: str) -> None:
    with pytest.raises(Refused) as caught:
        post(FORM, urlencode({"payload": text}).encode())
    assert caught.value.status == 400
    assert caught.value.told.startswith(NOT_JSON)


@pytest.mark.parametrize(
    "fields",
    [
        {"payload": '{"a":1}', "other": "x"},
        {"payload": "plain"},
        {"payload": ""},
        {"Payload": '{"a":1}'},
    ],
)
def test_any_other_payload_field_is_a_field_like_others(fields: dict[str, str]) -> None:
    assert post(FORM, urlencode(fields).encode()).value == fields


# --- multipart forms


def part(disposition: str, data: bytes = b"v", *headers: str) -> bytes:
    lines = [f"Content-Disposition: {disposition}", *headers, "", ""]
    return b"--X\r\n" + "\r\n".join(lines).encode() + data + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--X--\r\n"


def file_form(filename: str, data: bytes = b"v") -> bytes:
    return form(part(f'form-data; name="f"; filename="{filename}"', data))


def test_a_multipart_form_becomes_an_object_with_its_files_described() -> None:
    body = form(
        part('form-data; name="title"', "Zoë\r\n--Y".encode()),
        part('form-data; name="tag"', b"a"),
        part('form-data; name="tag"', b""),
        part('form-data; name="f"; filename="a b.csv"', b"\x00\xff\r\n", "Content-Type: text/csv"),
        part('form-data; name="f"; filename="c.bin"', b""),
    )
    parsed = post(MULTIPART, body, folder="/run/files")
    assert parsed.value == {
        "title": "Zoë\r\n--Y",
        "tag": ["a", ""],
        "f": [
            {"filename": "a b.csv", "path": "/run/files/1-a_b.csv", "type": "text/csv", "size": 4},
            {
                "filename": "c.bin",
                "path": "/run/files/2-c.bin",
                "type": "application/octet-stream",
                "size": 0,
            },
        ],
    }
    assert json.loads(parsed.stdin) == parsed.value
    assert parsed.uploads == (
        Upload("/run/files/1-a_b.csv", b"\x00\xff\r\n"),
        Upload("/run/files/2-c.bin", b""),
    )


@pytest.mark.parametrize(
    ("filename", "path"),
    [
        ("../../etc/passwd", "1-.._.._etc_passwd"),
        ("/etc/passwd", "1-_etc_passwd"),
        ("..", "1-.."),
        (".", "1-."),
        ("", "1-file"),
        ("/", "1-_"),
        ("~/.ssh/id", "1-__.ssh_id"),
        ("a\x00b", "1-a_b"),
        ("-rf *", "1--rf__"),
        ("$(id);`id`|x", "1-__id___id__x"),
        ("C:\\evil\\x.bat", "1-x.bat"),
        ("день.txt", "1-____.txt"),
        ("a%0D%0Ab%22.txt", "1-a__b_.txt"),
        ("x" * 300 + ".csv", "1-" + "x" * 96 + ".csv"),
    ],
    ids=lambda item: repr(item)[:40],
)
def test_a_hostile_file_name_stays_in_the_folder(filename: str, path: str) -> None:
    parsed = post(MULTIPART, file_form(filename), folder="/run")
    [upload] = parsed.uploads
    assert upload.path == f"/run/{path}"
    assert parsed.value["f"]["path"] == upload.path
    assert Path(upload.path).parent == Path("/run")


def test_two_files_of_one_name_lie_side_by_side() -> None:
    again = 'form-data; name="f"; filename="a"'
    parsed = post(MULTIPART, form(part(again, b"1"), part(again, b"2")))
    assert parsed.uploads == (Upload("/run/1-a", b"1"), Upload("/run/2-a", b"2"))


def test_an_empty_multipart_form_is_an_empty_object() -> None:
    assert post(MULTIPART, b"--X--\r\n") == Payload({}, b"{}")


CANNOT = "the multipart form cannot be read"
PLAIN = part('form-data; name="a"')


@pytest.mark.parametrize(
    ("content_type", "body", "told"),
    [
        (
            "multipart/form-data",
            form(PLAIN),
            "the multipart form names no boundary in its Content-Type",
        ),
        (
            'multipart/form-data; boundary=""',
            form(PLAIN),
            "the multipart form names no boundary in its Content-Type",
        ),
        (
            "multipart/form-data; boundary=" + "y" * 2000,
            form(PLAIN),
            f"{CANNOT}: Boundary too long",
        ),
        (
            "multipart/form-data; boundary=Y",
            form(PLAIN),
            f"{CANNOT}: Boundary not found in first chunk",
        ),
        (MULTIPART, b"", f"{CANNOT}: Unexpected end of multipart stream (parser closed)"),
        (MULTIPART, PLAIN, f"{CANNOT}: Unexpected end of multipart stream (parser closed)"),
        (MULTIPART, PLAIN[:-9], f"{CANNOT}: Unexpected end of multipart stream (parser closed)"),
        (
            MULTIPART,
            form(part("form-data")),
            f"{CANNOT}: Invalid Content-Disposition segment header: Missing name option",
        ),
        (
            MULTIPART,
            form(part('attachment; name="a"')),
            f"{CANNOT}: Invalid Content-Disposition segment header: Wrong type",
        ),
        (
            MULTIPART,
            b"--X\r\nContent-Type: text/plain\r\n\r\nv\r\n--X--\r\n",
            f"{CANNOT}: Missing Content-Disposition segment header",
        ),
        (
            MULTIPART,
            form(part('form-data; name="a"', b"\xff")),
            "the multipart form has a field that is not UTF-8",
        ),
        (
            MULTIPART,
            form(*[PLAIN] * (MOST_FIELDS + 1)),
            f"{CANNOT}: Maximum segment count exceeded",
        ),
    ],
    ids=range(12),
)
def test_a_multipart_form_that_cannot_be_read_is_a_400(
    content_type: str, body: bytes, told: str
) -> None:
    assert refusal(content_type, body) == (400, told)


def test_a_field_name_that_is_not_utf_8_is_refused_in_words_for_people() -> None:
    body = form(b'--X\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nv\r\n')
    status, told = refusal(MULTIPART, body)
    assert status == 400
    assert "UnicodeDecodeError" not in told


WHOLE = form(
    part('form-data; name="a"', b"1"),
    part('form-data; name="f"; filename="x.txt"', b"\x00\xff", "Content-Type: text/plain"),
)


@pytest.mark.parametrize("byte", [b"", b"\x00", b"\xff", b'"', b"\r", b"\n", b"-", b";", b"%"])
def test_a_form_with_any_one_byte_changed_or_gone_is_read_or_refused(byte: bytes) -> None:
    for place in range(len(WHOLE)):
        body = WHOLE[:place] + byte + WHOLE[place + 1 :]
        try:
            parsed = post(MULTIPART, body)
        except Refused as error:
            assert error.status == 400
        else:
            assert all(Path(upload.path).parent == Path("/run") for upload in parsed.uploads)


def test_a_form_cut_off_anywhere_is_refused() -> None:
    for end in range(len(WHOLE) - len(b"\r\n")):
        assert refusal(MULTIPART, WHOLE[:end])[0] == 400


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_what_curl_sends_as_a_form_is_read(tmp_path: Path) -> None:
    file = tmp_path / 'an "odd" name.bin'
    file.write_bytes(bytes(range(256)) * 40)
    upload = f'f=@"{tmp_path}/an \\"odd\\" name.bin";type=image/png'
    content_type, body = sent_by_curl("-F", "name=Zoë", "-F", "tag=a", "-F", "tag=b", "-F", upload)
    parsed = post(content_type, body)
    assert parsed.value == {
        "name": "Zoë",
        "tag": ["a", "b"],
        "f": {
            "filename": 'an "odd" name.bin',
            "path": "/run/1-an__odd__name.bin",
            "type": "image/png",
            "size": 256 * 40,
        },
    }
    assert parsed.uploads == (Upload("/run/1-an__odd__name.bin", file.read_bytes()),)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_what_curl_sends_urlencoded_is_read() -> None:
    content_type, body = sent_by_curl("--data-urlencode", "name=Zoë & co", "-d", "a=1")
    assert post(content_type, body).value == {"name": "Zoë & co", "a": "1"}


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_json_that_curl_sends_without_a_header_is_a_415() -> None:
    content_type, body = sent_by_curl("-d", '{"a": 1}')
    assert refusal(content_type, body)[0] == 415


def sent_by_curl(*arguments: str) -> tuple[str, bytes]:
    """The Content-Type and the body of what curl posts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        found: list[tuple[str, bytes]] = []

        def answer() -> None:
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as stream:
                headers = {}
                while line := stream.readline().strip():
                    name, _, value = line.decode().partition(": ")
                    headers[name.lower()] = value
                found.append((headers["content-type"], stream.read(int(headers["content-length"]))))
                connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        command = ["curl", "-sS", "--noproxy", "*", "-H", "Expect:", *arguments, url]
        subprocess.run(command, check=True, timeout=20)
        thread.join(20)
    return found[0]


# --- queries


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("", {}),
        ("name=Robert", {"name": "Robert"}),
        ("a=1&a=2&b=", {"a": ["1", "2"], "b": ""}),
        ("n=Zo%C3%AB+x", {"n": "Zoë x"}),
        ("payload=%7B%22a%22%3A1%7D", {"payload": '{"a":1}'}),
    ],
)
def test_the_payload_of_a_get_is_its_query(query: str, value: Json) -> None:
    parsed = get(query)
    assert parsed.value == query_fields(query) == value
    assert json.loads(parsed.stdin) == value


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("a=%FF", "the query is not UTF-8 once percent-decoded"),
        ("&".join(["a=1"] * 1001), "the query has more than 1000 fields"),
    ],
    ids=["not UTF-8", "too many"],
)
def test_a_query_that_cannot_be_read_is_a_400(query: str, told: str) -> None:
    with pytest.raises(Refused) as caught:
        get(query)
    assert (caught.value.status, caught.value.told) == (400, told)


def test_the_body_of_a_get_and_the_query_of_a_post_are_no_payload() -> None:
    assert parse("GET", JSON, "a=1", b"not json", None, "").value == {"a": "1"}
    assert parse("POST", JSON, "a=1", b"{}", None, "").value == {}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_every_other_method_has_its_payload_in_the_body(method: str) -> None:
    assert parse(method, JSON, "a=1", b"7", None, "").value == 7


# --- typed fields


@pytest.mark.parametrize(
    ("wanted", "text", "value"),
    [
        ({"type": "integer"}, "7", 7),
        ({"type": "integer"}, "-7", -7),
        ({"type": "integer"}, "0", 0),
        ({"type": "integer"}, "007", "007"),
        ({"type": "integer"}, "7.0", "7.0"),
        ({"type": "integer"}, "1e3", "1e3"),
        ({"type": "integer"}, "1_000", "1_000"),
        ({"type": "integer"}, " 7", " 7"),
        ({"type": "integer"}, "７", "７"),
        ({"type": "integer"}, "9" * 18, int("9" * 18)),
        ({"type": "integer"}, "9" * 5000, "9" * 5000),
        ({"type": "integer"}, "seven", "seven"),
        ({"type": "number"}, "7", 7),
        ({"type": "number"}, "-7.25", -7.25),
        ({"type": "number"}, "nan", "nan"),
        ({"type": "number"}, "1e999", "1e999"),
        ({"type": "number"}, "inf", "inf"),
        ({"type": "number"}, "7,5", "7,5"),
        ({"type": "boolean"}, "true", True),
        ({"type": "boolean"}, "on", True),
        ({"type": "boolean"}, "1", True),
        ({"type": "boolean"}, "false", False),
        ({"type": "boolean"}, "off", False),
        ({"type": "boolean"}, "0", False),
        ({"type": "boolean"}, "yes", "yes"),
        ({"type": "boolean"}, "TRUE", "TRUE"),
        ({"type": ["integer", "null"]}, "7", 7),
        ({"type": ["integer", "boolean"]}, "1", 1),
        ({"type": ["integer", "string"]}, "7", "7"),
        ({"type": "string"}, "7", "7"),
        ({"type": "string"}, "", ""),
        ({"type": ["string", "null"]}, "", ""),
        ({"type": "array", "items": {"type": "integer"}}, "7", [7]),
        ({"type": "array", "items": {"type": "string"}}, "7", ["7"]),
        ({"type": "array"}, "7", ["7"]),
        ({"type": "object"}, "7", "7"),
        ({"minimum": 3}, "7", "7"),
        ({}, "7", "7"),
        (True, "7", "7"),
    ],
    ids=lambda item: repr(item)[:40],
)
def test_the_text_of_a_field_becomes_what_the_schema_asks_for(
    wanted: Json, text: str, value: Json
) -> None:
    parsed = post(FORM, urlencode({"field": text}).encode(), shape(field=wanted))
    assert parsed.value == {"field": value}
    assert type(parsed.value["field"]) is type(value)
    assert json.loads(parsed.stdin) == parsed.value


@pytest.mark.parametrize("wanted", ["integer", "number", "boolean", "array", "null"])
def test_a_field_left_empty_is_left_out_where_text_cannot_stand(wanted: str) -> None:
    kind = shape(field={"type": wanted}, other={"type": "string"})
    assert post(FORM, b"field=&other=", kind).value == {"other": ""}


def test_a_repeated_field_is_a_list_of_what_its_items_should_be() -> None:
    numbers = shape(n={"type": "array", "items": {"type": "integer"}})
    assert post(FORM, b"n=1&n=2&n=x", numbers).value == {"n": [1, 2, "x"]}


def test_fields_of_multipart_forms_and_queries_are_typed_likewise() -> None:
    number = shape(n={"type": "integer"}, f={"type": "object"})
    body = form(part('form-data; name="n"', b"7"), part('form-data; name="f"; filename="a"'))
    assert post(MULTIPART, body, number).value["n"] == 7
    assert post(MULTIPART, body, number).value["f"]["size"] == 1
    assert get("n=7", number).value == {"n": 7}


def test_json_is_never_typed_by_the_schema() -> None:
    number = shape(n={"type": "integer"})
    assert post(JSON, b'{"n": "7"}', number).value == {"n": "7"}
    body = urlencode({"payload": '{"n": "7"}'}).encode()
    assert post(FORM, body, number).value == {"n": "7"}


# --- the same again at each attempt


@pytest.mark.parametrize(
    ("content_type", "body"),
    [(JSON, b'{"a": 1.0}'), (FORM, b"n=1&b=2&n=3"), (MULTIPART, WHOLE)],
    ids=["json", "form", "multipart"],
)
def test_another_folder_changes_nothing_but_where_the_uploads_lie(
    content_type: str, body: bytes
) -> None:
    number = shape(n={"type": "array", "items": {"type": "integer"}})
    one, other = (post(content_type, body, number, folder) for folder in ("/one", "/other"))
    assert post(content_type, body, number, "/one") == one
    assert one.stdin.replace(b"/one/", b"/other/") == other.stdin
    assert [(u.path.replace("/one/", "/other/"), u.data) for u in one.uploads] == [
        (u.path, u.data) for u in other.uploads
    ]
    assert json.loads(one.stdin) == one.value
