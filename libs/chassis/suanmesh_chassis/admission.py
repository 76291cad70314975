"""Whether a call may begin: who calls, with which role, with how much time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from suanmesh_chassis.assertion import METADATA_KEY, Assertions
from suanmesh_chassis.call import Caller
from suanmesh_chassis.identity import Certificates
from suanmesh_chassis.methods import ServedMethod
from suanmesh_chassis.revocations import nobody
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import DeadlineExceeded, InvalidArgument, PermissionDenied, Refusal, Unauthenticated

TIME_LEFT_MIN_S = 0.002
"""With less than this left nothing is begun: the answer would not arrive."""


class Headers(NamedTuple):
    """What the metadata of a call says."""

    traceparent: str = ""
    assertion: bytes = b""


def headers_of(metadata: Iterable[tuple[str, str | bytes]] | None) -> Headers:
    """Pick out of the metadata what we read; the rest is not ours."""
    traceparent, assertion = "", b""
    for key, value in metadata or ():
        if key == "traceparent" and isinstance(value, str):
            traceparent = value
        elif key == METADATA_KEY and isinstance(value, bytes):
            assertion = value
    return Headers(traceparent, assertion)


class Admission:
    """Lets calls in, or says why not."""

    def __init__(
        self,
        certificates: Certificates,
        assertions: Assertions,
        clock: Clock,
        revoked: Callable[[Caller], Refusal | None] = nobody,
    ) -> None:
        """`revoked` says why a caller is refused whose certificate is good."""
        self.revoked = revoked
        self._certificates = certificates
        self._assertions = assertions
        self._clock = clock

    async def learn(self, context: Any, headers: Headers) -> None:
        """Look for the key of an assertion that is not known yet."""
        await self._assertions.learn(self._certificates.caller(context.auth_context()), headers.assertion)

    def caller(self, context: Any, headers: Headers) -> Caller:
        """Who calls. Raises Unauthenticated, PermissionDenied and Unavailable before the request is looked at."""
        caller = self._certificates.caller(context.auth_context())
        if headers.assertion:
            caller = self._assertions.caller(caller, headers.assertion)
        if refusal := self.revoked(caller):
            raise refusal
        return caller

    def require_role(self, method: ServedMethod, caller: Caller) -> None:
        """Raises Unauthenticated or PermissionDenied where `caller` may not call `method`."""
        if not (method.roles & caller.roles or "anyone" in method.roles):
            wanted = ", ".join(sorted(method.roles))
            if not caller.principal:
                raise Unauthenticated("IDENTITY_MISSING", f"{method.name} asks for a certificate", roles=wanted)
            held = ", ".join(sorted(caller.roles)) or "somebody who has not joined"
            message = f"{method.name} is for {wanted}; {caller.principal} is {held}"
            raise PermissionDenied("ROLE_DENIED", message, roles=wanted, held=held)

    def deadline(self, method: ServedMethod, context: Any) -> float | None:
        """When the call must have ended, on the monotonic clock; only long streams may have no end."""
        left = context.time_remaining()
        if left is None:
            if method.effect == "STREAM":
                return None
            raise InvalidArgument("DEADLINE_MISSING", f"{method.name} was called without a deadline")
        if left < TIME_LEFT_MIN_S:
            raise DeadlineExceeded("DEADLINE_TOO_SHORT", f"{max(left, 0) * 1000:.1f} ms are too little to begin")
        return self._clock.monotonic() + float(left)
