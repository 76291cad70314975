"""What an agent keeps belongs to one node, and its journal to no older program than the one that wrote it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from suanmesh_agent.journal import VERSION, Journal
from suanmesh_agent.replicas import Replicas
from suanmesh_store.soundness import StoreRefused


def test_a_journal_goes_on_with_its_node_and_with_no_other(tmp_path: Path) -> None:
    """Usage of one node would be sent to another, and placements of the first be ended as unknown."""
    for _ in range(2):
        with closing(Journal(tmp_path / "agent.db")) as journal:
            journal.belong("one")
    with closing(Journal(tmp_path / "agent.db")) as journal, pytest.raises(StoreRefused) as refused:
        journal.belong("other")
    assert refused.value.reason == "STORE_OF_ANOTHER_NODE"


def test_content_goes_on_with_its_node_and_with_no_other(tmp_path: Path) -> None:
    """With a journal that was begun anew, what one node's users keep here would be served and swept as another's."""
    for _ in range(2):
        Replicas(tmp_path).belong("one")
    with pytest.raises(StoreRefused) as refused:
        Replicas(tmp_path).belong("other")
    assert refused.value.reason == "STORE_OF_ANOTHER_NODE"
    assert Replicas(tmp_path).digests() == []


def test_a_journal_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    """An older agent would bill by half of what the newer one wrote down."""
    Journal(tmp_path / "agent.db").close()
    with closing(sqlite3.connect(tmp_path / "agent.db")) as newer:
        newer.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(StoreRefused) as refused:
        Journal(tmp_path / "agent.db")
    assert refused.value.reason == "STORE_TOO_NEW"
