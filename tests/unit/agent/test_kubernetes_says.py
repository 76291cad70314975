"""What a cluster says, in our words."""

from __future__ import annotations

from typing import Any

import pytest

from suanmesh_agent.engines.kubernetes.listing import (
    amount,
    ended_by,
    is_done,
    lingers,
    nodes_of,
    suspended,
    trouble,
    waits_for,
)


def pod(*, terminated: dict[str, Any] | None = None, placed: dict[str, str] | None = None, **status: Any) -> Any:
    """A pod that stands so."""
    conditions = list(status.pop("conditions", ()))
    if placed is not None:
        conditions.append({"type": "PodScheduled", "status": "False"} | placed)
    states = (
        [{"name": "task", "state": {"terminated": terminated}}] if terminated else status.pop("containerStatuses", [])
    )
    told = status | {"conditions": conditions, "containerStatuses": states}
    return {"metadata": {"name": "a", "labels": {}}, "spec": {}, "status": told}


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("0/3 nodes are available: 3 Insufficient cpu. preemption: not helpful", "QUEUE_RESOURCES"),
        ("0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", "QUEUE_RESOURCES"),
        ("0/1 nodes are available: 1 Too many pods.", "QUEUE_RESOURCES"),
        ("0/2 nodes are available: 2 node(s) had untolerated taint {a: }", "QUEUE_NODES"),
        ("something that a newer scheduler says", "QUEUE_NODES"),
    ],
)
def test_why_a_pod_has_no_node_has_a_meaning(said: str, code: str) -> None:
    """A user reads why a task waits without knowing Kubernetes; what is new must not be an error."""
    reason = waits_for(pod(placed={"reason": "Unschedulable", "message": said}), "")
    assert (reason.code, reason.facts["said"]) == (code, said)


def test_why_there_is_no_pod_or_no_container_has_a_meaning() -> None:
    """A quota is a queue; a namespace that forbids the pod, and an image that is not there, are the site's to mend."""
    waiting = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    assert waits_for(None, "Error creating: pods is forbidden: exceeded quota: a").code == "QUEUE_LIMIT"
    assert waits_for(None, "Error creating: violates PodSecurity").code == "QUEUE_HELD"
    assert waits_for(None, "").code == "QUEUE_SILENT"
    assert waits_for(pod(containerStatuses=[waiting]), "").code == "QUEUE_HELD"
    assert waits_for(pod(placed={"reason": "SchedulingGated"}), "").code == "QUEUE_HELD"


@pytest.mark.parametrize(
    ("found", "failure"),
    [
        (pod(phase="Failed", terminated={"reason": "OOMKilled", "exitCode": 137}), "OUT_OF_MEMORY"),
        (pod(phase="Failed", reason="DeadlineExceeded"), "TIMED_OUT"),
        (pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory."), "SITE_STOPPED"),
        (pod(phase="Failed", reason="Evicted", message='Usage of EmptyDir volume "tmp" exceeds'), "SCRATCH_EXCEEDED"),
        (pod(phase="Failed", conditions=[{"type": "DisruptionTarget", "status": "True"}]), "SITE_STOPPED"),
        (pod(phase="Failed", terminated={"reason": "ContainerStatusUnknown", "exitCode": 137}), "SITE_STOPPED"),
        (pod(phase="Failed", terminated={"reason": "Error", "exitCode": 1}), ""),
        (None, ""),
    ],
)
def test_what_the_cluster_did_to_a_task_is_told_as_it_was(found: Any, failure: str) -> None:
    """A task that used too much fails everywhere; one whose node went would do well elsewhere."""
    assert ended_by(found) == failure


@pytest.mark.parametrize(
    ("text", "value"), [("1500m", "1.5"), ("16Gi", 16 << 30), ("1k", 1000), ("2", 2), ("100M", 10**8), ("0", 0)]
)
def test_quantities_are_read_as_they_are_written(text: str, value: object) -> None:
    """A site that takes Gi for G offers a fourteenth more than it has."""
    assert str(amount(text).normalize()) == str(amount(str(value)).normalize())


def test_nodes_that_take_no_pods_are_not_offered() -> None:
    """What is offered and cannot be had makes jobs wait that have a place elsewhere."""

    def node(name: str, **spec: object) -> Any:
        ready = {"type": "Ready", "status": str(spec.pop("ready", True))}
        given = {"cpu": "3920m", "memory": "8Gi", "nvidia.com/gpu": "2"}
        labels = {"nvidia.com/gpu.product": "A100", "nvidia.com/gpu.memory": "40960"}
        told = {"allocatable": given, "conditions": [ready]}
        return {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": told}

    tainted = [{"key": "theirs", "effect": "NoSchedule"}]
    nodes = [node("a"), node("b", ready=False), node("c", unschedulable=True), node("d", taints=tainted)]
    found = nodes_of(nodes, [], "site", (), (), {"gpu": "nvidia.com/gpu"})
    assert [(each.name, each.cpu_milli, each.memory_bytes) for each in found] == [("a", 3920, 8 << 30)]
    (card,) = found[0].devices
    assert (card.device_class, card.model, card.count, card.memory_bytes) == ("gpu", "A100", 2, 40 << 30)
    assert [each.name for each in nodes_of(nodes, [], "site", (), ("theirs",), {})] == ["a", "d"]


def test_what_a_newer_cluster_or_a_strange_label_says_is_no_fault() -> None:
    """A cluster that is upgraded, or a label by hand, would else take the whole site away."""
    conditions = [{"type": "NewerThing", "status": "Unknown", "observedGeneration": 7}]
    states = [{"name": "task", "state": {"paused": {"reason": "New"}}, "allocatedResourcesStatus": []}]
    newer = pod(phase="Resizing", conditions=conditions, containerStatuses=states, resize="InProgress")
    assert (waits_for(newer, "").code, ended_by(newer), ended_by(pod(containerStatuses=None))) == (
        "QUEUE_SILENT",
        "",
        "",
    )
    assert suspended({"metadata": {}, "status": {"conditions": conditions}}) == ""
    given = {"cpu": "4", "memory": "8Gi", "nvidia.com/gpu": "2", "newer.io/thing": "12"}
    status = {"allocatable": given, "conditions": [*conditions, {"type": "Ready", "status": "True"}], "features": {}}
    node = {"metadata": {"name": "a", "labels": {"nvidia.com/gpu.memory": "much"}}, "status": status}
    (found,) = nodes_of(
        [node], [{"metadata": {}, "spec": {"containers": None}}], "site", (), (), {"gpu": "nvidia.com/gpu"}
    )
    assert [(card.count, card.memory_bytes) for card in found.devices] == [(2, 0)]


def test_what_others_put_into_a_pod_is_not_the_task() -> None:
    """A proxy that is killed for its memory is no task that used too much, nor one that runs on a task that does."""
    ours = {"name": "task", "state": {"terminated": {"reason": "Error", "exitCode": 1, "message": "no such file"}}}
    killed = {"name": "proxy", "state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}
    goes_on = {"name": "proxy", "state": {"running": {}}}
    runs = {"name": "task", "state": {"running": {}}}
    assert ended_by(pod(phase="Failed", containerStatuses=[killed, ours])) == ""
    assert trouble(pod(phase="Failed", containerStatuses=[killed, ours]), None) == "no such file"
    assert [lingers(pod(phase="Running", containerStatuses=[goes_on, each])) for each in (ours, runs)] == [True, False]
    assert [is_done(pod(phase="Running", containerStatuses=[goes_on, each])) for each in (ours, runs)] == [True, False]
    absent = {"name": "proxy-init", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    begins = {"name": "task", "state": {"waiting": {"reason": "PodInitializing"}}}
    waiting = waits_for(pod(containerStatuses=[begins], initContainerStatuses=[absent]), "")
    assert (waiting.code, waiting.facts["said"]) == ("QUEUE_HELD", "ImagePullBackOff: no such image")


def test_what_others_pods_take_is_taken_until_all_of_them_has_ended() -> None:
    """A pod keeps all that it asked for as long as one of its containers runs."""
    node = {"metadata": {"name": "a"}, "status": {"allocatable": {"cpu": "4", "memory": "8Gi"}}}
    node["status"] |= {"conditions": [{"type": "Ready", "status": "True"}]}
    theirs = pod(phase="Running", terminated={"reason": "Completed"})
    theirs["spec"] = {"nodeName": "a", "containers": [{"resources": {"requests": {"cpu": "1"}}}]}
    assert [each.cpu_milli for each in nodes_of([node], [theirs], "site", (), (), {})] == [3000]
