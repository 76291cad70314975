"""A leader that froze within a transaction has what the next one waits for."""

from __future__ import annotations

from typing import Any

from sqlalchemy import exc, text

from suanmesh_store.databases import BETWEEN_S, WAIT_S, open_engines


def test_the_next_leader_writes_although_one_froze_within_a_transaction(postgres: Any) -> None:
    """PostgreSQL sees no end of its connection: nothing could be booked until the machine is switched off."""
    url = postgres.new_database()
    frozen, next_one = (open_engines(url, "a test", application=f"t{n}", between_s=BETWEEN_S) for n in range(2))
    write = text("UPDATE held SET by = by + 1")
    with frozen.making_tables() as connection:
        connection.execute(text("CREATE TABLE held AS SELECT 0 AS by"))
    left = frozen.writing.connect()
    left.execute(write)
    try:
        with next_one.writing.begin() as connection:
            connection.execute(write)
            assert connection.execute(text("SELECT by FROM held")).scalar() == 1
        try:
            left.commit()
        except exc.DBAPIError:
            left.invalidate()
        else:
            raise AssertionError("what froze has committed, and others wait for less than it may take")
    finally:
        left.close()
        frozen.dispose()
        next_one.dispose()
    assert BETWEEN_S < WAIT_S
