"""The course of one call: its attempts, its time, its end. Shared by the four kinds of call."""

from __future__ import annotations

from collections.abc import Callable

from grpc import aio

from suanmesh_kernel.refusals import DeadlineExceeded, Refusal, Unauthenticated, Unavailable
from suanmesh_kernel.texts import Text
from suanmesh_sdk import deadlines, retries
from suanmesh_sdk.hooks import ClientCall
from suanmesh_sdk.methods import Method
from suanmesh_sdk.route import Route
from suanmesh_sdk.silence import SILENT, Attempt
from suanmesh_sdk.status import DETAILS_KEY, MESH_DOMAIN, refusal_of_call

Headers = tuple[tuple[str, str | bytes], ...]
Metadata = Headers | Callable[[], Headers]
"""What goes with a call: as it is, or asked for at each attempt where it would not stay good for all of them."""

_HANDSHAKE_MARKS = (
    "Tls handshake failed",
    "handshake failed",
    "Custom verification check failed",
    "SSL_ERROR",
    "security handshaker",
)
_CLOSED_EARLY = ("Socket closed", "Connection reset")
_NOT_MET = ("Handshake read failed", "Handshake write failed", "Failed to connect to remote host")
"""gRPC says one of these where the connection broke before the server had said anything about our certificate."""


_WHOLE = float("inf")
"""When a stream broke that has not."""


class Course:
    """One logical call from its first attempt to its end, which is told to the hook exactly once."""

    __slots__ = (
        "_address",
        "_attempts",
        "_away",
        "_begun",
        "_broken_since",
        "_budget",
        "_closed_early",
        "_ended",
        "_fruitless",
        "_hooked",
        "_method",
        "_route",
        "_serving",
        "_tried",
        "deadline",
    )

    def __init__(self, route: Route, method: Method, timeout_s: float | None, default_s: float) -> None:
        served = deadlines.served.get()
        self._begun: float | None = deadlines.now()
        self.deadline = deadlines.deadline(self._begun, timeout_s, default_s, served.deadline)
        self._route = route
        self._method = method
        self._serving = served.by_us
        self._address = ""
        self._attempts = 0
        self._fruitless = 0  # attempts since the last answer
        self._broken_since: float | None = None  # of a stream that had answered
        self._away: Refusal | None = None  # why it is being tried again: says more than that time ran out meanwhile
        self._closed_early = 0
        self._tried: set[str] = set()
        self._ended = False
        self._hooked: ClientCall | None = None if route.hook is None else route.hook.begin(method.name, method.effect)
        self._budget = route.budgets.of(served.principal)
        self._budget.call_made()

    def headers(self, metadata: Metadata | None) -> Headers:
        """What is sent with the next attempt."""
        own: Headers = () if self._hooked is None else self._hooked.headers
        given = metadata() if callable(metadata) else metadata
        return own if not given else (*given, *own)

    def time_left(self) -> float:
        """Seconds for the next attempt. Raises DeadlineExceeded where none are left."""
        begun, self._begun = self._begun, None
        left = self.deadline - (deadlines.now() if begun is None else begun)  # the first attempt is made at once
        if left <= 0:
            raise DeadlineExceeded(
                "DEADLINE_EXCEEDED", f"no time was left to call {self._method.name}", domain=MESH_DOMAIN
            )
        return left

    def attempt(self) -> Attempt:
        """Begin the next attempt, with the connection to make it over, counted as in flight until it is `over`."""
        self._attempts += 1
        self._fruitless += 1
        connection = self._route.connection(self._method, self._tried)
        self._address = connection.address
        return Attempt(self._route, connection, led=self._method.led)

    def answered(self) -> None:
        """A stream that can be resumed has come further: should it break now, that is another trouble."""
        self._fruitless, self._away, self._broken_since = 0, None, _WHOLE
        self._tried.clear()

    async def refused(self, refusal: Refusal) -> None:
        """Return when the call is to be tried again after `refusal`; raise what the caller is to see otherwise."""
        last = await self._last(refusal)
        if last is None:
            return
        try:
            raise last from None
        finally:  # or what is raised and this frame hold each other, and the message with them
            del last, refusal

    async def _last(self, refusal: Refusal) -> Refusal | None:
        """What the caller is to see; None, after a pause, where the call is to be tried again."""
        refusal = self._judged(refusal)
        if isinstance(refusal, DeadlineExceeded) or refusal.reason in ("NOT_READY", "STORE_AWAY"):
            self._route.unanswered(self._address)
        if isinstance(refusal, DeadlineExceeded):
            return self._away or refusal
        passed_on = self._serving and refusal.reason in retries.AT_THE_EDGE
        if passed_on or not retries.may_repeat(self._method, refusal) or self._fruitless >= retries.ATTEMPTS_MAX:
            return refusal
        now = deadlines.now()
        if self._broken_since is not None:
            self._broken_since = min(self._broken_since, now)
            if now - self._broken_since >= retries.RESUME_S:
                return refusal
        self._away = refusal
        if self._address:
            self._tried.add(self._address)
            self._route.forget(self._address)
        pause_s = 0.0
        if self._route.learn(refusal):
            self._tried.discard(refusal.facts["leader"])
        else:
            pause_s = retries.pause_before(self._fruitless + 1, self._route.chance, refusal.retry_delay_s)
        if now + pause_s >= self.deadline or not (retries.is_free(refusal) or self._budget.take(now)):
            return refusal
        if pause_s:
            await self._route.rest(pause_s)
        return None

    def end(self, code: str, refusal: Refusal | None = None) -> None:
        """The call is over."""
        if self._ended:
            return
        self._ended = True
        self._away = None
        if self._hooked is not None:
            self._hooked.end(code, address=self._address, attempts=self._attempts, refusal=refusal)

    def _judged(self, refusal: Refusal) -> Refusal:
        """Tell a failed handshake from an instance that is away: gRPC reports both as UNAVAILABLE."""
        if refusal.reason != "NOT_READY" or not refusal.message.startswith("failed to connect"):
            return refusal
        if any(mark in refusal.message for mark in _NOT_MET):
            return refusal
        if any(mark in refusal.message for mark in _CLOSED_EARLY):
            self._closed_early += 1  # the server closes so when it refuses our certificate, but also when it dies
        failed = any(mark in refusal.message for mark in _HANDSHAKE_MARKS)
        if failed or self._closed_early >= retries.HANDSHAKES_MAX:
            trouble = self._route.trouble() or Text(refusal.message, refusal.message)
            said = Text(
                f"the TLS handshake with {self._address} failed: {trouble.en}",
                f"与 {self._address} 的 TLS 握手失败：{trouble.zh}",
            )
            failure = Unauthenticated("HANDSHAKE_FAILED", said.en, domain=MESH_DOMAIN, address=self._address)
            failure.localized = said._asdict()
            return failure
        return refusal


def silence_of(attempt: Attempt) -> Refusal:
    """Why an attempt that was moved has ended."""
    return Unavailable("NOT_READY", f"{SILENT} {attempt.connection.address}", domain=MESH_DOMAIN)


def refusal_of_error(error: aio.AioRpcError) -> Refusal:
    """What the server, or gRPC itself, said."""
    details: bytes | None = None
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            details = value
    return refusal_of_call(error.code().name, error.details() or "", details)
