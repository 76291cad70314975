"""Which site a stream of data goes to, and whose ticket opens it: agents take a gateway's word for that."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from suanmesh.agent.v1 import agent_service_pb2 as pb
from suanmesh.transport.v1.transfer_pb2 import TransferTicket, UploadTicket
from suanmesh.type.v1.signed_pb2 import Signed
from suanmesh_gateway.site_forwarder import site_of
from suanmesh_kernel.refusals import InvalidArgument, PermissionDenied

METHODS = pb.DESCRIPTOR.services_by_name["AgentService"].methods_by_name
ANN, EVE = "spiffe://test/party/acme/user/ann", "spiffe://test/party/rival/user/eve"


def signed(claim: Message, payload_type: str = "") -> Signed:
    kind = payload_type or claim.DESCRIPTOR.full_name
    return Signed(payload=claim.SerializeToString(), payload_type=kind, key_id="k", signature=b"s")


READING = pb.ReadFilesRequest(site="sites/a", ticket=signed(TransferTicket(reader=ANN)))
BRINGING = pb.WriteFilesRequest(site="sites/a", ticket=signed(UploadTicket(writer=ANN)))


@pytest.mark.parametrize(("method", "message"), [("ReadFiles", READING), ("WriteFiles", BRINGING)])
def test_a_ticket_opens_a_site_for_its_holder_alone(method: str, message: Message) -> None:
    """A ticket that somebody saw in a log must not open their data."""
    raw = message.SerializeToString()
    assert site_of(METHODS[method], raw, ANN) == "sites/a"
    with pytest.raises(PermissionDenied, match="TICKET_INVALID"):
        site_of(METHODS[method], raw, EVE)


@pytest.mark.parametrize(
    "ticket",
    [Signed(), signed(TransferTicket(reader=ANN), "suanmesh.other"), signed(TransferTicket())],
    ids=["none", "of another kind", "for nobody"],
)
def test_what_is_no_ticket_opens_nothing(ticket: Signed) -> None:
    """Without a holder there is nobody whom the agent was told to serve."""
    raw = pb.ReadFilesRequest(site="sites/a", ticket=ticket).SerializeToString()
    for who in (ANN, EVE):
        with pytest.raises(PermissionDenied, match="TICKET_INVALID"):
            site_of(METHODS["ReadFiles"], raw, who)


@pytest.mark.parametrize("raw", [b"\xff\xff", pb.ReadFilesRequest(ticket=READING.ticket).SerializeToString()])
def test_a_message_without_a_site_goes_nowhere(raw: bytes) -> None:
    """Bytes that are no message must not reach an agent, nor the address that somebody would like to be called."""
    with pytest.raises(InvalidArgument):
        site_of(METHODS["ReadFiles"], raw, ANN)


def test_a_ticket_that_cannot_be_read_is_no_defect() -> None:
    """Whoever sends rubbish is told so, and leaves no trace in the log."""
    ticket = Signed(payload=b"\xff\xff", payload_type=TransferTicket.DESCRIPTOR.full_name)
    raw = pb.ReadFilesRequest(site="sites/a", ticket=ticket).SerializeToString()
    with pytest.raises(InvalidArgument, match="MESSAGE_MALFORMED"):
        site_of(METHODS["ReadFiles"], raw, ANN)
