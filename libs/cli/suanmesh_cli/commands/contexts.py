"""`suan ctx`, `suan version` and `suan completion`."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from suanmesh_cli import config, output
from suanmesh_cli.session import Session, command


@click.command()
@command
async def ctx(session: Session) -> None:
    """Show the context in use, where each value comes from, and which others there are."""
    used = session.context
    origins = dict(used.origins)
    values = {field: getattr(used, field) for field in config.FIELDS if getattr(used, field)}
    known = config.load(config.files(session.environment, Path.cwd()))
    if session.view.for_people:
        rows = [(field, f"{value}  ({origins.get(field, '')})") for field, value in values.items()]
        told = [("context", used.name), *rows, ("known", ", ".join(known.contexts))]
        output.print_lines(output.facts(session.view, told))
    else:
        data = {"name": used.name, **values, "origins": origins, "contexts": list(known.contexts)}
        output.show_data(session.view, data, names=[used.name])


@click.command()
def version() -> None:
    """Print the version."""
    click.echo(metadata.version("suanmesh"))


@click.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def completion(shell: str) -> None:
    """Print the completion script of SHELL; `eval` it in the shell's start file."""
    root = click.get_current_context().find_root().command
    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(made(root, {}, "suan", "_SUAN_COMPLETE").source())
