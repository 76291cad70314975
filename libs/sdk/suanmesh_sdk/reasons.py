"""Every reason in Chinese. The English text is the refusal's own message, which has the numbers in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

OF_BARE_CODES: Final[dict[str, str]] = {
    "INVALID_ARGUMENT": "MESSAGE_MALFORMED",
    "RESOURCE_EXHAUSTED": "MESSAGE_TOO_LARGE",
    "UNAUTHENTICATED": "IDENTITY_MISSING",
    "PERMISSION_DENIED": "ROLE_DENIED",
    "DEADLINE_EXCEEDED": "DEADLINE_EXCEEDED",
    "UNAVAILABLE": "NOT_READY",
    "ABORTED": "CONFLICT",
    "UNIMPLEMENTED": "METHOD_UNKNOWN",
}
"""What a code means when gRPC itself, not a service of ours, answers with it."""

CHINESE: Final[dict[str, dict[str, str]]] = {
    "mesh": {
        "MESSAGE_MALFORMED": "消息无法解析",
        "MESSAGE_TOO_LARGE": "消息超过大小上限",
        "IDENTITY_MISSING": "没有证书，或证书所示身份不属于本节点",
        "ROLE_DENIED": "调用者的角色不允许调用此方法",
        "ASSERTION_INVALID": "网关的身份声明无效、过期或不是给此服务的",
        "REQUEST_ID_MISSING": "缺少所需的 request_id，或其过长、含有不可打印字符",
        "REQUEST_ID_REUSED": "该 request_id 已用于另一内容的请求",
        "DEADLINE_MISSING": "调用没有期限",
        "DEADLINE_TOO_SHORT": "剩余时间不足以开始",
        "NOT_LEADER": "此实例不是本领域的主实例",
        "NOT_READY": "实例正在退出，或其存储无法访问，请换一个实例重试",
        "CONFLICT": "读取之后内容已变，请重新读取",
        "PAGE_TOKEN_INVALID": "翻页标记不是本方法给出的",
        "METHOD_UNKNOWN": "没有此方法",
        "OUTCOME_UNKNOWN": "写入结果未知，请用同一 request_id 重试",
        "DOCUMENT_TOO_LARGE": "要保存的文档超过大小上限",
        "HANDSHAKE_FAILED": "与服务器的 TLS 握手失败",
        "DEADLINE_EXCEEDED": "在得到答复之前时间已到",
        "KEY_UNCHECKED": "此处不认得签名所用的密钥，而保存密钥的 etcd 无法访问，请重试",
        "CLOCK_SKEWED": "两台机器的时钟相差过大，请校准",
        "DISK_FULL": "服务存放记录的磁盘或配额已满，腾出空间后会继续",
        "STORE_CORRUPT": "服务存放记录的文件已损坏，请恢复备份",
        "STORE_OF_ANOTHER_NODE": "服务的存储属于另一个节点",
        "STORES_DISAGREE": "etcd 与存储不是同一时刻的内容：其中之一被单独恢复或重建",
        "STORE_TOO_NEW": "存储由更新的版本写入，请运行该版本",
        "PROTOCOL_TOO_OLD": "调用方只会较旧的协议版本，请在那里安装更新的版本",
        "PROTOCOL_TOO_NEW": "调用方只会较新的协议版本，请先升级节点",
        "DEFECT": "服务器内部故障，请凭追踪号联系运维方",
        "FIELD_INVALID": "字段的值不合规定，或超过其约定的大小",
        "STREAM_STALLED": "调用者长时间未读取数据流，请在能够读取时重新打开",
        "CALLS_OF_CALLER_MAX": "该调用者或其主体正在进行的调用已达上限，请按所示时间后重试",
        "STREAMS_OF_CALLER_MAX": "该调用者或其主体打开的流已达上限，请按所示时间后重试",
        "BYTES_OF_CALLER_MAX": "该调用者或其主体在途的字节已达上限，请按所示时间后重试",
        "PROCESS_FULL": "此实例已满负荷，请按所示时间后重试",
        "MESSAGE_LATE": "消息未在规定时间内完整到达",
        "FILTER_INVALID": "过滤条件无法理解，或含有不存在的字段",
        "NODE_UNKNOWN": "名称属于另一个节点，而本节点不认识它",
        "SERVICE_UNKNOWN": "此处不提供所问健康状况的服务",
        "CERTIFICATE_REVOKED": "证书已被吊销，须凭新的邀请重新加入",
        "CALLER_SUSPENDED": "调用者所代表的主体已暂停",
    },
    "registry": {
        "PARTY_UNKNOWN": "没有此主体",
        "PARTY_EXISTS": "此主体名已被占用",
        "PARTY_NOT_APPROVED": "主体尚未获准",
        "JOIN_TOKEN_INVALID": "加入令牌未知、已用或过期",
        "CSR_INVALID": "证书签名请求格式有误，或不是 P-256",
        "SITE_UNKNOWN": "没有此站点",
        "SITE_EXISTS": "此站点名已被占用",
        "POOL_UNKNOWN": "没有此资源池",
        "DESCRIPTOR_SIGNATURE_INVALID": "描述的签名与已登记的密钥不符",
        "NOT_OWNER": "此资源属于另一主体或站点",
        "FIELD_INVALID": "字段的值不合规定",
        "ETAG_STALE": "etag 已不是当前值，请重新读取",
        "POOLS_TOO_MANY": "站点的资源池数将超过上限",
        "SITES_TOO_MANY": "该主体的站点数将超过上限",
        "JOIN_TOKENS_TOO_MANY": "该主体的加入令牌数将超过上限，过期一天后即被清除",
        "PARTIES_TOO_MANY": "本节点的主体数将超过上限",
        "SITE_REMOVED": "该站点已永久退出",
        "SITE_IN_USE": "该站点仍接纳新作业或仍有落位，请先排空",
        "NODES_TOO_MANY": "本节点信任的其他节点数已达上限",
        "DESCRIPTOR_KEY_LAPSED": "描述所用的签名密钥不在有效期内",
        "SIGNING_KEY_INVALID": "签名密钥须由所属站点的代理用该密钥自身签名提交",
        "SIGNING_KEY_LAPSED": "该签名密钥曾登记且已过期，请另行生成",
        "SIGNING_KEYS_TOO_MANY": "站点的签名密钥数已达上限，过期一周后才会清除",
    },
    "scheduler": {
        "FIELD_INVALID": "作业的字段缺失或不合规定",
        "JOB_UNKNOWN": "没有此作业",
        "JOB_EXISTS": "此作业名已被占用",
        "ACCOUNT_UNKNOWN": "没有此账户",
        "DATASET_UNKNOWN": "输入所指的数据集不存在",
        "NOT_OWNER": "作业属于另一主体，或落位属于另一站点",
        "JOB_ENDED": "作业已经结束",
        "PLACEMENT_UNKNOWN": "没有此落位",
        "TRANSITION_NOT_ALLOWED": "落位的当前状态不允许这一步",
        "ETAG_STALE": "etag 已不是当前值，请重新读取",
        "DECISION_UNKNOWN": "没有此裁决",
        "ATTEMPT_UNKNOWN": "作业没有该次尝试，或任务此前没有运行过",
        "PARTY_SUSPENDED": "该主体已暂停：已提交的继续，不再接受新作业",
        "SECRETS_MISSING": "秘密 `names` 的值没有随作业送来，或已不再保留",
        "SECRET_UNREADABLE": "无法打开秘密 `name`：它是为另一个作业或另一个节点的密钥封装的",
        "LOG_NOT_READY": "作业还没有日志",
        "PLACEMENT_REPLACED": "落位已随站点失联，其作业已结束或改派他处",
        "SITE_UNREACHABLE": "存有日志的站点无法到达",
        "SITE_UNKNOWN": "输出要交付到的站点不存在",
        "POOL_UNKNOWN": "没有此资源池，不是候选",
        "ACCOUNT_CLOSED": "该账户已关闭",
        "JOBS_TOO_MANY": "该主体尚未结束的作业已达上限",
        "QUEUE_FULL": "排队的作业过多，无法在给定时间内完成，请按所示时间后重试",
        "RATE_EXCEEDED": "该主体提交或取消作业过于频繁，请按所示时间后重试",
    },
    "network_orchestrator": {
        "FIELD_INVALID": "字段的值不合规定",
        "LINK_EXISTS": "同名链路连接的是另外两端",
        "BANDWIDTH_EXHAUSTED": "没有通路剩有所需带宽",
        "NO_PATH": "在时延上限内没有通路相连",
        "HOLD_LAPSED": "预留所系的调度轮次已结束，或预留已被归还",
        "NOT_OWNER": "所报链路属于另一站点",
        "LINK_UNKNOWN": "没有此链路",
        "LINK_IN_USE": "仍有预约占用该链路的带宽",
        "RESERVATION_UNKNOWN": "没有此预约",
        "LINKS_TOO_MANY": "本节点的链路数将超过上限",
    },
    "transport": {
        "FIELD_INVALID": "字段的值不合规定",
        "DATASET_UNKNOWN": "没有此数据集",
        "DATASET_EXISTS": "该名称属于另一主体，或落位的结果以此名称已有其他内容",
        "TRANSFER_UNKNOWN": "没有此搬运",
        "NO_REPLICA": "没有完整的副本可供复制",
        "NOT_OWNER": "数据集属于另一主体，或搬运属于另一站点，或该主体没有允许此站点代为发布",
        "TRANSITION_NOT_ALLOWED": "搬运的当前状态不允许这一步",
        "SITE_NOT_REACHABLE": "站点没有可读取的数据面",
        "DIGEST_MISMATCH": "从磁盘重算的摘要与数据集不符",
        "FILE_UNKNOWN": "数据集中没有此文件",
        "RESIDENCY_DENIED": "目标站点不在数据集允许的辖区内",
        "DATASETS_TOO_MANY": "该主体的数据集数已达上限",
        "TRANSFERS_TOO_MANY": "该主体的搬运数已达上限",
        "DATA_TOO_MUCH": "该主体的数据集字节数将超过上限",
        "DATASET_IN_USE": "尚未结束的作业读取或产生该数据集；`jobs` 给出其中几个",
    },
    "accounting": {
        "FIELD_INVALID": "字段的值不合规定",
        "ACCOUNT_UNKNOWN": "没有此账户",
        "ACCOUNT_EXISTS": "此账户名已被占用",
        "PRICE_UNKNOWN": "没有此价目，或资源池没有价格",
        "BUDGET_EXHAUSTED": "该账户本月可花费的金额不足，自 `renew_time` 起进入下一月",
        "BALANCE_INSUFFICIENT": "余额减去预留后不足以支付",
        "HOLD_LAPSED": "预留所系的调度轮次已结束，或预留已被归还",
        "USAGE_SIGNATURE_INVALID": "用量记录的签名与站点登记的密钥不符",
        "USAGE_NOT_RATABLE": "用量记录没有对应的预留或属于另一站点，暂存待查，有预留支付后再计费",
        "ACCOUNTS_TOO_MANY": "该主体的账户数已达上限",
        "PRICE_BOOKS_TOO_MANY": "价目数或该价目的版本数已达上限",
        "USAGE_TOO_FAST": "该站点上报用量过快，请保留记录并在给定时间后重发",
        "QUARANTINE_FULL": "该站点无预留支付的用量记录已达暂存上限，请保留并稍后重发",
        "CURRENCY_MISMATCH": "价格所用的货币与账户的货币不同",
        "ACCOUNT_CLOSED": "该账户已关闭",
        "ACCOUNT_IN_USE": "该账户仍有预留占用或欠款，不能关闭",
        "USAGE_KEY_LAPSED": "站点的该签名密钥不在有效期内，请改用接替它的密钥签名",
        "USAGE_CONFLICT": "同一站点、计量期与序号的记录已存在且内容不同",
    },
    "agent": {
        "TICKET_INVALID": "票据的签名、来源、读者或时间不对",
        "REPLICA_UNKNOWN": "数据集不在此站点",
        "RANGE_INVALID": "范围超出文件，或字段的值不合规定",
        "FILE_UNKNOWN": "数据集中没有此文件",
        "LOG_UNKNOWN": "此站点没有该任务的日志",
        "FOLDER_INVALID": "要发布的文件夹不存在，或含有非普通文件",
        "MANIFEST_INVALID": "发来的不是清单，或不是票据所指的清单",
        "UPLOADS_REFUSED": "站点所有者不接收该主体带来的数据",
        "UPLOADS_TOO_LARGE": "上传的数据已达站点所有者设定的上限",
        "UPLOADS_TOO_MANY": "该主体在此站点进行中的上传已达上限",
        "ROOM_MISSING": "站点磁盘放不下所缺的数据",
        "UPLOAD_DAMAGED": "站点磁盘上的内容多次与所发的不符",
    },
    "gateway": {
        "TRACE_UNKNOWN": "没有保存此追踪的跨度",
        "FIELD_INVALID": "字段的值不合规定",
        "TICKET_INVALID": "票据是发给另一调用者的",
        "SITE_NOT_REACHABLE": "站点没有数据面",
        "SITE_NOT_CONNECTED": "站点只向外连接，而其代理没有连到此网关",
        "CALL_UNKNOWN": "没有等待该站点的此次调用：调用者已离开，或已被接走",
    },
}
"""By area (`mesh` for the reasons all share), then by reason."""


def is_reason(area: str, reason: str) -> bool:
    """Whether `reason` is one of `area`'s own."""
    return reason in CHINESE.get(area, {})


def chinese(domain: str, reason: str, facts: Mapping[str, str]) -> str:
    """The text for `reason` of `domain`, with the facts behind it."""
    area = domain.removesuffix(".suanmesh")
    text = CHINESE.get(area, {}).get(reason) or CHINESE["mesh"].get(reason) or reason
    shown = "，".join(f"{key}={value}" for key, value in facts.items() if value)
    return f"{text}（{shown}）" if shown else text


def help_url(reason: str, lang: str = "en") -> str:
    """The page that says what `reason` means, what brings it about and what to do; `suan explain` prints the same."""
    return f"docs/reference/reasons/{reason.lower()}{'.zh-CN' if lang == 'zh' else ''}.md"
