"""What accounting needs of others, on paper, over the store's twin in memory and over a real etcd."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest

from suanmesh.registry.v1.site_pb2 import Site
from suanmesh.scheduler.v1.placement_pb2 import Placement
from suanmesh.transport.v1.transfer_pb2 import Receipt, Transfer
from suanmesh.type.v1.state_reason_pb2 import StateReason
from suanmesh_accounting import ports
from suanmesh_accounting.domain.ledger import Move, PlacementStatus
from suanmesh_accounting.etcd import EtcdMesh
from suanmesh_accounting.testing import FakeMesh, FakeTokens
from suanmesh_chassis.signing import Signer, new_signing_key, window_to
from suanmesh_chassis.testing import lasting_key
from suanmesh_etcd3 import connect
from suanmesh_kernel.clock import SystemClock, system_rng
from suanmesh_kernel.key_windows import KeyWindow
from suanmesh_kernel.refusals import Aborted, FailedPrecondition, Refusal
from suanmesh_local.etcd import EtcdCluster
from suanmesh_store import (
    Create,
    Delete,
    Holds,
    MemoryKeyspace,
    MemoryStore,
    NewHold,
    Update,
    attachment_of,
    confirmed,
    open_mirror,
)
from suanmesh_store.etcd import EtcdStore
from suanmesh_store.layout import PLACEMENTS, SITES, TRANSFERS
from suanmesh_store.ports import RoundLease
from suanmesh_store.store import KeyspaceStore

ROUND_S = 60
END = datetime(2026, 1, 1, tzinfo=UTC)
MOVE = Move("sites/a", "sites/b", "placements/p")


class World(Protocol):
    """The ports, and what the rest of a node does that they tell of."""

    tokens: ports.HoldTokens

    async def mesh(self) -> ports.Mesh:
        """The port, once everything below has been written."""

    async def register(self, site: str, *keys: KeyWindow) -> None:
        """As the registry does it: the site has these keys from now on."""

    async def move(self, transfer: str, move: Move) -> None:
        """As transport does it."""

    async def place(self, placement: str, tasks: int, end_time: datetime | None) -> None:
        """As the scheduler does it; with an end it is over."""

    async def deliver(self, placement: str, transfer: Transfer) -> None:
        """A result of a placement that has ended has moved; transport does it, and the scheduler notes its name."""

    async def forget(self, transfer: str) -> None:
        """As transport does it with what ended long ago."""

    async def open_round(self) -> str:
        """Open a round of the scheduler; gives its attachment."""

    async def end_round(self, attachment: str) -> None:
        """As if the scheduler had died."""

    async def confirm(self, placement: str, index: int, token: str) -> None:
        """As a commit does it."""


class FakeWorld:
    """Everything on paper."""

    def __init__(self) -> None:
        self.tokens = FakeTokens()
        self._mesh = FakeMesh()

    async def mesh(self) -> ports.Mesh:
        return self._mesh

    async def register(self, site: str, *keys: KeyWindow) -> None:
        self._mesh.keys[site] = list(keys)

    async def move(self, transfer: str, move: Move) -> None:
        self._mesh.moves[transfer] = move

    async def place(self, placement: str, tasks: int, end_time: datetime | None) -> None:
        self._mesh.statuses[placement] = PlacementStatus(end_time is not None, end_time, tasks)

    async def deliver(self, placement: str, transfer: Transfer) -> None:
        if transfer.account and transfer.receipt.bytes_received:
            self._waits_for(placement, self._mesh.statuses[placement].deliveries | {transfer.name})

    async def forget(self, transfer: str) -> None:
        for placement, standing in self._mesh.statuses.items():
            self._waits_for(placement, standing.deliveries - {transfer})

    def _waits_for(self, placement: str, deliveries: frozenset[str]) -> None:
        self._mesh.statuses[placement] = replace(self._mesh.statuses[placement], deliveries=deliveries)

    async def open_round(self) -> str:
        return self.tokens.open_round()

    async def end_round(self, attachment: str) -> None:
        self.tokens.end_round(attachment)

    async def confirm(self, placement: str, index: int, token: str) -> None:
        self.tokens.confirm(placement, index)


class StoreWorld:
    """A store for each area over the same keys."""

    def __init__(self, stores: dict[str, KeyspaceStore]) -> None:
        self._stores = stores
        self._leases: dict[str, RoundLease] = {}
        self.tokens = Holds(stores["accounting"])

    async def mesh(self) -> ports.Mesh:
        store = self._stores["accounting"]
        return EtcdMesh(store, await open_mirror(store, SITES))

    async def register(self, site: str, *keys: KeyWindow) -> None:
        held = await self._stores["registry"].get(SITES, site)
        message = Site(name=site, signing_keys=map(window_to, keys))
        await self._stores["registry"].commit(Create(SITES, site, message) if held is None else Update(held, message))

    async def move(self, transfer: str, move: Move) -> None:
        message = Transfer(name=transfer, source=move.source, target=move.target, placement=move.placement)
        await self._stores["transport"].commit(Create(TRANSFERS, transfer, message))

    async def place(self, placement: str, tasks: int, end_time: datetime | None) -> None:
        message = Placement(name=placement, state=Placement.STATE_RUNNING)
        message.work.count = tasks
        if end_time is not None:
            message.state = Placement.STATE_DONE
            message.end_time.FromDatetime(end_time)
        await self._stores["scheduler"].commit(Create(PLACEMENTS, placement, message))

    async def deliver(self, placement: str, transfer: Transfer) -> None:
        await self._stores["transport"].commit(Create(TRANSFERS, transfer.name, transfer))
        held = await self._stores["scheduler"].get(PLACEMENTS, placement)
        assert held is not None
        changed = held.draft()
        changed.output_transfers.append(transfer.name)
        await self._stores["scheduler"].commit(Update(held, changed))

    async def forget(self, transfer: str) -> None:
        held = await self._stores["transport"].get(TRANSFERS, transfer)
        assert held is not None
        await self._stores["transport"].commit(Delete(held))

    async def open_round(self) -> str:
        lease = await self._stores["scheduler"].open_lease(ROUND_S)
        self._leases[attachment_of(lease)] = lease
        return attachment_of(lease)

    async def end_round(self, attachment: str) -> None:
        await self._leases[attachment].revoke()

    async def confirm(self, placement: str, index: int, token: str) -> None:
        await self._stores["scheduler"].commit(confirmed(token))


AREAS = ("accounting", "registry", "scheduler", "transport")


@pytest.fixture(params=["paper", "memory", "etcd"])
def cluster(request: pytest.FixtureRequest) -> EtcdCluster | str:
    """The members of the etcd, or which world needs none."""
    found: EtcdCluster | str = request.getfixturevalue("etcd_cluster") if request.param == "etcd" else request.param
    return found


@pytest.fixture
async def world(cluster: EtcdCluster | str) -> AsyncIterator[World]:
    """Empty."""
    if cluster == "paper":
        yield FakeWorld()
    elif isinstance(cluster, str):
        keys = MemoryKeyspace(SystemClock())
        yield StoreWorld({area: MemoryStore(area, keys=keys) for area in AREAS})
    else:
        async with connect(cluster.endpoints) as client:
            await client.delete_prefix("/suanmesh/")
            yield StoreWorld({area: EtcdStore(client, area, SystemClock(), system_rng) for area in AREAS})


PLACE = ("placements/p", 0)


async def put(world: World, attachment: str, value: bytes = b"hold") -> str:
    """The one hold of the tests. Raises what refuses it."""
    [token] = await world.tokens.put_many([NewHold(*PLACE, value, attachment)])
    if isinstance(token, Refusal):
        raise token
    return token


async def test_a_token_stands_and_is_found_again(world: World) -> None:
    """A scheduler that asks twice must get the token that its commit confirms."""
    attachment = await world.open_round()
    token = await put(world, attachment)
    assert token
    assert await put(world, attachment, b"changed since") == token
    assert await world.tokens.standing([PLACE, ("placements/p", 1)]) == {PLACE}


async def test_each_of_many_tokens_stands_or_falls_by_itself(world: World) -> None:
    """One hold that another round has, or that is asked for with a slip, must not cost the whole round its holds."""
    await put(world, await world.open_round())
    attachment, over = await world.open_round(), await world.open_round()
    await world.end_round(over)
    again = NewHold("placements/q", 0, b"hold", attachment)
    [first] = await world.tokens.put_many([again])
    asked = [("placements/p", attachment), ("placements/r", attachment), ("placements/s", over), ("placements/t", "")]
    holds = [NewHold(placement, 0, b"hold", word) for placement, word in asked]

    answers = await world.tokens.put_many([holds[0], again, *holds[1:]])

    reasons = [answer.reason if isinstance(answer, Refusal) else "" for answer in answers]
    assert reasons == ["CONFLICT", "", "", "HOLD_LAPSED", "FIELD_INVALID"]
    assert answers[1] == first != answers[2]
    places = [(f"placements/{letter}", 0) for letter in "pqrst"]
    assert await world.tokens.standing(places) == {*places[:3]}


async def test_a_token_is_not_taken_over_by_another_round(world: World) -> None:
    """A second scheduler would commit a placement on a hold that evaporates with the first."""
    await put(world, await world.open_round())
    with pytest.raises(Aborted, match="CONFLICT"):
        await put(world, await world.open_round())


async def test_a_token_goes_with_its_round(world: World) -> None:
    """Money held for a scheduler that died must come free."""
    attachment = await world.open_round()
    await put(world, attachment)
    await world.end_round(attachment)
    assert not await world.tokens.standing([PLACE])
    with pytest.raises(FailedPrecondition, match="HOLD_LAPSED"):
        await put(world, attachment)


async def test_a_confirmed_token_stands_until_it_is_dropped(world: World) -> None:
    """A running job's hold must outlive the round that made it, and not a moment its release."""
    attachment = await world.open_round()
    token = await put(world, attachment)
    await world.confirm(*PLACE, token)
    await world.end_round(attachment)
    assert await world.tokens.standing([PLACE])
    for _ in range(2):
        await world.tokens.drop([PLACE, ("placements/q", 0)])
        assert not await world.tokens.standing([PLACE])


async def test_only_an_enrolled_site_has_keys(world: World) -> None:
    """Usage signed by nobody known must not be paid."""
    key = lasting_key(Signer(new_signing_key(), "spiffe://n/site/a/agent"))
    await world.register("sites/a", key)
    mesh = await world.mesh()
    assert await mesh.signing_keys("sites/a", ()) == {key.key_id: key}
    assert await mesh.signing_keys("sites/b", (key.key_id,)) == {}


async def test_a_key_is_known_as_soon_as_it_is_registered(world: World) -> None:
    """A site signs with its next key at once: what a mirror has not seen yet must not cost it its usage."""
    before, after = (lasting_key(Signer(new_signing_key(), "spiffe://n/site/a/agent")) for _ in range(2))
    await world.register("sites/a", before)
    mesh = await world.mesh()
    await world.register("sites/a", before, after)
    assert await mesh.signing_keys("sites/a", (after.key_id,)) == {before.key_id: before, after.key_id: after}


async def test_a_transfer_says_whose_it_is(world: World) -> None:
    """A site could bill a move that went elsewhere."""
    await world.move("transfers/t", MOVE)
    mesh = await world.mesh()
    assert await mesh.move_of("transfers/t") == MOVE
    assert await mesh.move_of("transfers/u") is None


@pytest.mark.parametrize(
    ("end_time", "expected"),
    [(None, PlacementStatus(False, None, 3)), (END, PlacementStatus(True, END, 3))],
    ids=["runs", "ended"],
)
async def test_a_placement_says_where_it_stands(
    world: World, end_time: datetime | None, expected: PlacementStatus
) -> None:
    """A hold that is given back too early is not there when the last usage comes."""
    mesh = await world.mesh()
    assert await mesh.standing(["placements/p"]) == {}
    await world.place("placements/p", 3, end_time)
    assert await mesh.standing(["placements/p", "placements/q"]) == {"placements/p": expected}


async def test_only_deliveries_that_are_reported_are_waited_for(world: World) -> None:
    """A hold must be there for the carriers of results, and not stand idle for usage that nobody will ever report."""
    came = Receipt(bytes_received=5)
    transfers = {
        "transfers/p-out-0": a_delivery(receipt=came),
        "transfers/p-out-1": a_delivery(state_reason=StateReason(code="REPLICA_PRESENT")),
        "transfers/p-out-2": a_delivery(receipt=Receipt(bytes_received=0)),
        "transfers/p-out-3": a_delivery(receipt=came, account=""),
        "transfers/p-out-4": a_delivery(receipt=came),
    }
    await world.place("placements/p", 3, END)
    for name, transfer in transfers.items():
        transfer.name = name
        await world.deliver("placements/p", transfer)
    mesh = await world.mesh()
    both = frozenset({"transfers/p-out-0", "transfers/p-out-4"})
    assert (await mesh.standing(["placements/p"]))["placements/p"] == PlacementStatus(True, END, 3, both)
    await world.forget("transfers/p-out-4")
    one = frozenset({"transfers/p-out-0"})
    assert (await mesh.standing(["placements/p"]))["placements/p"] == PlacementStatus(True, END, 3, one)


def a_delivery(**facts: Any) -> Transfer:
    """One that is done and paid for, unless the facts say otherwise."""
    return Transfer(**{"state": Transfer.STATE_DONE, "account": "accounts/a", "placement": "placements/p"} | facts)
