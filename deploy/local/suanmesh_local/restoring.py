"""`suan node restore`: a node out of a backup, in a folder of its own, with every store of the same moment."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

from suanmesh_etcd3 import connect as connect_etcd
from suanmesh_kernel.private import private_folder, tighten
from suanmesh_local import backups
from suanmesh_local.backing_up import facts_in
from suanmesh_local.control_plane import ControlPlane
from suanmesh_local.facts import checked_facts, write_facts
from suanmesh_local.format import require_unused
from suanmesh_local.identities import ETCD_ROOT_DIR
from suanmesh_local.launcher import FAULTS, said_of, tell
from suanmesh_local.node_marks import begin_generation
from suanmesh_local.sealed_backups import opened
from suanmesh_local.store_copies import CopyFailed, bring_back, places
from suanmesh_local.tools import cache_dir, etcd_restorer
from suanmesh_local.unit_files import write_files


def main(backup: Path, folder: Path, host: str, identities: Path | None = None) -> int:
    """Make the node that was saved in `backup` in `folder`; with a `host`, reached there. Answers the exit status.

    `identities` is the file with the keys of an encrypted one.
    """
    try:
        require_unused(folder)
        with opened(backup, identities, folder) as clear:
            manifest = backups.require_whole(clear)
            asyncio.run(restore(clear, manifest, folder, host))
    except (*FAULTS, CopyFailed, backups.NoBackup) as fault:
        print(f"suan node restore: {said_of(fault)}", file=sys.stderr)
        return 1
    tell("node", f"{manifest.node} is in {folder} as of {manifest.create_time}")
    tell("start", f"suan node run {folder}; never beside the node that was saved, which must not run any more")
    return 0


async def restore(backup: Path, manifest: backups.Manifest, folder: Path, host: str = "") -> None:
    """Bring back all pieces of a backup; what breaks off leaves a folder that no node starts in.

    Raises as `launcher.FAULTS` has it, CopyFailed.
    """
    try:
        node = await asyncio.to_thread(_placed, backup, manifest, folder, host)
        await _begun(node, backup, manifest)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _placed(backup: Path, manifest: backups.Manifest, folder: Path, host: str) -> ControlPlane:
    """Files and SQL stores where they belong."""
    private_folder(folder)
    shutil.copytree(backup / backups.FILES, folder, dirs_exist_ok=True)
    facts = facts_in(folder)
    if facts.is_spread and not host:
        raise ValueError(f"{facts.name} was on several machines: say by --advertise which one machine it is to be on")
    if host and facts.ports_stay:
        facts = checked_facts(facts.name, host, facts.gateway_port, facts.currency, sql=facts.sql)
        write_facts(folder, facts)
        shutil.rmtree(folder / "tls" / "gateway")  # issued anew: its certificate names where it is reached
    databases = {}
    for place in places(folder, os.environ):
        copied = f"{backups.STORES}/{place.file}"
        if copied in manifest.pieces:
            bring_back(backup / copied, place)
        if place.path is None:
            databases[f"SUANMESH_{place.area.upper()}_DATABASE"] = place.url
    tighten(folder)
    members = 1 if facts.ports_stay else manifest.etcd_members
    return ControlPlane(folder, facts, etcd_members=members, overrides=databases)


async def _begun(node: ControlPlane, backup: Path, manifest: backups.Manifest) -> None:
    """Its etcd, in a generation that names the stores that were saved with it."""
    restorer = etcd_restorer(cache_dir()).path
    try:
        for member in node.etcd:
            await asyncio.to_thread(member.restore, restorer, backup / backups.ETCD)
        await node.start_etcd()
        tls = node.identities.etcd_client(ETCD_ROOT_DIR)
        async with connect_etcd(node.endpoints, tls=tls) as client:
            await begin_generation(client, manifest.node_id, manifest.follows)
    finally:
        await node.stop()
    write_files(node)
