"""Train and evaluate a classifier of handwritten digits; reads only its mount, writes only its output folder.

Kernel ridge regression with a Gaussian kernel on one-hot labels (Rifkin, Yeo and Poggio, 2003), in NumPy alone. The
input is `digits.csv`: 1,797 images of 8 x 8 pixels with values 0 to 16, the digit in the last column.
"""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
SEED = 7
TEST_SHARE = 0.25
WIDTH = 20.0  # of the kernel, in pixel values
RIDGE = 1e-2


def kernel(a: Matrix, b: Matrix) -> Matrix:
    """Similarity of every row of `a` with every row of `b`."""
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * a @ b.T
    similar: Matrix = np.exp(-squares / (2 * WIDTH**2))
    return similar


def main() -> None:
    table = np.loadtxt("in/digits/digits.csv", delimiter=",")
    images, labels = table[:, :-1], table[:, -1].astype(int)
    order = np.random.default_rng(SEED).permutation(len(images))
    held_back = int(len(images) * TEST_SHARE)
    test, train = order[:held_back], order[held_back:]
    print(f"{len(images)} images, {len(train)} to learn from, {len(test)} held back", flush=True)

    similarity = kernel(images[train], images[train])
    wanted = np.eye(10)[labels[train]]
    weights = np.linalg.solve(similarity + RIDGE * np.eye(len(train)), wanted)
    answers = (kernel(images[test], images[train]) @ weights).argmax(1)
    accuracy = float((answers == labels[test]).mean())
    print(f"accuracy {accuracy:.4f} on the images held back", flush=True)

    out = Path("out")
    out.mkdir(exist_ok=True)
    np.savez_compressed(out / "model.npz", weights=weights, support=images[train], width=WIDTH)
    metrics = {"accuracy": round(accuracy, 6), "images": len(images), "held_back": held_back}
    (out / "metrics.json").write_text(json.dumps(metrics) + "\n")


main()
