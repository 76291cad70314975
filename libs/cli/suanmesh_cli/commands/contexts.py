"""`suan ctx`, `suan version` and `suan completion`."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from suanmesh_cli import output
from suanmesh_cli.layout import Column
from suanmesh_cli.lazy import Verbs
from suanmesh_cli.names import ContextName
from suanmesh_cli.session import Session, command, listing, reading
from suanmesh_cli.usage import Misuse
from suanmesh_client import contexts
from suanmesh_kernel.names import checked_id
from suanmesh_kernel.texts import Text

FILE = click.Path(exists=True, dir_okay=False, resolve_path=True)
COLUMNS = (
    Column("CURRENT", lambda each: each[1]),
    Column("CONTEXT", lambda each: each[0].name),
    Column("GATEWAY", lambda each: each[0].gateway),
    Column("NODE", lambda each: each[0].node, rank=1),
    Column("ACCOUNT", lambda each: each[0].account, rank=2),
)


class ShowByDefault(Verbs):
    """A group whose verb is `show` where none is given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """With the verb put in where the first word is none."""
        given = args and (not args[0].startswith("-") or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if given else ["show", *args])


@click.group(cls=ShowByDefault)
def ctx() -> None:
    """Contexts: which mesh is talked to, as whom. Without a verb, show the one in use."""


@ctx.command("show")
@reading
async def show_context(session: Session) -> None:
    """Show the context in use, where each value comes from, and which others there are."""
    used = session.context
    origins = dict(used.origins)
    values = {field: getattr(used, field) for field in contexts.FIELDS if getattr(used, field)}
    known = _known(session)
    if session.view.for_people and not session.view.as_table:
        rows = [(field, f"{value}  ({origins.get(field, '')})") for field, value in values.items()]
        told = [("context", used.name), *rows, ("known", ", ".join(known.contexts))]
        output.print_lines(output.facts(session.view, told))
    else:
        data = {"name": used.name, **values, "origins": origins, "contexts": list(known.contexts)}
        output.show_one(session.view, data, list, names=[used.name])


@ctx.command("list")
@listing
async def list_contexts(session: Session) -> None:
    """List the contexts of all files; `*` marks the one in use."""
    known = _known(session)
    used = session.context_name or session.environment.get("SUANMESH_CONTEXT") or known.current
    fields = ("name", *contexts.FIELDS)
    rows = [(each, "*" if each.name == used else "") for each in known.contexts.values()]
    output.show_list(
        session.view,
        "contexts",
        rows,
        COLUMNS,
        name=lambda row: str(row[0].name),
        data=lambda row: {field: getattr(row[0], field) for field in fields},
        current=used,
    )


@ctx.command("use")
@click.argument("name", type=ContextName())
@command
async def use_context(session: Session, name: str) -> None:
    """Use the context NAME from now on, as the nearest file says."""
    from suanmesh_cli import configfile

    known = _known(session)
    if name not in known.contexts:
        raise contexts.missing(name, known)
    path = contexts.current_file(known.files, session.environment)
    configfile.use(path, name)
    output.note(Text(f"{path}: current = {name}", f"{path}：当前上下文为 {name}").of(session.lang))


@ctx.command("add")
@click.argument("name")
@click.option("--gateway", required=True, metavar="HOST:PORT[,HOST:PORT...]", help="Where the mesh is reached.")
@click.option("--node", required=True, help="Name of the node, which the gateway's certificate must carry.")
@click.option("--ca", required=True, type=FILE, help="Certificate of the node's CA.")
@click.option("--cert", type=FILE, help="Your certificate.")
@click.option("--key", type=FILE, help="Its key.")
@click.option("--account", default="", help="Account that bills are shown of when none is given.")
@command
async def add_context(session: Session, name: str, account: str, **given: str | None) -> None:
    """Add the context NAME to your own file; the first one there is in use at once."""
    from suanmesh_cli import configfile

    checked_id(name, field="name")
    if bool(given["cert"]) != bool(given["key"]):
        raise Misuse(Text("--cert and --key go together.", "--cert 与 --key 须同时给出。"))
    values = {field: value for field, value in (*given.items(), ("account", account)) if value}
    contexts.require_usable(replace(contexts.Context(name), **values))  # type: ignore[arg-type]
    path = contexts.user_file(session.environment)
    configfile.add(path, name, values)
    output.note(Text(f"{path}: added {name}", f"{path}：已添加 {name}").of(session.lang))


@ctx.command("rm")
@click.argument("name", type=ContextName())
@command
async def remove_context(session: Session, name: str) -> None:
    """Remove the context NAME from the nearest file that has it."""
    from suanmesh_cli import configfile

    known = _known(session)
    path = next((path for path in known.files if name in contexts.load([path]).contexts), None)
    if path is None:
        raise contexts.missing(name, known)
    configfile.remove(path, name)
    output.note(Text(f"{path}: removed {name}", f"{path}：已删除 {name}").of(session.lang))


@click.command()
def version() -> None:
    """Print the version."""
    click.echo(metadata.version("suanmesh"))


@click.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def completion(shell: str) -> None:
    """Print the completion script of SHELL; `eval` it in the shell's start file. Names are those there are now."""
    root = click.get_current_context().find_root().command
    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(made(root, {}, "suan", "_SUAN_COMPLETE").source())


def _known(session: Session) -> contexts.Config:
    return contexts.load(contexts.files(session.environment, Path.cwd()))
