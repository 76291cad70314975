"""What a failed attempt means, and which transactions may be sent twice."""

from __future__ import annotations

import grpc
import pytest

from suanmesh_etcd3 import Compacted, Compare, Denied, EtcdError, LeaseNotFound, NoSpace, Op, TooManyOperations
from suanmesh_etcd3.errors import Verdict, error_of, verdict_of
from suanmesh_etcd3.values import guards_itself, prefix_end

CODE = grpc.StatusCode


def failed(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details)


@pytest.mark.parametrize(
    ("code", "details", "verdict"),
    [
        (CODE.UNAVAILABLE, "failed to connect to all addresses; last error: refused", Verdict.NOT_CARRIED_OUT),
        (CODE.UNAVAILABLE, "etcdserver: no leader", Verdict.NOT_CARRIED_OUT),
        (CODE.RESOURCE_EXHAUSTED, "etcdserver: too many requests", Verdict.NOT_CARRIED_OUT),
        (CODE.INVALID_ARGUMENT, "etcdserver: revision of auth store is old", Verdict.NOT_CARRIED_OUT),
        (CODE.UNAVAILABLE, "Socket closed", Verdict.UNKNOWN),
        (CODE.UNAVAILABLE, "recvmsg:No route to host", Verdict.UNKNOWN),
        (CODE.UNAVAILABLE, "recvmsg:Connection reset by peer", Verdict.UNKNOWN),
        (CODE.UNAVAILABLE, "etcdserver: request timed out, possibly due to previous leader failure", Verdict.UNKNOWN),
        (CODE.DEADLINE_EXCEEDED, "Deadline Exceeded", Verdict.UNKNOWN),
        (CODE.INTERNAL, "Received RST_STREAM with error code 2", Verdict.UNKNOWN),
        (CODE.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted", Verdict.FINAL),
        (CODE.PERMISSION_DENIED, "etcdserver: permission denied", Verdict.FINAL),
    ],
)
def test_a_failure_is_called_safe_only_when_the_call_was_surely_not_carried_out(
    code: grpc.StatusCode, details: str, verdict: Verdict
) -> None:
    """A write taken for undone that was done is done twice."""
    assert verdict_of(failed(code, details)) is verdict


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        (CODE.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted", Compacted),
        (CODE.NOT_FOUND, "etcdserver: requested lease not found", LeaseNotFound),
        (CODE.INVALID_ARGUMENT, "etcdserver: too many operations in txn request", TooManyOperations),
        (CODE.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded", NoSpace),
        (CODE.PERMISSION_DENIED, "etcdserver: permission denied", Denied),
        (CODE.INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request", EtcdError),
    ],
)
def test_an_answer_has_its_own_class(code: grpc.StatusCode, details: str, kind: type[EtcdError]) -> None:
    """Callers act on the class; nobody should read etcd's texts."""
    assert type(error_of(failed(code, details))) is kind


PUT = Op.put("k", b"")
DELETE = Op.delete("k")


@pytest.mark.parametrize(
    ("compare", "operation", "once"),
    [
        (Compare.mod_revision("k", "=", 7), PUT, True),
        (Compare.mod_revision("k", "=", 7), DELETE, True),
        (Compare.create_revision("k", "=", 7), DELETE, True),
        (Compare.create_revision("k", "=", 7), PUT, False),  # still true afterwards
        (Compare.create_revision("k", "=", 0), PUT, False),  # true again once somebody deletes it
        (Compare.mod_revision("k", "=", 0), PUT, False),
        (Compare.version("k", "=", 7), PUT, False),  # true again after a delete and seven puts
        (Compare.mod_revision("k", ">", 7), PUT, False),
        (Compare.mod_revision("other", "=", 7), PUT, False),
    ],
)
def test_only_what_a_revision_guards_is_sent_again(compare: object, operation: object, once: bool) -> None:
    """A deleted job must not come back because the answer to its creation was lost."""
    assert guards_itself([compare], [operation]) is once  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("prefix", "end"),
    [("/a/", b"/a0"), (b"a\xff", b"b"), (b"\xff", b"\0"), ("", b"\0"), ("任务", "任务".encode()[:-1] + b"\xa2")],
)
def test_a_prefix_ends_where_its_last_key_does(prefix: str | bytes, end: bytes) -> None:
    """One byte off, and a service reads or deletes its neighbour's keys."""
    assert prefix_end(prefix) == end
