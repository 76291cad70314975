"""The authorities of a node in a folder: one that issues, and while it is replaced a second that is trusted beside it.

The first lies in the folder itself, each that follows in one named by its number, with the time of its turn.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from suanmesh_chassis.ca import LEAF_DAYS, Issued, NodeCa
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.private import private_folder, write_private
from suanmesh_kernel.rotations import Rotation, issuing, trusted

TURN = "rotation.json"
LOOK_S = 1.0
"""How often it is looked whether another authority was made, at most, in seconds."""


class UnderWay(Exception):
    """One authority is taking the place of another still; says until when."""


@dataclass(frozen=True, slots=True)
class _Known:
    authorities: tuple[NodeCa, ...]
    rotations: tuple[Rotation, ...]


class Authorities:
    """What a node issues with and trusts, as of now: another process may begin a rotation while this one runs."""

    def __init__(self, known: _Known, clock: Clock, folder: Path | None = None) -> None:
        self._known = known
        self._clock = clock
        self._folder = folder
        self._look_at = clock.monotonic() + LOOK_S

    @classmethod
    def of(cls, ca: NodeCa, clock: Clock) -> Authorities:
        """One authority, for good."""
        return cls(_Known((ca,), ()), clock)

    @classmethod
    def load(cls, folder: Path, clock: Clock) -> Authorities:
        """Raises OSError, and ValueError where the files are something else."""
        return cls(_read(folder, clock), clock, folder)

    @property
    def issuing(self) -> NodeCa:
        """The one that issues now."""
        known = self._looked()
        return known.authorities[issuing(known.rotations, self._clock.now())]

    @property
    def trusted(self) -> Sequence[NodeCa]:
        """Those that are trusted now, the oldest first."""
        known = self._looked()
        return [known.authorities[index] for index in trusted(known.rotations, self._clock.now())]

    @property
    def pem(self) -> bytes:
        """The certificates of those that are trusted."""
        return b"".join(each.pem for each in self.trusted)

    @property
    def rotation(self) -> Rotation | None:
        """The turn that is under way; None where none is."""
        rotations = self._looked().rotations
        return rotations[-1] if rotations and self._clock.now() < rotations[-1].alone_from else None

    def issue(self, spiffe_id: str, hosts: Sequence[str] = (), *, days: float = LEAF_DAYS) -> Issued:
        """As of `NodeCa`, with all that are trusted."""
        return replace(self.issuing.issue(spiffe_id, hosts, days=days), ca=self.pem)

    def issue_etcd_root(self, *, days: float = LEAF_DAYS) -> Issued:
        """As of `NodeCa`, with all that are trusted."""
        return replace(self.issuing.issue_etcd_root(days=days), ca=self.pem)

    def _looked(self) -> _Known:
        if self._folder is not None and self._clock.monotonic() >= self._look_at:
            self._look_at = self._clock.monotonic() + LOOK_S
            if len(_turns(self._folder)) != len(self._known.rotations):
                self._known = _read(self._folder, self._clock)
        return self._known


def rotate(folder: Path, node: str, clock: Clock, overlap: timedelta) -> Rotation:
    """Make the next authority of a node. Raises UnderWay where the last one has not had its turn yet, and OSError."""
    known = Authorities.load(folder, clock)
    if under_way := known.rotation:
        raise UnderWay(f"an authority is being replaced until {under_way.alone_from:%Y-%m-%d %H:%M:%S} UTC")
    forget(folder, clock)
    turn, number = Rotation.begun(clock.now(), overlap), len(_turns(folder)) + 2
    fresh = folder / f"{number}.new"
    private_folder(fresh)
    NodeCa.create(node, clock).save(fresh)
    said = {"issues_from": turn.issues_from.isoformat(), "alone_from": turn.alone_from.isoformat()}
    write_private(fresh / TURN, json.dumps(said).encode())
    fresh.rename(folder / str(number))
    return turn


def forget(folder: Path, clock: Clock) -> None:
    """Remove the keys of authorities that are trusted no more."""
    turns = _turns(folder)
    for at in range(trusted([turn for _, turn in turns], clock.now()).start):
        home = folder if at == 0 else turns[at - 1][0]
        (home / "ca.key").unlink(missing_ok=True)


def _turns(folder: Path) -> list[tuple[Path, Rotation]]:
    found = sorted((each for each in folder.iterdir() if each.name.isdecimal()), key=lambda each: int(each.name))
    return [(each, _turn(each / TURN)) for each in found]


def _turn(file: Path) -> Rotation:
    said = json.loads(file.read_text())
    return Rotation(datetime.fromisoformat(said["issues_from"]), datetime.fromisoformat(said["alone_from"]))


def _read(folder: Path, clock: Clock) -> _Known:
    turns = _turns(folder)
    rotations = tuple(turn for _, turn in turns)
    first = trusted(rotations, clock.now()).start
    homes = [folder, *(home for home, _ in turns)]
    # Of those that are trusted no more nobody needs the key, and it may be gone.
    loaded = [NodeCa.load(home, clock) for home in homes[first:]]
    return _Known((loaded[0],) * first + tuple(loaded), rotations)
