"""The log, read at the other end of a pipe: one safe line an event, and nobody waits for it."""

from __future__ import annotations

import json
import os
import random
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from hookrunner.log import FORMATS, HELD, PIECE, Format, Log, pieces, printable
from hookrunner.mask import Masker

RUN = "k3xq2a7m5n4p6r8s9t0u"
HOOK = "/deploy"
HEROKU = 10_000
PATIENCE = 30.0


class Reader:
    """Reads a descriptor to its end, in a thread of its own."""

    def __init__(self, fd: int) -> None:
        self.found = b""
        self.thread = threading.Thread(target=self._read, args=[fd])
        self.thread.start()

    def _read(self, fd: int) -> None:
        with os.fdopen(fd, "rb") as stream:
            self.found = stream.read()

    def lines(self) -> list[str]:
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        assert self.found.endswith(b"\n") or not self.found
        return self.found.decode().split("\n")[:-1]


def logged(
    talk: Callable[[Log], None],
    form: Format = "text",
    secrets: Sequence[str] = (),
    *,
    stamped: bool = False,
) -> list[str]:
    """The lines that the log has after somebody talked to it."""
    read, write = os.pipe()
    reader = Reader(read)
    try:
        log = Log(write, form, stamped=stamped)
        log.know(secrets)
        talk(log)
        log.close(PATIENCE)
    finally:
        os.close(write)
    return reader.lines()


def scripted(
    *feeds: bytes, form: Format = "text", secrets: Sequence[str] = (), hook: str = HOOK
) -> list[str]:
    """The lines that the log has after a script wrote this to its stdout."""

    def talk(log: Log) -> None:
        script = log.script(RUN, hook)
        for data in feeds:
            script.feed("out", data)
        script.end()

    return logged(talk, form, secrets)


def said(lines: list[str]) -> list[str]:
    """The script's words in text lines."""
    head = f"{RUN} {HOOK} | "
    assert all(line.startswith(head) for line in lines)
    return [line.removeprefix(head) for line in lines]


def joined(lines: list[str]) -> str:
    """One script line again, from the pieces that it was logged in."""
    parts = said(lines)
    assert all(part.endswith("…") for part in parts[:-1])
    assert all(part.startswith("…") for part in parts[1:])
    assert not parts[0].startswith("…")
    assert not parts[-1].endswith("…")
    return "".join(part.strip("…") for part in parts)


# --- the three forms


def test_an_event_is_a_line_of_text() -> None:
    def talk(log: Log) -> None:
        log.info("accepted", run=RUN)
        log.warning("slow")
        log.error("broken")

    assert logged(talk) == ["accepted", "warning: slow", "error: broken"]


def test_an_event_is_a_line_of_json() -> None:
    def talk(log: Log) -> None:
        log.info("accepted", run=RUN, seconds=0.25, dropped=3, hook="/é", told='a "b"\n')
        log.error("broken")

    first, second = (json.loads(line) for line in logged(talk, "json"))
    assert first == {
        "level": "info",
        "message": "accepted",
        "run": RUN,
        "seconds": 0.25,
        "dropped": 3,
        "hook": "/é",
        "told": 'a "b"\\n',
    }
    assert second == {"level": "error", "message": "broken"}


def test_an_event_is_a_line_of_logfmt() -> None:
    def talk(log: Log) -> None:
        log.info("run accepted", run=RUN, seconds=0.25, told='a="b"\\', empty="")

    assert logged(talk, "logfmt") == [
        f'at=info message="run accepted" run={RUN} seconds=0.25 told="a=\\"b\\"\\\\" empty=""'
    ]


STAMP = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z"


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        ("text", rf"{STAMP} hello"),
        ("logfmt", rf"at=info time={STAMP} message=hello"),
        ("json", rf'\{{"time": "{STAMP}", "level": "info", "message": "hello"\}}'),
    ],
)
def test_a_line_has_its_time_where_nobody_else_adds_it(form: Format, pattern: str) -> None:
    [line] = logged(lambda log: log.info("hello"), form, stamped=True)
    assert re.fullmatch(pattern, line)


def test_script_lines_name_hook_and_run_and_tell_stdout_from_stderr() -> None:
    def talk(log: Log) -> None:
        script = log.script(RUN, HOOK)
        script.feed("out", b"one\ntwo\n")
        script.feed("err", b"three\n")

    assert logged(talk) == [
        f"{RUN} /deploy | one",
        f"{RUN} /deploy | two",
        f"{RUN} /deploy ! three",
    ]
    assert logged(talk, "logfmt")[2] == (f"at=info message=three run={RUN} hook=/deploy stream=err")
    assert json.loads(logged(talk, "json")[0]) == {
        "level": "info",
        "message": "one",
        "run": RUN,
        "hook": "/deploy",
        "stream": "out",
    }


# --- lines of a script


def test_a_line_is_logged_when_it_ends_in_whatever_portions_it_comes() -> None:
    text = "Zoë\n\n日本 🎉\nend".encode()
    expected = ["Zoë", "", "日本 🎉", "end"]
    assert said(scripted(text)) == expected
    assert said(scripted(*(text[n : n + 1] for n in range(len(text))))) == expected


def test_an_unterminated_last_line_is_logged_when_the_script_ends() -> None:
    assert said(scripted(b"one\ntw", b"o")) == ["one", "two"]


def test_a_line_that_is_not_ended_yet_is_not_logged() -> None:
    def talk(log: Log) -> None:
        log.script(RUN, HOOK).feed("out", b"one\ntwo")

    assert said(logged(talk)) == ["one"]


def test_a_script_that_says_nothing_makes_no_line() -> None:
    assert scripted(b"") == []
    assert scripted() == []


def test_stdout_and_stderr_are_cut_into_lines_each_for_itself() -> None:
    def talk(log: Log) -> None:
        script = log.script(RUN, HOOK)
        script.feed("out", b"on")
        script.feed("err", b"tw")
        script.feed("out", b"e\n")
        script.feed("err", b"o\n")
        script.feed("err", b"last")
        script.feed("out", b"last")
        script.end()
        script.end()

    assert [line.removeprefix(f"{RUN} {HOOK} ") for line in logged(talk)] == [
        "| one",
        "! two",
        "| last",
        "! last",
    ]


def test_a_line_end_of_windows_leaves_no_mark() -> None:
    assert said(scripted(b"one\r\ntwo\r\n")) == ["one", "two"]


# --- how long a line may be

BULK: dict[str, bytes] = {
    "letters": b"x" * 150_000,
    "quotes": b'"' * 150_000,
    "backslashes": b"\\" * 150_000,
    "tabs": b"\t" * 150_000,
    "NULs": b"\x00" * 150_000,
    "escapes": b"\x1b" * 150_000,
    "colours": b"\x1b[m" * 50_000,
    "long colours": b"\x1b[38;5;196m" * 15_000,
    "two bytes": "é".encode() * 75_000,
    "three bytes": b"x" + "日".encode() * 50_000,
    "four bytes": "🎉".encode() * 40_000,
    "half characters": b"\xf0\x9f\x8e" * 50_000,
    "line separators": "\u2028".encode() * 50_000,
    "binary": random.Random(7).randbytes(150_000),
    "binary without line ends": random.Random(7).randbytes(150_000).replace(b"\n", b""),
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", BULK)
@pytest.mark.parametrize("portion", [150_000, 4096])
def test_no_line_of_a_script_is_longer_than_heroku_takes(
    form: Format, name: str, portion: int
) -> None:
    data = BULK[name]
    feeds = [data[start : start + portion] for start in range(0, len(data), portion)]
    lines = scripted(*feeds, form=form, hook="/" + "h" * 100)
    assert max(len(line.encode()) for line in lines) < HEROKU


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", BULK)
def test_no_line_of_an_event_is_longer_either(form: Format, name: str) -> None:
    text = BULK[name][:20_000].decode("utf-8", "surrogateescape")
    [line] = logged(lambda log: log.error(text, run=text, hook=text, told=text), form, stamped=True)
    assert len(line.encode()) < HEROKU


@pytest.mark.parametrize("size", [0, 1, PIECE["text"] - 1, PIECE["text"]])
def test_a_line_that_fits_is_one_line(size: int) -> None:
    assert said(scripted(b"x" * size + b"\n")) == ["x" * size]


@pytest.mark.parametrize("size", [PIECE["text"] + 1, HELD - 1, HELD, HELD + 1, 300_000])
@pytest.mark.parametrize("portion", [1_000_000, 60_000, 1000])
def test_a_longer_line_is_split_and_marked_and_nothing_is_lost(size: int, portion: int) -> None:
    text = "".join(f"{n}," for n in range(size))[:size]
    data = text.encode() + b"\nnext\n"
    lines = scripted(*(data[start : start + portion] for start in range(0, len(data), portion)))
    assert said(lines)[-1] == "next"
    assert joined(lines[:-1]) == text


@pytest.mark.parametrize("character", ["é", "日", "🎉"])
@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("portion", [1_000_000, 4097])
def test_a_long_line_is_never_split_inside_a_character(
    character: str, shift: int, portion: int
) -> None:
    text = "x" * shift + character * 60_000
    data = text.encode()
    lines = scripted(*(data[start : start + portion] for start in range(0, len(data), portion)))
    assert joined(lines) == text


@pytest.mark.parametrize("text", ["", "x", "é" * 10, "🎉" * 5, "xé日🎉" * 4])
@pytest.mark.parametrize("limit", [4, 5, 6, 7, 1000])
def test_pieces_are_the_text_again_and_none_is_too_long(text: str, limit: int) -> None:
    parts = pieces(text, limit)
    assert parts
    assert "".join(parts) == text
    assert all(len(part.encode()) <= limit for part in parts)


# --- secrets


@pytest.mark.parametrize("form", FORMATS)
def test_a_secret_is_masked_in_events_and_their_fields(form: Format) -> None:
    def talk(log: Log) -> None:
        log.info("the token hunter2 is wrong", told="hunter2", error=ValueError("hunter2"))
        log.warning("hunter2")
        log.error("hunter2hunter2")

    text = "\n".join(logged(talk, form, ["hunter2"]))
    assert "hunter2" not in text
    assert "the token **** is wrong" in text
    assert "********" in text


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "secret",
    ["hunter2", "Zoë 日本", "$a.*+?[](){}|^\\", " spaced ", "\udcff!"],
)
def test_a_secret_is_masked_in_what_a_script_writes(form: Format, secret: str) -> None:
    raw = secret.encode("utf-8", "surrogateescape")
    lines = scripted(b"it is " + raw + b".\n", form=form, secrets=[secret])
    assert len(lines) == 1
    assert "it is ****." in lines[0]


def test_a_secret_is_masked_in_both_streams() -> None:
    def talk(log: Log) -> None:
        script = log.script(RUN, HOOK)
        script.feed("out", b"hunter2\n")
        script.feed("err", b"hunter2\n")

    assert [line[-4:] for line in logged(talk, secrets=["hunter2"])] == ["****", "****"]


def test_a_secret_is_masked_in_whatever_portions_it_is_written() -> None:
    for cut in range(1, len(b"say hunter2 now")):
        text = b"say hunter2 now"
        assert said(scripted(text[:cut], text[cut:], secrets=["hunter2"])) == ["say **** now"]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("portion", [1_000_000, 8192])
def test_a_secret_that_lies_across_a_cut_is_masked(form: Format, portion: int) -> None:
    secret = "s3cret-" + "0123456789" * 3
    for cut in (PIECE[form], HELD):
        for shift in range(0, len(secret) + 2, 6):
            data = b"x" * (cut - shift) + secret.encode() + b"y" * HELD
            feeds = [data[start : start + portion] for start in range(0, len(data), portion)]
            text = "".join(scripted(*feeds, form=form, secrets=[secret]))
            assert "cret-" not in text
            assert "456789" not in text


@pytest.mark.parametrize("after", range(0, 40, 3))
def test_a_secret_near_the_end_of_what_is_held_is_masked(after: int) -> None:
    secret = "s3cret-" + "0123456789" * 3
    data = b"x" * HELD + secret.encode() + b"y" * after
    text = "".join(scripted(data, b"z\n", secrets=[secret]))
    assert not re.search("s3|cret|[0-9]{5}", text.replace(RUN, ""))


@pytest.mark.parametrize("secret", ["hunter2-and-more", "hunter2\nand-more"])
def test_a_secret_that_contains_another_is_masked_whole(secret: str) -> None:
    whole = secret.replace("\n", "")
    lines = scripted(f"{whole}\n".encode(), secrets=["hunter2", whole, "and-more"])
    assert said(lines) == ["****"]


def test_so_it_is_when_the_cut_comes_after_the_shorter_one() -> None:
    secrets = ["hunter2", "hunter2-and-more"]
    lines = scripted(b"x" * HELD + b"hunter2", b"-and-more\n", secrets=secrets)
    assert "and-more" not in "".join(lines)


KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----\n"


def test_a_secret_of_several_lines_is_masked_line_by_line() -> None:
    lines = scripted(b"the key is\n" + KEY.encode(), secrets=[KEY])
    assert said(lines) == ["the key is", "****", "****", "****", "****"]


def test_a_secret_of_several_lines_is_masked_in_an_event() -> None:
    [line] = logged(lambda log: log.error(f"bad key {KEY}"), secrets=[KEY])
    assert line == "error: bad key ****"


def test_a_brace_that_is_a_line_of_a_secret_does_not_mask_every_brace() -> None:
    secret = '{\n  "private_key": "MIIEvQIBADANBgkq"\n}'
    assert said(scripted(b'{"a": 1}\n', secrets=[secret])) == ['{"a": 1}']


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("secret", ['qu"ote', "back\\slash", "tab\there", "Zoë", 'Zo"ë', KEY])
def test_a_secret_is_masked_as_json_writes_it(secret: str, ascii_only: bool) -> None:
    text = json.dumps({"key": secret}, ensure_ascii=ascii_only)
    assert said(scripted(text.encode(), secrets=[secret])) == ['{"key": "****"}']


@pytest.mark.parametrize("secrets", [[], [""], [" \n "]])
def test_an_empty_secret_masks_nothing(secrets: list[str]) -> None:
    assert said(scripted(b"a b\n", secrets=secrets)) == ["a b"]
    assert Masker(secrets)(b"a b") == b"a b"


def test_secrets_that_are_learnt_later_are_masked_from_then_on() -> None:
    def talk(log: Log) -> None:
        script = log.script(RUN, HOOK)
        script.feed("out", b"one\n")
        log.know(["two"])
        script.feed("out", b"two\n")

    assert said(logged(talk, secrets=["one"])) == ["****", "****"]


# --- what a terminal would obey


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"a\x00b", "a\\x00b"),
        (b"\x07\x08", "\\x07\\x08"),
        (b"a\rb", "a\\rb"),
        (b"\x1b[2J", "\\x1b[2J"),
        (b"\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        (b"\x1b[31", "\\x1b[31"),
        (b"\x1b[31;1H", "\\x1b[31;1H"),
        (b"\x1b[" + b"1;" * 50 + b"m", "\\x1b[" + "1;" * 50 + "m"),
        (b"\x7f", "\\x7f"),
        ("\x85\x9b31m".encode(), "\\x85\\x9b31m"),
        ("a\u2028b\u2029c".encode(), "a\\u2028b\\u2029c"),
        (b"\xff\xfe", "\\xff\\xfe"),
        (b"\xc3", "\\xc3"),
        (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),
        (b"\x0b\x0c", "\\x0b\\x0c"),
    ],
    ids=repr,
)
def test_control_characters_and_bytes_that_are_no_text_are_made_visible(
    data: bytes, shown: str
) -> None:
    assert printable(data) == shown
    assert said(scripted(data + b".\n")) == [shown + "."]


@pytest.mark.parametrize(
    "text", ["\x1b[31mred\x1b[0m", "\x1b[m", "\x1b[38;5;196mx", "a\tb", "Zoë 日本 🎉", "\\x1b", ""]
)
def test_colours_tabs_and_plain_text_are_left_alone(text: str) -> None:
    assert printable(text.encode()) == text
    assert said(scripted(text.encode() + b"\n")) == [text]


@pytest.mark.parametrize("form", FORMATS)
def test_no_stranger_s_text_makes_a_line_of_its_own(form: Format) -> None:
    forged = "/x\nerror: forged\r\x1b[2K\u2028"
    lines = logged(lambda log: log.info(f"refused {forged}", told=forged, path=forged), form)
    assert len(lines) == 1
    assert not set("\r\u2028") & set(lines[0])
    assert "\x1b[2K" not in lines[0]


def test_half_a_surrogate_pair_is_shown_as_an_escape() -> None:
    [line] = logged(lambda log: log.info("a \ud800 b", told="\ud800"))
    assert line == "a \\ud800 b"


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", BULK)
def test_whatever_a_script_writes_each_line_can_be_read_by_a_drain(form: Format, name: str) -> None:
    for line in scripted(BULK[name], b"\n", form=form):
        assert not re.search(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u2028\u2029]", line)
        if form == "json":
            record: dict[str, Any] = json.loads(line)
            assert record["run"] == RUN


# --- a reader that does not keep up


@contextmanager
def blocked(room: int) -> Iterator[tuple[Log, Callable[[], list[str]]]]:
    """A log on a pipe that is full, and what makes its reader read: all that came, by lines."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    filler = 0
    try:
        while True:
            filler += os.write(write, b"-" * 4096)
    except BlockingIOError:
        os.set_blocking(write, True)
    log = Log(write, stamped=False, room=room)
    open_ends = [write]

    def lines() -> list[str]:
        reader = Reader(read)
        log.close(PATIENCE)
        os.close(open_ends.pop())
        first, *rest = reader.lines()
        assert first.startswith("-" * filler)
        return [first[filler:], *rest]

    try:
        yield log, lines
    finally:
        for (
            fd
        ) in open_ends:  # nobody read; the log's thread must let go before the number is reused
            os.close(read)
            log.close(PATIENCE)
            os.close(fd)


def fill(log: Log) -> int:
    """Write script lines until there is no more room; how many."""
    script = log.script(RUN, HOOK)
    count = 0
    while not log.full():
        script.feed("out", b"kept\n")
        count += 1
    return count


def test_script_lines_beyond_the_room_are_dropped_and_counted_once_it_reads() -> None:
    with blocked(room=2000) as (log, lines):
        kept = fill(log)
        log.script(RUN, HOOK).feed("out", b"lost\n" * 7)
        log.script(RUN, HOOK).feed("err", b"lost\n" * 3)
        assert log.dropped == 10
        *rest, last = lines()
    assert said(rest) == ["kept"] * kept
    assert last == ("warning: 10 lines of script output were left out: stdout does not keep up")


def test_event_lines_are_never_dropped() -> None:
    with blocked(room=2000) as (log, lines):
        kept = fill(log)
        for number in range(5000):
            log.info(f"event {number}")
        found = lines()
    assert said(found[:kept]) == ["kept"] * kept
    assert found[kept:] == [f"event {number}" for number in range(5000)]


def test_an_unterminated_line_and_a_long_one_are_dropped_and_counted_too() -> None:
    with blocked(room=2000) as (log, lines):
        fill(log)
        script = log.script(RUN, HOOK)
        script.feed("out", b"x" * (HELD + 1))
        script.feed("err", b"lost")
        script.end()
        assert log.dropped >= 2
        assert not [line for line in lines() if "lost" in line or "xxx" in line]


def test_what_is_written_takes_no_room_any_more() -> None:
    read, write = os.pipe()
    try:
        log = Log(write, stamped=False, room=0)
        with os.fdopen(read, "rb") as stream:
            log.script(RUN, HOOK).feed("out", b"one\n")
            assert stream.readline().endswith(b"| one\n")
            log.close(PATIENCE)  # so that the first line counts as written
            assert not log.full()
    finally:
        os.close(write)


# --- its end


def test_closing_writes_everything_that_waits() -> None:
    count = 20_000

    def talk(log: Log) -> None:
        for number in range(count):
            log.info(str(number))

    lines = logged(talk)
    assert lines == [str(n) for n in range(count)]


def test_closing_gives_up_on_a_reader_that_never_reads() -> None:
    with blocked(room=2000) as (log, _):
        log.info("never seen")
        log.close(0.0)


def test_closing_twice_does_no_harm() -> None:
    def talk(log: Log) -> None:
        log.info("one")
        log.close(PATIENCE)

    assert logged(talk) == ["one"]


def test_a_log_that_nobody_reads_any_more_stops_nobody() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        log = Log(write)
        for _ in range(100):
            log.info("x" * 1000)
        log.close(PATIENCE)
        assert not log.full()
    finally:
        os.close(write)


def test_a_descriptor_that_does_not_block_gets_every_byte() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    log = Log(write, stamped=False)
    for n in range(500):
        log.info(f"{n} " + "x" * 1000)
    reader = Reader(read)
    log.close(PATIENCE)
    os.close(write)
    assert [line.split()[0] for line in reader.lines()] == [str(n) for n in range(500)]


def test_lines_of_many_threads_are_whole_and_each_thread_s_are_in_order() -> None:
    def talk(log: Log) -> None:
        def chat(name: str) -> None:
            for n in range(200):
                log.info(f"{name} {n} " + "x" * 100)

        threads = [threading.Thread(target=chat, args=[name]) for name in "abcdefgh"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    lines = [line.split() for line in logged(talk)]
    for name in "abcdefgh":
        assert [n for who, n, _ in lines if who == name] == [str(n) for n in range(200)]
