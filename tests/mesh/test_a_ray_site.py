"""A site that runs Ray: it joins as its page says, and its jobs outlive Ray's head and the agent.

`make test` types the page, and kills beneath the engine alone; `make test-ray` kills under a node, says what it found,
and looks at a cluster from outside.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from ray_cluster import ray_cluster
from witnessed_jobs import TASK, Witness, billed_cpu_us, ended, judged, settled, submitted

from suanmesh.registry.v1.registry_service_pb2 import JoinToken
from suanmesh_local import world
from suanmesh_local.node import Node
from suanmesh_local.ports import free_ports
from suanmesh_local.ray import LocalRay
from suanmesh_local.tools import ToolMissing, bubblewrap, cache_dir
from suanmesh_sdk.invites import invite_text
from tests.mesh.machines import Machine, NoNamespaces, machines

pytestmark = pytest.mark.mesh

SITE = world.PLACES[0].site
CPUS = 8
JOBS, KILLS, PATIENCE_S = 60, 4, 1500


ROOT = Path(__file__).resolve().parents[2]
SUAN = Path(sys.executable).parent / "suan"
COMMAND_S_MAX = 200.0
LET_IN = """
suan --context operator price set hangzhou --party east-compute --currency CNY cpu=0.165/core-h memory=0.0165/GiB-h
suan --context operator link declare out --from shanghai --to hangzhou --capacity 1Gbit/s --latency 2ms
suan --context operator link declare back --from hangzhou --to shanghai --capacity 1Gbit/s --latency 2ms
suan --context operator site invite east-compute > hangzhou.invite
"""
USE = """
until suan pool search -o name 'free.cpu_milli = 4000' | grep -q hangzhou; do suan site list > sites; done
suan party publishers demo --add hangzhou
mkdir numbers
seq 1 1000 > numbers/all.txt
suan data put numbers --site shanghai
suan job submit sweep.yaml --id sweep --wait
suan job logs sweep 5
suan data get sweep-sum task-5/sum.txt
"""
SWEEP = """
account: demo
cpu: 1
memory: 64Mi
runtime: python3
array: {factor: 1..6}
inputs: [{dataset: numbers, mount: in}]
outputs: [{output_id: sum, mount: out}]
command:
- python3
- -c
- |
  import os
  total = sum(map(int, open('in/all.txt'))) * int(os.environ['SUANMESH_PARAM_FACTOR'])
  print('total', total)
  open('out/sum.txt', 'w').write(str(total))
constraints: {allow_sites: [sites/hangzhou]}
max_duration: 120s
"""
CONNECTS = """
import socket, sys
for port in sys.argv[2:]:
    try:
        socket.create_connection((sys.argv[1], int(port)), timeout=10).close()
        print(port)
    except OSError:
        pass
"""


class Page:
    """A terminal in a folder of its own, with what the page says for the machines of a test."""

    def __init__(self, folder: Path, config: Path, changed: Mapping[str, str]) -> None:
        self.folder = folder
        self._changed = changed
        self._environment = {"SUANMESH_CONFIG": str(config), "PATH": f"{SUAN.parent}{os.pathsep}{os.defpath}"}
        self._environment |= {"LANG": "C.UTF-8", "COLUMNS": "200", "HOME": str(folder)}
        with suppress(ToolMissing):
            self._environment["SUANMESH_AGENT_BWRAP"] = str(bubblewrap(cache_dir()).path)

    def type(self, block: str) -> str:
        """What the commands print."""
        for told, here in self._changed.items():
            block = block.replace(told, here)
        done = subprocess.run(
            ["/bin/bash", "-e", "-c", block],
            cwd=self.folder, env=self._environment, capture_output=True, text=True, timeout=COMMAND_S_MAX, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{block}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    @contextmanager
    def running(self, command: str) -> Iterator[None]:
        """While a command stays in the foreground of another terminal."""
        words = ["/bin/sh", "-c", f"exec {command}"]
        with (self.folder / "printed").open("wb") as printed:
            process = subprocess.Popen(words, cwd=self.folder, env=self._environment, stdout=printed, stderr=printed)
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(COMMAND_S_MAX)


def blocks(page: str) -> list[str]:
    """The commands of the page, block by block."""
    return re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs" / "how-to" / page).read_text(), re.MULTILINE | re.DOTALL)


def test_both_languages_have_the_same_commands() -> None:
    """Whoever reads the other page must not end elsewhere."""
    assert blocks("ray-site.md") == blocks("ray-site.zh-CN.md")


async def test_a_site_joins_with_its_ray_and_leaves_as_the_page_says(tmp_path: Path) -> None:
    """An owner with a cluster has the page alone: data comes, an array runs on its nodes, and nothing stays behind."""
    _, join, leave = blocks("ray-site.md")
    with ray_cluster(4) as cluster:
        async with Node(tmp_path / "node", 1) as node:
            changed = {
                "203.0.113.20:6379": cluster.address,
                "--advertise 203.0.113.20": f"--advertise 127.0.0.1 --port {free_ports(1)[0]}",
                "/srv/ray/token": str(cluster.token_file),
                "suan site drain": "suan --context operator site drain",
                "suan site remove": "suan --context operator site remove",
            }
            page = Page(tmp_path, node.folder / "config.toml", changed)
            (tmp_path / "sweep.yaml").write_text(SWEEP)
            await asyncio.to_thread(_join_use_and_leave, page, *join.splitlines(), leave)
        assert not [each for each in cluster.processes(cluster.head) if each.name().startswith("ray::run_shim")]


def _join_use_and_leave(page: Page, join: str, run: str, leave: str) -> None:
    page.type(LET_IN)
    said = page.type(join)
    assert "1 nodes with 4 processors" in said
    assert "warning" not in said
    with page.running(run):
        said = page.type(USE)
        assert "jobs/sweep DONE" in said
        assert "total 3003000" in said  # the log of the sixth
        assert re.search(r"^3003000", said, re.MULTILINE)  # and what it has written
        page.type("until [ $(suan bill show --job sweep | grep -cE 'cpu .*hangzhou') = 6 ]; do suan site list; done")
        assert "sites/hangzhou: 0 left" in page.type(leave)
        assert "REMOVED" in page.type("suan site show hangzhou")


@pytest.mark.ray
def test_the_lines_of_the_page_shut_a_cluster_in(tmp_path: Path) -> None:
    """Ray listens at all addresses, and who reaches one that wants no token runs what they like on its nodes."""
    firewall, *_ = blocks("ray-site.md")
    addresses = {"head": "203.0.113.20", "node": "203.0.113.21", "stranger": "203.0.113.30"}
    if shutil.which("nft") is None:
        pytest.skip("nft is not installed: apt-get install nftables")
    with ExitStack() as ending:
        try:
            places = ending.enter_context(machines(tmp_path, addresses))
        except NoNamespaces as fault:
            pytest.skip(f"network namespaces cannot be made here: {fault}")
        folder = Path(ending.enter_context(TemporaryDirectory(prefix="suan-ray-")))
        head, node, stranger = (places[name] for name in addresses)
        inside = [str(shutil.which(head.inside[0])), *head.inside[1:]]
        cluster = LocalRay(folder, 4, {"RAY_AUTH_MODE": "disabled"}, host=addresses["head"], inside=inside)
        ending.callback(cluster.stop)
        cluster.start()
        assert "wants no token" in _refused_join(head, cluster)
        ports = [line.split()[3].rpartition(":")[2] for line in head.type("ss -Hlnt").splitlines()]
        connects = f"{sys.executable} -c '{CONNECTS}' {addresses['head']} {' '.join(ports)}"
        assert len(stranger.type(connects).split()) >= 3
        head.type(f"PATH=$PATH:/usr/sbin\n{firewall}")
        assert stranger.type(connects) == ""
        assert len(node.type(connects).split()) >= 3


def _refused_join(machine: Machine, cluster: LocalRay) -> str:
    """What a join says that gets as far as the gateway, which is not there."""
    (machine.home / "invite").write_text(
        invite_text("203.0.113.20:1", "nowhere", JoinToken(token=f"a.b.c.{0:064}", certificate_der=b"c", key=b"k"))
    )
    join = f"suan site join - hangzhou --engine ray --advertise 203.0.113.20 --set ray_address={cluster.address}"
    return machine.type(f"! {join} < invite")


@pytest.fixture
def cluster() -> Iterator[LocalRay]:
    """More processors than the machine has: the tasks are idle most of the time."""
    with ray_cluster(CPUS) as started:
        yield started


@pytest.mark.ray
@pytest.mark.timeout(1800)
async def test_jobs_survive_kills_of_rays_head_and_of_the_agent(cluster: LocalRay, tmp_path: Path) -> None:
    """Ray forgets all with its head, and runs on without the agent: what a user has paid for must not be lost."""
    overrides = {
        "SUANMESH_AGENT_ENGINE": "ray",
        "SUANMESH_AGENT_RAY_ADDRESS": cluster.address,
        "SUANMESH_AGENT_RAY_TOKEN_FILE": str(cluster.token_file),
        "SUANMESH_AGENT_CPU_MILLI": "0",
        "SUANMESH_AGENT_MEMORY_BYTES": "0",
    }
    async with Node(tmp_path / "node", 1, overrides=overrides) as node, node.mesh() as mesh:
        witness = Witness(node.folder / "sites" / SITE / "tasks")
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            watching = group.create_task(witness.watch())
            names = await submitted(mesh, JOBS, TASK.format(seconds=2), "ray")
            killing = group.create_task(_kill(cluster, node))
            over = [await ended(mesh, name) for name in names]
            await killing
            watching.cancel()
        witness.look()
        await settled(mesh)
        billed = Counter[str]()
        for job in over:
            billed += await billed_cpu_us(mesh, job)
        found = judged(over, witness, billed)
    print(json.dumps(found))
    assert found["lost"] == found["run twice"] == found["billed otherwise"] == 0


async def _kill(cluster: LocalRay, node: Node) -> None:
    for _ in range(KILLS):
        await asyncio.sleep(3)
        node.agents[SITE].kill()
        await asyncio.sleep(1)
        node.agents[SITE].start()
        await asyncio.sleep(3)
        for program in ("gcs_server", "raylet"):
            cluster.kill(cluster.head, program)
        cluster.stop()
        cluster.start()
