"""The SQL stores of a node, moved out of files of its machine into PostgreSQL, which several machines reach."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.exc import SQLAlchemyError

from suanmesh_accounting.ledger.moving import forget_ledger, move_ledger, require_no_ledger
from suanmesh_local.store_copies import LEDGER, Place
from suanmesh_store.moving import NotEmpty
from suanmesh_store.records.moving import forget_records, move_records, require_no_records
from suanmesh_store.soundness import StoreCorrupt

ASIDE = "-moved"
"""Behind the name of a file whose store has been moved, which is kept and read by nobody."""


class MoveFailed(Exception):
    """A store could not be moved; says on one line why. Those that are there stay as they were."""


def require_room(places: Sequence[Place], url: str) -> None:
    """Raise MoveFailed unless the database at `url` is reached, and has none of these stores."""
    try:
        for place in places:
            if place.area == LEDGER:
                require_no_ledger(url)
            else:
                require_no_records(url, place.area)
    except (NotEmpty, SQLAlchemyError, ValueError) as fault:
        raise MoveFailed(_said(fault)) from fault


def move_stores(places: Sequence[Place], url: str) -> None:
    """Make each store at `url` out of the file that it is in; all of them or none. Raises MoveFailed."""
    made: list[Place] = []
    try:
        for place in places:
            if place.area == LEDGER:
                move_ledger(place.url, url)
            else:
                move_records(place.url, url, place.area)
            made.append(place)
    except (NotEmpty, SQLAlchemyError, StoreCorrupt, ValueError, OSError) as fault:
        take_back(made, url)
        raise MoveFailed(_said(fault)) from fault


def take_back(places: Sequence[Place], url: str) -> None:
    """Remove stores that were made by `move_stores` and that nobody has used. Raises MoveFailed."""
    try:
        for place in places:
            if place.area == LEDGER:
                forget_ledger(url)
            else:
                forget_records(url, place.area)
    except SQLAlchemyError as fault:
        raise MoveFailed(_said(fault)) from fault


def set_aside(places: Sequence[Place]) -> None:
    """Have nobody take the files for stores in use. Raises OSError."""
    for place in places:
        if place.path is not None:
            for file in place.path.parent.glob(f"{place.path.name}*"):
                file.rename(file.with_name(file.name + ASIDE))


def _said(fault: Exception) -> str:
    """On one line, without the statement that met it."""
    told = getattr(fault, "orig", None) or fault
    return str(told).strip().partition("\n")[0]
