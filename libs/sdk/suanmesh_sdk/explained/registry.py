"""What the registry refuses with."""

from __future__ import annotations

from typing import Final

from suanmesh_kernel.texts import Explanation, Text

EXPLAINED: Final[dict[str, Explanation]] = {
    "PARTY_UNKNOWN": Explanation(
        "caller",
        Text(
            "No party of that name is registered at this node, or it is none that the caller may see.",
            "本节点没有登记该名称的主体，或调用者无权看到它。",
        ),
        Text("Correct the name, or have the operator register the party.", "改正名称，或请运营方登记该主体。"),
        ("suan party list", "suan party create"),
    ),
    "PARTY_EXISTS": Explanation(
        "operator",
        Text(
            "A party of that name was registered before; names are never given twice.",
            "该名称的主体早已登记；名称不会给第二次。",
        ),
        Text("Use the party that is there, or choose another name.", "使用已有的主体，或换一个名称。"),
        ("suan party show",),
    ),
    "PARTY_NOT_APPROVED": Explanation(
        "operator",
        Text(
            "The party is pending or suspended, as `state` says, and may not let a site join.",
            "主体待批准或已暂停（见 `state`），不能让站点加入。",
        ),
        Text("Have the operator approve the party once it has been looked at.", "请运营方审核后批准该主体。"),
        ("suan party approve",),
    ),
    "JOIN_TOKEN_INVALID": Explanation(
        "agent",
        Text(
            "The token was spent by another site, has lapsed (an hour after it was made unless `--ttl` says "
            "otherwise), was never given out here, or the address shows another node's authority than the token "
            "names.",
            "令牌已被另一站点用掉、已过期（默认在创建一小时后，可用 `--ttl` 指定）、不是本节点发出的，或该地址所示"
            "的证书机构与令牌不符。",
        ),
        Text(
            "Have a new token made, and join with it at the enrolment address of the node that made it.",
            "请人新建令牌，并用它在发出该令牌的节点的登记地址加入。",
        ),
        ("suan site invite",),
    ),
    "CSR_INVALID": Explanation(
        "agent",
        Text(
            "The signing request that an agent sends to join cannot be read, is not signed with its own key, or "
            "its key is not over P-256.",
            "代理加入时发送的证书签名请求无法读取、未用其自身密钥签名，或密钥不是 P-256。",
        ),
        Text(
            "Join with `suan site join`, which makes the request; remove a damaged `key.pem` from the agent's "
            "folder first.",
            "用 `suan site join` 加入，它会生成该请求；若代理文件夹中的 `key.pem` 已损坏，先删除它。",
        ),
    ),
    "SITE_UNKNOWN": Explanation(
        "caller",
        Text("No site of that name has joined this node.", "没有该名称的站点加入过本节点。"),
        Text("Correct the name: `suan site list` shows the sites.", "改正名称：`suan site list` 列出站点。"),
        ("suan site list",),
    ),
    "SITE_EXISTS": Explanation(
        "agent",
        Text(
            "A site of that name has joined before with other keys; the name stays taken even after it has left.",
            "该名称的站点已用其他密钥加入；即使退出，名称也仍被占用。",
        ),
        Text(
            "Start the agent on the folder that holds its identity, or join under another name.",
            "在保存其身份的文件夹上启动代理，或换一个名称加入。",
        ),
        ("suan site list",),
    ),
    "POOL_UNKNOWN": Explanation(
        "caller",
        Text(
            "No pool of that name is registered: the site is another, or its agent has not described the pool yet.",
            "没有登记该名称的资源池：站点写错，或其代理尚未上报该池的描述。",
        ),
        Text(
            "Correct the name, in full `sites/SITE/pools/POOL`; `suan pool search` shows the pools.",
            "改正名称，全称为 `sites/站点/pools/资源池`；`suan pool search` 列出资源池。",
        ),
        ("suan pool search",),
    ),
    "DESCRIPTOR_SIGNATURE_INVALID": Explanation(
        "agent",
        Text(
            "A pool's description is not signed with a key that the site has registered.",
            "资源池的描述不是用站点已登记的密钥签名的。",
        ),
        Text(
            "Start the agent on its own folder; where `signing.key` was replaced by hand, put the old one back and "
            "let the agent rotate it.",
            "在代理自己的文件夹上启动；若 `signing.key` 曾被手工替换，放回旧文件，由代理自行更换。",
        ),
    ),
    "NOT_OWNER": Explanation(
        "caller",
        Text(
            "The site, pool or party belongs to somebody else than the caller acts for.",
            "该站点、资源池或主体不属于调用者所代表的一方。",
        ),
        Text(
            "Call as a user of the party that owns it, or as the operator.",
            "以所有者一方的用户或运营方的身份调用。",
        ),
        ("suan ctx list", "suan site show"),
    ),
    "FIELD_INVALID": Explanation(
        "caller",
        Text(
            "A field of a party, site, pool or token is out of its range or of another form; `field` names it.",
            "主体、站点、资源池或令牌的字段超出范围或形式不对；`field` 是字段名。",
        ),
        Text(
            "Correct the field that is named; the comments of `protos/suanmesh/registry/v1` say what it may hold.",
            "改正所指的字段；取值见 `protos/suanmesh/registry/v1` 中的注释。",
        ),
    ),
    "ETAG_STALE": Explanation(
        "caller",
        Text(
            "Somebody changed the party or site between the read and this write; `etag` is the one that stands.",
            "读取之后、写入之前，主体或站点已被他人改变；`etag` 是当前值。",
        ),
        Text(
            "Read it again, see whether the change is still wanted, and repeat with the new etag.",
            "重新读取，确认是否仍要修改，再用新的 etag 重复。",
        ),
        ("suan site show", "suan party show"),
    ),
    "POOLS_TOO_MANY": Explanation(
        "agent",
        Text(
            "The agent describes more pools than a site may have, 100 unless configured.",
            "代理描述的资源池多于一个站点的上限（默认 100）。",
        ),
        Text("Put hosts of the same kind into one pool, or split the site.", "把同类主机并入一个资源池，或拆分站点。"),
        ("suan pool search",),
    ),
    "SITES_TOO_MANY": Explanation(
        "operator",
        Text(
            "The party has as many sites as it may have, 1000 unless configured; sites that have left count.",
            "主体的站点数已达上限（默认 1000）；已退出的站点也计算在内。",
        ),
        Text(
            "Raise SUANMESH_REGISTRY_PARTY_SITES_MAX, or let the party run one site with several pools.",
            "提高 SUANMESH_REGISTRY_PARTY_SITES_MAX，或让该主体用一个站点运行多个资源池。",
        ),
        ("suan site list",),
    ),
    "JOIN_TOKENS_TOO_MANY": Explanation(
        "operator",
        Text(
            "The party has as many join tokens as are remembered, 1000 unless configured; each is until a day "
            "after it lapsed.",
            "主体的加入令牌数已达上限（默认 1000）；每个令牌在过期一天后才被清除。",
        ),
        Text(
            "Use a token that was made and not spent, or wait until old ones are forgotten.",
            "使用已创建但未用的令牌，或等待旧令牌被清除。",
        ),
        ("suan site invite",),
    ),
    "PARTIES_TOO_MANY": Explanation(
        "operator",
        Text(
            "The node has as many parties as it may have, 10,000 unless configured.",
            "本节点的主体数已达上限（默认 10000）。",
        ),
        Text("Raise SUANMESH_REGISTRY_PARTIES_MAX.", "提高 SUANMESH_REGISTRY_PARTIES_MAX。"),
        ("suan party list",),
    ),
    "DESCRIPTOR_KEY_LAPSED": Explanation(
        "agent",
        Text(
            "The pool's description is signed with a key that is not good any more, or not yet: the agent was off "
            "for long, or its clock is wrong.",
            "描述所用的签名密钥已失效或尚未生效：代理离线过久，或其时钟不准。",
        ),
        Text(
            "Check the clock of the agent's machine and restart the agent; it registers a new key by itself.",
            "检查代理所在机器的时钟并重启代理；它会自动登记新密钥。",
        ),
        ("suan site health",),
    ),
    "SIGNING_KEY_INVALID": Explanation(
        "agent",
        Text(
            "A new signing key did not come signed with itself, or came for another site than its agent's.",
            "新的签名密钥没有用其自身签名，或不是该代理所属站点的。",
        ),
        Text(
            "Let the agent make and register the key: `suanmesh-agent rotate-key`.",
            "由代理生成并登记密钥：`suanmesh-agent rotate-key`。",
        ),
    ),
    "SIGNING_KEY_LAPSED": Explanation(
        "agent",
        Text(
            "The key was registered before and its time is over, at `valid_until`; an old key is never taken again.",
            "该密钥曾登记过，已于 `valid_until` 过期；旧密钥不会再被接受。",
        ),
        Text(
            "Make another key: `suanmesh-agent rotate-key` does so and registers it.",
            "另行生成密钥：`suanmesh-agent rotate-key` 会生成并登记。",
        ),
    ),
    "SIGNING_KEYS_TOO_MANY": Explanation(
        "agent",
        Text(
            "The site has registered as many keys as are kept; the oldest is let go a week after it lapsed.",
            "站点登记的密钥数已达上限；最旧的在过期一周后才会清除。",
        ),
        Text(
            "Do not rotate more often; wait until the oldest is let go.",
            "不要过于频繁地更换；等待最旧的密钥被清除。",
        ),
    ),
    "NODES_TOO_MANY": Explanation(
        "operator",
        Text("The node believes as many other nodes as it may, `most`.", "本节点信任的其他节点数已达上限 `most`。"),
        Text("Remove nodes that are not needed any more.", "移除不再需要的节点。"),
        ("suan trust list", "suan trust remove"),
    ),
    "SITE_REMOVED": Explanation(
        "caller",
        Text(
            "The site has left for good and cannot be opened, cordoned or drained any more.",
            "该站点已永久退出，不能再开放、封锁或排空。",
        ),
        Text("Join the machines again under another name of a site.", "让这些机器用另一站点名重新加入。"),
        ("suan site invite",),
    ),
    "SITE_IN_USE": Explanation(
        "operator",
        Text(
            "The site still takes new work, or `placements` live there: what leaves now would take their work with it.",
            "站点仍接纳新作业，或仍有 `placements` 个落位：此时退出会连同其工作一起丢失。",
        ),
        Text(
            "Drain the site first and wait until nothing is left, then remove it.",
            "先排空站点并等到没有剩余，再移除。",
        ),
        ("suan site drain", "suan site jobs"),
    ),
    "RATE_EXCEEDED": Explanation(
        "caller",
        Text(
            "One identity asks for more than 30 renewals of its certificate at once, or one in 5 s. A program renews "
            "in a loop, or very many machines show the same identity.",
            "同一身份一次请求更新证书超过 30 次，或超过每 5 秒一次：可能是程序在循环更新，或极多机器使用同一身份。",
        ),
        Text(
            "Renew at two thirds of the certificate's life, as `suan` and the agent do by themselves; give machines "
            "identities of their own.",
            "在证书寿命的三分之二处更新（`suan` 和代理会自动更新）；为各机器使用各自的身份。",
        ),
        ("suan doctor", "suan user invite"),
    ),
}
"""By reason."""
