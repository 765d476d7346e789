"""What the command line is told by servers that are not as they should be, and what it lets out."""

from __future__ import annotations

import re
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.serving import REPOSITORY, SECONDS, Project, Server, environment, wait_until

TOKEN = "the administrator's"
ID = "aaaabbbbccccddddeeee"

HOOKS = """
/open: {script: a.sh, auth: none}
/bearer: {script: a.sh, auth: {bearer: $SECRET}}
/query: {script: a.sh, auth: {token: {query: key, value: $SECRET}}}
"""


class Stranger:
    """An HTTP server that says what a test wants it to; use it in a `with`."""

    def __init__(self, say: Callable[[str], bytes | Iterator[bytes]]) -> None:
        """`say` is given a request's first line, and gives all that comes back."""
        self.heard: list[str] = []
        stranger = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                head = b""
                while not head.endswith(b"\r\n\r\n") and (line := self.rfile.readline()):
                    head += line
                text = head.decode("latin-1")
                stranger.heard.append(text)
                said = say(text.partition("\r\n")[0])
                with suppress(OSError):
                    for piece in [said] if isinstance(said, bytes) else said:
                        self.wfile.write(piece)

        class Threads(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self.server = Threads(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> Stranger:
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.server.shutdown()
        self.server.server_close()


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.fixture
def desk(project: Project) -> Project:
    return project.hooks(HOOKS).script("a.sh", "cat")


def asked(desk: Project, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return desk.command(*words, **{"ADMIN_TOKEN": TOKEN, "SECRET": "the secret", **environ})


SHAPES = [b"{}", b"[]", b"5", b'{"runs": 5}', b'{"runs": [5]}', b'{"runs": [{}]}', b"[" * 200_000]
VERBS = [["runs"], ["show", "abc"], ["logs"], ["replay", "abc"], ["prune"]]


@pytest.mark.parametrize("body", SHAPES)
@pytest.mark.parametrize("verb", VERBS)
def test_an_answer_that_is_none_of_ours_is_told(
    desk: Project, verb: list[str], body: bytes
) -> None:
    with Stranger(lambda line: answer(body)) as stranger:
        done = asked(desk, *verb, "--url", stranger.url)
    told = f"{stranger.url} answered 200, and not as a hookrunner does\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", told)


def test_the_token_goes_to_no_other_server_that_one_redirects_to(desk: Project) -> None:
    with Stranger(lambda line: answer(b"{}")) as other:
        place = f"Location: {other.url}/-/runs"
        with Stranger(lambda line: answer(b"", "307 Temporary Redirect", place)) as stranger:
            done = asked(desk, "runs", "--url", stranger.url)
        assert other.heard == []
    told = f"{stranger.url} answered 307, and is at '{other.url}/-/runs'; name that address with "
    assert (done.returncode, done.stderr) == (1, f"{told}--url\n")


def test_a_delivery_is_not_sent_on_to_where_it_is_redirected(desk: Project) -> None:
    with Stranger(lambda line: answer(b"{}")) as other:
        place = f"Location: {other.url}/bearer"
        with Stranger(lambda line: answer(b"", "308 Permanent Redirect", place)) as stranger:
            done = asked(desk, "send", "/bearer", "--data", "{}", "--url", stranger.url)
        assert other.heard == []
    assert done.returncode == 1
    assert f"the server answered 308, and is at '{other.url}/bearer'" in done.stderr


@pytest.mark.parametrize("run", ["../../x", "short", ID.upper(), ID + "?a=b"])
def test_what_is_no_run_s_id_is_not_asked_for(desk: Project, run: str) -> None:
    with Stranger(lambda line: answer(b"{}", "202 Accepted", f"Hook-Run: {run}")) as stranger:
        done = asked(desk, "send", "/open", "--data", "{}", "--url", stranger.url)
    assert [head.partition("\r\n")[0] for head in stranger.heard] == ["POST /open HTTP/1.1"]
    assert done.returncode == 0


def test_an_answer_without_end_is_cut(desk: Project) -> None:
    def endless() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
        for _ in range(20_000):  # a gigabyte
            yield b"x" * 65_536

    with Stranger(lambda line: endless()) as stranger:
        done = asked(desk, "send", "/open", "--data", "{}", "--url", stranger.url)
    assert "the answer goes on; these are its first 16777216 bytes\n" in done.stderr
    assert len(done.stdout) < 18_000_000


def test_what_a_stranger_says_cannot_steer_the_terminal(desk: Project) -> None:
    body = "\x1b]0;title\x07\x1b[2J\u202egnp.exe\x9b31m\r\n".encode()
    with Stranger(lambda line: answer(body)) as stranger:
        done = asked(desk, "send", "/open", "--data", "{}", "--url", stranger.url)
    assert "\\x1b]0;title\\x07\\x1b[2J\\u202egnp.exe\\x9b31m\n" in done.stdout
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", done.stdout)


def test_a_secret_in_an_address_is_not_told_with_it(desk: Project) -> None:
    done = asked(desk, "send", "/query", "--data", "{}", "--url", "http://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("http://127.0.0.1:1 cannot be reached: ")
    assert "secret" not in done.stderr


@pytest.mark.parametrize(
    ("words", "environ", "told"),
    [
        (["runs", "--url", "http://127.0.0.1:1"], {"ADMIN_TOKEN": "s3cret\n"},
         "ADMIN_TOKEN cannot be sent: it begins or ends with a space, or has a line break or "
         "another control character in it; give it, and the server, another\n"),
        (["send", "/bearer", "--data", "{}"], {"SECRET": "s3cret\nX: y"},
         "the secret of /bearer cannot be sent as authorization: it begins or ends with a space, "
         "or has a line break or another control character in it\n"),
    ],
)  # fmt: skip
def test_a_secret_that_no_header_can_hold_is_named_and_not_shown(
    desk: Project, words: list[str], environ: dict[str, str], told: str
) -> None:
    done = asked(desk, *words, **environ)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.lower() == told.lower()


@pytest.mark.parametrize("header", ["X: a\nb", "X-é: b", "X y: b"])
def test_a_header_that_is_none_is_told(desk: Project, header: str) -> None:
    done = asked(desk, "send", "/open", "--data", "{}", "--header", header)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "header" in done.stderr


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://a?b", "http://a#b", "http://u:p@a", "ftp://a"]
)
@pytest.mark.parametrize("verb", [["runs"], ["send", "/open", "--data", "{}"]])
def test_an_address_that_is_none_is_told(desk: Project, verb: list[str], url: str) -> None:
    done = asked(desk, *verb, "--url", url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("--url must ")
    assert "u:p" not in done.stderr


@pytest.mark.parametrize("address", [b"http://[::1", b"\xff\xfe", b"http://evil.example"])
def test_a_forged_address_of_the_server_is_told_with_its_file(
    desk: Project, address: bytes
) -> None:
    (desk.folder / "var").mkdir()
    (desk.folder / "var" / "address").write_bytes(address)
    done = asked(desk, "send", "/open", "--data", "{}")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_what_the_server_has_lies_in_a_file_for_its_owner_alone(desk: Project) -> None:
    desk.script("a.sh", "cat var/token; env")
    with desk.serve(SECRET="the secret") as server:
        path = desk.folder / "var" / "token"
        token = path.read_text().strip()
        assert path.stat().st_mode & 0o777 == 0o600
        run = server.post_json("/open", {}).headers["Hook-Run"]
        server.wait_until_ended(run)
        assert server.get("/-/runs", Authorization=f"Bearer {token}").status == 200
        assert server.get("/-/runs", Authorization="Bearer another").status == 403
        assert server.post("/-/prune").status == 403
    assert not path.exists()
    assert token not in "\n".join(server.lines)


def test_nobody_prunes_without_the_token(desk: Project) -> None:
    with desk.serve(ADMIN_TOKEN=TOKEN, SECRET="the secret") as server:
        run = server.post_json("/open", {}).headers["Hook-Run"]
        server.wait_until_ended(run)
        assert server.post("/-/prune?older=0").status == 401
        assert server.post("/-/prune?older=0", Authorization="Bearer x").status == 401
        assert server.get("/-/runs/" + run).status == 200
        mine = {"Authorization": f"Bearer {TOKEN}"}
        unknown = server.post("/-/prune?bogus=1", **mine)
        assert (unknown.status, unknown.json["detail"]) == (400, "'bogus' is none of older")
        assert server.post("/-/prune?older=0", **mine).json == {"pruned": 1, "more": False}
        assert server.get("/-/runs/" + run).status == 404


class Following:
    """A verb that goes on, and what it has printed so far; use it in a `with`."""

    def __init__(self, desk: Project, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(REPOSITORY / "runner.py"), *words],
            cwd=desk.folder,
            env=environment({"ADMIN_TOKEN": TOKEN, "SECRET": "the secret"}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.lines: list[str] = []
        self.complaints: list[str] = []
        self.readers = [
            threading.Thread(target=self._read, args=pair)
            for pair in ((self.process.stdout, self.lines), (self.process.stderr, self.complaints))
        ]

    def __enter__(self) -> Following:
        for reader in self.readers:
            reader.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.interrupt()
        for reader in self.readers:
            reader.join()

    def interrupt(self) -> int:
        """Ctrl-C, and its exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(SECONDS)

    def wait_for(self, holds: Callable[[list[str]], bool], what: str) -> None:
        wait_until(lambda: holds(self.lines), what)

    def _read(self, pipe: Any, lines: list[str]) -> None:
        with pipe:
            for line in pipe:
                lines.append(line)  # noqa: PERF402 (as they come)


def ends(lines: list[str]) -> int:
    return sum(" succeeded in " in line for line in lines)


@pytest.mark.parametrize("where", ["here", "at the server"])
def test_no_run_and_no_line_is_missed_or_doubled_by_who_follows(desk: Project, where: str) -> None:
    desk.script("a.sh", "cat")
    with desk.serve(ADMIN_TOKEN=TOKEN, SECRET="the secret") as server:
        server.post_json("/open", {"n": -1})
        url = ["--url", f"http://127.0.0.1:{server.port}"] if where != "here" else []
        with Following(desk, "logs", "--follow", *url) as following:
            following.wait_for(lambda lines: ends(lines) == 1, "the run before")
            for n in range(150):
                server.post_json("/open", {"n": n})
            following.wait_for(lambda lines: ends(lines) >= 151, "all runs")
    found = re.findall(r'\| \{"n": (-?\d+)\}', "".join(following.lines))
    assert sorted(map(int, found)) == list(range(-1, 150))


def test_who_follows_a_state_sees_a_run_that_comes_to_be_in_it_late(desk: Project) -> None:
    desk.hooks("/slow: {script: slow.sh, auth: none, respond: accepted}\n"
               "/fast: {script: fast.sh, auth: none}\n")  # fmt: skip
    desk.script("slow.sh", "until [ -e go ]; do sleep 0.02; done; echo slow; exit 3")
    desk.script("fast.sh", "echo fast; exit 4")
    with desk.serve(ADMIN_TOKEN=TOKEN) as server:
        server.post_json("/fast", {})
        with Following(desk, "logs", "--follow", "--state", "failed") as following:
            following.wait_for(lambda lines: any("| fast" in each for each in lines), "the first")
            server.post_json("/slow", {})
            server.post_json("/fast", {})
            following.wait_for(
                lambda lines: sum("| fast" in each for each in lines) == 2, "the fast one"
            )
            (desk.folder / "go").touch()
            following.wait_for(lambda lines: any("| slow" in each for each in lines), "the slow")
    assert sum("exit 3" in line for line in following.lines) == 1


def test_who_follows_goes_on_when_the_server_is_back(desk: Project) -> None:
    with desk.serve(ADMIN_TOKEN=TOKEN, SECRET="the secret") as server:
        port = server.port
        server.post_json("/open", {"n": 1})
        url = f"http://127.0.0.1:{port}"
        with Following(desk, "logs", "--follow", "--url", url) as following:
            following.wait_for(lambda lines: ends(lines) == 1, "the run before")
            server.stop()
            wait_until(lambda: bool(following.complaints), "a complaint")
            again = Server(
                desk.folder, ("--port", str(port)), {"ADMIN_TOKEN": TOKEN, "SECRET": "the secret"}
            )
            with again:
                again.port = port
                again.post_json("/open", {"n": 2})
                following.wait_for(lambda lines: ends(lines) == 2, "the run after")
    told = [f"{url} cannot be reached: Connection refused; it is asked again until it answers\n"]
    assert following.complaints[:1] == told


def test_output_of_which_the_middle_is_not_kept_is_followed_to_its_end(desk: Project) -> None:
    desk.hooks("/long: {script: long.sh, auth: none, max_output: 1KB, respond: accepted}\n")
    desk.script("long.sh", "seq 1 30; until [ -e go ]; do sleep 0.02; done; seq 1000 3000")
    with desk.serve(ADMIN_TOKEN=TOKEN) as server:
        run = server.post_json("/long", {}).headers["Hook-Run"]
        with Following(desk, "logs", run, "--follow") as following:
            following.wait_for(lambda lines: any("| 30\n" in each for each in lines), "its head")
            (desk.folder / "go").touch()
            following.wait_for(lambda lines: ends(lines) == 1, "its end")
    text = "".join(following.lines)
    assert re.search(r"bytes left out", text)
    assert "| 2999\n" in text
    assert text.rstrip().endswith("exit 0")
    assert text.count("| 30\n") == 1


def test_ctrl_c_ends_many_at_once_and_sums_up_what_was_sent(desk: Project) -> None:
    with desk.serve(ADMIN_TOKEN=TOKEN, SECRET="the secret") as server:
        words = ("send", "/open", "--data", "{}", "--repeat", "100000", "--rate", "50")
        with Following(desk, *words) as sending:
            wait_until(lambda: sum("accepted" in each for each in server.lines) > 5, "some")
            assert sending.interrupt() == 130
        accepted = sum("accepted" in each for each in server.lines)
    summed = re.match(r"(\d+) sent in ", "".join(sending.lines))
    assert summed
    assert 1 <= int(summed[1]) <= accepted < 1000


def test_many_of_which_some_are_refused_fail(desk: Project) -> None:
    desk.hooks("/paced: {script: a.sh, auth: none, rate: 2/h}\n")
    with desk.serve(ADMIN_TOKEN=TOKEN):
        done = asked(desk, "send", "/paced", "--data", "{}", "--repeat", "5")
    assert done.returncode == 1
    assert "answers   2 × 200, 3 × 429\n" in done.stdout
    numbers = re.search(r"p50 ([\d.]+), p90 ([\d.]+), p99 ([\d.]+), max ([\d.]+)", done.stdout)
    assert numbers
    assert [*map(float, numbers.groups())] == sorted(map(float, numbers.groups()))


def test_a_rate_may_be_a_fraction_and_goes_with_repeat(desk: Project) -> None:
    alone = asked(desk, "send", "/open", "--data", "{}", "--rate", "5")
    assert (alone.returncode, alone.stdout) == (1, "")
    assert "--repeat" in alone.stderr
    with desk.serve(ADMIN_TOKEN=TOKEN, SECRET="the secret"):
        done = asked(desk, "send", "/open", "--data", "{}", "--repeat", "2", "--rate", "2.5")
    took = re.search(r"2 sent in ([\d.]+) s", done.stdout)
    assert took
    assert float(took[1]) >= 0.4, "the second came before its time"


def test_doing_all_that_failed_again_goes_on_after_one_that_cannot(desk: Project) -> None:
    desk.hooks("/a: {script: bad.sh, auth: none}\n/b: {script: bad.sh, auth: none}\n")
    desk.script("bad.sh", "exit 3")
    with desk.serve(ADMIN_TOKEN=TOKEN) as server:
        runs = [server.post_json(path, {}).headers["Hook-Run"] for path in ("/a", "/b", "/a")]
    desk.hooks("/a: {script: bad.sh, auth: none}\n")
    with desk.serve(ADMIN_TOKEN=TOKEN):
        done = asked(desk, "replay", "--failed")
    assert done.returncode == 1
    assert [line.split()[0] for line in done.stdout.splitlines()] == [runs[0], runs[2]]
    [told] = done.stderr.splitlines()
    assert told.startswith(f"{runs[1]} is not done again: ")
    assert told.endswith("its path, /b, is not in hooks.yaml any more")


def test_a_lone_surrogate_in_a_payload_is_shown_escaped(desk: Project, tmp_path: Path) -> None:
    with desk.serve(ADMIN_TOKEN=TOKEN, SECRET="the secret") as server:
        kind = {"Content-Type": "application/json"}
        run = server.request("POST", "/open", b'{"a": "\\ud800"}', kind).headers["Hook-Run"]
        for where in ([], ["--url", f"http://127.0.0.1:{server.port}"]):
            done = asked(desk, "show", run, *where)
            assert (done.returncode, done.stderr) == (0, "")
            assert "\\ud800" in done.stdout
