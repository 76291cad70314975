"""What an agent reports fits the contract, whatever a task has made it say."""

from __future__ import annotations

import pytest

from suanmesh.scheduler.v1.scheduler_service_pb2 import ReportTasksRequest, TaskReport
from suanmesh_agent.wire import reason_to
from suanmesh_chassis.bounds import require_within
from suanmesh_kernel.refusals import InvalidArgument

LONG = "OUTPUT_INVALID: " + "算" * 5000 + "\n"
PATHS = [LONG, "OUTPUT_INVALID: a\0b", "FETCH_FAILED: over\ntwo lines"]


@pytest.mark.parametrize("text", PATHS, ids=["long", "zero", "lines"])
def test_a_reason_that_quotes_a_path_is_taken(text: str) -> None:
    """A report that breaks the contract is refused whole: the placement would never end, and others wait behind it."""
    require_within(ReportTasksRequest(reports=[TaskReport(reason=reason_to(text))]))


def test_uncut_it_would_not_be() -> None:
    """Else the test above would say nothing."""
    with pytest.raises(InvalidArgument, match=r"reports\[0\]\.reason"):
        require_within(ReportTasksRequest(reports=[TaskReport(reason=LONG)]))
