"""A node on several machines: what is made on the one that founds it, and brought to each of the others in a bundle."""

from __future__ import annotations

import sys
import zipfile
from dataclasses import replace
from pathlib import Path

from suanmesh_kernel.private import private_folder, write_private
from suanmesh_local.control_plane import ControlPlane
from suanmesh_local.facts import FILE, NodeFacts, facts_text, read_facts
from suanmesh_local.format import TLS, claim_format, require_unused
from suanmesh_local.identities import ETCD_ROOT_DIR, Identities
from suanmesh_local.launcher import FAULTS, said_of, tell
from suanmesh_local.lock import Taken
from suanmesh_local.unit_files import UNITS, write_files

BUNDLES = "machines"
OF_ETCD = frozenset(("etcd", ETCD_ROOT_DIR))
"""The identities that a machine with nothing but a member of etcd has."""
BUNDLE_BYTES_MAX = 1 << 20


def main(bundle: Path, folder: Path | None) -> int:
    """`suan node join-machine`: be the machine that `bundle` was made for. Answers the exit status."""
    try:
        _take(bundle, folder)
    except (*FAULTS, zipfile.BadZipFile) as fault:
        print(f"suan node join-machine: {said_of(fault)}", file=sys.stderr)
        return 1
    return 0


def write_bundles(node: ControlPlane) -> list[Path]:
    """What each other machine of the node needs, a file for each: secrets, as whoever has them is that machine.

    Raises OSError.
    """
    others = sorted({*node.facts.machines, *node.facts.etcd} - {node.facts.host})
    return [write_bundle(node.folder, node.identities, replace(node.facts, host=host)) for host in others]


def write_bundle(folder: Path, identities: Identities, facts: NodeFacts) -> Path:
    """What the machine of `facts` needs, into the folder of the node on this machine. Raises OSError."""
    private_folder(folder / BUNDLES)
    bundle = folder / BUNDLES / f"{facts.name}-{facts.host.strip('[]').replace(':', '_')}.zip"
    write_private(bundle, b"")
    with zipfile.ZipFile(bundle, "w") as files:
        files.writestr(FILE, facts_text(facts))
        for path in sorted(identities.folder.rglob("*")):
            within = path.relative_to(identities.folder)
            if path.is_file() and (facts.runs_services or within.parts[0] in OF_ETCD):
                files.write(path, Path(TLS) / within)
    return bundle


def _take(bundle: Path, folder: Path | None) -> None:
    with zipfile.ZipFile(bundle) as files:
        held = {each.filename: each for each in files.infolist()}
        if FILE not in held or sum(each.file_size for each in held.values()) > BUNDLE_BYTES_MAX:
            raise Taken(f"{bundle} is no bundle of a machine")
        home = folder or Path(bundle.stem.partition("-")[0])
        require_unused(home)
        private_folder(home)
        claim_format(home)
        for name in held:
            path = home / name
            if not path.resolve().is_relative_to(home.resolve()):
                raise Taken(f"{bundle} is no bundle of a machine")
            private_folder(path.parent)
            write_private(path, files.read(name))
    facts = read_facts(home)
    node = ControlPlane(home, facts)
    write_files(node)
    what = "the services, a gateway" if facts.runs_services else "a member of etcd"
    tell("node", f"{facts.name} has {what} on {facts.host}, in {node.folder}")
    target = f"suanmesh-{facts.name}.target"
    tell("start", f"suan node run {home}, or systemctl link {node.folder / UNITS}/* and start {target}")
