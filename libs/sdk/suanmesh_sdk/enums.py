"""Values of the contracts' enumerations by name."""

from __future__ import annotations

from typing import Any


def enum_name(enum: Any, value: int, prefix: str) -> str:
    """The name of a value of `enum` without `prefix`, such as `DONE`; its number where it is of a newer contract."""
    known = enum.DESCRIPTOR.values_by_number.get(value)
    return str(known.name).removeprefix(prefix) if known else str(value)
