"""What is listed of the books: nothing is not said of what is mistyped."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from click.testing import CliRunner, Result

from suanmesh.accounting.v1.account_pb2 import Account
from suanmesh.accounting.v1.accounting_service_pb2 import ListHoldsResponse, ListPostingsResponse, ListUsageResponse
from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh_cli.main import suan
from suanmesh_kernel.refusals import NotFound

UNKNOWN = {
    "GetAccount": NotFound("ACCOUNT_UNKNOWN", "no account accounts/nosuch"),
    "GetJob": NotFound("JOB_UNKNOWN", "no job jobs/nosuch"),
}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("hold", "list", "--account", "nosuch"), "ACCOUNT_UNKNOWN"),
        (("posting", "list", "--account", "nosuch"), "ACCOUNT_UNKNOWN"),
        (("usage", "list", "--job", "nosuch"), "JOB_UNKNOWN"),
    ],
    ids=lambda each: each[0] if isinstance(each, tuple) else each,
)
async def test_an_account_or_a_job_that_is_mistyped_has_no_empty_books(
    serve: Any, tls: Any, words: tuple[str, ...], reason: str
) -> None:
    """Who looks whether money is still held, and mistypes the account, is told that nothing is."""
    oracle = await serve()
    environment = {"SUANMESH_GATEWAY": oracle.address, "SUANMESH_NODE": "demo", "SUANMESH_CONFIG": "/dev/null"}
    environment |= {"SUANMESH_CA": str(tls.ca), "SUANMESH_CERT": str(tls.cert), "SUANMESH_KEY": str(tls.key)}

    async def run() -> Result:
        return await asyncio.to_thread(CliRunner().invoke, suan, list(words), obj=environment)

    empty = {"ListHolds": ListHoldsResponse(), "ListPostings": ListPostingsResponse(), "ListUsage": ListUsageResponse()}
    oracle.answers |= {**empty, **UNKNOWN}
    unknown = await run()
    oracle.answers |= {"GetAccount": Account(name="accounts/nosuch"), "GetJob": Job(name="jobs/nosuch")}
    empty_indeed = await run()

    assert (unknown.exit_code, reason in unknown.stderr) == (3, True)
    assert (empty_indeed.exit_code, empty_indeed.stderr) == (0, "")
