"""TLS of the listener for metrics and probes, and who may read metrics there."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from suanmesh_chassis.call import Caller
from suanmesh_chassis.identity import Certificates
from suanmesh_chassis.process import Process
from suanmesh_chassis.trust import OwnTrust
from suanmesh_kernel.refusals import Refusal

log = structlog.get_logger()

RELOAD_S = 10.0
"""How often it is looked whether the process has another certificate, seconds."""
FILES = ("cert.pem", "key.pem", "ca.pem")
NOT_ADMITTED = b"metrics are for operators, and for the party named by SUANMESH_METRICS_PARTY\n"


class ReloadingTls:
    """The certificate in a folder, as it is now; a client's is checked where it shows one, and no client has to."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError, ssl.SSLError."""
        self._folder = folder
        self._loaded: tuple[int, ...] = ()
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.verify_mode = ssl.CERT_OPTIONAL
        self._load()

    async def run(self) -> None:
        """Take up what is put into the folder, until cancelled."""
        while True:
            await asyncio.sleep(RELOAD_S)
            self.look()

    def look(self) -> None:
        """Once. Files that do not fit each other yet are looked at again."""
        with suppress(OSError):
            if self._written() != self._loaded:
                try:
                    self._load()
                except ssl.SSLError as fault:
                    log.warning("certificate not taken up", message=str(fault))

    def _load(self) -> None:
        written = self._written()
        certificate, key, ca = (self._folder / name for name in FILES)
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)  # whether they fit
        self.context.load_cert_chain(certificate, key)
        self.context.load_verify_locations(ca)
        self._loaded = written

    def _written(self) -> tuple[int, ...]:
        return tuple((self._folder / name).stat().st_mtime_ns for name in FILES)


def reader_of(certificate: bytes, process: Process, revoked: Callable[[Caller], Refusal | None]) -> bool:
    """Whether who shows a certificate (DER) may read the metrics of a process; `revoked` says who may no more."""
    if not certificate:
        return False
    pem = x509.load_der_x509_certificate(certificate).public_bytes(Encoding.PEM)
    trust = process.trust or OwnTrust(process.common.node, process.tls.shown)
    certificates = Certificates(process.common.node, trust, process.clock)
    try:
        caller = certificates.caller({"x509_pem_cert": [pem]})
    except Refusal:
        return False
    return admitted(caller, process.common.metrics_party) and revoked(caller) is None


def admitted(caller: Caller, party: str) -> bool:
    """Whether a caller may read metrics: an operator, or a user of `party`, which may be empty."""
    return "operator" in caller.roles or ("user" in caller.roles and bool(party) and caller.party == party)
