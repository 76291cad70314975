"""One call being served: what is known of it, and how it ended."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from opentelemetry.trace import format_trace_id

from suanmesh_chassis import batches
from suanmesh_chassis.admission import Admission, headers_of
from suanmesh_chassis.arrivals import Arrivals
from suanmesh_chassis.bounds import require_within
from suanmesh_chassis.call import Call, Caller
from suanmesh_chassis.identity import NOBODY
from suanmesh_chassis.limits import Limits, holder_of
from suanmesh_chassis.localize import localize, may_name_a_node
from suanmesh_chassis.methods import ServedMethod
from suanmesh_chassis.parts import Requests
from suanmesh_chassis.patience import Patience
from suanmesh_chassis.share import Share
from suanmesh_chassis.streams import Streams, send_headers
from suanmesh_chassis.under_way import UnderWay
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import DeadlineExceeded, InvalidArgument, Refusal, ResourceExhausted, Unavailable
from suanmesh_sdk import deadlines
from suanmesh_sdk.status import DETAILS_KEY, MESH_DOMAIN, MESSAGE_LENGTH_MAX, status_of
from suanmesh_store import Answered, IdempotencyKey
from suanmesh_telemetry import names
from suanmesh_telemetry.metrics import SERVER_DURATIONS
from suanmesh_telemetry.rpc import CallSpans, end_span, traceparent_of_span
from suanmesh_telemetry.served import ServedLines

REQUEST_ID_LENGTH_MAX = 128
_REQUEST_ID = "request_id"
_log = structlog.get_logger()
_OF_OUR_STORE = frozenset(("DISK_FULL", "STORE_CORRUPT"))
"""Reasons of which a caller behind another service must learn whose store it is."""
_CODES = {code.name: code for code in grpc.StatusCode}


class Rules:
    """What holds for every call of one area."""

    def __init__(
        self,
        area: str,
        node: str,
        admission: Admission,
        spans: CallSpans,
        clock: Clock,
        *,
        limits: Limits,
        stall: Patience,
        requests: Requests | None = None,
    ) -> None:
        self.area = area
        self.node = node
        self.admission = admission
        self.spans = spans
        self.clock = clock
        self.limits = limits
        self.stall = stall
        self.requests = requests
        self.served = ServedLines()
        self.streams = Streams()
        self.term = 0
        """How often what was served has been withdrawn."""
        self.under_way = UnderWay()


class Serving:
    """One call from its arrival to its one span, its one sample and its one log line."""

    __slots__ = (
        "_admitted",
        "_arrivals",
        "_begun",
        "_body_digest",
        "_caller",
        "_code",
        "_context",
        "_deadline",
        "_headed",
        "_headers",
        "_message",
        "_peer",
        "_reason",
        "_request_id",
        "_rules",
        "_seconds",
        "_share",
        "_span",
        "_status",
        "_term",
        "method",
    )

    def __init__(self, rules: Rules, method: ServedMethod, context: Any) -> None:
        self._begun = time.perf_counter()
        self._rules = rules
        self._term = rules.term
        self._context = context
        self._peer: str = context.peer()
        self._headers = headers_of(context.invocation_metadata())
        self._span = rules.spans.serve(method.name, method.effect, self._headers.traceparent)
        self._caller: Caller = NOBODY
        self._deadline: float | None = None
        self._request_id, self._body_digest = "", b""
        self._code, self._reason, self._message, self._status = "OK", "", "", b""
        self._share: Share
        self._arrivals: Arrivals | None = None
        self._admitted = self._headed = False
        self._seconds = 0.0
        self.method = method

    @property
    def asserted(self) -> bool:
        """Whether somebody vouches for the caller."""
        return bool(self._headers.assertion)

    async def learn(self) -> None:
        """Look for what is needed to admit the call and is not known yet."""
        await self._rules.admission.learn(self._context, self._headers)

    def know(self) -> None:
        """Prove the caller and check their role."""
        admission = self._rules.admission
        self._caller = admission.caller(self._context, self._headers)
        admission.require_role(self.method, self._caller)

    def admit(self) -> None:
        """Prove the caller, check role and deadline, count the call; raises the refusal where one fails.

        Nothing of the request has been read by then. What the call takes it has until its last byte is sent.
        """
        self.know()
        if self.method.streams:
            self._rules.streams.is_of(self._caller)
        self._deadline = self._rules.admission.deadline(self.method, self._context)
        left_s = None if self._deadline is None else self._deadline - self._rules.clock.monotonic()
        deadlines.begin_serving(left_s, self._caller.principal)
        holder = holder_of(self._caller, self._peer if not self._caller.principal else "")
        self._share = Share(self._rules.limits, self.method.pool, holder)
        self._admitted = True

    async def message(self) -> bytes:
        """The one message of a call that has one, read when there is room for the largest it may be.

        Raises DeadlineExceeded (`MESSAGE_LATE`) where it does not arrive whole in time.
        """
        share, reading = self._share, self._share.reading
        if not share.take(reading.message_bytes_core):
            await share.wait_for(reading.message_bytes_core)
        try:
            with reading.arrival.wait():
                raw: Any = await self._context.read()
        except TimeoutError:
            late = f"the message did not arrive whole within {reading.arrival.seconds:g} s"
            raise DeadlineExceeded("MESSAGE_LATE", late) from None
        if raw is grpc.aio.EOF:
            raise InvalidArgument("MESSAGE_MALFORMED", "the call ended before its message", field="")
        message: bytes = raw
        share.keep(len(message))
        return message

    def messages(self) -> Arrivals:
        """The messages of a call that has many."""
        self._arrivals = Arrivals(self._context, self._share, ahead=self.method.reads_ahead)
        return self._arrivals

    def answered(self, answer: bytes) -> bytes:
        """`answer`, which counts until it is sent.

        Raises ResourceExhausted (`BYTES_OF_CALLER_MAX`) for a caller who leaves too many unread.
        """
        self._share.add(len(answer))
        return answer

    def sized(self, raw: bytes) -> bytes:
        """`raw`, unless it is larger than the settings allow; gRPC's own limit is higher, it refuses without reason."""
        limit = self._share.reading.message_bytes_max
        if len(raw) > limit:
            message = f"the message has {len(raw)} bytes, at most {limit} are taken"
            raise ResourceExhausted("MESSAGE_TOO_LARGE", message, limit_bytes=limit, bytes=len(raw))
        return raw

    def parsed(self, raw: bytes) -> Message:
        """The request that `raw` holds: names of this node without the node, every field within its bounds."""
        try:
            request = self.method.request.FromString(self.sized(raw))
        except DecodeError as error:
            kind = self.method.request.DESCRIPTOR.full_name
            raise InvalidArgument("MESSAGE_MALFORMED", f"the message is not a {kind}", field="") from error
        if may_name_a_node(raw, request):
            localize(request, self._rules.node)
        require_within(request)
        return request

    def read(self, raw: bytes) -> object:
        """One of many messages of the request: as the servicer's own reader has it, or as of `parsed`."""
        found = self.method.reader(self.sized(raw)) if self.method.reader else None
        return self.parsed(raw) if found is None else found

    async def looked_up(self, request: Message) -> Answered | None:
        """Take note of the `request_id`; what is kept of the answer that was given to it before, if it was."""
        if not self.method.has_request_id:
            return None
        self._request_id = self._checked_id(str(getattr(request, _REQUEST_ID)))
        if not self.method.keyed:
            return None
        self._body_digest = _digest(request, self._request_id)
        if self._rules.requests is None:
            return None
        key = IdempotencyKey(self._caller.principal, self._request_id, self.method.name)
        return await self._rules.requests.lookup(key)

    def old_answer(self, answered: Answered | None) -> bytes | None:
        """The answer kept for this very request; None where there is none, and where the handler has to complete it.

        Raises InvalidArgument (`REQUEST_ID_REUSED`) where the body was another one.
        """
        if answered is None:
            return None
        record = answered.record
        if (record.method, record.body_digest) != (self.method.name, self._body_digest):
            message = f"request_id {self._request_id} was used before with another body"
            raise InvalidArgument("REQUEST_ID_REUSED", message, field="request_id")
        return None if batches.is_batch(self.method.answer) else bytes(record.answer)

    def call(self, answered: Answered | None = None) -> Call:
        """What the handler is told; of a batch also what is settled of it."""
        earlier = {} if answered is None else batches.settled(self.method.answer.FromString(answered.record.answer))
        return Call(
            method=self.method.name,
            caller=self._caller,
            request_id=self._request_id,
            traceparent=traceparent_of_span(self._span),
            body_digest=self._body_digest,
            peer=self._peer,
            deadline=self._deadline,
            clock=self._rules.clock,
            earlier=earlier,
            earlier_revision=0 if answered is None else answered.revision,
        )

    def refused(self, refusal: Refusal) -> None:
        """It ends with a refusal."""
        if refusal.reason in _OF_OUR_STORE:
            refusal.facts.setdefault("area", self._rules.area)
        # A refusal quotes what it refuses: cut here, before the log line and the wire.
        self._code, self._reason, self._message = refusal.code, refusal.reason, refusal.message[:MESSAGE_LENGTH_MAX]
        self._status = status_of(refusal, area=self._rules.area).SerializeToString()

    def broken_off(self) -> None:
        """The caller has gone, or its time has run out."""
        late = self._deadline is not None and self._deadline <= self._rules.clock.monotonic()
        self._code = "DEADLINE_EXCEEDED" if late else "CANCELLED"

    def failed(self, defect: Exception) -> None:
        """It ends with something that is no refusal.

        In a handler whose term has ended that is no wonder, since what it stood on has been closed: the caller is to
        try again. Otherwise it is a defect of ours: the caller learns a trace id, the log the rest.
        """
        refusal = _only_refusal(defect)
        if refusal is None and self._term != self._rules.term:
            _log.warning(
                "call outlived its term", method=self.method.name, message=f"{type(defect).__name__}: {defect}"
            )
            message = f"this instance ceased to lead {self._rules.area} while it served the call"
            refusal = Unavailable("NOT_READY", message, domain=MESH_DOMAIN)
        if refusal is not None:
            self.refused(refusal)
            return
        self._code, self._reason, self._message = "INTERNAL", type(defect).__name__, "internal error"
        trace_id = format_trace_id(self._span.get_span_context().trace_id)
        status = status_pb2.Status(code=code_pb2.INTERNAL, message=self._message)
        status.details.add().Pack(error_details_pb2.RequestInfo(request_id=trace_id))
        self._status = status.SerializeToString()
        _log.error("handler failed", method=self.method.name, trace_id=trace_id, exc_info=defect)

    def end(self) -> None:
        """Once the caller has the answer give back what the call took, and leave one line, one sample, one span."""
        self._seconds = time.perf_counter() - self._begun
        arrivals, self._arrivals = self._arrivals, None
        if arrivals is not None:
            arrivals.close()
        _task().add_done_callback(self._over)

    def _over(self, _: object) -> None:
        if self._admitted:
            self._share.leave()
        kept = self._span.get_span_context() if self._span.is_recording() else None
        self._rules.served.write(
            self.method.name,
            self._code,
            self._seconds,
            peer=self._peer,
            principal=self._caller.principal,
            kept=kept,
            reason=self._reason,
            message=self._message,
            request_id=self._request_id,
        )
        trace_id = "" if kept is None else format_trace_id(kept.trace_id)
        SERVER_DURATIONS.observe(self.method.name, self._code, self._seconds, trace_id)
        if kept is not None:
            self._describe_span(self._peer)
        self._context = None  # it keeps the error of a refused call, whose frames keep this

    async def write(self, answer: bytes) -> None:
        """Send one of many answers; return once the caller has room for the next.

        Raises ResourceExhausted (`STREAM_STALLED`) where it takes nothing for so long that it counts as asleep.
        """
        stall = self._rules.stall
        try:
            with stall.wait():
                self._headed = self._headed or await send_headers(self._context)
                await self._context.write(answer)
        except TimeoutError as late:
            message = f"the caller has taken nothing of the stream for {stall.seconds:g} s"
            raise ResourceExhausted("STREAM_STALLED", message, seconds=f"{stall.seconds:g}") from late

    async def pause(self) -> None:
        """A call that was not let in waits for its refusal where its caller has been refused a lot.

        Whoever is not known is told from others by address, but a gateway, behind which there are many.
        """
        if self._admitted or not self._status:
            return
        caller = self._caller.principal
        if not caller and not self._context.auth_context().get("x509_pem_cert"):
            caller = self._peer.rpartition(":")[0]
        delay_s = self._rules.limits.pace.delay_s(caller, self._rules.clock.monotonic()) if caller else 0.0
        if delay_s:
            await asyncio.sleep(delay_s)

    async def abort(self) -> None:
        """Answer with what it ended with. Raises CancelledError where the caller has gone meanwhile."""
        trailing = ((DETAILS_KEY, self._status),) if self._status else ()
        try:
            await self._context.abort(_CODES[self._code], self._message, trailing)
        except grpc.aio.InternalError:  # gRPC would log it as a defect of the handler
            raise asyncio.CancelledError from None

    def _checked_id(self, request_id: str) -> str:
        """A `request_id` that may be kept, logged and put on a span; nothing of any other one is."""
        least = 1 if self.method.keyed else 0
        if not least <= len(request_id) <= REQUEST_ID_LENGTH_MAX or not request_id.isprintable():
            message = f"{self.method.name} needs a request_id of 1 to {REQUEST_ID_LENGTH_MAX} printable characters"
            raise InvalidArgument("REQUEST_ID_MISSING", message, field=_REQUEST_ID)
        return request_id

    def _describe_span(self, peer: str) -> None:
        host, _, port = peer.partition(":")[2].rpartition(":")
        known: dict[str, str | int] = {
            names.PEER_ADDRESS: host,
            names.PEER_PORT: int(port) if port.isdigit() else 0,
            names.PRINCIPAL: self._caller.principal,
            names.PARTY: self._caller.party,
            names.REQUEST_ID: self._request_id,
        }
        self._span.set_attributes({key: value for key, value in known.items() if value})
        end_span(self._span, self._code, self._reason)


def _task() -> asyncio.Task[Any]:
    """The task that gRPC serves the call in, over once the last byte is sent.

    A callback of gRPC's context ends at the same time; it makes the context and the call hold each other, which keeps
    them and their message until the garbage collector comes.
    """
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("calls are served in tasks")
    return task


def _only_refusal(failure: Exception) -> Refusal | None:
    """The first refusal of a group of tasks that failed with nothing else."""
    if not isinstance(failure, ExceptionGroup):
        return failure if isinstance(failure, Refusal) else None
    found = [_only_refusal(each) for each in failure.exceptions]
    return found[0] if all(found) else None


def _digest(request: Message, request_id: str) -> bytes:
    """SHA-256 of all of the request but its id."""
    request.ClearField(_REQUEST_ID)
    body = request.SerializeToString(deterministic=True)
    setattr(request, _REQUEST_ID, request_id)
    return hashlib.sha256(body).digest()
