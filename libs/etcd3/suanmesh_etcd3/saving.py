"""A copy of the whole store as one member has it, piece by piece, checked by the hash that etcd sends behind it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator

import grpc

from suanmesh.etcdwire.v1 import etcdwire_pb2 as pb
from suanmesh_etcd3 import endpoints as ep
from suanmesh_etcd3.calls import ATTEMPT_S_MAX, HISTORY_KEY, Calls
from suanmesh_etcd3.errors import CopyTorn, Unavailable, Verdict, error_of, verdict_of

HASH_BYTES = hashlib.sha256().digest_size
"""What comes last: the SHA-256 of all that came before."""


class CopyCheck:
    """Takes the pieces of a copy one after the other and says at the end whether they are all that was sent."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._hash = hashlib.sha256()
        self._tail = b""

    def take(self, piece: bytes) -> None:
        """One more piece; of what came only the hash is kept, and as many bytes as another hash has."""
        self.size_bytes += len(piece)
        held = self._tail + piece
        self._hash.update(held[:-HASH_BYTES])
        self._tail = held[-HASH_BYTES:]

    def require_whole(self) -> None:
        """Raise CopyTorn where the last bytes are not the hash of all before them."""
        if self.size_bytes <= HASH_BYTES or self._hash.digest() != self._tail:
            raise CopyTorn(f"a copy of {self.size_bytes} bytes is cut off or changed")


async def copied(calls: Calls) -> AsyncGenerator[bytes, None]:
    """The pieces of a copy, its hash with them: of one moment that is no older than the call.

    What is ahead of the reader waits at the member. Raises Unavailable where the member ends before all has come, which
    is to be begun anew; CopyTorn where what came is not what was sent; Denied to whoever is not etcd's root.
    """
    endpoint, check = calls.endpoints.pick(), CopyCheck()
    try:
        looked = pb.RangeRequest(key=HISTORY_KEY, count_only=True)
        await endpoint.calls[ep.RANGE.path](looked, timeout=ATTEMPT_S_MAX)  # the member has all that came before
        stream = endpoint.calls[ep.SNAPSHOT.path](iter([pb.SnapshotRequest()]))
        try:
            async for answer in stream:
                check.take(answer.blob)
                yield answer.blob
        finally:
            stream.cancel()
    except grpc.aio.AioRpcError as error:
        if verdict_of(error) is Verdict.FINAL:
            raise error_of(error) from error
        calls.endpoints.failed(endpoint)
        raise Unavailable(f"{endpoint.address}: {error.code().name}: {error.details()}") from error
    check.require_whole()
