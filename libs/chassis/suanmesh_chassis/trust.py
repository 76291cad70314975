"""Whom a process believes: its own node's authority, and those of the nodes in the trust bundle, each for its own.

The bundle lies beside a process's certificate as `trust.json`: what `GetTrustBundle` gives, in the JSON of protobuf.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding
from google.protobuf import json_format

from suanmesh.type.v1 import trust_pb2
from suanmesh_chassis.signing import windows_by_id
from suanmesh_kernel.key_windows import KeyWindow
from suanmesh_kernel.names import last
from suanmesh_kernel.refusals import Unauthenticated

TRUST_FILE = "trust.json"
ALWAYS = datetime.min.replace(tzinfo=UTC)
"""When the own authority begins: a process whose clock is behind is told so, and takes nobody for a stranger."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority, and the time in which what it has issued is believed."""

    certificate: x509.Certificate
    valid_from: datetime
    valid_until: datetime

    def issued(self, certificate: x509.Certificate) -> bool:
        """Whether it has signed `certificate` itself."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True


class Trust:
    """The authorities and keys of every node that is believed."""

    def __init__(self, node: str, ca_pem: bytes, nodes: Iterable[trust_pb2.NodeTrust] = ()) -> None:
        """Of `node` itself what `ca_pem` says is believed, whatever else is said of it. Raises ValueError."""
        others = {last(each.name): each for each in nodes if last(each.name) != node}
        self.peers: frozenset[str] = frozenset(others)
        """The other nodes."""
        self._authorities: dict[str, list[Authority]] = {
            other: [authority_of(each) for each in said.authorities] for other, said in others.items()
        }
        self._authorities[node] = [
            Authority(each, ALWAYS, each.not_valid_after_utc) for each in x509.load_pem_x509_certificates(ca_pem)
        ]
        self._keys: Mapping[str, KeyWindow] = {
            key_id: window for said in others.values() for key_id, window in windows_by_id(said.signing_keys).items()
        }

    def key(self, key_id: str) -> KeyWindow | None:
        """The key of another node's service, with its time; None where it is none of them."""
        return self._keys.get(key_id)

    def roots_of_peers(self) -> bytes:
        """The authorities of the other nodes in PEM, for a handshake; `until` says for whom each of them speaks."""
        found = (each.certificate for peer in sorted(self.peers) for each in self._authorities[peer])
        return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in found)

    def until(self, certificate: x509.Certificate, principal: str, now: datetime) -> datetime:
        """Until when the certificate of `principal` is believed.

        Raises Unauthenticated (`IDENTITY_MISSING`) where no authority of the principal's own node, in its time, has
        issued it: another node's would otherwise speak for this one.
        """
        node = principal.removeprefix("spiffe://").partition("/")[0]
        issuers = [each for each in self._authorities.get(node, ()) if each.issued(certificate)]
        good = [each.valid_until for each in issuers if each.valid_from <= now < each.valid_until]
        if not good:
            problem = "is past its time" if issuers else f"is none of node {node[:128]}"
            raise Unauthenticated("IDENTITY_MISSING", f"the authority of the certificate {problem}", node=node[:128])
        return min(max(good), certificate.not_valid_after_utc)


def authority_of(said: trust_pb2.CertificateAuthority) -> Authority:
    """An authority as a bundle names it. Raises ValueError where it is none, or is given more time than it has."""
    certificate = x509.load_der_x509_certificate(said.certificate_der)
    begin, end = said.valid_from.ToDatetime(UTC), said.valid_until.ToDatetime(UTC)
    try:
        is_authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        is_authority = False
    if not is_authority:
        raise ValueError("the certificate is none of an authority")
    if not certificate.not_valid_before_utc <= begin < end <= certificate.not_valid_after_utc:
        raise ValueError("the authority's time is not within that of its certificate")
    return Authority(certificate, begin, end)


def load_trust(folder: Path, node: str, ca_pem: bytes) -> Trust:
    """What a process finds beside its certificate; its own node alone where there is no bundle. Raises ValueError."""
    path = folder / TRUST_FILE
    bundle = trust_pb2.TrustBundle()
    if path.exists():
        try:
            json_format.Parse(path.read_text(encoding="utf-8"), bundle)
        except json_format.ParseError as error:
            raise ValueError(f"{path} is no trust bundle: {error}") from error
    return Trust(node, ca_pem, bundle.nodes)
