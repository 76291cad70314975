"""Tickets: the right to read one dataset at one site, signed so that the site checks it offline."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from suanmesh.transport.v1.transfer_pb2 import TransferTicket, UploadTicket
from suanmesh.transport.v1.transport_service_pb2 import TicketKey
from suanmesh.type.v1.signed_pb2 import Signed
from suanmesh_chassis.signing import verify
from suanmesh_kernel.refusals import PermissionDenied
from suanmesh_transport.domain.datasets import Dataset
from suanmesh_transport.domain.transfers import Transfer
from suanmesh_transport.ports import TicketSigner


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

    def for_reading(self, dataset: Dataset, source: str, expire_time: datetime, *, reader: str = "") -> Signed:
        """A ticket to read files: for `reader`, or for ourselves, on somebody's behalf."""
        reader = reader or self._identity
        ticket = TransferTicket(dataset=dataset.name, digest=dataset.digest, source=source, reader=reader)
        return self._signed(ticket, expire_time)

    def for_upload(
        self, dataset: Dataset, target: str, expire_time: datetime, *, writer: str, known: Sequence[str]
    ) -> Signed:
        """A ticket to bring a dataset to a site."""
        ticket = UploadTicket(
            dataset=dataset.name,
            digest=dataset.digest,
            party=dataset.party,
            target=target,
            writer=writer,
            known=known,
            residency=dataset.residency,
            labels=dataset.labels,
        )
        return self._signed(ticket, expire_time)

    def require_upload(self, signed: Signed, dataset: Dataset, site: str) -> None:
        """Raise PermissionDenied (`NOT_OWNER`) unless `signed` is our ticket to bring `dataset` to `site`.

        Its time does not matter any more: it was begun within it.
        """
        claim = UploadTicket()
        ours = signed.payload_type == claim.DESCRIPTOR.full_name and verify(signed, self._signer.public_key)
        if ours:
            claim.ParseFromString(signed.payload)
        told = (claim.dataset, claim.digest, claim.party, claim.target, tuple(claim.residency))
        if not ours or told != (dataset.name, dataset.digest, dataset.party, site, dataset.residency):
            message = f"the ticket is not one to bring {dataset.name} to {site}"
            raise PermissionDenied("NOT_OWNER", message, name=dataset.name, site=site)

    def _signed(self, ticket: TransferTicket | UploadTicket, expire_time: datetime) -> Signed:
        ticket.expire_time.FromDatetime(expire_time)
        return self._signer.sign(ticket.DESCRIPTOR.full_name, ticket.SerializeToString())
