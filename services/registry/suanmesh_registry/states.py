"""What agents report of their pools, told to whoever asks again and again as far as it is new to them."""

from __future__ import annotations

from suanmesh.registry.v1 import registry_service_pb2 as pb
from suanmesh_registry.catalogue import Catalogue

STATES_PAGE = 1000
"""States and names of silent pools in one answer."""


def states_after(
    catalogue: Catalogue, term: str, resume_token: str, *, page: int = STATES_PAGE
) -> pb.ReadPoolStatesResponse:
    """The states that have changed since a token; all of them where it is not one of this term, or is too old."""
    log = catalogue.reported
    lineage = f"{term}.{log.generation}"
    of, _, number = resume_token.rpartition(".")
    known = of == lineage and number.isdecimal() and log.reaches(int(number))
    names, reached, more = log.after(int(number) if known else 0, page)
    states = {name: catalogue.state(name) for name in names}
    return pb.ReadPoolStatesResponse(
        reset=not known,
        states=[state for state in states.values() if state is not None],
        silent=[name for name, state in states.items() if state is None],
        resume_token=f"{lineage}.{reached}",
        more=more,
    )
