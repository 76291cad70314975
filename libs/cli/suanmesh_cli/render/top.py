"""A node at a glance, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from suanmesh_cli import values
from suanmesh_cli.layout import Column
from suanmesh_cli.output import View, facts
from suanmesh_cli.tables import table
from suanmesh_kernel.texts import Text

if TYPE_CHECKING:
    from suanmesh_local.top import Top

US = 1_000_000
_STATES = {
    "ready": Text("ready", "就绪"),
    "not ready": Text("not ready", "未就绪"),
    "no answer": Text("no answer", "无应答"),
    "refused": Text("refused", "被拒绝"),
}
_YES = Text("yes", "是")
_NO = Text("no", "否")


def top(view: View, shown: Top) -> Iterator[str]:
    """What is wrong first, then processes, what waits, sites."""
    jobs = ", ".join(f"{count} {state}" for state, count in shown.jobs)
    told: values.Facts = [
        ("node", shown.node),
        ("not looked at", ", ".join(shown.elsewhere)),
        ("without leader", ", ".join(shown.without_leader)),
        ("ledger wrong in", ", ".join(shown.unbalanced)),
        ("jobs", jobs),
        ("longest wait", values.duration_us(round(shown.oldest_wait_s * US)) if shown.oldest_wait_s else ""),
        ("transfers", values.rate(round(shown.transferred_bytes_per_s * 8)) if shown.transferred_bytes_per_s else ""),
    ]
    yield from facts(view, told)
    if shown.troubles:
        yield ""
        columns = (Column("WRONG", lambda each: each.where), Column("WHAT", lambda each: each.what.of(view.lang)))
        yield from table(view, list(shown.troubles), columns, stands_out=lambda each: True)
    yield ""
    yield from table(view, list(shown.processes), _processes(view), stands_out=lambda row: row.state != "ready")
    if shown.queue:
        yield ""
        columns = (Column("WAITS FOR", lambda each: each[0]), Column("JOBS", lambda each: each[1]))
        yield from table(view, list(shown.queue), columns)
    if shown.sites:
        yield ""
        yield from table(view, list(shown.sites), _sites(view), stands_out=lambda row: not row.heard)


def _processes(view: View) -> tuple[Column, ...]:
    return (
        Column("PROCESS", lambda row: row.name),
        Column("STATE", lambda row: _STATES[row.state].of(view.lang)),
        Column("LEADS", lambda row: _YES.of(view.lang) if row.leads else ""),
        Column("CALLS/S", lambda row: f"{row.calls_per_s:.1f}", rank=1),
        Column("FAILED/S", lambda row: f"{row.failed_per_s:.1f}"),
        Column("CPU", lambda row: f"{row.cpu_cores:.2f}", rank=2),
        Column("MEMORY", lambda row: values.size(row.memory_bytes), rank=3),
        Column("WATCH LAG", lambda row: _left(row.watch_lag_s), rank=4),
        Column("CERTIFICATE", lambda row: _left(row.certificate_s), rank=5),
    )


def _sites(view: View) -> tuple[Column, ...]:
    return (
        Column("SITE", lambda row: row.name),
        Column("HEARD", lambda row: (_YES if row.heard else _NO).of(view.lang)),
        Column("CORES", lambda row: f"{row.cpu_cores:.2f}", rank=1),
        Column("FREE", lambda row: f"{row.cpu_free_cores:.2f}"),
        Column("MEMORY", lambda row: values.size(row.memory_bytes), rank=3),
        Column("MEMORY FREE", lambda row: values.size(row.memory_free_bytes), rank=2),
    )


def _left(seconds: float) -> values.Cell:
    return values.duration_us(round(seconds * US)) if seconds else ""
