"""Where telemetry joins in: the thin client knows no OpenTelemetry, a service hands in a hook."""

from __future__ import annotations

from typing import Protocol

from suanmesh_kernel.refusals import Refusal


class ClientCall(Protocol):
    """One call being made, from its first attempt to its end."""

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Metadata to send with every attempt, such as `traceparent`."""

    def end(self, code: str, *, address: str, attempts: int, refusal: Refusal | None) -> None:
        """The call has ended with `code` (`OK`, a refusal's code, or `CANCELLED`); called exactly once.

        `address` is the last instance that was tried, empty where none was known.
        """


class Hook(Protocol):
    """Is told of every call."""

    def begin(self, method: str, effect: str) -> ClientCall:
        """A call of `method` (`suanmesh.registry.v1.RegistryService/GetSite`) begins.

        `effect` is `READ`, `IDEMPOTENT`, `KEYED`, `STREAM`, or empty for a method that declares none.
        """
