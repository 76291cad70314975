"""`suan data` and `suan transfer`."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from suanmesh.transport.v1.dataset_pb2 import Dataset, Replica
from suanmesh.transport.v1.transport_service_pb2 import (
    GetDatasetRequest,
    ListDatasetsRequest,
    ListDatasetVersionsRequest,
    ListTransfersRequest,
    ReadFileRequest,
    RemoveDatasetRequest,
    SetDatasetLabelsRequest,
    UploadChoice,
)
from suanmesh_cli import output, units, values
from suanmesh_cli.commands import transfers
from suanmesh_cli.following import KEPT, telling_who_leaves
from suanmesh_cli.layout import Column
from suanmesh_cli.lazy import Verbs
from suanmesh_cli.names import Name
from suanmesh_cli.progress import following_progress
from suanmesh_cli.session import Session, Wrapped, command, each_of, full_name, listed, listing, reading
from suanmesh_cli.tables import table
from suanmesh_cli.usage import Misuse
from suanmesh_cli.values import Facts
from suanmesh_kernel.names import of_version, versioned
from suanmesh_kernel.texts import Text
from suanmesh_sdk.enums import enum_name

if TYPE_CHECKING:
    from suanmesh_sdk import Mesh
    from suanmesh_sdk.data import Brought, Existing

ID_CHARS_MAX = 63
VERSIONS_SHOWN = 100
"""The newest; the Python client lists all."""


def complete(replica: Replica) -> bool:
    """Whether the whole dataset is there."""
    return replica.state == Replica.STATE_COMPLETE


def labelled(labels: Mapping[str, str]) -> str:
    """`team=vision,stage=trial`."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


DATASET_COLUMNS = (
    Column("DATASET", lambda dataset: dataset.name),
    Column("PARTY", lambda dataset: dataset.party, rank=3),
    Column("FILES", lambda dataset: dataset.files, rank=2),
    Column("BYTES", lambda dataset: values.size(dataset.bytes), rank=1),
    Column(
        "AT", lambda dataset: ",".join(units.short(each.site) for each in dataset.replicas if complete(each)), rank=1
    ),
    Column("DIGEST", lambda dataset: dataset.digest[:16], rank=4),
    Column("VERSION", lambda dataset: dataset.version, rank=2),
    Column("LABELS", lambda dataset: labelled(dataset.labels), rank=3),
    Column("PUBLISHED", lambda dataset: dataset.create_time, rank=2),
)
VERSION_COLUMNS = (
    Column("VERSION", lambda dataset: of_version(dataset.name, dataset.version)),
    *(column for column in DATASET_COLUMNS if column.title not in ("DATASET", "PARTY", "VERSION")),
)


@click.group(cls=Verbs)
def data() -> None:
    """Data: folders to datasets at sites, and back."""


class Label(click.ParamType[tuple[str, str]]):
    """`team=vision`."""

    name = "label"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Key and value."""
        key, equals, wanted = str(value).partition("=")
        if not (key and equals):
            raise Misuse(
                Text(f"{value!r} is no label, such as team=vision.", f"{value!r} 不是标签，例如 team=vision。"), ctx
            )
        return key, wanted


def label_option(help_: str) -> Callable[[Wrapped], Wrapped]:
    """`--label KEY=VALUE`, any number of times."""
    return click.option("--label", "labels", type=Label(), multiple=True, metavar="KEY=VALUE", help=help_)


@data.command("list")
@label_option("Only with this label; repeatable, all must hold.")
@listing
async def list_datasets(session: Session, labels: tuple[tuple[str, str], ...]) -> None:
    """List your datasets by name, each in its newest version."""
    async with session.mesh() as mesh:
        request = ListDatasetsRequest(labels=dict(labels))
        found = await listed(session, mesh.transport.ListDatasets, request, "datasets")
    output.show_list(session.view, "datasets", found, DATASET_COLUMNS)


@data.command("show")
@click.argument("names", type=Name("datasets"), nargs=-1, required=True)
@reading
async def show_dataset(session: Session, names: tuple[str, ...]) -> int:
    """Show the datasets NAMES, or single versions of them such as digits@2, and where they lie."""
    async with session.mesh() as mesh:

        async def show(name: str) -> None:
            full = full_name("datasets", name)
            found = await mesh.transport.GetDataset(GetDatasetRequest(name=full), timeout=session.timeout_s)
            earlier: Sequence[Dataset] = ()
            if not versioned(full)[1] and found.version > 1:
                versions = await mesh.transport.ListDatasetVersions(
                    ListDatasetVersionsRequest(name=full, page_size=VERSIONS_SHOWN), timeout=session.timeout_s
                )
                earlier = versions.datasets

            def told() -> list[str]:
                lines = output.facts(session.view, dataset_facts(found))
                return [*lines, "", *table(session.view, earlier, VERSION_COLUMNS)] if earlier else lines

            output.show_one(session.view, found, told, DATASET_COLUMNS)

        return await each_of(session, names, show)


@data.command("rm")
@click.argument("names", type=Name("datasets"), nargs=-1, required=True)
@command
async def remove(session: Session, names: tuple[str, ...]) -> int:
    """Remove the datasets NAMES with all their versions, or single versions such as digits@2."""
    async with session.mesh() as mesh:

        async def drop(name: str) -> None:
            full = full_name("datasets", name)
            removed = await mesh.transport.RemoveDataset(RemoveDatasetRequest(name=full), timeout=session.timeout_s)
            count = removed.versions
            output.note(
                Text(
                    f"{full} removed, {count} version{'s' * (count != 1)}; its sites remove their copies",
                    f"已删除 {full}，共 {count} 个版本；各站点将删除其副本",
                ).of(session.lang)
            )

        return await each_of(session, names, drop)


@data.command("label")
@click.argument("name", type=Name("datasets"))
@click.argument("labels", type=Label(), nargs=-1, metavar="[KEY=VALUE]...")
@command
async def label(session: Session, name: str, labels: tuple[tuple[str, str], ...]) -> None:
    """Give the dataset NAME, or one version of it, these labels and no others."""
    async with session.mesh() as mesh:
        request = SetDatasetLabelsRequest(name=full_name("datasets", name), labels=dict(labels))
        found = await mesh.transport.SetDatasetLabels(request, timeout=session.timeout_s)
    output.show_one(session.view, found, lambda: output.facts(session.view, dataset_facts(found)), DATASET_COLUMNS)


class FolderOrFile(click.Path):
    """One that is there; `-`, which other programs take for standard input, is told what to do in its place."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Its path."""
        if str(value) != "-":
            return super().convert(value, param, ctx)
        raise Misuse(
            Text(
                "Standard input cannot be put: a dataset is of files. Write it to one, and put that.",
                "无法上传标准输入：数据集由文件组成。请先写入文件，再上传该文件。",
            ),
            ctx,
        )


quiet_option = click.option(
    "--quiet", "-q", is_flag=True, help="Say nothing but which version was made, and what was left out."
)


@data.command("put")
@click.argument("folder", type=FolderOrFile(path_type=Path, exists=True))
@click.option("--name", default="", help="Name of the dataset; without it that of the folder.")
@click.option("--site", type=Name("sites"), default="", help="Site that is to take it; without it one is chosen.")
@click.option("--residency", multiple=True, help="Jurisdiction it must stay within; may be repeated.")
@label_option("What to sort it by; repeatable.")
@quiet_option
@command
async def put(
    session: Session,
    folder: Path,
    name: str,
    site: str,
    residency: tuple[str, ...],
    labels: tuple[tuple[str, str], ...],
    quiet: bool,
) -> None:
    """Bring FOLDER, or one file, to a site as a dataset; what broke off goes on where it was.

    Where the dataset has other content, this becomes its next version.
    """
    from suanmesh_client.datasets import checked

    dataset_id = name.removeprefix("datasets/") or id_of(folder)
    async with session.mesh() as mesh:
        going_on = telling_who_leaves(session, KEPT)
        following = following_progress(session.lang, session.environment, quiet=quiet)
        with going_on, checked(folder), following as progress:
            brought = await mesh.data.put(
                folder,
                dataset_id,
                site=full_name("sites", site) if site else "",
                residency=residency,
                labels=dict(labels),
                progress=progress,
            )
        for line in brought.left_out.lines(session.lang):
            output.note(Text(f"left out {line}", f"未包含 {line}").of(session.lang))
        if quiet:
            click.echo(brought.pinned)
            return
        output.note(chosen(brought).of(session.lang))
        if brought.sent_bytes < brought.manifest.size_bytes:
            sent, whole = units.size(brought.sent_bytes), units.size(brought.manifest.size_bytes)
            output.note(
                Text(f"{sent} of {whole} sent: the site had the rest", f"发送 {sent}，共 {whole}：其余站点已有").of(
                    session.lang
                )
            )
        request = GetDatasetRequest(name=brought.pinned)
        found = await mesh.transport.GetDataset(request, timeout=session.timeout_s)
    output.show_one(session.view, found, lambda: output.facts(session.view, dataset_facts(found)), DATASET_COLUMNS)


@data.command("get")
@click.argument("name", type=Name("datasets"))
@click.argument("path", default="")
@click.option("--to", type=click.Path(path_type=Path, file_okay=False), help="Folder to write all files into.")
@click.option("--force", is_flag=True, help="Replace what lies there with other content.")
@click.option("--skip-existing", is_flag=True, help="Keep what lies there with other content, and fetch the rest.")
@click.option("--quiet", "-q", is_flag=True, help="Do not say how far it is.")
@command
async def get(
    session: Session, name: str, path: str, to: Path | None, force: bool, skip_existing: bool, quiet: bool
) -> None:
    """Fetch the dataset NAME into a folder, or print its one file PATH.

    Where the folder has other content under names of the dataset, it is asked on a terminal whether to replace it, and
    refused elsewhere.
    """
    from suanmesh_sdk.data import Existing

    if force and skip_existing:
        raise Misuse(
            Text("Give --force or --skip-existing, not both.", "--force 与 --skip-existing 只能给出一个。"),
            click.get_current_context(),
        )
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
        if to is not None:
            existing = Existing.REPLACE if force else Existing.SKIP if skip_existing else Existing.REFUSE
            await _fetch(session, mesh, dataset, to, existing, quiet=quiet)
            return
        async for piece in mesh.transport.ReadFile(ReadFileRequest(dataset=dataset, path=os.fsencode(path))):
            sys.stdout.buffer.write(piece.content)
        sys.stdout.buffer.flush()


async def _fetch(session: Session, mesh: Mesh, dataset: str, to: Path, existing: Existing, *, quiet: bool) -> None:
    """Into a folder; a person is asked before what lies there is replaced."""
    from suanmesh_client.datasets import colliding, differing
    from suanmesh_sdk.data import Existing, FilesDiffer, NamesCollide

    while True:
        try:
            going_on = telling_who_leaves(session, KEPT)
            with going_on, following_progress(session.lang, session.environment, quiet=quiet) as progress:
                await mesh.data.get(dataset, to, existing=existing, progress=progress)
            return
        except NamesCollide as fault:
            raise colliding(fault) from fault
        except FilesDiffer as fault:
            refused = differing(fault)
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise refused
        output.note(refused.localized[session.lang])
        replaced = Text("Replace them?", "覆盖它们吗？").of(session.lang)
        if not await asyncio.to_thread(click.confirm, replaced, default=False, err=True):
            raise refused
        existing = Existing.REPLACE


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
    output.show_list(session.view, "transfers", found, transfers.TRANSFER_COLUMNS)


def chosen(brought: Brought) -> Text:
    """In one line to which site it went, and why."""
    site, km = units.short(brought.site), brought.distance_km
    away = f"{brought.latency_us / 1000:.1f} ms" if brought.latency_us else f"{km} km"
    why = {
        "NAMED": Text("named", "由你指定"),
        "HAS_IT": Text("it has the same content", "已有相同内容"),
        "OWN": Text("your party's own", "属于你的主体"),
        "NEAREST": Text(f"nearest to your other data, {away}", f"离你的其他数据最近，{away}"),
        "DEFAULT": Text("your party's default", "主体的默认站点"),
        "FIRST": Text("the first that takes it", "首个接收的站点"),
    }
    said = why.get(enum_name(UploadChoice, brought.choice, "UPLOAD_CHOICE_"), Text("chosen by the mesh", "由算网选择"))
    return Text(f"at {site}: {said.en}", f"位于 {site}：{said.zh}")


def id_of(folder: Path) -> str:
    """What a dataset of that folder is called where nobody says: its name, as far as an id may have it."""
    kept = re.sub("[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")
    return kept[:ID_CHARS_MAX].rstrip("-") or "data"


def dataset_facts(dataset: Dataset) -> Facts:
    """What is known of a dataset."""
    lying = (f"{each.site} {enum_name(Replica.State, each.state, 'STATE_')}" for each in dataset.replicas)
    return [
        ("dataset", dataset.name),
        ("version", dataset.version),
        ("party", dataset.party),
        ("digest", dataset.digest),
        ("bytes", f"{dataset.bytes} ({units.size(dataset.bytes)})"),
        ("files", dataset.files),
        ("residency", ", ".join(dataset.residency)),
        ("labels", labelled(dataset.labels)),
        ("replicas", ", ".join(lying)),
        ("published", dataset.create_time),
    ]
