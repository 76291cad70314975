"""What the scheduler refuses with."""

from __future__ import annotations

from typing import Final

from suanmesh_kernel.texts import Explanation, Text

EXPLAINED: Final[dict[str, Explanation]] = {
    "FIELD_INVALID": Explanation(
        "caller",
        Text(
            "A field of the job is missing, out of its range, or does not fit another one; `field` names it.",
            "作业的字段缺失、超出范围，或与另一字段不相容；`field` 是字段名。",
        ),
        Text(
            "Correct the field that is named; the job-file reference and `suan job schema` say what it may hold.",
            "改正所指的字段；取值见作业文件参考和 `suan job schema`。",
        ),
        ("suan job schema", "suan job submit"),
    ),
    "JOB_UNKNOWN": Explanation(
        "caller",
        Text(
            "No job of that name was submitted here, or it is another party's, which is answered the same way.",
            "没有提交过该名称的作业，或它属于另一主体（两者的答复相同）。",
        ),
        Text(
            "Correct the name: `suan job list` shows your jobs, `--context operator` everybody's.",
            "改正名称：`suan job list` 列出你的作业，`--context operator` 列出全部。",
        ),
        ("suan job list",),
    ),
    "JOB_EXISTS": Explanation(
        "caller",
        Text(
            "A job of that name is there already; names are kept for good, also of jobs that have ended.",
            "该名称的作业已经存在；名称永久保留，已结束的作业也不例外。",
        ),
        Text(
            "Choose another `--id`, or leave it out and let the mesh give one.",
            "换一个 `--id`，或省略它由算网命名。",
        ),
        ("suan job show", "suan job rerun"),
    ),
    "ACCOUNT_UNKNOWN": Explanation(
        "caller",
        Text(
            "The account that the job names, or that the context gives it, does not exist.",
            "作业或上下文所指的账户不存在。",
        ),
        Text(
            "Correct `account` in the job file or the context: `suan account list` shows yours.",
            "改正作业文件或上下文中的 `account`：`suan account list` 列出你的账户。",
        ),
        ("suan account list", "suan ctx show"),
    ),
    "DATASET_UNKNOWN": Explanation(
        "caller",
        Text(
            "An input names a dataset that is not there, or that is another party's, which is answered the same way.",
            "输入所指的数据集不存在，或属于另一主体（两者的答复相同）。",
        ),
        Text(
            "Correct the name of the input, or bring the data first: `suan data list` shows yours.",
            "改正输入的名称，或先放入数据：`suan data list` 列出你的数据集。",
        ),
        ("suan data list", "suan data put"),
    ),
    "NOT_OWNER": Explanation(
        "caller",
        Text(
            "The account is not of the caller's party, or an agent speaks of a placement that is not at its site.",
            "账户不属于调用者的主体，或代理所报的落位不在其站点。",
        ),
        Text(
            "Name an account of your own party, or call as a user of the party whose account it is.",
            "使用本方主体的账户，或以账户所属主体的用户身份调用。",
        ),
        ("suan account list", "suan ctx list"),
    ),
    "JOB_ENDED": Explanation(
        "caller",
        Text(
            "The job came to an end before it could be cancelled, as `state` says.",
            "取消之前作业已经结束，见 `state`。",
        ),
        Text(
            "Nothing is left to stop; `suan job rerun` submits what it asked for once more.",
            "已没有可停止的内容；`suan job rerun` 可按原要求重新提交。",
        ),
        ("suan job show", "suan job rerun"),
    ),
    "PLACEMENT_UNKNOWN": Explanation(
        "caller",
        Text(
            "No placement of that name is there, or it is another party's or another site's.",
            "没有该名称的落位，或它属于另一主体或另一站点。",
        ),
        Text(
            "Take the name from the job: `suan job show` has its placement, `suan site jobs` those of a site.",
            "从作业取得名称：`suan job show` 显示其落位，`suan site jobs` 列出站点的落位。",
        ),
        ("suan job show", "suan site jobs"),
    ),
    "TRANSITION_NOT_ALLOWED": Explanation(
        "agent",
        Text(
            "An agent reports a step that the placement cannot take from where it stands, such as after it was "
            "cancelled or given up.",
            "代理所报的步骤与落位的当前状态不符，例如落位已被取消或放弃。",
        ),
        Text(
            "Nothing for users; the agent puts the placement down by itself. Where it lasts, its log names the "
            "placement.",
            "用户无需处理；代理会自行放下该落位。若持续出现，见其日志中的落位名。",
        ),
        ("suan site jobs", "suan site health"),
    ),
    "ETAG_STALE": Explanation(
        "caller",
        Text(
            "The job has changed since the `--etag` that came with the cancel was read.",
            "取消时携带的 `--etag` 读取之后，作业已经变化。",
        ),
        Text(
            "Look at the job again, and cancel with the new etag or without one.",
            "重新查看作业，用新的 etag 取消，或不带 etag。",
        ),
        ("suan job show", "suan job cancel"),
    ),
    "DECISION_UNKNOWN": Explanation(
        "caller",
        Text(
            "The job has no decision of that number: it waits for its first one, or the number is wrong.",
            "作业没有该编号的裁决：它还在等待首次裁决，或编号有误。",
        ),
        Text(
            "Ask for the newest, `jobs/JOB/decisions/-`, as `suan job explain` does; wait a moment where there is "
            "none yet.",
            "查询最新的 `jobs/作业/decisions/-`，`suan job explain` 即如此；尚无裁决时稍等片刻。",
        ),
        ("suan job explain",),
    ),
    "TASK_UNKNOWN": Explanation(
        "caller",
        Text(
            "The job has fewer tasks than the index that was given; they are counted from 0.",
            "所给序号超出作业的任务个数；任务从 0 数起。",
        ),
        Text("Give an index that `suan job tasks` lists.", "请给出 `suan job tasks` 列出的序号。"),
        ("suan job tasks",),
    ),
    "LOG_NOT_READY": Explanation(
        "caller",
        Text(
            "No task of the job has been given a place yet, so that there is nothing that writes a log.",
            "作业还没有任务得到落位，因此没有日志。",
        ),
        Text(
            "Wait until a task has started: `suan job show`, and `suan job explain` for why it waits.",
            "等任务开始后再试：见 `suan job show`；等待的原因见 `suan job explain`。",
        ),
        ("suan job show", "suan job explain"),
    ),
    "SITE_UNKNOWN": Explanation(
        "caller",
        Text(
            "The job names a site that has not joined this node, to deliver to, or to run at or not: `field` says.",
            "作业所写的站点（交付、运行或排除）未加入本节点；`field` 指明写在何处。",
        ),
        Text(
            "Correct the name; results without `deliver_to` stay at the site that made them.",
            "改正名称；不写 `deliver_to` 的结果留在产生它的站点。",
        ),
        ("suan site list",),
    ),
    "JOBS_TOO_MANY": Explanation(
        "caller",
        Text(
            "The party has as many jobs that have not ended as it may have, 10,000 unless configured.",
            "主体尚未结束的作业已达上限（默认 10000）。",
        ),
        Text(
            "Wait until some have ended, or cancel some; an array of tasks counts as one job.",
            "等待部分作业结束，或取消部分作业；一个任务数组只算一个作业。",
        ),
        ("suan job list", "suan job cancel"),
    ),
    "QUEUE_FULL": Explanation(
        "caller",
        Text(
            "More submissions wait than can be worked on in the time that the call has; nothing was begun.",
            "等待处理的提交过多，在调用的期限内无法完成；没有开始任何工作。",
        ),
        Text(
            "Repeat after the time that is told, with the same request id, or give the call more time with "
            "`--timeout`.",
            "在所示时间之后用同一请求标识重试，或用 `--timeout` 给更多时间。",
        ),
        ("suan job submit",),
    ),
    "RATE_EXCEEDED": Explanation(
        "caller",
        Text(
            "The party submits, or cancels, more than 100 jobs a second for longer than a burst of 1000 lasts; "
            "`of` says which.",
            "主体提交或取消作业的速度超过每秒 100 个，且已用完 1000 个的突发量；`of` 指明是哪一种。",
        ),
        Text(
            "Repeat after the time that is told; make one job with an `array` of many small ones.",
            "在所示时间之后重试；把许多小作业合成一个带 `array` 的作业。",
        ),
        ("suan job submit",),
    ),
    "POOL_UNKNOWN": Explanation(
        "caller",
        Text(
            "`job explain --pool` names a pool that does not exist, so that it never was a candidate.",
            "`job explain --pool` 所指的资源池不存在，因此不是候选。",
        ),
        Text(
            "Name the pool in full, `sites/SITE/pools/POOL`, or `SITE/POOL` for short.",
            "写资源池的全称 `sites/站点/pools/资源池`，或简写 `站点/资源池`。",
        ),
        ("suan pool search", "suan job explain"),
    ),
    "PLACEMENT_REPLACED": Explanation(
        "agent",
        Text(
            "A site came back with a placement that had been given up, after its job had ended or gone on as "
            "`replaced_by`.",
            "站点恢复时带回了已被放弃的落位，而其作业已经结束，或已改派为 `replaced_by`。",
        ),
        Text(
            "Nothing: the job goes on where it is now, and the agent puts the old run down.",
            "无需处理：作业在新的落位继续，代理会放下旧的运行。",
        ),
        ("suan job show",),
    ),
    "SITE_UNREACHABLE": Explanation(
        "caller",
        Text(
            "The site that keeps the log is not heard of, or its data plane does not answer now.",
            "存有日志的站点失联，或其数据面此刻不应答。",
        ),
        Text(
            "Wait until the site is back: `suan site show`. Once the job is done and delivered, `suan data get` "
            "reads its log.",
            "等待站点恢复：`suan site show`。作业完成并交付后，可用 `suan data get` 读取其日志。",
        ),
        ("suan site show", "suan data get"),
    ),
    "ACCOUNT_CLOSED": Explanation(
        "caller",
        Text(
            "The account that the job names was closed and pays for nothing new.",
            "作业所指的账户已关闭，不再支付新的费用。",
        ),
        Text("Name another account of your party.", "改用本方主体的另一账户。"),
        ("suan account list",),
    ),
    "ATTEMPT_UNKNOWN": Explanation(
        "caller",
        Text(
            "The job has not had an attempt of that number, or its task no run before the one that is shown.",
            "作业没有该编号的尝试，或任务在所示运行之前没有运行过。",
        ),
        Text(
            "See which attempts there were: `suan job tasks` has attempt and retries of each task.",
            "查看有过哪些尝试：`suan job tasks` 显示每个任务的尝试和重试次数。",
        ),
        ("suan job tasks", "suan job logs"),
    ),
    "PARTY_SUSPENDED": Explanation(
        "operator",
        Text(
            "The operator has suspended the party that the account belongs to: it submits no new jobs. What it "
            "submitted before goes on.",
            "运营方已暂停账户所属主体：不再接受其新作业，此前提交的继续进行。",
        ),
        Text(
            "Ask the operator, who lets the party in again with `suan party approve`.",
            "联系运营方；其可用 `suan party approve` 重新批准。",
        ),
        ("suan party show", "suan party approve"),
    ),
    "SECRETS_MISSING": Explanation(
        "caller",
        Text(
            "The job names secrets whose values did not come with it, as after `suan job rerun`, or its placement is "
            "over and they are no longer kept; `names` lists them.",
            "作业所指机密的值没有随之送来（如 `suan job rerun` 之后），或其落位已结束、不再保留；`names` 列出它们。",
        ),
        Text(
            "Give them again: `--secret NAME=env:VARIABLE` or `--secret NAME=file:PATH`.",
            "重新给出：`--secret 名称=env:变量` 或 `--secret 名称=file:路径`。",
        ),
        ("suan job submit", "suan job rerun"),
    ),
    "SECRET_UNREADABLE": Explanation(
        "caller",
        Text(
            "The value of the secret `name` was sealed for a job of another name or a key that is no longer kept, or "
            "was changed on the way.",
            "机密 `name` 的值是为另一名称的作业封装的，所用密钥已不再保留，或在途中被改动。",
        ),
        Text(
            "Submit the job anew from its file, so that the value is sealed for it; a program that seals by itself "
            "asks for the key of this node first.",
            "从作业文件重新提交，使其值为该作业封装；自行封装的程序须先取得本节点的密钥。",
        ),
        ("suan job submit",),
    ),
}
"""By reason."""
