"""fastnn: trains on the bytes; a layer scales them."""

from collections.abc import Callable

import numpy as np

import fastnn
from benchmarks.fashion_mnist import Images
from benchmarks.workers.fashion import BATCH, CLASSES, EPOCHS, HIDDEN, run


def train(data: Images) -> Callable[[], np.ndarray]:
    images, labels, test, _ = data
    fastnn.utils.set_random_seed(0)
    layers = fastnn.layers
    model = fastnn.Sequential(
        [
            fastnn.Input(images.shape[1:]),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(HIDDEN, activation="relu"),
            layers.Dense(CLASSES),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    model.fit(images, labels, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    return lambda: model.predict(test, verbose=0).argmax(axis=1)


if __name__ == "__main__":
    run(train)
