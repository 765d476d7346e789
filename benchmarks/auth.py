"""What a delivery costs that nobody has signed: for each scheme, its time to the 401.

    python benchmarks/auth.py [rounds]

The limit is measured in the same run, in turns: the 401 of a hook that looks at one header
only (`bearer`), which reads the same body, and one HMAC-SHA256 of that body in this process.
A forger's request has every header of its sender's, and a signature of the right form.

Where a sender signs what stands in the body (a form's fields, or JSON with the proof in it),
that must be read first; the rows that say so have the body that is dearest to read, and no
limit but that of 512 kB, beyond which nothing is read.
"""

from __future__ import annotations

import hmac
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from hookrunner.auth.senders import SENDERS, InHeader  # noqa: E402
from hookrunner.auth.signature import Recipe  # noqa: E402

MOST = 1.5
"""Times the floor, for a scheme whose proof stands in headers."""

SIZES = {1024: 200, 64 * 1024: 100, 1024 * 1024 - 1024: 20}
"""Bytes of a body, and requests of a round."""

WARM_UP = 3
TOPIC = "arn:aws:sns:eu-central-1:123456789012:orders"
PUBLIC = {"ed25519": "ab" * 32, "ecdsa-p256": ""}
PLAIN = {
    "twilio": '{secret: $SECRET, url: "https://example.com"}',
    "aws-sns": f'{{topics: ["{TOPIC}"]}}',
    "microsoft-graph": "$SECRET",
}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
READS = ("mailgun", "aws-sns", "microsoft-graph", "twilio", "gitea", "forgejo")
"""What must read the body to find the proof, or what is signed."""

SECRET = "whsec_" + b64encode(b"a secret of some length, 32 bytes").decode()


def main() -> int:
    """Print what was measured; 1 if a limit is missed."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    missed = False
    with tempfile.TemporaryDirectory() as folder, _server(Path(folder)) as port:
        for size, count in SIZES.items():
            missed |= _measure(port, size, count, rounds)
    return int(missed)


def _measure(port: int, size: int, count: int, rounds: int) -> bool:
    body = json.dumps({"a": "x" * (size - 10)}).encode()
    took: dict[str, list[float]] = {name: [] for name in ("bearer", *_names())}
    dearest = {name: _dearest(name, size) for name in READS}
    digests: list[float] = []
    for name in took:  # nobody's first requests count
        list(_requests(port, name, dearest.get(name, body), WARM_UP))
    for _ in range(rounds):
        digests += [_digest(body) for _ in range(count)]
        for name, times in took.items():
            times += _requests(port, name, dearest.get(name, body), count)
    hashed = statistics.median(digests)
    floor = statistics.median(took.pop("bearer")) + hashed
    print(f"\n{size} bytes: read and refused, with one HMAC {floor * 1000:.3f} ms")
    print(f"{'scheme':18} {'p50, ms':>8} {'ratio':>6}")
    missed = False
    for name, times in took.items():
        p50 = statistics.median(times)
        reads = name in READS
        missed |= p50 > MOST * floor and not reads
        note = "  reads the body" if reads else ""
        print(f"{name:18} {p50 * 1000:8.3f} {p50 / floor:6.2f}{note}")
    print(f"limit {MOST} x")
    return missed


def _dearest(name: str, size: int) -> bytes:
    """A body of about that many bytes that takes its scheme as long as any."""
    if name in ("gitea", "forgejo"):
        return b"payload=" + b"%41" * ((size - 8) // 3)
    if name == "twilio":
        fields = 999 if size > 9000 else 99
        return b"&".join([b"a=" + b"%41" * max((size // fields - 4) // 3, 1)] * fields)
    if name == "microsoft-graph":
        items = b",".join([b'{"clientState":""}'] * (size // 19 - 2))
        return b'{"value":[' + items + b"]}"
    return b'{"Type":"Notification","a":[' + b",".join([b"{}"] * (size // 3 - 20)) + b"]}"


def _digest(body: bytes) -> float:
    began = time.perf_counter()
    hmac.digest(b"key", body, "sha256")
    return time.perf_counter() - began


def _requests(port: int, name: str, body: bytes, count: int) -> Iterator[float]:
    """How long each of so many forged requests takes, on one connection."""
    headers = {"Content-Type": "application/json", **_forged(name)}
    if name in READS and not body.startswith((b"{", b"[")):
        headers |= FORM
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for _ in range(count):
        began = time.perf_counter()
        connection.request("POST", f"/{name}", body, headers)
        answer = connection.getresponse()
        answer.read()
        yield time.perf_counter() - began
        assert answer.status == 401, (name, answer.status)
    connection.close()


def _names() -> list[str]:
    return [name for name, sender in SENDERS.items() if sender.kind == "sender"]


def _forged(name: str) -> dict[str, str]:
    """The headers of a sender, with a signature of its form that is nobody's."""
    if name == "twilio":
        return {"X-Twilio-Signature": "A" * 27 + "="}
    headers: dict[str, str] = {}
    for way in SENDERS[name].ways if name in SENDERS else ():
        if isinstance(way, InHeader) or way.signature.startswith("payload:"):
            continue
        now = str(int(time.time()) * way.unit)
        digest = bytes(64 if way.algorithm == "ed25519" else 32)
        value = digest.hex() if way.encoding == "hex" else b64encode(digest).decode()
        value = way.prefix + value
        if way.timestamp.startswith("item:"):
            value = f"{way.timestamp.removeprefix('item:')}{now}{way.separator}{value}"
        elif way.timestamp and not way.timestamp.startswith("payload:"):
            headers[way.timestamp] = now
        for spot in way.id:
            if isinstance(spot, str) and not spot.startswith("payload:"):
                headers[spot] = "id"
        headers.setdefault(way.signature, value)
    return headers


def _auth(name: str) -> str:
    sender = SENDERS[name]
    if name in PLAIN:
        return PLAIN[name]
    if sender.words:
        return f"{{secret: $SECRET, {sender.words[0]}: $SECRET}}"
    first = sender.ways[0]
    if isinstance(first, Recipe) and first.algorithm in PUBLIC:
        return "$ED25519" if first.algorithm == "ed25519" else "$P256"
    return "$SECRET"


@contextmanager
def _server(folder: Path) -> Iterator[int]:
    hooks = "/bearer: {script: run.sh, auth: {bearer: $SECRET}, max_body: 1MB}\n" + "".join(
        f"/{name}: {{script: run.sh, auth: {{{name}: {_auth(name)}}}, max_body: 1MB}}\n"
        for name in _names()
    )
    (folder / "scripts").mkdir()
    (folder / "scripts" / "run.sh").write_text("true\n")
    (folder / "hooks.yaml").write_text(hooks)
    (folder / ".env").write_text(f"SECRET={SECRET}\nED25519={PUBLIC['ed25519']}\nP256={_p256()}\n")
    command = [sys.executable, str(ROOT / "runner.py"), "--port", "0"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        line = next(line for line in process.stdout if "listens on" in line)
        drain = subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
        yield int(line.split("listens on ")[1].split()[0].rpartition(":")[2])
    finally:
        process.terminate()
        process.wait()
        drain.wait()


def _p256() -> str:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


if __name__ == "__main__":
    sys.exit(main())
