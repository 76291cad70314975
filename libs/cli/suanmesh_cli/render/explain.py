"""A decision as a person reads it: every candidate with its numbers, the choice, and what would change it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from suanmesh.scheduler.v1.decision_pb2 import Candidate, CandidateExplanation, Decision
from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.placement_pb2 import TaskCount, TaskResult
from suanmesh.scheduler.v1.reason_pb2 import ObstacleCode
from suanmesh_cli import units, values
from suanmesh_cli.layout import Column
from suanmesh_cli.names import short
from suanmesh_cli.output import View, facts
from suanmesh_cli.tables import table
from suanmesh_cli.values import Cell, Facts
from suanmesh_client.following import log_dataset
from suanmesh_kernel.texts import Text
from suanmesh_sdk.enums import enum_name
from suanmesh_sdk.obstacles import obstacle_words

WORDS = {
    "en": {
        "chosen": "chosen",
        "runner_up": "runner-up",
        "none": "nothing fits",
        "reason": "reason",
        "change": "would fit with",
        "obstacles": "obstacles",
        "nothing": "none",
        "decision": "decision",
        "basis": "basis",
        "as_decided": "as it was decided",
        "as_of_now": "as of now",
        "more": "... {} more",
    },
    "zh": {
        "chosen": "选中",
        "runner_up": "次选",
        "none": "无处可放",
        "reason": "理由",
        "change": "最小改动",
        "obstacles": "障碍",
        "nothing": "无",
        "decision": "裁决",
        "basis": "依据",
        "as_decided": "裁决当时",
        "as_of_now": "当前状况",
        "more": "……另有 {} 个",
    },
}


def columns(made: Decision, lang: str) -> tuple[Column, ...]:
    """What is shown of a candidate; `*` marks the winner and `2` the runner-up."""
    return (Column("", lambda each: _mark(made, each)), *_columns(lang))


def exported_columns(lang: str) -> tuple[Column, ...]:
    """The same of candidates beside their decisions, which may be of several jobs."""
    return (
        Column("JOB", lambda pair: short(pair[0].name.partition("/decisions/")[0])),
        Column("CHOICE", lambda pair: _mark(*pair)),
        *(replace(each, value=partial(_of_candidate, each.value)) for each in _columns(lang)),
    )


def _of_candidate(value: Callable[[Candidate], Cell], pair: tuple[Decision, Candidate]) -> Cell:
    return value(pair[1])


def _mark(made: Decision, each: Candidate) -> str:
    return "*" if each.pool == made.chosen else "2" if each.pool == made.runner_up else ""


def _columns(lang: str) -> tuple[Column, ...]:
    return (
        Column("POOL", lambda each: short(each.pool)),
        Column("COST", lambda each: _money(each.cost_micros, there=each.HasField("cost_micros"))),
        Column("COMPUTE", lambda each: _money(each.compute_micros, there=each.HasField("compute_micros")), rank=3),
        Column("MOVING", lambda each: _money(each.transfer_micros, there=each.HasField("transfer_micros")), rank=3),
        Column("BYTES", lambda each: values.size(each.transfer_bytes) if each.transfer_bytes else "", rank=2),
        Column("PATH", lambda each: _path(each, lang), rank=2),
        Column("RATE", lambda each: values.rate(each.rate_bps) if each.rate_bps else "", rank=4),
        Column("LATENCY", lambda each: _duration(each.latency_us), rank=4),
        Column("TRANSFER", lambda each: _duration(each.transfer_ms * 1000), rank=4),
        Column("DONE IN", lambda each: _duration(each.finish_ms * 1000), rank=1),
        Column("OBSTACLE", lambda each: _obstacle(each, lang), fold=True),
    )


def decision(view: View, made: Decision, currency: str = "") -> list[str]:
    """The candidates' table, then the choice with its reason and runner-up, or the smallest change that would admit."""
    words = WORDS[view.lang]
    lines: Facts = []
    if made.chosen:
        lines.append((words["chosen"], _cost_of(made, made.chosen, currency)))
        lines.append((words["runner_up"], _cost_of(made, made.runner_up, currency) if made.runner_up else "-"))
    else:
        lines.append((words["chosen"], words["none"]))
    lines.append((words["reason"], made.reason))
    if made.candidate_count > len(made.candidates):
        lines.append((words["obstacles"], _counts(made)))
    if made.HasField("admitting_change"):
        lines.append((words["change"], _change(made, view.lang)))
    return [*candidates(view, made), "", *facts(view, lines)]


def candidate(view: View, told: CandidateExplanation) -> list[str]:
    """One candidate's row, then its decision and what it is of."""
    words = WORDS[view.lang]
    alone = Decision(candidates=[told.candidate], candidate_count=1)
    basis = words["as_decided"] if told.basis == CandidateExplanation.BASIS_DECISION else words["as_of_now"]
    lines: Facts = [(words["decision"], told.decision), (words["basis"], basis), (words["reason"], told.reason)]
    return [*candidates(view, alone), "", *facts(view, lines)]


def candidates(view: View, made: Decision) -> list[str]:
    """One row a candidate, best first."""
    lines = table(
        view, made.candidates, columns(made, view.lang), stands_out=lambda each: bool(each.pool == made.chosen)
    )
    more = made.candidate_count - len(made.candidates)
    return [*lines, view.words(WORDS[view.lang]["more"].format(more))] if more > 0 else lines


def job_facts(view: View, job: Job, counts: Sequence[TaskCount] = ()) -> Facts:
    """What is worth knowing of a job, in the order it is asked for."""
    stand = ", ".join(f"{each.tasks} {task_state_name(each.state)}" for each in counts)
    of_all = Text(f"{stand} of {job.task.count}", f"{job.task.count} 个中 {stand}").of(view.lang)
    history = " → ".join(f"{state_name(each.state)} {view.words(each.time)[11:]}" for each in job.history)
    return [
        ("job", job.name),
        ("name", job.display_name),
        ("state", state_name(job.state)),
        ("because", job.state_reason),
        ("tasks", of_all if stand else ""),
        ("account", job.account),
        ("labels", ", ".join(f"{key}={value}" for key, value in sorted(job.labels.items()))),
        ("queue", job.queue),
        ("priority", job.priority or ""),
        ("environment", ", ".join(f"{name}={value!r}" for name, value in sorted(job.environment.items()))),
        ("parameters", ", ".join(each.name for each in job.task.parameters)),
        ("attempt", job.attempt or ""),
        ("decision", job.decision),
        ("placement", job.placement),
        ("outputs", ", ".join(job.output_datasets[: len(job.outputs)])),
        ("log", log_dataset(job)),
        ("submitted", job.create_time),
        ("ended", job.end_time),
        ("history", history),
        ("trace", job.trace_id),
    ]


def state_name(state: Job.State.ValueType) -> str:
    """`RUNNING` and the like."""
    return enum_name(Job.State, state, "STATE_")


def task_state_name(state: TaskResult.State.ValueType) -> str:
    """`DONE` and the like."""
    return enum_name(TaskResult.State, state, "STATE_")


def _money(micros: int, *, there: bool) -> Cell:
    return values.money(micros) if there else ""


def _duration(microseconds: int) -> Cell:
    return values.duration_us(microseconds) if microseconds else ""


def _path(each: Candidate, lang: str) -> str:
    here = "here" if lang == "en" else "本地"
    return " → ".join(units.short(link) for link in each.path) or (here if not each.HasField("obstacle") else "")


def _obstacle(each: Candidate, lang: str) -> str:
    return obstacle_words(each.obstacle, lang) if each.HasField("obstacle") else ""


def _cost_of(made: Decision, pool: str, currency: str) -> str:
    for each in made.candidates:
        if each.pool == pool and each.HasField("cost_micros"):
            return f"{pool}  {units.money(each.cost_micros, currency)}"
    return pool


def _change(made: Decision, lang: str) -> str:
    change = made.admitting_change
    nothing = WORDS[lang]["nothing"]
    before = getattr(change, "from")  # a word of Python's own
    return f"{change.field}: {before or nothing} → {change.to or nothing} ({change.pool})"


def _counts(made: Decision) -> str:
    counts = made.obstacle_counts
    return ", ".join(f"{enum_name(ObstacleCode, each.code, 'OBSTACLE_CODE_')} {each.count}" for each in counts)
