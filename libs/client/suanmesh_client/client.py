"""The mesh of one context, area by area."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from suanmesh_client import contexts
from suanmesh_client.datasets import Datasets
from suanmesh_client.jobs import Jobs
from suanmesh_client.money import Money
from suanmesh_client.sites import Sites
from suanmesh_sdk import Mesh


def connect(context: str = "", *, environment: Mapping[str, str] | None = None, here: Path | None = None) -> Client:
    """The mesh of a context that the command line knows: `context`, or the current one, found from the folder `here`.

    Nothing is sent before the first call. Raises FailedPrecondition (`CONTEXT_MISSING`) where there is no such context.
    """
    given = os.environ if environment is None else environment  # noqa: TID251 - as the command line does
    chosen = contexts.current(given, context, here)
    return Client(chosen.mesh(), account=chosen.account)


class Client:
    """What a program asks of the mesh. Use it as an async context manager, or `close` it."""

    def __init__(self, stubs: Mesh, *, account: str = "") -> None:
        self.stubs = stubs
        """Every method of every contract, for what has no word here."""
        self.account = account
        """`accounts/{id}` that pays where a job names none; may be empty."""
        self.jobs = Jobs(self)
        self.data = Datasets(self)
        self.money = Money(self)
        self.sites = Sites(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.stubs!r}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client belongs to its process: connect anew in the other")

    async def close(self) -> None:
        """Close every connection."""
        await self.stubs.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
