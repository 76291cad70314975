"""Transfers: where they come from, where each stands, and what a report makes of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from suanmesh_kernel.reasons import NO_REASON, StateReason
from suanmesh_kernel.refusals import DataLoss, FailedPrecondition, InvalidArgument
from suanmesh_transport.domain.datasets import Dataset

RATE_BPS_MAX = 10**15


class Purpose(Enum):
    """What a transfer is for; values are those of the contract."""

    COPY = 1
    INPUT = 2
    RESULT = 3


class State(Enum):
    """Where a transfer stands; values are those of the contract."""

    PENDING = 1
    ACTIVE = 2
    DONE = 3
    FAILED = 4
    CANCELLED = 5


TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.PENDING: frozenset({State.ACTIVE, State.DONE, State.FAILED, State.CANCELLED}),
    State.ACTIVE: frozenset({State.DONE, State.FAILED, State.CANCELLED}),
    State.DONE: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
}
"""DONE may follow PENDING at once: a small dataset is there before the first report of progress is due."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a transfer is."""

    bytes_done: int = 0
    chunks_done: int = 0
    chunks: int = 0
    chunks_again: int = 0


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the target vouches for."""

    digest: str
    bytes_received: int
    elapsed_ms: int
    chunks_again: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """Moving one dataset to one site; the ticket and the trace lie beside it in the message."""

    name: str
    dataset: str
    digest: str
    size_bytes: int
    source: str
    source_endpoint: str
    target: str
    reservation: str
    rate_bps: int
    placement: str
    purpose: Purpose
    state: State
    state_reason: StateReason
    progress: Progress
    receipt: Receipt | None
    party: str
    account: str
    create_time: datetime
    end_time: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing will happen to it any more."""
        return not TRANSITIONS[self.state]


@dataclass(frozen=True, slots=True)
class Ask:
    """A transfer somebody wants; an empty source leaves the choice to us."""

    name: str
    dataset: str
    source: str
    target: str
    placement: str = ""
    reservation: str = ""
    rate_bps: int = 0
    account: str = ""
    purpose: Purpose = Purpose.COPY


@dataclass(frozen=True, slots=True)
class Place:
    """What is known of a site: where its data plane listens, who its agent is, whether it is heard of."""

    site: str
    endpoint: str
    agent: str
    alive: bool
    lost: bool
    residency: tuple[str, ...] = ()
    party: str = ""
    latitude: float = 0.0
    longitude: float = 0.0
    """In degrees; both 0 where nobody has said."""
    closed: bool = False
    """Whether nothing new comes to it: cordoned, drained, or gone."""


@dataclass(frozen=True, slots=True)
class Report:
    """What the target's agent says."""

    state: State
    reason: StateReason
    progress: Progress
    receipt: Receipt | None


def chosen_source(dataset: Dataset, places: Mapping[str, Place], *, wanted: str = "", other_than: str = "") -> Place:
    """A site to read the dataset from: the one wanted, else one that is heard of, then by name.

    Raises FailedPrecondition (`NO_REPLICA`, `SITE_NOT_REACHABLE`).
    """
    holders = [site for site in dataset.complete_sites if site != other_than and wanted in ("", site)]
    if not holders:
        where = f"at {wanted}" if wanted else "to copy from"
        raise FailedPrecondition(
            "NO_REPLICA", f"{dataset.name} has no complete replica {where}", name=dataset.name, site=wanted
        )
    known = (places[site] for site in holders if site in places)
    reachable = [place for place in known if place.endpoint and not place.lost]
    if not reachable:
        raise FailedPrecondition(
            "SITE_NOT_REACHABLE",
            f"{dataset.name} lies at {', '.join(holders)}, and nothing there can be read from",
            name=dataset.name,
            site=holders[0],
        )
    return min(reachable, key=lambda place: (not place.alive, place.site))


def made(ask: Ask, dataset: Dataset, source: Place, party: str, now: datetime) -> Transfer:
    """The transfer that was asked for, waiting for its target."""
    return Transfer(
        name=ask.name,
        dataset=dataset.pinned,
        digest=dataset.digest,
        size_bytes=dataset.size_bytes,
        source=source.site,
        source_endpoint=source.endpoint,
        target=ask.target,
        reservation=ask.reservation,
        rate_bps=ask.rate_bps,
        placement=ask.placement,
        purpose=ask.purpose,
        state=State.PENDING,
        state_reason=NO_REASON,
        progress=Progress(),
        receipt=None,
        party=party,
        account=ask.account,
        create_time=now,
    )


def arrived_before(ask: Ask, dataset: Dataset, party: str, now: datetime) -> Transfer:
    """A transfer to a site that has the whole dataset already: done without a byte moved."""
    there = Place(ask.target, "", "", alive=True, lost=False)
    waiting = made(replace(ask, reservation="", rate_bps=0), dataset, there, party, now)
    reason = StateReason("REPLICA_PRESENT")
    done = Progress(bytes_done=dataset.size_bytes)
    return replace(waiting, state=State.DONE, state_reason=reason, progress=done, end_time=now)


def reported(transfer: Transfer, report: Report, now: datetime) -> Transfer:
    """What the report makes of the transfer; repeating one changes nothing.

    Raises FailedPrecondition (`TRANSITION_NOT_ALLOWED`), DataLoss (`DIGEST_MISMATCH`), InvalidArgument.
    """
    if report.state not in (State.ACTIVE, State.DONE, State.FAILED):
        raise _invalid("state", "an agent reports ACTIVE, DONE or FAILED")
    if report.state is State.DONE:
        _check_receipt(transfer, report.receipt)
    if transfer.ended and report.state is transfer.state:
        return transfer
    progress = _further(transfer.progress, report.progress, transfer.size_bytes)
    if report.state is transfer.state:
        return replace(transfer, progress=progress)
    after = replace(_moved(transfer, report.state), progress=progress)
    if report.state is State.DONE:
        return replace(after, receipt=report.receipt, end_time=now)
    if report.state is State.FAILED:
        return replace(after, state_reason=report.reason, end_time=now)
    return after


def cancelled(transfer: Transfer, reason: StateReason, now: datetime) -> Transfer:
    """Ended by request; an ended one stays what it is."""
    if transfer.ended:
        return transfer
    return replace(_moved(transfer, State.CANCELLED), state_reason=reason, end_time=now)


def failed(transfer: Transfer, reason: StateReason, now: datetime) -> Transfer:
    """Given up; an ended one stays what it is."""
    if transfer.ended:
        return transfer
    return replace(_moved(transfer, State.FAILED), state_reason=reason, end_time=now)


def settled(
    transfer: Transfer, *, placement_open: bool, source: Place | None, target: Place | None, now: datetime
) -> Transfer:
    """What the transfer is to become, given what is known; itself where it is right as it stands."""
    if transfer.placement and not placement_open:
        return cancelled(transfer, StateReason("PLACEMENT_ENDED", {"placement": transfer.placement}), now)
    if source is not None and source.lost:
        return failed(transfer, StateReason("SOURCE_LOST", {"site": transfer.source}), now)
    if target is not None and target.lost:
        return failed(transfer, StateReason("TARGET_LOST", {"site": transfer.target}), now)
    return transfer


def require_valid_ask(ask: Ask, *, by_service: bool) -> None:
    """Raises InvalidArgument (`FIELD_INVALID`)."""
    if not 0 <= ask.rate_bps <= RATE_BPS_MAX:
        raise _invalid("rate_bps", f"{ask.rate_bps} is not within 0 to {RATE_BPS_MAX}")
    if ask.source == ask.target:
        raise _invalid("target", "a transfer joins two different sites")
    for field, value in (("placement", ask.placement), ("reservation", ask.reservation), ("account", ask.account)):
        if value and not by_service:
            raise _invalid(field, "it belongs to a placement; leave it empty")
    if bool(ask.placement) is (ask.purpose is Purpose.COPY):
        raise _invalid("purpose", "INPUT and RESULT come with their placement, COPY comes without one")


def _check_receipt(transfer: Transfer, receipt: Receipt | None) -> None:
    if receipt is None:
        raise _invalid("receipt", "DONE comes with a receipt")
    if receipt.bytes_received < 0 or receipt.elapsed_ms < 0 or receipt.chunks_again < 0:
        raise _invalid("receipt", "amounts are not negative")
    if receipt.digest != transfer.digest:
        raise DataLoss(
            "DIGEST_MISMATCH",
            f"{transfer.name} was to bring {transfer.digest}, {receipt.digest[:64]} is at {transfer.target}",
            name=transfer.name,
            expected=transfer.digest,
            found=receipt.digest[:64],
        )


def _further(before: Progress, after: Progress, size_bytes: int) -> Progress:
    """Progress never goes back: a report may overtake another."""
    return Progress(
        bytes_done=max(before.bytes_done, min(after.bytes_done, size_bytes)),
        chunks_done=max(before.chunks_done, after.chunks_done),
        chunks=max(before.chunks, after.chunks),
        chunks_again=max(before.chunks_again, after.chunks_again),
    )


def _moved(transfer: Transfer, state: State) -> Transfer:
    if state not in TRANSITIONS[transfer.state]:
        raise FailedPrecondition(
            "TRANSITION_NOT_ALLOWED",
            f"{transfer.name} is {transfer.state.name} and cannot become {state.name}",
            name=transfer.name,
            state=transfer.state.name,
        )
    return replace(transfer, state=state)


def _invalid(field: str, problem: str) -> InvalidArgument:
    return InvalidArgument("FIELD_INVALID", f"{field}: {problem}", field=field)
