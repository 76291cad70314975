"""Ed25519 signatures over verbatim bytes (`type.v1.Signed`)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from suanmesh.type.v1 import signed_pb2
from suanmesh_kernel.key_windows import KeyWindow

KEYS_KEPT_MAX = 1024
"""Public keys kept ready: as many as sites and services sign to one process in turn."""


class Signer:
    """Signs as one identity."""

    def __init__(self, key: Ed25519PrivateKey, identity: str) -> None:
        self._key = key
        self.public_key = key.public_key().public_bytes_raw()
        """The raw public key, 32 bytes."""
        self.key_id = key_id(identity, self.public_key)
        """`<identity>#<16 hex digits>`."""

    def sign(self, payload_type: str, payload: bytes) -> signed_pb2.Signed:
        """Vouch for `payload`, which is kept as it is."""
        signature = self._key.sign(_signed_bytes(payload_type, payload))
        return signed_pb2.Signed(payload_type=payload_type, payload=payload, key_id=self.key_id, signature=signature)


def key_id(identity: str, public_key: bytes) -> str:
    """How a key is named: who signs, and the first 16 hex digits of the SHA-256 of the raw public key."""
    return f"{identity}#{hashlib.sha256(public_key).hexdigest()[:16]}"


def window_from(key: signed_pb2.SigningKey) -> KeyWindow:
    """A key as it is kept, with its time."""
    named = key_id(key.identity, key.public_key)
    return KeyWindow(named, key.public_key, key.valid_from.ToDatetime(UTC), key.valid_until.ToDatetime(UTC))


def window_to(window: KeyWindow) -> signed_pb2.SigningKey:
    """A key as it is to be kept."""
    key = signed_pb2.SigningKey(identity=window.key_id.rpartition("#")[0], public_key=window.public_key)
    key.valid_from.FromDatetime(window.valid_from)
    key.valid_until.FromDatetime(window.valid_until)
    return key


def windows_by_id(keys: Iterable[signed_pb2.SigningKey]) -> dict[str, KeyWindow]:
    """Keys with their times, by key id."""
    return {window.key_id: window for window in map(window_from, keys)}


def verify(signed: signed_pb2.Signed, public_key: bytes) -> bool:
    """Whether `signed` was signed with the private half of the raw `public_key`."""
    try:
        _public_key(public_key).verify(signed.signature, _signed_bytes(signed.payload_type, signed.payload))
    except (InvalidSignature, ValueError):
        return False
    return True


@lru_cache(KEYS_KEPT_MAX)
def _public_key(raw: bytes) -> Ed25519PublicKey:
    """A key made ready, which costs a tenth of a check. Raises ValueError where it is none."""
    return Ed25519PublicKey.from_public_bytes(raw)


def load_signer(path: Path, identity: str) -> Signer:
    """Read a PKCS#8 PEM key. Raises ValueError where it is not an Ed25519 one."""
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path} does not hold an Ed25519 key")
    return Signer(key, identity)


def new_signing_key() -> Ed25519PrivateKey:
    """A fresh key."""
    return Ed25519PrivateKey.generate()


def private_pem(key: Ed25519PrivateKey) -> bytes:
    """`key` as PKCS#8 PEM, to be kept in a file that only its owner reads."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _signed_bytes(payload_type: str, payload: bytes) -> bytes:
    return payload_type.encode() + b"\0" + payload
