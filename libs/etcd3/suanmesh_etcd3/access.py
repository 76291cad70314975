"""Who may read and write what: etcd's role-based access, with users that are known by their certificates."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from suanmesh.etcdwire.v1 import etcdwire_pb2 as pb
from suanmesh_etcd3 import endpoints as ep
from suanmesh_etcd3.client import Client
from suanmesh_etcd3.errors import AlreadyThere
from suanmesh_etcd3.values import prefix_end, raw

ROOT = "root"
"""The user and role that etcd wants to be there before it checks anything; they may do everything."""


@dataclass(frozen=True, slots=True)
class User:
    """Whose certificate has `name` as its common name may read and write keys under these prefixes, and no others."""

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


async def confine(client: Client, users: Iterable[User]) -> None:
    """Have etcd let each user touch its own prefixes only, and whoever is no user nothing at all.

    `client` comes with the certificate of `ROOT`, or with any as long as etcd checks nothing yet. Doing it again brings
    every named user's permissions to what is said now, so that one who has lost a prefix loses it here too.
    """
    await _user(client, ROOT)
    for user in users:
        await _user(client, user.name)
        await _permit(client, user)
    await client.write(ep.AUTH_ENABLE, pb.AuthEnableRequest(), "auth_enable", b"", repeatable=True)


async def _user(client: Client, name: str) -> None:
    """Have a user with a role of the same name."""
    options = pb.UserAddOptions(no_password=True)
    for method, request in (
        (ep.AUTH_ROLE_ADD, pb.AuthRoleAddRequest(name=name)),
        (ep.AUTH_USER_ADD, pb.AuthUserAddRequest(name=name, options=options)),
        (ep.AUTH_USER_GRANT_ROLE, pb.AuthUserGrantRoleRequest(user=name, role=name)),
    ):
        with suppress(AlreadyThere):
            await client.write(method, request, "auth_user", b"", repeatable=True)


async def _permit(client: Client, user: User) -> None:
    """Bring the role's permissions to what the user is to have."""
    reads = {_range(prefix): pb.Permission.READ for prefix in user.reads}
    wanted = reads | {_range(prefix): pb.Permission.READWRITE for prefix in user.writes}
    role = await client.read(ep.AUTH_ROLE_GET, pb.AuthRoleGetRequest(role=user.name), "auth_role", b"")
    standing = {(bytes(perm.key), bytes(perm.range_end)): perm.permType for perm in role.perm}
    for key, end in standing.keys() - wanted.keys():
        request = pb.AuthRoleRevokePermissionRequest(role=user.name, key=key, range_end=end)
        await client.write(ep.AUTH_ROLE_REVOKE_PERMISSION, request, "auth_revoke", b"")
    for (key, end), kind in wanted.items():
        if standing.get((key, end)) != kind:
            perm = pb.Permission(permType=kind, key=key, range_end=end)
            grant = pb.AuthRoleGrantPermissionRequest(name=user.name, perm=perm)
            await client.write(ep.AUTH_ROLE_GRANT_PERMISSION, grant, "auth_grant", b"", repeatable=True)


def _range(prefix: str) -> tuple[bytes, bytes]:
    return raw(prefix), prefix_end(prefix)
