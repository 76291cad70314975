"""A group whose commands are imported when they are called, so that `suan --help` costs no imports."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from suanmesh_cli.usage import Misuse
from suanmesh_kernel.texts import Text

ELSEWHERE = {
    **dict.fromkeys(("ls", "ps", "queue", "squeue"), ("list", "job list")),
    **dict.fromkeys(("get", "describe", "info", "inspect", "cat"), ("show",)),
    "status": ("show", "doctor"),
    **dict.fromkeys(("delete", "del", "remove", "rm"), ("rm", "remove", "cancel", "close", "revoke")),
    **dict.fromkeys(("stop", "kill", "abort", "scancel"), ("cancel", "drain", "job cancel")),
    **dict.fromkeys(
        ("run", "start", "launch", "create", "new", "apply", "sbatch", "submit"),
        ("submit", "create", "add", "put", "declare", "set", "invite", "job submit"),
    ),
    **dict.fromkeys(("upload", "push"), ("put",)),
    **dict.fromkeys(("download", "pull", "fetch"), ("get",)),
    "log": ("logs",),
    "why": ("explain",),
    "publish": ("set",),
    "token": ("invite",),
    "topology": ("link topology",),
    "use": ("ctx use",),
    "help": ("--help",),
}
"""What other command lines call a command, and what it may be called here: the first that a group has is meant."""


def meant(word: str, names: Sequence[str]) -> str:
    """Which of `names` a word may stand for: what other tools call so, else what is written much like it; else ""."""
    for other in ELSEWHERE.get(word, ()):
        if other.startswith("-") or other.partition(" ")[0] in names:
            return other
    return next(iter(difflib.get_close_matches(word, names, n=1)), "")


class Verbs(click.Group):
    """A group that says which command may have been meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one may have been meant."""
        name, names = args[0] if args else "", self.list_commands(ctx)
        if name and name not in names and not name.startswith("-"):
            close = meant(name, names)
            raise Misuse(
                Text(
                    f"No such command {name!r}." + (f" Did you mean {close!r}?" if close else ""),
                    f"没有命令 {name!r}。" + (f"是否指 {close!r}？" if close else ""),
                ),
                ctx,
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """In Chinese by the whole texts: click would cut the English ones first."""
        brief = getattr(formatter, "brief", None)
        if brief is None:
            super().format_commands(ctx, formatter)
            return
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, brief(command.help or "")) for name, command in found if command is not None])


class LazyGroup(Verbs):
    """Commands given as `name: ("module:attribute", "one line of help")`."""

    def __init__(
        self, *args: Any, lazy: Mapping[str, tuple[str, str]], aliases: Mapping[str, str] | None = None, **kwargs: Any
    ) -> None:
        """`aliases` are other names of commands; no list shows them."""
        super().__init__(*args, **kwargs)
        self._lazy = lazy
        self._aliases = aliases or {}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Also by another name."""
        return super().resolve_command(ctx, [self._aliases.get(args[0], args[0]), *args[1:]] if args else args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order they were given in: what a newcomer needs first comes first."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import it now."""
        if cmd_name not in self._lazy:
            return None
        module, _, attribute = self._lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """From the given lines, without importing anything; then the options."""
        found = [
            CompletionItem(name, help=line) for name, (_, line) in self._lazy.items() if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the given lines, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self._lazy.items()])
