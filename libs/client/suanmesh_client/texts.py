"""What a program that uses the mesh is told by itself, in English and Chinese; what the mesh says comes with both."""

from __future__ import annotations

from typing import Final, TypeVar

from suanmesh_kernel.refusals import Refusal
from suanmesh_kernel.texts import Text

R = TypeVar("R", bound=Refusal)

OWN: Final[dict[str, tuple[str, Text]]] = {
    "ACCOUNT_AMBIGUOUS": (
        "FAILED_PRECONDITION",
        Text("there are several accounts, or none, and none was named", "有多个账户或没有账户，而没有指明用哪个"),
    ),
    "CONTEXT_MISSING": (
        "FAILED_PRECONDITION",
        Text("it is not known which mesh to talk to, or as whom", "不知道要与哪个算网通信，或以何身份"),
    ),
    "JOB_NOT_DONE": (
        "FAILED_PRECONDITION",
        Text("the job has ended, and not well", "作业已结束，但未成功"),
    ),
    "OUTPUT_UNKNOWN": (
        "NOT_FOUND",
        Text("the job has delivered no output of that name", "作业没有交付该名称的输出"),
    ),
    "STILL_RUNNING": (
        "DEADLINE_EXCEEDED",
        Text("it has not ended in the time given; what was begun goes on", "在给定时间内尚未结束；已开始的仍在继续"),
    ),
}
"""Reasons that no service gives: their code and what they mean, for the documentation too."""


def refusal(kind: type[R], reason: str, text: Text, **facts: object) -> R:
    """A refusal that reads in both languages."""
    refused = kind(reason, text.en, domain="", retry_delay_s=0.0, **facts)
    refused.localized = text._asdict()
    return refused
