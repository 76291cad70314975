"""How anybody calls the mesh: typed stubs over connections that pick, retry, keep time and say no in types.

    async with connect("127.0.0.1:7000", tls=Tls(ca, cert, key), node="demo") as mesh:
        site = await mesh.registry.GetSite(GetSiteRequest(name="sites/a"))

Every refusal is raised as a `suanmesh_kernel.refusals.Refusal`.
"""

from __future__ import annotations

from suanmesh_sdk.deadlines import time_left, within
from suanmesh_sdk.hooks import ClientCall, Hook
from suanmesh_sdk.mesh import Mesh, connect
from suanmesh_sdk.resolver import Instance, InstanceState, Resolver
from suanmesh_sdk.tls import Tls

__all__ = [
    "ClientCall",
    "Hook",
    "Instance",
    "InstanceState",
    "Mesh",
    "Resolver",
    "Tls",
    "connect",
    "time_left",
    "within",
]
