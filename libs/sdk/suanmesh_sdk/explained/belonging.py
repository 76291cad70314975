"""What two parts of a node that do not belong together refuse each other with."""

from __future__ import annotations

from typing import Final

from suanmesh_kernel.texts import Explanation, Text

EXPLAINED: Final[dict[str, Explanation]] = {
    "STORE_OF_ANOTHER_NODE": Explanation(
        "operator",
        Text(
            "The ledger or the records that the service was pointed to were made for another node, or for one of the "
            "same name that was founded at another time; the service ends with status 3.",
            "服务所指向的账本或记录属于另一个节点，或属于在其他时间创建的同名节点；服务以状态 3 退出。",
        ),
        Text(
            "Point `SUANMESH_<AREA>_DATABASE` or `SUANMESH_DATA_DIR` to what is of this node; a service cannot be "
            "made to take another's.",
            "让 `SUANMESH_<AREA>_DATABASE` 或 `SUANMESH_DATA_DIR` 指向本节点自己的存储；不能强行使用其他节点的存储。",
        ),
        ("suan node check",),
    ),
    "STORES_DISAGREE": Explanation(
        "operator",
        Text(
            "etcd and a store of the node were not at the same moment: one of them was brought back from a copy, "
            "replaced or begun anew without the other. The service ends with status 3 rather than go on with half.",
            "节点的 etcd 与某个存储不是同一时刻的内容：其中之一被单独恢复、替换或重建。"
            "服务以状态 3 退出，而不是带着一半继续。",
        ),
        Text(
            "Bring back etcd and all stores of one backup. Where there is none, set `SUANMESH_<AREA>_LEAD_WITH` to the "
            "store that the message names and lose what the other side knew.",
            "恢复同一备份中的 etcd 与全部存储。若没有备份，把 `SUANMESH_<AREA>_LEAD_WITH` 设为消息所列的存储，"
            "另一侧独有的内容将会丢失。",
        ),
        ("suan node restore", "suan node check"),
    ),
    "STORE_TOO_NEW": Explanation(
        "operator",
        Text(
            "A newer version has written the store or the keys in etcd; this one would write what that one can no "
            "longer read. The process ends with status 3.",
            "存储或 etcd 中的键由更新的版本写入；本版本写入后那一版本将无法读取。进程以状态 3 退出。",
        ),
        Text(
            "Install the version that wrote it, or a later one; the way back is a backup from before the upgrade.",
            "安装写入它的版本或更新的版本；要退回旧版本，只能恢复升级前的备份。",
        ),
        ("suan version", "suan node restore"),
    ),
    "PROTOCOL_TOO_OLD": Explanation(
        "operator",
        Text(
            "The agent is of a version so old that it and the node have no version of the protocol in common; a node "
            "speaks its own and the two before.",
            "代理的版本过旧，与节点没有共同的协议版本；节点会说自己的版本和此前两个版本。",
        ),
        Text(
            "Install at the site the version that the node has, and start the agent again; what runs goes on.",
            "在站点的机器上安装节点所用的版本并重新启动代理；正在运行的任务不受影响。",
        ),
        ("suan version",),
    ),
    "PROTOCOL_TOO_NEW": Explanation(
        "operator",
        Text(
            "The agent is of a version so new that it no longer speaks what the node does.",
            "代理的版本过新，已不再使用节点的协议版本。",
        ),
        Text(
            "Upgrade the node first, or install an older version at the site until that is done.",
            "请先升级节点，或在此之前在站点安装较旧的版本。",
        ),
        ("suan node upgrade", "suan version"),
    ),
}
"""By reason."""
