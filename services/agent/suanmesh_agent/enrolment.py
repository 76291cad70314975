"""Joining a node: an invite, keys that never leave the folder, a certificate signed by the node's CA."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from suanmesh.registry.v1 import registry_service_pb2 as pb
from suanmesh.registry.v1 import site_pb2
from suanmesh_agent.settings import AgentSettings
from suanmesh_chassis.signing import load_signer, new_signing_key, private_pem
from suanmesh_kernel.private import private_folder, replace_private, write_private
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_sdk import Mesh, invites

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey


def is_enrolled(folder: Path) -> bool:
    """Whether the folder holds a whole identity."""
    return all((folder / name).exists() for name in ("cert.pem", "key.pem", "ca.pem", "signing.key"))


async def enrol(settings: AgentSettings, node: str, folder: Path) -> site_pb2.Site:
    """Spend the invite; the identity lies in `folder` afterwards.

    Keys are made once, so that a repeat after a lost answer is answered the same way. Raises InvalidArgument
    (`FIELD_INVALID`) where it is no invite, or one of another node, and what `trusted_ca` and EnrolSite refuse with.
    """
    invite = invites.read_invite(settings.invite)
    if invite.node != node:
        problem = f"it is one of node {invite.node}, and this agent is told that its node is {node}"
        raise InvalidArgument("FIELD_INVALID", f"invite: {problem}", domain="mesh.suanmesh", field="invite")
    ca_pem = await invites.trusted_ca(invite)
    async with invites.mesh_of(invite, ca_pem) as mesh:
        return await spend_token(mesh, invite.token, settings, folder)


async def spend_token(mesh: Mesh, token: str, settings: AgentSettings, folder: Path) -> site_pb2.Site:
    """Have the registry behind `mesh` certify the keys in `folder`, which are made where there are none."""
    request = pb.EnrolSiteRequest(
        token=token,
        site_id=settings.site,
        site=_site(settings),
        csr_der=invites.signing_request(_kept_key(folder)),
        signing_key=load_signer(folder / "signing.key", "").public_key,
    )
    answer = await mesh.registry.EnrolSite(request)
    replace_private(folder / "ca.pem", answer.ca_pem)
    replace_private(folder / "cert.pem", answer.certificate_pem)
    return answer.site


def _kept_key(folder: Path) -> EllipticCurvePrivateKey:
    """The P-256 key of this agent, made once; the signing key beside it."""
    private_folder(folder)
    if not (folder / "signing.key").exists():
        write_private(folder / "signing.key", private_pem(new_signing_key()))
    path = folder / "key.pem"
    if not path.exists():
        write_private(path, invites.key_pem(invites.new_key()))
    try:
        return invites.key_of(path.read_bytes())
    except ValueError as fault:
        raise InvalidArgument("FIELD_INVALID", f"{path} does not hold a P-256 key", field="key.pem") from fault


def _site(settings: AgentSettings) -> site_pb2.Site:
    site = site_pb2.Site(
        display_name=settings.display_name,
        city_code=settings.city_code,
        latitude_microdegrees=settings.latitude_microdegrees,
        longitude_microdegrees=settings.longitude_microdegrees,
        residency=settings.residency,
    )
    if settings.pue_milli:
        site.pue_milli = settings.pue_milli
    return site
