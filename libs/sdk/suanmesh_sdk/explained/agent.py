"""What a site's agent refuses with."""

from __future__ import annotations

from typing import Final

from suanmesh_kernel.texts import Explanation, Text

EXPLAINED: Final[dict[str, Explanation]] = {
    "TICKET_INVALID": Explanation(
        "caller",
        Text(
            "The ticket is not signed by the transport of this node, is for another site or another reader, or has "
            "expired.",
            "票据不是本节点的 transport 签名的、是给另一站点或另一读者的，或已过期。",
        ),
        Text(
            "Repeat the whole command: it asks for a new ticket. Where it comes back at once, check the clocks of "
            "both machines.",
            "重复整个命令：会申请新的票据。若立即再次出现，检查两台机器的时钟。",
        ),
        ("suan data get", "suan data put"),
    ),
    "REPLICA_UNKNOWN": Explanation(
        "caller",
        Text(
            "The site that the ticket names does not have the dataset any more, such as after its disk was replaced.",
            "票据所指的站点已没有该数据集，例如磁盘已更换。",
        ),
        Text(
            "Repeat the command: another replica is chosen where there is one; else bring the data again.",
            "重复命令：若有其他副本会改用它；否则重新放入数据。",
        ),
        ("suan data show", "suan data put"),
    ),
    "RANGE_INVALID": Explanation(
        "caller",
        Text(
            "A range lies outside of its file, or a field of a call to the agent is out of its range; `field` "
            "names it.",
            "范围超出文件，或对代理的调用中有字段超出范围；`field` 是字段名。",
        ),
        Text(
            "Ask for ranges of the manifest that the site gave; the SDK does so by itself.",
            "按站点给出的清单请求范围；SDK 会自动处理。",
        ),
    ),
    "FILE_UNKNOWN": Explanation(
        "caller",
        Text("The dataset at this site has no file of that number.", "该站点的数据集中没有该编号的文件。"),
        Text("Take the numbers from the manifest of this very dataset.", "从该数据集自身的清单取得编号。"),
        ("suan data show",),
    ),
    "LOG_UNKNOWN": Explanation(
        "caller",
        Text(
            "The site has no log of that task: it has not started, or its folder was cleared after the results had "
            "been delivered.",
            "站点没有该任务的日志：任务尚未开始，或结果交付后其文件夹已清理。",
        ),
        Text(
            "See with `suan job tasks` whether it has begun; of a job that is done the log lies with its results.",
            "用 `suan job tasks` 查看任务是否已开始；已完成作业的日志与结果在一起。",
        ),
        ("suan job tasks", "suan job logs"),
    ),
    "FOLDER_INVALID": Explanation(
        "operator",
        Text(
            "The folder given to `suanmesh-agent publish` is not there, or holds a pipe, a socket or a link that "
            "leads out of it.",
            "交给 `suanmesh-agent publish` 的文件夹不存在，或含有管道、套接字或指向文件夹外的链接。",
        ),
        Text(
            "Remove what is no regular file, folder or inner link from the folder, then publish again.",
            "从文件夹中移除既非普通文件、文件夹也非内部链接的内容，再重新发布。",
        ),
    ),
    "MANIFEST_INVALID": Explanation(
        "caller",
        Text(
            "The upload began with something that is no manifest, with another one than the ticket is for, or "
            "broke off before its end.",
            "上传的开头不是清单、不是票据所指的清单，或在结束之前中断。",
        ),
        Text(
            "Repeat `suan data put`: it goes on where it was. A folder that changes while it is sent cannot be put.",
            "重复 `suan data put`：会从中断处继续。上传期间不断变化的文件夹无法放入。",
        ),
        ("suan data put",),
    ),
    "UPLOADS_TOO_MANY": Explanation(
        "caller",
        Text(
            "The party has four uploads under way at this site, or all parties together sixteen.",
            "该主体在此站点有 4 个进行中的上传，或全部主体合计 16 个。",
        ),
        Text(
            "Wait until one has ended, or name another site with `--site`.",
            "等待其中一个结束，或用 `--site` 指定另一站点。",
        ),
        ("suan data put",),
    ),
    "ROOM_MISSING": Explanation(
        "caller",
        Text(
            "The site's disk has no room for the `missing_bytes` that are not there yet.",
            "站点磁盘放不下尚缺的 `missing_bytes` 字节。",
        ),
        Text(
            "Name another site with `--site`, or leave it out so that one with room is chosen.",
            "用 `--site` 指定另一站点，或省略它，由算网选择有空间的站点。",
        ),
        ("suan data put", "suan site health"),
    ),
    "UPLOADS_REFUSED": Explanation(
        "caller",
        Text(
            "The owner of the site takes no data that others bring, or none of your party.",
            "站点所有者不接收他人带来的数据，或不接收你的主体的数据。",
        ),
        Text(
            "Name another site with `--site`, or leave it out so that one is chosen that takes it.",
            "用 `--site` 指定另一站点，或省略它，由算网选择接收的站点。",
        ),
        ("suan site limits", "suan data put"),
    ),
    "UPLOADS_TOO_LARGE": Explanation(
        "caller",
        Text(
            "What your party, or all together, have brought to the site has reached `max_bytes`, its owner's bound.",
            "你的主体或所有主体带到该站点的数据已达其所有者设定的上限 `max_bytes`。",
        ),
        Text(
            "Remove what is no longer needed there with `suan data rm`, or leave `--site` out.",
            "用 `suan data rm` 删除那里不再需要的数据，或省略 `--site`。",
        ),
        ("suan site limits", "suan data rm"),
    ),
    "UPLOAD_DAMAGED": Explanation(
        "operator",
        Text(
            "What was read back from the site's disk differed from what was sent, three times in a row: the disk "
            "is at fault.",
            "从站点磁盘读回的内容连续三次与所发的不符：磁盘有故障。",
        ),
        Text(
            "Put the data at another site, and have the disk of this one checked.",
            "把数据放到另一站点，并检查此站点的磁盘。",
        ),
        ("suan data put", "suan site health"),
    ),
}
"""By reason."""
