"""NVIDIA's cards of this host, as the driver's own library (NVML) tells of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pynvml
import structlog

from suanmesh_agent.domain.card_files import CARD_CONTROL
from suanmesh_agent.domain.cards import Card, CardLook

log = structlog.get_logger()

GPU = "gpu"
MODEL_BYTES_MAX = 64
Answer = TypeVar("Answer")


class NvidiaCards:
    """`Cards` by NVML. Opened once a process."""

    def __init__(self, dev_folder: Path) -> None:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        self._cards = [(card, handle) for handle in handles if (card := _described(handle, dev_folder))]

    def look(self) -> tuple[CardLook, ...]:
        """As `Cards`."""
        return tuple(_look(card, handle) for card, handle in self._cards)


def nvidia_cards(dev_folder: Path = Path("/dev")) -> NvidiaCards | None:
    """The cards; None where there is no driver or no card."""
    try:
        pynvml.nvmlInit()
        found = NvidiaCards(dev_folder)
    except pynvml.NVMLError:
        return None
    return found if found.look() else None


def _described(handle: Any, dev_folder: Path) -> Card | None:
    """None for a card that does not even say what it is: it is one of the host's again when the agent starts anew."""
    try:
        return _card(handle, dev_folder)
    except pynvml.NVMLError as fault:
        log.warning("card left out", message=str(fault))
        return None


def _card(handle: Any, dev_folder: Path) -> Card:
    """Raises NVMLError."""
    minor = pynvml.nvmlDeviceGetMinorNumber(handle)
    names = [f"nvidia{minor}", *(name for name in CARD_CONTROL if (dev_folder / name).exists())]
    return Card(
        id=pynvml.nvmlDeviceGetUUID(handle),
        device_class=GPU,
        model=re.sub(r"\s+", " ", pynvml.nvmlDeviceGetName(handle)).strip()[:MODEL_BYTES_MAX],
        memory_bytes=int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
        nodes=tuple((dev_folder / name, name) for name in names),
    )


def _look(card: Card, handle: Any) -> CardLook:
    """A card that has fallen off its bus, or whose driver has given it up, says so to whatever is asked of it.

    What a kind of card does not count, as some do not how busy they are, is 0 and no fault.
    """
    try:
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        busy = _counted(lambda: int(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)) or 0
    except pynvml.NVMLError as fault:
        return CardLook(card, fault=str(fault))
    return CardLook(card, busy_milli=busy * 10, memory_used_bytes=int(memory.used))


def _counted(ask: Callable[[], Answer]) -> Answer | None:
    try:
        return ask()
    except pynvml.NVMLError_NotSupported:
        return None
