"""The API of a cluster as the engine uses it, by the official client: its kubeconfig, tokens, TLS and connections.

Objects go and come as JSON: the client's models check much that the server checks, and cost ten times as much.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suanmesh_agent.engines.queued import SchedulerSilent

CALL_S_MAX = 15.0
"""Of one call but a watch; what it asked for may have been done all the same."""
WATCH_S = 60
"""A watch is begun anew so often: a connection that is dead without a word is found out by that."""
PAUSE_S_MAX = 30.0
"""How long a server that is busy is left alone at most, whatever it asks for."""
PAGE = 500
_BUSY = frozenset((401, 408, 429, 500, 502, 503, 504))
"""What is tried again, with 401 as who the kubeconfig says by then."""
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
Json = dict[str, Any]
Query = Sequence[tuple[str, str]]


class ClusterSilent(SchedulerSilent):
    """The cluster has not said whether it did what it was asked for; it may have."""


class ClusterUnconfigured(ClusterSilent):
    """There is no way to the cluster: no kubeconfig, or one that names none."""


class ClusterDenied(ClusterSilent):
    """The cluster does not know who asks: it may, once there is another token."""


class ClusterRefused(Exception):
    """The cluster has said no, and would say it again."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        """`status` is of HTTP, `reason` the cluster's own word."""
        super().__init__(message)
        self.status, self.reason = status, reason

    @property
    def of_the_moment(self) -> bool:
        """Whether it would be taken if it came again: as where two are counted in a quota at the same time."""
        return self.status == 409 and self.reason != "AlreadyExists"

    @property
    def over_quota(self) -> bool:
        """Whether it would be taken once less of the namespace is in use."""
        return self.status == 403 and "exceeded quota" in str(self)


@dataclass(frozen=True, slots=True)
class Access:
    """How the cluster is reached."""

    namespace: str = "default"
    kubeconfig: str = ""
    """Path; empty in a pod, which has what it needs, and else for the user's own file."""
    context: str = ""


class Cluster:
    """One namespace of a cluster. It belongs to one event loop, and is closed on it."""

    def __init__(self, access: Access) -> None:
        self.namespace = access.namespace
        self._access = access
        self._client: Any = None
        self._opening = asyncio.Lock()
        self._busy_until = 0.0
        self._unknown = False
        """Whether the cluster did not know this user: what says who that is may have been renewed."""

    async def close(self) -> None:
        """End its connections."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()

    async def create_job(self, job: Json) -> Json:
        """Raises ClusterRefused, with status 409 where there is one of that name."""
        return await self._call("POST", self._path("jobs"), body=job)

    async def job(self, name: str) -> Json:
        """One Job."""
        return await self._call("GET", f"{self._path('jobs')}/{name}")

    async def delete_job(self, name: str) -> None:
        """With its pods, which go first. One that is gone has been deleted."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground"}
        try:
            await self._call("DELETE", f"{self._path('jobs')}/{name}", body=body)
        except ClusterRefused as refused:
            if refused.status != 404:
                raise

    async def listed(self, resource: str, query: Query = (), *, everywhere: bool = False) -> tuple[list[Json], str]:
        """All of a resource, page by page, and the version of which they are."""
        found: list[Json] = []
        path, more = self._path(resource, everywhere=everywhere), ""
        while True:
            paging = [("limit", str(PAGE)), *([("continue", more)] if more else [])]
            page = await self._call("GET", path, query=[*query, *paging])
            found += page["items"]
            more = page["metadata"].get("continue", "")
            if not more:
                return found, page["metadata"].get("resourceVersion", "")

    async def watch(self, resource: str, version: str, query: Query) -> AsyncGenerator[Json, None]:
        """What has changed since `version`, each with its type; first of all nothing, once the server has answered.

        It ends by itself. Raises as every call.
        """
        asked = [("watch", "true"), ("allowWatchBookmarks", "true"), ("timeoutSeconds", str(WATCH_S))]
        asked += [("resourceVersion", version), *query]
        async with aclosing(self._lines("GET", self._path(resource), asked, WATCH_S + CALL_S_MAX)) as lines:
            async for line in lines:
                yield _parsed(line) if line else {}

    async def version(self) -> tuple[int, int]:
        """Of the server: major and minor."""
        said = await self._call("GET", "/version")
        return int(said["major"]), int(str(said["minor"]).rstrip("+"))

    async def find_namespace(self) -> Json:
        """The namespace itself."""
        return await self._call("GET", f"/api/v1/namespaces/{self.namespace}")

    async def may(self, verb: str, group: str, resource: str, *, everywhere: bool = False) -> bool:
        """Whether this user may do that: in the namespace, or in all."""
        attributes = {"verb": verb, "group": group, "resource": resource}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes | ({} if everywhere else {"namespace": self.namespace})},
        }
        said = await self._call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
        return bool(said["status"]["allowed"])

    def _path(self, resource: str, *, everywhere: bool = False) -> str:
        group = "/apis/batch/v1" if resource == "jobs" else "/api/v1"
        return f"{group}/{resource}" if everywhere else f"{group}/namespaces/{self.namespace}/{resource}"

    async def _call(self, method: str, path: str, *, query: Query = (), body: Json | None = None) -> Json:
        async with aclosing(self._lines(method, path, query, CALL_S_MAX, body)) as lines:
            said = b"".join([line async for line in lines])
        return _parsed(said) if said else {}

    async def _lines(
        self, method: str, path: str, query: Query, bound_s: float, body: Json | None = None
    ) -> AsyncGenerator[bytes, None]:
        import aiohttp

        await asyncio.sleep(self._busy_until - asyncio.get_running_loop().time())
        response = None
        try:
            client = await self._opened()
            headers = {"Accept": "application/json", "Content-Type": "application/json"}
            asked = await client.param_serialize(
                method, path, query_params=list(query), header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            answer = await client.call_api(*asked, _request_timeout=aiohttp.ClientTimeout(total=bound_s))
            response = answer.response
            if response.status >= 400:
                raise self._trouble(response.status, response.headers, await response.read())
            yield b""
            async for line in response.content:
                yield line
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as fault:  # the last: a line without end
            raise ClusterSilent(str(fault) or "it took too long") from fault
        finally:
            if response is not None:
                response.close()

    async def _opened(self) -> Any:
        async with self._opening:
            if self._unknown:
                self._unknown = False
                await self.close()
            if self._client is None:
                self._client = await _client(self._access)
        return self._client

    def _trouble(self, status: int, headers: Any, content: bytes) -> Exception:
        try:
            said = json.loads(content)
        except ValueError:
            said = {"message": content[:200].decode(errors="replace")}
        if status not in _BUSY:
            return ClusterRefused(status, str(said.get("reason", "")), str(said.get("message", "")))
        after = headers.get("Retry-After", "")
        if after.isdecimal():
            self._busy_until = asyncio.get_running_loop().time() + min(float(after), PAUSE_S_MAX)
        self._unknown = status == 401
        kind = ClusterDenied if self._unknown else ClusterSilent
        return kind(f"{status} {said.get('message', '')}".strip())


def _parsed(said: bytes) -> Json:
    """Raises ClusterSilent: what is broken off has not been said."""
    try:
        told: Json = json.loads(said)
    except ValueError as fault:
        raise ClusterSilent("what the cluster says is broken off") from fault
    return told


async def _client(access: Access) -> Any:
    """The official client. Raises ClusterUnconfigured, OSError."""
    from kubernetes.aio import client, config

    settings = client.Configuration()
    try:
        if not access.kubeconfig and await asyncio.to_thread(_SERVICE_ACCOUNT.exists):
            config.load_incluster_config(settings)  # type: ignore[no-untyped-call]
        else:
            await config.load_kube_config(  # type: ignore[no-untyped-call]
                access.kubeconfig or config.KUBE_CONFIG_DEFAULT_LOCATION,
                access.context or None,
                settings,
                persist_config=False,
            )
    except config.ConfigException as fault:
        raise ClusterUnconfigured(str(fault)) from fault
    return client.ApiClient(settings)
