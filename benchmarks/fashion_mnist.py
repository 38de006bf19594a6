"""A complete training: Fashion-MNIST, 784-128-10, batch 32, 5 epochs, from uint8 images; time and accuracy.

    python -m benchmarks.fashion_mnist --against torch,sklearn,keras-jax,keras-tensorflow

Each contestant runs once, in a process of its own. The time includes conversion of the images
and compilation, but not the import. Debian's package dataset-fashion-mnist contains the images.
"""

import argparse
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks import machine, records
from benchmarks.markdown import table, times

FOLDER = Path("/usr/share/datasets/fashion-mnist")
PARTS = ("train", "t10k")
PEERS = ("torch", "sklearn", "keras-jax", "keras-tensorflow")
SETTING = "Fashion-MNIST from bytes, 784-128-10, batch 32, 5 epochs"
Images = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def load(folder: Path) -> Images:
    """Training images (60000, 28, 28) and labels (60000,), then the test images and labels, all uint8."""

    def read(name: str, header: int) -> np.ndarray:
        with gzip.open(folder / f"{name}-ubyte.gz") as file:
            return np.frombuffer(file.read(), np.uint8, offset=header)

    images, tests = (read(f"{part}-images-idx3", 16).reshape(-1, 28, 28) for part in PARTS)
    labels, answers = (read(f"{part}-labels-idx1", 8) for part in PARTS)
    return images, labels, tests, answers


def contest(name: str, python: str, folder: Path) -> dict[str, float] | str:
    """Seconds and accuracy of one contestant, or the reason why it failed."""
    module, _, backend = name.partition("-")
    command = [python, "-m", f"benchmarks.workers.{module}_fashion", str(folder)]
    environment = {**os.environ, "KERAS_BACKEND": backend} if backend else None
    done = subprocess.run(
        command, cwd=machine.ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no word"])[-1]
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def lines(found: Mapping[str, tuple[float, float]]) -> str:
    """A table of seconds, test accuracy, and the ratio of the seconds to fastnn's."""
    ours = found.get("fastnn", (None,))[0]
    return table(
        ("", "seconds", "test accuracy", "time / fastnn's time"),
        [
            (name, f"{seconds:.2f}", f"{accuracy:.4f}", times(seconds / ours) if ours else "-")
            for name, (seconds, accuracy) in found.items()
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fashion_mnist",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--against", default="", help=f"some of {','.join(PEERS)}")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--data", type=Path, default=FOLDER, help="default: %(default)s")
    parser.add_argument(
        "--peer-python", default=sys.executable, help="the Python that has the peers installed"
    )
    records.add_option(parser)
    asked = parser.parse_args()
    peers = [name for name in asked.against.split(",") if name]
    if unknown := set(peers) - set(PEERS):
        parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(PEERS)}")
    if not asked.data.is_dir():
        sys.exit(f"no folder {asked.data}: apt-get install dataset-fashion-mnist, or --data")
    machine.limit_threads(asked.threads)
    print(*machine.describe(asked.threads), sep="\n")
    found = {}
    for name in ("fastnn", *peers):
        python = sys.executable if name == "fastnn" else asked.peer_python
        result = contest(name, python, asked.data)
        if isinstance(result, str):
            print(f"{name} left out ({result})")
            continue
        found[name] = (result["seconds"], result["accuracy"])
    print(lines(found))
    content = {"seconds_and_accuracy": found}
    records.save(asked.save, "fashion_mnist", content, threads=asked.threads)


if __name__ == "__main__":
    main()
