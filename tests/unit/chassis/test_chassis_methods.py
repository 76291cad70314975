"""A servicer that does not fit its contract is found before anything is served."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from google.protobuf import descriptor_pool

from suanmesh.agent.v1 import agent_service_pb2
from suanmesh.type.v1 import semantics_pb2
from suanmesh_chassis import Served
from suanmesh_chassis.methods import BadServicer, Shape, table
from suanmesh_chassis.probe import PROBE_SERVICE, Probes

AGENT = agent_service_pb2.DESCRIPTOR.services_by_name["AgentService"]


async def once(request: Any, call: Any) -> Any: ...


async def many(request: Any, call: Any) -> Any:
    yield


HANDLERS: dict[str, Any] = {each.name: many if each.server_streaming else once for each in AGENT.methods}
"""One of the right kind for each method."""


def test_a_contract_is_read_as_it_is_declared() -> None:
    """Roles and effects stand in the contract; nobody writes them a second time."""
    methods = table([Served(PROBE_SERVICE, Probes())])

    change = methods["/suanmesh.probe.v1.ProbeService/Change"]
    assert (change.roles, change.effect, change.keyed, change.shape) == ({"user"}, "KEYED", True, Shape.UNARY)
    assert methods["/suanmesh.probe.v1.ProbeService/Feed"].shape is Shape.BIDI


@pytest.mark.parametrize("missing", ["Echo", "ReadLog"])
def test_a_method_without_its_handler_does_not_start(missing: str) -> None:
    """A method that is promised and not there fails at a user instead of here."""
    handlers = dict(HANDLERS)
    del handlers[missing]
    servicer = type("Half", (), {name: staticmethod(handler) for name, handler in handlers.items()})()

    with pytest.raises(BadServicer, match=missing):
        table([Served(AGENT, servicer)])


def test_a_handler_of_the_wrong_kind_does_not_start() -> None:
    """A stream that is answered once hangs its callers."""
    handlers = HANDLERS | {"FetchChunks": once}
    servicer = type("Wrong", (), {name: staticmethod(handler) for name, handler in handlers.items()})()

    with pytest.raises(BadServicer, match="FetchChunks"):
        table([Served(AGENT, servicer)])


def test_a_method_that_does_not_say_who_serves_it_does_not_start() -> None:
    """Without that, callers would send it to instances that cannot answer it."""
    silent = semantics_pb2.Semantics(
        roles=[semantics_pb2.ROLE_USER], effect=semantics_pb2.EFFECT_READ, ownership=semantics_pb2.OWNERSHIP_COMMON
    )

    with pytest.raises(BadServicer, match="who serves it"):
        table([Served(PROBE_SERVICE, Probes(), silent)])


def test_only_the_leader_remembers_answers() -> None:
    """A keyed call on an instance that may not write would do again what was done before."""
    keyed = semantics_pb2.Semantics(
        roles=[semantics_pb2.ROLE_USER],
        effect=semantics_pb2.EFFECT_KEYED,
        ownership=semantics_pb2.OWNERSHIP_COMMON,
        served_by=semantics_pb2.SERVED_BY_ANY,
    )

    with pytest.raises(BadServicer, match="leader"):
        table([Served(PROBE_SERVICE, Probes(), keyed)])


def test_a_method_that_cannot_be_resumed_as_it_says_does_not_start() -> None:
    """Its callers would go on from nowhere, and see everything twice."""
    resumed = semantics_pb2.Semantics(
        roles=[semantics_pb2.ROLE_USER],
        effect=semantics_pb2.EFFECT_STREAM,
        ownership=semantics_pb2.OWNERSHIP_COMMON,
        served_by=semantics_pb2.SERVED_BY_LEADER,
        resumes_by="text",
    )

    with pytest.raises(BadServicer, match="resume_token"):
        table([Served(PROBE_SERVICE, Probes(), resumed)])


def test_an_instance_needs_handlers_of_its_own_methods_only() -> None:
    """A standby has nothing to change anything with, and must start all the same."""

    class Lookout:
        Look = staticmethod(once)
        Watch = staticmethod(many)

    methods = table([Served(PROBE_SERVICE, Lookout())], led=False)
    assert {path.rpartition("/")[2] for path in methods} == {"Look", "Watch"}


def test_a_method_served_twice_does_not_start() -> None:
    """Which of the two answers would be chance."""
    with pytest.raises(BadServicer, match="twice"):
        table([Served(PROBE_SERVICE, Probes()), Served(PROBE_SERVICE, Probes())])


def test_every_method_of_ours_declares_roles_and_effect() -> None:
    """A method without roles would be open to everybody."""
    areas = ("registry", "scheduler", "network_orchestrator", "transport", "accounting", "agent", "gateway")
    pool = descriptor_pool.Default()
    for area in areas:
        importlib.import_module(f"suanmesh.{area}.v1.{area}_service_pb2")
        service = pool.FindServiceByName(f"suanmesh.{area}.v1.{area.title().replace('_', '')}Service")
        for method in service.methods:
            semantics = method.GetOptions().Extensions[semantics_pb2.semantics]
            assert semantics.roles, method.full_name
            assert semantics.effect, method.full_name
            keyed = semantics.effect == semantics_pb2.EFFECT_KEYED
            assert not keyed or "request_id" in method.input_type.fields_by_name, method.full_name
