"""What the network orchestrator refuses with."""

from __future__ import annotations

from typing import Final

from suanmesh_kernel.texts import Explanation, Text

EXPLAINED: Final[dict[str, Explanation]] = {
    "FIELD_INVALID": Explanation(
        "caller",
        Text(
            "A field of a link or of a question for paths is out of its range; `field` names it.",
            "链路或通路查询的字段超出范围；`field` 是字段名。",
        ),
        Text(
            "Correct the field that is named; rates are written such as `100Mbit/s`, latencies such as `8ms`.",
            "改正所指的字段；速率写作 `100Mbit/s`，时延写作 `8ms`。",
        ),
        ("suan link declare", "suan path find"),
    ),
    "LINK_EXISTS": Explanation(
        "operator",
        Text(
            "A link of that name joins `source` to `target` already, and the ends of a link never change.",
            "该名称的链路已连接 `source` 与 `target`，而链路的两端不会改变。",
        ),
        Text(
            "Declare another link for other ends, or leave `--from` and `--to` out to change this one.",
            "为其他两端另行声明链路；若要修改此链路，省略 `--from` 和 `--to`。",
        ),
        ("suan link show", "suan link declare"),
    ),
    "BANDWIDTH_EXHAUSTED": Explanation(
        "caller",
        Text(
            "Every path within the latency bound runs over a link that is reserved up to what it has: `link` has "
            "`available_bps` left of `needed_bps`.",
            "时延上限内的每条通路都经过已预约满的链路：`link` 仅剩 `available_bps`，需要 `needed_bps`。",
        ),
        Text(
            "Ask for less bandwidth or more latency, or wait until a reservation on the link that is named ends.",
            "减少带宽或放宽时延，或等待所指链路上的预约结束。",
        ),
        ("suan path explain", "suan reservation list"),
    ),
    "NO_PATH": Explanation(
        "caller",
        Text(
            "No links lead from `source` to `target`, or the fastest way takes `least_latency_us`, longer than is "
            "allowed.",
            "没有从 `source` 到 `target` 的链路，或最快的通路为 `least_latency_us` 微秒，超过允许的时延。",
        ),
        Text(
            "Allow more latency, choose another site, or have the network operator declare a link.",
            "放宽时延、换一个站点，或请网络运营方声明链路。",
        ),
        ("suan path explain", "suan link list"),
    ),
    "HOLD_LAPSED": Explanation(
        "service",
        Text(
            "The scheduler's round for which bandwidth was held was over before it was committed, as after a restart.",
            "为之预留带宽的调度轮次在提交之前已结束，例如调度器重启。",
        ),
        Text(
            "Nothing: the scheduler decides the job anew and reserves again.",
            "无需处理：调度器会重新裁决作业并再次预留。",
        ),
        ("suan job explain",),
    ),
    "NOT_OWNER": Explanation(
        "agent",
        Text(
            "An agent reports measurements of links that do not begin at its own site.",
            "代理所报测量的链路不是从其自身站点出发的。",
        ),
        Text("Start each agent with the identity of its own site.", "用各站点自己的身份启动代理。"),
        ("suan site health",),
    ),
    "LINKS_TOO_MANY": Explanation(
        "operator",
        Text("The node has as many links as it may have, `most`.", "本节点的链路数已达上限 `most`。"),
        Text("Remove links that nobody uses any more.", "移除不再使用的链路。"),
        ("suan link list", "suan link rm"),
    ),
    "LINK_UNKNOWN": Explanation(
        "caller",
        Text("No link of that name was declared, or it has been removed.", "没有声明该名称的链路，或它已被移除。"),
        Text("Correct the name: `suan link list` shows the links.", "改正名称：`suan link list` 列出链路。"),
        ("suan link list",),
    ),
    "LINK_IN_USE": Explanation(
        "operator",
        Text(
            "Reservations hold `reserved_bps` of the link, for data that moves or will move over it.",
            "预约占用该链路的 `reserved_bps`，供正在或将要经过的数据使用。",
        ),
        Text(
            "Wait until they have ended: `suan reservation list` says which placements they are for.",
            "等待其结束：`suan reservation list` 显示各预约所属的落位。",
        ),
        ("suan reservation list",),
    ),
    "RESERVATION_UNKNOWN": Explanation(
        "caller",
        Text(
            "No reservation of that name is there, or it is another party's.",
            "没有该名称的预约，或它属于另一主体。",
        ),
        Text(
            "Correct the name: `suan reservation list` shows yours.",
            "改正名称：`suan reservation list` 列出你的预约。",
        ),
        ("suan reservation list",),
    ),
}
"""By reason."""
