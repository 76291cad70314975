"""The recording rules and the alerts: what each measures, when it fires, what it means and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator

from deploy.prometheus.alert import Alert
from deploy.prometheus.relied_on import RELIED_ON
from suanmesh_kernel.texts import Text
from suanmesh_telemetry import names, thresholds

WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
BUDGET = 0.001
"""Share of calls at a gateway that may fail: 99.9 % are to succeed."""
CALLS_MIN = 50
"""With fewer calls in the long window one that fails is no rate."""
_SECONDS = {"1h": 3600, "6h": 6 * 3600, "1d": 86_400, "3d": 3 * 86_400}
FAILURES = "UNKNOWN|DEADLINE_EXCEEDED|INTERNAL|UNAVAILABLE|DATA_LOSS"
"""Codes that are a server's fault; UNIMPLEMENTED is what callers of another version get."""
_CALLS = f"{names.SERVER_DURATION}_count"


def recordings() -> Iterator[tuple[str, str]]:
    """Name and expression of each recording rule: calls a second, and the share of them that failed, by area."""
    for window in WINDOWS:
        calls = f"sum by (node, area) (rate({_CALLS}[{window}]))"
        failed = f'sum by (node, area) (rate({_CALLS}{{rpc_response_status_code=~"{FAILURES}"}}[{window}]))'
        yield f"suan:calls:rate{window}", calls
        yield f"suan:calls_failed:ratio_rate{window}", f"({failed} or 0 * {calls}) / ({calls} > 0 or 1 + 0 * {calls})"


def burns() -> Iterator[tuple[str, float, str, str, str]]:
    """Alert, how many times too fast, long and short window, severity."""
    yield "CallsFail", 14.4, "1h", "5m", "page"
    yield "CallsFail", 6, "6h", "30m", "page"
    yield "CallsFailSlowly", 3, "1d", "2h", "ticket"
    yield "CallsFailSlowly", 1, "3d", "6h", "ticket"


def burning(factor: float, long: str, short: str) -> str:
    """Both windows burn the budget so many times too fast, and there are calls enough to say so."""
    where, bound = '{area="gateway"}', f"{factor * BUDGET:.6g}"
    return (
        f"suan:calls_failed:ratio_rate{long}{where} > {bound} "
        f"and suan:calls_failed:ratio_rate{short}{where} > {bound} "
        f"and suan:calls:rate{long}{where} * {_SECONDS[long]} > {CALLS_MIN}"
    )


def all_alerts() -> list[Alert]:
    """Those of the error budget, once for each pair of windows, and all others."""
    return [
        *(
            Alert(name, burning(factor, long, short), severity, *BURN_TEXTS[name], burn=f"{factor:g}")
            for name, factor, long, short, severity in burns()
        ),
        *ALERTS,
        *RELIED_ON,
    ]


BURN_TEXTS = {
    "CallsFail": (
        Text("Calls at the gateway fail", "网关处的调用失败"),
        Text(
            "So many calls at the gateway fail for a server's fault that the month's budget of 0.1 % is used up "
            "within "
            "days.",
            "网关处因服务端原因失败的调用过多，全月 0.1 % 的预算几天内就会用完。",
        ),
        Text(
            "Look on the dashboard *One service* which method fails with which code since when, then at one "
            "trace of it: "
            "`suan trace list`, `suan trace show`. Codes UNAVAILABLE and DEADLINE_EXCEEDED of one area point to its "
            "leader or its database (NoLeader, ComponentFault), INTERNAL to a defect in its log.",
            "在仪表板“单个服务”上看哪个方法自何时起以何代码失败，再看其一条追踪：`suan trace list`、`suan trace "
            "show`。某一领域的 "
            "UNAVAILABLE 和 DEADLINE_EXCEEDED 指向其主实例或数据库（NoLeader、ComponentFault），INTERNAL 指向其日"
            "志中的缺陷。",
        ),
    ),
    "CallsFailSlowly": (
        Text("Calls at the gateway fail now and then", "网关处的调用时有失败"),
        Text(
            "For hours or days somewhat more calls fail than the budget of 0.1 % allows.",
            "几小时或几天以来，失败的调用略多于 0.1 % 的预算。",
        ),
        Text(
            "As for CallsFail, in the morning: there is no hurry, but the month will not keep its promise.",
            "同 CallsFail，可待天明：不急，但这样下去本月达不到承诺。",
        ),
    ),
}

NO_LEADER = (
    f'max by (node, area) ({names.LEADING}{{machine=""}}) == 0 or '
    f'(max by (node, area) ({names.LEADING}{{machine!=""}}) == 0 and '
    f'count by (node, area) (count by (node, area, machine) ({names.LEADING}{{machine!=""}})) > 1)'
)
"""Of a node on several machines who scrapes one alone cannot tell: the leader may be on another."""

ALERTS = (
    Alert(
        "ProcessDown",
        'up{job="suanmesh"} == 0',
        "page",
        Text(
            "{{ $labels.process }} of {{ $labels.node }} does not answer",
            "{{ $labels.node }} 的 {{ $labels.process }} 无应答",
        ),
        Text(
            "The process has ended, hangs, or its machine cannot be reached.",
            "进程已结束、卡住，或其机器不可达。",
        ),
        Text(
            "`systemctl status` of its unit and the end of its log say why it ended; exit status 3 means a damaged "
            "store (`suan node check`), 2 a wrong setting. Where it lives and does not answer, its event loop stands "
            "still.",
            "其单元的 `systemctl status` 和日志末尾说明为何结束：退出状态 3 为存储损坏（`suan node check`），2 为"
            "设置有误。进程在而无应答，则事件循环已停。",
        ),
        "2m",
    ),
    Alert(
        "NoLeader",
        NO_LEADER,
        "page",
        Text("Nobody leads {{ $labels.area }} of {{ $labels.node }}", "{{ $labels.node }} 的 {{ $labels.area }} 无主"),
        Text(
            "Instances of the area are there and none leads: writes of the area are refused.",
            "该领域有实例而无主：该领域的写入被拒绝。",
        ),
        Text(
            "The logs of its instances say `cannot serve yet` with a reason (a full disk, a database that is away, a "
            "ledger that is not the one that led) or `campaign interrupted` where etcd has no quorum: "
            "`suan node check`.",
            "实例的日志有 `cannot serve yet` 及原因（磁盘已满、数据库不在、账本不是任主的那一个），或在 etcd 无多数"
            "派时有 `campaign interrupted`：`suan node check`。",
        ),
        "1m",
    ),
    Alert(
        "SeveralLeaders",
        f"sum by (node, area) ({names.LEADING}) > 1",
        "page",
        Text(
            "Several lead {{ $labels.area }} of {{ $labels.node }}", "{{ $labels.node }} 的 {{ $labels.area }} 有多个主"
        ),
        Text(
            "Two instances believe to lead for longer than a scrape. The fence refuses the writes of all but one; a "
            "clock that runs ahead or a frozen machine is the usual cause.",
            "两个实例都自认为主，且不止一次抓取。栅栏只放行其中之一的写入；常因时钟走快或机器冻结。",
        ),
        Text(
            "Compare `suan top` with the logs (`lead lost`); end the one that logs refused writes.",
            "对照 `suan top` 与日志（`lead lost`）；停掉写入被拒的那个。",
        ),
        "1m",
    ),
    Alert(
        "CertificateExpires",
        f"{names.CERTIFICATE_EXPIRY} / {names.CERTIFICATE_LIFETIME} < {thresholds.CERTIFICATE_LIFE_MIN}",
        "ticket",
        Text(
            "The {{ $labels.kind }} certificate of {{ $labels.process }} was not renewed",
            "{{ $labels.process }} 的 {{ $labels.kind }} 证书未更新",
        ),
        Text(
            "Less than a fifth of the certificate's life is left; it is due for renewal with a third left.",
            "证书的有效期所剩不足五分之一；应在剩三分之一时更新。",
        ),
        Text(
            "The log of the process says what keeps it from being renewed, `suan node check` how long each of the "
            "node's certificates is good for. For `ca` the authority itself is about to be over.",
            "进程的日志说明更新受阻的原因，`suan node check` 列出节点各证书的有效期。`ca` 则是机构证书自身将到期。",
        ),
        "5m",
    ),
    Alert(
        "CertificateNearlyOver",
        f"{names.CERTIFICATE_EXPIRY} / {names.CERTIFICATE_LIFETIME} < 0.05",
        "page",
        Text(
            "The {{ $labels.kind }} certificate of {{ $labels.process }} is about to expire",
            "{{ $labels.process }} 的 {{ $labels.kind }} 证书即将过期",
        ),
        Text(
            "Once it is over every call of and to the process is refused.",
            "一旦过期，该进程发出和收到的一切调用都会被拒绝。",
        ),
        Text("As for CertificateExpires, at once.", "同 CertificateExpires，立即处理。"),
        "1m",
    ),
    Alert(
        "LedgerUnbalanced",
        f"{names.IMBALANCE} != 0",
        "page",
        Text(
            "The {{ $labels.of }} of the ledger in {{ $labels.currency }} sum up to {{ $value }}",
            "账本 {{ $labels.currency }} 的 {{ $labels.of }} 之和为 {{ $value }}",
        ),
        Text(
            "Every entry sums up to nothing, so all do. Something else than accounting has written to the "
            "ledger, or it has "
            "a defect.",
            "每笔分录之和为零，总和亦然。账本被记账服务以外的程序写过，或有缺陷。",
        ),
        Text(
            "Keep a copy of the database before anything else. `SELECT entry FROM postings GROUP BY entry, currency "
            "HAVING SUM(amount_micros) <> 0` names the entries; compare with the last backup.",
            "先保存数据库副本。`SELECT entry FROM postings GROUP BY entry, currency HAVING "
            "SUM(amount_micros) <> 0` 指出不平的分录；与最近的备份比对。",
        ),
    ),
    Alert(
        "SiteLost",
        f"{names.SITE_UP} == 0",
        "ticket",
        Text("sites/{{ $labels.site }} is not heard", "sites/{{ $labels.site }} 无音讯"),
        Text(
            "The site's agent does not report: nothing new is placed there, and what ran there is placed "
            "elsewhere once it "
            "counts as lost.",
            "站点的代理不再上报：不会再有新作业安排到那里；一旦判定失联，那里运行的作业会另行安排。",
        ),
        Text(
            "`suan site health SITE` and `suan site show SITE` say whether its certificate is why. Else its owner "
            "looks "
            "at the agent's log, and `suan doctor` in the folder above the site's tries every way that it needs and "
            "tells of a wrong clock. Before a planned absence: `suan site drain SITE`.",
            "`suan site health SITE` 和 `suan site show SITE` 说明是否因证书所致。否则由其所有者查看代理日志，并在站"
            "点文件夹"
            "的上一级运行 `suan doctor`：它逐一尝试所需的通路，并指出时钟错误。计划内的离线应先 `suan site drain "
            "SITE`。",
        ),
        "5m",
    ),
    Alert(
        "WatchBehind",
        f"{names.WATCH_LAG} > {thresholds.WATCH_LAG_S_MAX:g}",
        "page",
        Text("{{ $labels.process }} is told of changes late", "{{ $labels.process }} 得知变化过晚"),
        Text(
            "What others write the process sees seconds later: its decisions are about a mesh that was.",
            "他处的写入数秒后才为该进程所见：其决定针对的是过去的状态。",
        ),
        Text(
            "No majority of etcd's members (EtcdWithoutLeader), slow disks of etcd (its log `etcd/*/etcd.log` in the "
            "node's folder says `took too long`), an event loop that is late (EventLoopLate), or a network between "
            "them. `suan node check NODE` asks each member.",
            "etcd 成员不足多数（EtcdWithoutLeader）、etcd 的磁盘慢（节点文件夹中其日志 `etcd/*/etcd.log` 有 `took too "
            "long`）、事件循环迟到（EventLoopLate），或两者之间的网络。`suan node check NODE` 逐个询问成员。",
        ),
        "2m",
    ),
    Alert(
        "EventLoopLate",
        f"histogram_quantile(0.99, sum by (node, area, process, le) (rate({names.LOOP_LAG}_bucket[5m]))) > 1",
        "ticket",
        Text("{{ $labels.process }} comes late to what is due", "{{ $labels.process }} 的事件循环迟到"),
        Text(
            "Its machine has no processor time for it, or one piece of work holds it up for more than a second.",
            "机器没有足够的处理器时间，或某项工作占用超过一秒。",
        ),
        Text(
            "Look at the load of the machine; else at what the process did then: `suan trace list`.",
            "先看机器负载，再看进程当时所做：`suan trace list`。",
        ),
        "5m",
    ),
    Alert(
        "QueueStuck",
        f"max by (node) ({names.QUEUE_OLDEST}) > 1800 and sum by (node) (increase({names.JOBS_ENDED}[30m])) == 0",
        "ticket",
        Text("Jobs of {{ $labels.node }} wait and none ends", "{{ $labels.node }} 的作业在等待而无一结束"),
        Text(
            "A job has waited for half an hour, and in that time not one has ended.",
            "有作业已等待半小时，其间没有任何作业结束。",
        ),
        Text(
            "The dashboard *Jobs and reasons* says for what they wait; `suan job explain` of one of them names "
            "what is "
            "missing, and the nearest remedy.",
            "仪表板“作业与原因”说明在等什么；对其中一个 `suan job explain` 会指出所缺及最近的办法。",
        ),
        "10m",
    ),
    Alert(
        "Defects",
        f"sum by (node, area) (increase({names.DEFECTS}[15m]) or 0 * {names.BUILD}) > 0",
        "ticket",
        Text(
            "{{ $labels.area }} of {{ $labels.node }} met a defect of its own",
            "{{ $labels.node }} 的 {{ $labels.area }} 遇到自身缺陷",
        ),
        Text(
            "Work on one item ended with an exception that nobody foresaw; it is tried again, later each time.",
            "对某一对象的处理因未预见的异常而中断；会一再重试，间隔渐长。",
        ),
        Text(
            "The log has the traceback and names the item; `suan support-bundle` gathers what a report needs.",
            "日志载有回溯和对象；`suan support-bundle` 收集报告所需的内容。",
        ),
    ),
    Alert(
        "SpansDropped",
        f"increase({names.SPANS_DROPPED}[15m]) > 0",
        "ticket",
        Text(
            "Spans of {{ $labels.process }} do not reach {{ $labels.backend }}",
            "{{ $labels.process }} 的跨度未达 {{ $labels.backend }}",
        ),
        Text("Traces have holes: the receiver is away, or takes too little.", "追踪有缺漏：后端不在，或收得太少。"),
        Text("Look at that receiver; calls are not held up by it.", "查看该后端；调用不受其影响。"),
    ),
    Alert(
        "LinkFull",
        f"{names.LINK_RESERVED} / {names.LINK_CAPACITY} > 0.95",
        "ticket",
        Text("links/{{ $labels.link }} is full", "links/{{ $labels.link }} 已满"),
        Text("Jobs with data over it wait, or take dearer ways.", "需经此链路传数据的作业在等待，或改走更贵的路径。"),
        Text(
            "`suan reservation list` says who holds it; declare more capacity where there is.",
            "`suan reservation list` 说明被谁占用；如有更多容量则声明之。",
        ),
        "30m",
    ),
    Alert(
        "UsageUnpaid",
        f"{names.QUARANTINED} > 0",
        "ticket",
        Text(
            "Accounting of {{ $labels.node }} keeps usage that no hold pays for",
            "{{ $labels.node }} 留有无预留为其付费的用量",
        ),
        Text(
            "A site has metered work that accounting knows no hold of: it is dropped after a week, unpaid.",
            "站点计量了记账服务不知有预留的工作：一周后丢弃，不予支付。",
        ),
        Text(
            "Look which site reports it (log of accounting); a restored ledger is the usual cause.",
            "看记账服务日志中是哪个站点所报；常因账本曾被恢复。",
        ),
        "15m",
    ),
)
