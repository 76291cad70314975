"""Settings of the gateway, from `SUANMESH_GATEWAY_<FIELD>`."""

from __future__ import annotations

from dataclasses import dataclass

from suanmesh_kernel.addresses import told_address


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
    passthrough_listen: str = ""
    """`host:port` at which connections to sites' data planes are passed through, unread; empty for none."""
    passthrough_advertise: str = ""
    """`host:port` users reach it at, where that is not what is listened on; a host alone gets the port listened on."""

    def __post_init__(self) -> None:
        if self.passthrough_listen:
            told_address(self.passthrough_listen, self.passthrough_advertise, field="passthrough_advertise")
