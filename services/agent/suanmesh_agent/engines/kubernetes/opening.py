"""The engine as an agent's settings describe it."""

from __future__ import annotations

import os
from pathlib import Path

from suanmesh_agent.engines.kubernetes.api import Access, Cluster
from suanmesh_agent.engines.kubernetes.engine import KubernetesEngine
from suanmesh_agent.engines.kubernetes.jobs import Pods
from suanmesh_agent.engines.process.layout import Layout
from suanmesh_agent.settings import AgentSettings
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import InvalidArgument

USER_IN_IMAGE = 10001
"""Of the image that deploy/oci builds."""


def cluster_of(settings: AgentSettings) -> Cluster:
    """The API, as yet unasked."""
    found = settings.kubernetes_config, settings.kubernetes_context
    return Cluster(Access(settings.kubernetes_namespace, *found))


def pods_of(settings: AgentSettings) -> Pods:
    """What pods of tasks have in common. Raises InvalidArgument."""
    if not settings.kubernetes_image:
        words = "no image is named: set SUANMESH_AGENT_KUBERNETES_IMAGE"
        raise InvalidArgument("FIELD_INVALID", words, field="kubernetes_image")
    own, group = os.geteuid(), os.getegid()
    return Pods(
        namespace=settings.kubernetes_namespace,
        image=settings.kubernetes_image,
        python=settings.kubernetes_python,
        shared=Path(settings.kubernetes_volume or settings.data_dir).resolve(),
        claim=settings.kubernetes_claim,
        user=settings.kubernetes_user or own or USER_IN_IMAGE,
        group=settings.kubernetes_user or group or USER_IN_IMAGE,
        service_account=settings.kubernetes_service_account,
        runtime_class=settings.kubernetes_runtime_class,
        priority_class=settings.kubernetes_priority_class,
        node_selector=tuple(_pair(each) for each in settings.kubernetes_node_selector),
        tolerations=settings.kubernetes_tolerations,
        devices=dict(_pair(each) for each in settings.kubernetes_devices),
    )


def kubernetes_engine(settings: AgentSettings, permission: Path | None, clock: Clock) -> KubernetesEngine:
    """Raises InvalidArgument. The file `permission` says until when tasks may run; None for good."""
    pods, folder = pods_of(settings), settings.data_dir.resolve()
    layout = Layout(
        folder=folder / "tasks",
        runtime_path=(settings.runtime_prefix / "bin",),
        sandbox=None,
        cgroups=None,
        confined=None,
        permission=str(permission.resolve()) if permission else "",
        processes=settings.task_processes,
        log_bytes=settings.task_log_bytes,
    )
    return KubernetesEngine(layout, cluster_of(settings), settings.site, clock, pods)


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value
