"""A stand-in for Amazon SNS: its certificates, its signatures, and the host that has them.

The runner reaches it as it would reach Amazon through a company's proxy: by HTTPS_PROXY, and
it trusts the certificate of a test's own authority by SSL_CERT_FILE.
"""

from __future__ import annotations

import base64
import datetime
import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

HOST = "sns.eu-central-1.amazonaws.com"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:orders"
DAY = datetime.timedelta(days=1)
FIELDS = (
    "Message",
    "MessageId",
    "Subject",
    "SubscribeURL",
    "Timestamp",
    "Token",
    "TopicArn",
    "Type",
)
UNSIGNED: Mapping[str, tuple[str, ...]] = {
    "Notification": ("SubscribeURL", "Token"),
    "SubscriptionConfirmation": ("Subject",),
    "UnsubscribeConfirmation": ("Subject",),
}


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


class Identity:
    """A key of RSA and its certificate."""

    def __init__(
        self, name: str, issuer: Identity | None = None, *, begins: int = -1, ends: int = 1
    ):
        self.key = rsa.generate_private_key(65537, 2048)
        now = datetime.datetime.now(datetime.UTC)
        by = issuer or self
        self.certificate: x509.Certificate = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(issuer.certificate.subject if issuer else named(name))
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins * DAY)
            .not_valid_after(now + ends * DAY)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(
                x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True
            )
            .sign(by.key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def write(self, path: Path) -> Path:
        """Key and certificate in one file."""
        private = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        path.write_bytes(private + self.pem)
        return path


def text_of(message: Mapping[str, object]) -> bytes:
    """What is signed of a message, as Amazon's documentation says it."""
    left_out = UNSIGNED[str(message["Type"])]
    names = [name for name in FIELDS if name in message and name not in left_out]
    return "".join(f"{name}\n{message[name]}\n" for name in names).encode()


def timestamp(seconds: float = 0.0) -> str:
    """The time of so many seconds from now."""
    then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return then.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


class Amazon:
    """SNS and its host: what is asked for is in `asked`, what it answers in `answers`."""

    def __init__(self, folder: Path) -> None:
        self.signer = Identity("sns.amazonaws.com")
        authority = Identity("authority")
        self.trusted = folder / "authority.pem"
        self.trusted.write_bytes(authority.pem)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(Identity(HOST, authority).write(folder / "host.pem"))
        self.asked: list[str] = []
        self.answers: dict[str, bytes | Callable[[ssl.SSLSocket], None]] = {}
        self.server = _Proxy(self)

    def __enter__(self) -> Amazon:
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def environ(self) -> dict[str, str]:
        """The config vars by which a runner finds this host for Amazon's."""
        port = self.server.server_address[1]
        return {"HTTPS_PROXY": f"http://127.0.0.1:{port}", "SSL_CERT_FILE": str(self.trusted)}

    def certificate(self, name: str, pem: bytes | None = None) -> str:
        """The address of a certificate, which will be there."""
        path = f"/SimpleNotificationService-{name}.pem"
        self.answers[path] = http(200, self.signer.pem if pem is None else pem)
        return f"https://{HOST}{path}"

    def message(
        self, certificate: str, signer: Identity | None = None, /, **fields: object
    ) -> bytes:
        """A signed message; a field that is None is left out."""
        whole: dict[str, object] = {
            "Type": "Notification",
            "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn": TOPIC,
            "Subject": "My First Message",
            "Message": 'Hello é "world"\n',
            "Timestamp": timestamp(),
            "SignatureVersion": "2",
            "SigningCertURL": certificate,
            **fields,
        }
        message = {name: value for name, value in whole.items() if value is not None}
        digest = hashes.SHA1() if message.get("SignatureVersion") == "1" else hashes.SHA256()
        key = (signer or self.signer).key
        made = key.sign(text_of(message), padding.PKCS1v15(), digest)
        message.setdefault("Signature", base64.b64encode(made).decode())
        return json.dumps(message, indent=2).encode()


def http(status: int, body: bytes, *headers: str) -> bytes:
    """An answer over HTTP."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


class _Proxy(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, amazon: Amazon) -> None:
        self.amazon = amazon
        super().__init__(("127.0.0.1", 0), _Tunnel)

    def handle_error(self, request: object, client_address: object) -> None:
        """A runner that hangs up, or trusts nobody, is none of the test's concern."""


class _Tunnel(socketserver.StreamRequestHandler):
    server: _Proxy

    def handle(self) -> None:
        amazon = self.server.amazon
        target = self.rfile.readline().decode().split()[1].removesuffix(":443")
        while self.rfile.readline().strip():
            pass
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        with amazon.context.wrap_socket(self.request, server_side=True) as secure:
            head = b""
            while b"\r\n\r\n" not in head:
                head += secure.recv(4096)
            path = head.split()[1].decode()
            amazon.asked.append(f"{target}{path}")
            answer = amazon.answers.get(path, http(404, b"there is no such thing"))
            if callable(answer):
                answer(secure)
            else:
                secure.sendall(answer)
