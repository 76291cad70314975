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
FOLDER = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))


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
@click.pass_context
def dev(ctx: click.Context, sites: int, replicas: int, data_dir: Path | None) -> None:
    """Run a whole mesh on this machine until Ctrl-C: etcd, every service, and a few sites."""
    require_extra("server")
    from suanmesh_local import launcher

    ctx.exit(launcher.dev(sites, data_dir, replicas))


@click.command()
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Say what this machine lacks for a mesh, and what to do about it."""
    require_extra("agent")
    from suanmesh_local import doctor as examination

    ctx.exit(examination.main())


@click.group(cls=Verbs)
def node() -> None:
    """A node on this machine: found it, run it, and look at what it keeps."""


@node.command()
@click.argument("name")
@click.option(
    "--advertise", required=True, metavar="HOST", help="Name or address at which users and sites reach its gateway."
)
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
def init(ctx: click.Context, name: str, advertise: str, port: int, folder: Path | None, currency: str) -> None:
    """Found the node NAME: authority, identities, etcd with its users, settings, and systemd units."""
    require_extra("server")
    from suanmesh_local import founding_nodes

    ctx.exit(founding_nodes.main(name, advertise, port, folder or Path(name), currency))


@node.command("run")
@FOLDER
@click.pass_context
def run_node(ctx: click.Context, folder: Path) -> None:
    """Run the node that was founded in FOLDER until Ctrl-C: etcd and every service."""
    require_extra("server")
    from suanmesh_local import launcher

    ctx.exit(launcher.run(folder))


@node.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("build/dev"))
@click.pass_context
def check(ctx: click.Context, folder: Path) -> None:
    """Look at a node's FOLDER: addresses, certificates, stores; say what is wrong, and what to do."""
    require_extra("server")
    from suanmesh_local import check as reading

    ctx.exit(reading.main(folder))
