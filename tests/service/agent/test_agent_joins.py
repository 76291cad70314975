"""Joining a node with an invite: whom the agent trusts, and what it keeps."""

from __future__ import annotations

import ssl
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from suanmesh.registry.v1 import registry_service_pb2 as pb
from suanmesh.registry.v1 import site_pb2
from suanmesh_agent.enrolment import enrol, is_enrolled
from suanmesh_agent.settings import AgentSettings
from suanmesh_chassis import Call, Served
from suanmesh_chassis.ca import NodeCa, server_name
from suanmesh_chassis.identity import agent_id, invite_id, spiffe_ids
from suanmesh_chassis.testing import NODE, LoopbackNode
from suanmesh_kernel.clock import SystemClock
from suanmesh_kernel.refusals import InvalidArgument, NotFound, Unauthenticated, Unavailable
from suanmesh_sdk.invites import invite_text, key_of

SERVICE = pb.DESCRIPTOR.services_by_name["RegistryService"]


class Enrolments:
    """The registry's enrolment alone, on paper; all else of it is not here."""

    def __init__(self, ca: NodeCa) -> None:
        self._ca = ca
        self.requests: list[pb.EnrolSiteRequest] = []

    async def EnrolSite(self, request: pb.EnrolSiteRequest, call: Call) -> pb.EnrolSiteResponse:
        self.requests.append(request)
        names = [f"agent.{request.site_id}.{NODE}.suanmesh"]
        certificate = self._ca.sign_request(request.csr_der, agent_id(NODE, request.site_id), names)
        site = site_pb2.Site(name=f"sites/{request.site_id}", party="parties/p")
        return pb.EnrolSiteResponse(site=site, certificate_pem=certificate, ca_pem=self._ca.pem)


async def _not_here(self: object, request: object, call: Call) -> None:
    raise NotFound("SITE_UNKNOWN", "only enrolment is here")


async def _no_stream_here(self: object, request: object, call: Call) -> AsyncIterator[None]:
    raise NotFound("SITE_UNKNOWN", "only enrolment is here")
    yield


for _method in SERVICE.methods:
    if not hasattr(Enrolments, _method.name):
        setattr(Enrolments, _method.name, _no_stream_here if _method.server_streaming else _not_here)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[LoopbackNode]:
    async with LoopbackNode(tmp_path) as made:
        yield made


async def _served(node: LoopbackNode) -> tuple[Enrolments, str]:
    servicer = Enrolments(node.ca)
    process = node.process("gateway", dns_names=[server_name(NODE, "gateway")])
    return servicer, await node.serve(process, [Served(SERVICE, servicer)])


def _settings(folder: Path, address: str, ca: NodeCa, of: str = NODE) -> AgentSettings:
    """Of a site that is invited by the node `of` with the authority `ca`."""
    token = pb.JoinToken(token=f"sjt1.id.secret.{ca.fingerprint}")
    issued = ca.issue(invite_id(of, "id"))
    token.certificate_der = ssl.PEM_cert_to_DER_cert(issued.certificate.decode())
    token.key = key_of(issued.key).private_numbers().private_value.to_bytes(32, "big")
    return AgentSettings(site="a", data_dir=folder, invite=invite_text(address, of, token), city_code="520100")


async def test_an_agent_joins_with_a_token(node: LoopbackNode, tmp_path: Path) -> None:
    """One command turns a machine into a site: identity signed by the node, keys that only the agent reads."""
    servicer, address = await _served(node)
    folder = tmp_path / "identity"
    site = await enrol(_settings(tmp_path, address, node.ca), NODE, folder)
    assert site.name == "sites/a"
    assert is_enrolled(folder)
    certificate = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
    assert spiffe_ids(certificate) == [agent_id(NODE, "a")]
    for name in ("key.pem", "signing.key"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert servicer.requests[0].site.city_code == "520100"
    assert len(servicer.requests[0].signing_key) == 32


async def test_a_repeat_shows_the_same_keys(node: LoopbackNode, tmp_path: Path) -> None:
    """When the first answer is lost, the registry must see the same agent again, not a thief of the token."""
    servicer, address = await _served(node)
    settings = _settings(tmp_path, address, node.ca)
    await enrol(settings, NODE, tmp_path / "identity")
    (tmp_path / "identity" / "cert.pem").unlink()
    await enrol(settings, NODE, tmp_path / "identity")
    first, second = (x509.load_der_x509_csr(request.csr_der) for request in servicer.requests)
    assert first.public_key() == second.public_key()
    assert servicer.requests[0].signing_key == servicer.requests[1].signing_key


async def test_a_stranger_in_the_middle_does_not_get_the_token(node: LoopbackNode, tmp_path: Path) -> None:
    """The token is a secret: it is shown to nobody but the node whose CA it names."""
    servicer, address = await _served(node)
    other = NodeCa.create(NODE, SystemClock())
    with pytest.raises(Unauthenticated, match="HANDSHAKE_FAILED"):
        await enrol(_settings(tmp_path, address, other), NODE, tmp_path / "identity")
    assert not servicer.requests
    assert not is_enrolled(tmp_path / "identity")


@pytest.mark.parametrize("cut", [0, 1, 14, 15, 40, 300, -1])
async def test_an_invite_that_is_none_is_told_at_once(tmp_path: Path, cut: int) -> None:
    """An invite that was cut off while copying must be named as that, and not told to whoever reads the log."""
    whole = _settings(tmp_path, "127.0.0.1:1", NodeCa.create(NODE, SystemClock()))
    with pytest.raises(InvalidArgument, match="no whole invite") as caught:
        await enrol(replace(whole, invite=whole.invite[:cut]), NODE, tmp_path / "identity")
    assert whole.invite[20:40] not in caught.value.message


async def test_an_invite_of_another_node_is_told_at_once(tmp_path: Path) -> None:
    """Whoever runs sites of two nodes mixes them up one day."""
    settings = _settings(tmp_path, "127.0.0.1:1", NodeCa.create("other", SystemClock()), of="other")
    with pytest.raises(InvalidArgument, match="of node other"):
        await enrol(settings, NODE, tmp_path / "identity")


async def test_a_node_that_is_not_there_is_told(node: LoopbackNode, tmp_path: Path) -> None:
    """A wrong address ends with its name, not with a trace of calls."""
    settings = _settings(tmp_path, "127.0.0.1:1", node.ca)
    with pytest.raises(Unavailable, match=r"nothing answers at 127\.0\.0\.1:1 .*open outgoing TCP"):
        await enrol(settings, NODE, tmp_path / "identity")
