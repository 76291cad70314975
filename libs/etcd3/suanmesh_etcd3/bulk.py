"""Writing many keys: a few hundred a transaction, a few transactions in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from suanmesh.etcdwire.v1 import etcdwire_pb2 as pb
from suanmesh_etcd3.calls import Calls
from suanmesh_etcd3.errors import TooManyOperations, first_of
from suanmesh_etcd3.values import Key, Op, raw

OPERATIONS_MAX = 500
BYTES_MAX = 1_200_000
IN_FLIGHT = 8


async def bulk_put(client: Calls, items: Iterable[tuple[Key, bytes]], *, lease: int = 0) -> int:
    """Write all items; answers how many.

    Each pack is written whole or not at all; after a failure some packs are written and others are not. A server that
    takes fewer operations in a transaction than we pack is asked for its limit. Raises what a put raises.
    """
    packs = _packs(items, lease)
    written = 0

    async def write_packs() -> None:
        nonlocal written
        for pack in packs:
            await _write(client, pack)
            written += len(pack)

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(IN_FLIGHT):
                tasks.create_task(write_packs())
    except ExceptionGroup as failures:
        raise first_of(failures) from None
    return written


async def _write(client: Calls, pack: list[pb.RequestOp]) -> None:
    limit = client.txn_ops_known or len(pack)
    try:
        for start in range(0, len(pack), limit):
            await client.txn([], pack[start : start + limit])
    except TooManyOperations:
        if limit == 1:
            raise
        client.txn_ops_known = await client.max_txn_ops(pack[0].request_put.key, most=limit - 1)
        await _write(client, pack)


def _packs(items: Iterable[tuple[Key, bytes]], lease: int) -> Iterator[list[pb.RequestOp]]:
    pack: list[pb.RequestOp] = []
    size = 0
    for key, value in items:
        operation = Op.put(key, value, lease=lease)
        length = len(raw(key)) + len(value)
        if pack and (len(pack) == OPERATIONS_MAX or size + length > BYTES_MAX):
            yield pack
            pack, size = [], 0
        pack.append(operation)
        size += length
    if pack:
        yield pack
