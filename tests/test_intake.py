"""A delivery's way into the journal: what is asked first, what is kept, and what makes no run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from hookrunner.config import load
from hookrunner.intake import Accepted, Ignored, Intake
from hookrunner.journal.sqlite import SqliteJournal
from hookrunner.log import Log
from hookrunner.model import Delivery, JournalUnavailable, Misfit, NewRun, Refused, Terms
from hookrunner.template import LONGEST
from hookrunner.worker import known
from tests.signing import recipe_of, sign
from tests.waiting import accept

LEASE = 90.0

ENVIRON = {"PATH": os.environ["PATH"], "SECRET": "s3cret", "TOKEN": "t0ken", "PASSWORD": "pa55"}
JSON = {"content-type": "application/json"}

HOOKS = """
/open:
  script: run.sh
  auth: none
  methods: [GET, POST]
/signed:
  script: run.sh
  auth: {github: $SECRET}
  schema: {type: object, required: [ref]}
/choosy:
  script: run.sh
  auth: {github: $SECRET}
  when: {properties: {payload: {properties: {kind: {const: push}}}}}
  schema: {type: object, required: [ref]}
/header:
  script: run.sh
  auth: {token: {header: X-Token, value: $TOKEN}}
/query:
  script: run.sh
  auth: {token: {query: key, value: $TOKEN}}
  methods: [GET, POST]
  schema: {properties: {a: {}, ref: {}}, additionalProperties: false}
/any:
  script: run.sh
  auth: [{bearer: $TOKEN}, {basic: {user: me, password: $PASSWORD}}, {github: $SECRET}]
/small:
  script: run.sh
  auth: {bearer: $TOKEN}
  max_body: 10B
/off:
  script: run.sh
  auth: {bearer: $UNSET}
/deploy/<env>:
  script: run.sh
  auth: none
  args: ["{payload:/ref}", "{path:env}", "{query:q}"]
  env: {REF: "{payload:/ref}", AGENT: "{header:User-Agent}"}
"""


class Desk:
    """An intake with a real journal and log, and what came of a delivery."""

    def __init__(self, folder: Path, fd: int) -> None:
        (folder / "scripts").mkdir()
        (folder / "scripts/run.sh").write_text("true\n")
        (folder / "hooks.yaml").write_text(HOOKS)
        self.config = load(folder / "hooks.yaml", ENVIRON)
        self.journal = SqliteJournal(folder)
        self.log = Log(fd, stamped=False)
        self.log.know(self.config.secrets)
        self.intake = Intake(self.config, self.journal, self.log)

    def recorded(self) -> NewRun | None:
        """What the journal has of the oldest run that waits; None if there is none."""
        claim = self.journal.claim(known(self.config), LEASE)
        return claim.new if claim else None

    def kept(self, delivery: Delivery) -> NewRun:
        """What the journal has of a delivery that was accepted."""
        accepted = accept(self.intake, delivery)
        assert isinstance(accepted, Accepted)
        new = self.recorded()
        assert new is not None
        return new

    def refusal(self, delivery: Delivery) -> Refused:
        """Why a delivery was refused; it made no run."""
        with pytest.raises(Refused) as caught:
            accept(self.intake, delivery)
        assert self.recorded() is None
        return caught.value


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def desk(tmp_path: Path, pipe: tuple[int, int]) -> Iterator[Desk]:
    desk = Desk(tmp_path, pipe[1])
    yield desk
    desk.journal.close()
    desk.log.close()


def post(
    path: str,
    body: bytes = b'{"ref": "main"}',
    headers: Mapping[str, str] = JSON,
    query: str = "",
) -> Delivery:
    return Delivery("POST", path, query, headers, body, "192.0.2.1")


def signed(
    path: str, body: bytes = b'{"ref": "main"}', kind: str = JSON["content-type"]
) -> Delivery:
    recipe = recipe_of("github")
    signature = sign(recipe, b"s3cret", {}, body)
    return post(path, body, {"content-type": kind, recipe.signature: signature})


# --- accepted


def test_a_delivery_that_is_believed_and_fits_is_recorded_whole(desk: Desk) -> None:
    delivery = signed("/signed")
    headers = {**delivery.headers, "x-github-delivery": "id-1", "x-github-event": "push"}
    new = desk.kept(Delivery("POST", "/signed", "a=1&a=%20", headers, delivery.body, "192.0.2.7"))
    assert new == NewRun(
        hook="/signed",
        method="POST",
        path="/signed",
        params={},
        query="a=1&a=%20",
        headers={
            "content-type": "application/json",
            "x-github-delivery": "id-1",
            "x-github-event": "push",
        },
        content_type="application/json",
        body=b'{"ref": "main"}',
        remote_addr="192.0.2.7",
        delivery_id="id-1",
        event="push",
    )


def test_the_answer_names_the_run_that_was_recorded(desk: Desk) -> None:
    accepted = accept(desk.intake, post("/open"))
    assert isinstance(accepted, Accepted)
    claim = desk.journal.claim({"/open": Terms()}, LEASE)
    assert claim is not None
    assert claim.run_id == accepted.run_id
    assert accepted.hook is desk.config.hooks["/open"]


@pytest.mark.parametrize("body", [b"", b"\x00\xff\x00", b"7", b' {"a": 1.0}\r\n'])
def test_the_body_is_kept_byte_for_byte(desk: Desk, body: bytes) -> None:
    part = b'--X\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n%b\r\n--X--\r\n'
    kind = {"content-type": "multipart/form-data; boundary=X"}
    assert desk.kept(post("/open", part % body, kind)).body == part % body


def test_the_names_in_a_path_are_kept(desk: Desk) -> None:
    new = desk.kept(post("/deploy/staging"))
    assert (new.hook, new.path) == ("/deploy/<env>", "/deploy/staging")
    assert new.params == {"env": "staging"}


def test_accepting_is_one_line_of_the_log(desk: Desk, pipe: tuple[int, int]) -> None:
    accepted = accept(desk.intake, post("/open"))
    assert isinstance(accepted, Accepted)
    desk.log.close()
    line = f"{accepted.run_id} /open accepted from 192.0.2.1\n"
    assert os.read(pipe[0], 10_000).decode() == line


# --- the order of the questions

GARBAGE = b'{"ref": '


def test_garbage_from_a_stranger_is_a_401_and_not_a_400(desk: Desk) -> None:
    error = desk.refusal(post("/signed", GARBAGE))
    assert (error.status, error.told) == (401, "not authorised")


def test_the_same_garbage_is_a_400_once_it_is_signed(desk: Desk) -> None:
    assert desk.refusal(signed("/signed", GARBAGE)).status == 400


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"<a/>", {"content-type": "application/xml"}),
        (b"\xff", {"content-type": "multipart/form-data"}),
        (b"[" * 100_000, JSON),
        (b"{}", JSON),
        (b'{"a": 1}', {}),
        (b'{"a": 1}', {"content-type": "application/x-www-form-urlencoded"}),
    ],
    ids=["unknown kind", "multipart", "too deep", "does not fit", "no kind", "JSON as a form"],
)
def test_nothing_of_a_stranger_s_body_shows_in_the_answer(
    desk: Desk, body: bytes, headers: dict[str, str]
) -> None:
    error = desk.refusal(post("/signed", body, headers))
    assert (error.status, error.told, error.errors) == (401, "not authorised", ())


def test_a_stranger_does_not_learn_what_a_hook_is_interested_in(desk: Desk) -> None:
    assert desk.refusal(post("/choosy", b'{"kind": "ping"}')).status == 401


def test_what_is_of_no_interest_need_not_fit_the_schema(desk: Desk) -> None:
    ignored = accept(desk.intake, signed("/choosy", b'{"kind": "ping"}'))
    assert isinstance(ignored, Ignored)
    assert ignored.hook is desk.config.hooks["/choosy"]
    assert desk.recorded() is None


def test_what_is_of_interest_must_fit_it(desk: Desk) -> None:
    error = desk.refusal(signed("/choosy", b'{"kind": "push"}'))
    assert (error.status, error.told) == (422, "the payload does not fit")
    assert error.errors == (Misfit("", "'ref' is a required property", "required"),)
    assert error.why == "the payload does not fit the schema: (whole): required 'ref'"


def test_what_cannot_be_parsed_is_a_400_however_uninteresting(desk: Desk) -> None:
    assert desk.refusal(signed("/choosy", b'{"kind": "ping"')).status == 400


def test_a_body_that_is_too_large_is_refused_before_anybody_hashes_it(desk: Desk) -> None:
    error = desk.refusal(post("/small", b"x" * 11))
    assert (error.status, error.told) == (413, "the body is larger than 10B")


def test_a_body_of_just_the_size_is_taken(desk: Desk) -> None:
    headers = {**JSON, "authorization": "Bearer t0ken"}
    assert desk.kept(post("/small", b'"45678901"', headers)).body == b'"45678901"'


@pytest.mark.parametrize(
    ("path", "method", "status"), [("/nothing", "POST", 404), ("/signed", "GET", 405)]
)
def test_what_does_not_exist_is_said_before_who_may_use_it(
    desk: Desk, path: str, method: str, status: int
) -> None:
    assert desk.refusal(Delivery(method, path, "", {}, b"", "192.0.2.1")).status == status


def test_another_method_is_told_which_are_taken(desk: Desk) -> None:
    error = desk.refusal(Delivery("PUT", "/open", "", {}, b"", "192.0.2.1"))
    assert (error.status, error.told) == (405, "use GET, POST")
    assert error.headers == {"Allow": "GET, POST"}


@pytest.mark.parametrize("path", ["/deploy/a\nb", "/deploy/\x00", "/deploy/\x7f", "/op\x1ben"])
def test_a_path_with_a_control_character_is_a_400(desk: Desk, path: str) -> None:
    error = desk.refusal(post(path))
    assert (error.status, error.told) == (400, "the path holds a control character")


# --- switched off, stopping, unavailable


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer "}, {"authorization": "Bearer"}])
def test_a_hook_whose_secret_is_not_set_is_switched_off(
    desk: Desk, headers: dict[str, str]
) -> None:
    error = desk.refusal(post("/off", headers=headers))
    assert (error.status, error.told) == (503, "this hook is switched off")
    assert error.why == "switched off: UNSET not set, or not usable"
    assert error.headers == {"Retry-After": "60"}


def test_a_server_that_stops_takes_nothing_more(desk: Desk) -> None:
    desk.intake.stopping = True
    error = desk.refusal(signed("/signed"))
    assert (error.status, error.told) == (503, "stopping; try again soon")
    assert error.headers == {"Retry-After": "10"}
    assert desk.refusal(post("/signed", GARBAGE)).status == 503


def test_a_journal_that_cannot_record_is_a_503_and_no_2xx(desk: Desk) -> None:
    desk.journal.close()
    with pytest.raises(JournalUnavailable):
        desk.journal.record(a_run(), Terms())
    with pytest.raises(Refused) as caught:
        accept(desk.intake, post("/open"))
    assert (caught.value.status, caught.value.told) == (503, "not recorded; try again soon")
    assert caught.value.why.startswith("the journal is unavailable: ")
    assert caught.value.headers == {"Retry-After": "10"}


def a_run() -> NewRun:
    return NewRun("/open", "POST", "/open", {}, "", {}, "", b"", "192.0.2.1")


# --- credentials


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/header", {"x-token": "t0ken"}),
        ("/any", {"authorization": "Bearer t0ken"}),
        ("/any", {"authorization": "Basic bWU6cGE1NQ=="}),
        ("/open", {"authorization": "Bearer t0ken", "cookie": "session=1"}),
        ("/open", {"proxy-authorization": "Basic bWU6cGE1NQ=="}),
    ],
)
def test_headers_with_credentials_do_not_reach_the_journal(
    desk: Desk, path: str, headers: dict[str, str]
) -> None:
    new = desk.kept(post(path, headers={**JSON, "user-agent": "curl", **headers}))
    assert new.headers == {**JSON, "user-agent": "curl"}


def test_a_signature_does_not_reach_the_journal_whichever_scheme_believed(desk: Desk) -> None:
    headers = {**signed("/any").headers, "authorization": "Bearer t0ken"}
    assert desk.kept(post("/any", headers=headers)).headers == JSON


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("key=t0ken", ""),
        ("a=1&key=t0ken&b=", "a=1&b="),
        ("%6Bey=t0ken&a=1", "a=1"),
        ("a=x+y%26z&key=t0ken", "a=x+y%26z"),
        ("key=&key=t0ken", ""),
    ],
)
def test_a_token_in_the_query_does_not_reach_the_journal(desk: Desk, query: str, kept: str) -> None:
    assert desk.kept(post("/query", query=query)).query == kept


def test_a_query_that_is_not_utf_8_is_a_400_once_its_token_is_believed(desk: Desk) -> None:
    assert desk.refusal(post("/query", query="key=no&a=%FF")).status == 401
    error = desk.refusal(post("/query", query="key=t0ken&a=%FF"))
    assert (error.status, error.told) == (400, "the query is not UTF-8 once percent-decoded")


def test_a_token_in_the_query_is_no_part_of_a_get_s_payload(desk: Desk) -> None:
    new = desk.kept(Delivery("GET", "/query", "key=t0ken&a=1", {}, b"", "192.0.2.1"))
    assert new.query == "a=1"
    error = desk.refusal(Delivery("GET", "/query", "key=t0ken&b=1", {}, b"", "192.0.2.1"))
    assert [misfit.detail for misfit in error.errors] == [
        "Additional properties are not allowed ('b' was unexpected)"
    ]


def test_a_field_of_that_name_is_kept_where_it_is_no_credential(desk: Desk) -> None:
    assert desk.kept(post("/open", query="key=t0ken")).query == "key=t0ken"


def test_no_credential_shows_in_the_log(desk: Desk, pipe: tuple[int, int]) -> None:
    accept(desk.intake, post("/query", query="key=t0ken"))
    accept(desk.intake, post("/header", headers={**JSON, "x-token": "t0ken"}))
    desk.log.close()
    assert b"t0ken" not in os.read(pipe[0], 10_000)


# --- texts that no operating system would hand to a script


@pytest.mark.parametrize(
    ("delivery", "details"),
    [
        (
            post("/deploy/x", b'{"ref": "a\\u0000b"}'),
            ["args 1 would hold a NUL character", "env REF would hold a NUL character"],
        ),
        (post("/deploy/x", query="q=a%00"), ["args 3 would hold a NUL character"]),
        (
            post("/deploy/x", headers={**JSON, "user-agent": "x" * LONGEST}),
            ["env AGENT would be longer than 128KB"],
        ),
        (
            post("/deploy/x", json.dumps({"ref": "x" * LONGEST}).encode()),
            ["args 1 would be longer than 128KB", "env REF would be longer than 128KB"],
        ),
        (
            post("/deploy/x", json.dumps({"ref": "é" * (LONGEST // 2)}).encode()),
            ["args 1 would be longer than 128KB", "env REF would be longer than 128KB"],
        ),
        (
            post("/deploy/x", json.dumps({"ref": list(range(40_000))}).encode()),
            ["args 1 would be longer than 128KB", "env REF would be longer than 128KB"],
        ),
    ],
    ids=["NUL in the payload", "NUL in the query", "header", "text", "two bytes each", "a list"],
)
def test_a_text_that_could_not_be_handed_over_is_a_422(
    desk: Desk, delivery: Delivery, details: list[str]
) -> None:
    error = desk.refusal(delivery)
    assert (error.status, error.told) == (422, "the payload does not fit")
    assert [misfit.detail for misfit in error.errors] == details


def test_the_log_does_not_blame_the_schema_for_it(desk: Desk) -> None:
    error = desk.refusal(post("/deploy/x", b'{"ref": "a\\u0000b"}'))
    assert "schema" not in error.why
    assert "REF" in error.why


def test_a_long_text_that_still_fits_is_taken(desk: Desk) -> None:
    body = json.dumps({"ref": "x" * (LONGEST - 20)}).encode()
    assert desk.kept(post("/deploy/x", body)).body == body


@pytest.mark.parametrize("ref", ['"\\ud800"', "null", "{}", "1e300"])
def test_any_other_value_in_a_template_is_taken(desk: Desk, ref: str) -> None:
    body = f'{{"ref": {ref}}}'.encode()
    assert desk.kept(post("/deploy/x", body)).body == body


# --- refused deliveries make no run


@pytest.mark.parametrize("body", [b'["private"]', b'{"note": "private"}', b'"private"'])
def test_why_a_payload_was_refused_is_logged_without_its_values(desk: Desk, body: bytes) -> None:
    error = desk.refusal(signed("/signed", body))
    assert error.status == 422
    assert "private" not in error.why


def test_after_many_refusals_the_next_good_delivery_is_the_first_run(desk: Desk) -> None:
    for body in (GARBAGE, b"", b"[]", b"7", b'{"ref": 1, "ref": 2}'):
        assert desk.refusal(signed("/signed", body)).status in (400, 422)
    assert desk.refusal(post("/nothing")).status == 404
    assert desk.refusal(signed("/signed", b"a=1", "text/csv")).status == 415
    accept(desk.intake, signed("/signed"))
    claim = desk.journal.claim(known(desk.config), LEASE)
    assert claim is not None
    assert claim.seq == 1


def test_a_reload_counts_from_the_next_delivery_on(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "hooks.yaml").write_text("/other: {script: run.sh, auth: none}\n")
    desk.intake.config = load(tmp_path / "hooks.yaml", ENVIRON)
    assert desk.refusal(post("/open")).status == 404
    assert isinstance(accept(desk.intake, post("/other")), Accepted)
