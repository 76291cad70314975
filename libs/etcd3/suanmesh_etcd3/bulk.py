"""Writing many keys: a few hundred a transaction, a few transactions in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from suanmesh.etcdwire.v1 import etcdwire_pb2 as pb
from suanmesh_etcd3.values import Key, Op

if TYPE_CHECKING:
    from suanmesh_etcd3.client import Client

OPERATIONS_MAX = 500
BYTES_MAX = 1_200_000
IN_FLIGHT = 8


async def bulk_put(client: Client, items: Iterable[tuple[Key, bytes]], *, lease: int = 0) -> int:
    """Write all items; answers how many. A failure leaves the transactions before it written: each is all or nothing.

    Raises what a put raises.
    """
    packs = _packs(items, lease)
    written = 0

    async def write_packs() -> None:
        nonlocal written
        for pack in packs:
            await client.txn([], pack)
            written += len(pack)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(IN_FLIGHT):
            tasks.create_task(write_packs())
    return written


def _packs(items: Iterable[tuple[Key, bytes]], lease: int) -> Iterator[list[pb.RequestOp]]:
    pack: list[pb.RequestOp] = []
    size = 0
    for key, value in items:
        operation = Op.put(key, value, lease=lease)
        length = len(key) + len(value)
        if pack and (len(pack) == OPERATIONS_MAX or size + length > BYTES_MAX):
            yield pack
            pack, size = [], 0
        pack.append(operation)
        size += length
    if pack:
        yield pack
