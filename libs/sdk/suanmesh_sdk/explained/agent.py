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
    "KUBERNETES_ABSENT": Explanation(
        "operator",
        Text(
            "The engine is Kubernetes, and its client is not installed beside the agent.",
            "引擎为 Kubernetes，而代理旁未安装其客户端。",
        ),
        Text(
            "Install `suanmesh[kubernetes]` into the same environment.",
            "在同一环境中安装 `suanmesh[kubernetes]`。",
        ),
        ("suan site join",),
    ),
    "KUBERNETES_DENIED": Explanation(
        "operator",
        Text(
            "The token of the kubeconfig is not good, or the user lacks a right: `verb` and `resource` say which.",
            "kubeconfig 中的令牌无效，或用户缺少某项权限：`verb` 与 `resource` 说明是哪一项。",
        ),
        Text(
            "Give the agent's user the rights of `deploy/kubernetes/site/rights.yaml`, then join again.",
            "为代理的用户授予 `deploy/kubernetes/site/rights.yaml` 中的权限，然后重新加入。",
        ),
        ("suan site join",),
    ),
    "KUBERNETES_FOLDER_UNSHARED": Explanation(
        "operator",
        Text(
            "The agent's folder is not on a volume that pods mount, or it is not their user's.",
            "代理的文件夹不在 Pod 所挂载的卷上，或不属于 Pod 的用户。",
        ),
        Text(
            "Put it on a volume that all nodes share, name its claim, and run the agent as the pods' user.",
            "把它放到所有节点共享的卷上，写明其 PVC，并以 Pod 的用户运行代理。",
        ),
        ("suan site join",),
    ),
    "KUBERNETES_NAMESPACE_ABSENT": Explanation(
        "operator",
        Text(
            "The namespace that pods of tasks are to be in has not been made.",
            "供任务 Pod 使用的命名空间尚未创建。",
        ),
        Text(
            "Apply `deploy/kubernetes/site`, or name another with `--set kubernetes_namespace=`.",
            "应用 `deploy/kubernetes/site`，或用 `--set kubernetes_namespace=` 指定其他命名空间。",
        ),
        ("suan site join",),
    ),
    "KUBERNETES_NODES_MISSING": Explanation(
        "operator",
        Text(
            "Every node is not ready, cordoned, tainted, or without the labels that the settings ask for.",
            "所有节点均未就绪、被封锁、带有污点，或没有设置所要求的标签。",
        ),
        Text(
            "Look at `kubectl get nodes`; name taints to pass with `--set kubernetes_tolerations=`.",
            "查看 `kubectl get nodes`；用 `--set kubernetes_tolerations=` 指定可容忍的污点。",
        ),
        ("suan site join",),
    ),
    "KUBERNETES_TASK_NOT_RUN": Explanation(
        "operator",
        Text(
            "Everything is allowed, and yet a pod with a task of one line did not run: the message says why.",
            "权限齐备，但只有一行命令的任务未能在 Pod 中运行：消息中说明了原因。",
        ),
        Text(
            "Mend what it says, such as the image or the namespace's quota, then join again.",
            "按消息所述修复，例如镜像或命名空间的配额，然后重新加入。",
        ),
        ("suan site join",),
    ),
    "KUBERNETES_TOO_OLD": Explanation(
        "operator",
        Text(
            "Older clusters make a second pod while the first still ends, so that a task could be cut off.",
            "较旧的集群会在前一个 Pod 结束之前另建一个，任务可能因此被打断。",
        ),
        Text(
            "Upgrade the cluster.",
            "升级集群。",
        ),
        ("suan site join",),
    ),
    "KUBERNETES_UNCONFIGURED": Explanation(
        "operator",
        Text(
            "There is neither a kubeconfig nor a service account of a pod, or it names no cluster.",
            "既没有 kubeconfig，也没有 Pod 的服务账户，或其中没有指明集群。",
        ),
        Text(
            "Name the file with `--set kubernetes_config=`.",
            "用 `--set kubernetes_config=` 指定该文件。",
        ),
        ("suan site join",),
    ),
    "KUBERNETES_UNREACHABLE": Explanation(
        "operator",
        Text(
            "The address in the kubeconfig does not answer from this host.",
            "从本机访问 kubeconfig 中的地址没有应答。",
        ),
        Text(
            "Try `kubectl version` here; open outgoing TCP to the API server.",
            "在本机试运行 `kubectl version`；放行到 API 服务器的出站 TCP。",
        ),
        ("suan site join",),
    ),
    "RAY_ABSENT": Explanation(
        "operator",
        Text(
            "The engine is Ray, and the Python that is to ask it has no Ray, or is not there.",
            "引擎为 Ray，而用来访问它的 Python 未安装 Ray，或不存在。",
        ),
        Text(
            "Install `suanmesh[ray]` in the cluster's version, or name the cluster's own Python: `--set ray_python=`.",
            "安装与集群版本相同的 `suanmesh[ray]`，或用 `--set ray_python=` 指定集群自己的 Python。",
        ),
        ("suan site join",),
    ),
    "RAY_DENIED": Explanation(
        "operator",
        Text(
            "The cluster was started with a token, and this site has another, or none.",
            "集群启动时带有令牌，而本站点没有或不是该令牌。",
        ),
        Text(
            "Name the file that holds the cluster's token with `--set ray_token_file=`.",
            "用 `--set ray_token_file=` 指定存放集群令牌的文件。",
        ),
        ("suan site join",),
    ),
    "RAY_NODES_MISSING": Explanation(
        "operator",
        Text(
            "Every node of the cluster is gone, or was started without processors.",
            "集群的节点都已离开，或启动时没有处理器。",
        ),
        Text("Start a node that takes tasks, with `ray start`.", "用 `ray start` 启动可接收任务的节点。"),
        ("suan site join",),
    ),
    "RAY_PYTHON_DIFFERS": Explanation(
        "operator",
        Text(
            "Ray lets only those in whose Python is the same to the last number: `cluster` and `here` say which.",
            "Ray 只接受 Python 版本完全相同者：`cluster` 与 `here` 是两者的版本。",
        ),
        Text(
            "Name the cluster's own Python with `--set ray_python=`; Suanmesh need not be installed in it.",
            "用 `--set ray_python=` 指定集群自己的 Python；其中无需安装 Suanmesh。",
        ),
        ("suan site join",),
    ),
    "RAY_UNREACHABLE": Explanation(
        "operator",
        Text(
            "No Ray listens at the address, or this host was not started as a node of that cluster.",
            "该地址上没有 Ray，或本机不是以该集群节点的身份启动的。",
        ),
        Text(
            "Start this host as a node, with `ray start --address=`, and name the head with `--set ray_address=`.",
            "用 `ray start --address=` 把本机启动为节点，并用 `--set ray_address=` 指定头节点。",
        ),
        ("suan site join",),
    ),
    "RAY_VERSION_DIFFERS": Explanation(
        "operator",
        Text(
            "Ray lets only those in that have its own version: `cluster` and `here` say which.",
            "Ray 只接受版本相同者：`cluster` 与 `here` 是两者的版本。",
        ),
        Text(
            "Install the cluster's version here, or name its own Python with `--set ray_python=`.",
            "在此安装集群的版本，或用 `--set ray_python=` 指定其自己的 Python。",
        ),
        ("suan site join",),
    ),
    "SLURM_ABSENT": Explanation(
        "operator",
        Text(
            "The engine is Slurm, and `sbatch`, `squeue`, `scancel` or `sinfo` is not where the site looks for it.",
            "引擎为 Slurm，而 `sbatch`、`squeue`、`scancel` 或 `sinfo` 不在站点查找之处。",
        ),
        Text(
            "Install Slurm's programs on this host, or name their folders: `--set slurm_programs=FOLDER:FOLDER`.",
            "在本机安装 Slurm 的客户端程序，或用 `--set slurm_programs=FOLDER:FOLDER` 指定其文件夹。",
        ),
        ("suan site join",),
    ),
    "SLURM_NODES_MISSING": Explanation(
        "operator",
        Text(
            "The partition has no node, has another name, or all of its nodes are down or drained.",
            "该分区没有节点、名称不同，或其节点均已宕机或排空。",
        ),
        Text(
            "Look with `sinfo`; name another partition with `--set slurm_partition=`, or resume a node.",
            "用 `sinfo` 查看；用 `--set slurm_partition=` 指定另一分区，或恢复一个节点。",
        ),
        ("suan site join",),
    ),
    "SLURM_UNREACHABLE": Explanation(
        "operator",
        Text(
            "`sinfo` or `squeue` failed on this host: slurmctld or munge is not there, or slurm.conf is another's.",
            "`sinfo` 或 `squeue` 在本机失败：slurmctld 或 munge 未运行，或 slurm.conf 属于另一集群。",
        ),
        Text(
            "Type `sinfo` here until it answers; name the file with `--set slurm_conf=` where it is not the system's.",
            "先使本机的 `sinfo` 有应答；配置文件不在系统位置时，用 `--set slurm_conf=` 指定。",
        ),
        ("suan site join",),
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
