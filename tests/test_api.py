"""What programs are told below /-/: hooks, runs and refusals as JSON, page after page."""

from __future__ import annotations

import hmac
import re
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving import SECONDS, Project, Response, Server, wait_until

TOKEN = "an-administrators-token"
SECRET = "a-senders-own-secret"
ADMIN = {"Authorization": f"Bearer {TOKEN}"}
HOOKS = """
/hello:
  script: hello.sh
  auth: none
  schema: {type: object, properties: {n: {type: integer}}}
/deploy/<target>:
  script: hello.sh
  auth: {bearer: $NOT_SET}
/gone:
  script: hello.sh
  auth: none
  respond: {mode: status, redirect: /thanks}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    project = Project(tmp_path_factory.mktemp("api") / "project").hooks(HOOKS)
    project.script("hello.sh", "cat")
    with project.serve(ADMIN_TOKEN=TOKEN) as server:
        yield server


@pytest.fixture(scope="module")
def runs(server: Server) -> list[str]:
    """The ids of five runs, newest first."""
    made = [server.post_json("/hello", {"n": n}).headers["Hook-Run"] for n in range(5)]
    return made[::-1]


def told(server: Server, path: str) -> Any:
    answer = server.get(path, **ADMIN)
    assert answer.status == 200, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.json


def followed(server: Server, path: str, name: str) -> Iterator[list[Any]]:
    """Each page of a list, as its `next` and its Link lead from one to the other."""
    onward: str | None = path
    while onward:
        answer = server.get(onward, **ADMIN)
        yield answer.json[name]
        onward = answer.json["next"]
        assert answer.headers["Link"] == (f'<{onward}>; rel="next"' if onward else None)


def test_the_hooks_are_told_with_what_became_of_their_runs(server: Server, runs: list[str]) -> None:
    hello, deploy, gone = told(server, "/-/hooks")["hooks"]

    last = hello.pop("last")
    assert (last["run"], last["state"]) == (runs[0], "succeeded")
    day = hello.pop("day")
    assert (day["succeeded"], day["failed"], day["cancelled"]) == (5, 0, 0)
    assert 0 < day["p50"] <= day["p95"]
    assert hello == {
        "path": "/hello",
        "params": [],
        "methods": ["POST"],
        "auth": [],
        "script": "hello.sh",
        "missing": [],
        "queued": 0,
        "running": 0,
    }
    assert (deploy["params"], deploy["missing"]) == (["target"], ["NOT_SET"])
    assert gone["last"] is None


def test_one_hook_is_told_with_its_schema_and_settings(server: Server, runs: list[str]) -> None:
    hook = told(server, "/-/hook?path=/hello")

    assert hook["schema"] == {"type": "object", "properties": {"n": {"type": "integer"}}}
    assert hook["settings"]["respond"] == "status, waits 8s"
    assert [run["run"] for run in hook["runs"]] == runs
    assert told(server, "/-/hook?path=/gone")["schema"] is None


def test_the_overview_has_what_goes_on(server: Server, runs: list[str]) -> None:
    seen = told(server, "/-/")

    assert [hook["path"] for hook in seen["hooks"]] == ["/hello", "/deploy/<target>", "/gone"]
    assert len(seen["slots"]) == 48
    assert seen["slots"][-1]["counts"].get("succeeded", 0) > 0 or seen["slots"][-2]["counts"]
    assert seen["live"] == []


@pytest.mark.parametrize("query", ["limit=2", "limit=2&state=succeeded", "limit=2&text=/hello"])
def test_runs_are_told_page_after_page(server: Server, runs: list[str], query: str) -> None:
    pages = list(followed(server, f"/-/runs?{query}&hook=/hello", "runs"))

    assert [[run["run"] for run in page] for page in pages] == [runs[:2], runs[2:4], runs[4:]]


def test_a_page_that_is_just_full_is_the_last(server: Server, runs: list[str]) -> None:
    assert told(server, "/-/runs?limit=5&hook=/hello")["next"] is None
    assert told(server, f"/-/runs?id={runs[3]}") == {
        "runs": [told(server, "/-/runs?limit=4&hook=/hello")["runs"][3]],
        "next": None,
    }


def test_runs_are_found_by_text_and_time(server: Server, runs: list[str]) -> None:
    assert [run["run"] for run in told(server, "/-/runs?text=%22n%22:%203")["runs"]] == [runs[1]]
    assert told(server, "/-/runs?until=1000")["runs"] == []


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/-/hook", 400, "path is missing; it is a path of hooks.yaml"),
        ("/-/hook?path=/nothing", 404, "there is no such hook"),
        ("/-/hooks?x=1", 400, "'x' cannot be asked for here"),
        ("/-/runs?text=a&unreplaced=1", 400, "unreplaced does not go with text and until"),
        ("/-/refusals?before=x", 400, "before cannot be 'x'; it is the seq of a refusal"),
        ("/-/nothing", 404, "there is no such page"),
    ],
)
def test_what_cannot_be_told_is_a_problem(
    server: Server, path: str, status: int, detail: str
) -> None:
    answer = server.get(path, **ADMIN)

    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status, answer.json["detail"]) == (status, detail)
    assert answer.json["title"]


def test_a_method_that_a_page_has_not_is_told_with_those_that_it_has(server: Server) -> None:
    for method, path, allowed in (
        ("POST", "/-/hooks", "GET"),
        ("GET", f"/-/runs/{'a' * 20}/replay", "POST"),
        ("DELETE", "/-/login", "GET, POST"),
        ("PUT", f"/-/runs/{'a' * 20}/stderr", "GET"),
    ):
        answer = server.request(method, path, headers=ADMIN)
        assert (answer.status, answer.headers["Allow"]) == (405, allowed)


def test_a_replay_of_a_hook_that_redirects_is_told_as_any_other(server: Server) -> None:
    first = server.post_json("/gone", {}).headers["Hook-Run"]

    answer = server.post(f"/-/runs/{first}/replay", **ADMIN)

    assert answer.status == 202
    assert answer.headers["Location"] == f"/-/runs/{answer.json['run']}"


def test_no_secret_is_told_wherever_one_stands(tmp_path: Path) -> None:
    project = Project(tmp_path / "project").script("a.sh", "cat")
    project.hooks(
        f"info: {{title: Ours, description: Ask with {SECRET}.}}\n"
        "/a: {script: a.sh, auth: {github: $SECRET}, schema: a.json}\n"
    )
    given = {"description": f"Say {SECRET}.", "examples": [SECRET, {SECRET: 1}]}
    project.schema("a.json", {"properties": {"description": given}})
    body = f'{{"description": "{SECRET}"}}'
    signature = hmac.digest(SECRET.encode(), body.encode(), "sha256").hex()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": SECRET,
        "X-GitHub-Delivery": SECRET,
        "X-Hub-Signature-256": f"sha256={signature}",
    }
    with project.serve(ADMIN_TOKEN=TOKEN, SECRET=SECRET) as server:
        sent = server.post("/a", body, **headers)
        assert sent.status == 200
        run = sent.headers["Hook-Run"]
        server.post(f"/{SECRET}")
        refused(server, "there is no such hook")
        for page in ("/-/", "/-/hooks", "/-/hook?path=/a", "/-/runs", f"/-/runs?id={run}",
                     f"/-/runs/{run}", "/-/refusals", "/-/openapi.json"):  # fmt: skip
            text = server.get(page, **ADMIN).text
            assert "****" in text, page
            assert SECRET not in text, page
        docs = server.get("/-/docs", Accept="text/html", **ADMIN).text
        assert "Ask with ****." in docs
        assert SECRET not in docs
        schema = told(server, "/-/hook?path=/a")["schema"]["properties"]["description"]
        assert schema == {"description": "Say ****.", "examples": ["****", {"****": 1}]}
        assert told(server, f"/-/runs/{run}?exact=1")["request"]["body"]["text"] == body


def test_half_of_a_pair_in_a_schema_is_told_as_it_is_written(tmp_path: Path) -> None:
    project = Project(tmp_path / "project").script("a.sh", "cat")
    project.hooks("/a: {script: a.sh, auth: none, schema: a.json}\n")
    contents = {"pattern": "^[^\ud800-\udfff]*$", "properties": {"\ud800": {"title": "\udfff"}}}
    project.schema("a.json", contents)
    with project.serve(ADMIN_TOKEN=TOKEN) as server:
        assert told(server, "/-/hook?path=/a")["schema"] == contents
        said = told(server, "/-/openapi.json")["components"]["schemas"]["payload_a"]
        assert said == contents


def test_no_address_asks_the_journal_for_a_run_that_cannot_be(server: Server) -> None:
    for method, rest in (("GET", ""), ("GET", "/stdout"), ("POST", "/replay"), ("POST", "/cancel")):
        answer = server.request(method, f"/-/runs/%00{rest}", headers=ADMIN)
        assert (answer.status, answer.json["detail"]) == (404, "there is no such run")
    for name in ("hook", "text", "id"):
        answer = server.get(f"/-/runs?{name}=a%00", **ADMIN)
        assert answer.status == 400
        assert answer.json["detail"].startswith(f"{name} cannot be 'a\\x00'; it is ")


# --- what is turned away


def raw(server: Server, sent: bytes) -> bytes:
    """What comes back for bytes that need not be HTTP."""
    with socket.create_connection(("127.0.0.1", server.port), SECONDS) as wire:
        wire.sendall(sent)
        wire.shutdown(socket.SHUT_WR)
        return wire.makefile("rb").read()


def refused(server: Server, why: str) -> dict[str, Any]:
    """The refusal whose reason begins so, once it has been written down."""

    def found() -> list[dict[str, Any]]:
        listed = told(server, "/-/refusals?limit=500")["refusals"]
        return [each for each in listed if each["why"].startswith(why)]

    wait_until(lambda: bool(found()), f"a refusal: {why}")
    return found()[0]


@pytest.mark.parametrize(
    ("sent", "status", "why", "kept"),
    [
        (
            b"POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n",
            413,
            "the body is larger than the largest max_body in hooks.yaml, 1MB",
            {"method": "POST", "path": "/hello", "size": 999999999},
        ),
        (
            b"GET /hello HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 40_000 + b"\r\n\r\n",
            431,
            "exceeds max_header of 32768",
            {"method": "", "path": "", "size": 0},
        ),
        (
            b"POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
            400,
            "Content-Length is invalid",
            {"method": "POST", "size": 0},
        ),
        (
            b"POST /hello HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
            501,
            "Transfer-Encoding requested is not supported.",
            {"method": "POST"},
        ),
    ],
    ids=["413", "431", "400", "501"],
)
def test_what_the_server_itself_refuses_is_kept_and_counted_too(
    server: Server, sent: bytes, status: int, why: str, kept: dict[str, object]
) -> None:
    before = told(server, "/-/refusals")["since_start"].get(str(status), 0)

    assert raw(server, sent).split(b" ")[1] == str(status).encode()

    one = refused(server, why)
    assert (one["status"], one["why"], one["address"]) == (status, why, "127.0.0.1")
    assert {name: one[name] for name in kept} == kept
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", one["at"])
    assert told(server, "/-/refusals")["since_start"][str(status)] == before + 1


def test_the_metrics_count_the_same_refusals(server: Server) -> None:
    raw(server, b"nonsense\r\n\r\n")
    server.post("/no-such-hook")
    text = server.get("/-/metrics", **ADMIN).text

    by_status: Counter[str] = Counter()
    for status, number in re.findall(r'refusals_total{.*status="([0-9]+)"} (.*)', text):
        by_status[status] += int(float(number))
    assert by_status["400"] and by_status["404"]
    assert +by_status == told(server, "/-/refusals")["since_start"]


def test_what_a_hook_refuses_is_kept_without_what_was_carried(server: Server) -> None:
    answer: Response = server.post_json("/hello", {"n": "a confidence"})
    assert answer.status == 422

    one = refused(server, "the payload does not fit the schema")
    assert (one["path"], one["size"]) == ("/hello", len('{"n": "a confidence"}'))
    assert "confidence" not in server.get("/-/refusals", **ADMIN).text


def test_refusals_are_told_page_after_page(server: Server) -> None:
    for name in ("one", "two", "three"):
        server.post(f"/{name}-is-no-hook")
    refused(server, "there is no such hook")

    def paths() -> list[str]:
        pages = list(followed(server, "/-/refusals?limit=2", "refusals"))
        assert all(len(page) == 2 for page in pages[:-1])
        return [each["path"] for page in pages for each in page if "no-hook" in each["path"]]

    wanted = ["/three-is-no-hook", "/two-is-no-hook", "/one-is-no-hook"]
    wait_until(lambda: paths() == wanted, "all three of them")
    assert told(server, "/-/refusals")["kept"] == 1000


def test_the_page_of_refusals_tells_how_many_there_were(server: Server) -> None:
    server.post("/no-such-hook")

    page = server.get("/-/refusals", Accept="text/html", **ADMIN).text

    assert re.search(r"Since the start: [0-9]+ \(.*[0-9]+ × 404", page)
