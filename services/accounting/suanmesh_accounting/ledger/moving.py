"""Moves a ledger from a file into PostgreSQL."""

from __future__ import annotations

from suanmesh_accounting.ledger import tables as t
from suanmesh_accounting.ledger.migrations import STEPS, unnumbered
from suanmesh_accounting.ledger.sql import WHAT
from suanmesh_store.databases import open_engines
from suanmesh_store.migrations import bring_up
from suanmesh_store.moving import move_rows, require_empty

MOVER = "suanmesh-move"


def move_ledger(source: str, target: str) -> None:
    """Make the ledger at `target`, a URL of PostgreSQL, out of the one at `source`, which nobody writes.

    All or nothing. Raises NotEmpty where there is one, and as engines do.
    """
    there, here = open_engines(target, WHAT, application=MOVER), open_engines(source, WHAT, application=MOVER)
    try:
        with here.making_tables() as connection:
            bring_up(connection, WHAT, t.metadata, STEPS, unnumbered)
        with there.making_tables() as connection:
            require_empty(connection, t.accounts, WHAT)
            bring_up(connection, WHAT, t.metadata, STEPS, unnumbered)
            move_rows(here, connection, [each for each in t.metadata.sorted_tables if each is not t.schema])
    finally:
        here.dispose()
        there.dispose()


def require_no_ledger(target: str) -> None:
    """Raise NotEmpty where there is a ledger at `target`, and as engines do where that is not reached."""
    there = open_engines(target, WHAT, application=MOVER)
    try:
        with there.reading.connect() as connection:
            require_empty(connection, t.accounts, WHAT)
    finally:
        there.dispose()


def forget_ledger(target: str) -> None:
    """Take back what `move_ledger` has made."""
    there = open_engines(target, WHAT, application=MOVER)
    try:
        with there.making_tables() as connection:
            t.metadata.drop_all(connection)
    finally:
        there.dispose()
