"""Secrets that go with a job: where their values come from, and how they are sealed. A value is never an argument."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import yaml

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.scheduler_service_pb2 import SubmitJob
from suanmesh_cli.jobfields import text_of
from suanmesh_cli.jobforms import Wrong
from suanmesh_cli.texts import refusal
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_kernel.texts import Text

if TYPE_CHECKING:
    from suanmesh_sdk import Mesh

KINDS = ("env", "file")
VARIABLE = "variable"


@dataclass(frozen=True, slots=True)
class Source:
    """Where the value of a secret is read: a variable of our environment, or a file."""

    kind: str
    where: str
    variable: str = ""
    """Variable that the tasks find it in too."""

    def read(self, name: str) -> bytes:
        """The value of the secret `name`. Raises InvalidArgument (`FIELD_INVALID`)."""
        try:
            value = os.environb[self.where.encode()] if self.kind == "env" else _read(Path(self.where))
        except KeyError:
            said = Text(
                f"secret {name}: the variable {self.where} is not set here", f"机密 {name}：此处没有变量 {self.where}"
            )
            raise _invalid(name, said) from None
        except (OSError, ValueError) as fault:
            why = getattr(fault, "strerror", None) or str(fault)
            said = Text(f"secret {name}: {self.where}: {why}", f"机密 {name}：无法读取 {self.where}：{why}")
            raise _invalid(name, said) from None
        if not value:
            said = Text(f"secret {name}: {self.where} is empty", f"机密 {name}：{self.where} 为空")
            raise _invalid(name, said)
        return value


def of_file(node: yaml.Node, base: Path, wrong: Wrong) -> dict[str, Source]:
    """What stands at `secrets` of a job file: a mapping of names to `{env: NAME}` or `{file: PATH}`."""
    if not isinstance(node, yaml.MappingNode):
        wanted = "{TOKEN: {env: HF_TOKEN}, key: {file: ~/.key}}"
        raise wrong(node, "secrets", Text(f"a mapping such as {wanted} is expected", f"此处应为映射，如 {wanted}"))
    found: dict[str, Source] = {}
    for key, value in node.value:
        name = text_of(key, "secrets", wrong)
        field = f"secrets.{name}"
        pairs = value.value if isinstance(value, yaml.MappingNode) else ()
        given = {text_of(each, field, wrong): text_of(what, field, wrong) for each, what in pairs}
        kinds = given.keys() - {VARIABLE}
        if len(kinds) != 1 or not kinds <= set(KINDS):
            raise wrong(value, field, Text("one of `env` and `file` is expected", "此处应有 `env` 或 `file` 之一"))
        kind = next(iter(kinds))
        where = str(base / Path(given[kind]).expanduser()) if kind == "file" else given[kind]
        found[name] = Source(kind, where, given.get(VARIABLE, name if kind == "env" else ""))
    return found


def of_options(given: Sequence[str]) -> dict[str, Source]:
    """What `--secret NAME=env:VARIABLE` and `--secret NAME=file:PATH` say. Raises click.BadParameter."""
    found: dict[str, Source] = {}
    for each in given:
        name, equals, source = each.partition("=")
        kind, colon, where = source.partition(":")
        if not (name and equals and colon and where) or kind not in KINDS:
            problem = f"{name}: NAME=env:VARIABLE or NAME=file:PATH is expected"
            raise click.BadParameter(problem, param_hint="--secret")
        found[name] = Source(kind, where, name if kind == "env" else "")
    return found


def named(job: Job, sources: Mapping[str, Source]) -> None:
    """Let the job name all of them; one that it names already stays as it is there."""
    there = {secret.name for secret in job.secrets}
    for name, source in sources.items():
        if name not in there:
            job.secrets.add(name=name, variable=source.variable)


async def item(mesh: Mesh, job: Job, job_id: str, sources: Mapping[str, Source]) -> SubmitJob:
    """The job as it is submitted; one with secrets is given its name here, as they are sealed for that alone."""
    submitted = SubmitJob(job_id=job_id, job=job)
    if sources:
        from suanmesh_kernel.clock import SystemClock, system_rng
        from suanmesh_kernel.identifiers import sortable_id
        from suanmesh_sdk.sealing import sealed_for_job

        submitted.job_id = job_id or sortable_id(SystemClock().now(), system_rng)
        values = {name: source.read(name) for name, source in sources.items()}
        submitted.secrets.extend(await sealed_for_job(mesh, f"jobs/{submitted.job_id}", values))
    return submitted


def _read(path: Path) -> bytes:
    from suanmesh_sdk.sealing import VALUE_BYTES_MAX

    with path.expanduser().open("rb") as file:
        content = file.read(VALUE_BYTES_MAX + 1)
    if len(content) > VALUE_BYTES_MAX:
        raise ValueError(f"larger than {VALUE_BYTES_MAX} bytes")
    return content


def _invalid(name: str, said: Text) -> InvalidArgument:
    return refusal(InvalidArgument, "FIELD_INVALID", said, field=f"secrets.{name}")
