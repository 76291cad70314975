"""Amounts as a program reads them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from suanmesh_client.money import exact


@pytest.mark.parametrize(
    ("micros", "written"), [(430, "0.000430"), (0, "0.000000"), (1_500_000, "1.500000"), (-1, "-0.000001")]
)
def test_an_amount_is_written_as_the_command_line_writes_it(micros: int, written: str) -> None:
    """Two bills of the same money, compared as text, must be the same."""
    assert (str(exact(micros)), exact(micros)) == (written, Decimal(micros) / 1_000_000)
