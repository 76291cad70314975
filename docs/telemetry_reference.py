"""The pages on every name a process writes, made from `suanmesh_telemetry.names`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from command_reference import read_texts
from reason_pages import MADE

from suanmesh_kernel.texts import Text
from suanmesh_telemetry import names

PAGES = {"en": "docs/reference/telemetry.md", "zh": "docs/reference/telemetry.zh-CN.md"}
CHINESE_TEXTS = "docs/telemetry.zh-CN.txt"
"""Every English meaning of a name, and below it the Chinese one."""
_TITLE = Text("# Telemetry", "# 遥测")
_OTHER = Text("[中文](telemetry.zh-CN.md)", "[English](telemetry.md)")
_INTRO = Text(
    "Every name a process writes. Spans of calls follow OpenTelemetry's stable RPC conventions and are named "
    "`Service/Method`; spans of etcd follow the database conventions and are named `etcd.<operation>`. What is "
    "not listed here is not used: the names live in `libs/telemetry/suanmesh_telemetry/names.py`.",
    "进程所写的全部名称。调用的跨度遵循 OpenTelemetry 稳定的 RPC 约定，名为 `Service/Method`；etcd 的跨度遵循数据库约定"
    "，名为 `etcd.<operation>`。此处未列的不会使用：名称都在 `libs/telemetry/suanmesh_telemetry/names.py` 中。",
)
_SPANS = Text("## Spans of a job", "## 作业的跨度")
_ATTRIBUTES = Text("## Attributes", "## 属性")
_CONVENTIONAL = Text("From OpenTelemetry's conventions: {names}.", "出自 OpenTelemetry 的约定：{names}。")
_LAYERS = Text("## Layers", "## 层")
_LAYERS_SAID = Text(
    "`suanmesh.layer` of a span, by the `service.name` of its process.",
    "跨度的 `suanmesh.layer`，按其进程的 `service.name`。",
)
_LOGS = Text("## Log keys", "## 日志键")
_LOGS_SAID = Text(
    "One JSON object a line on stderr; one canonical line for each call served.",
    "stderr 上每行一个 JSON 对象；每次所服务的调用一行。",
)
_METRICS = Text("## Metrics", "## 指标")
_METRICS_SAID = Text(
    "Durations are in seconds, with the bucket bounds {buckets}; exemplars carry the trace id of a kept trace. No "
    "label has a value per job, user or dataset. Where they are read, and what watches them: "
    "[on call](../how-to/on-call.md).",
    "时长以秒计，桶的上界为 {buckets}；示例带有所留追踪的标识。任何标签都不按作业、用户或数据集取值。读取之处与告警见"
    "[值班](../how-to/on-call.zh-CN.md)。",
)
_HEADS = {
    "span": Text("span | where and what", "跨度 | 何处、何事"),
    "attribute": Text("attribute | meaning", "属性 | 含义"),
    "service": Text("service | layer", "服务 | 层"),
    "key": Text("key | meaning", "键 | 含义"),
    "metric": Text("metric | meaning | labels", "指标 | 含义 | 标签"),
}


def pages(root: Path) -> dict[str, str]:
    """Both, by path from the root. Raises KeyError for what has no Chinese text."""
    chinese = read_texts((root / CHINESE_TEXTS).read_text())
    said: dict[str, Callable[[str], str]] = {"en": str, "zh": chinese.__getitem__}
    return {path: "\n\n".join(_blocks(lang, said[lang])) + "\n" for lang, path in PAGES.items()}


def english_texts() -> Iterator[str]:
    """Every text that has to be there in Chinese."""
    met: dict[str, None] = {}

    def meet(text: str) -> str:
        met[text] = None
        return text

    list(_blocks("en", meet))
    yield from met


def _blocks(lang: str, said: Callable[[str], str]) -> Iterator[str]:
    def own(text: Text, **values: str) -> str:
        return getattr(text, lang).format(**values) if values else str(getattr(text, lang))

    def table(head: str, rows: Iterable[tuple[str, ...]]) -> str:
        titles = tuple(own(_HEADS[head]).split(" | "))
        lines = [titles, tuple("---" for _ in titles), *((f"`{first}`", *rest) for first, *rest in rows)]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    buckets = ", ".join(f"{bucket:g}" for bucket in names.DURATION_BUCKETS_S)
    yield from (own(_TITLE), MADE, own(_OTHER), own(_INTRO))
    yield from (own(_SPANS), table("span", ((name, said(text)) for name, text in names.SPANS.items())))
    yield from (own(_ATTRIBUTES), table("attribute", ((name, said(text)) for name, text in names.ATTRIBUTES.items())))
    yield own(_CONVENTIONAL, names=", ".join(f"`{name}`" for name in _conventional()))
    yield from (own(_LAYERS), own(_LAYERS_SAID), table("service", names.LAYERS.items()))
    yield from (own(_LOGS), own(_LOGS_SAID))
    yield table("key", ((name, said(text)) for name, text in names.LOG_KEYS.items()))
    yield from (own(_METRICS), own(_METRICS_SAID, buckets=buckets))
    yield table("metric", ((name, said(text), ", ".join(labels)) for name, (text, labels) in names.METRICS.items()))


def _conventional() -> list[str]:
    """The attributes that are not of ours: the module's constants with a dot in them."""
    values = (value for value in vars(names).values() if isinstance(value, str))
    return sorted(
        value for value in values if re.fullmatch(r"[a-z_.]+\.[a-z_]+", value) and not value.startswith("suan")
    )
