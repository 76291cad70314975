"""What an agent sees of the transfers towards its site."""

from __future__ import annotations

from collections.abc import AsyncIterator

from suanmesh.transport.v1.transfer_pb2 import Transfer
from suanmesh.transport.v1.transport_service_pb2 import WatchTransfersResponse
from suanmesh_store import Mirror

_ENDED = frozenset({Transfer.STATE_DONE, Transfer.STATE_FAILED, Transfer.STATE_CANCELLED})


async def watched(kept: Mirror[Transfer], site: str) -> AsyncIterator[WatchTransfersResponse]:
    """First all transfers towards `site` that have not ended, then every change of one, each as it stands then."""
    with kept.following() as dirty:
        towards = [held.message for held in kept.values() if held.message.target == site]
        waiting = [transfer for transfer in towards if transfer.state not in _ENDED]
        yield WatchTransfersResponse(transfers=waiting, snapshot=True)
        while True:
            held = kept.get(await dirty.take())
            if held is not None and held.message.target == site:
                yield WatchTransfersResponse(transfers=[held.message])
