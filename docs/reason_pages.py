"""One page for each code the mesh answers with, their index, and the catalogue that `suan explain` reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from reason_facts import OBSTACLE, STATE, facts

from suanmesh_cli.explaining import CATALOGUE, LABELS, Known, entries
from suanmesh_kernel.texts import Text
from suanmesh_sdk.advice import STATE_REASONS
from suanmesh_sdk.obstacles import OBSTACLES
from suanmesh_sdk.reasons import help_url

MADE = "<!-- Made by docs/generate.py; edit what it reads, then run `make gen`. -->"
FOLDER = "docs/reference/reasons"
NO_FACT = "request_id"
"""What a meaning names and is the caller's."""
_INDEX = {"en": "README.md", "zh": "README.zh-CN.md"}
_ENDING = {"en": ".md", "zh": ".zh-CN.md"}
_TITLE = Text("# Refusals, obstacles, states", "# 拒绝、障碍与状态")
_INTRO = Text(
    "Whatever the mesh says no with has a code, and each code has a page; `suan explain CODE` prints it without a "
    "network. A *refusal* answers a call: a gRPC code, a stable reason, facts as fields; `google.rpc.ErrorInfo` "
    "carries reason and domain, `LocalizedMessage` the text in English and Chinese, `Help` the address of the page. "
    "An *obstacle* says why one candidate cannot serve a job; a job that nothing admits stays PENDING, and its "
    "decision counts how many candidates have which. A *state* (`suanmesh.type.v1.StateReason`) says why a job, "
    "a placement, a transfer or a site stands where it stands; its code may also be that of the refusal that led "
    "there.",
    "算网的每一种“不”都有代码，每个代码有一页；`suan explain 代码` 无需网络即可显示。*拒绝*是对调用的答复：一个 gRPC "
    "码、一个稳定的原因、作为字段的事实；`google.rpc.ErrorInfo` 载有原因和领域，`LocalizedMessage` 载有中英文说明，"
    "`Help` 载有该页的地址。*障碍*说明某个候选为何不能承接作业；没有任何候选可用的作业保持 PENDING，其裁决统计各障碍"
    "涉及多少候选。*状态*（`suanmesh.type.v1.StateReason`）说明作业、落位、搬运或站点为何处于其状态；其代码也可能是"
    "导致该状态的拒绝的代码。",
)
_KINDS = {
    "refusal": Text("Refusals", "拒绝"),
    "obstacle": Text("Obstacles", "障碍"),
    "state": Text("States", "状态"),
}
_KIND = re.compile(r":\w+}")
"""How a fact is shown in a sentence, which is no part of what it is called."""
_HEADS = {"en": ("code", "meaning"), "zh": ("代码", "含义")}


class Meaning(NamedTuple):
    """One area's meaning of a reason."""

    domain: str
    code: str
    english: str
    chinese: str


def pages(root: Path, refusals: Mapping[str, list[Meaning]]) -> dict[str, str]:
    """The pages and the catalogue, by path."""
    known = _known(root, refusals)
    made = {f"libs/cli/suanmesh_cli/{CATALOGUE}": json.dumps(known, indent=1, ensure_ascii=False) + "\n"}
    for lang in ("en", "zh"):
        made[f"{FOLDER}/{_INDEX[lang]}"] = _joined(_index(known, lang))
        for code, each in known.items():
            made[help_url(code, lang)] = _joined(_page(code, each, lang))
    return made


def outdated(root: Path, made: Mapping[str, str]) -> list[Path]:
    """Pages of codes that there are no more."""
    there = (path for path in (root / FOLDER).glob("*.md"))
    return [path for path in there if path.relative_to(root).as_posix() not in made]


def _known(root: Path, refusals: Mapping[str, list[Meaning]]) -> dict[str, list[Known]]:
    given = facts(root)
    found: dict[str, list[Known]] = {}

    def add(reason: str, kind: str, meaning: Meaning) -> None:
        domain, code, english, chinese = meaning
        named = re.findall(r"`([a-z_]+)`", english) if kind == "refusal" else []
        key = (domain if kind == "refusal" else kind, reason)
        names = list(dict.fromkeys([*given.get(key, []), *(name for name in named if name != NO_FACT)]))
        found.setdefault(reason, []).append(
            Known(kind=kind, domain=domain, code=code, en=english, zh=chinese, facts=names)
        )

    for reason, meanings in refusals.items():
        for meaning in meanings:
            add(reason, "refusal", meaning)
    for reason, obstacle in OBSTACLES.items():
        add(reason, OBSTACLE, Meaning("", "", obstacle.meaning.en, obstacle.meaning.zh))
    for reason, text in STATE_REASONS.items():
        add(reason, STATE, Meaning("", "", *(_KIND.sub("}", each) for each in (text.en, text.zh))))
    return dict(sorted(found.items()))


def _index(known: Mapping[str, list[Known]], lang: str) -> Iterator[str]:
    other = "zh" if lang == "en" else "en"
    yield from (_TITLE.of(lang), MADE, f"[{_LANGUAGE[other]}]({_INDEX[other]})", _INTRO.of(lang))
    for kind, title in _KINDS.items():
        yield f"## {title.of(lang)}"
        rows = [
            (f"[`{code}`]({code.lower()}{_ENDING[lang]})", each["zh" if lang == "zh" else "en"])
            for code, meanings in known.items()
            for each in meanings
            if each["kind"] == kind
        ]
        yield _table(_HEADS[lang], dict.fromkeys(rows))


def _page(code: str, known: list[Known], lang: str) -> Iterator[str]:
    other = "zh" if lang == "en" else "en"
    back = {"en": "All codes", "zh": "全部代码"}[lang]
    yield from (
        f"# {code}",
        MADE,
        f"[{_LANGUAGE[other]}]({code.lower()}{_ENDING[other]}) · [{back}]({_INDEX[lang]})",
    )
    colon = "：" if lang == "zh" else ": "
    for entry in entries(code, known):
        title = entry.title.of(lang)
        yield f"## {title[:1].upper()}{title[1:]}"
        yield entry.meaning.of(lang)
        yield "\n".join(f"- **{LABELS[key].of(lang)}**{colon}{text.of(lang)}" for key, text in entry.parts)


_LANGUAGE = {"en": "English", "zh": "中文"}


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _joined(blocks: Iterable[str]) -> str:
    return "\n\n".join(blocks) + "\n"
