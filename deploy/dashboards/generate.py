"""Writes Grafana's dashboards beside this file, in English and in Chinese; `make gen` runs it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh

from deploy.dashboards.panels import BOARDS, Board, Panel

ROOT = Path(__file__).resolve().parent
LANGUAGES = ("en", "zh")
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHT, WIDTH, WIDE = 8, 12, 6
"""Of 24 columns; numbers take a quarter."""


def files() -> dict[str, str]:
    """Every dashboard by its file: `en/jobs.json` ..."""
    return {
        f"{lang}/{board.uid.removeprefix('suanmesh-')}.json": JSONEncoder(
            sort_keys=True, indent=2, ensure_ascii=False
        ).encode(made(board, lang))
        + "\n"
        for board in BOARDS
        for lang in LANGUAGES
    }


def made(board: Board, lang: str) -> Any:
    """The model of a dashboard."""
    builder = (
        dashboard.Dashboard(f"Suanmesh: {board.title.of(lang)}")
        .uid(f"{board.uid}-{lang}")
        .tags(["suanmesh"])
        .refresh("30s")
        .time("now-6h", "now")
        .with_variable(dashboard.DatasourceVariable("datasource").type("prometheus"))
        .with_variable(_choice("node", "up"))
    )
    if board.choose:
        builder = builder.with_variable(_choice(board.choose, board.choose_of))
    for panel in board.panels:
        builder = builder.with_panel(_stat(panel, lang) if panel.stat else _series(panel, lang))
    return builder.build()


def _choice(label: str, metric: str) -> Any:
    return (
        dashboard.QueryVariable(label)
        .datasource(SOURCE)
        .query(f"label_values({metric}, {label})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .include_all(True)
        .all_value(".+")
        .multi(True)
    )


def _stat(panel: Panel, lang: str) -> Any:
    made = stat.Panel().title(panel.title.of(lang)).unit(panel.unit).datasource(SOURCE).height(HEIGHT).span(WIDE)
    return made.with_target(_query(panel).instant())


def _series(panel: Panel, lang: str) -> Any:
    made = timeseries.Panel().title(panel.title.of(lang)).unit(panel.unit).datasource(SOURCE).height(HEIGHT).span(WIDTH)
    return made.with_target(_query(panel).range())


def _query(panel: Panel) -> Any:
    return prometheus.Dataquery().expr(panel.query).legend_format(panel.legend).exemplar(panel.exemplars).ref_id("A")


def main() -> int:
    made_now = files()
    for lang in LANGUAGES:
        (ROOT / lang).mkdir(exist_ok=True)
        for path in (ROOT / lang).glob("*.json"):
            if path.relative_to(ROOT).as_posix() not in made_now:
                path.unlink()
    for name, text in made_now.items():
        (ROOT / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
