"""`make demo`: one real job through the whole mesh, shown with the commands a user would type, then reported.

Everything in the report is read back through the public API.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from suanmesh_kernel.refusals import Refusal
from suanmesh_local.control_plane import NotReady
from suanmesh_local.digits import DigitsMissing, export
from suanmesh_local.format import LOCK, OtherFormat
from suanmesh_local.lock import Lock, Taken
from suanmesh_local.node import Node
from suanmesh_local.reporting import report_of
from suanmesh_local.tools import ToolMissing

JOB = "digits"
SPANS_S_MAX = 15.0
ROOT = Path(__file__).resolve().parents[3]


def main() -> int:
    """Run the demo in `build/demo`; answers the exit status."""
    try:
        return asyncio.run(_demo(ROOT / "build" / "demo"))
    except (NotReady, OtherFormat, Refusal, Taken, ToolMissing, DigitsMissing, CommandFailed) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


class CommandFailed(Exception):
    """A command of the demo did not succeed."""


async def _demo(folder: Path) -> int:
    began = time.monotonic()
    _clear(folder)
    dataset = export(folder / "digits")
    _heading("Start etcd, six services and three sites")
    async with Node(folder / "node", 3, tell=_tell) as node:
        shell = Shell(node)
        _heading("Publish 1,797 images at a site too small to learn from them")
        await shell.agent("shanghai", "publish", "--dataset", "digits", "--party", "parties/demo", str(dataset))
        _heading("What there is (找)")
        await shell.suan("site", "list")
        await shell.suan("pool", "search", 'architecture = "x86_64" AND free.cpu_milli >= 500')
        _heading("What would happen (dry run)")
        await shell.suan("job", "submit", "examples/digits/job.yaml", "--dry-run")
        _heading("Do it (调)")
        await shell.suan("job", "submit", "examples/digits/job.yaml", "--id", JOB, "--wait")
        _heading("Why there (裁决)")
        await shell.suan("job", "explain", JOB)
        _heading("What it said")
        await shell.suan("job", "logs", JOB)
        await shell.suan("dataset", "get", f"{JOB}-model", "metrics.json")
        await shell.suan("transfer", "list")
        _heading("What it cost (用)")
        await shell.suan("bill", "show", "--job", JOB, "--columns", "METER,QUANTITY,UNIT PRICE,AMOUNT,PAYEE,SITE")
        await shell.suan("ledger", "show", context="operator")
        _heading("One trace through all of it")
        async with node.mesh("operator") as operator:
            report = await report_of(operator, f"jobs/{JOB}", spans_s_max=SPANS_S_MAX)
        await shell.suan("trace", "show", "--job", JOB)
    report["demo_s"] = round(time.monotonic() - began, 1)
    report["finished"] = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
    path = folder / "report.json"
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    _summary(report, path)
    return 0


def _clear(folder: Path) -> None:
    """Begin anew, but not under the feet of another demo. Raises Taken."""
    lock = Lock(folder / "node" / LOCK)
    lock.take()
    shutil.rmtree(folder, ignore_errors=True)
    lock.release()


class Shell:
    """Types commands as a user would, and shows them."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._bin = Path(sys.executable).parent

    async def suan(self, *arguments: str, context: str = "") -> None:
        """Run `suan ...` against the node and show what it prints; as another user than alice with a `context`."""
        chosen = {"SUANMESH_CONTEXT": context} if context else {}
        shown = " ".join([*(f"{name}={value}" for name, value in chosen.items()), "suan"])
        await self._run("suan", arguments, chosen | {"SUANMESH_CONFIG": str(self._node.folder / "config.toml")}, shown)

    async def agent(self, site: str, *arguments: str) -> None:
        """Run `suanmesh-agent ...` with a site's own settings."""
        environment = self._node.agents[site].environment | {"SUANMESH_LOG_LEVEL": "warning"}
        await self._run("suanmesh-agent", arguments, environment, "suanmesh-agent")

    async def _run(self, program: str, arguments: tuple[str, ...], environment: dict[str, str], name: str) -> None:
        shown = " ".join([name, *(f"'{a}'" if " " in a else a for a in arguments)])
        print(f"\n$ {shown}", flush=True)
        environment = environment | {"PATH": f"{self._bin}:/usr/bin:/bin", "COLUMNS": "160", "LANG": "C.UTF-8"}
        command = [str(self._bin / program), *arguments]
        status = await asyncio.to_thread(_call, command, environment)
        if status:
            raise CommandFailed(f"{shown} ended with {status}")


def _call(command: list[str], environment: dict[str, str]) -> int:
    return subprocess.run(command, env=environment, cwd=ROOT, check=False, stdin=subprocess.DEVNULL).returncode


def _heading(text: str) -> None:
    print(f"\n=== {text} " + "=" * max(0, 100 - len(text)), flush=True)


def _tell(name: str, state: str) -> None:
    print(f"{name:<22} {state}", flush=True)


def _summary(report: dict[str, object], path: Path) -> None:
    _heading("In short")
    job, trace = report["job"], report["trace"]
    assert isinstance(job, dict)
    assert isinstance(trace, dict)
    took = f"submit to delivered {job['submit_to_delivered_s']} s, of it {job['mesh_s']} s neither job nor transfer"
    print(f"accuracy {job['accuracy']}, {took}")
    print(f"trace {trace['id']}: {trace['spans']} spans of {', '.join(trace['services'])}")
    print(f"whole demo {report['demo_s']} s; report in {path}")


if __name__ == "__main__":
    sys.exit(main())
