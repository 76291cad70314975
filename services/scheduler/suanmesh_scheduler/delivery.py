"""Bringing results to where they are wanted: a way is held first, and what is moved keeps to its rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as network
from suanmesh.scheduler.v1 import placement_pb2
from suanmesh.transport.v1 import transfer_pb2
from suanmesh.transport.v1 import transport_service_pb2 as transport
from suanmesh_kernel.names import last
from suanmesh_scheduler import wire
from suanmesh_scheduler.bounding import bound_placement
from suanmesh_scheduler.domain.moving import RESULT_BPS_MIN, rate_for, ways_home
from suanmesh_scheduler.domain.values import PlannedTransfer
from suanmesh_scheduler.ports import Hold, Peers
from suanmesh_scheduler.sharing import found
from suanmesh_store import Change, Held, Store, Update, attachment_of, confirmed
from suanmesh_telemetry import current_traceparent, names, span

HOLDS_FROM = 32
"""Index of the first hold of a way home; those below are for the ways of inputs."""
_OUT = "-out-"
"""Before the number of the output in the name of a transfer; behind that, how often it was sent, from the second on."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """One result that is wanted elsewhere; `index` is its place among the job's outputs."""

    index: int
    dataset: str
    bytes: int
    target: str


class Delivery:
    """Sends results off."""

    def __init__(self, store: Store, peers: Peers, lease_s: float) -> None:
        self._store = store
        self._peers = peers
        self._lease_s = lease_s

    @staticmethod
    def wanted(placement: placement_pb2.Placement) -> bool:
        """Whether a result is wanted elsewhere than where it was made."""
        made = zip(placement.output_datasets, placement.work.outputs, strict=False)
        return any(output.deliver_to not in ("", placement.site) for _, output in made)

    async def step(self, placement: Held[placement_pb2.Placement], failed: frozenset[str] = frozenset()) -> None:
        """Hold the ways home, or where they are held make the transfers of what is `wanted` elsewhere.

        Where there are transfers, those that have `failed` are made again.

        Raises ResourceExhausted (`BANDWIDTH_EXHAUSTED`) as long as a link on the way is full, FailedPrecondition
        (`NO_PATH`, `HOLD_LAPSED`), and what transport refuses.
        """
        parcels = await self._parcels(placement.message)
        if placement.message.output_routes:
            await self._send(placement, parcels, failed)
        else:
            traceparent = placement.traceparent
            with span(names.HOLD_DELIVERY, parent=traceparent, job=placement.message.job, placement=placement.name):
                await self._hold(placement, parcels)

    async def _parcels(self, placement: placement_pb2.Placement) -> list[Parcel]:
        pairs = enumerate(zip(placement.output_datasets, placement.work.outputs, strict=False))
        return [
            Parcel(index, dataset, (await self._peers.dataset(dataset)).bytes, output.deliver_to)
            for index, (dataset, output) in pairs
            if output.deliver_to not in ("", placement.site)
        ]

    async def _hold(self, placement: Held[placement_pb2.Placement], parcels: Sequence[Parcel]) -> None:
        """Hold a way to every target on one lease; they are the placement's with one transaction, or nobody's."""
        targets = sorted({parcel.target for parcel in parcels})
        rates = await self._rates(placement.message.site, {t: _bytes_to(t, parcels) for t in targets})
        async with await self._store.open_lease(self._lease_s) as lease:
            asks = [
                network.PathAsk(
                    placement=placement.name,
                    index=HOLDS_FROM + index,
                    attachment=attachment_of(lease),
                    source=placement.message.site,
                    target=target,
                    rate_bps=rates[target],
                    traceparent=current_traceparent(),
                )
                for index, target in enumerate(targets)
            ]
            holds = [found(answer) for answer in await self._peers.hold_paths(asks)]
            changed = _with_routes(placement, targets, holds, rates)
            changes: list[Change] = [*(confirmed(hold.token) for hold in holds), Update(placement, changed)]
            await self._store.commit(*changes)

    async def _rates(self, site: str, sizes: dict[str, int]) -> dict[str, int]:
        """What each way is asked for, so that all can be held; where one has too little left, the hold says why."""
        queries = [network.PathQuery(source=site, target=t, min_bandwidth_bps=RESULT_BPS_MIN) for t in sizes]
        results = (await self._peers.find_paths(queries)).results
        paths = {t: wire.path_from(r.path) for t, r in zip(sizes, results, strict=True) if r.HasField("path")}
        homes = [
            PlannedTransfer(target, path, sizes[target], rate_for(path.available_bps, sizes[target], RESULT_BPS_MIN))
            for target, path in paths.items()
        ]
        return dict.fromkeys(sizes, RESULT_BPS_MIN) | {home.end: home.rate_bps for home in ways_home(homes)}

    async def _send(
        self, placement: Held[placement_pb2.Placement], parcels: Sequence[Parcel], failed: frozenset[str]
    ) -> None:
        message = placement.message
        routes = {route.target: route for route in message.output_routes}
        made = list(message.output_transfers) or [""] * len(parcels)
        again = [place for place, name in enumerate(made) if not name or name in failed]
        send = sends_of(message) + 1 if failed else 1
        asks = [
            _ask(message, parcels[at], routes[parcels[at].target], _bytes_to(parcels[at].target, parcels), send)
            for at in again
        ]
        for at, transfer in zip(again, await self._peers.create_transfers(asks), strict=True):
            made[at] = transfer.name
        changed = placement.draft()
        del changed.output_transfers[:]
        changed.output_transfers.extend(made)
        bound_placement(changed)
        await self._store.commit(Update(placement, changed))


def sends_of(placement: placement_pb2.Placement) -> int:
    """How often results that have not arrived at once were sent, by the names of their transfers."""
    numbers = (name.rpartition(_OUT)[2].partition("-")[2] for name in placement.output_transfers)
    return max((int(number or 1) for number in numbers), default=1)


def _bytes_to(target: str, parcels: Sequence[Parcel]) -> int:
    return sum(parcel.bytes for parcel in parcels if parcel.target == target)


def _with_routes(
    placement: Held[placement_pb2.Placement], targets: Sequence[str], holds: Sequence[Hold], rates: dict[str, int]
) -> placement_pb2.Placement:
    changed = placement.draft()
    changed.holds.extend(hold.name for hold in holds)
    changed.output_routes.extend(
        placement_pb2.OutputRoute(target=target, reservation=hold.name, rate_bps=rates[target])
        for target, hold in zip(targets, holds, strict=True)
    )
    bound_placement(changed)
    return changed


def _ask(
    placement: placement_pb2.Placement, parcel: Parcel, route: placement_pb2.OutputRoute, together: int, send: int
) -> transport.TransferAsk:
    """The transfer of one result, at its part of the rate reserved for all that go to the same site."""
    again = f"-{send}" if send > 1 else ""
    return transport.TransferAsk(
        transfer_id=f"{last(placement.name)}{_OUT}{parcel.index}{again}",
        dataset=parcel.dataset,
        source=placement.site,
        target=parcel.target,
        placement=placement.name,
        purpose=transfer_pb2.Transfer.PURPOSE_RESULT,
        reservation=route.reservation,
        rate_bps=max(1, route.rate_bps * parcel.bytes // max(1, together)),
        account=placement.account,
        traceparent=placement.traceparent,
    )
