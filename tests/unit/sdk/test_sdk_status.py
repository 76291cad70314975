"""A refusal and its status are two forms of one thing."""

from __future__ import annotations

import importlib

import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2

from suanmesh_kernel.refusals import (
    BY_CODE,
    Aborted,
    InvalidArgument,
    NotFound,
    Refusal,
    ResourceExhausted,
    Unavailable,
)
from suanmesh_sdk import reasons
from suanmesh_sdk.status import WRITE_FAILED, RemoteDefect, refusal_of, refusal_of_call, status_of


@pytest.mark.parametrize("kind", BY_CODE.values())
def test_a_refusal_survives_the_wire(kind: type[Refusal]) -> None:
    """A service between two others passes on what it was told, word for word."""
    status = status_of(kind("FIELD_INVALID", "task.count: 0 is too few", field="task.count"), area="scheduler")
    again = refusal_of(status)
    assert type(again) is kind
    assert (again.reason, again.facts, again.domain) == ("FIELD_INVALID", {"field": "task.count"}, "scheduler.suanmesh")
    assert status_of(again, area="gateway") == status


@pytest.mark.parametrize("area", [area for area in reasons.CHINESE if area != "mesh"])
def test_every_reason_has_a_chinese_text(area: str) -> None:
    """An operator who reads Chinese must not be left with a code."""
    enum = importlib.import_module(f"suanmesh.{area}.v1.reason_pb2").Reason
    declared = {name.removeprefix("REASON_") for name in enum.keys()} - {"UNSPECIFIED"}  # noqa: SIM118 - not a dict
    assert declared <= set(reasons.CHINESE[area])


def test_every_shared_reason_has_a_chinese_text() -> None:
    """The reasons of the chassis are met in every area."""
    enum = importlib.import_module("suanmesh.type.v1.reason_pb2").Reason
    declared = {name.removeprefix("REASON_") for name in enum.keys()} - {"UNSPECIFIED"}  # noqa: SIM118 - not a dict
    assert declared <= set(reasons.CHINESE["mesh"])


def test_a_status_says_it_in_both_languages_with_a_link() -> None:
    """Whoever meets a refusal finds the page about it."""
    status = status_of(NotFound("JOB_UNKNOWN", "jobs/x does not exist", name="jobs/x"), area="scheduler")
    texts, links = {}, []
    for detail in status.details:
        text, help_ = error_details_pb2.LocalizedMessage(), error_details_pb2.Help()
        if detail.Unpack(text):
            texts[text.locale] = text.message
        if detail.Unpack(help_):
            links.append(help_.links[0].url)
    assert texts == {"en": "jobs/x does not exist", "zh": "没有此作业（name=jobs/x）"}
    assert links == ["docs/reference/reasons/job_unknown.md"]


def test_a_shared_reason_keeps_the_shared_domain() -> None:
    """A client that knows one service's NOT_LEADER knows them all."""
    assert refusal_of(status_of(Unavailable("NOT_LEADER", "ask b"), area="scheduler")).domain == "mesh.suanmesh"
    assert refusal_of(status_of(InvalidArgument("FIELD_INVALID", "x"), area="registry")).domain == "registry.suanmesh"


def test_facts_stay_within_what_metadata_may_carry() -> None:
    """Status details travel in headers; too large a one would turn a clear refusal into a broken call."""
    status = status_of(Aborted("CONFLICT", "x" * 9000, name="y" * 9000), area="registry")
    assert status.ByteSize() < 8000


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("UNAVAILABLE", "failed to connect", "UNAVAILABLE NOT_READY"),
        ("CANCELLED", "", "UNAVAILABLE NOT_READY"),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", "DEADLINE_EXCEEDED DEADLINE_EXCEEDED"),
        ("RESOURCE_EXHAUSTED", "Received message larger than max", "RESOURCE_EXHAUSTED MESSAGE_TOO_LARGE"),
        ("RESOURCE_EXHAUSTED", "Concurrent RPC limit exceeded!", "UNAVAILABLE PROCESS_FULL"),
        ("UNIMPLEMENTED", "Method not found!", "UNIMPLEMENTED METHOD_UNKNOWN"),
        ("INTERNAL", "internal error", "INTERNAL DEFECT"),
        ("INTERNAL", "Internal error from Core", "UNAVAILABLE NOT_READY"),
        ("INTERNAL", "Received RST_STREAM with error code 2", "UNAVAILABLE NOT_READY"),
        ("UNKNOWN", "", "INTERNAL DEFECT"),
        ("DATA_LOSS", "", "DATA_LOSS DEFECT"),
    ],
)
def test_what_grpc_says_by_itself_has_a_reason_too(code: str, message: str, expected: str) -> None:
    """A caller handles one kind of no, wherever it comes from."""
    refusal = refusal_of_call(code, message, None)
    assert f"{refusal.code} {refusal.reason}" == expected


def test_when_to_come_again_survives_the_wire() -> None:
    """A caller that is told to wait must be told for how long, through however many services."""
    refused = ResourceExhausted("CALLS_OF_CALLER_MAX", "128 calls are under way", retry_delay_s=0.25)
    again = refusal_of(status_of(refusal_of(status_of(refused, area="gateway")), area="registry"))
    assert (again.reason, again.domain, again.retry_delay_s) == ("CALLS_OF_CALLER_MAX", "mesh.suanmesh", 0.25)


def test_a_malformed_status_does_not_hide_the_code() -> None:
    """A stranger's server must not crash the client."""
    assert refusal_of_call("NOT_FOUND", "gone", b"\xff\xff\xff").code == "NOT_FOUND"
    assert isinstance(refusal_of(status_pb2.Status(code=code_pb2.INTERNAL, message="x")), RemoteDefect)
    assert isinstance(refusal_of(status_pb2.Status(code=99, message="x")), RemoteDefect)


def test_a_stream_that_ended_while_it_was_written_to_may_be_opened_again() -> None:
    """grpc.aio calls it INTERNAL, which nobody repeats; the server only was faster to refuse than we to send."""
    refusal = refusal_of_call("INTERNAL", WRITE_FAILED, None)

    assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "NOT_READY")
