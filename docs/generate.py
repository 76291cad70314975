"""Write the pages of docs/reference that are made from the contracts and the code, and the schema of job files.

`make gen` runs it; `make check-gen` fails where the pages differ from what it writes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path

import command_reference
import job_reference
import reason_pages
import sdk_reference
import telemetry_reference
from reason_pages import MADE, Meaning

from suanmesh.type.v1 import semantics_pb2
from suanmesh_cli.texts import DOMAIN, OWN
from suanmesh_sdk.reasons import CHINESE

ROOT = Path(__file__).resolve().parent.parent
AREAS = ("registry", "scheduler", "network_orchestrator", "transport", "accounting", "agent", "gateway")


def pages() -> dict[str, str]:
    """Every page this writes, by its path from the root."""
    return {
        "docs/reference/access.md": _page(_access_en()),
        "docs/reference/access.zh-CN.md": _page(_access_zh()),
        **telemetry_reference.pages(ROOT),
        **command_reference.pages(ROOT),
        **job_reference.pages(ROOT),
        **sdk_reference.pages(ROOT),
        **reason_pages.pages(ROOT, refusals()),
    }


def refusals() -> dict[str, list[Meaning]]:
    """Every reason of every area, sorted, with what it means in each."""
    found: dict[str, list[Meaning]] = {}
    for path in sorted((ROOT / "protos" / "suanmesh").glob("*/v1/reason.proto")):
        area = path.parent.parent.name.replace("type", "mesh")
        for value, comment in enum_values(path, "Reason"):
            reason = value.removeprefix("REASON_")
            code, _, english = comment.partition(": ")
            found.setdefault(reason, []).append(
                Meaning(f"{area}.suanmesh", code, _sentence(english), CHINESE[area][reason] + "。")
            )
    for reason, (code, text) in OWN.items():
        found.setdefault(reason, []).append(Meaning(DOMAIN, code, _sentence(text.en) + ".", text.zh + "。"))
    return dict(sorted(found.items()))


def enum_values(path: Path, enum: str) -> Iterator[tuple[str, str]]:
    """The values of `enum` in the proto file at `path` with their comments, the unspecified one left out."""
    body = re.search(rf"^enum {enum} {{\n(.*?)^}}", path.read_text(), re.MULTILINE | re.DOTALL)
    comment: list[str] = []
    for line in body.group(1).splitlines() if body else ():
        words = line.strip()
        if words.startswith("//"):
            comment.append(words.removeprefix("//").strip())
        elif match := re.match(r"(\w+) = \d+;", words):
            if not match[1].endswith("_UNSPECIFIED"):
                yield match[1], " ".join(comment)
            comment = []


def _methods() -> Iterator[tuple[str, list[str], bool, str, str]]:
    """Every method: its roles, whether the gateway passes it on, whose things are met behind it, who serves it."""
    for area in AREAS:
        module = import_module(f"suanmesh.{area}.v1.{area}_service_pb2")
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                declared = method.GetOptions().Extensions[semantics_pb2.semantics]
                roles = [semantics_pb2.Role.Name(role).removeprefix("ROLE_").lower() for role in declared.roles]
                ownership = semantics_pb2.Ownership.Name(declared.ownership).removeprefix("OWNERSHIP_").lower()
                served_by = semantics_pb2.ServedBy.Name(declared.served_by).removeprefix("SERVED_BY_").lower()
                yield f"{service.name}/{method.name}", roles, declared.public, ownership, served_by


def _access_en() -> Iterator[str]:
    yield from (
        "# Who may call what",
        "[中文](access.zh-CN.md)",
        "As each method declares it in its contract. `own`: a user meets what belongs to their party, an agent what "
        "concerns its site, the bearer of a ticket what it was made out for; operators and services meet "
        "everybody's. What is another's is answered as if it did not exist, or with `NOT_OWNER` where the caller "
        "names its owner. `common`: whoever may call meets the same. `any`: every instance of the service takes the "
        "call, also while none leads; `leader`: the one that leads does.",
    )
    rows = ((name, ", ".join(roles), "yes" if public else "no", *rest) for name, roles, public, *rest in _methods())
    yield from _table(("method", "roles", "through the gateway", "whose", "served by"), rows)


def _access_zh() -> Iterator[str]:
    yield from (
        "# 谁可以调用什么",
        "[English](access.md)",
        "以各方法在契约中的声明为准。`own`：用户只见本方的资源，代理只见与本站点有关的资源，持票者只见票据所指的数据；"
        "运营者和服务可见全部。他人的资源一律按不存在答复；若调用者指明了所有者，则答以 `NOT_OWNER`。"
        "`common`：有权调用者所见相同。`any`：该服务的任一实例都可应答，无主实例时亦然；`leader`：只由主实例应答。",
    )
    rows = ((name, ", ".join(roles), "是" if public else "否", *rest) for name, roles, public, *rest in _methods())
    yield from _table(("方法", "角色", "经由网关", "归属"), rows)


def _table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    lines = [titles, tuple("---" for _ in titles)]
    lines += [(f"`{first}`", *rest) for first, *rest in rows]
    yield "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _page(blocks: Iterable[str]) -> str:
    title, *rest = blocks
    return "\n\n".join([title, MADE, *rest]) + "\n"


def main() -> int:
    made = pages()
    for path in reason_pages.outdated(ROOT, made):
        path.unlink()
    for path, text in made.items():
        (ROOT / path).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
