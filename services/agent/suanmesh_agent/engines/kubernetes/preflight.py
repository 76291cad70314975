"""Whether a site can be run on a cluster: found out by asking for all that its agent will ask for, and by a task."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from contextlib import aclosing, suppress

from suanmesh_agent.domain.tasks import TaskKey, TaskLook, TaskSpec, TaskState
from suanmesh_agent.engines.kubernetes.api import (
    Cluster,
    ClusterDenied,
    ClusterRefused,
    ClusterSilent,
    ClusterUnconfigured,
)
from suanmesh_agent.engines.kubernetes.engine import KubernetesEngine
from suanmesh_agent.engines.kubernetes.jobs import job_name
from suanmesh_agent.engines.kubernetes.opening import cluster_of, kubernetes_engine
from suanmesh_agent.settings import AgentSettings
from suanmesh_kernel.clock import SystemClock
from suanmesh_kernel.extras import lacking
from suanmesh_kernel.private import private_folder
from suanmesh_kernel.refusals import FailedPrecondition, NotFound, PermissionDenied, Refusal, Unavailable

LEAST = (1, 29)
"""Version of Kubernetes from which on a Job waits for its pod's end before it makes another."""
TASK_S_MAX = 180.0
"""How long the task may take to run: an image has to be fetched."""
BELIEVED_S = 20.0
"""What is wrong with a pod for so long is not going to mend itself."""
_LOOK_S = 0.25
_LOCAL = tuple(("batch", "jobs", verb) for verb in ("create", "delete", "get", "list", "watch"))
_LOCAL += (("", "pods", "list"), ("", "pods", "watch"), ("", "events", "list"))


async def require_ready(
    settings: AgentSettings, *, task_s_max: float = TASK_S_MAX, believed_s: float = BELIEVED_S
) -> str:
    """What was found, in words. Raises Refusal with what is wrong; nothing of the task stays behind."""
    if missing := lacking("kubernetes"):
        raise FailedPrecondition("KUBERNETES_ABSENT", missing.en)
    cluster = cluster_of(settings)
    try:
        version = await _answering(cluster)
        await _require_rights(cluster)
    except ClusterSilent as silent:
        raise _refusal_of(silent) from silent
    finally:
        await cluster.close()
    private_folder(settings.data_dir)
    engine = kubernetes_engine(settings, None, SystemClock())
    try:
        return await _found(engine, version, task_s_max, believed_s)
    finally:
        engine.close()


async def _answering(cluster: Cluster) -> str:
    """The version of a cluster that is new enough, and has the namespace."""
    found = await cluster.version()
    told = ".".join(map(str, found))
    if found < LEAST:
        least = ".".join(map(str, LEAST))
        words = f"the cluster is of Kubernetes {told}, and {least} is the least"
        raise FailedPrecondition("KUBERNETES_TOO_OLD", words, version=told, least=least)
    try:
        await cluster.find_namespace()
    except ClusterRefused as refused:
        if refused.status == 404:
            words = f"the cluster has no namespace {cluster.namespace}"
            raise NotFound("KUBERNETES_NAMESPACE_ABSENT", words, namespace=cluster.namespace) from refused
    return told


async def _require_rights(cluster: Cluster) -> None:
    for group, resource, verb in _LOCAL:
        if not await cluster.may(verb, group, resource):
            raise _denied(verb, resource, cluster.namespace)
    if not await cluster.may("list", "", "nodes", everywhere=True):
        raise _denied("list", "nodes", "")


def _denied(verb: str, resource: str, namespace: str) -> Refusal:
    where = f" in namespace {namespace}" if namespace else ""
    words = f"this user may not {verb} {resource}{where}"
    return PermissionDenied("KUBERNETES_DENIED", words, verb=verb, resource=resource, namespace=namespace)


def _refusal_of(silent: ClusterSilent) -> Refusal:
    if isinstance(silent, ClusterUnconfigured):
        return FailedPrecondition("KUBERNETES_UNCONFIGURED", f"no way to a cluster is configured: {silent}")
    if isinstance(silent, ClusterDenied):
        return PermissionDenied("KUBERNETES_DENIED", f"the cluster does not know this user: {silent}")
    return Unavailable("KUBERNETES_UNREACHABLE", f"the cluster does not answer: {silent}")


async def _found(engine: KubernetesEngine, version: str, task_s_max: float, believed_s: float) -> str:
    try:
        nodes = await engine.nodes()
    except ClusterSilent as silent:
        raise _refusal_of(silent) from silent
    if not nodes:
        raise FailedPrecondition("KUBERNETES_NODES_MISSING", "no node of the cluster takes pods of tasks")
    await _require_runs(engine, task_s_max, believed_s)
    cores = sum(node.cpu_milli for node in nodes) // 1000
    return f"Kubernetes {version}, {len(nodes)} nodes with {cores} processors; a task ran, and found its folder"


async def _require_runs(engine: KubernetesEngine, task_s_max: float, believed_s: float) -> None:
    """Run a task that reads what this host has written, and whose end this host reads."""
    key, told = TaskKey(f"preflight-{uuid.uuid4().hex[:8]}", 0), uuid.uuid4().hex
    given = engine.layout.folder.parent / key.placement
    try:
        await asyncio.to_thread(private_folder, given)
        await asyncio.to_thread((given / "told").write_text, told)
        given.chmod(0o755)
        spec = TaskSpec(key, ("cat", "in/told"), inputs=(("in", given),), max_duration_s=60)
        (fault,) = await engine.submit([spec])
        if fault is not None:
            raise FailedPrecondition("KUBERNETES_TASK_NOT_RUN", str(fault))
        with suppress(TimeoutError):
            async with asyncio.timeout(task_s_max):
                await _over_or_stuck(engine, key, believed_s)
        (look,) = await engine.inspect([key])
        log = engine.open_log(key) if look.over else None
        if not look.succeeded or log is None or log.read(0, 100)[1].decode() != told:
            raise await _why(engine, key, look)
    finally:
        await _cleared(engine, key)
        await asyncio.to_thread(shutil.rmtree, given, ignore_errors=True)


async def _over_or_stuck(engine: KubernetesEngine, key: TaskKey, believed_s: float) -> None:
    """Wait until the task is over, or something has been wrong with its pod for long."""
    clock = asyncio.get_running_loop().time
    wrong_since = float("inf")
    async with aclosing(engine.watch(key.placement)) as batches:
        await anext(batches)  # somebody has to watch, so that the cluster is minded
        while not (await engine.inspect([key]))[0].over:
            wrong = engine.start_fault or await engine.mounts_refused(job_name(engine.site, key, 1))
            wrong_since = min(wrong_since, clock()) if wrong else float("inf")
            if clock() - wrong_since >= believed_s:
                return
            await asyncio.sleep(_LOOK_S)


async def _why(engine: KubernetesEngine, key: TaskKey, look: TaskLook) -> Refusal:
    """Why the task did not run: its folder, where the pod could not find that, or else what the cluster says."""
    folder = str(engine.layout.folder.parent)
    if said := await engine.mounts_refused(job_name(engine.site, key, 1)):
        return FailedPrecondition("KUBERNETES_FOLDER_UNSHARED", f"the pods do not find {folder}: {said}", folder=folder)
    said = engine.start_fault or look.failure or str(look.waits_for)
    if "No such file" in said or "subPath" in said or "Permission denied" in said:
        return FailedPrecondition(
            "KUBERNETES_FOLDER_UNSHARED", f"the pods do not find {folder} as it is here: {said}", folder=folder
        )
    return FailedPrecondition("KUBERNETES_TASK_NOT_RUN", f"a task did not run in a pod: {said}")


async def _cleared(engine: KubernetesEngine, key: TaskKey) -> None:
    """Take it out of the cluster, and off the disk."""
    (look,) = await engine.inspect([key])
    if look.state in (TaskState.QUEUED, TaskState.RUNNING):
        await engine.cancel([key])
    await engine.take_away(key)
    with suppress(OSError):
        await asyncio.to_thread(engine.forget, key.placement)
