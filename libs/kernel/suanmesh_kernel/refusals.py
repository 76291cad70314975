"""Refusals: typed answers that say no, with a stable reason and the facts as fields.

    Refusal
    ├── InvalidArgument      fix the request; `field` names what
    ├── Unauthenticated      show who you are
    ├── PermissionDenied     get the right first
    ├── NotFound             correct the name
    ├── AlreadyExists        choose another name
    ├── FailedPrecondition   change the named state first
    ├── Aborted              read again, then redo
    ├── ResourceExhausted    wait, or ask for less
    ├── DataLoss             what was read is not what was written
    ├── Unimplemented        no such method
    ├── DeadlineExceeded     give it more time
    └── Unavailable          repeat the same call

Classes are named after gRPC codes (AIP-193); the chassis maps them to `google.rpc.Status` once. A reason is the name of
an area's `Reason` value without its prefix. Facts are short strings; they travel in ErrorInfo.metadata.
"""

from __future__ import annotations

import copyreg
from typing import Any, ClassVar, Final

FINAL_CODES: Final = frozenset(
    {
        "OK",
        "INVALID_ARGUMENT",
        "UNAUTHENTICATED",
        "PERMISSION_DENIED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "FAILED_PRECONDITION",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "DATA_LOSS",
    }
)
"""Codes that answer a request for good; after any other one the same request may be answered otherwise later."""


def is_final(code: str) -> bool:
    """Whether an answer with this gRPC code settles its request, so that a repeat gets the same one.

    Want of time, of room or of a neighbour, a race and a defect of ours pass: such answers are never remembered.
    """
    return code in FINAL_CODES


class Refusal(Exception):
    """A typed no. Any other exception that leaves a handler is a defect of ours."""

    code: ClassVar[str] = "UNKNOWN"

    def __init__(
        self, reason: str, message: str, *, domain: str = "", retry_delay_s: float = 0.0, **facts: object
    ) -> None:
        """Refuse for `reason`; `domain` is filled in by the chassis with the serving area's when empty."""
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.domain = domain
        self.retry_delay_s = retry_delay_s
        """How long whoever repeats the call is to wait before, seconds; 0 where nothing is said."""
        self.facts = {key: str(value) for key, value in facts.items()}
        self.localized: dict[str, str] = {}
        """The message by language (`en`, `zh`) as it came over the wire; empty where it was raised here."""

    def __str__(self) -> str:
        return f"{self.code} {self.reason}: {self.message}"

    def __repr__(self) -> str:
        facts = "".join(f", {key}={value!r}" for key, value in self.facts.items())
        return f"{type(self).__name__}({self.reason!r}, {self.message!r}{facts})"

    def __reduce__(self) -> tuple[Any, ...]:
        """As it is: a worker of a pool sends it to who waits, and it is copied."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class InvalidArgument(Refusal):
    """The request itself is wrong. The fact `field` names the field."""

    code = "INVALID_ARGUMENT"


class Unauthenticated(Refusal):
    """It is not known who calls."""

    code = "UNAUTHENTICATED"


class PermissionDenied(Refusal):
    """The caller may not do this."""

    code = "PERMISSION_DENIED"


class NotFound(Refusal):
    """No such resource, or none the caller may see. The fact `name` names it."""

    code = "NOT_FOUND"


class AlreadyExists(Refusal):
    """The name is taken. The fact `name` names it."""

    code = "ALREADY_EXISTS"


class FailedPrecondition(Refusal):
    """The state does not allow it; repeating changes nothing until the state does."""

    code = "FAILED_PRECONDITION"


class Aborted(Refusal):
    """What was read has changed since; read again and redo."""

    code = "ABORTED"


class ResourceExhausted(Refusal):
    """Not enough of something is left."""

    code = "RESOURCE_EXHAUSTED"


class DataLoss(Refusal):
    """Bytes are not what they were."""

    code = "DATA_LOSS"


class Unimplemented(Refusal):
    """No such method."""

    code = "UNIMPLEMENTED"


class DeadlineExceeded(Refusal):
    """The time ran out."""

    code = "DEADLINE_EXCEEDED"


class Unavailable(Refusal):
    """Cannot answer now; the same call may be repeated."""

    code = "UNAVAILABLE"


BY_CODE: dict[str, type[Refusal]] = {
    kind.code: kind
    for kind in (
        InvalidArgument,
        Unauthenticated,
        PermissionDenied,
        NotFound,
        AlreadyExists,
        FailedPrecondition,
        Aborted,
        ResourceExhausted,
        DataLoss,
        Unimplemented,
        DeadlineExceeded,
        Unavailable,
    )
}


def invalid_field(field: str, problem: str) -> InvalidArgument:
    """The refusal of a request for one field of it: its message and its fact `field` name which."""
    return InvalidArgument("FIELD_INVALID", f"{field}: {problem}", field=field)
