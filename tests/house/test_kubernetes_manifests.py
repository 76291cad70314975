"""The manifests of deploy/kubernetes: what they render is of Kubernetes' schema, guarded, and about what there is."""

from __future__ import annotations

import dataclasses
import importlib
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from suanmesh_chassis.settings import Common
from suanmesh_gateway.settings import GatewaySettings

ROOT = Path(__file__).resolve().parents[2]
AREAS = ("accounting", "gateway", "network-orchestrator", "registry", "scheduler", "transport")
SCHEMA = "1.31"
"""Of the oldest Kubernetes that is still looked after."""


@pytest.fixture(scope="module")
def rendered() -> list[dict[str, Any]]:
    """Every object of the example."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    command = ["kubectl", "kustomize", str(ROOT / "deploy" / "kubernetes" / "example")]
    return list(yaml.safe_load_all(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def of_kind(rendered: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    """The objects of a kind by name."""
    return {each["metadata"]["name"]: each for each in rendered if each["kind"] == kind}


def shared_settings(rendered: list[dict[str, Any]]) -> dict[str, str]:
    """What every process is told in its environment."""
    (found,) = (each["data"] for name, each in of_kind(rendered, "ConfigMap").items() if name.startswith("suanmesh-"))
    return dict(found)


def test_every_object_is_of_the_schema(rendered: list[dict[str, Any]]) -> None:
    """A field in the wrong place is dropped by a cluster in silence, and with it what it was to guard."""
    for each in rendered:
        kubernetes_validate.validate(each, SCHEMA, strict=True)
    assert {each["metadata"].get("namespace", each["metadata"]["name"]) for each in rendered} == {"suanmesh"}


def test_every_service_runs_twice_and_is_guarded(rendered: list[dict[str, Any]]) -> None:
    """A node must outlive the drain of a machine, and a process that is broken into must find nothing to go on with."""
    deployments, budgets = of_kind(rendered, "Deployment"), of_kind(rendered, "PodDisruptionBudget")
    assert tuple(sorted(deployments)) == tuple(sorted(budgets)) == AREAS
    for name, deployment in deployments.items():
        pod, labels = deployment["spec"]["template"]["spec"], deployment["spec"]["template"]["metadata"]["labels"]
        (container,) = pod["containers"]
        assert deployment["spec"]["replicas"] == 2
        assert budgets[name]["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()
        assert {each["name"] for each in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}
    assert of_kind(rendered, "NetworkPolicy").keys() == {"gateway", "processes"}


def test_what_they_start_and_set_is_there(rendered: list[dict[str, Any]]) -> None:
    """A variable that no process reads is a wish that nobody hears."""
    programs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    shared = shared_settings(rendered)
    for name, deployment in of_kind(rendered, "Deployment").items():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        area = name.replace("-", "_")
        known = {"POD_IP"} | {f"SUANMESH_{field.name.upper()}" for field in dataclasses.fields(Common)}
        settings = importlib.import_module(f"suanmesh_{area}.settings")
        for each in vars(settings).values():
            if isinstance(each, type) and dataclasses.is_dataclass(each):
                known |= {f"SUANMESH_{area.upper()}_{field.name.upper()}" for field in dataclasses.fields(each)}
        assert container["command"][0] in programs
        assert {each["name"] for each in container["env"]} | set(shared) - {"GRPC_EXPERIMENTS"} <= known


def test_the_gateway_passes_data_through(rendered: list[dict[str, Any]]) -> None:
    """Where one of the ports is shut, users' data goes by the dear way, and nobody is told."""
    pod = of_kind(rendered, "Deployment")["gateway"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    told = {each["name"]: each for each in container["env"]}
    listen = told["SUANMESH_GATEWAY_PASSTHROUGH_LISTEN"]["value"]
    kept = told["SUANMESH_GATEWAY_PASSTHROUGH_ADVERTISE"]["valueFrom"]["configMapKeyRef"]
    advertise = of_kind(rendered, "ConfigMap")[kept["name"]]["data"][kept["key"]]
    GatewaySettings(passthrough_listen=listen, passthrough_advertise=advertise)  # it refuses what nobody could reach
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert listen == f"0.0.0.0:{ports['passthrough']}"
    served = of_kind(rendered, "Service")["gateway"]["spec"]["ports"]
    assert {(each["port"], each["targetPort"]) for each in served} == {
        (ports[name], name) for name in ("grpc", "passthrough")
    }
    (ingress,) = of_kind(rendered, "NetworkPolicy")["gateway"]["spec"]["ingress"]
    assert {each["port"] for each in ingress["ports"]} == {"grpc", "passthrough"}


def test_a_sites_agent_has_the_least_rights() -> None:
    """What an agent that is broken into can do in its owner's cluster is what these manifests let it."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    command = ["kubectl", "kustomize", str(ROOT / "deploy" / "kubernetes" / "site")]
    site = list(yaml.safe_load_all(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    for each in site:
        kubernetes_validate.validate(each, SCHEMA, strict=True)
    (role,), (wide,) = of_kind(site, "Role").values(), of_kind(site, "ClusterRole").values()
    assert {resource for rule in role["rules"] for resource in rule["resources"]} == {"jobs", "pods", "events"}
    assert {verb for rule in wide["rules"] for verb in rule["verbs"]} == {"get", "list"}
    assert of_kind(site, "Namespace")["suanmesh-site"]["metadata"]["labels"] == {
        "pod-security.kubernetes.io/enforce": "restricted"
    }


def test_nothing_is_left_out_of_the_base() -> None:
    """A manifest beside the others that is not named is never applied."""
    base = ROOT / "deploy" / "kubernetes" / "base"
    named = yaml.safe_load((base / "kustomization.yaml").read_text())
    told = {*named["resources"], *(patch["path"] for patch in named["patches"])}

    assert told == {"every-process.yaml", "network.yaml", "services.yaml"}
    assert told == {path.name for path in base.glob("*.yaml")} - {"kustomization.yaml"}
