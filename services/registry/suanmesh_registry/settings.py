"""Settings of the registry, from `SUANMESH_REGISTRY_<FIELD>`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from suanmesh_chassis.ca import LEAF_DAYS, USER_DAYS
from suanmesh_kernel.permission import LOST_AFTER_S_MIN
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_kernel.revocations import KEPT_DAYS
from suanmesh_registry.domain.caps import Caps
from suanmesh_registry.domain.liveness import Bounds


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """What the registry is told."""

    ca_dir: Path = Path("build/dev/ca")
    """Folder with the node's certificate authorities."""
    certificate_days: float = LEAF_DAYS
    """How long the certificate of a service or an agent is good, days; each renews after two thirds of it."""
    user_certificate_days: float = USER_DAYS
    """How long a user's certificate is good, days; the user's own programs renew it after two thirds of it."""
    signing_key_days: float = 90
    """How long a signing key of a site is good, days; its agent registers the next after two thirds of it."""
    alive_lease_s: float = 5
    """TTL of an agent's lease once this process no longer keeps it, seconds."""
    report_silence_s: float = 5
    """An agent that has not reported for this long has its lease ended, seconds."""
    suspect_after_s: float = 2
    """How long after its lease lapsed a site is still taken for alive, seconds; covers a restart of ours."""
    lost_after_s: float = 30
    """How long after its lease lapsed a site counts as lost, seconds; what it may run without hearing us follows from
    it (`suanmesh_kernel.permission`): 24 s for 30 s."""
    mass_lost_after_s: float = 120
    """The same where many lapse at once, seconds."""
    mass_share: float = 0.5
    """Share of all sites that counts as many, 0 to 1."""
    tick_s: float = 0.5
    """How often liveness is judged at least, seconds."""

    site_pools_max: int = 100
    """Pools a site may have; one report of its agent tells of as many."""
    party_sites_max: int = 1000
    """Sites a party may have."""
    party_tokens_max: int = 1000
    """Join tokens of a party that are remembered; each is until a day after it lapsed."""
    parties_max: int = 10_000
    """Parties the node may have."""

    def __post_init__(self) -> None:
        if not self.lost_after_s >= LOST_AFTER_S_MIN:
            problem = f"lost_after_s: at least {LOST_AFTER_S_MIN:.1f}, or sites could not run anything safely"
            raise InvalidArgument("FIELD_INVALID", problem, field="lost_after_s")
        for name in ("certificate_days", "user_certificate_days"):
            if not 0 < getattr(self, name) <= KEPT_DAYS:
                problem = f"{name}: above 0 and at most {KEPT_DAYS:g}, for as long as revocations are remembered"
                raise InvalidArgument("FIELD_INVALID", problem, field=name)
        if not self.mass_lost_after_s >= self.lost_after_s:
            problem = f"mass_lost_after_s: at least lost_after_s, {self.lost_after_s:g}"
            raise InvalidArgument("FIELD_INVALID", problem, field="mass_lost_after_s")

    def caps(self) -> Caps:
        """How many of each thing there may be."""
        return Caps(self.site_pools_max, self.party_sites_max, self.party_tokens_max, self.parties_max)

    def bounds(self) -> Bounds:
        """The bounds liveness is judged by."""
        return Bounds(self.suspect_after_s, self.lost_after_s, self.mass_lost_after_s, self.mass_share)
