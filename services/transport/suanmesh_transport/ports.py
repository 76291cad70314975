"""What the transport needs of others."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from suanmesh.agent.v1.agent_service_pb2 import ChunkRange, FetchChunksResponse
from suanmesh.transport.v1.dataset_pb2 import Manifest
from suanmesh.type.v1.signed_pb2 import Signed
from suanmesh_transport.domain.transfers import Place


class DataPlane(Protocol):
    """The data planes of the sites. Every method may raise what an agent refuses for, or Unavailable."""

    async def manifest(self, place: Place, ticket: Signed) -> Manifest:
        """The manifest of the ticket's dataset as the site has it."""

    def chunks(
        self, place: Place, ticket: Signed, ranges: Sequence[ChunkRange]
    ) -> AsyncGenerator[FetchChunksResponse, None]:
        """Ranges of the dataset's files in their order, each in pieces; closing it breaks the request off."""


class Jobs(Protocol):
    """The jobs of the node."""

    async def needing(self, party: str, name: str, makers: Sequence[str]) -> list[str]:
        """The party's jobs that have not ended and read a dataset, or one version of it, or are among its makers.

        Raises Unavailable.
        """


class Distances(Protocol):
    """How far sites are from each other."""

    async def latencies_us(self, sources: Sequence[str], targets: Sequence[str]) -> dict[tuple[str, str], int]:
        """By source and target, one way, in microseconds; without those between which no way is known."""


class TicketSigner(Protocol):
    """Signs tickets; its public key is what sources check them with."""

    @property
    def key_id(self) -> str:
        """How the key is named."""

    @property
    def public_key(self) -> bytes:
        """Raw Ed25519 public key, 32 bytes."""

    def sign(self, payload_type: str, payload: bytes) -> Signed:
        """Vouch for a payload."""
