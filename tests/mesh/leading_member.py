"""Makes a member of etcd lead: python leading_member.py IDENTITY MEMBER OTHER..., addresses as `host:port`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from google.protobuf.empty_pb2 import Empty
from google.protobuf.wrappers_pb2 import UInt64Value

from suanmesh_etcd3 import connect
from suanmesh_etcd3.endpoints import Tls

MOVE_LEADER = "/etcdserverpb.Maintenance/MoveLeader"


async def main(identity: Path, member: str, others: list[str]) -> None:
    """Ask whoever leads to hand its lead over; its message has the member's number in the first field."""
    ca, certificate, key = ((identity / name).read_bytes() for name in ("ca.pem", "cert.pem", "key.pem"))
    tls = Tls(ca, certificate, key)
    async with connect([member, *others], tls=tls) as client:
        wanted = await client.status(member)
        if wanted.leads:
            return
        for endpoint in client.endpoints.all:
            if (await client.status(endpoint.address)).member_id == wanted.leader_id:
                move = endpoint.channel.unary_unary(MOVE_LEADER, UInt64Value.SerializeToString, Empty.FromString)
                await move(UInt64Value(value=wanted.member_id))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
