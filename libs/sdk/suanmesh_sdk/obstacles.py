"""What an obstacle says, and what the job's owner can do about it, in English and Chinese."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from suanmesh_kernel.texts import Text
from suanmesh_sdk.enums import enum_name
from suanmesh_sdk.state_reasons import figures, filled, named, words

if TYPE_CHECKING:
    from suanmesh.scheduler.v1 import decision_pb2


class ObstacleText(NamedTuple):
    """What an obstacle means, what can be done, and its sentences with the facts in braces.

    A number may be shown as a kind of figure. The first sentence whose facts are all known is the one; `needed`,
    `available` and `resource` are facts, too.
    """

    meaning: Text
    advice: Text
    sentences: tuple[Text, ...]


def _room(english: str, chinese: str, kind: str = "") -> tuple[Text, ...]:
    """How a measure lacks: of a gang, of the host that comes nearest, of every host; its numbers are of a `kind`."""
    per_task, needed, available = (f"{{{name}{kind}}}" for name in ("per_task", "needed", "available"))
    return (
        Text(
            f"{{tasks}} tasks of {per_task} {english} must run together, {{resource}} has room for {{tasks_fit}}",
            f"{{tasks}} 个各需 {per_task} {chinese}的任务须同时运行，{{resource}} 只容得下 {{tasks_fit}} 个",
        ),
        Text(
            f"a task needs {needed} {english}, {{host}} of {{resource}} comes nearest and has {available} free",
            f"每个任务需要 {needed} {chinese}，{{resource}} 的主机 {{host}} 最接近，空闲 {available}",
        ),
        Text(
            f"a task needs {needed} {english}, no host of {{resource}} has more than {available} free",
            f"每个任务需要 {needed} {chinese}，{{resource}} 的主机最多空闲 {available}",
        ),
    )


OBSTACLES: Final[dict[str, ObstacleText]] = {
    "ARCHITECTURE": ObstacleText(
        Text("No variant of the package runs on the pool's architecture.", "程序包没有能在此资源池架构上运行的变体。"),
        Text("Add a variant for that architecture.", "增加该架构的变体。"),
        (Text("no variant runs on {architecture}", "没有可在 {architecture} 上运行的变体"),),
    ),
    "RUNTIME": ObstacleText(
        Text("The pool offers none of the runtimes the package needs.", "资源池不提供程序包所需的任何运行环境。"),
        Text("Name a runtime the pool has, such as `python3`.", "改用资源池具有的运行环境，例如 `python3`。"),
        (
            Text("{resource} offers {offered}, none of {runtimes}", "{resource} 提供 {offered}，没有 {runtimes}"),
            Text("{resource} offers none of {runtimes}", "{resource} 不提供 {runtimes}"),
        ),
    ),
    "CPU": ObstacleText(
        Text("No host, or not enough hosts, have that many cores free.", "没有主机，或没有足够的主机，空出这么多核。"),
        Text(
            "Ask for fewer cores a task, or wait for running jobs to end.",
            "减少每个任务的核数，或等待运行中的作业结束。",
        ),
        _room("cores", "核", ":cores"),
    ),
    "MEMORY": ObstacleText(
        Text("Not enough memory free.", "空闲内存不足。"),
        Text("Ask for less memory a task, or wait.", "减少每个任务的内存，或等待。"),
        _room("of memory", "内存", ":size"),
    ),
    "SCRATCH": ObstacleText(
        Text("Not enough scratch disk free.", "空闲临时盘不足。"),
        Text("Ask for less scratch disk, or wait.", "减少临时盘需求，或等待。"),
        _room("of scratch disk", "临时盘", ":size"),
    ),
    "DEVICE": ObstacleText(
        Text("Not enough devices of the class and model.", "该类别和型号的器件不足。"),
        Text("Allow more models, or fewer devices a task.", "允许更多型号，或减少每个任务的器件数。"),
        _room("cards of {models}", "块 {models} 卡"),
    ),
    "SITE_DENIED": ObstacleText(
        Text("The job denies the site, or allows only others.", "作业拒绝此站点，或只允许其他站点。"),
        Text("Change the job's site constraints.", "修改作业的站点约束。"),
        (Text("the job does not allow {resource}", "作业不允许 {resource}"),),
    ),
    "RESIDENCY": ObstacleText(
        Text("The job must stay within other jurisdictions.", "作业必须留在其他辖区。"),
        Text(
            "Use a site of an allowed jurisdiction, or allow the site's; no constraint is relaxed by itself.",
            "使用允许辖区内的站点，或允许该站点的辖区；约束不会自行放宽。",
        ),
        (
            Text(
                "the job must stay within {residency}, {resource} does not",
                "作业必须留在 {residency}，{resource} 不在其内",
            ),
        ),
    ),
    "DATA_RESIDENCY": ObstacleText(
        Text("An input must stay within other jurisdictions.", "某个输入数据必须留在其他辖区。"),
        Text(
            "Use a site of an allowed jurisdiction; the data's owner decides which those are.",
            "使用允许辖区内的站点；辖区由数据所有者决定。",
        ),
        (Text("{resource} must stay within {residency}", "{resource} 必须留在 {residency}"),),
    ),
    "NO_PATH": ObstacleText(
        Text(
            "No links join the pool and the data, or the pool and where results are wanted.",
            "资源池与数据或结果去处之间没有链路。",
        ),
        Text("Choose a site that is joined, or publish the data at one.", "选择有链路相连的站点，或在那里发布数据。"),
        (Text("no links join {resource} and {target}", "{resource} 与 {target} 之间没有链路"),),
    ),
    "BANDWIDTH": ObstacleText(
        Text("No path has the bandwidth left that is asked for.", "没有通路剩余所需的带宽。"),
        Text("Ask for less bandwidth, or wait for the link that is named.", "降低带宽，或等待所指的链路。"),
        (
            Text(
                "no way from {source} to {target} carries more than {available:rate}, {needed:rate} are needed",
                "从 {source} 到 {target} 的通路最多承载 {available:rate}，需要 {needed:rate}",
            ),
            Text(
                "{resource} has {available:rate} left, {needed:rate} are needed",
                "{resource} 只剩 {available:rate}，需要 {needed:rate}",
            ),
        ),
    ),
    "LATENCY": ObstacleText(
        Text("The data is further away than the job allows.", "数据比作业允许的更远。"),
        Text("Allow more latency, or publish the data nearer.", "放宽时延，或在更近处发布数据。"),
        (
            Text(
                "the data at {resource} is {available:us} away, at most {needed:us} are allowed",
                "{resource} 的数据相距 {available:us}，上限为 {needed:us}",
            ),
        ),
    ),
    "DEADLINE": ObstacleText(
        Text("The job would end after its deadline.", "作业将在截止时间之后结束。"),
        Text("Set a later deadline or a shorter longest run.", "推迟截止时间，或缩短最长运行时间。"),
        (
            Text(
                "it may take {needed:ms}, the deadline, {deadline}, is in {available:ms}",
                "最长可能需要 {needed:ms}，距截止时间 {deadline} 只有 {available:ms}",
            ),
        ),
    ),
    "DEADLINE_PASSED": ObstacleText(
        Text("The job's deadline is over.", "作业的截止时间已过。"),
        Text("Set a later deadline.", "推迟截止时间。"),
        (Text("the deadline, {deadline}, has passed", "截止时间 {deadline} 已过"),),
    ),
    "BUDGET": ObstacleText(
        Text("The cost exceeds the job's budget.", "费用超出作业预算。"),
        Text("Raise the budget by the amount that is missing, or ask for less.", "按所缺金额提高预算，或减少需求。"),
        (
            Text(
                "it may cost {needed:money}, {spent:money} of earlier attempts with it, of {available:money}: "
                "{missing:money} missing",
                "连同此前各次的 {spent:money}，最多可能花费 {needed:money}，预算为 {available:money}，"
                "差 {missing:money}",
            ),
            Text(
                "it may cost {needed:money}, the budget is {available:money}: {missing:money} missing",
                "最多可能花费 {needed:money}，预算为 {available:money}，差 {missing:money}",
            ),
        ),
    ),
    "BALANCE": ObstacleText(
        Text("The account's balance does not cover the cost.", "账户余额不足以支付费用。"),
        Text("Have the account credited, or use another.", "为账户充值，或换用另一账户。"),
        (
            Text(
                "it may cost {needed:money}, {resource} has {available:money} free: {missing:money} missing",
                "最多可能花费 {needed:money}，{resource} 可用 {available:money}，差 {missing:money}",
            ),
        ),
    ),
    "MONTH_BUDGET": ObstacleText(
        Text(
            "What the account may spend in this calendar month does not cover the cost.",
            "账户本自然月可花费的金额不足以支付费用。",
        ),
        Text(
            "Wait for the next month, or raise the budget: `suan budget set`.",
            "等待下一月，或提高预算：`suan budget set`。",
        ),
        (
            Text(
                "it may cost {needed:money}, of this month's budget of {budget:money} {resource} has {available:money} "
                "left: {missing:money} missing, until {renews}",
                "最多可能花费 {needed:money}，{resource} 本月预算 {budget:money} 尚余 {available:money}，"
                "差 {missing:money}，{renews} 进入下一月",
            ),
        ),
    ),
    "PARTY_BUDGET": ObstacleText(
        Text(
            "What the party may spend in this calendar month over all its accounts does not cover the cost.",
            "主体全部账户本自然月合计可花费的金额不足以支付费用。",
        ),
        Text(
            "Wait for the next month, or raise the budget: `suan budget set --party`.",
            "等待下一月，或提高预算：`suan budget set --party`。",
        ),
        (
            Text(
                "it may cost {needed} micros, of this month's budget of {budget} micros {currency} {resource} has "
                "{available} left over all its accounts: {missing} missing, until {renews}",
                "最多可能花费 {needed} 微元，{resource} 全部账户本月合计预算 {budget} 微元（{currency}）"
                "尚余 {available}，差 {missing}，{renews} 进入下一月",
            ),
        ),
    ),
    "SITE_NOT_ALIVE": ObstacleText(
        Text("The site's agent is not heard of.", "没有站点代理的消息。"),
        Text(
            "Wait for the agent to come back; its provider sees why in the agent's log.",
            "等待代理恢复；提供方可在代理日志中查明原因。",
        ),
        (Text("{resource} is not heard of", "{resource} 失联"),),
    ),
    "POOL_PHASE": ObstacleText(
        Text("The pool is not ACTIVE.", "资源池不是 ACTIVE 状态。"),
        Text("Wait for its verification, or choose another pool.", "等待其验证，或选择另一资源池。"),
        (Text("{resource} is not active", "{resource} 未处于可用阶段"),),
    ),
    "NO_OFFER": ObstacleText(
        Text("The pool makes no offer.", "资源池没有报价。"),
        Text("Have the provider make one.", "请提供方给出报价。"),
        (Text("{resource} makes no offer", "{resource} 没有报价"),),
    ),
    "NO_PRICE": ObstacleText(
        Text(
            "No offer of the pool that allows so long a run has a price in the account's currency.",
            "资源池没有允许该时长且以账户货币计价的报价。",
        ),
        Text("Have the provider put a price book in force.", "请提供方使一份价目生效。"),
        (Text("no price for {resource} in the account's currency", "{resource} 没有以账户货币计的价格"),),
    ),
    "REFUSED_BY_SITE": ObstacleText(
        Text(
            "The site refused or could not begin this job before, or was away while it had it.",
            "此站点先前拒绝、未能启动该作业，或在承接期间失联。",
        ),
        Text(
            "It is tried again later, after all others; the job's history says what it refused for.",
            "稍后在其他站点之后再试；拒绝原因见作业历史。",
        ),
        (
            Text(
                "{resource} did not take it or was away with it before, and is tried again later",
                "{resource} 曾未承接该作业或在承接期间失联，稍后再试",
            ),
        ),
    ),
    "SITE_CORDONED": ObstacleText(
        Text(
            "The site takes nothing new: it is cordoned, drained or removed.",
            "该站点不接纳新作业：已封锁、正在排空或已退出。",
        ),
        Text(
            "Wait, or use another site; `suan site show` says what its owner noted.",
            "等待，或使用其他站点；所有者的说明见 `suan site show`。",
        ),
        (Text("{resource} takes nothing new", "{resource} 不接纳新作业"),),
    ),
    "PARTY_NOT_ALLOWED": ObstacleText(
        Text("The site's owner takes no work of the party.", "站点所有者不接纳该主体的作业。"),
        Text("Use another site, or ask the site's owner.", "使用其他站点，或与站点所有者商议。"),
        (Text("the owner of {resource} takes no work of {party}", "{resource} 的所有者不接纳 {party} 的作业"),),
    ),
    "HOURS_CLOSED": ObstacleText(
        Text("The site's owner takes work at other hours.", "站点所有者只在其他时段接纳作业。"),
        Text("Wait until the time that is named, or use another site.", "等到所述时间，或使用其他站点。"),
        (Text("the owner of {resource} takes work from {opens} on", "{resource} 的所有者自 {opens} 起接纳作业"),),
    ),
    "KIND_REFUSED": ObstacleText(
        Text("The site's owner takes no work of the kind.", "站点所有者不接纳此类作业。"),
        Text("Use another site.", "使用其他站点。"),
        (Text("the owner of {resource} takes no work of the kind {kind}", "{resource} 的所有者不接纳 {kind} 类作业"),),
    ),
    "PARTY_SHARE": ObstacleText(
        Text(
            "The party's work would hold more of the pool than its owner lets one party have.",
            "该主体的作业将占用超出所有者允许单一主体占用的份额。",
        ),
        Text("Wait until some of its work has ended, or use another site.", "等待其部分作业结束，或使用其他站点。"),
        (
            Text(
                "{party} may hold {share_milli}/1000 of {resource}: room for {available} more tasks, {needed} needed",
                "{party} 至多占用 {resource} 的 {share_milli}/1000：还容得下 {available} 个任务，需要 {needed} 个",
            ),
        ),
    ),
    "SITE_FAILING": ObstacleText(
        Text("The site failed several runs in a row before they began.", "此站点连续多次在运行开始之前失败。"),
        Text(
            "Nothing: it is tried again after the time that is named; its operator sees why in `suan pool search`.",
            "无需处理：到所述时间后会再试；其运营者可用 `suan pool search` 查看原因。",
        ),
        (
            Text(
                "{resource} failed {faults} runs in a row before they began, is tried after {retry_time}; the last",
                "{resource} 连续 {faults} 次在运行开始之前失败，{retry_time} 之后再试；最近一次",
            ),
        ),
    ),
    "SITE_IN_TROUBLE": ObstacleText(
        Text("The site's agent says that something is wrong with it.", "站点代理报告自身有故障。"),
        Text("Have the site's operator mend what it names.", "请站点运营者排除所述故障。"),
        (Text("{resource} says of itself", "{resource} 报告自身故障"),),
    ),
    "NO_REPLICA": ObstacleText(
        Text("An input has no complete replica anywhere.", "某个输入在任何地方都没有完整副本。"),
        Text("Publish the dataset at a site that is alive.", "在在线的站点发布该数据集。"),
        (Text("{resource} is nowhere whole", "{resource} 没有完整副本"),),
    ),
    "CAPABILITY": ObstacleText(
        Text("A measured capability is below what the job asks for.", "某项实测能力低于作业要求。"),
        Text("Ask for less, or for a pool that measured more.", "降低要求，或选择实测更高的资源池。"),
        (
            Text(
                "{quantity} of {resource} is {available}, {needed} are needed",
                "{resource} 的 {quantity} 为 {available}，需要 {needed}",
            ),
        ),
    ),
    "DURATION": ObstacleText(
        Text("No offer allows a run as long as the job may take.", "没有报价允许作业可能需要的运行时长。"),
        Text("Shorten the longest run, or split the job.", "缩短最长运行时间，或拆分作业。"),
        (
            Text(
                "it may run {needed:s}, no offer of {resource} allows more than {available:s}",
                "最长运行 {needed:s}，{resource} 的报价最多允许 {available:s}",
            ),
        ),
    ),
}
"""By obstacle code."""


def obstacle_words(obstacle: decision_pb2.Obstacle, lang: str = "en") -> str:
    """Code and sentence of what stands in the way, and of what it came from, in English or Chinese."""
    from suanmesh.scheduler.v1 import reason_pb2

    code = enum_name(reason_pb2.ObstacleCode, obstacle.code, "OBSTACLE_CODE_")
    numbers = {name: str(getattr(obstacle, name)) for name in ("needed", "available") if obstacle.HasField(name)}
    facts = {**obstacle.facts, **numbers, **({"resource": obstacle.resource} if obstacle.resource else {})}
    known = OBSTACLES[code].sentences if code in OBSTACLES else ()
    sentences = [text.of(lang) for text in known if named(text.en) <= facts.keys()]
    told = f"{code}: {sentences[0].format_map(figures(facts))}" if sentences else filled(code, "", facts, lang)
    return f"{told}: {words(obstacle.cause, lang)}" if obstacle.HasField("cause") else told
