"""Settings of the gateway, from `SUANMESH_GATEWAY_<FIELD>`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """What the gateway is told."""

    traces_spans_max: int = 500_000
    """Most spans kept; the oldest traces go first."""
    traces_age_s_max: int = 7 * 86_400
    """Traces that began longer ago are dropped, seconds."""
    trace_spans_max: int = 10_000
    """Most spans kept of one trace; later ones are not taken."""
    sweep_s: float = 60
    """How often old traces are dropped, seconds."""
