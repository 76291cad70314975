"""Which items of a batch are settled: the rest of what a request asked for is done when it is repeated.

A batch is answered by one `results` entry for each item, in order; an entry is the item's result or, in a field of type
`google.rpc.Status`, why there is none. Only what is final is remembered. An entry that is empty is open.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from suanmesh_kernel.refusals import is_final

RESULTS = "results"
KEPT_MESSAGE_LENGTH = 300
"""Of a refusal that is remembered: its texts in each language are rendered anew."""


def is_batch(answer: type[Message]) -> bool:
    """Whether an answer of this kind answers each item by itself."""
    return _error_of(answer) is not None


def settled(answer: Message) -> dict[int, Message]:
    """The entries that stand for good, by the index of their item; empty for an answer that is no batch."""
    error = _error_of(type(answer))
    if error is None:
        return {}
    return {index: entry for index, entry in enumerate(_entries(answer)) if _stands(entry, error)}


def kept(answer: Message) -> Message:
    """What of an answer is to be remembered: all of it, but of a batch only what is settled, and that in few words."""
    error = _error_of(type(answer))
    if error is None:
        return answer
    short = type(answer)()
    short.CopyFrom(answer)
    for entry in _entries(short):
        if not _stands(entry, error):
            entry.Clear()
        elif entry.HasField(error):
            _shorten(getattr(entry, error))
    return short


def _stands(entry: Message, error: str) -> bool:
    if entry.HasField(error):
        code = int(getattr(entry, error).code)
        return code in code_pb2.Code.values() and is_final(code_pb2.Code.Name(code))
    return bool(entry.ListFields())


def _entries(answer: Message) -> list[Message]:
    return list(getattr(answer, RESULTS))


def _error_of(answer: type[Message]) -> str | None:
    """The field of an entry that says why there is no result."""
    results: Any = answer.DESCRIPTOR.fields_by_name.get(RESULTS)
    if results is None or results.message_type is None:
        return None
    wanted = status_pb2.Status.DESCRIPTOR.full_name
    fields = results.message_type.fields
    return next((f.name for f in fields if f.message_type and f.message_type.full_name == wanted), None)


def _shorten(status: status_pb2.Status) -> None:
    status.message = status.message[:KEPT_MESSAGE_LENGTH]
    told = [detail for detail in status.details if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR)]
    del status.details[:]
    status.details.extend(told)
