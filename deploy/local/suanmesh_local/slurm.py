"""A Slurm of its own for trying out a site that has one: munge, slurmctld and slurmd on loopback, all in one folder.

It is Debian's (`slurm-wlm`, `munge`), needs root, and leaves whatever else of Slurm the machine has alone.
"""

from __future__ import annotations

import os
import secrets
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from suanmesh_kernel.private import private_folder, write_private
from suanmesh_local.ports import free_ports
from suanmesh_local.processes import Process
from suanmesh_local.tools import ToolMissing

PROGRAMS = ("/usr/sbin/munged", "/usr/sbin/slurmctld", "/usr/sbin/slurmd", "/usr/bin/sbatch")
READY_S_MAX = 20.0
_CALL_S_MAX = 30.0
_PAUSE_S = 0.1
_KEY_BYTES = 1024
NULL_DEVICE = os.makedev(1, 3)
"""As /dev/null is."""
_SOCKET_PATH_MAX = 100
_CONF = """\
ClusterName=suan
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={controller}
SlurmdPort={node}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,default_queue_depth=1000
ReturnToService=2
MpiDefault=none
KillWait=3
MinJobAge=300
MessageTimeout=10
GresTypes=gpu
MaxArraySize=16
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} {cards} State=UNKNOWN
{absent}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=short Nodes=ALL MaxTime=2 State=UP
"""


def lacks() -> str:
    """What this machine lacks for it; empty where nothing."""
    missing = [program for program in PROGRAMS if not Path(program).exists()]
    if missing:
        return f"{', '.join(missing)} not found: apt-get install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "a Slurm of its own needs root"


@contextmanager
def running(cpus: int = 0, absent: int = 0, cards: Mapping[str, int] | None = None) -> Iterator[LocalSlurm]:
    """A cluster that is gone afterwards, and what it has run. Raises ToolMissing, OSError, TimeoutError."""
    if problem := lacks():
        raise ToolMissing(problem)
    with TemporaryDirectory(prefix="suan-slurm-") as folder:
        cluster = LocalSlurm(Path(folder), cpus, absent, cards)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


class LocalSlurm:
    """One cluster with one node that answers, as many processors as are said; `absent` nodes are only configured.

    It has as many `cards` of each model as are said: their device files, in `dev_folder`, lead nowhere.
    """

    def __init__(self, folder: Path, cpus: int = 0, absent: int = 0, cards: Mapping[str, int] | None = None) -> None:
        """`folder` has a short path: a socket lies in it."""
        if len(str(folder)) > _SOCKET_PATH_MAX - len("/munge.socket"):
            raise ValueError(f"{folder}: too long a path for a socket")
        self.folder = folder
        self.conf = folder / "slurm.conf"
        self._host = socket.gethostname().partition(".")[0]
        self._cpus = cpus or psutil.cpu_count() or 1
        self._absent = absent
        self._cards = dict(cards or {})
        self.dev_folder = folder / "dev"
        environment = {"SLURM_CONF": str(self.conf)}

        def process(name: str, *command: str) -> Process:
            return Process(name, command, environment, folder / "log" / f"{name}.log")

        munge = [f"--{kind}={folder}/munge.{kind.partition('-')[0]}" for kind in ("key-file", "socket", "pid-file")]
        seed = f"--seed-file={folder}/munge.seed"
        self.munge = process("munged", PROGRAMS[0], "--foreground", "--force", "--num-threads=2", seed, *munge)
        self.controller = process("slurmctld", PROGRAMS[1], "-D")
        self.node = process("slurmd", PROGRAMS[2], "-D")

    def start(self) -> None:
        """Start what does not run, and wait until jobs can be handed over. Raises OSError, TimeoutError."""
        private_folder(self.folder)
        key = self.folder / "munge.key"
        if not key.exists():
            write_private(key, secrets.token_bytes(_KEY_BYTES))
            self.conf.write_text(self._written_conf())
            self._make_cards()
        for name in ("state", "spool"):
            (self.folder / name).mkdir(exist_ok=True)
        if not self.munge.pid:
            self.munge.start()
        self._until((self.folder / "munge.socket").exists, "munge makes no socket")
        for each in (self.controller, self.node):
            if not each.pid:
                each.start()
        self._until(self._is_idle, "no node is ready")

    def stop(self) -> None:
        """End all, and what runs on the node."""
        try:
            if self.controller.pid:
                self.call("scancel", f"--user={os.geteuid()}")
                self._until(lambda: not self.call("squeue", "-h").strip(), "jobs do not end")
        finally:
            for each in (self.node, self.controller, self.munge):
                each.end()

    def resume(self) -> None:
        """Take the node back that Slurm has drained, as its operator does: for a number of a job that came twice."""
        if "drain" in self.call("sinfo", "-h", "-n", self._host, "-o", "%T"):
            self.call("scontrol", "update", f"NodeName={self._host}", "State=RESUME")

    def call(self, program: str, *words: str) -> str:
        """What one of Slurm's own programs says, whatever its status."""
        environment = {"SLURM_CONF": str(self.conf), "PATH": "/usr/sbin:/usr/bin:/bin"}
        done = subprocess.run(
            [program, *words], env=environment, capture_output=True, timeout=_CALL_S_MAX, check=False, text=True
        )
        return done.stdout

    def _written_conf(self) -> str:
        controller, node = free_ports(2)
        memory = psutil.virtual_memory().total // (1 << 20) * 9 // 10
        absent = f"NodeName=absent[1-{self._absent}] NodeAddr=127.0.0.1 Port=1 CPUs=4 RealMemory=1000 State=DOWN"
        cards = ",".join(f"gpu:{model}:{count}" for model, count in self._cards.items())
        return _CONF.format(
            host=self._host, folder=self.folder, controller=controller, node=node, cpus=self._cpus, memory=memory,
            absent=absent if self._absent else "",
            cards=f"Gres={cards}" if cards else "",
        )  # fmt: skip

    def _make_cards(self) -> None:
        """Raises PermissionError where not even root may make a device file."""
        self.dev_folder.mkdir()
        lines = ["AutoDetect=off"]
        for number, model in enumerate(model for model, count in self._cards.items() for _ in range(count)):
            path = self.dev_folder / f"nvidia{number}"
            os.mknod(path, stat.S_IFCHR | 0o666, NULL_DEVICE)
            lines.append(f"Name=gpu Type={model} File={path}")
        (self.folder / "gres.conf").write_text("\n".join(lines) + "\n")

    def _is_idle(self) -> bool:
        return "idle" in self.call("sinfo", "-h", "-n", self._host, "-o", "%T").split()

    def _until(self, holds: Callable[[], bool], otherwise: str) -> None:
        give_up = time.monotonic() + READY_S_MAX
        while not holds():
            if time.monotonic() > give_up:
                raise TimeoutError(f"{otherwise}; see {self.folder / 'log'}")
            time.sleep(_PAUSE_S)
