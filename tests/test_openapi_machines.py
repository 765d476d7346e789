"""Machines that know the server by its own OpenAPI document alone: a tester, and a client."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import Project, Server, environment

TOKEN = "an-administrators-token"
POSTER = "a-senders-token"
ADMIN = {"Authorization": f"Bearer {TOKEN}"}
BIN = Path(sys.executable).parent
HOOKS = """
info: {title: A shop's hooks, version: "1.2", description: What a shop takes in.}
/hello:
  script: say.sh
  auth: none
  methods: [GET, POST]
  respond: output
  schema:
    type: object
    properties: {name: {type: string, maxLength: 20}, n: {type: integer, maximum: 99, minimum: 0}}
/orders:
  script: say.sh
  auth: {bearer: $POSTER}
  schema: order.json
/deploy/<target>:
  script: say.sh
  auth: {token: {header: X-Token, value: $POSTER}}
  respond: accepted
  schema: {type: object, required: [version], properties: {version: {type: string}}}
/slow:
  script: slow.sh
  auth: {bearer: $POSTER}
  respond: accepted
  concurrency: 1
  queue: 100000
/pushes:
  script: say.sh
  auth: {bearer: $POSTER}
  when: {properties: {headers: {required: [X-Event]}}}
"""
ORDER = {
    "type": "object",
    "required": ["id", "items"],
    "properties": {
        "id": {"type": "integer"},
        "to": {"$ref": "address.json"},
        "items": {"type": "array", "maxItems": 3, "items": {"$ref": "#/$defs/item"}},
    },
    "$defs": {
        "item": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string"},
                "parts": {"type": "array", "items": {"$ref": "#/$defs/item"}},
            },
        }
    },
}
ADDRESS = {"type": "object", "properties": {"country": {"enum": ["DE", "FR"]}}}

# What `/-/runs` and a run cannot be asked with at once no schema of OpenAPI can say.
SETTINGS = f"""
[auth.openapi]
ADMIN_TOKEN = {{ bearer = "{TOKEN}" }}
bearer = {{ bearer = "{POSTER}" }}
"token.X-Token" = {{ api_key = "{POSTER}" }}

[[operations]]
include-operation-id = ["list_runs", "get_run"]
checks.positive_data_acceptance.enabled = false
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    project = Project(tmp_path_factory.mktemp("machines") / "project").hooks(HOOKS)
    project.script("say.sh", "cat").script("slow.sh", "exec sleep 600")
    project.schema("order.json", ORDER).schema("address.json", ADDRESS)
    with project.serve(POSTER=POSTER, ADMIN_TOKEN=TOKEN) as server:
        yield server


@pytest.fixture(scope="module")
def document(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The server's description of itself, as a file."""
    file = tmp_path_factory.mktemp("document") / "openapi.json"
    file.write_bytes(server.get("/-/openapi.json", **ADMIN).body)
    return file


def tried(server: Server, document: Path, *options: str) -> str:
    """What schemathesis has to say of the server, in which it has found no fault."""
    (document.parent / "schemathesis.toml").write_text(SETTINGS)
    # ignored_auth guesses at tokens, and would be kept out for a minute: see test_access.
    ran = subprocess.run(
        [
            *(BIN / "st", "--no-color", "run", document.name),
            *("--url", f"http://127.0.0.1:{server.port}", "--exclude-checks", "ignored_auth"),
            *("--seed", "1", "--generation-database", "none", "--warnings", "off"),
            *("--continue-on-failure", *options),
        ],
        cwd=document.parent,
        env=environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_whatever_the_document_lets_be_asked_is_answered_as_it_says(
    server: Server, document: Path
) -> None:
    said = tried(server, document, "--phases", "coverage,fuzzing", "--max-examples", "4")

    assert "Tested: 21" in said


UNREAD = {
    400: "GET {} HTTP/1.1\r\nno-colon\r\n\r\n",
    413: "GET {} HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
    431: "GET {} HTTP/1.1\r\nX-Long: " + "x" * 40_000 + "\r\n\r\n",
    501: "GET {} HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
}


@pytest.mark.parametrize("status", UNREAD)
@pytest.mark.parametrize("path", ["/hello", "/-/health", "/-/hooks"])
def test_what_the_server_cannot_read_is_answered_as_the_document_says(
    server: Server, document: Path, path: str, status: int
) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
        connection.sendall(UNREAD[status].format(path).encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        said = json.loads(answer.read())

    whole = json.loads(document.read_text())
    [place] = whole["paths"][path]["get"]["responses"][str(status)].values()
    told = whole["components"]["responses"][place.rpartition("/")[2]]
    assert (answer.status, said["status"]) == (status, status)
    assert [*told["content"]] == [answer.headers["Content-Type"]]


def test_its_links_lead_from_a_delivery_to_its_run_its_replay_and_its_end(
    server: Server, document: Path
) -> None:
    before = len(server.lines)

    said = tried(server, document, "--phases", "stateful", "--max-examples", "12")

    assert "Stateful" in said
    logged = "\n".join(server.lines[before:])
    for told in (" accepted from ", " accepted from .* to do .* again", " cancelled; it was"):
        assert re.search(told, logged), told


CLIENT = """
import json, sys, time
from shop import AuthenticatedClient
from shop.api.hooks import post_orders
from shop.api.server import cancel_run, get_run, list_hooks, list_runs, replay_run
from shop.models import PayloadOrders, PayloadOrdersItem

address, poster, token = sys.argv[1:]
sender = AuthenticatedClient(base_url=address, token=poster)
admin = AuthenticatedClient(base_url=address, token=token)

order = PayloadOrders(id=7, items=[PayloadOrdersItem(name="tea")])
done = post_orders.sync(client=sender, body=order)
assert done.state.value == "succeeded", done

seen = get_run.sync(done.run, client=admin)
assert seen.hook == "/orders", seen
assert json.loads(seen.request.body.text) == order.to_dict(), seen.request

again = replay_run.sync(done.run, client=admin)
assert again.state.value == "queued" and again.run != done.run, again
while get_run.sync(again.run, client=admin).state.value not in ("succeeded", "failed"):
    time.sleep(0.02)
assert get_run.sync(again.run, client=admin).replaces == done.run
assert cancel_run.sync(again.run, client=admin).detail == "it has ended already"
assert list_runs.sync(client=admin, limit=1).runs[0].seq
assert [hook.path for hook in list_hooks.sync(client=admin).hooks][:2] == ["/hello", "/orders"]
assert post_orders.sync(client=admin, body=order).status == 401
"""


def test_a_client_made_from_the_document_posts_reads_its_run_and_replays_it(
    server: Server, document: Path, tmp_path: Path
) -> None:
    settings = tmp_path / "client.json"
    settings.write_text(json.dumps({"package_name_override": "shop", "post_hooks": []}))
    made = subprocess.run(
        [
            *(BIN / "openapi-python-client", "generate", "--path", document),
            *("--config", settings, "--meta", "none", "--output-path", tmp_path / "shop"),
            "--fail-on-warning",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr

    ran = subprocess.run(
        [sys.executable, "-c", CLIENT, f"http://127.0.0.1:{server.port}", POSTER, TOKEN],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
