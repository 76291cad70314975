"""Between the contract's messages and the domain's values."""

from __future__ import annotations

from datetime import UTC, datetime

from suanmesh.registry.v1.site_pb2 import Site
from suanmesh.scheduler.v1.placement_pb2 import Placement
from suanmesh.transport.v1 import dataset_pb2, transfer_pb2, transport_service_pb2
from suanmesh.type.v1 import state_reason_pb2
from suanmesh.type.v1.signed_pb2 import Signed
from suanmesh_kernel import pages
from suanmesh_kernel.names import checked_dataset, checked_id, checked_name, last, output_dataset_id
from suanmesh_kernel.reasons import StateReason
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_sdk.state_reasons import reason_from, reason_to, shorten
from suanmesh_sdk.values import timestamp
from suanmesh_transport.domain.datasets import Dataset, Replica, ReplicaState
from suanmesh_transport.domain.transfers import Ask, Place, Progress, Purpose, Receipt, Report, State, Transfer

REASON_BYTES_MAX = 512
"""Of why a transfer stands where it stands: the document must have room for the rest."""
LOG = "log"
"""What the dataset of a placement's log is named after, as if it were an output."""


def dataset_given(message: dataset_pb2.Dataset, site: str, now: datetime) -> Dataset:
    """A dataset somebody publishes: what the service sets is not read."""
    return Dataset(
        name="",
        party=message.party,
        digest=message.digest,
        size_bytes=message.bytes,
        files=message.files,
        residency=tuple(message.residency),
        replicas=(Replica(site, ReplicaState.COMPLETE, now),),
        create_time=now,
        labels=dict(message.labels),
    )


def dataset_from(message: dataset_pb2.Dataset) -> Dataset:
    """A stored dataset."""
    return Dataset(
        name=message.name,
        party=message.party,
        digest=message.digest,
        size_bytes=message.bytes,
        files=message.files,
        residency=tuple(message.residency),
        replicas=tuple(Replica(r.site, ReplicaState(r.state), r.update_time.ToDatetime(UTC)) for r in message.replicas),
        create_time=message.create_time.ToDatetime(UTC),
        labels=dict(message.labels),
        version=max(1, message.version),
        versions=max(1, message.versions),
    )


def places_of(message: dataset_pb2.Dataset) -> list[tuple[str, str, int]]:
    """The party of a stored dataset, each site that has the whole, in order, and how new it is: the newest least."""
    newness = -message.create_time.ToMicroseconds()
    return [(message.party, site, newness) for site in sorted(dataset_from(message).complete_sites)]


def dataset_to(dataset: Dataset, etag: str = "") -> dataset_pb2.Dataset:
    """A dataset as a message."""
    return dataset_pb2.Dataset(
        name=dataset.name,
        party=dataset.party,
        digest=dataset.digest,
        bytes=dataset.size_bytes,
        files=dataset.files,
        residency=dataset.residency,
        replicas=[
            dataset_pb2.Replica(
                name=f"{dataset.name}/replicas/{last(replica.site)}",
                site=replica.site,
                state=dataset_pb2.Replica.State.ValueType(replica.state.value),
                update_time=timestamp(replica.update_time),
            )
            for replica in dataset.replicas
        ],
        create_time=timestamp(dataset.create_time),
        etag=etag,
        labels=dataset.labels,
        version=dataset.version,
        versions=dataset.versions,
    )


def datasets_made(placement: Placement) -> frozenset[str]:
    """Names of the datasets a placement's outputs and its log may become."""
    job_id, attempt = last(placement.job), max(1, placement.attempt)
    outputs = [output.output_id for output in placement.work.outputs]
    return frozenset(
        f"datasets/{output_dataset_id(job_id, what, number)}" for what in (*outputs, LOG) for number in (0, attempt)
    )


def datasets_read(placement: Placement) -> frozenset[str]:
    """Names of its inputs, each with its version."""
    return frozenset(given.dataset for given in placement.work.inputs)


def ask_from(message: transport_service_pb2.TransferAsk, new_id: str) -> Ask:
    """Raises InvalidArgument (`FIELD_INVALID`)."""
    transfer_id = checked_id(message.transfer_id or new_id, field="transfer_id")
    if message.source:
        checked_name(message.source, "sites", field="source")
    if message.placement:
        checked_name(message.placement, "placements", field="placement")
    if message.reservation:
        checked_name(message.reservation, "reservations", field="reservation")
    if message.account:
        checked_name(message.account, "accounts", field="account")
    return Ask(
        name=f"transfers/{transfer_id}",
        dataset=checked_dataset(message.dataset, field="dataset"),
        source=message.source,
        target=checked_name(message.target, "sites", field="target"),
        placement=message.placement,
        reservation=message.reservation,
        rate_bps=message.rate_bps,
        account=message.account,
        purpose=_purpose_from(message.purpose),
    )


def transfer_from(message: transfer_pb2.Transfer) -> Transfer:
    """A stored transfer."""
    return Transfer(
        name=message.name,
        dataset=message.dataset,
        digest=message.digest,
        size_bytes=message.bytes,
        source=message.source,
        source_endpoint=message.source_endpoint,
        target=message.target,
        reservation=message.reservation,
        rate_bps=message.rate_bps,
        placement=message.placement,
        purpose=Purpose(message.purpose),
        state=State(message.state),
        state_reason=reason_from(message.state_reason),
        progress=_progress_from(message.progress),
        receipt=_receipt_from(message.receipt) if message.HasField("receipt") else None,
        party=message.party,
        account=message.account,
        create_time=message.create_time.ToDatetime(UTC),
        end_time=message.end_time.ToDatetime(UTC) if message.HasField("end_time") else None,
    )


def transfer_to(transfer: Transfer, ticket: Signed | None, traceparent: str) -> transfer_pb2.Transfer:
    """A transfer with its ticket and its trace; one that has ended keeps no ticket."""
    return transfer_pb2.Transfer(
        name=transfer.name,
        dataset=transfer.dataset,
        digest=transfer.digest,
        bytes=transfer.size_bytes,
        source=transfer.source,
        source_endpoint=transfer.source_endpoint,
        target=transfer.target,
        reservation=transfer.reservation,
        rate_bps=transfer.rate_bps,
        placement=transfer.placement,
        purpose=transfer_pb2.Transfer.Purpose.ValueType(transfer.purpose.value),
        ticket=None if transfer.ended else ticket,
        state=transfer_pb2.Transfer.State.ValueType(transfer.state.value),
        state_reason=_reason_to(transfer.state_reason),
        progress=_progress_to(transfer.progress),
        receipt=None if transfer.receipt is None else _receipt_to(transfer.receipt),
        party=transfer.party,
        account=transfer.account,
        create_time=timestamp(transfer.create_time),
        end_time=None if transfer.end_time is None else timestamp(transfer.end_time),
        traceparent=traceparent,
    )


def place_of(message: transfer_pb2.Transfer) -> str:
    """Where a transfer stands in lists."""
    return pages.newest_first(message.create_time.ToMicroseconds(), message.name)


def report_from(message: transport_service_pb2.TransferReport) -> Report:
    """Raises InvalidArgument (`FIELD_INVALID`)."""
    checked_name(message.transfer, "transfers", field="transfer")
    if message.state not in transfer_pb2.Transfer.State.values()[1:]:
        raise InvalidArgument("FIELD_INVALID", "state: say where the transfer stands", field="state")
    receipt = _receipt_from(message.receipt) if message.HasField("receipt") else None
    return Report(State(message.state), reason_from(message.reason), _progress_from(message.progress), receipt)


def place_from(message: Site) -> Place:
    """What the transport needs to know of a site."""
    return Place(
        site=message.name,
        endpoint=message.data_endpoint,
        agent=message.agent,
        alive=message.liveness == Site.LIVENESS_ALIVE,
        lost=message.liveness == Site.LIVENESS_LOST,
        residency=tuple(message.residency),
        party=message.party,
        latitude=message.latitude_microdegrees / 1e6,
        longitude=message.longitude_microdegrees / 1e6,
        closed=message.admission not in (Site.ADMISSION_UNSPECIFIED, Site.ADMISSION_OPEN),
    )


def _purpose_from(value: int) -> Purpose:
    if value not in transfer_pb2.Transfer.Purpose.values():
        raise InvalidArgument("FIELD_INVALID", "purpose: say what the transfer is for", field="purpose")
    return Purpose(value or Purpose.COPY.value)


def _reason_to(reason: StateReason) -> state_reason_pb2.StateReason:
    message = reason_to(reason)
    shorten(message, REASON_BYTES_MAX)
    return message


def _progress_from(message: transfer_pb2.Progress) -> Progress:
    return Progress(message.bytes_done, message.chunks_done, message.chunks, message.chunks_again)


def _progress_to(progress: Progress) -> transfer_pb2.Progress:
    return transfer_pb2.Progress(
        bytes_done=progress.bytes_done,
        chunks_done=progress.chunks_done,
        chunks=progress.chunks,
        chunks_again=progress.chunks_again,
    )


def _receipt_from(message: transfer_pb2.Receipt) -> Receipt:
    return Receipt(message.digest, message.bytes_received, message.elapsed_ms, message.chunks_again)


def _receipt_to(receipt: Receipt) -> transfer_pb2.Receipt:
    return transfer_pb2.Receipt(
        digest=receipt.digest,
        bytes_received=receipt.bytes_received,
        elapsed_ms=receipt.elapsed_ms,
        chunks_again=receipt.chunks_again,
    )
