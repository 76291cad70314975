"""`suan dev`, `suan doctor` and `suan node`."""

from __future__ import annotations

from pathlib import Path

import click

from suanmesh_cli.lazy import Verbs
from suanmesh_cli.usage import require_extra

SITES_MAX = 8
"""Places that the launcher knows; it is not imported for a help text."""
REPLICAS_MAX = 5
GATEWAY_PORT = 7443
OVERLAP_DAYS = 30.0
"""As long as the certificates of users are good."""
FOLDER = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
IDENTITY = click.option(
    "--identity",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="File with the key that opens an encrypted backup.",
)


@click.command()
@click.option(
    "--sites", type=click.IntRange(1, SITES_MAX), default=3, show_default=True, help="How many sites to start."
)
@click.option(
    "--replicas",
    type=click.IntRange(1, REPLICAS_MAX),
    default=1,
    show_default=True,
    help="How many processes of each service but the gateway: one leads, all answer reads.",
)
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Folder that holds everything.")
@click.option(
    "--slurm", is_flag=True, help="Let the first site run its tasks on a Slurm that is started for it (root)."
)
@click.pass_context
def dev(ctx: click.Context, sites: int, replicas: int, data_dir: Path | None, slurm: bool) -> None:
    """Run a whole mesh on this machine until Ctrl-C: etcd, every service, and a few sites."""
    require_extra("server")
    from suanmesh_local import launcher

    ctx.exit(launcher.dev(sites, data_dir, replicas, slurm=slurm))


@click.command()
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Say what this machine lacks for a mesh, and what to do about it; of contexts, and of nodes and sites whose
    folders are here, whether they are reached.
    """
    require_extra("agent")
    from suanmesh_agent.joining import directions_of
    from suanmesh_local import doctor as examination

    ctx.exit(examination.main(directions_of))


@click.group(cls=Verbs)
def node() -> None:
    """A node on this machine: found it, run it, and look at what it keeps."""


@node.command()
@click.argument("name")
@click.option(
    "--advertise",
    required=True,
    metavar="HOST[,HOST...]",
    help="Names or addresses at which users and sites reach its gateways, this machine's first.",
)
@click.option("--etcd", default="", metavar="HOST,HOST,HOST", help="Machines that run etcd, if there are several.")
@click.option("--sql", default="", metavar="URL", help="postgresql:// database of all services; else files here.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=GATEWAY_PORT, show_default=True, help="Port of the gateway."
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder that holds everything; NAME if not given.",
)
@click.option("--currency", default="CNY", show_default=True, help="ISO 4217 code of what the operator accounts in.")
@click.pass_context
def init(
    ctx: click.Context, name: str, advertise: str, etcd: str, sql: str, port: int, folder: Path | None, currency: str
) -> None:
    """Found the node NAME: authority, identities, etcd with its users, settings, and systemd units.

    On several machines, the services run on each that --advertise names; each but this one takes the bundle that is
    made for it with `suan node join-machine`.
    """
    require_extra("server")
    from suanmesh_local import founding_nodes

    hosts, members = (tuple(each.strip() for each in text.split(",") if each.strip()) for text in (advertise, etcd))
    home = folder or Path(name)
    ctx.exit(
        founding_nodes.main(home, name=name, hosts=hosts or ("",), port=port, currency=currency, etcd=members, sql=sql)
    )


@node.command("join-machine")
@click.argument("bundle", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder that holds everything; the node's name if not given.",
)
@click.pass_context
def join_machine(ctx: click.Context, bundle: Path, folder: Path | None) -> None:
    """Make this machine one of a node's with the BUNDLE that `suan node init` made for it."""
    require_extra("server")
    from suanmesh_local import machines

    ctx.exit(machines.main(bundle, folder))


@node.command("add-machine")
@FOLDER
@click.argument("host")
@click.option("--services/--no-services", default=True, show_default=True, help="Whether it runs every service.")
@click.option("--etcd/--no-etcd", default=True, show_default=True, help="Whether it runs a member of etcd.")
@click.option(
    "--sql", default="", metavar="URL", help="Empty postgresql:// database to which stores in files are moved first."
)
@click.pass_context
def add_machine(ctx: click.Context, folder: Path, host: str, services: bool, etcd: bool, sql: str) -> None:
    """Add the machine that is reached at HOST to the node in FOLDER, and make its bundle; done again, anew.

    A node that was founded for one machine is made one of several first, and stands still for some seconds.
    """
    require_extra("server")
    if not services and not etcd:
        raise click.UsageError("a machine that runs neither the services nor etcd is none of the node's")
    from suanmesh_local import changing_machines

    ctx.exit(changing_machines.add(folder, host, services=services, etcd=etcd, sql=sql))


@node.command("list-machines")
@FOLDER
@click.pass_context
def list_machines(ctx: click.Context, folder: Path) -> None:
    """List the machines of the node in FOLDER, and what answers there."""
    require_extra("server")
    from suanmesh_local import changing_machines

    ctx.exit(changing_machines.show(folder))


@node.command("remove-machine")
@FOLDER
@click.argument("host")
@click.pass_context
def remove_machine(ctx: click.Context, folder: Path, host: str) -> None:
    """Take the machine HOST, alive or dead, out of the node in FOLDER: its services end, then its member of etcd."""
    require_extra("server")
    from suanmesh_local import changing_machines

    ctx.exit(changing_machines.remove(folder, host))


@node.command()
@FOLDER
@click.pass_context
def prepare(ctx: click.Context, folder: Path) -> None:
    """Give etcd its users and the operator its party, once systemd has started the machines of the node in FOLDER."""
    require_extra("server")
    from suanmesh_local import launcher

    ctx.exit(launcher.prepare(folder))


@node.command("run")
@FOLDER
@click.pass_context
def run_node(ctx: click.Context, folder: Path) -> None:
    """Run the node that was founded in FOLDER until Ctrl-C: etcd and every service."""
    require_extra("server")
    from suanmesh_local import launcher

    ctx.exit(launcher.run(folder))


@node.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("build/dev"))
@IDENTITY
@click.pass_context
def check(ctx: click.Context, folder: Path, identity: Path | None) -> None:
    """Look at a node's FOLDER, or at a backup: addresses, certificates, stores; say what is wrong, and what to do."""
    require_extra("server")
    from suanmesh_local import check as reading

    ctx.exit(reading.main(folder, identity))


@node.command()
@FOLDER
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--recipient",
    "recipients",
    multiple=True,
    metavar="KEY",
    help="Public key (age1...) of who may open it; TARGET then is one encrypted file. May be given several times.",
)
@click.pass_context
def backup(ctx: click.Context, folder: Path, target: Path, recipients: tuple[str, ...]) -> None:
    """Save the node in FOLDER, which may run, as the new folder TARGET: etcd, every store, identities, settings."""
    require_extra("server")
    from suanmesh_local import backing_up

    ctx.exit(backing_up.main(folder, target, recipients))


@node.command("backup-key")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.pass_context
def backup_key(ctx: click.Context, file: Path) -> None:
    """Make a key that opens encrypted backups, as the new FILE, and say to whom they are to be encrypted."""
    require_extra("server")
    from suanmesh_local import backing_up

    ctx.exit(backing_up.new_key(file))


@node.command()
@FOLDER
@click.pass_context
def upgrade(ctx: click.Context, folder: Path) -> None:
    """Renew the services of the node that runs in FOLDER as they are installed now, one by one, standbys first."""
    require_extra("server")
    from suanmesh_local import upgrading

    ctx.exit(upgrading.main(folder))


@node.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@FOLDER
@click.option("--advertise", default="", metavar="HOST", help="Where the gateway is reached from now on.")
@IDENTITY
@click.pass_context
def restore(ctx: click.Context, source: Path, folder: Path, advertise: str, identity: Path | None) -> None:
    """Make the node that was saved as SOURCE in the new folder FOLDER; the one that was saved must not run any more."""
    require_extra("server")
    from suanmesh_local import restoring

    ctx.exit(restoring.main(source, folder, advertise, identity))


@node.command("rotate")
@FOLDER
@click.option(
    "--overlap",
    type=click.FloatRange(min=0, min_open=True),
    default=OVERLAP_DAYS,
    show_default=True,
    metavar="DAYS",
    help="How long both are trusted before the next one issues, and as long again afterwards: as long as certificates "
    "are good at least.",
)
@click.pass_context
def rotate(ctx: click.Context, folder: Path, overlap: float) -> None:
    """Put another authority in the place of that of the node in FOLDER, while it runs; everybody renews meanwhile."""
    require_extra("server")
    from suanmesh_local import rotating

    ctx.exit(rotating.main(folder, overlap))
