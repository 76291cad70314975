"""A cluster for a test, and an engine of ours on it: the one that KUBECONFIG names, else the stand-in.

A real one needs `IMAGE`, which its nodes can have, and `SHARED`, a folder that this host and all nodes have at the same
path, such as an NFS mount; `NAMESPACE` if not `suanmesh-site`, with what `deploy/kubernetes/site` has.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import yaml

from suanmesh_agent.engines.kubernetes.api import Access, Cluster
from suanmesh_agent.engines.kubernetes.engine import KubernetesEngine
from suanmesh_agent.engines.kubernetes.jobs import Pods
from suanmesh_agent.engines.process.layout import Layout
from suanmesh_kernel.clock import Clock, SystemClock
from suanmesh_local.ports import free_ports
from suanmesh_local.processes import Process

ROOT = Path(__file__).resolve().parents[1]
NAMESPACE, CLAIM, NODES = "suanmesh-site", "site", ("n1", "n2")
CPUS, MEMORY = 32, "64Gi"
"""Of each node: more than the machine has, since what tests run sleeps."""
READY_S_MAX = 60.0
ADMIN, AGENT, NOBODY = "admin", "agent", "nobody"
"""Tokens: of who may do everything, of who has the rights of the manifests, and of who has none."""


class AnyCluster:
    """What a test needs to know of a cluster, whichever it is."""

    kubeconfig: str
    namespace = NAMESPACE
    image = "localhost/suanmesh"
    python = sys.executable
    runtime = Path(sys.prefix) / "bin"
    claim = ""
    user = os.geteuid() or 10001

    def shared(self, folder: Path) -> Path:
        """A folder that its pods share, for a test."""
        return folder

    def engine(
        self,
        shared: Path,
        site: str = "test",
        *,
        folder: Path | None = None,
        runtime: tuple[Path, ...] = (),
        clock: Clock | None = None,
        **of_pods: Any,
    ) -> KubernetesEngine:
        """An engine whose tasks lie in `folder` of the volume `shared`; directly below it where none is named."""
        pods = Pods(self.namespace, self.image, self.python, shared.resolve(), self.claim, self.user, self.user)
        layout = Layout((folder or shared).resolve() / "tasks", runtime or (self.runtime,), None, None, None)
        cluster = Cluster(Access(self.namespace, self.kubeconfig))
        return KubernetesEngine(layout, cluster, site, clock or SystemClock(), replace(pods, **of_pods))


class RealCluster(AnyCluster):
    """The one that KUBECONFIG names."""

    def __init__(self) -> None:
        self.kubeconfig = os.environ["KUBECONFIG"]
        self.namespace = os.environ.get("NAMESPACE", NAMESPACE)
        self.image = os.environ["IMAGE"]
        self.python, self.runtime = "/opt/suanmesh/bin/python3", Path("/usr/bin")

    def shared(self, folder: Path) -> Path:
        return Path(tempfile.mkdtemp(prefix="suan-", dir=os.environ["SHARED"]))


class StandIn(AnyCluster):
    """The one of ours, in processes of its own below `folder`."""

    def __init__(self, folder: Path, claim_folder: Path | None = None) -> None:
        """With `claim_folder` pods find their volume by a claim, under the restricted standard."""
        self.folder = folder
        self.kubeconfig = str(folder / "kubeconfig")
        self.volume = claim_folder or folder
        self._port = free_ports(1)[0]
        self._claims = {CLAIM: str(claim_folder.resolve())} if claim_folder else {}
        self.claim = CLAIM if claim_folder else ""
        self.server = self._process("server", "server", str(folder), str(self._port))
        self.nodes = {name: self.node(name) for name in NODES}

    def node(self, name: str, cpus: int = CPUS, labels: dict[str, str] | None = None, **resources: str) -> Process:
        """A node, as yet not started."""
        given = {"cpu": str(cpus), "memory": MEMORY, "pods": "110"} | {
            key.replace("__", "/").replace("_", "."): value for key, value in resources.items()
        }
        told = json.dumps({"resources": given, "labels": labels or {}, "claims": self._claims})
        return self._process(name, "node", f"http://127.0.0.1:{self._port}", name, told, str(self.folder))

    def start(self) -> None:
        """Start what does not run, and wait until pods can be placed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "rules.json").write_text(json.dumps({AGENT: _rights(), NOBODY: [_NOTHING]}))
        self.write_kubeconfig(Path(self.kubeconfig), AGENT)
        self.start_server()
        enforced = {"pod-security.kubernetes.io/enforce": "restricted"} if self.claim else {}
        namespace = {"kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": enforced}}
        self.call("POST", "/api/v1/namespaces", {"apiVersion": "v1"} | namespace)
        for each in self.nodes.values():
            if not each.pid:
                each.start()
        self.until(lambda: len(self.call("GET", "/api/v1/nodes")["items"]) >= len(self.nodes))

    def start_server(self) -> None:
        """Start it, or bring it back."""
        self.server.start()
        self.until(lambda: bool(self.call("GET", "/version")))

    def stop(self) -> None:
        """End all, and what runs in pods."""
        for each in (*self.nodes.values(), self.server):
            each.end()

    def write_kubeconfig(self, path: Path, token: str, port: int = 0) -> Path:
        """As `kubectl config` would."""
        server = f"http://127.0.0.1:{port or self._port}"
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "it",
                    "clusters": [{"name": "it", "cluster": {"server": server}}],
                    "users": [{"name": "it", "user": {"token": token}}],
                    "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
                }
            )
        )
        return path

    def hurt(self, **faults: object) -> None:
        """Faults by their names in the stand-in."""
        self.call("POST", "/stand-in/faults", dict(faults))

    def kill_pods(self, node: str) -> None:
        """What ran on a node that has lost its power."""
        for path in (self.folder / "running" / node).glob("*"):
            with contextlib.suppress(psutil.Error):
                first = psutil.Process(int(path.read_text()))
                for each in (first, *first.children(recursive=True)):
                    each.kill()

    def jobs(self) -> list[dict[str, Any]]:
        return list(self.call("GET", f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs")["items"])

    def pods(self) -> list[dict[str, Any]]:
        return list(self.call("GET", f"/api/v1/namespaces/{NAMESPACE}/pods")["items"])

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """As its administrator; what is there already, or not there, is no fault."""
        headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self._port}{path}"
        try:
            with urllib.request.urlopen(
                urllib.request.Request(url, content, headers, method=method), timeout=30
            ) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as fault:
            with fault:
                if fault.code not in (404, 409):
                    raise
        except OSError:
            return {}
        return {}

    def until(self, holds: Any) -> None:
        """Wait for it."""
        give_up = time.monotonic() + READY_S_MAX
        while not holds():
            if time.monotonic() > give_up:
                raise TimeoutError(f"the stand-in is not ready: {self.server.last_words()}")
            time.sleep(0.05)

    def _process(self, name: str, *words: str) -> Process:
        command = [sys.executable, "-m", "kubernetes_stand_in", *words]
        return Process(name, command, {"PYTHONPATH": str(ROOT / "tests")}, self.folder / "log" / f"{name}.log")


_NOTHING = {"namespace": "", "verbs": [], "apiGroups": [], "resources": []}


def _rights() -> list[dict[str, Any]]:
    """What the manifests of a site give to its agent."""
    told = yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "site" / "rights.yaml").read_text())
    namespaces = {"Role": NAMESPACE, "ClusterRole": ""}
    roles = [each for each in told if each["kind"] in namespaces]
    return [rule | {"namespace": namespaces[each["kind"]]} for each in roles for rule in each["rules"]]


@contextmanager
def any_cluster(folder: Path, claim_folder: Path | None = None) -> Iterator[AnyCluster]:
    """The one that KUBECONFIG names, or the stand-in, which is gone afterwards."""
    if os.environ.get("KUBECONFIG"):
        yield RealCluster()
        return
    with stand_in(folder, claim_folder) as made:
        yield made


@contextmanager
def stand_in(folder: Path, claim_folder: Path | None = None) -> Iterator[StandIn]:
    """A cluster that is gone afterwards."""
    made = StandIn(folder, claim_folder)
    try:
        made.start()
        yield made
    finally:
        made.stop()
