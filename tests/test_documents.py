"""Every command that README and docs/ show does what the page says."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from pathlib import Path

import pytest

from tests.documents import Step, fits, inline, page, pages, steps, typed
from tests.serving import REPOSITORY, Project, Server
from tests.test_examples import copy_to

ELSEWHERE = {
    "git clone": "git's own; test_examples.copy_to makes what a clone would be",
    "git add": "git's own",
    "git push": "needs an account",
    "heroku": "needs an account",
    "make run": "tests/test_examples.py, from nothing",
    "make test": "this",
    "make bench": "minutes; prints what differs by machine",
    "pip install": "needs a registry; make run does it",
    "python -m venv": "the environment that runs this was made so",
}
"""Commands that are not run from the page, by their first words, and why."""

BY_PAGE = {
    "README.md": "test_the_readme_s_commands_do_what_it_says",
    "docs/runs.md": "test_the_page_of_runs_does_what_it_says",
    "docs/metrics.md": "test_the_metrics_are_had_as_their_page_says",
    "docs/api.md": "test_the_page_for_programs_does_what_it_says",
    "docs/auth.md": "test_a_signature_made_by_hand_is_taken",
    "docs/tutorial.md": "tests/test_tutorial.py",
} | {name: "tests/test_recipes.py" for name in pages() if re.match("docs/recipes/(?!README)", name)}
"""Pages that show commands, and the test that types them."""

BIN = str(Path(sys.executable).parent)
PATH = f"{BIN}:/usr/local/bin:/usr/bin:/bin"
TOKEN = "the administrator's"


def elsewhere(command: str) -> bool:
    return command.startswith(tuple(ELSEWHERE))


def test_every_page_that_shows_commands_has_a_test_that_types_them() -> None:
    showing = {
        name for name in pages() if any(not elsewhere(step.command) for step in steps(page(name)))
    }
    assert showing == set(BY_PAGE)


def test_every_command_in_a_sentence_names_a_verb_and_options_that_exist(tmp_path: Path) -> None:
    project = Project(copy_to(tmp_path / "hookrunner"))
    makefile = (project.folder / "Makefile").read_text()
    for name in pages():
        for command in inline(page(name)):
            if command.startswith("make "):
                assert f"\n{command.split()[1]}:" in makefile, (name, command)
            elif command.startswith("python runner.py "):
                verb = command.split()[2]
                options = re.findall(r"--[a-z]+", command)
                told = project.command(*([] if verb.startswith("-") else [verb]), "--help")
                if verb != "VERB":
                    assert told.returncode == 0, (name, command, told.stderr)
                    assert all(option in told.stdout for option in options), (name, command)
            else:
                assert elsewhere(command), (name, command)


def test_the_readme_s_commands_do_what_it_says(tmp_path: Path) -> None:
    readme = page("README.md")
    project = Project(copy_to(tmp_path / "hookrunner"))
    told = readme.partition("## Add an endpoint")[2]
    script = told.partition("Write `scripts/deploy.sh`:\n\n")[2].partition("\nand name it")[0]
    hook = told.partition("```yaml\n")[2].partition("```")[0]
    makes_hook = readme[: readme.index("and name it")].count("\n")
    server: Server | None = None
    done = []
    try:
        for step in steps(readme):
            if step.line > makes_hook and not (project.folder / "scripts/deploy.sh").exists():
                project.script("deploy.sh", textwrap.dedent(script))
                with (project.folder / "hooks.yaml").open("a") as hooks:
                    hooks.write(hook)
            if step.command == 'echo "deploying $VERSION to $TARGET"':
                continue  # a line of the script
            if step.command == "make run":
                if server:
                    server.__exit__(None, None, None)
                server = project.serve()
                server.__enter__()
            elif step.command == "make check":
                ran = typed("python runner.py check", project.folder, PATH=PATH)
                assert "\tpython runner.py check" in page("Makefile").replace("@$(BIN)/", "")
                assert "/deploy/<target>" in ran.stdout
                assert "DEPLOY_TOKEN is not set" not in ran.stdout
            elif not elsewhere(step.command):
                assert server
                command = step.command.replace("localhost:5000", f"localhost:{server.port}")
                command = re.sub("^curl ", "curl -s ", command)
                ran = typed(command, project.folder, PATH=PATH)
                assert ran.returncode == 0, (command, ran.stdout)
                expected = "" if command.startswith("echo ") else step.printed
                assert fits(ran.stdout, expected), (command, ran.stdout)
            done.append(step.command)
    finally:
        if server:
            server.__exit__(None, None, None)
    assert [command.split()[0] for command in done if not elsewhere(command)] == [
        "curl", "echo", "make", "curl"
    ]  # fmt: skip


RUNS = """
/deploy:
  script: deploy.sh
  auth: none
"""


def test_the_page_of_runs_does_what_it_says(tmp_path: Path) -> None:
    project = Project(copy_to(tmp_path / "hookrunner"))
    project.hooks(RUNS).script("deploy.sh", "exit 3")
    with project.serve(ADMIN_TOKEN=TOKEN) as server:
        first = server.post_json("/deploy", {"n": 1}).headers["Hook-Run"]
        server.wait_until_ended(first)
        said_by = {
            step.command: _answer(step, first, server, project)
            for step in steps(page("docs/runs.md"))
        }

    def said(part: str) -> str:
        [found] = [text for command, text in said_by.items() if part in command]
        return found

    assert first in said("runner.py runs --state failed --since 2h")
    assert "exit 3" in said("runner.py show ID")
    assert f"{first} again as " in said("runner.py replay --failed --since 1h")
    assert json.loads(said("how it stands, for everybody"))["state"] == "failed"
    assert json.loads(said("all of it"))["request"]["body"] == {"text": '{"n": 1}'}
    listed = json.loads(said("?state=failed&hook=/deploy&limit=10"))["runs"]
    assert first in [run["run"] for run in listed]
    assert json.loads(said("/replay"))["state"] == "queued"
    assert "has ended already" in json.loads(said("/cancel"))["detail"]
    assert json.loads(said("/-/prune"))["pruned"] == 0


def test_the_page_for_programs_does_what_it_says(tmp_path: Path) -> None:
    project = Project(copy_to(tmp_path / "hookrunner"))
    text = page("docs/api.md")
    shown = text.partition("```yaml\n")[2].partition("```")[0]
    hooks = project.folder / "hooks.yaml"
    hooks.write_text(f"{shown}{hooks.read_text()}")
    with project.serve(ADMIN_TOKEN=TOKEN) as server:
        said = [
            json.loads(_answer(step, "", server, project))
            for step in steps(text)
            if not elsewhere(step.command)
        ]
    listed, hook, runs, refusals, described = said
    assert "/hello" in [each["path"] for each in listed["hooks"]]
    assert hook["path"] == "/hello"
    assert (runs["runs"], runs["next"]) == ([], None)
    assert (refusals["refusals"], refusals["kept"]) == ([], 1000)
    assert (described["info"]["title"], described["info"]["version"]) == ("Our hooks", "1.2")


def _answer(step: Step, run: str, server: Server, project: Project) -> str:
    url = f"http://127.0.0.1:{server.port}"
    command = re.sub(r"\bID\b", run, step.command).replace("https://…", url)
    ran = typed(
        command.replace("curl ", "curl -s "),
        project.folder,
        PATH=PATH,
        ADMIN_TOKEN=TOKEN,
    )
    assert ran.returncode == 0, (command, ran.stdout)
    return ran.stdout


def test_a_signature_made_by_hand_is_taken(project: Project) -> None:
    auth = page("docs/auth.md")
    settings = re.search(r"To try `(\{hmac: .*?\}\})` by hand", auth)
    assert settings
    project.hooks(f"/signed:\n  script: a.sh\n  respond: output\n  auth: {settings[1]}\n")
    project.script("a.sh", "cat")
    [step] = steps(auth)
    with project.serve(SECRET="a secret of some length") as server:
        command = step.command.replace("localhost:5000/PATH", f"localhost:{server.port}/signed")
        command = command.replace("curl ", "curl -s ")
        given = {"PATH": PATH, "BODY": '{"é": 1}'}
        right = typed(command, project.folder, SECRET="a secret of some length", **given)
        wrong = typed(command, project.folder, SECRET="another", **given)
    assert right.stdout == '{"é": 1}'
    assert json.loads(wrong.stdout)["status"] == 401


def test_the_metrics_are_had_as_their_page_says(project: Project) -> None:
    project.hooks("/a:\n  script: a.sh\n  auth: none\n").script("a.sh", "cat")
    [step] = steps(page("docs/metrics.md"))
    with project.serve(ADMIN_TOKEN=TOKEN) as server:
        command = step.command.replace("https://…", f"http://localhost:{server.port}")
        ran = typed(f"{command} -s", project.folder, PATH=PATH, ADMIN_TOKEN=TOKEN)
    assert 'hookrunner_runs_recorded_total{hook="/a"} 0.0\n' in ran.stdout


@pytest.mark.parametrize("name", pages())
def test_every_link_of_a_page_leads_to_a_file(name: str) -> None:
    folder = Path(name).parent
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page(name)):
        target = folder / link
        assert (Path(__file__).parent.parent / target).exists(), (name, link)


@pytest.mark.parametrize("name", pages())
def test_every_test_and_benchmark_that_a_page_names_is_there(name: str) -> None:
    for named in re.findall(r"(?:tests|benchmarks|hookrunner)/[\w/]+\.py", page(name)):
        assert (REPOSITORY / named).exists(), named
