"""The mesh as a program uses it: describe a job, submit it, wait for it, fetch what it made, read the bill.

    async with connect() as mesh:                       # the context that `suan` uses
        job = await mesh.jobs.submit(Job(command=["python3", "-c", "print(42)"]))
        await job.wait()

`suanmesh_client.sync` has the same without `async`. `suanmesh_sdk` has every method of every contract.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from suanmesh_client.client import Client, connect
    from suanmesh_client.descriptions import Input, Job, Output, Retry, Secret, Setup, sweep
    from suanmesh_client.jobs import JobHandle, wait_all

__all__ = [
    "Client", "Input", "Job", "JobHandle", "Output", "Retry", "Secret", "Setup", "connect", "sweep", "wait_all",
]  # fmt: skip

_WHERE = {
    "Client": "client",
    "connect": "client",
    "Input": "descriptions",
    "Job": "descriptions",
    "Output": "descriptions",
    "Retry": "descriptions",
    "Secret": "descriptions",
    "Setup": "descriptions",
    "sweep": "descriptions",
    "JobHandle": "jobs",
    "wait_all": "jobs",
}


def __getattr__(name: str) -> Any:
    """Loaded when asked for: the command line reads its contexts without loading gRPC."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
