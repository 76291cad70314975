"""What the reader of a refusal, an obstacle or a state can do about it, in English and Chinese."""

from __future__ import annotations

from typing import Final

from suanmesh_kernel.texts import Text

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
        Text("The site refused, failed or lost this job before.", "此站点先前拒绝、未能启动或丢失过该作业。"),
        Text(
            "It is tried again later, after all others; the job's history says what it refused for.",
            "稍后在其他站点之后再试；拒绝原因见作业历史。",
        ),
    ),
    "SITE_FAILING": (
        Text("The site failed several runs in a row before they began.", "此站点连续多次在运行开始之前失败。"),
        Text(
            "Nothing: it is tried again after the time that is named; its operator sees why in `suan pool search`.",
            "无需处理：到所述时间后会再试；其运营者可用 `suan pool search` 查看原因。",
        ),
    ),
    "SITE_IN_TROUBLE": (
        Text("The site's agent says that something is wrong with it.", "站点代理报告自身有故障。"),
        Text("Have the site's operator mend what it names.", "请站点运营者排除所述故障。"),
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

STATE_REASONS: Final[dict[str, Text]] = {
    "AGENT_DEFECT": Text(
        "The site's agent met a defect of its own, {defect}; its log says more.",
        "站点代理遇到自身缺陷 {defect}，详见其日志。",
    ),
    "CANCELLED": Text("It was stopped, by request or with its site.", "已停止：应请求，或随站点停止。"),
    "CAPACITY_TAKEN": Text(
        "The site no longer has the capacity it offered: {missing} {quantity} are missing.",
        "站点已没有所报的容量：缺 {missing} {quantity}。",
    ),
    "CHOSEN": Text("{pool} was chosen, at {cost_micros} micros.", "已选定 {pool}，花费 {cost_micros} 微元。"),
    "COMMAND_MISSING": Text("The package names nothing to run.", "程序包没有可运行的命令。"),
    "DEADLINE_MISSED": Text(
        "The deadline, {deadline}, passed while it waited for a place.",
        "等待落位期间截止时间 {deadline} 已过。",
    ),
    "DEFECT": Text(
        "The scheduler met a defect of its own, {defect}; its operator can see it in the log.",
        "调度器遇到自身缺陷 {defect}，其运维方可在日志中查看。",
    ),
    "DELIVERY_FAILED": Text(
        "Results did not reach the site they are wanted at; they stay where they were made.",
        "结果未能送达指定站点，仍保存在产生它的站点。",
    ),
    "DISK_FAULT": Text("The site's disk does not take what arrives.", "站点的磁盘无法写入到达的数据。"),
    "DISK_FULL": Text("The site's disk has no room for it.", "站点的磁盘没有空间。"),
    "DONE": Text("Everything has run, and the results are where they are wanted.", "已全部运行，结果已送达。"),
    "ENGINE_MISSING": Text(
        "The site does not have the engine {engine}, which it offered.", "站点没有所报的引擎 {engine}。"
    ),
    "EXIT_STATUS": Text(
        "Task {task} ended with status {exit_status}; read its log.",
        "任务 {task} 以状态 {exit_status} 结束，请看日志。",
    ),
    "FENCED": Text(
        "The site could not hear the mesh for too long, and stopped what it ran before it is placed elsewhere.",
        "站点过久听不到算网，已在作业改派之前停止其运行。",
    ),
    "GIVEN_UP": Text(
        "{placements} placements came to nothing, and no other site is tried.",
        "{placements} 次落位均未成功，不再尝试其他站点。",
    ),
    "JOURNAL_FAULT": Text("The site's agent cannot write its journal.", "站点代理无法写入日志簿。"),
    "LAYOUT_INVALID": Text(
        "The job's files cannot be laid out: its paths collide or are too long.",
        "作业的文件无法就位：路径相互冲突或过长。",
    ),
    "MANIFEST_INVALID": Text("The source's manifest is none a dataset can have.", "源站点的清单不是数据集可有的清单。"),
    "NEVER_FITS": Text(
        "Not even idle pools could take it as it is: waiting does not help.",
        "即使空闲，也没有资源池能按现状承接：等待无济于事。",
    ),
    "NO_PLACE": Text(
        "None of {pools} pools can take it now; `suan job explain` says why.",
        "{pools} 个资源池目前都不能承接；原因见 `suan job explain`。",
    ),
    "NOT_ACCEPTED": Text("{site} did not take it in time.", "{site} 未及时接受。"),
    "OUT_OF_MEMORY": Text("Task {task} took more memory than the job asked for.", "任务 {task} 用了超出申请的内存。"),
    "OUTPUT_INVALID": Text("An output is missing, or cannot be made a dataset.", "某个输出缺失，或不能成为数据集。"),
    "OUTPUT_REFUSED": Text("An output could not be published.", "某个输出未能发布。"),
    "OUTPUT_TOO_LARGE": Text(
        "The output {output} has {bytes} bytes, the job allows {max_bytes}.",
        "输出 {output} 有 {bytes} 字节，作业允许 {max_bytes} 字节。",
    ),
    "PATH_INVALID": Text(
        "The path {path} of the job leads out of its working folder.", "作业的路径 {path} 超出其工作目录。"
    ),
    "PLACEMENT_ENDED": Text("{placement}, which it was made for, has ended.", "它所服务的 {placement} 已经结束。"),
    "REPLICA_PRESENT": Text("The target has the whole dataset already.", "目标站点已有完整副本。"),
    "PROCESSES_EXCEEDED": Text(
        "Task {task} had more processes and threads than the site allows.",
        "任务 {task} 的进程和线程数超过站点允许的上限。",
    ),
    "SANDBOX_MISSING": Text("The site has no sandbox for tasks of {party}.", "站点没有可供 {party} 的任务使用的沙箱。"),
    "SCRATCH_EXCEEDED": Text(
        "Task {task} wrote more bytes or files than the scratch disk the job asked for holds.",
        "任务 {task} 写入的字节或文件数超出申请的临时盘。",
    ),
    "SITE_LOST": Text("{site} is not heard of any more, and has stopped what it ran.", "{site} 失联，并已停止其运行。"),
    "SOURCE_LOST": Text("{site}, which it comes from, is not heard of any more.", "源站点 {site} 失联。"),
    "SOURCE_UNREACHABLE": Text(
        "Nothing came from the source for {silent_s} s.", "源站点已有 {silent_s} 秒没有传来数据。"
    ),
    "STATE_LOST": Text("The site has no memory of it.", "站点没有关于它的记录。"),
    "TARGET_LOST": Text("{site}, which it goes to, is not heard of any more.", "目标站点 {site} 失联。"),
    "TASK_LOST": Text("Task {task} was lost with its host.", "任务 {task} 随主机丢失。"),
    "TASK_NOT_STARTED": Text("A task could not be started at the site.", "某个任务未能在站点启动。"),
    "TIMED_OUT": Text("Task {task} ran for longer than the job allows.", "任务 {task} 超过作业允许的时长。"),
    "WAITS_FOR_REPAIR": Text(
        "It waits until somebody has mended what keeps {area} from going on.", "等待有人排除 {area} 的故障。"
    ),
    "WAITS_FOR_PATH": Text("Results wait until their way home has room.", "结果在等待归途有空余带宽。"),
    "TRANSFER_FAILED": Text("{transfer} did not bring an input to the site.", "{transfer} 未能把输入搬到站点。"),
}
"""By the code of a reason (`suanmesh.type.v1.StateReason`) of a job, placement, transfer or pool, with its facts in
braces; other codes there are reasons of refusals."""
