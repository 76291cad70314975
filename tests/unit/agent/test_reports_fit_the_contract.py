"""What an agent reports fits the contract, whatever a task has made it say."""

from __future__ import annotations

import pytest

from suanmesh.scheduler.v1.scheduler_service_pb2 import ReportTasksRequest, TaskReport
from suanmesh.type.v1.state_reason_pb2 import StateReason as Message
from suanmesh_chassis.bounds import require_within
from suanmesh_kernel.reasons import DETAIL, StateReason
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_sdk.state_reasons import reason_to

LONG = "算" * 5000 + "\n"
PATHS = [LONG, "a\0b", "over\ntwo lines", "\udcff not UTF-8"]


@pytest.mark.parametrize("path", PATHS, ids=["long", "zero", "lines", "bytes"])
def test_a_reason_that_quotes_a_path_is_taken(path: str) -> None:
    """A report that breaks the contract is refused whole: the placement would never end, and others wait behind it."""
    reason = reason_to(StateReason("OUTPUT_INVALID", {DETAIL: path}))
    require_within(ReportTasksRequest(reports=[TaskReport(reason=reason)]))


def test_uncut_it_would_not_be() -> None:
    """Else the test above would say nothing."""
    reason = Message(code="OUTPUT_INVALID", facts={DETAIL: LONG})
    with pytest.raises(InvalidArgument, match=r"reports\[0\]\.reason"):
        require_within(ReportTasksRequest(reports=[TaskReport(reason=reason)]))
