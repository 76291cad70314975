"""A key has a time of its own: what a lease does, or a cut from etcd, says nothing of who signed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from suanmesh.type.v1 import signed_pb2
from suanmesh_chassis import Parts, Served, ServiceContext
from suanmesh_chassis.assertion import Minter
from suanmesh_chassis.identity import caller_of, service_id
from suanmesh_chassis.keyring import AFTERLIFE_S, KEYS_MAX, WINDOW_S, KeyRing, PublishedKey
from suanmesh_chassis.lifecycle import Lifecycle
from suanmesh_chassis.probe import PROBE_SERVICE, Probes
from suanmesh_chassis.signing import Signer, new_signing_key
from suanmesh_chassis.testing import NODE, USER, LoopbackNode
from suanmesh_kernel.clock import HandClock, SystemClock, system_rng
from suanmesh_kernel.refusals import Refusal
from suanmesh_store import KeyspaceError, MemoryKeyspace, MemoryStore
from suanmesh_store.keyspace import KeyspaceErrorKind
from suanmesh_store.layout import keys_of

GATEWAY = service_id(NODE, "gateway")


class CutKeyspace(MemoryKeyspace):
    """An etcd that can be cut off: it then refuses at once, or says nothing any more."""

    cut = ""

    async def get(self, key: str) -> Any:
        if self.cut == "refuses":
            raise KeyspaceError(KeyspaceErrorKind.UNREACHABLE, "cut off")
        if self.cut == "says nothing":
            await asyncio.Event().wait()
        return await super().get(key)


class Town:
    """A probe that learns keys from etcd, and gateways that publish theirs there."""

    def __init__(self, node: LoopbackNode, connect: Any, clock: HandClock) -> None:
        self.node = node
        self.clock = clock
        self.keys = CutKeyspace(clock)
        self.ring = KeyRing(MemoryStore("probe", keys=self.keys), NODE, clock)
        self._connect = connect
        self._at = ""

    async def begin(self, probes: Probes) -> None:
        self._at = await self.node.serve(self.node.process("probe"), [Served(PROBE_SERVICE, probes)], keys=self.ring)

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[Signer]:
        """A gateway that lives; its key stays in etcd when it has ended."""
        store = MemoryStore("gateway", keys=self.keys)
        signer, ring = Signer(new_signing_key(), GATEWAY), KeyRing(store, NODE, self.clock)
        published = PublishedKey(store, ring, signer, GATEWAY, self.clock)
        async with running(ring.run, published.run):
            await published.done.wait()
            yield signer

    async def ask(self, signer: Signer) -> str:
        """What a user is told whose call comes through the gateway that signs with `signer`."""
        metadata = (Minter(signer, SystemClock()).metadata(caller_of(USER, NODE), "probe"),)
        try:
            answer = await self._connect(GATEWAY, at=self._at).unary("Read", "hello", metadata=metadata)
        except Refusal as refusal:
            return f"{refusal.code} {refusal.reason}"
        return str(answer.text)

    async def published(self) -> list[signed_pb2.SigningKey]:
        listing = await MemoryStore("probe", keys=self.keys).tokens(keys_of("gateway"))
        return [signed_pb2.SigningKey.FromString(token.value) for token in listing.tokens]

    async def fewer_than(self, count: int) -> None:
        """Return once etcd holds so few keys of gateways."""
        store = MemoryStore("probe", keys=self.keys)
        listing = await store.tokens(keys_of("gateway"))
        left = {token.key for token in listing.tokens}
        watched = store.watch_tokens(keys_of("gateway"), listing.revision, listing.tokens)
        async with asyncio.timeout(60), aclosing(watched) as batches:
            while len(left) >= count:
                for key, token in (await anext(batches)).changes:
                    (left.discard if token is None else left.add)(key)


@asynccontextmanager
async def running(*each: Callable[[], Any]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        begun = [tasks.create_task(run()) for run in each]
        try:
            yield
        finally:
            for task in begun:
                task.cancel()


@pytest.fixture
async def town(node: LoopbackNode, probes: Probes, connect: Any) -> Town:
    town = Town(node, connect, HandClock(SystemClock().now()))
    await town.begin(probes)
    return town


HELLO = f"{USER} hello"


@pytest.mark.parametrize("how", ["refuses", "says nothing"])
async def test_a_cut_from_etcd_makes_no_gateway_a_stranger(town: Town, how: str) -> None:
    """While etcd was away for 45 s, more than half of all reads were told that nobody knew who called."""
    async with town.gateway() as signer:
        assert await town.ask(signer) == HELLO
    town.keys.cut = how
    town.clock.advance(45)

    assert await town.ask(signer) == HELLO


@pytest.mark.parametrize("how", ["refuses", "says nothing"])
async def test_what_cannot_be_checked_is_not_denied(town: Town, how: str) -> None:
    """A gateway that began during the cut is no forger; its callers are to try again."""
    async with town.gateway() as signer:
        town.keys.cut = how
        assert await town.ask(signer) == "UNAVAILABLE KEY_UNCHECKED"
        town.keys.cut = ""
        town.clock.advance(2)
        assert await town.ask(signer) == HELLO


async def test_a_forged_assertion_is_refused_at_once(town: Town) -> None:
    """Whoever can make up a key must not make callers wait, or services ask etcd, more than once."""
    async with town.gateway():
        forger = Signer(new_signing_key(), GATEWAY)
        assert await town.ask(forger) == "UNAUTHENTICATED ASSERTION_INVALID"
        town.keys.cut = "says nothing"
        assert await town.ask(forger) == "UNAUTHENTICATED ASSERTION_INVALID"


async def test_several_keys_are_good_at_once(town: Town) -> None:
    """While gateways are restarted one by one, old and new ones pass callers on."""
    async with town.gateway() as old, town.gateway() as new:
        assert [await town.ask(each) for each in (old, new, old)] == [HELLO] * 3


async def test_a_key_is_good_for_its_window_and_gone_after_it(town: Town) -> None:
    """A key that was stolen from a gateway long gone must not open anything."""
    async with town.gateway() as old:
        assert await town.ask(old) == HELLO
    town.clock.advance(WINDOW_S + 1)
    assert await town.ask(old) == "UNAUTHENTICATED ASSERTION_INVALID"

    async with town.gateway() as new:
        await town.fewer_than(2)
    assert [key.public_key for key in await town.published()] == [new.public_key]


async def test_a_key_that_etcd_has_lost_is_published_again_at_once(town: Town) -> None:
    """After etcd was restored from an older copy every call of a service that began since would be a stranger's."""
    async with town.gateway() as signer:
        store = MemoryStore("gateway", keys=town.keys)
        listing = await store.tokens(keys_of("gateway"))
        async with asyncio.timeout(60), aclosing(store.watch_tokens(keys_of("gateway"), listing.revision)) as batches:
            await store.delete_tokens([token.key for token in listing.tokens])
            while not any(token is not None for _, token in (await anext(batches)).changes):
                pass
        assert [key.public_key for key in await town.published()] == [signer.public_key]


async def test_the_number_of_keys_has_a_bound(town: Town) -> None:
    """Gateways that crash in a loop, each with a new key, would fill etcd."""
    for number in range(KEYS_MAX + 5):
        signer = Signer(new_signing_key(), GATEWAY)
        store = MemoryStore("gateway", keys=town.keys)
        await PublishedKey(store, KeyRing(store, NODE, town.clock), signer, GATEWAY, town.clock)._put(100.0 + number)

    async with town.gateway():
        await town.fewer_than(KEYS_MAX + 1)


async def test_a_service_publishes_its_key_before_it_serves_and_lets_it_end(node: LoopbackNode) -> None:
    """The first call through a new gateway must not be refused; the key of one that has ended is soon worth nothing."""
    keys, stop, served = MemoryKeyspace(), asyncio.Event(), asyncio.Event()
    store = MemoryStore("registry", keys=keys)
    found: list[bytes] = []

    async def build(context: ServiceContext[None]) -> Parts:
        found.extend(token.value for token in (await store.tokens(keys_of("gateway"))).tokens)
        served.set()
        return Parts()

    process = node.process("gateway")
    lifecycle: Lifecycle[None] = Lifecycle(process, keys, None, system_rng)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(lifecycle.live(build, stop))
        await served.wait()
        stop.set()

    (first,) = [signed_pb2.SigningKey.FromString(value) for value in found]
    ((last,),) = [[signed_pb2.SigningKey.FromString(t.value) for t in (await store.tokens(keys_of("gateway"))).tokens]]
    assert first.public_key == last.public_key == process.signer.public_key
    assert first.valid_until.seconds - last.valid_until.seconds > WINDOW_S - AFTERLIFE_S - 60
