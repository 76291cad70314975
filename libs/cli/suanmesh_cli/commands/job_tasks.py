"""`suan job tasks`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from suanmesh.scheduler.v1.placement_pb2 import TaskResult
from suanmesh.scheduler.v1.scheduler_service_pb2 import ListTasksRequest, Task
from suanmesh_cli import output, units, values
from suanmesh_cli.layout import Column
from suanmesh_cli.names import Name
from suanmesh_cli.session import Session, each_of, full_name, listed, listing
from suanmesh_cli.values import Cell
from suanmesh_sdk.enums import enum_name

if TYPE_CHECKING:
    from suanmesh_sdk import Mesh

STATES = [name for name in TaskResult.State.keys() if not name.endswith("UNSPECIFIED")]  # noqa: SIM118 - no dict


def _exit(task: Task) -> str | int:
    return task.result.exit_status if task.result.HasField("exit_status") else ""


COLUMNS = (
    Column("TASK", lambda task: task.result.index),
    Column("STATE", lambda task: enum_name(TaskResult.State, task.result.state, "STATE_")),
    Column("EXIT", _exit),
    Column("SITE", lambda task: units.short(task.site), rank=3),
    Column("ATTEMPT", lambda task: values.unless_zero(task.attempt), rank=4),
    Column("RETRIES", lambda task: values.unless_zero(task.result.retries), rank=5),
    Column("STARTED", lambda task: task.result.start_time, rank=2),
    Column("ENDED", lambda task: task.result.end_time, rank=1),
    Column("BECAUSE", lambda task: task.result.state_reason, fold=True),
)
PARAMETERS = Column(
    "PARAMETERS", lambda task: ", ".join(f"{name}={value}" for name, value in sorted(task.parameters.items()))
)


@click.command("tasks")
@click.argument("names", type=Name("jobs"), nargs=-1, required=True)
@click.option(
    "--state",
    "states",
    type=click.Choice([name.removeprefix("STATE_") for name in STATES], case_sensitive=False),
    multiple=True,
    help="Only in this state; repeatable.",
)
@listing
async def list_tasks(session: Session, names: tuple[str, ...], states: tuple[str, ...]) -> int:
    """List the tasks of the jobs NAMES in their newest attempts: where each stands, at which site, and its values."""
    wanted = [TaskResult.State.Value(f"STATE_{state}") for state in states]
    async with session.mesh() as mesh:

        async def list_one(name: str) -> None:
            request = ListTasksRequest(job=full_name("jobs", name), states=wanted)
            tasks = await listed(session, mesh.scheduler.ListTasks, request, "tasks")
            columns = (*COLUMNS, PARAMETERS) if any(task.parameters for task in tasks) else COLUMNS
            if len(names) > 1 and session.view.for_people:
                output.set_apart(session.view)
                output.print_lines([request.job])
            output.show_list(session.view, "tasks", tasks, columns)

        if len(names) == 1 or (session.view.for_people and not session.view.as_table):
            return await each_of(session, names, list_one)
        return await _list_all(session, mesh, names, wanted)


async def _list_all(session: Session, mesh: Mesh, names: tuple[str, ...], states: Sequence[Any]) -> int:
    """The tasks of several jobs as one list, each beside its job."""
    found: list[tuple[str, Task]] = []

    async def add(name: str) -> None:
        request = ListTasksRequest(job=full_name("jobs", name), states=states)
        found.extend((request.job, task) for task in await listed(session, mesh.scheduler.ListTasks, request, "tasks"))

    status = await each_of(session, names, add)
    of_task = [replace(column, value=partial(_of_task, column.value)) for column in (*COLUMNS, PARAMETERS)]
    columns = (Column("JOB", lambda pair: pair[0]), *of_task)
    output.show_list(
        session.view, "tasks", found, columns,
        name=lambda pair: f"{pair[0]} {pair[1].result.index}",
        data=lambda pair: {"job": pair[0]} | output.as_data(pair[1]),
    )  # fmt: skip
    return status


def _of_task(value: Callable[[Task], Cell], pair: tuple[str, Task]) -> Cell:
    return value(pair[1])
