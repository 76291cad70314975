"""Why a path is the one: what else there is between its ends, and what each link on the way gives."""

from __future__ import annotations

from dataclasses import dataclass

from suanmesh_network_orchestrator.domain.paths import NoPath, Path, Query, fastest_path, find_path, widest_path
from suanmesh_network_orchestrator.domain.topology import Topology


@dataclass(frozen=True, slots=True)
class Explanation:
    """What was found, beside the ends of what there is whatever the bounds; None where no links join them."""

    found: Path | NoPath
    fastest: Path | None
    widest: Path | None

    @property
    def links(self) -> tuple[str, ...]:
        """The links of all of them by name, each once."""
        paths = [path for path in (self.found, self.fastest, self.widest) if isinstance(path, Path)]
        return tuple(sorted({link for path in paths for link in path.links}))


def explained(topology: Topology, query: Query) -> Explanation:
    """The cheapest path within the bounds or what stands in its way, the fastest of all, and the widest of all."""
    return Explanation(find_path(topology, query), fastest_path(topology, query), widest_path(topology, query))
