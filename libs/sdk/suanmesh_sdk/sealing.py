"""Sealing the secrets of jobs, on the way to the scheduler and from there to a site: HPKE (RFC 9180) in base mode.

Whoever has the private key opens what was sealed for it, and only for the purpose that it was sealed for: a value that
is laid beside another job, placement or name cannot be opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from suanmesh.scheduler.v1 import scheduler_service_pb2, secret_pb2

if TYPE_CHECKING:
    from suanmesh_sdk.mesh import Mesh

VALUE_BYTES_MAX = 16_384
"""Of one secret."""
VALUES_BYTES_MAX = 65_536
"""Of all secrets of a job."""
KEY_BYTES = 32
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class Unreadable(Exception):
    """What was sealed for another key or purpose, or was changed on the way."""


def for_job(job: str, secret: str) -> bytes:
    """The purpose of a secret on its way to the scheduler; `job` is `jobs/{job}`."""
    return f"suanmesh secret of {job} named {secret}".encode()


def for_placement(placement: str, site: str, secret: str) -> bytes:
    """The purpose of a secret on its way to the site of a placement."""
    return f"suanmesh secret of {placement} at {site} named {secret}".encode()


def sealed(value: bytes, public_key: bytes, purpose: bytes) -> bytes:
    """A value that only the other half of `public_key` opens, each time another text. Raises ValueError for no key."""
    return _SUITE.encrypt(value, X25519PublicKey.from_public_bytes(public_key), purpose)


def opened(text: bytes, key: X25519PrivateKey, purpose: bytes) -> bytes:
    """What was sealed. Raises Unreadable."""
    try:
        return _SUITE.decrypt(text, key, purpose)
    except (InvalidTag, ValueError) as fault:
        raise Unreadable from fault


def new_key() -> X25519PrivateKey:
    """A key pair."""
    return X25519PrivateKey.generate()


def public_half(key: X25519PrivateKey) -> bytes:
    """What others seal for."""
    return key.public_key().public_bytes_raw()


async def sealed_for_job(mesh: Mesh, job: str, values: Mapping[str, bytes]) -> list[secret_pb2.SealedSecret]:
    """What goes in `SubmitJob.secrets` of the job of that name, `jobs/{job}`: by name what is to be secret."""
    key = await mesh.scheduler.GetSealingKey(scheduler_service_pb2.GetSealingKeyRequest())
    return [
        secret_pb2.SealedSecret(name=name, key_id=key.key_id, sealed=sealed(value, key.public_key, for_job(job, name)))
        for name, value in values.items()
    ]
