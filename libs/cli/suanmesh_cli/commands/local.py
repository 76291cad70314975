"""`suan dev` and `suan doctor`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--sites", type=click.IntRange(1, 16), default=3, show_default=True, help="How many sites to start.")
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Folder that holds everything.")
@click.pass_context
def dev(ctx: click.Context, sites: int, data_dir: Path | None) -> None:
    """Run a whole mesh on this machine until Ctrl-C: etcd, every service, and a few sites."""
    from suanmesh_local import launcher

    ctx.exit(launcher.main(sites, data_dir))


@click.command()
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Say what this machine lacks for a mesh, and what to do about it."""
    from suanmesh_local import doctor as examination

    ctx.exit(examination.main())
