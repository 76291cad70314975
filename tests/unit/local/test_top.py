"""What `suan top` makes of two looks at a node."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from suanmesh_cli.main import status_of
from suanmesh_local.ports import free_ports
from suanmesh_local.scrapes import FOLDER, Scrape, Target, parsed
from suanmesh_local.top import seen

CALLS = "rpc_server_call_duration_seconds_count"


def look(process: str, text: str, *, area: str = "", ready: bool = True) -> Scrape:
    target = Target(f"{process}:1", process, area or process, "n")
    return Scrape(target, True, ready, False, "", text, parsed(text))


def test_rates_are_between_the_looks_and_survive_a_restart() -> None:
    """A rate of minus a million after a restart would be the only thing anybody looks at."""
    counted = CALLS + '{{rpc_method="m",rpc_response_status_code="{}"}} {}\n'
    before = look("registry", counted.format("OK", 100) + counted.format("INTERNAL", 10))
    after = look("registry", counted.format("OK", 130) + counted.format("INTERNAL", 14))
    anew = look("registry", counted.format("OK", 6))

    [row] = seen([before], [after], 2.0).processes
    [restarted] = seen([before], [anew], 2.0).processes

    assert (row.calls_per_s, row.failed_per_s) == (17.0, 2.0)
    assert (restarted.calls_per_s, restarted.failed_per_s) == (3.0, 0.0)


def test_an_area_without_a_leader_and_a_process_without_an_answer_are_named() -> None:
    """That is what somebody is called for at night."""
    gone = Scrape(Target("x:1", "transport", "transport", "n"))
    now = [
        look("registry", "suan_leading 1\n"),
        look("scheduler", "suan_leading 0\n"),
        look("scheduler-2", "suan_leading 0\n", area="scheduler", ready=False),
        gone,
    ]
    top = seen(now, now, 1.0)

    assert top.without_leader == ["scheduler"]
    assert [row.state for row in top.processes] == ["ready", "ready", "not ready", "no answer"]
    assert [row.leads for row in top.processes] == [True, False, False, False]


def test_what_may_lead_on_another_machine_is_not_missed_here() -> None:
    """Of a node on two machines, whoever looks at one would be told of five areas without a leader, and act on it."""
    now = [look("registry", "suan_leading 0\n"), look("scheduler", "suan_leading 1\n")]

    top = seen(now, now, 1.0, ("203.0.113.11",))

    assert (top.without_leader, top.elsewhere) == ([], ("203.0.113.11",))
    assert seen(now, now, 1.0).without_leader == ["registry"]


def test_what_waits_is_told_by_reason_and_sites_by_name() -> None:
    """The first question is for what, and where."""
    scheduler = look(
        "scheduler",
        'suan_queue_jobs{reason="CAPACITY_TAKEN"} 2\nsuan_queue_jobs{reason="UNDECIDED"} 0\n'
        'suan_queue_jobs{reason="NO_PATH"} 5\nsuan_queue_oldest_seconds 61.5\nsuan_jobs{state="PENDING"} 7\n',
    )
    registry = look(
        "registry",
        'suan_site_up{site="b"} 0\nsuan_site_up{site="a"} 1\nsuan_site_cpu_cores{site="a"} 8\n'
        'suan_site_cpu_free_cores{site="a"} 2.5\n',
    )
    accounting = look("accounting", 'suan_ledger_imbalance_money{currency="CNY",of="postings"} -0.000001\n')
    top = seen([], [scheduler, registry, accounting], 1.0)

    assert top.queue == [("NO_PATH", 5), ("CAPACITY_TAKEN", 2)]
    assert (top.oldest_wait_s, top.jobs, top.unbalanced) == (61.5, [("PENDING", 7)], ["CNY"])
    assert [(site.name, site.heard, site.cpu_free_cores) for site in top.sites] == [("a", True, 2.5), ("b", False, 0.0)]
    assert top.data()["queue"][0] == {"reason": "NO_PATH", "jobs": 5}


@pytest.mark.parametrize(
    ("texts", "well"),
    [
        (('suan_leading 1\nsuan_site_up{site="a"} 1\n',), True),
        (('suan_leading 1\nsuan_site_up{site="a"} 0\n',), False),
        (("suan_leading 0\n",), False),
        (('suan_leading 1\nsuan_ledger_imbalance_money{currency="CNY",of="postings"} 1\n',), False),
    ],
)
def test_a_script_is_told_by_the_status_that_something_is_wrong(texts: tuple[str, ...], well: bool) -> None:
    """Whoever lets a script look every minute must not have it read a table."""
    now = [look("registry", text) for text in texts]

    assert seen(now, now, 1.0).is_well == well
    assert not seen(now, [*now, Scrape(Target("x:1", "transport", "transport", "n"))], 1.0).is_well


def test_a_node_of_which_no_process_answers_is_told_by_the_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script that looks every minute would take a node that is away for one that is well."""
    (tmp_path / FOLDER).mkdir()
    asked = {"targets": [f"127.0.0.1:{free_ports(1)[0]}"], "labels": {"area": "registry", "node": "pilot"}}
    (tmp_path / FOLDER / "targets.json").write_text(json.dumps([asked]))

    assert status_of(["top", str(tmp_path), "--once"], {}) == 1
    assert "no answer" in capsys.readouterr().out


def test_what_its_processes_say_is_wrong_is_shown_in_words() -> None:
    """Whoever is called at night must not have to find a gauge among hundreds, nor know what it means."""
    accounting = look(
        "accounting",
        'suan_component_serving{component="accounting.ledger"} 0\nsuan_clock_skew_seconds -290.3\n'
        "suan_watch_lag_seconds 27\nsuan_disk_free_bytes 1.5e8\n"
        'suan_certificate_expiry_seconds{kind="process"} -7200\nsuan_certificate_lifetime_seconds{kind="process"} 6e5\n'
        'suan_etcd_member_up{member="h:1"} 1\nsuan_etcd_member_up{member="h:2"} 0\nsuan_etcd_led 0\n',
    )
    registry = look(
        "registry",
        'suan_site_clock_ahead_seconds{site="a"} 299.7\nsuan_site_clock_ahead_seconds{site="b"} 0\n'
        'suan_etcd_member_up{member="h:1"} 1\nsuan_etcd_member_up{member="h:2"} 0\nsuan_etcd_led 0\n',
    )

    top = seen([], [accounting, registry], 1.0)

    assert [(each.where, each.what.en) for each in top.troubles] == [
        ("etcd", "no majority of its members runs: nothing is written"),
        ("etcd", "h:2 does not answer"),
        ("accounting", "accounting.ledger has a fault: its log has the reason"),
        ("accounting", "its clock is 290 s behind the gateway's"),
        ("accounting", "is told of changes 27 s late"),
        ("accounting", "0.15 GB of room are left on its disk"),
        ("accounting", "its process certificate expired 2.0 h ago"),
        ("sites/a", "its clock is 300 s ahead of the registry's"),
    ]
    assert not top.is_well
    assert top.data()["troubles"][1] == {"where": "etcd", "what": "h:2 does not answer"}


def test_a_node_that_is_well_has_nothing_to_say() -> None:
    """A line that is always there is read by nobody."""
    well = look(
        "registry",
        'suan_component_serving{component="c"} 1\nsuan_clock_skew_seconds 0\nsuan_watch_lag_seconds 0.01\n'
        'suan_disk_free_bytes 5e10\nsuan_certificate_expiry_seconds{kind="process"} 6e5\n'
        'suan_certificate_lifetime_seconds{kind="process"} 6e5\nsuan_etcd_member_up{member="h:1"} 1\nsuan_etcd_led 1\n'
        'suan_site_clock_ahead_seconds{site="a"} 0\n',
    )

    assert seen([], [well], 1.0).troubles == []
