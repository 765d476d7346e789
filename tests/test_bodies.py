"""Bodies as senders really post them, and what the script then has on its standard input."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from tests.posts import FORM, JSON, SIGNERS
from tests.serving import Project, Response, Server

SECRET = SIGNERS["slack"].secret
KEY = SECRET.encode()

HOOKS = """
defaults: {respond: {mode: output, type: application/octet-stream}}
/github: {script: cat.sh, auth: {github: $SECRET}}
/gitea: {script: cat.sh, auth: {gitea: $SECRET}}
/forgejo: {script: cat.sh, auth: {forgejo: $SECRET}}
/slack: {script: cat.sh, auth: {slack: $SECRET}}
/shopify: {script: cat.sh, auth: {shopify: $SECRET}}
/meta: {script: cat.sh, auth: {meta: {secret: $SECRET, verify_token: $SECRET}}}
/zapier:
  script: cat.sh
  auth: {token: {header: X-Token, value: $SECRET}}
  schema: {type: array, maxItems: 1, items: {required: [email]}}
/ifttt: {script: cat.sh, auth: {token: {query: token, value: $SECRET}}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    project = Project(tmp_path_factory.mktemp("bodies")).script("cat.sh", "#!/bin/sh\nexec cat\n")
    with project.hooks(HOOKS).serve(SECRET=SECRET) as server:
        yield server


def hexed(message: bytes) -> str:
    return hmac.new(KEY, message, hashlib.sha256).hexdigest()


PUSH = json.dumps({"ref": "refs/heads/é & ü", "a": [1, 2.50]}, ensure_ascii=False).encode()


def test_github_s_form_is_signed_whole_and_its_json_is_the_payload(server: Server) -> None:
    body = b"payload=" + urlencode({"": PUSH})[1:].encode()
    proof = {"X-Hub-Signature-256": f"sha256={hexed(body)}"}
    answer = server.request("POST", "/github", body, {**FORM, **proof})
    assert (answer.status, answer.body) == (200, PUSH)
    # Gitea signs the JSON of its form; here that proves nothing.
    proof = {"X-Hub-Signature-256": f"sha256={hexed(PUSH)}"}
    assert server.request("POST", "/github", body, {**FORM, **proof}).status == 401


@pytest.mark.parametrize(
    ("path", "header"),
    [
        ("/gitea", "X-Gitea-Signature"),
        ("/forgejo", "X-Forgejo-Signature"),
        ("/forgejo", "X-Gitea-Signature"),
    ],
)
def test_gitea_s_form_is_signed_as_the_json_in_it(server: Server, path: str, header: str) -> None:
    body = urlencode({"payload": PUSH}).encode()
    as_form = {**FORM, header: hexed(PUSH), "X-Hub-Signature-256": f"sha256={hexed(PUSH)}"}
    as_json = {**JSON, header: hexed(PUSH)}
    assert server.request("POST", path, body, as_form).body == PUSH
    assert server.request("POST", path, PUSH, as_json).body == PUSH
    assert server.request("POST", path, body, {**FORM, header: hexed(body)}).status == 401


@pytest.mark.parametrize(
    "form",
    [
        [("payload", PUSH), ("admin", b"1")],
        [("admin", b"1"), ("payload", PUSH)],
        [("payload", PUSH), ("payload", PUSH)],
        [("payload", PUSH), ("payload", b'{"admin": 1}')],
        [("Payload", PUSH)],
        [("", PUSH)],
    ],
)
def test_a_form_with_more_than_what_gitea_signs_is_not_believed(
    server: Server, form: list[tuple[str, bytes]]
) -> None:
    headers = {**FORM, "X-Gitea-Signature": hexed(PUSH)}
    answer = server.request("POST", "/gitea", urlencode(form).encode(), headers)
    assert answer.status == 401


def as_slack(server: Server, body: bytes) -> Response:
    now = int(time.time())
    proof = SIGNERS["slack"].post(now, body).proof
    return server.request("POST", "/slack", body, {**FORM, **proof})


def test_a_slash_command_of_slack_s_is_a_form(server: Server) -> None:
    body = b"command=%2Fdeploy&text=to+caf%C3%A9&trigger_id=1.2&empty="
    assert as_slack(server, body).json == {
        "command": "/deploy",
        "text": "to café",
        "trigger_id": "1.2",
        "empty": "",
    }


def test_a_button_of_slack_s_is_json_in_a_form(server: Server) -> None:
    payload = {"type": "block_actions", "trigger_id": "3.4"}
    assert as_slack(server, urlencode({"payload": json.dumps(payload)}).encode()).json == payload


@pytest.mark.parametrize(
    "body",
    [
        b'{"price":"1.00", "n" :1.10,\r\n\t"\\u00e9":"\xc3\xa9","e":1E2}\r\n',
        b' {"a":1}\n\n',
        b'{"\\ud83d\\ude00": "\xf0\x9f\x98\x80"}',
    ],
)
def test_shopify_s_bytes_reach_the_script_as_they_are(server: Server, body: bytes) -> None:
    signature = b64encode(hmac.new(KEY, body, hashlib.sha256).digest()).decode()
    answer = server.request("POST", "/shopify", body, {**JSON, "X-Shopify-Hmac-Sha256": signature})
    assert (answer.status, answer.body) == (200, body)


def test_meta_signs_its_escaped_unicode_and_the_script_gets_it_so(server: Server) -> None:
    body = b'{"object":"page","text":"\\u00e4\\/\\u003C\\u0025\\u0040"}'
    proof = {"X-Hub-Signature-256": f"sha256={hexed(body)}"}
    answer = server.request("POST", "/meta", body, {**JSON, **proof})
    assert (answer.status, answer.body) == (200, body)
    plain = json.dumps(json.loads(body), ensure_ascii=False, separators=(",", ":")).encode()
    assert server.request("POST", "/meta", plain, {**JSON, **proof}).status == 401


def test_zapier_may_wrap_its_object_in_a_list(server: Server) -> None:
    headers = {**JSON, "X-Token": SECRET}
    body = b'[{"email": "a@example.com"}]'
    assert server.request("POST", "/zapier", body, headers).body == body
    unfit = server.request("POST", "/zapier", b"[{}]", headers)
    assert (unfit.status, unfit.json["errors"][0]["pointer"]) == (422, "/0")


def test_ifttt_s_broken_json_is_told_with_its_place(server: Server) -> None:
    query = urlencode({"token": SECRET})
    body = b'{"text": "two\nlines"}'
    answer = server.request("POST", f"/ifttt?{query}", body, JSON)
    assert answer.status == 400
    told = "the body is not JSON: Invalid control character at line 1 column 14"
    assert answer.json["detail"] == told
    form = server.request("POST", f"/ifttt?{query}", b"text=two%0Alines", FORM)
    assert form.json == {"text": "two\nlines"}
