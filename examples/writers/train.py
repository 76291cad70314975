"""Learn to tell the two signs of one writer apart: logistic regression by gradient descent, on Python alone.

A task of a sweep: reads `in/samples/writer-N` for the N it is given, writes `out/model.json`.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Sequence
from operator import mul
from pathlib import Path

EPOCHS = 40
RATE = 0.5
HELD_BACK = 3
"""Every third sample is not learned from, but judged by."""
BUSY = "52"
"""The first run of this writer's task meets a server that is busy, so to speak."""
TRY_AGAIN = 75
"""What a program ends with that may do better later (sysexits.h)."""

Sample = tuple[int, list[float]]


def main(writer: str) -> int:
    """Learn, judge, keep the model."""
    sheets = sorted(Path("in/samples", f"writer-{writer}").glob("*.csv"))
    samples = [sample(sheet) for sheet in sheets if sheet.stat().st_size]
    if not samples:
        print(f"writer {writer} has handed in nothing", file=sys.stderr)
        return 1
    if writer == BUSY and os.environ["SUANMESH_RETRY"] == "0":
        print("the server is busy", flush=True)
        return TRY_AGAIN
    test, train = samples[::HELD_BACK], [each for number, each in enumerate(samples) if number % HELD_BACK]
    weights = [0.0] * len(samples[0][1])
    for epoch in range(EPOCHS):
        loss = step(weights, train)
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1}: loss {loss:.6f}", flush=True)
    right = sum((chance(weights, pixels) > 0.5) == sign for sign, pixels in test)
    print(f"writer {writer}: {right} of {len(test)} told apart", flush=True)
    Path("out").mkdir(exist_ok=True)
    model = {"writer": int(writer), "right": right, "of": len(test), "weights": [round(each, 9) for each in weights]}
    Path("out/model.json").write_text(json.dumps(model) + "\n")
    return 0


def sample(path: Path) -> Sample:
    """The sign, and the pixels from -1 to 1 with a constant behind them."""
    sign, *pixels = map(int, path.read_text().split(","))
    return sign, [*(each / 8 - 1 for each in pixels), 1.0]


def chance(weights: Sequence[float], pixels: Sequence[float]) -> float:
    """How likely it is that the sign is 1."""
    return 1 / (1 + math.exp(-sum(map(mul, weights, pixels))))


def step(weights: list[float], samples: Sequence[Sample]) -> float:
    """Move the weights one step down the slope; the loss before it."""
    slope, loss = [0.0] * len(weights), 0.0
    for sign, pixels in samples:
        guess = chance(weights, pixels)
        loss -= math.log(guess if sign else 1 - guess)
        for place, pixel in enumerate(pixels):
            slope[place] += (guess - sign) * pixel
    for place, each in enumerate(slope):
        weights[place] -= RATE * each / len(samples)
    return loss / len(samples)


if __name__ == "__main__":
    sys.exit(main(os.environ["SUANMESH_PARAM_WRITER"]))
