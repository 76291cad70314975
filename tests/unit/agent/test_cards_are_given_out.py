"""Which cards a task is given, and which placements a site with cards takes."""

from __future__ import annotations

import fcntl
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_agent.domain.card_files import minors_of
from suanmesh_agent.domain.cards import Card, CardLook, assigned, counted, to_ask_for
from suanmesh_agent.domain.tasks import TaskKey, TaskSpec
from suanmesh_agent.domain.work import Work, objection, with_cards
from suanmesh_agent.engines.process.card_ledger import CardLedger
from suanmesh_agent.engines.process.sandbox import Places, Sandbox, with_devices
from suanmesh_agent.engines.process.task_folders import TaskFolders
from suanmesh_kernel.cards import DeviceAsk, picked, serves
from suanmesh_kernel.quantities import Capacity, Device

MODELS = ("a", "b", "c")
DRIVER_TELLS = (
    "Model: \t\t NVIDIA A100\nGPU UUID: \t GPU-{id}\nBus Location: \t 0000:{id}:00.0\nDevice Minor: \t {minor}\n"
)
asks = st.lists(
    st.builds(
        DeviceAsk,
        st.just("gpu"),
        st.lists(st.sampled_from(MODELS), max_size=2, unique=True).map(tuple),
        st.integers(1, 3),
        st.sampled_from((0, 40)),
    ),
    min_size=1,
    max_size=3,
)
hosts = st.lists(st.tuples(st.sampled_from(MODELS), st.sampled_from((40, 80))), max_size=8).map(
    lambda found: [Card(str(at), "gpu", model, memory) for at, (model, memory) in enumerate(found)]
)


@given(hosts, st.lists(asks, max_size=6))
def test_no_card_is_given_twice_and_each_gets_what_it_asked(cards: list[Card], tasks: list[list[DeviceAsk]]) -> None:
    """Two tasks on one card fail, and so does one on a card it cannot use."""
    taken: set[str] = set()
    for wanted in tasks:
        found = assigned(cards, taken, wanted)
        if found is None:
            continue
        ids = {card.id for card in found}
        assert len(ids) == len(found) == sum(ask.count for ask in wanted)
        assert not ids & taken
        for ask in wanted:
            usable = [card for card in found if serves(Device("gpu", card.model, 1, card.memory_bytes), ask)]
            assert len(usable) >= ask.count
        taken |= ids


class Two:
    """`Cards` of a host with two."""

    def look(self) -> tuple[CardLook, ...]:
        return tuple(CardLook(Card(id, "gpu", "a", 1)) for id in ("one", "two"))


@pytest.mark.parametrize("begun", [True, False])
def test_an_agent_that_comes_back_gives_no_card_that_a_task_has_or_is_about_to_have(
    tmp_path: Path, begun: bool
) -> None:
    """A shim that was told to start a task starts it, also when the agent that told it has been killed meanwhile."""
    first, second = (
        TaskSpec(TaskKey("p", index), ("true",), devices=(DeviceAsk("gpu", (), 1, 0),)) for index in (0, 1)
    )
    shim = tmp_path / "p" / "0" / "shim"
    shim.mkdir(parents=True)
    (shim / "spec.json").write_text('{"cards": ["one"]}')
    if begun:
        (shim / "started.json").write_text('{"pid": 1, "start_unix_ns": 1}')
    with (shim / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ledger = CardLedger(Two(), TaskFolders(tmp_path))
        assert [card.id for card in ledger.give(second)] == ["two"]
        assert [card.id for card in ledger.give(first)] == ["one"]


@given(hosts)
def test_all_cards_are_counted(cards: list[Card]) -> None:
    """A card that is not counted is never sold, and memory that one of them lacks is not promised."""
    found = counted(cards)
    assert sum(device.count for device in found) == len(cards)
    for device in found:
        assert device.memory_bytes == min(card.memory_bytes for card in cards if card.model == device.model)


@given(asks, st.lists(hosts, max_size=3))
def test_a_sites_own_scheduler_is_asked_for_what_one_of_its_hosts_has(
    asked: list[DeviceAsk], found: list[list[Card]]
) -> None:
    """It would refuse what no host has, or give a card that is not what was asked for."""
    offered = [counted(cards) for cards in found]
    wanted = to_ask_for(asked, offered)
    if wanted is None:
        assert all(picked(asked, devices) is None for devices in offered)
    elif any(offered):
        assert sum(count for _, _, count in wanted) == sum(ask.count for ask in asked)
        named = {model for _, model, _ in wanted}
        assert named == {""} or any(named <= {device.model for device in devices} for devices in offered)
        assert named != {""} or not any(ask.any_of_models or ask.min_memory_bytes for ask in asked)
    else:
        assert wanted == ()


def test_a_device_file_is_offered_while_more_can_be() -> None:
    """Bubblewrap would refuse the task, or show it no card."""
    command = Sandbox("bwrap", ()).wrapped(["true"], Places(Path("/scratch")))
    more = with_devices(command, [("/dev/nvidia1", "nvidia1")])
    at = more.index("--dev-bind")
    assert more[at : at + 3] == ["--dev-bind", "/dev/nvidia1", "/dev/nvidia1"]
    assert more.index("--dev") < at < more.index("--remount-ro")
    assert more[:at] + more[at + 3 :] == command


def asking(*devices: DeviceAsk) -> Work:
    return Work("p", Capacity(), 1, ("python3",), (), (), (), "python3", 60, at_once=1, devices=devices)


def test_whatever_model_will_do_is_taken() -> None:
    """A job that leaves the model open, or names this one second, was sent back by every site that has cards."""
    site = Capacity(devices=(Device("gpu", "a", 2, 80),))
    for models in ((), ("b", "a"), ("a",)):
        work = with_cards(asking(DeviceAsk("gpu", models, 2, 0)), capacity=site, taken=Capacity())
        assert not objection(work, capacity=site, taken=Capacity(), runtimes=["python3"])
        assert work.capacity.devices == (Device("gpu", "a", 2, 80),)
        no = objection(work, capacity=site, taken=work.capacity, runtimes=["python3"])
        assert (no.code, no.facts) == ("CAPACITY_TAKEN", {"quantity": "gpu", "missing": "2"})


def test_what_no_card_here_can_do_is_not_taken() -> None:
    """Another model, or more memory than any has."""
    site = Capacity(devices=(Device("gpu", "a", 2, 80),))
    for ask in (DeviceAsk("gpu", ("b",), 1, 0), DeviceAsk("gpu", (), 1, 81), DeviceAsk("npu", (), 1, 0)):
        work = with_cards(asking(ask), capacity=site, taken=Capacity())
        assert objection(work, capacity=site, taken=Capacity(), runtimes=["python3"]).code == "CAPACITY_TAKEN"


def test_of_two_models_the_one_that_is_left_is_taken() -> None:
    """The site's own count follows what the scheduler placed: the first model is gone, the second will do."""
    site = Capacity(devices=(Device("gpu", "a", 1), Device("gpu", "b", 1)))
    one = with_cards(asking(DeviceAsk("gpu", (), 1, 0)), capacity=site, taken=Capacity())
    two = with_cards(replace(one, placement="q"), capacity=site, taken=one.capacity)
    assert not objection(two, capacity=site, taken=one.capacity, runtimes=["python3"])
    assert one.capacity.devices != two.capacity.devices


@pytest.mark.parametrize(
    ("visible", "numbers"),
    [("0", ["3"]), ("1,0", ["2", "3"]), ("GPU-b", ["2"]), ("GPU-c", []), ("2", []), ("", []), ("NoDevFiles", [])],
)
def test_the_device_files_of_cards_are_those_that_the_driver_says(visible: str, numbers: list[str]) -> None:
    """Cards are counted in another order than their files on some hosts: a task would have another one's card."""
    told = [DRIVER_TELLS.format(id="a", minor=3), DRIVER_TELLS.format(id="b", minor=2)]
    assert minors_of(visible, told) == numbers


def test_without_a_driver_cards_and_files_count_alike() -> None:
    """As where whoever gives out cards counts their files, and of an id nothing is known."""
    assert [minors_of(visible, ()) for visible in ("1,0", "", "GPU-a")] == [["1", "0"], [], []]
