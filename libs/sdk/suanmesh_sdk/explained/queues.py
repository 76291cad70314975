"""Why a task waits at a site that has a scheduler of its own, or was ended by that."""

from __future__ import annotations

from typing import Final

from suanmesh_kernel.texts import Explanation, Text

EXPLAINED: Final[dict[str, Explanation]] = {
    "QUEUE_HELD": Explanation(
        "operator",
        Text(
            "The site's scheduler holds it back: its operator, a reservation, a licence, or a partition that is down.",
            "站点的调度系统搁置了该任务：由其管理员、预留、许可证或停用的分区造成。",
        ),
        Text(
            "Wait, or cancel and submit with another `--site`; the site's operator sees what Slurm says in `said`.",
            "等待，或取消后用 `--site` 另选站点；站点运营者可查看 `said` 中 Slurm 的原话。",
        ),
        ("suan job tasks", "suan job cancel"),
    ),
    "QUEUE_LIMIT": Explanation(
        "operator",
        Text(
            "As much runs at the site as a limit of its scheduler lets one user, account or partition have.",
            "该站点正在运行的任务已达到其调度系统对用户、账户或分区的限额。",
        ),
        Text(
            "Nothing: it runs when others end. The site's operator offers no more than the agent's account may have.",
            "无需处理：其他任务结束后即运行。站点运营者所报容量不应超过代理账户的限额。",
        ),
        ("suan job tasks",),
    ),
    "QUEUE_NODES": Explanation(
        "operator",
        Text(
            "The nodes that the task needs are down, drained or reserved for others.",
            "任务所需的节点已停机、排空或被他人预留。",
        ),
        Text(
            "Wait, or cancel and submit again elsewhere. The site's operator looks at `sinfo -R`.",
            "等待，或取消后改投他处。站点运营者可查看 `sinfo -R`。",
        ),
        ("suan job tasks", "suan job cancel"),
    ),
    "QUEUE_PRIORITY": Explanation(
        "mesh",
        Text(
            "Others are in the site's own queue before it: a site that runs Slurm has users of its own.",
            "站点自己的队列中有排在前面的任务：运行 Slurm 的站点另有自己的用户。",
        ),
        Text("Nothing: waiting is not billed.", "无需处理：排队等待不计费。"),
        ("suan job tasks",),
    ),
    "QUEUE_RESOURCES": Explanation(
        "mesh",
        Text("Enough of the site is offered, and is in use right now.", "站点提供的资源足够，但目前正被占用。"),
        Text("Nothing: waiting is not billed.", "无需处理：排队等待不计费。"),
        ("suan job tasks",),
    ),
    "QUEUE_SILENT": Explanation(
        "operator",
        Text(
            "The site's scheduler does not answer its agent, or has not said yet that it has the task.",
            "站点的调度系统没有应答其代理，或尚未确认收到该任务。",
        ),
        Text(
            "Nothing: it is handed over when it answers, once. The site's operator looks whether slurmctld runs.",
            "无需处理：应答后即交付，且只交付一次。站点运营者应检查 slurmctld 是否在运行。",
        ),
        ("suan job tasks", "suan site health"),
    ),
    "SECRETS_UNKEPT": Explanation(
        "operator",
        Text(
            "The job brings secrets, and the site's engine has no place for them that only the task can read.",
            "作业带有机密，而站点的引擎没有只有该任务可读的存放处。",
        ),
        Text(
            "Nothing: it is placed elsewhere. Such sites take jobs without secrets only.",
            "无需处理：作业会改派他处。此类站点只接收不带机密的作业。",
        ),
        ("suan job explain",),
    ),
    "SITE_STOPPED": Explanation(
        "operator",
        Text(
            "Somebody with rights over the site's own scheduler ended the task, or its node was taken down.",
            "有权管理站点自身调度系统的人终止了该任务，或其节点被停用。",
        ),
        Text(
            "Nothing while attempts are left: it runs again. Ask the site's operator where it comes again.",
            "只要还有尝试次数就无需处理：任务会重新运行。反复出现时请询问站点运营者。",
        ),
        ("suan job tasks",),
    ),
}
