"""Certificates that renew: a new key and a certificate for it, asked for with the present one, in place of its files.

The files of a certificate and its key cannot be replaced in one step. So the new key lies beside the one in use, as
`key.pem.next`, until the certificate has taken its place: whoever reads in between takes the key that fits
(`Tls.read`), and a renewal that was broken off is finished by the next.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from suanmesh_kernel.clock import Clock
from suanmesh_kernel.lifetimes import renew_at, retry_after_s
from suanmesh_kernel.private import replace_private, write_private
from suanmesh_kernel.refusals import InvalidArgument, Refusal
from suanmesh_sdk import deadlines
from suanmesh_sdk.status import MESH_DOMAIN
from suanmesh_sdk.tls import NEXT, Tls, fits

if TYPE_CHECKING:
    from suanmesh.registry.v1.registry_service_pb2_grpc import RegistryServiceStub

LOCK = "renewing"
"""Empty file beside a key: whoever renews holds its lock, since several processes may show one identity."""
ASK_S = 10.0
"""How long the registry may take to certify a key."""
_CHANCES = 1009


class Renewed(NamedTuple):
    """A new certificate, and the authorities to trust from then on; both PEM."""

    certificate: bytes
    ca: bytes


Ask = Callable[[bytes], Awaitable[Renewed]]
"""Has a PKCS#10 request in DER certified for whoever asks. Raises Refusal."""


class Life(NamedTuple):
    """From when to when a certificate is good."""

    begin: datetime
    end: datetime
    due: datetime
    """When it is to be renewed; the serial number says how much before two thirds of its life."""


def life_of(certificate: bytes) -> Life:
    """Of a certificate in PEM. Raises ValueError where it is none."""
    from cryptography import x509

    read = x509.load_pem_x509_certificate(certificate)
    begin, end = read.not_valid_before_utc, read.not_valid_after_utc
    return Life(begin, end, renew_at(begin, end, read.serial_number % _CHANCES / _CHANCES))


def asking(registry: RegistryServiceStub) -> Ask:
    """Asks the registry, with the certificate that `registry` is called with."""
    from suanmesh.registry.v1.registry_service_pb2 import RenewCertificateRequest

    async def ask(csr_der: bytes) -> Renewed:
        answer = await registry.RenewCertificate(RenewCertificateRequest(csr_der=csr_der), timeout=ASK_S)
        return Renewed(answer.certificate_pem, answer.ca_pem)

    return ask


class Renewal:
    """The certificate in files, renewed when two thirds of its life are over."""

    def __init__(self, tls: Tls, clock: Clock, ask: Ask) -> None:
        """Raises ValueError where certificate, key and CA are no files."""
        key = tls.key_file
        if key is None or isinstance(tls.cert, bytes | None) or isinstance(tls.ca, bytes):  # the last two for mypy
            raise ValueError("only what lies in files is renewed")
        self._tls, self._clock, self._ask = tls, clock, ask
        self._key, self._certificate, self._ca = key, Path(tls.cert), Path(tls.ca)
        self._made = key.with_name(key.name + NEXT)

    def life(self) -> Life:
        """Of the certificate that is there now. Raises InvalidArgument (`FIELD_INVALID`) where it cannot be read."""
        try:
            return life_of(self._tls.read().certificate)
        except ValueError as fault:
            problem = f"cert: {self._certificate} is no certificate: {fault}"
            raise InvalidArgument("FIELD_INVALID", problem, domain=MESH_DOMAIN, field="cert") from fault

    async def renew_if_due(self) -> bool:
        """Whether another certificate is there now. One that has lapsed opens nothing any more, and is left.

        Raises Refusal and OSError.
        """
        life = self.life()
        if not life.due <= self._clock.now() < life.end:
            return False
        return await self.renew(life)

    async def renew(self, known: Life | None = None) -> bool:
        """Have a new key certified now; False where another process does so, or has done so since `known`."""
        with _alone(self._key.with_name(LOCK)) as alone:
            if not alone:
                return False
            self._finish()
            if known is not None and self.life() != known:
                return False
            renewed = await self._ask(self._request())
            replace_private(self._ca, renewed.ca)
            replace_private(self._certificate, renewed.certificate)
            self._made.replace(self._key)
            return True

    def _request(self) -> bytes:
        """For a key that is made once, so that whoever asks again after a lost answer asks for the same."""
        from suanmesh_sdk import invites

        if not self._made.exists():
            write_private(self._made, invites.key_pem(invites.new_key()))
        try:
            return invites.signing_request(invites.key_of(self._made.read_bytes()))
        except ValueError:  # half of it was written
            self._made.unlink()
            return self._request()

    def _finish(self) -> None:
        """Put the key in its place where that was all that was left to do."""
        if self._made.exists() and fits(self._certificate.read_bytes(), self._made.read_bytes()):
            self._made.replace(self._key)


class QuietRenewal:
    """Renews before a call where it is due: for programs of users, in which nothing runs but what they call.

    What comes of it is nobody's trouble as long as the certificate is good; afterwards the call itself says so.
    """

    def __init__(self, renewal: Renewal, besides: Callable[[], Awaitable[None]] | None = None) -> None:
        """`besides` is done after each look."""
        self._renewal = renewal
        self._besides = besides
        self._look_at = 0.0

    @property
    def looks(self) -> bool:
        """Whether it is time to look."""
        return deadlines.now() >= self._look_at

    async def __call__(self) -> None:
        """Look, and renew where it is due."""
        self._look_at = deadlines.now() + ASK_S  # the call for it comes by here too
        try:
            life = self._renewal.life()
            self._look_at = deadlines.now() + retry_after_s(life.begin, life.end)
            await self._renewal.renew_if_due()
        except (Refusal, OSError):
            return
        if self._besides is not None:
            await self._besides()


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Whether no other process holds the lock; until the end this one does."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        alone = True
    except BlockingIOError:
        alone = False
    try:
        yield alone
    finally:
        os.close(descriptor)
