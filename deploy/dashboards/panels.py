"""What each dashboard shows: queries in PromQL with a title in both languages; `generate.py` makes the JSON."""

from __future__ import annotations

from dataclasses import dataclass

from suanmesh_kernel.texts import Text
from suanmesh_telemetry import names

RATE = "$__rate_interval"
NODE = 'node=~"$node"'
CALLS = names.SERVER_DURATION
FAILURES = "UNKNOWN|DEADLINE_EXCEEDED|INTERNAL|UNAVAILABLE|DATA_LOSS"


@dataclass(frozen=True)
class Panel:
    """One picture: a query, what each line of it is called, and in which unit."""

    title: Text
    query: str
    legend: str = ""
    unit: str = "short"
    stat: bool = False
    """One number instead of a line over time."""
    exemplars: bool = False


@dataclass(frozen=True)
class Board:
    """One dashboard."""

    uid: str
    title: Text
    panels: tuple[Panel, ...]
    choose: str = ""
    """Label of `choose_of` whose value is chosen, besides the node."""
    choose_of: str = ""


def _quantile(share: float, by: str, where: str) -> str:
    return f"histogram_quantile({share}, sum by ({by}, le) (rate({CALLS}_bucket{{{where}}}[{RATE}])))"


def _rate(metric: str, by: str, where: str = NODE) -> str:
    return f"sum by ({by}) (rate({metric}{{{where}}}[{RATE}]))"


OVERVIEW = Board(
    "suanmesh-overview",
    Text("Overview", "总览"),
    (
        Panel(Text("Processes that answer", "有应答的进程"), f"sum by (area) (up{{{NODE}}})", "{{area}}", stat=True),
        Panel(
            Text("Who leads", "各领域的主"),
            f"max by (area, process) ({names.LEADING}{{{NODE}}})",
            "{{process}}",
            stat=True,
        ),
        Panel(Text("Versions", "版本"), f"count by (version) ({names.BUILD}{{{NODE}}})", "{{version}}", stat=True),
        Panel(
            Text("Life left of certificates", "证书剩余有效期比例"),
            f"min by (kind) ({names.CERTIFICATE_EXPIRY}{{{NODE}}} / {names.CERTIFICATE_LIFETIME}{{{NODE}}})",
            "{{kind}}",
            "percentunit",
            stat=True,
        ),
        Panel(Text("Calls a second", "每秒调用"), _rate(f"{CALLS}_count", "area"), "{{area}}", "reqps"),
        Panel(
            Text("Share of calls that fail, 5 minutes", "调用失败比例，5 分钟"),
            f"suan:calls_failed:ratio_rate5m{{{NODE}}}",
            "{{area}}",
            "percentunit",
        ),
        Panel(
            Text("Duration of calls, 95 %", "调用时长，95 %"),
            _quantile(0.95, "area", f'{NODE}, rpc_method!~".*/(Watch|Follow|Fetch).*"'),
            "{{area}}",
            "s",
            exemplars=True,
        ),
        Panel(Text("Watch lag", "监视延迟"), f"max by (process) ({names.WATCH_LAG}{{{NODE}}})", "{{process}}", "s"),
        Panel(
            Text("Event loop late, 99 %", "事件循环迟到，99 %"),
            f"histogram_quantile(0.99, sum by (process, le) (rate({names.LOOP_LAG}_bucket{{{NODE}}}[{RATE}])))",
            "{{process}}",
            "s",
        ),
        Panel(
            Text("Processor time", "处理器时间"),
            _rate("process_cpu_seconds_total", "process"),
            "{{process}}",
            "percentunit",
        ),
        Panel(Text("Memory", "内存"), f"process_resident_memory_bytes{{{NODE}}}", "{{process}}", "bytes"),
        Panel(Text("Sites", "站点"), f"sum by (liveness) ({names.SITES}{{{NODE}}})", "{{liveness}}", stat=True),
    ),
)

JOBS = Board(
    "suanmesh-jobs",
    Text("Jobs and reasons", "作业与原因"),
    (
        Panel(Text("Jobs by state", "作业，按状态"), f"sum by (state) ({names.JOBS}{{{NODE}}})", "{{state}}"),
        Panel(
            Text("Jobs that wait, by reason", "等待的作业，按原因"),
            f"sum by (reason) ({names.QUEUE_JOBS}{{{NODE}}})",
            "{{reason}}",
        ),
        Panel(Text("Longest wait", "最长等待"), f"max by (node) ({names.QUEUE_OLDEST}{{{NODE}}})", "{{node}}", "s"),
        Panel(
            Text("Jobs that end, a minute", "每分钟结束的作业"),
            f"60 * {_rate(names.JOBS_ENDED, 'state')}",
            "{{state}}",
        ),
        Panel(
            Text("Placements at sites, by stage", "站点上的安排，按阶段"),
            f"sum by (stage) ({names.PLACEMENTS}{{{NODE}}})",
            "{{stage}}",
        ),
        Panel(
            Text("Runs that sites failed", "站点失败次数"),
            f"sum by (site) (increase({names.SITE_FAULTS}{{{NODE}}}[1h]) or 0 * {names.SITE_UP}{{{NODE}}})",
            "{{site}}",
        ),
        Panel(
            Text("Submissions a second", "每秒提交"),
            _rate(
                f"{CALLS}_count", "rpc_response_status_code", f'{NODE}, area="scheduler", rpc_method=~".*/SubmitJobs"'
            ),
            "{{rpc_response_status_code}}",
            "reqps",
        ),
        Panel(
            Text("Defects of ours", "自身缺陷"),
            f"sum by (area) (increase({names.DEFECTS}{{{NODE}}}[1h]) or 0 * {names.BUILD}{{{NODE}}})",
            "{{area}}",
        ),
    ),
)

_SITE = f'{NODE}, site=~"$site"'
SITE = Board(
    "suanmesh-site",
    Text("A site", "单个站点"),
    (
        Panel(Text("Heard", "有音讯"), f"max by (site) ({names.SITE_UP}{{{_SITE}}})", "{{site}}", stat=True),
        Panel(
            Text("Processor time offered", "提供的处理器时间"),
            f"sum by (site) ({names.SITE_CPU}{{{_SITE}}})",
            "{{site}}",
        ),
        Panel(
            Text("Processor time in use", "处理器时间占用"),
            f"1 - sum by (site) ({names.SITE_CPU_FREE}{{{_SITE}}}) / sum by (site) ({names.SITE_CPU}{{{_SITE}}})",
            "{{site}}",
            "percentunit",
        ),
        Panel(
            Text("Memory in use", "内存占用"),
            f"1 - sum by (site) ({names.SITE_MEMORY_FREE}{{{_SITE}}}) / sum by (site) ({names.SITE_MEMORY}{{{_SITE}}})",
            "{{site}}",
            "percentunit",
        ),
        Panel(
            Text("Placements, by stage", "安排，按阶段"),
            f'sum by (at_site, stage) ({names.PLACEMENTS}{{{NODE}, at_site=~"$site"}})',
            "{{at_site}} {{stage}}",
        ),
        Panel(
            Text("Room on the agent's disk", "代理磁盘剩余空间"),
            f'min by (at_site) ({names.DISK_FREE}{{{NODE}, at_site=~"$site"}})',
            "{{at_site}}",
            "bytes",
        ),
        Panel(
            Text("Runs it failed, an hour", "每小时失败次数"),
            f"sum by (site) (increase({names.SITE_FAULTS}{{{_SITE}}}[1h]) or 0 * {names.SITE_UP}{{{_SITE}}})",
            "{{site}}",
        ),
        Panel(
            Text("Calls its agent makes", "其代理发出的调用"),
            _rate(f"{names.CLIENT_DURATION}_count", "rpc_response_status_code", f'{NODE}, at_site=~"$site"'),
            "{{rpc_response_status_code}}",
            "reqps",
        ),
    ),
    choose="site",
    choose_of=names.SITE_UP,
)

NETWORK = Board(
    "suanmesh-network",
    Text("Network", "网络"),
    (
        Panel(
            Text("Capacity held", "占用的容量"),
            f"sum by (link) ({names.LINK_RESERVED}{{{NODE}}}) / sum by (link) ({names.LINK_CAPACITY}{{{NODE}}})",
            "{{link}}",
            "percentunit",
        ),
        Panel(
            Text("Bandwidth held", "占用的带宽"),
            f"sum by (link) ({names.LINK_RESERVED}{{{NODE}}})",
            "{{link}}",
            "bps",
        ),
        Panel(Text("Capacity", "容量"), f"sum by (link) ({names.LINK_CAPACITY}{{{NODE}}})", "{{link}}", "bps"),
        Panel(Text("Round trip", "往返时间"), f"max by (link) ({names.LINK_ROUND_TRIP}{{{NODE}}})", "{{link}}", "s"),
        Panel(
            Text("Paths asked for, a second", "每秒路径查询"),
            _rate(f"{CALLS}_count", "rpc_method", f'{NODE}, area="network_orchestrator"'),
            "{{rpc_method}}",
            "reqps",
        ),
    ),
)

TRANSFERS = Board(
    "suanmesh-transfers",
    Text("Transfers", "搬运"),
    (
        Panel(Text("Transfers by state", "搬运，按状态"), f"sum by (state) ({names.TRANSFERS}{{{NODE}}})", "{{state}}"),
        Panel(Text("Bytes a second", "每秒字节"), _rate(names.TRANSFERRED, "node"), "{{node}}", "Bps"),
        Panel(
            Text("Bytes brought, a day", "每日送达字节"),
            f"sum by (node) (increase({names.TRANSFERRED}{{{NODE}}}[1d]))",
            "{{node}}",
            "bytes",
        ),
        Panel(
            Text("Calls of the transport", "传输服务的调用"),
            _rate(f"{CALLS}_count", "rpc_method", f'{NODE}, area="transport"'),
            "{{rpc_method}}",
            "reqps",
        ),
        Panel(
            Text("Chunks asked of sites", "向站点请求数据块"),
            _rate(f"{CALLS}_count", "rpc_method", f'{NODE}, area="agent"'),
            "{{rpc_method}}",
            "reqps",
        ),
    ),
)

MONEY = Board(
    "suanmesh-money",
    Text("Money", "资金"),
    (
        Panel(
            Text("Sum of the ledger: 0", "账本之和：0"),
            f"sum by (currency, of) ({names.IMBALANCE}{{{NODE}}})",
            "{{of}} {{currency}}",
            stat=True,
        ),
        Panel(
            Text("Ledger summed up, ago", "距上次合计"),
            f"max by (node) ({names.BOOKS_CHECKED}{{{NODE}}})",
            "{{node}}",
            "s",
            stat=True,
        ),
        Panel(
            Text("Money by kind of account", "资金，按账户类别"),
            f"sum by (currency, kind) ({names.BALANCE}{{{NODE}}})",
            "{{kind}} {{currency}}",
        ),
        Panel(Text("Money held", "预留的资金"), f"sum by (currency) ({names.HELD}{{{NODE}}})", "{{currency}}"),
        Panel(Text("Holds", "预留"), f"sum by (state) ({names.HOLDS}{{{NODE}}})", "{{state}}"),
        Panel(
            Text("Usage that no hold pays for", "无预留付费的用量"),
            f"sum by (node) ({names.QUARANTINED}{{{NODE}}})",
            "{{node}}",
        ),
        Panel(
            Text("Usage sent back or dropped, an hour", "每小时退回或丢弃的用量"),
            f"sum by (node) (increase({names.QUARANTINE_REFUSED}{{{NODE}}}[1h]) "
            f"+ increase({names.QUARANTINE_EXPIRED}{{{NODE}}}[1h]))",
            "{{node}}",
        ),
        Panel(
            Text("Usage reported, a second", "每秒用量上报"),
            _rate(
                f"{CALLS}_count", "rpc_response_status_code", f'{NODE}, area="accounting", rpc_method=~".*/RecordUsage"'
            ),
            "{{rpc_response_status_code}}",
            "reqps",
        ),
    ),
)

_AREA = f'{NODE}, area=~"$area"'
SERVICE = Board(
    "suanmesh-service",
    Text("One service", "单个服务"),
    (
        Panel(
            Text("Calls a second", "每秒调用"),
            _rate(f"{CALLS}_count", "rpc_method", _AREA),
            "{{rpc_method}}",
            "reqps",
        ),
        Panel(
            Text("Calls by code", "调用，按代码"),
            _rate(f"{CALLS}_count", "rpc_response_status_code", _AREA),
            "{{rpc_response_status_code}}",
            "reqps",
        ),
        Panel(
            Text("Calls that fail, by method", "失败的调用，按方法"),
            f'sum by (rpc_method) (rate({CALLS}_count{{{_AREA}, rpc_response_status_code=~"{FAILURES}"}}[{RATE}]) '
            f"or 0 * rate({CALLS}_count{{{_AREA}}}[{RATE}]))",
            "{{rpc_method}}",
            "reqps",
        ),
        Panel(
            Text("Duration, half", "时长，中位"),
            _quantile(0.5, "rpc_method", _AREA),
            "{{rpc_method}}",
            "s",
            exemplars=True,
        ),
        Panel(
            Text("Duration, 99 %", "时长，99 %"),
            _quantile(0.99, "rpc_method", _AREA),
            "{{rpc_method}}",
            "s",
            exemplars=True,
        ),
        Panel(
            Text("Calls it makes", "发出的调用"),
            _rate(f"{names.CLIENT_DURATION}_count", "rpc_method", _AREA),
            "{{rpc_method}}",
            "reqps",
        ),
        Panel(
            Text("What it relies on", "所依赖之物"),
            f"min by (component) ({names.COMPONENT_SERVING}{{{NODE}}})",
            "{{component}}",
            stat=True,
        ),
        Panel(
            Text("Spans dropped, an hour", "每小时丢弃的跨度"),
            f"sum by (process, backend) (increase({names.SPANS_DROPPED}{{{_AREA}}}[1h]))",
            "{{process}} {{backend}}",
        ),
        Panel(
            Text("Log lines dropped, an hour", "每小时丢弃的日志行"),
            f"sum by (process) (increase({names.LOG_LINES_DROPPED}{{{_AREA}}}[1h]))",
            "{{process}}",
        ),
        Panel(Text("Open files", "打开的文件"), f"process_open_fds{{{_AREA}}}", "{{process}}"),
        Panel(
            Text("Clock ahead of the gateway's", "时钟超前于网关"),
            f"max by (process) ({names.CLOCK_SKEW}{{{_AREA}}})",
            "{{process}}",
            "s",
        ),
    ),
    choose="area",
    choose_of="up",
)

BOARDS = (OVERVIEW, JOBS, SITE, NETWORK, TRANSFERS, MONEY, SERVICE)
