"""Device files of cards, below /dev. Standard library only: shims on other hosts know them too."""

from __future__ import annotations

from collections.abc import Sequence

CARD_CONTROL = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")
"""Those of NVIDIA's driver itself: a program needs them to use any card, and reaches none by them alone."""
_ID, _MINOR = "GPU UUID", "Device Minor"


def minors_of(visible: str, told: Sequence[str]) -> list[str]:
    """The numbers of the device files of the cards in `visible`, which names them as CUDA_VISIBLE_DEVICES does.

    `told` is what the driver says of each of the host's cards, in their order. Without it cards and files count alike.
    """
    names = [each.strip() for each in visible.split(",")]
    if told:
        minors: dict[str, str] = {}
        for index, text in enumerate(told):
            facts = {
                name.strip(): value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())
            }
            minors |= dict.fromkeys((str(index), facts.get(_ID, "")), facts.get(_MINOR, ""))
        names = [minors.get(each, "") for each in names]
    return [each for each in names if each.isdecimal()]
