"""The transport's handlers."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING

from suanmesh.transport.v1 import dataset_pb2, transfer_pb2
from suanmesh.transport.v1 import transport_service_pb2 as pb
from suanmesh_kernel import pages
from suanmesh_kernel.clock import Clock, Rng
from suanmesh_kernel.identifiers import sortable_id
from suanmesh_kernel.names import checked_dataset, checked_name
from suanmesh_kernel.reasons import StateReason
from suanmesh_kernel.refusals import InvalidArgument, PermissionDenied, Refusal
from suanmesh_sdk.status import refusal_of, status_of
from suanmesh_store import Mirror
from suanmesh_transport import wire
from suanmesh_transport.domain import datasets, transfers
from suanmesh_transport.ports import Jobs
from suanmesh_transport.publishing import Publication, Published
from suanmesh_transport.reader import FileReader
from suanmesh_transport.repository import AREA, Asked, Outcome, Repository
from suanmesh_transport.tickets import TicketOffice
from suanmesh_transport.uploading import Uploading
from suanmesh_transport.watch import watched

if TYPE_CHECKING:
    from suanmesh_chassis import Call

BATCH_MAX = 100


class TransportReads:
    """What any instance answers."""

    def __init__(self, repository: Repository, kept: Mirror[transfer_pb2.Transfer]) -> None:
        self._repository = repository
        self._catalog = repository.catalog()
        self._kept = kept

    async def GetDataset(self, request: pb.GetDatasetRequest, call: Call) -> dataset_pb2.Dataset:
        """Return one dataset with its replicas."""
        return await self._repository.dataset(checked_dataset(request.name), _party(call), call.site)

    async def ListDatasets(self, request: pb.ListDatasetsRequest, call: Call) -> pb.ListDatasetsResponse:
        """List datasets by name."""
        party, labels = _party(call), dict(request.labels)
        size, scope = pages.checked_size(request.page_size), f"ListDatasets {party} {sorted(labels.items())}"
        after = pages.after(request.page_token, scope)
        found, seen = await self._catalog.page(party, after, size + 1, labels)
        taken, token = pages.cut(found, size, scope)
        token = token or (pages.token(seen, scope) if seen else "")
        return pb.ListDatasetsResponse(datasets=[found[name] for name in taken], next_page_token=token)

    async def ListDatasetVersions(
        self, request: pb.ListDatasetVersionsRequest, call: Call
    ) -> pb.ListDatasetVersionsResponse:
        """List the versions of a dataset, the newest first."""
        name = checked_name(request.name, "datasets")
        size, scope = pages.checked_size(request.page_size), f"ListDatasetVersions {name}"
        below = pages.as_number(pages.after(request.page_token, scope))
        found = await self._catalog.versions(name, _party(call), below, size + 1)
        token = pages.token(str(found[size - 1].version), scope) if len(found) > size else ""
        return pb.ListDatasetVersionsResponse(datasets=found[:size], next_page_token=token)

    async def GetTransfer(self, request: pb.GetTransferRequest, call: Call) -> transfer_pb2.Transfer:
        """Return one transfer."""
        name = checked_name(request.name, "transfers")
        return _for(call, await self._repository.shown(name, _party(call), call.site))

    async def ListTransfers(self, request: pb.ListTransfersRequest, call: Call) -> pb.ListTransfersResponse:
        """List transfers, the newest first."""
        party = _party(call)
        size, scope = pages.checked_size(request.page_size), f"ListTransfers {party}"
        found = await self._repository.transfers(party, pages.after(request.page_token, scope), size + 1)
        taken, token = pages.cut(found, size, scope)
        return pb.ListTransfersResponse(transfers=[_for(call, found[place]) for place in taken], next_page_token=token)

    async def WatchTransfers(
        self, request: pb.WatchTransfersRequest, call: Call
    ) -> AsyncIterator[pb.WatchTransfersResponse]:
        """Stream the transfers towards the calling agent's site."""
        if checked_name(request.site, "sites", field="site") != call.site:
            raise PermissionDenied("NOT_OWNER", f"{call.site} cannot watch for {request.site}", name=request.site)
        async for batch in watched(self._kept, call.site):
            yield batch


class TransportService(TransportReads):
    """Names, digests and replicas of datasets, and the transfers between sites."""

    def __init__(
        self,
        repository: Repository,
        uploading: Uploading,
        kept: Mirror[transfer_pb2.Transfer],
        office: TicketOffice,
        reader: FileReader,
        jobs: Jobs,
        clock: Clock,
        rng: Rng,
        *,
        read_ticket_lifetime_s: float,
        upload_ticket_lifetime_s: float,
    ) -> None:
        super().__init__(repository, kept)
        self._publishing = repository.publishing()
        self._uploading = uploading
        self._office = office
        self._reader = reader
        self._jobs = jobs
        self._clock = clock
        self._rng = rng
        self._read_lifetime = timedelta(seconds=read_ticket_lifetime_s)
        self._upload_lifetime = timedelta(seconds=upload_ticket_lifetime_s)

    async def CreateDatasets(self, request: pb.CreateDatasetsRequest, call: Call) -> pb.CreateDatasetsResponse:
        """Publish datasets whose first replicas lie at the calling agent's site."""
        _check_count(request.items, "items")
        asked = [self._publication(item, call.site) for item in request.items]
        outcomes = await self._publishing.publish(asked, call.site, call.author())
        return pb.CreateDatasetsResponse(results=[_dataset_result(outcome) for outcome in outcomes])

    async def SetDatasetLabels(self, request: pb.SetDatasetLabelsRequest, call: Call) -> dataset_pb2.Dataset:
        """Say anew what a version of a dataset is sorted by."""
        name = checked_dataset(request.name)
        return await self._catalog.set_labels(name, _party(call), dict(request.labels), call.author())

    async def RemoveDataset(self, request: pb.RemoveDatasetRequest, call: Call) -> pb.RemoveDatasetResponse:
        """Remove a version of a dataset, or all of it; copies that nobody's job waits for are not made any more."""
        name = checked_dataset(request.name)
        removed = await self._catalog.remove(name, _party(call), self._jobs, call.author())
        for transfer in self._catalog.copies_of(name):
            await self._repository.cancel(transfer, "", StateReason("CANCELLED", {"by": call.principal}), call.author())
        return pb.RemoveDatasetResponse(versions=removed)

    async def FindUnnamedContent(
        self, request: pb.FindUnnamedContentRequest, call: Call
    ) -> pb.FindUnnamedContentResponse:
        """Say which contents at the calling agent's site no dataset has there any more."""
        if checked_name(request.site, "sites", field="site") != call.site:
            raise PermissionDenied("NOT_OWNER", f"{call.site} cannot ask for {request.site}", name=request.site)
        return pb.FindUnnamedContentResponse(digests=await self._catalog.unnamed(request.digests, call.site))

    async def CreateTransfers(self, request: pb.CreateTransfersRequest, call: Call) -> pb.CreateTransfersResponse:
        """Make transfers, each with its ticket."""
        _check_count(request.items, "items")
        asked = [self._asked(index, item, call) for index, item in enumerate(request.items)]
        outcomes = await self._repository.make(
            asked, lambda found: call.idempotency(_transfers_to(found, call)), call.author()
        )
        return _transfers_to(outcomes, call)

    async def CancelTransfer(self, request: pb.CancelTransferRequest, call: Call) -> transfer_pb2.Transfer:
        """End a transfer that has not ended."""
        name = checked_name(request.name, "transfers")
        reason = StateReason("CANCELLED", {"by": call.principal})
        return _for(call, await self._repository.cancel(name, _party(call), reason, call.author()))

    async def ReportTransfers(self, request: pb.ReportTransfersRequest, call: Call) -> pb.ReportTransfersResponse:
        """Take what the target's agent reports; each item is answered by itself."""
        _check_count(request.reports, "reports")
        return pb.ReportTransfersResponse(results=[await self._reported(report, call) for report in request.reports])

    async def ReadFile(self, request: pb.ReadFileRequest, call: Call) -> AsyncIterator[pb.ReadFileResponse]:
        """Stream one file of a dataset from a site that has it."""
        name = checked_dataset(request.dataset, field="dataset")
        dataset = wire.dataset_from(await self._repository.dataset(name, _party(call)))
        place = await self._repository.source_of(dataset)
        ticket = self._office.for_reading(dataset, place.site, self._clock.now() + self._read_lifetime)
        pieces = self._reader.read(place, ticket, dataset, os.fsdecode(request.path), caller=call.principal)
        async with aclosing(pieces):
            async for content in pieces:
                yield pb.ReadFileResponse(content=content)

    async def OpenDataset(self, request: pb.OpenDatasetRequest, call: Call) -> pb.OpenDatasetResponse:
        """Find a site to read a dataset at, with a ticket for the caller."""
        shown = await self._repository.dataset(checked_dataset(request.name), _party(call))
        dataset = wire.dataset_from(shown)
        place = await self._repository.source_of(dataset)
        until = self._clock.now() + self._read_lifetime
        ticket = self._office.for_reading(dataset, place.site, until, reader=call.principal)
        return pb.OpenDatasetResponse(dataset=shown, site=place.site, ticket=ticket)

    async def OpenUpload(self, request: pb.OpenUploadRequest, call: Call) -> pb.OpenUploadResponse:
        """Find a site for data that the caller brings, with a ticket for them."""
        given = request.dataset
        given.party = (given.party if call.is_("operator") else "") or call.party
        if request.site:
            checked_name(request.site, "sites", field="site")
        now = self._clock.now()
        fresh = datasets.published(request.dataset_id, wire.dataset_given(given, request.site, now), request.site, now)
        fresh, target, known = await self._uploading.target(fresh, request.site, request.but)
        ticket = None
        if known is not None:
            until = now + self._upload_lifetime
            ticket = self._office.for_upload(fresh, target.place.site, until, writer=call.principal, known=known)
        version = fresh.version if ticket is None else 0
        return pb.OpenUploadResponse(
            dataset=fresh.name,
            site=target.place.site,
            ticket=ticket,
            version=version,
            choice=pb.UploadChoice.Value(f"UPLOAD_CHOICE_{target.choice}"),
            distance_km=target.distance_km,
            latency_us=target.latency_us,
        )

    async def GetTicketKey(self, request: pb.GetTicketKeyRequest, call: Call) -> pb.TicketKey:
        """Return the public key tickets are signed with."""
        return self._office.key

    def _publication(self, item: pb.DatasetAsk, site: str) -> Publication | InvalidArgument:
        try:
            if item.placement:
                checked_name(item.placement, "placements", field="placement")
            given = wire.dataset_given(item.dataset, site, self._clock.now())
            upload = item.upload if item.HasField("upload") else None
            fresh = datasets.published(item.dataset_id, given, site, self._clock.now())
            return Publication(fresh, item.placement, upload)
        except InvalidArgument as refusal:
            return refusal

    def _asked(self, index: int, item: pb.TransferAsk, call: Call) -> Asked | Outcome:
        """What one item wants, or what became of it when the same request came before."""
        earlier = call.earlier.get(index)
        if isinstance(earlier, pb.TransferResult):
            return refusal_of(earlier.error) if earlier.HasField("error") else earlier.transfer
        try:
            ask = wire.ask_from(item, sortable_id(self._clock.now(), self._rng))
            transfers.require_valid_ask(ask, by_service=call.is_("service"))
        except InvalidArgument as refusal:
            return refusal
        return Asked(ask, _party(call), item.traceparent)

    async def _reported(self, message: pb.TransferReport, call: Call) -> pb.TransferResult:
        try:
            report = wire.report_from(message)
            return pb.TransferResult(
                transfer=await self._repository.report(message.transfer, report, call.site, call.author())
            )
        except Refusal as refusal:
            return pb.TransferResult(error=status_of(refusal, area=AREA))


def _dataset_result(outcome: Published) -> pb.DatasetResult:
    if isinstance(outcome, Refusal):
        return pb.DatasetResult(error=status_of(outcome, area=AREA))
    return pb.DatasetResult(dataset=outcome)


def _party(call: Call) -> str:
    """Whose resources the caller sees; empty for those of all."""
    return call.party if call.is_("user") and not call.is_("operator") else ""


def _for(call: Call, transfer: transfer_pb2.Transfer) -> transfer_pb2.Transfer:
    """The transfer as the caller may see it: its ticket opens a data plane and is for agents and services."""
    if call.is_("agent") or call.is_("service") or not transfer.HasField("ticket"):
        return transfer
    shown = transfer_pb2.Transfer()
    shown.CopyFrom(transfer)
    shown.ClearField("ticket")
    return shown


def _transfers_to(outcomes: Sequence[Outcome], call: Call) -> pb.CreateTransfersResponse:
    return pb.CreateTransfersResponse(
        results=[
            pb.TransferResult(error=status_of(outcome, area=AREA))
            if isinstance(outcome, Refusal)
            else pb.TransferResult(transfer=_for(call, outcome))
            for outcome in outcomes
        ]
    )


def _check_count(items: Sequence[object], field: str) -> None:
    if not 1 <= len(items) <= BATCH_MAX:
        raise _invalid(field, f"{len(items)} are not 1 to {BATCH_MAX}")


def _invalid(field: str, problem: str) -> InvalidArgument:
    return InvalidArgument("FIELD_INVALID", f"{field}: {problem}", field=field)
