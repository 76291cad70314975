"""What accounting refuses with."""

from __future__ import annotations

from typing import Final

from suanmesh_kernel.texts import Explanation, Text

EXPLAINED: Final[dict[str, Explanation]] = {
    "FIELD_INVALID": Explanation(
        "caller",
        Text(
            "An amount, a price, a period or a usage record is out of its range; `field` names it.",
            "金额、价格、期间或用量记录超出范围；`field` 是字段名。",
        ),
        Text(
            "Correct the field that is named; amounts are written such as `100` or `0.18/core-h`.",
            "改正所指的字段；金额写作 `100`，价格写作 `0.18/core-h`。",
        ),
        ("suan account credit", "suan price set"),
    ),
    "ACCOUNT_UNKNOWN": Explanation(
        "caller",
        Text(
            "No account of that name is there, or it is another party's, which is answered the same way.",
            "没有该名称的账户，或它属于另一主体（两者的答复相同）。",
        ),
        Text(
            "Correct the name: `suan account list` shows your accounts.",
            "改正名称：`suan account list` 列出你的账户。",
        ),
        ("suan account list",),
    ),
    "ACCOUNT_EXISTS": Explanation(
        "operator",
        Text(
            "An account of that name was opened before, and may have been closed since.",
            "该名称的账户早已开立，可能此后已关闭。",
        ),
        Text("Use the account that is there, or choose another name.", "使用已有的账户，或换一个名称。"),
        ("suan account show",),
    ),
    "PRICE_UNKNOWN": Explanation(
        "caller",
        Text(
            "No price book of that name was published, or the pool's offer names one that is not there.",
            "没有发布过该名称的价目，或资源池的报价所指的价目不存在。",
        ),
        Text(
            "Correct the name: `suan price list` shows the price books; the operator publishes one with `suan "
            "price set`.",
            "改正名称：`suan price list` 列出价目；由运营方用 `suan price set` 发布。",
        ),
        ("suan price list", "suan price set"),
    ),
    "BUDGET_EXHAUSTED": Explanation(
        "caller",
        Text(
            "What was charged to the account in this calendar month (UTC) and what is held leave too little of its "
            "hard budget; `missing_micros` says by how much.",
            "该账户本自然月（UTC）已收取的费用与预留之后，硬性预算所剩不足；`missing_micros` 为差额。",
        ),
        Text(
            "Wait for `renew_time`, when another month begins, or raise the budget: `suan budget set`. Jobs that wait "
            "are placed then by themselves.",
            "等到 `renew_time` 进入下一月，或用 `suan budget set` 提高预算；等待中的作业届时会自行落位。",
        ),
        ("suan budget list", "suan budget set"),
    ),
    "PARTY_BUDGET_EXHAUSTED": Explanation(
        "caller",
        Text(
            "What was charged to all accounts of the party in the currency in this calendar month (UTC) and what they "
            "hold leave too little of the party's hard budget; `missing_micros` says by how much.",
            "该主体此币种全部账户本自然月（UTC）已收取的费用与预留之后，其硬性预算所剩不足；`missing_micros` 为差额。",
        ),
        Text(
            "Wait for `renew_time`, when another month begins, or raise the budget: `suan budget set --party`. Another "
            "account of the party does not help. Jobs that wait are placed then by themselves.",
            "等到 `renew_time` 进入下一月，或用 `suan budget set --party` 提高预算；换用该主体的另一账户无济于事。"
            "等待中的作业届时会自行落位。",
        ),
        ("suan budget list --party", "suan budget set --party"),
    ),
    "BALANCE_INSUFFICIENT": Explanation(
        "caller",
        Text(
            "What the account has, less what is held for jobs that live, is `missing_micros` short of what is to "
            "be held or paid.",
            "账户余额减去在用作业的预留后，比要预留或支付的金额少 `missing_micros` 微元。",
        ),
        Text(
            "Have the operator credit the account, or lower what the job asks for and its longest run: the most it "
            "may cost is held.",
            "请运营方为账户充值，或降低作业的需求和最长运行时间：预留的是它最多可能花费的金额。",
        ),
        ("suan budget list", "suan hold list", "suan account credit"),
    ),
    "HOLD_LAPSED": Explanation(
        "service",
        Text(
            "The scheduler's round for which money was held was over before it was committed, or the hold was "
            "given back already.",
            "为之预留资金的调度轮次在提交之前已结束，或预留已被归还。",
        ),
        Text(
            "Nothing: the scheduler decides the job anew and holds again.",
            "无需处理：调度器会重新裁决作业并再次预留。",
        ),
        ("suan job explain", "suan hold list"),
    ),
    "USAGE_SIGNATURE_INVALID": Explanation(
        "agent",
        Text(
            "A batch of usage is not signed with a key of the site, or a record is not one of the batch that was "
            "signed.",
            "一批用量不是用站点的密钥签名的，或其中的记录不属于所签名的那一批。",
        ),
        Text(
            "Start the agent on its own folder and identity; the records stay in its journal and are sent again.",
            "用代理自己的文件夹和身份启动；记录仍在其日志簿中，会重新发送。",
        ),
        ("suan site health",),
    ),
    "USAGE_NOT_RATABLE": Explanation(
        "agent",
        Text(
            "No committed hold pays for the placement of the record, or the hold is for another site. The record "
            "is kept for a week.",
            "没有已提交的预留为该记录的落位支付，或预留属于另一站点。记录保留一周。",
        ),
        Text(
            "Nothing: it is rated by itself once a hold is there. Where it lasts, the operator compares `suan hold "
            "list` with the site's work.",
            "无需处理：有预留后会自动计费。若持续如此，运营方应核对 `suan hold list` 与该站点的工作。",
        ),
        ("suan hold list", "suan usage list"),
    ),
    "CURRENCY_MISMATCH": Explanation(
        "operator",
        Text(
            "The price is in another currency than the account; money is never exchanged here.",
            "价格所用的货币与账户不同；此处不做兑换。",
        ),
        Text(
            "Use an account in the currency of the price, or publish a price book in the account's.",
            "使用与价格同币种的账户，或以账户的币种发布价目。",
        ),
        ("suan account list", "suan price list"),
    ),
    "USAGE_CONFLICT": Explanation(
        "agent",
        Text(
            "The site has sent another record under the same meter epoch and sequence number: its journal was "
            "copied or put back.",
            "站点曾以同一计量期和序号发送过不同的记录：其日志簿被复制或回退过。",
        ),
        Text(
            "Never run two agents on copies of one folder; the record that came first stands, and the agent begins "
            "a new epoch.",
            "不要在同一文件夹的副本上运行两个代理；先到的记录有效，代理会开始新的计量期。",
        ),
        ("suan usage list",),
    ),
    "QUARANTINE_FULL": Explanation(
        "agent",
        Text(
            "The site has as many records that no hold pays for as are kept, 1000 or 1 MiB unless configured.",
            "站点无预留支付的记录已达暂存上限（默认 1000 条或 1 MiB）。",
        ),
        Text(
            "Nothing: the agent keeps its records and sends them again; the operator looks why no hold pays for "
            "that site's work.",
            "无需处理：代理会保留记录并重新发送；运营方应查明为何没有预留为该站点的工作支付。",
        ),
        ("suan usage list", "suan hold list"),
    ),
    "ACCOUNTS_TOO_MANY": Explanation(
        "operator",
        Text(
            "The party has as many accounts as it may have, `most`; closed ones count.",
            "主体的账户数已达上限 `most`；已关闭的也计算在内。",
        ),
        Text(
            "Use an account that is there; labels of jobs divide a bill as finely as accounts do.",
            "使用已有的账户；作业的标签同样可以细分账单。",
        ),
        ("suan account list", "suan bill show"),
    ),
    "PRICE_BOOKS_TOO_MANY": Explanation(
        "operator",
        Text(
            "There are as many price books, or versions of this one, as may be, `most`.",
            "价目数或该价目的版本数已达上限 `most`。",
        ),
        Text(
            "Publish under a name that is there and has room, or change prices less often.",
            "在已有且未满的价目名下发布，或降低调价频率。",
        ),
        ("suan price history",),
    ),
    "USAGE_TOO_FAST": Explanation(
        "agent",
        Text(
            "The site sends more than 400 usage records a second for longer than its burst of 50,000 lasts, unless "
            "configured.",
            "站点上报用量的速度超过每秒 400 条，且已用完 50000 条的突发量（默认值）。",
        ),
        Text(
            "Nothing: the agent keeps its records and sends them after the delay; raise "
            "SUANMESH_AGENT_METER_EVERY_S where it lasts.",
            "无需处理：代理会保留记录并在给定时间后发送；若持续如此，提高 SUANMESH_AGENT_METER_EVERY_S。",
        ),
        ("suan usage list",),
    ),
    "USAGE_KEY_LAPSED": Explanation(
        "agent",
        Text(
            "The batch is signed with the site's key `key_id`, which is not good at the time of the signature.",
            "该批用量用站点的密钥 `key_id` 签名，而签名时该密钥不在有效期内。",
        ),
        Text(
            "Check the clock of the agent's machine; the agent signs what is left with its newest key.",
            "检查代理所在机器的时钟；代理会用最新的密钥为其余用量签名。",
        ),
        ("suan site health",),
    ),
    "ACCOUNT_CLOSED": Explanation(
        "caller",
        Text(
            "The account was closed: it takes no money and pays for nothing new.",
            "账户已关闭：不再收款，也不再支付新的费用。",
        ),
        Text("Use another account of the party, or have one opened.", "使用该主体的另一账户，或请运营方开立。"),
        ("suan account list", "suan account create"),
    ),
    "ACCOUNT_IN_USE": Explanation(
        "operator",
        Text(
            "Holds still promise `held_micros` of the account, or it owes money: closing it now would leave "
            "somebody unpaid.",
            "预留仍占用账户的 `held_micros` 微元，或账户有欠款：此时关闭会使某方收不到款。",
        ),
        Text(
            "Wait until the jobs behind `suan hold list` have ended, credit what is owed, then close it.",
            "等 `suan hold list` 所列作业结束，补足欠款后再关闭。",
        ),
        ("suan hold list", "suan account show"),
    ),
}
"""By reason."""
