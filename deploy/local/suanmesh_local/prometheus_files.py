"""What a Prometheus beside a node is told: where its processes are scraped, and which rules and alerts there are."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from suanmesh_kernel.private import private_folder, write_private
from suanmesh_local.processes import Process

FOLDER = "prometheus"
LISTEN = "SUANMESH_METRICS_LISTEN"
CONFIG = """# prometheus --config.file={file}
global:
  scrape_interval: 15s
  evaluation_interval: 15s
rule_files:
  - rules/*.yml
scrape_configs:
  - job_name: suanmesh
    file_sd_configs:
      - files: [targets.json]
"""


def write_prometheus(folder: Path, node: str, processes: Iterable[Process], machine: str = "") -> None:
    """Lay out `prometheus.yml`, `targets.json` and `rules/` in the node's `folder`. Raises OSError.

    `machine` is this one's host, where the node is on several.
    """
    home = folder / FOLDER
    private_folder(home / "rules")
    write_private(home / "prometheus.yml", CONFIG.format(file=home / "prometheus.yml").encode())
    write_private(home / "targets.json", json.dumps(targets(node, processes, machine), indent=2).encode())
    for rules in sorted(shipped_rules().glob("*.yml")):
        write_private(home / "rules" / rules.name, rules.read_bytes())


def targets(node: str, processes: Iterable[Process], machine: str = "") -> list[dict[str, object]]:
    """Those of the processes that are scraped, as Prometheus' file discovery takes them."""
    found: list[dict[str, object]] = []
    for process in processes:
        if address := process.environment.get(LISTEN):
            site = process.environment.get("SUANMESH_AGENT_SITE", "")
            area = "agent" if site else process.name.partition("-")[0]
            labels = {"node": node, "area": area, "process": process.name}
            labels |= {name: value for name, value in (("at_site", site), ("machine", machine)) if value}
            found.append({"targets": [address], "labels": labels})
    return found


def shipped_rules() -> Path:
    """The folder of the rules: beside this module where it is installed, else in the tree it is run from."""
    here = Path(__file__).resolve().parent
    installed = here / "rules"
    return installed if installed.is_dir() else here.parents[1] / "prometheus" / "rules"
