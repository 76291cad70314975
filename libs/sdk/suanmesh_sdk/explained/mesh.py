"""What every service may refuse with, beside its bounds."""

from __future__ import annotations

from typing import Final

from suanmesh_kernel.texts import Explanation, Text
from suanmesh_sdk.explained import belonging, bounds, sealed_backups

EXPLAINED: Final[dict[str, Explanation]] = {
    **bounds.EXPLAINED,
    **belonging.EXPLAINED,
    **sealed_backups.EXPLAINED,
    "MESSAGE_MALFORMED": Explanation(
        "caller",
        Text(
            "The bytes that arrived are not a message of the method's request type, or the call ended before its "
            "message was whole.",
            "到达的字节不是该方法的请求类型，或调用在消息完整之前就结束了。",
        ),
        Text(
            "Build the request from the contracts of this server's version; `suan version` says which one you have.",
            "按服务器所用版本的契约生成请求；`suan version` 显示你的版本。",
        ),
        ("suan version",),
    ),
    "CERTIFICATE_REVOKED": Explanation(
        "operator",
        Text(
            "The certificate that the call came with was revoked: `suan user revoke`, `suan site revoke` or "
            "`site remove` "
            "said so of `name`. All that was issued to it before is refused, by every service.",
            "调用所持证书已被吊销：`suan user revoke`、`suan site revoke` 或 `site remove` 针对 `name` 做了吊销，"
            "此前签发给它的证书一律被各服务拒绝。",
        ),
        Text(
            "Whoever is to be let in again gets a new invite from the operator; with it the key is certified anew.",
            "若应再次获准，请运营方发出新的邀请，凭它重新获得证书。",
        ),
        ("suan user invite", "suan site invite"),
    ),
    "CALLER_SUSPENDED": Explanation(
        "operator",
        Text(
            "The operator has suspended the party `name`: none of its users is served until it is approved again. What "
            "it has running goes on, and is billed.",
            "运营方已暂停主体 `name`：在再次批准之前，不服务其任何用户。已在运行的继续，并照常计费。",
        ),
        Text(
            "Ask the operator why; `suan party approve` lifts it.",
            "请向运营方询问原因；`suan party approve` 可解除。",
        ),
        ("suan party approve",),
    ),
    "IDENTITY_MISSING": Explanation(
        "caller",
        Text(
            "The call came without a certificate, or with one that has expired, names nobody of this node, or "
            "comes from an authority that this node does not believe.",
            "调用没有携带证书，或证书已过期、所示身份不属于本节点、签发机构不受本节点信任。",
        ),
        Text(
            "Use a context whose certificate is of this node and still valid; a site joins again with a new token "
            "where its own has expired.",
            "换用本节点签发且仍有效的证书所在的上下文；站点证书过期时，用新令牌重新加入。",
        ),
        ("suan ctx show", "suan trust list"),
    ),
    "ROLE_DENIED": Explanation(
        "caller",
        Text(
            "The method is for other roles than those of the certificate: `roles` says for which, `held` what the "
            "caller is.",
            "该方法面向其他角色：`roles` 是允许的角色，`held` 是调用者的角色。",
        ),
        Text(
            "Use a context with the role, such as `--context operator`, or ask somebody who has it.",
            "换用有此角色的上下文，例如 `--context operator`，或请有此角色的人操作。",
        ),
        ("suan ctx list",),
    ),
    "ASSERTION_INVALID": Explanation(
        "service",
        Text(
            "What the gateway says about who calls is forged, past its time, or made for another service: often "
            "somebody called a service directly who may not, or the node's key was changed.",
            "网关关于调用者身份的声明是伪造的、已过期，或是给另一服务的：多半有人绕过网关直接调用，或节点密钥已更换。",
        ),
        Text(
            "Call through the gateway; where that was done, check that gateway and services hold keys of the same "
            "node.",
            "经由网关调用；若本就如此，检查网关与各服务的密钥是否属于同一节点。",
        ),
        ("suan ctx show",),
    ),
    "REQUEST_ID_MISSING": Explanation(
        "caller",
        Text(
            "The method stores something and needs a `request_id` of 1 to 128 printable characters; it came "
            "without, or with another kind.",
            "该方法会保存内容，需要 1 至 128 个可打印字符的 `request_id`；请求没有携带，或其不合规定。",
        ),
        Text(
            "Make a fresh random `request_id` for every new write, and keep it for repeats; the SDK does both.",
            "每次新的写入生成一个随机的 `request_id`，重试时沿用；SDK 会自动处理。",
        ),
    ),
    "REQUEST_ID_REUSED": Explanation(
        "caller",
        Text(
            "The same caller used this `request_id` for another request of this method, and the answer to that one "
            "is kept.",
            "同一调用者已在此方法的另一请求中使用了该 `request_id`，那次的答复仍被保存。",
        ),
        Text(
            "Use a new `request_id` for the new request; use the old one only to repeat exactly what it stood for.",
            "新请求使用新的 `request_id`；旧的只用于原样重复原来的请求。",
        ),
    ),
    "NOT_LEADER": Explanation(
        "mesh",
        Text(
            "The instance stands by: another one leads the area, or none does for the moment, as after a restart.",
            "该实例处于待命状态：由另一实例领导本领域，或刚刚重启、暂时没有主实例。",
        ),
        Text(
            "Repeat the same call; the SDK and the gateway look for the leader by themselves.",
            "重复同一调用；SDK 与网关会自动寻找主实例。",
        ),
    ),
    "NOT_READY": Explanation(
        "mesh",
        Text(
            "The instance is starting or draining; or nothing listens at the address at all.",
            "实例正在启动或退出；也可能该地址根本没有服务在监听。",
        ),
        Text(
            "Is the mesh running? `suan dev` starts one here; else repeat the same command, and check `gateway` in "
            "the context.",
            "网是否在运行？`suan dev` 可在本机启动；否则重复同一命令，并检查上下文中的 `gateway`。",
        ),
        ("suan dev", "suan ctx show", "suan doctor"),
    ),
    "STORE_AWAY": Explanation(
        "operator",
        Text(
            "etcd has no majority of its members, or the database is stopped, cut off, full of connections or locked: "
            "the service keeps its state there.",
            "etcd 的成员不足多数，或数据库已停、断开、连接用尽或被锁：服务的状态存放在那里。",
        ),
        Text(
            "Repeat the same command: it goes on by itself once the store answers, and what was acknowledged stays. "
            "The node's operator finds in `suan top` and `suan node check` which one it is.",
            "重复同一命令：存储恢复应答后自动继续，已确认的写入都在。节点的运维方用 `suan top` 和 `suan node check` "
            "查看是哪一个。",
        ),
        ("suan top NODE", "suan node check NODE"),
    ),
    "CONFLICT": Explanation(
        "caller",
        Text(
            "Somebody else changed what was read before it could be written, or the same request is being answered "
            "elsewhere.",
            "写入之前，所读内容已被他人改变，或同一请求正由另一实例应答。",
        ),
        Text(
            "Read again, decide again, then write again; a plain repeat does for the command line.",
            "重新读取、重新决定、重新写入；对命令行来说，重复一次即可。",
        ),
    ),
    "PAGE_TOKEN_INVALID": Explanation(
        "caller",
        Text(
            "The page token is cut, or comes from another method, another filter or another caller.",
            "翻页标记不完整，或来自另一方法、另一过滤条件或另一调用者。",
        ),
        Text(
            "Begin at the first page, and go on only with the token of the page before and the same filter.",
            "从第一页开始，之后只使用上一页的标记和相同的过滤条件。",
        ),
    ),
    "METHOD_UNKNOWN": Explanation(
        "caller",
        Text(
            "The server has no method of that name, or the gateway does not pass it on: it is meant for services "
            "among themselves.",
            "服务器没有该名称的方法，或网关不转发它：该方法只供服务之间使用。",
        ),
        Text(
            "Use a method the server has; client and server may be of different versions: `suan version`.",
            "使用服务器具有的方法；客户端与服务器的版本可能不同：`suan version`。",
        ),
        ("suan version",),
    ),
    "OUTCOME_UNKNOWN": Explanation(
        "mesh",
        Text(
            "The connection to etcd broke while something was written: it may or may not stand.",
            "写入期间与 etcd 的连接中断：内容可能已写入，也可能没有。",
        ),
        Text(
            "Repeat it with the same `request_id`: it is done once, whatever happened the first time.",
            "用同一 `request_id` 重复：无论第一次如何，都只会执行一次。",
        ),
    ),
    "DOCUMENT_TOO_LARGE": Explanation(
        "caller",
        Text(
            "What is to be stored would take more than `limit_bytes`: 8 KiB for most documents, a job with all its "
            "texts among them.",
            "要保存的内容超过 `limit_bytes`：多数文档的上限为 8 KiB，包括一个作业的全部文本。",
        ),
        Text(
            "Make it smaller: fewer labels and variables, shorter texts; put large content into an input dataset.",
            "缩小内容：减少标签和变量，缩短文本；大块内容放入输入数据集。",
        ),
        ("suan data put",),
    ),
    "HANDSHAKE_FAILED": Explanation(
        "caller",
        Text(
            "The server at `address` did not accept the certificate, or showed one that the context's authority "
            "did not issue, or that by this machine's clock is not good yet, or no longer.",
            "`address` 处的服务器不接受此证书，或其证书不是上下文所指机构签发的，或按本机时钟尚未生效、已经过期。",
        ),
        Text(
            "Check the context's ca, cert and key with `suan ctx show`; they must be of the same node as the gateway. "
            "Where a certificate is `not yet valid` or `has expired`, compare this machine's clock first; of one of "
            "yours that has, ask an operator for another invite and spend it with `suan login`.",
            "用 `suan ctx show` 检查上下文的 ca、cert、key；它们须与网关属于同一节点。"
            "若证书 `not yet valid` 或 `has expired`，请先核对本机时钟；若过期的是自己的证书，"
            "请向运维方要一份新邀请，并用 `suan login` 使用它。",
        ),
        ("suan ctx show", "suan ctx add", "suan user invite", "suan login"),
    ),
    "DEADLINE_EXCEEDED": Explanation(
        "caller",
        Text(
            "The time for the call ran out before an answer came: the server is slow or far, or the time was short.",
            "在得到答复之前时间已到：服务器缓慢或遥远，或给的时间太短。",
        ),
        Text(
            "Give it more time with --timeout; a write is repeated with the same `--request-id` and done once.",
            "用 --timeout 给更多时间；写入用同一 `--request-id` 重复，只会执行一次。",
        ),
        ("suan trace list",),
    ),
    "DEFECT": Explanation(
        "mesh",
        Text(
            "The server raised what nobody foresaw: a mistake of ours, not of the caller.",
            "服务器发生了意料之外的故障：是程序缺陷，不是调用者的错误。",
        ),
        Text(
            "Give the trace to whoever runs the node: their log has the traceback under it.",
            "把追踪号交给节点的运维方：其日志中有对应的调用栈。",
        ),
        ("suan trace show",),
    ),
    "FIELD_INVALID": Explanation(
        "caller",
        Text(
            "A field's value is out of its range, of another form, or larger than its contract allows; `field` "
            "names it.",
            "字段的值超出范围、形式不对，或超过契约允许的大小；`field` 是字段名。",
        ),
        Text(
            "Correct the field that is named; the contract's comment says what it may hold, `suan job schema` for "
            "job files.",
            "改正所指的字段；契约的注释写明其取值，作业文件见 `suan job schema`。",
        ),
        ("suan job schema",),
    ),
    "KEY_UNCHECKED": Explanation(
        "mesh",
        Text(
            "A signature names a key that this process has not seen, and the place where keys are kept cannot be "
            "asked now.",
            "签名所用的密钥此进程尚未见过，而保存密钥之处此刻无法访问。",
        ),
        Text(
            "Repeat the same call; if it lasts, check that etcd and the registry answer.",
            "重复同一调用；若持续如此，检查 etcd 与 registry 是否应答。",
        ),
        ("suan doctor",),
    ),
    "CLOCK_SKEWED": Explanation(
        "operator",
        Text(
            "The clocks of gateway and service differ by `skew_s`, so that what one signs now is not valid yet or "
            "no more at the other.",
            "网关与服务的时钟相差 `skew_s` 秒，一方此刻的签名在另一方尚未生效或已失效。",
        ),
        Text(
            "Set the clocks of all machines of the node with NTP; calls go on by themselves then.",
            "用 NTP 校准节点各机器的时钟；之后调用自动恢复。",
        ),
    ),
    "SERVICE_UNKNOWN": Explanation(
        "caller",
        Text(
            "A health probe asked for a service that this process does not serve.",
            "健康探测询问了此进程不提供的服务。",
        ),
        Text(
            "Ask for the empty name, or for a service that the process serves.",
            "用空名称询问，或询问该进程提供的服务。",
        ),
    ),
    "DISK_FULL": Explanation(
        "operator",
        Text(
            "The disk, or etcd's quota, that the service writes its records to is full; nothing is lost, and "
            "nothing new is taken.",
            "服务写入记录的磁盘或 etcd 配额已满；已有内容没有丢失，但不再接受新内容。",
        ),
        Text(
            "Make room on that disk, or raise etcd's quota and disarm its alarm; the service goes on by itself.",
            "在该磁盘上腾出空间，或提高 etcd 配额并解除告警；服务会自动继续。",
        ),
        ("suan node check",),
    ),
    "STORE_CORRUPT": Explanation(
        "operator",
        Text(
            "The database file of the service is damaged, such as by a disk that lost writes.",
            "服务的数据库文件已损坏，例如磁盘丢失了写入。",
        ),
        Text(
            "Stop the node, bring back a copy of the file, and let `suan node check` read it before the start.",
            "停止节点，恢复该文件的备份，启动前用 `suan node check` 检查。",
        ),
        ("suan node check",),
    ),
    "NODE_UNKNOWN": Explanation(
        "caller",
        Text(
            "The name in `field` begins with `//` and the name of another node, which this one knows nothing of.",
            "`field` 中的名称以 `//` 和另一节点的名称开头，而本节点不认识该节点。",
        ),
        Text(
            "Leave the `//node/` out for what is of this node; `suan trust list` shows the others that are believed.",
            "本节点的资源省去 `//节点/`；`suan trust list` 列出受信任的其他节点。",
        ),
        ("suan trust list",),
    ),
    "FILTER_INVALID": Explanation(
        "caller",
        Text(
            "The filter cannot be read at `column`, or names a field that the list does not have.",
            "过滤条件在第 `column` 列无法理解，或含有列表没有的字段。",
        ),
        Text(
            "Correct the filter at the column named; text stands in double quotes, terms are joined with AND, OR "
            "and NOT.",
            "在所指的列改正过滤条件；文本用双引号，条件用 AND、OR、NOT 连接。",
        ),
        ("suan job list", "suan pool search"),
    ),
}
"""By reason."""
