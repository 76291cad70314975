"""Writes Prometheus' rules, and the page of each alert in docs/reference/alerts; `make gen` runs it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from deploy.prometheus.alert import Alert
from deploy.prometheus.alerts import all_alerts, recordings

ROOT = Path(__file__).resolve().parents[2]
RULES = "deploy/prometheus/rules"
PAGES = "docs/reference/alerts"
MADE = "made by deploy/prometheus/generate.py; edit alerts.py or relied_on.py, then run `make gen`"
_ENDING = {"en": ".md", "zh": ".zh-CN.md"}
_INTRO = {
    "en": "What Prometheus tells whoever is on call; the rules are in `deploy/prometheus/rules`. `page` wakes "
    "somebody, "
    "`ticket` waits for the morning. How to let Prometheus read a node: [on call](../../how-to/on-call.md).",
    "zh": "Prometheus 告知值班者的内容；规则在 `deploy/prometheus/rules`。`page` 唤醒值班者，`ticket` 可待天明。"
    "如何让 Prometheus "
    "读取节点：[值班](../../how-to/on-call.zh-CN.md)。",
}
_TITLE = {"en": "Alerts", "zh": "告警"}
_HEADS = {"en": ("alert", "severity", "means"), "zh": ("告警", "级别", "含义")}
_SECTIONS = {"en": ("What it means", "What to do", "When it fires"), "zh": ("含义", "处理", "何时触发")}
_FOR = {"en": "{expr} for {lasts}", "zh": "{expr}，持续 {lasts}"}


def files() -> dict[str, str]:
    """Everything this writes, by path from the root."""
    made = {
        f"{RULES}/recordings.yml": _yaml(
            "suanmesh recordings", [{"record": name, "expr": expr} for name, expr in recordings()]
        ),
        f"{RULES}/alerts.yml": _yaml("suanmesh alerts", [_rule(each) for each in all_alerts()]),
    }
    by_name: dict[str, list[Alert]] = {}
    for alert in all_alerts():
        by_name.setdefault(alert.name, []).append(alert)
    for lang, ending in _ENDING.items():
        made[f"{PAGES}/README{ending}"] = "\n\n".join(_index(by_name, lang)) + "\n"
        for name, rules in by_name.items():
            made[f"{PAGES}/{name.lower()}{ending}"] = "\n\n".join(_page(rules, lang)) + "\n"
    return made


def _rule(alert: Alert) -> dict[str, Any]:
    texts = {"summary": alert.summary.en, "summary_zh": alert.summary.zh, "description": alert.means.en}
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for": alert.lasts,
        "labels": {"severity": alert.severity} | ({"burn": alert.burn} if alert.burn else {}),
        "annotations": {**texts, "runbook_url": f"{PAGES}/{alert.name.lower()}.md"},
    }


def _yaml(group: str, rules: list[dict[str, Any]]) -> str:
    told = {"groups": [{"name": group, "rules": rules}]}
    return f"# {MADE}\n" + yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=110)


def _index(by_name: dict[str, list[Alert]], lang: str) -> Iterator[str]:
    other = {"en": "[中文](README.zh-CN.md)", "zh": "[English](README.md)"}[lang]
    yield from (f"# {_TITLE[lang]}", f"<!-- {MADE} -->", other, _INTRO[lang])
    heads = _HEADS[lang]
    lines = [heads, tuple("---" for _ in heads)]
    for name, rules in sorted(by_name.items()):
        lines.append((f"[{name}]({name.lower()}{_ENDING[lang]})", rules[0].severity, rules[0].means.of(lang)))
    yield "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _page(rules: list[Alert], lang: str) -> Iterator[str]:
    first, (means, do, fires) = rules[0], _SECTIONS[lang]
    other = {"en": f"[中文]({first.name.lower()}.zh-CN.md)", "zh": f"[English]({first.name.lower()}.md)"}[lang]
    yield from (f"# {first.name}", f"<!-- {MADE} -->", other)
    yield from (f"## {means}", first.means.of(lang), f"## {do}", first.do.of(lang), f"## {fires}")
    for rule in rules:
        yield _FOR[lang].format(expr=f"`{rule.expr}`", lasts=rule.lasts) if rule.lasts != "0m" else f"`{rule.expr}`"


def main() -> int:
    made = files()
    for folder in (RULES, PAGES):
        (ROOT / folder).mkdir(parents=True, exist_ok=True)
        for path in (ROOT / folder).iterdir():
            if path.relative_to(ROOT).as_posix() not in made:
                path.unlink()
    for name, text in made.items():
        (ROOT / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
