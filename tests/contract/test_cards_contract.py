"""What whoever tells of accelerator cards promises: NVIDIA's library where there is a card, its stand-in elsewhere."""

from __future__ import annotations

import ctypes.util
from collections.abc import Iterator
from pathlib import Path

import pytest
from nvml_stand_in import StandInCards

from suanmesh_agent.nvidia import NvidiaCards, nvidia_cards

MODELS = ("NVIDIA H200", "NVIDIA H200", "NVIDIA A100 80GB  PCIe")


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[StandInCards]:
    """Three cards of two models."""
    made = StandInCards(tmp_path, MODELS)
    yield made
    made.close()


@pytest.fixture(params=["stand-in", "nvidia"])
def cards(request: pytest.FixtureRequest) -> NvidiaCards:
    """Each implementation that this machine has."""
    if request.param == "nvidia":
        found = nvidia_cards() if ctypes.util.find_library("nvidia-ml") else None
    else:
        found = nvidia_cards(request.getfixturevalue("stand_in").dev)
    if found is None:
        pytest.skip("this machine has no NVIDIA card")
    return found


def test_every_card_can_be_told_and_used(cards: NvidiaCards) -> None:
    """A card that is counted and cannot be named or reached is given to a task that then fails."""
    looks = cards.look()
    assert len({look.card.id for look in looks}) == len(looks) > 0
    for look in looks:
        assert (look.card.device_class, look.fault) == ("gpu", "")
        assert look.card.model == " ".join(look.card.model.split()) != ""
        assert 0 <= look.memory_used_bytes <= look.card.memory_bytes
        assert look.card.memory_bytes > 0
        assert 0 <= look.busy_milli <= 1000
        assert look.card.nodes
        assert all(path.exists() for path, _ in look.card.nodes)
    nodes = [look.card.nodes[0] for look in looks]
    assert len(set(nodes)) == len(nodes)


def test_cards_are_told_in_the_same_order_again(cards: NvidiaCards) -> None:
    """Who remembers what was given out knows the cards by their ids, and gives the first that are free."""
    assert [look.card for look in cards.look()] == [look.card for look in cards.look()]


def test_a_lost_card_is_told_in_its_librarys_words(stand_in: StandInCards) -> None:
    """The operator reads which card to look at; the others go on."""
    cards = nvidia_cards(stand_in.dev)
    assert cards is not None
    stand_in.tell(lost=frozenset({1}), busy=37)
    told = cards.look()
    assert [look.fault for look in told] == ["", "GPU is lost", ""]
    assert [look.busy_milli for look in told] == [370, 0, 370]
    stand_in.tell()
    assert not any(look.fault for look in cards.look())


def test_a_card_that_is_lost_from_the_start_keeps_no_other_away(stand_in: StandInCards) -> None:
    """Else one broken card would take a whole host off the mesh at the next start."""
    stand_in.tell(lost=frozenset({0}))
    cards = nvidia_cards(stand_in.dev)
    assert cards is not None
    assert [look.card.id for look in cards.look()] == ["GPU-1", "GPU-2"]


def test_a_host_without_cards_has_none(stand_in: StandInCards) -> None:
    """Most sites are like that, and start all the same."""
    stand_in.close()
    assert nvidia_cards() is None
