"""The project's pages, read for what a reader would type and what they then should see."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.serving import REPOSITORY, environment

COMMAND = re.compile(r"(?:\$ )?((?:curl|python|make|git|heroku|echo|openssl|pip|export|\.) .*)")
INLINE = re.compile(r"`((?:python runner\.py|make|curl|heroku|pip) [^`…|]+)`")


@dataclass(frozen=True)
class Step:
    """A command and what stands below it; `line` is its place in the page."""

    line: int
    command: str
    printed: str


def page(name: str) -> str:
    return (REPOSITORY / name).read_text()


def pages() -> list[str]:
    """README.md and all of docs/."""
    docs = sorted((REPOSITORY / "docs").glob("**/*.md"))
    return ["README.md", *(str(path.relative_to(REPOSITORY)) for path in docs)]


def steps(text: str) -> Iterator[Step]:
    """Each command of the indented blocks, with the lines that follow it in its block."""
    for block in re.finditer(r"(?m)(?:^    .*\n)(?:^    .*\n|^\n(?=    ))*", text):
        first = text.count("\n", 0, block.start()) + 1
        lines = [line[4:] for line in block[0].splitlines()]
        found: Step | None = None
        at = 0
        while at < len(lines):
            number, line = first + at, lines[at]
            while line.endswith("\\") and at + 1 < len(lines):
                at += 1
                line = f"{line[:-1].rstrip()} {lines[at].strip()}"
            at += 1
            if command := COMMAND.fullmatch(line):
                if found:
                    yield found
                found = Step(number, command[1], "")
            elif found:
                found = Step(found.line, found.command, f"{found.printed}{line}\n")
        if found:
            yield found


def files(text: str) -> dict[str, str]:
    """The fenced blocks, each by the file's name in the line before it; a block without one fails.

    Two of a name are one file: the second is to be added to the first.
    """
    found: dict[str, str] = {}
    for block in re.finditer(r"(?ms)^([^\n]*)\n\n```\w+\n(.*?)^```$", text):
        named = re.search(r"`([\w./-]+)`.*:$", block[1])
        assert named, f"a block without a file's name before it: {block[0]}"
        found[named[1]] = found.get(named[1], "") + block[2]
    return found


def session(text: str) -> Iterator[tuple[str, str]]:
    """Each command that stands after a `$` in the indented blocks, and what it should print."""
    for block in re.finditer(r"(?m)(?:^    .*\n|^\n(?=    ))+", text):
        plain = re.sub(r"(?m)^    ", "", block[0])
        for part in re.split(r"(?m)^\$ ", plain)[1:]:
            command, _, printed = part.partition("\n")
            yield command, printed.strip("\n")


def inline(text: str) -> list[str]:
    """Commands that stand within a sentence."""
    return INLINE.findall(text.replace("\n", " "))


def fits(printed: str, expected: str) -> bool:
    """True if it is what was expected, with anything for `…`; columns of any width."""
    if not expected:
        return not printed
    lines = [re.sub(" +", " ", line.rstrip()) for line in expected.splitlines()]
    pattern = "".join(
        r"(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*") + r" *\n"
        for line in lines
    )
    told = re.sub(" +", " ", printed.rstrip("\n")) + "\n"
    return re.fullmatch(pattern, told) is not None


def typed(command: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """What a shell in the folder makes of a command; its stdout and stderr together."""
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment(environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
