"""The Job of one run of one task, as it is sent to the cluster: one pod, never a second, and in it our shim.

Its name follows from the task and from how often it was handed over, so that what is created twice is refused the
second time. The pod finds of the shared volume its task's folder, and read-only what goes into it; not the site's keys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from suanmesh_agent.domain.tasks import TaskKey, TaskSpec, key_of
from suanmesh_agent.engines.kubernetes import in_pod
from suanmesh_agent.engines.kubernetes.api import Json
from suanmesh_agent.ports import TaskNotStarted

SITE, PLACEMENT, TASK, JOB = (f"suanmesh.mesh/{name}" for name in ("site", "placement", "task", "job"))
"""Labels with our own ids; of the pod also the name of its Job."""
MANAGED = {"app.kubernetes.io/managed-by": "suanmesh"}
NOT_MOVED = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "karpenter.sh/do-not-disrupt": "true"}
"""For what takes nodes away that are little used: a task that is moved begins anew."""
KEPT_S = 600
"""How long an ended Job stays to be looked at."""
SPARE_S = 600
"""The cluster's own bound of time lies so much above ours, which counts from the task's start: images are fetched."""
GRACE_S = 30
"""A shim that is told to end writes down how its task ended."""
SHIM_MEMORY_BYTES = 64 << 20
"""Beside the task's, so that the shim is there to say what became of it."""
CPU_MILLI_UNASKED, MEMORY_BYTES_UNASKED = 10, 64 << 20
PRODUCT_LABEL, MEMORY_LABEL = "nvidia.com/gpu.product", "nvidia.com/gpu.memory"
"""Labels that NVIDIA's feature discovery gives to nodes; the second is in MiB."""
_MIB = 1 << 20
CONTAINER = "task"
"""Name of ours in the pod; others may be put beside it."""
_VOLUME, _TMP = "shared", "tmp"


@dataclass(frozen=True, slots=True)
class Pods:
    """What the pods of a site have in common."""

    namespace: str
    image: str
    python: str
    """The interpreter in the image that has this package."""
    shared: Path
    """Folder of the agent that the volume's root lies at."""
    claim: str = ""
    """Claim of the volume; empty for the same folder of every node."""
    user: int = 10001
    group: int = 10001
    service_account: str = ""
    runtime_class: str = ""
    priority_class: str = ""
    node_selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[str, ...] = ()
    """Keys of taints that keep no pod of ours away."""
    devices: Mapping[str, str] = field(default_factory=lambda: {"gpu": "nvidia.com/gpu"})
    """The cluster's name for each class of cards."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What one task takes of a node, and which folders it finds; all that is needed to hand it over again."""

    cpu_milli: int
    memory_bytes: int
    scratch_bytes: int
    duration_s: int
    mounts: tuple[tuple[str, bool], ...]
    """Paths below the volume's root, and whether they can be written."""
    devices: tuple[tuple[str, int], ...] = ()
    """The cluster's name for cards, and how many."""
    models: tuple[str, ...] = ()
    card_memory_mib: int = 0


def needs_of(spec: TaskSpec, home: Path, pods: Pods, permission: str) -> Needs:
    """Raises TaskNotStarted where the cluster cannot be asked for it."""
    read = [folder for _, folder in spec.inputs]
    read += [folder for folder in (spec.setup, Path(permission) if permission else None) if folder]
    paths = [(home, True), *((folder, False) for folder in dict.fromkeys(read))]
    unknown = [ask.device_class for ask in spec.devices if ask.device_class not in pods.devices]
    if unknown:
        raise TaskNotStarted(f"the cluster has no name for cards of class {unknown[0]}")
    return Needs(
        cpu_milli=spec.cpu_milli,
        memory_bytes=spec.memory_bytes,
        scratch_bytes=spec.scratch_bytes,
        duration_s=spec.max_duration_s,
        mounts=tuple((_within(path, pods.shared), written) for path, written in paths),
        devices=tuple((pods.devices[ask.device_class], ask.count) for ask in spec.devices),
        models=tuple(sorted({model for ask in spec.devices for model in ask.any_of_models})),
        card_memory_mib=max((-(-ask.min_memory_bytes // _MIB) for ask in spec.devices), default=0),
    )


def _within(path: Path, shared: Path) -> str:
    try:
        return str(path.absolute().relative_to(shared))
    except ValueError:
        raise TaskNotStarted(f"{path} is not below {shared}, which the pods share") from None


def job_name(site: str, key: TaskKey, times: int) -> str:
    """Short enough for the pods that are named after it, and the same whoever asks."""
    told = hashlib.sha256(f"{site}/{key.placement}/{key.name}".encode()).hexdigest()
    return f"suan-{told[:24]}-{times}"


def selector(site: str) -> str:
    """What all Jobs and pods of a site have."""
    return f"{SITE}={site}"


def labels(site: str, key: TaskKey, name: str) -> dict[str, str]:
    """Of a Job and its pod."""
    return {**MANAGED, SITE: site, PLACEMENT: key.placement, TASK: key.name, JOB: name}


def key_in(labelled: Json) -> TaskKey | None:
    """The task of a Job or pod; None where it is none of ours."""
    told = labelled["metadata"].get("labels", {})
    return key_of(told.get(PLACEMENT, ""), told.get(TASK, ""))


def job(site: str, key: TaskKey, name: str, needs: Needs, pods: Pods) -> Json:
    """What is sent."""
    told = labels(site, key, name)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": pods.namespace, "labels": told},
        "spec": {
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "ttlSecondsAfterFinished": KEPT_S,
            "template": {
                "metadata": {
                    "labels": told,
                    "annotations": NOT_MOVED,
                },
                "spec": _pod(needs, pods),
            },
        },
    }


def _pod(needs: Needs, pods: Pods) -> Json:
    """The bound of time is the pod's, which counts from when it has a node: that of a Job counts the queue too."""
    volume = {"persistentVolumeClaim": {"claimName": pods.claim}}
    if not pods.claim:
        volume = {"hostPath": {"path": str(pods.shared), "type": "Directory"}}
    scratch = {"emptyDir": {"sizeLimit": str(needs.scratch_bytes)} if needs.scratch_bytes else {}}
    named = {
        "serviceAccountName": pods.service_account,
        "runtimeClassName": pods.runtime_class,
        "priorityClassName": pods.priority_class,
        "nodeSelector": dict(pods.node_selector),
        "tolerations": [{"key": key, "operator": "Exists"} for key in pods.tolerations],
        "affinity": _affinity(needs),
    }
    return {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": needs.duration_s + SPARE_S,
        "terminationGracePeriodSeconds": GRACE_S,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": pods.user,
            "runAsGroup": pods.group,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(needs, pods)],
        "volumes": [{"name": _VOLUME} | volume, {"name": _TMP} | scratch],
        **{name: value for name, value in named.items() if value},
    }


def _container(needs: Needs, pods: Pods) -> Json:
    home = pods.shared / needs.mounts[0][0]
    return {
        "name": CONTAINER,
        "image": pods.image,
        "command": [pods.python, "-I", "-m", in_pod.__name__, str(home / "shim")],
        "workingDir": "/",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": _resources(needs),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": _TMP, "mountPath": "/tmp"},
            *(
                {"name": _VOLUME, "mountPath": str(pods.shared / path), "subPath": path, "readOnly": not written}
                for path, written in needs.mounts
            ),
        ],
    }


def _resources(needs: Needs) -> Json:
    """What was asked for is both kept free and the bound; who asked for nothing has no bound of the cluster's."""
    asked = {name: str(count) for name, count in needs.devices}
    if needs.cpu_milli:
        asked["cpu"] = f"{needs.cpu_milli}m"
    if needs.memory_bytes:
        asked["memory"] = str(needs.memory_bytes + SHIM_MEMORY_BYTES)
    least = {"cpu": f"{CPU_MILLI_UNASKED}m", "memory": str(MEMORY_BYTES_UNASKED)}
    return {"requests": least | asked} | ({"limits": asked} if asked else {})


def _affinity(needs: Needs) -> Json:
    """Nodes with such cards, where it matters which."""
    wanted: list[Json] = []
    if needs.models:
        wanted.append({"key": PRODUCT_LABEL, "operator": "In", "values": list(needs.models)})
    if needs.card_memory_mib:
        wanted.append({"key": MEMORY_LABEL, "operator": "Gt", "values": [str(needs.card_memory_mib - 1)]})
    if not wanted:
        return {}
    terms: Sequence[Json] = [{"matchExpressions": wanted}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
