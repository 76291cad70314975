"""The mistakes people make, at the command line and in code: what they read tells them what to change."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.registry.v1 import registry_service_pb2 as registry
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler
from suanmesh_chassis.ca import Issued, NodeCa, write_identity
from suanmesh_chassis.identity import user_id
from suanmesh_kernel.clock import SystemClock
from suanmesh_kernel.refusals import Aborted, InvalidArgument, Refusal, ResourceExhausted
from suanmesh_local import trials
from suanmesh_local.node import NODE, Node
from suanmesh_sdk import Mesh
from suanmesh_sdk.status import refusal_of_call

pytestmark = pytest.mark.mesh

SUAN = Path(sys.executable).parent / "suan"
MIB = 1 << 20
GOOD = """
account: accounts/demo
ask: {cpu_milli: 100, memory_bytes: 64MiB}
package: {variants: [{runtime: python3, command: [python3, -V]}]}
max_duration_s: 10
"""


@dataclass(frozen=True, slots=True)
class Slip:
    """One mistake: what is typed, and what must be read."""

    arguments: tuple[str, ...]
    status: int
    says: tuple[str, ...]
    job: str = ""
    context: str = "alice"


SLIPS = {
    "bad YAML": Slip(("job", "submit", "JOB"), 2, ("INVALID_ARGUMENT FIELD_INVALID", "job.yaml:2"), "ask: {\n]"),
    "unknown field": Slip(
        ("job", "submit", "JOB"), 2, ("field = ask.cpu_mili", "cpu_milli"), GOOD.replace("cpu_milli", "cpu_mili")
    ),
    "negative amount": Slip(
        ("job", "submit", "JOB"),
        2,
        ("INVALID_ARGUMENT FIELD_INVALID", "field = constraints.budget_micros"),
        GOOD + "constraints: {budget_micros: -5}",
    ),
    "number beyond reason": Slip(
        ("job", "submit", "JOB"), 2, ("field = ask.memory_bytes",), GOOD.replace("64MiB", "8000000000GiB")
    ),
    "unknown dataset": Slip(
        ("job", "submit", "JOB"),
        3,
        ("NOT_FOUND DATASET_UNKNOWN", "datasets/nowhere"),
        GOOD + "inputs: [{dataset: datasets/nowhere, mount: in}]",
    ),
    "unknown account": Slip(
        ("job", "submit", "JOB"), 3, ("NOT_FOUND ACCOUNT_UNKNOWN",), GOOD.replace("accounts/demo", "accounts/nobody")
    ),
    "unknown job": Slip(("job", "show", "nothing"), 3, ("NOT_FOUND JOB_UNKNOWN", "jobs/nothing")),
    "bad filter": Slip(("pool", "search", "free.cpu_mili > 3"), 2, ("INVALID_ARGUMENT FILTER_INVALID", "field = ")),
    "wrong role": Slip(("account", "credit", "demo", "5"), 4, ("PERMISSION_DENIED ROLE_DENIED", "operator")),
    "negative credit": Slip(
        ("account", "credit", "demo", "--", "-5"), 2, ("INVALID_ARGUMENT FIELD_INVALID", "field = "), "", "operator"
    ),
    "expired certificate": Slip(("site", "list"), 4, ("UNAUTHENTICATED HANDSHAKE_FAILED",), "", "expired"),
    "foreign certificate": Slip(("site", "list"), 4, ("UNAUTHENTICATED HANDSHAKE_FAILED",), "", "foreign"),
    "identity of another node": Slip(("site", "list"), 4, ("UNAUTHENTICATED IDENTITY_MISSING",), "", "elsewhere"),
    "no mesh there": Slip(("site", "list"), 8, ("UNAVAILABLE NOT_READY",), "", "nowhere"),
}


@pytest.fixture(scope="module")
def config(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The node's contexts, and some that should not get in."""
    folder = tmp_path_factory.mktemp("contexts")
    clock = SystemClock()
    ours, theirs = NodeCa.load(node.identities.ca_dir, clock), NodeCa.create(NODE, clock)
    alice = user_id(NODE, "demo", "alice")
    issued: dict[str, Issued] = {
        "expired": ours.issue(alice, days=-1),
        "foreign": theirs.issue(alice),
        "elsewhere": ours.issue(user_id("othernode", "demo", "alice")),
        "nowhere": ours.issue(alice),
    }
    lines = [(node.folder / "config.toml").read_text()]
    for name, each in issued.items():
        write_identity(folder / name, each)
        (folder / name / "ca.pem").write_bytes(ours.pem)
        gateway = "127.0.0.1:1" if name == "nowhere" else node.gateway
        lines += [f"[contexts.{name}]", f'gateway = "{gateway}"', f'node = "{NODE}"']
        lines += [f'{kind} = "{folder / name / f"{kind}.pem"}"' for kind in ("ca", "cert", "key")]
    (folder / "config.toml").write_text("\n".join(lines) + "\n")
    return folder / "config.toml"


@pytest.mark.parametrize("slip", SLIPS.values(), ids=SLIPS)
async def test_a_slip_at_the_command_line_is_told_in_both_languages(config: Path, tmp_path: Path, slip: Slip) -> None:
    """Code and reason for scripts, the field and the way out for people, and nothing on stdout."""
    (tmp_path / "job.yaml").write_text(slip.job)
    english, chinese = await asyncio.gather(*(_typed(config, tmp_path, slip, lang) for lang in ("en", "zh")))
    for said, words in ((english, ("error: ", "fix: ", "help: ")), (chinese, ("错误: ", "处置: ", "帮助: "))):
        assert said.returncode == slip.status, said.stderr
        assert said.stdout == ""
        assert [word for word in (*words, *slip.says[:1]) if word not in said.stderr] == [], said.stderr
        assert said.stderr.split(": ")[1].split(" ")[0] not in ("INTERNAL", "UNKNOWN"), said.stderr
    assert [word for word in slip.says if word not in english.stderr] == [], english.stderr


async def test_a_stale_etag_is_refused(user: Mesh) -> None:
    """Somebody else changed the job in between: cancelling what one has not seen would be a surprise."""
    described = trials.job("print(1)")
    described.constraints.residency.append("nowhere")
    name = await trials.submit(user, "stands-still", described)
    with pytest.raises(Aborted) as refused:
        await user.scheduler.CancelJob(scheduler.CancelJobRequest(name=name, etag="stale"))
    _told(refused.value, "ETAG_STALE")
    await user.scheduler.CancelJob(scheduler.CancelJobRequest(name=name))


async def test_a_request_id_stands_for_one_body(operator: Mesh) -> None:
    """The same id again is answered as before; with another amount it must not pass for the first."""
    credit = accounting.CreditAccountRequest(name="accounts/demo", amount_micros=5, request_id="five-once")
    first = await operator.accounting.CreditAccount(credit)
    assert await operator.accounting.CreditAccount(credit) == first
    credit.amount_micros = 6
    with pytest.raises(InvalidArgument) as refused:
        await operator.accounting.CreditAccount(credit)
    _told(refused.value, "REQUEST_ID_REUSED")
    assert refused.value.facts["field"] == "request_id"


@pytest.mark.parametrize(
    ("size", "facts"),
    [(4 * MIB + 1, {"limit_bytes": str(4 * MIB)}), (64 * MIB, {})],
    ids=["too large", "far too large"],
)
async def test_an_oversized_message_is_refused(user: Mesh, size: int, facts: dict[str, str]) -> None:
    """A client that sends too much must learn the limit, not lose its connection."""
    with pytest.raises(ResourceExhausted) as refused:
        await user.registry.GetSite(registry.GetSiteRequest(name="x" * size))
    assert refused.value.reason == "MESSAGE_TOO_LARGE"
    assert facts.items() <= refused.value.facts.items()


Raw = Callable[[grpc.aio.Channel], Any]
LIST_SITES = "/suanmesh.registry.v1.RegistryService/ListSites"


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda channel: channel.unary_unary(LIST_SITES)(b"\xff\xff", timeout=60), "MESSAGE_MALFORMED"),
        (lambda channel: channel.unary_unary(LIST_SITES)(b""), "DEADLINE_MISSING"),
        (lambda channel: channel.unary_unary(f"{LIST_SITES}s")(b"", timeout=60), "METHOD_UNKNOWN"),
        (lambda channel: channel.unary_unary("/suanmesh.x.v1.XService/Y")(b"", timeout=60), "METHOD_UNKNOWN"),
    ],
    ids=["malformed", "no deadline", "no such method", "no such service"],
)
async def test_a_client_in_any_language_is_told_its_mistake(node: Node, call: Raw, reason: str) -> None:
    """Whoever writes a client of their own must not have to guess."""
    home = node.identities.of("alice")
    parts = ((home / name).read_bytes() for name in ("ca.pem", "key.pem", "cert.pem"))
    options = (("grpc.ssl_target_name_override", f"gateway.{NODE}.suanmesh"),)
    async with grpc.aio.secure_channel(node.gateway, grpc.ssl_channel_credentials(*parts), options) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(channel)
    details = dict(refused.value.trailing_metadata() or ()).get("grpc-status-details-bin")
    assert isinstance(details, bytes)
    _told(refusal_of_call(refused.value.code().name, refused.value.details() or "", details), reason)


def _told(refusal: Refusal, reason: str) -> None:
    assert refusal.reason == reason
    assert all(refusal.localized.get(lang) for lang in ("en", "zh")), refusal.localized


async def _typed(config: Path, folder: Path, slip: Slip, lang: str) -> subprocess.CompletedProcess[str]:
    arguments = [str(folder / "job.yaml") if each == "JOB" else each for each in slip.arguments]
    group, verb, rest = arguments[0], arguments[1], arguments[2:]
    command = [str(SUAN), group, verb, "--context", slip.context, "--lang", lang, *rest]
    environment = {"SUANMESH_CONFIG": str(config), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    return await asyncio.to_thread(
        subprocess.run, command, env=environment, cwd=folder, capture_output=True, text=True, timeout=120
    )
