"""What is wrong with a site, or keeps it from taking or ending work."""

from __future__ import annotations

from typing import Final

from suanmesh_kernel.texts import Explanation, Text

EXPLAINED: Final[dict[str, Explanation]] = {
    "AGENT_DEFECT": Explanation(
        "mesh",
        Text(
            "The agent raised what nobody foresaw over one placement or transfer; the rest of the site goes on.",
            "代理在处理某个落位或搬运时发生意料之外的故障；站点的其余工作继续。",
        ),
        Text(
            "Give the name of the placement to the site's operator: the agent's log has the traceback.",
            "把落位名告知站点的运营者：代理日志中有调用栈。",
        ),
        ("suan job show", "suan site health"),
    ),
    "DEVICE_FAULT": Explanation(
        "operator",
        Text(
            "A card of the site does not answer its library as it should: it is given to no task, the others are.",
            "站点有加速卡未能正常应答其驱动库：该卡不再分配给任务，其余照常。",
        ),
        Text(
            "The site's operator looks at the card that is named, in the driver's log for instance; it is given out "
            "again as soon as it answers.",
            "由站点的运营者检查所指的卡，例如查看驱动日志；恢复应答后会自动重新分配。",
        ),
        ("suan site health",),
    ),
    "DISK_FAULT": Explanation(
        "operator",
        Text(
            "The site's disk answered a write with an error, or something else lies where data is to come in.",
            "站点磁盘写入出错，或数据写入之处已有其他内容。",
        ),
        Text(
            "The site's operator checks the disk; the data is moved to another site with the job.",
            "由站点的运营者检查磁盘；数据会随作业搬到其他站点。",
        ),
        ("suan site health",),
    ),
    "DISK_FULL": Explanation(
        "operator",
        Text(
            "The site's disk has less than 64 MiB free, or no room for what is to come.",
            "站点磁盘的空闲不足 64 MiB，或放不下将要到达的内容。",
        ),
        Text(
            "The site's operator makes room; the agent says by itself when it is well again.",
            "由站点的运营者腾出空间；恢复后代理会自动上报。",
        ),
        ("suan site health",),
    ),
    "SITE_CLOCK_WRONG": Explanation(
        "operator",
        Text(
            "The agent's reports carry times that are more than 30 s from the registry's: the site's owner sees usage "
            "and hours of opening at wrong times, and a certificate that is issued there may not be valid yet.",
            "代理上报的时间与 registry 相差超过 30 秒：用量与开放时段会算在错误的时间，新签发的证书在那里可能尚未生效"
            "。",
        ),
        Text(
            "The site's operator lets the machine take its time from a time server; where all sites say so, it is the "
            "registry's machine that is wrong.",
            "由站点的运营者让机器与时间服务器同步；若所有站点都这样提示，则是 registry 所在机器的时钟有误。",
        ),
        ("suan site health",),
    ),
    "JOURNAL_FAULT": Explanation(
        "operator",
        Text(
            "The agent cannot write the file in which it keeps what it runs, and takes nothing new.",
            "代理无法写入记录其运行状态的文件，因此不接受新的工作。",
        ),
        Text(
            "The site's operator checks rights and disk of the agent's folder; the agent tries again every few "
            "seconds.",
            "由站点的运营者检查代理文件夹的权限和磁盘；代理每隔几秒重试。",
        ),
        ("suan site health",),
    ),
    "RUNTIME_MISSING": Explanation(
        "operator",
        Text(
            "The site's description offers a runtime that its agent does not find any more.",
            "站点的描述声称提供某个运行环境，而代理已找不到它。",
        ),
        Text(
            "Nothing for users: the job is placed elsewhere. The site's operator installs it again or restarts the "
            "agent.",
            "用户无需处理：作业会改派他处。站点的运营者应重新安装或重启代理。",
        ),
        ("suan pool search", "suan site health"),
    ),
    "SANDBOX_MISSING": Explanation(
        "operator",
        Text(
            "The site can put no walls around tasks, and runs only those of its own party.",
            "站点无法为任务建立隔离，只运行本方的任务。",
        ),
        Text(
            "Use another site; its operator installs bubblewrap or runs the agent as root: `suan doctor`.",
            "使用其他站点；其运营者应安装 bubblewrap 或以 root 运行代理：`suan doctor`。",
        ),
        ("suan doctor", "suan site health"),
    ),
    "STATE_LOST": Explanation(
        "operator",
        Text(
            "The agent came back without what it knew of the placement: its folder was emptied or put back from a "
            "copy.",
            "代理恢复后没有该落位的记录：其文件夹被清空或从备份恢复。",
        ),
        Text(
            "Nothing for users: the job is placed elsewhere. Keep an agent's folder on a disk that lasts.",
            "用户无需处理：作业会改派他处。代理的文件夹应放在可靠的磁盘上。",
        ),
        ("suan site health",),
    ),
}
