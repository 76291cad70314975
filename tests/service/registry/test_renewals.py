"""Renewing certificates at the registry: another key for whoever asks, under no other name than they have."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, timedelta

import pytest
from cryptography import x509

from suanmesh.registry.v1 import registry_service_pb2 as pb
from suanmesh_chassis.ca import agent_server_name, common_name, server_name
from suanmesh_chassis.call import Caller
from suanmesh_chassis.identity import agent_id, caller_of, service_id, spiffe_ids, user_id
from suanmesh_kernel.clock import HandClock
from suanmesh_kernel.refusals import InvalidArgument, NotFound, ResourceExhausted, Unauthenticated
from suanmesh_registry.domain.renewal_rate import BURST
from suanmesh_sdk.invites import new_key, signing_request
from suanmesh_store import MemoryKeyspace
from tests.service.registry.test_registry_service import Desk, a_desk, enrolled

HOST = "node.example.org"


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    clock = HandClock()
    async with a_desk(clock, MemoryKeyspace(clock)) as opened:
        yield opened


async def renewed(desk: Desk, caller: Caller) -> x509.Certificate:
    request = pb.RenewCertificateRequest(csr_der=signing_request(new_key()))
    answer = await desk.service.RenewCertificate(request, desk.call(caller))
    assert len(x509.load_pem_x509_certificates(answer.ca_pem)) == 1
    return x509.load_pem_x509_certificate(answer.certificate_pem)


def names_of(certificate: x509.Certificate) -> list[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]


@pytest.mark.parametrize(
    ("identity", "hosts", "expected"),
    [
        (user_id("demo", "acme", "ann"), (), []),
        (user_id("demo", "operator", "op"), (), []),
        (
            service_id("demo", "gateway"),
            (server_name("demo", "gateway"), HOST, "192.0.2.7"),
            [server_name("demo", "gateway"), HOST, "192.0.2.7"],
        ),
    ],
)
async def test_whoever_renews_stays_who_they_are(
    desk: Desk, identity: str, hosts: tuple[str, ...], expected: list[str]
) -> None:
    """A gateway that lost its host's name, or a user who gained another's, would be the end of the node's peace."""
    known = caller_of(identity, "demo")

    certificate = await renewed(desk, Caller(known.principal, known.party, known.site, known.roles, hosts))

    assert spiffe_ids(certificate) == [identity]
    assert names_of(certificate) == expected
    assert certificate.subject.rfc4514_string().removeprefix("CN=") == common_name(identity)
    assert certificate.not_valid_before_utc <= desk.clock.now() < certificate.not_valid_after_utc


async def test_a_service_does_not_renew_by_way_of_a_gateway(desk: Desk) -> None:
    """Its next certificate would lack the names of which a gateway does not tell: an etcd's peers would shut it out."""
    with pytest.raises(InvalidArgument, match="CSR_INVALID"):
        await renewed(desk, caller_of(service_id("demo", "etcd"), "demo"))


async def test_an_agent_renews_for_its_own_site(desk: Desk) -> None:
    """The registry knows until when each site's certificate is good: an agent must not fall silent unannounced."""
    agent = await enrolled(desk)
    desk.clock.advance(86_400 * 5)

    certificate = await renewed(desk, agent.caller)

    assert spiffe_ids(certificate) == [agent_id("demo", "a")]
    assert names_of(certificate) == [agent_server_name("demo", "a")]
    site = await desk.service.GetSite(pb.GetSiteRequest(name="sites/a"), desk.call())
    assert site.certificate_expire_time.ToDatetime(UTC) == certificate.not_valid_after_utc
    assert certificate.not_valid_after_utc - desk.clock.now() > timedelta(days=6)


async def test_a_site_that_is_not_there_renews_nothing(desk: Desk) -> None:
    """The certificate of a site that has left would be good for ever if it could be renewed."""
    await enrolled(desk)
    with pytest.raises(NotFound, match="SITE_UNKNOWN"):
        await renewed(desk, caller_of(agent_id("demo", "elsewhere"), "demo"))
    cordoned = pb.SetSiteAdmissionRequest(name="sites/a", admission=2)
    await desk.service.SetSiteAdmission(cordoned, desk.call(request_id="c"))
    await desk.service.RemoveSite(pb.RemoveSiteRequest(name="sites/a"), desk.call(request_id="r"))
    with pytest.raises(Unauthenticated, match="CERTIFICATE_REVOKED"):
        await renewed(desk, caller_of(agent_id("demo", "a"), "demo"))


async def test_what_is_no_request_is_not_signed(desk: Desk) -> None:
    """A certificate for whatever somebody sends would be one whose key nobody has shown to have."""
    caller = caller_of(user_id("demo", "acme", "ann"), "demo")
    with pytest.raises(InvalidArgument, match="CSR_INVALID"):
        await desk.service.RenewCertificate(pb.RenewCertificateRequest(csr_der=b"x"), desk.call(caller))


async def test_who_renews_in_a_loop_is_told_when_to_come_again_and_keeps_nobody_else_away(desk: Desk) -> None:
    """Each is a signature and, for a site, a write: one program gone wild would cost all sites their heartbeat."""
    ann, bob = (caller_of(user_id("demo", "acme", name), "demo") for name in ("ann", "bob"))
    for _ in range(BURST):
        await renewed(desk, ann)
    with pytest.raises(ResourceExhausted, match="RATE_EXCEEDED") as refused:
        await renewed(desk, ann)

    await renewed(desk, bob)
    desk.clock.advance(refused.value.retry_delay_s)
    await renewed(desk, ann)
    with pytest.raises(ResourceExhausted, match="RATE_EXCEEDED"):
        await renewed(desk, ann)
