"""What the reader of a refusal or an obstacle can do about it, English and Chinese; `generate.py` prints it."""

from __future__ import annotations

from typing import Final, NamedTuple


class Text(NamedTuple):
    """One sentence in both languages."""

    en: str
    zh: str


BY_CODE: Final[dict[str, Text]] = {
    "INVALID_ARGUMENT": Text(
        "Fix the request; repeating it as it is gives the same answer.", "改正请求；原样重复结果相同。"
    ),
    "UNAUTHENTICATED": Text(
        "Show a certificate, token or assertion that is valid now.", "出示当前有效的证书、令牌或声明。"
    ),
    "PERMISSION_DENIED": Text(
        "Call as somebody with the right, or ask the owner.", "换有权限的身份调用，或请所有者操作。"
    ),
    "NOT_FOUND": Text("Correct the name, or create what it names first.", "改正名称，或先创建所指的资源。"),
    "ALREADY_EXISTS": Text("Choose another name, or use what is there.", "换一个名称，或使用已有的资源。"),
    "FAILED_PRECONDITION": Text("Change the state that is named first, then repeat.", "先改变所指的状态，再重复。"),
    "ABORTED": Text("Read again, decide again, write again.", "重新读取、重新决定、重新写入。"),
    "RESOURCE_EXHAUSTED": Text("Ask for less, or wait until some is free.", "减少需求，或等待资源空出。"),
    "DATA_LOSS": Text(
        "Do not use the data; move it again from another replica.", "不要使用该数据；从另一副本重新搬运。"
    ),
    "DEADLINE_EXCEEDED": Text(
        "Repeat with more time and the same `request_id`.", "以更长期限和同一 `request_id` 重复。"
    ),
    "UNIMPLEMENTED": Text(
        "Use a method the server has; `suan version` says which it is.",
        "使用服务器具有的方法；`suan version` 显示版本。",
    ),
    "UNAVAILABLE": Text(
        "Repeat the same call; the SDK does so within its budget.", "重复同一调用；SDK 会在其预算内自动重试。"
    ),
    "INTERNAL": Text("Give the trace to whoever runs the node.", "把追踪号交给节点的运维方。"),
}
"""By gRPC code: what a caller does who does not know the reason."""

OBSTACLES: Final[dict[str, tuple[Text, Text]]] = {
    "ARCHITECTURE": (
        Text("No variant of the package runs on the pool's architecture.", "程序包没有能在此资源池架构上运行的变体。"),
        Text("Add a variant for that architecture.", "增加该架构的变体。"),
    ),
    "ENGINE": (
        Text("The pool offers none of the engines the package needs.", "资源池不提供程序包所需的任何引擎。"),
        Text("Name an engine the pool has, such as `process`.", "改用资源池具有的引擎，例如 `process`。"),
    ),
    "CPU": (
        Text("No host, or not enough hosts, have that many cores free.", "没有主机，或没有足够的主机，空出这么多核。"),
        Text(
            "Ask for fewer cores a task, or wait for running jobs to end.",
            "减少每个任务的核数，或等待运行中的作业结束。",
        ),
    ),
    "MEMORY": (
        Text("Not enough memory free.", "空闲内存不足。"),
        Text("Ask for less memory a task, or wait.", "减少每个任务的内存，或等待。"),
    ),
    "SCRATCH": (
        Text("Not enough scratch disk free.", "空闲临时盘不足。"),
        Text("Ask for less scratch disk, or wait.", "减少临时盘需求，或等待。"),
    ),
    "DEVICE": (
        Text("Not enough devices of the class and model.", "该类别和型号的器件不足。"),
        Text("Allow more models, or fewer devices a task.", "允许更多型号，或减少每个任务的器件数。"),
    ),
    "SITE_DENIED": (
        Text("The job denies the site, or allows only others.", "作业拒绝此站点，或只允许其他站点。"),
        Text("Change the job's site constraints.", "修改作业的站点约束。"),
    ),
    "RESIDENCY": (
        Text("An input or the job must stay within other jurisdictions.", "输入数据或作业必须留在其他辖区。"),
        Text(
            "Use a site of an allowed jurisdiction; the constraint is never relaxed.",
            "使用允许辖区内的站点；此约束从不放宽。",
        ),
    ),
    "PATH": (
        Text("No path to the data has the bandwidth or the latency.", "没有通往数据的通路满足带宽或时延。"),
        Text(
            "Ask for less bandwidth, allow more latency, or wait for the link that is named.",
            "降低带宽、放宽时延，或等待所指的链路。",
        ),
    ),
    "DEADLINE": (
        Text("The job would end after its deadline.", "作业将在截止时间之后结束。"),
        Text("Set a later deadline or a shorter longest run.", "推迟截止时间，或缩短最长运行时间。"),
    ),
    "BUDGET": (
        Text("The cost exceeds the job's budget.", "费用超出作业预算。"),
        Text("Raise the budget by the amount that is missing, or ask for less.", "按所缺金额提高预算，或减少需求。"),
    ),
    "BALANCE": (
        Text("The account's balance does not cover the cost.", "账户余额不足以支付费用。"),
        Text("Have the account credited, or use another.", "为账户充值，或换用另一账户。"),
    ),
    "SITE_NOT_ALIVE": (
        Text("The site's agent is not heard of.", "没有站点代理的消息。"),
        Text(
            "Wait for the agent to come back; its provider sees why in the agent's log.",
            "等待代理恢复；提供方可在代理日志中查明原因。",
        ),
    ),
    "POOL_PHASE": (
        Text("The pool is not ACTIVE.", "资源池不是 ACTIVE 状态。"),
        Text("Wait for its verification, or choose another pool.", "等待其验证，或选择另一资源池。"),
    ),
    "NO_PRICE": (
        Text("No offer of the pool has a price in the account's currency.", "资源池没有以账户货币计的报价。"),
        Text("Have the provider put a price book in force.", "请提供方使一份价目生效。"),
    ),
    "REFUSED_BY_SITE": (
        Text("The site refused this job before.", "此站点先前拒绝过该作业。"),
        Text(
            "Read the refusal in the job's history; submit a changed job.", "在作业历史中查看拒绝原因；修改后重新提交。"
        ),
    ),
    "NO_REPLICA": (
        Text("An input has no complete replica anywhere.", "某个输入在任何地方都没有完整副本。"),
        Text("Publish the dataset at a site that is alive.", "在在线的站点发布该数据集。"),
    ),
    "CAPABILITY": (
        Text("A measured capability is below what the job asks for.", "某项实测能力低于作业要求。"),
        Text("Ask for less, or for a pool that measured more.", "降低要求，或选择实测更高的资源池。"),
    ),
    "DURATION": (
        Text("No offer allows a run as long as the job may take.", "没有报价允许作业可能需要的运行时长。"),
        Text("Shorten the longest run, or split the job.", "缩短最长运行时间，或拆分作业。"),
    ),
}
"""By obstacle code: what it means, and what the job's owner can do."""
