"""Every query of every dashboard, rule and alert has data of a living node: a real Prometheus scrapes it."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import yaml

from suanmesh.scheduler.v1 import job_pb2
from suanmesh_cli.jobfile import load
from suanmesh_local import trials
from suanmesh_local.node import Node
from suanmesh_local.ports import free_ports
from suanmesh_sdk import Mesh

ROOT = Path(__file__).parents[2]
PROMETHEUS = shutil.which("prometheus") or ""
JOB_FILE = ROOT / "examples" / "digits" / "job.yaml"
CHOSEN = {"$node": ".+", "$site": ".+", "$area": ".+", "$__rate_interval": "1m"}
THRESHOLD = re.compile(r" (?:[<>=!]=|[<>]) -?[0-9.e+]+")
"""What makes an alert of a value."""

pytestmark = [
    pytest.mark.mesh,
    pytest.mark.skipif(not PROMETHEUS, reason="prometheus is not there: install Debian's package"),
]


def shown() -> Iterator[str]:
    """What the dashboards ask, with everything chosen."""
    for path in sorted((ROOT / "deploy/dashboards").glob("*/*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                query = target["expr"]
                for variable, value in CHOSEN.items():
                    query = query.replace(variable, value)
                yield query


def ruled() -> Iterator[str]:
    """What rules record, and what alerts measure."""
    for path in sorted((ROOT / "deploy/prometheus/rules").glob("*.yml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                yield rule.get("record") or THRESHOLD.sub("", rule["expr"])


def choices() -> Iterator[str]:
    """The series whose labels can be chosen on dashboards."""
    for path in sorted((ROOT / "deploy/dashboards").glob("*/*.json")):
        for variable in json.loads(path.read_text())["templating"]["list"]:
            if variable["type"] == "query":
                metric, label = re.fullmatch(r"label_values\((.+), (.+)\)", variable["query"]).groups()  # type: ignore[union-attr]
                yield f'{metric}{{{label}!=""}}'


class Prometheus:
    """One that runs, by its address."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def found(self, query: str) -> list[Any]:
        """What a query gives now; nothing while it does not answer."""
        asked = f"http://{self._address}/api/v1/query?{urllib.parse.urlencode({'query': query})}"

        def read() -> list[Any]:
            try:
                with urllib.request.urlopen(asked) as answer:
                    result: list[Any] = json.load(answer)["data"]["result"]
                    return result
            except ConnectionError:
                return []
            except urllib.error.HTTPError as refused:
                if refused.code == HTTPStatus.SERVICE_UNAVAILABLE:  # it has not opened its store yet
                    return []
                raise AssertionError(f"{query}: {refused.read().decode()}") from refused
            except urllib.error.URLError:
                return []

        return await asyncio.to_thread(read)


@asynccontextmanager
async def scraping(node: Node, folder: Path) -> AsyncIterator[Prometheus]:
    """A Prometheus with what lies in the node's folder, which looks every second."""
    shutil.copytree(node.folder / "prometheus", folder / "config")
    config = folder / "config" / "prometheus.yml"
    config.write_text(config.read_text().replace("15s", "1s"))
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with (folder / "log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            PROMETHEUS,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
            stdout=log,
            stderr=log,
        )
    try:
        yield Prometheus(address)
    finally:
        child.terminate()
        await child.wait()


async def test_every_query_has_data_of_a_living_node(
    node: Node, user: Mesh, permuted_published: str, tmp_path: Path
) -> None:
    """Who is on call opens a dashboard at night and must not find it empty because a name has changed."""
    described = load(JOB_FILE)
    described.inputs[0].dataset = permuted_published
    job = await trials.ended(user, await trials.submit(user, "watched-job", described))
    assert job.state == job_pb2.Job.STATE_DONE, job.state_reason

    empty = list(dict.fromkeys([*shown(), *ruled(), *choices()]))
    assert len(empty) > 80
    async with scraping(node, tmp_path) as prometheus:
        while True:
            empty = [query for query in empty if not await prometheus.found(query)]
            if not empty:
                break
            (tmp_path / "empty").write_text("\n".join(empty))  # what a test that is ended for its time leaves
            await asyncio.sleep(trials.LOOK_AGAIN_S)
