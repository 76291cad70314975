"""What the gateway refuses with, beside what it passes on."""

from __future__ import annotations

from typing import Final

from suanmesh_kernel.texts import Explanation, Text

EXPLAINED: Final[dict[str, Explanation]] = {
    "TRACE_UNKNOWN": Explanation(
        "caller",
        Text(
            "No spans of that trace are kept: it is a moment old and they have not arrived, older than a week, or "
            "another party's.",
            "没有保存该追踪的跨度：它刚刚产生而跨度尚未到达、已超过一周，或属于另一主体。",
        ),
        Text(
            "Try again in a second: spans arrive in batches; after a week they are dropped.",
            "稍等一秒再试：跨度分批到达；一周后会被清除。",
        ),
        ("suan trace show", "suan trace list"),
    ),
    "FIELD_INVALID": Explanation(
        "caller",
        Text(
            "The name of a trace is not `traces/` and 32 hex digits, or more spans were sent at once than are "
            "taken; `field` names it.",
            "追踪名称不是 `traces/` 加 32 位十六进制数字，或一次发送的跨度过多；`field` 是字段名。",
        ),
        Text(
            "Take the name from `suan bill show` or `suan trace list`.",
            "从 `suan bill show` 或 `suan trace list` 取得名称。",
        ),
        ("suan trace list", "suan bill show"),
    ),
    "TICKET_INVALID": Explanation(
        "caller",
        Text(
            "The ticket in the first message was made out for somebody else than the caller.",
            "首个消息中的票据是发给另一调用者的。",
        ),
        Text(
            "Ask for a ticket of your own: repeat the whole command with one context.",
            "申请自己的票据：用同一上下文重复整个命令。",
        ),
        ("suan ctx show",),
    ),
    "SITE_NOT_REACHABLE": Explanation(
        "caller",
        Text(
            "The site has joined and has not told an address for its data yet: its agent has never run, or runs "
            "without a data plane.",
            "站点已加入但尚未告知数据地址：其代理从未运行，或没有数据面。",
        ),
        Text(
            "Use another site, or have its operator start the agent: `suan site health`.",
            "使用另一站点，或请其运营方启动代理：`suan site health`。",
        ),
        ("suan site health", "suan site show"),
    ),
    "SITE_NOT_CONNECTED": Explanation(
        "operator",
        Text(
            "The site only dials out, and its agent has no stream open to this gateway at the moment: it is being "
            "restarted, its line is down, or it knows only other gateways.",
            "站点只向外连接，而其代理此刻没有连到此网关：代理正在重启、线路中断，或只知道其他网关。",
        ),
        Text(
            "Wait: the call is tried again, elsewhere too, and the agent dials again by itself. Where that lasts: "
            "`suan site health`.",
            "请等待：调用会重试，也会换网关重试，代理会自行重连。若持续如此：`suan site health`。",
        ),
        ("suan site health", "suan site show"),
    ),
    "CALL_UNKNOWN": Explanation(
        "caller",
        Text(
            "An agent came to take a call whose caller has gone meanwhile, or that another stream of it has taken.",
            "代理来接的调用，其调用者已离开，或已被该代理的另一条流接走。",
        ),
        Text(
            "Nothing needs to be done: whoever still wants an answer has called again.",
            "无需处理：仍需要答复的调用者已重新调用。",
        ),
        ("suan site health",),
    ),
}
"""By reason."""
