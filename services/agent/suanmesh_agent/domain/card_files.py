"""Device files of cards, below /dev. Standard library only: shims on other hosts know them too."""

CARD_CONTROL = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")
"""Those of NVIDIA's driver itself: a program needs them to use any card, and reaches none by them alone."""
