"""Slurm's own programs: one call for many tasks, each with a bound."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from suanmesh_agent.engines.queued import SchedulerSilent
from suanmesh_agent.engines.slurm.listing import (
    NODE_FORMAT,
    QUEUE_FORMAT,
    Entry,
    Node,
    entries_of,
    is_for_good,
    nodes_of,
)

CALL_S_MAX = 30.0
"""Of a program that waits for slurmctld; what it was asked for may have been done all the same."""
ROUND_UP_S = 60
"""Slurm counts in minutes."""
SPARE_S = 120
"""Slurm's own bound of time lies so much above ours, which counts from the task's start."""
MEMORY_MIB_MIN = 64
_MIB = 1 << 20


class SlurmSilent(SchedulerSilent):
    """Slurm has not said whether it did what it was asked for; it may have."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What one task takes of a node."""

    cpu_milli: int
    memory_bytes: int
    duration_s: int

    @property
    def options(self) -> list[str]:
        """As sbatch takes them: Slurm gives whole processors, and whole MiB."""
        return [
            f"--cpus-per-task={max(1, -(-self.cpu_milli // 1000))}",
            f"--mem={max(MEMORY_MIB_MIN, -(-self.memory_bytes // _MIB))}M",
            f"--time={-(-(self.duration_s + SPARE_S) // ROUND_UP_S)}",
        ]


@dataclass(frozen=True, slots=True)
class Slurm:
    """Slurm as this host's programs reach it."""

    conf: str = ""
    """Path of slurm.conf where it is not the system's."""
    programs: str = "/usr/local/bin:/usr/bin:/bin"
    partition: str = ""
    options: tuple[str, ...] = ()
    """More options for sbatch, such as `--account=x`."""

    async def submit(self, script: Path, name: str, comment: str, count: int, needs: Needs) -> str:
        """One array of `count` elements. Answers why Slurm will never take it, empty where it has. Raises SlurmSilent.

        What it calls the job is not kept: it gives the same number to another after a crash.
        """
        partition = [f"--partition={self.partition}"] if self.partition else []
        status, _, trouble = await self._call(
            "sbatch", "--parsable", "--no-requeue", "--export=ALL", f"--array=0-{count - 1}", f"--job-name={name}",
            f"--comment={comment}", "--ntasks=1", "--nodes=1", "--chdir=/", "--input=/dev/null", "--open-mode=append",
            f"--output={script.parent}/%a.out", *needs.options, *partition, *self.options, str(script),
        )  # fmt: skip
        if status and not is_for_good(trouble):
            raise SlurmSilent(trouble)
        return trouble if status else ""

    async def queue(self, prefix: str) -> list[Entry]:
        """All of this user's whose comment begins with `prefix`, also what has ended lately. Raises SlurmSilent."""
        status, said, trouble = await self._call("squeue", "--me", "-h", "-r", "-t", "all", "-o", QUEUE_FORMAT)
        if status:
            raise SlurmSilent(trouble)
        return entries_of(said, prefix)

    async def cancel(self, name: str, elements: Iterable[Entry]) -> None:
        """Take elements that wait out of the queue; one whose job has another name by now is left alone."""
        ids = [f"{each.array}_{each.element}" for each in elements]
        await self._call("scancel", "--quiet", "--state=PENDING", f"--name={name}", *ids)

    async def nodes(self) -> list[Node]:
        """Those of the partition. Raises SlurmSilent."""
        partition = ["-p", self.partition] if self.partition else []
        status, said, trouble = await self._call("sinfo", "-h", "-N", "-o", NODE_FORMAT, *partition)
        if status:
            raise SlurmSilent(trouble)
        return nodes_of(said, self.partition)

    async def _call(self, program: str, *words: str) -> tuple[int, str, str]:
        environment = {"PATH": self.programs, "LANG": "C.UTF-8"} | ({"SLURM_CONF": self.conf} if self.conf else {})
        path = next((str(found) for found in self._places(program) if found.exists()), program)
        call = _Call([path, *words], environment)
        try:
            return await asyncio.to_thread(call.made)
        except OSError as fault:
            raise SlurmSilent(f"{program}: {fault.strerror}") from fault
        except subprocess.TimeoutExpired as fault:
            raise SlurmSilent(f"{program} took longer than {CALL_S_MAX:.0f} s") from fault
        finally:
            call.end()

    def _places(self, program: str) -> Sequence[Path]:
        return [Path(folder, program) for folder in self.programs.split(":")]


class _Call:
    """One run of a program in a thread, which takes its end also where nobody waits for that any more."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._command = command
        self._environment = environment
        self._child: subprocess.Popen[bytes] | None = None

    def made(self) -> tuple[int, str, str]:
        """Exit status, and what was said. Raises OSError, TimeoutExpired."""
        pipe = subprocess.PIPE
        with subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=self._environment
        ) as child:
            self._child = child
            try:
                said, trouble = child.communicate(timeout=CALL_S_MAX)
            except subprocess.TimeoutExpired:
                child.kill()
                raise
        return child.returncode, said.decode(errors="replace"), trouble.decode(errors="replace").strip()

    def end(self) -> None:
        """End it where it runs."""
        if self._child is not None:
            self._child.kill()
