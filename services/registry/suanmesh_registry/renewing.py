"""Certificates that are renewed: another key, for the same identity as the one that asks."""

from __future__ import annotations

from dataclasses import dataclass, field

from suanmesh.registry.v1 import registry_service_pb2 as pb
from suanmesh_chassis import Call
from suanmesh_chassis.ca import common_name
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import InvalidArgument, ResourceExhausted, Unauthenticated
from suanmesh_registry import wire
from suanmesh_registry.certificates import Certifier, SignedCertificate
from suanmesh_registry.domain.renewal_rate import BURST, PER_S, RenewalRates
from suanmesh_registry.reads import agents_site
from suanmesh_registry.revoking import Revoking
from suanmesh_sdk.status import MESH_DOMAIN
from suanmesh_store import Store, Update


@dataclass(frozen=True, slots=True)
class Renewals:
    """Certifies the next key of whoever calls."""

    store: Store
    certifier: Certifier
    revoking: Revoking
    clock: Clock
    rates: RenewalRates = field(default_factory=RenewalRates)

    async def renewed(self, request: pb.RenewCertificateRequest, call: Call) -> pb.RenewCertificateResponse:
        """The certificate.

        Raises InvalidArgument (`CSR_INVALID`), NotFound (`SITE_UNKNOWN`), FailedPrecondition (`SITE_REMOVED`),
        Unauthenticated (`CERTIFICATE_REVOKED`), ResourceExhausted (`RATE_EXCEEDED`), and Conflict.
        """
        if delay_s := self.rates.take(call.principal, self.clock.monotonic()):
            most = f"one in {1 / PER_S:g} s, {BURST} at once"
            message = f"{call.principal}: too many renewals; allowed are {most}; come again after {delay_s:.1f} s"
            raise ResourceExhausted("RATE_EXCEEDED", message, retry_delay_s=delay_s, name=call.principal)
        certificate = await self._certified(request.csr_der, call)
        return pb.RenewCertificateResponse(certificate_pem=certificate.pem, ca_pem=self.certifier.ca_pem)

    async def _certified(self, csr_der: bytes, call: Call) -> SignedCertificate:
        if call.is_("service"):
            if not call.caller.hosts:  # a gateway says who calls, not what their certificate is good for
                message = "that of a service is taken from itself, at the registry: a gateway does not tell its names"
                raise InvalidArgument("CSR_INVALID", message, field="csr_der")
            return self.certifier.of_service(call.principal, csr_der, call.caller.hosts)
        valid_from = await self.revoking.valid_from(common_name(call.principal))
        if valid_from is not None and (call.caller.since is None or call.caller.since < valid_from):
            message = f"the certificate of {call.principal} was revoked"  # while the call was on its way
            raise Unauthenticated("CERTIFICATE_REVOKED", message, domain=MESH_DOMAIN, name=call.principal)
        if not call.is_("agent"):
            return self.certifier.of_user(call.principal, csr_der, valid_from)
        held = await agents_site(self.store, call)
        certificate = self.certifier.of_agent(held.name, csr_der, valid_from)
        site = held.draft()
        wire.put_certificate(site, certificate.begin, certificate.end)
        await self.store.commit(Update(held, site), author=call.author())
        return certificate
