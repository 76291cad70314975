"""Why Ray cannot be asked, as whoever joins is told it."""

from __future__ import annotations

from suanmesh_agent.engines.ray.asking import RaySilent
from suanmesh_agent.engines.ray.scheduler import RayAccess
from suanmesh_kernel.refusals import FailedPrecondition, PermissionDenied, Refusal, Unavailable


def refusal_of(silent: RaySilent, access: RayAccess) -> Refusal:
    """It names what is to be mended."""
    python, address = str(access.python), access.address
    cluster, _, here = silent.said.partition(", ")
    if silent.code == "RAY_ABSENT":
        return FailedPrecondition("RAY_ABSENT", f"{python} has no Ray: pip install 'suanmesh[ray]'", python=python)
    if silent.code == "RAY_VERSION_DIFFERS":
        words = f"the cluster has Ray {cluster}, {python} has {here}"
        return FailedPrecondition("RAY_VERSION_DIFFERS", words, cluster=cluster, here=here)
    if silent.code == "RAY_PYTHON_DIFFERS":
        words = f"the cluster runs Python {cluster}, {python} is {here}"
        return FailedPrecondition("RAY_PYTHON_DIFFERS", words, cluster=cluster, here=here)
    if silent.code == "RAY_DENIED":
        return PermissionDenied("RAY_DENIED", f"Ray at {address} wants another token: {silent.said}")
    return Unavailable("RAY_UNREACHABLE", f"Ray at {address} does not answer: {silent.said}", address=address)
