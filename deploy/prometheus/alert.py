"""What one alert is."""

from __future__ import annotations

from dataclasses import dataclass

from suanmesh_kernel.texts import Text


@dataclass(frozen=True)
class Alert:
    """One condition with its page. `page` wakes somebody, `ticket` waits for the morning."""

    name: str
    expr: str
    severity: str
    summary: Text
    means: Text
    do: Text
    lasts: str = "0m"
    """How long it has to hold."""
    burn: str = ""
    """How many times too fast the error budget is used up, where it is about that."""
