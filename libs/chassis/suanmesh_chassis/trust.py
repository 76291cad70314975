"""Whom a process believes: its own node's authority, and those of the nodes in the trust bundle, each for its own.

The bundle lies beside a process's certificate as `trust.json`: what `GetTrustBundle` gives, in the JSON of protobuf. It
is read again when it has changed, while the process runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding
from google.protobuf import json_format

from suanmesh.type.v1 import trust_pb2
from suanmesh_chassis.signing import windows_by_id
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.key_windows import KeyWindow
from suanmesh_kernel.names import last
from suanmesh_kernel.refusals import Unauthenticated
from suanmesh_sdk.tls import Credentials

log = structlog.get_logger()

TRUST_FILE = "trust.json"
LOOK_S = 1.0
"""How often it is looked whether the bundle has changed, at most, in seconds."""
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


CurrentTrust = Callable[[], Trust]
"""Whom a process believes now: another object as soon as that has changed."""


class OwnTrust:
    """The authorities of the own node alone, as they are now. Call it for what holds now."""

    def __init__(self, node: str, shown: Callable[[], Credentials]) -> None:
        self._node = node
        self._shown = shown
        self._ca = shown().ca
        self._trust = Trust(node, self._ca)

    def __call__(self) -> Trust:
        """Whom the process believes."""
        if (ca := self._shown().ca) != self._ca:
            self._ca, self._trust = ca, Trust(self._node, ca)
        return self._trust


class TrustFile:
    """What a process finds beside its certificate, read again once it has changed. Call it for what holds now.

    A bundle that cannot be read is told in the log, and the one before is believed on.
    """

    def __init__(self, folder: Path, node: str, ca: Callable[[], bytes], clock: Clock) -> None:
        """`ca` says what the own node's authorities are now. Raises ValueError where there is a bundle that is none."""
        self._folder = folder
        self._node = node
        self._ca = ca
        self._ca_pem = ca()
        self._clock = clock
        self._look_at = clock.monotonic() + LOOK_S
        self._stamp = _stamp_of(folder)
        self._trust = load_trust(folder, node, self._ca_pem)

    def __call__(self) -> Trust:
        """Whom the process believes."""
        now = self._clock.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_S
            self._look()
        return self._trust

    def _look(self) -> None:
        stamp, self._stamp = self._stamp, _stamp_of(self._folder)
        ca_pem, self._ca_pem = self._ca_pem, self._ca()
        if stamp == self._stamp and ca_pem == self._ca_pem:
            return
        try:
            self._trust = load_trust(self._folder, self._node, self._ca_pem)
        except (ValueError, OSError) as fault:
            log.warning("trust bundle not taken", message=str(fault))
        else:
            log.info("trust bundle taken", message=", ".join(sorted(self._trust.peers)) or "no other node")


def _stamp_of(folder: Path) -> tuple[int, int, int]:
    """Another one whenever the bundle was written; zeros where there is none."""
    try:
        found = (folder / TRUST_FILE).stat()
    except OSError:
        return 0, 0, 0
    return found.st_ino, found.st_mtime_ns, found.st_size


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
