"""What a cluster says of pods, Jobs and nodes, and what it means to us."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from suanmesh_agent.engines.kubernetes.api import Json
from suanmesh_agent.engines.kubernetes.jobs import CONTAINER, MEMORY_LABEL, PRODUCT_LABEL, SITE
from suanmesh_agent.engines.queued import SILENT, Node
from suanmesh_kernel.quantities import Device
from suanmesh_kernel.reasons import StateReason

SAID_MAX = 200
"""Characters of the cluster's own words that are passed on."""
_UNITS = {
    "": Decimal(1), "m": Decimal("0.001"), "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9),
    "T": Decimal(10**12), "P": Decimal(10**15), "E": Decimal(10**18), "n": Decimal("1e-9"), "u": Decimal("1e-6"),
    "Ki": Decimal(1 << 10), "Mi": Decimal(1 << 20), "Gi": Decimal(1 << 30), "Ti": Decimal(1 << 40),
    "Pi": Decimal(1 << 50), "Ei": Decimal(1 << 60),
}  # fmt: skip
_OF_THE_CLUSTER = frozenset(
    ("Evicted", "NodeLost", "NodeShutdown", "NodeAffinity", "Preempting", "Shutdown", "Terminated", "OutOfcpu",
     "OutOfmemory", "OutOfpods", "UnexpectedAdmissionError", "ContainerStatusUnknown")
)  # fmt: skip
"""Reasons of a pod that the cluster ended for its own sake; the last is of a container, whose node was restarted."""
_DISK_GONE = (
    "ephemeral local storage usage exceeds",
    "Usage of EmptyDir volume",
    f"Container {CONTAINER} exceeded its local",
)
_HELD_UP = frozenset(
    ("CreateContainerConfigError", "CreateContainerError", "ErrImageNeverPull", "ErrImagePull", "ImageInspectError",
     "ImagePullBackOff", "InvalidImageName", "RunContainerError")
)  # fmt: skip
"""Why a container does not start that has a node: something at the site has to be mended."""
_STEP_MILLI, _STEP_BYTES = 1000, 1 << 30
"""What others take is counted in whole processors and GiB: it changes all the time, and that alone is no news."""


def amount(text: str) -> Decimal:
    """A quantity as Kubernetes writes it: `1500m`, `16Gi`, `1e3`. Raises ValueError."""
    digits = text.rstrip("numkMGTPEi")
    unit = text[len(digits) :]
    if digits.endswith("e") or unit not in _UNITS:
        raise ValueError(f"{text!r} is no quantity")
    return Decimal(digits) * _UNITS[unit]


def condition(told: Json | None, kind: str) -> Json | None:
    """One of its conditions, where it is true; what is false says why as well and is not meant."""
    return next((each for each in _conditions(told) if each["type"] == kind and each["status"] == "True"), None)


def _conditions(told: Json | None) -> list[Json]:
    return list(told.get("status", {}).get("conditions") or ()) if told else []


def is_over(job: Json) -> bool:
    """Whether the cluster will do no more for a Job."""
    return "deletionTimestamp" in job["metadata"] or any(condition(job, kind) for kind in ("Complete", "Failed"))


def is_done(pod: Json | None) -> bool:
    """Whether nothing of the task runs in the pod any more, as far as the cluster knows."""
    return pod is not None and (_is_at_end(pod) or bool(_terminated(pod)))


def lingers(pod: Json) -> bool:
    """Whether a pod goes on without its task, as where a service mesh has put a container beside it."""
    return "deletionTimestamp" not in pod["metadata"] and is_done(pod) and not _is_at_end(pod)


def is_leaving(pod: Json | None) -> bool:
    """Whether a pod is to go: for good, where nobody is left on its node who could say that it has."""
    return pod is not None and "deletionTimestamp" in pod["metadata"]


def _is_at_end(pod: Json) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def ended_by(pod: Json | None) -> str:
    """The failure of a task whose shim could not write it down; empty where the cluster did nothing to it."""
    if pod is None:
        return ""
    status = pod.get("status", {})
    if _terminated(pod).get("reason") == "OOMKilled":
        return "OUT_OF_MEMORY"
    if any(words in status.get("message", "") for words in _DISK_GONE):
        return "SCRATCH_EXCEEDED"
    if status.get("reason") == "DeadlineExceeded":
        return "TIMED_OUT"
    reasons = {status.get("reason"), _terminated(pod).get("reason")}
    if reasons & _OF_THE_CLUSTER or condition(pod, "DisruptionTarget"):
        return "SITE_STOPPED"
    return "SITE_STOPPED" if "deletionTimestamp" in pod["metadata"] else ""


def trouble(pod: Json | None, job: Json | None) -> str:
    """Why a task did not come to run, in the cluster's or the container's last words."""
    failed = condition(job, "Failed") or {}
    said = _terminated(pod).get("message") or (pod or {}).get("status", {}).get("message") or failed.get("message", "")
    return str(said).strip()[-SAID_MAX:]


def held_up(pod: Json | None) -> str:
    """Why a container does not start that has a node; empty where nothing is wrong."""
    for each in (*_containers(pod, "initContainerStatuses"), *_containers(pod)):
        waiting = each.get("state", {}).get("waiting") or {}
        if waiting.get("reason") in _HELD_UP:
            return f"{waiting['reason']}: {waiting.get('message', '')}"[:SAID_MAX].rstrip(": ")
    return ""


def suspended(job: Json) -> str:
    """Why the cluster makes no pod for a Job although it could: somebody holds it back, as Kueue does."""
    found = condition(job, "Suspended")
    return str(found.get("message") or found.get("reason", "")) if found else ""


def waits_for(pod: Json | None, refused: str) -> StateReason:
    """Why a task does not run; `refused` is why its Job has no pod, where that is known."""
    if pod is None:
        return _of_refusal(refused) if refused else SILENT
    if said := held_up(pod):
        return StateReason("QUEUE_HELD", {"said": said})
    placed = next((each for each in _conditions(pod) if each["type"] == "PodScheduled"), None)
    if placed is None or placed["status"] == "True":
        return SILENT
    said = str(placed.get("message") or placed.get("reason", ""))[:SAID_MAX]
    if placed.get("reason") == "SchedulingGated":
        return StateReason("QUEUE_HELD", {"said": said})
    if "Insufficient" in said or "Too many pods" in said:
        return StateReason("QUEUE_RESOURCES", {"said": said})
    return StateReason("QUEUE_NODES", {"said": said})


def _of_refusal(said: str) -> StateReason:
    code = "QUEUE_LIMIT" if "exceeded quota" in said else "QUEUE_HELD"
    return StateReason(code, {"said": said[:SAID_MAX]})


def _terminated(pod: Json | None) -> Json:
    """How our container has ended; what others put beside it ends as it likes."""
    ended = (each.get("state", {}).get("terminated") for each in _containers(pod) if each.get("name") == CONTAINER)
    return next((dict(each) for each in ended if each), {})


def _containers(pod: Json | None, which: str = "containerStatuses") -> list[Json]:
    return list((pod or {}).get("status", {}).get(which) or ())


def refusals(events: Iterable[Json]) -> dict[str, str]:
    """By Job, why it could make no pod, as the cluster last said."""
    found = sorted(events, key=lambda each: str(each.get("lastTimestamp") or each.get("eventTime") or ""))
    return {each["involvedObject"]["name"]: str(each.get("message", "")) for each in found}


def nodes_of(
    nodes: Sequence[Json],
    pods: Iterable[Json],
    site: str,
    selected: Iterable[tuple[str, str]],
    tolerated: Iterable[str],
    devices: Mapping[str, str],
) -> list[Node]:
    """The nodes that pods of ours are sent to, and what each has for them: what it gives less what others take."""
    taken: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for pod in pods:
        if pod["metadata"].get("labels", {}).get(SITE) != site and not _is_at_end(pod):
            for name, count in _requested(pod["spec"]).items():
                taken[pod["spec"].get("nodeName", "")][name] += count
    wanted, passed = set(selected), frozenset(tolerated)
    usable = [
        _node(each, taken[each["metadata"]["name"]], devices)
        for each in nodes
        if wanted <= each["metadata"].get("labels", {}).items() and _usable(each, passed)
    ]
    return [node for node in usable if node.cpu_milli and node.memory_bytes]


def _usable(node: Json, tolerated: frozenset[str]) -> bool:
    taints = node.get("spec", {}).get("taints") or ()
    shut = [each for each in taints if each["effect"] in ("NoSchedule", "NoExecute") and each["key"] not in tolerated]
    return not (shut or node.get("spec", {}).get("unschedulable")) and condition(node, "Ready") is not None


def _requested(spec: Mapping[str, Any]) -> dict[str, Decimal]:
    """What a pod takes: of what its containers take together and each of those before them, the most."""
    together: dict[str, Decimal] = defaultdict(Decimal)
    for each in spec.get("containers") or ():
        for name, text in (each.get("resources", {}).get("requests") or {}).items():
            together[name] += amount(str(text))
    for each in spec.get("initContainers") or ():
        for name, text in (each.get("resources", {}).get("requests") or {}).items():
            together[name] = max(together[name], amount(str(text)))
    for name, text in (spec.get("overhead") or {}).items():
        together[name] += amount(str(text))
    return together


def _node(node: Json, taken: Mapping[str, Decimal], devices: Mapping[str, str]) -> Node:
    given, told = node["status"]["allocatable"], node["metadata"].get("labels", {})

    def left(name: str, step: Decimal) -> Decimal:
        others = taken.get(name, Decimal(0))
        return max(Decimal(0), amount(str(given.get(name, "0"))) - math.ceil(others / step) * step)

    cards = []
    for device_class, resource in devices.items():
        if count := int(left(resource, Decimal(1))):
            memory_mib = str(told.get(MEMORY_LABEL, ""))  # anybody may label a node
            memory = int(memory_mib) << 20 if memory_mib.isdecimal() else 0
            cards.append(Device(device_class, told.get(PRODUCT_LABEL, ""), count, memory))
    return Node(
        name=node["metadata"]["name"],
        cpu_milli=int(left("cpu", Decimal(_STEP_MILLI) / 1000) * 1000),
        memory_bytes=int(left("memory", Decimal(_STEP_BYTES))),
        devices=tuple(cards),
    )
