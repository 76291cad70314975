"""What acts on objects: the controller of Jobs, the scheduler, the life of nodes, and what deletes."""

from __future__ import annotations

import asyncio
import secrets
from decimal import Decimal

from .checks import against_restricted, quantity
from .store import Json, Key, Store, age_s, now

TRACKING, FOREGROUND = "batch.kubernetes.io/job-tracking", "foregroundDeletion"
LOOK_S = 0.1
NODE_SILENT_S = 30.0
UNREACHABLE = "node.kubernetes.io/unreachable"
SIDECAR = "mesh-proxy"


def key_of(resource: str, told: Json) -> Key:
    return resource, told["metadata"].get("namespace", ""), told["metadata"]["name"]


def condition(told: Json, kind: str) -> Json | None:
    return next((each for each in told.get("status", {}).get("conditions", ()) if each["type"] == kind), None)


def set_condition(told: Json, kind: str, status: str, reason: str = "", message: str = "") -> None:
    there = condition(told, kind)
    if there is not None and (there["status"], there.get("message", "")) == (status, message):
        return
    conditions = told.setdefault("status", {}).setdefault("conditions", [])
    if there is not None:
        conditions.remove(there)
    conditions.append(
        {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now()}
    )


def is_terminal(pod: Json) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def is_over(job: Json) -> bool:
    return any((found := condition(job, kind)) and found["status"] == "True" for kind in ("Complete", "Failed"))


def delete(store: Store, key: Key, *, foreground: bool = False, grace_s: int | None = None) -> None:
    """As the API does: what somebody has still to look after is only marked."""

    def mark(told: Json) -> None:
        metadata = told["metadata"]
        metadata.setdefault("deletionTimestamp", now())
        if foreground and FOREGROUND not in metadata.setdefault("finalizers", []):
            metadata["finalizers"].append(FOREGROUND)
        if key[0] == "pods":
            unplaced = is_terminal(told) or not told["spec"].get("nodeName")
            grace = told["spec"].get("terminationGracePeriodSeconds", 30) if grace_s is None else grace_s
            metadata["deletionGracePeriodSeconds"] = 0 if unplaced else grace

    store.change(key, mark)
    if key in store.objects and not store.objects[key]["metadata"].get("finalizers") and key[0] != "pods":
        store.remove(key)


class Controllers:
    """All of them, level-triggered: whoever comes back goes on with what it finds."""

    def __init__(self, store: Store, faults: Json) -> None:
        self._store = store
        self._faults = faults
        self._heard: dict[str, float] = {}

    def heard(self, node: str) -> None:
        """A kubelet has told of its node."""
        self._heard[node] = asyncio.get_running_loop().time()

    async def run(self) -> None:
        """For good."""
        while True:
            self._mind_jobs()
            self._schedule()
            self._mind_nodes()
            await self._store.changed(LOOK_S)

    # -- Jobs

    def _mind_jobs(self) -> None:
        of_job: dict[str, list[Json]] = {}
        for pod in self._store.every("pods"):
            for owner in pod["metadata"].get("ownerReferences", ()):
                of_job.setdefault(owner["uid"], []).append(pod)
        for job in list(self._store.every("jobs")):
            self._mind_job(job, of_job.get(job["metadata"]["uid"], []))

    def _mind_job(self, job: Json, pods: list[Json]) -> None:
        key = key_of("jobs", job)
        if "deletionTimestamp" in job["metadata"]:
            self._delete_pods(pods)
            if not pods:
                self._store.change(key, lambda told: told["metadata"].pop("finalizers", None))
            return
        if is_over(job):
            for pod in pods:
                self._let_go(pod)
            ended = condition(job, "Complete") or condition(job, "Failed") or {}
            if age_s(ended["lastTransitionTime"]) > job["spec"].get("ttlSecondsAfterFinished", float("inf")):
                delete(self._store, key, foreground=True)
            return
        if job["spec"].get("suspend"):
            self._store.change(key, _suspend)
            self._delete_pods(pods)
            return
        for pod in pods:
            if is_terminal(pod) and TRACKING in pod["metadata"].get("finalizers", ()):
                self._let_go(pod)
                self._store.change(key, lambda told, pod=pod: self._count(told, pod))
                return
            if "deletionTimestamp" in pod["metadata"] and not pod["spec"].get("nodeName"):
                self._store.change(
                    key_of("pods", pod), lambda told: told.setdefault("status", {}).update(phase="Failed")
                )
                return
        if not pods and job.get("status", {}).get("active"):  # it has gone with nobody having seen its end
            self._store.change(key, lambda told: self._count(told, None))
        elif not pods:
            self._make_pod(job)

    def _delete_pods(self, pods: list[Json]) -> None:
        for pod in pods:
            self._let_go(pod)
            if "deletionTimestamp" not in pod["metadata"]:
                delete(self._store, key_of("pods", pod))

    def _count(self, job: Json, pod: Json | None) -> None:
        status = job.setdefault("status", {})
        status["active"] = 0
        if pod is not None and pod["status"]["phase"] == "Succeeded":
            status["succeeded"] = 1
            status["completionTime"] = now()
            set_condition(job, "SuccessCriteriaMet", "True", "CompletionsReached")
            set_condition(job, "Complete", "True", "CompletionsReached")
            return
        status["failed"] = status.get("failed", 0) + 1
        if status["failed"] > job["spec"].get("backoffLimit", 6):
            for kind in ("FailureTarget", "Failed"):
                set_condition(job, kind, "True", "BackoffLimitExceeded", "Job has reached the specified backoff limit")

    def _let_go(self, pod: Json) -> None:
        def act(told: Json) -> None:
            told["metadata"]["finalizers"] = [
                each for each in told["metadata"].get("finalizers", []) if each != TRACKING
            ]
            if is_terminal(told) and "deletionTimestamp" in told["metadata"]:
                told["metadata"]["deletionGracePeriodSeconds"] = 0

        if TRACKING in pod["metadata"].get("finalizers", ()):
            self._store.change(key_of("pods", pod), act)

    def _make_pod(self, job: Json) -> None:
        template, namespace, name = job["spec"]["template"], job["metadata"]["namespace"], job["metadata"]["name"]
        refused = self._why_no_pod(namespace, template["spec"])
        if refused:
            self._tell(job, refused)
            return
        labels = template["metadata"].get("labels", {}) | {
            "job-name": name, "batch.kubernetes.io/job-name": name, "controller-uid": job["metadata"]["uid"],
            "batch.kubernetes.io/controller-uid": job["metadata"]["uid"],
        }  # fmt: skip
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job["metadata"]["uid"]}
        metadata = {
            "labels": labels,
            "annotations": template["metadata"].get("annotations", {}),
            "finalizers": [TRACKING],
            "ownerReferences": [owner | {"controller": True, "blockOwnerDeletion": True}],
        }
        spec = template["spec"]
        if self._faults.get("sidecar"):  # as the webhook of a service mesh does, which may put its own before ours
            spec = spec | {"containers": [{"name": SIDECAR, "image": "mesh/proxy"}, *spec["containers"]]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        self._store.create(
            ("pods", namespace, f"{name}-{secrets.token_hex(3)[:5]}"), pod | {"status": {"phase": "Pending"}}
        )
        self._store.change(key_of("jobs", job), _begin)

    def _why_no_pod(self, namespace: str, spec: Json) -> str:
        quota = self._faults.get("pods_max")
        living = sum(not is_terminal(pod) for pod in self._store.every("pods", namespace))
        if quota is not None and living >= quota:
            return f"exceeded quota: pods, requested: pods=1, used: pods={living}, limited: pods={quota}"
        labels = self._store.objects[("namespaces", "", namespace)]["metadata"].get("labels", {})
        if labels.get("pod-security.kubernetes.io/enforce") == "restricted":
            return against_restricted(spec)
        return ""

    def _tell(self, job: Json, refused: str) -> None:
        key = ("events", job["metadata"]["namespace"], f"{job['metadata']['name']}.failed")
        about = {"kind": "Job", "namespace": key[1], "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}
        event = {"apiVersion": "v1", "kind": "Event", "metadata": {}, "involvedObject": about, "type": "Warning"}
        message = f"Error creating: pods is forbidden: {refused}"
        if key in self._store.objects:
            self._store.change(key, lambda told: told.update(message=message))
        else:
            self._store.create(key, event | {"reason": "FailedCreate", "message": message, "lastTimestamp": now()})

    # -- scheduling

    def _schedule(self) -> None:
        nodes = list(self._store.every("nodes"))
        taken: dict[str, dict[str, Decimal]] = {each["metadata"]["name"]: {} for each in nodes}
        pods = list(self._store.every("pods"))
        for pod in pods:
            if (node := pod["spec"].get("nodeName")) in taken and not is_terminal(pod):
                _add(taken[str(node)], pod)
        for pod in pods:
            if pod["spec"].get("nodeName") or is_terminal(pod) or "deletionTimestamp" in pod["metadata"]:
                continue
            self._place(pod, nodes, taken)

    def _place(self, pod: Json, nodes: list[Json], taken: dict[str, dict[str, Decimal]]) -> None:
        why: dict[str, int] = {}
        for node in nodes:
            name = node["metadata"]["name"]
            refused = _misfit(pod, node, taken[name])
            if not refused:
                _add(taken[name], pod)
                self._store.change(key_of("pods", pod), lambda told, name=name: _bind(told, name))
                return
            why[refused] = why.get(refused, 0) + 1
        told = ", ".join(f"{count} {words}" for words, count in sorted(why.items()))
        message = f"0/{len(nodes)} nodes are available: {told}." if nodes else "no nodes available to schedule pods"
        self._store.change(
            key_of("pods", pod), lambda each: set_condition(each, "PodScheduled", "False", "Unschedulable", message)
        )

    # -- nodes

    def _mind_nodes(self) -> None:
        names = {each["metadata"]["name"] for each in self._store.every("nodes")}
        for node in list(self._store.every("nodes")):
            name = node["metadata"]["name"]
            since = self._heard.setdefault(name, asyncio.get_running_loop().time())
            if asyncio.get_running_loop().time() - since > self._faults.get("node_silent_s", NODE_SILENT_S):
                self._store.change(key_of("nodes", node), _make_unreachable)
        silent = {each["metadata"]["name"] for each in self._store.every("nodes") if _is_unreachable(each)}
        for pod in list(self._store.every("pods")):
            place, marked = pod["spec"].get("nodeName"), "deletionTimestamp" in pod["metadata"]
            if place in silent and not marked and not is_terminal(pod):
                self._store.change(key_of("pods", pod), _evicted_by_taint)
                delete(self._store, key_of("pods", pod))
            elif place and place not in names:  # garbage of a node that was taken away
                self._store.change(key_of("pods", pod), _orphaned)
                delete(self._store, key_of("pods", pod), grace_s=0)
                self._store.change(
                    key_of("pods", pod), lambda told: told["metadata"].update(deletionGracePeriodSeconds=0)
                )


def _add(taken: dict[str, Decimal], pod: Json) -> None:
    for container in pod["spec"]["containers"]:
        resources = container.get("resources", {})
        for name, text in (resources.get("limits", {}) | resources.get("requests", {})).items():
            taken[name] = taken.get(name, Decimal(0)) + quantity(text)
    taken["pods"] = taken.get("pods", Decimal(0)) + 1


def _misfit(pod: Json, node: Json, taken: dict[str, Decimal]) -> str:
    labels, given, spec = node["metadata"].get("labels", {}), node["status"]["allocatable"], pod["spec"]
    passed = {each.get("key") for each in spec.get("tolerations", ())}
    if node["spec"].get("unschedulable"):
        return "node(s) were unschedulable"
    for taint in node["spec"].get("taints", ()):
        if taint["key"] not in passed:
            return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    if not spec.get("nodeSelector", {}).items() <= labels.items() or not _affine(spec, labels):
        return "node(s) didn't match Pod's node affinity/selector"
    wanted = dict(taken)
    _add(wanted, pod)
    for name, amount in wanted.items():
        if amount > taken.get(name, Decimal(0)) and amount > quantity(given.get(name, "0")):
            return "Too many pods" if name == "pods" else f"Insufficient {name}"
    return ""


def _affine(spec: Json, labels: Json) -> bool:
    needed = spec.get("affinity", {}).get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    return needed is None or any(
        all(_matches(each, labels) for each in term["matchExpressions"]) for term in needed["nodeSelectorTerms"]
    )


def _matches(wanted: Json, labels: Json) -> bool:
    value = labels.get(wanted["key"])
    if wanted["operator"] == "In":
        return value in wanted["values"]
    return value is not None and int(value) > int(wanted["values"][0])


def _bind(pod: Json, node: str) -> None:
    pod["spec"]["nodeName"] = node
    set_condition(pod, "PodScheduled", "True")


def _begin(job: Json) -> None:
    job.setdefault("status", {}).update(active=1, startTime=job["status"].get("startTime", now()))
    if condition(job, "Suspended"):
        set_condition(job, "Suspended", "False", "JobResumed", "Job resumed")


def _suspend(job: Json) -> None:
    job.setdefault("status", {})["active"] = 0
    set_condition(job, "Suspended", "True", "JobSuspended", "Job suspended")


def _is_unreachable(node: Json) -> bool:
    return any(each["key"] == UNREACHABLE for each in node["spec"].get("taints", ()))


def _make_unreachable(node: Json) -> None:
    set_condition(node, "Ready", "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
    if not _is_unreachable(node):
        node["spec"].setdefault("taints", []).append({"key": UNREACHABLE, "effect": "NoExecute"})


def _evicted_by_taint(pod: Json) -> None:
    set_condition(
        pod, "DisruptionTarget", "True", "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"
    )


def _orphaned(pod: Json) -> None:
    if not is_terminal(pod):
        set_condition(pod, "DisruptionTarget", "True", "DeletionByPodGC", "PodGC: node no longer exists")
        pod["status"]["phase"] = "Failed"
