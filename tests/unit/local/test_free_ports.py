"""Ports that a node takes are its own from one start to the next."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_local.control_plane import ControlPlane, NotReady
from suanmesh_local.facts import checked_facts
from suanmesh_local.ports import KERNELS_RANGE, RANGE, free_ports


def test_no_outgoing_connection_can_take_a_servers_port() -> None:
    """A server that starts again would find its port in the hands of any program's connection."""
    low, high = map(int, KERNELS_RANGE.read_text().split())
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert not [port for port in ports if low <= port <= high]


def test_a_port_that_is_taken_is_not_given() -> None:
    """Two nodes on one machine would be told the same."""
    with ExitStack() as stack:
        taken = set()
        for port in free_ports(50):
            listener = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as every server of ours does
            listener.bind(("127.0.0.1", port))
            listener.listen()
            taken.add(port)
        assert not taken & set(free_ports(2000))


async def test_a_node_does_not_start_beside_an_etcd_of_somebody_else(tmp_path: Path) -> None:
    """A node that was brought back while the one that was saved still runs here would serve with the other's etcd."""
    node = ControlPlane(tmp_path / "node", checked_facts("pilot", "127.0.0.1", free_ports(1)[0]))
    host, _, port = node.endpoints[0].rpartition(":")
    with socket.create_server((host, int(port))):
        with pytest.raises(NotReady, match="somebody listens"):
            await node.start_etcd()
        assert not any(member.pid for member in node.etcd)
    await node.stop()


def test_who_starts_nodes_beside_others_chooses_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port is free when it is given, and taken when the process starts, seconds later."""
    monkeypatch.setenv(RANGE, "20000-20099")
    assert all(20_000 <= port <= 20_099 for port in free_ports(20))
    with pytest.raises(OSError, match="20000 to 20099"):
        free_ports(101)


@pytest.mark.parametrize("told", ["20000", "a-b", "20000-", "30000-20000", "0-20000", "20000-65536", "20000-20099\n"])
def test_what_is_no_range_of_ports_is_told(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    """Whoever sets it once, for all that starts nodes, would read of an integer that something could not make."""
    monkeypatch.setenv(RANGE, told)
    with pytest.raises(InvalidArgument, match=f"{RANGE}: .* is not FIRST-LAST"):
        free_ports(1)
