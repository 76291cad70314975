"""What every service stands on: settings, server, the one wrapper round each call, identity, drain, run."""

from suanmesh_chassis.call import Call, Caller
from suanmesh_chassis.failure_backoff import FailureBackoff
from suanmesh_chassis.parts import Forwarded, Listener, Parts, RawForwarder, Requests, Served, ServiceContext
from suanmesh_chassis.run import run
from suanmesh_chassis.settings import Common
from suanmesh_chassis.signing import Signer, verify

__all__ = [
    "Call",
    "Caller",
    "Common",
    "FailureBackoff",
    "Forwarded",
    "Listener",
    "Parts",
    "RawForwarder",
    "Requests",
    "Served",
    "ServiceContext",
    "Signer",
    "run",
    "verify",
]
