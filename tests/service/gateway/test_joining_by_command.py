"""`suan login` and `suan site join`, typed on machines that have nothing but an invite."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
import tomllib
from pathlib import Path

import pytest

from suanmesh_chassis.testing import NODE
from suanmesh_local.ports import free_ports
from suanmesh_sdk.invites import invite_text
from tests.service.gateway.test_forwarding import Town, join_token, town

__all__ = ["town"]
SUAN = Path(sys.executable).parent / "suan"


async def typed(home: Path, *arguments: str, told: str = "") -> tuple[int, str]:
    """Exit status and words of a command; `told` comes by standard input."""
    await asyncio.to_thread(home.mkdir, exist_ok=True)
    environment = {"HOME": str(home), "PATH": os.defpath, "LANG": "C.UTF-8"}
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        str(SUAN), *arguments, cwd=home, env=environment, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await child.communicate(told.encode())
    return child.returncode or 0, said.decode()


def mode_of(file: str) -> int:
    """Who may do what with a file."""
    return stat.S_IMODE(Path(file).stat().st_mode)


async def test_a_user_joins_with_one_command(town: Town, tmp_path: Path) -> None:
    """A key that an operator has made, or that others read, is not the user's alone."""
    invite = invite_text(town.address, NODE, await join_token(town, user="bob"))
    home = tmp_path / "bob"

    status, said = await typed(home, "login", "-", told=invite)
    assert (status, "you are bob of parties/p at node test" in said) == (0, True), said
    again, _ = await typed(home, "login", invite)
    elsewhere, refused = await typed(tmp_path / "thief", "login", invite)
    assert (again, elsewhere) == (5, 4), refused  # the context is there; the token is spent

    config = tomllib.loads((home / ".config" / "suanmesh" / "config.toml").read_text())
    assert mode_of(config["contexts"][NODE]["key"]) == 0o600
    assert config["contexts"][NODE]["account"] == "accounts/p"
    status, said = await typed(home, "party", "show", "p")
    assert (status, "parties/p" in said) == (0, True), said


async def test_a_site_joins_with_one_command(town: Town, tmp_path: Path) -> None:
    """An owner must end with settings that start the site, and with every direction tried."""
    invite = invite_text(town.address, NODE, await join_token(town))
    port = str(free_ports(1)[0])
    join = ("site", "join", invite, "guiyang", "--advertise", "127.0.0.1", "--port", port, "--price-book", "guiyang")

    for _ in range(2):  # as after a firewall was opened
        status, said = await typed(tmp_path / "owner", *join)
        assert status == 0, said
        assert "enrolled           sites/guiyang of parties/p" in said
        assert f"from the gateway   {town.address} reaches this site at 127.0.0.1:{port}" in said
    settings = (tmp_path / "owner" / "guiyang" / "agent.env").read_text().splitlines()
    assert f"SUANMESH_AGENT_DATA_ENDPOINT=127.0.0.1:{port}" in settings
    assert "SUANMESH_AGENT_PRICE_BOOK=priceBooks/guiyang" in settings
    assert not [line for line in settings if invite in line]  # it is spent, and nobody needs to keep it


async def test_the_direction_that_fails_is_named(town: Town, tmp_path: Path) -> None:
    """An owner behind a firewall would find out by jobs whose logs never come."""
    invite = invite_text(town.address, NODE, await join_token(town))
    port = str(free_ports(1)[0])
    join = ("site", "join", invite, "guiyang", "--port", port, "--advertise")

    status, said = await typed(tmp_path / "owner", *join, "gone.invalid")

    assert (status, f"open incoming TCP to port {port}" in said, "--no-inbound" in said) == (1, True, True), said


async def test_the_doctor_tells_which_ways_are_open(town: Town, tmp_path: Path) -> None:
    """An owner whose firewall was changed would find out by jobs whose logs never come."""
    invite = invite_text(town.address, NODE, await join_token(town))
    home, port = tmp_path / "owner", str(free_ports(1)[0])
    joined = await typed(home, "site", "join", invite, "guiyang", "--port", port, "--advertise", "127.0.0.1")
    assert joined[0] == 0, joined
    context = (
        f'[contexts.test]\ngateway = "127.0.0.1:1,{town.address}"\nnode = "test"\nca = "guiyang/identity/ca.pem"\n'
    )
    await asyncio.to_thread((home / "suanmesh.toml").write_text, context)

    _, said = await typed(home, "doctor")
    assert f"ok       gateway      {town.address} of test is reached from here" in said
    assert "warning  gateway      127.0.0.1:1 of test is not reached from here" in said
    assert f"ok       site         guiyang, from the gateway: {town.address} reaches this site at" in said

    settings = home / "guiyang" / "agent.env"
    elsewhere = await asyncio.to_thread(settings.read_text)
    await asyncio.to_thread(
        settings.write_text, elsewhere.replace(f"ENDPOINT=127.0.0.1:{port}", "ENDPOINT=127.0.0.1:1")
    )
    _, said = await typed(home, "doctor")
    assert "warning  site         guiyang, from the gateway" in said
    assert "open incoming TCP to port 1" in said


async def test_a_site_that_nobody_reaches_joins_all_the_same(town: Town, tmp_path: Path) -> None:
    """Behind a NAT there is no port to open: its owner must not be asked for one, and be told what is not tried."""
    invite = invite_text(town.address, NODE, await join_token(town))
    join = ("site", "join", invite, "guiyang", "--no-inbound")

    status, said = await typed(tmp_path / "owner", *join)

    assert (status, f"from the gateway   not tried inwards from {town.address}" in said) == (0, True), said
    settings = (tmp_path / "owner" / "guiyang" / "agent.env").read_text().splitlines()
    assert "SUANMESH_AGENT_NO_INBOUND=true" in settings
    assert not [line for line in settings if "DATA_LISTEN" in line or "DATA_ENDPOINT" in line]
    for both_or_none in (("--advertise", "127.0.0.1"), ()):
        status, said = await typed(tmp_path / "other", *join[: 5 if both_or_none else 4], *both_or_none)
        assert (status, "--no-inbound" in said) == (2, True), said


async def test_a_gateway_that_is_not_reached_is_named(town: Town, tmp_path: Path) -> None:
    """Whoever cannot get out must know where to, to have it opened."""
    invite = invite_text("127.0.0.1:1", NODE, await join_token(town))
    status, said = await typed(tmp_path / "bob", "login", invite)
    assert (status, "nothing answers at 127.0.0.1:1" in said, "open outgoing TCP" in said) == (8, True, True), said


async def test_of_several_gateways_one_is_enough_to_join(town: Town, tmp_path: Path) -> None:
    """That a machine of the node is away today is nothing that a new user could mend."""
    gateways = f"127.0.0.1:1,{town.address}"
    invite = invite_text(gateways, NODE, await join_token(town, user="bob"))
    home = tmp_path / "bob"

    status, said = await typed(home, "login", invite)
    assert status == 0, said
    config = tomllib.loads((home / ".config" / "suanmesh" / "config.toml").read_text())
    assert config["contexts"][NODE]["gateway"] == gateways
    status, said = await typed(home, "party", "show", "p")
    assert (status, "parties/p" in said) == (0, True), said


async def test_a_site_is_told_which_of_several_gateways_it_does_not_reach(town: Town, tmp_path: Path) -> None:
    """An owner whose firewall knows one gateway only would be lost together with that machine."""
    invite = invite_text(f"127.0.0.1:1,{town.address}", NODE, await join_token(town))
    join = ("site", "join", invite, "guiyang", "--port", str(free_ports(1)[0]), "--advertise", "127.0.0.1")

    status, said = await typed(tmp_path / "owner", *join)

    assert (status, "127.0.0.1:1 is not reached" in said) == (1, True), said
    assert f"{town.address} reaches this site" in said


@pytest.mark.parametrize("invite", ["", "sjt1.a.b.c", "suan-invite-1.AAAA"])
async def test_what_is_no_invite_is_told(tmp_path: Path, invite: str) -> None:
    """Half of an invite is what a chat leaves of it."""
    status, said = await typed(tmp_path / "bob", "login", "-", told=invite)
    assert (status, "no whole invite" in said) == (2, True), said
