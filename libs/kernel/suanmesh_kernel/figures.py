"""Numbers among the facts of a sentence, in the units that people read: to the last one of what is counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

_SIZES = (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1))
_RATES = (("Gbit/s", 10**9), ("Mbit/s", 10**6), ("kbit/s", 10**3), ("bit/s", 1))
_SHORT = (("s", 10**6), ("ms", 10**3), ("µs", 1))
_LONG = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
_MINUTE_US = 60 * 10**6
_THOUSAND = 1000


class Figure(str):
    """A fact that a sentence may show as `{needed:size}`; one that is no whole number is shown as it is."""

    __slots__ = ()

    def __format__(self, kind: str) -> str:
        """Kinds: `size`, `rate`, `cores` of a thousandth, `money` of 10^-6, and times in `us`, `ms` and `s`."""
        return _KINDS[kind](int(self)) if kind and self.removeprefix("-").isdecimal() else str(self)


def _decimal(value: int, factor: int, digits: int) -> str:
    """`value / factor` with so many decimals at most."""
    scale: int = 10**digits
    scaled = (abs(value) * scale + factor // 2) // factor
    whole, rest = divmod(scaled, scale)
    return f"{'-' if value < 0 else ''}{whole}.{rest:0{digits}d}".rstrip("0").rstrip(".")


def _largest(value: int, units: tuple[tuple[str, int], ...]) -> str:
    """In the largest unit that needs no more than three decimals."""
    for unit, factor in units:
        thousandths = (value * _THOUSAND + factor // 2) // factor
        if value >= factor and abs(thousandths * factor - value * _THOUSAND) < _THOUSAND:
            return f"{_decimal(value, factor, 3)} {unit}"
    return f"{value} {units[-1][0]}"


def _time(microseconds: int) -> str:
    if microseconds < _MINUTE_US:
        return _largest(microseconds, _SHORT)
    left, parts = microseconds // 10**6, []
    for unit, factor in _LONG:
        count, left = divmod(left, factor)
        parts += [f"{count} {unit}"] if count else []
    return " ".join(parts)


_KINDS: Final[Mapping[str, Callable[[int], str]]] = {
    "size": lambda value: _largest(value, _SIZES),
    "rate": lambda value: _largest(value, _RATES),
    "cores": lambda value: _decimal(value, _THOUSAND, 3),
    "money": lambda value: f"{'-' if value < 0 else ''}{abs(value) // 10**6}.{abs(value) % 10**6:06d}",
    "us": _time,
    "ms": lambda value: _time(value * 10**3),
    "s": lambda value: _time(value * 10**6),
}
