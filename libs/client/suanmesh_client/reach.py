"""Whether the mesh answers whoever waits: what is slow must not be taken for what is away, nor the other way round."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from suanmesh_client.texts import refusal
from suanmesh_kernel.refusals import DeadlineExceeded, Refusal, Unavailable
from suanmesh_kernel.texts import Text

if TYPE_CHECKING:
    from suanmesh_sdk import Mesh

ANSWER_S_MAX = 5.0
"""How long an answer is waited for once time is over: a frozen mesh keeps its lines open, and only silence shows it."""


async def _ask_gateway(mesh: Mesh) -> object:
    from suanmesh.gateway.v1.gateway_service_pb2 import ListGatewaysRequest

    return await mesh.gateway.ListGateways(ListGatewaysRequest())


class Reach:
    """What is known of how well the mesh is reached during one wait."""

    def __init__(self, ask: Callable[[Mesh], Awaitable[object]] = _ask_gateway) -> None:
        self.ask = ask
        """What is asked to see whether that which is waited for can be told of."""
        self.used = False
        """Whether the mesh was turned to at all."""
        self._silent_since: float | None = None

    def begin(self) -> None:
        """The wait begins: nothing has answered yet."""
        self._silent_since = _now()

    def told(self, outage: Refusal | None) -> None:
        """There is no answer, for what `outage` says; or None, there is one."""
        if outage is None:
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = _now()

    async def outage(self, mesh: Mesh, name: str = "") -> Refusal | None:
        """Unavailable (`MESH_UNREACHABLE`) where nothing answers now, after `ANSWER_S_MAX` at the latest; else None.

        A refusal of any other kind is an answer.
        """
        since = _now() if self._silent_since is None else self._silent_since
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                await self.ask(mesh)
        except (Unavailable, DeadlineExceeded) as silence:
            because = silence.reason
        except TimeoutError:
            because = "DEADLINE_EXCEEDED"
        except Refusal:
            return None
        else:
            return None
        silent_s = _now() - since
        said = Text(
            f"there has been no answer for {silent_s:.0f} s ({because}); what was begun goes on",
            f"已有 {silent_s:.0f} 秒没有应答（{because}）；已开始的仍在继续",
        )
        return refusal(Unavailable, "MESH_UNREACHABLE", said, name=name)


def _now() -> float:
    return asyncio.get_running_loop().time()
