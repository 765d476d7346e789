"""The pages over HTTP: who may come in, what forms may do, and that what is hostile stays text."""

from __future__ import annotations

import hmac
import json
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from hookrunner.journal.sqlite import SqliteJournal
from tests.serving import Project, Response, Server, wait_until

TOKEN = "an-administrators-token"
HOOKS = """
/hello:
  script: hello.sh
  auth: none
  schema: {type: object, required: [n], properties: {n: {type: integer}, s: {type: string}}}
/fails:
  script: fails.sh
  auth: none
  respond: status
/waits:
  script: waits.sh
  auth: none
  respond: accepted
/deploy/<target>:
  script: hello.sh
  auth: none
/signed:
  script: hello.sh
  auth: {github: $SECRET}
/small:
  script: hello.sh
  auth: none
  max_body: 20B
/off:
  script: hello.sh
  auth: {bearer: $NOT_SET}
/rare:
  script: hello.sh
  auth: none
  rate: 1/d
  schema: {properties: {n: {type: integer}, m: {type: string, minLength: 2}}}
/choosy:
  script: hello.sh
  auth: none
  when: {properties: {payload: {required: [wanted]}}}
/got:
  script: hello.sh
  auth: none
  methods: [GET]
/deleted:
  script: hello.sh
  auth: none
  methods: [DELETE]
"""
SECRET = "It's a Secret to Everybody"
DIGITS = str.maketrans("0123456789", "bcdefghijk")
RUN = """INSERT INTO run (id, hook, state, attempt, recorded_at, ended_at, method, path, params,
    query, headers, content_type, remote_addr, delivery_id, event, body)
    VALUES (?, '/hello', 'cancelled', 0, ?, 1, 'POST', '/hello', '{}', '', '{}', '', '', '', '', '')
"""
REFUSAL = (
    "INSERT INTO refusal (at, method, path, status, why, address, size) VALUES "
    "(?, 'POST', ?, 404, 'there is no such hook', '', 0)"
)
HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
FORM = "application/x-www-form-urlencoded"
PAGES = ("/-/", "/-/hooks", "/-/runs", "/-/refusals", "/-/hook?path=/hello", "/-/docs")


def write_project(folder: Path) -> Project:
    project = Project(folder).hooks(HOOKS)
    project.script("hello.sh", f'cat; echo "{SECRET}"')
    project.script("fails.sh", "echo alas >&2; exit 3")
    project.script("waits.sh", "echo $$ > new; mv new pid; exec sleep 600")
    return project


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    project = write_project(tmp_path_factory.mktemp("pages") / "project")
    with project.serve(SECRET=SECRET, ADMIN_TOKEN=TOKEN, FORWARDED_ALLOW="127.0.0.1") as server:
        yield server


@dataclass
class Browser:
    """Somebody who looks; from an address of their own, so that nobody else is held up."""

    server: Server
    address: str = "192.0.2.1"
    cookie: str = ""

    def get(self, path: str, **headers: str) -> Response:
        return self.server.get(path, **self._own(headers))

    def post(self, path: str, fields: dict[str, str], **headers: str) -> Response:
        given = {"Content_Type": FORM, **self._own(headers)}
        return self.server.post(path, urlencode(fields), **given)

    def log_in(self, token: str = TOKEN, onward: str = "/-/", **headers: str) -> Response:
        address = f"/-/login?{urlencode({'next': onward})}"
        answer = self.post(address, {"token": token}, **headers)
        if answer.status == 303:
            self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        return answer

    def csrf(self, path: str = "/-/") -> str:
        found = re.search(r'name="?csrf"?[^>]*value="([0-9a-f]+)"', self.get(path).text)
        assert found
        return found[1]

    def _own(self, headers: dict[str, str]) -> dict[str, str]:
        own = {"Accept": HTML, "X_Forwarded_For": self.address}
        if self.cookie:
            own["Cookie"] = self.cookie
        return {**own, **headers}


@pytest.fixture
def stranger(server: Server) -> Browser:
    return Browser(server, "192.0.2.99")


@pytest.fixture(scope="module")
def admin(server: Server) -> Browser:
    browser = Browser(server)
    assert browser.log_in().status == 303
    return browser


def failed(server: Server) -> str:
    """The id of a run that has failed."""
    answer = server.post("/fails", "{}", Content_Type="application/json")
    return str(answer.headers["Hook-Run"])


@pytest.mark.parametrize("path", PAGES)
def test_a_stranger_is_sent_to_the_login_and_back(stranger: Browser, path: str) -> None:
    answer = stranger.get(path)

    assert answer.status == 303
    back = answer.headers["Location"]
    assert back == ("/-/login" if path == "/-/" else f"/-/login?{urlencode({'next': path})}")
    assert stranger.log_in(onward=path).headers["Location"] == path


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_there_and_guarded_by_headers(admin: Browser, path: str) -> None:
    answer = admin.get(path)

    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_bearer_token_gets_in_too(server: Server) -> None:
    bearer = {"Accept": HTML, "Authorization": f"Bearer {TOKEN}"}

    assert server.get("/-/", **bearer).status == 200
    assert server.get("/-/", **{**bearer, "Authorization": "Bearer nonsense"}).status == 401


def test_a_program_gets_json_where_a_browser_gets_a_page(server: Server, admin: Browser) -> None:
    run_id = failed(server)
    bearer = {"Authorization": f"Bearer {TOKEN}"}

    assert server.get("/-/runs", **bearer).json["runs"]
    assert server.get(f"/-/runs/{run_id}").json["state"] == "failed"
    assert server.get("/-/runs").status == 401
    page = admin.get(f"/-/runs/{run_id}")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "alas" in page.text


def test_a_head_is_answered_without_a_body(server: Server, admin: Browser) -> None:
    answer = server.request("HEAD", "/-/", headers={"Cookie": admin.cookie, "Accept": HTML})

    assert (answer.status, answer.body) == (200, b"")


def test_the_cookie_is_for_our_pages_and_for_no_script(stranger: Browser) -> None:
    cookie = stranger.log_in().headers["Set-Cookie"]

    assert set(cookie.split("; ")[1:]) == {
        "Path=/-/",
        "Max-Age=43200",
        "HttpOnly",
        "SameSite=Strict",
    }


def test_behind_tls_the_cookie_is_for_tls_only(stranger: Browser) -> None:
    stranger.address = "192.0.2.98"
    assert "; Secure" in stranger.log_in(X_Forwarded_Proto="https").headers["Set-Cookie"]


def test_a_forged_or_foreign_cookie_is_nothing(stranger: Browser, admin: Browser) -> None:
    for value in ("", "x", admin.cookie[:-1] + "g", admin.cookie.replace("=", "=1"), "a" * 9000):
        stranger.cookie = value if value.startswith("hookrunner") else f"hookrunner={value}"
        assert stranger.get("/-/").status == 303


@pytest.mark.parametrize(
    "onward", ["//evil.example/", "https://evil.example/", "/-/../x//y", "/hello", "/-/\\evil", ""]
)
def test_the_login_leads_nowhere_but_to_our_pages(server: Server, onward: str) -> None:
    browser = Browser(server, f"198.51.100.{len(onward)}")

    assert browser.log_in(onward=onward).headers["Location"] == "/-/"


def test_a_wrong_token_is_told_and_shows_the_form_again(server: Server) -> None:
    answer = Browser(server, "192.0.2.50").log_in("nonsense")

    assert answer.status == 401
    assert "that was not the token" in answer.text
    assert "Set-Cookie" not in answer.headers


def test_whoever_tries_too_often_has_to_wait_and_nobody_else(server: Server) -> None:
    guesser = Browser(server, "192.0.2.51")

    tries = [guesser.log_in(f"guess {n}").status for n in range(7)]

    assert tries == [401] * 5 + [429] * 2
    late = guesser.log_in()  # the right one comes too late
    assert late.status == 429
    assert 0 < int(late.headers["Retry-After"]) <= 60
    assert Browser(server, "192.0.2.52").log_in().status == 303


def test_whoever_guesses_with_a_header_has_to_wait_likewise(server: Server) -> None:
    def guess(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}", "X_Forwarded_For": "192.0.2.60"}
        return server.get("/-/runs", **headers).status

    assert [guess(TOKEN) for _ in range(7)] == [200] * 7
    assert [guess(f"guess {n}") for n in range(6)] == [401] * 5 + [429]
    assert guess(TOKEN) == 429


def test_what_is_too_long_for_a_token_is_not_read(server: Server) -> None:
    assert Browser(server, "192.0.2.61").log_in("x" * 5000).status == 413


@pytest.mark.parametrize("onward", ["/-/../hello", "/-/%2e%2e/hello", "/-/x%2f..", "/-/./x"])
def test_the_login_leads_to_no_hook(server: Server, onward: str) -> None:
    answer = Browser(server, f"198.51.101.{len(onward)}").log_in(onward=onward)
    assert answer.headers["Location"] == "/-/"


def test_a_link_with_the_token_logs_in_and_leaves_the_address_bar(server: Server) -> None:
    answer = Browser(server, "192.0.2.53").get(f"/-/login?token={TOKEN}")

    assert (answer.status, answer.headers["Location"]) == (303, "/-/")
    assert "Set-Cookie" in answer.headers
    assert not any(TOKEN in line for line in server.lines)


def test_a_logout_ends_the_session(server: Server) -> None:
    browser = Browser(server, "192.0.2.54")
    browser.log_in()

    answer = browser.post("/-/logout", {"csrf": browser.csrf()})

    assert answer.status == 303
    assert "hookrunner=; " in answer.headers["Set-Cookie"]
    assert "Max-Age=0" in answer.headers["Set-Cookie"]


def test_a_failed_run_is_replayed_from_its_page(server: Server, admin: Browser) -> None:
    run_id = failed(server)

    answer = admin.post(f"/-/runs/{run_id}/replay", {"csrf": admin.csrf(f"/-/runs/{run_id}")})

    assert answer.status == 303
    new = answer.headers["Location"]
    assert re.fullmatch(r"/-/runs/[a-z2-7]{20}\?done=replayed", new)
    assert run_id in admin.get(new).text
    assert new[8:28] in admin.get(f"/-/runs/{run_id}").text


def test_a_running_run_is_cancelled_from_its_page(server: Server, admin: Browser) -> None:
    run_id = server.post("/waits", "{}", Content_Type="application/json").json["run"]
    pid = server.folder / "pid"
    wait_until(pid.exists, "a start")

    answer = admin.post(f"/-/runs/{run_id}/cancel", {"csrf": admin.csrf()})

    assert (answer.status, answer.headers["Location"]) == (303, f"/-/runs/{run_id}?done=cancelled")
    assert server.state(run_id)["state"] == "cancelled"
    script = Path("/proc") / pid.read_text().strip()
    wait_until(lambda: not script.exists(), "the script's end")


@pytest.mark.parametrize("what", ["replay", "cancel"])
def test_a_form_without_our_signature_changes_nothing(
    server: Server, admin: Browser, what: str
) -> None:
    run_id = failed(server)
    before = len(server.get("/-/runs", Authorization=f"Bearer {TOKEN}").json["runs"])

    for fields in ({}, {"csrf": ""}, {"csrf": "0" * 64}, {"csrf": "ä"}):
        assert admin.post(f"/-/runs/{run_id}/{what}", fields).status == 400
    signed = {"csrf": admin.csrf()}
    other = admin.post(f"/-/runs/{run_id}/{what}", signed, Sec_Fetch_Site="cross-site")
    assert other.status == 400
    assert Browser(server).post(f"/-/runs/{run_id}/{what}", signed).status == 303  # to the login

    after = len(server.get("/-/runs", Authorization=f"Bearer {TOKEN}").json["runs"])
    assert after == before


def test_a_test_payload_goes_through_the_form(server: Server, admin: Browser) -> None:
    fields = {"path": "/hello", "csrf": admin.csrf(), "as": "form", "/n": "7", "/s": "seven"}

    answer = admin.post("/-/hook/try", fields)

    assert answer.status == 303
    run_id = answer.headers["Location"][8:28]
    server.wait_until_over(run_id)
    whole = server.get(f"/-/runs/{run_id}", Authorization=f"Bearer {TOKEN}").json
    assert json.loads(whole["request"]["body"]["text"]) == {"n": 7, "s": "seven"}


def test_a_schema_error_comes_back_beside_what_was_written(admin: Browser) -> None:
    fields = {"path": "/hello", "csrf": admin.csrf(), "as": "json", "json": '{"n": "seven"}'}

    answer = admin.post("/-/hook/try", fields)

    assert answer.status == 422
    assert "'seven' is not of type 'integer'" in unescape(answer.text)


def test_a_hook_with_a_name_in_its_path_is_tried(server: Server, admin: Browser) -> None:
    fields = {"path": "/deploy/<target>", "csrf": admin.csrf(), "as": "json", "json": "{}"}

    assert admin.post("/-/hook/try", {**fields, "param.target": "a/b"}).status == 422
    answer = admin.post("/-/hook/try", {**fields, "param.target": "prod"})

    whole = server.get(answer.headers["Location"][:28], Authorization=f"Bearer {TOKEN}").json
    assert whole["request"]["path"] == "/deploy/prod"


def tried(admin: Browser, path: str, text: str) -> Response:
    fields = {"path": path, "csrf": admin.csrf(), "as": "json", "json": text}
    return admin.post("/-/hook/try", fields)


def sent_by(server: Server, answer: Response) -> dict[str, Any]:
    """The request that a test payload made."""
    assert answer.status == 303, answer.text
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    return dict(server.get(answer.headers["Location"][:28], **bearer).json["request"])


@pytest.mark.parametrize(
    "text", ['{"b": 1.10,\n "a": "\\ud800"}', ' {"a":"\u202e é😀\u3000"} \n', "\t1e2", "[]"]
)
def test_what_was_written_as_json_arrives_byte_for_byte(
    server: Server, admin: Browser, text: str
) -> None:
    for path in ("/fails", "/deleted"):
        answer = tried(admin, path, text.replace("\n", "\r\n"))
        assert sent_by(server, answer)["body"] == {"text": text}


def test_a_key_that_stands_twice_is_told_as_its_sender_would_be(admin: Browser) -> None:
    answer = tried(admin, "/fails", '{"a": 1, "a": 2}')

    assert answer.status == 422
    assert "the key 'a' stands twice in one object" in unescape(answer.text)


def test_a_get_carries_its_payload_in_its_query(server: Server, admin: Browser) -> None:
    request = sent_by(server, tried(admin, "/got", '{"a": [1, "x"], "b": "é"}'))

    assert (request["method"], request["query"]) == ("GET", "a=1&a=x&b=%C3%A9")
    told = unescape(tried(admin, "/got", "[1]").text)
    assert "Nothing was sent: a GET’s payload is its query; write an object." in told


def test_a_payload_may_be_as_large_as_the_hook_takes_however_it_is_encoded(
    server: Server, admin: Browser
) -> None:
    text = json.dumps("%" * (2**20 - 2))

    assert len(text) == 2**20
    assert sent_by(server, tried(admin, "/fails", text))["body"] == {"text": text}


def test_a_payload_that_is_too_large_is_kept_and_told(admin: Browser) -> None:
    answer = tried(admin, "/small", '"<twenty-one letters"')

    assert answer.status == 413
    text = unescape(answer.text)
    assert (
        "Nothing was sent: the payload is larger than 20B; shorten it, or raise max_body in "
        "hooks.yaml." in text
    )
    assert '"<twenty-one letters"</textarea>' in text


def test_a_form_that_is_too_large_to_be_read_is_told_as_a_page(
    server: Server, admin: Browser
) -> None:
    size = {"Content_Length": "99999999", "Content_Type": FORM}
    answer = server.post("/-/hook/try", b"", Accept=HTML, **size)

    assert (answer.status, answer.headers["Content-Type"]) == (413, "text/html; charset=utf-8")
    assert "The form is larger than what any hook takes" in answer.text
    assert "Go back: what you wrote should still be there." in answer.text
    assert server.post("/-/hook/try", b"", **size).json["status"] == 413
    assert server.post("/hello", b"", Accept=HTML, **size).json["status"] == 413


def test_what_was_refused_is_said(server: Server, admin: Browser) -> None:
    assert tried(admin, "/rare", "{}").status == 303

    for path, status, told in (
        ("/off", 503, "this hook is switched off: NOT_SET not set, or not usable; set it, and "
                      "start again."),
        ("/rare", 429, "its rate is used up; try again in "),
        ("/choosy", 422, "'when' is not met: a delivery like this is answered 200, and ignored."),
    ):  # fmt: skip
        answer = tried(admin, path, "{}")
        text = unescape(answer.text)
        assert (answer.status, f"Nothing was sent: {told}" in text) == (status, True), text
        assert "does not fit" not in text


def test_all_mistakes_are_told_in_one_round(admin: Browser) -> None:
    fields = {"path": "/rare", "csrf": admin.csrf(), "as": "form", "/n": "x", "/m": "y"}
    text = unescape(admin.post("/-/hook/try", fields).text)
    assert "n</a>: must be a whole number, not 'x'" in text
    assert "m</a>: 'y' is too short" in text
    both = {"path": "/deploy/<target>", "csrf": admin.csrf(), "as": "json", "json": "{"}
    text = unescape(admin.post("/-/hook/try", both).text)
    assert "must be a part of a path, without a slash" in text
    assert "is not JSON" in text
    assert "<title>Error: /deploy/<target> · hookrunner</title>" in text


def test_refusals_name_what_is_missing(server: Server, admin: Browser) -> None:
    server.post("/hello", "{}", Content_Type="application/json")

    server.wait_for_line("refused POST /hello: the payload does not fit the schema: (whole): "
                         "required 'n' (422 to 127.0.0.1)")  # fmt: skip


def test_a_hooks_page_shows_its_settings_and_no_secret(admin: Browser) -> None:
    text = unescape(admin.get("/-/hook?path=/choosy").text)

    assert '{"properties": {"payload": {"required": ["wanted"]}}}' in text
    assert "by the sender’s own delivery id, for 1d" in text


def test_a_masked_payload_has_the_size_that_it_had(server: Server, admin: Browser) -> None:
    body = json.dumps({"s": SECRET})
    answer = server.post("/fails", body, Content_Type="application/json")
    page = unescape(admin.get(f"/-/runs/{answer.headers['Hook-Run']}").text)

    assert SECRET not in page
    assert f"application/json, {len(body)} bytes" in page


def test_refusals_are_shown_without_what_they_carried(server: Server, admin: Browser) -> None:
    server.post("/signed", "the payload of it", Content_Type="application/json")

    text = unescape(admin.get("/-/refusals").text)

    assert "/signed" in text
    assert "github" in text
    assert "the payload of it" not in text


WORDS = {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", json.dumps({"n": 1, "s": SECRET, SECRET: 2})),
        (
            "application/json",
            '{"n": 1, "s": "' + "".join(f"\\u{ord(c):04x}" for c in SECRET) + '"}',
        ),
        (FORM, urlencode({"n": 1, "s": SECRET, SECRET: 2})),
        (FORM, "n=1&s=" + "".join(f"%{ord(c):02X}" for c in SECRET)),
        (
            FORM,
            urlencode(
                {"n": 1, "s": json.dumps([SECRET.replace("S", "$")]).replace("$", "\\u0053")}
            ),
        ),
    ],
)
def test_no_secret_of_what_was_sent_is_shown_however_it_was_spelt(
    server: Server, admin: Browser, kind: str, body: str
) -> None:
    query = urlencode({"q": f"{SECRET}!"})
    given = {"Content_Type": kind, "X_Told": f"it is {SECRET}"}
    run_id = server.post(f"/hello?{query}", body, **given).headers["Hook-Run"]
    deployed = server.post(f"/deploy/{quote(SECRET)}", body, **given).headers["Hook-Run"]

    for each in (run_id, deployed):
        server.wait_until_over(each)
        page = unescape(admin.get(f"/-/runs/{each}").text)
        said = json.dumps(server.get(f"/-/runs/{each}", **WORDS).json)
        for text in (page, said):
            assert "Secret" not in text
            assert "it is ****" in text
    assert "q=****%21" in unescape(admin.get(f"/-/runs/{run_id}").text)
    assert "/deploy/****" in unescape(admin.get(f"/-/runs/{deployed}").text)
    exact = server.get(f"/-/runs/{run_id}?exact=1", **WORDS).json
    assert exact["request"]["body"]["text"] == body
    assert exact["request"]["headers"]["x-told"] == f"it is {SECRET}"
    assert server.get(f"/-/runs/{run_id}?exact=1").status == 401
    mixed = server.get(f"/-/runs/{run_id}?exact=1&stdout=0", **WORDS)
    assert mixed.json["detail"] == "exact goes with nothing else, and not with stdout"


def test_a_secret_that_names_an_event_or_a_delivery_is_masked(
    server: Server, admin: Browser
) -> None:
    body = b'{"n": 1}'
    proof = hmac.new(SECRET.encode(), body, "sha256").hexdigest()
    headers = {"X_Hub_Signature_256": f"sha256={proof}", "X_GitHub_Delivery": TOKEN}
    headers |= {"X_GitHub_Event": SECRET, "Content_Type": "application/json"}
    run_id = server.post("/signed", body.decode(), **headers).headers["Hook-Run"]
    server.wait_until_over(run_id)

    for path in (f"/-/runs/{run_id}", "/-/runs", "/-/", "/-/hook?path=/signed"):
        page = unescape(admin.get(path).text)
        assert run_id in page
        assert SECRET not in page
        assert TOKEN not in page
    [listed] = server.get(f"/-/runs?id={run_id}", **WORDS).json["runs"]
    assert (listed["event"], listed["delivery"]) == ("****", "****")
    whole = server.get(f"/-/runs/{run_id}", **WORDS).json
    assert (whole["event"], whole["delivery"]) == ("****", "****")
    assert not any(TOKEN in line or SECRET in line for line in server.lines)


def test_a_refusal_shows_no_half_of_a_secret_that_was_quoted_in_it(
    server: Server, admin: Browser
) -> None:
    server.post("/hello", "{}", Content_Type=f"{'x' * 80}/{SECRET}")
    server.wait_for_line(f"{'x' * 80}/****")

    wait_until(lambda: f"{'x' * 80}/" in admin.get("/-/refusals").text, "a refusal's note")
    assert SECRET[:16] not in unescape(admin.get("/-/refusals").text)
    assert not any(SECRET[:16] in line for line in server.lines)


def test_a_refusal_of_before_a_secret_was_known_does_not_show_it(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    with project.serve(ADMIN_TOKEN=TOKEN) as server:
        path = f"/-/runs?{urlencode({'now-a-secret': 1})}"
        assert server.get(path, **WORDS).status == 400
    with project.serve(ADMIN_TOKEN=TOKEN, SECRET="now-a-secret") as server:
        browser = Browser(server)
        browser.log_in()
        text = unescape(browser.get("/-/refusals").text)
        assert "'****' is none of" in text
        assert "now-a-secret" not in text


def test_only_a_proxy_that_is_believed_says_that_there_is_tls(tmp_path: Path) -> None:
    with write_project(tmp_path / "project").serve(ADMIN_TOKEN=TOKEN) as server:
        answer = Browser(server).log_in(X_Forwarded_Proto="https")
    assert answer.status == 303
    assert "Secure" not in answer.headers["Set-Cookie"]


def test_what_is_hostile_is_shown_as_text(server: Server, admin: Browser) -> None:
    script = "<script>alert(1)</script>"
    body = json.dumps({"n": 1, "s": f"{script}\u202e\x1b[31m"})
    run_id = server.post("/hello", body, Content_Type="application/json").headers["Hook-Run"]
    server.post(f"/{quote(script)}", "{}")
    server.wait_until_over(run_id)

    for path in (
        f"/-/runs/{run_id}",
        f"/-/runs?text={quote(script)}&hook={quote(script)}",
        f"/-/runs?since={quote(script)}",
        f"/-/hook?path={quote(script)}",
        f"/-/login?next={quote(script)}",
        f"/-/{quote(script)}",
        "/-/refusals",
    ):
        assert script not in admin.get(path).text, path


def test_what_a_script_printed_is_a_download_with_its_secrets_masked(
    server: Server, admin: Browser
) -> None:
    answer = server.post("/hello", '{"n": 1}', Content_Type="application/json")
    run_id = answer.headers["Hook-Run"]
    server.wait_until_over(run_id)

    answer = admin.get(f"/-/runs/{run_id}/stdout?attempt=1")

    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert "****" in answer.text
    assert SECRET not in answer.text
    assert SECRET not in admin.get(f"/-/runs/{run_id}").text
    assert admin.get(f"/-/runs/{run_id}/stdout?attempt=7").status == 404
    assert Browser(server).get(f"/-/runs/{run_id}/stdout").status == 303


def test_runs_are_filtered(server: Server, admin: Browser) -> None:
    run_id = failed(server)

    assert run_id in admin.get("/-/runs?hook=/fails&state=failed").text
    assert run_id not in admin.get("/-/runs?hook=/hello").text
    assert run_id not in admin.get("/-/runs?until=2001-01-01T00:00").text
    assert admin.get("/-/runs?since=yesterday").status == 400
    assert admin.get("/-/runs?state=asleep").status == 400


def test_a_page_that_is_not_there_is_told_as_a_page(admin: Browser) -> None:
    answer = admin.get("/-/runs/" + "a" * 20)

    assert answer.status == 404
    assert answer.headers["Content-Type"].startswith("text/html")
    assert admin.get("/-/hook?path=/nothing").status == 404
    assert admin.get("/-/assets/nothing").status == 404


def test_lists_are_read_a_page_at_a_time(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    SqliteJournal(project.folder / "var").close()
    with closing(sqlite3.connect(project.folder / "var" / "runs.sqlite")) as db:
        for number in range(120):
            db.execute(RUN, (f"{number:a>20}".translate(DIGITS), time.time() - 600 + number))
            db.execute(REFUSAL, (time.time() - 600 + number, f"/refused/{number}"))
        db.commit()
    with project.serve(SECRET=SECRET, ADMIN_TOKEN=TOKEN) as server:
        browser = Browser(server)
        browser.log_in()
        for path, pattern in (
            ("/-/runs?hook=/hello", r'href="(/-/runs/[a-z2-7]{20})"'),
            ("/-/refusals", r"/refused/[0-9]+"),
        ):
            seen, at, pages = [], path, 0
            while at:
                text = unescape(browser.get(at).text)
                seen += re.findall(pattern, text)
                assert ("Back to the newest" in text) == (pages > 0)
                older = re.search(r'href="([^"]+)" rel="next"', text)
                at, pages = older[1] if older else "", pages + 1
            assert (len(seen), len(set(seen)), pages) == (120, 120, 3)
            mark = "&" if "?" in path else "?"
            text = browser.get(f"{path}{mark}before=0").text
            assert "There is nothing older than where you are." in text
            assert "has been turned away" not in text
            wrong = browser.get(f"{path}{mark}before=x")
            assert wrong.status == 400
            assert "efore is a number, as the links to older ones have it" in wrong.text


def test_an_asset_may_be_kept_for_ever_under_its_version(stranger: Browser) -> None:
    found = re.search(r"/-/assets/[^\"']+\.css\?v=[0-9a-f]+", stranger.get("/-/login").text)
    assert found

    answer = stranger.get(found[0])

    assert answer.status == 200
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["Content-Type"].startswith("text/css")


def test_without_a_token_there_are_no_pages_and_one_says_why(tmp_path: Path) -> None:
    with write_project(tmp_path / "project").serve(SECRET=SECRET) as server:
        for path in ("/-/", "/-/login", "/-/refusals"):
            answer = server.get(path, Accept=HTML)
            assert answer.status == 403
            assert "ADMIN_TOKEN" in answer.text
        run_id = failed(server)
        assert server.get(f"/-/runs/{run_id}", Accept=HTML).json["state"] == "failed"


def test_another_token_ends_every_session(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    with project.serve(SECRET=SECRET, ADMIN_TOKEN=TOKEN) as server:
        browser = Browser(server)
        browser.log_in()
        assert browser.get("/-/").status == 200
    with project.serve(SECRET=SECRET, ADMIN_TOKEN=TOKEN) as server:
        assert Browser(server, cookie=browser.cookie).get("/-/").status == 200
    with project.serve(SECRET=SECRET, ADMIN_TOKEN="another-long-token") as server:
        assert Browser(server, cookie=browser.cookie).get("/-/").status == 303
