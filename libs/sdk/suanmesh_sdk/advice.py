"""What the reader of a refusal can do about it, and what a state's reason says, in English and Chinese."""

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

STATE_REASONS: Final[dict[str, Text]] = {
    "AGENT_DEFECT": Text(
        "The site's agent met a defect of its own, {defect}; its log says more.",
        "站点代理遇到自身缺陷 {defect}，详见其日志。",
    ),
    "BETTER_SCORE": Text("It is better by {gap_micros:money} than {second}.", "比 {second} 优 {gap_micros:money}。"),
    "CANCELLED": Text("It was stopped, by request or with its site.", "已停止：应请求，或随站点停止。"),
    "CAPACITY_TAKEN": Text(
        "The site no longer has the capacity it offered: {missing} {quantity} are missing.",
        "站点已没有所报的容量：缺 {missing} {quantity}。",
    ),
    "CHOSEN": Text("{pool} was chosen, at {cost_micros:money}.", "已选定 {pool}，花费 {cost_micros:money}。"),
    "COMMAND_NOT_EXECUTABLE": Text(
        "The command of task {task} is there and cannot be executed: a file that the job brings needs its execute bit, "
        "a script its first line, a program the machine it was made for.",
        "任务 {task} 的命令存在但无法执行：作业自带的文件要有可执行位，脚本要有首行，程序要与机器架构相符。",
    ),
    "COMMAND_NOT_FOUND": Text(
        "The command of task {task} is not there; a name is looked for along PATH, a path from the working folder.",
        "找不到任务 {task} 的命令：名称按 PATH 查找，路径从工作目录算起。",
    ),
    "COMMAND_MISSING": Text("The package names nothing to run.", "程序包没有可运行的命令。"),
    "DEADLINE_MISSED": Text(
        "The deadline, {deadline}, passed while it was {while}.",
        "处于 {while} 时截止时间 {deadline} 已过。",
    ),
    "DEFECT": Text(
        "The scheduler met a defect of its own, {defect}; its operator can see it in the log.",
        "调度器遇到自身缺陷 {defect}，其运维方可在日志中查看。",
    ),
    "DELIVERY_FAILED": Text(
        "Results did not reach the site they are wanted at; they stay where they were made.",
        "结果未能送达指定站点，仍保存在产生它的站点。",
    ),
    "DEVICE_FAULT": Text(
        "{faulty} of {present} cards of the site have a fault, {device} for one.",
        "站点 {present} 块加速卡中有 {faulty} 块出错，例如 {device}。",
    ),
    "DISK_FAULT": Text("The site's disk does not take what arrives.", "站点的磁盘无法写入到达的数据。"),
    "DISK_FULL": Text("The site's disk has no room for it.", "站点的磁盘没有空间。"),
    "DONE": Text("Everything has run, and the results are where they are wanted.", "已全部运行，结果已送达。"),
    "QUEUE_HELD": Text("The site's own scheduler holds it back ({said}).", "站点自己的调度系统将其搁置（{said}）。"),
    "QUEUE_LIMIT": Text(
        "It waits for a limit of the site's own scheduler ({said}).",
        "受站点自己的调度系统的限额所限，正在等待（{said}）。",
    ),
    "QUEUE_NODES": Text(
        "It waits for nodes of the site that cannot be used now ({said}).", "等待站点中暂不可用的节点（{said}）。"
    ),
    "QUEUE_PRIORITY": Text("Others come first in the site's own queue.", "在站点自己的队列中排在其他任务之后。"),
    "QUEUE_RESOURCES": Text("It waits until enough of the site is free.", "等待站点有足够的空闲资源。"),
    "QUEUE_SILENT": Text("It waits until the site's own scheduler takes it.", "等待站点自己的调度系统接收。"),
    "RUNTIME_MISSING": Text(
        "The site does not have the runtime {runtime}, which it offered.", "站点没有所报的运行环境 {runtime}。"
    ),
    "EXIT_STATUS": Text(
        "Task {task} ended with status {exit_status}; read its log.",
        "任务 {task} 以状态 {exit_status} 结束，请看日志。",
    ),
    "FENCED": Text(
        "The site could not hear the mesh for too long, and stopped what it ran before it is placed elsewhere.",
        "站点过久听不到算网，已在作业改派之前停止其运行。",
    ),
    "FEWER_SETBACKS": Text(
        "{second} comes after it: its site did not take the job or lost it before.",
        "{second} 排在其后：其站点曾拒绝或丢失该作业。",
    ),
    "FIRST_BY_NAME": Text("It is as good as {second}; the name decides.", "与 {second} 相当，按名称取前者。"),
    "GIVEN_UP": Text(
        "{placements} placements came to nothing, and no other site is tried.",
        "{placements} 次落位均未成功，不再尝试其他站点。",
    ),
    "HOURS_CLOSED": Text("The site's owner takes work from {opens} on.", "站点所有者自 {opens} 起接纳作业。"),
    "KIND_REFUSED": Text("The site's owner takes no work of the kind {kind}.", "站点所有者不接纳 {kind} 类作业。"),
    "PARTY_NOT_ALLOWED": Text("The site's owner takes no work of {party}.", "站点所有者不接纳 {party} 的作业。"),
    "PARTY_SHARE": Text(
        "{party} may hold {share_milli}/1000 of the site at a time.",
        "{party} 至多同时占用该站点的 {share_milli}/1000。",
    ),
    "SITE_CLOCK_WRONG": Text(
        "The site's clock is about {clock_s} s ahead of the registry's; below zero it is behind.",
        "站点时钟约比 registry 快 {clock_s} 秒；负值为慢。",
    ),
    "SITE_CORDONED": Text("The site is cordoned.", "站点已封锁。"),
    "SITE_DRAINING": Text("The site is being drained.", "站点正在排空。"),
    "SITE_REMOVED": Text("The site has left for good.", "站点已永久退出。"),
    "CERTIFICATE_EXPIRED": Text(
        "The certificate of the site's agent lapsed at {until}: it is let in nowhere.",
        "站点代理的证书已于 {until} 过期：各处均不再接纳。",
    ),
    "CERTIFICATE_REVOKED": Text(
        "The certificate of the site's agent was revoked: it is let in nowhere.",
        "站点代理的证书已被吊销：各处均不再接纳。",
    ),
    "JOURNAL_FAULT": Text("The site's agent cannot write its journal.", "站点代理无法写入日志簿。"),
    "LAYOUT_INVALID": Text(
        "The job's files cannot be laid out: its paths collide or are too long.",
        "作业的文件无法就位：路径相互冲突或过长。",
    ),
    "MANIFEST_INVALID": Text("The source's manifest is none a dataset can have.", "源站点的清单不是数据集可有的清单。"),
    "NEARER": Text(
        "It is as good as {second} and {nearer_us:us} nearer to the data.",
        "与 {second} 相当，但离数据近 {nearer_us:us}。",
    ),
    "NEVER_FITS": Text(
        "Not even idle pools could take it as it is: waiting does not help.",
        "即使空闲，也没有资源池能按现状承接：等待无济于事。",
    ),
    "NO_PLACE": Text(
        "None of {pools} pools can take it now; its decision says what stands in the way.",
        "{pools} 个资源池目前都不能承接；障碍见其裁决。",
    ),
    "NO_POOLS": Text("There are no pools.", "没有资源池。"),
    "NOT_ACCEPTED": Text("{site} did not take it in time.", "{site} 未及时接受。"),
    "ONLY_FIT": Text("No other pool fits.", "没有其他适合的资源池。"),
    "OUT_OF_MEMORY": Text("Task {task} took more memory than the job asked for.", "任务 {task} 用了超出申请的内存。"),
    "OUTPUT_INVALID": Text("An output is missing, or cannot be made a dataset.", "某个输出缺失，或不能成为数据集。"),
    "OUTPUT_REFUSED": Text("An output could not be published.", "某个输出未能发布。"),
    "OUTPUT_TOO_LARGE": Text(
        "The output {output} has {bytes:size}, the job allows {max_bytes:size}.",
        "输出 {output} 有 {bytes:size}，作业允许 {max_bytes:size}。",
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
    "REVISIONS_PAST": Text(
        "What the decision read is not kept, and has changed since: registry {registry_before} → {registry_now}, "
        "scheduler {scheduler_before} → {scheduler_now}, network {network_before} → {network_now}.",
        "裁决所读的状态未保留，此后已变：登记 {registry_before} → {registry_now}，"
        "调度 {scheduler_before} → {scheduler_now}，网络 {network_before} → {network_now}。",
    ),
    "REVISIONS_STAND": Text(
        "The documents stand as the decision read them; what agents report, balances and prices are those of now.",
        "文档与裁决所读一致；代理所报的状态、余额与价格为当前值。",
    ),
    "SANDBOX_MISSING": Text("The site has no sandbox for tasks of {party}.", "站点没有可供 {party} 的任务使用的沙箱。"),
    "SCRATCH_EXCEEDED": Text(
        "Task {task} wrote more bytes or files than the scratch disk the job asked for holds.",
        "任务 {task} 写入的字节或文件数超出申请的临时盘。",
    ),
    "SETUP_FAILED": Text(
        "The setup of the job, which has no network, ended with status {exit_status}: {log}",
        "作业的 setup（没有网络）以状态 {exit_status} 结束：{log}",
    ),
    "SITE_STOPPED": Text(
        "The site's own scheduler ended task {task}: not the job, nor the mesh.",
        "站点自己的调度系统终止了任务 {task}：并非作业或算网所为。",
    ),
    "SECRETS_UNKEPT": Text(
        "The site cannot keep the job's secrets from others who use it.", "站点无法使其他使用者看不到作业的机密。"
    ),
    "SITE_LOST": Text(
        "{site} is not heard of any more, and runs nothing; what it had run to its end is taken if it comes back.",
        "{site} 失联，已不再运行任务；若其恢复，已运行完的结果照收。",
    ),
    "SOURCE_LOST": Text("{site}, which it comes from, is not heard of any more.", "源站点 {site} 失联。"),
    "SOURCE_UNREACHABLE": Text(
        "Nothing came from the source for {silent_s} s.", "源站点已有 {silent_s} 秒没有传来数据。"
    ),
    "STATE_LOST": Text("The site has no memory of it.", "站点没有关于它的记录。"),
    "STOPPED_BY_TASK": Text(
        "It was stopped, or did not begin, because task {by} had failed.",
        "因任务 {by} 失败而停止，或未开始。",
    ),
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
