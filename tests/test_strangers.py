"""What the command line makes of servers that are none of ours, and of addresses that are none."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hookrunner.verbs.remote import Server
from tests.serving import Project
from tests.strangers import Answer, always, reply, stranger

TOKEN = "adm1n-s3cret"
RUN = "a" * 20
ROW = {
    "run": RUN, "hook": "/a", "state": "succeeded", "attempt": 1, "event": "", "delivery": "",
    "recorded_at": "2026-11-28T06:00:00.000Z", "ended_at": None, "due": None, "replaces": "",
    "seq": 1, "outcome": None,
}  # fmt: skip
REQUEST = {
    "method": "POST", "path": "/a", "params": {}, "query": "", "headers": {},
    "content_type": "text/plain", "remote_addr": "127.0.0.1", "body": {"text": "x"},
}  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("strangers"))
    project.script("a.sh", "true\n")
    return project.hooks(
        "/a: {script: a.sh, auth: none}\n"
        "/b: {script: a.sh, auth: {bearer: $SECRET}}\n"
        "/q: {script: a.sh, auth: {token: {query: key, value: $SECRET}}}\n"
    )


@pytest.mark.parametrize(
    "body",
    [b"{}", b"[]", b"5", b"null", b'"x"', b'{"runs": 5}', b'{"runs": [5]}', b'{"runs": [{}]}',
     b"[" * 200_000, b'{"runs": ' + b"[" * 200_000, b"", b"\xff\xfe", b"<html>hello</html>"],
    ids=range(13),
)  # fmt: skip
def test_an_answer_of_another_shape_is_none_of_a_hookrunner_s(
    project: Project, body: bytes
) -> None:
    with stranger(always(reply(body))) as there:
        for words in (["runs"], ["logs"], ["show", RUN], ["replay", RUN], ["cancel", "aaaa"]):
            done = project.command(*words, "--url", there.url, ADMIN_TOKEN=TOKEN)
            assert (done.returncode, done.stdout, done.stderr) == (
                1, "", f"{there.url} answered 200, and not as a hookrunner does\n",
            )  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [b"{}", b"[]", b"5", b'{"pruned": "x", "more": false}', b'{"pruned": null, "more": 1}',
     b'{"pruned": 0, "more": true}', b'{"pruned": 1, "more": "yes"}', b'{"pruned": -1, "more": 0}'],
)  # fmt: skip
def test_a_server_that_prunes_as_none_of_ours_does_is_not_believed(
    project: Project, body: bytes
) -> None:
    with stranger(always(reply(body))) as there:
        done = project.command("prune", "--url", there.url, ADMIN_TOKEN=TOKEN)
    assert (done.returncode, done.stdout, done.stderr) == (
        1, "", f"{there.url} answered 200, and not as a hookrunner does\n",
    )  # fmt: skip


def of_a_run(whole: object, printed: object) -> Answer:
    """Answers of a server that knows one run, and tells such things of it."""

    def answer(request: bytes) -> Iterator[bytes]:
        target = request.split(b" ")[1]
        said: object = {"runs": [ROW]}
        if target.startswith(b"/-/runs/"):
            said = printed if b"attempt=" in target else whole
        yield reply(json.dumps(said).encode())

    return answer


@pytest.mark.parametrize(
    "said",
    [
        {"state": 5, "printed": 5},
        {"state": [], "printed": []},
        {"state": "succeeded", "printed": {}},
        {**ROW, "attempt": "x", "printed": None},
        {**ROW, "attempt": 1, "printed": {"stdout": 5, "stderr": None}},
        {**ROW, "attempt": 1, "printed": {
            "stdout": "x", "stderr": "", "stdout_next": "9", "stderr_next": 0, "stdout_end": 9,
            "stderr_end": 0, "outcome": None}},
        {**ROW, "attempt": 1, "printed": {
            "stdout": "x", "stderr": "", "stdout_next": 1, "stderr_next": 0, "stdout_end": 1,
            "stderr_end": 0, "outcome": {"state": "succeeded"}}},
    ],
    ids=range(7),
)  # fmt: skip
def test_what_is_told_of_output_in_another_shape_is_no_traceback(
    project: Project, said: object
) -> None:
    with stranger(of_a_run({**ROW}, said)) as there:
        done = project.command("logs", RUN, "--url", there.url, ADMIN_TOKEN=TOKEN)
    assert (done.returncode, done.stderr) == (
        1, f"{there.url} answered 200, and not as a hookrunner does\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    "said",
    [
        {"request": 5, "attempts": 5},
        {**ROW, "request": {}, "attempts": []},
        {**ROW, "request": {"body": {}}, "attempts": [5]},
        {**ROW, "request": {**REQUEST, "body": {"base64": "abc"}}, "attempts": []},
        {**ROW, "request": {**REQUEST, "body": {"text": "\ud800"}}, "attempts": []},
    ],
    ids=range(5),
)
@pytest.mark.parametrize("flag", [[], ["--payload"], ["--json"]])
def test_all_of_a_run_in_another_shape_is_no_traceback(
    project: Project, said: object, flag: list[str]
) -> None:
    with stranger(of_a_run(said, {})) as there:
        done = project.command("show", RUN, *flag, "--url", there.url, ADMIN_TOKEN=TOKEN)
    assert (done.returncode, done.stdout, done.stderr) == (
        1, "", f"{there.url} answered 200, and not as a hookrunner does\n",
    )  # fmt: skip


def test_a_lone_surrogate_is_written_out(project: Project) -> None:
    request = {**REQUEST, "path": "/\ud800", "query": "\udfff"}
    attempt = {
        "number": 1, "started_at": None, "outcome": None, "stdout": "a\udc80b\n", "stderr": "",
        "cut": False,
    }  # fmt: skip
    whole = {**ROW, "hook": "/\ud800", "request": request, "attempts": [attempt]}
    with stranger(of_a_run(whole, {})) as there:
        done = project.command("show", RUN, "--url", there.url, ADMIN_TOKEN=TOKEN)
        told = project.command("show", RUN, "--json", "--url", there.url, ADMIN_TOKEN=TOKEN)
    assert (done.returncode, done.stderr) == (0, "")
    assert "hook      /\\ud800\n" in done.stdout
    assert "request   POST /\\ud800?\\udfff from 127.0.0.1\n" in done.stdout
    assert done.stdout.endswith("    | a\\udc80b\n")
    assert json.loads(told.stdout) == whole


@pytest.mark.parametrize("status", ["500 Oops", "403 No", "502 Bad Gateway"])
def test_a_refusal_that_is_no_problem_of_ours_is_told_by_its_status(
    project: Project, status: str
) -> None:
    with stranger(always(reply(b"<html>", status))) as there:
        done = project.command("runs", "--url", there.url, ADMIN_TOKEN=TOKEN)
    assert (done.returncode, done.stdout, done.stderr) == (
        1, "", f"{there.url} answered {status[:3]}, and not as a hookrunner does\n",
    )  # fmt: skip


def test_a_redirect_is_told_and_not_followed(project: Project) -> None:
    with stranger(always(reply(b'{"runs": []}'))) as other:
        moved = reply(b"", "302 Found", f"Location: {other.url}/-/runs\x1b[2J")
        with stranger(always(moved)) as there:
            asked = project.command("runs", "--url", there.url, ADMIN_TOKEN=TOKEN)
            sent = project.command("send", "/b", "--data", "{}", "--url", there.url, SECRET="s3")
        assert other.got == []
    told = f"answered 302, and is at '{other.url}/-/runs\\x1b[2J'; name that address with --url\n"
    assert (asked.returncode, asked.stdout, asked.stderr) == (1, "", f"{there.url} {told}")
    assert (sent.returncode, sent.stderr) == (1, f"the server {told}")
    assert sent.stdout.startswith("302 Found in ")


# --- addresses


@pytest.mark.parametrize(
    "url",
    ["http://[::1", "http://", "http://:80", "//x", "http://a b", "http://a\nb", "http://x:0",
     "http://x:99999", "http://x:y", "http://é", "http://x\\y", "http://[x]", "file:///etc/passwd"],
)  # fmt: skip
@pytest.mark.parametrize("words", [["runs"], ["send", "/a", "--data", "{}"]])
def test_an_address_that_is_none_is_told(project: Project, words: list[str], url: str) -> None:
    done = project.command(*words, "--url", url, ADMIN_TOKEN=TOKEN)
    assert (done.returncode, done.stdout, done.stderr) == (
        1, "", f"--url must be an address such as https://app.herokuapp.com, not {url!r}\n",
    )  # fmt: skip


def test_an_address_with_a_password_is_refused_and_not_shown(project: Project) -> None:
    done = project.command("runs", "--url", "http://me:hunter2@127.0.0.1", ADMIN_TOKEN=TOKEN)
    assert (done.returncode, done.stderr) == (
        1, "--url must be an address such as https://app.herokuapp.com, not what is there\n",
    )  # fmt: skip


@pytest.mark.parametrize("written", ["http://[::1", "\x1b[2J", "x" * 5000, "http://x/?a=b"])
def test_a_forged_address_file_is_told_by_its_name(project: Project, written: str) -> None:
    folder = project.folder / "var"
    folder.mkdir(exist_ok=True)
    (folder / "address").write_text(written)
    try:
        done = project.command("send", "/a", "--data", "{}")
    finally:
        (folder / "address").unlink()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{folder / 'address'} must ")
    assert len(done.stderr) < 300
    assert "\x1b" not in done.stderr


def test_a_secret_in_the_query_is_not_shown_if_nobody_answers(project: Project) -> None:
    for url in ("http://127.0.0.1:1", "http://name.invalid"):
        done = project.command("send", "/q", "--data", "{}", "--url", url, SECRET="hunter2-s")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"{url} cannot be reached: ")
        assert "hunter2" not in done.stderr


def test_a_stranger_who_hangs_up_is_told(project: Project) -> None:
    with stranger(always()) as there:
        done = project.command("send", "/q", "--data", "{}", "--url", there.url, SECRET="hunter2")
    assert (done.returncode, done.stdout, done.stderr) == (
        1, "", f"{there.url} cannot be reached: it hung up\n",
    )  # fmt: skip


# --- what is sent, and what is not


@pytest.mark.parametrize(
    "run", ["../../evil", "a" * 19, "A" * 20, "a" * 20 + "?x", "\x1b[2J", "é" * 20]
)
def test_a_run_that_can_be_none_is_not_asked_about(project: Project, run: str) -> None:
    with stranger(always(reply(b"{}", "202 Accepted", f"Hook-Run: {run}"))) as there:
        done = project.command(
            "send", "/b", "--data", "{}", "--url", there.url, ADMIN_TOKEN=TOKEN, SECRET="s3"
        )
        assert len(there.got) == 1
        assert TOKEN.encode() not in there.heads
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1:] == ["{}"]


@pytest.mark.parametrize(
    ("url", "trusted"),
    [
        ("https://hooks.example.com", True),
        ("http://hooks.example.com", False),
        ("http://192.0.2.1:5000", False),
        ("http://127.0.0.1.example.com", False),
        ("http://localhost.example.com", False),
        ("http://127.0.0.1:5000", True),
        ("http://localhost", True),
        ("http://[::1]:5000", True),
        ("http://[2001:db8::1]", False),
        ("http://0.0.0.0:5000", False),
    ],
)
def test_the_administrator_s_token_goes_to_this_machine_or_over_https(
    url: str, *, trusted: bool
) -> None:
    assert Server(url, TOKEN).trusted is trusted


def test_send_keeps_the_administrator_s_token_from_a_host_that_may_be_far(
    project: Project,
) -> None:
    # To a server that binds 127.0.0.1, this address leads as well; who reads it cannot tell.
    answer = always(reply(b"{}", "202 Accepted", f"Hook-Run: {RUN}"))
    with stranger(answer) as there:
        url = there.url.replace("127.0.0.1", "0.0.0.0")
        done = project.command(
            "send", "/b", "--data", "{}", "--url", url, ADMIN_TOKEN=TOKEN, SECRET="s3"
        )
        assert len(there.got) == 1
        assert TOKEN.encode() not in there.heads
        assert b"authorization: bearer s3\r\n" in there.heads
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"\nrun {RUN}; name it with https:// to see what it prints\n")


@pytest.mark.parametrize("value", ["hunter2\nx", "hunter2\r\nX: y", " hunter2", "hunter2\x00"[:8]])
def test_a_value_that_no_header_can_hold_is_told_by_its_name_alone(
    project: Project, value: str
) -> None:
    why = "it begins or ends with a space, or has a line break or another control character in it"
    url = "http://127.0.0.1:1"
    token = project.command("runs", "--url", url, ADMIN_TOKEN=value.replace("\x00", "\x01"))
    assert (token.returncode, token.stdout, token.stderr) == (
        1, "", f"ADMIN_TOKEN cannot be sent: {why}; give it, and the server, another\n",
    )  # fmt: skip


@pytest.mark.parametrize("value", ["hunter2\nx", "hunter2\rx", "hunter2\x01"])
def test_a_hook_s_secret_that_no_header_can_hold_is_not_shown(project: Project, value: str) -> None:
    done = project.command(
        "send", "/b", "--data", "{}", "--url", "http://127.0.0.1:1", SECRET=value
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "SECRET" in done.stderr or "/b" in done.stderr
    assert "hunter2" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\x01"])
def test_a_given_header_that_cannot_be_one_is_told(project: Project, value: str) -> None:
    done = project.command(
        "send", "/a", "--data", "{}", "--header", f"X-A:{value}", "--url", "http://127.0.0.1:1"
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        1, "", f"--header 'X-A:{value.encode('unicode_escape').decode()}' cannot be sent: its name "
        "is letters, digits and -, and its value has no control characters\n",
    )  # fmt: skip


def test_what_is_not_latin_goes_out_as_utf8(project: Project) -> None:
    with stranger(always(reply(b"{}"))) as there:
        words = ("send", "/b", "--data", "{}", "--header", "X-A: жé€", "--url", there.url)
        sent = project.command(*words, SECRET="ключ")
        asked = project.command("runs", "--url", there.url, ADMIN_TOKEN="ключ")
    assert (sent.returncode, sent.stderr) == (0, "")
    assert asked.stderr == f"{there.url} answered 200, and not as a hookrunner does\n"
    assert b"X-A: " + "жé€".encode() in there.got[0] or "x-a: жé€".encode() in there.got[0]
    for got in there.got:
        assert "Bearer ключ".encode() in got


# --- too much


def endless(request: bytes) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
    while True:
        yield b"x" * 1_000_000


def test_an_endless_answer_is_cut(project: Project) -> None:
    with stranger(endless) as there:
        done = project.command("send", "/a", "--data", "{}", "--url", there.url)
        assert there.sent < 32 * 1024 * 1024
    assert done.stderr == "the answer goes on; these are its first 16777216 bytes\n"
    assert len(done.stdout) < 17 * 1024 * 1024


def test_an_endless_answer_about_runs_is_none_of_a_hookrunner_s(project: Project) -> None:
    with stranger(endless) as there:
        done = project.command("runs", "--url", there.url, ADMIN_TOKEN=TOKEN)
        assert there.sent < 160 * 1024 * 1024
    assert (done.returncode, done.stderr) == (
        1, f"{there.url} answered 200, and not as a hookrunner does\n",
    )  # fmt: skip


def test_what_is_packed_is_not_unpacked(project: Project) -> None:
    packed = gzip.compress(bytes(64 * 1024 * 1024))
    with stranger(always(reply(packed, "200 OK", "Content-Encoding: gzip"))) as there:
        sent = project.command("send", "/a", "--data", "{}", "--url", there.url)
        asked = project.command("runs", "--url", there.url, ADMIN_TOKEN=TOKEN)
    assert (sent.returncode, sent.stderr) == (0, "")
    assert len(sent.stdout) < 8 * len(packed)
    assert asked.stderr == f"{there.url} answered 200, and not as a hookrunner does\n"


def test_endless_headers_are_told(project: Project) -> None:
    def headers(request: bytes) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n"
        while True:
            yield b"X-A: b\r\n" * 1000

    with stranger(headers) as there:
        done = project.command("send", "/a", "--data", "{}", "--url", there.url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{there.url} cannot be reached: ")


def test_endless_answers_to_many_are_bounded_too(project: Project) -> None:
    with stranger(endless) as there:
        done = project.command("send", "/a", "--data", "{}", "--url", there.url, "--repeat", "3")
    assert done.stdout.splitlines()[1:3] == ["answers   3 × 200", "runs      0"]


def test_an_answer_cannot_steer_the_terminal(project: Project, tmp_path: Path) -> None:
    with stranger(always(reply(b"a\x1b]0;x\x07b\xc2\x9b\n\xff\n", "200 O\x1b[2JK"))) as there:
        done = project.command("send", "/a", "--data", "{}", "--url", there.url)
    assert done.stdout.splitlines()[1:] == ["a\\x1b]0;x\\x07b\\x9b", "\ufffd"]
