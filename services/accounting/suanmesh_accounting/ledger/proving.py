"""What proves of stored usage records that their sites vouch for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from suanmesh_accounting.domain.queries import ProvedUsage
from suanmesh_accounting.ledger import tables as t
from suanmesh_kernel.merkle import HASH_BYTES, audit_paths


def proved_usage(connection: Connection, rows: Sequence[Row[Any]]) -> tuple[ProvedUsage, ...]:
    """Rows of `usage`, each with the batch it came in and its path through the batch's tree."""
    of_batch: dict[int, list[Row[Any]]] = {}
    for row in rows:
        of_batch.setdefault(row.batch, []).append(row)
    signed: dict[int, bytes] = {}
    paths: dict[int, list[bytes]] = {}
    b = t.usage_batches.c
    for batch in connection.execute(select(b.id, b.signed, b.leaves).where(b.id.in_(of_batch))) if rows else ():
        signed[batch.id] = batch.signed
        if batch.leaves:
            leaves = [batch.leaves[at : at + HASH_BYTES] for at in range(0, len(batch.leaves), HASH_BYTES)]
            mine = of_batch[batch.id]
            paths |= zip((row.id for row in mine), audit_paths(leaves, (row.leaf_index for row in mine)), strict=True)
    return tuple(
        ProvedUsage(row.record, signed[row.batch], row.leaf_index, paths.get(row.id, ()), row.record_us) for row in rows
    )
