"""Alerts about what a process cannot do without: etcd, its database, room on its disk, the right time."""

from __future__ import annotations

from deploy.prometheus.alert import Alert
from suanmesh_kernel.texts import Text
from suanmesh_telemetry import names, thresholds

RELIED_ON = (
    Alert(
        "NotReady",
        f"{names.READY} == 0",
        "page",
        Text(
            "{{ $labels.process }} of {{ $labels.node }} runs and serves nothing",
            "{{ $labels.node }} 的 {{ $labels.process }} 在运行而不提供服务",
        ),
        Text(
            "The process answers, and cannot begin: what it needs first is away, such as etcd, its database or room "
            "on its disk. Calls of it are refused, unless another instance leads.",
            "进程有应答而无法开始：缺少其首先所需，例如 etcd、数据库或磁盘空间。除非另有实例为主，对它的调用都会被拒"
            "绝。",
        ),
        Text(
            "`suan top NODE` and `suan node check NODE` say what is away; its log has `cannot serve yet` with the "
            "reason, which `suan explain REASON` explains. It begins by itself once that is back.",
            "`suan top NODE` 和 `suan node check NODE` 说明缺什么；其日志有 `cannot serve yet` 及原因，`suan "
            "explain 原因` 有说明。恢复后自动开始。",
        ),
        "2m",
    ),
    Alert(
        "ComponentFault",
        f"{names.COMPONENT_SERVING} == 0",
        "page",
        Text("{{ $labels.component }} has a fault", "{{ $labels.component }} 有故障"),
        Text(
            "Something a service relies on does not do its part, such as a ledger on a full disk.",
            "服务所依赖之物未尽其责，例如账本所在磁盘已满。",
        ),
        Text(
            "The log line `component has a fault` has the reason; `suan explain REASON` says what to do.",
            "日志行 `component has a fault` 载有原因；`suan explain 原因` 说明如何处理。",
        ),
        "2m",
    ),
    Alert(
        "EtcdWithoutLeader",
        f"max by (node) ({names.ETCD_LED}) == 0",
        "page",
        Text("etcd of {{ $labels.node }} has no leader", "{{ $labels.node }} 的 etcd 无主"),
        Text(
            "No majority of etcd's members runs and reaches the others: nothing is written, and what needs a fresh "
            "read is refused with STORE_AWAY. What runs at sites goes on.",
            "etcd 运行且互通的成员不足多数：无法写入，需要最新内容的读取以 STORE_AWAY 被拒绝。站点上的运行不受影响。",
        ),
        Text(
            "`suan node check NODE` names the members that do not answer. Start them again on their machines (`suan "
            "node run NODE`); two of three are enough. Where more than half are lost for good, bring back a backup.",
            "`suan node check NODE` 列出无应答的成员。在其机器上重新启动（`suan node run NODE`），三个中有两个即可。"
            "若过半永久丢失，则恢复备份。",
        ),
        "1m",
    ),
    Alert(
        "EtcdMemberDown",
        f"max by (node, member) ({names.ETCD_MEMBER_UP}) == 0",
        "ticket",
        Text("A member of etcd does not answer: {{ $labels.member }}", "etcd 的一个成员无应答：{{ $labels.member }}"),
        Text(
            "The node goes on without it, and stands still once as many are gone as leave no majority.",
            "节点可在缺少它时继续运行；一旦剩余不足多数便会停止。",
        ),
        Text(
            "Start it again on its machine. Where its data is lost it cannot come back as what it was: `suan node "
            "remove-machine NODE HOST`, `suan node add-machine NODE HOST`, and join with the new bundle.",
            "在其机器上重新启动。若数据已丢失，则不能以原身份回来：`suan node remove-machine NODE HOST`、`suan node "
            "add-machine NODE HOST`，再用新的包加入。",
        ),
        "5m",
    ),
    Alert(
        "EtcdNearlyFull",
        f"max by (node, member) ({names.ETCD_BYTES}) > 3e+09",
        "ticket",
        Text(
            "etcd of {{ $labels.node }} keeps {{ $value | humanize1024 }}B",
            "{{ $labels.node }} 的 etcd 已存 {{ $value | humanize1024 }}B",
        ),
        Text(
            "At 4 GiB etcd refuses writes with DISK_FULL. It usually keeps some ten megabytes.",
            "达到 4 GiB 时 etcd 以 DISK_FULL 拒绝写入。通常只有几十兆字节。",
        ),
        Text(
            "`suan support-bundle NODE` gathers what a report needs. Room that compaction has left is given back "
            "member by member: `suan node backup NODE FOLDER` first, then remove a machine and add it again.",
            "`suan support-bundle NODE` 收集报告所需。压缩留下的空间可逐个成员归还：先 `suan node backup NODE 文件夹"
            "`，再移除一台机器并重新加入。",
        ),
        "15m",
    ),
    Alert(
        "DiskNearlyFull",
        f"{names.DISK_FREE} < {thresholds.DISK_BYTES_MIN:g}",
        "ticket",
        Text("The disk of {{ $labels.process }} is nearly full", "{{ $labels.process }} 的磁盘将满"),
        Text(
            "Less than 2 GB are left where the process keeps what it has. Of a node that is where etcd, ledger and "
            "records lie too, and etcd ends where it cannot write; of a site where data lies and tasks work, and "
            "below 64 MiB nothing is placed there.",
            "进程存放数据的磁盘所剩不足 2 GB。节点的 etcd、账本和记录也在此处，etcd 写不下去就会退出；站点的数据与任"
            "务在此处，低于 64 MiB 时不再安排作业。",
        ),
        Text(
            "`du -xsh NODE/*` says what takes the room: logs, old backups and `*.damaged` files may go. At a site "
            "remove datasets that nobody needs (`suan data rm`). Else give it more room.",
            "`du -xsh NODE/*` 说明占用之处：日志、旧备份和 `*.damaged` 文件可删。站点上可删除无人需要的数据集（"
            "`suan data rm`）。否则增加空间。",
        ),
        "10m",
    ),
    Alert(
        "DiskFull",
        f"{names.DISK_FREE} < {thresholds.DISK_BYTES_LEAST:g}",
        "page",
        Text(
            "The disk of {{ $labels.process }} is full within minutes", "{{ $labels.process }} 的磁盘几分钟内就会写满"
        ),
        Text(
            "Less than 250 MB are left. Where it is full writes are refused with DISK_FULL, and etcd ends; what was "
            "acknowledged stays.",
            "所剩不足 250 MB。写满后写入会以 DISK_FULL 被拒绝，etcd 会退出；已确认的写入都在。",
        ),
        Text(
            "As for DiskNearlyFull, at once. Services go on by themselves once there is room; etcd does where "
            "systemd runs it, and where `suan node run` has ended start it again: `suan node check NODE`, then "
            "`suan node run NODE`.",
            "同 DiskNearlyFull，立即处理。有了空间服务会自动继续；由 systemd 运行的 etcd 也会；若 `suan node run` 已"
            "退出则重新启动：先 `suan node check NODE`，再 `suan node run NODE`。",
        ),
        "1m",
    ),
    Alert(
        "ClockWrong",
        f"abs({names.CLOCK_SKEW}) > 0",
        "page",
        Text(
            "The clock of {{ $labels.process }} is {{ $value }} s off",
            "{{ $labels.process }} 的时钟偏差 {{ $value }} 秒",
        ),
        Text("Assertions of the gateway are refused by it: its calls fail.", "它会拒绝网关的断言：其调用失败。"),
        Text(
            "Let the machine take its time from a time server (`timedatectl`).",
            "让机器与时间服务器同步（`timedatectl`）。",
        ),
        "2m",
    ),
    Alert(
        "SiteClockWrong",
        f"abs({names.SITE_CLOCK_AHEAD}) > 0",
        "ticket",
        Text(
            "The clock of sites/{{ $labels.site }} is {{ $value }} s off",
            "sites/{{ $labels.site }} 的时钟偏差 {{ $value }} 秒",
        ),
        Text(
            "Its usage is metered at wrong times, its hours of opening are others, and a certificate that is issued "
            "may not be valid there yet.",
            "其用量计在错误的时间，开放时段有偏差，新签发的证书在那里可能尚未生效。",
        ),
        Text(
            "Its owner lets the machine take its time from a time server (`timedatectl`); `suan site health` says "
            "when it is well. Where all sites are off, it is the machine of the registry.",
            "由其所有者让机器与时间服务器同步（`timedatectl`）；`suan site health` 说明是否已恢复。若所有站点都有偏"
            "差，则是 registry 所在的机器。",
        ),
        "5m",
    ),
)
