"""What Prometheus is shown of a site by its agent."""

from __future__ import annotations

from collections.abc import Iterator

from suanmesh_agent.domain.stages import Stage
from suanmesh_agent.journal import Journal
from suanmesh_telemetry import names
from suanmesh_telemetry.readings import Reading


def site_readings(journal: Journal) -> Iterator[Reading]:
    """Placements by their stage."""
    stages = journal.stages()
    for stage in Stage:
        yield Reading(names.PLACEMENTS, stages.get(stage, 0), (stage.name,))
