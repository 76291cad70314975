"""What is installed beside the packages of a user: the extras."""

from __future__ import annotations

from importlib.util import find_spec

from suanmesh_kernel.texts import Text

MARKS = {"agent": "structlog", "server": "sqlalchemy", "kubernetes": "kubernetes"}
"""A module that no smaller install has."""


def lacking(extra: str) -> Text | None:
    """What to tell whoever starts something of an extra that is not installed; None where it is."""
    mark = MARKS[extra]
    if find_spec(mark) is not None:
        return None
    how = f"pip install 'suanmesh[{extra}]'"
    return Text(f"{mark} is missing: {how}", f"缺少 {mark}：{how}")
