"""Where a node is reached is said once, when it is founded."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_local.facts import checked_facts, read_facts, write_facts
from suanmesh_local.founding_nodes import found_first_machine
from suanmesh_local.identities import found_identities
from suanmesh_local.machines import main
from suanmesh_local.tools import ToolMissing, cache_dir, etcd


@pytest.mark.parametrize(
    ("host", "kept", "listens"),
    [
        ("mesh.example", "mesh.example", "0.0.0.0"),
        ("203.0.113.7", "203.0.113.7", "0.0.0.0"),
        ("2001:db8::1", "[2001:db8::1]", "[::]"),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("::1", "[::1]", "[::1]"),
    ],
)
def test_a_node_is_found_again_as_it_was_founded(tmp_path: Path, host: str, kept: str, listens: str) -> None:
    """A gateway that listened elsewhere after a restart would be lost to everybody who joined."""
    write_facts(tmp_path, checked_facts("pilot", host, 7443))

    found = read_facts(tmp_path)
    assert (found.host, found.gateway_listens, found.gateway_port) == (kept, listens, 7443)


def test_a_folder_without_a_node_says_how_one_is_founded(tmp_path: Path) -> None:
    """`node.toml: No such file` reads as if somebody had lost it; the folder was mistyped, or nothing founded yet."""
    with pytest.raises(FileNotFoundError, match="suan node init"):
        read_facts(tmp_path)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "a host", "https://mesh.example"])
def test_a_host_that_leads_nowhere_is_refused(host: str) -> None:
    """It would stand in every invitation."""
    with pytest.raises(InvalidArgument, match="advertise"):
        checked_facts("pilot", host, 7443)


def test_the_gateways_certificate_names_where_it_is_reached(tmp_path: Path) -> None:
    """Programs of others, which know nothing of our server names, must be able to check whom they reach."""
    identities = found_identities(tmp_path, checked_facts("pilot", "203.0.113.7", 7443))

    certificate = x509.load_pem_x509_certificate((identities.of("gateway") / "cert.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["203.0.113.7"]
    assert names.get_values_for_type(x509.DNSName) == ["gateway.pilot.suanmesh"]


MACHINES = ("203.0.113.10", "203.0.113.11")
MEMBERS = (*MACHINES, "203.0.113.12")
SQL = "postgresql://suanmesh@db.example/suanmesh"


@pytest.mark.parametrize(
    ("machines", "etcd", "sql", "field"),
    [
        (MACHINES, (), SQL, "advertise"),
        ((MACHINES[0], MACHINES[0]), MEMBERS, SQL, "advertise"),
        (MACHINES, MACHINES, SQL, "etcd"),
        (MACHINES, ("0.0.0.0",), SQL, "etcd"),
        (MACHINES, MEMBERS, "", "sql"),
        (MACHINES, MEMBERS, "mysql://db.example/suanmesh", "sql"),
    ],
)
def test_several_machines_that_make_no_node_are_refused(
    machines: tuple[str, ...], etcd: tuple[str, ...], sql: str, field: str
) -> None:
    """Who founds a node to outlive a machine must not find out by the first death that it does not."""
    with pytest.raises(InvalidArgument, match=f" {field}: "):
        checked_facts("pilot", MACHINES[0], 7443, machines=machines, etcd=etcd, sql=sql)


def test_each_machine_takes_what_is_its_own_and_no_more(tmp_path: Path) -> None:
    """Whoever breaks into the machine that only keeps etcd must not find the key of the node's authority there."""
    try:
        etcd(cache_dir())
    except ToolMissing as fault:
        pytest.skip(f"etcd is not to be had here: {fault}")
    facts = checked_facts("pilot", MACHINES[0], 7443, machines=MACHINES, etcd=MEMBERS, sql=SQL)
    found_first_machine(tmp_path / "first", facts)

    taken = {}
    for host in MEMBERS[1:]:
        assert main(tmp_path / "first" / "machines" / f"pilot-{host}.zip", tmp_path / host) == 0
        taken[host] = {path.name for path in (tmp_path / host / "tls").iterdir()}
        assert read_facts(tmp_path / host) == replace(facts, host=host)
        assert (tmp_path / host / "node.toml").stat().st_mode & 0o077 == 0
    assert taken["203.0.113.12"] == {"etcd", "etcd-root"}
    assert taken["203.0.113.11"] == {path.name for path in (tmp_path / "first" / "tls").iterdir()}
    units = {path.name: path.read_text() for path in (tmp_path / "203.0.113.12" / "units").iterdir()}
    assert units.keys() == {"suanmesh-pilot.target", "suanmesh-pilot-etcd-2.service"}
    cluster = ",".join(f"etcd-{index}=https://{host}:7457" for index, host in enumerate(MEMBERS))
    assert f" --initial-cluster={cluster} " in units["suanmesh-pilot-etcd-2.service"]


def test_a_bundle_that_would_write_elsewhere_is_refused(tmp_path: Path) -> None:
    """It comes over a wire, and its reader is root on a machine of the node."""
    bundle = tmp_path / "pilot-203.0.113.11.zip"
    with zipfile.ZipFile(bundle, "w") as files:
        files.writestr("node.toml", 'name = "pilot"')
        files.writestr("../elsewhere", "")

    assert main(bundle, tmp_path / "home") == 1
    assert not (tmp_path / "elsewhere").exists()
