"""Why a job or a site stands where it stands, by what the mesh and its owners decide."""

from __future__ import annotations

from typing import Final

from suanmesh_kernel.texts import Explanation, Text

EXPLAINED: Final[dict[str, Explanation]] = {
    "BETTER_SCORE": Explanation(
        "mesh",
        Text(
            "The chosen pool has the better score, by `gap_micros`, than the runner-up.",
            "所选资源池的评分比次选优 `gap_micros` 微元。",
        ),
        Text(
            "Nothing: `suan job explain` shows the numbers of both.",
            "无需处理：`suan job explain` 显示两者的数值。",
        ),
        ("suan job explain",),
    ),
    "CHOSEN": Explanation(
        "mesh",
        Text(
            "A pool was found that can take the job, and it was the best of those that can.",
            "找到了能承接作业的资源池，且它是其中最优的。",
        ),
        Text("Nothing: the job goes on there.", "无需处理：作业将在那里运行。"),
        ("suan job show",),
    ),
    "DEADLINE_MISSED": Explanation(
        "caller",
        Text(
            "The job's own `deadline` came before it was done: while it waited, or while it ran, and then its tasks "
            "were stopped and what they used is charged.",
            "作业在完成之前已到其自定的 `deadline`：可能仍在等待，也可能正在运行；后者的任务被停止，已用部分照常计费。",
        ),
        Text(
            "Set a later deadline, or ask for less so that it begins earlier: `suan job explain` names the obstacles.",
            "设定更晚的截止时间，或减少需求以便更早开始：`suan job explain` 列出障碍。",
        ),
        ("suan job explain", "suan job rerun"),
    ),
    "DEFECT": Explanation(
        "mesh",
        Text(
            "The scheduler raised what nobody foresaw while it looked at this job; it looks again later.",
            "调度器处理该作业时发生了意料之外的故障；稍后会再次处理。",
        ),
        Text(
            "Give the job's name to whoever runs the node: the scheduler's log has the traceback.",
            "把作业名告知节点的运维方：调度器的日志中有调用栈。",
        ),
        ("suan job show", "suan trace show"),
    ),
    "FEWER_SETBACKS": Explanation(
        "mesh",
        Text(
            "The runner-up's site did not take this job before, or lost it, and comes after the others for that.",
            "次选的站点此前未接受或丢失过该作业，因此排在其他站点之后。",
        ),
        Text(
            "Nothing: the history of the job says what the site refused it for.",
            "无需处理：作业的历史写明该站点拒绝的原因。",
        ),
        ("suan job show",),
    ),
    "FIRST_BY_NAME": Explanation(
        "mesh",
        Text(
            "Two pools are equally good in everything; the one whose name comes first was taken, so that a repeat "
            "decides alike.",
            "两个资源池在各方面相当；按名称取前者，使重复裁决的结果相同。",
        ),
        Text("Nothing.", "无需处理。"),
        ("suan job explain",),
    ),
    "NEARER": Explanation(
        "mesh",
        Text(
            "Two pools cost the same; the one whose way to the data has less latency was taken.",
            "两个资源池花费相同；选了到数据时延较小的那个。",
        ),
        Text("Nothing.", "无需处理。"),
        ("suan job explain",),
    ),
    "NEVER_FITS": Explanation(
        "caller",
        Text(
            "The job asks for more than any pool has even when nothing runs there, or for what none offers.",
            "作业的需求超过任何资源池在空闲时的容量，或需要没有资源池提供的内容。",
        ),
        Text(
            "Change the job: `suan job explain` shows the smallest change that would admit it, `suan pool search` "
            "what there is.",
            "修改作业：`suan job explain` 显示能使其被接纳的最小改动，`suan pool search` 列出现有资源。",
        ),
        ("suan job explain", "suan pool search"),
    ),
    "NO_PLACE": Explanation(
        "caller",
        Text(
            "Every pool has an obstacle now; some of them pass by themselves, such as jobs that hold its cores.",
            "目前每个资源池都有障碍；有些会自行消除，例如占用其核的作业。",
        ),
        Text(
            "Wait, or change what `suan job explain` names as the smallest change that would admit the job.",
            "等待，或按 `suan job explain` 给出的最小改动修改作业。",
        ),
        ("suan job explain",),
    ),
    "NO_POOLS": Explanation(
        "operator",
        Text("No site has described a pool to this node yet.", "还没有站点向本节点上报资源池。"),
        Text(
            "Have a site join, or start its agent: `suan site list`.",
            "让站点加入，或启动其代理：`suan site list`。",
        ),
        ("suan site list", "suan pool search"),
    ),
    "ONLY_FIT": Explanation(
        "mesh",
        Text(
            "One pool can take the job, and all others have an obstacle.",
            "只有一个资源池能承接作业，其他都有障碍。",
        ),
        Text("Nothing.", "无需处理。"),
        ("suan job explain",),
    ),
    "REVISIONS_PAST": Explanation(
        "caller",
        Text(
            "The state that an old decision read is not kept, and has changed since, so that it cannot be judged "
            "again as it was.",
            "旧裁决所读的状态没有保留，此后已经变化，因此无法按当时的情形重新评判。",
        ),
        Text(
            "Read the stored decision, which has its numbers; what is told of the pool now holds for now.",
            "阅读存档的裁决，其中有当时的数值；此刻关于资源池的说明只适用于现在。",
        ),
        ("suan job explain",),
    ),
    "REVISIONS_STAND": Explanation(
        "caller",
        Text(
            "What the decision read stands unchanged, so that what is told of the pool holds for the decision, too.",
            "裁决所读的状态没有变化，因此关于资源池的说明也适用于该裁决。",
        ),
        Text("Nothing.", "无需处理。"),
        ("suan job explain",),
    ),
    "GIVEN_UP": Explanation(
        "mesh",
        Text(
            "Eight placements of the job came to nothing before a task began, each at a site that did not take it.",
            "作业的八次落位都在任务开始之前落空，各站点均未接受。",
        ),
        Text(
            "Read the job's history for what the sites said, mend that, and submit it again with `suan job rerun`.",
            "从作业的历史查看各站点的说明，排除原因后用 `suan job rerun` 重新提交。",
        ),
        ("suan job show", "suan job explain", "suan job rerun"),
    ),
    "CANCELLED": Explanation(
        "caller",
        Text(
            "Somebody asked for it with a cancel, the job it belonged to was cancelled, or the agent was told to "
            "stop its tasks.",
            "有人取消了它、它所属的作业被取消，或代理被要求停止其任务。",
        ),
        Text("Nothing; `suan job rerun` submits the job once more.", "无需处理；`suan job rerun` 可重新提交作业。"),
        ("suan job rerun",),
    ),
    "DONE": Explanation(
        "mesh",
        Text(
            "Every task ended with status 0, and all results have arrived.",
            "每个任务都以状态 0 结束，结果已全部送达。",
        ),
        Text("Fetch the results: `suan data get`.", "取回结果：`suan data get`。"),
        ("suan data get", "suan bill show"),
    ),
    "WAITS_FOR_PATH": Explanation(
        "mesh",
        Text(
            "The tasks are over; the way for their results is full, so that they wait for bandwidth, at most a day.",
            "任务已结束；送回结果的通路已满，正在等待带宽，最多等待一天。",
        ),
        Text(
            "Wait, or have the link that is named widened: `suan reservation list` shows who holds it.",
            "等待，或请人扩容所指的链路：`suan reservation list` 显示占用者。",
        ),
        ("suan reservation list", "suan path explain"),
    ),
    "WAITS_FOR_REPAIR": Explanation(
        "operator",
        Text(
            "A service that the job needs cannot go on before somebody acts: its disk is full, its records are "
            "damaged, or its clock is off.",
            "作业所需的服务须有人处理才能继续：磁盘已满、记录损坏或时钟不准。",
        ),
        Text(
            "The operator mends what the cause names; the job goes on by itself.",
            "由运营方排除所指的原因；作业会自动继续。",
        ),
        ("suan job show", "suan node check"),
    ),
    "SITE_LOST": Explanation(
        "mesh",
        Text(
            "The site has not been heard of for 30 s, unless configured: its machine, its agent or its line is down.",
            "站点已有 30 秒（默认）没有消息：其机器、代理或线路中断。",
        ),
        Text(
            "Nothing while attempts are left: the job is placed elsewhere. Set `max_attempts` above 1 for work "
            "that must not wait.",
            "只要还有尝试次数就无需处理：作业会改派他处。不能等待的工作应把 `max_attempts` 设为大于 1。",
        ),
        ("suan site health", "suan job show"),
    ),
    "NOT_ACCEPTED": Explanation(
        "mesh",
        Text(
            "The site's agent did not answer within 30 s whether it takes the placement.",
            "站点代理没有在 30 秒内答复是否接受落位。",
        ),
        Text(
            "Nothing: the job is placed elsewhere, and it costs no attempt. The site's operator looks into the "
            "agent's log.",
            "无需处理：作业会改派他处，且不计尝试次数。站点的运营者应查看代理日志。",
        ),
        ("suan site health",),
    ),
    "PLACEMENT_ENDED": Explanation(
        "mesh",
        Text(
            "A transfer was made for a placement, and that has ended before it was through.",
            "搬运是为某个落位而做的，而该落位在搬运完成之前已结束。",
        ),
        Text("Nothing: nobody needs the copy any more.", "无需处理：已没有人需要该副本。"),
        ("suan transfer show",),
    ),
    "SITE_DRAINING": Explanation(
        "operator",
        Text(
            "The site's owner drains it, and no task of the placement had begun.",
            "站点所有者正在排空站点，而该落位还没有任务开始。",
        ),
        Text(
            "Nothing: the job is placed elsewhere, and it costs no attempt.",
            "无需处理：作业会改派他处，且不计尝试次数。",
        ),
        ("suan site show",),
    ),
    "SITE_CORDONED": Explanation(
        "operator",
        Text(
            "The site's owner keeps new work away; what runs there goes on.",
            "站点所有者不接纳新作业；已在运行的继续。",
        ),
        Text(
            "Use another site, or wait: `suan site show` says what its owner noted.",
            "使用其他站点，或等待：`suan site show` 显示所有者的备注。",
        ),
        ("suan site show",),
    ),
    "CERTIFICATE_REVOKED": Explanation(
        "operator",
        Text(
            "The certificate of the site's agent was revoked: every service refuses it, the site is SUSPECT and "
            "then LOST.",
            "站点代理的证书已被吊销：各服务均拒绝，站点先为 SUSPECT，后为 LOST。",
        ),
        Text(
            "Where the site is to be let in again, the operator invites it with `suan site invite PARTY --site NAME`.",
            "若应再次接纳该站点，由运营方用 `suan site invite PARTY --site NAME` 邀请。",
        ),
        ("suan site invite", "suan site show"),
    ),
    "CERTIFICATE_EXPIRED": Explanation(
        "operator",
        Text(
            "The site's agent could not renew its certificate before it lapsed, as after a week without the "
            "network: it "
            "is SUSPECT, nothing new is placed there, and what it cannot report counts as lost like that of any site.",
            "站点代理未能在证书过期前续期，例如断网一周之后：站点处于 SUSPECT，不再接收新的工作，"
            "无法上报的任务与其他失联站点一样视为丢失。",
        ),
        Text(
            "The operator invites it again with `suan site invite PARTY --site NAME`; at the site `suan site "
            "join` spends "
            "the invite, and the agent that runs takes the new certificate within a second.",
            "由运营方用 `suan site invite PARTY --site NAME` 再次邀请；站点用 `suan site join` 使用邀请，"
            "运行中的代理会在一秒内采用新证书。",
        ),
        ("suan site invite", "suan site join", "suan site show"),
    ),
    "SITE_REMOVED": Explanation(
        "operator",
        Text("The site has left the node for good.", "站点已永久退出本节点。"),
        Text("Use another site.", "使用其他站点。"),
        ("suan site list",),
    ),
    "HOURS_CLOSED": Explanation(
        "operator",
        Text(
            "The site's owner takes work of others at certain hours only, and they begin again at `opens`.",
            "站点所有者只在规定时段接纳他方作业，下一时段从 `opens` 开始。",
        ),
        Text("Wait until then, or let the job go to other sites.", "等到该时间，或让作业去其他站点。"),
        ("suan site limits",),
    ),
    "KIND_REFUSED": Explanation(
        "operator",
        Text(
            "The site's owner refuses arrays, jobs with devices, or jobs that bring data; `kind` says which.",
            "站点所有者拒绝任务数组、使用器件或带数据的作业；`kind` 指明是哪一种。",
        ),
        Text("Use another site, or ask for the job without what is named.", "使用其他站点，或去掉作业中所指的部分。"),
        ("suan site limits",),
    ),
    "PARTY_NOT_ALLOWED": Explanation(
        "operator",
        Text(
            "The site's owner lets in the work of some parties only, and yours is not among them.",
            "站点所有者只接纳某些主体的作业，你的主体不在其中。",
        ),
        Text("Use another site, or ask the site's owner.", "使用其他站点，或与站点所有者商议。"),
        ("suan site limits", "suan site show"),
    ),
    "PARTY_SHARE": Explanation(
        "operator",
        Text(
            "Your party's work would hold more of the site at a time than its owner lets one party have.",
            "你的主体将同时占用站点的份额超过所有者允许的上限。",
        ),
        Text(
            "Wait until some of it has ended, run fewer tasks at a time, or use another site.",
            "等待部分作业结束、减少同时运行的任务，或使用其他站点。",
        ),
        ("suan site limits", "suan site jobs"),
    ),
}
"""By reason."""
