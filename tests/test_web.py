"""HTTP as senders see it: a real server, real sockets, every answer of the contract."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.serving import Project, Server

HOOKS = """
/echo:
  script: echo.py
  auth: none
  methods: [GET, POST]
  respond: output
/state:
  script: echo.py
  auth: none
/later:
  script: echo.py
  auth: none
  respond: accepted
/fits:
  script: echo.py
  auth: none
  schema: {type: object, required: [n], properties: {n: {type: integer}}}
/wanted:
  script: echo.py
  auth: none
  when: {properties: {headers: {required: [X-Event], properties: {X-Event: {const: push}}}}}
/signed:
  script: echo.py
  auth: {github: $SECRET}
/off:
  script: echo.py
  auth: {github: $NOT_SET}
/exits/<code>:
  script: exits.sh
  auth: none
  args: ["{path:code}"]
  respond: {mode: output, exit_status: {3: 409}}
/slow:
  script: slow.sh
  auth: none
  timeout: 300ms
/endless:
  script: endless.sh
  auth: none
  respond: {mode: output, wait: 20s}
/form:
  script: echo.py
  auth: none
  respond: {mode: accepted, redirect: /thanks}
/large:
  script: digest.py
  auth: none
  max_body: 8MB
  respond: output
/small:
  script: echo.py
  auth: none
  max_body: 10B
/binary:
  script: binary.py
  auth: none
  respond: {mode: output, type: application/octet-stream, headers: {X-Made-By: us}}
/silent:
  script: silent.sh
  auth: none
  respond: output
"""

SECRET = "It's a Secret to Everybody"


def write_project(project: Project) -> Project:
    project.hooks(HOOKS)
    project.script("echo.py", "import sys\nsys.stdout.write(sys.stdin.read())\n")
    project.script("exits.sh", 'echo "exits with $1"; echo "because" >&2; exit "$1"\n')
    project.script("slow.sh", "sleep 60\n")
    # Ends when the file that it is told of is there.
    project.script(
        "endless.sh", 'f=$(cat); while [ ! -e "${f//\\"/}" ]; do sleep 0.05; done; echo ok'
    )
    project.script(
        "digest.py",
        "import hashlib, sys\nprint(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())\n",
    )
    project.script("binary.py", "import sys\nsys.stdout.buffer.write(bytes(range(256)))\n")
    project.script("silent.sh", "")
    return project


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    project = write_project(Project(tmp_path_factory.mktemp("web") / "project"))
    with project.serve(SECRET=SECRET) as server:
        yield server


def raw(server: Server, request: bytes) -> bytes:
    """Bytes in, bytes out: for what no HTTP library would send."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer


def runs_begun(server: Server) -> int:
    return sum(" accepted from " in line for line in server.lines)


def test_a_hook_that_responds_with_output_answers_what_its_script_printed(server: Server) -> None:
    answer = server.post_json("/echo", {"a": "é"})

    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.json == {"a": "é"}


def test_a_get_hands_the_query_to_the_script(server: Server) -> None:
    assert server.get("/echo?a=1&b=2&b=3").json == {"a": "1", "b": ["2", "3"]}


def test_the_log_shows_the_run_its_output_and_its_end(server: Server) -> None:
    run = server.post("/exits/0").headers["Hook-Run"]

    server.wait_for_line(f"{run} /exits/<code> accepted from 127.0.0.1")
    server.wait_for_line(f"{run} /exits/<code> | exits with 0")
    server.wait_for_line(f"{run} /exits/<code> ! because")
    line = server.wait_for_line(f"{run} /exits/<code> succeeded in ")
    assert re.search(r"succeeded in \S+s: exit 0$", line)


def test_a_hook_that_responds_with_status_answers_about_the_run(server: Server) -> None:
    answer = server.post_json("/state", {})

    run = answer.headers["Hook-Run"]
    assert re.fullmatch("[a-z2-7]{20}", run)
    said = answer.json
    assert answer.status == 200
    assert said.pop("seconds") >= 0
    assert said == {
        "run": run,
        "state": "succeeded",
        "attempt": 1,
        "exit_code": 0,
        "signal": None,
        "why": None,
    }


def test_an_accepted_delivery_is_202_and_its_run_can_be_looked_up(server: Server) -> None:
    answer = server.post_json("/later", {})

    run = answer.headers["Hook-Run"]
    assert answer.status == 202
    assert answer.headers["Location"] == f"/-/runs/{run}"
    assert answer.json == {"run": run, "state": "queued", "location": f"/-/runs/{run}"}
    assert server.wait_until_ended(run)["state"] == "succeeded"


def test_a_path_that_is_no_hook_is_404(server: Server) -> None:
    answer = server.post("/nothing")

    assert answer.status == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "there is no such hook",
    }


def test_a_method_that_is_not_taken_is_405_with_allow(server: Server) -> None:
    answer = server.request("PUT", "/echo")

    assert (answer.status, answer.headers["Allow"]) == (405, "GET, POST")
    assert server.request("HEAD", "/echo").status == 405


def test_garbage_without_a_signature_is_401_and_never_400(server: Server) -> None:
    for body in (b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":1,"a":2}'):
        answer = server.post("/signed", body, Content_Type="application/json")
        assert (answer.status, answer.json["detail"]) == (401, "not authorised")
        assert answer.headers["WWW-Authenticate"] == "Signature"
    assert server.post("/signed", b"x", Content_Type="what/ever").status == 401


def test_a_signed_delivery_runs(server: Server) -> None:
    body = b'{"ref":"x"}'
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()

    answer = server.request(
        "POST",
        "/signed",
        body,
        {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={digest}"},
    )

    assert answer.status == 200


def test_a_signature_that_is_not_ascii_is_401(server: Server) -> None:
    head = b"POST /signed HTTP/1.1\r\nHost: x\r\nX-Hub-Signature-256: sha256=\xe9\xff\r\n\r\n"

    assert raw(server, head).startswith(b"HTTP/1.1 401 ")


def test_why_a_delivery_was_refused_is_in_the_log_and_not_in_the_answer(server: Server) -> None:
    answer = server.post("/signed", b"{}", X_Hub_Signature_256="sha256=00")

    assert answer.json["detail"] == "not authorised"
    server.wait_for_line(
        "refused POST /signed: github: signature does not match the body; "
        "is $SECRET what its sender has? (401 to 127.0.0.1)"
    )


def test_a_payload_that_does_not_fit_is_422_with_each_error(server: Server) -> None:
    answer = server.post_json("/fits", {"n": "7"})

    assert answer.status == 422
    assert answer.json["errors"] == [
        {"pointer": "/n", "detail": "'7' is not of type 'integer'"},
    ]
    server.wait_for_line("refused POST /fits: the payload does not fit the schema: /n: type (422")


def test_a_delivery_of_no_interest_is_200_ignored_and_makes_no_run(server: Server) -> None:
    answer = server.post_json("/wanted", {}, X_Event="ping")

    assert (answer.status, answer.json) == (200, {"status": "ignored"})
    assert "Hook-Run" not in answer.headers
    assert server.post_json("/wanted", {}, X_Event="push").status == 200


def test_a_hook_without_its_secret_is_503_alone(server: Server) -> None:
    answer = server.post_json("/off", {})

    assert (answer.status, answer.headers["Retry-After"]) == (503, "60")
    assert answer.json["detail"] == "this hook is switched off"
    server.wait_for_line(
        "/off is switched off: NOT_SET is not set; "
        'set it: echo "NOT_SET=$(openssl rand -hex 32)" >> .env'
    )


def test_a_script_that_fails_is_500_and_its_output_stays_with_us(server: Server) -> None:
    answer = server.post("/exits/7")

    assert answer.status == 500
    assert answer.json["detail"] == "the script failed: exit 7"
    assert answer.json["exit_code"] == 7
    assert "because" not in answer.text


def test_an_exit_code_can_stand_for_a_status(server: Server) -> None:
    answer = server.post("/exits/3")

    assert (answer.status, answer.text) == (409, "exits with 3\n")


def test_a_script_that_takes_too_long_is_504(server: Server) -> None:
    answer = server.post_json("/slow", {})

    assert answer.status == 504
    assert answer.json["detail"] == "the script timed out after 0.3 s"


def test_a_form_in_a_browser_is_sent_on_to_a_page(server: Server) -> None:
    answer = server.request(
        "POST", "/form", "a=1", {"Content-Type": "application/x-www-form-urlencoded"}
    )

    assert (answer.status, answer.headers["Location"]) == (303, "/thanks")
    assert server.wait_until_ended(answer.headers["Hook-Run"])["state"] == "succeeded"


def test_a_sender_that_prefers_not_to_wait_gets_202(server: Server) -> None:
    answer = server.post_json("/state", {}, Prefer="respond-async")

    assert answer.status == 202
    assert answer.headers["Preference-Applied"] == "respond-async"


def test_a_sender_may_say_how_long_it_waits(server: Server, tmp_path: Path) -> None:
    go = tmp_path / "go"
    answer = server.post_json("/endless", str(go), Prefer="wait=0")
    assert (answer.status, answer.headers["Preference-Applied"]) == (202, "wait=0")
    go.touch()

    answer = server.post_json("/later", {}, Prefer='respond-async, wait="20"')
    assert (answer.status, answer.json["state"]) == (200, "succeeded")
    assert answer.headers["Preference-Applied"] == "wait=20"
    answer = server.post_json("/later", {}, Prefer="wait=900")
    assert answer.headers["Preference-Applied"] == "wait=25"


def test_a_body_beyond_the_hooks_limit_is_413(server: Server) -> None:
    answer = server.post("/small", b"x" * 11, Content_Type="text/plain")

    assert (answer.status, answer.json["detail"]) == (413, "the body is larger than 10B")


def test_a_body_beyond_every_limit_is_413_before_it_is_sent(server: Server) -> None:
    head = b"POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n"

    status, _, body = raw(server, head).partition(b"\r\n\r\n")

    assert status.startswith(b"HTTP/1.1 413 ")
    assert json.loads(body)["status"] == 413


def test_five_megabytes_reach_the_script_byte_for_byte(server: Server) -> None:
    body = json.dumps({"x": "é\u2028 \\u0000" * 400_000}).encode()
    assert len(body) > 5_000_000

    answer = server.post("/large", body, Content_Type="application/json")

    assert answer.text.strip() == hashlib.sha256(body).hexdigest()


def test_a_chunked_body_is_read_whole(server: Server) -> None:
    request = (
        b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n"
    )

    assert raw(server, request).endswith(b"\r\n\r\n[1,2]")


@pytest.mark.parametrize(
    ("version", "more"),
    [
        ("1.1", "chunked\r\nContent-Length: 5"),
        ("1.1", "\r\nContent-Length: 5"),
        ("1.1", ""),
        ("1.0", "chunked\r\nContent-Length: 5"),
        ("1.0", "chunked\r\nConnection: keep-alive"),
    ],
)
def test_a_body_whose_end_a_proxy_may_see_elsewhere_is_refused(
    server: Server, version: str, more: str
) -> None:
    """Else the rest of one sender's body could pass for another's request (RFC 9112 §11.2)."""
    answer = raw(
        server,
        f"POST /echo HTTP/{version}\r\nHost: x\r\ntransfer-encoding:{more}\r\n\r\n"
        "0\r\n\r\nGET /-/health HTTP/1.1\r\n\r\n".encode(),
    )

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/{version} 400 ".encode())
    assert b"\r\nConnection: close" in head
    assert json.loads(body)["detail"] == (
        "where the body ends is not certain: Transfer-Encoding goes with HTTP/1.1, names chunked, "
        "and excludes Content-Length"
    )


def test_binary_output_arrives_as_it_was_written(server: Server) -> None:
    answer = server.post("/binary")

    assert answer.body == bytes(range(256))
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Made-By"] == "us"


def test_a_script_that_prints_nothing_answers_nothing(server: Server) -> None:
    answer = server.post("/silent")

    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /echo%00 HTTP/1.1",
        b"GET /ec%0dho HTTP/1.1",
        b"GET /%0aecho HTTP/1.1",
        b"GET /echo%0a HTTP/1.1",
        b"GET /hel%fflo HTTP/1.1",
        b"GET /-%ff/ready HTTP/1.1",
        b"GET /-/runs%ff HTTP/1.1",
        b"GET http://[::1 HTTP/1.1",
    ],
)
def test_a_path_with_a_control_character_or_no_utf8_is_400(
    server: Server, request_line: bytes
) -> None:
    answer = raw(server, request_line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")

    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 400 " in head.partition(b"\r\n")[0]
    assert json.loads(body)["status"] == 400


@pytest.mark.parametrize(
    "line",
    [
        b"X-A: a\x00b",
        b"X-A: a\rb",
        b"X A: b",
        b"nonsense",
        b"X-A:" + b" " * 8000 + b"b",
        b"Content-Length: " + b"9" * 5000,
    ],
    ids=lambda line: repr(line[:20]),
)
def test_a_header_that_is_none_is_400_as_problem_details(server: Server, line: bytes) -> None:
    answer = raw(
        server, b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + line + b"\r\n\r\n"
    )

    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 400 " in head.partition(b"\r\n")[0]
    assert b"application/problem+json" in head
    assert json.loads(body)["status"] == 400


def test_health_is_there_for_everybody(server: Server) -> None:
    answer = server.get("/-/health")

    assert (answer.status, answer.json) == (200, {"status": "ok"})


def test_an_unknown_run_is_404(server: Server) -> None:
    for run_id in ("a" * 20, "x", "..%2f..%2fetc"):
        assert server.get(f"/-/runs/{run_id}").status == 404


def test_our_own_pages_say_which_method_they_take(server: Server) -> None:
    for method, path, allowed in [
        ("POST", "/-/health", "GET"),
        ("DELETE", f"/-/runs/{'a' * 20}", "GET"),
        ("GET", f"/-/runs/{'a' * 20}/replay", "POST"),
    ]:
        answer = server.request(method, path)
        assert (answer.status, answer.headers["Allow"]) == (405, allowed)


def test_a_head_of_our_own_pages_is_answered(server: Server) -> None:
    for path in ("/", "/-/health"):
        answer = server.request("HEAD", path)
        assert (answer.status, answer.body) == (200, b"")


def test_options_of_a_hook_are_refused_with_what_it_takes(server: Server) -> None:
    answer = server.request("OPTIONS", "/echo")

    assert (answer.status, answer.headers["Allow"]) == (405, "GET, POST")


def test_a_compressed_body_is_415(server: Server) -> None:
    answer = server.post_json("/state", {}, Content_Encoding="gzip")

    assert answer.status == 415
    assert answer.json["detail"] == ("Content-Encoding 'gzip' is not taken; send the body as it is")


def test_a_path_near_that_of_a_hook_is_named_in_the_log_and_not_to_the_sender(
    server: Server,
) -> None:
    answer = server.post("/ecoh")

    assert answer.json["detail"] == "there is no such hook"
    server.wait_for_line("refused POST /ecoh: there is no such hook; the nearest is /echo (404")


def test_a_timed_out_script_is_504_whatever_its_exit_code_stands_for(project: Project) -> None:
    project.hooks(
        "/a:\n  script: a.sh\n  auth: none\n  timeout: 200ms\n  respond: {exit_status: {3: 409}}\n"
    ).script("a.sh", "trap 'exit 3' TERM; sleep 60 & wait\n")
    with project.serve() as server:
        assert server.post("/a").status == 504


@pytest.mark.parametrize("form", ["json", "logfmt"])
def test_the_log_can_be_made_for_machines(project: Project, form: str) -> None:
    write_project(project)
    with project.serve(SECRET=SECRET, LOG_FORMAT=form) as server:
        run = server.post("/exits/0").headers["Hook-Run"]
        line = server.wait_for(lambda line: run in line and "exits with 0" in line, "the output")
    if form == "json":
        said = json.loads(line)
        assert (said["level"], said["run"], said["stream"]) == ("info", run, "out")
        assert said["message"] == "exits with 0"
    else:
        assert line.startswith("at=info time=")
        assert line.endswith(f'message="exits with 0" run={run} hook=/exits/<code> stream=out')


def test_there_is_no_other_page_of_ours(server: Server) -> None:
    for path in ("/-", "/-/nothing", "/-/runs/"):
        assert server.get(path).status == 404


def test_the_landing_page_is_html_that_runs_nothing(server: Server) -> None:
    answer = server.get("/")

    assert answer.status == 200
    assert "hookrunner is running" in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert server.post("/").status == 405


MALFORMED: list[tuple[str, bytes, int]] = [
    ("application/json", b"", 400),
    ("application/json", b" ", 400),
    ("application/json", b"{", 400),
    ("application/json", b"}", 400),
    ("application/json", b'{"a":}', 400),
    ("application/json", b'{"a":1,}', 400),
    ("application/json", b"{'a':1}", 400),
    ("application/json", b'{"a":1}{"b":2}', 400),
    ("application/json", b'{"a":1,"a":2}', 400),
    ("application/json", b"NaN", 400),
    ("application/json", b"[Infinity]", 400),
    ("application/json", b"[-Infinity]", 400),
    ("application/json", b"1e999", 400),
    ("application/json", b"1" * 5000, 400),
    ("application/json", b"01", 400),
    ("application/json", b"tru", 400),
    ("application/json", b'"\x01"', 400),
    ("application/json", b'"\\x"', 400),
    ("application/json", b'"\xff"', 400),
    ("application/json", b"\xef\xbb\xbf{}", 400),
    ("application/json", "{}".encode("utf-16"), 400),
    ("application/json", b"[" * 100_000, 400),
    ("application/json", b"[" * 65 + b"]" * 65, 400),
    ("application/json; charset=latin-1", b"{}", 415),
    ("application/x-www-form-urlencoded", b'{"a":1}', 415),
    ("application/x-www-form-urlencoded", b"a=%ff", 400),
    ("application/x-www-form-urlencoded", b"a=\xff", 400),
    ("application/x-www-form-urlencoded", b"&".join([b"a=1"] * 1001), 400),
    ("application/x-www-form-urlencoded", b"payload={", 400),
    ("multipart/form-data", b"--x", 400),
    ("multipart/form-data; boundary=x", b"--x\r\n", 400),
    ("multipart/form-data; boundary=x", b"nothing", 400),
    ("multipart/form-data; boundary=x", b"--x\r\n\r\nvalue\r\n--x--\r\n", 400),
    ("text/plain", b"hello", 400),
    ("application/xml", b"<a/>", 415),
    ("", b"{}", 415),
]


def test_malformed_bodies_are_refused_and_make_no_run(server: Server) -> None:
    begun = runs_begun(server)

    for kind, body, status in MALFORMED:
        answer = server.request("POST", "/state", body, {"Content-Type": kind} if kind else {})
        assert (kind, body[:40], answer.status) == (kind, body[:40], status)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json["detail"]

    assert runs_begun(server) == begun
    assert not [line for line in server.lines if "Traceback" in line or "bug: " in line]


def test_only_the_peer_is_believed_where_no_proxy_is_trusted(server: Server) -> None:
    run = server.post_json("/later", {}, X_Forwarded_For="1.2.3.4").headers["Hook-Run"]

    server.wait_for_line(f"{run} /later accepted from 127.0.0.1")


def test_a_trusted_proxys_right_most_word_is_believed(project: Project) -> None:
    write_project(project)
    with project.serve(FORWARDED_ALLOW="10.0.0.0/8,127.0.0.1") as server:
        run = server.post_json("/later", {}, X_Forwarded_For="6.6.6.6, 1.2.3.4").headers["Hook-Run"]
        server.wait_for_line(f"{run} /later accepted from 1.2.3.4")
        run = server.post_json("/later", {}, X_Forwarded_For="1.2.3.4, evil").headers["Hook-Run"]
        server.wait_for_line(f"{run} /later accepted from 127.0.0.1")


def test_waiting_senders_do_not_hold_up_the_others(project: Project, tmp_path: Path) -> None:
    write_project(project)
    go = tmp_path / "go"
    with project.serve() as server, ThreadPoolExecutor(33) as pool:
        waiting = [pool.submit(server.post_json, "/endless", str(go)) for _ in range(32)]
        server.wait_for(lambda _: runs_begun(server) == 32, "32 accepted deliveries")

        assert server.get("/-/health").status == 200
        assert server.post_json("/later", {}).status == 202
        # The 33rd that would wait is told at once that its run will happen.
        assert server.post_json("/endless", str(go)).status == 202

        go.touch()
        assert {answer.result().status for answer in waiting} == {200}


def test_half_sent_requests_do_not_hold_up_the_others(server: Server) -> None:
    half = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf"
    connections = []
    try:
        for _ in range(1200):
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
            connections.append(connection)
            connection.sendall(half)

        assert server.get("/-/health").status == 200
        assert server.post_json("/echo", {"a": 1}).json == {"a": 1}
    finally:
        for connection in connections:
            connection.close()


def test_requests_follow_one_another_on_one_connection(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    for number in range(3):
        body = json.dumps({"n": number})
        connection.request("POST", "/echo", body, {"Content-Type": "application/json"})
        assert json.loads(connection.getresponse().read()) == {"n": number}
    connection.close()
