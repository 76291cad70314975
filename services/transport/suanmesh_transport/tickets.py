"""Tickets: the right to read one dataset at one site, signed so that the site checks it offline."""

from __future__ import annotations

from datetime import datetime

from suanmesh.transport.v1.transfer_pb2 import TransferTicket
from suanmesh.transport.v1.transport_service_pb2 import TicketKey
from suanmesh.type.v1.signed_pb2 import Signed
from suanmesh_transport.domain.datasets import Dataset
from suanmesh_transport.domain.transfers import Transfer
from suanmesh_transport.ports import TicketSigner

_PAYLOAD_TYPE = TransferTicket.DESCRIPTOR.full_name


class TicketOffice:
    """Issues tickets in the transport's name."""

    def __init__(self, signer: TicketSigner, identity: str) -> None:
        self._signer = signer
        self._identity = identity

    @property
    def key(self) -> TicketKey:
        """What sources check tickets with."""
        return TicketKey(key_id=self._signer.key_id, public_key=self._signer.public_key)

    def for_transfer(self, transfer: Transfer, reader: str, expire_time: datetime) -> Signed:
        """A ticket for the target's agent."""
        ticket = TransferTicket(
            transfer=transfer.name,
            dataset=transfer.dataset,
            digest=transfer.digest,
            source=transfer.source,
            reader=reader,
            rate_bps=transfer.rate_bps,
        )
        return self._signed(ticket, expire_time)

    def for_reading(self, dataset: Dataset, source: str, expire_time: datetime) -> Signed:
        """A ticket for ourselves, to read a file for somebody."""
        ticket = TransferTicket(dataset=dataset.name, digest=dataset.digest, source=source, reader=self._identity)
        return self._signed(ticket, expire_time)

    def _signed(self, ticket: TransferTicket, expire_time: datetime) -> Signed:
        ticket.expire_time.FromDatetime(expire_time)
        return self._signer.sign(_PAYLOAD_TYPE, ticket.SerializeToString())
