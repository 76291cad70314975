"""What is done to a node to try it out: submit a small job, wait for what becomes of it, read its results."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from suanmesh.scheduler.v1 import decision_pb2, job_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler
from suanmesh.transport.v1 import transfer_pb2
from suanmesh.transport.v1 import transport_service_pb2 as transport
from suanmesh_kernel.refusals import NotFound
from suanmesh_local import world
from suanmesh_sdk import Mesh
from suanmesh_sdk.status import refusal_of

LOOK_AGAIN_S = 0.1
ENDED = (job_pb2.Job.STATE_DONE, job_pb2.Job.STATE_FAILED, job_pb2.Job.STATE_CANCELLED)


def job(code: str, *, cpu_milli: int = 200, inputs: Sequence[str] = (), outputs: Sequence[str] = ()) -> job_pb2.Job:
    """A job of one task that runs `code` in Python; inputs lie at `in/<dataset>`, outputs at `out/<output>`."""
    return job_pb2.Job(
        account=f"accounts/{world.CONSUMER}",
        task=job_pb2.TaskSpec(count=1),
        ask=job_pb2.Ask(cpu_milli=cpu_milli, memory_bytes=128 * world.MEBIBYTE, scratch_bytes=64 * world.MEBIBYTE),
        package=job_pb2.Package(
            variants=[
                job_pb2.Variant(
                    runtime="python3",
                    command=["python3", "task.py"],
                    artefacts=[job_pb2.Artefact(path="task.py", content=code.encode())],
                )
            ]
        ),
        inputs=[job_pb2.Input(dataset=f"datasets/{name}", mount=f"in/{name}") for name in inputs],
        outputs=[job_pb2.Output(output_id=name, mount=f"out/{name}") for name in outputs],
        max_duration_s=120,
        max_attempts=3,
    )


async def submit(mesh: Mesh, job_id: str, described: job_pb2.Job, *, timeout: float | None = None) -> str:
    """Submit a job; its name. Raises Refusal."""
    item = scheduler.SubmitJob(job_id=job_id, job=described)
    answer = await mesh.scheduler.SubmitJobs(scheduler.SubmitJobsRequest(items=[item]), timeout=timeout)
    if answer.results[0].HasField("error"):
        raise refusal_of(answer.results[0].error)
    return answer.results[0].job.name


async def reached(
    mesh: Mesh, name: str, *states: job_pb2.Job.State.ValueType, timeout: float | None = None
) -> job_pb2.Job:
    """The job once it is in one of `states` or has ended."""
    while True:
        found = await mesh.scheduler.GetJob(scheduler.GetJobRequest(name=name), timeout=timeout)
        if found.state in (*states, *ENDED):
            return found
        await asyncio.sleep(LOOK_AGAIN_S)


async def ended(mesh: Mesh, name: str, *, timeout: float | None = None) -> job_pb2.Job:
    """The job once it has ended; `timeout` is that of each look."""
    return await reached(mesh, name, timeout=timeout)


async def moved(mesh: Mesh, name: str, chunks: int) -> transfer_pb2.Transfer:
    """The transfer once so many chunks have arrived, or it has ended."""
    while True:
        try:
            found = await mesh.transport.GetTransfer(transport.GetTransferRequest(name=name))
        except NotFound:
            found = transfer_pb2.Transfer()
        if found.progress.chunks_done >= chunks > 0 or found.state >= transfer_pb2.Transfer.STATE_DONE:
            return found
        await asyncio.sleep(LOOK_AGAIN_S)


async def content(mesh: Mesh, name: str, path: str) -> bytes:
    """One file of a dataset."""
    request = transport.ReadFileRequest(dataset=name, path=path.encode())
    return b"".join([piece.content async for piece in mesh.transport.ReadFile(request)])


async def job_now(mesh: Mesh, name: str) -> job_pb2.Job:
    """The job as it stands."""
    return await mesh.scheduler.GetJob(scheduler.GetJobRequest(name=name))


async def decided(mesh: Mesh, name: str) -> decision_pb2.Decision:
    """The job's newest decision, once there is one."""
    while True:
        try:
            return await mesh.scheduler.GetDecision(scheduler.GetDecisionRequest(name=f"{name}/decisions/-"))
        except NotFound:
            await asyncio.sleep(LOOK_AGAIN_S)


async def planned(mesh: Mesh, described: job_pb2.Job) -> decision_pb2.Decision:
    """What would be decided now. Raises Refusal."""
    item = scheduler.SubmitJob(job=described)
    answer = await mesh.scheduler.SubmitJobs(scheduler.SubmitJobsRequest(items=[item], validate_only=True))
    if answer.results[0].HasField("error"):
        raise refusal_of(answer.results[0].error)
    return answer.results[0].decision


async def cancel(mesh: Mesh, name: str, *, timeout: float | None = None) -> job_pb2.Job:
    """The job once it has been cancelled or has ended otherwise; `timeout` is that of each call."""
    await mesh.scheduler.CancelJob(scheduler.CancelJobRequest(name=name), timeout=timeout)
    return await ended(mesh, name, timeout=timeout)
