"""Measures a node while it is attacked: memory of every process, and what an honest caller sees meanwhile.

    async with under_attack(node, "enrolment_flood") as measured:
        ...attack...
    measured.require()

prints one JSON line a figure, `{"name", "value", "unit"}`, and fails where a process took more than `RSS_MIB_MAX`, or
the honest caller was refused or waited longer than `P99_S_MAX` in one of a hundred calls. The honest caller is a
process of its own, `python tests/mesh/flooding.py CONFIG`, so that the attacker's load is not taken for the node's; it
has its own principal, calls through the SDK as a user's program does, and at its own pace whatever the answers.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from suanmesh.registry.v1 import registry_service_pb2 as registry
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler
from suanmesh_chassis.ca import NodeCa, write_identity
from suanmesh_chassis.identity import invite_id, user_id
from suanmesh_kernel.clock import SystemClock
from suanmesh_kernel.refusals import Refusal
from suanmesh_local import world
from suanmesh_local.node import NODE, Node
from suanmesh_sdk import Mesh, Tls, connect

RSS_MIB_MAX = 300
P99_S_MAX = 1.0
ERROR_SHARE_MAX = 0.0
PACE_PER_S = 20.0
"""Calls of the honest caller a second."""
PATIENCE_S = 60.0
"""How long the honest caller waits for one answer."""
SAMPLE_S = 0.05
MIB = 1 << 20


@dataclass(slots=True)
class Measured:
    """What one attack did; filled when its block ends."""

    name: str
    peak_bytes: dict[str, int] = field(default_factory=dict)
    """By process, such as `registry`, `site guiyang`, `etcd`: most resident memory seen, its children not counted."""
    begun_bytes: dict[str, int] = field(default_factory=dict)
    """The same before the attack."""
    seconds: list[float] = field(default_factory=list)
    """Of each honest call that was answered."""
    errors: Counter[str] = field(default_factory=Counter)
    """Honest calls that were not, by reason."""

    @property
    def p99_s(self) -> float:
        """Of the honest calls; infinite where none was answered."""
        return statistics.quantiles(self.seconds, n=100)[98] if len(self.seconds) > 1 else float("inf")

    @property
    def error_share(self) -> float:
        """Share of the honest calls that were not answered, 0 to 1."""
        failed = sum(self.errors.values())
        return failed / max(1, failed + len(self.seconds))

    def figures(self) -> Iterator[dict[str, object]]:
        """`{"name", "value", "unit"}` of each figure."""
        for process, peak in sorted(self.peak_bytes.items()):
            yield _figure(f"{self.name}.rss_peak.{process}", round(peak / MIB, 1), "MiB")
            yield _figure(f"{self.name}.rss_begun.{process}", round(self.begun_bytes[process] / MIB, 1), "MiB")
        yield _figure(f"{self.name}.honest_calls", len(self.seconds), "calls")
        yield _figure(f"{self.name}.honest_p99", round(self.p99_s * 1000, 1), "ms")
        for reason, times in self.errors.items():
            yield _figure(f"{self.name}.honest_errors.{reason}", times, "calls")

    def require(
        self,
        *,
        rss_mib_max: float = RSS_MIB_MAX,
        p99_s_max: float = P99_S_MAX,
        error_share_max: float = ERROR_SHARE_MAX,
    ) -> None:
        """Fail where a process was too large, or honest calls too slow or not answered."""
        large = {process: round(peak / MIB) for process, peak in self.peak_bytes.items() if peak > rss_mib_max * MIB}
        assert not large, f"processes above {rss_mib_max:g} MiB: {large}"
        assert self.error_share <= error_share_max, f"honest calls not answered: {dict(self.errors)}"
        assert self.p99_s <= p99_s_max, f"p99 of {len(self.seconds)} honest calls is {self.p99_s:.2f} s"


@asynccontextmanager
async def under_attack(
    node: Node, name: str, *, pace_per_s: float = PACE_PER_S, job: str = ""
) -> AsyncIterator[Measured]:
    """Measure what happens in the block; the figures are printed at its end, also where it fails.

    The honest caller looks at pools, or at its party's `job` where one is given.
    """
    measured = Measured(name)
    with (
        tempfile.TemporaryDirectory() as home,
        _sampled(node, measured),
        _honest(node, Path(home), pace_per_s, job) as caller,
    ):
        try:
            await asyncio.to_thread(caller.stdout.readline)  # it has had its first answer
            yield measured
        finally:
            said, _ = await asyncio.to_thread(caller.communicate, "stop\n")
            told = json.loads(said.splitlines()[-1])
            measured.seconds, measured.errors = told["seconds"], Counter(told["errors"])
    for figure in measured.figures():
        print(json.dumps(figure, ensure_ascii=False))


def as_user(node: Node, home: Path, user: str, party: str = world.CONSUMER) -> Path:
    """Issue a certificate to one more user of a party into the folder `home`."""
    ca = NodeCa.load(node.identities.ca_dir, SystemClock())
    write_identity(home, ca.issue(user_id(NODE, party, user)))
    return home


def as_bearer(node: Node, home: Path) -> Path:
    """Issue what an invite brings with it into the folder `home`."""
    ca = NodeCa.load(node.identities.ca_dir, SystemClock())
    write_identity(home, ca.issue(invite_id(NODE, "some")))
    return home


def mesh_of(home: Path, gateway: str) -> Mesh:
    """The mesh as whoever's files are in `home`."""
    ca, certificate, key = ((home / name).read_bytes() for name in ("ca.pem", "cert.pem", "key.pem"))
    return connect(gateway, tls=Tls(ca=ca, cert=certificate, key=key), node=NODE)


def pids(node: Node) -> dict[str, int]:
    """Of every process of the node that runs, by name."""
    processes = [member.process for member in node.etcd] + [*node.services.values(), *node.agents.values()]
    return {process.name: process.pid for process in processes if process.pid}


@contextmanager
def _sampled(node: Node, measured: Measured) -> Iterator[None]:
    """Look at the memory from a thread: the attacker may keep the event loop busy."""
    watched = {name: psutil.Process(pid) for name, pid in pids(node).items()}
    measured.begun_bytes = _resident(watched)
    measured.peak_bytes = dict(measured.begun_bytes)
    over = threading.Event()

    def look() -> None:
        while not over.wait(SAMPLE_S):
            for name, resident in _resident(watched).items():
                measured.peak_bytes[name] = max(measured.peak_bytes[name], resident)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _resident(watched: Mapping[str, psutil.Process]) -> dict[str, int]:
    resident: dict[str, int] = {}
    for name, process in watched.items():
        try:
            resident[name] = process.memory_info().rss
        except psutil.NoSuchProcess:
            resident[name] = 0
    return resident


@contextmanager
def _honest(node: Node, home: Path, pace_per_s: float, job: str) -> Iterator[subprocess.Popen[str]]:
    as_user(node, home, "honest")
    config = json.dumps({"gateway": node.gateway, "home": str(home), "pace_per_s": pace_per_s, "job": job})
    command = [sys.executable, __file__, config]
    caller = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield caller
    finally:
        if caller.poll() is None:
            caller.kill()
        caller.wait()


def _figure(name: str, value: float, unit: str) -> dict[str, object]:
    return {"name": name.replace(" ", "_"), "value": value, "unit": unit}


async def _call_honestly(config: Mapping[str, str]) -> None:
    """Call at an even pace until a line comes in, then print how it went."""
    seconds: list[float] = []
    errors: Counter[str] = Counter()
    told = asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    async with mesh_of(Path(config["home"]), config["gateway"]) as mesh, asyncio.TaskGroup() as tasks:

        async def call() -> None:
            begun = time.perf_counter()
            try:
                if config["job"]:
                    await mesh.scheduler.GetJob(scheduler.GetJobRequest(name=config["job"]), timeout=PATIENCE_S)
                else:
                    await mesh.registry.SearchPools(registry.SearchPoolsRequest(), timeout=PATIENCE_S)
                seconds.append(time.perf_counter() - begun)
            except Refusal as refusal:
                errors[refusal.reason] += 1

        await call()
        print("called", flush=True)
        while not told.done():
            tasks.create_task(call())
            await asyncio.wait([told], timeout=1 / float(config["pace_per_s"]))
    print(json.dumps({"seconds": seconds, "errors": errors}))


if __name__ == "__main__":
    asyncio.run(_call_honestly(json.loads(sys.argv[1])))
