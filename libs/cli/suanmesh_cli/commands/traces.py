"""`suan trace`."""

from __future__ import annotations

from dataclasses import replace

import click

from suanmesh.gateway.v1.gateway_service_pb2 import GetTraceRequest, ListTracesRequest
from suanmesh.scheduler.v1.scheduler_service_pb2 import GetJobRequest
from suanmesh_cli import output, values
from suanmesh_cli.layout import Column
from suanmesh_cli.lazy import Verbs
from suanmesh_cli.names import Name
from suanmesh_cli.session import Session, full_name, listed, listing, reading
from suanmesh_cli.usage import Misuse
from suanmesh_kernel.texts import Text

TRACES = 50
"""How many are listed where no limit is given."""
COLUMNS = (
    Column("TRACE", lambda trace: trace.name),
    Column("ROOT", lambda trace: trace.root, rank=2),
    Column("BEGAN", lambda trace: trace.start_time, rank=1),
    Column("DURATION", lambda trace: values.duration_us(trace.duration_us), rank=1),
    Column("SPANS", lambda trace: trace.spans, rank=3),
)


@click.group(cls=Verbs)
def trace() -> None:
    """Traces: what happened, span by span."""


@trace.command("show")
@click.argument("name", default="")
@click.option("--job", "job_name", type=Name("jobs"), default="", help="The trace this job lives in.")
@click.option("--all", "everything", is_flag=True, help="Every span: do not fold equal small ones.")
@reading
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

    def rendered() -> list[str]:
        from suanmesh_cli.render import trace as rendering

        return rendering.trace(session.view, found, fold=not everything)

    from suanmesh_cli.render.trace import SPAN_COLUMNS

    output.show_one(session.view, found, rendered, SPAN_COLUMNS, rows=[(found, span) for span in found.spans])


@trace.command("list")
@listing
async def list_traces(session: Session) -> None:
    """List traces, newest first (operator)."""
    session = replace(session, limit=TRACES) if session.limit is None else session
    async with session.mesh() as mesh:
        found = await listed(session, mesh.gateway.ListTraces, ListTracesRequest(), "traces")
    output.show_list(session.view, "traces", found, COLUMNS)
