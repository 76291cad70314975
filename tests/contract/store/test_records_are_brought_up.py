"""Records of an older version open as those of this one, with everything that was in them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from record_datasets import DATASETS, OTHERS, apply, names, put

from suanmesh_kernel.clock import HandClock, seeded_rng
from suanmesh_store.records import open_records

FIRST = (Path(__file__).parent / "records_of_version_1.sql").read_text()


async def test_what_the_first_version_kept_is_there_and_goes_on(tmp_path: Path) -> None:
    """A job that was submitted before an upgrade must be known after it, and its request still be answered once."""
    with sqlite3.connect(tmp_path / "records") as made:
        made.executescript(FIRST)
    made.close()
    for turn in range(2):
        records = open_records(
            f"sqlite:///{tmp_path}/records", "transport", (DATASETS, OTHERS), HandClock(), seeded_rng(1)
        )
        own = await records.identity()
        assert (own.node, own.fence, own.node_id, own.number) == ("demo", 5, "", 0)
        assert await names(records) == ["datasets/d", "datasets/e"]
        found = (await records.get_many(DATASETS, ["datasets/d"]))["datasets/d"].message
        found.bytes += 1
        await apply(records, put(found), fence=5)
        assert found.bytes == 4 + turn
        await records.close()
