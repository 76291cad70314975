"""The network in memory under bad links: what is lost, late, doubled, cut off or gone, as its callers see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from scenario.virtual_time import LoopClock, run
from suanmesh_chassis import Served
from suanmesh_chassis.memory_call import Fate
from suanmesh_chassis.memory_network import KEEPALIVE_S, MemoryNetwork
from suanmesh_chassis.parts import Listener
from suanmesh_chassis.probe import PROBE_SERVICE, SERVICE, Probe, Probes
from suanmesh_chassis.testing import LoopbackNode
from suanmesh_kernel.refusals import DeadlineExceeded, Refusal, Unavailable

FAR_S = 0.5


class Links:
    """Every message takes `delays` in turn, every call has the `fates` in turn, and then all is well."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self.fates: list[Fate] = []

    def delay_s(self, source: str, target: str) -> float:
        return self.delays.pop(0) if self.delays else 0.0

    def fate(self, source: str, target: str, method: str) -> Fate:
        return self.fates.pop(0) if self.fates else Fate.ANSWERED


class World:
    """The probe at the host `there`, called from `here` over the SDK."""

    def __init__(self, folder: Any) -> None:
        self.links = Links()
        self.network = MemoryNetwork(self.links)
        self.probes = Probes()
        self._here = LoopbackNode(folder, LoopClock(), network=self.network.of("here"))
        self._there = LoopbackNode(folder, LoopClock(), ca=self._here.ca, network=self.network.of("there"))

    async def area(self) -> Any:
        parts = [Served(PROBE_SERVICE, self.probes)]
        address = await self._there.serve(
            self._there.process("probe"), parts, requests=self.probes, listener=Listener("127.0.0.1:0")
        )
        return self._here.mesh(address).channel("probe")

    async def call(self, method: str, text: str = "x", timeout: float = 10.0, request_id: str = "") -> Any:
        area = await self.area()
        made = area.unary_unary(f"/{SERVICE}/{method}", Probe.SerializeToString, Probe.FromString)
        return await made(Probe(text=text, request_id=request_id), timeout=timeout)


Play = Callable[[Callable[[World], Awaitable[Any]]], Any]


@pytest.fixture
def play(tmp_path: Any) -> Play:
    """Plays a scene on virtual time."""

    def played(scene: Callable[[World], Awaitable[Any]]) -> Any:
        async def within() -> Any:
            return await scene(World(tmp_path))

        return run(within())

    return played


@pytest.mark.parametrize("fate", [Fate.REQUEST_LOST, Fate.ANSWER_LOST])
def test_a_lost_message_is_made_good_by_a_repeat(play: Play, fate: Fate) -> None:
    """A read that fails because one packet was lost makes every network look broken."""

    async def scene(world: World) -> str:
        world.links.fates = [fate]
        return str((await world.call("Look")).text)

    assert play(scene) == "looked at x"


@pytest.mark.parametrize(("fate", "changes"), [(Fate.ANSWERED, 1), (Fate.REQUEST_LOST, 1), (Fate.ANSWER_LOST, 1)])
def test_what_is_kept_of_an_answer_makes_a_repeat_harmless(play: Play, fate: Fate, changes: int) -> None:
    """A payment that is made again because its answer was lost is paid twice."""

    async def scene(world: World) -> int:
        world.links.fates = [fate]
        await world.call("Change")
        return world.probes.changes

    assert play(scene) == changes


def test_a_doubled_request_arrives_twice(play: Play) -> None:
    """Doing twice-sent work once can only be shown where it arrives twice."""

    async def scene(world: World) -> int:
        world.links.fates = [Fate.TWICE]
        world.probes.lookup = _nothing_kept  # type: ignore[method-assign]
        await world.call("Change")
        return world.probes.changes

    assert play(scene) == 2


def test_messages_of_a_stream_never_overtake_each_other(play: Play) -> None:
    """TCP keeps the order; a scenario without it would find faults that nobody has."""

    async def scene(world: World) -> list[str]:
        area = await world.area()
        world.links.delays = [FAR_S, 0.0, FAR_S, 0.0, 0.1, 0.0, FAR_S]
        talk = area.stream_stream(f"/{SERVICE}/Talk", Probe.SerializeToString, Probe.FromString)
        return [each.text async for each in talk(_texts("a", "b", "c"), timeout=10)]

    assert play(scene) == ["A", "B", "C"]


def test_a_call_takes_as_long_as_its_messages(play: Play) -> None:
    """Delays that nobody feels test nothing."""

    async def scene(world: World) -> float:
        world.links.delays = [FAR_S] * 10
        await world.call("Look")
        return asyncio.get_running_loop().time()

    assert play(scene) == pytest.approx(2 * FAR_S, abs=0.01)


def test_a_cut_link_holds_up_what_is_under_way(play: Play) -> None:
    """A short cut is survived by the connection, as TCP does."""

    async def scene(world: World) -> float:
        world.network.cut("here", "there")
        asyncio.get_running_loop().call_later(3.0, world.network.heal, "here", "there")
        await world.call("Look")
        return asyncio.get_running_loop().time()

    assert play(scene) == pytest.approx(3.0)


def test_a_long_cut_breaks_calls(play: Play) -> None:
    """Whoever waits on a link that is gone has to learn it, at both ends."""

    async def scene(world: World) -> tuple[float, bool]:
        area = await world.area()
        waiting = area.unary_stream(f"/{SERVICE}/List", Probe.SerializeToString, Probe.FromString)(
            Probe(text="silent"), timeout=100
        )
        await waiting.read()
        world.network.cut("here", "there")
        with pytest.raises(Unavailable):
            await waiting.read()
        await asyncio.sleep(0.1)
        return asyncio.get_running_loop().time(), world.probes.closed.is_set()

    at, closed = play(scene)
    assert at == pytest.approx(KEEPALIVE_S + 0.1)
    assert closed


def test_a_cut_link_lets_deadlines_pass(play: Play) -> None:
    """A caller with two seconds has two seconds."""

    async def scene(world: World) -> tuple[str, float]:
        world.network.cut("here", "there")
        with pytest.raises(DeadlineExceeded) as caught:
            await world.call("Look", timeout=2.0)
        return caught.value.reason, asyncio.get_running_loop().time()

    assert play(scene) == ("DEADLINE_EXCEEDED", 2.0)


def test_a_crash_breaks_what_the_host_had_under_way(play: Play) -> None:
    """A process that is killed answers nobody, and serves nobody any more."""

    async def scene(world: World) -> tuple[bool, str]:
        asyncio.get_running_loop().call_later(1.0, world.network.crash, "there")
        with pytest.raises(Refusal) as caught:
            await world.call("Read", "wait", timeout=3.0)
        return world.probes.closed.is_set(), caught.value.code

    assert play(scene) == (True, "UNAVAILABLE")


async def _texts(*texts: str) -> AsyncIterator[Any]:
    for text in texts:
        yield Probe(text=text)


async def _nothing_kept(_: Any) -> None:
    return None
