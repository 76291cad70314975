"""The node's certificate authority: P-256, because gRPC's core refuses Ed25519 certificates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from suanmesh_chassis.signing import new_signing_key, private_pem
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.private import private_folder, write_private
from suanmesh_kernel.refusals import InvalidArgument

CA_DAYS = 3650
LEAF_DAYS = 7.0
"""Of services, sites and etcd; what renews by itself need not be good for long."""
USER_DAYS = 30.0
"""Of users, who may be away for a while."""
ETCD_ROOT = "root"
_BACKDATED = timedelta(minutes=5)
_BACKDATED_PART = 1 / 20
"""Clocks differ a little between machines: how much earlier than now a certificate begins, and of its life at most."""
_COMMON_NAME_CHARS_MAX = 64
_UNREADABLE = (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.InvalidVersion)
"""What `cryptography` says of a signing request that it makes nothing of."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its key, and what it is verified with; all PEM."""

    certificate: bytes
    key: bytes
    ca: bytes


class NodeCa:
    """Issues the identities of one node."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, clock: Clock) -> None:
        self._key = key
        self.certificate = certificate
        self._clock = clock

    @classmethod
    def create(cls, node: str, clock: Clock) -> NodeCa:
        """A new authority for `node`."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _named(f"Suanmesh node {node}")
        builder = _begun(clock, days=CA_DAYS).subject_name(subject).issuer_name(subject).public_key(key.public_key())
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(sign_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate, clock)

    @classmethod
    def load(cls, folder: Path, clock: Clock) -> NodeCa:
        """Read what `save` wrote. Raises OSError, and ValueError where the files are something else."""
        key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{folder / 'ca.key'} does not hold an elliptic-curve key")
        return cls(key, x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes()), clock)

    def save(self, folder: Path) -> None:
        """Keep the authority in `folder` as ca.key, which only its owner reads, and ca.pem."""
        private_folder(folder)
        write_private(folder / "ca.key", _key_pem(self._key))
        write_private(folder / "ca.pem", self.pem)

    @property
    def pem(self) -> bytes:
        """The authority's own certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of the authority's certificate in DER, as a join token carries it."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def derived(self, purpose: str, length: int) -> bytes:
        """`length` secret bytes, the same each time for the same purpose; they tell nothing of the key."""
        secret = self._key.private_numbers().private_value.to_bytes(self._key.key_size // 8, "big")
        return HKDF(hashes.SHA256(), length, salt=None, info=purpose.encode()).derive(secret)

    def issue(self, spiffe_id: str, hosts: Sequence[str] = (), *, days: float = LEAF_DAYS) -> Issued:
        """A fresh key with a certificate for it, good for `hosts`, which are DNS names and IP addresses.

        `days` below zero gives one that has expired.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(key.public_key(), common_name(spiffe_id), _names(spiffe_id, hosts), days)
        return Issued(certificate, _key_pem(key), self.pem)

    def issue_etcd_root(self, *, days: float = LEAF_DAYS) -> Issued:
        """What etcd knows as its user `root`. It holds no SPIFFE id, so no service takes its bearer for anybody."""
        key = ec.generate_private_key(ec.SECP256R1())
        return Issued(self._signed(key.public_key(), ETCD_ROOT, [], days), _key_pem(key), self.pem)

    def sign_request(
        self,
        csr_der: bytes,
        spiffe_id: str,
        hosts: Sequence[str] = (),
        *,
        days: float = LEAF_DAYS,
        valid_from: datetime | None = None,
    ) -> bytes:
        """A certificate in PEM for the key of a PKCS#10 request; names come from us, never from the request.

        It begins at `valid_from` or later, where that is given.

        Raises InvalidArgument (`CSR_INVALID`) where it is malformed, not over P-256, or not signed with its own key.
        """
        try:
            request = x509.load_der_x509_csr(csr_der)
            public_key = request.public_key()
            proven = request.is_signature_valid
        except _UNREADABLE as error:
            raise InvalidArgument("CSR_INVALID", "the signing request cannot be read", field="csr_der") from error
        if not isinstance(public_key, ec.EllipticCurvePublicKey) or not isinstance(public_key.curve, ec.SECP256R1):
            raise InvalidArgument("CSR_INVALID", "the signing request is not over P-256", field="csr_der")
        if not proven:
            raise InvalidArgument("CSR_INVALID", "the signing request is not signed with its own key", field="csr_der")
        return self._signed(public_key, common_name(spiffe_id), _names(spiffe_id, hosts), days, valid_from)

    def _signed(
        self,
        public_key: ec.EllipticCurvePublicKey,
        subject: str,
        names: Sequence[x509.GeneralName],
        days: float,
        valid_from: datetime | None = None,
    ) -> bytes:
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        builder = _begun(self._clock, days=days, valid_from=valid_from).subject_name(_named(subject))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = (
            builder.issuer_name(self.certificate.subject)
            .public_key(public_key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)


def common_name(spiffe_id: str) -> str:
    """What the subject of a certificate says: the id without its node, which the authority stands for.

    etcd knows its users by it. It has a slash, so it is never `root`; a service's is short enough to stand whole.
    """
    return spiffe_id.removeprefix("spiffe://").partition("/")[2]


def server_name(node: str, area: str) -> str:
    """`<area>.<node>.suanmesh`: the DNS name in a service's certificate, the only thing clients check."""
    return f"{area}.{node}.suanmesh"


def agent_server_name(node: str, site: str) -> str:
    """`agent.<site>.<node>.suanmesh`; `site` is the last part of its name."""
    return f"agent.{site}.{node}.suanmesh"


def write_identity(folder: Path, issued: Issued) -> None:
    """Lay out what a process finds in its SUANMESH_TLS_DIR; an existing signing key is kept."""
    private_folder(folder)
    write_private(folder / "cert.pem", issued.certificate)
    write_private(folder / "key.pem", issued.key)
    write_private(folder / "ca.pem", issued.ca)
    if not (folder / "signing.key").exists():
        write_private(folder / "signing.key", private_pem(new_signing_key()))


def _begun(clock: Clock, *, days: float, valid_from: datetime | None = None) -> x509.CertificateBuilder:
    now, life = clock.now(), timedelta(days=days)
    backdated = min(_BACKDATED, life * _BACKDATED_PART) if days > 0 else _BACKDATED
    builder = x509.CertificateBuilder().serial_number(x509.random_serial_number())
    begin = min(now, now + life) - backdated
    return builder.not_valid_before(max(begin, valid_from or begin)).not_valid_after(now + life)


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:_COMMON_NAME_CHARS_MAX])])


def _names(spiffe_id: str, hosts: Sequence[str]) -> list[x509.GeneralName]:
    return [x509.UniformResourceIdentifier(spiffe_id), *map(_host, hosts)]


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
