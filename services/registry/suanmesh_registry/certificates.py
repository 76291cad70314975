"""Certificates of agents, signed with the node's authority."""

from __future__ import annotations

import json
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from suanmesh_chassis.ca import NodeCa, agent_server_name
from suanmesh_chassis.identity import agent_id
from suanmesh_kernel.names import last
from suanmesh_registry.domain.tokens import ID_BYTES, SECRET_BYTES, TokenKey


@dataclass(frozen=True, slots=True)
class AgentCertificate:
    """What an agent is given, and the public key it holds."""

    pem: bytes
    public_key: bytes
    """SubjectPublicKeyInfo in DER."""


class Certifier:
    """Turns an agent's signing request into its certificate."""

    def __init__(self, ca: NodeCa, node: str, days: float) -> None:
        self._ca = ca
        self._node = node
        self._days = days
        self.ca_pem = ca.pem
        self.ca_digest = ca.fingerprint

    def token_key(self, caller: str, request_id: str, body_digest: bytes) -> TokenKey:
        """What a caller's request for a join token gives: the id by the request's own, the secret by all of it."""
        asked = json.dumps([caller, request_id])
        identity = self._ca.derived(f"join token id {asked}", ID_BYTES)
        secret = self._ca.derived(f"join token secret {body_digest.hex()} {asked}", SECRET_BYTES)
        return TokenKey(identity.hex(), secret.hex())

    def certified(self, site: str, csr_der: bytes) -> AgentCertificate:
        """A certificate for the agent of `site`; its names come from us, never from the request.

        Raises InvalidArgument (`CSR_INVALID`).
        """
        site_id = last(site)
        names = [agent_server_name(self._node, site_id)]
        pem = self._ca.sign_request(csr_der, agent_id(self._node, site_id), names, days=self._days)
        key = x509.load_pem_x509_certificate(pem).public_key()
        return AgentCertificate(pem, key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
