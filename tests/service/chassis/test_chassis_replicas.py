"""Several instances of an area: any answers what is declared so, one leads, and leads follow one another."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh_chassis import Parts, ServiceContext
from suanmesh_chassis.methods import BadServicer
from suanmesh_kernel.refusals import Unavailable
from suanmesh_sdk import InstanceState
from suanmesh_store import Create
from suanmesh_store.layout import Kind
from tests.service.chassis.town import Town, begun

JOBS = Kind("scheduler", "jobs", Job)
"""A kind as any."""


async def test_any_instance_answers_what_is_declared_so(town: Town, connect: Any) -> None:
    """With a standby beside the leader, every other read was refused."""
    async with town.living():
        (first,) = await town.seen(lambda found: [each.leader for each in found] == [True])
        async with town.living():
            both = await town.seen(lambda found: [each.state for each in found] == [InstanceState.ACTIVE] * 2)
            (second,) = [each for each in both if each.address != first.address]
            standby = connect(at=second.address)
            assert (await standby.unary("Look", "it")).text == "looked at it"
            with pytest.raises(Unavailable) as caught:
                await standby.unary("Read", "it")

    assert (caught.value.reason, caught.value.facts) == ("NOT_LEADER", {"leader": first.address})


async def test_what_any_instance_serves_outlives_a_lead(town: Town, connect: Any) -> None:
    """Reads that stop whenever a lead changes stop for everybody at once."""
    async with town.living():
        (only,) = await town.seen(lambda found: [each.leader for each in found] == [True])
        client = connect(at=only.address)
        stream = client.server_stream("Watch")
        assert (await stream.read()).text == "begun"
        term: Any = town.contexts[0].leadership
        await term.resign()
        await town.seen(partial(begun, town.contexts, 1))
        town.probes.may_finish.set()
        assert (await stream.read()).text == "finished"
        assert (await client.unary("Look", "it")).text == "looked at it"

    assert (len(town.replicas), len(town.contexts)) == (1, 2)


async def test_what_any_instance_has_cannot_write(town: Town) -> None:
    """A standby that writes undoes what the leader has just done."""
    async with town.living():
        await town.seen(lambda found: [each.leader for each in found] == [True])
        with pytest.raises(Unavailable) as caught:
            await town.replicas[0].store.commit(Create(JOBS, "jobs/j", Job(name="jobs/j")))

    assert caught.value.reason == "NOT_LEADER"


async def test_what_every_instance_should_serve_is_not_left_to_the_leader(town: Town) -> None:
    """Callers send such a method to any instance: half of the calls would be refused."""

    async def build(_: ServiceContext[Any]) -> Parts:
        return Parts(term=town.build)

    async def lived() -> None:
        async with town.living(build, leads=False):
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as caught:
        await lived()

    assert caught.value.split(BadServicer)[1] is None


async def test_the_next_one_leads_before_the_last_one_has_ended(town: Town, connect: Any) -> None:
    """A restart that leaves an area without a leader while the old one drains refuses every write until then."""
    async with town.living() as stop_first:
        (first,) = await town.seen(lambda found: [each.leader for each in found] == [True])
        async with town.living():
            await town.seen(lambda found: [each.state for each in found] == [InstanceState.ACTIVE] * 2)
            stream = connect(at=first.address).server_stream("Watch")
            assert (await stream.read()).text == "begun"
            stop_first.set()
            both = await town.seen(lambda found: any(each.leader and each.address != first.address for each in found))
            assert first.address in [each.address for each in both]
