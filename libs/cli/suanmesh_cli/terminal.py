"""What may reach a terminal: nothing that commands it, and nothing that it cannot show."""

from __future__ import annotations

import codecs
import os
import re
import sys
from dataclasses import dataclass
from typing import Final, TextIO

from suanmesh_kernel.texts import COMMANDING, with_escapes

STAND_IN: Final = "suanmesh.stand-in"
"""Name of the error handler of `str.encode` that puts something readable in the place of what an encoding lacks."""
_STAND_INS: Final = str.maketrans({
    "→": "->", "←": "<-", "↔": "<->", "×": "x", "µ": "u", "·": ".", "…": "...", "≥": ">=", "≤": "<=", "–": "-",
    "—": "-", "‘": "'", "’": "'",
})  # fmt: skip
_DIGITS_MAX: Final = 9
WIDTH: Final = 80
"""Cells of a line of a terminal that does not say."""
_ESCAPES: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_COLOURS: Final = re.compile(r"\x1b\[[0-9;:]*m")
_COLOUR_BEGUN: Final = re.compile(r"\x1b(\[[0-9;:]{0,40})?\Z")


@dataclass(frozen=True, slots=True)
class Terminal:
    """What standard output leads to."""

    width: int | None = None
    """Cells of a line; None where it is no terminal and lines are as long as they are."""
    encoding: str = "utf-8"
    colour: bool = False
    moves: bool = False
    """Whether what stands there can be written over."""

    @property
    def unicode(self) -> bool:
        """Whether it shows every character."""
        return is_unicode(self.encoding)

    def shown(self, text: str) -> str:
        """`text` on one line, safe and in characters that there are."""
        return shown_in(self.encoding, safe(text))


def found(stream: TextIO, environment: dict[str, str]) -> Terminal:
    """What `stream` leads to; `COLUMNS`, `NO_COLOR` and `TERM=dumb` are heeded."""
    encoding = stream.encoding or "utf-8"
    if not stream.isatty():
        return Terminal(encoding=encoding)
    told = environment.get("COLUMNS", "")[:_DIGITS_MAX]
    width = int(told) if told.isdecimal() and int(told) else width_of(stream)
    moves = environment.get("TERM") != "dumb"
    return Terminal(width, encoding, moves and not environment.get("NO_COLOR"), moves)


def width_of(stream: TextIO) -> int | None:
    """Cells of a line of the terminal that `stream` leads to; None where it leads to none."""
    try:
        return (os.get_terminal_size(stream.fileno()).columns or WIDTH) if stream.isatty() else None
    except OSError:
        return WIDTH


def shown_in(encoding: str, text: str) -> str:
    """`text` with a stand-in for each character that `encoding` lacks, and for those that are wider in some."""
    if text.isascii() or is_unicode(encoding):
        return text
    return text.translate(_STAND_INS).encode(encoding, "replace").decode(encoding)


def is_unicode(encoding: str) -> bool:
    """Whether `encoding` has every character."""
    return encoding.lower().replace("_", "-").startswith("utf")


def has_chinese(stream: TextIO) -> bool:
    """Whether texts in Chinese can be read there."""
    try:
        "算网".encode(stream.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def safe(text: str) -> str:
    """`text` with everything escaped that commands a terminal, breaks the line, turns the writing, or is not seen."""
    return with_escapes(text, escaped)


def escaped(character: str) -> str:
    """`\\n`, `\\x1b`, `\\u202e` and the like."""
    number = ord(character)
    if number > 0xFFFF:
        return f"\\U{number:08x}"
    return _ESCAPES.get(character) or (f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}")


def lend_stand_ins() -> None:
    """From now on the standard streams show a stand-in for what their encoding lacks, instead of failing.

    One that whoever started us has closed leads nowhere: it must not be the next file that is opened.
    """
    for name, fd in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            _lead_nowhere(name, fd)
    codecs.register_error(STAND_IN, _stand_in)
    for stream in (sys.stdout, sys.stderr):
        if not is_unicode(stream.encoding or "utf-8") and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=STAND_IN)


def _lead_nowhere(name: str, fd: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null != fd:
        os.dup2(null, fd)
        os.close(null)
    setattr(sys, name, open(fd, "r" if fd == 0 else "w", encoding="utf-8", closefd=False))  # noqa: SIM115 - for good


def _stand_in(fault: UnicodeError) -> tuple[str, int]:
    if not isinstance(fault, UnicodeEncodeError):
        raise fault
    lacking = fault.object[fault.start : fault.end].translate(_STAND_INS)
    return "".join(each if each.isascii() else "?" for each in lacking), fault.end


class LogText:
    """A log as a terminal may have it, piece by piece: lines and tabs stay, colours go, all else is escaped.

    A carriage return, with which progress bars write over themselves, begins a new line.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._rest = ""

    def text_of(self, piece: bytes, *, final: bool = False) -> str:
        """What can be shown after this piece; the last one is `final`."""
        text = self._rest + self._decoder.decode(piece, final)
        begun = None if final else _COLOUR_BEGUN.search(text)
        end = begun.start() if begun else len(text) - (not final and text.endswith("\r"))
        text, self._rest = text[:end], text[end:]
        text = _COLOURS.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
        return COMMANDING.sub(lambda found: found[0] if found[0] in "\n\t" else escaped(found[0]), text)
