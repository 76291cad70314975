"""Whether a node may be led with what a service keeps its records in: only with what belongs to its etcd (0059)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from suanmesh_kernel.texts import Text
from suanmesh_store.soundness import StoreRefused

LAYOUT = 1
"""Version of the layout of all keys in etcd; raised with a change that an older service would misread."""


@dataclass(frozen=True, slots=True)
class Belonging:
    """What a store says of itself."""

    store: str
    """A name that no other store has."""
    node: str = ""
    """Name of the node it was made for; empty where it has never led."""
    node_id: str = ""
    generation: str = ""
    """Of the node, as of the last mark; empty where an earlier version kept none."""
    number: int = 0
    """Of the last mark that was left of it."""
    sequence: int = 0
    """Of its last change; grows, and is part of what is committed."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What is known in etcd of the store that led last."""

    store: str = ""
    """Empty where none has led."""
    generation: str = ""
    number: int = 0
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """What etcd knows of the node that it belongs to."""

    node_id: str = ""
    """Empty where nobody has said it."""
    generation: str = ""
    layout: int = LAYOUT
    follows: Mapping[str, int] = field(default_factory=dict)
    """Stores of other generations that belong to this one, and the number that each had come to."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """Who wants to lead, and with what."""

    area: str
    what: str
    """What to call such a store to people."""
    node: str
    lead_with: str = ""
    """The store that the operator wants to lead with, whatever is known of it."""


def refusal_to_lead(claimed: Claimed, own: Belonging, node: Node, mark: Mark) -> StoreRefused | None:
    """Why the node must not be led with `own`, with what to do; None where it may."""
    if node.layout > LAYOUT:
        return too_new(f"etcd of {claimed.node}", "etcd", node.layout, LAYOUT)
    if own.node not in ("", claimed.node):
        return _of_another(claimed, own, f"the node {own.node}", f"节点 {own.node}")
    if own.node_id and node.node_id and own.node_id != node.node_id:
        founded = f"another {own.node} that was founded before or elsewhere"
        return _of_another(claimed, own, founded, f"此前或在别处创建的另一个 {own.node}")
    if claimed.lead_with == own.store:
        return None
    if mark.store not in ("", own.store):
        return _replaced(claimed, own, mark)
    problem = _disagreement(claimed, own, node, mark)
    return None if problem is None else _disagrees(claimed, own, problem)


def next_mark(own: Belonging, node: Node) -> Mark:
    """The mark that is left next, which says that the store as it is now belongs to this etcd."""
    return Mark(own.store, node.generation, own.number + 1, own.sequence)


def marked(own: Belonging, claimed: Claimed, node: Node, mark: Mark) -> Belonging:
    """What a store says of itself once the mark was left."""
    return Belonging(own.store, claimed.node, node.node_id, node.generation, mark.number, own.sequence)


def too_new(what: str, zh: str, found: int, known: int) -> StoreRefused:
    """A newer version has written it."""
    return StoreRefused(
        "STORE_TOO_NEW",
        Text(
            f"{what} has tables of version {found}, this program knows none beyond {known}: run what wrote it, or "
            "bring back a copy from before",
            f"{zh} 的版本为 {found}，本程序最高只认得 {known}：请运行写入它的版本，或恢复此前的备份",
        ),
    )


def _disagreement(claimed: Claimed, own: Belonging, node: Node, mark: Mark) -> Text | None:
    """How etcd and a store are not of one moment; None where they are."""
    if own.node_id and not node.node_id:
        return Text("etcd knows nothing of the node", "etcd 中没有该节点的记录")
    if own.generation and own.generation != node.generation:
        if node.follows.get(own.store) == own.number:
            return None
        return Text(
            "one of etcd and it was brought back, or begun anew, without the other",
            "两者之一被单独恢复或重建",
        )
    if mark.generation != own.generation or not mark.store:
        return None
    if mark.number < own.number:
        return Text("etcd is older: it was brought back alone", "etcd 较旧：只恢复了 etcd")
    if mark.number > own.number + 1 or mark.sequence > own.sequence:
        return Text(f"{claimed.what} is older: it was brought back alone", "该存储较旧：只恢复了该存储")
    return None


def _of_another(claimed: Claimed, own: Belonging, whose: str, zh: str) -> StoreRefused:
    place = f"SUANMESH_{claimed.area.upper()}_DATABASE or SUANMESH_DATA_DIR"
    return StoreRefused(
        "STORE_OF_ANOTHER_NODE",
        Text(
            f"{claimed.node} cannot be led with {claimed.what} {own.store}, made for {whose}: point {place} to "
            f"{claimed.what} of {claimed.node}",
            f"{claimed.node} 不能使用存储 {own.store}，它属于{zh}：请让 {place} 指向 {claimed.node} 自己的存储",
        ),
    )


def _replaced(claimed: Claimed, own: Belonging, mark: Mark) -> StoreRefused:
    choice = f"SUANMESH_{claimed.area.upper()}_LEAD_WITH={own.store}"
    return StoreRefused(
        "STORES_DISAGREE",
        Text(
            f"{claimed.node} cannot be led with {claimed.what} {own.store}, since {mark.store} led it before: bring "
            f"{mark.store} back, or set {choice} to lead with {own.store} and lose what {mark.store} holds",
            f"{claimed.node} 不能使用存储 {own.store}，此前使用的是 {mark.store}：请恢复 {mark.store}，"
            f"或设置 {choice} 改用 {own.store} 并放弃 {mark.store} 的内容",
        ),
    )


def _disagrees(claimed: Claimed, own: Belonging, problem: Text) -> StoreRefused:
    choice = f"SUANMESH_{claimed.area.upper()}_LEAD_WITH={own.store}"
    return StoreRefused(
        "STORES_DISAGREE",
        Text(
            f"{claimed.node} cannot be led with {claimed.what} {own.store}, since {problem.en}: bring back etcd and "
            f"all stores of one backup by `suan node restore`, or set {choice} to lead with it as it is",
            f"{claimed.node} 不能使用存储 {own.store}，因为{problem.zh}：请用 `suan node restore` 恢复同一备份中的 "
            f"etcd 与全部存储，或设置 {choice} 按现状使用",
        ),
    )
