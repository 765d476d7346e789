"""docs/tutorial.md, done as it says: every command that needs no account elsewhere."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.documents import fits, session, typed
from tests.serving import REPOSITORY, Project, Server
from tests.test_examples import copy_to

TUTORIAL = (REPOSITORY / "docs" / "tutorial.md").read_text()

ELSEWHERE = ("git ", "heroku ", "python3 -m venv", "pip install", "export ")
"""Commands that are Heroku's or git's affair, or that a test has done already."""

BESIDE = "python runner.py --reload"
"""The command that goes on in another terminal."""


def steps() -> Iterator[tuple[str, str]]:
    """Each command with what it should print; and each file, as `# name`, with its text."""
    for block in re.finditer(r"^```python\n# (\S+)\n((?:.*\n)*?)```|((?:^    .*\n|^\n(?=    ))+)",
                             TUTORIAL, re.MULTILINE):  # fmt: skip
        if block[1]:
            yield f"# {block[1]}", block[2]
            continue
        yield from session(block[3])


def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    project = Project(copy_to(tmp_path / "hookrunner"))
    binaries = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    done: list[str] = []
    server: Server | None = None
    try:
        for command, expected in steps():
            if command.startswith("# "):
                (project.folder / command[2:]).write_text(expected)
            elif command == BESIDE:
                server = project.serve("--reload")
                server.__enter__()
                assert fits(server.wait_for_line("listens on"), expected), server.lines
            elif not command.startswith(ELSEWHERE) and "my-app-1234" not in command:
                ran = typed(command, project.folder, PATH=binaries)
                assert fits(ran.stdout, expected), (command, ran.stdout, expected)
            done.append(command)
    finally:
        if server:
            server.__exit__(None, None, None)
    assert len(done) > 15


def test_the_form_s_script_is_printed_as_the_tutorial_says(tmp_path: Path) -> None:
    project = Project(tmp_path).script("a.py", "")
    project.hooks("/signups: {script: a.py, auth: {google-forms: $FORM_SECRET}}\n")
    [(command, expected)] = [
        step for step in steps() if step[0].startswith("python runner.py form ")
    ]
    ran = project.command(*command.split()[2:])
    assert fits(ran.stdout, expected), ran
