"""The stream of changes of sites and pools, fed by the mirrors and resumable by a token that holds both revisions.

However many watch, etcd is followed once a kind. What waits for a slow reader is names, each once: the documents are
looked up when there is a turn to send them, as they stand then.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterable

from suanmesh.registry.v1 import pool_pb2, site_pb2
from suanmesh.registry.v1 import registry_service_pb2 as pb
from suanmesh_registry import wire
from suanmesh_store import Mirror, WorkQueue

DOCUMENTS_MAX = 200
"""Sites and pools in one answer: what a reader that takes nothing keeps in memory."""
_TOKEN = re.compile(r"([0-9]{1,19})\.([0-9]{1,19})")


async def watched(
    sites: Mirror[site_pb2.Site], pools: Mirror[pool_pb2.Pool], resume_token: str
) -> AsyncGenerator[pb.WatchPoolsResponse, None]:
    """What changes after `resume_token`; the whole state first where the token is empty or no longer one of ours."""
    names = WorkQueue()
    with sites.following(names), pools.following(names):
        missed = _missed(sites, pools, resume_token)
        kind, token = pb.WatchPoolsResponse.KIND_CHANGE, resume_token
        if missed is None:
            kind, token, missed = pb.WatchPoolsResponse.KIND_RESET, "", [*sites.names(), *pools.names()]
        names.add(missed)
        while True:
            if kind == pb.WatchPoolsResponse.KIND_CHANGE:
                await names.some()
            answer = _told(sites, pools, names.take_many(DOCUMENTS_MAX))
            if not len(names):
                token = f"{sites.revision}.{pools.revision}"
            answer.kind, answer.resume_token = kind, token
            yield answer
            kind = pb.WatchPoolsResponse.KIND_CHANGE


def _missed(sites: Mirror[site_pb2.Site], pools: Mirror[pool_pb2.Pool], token: str) -> list[str] | None:
    """What a reader with this token does not know; None where that cannot be told, or it is no token."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    changed_sites, changed_pools = sites.changed_after(int(match[1])), pools.changed_after(int(match[2]))
    if changed_sites is None or changed_pools is None:
        return None
    return changed_sites + changed_pools


def _told(sites: Mirror[site_pb2.Site], pools: Mirror[pool_pb2.Pool], names: Iterable[str]) -> pb.WatchPoolsResponse:
    answer = pb.WatchPoolsResponse()
    for name in names:
        if site := sites.get(name):
            answer.sites.append(wire.shown(site))
        elif pool := pools.get(name):
            answer.pools.append(wire.shown(pool))
        else:
            answer.deleted.append(name)
    return answer
