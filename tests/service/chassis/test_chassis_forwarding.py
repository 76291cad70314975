"""Calls passed on raw, as a gateway does, under the same identity, limits, spans and log line."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest

from suanmesh_chassis import Call, Forwarded
from suanmesh_chassis.probe import PROBE_SERVICE, SERVICE, Probe
from suanmesh_chassis.testing import LoopbackNode
from suanmesh_kernel.refusals import NotFound, Refusal
from suanmesh_telemetry.testing import ended_spans


class Parrot:
    """Answers each request with itself, unread."""

    async def unary(self, method: str, request: bytes, call: Call) -> bytes:
        if b"refuse" in request:
            raise NotFound("JOB_UNKNOWN", "no such job", domain="scheduler.suanmesh", name="jobs/x")
        return request

    async def stream(self, method: str, requests: AsyncIterator[bytes], call: Call) -> AsyncGenerator[bytes, None]:
        async for request in requests:
            yield request


@pytest.fixture
async def gateway(node: LoopbackNode, connect: Any) -> Any:
    at = await node.serve(node.process("probe"), [Forwarded(PROBE_SERVICE, Parrot())])
    return connect(at=at)


async def test_every_kind_of_call_is_passed_on(gateway: Any) -> None:
    """A method that only works when called directly is out of a user's reach."""
    assert (await gateway.unary("Read", "a")).text == "a"
    assert [each.text async for each in gateway.server_stream("List", "b")] == ["b"]
    assert (await gateway.client_stream("Gather", ["c"])).text == "c"
    assert [each.text async for each in gateway.bidi("Talk", ["d", "e"])] == ["d", "e"]

    names = [span.name.removeprefix(f"{SERVICE}/") for span in await ended_spans(4)]
    assert names == ["Read", "List", "Gather", "Talk"]


async def test_a_keyed_call_is_left_to_its_owner(gateway: Any) -> None:
    """The answer is kept with the effect, which the gateway does not have."""
    assert (await gateway.unary("Change", "buy")).text == "buy"


async def test_what_is_not_public_does_not_exist_here(gateway: Any) -> None:
    """A gateway faces users; what services say among themselves is none of theirs."""
    with pytest.raises(Refusal) as caught:
        await gateway.unary("Manage")

    assert caught.value.reason == "METHOD_UNKNOWN"


async def test_an_owners_refusal_keeps_its_domain_and_facts(gateway: Any) -> None:
    """A refusal that becomes the gateway's own sends the user to the wrong page."""
    with pytest.raises(Refusal) as caught:
        await gateway.unary("Read", "refuse")

    refusal = caught.value
    assert (refusal.code, refusal.reason, refusal.domain) == ("NOT_FOUND", "JOB_UNKNOWN", "scheduler.suanmesh")
    assert refusal.facts == {"name": "jobs/x"}


async def test_an_oversized_message_is_not_passed_on(gateway: Any) -> None:
    """The limit guards the owner, so it must hold at the door."""
    body = Probe(text="x" * 5_000_000).SerializeToString()
    with pytest.raises(Refusal) as caught:
        await gateway.unary("Read", raw=body, timeout=10)

    assert caught.value.reason == "MESSAGE_TOO_LARGE"
