"""What a code that the mesh answers with means, what brings it about and what to do: the same words as the pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from typing import Final, NamedTuple, TypedDict

from suanmesh_cli.errors import EXIT_STATUS
from suanmesh_cli.texts import DOMAIN, EXPLAINED
from suanmesh_kernel.texts import Explanation, Text
from suanmesh_sdk.explained import BY, STATES, of_refusal
from suanmesh_sdk.obstacles import OBSTACLES

CATALOGUE: Final = "reasons.json"
"""Made by docs/generate.py from the contracts' comments and the code: what cannot be asked of them here."""
OBSTACLE: Final = Text("an obstacle: why one candidate cannot serve a job", "障碍：某个候选为何不能承接作业")
STATE: Final = Text("a state: why something stands where it stands", "状态：事物为何处于其状态")
LABELS: Final = {
    "by": Text("Brought about by", "由谁引起"),
    "cause": Text("Cause", "起因"),
    "remedy": Text("What to do", "处置"),
    "facts": Text("Facts", "事实"),
    "commands": Text("Commands", "相关命令"),
}


class Known(TypedDict):
    """What the catalogue has of a refusal, an obstacle or a state."""

    kind: str
    """`refusal`, `obstacle` or `state`."""
    domain: str
    code: str
    """Of gRPC; empty where there is none."""
    en: str
    zh: str
    facts: list[str]


class Entry(NamedTuple):
    """One meaning of a code."""

    title: Text
    meaning: Text
    parts: tuple[tuple[str, Text], ...]
    """By key of `LABELS`."""


def catalogue() -> dict[str, list[Known]]:
    """Everything that is known, by code."""
    text = resources.files("suanmesh_cli").joinpath(CATALOGUE).read_text("utf-8")
    found: dict[str, list[Known]] = json.loads(text)
    return found


def entries(reason: str, known: list[Known]) -> Iterator[Entry]:
    """Every meaning of a code. Raises KeyError where one is not explained."""
    for each in known:
        parts: list[tuple[str, Text]] = []
        if each["kind"] == "obstacle":
            parts.append(("remedy", OBSTACLES[reason].advice))
        else:
            parts += _explained(_explanation(reason, each))
        if each["facts"]:
            listed = ", ".join(f"`{name}`" for name in each["facts"])
            parts.append(("facts", Text(listed, listed.replace(", ", "、"))))
        yield Entry(_title(each), Text(each["en"], each["zh"]), tuple(parts))


def lines(reason: str, known: list[Known], lang: str) -> Iterator[str]:
    """What a terminal shows of a code."""
    yield reason
    colon = "：" if lang == "zh" else ": "
    for entry in entries(reason, known):
        yield f"  {entry.title.of(lang)}"
        yield f"    {entry.meaning.of(lang)}"
        for key, text in entry.parts:
            yield f"    {LABELS[key].of(lang)}{colon}{text.of(lang)}"


def _explanation(reason: str, known: Known) -> Explanation:
    if known["kind"] == "state":
        return STATES[reason]
    own = EXPLAINED.get(reason) if known["domain"] == DOMAIN else None
    found = own or of_refusal(known["domain"], reason)
    if found is None:
        raise KeyError(f"{known['domain']} {reason} is not explained")
    return found


def _explained(found: Explanation) -> Iterator[tuple[str, Text]]:
    yield "by", BY[found.by]
    yield "cause", found.cause
    yield "remedy", found.remedy
    if found.commands:
        listed = ", ".join(f"`{command}`" for command in found.commands)
        yield "commands", Text(listed, listed.replace(", ", "、"))


def _title(known: Known) -> Text:
    if known["kind"] == "obstacle":
        return OBSTACLE
    if known["kind"] == "state":
        return STATE
    status = EXIT_STATUS.get(known["code"], 1)
    return Text(
        f"a refusal of {known['domain']}: {known['code']}, exit status {status}",
        f"{known['domain']} 的拒绝：{known['code']}，退出状态 {status}",
    )
