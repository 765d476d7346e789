"""Senders whose own library is for Node: it signs, and we believe it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tests.posts import SIGNERS, Post
from tests.serving import Project
from tests.test_senders import BODIES, PROOFS, QUIET, hook, send


def signed(node: Path, secret: str, body: bytes, at: int) -> Mapping[str, dict[str, str]]:
    """The proof that each of the libraries gives."""
    said = json.dumps({"secret": secret, "body": body.decode(), "at": at}).encode()
    done = subprocess.run(
        ["node", "sign.mjs"], cwd=node, input=said, capture_output=True, check=True
    )
    return dict(json.loads(done.stdout))


def test_what_a_library_for_node_signs_is_believed_and_no_forgery_of_it(
    node: Path, tmp_path: Path
) -> None:
    secret = "whsec_é the secret"
    project = Project(tmp_path).script("run.sh", QUIET)
    project.hooks(hook("/github", "github: $SECRET") + hook("/stripe", "stripe: $SECRET"))
    now = int(time.time())
    with project.serve(SECRET=secret) as server:
        for name in ("github", "stripe"):
            signer = SIGNERS[name]
            body = '{"id": "evt_é日本🎉", "type": "x"}'.encode()
            proof = signed(node, secret, body, now)[name]
            good = Post(body, signer.headers, proof)
            assert send(server, f"/{name}", good).status == 202

            [(header, value)] = proof.items()
            forged = [replace(good, body=change(body)) for change in BODIES.values()]
            forged += [
                replace(good, proof={header: altered})
                for alter in PROOFS.values()
                if (altered := alter(value))
            ]
            forged.append(replace(good, proof=signed(node, "another", body, now)[name]))
            forged.append(replace(good, proof=signed(node, secret, b"{}", now)[name]))
            assert len(forged) >= 20
            assert {send(server, f"/{name}", post).status for post in forged} == {401}
    assert project.journal("SELECT hook FROM run ORDER BY seq") == [("/github",), ("/stripe",)]
