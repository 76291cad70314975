"""A folder of code that travels with a job: by content, so that what has not changed is not sent again.

It is a dataset like any other, with a version for each content; the newest few stay, so that jobs can be run again. A
task finds a copy of it in its working folder, which it may change.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pathspec

from suanmesh.scheduler.v1 import job_pb2
from suanmesh.transport.v1 import transport_service_pb2 as pb
from suanmesh_kernel.names import of_version
from suanmesh_kernel.refusals import FailedPrecondition, NotFound
from suanmesh_sdk.data import Brought
from suanmesh_sdk.sending import Progress

if TYPE_CHECKING:
    from suanmesh_sdk.mesh import Mesh

IGNORE = ".suanignore"
ALWAYS = (".git/", "__pycache__/", f"/{IGNORE}")
MOUNT = ".workdir"
"""Where a task finds it read-only; its working folder has the copy."""
WHEELS = ".wheels"
"""Where its setup finds the wheels that travel with a job."""
VERSIONS_KEPT = 10
PAGE = 100
UNPACK = f"""w=$PWD
cp -R {MOUNT}/. . && cd {MOUNT} &&
find . ! -type l -exec sh -c 'cd "$0" && chmod u+w -- "$@"' "$w" {{}} + && cd "$w" || {{
  echo "suan: the files of workdir cannot be laid out in the working folder" >&2
  exit 125
}}
exec "$@"
"""
"""Copies what lies at MOUNT, with its execute bits and links, and lets the task change it."""
LAY_OUT = f"cp -R {MOUNT}/. . && find . -path './.?*' -prune -o ! -type l -exec chmod u+w {{}} +"
"""The same for a setup, which goes on in the same shell."""
_SLUG_CHARS_MAX = 40

Skip = Callable[[str, bool], bool]
"""Whether a path is left out, and whether that is a folder's."""


def ignored(folder: Path, but: Path | None = None) -> Skip:
    """What `.suanignore` in a folder leaves out, and the one file `but`. Raises OSError."""
    try:  # names of files are bytes, and some editors begin a file with a mark
        lines = (folder / IGNORE).read_text("utf-8-sig", errors="surrogateescape").splitlines()
    except FileNotFoundError:
        lines = []
    spec = pathspec.GitIgnoreSpec.from_lines([*ALWAYS, *lines])
    own = but.resolve().relative_to(folder.resolve()).as_posix() if but and _within(but, folder) else ""
    return lambda path, is_folder: path == own or spec.match_file(f"{path}/" if is_folder else path)


def dataset_id(folder: Path, kind: str = "workdir") -> str:
    """What the dataset of that folder is called: the same for the same folder of a machine."""
    place = folder.resolve()
    slug = re.sub("[^a-z0-9]+", "-", place.name.lower()).strip("-")[:_SLUG_CHARS_MAX].rstrip("-")
    return "-".join(filter(None, (kind, slug, hashlib.sha256(bytes(place)).hexdigest()[:8])))


def unpack(job: job_pb2.Job) -> None:
    """Let the commands of a job, and the lines of its setup, begin with laying out what lies at MOUNT."""
    if job.setup.run:
        job.setup.run.insert(0, LAY_OUT)
    for variant in job.package.variants:
        command: Sequence[str] = list(variant.command)
        if not command:
            continue  # it is refused for that, not run for nothing
        del variant.command[:]
        variant.command.extend(("/bin/sh", "-c", UNPACK, "sh", *command))


async def bring(
    mesh: Mesh, folder: Path, job: job_pb2.Job, *, skip: Skip, progress: Callable[[Progress], None] = lambda _: None
) -> Brought:
    """Bring a folder for a job that unpacks it, and name it among the inputs. Raises what `Data.put` does."""
    return await _brought(mesh, folder, job, "workdir", MOUNT, skip, progress)


async def bring_wheels(
    mesh: Mesh, folder: Path, job: job_pb2.Job, *, progress: Callable[[Progress], None] = lambda _: None
) -> Brought:
    """Bring the wheels that the setup of a job installs from, as `bring` does."""

    def other(path: str, is_folder: bool) -> bool:
        return is_folder or not path.endswith(".whl")

    return await _brought(mesh, folder, job, "wheels", WHEELS, other, progress)


async def _brought(
    mesh: Mesh, folder: Path, job: job_pb2.Job, kind: str, mount: str, skip: Skip, progress: Callable[[Progress], None]
) -> Brought:
    brought = await mesh.data.put(
        folder, dataset_id(folder, kind), residency=job.constraints.residency, skip=skip, progress=progress
    )
    job.inputs.add(dataset=brought.pinned, mount=mount)
    if brought.version > VERSIONS_KEPT:
        await _forget_old(mesh, brought)
    return brought


async def _forget_old(mesh: Mesh, brought: Brought) -> None:
    """Remove all but the newest versions; one that a job still needs stays until the next time."""
    request = pb.ListDatasetVersionsRequest(name=brought.dataset, page_size=PAGE)
    versions = (await mesh.transport.ListDatasetVersions(request)).datasets
    for each in versions[VERSIONS_KEPT:]:
        try:
            await mesh.transport.RemoveDataset(pb.RemoveDatasetRequest(name=of_version(each.name, each.version)))
        except (FailedPrecondition, NotFound):
            continue


def _within(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
