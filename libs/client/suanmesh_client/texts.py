"""What a program that uses the mesh is told by itself, in English and Chinese; what the mesh says comes with both."""

from __future__ import annotations

from typing import Final, TypeVar

from suanmesh_kernel.refusals import Refusal
from suanmesh_kernel.texts import Explanation, Text

R = TypeVar("R", bound=Refusal)

OWN: Final[dict[str, tuple[str, Text]]] = {
    "ACCOUNT_AMBIGUOUS": (
        "FAILED_PRECONDITION",
        Text("there are several accounts, or none, and none was named", "有多个账户或没有账户，而没有指明用哪个"),
    ),
    "CONTEXT_INVALID": (
        "INVALID_ARGUMENT",
        Text("a context, or the file that has it, cannot be used as it is", "上下文或其所在文件无法照此使用"),
    ),
    "CONTEXT_MISSING": (
        "FAILED_PRECONDITION",
        Text("it is not known which mesh to talk to, or as whom", "不知道要与哪个算网通信，或以何身份"),
    ),
    "FILES_DIFFER": (
        "FAILED_PRECONDITION",
        Text("the folder has other content under names of the dataset", "文件夹中有与数据集同名而内容不同的文件"),
    ),
    "JOB_NOT_DONE": (
        "FAILED_PRECONDITION",
        Text("the job has ended, and not well", "作业已结束，但未成功"),
    ),
    "MESH_UNREACHABLE": (
        "UNAVAILABLE",
        Text(
            "the mesh did not answer, so that it is not known how far it is; what was begun goes on",
            "算网没有应答，进展不得而知；已开始的仍在继续",
        ),
    ),
    "NAMES_COLLIDE": (
        "FAILED_PRECONDITION",
        Text(
            "the folder's file system takes names of the dataset for one another",
            "文件夹所在的文件系统把数据集中的不同名称视为同一个",
        ),
    ),
    "OUTPUT_UNKNOWN": (
        "NOT_FOUND",
        Text("the job has delivered no output of that name", "作业没有交付该名称的输出"),
    ),
    "SOURCE_INVALID": (
        "INVALID_ARGUMENT",
        Text("the folder, or file, cannot be a dataset", "该文件夹或文件不能成为数据集"),
    ),
    "STILL_RUNNING": (
        "DEADLINE_EXCEEDED",
        Text("it has not ended in the time given; what was begun goes on", "在给定时间内尚未结束；已开始的仍在继续"),
    ),
}
"""Reasons that no service gives: their code and what they mean, for the documentation too."""
EXPLAINED: Final[dict[str, Explanation]] = {
    "ACCOUNT_AMBIGUOUS": Explanation(
        "caller",
        Text(
            "Neither the call nor the context names an account, and the party has several, or none.",
            "调用和上下文都没有指明账户，而该主体有多个账户或没有账户。",
        ),
        Text(
            "Name one with `--account`, or write `account` into the context.",
            "用 `--account` 指定，或在上下文中写入 `account`。",
        ),
        ("suan account list", "suan ctx add"),
    ),
    "CONTEXT_INVALID": Explanation(
        "caller",
        Text(
            "The file of contexts cannot be read, or a value in it is not what it should be: `field` says which.",
            "上下文文件无法读取，或其中的某个值不合要求：见 `field`。",
        ),
        Text(
            "Correct the file: `suan ctx show` says where each value comes from, `suan ctx add` and `suan login` "
            "write a context anew.",
            "改正该文件：`suan ctx show` 显示各值的来源，`suan ctx add` 和 `suan login` 可重新写入上下文。",
        ),
        ("suan ctx show", "suan ctx add", "suan login"),
    ),
    "CONTEXT_MISSING": Explanation(
        "caller",
        Text(
            "No context of that name is known, none is current, or the one that is lacks gateway, node or "
            "certificate; `field` says which.",
            "不认识该名称的上下文、没有当前上下文，或其缺少网关、节点或证书；`field` 指明缺少什么。",
        ),
        Text(
            "`suan ctx list` shows what is known; `suan ctx add` writes one, and `suan dev` makes some by itself.",
            "`suan ctx list` 显示已知的上下文；`suan ctx add` 可新增，`suan dev` 会自动生成几个。",
        ),
        ("suan ctx list", "suan ctx add", "suan dev"),
    ),
    "FILES_DIFFER": Explanation(
        "caller",
        Text(
            "A dataset was to be fetched into a folder that has files under its names with other content, or something "
            "else where it has folders. Nothing was touched.",
            "要取回的数据集与目标文件夹中的文件同名而内容不同，或在其文件夹处有别的内容。未改动任何内容。",
        ),
        Text(
            "Fetch it into an empty folder, replace what lies there with `--force`, or keep it with `--skip-existing`.",
            "取到空文件夹中；或用 `--force` 覆盖，用 `--skip-existing` 保留已有文件。",
        ),
        ("suan data get",),
    ),
    "JOB_NOT_DONE": Explanation(
        "caller",
        Text(
            "A program waited with `check=True`, and the job ended otherwise than DONE, as `state` says.",
            "程序以 `check=True` 等待，而作业没有以 DONE 结束，见 `state`。",
        ),
        Text(
            "Ask `job.reason()` why, read the log, and submit it again with `suan job rerun` once it is mended.",
            "用 `job.reason()` 查询原因并阅读日志，修正后用 `suan job rerun` 重新提交。",
        ),
        ("suan job show", "suan job logs", "suan job rerun"),
    ),
    "MESH_UNREACHABLE": Explanation(
        "mesh",
        Text(
            "The time given is over, and the mesh does not answer: its gateway or the service that is asked has "
            "stopped or stands still, or the line to it is cut. It is not known how far what is waited for is; it goes "
            "on.",
            "给出的时间已到，而算网没有应答：网关或被询问的服务已停止或僵住，或线路中断。所等待的进展不得而知；它仍在继续。",
        ),
        Text(
            "See with `suan doctor` whether the gateway is reached, and come back with the command that was told.",
            "用 `suan doctor` 查看能否连到网关，再按提示的命令回来。",
        ),
        ("suan doctor", "suan job wait"),
    ),
    "NAMES_COLLIDE": Explanation(
        "caller",
        Text(
            "The dataset has names that differ only by case, or by how their letters are composed, and the folder's "
            "file system could hold but one of each. Nothing was touched.",
            "数据集中有仅大小写不同或仅字符组合方式不同的名称，而目标文件夹所在的文件系统只能容纳其中一个。未改动任何内容。",
        ),
        Text(
            "Fetch it to a file system that tells them apart, or the first of each with `--skip-existing`.",
            "取到能区分它们的文件系统，或用 `--skip-existing` 只取每组中的第一个。",
        ),
        ("suan data get",),
    ),
    "OUTPUT_UNKNOWN": Explanation(
        "caller",
        Text("The job has no output of that name, or has not delivered it yet.", "作业没有该名称的输出，或尚未交付。"),
        Text("See with `suan job show` which outputs it has delivered.", "用 `suan job show` 查看已交付的输出。"),
        ("suan job show", "suan data list"),
    ),
    "SOURCE_INVALID": Explanation(
        "caller",
        Text(
            "It has more than 100,000 files, links and empty folders, or 200,000 entries in all; it cannot be opened; "
            "it is a pipe or a device; or its files change each time they are read.",
            "其中的文件、链接和空文件夹超过 100,000 个，或条目总数超过 200,000；或无法打开；或是管道、设备；"
            "或其文件每次读取时都在变化。",
        ),
        Text(
            "Pack many small files into archives, or put parts of it; wait for what still writes to it.",
            "把大量小文件打包成归档，或分批放入；等待仍在写入它的程序结束。",
        ),
        ("suan data put",),
    ),
    "STILL_RUNNING": Explanation(
        "caller",
        Text(
            "The time given with `--timeout` is over, and what is waited for has not ended; it goes on.",
            "`--timeout` 给出的时间已到，而所等待的尚未结束；它仍在继续。",
        ),
        Text(
            "Give it more time with --timeout, or come back with the command that was told.",
            "用 --timeout 给更多时间，或按提示的命令稍后再看。",
        ),
        ("suan job wait", "suan transfer watch"),
    ),
}
"""Cause and remedy of each."""


def refusal(kind: type[R], reason: str, text: Text, **facts: object) -> R:
    """A refusal that reads in both languages."""
    refused = kind(reason, text.en, domain="", retry_delay_s=0.0, **facts)
    refused.localized = text._asdict()
    return refused
