"""Datasets: what may be published, and where copies of it lie."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from suanmesh_kernel.names import checked_id, checked_name, last
from suanmesh_kernel.refusals import AlreadyExists, FailedPrecondition, InvalidArgument, PermissionDenied

DIGEST = re.compile(r"[0-9a-f]{64}")
BYTES_MAX = 2**60
FILES_MAX = 100_000
RESIDENCY_MAX = 16
RESIDENCY_CHARS_MAX = 63


class ReplicaState(Enum):
    """Where a replica stands; values are those of the contract."""

    PARTIAL = 1
    COMPLETE = 2


@dataclass(frozen=True, slots=True)
class Replica:
    """A copy at a site."""

    site: str
    state: ReplicaState
    update_time: datetime


@dataclass(frozen=True, slots=True)
class Dataset:
    """Named, content-addressed data and its copies, sorted by site."""

    name: str
    party: str
    digest: str
    size_bytes: int
    files: int
    residency: tuple[str, ...]
    replicas: tuple[Replica, ...]
    create_time: datetime

    def replica_at(self, site: str) -> Replica | None:
        """The copy at a site, whole or not."""
        return next((replica for replica in self.replicas if replica.site == site), None)

    def complete_at(self, site: str) -> bool:
        """Whether the whole of it lies at a site."""
        replica = self.replica_at(site)
        return replica is not None and replica.state is ReplicaState.COMPLETE

    def is_the_same_as(self, other: Dataset) -> bool:
        """Whether the other has the same content and owner."""
        return (self.digest, self.party) == (other.digest, other.party)

    @property
    def complete_sites(self) -> tuple[str, ...]:
        """Sites that have the whole of it, by name."""
        return tuple(replica.site for replica in self.replicas if replica.state is ReplicaState.COMPLETE)


def published(dataset_id: str, given: Dataset, site: str, now: datetime) -> Dataset:
    """A new dataset whose first replica is complete at `site`.

    Raises InvalidArgument (`FIELD_INVALID`).
    """
    checked_id(dataset_id, field="dataset_id")
    checked_name(given.party, "parties", field="dataset.party")
    if not DIGEST.fullmatch(given.digest):
        raise _invalid("dataset.digest", "it is not 64 lower-case hex digits")
    if not 0 <= given.size_bytes <= BYTES_MAX:
        raise _invalid("dataset.bytes", f"{given.size_bytes} is not within 0 to {BYTES_MAX}")
    if not 0 <= given.files <= FILES_MAX:
        raise _invalid("dataset.files", f"{given.files} is not within 0 to {FILES_MAX}")
    labels = given.residency
    if len(labels) > RESIDENCY_MAX or any(not 0 < len(label) <= RESIDENCY_CHARS_MAX for label in labels):
        problem = f"at most {RESIDENCY_MAX} labels of 1 to {RESIDENCY_CHARS_MAX} characters"
        raise _invalid("dataset.residency", problem)
    fresh = replace(given, name=f"datasets/{dataset_id}", replicas=(), create_time=now)
    return with_replica(fresh, site, ReplicaState.COMPLETE, now)


def require_publisher(
    fresh: Dataset, standing: Dataset | None, site: str, *, site_party: str, publishers: Iterable[str]
) -> None:
    """Raise PermissionDenied (`NOT_OWNER`) unless `site` may publish `fresh` of its own accord."""
    repeats = standing is not None and standing.complete_at(site)
    if not repeats and fresh.party != site_party and site not in publishers:
        raise PermissionDenied(
            "NOT_OWNER",
            f"{site} of {site_party or 'no known party'} may not publish for {fresh.party}, which does not name it "
            "among its publishers",
            name=fresh.name,
            party=fresh.party,
            site=site,
        )


def republished(standing: Dataset, given: Dataset, now: datetime) -> Dataset:
    """What `standing` becomes when `given` is published under its name: itself, with the replica added.

    Raises AlreadyExists (`DATASET_EXISTS`) where the name has other content or another owner.
    """
    if not standing.is_the_same_as(given):
        raise AlreadyExists(
            "DATASET_EXISTS",
            f"{standing.name} is taken by other content",
            name=standing.name,
            digest=standing.digest,
        )
    for site in given.complete_sites:
        standing = with_replica(standing, site, ReplicaState.COMPLETE, now)
    return standing


def with_replica(dataset: Dataset, site: str, state: ReplicaState, now: datetime) -> Dataset:
    """The dataset with a copy at `site`; one that is whole stays whole."""
    standing = dataset.replica_at(site)
    if standing is not None and (standing.state is state or standing.state is ReplicaState.COMPLETE):
        return dataset
    others = [replica for replica in dataset.replicas if replica.site != site]
    return replace(dataset, replicas=_sorted([*others, Replica(site, state, now)]))


def require_residency(dataset: Dataset, target: str, residency: tuple[str, ...]) -> None:
    """Raises FailedPrecondition (`RESIDENCY_DENIED`) where data at `target` would lie outside of what is allowed."""
    if dataset.residency and not (residency and set(residency) <= set(dataset.residency)):
        raise FailedPrecondition(
            "RESIDENCY_DENIED",
            f"{dataset.name} must stay within {', '.join(dataset.residency)}; {target} lies in "
            f"{', '.join(residency) or 'no declared jurisdiction'}",
            name=dataset.name,
            site=target,
        )


def _sorted(replicas: Iterable[Replica]) -> tuple[Replica, ...]:
    return tuple(sorted(replicas, key=lambda replica: last(replica.site)))


def _invalid(field: str, problem: str) -> InvalidArgument:
    return InvalidArgument("FIELD_INVALID", f"{field}: {problem}", field=field)
