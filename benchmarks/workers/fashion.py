"""Code that the workers for complete trainings share: input of data, output of the result."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.fashion_mnist import Images, load

HIDDEN, CLASSES, BATCH, EPOCHS = 128, 10, 32, 5


def scaled(images: np.ndarray) -> np.ndarray:
    """(n, 784) float32 in [0, 1], for libraries that cannot read the bytes."""
    return images.reshape(len(images), -1).astype(np.float32) / 255


def run(train: Callable[[Images], Callable[[], np.ndarray]]) -> None:
    """Times `train`, which returns a function that predicts the classes of the test images."""
    data = load(Path(sys.argv[1]))
    start = time.perf_counter()
    predict = train(data)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "accuracy": float(np.mean(predict() == data[3]))}))
