"""What the command line itself says, in English and Chinese; what the mesh says comes with both."""

from __future__ import annotations

from typing import Final

from suanmesh_client.texts import EXPLAINED as CLIENT_EXPLAINED
from suanmesh_client.texts import OWN as CLIENT
from suanmesh_client.texts import refusal
from suanmesh_kernel.texts import Explanation, Text

__all__ = ["DOMAIN", "EXPLAINED", "OWN", "refusal"]

DOMAIN = "cli.suanmesh"
OWN: Final[dict[str, tuple[str, Text]]] = {
    **CLIENT,
    "CONTEXT_EXISTS": (
        "ALREADY_EXISTS",
        Text("a context of that name stands in the file", "文件中已有同名的上下文"),
    ),
    "CONTEXT_FILE_SHUT": (
        "FAILED_PRECONDITION",
        Text("the file of contexts cannot be written", "上下文文件无法写入"),
    ),
    "CONTEXT_IN_USE": (
        "FAILED_PRECONDITION",
        Text("the file's current context cannot be removed", "文件的当前上下文不能删除"),
    ),
}
"""Reasons that no service gives: their code and what they mean, for the documentation too."""
EXPLAINED: Final[dict[str, Explanation]] = {
    **CLIENT_EXPLAINED,
    "CONTEXT_EXISTS": Explanation(
        "caller",
        Text(
            "The file of your own contexts has one of that name, which is not overwritten.",
            "你的上下文文件中已有该名称，不会被覆盖。",
        ),
        Text(
            "Remove it first with `suan ctx rm`, or choose another name.",
            "先用 `suan ctx rm` 删除它，或换一个名称。",
        ),
        ("suan ctx list", "suan ctx rm"),
    ),
    "CONTEXT_FILE_SHUT": Explanation(
        "caller",
        Text(
            "The file, or its folder, is not there or not yours to write, as where a home folder is read-only.",
            "该文件或其目录不存在，或无权写入，例如主目录为只读。",
        ),
        Text(
            "Name a file that you may write in `SUANMESH_CONFIG`, or its folder in `XDG_CONFIG_HOME`.",
            "用 `SUANMESH_CONFIG` 指定一个可写的文件，或用 `XDG_CONFIG_HOME` 指定其所在目录。",
        ),
        ("suan ctx add", "suan ctx use", "suan login"),
    ),
    "CONTEXT_IN_USE": Explanation(
        "caller",
        Text(
            "The context is the current one of its file; without it no command would know where to turn.",
            "该上下文是文件的当前上下文；删除后命令将不知道与谁通信。",
        ),
        Text("Use another one first: `suan ctx use`.", "先换用另一个：`suan ctx use`。"),
        ("suan ctx use", "suan ctx rm"),
    ),
}
"""Cause and remedy of each."""
