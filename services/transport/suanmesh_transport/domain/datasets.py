"""Datasets: what may be published, and where copies of it lie."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum

from suanmesh_kernel.names import LABEL_PATTERN, checked_id, checked_name, last, of_version, versioned
from suanmesh_kernel.refusals import AlreadyExists, FailedPrecondition, InvalidArgument, PermissionDenied

DIGEST = re.compile(r"[0-9a-f]{64}")
BYTES_MAX = 2**60
FILES_MAX = 100_000
RESIDENCY_MAX = 16
RESIDENCY_CHARS_MAX = 63
JOBS_TOLD_MAX = 5
"""Jobs that a refusal names."""


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
    """One version of named, content-addressed data and its copies, sorted by site."""

    name: str
    party: str
    digest: str
    size_bytes: int
    files: int
    residency: tuple[str, ...]
    replicas: tuple[Replica, ...]
    create_time: datetime
    labels: Mapping[str, str] = field(default_factory=dict)
    version: int = 1
    versions: int = 1
    """The highest version there has been of it."""

    @property
    def pinned(self) -> str:
        """The name of this version: `datasets/d@2`."""
        return of_version(self.name, self.version)

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
    require_labels(given.labels)
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


def require_labels(labels: Mapping[str, str]) -> None:
    """Raise InvalidArgument (`FIELD_INVALID`) for a key that no filter could name; the contract bounds the rest."""
    for key in labels:
        if not LABEL_PATTERN.fullmatch(key):
            raise _invalid("labels", f"{key[:80]!r} is not lower-case letters, digits and underscores, a letter first")


def numbered(dataset: Dataset, version: int) -> Dataset:
    """The dataset as its version of that number, the highest there has been."""
    return replace(dataset, version=version, versions=version)


def next_version(standing: Dataset, given: Dataset) -> Dataset:
    """What becomes the newest version after `standing`: bounds and labels that are not given are taken over."""
    fresh = numbered(given, standing.versions + 1)
    return replace(fresh, labels=given.labels or standing.labels, residency=given.residency or standing.residency)


def republished(standing: Dataset, given: Dataset, now: datetime, *, by_placement: bool = False) -> Dataset:
    """What `standing` becomes when `given` is published under its name: itself, with the replica added, or the next
    version where the content is other.

    Raises AlreadyExists (`DATASET_EXISTS`) where the name has another owner, and where a placement made other content:
    its results have names of their own.
    """
    if standing.party == given.party and standing.digest != given.digest and not by_placement:
        return next_version(standing, given)
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


def covers(name: str, pinned: str) -> bool:
    """Whether `name`, a dataset or one version of it, means the version `pinned` too."""
    return pinned == name or versioned(pinned)[0] == name


def require_unused(name: str, jobs: Iterable[str]) -> None:
    """Raise FailedPrecondition (`DATASET_IN_USE`) where there are jobs that have not ended and need it."""
    if using := sorted(set(jobs)):
        some = ", ".join(using[:JOBS_TOLD_MAX]) + ("" if len(using) <= JOBS_TOLD_MAX else f" and {len(using)} in all")
        message = f"{name} is read or made by jobs that have not ended: {some}"
        raise FailedPrecondition("DATASET_IN_USE", message, name=name, jobs=some)


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
