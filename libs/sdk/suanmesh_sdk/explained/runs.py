"""Why a run or a transfer stands where it stands, by what happened at the sites."""

from __future__ import annotations

from typing import Final

from suanmesh_kernel.texts import Explanation, Text

EXPLAINED: Final[dict[str, Explanation]] = {
    "CAPACITY_TAKEN": Explanation(
        "mesh",
        Text(
            "Between the decision and the placement somebody else took the cores, memory, disk or devices: "
            "`missing` of `quantity`.",
            "裁决之后、落位之前，核、内存、磁盘或器件已被他人占用：缺 `missing` 的 `quantity`。",
        ),
        Text(
            "Nothing: the job is placed elsewhere, and it costs no attempt.",
            "无需处理：作业会改派他处，且不计尝试次数。",
        ),
        ("suan pool search",),
    ),
    "COMMAND_NOT_EXECUTABLE": Explanation(
        "caller",
        Text(
            "The file of the command is there and has no execute bit, names an interpreter that is missing, or is "
            "built for another machine; the exit status is 126.",
            "命令的文件存在，但没有可执行位、首行所指的解释器不存在，或是为其他机器构建的；退出状态为 126。",
        ),
        Text(
            "`chmod +x` the file before it is packed, begin a script with `#!`, or run it as an argument of its "
            "interpreter.",
            "打包之前执行 `chmod +x`，脚本以 `#!` 开头，或把它作为解释器的参数运行。",
        ),
        ("suan job tasks", "suan job rerun"),
    ),
    "COMMAND_NOT_FOUND": Explanation(
        "caller",
        Text(
            "The first word of the command is no program along PATH in the sandbox, and no file in the working "
            "folder; the exit status is 127.",
            "命令的首个词既不是沙箱中 PATH 上的程序，也不是工作目录中的文件；退出状态为 127。",
        ),
        Text(
            "Correct the word; a file that travels with the job is named with its path, such as `./train.sh`.",
            "改正该词；随作业携带的文件要写路径，例如 `./train.sh`。",
        ),
        ("suan job tasks", "suan job rerun"),
    ),
    "COMMAND_MISSING": Explanation(
        "caller",
        Text("The variant of the package that fits the site has no command.", "适合该站点的程序包变体没有命令。"),
        Text("Write `command` into the job file.", "在作业文件中写入 `command`。"),
        ("suan job schema",),
    ),
    "DELIVERY_FAILED": Explanation(
        "mesh",
        Text(
            "Results could not be moved to where they are wanted; the cause behind it says why.",
            "结果无法搬到指定站点；其后的起因说明原因。",
        ),
        Text(
            "Fetch them from where they were made: `suan job show` names the datasets, `suan data get` brings them.",
            "从产生它们的站点取回：`suan job show` 列出数据集，`suan data get` 取回。",
        ),
        ("suan job show", "suan data get"),
    ),
    "EXIT_STATUS": Explanation(
        "caller",
        Text(
            "The program of a task ended with a status other than 0; 128 and more stand for a signal, such as 137 "
            "for a kill.",
            "任务的程序以非 0 状态结束；128 及以上表示信号，例如 137 为被强制终止。",
        ),
        Text(
            "Read the log of the task that is named; `retry` in the job file runs a task again by itself.",
            "阅读所指任务的日志；作业文件中的 `retry` 可让任务自动重试。",
        ),
        ("suan job logs", "suan job tasks"),
    ),
    "FENCED": Explanation(
        "mesh",
        Text(
            "The site did not hear the mesh for 24 s, unless configured, and stopped its tasks so that none runs "
            "twice.",
            "站点已有 24 秒（默认）听不到算网，停止了任务，以免重复运行。",
        ),
        Text(
            "Nothing while attempts are left; the site's operator looks at the line to the gateway.",
            "只要还有尝试次数就无需处理；站点的运营者应检查到网关的线路。",
        ),
        ("suan site health", "suan job show"),
    ),
    "LAYOUT_INVALID": Explanation(
        "caller",
        Text(
            "Two files, inputs or outputs of the job want the same path, one lies below another, or a path is too "
            "long for the disk.",
            "作业的两个文件、输入或输出使用同一路径、一个位于另一个之下，或路径超过磁盘允许的长度。",
        ),
        Text("Give every artefact, input and output a path of its own.", "为每个随带文件、输入和输出指定各自的路径。"),
        ("suan job schema",),
    ),
    "MANIFEST_INVALID": Explanation(
        "mesh",
        Text(
            "The list of files that the source sent is damaged, or names paths that no dataset may have.",
            "源站点发来的文件清单已损坏，或含有数据集不允许的路径。",
        ),
        Text(
            "Bring the data again, at another site; the operator of the source checks its disk.",
            "在另一站点重新放入数据；源站点的运营者应检查磁盘。",
        ),
        ("suan data show", "suan data put"),
    ),
    "OUT_OF_MEMORY": Explanation(
        "caller",
        Text(
            "The task and its children together took more memory than the job asked for.",
            "任务及其子进程合计使用的内存超过作业申请的数量。",
        ),
        Text(
            "Ask for more with `memory`, or let the program take less.",
            "用 `memory` 申请更多内存，或减少程序的用量。",
        ),
        ("suan job logs", "suan job rerun"),
    ),
    "OUTPUT_INVALID": Explanation(
        "caller",
        Text(
            "The folder of an output is gone, cannot be read, or lies behind a link that leads out of the task's "
            "working folder. Of other tasks and outputs everything is delivered; the task's log says what was left "
            "out.",
            "输出文件夹已不在、无法读取，或位于指向任务工作目录之外的链接之后。其他任务和输出照常交付；该任务的日志说明略去了什么。",
        ),
        Text(
            "Let the task write below the path that `outputs` names, or make that a link to a folder that the task "
            "has made.",
            "让任务写入 `outputs` 所指的路径之下，或把它做成指向任务自建文件夹的链接。",
        ),
        ("suan job logs", "suan job rerun"),
    ),
    "OUTPUT_REFUSED": Explanation(
        "caller",
        Text(
            "The outputs were there, and the mesh did not take them as datasets; the cause behind it says why.",
            "输出已生成，但算网没有接收为数据集；其后的起因说明原因。",
        ),
        Text(
            "Mend what the cause names, such as a name that is taken by other data.",
            "排除所指的起因，例如名称已被其他数据占用。",
        ),
        ("suan job show", "suan data list"),
    ),
    "OUTPUT_TOO_LARGE": Explanation(
        "caller",
        Text(
            "An output has `bytes`, more than the `max_bytes` that the job declared for it, from which its way "
            "home was priced. The other outputs are delivered.",
            "输出有 `bytes` 字节，超过作业为其声明的 `max_bytes`，送回的价格据此计算。其他输出照常交付。",
        ),
        Text(
            "Raise `max_bytes` of the output, or let the program write less.",
            "提高该输出的 `max_bytes`，或减少程序的写入。",
        ),
        ("suan job rerun",),
    ),
    "PATH_INVALID": Explanation(
        "caller",
        Text(
            "A path of the job is absolute, empty, or leads out of the working folder with `..`.",
            "作业中的路径是绝对路径、为空，或用 `..` 指向工作目录之外。",
        ),
        Text("Write paths relative to the working folder.", "路径应相对于工作目录。"),
        ("suan job schema",),
    ),
    "PROCESSES_EXCEEDED": Explanation(
        "caller",
        Text(
            "The task had more processes and threads at a time than the site allows one task, 1024 unless configured.",
            "任务同时存在的进程和线程数超过站点允许的上限（默认 1024）。",
        ),
        Text(
            "Start fewer workers: size pools by the cores that the job asked for, not by those of the machine.",
            "减少工作进程：按作业申请的核数而不是机器的核数设定数量。",
        ),
        ("suan job logs",),
    ),
    "REPLICA_PRESENT": Explanation(
        "mesh",
        Text(
            "The target had the whole dataset when the transfer was made, so that nothing had to move.",
            "创建搬运时目标站点已有完整的数据集，无需搬运。",
        ),
        Text("Nothing.", "无需处理。"),
        ("suan data show",),
    ),
    "SCRATCH_EXCEEDED": Explanation(
        "caller",
        Text(
            "The task wrote more bytes, or more files, than the scratch disk that the job asked for holds.",
            "任务写入的字节或文件数超过作业申请的临时盘。",
        ),
        Text(
            "Ask for more with `scratch`, or remove what is not needed while the task runs.",
            "用 `scratch` 申请更多空间，或在任务运行期间删除不需要的内容。",
        ),
        ("suan job logs", "suan job rerun"),
    ),
    "SETUP_FAILED": Explanation(
        "caller",
        Text(
            "What `setup` of the job file makes ready failed, so that no task began. Its sandbox has no network: what "
            "pip does not find is neither in the wheels that travel with the job nor at the mirror of the site.",
            "作业文件的 `setup` 失败，任务均未开始。其沙箱没有网络：pip 找不到的包，既不在随作业携带的 wheel 中，"
            "也不在站点镜像中。",
        ),
        Text(
            "Read its whole log with `suan job logs JOB --setup`. Let packages travel with the job: "
            "`pip download -d wheels -r requirements.txt`, and `setup: {python: requirements.txt, wheels: wheels/}`.",
            "用 `suan job logs JOB --setup` 查看完整日志。让包随作业携带："
            "`pip download -d wheels -r requirements.txt`，并写 `setup: {python: requirements.txt, wheels: wheels/}`。",
        ),
        ("suan job logs",),
    ),
    "SOURCE_LOST": Explanation(
        "mesh",
        Text("The site that the data was coming from is not heard of any more.", "数据的来源站点失联。"),
        Text(
            "Nothing for a job: another replica is used where there is one. A transfer of your own is made again "
            "from another site.",
            "对作业无需处理：若有其他副本会改用它。自己发起的搬运应从另一站点重新发起。",
        ),
        ("suan data show", "suan transfer create"),
    ),
    "SOURCE_UNREACHABLE": Explanation(
        "mesh",
        Text(
            "The source is alive and has sent nothing for `silent_s`: a firewall, a wrong data address, or a "
            "broken line.",
            "源站点在线，但 `silent_s` 秒没有传来数据：防火墙、数据地址有误或线路中断。",
        ),
        Text(
            "The operators of both sites check that the target reaches the source's data address: `suan site show`.",
            "由两个站点的运营者检查目标能否到达源站点的数据地址：`suan site show`。",
        ),
        ("suan site show", "suan transfer show"),
    ),
    "TARGET_LOST": Explanation(
        "mesh",
        Text("The site that the data was going to is not heard of any more.", "数据的目标站点失联。"),
        Text(
            "Move the data to another site, or again once this one is back.",
            "把数据搬到另一站点，或等该站点恢复后重试。",
        ),
        ("suan site health", "suan transfer create"),
    ),
    "STOPPED_BY_TASK": Explanation(
        "caller",
        Text(
            "The job stops its other tasks when one fails, as it does unless it says `on_failure: continue`; the task "
            "that failed is named, and its own reason says why.",
            "一个任务失败时作业停止其余任务，除非写明 `on_failure: continue`；失败任务的原因说明为何。",
        ),
        Text(
            "Read the log of the task that failed; with `on_failure: continue` the others go on.",
            "查看失败任务的日志；写 `on_failure: continue` 可让其余任务继续。",
        ),
        ("suan job tasks", "suan job logs"),
    ),
    "TASK_LOST": Explanation(
        "mesh",
        Text(
            "The machine that ran the task went down, and nothing is known of how the task ended.",
            "运行任务的机器已停机，任务如何结束不得而知。",
        ),
        Text("Nothing while attempts are left: it runs again.", "只要还有尝试次数就无需处理：任务会重新运行。"),
        ("suan job tasks",),
    ),
    "TASK_NOT_STARTED": Explanation(
        "operator",
        Text(
            "The site took the placement and could not start its task, such as for want of processes or of a "
            "working folder.",
            "站点接受了落位但无法启动任务，例如进程数不足或无法建立工作目录。",
        ),
        Text(
            "Nothing for users: the job is placed elsewhere, and it costs no attempt. The agent's log says what "
            "failed.",
            "用户无需处理：作业会改派他处，且不计尝试次数。代理日志写明原因。",
        ),
        ("suan site health",),
    ),
    "TIMED_OUT": Explanation(
        "caller",
        Text("The task ran for longer than the job's `max_duration`.", "任务的运行时间超过作业的 `max_duration`。"),
        Text(
            "Raise `max_duration`, which also raises what is held, or save the work in between and go on from there.",
            "提高 `max_duration`（预留也随之增加），或定期保存进度并从中继续。",
        ),
        ("suan job logs", "suan job rerun"),
    ),
    "TRANSFER_FAILED": Explanation(
        "mesh",
        Text(
            "An input did not arrive at the site; the cause behind it says why.",
            "输入没有到达站点；其后的起因说明原因。",
        ),
        Text(
            "See the cause with `suan transfer show`; the job is placed again while attempts are left.",
            "用 `suan transfer show` 查看起因；只要还有尝试次数，作业会重新落位。",
        ),
        ("suan transfer show", "suan data show"),
    ),
}
