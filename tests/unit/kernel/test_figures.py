"""Numbers in sentences: as people read them, and exact."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_kernel.figures import Figure

UNITS = {"TiB": 1 << 40, "GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "B": 1}


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("{0:cores}", {"4000": "4", "222": "0.222", "1": "0.001", "0": "0", "99500": "99.5"}),
        ("{0:size}", {"0": "0 B", "8589934592": "8 GiB", "134742016": "128.5 MiB", "1023": "1023 B"}),
        ("{0:rate}", {"999999": "999.999 kbit/s", "7500000000": "7.5 Gbit/s"}),
        ("{0:money}", {"292": "0.000292", "-1500000": "-1.500000"}),
        ("{0:ms}", {"60000": "1 min", "4351": "4.351 s", "9000000": "2 h 30 min"}),
        ("{0:us}", {"9": "9 µs", "10700": "10.7 ms"}),
        ("{0:s}", {"172800": "2 d", "?": "?", "x": "x"}),
        ("{0}", {"60000": "60000"}),
    ],
)
def test_a_number_is_told_in_units_that_people_read(sentence: str, told: dict[str, str]) -> None:
    """Nobody sees at a glance that 137438953472 bytes are more than 8589934592."""
    assert {number: sentence.format(Figure(number)) for number in told} == told


@given(st.integers(0, 1 << 52))
def test_no_two_sizes_are_told_alike_that_stand_in_the_way(size: int) -> None:
    """`needs 64 MiB, has 64 MiB free` would explain nothing."""
    number, unit = f"{Figure(size):size}".split()
    assert abs(float(number) * UNITS[unit] - size) < 1
