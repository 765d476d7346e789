"""The Apps Script of `form`: it runs, and what it posts reaches the script exactly."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from hookrunner.verbs.form import apps_script
from tests.serving import REPOSITORY, Project, Server

GOOGLE = REPOSITORY / "tests" / "node" / "google.mjs"
SECRET = "the secret, é"

needs_node = pytest.mark.skipif(
    not (shutil.which("node") and shutil.which("curl")), reason="there is no Node or no curl"
)

HOOKS = """
/form: {script: keep.sh, auth: {google-forms: $FORM_SECRET}, respond: output}
/strict: {script: keep.sh, auth: {google-forms: $FORM_SECRET}, schema: form.json}
/bearer: {script: keep.sh, auth: {bearer: $FORM_SECRET}}
/off: {script: keep.sh, auth: {google-forms: $OTHER_SECRET}}
/seen: {script: keep.sh, auth: {google-forms: $FORM_SECRET},
  respond: {redirect: "https://a.example/thanks"}}
/odd*/<name>: {script: keep.sh, auth: {google-forms: $FORM_SECRET}}
"""

ITEMS: list[dict[str, Any]] = [
    {"id": 1, "title": "Name", "type": "TEXT", "required": True},
    {"id": 2, "title": "Name", "type": "PARAGRAPH_TEXT"},
    {"id": 3, "title": "Straße & 日本", "type": "MULTIPLE_CHOICE", "choices": ["ä", "日", "🎉"],
     "required": True},
    {"id": 4, "title": "Any", "type": "CHECKBOX", "choices": ["a", "b"], "other": True},
    {"id": 5, "title": "Grid", "type": "GRID", "rows": ["r1", "r2", "r3"], "columns": ["x", "y"]},
    {"id": 6, "title": "Boxes", "type": "CHECKBOX_GRID", "rows": ["r1", "r2", "r3"],
     "columns": ["x", "y"]},
    {"id": 7, "title": "Scale", "type": "SCALE", "low": 1, "high": 3, "required": True},
    {"id": 8, "title": "Stars", "type": "RATING"},
    {"id": 9, "title": "Day", "type": "DATE"},
    {"id": 10, "title": "Birthday", "type": "DATE", "year": False},
    {"id": 11, "title": "When", "type": "DATETIME"},
    {"id": 12, "title": "Hour", "type": "TIME"},
    {"id": 13, "title": "Long", "type": "DURATION"},
    {"id": 14, "title": "Section", "type": "SECTION_HEADER"},
    {"id": 15, "title": "List", "type": "LIST", "choices": ["one"], "required": True},
    {"id": 16, "title": "A page", "type": "PAGE_BREAK"},
    {"id": 17, "title": "Files", "type": "FILE_UPLOAD"},
    {"id": 18, "title": "Later", "type": "TEXT", "required": True},
]  # fmt: skip
FORM = {"id": "form-1", "title": "Anmeldung é", "items": ITEMS}
ANSWERS: list[list[Any]] = [
    [1, "Zoë \"quoted\" \\ back\nslash"], [2, "日本 🎉"], [3, "🎉"], [4, ["b", "own: é"]],
    [5, ["x", "", None]], [6, [["x", "y"], None, ""]], [7, "2"], [8, "5"], [9, "2026-01-31"],
    [10, "01-31"], [11, "2026-01-31 9:05"], [12, "9:05"], [13, "1:05:00"], [15, "one"],
    [17, ["file-1", "file-2"]],
]  # fmt: skip
EVENT = {"id": "2_ABaOnue-x_9", "timestamp": "2026-11-28T10:00:00.123Z", "answers": ANSWERS,
         "email": "zoë@example.com"}  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, Server]]:
    project = Project(tmp_path_factory.mktemp("form")).hooks(HOOKS)
    project.schema("form.json", {"required": ["never"]})
    project.script("keep.sh", "cat > got.json; cat got.json\n")
    with project.serve(FORM_SECRET=SECRET) as server:
        yield project, server


def script_of(project: Project, server: Server, path: str = "/form") -> str:
    """The script as the command prints it."""
    url = f"http://127.0.0.1:{server.port}"
    done = project.command("form", path, "--url", url, FORM_SECRET=SECRET)
    assert done.returncode == 0, done
    assert done.stderr == (f"warning: Google cannot reach {url}; give your app's public address\n")
    return done.stdout


def google(script: str, call: str, **more: Any) -> dict[str, Any]:
    """What happens when Google calls a function of the script."""
    given = {"script": script, "call": call, "properties": {"FORM_SECRET": SECRET}, "form": FORM}
    done = subprocess.run(
        ["node", str(GOOGLE)],
        input=json.dumps({**given, **more}).encode(),
        capture_output=True,
        timeout=60,
        check=True,
    )
    return dict(json.loads(done.stdout))


def got(project: Project) -> Any:
    return json.loads((project.folder / "got.json").read_text())


@needs_node
def test_an_answer_reaches_the_script_exactly(served: tuple[Project, Server]) -> None:
    project, server = served
    happened = google(script_of(project, server), "onFormSubmit", event=EVENT)

    assert happened["error"] is None, happened
    [post] = happened["posts"]
    assert (project.folder / "got.json").read_text() == post["body"]
    answer = got(project)
    assert answer["form"] == {"id": "form-1", "title": "Anmeldung é"}
    assert answer["response"] == {
        "id": "2_ABaOnue-x_9",
        "timestamp": "2026-11-28T10:00:00.123Z",
        "email": "zoë@example.com",
        "payload": {
            "Name": 'Zoë "quoted" \\ back\nslash',
            "Name (2)": "日本 🎉",
            "Straße & 日本": "🎉",
            "Any": ["b", "own: é"],
            "Grid": ["x", "", None],
            "Boxes": [["x", "y"], None, ""],
            "Scale": "2",
            "Stars": "5",
            "Day": "2026-01-31",
            "Birthday": "01-31",
            "When": "2026-01-31 9:05",
            "Hour": "9:05",
            "Long": "1:05:00",
            "List": "one",
            "Files": ["file-1", "file-2"],
        },
    }
    assert [(item["id"], item["answer"]) for item in answer["items"]] == [
        (number, value) for number, value in ANSWERS
    ]
    assert answer["items"][-1]["files"][0] == {
        "id": "file-1", "url": "https://drive.google.com/open?id=file-1",
    }  # fmt: skip
    assert happened["logs"][0].startswith("Sent answer 2_ABaOnue-x_9: 200 ")
    [(identity,)] = project.journal("SELECT DISTINCT delivery_id FROM run WHERE hook = '/form'")
    assert identity == "2_ABaOnue-x_9.1795860000123"


@needs_node
def test_an_answer_that_is_sent_twice_makes_one_run_and_an_edited_one_another(
    served: tuple[Project, Server],
) -> None:
    project, server = served
    script = script_of(project, server)
    event = {**EVENT, "id": "twice"}
    for _ in range(2):
        assert google(script, "onFormSubmit", event=event)["error"] is None
    edited = {**event, "timestamp": "2026-11-28T11:00:00Z"}
    assert google(script, "onFormSubmit", event=edited)["error"] is None
    kept = project.journal("SELECT delivery_id FROM run WHERE delivery_id LIKE 'twice%'")
    assert len(kept) == 2


@needs_node
def test_the_answers_of_a_linked_sheet_are_sent_too(served: tuple[Project, Server]) -> None:
    project, server = served
    event = {"namedValues": {"Name": ["Zoë"], "Same": ["a", "b"], "Empty": [""]}, "row": 7}
    happened = google(script_of(project, server), "onFormSubmit", form=None, event=event)
    assert happened["error"] is None, happened
    answer = got(project)
    assert answer["response"]["id"] == "spreadsheet-0-7"
    assert answer["response"]["payload"] == {"Name": "Zoë", "Same": ["a", "b"], "Empty": ""}


@needs_node
def test_install_makes_one_trigger_however_often_it_is_run(served: tuple[Project, Server]) -> None:
    project, server = served
    script = script_of(project, server)
    before = [{"handler": "onFormSubmit", "source": "form"}, {"handler": "other", "source": "x"}]
    happened = google(script, "install", triggers=before)
    assert happened["error"] is None
    assert happened["triggers"] == [before[1], before[0]]
    sheet = google(script, "install", form=None)
    assert sheet["triggers"] == [{"handler": "onFormSubmit", "source": "sheet"}]
    assert happened["logs"] == [f"Every answer will be sent to http://127.0.0.1:{server.port}/form"]


@needs_node
def test_a_made_up_answer_is_sent_by_test(served: tuple[Project, Server]) -> None:
    project, server = served
    happened = google(script_of(project, server), "test")
    assert happened["error"] is None, happened
    payload = got(project)["response"]["payload"]
    assert payload["Name"] == payload["Name (2)"] == "A made-up answer, é and 日本"
    assert (payload["Grid"], payload["Boxes"]) == (["x", "x", "x"], [["x"], ["x"], ["x"]])
    assert google(script_of(project, server), "test", form=None)["error"] is None


@needs_node
def test_the_schema_of_the_form_takes_its_answers_and_no_others(
    served: tuple[Project, Server],
) -> None:
    from jsonschema import Draft202012Validator

    project, server = served
    script = script_of(project, server)
    [text] = google(script, "schema")["logs"]
    schema = json.loads(text)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    google(script, "onFormSubmit", event={**EVENT, "id": "schema"})
    answer = got(project)
    assert list(validator.iter_errors(answer)) == []
    google(script, "test")
    assert list(validator.iter_errors(got(project))) == []

    answers = schema["properties"]["response"]["properties"]["payload"]
    # What comes after a new page may be skipped.
    assert answers["required"] == ["Name", "Straße & 日本", "Scale", "List"]
    for title, wrong in (("Scale", "4"), ("List", "two"), ("Day", "31.1."), ("Grid", ["z"]),
                         ("Straße & 日本", "b"), ("Boxes", [["z"]]), ("Any", "a")):  # fmt: skip
        payload = {**answer["response"]["payload"], title: wrong}
        changed = {**answer, "response": {**answer["response"], "payload": payload}}
        assert list(validator.iter_errors(changed)), title


@needs_node
def test_a_wrong_secret_is_told_to_the_form_s_owner_in_words(
    served: tuple[Project, Server],
) -> None:
    project, server = served
    script = script_of(project, server)
    happened = google(script, "test", properties={"FORM_SECRET": "another"})
    assert happened["error"] == (
        "The server does not believe that this form sent the answer (401). The script property "
        "FORM_SECRET must have the very value that the server has: heroku config:get FORM_SECRET. "
        "If it has, see `heroku logs` for the reason."
    )
    assert len(happened["posts"]) == 1
    unset = google(script, "test", properties={})
    assert unset["error"] == (
        "The script property FORM_SECRET is not set. Open Project Settings, Script Properties, "
        "and give it the value of the config var FORM_SECRET (heroku config:get FORM_SECRET)."
    )


@needs_node
def test_what_else_goes_wrong_is_told_too(served: tuple[Project, Server]) -> None:
    project, server = served
    strict = google(script_of(project, server, "/strict"), "test")
    assert strict["error"].startswith("The answer does not fit the hook's schema (422): ")
    assert strict["error"].endswith(" Run `schema` for one that fits this form.")
    gone = script_of(project, server).replace("/form", "/gone")
    assert google(gone, "test")["error"].startswith("There is no hook at http://127.0.0.1:")
    by_hand = google(script_of(project, server), "onFormSubmit")
    assert by_hand["error"] == (
        "Google calls this function when an answer comes; to try it, run `test`."
    )


@needs_node
def test_a_server_that_is_away_is_tried_again_and_then_told_of(tmp_path: Path) -> None:
    project = Project(tmp_path).hooks(HOOKS).script("keep.sh", "cat\n")
    project.schema("form.json", {})
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    script = project.command("form", "/form", "--url", url, FORM_SECRET=SECRET).stdout
    happened = google(script, "test")
    assert happened["sleeps"] == [1000, 4000, 15000]
    assert len({post["headers"]["webhook-id"] for post in happened["posts"]}) == 1
    assert len(happened["posts"]) == 4
    assert happened["warnings"][0].startswith("Attempt 1: The server cannot be reached (")
    assert " was NOT delivered after 4 attempts: The server cannot be " in happened["error"]


@contextmanager
def answering(*answers: tuple[int, dict[str, str]]) -> Iterator[str]:
    """The address of a server that gives these answers, one a request, and no others."""
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, headers = left.pop(0)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
    assert left == []


def script_for(url: str) -> str:
    return apps_script(f"{url}/form", "/form", "FORM_SECRET")


@needs_node
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_an_answer_that_is_redirected_was_not_taken(status: int) -> None:
    with answering((status, {"Location": "https://moved.example/form?x=1"})) as url:
        happened = google(script_for(url), "test")
    assert happened["error"] == (
        f"The answer was redirected to https://moved.example/form?x=1 ({status}), and not taken; "
        "run `python runner.py form` again with that --url: https://moved.example."
    )
    assert happened["logs"] == []


@needs_node
def test_a_redirect_to_nowhere_is_told_too() -> None:
    with answering((304, {})) as url:
        happened = google(script_for(url), "test")
    assert happened["error"] == f"The server at {url}/form did not take the answer: 304."


@needs_node
def test_an_answer_after_which_a_page_is_shown_was_taken(served: tuple[Project, Server]) -> None:
    project, server = served
    happened = google(script_of(project, server, "/seen"), "test")
    assert happened["error"] is None, happened
    assert happened["logs"][0].endswith(": 303 ")


@needs_node
def test_a_server_that_is_busy_is_asked_again() -> None:
    with answering((429, {"Retry-After": "1"}), (202, {})) as url:
        happened = google(script_for(url), "test")
    assert happened["error"] is None
    assert happened["sleeps"] == [1000]
    assert happened["warnings"] == ["Attempt 1: The server answered 429  Trying again in 1 s."]


@needs_node
def test_what_was_not_delivered_is_kept_and_sent_again(served: tuple[Project, Server]) -> None:
    project, server = served
    script = script_of(project, server)
    event = {**EVENT, "id": "kept"}
    wrong = {"FORM_SECRET": "another"}
    failed = google(script, "onFormSubmit", event=event, properties=wrong)
    assert failed["error"].endswith(
        "see `heroku logs` for the reason. The answer is kept: once all is well, run `resend`."
    )
    assert failed["properties"]["UNSENT"] == '["kept"]'
    twice = google(script, "onFormSubmit", event=event, properties=failed["properties"])
    assert twice["properties"]["UNSENT"] == '["kept"]'

    mended = {**twice["properties"], "FORM_SECRET": SECRET}
    again = google(script, "resend", properties=mended, responses=[event])
    assert again["error"] is None
    assert again["logs"][-1] == "All is delivered."
    assert again["properties"]["UNSENT"] == "[]"
    assert got(project)["response"]["id"] == "kept"
    idle = google(script, "resend", properties=again["properties"])
    assert idle["logs"] == ["There is nothing that was not delivered."]


@needs_node
def test_a_row_that_was_not_delivered_is_sent_again(served: tuple[Project, Server]) -> None:
    project, server = served
    script = script_of(project, server)
    event = {"namedValues": {"Name": ["Zoë"]}, "row": 3}
    failed = google(script, "onFormSubmit", form=None, event=event, properties={})
    assert failed["properties"]["UNSENT"] == "[[0,3]]"
    rows = [["Name", "Same", "Same"], ["x", "", ""], ["Zoë", "a", "b"]]
    mended = {**failed["properties"], "FORM_SECRET": SECRET}
    again = google(script, "resend", form=None, properties=mended, rows=rows)
    assert again["error"] is None, again
    assert got(project)["response"]["payload"] == {"Name": "Zoë", "Same": ["a", "b"]}
    assert got(project)["response"]["id"] == "spreadsheet-0-3"


@needs_node
def test_equal_titles_are_counted_over_the_form_whatever_was_answered(
    served: tuple[Project, Server],
) -> None:
    project, server = served
    script = script_of(project, server)
    only = {**EVENT, "id": "second-only", "answers": [[2, "the second"], [3, "ä"]]}
    assert google(script, "onFormSubmit", event=only)["error"] is None
    assert got(project)["response"]["payload"] == {"Name (2)": "the second", "Straße & 日本": "ä"}
    [text] = google(script, "schema")["logs"]
    answers = json.loads(text)["properties"]["response"]["properties"]["payload"]["properties"]
    assert list(answers)[:2] == ["Name", "Name (2)"]
    # A title that looks like a second one, and one that objects have already.
    items = [{"id": n, "title": title, "type": "TEXT"} for n, title in
             enumerate(["A", "A (2)", "A", "__proto__", "", ""], 1)]  # fmt: skip
    form = {**FORM, "items": items}
    odd = {**EVENT, "id": "odd", "answers": [[3, "third"], [4, "proto"], [6, "sixth"]]}
    assert google(script, "onFormSubmit", event=odd, form=form)["error"] is None
    assert got(project)["response"]["payload"] == {
        "A (3)": "third", "__proto__": "proto", " (2)": "sixth",
    }  # fmt: skip


@needs_node
def test_a_sheet_is_told_that_it_knows_no_questions(served: tuple[Project, Server]) -> None:
    project, server = served
    happened = google(script_of(project, server), "schema", form=None)
    assert happened["error"] == (
        "A sheet does not know the questions of its form: open the form itself, ⋮, Apps Script, "
        "paste this script there, too, and run `schema` there (without `install`, or every answer "
        "comes twice)."
    )


@needs_node
def test_without_an_address_the_script_has_a_place_for_it(served: tuple[Project, Server]) -> None:
    project, server = served
    done = project.command("form", "form", FORM_SECRET=SECRET)  # the slash goes without saying
    assert (done.returncode, done.stderr) == (
        0,
        "the script's URL lacks your app: put its address in place of "
        "https://YOUR-APP.herokuapp.com, or give it here: --url https://…\n",
    )
    assert 'const URL = "https://YOUR-APP.herokuapp.com/form";' in done.stdout
    happened = google(done.stdout, "test")
    assert happened["error"] == (
        "Put the address of your app in place of YOUR-APP, in the line `const URL` of this script."
    )
    assert happened["posts"] == []
    mended = done.stdout.replace(
        'URL = "https://YOUR-APP.herokuapp.com', f'URL = "http://127.0.0.1:{server.port}'
    )
    assert google(mended, "test")["error"] is None


@needs_node
def test_no_path_ends_the_comment_at_its_head(served: tuple[Project, Server]) -> None:
    project, server = served
    url = f"http://127.0.0.1:{server.port}"
    done = project.command("form", "/odd*/a'b*/", "--url", url, FORM_SECRET=SECRET)
    assert done.returncode == 1
    done = project.command("form", "/odd*/a'b", "--url", url, FORM_SECRET=SECRET)
    [line] = [line for line in done.stdout.splitlines() if "Made by" in line]
    command = line.partition("`")[2].partition("`")[0]
    words = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {command}"], capture_output=True, text=True, check=True
    )
    assert words.stdout.splitlines()[-1] == "/odd*/a'b"
    assert google(done.stdout, "test")["error"] is None


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["/none", "--url", "https://a.example"],
         "no hook is at '/none'; make one with: python runner.py new /none --from google-forms\n"),
        (["/bearer", "--url", "https://a.example"],
         "/bearer believes no Google Form; write auth: {google-forms: $FORM_SECRET} "
         "in hooks.yaml\n"),
        *(
            (["/form", "--url", url],
             "--url must be the address of your app, such as https://my-app.herokuapp.com, "
             f"not {url!r}{mend}\n")
            for url, mend in [
                ("https://a.example/*/", ""), ("https://a.example/?", "; leave out its query"),
                ("https://a.example#x", "; leave out its fragment"), ("https://a b.example", ""),
                ("https://me:pw@a.example", "; leave out its user and password"),
                ("https://a.example\n", ""), ("https://[::1", ""), ("https://a.example:x", ""),
                ("ftp://a.example", ""), ("https://", ""), ("https://a.example/\x1b", ""),
            ]
        ),
        (["/form", "--url", "a.example"],
         "--url must be the address of your app, such as https://my-app.herokuapp.com, "
         "not 'a.example'\n"),
        (["/form", "--url", "https://YOUR-APP.herokuapp.com"],
         "--url must be the address of your app, such as https://my-app.herokuapp.com, "
         "not 'https://YOUR-APP.herokuapp.com'\n"),
    ],
)  # fmt: skip
def test_a_form_that_cannot_be_is_told(
    served: tuple[Project, Server], words: list[str], told: str
) -> None:
    project, _ = served
    done = project.command("form", *words, FORM_SECRET=SECRET)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", told)


def test_the_script_names_the_hook_s_own_secret(served: tuple[Project, Server]) -> None:
    project, _ = served
    done = project.command("form", "/off", "--url", "https://a.example")
    assert 'const SECRET = "OTHER_SECRET";' in done.stdout
    assert 'const URL = "https://a.example/off";' in done.stdout
