"""Members of a cluster that come later, or leave: each first follows, and votes once it has caught up."""

from __future__ import annotations

from contextlib import suppress

from suanmesh.etcdwire.v1 import etcdwire_pb2 as pb
from suanmesh_etcd3 import endpoints as ep
from suanmesh_etcd3.client import Client
from suanmesh_etcd3.errors import AlreadyThere, EtcdError
from suanmesh_etcd3.values import Member

_NOT_YET = ("learner member which is in sync", "not enough started members")
"""What etcd says as long as a member that follows has not caught up."""


async def members_of(client: Client) -> tuple[Member, ...]:
    """All members, those that have not begun yet among them. Raises Unavailable."""
    answer = await client.read(ep.MEMBER_LIST, pb.MemberListRequest(), "member_list", b"")
    return tuple(_member(each) for each in answer.members)


async def add_learner(client: Client, peer_url: str) -> None:
    """Take in a member at `peer_url`, which has no vote yet; one that is there already is fine.

    etcd takes in one at a time, and only where all that vote have been connected for some seconds. Raises EtcdError.
    """
    if any(peer_url in each.peer_urls for each in await members_of(client)):
        return
    request = pb.MemberAddRequest(peerURLs=[peer_url], isLearner=True)
    with suppress(AlreadyThere):
        await client.write(ep.MEMBER_ADD, request, "member_add", b"", repeatable=True)


async def announce_peer(client: Client, member_id: int, peer_url: str) -> None:
    """Have the others reach a member at `peer_url`; it listens there once it is started anew. Raises EtcdError."""
    request = pb.MemberUpdateRequest(ID=member_id, peerURLs=[peer_url])
    await client.write(ep.MEMBER_UPDATE, request, "member_update", b"", repeatable=True)


async def promote(client: Client, member_id: int) -> bool:
    """Give a member a vote; False as long as it has not caught up. Raises EtcdError."""
    try:
        await client.write(ep.MEMBER_PROMOTE, pb.MemberPromoteRequest(ID=member_id), "member_promote", b"")
    except EtcdError as fault:
        if any(each in str(fault) for each in _NOT_YET):
            return False
        raise
    return True


async def remove_member(client: Client, member_id: int) -> None:
    """Take a member out for good: its process ends by itself, and its data are of no use any more. Raises EtcdError."""
    await client.write(ep.MEMBER_REMOVE, pb.MemberRemoveRequest(ID=member_id), "member_remove", b"")


def _member(member: pb.Member) -> Member:
    addresses = tuple(ep.bare_address(url) for url in member.clientURLs)
    return Member(member.ID, member.name, tuple(member.peerURLs), addresses, member.isLearner)
