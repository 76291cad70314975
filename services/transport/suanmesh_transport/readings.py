"""What Prometheus is shown of transfers: how many there are by state, and what they have brought to their targets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from suanmesh.transport.v1 import transfer_pb2
from suanmesh_store import Changed, Mirror
from suanmesh_telemetry import names
from suanmesh_telemetry.readings import Reading

_STATES = {value: name.removeprefix("STATE_") for name, value in transfer_pb2.Transfer.State.items() if value}


class TransferCounts:
    """Counts with every change of the mirror of transfers."""

    def __init__(self, transfers: Mirror[transfer_pb2.Transfer]) -> None:
        self._kept: dict[str, tuple[transfer_pb2.Transfer.State.ValueType, int]] = {}
        self._states: Counter[transfer_pb2.Transfer.State.ValueType] = Counter()
        self._brought = 0
        transfers.project(self)
        self._brought = 0  # what was brought before is not this process' to count

    def apply(self, changes: Sequence[Changed[transfer_pb2.Transfer]]) -> None:
        """Take in what changed."""
        for change in changes:
            state, done = self._kept.pop(change.name, (transfer_pb2.Transfer.STATE_UNSPECIFIED, 0))
            self._states[state] -= 1
            if change.held is not None:
                transfer = change.held.message
                there = max(transfer.progress.bytes_done, transfer.receipt.bytes_received)
                self._kept[change.name] = (transfer.state, there)
                self._states[transfer.state] += 1
                self._brought += max(0, there - done)

    def readings(self) -> Iterator[Reading]:
        """As of now."""
        for state, name in _STATES.items():
            yield Reading(names.TRANSFERS, self._states[state], (name,))
        yield Reading(names.TRANSFERRED, self._brought)
