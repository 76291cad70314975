"""What Prometheus is shown of a site by its agent."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from suanmesh_agent.domain.stages import Stage
from suanmesh_agent.journal import Journal
from suanmesh_telemetry import names
from suanmesh_telemetry.readings import Reading


def site_readings(journal: Journal, folder: Path) -> Iterator[Reading]:
    """Placements by their stage, and the room on the disk of the agent's folder."""
    stages = journal.stages()
    for stage in Stage:
        yield Reading(names.PLACEMENTS, stages.get(stage, 0), (stage.name,))
    yield Reading(names.DISK_FREE, shutil.disk_usage(folder).free)
