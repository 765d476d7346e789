"""Signatures that a public key checks: Ed25519, ECDSA on P-256, RSA of a certificate.

The only import of `cryptography`, and none before the first such key: a server without one
starts sooner and is smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

LACKING = (
    "needs the package cryptography, which is not installed; "
    "pip install -r requirements.txt, or make run"
)


class NoKey(ValueError):
    """These bytes are no key of that kind."""


def installed() -> bool:
    """True if certificates can be read."""
    try:
        import cryptography.x509  # noqa: F401
    except ImportError:
        return False
    return True


@lru_cache(maxsize=64)
def load(algorithm: str, key: bytes) -> Any:
    """The key of these bytes. Raises NoKey, or ImportError if cryptography is missing."""
    try:
        return LOADERS[algorithm](key)
    except ImportError:
        raise
    except Exception as error:  # of several kinds, by what is wrong with the bytes
        raise NoKey(str(error)) from None


def verifies(algorithm: str, key: bytes, message: bytes, signature: bytes) -> bool:
    """True if the owner of the key has signed the message."""
    from cryptography.exceptions import InvalidSignature

    try:
        CHECKS[algorithm](load(algorithm, key), signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _ed25519(key: bytes) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(key)


def _p256(key: bytes) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    found = load_der_public_key(key)
    if not isinstance(found, EllipticCurvePublicKey) or not isinstance(found.curve, SECP256R1):
        raise NoKey("it is not of the curve P-256")
    return found


def _check_ed25519(key: Any, signature: bytes, message: bytes) -> None:
    key.verify(signature, message)


def _check_p256(key: Any, signature: bytes, message: bytes) -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    key.verify(signature, message, ECDSA(SHA256()))


LOADERS: Mapping[str, Callable[[bytes], Any]] = {"ed25519": _ed25519, "ecdsa-p256": _p256}
CHECKS: Mapping[str, Callable[[Any, bytes, bytes], None]] = {
    "ed25519": _check_ed25519,
    "ecdsa-p256": _check_p256,
}


@dataclass(frozen=True, slots=True)
class Certificate:
    """An RSA certificate (RFC 5280), and when it is valid, in Unix seconds."""

    key: Any
    begins: float
    ends: float

    def verifies(self, message: bytes, signature: bytes, *, sha1: bool) -> bool:
        """True if the certificate's owner has signed it (RFC 8017 §8.2, PKCS #1 v1.5)."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA1, SHA256

        try:
            self.key.verify(signature, message, PKCS1v15(), SHA1() if sha1 else SHA256())
        except InvalidSignature:
            return False
        return True


def certificate(pem: bytes) -> Certificate:
    """The first certificate of a PEM text. Raises NoKey if it is none, or not of RSA."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    try:
        found = x509.load_pem_x509_certificate(pem)
        key = found.public_key()
    except Exception as error:
        raise NoKey(str(error)) from None
    if not isinstance(key, RSAPublicKey):
        raise NoKey("its key is not of RSA")
    begins, ends = found.not_valid_before_utc, found.not_valid_after_utc
    return Certificate(key, begins.timestamp(), ends.timestamp())
