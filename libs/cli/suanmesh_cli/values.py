"""Values of columns and facts: how each is shown to people, sorted, and exported."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal

from google.protobuf.timestamp_pb2 import Timestamp

from suanmesh.type.v1.state_reason_pb2 import StateReason
from suanmesh_cli import units
from suanmesh_cli.render.states import because

FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""What formulas begin with, in Chinese input too."""
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with the words people read it in, such as 1536 and `1.5 KiB`."""

    number: int | Decimal
    words: str


def money(micros: int, currency: str = "") -> Quantity:
    """An amount, to the last of its six digits."""
    return Quantity(Decimal(micros).scaleb(-6), units.money(micros, currency))


def stamp(text: str) -> Timestamp:
    """A time as data tells it, RFC 3339; that of nothing is empty."""
    made = Timestamp()
    if text:
        made.FromJsonString(text)
    return made


def size(count: int) -> Quantity:
    """Bytes, in binary multiples."""
    return Quantity(count, units.size(count))


def unless_zero(number: int) -> Quantity:
    """A number that people see only where it is not zero."""
    return Quantity(number, str(number) if number else "")


def rate(bps: int) -> Quantity:
    """Bits per second."""
    return Quantity(bps, units.rate(bps))


def duration_us(microseconds: int) -> Quantity:
    """A duration."""
    return Quantity(microseconds, units.duration_us(microseconds))


Cell = str | int | Quantity | Timestamp | StateReason
"""What a column shows. Numbers stand to the right; times are shown in the reader's zone, reasons in his language."""
Facts = list[tuple[str, Cell]]
"""Names and values, one a line; empty values are not shown."""


def words(cell: Cell, lang: str, zone: tzinfo | None) -> str:
    """As people read it; times in `zone`, None for the one of this machine."""
    match cell:
        case Timestamp():
            return moment(cell, zone)
        case StateReason():
            return because(cell, lang)
        case Quantity():
            return cell.words
        case _:
            return str(cell)


def exported(cell: Cell, lang: str) -> str:
    """As a program reads it: bare numbers, times in UTC after RFC 3339, and no text that a spreadsheet reckons with."""
    match cell:
        case Timestamp():
            return cell.ToJsonString() if cell.seconds else ""
        case StateReason():
            return inert(because(cell, lang))
        case Quantity():
            return f"{cell.number:f}" if isinstance(cell.number, Decimal) else str(cell.number)
        case int():
            return str(cell)
        case _:
            return inert(cell)


def inert(text: str) -> str:
    """`text`, with an apostrophe before what a spreadsheet takes for a formula: others write it, finance opens it."""
    return f"'{text}" if text.startswith(FORMULA) and not _NUMBER.fullmatch(text) else text


def order(cell: Cell) -> tuple[int, int | Decimal | str]:
    """What it is sorted by: numbers by size before texts, times by time, reasons by code."""
    match cell:
        case Timestamp():
            return (0, cell.ToNanoseconds())
        case StateReason():
            return (1, cell.code)
        case Quantity():
            return (0, cell.number)
        case int():
            return (0, cell)
        case _:
            return (1, cell)


def is_number(cell: Cell) -> bool:
    """Whether it stands to the right."""
    return isinstance(cell, int | Quantity)


def moment(stamp: Timestamp, zone: tzinfo | None = None) -> str:
    """A time to the second, in UTC with a `Z`, for None in the zone of this machine; empty where there is none."""
    if not stamp.seconds:
        return ""
    text = datetime.fromtimestamp(stamp.seconds, UTC).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
    return text + "Z" if zone is UTC else text
