"""Each alert fires when it should, and keeps silent when it should, as Prometheus' own tool says."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from deploy.prometheus.alerts import all_alerts
from suanmesh_local.processes import Process
from suanmesh_local.prometheus_files import targets, write_prometheus

ROOT = Path(__file__).parents[3]
RULES = [ROOT / "deploy/prometheus/rules" / name for name in ("recordings.yml", "alerts.yml")]
ORDER = ["suanmesh recordings", "suanmesh alerts"]
"""So that alerts see what is recorded at the same moment, however far one is from the next; promtool takes any order
where none is told."""
PROMTOOL = shutil.which("promtool") or ""
needs_promtool = pytest.mark.skipif(not PROMTOOL, reason="promtool is not there: install Debian's prometheus")

TARGET = 'node="n", area="registry", process="registry"'
OTHER = 'node="n", area="scheduler", process="scheduler"'
CALLS = 'rpc_server_call_duration_seconds_count{node="n", area="gateway", process="gateway", rpc_method="m", '
Series = Mapping[str, str]


class Case(NamedTuple):
    """Series that make an alert fire at a time, and series that do not."""

    fires: Series
    silent: Series
    at: str


def calls(ok: str, bad: str, code: str = "INTERNAL") -> Series:
    """Calls at the gateway: how many more a minute end well, how many do not."""
    return {
        CALLS + 'rpc_response_status_code="OK"}': f"0+{ok}",
        CALLS + f'rpc_response_status_code="{code}"}}': f"0+{bad}",
    }


QUICK: dict[str, Case] = {
    "ProcessDown": Case(
        {f'up{{job="suanmesh", {TARGET}}}': "0x9"}, {f'up{{job="suanmesh", {TARGET}}}': "1 0 1 1x9"}, "5m"
    ),
    "NoLeader": Case(
        {f"suan_leading{{{TARGET}}}": "1 0x9", 'suan_leading{node="n", area="registry", process="registry-2"}': "0x9"},
        {f"suan_leading{{{TARGET}}}": "0x9", 'suan_leading{node="n", area="registry", process="registry-2"}': "1x9"},
        "5m",
    ),
    "SeveralLeaders": Case(
        {f"suan_leading{{{TARGET}}}": "1x9", 'suan_leading{node="n", area="registry", process="registry-2"}': "1x9"},
        {f"suan_leading{{{TARGET}}}": "1x9", 'suan_leading{node="n", area="scheduler", process="scheduler"}': "1x9"},
        "5m",
    ),
    "ComponentFault": Case(
        {f'suan_component_serving{{{TARGET}, component="c"}}': "0x9"},
        {f'suan_component_serving{{{TARGET}, component="c"}}': "1x9"},
        "5m",
    ),
    "CertificateExpires": Case(
        {
            f'suan_certificate_expiry_seconds{{{TARGET}, kind="process"}}': "15x20",
            f'suan_certificate_lifetime_seconds{{{TARGET}, kind="process"}}': "100x20",
        },
        {
            f'suan_certificate_expiry_seconds{{{TARGET}, kind="process"}}': "30x20",
            f'suan_certificate_lifetime_seconds{{{TARGET}, kind="process"}}': "100x20",
        },
        "10m",
    ),
    "CertificateNearlyOver": Case(
        {
            f'suan_certificate_expiry_seconds{{{TARGET}, kind="ca"}}': "-4x20",
            f'suan_certificate_lifetime_seconds{{{TARGET}, kind="ca"}}': "100x20",
        },
        {
            f'suan_certificate_expiry_seconds{{{TARGET}, kind="ca"}}': "15x20",
            f'suan_certificate_lifetime_seconds{{{TARGET}, kind="ca"}}': "100x20",
        },
        "10m",
    ),
    "LedgerUnbalanced": Case(
        {f'suan_ledger_imbalance_money{{{TARGET}, currency="CNY", of="postings"}}': "0 -0.000001x3"},
        {f'suan_ledger_imbalance_money{{{TARGET}, currency="CNY", of="postings"}}': "0x3"},
        "2m",
    ),
    "SiteLost": Case(
        {f'suan_site_up{{{TARGET}, site="a"}}': "0x20"}, {f'suan_site_up{{{TARGET}, site="a"}}': "0x3 1x20"}, "8m"
    ),
    "WatchBehind": Case(
        {f"suan_watch_lag_seconds{{{TARGET}}}": "9x9"}, {f"suan_watch_lag_seconds{{{TARGET}}}": "9 0.1x9"}, "5m"
    ),
    "EventLoopLate": Case(
        {
            f'suan_event_loop_lag_seconds_bucket{{{TARGET}, le="1"}}': "0+1x30",
            f'suan_event_loop_lag_seconds_bucket{{{TARGET}, le="10"}}': "0+120x30",
            f'suan_event_loop_lag_seconds_bucket{{{TARGET}, le="+Inf"}}': "0+120x30",
        },
        {
            f'suan_event_loop_lag_seconds_bucket{{{TARGET}, le="1"}}': "0+120x30",
            f'suan_event_loop_lag_seconds_bucket{{{TARGET}, le="10"}}': "0+120x30",
            f'suan_event_loop_lag_seconds_bucket{{{TARGET}, le="+Inf"}}': "0+120x30",
        },
        "20m",
    ),
    "QueueStuck": Case(
        {
            f"suan_queue_oldest_seconds{{{TARGET}}}": "1900+60x60",
            f'suan_jobs_ended_total{{{TARGET}, state="DONE"}}': "7x60",
        },
        {
            f"suan_queue_oldest_seconds{{{TARGET}}}": "1900+60x60",
            f'suan_jobs_ended_total{{{TARGET}, state="DONE"}}': "7+1x60",
        },
        "45m",
    ),
    "Defects": Case(
        {f'suan_defects_total{{{TARGET}, work="w"}}': "1x3 2x20", f'suan_build_info{{{TARGET}, version="1"}}': "1x23"},
        {f'suan_defects_total{{{TARGET}, work="w"}}': "2x23", f'suan_build_info{{{TARGET}, version="1"}}': "1x23"},
        "10m",
    ),
    "SpansDropped": Case(
        {f'suan_spans_dropped_total{{{TARGET}, backend="b"}}': "0x3 40x20"},
        {f'suan_spans_dropped_total{{{TARGET}, backend="b"}}': "40x23"},
        "10m",
    ),
    "DiskNearlyFull": Case(
        {f"suan_disk_free_bytes{{{TARGET}}}": "1e9x20"},
        {f"suan_disk_free_bytes{{{TARGET}}}": "3e9x20"},
        "15m",
    ),
    "DiskFull": Case(
        {f"suan_disk_free_bytes{{{TARGET}}}": "1e8x5"},
        {f"suan_disk_free_bytes{{{TARGET}}}": "1e9x5"},
        "3m",
    ),
    "NotReady": Case({f"suan_ready{{{TARGET}}}": "0x9"}, {f"suan_ready{{{TARGET}}}": "0x1 1x8"}, "5m"),
    "EtcdWithoutLeader": Case(
        {f"suan_etcd_led{{{TARGET}}}": "0x9"},
        {f"suan_etcd_led{{{TARGET}}}": "0x9", f"suan_etcd_led{{{OTHER}}}": "1x9"},
        "5m",
    ),
    "EtcdMemberDown": Case(
        {f'suan_etcd_member_up{{{TARGET}, member="h:1"}}': "0x9"},
        {
            f'suan_etcd_member_up{{{TARGET}, member="h:1"}}': "0x9",
            f'suan_etcd_member_up{{{OTHER}, member="h:1"}}': "1x9",
        },
        "8m",
    ),
    "EtcdNearlyFull": Case(
        {f'suan_etcd_size_bytes{{{TARGET}, member="h:1"}}': "3.5e9x20"},
        {f'suan_etcd_size_bytes{{{TARGET}, member="h:1"}}': "1e9x20"},
        "18m",
    ),
    "SiteClockWrong": Case(
        {f'suan_site_clock_ahead_seconds{{{TARGET}, site="s"}}': "-300x9"},
        {f'suan_site_clock_ahead_seconds{{{TARGET}, site="s"}}': "0x9"},
        "8m",
    ),
    "LinkFull": Case(
        {
            f'suan_link_reserved_bits_per_second{{{TARGET}, link="l"}}': "99x60",
            f'suan_link_capacity_bits_per_second{{{TARGET}, link="l"}}': "100x60",
        },
        {
            f'suan_link_reserved_bits_per_second{{{TARGET}, link="l"}}': "99x20 90x40",
            f'suan_link_capacity_bits_per_second{{{TARGET}, link="l"}}': "100x60",
        },
        "45m",
    ),
    "ClockWrong": Case(
        {f"suan_clock_skew_seconds{{{TARGET}}}": "-30x9"}, {f"suan_clock_skew_seconds{{{TARGET}}}": "0x9"}, "5m"
    ),
    "UsageUnpaid": Case(
        {f"suan_usage_quarantined{{{TARGET}}}": "1x30"}, {f"suan_usage_quarantined{{{TARGET}}}": "1x5 0x25"}, "20m"
    ),
}
HERE = 'suan_leading{node="n", area="registry", process="registry", machine="203.0.113.10"}'
THERE = 'suan_leading{node="n", area="registry", process="registry", machine="203.0.113.11"}'
ON_SEVERAL_MACHINES = [({HERE: "0x9"}, 0), ({HERE: "0x9", THERE: "1x9"}, 0), ({HERE: "0x9", THERE: "0x9"}, 1)]
"""Who leads as a Prometheus on one of two machines sees it, and one that scrapes both; and whether that is told."""
BURNS: dict[tuple[str, str], Case] = {
    ("CallsFail", "14.4"): Case(calls("98x30", "2x30"), calls("9999x30", "1x30"), "1h"),
    ("CallsFail", "6"): Case(calls("992x200", "8x200"), calls("9999x200", "1x200"), "6h30m"),
    ("CallsFailSlowly", "3"): Case(calls("9955x750", "45x750"), calls("9999x750", "1x750"), "24h30m"),
    ("CallsFailSlowly", "1"): Case(calls("9983x2200", "17x2200"), calls("9999x2200", "1x2200"), "72h30m"),
}


def silent_besides() -> list[Case]:
    """Calls that are no reason to wake anybody: too few of them, answers that are a no, and what is over."""
    return [
        Case({}, calls("0.2x60", "0.2x60"), "1h"),
        Case({}, calls("50x60", "50x60", "NOT_FOUND"), "1h"),
        Case({}, calls("50x60", "50x20 0x40"), "1h"),
    ]


def asked(series: Series, at: str, selector: str, count: int, *, every: str = "1m") -> dict[str, Any]:
    """One test: how many alerts that a selector names fire at a time."""
    samples = [{"labels": "{}", "value": count}] if count else []
    return {
        "interval": every,
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {"expr": f'count(ALERTS{{alertstate="firing", {selector}}})', "eval_time": at, "exp_samples": samples}
        ],
    }


def require_passed(folder: Path, tests: list[dict[str, Any]], every: str) -> None:
    file = folder / "tests.yml"
    told = {
        "rule_files": [str(path) for path in RULES],
        "group_eval_order": ORDER,
        "evaluation_interval": every,
        "tests": tests,
    }
    file.write_text(yaml.safe_dump(told))
    done = subprocess.run([PROMTOOL, "test", "rules", str(file)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_its_cases() -> None:
    """An alert that nobody has seen fire is a hope."""
    assert {(each.name, each.burn) for each in all_alerts()} == {*BURNS, *((name, "") for name in QUICK)}


@needs_promtool
def test_alerts_fire_and_keep_silent(tmp_path: Path) -> None:
    """Who is on call is woken for what is wrong, and for nothing else."""
    tests = []
    for name, case in QUICK.items():
        tests.append(asked(case.fires, case.at, f'alertname="{name}"', 1))
        tests.append(asked(case.silent, case.at, f'alertname="{name}"', 0))

    require_passed(tmp_path, tests, "1m")


@needs_promtool
def test_who_scrapes_one_machine_of_several_is_not_woken_for_a_leader_on_another(tmp_path: Path) -> None:
    """The Prometheus that is laid out beside each machine paged all night for five areas that were led elsewhere."""
    tests = [asked(series, "5m", 'alertname="NoLeader"', count) for series, count in ON_SEVERAL_MACHINES]

    require_passed(tmp_path, tests, "1m")


@needs_promtool
def test_the_error_budget_burns_at_four_speeds(tmp_path: Path) -> None:
    """A node that fails half its calls wakes somebody within minutes; one that fails few is told by the morning."""
    quick = [asked(case.silent, case.at, 'alertname="CallsFail", burn="14.4"', 0) for case in silent_besides()]
    slow = []
    for (name, burn), case in BURNS.items():
        beside = {series.replace('node="n"', 'node="sound"'): values for series, values in case.silent.items()}
        test = asked({**case.fires, **beside}, case.at, f'alertname="{name}", burn="{burn}"', 1, every="2m")
        (slow if name == "CallsFailSlowly" else quick).append(test)

    require_passed(tmp_path, quick, "5m")
    require_passed(tmp_path, slow, "30m")


def test_targets_of_a_node_on_several_machines_say_which(tmp_path: Path) -> None:
    """The rules tell such a node from one that is on this machine alone."""
    process = Process("registry", ["x"], {"SUANMESH_METRICS_LISTEN": "127.0.0.1:9"}, tmp_path / "l")
    [alone], [one] = targets("n", [process]), targets("n", [process], "203.0.113.10")

    assert alone["labels"] == {"node": "n", "area": "registry", "process": "registry"}
    assert one["labels"] == {"node": "n", "area": "registry", "process": "registry", "machine": "203.0.113.10"}


@needs_promtool
def test_rules_and_configurations_are_valid(tmp_path: Path) -> None:
    """A Prometheus that does not start with what we ship watches nothing."""
    write_prometheus(
        tmp_path, "n", [Process("registry", ["x"], {"SUANMESH_METRICS_LISTEN": "127.0.0.1:9"}, tmp_path / "l")]
    )
    shutil.copytree(ROOT / "deploy/prometheus", tmp_path / "shipped")
    for each in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / "shipped" / "identity").mkdir(exist_ok=True)
        (tmp_path / "shipped" / "identity" / each).touch()
    for config in (tmp_path / "prometheus" / "prometheus.yml", tmp_path / "shipped" / "prometheus.yml"):
        done = subprocess.run([PROMTOOL, "check", "config", str(config)], capture_output=True, text=True, check=False)

        assert done.returncode == 0, done.stdout + done.stderr
        assert "rule files found" in done.stdout + done.stderr
