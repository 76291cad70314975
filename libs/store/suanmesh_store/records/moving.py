"""Moves the records of an area from a file into PostgreSQL, with every index that they have."""

from __future__ import annotations

from sqlalchemy import text

from suanmesh_store.databases import open_engines
from suanmesh_store.migrations import bring_up
from suanmesh_store.moving import move_rows, require_empty
from suanmesh_store.records import tables as t
from suanmesh_store.records.sql import WHAT

MOVER = "suanmesh-move"


def move_records(source: str, target: str, area: str) -> None:
    """Make the records of `area` at `target`, a URL of PostgreSQL, out of those at `source`, which nobody writes.

    All or nothing. Raises NotEmpty where there are some, and as engines do.
    """
    there = open_engines(target, WHAT, application=MOVER, schema=schema_of(area))
    here = open_engines(source, WHAT, application=MOVER)
    try:
        with here.making_tables() as connection:
            bring_up(connection, WHAT, t.metadata, t.STEPS, lambda _: 0)
        with there.making_tables() as connection:
            require_empty(connection, t.state, f"{WHAT} of {area}")
            bring_up(connection, WHAT, t.metadata, t.STEPS, lambda _: 0)
            move_rows(here, connection, [each for each in t.metadata.sorted_tables if each is not t.schema])
    finally:
        here.dispose()
        there.dispose()


def require_no_records(target: str, area: str) -> None:
    """Raise NotEmpty where there are records of `area` at `target`, and as engines do where that is not reached."""
    there = open_engines(target, WHAT, application=MOVER, schema=schema_of(area))
    try:
        with there.reading.connect() as connection:
            require_empty(connection, t.state, f"{WHAT} of {area}")
    finally:
        there.dispose()


def forget_records(target: str, area: str) -> None:
    """Take back what `move_records` has made."""
    there = open_engines(target, WHAT, application=MOVER)
    try:
        with there.making_tables() as connection:
            connection.execute(text(f"DROP SCHEMA IF EXISTS {schema_of(area)} CASCADE"))
    finally:
        there.dispose()


def schema_of(area: str) -> str:
    """The schema of PostgreSQL that an area's records lie in."""
    return f"suanmesh_{area}"
