"""Certificates of those who join, signed with the node's authority."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from suanmesh_chassis.authorities import Authorities
from suanmesh_chassis.ca import NodeCa, agent_server_name
from suanmesh_chassis.identity import agent_id, invite_id
from suanmesh_kernel.names import last
from suanmesh_registry.domain.tokens import ID_BYTES, SECRET_BYTES, TokenKey

DAY_S = 86_400
KEY_BYTES = 32
"""Of the number that is a private key over P-256."""


@dataclass(frozen=True, slots=True)
class SignedCertificate:
    """What an agent or a user is given, and the public key it holds."""

    pem: bytes
    public_key: bytes
    """SubjectPublicKeyInfo in DER."""
    begin: datetime
    end: datetime


class Certifier:
    """Turns signing requests into certificates; their names come from us, never from the request."""

    def __init__(self, authorities: Authorities, node: str, days: float, user_days: float) -> None:
        """Those of services and agents are good for `days`, those of users for `user_days`."""
        self._authorities = authorities
        self._node = node
        self._days = days
        self._user_days = user_days

    @property
    def ca_pem(self) -> bytes:
        """The authorities to trust now, in PEM."""
        return self._authorities.pem

    @property
    def ca_digest(self) -> str:
        """Hex SHA-256 of the authority that issues now, as join tokens carry it."""
        return self._authorities.issuing.fingerprint

    @property
    def _ca(self) -> NodeCa:
        return self._authorities.issuing

    def token_key(self, caller: str, request_id: str, body_digest: bytes) -> TokenKey:
        """What a caller's request for a join token gives: the id by the request's own, the secret by all of it."""
        asked = json.dumps([caller, request_id])
        identity = self._ca.derived(f"join token id {asked}", ID_BYTES)
        secret = self._ca.derived(f"join token secret {body_digest.hex()} {asked}", SECRET_BYTES)
        return TokenKey(identity.hex(), secret.hex())

    def of_bearer(self, token: str, seconds: float) -> tuple[bytes, bytes]:
        """What lets the bearer of `token` through the gateway's handshake: certificate in DER, and its key's number."""
        issued = self._ca.issue(invite_id(self._node, last(token)), days=seconds / DAY_S)
        key = load_pem_private_key(issued.key, password=None)
        if not isinstance(key, EllipticCurvePrivateKey):
            raise TypeError("the authority issues keys over P-256")
        number = key.private_numbers().private_value.to_bytes(KEY_BYTES, "big")
        return x509.load_pem_x509_certificate(issued.certificate).public_bytes(Encoding.DER), number

    def of_agent(self, site: str, csr_der: bytes, valid_from: datetime | None = None) -> SignedCertificate:
        """A certificate for the agent of `site`, which begins at `valid_from` or later.

        Raises InvalidArgument (`CSR_INVALID`).
        """
        site_id = last(site)
        names = [agent_server_name(self._node, site_id)]
        return self._signed(csr_der, agent_id(self._node, site_id), names, self._days, valid_from)

    def of_user(self, principal: str, csr_der: bytes, valid_from: datetime | None = None) -> SignedCertificate:
        """A certificate for a user, which begins at `valid_from` or later. Raises InvalidArgument (`CSR_INVALID`)."""
        return self._signed(csr_der, principal, [], self._user_days, valid_from)

    def of_service(self, principal: str, csr_der: bytes, hosts: Sequence[str]) -> SignedCertificate:
        """A certificate for a service, good for `hosts`, as the one it has. Raises InvalidArgument (`CSR_INVALID`)."""
        return self._signed(csr_der, principal, hosts, self._days)

    def _signed(
        self, csr_der: bytes, principal: str, names: Sequence[str], days: float, valid_from: datetime | None = None
    ) -> SignedCertificate:
        pem = self._ca.sign_request(csr_der, principal, names, days=days, valid_from=valid_from)
        read = x509.load_pem_x509_certificate(pem)
        key = read.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return SignedCertificate(pem, key, read.not_valid_before_utc, read.not_valid_after_utc)
