"""A node: it tells of itself, and runs the commands of the pods that it is given as processes of this host."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from .checks import quantity
from .controllers import SIDECAR
from .server import ADMIN
from .store import Json, age_s, now

HEARTBEAT_S = 1.0
LOOK_S = 0.1
MESSAGE_BYTES_MAX = 2048


class Container:
    """One process and all below it."""

    def __init__(self, pod: Json, log: Path, first: Path) -> None:
        """The number of its first process is written to `first`. Raises OSError."""
        spec = _spec(pod)
        self.log, self.started, self.killed_for = log, now(), ""
        self.kill_at = float("inf")
        limits = spec.get("resources", {}).get("limits", {})
        self._memory = int(quantity(limits["memory"])) if "memory" in limits else 0
        environment = {"PATH": "/usr/bin:/bin"} | {each["name"]: each["value"] for each in spec.get("env", ())}
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*spec["command"], *spec.get("args", ())], cwd=spec.get("workingDir", "/"), env=environment,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        first.write_text(str(self._process.pid))
        self._all = {self._process.pid: psutil.Process(self._process.pid)}

    def status(self) -> int | None:
        """Its exit status once it has ended, and nothing of it runs any more."""
        self._look()
        if self._memory and sum(map(_memory_bytes, self._all.values())) > self._memory and not self.killed_for:
            self.killed_for = "OOMKilled"
            self.kill()
        ended = self._process.poll()
        if ended is not None:
            self.kill()
        return ended if ended is None or ended >= 0 else 128 - ended

    def ask_to_end(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """What is in it ends with its first process; that one first, so that it writes down nothing any more."""
        for each in list(self._all.values()):
            try:
                each.kill()
            except psutil.Error:
                del self._all[each.pid]

    def _look(self) -> None:
        for each in list(self._all.values()):
            try:
                self._all |= {child.pid: child for child in each.children(recursive=True) if child.pid not in self._all}
            except psutil.Error:
                continue


def _memory_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


class Kubelet:
    """One node."""

    def __init__(self, server: str, name: str, capacity: Json, folder: Path) -> None:
        self._server = server
        self._name = name
        self._capacity = capacity
        self._folder = folder
        self._running: dict[str, Container] = {}
        self._ended: set[str] = set()

    async def run(self) -> None:
        """Until it is told to end; then nothing of its pods runs any more."""
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        headers = {"Authorization": f"Bearer {ADMIN}"}
        async with aiohttp.ClientSession(self._server, headers=headers) as self._http:
            try:
                next_beat = 0.0
                while not ended.is_set():
                    try:
                        if (moment := asyncio.get_running_loop().time()) >= next_beat:
                            next_beat = moment + HEARTBEAT_S
                            await self._tell_node()
                        await self._mind_pods()
                    except (aiohttp.ClientError, TimeoutError, OSError):
                        pass  # the server is away: what runs goes on
                    await asyncio.sleep(LOOK_S)
            finally:
                for each in self._running.values():
                    each.kill()

    async def _tell_node(self) -> None:
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now()}
        status = {"allocatable": self._capacity["resources"], "capacity": self._capacity["resources"]}
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self._name, "labels": self._capacity.get("labels", {})},
            "spec": {},
            "status": status | {"conditions": [ready]},
        }
        if await self._call("PUT", f"/api/v1/nodes/{self._name}/status", node) is None:
            await self._call("POST", "/api/v1/nodes", node)

    async def _mind_pods(self) -> None:
        found = await self._call("GET", f"/api/v1/pods?fieldSelector=spec.nodeName={self._name}") or {"items": []}
        there = {each["metadata"]["uid"] for each in found["items"]}
        for pod in found["items"]:
            await self._mind(pod)
        for uid in self._running.keys() - there:  # somebody has taken it away by force
            self._running[uid].kill()
            if self._running[uid].status() is not None:
                del self._running[uid]

    async def _mind(self, pod: Json) -> None:
        uid, metadata = pod["metadata"]["uid"], pod["metadata"]
        unwanted, container = "deletionTimestamp" in metadata, self._running.get(uid)
        if container is None:
            if pod["status"].get("phase") in ("Succeeded", "Failed"):
                return
            if uid in self._ended and not unwanted and _has_sidecar(pod):
                return  # which goes on without it
            if uid in self._ended or unwanted:
                await self._tell(pod, {"phase": "Failed"})
            else:
                await self._start(pod)
            return
        ended = container.status()
        if ended is not None:
            await self._tell_end(pod, container, ended)
            self._ended.add(uid)
            del self._running[uid]
            return
        if pod["status"].get("phase") != "Running":  # the server was away when it began
            await self._tell_start(pod, container)
        moment = asyncio.get_running_loop().time()
        deadline = pod["spec"].get("activeDeadlineSeconds")
        if deadline is not None and age_s(container.started) > deadline:
            container.killed_for = container.killed_for or "DeadlineExceeded"
            unwanted = True
        if unwanted and container.kill_at == float("inf"):
            container.ask_to_end()
            container.kill_at = moment + metadata.get("deletionGracePeriodSeconds", 30)
        if moment >= container.kill_at:
            container.kill()

    async def _start(self, pod: Json) -> None:
        if fault := self._fault(pod):
            reason, message = fault
            waiting = {"state": {"waiting": {"reason": reason, "message": message}}}
            await self._tell(pod, {"phase": "Pending", "containerStatuses": _containers(pod, waiting)})
            if reason == "ContainerCreating":
                await self._tell_event(pod, message)
            return
        first = self._folder / "running" / self._name / str(pod["metadata"]["uid"])
        first.parent.mkdir(parents=True, exist_ok=True)
        started = Container(pod, self._folder / f"{pod['metadata']['uid']}.log", first)
        self._running[pod["metadata"]["uid"]] = started
        await self._tell_start(pod, started)

    async def _tell_start(self, pod: Json, container: Container) -> None:
        state = {"state": {"running": {"startedAt": container.started}}, "ready": True}
        told = {"phase": "Running", "startTime": container.started, "containerStatuses": _containers(pod, state)}
        await self._tell(pod, told)

    def _fault(self, pod: Json) -> tuple[str, str] | None:
        """Why its container cannot be made."""
        spec, container = pod["spec"], _spec(pod)
        if container["image"].startswith("absent/"):
            return "ImagePullBackOff", f'Back-off pulling image "{container["image"]}"'
        if spec.get("securityContext", {}).get("runAsNonRoot") and not spec["securityContext"].get("runAsUser"):
            return "CreateContainerConfigError", "container has runAsNonRoot and image will run as root"
        roots = {each["name"]: self._root(each) for each in spec.get("volumes", ())}
        for mount in container.get("volumeMounts", ()):
            root = roots[mount["name"]]
            if root is not None and not (root.is_dir() and root / mount.get("subPath", "") == Path(mount["mountPath"])):
                return "ContainerCreating", f"MountVolume.SetUp failed for volume {mount['name']!r}: {root}"
            if root is not None and not Path(mount["mountPath"]).exists():
                return "CreateContainerConfigError", f"failed to prepare subPath for volumeMount: {mount['mountPath']}"
        return None

    def _root(self, volume: Json) -> Path | None:
        if "hostPath" in volume:
            return Path(volume["hostPath"]["path"])
        if "persistentVolumeClaim" in volume:
            return Path(self._capacity.get("claims", {}).get(volume["persistentVolumeClaim"]["claimName"], "/absent"))
        return None

    async def _tell_end(self, pod: Json, container: Container, status: int) -> None:
        reason = "OOMKilled" if container.killed_for == "OOMKilled" else "Error" if status else "Completed"
        said = container.log.read_bytes()[-MESSAGE_BYTES_MAX:].decode(errors="replace") if status else ""
        ended = {"exitCode": status, "reason": reason, "message": said, "finishedAt": now()}
        state = {"containerStatuses": _containers(pod, {"state": {"terminated": ended}})}
        told: Json = {"phase": "Failed" if status or container.killed_for else "Succeeded"} | state
        if _has_sidecar(pod) and "deletionTimestamp" not in pod["metadata"]:
            told["phase"] = "Running"
        if container.killed_for == "DeadlineExceeded":
            told |= {"reason": "DeadlineExceeded", "message": "Pod was active on the node longer than its deadline"}
        await self._tell(pod, told)

    async def _tell_event(self, pod: Json, message: str) -> None:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        about = {"kind": "Pod", "namespace": namespace, "name": name, "uid": pod["metadata"]["uid"]}
        event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": f"{name}.mount"}, "involvedObject": about}
        told = event | {"reason": "FailedMount", "message": message, "type": "Warning", "lastTimestamp": now()}
        await self._call("POST", f"/api/v1/namespaces/{namespace}/events", told)

    async def _tell(self, pod: Json, status: Json) -> None:
        """And let go of it, where it is not wanted any more."""
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        await self._call("PUT", f"{path}/status", {"metadata": metadata, "status": status})

    async def _call(self, method: str, path: str, body: Json | None = None) -> Any:
        async with self._http.request(method, path, json=body, timeout=aiohttp.ClientTimeout(total=10)) as answer:
            if answer.status in (404, 409):
                return None
            answer.raise_for_status()
            return await answer.json()


def _spec(pod: Json) -> Json:
    """The one of its containers that is run; what a mesh has put beside it only seems to run."""
    containers = pod["spec"]["containers"]
    return next((each for each in containers if each["name"] != SIDECAR), containers[0])


def _has_sidecar(pod: Json) -> bool:
    return any(each["name"] == SIDECAR for each in pod["spec"]["containers"])


def _containers(pod: Json, state: Json) -> list[Json]:
    """What is told of all of them, where the one that is run stands so."""
    own, beside = _spec(pod), {"state": {"running": {"startedAt": now()}}, "ready": True}
    return [_container(each) | (state if each is own else beside) for each in pod["spec"]["containers"]]


def _container(spec: Json) -> Json:
    return {"name": spec["name"], "image": spec["image"], "imageID": spec["image"], "ready": False, "restartCount": 0}
