"""The objects of one kind that are ours, as the cluster has them: listed once, and then watched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Protocol

import structlog

from suanmesh_agent.engines.kubernetes.api import ClusterRefused, ClusterSilent, Json, Query

log = structlog.get_logger()

PAUSE_S, PAUSE_S_MAX = 0.25, 8.0
"""Before it is tried again where the cluster did not answer; twice as long each time."""
LEFT_MAX = 2000
GONE = 410
"""Status of what the server does not remember any more: it has to be listed anew."""


class Source(Protocol):
    """What lists and watches."""

    async def listed(self, resource: str, query: Query = ()) -> tuple[Sequence[Json], str]:
        """All there are, and the version of which they are."""

    def watch(self, resource: str, version: str, query: Query) -> AsyncGenerator[Json, None]:
        """What has changed since; first of all nothing, once the server has begun to tell."""


class Feed:
    """Kept up by `run`, whatever becomes of connections and servers."""

    def __init__(self, source: Source, resource: str, selector: str) -> None:
        """`selector` is of labels."""
        self.objects: dict[str, Json] = {}
        """By name."""
        self.left: dict[str, Json] = {}
        """The last of those that have been deleted, as they stood then."""
        self.listed = 0
        """How often all of them were listed."""
        self.fault = ""
        """Why the cluster is not heard; empty where it is."""
        self._source = source
        self._resource = resource
        self._query = [("labelSelector", selector)]
        self._version = ""

    async def run(self) -> None:
        """For good."""
        pause_s = PAUSE_S
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                pause_s = PAUSE_S
            except (ClusterSilent, ClusterRefused) as fault:
                if isinstance(fault, ClusterRefused):
                    self._version = ""
                    if fault.status == GONE:
                        continue
                if not self.fault:
                    log.warning("cluster not heard", message=f"{self._resource}: {fault}")
                self.fault = str(fault)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_S_MAX)

    async def _list(self) -> None:
        found, version = await self._source.listed(self._resource, self._query)
        before, self.objects = self.objects, {each["metadata"]["name"]: each for each in found}
        for name in before.keys() - self.objects.keys():
            self._keep_left(before[name])
        self._version, self.fault = version, ""
        self.listed += 1

    async def _watch(self) -> None:
        """Until the server ends it. What it tells may come twice."""
        async with aclosing(self._source.watch(self._resource, self._version, self._query)) as events:
            async for event in events:
                self.fault = ""
                if event:
                    self._take(event["type"], event["object"])

    def _take(self, kind: str, told: Json) -> None:
        if kind == "ERROR":
            raise ClusterRefused(int(told.get("code", 0)), str(told.get("reason", "")), str(told.get("message", "")))
        self._version = told["metadata"]["resourceVersion"]
        if kind == "BOOKMARK":
            return
        name = told["metadata"]["name"]
        if kind == "DELETED":
            self.objects.pop(name, None)
            self._keep_left(told)
        else:
            self.objects[name] = told

    def _keep_left(self, told: Json) -> None:
        told["metadata"].setdefault("deletionTimestamp", "")
        self.left[told["metadata"]["name"]] = told
        if len(self.left) > LEFT_MAX:
            del self.left[next(iter(self.left))]
