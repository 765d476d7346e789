"""The pages as somebody sees them who looks: a real Chromium at a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Response, expect

from tests.serving import Project, Server

TOKEN = "the administrator's token"

HOOKS = """
defaults: {auth: none}
/watched:
  script: watched.sh
  respond: accepted
/deploy/<target>:
  script: fails-once.sh
  respond: accepted
/signups:
  script: cat.sh
  respond: status
  schema:
    type: object
    required: [name, seats]
    properties:
      name: {type: string, minLength: 2, description: Who comes}
      seats: {type: integer, maximum: 4}
      email: {type: string, format: email}
      meal: {enum: [fish, none]}
      news: {type: boolean}
/paid:
  script: cat.sh
  respond: status
  schema:
    type: object
    required: [by]
    properties:
      by:
        oneOf:
          - {title: Card, type: object, required: [number],
             properties: {number: {type: string, minLength: 4}}}
          - {title: Bank transfer, type: object, required: [iban],
             properties: {iban: {type: string, pattern: "^[A-Z]{2}"}}}
      tags: {type: array, items: {type: string, maxLength: 3}}
/odd:
  script: odd.py
"""

# Each second line waits for a file, so that what is seen cannot have come all at once.
WATCHED = """
say() { echo "$1"; until [ -e "$1" ]; do sleep 0.02; done; }
say first
printf '\\033[31mred\\033[0m <b>not bold</b>\\n' >&2
say second
say third
"""
FAILS_ONCE = "if [ -e failed ]; then echo better; else : >failed; echo worse >&2; exit 3; fi\n"
ODD = """
import sys
sys.stdout.buffer.write(b"<script>document.title='pwned'</script>\\n")
sys.stdout.buffer.write(b"<img src=x onerror=alert(1)>\\n")
sys.stdout.buffer.write("\\u202egnp.exe\\n".encode() + b"\\xff\\xfe\\x00\\x1b]0;title\\x07\\n")
sys.stdout.buffer.write(b"x" * 10_000_000)
"""

PAGES = {
    "overview": "/-/",
    "runs": "/-/runs",
    "run": "/-/runs/{run}",
    "hook": "/-/hook?path=/signups",
    "paid": "/-/hook?path=/paid",
    "older": "/-/runs?before=3",
    "refusals": "/-/refusals",
}
SIZES = {"desktop": (1200, 900), "phone": (390, 844)}


@pytest.fixture
def server(project: Project) -> Iterator[Server]:
    project.hooks(HOOKS).script("watched.sh", WATCHED).script("fails-once.sh", FAILS_ONCE)
    project.script("cat.sh", "cat").script("odd.py", ODD)
    with project.serve(ADMIN_TOKEN=TOKEN) as server:
        yield server


@pytest.fixture
def page(chromium: Browser, server: Server) -> Iterator[Page]:
    """A tab that has logged in. Whatever the console complains of is a fault."""
    context = chromium.new_context(base_url=f"http://127.0.0.1:{server.port}")
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.extend(grave(said)))
    page.on("response", lambda answer: complaints.extend(broken(answer)))
    log_in(page)
    yield page
    context.close()
    assert complaints == []


def grave(said: ConsoleMessage) -> list[str]:
    """What a console says that is a fault of the page's, such as a breach of its policy."""
    return [said.text] if said.type == "error" and "Failed to load" not in said.text else []


def broken(answer: Response) -> list[str]:
    """A resource that was not to be had; 422 is what a form gets that was filled in wrongly."""
    fine = answer.status < 400 or answer.status == 422
    return [] if fine else [f"{answer.status} {answer.url}"]


def log_in(page: Page) -> None:
    page.goto("/-/")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def recorded(server: Server, path: str, value: object) -> str:
    return str(server.post_json(path, value).headers["Hook-Run"])


def test_who_is_not_logged_in_comes_to_where_they_wanted_after_the_login(
    chromium: Browser, server: Server
) -> None:
    context = chromium.new_context(base_url=f"http://127.0.0.1:{server.port}")
    page = context.new_page()
    page.goto("/-/refusals")
    page.get_by_label("Token").fill("a guess")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_have_text("that was not the token")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Refusals")).to_be_visible()
    [cookie] = context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    page.get_by_role("button", name="Log out").click()
    page.goto("/-/")
    expect(page.get_by_label("Token")).to_be_visible()
    context.close()


def test_what_a_script_prints_is_seen_while_it_runs(
    server: Server, page: Page, project: Project
) -> None:
    run = recorded(server, "/watched", {})
    page.goto(f"/-/runs/{run}")
    output = page.get_by_role("log", name="Standard output of attempt 1")
    expect(output).to_contain_text("first")
    for said, following in (("first", "second"), ("second", "third")):
        assert following not in output.inner_text()
        (project.folder / said).touch()
        expect(output).to_contain_text(following)
    errors = page.get_by_role("log", name="Standard error of attempt 1")
    expect(errors).to_contain_text("red <b>not bold</b>")
    (project.folder / "third").touch()
    expect(page.get_by_text("succeeded").first).to_be_visible()
    whole = page.get_by_role("group", name="Standard output of attempt 1")
    expect(whole).to_have_text("first\nsecond\nthird\n")


def test_a_failed_run_is_done_again_by_a_button_that_asks_first(server: Server, page: Page) -> None:
    run = recorded(server, "/deploy/staging", {"version": 1})
    server.wait_until_ended(run)
    page.goto(f"/-/runs/{run}")
    expect(page.get_by_text("exit 3").first).to_be_visible()
    again = page.get_by_role("button", name="Replay", exact=True)
    expect(again).to_be_hidden()
    page.get_by_text("Replay…").click()
    again.click()
    page.wait_for_url("**done=replayed")
    expect(page.get_by_text("done again").first).to_be_visible()
    # Of its own accord: a page that still listens would cut in on where we go next.
    expect(page.get_by_text("succeeded").first).to_be_visible()
    page.goto(f"/-/runs/{run}")
    page.locator("dt", has_text="Done again by").locator("xpath=..").get_by_role("link").click()
    expect(page.get_by_role("group", name="Standard output of attempt 1")).to_contain_text("better")


def test_a_payload_made_with_the_form_is_sent_and_its_mistakes_stand_beside_their_fields(
    server: Server, page: Page
) -> None:
    page.goto("/-/hook?path=/signups")
    page.get_by_label("name").fill("Zoë 日本")
    page.get_by_label("seats").fill("9")
    page.get_by_label("email").fill("nobody")
    page.get_by_role("button", name="Send").click()
    for name, told in (("seats", "9 is greater than the maximum of 4"), ("email", "not a 'email'")):
        field = page.get_by_label(name)
        assert field.get_attribute("aria-invalid") == "true"
        beside = (field.get_attribute("aria-describedby") or "").split()
        words = [page.locator(f"[id='{each}']").inner_text() for each in beside]
        assert any(told in each for each in words), (name, words)
    expect(page.get_by_label("name")).to_have_value("Zoë 日本")
    page.get_by_label("seats").fill("2")
    page.get_by_label("email").fill("zoe@example.org")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("heading", name="Run")).to_be_visible()
    run = page.url.rpartition("/")[2].partition("?")[0]
    server.wait_until_ended(run)
    output = page.get_by_role("group", name="Standard output of attempt 1")
    expect(output).to_be_visible()  # of its own accord, once it has ended
    assert json.loads(output.inner_text()) == {
        "name": "Zoë 日本",
        "seats": 2,
        "email": "zoe@example.org",
    }


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_after_a_mistake_one_is_where_it_is_told_and_each_leads_to_its_field(
    chromium: Browser, server: Server, scripts: bool
) -> None:
    context = chromium.new_context(
        base_url=f"http://127.0.0.1:{server.port}", java_script_enabled=scripts
    )
    page = context.new_page()
    log_in(page)
    page.goto("/-/hook?path=/paid")
    expect(page.get_by_label("number")).to_be_visible()
    expect(page.get_by_label("iban")).to_be_hidden()
    page.get_by_label("Bank transfer").check()
    page.get_by_label("iban").fill("12")
    page.get_by_label("tags").fill("ok\n\nlonger")
    page.get_by_role("button", name="Send").click()
    summary = page.get_by_role("alert")
    expect(summary).to_be_focused()
    expect(summary).to_be_in_viewport()
    assert page.title() == "Error: /paid · hookrunner"
    expect(summary.get_by_role("heading")).to_have_text("Nothing was sent: mend this first:")
    expect(summary.get_by_role("listitem")).to_have_text(
        ["iban: '12' does not match '^[A-Z]{2}'", "tags: line 3: 'longer' is too long"]
    )
    expect(page.get_by_label("number")).to_be_hidden()
    summary.get_by_role("link", name="tags").click()
    expect(page.get_by_label("tags")).to_be_focused()
    expect(page.get_by_label("tags")).to_have_accessible_description(
        "Error: line 3: 'longer' is too long One item on each line."
    )
    page.get_by_label("iban").fill("DE12")
    page.get_by_label("tags").fill("ok")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("heading", name="Run")).to_be_visible()
    run = page.url.rpartition("/")[2].partition("?")[0]
    server.wait_until_ended(run)
    page.reload()
    output = page.get_by_role("group", name="Standard output of attempt 1")
    assert json.loads(output.inner_text()) == {"by": {"iban": "DE12"}, "tags": ["ok"]}
    context.close()


def test_what_is_written_as_json_arrives_as_it_was_written(server: Server, page: Page) -> None:
    text = '{ "n" : 1.10,\n\t"a":"\\ud800", "<b>": "é" }\n'
    page.goto("/-/hook?path=/deploy/<target>")
    page.get_by_label("<target>").fill("test")
    page.get_by_label("Payload as JSON").fill(text)
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("heading", name="Run")).to_be_visible()
    run = page.url.rpartition("/")[2].partition("?")[0]
    whole = server.get(f"/-/runs/{run}", Authorization=f"Bearer {TOKEN}").json
    assert whole["request"]["body"] == {"text": text}


def test_a_payload_that_is_far_too_large_is_told_as_a_page(
    chromium: Browser, server: Server
) -> None:
    context = chromium.new_context(base_url=f"http://127.0.0.1:{server.port}")
    page = context.new_page()
    log_in(page)
    page.goto("/-/hook?path=/deploy/<target>")
    page.get_by_label("<target>").fill("test")
    page.get_by_label("Payload as JSON").evaluate("area => area.value = '%'.repeat(3e6)")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("heading", name="The form is larger")).to_be_visible()
    page.go_back()
    assert len(page.get_by_label("Payload as JSON").input_value()) == 3_000_000
    context.close()


def test_what_is_hostile_is_shown_as_text(server: Server, page: Page) -> None:
    body = {"<script>document.title='pwned'</script>": "</pre><svg onload=alert(1)>\u202e"}
    run = recorded(server, "/odd", body)
    server.wait_until_ended(run)
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    page.goto(f"/-/runs/{run}")
    output = page.get_by_role("group", name="Standard output of attempt 1")
    expect(output).to_contain_text("<script>document.title='pwned'</script>")
    expect(output).to_contain_text("<img src=x onerror=alert(1)>")
    expect(output).to_contain_text("\\u202egnp.exe")
    expect(page.locator("body")).to_contain_text("</pre><svg onload=alert(1)>\\u202e")
    assert "\u202e" not in page.content()
    assert run in page.title()
    assert page.locator("pre script, pre img, pre svg").count() == 0
    assert dialogs == []


def everything(server: Server, project: Project) -> str:
    """A bit of everything to look at; a run that has failed."""
    for n in range(3):
        recorded(server, "/signups", {"name": "Zoë", "seats": n})
    server.post_json("/signups", {"name": "Z"})
    server.post("/nowhere")
    run = recorded(server, "/deploy/staging", {"version": "1.2", "by": "zoe"})
    server.wait_until_ended(run)
    running = recorded(server, "/watched", {})
    server.wait_for_line(f"{running} /watched | first")
    return run


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_every_page_can_be_read_by_everybody(
    chromium: Browser,
    server: Server,
    project: Project,
    node: Path,
    size: str,
    scheme: str,
    tmp_path: Path,
) -> None:
    axe = (node / "node_modules" / "axe-core" / "axe.min.js").read_text()
    run = everything(server, project)
    width, height = SIZES[size]
    context = chromium.new_context(
        base_url=f"http://127.0.0.1:{server.port}",
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        bypass_csp=True,  # for axe's own script
    )
    page = context.new_page()
    faults = {}
    page.goto("/-/login")
    faults["login"] = ailments(page, axe)
    log_in(page)
    for name, address in PAGES.items():
        page.goto(address.format(run=run))
        faults[name] = ailments(page, axe)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
    page.goto("/-/hook?path=/paid")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_be_focused()
    faults["mistakes"] = ailments(page, axe)
    context.close()
    assert {name: found for name, found in faults.items() if found} == {}


def ailments(page: Page, axe: str) -> list[str]:
    """What axe finds that is serious or worse: the rule, and where."""
    page.evaluate(axe)
    found = page.evaluate("axe.run(document).then(result => result.violations)")
    return [
        f"{each['id']}: {node['target']}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


def test_the_pages_work_without_javascript(chromium: Browser, server: Server) -> None:
    context = chromium.new_context(
        base_url=f"http://127.0.0.1:{server.port}", java_script_enabled=False
    )
    page = context.new_page()
    log_in(page)
    run = recorded(server, "/deploy/staging", {})
    server.wait_until_ended(run)
    page.goto(f"/-/runs/{run}")
    page.get_by_text("Replay…").click()
    page.get_by_role("button", name="Replay", exact=True).click()
    server.wait_for_line("/deploy/<target> | better")
    context.close()
