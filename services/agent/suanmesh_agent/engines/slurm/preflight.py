"""Whether a site can be run on a Slurm: found out by asking it for what its agent will ask for."""

from __future__ import annotations

from suanmesh_agent.engines.queued import SchedulerSilent
from suanmesh_agent.engines.slurm.commands import Slurm
from suanmesh_kernel.refusals import FailedPrecondition, Unavailable


async def require_ready(slurm: Slurm) -> str:
    """What was found, in words. Raises Refusal with what is wrong."""
    if program := slurm.missing():
        words = f"{program} is in none of the folders {slurm.programs}"
        raise FailedPrecondition("SLURM_ABSENT", words, program=program)
    try:
        nodes = await slurm.nodes()
        await slurm.listed("")
    except SchedulerSilent as silent:
        raise Unavailable("SLURM_UNREACHABLE", f"Slurm does not answer: {silent}") from silent
    where = f"partition {slurm.partition}" if slurm.partition else "the default partition"
    if not nodes:
        words = f"no node of {where} takes jobs"
        raise FailedPrecondition("SLURM_NODES_MISSING", words, partition=slurm.partition)
    return f"{len(nodes)} nodes with {sum(node.cpu_milli for node in nodes) // 1000} processors in {where}"
