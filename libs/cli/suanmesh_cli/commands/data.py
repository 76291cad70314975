"""`suan dataset` and `suan transfer`."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Any

import click

from suanmesh.transport.v1.dataset_pb2 import Dataset, ManifestFile, Replica
from suanmesh.transport.v1.transfer_pb2 import Transfer
from suanmesh.transport.v1.transport_service_pb2 import (
    GetDatasetRequest,
    ListDatasetsRequest,
    ListTransfersRequest,
    ReadFileRequest,
)
from suanmesh_cli import following, output, units, values
from suanmesh_cli.commands import transfers
from suanmesh_cli.layout import Column
from suanmesh_cli.lazy import Verbs
from suanmesh_cli.names import Name
from suanmesh_cli.session import Session, command, each_of, full_name, listed, listing, reading
from suanmesh_cli.terminal import LogText
from suanmesh_cli.texts import refusal
from suanmesh_cli.usage import Misuse
from suanmesh_cli.values import Facts
from suanmesh_kernel.refusals import DataLoss, FailedPrecondition, InvalidArgument
from suanmesh_kernel.texts import Text
from suanmesh_sdk import Mesh


def complete(replica: Replica) -> bool:
    """Whether the whole dataset is there."""
    return replica.state == Replica.STATE_COMPLETE


def verified(transfer: Transfer) -> str:
    """Whether the digest recomputed at the target is the dataset's."""
    if transfer.state != Transfer.STATE_DONE:
        return ""
    return "yes" if transfer.receipt.digest == transfer.digest else "NO"


DATASET_COLUMNS = (
    Column("DATASET", lambda dataset: dataset.name),
    Column("PARTY", lambda dataset: dataset.party, rank=3),
    Column("FILES", lambda dataset: dataset.files, rank=2),
    Column("BYTES", lambda dataset: values.size(dataset.bytes), rank=1),
    Column(
        "AT", lambda dataset: ",".join(units.short(each.site) for each in dataset.replicas if complete(each)), rank=1
    ),
    Column("DIGEST", lambda dataset: dataset.digest[:16], rank=4),
    Column("PUBLISHED", lambda dataset: dataset.create_time, rank=2),
)
TRANSFER_COLUMNS = (
    Column("TRANSFER", lambda transfer: transfer.name),
    Column("DATASET", lambda transfer: transfer.dataset, rank=2),
    Column("FROM", lambda transfer: units.short(transfer.source), rank=1),
    Column("TO", lambda transfer: units.short(transfer.target), rank=1),
    Column("STATE", lambda transfer: Transfer.State.Name(transfer.state).removeprefix("STATE_")),
    Column("DONE", lambda transfer: values.size(transfer.progress.bytes_done), rank=3),
    Column("BYTES", lambda transfer: values.size(transfer.bytes), rank=1),
    Column("CHUNKS", lambda transfer: f"{transfer.progress.chunks_done}/{transfer.progress.chunks}", rank=5),
    Column("AGAIN", lambda transfer: transfer.progress.chunks_again, rank=5),
    Column("RATE", lambda transfer: values.rate(transfer.rate_bps) if transfer.rate_bps else "unpaced", rank=4),
    Column("VERIFIED", verified, rank=2),
    Column("PURPOSE", lambda transfer: Transfer.Purpose.Name(transfer.purpose).removeprefix("PURPOSE_"), rank=4),
    Column("FOR", lambda transfer: transfer.placement, rank=5),
    Column("BECAUSE", lambda transfer: transfer.state_reason, rank=2, fold=True),
)


@click.group(cls=Verbs)
def dataset() -> None:
    """Datasets: named data that lies at sites."""


@dataset.command("list")
@listing
async def list_datasets(session: Session) -> None:
    """List your datasets by name."""
    async with session.mesh() as mesh:
        found = await listed(session, mesh.transport.ListDatasets, ListDatasetsRequest(), "datasets")
    output.show_list(session.view, "datasets", found, DATASET_COLUMNS)


@dataset.command("show")
@click.argument("names", type=Name("datasets"), nargs=-1, required=True)
@reading
async def show_dataset(session: Session, names: tuple[str, ...]) -> int:
    """Show the datasets NAMES and where they lie."""
    async with session.mesh() as mesh:

        async def show(name: str) -> None:
            request = GetDatasetRequest(name=full_name("datasets", name))
            found = await mesh.transport.GetDataset(request, timeout=session.timeout_s)
            output.show_one(session.view, found, lambda: output.facts(session.view, dataset_facts(found)))

        return await each_of(session, names, show)


@dataset.command("get")
@click.argument("name", type=Name("datasets"))
@click.argument("path", default="")
@click.option("--to", type=click.Path(path_type=Path, file_okay=False), help="Folder to write all files into.")
@command
async def get(session: Session, name: str, path: str, to: Path | None) -> None:
    """Fetch the dataset NAME into a folder, or print its one file PATH; a terminal gets it as text, made safe."""
    if bool(path) == bool(to):
        raise Misuse(
            Text(
                "Give either a PATH to print or a folder with --to.",
                "请给出要打印的 PATH，或用 --to 给出文件夹，二者择一。",
            ),
            click.get_current_context(),
        )
    dataset = full_name("datasets", name)
    async with session.mesh() as mesh:
        if to is None:
            shown = LogText()
            async for piece in mesh.transport.ReadFile(ReadFileRequest(dataset=dataset, path=os.fsencode(path))):
                output.print_log(piece.content, shown)
            output.print_log(b"", shown, final=True)
            return
        manifest = await following.manifest_of(mesh, dataset)
        for file in manifest.files:
            await fetch(mesh, dataset, file, to)
            output.note(f"{os.fsdecode(file.path)}  {units.size(file.bytes)}")


@click.group(cls=Verbs)
def transfer() -> None:
    """Transfers: datasets on the way from site to site."""


for verb in transfers.VERBS:
    transfer.add_command(verb)


@transfer.command("list")
@listing
async def list_transfers(session: Session) -> None:
    """List your transfers, newest first."""
    async with session.mesh() as mesh:
        found = await listed(session, mesh.transport.ListTransfers, ListTransfersRequest(), "transfers")
    output.show_list(session.view, "transfers", found, TRANSFER_COLUMNS)


async def fetch(mesh: Mesh, dataset: str, file: ManifestFile, folder: Path) -> None:
    """Write one file below `folder`, under a name of its own until it is whole and its digest is right."""
    target = folder / safe(os.fsdecode(file.path))
    target.parent.mkdir(parents=True, exist_ok=True)
    if file.folder:
        target.mkdir(exist_ok=True)
        return
    if file.link:
        target.unlink(missing_ok=True)
        target.symlink_to(os.fsdecode(file.link))
        return
    partial = target.with_name(target.name + ".partial")
    digest = _hasher()
    written = 0
    with partial.open("wb") as opened:
        async for piece in mesh.transport.ReadFile(ReadFileRequest(dataset=dataset, path=file.path)):
            written += opened.write(piece.content)
            digest.update(piece.content)
    if written != file.bytes or digest.digest() != file.digest:
        partial.unlink()
        damaged = Text(f"{target.name} of {dataset} arrived damaged", f"{dataset} 的 {target.name} 到达时已损坏")
        raise refusal(DataLoss, "DIGEST_MISMATCH", damaged, name=dataset)
    partial.chmod(0o755 if file.executable else 0o644)
    partial.rename(target)


def _hasher() -> Any:
    """BLAKE3, as every dataset is named by it."""
    try:
        from blake3 import blake3
    except ImportError as error:
        needed = Text(
            "the package blake3 is needed to verify what arrives: pip install blake3",
            "校验到达的数据需要软件包 blake3：pip install blake3",
        )
        raise refusal(FailedPrecondition, "TOOL_MISSING", needed) from error
    return blake3()


def safe(path: str) -> PurePosixPath:
    """`path` if it stays within the folder it is written to: a manifest comes from a stranger."""
    parts = path.split("/")
    if any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in parts):
        raise refusal(
            InvalidArgument,
            "FIELD_INVALID",
            Text(f"{path!r} is not a path within a dataset", f"{path!r} 不是数据集内的路径"),
            field="path",
        )
    return PurePosixPath(path)


def dataset_facts(dataset: Dataset) -> Facts:
    """What is known of a dataset."""
    lying = (f"{each.site} {Replica.State.Name(each.state).removeprefix('STATE_')}" for each in dataset.replicas)
    return [
        ("dataset", dataset.name),
        ("party", dataset.party),
        ("digest", dataset.digest),
        ("bytes", f"{dataset.bytes} ({units.size(dataset.bytes)})"),
        ("files", dataset.files),
        ("residency", ", ".join(dataset.residency)),
        ("replicas", ", ".join(lying)),
        ("published", dataset.create_time),
    ]
