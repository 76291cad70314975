"""What a call meets when accounting has lost its lead while the call was under way."""

from __future__ import annotations

from pathlib import Path

import pytest

from suanmesh_accounting import ledger as sql
from suanmesh_accounting.ledger import Ledger
from suanmesh_kernel.refusals import Unavailable


async def test_a_ledger_that_is_closed_is_told_as_such(tmp_path: Path) -> None:
    """Usage that arrives during a failover must be sent again to the next leader, not be answered INTERNAL."""
    ledger = Ledger(sql.open_ledger(f"sqlite:///{tmp_path}/ledger"))
    await ledger.run(sql.standing_holds)
    await ledger.close()

    with pytest.raises(Unavailable, match="NOT_READY"):
        await ledger.run(sql.standing_holds)
