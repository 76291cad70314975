"""Whom the members follow: calls that were asked under a leader that is gone."""

from __future__ import annotations

import asyncio

import pytest

from suanmesh.etcdwire.v1.etcdwire_pb2 import ResponseHeader
from suanmesh_etcd3.terms import Overtaken, Terms


async def asked(terms: Terms, call: asyncio.Future[str], member: str = "a") -> asyncio.Task[str]:
    """A call that is under way."""
    task = asyncio.create_task(terms.answer(call, member))
    await asyncio.sleep(0)
    return task


async def test_a_write_is_not_waited_for_once_another_leads() -> None:
    """A member drops what it passed to a leader that has died: each write under way would last to its deadline."""
    terms = Terms()
    terms.heard(ResponseHeader(raft_term=2))
    lost = await asked(terms, asyncio.get_running_loop().create_future())

    terms.heard(ResponseHeader(raft_term=3))

    with pytest.raises(Overtaken):
        await lost


async def test_what_came_through_or_was_asked_later_is_waited_for() -> None:
    """An election must break off nothing but what it has lost, or every one would cost callers their answers."""
    loop = asyncio.get_running_loop()
    terms = Terms()
    terms.heard(ResponseHeader(raft_term=2))
    before, lost, later = loop.create_future(), loop.create_future(), loop.create_future()
    came_through, given_up = await asked(terms, before), await asked(terms, lost)
    terms.heard(ResponseHeader(raft_term=3))
    asked_later = await asked(terms, later)
    before.set_result("came through")

    with pytest.raises(Overtaken):
        await given_up
    later.set_result("asked later")

    assert (await came_through, await asked_later) == ("came through", "asked later")


async def test_whoever_ends_a_call_is_heard_also_at_an_election() -> None:
    """A process that is told to stop must not take the end of its calls for a reason to make them again."""
    terms = Terms()
    terms.heard(ResponseHeader(raft_term=2))
    task = await asked(terms, asyncio.get_running_loop().create_future())

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_was_asked_of_a_member_that_says_nothing_is_asked_of_another() -> None:
    """One that froze answers nothing, and ends nothing: each call to it would last to its deadline."""
    loop = asyncio.get_running_loop()
    terms, answer = Terms(), loop.create_future()
    lost, elsewhere = await asked(terms, loop.create_future()), await asked(terms, answer, "b")

    terms.end_those_at("a")

    with pytest.raises(Overtaken):
        await lost
    answer.set_result("answered")
    assert await elsewhere == "answered"
