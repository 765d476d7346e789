"""Who may see what below /-/, with the administrator's token and without."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from hookrunner.access import PAGES, Who, prefers_html
from hookrunner.session import begin
from tests.serving import Project, Server
from tests.test_pages import FORM, HTML, TOKEN, Browser, write_project

BEARER = {"Authorization": f"Bearer {TOKEN}"}
GUARDED = [
    (method, path)
    for path, methods in PAGES.items()
    for method, who in methods.items()
    if who is Who.ADMINISTRATOR
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    project = write_project(tmp_path_factory.mktemp("access") / "project")
    with project.serve(SECRET="a secret", ADMIN_TOKEN=TOKEN, FORWARDED_ALLOW="127.0.0.1") as server:
        yield server


@pytest.fixture(scope="module")
def admin(server: Server) -> Browser:
    browser = Browser(server)
    assert browser.log_in().status == 303
    return browser


def address(path: str) -> str:
    return re.sub("<[^>]*>", "a" * 20, path.replace("<stream:re:stdout|stderr>", "stdout"))


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_without_a_token_nothing_of_the_administrator_s_is_had(
    server: Server, method: str, path: str
) -> None:
    program = server.request(method, address(path))
    browser = server.request(method, address(path), headers={"Accept": HTML, "Content-Type": FORM})

    assert program.status == 401
    assert program.headers["WWW-Authenticate"] == "Bearer"
    assert program.headers["Content-Type"] == "application/problem+json"
    assert browser.status == 303
    assert browser.headers["Location"].startswith("/-/login")


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_where_no_token_is_set_nobody_has_anything(unset: Server, method: str, path: str) -> None:
    # Without a token anybody could sign a session with it.
    forged = {"Cookie": f"hookrunner={begin('', 4_000_000_000)}"}
    for headers in ({}, BEARER, forged, {**forged, "Content-Type": FORM}):
        answer = unset.request(method, address(path), headers=headers)
        assert (answer.status, answer.json["detail"]) == (403, "this needs ADMIN_TOKEN to be set")
        page = unset.request(method, address(path), headers={**headers, "Accept": HTML})
        assert page.status == 403


@pytest.fixture(scope="module")
def unset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without ADMIN_TOKEN."""
    project = Project(tmp_path_factory.mktemp("unset") / "project")
    project.hooks("/a: {script: a.sh, auth: none}\n").script("a.sh", "")
    with project.serve() as server:
        yield server


def test_the_cookie_of_a_login_shows_a_program_s_answers_too(
    server: Server, admin: Browser
) -> None:
    run_id = server.post_json("/hello", {"n": 1}).headers["Hook-Run"]
    cookie = {"Cookie": admin.cookie}

    assert "hooks" in server.get("/-/hooks", **cookie).json
    assert "request" in server.get(f"/-/runs/{run_id}", **cookie).json
    assert "request" not in server.get(f"/-/runs/{run_id}").json


@pytest.mark.parametrize("page", ["/-/runs/{}/replay", "/-/runs/{}/cancel", "/-/prune"])
@pytest.mark.parametrize("kind", ["application/json", "text/plain", FORM, "multipart/form-data"])
def test_the_cookie_alone_changes_nothing(
    server: Server, admin: Browser, page: str, kind: str
) -> None:
    run_id = server.post_json("/hello", {"n": 1}).headers["Hook-Run"]
    headers = {"Cookie": admin.cookie, "Content-Type": kind}

    answer = server.request("POST", page.format(run_id), b"", headers)

    assert answer.status in (400, 401, 415)
    assert not any(f"to do {run_id} again" in line for line in server.lines)


def test_what_is_no_bearer_token_is_no_guess(server: Server) -> None:
    def ask(authorization: str) -> int:
        headers = {"X_Forwarded_For": "192.0.2.77", "Authorization": authorization}
        return server.get("/-/runs", **headers).status

    assert [ask("Basic eDp5") for _ in range(8)] == [401] * 8
    assert ask(f"Bearer {TOKEN}") == 200


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("text/html", True),
        (HTML, True),
        ("application/json, text/html", True),
        ("application/json, text/html;q=0.9", False),
        ("text/html;q=0, */*", False),
        ("text/html;q=x", False),
        ("text/event-stream", False),
    ],
)
def test_a_page_is_for_who_would_rather_have_one(accept: str, html: bool) -> None:
    assert prefers_html(accept) is html
