"""Commands that are written as one line: their words, or the shell that is to read them."""

from __future__ import annotations

import re
import shlex

SHELL = ("/bin/sh", "-ec")
"""The first command that fails ends it, as it ends a setup."""
_PIECE = re.compile(r"""\\.|'[^']*'|"(?:\\.|[^"\\])*"|.""", re.DOTALL)
"""A quotation, an escaped character, or one that stands for itself unless it is one of those below."""
_FILLED_IN = re.compile("[$`]")
_OPERATORS = frozenset(("\\\n", *"|&;<>()$`*?[\n"))
_AT_BEGIN = frozenset("~#")
_BUILTINS = frozenset((".", ":", "cd", "eval", "exec", "exit", "export", "set", "ulimit", "umask", "unset", "wait"))
"""What is no program: nothing but a shell can do it."""
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


def words_of(line: str) -> list[str]:
    """What runs `line`: its words; where it asks for what only a shell does, the shell with it.

    That is a pipe, a redirection, several commands, a variable or a pattern to be filled in, unless it is quoted.
    Raises ValueError where a quotation does not end.
    """
    line = line.strip()
    return [*SHELL, line] if needs_shell(line) else shlex.split(line)


def needs_shell(line: str) -> bool:
    """Whether something in a line means something to a shell, beside quotations of words."""
    line = line.strip()
    first = line.split(maxsplit=1)[0] if line else ""
    return first in _BUILTINS or bool(_ASSIGNMENT.match(first)) or _has_operator(line)


def _has_operator(line: str) -> bool:
    before = " "
    for piece in _PIECE.findall(line):
        if piece in _OPERATORS or (piece in _AT_BEGIN and before.isspace()):
            return True
        if piece[0] == '"' and _FILLED_IN.search(piece):
            return True
        before = piece
    return False
