"""What the owner of a site lets others bring: whose, and how much of each and of all together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from suanmesh_agent.replicas import Replicas
from suanmesh_kernel.names import last
from suanmesh_kernel.owner_limits import OwnerLimits, WorkKind
from suanmesh_kernel.private import private_folder
from suanmesh_kernel.refusals import PermissionDenied, ResourceExhausted


class UploadLimits:
    """Keeps to them. What was brought is `uploads/<party>/<digest>` below the site's folder, with its size in it, for
    as long as the replica is there.
    """

    def __init__(self, replicas: Replicas, limits: OwnerLimits, own_party: Callable[[], str]) -> None:
        self._replicas = replicas
        self._limits = limits
        self._own_party = own_party
        self._folder = replicas.folder / "uploads"
        self._coming: dict[str, int] = defaultdict(int)

    @contextmanager
    def admitted(self, party: str, digest: str, size_bytes: int) -> Iterator[None]:
        """Within, an upload of a party counts as one. Raises PermissionDenied (`UPLOADS_REFUSED`), ResourceExhausted
        (`UPLOADS_TOO_LARGE`).
        """
        if party == self._own_party():
            yield
            return
        if no := self._limits.objection(party, [WorkKind.UPLOADS]):
            message = f"the owner of the site takes no data that {party} brings"
            raise PermissionDenied("UPLOADS_REFUSED", message, party=party, limit=no.code)
        kept = self._held()
        missing = 0 if digest in kept.get(last(party), {}) else size_bytes
        for who, most, held in (
            (party, self._limits.upload_party_bytes, sum(kept.get(last(party), {}).values()) + self._coming[party]),
            ("all parties", self._limits.upload_bytes, self._of_all(kept)),
        ):
            if most and held + missing > most:
                message = f"uploads of {who} may have {most} bytes at the site and have {held}: no room for {missing}"
                raise ResourceExhausted("UPLOADS_TOO_LARGE", message, party=party, max_bytes=most, held_bytes=held)
        self._coming[party] += missing
        try:
            yield
        finally:
            self._coming[party] -= missing

    def brought(self, party: str, digest: str, size_bytes: int) -> None:
        """It is here now. Raises OSError."""
        if party != self._own_party():
            folder = self._folder / last(party)
            private_folder(folder)
            (folder / digest).write_text(str(size_bytes))

    def _of_all(self, kept: dict[str, dict[str, int]]) -> int:
        return sum(sum(sizes.values()) for sizes in kept.values()) + sum(self._coming.values())

    def _held(self) -> dict[str, dict[str, int]]:
        """Sizes by digests, by the last part of each party's name; nothing where nobody bounds them."""
        if not (self._limits.upload_party_bytes or self._limits.upload_bytes) or not self._folder.is_dir():
            return {}
        held: dict[str, dict[str, int]] = {}
        for path in self._folder.glob("*/*"):
            if self._replicas.has(path.name):
                held.setdefault(path.parent.name, {})[path.name] = int(path.read_text() or 0)
            else:
                path.unlink(missing_ok=True)
        return held
