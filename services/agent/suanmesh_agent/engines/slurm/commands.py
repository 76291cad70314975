"""Slurm's own programs: one call for many tasks, each with a bound."""

from __future__ import annotations

import asyncio
import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from suanmesh_agent.engines.batched.port import Batch, BatchTooLarge, Needs, SchedulerFull
from suanmesh_agent.engines.queued import Node, SchedulerSilent
from suanmesh_agent.engines.slurm.listing import (
    NODE_FORMAT,
    QUEUE_FORMAT,
    UNTYPED,
    Entry,
    entries_of,
    full_by,
    is_for_good,
    is_too_long,
    nodes_of,
    sleeps,
)
from suanmesh_agent.settings import AgentSettings

CALL_S_MAX = 30.0
"""Of a program that waits for slurmctld; what it was asked for may have been done all the same."""
LOOK_S = 0.25
"""How often a program that is waited for is looked at: shorter than it sleeps before it tries again."""
ROUND_UP_S = 60
"""Slurm counts in minutes."""
SPARE_S = 120
"""Slurm's own bound of time lies so much above ours, which counts from the task's start."""
MEMORY_MIB_MIN = 64
_MIB = 1 << 20


def options_of(needs: Needs) -> list[str]:
    """As sbatch takes them: Slurm gives whole processors, whole MiB, and whole cards."""
    named = [(kind, "" if model == UNTYPED else model, str(count)) for kind, model, count in needs.cards]
    gres = ",".join(":".join(filter(None, card)) for card in named)
    return [
        *([f"--gres={gres}"] if gres else []),
        f"--cpus-per-task={max(1, -(-needs.cpu_milli // 1000))}",
        f"--mem={max(MEMORY_MIB_MIN, -(-needs.memory_bytes // _MIB))}M",
        f"--time={-(-(needs.duration_s + SPARE_S) // ROUND_UP_S)}",
    ]


def job_name(placement: str, batch: str) -> str:
    """What Slurm's operator sees, and what a batch is cancelled by."""
    return f"suan-{placement}-{batch}"


PROGRAMS = ("sbatch", "squeue", "scancel", "sinfo")


@dataclass(frozen=True, slots=True)
class Slurm:
    """`Scheduler`: Slurm as this host's programs reach it. A batch is a job array; its mark is the comment."""

    conf: str = ""
    """Path of slurm.conf where it is not the system's."""
    programs: str = "/usr/local/bin:/usr/bin:/bin"
    partition: str = ""
    options: tuple[str, ...] = ()
    """More options for sbatch, such as `--account=x`."""

    @property
    def title(self) -> str:
        """As `Scheduler`."""
        return "Slurm"

    def close(self) -> None:
        """Nothing is kept open."""

    def missing(self) -> str:
        """The first of Slurm's programs that is in none of the folders; empty where all are there."""
        return next((each for each in PROGRAMS if not any(place.exists() for place in self._places(each))), "")

    async def submit(self, batch: Batch) -> str:
        """One array. What Slurm calls the job is not kept: it gives the same number to another after a crash."""
        script = batch.folder / "script"
        words = f'#!/bin/sh\nexec {shlex.join(batch.command)} "$SLURM_ARRAY_TASK_ID"\n'
        await asyncio.to_thread(script.write_text, words)
        partition = [f"--partition={self.partition}"] if self.partition else []
        status, _, trouble = await self._call(
            "sbatch", "--parsable", "--no-requeue", "--export=ALL", f"--array=0-{len(batch.keys) - 1}",
            f"--job-name={job_name(batch.placement, batch.name)}", f"--comment={batch.mark}", "--ntasks=1",
            "--nodes=1", "--chdir=/", "--input=/dev/null", f"--output={batch.folder}/%a.out", "--open-mode=append",
            *options_of(batch.needs), *partition, *self.options, str(script),
        )  # fmt: skip
        if status and is_too_long(trouble) and len(batch.keys) > 1:
            raise BatchTooLarge
        if status and (limit := full_by(trouble)):
            raise SchedulerFull(limit)
        if status and not is_for_good(trouble):
            raise SchedulerSilent(trouble)
        return trouble if status else ""

    async def listed(self, prefix: str) -> list[Entry]:
        """All of this user's, also what has ended lately."""
        status, said, trouble = await self._call("squeue", "--me", "-h", "-r", "-t", "all", "-o", QUEUE_FORMAT)
        if status:
            raise SchedulerSilent(trouble)
        return entries_of(said, prefix)

    async def cancel(self, batch: tuple[str, str], entries: Sequence[Entry]) -> None:
        """As `Scheduler`; one whose job has another name by now is left alone."""
        ids = [f"{each.array}_{each.element}" for each in entries]
        await self._call("scancel", "--quiet", "--state=PENDING", f"--name={job_name(*batch)}", *ids)

    async def nodes(self) -> list[Node]:
        """Those of the partition that jobs are sent to."""
        partition = ["-p", self.partition] if self.partition else []
        status, said, trouble = await self._call("sinfo", "-h", "-N", "-o", NODE_FORMAT, *partition)
        if status:
            raise SchedulerSilent(trouble)
        usable = [node for node in nodes_of(said, self.partition) if node.usable]
        return [Node(node.name, node.cpus * 1000, node.memory_mib * _MIB, node.devices) for node in usable]

    async def _call(self, program: str, *words: str) -> tuple[int, str, str]:
        environment = {"PATH": self.programs, "LANG": "C.UTF-8"} | ({"SLURM_CONF": self.conf} if self.conf else {})
        path = next((str(found) for found in self._places(program) if found.exists()), program)
        call = _Call([path, *words], environment)
        try:
            return await asyncio.to_thread(call.made)
        except OSError as fault:
            raise SchedulerSilent(f"{program}: {fault.strerror}") from fault
        except subprocess.TimeoutExpired as fault:
            raise SchedulerSilent(f"{program} took longer than {CALL_S_MAX:.0f} s") from fault
        finally:
            call.end()

    def _places(self, program: str) -> Sequence[Path]:
        return [Path(folder, program) for folder in self.programs.split(":")]


def slurm_of(settings: AgentSettings) -> Slurm:
    """A site's Slurm, as this host reaches it."""
    return Slurm(settings.slurm_conf, settings.slurm_programs, settings.slurm_partition, settings.slurm_options)


class _Call:
    """One run of a program in a thread, which takes its end also where nobody waits for that any more."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._command = command
        self._environment = environment
        self._child: subprocess.Popen[bytes] | None = None

    def made(self) -> tuple[int, str, str]:
        """Exit status, and what was said; of one that waits by itself to try again, what it has said by then.

        Raises OSError, TimeoutExpired.
        """
        pipe, give_up = subprocess.PIPE, time.monotonic() + CALL_S_MAX
        with subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=self._environment
        ) as child:
            self._child = child
            while True:
                try:
                    said, trouble = child.communicate(timeout=LOOK_S)
                    break
                except subprocess.TimeoutExpired as late:
                    if sleeps((late.stderr or b"").decode(errors="replace")) or time.monotonic() > give_up:
                        child.kill()
                    if time.monotonic() > give_up:
                        raise
        return child.returncode, said.decode(errors="replace"), trouble.decode(errors="replace").strip()

    def end(self) -> None:
        """End it where it runs."""
        if self._child is not None:
            self._child.kill()
