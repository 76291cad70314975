"""Joining a node over its enrolment listener: whom the agent trusts, and what it keeps."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509

from suanmesh.registry.v1 import registry_service_pb2 as pb
from suanmesh.registry.v1 import site_pb2
from suanmesh_agent.enrolment import enrol, is_enrolled
from suanmesh_agent.settings import AgentSettings
from suanmesh_chassis import Call, Listener, Served
from suanmesh_chassis.ca import NodeCa, server_name
from suanmesh_chassis.identity import agent_id, spiffe_ids
from suanmesh_chassis.testing import NODE, LoopbackNode
from suanmesh_kernel.clock import SystemClock
from suanmesh_kernel.refusals import InvalidArgument, NotFound, Refusal, Unauthenticated

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
    listener = Listener("127.0.0.1:0", client_certificate=False)
    return servicer, await node.serve(process, [Served(SERVICE, servicer)], listener=listener)


def _settings(folder: Path, address: str, ca_hash: str) -> AgentSettings:
    return AgentSettings(
        site="a", data_dir=folder, enrol=address, join_token=f"sjt1.id.secret.{ca_hash}", city_code="520100"
    )


async def test_an_agent_joins_with_a_token(node: LoopbackNode, tmp_path: Path) -> None:
    """One command turns a machine into a site: identity signed by the node, keys that only the agent reads."""
    servicer, address = await _served(node)
    folder = tmp_path / "identity"
    site = await enrol(_settings(tmp_path, address, node.ca.fingerprint), NODE, folder)
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
    settings = _settings(tmp_path, address, node.ca.fingerprint)
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
    with pytest.raises(Unauthenticated) as caught:
        await enrol(_settings(tmp_path, address, other.fingerprint), NODE, tmp_path / "identity")
    assert caught.value.reason == "JOIN_TOKEN_INVALID"
    assert not servicer.requests
    assert not is_enrolled(tmp_path / "identity")


@pytest.mark.parametrize("token", ["", "sjt1.a.b", "sjt2.a.b." + "0" * 64, "sjt1.a.b.short"])
async def test_a_token_that_is_none_is_told_at_once(tmp_path: Path, token: str) -> None:
    """A token that was cut off while copying must be named as that."""
    settings = AgentSettings(site="a", data_dir=tmp_path, enrol="127.0.0.1:1", join_token=token)
    with pytest.raises(InvalidArgument, match="join token"):
        await enrol(settings, NODE, tmp_path / "identity")


async def test_a_node_that_is_not_there_is_told(node: LoopbackNode, tmp_path: Path) -> None:
    """A wrong address ends with its name, not with a trace of calls."""
    settings = _settings(tmp_path, "127.0.0.1:1", node.ca.fingerprint)
    with pytest.raises((OSError, Refusal)):
        await enrol(settings, NODE, tmp_path / "identity")
