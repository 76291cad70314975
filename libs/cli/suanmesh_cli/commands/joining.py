"""Invites, what is done with one, and what takes it back: `suan user`, `suan login`, and some of `suan site`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from suanmesh.registry.v1.registry_service_pb2 import (
    CreateJoinTokenRequest,
    EnrolUserRequest,
    RevokeCertificatesRequest,
)
from suanmesh_cli import output
from suanmesh_cli.lazy import Verbs
from suanmesh_cli.names import Name
from suanmesh_cli.session import Session, command, each_of, full_name
from suanmesh_cli.texts import refusal
from suanmesh_cli.usage import Misuse, require_extra
from suanmesh_cli.values import Facts
from suanmesh_client import contexts
from suanmesh_kernel.names import checked_id
from suanmesh_kernel.private import private_folder, write_private
from suanmesh_kernel.refusals import AlreadyExists
from suanmesh_kernel.texts import Text

DATA_PORT = 7444
ENGINES = ("process", "slurm", "ray", "kubernetes")
TTL = click.option(
    "--ttl", "ttl_s", type=click.IntRange(1, 86400), default=3600, show_default=True, help="Seconds it lasts."
)


class InviteText(click.ParamType[str]):
    """An invite, or `-` for standard input."""

    name = "invite"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text itself."""
        return sys.stdin.read() if value == "-" else value


INVITE = click.argument("invite", type=InviteText())


@click.group(cls=Verbs)
def user() -> None:
    """Users: persons and programs that act for a party."""


@user.command("invite")
@click.argument("who", metavar="PARTY/USER")
@TTL
@command
async def invite_user(session: Session, who: str, ttl_s: int) -> None:
    """Make an invite for one user, who spends it with `suan login` on their own machine (operator)."""
    party, name = _party_and_user(who)
    await _invite(session, CreateJoinTokenRequest(party=full_name("parties", party), user=name, ttl_s=ttl_s))


@user.command("revoke")
@click.argument("users", metavar="PARTY/USER", nargs=-1, required=True)
@command
async def revoke_users(session: Session, users: tuple[str, ...]) -> int:
    """Refuse the certificates that USERS have, everywhere and at once (their party, the operator).

    Who is invited again afterwards gets one that is good.
    """
    named = {who: "parties/{}/users/{}".format(*_party_and_user(who)) for who in users}
    return await each_of(session, users, lambda who: _revoke(session, named[who]))


@click.command("revoke")
@click.argument("names", type=Name("sites"), nargs=-1, required=True)
@command
async def revoke_sites(session: Session, names: tuple[str, ...]) -> int:
    """Refuse the certificates that the agents of the sites NAMES have, everywhere and at once (owner, operator).

    A site is let in again with `suan site invite PARTY --site NAME`.
    """
    return await each_of(session, names, lambda name: _revoke(session, full_name("sites", name)))


async def _revoke(session: Session, name: str) -> None:
    async with session.mesh() as mesh:
        request = RevokeCertificatesRequest(name=name)
        made = await mesh.registry.RevokeCertificates(request, timeout=session.timeout_s)
    pairs: Facts = [("revoked", made.name), ("issued before", made.valid_from)]
    output.show_one(session.view, made, lambda: output.facts(session.view, pairs))


def _party_and_user(who: str) -> tuple[str, str]:
    party, _, name = who.removeprefix("parties/").partition("/")
    if not party or not name:
        raise Misuse(Text("Say whom, as PARTY/USER.", "请以 PARTY/USER 的形式写明是谁。"))
    return party, name


@click.command("invite")
@click.argument("party", type=Name("parties"))
@click.option(
    "--site",
    "name",
    type=Name("sites"),
    default="",
    metavar="NAME",
    help="A site that has joined before, whose certificate has lapsed or was revoked.",
)
@TTL
@command
async def invite_site(session: Session, party: str, name: str, ttl_s: int) -> None:
    """Make an invite for one site of PARTY, which is spent with `suan site join` on its machine (operator)."""
    again = full_name("sites", name) if name else ""
    await _invite(session, CreateJoinTokenRequest(party=full_name("parties", party), site=again, ttl_s=ttl_s))


async def _invite(session: Session, request: CreateJoinTokenRequest) -> None:
    """Print the one string that is needed elsewhere; it names the gateway as the context in use does."""
    from suanmesh_sdk.invites import invite_text

    context = session.context
    async with session.mesh() as mesh:
        token = await mesh.registry.CreateJoinToken(request, timeout=session.timeout_s)
    invite, expires = invite_text(context.gateway, context.node, token), token.expire_time
    if session.view.for_people or session.view.form == "name":
        click.echo(invite)
        until = session.view.words(expires)
        spend = Text(
            f"spend it before {until}, once; who has it can join, and it is not shown again",
            f"请在 {until} 前使用，仅可用一次；持有者即可加入，不会再次显示",
        )
        output.note(spend.of(session.lang))
    else:
        output.show_one(session.view, {"invite": invite, "expireTime": expires.ToJsonString()}, list)


@click.command()
@INVITE
@click.option("--name", default="", help="Name of the context to make; the node's name if not given.")
@click.option("--account", default="", help="Account that pays for jobs; the party's name if not given.")
@command
async def login(session: Session, invite: str, name: str, account: str) -> None:
    """Join a mesh as a user: make a key here, have it certified with INVITE (`-` reads it), and add a context.

    The key does not leave this machine. Done again after it was broken off, it goes on where it was.
    """
    from suanmesh_cli import configfile
    from suanmesh_sdk import invites

    read = invites.read_invite(invite)
    name = checked_id(name or read.node, field="name")
    path = contexts.user_file(session.environment)
    if path.exists() and name in contexts.load([path]).contexts:
        there = Text(
            f"there is a context {name!r} in {path}: give another with --name, or remove it with `suan ctx rm {name}`",
            f"{path} 中已有上下文 {name!r}：请用 --name 另取一名，或用 `suan ctx rm {name}` 删除",
        )
        raise refusal(AlreadyExists, "CONTEXT_EXISTS", there, name=name)
    ca_pem = await invites.trusted_ca(read)
    home = path.parent / name
    key = _kept_key(home / "key.pem")
    request = EnrolUserRequest(token=read.token, csr_der=invites.signing_request(invites.key_of(key)))
    async with invites.mesh_of(read, ca_pem) as mesh:
        answer = await mesh.registry.EnrolUser(request, timeout=session.timeout_s)
    write_private(home / "cert.pem", answer.certificate_pem)
    write_private(home / "ca.pem", answer.ca_pem)
    party = answer.party.rpartition("/")[2]
    files = {kind: str(home / f"{kind}.pem") for kind in ("ca", "cert", "key")}
    values = {"gateway": read.gateway, "node": read.node, **files, "account": full_name("accounts", account or party)}
    configfile.add(path, name, values)
    joined = Text(
        f"you are {answer.user} of {answer.party} at node {read.node}; context {name!r} is in {path}",
        f"你是节点 {read.node} 上 {answer.party} 的 {answer.user}；上下文 {name!r} 已写入 {path}",
    )
    output.note(joined.of(session.lang))


def _kept_key(path: Path) -> bytes:
    """The key of this user, made once, so that a repeat after a lost answer is answered the same way."""
    from suanmesh_sdk import invites

    if not path.exists():
        private_folder(path.parent)
        write_private(path, invites.key_pem(invites.new_key()))
    return path.read_bytes()


@click.command("join")
@INVITE
@click.argument("name")
@click.option("--engine", type=click.Choice(ENGINES), default=ENGINES[0], show_default=True, help="What runs tasks.")
@click.option(
    "--set",
    "chosen",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the agent's, such as ray_address=HOST:PORT; can be given several times.",
)
@click.option(
    "--advertise",
    default="",
    metavar="HOST",
    help="Name or address at which the gateway and other sites reach this machine.",
)
@click.option("--no-inbound", is_flag=True, help="Nobody reaches this machine: it only dials out, to the gateway.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=DATA_PORT, show_default=True, help="Port of its data plane."
)
@click.option("--price-book", default="", metavar="NAME", help="Price book of its offer; none offers nothing.")
@click.option("--run-as", default="", metavar="USER", help="Whom systemd runs it as; who joins, and root only if told.")
@click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), help="Folder of the site; NAME if not given."
)
@click.pass_context
def join_site(
    ctx: click.Context, invite: str, name: str, engine: str, chosen: tuple[str, ...], advertise: str,
    no_inbound: bool, port: int, price_book: str, run_as: str, folder: Path | None,
) -> None:  # fmt: skip
    """Make this machine the site NAME with INVITE (`-` reads it), and try every direction that it needs.

    Where one fails it is named, with what to open; done again afterwards, it goes on where it was. Either --advertise
    or --no-inbound is needed.
    """
    if bool(advertise) is no_inbound:
        raise Misuse(
            Text(
                "Say at which name others reach this machine (--advertise), or that nobody does (--no-inbound).",
                "请写明他方以何名称访问本机（--advertise），或写明无人能访问本机（--no-inbound），二者取一。",
            )
        )
    require_extra("agent")
    from suanmesh_agent import joining

    book = full_name("priceBooks", price_book) if price_book else ""
    offered = _named(chosen) | {"price_book": book, "engine": engine if engine != ENGINES[0] else ""}
    ctx.exit(joining.main(invite, name, folder or Path(name), advertise, port, offered, run_as=run_as))


def _named(chosen: tuple[str, ...]) -> dict[str, str]:
    """Settings by their names."""
    named = {}
    for each in chosen:
        name, equals, value = each.partition("=")
        if not name or not equals:
            raise Misuse(Text(f"--set takes NAME=VALUE, not {each!r}.", f"--set 的形式为 NAME=VALUE，而非 {each!r}。"))
        named[name] = value
    return named


@click.command("run")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
def run_site(folder: Path) -> None:
    """Run the agent of the site that joined in FOLDER until Ctrl-C."""
    require_extra("agent")
    from suanmesh_agent import joining

    joining.become_agent(folder)


OF_SITES = (invite_site, join_site, revoke_sites, run_site)
