"""Every prefix in etcd on one page: its writer, its message, its lease.

    key                                               writer                lives
    /suanmesh/<area>/<collection>/<resource name>     the area's leader     until deleted
    /suanmesh/<area>/requests/<principal>/<request>   the area's leader     REQUEST_MEMORY_S
    /suanmesh/registry/alive/<site id>                registry              while the agent reports
    /suanmesh/holds/<placement id>/<area>/<n>         the hold's owner      on the round's lease until detached
    /suanmesh/elections/<area>/<lease>                each instance         on the instance's lease
    /suanmesh/instances/<area>/<instance id>          each instance         on the instance's lease
    /suanmesh/keys/<area>/<fingerprint>               each instance         until its window has passed
    /suanmesh/node/marks/node                         founding, restoring   until the next restore
    /suanmesh/node/machines/node                      adding, removing      until the next restore
    /suanmesh/node/renewing                           renewing a machine    while it is renewed

Whoever needs a further collection adds a line here. etcd itself keeps a service to what `written_by` says of its area;
within the holds, who owns which is kept by the services alone, because etcd grants prefixes and the area comes last.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from suanmesh.accounting.v1.ledger_pb2 import LedgerMark
from suanmesh.network_orchestrator.v1.booking_pb2 import LinkBooking
from suanmesh.network_orchestrator.v1.link_pb2 import Link
from suanmesh.network_orchestrator.v1.reservation_pb2 import Reservation
from suanmesh.registry.v1.join_token_pb2 import JoinTokenRecord
from suanmesh.registry.v1.party_pb2 import Party
from suanmesh.registry.v1.pool_pb2 import Pool
from suanmesh.registry.v1.revocation_pb2 import Revocation
from suanmesh.registry.v1.site_pb2 import Site
from suanmesh.scheduler.v1.placement_pb2 import Placement
from suanmesh.transport.v1.dataset_pb2 import Dataset
from suanmesh.transport.v1.transfer_pb2 import Transfer
from suanmesh.type.v1.node_machines_pb2 import NodeMachines
from suanmesh.type.v1.node_mark_pb2 import NodeMark
from suanmesh.type.v1.store_mark_pb2 import StoreMark
from suanmesh.type.v1.trust_pb2 import NodeTrust

M = TypeVar("M", bound=Message)

ROOT = "/suanmesh"
HOLDS = f"{ROOT}/holds/"
KEYS = f"{ROOT}/keys/"
ALIVE = f"{ROOT}/registry/alive/"
RENEWING = f"{ROOT}/node/renewing"
"""Which machine of a node is being renewed."""
_HOLDERS = frozenset({"scheduler", "network_orchestrator", "accounting"})
"""Who puts holds; the scheduler detaches them at the commit, and its lease takes them along when it ends."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[M]):
    """A collection of documents: who writes it, where it is, what it holds."""

    area: str
    collection: str
    message: type[M]

    @property
    def prefix(self) -> str:
        """What every key of the collection begins with."""
        return f"{ROOT}/{self.area}/{self.collection}/"

    def key(self, name: str) -> str:
        """The key of the document `name`, usually a full resource name such as `sites/s/pools/q`."""
        return self.prefix + name

    def name(self, key: str) -> str:
        """The name of the document at `key`."""
        return key[len(self.prefix) :]


PARTIES = Kind("registry", "parties", Party)
SITES = Kind("registry", "sites", Site)
POOLS = Kind("registry", "pools", Pool)
JOIN_TOKENS = Kind("registry", "join_tokens", JoinTokenRecord)
REVOCATIONS = Kind("registry", "revocations", Revocation)
TRUSTED_NODES = Kind("registry", "trusted_nodes", NodeTrust)
PLACEMENTS = Kind("scheduler", "placements", Placement)
LINKS = Kind("network_orchestrator", "links", Link)
BOOKINGS = Kind("network_orchestrator", "bookings", LinkBooking)
RESERVATIONS = Kind("network_orchestrator", "reservations", Reservation)
LEDGER_MARKS = Kind("accounting", "ledger_marks", LedgerMark)
DATASETS_BEFORE = Kind("transport", "datasets", Dataset)
"""Where datasets were before they were records."""
NODE_MARKS = Kind("node", "marks", NodeMark)
"""One document, which no service may write."""
NODE_MACHINES = Kind("node", "machines", NodeMachines)
"""One document, which no service may write."""
TRANSFERS = Kind("transport", "transfers", Transfer)


def record_marks(area: str) -> Kind[StoreMark]:
    """Where the leader of an area says which records it leads with."""
    return Kind(area, "record_marks", StoreMark)


def written_by(area: str) -> tuple[str, ...]:
    """Prefixes under which an area's service may write; it may read everything under ROOT."""
    own = (f"{ROOT}/{area}/", f"{election_key(area)}/", instances_of(area), keys_of(area))
    return (*own, HOLDS) if area in _HOLDERS else own


def hold_key(placement: str, area: str, index: int) -> str:
    """The token of a placement's hold; `placement` is `placements/{p}` or its last part."""
    return f"{holds_of(placement)}{area}/{index}"


def holds_of(placement: str) -> str:
    """What the keys of all holds of a placement begin with."""
    return f"{HOLDS}{placement.rsplit('/', 1)[-1]}/"


def election_key(area: str) -> str:
    """What the keys of the candidates of an area begin with, without the slash that follows."""
    return f"{ROOT}/elections/{area}"


def instances_of(area: str) -> str:
    """What the discovery records of an area begin with."""
    return f"{ROOT}/instances/{area}/"


def instance_key(area: str, instance: str) -> str:
    """The discovery record of one instance."""
    return instances_of(area) + instance


def keys_of(area: str) -> str:
    """What the records of the keys begin with that instances of an area sign with."""
    return f"{KEYS}{area}/"


def signing_key(area: str, fingerprint: str) -> str:
    """The record of one key; `fingerprint` is the last part of its `key_id`."""
    return keys_of(area) + fingerprint


def alive_key(site: str) -> str:
    """The mark that a site's agent reports; `site` is `sites/{s}` or its last part."""
    return ALIVE + site.rsplit("/", 1)[-1]


def request_key(area: str, principal: str, request_id: str) -> str:
    """The record of the answer given to a request; the principal is hashed, since it holds slashes."""
    return f"{ROOT}/{area}/requests/{hashlib.sha256(principal.encode()).hexdigest()[:32]}/{request_id}"
