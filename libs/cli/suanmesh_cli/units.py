"""Numbers as people write and read them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
BYTES |= {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
BYTES |= {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}
RATES = {"bit/s": 1, "kbit/s": 10**3, "Mbit/s": 10**6, "Gbit/s": 10**9}
RATES |= {"bps": 1, "kbps": 10**3, "Mbps": 10**6, "Gbps": 10**9}
SECONDS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}
MICROSECONDS = {"us": 1, "µs": 1, "ms": 10**3, "s": 10**6}

METER_UNITS = {1: "cpu·µs", 2: "MiB·s", 3: "mcard·s", 4: "B"}
METERS = {1: "cpu", 2: "memory", 3: "device", 4: "transfer"}
PRICE_UNITS = {
    (1, 1_000_000): "core·s",
    (1, 3_600_000_000): "core·h",
    (2, 1024): "GiB·s",
    (2, 1024 * 3600): "GiB·h",
    (3, 1000): "card·s",
    (3, 3_600_000): "card·h",
    (4, 1 << 20): "MiB",
    (4, 1 << 30): "GiB",
    (4, 10**9): "GB",
}


_PART = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([A-Za-zµ]+(?:/[a-z]+)?)\s*", re.ASCII)


def in_units(text: str, units: Mapping[str, int]) -> int | None:
    """The whole number of base units `text` stands for, such as `1.5 GiB` or `2h30m`; None where it stands for none."""
    amount = amount_in(text, units)
    return None if amount is None else _whole(amount)


def amount_in(text: str, units: Mapping[str, int]) -> Decimal | None:
    """The base units `text` stands for, with a fraction where it says so; None where it stands for none.

    Parts of a text are given from the largest unit to the smallest, each once. Units are known in any case, where no
    two differ by that alone.
    """
    known = {unit.casefold(): factor for unit, factor in units.items()}
    amount, end, last = Decimal(0), 0, 0
    while end < len(text):
        part = _PART.match(text, end)
        factor = known.get(part[2].casefold()) if part else None
        if part is None or factor is None or (last and factor >= last):
            return None
        amount, end, last = amount + Decimal(part[1]) * factor, part.end(), factor
    return amount if last and end == len(text) else None


def times(text: str, factor: int) -> int | None:
    """A decimal number such as `1.50` in base units, `factor` of which are one; None where that is not whole."""
    if not _NUMBER.fullmatch(text):
        return None
    return _whole(Decimal(text) * factor)


_NUMBER = re.compile(r"[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})", re.ASCII)


def _whole(amount: Decimal) -> int | None:
    return int(amount) if amount == int(amount) else None


def size(count: int) -> str:
    """Bytes, in binary multiples."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if count >= BYTES[unit]:
            return f"{count / BYTES[unit]:.1f} {unit}"
    return f"{count} B"


def rate(bps: int) -> str:
    """Bits per second."""
    for unit in ("Gbit/s", "Mbit/s", "kbit/s"):
        if bps >= RATES[unit]:
            return f"{bps / RATES[unit]:g} {unit}"
    return f"{bps} bit/s"


def duration_us(microseconds: int) -> str:
    """A duration in the two units that matter: none is in minutes that people count in days."""
    if microseconds < 1000:
        return f"{microseconds} µs"
    if microseconds < 1_000_000:
        return f"{microseconds / 1000:.1f} ms"
    if microseconds < 120_000_000:
        return f"{microseconds / 1_000_000:.2f} s"
    seconds = microseconds // 1_000_000
    if seconds < 2 * SECONDS["h"]:
        return f"{seconds // 60} min {seconds % 60} s"
    minutes = seconds // 60
    if seconds < 2 * SECONDS["d"]:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes // 60 % 24} h"


def money(micros: int, currency: str = "") -> str:
    """An amount with all its six digits: rounding is not the reader's to guess."""
    sign = "-" if micros < 0 else ""
    text = f"{sign}{abs(micros) // 1_000_000}.{abs(micros) % 1_000_000:06d}"
    return f"{text} {currency}" if currency else text


def price(meter: int, amount_micros: int, per_quantity: int) -> str:
    """A unit price: amount per unit."""
    unit = PRICE_UNITS.get((meter, per_quantity)) or f"{per_quantity} {METER_UNITS.get(meter, 'units')}"
    return f"{money(amount_micros)} / {unit}"


def cores(cpu_milli: int) -> str:
    """Milli-cores as cores."""
    return f"{cpu_milli / 1000:g}"


def short(name: str) -> str:
    """The last part of a name."""
    return name.rsplit("/", 1)[-1]
