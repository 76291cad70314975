"""The API: paths, verbs, who may use them, and watches."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web

from .checks import check
from .controllers import Controllers, delete, is_terminal, key_of, set_condition
from .store import Json, Key, Problem, Store, now

ADMIN = "admin"
"""Token of who may do everything, as kubelets; the rules of the others are in `rules.json`."""
BOOKMARK_S = 1.0
_KINDS = {"nodes": "Node", "pods": "Pod", "events": "Event", "jobs": "Job", "namespaces": "Namespace"}
_GROUPS = {"jobs": "batch", "selfsubjectaccessreviews": "authorization.k8s.io"}


class Server:
    """One API server over one folder."""

    def __init__(self, folder: Path) -> None:
        self._store = Store(folder / "store")
        self._folder = folder
        self._faults: Json = {}
        self._cuts = 0
        self._controllers = Controllers(self._store, self._faults)
        if ("namespaces", "", "kube-system") not in self._store.objects:
            self._store.create(("namespaces", "", "kube-system"), _namespace("kube-system"))

    def application(self) -> web.Application:
        """All of it."""
        made = web.Application(middlewares=[self._guarded])
        one, many = "/api/v1/{resource:nodes|pods}", "/{resource:pods|events|jobs}"
        for base in ("/api/v1/namespaces/{namespace}", "/apis/batch/v1/namespaces/{namespace}"):
            made.router.add_get(base + many, self._listed)
            made.router.add_post(base + many, self._created)
            made.router.add_get(base + many + "/{name}", self._got)
            made.router.add_delete(base + many + "/{name}", self._deleted)
            made.router.add_put(base + many + "/{name}", self._put)
            made.router.add_put(base + many + "/{name}/status", self._put_status)
            made.router.add_post(base + many + "/{name}/eviction", self._evicted)
        made.router.add_get(one, self._listed)
        made.router.add_post(one, self._created)
        for path in (one + "/{name}", "/api/v1/{resource:namespaces}/{name}"):
            made.router.add_get(path, self._got)
            made.router.add_delete(path, self._deleted)
        made.router.add_put(one + "/{name}", self._put)
        made.router.add_put(one + "/{name}/status", self._put_status)
        made.router.add_post("/api/v1/{resource:namespaces}", self._created)
        made.router.add_get("/version", self._version)
        made.router.add_post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", self._reviewed)
        made.router.add_post("/stand-in/faults", self._set_faults)
        made.cleanup_ctx.append(self._controlling)
        return made

    async def _controlling(self, _: web.Application) -> AsyncIterator[None]:
        running = asyncio.get_running_loop().create_task(self._controllers.run())
        yield
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    # -- who, and what is hurt

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            token = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if token != ADMIN:
                self._hurt()
                self._require_allowed(token, request)
            return await handler(request)
        except Problem as problem:
            headers = {"Retry-After": str(problem.retry_after_s)} if problem.retry_after_s else None
            return web.json_response(problem.status, status=problem.code, headers=headers)

    def _hurt(self) -> None:
        if self._faults.get("refuse", 0) > 0:
            self._faults["refuse"] -= 1
            code = self._faults.get("refuse_with", 500)
            raise Problem(code, "InternalError", "as it was told to", self._faults.get("retry_after_s", 0))

    def _require_allowed(self, token: str, request: web.Request) -> None:
        if not (rules := self._rules(token)):
            raise Problem(401, "Unauthorized", "Unauthorized")
        resource = request.match_info.get("resource", "")
        if not resource:
            return
        verbs = {"GET": "get" if "name" in request.match_info else "list", "POST": "create", "DELETE": "delete"}
        verb = "watch" if "watch" in request.query else verbs.get(request.method, "update")
        namespace = request.match_info.get("namespace", "")
        if not _allows(rules, verb, _GROUPS.get(resource, ""), resource, namespace):
            words = f'{resource} is forbidden: User "{token}" cannot {verb} resource "{resource}"'
            raise Problem(403, "Forbidden", f'{words} in API group "{_GROUPS.get(resource, "")}"')

    def _rules(self, token: str) -> list[Json]:
        """Each with `namespace`, which is empty where it holds in all."""
        return json.loads((self._folder / "rules.json").read_text()).get(token, [])

    async def _reviewed(self, request: web.Request) -> web.Response:
        told = await request.json()
        check(told | {"metadata": {"name": "review"}})
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        asked = told["spec"]["resourceAttributes"]
        wanted = asked["verb"], asked.get("group", ""), asked["resource"], asked.get("namespace", "")
        allowed = token == ADMIN or _allows(self._rules(token), *wanted)
        return web.json_response(told | {"status": {"allowed": allowed}}, status=201)

    async def _set_faults(self, request: web.Request) -> web.Response:
        told = await request.json()
        if told.pop("compact", False):
            self._store.compact()
        if told.pop("cut", False):
            self._cuts += 1
        self._faults.update(told)
        return web.json_response({})

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response(self._faults.get("version") or {"major": "1", "minor": "31+", "gitVersion": "v1.31.0"})

    # -- reading

    def _key(self, request: web.Request) -> Key:
        info = request.match_info
        return info["resource"], info.get("namespace", ""), info.get("name", "")

    async def _got(self, request: web.Request) -> web.Response:
        return web.json_response(self._store.get(self._key(request)))

    async def _listed(self, request: web.Request) -> web.StreamResponse:
        resource, namespace, _ = self._key(request)
        if request.query.get("watch") == "true":
            return await self._watched(request, resource, namespace)
        if namespace and ("namespaces", "", namespace) not in self._store.objects and request.method != "GET":
            raise Problem(404, "NotFound", f'namespaces "{namespace}" not found')
        found = [each for each in self._store.every(resource, namespace) if _selected(each, request.query)]
        begin, limit = int(request.query.get("continue") or 0), int(request.query.get("limit") or len(found) or 1)
        metadata = {"resourceVersion": str(self._store.version)}
        if begin + limit < len(found):
            metadata["continue"] = str(begin + limit)
        kind = {"kind": f"{_KINDS[resource]}List", "apiVersion": "v1"}
        return web.json_response(kind | {"metadata": metadata, "items": found[begin : begin + limit]})

    async def _watched(self, request: web.Request, resource: str, namespace: str) -> web.StreamResponse:
        version = int(request.query.get("resourceVersion") or self._store.version)
        bound_s, cuts, loop = float(request.query.get("timeoutSeconds", 300)), self._cuts, asyncio.get_running_loop()
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        end, told_at = loop.time() + bound_s, loop.time()
        try:
            while loop.time() < end and cuts == self._cuts:
                news = []
                for changed, kind, key, told in self._store.since(version):
                    version = changed
                    if key[0] == resource and namespace in ("", key[1]) and _selected(told, request.query):
                        news.append({"type": kind, "object": told})
                if not news and loop.time() - told_at >= BOOKMARK_S and "allowWatchBookmarks" in request.query:
                    mark = {"kind": _KINDS[resource], "apiVersion": "v1", "metadata": {"resourceVersion": str(version)}}
                    news.append({"type": "BOOKMARK", "object": mark})
                if news:
                    told_at = loop.time()
                    await answer.write(b"".join(json.dumps(each).encode() + b"\n" for each in news))
                await self._store.changed(min(BOOKMARK_S, max(0.01, end - loop.time())))
        except Problem as problem:
            await answer.write(json.dumps({"type": "ERROR", "object": problem.status}).encode() + b"\n")
        if cuts != self._cuts and request.transport is not None:
            request.transport.abort()
        return answer

    # -- writing

    async def _created(self, request: web.Request) -> web.Response:
        told = await request.json()
        resource, namespace, _ = self._key(request)
        check(told)
        if namespace:
            self._store.get(("namespaces", "", namespace))
            if told["metadata"].setdefault("namespace", namespace) != namespace:
                raise Problem(400, "BadRequest", "the namespace of the provided object does not match the request")
        key = (resource, namespace, told["metadata"]["name"])
        if resource == "jobs":
            self._require_room(namespace)
            if self._faults.pop("conflict", False):
                words = 'Operation cannot be fulfilled on resourcequotas "q": the object has been modified'
                raise Problem(409, "Conflict", words)
        made = self._store.create(
            key, {name: each for name, each in told.items() if name != "status" or resource == "nodes"}
        )
        if resource == "nodes":
            self._controllers.heard(key[2])
        if self._faults.pop("lose_answer", False) and request.transport is not None:
            request.transport.abort()
        return web.json_response(made, status=201)

    def _require_room(self, namespace: str) -> None:
        most = self._faults.get("jobs_max")
        there = sum(1 for _ in self._store.every("jobs", namespace))
        if most is not None and there >= most:
            words = f"exceeded quota: jobs, requested: count/jobs.batch=1, used: {there}, limited: {most}"
            raise Problem(403, "Forbidden", f"jobs.batch is forbidden: {words}")

    async def _deleted(self, request: web.Request) -> web.Response:
        key = self._key(request)
        self._store.get(key)
        told = await request.json() if request.can_read_body else {}
        grace_s = int(request.query["gracePeriodSeconds"]) if "gracePeriodSeconds" in request.query else None
        foreground = told.get("propagationPolicy") == "Foreground" or key[0] == "jobs"
        delete(self._store, key, foreground=foreground, grace_s=grace_s)
        return web.json_response(self._store.objects.get(key, {"kind": "Status", "status": "Success"}))

    async def _put(self, request: web.Request) -> web.Response:
        key, told = self._key(request), await request.json()
        status = self._store.get(key).get("status", {})  # which has a path of its own
        return web.json_response(self._store.replace(key, told | {"status": status}))

    async def _put_status(self, request: web.Request) -> web.Response:
        """Of who looks after it; a pod that has gone meanwhile is nobody's."""
        key, told = self._key(request), await request.json()
        if key[0] == "nodes":
            self._controllers.heard(key[2])
        self._store.get(key)
        if told["status"].get("phase") == "Running" and self._faults.get("lose_starts", 0) and request.transport:
            self._faults["lose_starts"] -= 1  # a client tries once more by itself
            request.transport.abort()
            return web.json_response({})
        return web.json_response(self._store.change(key, lambda there: _take_status(there, told)))

    async def _evicted(self, request: web.Request) -> web.Response:
        key = self._key(request)
        self._store.get(key)
        said = "Eviction API: evicting"
        self._store.change(
            key, lambda told: set_condition(told, "DisruptionTarget", "True", "EvictionByEvictionAPI", said)
        )
        delete(self._store, key)
        return web.json_response({"kind": "Status", "status": "Success"}, status=201)


def _take_status(there: Json, told: Json) -> None:
    """Conditions that others have set stay."""
    own = {each["type"] for each in told["status"].get("conditions", ())}
    others = [each for each in there.get("status", {}).get("conditions", ()) if each["type"] not in own]
    there["status"] = there.get("status", {}) | told["status"]
    there["status"]["conditions"] = others + list(told["status"].get("conditions", ()))
    if is_terminal(there) and "deletionTimestamp" in there["metadata"]:
        there["metadata"]["deletionGracePeriodSeconds"] = 0


def _allows(rules: list[Json], verb: str, group: str, resource: str, namespace: str) -> bool:
    return any(
        rule["namespace"] in ("", namespace)
        and verb in rule["verbs"]
        and group in rule["apiGroups"]
        and resource in rule["resources"]
        for rule in rules
    )


def _selected(told: Json, query: Any) -> bool:
    labels = told["metadata"].get("labels", {})
    for each in filter(None, query.get("labelSelector", "").split(",")):
        name, _, value = each.partition("=")
        if labels.get(name) != value:
            return False
    for each in filter(None, query.get("fieldSelector", "").split(",")):
        path, value = each.split("!=") if "!=" in each else each.split("=")
        at: Any = told
        for part in path.split("."):
            at = (at or {}).get(part)
        if (at == value) is ("!=" in each):
            return False
    return True


def _namespace(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "creationTimestamp": now()}}


__all__ = ["ADMIN", "Server", "key_of"]
