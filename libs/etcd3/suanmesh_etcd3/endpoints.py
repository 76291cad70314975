"""Members of a cluster: one channel each, which of them to ask, and when to ask another."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import grpc
from google.protobuf.message import Message

from suanmesh.etcdwire.v1 import etcdwire_pb2 as pb
from suanmesh_kernel.clock import Clock

SICK_S = 0.5
"""How long a member that failed is passed over at first; doubled up to SICK_S_MAX while it keeps failing."""
SICK_S_MAX = 5.0
MESSAGE_BYTES_MAX = 64 << 20
KEEPALIVE_MS = 6_000
"""Between pings; etcd hangs up on a client that pings more often than every 5 s (--grpc-keepalive-min-time)."""
SILENT_MS_MAX = 3_000
"""How long a ping may stay unanswered. It must hold for every ping: gRPC sends none for keep-alive while another of its
own is unanswered, for which it would wait a minute, so a member that froze at that moment went unnoticed."""

CONNECT_MS = 1_000
"""How long a connection may take to be made, which is what gRPC means by the least time between two attempts; less than
a busy machine takes for a handshake would never end."""

_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", SILENT_MS_MAX),
    ("grpc.http2.ping_timeout_ms", SILENT_MS_MAX),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", CONNECT_MS),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.enable_retries", 0),
)


@dataclass(frozen=True, slots=True)
class Tls:
    """Mutual TLS: PEM bytes of the CA, the certificate and its key; the server name where it is not the address."""

    ca: bytes
    certificate: bytes
    key: bytes
    server_name: str = ""


CurrentTls = Callable[[], Tls]
"""What is shown and trusted at the moment: another object once that has changed, and then channels are made anew."""


class Rpc(NamedTuple):
    """One method of etcd's API."""

    path: str
    answer: type[Message]
    stream: bool = False


RANGE = Rpc("/etcdserverpb.KV/Range", pb.RangeResponse)
PUT = Rpc("/etcdserverpb.KV/Put", pb.PutResponse)
DELETE_RANGE = Rpc("/etcdserverpb.KV/DeleteRange", pb.DeleteRangeResponse)
TXN = Rpc("/etcdserverpb.KV/Txn", pb.TxnResponse)
COMPACT = Rpc("/etcdserverpb.KV/Compact", pb.CompactionResponse)
WATCH = Rpc("/etcdserverpb.Watch/Watch", pb.WatchResponse, stream=True)
LEASE_GRANT = Rpc("/etcdserverpb.Lease/LeaseGrant", pb.LeaseGrantResponse)
LEASE_REVOKE = Rpc("/etcdserverpb.Lease/LeaseRevoke", pb.LeaseRevokeResponse)
LEASE_KEEP_ALIVE = Rpc("/etcdserverpb.Lease/LeaseKeepAlive", pb.LeaseKeepAliveResponse, stream=True)
LEASE_TIME_TO_LIVE = Rpc("/etcdserverpb.Lease/LeaseTimeToLive", pb.LeaseTimeToLiveResponse)
MEMBER_LIST = Rpc("/etcdserverpb.Cluster/MemberList", pb.MemberListResponse)
MEMBER_ADD = Rpc("/etcdserverpb.Cluster/MemberAdd", pb.MemberAddResponse)
MEMBER_REMOVE = Rpc("/etcdserverpb.Cluster/MemberRemove", pb.MemberRemoveResponse)
MEMBER_UPDATE = Rpc("/etcdserverpb.Cluster/MemberUpdate", pb.MemberUpdateResponse)
MEMBER_PROMOTE = Rpc("/etcdserverpb.Cluster/MemberPromote", pb.MemberPromoteResponse)
STATUS = Rpc("/etcdserverpb.Maintenance/Status", pb.StatusResponse)
SNAPSHOT = Rpc("/etcdserverpb.Maintenance/Snapshot", pb.SnapshotResponse, stream=True)
AUTH_ENABLE = Rpc("/etcdserverpb.Auth/AuthEnable", pb.AuthEnableResponse)
AUTH_USER_ADD = Rpc("/etcdserverpb.Auth/UserAdd", pb.AuthUserAddResponse)
AUTH_USER_GRANT_ROLE = Rpc("/etcdserverpb.Auth/UserGrantRole", pb.AuthUserGrantRoleResponse)
AUTH_ROLE_ADD = Rpc("/etcdserverpb.Auth/RoleAdd", pb.AuthRoleAddResponse)
AUTH_ROLE_GET = Rpc("/etcdserverpb.Auth/RoleGet", pb.AuthRoleGetResponse)
AUTH_ROLE_GRANT_PERMISSION = Rpc("/etcdserverpb.Auth/RoleGrantPermission", pb.AuthRoleGrantPermissionResponse)
AUTH_ROLE_REVOKE_PERMISSION = Rpc("/etcdserverpb.Auth/RoleRevokePermission", pb.AuthRoleRevokePermissionResponse)

METHODS = (
    RANGE,
    PUT,
    DELETE_RANGE,
    TXN,
    COMPACT,
    WATCH,
    LEASE_GRANT,
    LEASE_REVOKE,
    LEASE_KEEP_ALIVE,
    LEASE_TIME_TO_LIVE,
    MEMBER_LIST,
    MEMBER_ADD,
    MEMBER_REMOVE,
    MEMBER_UPDATE,
    MEMBER_PROMOTE,
    STATUS,
    SNAPSHOT,
    AUTH_ENABLE,
    AUTH_USER_ADD,
    AUTH_USER_GRANT_ROLE,
    AUTH_ROLE_ADD,
    AUTH_ROLE_GET,
    AUTH_ROLE_GRANT_PERMISSION,
    AUTH_ROLE_REVOKE_PERMISSION,
)


class Endpoint:
    """One member, with a callable for each method."""

    def __init__(self, address: str, tls: Tls | None) -> None:
        self.address = address
        self._left: list[grpc.aio.Channel] = []
        """Those before, on which streams are still open."""
        self.dial(tls)
        self.sick_until = 0.0
        self.failures = 0
        self.streams: set[Any] = set()
        """Watches on it that are to go on at another member once it says nothing."""

    def end_streams(self) -> None:
        """Have those watches go on at another."""
        ended, self.streams = self.streams, set()
        for call in ended:
            call.cancel()

    def dial(self, tls: Tls | None) -> None:
        """Make further calls over a channel of `tls`; what is under way stays on the one before."""
        self.channel = _channel(self.address, tls)
        self.calls: dict[str, Any] = {method.path: self._callable(method) for method in METHODS}
        self._left.append(self.channel)

    async def close(self) -> None:
        """Close every channel."""
        for channel in self._left:
            await channel.close()

    def _callable(self, method: Rpc) -> Any:
        make = self.channel.stream_stream if method.stream else self.channel.unary_unary
        return make(method.path, request_serializer=_serialized, response_deserializer=method.answer.FromString)


class Endpoints:
    """Picks the member to ask: the one that answered last, as long as it does."""

    def __init__(self, addresses: Sequence[str], tls: CurrentTls | None, clock: Clock) -> None:
        if not addresses:
            raise ValueError("at least one endpoint")
        self._current_tls = tls
        self._tls = tls() if tls else None
        self.all = [Endpoint(bare_address(address), self._tls) for address in addresses]
        self._gone: list[Endpoint] = []
        """Members that went, on which streams may still be open."""
        self._clock = clock
        self._current = random.randrange(len(self.all))

    def pick(self) -> Endpoint:
        """The current member, or the next that is not known to be sick; where all are, each in its turn.

        While members elect a leader those that live are sick as well as the one that is gone, and well first.
        """
        if self._current_tls is not None and (tls := self._current_tls()) is not self._tls:
            self._tls = tls
            for endpoint in self.all:
                endpoint.dial(tls)
        current = self.all[self._current]
        if not current.sick_until:
            return current
        now = self._clock.monotonic()
        count = len(self.all)
        for step in range(count):
            candidate = self.all[(self._current + step) % count]
            if candidate.sick_until <= now:
                self._current = (self._current + step) % count
                return candidate
        self._current = (self._current + 1) % count
        return self.all[self._current]

    def follow(self, addresses: Sequence[str]) -> None:
        """Ask the members at these addresses from now on; streams stay open on those that are no longer among them."""
        known = {endpoint.address: endpoint for endpoint in self.all}
        wanted = followed(list(known), addresses)
        if wanted == list(known):
            return
        current = self.all[self._current].address
        self._gone += [endpoint for address, endpoint in known.items() if address not in wanted]
        self.all = [known.get(address) or Endpoint(address, self._tls) for address in wanted]
        self._current = wanted.index(current) if current in wanted else random.randrange(len(wanted))

    def prefer(self, address: str) -> None:
        """Ask this member first from now on, as long as it answers; the others stay for when it does not."""
        self._current = [endpoint.address for endpoint in self.all].index(bare_address(address))

    def failed(self, endpoint: Endpoint) -> None:
        """Pass a member over for a while, longer each time; calls that fail together count once."""
        now = self._clock.monotonic()
        if endpoint.sick_until > now:
            return
        endpoint.failures += 1
        sick_s = min(SICK_S * 2 ** min(endpoint.failures - 1, 8), SICK_S_MAX)
        endpoint.sick_until = now + sick_s * random.uniform(0.8, 1.2)

    def keep_to(self, endpoint: Endpoint) -> None:
        """Have the watches on all other members go on at this one, whose leases tell whether it is there."""
        for other in (*self.all, *self._gone):
            if other is not endpoint:
                other.end_streams()

    def answered(self, endpoint: Endpoint) -> None:
        """Trust a member again."""
        endpoint.failures = 0
        endpoint.sick_until = 0.0

    async def close(self) -> None:
        """Close every channel."""
        for endpoint in (*self.all, *self._gone):
            await endpoint.close()


def followed(known: Sequence[str], told: Sequence[str]) -> list[str]:
    """Whom to ask of the members that a cluster tells of: those known first, in their order, and then the others.

    Where none that is known is among them, this client comes by another way than members know, such as a port that is
    passed on, and keeps to that.
    """
    kept = [address for address in known if address in told]
    return [*kept, *sorted(set(told) - set(kept))] if kept else list(known)


def bare_address(address: str) -> str:
    """`host:port` of an endpoint that may be written as a URL."""
    return address.removeprefix("https://").removeprefix("http://").rstrip("/")


def _channel(address: str, tls: Tls | None) -> grpc.aio.Channel:
    if tls is None:
        return grpc.aio.insecure_channel(address, options=_OPTIONS)
    credentials = grpc.ssl_channel_credentials(tls.ca, tls.key, tls.certificate)
    name = (("grpc.ssl_target_name_override", tls.server_name),) if tls.server_name else ()
    return grpc.aio.secure_channel(address, credentials, options=(*_OPTIONS, *name))


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()
