"""Who may do what, to whose things: made from what the contracts declare, for every method, caller and owner.

Every method has a row, a call about things of the party `demo` and of the first site. Whoever the contract lets call
and see them is served; whoever it does not let call is told so; whoever may call but is a stranger to them meets what
they would meet if nothing of it existed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from google.protobuf.descriptor import MethodDescriptor

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.scheduler.v1 import job_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler
from suanmesh.type.v1 import semantics_pb2
from tests.mesh.asking import BY_TICKET, ROWS, Identity, World, a_world
from tests.mesh.calling import METHODS, Answer, semantics_of

pytestmark = [pytest.mark.mesh, pytest.mark.asyncio(loop_scope="module")]

MARKS = (b"parties/demo", b"accounts/demo", b"jobs/secret", b"datasets/secret")
"""What no answer to a stranger may hold, whatever they ask about."""
OWN = semantics_pb2.OWNERSHIP_OWN
NOT_FOR_ROLE = {"ROLE_DENIED"}
HIDDEN_CODES = {"NOT_FOUND", "PERMISSION_DENIED"}
NOT_SIGNED = {"DESCRIPTOR_SIGNATURE_INVALID", "SIGNING_KEY_INVALID", "USAGE_SIGNATURE_INVALID"}
"""What a site says is signed; in another's name it is no word of that site's."""
CODE_NAMES = {5: "NOT_FOUND", 7: "PERMISSION_DENIED", 16: "UNAUTHENTICATED"}


OF_ONE_THING = {"ListTasks", "ListDatasetVersions"}
"""Lists of what belongs to one job or dataset: whoever may not see that is told of none."""
LISTS = {
    m.name for _, m in METHODS if semantics_of(m).ownership == OWN and m.name.startswith("List")
} - OF_ONE_THING | {
    "GetMeteringState",  # lists of the works asked about those that the caller's own site has told of
    "AwaitCalls",  # lists the calls to the caller's own site
}
OF_THE_SITES_PARTY = {"SetSiteAdmission", "RemoveSite"}
"""Decided by the users of the party that runs the site, to whom the owner of what runs there is a stranger."""
TOKEN_ALONE = {"EnrolSite", "EnrolUser"}
"""Answered UNAUTHENTICATED to everybody here: the token is what is judged, and ours is none."""
NOTHING_THERE = {"ServeCall"}
"""Answered NOT_FOUND to everybody here: no call waits for any site."""


async def test_every_method_has_a_row() -> None:
    """A method that nobody thought about here would be open to whomever its code forgot."""
    assert ROWS.keys() == {method.name for _, method in METHODS}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A node with something to ask about."""
    async with a_world(tmp_path_factory.mktemp("authorisation")) as made:
        yield made


@pytest.mark.parametrize("direct", [False, True], ids=["through the gateway", "direct"])
async def test_the_matrix(place: World, direct: bool) -> None:
    """Nobody may do, see or learn of what the contract does not give them, whichever door they try."""
    wrong = []
    for who in place.identities:
        for area, method in METHODS:
            answer = await place.ask(who, area, method, direct=direct or (area == "gateway"))
            problem = _problem(who, method, answer, direct=direct)
            if problem:
                refusals = [(s.code, s.message) for s in answer.statuses]
                wrong.append(f"{who.name} {method.name}: {problem}; got {answer.code} {answer.reasons} {refusals}")
    print(f"{place.asked} calls")
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong)


async def test_what_strangers_asked_had_no_effect(place: World) -> None:
    """A refusal that comes after the effect is no refusal."""
    async with asyncio.timeout(60), place.node.mesh() as alice:
        job = await alice.scheduler.GetJob(scheduler.GetJobRequest(name=place.job.name))
        usage = await alice.accounting.ListUsage(accounting.ListUsageRequest(page_size=100))

    assert job.state == job_pb2.Job.STATE_RUNNING
    records = [usage_pb2.UsageRecord.FromString(each.record) for each in usage.usage]
    assert [record for record in records if record.epoch == "agentabroad"] == []


def _problem(who: Identity, method: MethodDescriptor, answer: Answer, *, direct: bool) -> str:
    """What is wrong with an answer; empty where nothing is."""
    declared = semantics_of(method)
    roles = {semantics_pb2.Role.Name(role).removeprefix("ROLE_").lower() for role in declared.roles}
    if answer.code in ("INTERNAL", "UNKNOWN", "UNAVAILABLE"):
        return "is no answer"
    if not direct and not declared.public:
        return "" if answer.code in ("UNIMPLEMENTED", "UNAUTHENTICATED") else "is passed on though it is not public"
    if "anyone" not in roles and not roles & who.roles:
        return "" if _is_turned_away(answer) else "is open to a role it does not declare"
    if method.name in TOKEN_ALONE | NOTHING_THERE:
        return "" if answer.reasons != NOT_FOR_ROLE else "is shut to whom it declares"
    owns = who.owns and not (method.name in BY_TICKET and "service" in who.roles)
    owns = owns and not (method.name in OF_THE_SITES_PARTY and who.name == "owner")
    if declared.ownership == OWN and not owns:
        return _seen_by_stranger(method, answer)
    return _withheld(answer)


def _is_turned_away(answer: Answer) -> bool:
    return answer.code == "PERMISSION_DENIED" and answer.reasons == NOT_FOR_ROLE


def _seen_by_stranger(method: MethodDescriptor, answer: Answer) -> str:
    if told := [mark for mark in MARKS if mark in answer.body and not answer.statuses]:
        return f"tells a stranger of {told}"
    if method.name in LISTS:
        return "" if answer.code == "OK" else "refuses a list that has nothing to hide"
    if answer.reasons and answer.reasons <= NOT_SIGNED:
        return ""
    codes = {answer.code} if answer.code != "OK" else {CODE_NAMES.get(status.code, "") for status in answer.statuses}
    return "" if codes and codes <= HIDDEN_CODES else "serves a stranger"


def _withheld(answer: Answer) -> str:
    codes = {answer.code} | {CODE_NAMES.get(status.code, "") for status in answer.statuses}
    return "is withheld from whom it declares" if codes & {*HIDDEN_CODES, "UNAUTHENTICATED"} else ""
