"""Data planes refuse whoever the registry told them to, and end what such a one has open: dialled or relayed."""

from __future__ import annotations

from collections.abc import AsyncIterable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from suanmesh.agent.v1 import agent_service_pb2 as pb
from suanmesh.registry.v1.revocation_pb2 import Revocation, Revocations
from suanmesh_agent.journal import Journal
from suanmesh_agent.refused import KeptRefused
from suanmesh_chassis.call import Caller
from suanmesh_chassis.identity import agent_id, caller_of
from suanmesh_chassis.testing import NODE
from suanmesh_kernel.clock import SystemClock
from suanmesh_kernel.refusals import Refusal
from suanmesh_sdk.values import timestamp
from tests.service.agent.test_agent_data_plane import READER, Site, site

__all__ = ["site"]
SLOW_BPS = 8 * 128 * 1024
"""A piece a second: what is fetched so is under way for minutes."""


def told(*who: str) -> Revocations:
    """What the registry tells: certificates that began by now are refused."""
    later = timestamp(SystemClock().now() + timedelta(seconds=2))
    return Revocations(revocations=[Revocation(name=each, valid_from=later) for each in who])


async def broken_by(answers: AsyncIterable[Any]) -> Refusal:
    """What ends a stream that would go on."""
    with pytest.raises(Refusal) as refusal:
        async for _ in answers:
            pass
    return refusal.value


async def test_what_a_revoked_site_fetches_ends(site: Site) -> None:
    """A key that was stolen and revoked must not go on copying what its tickets once opened."""
    ranges = [pb.ChunkRange(file=0, offset=0, bytes=4 << 20)] * 100
    request = pb.FetchChunksRequest(ticket=site.ticket(rate_bps=SLOW_BPS), ranges=ranges)
    fetched: Any = site.stub().FetchChunks(request, timeout=3600)
    await anext(aiter(fetched))

    site.refused.told(told("site/b/agent"))

    assert (await broken_by(fetched)).reason == "CERTIFICATE_REVOKED"
    with pytest.raises(Refusal) as refusal:
        await site.stub().GetManifest(pb.GetManifestRequest(ticket=site.ticket()), timeout=60)
    assert refusal.value.reason == "CERTIFICATE_REVOKED"


async def test_others_read_on_and_whoever_is_no_longer_refused_comes_back(site: Site) -> None:
    """One revocation must cost nobody else their work, and a mistaken one must be undone by telling of another list."""
    request = pb.GetManifestRequest(ticket=site.ticket())
    site.refused.told(told("site/c/agent", "party/elsewhere"))
    await site.stub().GetManifest(request, timeout=60)
    site.refused.told(told("site/b/agent"))
    with pytest.raises(Refusal):
        await site.stub().GetManifest(request, timeout=60)

    site.refused.told(told())

    await site.stub().GetManifest(request, timeout=60)


def test_who_is_refused_is_known_after_a_restart(tmp_path: Path) -> None:
    """An agent that starts while the mesh is away would serve whoever was shut out before."""
    with closing(Journal(tmp_path / "agent.db")) as journal:
        KeptRefused(journal).told(told("site/b/agent"))
    with closing(Journal(tmp_path / "agent.db")) as journal:
        again = KeptRefused(journal)

    refusal = again(_shown(READER))

    assert refusal is not None
    assert refusal.reason == "CERTIFICATE_REVOKED"
    assert again(_shown(agent_id(NODE, "c"))) is None


def _shown(identity: str) -> Caller:
    return replace(caller_of(identity, NODE), since=SystemClock().now())
