"""What is found out before a site joins with a cluster: each thing that is wrong is named, with what to do about it."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes_cluster import NAMESPACE, NOBODY, StandIn, stand_in

from suanmesh_agent.engines.kubernetes.preflight import require_ready
from suanmesh_agent.settings import AgentSettings
from suanmesh_kernel.refusals import Refusal
from suanmesh_local.ports import free_ports

PATIENCE_S = 120.0
"""A task that will run does so within that, on a slow machine too."""


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """One without other sites, which would have their share of its nodes."""
    with stand_in(tmp_path_factory.mktemp("kubernetes"), tmp_path_factory.mktemp("volume")) as made:
        yield made


@pytest.fixture
def cluster(started: StandIn) -> Iterator[StandIn]:
    """Whole again afterwards, with nothing of a site left in it."""
    yield started
    started.hurt(version=None)
    started.until(lambda: not [pod for pod in started.pods() if _is_of_it(pod)])


def _is_of_it(pod: dict[str, Any]) -> bool:
    return bool(pod["metadata"]["labels"]["suanmesh.mesh/site"] == "new")


def settings_of(cluster: StandIn, **changed: object) -> AgentSettings:
    """Of a site whose folder lies on the cluster's volume."""
    folder = cluster.volume / uuid.uuid4().hex[:8]
    own = {
        "site": "new",
        "data_dir": folder,
        "engine": "kubernetes",
        "runtime_prefix": Path(sys.prefix),
        "kubernetes_config": cluster.kubeconfig,
        "kubernetes_image": cluster.image,
        "kubernetes_python": cluster.python,
        "kubernetes_claim": cluster.claim,
        "kubernetes_volume": str(cluster.volume),
        "kubernetes_user": cluster.user,
    }
    return AgentSettings(**own | changed)  # type: ignore[arg-type]


async def test_a_cluster_that_is_ready_says_what_it_has(cluster: StandIn) -> None:
    """The rights of the manifests suffice, and the task that was tried has left nothing in the site's folder."""
    settings = settings_of(cluster)
    assert "2 nodes with 64 processors" in await require_ready(settings, task_s_max=PATIENCE_S)
    assert not list(settings.data_dir.glob("preflight-*"))
    assert not list(settings.data_dir.glob("tasks/*"))


async def _refused(settings: AgentSettings) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await require_ready(settings, task_s_max=PATIENCE_S, believed_s=0.5)
    return caught.value


async def test_no_kubeconfig_is_named(cluster: StandIn) -> None:
    """Who has not been given one is told where to put it, not that a file is absent."""
    refusal = await _refused(settings_of(cluster, kubernetes_config="/nowhere/kubeconfig"))
    assert refusal.reason == "KUBERNETES_UNCONFIGURED"


async def test_a_server_that_does_not_answer_is_named(cluster: StandIn, tmp_path: Path) -> None:
    """It is not the invite, and not the mesh."""
    nobody = cluster.write_kubeconfig(tmp_path / "kubeconfig", "agent", port=free_ports(1)[0])
    assert (await _refused(settings_of(cluster, kubernetes_config=str(nobody)))).reason == "KUBERNETES_UNREACHABLE"


@pytest.mark.parametrize("token", [NOBODY, "unknown"])
async def test_a_right_that_is_lacking_is_named(cluster: StandIn, tmp_path: Path, token: str) -> None:
    """Whoever gives rights needs to know which; a token that nobody knows has none."""
    lacking = cluster.write_kubeconfig(tmp_path / "kubeconfig", token)
    refusal = await _refused(settings_of(cluster, kubernetes_config=str(lacking)))
    assert refusal.reason == "KUBERNETES_DENIED"
    assert token != NOBODY or (refusal.facts["verb"], refusal.facts["resource"]) == ("create", "jobs")


async def test_a_namespace_that_is_absent_is_named(cluster: StandIn) -> None:
    """Every call would else be refused for a right that is there."""
    refusal = await _refused(settings_of(cluster, kubernetes_namespace="absent"))
    assert (refusal.reason, refusal.facts["namespace"]) == ("KUBERNETES_NAMESPACE_ABSENT", "absent")


async def test_a_cluster_that_is_too_old_is_named(cluster: StandIn) -> None:
    """Tasks would run, and be cut off now and then by a second pod."""
    cluster.hurt(version={"major": "1", "minor": "28+"})
    refusal = await _refused(settings_of(cluster))
    assert (refusal.reason, refusal.facts["version"]) == ("KUBERNETES_TOO_OLD", "1.28")


async def test_nodes_that_are_none_are_named(cluster: StandIn) -> None:
    """A selector with a misspelt label leaves none."""
    refusal = await _refused(settings_of(cluster, kubernetes_node_selector=("pool=absent",)))
    assert refusal.reason == "KUBERNETES_NODES_MISSING"


async def test_a_folder_that_is_not_shared_is_named(cluster: StandIn) -> None:
    """Every task would else wait for good, and nobody would know for what."""
    refusal = await _refused(settings_of(cluster, kubernetes_claim="absent"))
    assert refusal.reason == "KUBERNETES_FOLDER_UNSHARED"


async def test_an_image_that_is_not_to_be_had_is_named(cluster: StandIn) -> None:
    """What the cluster says of it is what mends it."""
    refusal = await _refused(settings_of(cluster, kubernetes_image="absent/image"))
    assert refusal.reason == "KUBERNETES_TASK_NOT_RUN"
    assert "ImagePullBackOff" in refusal.message


def test_the_stand_in_is_asked_for_the_namespace_of_the_manifests() -> None:
    """The default of the settings, the manifests and the tests are one name."""
    assert AgentSettings(site="a", data_dir=Path("a")).kubernetes_namespace == NAMESPACE
