"""Make handwriting samples of sixty writers: python samples.py FOLDER FILES MEGABYTES [SEED]

Every writer draws two signs in a hand of their own; a sample is one file: the sign, 0 or 1, then 8 x 8 pixels. Beside
them lies one large file, the scans. The same numbers make the same bytes everywhere.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

WRITERS = 60
BLANK = 37
"""This writer has handed in empty sheets."""
PIXELS = 64
MEGABYTE = 1_000_000


def main(folder: Path, files: int, megabytes: int, seed: int = 7) -> None:
    """Write them."""
    dice = random.Random(seed)
    hands = [[[dice.uniform(0, 16) for _ in range(PIXELS)] for _ in range(2)] for _ in range(WRITERS)]
    for writer in range(1, WRITERS + 1):
        (folder / f"writer-{writer}").mkdir(parents=True, exist_ok=True)
    for number in range(files):
        writer, sign = number % WRITERS, number // WRITERS % 2
        pixels = [min(16, max(0, round(dice.gauss(ink, 5)))) for ink in hands[writer][sign]]
        text = "" if writer + 1 == BLANK else f"{sign},{','.join(map(str, pixels))}\n"
        (folder / f"writer-{writer + 1}" / f"{number:05}.csv").write_text(text)
    with (folder / "scans.bin").open("wb") as scans:
        for _ in range(megabytes):
            scans.write(dice.randbytes(MEGABYTE))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
