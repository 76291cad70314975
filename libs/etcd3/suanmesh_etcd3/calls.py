"""Calls: reads, writes and transactions over several endpoints, and the truth about what became of them."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
from typing import Any

import grpc

from suanmesh.etcdwire.v1 import etcdwire_pb2 as pb
from suanmesh_etcd3 import endpoints as ep
from suanmesh_etcd3.errors import (
    Compacted,
    EtcdError,
    OutcomeUnknown,
    TooManyOperations,
    Unavailable,
    Verdict,
    error_of,
    verdict_of,
)
from suanmesh_etcd3.history import History
from suanmesh_etcd3.terms import Overtaken, Terms
from suanmesh_etcd3.tracing import client_span, traced
from suanmesh_etcd3.values import (
    Key,
    KeyRange,
    KeyValue,
    Page,
    Status,
    TxnResult,
    guards_itself,
    key_value,
    op_result,
    prefix_end,
    raw,
)
from suanmesh_kernel.clock import Clock, SystemClock

ATTEMPT_S_MAX = 2.0
"""Longest wait for one member's answer to something that may be asked again."""
LEASE_ATTEMPT_S_MAX = 0.5
"""The same for the begin and the end of a lease, for which whoever is to lead waits: while the members elect their own
leader they drop in silence what they are asked."""
SILENT_S_MAX = 0.3
"""How long a member that owes answers may take to say that it is there."""
BACKOFF_S = (0.02, 0.05, 0.1, 0.2, 0.4)
SNAPSHOT_RESTARTS_MAX = 5
HISTORY_EVERY_S = 2.0
MEMBERS_EVERY_S = 10.0
HISTORY_KEY = b"/suanmesh/elections/"
"""Every user of the store may read it."""


class Calls:
    """What an etcd v3 client asks by single calls; leases, watches and writes in bulk stand on it."""

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        tls: ep.Tls | ep.CurrentTls | None = None,
        clock: Clock | None = None,
        timeout_s: float = 5.0,
        follows: bool = False,
    ) -> None:
        """`addresses` are `host:port` or URLs; `timeout_s` bounds each call with all its attempts.

        One that `follows` asks the members that there are by then, once any of `addresses` is one of theirs.
        """
        self.follows = follows
        self.clock = clock or SystemClock()
        self.timeout_s = timeout_s
        current = (lambda: tls) if isinstance(tls, ep.Tls) else tls
        self.endpoints = ep.Endpoints(addresses, current, self.clock)
        self.txn_ops_known = 0
        """The server's limit of operations in a transaction, once it was found to matter; 0 before."""
        self.history = History()
        self.terms = Terms()

    # Keys

    async def get(self, key: Key, *, revision: int = 0, serializable: bool = False) -> KeyValue | None:
        """One key at a revision, by default the newest; None when it is not there. Raises Compacted."""
        request = pb.RangeRequest(key=raw(key), revision=revision, serializable=serializable)
        answer = await self.read(ep.RANGE, request, "get", request.key)
        return key_value(answer.kvs[0]) if answer.kvs else None

    async def put(self, key: Key, value: bytes, *, lease: int = 0) -> int:
        """Write a key whatever stands there; answers the revision. Raises OutcomeUnknown, LeaseNotFound."""
        request = pb.PutRequest(key=raw(key), value=value, lease=lease)
        answer = await self.write(ep.PUT, request, "put", request.key)
        return int(answer.header.revision)

    async def delete(self, key: Key) -> int:
        """Delete a key; answers how many were there. Raises OutcomeUnknown."""
        request = pb.DeleteRangeRequest(key=raw(key))
        answer = await self.write(ep.DELETE_RANGE, request, "delete", request.key)
        return int(answer.deleted)

    async def delete_prefix(self, prefix: Key) -> int:
        """Delete the keys that begin with `prefix`; answers how many were there. Raises OutcomeUnknown."""
        request = pb.DeleteRangeRequest(key=raw(prefix), range_end=prefix_end(prefix))
        answer = await self.write(ep.DELETE_RANGE, request, "delete", request.key)
        return int(answer.deleted)

    async def txn(
        self, compare: Sequence[pb.Compare], success: Sequence[pb.RequestOp], failure: Sequence[pb.RequestOp] = ()
    ) -> TxnResult:
        """Carry out `success` if every condition holds, else `failure`.

        A transaction that can be carried out once only (`guards_itself`) is sent again when an answer is lost; if its
        conditions no longer hold then, it cannot be told who made them false, and OutcomeUnknown is raised rather than
        a guess.
        """
        request = pb.TxnRequest(compare=compare, success=success, failure=failure)
        key = compare[0].key if compare else b""
        repeatable = (guards_itself(compare, success) or not _writes(success)) and not _writes(failure)
        sent: list[bool] = []
        answer = await self.write(ep.TXN, request, "txn", key, repeatable=repeatable, lost=sent)
        if sent and not answer.succeeded and _writes(success):
            raise OutcomeUnknown("an answer was lost, and the conditions no longer hold")
        return TxnResult(answer.succeeded, answer.header.revision, tuple(op_result(r) for r in answer.responses))

    async def snapshot(self, prefix: Key, *, page: int = 5000, revision: int = 0) -> KeyRange:
        """All keys that begin with `prefix`, in pages, at one revision; started over when that is compacted away."""
        for _ in range(SNAPSHOT_RESTARTS_MAX):
            try:
                return await self._snapshot(raw(prefix), page, revision)
            except Compacted:
                if revision:
                    raise
        raise Unavailable("the snapshot's revision was compacted away again and again")

    async def _snapshot(self, prefix: bytes, page: int, revision: int) -> KeyRange:
        found: list[KeyValue] = []
        start, end, more = prefix, prefix_end(prefix), True
        while more:
            request = pb.RangeRequest(key=start, range_end=end, limit=page, revision=revision)
            answer = await self.read(ep.RANGE, request, "range", prefix)
            revision = revision or answer.header.revision
            found.extend(key_value(kv) for kv in answer.kvs)
            more = answer.more
            start = found[-1].key + b"\0" if found else start
        return KeyRange(revision, tuple(found))

    async def page(self, prefix: Key, *, after: Key = b"", limit: int, revision: int = 0) -> Page:
        """The first `limit` keys that begin with `prefix` and come behind `after`, as of `revision` or as of now.

        Raises Compacted where the revision is no longer known.
        """
        begin, key = raw(prefix), raw(after) + b"\0"
        request = pb.RangeRequest(key=max(begin, key), range_end=prefix_end(begin), limit=limit, revision=revision)
        answer = await self.read(ep.RANGE, request, "range", begin)
        return Page(revision or answer.header.revision, tuple(key_value(kv) for kv in answer.kvs), bool(answer.more))

    async def count(self, prefix: Key) -> int:
        """How many keys begin with `prefix`."""
        request = pb.RangeRequest(key=raw(prefix), range_end=prefix_end(prefix), count_only=True)
        return int((await self.read(ep.RANGE, request, "count", request.key)).count)

    # Leases

    async def grant(self, ttl_s: int) -> int:
        """Make a lease that nobody keeps alive; answers its number."""
        request = pb.LeaseGrantRequest(TTL=ttl_s)
        answer = await self.write(
            ep.LEASE_GRANT, request, "lease_grant", b"", repeatable=True, attempt_s=LEASE_ATTEMPT_S_MAX
        )
        return int(answer.ID)

    async def revoke(self, lease_id: int) -> None:
        """End a lease and delete its keys. Raises LeaseNotFound."""
        request = pb.LeaseRevokeRequest(ID=lease_id)
        await self.write(ep.LEASE_REVOKE, request, "lease_revoke", b"", repeatable=True, attempt_s=LEASE_ATTEMPT_S_MAX)

    async def time_to_live(self, lease_id: int) -> int:
        """Seconds a lease has left; -1 when it is gone."""
        request = pb.LeaseTimeToLiveRequest(ID=lease_id)
        return int((await self.read(ep.LEASE_TIME_TO_LIVE, request, "lease_time_to_live", b"")).TTL)

    # The cluster

    async def members(self) -> list[str]:
        """Client addresses of all members."""
        answer = await self.read(ep.MEMBER_LIST, pb.MemberListRequest(), "member_list", b"")
        return [ep.bare_address(url) for member in answer.members for url in member.clientURLs]

    async def status(self, address: str) -> Status:
        """How the member at one of the client's endpoints stands. Raises Unavailable when that one does not answer."""
        wanted = ep.bare_address(address)
        endpoint = next(endpoint for endpoint in self.endpoints.all if endpoint.address == wanted)
        try:
            answer = await endpoint.calls[ep.STATUS.path](pb.StatusRequest(), timeout=ATTEMPT_S_MAX)
        except grpc.aio.AioRpcError as error:
            if verdict_of(error) is Verdict.FINAL:
                raise error_of(error) from error
            raise Unavailable(f"{error.code().name}: {error.details()}") from error
        header = answer.header
        return Status(header.member_id, answer.leader, answer.version, header.revision, answer.dbSize)

    async def compact(self, revision: int) -> None:
        """Forget what was before `revision`."""
        request = pb.CompactionRequest(revision=revision, physical=True)
        await self.write(ep.COMPACT, request, "compact", b"")

    async def max_txn_ops(self, key: Key, *, most: int = 4096) -> int:
        """How many operations the server takes in one transaction, found by halving with reads of `key`."""
        low, high = 1, most
        while low < high:
            middle = (low + high + 1) // 2
            reads = [pb.RequestOp(request_range=pb.RangeRequest(key=raw(key), count_only=True))] * middle
            try:
                await self.txn([], reads)
            except TooManyOperations:
                high = middle - 1
            else:
                low = middle
        return low

    # Calls

    async def read(
        self, method: ep.Rpc, request: Any, operation: str, key: bytes, *, attempt_s: float = ATTEMPT_S_MAX
    ) -> Any:
        """Ask until a member answers; for calls that change nothing. Raises Unavailable when the time is up."""
        if not traced():
            return await self._attempts(method, request, repeatable=True, attempt_s=attempt_s, lost=None)
        with client_span(operation, key):
            return await self._attempts(method, request, repeatable=True, attempt_s=attempt_s, lost=None)

    async def write(
        self,
        method: ep.Rpc,
        request: Any,
        operation: str,
        key: bytes,
        *,
        repeatable: bool = False,
        attempt_s: float = ATTEMPT_S_MAX,
        lost: list[bool] | None = None,
    ) -> Any:
        """Ask once, and again only if it was surely not carried out or is `repeatable`; notes `lost` answers.

        What is repeatable is asked again where no answer came within `attempt_s`.
        """
        lost = [] if lost is None else lost
        if not traced():
            return await self._attempts(method, request, repeatable=repeatable, attempt_s=attempt_s, lost=lost)
        with client_span(operation, key):
            return await self._attempts(method, request, repeatable=repeatable, attempt_s=attempt_s, lost=lost)

    async def _attempts(
        self,
        method: ep.Rpc,
        request: Any,
        *,
        repeatable: bool,
        attempt_s: float = ATTEMPT_S_MAX,
        lost: list[bool] | None,
    ) -> Any:
        deadline = self.clock.monotonic() + self.timeout_s
        attempt, left = 0, self.timeout_s
        while True:
            endpoint, before = self.endpoints.pick(), self.history.seen()
            try:
                timeout = min(left, attempt_s) if repeatable else left
                answer = await self.terms.answer(endpoint.calls[method.path](request, timeout=timeout), endpoint)
            except grpc.aio.AioRpcError as error:
                failure = self._judge(error, endpoint, repeatable, lost)
            except Overtaken:
                failure = _unknown(f"{endpoint.address}: it says nothing, or another leads by now", repeatable, lost)
            else:
                self.terms.heard(answer.header)
                if endpoint.failures:
                    self.endpoints.answered(endpoint)
                if self.history.note(method.path, request, answer.header, before):
                    self.lose_leases()
                return answer
            await asyncio.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)] * random.uniform(0.5, 1.0))
            attempt += 1
            left = deadline - self.clock.monotonic()
            if left <= 0:
                ending = OutcomeUnknown if lost else Unavailable
                raise ending(f"no answer in {self.timeout_s} s; the last of {attempt} attempts: {failure}")

    async def says_nothing(self, endpoint: ep.Endpoint) -> bool:
        """Whether a member does not even answer what it knows by itself, without a leader, though there are others."""
        if len(self.endpoints.all) == 1:
            return False
        request = pb.RangeRequest(key=HISTORY_KEY, count_only=True, serializable=True)
        try:
            await endpoint.calls[ep.RANGE.path](request, timeout=SILENT_S_MAX)
        except grpc.aio.AioRpcError as error:
            return error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        return False

    def leave(self, endpoint: ep.Endpoint) -> None:
        """Ask another member what was asked of this one, and watch there: it may have frozen, or be cut off."""
        endpoint.end_streams()
        self.terms.end_those_at(endpoint)

    def lose_leases(self) -> None:
        """The server turns out to have another history: what was leased in the one before is gone."""

    async def look_at_history(self) -> None:
        """Ask for the revision now and then: a client that only watches a restored store would wait for good."""
        while True:
            await asyncio.sleep(HISTORY_EVERY_S)
            with contextlib.suppress(EtcdError):
                await self.look_once()

    async def look_at_members(self) -> None:
        """Ask now and then where the members are: machines come and go while this process runs."""
        while self.follows:
            await asyncio.sleep(MEMBERS_EVERY_S)
            with contextlib.suppress(EtcdError):
                await self.follow_members()

    async def follow_members(self) -> None:
        """Ask the members that there are by now, but for those that only follow. Raises Unavailable."""
        answer = await self.read(ep.MEMBER_LIST, pb.MemberListRequest(), "member_list", b"")
        voting = [member for member in answer.members if not member.isLearner]
        self.endpoints.follow([ep.bare_address(url) for member in voting for url in member.clientURLs])

    async def look_once(self, *, attempt_s: float = ATTEMPT_S_MAX) -> None:
        """Ask for the revision, which members answer who have a leader; it tells whether the history is another."""
        request = pb.RangeRequest(key=HISTORY_KEY, count_only=True)
        await self.read(ep.RANGE, request, "get", HISTORY_KEY, attempt_s=attempt_s)

    def _judge(
        self, error: grpc.aio.AioRpcError, endpoint: ep.Endpoint, repeatable: bool, lost: list[bool] | None
    ) -> str:
        """Answer what went wrong to have the call repeated, raise to end it."""
        verdict = verdict_of(error)
        if verdict is Verdict.FINAL:
            if lost:
                raise OutcomeUnknown(f"an answer was lost, and then: {error.details()}") from error
            raise error_of(error) from error
        self.endpoints.failed(endpoint)
        failure = f"{endpoint.address}: {error.code().name}: {error.details()}"
        return _unknown(failure, repeatable, lost) if verdict is Verdict.UNKNOWN else failure


def _unknown(failure: str, repeatable: bool, lost: list[bool] | None) -> str:
    """Note that an answer was lost. Raises OutcomeUnknown where the call cannot be made again."""
    if lost is not None:
        lost.append(True)
        if not repeatable:
            raise OutcomeUnknown(failure)
    return failure


def _writes(operations: Sequence[pb.RequestOp]) -> bool:
    return any(not op.HasField("request_range") for op in operations)
