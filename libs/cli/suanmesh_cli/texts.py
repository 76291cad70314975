"""What the command line itself says, in English and Chinese; what the mesh says comes with both."""

from __future__ import annotations

from typing import Final

from suanmesh_client.texts import OWN as CLIENT
from suanmesh_client.texts import refusal
from suanmesh_kernel.texts import Text

__all__ = ["DOMAIN", "OWN", "refusal"]

DOMAIN = "cli.suanmesh"
OWN: Final[dict[str, tuple[str, Text]]] = {
    **CLIENT,
    "CONTEXT_EXISTS": (
        "ALREADY_EXISTS",
        Text("a context of that name stands in the file", "文件中已有同名的上下文"),
    ),
    "CONTEXT_IN_USE": (
        "FAILED_PRECONDITION",
        Text("the file's current context cannot be removed", "文件的当前上下文不能删除"),
    ),
    "TOOL_MISSING": ("FAILED_PRECONDITION", Text("a package is missing on this machine", "本机缺少软件包")),
}
"""Reasons that no service gives: their code and what they mean, for the documentation too."""
