"""What the command line itself says, in English and Chinese; what the mesh says comes with both."""

from __future__ import annotations

from typing import Final, TypeVar

from suanmesh_kernel.refusals import Refusal
from suanmesh_kernel.texts import Text

R = TypeVar("R", bound=Refusal)

DOMAIN = "cli.suanmesh"
OWN: Final[dict[str, tuple[str, Text]]] = {
    "ACCOUNT_AMBIGUOUS": (
        "FAILED_PRECONDITION",
        Text("there are several accounts, or none, and none was named", "有多个账户或没有账户，而命令未指明用哪个"),
    ),
    "CONTEXT_EXISTS": (
        "ALREADY_EXISTS",
        Text("a context of that name stands in the file", "文件中已有同名的上下文"),
    ),
    "CONTEXT_IN_USE": (
        "FAILED_PRECONDITION",
        Text("the file's current context cannot be removed", "文件的当前上下文不能删除"),
    ),
    "CONTEXT_MISSING": (
        "FAILED_PRECONDITION",
        Text("it is not known which mesh to talk to, or as whom", "不知道要与哪个算网通信，或以何身份"),
    ),
    "STILL_RUNNING": (
        "DEADLINE_EXCEEDED",
        Text(
            "the command has not ended in the time given; what it began goes on",
            "命令在给定时间内尚未结束；它所开始的仍在继续",
        ),
    ),
    "TOOL_MISSING": ("FAILED_PRECONDITION", Text("a package is missing on this machine", "本机缺少软件包")),
}
"""Reasons that no service gives: their code and what they mean, for the documentation too."""


def refusal(kind: type[R], reason: str, text: Text, **facts: object) -> R:
    """A refusal that reads in both languages."""
    refused = kind(reason, text.en, domain="", retry_delay_s=0.0, **facts)
    refused.localized = text._asdict()
    return refused
