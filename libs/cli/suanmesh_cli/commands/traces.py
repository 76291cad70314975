"""`suan trace`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from suanmesh.gateway.v1.gateway_service_pb2 import GetTraceRequest, ListTracesRequest
from suanmesh.scheduler.v1.scheduler_service_pb2 import GetJobRequest
from suanmesh_cli import output, units
from suanmesh_cli.lazy import Verbs
from suanmesh_cli.session import Session, command, full_name
from suanmesh_cli.usage import Misuse
from suanmesh_kernel.texts import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

COLUMNS: output.Columns = (
    ("TRACE", lambda trace: trace.name),
    ("ROOT", lambda trace: trace.root),
    ("BEGAN", lambda trace: units.moment(trace.start_time)),
    ("DURATION", lambda trace: units.duration_us(trace.duration_us)),
    ("SPANS", lambda trace: str(trace.spans)),
)


@click.group(cls=Verbs)
def trace() -> None:
    """Traces: what happened, span by span."""


@trace.command("show")
@click.argument("name", default="")
@click.option("--job", "job_name", default="", help="The trace this job lives in.")
@click.option("--all", "everything", is_flag=True, help="Every span: do not fold equal small ones.")
@command
async def show(session: Session, name: str, job_name: str, everything: bool) -> None:
    """Show the span tree of a trace, or of a job."""
    if bool(name) == bool(job_name):
        raise Misuse(
            Text("Give either a TRACE or a job with --job.", "请给出 TRACE，或用 --job 给出作业，二者择一。"),
            click.get_current_context(),
        )
    async with session.mesh() as mesh:
        if job_name:
            request = GetJobRequest(name=full_name("jobs", job_name))
            name = (await mesh.scheduler.GetJob(request, timeout=session.timeout_s)).trace_id
        found = await mesh.gateway.GetTrace(GetTraceRequest(name=full_name("traces", name)), timeout=session.timeout_s)

    def rendered() -> RenderableType:
        from suanmesh_cli.render import trace as rendering

        return rendering.trace(found, fold=not everything)

    output.show_one(session.output, found, rendered)


@trace.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many.")
@command
async def list_traces(session: Session, limit: int) -> None:
    """List traces, newest first (operator)."""
    async with session.mesh() as mesh:
        answer = await mesh.gateway.ListTraces(ListTracesRequest(page_size=limit), timeout=session.timeout_s)
    output.show_list(session.output, "traces", answer.traces, COLUMNS)
