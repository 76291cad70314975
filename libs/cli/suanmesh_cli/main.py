"""The entry point of `suan`. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from types import TracebackType

import click
from click.shell_completion import shell_complete

from suanmesh_cli import errors, output, usage
from suanmesh_cli.lazy import LazyGroup
from suanmesh_cli.names import ContextName
from suanmesh_cli.terminal import has_chinese, lend_stand_ins
from suanmesh_kernel.texts import Text

NAME = "suan"
COMPLETE = "_SUAN_COMPLETE"
INTERRUPTED = 130
WHERE_CHARS_MAX = 300
READER_GONE = 141
"""As a shell shows tools that SIGPIPE ends: what was to be said, such as how a job ended, has not been heard."""
ALIASES = {"dataset": "data"}
"""What a command was called before."""
COMMANDS = {
    "party": ("suanmesh_cli.commands.parties:party", "Parties: who takes part, and may."),
    "user": ("suanmesh_cli.commands.joining:user", "Users: invite them."),
    "login": ("suanmesh_cli.commands.joining:login", "Join a mesh as a user, with an invite."),
    "site": ("suanmesh_cli.commands.sites:site", "Sites: places with compute."),
    "pool": ("suanmesh_cli.commands.sites:pool", "Pools: the compute of a site that can be found."),
    "job": ("suanmesh_cli.commands.jobs:job", "Jobs: submit, watch, explain, cancel."),
    "data": ("suanmesh_cli.commands.data:data", "Data: folders to datasets at sites, and back."),
    "transfer": ("suanmesh_cli.commands.data:transfer", "Transfers: datasets on the way."),
    "link": ("suanmesh_cli.commands.network:link", "Links between sites, and their picture."),
    "path": ("suanmesh_cli.commands.paths:path", "Which way data takes, and why."),
    "reservation": ("suanmesh_cli.commands.network:reservation", "Bandwidth held on paths."),
    "account": ("suanmesh_cli.commands.money:account", "Accounts: open, credit, close."),
    "price": ("suanmesh_cli.commands.money:price", "Prices: in force, and before."),
    "bill": ("suanmesh_cli.commands.bills:bill", "What an account owes, line by line or summed."),
    "budget": ("suanmesh_cli.commands.budgets:budget", "What accounts have left, and until when it lasts."),
    "usage": ("suanmesh_cli.commands.books:usage", "What sites have measured and signed."),
    "hold": ("suanmesh_cli.commands.books:hold", "Money promised to placements."),
    "posting": ("suanmesh_cli.commands.books:posting", "Every side of every entry of the ledger."),
    "ledger": ("suanmesh_cli.commands.money:ledger", "All balances, and whether they add up to zero."),
    "trace": ("suanmesh_cli.commands.traces:trace", "Traces: what happened, span by span."),
    "trust": ("suanmesh_cli.commands.trust:trust", "Nodes that this one believes."),
    "explain": ("suanmesh_cli.commands.codes:explain", "What a code means, and what to do about it."),
    "dev": ("suanmesh_cli.commands.local:dev", "Run a whole mesh on this machine."),
    "doctor": ("suanmesh_cli.commands.local:doctor", "Say what this machine lacks."),
    "node": ("suanmesh_cli.commands.local:node", "A node on this machine: found, run, check."),
    "top": ("suanmesh_cli.commands.oncall:top", "A node at a glance, for who is on call."),
    "support-bundle": ("suanmesh_cli.commands.oncall:support_bundle", "Pack what a report on a node needs."),
    "ctx": ("suanmesh_cli.commands.contexts:ctx", "Contexts: which mesh is talked to, as whom."),
    "version": ("suanmesh_cli.commands.contexts:version", "Print the version."),
    "completion": ("suanmesh_cli.commands.contexts:completion", "Print the completion script of a shell."),
}

EPILOG = (
    "Exit status: 0 done; 1 failed; 2 usage or invalid input; 3 not found; 4 denied; 5 conflict or wrong state; "
    "6 not enough of something; 7 time ran out; 8 unavailable; 130 interrupted; 141 the reader of a pipe has gone."
)


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        click.echo(metadata.version("suanmesh"))
        ctx.exit()


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    aliases=ALIASES,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--context",
    "context_name",
    type=ContextName(),
    default="",
    metavar="NAME",
    help="Context to use, see `suan ctx list`.",
)
@click.option("--lang", type=click.Choice(("en", "zh")), default=None, help="Language of texts; by locale.")
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Print it.")
@click.pass_context
def suan(ctx: click.Context, context_name: str, lang: str | None) -> None:
    """Use an Internet of Computing: find a place for a job, run it there, pay for what was used."""
    told = {"SUANMESH_CONTEXT": context_name, "SUANMESH_LANG": lang or ""}
    ctx.obj = (ctx.obj or {}) | {name: value for name, value in told.items() if value}


def main() -> None:
    """Run `suan` and exit."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # noqa: TID251 - gRPC reads it at import and nowhere else
    environment = dict(os.environ)  # noqa: TID251 - the one place where the environment comes in
    if not environment.get("SUANMESH_TRACEBACK"):
        sys.excepthook = partial(_tell_defect, environment)
    sys.exit(status_of(sys.argv[1:], environment))


def status_of(arguments: list[str], environment: dict[str, str]) -> int:
    """Do what the arguments say; whatever goes wrong has been said on standard error."""
    lend_stand_ins()
    lang = _language(arguments, environment)
    try:
        status = _done(arguments, environment, lang)
        sys.stdout.flush()
    except BrokenPipeError:
        _give_up_output()
        return READER_GONE
    except OSError as fault:
        _give_up_output()
        with suppress(OSError):
            output.warn(errors.failed(fault, lang))
        return 1
    return status


def _language(arguments: list[str], environment: dict[str, str]) -> str:
    """What is said on standard error in."""
    return usage.language(environment, usage.flagged_language(arguments)) if has_chinese(sys.stderr) else "en"


def _tell_defect(
    environment: dict[str, str], kind: type[BaseException], fault: BaseException, trace: TracebackType | None
) -> None:
    """Say that it is no mistake of whoever typed it, and how to learn more; Python ends with status 1 then."""
    lang = _language(sys.argv[1:], environment)
    if issubclass(kind, KeyboardInterrupt):  # before anything was begun
        output.note("已中断" if lang == "zh" else "interrupted")
        return
    where = f"{kind.__name__}: {fault}"[:WHERE_CHARS_MAX]
    output.note(f"{errors.ERROR.of(lang)}: DEFECT: {where}")
    told = Text(
        "  fix: This is a defect of suan, or an answer that it does not understand: compare `suan version` with the "
        "node's. SUANMESH_TRACEBACK=1 shows where it happened, for a report.",
        "  处置: 这是 suan 的缺陷，或它不理解的应答：请将 `suan version` 与节点的版本比较。"
        "SUANMESH_TRACEBACK=1 显示出错位置，以便报告。",
    )
    output.note(told.of(lang))


def _done(arguments: list[str], environment: dict[str, str], lang: str) -> int:
    """Not by click's own `main`, which takes it upon itself what a closed pipe means."""
    try:
        usage.require_encoding(arguments)
        if instruction := environment.get(COMPLETE):
            return shell_complete(suan, {"obj": environment}, NAME, COMPLETE, instruction)
        with _help_in(lang), suan.make_context(NAME, list(arguments), obj=environment) as ctx:
            suan.invoke(ctx)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as wrong:
        usage.show(wrong, lang)
        return wrong.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("已中断" if lang == "zh" else "interrupted", err=True)
        return INTERRUPTED
    return 0


def _help_in(lang: str) -> AbstractContextManager[None]:
    """Have help written in Chinese where that is wanted and can be read; nothing is loaded for it else."""
    if lang != "zh" or not has_chinese(sys.stdout):
        return nullcontext()
    from suanmesh_cli.helping import in_chinese

    return in_chinese()


def _give_up_output() -> None:
    """What is still in the buffer goes nowhere; Python would complain at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
