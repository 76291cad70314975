"""Only what is final is remembered of a batch, for every keyed method there is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.rpc import code_pb2, status_pb2

from suanmesh.accounting.v1 import accounting_service_pb2
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2
from suanmesh.registry.v1 import registry_service_pb2
from suanmesh.scheduler.v1 import job_pb2, scheduler_service_pb2
from suanmesh.transport.v1 import transport_service_pb2
from suanmesh.type.v1 import semantics_pb2
from suanmesh_chassis import batches
from suanmesh_kernel.refusals import BY_CODE, NotFound, is_final
from suanmesh_sdk.status import refusal_of, status_of

FILES = (
    accounting_service_pb2,
    network_orchestrator_service_pb2,
    registry_service_pb2,
    scheduler_service_pb2,
    transport_service_pb2,
)
CODES = frozenset(code_pb2.Code.keys())
PASSING = {"CANCELLED", "UNKNOWN", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "INTERNAL", "UNAVAILABLE"}


def keyed() -> Iterator[MethodDescriptor]:
    for file in FILES:
        for service in file.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                if method.GetOptions().Extensions[semantics_pb2.semantics].effect == semantics_pb2.EFFECT_KEYED:
                    yield method


def holds_a_status(message: type[Message]) -> bool:
    kinds = [field.message_type for field in message.DESCRIPTOR.fields if field.message_type]
    inner = [field.message_type for kind in kinds for field in kind.fields if field.message_type]
    return any(kind.full_name == status_pb2.Status.DESCRIPTOR.full_name for kind in [*kinds, *inner])


@pytest.mark.parametrize("method", list(keyed()), ids=lambda method: method.name)
def test_every_keyed_answer_with_a_status_is_known_as_a_batch(method: MethodDescriptor) -> None:
    """A refusal for want of time inside an answer would be remembered as if it were the result."""
    answer = message_factory.GetMessageClass(method.output_type)
    assert batches.is_batch(answer) is holds_a_status(answer)
    assert "request_id" in method.input_type.fields_by_name


@pytest.mark.parametrize("code", sorted(CODES))
@pytest.mark.parametrize("method", list(keyed()), ids=lambda method: method.name)
def test_an_item_that_may_still_be_done_is_open(method: MethodDescriptor, code: str) -> None:
    """Whoever ran out of time would be told so for ever, whatever he repeats."""
    answer = message_factory.GetMessageClass(method.output_type)()
    if not batches.is_batch(type(answer)):
        return
    answer.results.add().error.code = code_pb2.Code.Value(code)
    answer.results.add()
    assert set(batches.settled(answer)) == (set() if code in PASSING else {0})
    assert set(batches.settled(batches.kept(answer))) == set(batches.settled(answer))


def test_every_code_of_a_refusal_is_judged() -> None:
    """A new kind of refusal must not be remembered by accident."""
    assert {code for code in BY_CODE if not is_final(code)} == PASSING & BY_CODE.keys()
    assert {code for code in CODES if not is_final(code)} == PASSING


def test_what_is_remembered_is_small_and_says_the_same() -> None:
    """Refusals with texts in two languages for each of a hundred items would fill etcd for a day."""
    refusal = NotFound("ACCOUNT_UNKNOWN", "no account " + "x" * 900, domain="accounting.suanmesh", name="accounts/x")
    answer = scheduler_service_pb2.SubmitJobsResponse()
    answer.results.add().job.CopyFrom(job_pb2.Job(name="jobs/a"))
    answer.results.add().error.CopyFrom(status_of(refusal, area="scheduler"))
    kept = batches.kept(answer)
    assert kept.ByteSize() < 600 < answer.ByteSize()
    again = refusal_of(batches.settled(kept)[1].error)  # type: ignore[attr-defined]
    assert (again.code, again.reason, again.domain, again.facts) == (
        refusal.code, refusal.reason, refusal.domain, refusal.facts,
    )  # fmt: skip
