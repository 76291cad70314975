"""Datasets: named data that lies at sites."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from suanmesh.transport.v1 import dataset_pb2
from suanmesh.transport.v1 import transport_service_pb2 as pb
from suanmesh_client.paging import pages
from suanmesh_client.texts import refusal
from suanmesh_content import FolderError, ManifestError
from suanmesh_kernel.refusals import FailedPrecondition, InvalidArgument
from suanmesh_kernel.texts import Text
from suanmesh_sdk.data import Brought, Existing, FilesDiffer, NamesCollide
from suanmesh_sdk.sending import Progress

NAMED_MAX = 3
"""Files that a refusal names."""

if TYPE_CHECKING:
    from suanmesh_client.client import Client


class Datasets:
    """Your datasets."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def put(
        self,
        folder: Path | str,
        dataset_id: str,
        *,
        site: str = "",
        residency: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        progress: Callable[[Progress], None] = lambda _: None,
    ) -> Brought:
        """Make a folder, or one file, the dataset `dataset_id`, at `site` or at one that has room.

        Where the dataset has other content, this becomes its next version. An interrupted put goes on where it was when
        it is repeated. `Brought.left_out` names what no dataset can hold, `Brought.pinned` the version.
        """
        with checked(folder := Path(folder)):
            return await self._client.stubs.data.put(
                folder,
                dataset_id,
                site=_full(site, "sites") if site else "",
                residency=residency,
                labels=labels,
                progress=progress,
            )

    async def get(
        self,
        name: str,
        to: Path | str,
        *,
        existing: Existing = Existing.REFUSE,
        progress: Callable[[Progress], None] = lambda _: None,
    ) -> Path:
        """Bring a dataset into the folder `to`, each file whole or not at all; what is there is not asked for again.

        Raises FailedPrecondition (`FILES_DIFFER`) where other content lies there, unless `existing` says what is to
        become of it, and (`NAMES_COLLIDE`) where the file system takes names of the dataset for one another; with
        `Existing.SKIP` the first of such names is fetched.
        """
        try:
            await self._client.stubs.data.get(_full(name), to := Path(to), existing=existing, progress=progress)
        except FilesDiffer as fault:
            raise differing(fault) from fault
        except NamesCollide as fault:
            raise colliding(fault) from fault
        return to

    async def show(self, name: str) -> dataset_pb2.Dataset:
        """The dataset `name`, with or without `datasets/` before it: its newest version, or that of `d@2`."""
        return await self._client.stubs.transport.GetDataset(pb.GetDatasetRequest(name=_full(name)))

    async def list(self, labels: Mapping[str, str] | None = None) -> AsyncIterator[dataset_pb2.Dataset]:
        """Your datasets in their newest versions, by name; only those that have all of the labels."""
        request = pb.ListDatasetsRequest(labels=labels)
        async for found in pages(self._client.stubs.transport.ListDatasets, request, "datasets"):
            yield found

    async def versions(self, name: str) -> AsyncIterator[dataset_pb2.Dataset]:
        """The versions of a dataset that are there, the newest first."""
        request = pb.ListDatasetVersionsRequest(name=_full(name))
        async for found in pages(self._client.stubs.transport.ListDatasetVersions, request, "datasets"):
            yield found

    async def label(self, name: str, labels: Mapping[str, str]) -> dataset_pb2.Dataset:
        """Give a version, the newest where `name` says none, these labels and no others."""
        request = pb.SetDatasetLabelsRequest(name=_full(name), labels=labels)
        return await self._client.stubs.transport.SetDatasetLabels(request)

    async def remove(self, name: str) -> int:
        """Remove a dataset with all its versions, or one version (`d@2`); how many there were.

        Raises FailedPrecondition (`DATASET_IN_USE`) while a job that has not ended reads or makes it, and NotFound.
        """
        request = pb.RemoveDatasetRequest(name=_full(name))
        return (await self._client.stubs.transport.RemoveDataset(request)).versions

    async def read(self, name: str, path: str | bytes) -> AsyncIterator[bytes]:
        """One file of a dataset, in pieces."""
        request = pb.ReadFileRequest(dataset=_full(name), path=os.fsencode(path))
        async for piece in self._client.stubs.transport.ReadFile(request):
            yield piece.content


def _full(name: str, collection: str = "datasets") -> str:
    return name if "/" in name else f"{collection}/{name}"


@contextmanager
def checked(folder: Path) -> Iterator[None]:
    """Within, a folder that cannot be a dataset is refused. Raises InvalidArgument (`SOURCE_INVALID`)."""
    try:
        yield
    except (FolderError, ManifestError) as fault:
        said = Text(f"{folder} cannot be a dataset: {fault}", f"{folder} 不能成为数据集：{fault}")
        raise refusal(InvalidArgument, "SOURCE_INVALID", said) from fault


def colliding(fault: NamesCollide) -> FailedPrecondition:
    """The refusal to have names of a dataset overwrite each other, with the first of them."""
    named = "; ".join(", ".join(ascii(path)[1:-1] for path in group) for group in fault.groups[:NAMED_MAX])
    said = Text(
        f"{fault.folder} is on a file system that takes names of the dataset for one another: {named}",
        f"{fault.folder} 所在的文件系统把数据集中的这些名称视为同一个：{named}",
    )
    return refusal(FailedPrecondition, "NAMES_COLLIDE", said, names=len(fault.groups))


def differing(fault: FilesDiffer) -> FailedPrecondition:
    """The refusal to replace what lies in a folder, with the first of it."""
    named = ", ".join(ascii(path)[1:-1] for path in fault.paths[:NAMED_MAX])
    count = len(fault.paths)
    more = Text(f" and {count - NAMED_MAX} more", " 等") if count > NAMED_MAX else Text("", "")
    said = Text(
        f"{fault.folder} has other content than the dataset under {count} of its names: {named}{more.en}",
        f"{fault.folder} 中有 {count} 处与数据集同名而内容不同：{named}{more.zh}",
    )
    return refusal(FailedPrecondition, "FILES_DIFFER", said, files=count)
