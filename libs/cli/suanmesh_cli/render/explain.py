"""A decision as a person reads it: every candidate with its numbers, the choice, and what would change it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from suanmesh.scheduler.v1.decision_pb2 import Candidate, CandidateExplanation, Decision
from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.reason_pb2 import ObstacleCode
from suanmesh_cli import units
from suanmesh_cli.render.states import because
from suanmesh_sdk.obstacles import obstacle_words

TITLES = {
    "en": (
        "",
        "POOL",
        "COST",
        "COMPUTE",
        "MOVING",
        "BYTES",
        "PATH",
        "RATE",
        "LATENCY",
        "TRANSFER",
        "DONE IN",
        "OBSTACLE",
    ),
    "zh": ("", "资源池", "总价", "计算", "搬运费", "字节", "通路", "速率", "时延", "搬运", "完成", "障碍"),
}
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
    },
}
RIGHT = frozenset((2, 3, 4, 5, 7, 8, 9, 10))


def decision(made: Decision, lang: str = "en", currency: str = "") -> RenderableType:
    """The candidates' table, then the choice with its reason and runner-up, or the smallest change that would admit."""
    words = WORDS[lang]
    lines: list[tuple[str, str]] = []
    if made.chosen:
        lines.append((words["chosen"], _cost_of(made, made.chosen, currency)))
        lines.append((words["runner_up"], _cost_of(made, made.runner_up, currency) if made.runner_up else "-"))
    else:
        lines.append((words["chosen"], words["none"]))
    lines.append((words["reason"], because(made.reason, lang)))
    if made.candidate_count > len(made.candidates):
        lines.append((words["obstacles"], _counts(made)))
    if made.HasField("admitting_change"):
        lines.append((words["change"], _change(made, lang)))
    return Group(candidates(made, lang), Text(""), pairs(lines))


def candidate(told: CandidateExplanation, lang: str = "en") -> RenderableType:
    """One candidate's row, then its decision and what it is of."""
    words = WORDS[lang]
    alone = Decision(candidates=[told.candidate], candidate_count=1)
    basis = words["as_decided"] if told.basis == CandidateExplanation.BASIS_DECISION else words["as_of_now"]
    lines = [(words["decision"], told.decision), (words["basis"], basis), (words["reason"], because(told.reason, lang))]
    return Group(candidates(alone, lang), Text(""), pairs(lines))


def candidates(made: Decision, lang: str = "en") -> Table:
    """One row a candidate, best first; `*` marks the winner and `2` the runner-up."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for index, title in enumerate(TITLES[lang]):
        table.add_column(title, justify="right" if index in RIGHT else "left", no_wrap=index != len(TITLES[lang]) - 1)
    for each in made.candidates:
        mark = "*" if each.pool == made.chosen else "2" if each.pool == made.runner_up else ""
        table.add_row(mark, *(Text(cell) for cell in _cells(each, lang)), style="bold" if mark == "*" else "")
    if made.candidate_count > len(made.candidates):
        table.add_row("", f"... {made.candidate_count - len(made.candidates)} more")
    return table


def job_facts(job: Job, lang: str = "en") -> list[tuple[str, str]]:
    """What is worth knowing of a job, in the order it is asked for."""
    history = " → ".join(f"{state_name(change.state)} {units.moment(change.time)[11:]}" for change in job.history)
    return [
        ("job", job.name),
        ("name", job.display_name),
        ("state", state_name(job.state)),
        ("because", because(job.state_reason, lang)),
        ("account", job.account),
        ("labels", ", ".join(f"{key}={value}" for key, value in sorted(job.labels.items()))),
        ("queue", job.queue),
        ("priority", str(job.priority or "")),
        ("environment", ", ".join(f"{name}={value!r}" for name, value in sorted(job.environment.items()))),
        ("parameters", ", ".join(each.name for each in job.task.parameters)),
        ("attempt", str(job.attempt or "")),
        ("decision", job.decision),
        ("placement", job.placement),
        ("outputs", ", ".join(job.output_datasets)),
        ("submitted", units.moment(job.create_time)),
        ("ended", units.moment(job.end_time)),
        ("history", history),
        ("trace", job.trace_id),
    ]


def state_name(state: Job.State.ValueType) -> str:
    """`RUNNING` and the like."""
    return Job.State.Name(state).removeprefix("STATE_")


def pairs(lines: Iterable[tuple[str, str]]) -> Table:
    """Names and values, one a line."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in lines:
        if value:
            table.add_row(name, Text(value))
    return table


def _cells(each: Candidate, lang: str) -> list[str]:
    here = "here" if lang == "en" else "本地"
    path = " → ".join(units.short(link) for link in each.path) or (here if not each.HasField("obstacle") else "")
    return [
        each.pool.removeprefix("sites/").replace("/pools/", "/"),
        units.money(each.cost_micros) if each.HasField("cost_micros") else "",
        units.money(each.compute_micros) if each.HasField("compute_micros") else "",
        units.money(each.transfer_micros) if each.HasField("transfer_micros") else "",
        units.size(each.transfer_bytes) if each.transfer_bytes else "",
        path,
        units.rate(each.rate_bps) if each.rate_bps else "",
        units.duration_us(each.latency_us) if each.latency_us else "",
        units.duration_us(each.transfer_ms * 1000) if each.transfer_ms else "",
        units.duration_us(each.finish_ms * 1000) if each.finish_ms else "",
        obstacle_words(each.obstacle, lang) if each.HasField("obstacle") else "",
    ]


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
    return ", ".join(f"{ObstacleCode.Name(each.code).removeprefix('OBSTACLE_CODE_')} {each.count}" for each in counts)
