"""Real nodes: one that every test may use as it is, and one whose processes are killed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from suanmesh_local import digits, world
from suanmesh_local.node import Node
from suanmesh_sdk import Mesh

FIRST_SITE = world.PLACES[0].site
Publish = Callable[[str, Path], None]


def _running(node: Node) -> Iterator[Node]:
    try:
        asyncio.run(node.start())
        yield node
    finally:
        asyncio.run(node.stop())


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """etcd, six services and three sites; whoever disturbs it brings it back."""
    yield from _running(Node(tmp_path_factory.mktemp("node"), 3))


@pytest.fixture(scope="session")
def mortal_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Three etcd members, six services and three sites, with leases short enough to wait for."""
    folder = tmp_path_factory.mktemp("mortal")
    yield from _running(Node(folder, 3, etcd_members=3, overrides={"SUANMESH_LEASE_S": "2"}))


@pytest.fixture
async def user(node: Node) -> AsyncIterator[Mesh]:
    """The mesh as a user of the consuming party."""
    async with node.mesh() as mesh:
        yield mesh


@pytest.fixture
async def operator(node: Node) -> AsyncIterator[Mesh]:
    """The mesh as the operator."""
    async with node.mesh("operator") as mesh:
        yield mesh


@pytest.fixture(scope="session")
def publish(node: Node) -> Publish:
    """Publish a folder at the first site."""

    def published(dataset: str, folder: Path) -> None:
        asyncio.run(node.publish(FIRST_SITE, dataset, world.CONSUMER, folder))

    return published


@pytest.fixture(scope="session")
def digits_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real images."""
    return digits.export(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="session")
def digits_published(publish: Publish, digits_folder: Path) -> str:
    """The dataset `digits` at the first site."""
    publish(digits.DATASET, digits_folder)
    return f"datasets/{digits.DATASET}"


@pytest.fixture(scope="session")
def permuted_published(publish: Publish, digits_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same images with their labels shuffled: nothing can be learned from them."""
    rows = [line.rpartition(",") for line in (digits_folder / "digits.csv").read_text().splitlines()]
    labels = [label for _, _, label in rows]
    random.Random(1).shuffle(labels)
    folder = tmp_path_factory.mktemp("permuted")
    lines = [f"{pixels},{label}" for (pixels, _, _), label in zip(rows, labels, strict=True)]
    (folder / "digits.csv").write_text("\n".join(lines) + "\n")
    publish("digits-permuted", folder)
    return "datasets/digits-permuted"


@pytest.fixture(scope="session")
def still_published(publish: Publish, digits_folder: Path) -> str:
    """The images under a name that no job runs with, so that they lie at the first site alone."""
    publish("digits-still", digits_folder)
    return "datasets/digits-still"
